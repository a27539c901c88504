/* Reading: everything that the header says is checked before the first tensor is read. */
#include "byte_order.h"
#include "checksum.h"
#include "json.h"
#include "../base/cancel.h"
#include "../base/file.h"
#include "../base/memory.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tensor and where it stands in the buffer. */
typedef struct placed_tensor {
    hn_file_tensor tensor;
    int64_t begin, end;
} placed_tensor;

struct hn_tensor_file {
    hn_json_value *header;             /* names and texts lie in it */
    placed_tensor *tensors;         /* in the order of the buffer */
    const placed_tensor **by_name;
    hn_file_text *texts;
    int64_t count, text_count;
    char *data;
};

/* One reading. */
typedef struct reading {
    const char *path;
    hn_file *source;
    uint64_t bytes;        /* of the buffer */
    hn_tensor_file *file;
    hn_error *error;
} reading;

__attribute__((format(printf, 2, 3))) static hn_status damaged(const reading *r, const char *format, ...)
{
    char reason[600];
    __builtin_va_list arguments;
    __builtin_va_start(arguments, format);
    (void)vsnprintf(reason, sizeof reason, format, arguments);
    __builtin_va_end(arguments);
    return hn_error_set(r->error, HN_ERROR_VALUE, "'%s' is damaged or no safetensors file: %s", r->path, reason);
}

/* ---- the header ---- */

/* Reads the header's text into allocated memory; NULL on error. */
static char *header_read(reading *r, size_t *length)
{
    uint64_t declared;
    if (r->bytes < sizeof declared) {
        damaged(r, "it has %" PRIu64 " bytes", r->bytes);
        return NULL;
    }
    if (hn_file_read(r->source, &declared, sizeof declared, r->error) != HN_OK)
        return NULL;
    declared = file_u64(declared);
    r->bytes -= sizeof declared;
    if (declared > FILE_MAX_HEADER || declared > r->bytes) {
        damaged(r, "a header of %" PRIu64 " bytes is declared, %s", declared,
                declared > FILE_MAX_HEADER ? "the format allows 100000000" : "the file is shorter");
        return NULL;
    }
    r->bytes -= declared;
    *length = (size_t)declared;
    char *text = hn_memory_allocate(*length, 1, r->error);
    if (text && hn_file_read(r->source, text, *length, r->error) == HN_OK)
        return text;
    hn_memory_free(text);
    return NULL;
}

/* Room for as many tensors and texts as the header has. */
static hn_status tables_allocate(reading *r)
{
    hn_tensor_file *file = r->file;
    const hn_json_value *metadata = hn_json_member(file->header, FILE_METADATA);
    if (metadata && metadata->type != JSON_OBJECT)
        return damaged(r, FILE_METADATA " is %s, not an object", hn_json_type_name(metadata->type));
    file->count = file->header->count - (metadata != NULL);
    file->text_count = metadata ? metadata->count : 0;
    size_t tensors = (size_t)file->count, texts = (size_t)file->text_count;
    if (!(file->tensors = hn_memory_allocate(tensors, sizeof *file->tensors, r->error)) ||
        !(file->by_name = hn_memory_allocate(tensors, sizeof *file->by_name, r->error)) ||
        !(file->texts = hn_memory_allocate(texts, sizeof *file->texts, r->error)))
        return HN_ERROR_MEMORY;
    return HN_OK;
}

static hn_status texts_take(reading *r)
{
    const hn_json_value *metadata = hn_json_member(r->file->header, FILE_METADATA);
    hn_file_text *text = r->file->texts;
    for (const hn_json_value *member = metadata ? metadata->first : NULL; member; member = member->next) {
        if (member->type != JSON_STRING)
            return damaged(r, "the metadata \"%.200s\" is %s, not a string", member->key,
                           hn_json_type_name(member->type));
        *text++ = (hn_file_text){member->key, member->text};
    }
    return HN_OK;
}

