/* The files floor, tested from C:
     files self <directory>         round trips, damage, failing allocations, a full disk; prints "ok"
     files copy <from> <to>         reads a file and writes what it holds
     files read <path>...           for each: the status, blocks of memory not freed, and the message
     files write <path>             writes the tensors below
     files values <path>            prints every tensor and every number in it, and the metadata
     files graph <json>             reads a graph and prints it again
     files model <path>...          loads models: as "read"
   Exits 1 with the place of the first failure. */
#include "check.h"
#include "hypernet.h"
#include "files/byte_order.h"
#include "files/checksum.h"
#include "files/json.h"
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static hn_error error;

/* ---- JSON ---- */

static int json_accepts(const char *text, size_t length)
{
    hn_json_value *value = hn_json_parse(text, length, "it", &error);
    int accepted = value != NULL;
    CHECK(accepted || error.status == HN_ERROR_VALUE);
    hn_memory_free(value);
    CHECK(hn_memory_live_blocks() == 0);
    return accepted;
}

static void test_json_accepted(void)
{
    static const char *const good[] = {
        "{}", "[]", " [ ] ", "0", "-0", "-1.5e+10", "1E5", "0.5", "true", "false", "null", "\"\"", "[1, 2]", "1e-400",
        "{\"a\": {}}", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\u00e9\\ud83d\\ude00\"", "\"\xc3\xa9\xf0\x9f\x98\x80\"",
        "9223372036854775807", "-9223372036854775808", "9223372036854775808", "\"\x7f\"",
        "{\"a\":1,\"b\":[{\"a\":null}]}"};
    static const char *const bad[] = {
        "", " ", "{", "[", "]", "[1,]", "[,1]", "[1 2]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{'a':1}",
        "[1,]2]", "01", "-", "+1", "1.", ".5", "1e", "1e+", "0x1", "NaN", "Infinity", "-Infinity", "1e400", "tru",
        "True", "nul", "\"", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\ud800\"", "\"\\ud800\\u0041\"",
        "\"\\udc00\"", "\"\\u0000\"", "\"\n\"", "\"\t\"", "\"\xff\"", "\"\xc3\"", "\"\xc3\x28\"", "\"\xc0\xaf\"",
        "\"\xe0\x80\xaf\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xf8\x88\x80\x80\x80\"", "[] []",
        "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "[1]/**/", "\xef\xbb\xbf[]",
        "{\"a\":1,\"b\":2,\"c\":3,\"b\":4}", "{\"a\" 1}", "[\"a\":1]"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!json_accepts(good[i], strlen(good[i]))) {
            fprintf(stderr, "refused: %s (%s)\n", good[i], error.message);
            exit(1);
        }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (json_accepts(bad[i], strlen(bad[i]))) {
            fprintf(stderr, "accepted: %s\n", bad[i]);
            exit(1);
        }
    CHECK(!json_accepts("\"a\0b\"", 5) && !json_accepts("[]\0", 3) && !json_accepts("\0", 1));
}

static void test_json_depth(void)
{
    char text[2 * JSON_MAX_DEPTH + 2];
    memset(text, '[', sizeof text / 2);
    memset(text + sizeof text / 2, ']', sizeof text / 2);
    CHECK(json_accepts(text + 1, 2 * JSON_MAX_DEPTH));
    CHECK(!json_accepts(text, 2 * JSON_MAX_DEPTH + 2));
    char *deep = malloc(10000000);
    memset(deep, '[', 10000000);
    CHECK(!json_accepts(deep, 10000000));
    free(deep);
}

static void test_json_values(void)
{
    static const char text[] = "{\"n\": -12, \"x\": 1.5e3, \"s\": \"a\\u00e9\\ud83d\\ude00\\n\", \"v\": [1, -2, 3], "
                               "\"t\": true}";
    hn_json_value *value = hn_json_parse(text, sizeof text - 1, "it", &error);
    hn_shape shape;
    CHECK(value && value->type == JSON_OBJECT && value->count == 5);
    CHECK(hn_json_member(value, "n")->integer == -12 && hn_json_member(value, "x")->number == 1500.0);
    CHECK(strcmp(hn_json_member(value, "s")->text, "a\xc3\xa9\xf0\x9f\x98\x80\n") == 0);
    CHECK(hn_json_member(value, "s")->count == 8);
    CHECK(hn_json_shape(hn_json_member(value, "v"), -2, &shape) && shape.rank == 3 && shape.dims[1] == -2);
    CHECK(!hn_json_shape(hn_json_member(value, "v"), -1, &shape));
    CHECK(!hn_json_shape(hn_json_member(value, "n"), 0, &shape));
    CHECK(hn_json_member(value, "none") == NULL && hn_json_member(value, "t")->type == JSON_TRUE);
    hn_memory_free(value);
}

