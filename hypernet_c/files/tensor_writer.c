/* Writing: everything is checked and the header made before the first byte goes to the disk. */
#include "byte_order.h"
#include "checksum.h"
#include "json.h"
#include "../base/file.h"
#include "../base/memory.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hn_status tensor_check(const hn_file_tensor *tensor, hn_error *error)
{
    char text[256];
    size_t bytes;
    const char *name = tensor->name;
    if (!name || strcmp(name, FILE_METADATA) == 0)
        return hn_error_set(error, HN_ERROR_VALUE, "a tensor cannot be called %s", name ? name : "NULL");
    if ((int)tensor->dtype < HN_FLOAT32 || tensor->dtype > HN_INT8)
        return hn_error_set(error, HN_ERROR_TYPE, "tensor \"%.200s\" must be of float32, float64, int64, bfloat16 or "
                            "int8", name);
    if (tensor->shape.rank < 0 || tensor->shape.rank > HN_MAX_RANK)
        return hn_error_set(error, HN_ERROR_VALUE, "tensor \"%.200s\" has %d axes, at most %d are possible", name,
                            tensor->shape.rank, HN_MAX_RANK);
    int64_t size = hn_shape_size(&tensor->shape);
    if (size < 0 || !hn_size_multiply((size_t)size, hn_dtype_size(tensor->dtype), &bytes) || bytes != tensor->bytes ||
        (bytes > 0 && !tensor->data))
        return hn_error_set(error, HN_ERROR_VALUE, "tensor \"%.200s\" of shape %s cannot have %zu bytes%s", name,
                            hn_shape_format(&tensor->shape, text, sizeof text), tensor->bytes,
                            tensor->data ? "" : " at NULL");
    return HN_OK;
}

