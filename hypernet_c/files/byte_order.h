/* The numbers of a file are little-endian; a machine need not be. */
#ifndef HN_FILES_BYTE_ORDER_H
#define HN_FILES_BYTE_ORDER_H

#include "tensors.h"

enum { FILE_ORDER_IS_NATIVE = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ };

/* A number as a file has it from the machine's own, or the other way. */
static inline uint64_t file_u64(uint64_t word)
{
    return FILE_ORDER_IS_NATIVE ? word : __builtin_bswap64(word);
}

static inline uint32_t file_u32(uint32_t word)
{
    return FILE_ORDER_IS_NATIVE ? word : __builtin_bswap32(word);
}

/* Copies `bytes` bytes, of elements of `size` bytes, with the bytes of each in reverse. `to` may be `from`. */
void hn_bytes_reverse(const void *from, void *to, size_t bytes, size_t size);

/* The same tensors with reversed data, all in one allocation, which the caller frees. NULL on error. */
hn_file_tensor *hn_tensors_reverse(const hn_file_tensor *tensors, int64_t count, hn_error *error);

#endif
