/* Products with mixtures. Every group has factors of its own: all groups' rows of one number make one matrix. */
#include "mixture.h"
#include "fold.h"
#include "../base/threads.h"

/* Rows of a piece: few are slower, because the terms are read once for each piece. Results are alike for any cut. */
enum { ROWS_LEAST = 48 };
static const double flops_per_ns = 40.0, piece_ns = 5e6; /* a piece ends soon, so that a long call can be cancelled */

typedef struct mixed_job {
    const hn_mixed_product *product;
    const hn_view *x, *z, *dx; /* z: or its gradient */
    int64_t number, position;  /* of the groups' rows at hand */
    int64_t piece;             /* groups, or terms, of one chunk */
    int64_t term, terms;       /* in pieces of groups: of all terms those at hand */
    int later;                 /* the gradients hold something already */
} mixed_job;

static size_t element_of(const mixed_job *job)
{
    return hn_dtype_size(job->product->call->kernels->dtype);
}

/* The row at hand of group `group`. */
static char *row_of(const mixed_job *job, const hn_view *view, int64_t width, int64_t group)
{
    return hn_move(view->data, group * view->group_stride + job->number * view->row_stride + job->position * width,
                   element_of(job));
}

/* The rows at hand of groups first .. first + count - 1, with the mixture's terms. */
static hn_factored factored_of(const mixed_job *job, int64_t first, int64_t count)
{
    const hn_mixed_product *product = job->product;
    const hn_mixture *mixture = product->mixture;
    return (hn_factored){
        .rows = count, .in = product->in, .out = product->out, .count = job->terms,
        .x = row_of(job, job->x, product->in, first), .ldx = job->x->group_stride,
        .factors = hn_move(mixture->factors, first * mixture->factor_stride + job->term, element_of(job)),
        .ldf = mixture->factor_stride,
        .terms = hn_move(mixture->terms, job->term * mixture->term_stride, element_of(job)),
        .term_stride = mixture->term_stride,
    };
}

/* The same with a constant, which is a term of factor 1. */
static hn_factored constant_of(const mixed_job *job, const void *constant, int64_t first, int64_t count)
{
    hn_factored factored = factored_of(job, first, count);
    factored.factors = NULL;
    factored.terms = constant;
    factored.count = 1;
    return factored;
}

static int64_t piece_at(const mixed_job *job, int64_t chunk, int64_t size, int64_t *first)
{
    *first = chunk * job->piece;
    return size - *first < job->piece ? size - *first : job->piece;
}

static int64_t groups_at(const mixed_job *job, int64_t chunk, int64_t *first)
{
    return piece_at(job, chunk, job->product->call->groups, first);
}

static double term_flops(const hn_mixed_product *product)
{
    return 2.0 * (double)product->in * (double)product->out;
}

/* How many of `size` things, of which one takes `flops` operations, make a piece: `least` or more. */
static int64_t piece_of(const mixed_job *job, int64_t size, int64_t least, double flops)
{
    int32_t threads = job->product->call->threads;
    int64_t wanted = threads > 1 ? 2 * (int64_t)threads : 1, most = size / least;
    int64_t pieces = wanted < most ? wanted : most > 1 ? most : 1;
    int64_t piece = (size + pieces - 1) / pieces;
    double short_enough = piece_ns * flops_per_ns / flops;
    if ((double)piece <= short_enough)
        return piece;
    return short_enough > (double)least ? (int64_t)short_enough : least;
}

/* Runs `body` for each of the groups' rows, over pieces of the groups, some terms after the other. */
static void run_groups(mixed_job *job, hn_parallel_body body)
{
    const hn_op_call *call = job->product->call;
    double flops = term_flops(job->product), groups = (double)call->groups;
    int64_t count = job->product->mixture->count;
    double together = piece_ns * flops_per_ns / (flops * ROWS_LEAST);
    int64_t terms = together < 1.0 ? 1 : together < (double)count ? (int64_t)together : count;
    job->piece = piece_of(job, call->groups, ROWS_LEAST, flops * (double)terms);
    for (job->number = 0; job->number < call->rows; job->number++)
        for (job->position = 0; job->position < job->product->positions; job->position++)
            for (job->term = 0; job->term < count; job->term += terms) {
                job->terms = count - job->term < terms ? count - job->term : terms;
                hn_parallel(call->threads, (call->groups + job->piece - 1) / job->piece,
                            groups * flops * (double)job->terms / flops_per_ns, body, job);
            }
}

/* The same over pieces of the terms. */
static void run_terms(mixed_job *job, hn_parallel_body body)
{
    const hn_op_call *call = job->product->call;
    double flops = term_flops(job->product) * (double)call->groups;
    int64_t count = job->product->mixture->count;
    job->piece = piece_of(job, count, 1, flops);
    for (job->number = 0; job->number < call->rows; job->number++)
        for (job->position = 0; job->position < job->product->positions; job->position++) {
            hn_parallel(call->threads, (count + job->piece - 1) / job->piece, (double)count * flops / flops_per_ns,
                        body, job);
            job->later = 1;
        }
}

