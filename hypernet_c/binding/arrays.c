/* Arrays of the caller: checked, used in place or converted once; and new ones. */
#include "arrays.h"

PyArrayObject *held_add(held *held, PyArrayObject *array)
{
    if (array)
        held->objects[held->count++] = (PyObject *)array;
    return array;
}

void held_drop(held *held)
{
    while (held->count > 0)
        Py_DECREF(held->objects[--held->count]);
}

PyArrayObject *held_view(held *held, PyArrayObject *array)
{
    return held_add(held, (PyArrayObject *)PyArray_View(array, NULL, &PyArray_Type));
}

int array_type_number(hn_dtype dtype)
{
    return dtype == HN_FLOAT32 ? NPY_FLOAT32 : dtype == HN_FLOAT64 ? NPY_FLOAT64 : NPY_INT64;
}

int array_dtype(PyArrayObject *array)
{
    int number = PyArray_TYPE(array);
    if (!PyArray_ISNOTSWAPPED(array))
        return -1;
    if (number == NPY_FLOAT32)
        return HN_FLOAT32;
    if (number == NPY_FLOAT64)
        return HN_FLOAT64;
    return (number == NPY_LONG || number == NPY_LONGLONG) && PyArray_ITEMSIZE(array) == 8 ? HN_INT64 : -1;
}

/* ---- texts for messages ---- */

static const char *dims_text(int count, const npy_intp *dims, char *text, size_t capacity)
{
    size_t used = (size_t)snprintf(text, capacity, "(");
    for (int i = 0; i < count && used < capacity; i++)
        used += (size_t)snprintf(text + used, capacity - used, i ? ", %lld" : "%lld", (long long)dims[i]);
    if (used < capacity)
        (void)snprintf(text + used, capacity - used, count == 1 ? ",)" : ")");
    return text;
}

const char *array_shape_text(PyArrayObject *array, char *text, size_t capacity)
{
    return dims_text(PyArray_NDIM(array), PyArray_DIMS(array), text, capacity);
}

/* "(N, M, 3)": what is known of the lead in numbers, the rest as its names. */
static const char *expected_text(const lead *lead, const hn_shape *sample, char *text, size_t capacity)
{
    size_t used = (size_t)snprintf(text, capacity, "(%s", lead->names);
    for (int32_t i = 0; i < sample->rank && used < capacity; i++)
        used += (size_t)(sample->dims[i] < 0
                             ? snprintf(text + used, capacity - used, ", None")
                             : snprintf(text + used, capacity - used, ", %lld", (long long)sample->dims[i]));
    if (used < capacity)
        (void)snprintf(text + used, capacity - used, sample->rank == 0 && lead->axes == 1 ? ",)" : ")");
    return text;
}

/* ---- taking ---- */

/* TypeError unless numbers of this kind may become `dtype`. */
static int kind_check(PyArrayObject *array, hn_dtype dtype, role role)
{
    char kind = PyArray_DESCR(array)->kind;
    if (kind == 'b' || kind == 'i' || kind == 'u' || (kind == 'f' && dtype != HN_INT64))
        return 0;
    PyErr_Format(PyExc_TypeError, "%s %zd must hold %s, received an array of dtype %S", role.what, role.index,
                 dtype == HN_INT64 ? "integers" : "real numbers", PyArray_DESCR(array));
    return -1;
}

/* 1 if samples are contiguous and the strides of the first `axes` axes are those of rows that do not overlap. */
static int has_samples(PyArrayObject *array, int axes)
{
    npy_intp size = PyArray_ITEMSIZE(array), unit = size;
    if (PyArray_IS_C_CONTIGUOUS(array) || PyArray_SIZE(array) == 0)
        return 1;
    for (int i = PyArray_NDIM(array) - 1; i >= axes; i--) {
        if (PyArray_DIM(array, i) != 1 && PyArray_STRIDE(array, i) != size)
            return 0;
        size *= PyArray_DIM(array, i);
    }
    for (int i = 0; i < axes; i++)
        if (PyArray_DIM(array, i) != 1 && (PyArray_STRIDE(array, i) < size || PyArray_STRIDE(array, i) % unit))
            return 0;
    return 1;
}

