/* dense: theta = features K + b (+ base): a mixture of the rows of K. */
#include "head.h"
#include "../ops/fold.h"
#include "../ops/mixture.h"

extern const hn_head hn_head_dense;

static size_t scratch_size(const hn_kernels *kernels)
{
    return hn_scratch_kernels_size(kernels) + hn_mixture_scratch(kernels->dtype);
}

static double work(int64_t width)
{
    return 2.0 * (double)width + 1.0;
}

static void mix(const hn_head_call *call, int64_t first, hn_mixture *mixture)
{
    size_t element = hn_dtype_size(call->kernels->dtype);
    *mixture = (hn_mixture){
        .count = call->width, .factors = call->features, .factor_stride = call->feature_stride,
        .terms = hn_move(call->kernel.data, first, element), .term_stride = call->columns,
        .factor_gradient = call->feature_gradient, .factor_gradient_stride = call->feature_gradient_stride,
        .term_accumulate = call->kernel.accumulate, .constant_accumulate = call->bias.accumulate,
        .partial = call->partial,
    };
    if (call->bias.data)
        mixture->constants[0] = hn_move(call->bias.data, first, element);
    if (call->base)
        mixture->constants[1] = hn_move(call->base, first, element);
    if (call->kernel.gradient)
        mixture->term_gradient = hn_move(call->kernel.gradient, first, element);
    if (call->bias.gradient)
        mixture->constant_gradient = hn_move(call->bias.gradient, first, element);
}

static hn_mixture_call call_of(const hn_head_call *call, const hn_mixture *mixture)
{
    return (hn_mixture_call){call->kernels, mixture, call->threads, call->groups, call->scratch, call->scratch_stride};
}

static void fill(const hn_head_call *call, int64_t first, int64_t count, void *tile, int64_t ld)
{
    hn_mixture mixture;
    mix(call, first, &mixture);
    hn_mixture_call make = call_of(call, &mixture);
    hn_mixture_make(&make, (hn_stretches){0, 1, count, count}, tile, ld);
}

static void pull(const hn_head_call *call, int64_t first, int64_t count, const void *tile, int64_t ld)
{
    hn_mixture mixture;
    mix(call, first, &mixture);
    hn_mixture_call take = call_of(call, &mixture);
    hn_mixture_pull(&take, (hn_stretches){0, 1, count, count}, tile, ld);
}

const hn_head hn_head_dense = {
    .name = "dense", .scratch_size = scratch_size, .partial_size = hn_mixture_partial, .work = work, .fill = fill,
    .pull = pull, .mix = mix,
};
