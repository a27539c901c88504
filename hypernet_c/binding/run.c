/* The GIL and signals during a run. */
#include "run.h"
#include "../base/clock.h"
#include "../base/forks.h"

#include <stdatomic.h>

/* Letting go and taking back cost about 100 ns, more if others wait. */
static const double worth_releasing = 5000.0;
/* Signals are promised every 50 ms; a block takes a few, and waiting for the GIL may take 5. */
static const int64_t poll_interval = 20000000;

void gil_release(gil *gil, double work)
{
    gil->polled = 0;
    gil->saved = work > worth_releasing ? PyEval_SaveThread() : NULL;
}

void gil_acquire(gil *gil)
{
    if (gil->saved)
        PyEval_RestoreThread(gil->saved);
    gil->saved = NULL;
}

/* ---- signals ---- */

static _Atomic unsigned long main_thread;

static void main_thread_forked(void)
{
    atomic_store(&main_thread, PyThread_get_thread_ident());
}

int main_thread_find(void)
{
    static atomic_flag registered = ATOMIC_FLAG_INIT;
    PyObject *name = PyUnicode_FromString("threading");
    PyObject *threading = name ? PyImport_GetModule(name) : NULL; /* not loaded: there is no thread but the main one */
    PyObject *thread = threading ? PyObject_CallMethod(threading, "main_thread", NULL) : NULL;
    PyObject *ident = thread ? PyObject_GetAttrString(thread, "ident") : NULL;
    unsigned long number = ident ? PyLong_AsUnsignedLong(ident) : PyThread_get_thread_ident();
    Py_XDECREF(name);
    Py_XDECREF(threading);
    Py_XDECREF(thread);
    Py_XDECREF(ident);
    if (PyErr_Occurred())
        return -1;
    atomic_store(&main_thread, number);
    if (!atomic_flag_test_and_set(&registered))
        hn_forks_handle(main_thread_forked);
    return 0;
}

/* Only the main thread runs signal handlers. Any other that asked for the GIL while the interpreter shuts down would
   end there, and take away the memory that its helpers work on. */
int gil_poll(void *context)
{
    gil *gil = context;
    if (PyThread_get_thread_ident() != atomic_load_explicit(&main_thread, memory_order_relaxed))
        return 0;
    int64_t now = hn_clock_now();
    if (gil->polled == 0)
        gil->polled = now;
    if (now - gil->polled < poll_interval)
        return 0;
    int released = gil->saved != NULL;
    gil_acquire(gil);
    uint64_t forks = hn_forks_count();
    int raised = PyErr_CheckSignals();
    if (!raised && forks != hn_forks_count()) {
        PyErr_SetString(PyExc_RuntimeError, "a signal handler forked inside a call, which the child cannot end: the "
                        "threads that helped are gone; call again");
        raised = -1;
    }
    if (released)
        gil->saved = PyEval_SaveThread();
    gil->polled = hn_clock_now();
    return raised;
}

int tuple_check(PyObject *tuple, Py_ssize_t count, const char *what)
{
    if (!PyTuple_Check(tuple)) {
        PyErr_Format(PyExc_TypeError, "%s must be a tuple, received %s", what, Py_TYPE(tuple)->tp_name);
        return -1;
    }
    if (PyTuple_GET_SIZE(tuple) == count)
        return 0;
    PyErr_Format(PyExc_ValueError, "%zd %s expected, received %zd", count, what, PyTuple_GET_SIZE(tuple));
    return -1;
}

PyObject *arrays_tuple(PyArrayObject *const *arrays, int32_t count)
{
    PyObject *tuple = PyTuple_New(count);
    for (int32_t i = 0; tuple && i < count; i++)
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(arrays[i] ? (PyObject *)arrays[i] : Py_None));
    return tuple;
}

PyObject *results_tuple(PyArrayObject *const *arrays, int32_t count, PyObject *out)
{
    return out == Py_None ? arrays_tuple(arrays, count) : Py_NewRef(out);
}
