/* Hyper: gradients, steps, and training steps. */
#include "hyper.h"
#include "optimizer.h"
#include "../base/memory.h"

static int is_empty(const hyper_call *call)
{
    return call->run.groups == 0 || call->run.rows == 0;
}

static void clear(PyArrayObject *array)
{
    if (array)
        memset(PyArray_DATA(array), 0, (size_t)PyArray_NBYTES(array));
}

/* ---- vector-Jacobian products ---- */

typedef struct pull_call {
    int want_conditions, want_inputs, want_params;
    PyArrayObject *conditions[BINDING_MAX_TENSORS], *inputs[BINDING_MAX_TENSORS], *params;
    hn_view condition_gradients[BINDING_MAX_TENSORS], input_gradients[BINDING_MAX_TENSORS];
    hn_view output_gradients[BINDING_MAX_TENSORS];
} pull_call;

/* New arrays for the gradients of a network's inputs, in the shapes in which the inputs came. */
static int input_arrays(hyper_call *call, const NetworkObject *network, const hn_shape *shapes, const lead *lead,
                        int wanted, PyArrayObject **arrays, hn_view *views)
{
    for (int32_t i = 0; i < network->input_count; i++) {
        arrays[i] = NULL;
        views[i] = (hn_view){NULL, 0, 0};
        if (!wanted || network_input(network, i)->dtype == HN_INT64)
            continue;
        arrays[i] = array_new(&call->held, network->dtype, lead, &shapes[i]);
        if (!arrays[i])
            return -1;
        views[i] = array_view(arrays[i], lead, hn_shape_size(&shapes[i]));
    }
    return 0;
}

static int output_gradients_take(hyper_call *call, pull_call *pull, PyObject *given)
{
    const NetworkObject *target = call->hyper->target;
    const hn_plan *plan = hn_hyper_target_plan(call->item->plan);
    if (tuple_check(given, target->output_count, "output gradients") < 0)
        return -1;
    for (int32_t i = 0; i < target->output_count; i++) {
        const hn_tensor_info *info = hn_plan_output(plan, i);
        PyArrayObject *array = array_use_samples(&call->held, PyTuple_GET_ITEM(given, i), target->dtype, &call->lead,
                                                 &info->shape, (role){"output gradient", i});
        if (!array)
            return -1;
        pull->output_gradients[i] = array_view(array, &call->lead, hn_shape_size(&info->shape));
        if (info->dtype == HN_INT64)
            pull->output_gradients[i].data = NULL;
    }
    return 0;
}

static int pull_arrays(hyper_call *call, pull_call *pull)
{
    const HyperObject *hyper = call->hyper;
    const hn_shape *shapes = call->item->shapes;
    if (hyper->generator) {
        if (input_arrays(call, hyper->generator, shapes, &call->conditions_lead, pull->want_conditions,
                         pull->conditions, pull->condition_gradients) < 0)
            return -1;
        shapes += hyper->generator->input_count;
        call->run.condition_gradients = pull->condition_gradients;
    } else {
        hn_shape sample = {1, {hyper->generated_count}};
        pull->conditions[0] = NULL;
        if (pull->want_conditions) {
            pull->conditions[0] = array_new(&call->held, hyper->target->dtype, &call->conditions_lead, &sample);
            if (!pull->conditions[0])
                return -1;
            call->run.theta_gradient = PyArray_DATA(pull->conditions[0]);
            call->run.theta_gradient_stride = hyper->generated_count;
        }
    }
    if (input_arrays(call, hyper->target, shapes, &call->inputs_lead, pull->want_inputs, pull->inputs,
                     pull->input_gradients) < 0)
        return -1;
    pull->params = NULL;
    if (pull->want_params &&
        !(pull->params = array_new_vector(&call->held, hyper->target->dtype, hyper->gradient_count)))
        return -1;
    call->run.input_gradients = pull->input_gradients;
    call->run.output_gradients = pull->output_gradients;
    call->run.outputs = NULL;
    call->run.penalty_l1 = call->run.penalty_l2 = NULL;
    call->run.normalizer = 0.0; /* penalties are no part of the outputs */
    return 0;
}

/* Gradients of a run without rows are zero (and mostly without elements). */
static void clear_all(const hyper_call *call, const pull_call *pull)
{
    int32_t conditions = call->hyper->generator ? call->hyper->generator->input_count : 1;
    for (int32_t i = 0; i < conditions; i++)
        clear(pull->conditions[i]);
    for (int32_t i = 0; i < call->hyper->target->input_count; i++)
        clear(pull->inputs[i]);
    clear(pull->params);
}

