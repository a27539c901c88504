/* Network: gradients, steps, and training steps. */
#include "network.h"
#include "optimizer.h"
#include "../base/memory.h"

/* Where the gradients of a call go. */
typedef struct gradient_call {
    char *params;        /* flat, in the graph's layout; NULL: not wanted */
    const loss_data *losses;
    int backward;
    double activity_scale;
    hn_step_sums sums;
    hn_view output_gradients[BINDING_MAX_TENSORS], input_gradients[BINDING_MAX_TENSORS];
    PyArrayObject *input_arrays[BINDING_MAX_TENSORS];
} gradient_call;

/* Sources with gradients, in the memory of the call; the first block overwrites, later ones add. */
static const hn_source *sources_bind(const network_call *call, char *params, int accumulate)
{
    const NetworkObject *network = call->network;
    size_t size = hn_dtype_size(network->dtype);
    hn_source *sources = call->memory->sources;
    for (int32_t i = 0; i < network->entry_count; i++) {
        sources[i] = network->sources[i];
        if (params)
            sources[i].gradient = params + (size_t)hn_graph_entry(network->graph->graph, i)->offset * size;
        sources[i].accumulate = accumulate;
    }
    return sources;
}

static int sources_reserve(network_call *call)
{
    hn_error error;
    run_memory *memory = call->memory;
    if (!memory->sources)
        memory->sources = hn_memory_allocate((size_t)call->network->entry_count, sizeof *memory->sources, &error);
    if (memory->sources)
        return 0;
    error_raise(&error);
    return -1;
}

static void clear(void *data, int64_t count, hn_dtype dtype)
{
    if (data)
        memset(data, 0, (size_t)count * hn_dtype_size(dtype));
}

/* ---- vector-Jacobian products ---- */

static hn_status pull_block(network_call *call, hn_run *run, int64_t first, void *context, hn_error *error)
{
    gradient_call *to = context;
    const NetworkObject *network = call->network;
    hn_view output_gradients[BINDING_MAX_TENSORS], input_gradients[BINDING_MAX_TENSORS];
    size_t sizes[BINDING_MAX_TENSORS];
    (void)error;
    for (int32_t i = 0; i < BINDING_MAX_TENSORS; i++)
        sizes[i] = hn_dtype_size(network->dtype);
    views_advance(to->output_gradients, output_gradients, sizes, network->output_count, first);
    views_advance(to->input_gradients, input_gradients, sizes, network->input_count, first);
    run->outputs = NULL;
    run->output_gradients = output_gradients;
    run->input_gradients = input_gradients;
    run->sources = sources_bind(call, to->params, first > 0);
    hn_plan_forward(call->item->plan, run);
    hn_plan_backward(call->item->plan, run);
    return HN_OK;
}

/* Gradients of the outputs as they came, and new arrays for those of the inputs. */
static int pull_arrays(network_call *call, gradient_call *to, PyObject *given, int want_inputs)
{
    const NetworkObject *network = call->network;
    const hn_plan *plan = call->item->plan;
    if (tuple_check(given, network->output_count, "output gradients") < 0)
        return -1;
    for (int32_t i = 0; i < network->output_count; i++) {
        const hn_tensor_info *info = hn_plan_output(plan, i);
        PyArrayObject *array = array_use_samples(&call->held, PyTuple_GET_ITEM(given, i), network->dtype, &call->lead,
                                                 &info->shape, (role){"output gradient", i});
        if (!array)
            return -1;
        to->output_gradients[i] = array_view(array, &call->lead, hn_shape_size(&info->shape));
        if (info->dtype == HN_INT64)
            to->output_gradients[i].data = NULL;
    }
    for (int32_t i = 0; i < network->input_count; i++) {
        const hn_tensor_info *info = hn_plan_input(plan, i);
        to->input_arrays[i] = NULL;
        to->input_gradients[i] = (hn_view){NULL, 0, 0};
        if (!want_inputs || info->dtype == HN_INT64)
            continue;
        to->input_arrays[i] = array_new(&call->held, network->dtype, &call->lead, &info->shape);
        if (!to->input_arrays[i])
            return -1;
        to->input_gradients[i] = array_view(to->input_arrays[i], &call->lead, hn_shape_size(&info->shape));
    }
    return 0;
}

/* Runs blocks of a training plan with the store's numbers kept as they are. */
static int read_blocks(network_call *call, network_block block, gradient_call *to)
{
    StoreObject *store = call->network->store;
    if (store)
        hn_lock_read_begin(store->lock);
    int result = network_call_blocks(call, block, to);
    if (store)
        hn_lock_read_end(store->lock);
    return result;
}

/* (input gradients or None, flat gradient or None) */
static PyObject *pull_result(const network_call *call, const gradient_call *to, int want_inputs, PyArrayObject *params)
{
    PyObject *inputs = want_inputs ? arrays_tuple(to->input_arrays, call->network->input_count) : Py_NewRef(Py_None);
    return inputs ? Py_BuildValue("NO", inputs, params ? (PyObject *)params : Py_None) : NULL;
}

