/* Hyper: prediction. */
#include "hyper.h"

/* Takes everything; the results are in call->results afterwards. */
static int predict_begin(hyper_call *call, PyObject *self, PyObject *conditions, PyObject *inputs, const char *mode,
                         PyObject *out, PyObject *weights)
{
    return hyper_call_begin(call, self, conditions, inputs, mode) < 0 || hyper_call_weights(call, weights) < 0 ||
                   hyper_call_outputs(call, out) < 0 ? -1 : 0;
}

static int predict_run(hyper_call *call)
{
    if (call->run.groups == 0 || call->run.rows == 0)
        return 0;
    return hyper_call_memory(call, HN_MODE_INFERENCE) < 0 || hyper_call_sources(call, NULL) < 0 ||
                   hyper_call_run(call, 0, 0) < 0 ? -1 : 0;
}

PyObject *hyper_predict(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    hyper_call call;
    PyObject *result = NULL;
    uint64_t seed;
    uint32_t number;
    PyObject *weights = count == 8 ? args[7] : Py_None;
    if ((count != 8 && arguments_check("Hyper.predict", count, 7) < 0) ||
        value_seed(args[5], args[6], &seed, &number) < 0)
        return NULL;
    const char *mode = value_text(args[2], "mode");
    int training = mode ? PyObject_IsTrue(args[4]) : -1;
    if (training < 0)
        return NULL;
    if (predict_begin(&call, self, args[0], args[1], mode, args[3], weights) == 0) {
        call.run.training = training;
        call.run.seed = seed;
        call.run.call = number;
        if (predict_run(&call) == 0)
            result = results_tuple(call.results, call.hyper->target->output_count, args[3]);
    }
    hyper_call_end(&call);
    return result;
}

/* ---- the fast path ---- */

/* Whether `given` is an array of an input's dtype with its sample shape after one or two axes; how many of them. */
static int leading_axes(const hn_tensor_info *input, PyObject *given)
{
    if (!PyArray_CheckExact(given))
        return 0;
    PyArrayObject *array = (PyArrayObject *)given;
    int rank = input->shape.rank, axes = PyArray_NDIM(array) - rank;
    if (axes < 1 || axes > 2 || array_dtype(array) != (int)input->dtype)
        return 0;
    for (int i = 0; i < rank; i++)
        if (PyArray_DIM(array, axes + i) != input->shape.dims[i])
            return 0;
    return axes;
}

/* How conditions (N, *c) and an x of the right dtypes meet; NULL where that takes more than a look. */
static const char *mode_of(const HyperObject *hyper, PyObject *cond, PyObject *x)
{
    if (!hyper->generator || hyper->generator->input_count != 1 || hyper->target->input_count != 1 ||
        hyper->target->output_count != 1 || leading_axes(network_input(hyper->generator, 0), cond) != 1)
        return NULL;
    int axes = leading_axes(network_input(hyper->target, 0), x);
    npy_intp groups = PyArray_DIM((PyArrayObject *)cond, 0), first = axes ? PyArray_DIM((PyArrayObject *)x, 0) : -1;
    if (axes == 1)
        return groups == 1 ? "one" : first == groups ? "rows" : NULL;
    if (axes == 2)
        return first == groups ? "tasks" : first == 1 ? "shared" : NULL;
    return NULL;
}

PyObject *hyper_direct(PyObject *self, PyObject *args, PyObject *keywords)
{
    hyper_call call;
    PyObject *result = NULL, *pair = PyTuple_GET_SIZE(args) == 1 ? PyTuple_GET_ITEM(args, 0) : NULL;
    int is_pair = !keywords && pair && PyList_CheckExact(pair) && PyList_GET_SIZE(pair) == 2;
    PyObject *conditions = is_pair ? PyTuple_Pack(1, PyList_GET_ITEM(pair, 0)) : NULL;
    PyObject *inputs = conditions ? PyTuple_Pack(1, PyList_GET_ITEM(pair, 1)) : NULL;
    const char *mode = inputs ? mode_of((HyperObject *)self, PyTuple_GET_ITEM(conditions, 0),
                                        PyTuple_GET_ITEM(inputs, 0)) : NULL;
    if (mode) {
        if (predict_begin(&call, self, conditions, inputs, mode, Py_None, Py_None) == 0 && predict_run(&call) == 0)
            result = Py_NewRef((PyObject *)call.results[0]);
        hyper_call_end(&call);
    } else if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_TypeError, "a hypernetwork is called on a list of conditions and x, one array each");
    }
    Py_XDECREF(conditions);
    Py_XDECREF(inputs);
    return result;
}
