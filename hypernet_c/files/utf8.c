/* UTF-8 (RFC 3629). */
#include "utf8.h"

size_t hn_utf8_size(const char *text, size_t length)
{
    static const int32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *)text;
    if (length == 0)
        return 0;
    if (bytes[0] < 0x80)
        return 1;
    size_t size = bytes[0] >> 5 == 6 ? 2 : bytes[0] >> 4 == 14 ? 3 : bytes[0] >> 3 == 30 ? 4 : 0;
    if (size == 0 || size > length)
        return 0;
    int32_t code = bytes[0] & (0x7F >> size);
    for (size_t i = 1; i < size; i++) {
        if (bytes[i] >> 6 != 2)
            return 0;
        code = code << 6 | (bytes[i] & 0x3F);
    }
    return code >= least[size] && code <= 0x10FFFF && !(code >= 0xD800 && code <= 0xDFFF) ? size : 0;
}

size_t hn_utf8_encode(int32_t code, char *text)
{
    static const int32_t limits[] = {0x80, 0x800, 0x10000};
    static const unsigned char marks[] = {0, 0xC0, 0xE0, 0xF0};
    size_t size = 1;
    while (size < 4 && code >= limits[size - 1])
        size++;
    for (size_t i = size - 1; i > 0; i--) {
        text[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    text[0] = (char)(marks[size - 1] | code);
    return size;
}
