/* Graph: what a network computes, built layer by layer. */
#include "graph.h"
#include "../base/memory.h"

void graph_freeze(GraphObject *graph)
{
    binding_lock(&graph->mutex);
    graph->frozen = 1;
    binding_unlock(&graph->mutex);
}

static PyObject *graph_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    hn_dtype dtype;
    hn_error error;
    if (constructor_check("Graph", args, keywords, 1) < 0 || value_dtype(PyTuple_GET_ITEM(args, 0), &dtype) < 0)
        return NULL;
    GraphObject *self = (GraphObject *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->graph = hn_graph_create(dtype, &error);
    if (!self->graph) {
        Py_DECREF(self);
        return error_object(&error);
    }
    return (PyObject *)self;
}

static void graph_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    hn_graph_free(((GraphObject *)self)->graph);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Begins a change; the caller ends it with binding_unlock. */
static int change_begin(GraphObject *self)
{
    binding_lock(&self->mutex);
    if (!self->frozen)
        return 0;
    binding_unlock(&self->mutex);
    PyErr_SetString(PyExc_RuntimeError, "this graph has been made into a network, and cannot change any more");
    return -1;
}

static PyObject *graph_input(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    GraphObject *self = (GraphObject *)object;
    hn_shape shape;
    hn_dtype dtype;
    hn_error error;
    if (arguments_check("Graph.input", count, 3) < 0)
        return NULL;
    const char *name = value_text(args[0], "name");
    if (!name || value_shape(args[1], "shape", &shape) < 0 || value_dtype(args[2], &dtype) < 0 ||
        change_begin(self) < 0)
        return NULL;
    int32_t tensor = hn_graph_input(self->graph, name, &shape, dtype, &error);
    binding_unlock(&self->mutex);
    return tensor < 0 ? error_object(&error) : PyLong_FromLong(tensor);
}

/* A tensor's number; what does not fit int32 is certainly not in a graph. */
static int tensor_take(PyObject *object, int32_t *tensor)
{
    int64_t value;
    if (value_integer(object, "a tensor", &value) < 0)
        return -1;
    *tensor = value < 0 || value > INT32_MAX ? -1 : (int32_t)value;
    return 0;
}

static int32_t inputs_take(PyObject *sequence, int32_t inputs[HN_MAX_INPUTS])
{
    PyObject *list = sequence_take(sequence, "inputs must be a sequence of tensors");
    if (!list)
        return -1;
    Py_ssize_t count = PyTuple_GET_SIZE(list), i = 0;
    if (count > HN_MAX_INPUTS)
        PyErr_Format(PyExc_ValueError, "an op has at most %d inputs, received %zd", HN_MAX_INPUTS, count);
    else
        while (i < count && tensor_take(PyTuple_GET_ITEM(list, i), &inputs[i]) == 0)
            i++;
    Py_DECREF(list);
    return PyErr_Occurred() ? -1 : (int32_t)count;
}

static PyObject *graph_add(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    GraphObject *self = (GraphObject *)object;
    hn_attribute attributes[HN_MAX_ATTRIBUTES];
    int32_t inputs[HN_MAX_INPUTS];
    hn_error error;
    PyObject *kept;
    if (arguments_check("Graph.add", count, 4) < 0)
        return NULL;
    const char *op = value_text(args[0], "op");
    const char *layer = op ? value_text(args[1], "layer") : NULL;
    if (!layer)
        return NULL;
    int32_t attribute_count = attributes_take(args[2], attributes, &kept);
    int32_t input_count = attribute_count < 0 ? -1 : inputs_take(args[3], inputs);
    if (input_count < 0 || change_begin(self) < 0) {
        Py_XDECREF(kept);
        return NULL;
    }
    int32_t tensor = hn_graph_add(self->graph, op, layer, attributes, attribute_count, inputs, input_count, &error);
    binding_unlock(&self->mutex);
    Py_DECREF(kept);
    return tensor < 0 ? error_object(&error) : PyLong_FromLong(tensor);
}

