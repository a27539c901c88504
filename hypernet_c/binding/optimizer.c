/* Optimizer: slots, settings and spans, and one update of weights. */
#include "optimizer.h"
#include "run.h"
#include "../base/forks.h"
#include "../base/memory.h"
#include "../base/threads.h"

OptimizerObject *optimizer_begin(const binding_state *state, PyObject *object)
{
    OptimizerObject *optimizer = (OptimizerObject *)object;
    if (!Py_IS_TYPE(object, state->optimizer_type)) {
        PyErr_Format(PyExc_TypeError, "an Optimizer is needed, received %s", Py_TYPE(object)->tp_name);
        return NULL;
    }
    uint64_t us = hn_forks_count() + 1; /* in the child of a fork, whoever else used it is gone */
    if (atomic_exchange(&optimizer->user, us) == us) {
        PyErr_SetString(PyExc_RuntimeError, "another thread is using this optimizer");
        return NULL;
    }
    return optimizer;
}

void optimizer_end(OptimizerObject *optimizer)
{
    atomic_store(&optimizer->user, 0);
}

int optimizer_check(const OptimizerObject *optimizer, hn_dtype dtype, int64_t size, int64_t count)
{
    if (optimizer->dtype != dtype)
        PyErr_Format(PyExc_TypeError, "this optimizer updates %s, received %s", dtype_text(optimizer->dtype),
                     dtype_text(dtype));
    else if (optimizer->size != size)
        PyErr_Format(PyExc_ValueError, "this optimizer updates %lld parameters, received a gradient of %lld",
                     (long long)optimizer->size, (long long)size);
    else if (optimizer->reach > count)
        PyErr_Format(PyExc_ValueError, "the spans of this optimizer reach to weight %lld, there are %lld",
                     (long long)optimizer->reach, (long long)count);
    else
        return 0;
    return -1;
}

void optimizer_update(OptimizerObject *optimizer, void *weights, const void *gradient, double learning_rate,
                      double grad_scale, void *delta)
{
    hn_update update = {
        .kind = optimizer->kind,
        .learning_rate = learning_rate,
        .weight_decay = optimizer->weight_decay,
        .grad_scale = grad_scale,
        .clipnorm = optimizer->clipnorm,
        .clipvalue = optimizer->clipvalue,
        .global_clipnorm = optimizer->global_clipnorm,
        .step = optimizer->step + 1,
        .threads = hn_threads_get(),
        .spans = optimizer->spans,
        .span_count = optimizer->span_count,
        .weights = weights,
        .gradient = gradient,
        .delta = delta,
    };
    memcpy(update.params, optimizer->params, sizeof update.params);
    memcpy(update.slots, optimizer->slots, sizeof update.slots);
    hn_optimizer_update(optimizer->kernels, &update);
    if (!delta)
        optimizer->step++;
}

/* Whoever waits for readers must not hold the GIL, which they may need. */
void optimizer_write(OptimizerObject *optimizer, StoreObject *store, void *weights, const void *gradient,
                     double learning_rate, double grad_scale)
{
    Py_BEGIN_ALLOW_THREADS
    hn_lock_write_begin(store->lock);
    optimizer_update(optimizer, weights, gradient, learning_rate, grad_scale, NULL);
    atomic_fetch_add(&store->version, 1);
    hn_lock_write_end(store->lock);
    Py_END_ALLOW_THREADS
}

/* ---- spans ---- */

static int span_take(PyObject *item, hn_span *span)
{
    if (tuple_check(item, 5, "entries of a span") < 0 ||
        value_count(PyTuple_GET_ITEM(item, 0), "a span's weight_offset", &span->weight_offset) < 0 ||
        value_count(PyTuple_GET_ITEM(item, 1), "a span's offset", &span->offset) < 0 ||
        value_count(PyTuple_GET_ITEM(item, 2), "a span's count", &span->count) < 0)
        return -1;
    span->trainable = PyObject_IsTrue(PyTuple_GET_ITEM(item, 3));
    span->decay = PyObject_IsTrue(PyTuple_GET_ITEM(item, 4));
    return span->trainable < 0 || span->decay < 0 ? -1 : 0;
}

static int places_compare(const void *a, const void *b)
{
    const hn_span *left = a, *right = b;
    return (left->weight_offset > right->weight_offset) - (left->weight_offset < right->weight_offset);
}

