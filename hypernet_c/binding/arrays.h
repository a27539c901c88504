/* Arrays of the caller as the library wants them, and new ones for results. */
#ifndef HN_BINDING_ARRAYS_H
#define HN_BINDING_ARRAYS_H

#include "binding.h"

/* References that a call holds until it ends: at most eight groups of tensors, and what one call adds. */
typedef struct held {
    int32_t count;
    PyObject *objects[9 * BINDING_MAX_TENSORS];
} held;

/* Takes over a new reference (NULL passes through) and returns it. */
PyArrayObject *held_add(held *held, PyArrayObject *array);
void held_drop(held *held);

/* A plain view of the array, held: nobody else can give it another shape, or ask its memory back. For arrays that are
   looked at again after other Python code could run. */
PyArrayObject *held_view(held *held, PyArrayObject *array);

/* What the axes before a sample's own mean: how an array meets groups x rows. */
typedef struct lead {
    int axes;             /* 1 or 2 */
    int by_group;         /* one axis: it counts groups (of one row), else the rows of one group */
    int shared;           /* two axes: all groups use the same rows (the first axis is 1) */
    int64_t groups, rows; /* -1: whatever comes */
    const char *names;    /* "M": for messages */
} lead;

/* For messages: "input 2". */
typedef struct role {
    const char *what;
    Py_ssize_t index;
} role;

/* An array of `dtype`, aligned and native, whose samples (all axes but the first `axes`) are contiguous and whose outer
   strides are those of rows that do not overlap: the given one, or else a copy (of integers always). NULL: TypeError
   (strings, objects, complex numbers, real numbers where ids are wanted) or what NumPy raised. */
PyArrayObject *array_use(held *held, PyObject *given, hn_dtype dtype, int axes, role role);

/* The same with the shape (lead, *sample) checked; an axis of `sample` that is -1 takes any size, and unknown sizes of
   `lead` are filled in by what came first. */
PyArrayObject *array_use_samples(held *held, PyObject *given, hn_dtype dtype, lead *lead, const hn_shape *sample,
                                 role role);

/* A vector of exactly `count` elements of `dtype`, contiguous; `writable`: used in place, so nothing is converted. */
PyArrayObject *array_use_vector(held *held, PyObject *given, hn_dtype dtype, int64_t count, int writable, role role);

/* A new C-contiguous array (lead, *sample). */
PyArrayObject *array_new(held *held, hn_dtype dtype, const lead *lead, const hn_shape *sample);
PyArrayObject *array_new_vector(held *held, hn_dtype dtype, int64_t count);

/* An array to write to: writable, of dtype and shape (lead, *sample), its samples contiguous. */
PyArrayObject *array_use_out(held *held, PyObject *given, hn_dtype dtype, const lead *lead, const hn_shape *sample,
                             role role);

/* ValueError if `written` shares memory with another array, with the arrays `first` .. `end` - 1 that a call holds, or
   with a block of memory. */
int array_check_apart(const binding_state *state, PyArrayObject *written, PyArrayObject *other, role role,
                      const char *what);
int held_check_apart(const binding_state *state, const held *held, int32_t first, int32_t end, PyArrayObject *written,
                     role role, const char *what);
int array_check_outside(PyArrayObject *written, const void *data, size_t bytes, role role, const char *what);

/* Groups and rows of an array whose first axes are `lead` and whose samples have `size` elements. */
hn_view array_view(PyArrayObject *array, const lead *lead, int64_t size);

/* Elements of the first `axes` axes. */
int64_t array_outer_size(PyArrayObject *array, int axes);

/* "(3, 4)" into `text`. */
const char *array_shape_text(PyArrayObject *array, char *text, size_t capacity);

int array_type_number(hn_dtype dtype);
/* The dtype of an array, -1 if it is none of the three (or not native). */
int array_dtype(PyArrayObject *array);

#endif
