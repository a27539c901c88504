/* Hyper: two networks and the pipeline between them; prediction is in hyper_predict.c, gradients in hyper_train.c. */
#include "hyper.h"
#include "../base/memory.h"
#include "../base/threads.h"

/* ---- plans ---- */

static void *hyper_compile(const void *owner, const hn_shape *shapes, hn_error *error)
{
    const HyperObject *self = owner;
    const hn_graph *target = self->target->graph->graph;
    hn_isa isa;
    if (hn_isa_default(&isa, error) != HN_OK)
        return NULL;
    if (!self->generator)
        return hn_hyper_create_given(target, self->generated, shapes, isa, error);
    if (self->head.kernel)
        return hn_hyper_create_quantized(self->generator->graph->graph, &self->head, target, self->generated, shapes,
                                         shapes + self->generator->input_count, isa, error);
    return hn_hyper_create(self->generator->graph->graph, target, self->generated, shapes,
                           shapes + self->generator->input_count, isa, error);
}

static void hyper_discard(void *plan)
{
    hn_hyper_free(plan);
}

static void *workspace_create(const void *plan, int64_t groups, int64_t rows, hn_mode mode, int32_t threads,
                              hn_error *error)
{
    return hn_hyper_workspace_create(plan, groups, rows, mode, threads, error);
}

static int workspace_fits(const void *workspace, const void *plan, int64_t groups, int64_t rows, hn_mode mode,
                          int32_t threads)
{
    return hn_hyper_workspace_fits(workspace, plan, groups, rows, mode, threads);
}

static void workspace_discard(void *workspace)
{
    hn_hyper_workspace_free(workspace);
}

static const cache_methods hyper_methods = {hyper_compile, hyper_discard, workspace_create, workspace_fits,
                                            workspace_discard};

/* The declared sample shapes of all inputs; 1 if none of them has an open axis, which is 1 then. */
static int declared_shapes(const HyperObject *self, hn_shape *shapes)
{
    int32_t conditions = self->generator ? self->generator->input_count : 0;
    int closed = 1;
    for (int32_t i = 0; i < conditions + self->target->input_count; i++) {
        shapes[i] = (i < conditions ? network_input(self->generator, i)
                                    : network_input(self->target, i - conditions))->shape;
        for (int32_t a = 0; a < shapes[i].rank; a++)
            if (shapes[i].dims[a] < 0) {
                shapes[i].dims[a] = 1;
                closed = 0;
            }
    }
    return closed;
}

/* ---- birth and death ---- */

static int flags_take(HyperObject *self, PyObject *sequence)
{
    hn_error error;
    const NetworkObject *target = self->target;
    PyObject *list = sequence_take(sequence, "generated must be a sequence of flags");
    if (!list)
        return -1;
    int failed = PyTuple_GET_SIZE(list) != target->entry_count;
    if (failed)
        PyErr_Format(PyExc_ValueError, "the target has %d weight arrays, received %zd flags", (int)target->entry_count,
                     PyTuple_GET_SIZE(list));
    if (!failed && !(self->generated = hn_memory_allocate((size_t)target->entry_count, 1, &error))) {
        error_raise(&error);
        failed = 1;
    }
    self->gradient_count = (self->generator ? self->generator->parameter_count : 0) + target->parameter_count;
    for (int32_t i = 0; !failed && i < target->entry_count; i++) {
        int flag = PyObject_IsTrue(PyTuple_GET_ITEM(list, i));
        failed = flag < 0;
        if (flag > 0) {
            self->generated[i] = 1;
            self->generated_count += hn_graph_entry(target->graph->graph, i)->size;
        }
    }
    self->gradient_count -= self->generated_count;
    Py_DECREF(list);
    return failed ? -1 : 0;
}

