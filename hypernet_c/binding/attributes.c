/* Ops, their attributes and their weight entries, as Python sees them. */
#include "binding.h"
#include "../hyper/head.h"

static const char *role_text(hn_role role)
{
    static const char *const names[] = {"kernel", "bias", "scale", "table"};
    return names[role];
}

PyObject *entry_spec_tuple(const hn_entry_spec *spec)
{
    PyObject *shape = shape_tuple(&spec->shape);
    if (!shape)
        return NULL;
    return Py_BuildValue("ssNLL", spec->name, role_text(spec->role), shape, (long long)spec->fan_in,
                         (long long)spec->fan_out);
}

PyObject *entry_tuple(const hn_entry *entry)
{
    PyObject *shape = shape_tuple(&entry->spec.shape);
    if (!shape)
        return NULL;
    return Py_BuildValue("ssNLLL", entry->name, role_text(entry->spec.role), shape, (long long)entry->spec.fan_in,
                         (long long)entry->spec.fan_out, (long long)entry->offset);
}

static int attribute_take(PyObject *key, PyObject *value, hn_attribute *attribute)
{
    memset(attribute, 0, sizeof *attribute);
    attribute->name = value_text(key, "an attribute's name");
    if (!attribute->name)
        return -1;
    if (PyUnicode_Check(value)) {
        const char *text = value_text(value, attribute->name);
        if (!text)
            return -1;
        size_t length = strlen(text);
        if (length >= sizeof attribute->text) {
            PyErr_Format(PyExc_ValueError, "attribute \"%s\" is too long: \"%s\"", attribute->name, text);
            return -1;
        }
        attribute->type = HN_ATTRIBUTE_NAME;
        memcpy(attribute->text, text, length + 1);
        return 0;
    }
    if (PyTuple_Check(value) || PyList_Check(value)) {
        attribute->type = HN_ATTRIBUTE_SHAPE;
        return value_shape(value, attribute->name, &attribute->shape);
    }
    if (PyIndex_Check(value)) { /* bool, int, NumPy's integers */
        attribute->type = HN_ATTRIBUTE_INTEGER;
        return value_integer(value, attribute->name, &attribute->integer);
    }
    attribute->type = HN_ATTRIBUTE_NUMBER;
    return value_number(value, attribute->name, &attribute->number);
}

int32_t attributes_take(PyObject *given, hn_attribute attributes[HN_MAX_ATTRIBUTES], PyObject **kept)
{
    PyObject *key, *value;
    Py_ssize_t position = 0;
    int32_t count = 0;
    *kept = NULL;
    if (!PyDict_Check(given)) {
        PyErr_Format(PyExc_TypeError, "attributes must be a dict, received %s", Py_TYPE(given)->tp_name);
        return -1;
    }
    PyObject *dict = PyDict_Copy(given);
    if (!dict)
        return -1;
    int failed = PyDict_GET_SIZE(dict) > HN_MAX_ATTRIBUTES;
    if (failed)
        PyErr_Format(PyExc_ValueError, "an op has at most %d attributes, received %zd", HN_MAX_ATTRIBUTES,
                     PyDict_GET_SIZE(dict));
    while (!failed && PyDict_Next(dict, &position, &key, &value))
        failed = attribute_take(key, value, &attributes[count++]) < 0;
    if (failed)
        Py_DECREF(dict);
    else
        *kept = dict;
    return failed ? -1 : count;
}

static PyObject *default_object(const hn_attribute *attribute)
{
    switch (attribute->type) {
    case HN_ATTRIBUTE_INTEGER: return PyLong_FromLongLong(attribute->integer);
    case HN_ATTRIBUTE_NUMBER: return PyFloat_FromDouble(attribute->number);
    case HN_ATTRIBUTE_NAME: return PyUnicode_FromString(attribute->text);
    default: return shape_tuple(&attribute->shape);
    }
}

/* Appends a new reference, or passes an error on. */
static int list_append(PyObject *list, PyObject *item)
{
    int failed = !item || PyList_Append(list, item) < 0;
    Py_XDECREF(item);
    return failed ? -1 : 0;
}

static PyObject *op_tuple(const hn_op *op)
{
    static const char *const types[] = {"integer", "number", "name", "shape"};
    PyObject *attributes = PyList_New(0);
    for (int32_t i = 0; attributes && i < op->attribute_count; i++) {
        PyObject *value = default_object(&op->attributes[i]);
        PyObject *item = value ? Py_BuildValue("ssN", op->attributes[i].name, types[op->attributes[i].type], value)
                               : NULL;
        if (list_append(attributes, item) < 0)
            Py_CLEAR(attributes);
    }
    if (!attributes)
        return NULL;
    return Py_BuildValue("sNiii", op->name, attributes, (int)op->min_inputs, (int)op->max_inputs, (int)op->flags);
}

