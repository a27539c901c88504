/* Batches: rows are gathered and step after step is run, with no Python in between. */
#include "run.h"
#include "../base/clock.h"
#include "../base/threads.h"
#include "../train/gather.h"

/* Another thread that waits for the GIL gets it after this time, as it would between two lines of Python. */
static const int64_t switch_interval = 5000000;

enum { MAX_GROUPS = 4, MAX_ARGUMENTS = 16 };

typedef struct batches {
    PyObject *step, *groups, *before, *after, *rates;
    const int64_t *order;        /* of the rows of all batches; NULL: rows as they stand */
    int64_t count, batch, steps, call;
    int whole;                   /* the group of arrays that all batches use as it is, or -1 */
    int keeps;                   /* results keep their outputs */
    int64_t nanoseconds;         /* of work, after which the present step is the last */
    PyObject *taken[MAX_GROUPS]; /* the arrays of the present batch; where rows are gathered, those of all batches */
    held held;
} batches;

/* ---- one batch ---- */

/* Rows that lie as they are to be copied: in one piece each. */
static int has_rows(PyArrayObject *array)
{
    npy_intp size = PyArray_ITEMSIZE(array);
    for (int i = PyArray_NDIM(array) - 1; i > 0; i--) {
        if (PyArray_DIM(array, i) != 1 && PyArray_STRIDE(array, i) != size)
            return 0;
        size *= PyArray_DIM(array, i);
    }
    return 1;
}

/* The rows of one batch of `source` in `target`. */
static int rows_copy(const batches *self, const int64_t *ids, PyArrayObject *source, PyArrayObject *target)
{
    if (!has_rows(source)) {
        npy_intp count = (npy_intp)self->batch;
        PyObject *indices = PyArray_SimpleNewFromData(1, &count, NPY_INT64, (void *)ids);
        PyObject *done = indices ? PyArray_TakeFrom(source, indices, 0, target, NPY_RAISE) : NULL;
        Py_XDECREF(indices);
        Py_XDECREF(done);
        return done ? 0 : -1;
    }
    gil gil;
    size_t bytes = (size_t)(PyArray_NBYTES(target) / (self->batch ? self->batch : 1));
    gil_release(&gil, hn_rows_gather_work(self->batch, bytes));
    hn_rows_gather(hn_threads_get(), self->batch, ids, bytes, PyArray_DATA(source), PyArray_STRIDE(source, 0),
                   PyArray_DATA(target));
    gil_acquire(&gil);
    return 0;
}

/* A tuple of arrays for a batch: of memory that every batch is gathered into, or None where there is no array. */
static PyObject *room_for(const batches *self, PyObject *group)
{
    PyObject *room = PyTuple_New(PyTuple_GET_SIZE(group));
    for (Py_ssize_t i = 0; room && i < PyTuple_GET_SIZE(group); i++) {
        npy_intp dims[NPY_MAXDIMS];
        PyArrayObject *source = (PyArrayObject *)PyTuple_GET_ITEM(group, i);
        PyObject *item = (PyObject *)source == Py_None ? Py_NewRef(Py_None) : NULL;
        if (!item) {
            memcpy(dims, PyArray_DIMS(source), (size_t)PyArray_NDIM(source) * sizeof *dims);
            dims[0] = (npy_intp)self->batch;
            item = PyArray_SimpleNew(PyArray_NDIM(source), dims, PyArray_TYPE(source));
        }
        if (item)
            PyTuple_SET_ITEM(room, i, item);
        else
            Py_CLEAR(room);
    }
    return room;
}

/* A tuple of views of the rows of a batch. */
static PyObject *views_of(const batches *self, PyObject *group, int64_t number)
{
    Py_ssize_t first = (Py_ssize_t)(number * self->batch);
    PyObject *views = PyTuple_New(PyTuple_GET_SIZE(group));
    for (Py_ssize_t i = 0; views && i < PyTuple_GET_SIZE(group); i++) {
        PyObject *source = PyTuple_GET_ITEM(group, i);
        PyObject *view = source == Py_None ? Py_NewRef(Py_None)
                                           : PySequence_GetSlice(source, first, first + (Py_ssize_t)self->batch);
        if (view)
            PyTuple_SET_ITEM(views, i, view);
        else
            Py_CLEAR(views);
    }
    return views;
}

