/* What every file of the binding shares: Python, NumPy, the module's state, errors, plain values.

   The binding holds no arithmetic: it checks, finds buffers, releases the GIL, and calls the library. A function that
   returns int gives 0, or -1 with a Python exception set; one that returns a pointer gives NULL then. */
#ifndef HN_BINDING_BINDING_H
#define HN_BINDING_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#ifndef NPY_TARGET_VERSION
#define NPY_TARGET_VERSION NPY_1_22_API_VERSION
#endif
#ifndef NPY_NO_DEPRECATED_API
#define NPY_NO_DEPRECATED_API NPY_1_22_API_VERSION
#endif
#define PY_ARRAY_UNIQUE_SYMBOL hypernet_numpy_api
#ifndef BINDING_IMPORTS_NUMPY /* one file does */
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#include "../hypernet.h"

/* A network may have this many inputs, and as many outputs. */
#define BINDING_MAX_TENSORS HN_MAX_INPUTS

typedef struct binding_state {
    PyTypeObject *owner_type, *store_type, *claim_type, *graph_type, *network_type, *hyper_type, *optimizer_type;
    PyTypeObject *callable_type;
    PyObject *shares_memory; /* numpy.shares_memory */
} binding_state;

/* The state behind an object of one of our types (none of them can be derived from), or behind the module. */
static inline binding_state *state_of(PyObject *object)
{
    return PyType_GetModuleState(Py_TYPE(object));
}

/* ---- locks of the binding's own data: where there is a GIL, that is the lock ---- */
#ifdef Py_GIL_DISABLED
typedef PyMutex binding_mutex;
#define binding_lock(mutex) PyMutex_Lock(mutex)
#define binding_unlock(mutex) PyMutex_Unlock(mutex)
#else
typedef char binding_mutex;
#define binding_lock(mutex) ((void)(mutex))
#define binding_unlock(mutex) ((void)(mutex))
#endif

#define FASTCALL(function) ((PyCFunction)(void (*)(void))(function))

/* ---- errors.c ---- */

/* Sets the exception that belongs to `error`. HN_CANCELLED keeps the one that is pending. */
void error_raise(const hn_error *error);
/* The same for functions that return objects. */
PyObject *error_object(const hn_error *error);
/* The same for a file: the OSError has errno and filename. */
PyObject *file_error_object(const hn_error *error, PyObject *path);
/* TypeError unless a function got exactly `expected` arguments. */
int arguments_check(const char *function, Py_ssize_t given, Py_ssize_t expected);
/* The same for a constructor, which takes no keywords either. */
int constructor_check(const char *type, PyObject *args, PyObject *keywords, Py_ssize_t expected);

/* ---- values.c: `what` names the value in messages ---- */
int value_integer(PyObject *object, const char *what, int64_t *value);
int value_count(PyObject *object, const char *what, int64_t *value); /* not negative */
int value_number(PyObject *object, const char *what, double *value);
/* UTF-8 that lives as long as the object; a text that holds U+0000 is a ValueError. */
const char *value_text(PyObject *object, const char *what);
int value_dtype(PyObject *object, hn_dtype *dtype);
int value_shape(PyObject *object, const char *what, hn_shape *shape);
/* The items of a sequence as a new tuple (TypeError: `message`): reading an item may run code that changes a list. */
PyObject *sequence_take(PyObject *object, const char *message);
/* A seed is taken modulo 2^64, a call modulo 2^32. */
int value_seed(PyObject *seed, PyObject *call, uint64_t *seed_value, uint32_t *call_value);
PyObject *shape_tuple(const hn_shape *shape);
const char *dtype_text(hn_dtype dtype);
/* The kernels in use for a dtype. */
const hn_kernels *kernels_in_use(hn_dtype dtype);

/* ---- attributes.c ---- */

/* A dict as attributes, which point into `*kept`, a new reference: reading a value may run code that changes the dict.
   Returns their number, or -1, where `*kept` is NULL. */
int32_t attributes_take(PyObject *given, hn_attribute attributes[HN_MAX_ATTRIBUTES], PyObject **kept);
/* (local name, role, shape, fan_in, fan_out), or with the full name and the offset of an entry in its graph. */
PyObject *entry_spec_tuple(const hn_entry_spec *spec);
PyObject *entry_tuple(const hn_entry *entry);

/* ---- functions of the module, and its types: one array or one spec a file ---- */
extern PyMethodDef attributes_functions[], batches_functions[], copies_functions[], files_functions[],
    functions_functions[], hyper_functions[], machine_functions[], store_functions[], writes_functions[];
extern PyType_Spec owner_spec, store_spec, claim_spec, graph_spec, network_spec, hyper_spec, optimizer_spec,
    callable_spec;

#endif