static void test_json_numbers(void)
{
    static const double numbers[] = {0.0, -0.0, 1.0, 0.1, 1.0 / 3.0, 1e300, 5e-324, 2.2250738585072014e-308,
                                     123456789.0, 1.7976931348623157e308, 1e22, 9007199254740993.0};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        hn_json_writer writer = {.error = &error};
        hn_json_write_number(&writer, numbers[i]);
        char *text = hn_json_writer_finish(&writer);
        hn_json_value *value = hn_json_parse(text, strlen(text), "it", &error);
        CHECK(value && value->type == JSON_NUMBER && memcmp(&value->number, &numbers[i], 8) == 0);
        hn_memory_free(value);
        hn_memory_free(text);
    }
}

static void test_json_writer(void)
{
    hn_json_writer writer = {.error = &error};
    hn_json_write_string(&writer, "a\"\\\n\x01\xc3\xa9");
    char *text = hn_json_writer_finish(&writer);
    CHECK(strcmp(text, "\"a\\\"\\\\\\n\\u0001\xc3\xa9\"") == 0);
    hn_memory_free(text);
    hn_json_writer bad = {.error = &error};
    hn_json_write_raw(&bad, "[");
    hn_json_write_string(&bad, "a\xff");
    hn_json_write_raw(&bad, "]");
    CHECK(hn_json_writer_finish(&bad) == NULL && error.status == HN_ERROR_VALUE);
    CHECK(hn_memory_live_blocks() == 0);
}

/* The published test values of XXH64: the empty text, "a", "abc", and 39 bytes. */
static void test_checksum(void)
{
    static const char long_text[] = "Nobody inspects the spammish repetition";
    CHECK(hn_checksum_bytes("", 0, 0) == 0xEF46DB3751D8E999u);
    CHECK(hn_checksum_bytes("a", 1, 0) == 0xD24EC4F1A98C6E5Bu);
    CHECK(hn_checksum_bytes("abc", 3, 0) == 0x44BC2CF5AD770999u);
    CHECK(hn_checksum_bytes(long_text, strlen(long_text), 0) == 0xFBCEA83C8A378BF1u);
}

/* ---- tensor files ---- */

static const float floats[6] = {1.0f, -2.0f, 0.5f, INFINITY, -0.0f, 1e-40f};
static const double doubles[3] = {M_PI, -1e300, 5e-324};
static const int64_t integers[2] = {INT64_MIN, 42};
static const uint16_t halves[3] = {0x3F80, 0xC0A1, 0x0001}; /* 1, -5.03125, and the smallest */
static const int8_t int8_numbers[3] = {-128, 0, 127};
static const hn_file_tensor tensors[] = {
    {"dense/kernel", HN_FLOAT32, {2, {2, 3}}, floats, sizeof floats},
    {"empty", HN_FLOAT64, {2, {0, 4}}, NULL, 0},
    {"w\xc3\xa9", HN_FLOAT64, {3, {1, 3, 1}}, doubles, sizeof doubles},
    {"scalar", HN_FLOAT32, {0, {0}}, floats + 1, 4},
    {"ids", HN_INT64, {1, {2}}, integers, sizeof integers},
    {"head/kernel", HN_BFLOAT16, {2, {3, 1}}, halves, sizeof halves},
    {"head/bytes", HN_INT8, {1, {3}}, int8_numbers, sizeof int8_numbers},
};
static const hn_file_text texts[] = {{"hypernet_format", "1"}, {"note", "line\n\"quoted\" \xe2\x82\xac"}, {"none", ""}};
enum { TENSORS = sizeof tensors / sizeof *tensors, TEXTS = sizeof texts / sizeof *texts };

static char *path_in(const char *directory, const char *name)
{
    static char paths[4][4096];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static char *bytes_of(const char *path, size_t *count)
{
    FILE *file = fopen(path, "rb");
    char *bytes = malloc(1 << 20);
    CHECK(file && bytes);
    *count = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    return bytes;
}

static void put_bytes(const char *path, const char *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(bytes, 1, count, file) == count);
    CHECK(fclose(file) == 0);
}

