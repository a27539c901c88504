/* Copies of several arrays between two updates of the stores that they are views of. */
#ifndef HN_BINDING_COPIES_H
#define HN_BINDING_COPIES_H

#include "binding.h"

/* Copies much memory without the GIL. In pieces if `fixed`, so that signals are seen: a handler, which may do anything,
   cannot free what is copied. -1: a handler raised an exception. */
int memory_copy(void *to, const void *from, size_t bytes, int fixed);

/* A contiguous, native, aligned copy of every array of a dict, by the same keys: a new dict. NULL: an exception is set;
   TypeError for what is no array. No update of a store is seen in part, nor in some of its arrays only; an update of
   several stores is written one store after the other. */
PyObject *arrays_copied(const binding_state *state, PyObject *arrays);

#endif
