/* bfloat16, int8: theta = (features Q) scale + b (+ base), Q being a kernel in fewer bits. Inference only: there is no
   pull. */
#include "head.h"
#include "../base/threads.h"
#include "../ops/fold.h"

extern const hn_head hn_head_bfloat16, hn_head_int8;

/* A piece of columns. Few groups, for which the kernel reads Q where it is: in long stretches, for at most a few
   milliseconds. More: long enough to be worth a thread. */
enum { COLUMNS_LEAST = 256, COLUMNS_MOST = 8192, PIECES = 16 };
static const double flops_per_ns = 25.0, stretch_ns = 4e6, piece_ns = 40000.0;

static size_t scratch_size(const hn_kernels *kernels)
{
    return kernels->quantized_scratch;
}

static double work(int64_t width)
{
    return 2.0 * (double)width + 1.0;
}

typedef struct fill_job {
    const hn_head_call *call;
    int64_t first, count, ld, piece;
    void *tile;
} fill_job;

/* Columns of one piece: (features Q[:, at ..]) scale + b + base */
static void fill_piece(void *context, int64_t chunk, int32_t worker)
{
    const fill_job *job = context;
    const hn_head_call *call = job->call;
    const hn_quantized_head *head = call->quantized;
    const size_t element = hn_dtype_size(call->kernels->dtype);
    int64_t from = chunk * job->piece, at = job->first + from;
    int64_t count = job->count - from < job->piece ? job->count - from : job->piece;
    void *tile = hn_move(job->tile, from, element);
    const void *base = call->base ? hn_move(call->base, at, element) : NULL;
    const void *bias = head->bias ? head->bias + at : base;
    call->kernels->gemm_quantized(head->stored, call->groups, count, call->width, call->features, call->feature_stride,
                                  hn_move(head->kernel, at, hn_dtype_size(head->stored)), head->count,
                                  head->scale ? head->scale + at : NULL, bias, tile, job->ld,
                                  (char *)call->scratch + (size_t)worker * call->scratch_stride);
    for (int64_t g = 0; head->bias && base && g < call->groups; g++) {
        void *row = hn_move(tile, g * job->ld, element);
        call->kernels->binary(HN_BINARY_ADD, count, row, 1, base, 1, row);
    }
}

static int64_t piece_of(int64_t groups, int64_t count, double column)
{
    int few = groups < HN_QUANTIZED_WIDE_ROWS;
    double most = (few ? stretch_ns : piece_ns) / column;
    int64_t piece = few ? count / PIECES : COLUMNS_MOST;
    if (piece < COLUMNS_MOST / 4)
        piece = COLUMNS_MOST / 4;
    if (piece > COLUMNS_MOST)
        piece = COLUMNS_MOST;
    if ((double)piece > most)
        piece = (int64_t)most;
    return piece < COLUMNS_LEAST ? COLUMNS_LEAST : (piece + COLUMNS_LEAST - 1) / COLUMNS_LEAST * COLUMNS_LEAST;
}

static void fill(const hn_head_call *call, int64_t first, int64_t count, void *tile, int64_t ld)
{
    double column = work(call->width) * (double)call->groups / flops_per_ns;
    fill_job job = {.call = call, .first = first, .count = count, .ld = ld, .tile = tile};
    job.piece = piece_of(call->groups, count, column);
    hn_parallel(call->threads, (count + job.piece - 1) / job.piece, column * (double)count, fill_piece, &job);
}

const hn_head hn_head_bfloat16 = {.name = "bfloat16", .scratch_size = scratch_size, .work = work, .fill = fill};

const hn_head hn_head_int8 = {.name = "int8", .scratch_size = scratch_size, .work = work, .fill = fill};
