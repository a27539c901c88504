/* Losses, targets and weights of a step, and the sums that it gives. */
#include "run.h"

/* (kind, "probabilities" | "logits", parameter, scale) */
static int loss_take(PyObject *spec, Py_ssize_t index, hn_loss *loss)
{
    if (tuple_check(spec, 4, "entries of a loss") < 0)
        return -1;
    const char *kind = value_text(PyTuple_GET_ITEM(spec, 0), "a loss");
    const char *input = kind ? value_text(PyTuple_GET_ITEM(spec, 1), "a loss's input") : NULL;
    if (!input)
        return -1;
    int32_t number = hn_loss_find(kind);
    int logits = strcmp(input, "logits") == 0;
    if (number < 0 || (!logits && strcmp(input, "probabilities") != 0)) {
        PyErr_Format(PyExc_ValueError, "loss %zd: there is no loss \"%s\" of \"%s\"", index, kind, input);
        return -1;
    }
    memset(loss, 0, sizeof *loss);
    loss->kind = (hn_loss_kind)number;
    loss->input = logits ? HN_LOSS_LOGITS : HN_LOSS_PROBABILITIES;
    if (value_number(PyTuple_GET_ITEM(spec, 2), "a loss's parameter", &loss->params[0]) < 0)
        return -1;
    return value_number(PyTuple_GET_ITEM(spec, 3), "a loss's scale", &loss->scale);
}

/* An output's shape without its last axis: one loss each. */
static hn_shape positions_of(const hn_shape *output)
{
    hn_shape positions = *output;
    positions.rank = output->rank > 0 ? output->rank - 1 : 0;
    return positions;
}

static int target_take(held *held, const lead *outer, const hn_tensor_info *output, hn_dtype dtype, PyObject *given,
                       Py_ssize_t index, const hn_loss *loss, hn_target *target)
{
    lead lead = *outer;
    hn_shape sample = output->shape;
    if (loss->kind == HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY) {
        sample = positions_of(&output->shape);
        dtype = HN_INT64;
    }
    PyArrayObject *array = array_use_samples(held, given, dtype, &lead, &sample, (role){"target", index});
    if (!array)
        return -1;
    hn_view view = array_view(array, &lead, hn_shape_size(&sample));
    target->data = view.data;
    target->group_stride = view.group_stride;
    target->row_stride = view.row_stride;
    return 0;
}

/* `array`, of a leading part of the positions' axes, repeated along the others; held. */
static PyArrayObject *weight_spread(held *held, PyArrayObject *array, const lead *lead, const hn_shape *positions,
                                    hn_dtype dtype)
{
    npy_intp dims[HN_MAX_RANK + 2];
    int rank = lead->axes + positions->rank;
    for (int i = 0; i < rank; i++)
        dims[i] = i < PyArray_NDIM(array) ? PyArray_DIM(array, i) : 1;
    PyArray_Dims shape = {dims, rank};
    PyArrayObject *narrow = (PyArrayObject *)PyArray_Newshape(array, &shape, NPY_CORDER);
    PyArrayObject *wide = narrow ? array_new(held, dtype, lead, positions) : NULL;
    if (wide && PyArray_CopyInto(wide, narrow) < 0)
        wide = NULL;
    Py_XDECREF(narrow);
    return wide;
}

/* The shape of a weight, which must be a leading part of (lead, *positions). */
static int weight_check(PyArrayObject *array, const lead *lead, const hn_shape *positions, Py_ssize_t index)
{
    char received[300];
    npy_intp dims[HN_MAX_RANK + 2] = {(npy_intp)(lead->axes == 2 || lead->by_group ? lead->groups : lead->rows),
                                      (npy_intp)lead->rows};
    for (int32_t i = 0; i < positions->rank; i++)
        dims[lead->axes + i] = (npy_intp)positions->dims[i];
    int rank = PyArray_NDIM(array), fits = rank >= 1 && rank <= lead->axes + positions->rank;
    for (int i = 0; fits && i < rank; i++)
        fits = PyArray_DIM(array, i) == dims[i];
    if (fits)
        return 0;
    PyErr_Format(PyExc_ValueError, "weight %zd must have the shape of a leading part of the %d axes of the losses, "
                 "which begin with %zd; received %s", index, lead->axes + (int)positions->rank, (Py_ssize_t)dims[0],
                 array_shape_text(array, received, sizeof received));
    return -1;
}