PyObject *network_gradients(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    network_call call;
    gradient_call to = {.params = NULL};
    PyArrayObject *params = NULL;
    PyObject *result = NULL;
    uint64_t seed;
    uint32_t number;
    if (arguments_check("Network.gradients", count, 7) < 0 || value_seed(args[5], args[6], &seed, &number) < 0)
        return NULL;
    int want_inputs = PyObject_IsTrue(args[2]), want_params = PyObject_IsTrue(args[3]);
    int training = PyObject_IsTrue(args[4]);
    if (want_inputs < 0 || want_params < 0 || training < 0 || network_check_store((NetworkObject *)self) < 0)
        return NULL;
    int good = network_call_begin(&call, self, args[0]) == 0 && pull_arrays(&call, &to, args[1], want_inputs) == 0;
    if (good && want_params) {
        params = array_new_vector(&call.held, call.network->dtype, call.network->parameter_count);
        good = params != NULL;
        to.params = good ? PyArray_DATA(params) : NULL;
    }
    if (good) {
        call.run.training = training;
        call.run.seed = seed;
        call.run.call = number;
        if (call.lead.rows == 0)
            clear(to.params, call.network->parameter_count, call.network->dtype);
        else
            good = network_call_memory(&call, HN_MODE_TRAINING) == 0 && sources_reserve(&call) == 0 &&
                   read_blocks(&call, pull_block, &to) == 0;
    }
    if (good)
        result = pull_result(&call, &to, want_inputs, params);
    network_call_end(&call);
    return result;
}

/* ---- steps ---- */

static void targets_advance(const loss_data *data, hn_target *targets, hn_dtype dtype, int64_t first)
{
    size_t size = hn_dtype_size(dtype);
    for (int32_t i = 0; i < data->count; i++) {
        hn_target *target = &targets[i];
        size_t element = data->losses[i].kind == HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY ? sizeof(int64_t) : size;
        *target = data->targets[i];
        target->data = (const char *)target->data + first * target->row_stride * (int64_t)element;
        if (target->weight)
            target->weight = (const char *)target->weight + first * target->weight_row_stride * (int64_t)size;
    }
}

static hn_status step_block(network_call *call, hn_run *run, int64_t first, void *context, hn_error *error)
{
    gradient_call *to = context;
    hn_target targets[BINDING_MAX_TENSORS];
    hn_step_sums sums;
    targets_advance(to->losses, targets, call->network->dtype, first);
    if (to->backward)
        run->sources = sources_bind(call, to->params, first > 0);
    run->activity_scale = to->activity_scale;
    hn_status status = hn_step_gradients(call->item->plan, run, to->losses->losses, targets, to->backward,
                                         call->memory->scratch, &sums, error);
    for (int32_t i = 0; status == HN_OK && i < to->losses->count; i++) {
        to->sums.loss[i] += sums.loss[i];
        to->sums.count[i] += sums.count[i];
        to->sums.weight[i] += sums.weight[i];
    }
    if (status == HN_OK)
        to->sums.activity += sums.activity;
    return status;
}

/* Memory for a step, and labels checked before anything is written. */
static int step_memory(network_call *call, gradient_call *to)
{
    hn_error error;
    const hn_plan *plan = call->item->plan;
    if (network_call_memory(call, to->backward ? HN_MODE_TRAINING : HN_MODE_INFERENCE) < 0 ||
        sources_reserve(call) < 0)
        return -1;
    hn_status status = memory_reserve_scratch(call->memory, hn_step_scratch(plan, 1, call->block),
                                              &error);
    if (status == HN_OK && call->block < call->lead.rows) /* a single block is checked by the step itself */
        status = hn_step_check(plan, to->losses->losses, to->losses->targets, 1, call->lead.rows, &error);
    if (status == HN_OK)
        return 0;
    error_raise(&error);
    return -1;
}

/* What step and train_step have in common: inputs, outputs, losses. */
static int step_begin(network_call *call, gradient_call *to, loss_data *data, PyObject *self, PyObject *const *args,
                      PyObject *normalizer)
{
    double value;
    memset(&to->sums, 0, sizeof to->sums);
    to->losses = data;
    if (network_call_begin(call, self, args[0]) < 0 || value_number(normalizer, "normalizer", &value) < 0 ||
        network_outputs_take(call->network, &call->held, call->item->plan, &call->lead, Py_None, 0,
                             call->results, call->outputs) < 0)
        return -1;
    to->activity_scale = call->lead.rows > 0 ? value / (double)call->lead.rows : 0.0;
    return losses_take(&call->held, &call->lead, call->item->plan, call->network->dtype, args[1], args[2], args[3],
                       data);
}

static PyObject *step_result(const network_call *call, const gradient_call *to)
{
    PyObject *outputs = arrays_tuple(call->results, call->network->output_count);
    return outputs ? sums_tuple(&to->sums, to->losses->count, call->lead.rows, NULL, outputs) : NULL;
}

