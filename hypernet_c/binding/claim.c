/* Claim: the right to write several stores, from `with` to the end of its block. In C, so that an exception of a signal
   handler cannot come between taking a right and remembering it. */
#include "store.h"

typedef struct ClaimObject {
    PyObject_HEAD
    PyObject *stores; /* a tuple, each once */
    Py_ssize_t held;
} ClaimObject;

static PyObject *claim_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    if (constructor_check("Claim", args, keywords, 1) < 0)
        return NULL;
    PyObject *stores = sequence_take(PyTuple_GET_ITEM(args, 0), "Claim takes a sequence of stores");
    if (!stores)
        return NULL;
    ClaimObject *self = (ClaimObject *)type->tp_alloc(type, 0);
    if (!self) {
        Py_DECREF(stores);
        return NULL;
    }
    self->stores = stores;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(stores); i++)
        if (!Py_IS_TYPE(PyTuple_GET_ITEM(stores, i), state_of((PyObject *)self)->store_type)) {
            Py_DECREF(self);
            return PyErr_Format(PyExc_TypeError, "Claim takes a sequence of stores");
        }
    return (PyObject *)self;
}

static void claim_release(ClaimObject *self)
{
    while (self->held > 0)
        hn_lock_release(((StoreObject *)PyTuple_GET_ITEM(self->stores, --self->held))->lock);
}

static void claim_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    ClaimObject *self = (ClaimObject *)object;
    claim_release(self);
    Py_DECREF(self->stores);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *claim_enter(PyObject *object, PyObject *unused)
{
    (void)unused;
    ClaimObject *self = (ClaimObject *)object;
    if (self->held)
        return PyErr_Format(PyExc_RuntimeError, "this Claim is in use");
    while (self->held < PyTuple_GET_SIZE(self->stores)) {
        if (store_claim((StoreObject *)PyTuple_GET_ITEM(self->stores, self->held)) < 0) {
            claim_release(self);
            return NULL;
        }
        self->held++;
    }
    return Py_NewRef(object);
}

static PyObject *claim_exit(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    (void)args;
    (void)count;
    claim_release((ClaimObject *)object);
    Py_RETURN_NONE;
}

static PyMethodDef claim_methods[] = {
    {"__enter__", claim_enter, METH_NOARGS, "Become the one writer of all; RuntimeError if there is one of any."},
    {"__exit__", FASTCALL(claim_exit), METH_FASTCALL, "Give the rights back."},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot claim_slots[] = {
    {Py_tp_doc, "Claim(stores): `with` it, the right to write all of these stores."},
    {Py_tp_new, claim_new},
    {Py_tp_dealloc, claim_dealloc},
    {Py_tp_methods, claim_methods},
    {0, NULL},
};
PyType_Spec claim_spec = {
    .name = "hypernet._core.Claim", .basicsize = sizeof(ClaimObject), .slots = claim_slots,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
};
