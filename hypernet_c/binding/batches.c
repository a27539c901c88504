/* Batches: rows are gathered and step after step is run, with no Python in between. */
#include "run.h"
#include "../base/clock.h"
#include "../base/threads.h"
#include "../train/gather.h"

/* Another thread that waits for the GIL gets it after this time, as it would between two lines of Python. */
static const int64_t switch_interval = 5000000;

enum { MAX_GROUPS = 4, MAX_ARGUMENTS = 16 };

typedef struct batches {
    PyObject *step, *before, *after, *rates;
    PyObject *groups[MAX_GROUPS]; /* tuples of plain views of the arrays that came; `whole` as it came */
    Py_ssize_t group_count;
    const int64_t *order;        /* of the rows of all batches; NULL: rows as they stand */
    int64_t count, batch, steps, call;
    int whole;                   /* the group of arrays that all batches use as it is, or -1 */
    int keeps;                   /* results keep their outputs */
    int64_t nanoseconds;         /* of work, after which the present step is the last */
    PyObject *rooms[MAX_GROUPS]; /* where rows are gathered: arrays of one batch, which nobody else sees */
    PyObject *taken[MAX_GROUPS]; /* what the present step gets */
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

/* A plain view of every array of a tuple, None where there is none: a new tuple. */
static PyObject *plain_views(PyObject *arrays)
{
    PyObject *views = PyTuple_New(PyTuple_GET_SIZE(arrays));
    for (Py_ssize_t i = 0; views && i < PyTuple_GET_SIZE(arrays); i++) {
        PyObject *item = PyTuple_GET_ITEM(arrays, i), *view = NULL;
        if (item == Py_None)
            view = Py_NewRef(Py_None);
        else if (PyArray_Check(item))
            view = PyArray_View((PyArrayObject *)item, NULL, &PyArray_Type);
        else
            PyErr_Format(PyExc_TypeError, "batches are taken of arrays, received %s", Py_TYPE(item)->tp_name);
        if (view)
            PyTuple_SET_ITEM(views, i, view);
        else
            Py_CLEAR(views);
    }
    return views;
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

/* Copies the rows of batch `number` of group `g` into its room; what the step gets are views of that. */
static int rows_gather(batches *self, Py_ssize_t g, int64_t number)
{
    PyObject *group = self->groups[g];
    if (!self->rooms[g] && !(self->rooms[g] = room_for(self, group)))
        return -1;
    if (!self->taken[g] && !(self->taken[g] = plain_views(self->rooms[g])))
        return -1;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(group); i++)
        if (PyTuple_GET_ITEM(group, i) != Py_None &&
            rows_copy(self, self->order + number * self->batch, (PyArrayObject *)PyTuple_GET_ITEM(group, i),
                      (PyArrayObject *)PyTuple_GET_ITEM(self->rooms[g], i)) < 0)
            return -1;
    return 0;
}

/* Puts the arrays of batch `number` into self->taken. */
static int batch_take(batches *self, int64_t number)
{
    for (Py_ssize_t g = 0; g < self->group_count; g++) {
        if (g == self->whole) {
            if (!self->taken[g])
                self->taken[g] = Py_NewRef(self->groups[g]);
        } else if (!self->order) {
            Py_XSETREF(self->taken[g], views_of(self, self->groups[g], number));
            if (!self->taken[g])
                return -1;
        } else if (rows_gather(self, g, number) < 0) {
            return -1;
        }
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
    for (; count < self->group_count; count++)
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

static int array_check(const batches *self, PyArrayObject *array)
{
    if (PyArray_NDIM(array) == 0 || array_dtype(array) < 0) {
        PyErr_SetString(PyExc_TypeError, "batches are taken of arrays of float32, float64 or int64");
        return -1;
    }
    if (PyArray_DIM(array, 0) == self->count)
        return 0;
    PyErr_Format(PyExc_ValueError, "an array has %zd rows instead of %lld", (Py_ssize_t)PyArray_DIM(array, 0),
                 (long long)self->count);
    return -1;
}

/* Plain views of the arrays of a group: Python code runs between batches, and may give the arrays that came another
   shape. A new tuple. */
static PyObject *group_take(const batches *self, PyObject *group)
{
    PyObject *views = plain_views(group);
    for (Py_ssize_t i = 0; views && i < PyTuple_GET_SIZE(views); i++)
        if (PyTuple_GET_ITEM(views, i) != Py_None &&
            array_check(self, (PyArrayObject *)PyTuple_GET_ITEM(views, i)) < 0)
            Py_CLEAR(views);
    return views;
}

static int groups_take(batches *self, PyObject *given)
{
    Py_ssize_t count = PyTuple_Check(given) ? PyTuple_GET_SIZE(given) : 0;
    int good = count >= 1 && count <= MAX_GROUPS;
    for (Py_ssize_t g = 0; good && g < count; g++)
        good = PyTuple_Check(PyTuple_GET_ITEM(given, g));
    if (!good) {
        PyErr_Format(PyExc_TypeError, "groups are 1 to %d tuples of arrays", MAX_GROUPS);
        return -1;
    }
    for (; self->group_count < count; self->group_count++) {
        PyObject *group = PyTuple_GET_ITEM(given, self->group_count);
        PyObject *own = self->group_count == self->whole ? Py_NewRef(group) : group_take(self, group);
        if (!own)
            return -1;
        self->groups[self->group_count] = own;
    }
    return 0;
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
    if (self->call > INT64_MAX - self->steps) {
        PyErr_Format(PyExc_ValueError, "call is too large to count %lld steps from it, received %lld",
                     (long long)self->steps, (long long)self->call);
        return -1;
    }
    if (self->batch > 0 && self->steps <= self->count / self->batch)
        return 0;
    PyErr_Format(PyExc_ValueError, "%lld rows are no %lld batches of %lld rows", (long long)self->count,
                 (long long)self->steps, (long long)self->batch);
    return -1;
}

static int arguments_take(batches *self, PyObject *const *args)
{
    self->step = args[0];
    self->before = args[7];
    self->after = args[9];
    self->rates = args[10];
    if (!PyTuple_Check(self->before) || !PyTuple_Check(self->after)) {
        PyErr_SetString(PyExc_TypeError, "before and after are tuples");
        return -1;
    }
    if (range_take(self, args) < 0 || groups_take(self, args[1]) < 0)
        return -1;
    if (self->group_count + PyTuple_GET_SIZE(self->before) + PyTuple_GET_SIZE(self->after) + 2 >
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
    for (int g = 0; g < MAX_GROUPS; g++) {
        Py_XDECREF(self.groups[g]);
        Py_XDECREF(self.rooms[g]);
        Py_XDECREF(self.taken[g]);
    }
    held_drop(&self.held);
    return results;
}

PyMethodDef batches_functions[] = {
    {"run_batches", FASTCALL(run_batches), METH_FASTCALL,
     "run_batches(step, groups, whole, count, order, batch, steps, before, call, after, rates, keep, seconds): "
     "what the steps gave."},
    {NULL, NULL, 0, NULL},
};