static int texts_compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts `names` and refuses one that is there twice. */
static hn_status names_check(const char **names, int64_t count, const char *what, hn_error *error)
{
    qsort(names, (size_t)count, sizeof *names, texts_compare);
    for (int64_t i = 1; i < count; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            return hn_error_set(error, HN_ERROR_VALUE, "two %s are called \"%.200s\"", what, names[i]);
    return HN_OK;
}

static hn_status contents_check(const hn_file_tensor *tensors, int64_t count, const hn_file_text *texts,
                                int64_t text_count, hn_error *error)
{
    if (count < 0 || text_count < 0)
        return hn_error_set(error, HN_ERROR_VALUE, "a file cannot have %" PRId64 " tensors and %" PRId64 " texts",
                            count, text_count);
    for (int64_t i = 0; i < count; i++) {
        hn_status status = tensor_check(&tensors[i], error);
        if (status != HN_OK)
            return status;
    }
    for (int64_t i = 0; i < text_count; i++)
        if (!texts[i].key || !texts[i].value)
            return hn_error_set(error, HN_ERROR_VALUE, "metadata %" PRId64 " has no key or no value", i);
    const char **names = hn_memory_allocate((size_t)(count > text_count ? count : text_count), sizeof *names, error);
    if (!names)
        return HN_ERROR_MEMORY;
    for (int64_t i = 0; i < count; i++)
        names[i] = tensors[i].name;
    hn_status status = names_check(names, count, "tensors", error);
    for (int64_t i = 0; i < text_count; i++)
        names[i] = texts[i].key;
    if (status == HN_OK)
        status = names_check(names, text_count, "texts", error);
    hn_memory_free(names);
    return status;
}

/* {"key": "value", ..., "hypernet_checksum": "..."} */
static void metadata_write(hn_json_writer *writer, const hn_file_tensor *tensors, int64_t count,
                           const hn_file_text *texts, int64_t text_count)
{
    char checksum[FILE_CHECKSUM_DIGITS + 1];
    uint64_t sum = 0;
    hn_json_write_raw(writer, "{");
    for (int64_t i = 0; i < text_count; i++) {
        if (strcmp(texts[i].key, FILE_CHECKSUM) == 0)
            continue;
        sum += hn_checksum_text(&texts[i]);
        hn_json_write_string(writer, texts[i].key);
        hn_json_write_raw(writer, ":");
        hn_json_write_string(writer, texts[i].value);
        hn_json_write_raw(writer, ",");
    }
    for (int64_t i = 0; i < count; i++)
        sum += hn_checksum_tensor(&tensors[i]);
    (void)snprintf(checksum, sizeof checksum, "%016" PRIx64, sum);
    hn_json_write_string(writer, FILE_CHECKSUM);
    hn_json_write_raw(writer, ":");
    hn_json_write_string(writer, checksum);
    hn_json_write_raw(writer, "}");
}

/* Spaces, so that the buffer starts at a multiple of 64 bytes in the file. */
static void header_pad(hn_json_writer *writer)
{
    while (writer->status == HN_OK && (sizeof(uint64_t) + writer->length) % HN_ALIGNMENT != 0)
        hn_json_write_raw(writer, " ");
}

/* The header's text; NULL on error. */
static char *header_make(const hn_file_tensor *tensors, int64_t count, const hn_file_text *texts, int64_t text_count,
                         uint64_t *length, hn_error *error)
{
    hn_json_writer writer = {.error = error};
    size_t place = 0;
    hn_json_write_raw(&writer, "{\"" FILE_METADATA "\":");
    metadata_write(&writer, tensors, count, texts, text_count);
    for (int64_t i = 0; i < count; i++) {
        hn_shape range = {2, {(int64_t)place, 0}};
        if (!hn_size_add(place, tensors[i].bytes, &place) || place > INT64_MAX) {
            writer.status = hn_error_set(error, HN_ERROR_VALUE, "the tensors are too large for one file");
            break;
        }
        range.dims[1] = (int64_t)place;
        hn_json_write_raw(&writer, ",");
        hn_json_write_string(&writer, tensors[i].name);
        hn_json_write_raw(&writer, ":{\"dtype\":");
        hn_json_write_string(&writer, hn_file_dtype_name(tensors[i].dtype));
        hn_json_write_raw(&writer, ",\"shape\":");
        hn_json_write_shape(&writer, &tensors[i].shape);
        hn_json_write_raw(&writer, ",\"data_offsets\":");
        hn_json_write_shape(&writer, &range);
        hn_json_write_raw(&writer, "}");
    }
    hn_json_write_raw(&writer, "}");
    header_pad(&writer);
    if (writer.status == HN_OK && writer.length > FILE_MAX_HEADER)
        writer.status = hn_error_set(error, HN_ERROR_VALUE, "names and metadata take %zu bytes, the format allows %d",
                                     writer.length, FILE_MAX_HEADER);
    *length = writer.length;
    return hn_json_writer_finish(&writer);
}

static hn_status file_write(const char *path, const char *header, uint64_t length, const hn_file_tensor *tensors,
                            int64_t count, hn_error *error)
{
    uint64_t declared = file_u64(length);
    hn_file_writer *writer = hn_file_writer_create(path, error);
    if (!writer)
        return error->status;
    hn_status status = hn_file_writer_write(writer, &declared, sizeof declared, error);
    if (status == HN_OK)
        status = hn_file_writer_write(writer, header, (size_t)length, error);
    for (int64_t i = 0; i < count && status == HN_OK; i++)
        status = hn_file_writer_write(writer, tensors[i].data, tensors[i].bytes, error);
    if (status == HN_OK)
        status = hn_file_writer_commit(writer, error);
    hn_file_writer_free(writer);
    return status;
}

/* Tensors whose data is as the file shall have it. */
static hn_status contents_write(const char *path, const hn_file_tensor *tensors, int64_t count,
                                const hn_file_text *texts, int64_t text_count, hn_error *error)
{
    uint64_t length = 0;
    char *header = header_make(tensors, count, texts, text_count, &length, error);
    if (!header)
        return error->status;
    hn_status status = file_write(path, header, length, tensors, count, error);
    hn_memory_free(header);
    return status;
}

hn_status hn_tensor_file_write(const char *path, const hn_file_tensor *tensors, int64_t count,
                               const hn_file_text *texts, int64_t text_count, hn_error *error)
{
    hn_error ignored;
    error = error ? error : &ignored;
    hn_status status = contents_check(tensors, count, texts, text_count, error);
    if (status != HN_OK || FILE_ORDER_IS_NATIVE)
        return status == HN_OK ? contents_write(path, tensors, count, texts, text_count, error) : status;
    hn_file_tensor *reversed = hn_tensors_reverse(tensors, count, error);
    if (!reversed)
        return error->status;
    status = contents_write(path, reversed, count, texts, text_count, error);
    hn_memory_free(reversed);
    return status;
}
