/* The native file, read into arrays and written from them. */
#include "copies.h"
#include "run.h"
#include "../base/memory.h"

static const double long_work = 1e9; /* nanoseconds: files are worth asking whether to go on */

/* A path (str, bytes or os.PathLike) as the system wants it; a new bytes object. */
static PyObject *path_take(PyObject *object)
{
    PyObject *path = NULL;
    return PyUnicode_FSConverter(object, &path) ? path : NULL;
}

/* Sets dict[name] and gives the value's reference back. */
static int dict_take(PyObject *dict, const char *name, PyObject *value)
{
    int result = value ? PyDict_SetItemString(dict, name, value) : -1;
    Py_XDECREF(value);
    return result;
}

/* A bfloat16 is its bits, in an unsigned integer: NumPy has no such numbers. */
static int file_type_number(hn_dtype dtype)
{
    return dtype == HN_BFLOAT16 ? NPY_UINT16 : dtype == HN_INT8 ? NPY_INT8 : array_type_number(dtype);
}

/* The dtype of an array in a file, -1 if there is none for it. */
static int file_dtype(PyArrayObject *array)
{
    int number = PyArray_TYPE(array);
    return number == NPY_UINT16 ? HN_BFLOAT16 : number == NPY_INT8 ? HN_INT8 : array_dtype(array);
}

static PyObject *tensor_array(const hn_file_tensor *tensor)
{
    npy_intp dims[HN_MAX_RANK];
    for (int32_t i = 0; i < tensor->shape.rank; i++)
        dims[i] = (npy_intp)tensor->shape.dims[i];
    PyObject *array = PyArray_SimpleNew(tensor->shape.rank, dims, file_type_number(tensor->dtype));
    if (array && memory_copy(PyArray_DATA((PyArrayObject *)array), tensor->data, tensor->bytes, 1) < 0)
        Py_CLEAR(array);
    return array;
}

static PyObject *contents_tuple(const hn_tensor_file *file)
{
    PyObject *tensors = PyDict_New(), *texts = tensors ? PyDict_New() : NULL;
    int failed = !texts;
    for (int64_t i = 0; !failed && i < hn_tensor_file_count(file); i++) {
        const hn_file_tensor *tensor = hn_tensor_file_at(file, i);
        failed = dict_take(tensors, tensor->name, tensor_array(tensor)) < 0;
    }
    for (int64_t i = 0; !failed && i < hn_tensor_file_text_count(file); i++) {
        const hn_file_text *text = hn_tensor_file_text_at(file, i);
        failed = dict_take(texts, text->key, PyUnicode_FromString(text->value)) < 0;
    }
    if (!failed)
        return Py_BuildValue("NN", tensors, texts);
    Py_XDECREF(tensors);
    Py_XDECREF(texts);
    return NULL;
}

static PyObject *read_file(PyObject *module, PyObject *argument)
{
    (void)module;
    hn_error error;
    PyObject *path = path_take(argument);
    gil gil;
    hn_cancel cancel = {gil_poll, &gil};
    hn_cancel_scope scope;
    if (!path)
        return NULL;
    gil_release(&gil, long_work);
    hn_cancel_begin(&scope, &cancel);
    hn_tensor_file *file = hn_tensor_file_read(PyBytes_AS_STRING(path), &error);
    (void)hn_cancel_end(&scope);
    gil_acquire(&gil);
    Py_DECREF(path);
    if (!file)
        return file_error_object(&error, argument);
    PyObject *result = contents_tuple(file);
    hn_tensor_file_free(file);
    return result;
}

/* ---- writing ---- */

/* What a file shall hold: the C tables, and the dicts (of copies of arrays, and of texts) that they point into. */
typedef struct contents {
    hn_file_tensor *tensors;
    hn_file_text *texts;
    int64_t tensor_count, text_count;
    PyObject *held_arrays, *held_texts;
} contents;

static void contents_drop(contents *contents)
{
    hn_memory_free(contents->tensors);
    hn_memory_free(contents->texts);
    Py_XDECREF(contents->held_arrays);
    Py_XDECREF(contents->held_texts);
}