/* ValueError unless no weight lies in two spans; `sorted` is room for a copy. */
static int places_check(const hn_span *spans, int64_t count, hn_span *sorted)
{
    int64_t end = 0;
    memcpy(sorted, spans, (size_t)count * sizeof *spans);
    qsort(sorted, (size_t)count, sizeof *sorted, places_compare);
    for (int64_t i = 0; i < count; i++) {
        if (sorted[i].count == 0)
            continue;
        if (sorted[i].weight_offset < end) {
            PyErr_Format(PyExc_ValueError, "two spans touch weight %lld", (long long)sorted[i].weight_offset);
            return -1;
        }
        end = sorted[i].weight_offset + sorted[i].count;
    }
    return 0;
}

/* Spans that follow each other in the gradient without a gap. Allocated; `size` and `reach` are told. */
static hn_span *spans_take(PyObject *sequence, int64_t *count, int64_t *size, int64_t *reach)
{
    hn_error error;
    PyObject *list = sequence_take(sequence, "spans must be a sequence of tuples");
    if (!list)
        return NULL;
    *count = PyTuple_GET_SIZE(list);
    *size = *reach = 0;
    hn_span *spans = hn_memory_allocate((size_t)*count, 2 * sizeof *spans, &error);
    int failed = !spans;
    if (failed)
        error_raise(&error);
    for (int64_t i = 0; !failed && i < *count; i++) {
        hn_span *span = &spans[i];
        int64_t end = 0;
        failed = span_take(PyTuple_GET_ITEM(list, i), span) < 0;
        if (!failed && (span->offset != *size || __builtin_add_overflow(span->weight_offset, span->count, &end) ||
                        __builtin_add_overflow(*size, span->count, size))) {
            PyErr_Format(PyExc_ValueError, "span %lld begins at %lld of the gradient, the one before it ends at %lld",
                         (long long)i, (long long)span->offset, (long long)*size);
            failed = 1;
        }
        if (!failed && span->count > 0 && end > *reach)
            *reach = end;
    }
    if (!failed && places_check(spans, *count, spans + *count) == 0) {
        Py_DECREF(list);
        return spans;
    }
    Py_DECREF(list);
    hn_memory_free(spans);
    return NULL;
}

static PyObject *optimizer_set_spans(PyObject *object, PyObject *sequence)
{
    int64_t count, size, reach;
    hn_span *spans = spans_take(sequence, &count, &size, &reach);
    if (!spans)
        return NULL;
    OptimizerObject *self = optimizer_begin(state_of(object), object);
    if (!self || size != self->size) {
        if (self) {
            PyErr_Format(PyExc_ValueError, "new spans must have the old size of %lld parameters, received %lld",
                         (long long)self->size, (long long)size);
            optimizer_end(self);
        }
        hn_memory_free(spans);
        return NULL;
    }
    hn_memory_free(self->spans);
    self->spans = spans;
    self->span_count = count;
    self->reach = reach;
    optimizer_end(self);
    Py_RETURN_NONE;
}

/* ---- birth and death ---- */

static int settings_take(OptimizerObject *self, PyObject *args)
{
    const char *kind = value_text(PyTuple_GET_ITEM(args, 0), "kind");
    PyObject *params = PyTuple_GET_ITEM(args, 1);
    if (!kind || tuple_check(params, 4, "params") < 0)
        return -1;
    int32_t number = hn_optimizer_find(kind);
    if (number < 0) {
        PyErr_Format(PyExc_ValueError, "there is no optimizer \"%s\"", kind);
        return -1;
    }
    self->kind = (hn_optimizer_kind)number;
    for (int i = 0; i < 4; i++)
        if (value_number(PyTuple_GET_ITEM(params, i), "a parameter", &self->params[i]) < 0)
            return -1;
    if (value_number(PyTuple_GET_ITEM(args, 2), "weight_decay", &self->weight_decay) < 0 ||
        value_number(PyTuple_GET_ITEM(args, 3), "clipnorm", &self->clipnorm) < 0 ||
        value_number(PyTuple_GET_ITEM(args, 4), "clipvalue", &self->clipvalue) < 0 ||
        value_number(PyTuple_GET_ITEM(args, 5), "global_clipnorm", &self->global_clipnorm) < 0 ||
        value_dtype(PyTuple_GET_ITEM(args, 7), &self->dtype) < 0)
        return -1;
    if (self->dtype == HN_INT64) {
        PyErr_SetString(PyExc_ValueError, "an optimizer updates float32 or float64, received int64");
        return -1;
    }
    self->kernels = kernels_in_use(self->dtype);
    return self->kernels ? 0 : -1;
}

