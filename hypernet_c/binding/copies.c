#include "copies.h"
#include "store.h"
#include <string.h>

/* Bytes that are copied from one look at signals to the next, and those for which the GIL is not worth releasing. */
static const size_t piece = 1 << 23, few = 1 << 16;

int memory_copy(void *to, const void *from, size_t bytes, int fixed)
{
    if (bytes <= few) {
        memcpy(to, from, bytes);
        return 0;
    }
    size_t step = fixed ? piece : bytes;
    for (size_t done = 0; done < bytes; done += step) {
        Py_BEGIN_ALLOW_THREADS
        memcpy((char *)to + done, (const char *)from + done, bytes - done < step ? bytes - done : step);
        Py_END_ALLOW_THREADS
        if (fixed && PyErr_CheckSignals() < 0)
            return -1;
    }
    return 0;
}

/* Most arrays are contiguous, native and aligned already. */
static PyObject *array_copy(const binding_state *state, PyObject *object, PyObject *name)
{
    if (!PyArray_Check(object))
        return PyErr_Format(PyExc_TypeError, "tensor \"%S\" must be an array, received %s", name,
                            Py_TYPE(object)->tp_name);
    PyArrayObject *given = (PyArrayObject *)object;
    if (!PyArray_ISCARRAY_RO(given) || !PyArray_ISNUMBER(given))
        return PyArray_FROM_OF(object, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED | NPY_ARRAY_ENSURECOPY |
                                           NPY_ARRAY_ENSUREARRAY);
    PyObject *made = PyArray_SimpleNew(PyArray_NDIM(given), PyArray_DIMS(given), PyArray_TYPE(given));
    if (made && memory_copy(PyArray_DATA((PyArrayObject *)made), PyArray_DATA(given), (size_t)PyArray_NBYTES(given),
                            is_owned_view(state, object)) < 0)
        Py_CLEAR(made);
    return made;
}

/* The stores that arrays are views of, each once: a new list. NULL on error. */
static PyObject *stores_of(const binding_state *state, PyObject *arrays)
{
    PyObject *stores = PyDict_New(), *key, *value;
    Py_ssize_t position = 0;
    while (stores && PyDict_Next(arrays, &position, &key, &value)) {
        PyObject *store = (PyObject *)store_behind(state, value);
        if (store && PyDict_SetItem(stores, store, Py_None) < 0)
            Py_CLEAR(stores);
    }
    PyObject *list = stores ? PyDict_Keys(stores) : NULL;
    Py_XDECREF(stores);
    return list;
}

/* Begins or ends reading of all of them. */
static void stores_read(PyObject *stores, void (*change)(hn_lock *))
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(stores); i++)
        change(((StoreObject *)PyList_GET_ITEM(stores, i))->lock);
}

PyObject *arrays_copied(const binding_state *state, PyObject *arrays)
{
    PyObject *key, *value, *given = PyDict_Copy(arrays); /* others may change theirs meanwhile */
    PyObject *stores = given ? stores_of(state, given) : NULL, *copies = stores ? PyDict_New() : NULL;
    Py_ssize_t position = 0;
    int failed = !copies;
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS /* it may wait for a writer's last pass */
        stores_read(stores, hn_lock_read_begin);
        Py_END_ALLOW_THREADS
        while (!failed && PyDict_Next(given, &position, &key, &value)) {
            PyObject *copy = array_copy(state, value, key);
            failed = !copy || PyDict_SetItem(copies, key, copy) < 0;
            Py_XDECREF(copy);
        }
        stores_read(stores, hn_lock_read_end);
    }
    if (failed)
        Py_CLEAR(copies);
    Py_XDECREF(stores);
    Py_XDECREF(given);
    return copies;
}

static PyObject *copies(PyObject *module, PyObject *arrays)
{
    if (!PyDict_Check(arrays))
        return PyErr_Format(PyExc_TypeError, "copies takes a dict of arrays, received %s", Py_TYPE(arrays)->tp_name);
    return arrays_copied(PyModule_GetState(module), arrays);
}

PyMethodDef copies_functions[] = {
    {"copies", copies, METH_O, "copies(arrays): a dict of copies, made between two updates of their stores."},
    {NULL, NULL, 0, NULL},
};
