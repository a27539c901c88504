/* What ops share about rows: folding groups and rows into as few and as long stretches as the views allow, cutting them
   into blocks for the threads, and pointer arithmetic. */
#ifndef HN_OPS_FOLD_H
#define HN_OPS_FOLD_H

#include "op.h"

/* One tensor after folding: row r of segment s of group g is at data + g * group + s * segment + r * ld. */
typedef struct hn_folded_view {
    char *data;
    int64_t group, segment, ld; /* elements */
} hn_folded_view;

/* `groups` x `segments` stretches of `rows` rows. There is more than one segment only where a sample has several
   positions (rows of a matrix product, say) and the samples do not follow each other without a gap. */
typedef struct hn_fold {
    int64_t groups, segments, rows;
    int32_t count;
    hn_folded_view *views; /* the caller's, `count` of them */
} hn_fold;

/* Folds `count` views of groups x rows samples; a sample of view i is `positions` rows of widths[i] elements. Groups
   are merged where all views allow it and `merge` is not 0. Views without data (NULL) follow along. */
void hn_fold_views(hn_fold *fold, int64_t groups, int64_t rows, int64_t positions, int32_t count,
                   const hn_view *const *views, const int64_t *widths, int merge);

/* Where every view's rows are `width` wide without gaps: makes each element a row, so that blocks may be cut anywhere.
   Returns 1 if it could. */
int hn_fold_flatten(hn_fold *fold, int64_t width);

/* A piece of work: rows first .. first + count - 1 of a segment of a group. `worker` names the scratch memory. */
typedef void (*hn_piece)(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first,
                         int64_t count);

/* Runs `piece` over all rows of the fold, in blocks fixed by shape. `row_cost`: nanoseconds a row. */
void hn_fold_run(const hn_fold *fold, int32_t threads, double row_cost, hn_piece piece, const void *context);

/* The address of row `row`. */
static inline char *hn_folded_at(const hn_folded_view *view, size_t element, int64_t group, int64_t segment,
                                 int64_t row)
{
    return view->data + (group * view->group + segment * view->segment + row * view->ld) * (int64_t)element;
}

/* `pointer` moved by a number of elements. An array without elements may be NULL, which no pointer arithmetic may move,
   not even by 0: it stays NULL. No branch asks for NULL, which would tell analyzers to expect it of every pointer. */
static inline char *hn_move(const void *pointer, int64_t elements, size_t element)
{
    int64_t distance = (pointer != NULL) * elements * (int64_t)element;
    return distance ? (char *)pointer + distance : (char *)pointer;
}

/* The scratch memory of `worker`: the kernels' part, and the op's own behind it. */
static inline void *hn_scratch_kernels(const hn_op_call *call, int32_t worker)
{
    return (char *)call->scratch + (size_t)worker * call->scratch_stride;
}
static inline size_t hn_scratch_kernels_size(const hn_kernels *kernels)
{
    return (kernels->scratch + HN_SCRATCH_ALIGNMENT - 1) / HN_SCRATCH_ALIGNMENT * HN_SCRATCH_ALIGNMENT;
}
static inline void *hn_scratch_op(const hn_op_call *call, int32_t worker)
{
    return (char *)hn_scratch_kernels(call, worker) + hn_scratch_kernels_size(call->kernels);
}

/* A contiguous view of `size` elements a row, for saved arrays. */
static inline hn_view hn_view_packed(void *data, int64_t rows, int64_t size)
{
    return (hn_view){data, rows * size, size};
}

#endif