/* {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]} */
static hn_status tensor_take(reading *r, const hn_json_value *member, placed_tensor *placed)
{
    const hn_json_value *dtype = hn_json_member(member, "dtype"), *shape = hn_json_member(member, "shape"),
                     *offsets = hn_json_member(member, "data_offsets");
    hn_file_tensor *tensor = &placed->tensor;
    hn_shape range;
    size_t bytes;
    tensor->name = member->key;
    if (member->type != JSON_OBJECT || member->count != 3 || !dtype || !shape || !offsets)
        return damaged(r, "tensor \"%.200s\" must have dtype, shape and data_offsets, and nothing else", tensor->name);
    if (dtype->type != JSON_STRING || hn_file_dtype_find(dtype->text) < 0)
        return damaged(r, "tensor \"%.200s\" must be of dtype F32, F64, I64, BF16 or I8, received %.20s",
                       tensor->name, dtype->type == JSON_STRING ? dtype->text : hn_json_type_name(dtype->type));
    if (!hn_json_shape(shape, 0, &tensor->shape))
        return damaged(r, "tensor \"%.200s\" must have a shape of at most %d numbers from 0 up", tensor->name,
                       HN_MAX_RANK);
    if (!hn_json_shape(offsets, 0, &range) || range.rank != 2 || range.dims[1] < range.dims[0] ||
        (uint64_t)range.dims[1] > r->bytes)
        return damaged(r, "tensor \"%.200s\" does not lie in the buffer of %" PRIu64 " bytes", tensor->name, r->bytes);
    tensor->dtype = (hn_dtype)hn_file_dtype_find(dtype->text);
    placed->begin = range.dims[0];
    placed->end = range.dims[1];
    tensor->bytes = (size_t)(placed->end - placed->begin);
    int64_t size = hn_shape_size(&tensor->shape);
    if (size < 0 || !hn_size_multiply((size_t)size, hn_dtype_size(tensor->dtype), &bytes) || bytes != tensor->bytes) {
        char text[256];
        return damaged(r, "tensor \"%.200s\" of dtype %s and shape %s cannot have %zu bytes", tensor->name, dtype->text,
                       hn_shape_format(&tensor->shape, text, sizeof text), tensor->bytes);
    }
    return HN_OK;
}

static int places_compare(const void *a, const void *b)
{
    const placed_tensor *left = a, *right = b;
    if (left->begin != right->begin)
        return left->begin < right->begin ? -1 : 1;
    if (left->end != right->end)
        return left->end < right->end ? -1 : 1;
    return strcmp(left->tensor.name, right->tensor.name);
}

static int names_compare(const void *a, const void *b)
{
    return strcmp((*(const placed_tensor *const *)a)->tensor.name, (*(const placed_tensor *const *)b)->tensor.name);
}

/* All tensors, sorted by their places, which must follow each other without gap or overlap and fill the buffer. */
static hn_status tensors_take(reading *r)
{
    hn_tensor_file *file = r->file;
    placed_tensor *placed = file->tensors;
    for (const hn_json_value *member = file->header->first; member; member = member->next)
        if (strcmp(member->key, FILE_METADATA) != 0) {
            hn_status status = tensor_take(r, member, placed++);
            if (status != HN_OK)
                return status;
        }
    qsort(file->tensors, (size_t)file->count, sizeof *file->tensors, places_compare);
    int64_t place = 0;
    for (int64_t i = 0; i < file->count; i++) {
        if (file->tensors[i].begin != place)
            return damaged(r, "tensor \"%.200s\" begins at byte %" PRId64 " of the buffer, the one before it ends at %"
                           PRId64, file->tensors[i].tensor.name, file->tensors[i].begin, place);
        place = file->tensors[i].end;
        file->by_name[i] = &file->tensors[i];
    }
    if ((uint64_t)place != r->bytes)
        return damaged(r, "the buffer has %" PRIu64 " bytes, the tensors %" PRId64, r->bytes, place);
    qsort(file->by_name, (size_t)file->count, sizeof *file->by_name, names_compare);
    return HN_OK;
}

static hn_status header_take(reading *r)
{
    size_t length = 0;
    char what[600];
    char *text = header_read(r, &length);
    if (!text)
        return r->error->status;
    (void)snprintf(what, sizeof what, "the header of '%s'", r->path);
    r->file->header = hn_json_parse(text, length, what, r->error);
    int begins_well = r->file->header && text[0] == '{';
    hn_memory_free(text);
    if (!r->file->header)
        return r->error->status;
    if (!begins_well)
        return damaged(r, "the header does not begin with {");
    hn_status status = tables_allocate(r);
    if (status == HN_OK)
        status = texts_take(r);
    return status == HN_OK ? tensors_take(r) : status;
}

/* ---- the buffer ---- */

static size_t aligned(size_t bytes)
{
    return (bytes + HN_ALIGNMENT - 1) / HN_ALIGNMENT * HN_ALIGNMENT;
}

