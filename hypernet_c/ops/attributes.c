/* Attributes: completing them with defaults, and the checks that every op shares. */
#include "op.h"
#include <math.h>
#include <string.h>

static int attribute_index(const hn_op *op, const char *name)
{
    for (int32_t i = 0; i < op->attribute_count; i++)
        if (name && strcmp(op->attributes[i].name, name) == 0)
            return i;
    return -1;
}

static const char *type_name(hn_attribute_type type)
{
    static const char *const names[] = {"an integer", "a number", "a name", "a shape"};
    return names[type];
}

static hn_status attribute_take(const hn_op *op, const hn_attribute *given, hn_attribute *complete, hn_error *error)
{
    hn_attribute_type wanted = complete->type;
    if (given->type != wanted && !(wanted == HN_ATTRIBUTE_NUMBER && given->type == HN_ATTRIBUTE_INTEGER))
        return hn_error_set(error, HN_ERROR_TYPE, "%s: attribute \"%s\" must be %s, received %s", op->name,
                            complete->name, type_name(wanted), type_name(given->type));
    if (wanted == HN_ATTRIBUTE_INTEGER) {
        complete->integer = given->integer;
    } else if (wanted == HN_ATTRIBUTE_NUMBER) {
        complete->number = given->type == HN_ATTRIBUTE_INTEGER ? (double)given->integer : given->number;
    } else if (wanted == HN_ATTRIBUTE_NAME) {
        memcpy(complete->text, given->text, sizeof complete->text);
        complete->text[sizeof complete->text - 1] = 0;
    } else {
        if (given->shape.rank < 0 || given->shape.rank > HN_MAX_RANK)
            return hn_error_set(error, HN_ERROR_VALUE, "%s: attribute \"%s\" may have up to %d numbers, received %d",
                                op->name, complete->name, HN_MAX_RANK, given->shape.rank);
        complete->shape = given->shape;
    }
    return HN_OK;
}

hn_status hn_op_complete(const hn_op *op, const hn_attribute *given, int32_t given_count, hn_attribute *complete,
                         hn_error *error)
{
    uint32_t seen = 0;
    for (int32_t i = 0; i < op->attribute_count; i++)
        complete[i] = op->attributes[i];
    for (int32_t i = 0; i < given_count; i++) {
        int32_t index = attribute_index(op, given[i].name);
        if (index < 0)
            return hn_error_set(error, HN_ERROR_VALUE, "%s has no attribute \"%s\"", op->name,
                                given[i].name ? given[i].name : "(null)");
        if (seen & (1u << index))
            return hn_error_set(error, HN_ERROR_VALUE, "%s: attribute \"%s\" is given twice", op->name, given[i].name);
        seen |= 1u << index;
        hn_status status = attribute_take(op, &given[i], &complete[index], error);
        if (status != HN_OK)
            return status;
    }
    if (op->resolve)
        op->resolve(complete);
    for (int32_t i = 0; i < op->attribute_count; i++)
        if (complete[i].type == HN_ATTRIBUTE_NUMBER && isnan(complete[i].number))
            return hn_error_set(error, HN_ERROR_VALUE, "%s: attribute \"%s\" is nan", op->name, complete[i].name);
    return HN_OK;
}

hn_status hn_op_describe(const hn_op *op, const hn_attribute *complete, int32_t input_count,
                         const hn_tensor_info *inputs, hn_dtype dtype, hn_op_spec *spec, hn_error *error)
{
    if (input_count < op->min_inputs || input_count > op->max_inputs) {
        if (op->min_inputs == op->max_inputs)
            return hn_error_set(error, HN_ERROR_VALUE, "%s expects %d input%s, received %d", op->name, op->min_inputs,
                                op->min_inputs == 1 ? "" : "s", input_count);
        return hn_error_set(error, HN_ERROR_VALUE, "%s expects %d to %d inputs, received %d", op->name, op->min_inputs,
                            op->max_inputs, input_count);
    }
    memset(spec, 0, sizeof *spec);
    spec->output_dtype = dtype;
    return op->describe(complete, input_count, inputs, dtype, spec, error);
}
