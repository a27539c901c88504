/* XXH64: four running sums over blocks of 32 bytes, merged, then the rest, then mixed. Any change of one block changes
   its running sum, because every step can be undone. */
#include "byte_order.h"
#include "checksum.h"
#include "../base/cancel.h"
#include <stdio.h>
#include <string.h>

static const uint64_t prime1 = 0x9E3779B185EBCA87u, prime2 = 0xC2B2AE3D27D4EB4Fu, prime3 = 0x165667B19E3779F9u,
                      prime4 = 0x85EBCA77C2B2AE63u, prime5 = 0x27D4EB2F165667C5u;

enum { ASK_BLOCKS = 1 << 18 }; /* 8 MiB */

static uint64_t rotate(uint64_t word, int bits)
{
    return word << bits | word >> (64 - bits);
}

static uint64_t word_at(const unsigned char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return file_u64(word);
}

static uint64_t take(uint64_t sum, uint64_t word)
{
    return rotate(sum + word * prime2, 31) * prime1;
}

/* The last bytes, fewer than 32, and the mixing. */
static uint64_t finish(uint64_t hash, const unsigned char *place, size_t rest)
{
    for (; rest >= 8; rest -= 8, place += 8)
        hash = rotate(hash ^ take(0, word_at(place)), 27) * prime1 + prime4;
    if (rest >= 4) {
        uint32_t half;
        memcpy(&half, place, sizeof half);
        hash = rotate(hash ^ file_u32(half) * prime1, 23) * prime2 + prime3;
        rest -= 4;
        place += 4;
    }
    for (; rest > 0; rest--, place++)
        hash = rotate(hash ^ *place * prime5, 11) * prime1;
    hash = (hash ^ hash >> 33) * prime2;
    hash = (hash ^ hash >> 29) * prime3;
    return hash ^ hash >> 32;
}

uint64_t hn_checksum_bytes(const void *data, size_t bytes, uint64_t seed)
{
    const unsigned char *place = data;
    uint64_t sums[4] = {seed + prime1 + prime2, seed + prime2, seed, seed - prime1}, hash = seed + prime5;
    size_t blocks = bytes / 32;
    for (size_t block = 0; block < blocks; block++, place += 32) {
        if (block % ASK_BLOCKS == ASK_BLOCKS - 1 && hn_cancel_ask())
            return 0;
        for (int i = 0; i < 4; i++)
            sums[i] = take(sums[i], word_at(place + 8 * (size_t)i));
    }
    if (blocks > 0) {
        hash = rotate(sums[0], 1) + rotate(sums[1], 7) + rotate(sums[2], 12) + rotate(sums[3], 18);
        for (int i = 0; i < 4; i++)
            hash = (hash ^ take(0, sums[i])) * prime1 + prime4;
    }
    return finish(hash + bytes, place, bytes % 32);
}

uint64_t hn_checksum_text(const hn_file_text *text)
{
    return hn_checksum_bytes(text->value, strlen(text->value), hn_checksum_bytes(text->key, strlen(text->key), 0));
}

uint64_t hn_checksum_tensor(const hn_file_tensor *tensor)
{
    char shape[32 * HN_MAX_RANK], kind[sizeof shape + 8];
    hn_shape_format(&tensor->shape, shape, sizeof shape);
    int length = snprintf(kind, sizeof kind, "%s:%s", hn_file_dtype_name(tensor->dtype), shape);
    uint64_t name = hn_checksum_bytes(tensor->name, strlen(tensor->name), 0);
    return hn_checksum_bytes(tensor->data, tensor->bytes, hn_checksum_bytes(kind, (size_t)length, name));
}

static const char *const dtype_names[] = {[HN_FLOAT32] = "F32", [HN_FLOAT64] = "F64", [HN_INT64] = "I64",
                                          [HN_BFLOAT16] = "BF16", [HN_INT8] = "I8"};

const char *hn_file_dtype_name(hn_dtype dtype)
{
    return dtype_names[dtype];
}

int hn_file_dtype_find(const char *name)
{
    for (int dtype = HN_FLOAT32; dtype <= HN_INT8; dtype++)
        if (strcmp(dtype_names[dtype], name) == 0)
            return dtype;
    return -1;
}
