/* Plans and workspaces that are kept between calls. */
#include "cache.h"
#include "../base/memory.h"

void cache_begin(plan_cache *cache, const cache_methods *methods, const void *owner, int32_t shape_count)
{
    cache->methods = methods;
    cache->owner = owner;
    cache->shape_count = shape_count;
}

static void memory_discard(const cache_methods *methods, run_memory *memory)
{
    if (!memory)
        return;
    if (memory->workspace)
        methods->workspace_discard(memory->workspace);
    hn_memory_free(memory->scratch);
    hn_memory_free(memory->gradient);
    hn_memory_free(memory->sources);
    hn_memory_free(memory);
}

static void item_discard(const cache_methods *methods, cache_item *item)
{
    if (!item)
        return;
    for (int32_t i = 0; i < item->spare_count; i++)
        memory_discard(methods, item->spare[i]);
    if (item->plan)
        methods->discard(item->plan);
    hn_memory_free(item->shapes);
    hn_memory_free(item);
}

void cache_end(plan_cache *cache)
{
    for (int32_t i = 0; i < cache->count; i++)
        item_discard(cache->methods, cache->items[i]);
    cache->count = 0;
}

/* ---- plans ---- */

static int shapes_equal(const hn_shape *a, const hn_shape *b, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (!hn_shape_equal(&a[i], &b[i]))
            return 0;
    return 1;
}

/* Puts an item in front of the first `at` ones. */
static void move_to_front(plan_cache *cache, cache_item *item, int32_t at)
{
    for (; at > 0; at--)
        cache->items[at] = cache->items[at - 1];
    cache->items[0] = item;
}

static cache_item *find(plan_cache *cache, const hn_shape *shapes)
{
    for (int32_t i = 0; i < cache->count; i++) {
        cache_item *item = cache->items[i];
        if (!shapes_equal(item->shapes, shapes, cache->shape_count))
            continue;
        if (i > 0)
            move_to_front(cache, item, i);
        item->users++;
        return item;
    }
    return NULL;
}

static cache_item *item_create(const plan_cache *cache, const hn_shape *shapes, hn_error *error)
{
    size_t count = (size_t)cache->shape_count;
    cache_item *item = hn_memory_allocate(1, sizeof *item, error);
    if (!item)
        return NULL;
    item->shapes = hn_memory_allocate(count, sizeof *shapes, error);
    if (item->shapes) {
        memcpy(item->shapes, shapes, count * sizeof *shapes);
        item->plan = cache->methods->compile(cache->owner, shapes, error);
        if (item->plan)
            return item;
    }
    item_discard(cache->methods, item);
    return NULL;
}

cache_item *cache_take(plan_cache *cache, const hn_shape *shapes, hn_error *error)
{
    binding_lock(&cache->mutex);
    cache_item *item = find(cache, shapes);
    binding_unlock(&cache->mutex);
    if (item)
        return item;
    cache_item *made = item_create(cache, shapes, error), *unused = NULL;
    if (!made)
        return NULL;
    binding_lock(&cache->mutex);
    item = find(cache, shapes); /* another thread may have been faster */
    if (item) {
        unused = made;
    } else {
        if (cache->count == CACHE_PLANS) {
            cache_item *last = cache->items[--cache->count];
            last->left = 1;
            unused = last->users ? NULL : last;
        }
        item = made;
        item->users = 1;
        move_to_front(cache, item, cache->count++);
    }
    binding_unlock(&cache->mutex);
    item_discard(cache->methods, unused);
    return item;
}

void cache_give(plan_cache *cache, cache_item *item)
{
    binding_lock(&cache->mutex);
    int last = --item->users == 0 && item->left;
    binding_unlock(&cache->mutex);
    if (last)
        item_discard(cache->methods, item);
}

/* ---- memory ---- */

run_memory *memory_take(plan_cache *cache, cache_item *item, int64_t groups, int64_t rows, hn_mode mode,
                        int32_t threads, hn_error *error)
{
    const cache_methods *methods = cache->methods;
    run_memory *memory = NULL;
    binding_lock(&cache->mutex);
    for (int32_t i = 0; i < item->spare_count && !memory; i++)
        if (methods->workspace_fits(item->spare[i]->workspace, item->plan, groups, rows, mode, threads)) {
            memory = item->spare[i];
            item->spare_count--;
            memmove(&item->spare[i], &item->spare[i + 1], (size_t)(item->spare_count - i) * sizeof *item->spare);
        }
    binding_unlock(&cache->mutex);
    if (memory)
        return memory;
    memory = hn_memory_allocate(1, sizeof *memory, error);
    if (!memory)
        return NULL;
    memory->workspace = methods->workspace_create(item->plan, groups, rows, mode, threads, error);
    if (memory->workspace)
        return memory;
    memory_discard(methods, memory);
    return NULL;
}

void memory_give(plan_cache *cache, cache_item *item, run_memory *memory)
{
    run_memory *oldest = NULL;
    if (!memory)
        return;
    binding_lock(&cache->mutex);
    if (item->spare_count == CACHE_SPARE)
        oldest = item->spare[--item->spare_count];
    memmove(&item->spare[1], &item->spare[0], (size_t)item->spare_count * sizeof *item->spare);
    item->spare[0] = memory;
    item->spare_count++;
    binding_unlock(&cache->mutex);
    memory_discard(cache->methods, oldest);
}

hn_status memory_reserve_scratch(run_memory *memory, size_t bytes, hn_error *error)
{
    if (memory->scratch && memory->scratch_bytes >= bytes)
        return HN_OK;
    void *scratch = hn_memory_allocate(bytes, 1, error);
    if (!scratch)
        return HN_ERROR_MEMORY;
    hn_memory_free(memory->scratch);
    memory->scratch = scratch;
    memory->scratch_bytes = bytes;
    return HN_OK;
}