static PyObject *ops(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    PyObject *list = PyList_New(0);
    for (int32_t i = 0; list && i < hn_op_count(); i++)
        if (list_append(list, op_tuple(hn_op_at(i))) < 0)
            Py_CLEAR(list);
    return list;
}

static PyObject *heads(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    PyObject *list = PyList_New(0);
    for (int32_t i = 0; list && i < hn_head_count(); i++)
        if (list_append(list, PyUnicode_FromString(hn_head_at(i)->name)) < 0)
            Py_CLEAR(list);
    return list;
}

/* Sample shapes and dtypes of inputs; returns their number, or -1. */
static int32_t infos_take(PyObject *shapes, PyObject *dtypes, hn_tensor_info infos[HN_MAX_INPUTS])
{
    int32_t found = -1;
    PyObject *shape_list = sequence_take(shapes, "shapes must be a sequence of tuples");
    PyObject *dtype_list = shape_list ? sequence_take(dtypes, "dtypes must be a sequence of texts") : NULL;
    if (dtype_list) {
        Py_ssize_t count = PyTuple_GET_SIZE(shape_list), i = 0;
        if (count > HN_MAX_INPUTS || PyTuple_GET_SIZE(dtype_list) != count)
            PyErr_Format(PyExc_ValueError, "an op has at most %d inputs, each with a shape and a dtype; received %zd "
                         "shapes and %zd dtypes", HN_MAX_INPUTS, count, PyTuple_GET_SIZE(dtype_list));
        else
            while (i < count && value_shape(PyTuple_GET_ITEM(shape_list, i), "a shape", &infos[i].shape) == 0 &&
                   value_dtype(PyTuple_GET_ITEM(dtype_list, i), &infos[i].dtype) == 0)
                i++;
        found = PyErr_Occurred() ? -1 : (int32_t)count;
    }
    Py_XDECREF(shape_list);
    Py_XDECREF(dtype_list);
    return found;
}

static PyObject *description_tuple(const hn_op_spec *spec)
{
    PyObject *entries = PyList_New(0);
    for (int32_t i = 0; entries && i < spec->entry_count; i++)
        if (list_append(entries, entry_spec_tuple(&spec->entries[i])) < 0)
            Py_CLEAR(entries);
    PyObject *shape = entries ? shape_tuple(&spec->output) : NULL;
    if (!shape) {
        Py_XDECREF(entries);
        return NULL;
    }
    return Py_BuildValue("NsN", shape, dtype_text(spec->output_dtype), entries);
}

static PyObject *describe_op(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    hn_attribute given[HN_MAX_ATTRIBUTES], complete[HN_MAX_ATTRIBUTES];
    hn_tensor_info inputs[HN_MAX_INPUTS];
    hn_op_spec spec;
    hn_error error;
    hn_dtype dtype;
    PyObject *kept;
    if (arguments_check("describe_op", count, 5) < 0)
        return NULL;
    const char *name = value_text(args[0], "op");
    if (!name)
        return NULL;
    const hn_op *op = hn_op_find(name);
    if (!op)
        return PyErr_Format(PyExc_ValueError, "there is no op \"%s\"", name);
    int32_t given_count = attributes_take(args[1], given, &kept);
    int32_t input_count = given_count < 0 ? -1 : infos_take(args[2], args[3], inputs);
    if (input_count < 0 || value_dtype(args[4], &dtype) < 0) {
        Py_XDECREF(kept);
        return NULL;
    }
    hn_status status = hn_op_complete(op, given, given_count, complete, &error);
    if (status == HN_OK)
        status = hn_op_describe(op, complete, input_count, inputs, dtype, &spec, &error);
    Py_DECREF(kept);
    return status == HN_OK ? description_tuple(&spec) : error_object(&error);
}

PyMethodDef attributes_functions[] = {
    {"ops", ops, METH_NOARGS, "The op table: (name, attributes, min_inputs, max_inputs, flags) of each op."},
    {"heads", heads, METH_NOARGS, "Names of the heads."},
    {"describe_op", FASTCALL(describe_op), METH_FASTCALL,
     "describe_op(op, attributes, shapes, dtypes, dtype): output shape, output dtype, weight entries."},
    {NULL, NULL, 0, NULL},
};