static void check_contents(const hn_tensor_file *file)
{
    CHECK(hn_tensor_file_count(file) == TENSORS && hn_tensor_file_text_count(file) == TEXTS + 1);
    for (int64_t i = 0; i < TENSORS; i++) {
        const hn_file_tensor *tensor = hn_tensor_file_find(file, tensors[i].name);
        CHECK(tensor && tensor->dtype == tensors[i].dtype && tensor->bytes == tensors[i].bytes);
        CHECK(hn_shape_equal(&tensor->shape, &tensors[i].shape));
        CHECK((uintptr_t)tensor->data % HN_ALIGNMENT == 0);
        CHECK(tensor->bytes == 0 || memcmp(tensor->data, tensors[i].data, tensor->bytes) == 0);
        CHECK(strcmp(hn_tensor_file_at(file, i)->name, tensors[i].name) == 0);
    }
    for (int i = 0; i < TEXTS; i++)
        CHECK(strcmp(hn_tensor_file_text(file, texts[i].key), texts[i].value) == 0);
    CHECK(hn_tensor_file_find(file, "other") == NULL && hn_tensor_file_text(file, "other") == NULL);
    CHECK(hn_tensor_file_at(file, -1) == NULL && hn_tensor_file_at(file, TENSORS) == NULL);
    CHECK(hn_tensor_file_text_at(file, -1) == NULL && hn_tensor_file_text_at(file, TEXTS + 1) == NULL);
}

static void test_round_trip(const char *directory)
{
    char *path = path_in(directory, "round.safetensors");
    CHECK(hn_tensor_file_write(path, tensors, TENSORS, texts, TEXTS, &error) == HN_OK);
    hn_tensor_file *file = hn_tensor_file_read(path, &error);
    CHECK(file);
    check_contents(file);
    hn_tensor_file_free(file);
    CHECK(hn_tensor_file_write(path, NULL, 0, NULL, 0, &error) == HN_OK);
    file = hn_tensor_file_read(path, &error);
    CHECK(file && hn_tensor_file_count(file) == 0 && hn_tensor_file_text_count(file) == 1);
    hn_tensor_file_free(file);
    CHECK(hn_memory_live_blocks() == 0);
}

/* What a big-endian machine does to every tensor, tested on all. */
static void test_byte_order(void)
{
    static const char expected[3][9] = {"badcfehg", "dcbahgfe", "hgfedcba"};
    char text[9] = "abcdefgh", made[9] = "", same[9] = "abcdefgh";
    for (int i = 0; i < 3; i++) {
        size_t size = (size_t)2 << i;
        hn_bytes_reverse(text, made, 8, size);
        CHECK(strcmp(made, expected[i]) == 0);
        hn_bytes_reverse(made, made, 8, size);
        CHECK(strcmp(made, text) == 0);
    }
    hn_bytes_reverse(same, same, 8, 1);
    CHECK(strcmp(same, text) == 0);
    hn_file_tensor *once = hn_tensors_reverse(tensors, TENSORS, &error), *twice = NULL;
    CHECK(once && memcmp(once[0].data, tensors[0].data, tensors[0].bytes) != 0);
    twice = hn_tensors_reverse(once, TENSORS, &error);
    CHECK(twice);
    for (int i = 0; i < TENSORS; i++) {
        CHECK(twice[i].name == tensors[i].name && twice[i].bytes == tensors[i].bytes);
        CHECK(tensors[i].bytes == 0 || memcmp(twice[i].data, tensors[i].data, tensors[i].bytes) == 0);
    }
    hn_memory_free(once);
    hn_memory_free(twice);
    hn_memory_fail_at(1);
    CHECK(hn_tensors_reverse(tensors, TENSORS, &error) == NULL && error.status == HN_ERROR_MEMORY);
    hn_memory_fail_at(0);
    hn_file_tensor huge[2] = {{.bytes = SIZE_MAX - 100}, {.bytes = SIZE_MAX - 100}};
    CHECK(hn_tensors_reverse(huge, 2, &error) == NULL && error.status == HN_ERROR_VALUE);
    CHECK(hn_memory_live_blocks() == 0);
}