static PyObject *optimizer_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    hn_error error;
    if (constructor_check("Optimizer", args, keywords, 8) < 0)
        return NULL;
    OptimizerObject *self = (OptimizerObject *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    if (settings_take(self, args) < 0 ||
        !(self->spans = spans_take(PyTuple_GET_ITEM(args, 6), &self->span_count, &self->size, &self->reach))) {
        Py_DECREF(self);
        return NULL;
    }
    int32_t slots = hn_optimizer_slot_count(self->kind, self->params);
    for (; self->slot_count < slots; self->slot_count++) {
        void *slot = hn_memory_allocate((size_t)self->size, hn_dtype_size(self->dtype), &error);
        if (!slot) {
            Py_DECREF(self);
            return error_object(&error);
        }
        self->slots[self->slot_count] = slot;
    }
    return (PyObject *)self;
}

static void optimizer_dealloc(PyObject *object)
{
    OptimizerObject *self = (OptimizerObject *)object;
    PyTypeObject *type = Py_TYPE(object);
    for (int32_t i = 0; i < self->slot_count; i++)
        hn_memory_free(self->slots[i]);
    hn_memory_free(self->spans);
    type->tp_free(object);
    Py_DECREF(type);
}

/* ---- updates ---- */

/* Where the weights are, and how many. */
static int weights_take(update_call *call, binding_state *state, PyObject *given, int writes, int64_t *count)
{
    PyArrayObject *array = (PyArrayObject *)given;
    if (Py_IS_TYPE(given, state->store_type)) {
        call->store = (StoreObject *)given;
        call->weights = call->store->data;
        *count = call->store->count;
        return optimizer_check(call->optimizer, call->store->dtype, call->optimizer->size, *count);
    }
    if (!PyArray_Check(given) || array_dtype(array) != (int)call->optimizer->dtype) {
        PyErr_Format(PyExc_TypeError, "weights must be a Store or an array of %s, received %S",
                     dtype_text(call->optimizer->dtype),
                     PyArray_Check(given) ? (PyObject *)PyArray_DESCR(array) : (PyObject *)Py_TYPE(given));
        return -1;
    }
    if (!PyArray_IS_C_CONTIGUOUS(array) || !PyArray_ISALIGNED(array) || (writes && !PyArray_ISWRITEABLE(array))) {
        PyErr_SetString(PyExc_ValueError, "weights must be updated in place: the array is read-only or not contiguous");
        return -1;
    }
    held_add(&call->held, (PyArrayObject *)Py_NewRef(given));
    call->store = store_behind(state, given);
    call->weights = PyArray_DATA(array);
    *count = PyArray_SIZE(array);
    return optimizer_check(call->optimizer, call->optimizer->dtype, call->optimizer->size, *count);
}

int update_begin(update_call *call, PyObject *self, PyObject *const *args, int writes)
{
    binding_state *state = state_of(self);
    int64_t count;
    memset(call, 0, offsetof(update_call, held) + offsetof(held, objects));
    call->store = NULL;
    if (!(call->optimizer = optimizer_begin(state, self)))
        return -1;
    const OptimizerObject *optimizer = call->optimizer;
    size_t size = hn_dtype_size(optimizer->dtype);
    role role = {"gradient", 0};
    if (weights_take(call, state, args[0], writes, &count) < 0 ||
        !(call->gradient = array_use_vector(&call->held, args[1], optimizer->dtype, optimizer->size, 0, role)) ||
        value_number(args[2], "learning_rate", &call->learning_rate) < 0 ||
        value_number(args[3], "grad_scale", &call->grad_scale) < 0 ||
        array_check_outside(call->gradient, call->weights, (size_t)count * size, role, "the weights") < 0)
        return -1;
    for (int32_t i = 0; i < optimizer->slot_count; i++) {
        const char *slot = optimizer->slots[i], *weights = call->weights;
        size_t slot_bytes = (size_t)optimizer->size * size, weight_bytes = (size_t)count * size;
        if (array_check_outside(call->gradient, slot, slot_bytes, role, "the optimizer's state") < 0)
            return -1;
        if (weights < slot + slot_bytes && slot < weights + weight_bytes) {
            PyErr_SetString(PyExc_ValueError, "the weights overlap the memory of the optimizer's state");
            return -1;
        }
    }
    return 0;
}

void update_end(update_call *call)
{
    held_drop(&call->held);
    if (call->optimizer)
        optimizer_end(call->optimizer);
}

static double update_work(const OptimizerObject *optimizer)
{
    return 1.0 * (double)optimizer->size;
}

void update_run(const update_call *call)
{
    optimizer_update(call->optimizer, call->weights, PyArray_DATA(call->gradient), call->learning_rate,
                     call->grad_scale, NULL);
}

