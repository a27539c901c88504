/* Numbers, texts, dtypes and shapes between Python and C. */
#include "binding.h"

int value_integer(PyObject *object, const char *what, int64_t *value)
{
    PyObject *number = PyNumber_Index(object);
    if (!number) {
        if (PyErr_ExceptionMatches(PyExc_TypeError))
            PyErr_Format(PyExc_TypeError, "%s must be an integer, received %s", what, Py_TYPE(object)->tp_name);
        return -1;
    }
    int overflow;
    long long found = PyLong_AsLongLongAndOverflow(number, &overflow);
    Py_DECREF(number);
    if (overflow) {
        PyErr_Format(PyExc_ValueError, "%s does not fit 64 bits", what);
        return -1;
    }
    *value = found;
    return found == -1 && PyErr_Occurred() ? -1 : 0;
}

int value_count(PyObject *object, const char *what, int64_t *value)
{
    if (value_integer(object, what, value) < 0)
        return -1;
    if (*value >= 0)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s must not be negative, received %lld", what, (long long)*value);
    return -1;
}

int value_number(PyObject *object, const char *what, double *value)
{
    *value = PyFloat_AsDouble(object);
    if (*value != -1.0 || !PyErr_Occurred())
        return 0;
    if (PyErr_ExceptionMatches(PyExc_TypeError))
        PyErr_Format(PyExc_TypeError, "%s must be a number, received %s", what, Py_TYPE(object)->tp_name);
    return -1;
}

const char *value_text(PyObject *object, const char *what)
{
    Py_ssize_t length;
    if (!PyUnicode_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s must be a str, received %s", what, Py_TYPE(object)->tp_name);
        return NULL;
    }
    const char *text = PyUnicode_AsUTF8AndSize(object, &length);
    if (text && strlen(text) != (size_t)length) {
        PyErr_Format(PyExc_ValueError, "%s holds a null character", what);
        return NULL;
    }
    return text;
}

const char *dtype_text(hn_dtype dtype)
{
    return dtype == HN_FLOAT32 ? "float32" : dtype == HN_FLOAT64 ? "float64" : "int64";
}

int value_dtype(PyObject *object, hn_dtype *dtype)
{
    const char *text = value_text(object, "a dtype");
    if (!text)
        return -1;
    for (int candidate = HN_FLOAT32; candidate <= HN_INT64; candidate++)
        if (strcmp(text, dtype_text((hn_dtype)candidate)) == 0) {
            *dtype = (hn_dtype)candidate;
            return 0;
        }
    PyErr_Format(PyExc_ValueError, "a dtype is \"float32\", \"float64\" or \"int64\", received \"%s\"", text);
    return -1;
}

PyObject *sequence_take(PyObject *object, const char *message)
{
    PyObject *items = PySequence_Fast(object, message);
    PyObject *tuple = items ? PySequence_Tuple(items) : NULL;
    Py_XDECREF(items);
    return tuple;
}

int value_shape(PyObject *object, const char *what, hn_shape *shape)
{
    PyObject *dims = sequence_take(object, "a shape must be a tuple of integers");
    if (!dims)
        return -1;
    Py_ssize_t rank = PyTuple_GET_SIZE(dims);
    if (rank > HN_MAX_RANK) {
        PyErr_Format(PyExc_ValueError, "%s has %zd axes, at most %d are possible", what, rank, HN_MAX_RANK);
        Py_DECREF(dims);
        return -1;
    }
    memset(shape, 0, sizeof *shape);
    shape->rank = (int32_t)rank;
    int failed = 0;
    for (Py_ssize_t i = 0; i < rank && !failed; i++)
        failed = value_integer(PyTuple_GET_ITEM(dims, i), what, &shape->dims[i]) < 0;
    Py_DECREF(dims);
    return failed ? -1 : 0;
}

int value_seed(PyObject *seed, PyObject *call, uint64_t *seed_value, uint32_t *call_value)
{
    if (!PyLong_Check(seed) || !PyLong_Check(call)) {
        PyErr_SetString(PyExc_TypeError, "seed and call must be integers");
        return -1;
    }
    *seed_value = PyLong_AsUnsignedLongLongMask(seed);
    *call_value = (uint32_t)PyLong_AsUnsignedLongLongMask(call);
    return PyErr_Occurred() ? -1 : 0;
}

PyObject *shape_tuple(const hn_shape *shape)
{
    PyObject *tuple = PyTuple_New(shape->rank);
    for (int32_t i = 0; tuple && i < shape->rank; i++) {
        PyObject *dim = PyLong_FromLongLong(shape->dims[i]);
        if (!dim)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, i, dim);
    }
    return tuple;
}

const hn_kernels *kernels_in_use(hn_dtype dtype)
{
    hn_error error;
    hn_isa isa;
    if (hn_isa_default(&isa, &error) != HN_OK) {
        error_raise(&error);
        return NULL;
    }
    const hn_kernels *kernels = hn_kernels_get(isa, dtype);
    if (!kernels)
        PyErr_Format(PyExc_ValueError, "there are no kernels for %s on \"%s\"", dtype_text(dtype), hn_isa_name(isa));
    return kernels;
}