/* Every tensor into memory, each aligned. The sum cannot overflow: sizes of file and header bound it. */
static hn_status data_read(reading *r)
{
    hn_tensor_file *file = r->file;
    size_t total = 0;
    for (int64_t i = 0; i < file->count; i++)
        total += aligned(file->tensors[i].tensor.bytes);
    char *place = file->data = hn_memory_allocate(total, 1, r->error);
    if (!place)
        return HN_ERROR_MEMORY;
    for (int64_t i = 0; i < file->count; i++) {
        hn_file_tensor *tensor = &file->tensors[i].tensor;
        hn_status status = hn_file_read(r->source, place, tensor->bytes, r->error);
        if (status != HN_OK)
            return status;
        tensor->data = place;
        place += aligned(tensor->bytes);
    }
    return HN_OK;
}

static hn_status checksum_check(const reading *r)
{
    const hn_tensor_file *file = r->file;
    const char *stored = hn_tensor_file_text(file, FILE_CHECKSUM);
    char computed[FILE_CHECKSUM_DIGITS + 1];
    uint64_t sum = 0;
    if (!stored)
        return hn_tensor_file_text(file, FILE_FORMAT) ? damaged(r, "it has no checksum") : HN_OK;
    for (int64_t i = 0; i < file->count; i++)
        sum += hn_checksum_tensor(&file->tensors[i].tensor);
    for (int64_t i = 0; i < file->text_count; i++)
        if (strcmp(file->texts[i].key, FILE_CHECKSUM) != 0)
            sum += hn_checksum_text(&file->texts[i]);
    if (hn_cancel_ask())
        return hn_error_set(r->error, HN_CANCELLED, "reading '%s' was cancelled", r->path);
    (void)snprintf(computed, sizeof computed, "%016" PRIx64, sum);
    if (strcmp(computed, stored) != 0)
        return damaged(r, "its checksum is %s, the stored one %.40s", computed, stored);
    return HN_OK;
}

/* After the checksum, which is of the file's bytes. */
static void byte_order_mend(const hn_tensor_file *file)
{
    for (int64_t i = 0; i < file->count && !FILE_ORDER_IS_NATIVE; i++) {
        hn_file_tensor *tensor = &file->tensors[i].tensor;
        hn_bytes_reverse(tensor->data, (void *)tensor->data, tensor->bytes, hn_dtype_size(tensor->dtype));
    }
}

hn_tensor_file *hn_tensor_file_read(const char *path, hn_error *error)
{
    hn_error ignored;
    reading r = {.path = path, .error = error ? error : &ignored};
    r.file = hn_memory_allocate(1, sizeof *r.file, r.error);
    if (!r.file)
        return NULL;
    r.source = hn_file_open(path, &r.bytes, r.error);
    int good = r.source && header_take(&r) == HN_OK && data_read(&r) == HN_OK && checksum_check(&r) == HN_OK;
    hn_file_close(r.source);
    if (!good) {
        hn_tensor_file_free(r.file);
        return NULL;
    }
    byte_order_mend(r.file);
    return r.file;
}

void hn_tensor_file_free(hn_tensor_file *file)
{
    if (!file)
        return;
    hn_memory_free(file->data);
    hn_memory_free(file->texts);
    hn_memory_free(file->by_name);
    hn_memory_free(file->tensors);
    hn_memory_free(file->header);
    hn_memory_free(file);
}

/* ---- asking ---- */

int64_t hn_tensor_file_count(const hn_tensor_file *file)
{
    return file->count;
}

const hn_file_tensor *hn_tensor_file_at(const hn_tensor_file *file, int64_t index)
{
    return index >= 0 && index < file->count ? &file->tensors[index].tensor : NULL;
}

static int name_compare(const void *name, const void *placed)
{
    return strcmp(name, (*(const placed_tensor *const *)placed)->tensor.name);
}

const hn_file_tensor *hn_tensor_file_find(const hn_tensor_file *file, const char *name)
{
    const placed_tensor *const *found =
        bsearch(name, file->by_name, (size_t)file->count, sizeof *file->by_name, name_compare);
    return found ? &(*found)->tensor : NULL;
}

const char *hn_tensor_file_text(const hn_tensor_file *file, const char *key)
{
    for (int64_t i = 0; i < file->text_count; i++)
        if (strcmp(file->texts[i].key, key) == 0)
            return file->texts[i].value;
    return NULL;
}

int64_t hn_tensor_file_text_count(const hn_tensor_file *file)
{
    return file->text_count;
}

const hn_file_text *hn_tensor_file_text_at(const hn_tensor_file *file, int64_t index)
{
    return index >= 0 && index < file->text_count ? &file->texts[index] : NULL;
}
