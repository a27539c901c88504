/* Finding a layer by its name, in a crit-bit tree. It takes time by the length of the name, and by nothing else: not
   even a file whose names are chosen for it makes a graph slow to build. */
#include "graph_internal.h"
#include <string.h>

/* The names below side 0 have a 0 as bit `mask` of byte `byte`, or end before it; those below side 1 have a 1. They
   agree in all that comes before. A side is the number of a branch or, for a layer, ~ the number of its first node. */
struct layer_branch {
    size_t byte;
    unsigned mask;
    int32_t sides[2];
};

static int side_of(const layer_branch *branch, const char *name, size_t length)
{
    return branch->byte < length && ((unsigned char)name[branch->byte] & branch->mask) != 0;
}

/* The layer that has this name if any has; there must be a layer. */
static hn_graph_node *candidate(const hn_graph *graph, const char *name, size_t length)
{
    int32_t place = graph->layers;
    while (place >= 0)
        place = graph->branches[place].sides[side_of(&graph->branches[place], name, length)];
    return graph->nodes[~place];
}

hn_graph_node *hn_graph_layer_find(const hn_graph *graph, const char *name, size_t length)
{
    hn_graph_node *node = graph->layer_count ? candidate(graph, name, length) : NULL;
    return node && strncmp(node->layer, name, length) == 0 && node->layer[length] == '\0' ? node : NULL;
}

hn_status hn_graph_layer_reserve(hn_graph *graph, hn_error *error)
{
    return hn_graph_reserve(&graph->branches, graph->layer_count, &graph->branch_capacity, sizeof *graph->branches,
                            error);
}

void hn_graph_layer_add(hn_graph *graph, int32_t node)
{
    const char *name = graph->nodes[node]->layer;
    size_t length = strlen(name), byte = 0;
    int32_t *place = &graph->layers, added = graph->layer_count++ - 1;
    if (added < 0) { /* the first has no other to be told from */
        *place = ~node;
        return;
    }
    const char *other = candidate(graph, name, length)->layer;
    while (name[byte] == other[byte])
        byte++;
    unsigned difference = (unsigned char)name[byte] ^ (unsigned char)other[byte], mask = 0x80;
    while (!(difference & mask))
        mask >>= 1;
    while (*place >= 0) {
        layer_branch *branch = &graph->branches[*place];
        if (branch->byte > byte || (branch->byte == byte && branch->mask < mask))
            break;
        place = &branch->sides[side_of(branch, name, length)];
    }
    layer_branch *branch = &graph->branches[added];
    *branch = (layer_branch){.byte = byte, .mask = mask};
    int side = side_of(branch, name, length);
    branch->sides[side] = ~node;
    branch->sides[!side] = *place;
    *place = added;
}

void hn_graph_layer_remove(hn_graph *graph, const char *name)
{
    size_t length = strlen(name);
    int32_t *place = &graph->layers, added = --graph->layer_count - 1; /* the branch that came with it */
    if (added < 0)
        return;
    while (*place != added)
        place = &graph->branches[*place].sides[side_of(&graph->branches[*place], name, length)];
    *place = graph->branches[added].sides[!side_of(&graph->branches[added], name, length)];
}
