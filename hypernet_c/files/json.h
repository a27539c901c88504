/* JSON, strictly (RFC 8259): UTF-8 and escapes are checked, keys are unique, nesting is limited, integers are exact.
   Refused besides: U+0000 in strings (names and texts are C strings) and numbers beyond double. */
#ifndef HN_FILES_JSON_H
#define HN_FILES_JSON_H

#include "../base/status.h"
#include "../base/types.h"

enum { JSON_MAX_DEPTH = 64 };

typedef enum hn_json_type {
    JSON_NULL, JSON_FALSE, JSON_TRUE,
    JSON_INTEGER, /* neither point nor exponent, and fits int64 */
    JSON_NUMBER,  /* every other number */
    JSON_STRING, JSON_ARRAY, JSON_OBJECT
} hn_json_type;

/* A value, and where it stands: in an array or object its next sibling, in an object its key. */
typedef struct hn_json_value {
    hn_json_type type;
    int64_t count;                          /* elements of an array or object, bytes of a string */
    const char *key;                        /* NULL outside objects */
    const struct hn_json_value *next;       /* NULL at the end */
    union {
        int64_t integer;
        double number;
        const char *text;                   /* UTF-8, with a 0 at the end */
        const struct hn_json_value *first;  /* of an array or object; NULL if it is empty */
    };
} hn_json_value;

/* The tree of `text` (`length` bytes, no 0 needed), in one block of memory that starts with the value returned, to be
   freed with hn_memory_free. `what` names the text in messages. NULL with HN_ERROR_VALUE on anything that is not
   strictly JSON. */
hn_json_value *hn_json_parse(const char *text, size_t length, const char *what, hn_error *error);

/* The member of an object called `key`; NULL if there is none (or `object` is no object). Linear in the members. */
const hn_json_value *hn_json_member(const hn_json_value *object, const char *key);

/* "an object", "a string", ... for messages. */
const char *hn_json_type_name(hn_json_type type);

/* An array of integers as a shape: at most HN_MAX_RANK, each at least `least`. 0 if it is anything else. */
int hn_json_shape(const hn_json_value *value, int64_t least, hn_shape *shape);

/* Text being written. An error (memory, text that is not UTF-8) is remembered, and all that follows does nothing. */
typedef struct hn_json_writer {
    char *text;
    size_t length, capacity;
    hn_status status;
    hn_error *error;
} hn_json_writer;

/* Appends characters as they are. */
void hn_json_write_raw(hn_json_writer *writer, const char *characters);
/* Appends a string in quotes, escaped. */
void hn_json_write_string(hn_json_writer *writer, const char *text);
void hn_json_write_integer(hn_json_writer *writer, int64_t integer);
/* A finite number, so that reading gives the same bits. */
void hn_json_write_number(hn_json_writer *writer, double number);
/* "[1, 2, 3]" */
void hn_json_write_shape(hn_json_writer *writer, const hn_shape *shape);
/* The finished text, which the caller frees with hn_memory_free; NULL if something failed. */
char *hn_json_writer_finish(hn_json_writer *writer);

#endif
