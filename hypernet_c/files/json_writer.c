/* The writer: a text that grows. */
#include "json.h"
#include "utf8.h"
#include "../base/memory.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 1024 };

static void append(hn_json_writer *writer, const char *bytes, size_t count)
{
    size_t needed, doubled;
    if (writer->status != HN_OK)
        return;
    if (!hn_size_add(writer->length, count + 1, &needed) || !hn_size_multiply(needed, 2, &doubled)) {
        writer->status = hn_error_set(writer->error, HN_ERROR_MEMORY, "the JSON text is too long");
        return;
    }
    if (needed > writer->capacity) {
        size_t capacity = doubled > FIRST_CAPACITY ? doubled : FIRST_CAPACITY;
        char *grown = hn_memory_allocate(capacity, 1, writer->error);
        if (!grown) {
            writer->status = HN_ERROR_MEMORY;
            return;
        }
        if (writer->length)
            memcpy(grown, writer->text, writer->length);
        hn_memory_free(writer->text);
        writer->text = grown;
        writer->capacity = capacity;
    }
    memcpy(writer->text + writer->length, bytes, count);
    writer->length += count;
    writer->text[writer->length] = 0;
}

void hn_json_write_raw(hn_json_writer *writer, const char *characters)
{
    append(writer, characters, strlen(characters));
}

/* A character that must be escaped; the short forms where there are any. */
static void escape_append(hn_json_writer *writer, char character)
{
    static const char characters[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const char *found = strchr(characters, character);
    char escape[8];
    if (found)
        (void)snprintf(escape, sizeof escape, "\\%c", names[found - characters]);
    else
        (void)snprintf(escape, sizeof escape, "\\u%04x", (unsigned char)character);
    hn_json_write_raw(writer, escape);
}

void hn_json_write_string(hn_json_writer *writer, const char *text)
{
    size_t length = strlen(text);
    append(writer, "\"", 1);
    for (size_t i = 0, size; i < length; i += size) {
        unsigned char c = (unsigned char)text[i];
        size = hn_utf8_size(text + i, length - i);
        if (size == 0) {
            if (writer->status == HN_OK)
                writer->status = hn_error_set(writer->error, HN_ERROR_VALUE,
                                              "text to be saved must be UTF-8; byte %zu of \"%.100s\" is not", i, text);
            return;
        }
        if (c < 0x20 || c == '"' || c == '\\')
            escape_append(writer, text[i]);
        else
            append(writer, text + i, size);
    }
    append(writer, "\"", 1);
}

void hn_json_write_integer(hn_json_writer *writer, int64_t integer)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%" PRId64, integer);
    hn_json_write_raw(writer, text);
}

/* The shortest text that reads back as the same bits (17 digits always do), with a point or exponent, so that -0.0
   stays what it is. printf writes the point of the user's locale, which may be another character, of several bytes. */
void hn_json_write_number(hn_json_writer *writer, double number)
{
    static const char ours[] = "+-0123456789e";
    char text[64];
    int digits = 15;
    do
        (void)snprintf(text, sizeof text, "%.*g", digits, number);
    while (digits++ < 17 && strtod(text, NULL) != number);
    size_t before = strspn(text, ours), point = strcspn(text + before, ours);
    append(writer, text, before);
    if (point > 0)
        append(writer, ".", 1);
    else if (!strchr(text, 'e'))
        append(writer, ".0", 2);
    hn_json_write_raw(writer, text + before + point);
}

void hn_json_write_shape(hn_json_writer *writer, const hn_shape *shape)
{
    append(writer, "[", 1);
    for (int32_t i = 0; i < shape->rank; i++) {
        if (i)
            append(writer, ", ", 2);
        hn_json_write_integer(writer, shape->dims[i]);
    }
    append(writer, "]", 1);
}

char *hn_json_writer_finish(hn_json_writer *writer)
{
    char *text = writer->text;
    writer->text = NULL;
    if (writer->status == HN_OK)
        return text;
    hn_memory_free(text);
    return NULL;
}