/* Whether a copied array can be in a file; an exception is set if not. */
static int array_check(PyArrayObject *array, const char *name)
{
    if (file_dtype(array) >= 0 && PyArray_NDIM(array) <= HN_MAX_RANK)
        return 0;
    PyErr_Format(file_dtype(array) < 0 ? PyExc_TypeError : PyExc_ValueError,
                 "tensor \"%s\" must be of float32, float64, int64, int8 or uint16 (bfloat16) with at most %d axes, "
                 "received %S with %d", name, HN_MAX_RANK, PyArray_DESCR(array), PyArray_NDIM(array));
    return -1;
}

static int tensor_take(contents *contents, PyObject *key, PyObject *value)
{
    hn_file_tensor *tensor = &contents->tensors[contents->tensor_count];
    PyArrayObject *array = (PyArrayObject *)value;
    tensor->name = value_text(key, "a tensor's name");
    if (!tensor->name || array_check(array, tensor->name) < 0)
        return -1;
    tensor->dtype = (hn_dtype)file_dtype(array);
    tensor->shape.rank = PyArray_NDIM(array);
    for (int i = 0; i < PyArray_NDIM(array); i++)
        tensor->shape.dims[i] = PyArray_DIM(array, i);
    tensor->data = PyArray_DATA(array);
    tensor->bytes = (size_t)PyArray_NBYTES(array);
    contents->tensor_count++;
    return 0;
}

static int text_take(contents *contents, PyObject *key, PyObject *value)
{
    hn_file_text *text = &contents->texts[contents->text_count];
    text->key = value_text(key, "a metadata key");
    text->value = text->key ? value_text(value, "a metadata value") : NULL;
    if (!text->value)
        return -1;
    contents->text_count++;
    return 0;
}

/* The tables, over copies: a training thread may change weights while the file, which has their checksum, is written,
   and other threads may change the dicts. */
static int contents_take(contents *contents, const binding_state *state, PyObject *tensors, PyObject *texts)
{
    hn_error error;
    PyObject *key, *value;
    Py_ssize_t position = 0;
    if (!PyDict_Check(tensors) || !PyDict_Check(texts)) {
        PyErr_SetString(PyExc_TypeError, "write_file takes a path, a dict of arrays and a dict of texts");
        return -1;
    }
    if (!(contents->held_arrays = arrays_copied(state, tensors)) || !(contents->held_texts = PyDict_Copy(texts)))
        return -1;
    size_t tensor_most = (size_t)PyDict_GET_SIZE(contents->held_arrays);
    size_t text_most = (size_t)PyDict_GET_SIZE(contents->held_texts);
    if (!(contents->tensors = hn_memory_allocate(tensor_most, sizeof(hn_file_tensor), &error)) ||
        !(contents->texts = hn_memory_allocate(text_most, sizeof(hn_file_text), &error))) {
        error_raise(&error);
        return -1;
    }
    int failed = 0;
    while (!failed && PyDict_Next(contents->held_arrays, &position, &key, &value))
        failed = tensor_take(contents, key, value) < 0;
    position = 0;
    while (!failed && PyDict_Next(contents->held_texts, &position, &key, &value))
        failed = text_take(contents, key, value) < 0;
    return failed ? -1 : 0;
}

static PyObject *write_file(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    hn_error error;
    contents contents = {.tensors = NULL};
    gil gil;
    hn_cancel cancel = {gil_poll, &gil};
    hn_cancel_scope scope;
    if (arguments_check("write_file", count, 3) < 0)
        return NULL;
    PyObject *path = path_take(args[0]);
    if (!path || contents_take(&contents, PyModule_GetState(module), args[1], args[2]) < 0) {
        Py_XDECREF(path);
        contents_drop(&contents);
        return NULL;
    }
    gil_release(&gil, long_work);
    hn_cancel_begin(&scope, &cancel);
    hn_status status = hn_tensor_file_write(PyBytes_AS_STRING(path), contents.tensors, contents.tensor_count,
                                            contents.texts, contents.text_count, &error);
    (void)hn_cancel_end(&scope);
    gil_acquire(&gil);
    Py_DECREF(path);
    contents_drop(&contents);
    if (status != HN_OK)
        return file_error_object(&error, args[0]);
    Py_RETURN_NONE;
}

PyMethodDef files_functions[] = {
    {"read_file", read_file, METH_O, "read_file(path): (arrays by name, texts by key)."},
    {"write_file", FASTCALL(write_file), METH_FASTCALL, "write_file(path, tensors, texts): atomically."},
    {NULL, NULL, 0, NULL},
};
