/* Layers are found by their names. Prints "N checked", the number of layers that were looked for.

   With any names, in any order, a graph finds the first node of each layer and the weights of each, as going through
   all of them would; after a failure it finds what it found before; the time that this takes grows like the graph. */
#include "network.h"
#include <time.h>

static hn_error error;
static int64_t looked;
static char text_of_times[64];

/* Names over a few letters, so that many agree in how they begin, and many are there already. */
static void name_draw(random_state *random, char *name)
{
    static const char letters[] = {'a', 'b', 'c', '/', '\x80', '\xff'};
    int64_t length = 1 + below(random, 6);
    for (int64_t i = 0; i < length; i++)
        name[i] = letters[below(random, sizeof letters)];
    name[length] = '\0';
}

static int32_t first_with(const hn_graph *graph, const char *layer)
{
    int32_t node = 0;
    while (node < hn_graph_node_count(graph) && strcmp(hn_graph_node_at(graph, node)->layer, layer) != 0)
        node++;
    return node;
}

static int32_t entry_with(const hn_graph *graph, const char *name)
{
    for (int32_t i = 0; i < hn_graph_entry_count(graph); i++)
        if (strcmp(hn_graph_entry(graph, i)->name, name) == 0)
            return i;
    return -1;
}

static void check_found(const hn_graph *graph, random_state *random)
{
    char name[32];
    for (int32_t i = 0; i < hn_graph_node_count(graph); i++, looked++) {
        const hn_graph_node *node = hn_graph_node_at(graph, i);
        CHECK((int32_t)node->layer_index == first_with(graph, node->layer));
        (void)snprintf(name, sizeof name, "%s/kernel", node->layer);
        CHECK(hn_graph_entry_find(graph, name) == entry_with(graph, name) && entry_with(graph, name) >= 0);
        (void)snprintf(name, sizeof name, "%s/bias", node->layer);
        CHECK(hn_graph_entry_find(graph, name) == entry_with(graph, name) && entry_with(graph, name) >= 0);
    }
    for (int i = 0; i < 20; i++, looked++) {
        name_draw(random, name);
        CHECK(hn_graph_entry_find(graph, name) == entry_with(graph, name));
        strcat(name, i % 2 ? "/kernel" : "/");
        CHECK(hn_graph_entry_find(graph, name) == entry_with(graph, name));
    }
    CHECK(hn_graph_entry_find(graph, NULL) == -1);
}

static int32_t add(hn_graph *graph, const char *op, const char *layer, int32_t input, hn_error *why)
{
    const hn_attribute units = {"units", HN_ATTRIBUTE_INTEGER, .integer = 1};
    return hn_graph_add(graph, op, layer, &units, strcmp(op, "dense") == 0, &input, 1, why);
}

static hn_graph *with_input(int32_t *x)
{
    hn_shape one = {1, {1}};
    hn_graph *graph = hn_graph_create(HN_FLOAT32, &error);
    CHECK(graph && (*x = hn_graph_input(graph, "x", &one, HN_FLOAT32, &error)) >= 0);
    return graph;
}

/* A nested model that fails in its last layer, which is there already as another op: what it had added goes again. */
static void call_in_vain(hn_graph *graph, int32_t x, random_state *random)
{
    char name[32];
    int32_t inner_x, y, nodes = hn_graph_node_count(graph);
    hn_graph *inner = with_input(&inner_x);
    for (int i = 0; i < 12; i++) {
        name_draw(random, name);
        CHECK(add(inner, "dense", name, inner_x, &error) >= 0);
    }
    CHECK((y = add(inner, "activation", "taken", inner_x, &error)) >= 0 && hn_graph_output(inner, y, &error) == HN_OK);
    CHECK(hn_graph_call(graph, inner, "in", &x, 1, &y, &error) == HN_ERROR_VALUE);
    CHECK(hn_graph_node_count(graph) == nodes);
    hn_graph_free(inner);
}

static void test_any_names(random_state *random)
{
    char name[32];
    int32_t x;
    for (int graphs = 0; graphs < 60; graphs++) {
        hn_graph *graph = with_input(&x);
        check_found(graph, random);
        CHECK(add(graph, "dense", "in/taken", x, &error) >= 0);
        for (int count = 1 + (int)below(random, 80); count > 0; count--) {
            name_draw(random, name);
            CHECK(add(graph, "dense", name, x, &error) >= 0);
            if (count % 9 == 0)
                call_in_vain(graph, x, random);
        }
        check_found(graph, random);
        hn_graph_free(graph);
    }
}

/* Each layer is added as often as there are allocations, with another one failing each time, and then in full. */
static void test_failing_allocations(random_state *random)
{
    char name[32];
    int32_t x;
    hn_graph *graph = with_input(&x);
    for (int32_t nodes = 0; nodes < 70; nodes++) {
        name_draw(random, name);
        for (int64_t k = 1, added = -1; added < 0; k++) {
            CHECK(hn_graph_node_count(graph) == nodes);
            hn_memory_fail_at(k);
            added = add(graph, "dense", name, x, &error);
            hn_memory_fail_at(0);
            CHECK(added >= 0 || error.status == HN_ERROR_MEMORY);
            check_found(graph, random);
        }
    }
    hn_graph_free(graph);
}

/* Processor seconds of building a graph of so many layers and of finding each one's weights. */
static double seconds_for(int32_t layers)
{
    char name[64];
    int32_t x;
    clock_t began = clock();
    hn_graph *graph = with_input(&x);
    for (int32_t i = 0; i < layers; i++) {
        (void)snprintf(name, sizeof name, "a_name_that_many_layers_begin_with_%d", (int)i);
        CHECK(add(graph, "dense", name, x, &error) >= 0);
    }
    for (int32_t i = 0; i < layers; i++, looked++) {
        (void)snprintf(name, sizeof name, "a_name_that_many_layers_begin_with_%d/bias", (int)i);
        CHECK(hn_graph_entry_find(graph, name) == 2 * i + 1);
    }
    hn_graph_free(graph);
    return (double)(clock() - began) / CLOCKS_PER_SEC;
}

/* 16 times the layers would take 256 times as long if each were compared with each. */
static void test_time(void)
{
    double few = 1e9;
    for (int i = 0; i < 5; i++)
        few = fmin(few, seconds_for(2000));
    double many = seconds_for(32000);
    (void)snprintf(text_of_times, sizeof text_of_times, "%g s, then %g s", few, many);
    context = text_of_times;
    CHECK(many < 64 * few);
}

int main(void)
{
    random_state random = {1};
    test_any_names(&random);
    test_failing_allocations(&random);
    test_time();
    CHECK(hn_memory_live_blocks() == 0);
    printf("%lld checked\n", (long long)looked);
    return 0;
}
