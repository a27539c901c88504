/* Hyper: heads in fewer bits, and theta itself. */
#include "hyper.h"

static int stored_type(hn_dtype stored)
{
    return stored == HN_INT8 ? NPY_INT8 : NPY_UINT16;
}

static int value_stored(PyObject *object, hn_dtype *stored)
{
    const char *text = value_text(object, "the storage of a head");
    if (!text)
        return -1;
    *stored = strcmp(text, "int8") == 0 ? HN_INT8 : HN_BFLOAT16;
    if (*stored == HN_INT8 || strcmp(text, "bfloat16") == 0)
        return 0;
    PyErr_Format(PyExc_ValueError, "a head is stored as \"bfloat16\" or \"int8\", received \"%s\"", text);
    return -1;
}

/* An array used in place for as long as the object lives: contiguous, of this type and shape. */
static PyArrayObject *part_take(PyObject *object, int type, int rank, const npy_intp *shape, const char *what)
{
    PyArrayObject *array = (PyArrayObject *)object;
    if (PyArray_Check(object) && PyArray_TYPE(array) == type && PyArray_ISCARRAY_RO(array) &&
        PyArray_NDIM(array) == rank && PyArray_CompareLists(PyArray_DIMS(array), shape, rank))
        return (PyArrayObject *)Py_NewRef(object);
    PyErr_Format(PyExc_ValueError, "the %s of a quantised head has another type or shape than its storage, its "
                 "features and %lld generated weights ask for", what, (long long)shape[rank - 1]);
    return NULL;
}

int hyper_head_take(HyperObject *self, PyObject *given)
{
    hn_quantized_head head = {.count = self->generated_count};
    if (given == Py_None)
        return 0;
    if (!self->generator || tuple_check(given, 4, "parts of a head") < 0 ||
        value_stored(PyTuple_GET_ITEM(given, 0), &head.stored) < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "without a generator there is no head");
        return -1;
    }
    PyObject *kernel = PyTuple_GET_ITEM(given, 1), *scale = PyTuple_GET_ITEM(given, 2);
    PyObject *bias = PyTuple_GET_ITEM(given, 3);
    npy_intp shape[2] = {0, (npy_intp)head.count};
    if (PyArray_Check(kernel) && PyArray_NDIM((PyArrayObject *)kernel) == 2)
        shape[0] = PyArray_DIM((PyArrayObject *)kernel, 0);
    self->head_parts[0] = part_take(kernel, stored_type(head.stored), 2, shape, "kernel");
    if (!self->head_parts[0])
        return -1;
    if (head.stored == HN_INT8 && !(self->head_parts[1] = part_take(scale, NPY_FLOAT32, 1, shape + 1, "scale")))
        return -1;
    if (bias != Py_None && !(self->head_parts[2] = part_take(bias, NPY_FLOAT32, 1, shape + 1, "bias")))
        return -1;
    head.width = shape[0];
    head.kernel = PyArray_DATA(self->head_parts[0]);
    head.scale = self->head_parts[1] ? PyArray_DATA(self->head_parts[1]) : NULL;
    head.bias = self->head_parts[2] ? PyArray_DATA(self->head_parts[2]) : NULL;
    self->head = head;
    return 0;
}

/* ---- theta ---- */

/* The array for theta: new, or `out`; where it is is taken before other Python code can run. */
static PyArrayObject *theta_array(hyper_call *call, PyObject *out)
{
    const HyperObject *hyper = call->hyper;
    const hn_shape sample = {1, {hyper->generated_count}};
    int32_t taken = call->held.count;
    const lead *lead = &call->conditions_lead;
    hn_dtype dtype = hyper->target->dtype;
    PyArrayObject *array = out == Py_None ? array_new(&call->held, dtype, lead, &sample)
                                          : array_use_out(&call->held, out, dtype, lead, &sample, (role){"out", 0});
    if (!array)
        return NULL;
    hn_view view = array_view(array, lead, hyper->generated_count);
    call->theta = view.data;
    call->theta_stride = view.group_stride;
    if (out == Py_None)
        return array;
    if (hyper_check_outside(hyper, array, (role){"out", 0}) < 0 ||
        held_check_apart(state_of((PyObject *)hyper), &call->held, 0, taken, array, (role){"out", 0},
                         "the conditions") < 0)
        return NULL;
    return array;
}

