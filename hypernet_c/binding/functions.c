/* Activations and losses on arrays, one at a time. */
#include "run.h"
#include "../base/threads.h"
#include "../ops/activations.h"

/* Elements of one block: fixed, so that threads do not change the bits. */
#define BLOCK 32768

/* What a block of rows needs; an activation by element sees rows of one. */
typedef struct function_job {
    const hn_kernels *kernels;
    hn_activation activation;
    hn_loss_args loss;
    hn_loss_kind kind;
    int64_t rows, cols, block;
    const char *x, *y, *dy;
    char *result;
} function_job;

static int real_dtype(PyArrayObject *array)
{
    int dtype = array_dtype(array);
    return dtype == HN_FLOAT32 || dtype == HN_FLOAT64 ? dtype : -1;
}

/* A C-contiguous array of float32 or float64, in place if it is one; always an object of our own. */
static PyArrayObject *real_use(held *held, PyObject *given, role role, hn_dtype *dtype)
{
    int found = PyArray_Check(given) ? real_dtype((PyArrayObject *)given) : -1;
    if (found >= 0) {
        *dtype = (hn_dtype)found;
        PyObject *array = PyArray_FROM_OF(given, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_ENSUREARRAY);
        return array == given ? held_view(held, held_add(held, (PyArrayObject *)array))
                              : held_add(held, (PyArrayObject *)array);
    }
    PyErr_Format(PyExc_TypeError, "%s must be an array of float32 or float64, received %S", role.what,
                 PyArray_Check(given) ? (PyObject *)PyArray_DESCR((PyArrayObject *)given) : (PyObject *)Py_TYPE(given));
    return NULL;
}

/* An array of the same dtype and shape as `like`, C-contiguous. */
static PyArrayObject *same_use(held *held, PyObject *given, PyArrayObject *like, role role)
{
    hn_dtype dtype;
    char expected[300], received[300];
    PyArrayObject *array = real_use(held, given, role, &dtype);
    if (!array)
        return NULL;
    if (PyArray_TYPE(array) == PyArray_TYPE(like) && PyArray_SAMESHAPE(array, like))
        return array;
    PyErr_Format(PyExc_ValueError, "%s must have the dtype %S and the shape %s, received %S and %s", role.what,
                 PyArray_DESCR(like), array_shape_text(like, expected, sizeof expected), PyArray_DESCR(array),
                 array_shape_text(array, received, sizeof received));
    return NULL;
}

static PyArrayObject *new_like(held *held, PyArrayObject *like)
{
    return held_add(held, (PyArrayObject *)PyArray_SimpleNew(PyArray_NDIM(like), PyArray_DIMS(like),
                                                             PyArray_TYPE(like)));
}

static void run_blocks(function_job *job, double cost, hn_parallel_body body)
{
    gil gil;
    double work = cost * (double)job->rows * (double)job->cols;
    int64_t block = job->cols > 0 ? BLOCK / job->cols : BLOCK;
    job->block = block > 0 ? block : 1;
    gil_release(&gil, work);
    hn_parallel(hn_threads_get(), (job->rows + job->block - 1) / job->block, work, body, job);
    gil_acquire(&gil);
}

/* First row and number of rows of a chunk. */
static int64_t chunk_rows(const function_job *job, int64_t chunk, int64_t *first)
{
    *first = chunk * job->block;
    return job->rows - *first < job->block ? job->rows - *first : job->block;
}

/* ---- activations ---- */

static int activation_take(PyObject *name, PyObject *params, hn_activation *activation)
{
    const char *text = value_text(name, "name");
    int32_t expected = 0, number = 0;
    if (!text)
        return -1;
    while (number < HN_MAP_COUNT && strcmp(hn_map_describe((hn_map)number)->name, text) != 0)
        number++;
    if (number < HN_MAP_COUNT)
        expected = hn_map_describe((hn_map)number)->param_count;
    else if (strcmp(text, "softmax") == 0)
        number = HN_ACTIVATION_SOFTMAX;
    else if (strcmp(text, "log_softmax") == 0)
        number = HN_ACTIVATION_LOG_SOFTMAX;
    else {
        PyErr_Format(PyExc_ValueError, "there is no activation \"%s\"", text);
        return -1;
    }
    if (tuple_check(params, expected, "parameters") < 0)
        return -1;
    *activation = (hn_activation){.number = number};
    for (int32_t i = 0; i < expected; i++)
        if (value_number(PyTuple_GET_ITEM(params, i), "a parameter", &activation->params[i]) < 0)
            return -1;
    return 0;
}

static int activation_shape(function_job *job, PyArrayObject *x)
{
    job->cols = 1;
    job->rows = PyArray_SIZE(x);
    if (!hn_activation_by_row(&job->activation))
        return 0;
    if (PyArray_NDIM(x) == 0) {
        PyErr_SetString(PyExc_ValueError, "a function over the last axis needs an array with at least one axis");
        return -1;
    }
    job->cols = PyArray_DIM(x, PyArray_NDIM(x) - 1);
    job->rows = job->cols > 0 ? array_outer_size(x, PyArray_NDIM(x) - 1) : 0; /* 2^40 rows of nothing are nothing */
    return 0;
}