static PyObject *pull_result(const hyper_call *call, const pull_call *pull)
{
    const HyperObject *hyper = call->hyper;
    int32_t count = hyper->generator ? hyper->generator->input_count : 1;
    PyObject *conditions = pull->want_conditions ? arrays_tuple(pull->conditions, count) : Py_NewRef(Py_None);
    PyObject *inputs = pull->want_inputs ? arrays_tuple(pull->inputs, hyper->target->input_count) : Py_NewRef(Py_None);
    if (conditions && inputs)
        return Py_BuildValue("NNO", conditions, inputs, pull->params ? (PyObject *)pull->params : Py_None);
    Py_XDECREF(conditions);
    Py_XDECREF(inputs);
    return NULL;
}

static int pull_run(hyper_call *call, const pull_call *pull)
{
    if (is_empty(call)) {
        clear_all(call, pull);
        return 0;
    }
    char *params = pull->params ? PyArray_DATA(pull->params) : NULL;
    if (hyper_call_memory(call, HN_MODE_TRAINING) < 0 || hyper_call_sources(call, params) < 0)
        return -1;
    return hyper_call_run(call, 1, 0);
}

PyObject *hyper_gradients(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    hyper_call call;
    pull_call pull = {0};
    PyObject *result = NULL;
    uint64_t seed;
    uint32_t number;
    PyObject *weights = count == 11 ? args[10] : Py_None;
    if ((count != 11 && arguments_check("Hyper.gradients", count, 10) < 0) ||
        value_seed(args[8], args[9], &seed, &number) < 0)
        return NULL;
    pull.want_conditions = PyObject_IsTrue(args[4]);
    pull.want_inputs = PyObject_IsTrue(args[5]);
    pull.want_params = PyObject_IsTrue(args[6]);
    const char *mode = value_text(args[3], "mode");
    int training = mode ? PyObject_IsTrue(args[7]) : -1;
    if (pull.want_conditions < 0 || pull.want_inputs < 0 || pull.want_params < 0 || training < 0)
        return NULL;
    if (hyper_call_begin(&call, self, args[0], args[1], mode) == 0 &&
        hyper_call_weights(&call, weights) == 0 && output_gradients_take(&call, &pull, args[2]) == 0 &&
        pull_arrays(&call, &pull) == 0) {
        call.run.training = training;
        call.run.seed = seed;
        call.run.call = number;
        if (pull_run(&call, &pull) == 0)
            result = pull_result(&call, &pull);
    }
    hyper_call_end(&call);
    return result;
}

/* ---- steps ---- */

typedef struct step_call {
    hyper_call call;
    loss_data data;
    hn_step_sums sums;
    double penalty;
    int backward;
} step_call;

/* What step and train_step have in common; `args` begin with conditions, inputs, targets, weights, losses, mode. */
static int step_begin(step_call *step, PyObject *self, PyObject *const *args, int training, PyObject *seed,
                      PyObject *number, PyObject *normalizer)
{
    hyper_call *call = &step->call;
    const char *mode = value_text(args[5], "mode");
    memset(&step->sums, 0, sizeof step->sums);
    step->penalty = 0.0;
    if (hyper_call_begin(call, self, args[0], args[1], mode) < 0 ||
        hyper_call_outputs(call, Py_None) < 0 ||
        losses_take(&call->held, &call->lead, hn_hyper_target_plan(call->item->plan), call->hyper->target->dtype,
                    args[2], args[3], args[4], &step->data) < 0 ||
        value_number(normalizer, "normalizer", &call->run.normalizer) < 0 ||
        value_seed(seed, number, &call->run.seed, &call->run.call) < 0)
        return -1;
    call->run.training = training;
    call->run.losses = step->data.losses;
    call->run.targets = step->data.targets;
    call->run.sums = &step->sums;
    call->run.penalty = &step->penalty;
    return 0;
}

static PyObject *step_result(const step_call *step)
{
    const hyper_call *call = &step->call;
    PyObject *outputs = arrays_tuple(call->results, call->hyper->target->output_count);
    int64_t rows = call->run.groups * call->run.rows;
    return outputs ? sums_tuple(&step->sums, step->data.count, rows, &step->penalty, outputs) : NULL;
}