static PyObject *optimizer_apply(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    update_call call;
    gil gil;
    if (arguments_check("Optimizer.apply", count, 4) < 0)
        return NULL;
    int good = update_begin(&call, self, args, 1) == 0 && (!call.store || store_claim(call.store) == 0);
    if (good && call.store) {
        optimizer_write(call.optimizer, call.store, call.weights, PyArray_DATA(call.gradient), call.learning_rate,
                        call.grad_scale);
        hn_lock_release(call.store->lock);
    } else if (good) {
        gil_release(&gil, update_work(call.optimizer));
        update_run(&call);
        gil_acquire(&gil);
    }
    update_end(&call);
    if (!good)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *optimizer_delta(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    update_call call;
    gil gil;
    PyArrayObject *delta = NULL;
    if (arguments_check("Optimizer.delta", count, 4) < 0)
        return NULL;
    if (update_begin(&call, self, args, 0) == 0)
        delta = array_new_vector(&call.held, call.optimizer->dtype, call.optimizer->size);
    if (delta) {
        gil_release(&gil, update_work(call.optimizer));
        if (call.store)
            hn_lock_read_begin(call.store->lock);
        optimizer_update(call.optimizer, call.weights, PyArray_DATA(call.gradient), call.learning_rate,
                         call.grad_scale, PyArray_DATA(delta));
        if (call.store)
            hn_lock_read_end(call.store->lock);
        gil_acquire(&gil);
        Py_INCREF(delta);
    }
    update_end(&call);
    return (PyObject *)delta;
}

/* ---- properties ---- */

static PyObject *optimizer_slots_property(PyObject *object, void *unused)
{
    (void)unused;
    OptimizerObject *self = (OptimizerObject *)object;
    npy_intp dim = (npy_intp)self->size;
    PyObject *tuple = PyTuple_New(self->slot_count);
    for (int32_t i = 0; tuple && i < self->slot_count; i++) {
        PyObject *view = owned_view(state_of(object), object, self->slots[i], self->dtype, 1, &dim);
        if (!view)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, i, view);
    }
    return tuple;
}

static PyObject *optimizer_step(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong(((OptimizerObject *)object)->step);
}

static PyObject *optimizer_iterations(PyObject *object, void *unused)
{
    (void)unused;
    OptimizerObject *self = (OptimizerObject *)object;
    PyObject *view = owned_view(state_of(object), object, &self->step, HN_INT64, 0, NULL);
    if (view)
        PyArray_CLEARFLAGS((PyArrayObject *)view, NPY_ARRAY_WRITEABLE); /* `step` checks what is set */
    return view;
}

/* As far as doubles tell one step from the next; updates that count on from there never overflow. */
static const int64_t most_steps = (int64_t)1 << 53;

static int optimizer_set_step(PyObject *object, PyObject *value, void *unused)
{
    (void)unused;
    int64_t step;
    if (!value) {
        PyErr_SetString(PyExc_AttributeError, "step cannot be deleted");
        return -1;
    }
    if (value_count(value, "step", &step) < 0)
        return -1;
    if (step > most_steps) {
        PyErr_Format(PyExc_ValueError, "step must be at most 2**53, received %lld", (long long)step);
        return -1;
    }
    OptimizerObject *self = optimizer_begin(state_of(object), object);
    if (!self)
        return -1;
    self->step = step;
    optimizer_end(self);
    return 0;
}

static PyMethodDef optimizer_methods[] = {
    {"set_spans", optimizer_set_spans, METH_O, "New spans of the same total size."},
    {"apply", FASTCALL(optimizer_apply), METH_FASTCALL,
     "apply(weights, gradient, learning_rate, grad_scale): one update in place."},
    {"delta", FASTCALL(optimizer_delta), METH_FASTCALL, "What `apply` would add; changes nothing."},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef optimizer_properties[] = {
    {"step", optimizer_step, optimizer_set_step, "Updates so far.", NULL},
    {"iterations", optimizer_iterations, NULL, "A live view of `step`, to be read.", NULL},
    {"slots", optimizer_slots_property, NULL, "Live views of the state vectors.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot optimizer_slots[] = {
    {Py_tp_doc, "Optimizer(kind, params, weight_decay, clipnorm, clipvalue, global_clipnorm, spans, dtype)"},
    {Py_tp_new, optimizer_new},
    {Py_tp_dealloc, optimizer_dealloc},
    {Py_tp_methods, optimizer_methods},
    {Py_tp_getset, optimizer_properties},
    {0, NULL},
};
PyType_Spec optimizer_spec = {
    .name = "hypernet._core.Optimizer", .basicsize = sizeof(OptimizerObject), .slots = optimizer_slots,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
};
