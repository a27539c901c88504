/* The native file: a strict subset of safetensors (https://github.com/huggingface/safetensors, format): a little-endian
   u64 header length, a JSON header (at most 100,000,000 bytes), and one gapless little-endian buffer.

   Checksum: the metadata "hypernet_checksum" holds 16 hexadecimal digits, the sum modulo 2^64 of
       XXH64(value, XXH64(key, 0))                            over all other metadata, and
       XXH64(data, XXH64("F32:(2, 3)", XXH64(name, 0)))       over all tensors, with dtype and shape of each,
   (the second argument is the seed; shapes as hn_shape_format and Python write them)
   so that it covers all that the file says, in whatever order another program writes it again. A file with the metadata
   "hypernet_format" must have one; other safetensors files need not.

   In memory all numbers are the machine's own: a big-endian one reverses their bytes when it reads and writes. */
#ifndef HN_FILES_TENSORS_H
#define HN_FILES_TENSORS_H

#include "../base/status.h"
#include "../base/types.h"

typedef struct hn_tensor_file hn_tensor_file;

typedef struct hn_file_tensor {
    const char *name;
    hn_dtype dtype;        /* F32, F64, I64, BF16, I8 */
    hn_shape shape;
    const void *data;      /* 64-byte aligned when read */
    size_t bytes;
} hn_file_tensor;

typedef struct hn_file_text {
    const char *key, *value;   /* UTF-8 */
} hn_file_text;

/* Reads and checks a whole file: header length, JSON, dtypes, shapes, offsets (in bounds, no overlap, no gap), unique
   names, and the checksum. NULL on error (HN_ERROR_OS if it cannot be read, HN_ERROR_VALUE if it is damaged or no such
   file). Reading and writing can be cancelled (base/cancel.h). */
hn_tensor_file *hn_tensor_file_read(const char *path, hn_error *error);
void hn_tensor_file_free(hn_tensor_file *file);

/* Tensors, in the order of the buffer. */
int64_t hn_tensor_file_count(const hn_tensor_file *file);
const hn_file_tensor *hn_tensor_file_at(const hn_tensor_file *file, int64_t index);      /* NULL out of range */
const hn_file_tensor *hn_tensor_file_find(const hn_tensor_file *file, const char *name); /* NULL if there is none */
/* The metadata value for `key`, NULL if there is none. */
const char *hn_tensor_file_text(const hn_tensor_file *file, const char *key);
int64_t hn_tensor_file_text_count(const hn_tensor_file *file);
const hn_file_text *hn_tensor_file_text_at(const hn_tensor_file *file, int64_t index);

/* Writes a file atomically: into a temporary file beside `path`, flushed to disk, then renamed over it. On any error
   the old file is untouched and the temporary one removed (but see hn_file_writer_commit for a directory that cannot be
   flushed). Adds "hypernet_checksum" to the metadata; one that is given is replaced. */
hn_status hn_tensor_file_write(const char *path, const hn_file_tensor *tensors, int64_t count,
                               const hn_file_text *texts, int64_t text_count, hn_error *error);

#endif