/* Integers are indices, checked once and used without the GIL: in memory of our own nobody changes them in between (a
   subclass would hear of the copy). */
static PyArrayObject *convert(PyArrayObject *array, hn_dtype dtype)
{
    int flags = NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED | NPY_ARRAY_FORCECAST | NPY_ARRAY_ENSUREARRAY;
    if (dtype == HN_INT64)
        flags |= NPY_ARRAY_ENSURECOPY;
    return (PyArrayObject *)PyArray_FromArray(array, PyArray_DescrFromType(array_type_number(dtype)), flags);
}

PyArrayObject *array_use(held *held, PyObject *given, hn_dtype dtype, int axes, role role)
{
    PyArrayObject *array = (PyArrayObject *)given;
    if (PyArray_Check(given)) {
        if (dtype != HN_INT64 && array_dtype(array) == (int)dtype && PyArray_ISALIGNED(array) &&
            PyArray_NDIM(array) >= axes && has_samples(array, axes)) {
            Py_INCREF(given);
            return held_add(held, array);
        }
        Py_INCREF(given);
    } else {
        array = (PyArrayObject *)PyArray_FromAny(given, NULL, 0, 0, 0, NULL);
    }
    if (!array)
        return NULL;
    PyArrayObject *converted = kind_check(array, dtype, role) < 0 ? NULL : convert(array, dtype);
    Py_DECREF(array);
    return held_add(held, converted);
}

/* Whether one axis of the lead fits; an unknown size is filled in. */
static int axis_fits(int64_t *expected, npy_intp size)
{
    if (*expected < 0)
        *expected = size;
    return *expected == size;
}

static int lead_fits(PyArrayObject *array, lead *lead)
{
    if (lead->axes == 1)
        return axis_fits(lead->by_group ? &lead->groups : &lead->rows, PyArray_DIM(array, 0));
    int first = lead->shared ? PyArray_DIM(array, 0) == 1 : axis_fits(&lead->groups, PyArray_DIM(array, 0));
    return first && axis_fits(&lead->rows, PyArray_DIM(array, 1));
}

static int samples_fit(PyArrayObject *array, int axes, const hn_shape *sample)
{
    for (int32_t i = 0; i < sample->rank; i++)
        if (sample->dims[i] >= 0 && sample->dims[i] != PyArray_DIM(array, axes + i))
            return 0;
    return 1;
}

/* ValueError with both shapes; and the count that other arrays have, where the lead alone does not fit. */
static int shape_raise(PyArrayObject *array, const lead *lead, const hn_shape *sample, role role)
{
    char expected[300], received[300], counts[100] = "";
    if (PyArray_NDIM(array) == lead->axes + sample->rank && samples_fit(array, lead->axes, sample)) {
        if (lead->axes == 1)
            (void)snprintf(counts, sizeof counts, " with %s = %lld", lead->names,
                     (long long)(lead->by_group ? lead->groups : lead->rows));
        else
            (void)snprintf(counts, sizeof counts, " with N = %lld, M = %lld", (long long)lead->groups,
                     (long long)lead->rows);
    }
    PyErr_Format(PyExc_ValueError, "%s %zd must have the shape %s%s, received %s", role.what, role.index,
                 expected_text(lead, sample, expected, sizeof expected), counts,
                 array_shape_text(array, received, sizeof received));
    return -1;
}

PyArrayObject *array_use_samples(held *held, PyObject *given, hn_dtype dtype, lead *lead, const hn_shape *sample,
                                 role role)
{
    PyArrayObject *array = array_use(held, given, dtype, lead->axes, role);
    if (!array)
        return NULL;
    if (PyArray_NDIM(array) == lead->axes + sample->rank && samples_fit(array, lead->axes, sample) &&
        lead_fits(array, lead))
        return array;
    shape_raise(array, lead, sample, role);
    return NULL;
}