static int weight_take(held *held, const lead *lead, const hn_tensor_info *output, hn_dtype dtype, PyObject *given,
                       Py_ssize_t index, hn_target *target)
{
    target->weight = NULL;
    if (given == Py_None)
        return 0;
    hn_shape positions = positions_of(&output->shape);
    PyArrayObject *array = array_use(held, given, dtype, 0, (role){"weight", index});
    if (!array || weight_check(array, lead, &positions, index) < 0)
        return -1;
    int rank = PyArray_NDIM(array);
    int64_t row = 1;
    if (rank > lead->axes) {
        if (rank < lead->axes + positions.rank &&
            !(array = weight_spread(held, array, lead, &positions, dtype)))
            return -1;
        row = hn_shape_size(&positions);
        target->weight_position_stride = 1;
    } else {
        target->weight_position_stride = 0;
    }
    target->weight = PyArray_DATA(array);
    target->weight_row_stride = rank < lead->axes ? 0 : row;
    target->weight_group_stride = rank < lead->axes ? 1 : lead->rows * row;
    return 0;
}

int losses_take(held *held, const lead *lead, const hn_plan *plan, hn_dtype dtype, PyObject *targets,
                PyObject *weights, PyObject *specs, loss_data *data)
{
    int32_t count = data->count = hn_plan_output_count(plan);
    if (tuple_check(targets, count, "targets") < 0 || tuple_check(weights, count, "weights") < 0 ||
        tuple_check(specs, count, "losses") < 0)
        return -1;
    for (int32_t i = 0; i < count; i++) {
        const hn_tensor_info *output = hn_plan_output(plan, i);
        if (output->dtype != dtype) {
            PyErr_Format(PyExc_TypeError, "output %d holds integers, which have no loss", (int)i);
            return -1;
        }
        if (loss_take(PyTuple_GET_ITEM(specs, i), i, &data->losses[i]) < 0 ||
            target_take(held, lead, output, dtype, PyTuple_GET_ITEM(targets, i), i, &data->losses[i],
                        &data->targets[i]) < 0 ||
            weight_take(held, lead, output, dtype, PyTuple_GET_ITEM(weights, i), i, &data->targets[i]) < 0)
            return -1;
    }
    return 0;
}

static PyObject *numbers_list(const double *numbers, int32_t count)
{
    PyObject *list = PyList_New(count);
    for (int32_t i = 0; list && i < count; i++) {
        PyObject *number = PyFloat_FromDouble(numbers[i]);
        if (!number)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, number);
    }
    return list;
}

PyObject *sums_tuple(const hn_step_sums *sums, int32_t count, int64_t rows, const double *penalty, PyObject *outputs)
{
    PyObject *items[6] = {
        numbers_list(sums->loss, count),
        numbers_list(sums->count, count),
        numbers_list(sums->weight, count),
        PyFloat_FromDouble(rows > 0 ? sums->activity / (double)rows : 0.0),
        penalty ? PyFloat_FromDouble(*penalty) : outputs,
        outputs,
    };
    int length = penalty ? 6 : 5, complete = 1;
    PyObject *tuple = PyTuple_New(length);
    for (int i = 0; i < length; i++)
        complete &= items[i] != NULL;
    for (int i = 0; i < length; i++) {
        if (tuple)
            PyTuple_SET_ITEM(tuple, i, items[i]);
        else
            Py_XDECREF(items[i]);
    }
    if (!complete)
        Py_CLEAR(tuple);
    return tuple;
}
