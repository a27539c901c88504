/* reshape: the same elements in another shape. Nothing is computed: the output is the input's memory. */
#include "op.h"

enum { TARGET };

static const hn_attribute attributes[] = {
    {.name = "target", .type = HN_ATTRIBUTE_SHAPE, .shape = {1, {-1}}},
};

static hn_status describe(const hn_attribute *given, int32_t input_count, const hn_tensor_info *inputs, hn_dtype dtype,
                          hn_op_spec *spec, hn_error *error)
{
    (void)input_count;
    (void)dtype;
    char from[128], to[128];
    const hn_shape *target = &given[TARGET].shape;
    int64_t size = hn_shape_size(&inputs[0].shape), known = 1;
    int32_t open = -1;
    for (int32_t i = 0; i < target->rank; i++) {
        int64_t dim = target->dims[i];
        if (dim < -1 || (dim == -1 && open >= 0))
            return hn_error_set(error, HN_ERROR_VALUE,
                                "reshape: target may hold one -1 and no other negative number, received %s",
                                hn_shape_format(target, to, sizeof to));
        if (dim == -1)
            open = i;
        else if (dim != 0 && known > INT64_MAX / dim)
            return hn_error_set(error, HN_ERROR_VALUE, "reshape: target is too large");
        else
            known *= dim;
    }
    spec->output = *target;
    spec->output_dtype = inputs[0].dtype;
    if (size < 0) { /* open: known when the plan closes it */
        for (int32_t i = 0; i < inputs[0].shape.rank; i++)
            if (inputs[0].shape.dims[i] < 0)
                return HN_OK;
        return hn_error_set(error, HN_ERROR_VALUE, "reshape: samples of shape %s are too large",
                            hn_shape_format(&inputs[0].shape, from, sizeof from));
    }
    if (open >= 0 && known > 0 && size % known == 0)
        spec->output.dims[open] = size / known;
    else if (open >= 0 || known != size)
        return hn_error_set(error, HN_ERROR_VALUE, "reshape: %lld elements of shape %s do not fit target %s",
                            (long long)size, hn_shape_format(&inputs[0].shape, from, sizeof from),
                            hn_shape_format(target, to, sizeof to));
    return HN_OK;
}

const hn_op hn_op_reshape = {
    .name = "reshape", .attributes = attributes, .attribute_count = 1, .min_inputs = 1, .max_inputs = 1,
    .flags = HN_OP_ALIASES_INPUT, .describe = describe,
};
