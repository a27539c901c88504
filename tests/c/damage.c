/* Damaged copies of a saved model, read by hn_model_load; all must be refused, with a message and nothing kept.
     damage cut <file> <copy>              the file cut at every byte
     damage header <file> <copy>           every bit of the header, with its length, flipped
     damage body <file> <copy> <count>     `count` random bits behind the header flipped, one at a time
   Prints how many were refused; exits 1 at the first that is not. `copy` is overwritten. */
#include "check.h"
#include "hypernet.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct damage {
    const char *path;
    int copy;
    unsigned char *bytes;
    size_t count;
    int64_t refused;
} damage;

static unsigned char *whole(const char *path, size_t *count)
{
    enum { MOST = 1 << 24 };
    unsigned char *bytes = malloc(MOST);
    FILE *file = fopen(path, "rb");
    CHECK(bytes && file);
    *count = fread(bytes, 1, MOST, file);
    CHECK(*count > sizeof(uint64_t) && *count < MOST && fclose(file) == 0);
    return bytes;
}

static void expect_refused(damage *d, size_t place)
{
    hn_error error = {.message = ""};
    hn_model *model = hn_model_load(d->path, &error);
    int good = !model && (error.status == HN_ERROR_VALUE || error.status == HN_ERROR_OS) && error.message[0] != 0 &&
               hn_memory_live_blocks() == 0;
    if (!good) {
        fprintf(stderr, "at %zu: %s\n", place, model ? "loaded" : error.message);
        exit(1);
    }
    d->refused++;
}

static void flip(damage *d, size_t bit)
{
    unsigned char other = (unsigned char)(d->bytes[bit / 8] ^ (1u << bit % 8));
    CHECK(pwrite(d->copy, &other, 1, (off_t)(bit / 8)) == 1);
    expect_refused(d, bit);
    CHECK(pwrite(d->copy, &d->bytes[bit / 8], 1, (off_t)(bit / 8)) == 1);
}

static size_t header_end(const damage *d)
{
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | d->bytes[i];
    CHECK(length < d->count);
    return sizeof length + (size_t)length;
}

int main(int count, char **arguments)
{
    CHECK(count >= 4);
    damage d = {.path = arguments[3], .copy = open(arguments[3], O_RDWR | O_CREAT | O_TRUNC, 0600)};
    d.bytes = whole(arguments[2], &d.count);
    CHECK(d.copy >= 0 && pwrite(d.copy, d.bytes, d.count, 0) == (ssize_t)d.count);
    hn_model *model = hn_model_load(d.path, NULL);
    CHECK(model);
    hn_model_free(model);
    uint64_t state = 1, end = header_end(&d);
    if (strcmp(arguments[1], "cut") == 0) {
        for (size_t length = d.count; length-- > 0;) {
            CHECK(ftruncate(d.copy, (off_t)length) == 0);
            expect_refused(&d, length);
        }
    } else if (strcmp(arguments[1], "header") == 0) {
        for (size_t bit = 0; bit < 8 * end; bit++)
            flip(&d, bit);
    } else {
        CHECK(count == 5 && end < d.count);
        for (int64_t i = strtoll(arguments[4], NULL, 10); i > 0; i--) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            flip(&d, 8 * end + (size_t)((state >> 16) % (8 * (d.count - end))));
        }
    }
    printf("%" PRId64 " checked\n", d.refused);
    free(d.bytes);
    close(d.copy);
    return 0;
}