static void check_refused(const char *path, const char *what, size_t place)
{
    hn_tensor_file *file = hn_tensor_file_read(path, &error);
    if (file || (error.status != HN_ERROR_VALUE && error.status != HN_ERROR_OS) || hn_memory_live_blocks() != 0) {
        fprintf(stderr, "%s %zu: %s\n", what, place, file ? "accepted" : error.message);
        exit(1);
    }
}

static void test_damage(const char *directory)
{
    char *path = path_in(directory, "whole.safetensors"), *damaged = path_in(directory, "damaged.safetensors");
    size_t count;
    CHECK(hn_tensor_file_write(path, tensors, TENSORS, texts, TEXTS, &error) == HN_OK);
    char *bytes = bytes_of(path, &count);
    for (size_t length = 0; length < count; length++) {
        put_bytes(damaged, bytes, length);
        check_refused(damaged, "cut to", length);
    }
    for (size_t bit = 0; bit < 8 * count; bit++) {
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        put_bytes(damaged, bytes, count);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        check_refused(damaged, "bit", bit);
    }
    bytes[count] = 0;
    put_bytes(damaged, bytes, count + 1);
    check_refused(damaged, "longer", count + 1);
    free(bytes);
}

static void test_writer_refuses(const char *directory)
{
    char *path = path_in(directory, "refused.safetensors");
    hn_file_tensor twice[2] = {tensors[0], tensors[0]}, one = tensors[0];
    hn_file_text same[2] = {texts[0], texts[0]}, wrong = {"key", "\xff"};
    CHECK(hn_tensor_file_write(path, twice, 2, NULL, 0, &error) == HN_ERROR_VALUE);
    CHECK(hn_tensor_file_write(path, tensors, 1, same, 2, &error) == HN_ERROR_VALUE);
    CHECK(hn_tensor_file_write(path, tensors, 1, &wrong, 1, &error) == HN_ERROR_VALUE);
    CHECK(hn_tensor_file_write(path, tensors, -1, NULL, 0, &error) == HN_ERROR_VALUE);
    one.bytes -= 4;
    CHECK(hn_tensor_file_write(path, &one, 1, NULL, 0, &error) == HN_ERROR_VALUE);
    one = tensors[0];
    one.name = "__metadata__";
    CHECK(hn_tensor_file_write(path, &one, 1, NULL, 0, &error) == HN_ERROR_VALUE);
    one = tensors[0];
    one.shape = (hn_shape){2, {INT64_MAX, INT64_MAX}};
    CHECK(hn_tensor_file_write(path, &one, 1, NULL, 0, &error) == HN_ERROR_VALUE);
    one = tensors[0];
    one.data = NULL;
    CHECK(hn_tensor_file_write(path, &one, 1, NULL, 0, NULL) == HN_ERROR_VALUE);
    CHECK(error.number == 0);
    CHECK(hn_tensor_file_write(path_in(directory, "none/x.safetensors"), tensors, 1, NULL, 0, &error) == HN_ERROR_OS);
    CHECK(error.number == ENOENT);
    CHECK(hn_tensor_file_write(directory, tensors, 1, NULL, 0, &error) == HN_ERROR_OS && error.number == EISDIR);
    CHECK(hn_tensor_file_read(directory, &error) == NULL && error.status == HN_ERROR_OS && error.number == EISDIR);
    CHECK(hn_tensor_file_read(path_in(directory, "none"), NULL) == NULL);
    CHECK(hn_memory_live_blocks() == 0);
}

/* Every allocation on the way fails once: an error, nothing leaked, the old file whole. */
static void test_allocation_failures(const char *directory)
{
    char *path = path_in(directory, "failing.safetensors");
    CHECK(hn_tensor_file_write(path, tensors, TENSORS, texts, TEXTS, &error) == HN_OK);
    for (int k = 1, done = 0; !done; k++) {
        hn_memory_fail_at(k);
        hn_status status = hn_tensor_file_write(path, tensors, 1, NULL, 0, &error);
        hn_memory_fail_at(0);
        done = status == HN_OK;
        CHECK(done || status == HN_ERROR_MEMORY);
        CHECK(k > 3 || !done);
        CHECK(hn_memory_live_blocks() == 0);
        hn_tensor_file *file = hn_tensor_file_read(path, &error);
        CHECK(file && hn_tensor_file_count(file) == (done ? 1 : TENSORS));
        hn_tensor_file_free(file);
    }
    for (int k = 1, done = 0; !done; k++) {
        hn_memory_fail_at(k);
        hn_tensor_file *file = hn_tensor_file_read(path, &error);
        hn_memory_fail_at(0);
        done = file != NULL;
        CHECK((done && k > 5) || (!done && error.status == HN_ERROR_MEMORY));
        hn_tensor_file_free(file);
        CHECK(hn_memory_live_blocks() == 0);
    }
}