static void forward_body(void *context, int64_t chunk, int32_t worker)
{
    const mixed_job *job = context;
    const hn_mixture *mixture = job->product->mixture;
    const hn_kernels *kernels = job->product->call->kernels;
    int64_t first, count = groups_at(job, chunk, &first);
    void *scratch = hn_scratch_kernels(job->product->call, worker), *z = row_of(job, job->z, job->product->out, first);
    hn_factored factored = factored_of(job, first, count);
    kernels->factored_forward(&factored, job->term > 0, z, job->z->group_stride, scratch);
    for (int i = 0; i < 2; i++)
        if (mixture->constants[i] && job->term == 0) {
            factored = constant_of(job, mixture->constants[i], first, count);
            kernels->factored_forward(&factored, 1, z, job->z->group_stride, scratch);
        }
}

void hn_mixed_forward(const hn_mixed_product *product, const hn_view *x, const hn_view *z)
{
    mixed_job job = {.product = product, .x = x, .z = z};
    run_groups(&job, forward_body);
}

/* A row of dz takes the place of x, and the terms are transposed. */
static hn_factored backward_of(hn_factored factored, const mixed_job *job, int64_t first)
{
    factored.x = row_of(job, job->z, job->product->out, first);
    factored.ldx = job->z->group_stride;
    factored.in = job->product->out;
    factored.out = job->product->in;
    factored.transposed = 1;
    return factored;
}

static void input_body(void *context, int64_t chunk, int32_t worker)
{
    const mixed_job *job = context;
    const hn_mixture *mixture = job->product->mixture;
    const hn_kernels *kernels = job->product->call->kernels;
    int64_t first, count = groups_at(job, chunk, &first);
    void *scratch = hn_scratch_kernels(job->product->call, worker), *dx = row_of(job, job->dx, job->product->in, first);
    hn_factored factored = backward_of(factored_of(job, first, count), job, first);
    kernels->factored_forward(&factored, job->term > 0, dx, job->dx->group_stride, scratch);
    for (int i = 0; i < 2; i++)
        if (mixture->constants[i] && job->term == 0) {
            factored = backward_of(constant_of(job, mixture->constants[i], first, count), job, first);
            kernels->factored_forward(&factored, 1, dx, job->dx->group_stride, scratch);
        }
}

static void factors_body(void *context, int64_t chunk, int32_t worker)
{
    const mixed_job *job = context;
    const hn_mixture *mixture = job->product->mixture;
    int64_t first, count = groups_at(job, chunk, &first);
    hn_factored factored = factored_of(job, first, count);
    job->product->call->kernels->factored_factors(
        &factored, row_of(job, job->z, job->product->out, first), job->z->group_stride, 1,
        hn_move(mixture->factor_gradient, first * mixture->factor_gradient_stride + job->term, element_of(job)),
        mixture->factor_gradient_stride, hn_scratch_kernels(job->product->call, worker));
}

/* Some of the terms; the constant goes with the first of them. */
static void terms_body(void *context, int64_t chunk, int32_t worker)
{
    const mixed_job *job = context;
    const hn_mixture *mixture = job->product->mixture;
    const hn_op_call *call = job->product->call;
    const void *dz = row_of(job, job->z, job->product->out, 0);
    void *scratch = hn_scratch_kernels(call, worker);
    int64_t first, count = piece_at(job, chunk, mixture->count, &first);
    mixed_job piece = *job;
    piece.term = first;
    piece.terms = count;
    hn_factored factored = factored_of(&piece, 0, call->groups);
    if (mixture->term_gradient)
        call->kernels->factored_terms(&factored, dz, job->z->group_stride, mixture->term_accumulate || job->later,
                                      hn_move(mixture->term_gradient, first * mixture->term_stride, element_of(job)),
                                      mixture->term_stride, scratch);
    if (!mixture->constant_gradient || chunk > 0)
        return;
    factored = constant_of(job, NULL, 0, call->groups);
    call->kernels->factored_terms(&factored, dz, job->z->group_stride, mixture->constant_accumulate || job->later,
                                  mixture->constant_gradient, 0, scratch);
}

void hn_mixed_backward(const hn_mixed_product *product, const hn_view *x, const hn_view *dz, const hn_view *dx)
{
    const hn_mixture *mixture = product->mixture;
    mixed_job job = {.product = product, .x = x, .z = dz, .dx = dx};
    if (mixture->term_gradient || mixture->constant_gradient)
        run_terms(&job, terms_body);
    if (mixture->factor_gradient)
        run_groups(&job, factors_body);
    if (dx->data)
        run_groups(&job, input_body);
}
