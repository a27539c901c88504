#include "byte_order.h"
#include "../base/memory.h"

void hn_bytes_reverse(const void *from, void *to, size_t bytes, size_t size)
{
    const char *source = from;
    char *target = to;
    for (size_t at = 0; at < bytes; at += size)
        for (size_t i = 0; i < (size + 1) / 2; i++) {
            char early = source[at + i], late = source[at + size - 1 - i];
            target[at + i] = late;
            target[at + size - 1 - i] = early;
        }
}

/* The list, then the data of each; without a base only the size is found. */
static hn_file_tensor *copies_place(hn_layout *layout, const hn_file_tensor *tensors, int64_t count)
{
    hn_file_tensor *copies = hn_layout_part(layout, (size_t)count, sizeof *copies);
    for (int64_t i = 0; i < count; i++) {
        void *data = hn_layout_part(layout, tensors[i].bytes, 1);
        if (!copies)
            continue;
        copies[i] = tensors[i];
        copies[i].data = data;
        hn_bytes_reverse(tensors[i].data, data, tensors[i].bytes, hn_dtype_size(tensors[i].dtype));
    }
    return copies;
}

hn_file_tensor *hn_tensors_reverse(const hn_file_tensor *tensors, int64_t count, hn_error *error)
{
    hn_layout layout = {.base = NULL};
    copies_place(&layout, tensors, count);
    size_t bytes = layout.used;
    if (layout.overflows) {
        hn_error_set(error, HN_ERROR_VALUE, "the tensors are too large for one file");
        return NULL;
    }
    layout = (hn_layout){.base = hn_memory_allocate(bytes, 1, error)};
    return layout.base ? copies_place(&layout, tensors, count) : NULL;
}
