/* Stores of parameters, and views of memory that belongs to an object. */
#ifndef HN_BINDING_STORE_H
#define HN_BINDING_STORE_H

#include "arrays.h"
#include "../base/lock.h"
#include <stdatomic.h>

typedef struct StoreObject {
    PyObject_HEAD
    void *data;
    int64_t count;
    hn_dtype dtype;
    hn_lock *lock;
    _Atomic uint64_t version;
    _Atomic int64_t live_views;
} StoreObject;

/* A live, writable array over memory that `keeper` owns; its base keeps the keeper alive. A store counts it. */
PyObject *owned_view(binding_state *state, PyObject *keeper, void *data, hn_dtype dtype, int rank,
                     const npy_intp *dims);

/* Whether an array lies in memory that stays where it is: that of a store, or of another object that made a view. */
int is_owned_view(const binding_state *state, PyObject *array);

/* The store whose memory an array is a view of (borrowed), or NULL without an exception. */
StoreObject *store_behind(const binding_state *state, PyObject *array);

static inline size_t store_bytes(const StoreObject *store)
{
    return (size_t)store->count * hn_dtype_size(store->dtype);
}

/* The right to write, for a whole step; RuntimeError if somebody has it. */
int store_claim(StoreObject *store);

#endif
