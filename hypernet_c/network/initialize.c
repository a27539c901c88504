/* First weights of a graph: Keras's defaults. */
#include "graph.h"
#include "../base/random.h"
#include <math.h>

enum { BLOCK = 1024 };
static const double table_limit = 0.05;

static void fill_constant(hn_dtype dtype, void *weights, int64_t count, double value)
{
    for (int64_t i = 0; i < count; i++)
        if (dtype == HN_FLOAT32)
            ((float *)weights)[i] = (float)value;
        else
            ((double *)weights)[i] = value;
}

/* Uniform in [-limit, limit). */
static void fill_uniform(hn_dtype dtype, void *weights, int64_t count, double limit, const hn_random_key *key)
{
    float uniform[BLOCK];
    for (int64_t first = 0; first < count; first += BLOCK) {
        int64_t n = count - first < BLOCK ? count - first : BLOCK;
        hn_random_uniform(key, (uint64_t)(first / BLOCK), 0, n, uniform);
        for (int64_t i = 0; i < n; i++)
            if (dtype == HN_FLOAT32)
                ((float *)weights)[first + i] = (float)(limit * (2.0 * (double)uniform[i] - 1.0));
            else
                ((double *)weights)[first + i] = limit * (2.0 * (double)uniform[i] - 1.0);
    }
}

void hn_graph_initialize(const hn_graph *graph, uint64_t seed, void *weights)
{
    hn_dtype dtype = hn_graph_dtype(graph);
    for (int32_t i = 0; i < hn_graph_entry_count(graph); i++) {
        const hn_entry *entry = hn_graph_entry(graph, i);
        void *at = (char *)weights + (size_t)entry->offset * hn_dtype_size(dtype);
        hn_random_key key = {seed, (uint32_t)i, 0};
        double fans = (double)(entry->spec.fan_in + entry->spec.fan_out);
        if (entry->spec.role == HN_ROLE_KERNEL) /* glorot_uniform: variance 2 / (fan_in + fan_out) */
            fill_uniform(dtype, at, entry->size, sqrt(6.0 / (fans > 0.0 ? fans : 1.0)), &key);
        else if (entry->spec.role == HN_ROLE_TABLE)
            fill_uniform(dtype, at, entry->size, table_limit, &key);
        else
            fill_constant(dtype, at, entry->size, entry->spec.role == HN_ROLE_SCALE ? 1.0 : 0.0);
    }
}
