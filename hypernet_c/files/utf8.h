/* UTF-8, strictly: no overlong forms, no surrogates, nothing beyond U+10FFFF. */
#ifndef HN_FILES_UTF8_H
#define HN_FILES_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes (1 to 4) of the character at `text`, of which `length` bytes may be read; 0 if there is no valid one. */
size_t hn_utf8_size(const char *text, size_t length);

/* Writes character `code` (valid, no surrogate) and returns its bytes, 1 to 4. */
size_t hn_utf8_encode(int32_t code, char *text);

#endif
