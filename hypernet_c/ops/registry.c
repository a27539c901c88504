/* The table of all ops. A new op is its file and one line here. */
#include "op.h"
#include <string.h>

#define OPS(X)                                                                                                        \
    X(dense)                                                                                                          \
    X(activation)                                                                                                     \
    X(prelu)                                                                                                          \
    X(dropout)                                                                                                        \
    X(reshape)                                                                                                        \
    X(add)                                                                                                            \
    X(multiply)                                                                                                       \
    X(concatenate)                                                                                                    \
    X(embedding)                                                                                                      \
    X(layer_normalization)                                                                                            \
    X(activity_regularizer)

#define DECLARE(name) extern const hn_op hn_op_##name;
OPS(DECLARE)

#define ADDRESS(name) &hn_op_##name,
static const hn_op *const ops[] = {OPS(ADDRESS)};

const hn_op *hn_op_at(int32_t index)
{
    return index >= 0 && index < hn_op_count() ? ops[index] : NULL;
}

int32_t hn_op_count(void)
{
    return (int32_t)(sizeof ops / sizeof ops[0]);
}

const hn_op *hn_op_find(const char *name)
{
    for (int32_t i = 0; name && i < hn_op_count(); i++)
        if (strcmp(ops[i]->name, name) == 0)
            return ops[i];
    return NULL;
}