static void forward_chunk(void *context, int64_t chunk, int32_t worker)
{
    const function_job *job = context;
    int64_t first, count = chunk_rows(job, chunk, &first), cols = job->cols;
    int64_t at = first * cols * (int64_t)hn_dtype_size(job->kernels->dtype);
    (void)worker;
    hn_activation_forward(job->kernels, &job->activation, count, cols, job->x + at, cols, job->result + at, cols);
}

static void backward_chunk(void *context, int64_t chunk, int32_t worker)
{
    const function_job *job = context;
    int64_t first, count = chunk_rows(job, chunk, &first), cols = job->cols;
    int64_t at = first * cols * (int64_t)hn_dtype_size(job->kernels->dtype);
    const char *xy = hn_activation_from_output(&job->activation) ? job->y : job->x;
    (void)worker;
    hn_activation_backward(job->kernels, &job->activation, count, cols, xy + at, cols, job->dy + at, cols,
                           job->result + at, cols);
}

/* A held reference as a result. */
static PyObject *finish(held *held, PyArrayObject *result)
{
    Py_XINCREF(result);
    held_drop(held);
    return (PyObject *)result;
}

static PyObject *map_forward(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    held held = {.count = 0};
    function_job job;
    hn_dtype dtype;
    PyArrayObject *result = NULL;
    if (arguments_check("map_forward", count, 3) < 0 || activation_take(args[0], args[1], &job.activation) < 0)
        return NULL;
    PyArrayObject *x = real_use(&held, args[2], (role){"x", 0}, &dtype);
    if (x && activation_shape(&job, x) == 0 && (job.kernels = kernels_in_use(dtype)) &&
        (result = new_like(&held, x))) {
        job.x = PyArray_DATA(x);
        job.result = PyArray_DATA(result);
        run_blocks(&job, hn_activation_cost(&job.activation), forward_chunk);
    }
    return finish(&held, result);
}

static PyObject *map_backward(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    held held = {.count = 0};
    function_job job;
    hn_dtype dtype;
    PyArrayObject *y, *dy, *result = NULL;
    if (arguments_check("map_backward", count, 5) < 0 || activation_take(args[0], args[1], &job.activation) < 0)
        return NULL;
    PyArrayObject *x = real_use(&held, args[2], (role){"x", 0}, &dtype);
    if (x && (y = same_use(&held, args[3], x, (role){"y", 0})) &&
        (dy = same_use(&held, args[4], x, (role){"dy", 0})) && activation_shape(&job, x) == 0 &&
        (job.kernels = kernels_in_use(dtype)) && (result = new_like(&held, x))) {
        job.x = PyArray_DATA(x);
        job.y = PyArray_DATA(y);
        job.dy = PyArray_DATA(dy);
        job.result = PyArray_DATA(result);
        run_blocks(&job, 2.0 * hn_activation_cost(&job.activation), backward_chunk);
    }
    return finish(&held, result);
}

/* ---- losses ---- */

static int labels_check(const function_job *job)
{
    hn_error error;
    hn_loss loss = {.kind = job->kind};
    hn_target target = {.data = job->loss.target, .row_stride = 1};
    if (hn_loss_check(&loss, &target, 1, job->rows, 1, job->cols, &error) == HN_OK)
        return 0;
    error_raise(&error);
    return -1;
}

static PyArrayObject *target_use(held *held, const function_job *job, PyObject *given, PyArrayObject *prediction)
{
    char expected[300], received[300];
    role role = {"target", 0};
    if (job->kind != HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY)
        return same_use(held, given, prediction, role);
    PyArrayObject *labels = array_use(held, given, HN_INT64, 0, role);
    int rank = PyArray_NDIM(prediction) - 1;
    if (!labels || (PyArray_NDIM(labels) == rank && PyArray_CompareLists(PyArray_DIMS(labels), PyArray_DIMS(prediction),
                                                                         rank)))
        return labels;
    PyErr_Format(PyExc_ValueError, "labels of shape %s do not belong to predictions of shape %s",
                 array_shape_text(labels, received, sizeof received),
                 array_shape_text(prediction, expected, sizeof expected));
    return NULL;
}