PyArrayObject *array_use_vector(held *held, PyObject *given, hn_dtype dtype, int64_t count, int writable, role role)
{
    char received[300];
    PyArrayObject *array = (PyArrayObject *)given;
    if (!writable) {
        array = array_use(held, given, dtype, 0, role);
        if (!array)
            return NULL;
    } else if (!PyArray_Check(given) || array_dtype(array) != (int)dtype) {
        PyErr_Format(PyExc_TypeError, "%s must be an array of %s, received %S", role.what, dtype_text(dtype),
                     PyArray_Check(given) ? (PyObject *)PyArray_DESCR(array) : (PyObject *)Py_TYPE(given));
        return NULL;
    } else if (!PyArray_ISWRITEABLE(array) || !PyArray_ISCARRAY(array)) {
        PyErr_Format(PyExc_ValueError, "%s must be writable, aligned and contiguous; the array is %s", role.what,
                     PyArray_ISWRITEABLE(array) ? "not contiguous" : "read-only");
        return NULL;
    } else {
        Py_INCREF(given);
        held_add(held, array);
    }
    if (PyArray_NDIM(array) == 1 && PyArray_DIM(array, 0) == count)
        return array;
    PyErr_Format(PyExc_ValueError, "%s must have the shape (%lld,), received %s", role.what, (long long)count,
                 array_shape_text(array, received, sizeof received));
    return NULL;
}

/* ---- results ---- */

static int lead_dims(const lead *lead, npy_intp *dims)
{
    if (lead->axes == 2) {
        dims[0] = lead->shared ? 1 : (npy_intp)lead->groups;
        dims[1] = (npy_intp)lead->rows;
    } else {
        dims[0] = (npy_intp)(lead->by_group ? lead->groups : lead->rows);
    }
    return lead->axes;
}

static int result_dims(const lead *lead, const hn_shape *sample, npy_intp *dims)
{
    int axes = lead_dims(lead, dims);
    for (int32_t i = 0; i < sample->rank; i++)
        dims[axes + i] = (npy_intp)sample->dims[i];
    return axes + sample->rank;
}

PyArrayObject *array_new(held *held, hn_dtype dtype, const lead *lead, const hn_shape *sample)
{
    npy_intp dims[HN_MAX_RANK + 2];
    int rank = result_dims(lead, sample, dims);
    return held_add(held, (PyArrayObject *)PyArray_SimpleNew(rank, dims, array_type_number(dtype)));
}

PyArrayObject *array_new_vector(held *held, hn_dtype dtype, int64_t count)
{
    npy_intp dim = (npy_intp)count;
    return held_add(held, (PyArrayObject *)PyArray_SimpleNew(1, &dim, array_type_number(dtype)));
}

PyArrayObject *array_use_out(held *held, PyObject *given, hn_dtype dtype, const lead *lead, const hn_shape *sample,
                             role role)
{
    char expected[300], received[300];
    npy_intp dims[HN_MAX_RANK + 2];
    int rank = result_dims(lead, sample, dims);
    PyArrayObject *array = (PyArrayObject *)given;
    if (!PyArray_Check(given)) {
        PyErr_Format(PyExc_TypeError, "out %zd must be an array, received %s", role.index, Py_TYPE(given)->tp_name);
        return NULL;
    }
    if (array_dtype(array) != (int)dtype || !PyArray_ISALIGNED(array)) {
        PyErr_Format(PyExc_TypeError, "out %zd must be an aligned array of %s, received %S", role.index,
                     dtype_text(dtype), PyArray_DESCR(array));
        return NULL;
    }
    if (PyArray_NDIM(array) != rank || !PyArray_CompareLists(PyArray_DIMS(array), dims, rank)) {
        PyErr_Format(PyExc_ValueError, "out %zd must have the shape %s, received %s", role.index,
                     dims_text(rank, dims, expected, sizeof expected),
                     array_shape_text(array, received, sizeof received));
        return NULL;
    }
    if (!PyArray_ISWRITEABLE(array) || !has_samples(array, lead->axes)) {
        PyErr_Format(PyExc_ValueError, "out %zd must be writable with contiguous samples; the array %s", role.index,
                     PyArray_ISWRITEABLE(array) ? "has other strides" : "is read-only");
        return NULL;
    }
    Py_INCREF(given);
    return held_add(held, array);
}

