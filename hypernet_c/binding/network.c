/* Network: a graph with the place of each of its weights; prediction. */
#include "network.h"
#include "../base/memory.h"
#include "../base/threads.h"

#include <math.h>

/* Estimated nanoseconds from which on a call asks whether to go on. */
static const double worth_asking = 2e6;

enum { LEAST_ROWS = 16 }; /* of a block, unless there are fewer */

/* ---- plans ---- */

static void *plan_compile(const void *owner, const hn_shape *shapes, hn_error *error)
{
    const NetworkObject *network = owner;
    hn_isa isa;
    if (hn_isa_default(&isa, error) != HN_OK)
        return NULL;
    return hn_plan_create(network->graph->graph, shapes, isa, error);
}

static void plan_discard(void *plan)
{
    hn_plan_free(plan);
}

static void *workspace_create(const void *plan, int64_t groups, int64_t rows, hn_mode mode, int32_t threads,
                              hn_error *error)
{
    return hn_workspace_create(plan, groups, rows, mode, threads, error);
}

static int workspace_fits(const void *workspace, const void *plan, int64_t groups, int64_t rows, hn_mode mode,
                          int32_t threads)
{
    return hn_workspace_fits(workspace, plan, groups, rows, mode, threads);
}

static void workspace_discard(void *workspace)
{
    hn_workspace_free(workspace);
}

static const cache_methods plan_methods = {plan_compile, plan_discard, workspace_create, workspace_fits,
                                           workspace_discard};

/* ---- birth and death ---- */

/* Where each entry is; the sum cannot overflow, because entries and store fit the address space. */
static int sources_take(NetworkObject *self, PyObject *offsets)
{
    hn_error error;
    PyObject *list = sequence_take(offsets, "offsets must be a sequence of integers");
    if (!list)
        return -1;
    int failed = PyTuple_GET_SIZE(list) != self->entry_count;
    if (failed)
        PyErr_Format(PyExc_ValueError, "the graph has %d weight arrays, received %zd offsets", (int)self->entry_count,
                     PyTuple_GET_SIZE(list));
    self->sources = failed ? NULL : hn_memory_allocate((size_t)self->entry_count, sizeof *self->sources, &error);
    if (!failed && !self->sources) {
        error_raise(&error);
        failed = 1;
    }
    for (int32_t i = 0; !failed && i < self->entry_count; i++) {
        const hn_entry *entry = hn_graph_entry(self->graph->graph, i);
        int64_t offset;
        failed = value_integer(PyTuple_GET_ITEM(list, i), "an offset", &offset) < 0;
        if (failed || !self->store)
            continue;
        if (offset < 0 || offset > self->store->count || entry->size > self->store->count - offset) {
            PyErr_Format(PyExc_ValueError, "weights %s (%lld at offset %lld) do not lie in a store of %lld",
                         entry->name, (long long)entry->size, (long long)offset, (long long)self->store->count);
            failed = 1;
        } else {
            self->sources[i].data = (char *)self->store->data + (size_t)offset * hn_dtype_size(self->dtype);
        }
    }
    Py_DECREF(list);
    return failed ? -1 : 0;
}

/* Copies what the calls need to know of the graph, which does not change any more. */
static int graph_take(NetworkObject *self)
{
    const hn_graph *graph = self->graph->graph;
    graph_freeze(self->graph);
    self->entry_count = hn_graph_entry_count(graph);
    self->input_count = hn_graph_input_count(graph);
    self->output_count = hn_graph_output_count(graph);
    self->parameter_count = hn_graph_parameter_count(graph);
    self->dtype = hn_graph_dtype(graph);
    cache_begin(&self->cache, &plan_methods, self, self->input_count);
    if (self->input_count > BINDING_MAX_TENSORS || self->output_count > BINDING_MAX_TENSORS ||
        self->output_count == 0) {
        PyErr_Format(PyExc_ValueError, "a network has at most %d inputs and 1 to %d outputs, this graph has %d and %d",
                     BINDING_MAX_TENSORS, BINDING_MAX_TENSORS, (int)self->input_count, (int)self->output_count);
        return -1;
    }
    for (int32_t i = 0; i < self->input_count; i++) {
        self->inputs[i] = hn_graph_tensor(graph, hn_graph_input_tensor(graph, i));
        self->has_ids |= self->inputs[i]->dtype == HN_INT64;
    }
    return 0;
}

