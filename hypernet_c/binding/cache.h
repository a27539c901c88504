/* What a network keeps between calls: plans for the sample shapes that came, and memory to run them in.

   Nothing here calls Python, and no lock is held while something is compiled, run or freed. */
#ifndef HN_BINDING_CACHE_H
#define HN_BINDING_CACHE_H

#include "binding.h"

enum { CACHE_PLANS = 8, CACHE_SPARE = 4 };

/* A run's memory: the workspace, and what training needs besides. Grown as needed, used by one call at a time. */
typedef struct run_memory {
    void *workspace;
    void *scratch;          /* of the losses */
    size_t scratch_bytes;
    void *gradient;         /* flat, of train_step; NULL until the first */
    hn_source *sources;     /* copies with gradients; NULL until the first */
} run_memory;

/* What a plan is and how its workspaces are made. */
typedef struct cache_methods {
    void *(*compile)(const void *owner, const hn_shape *shapes, hn_error *error);
    void (*discard)(void *plan);
    void *(*workspace_create)(const void *plan, int64_t groups, int64_t rows, hn_mode mode, int32_t threads,
                              hn_error *error);
    int (*workspace_fits)(const void *workspace, const void *plan, int64_t groups, int64_t rows, hn_mode mode,
                          int32_t threads);
    void (*workspace_discard)(void *workspace);
} cache_methods;

/* A plan in use: `users` calls hold it; it may have left the cache meanwhile. */
typedef struct cache_item {
    void *plan;
    hn_shape *shapes;
    int64_t users;
    int left;
    int32_t spare_count;
    run_memory *spare[CACHE_SPARE];
} cache_item;

typedef struct plan_cache {
    const cache_methods *methods;
    const void *owner;
    int32_t shape_count, count;
    cache_item *items[CACHE_PLANS]; /* last used first */
    binding_mutex mutex;
} plan_cache;

void cache_begin(plan_cache *cache, const cache_methods *methods, const void *owner, int32_t shape_count);
void cache_end(plan_cache *cache); /* nobody uses it any more; again: does nothing */

/* The plan for these shapes, to be given back; NULL on error. */
cache_item *cache_take(plan_cache *cache, const hn_shape *shapes, hn_error *error);
void cache_give(plan_cache *cache, cache_item *item);

/* Memory for a run of this size; NULL on error. */
run_memory *memory_take(plan_cache *cache, cache_item *item, int64_t groups, int64_t rows, hn_mode mode,
                        int32_t threads, hn_error *error);
void memory_give(plan_cache *cache, cache_item *item, run_memory *memory);

/* Makes `memory->scratch` large enough. */
hn_status memory_reserve_scratch(run_memory *memory, size_t bytes, hn_error *error);

#endif