static int penalties_take(HyperObject *self, PyObject *sequence)
{
    hn_error error;
    int32_t count = self->target->entry_count;
    if (sequence == Py_None)
        return 0;
    PyObject *list = sequence_take(sequence, "penalties must be a sequence of pairs");
    if (!list)
        return -1;
    int failed = PyTuple_GET_SIZE(list) != count;
    if (failed)
        PyErr_Format(PyExc_ValueError, "the target has %d weight arrays, received %zd penalties", (int)count,
                     PyTuple_GET_SIZE(list));
    if (!failed && !(self->penalties = hn_memory_allocate((size_t)count, 2 * sizeof(double), &error))) {
        error_raise(&error);
        failed = 1;
    }
    for (int32_t i = 0; !failed && i < count; i++) {
        PyObject *pair = PyTuple_GET_ITEM(list, i);
        failed = tuple_check(pair, 2, "numbers of a penalty") < 0 ||
                 value_number(PyTuple_GET_ITEM(pair, 0), "a penalty", &self->penalties[i]) < 0 ||
                 value_number(PyTuple_GET_ITEM(pair, 1), "a penalty", &self->penalties[count + i]) < 0;
    }
    Py_DECREF(list);
    return failed ? -1 : 0;
}

static int base_take(HyperObject *self, PyObject *base)
{
    held held = {.count = 0};
    if (base == Py_None)
        return 0;
    self->base = array_use_vector(&held, base, self->target->dtype, self->generated_count, 0, (role){"base", 0});
    Py_XINCREF(self->base);
    held_drop(&held);
    return self->base ? 0 : -1;
}

/* generator, target, generated, base, penalties, and the parts of a head, if there are any. */
static int parts_take(HyperObject *self, PyObject *args)
{
    PyObject *head = PyTuple_GET_SIZE(args) > 5 ? PyTuple_GET_ITEM(args, 5) : Py_None;
    return flags_take(self, PyTuple_GET_ITEM(args, 2)) < 0 || base_take(self, PyTuple_GET_ITEM(args, 3)) < 0 ||
           penalties_take(self, PyTuple_GET_ITEM(args, 4)) < 0 || hyper_head_take(self, head) < 0 ? -1 : 0;
}

/* The stores that runs read. A target whose weights are all generated reads none of its own. */
static int stores_take(HyperObject *self)
{
    NetworkObject *target = self->target;
    int own = self->generated_count < target->parameter_count;
    if (self->generator && network_check_store(self->generator) < 0)
        return -1;
    if (own && network_check_store(target) < 0)
        return -1;
    if (self->generator && self->generator->store)
        self->stores[self->store_count++] = self->generator->store;
    if (own && (self->store_count == 0 || target->store != self->stores[0]))
        self->stores[self->store_count++] = target->store;
    return 0;
}

/* What can be compiled already is, so that mistakes show here. */
static int compile_early(HyperObject *self)
{
    hn_shape shapes[2 * BINDING_MAX_TENSORS];
    hn_error error;
    int32_t conditions = self->generator ? self->generator->input_count : 0;
    cache_begin(&self->cache, &hyper_methods, self, conditions + self->target->input_count);
    if (!declared_shapes(self, shapes))
        return 0;
    cache_item *item = cache_take(&self->cache, shapes, &error);
    if (!item) {
        error_raise(&error);
        return -1;
    }
    cache_give(&self->cache, item);
    return 0;
}

