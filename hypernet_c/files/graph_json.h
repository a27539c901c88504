/* Graphs within a larger JSON text; for the files of this floor only. */
#ifndef HN_FILES_GRAPH_JSON_H
#define HN_FILES_GRAPH_JSON_H

#include "json.h"
#include "../network/graph.h"

/* 1 if `value` is an object with exactly these members. */
int hn_json_has_exactly(const hn_json_value *value, const char *const *keys, int32_t count);

/* The graph that `value` describes. NULL on error; anything wrong with the text is HN_ERROR_VALUE. */
hn_graph *hn_graph_from_value(const hn_json_value *value, hn_error *error);

#endif
