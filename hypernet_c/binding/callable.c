/* Callable: the base of models. A call with ordinary arrays goes to the core with no Python in between. */
#include "binding.h"

typedef struct CallableObject {
    PyObject_HEAD
    PyObject *direct; /* takes one argument, or refuses it with TypeError or ValueError; NULL: there is nothing yet */
    binding_mutex mutex;
} CallableObject;

static PyObject *direct_take(CallableObject *self)
{
    binding_lock(&self->mutex);
    PyObject *direct = Py_XNewRef(self->direct);
    binding_unlock(&self->mutex);
    return direct;
}

static PyObject *callable_direct(PyObject *self, void *unused)
{
    (void)unused;
    PyObject *direct = direct_take((CallableObject *)self);
    return direct ? direct : Py_NewRef(Py_None);
}

static int callable_set_direct(PyObject *object, PyObject *value, void *unused)
{
    (void)unused;
    CallableObject *self = (CallableObject *)object;
    if (value && value != Py_None && !PyCallable_Check(value)) {
        PyErr_Format(PyExc_TypeError, "_direct must be callable or None, received %s", Py_TYPE(value)->tp_name);
        return -1;
    }
    PyObject *direct = value == Py_None ? NULL : Py_XNewRef(value);
    binding_lock(&self->mutex);
    PyObject *before = self->direct;
    self->direct = direct;
    binding_unlock(&self->mutex);
    Py_XDECREF(before);
    return 0;
}

/* One argument, and no keyword that changes anything: at most a `training` that is off. */
static int is_ordinary(PyObject *args, PyObject *keywords)
{
    PyObject *name, *value;
    Py_ssize_t position = 0;
    if (PyTuple_GET_SIZE(args) != 1)
        return 0;
    if (!keywords || PyDict_GET_SIZE(keywords) == 0)
        return 1;
    return PyDict_GET_SIZE(keywords) == 1 && PyDict_Next(keywords, &position, &name, &value) &&
           (value == Py_False || value == Py_None) && PyUnicode_Check(name) &&
           PyUnicode_CompareWithASCIIString(name, "training") == 0;
}

/* Whether the exception at hand refuses an argument. One with a traceback was raised by Python code that ran inside: by
   a signal handler, whose exception ends the call. */
static int is_refusal(void)
{
    PyObject *type, *value, *traceback;
    if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_ValueError))
        return 0;
    PyErr_Fetch(&type, &value, &traceback);
    int refused = !traceback;
    PyErr_Restore(type, value, traceback);
    return refused;
}

/* What is refused goes to the method `_call`, which converts it or says in Keras's words what is wrong. */
static PyObject *callable_call(PyObject *self, PyObject *args, PyObject *keywords)
{
    PyObject *direct = is_ordinary(args, keywords) ? direct_take((CallableObject *)self) : NULL;
    if (direct) {
        PyObject *result = PyObject_Call(direct, args, NULL); /* which bounds the depth: it may lead back to us */
        Py_DECREF(direct);
        if (result || !is_refusal())
            return result;
        PyErr_Clear();
    }
    PyObject *method = PyObject_GetAttrString(self, "_call");
    PyObject *result = method ? PyObject_Call(method, args, keywords) : NULL;
    Py_XDECREF(method);
    return result;
}

static int callable_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((CallableObject *)self)->direct);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static int callable_clear(PyObject *self)
{
    Py_CLEAR(((CallableObject *)self)->direct);
    return 0;
}

/* A chain of any length may end at once, hence the trashcan. */
static void callable_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, callable_dealloc)
    callable_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
    Py_TRASHCAN_END
}

static PyGetSetDef properties[] = {
    {"_direct", callable_direct, callable_set_direct, "What takes ordinary calls, or None.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot slots[] = {
    {Py_tp_doc, "The base of models: calls go to `_direct`, and what that refuses to the method `_call`."},
    {Py_tp_call, callable_call},
    {Py_tp_dealloc, callable_dealloc},
    {Py_tp_traverse, callable_traverse},
    {Py_tp_clear, callable_clear},
    {Py_tp_getset, properties},
    {0, NULL},
};
PyType_Spec callable_spec = {
    .name = "hypernet._core.Callable", .basicsize = sizeof(CallableObject), .slots = slots,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
};