/* ---- overlap ---- */

/* First byte, and one past the last. */
static void bounds(PyArrayObject *array, uintptr_t *low, uintptr_t *high)
{
    *low = *high = (uintptr_t)PyArray_DATA(array);
    for (int i = 0; i < PyArray_NDIM(array); i++) {
        if (PyArray_DIM(array, i) == 0) {
            *high = *low;
            return;
        }
        npy_intp reach = (PyArray_DIM(array, i) - 1) * PyArray_STRIDE(array, i);
        if (reach < 0)
            *low -= (uintptr_t)-reach;
        else
            *high += (uintptr_t)reach;
    }
    *high += (uintptr_t)PyArray_ITEMSIZE(array);
}

static int overlap_raise(role role, const char *what)
{
    PyErr_Format(PyExc_ValueError, "%s %zd overlaps the memory of %s", role.what, role.index, what);
    return -1;
}

int array_check_outside(PyArrayObject *written, const void *data, size_t bytes, role role, const char *what)
{
    uintptr_t low, high, start = (uintptr_t)data;
    bounds(written, &low, &high);
    return low < start + bytes && start < high ? overlap_raise(role, what) : 0;
}

int array_check_apart(const binding_state *state, PyArrayObject *written, PyArrayObject *other, role role,
                      const char *what)
{
    uintptr_t low, high, start, end;
    bounds(written, &low, &high);
    bounds(other, &start, &end);
    if (low >= end || start >= high)
        return 0;
    held held = {.count = 0}; /* plain views: subclasses have no say */
    PyArrayObject *one = held_view(&held, written), *two = one ? held_view(&held, other) : NULL;
    PyObject *shared = two ? PyObject_CallFunctionObjArgs(state->shares_memory, one, two, NULL) : NULL;
    int overlaps = shared ? PyObject_IsTrue(shared) : -1;
    Py_XDECREF(shared);
    held_drop(&held);
    return overlaps > 0 ? overlap_raise(role, what) : overlaps;
}

/* What is held is what is read, be it an array that came, a converted one, or one over another object's memory. */
int held_check_apart(const binding_state *state, const held *held, int32_t first, int32_t end, PyArrayObject *written,
                     role role, const char *what)
{
    for (int32_t i = first; i < end; i++)
        if (array_check_apart(state, written, (PyArrayObject *)held->objects[i], role, what) < 0)
            return -1;
    return 0;
}

/* ---- views ---- */

int64_t array_outer_size(PyArrayObject *array, int axes)
{
    int64_t size = 1;
    for (int i = 0; i < axes; i++)
        size *= PyArray_DIM(array, i);
    return size;
}

/* Elements from one to the next along an axis; of an axis of one, whose stride means nothing, `packed`. */
static int64_t stride_of(PyArrayObject *array, int axis, int64_t packed)
{
    if (PyArray_DIM(array, axis) <= 1)
        return packed;
    return PyArray_STRIDE(array, axis) / (int64_t)PyArray_ITEMSIZE(array);
}

hn_view array_view(PyArrayObject *array, const lead *lead, int64_t size)
{
    void *data = PyArray_DATA(array);
    if (lead->axes == 1) {
        int64_t stride = stride_of(array, 0, size);
        if (lead->by_group)
            return (hn_view){data, stride, size};
        return (hn_view){data, PyArray_DIM(array, 0) * stride, stride};
    }
    int64_t row = stride_of(array, 1, size);
    if (lead->shared)
        return (hn_view){data, 0, row};
    return (hn_view){data, stride_of(array, 0, PyArray_DIM(array, 1) * row), row};
}
