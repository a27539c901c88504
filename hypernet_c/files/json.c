/* The parser: one pass to bound the number of values, one block for all of them, one pass to fill it. */
#include "json.h"
#include "utf8.h"
#include "../base/memory.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_SIZE = 512, POINT_SIZE = 16 };

typedef struct parser {
    const char *start, *place, *end;
    hn_json_value *values;       /* the next free one */
    char *texts;              /* where the next string goes; decoded text is never longer than what stands there */
    const hn_json_value **keys;  /* room for the members of the largest object, for finding duplicates */
    int depth;
    const char *what;
    hn_error *error;
} parser;

static int value_parse(parser *p, hn_json_value *value);

/* Always 0, so that a check reads `return refuse(...)`. */
static int refuse(parser *p, const char *reason)
{
    hn_error_set(p->error, HN_ERROR_VALUE, "%s is damaged or no JSON: %s at byte %zu", p->what, reason,
                 (size_t)(p->place - p->start));
    return 0;
}

static void space_skip(parser *p)
{
    while (p->place < p->end && (*p->place == ' ' || *p->place == '\n' || *p->place == '\r' || *p->place == '\t'))
        p->place++;
}

/* Skips space; 1 and past it if `character` comes next. */
static int take(parser *p, char character)
{
    space_skip(p);
    if (p->place == p->end || *p->place != character)
        return 0;
    p->place++;
    return 1;
}

/* ---- strings ---- */

/* The four hexadecimal digits of \uXXXX; -1 if they are none. */
static int32_t hex_take(parser *p)
{
    int32_t code = 0;
    if (p->end - p->place < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = *p->place++;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 :
                    c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0)
            return -1;
        code = 16 * code + digit;
    }
    return code;
}

/* Behind "\u": a character, or a pair of surrogates. */
static int unicode_take(parser *p)
{
    int32_t code = hex_take(p);
    if (code >= 0xD800 && code <= 0xDBFF && p->end - p->place >= 2 && p->place[0] == '\\' && p->place[1] == 'u') {
        p->place += 2;
        int32_t low = hex_take(p);
        code = low >= 0xDC00 && low <= 0xDFFF ? 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00) : -1;
    }
    if (code < 0 || (code >= 0xD800 && code <= 0xDFFF))
        return refuse(p, "an invalid \\u escape");
    if (code == 0)
        return refuse(p, "U+0000 in a string");
    p->texts += hn_utf8_encode(code, p->texts);
    return 1;
}

/* Behind a backslash. */
static int escape_take(parser *p)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char name = '\0';
    if (p->place < p->end)
        name = *p->place++;
    const char *found = name ? strchr(names, name) : NULL;
    if (name == 'u')
        return unicode_take(p);
    if (!found)
        return refuse(p, "an invalid escape");
    *p->texts++ = meanings[found - names];
    return 1;
}

/* A string from its opening quote on: `*text` is decoded, `*count` its bytes. */
static int string_parse(parser *p, const char **text, int64_t *count)
{
    if (!take(p, '"'))
        return refuse(p, "expected a string");
    *text = p->texts;
    while (p->place < p->end && *p->place != '"') {
        if (*p->place == '\\') {
            p->place++;
            if (!escape_take(p))
                return 0;
            continue;
        }
        size_t size = hn_utf8_size(p->place, (size_t)(p->end - p->place));
        if (size == 0)
            return refuse(p, "text that is not UTF-8");
        if ((unsigned char)*p->place < 0x20)
            return refuse(p, "a control character in a string");
        memcpy(p->texts, p->place, size);
        p->texts += size;
        p->place += size;
    }
    if (p->place == p->end)
        return refuse(p, "a string without an end");
    p->place++;
    *count = p->texts - *text;
    *p->texts++ = 0;
    return 1;
}

/* ---- numbers ---- */

static size_t digits_skip(const char **place, const char *end)
{
    const char *first = *place;
    while (*place < end && **place >= '0' && **place <= '9')
        ++*place;
    return (size_t)(*place - first);
}

/* strtod reads the point of the user's locale, which may be another character, of several bytes. */
static double double_read(const char *first, size_t length)
{
    char text[NUMBER_SIZE + POINT_SIZE], half[POINT_SIZE + 3]; /* half: a digit, the point, a digit */
    const char *dot = memchr(first, '.', length);
    size_t before = dot ? (size_t)(dot - first) : length;
    memcpy(text, first, before);
    if (dot) {
        size_t point = (size_t)snprintf(half, sizeof half, "%.1f", 0.5) - 2;
        memcpy(text + before, half + 1, point);
        memcpy(text + before + point, dot + 1, length - before - 1);
        length += point - 1;
    }
    text[length] = 0;
    return strtod(text, NULL);
}

/* `length` characters, digits with or without a minus, as an integer; 0 if it does not fit. */
static int integer_read(const char *first, size_t length, int64_t *integer)
{
    int negative = *first == '-';
    int64_t sum = 0;
    for (size_t i = (size_t)negative; i < length; i++)
        if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_sub_overflow(sum, first[i] - '0', &sum))
            return 0;
    if (!negative && sum == INT64_MIN)
        return 0;
    *integer = negative ? sum : -sum;
    return 1;
}

