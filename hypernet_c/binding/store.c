/* Store: memory for a flat vector of parameters, with a version and a lock. */
#include "store.h"
#include "../base/memory.h"

/* ---- the base of a view ---- */

typedef struct OwnerObject {
    PyObject_HEAD
    PyObject *keeper;
    StoreObject *counted; /* the keeper, if it is a store */
} OwnerObject;

static int owner_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((OwnerObject *)self)->keeper);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void owner_dealloc(PyObject *self)
{
    OwnerObject *owner = (OwnerObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (owner->counted)
        atomic_fetch_sub(&owner->counted->live_views, 1);
    Py_XDECREF(owner->keeper);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot owner_slots[] = {
    {Py_tp_doc, "The base of arrays over memory of this module: keeps its owner alive."},
    {Py_tp_dealloc, owner_dealloc},
    {Py_tp_traverse, owner_traverse},
    {0, NULL},
};
PyType_Spec owner_spec = {
    .name = "hypernet._core._Owner", .basicsize = sizeof(OwnerObject), .slots = owner_slots,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
};

PyObject *owned_view(binding_state *state, PyObject *keeper, void *data, hn_dtype dtype, int rank,
                     const npy_intp *dims)
{
    OwnerObject *owner = (OwnerObject *)state->owner_type->tp_alloc(state->owner_type, 0);
    if (!owner)
        return NULL;
    owner->keeper = Py_NewRef(keeper);
    if (Py_IS_TYPE(keeper, state->store_type)) {
        owner->counted = (StoreObject *)keeper;
        atomic_fetch_add(&owner->counted->live_views, 1);
    }
    PyObject *array = PyArray_SimpleNewFromData(rank, dims, array_type_number(dtype), data);
    if (!array) {
        Py_DECREF(owner);
        return NULL;
    }
    if (PyArray_SetBaseObject((PyArrayObject *)array, (PyObject *)owner) < 0) /* takes the reference in any case */
        Py_CLEAR(array);
    return array;
}

/* What a memoryview is of; NULL if it is released, for then what it points to may be gone. */
static PyObject *memoryview_of(PyObject *view)
{
    Py_buffer exported;
    if (PyObject_GetBuffer(view, &exported, PyBUF_FULL_RO) < 0) { /* fails for released ones only */
        PyErr_Clear();
        return NULL;
    }
    PyObject *owner = PyMemoryView_GET_BUFFER(view)->obj;
    PyBuffer_Release(&exported);
    return owner;
}

static const OwnerObject *owner_behind(const binding_state *state, PyObject *array)
{
    PyObject *base = PyArray_Check(array) ? PyArray_BASE((PyArrayObject *)array) : NULL;
    while (base && !Py_IS_TYPE(base, state->owner_type)) {
        if (PyArray_Check(base))
            base = PyArray_BASE((PyArrayObject *)base);
        else
            base = PyMemoryView_Check(base) ? memoryview_of(base) : NULL;
    }
    return (OwnerObject *)base;
}

StoreObject *store_behind(const binding_state *state, PyObject *array)
{
    const OwnerObject *owner = owner_behind(state, array);
    return owner ? owner->counted : NULL;
}

int is_owned_view(const binding_state *state, PyObject *array)
{
    return owner_behind(state, array) != NULL;
}

/* ---- the store ---- */

static PyObject *store_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    int64_t count;
    hn_dtype dtype;
    hn_error error;
    if (constructor_check("Store", args, keywords, 2) < 0 ||
        value_count(PyTuple_GET_ITEM(args, 0), "count", &count) < 0 ||
        value_dtype(PyTuple_GET_ITEM(args, 1), &dtype) < 0)
        return NULL;
    if (dtype == HN_INT64)
        return PyErr_Format(PyExc_ValueError, "parameters are float32 or float64, received int64");
    StoreObject *self = (StoreObject *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->count = count;
    self->dtype = dtype;
    self->data = hn_memory_allocate((size_t)count, hn_dtype_size(dtype), &error);
    self->lock = self->data ? hn_lock_create(&error) : NULL;
    if (!self->lock) {
        Py_DECREF(self);
        return error_object(&error);
    }
    return (PyObject *)self;
}

static void store_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    hn_memory_free(((StoreObject *)self)->data);
    hn_lock_free(((StoreObject *)self)->lock);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *store_view(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    StoreObject *store = (StoreObject *)self;
    int64_t offset;
    hn_shape shape;
    npy_intp dims[HN_MAX_RANK];
    char text[200];
    if (arguments_check("Store.view", count, 2) < 0 || value_integer(args[0], "offset", &offset) < 0 ||
        value_shape(args[1], "shape", &shape) < 0)
        return NULL;
    int64_t size = hn_shape_size(&shape);
    if (offset < 0 || size < 0 || offset > store->count || size > store->count - offset)
        return PyErr_Format(PyExc_ValueError, "a view of shape %s at offset %lld does not lie in a store of %lld",
                            hn_shape_format(&shape, text, sizeof text), (long long)offset, (long long)store->count);
    for (int32_t i = 0; i < shape.rank; i++)
        dims[i] = (npy_intp)shape.dims[i];
    char *data = (char *)store->data + (size_t)offset * hn_dtype_size(store->dtype);
    return owned_view(state_of(self), self, data, store->dtype, shape.rank, dims);
}

int store_claim(StoreObject *store)
{
    hn_error error;
    if (hn_lock_claim(store->lock, &error) == HN_OK)
        return 0;
    error_raise(&error);
    return -1;
}

/* Whoever waits for readers must not hold the GIL, which they may need. The array may be a view of the store. */
static PyObject *store_write(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    StoreObject *store = (StoreObject *)self;
    int64_t offset;
    if (arguments_check("Store.write", count, 2) < 0 || value_count(args[0], "offset", &offset) < 0)
        return NULL;
    PyArrayObject *array = (PyArrayObject *)args[1];
    if (!PyArray_Check(args[1]) || array_dtype(array) != (int)store->dtype || !PyArray_ISCARRAY_RO(array))
        return PyErr_Format(PyExc_TypeError, "a contiguous array of %s is written, received %S",
                            dtype_text(store->dtype), Py_TYPE(args[1]));
    if (offset > store->count || PyArray_SIZE(array) > store->count - offset)
        return PyErr_Format(PyExc_ValueError, "%zd numbers at offset %lld do not lie in a store of %lld",
                            (Py_ssize_t)PyArray_SIZE(array), (long long)offset, (long long)store->count);
    if (store_claim(store) < 0)
        return NULL;
    size_t bytes = (size_t)PyArray_NBYTES(array);
    Py_INCREF(array); /* with the caller's reference NumPy refuses to resize it */
    Py_BEGIN_ALLOW_THREADS
    hn_lock_write_begin(store->lock);
    memmove((char *)store->data + (size_t)offset * hn_dtype_size(store->dtype), PyArray_DATA(array), bytes);
    atomic_fetch_add(&store->version, 1);
    hn_lock_write_end(store->lock);
    Py_END_ALLOW_THREADS
    hn_lock_release(store->lock);
    Py_DECREF(array);
    Py_RETURN_NONE;
}

static PyObject *store_claim_method(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (store_claim((StoreObject *)self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *store_release(PyObject *self, PyObject *unused)
{
    (void)unused;
    hn_lock_release(((StoreObject *)self)->lock);
    Py_RETURN_NONE;
}

static PyObject *store_count(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong(((StoreObject *)self)->count);
}

static PyObject *store_dtype(PyObject *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(dtype_text(((StoreObject *)self)->dtype));
}

static PyObject *store_version(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(atomic_load(&((StoreObject *)self)->version));
}

static PyObject *store_live_views(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong(atomic_load(&((StoreObject *)self)->live_views));
}

static PyMethodDef store_methods[] = {
    {"view", FASTCALL(store_view), METH_FASTCALL,
     "view(offset, shape): a live, writable view that keeps the memory alive."},
    {"write", FASTCALL(store_write), METH_FASTCALL, "write(offset, array): copy numbers in, as the one writer."},
    {"claim", store_claim_method, METH_NOARGS, "Become the one writer; RuntimeError if there is one."},
    {"release", store_release, METH_NOARGS, "Give the right to write back."},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef store_properties[] = {
    {"count", store_count, NULL, "Number of parameters.", NULL},
    {"dtype", store_dtype, NULL, "\"float32\" or \"float64\".", NULL},
    {"version", store_version, NULL, "Raised by every update.", NULL},
    {"live_views", store_live_views, NULL, "Arrays handed out by `view` that are still alive.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot store_slots[] = {
    {Py_tp_doc, "Store(count, dtype): memory for a flat vector of parameters; zeroed at birth."},
    {Py_tp_new, store_new},
    {Py_tp_dealloc, store_dealloc},
    {Py_tp_methods, store_methods},
    {Py_tp_getset, store_properties},
    {0, NULL},
};
PyType_Spec store_spec = {
    .name = "hypernet._core.Store", .basicsize = sizeof(StoreObject), .slots = store_slots,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
};

static PyObject *store_of(PyObject *module, PyObject *array)
{
    StoreObject *store = store_behind(PyModule_GetState(module), array);
    if (!store)
        Py_RETURN_NONE;
    return Py_NewRef((PyObject *)store);
}

PyMethodDef store_functions[] = {
    {"store_of", store_of, METH_O, "The store whose memory an array is a view of, or None."},
    {NULL, NULL, 0, NULL},
};