PyObject *hyper_generate(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    hyper_call call;
    PyObject *result = NULL;
    uint64_t seed;
    uint32_t number;
    if (arguments_check("Hyper.generate", count, 5) < 0 || value_seed(args[3], args[4], &seed, &number) < 0)
        return NULL;
    int training = PyObject_IsTrue(args[2]);
    if (training < 0)
        return NULL;
    if (!((HyperObject *)self)->generator)
        return PyErr_Format(PyExc_ValueError, "without a generator there is nothing that generates");
    PyArrayObject *theta = NULL;
    if (hyper_call_begin(&call, self, args[0], NULL, "rows") == 0 && (theta = theta_array(&call, args[1]))) {
        call.run.training = training;
        call.run.seed = seed;
        call.run.call = number;
        if (call.run.groups == 0 || (hyper_call_memory(&call, HN_MODE_INFERENCE) == 0 &&
                                     hyper_call_run(&call, 0, 0) == 0))
            result = Py_NewRef((PyObject *)theta);
    }
    hyper_call_end(&call);
    return result;
}

/* ---- making one ---- */

/* The kernel as it is between two updates of its store. */
static hn_status quantize(const binding_state *state, hn_dtype stored, PyArrayObject *kernel, PyArrayObject *to,
                          PyArrayObject *scale, double *worst, hn_error *error)
{
    hn_status status;
    StoreObject *store = store_behind(state, (PyObject *)kernel);
    int64_t rows = PyArray_DIM(kernel, 0), columns = PyArray_DIM(kernel, 1);
    Py_INCREF(kernel); /* with the caller's reference NumPy refuses to resize it */
    if (store)
        hn_lock_read_begin(store->lock);
    Py_BEGIN_ALLOW_THREADS
    status = hn_head_quantize(stored, rows, columns, PyArray_DATA(kernel), PyArray_DATA(to),
                              scale ? PyArray_DATA(scale) : NULL, worst, error);
    Py_END_ALLOW_THREADS
    if (store)
        hn_lock_read_end(store->lock);
    Py_DECREF(kernel);
    return status;
}

static PyObject *quantize_head(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    hn_error error;
    hn_dtype stored;
    double worst = 0.0;
    if (arguments_check("quantize_head", count, 2) < 0 || value_stored(args[0], &stored) < 0)
        return NULL;
    PyArrayObject *kernel = (PyArrayObject *)args[1];
    if (!PyArray_Check(args[1]) || PyArray_TYPE(kernel) != NPY_FLOAT32 || PyArray_NDIM(kernel) != 2 ||
        !PyArray_ISCARRAY_RO(kernel))
        return PyErr_Format(PyExc_TypeError, "quantize_head takes a contiguous matrix of float32");
    PyObject *to = PyArray_SimpleNew(2, PyArray_DIMS(kernel), stored_type(stored));
    PyObject *scale = stored == HN_INT8 ? PyArray_SimpleNew(1, PyArray_DIMS(kernel) + 1, NPY_FLOAT32)
                                        : Py_NewRef(Py_None);
    int failed = !to || !scale;
    if (!failed && quantize(PyModule_GetState(module), stored, kernel, (PyArrayObject *)to,
                            stored == HN_INT8 ? (PyArrayObject *)scale : NULL, &worst, &error) != HN_OK) {
        error_raise(&error);
        failed = 1;
    }
    if (!failed)
        return Py_BuildValue("NNd", to, scale, worst);
    Py_XDECREF(to);
    Py_XDECREF(scale);
    return NULL;
}

PyMethodDef hyper_functions[] = {
    {"quantize_head", FASTCALL(quantize_head), METH_FASTCALL,
     "quantize_head(storage, kernel): (kernel in fewer bits, scale of int8 or None, worst error)."},
    {NULL, NULL, 0, NULL},
};
