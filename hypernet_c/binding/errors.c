/* Statuses of the library as exceptions of Python. */
#include "binding.h"

static PyObject *exception_of(hn_status status)
{
    switch (status) {
    case HN_ERROR_VALUE: return PyExc_ValueError;
    case HN_ERROR_TYPE: return PyExc_TypeError;
    case HN_ERROR_MEMORY: return PyExc_MemoryError;
    case HN_ERROR_OS: return PyExc_OSError;
    case HN_ERROR_BUFFER: return PyExc_BufferError;
    case HN_ERROR_NOT_IMPLEMENTED: return PyExc_NotImplementedError;
    case HN_CANCELLED: return PyExc_KeyboardInterrupt;
    default: return PyExc_RuntimeError;
    }
}

/* A message that was cut may end within a character. */
static PyObject *message_of(const hn_error *error)
{
    return PyUnicode_DecodeUTF8(error->message, (Py_ssize_t)strlen(error->message), "replace");
}

void error_raise(const hn_error *error)
{
    if (error->status == HN_CANCELLED && PyErr_Occurred())
        return;
    PyObject *message = message_of(error);
    if (!message)
        return;
    PyErr_SetObject(exception_of(error->status), message);
    Py_DECREF(message);
}

PyObject *file_error_object(const hn_error *error, PyObject *path)
{
    if (error->status != HN_ERROR_OS || error->number == 0)
        return error_object(error);
    PyObject *message = message_of(error);
    PyObject *arguments = message ? Py_BuildValue("iNO", error->number, message, path) : NULL;
    if (arguments)
        PyErr_SetObject(PyExc_OSError, arguments); /* it chooses FileNotFoundError and its like by the number */
    Py_XDECREF(arguments);
    return NULL;
}

PyObject *error_object(const hn_error *error)
{
    error_raise(error);
    return NULL;
}

int arguments_check(const char *function, Py_ssize_t given, Py_ssize_t expected)
{
    if (given == expected)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd positional arguments, received %zd", function, expected, given);
    return -1;
}

int constructor_check(const char *type, PyObject *args, PyObject *keywords, Py_ssize_t expected)
{
    if (keywords && PyDict_GET_SIZE(keywords) > 0) {
        PyErr_Format(PyExc_TypeError, "%s() takes no keyword arguments", type);
        return -1;
    }
    return arguments_check(type, PyTuple_GET_SIZE(args), expected);
}