static PyObject *network_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    const binding_state *state = PyType_GetModuleState(type);
    if (constructor_check("Network", args, keywords, 3) < 0)
        return NULL;
    PyObject *graph = PyTuple_GET_ITEM(args, 0), *store = PyTuple_GET_ITEM(args, 1);
    if (!Py_IS_TYPE(graph, state->graph_type) || (store != Py_None && !Py_IS_TYPE(store, state->store_type)))
        return PyErr_Format(PyExc_TypeError, "Network takes a Graph and a Store or None, received %s and %s",
                            Py_TYPE(graph)->tp_name, Py_TYPE(store)->tp_name);
    NetworkObject *self = (NetworkObject *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    PyObject_GC_UnTrack(self); /* the arguments' own code runs below, and could find it half made */
    self->graph = (GraphObject *)Py_NewRef(graph);
    self->store = store == Py_None ? NULL : (StoreObject *)Py_NewRef(store);
    int good = graph_take(self) == 0;
    if (good && self->store && self->store->dtype != self->dtype) {
        PyErr_Format(PyExc_TypeError, "the graph computes in %s, the store holds %s", dtype_text(self->dtype),
                     dtype_text(self->store->dtype));
        good = 0;
    }
    if (!good || sources_take(self, PyTuple_GET_ITEM(args, 2)) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static int network_traverse(PyObject *object, visitproc visit, void *arg)
{
    NetworkObject *self = (NetworkObject *)object;
    Py_VISIT(self->graph);
    Py_VISIT(self->store);
    Py_VISIT(Py_TYPE(object));
    return 0;
}

/* Graph and store refer to nothing, so no cycle needs a network cleared; calls may rely on both. */
static void network_dealloc(PyObject *object)
{
    NetworkObject *self = (NetworkObject *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    cache_end(&self->cache);
    hn_memory_free(self->sources);
    Py_XDECREF(self->graph);
    Py_XDECREF(self->store);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *network_store(PyObject *object, void *unused)
{
    (void)unused;
    NetworkObject *self = (NetworkObject *)object;
    return Py_NewRef(self->store ? (PyObject *)self->store : Py_None);
}

/* ---- inputs and outputs ---- */

const hn_tensor_info *network_input(const NetworkObject *network, int32_t index)
{
    return network->inputs[index];
}

int network_check_store(const NetworkObject *network)
{
    if (network->store || network->parameter_count == 0)
        return 0;
    PyErr_SetString(PyExc_RuntimeError, "this network has no weights of its own: it is for functional use");
    return -1;
}

int network_inputs_take(const NetworkObject *network, held *held, PyObject *tuple, lead *lead, const char *what,
                        hn_view *views, hn_shape *shapes)
{
    if (tuple_check(tuple, network->input_count, "inputs") < 0)
        return -1;
    for (int32_t i = 0; i < network->input_count; i++) {
        const hn_tensor_info *info = network_input(network, i);
        PyArrayObject *array = array_use_samples(held, PyTuple_GET_ITEM(tuple, i), info->dtype, lead, &info->shape,
                                                 (role){what, i});
        if (!array)
            return -1;
        int64_t size = 1;
        shapes[i].rank = info->shape.rank;
        for (int32_t a = 0; a < info->shape.rank; a++) {
            shapes[i].dims[a] = PyArray_DIM(array, lead->axes + a);
            size *= shapes[i].dims[a];
        }
        views[i] = array_view(array, lead, size);
    }
    return 0;
}

/* `out` may overlap neither what came in, nor the weights, nor another out. */
static int out_check(const NetworkObject *network, const held *held, int32_t conditions, int32_t taken, int32_t index)
{
    const binding_state *state = state_of((PyObject *)network);
    PyArrayObject *array = (PyArrayObject *)held->objects[taken + index];
    role role = {"out", index};
    if (held_check_apart(state, held, 0, conditions, array, role, "a condition") < 0 ||
        held_check_apart(state, held, conditions, taken, array, role, "an input") < 0 ||
        held_check_apart(state, held, taken, taken + index, array, role, "another out") < 0)
        return -1;
    const StoreObject *store = network->store;
    return store ? array_check_outside(array, store->data, store_bytes(store), role, "the weights") : 0;
}

int network_outputs_take(const NetworkObject *network, held *held, const hn_plan *plan, const lead *lead,
                         PyObject *out, int32_t conditions, PyArrayObject **arrays, hn_view *views)
{
    int32_t taken = held->count;
    if (out != Py_None && tuple_check(out, network->output_count, "arrays of out") < 0)
        return -1;
    for (int32_t i = 0; i < network->output_count; i++) {
        const hn_tensor_info *info = hn_plan_output(plan, i);
        if (out == Py_None)
            arrays[i] = array_new(held, info->dtype, lead, &info->shape);
        else
            arrays[i] = array_use_out(held, PyTuple_GET_ITEM(out, i), info->dtype, lead, &info->shape,
                                      (role){"out", i});
        if (!arrays[i])
            return -1;
        views[i] = array_view(arrays[i], lead, hn_shape_size(&info->shape)); /* before Python code runs */
        if (out != Py_None && out_check(network, held, conditions, taken, i) < 0)
            return -1;
    }
    return 0;
}

/* ---- calls ---- */

int network_call_begin(network_call *call, PyObject *self, PyObject *inputs)
{
    hn_shape shapes[BINDING_MAX_TENSORS];
    hn_error error;
    NetworkObject *network = call->network = (NetworkObject *)self;
    call->item = NULL;
    call->memory = NULL;
    call->held.count = 0;
    call->lead = (lead){.axes = 1, .groups = 1, .rows = -1, .names = "M"};
    if (network_inputs_take(network, &call->held, inputs, &call->lead, "input", call->inputs, shapes) < 0)
        return -1;
    if (call->lead.rows < 0) {
        PyErr_SetString(PyExc_ValueError, "a network without inputs cannot run: there are no rows");
        return -1;
    }
    call->item = cache_take(&network->cache, shapes, &error);
    if (!call->item) {
        error_raise(&error);
        return -1;
    }
    call->row_work = work_of(hn_plan_work(call->item->plan));
    call->run = (hn_run){.groups = 1, .rows = call->lead.rows, .threads = hn_threads_get(),
                         .sources = network->sources};
    return 0;
}

void network_call_end(network_call *call)
{
    if (call->memory)
        memory_give(&call->network->cache, call->item, call->memory);
    if (call->item)
        cache_give(&call->network->cache, call->item);
    held_drop(&call->held);
}

static double output_elements(const network_call *call)
{
    double elements = 0.0;
    for (int32_t i = 0; i < call->network->output_count; i++)
        elements += (double)hn_shape_size(&hn_plan_output(call->item->plan, i)->shape);
    return elements;
}

/* Rows whose activations stay in bounds. In inference outputs are written where they are to be: they take little room
   in the caches, but time. */
static double rows_by_elements(const network_call *call, hn_mode mode)
{
    const double most_training = 1 << 22, most_inner = 1 << 20, most_outer = 1 << 24;
    double elements = (double)hn_plan_row_elements(call->item->plan, mode), outer = output_elements(call);
    if (mode == HN_MODE_TRAINING)
        return most_training / (elements + 1.0);
    double inner = elements > outer ? elements - outer : 0.0;
    return fmin(most_inner / (inner + 1.0), most_outer / (outer + 1.0));
}

/* Rows that run at a time: activations stay in bounds, all blocks are alike. Not too few, because every block reads all
   weights again. */
static int64_t block_rows(const network_call *call, hn_mode mode)
{
    double most = rows_by_elements(call, mode);
    int64_t rows = call->lead.rows, block = most < LEAST_ROWS ? LEAST_ROWS : most < 1e9 ? (int64_t)most : 1000000000;
    if (rows <= block)
        return rows;
    int64_t blocks = (rows + block - 1) / block;
    block = (rows + blocks - 1) / blocks;
    return (block + LEAST_ROWS - 1) / LEAST_ROWS * LEAST_ROWS;
}

/* Workspaces come in few sizes, so that calls of many sizes find one that fits. */
static int64_t round_rows(int64_t rows)
{
    int64_t rounded = 1;
    while (rounded < rows)
        rounded *= 2;
    return rounded;
}

int network_call_memory(network_call *call, hn_mode mode)
{
    hn_error error;
    call->mode = mode;
    if (mode == HN_MODE_TRAINING)
        call->row_work *= 3.0;
    call->block = call->lead.rows <= LEAST_ROWS ? call->lead.rows : block_rows(call, mode);
    call->memory = memory_take(&call->network->cache, call->item, 1, round_rows(call->block), mode, call->run.threads,
                               &error);
    if (!call->memory) {
        error_raise(&error);
        return -1;
    }
    call->run.workspace = call->memory->workspace;
    call->run.inputs = call->inputs;
    if (!call->network->has_ids || hn_plan_check(call->item->plan, &call->run, &error) == HN_OK)
        return 0;
    error_raise(&error);
    return -1;
}

void views_advance(const hn_view *views, hn_view *moved, const size_t *elements, int32_t count, int64_t first)
{
    for (int32_t i = 0; i < count; i++) {
        moved[i] = views[i];
        if (views[i].data)
            moved[i].data = (char *)views[i].data + first * views[i].row_stride * (int64_t)elements[i];
    }
}

/* Bytes of an element of each input and output. */
static void elements_of(const hn_plan *plan, int32_t inputs, int32_t outputs, size_t *input_sizes, size_t *output_sizes)
{
    for (int32_t i = 0; i < inputs; i++)
        input_sizes[i] = hn_dtype_size(hn_plan_input(plan, i)->dtype);
    for (int32_t i = 0; i < outputs; i++)
        output_sizes[i] = hn_dtype_size(hn_plan_output(plan, i)->dtype);
}

int network_call_blocks(network_call *call, network_block block, void *context)
{
    const NetworkObject *network = call->network;
    hn_view inputs[BINDING_MAX_TENSORS], outputs[BINDING_MAX_TENSORS];
    size_t input_sizes[BINDING_MAX_TENSORS], output_sizes[BINDING_MAX_TENSORS];
    hn_error error;
    hn_run run = call->run;
    gil gil;
    run.inputs = call->inputs;
    run.outputs = call->outputs;
    if (call->block < call->lead.rows)
        elements_of(call->item->plan, network->input_count, network->output_count, input_sizes, output_sizes);
    double work = call->row_work * (double)call->lead.rows;
    int asks = work > worth_asking;
    hn_cancel cancel = {gil_poll, &gil};
    hn_cancel_scope scope;
    gil_release(&gil, work);
    if (asks)
        hn_cancel_begin(&scope, &cancel);
    hn_status status = HN_OK;
    for (int64_t first = 0; status == HN_OK && first < call->lead.rows && !hn_cancel_ask(); first += call->block) {
        if (call->block < call->lead.rows) {
            run.rows = call->lead.rows - first < call->block ? call->lead.rows - first : call->block;
            run.first_row = (uint64_t)first;
            views_advance(call->inputs, inputs, input_sizes, network->input_count, first);
            views_advance(call->outputs, outputs, output_sizes, network->output_count, first);
            run.inputs = inputs;
            run.outputs = outputs;
        }
        status = block(call, &run, first, context, &error);
    }
    if (asks && hn_cancel_end(&scope))
        status = hn_error_set(&error, HN_CANCELLED, "a signal handler raised an exception");
    gil_acquire(&gil);
    if (status != HN_OK)
        error_raise(&error);
    return status == HN_OK ? 0 : -1;
}

static hn_status predict_block(network_call *call, hn_run *run, int64_t first, void *context, hn_error *error)
{
    (void)first, (void)context, (void)error;
    hn_plan_forward(call->item->plan, run);
    return HN_OK;
}

/* Runs with the store's numbers kept as they are. */
static int predict_run(network_call *call)
{
    StoreObject *store = call->network->store;
    if (store)
        hn_lock_read_begin(store->lock);
    int result = network_call_blocks(call, predict_block, NULL);
    if (store)
        hn_lock_read_end(store->lock);
    return result;
}

/* Inputs and outputs of a prediction. */
static int predict_begin(network_call *call, PyObject *self, PyObject *inputs, PyObject *out)
{
    if (network_call_begin(call, self, inputs) < 0)
        return -1;
    return network_outputs_take(call->network, &call->held, call->item->plan, &call->lead, out, 0, call->results,
                                call->outputs);
}

static int predict_rows(network_call *call)
{
    return call->lead.rows == 0 || (network_call_memory(call, HN_MODE_INFERENCE) == 0 && predict_run(call) == 0) ? 0
                                                                                                                : -1;
}

static PyObject *network_predict(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    network_call call;
    PyObject *result = NULL;
    uint64_t seed;
    uint32_t number;
    if (arguments_check("Network.predict", count, 5) < 0 || value_seed(args[3], args[4], &seed, &number) < 0)
        return NULL;
    int training = PyObject_IsTrue(args[2]);
    if (training < 0 || network_check_store((NetworkObject *)self) < 0)
        return NULL;
    if (predict_begin(&call, self, args[0], args[1]) == 0) {
        call.run.training = training;
        call.run.seed = seed;
        call.run.call = number;
        if (predict_rows(&call) == 0)
            result = results_tuple(call.results, call.network->output_count, args[1]);
    }
    network_call_end(&call);
    return result;
}

/* network(x): the fast path of a model with one input and one output, which refuses all but an array. */
static PyObject *network_direct(PyObject *self, PyObject *args, PyObject *keywords)
{
    network_call call;
    PyObject *result = NULL;
    const NetworkObject *network = (NetworkObject *)self;
    if (keywords || PyTuple_GET_SIZE(args) != 1 || !PyArray_CheckExact(PyTuple_GET_ITEM(args, 0)) ||
        network->input_count != 1 || network->output_count != 1) {
        PyErr_SetString(PyExc_TypeError, "a network with one input and one output is called on one array");
        return NULL;
    }
    if (network_check_store(network) < 0)
        return NULL;
    if (predict_begin(&call, self, args, Py_None) == 0 && predict_rows(&call) == 0)
        result = Py_NewRef((PyObject *)call.results[0]);
    network_call_end(&call);
    return result;
}

static PyMethodDef network_methods[] = {
    {"predict", FASTCALL(network_predict), METH_FASTCALL, "predict(inputs, out, training, seed, call): outputs."},
    {"gradients", FASTCALL(network_gradients), METH_FASTCALL,
     "gradients(inputs, output_gradients, want_inputs, want_params, training, seed, call)"},
    {"step", FASTCALL(network_step), METH_FASTCALL,
     "step(inputs, targets, weights, losses, mode, training, seed, call, normalizer, gradient)"},
    {"train_step", FASTCALL(network_train_step), METH_FASTCALL,
     "train_step(inputs, targets, weights, losses, seed, call, normalizer, optimizer, learning_rate)"},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef network_properties[] = {
    {"store", network_store, NULL, "The store that holds the weights, or None.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot network_slots[] = {
    {Py_tp_doc, "Network(graph, store, offsets): a graph with the place of each of its weights."},
    {Py_tp_new, network_new},
    {Py_tp_dealloc, network_dealloc},
    {Py_tp_traverse, network_traverse},
    {Py_tp_call, network_direct},
    {Py_tp_methods, network_methods},
    {Py_tp_getset, network_properties},
    {0, NULL},
};
PyType_Spec network_spec = {
    .name = "hypernet._core.Network", .basicsize = sizeof(NetworkObject), .slots = network_slots,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
};
