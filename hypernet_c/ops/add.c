/* add: y = a + b + ... with NumPy's broadcasting of sample shapes. */
#include "broadcast.h"

static hn_status describe(const hn_attribute *given, int32_t input_count, const hn_tensor_info *inputs, hn_dtype dtype,
                          hn_op_spec *spec, hn_error *error)
{
    (void)given;
    return hn_broadcast_shape("add", input_count, inputs, dtype, &spec->output, error);
}

static double work(const hn_node_info *node)
{
    return (double)(node->input_count - 1) * (double)hn_shape_size(&node->output.shape);
}

static void forward(const hn_op_call *call)
{
    hn_broadcast_forward(call, HN_BINARY_ADD);
}

static void backward(const hn_op_call *call)
{
    for (int32_t i = 0; i < call->node->input_count; i++)
        if (call->input_gradients[i].data)
            hn_broadcast_backward(call, i, NULL, NULL);
}

const hn_op hn_op_add = {
    .name = "add", .min_inputs = 2, .max_inputs = HN_MAX_INPUTS, .flags = HN_OP_IN_PLACE, .describe = describe,
    .work = work, .forward = forward, .backward = backward,
};
