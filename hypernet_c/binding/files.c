/* The native file, read into arrays and written from them. */
#include "run.h"
#include "store.h"
#include "../base/memory.h"

/* Bytes that are copied from one look at signals to the next. */
static const size_t piece = 1 << 23;
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

/* Copies; -1: a signal handler raised an exception. */
static int copy(void *to, const void *from, size_t bytes)
{
    for (size_t done = 0; done < bytes; done += piece) {
        memcpy((char *)to + done, (const char *)from + done, bytes - done < piece ? bytes - done : piece);
        if (bytes > piece && PyErr_CheckSignals() < 0)
            return -1;
    }
    return 0;
}

static PyObject *tensor_array(const hn_file_tensor *tensor)
{
    npy_intp dims[HN_MAX_RANK];
    for (int32_t i = 0; i < tensor->shape.rank; i++)
        dims[i] = (npy_intp)tensor->shape.dims[i];
    PyObject *array = PyArray_SimpleNew(tensor->shape.rank, dims, file_type_number(tensor->dtype));
    if (array && copy(PyArray_DATA((PyArrayObject *)array), tensor->data, tensor->bytes) < 0)
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

/* What a file shall hold: the C tables, and the objects (copies of arrays) that they point into. */
typedef struct contents {
    hn_file_tensor *tensors;
    hn_file_text *texts;
    int64_t tensor_count, text_count;
    PyObject *held; /* a list */
} contents;

static void contents_drop(contents *contents)
{
    hn_memory_free(contents->tensors);
    hn_memory_free(contents->texts);
    Py_XDECREF(contents->held);
}

/* Contiguous, native, aligned; most arrays are that already, and large ones are copied so that signals are seen. */
static PyArrayObject *array_copy(PyArrayObject *given)
{
    if (!PyArray_ISCARRAY_RO(given) || file_dtype(given) < 0)
        return (PyArrayObject *)PyArray_FROM_OF((PyObject *)given, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED |
                                                                       NPY_ARRAY_ENSURECOPY | NPY_ARRAY_ENSUREARRAY);
    PyObject *made = PyArray_SimpleNew(PyArray_NDIM(given), PyArray_DIMS(given), PyArray_TYPE(given));
    if (made && copy(PyArray_DATA((PyArrayObject *)made), PyArray_DATA(given), (size_t)PyArray_NBYTES(given)) < 0)
        Py_CLEAR(made);
    return (PyArrayObject *)made;
}

/* A contiguous, native, aligned copy of the same dtype; a new reference. A copy, because the file holds a checksum, and
   a training thread may change weights while they are written. */
static PyArrayObject *array_pack(PyObject *given, const char *name)
{
    if (!PyArray_Check(given))
        return (PyArrayObject *)PyErr_Format(PyExc_TypeError, "tensor \"%s\" must be an array, received %s", name,
                                             Py_TYPE(given)->tp_name);
    PyArrayObject *packed = array_copy((PyArrayObject *)given);
    if (!packed || (file_dtype(packed) >= 0 && PyArray_NDIM(packed) <= HN_MAX_RANK))
        return packed;
    PyErr_Format(file_dtype(packed) < 0 ? PyExc_TypeError : PyExc_ValueError,
                 "tensor \"%s\" must be of float32, float64, int64, int8 or uint16 (bfloat16) with at most %d axes, "
                 "received %S with %d", name, HN_MAX_RANK, PyArray_DESCR(packed), PyArray_NDIM(packed));
    Py_DECREF(packed);
    return NULL;
}

static int tensor_take(contents *contents, PyObject *key, PyObject *value)
{
    hn_file_tensor *tensor = &contents->tensors[contents->tensor_count];
    tensor->name = value_text(key, "a tensor's name");
    PyArrayObject *array = tensor->name ? array_pack(value, tensor->name) : NULL;
    if (!array || PyList_Append(contents->held, key) < 0 || PyList_Append(contents->held, (PyObject *)array) < 0) {
        Py_XDECREF(array);
        return -1;
    }
    Py_DECREF(array); /* the list has it */
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
    if (!text->value || PyList_Append(contents->held, key) < 0 || PyList_Append(contents->held, value) < 0)
        return -1;
    contents->text_count++;
    return 0;
}

/* The stores that arrays are views of, each once: the keys of a new dict. NULL on error. */
static PyObject *stores_of(const binding_state *state, PyObject *arrays)
{
    PyObject *stores = PyDict_New(), *key, *value;
    Py_ssize_t position = 0;
    while (stores && PyDict_Next(arrays, &position, &key, &value)) {
        PyObject *store = (PyObject *)store_behind(state, value);
        if (store && PyDict_SetItem(stores, store, Py_None) < 0)
            Py_CLEAR(stores);
    }
    return stores;
}

/* Begins or ends reading of all of them. */
static void stores_read(PyObject *stores, void (*change)(hn_lock *))
{
    PyObject *store, *value;
    Py_ssize_t position = 0;
    while (PyDict_Next(stores, &position, &store, &value))
        change(((StoreObject *)store)->lock);
}

/* Copies all arrays between two updates of their stores. */
static int tensors_take(contents *contents, const binding_state *state, PyObject *arrays)
{
    PyObject *stores = stores_of(state, arrays), *key, *value;
    Py_ssize_t position = 0;
    int failed = 0;
    if (!stores)
        return -1;
    stores_read(stores, hn_lock_read_begin);
    while (!failed && PyDict_Next(arrays, &position, &key, &value))
        failed = tensor_take(contents, key, value) < 0;
    stores_read(stores, hn_lock_read_end);
    Py_DECREF(stores);
    return failed ? -1 : 0;
}

/* Everything is held in a list, because other threads may change the dicts while the file is written. */
static int contents_take(contents *contents, const binding_state *state, PyObject *tensors, PyObject *texts)
{
    hn_error error;
    PyObject *key, *value;
    Py_ssize_t position = 0, tensor_most, text_most;
    if (!PyDict_Check(tensors) || !PyDict_Check(texts)) {
        PyErr_SetString(PyExc_TypeError, "write_file takes a path, a dict of arrays and a dict of texts");
        return -1;
    }
    PyObject *arrays = PyDict_Copy(tensors), *metadata = arrays ? PyDict_Copy(texts) : NULL;
    int failed = !metadata || !(contents->held = PyList_New(0));
    tensor_most = failed ? 0 : PyDict_GET_SIZE(arrays);
    text_most = failed ? 0 : PyDict_GET_SIZE(metadata);
    if (!failed && (!(contents->tensors = hn_memory_allocate((size_t)tensor_most, sizeof(hn_file_tensor), &error)) ||
                    !(contents->texts = hn_memory_allocate((size_t)text_most, sizeof(hn_file_text), &error)))) {
        error_raise(&error);
        failed = 1;
    }
    failed = failed || tensors_take(contents, state, arrays) < 0;
    while (!failed && PyDict_Next(metadata, &position, &key, &value))
        failed = text_take(contents, key, value) < 0;
    Py_XDECREF(arrays);
    Py_XDECREF(metadata);
    return failed ? -1 : 0;
}

static PyObject *write_file(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    hn_error error;
    contents contents = {.held = NULL};
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