/* Puts the arrays of batch `number` into self->taken. */
static int batch_take(batches *self, int64_t number)
{
    for (Py_ssize_t g = 0; g < PyTuple_GET_SIZE(self->groups); g++) {
        PyObject *group = PyTuple_GET_ITEM(self->groups, g);
        if (g == self->whole) {
            if (!self->taken[g])
                self->taken[g] = Py_NewRef(group);
            continue;
        }
        if (!self->order)
            Py_XSETREF(self->taken[g], views_of(self, group, number));
        else if (!self->taken[g])
            self->taken[g] = room_for(self, group);
        if (!self->taken[g])
            return -1;
        for (Py_ssize_t i = 0; self->order && i < PyTuple_GET_SIZE(group); i++)
            if (PyTuple_GET_ITEM(group, i) != Py_None &&
                rows_copy(self, self->order + number * self->batch, (PyArrayObject *)PyTuple_GET_ITEM(group, i),
                          (PyArrayObject *)PyTuple_GET_ITEM(self->taken[g], i)) < 0)
                return -1;
    }
    return 0;
}

/* ---- one step ---- */

/* The learning rate of a step: the one for all, or that of its place; borrowed. */
static PyObject *rate_of(const batches *self, int64_t number)
{
    return PyTuple_Check(self->rates) ? PyTuple_GET_ITEM(self->rates, number) : self->rates;
}

static Py_ssize_t arguments_add(PyObject **arguments, Py_ssize_t count, PyObject *tuple)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); i++)
        arguments[count++] = PyTuple_GET_ITEM(tuple, i);
    return count;
}

/* What step `number` gives, without its outputs (the last item) if they are not to be kept. */
static PyObject *step_run(const batches *self, int64_t number)
{
    PyObject *arguments[MAX_ARGUMENTS];
    PyObject *call = PyLong_FromLongLong(self->call + number);
    Py_ssize_t count = 0;
    if (!call)
        return NULL;
    for (; count < PyTuple_GET_SIZE(self->groups); count++)
        arguments[count] = self->taken[count];
    count = arguments_add(arguments, count, self->before);
    arguments[count++] = call;
    count = arguments_add(arguments, count, self->after);
    if (self->rates != Py_None)
        arguments[count++] = rate_of(self, number);
    PyObject *result = PyObject_Vectorcall(self->step, arguments, (size_t)count, NULL);
    Py_DECREF(call);
    if (!result || self->keeps)
        return result;
    if (!PyTuple_Check(result))
        PyErr_Format(PyExc_TypeError, "a step must give a tuple, received %s", Py_TYPE(result)->tp_name);
    PyObject *sums = PyTuple_Check(result) ? PyTuple_GetSlice(result, 0, PyTuple_GET_SIZE(result) - 1) : NULL;
    Py_DECREF(result);
    return sums;
}

/* Signal handlers run after every step, and other threads as often as between lines of Python. -1: an exception. */
static int step_between(int64_t now, int64_t *switched)
{
    if (now - *switched >= switch_interval) {
        Py_BEGIN_ALLOW_THREADS
        Py_END_ALLOW_THREADS
        *switched = now;
    }
    return PyErr_CheckSignals();
}

static PyObject *steps_run(batches *self)
{
    int64_t began = hn_clock_now(), now = began, switched = began;
    PyObject *results = PyList_New(0);
    for (int64_t number = 0; results && number < self->steps; number++) {
        PyObject *result = batch_take(self, number) == 0 ? step_run(self, number) : NULL;
        int good = result && PyList_Append(results, result) == 0 && step_between(now = hn_clock_now(), &switched) == 0;
        Py_XDECREF(result);
        if (!good)
            Py_CLEAR(results);
        if (now - began >= self->nanoseconds)
            break;
    }
    return results;
}

/* ---- arguments ---- */