/* A disk that is full, by a limit on the size of files: an error, and the old file whole. */
static void test_full_disk(const char *directory)
{
    enum { COUNT = 100000 };
    char *path = path_in(directory, "full.safetensors");
    float *values = calloc(COUNT, sizeof *values);
    hn_file_tensor large = {"large", HN_FLOAT32, {1, {COUNT}}, values, COUNT * sizeof *values};
    struct rlimit before, limit;
    CHECK(values && hn_tensor_file_write(path, tensors, TENSORS, texts, TEXTS, &error) == HN_OK);
    signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    limit = before;
    limit.rlim_cur = 4096;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    hn_status status = hn_tensor_file_write(path, &large, 1, NULL, 0, &error);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(status == HN_ERROR_OS && hn_memory_live_blocks() == 0);
    free(values);
    hn_tensor_file *file = hn_tensor_file_read(path, &error);
    CHECK(file);
    check_contents(file);
    hn_tensor_file_free(file);
}

static void test_permissions_and_links(const char *directory)
{
    char *path = path_in(directory, "mode.safetensors"), *link = path_in(directory, "link.safetensors");
    struct stat status;
    CHECK(hn_tensor_file_write(path, tensors, 1, NULL, 0, &error) == HN_OK && chmod(path, 0640) == 0);
    CHECK(hn_tensor_file_write(path, tensors, 2, NULL, 0, &error) == HN_OK);
    CHECK(stat(path, &status) == 0 && (status.st_mode & 0777) == 0640);
    CHECK(symlink("mode.safetensors", link) == 0);
    CHECK(hn_tensor_file_write(link, tensors, 3, NULL, 0, &error) == HN_OK);
    CHECK(lstat(link, &status) == 0 && S_ISLNK(status.st_mode));
    hn_tensor_file *file = hn_tensor_file_read(path, &error);
    CHECK(file && hn_tensor_file_count(file) == 3);
    hn_tensor_file_free(file);
}

static int self(const char *directory)
{
    test_json_accepted();
    test_json_depth();
    test_json_values();
    test_json_numbers();
    test_json_writer();
    test_checksum();
    test_byte_order();
    test_round_trip(directory);
    test_damage(directory);
    test_writer_refuses(directory);
    test_allocation_failures(directory);
    test_full_disk(directory);
    test_permissions_and_links(directory);
    puts("ok");
    return 0;
}

/* ---- commands for the tests in Python ---- */

static int copy(const char *from, const char *to)
{
    hn_tensor_file *file = hn_tensor_file_read(from, &error);
    if (!file) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    int64_t count = hn_tensor_file_count(file), text_count = hn_tensor_file_text_count(file);
    hn_file_tensor *all = calloc((size_t)count + 1, sizeof *all);
    hn_file_text *notes = calloc((size_t)text_count + 1, sizeof *notes);
    CHECK(all && notes);
    for (int64_t i = 0; i < count; i++)
        all[i] = *hn_tensor_file_at(file, i);
    for (int64_t i = 0; i < text_count; i++)
        notes[i] = *hn_tensor_file_text_at(file, i);
    hn_status status = hn_tensor_file_write(to, all, count, notes, text_count, &error);
    if (status != HN_OK)
        fprintf(stderr, "%s\n", error.message);
    free(all);
    free(notes);
    hn_tensor_file_free(file);
    return status != HN_OK;
}

static int write_ours(const char *path)
{
    hn_status status = hn_tensor_file_write(path, tensors, TENSORS, texts, TEXTS, &error);
    if (status != HN_OK)
        fprintf(stderr, "%s\n", error.message);
    return status != HN_OK;
}

static void number_print(const hn_file_tensor *tensor, int64_t i)
{
    switch (tensor->dtype) {
    case HN_FLOAT32:
        printf(" %a", (double)((const float *)tensor->data)[i]);
        break;
    case HN_FLOAT64:
        printf(" %a", ((const double *)tensor->data)[i]);
        break;
    case HN_INT64:
        printf(" %" PRId64, ((const int64_t *)tensor->data)[i]);
        break;
    case HN_BFLOAT16:
        printf(" %04x", ((const uint16_t *)tensor->data)[i]);
        break;
    case HN_INT8:
        printf(" %d", ((const int8_t *)tensor->data)[i]);
        break;
    }
}