/* The caller's gradient array, which may overlap nothing that is read. */
static int gradient_take(network_call *call, gradient_call *to, PyObject *given)
{
    const NetworkObject *network = call->network;
    role role = {"gradient", 0};
    int32_t taken = call->held.count;
    PyArrayObject *array = array_use_vector(&call->held, given, network->dtype, network->parameter_count, 1, role);
    if (!array || held_check_apart(state_of((PyObject *)network), &call->held, 0, taken, array, role,
                                   "what the step reads") < 0)
        return -1;
    to->params = PyArray_DATA(array);
    const StoreObject *store = network->store;
    return store ? array_check_outside(array, store->data, store_bytes(store), role, "the weights") : 0;
}

PyObject *network_step(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    network_call call;
    loss_data data;
    gradient_call to = {.params = NULL};
    PyObject *result = NULL;
    if (arguments_check("Network.step", count, 10) < 0)
        return NULL;
    const char *mode = value_text(args[4], "mode");
    int training = mode ? PyObject_IsTrue(args[5]) : -1;
    if (training < 0 || network_check_store((NetworkObject *)self) < 0)
        return NULL;
    to.backward = strcmp(mode, "gradients") == 0;
    if (!to.backward && strcmp(mode, "evaluate") != 0)
        return PyErr_Format(PyExc_ValueError, "mode is \"evaluate\" or \"gradients\", received \"%s\"", mode);
    uint64_t seed;
    uint32_t number;
    if (value_seed(args[6], args[7], &seed, &number) < 0)
        return NULL;
    if (step_begin(&call, &to, &data, self, args, args[8]) == 0 &&
        (!to.backward || gradient_take(&call, &to, args[9]) == 0)) {
        call.run.training = training;
        call.run.seed = seed;
        call.run.call = number;
        if (call.lead.rows == 0)
            clear(to.params, call.network->parameter_count, call.network->dtype);
        if (call.lead.rows == 0 || (step_memory(&call, &to) == 0 && read_blocks(&call, step_block, &to) == 0))
            result = step_result(&call, &to);
    }
    network_call_end(&call);
    return result;
}

/* ---- training steps ---- */

/* The gradient lives in the memory that is kept between calls. */
static int gradient_reserve(network_call *call, gradient_call *to)
{
    hn_error error;
    run_memory *memory = call->memory;
    if (!memory->gradient)
        memory->gradient = hn_memory_allocate((size_t)call->network->parameter_count,
                                              hn_dtype_size(call->network->dtype), &error);
    to->params = memory->gradient;
    if (to->params)
        return 0;
    error_raise(&error);
    return -1;
}

/* Gradients, then the update, as the store's one writer. Until the update, which cannot fail, nothing has changed. */
static PyObject *train_run(network_call *call, gradient_call *to, OptimizerObject *optimizer, double learning_rate,
                           double normalizer)
{
    StoreObject *store = call->network->store;
    if (store_claim(store) < 0)
        return NULL;
    PyObject *result = network_call_blocks(call, step_block, to) == 0 ? step_result(call, to) : NULL;
    if (result)
        optimizer_write(optimizer, store, store->data, to->params, learning_rate, 1.0 / normalizer);
    hn_lock_release(store->lock);
    return result;
}

PyObject *network_train_step(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    network_call call;
    loss_data data;
    gradient_call to = {.params = NULL, .backward = 1};
    PyObject *result = NULL;
    uint64_t seed;
    uint32_t number;
    double normalizer, learning_rate;
    NetworkObject *network = (NetworkObject *)self;
    if (arguments_check("Network.train_step", count, 9) < 0 || value_seed(args[4], args[5], &seed, &number) < 0 ||
        value_number(args[6], "normalizer", &normalizer) < 0 ||
        value_number(args[8], "learning_rate", &learning_rate) < 0)
        return NULL;
    if (!network->store) {
        PyErr_SetString(PyExc_RuntimeError, "this network has no weights of its own to train");
        return NULL;
    }
    OptimizerObject *optimizer = optimizer_begin(state_of(self), args[7]);
    if (!optimizer)
        return NULL;
    if (optimizer_check(optimizer, network->dtype, network->parameter_count, network->store->count) < 0) {
        optimizer_end(optimizer);
        return NULL;
    }
    if (step_begin(&call, &to, &data, self, args, args[6]) == 0) {
        call.run.training = 1;
        call.run.seed = seed;
        call.run.call = number;
        if (call.lead.rows == 0)
            PyErr_SetString(PyExc_ValueError, "a training step needs at least one row");
        else if (step_memory(&call, &to) == 0 && gradient_reserve(&call, &to) == 0)
            result = train_run(&call, &to, optimizer, learning_rate, normalizer);
    }
    network_call_end(&call);
    optimizer_end(optimizer);
    return result;
}
