#include "optimizer.h"
#include "../base/threads.h"

#include <math.h>
#include <string.h>

/* Parameters in one block: fixed, so that norms do not depend on the number of threads. */
#define BLOCK 16384
#define WORK_A_PARAMETER 0.5 /* nanoseconds */

static const char *const names[HN_OPTIMIZER_KIND_COUNT] = {"sgd", "rmsprop", "adam"};

const char *hn_optimizer_name(hn_optimizer_kind kind)
{
    return kind >= 0 && kind < HN_OPTIMIZER_KIND_COUNT ? names[kind] : NULL;
}

int32_t hn_optimizer_find(const char *name)
{
    for (int32_t kind = 0; kind < HN_OPTIMIZER_KIND_COUNT; kind++)
        if (strcmp(name, names[kind]) == 0)
            return kind;
    return -1;
}

int32_t hn_optimizer_slot_count(hn_optimizer_kind kind, const double params[4])
{
    switch (kind) {
    case HN_OPTIMIZER_SGD:
        return params[0] != 0;
    case HN_OPTIMIZER_ADAM:
        return params[3] != 0 ? 3 : 2;
    default: /* rmsprop keeps its slots in fixed places: see hn_optimizer_kind */
        return params[1] != 0 ? 3 : params[3] != 0 ? 2 : 1;
    }
}

static char *at(const void *pointer, int64_t elements, size_t element)
{
    return pointer ? (char *)pointer + elements * (int64_t)element : NULL;
}

/* sum g^2 of a span, block after block. */
static double squared_norm(const hn_kernels *kernels, const hn_update *update, const hn_span *span)
{
    size_t element = hn_dtype_size(kernels->dtype);
    double sum = 0;
    for (int64_t first = 0; first < span->count; first += BLOCK) {
        int64_t count = span->count - first < BLOCK ? span->count - first : BLOCK;
        const void *g = at(update->gradient, span->offset + first, element);
        sum += kernels->dot(count, g, g);
    }
    return sum * update->grad_scale * update->grad_scale;
}

/* The factor that brings a norm down to `limit`; nan stays nan, as in Keras. */
static double clip_factor(double norm, double limit)
{
    return norm > limit ? limit / norm : isnan(norm) ? norm : 1.0;
}

static double global_factor(const hn_kernels *kernels, const hn_update *update)
{
    double sum = 0;
    if (isinf(update->global_clipnorm))
        return 1;
    for (int64_t i = 0; i < update->span_count; i++)
        if (update->spans[i].trainable)
            sum += squared_norm(kernels, update, &update->spans[i]);
    return isinf(sum) ? (double)NAN : clip_factor(sqrt(sum), update->global_clipnorm); /* nan everywhere, as in Keras */
}

typedef struct span_job {
    const hn_kernels *kernels;
    const hn_update *update;
    const hn_span *span;
    double grad_scale;
} span_job;

static void update_block(void *context, int64_t chunk, int32_t worker)
{
    const span_job *job = context;
    const hn_update *update = job->update;
    size_t element = hn_dtype_size(job->kernels->dtype);
    int64_t first = chunk * BLOCK, left = job->span->count - first, offset = job->span->offset + first;
    (void)worker;
    hn_optimizer_args args = {
        .count = left < BLOCK ? left : BLOCK,
        .weights = at(update->weights, job->span->weight_offset + first, element),
        .gradient = at(update->gradient, offset, element),
        .slots = {at(update->slots[0], offset, element), at(update->slots[1], offset, element),
                  at(update->slots[2], offset, element)},
        .delta = at(update->delta, offset, element),
        .learning_rate = update->learning_rate,
        .grad_scale = job->grad_scale,
        .clip_value = update->clipvalue,
        .weight_decay = job->span->decay ? update->weight_decay : 0,
        .params = {update->params[0], update->params[1], update->params[2], update->params[3]},
        .step = update->step,
    };
    job->kernels->optimizer(update->kind, &args);
}

void hn_optimizer_update(const hn_kernels *kernels, const hn_update *update)
{
    size_t element = hn_dtype_size(kernels->dtype);
    double all = update->grad_scale * global_factor(kernels, update);
    for (int64_t i = 0; i < update->span_count; i++) {
        const hn_span *span = &update->spans[i];
        if (!span->trainable) {
            if (update->delta)
                memset(at(update->delta, span->offset, element), 0, (size_t)span->count * element);
            continue;
        }
        double scale = all;
        if (!isinf(update->clipnorm))
            scale *= clip_factor(sqrt(squared_norm(kernels, update, span)), update->clipnorm);
        span_job job = {kernels, update, span, scale};
        hn_parallel(update->threads, (span->count + BLOCK - 1) / BLOCK, WORK_A_PARAMETER * (double)span->count,
                    update_block, &job);
    }
}
