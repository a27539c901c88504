/* The table of heads. */
#include "head.h"

#include <string.h>

extern const hn_head hn_head_dense, hn_head_values, hn_head_given, hn_head_bfloat16, hn_head_int8;

static const hn_head *const heads[] = {&hn_head_dense, &hn_head_values, &hn_head_given, &hn_head_bfloat16,
                                      &hn_head_int8};

const hn_head *hn_head_find(const char *name)
{
    for (int32_t i = 0; name && i < hn_head_count(); i++)
        if (strcmp(heads[i]->name, name) == 0)
            return heads[i];
    return NULL;
}

const hn_head *hn_head_at(int32_t index)
{
    return index >= 0 && index < hn_head_count() ? heads[index] : NULL;
}

int32_t hn_head_count(void)
{
    return (int32_t)(sizeof heads / sizeof *heads);
}