/* kind, input, param, target, prediction: everything that values and gradients share. NULL on error. */
static PyArrayObject *loss_take(function_job *job, held *held, PyObject *const *args)
{
    hn_dtype dtype;
    memset(job, 0, sizeof *job);
    const char *kind = value_text(args[0], "kind"), *input = kind ? value_text(args[1], "input") : NULL;
    if (!input || value_number(args[2], "param", &job->loss.params[0]) < 0)
        return NULL;
    int32_t number = hn_loss_find(kind);
    int logits = strcmp(input, "logits") == 0;
    if (number < 0 || (!logits && strcmp(input, "probabilities") != 0))
        return (PyArrayObject *)PyErr_Format(PyExc_ValueError, "there is no loss \"%s\" of \"%s\"", kind, input);
    job->kind = (hn_loss_kind)number;
    job->loss.input = logits ? HN_LOSS_LOGITS : HN_LOSS_PROBABILITIES;
    job->loss.weight_every = 1;
    PyArrayObject *prediction = real_use(held, args[4], (role){"prediction", 0}, &dtype);
    if (!prediction)
        return NULL;
    if (PyArray_NDIM(prediction) == 0)
        return (PyArrayObject *)PyErr_Format(PyExc_ValueError, "a prediction needs at least one axis");
    PyArrayObject *target = target_use(held, job, args[3], prediction);
    if (!target || !(job->kernels = kernels_in_use(dtype)))
        return NULL;
    job->cols = PyArray_DIM(prediction, PyArray_NDIM(prediction) - 1);
    job->rows = array_outer_size(prediction, PyArray_NDIM(prediction) - 1);
    job->loss.prediction = PyArray_DATA(prediction);
    job->loss.target = PyArray_DATA(target);
    return labels_check(job) < 0 ? NULL : prediction;
}

static void loss_chunk(void *context, int64_t chunk, int32_t worker)
{
    const function_job *job = context;
    int64_t first, count = chunk_rows(job, chunk, &first), element = (int64_t)hn_dtype_size(job->kernels->dtype);
    int64_t row = first * element, matrix = row * job->cols;
    hn_loss_args args = job->loss;
    (void)worker;
    args.rows = count;
    args.cols = job->cols;
    args.prediction = (const char *)args.prediction + matrix;
    args.target = (const char *)args.target + (job->kind == HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY
                                                   ? first * (int64_t)sizeof(int64_t) : matrix);
    args.weight = args.weight ? (const char *)args.weight + row : NULL;
    args.values = args.values ? (char *)args.values + row : NULL;
    args.gradient = args.gradient ? (char *)args.gradient + matrix : NULL;
    job->kernels->loss(job->kind, &args);
}

static PyObject *loss_values(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    held held = {.count = 0};
    function_job job;
    PyArrayObject *result = NULL;
    if (arguments_check("loss_values", count, 5) < 0)
        return NULL;
    PyArrayObject *prediction = loss_take(&job, &held, args);
    if (prediction)
        result = held_add(&held, (PyArrayObject *)PyArray_SimpleNew(PyArray_NDIM(prediction) - 1,
                                                                    PyArray_DIMS(prediction),
                                                                    PyArray_TYPE(prediction)));
    if (result) {
        job.loss.values = PyArray_DATA(result);
        run_blocks(&job, 4.0, loss_chunk);
    }
    return finish(&held, result);
}

static PyObject *loss_gradient(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    held held = {.count = 0};
    function_job job;
    PyArrayObject *result = NULL, *weight = NULL;
    char received[300];
    if (arguments_check("loss_gradient", count, 6) < 0)
        return NULL;
    PyArrayObject *prediction = loss_take(&job, &held, args);
    int good = prediction != NULL;
    if (good && args[5] != Py_None) {
        int rank = PyArray_NDIM(prediction) - 1;
        weight = array_use(&held, args[5], job.kernels->dtype, 0, (role){"weight", 0});
        good = weight != NULL;
        if (good && (PyArray_NDIM(weight) != rank ||
                     !PyArray_CompareLists(PyArray_DIMS(weight), PyArray_DIMS(prediction), rank))) {
            PyErr_Format(PyExc_ValueError, "a weight of shape %s does not belong to predictions with %zd positions",
                         array_shape_text(weight, received, sizeof received), (Py_ssize_t)job.rows);
            good = 0;
        }
    }
    if (good && (result = new_like(&held, prediction))) {
        job.loss.weight = weight ? PyArray_DATA(weight) : NULL;
        job.loss.gradient = PyArray_DATA(result);
        run_blocks(&job, 4.0, loss_chunk);
    }
    return finish(&held, result);
}

PyMethodDef functions_functions[] = {
    {"map_forward", FASTCALL(map_forward), METH_FASTCALL, "map_forward(name, params, x): an activation."},
    {"map_backward", FASTCALL(map_backward), METH_FASTCALL,
     "map_backward(name, params, x, y, dy): the gradient through it."},
    {"loss_values", FASTCALL(loss_values), METH_FASTCALL,
     "loss_values(kind, input, param, target, prediction): each position's loss."},
    {"loss_gradient", FASTCALL(loss_gradient), METH_FASTCALL,
     "loss_gradient(kind, input, param, target, prediction, weight)"},
    {NULL, NULL, 0, NULL},
};
