/* The checksum of the native file; tensors.h has its definition. And what reader and writer must agree about. */
#ifndef HN_FILES_CHECKSUM_H
#define HN_FILES_CHECKSUM_H

#include "tensors.h"

#define FILE_METADATA "__metadata__"
#define FILE_FORMAT "hypernet_format"
#define FILE_CHECKSUM "hypernet_checksum"

enum { FILE_MAX_HEADER = 100000000, FILE_CHECKSUM_DIGITS = 16 };

/* XXH64 (https://github.com/Cyan4973/xxHash, specification) of `bytes` bytes; nothing that counts where the run is
   cancelled meanwhile (cancel.h). */
uint64_t hn_checksum_bytes(const void *data, size_t bytes, uint64_t seed);

/* One summand each; the tensor's data as the file has it. */
uint64_t hn_checksum_tensor(const hn_file_tensor *tensor);
uint64_t hn_checksum_text(const hn_file_text *text);

/* "F32", "F64", "I64", "BF16", "I8". */
const char *hn_file_dtype_name(hn_dtype dtype);
/* The dtype called `name`, or -1. */
int hn_file_dtype_find(const char *name);

#endif