static int number_parse(parser *p, hn_json_value *value)
{
    const char *first = p->place, *place = first + (*first == '-'), *digits = place;
    int integral = 1;
    size_t count = digits_skip(&place, p->end);
    if (count == 0 || (count > 1 && *digits == '0'))
        return refuse(p, "an invalid value");
    if (place < p->end && *place == '.') {
        place++;
        integral = 0;
        if (digits_skip(&place, p->end) == 0)
            return refuse(p, "an invalid number");
    }
    if (place < p->end && (*place == 'e' || *place == 'E')) {
        place++;
        integral = 0;
        place += place < p->end && (*place == '+' || *place == '-');
        if (digits_skip(&place, p->end) == 0)
            return refuse(p, "an invalid number");
    }
    size_t length = (size_t)(place - first);
    if (length >= NUMBER_SIZE)
        return refuse(p, "a number that is too long");
    value->type = JSON_INTEGER;
    if (!integral || !integer_read(first, length, &value->integer)) {
        value->type = JSON_NUMBER;
        value->number = double_read(first, length);
        if (!isfinite(value->number))
            return refuse(p, "a number that is too large");
    }
    p->place = place;
    return 1;
}

/* ---- arrays, objects, values ---- */

static int keys_compare(const void *a, const void *b)
{
    return strcmp((*(const hn_json_value *const *)a)->key, (*(const hn_json_value *const *)b)->key);
}

static int keys_check(parser *p, const hn_json_value *object)
{
    int64_t count = 0;
    for (const hn_json_value *member = object->first; member; member = member->next)
        p->keys[count++] = member;
    qsort(p->keys, (size_t)count, sizeof *p->keys, keys_compare);
    for (int64_t i = 1; i < count; i++)
        if (strcmp(p->keys[i - 1]->key, p->keys[i]->key) == 0) {
            hn_error_set(p->error, HN_ERROR_VALUE, "%s has the key \"%.200s\" twice", p->what, p->keys[i]->key);
            return 0;
        }
    return 1;
}

static int element_parse(parser *p, int keyed, hn_json_value *element)
{
    int64_t ignored;
    if (keyed && !string_parse(p, &element->key, &ignored))
        return 0;
    if (keyed && !take(p, ':'))
        return refuse(p, "expected a colon");
    return value_parse(p, element);
}

/* The rest of an array or object behind its bracket. */
static int elements_parse(parser *p, hn_json_value *value)
{
    int object = value->type == JSON_OBJECT;
    const char close = object ? '}' : ']';
    const hn_json_value **last = &value->first;
    if (p->depth == JSON_MAX_DEPTH)
        return refuse(p, "nesting that is too deep");
    if (take(p, close))
        return 1;
    p->depth++;
    do {
        hn_json_value *element = p->values++;
        if (!element_parse(p, object, element))
            return 0;
        *last = element;
        last = &element->next;
        value->count++;
    } while (take(p, ','));
    p->depth--;
    if (!take(p, close))
        return refuse(p, object ? "expected a comma or }" : "expected a comma or ]");
    return !object || keys_check(p, value);
}

static int word_parse(parser *p, const char *word, hn_json_type type, hn_json_value *value)
{
    size_t length = strlen(word);
    if ((size_t)(p->end - p->place) < length || memcmp(p->place, word, length) != 0)
        return refuse(p, "an invalid value");
    p->place += length;
    value->type = type;
    return 1;
}

static int value_parse(parser *p, hn_json_value *value)
{
    space_skip(p);
    switch (p->place < p->end ? *p->place : 0) {
    case '{':
    case '[':
        value->type = *p->place++ == '{' ? JSON_OBJECT : JSON_ARRAY;
        return elements_parse(p, value);
    case '"':
        value->type = JSON_STRING;
        return string_parse(p, &value->text, &value->count);
    case 't':
        return word_parse(p, "true", JSON_TRUE, value);
    case 'f':
        return word_parse(p, "false", JSON_FALSE, value);
    case 'n':
        return word_parse(p, "null", JSON_NULL, value);
    case '-':
    case '0' ... '9':
        return number_parse(p, value);
    default:
        return refuse(p, p->place < p->end ? "an invalid value" : "the text ends too early");
    }
}

hn_json_value *hn_json_parse(const char *text, size_t length, const char *what, hn_error *error)
{
    /* Every value but the first stands behind a comma or an opening bracket. */
    size_t most = 1, bytes, all;
    for (size_t i = 0; i < length; i++)
        most += text[i] == ',' || text[i] == '[' || text[i] == '{';
    if (!hn_size_multiply(most, sizeof(hn_json_value) + sizeof(hn_json_value *), &bytes) ||
        !hn_size_add(bytes, length + 1, &all)) {
        hn_error_set(error, HN_ERROR_MEMORY, "%s is too large", what);
        return NULL;
    }
    hn_json_value *values = hn_memory_allocate(all, 1, error);
    if (!values)
        return NULL;
    const hn_json_value **keys = (const hn_json_value **)(values + most);
    parser p = {.start = text, .place = text, .end = text + length, .values = values + 1,
                .texts = (char *)(keys + most), .keys = keys, .what = what, .error = error};
    if (value_parse(&p, values)) {
        space_skip(&p);
        if (p.place == p.end)
            return values;
        refuse(&p, "something behind the end");
    }
    hn_memory_free(values);
    return NULL;
}

const hn_json_value *hn_json_member(const hn_json_value *object, const char *key)
{
    if (!object || object->type != JSON_OBJECT)
        return NULL;
    for (const hn_json_value *member = object->first; member; member = member->next)
        if (strcmp(member->key, key) == 0)
            return member;
    return NULL;
}

const char *hn_json_type_name(hn_json_type type)
{
    static const char *const names[] = {"null", "false", "true", "an integer", "a number", "a string", "an array",
                                        "an object"};
    return names[type];
}

int hn_json_shape(const hn_json_value *value, int64_t least, hn_shape *shape)
{
    if (!value || value->type != JSON_ARRAY || value->count > HN_MAX_RANK)
        return 0;
    shape->rank = 0;
    for (const hn_json_value *dim = value->first; dim; dim = dim->next) {
        if (dim->type != JSON_INTEGER || dim->integer < least)
            return 0;
        shape->dims[shape->rank++] = dim->integer;
    }
    return 1;
}
