#include "random.h"

/* Philox 4x32-10: constants and rounds of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. */
static void philox(uint32_t counter[4], uint32_t key0, uint32_t key1)
{
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * counter[0];
        uint64_t b = (uint64_t)0xCD9E8D57u * counter[2];
        uint32_t c1 = counter[1], c3 = counter[3];
        counter[0] = (uint32_t)(b >> 32) ^ c1 ^ key0;
        counter[1] = (uint32_t)b;
        counter[2] = (uint32_t)(a >> 32) ^ c3 ^ key1;
        counter[3] = (uint32_t)a;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

/* Layer and call are mixed into the key by one Philox of their own, so that neighbouring streams share nothing. */
static void stream_key(const hn_random_key *key, uint32_t mixed[4])
{
    mixed[0] = key->layer;
    mixed[1] = key->call;
    mixed[2] = 0x68796e65u;
    mixed[3] = 0;
    philox(mixed, (uint32_t)key->seed, (uint32_t)(key->seed >> 32));
}

void hn_random_uniform(const hn_random_key *key, uint64_t row, int64_t first, int64_t count, float *values)
{
    uint32_t mixed[4], words[4];
    int64_t have = -1;
    stream_key(key, mixed);
    for (int64_t i = 0; i < count; i++) {
        int64_t element = first + i;
        if (element / 4 != have) {
            have = element / 4;
            words[0] = (uint32_t)row;
            words[1] = (uint32_t)(row >> 32);
            words[2] = (uint32_t)have;
            words[3] = 0;
            philox(words, mixed[0], mixed[1]);
        }
        values[i] = (float)(words[element % 4] >> 8) * 0x1p-24f;
    }
}
