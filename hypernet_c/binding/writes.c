/* Many writes to stores and arrays, as one: nothing is written unless all can be. */
#include "optimizer.h"
#include "run.h"
#include "../base/memory.h"

/* The arrays are held, so that with the tuple's references NumPy refuses to resize them. */
typedef struct one_write {
    StoreObject *store; /* NULL: into an array */
    PyArrayObject *into, *array;
    size_t offset, bytes; /* in bytes */
} one_write;

typedef struct writes {
    one_write *list;
    StoreObject **stores; /* each once */
    Py_ssize_t count, held, store_count, claimed;
} writes;

/* Where (store or array, offset, array) goes: the dtype and how many numbers there are. */
static int destination_take(const binding_state *state, PyObject *given, one_write *to, int *dtype, int64_t *count)
{
    PyArrayObject *into = (PyArrayObject *)given;
    if (Py_IS_TYPE(given, state->store_type)) {
        to->store = (StoreObject *)given;
        *dtype = (int)to->store->dtype;
        *count = to->store->count;
        return 0;
    }
    if (!PyArray_Check(given) || !PyArray_IS_C_CONTIGUOUS(into) || !PyArray_ISBEHAVED(into) ||
        store_behind(state, given)) {
        PyErr_SetString(PyExc_TypeError, "what is written to are stores, and contiguous writable arrays of no store");
        return -1;
    }
    to->into = into;
    *dtype = array_dtype(into);
    *count = PyArray_SIZE(into);
    return 0;
}

/* (store or array, offset, array) */
static int write_take(const binding_state *state, PyObject *item, one_write *to)
{
    int64_t offset;
    if (tuple_check(item, 3, "parts of a write") < 0 || value_count(PyTuple_GET_ITEM(item, 1), "offset", &offset) < 0)
        return -1;
    PyArrayObject *array = (PyArrayObject *)PyTuple_GET_ITEM(item, 2);
    int64_t count;
    int dtype;
    *to = (one_write){.store = NULL};
    if (destination_take(state, PyTuple_GET_ITEM(item, 0), to, &dtype, &count) < 0)
        return -1;
    if (!PyArray_Check((PyObject *)array) || dtype < 0 || array_dtype(array) != dtype ||
        !PyArray_IS_C_CONTIGUOUS(array)) {
        PyErr_SetString(PyExc_TypeError, "contiguous arrays of a store's dtype are written to it");
        return -1;
    }
    if (offset > count || PyArray_SIZE(array) > count - offset) {
        PyErr_Format(PyExc_ValueError, "%zd numbers at offset %lld do not lie among %lld",
                     (Py_ssize_t)PyArray_SIZE(array), (long long)offset, (long long)count);
        return -1;
    }
    to->array = (PyArrayObject *)Py_NewRef(array);
    Py_XINCREF(to->into);
    to->offset = (size_t)offset * hn_dtype_size((hn_dtype)dtype);
    to->bytes = (size_t)PyArray_NBYTES(array);
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
        if (self->list[self->held].store)
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

static void write_run(const one_write *write, void *data)
{
    memmove((char *)data + write->offset, PyArray_DATA(write->array), write->bytes);
}

/* One store after the other: who reads two of them waits for the second while it holds the first. Whoever reads one
   store and the optimizer's state sees both before the update, or both after all. */
static void writes_run(const writes *self, const update_call *update)
{
    if (update && self->store_count == 0)
        update_run(update);
    for (Py_ssize_t s = 0; s < self->store_count; s++) {
        StoreObject *store = self->stores[s];
        hn_lock_write_begin(store->lock);
        if (update && s == 0)
            update_run(update);
        for (Py_ssize_t i = 0; i < self->count; i++)
            if (self->list[i].store == store)
                write_run(&self->list[i], store->data);
        atomic_fetch_add(&store->version, 1);
        hn_lock_write_end(store->lock);
    }
    for (Py_ssize_t i = 0; i < self->count; i++)
        if (self->list[i].into)
            write_run(&self->list[i], PyArray_DATA(self->list[i].into));
}

static void writes_drop(writes *self)
{
    while (self->claimed > 0)
        hn_lock_release(self->stores[--self->claimed]->lock);
    while (self->held > 0) {
        self->held--;
        Py_DECREF(self->list[self->held].array);
        Py_XDECREF(self->list[self->held].into);
    }
    hn_memory_free(self->list);
    hn_memory_free(self->stores);
}

/* Whoever waits for readers must not hold the GIL, which they may need. */
static int write_after(PyObject *module, PyObject *sequence, int claimed, const update_call *update)
{
    writes self = {.list = NULL};
    PyObject *tuple = sequence_take(sequence, "writes must be a sequence of (store, offset, array)");
    if (!tuple)
        return -1;
    int good = writes_take(PyModule_GetState(module), &self, tuple, claimed) == 0;
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        writes_run(&self, update);
        Py_END_ALLOW_THREADS
    }
    writes_drop(&self);
    Py_DECREF(tuple);
    return good ? 0 : -1;
}

static PyObject *write_all(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    int claimed = arguments_check("write_all", count, 2) < 0 ? -1 : PyObject_IsTrue(args[1]);
    if (claimed < 0 || write_after(module, args[0], claimed, NULL) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *update_all(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    const binding_state *state = PyModule_GetState(module);
    update_call update;
    if (arguments_check("update_all", count, 6) < 0)
        return NULL;
    if (!Py_IS_TYPE(args[1], state->optimizer_type))
        return PyErr_Format(PyExc_TypeError, "an Optimizer is needed, received %s", Py_TYPE(args[1])->tp_name);
    int good = update_begin(&update, args[1], args + 2, 1) == 0;
    if (good && update.store) {
        PyErr_SetString(PyExc_ValueError, "the updated vector must be an array of its own, not a store's memory");
        good = 0;
    }
    good = good && write_after(module, args[0], 1, &update) == 0;
    update_end(&update);
    if (!good)
        return NULL;
    Py_RETURN_NONE;
}

PyMethodDef writes_functions[] = {
    {"write_all", FASTCALL(write_all), METH_FASTCALL,
     "write_all(writes, claimed): copy each array of (store, offset, array) in, all or none."},
    {"update_all", FASTCALL(update_all), METH_FASTCALL,
     "update_all(writes, optimizer, weights, gradient, learning_rate, grad_scale): apply, and then the writes."},
    {NULL, NULL, 0, NULL},
};