static int groups_check(const batches *self)
{
    Py_ssize_t count = PyTuple_GET_SIZE(self->groups);
    for (Py_ssize_t g = 0; g < count && count <= MAX_GROUPS; g++) {
        PyObject *group = PyTuple_GET_ITEM(self->groups, g);
        if (!PyTuple_Check(group))
            break;
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(group); i++) {
            PyArrayObject *array = (PyArrayObject *)PyTuple_GET_ITEM(group, i);
            if ((PyObject *)array == Py_None || g == self->whole)
                continue;
            if (!PyArray_Check(array) || PyArray_NDIM(array) == 0 || array_dtype(array) < 0) {
                PyErr_SetString(PyExc_TypeError, "batches are taken of arrays of float32, float64 or int64");
                return -1;
            }
            if (PyArray_DIM(array, 0) != self->count) {
                PyErr_Format(PyExc_ValueError, "an array has %zd rows instead of %lld",
                             (Py_ssize_t)PyArray_DIM(array, 0), (long long)self->count);
                return -1;
            }
        }
        if (g + 1 == count)
            return 0;
    }
    PyErr_Format(PyExc_TypeError, "groups are 1 to %d tuples of arrays", MAX_GROUPS);
    return -1;
}

/* `order` in memory that nobody else writes to, all rows there. */
static int order_take(batches *self, PyObject *given)
{
    self->order = NULL;
    if (given == Py_None)
        return 0;
    PyArrayObject *order = array_use(&self->held, given, HN_INT64, 1, (role){"order", 0});
    if (!order)
        return -1;
    self->order = PyArray_DATA(order);
    int64_t needed = self->steps * self->batch;
    int good = PyArray_NDIM(order) == 1 && PyArray_DIM(order, 0) == needed;
    for (npy_intp i = 0; good && i < PyArray_DIM(order, 0); i++)
        good = self->order[i] >= 0 && self->order[i] < self->count;
    if (good)
        return 0;
    PyErr_Format(PyExc_ValueError, "order must hold %lld numbers of rows, from 0 to %lld", (long long)needed,
                 (long long)self->count - 1);
    return -1;
}

static int range_take(batches *self, PyObject *const *args)
{
    int64_t whole;
    double seconds;
    if (value_count(args[3], "count", &self->count) < 0 || value_count(args[5], "batch", &self->batch) < 0 ||
        value_count(args[6], "steps", &self->steps) < 0 || value_count(args[8], "call", &self->call) < 0 ||
        value_integer(args[2], "whole", &whole) < 0 ||
        value_number(args[12], "seconds", &seconds) < 0)
        return -1;
    self->whole = whole >= 0 && whole < MAX_GROUPS ? (int)whole : -1;
    self->keeps = PyObject_IsTrue(args[11]);
    self->nanoseconds = seconds >= 0 && seconds < 1e9 ? (int64_t)(seconds * 1e9) : INT64_MAX;
    if (self->keeps < 0)
        return -1;
    if (self->batch > 0 && self->steps <= self->count / self->batch)
        return 0;
    PyErr_Format(PyExc_ValueError, "%lld rows are no %lld batches of %lld rows", (long long)self->count,
                 (long long)self->steps, (long long)self->batch);
    return -1;
}

static int arguments_take(batches *self, PyObject *const *args)
{
    self->step = args[0];
    self->groups = args[1];
    self->before = args[7];
    self->after = args[9];
    self->rates = args[10];
    if (!PyTuple_Check(self->groups) || !PyTuple_Check(self->before) || !PyTuple_Check(self->after)) {
        PyErr_SetString(PyExc_TypeError, "groups, before and after are tuples");
        return -1;
    }
    if (range_take(self, args) < 0 || groups_check(self) < 0)
        return -1;
    if (PyTuple_GET_SIZE(self->groups) + PyTuple_GET_SIZE(self->before) + PyTuple_GET_SIZE(self->after) + 2 >
            MAX_ARGUMENTS ||
        (PyTuple_Check(self->rates) && PyTuple_GET_SIZE(self->rates) < self->steps)) {
        PyErr_SetString(PyExc_ValueError, "too many arguments of a step, or too few rates");
        return -1;
    }
    return order_take(self, args[4]);
}

static PyObject *run_batches(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    batches self = {.held = {.count = 0}};
    PyObject *results = NULL;
    if (arguments_check("run_batches", count, 13) < 0)
        return NULL;
    if (arguments_take(&self, args) == 0)
        results = steps_run(&self);
    for (int g = 0; g < MAX_GROUPS; g++)
        Py_XDECREF(self.taken[g]);
    held_drop(&self.held);
    return results;
}

PyMethodDef batches_functions[] = {
    {"run_batches", FASTCALL(run_batches), METH_FASTCALL,
     "run_batches(step, groups, whole, count, order, batch, steps, before, call, after, rates, keep, seconds): "
     "what the steps gave."},
    {NULL, NULL, 0, NULL},
};
