/* Copies of several arrays between two updates of the stores that they are views of. */
#ifndef HN_BINDING_COPIES_H
#define HN_BINDING_COPIES_H

#include "binding.h"

/* Copies memory in pieces, so that signals are seen; -1: a signal handler raised an exception. */
int memory_copy(void *to, const void *from, size_t bytes);

/* A contiguous, native, aligned copy of every array of a dict, by the same keys: a new dict. NULL: an exception is set;
   TypeError for what is no array. No update of a store is seen in part, nor in some of its arrays only; an update of
   several stores is written one store after the other. */
PyObject *arrays_copied(const binding_state *state, PyObject *arrays);

#endif
