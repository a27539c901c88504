/* Many writes to stores, as one: nothing is written unless all can be. */
#include "run.h"
#include "store.h"
#include "../base/memory.h"

typedef struct one_write {
    StoreObject *store;
    PyArrayObject *array; /* held, so that with the tuple's reference NumPy refuses to resize it */
    size_t offset, bytes; /* in bytes */
} one_write;

typedef struct writes {
    one_write *list;
    StoreObject **stores; /* each once */
    Py_ssize_t count, held, store_count, claimed;
} writes;

/* (store, offset, array) */
static int write_take(const binding_state *state, PyObject *item, one_write *to)
{
    int64_t offset;
    if (tuple_check(item, 3, "parts of a write") < 0 || value_count(PyTuple_GET_ITEM(item, 1), "offset", &offset) < 0)
        return -1;
    StoreObject *store = (StoreObject *)PyTuple_GET_ITEM(item, 0);
    PyArrayObject *array = (PyArrayObject *)PyTuple_GET_ITEM(item, 2);
    if (!Py_IS_TYPE((PyObject *)store, state->store_type) || !PyArray_Check((PyObject *)array) ||
        array_dtype(array) != (int)store->dtype || !PyArray_IS_C_CONTIGUOUS(array) || PyArray_ISBYTESWAPPED(array)) {
        PyErr_SetString(PyExc_TypeError, "contiguous arrays of a store's dtype are written to it");
        return -1;
    }
    if (offset > store->count || PyArray_SIZE(array) > store->count - offset) {
        PyErr_Format(PyExc_ValueError, "%zd numbers at offset %lld do not lie in a store of %lld",
                     (Py_ssize_t)PyArray_SIZE(array), (long long)offset, (long long)store->count);
        return -1;
    }
    *to = (one_write){store, (PyArrayObject *)Py_NewRef(array), (size_t)offset * hn_dtype_size(store->dtype),
                      (size_t)PyArray_NBYTES(array)};
    return 0;
}

static void store_add(writes *self, StoreObject *store)
{
    for (Py_ssize_t i = self->store_count - 1; i >= 0; i--)
        if (self->stores[i] == store)
            return;
    self->stores[self->store_count++] = store;
}

/* `claimed`: the caller is the stores' writer already. */
static int writes_take(const binding_state *state, writes *self, PyObject *tuple, int claimed)
{
    hn_error error;
    self->count = PyTuple_GET_SIZE(tuple);
    self->list = hn_memory_allocate((size_t)self->count, sizeof *self->list, &error);
    self->stores = self->list ? hn_memory_allocate((size_t)self->count, sizeof *self->stores, &error) : NULL;
    if (!self->stores) {
        error_raise(&error);
        return -1;
    }
    for (; self->held < self->count; self->held++) {
        if (write_take(state, PyTuple_GET_ITEM(tuple, self->held), &self->list[self->held]) < 0)
            return -1;
        store_add(self, self->list[self->held].store);
    }
    for (Py_ssize_t i = 0; claimed && i < self->store_count; i++)
        if (hn_lock_check_claim(self->stores[i]->lock, &error) != HN_OK) {
            error_raise(&error);
            return -1;
        }
    while (!claimed && self->claimed < self->store_count) {
        if (store_claim(self->stores[self->claimed]) < 0)
            return -1;
        self->claimed++;
    }
    return 0;
}

/* One store after the other: who reads two of them waits for the second while it holds the first. */
static void writes_run(const writes *self)
{
    for (Py_ssize_t s = 0; s < self->store_count; s++) {
        StoreObject *store = self->stores[s];
        hn_lock_write_begin(store->lock);
        for (Py_ssize_t i = 0; i < self->count; i++)
            if (self->list[i].store == store)
                memmove((char *)store->data + self->list[i].offset, PyArray_DATA(self->list[i].array),
                        self->list[i].bytes);
        atomic_fetch_add(&store->version, 1);
        hn_lock_write_end(store->lock);
    }
}

/* Whoever waits for readers must not hold the GIL, which they may need. */
static PyObject *write_all(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    writes self = {.list = NULL};
    if (arguments_check("write_all", count, 2) < 0)
        return NULL;
    int claimed = PyObject_IsTrue(args[1]);
    if (claimed < 0)
        return NULL;
    PyObject *tuple = sequence_take(args[0], "writes must be a sequence of (store, offset, array)");
    if (!tuple)
        return NULL;
    int good = writes_take(PyModule_GetState(module), &self, tuple, claimed) == 0;
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        writes_run(&self);
        Py_END_ALLOW_THREADS
    }
    while (self.claimed > 0)
        hn_lock_release(self.stores[--self.claimed]->lock);
    while (self.held > 0)
        Py_DECREF(self.list[--self.held].array);
    hn_memory_free(self.list);
    hn_memory_free(self.stores);
    Py_DECREF(tuple);
    return good ? Py_NewRef(Py_None) : NULL;
}

PyMethodDef writes_functions[] = {
    {"write_all", FASTCALL(write_all), METH_FASTCALL,
     "write_all(writes, claimed): copy each array of (store, offset, array) in, all or none."},
    {NULL, NULL, 0, NULL},
};