static PyObject *hyper_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    const binding_state *state = PyType_GetModuleState(type);
    if (constructor_check("Hyper", args, keywords, PyTuple_GET_SIZE(args) == 6 ? 6 : 5) < 0)
        return NULL;
    PyObject *generator = PyTuple_GET_ITEM(args, 0), *target = PyTuple_GET_ITEM(args, 1);
    if ((generator != Py_None && !Py_IS_TYPE(generator, state->network_type)) ||
        !Py_IS_TYPE(target, state->network_type))
        return PyErr_Format(PyExc_TypeError, "Hyper takes a Network or None, and a Network; received %s and %s",
                            Py_TYPE(generator)->tp_name, Py_TYPE(target)->tp_name);
    HyperObject *self = (HyperObject *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    PyObject_GC_UnTrack(self); /* the arguments' own code runs below, and could find it half made */
    self->generator = generator == Py_None ? NULL : (NetworkObject *)Py_NewRef(generator);
    self->target = (NetworkObject *)Py_NewRef(target);
    if (parts_take(self, args) < 0 || stores_take(self) < 0 || compile_early(self) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static int hyper_traverse(PyObject *object, visitproc visit, void *arg)
{
    HyperObject *self = (HyperObject *)object;
    Py_VISIT(self->generator);
    Py_VISIT(self->target);
    Py_VISIT(self->base);
    for (int i = 0; i < 3; i++)
        Py_VISIT(self->head_parts[i]);
    Py_VISIT(Py_TYPE(object));
    return 0;
}

/* The base may be an array of a subclass that refers back to us; without it no run may start. */
static int hyper_clear(PyObject *object)
{
    Py_CLEAR(((HyperObject *)object)->base);
    return 0;
}

static void hyper_dealloc(PyObject *object)
{
    HyperObject *self = (HyperObject *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    cache_end(&self->cache);
    hn_memory_free(self->generated);
    hn_memory_free(self->penalties);
    Py_XDECREF(self->base);
    for (int i = 0; i < 3; i++)
        Py_XDECREF(self->head_parts[i]);
    Py_XDECREF(self->generator);
    Py_XDECREF(self->target);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *hyper_head(PyObject *object, void *unused)
{
    (void)unused;
    HyperObject *self = (HyperObject *)object;
    hn_shape shapes[2 * BINDING_MAX_TENSORS];
    hn_error error;
    declared_shapes(self, shapes);
    cache_item *item = cache_take(&self->cache, shapes, &error);
    if (!item)
        return error_object(&error);
    PyObject *name = PyUnicode_FromString(hn_hyper_head_name(item->plan));
    cache_give(&self->cache, item);
    return name;
}

static PyObject *hyper_generated_count(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong(((HyperObject *)object)->generated_count);
}

/* ---- calls ---- */

/* How conditions, inputs and outputs begin in each mode. */
static int leads_take(hyper_call *call, const char *mode)
{
    lead conditions = {.axes = 1, .by_group = 1, .groups = -1, .rows = 1, .names = "N"};
    lead inputs = {.axes = 2, .groups = -1, .rows = -1, .names = "N, M"};
    if (strcmp(mode, "one") == 0) {
        conditions.groups = 1;
        inputs = (lead){.axes = 1, .groups = 1, .rows = -1, .names = "M"};
    } else if (strcmp(mode, "rows") == 0) {
        inputs = conditions;
    } else if (strcmp(mode, "shared") == 0) {
        inputs.shared = 1;
        inputs.names = "1, M";
    } else if (strcmp(mode, "tasks") != 0) {
        PyErr_Format(PyExc_ValueError, "mode is \"one\", \"rows\", \"tasks\" or \"shared\", received \"%s\"", mode);
        return -1;
    }
    call->conditions_lead = conditions;
    call->inputs_lead = inputs;
    return 0;
}

/* (theta,) of shape (N, P). */
static int theta_take(hyper_call *call, PyObject *tuple)
{
    const HyperObject *hyper = call->hyper;
    hn_shape sample = {1, {hyper->generated_count}};
    if (tuple_check(tuple, 1, "theta") < 0)
        return -1;
    PyArrayObject *theta = array_use_samples(&call->held, PyTuple_GET_ITEM(tuple, 0), hyper->target->dtype,
                                             &call->conditions_lead, &sample, (role){"theta", 0});
    if (!theta)
        return -1;
    hn_view view = array_view(theta, &call->conditions_lead, hyper->generated_count);
    call->run.theta = view.data;
    call->run.theta_stride = view.group_stride;
    return 0;
}

static void run_fill(hyper_call *call)
{
    const HyperObject *hyper = call->hyper;
    hn_hyper_run *run = &call->run;
    int32_t entries = hyper->target->entry_count;
    run->groups = call->lead.groups;
    run->rows = call->lead.rows;
    run->threads = hn_threads_get();
    run->conditions = hyper->generator ? call->conditions : NULL;
    run->inputs = call->inputs;
    run->outputs = call->outputs;
    run->generator_sources = hyper->generator ? hyper->generator->sources : NULL;
    run->target_sources = hyper->target->sources;
    run->base = hyper->base ? PyArray_DATA(hyper->base) : NULL;
    run->penalty_l1 = hyper->penalties;
    run->penalty_l2 = hyper->penalties ? hyper->penalties + entries : NULL;
    run->cancel = (hn_cancel){gil_poll, &call->gil};
    run->normalizer = 1.0;
    double group = 2.0 * (double)(hyper->generator ? hyper->generator->parameter_count : hyper->generated_count);
    double row = hn_plan_work(hn_hyper_target_plan(call->item->plan));
    call->work = work_of((double)run->groups * (group + (double)run->rows * row));
}

/* A run of the generator alone: no rows, of shapes that the plan is compiled for already. */
static void no_inputs(hyper_call *call, hn_shape *shapes)
{
    const HyperObject *hyper = call->hyper;
    hn_shape declared[2 * BINDING_MAX_TENSORS];
    declared_shapes(hyper, declared);
    memcpy(shapes + hyper->generator->input_count, declared + hyper->generator->input_count,
           (size_t)hyper->target->input_count * sizeof *shapes);
    call->inputs_lead.rows = 0;
}

int hyper_call_begin(hyper_call *call, PyObject *self, PyObject *conditions, PyObject *inputs, const char *mode)
{
    hn_shape shapes[2 * BINDING_MAX_TENSORS];
    hn_error error;
    HyperObject *hyper = call->hyper = (HyperObject *)self;
    int32_t condition_count = hyper->generator ? hyper->generator->input_count : 0;
    call->item = NULL;
    call->memory = NULL;
    call->theta = NULL;
    call->weights = NULL;
    call->held.count = 0;
    memset(&call->run, 0, sizeof call->run);
    if (!mode || leads_take(call, mode) < 0)
        return -1;
    int taken = hyper->generator ? network_inputs_take(hyper->generator, &call->held, conditions,
                                                       &call->conditions_lead, "condition", call->conditions, shapes)
                                 : theta_take(call, conditions);
    if (taken < 0)
        return -1;
    call->inputs_lead.groups = call->conditions_lead.groups;
    if (!inputs)
        no_inputs(call, shapes);
    else if (network_inputs_take(hyper->target, &call->held, inputs, &call->inputs_lead, "input", call->inputs,
                                 shapes + condition_count) < 0)
        return -1;
    if (call->inputs_lead.groups < 0 || call->inputs_lead.rows < 0) {
        PyErr_SetString(PyExc_ValueError, "without conditions and inputs there is nothing to run");
        return -1;
    }
    call->lead = call->inputs_lead;
    call->lead.shared = 0;
    call->item = cache_take(&hyper->cache, shapes, &error);
    if (!call->item) {
        error_raise(&error);
        return -1;
    }
    run_fill(call);
    return 0;
}

void hyper_call_end(hyper_call *call)
{
    if (call->memory)
        memory_give(&call->hyper->cache, call->item, call->memory);
    if (call->item)
        cache_give(&call->hyper->cache, call->item);
    held_drop(&call->held);
}

int hyper_call_memory(hyper_call *call, hn_mode mode)
{
    hn_error error;
    call->memory = memory_take(&call->hyper->cache, call->item, call->run.groups, call->run.rows, mode,
                               call->run.threads, &error);
    if (!call->memory) {
        error_raise(&error);
        return -1;
    }
    call->run.workspace = call->memory->workspace;
    return 0;
}

int hyper_call_weights(hyper_call *call, PyObject *given)
{
    const HyperObject *hyper = call->hyper;
    if (given == Py_None)
        return 0;
    PyArrayObject *array = array_use_vector(&call->held, given, hyper->target->dtype, hyper->gradient_count, 0,
                                            (role){"weights", 0});
    if (!array)
        return -1;
    call->weights = PyArray_DATA(array);
    return 0;
}

/* One network's sources: where the weights are (at `weights`, else in its store) and where their gradients go. Entries
   that are generated have neither. */
static int64_t sources_fill(const NetworkObject *network, const unsigned char *generated, const char *weights,
                            char *gradient, int64_t offset, hn_source *sources)
{
    int64_t element = (int64_t)hn_dtype_size(network->dtype);
    for (int32_t i = 0; i < network->entry_count; i++) {
        sources[i] = network->sources[i];
        if (generated && generated[i])
            continue;
        if (weights)
            sources[i].data = weights + offset * element;
        if (gradient)
            sources[i].gradient = gradient + offset * element;
        offset += hn_graph_entry(network->graph->graph, i)->size;
    }
    return offset;
}

int hyper_call_sources(hyper_call *call, char *gradient)
{
    hn_error error;
    const HyperObject *hyper = call->hyper;
    const NetworkObject *target = hyper->target;
    int32_t first = hyper->generator ? hyper->generator->entry_count : 0;
    hn_source **sources = &call->memory->sources;
    int64_t offset = 0;
    if (!gradient && !call->weights)
        return 0;
    if (!*sources)
        *sources = hn_memory_allocate((size_t)first + (size_t)target->entry_count, sizeof **sources, &error);
    if (!*sources) {
        error_raise(&error);
        return -1;
    }
    if (hyper->generator) {
        offset = sources_fill(hyper->generator, NULL, call->weights, gradient, 0, *sources);
        call->run.generator_sources = *sources;
    }
    sources_fill(target, hyper->generated, call->weights, gradient, offset, *sources + first);
    call->run.target_sources = *sources + first;
    return 0;
}

int hyper_check_outside(const HyperObject *hyper, PyArrayObject *written, role role)
{
    for (int32_t i = 0; i < hyper->store_count; i++)
        if (array_check_outside(written, hyper->stores[i]->data, store_bytes(hyper->stores[i]), role,
                                "the weights") < 0)
            return -1;
    const binding_state *state = state_of((PyObject *)hyper);
    return hyper->base ? array_check_apart(state, written, hyper->base, role, "the base") : 0;
}

int hyper_call_outputs(hyper_call *call, PyObject *out)
{
    const HyperObject *hyper = call->hyper;
    int32_t conditions = hyper->generator ? hyper->generator->input_count : 1;
    if (network_outputs_take(hyper->target, &call->held, hn_hyper_target_plan(call->item->plan), &call->lead, out,
                             conditions, call->results, call->outputs) < 0)
        return -1;
    for (int32_t i = 0; out != Py_None && i < hyper->target->output_count; i++)
        if (hyper_check_outside(hyper, call->results[i], (role){"out", i}) < 0)
            return -1;
    return 0;
}

int hyper_call_run(hyper_call *call, int gradients, int claimed)
{
    const HyperObject *hyper = call->hyper;
    hn_error error;
    int reads = !claimed && !call->weights;
    for (int32_t i = 0; reads && i < hyper->store_count; i++)
        hn_lock_read_begin(hyper->stores[i]->lock);
    gil_release(&call->gil, gradients ? 3.0 * call->work : call->work);
    hn_status status = call->theta ? hn_hyper_generate(call->item->plan, &call->run, call->theta, call->theta_stride,
                                                       &error)
                       : gradients ? hn_hyper_gradients(call->item->plan, &call->run, &error)
                                   : hn_hyper_predict(call->item->plan, &call->run, &error);
    gil_acquire(&call->gil);
    for (int32_t i = 0; reads && i < hyper->store_count; i++)
        hn_lock_read_end(hyper->stores[i]->lock);
    if (status == HN_OK)
        return 0;
    error_raise(&error);
    return -1;
}

static PyMethodDef methods[] = {
    {"generate", FASTCALL(hyper_generate), METH_FASTCALL,
     "generate(conditions, out, training, seed, call): theta (N, P)."},
    {"predict", FASTCALL(hyper_predict), METH_FASTCALL,
     "predict(conditions, inputs, mode, out, training, seed, call, weights=None): outputs."},
    {"gradients", FASTCALL(hyper_gradients), METH_FASTCALL,
     "gradients(conditions, inputs, output_gradients, mode, want_conditions, want_inputs, want_params, training, seed, "
     "call, weights=None)"},
    {"step", FASTCALL(hyper_step), METH_FASTCALL,
     "step(conditions, inputs, targets, weights, losses, mode, kind, training, seed, call, normalizer, gradient)"},
    {"train_step", FASTCALL(hyper_train_step), METH_FASTCALL,
     "train_step(conditions, inputs, targets, weights, losses, mode, seed, call, normalizer, optimizer, "
     "learning_rate)"},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef properties[] = {
    {"head", hyper_head, NULL, "Which head makes theta.", NULL},
    {"generated_count", hyper_generated_count, NULL, "Number of generated weights, P.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot slots[] = {
    {Py_tp_doc, "Hyper(generator, target, generated, base, penalties, head=None): the pipeline between two networks."},
    {Py_tp_new, hyper_new},
    {Py_tp_call, hyper_direct},
    {Py_tp_dealloc, hyper_dealloc},
    {Py_tp_traverse, hyper_traverse},
    {Py_tp_clear, hyper_clear},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, NULL},
};
PyType_Spec hyper_spec = {
    .name = "hypernet._core.Hyper", .basicsize = sizeof(HyperObject), .slots = slots,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
};