static PyObject *graph_output(PyObject *object, PyObject *argument)
{
    GraphObject *self = (GraphObject *)object;
    int32_t tensor;
    hn_error error;
    if (tensor_take(argument, &tensor) < 0 || change_begin(self) < 0)
        return NULL;
    hn_status status = hn_graph_output(self->graph, tensor, &error);
    binding_unlock(&self->mutex);
    if (status != HN_OK)
        return error_object(&error);
    Py_RETURN_NONE;
}

static PyObject *graph_entries(PyObject *object, PyObject *unused)
{
    (void)unused;
    GraphObject *self = (GraphObject *)object;
    PyObject *list = PyList_New(0);
    binding_lock(&self->mutex);
    for (int32_t i = 0; list && i < hn_graph_entry_count(self->graph); i++) {
        PyObject *item = entry_tuple(hn_graph_entry(self->graph, i));
        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    binding_unlock(&self->mutex);
    return list;
}

static PyObject *graph_tensor(PyObject *object, PyObject *argument)
{
    GraphObject *self = (GraphObject *)object;
    int32_t index;
    hn_tensor_info info = {.dtype = HN_FLOAT32};
    if (tensor_take(argument, &index) < 0)
        return NULL;
    binding_lock(&self->mutex);
    int32_t count = hn_graph_tensor_count(self->graph);
    int found = index >= 0 && index < count;
    if (found)
        info = *hn_graph_tensor(self->graph, index);
    binding_unlock(&self->mutex);
    if (!found)
        return PyErr_Format(PyExc_IndexError, "the graph has %d tensors, there is no number %S", (int)count, argument);
    PyObject *shape = shape_tuple(&info.shape);
    return shape ? Py_BuildValue("Ns", shape, dtype_text(info.dtype)) : NULL;
}

static PyObject *graph_json(PyObject *object, PyObject *unused)
{
    (void)unused;
    GraphObject *self = (GraphObject *)object;
    hn_error error;
    binding_lock(&self->mutex);
    char *json = hn_graph_to_json(self->graph, &error);
    binding_unlock(&self->mutex);
    if (!json)
        return error_object(&error);
    PyObject *text = PyUnicode_FromString(json);
    hn_memory_free(json);
    return text;
}

static PyObject *graph_parameter_count(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong(hn_graph_parameter_count(((GraphObject *)object)->graph));
}

static PyObject *graph_dtype(PyObject *object, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(dtype_text(hn_graph_dtype(((GraphObject *)object)->graph)));
}

static PyMethodDef graph_methods[] = {
    {"input", FASTCALL(graph_input), METH_FASTCALL, "input(name, shape, dtype): the new tensor's number."},
    {"add", FASTCALL(graph_add), METH_FASTCALL, "add(op, layer, attributes, inputs): the output tensor's number."},
    {"output", graph_output, METH_O, "output(tensor): declare the next output."},
    {"entries", graph_entries, METH_NOARGS, "(name, role, shape, fan_in, fan_out, offset) of each weight array."},
    {"tensor", graph_tensor, METH_O, "tensor(index): (sample shape, dtype)."},
    {"json", graph_json, METH_NOARGS, "The graph as JSON text."},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef graph_properties[] = {
    {"parameter_count", graph_parameter_count, NULL, "Number of all weights.", NULL},
    {"dtype", graph_dtype, NULL, "\"float32\" or \"float64\".", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot graph_slots[] = {
    {Py_tp_doc, "Graph(dtype): what a network computes, and the layout of its weights."},
    {Py_tp_new, graph_new},
    {Py_tp_dealloc, graph_dealloc},
    {Py_tp_methods, graph_methods},
    {Py_tp_getset, graph_properties},
    {0, NULL},
};
PyType_Spec graph_spec = {
    .name = "hypernet._core.Graph", .basicsize = sizeof(GraphObject), .slots = graph_slots,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
};