/* The caller's gradient array, which may overlap nothing that is read. */
static PyArrayObject *gradient_take(hyper_call *call, PyObject *given)
{
    const HyperObject *hyper = call->hyper;
    role role = {"gradient", 0};
    int32_t taken = call->held.count;
    PyArrayObject *array = array_use_vector(&call->held, given, hyper->target->dtype, hyper->gradient_count, 1, role);
    if (!array || held_check_apart(state_of((PyObject *)hyper), &call->held, 0, taken, array, role,
                                   "what the step reads") < 0)
        return NULL;
    return hyper_check_outside(hyper, array, role) < 0 ? NULL : array;
}

static int step_run(step_call *step, PyArrayObject *gradient)
{
    hyper_call *call = &step->call;
    if (is_empty(call)) {
        clear(gradient);
        return 0;
    }
    if (hyper_call_memory(call, step->backward ? HN_MODE_TRAINING : HN_MODE_INFERENCE) < 0 ||
        hyper_call_sources(call, gradient ? PyArray_DATA(gradient) : NULL) < 0)
        return -1;
    return hyper_call_run(call, 1, 0);
}

PyObject *hyper_step(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    step_call step;
    PyArrayObject *gradient = NULL;
    PyObject *result = NULL;
    if (arguments_check("Hyper.step", count, 12) < 0)
        return NULL;
    const char *kind = value_text(args[6], "kind");
    int training = kind ? PyObject_IsTrue(args[7]) : -1;
    if (training < 0)
        return NULL;
    step.backward = strcmp(kind, "gradients") == 0;
    if (!step.backward && strcmp(kind, "evaluate") != 0)
        return PyErr_Format(PyExc_ValueError, "kind is \"evaluate\" or \"gradients\", received \"%s\"", kind);
    if (step_begin(&step, self, args, training, args[8], args[9], args[10]) == 0 &&
        (!step.backward || (gradient = gradient_take(&step.call, args[11]))) &&
        step_run(&step, gradient) == 0)
        result = step_result(&step);
    hyper_call_end(&step.call);
    return result;
}

/* ---- training steps ---- */

/* The one store that all trained parameters lie in. */
static StoreObject *trained_store(const HyperObject *hyper)
{
    if (hyper->generator && hyper->store_count == 1)
        return hyper->stores[0];
    PyErr_SetString(PyExc_RuntimeError, !hyper->generator ? "theta is given here, there is nothing to train"
                    : hyper->store_count ? "generator and target must have their weights in one store to be trained"
                                         : "there are no weights to train");
    return NULL;
}

static int gradient_reserve(hyper_call *call)
{
    hn_error error;
    run_memory *memory = call->memory;
    const HyperObject *hyper = call->hyper;
    if (!memory->gradient)
        memory->gradient = hn_memory_allocate((size_t)hyper->gradient_count, hn_dtype_size(hyper->target->dtype),
                                              &error);
    if (memory->gradient)
        return hyper_call_sources(call, memory->gradient);
    error_raise(&error);
    return -1;
}

/* Gradients, then the update, as the store's one writer. Until the update, which cannot fail, nothing has changed. */
static PyObject *train_run(step_call *step, StoreObject *store, OptimizerObject *optimizer, double learning_rate)
{
    hyper_call *call = &step->call;
    if (is_empty(call)) {
        PyErr_SetString(PyExc_ValueError, "a training step needs at least one row");
        return NULL;
    }
    if (hyper_call_memory(call, HN_MODE_TRAINING) < 0 || gradient_reserve(call) < 0 || store_claim(store) < 0)
        return NULL;
    PyObject *result = hyper_call_run(call, 1, 1) == 0 ? step_result(step) : NULL;
    if (result)
        optimizer_write(optimizer, store, store->data, call->memory->gradient, learning_rate,
                        1.0 / call->run.normalizer);
    hn_lock_release(store->lock);
    return result;
}

PyObject *hyper_train_step(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    step_call step;
    PyObject *result = NULL;
    double learning_rate;
    const HyperObject *hyper = (HyperObject *)self;
    if (arguments_check("Hyper.train_step", count, 11) < 0 ||
        value_number(args[10], "learning_rate", &learning_rate) < 0)
        return NULL;
    step.backward = 1;
    StoreObject *store = trained_store(hyper);
    OptimizerObject *optimizer = store ? optimizer_begin(state_of(self), args[9]) : NULL;
    if (!optimizer)
        return NULL;
    if (optimizer_check(optimizer, hyper->target->dtype, hyper->gradient_count, store->count) < 0) {
        optimizer_end(optimizer);
        return NULL;
    }
    if (step_begin(&step, self, args, 1, args[6], args[7], args[8]) == 0)
        result = train_run(&step, store, optimizer, learning_rate);
    hyper_call_end(&step.call);
    optimizer_end(optimizer);
    return result;
}