static int values(const char *path)
{
    char shape[256];
    hn_tensor_file *file = hn_tensor_file_read(path, &error);
    if (!file) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    for (int64_t i = 0; i < hn_tensor_file_text_count(file); i++)
        printf("%s: %s\n", hn_tensor_file_text_at(file, i)->key, hn_tensor_file_text_at(file, i)->value);
    for (int64_t i = 0; i < hn_tensor_file_count(file); i++) {
        const hn_file_tensor *tensor = hn_tensor_file_at(file, i);
        printf("%s %s %s:", tensor->name, hn_file_dtype_name(tensor->dtype),
               hn_shape_format(&tensor->shape, shape, sizeof shape));
        for (int64_t j = 0; j < hn_shape_size(&tensor->shape); j++)
            number_print(tensor, j);
        puts("");
    }
    hn_tensor_file_free(file);
    return 0;
}

static int read_all(int count, char **paths)
{
    for (int i = 0; i < count; i++) {
        hn_error read_error = {.message = "read"};
        hn_tensor_file *file = hn_tensor_file_read(paths[i], &read_error);
        hn_tensor_file_free(file);
        printf("%d %lld %s\n", (int)read_error.status, (long long)hn_memory_live_blocks(), read_error.message);
    }
    return 0;
}

/* Loads as often as there are allocations, each time with another one failing. */
static void model_load_failing(const char *path)
{
    for (int k = 1, done = 0; !done; k++) {
        hn_memory_fail_at(k);
        hn_model *model = hn_model_load(path, &error);
        hn_memory_fail_at(0);
        done = model != NULL;
        CHECK(done || error.status == HN_ERROR_MEMORY);
        hn_model_free(model);
        CHECK(hn_memory_live_blocks() == 0);
    }
}

static int model_all(int count, char **paths)
{
    for (int i = 0; i < count; i++) {
        hn_error load_error = {.message = "loaded"};
        hn_model_free(hn_model_load(paths[i], &load_error));
        printf("%d %lld %s\n", (int)load_error.status, (long long)hn_memory_live_blocks(), load_error.message);
        if (load_error.status == HN_OK)
            model_load_failing(paths[i]);
    }
    return 0;
}

static void graph_failing(const hn_graph *read)
{
    for (int k = 1, done = 0; !done; k++) {
        hn_memory_fail_at(k);
        char *text = hn_graph_to_json(read, &error);
        hn_memory_fail_at(0);
        done = text != NULL;
        CHECK(done || error.status == HN_ERROR_MEMORY);
        hn_memory_free(text);
    }
}

static int graph(const char *text)
{
    hn_graph *read = hn_graph_from_json(text, &error);
    char *again = read ? hn_graph_to_json(read, &error) : NULL;
    printf("%d %s\n", again ? HN_OK : (int)error.status, again ? again : error.message);
    hn_memory_free(again);
    if (read)
        graph_failing(read);
    hn_graph_free(read);
    CHECK(hn_memory_live_blocks() == 0);
    return 0;
}

int main(int count, char **arguments)
{
    setlocale(LC_ALL, "");
    if (count == 3 && strcmp(arguments[1], "self") == 0)
        return self(arguments[2]);
    if (count == 4 && strcmp(arguments[1], "copy") == 0)
        return copy(arguments[2], arguments[3]);
    if (count == 3 && strcmp(arguments[1], "write") == 0)
        return write_ours(arguments[2]);
    if (count == 3 && strcmp(arguments[1], "values") == 0)
        return values(arguments[2]);
    if (count >= 3 && strcmp(arguments[1], "read") == 0)
        return read_all(count - 2, arguments + 2);
    if (count == 3 && strcmp(arguments[1], "graph") == 0)
        return graph(arguments[2]);
    if (count >= 3 && strcmp(arguments[1], "model") == 0)
        return model_all(count - 2, arguments + 2);
    fprintf(stderr, "usage: files self <directory> | copy <from> <to> | write <path> | values <path> | "
                    "read <path>... | graph <json> | model <path>...\n");
    return 2;
}
