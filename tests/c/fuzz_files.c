/* Fuzzing of files: the input's bytes are a file. Whatever they say, reading ends with an error or with a model, and a
   model that loaded is run. Most inputs would only meet the checksum, so a wrong one is put right and the file read
   again; and half of the mutations change the header alone and make its length fit. */
#define _GNU_SOURCE /* memfd_create */
#include "fuzz.h"
#include <sys/mman.h>
#include <unistd.h>

static char path[64];
static int descriptor = -1;
static volatile unsigned char read_bytes; /* so that reading is not left out */

static void file_put(const uint8_t *data, size_t size)
{
    if (descriptor < 0) {
        descriptor = memfd_create("fuzz", 0);
        CHECK(descriptor >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    }
    CHECK(ftruncate(descriptor, 0) == 0 && pwrite(descriptor, data, size, 0) == (ssize_t)size);
}

/* Puts the checksum that the message asks for in place of the one that it names; 0 if the message is another. */
static int checksum_repair(const uint8_t *data, size_t size, const char *message)
{
    static const char computed[] = "its checksum is ", stored[] = ", the stored one ";
    enum { DIGITS = 16 };
    const char *right = strstr(message, computed);
    const char *wrong = right ? strstr(right, stored) : NULL;
    if (!wrong || strlen(wrong + sizeof stored - 1) < DIGITS)
        return 0;
    const uint8_t *place = memmem(data, size, wrong + sizeof stored - 1, DIGITS);
    if (!place)
        return 0;
    return pwrite(descriptor, right + sizeof computed - 1, DIGITS, place - data) == DIGITS;
}

static void tensors_touch(const hn_tensor_file *file)
{
    for (int64_t i = 0; i < hn_tensor_file_count(file); i++) {
        const hn_file_tensor *tensor = hn_tensor_file_at(file, i);
        CHECK(hn_tensor_file_find(file, tensor->name) == tensor);
        for (size_t j = 0; j < tensor->bytes; j++)
            read_bytes ^= ((const unsigned char *)tensor->data)[j];
    }
    for (int64_t i = 0; i < hn_tensor_file_text_count(file); i++)
        CHECK(hn_tensor_file_text(file, hn_tensor_file_text_at(file, i)->key) != NULL);
}

/* The network for one condition, run. */
static void specialize_run(const hn_model *model, fuzz_bytes *bytes)
{
    hn_error error;
    hn_shape shapes[MOST_SIDES];
    if (!shapes_close(model->generator, bytes, shapes))
        return;
    hn_plan *plan = hn_plan_create(model->generator, shapes, isa_take(bytes), &error);
    int small = plan && plan_is_small(plan, 1);
    hn_plan_free(plan);
    if (!small || hn_graph_parameter_count(model->graph) > MOST_NUMBERS || hn_graph_input_count(model->generator) < 1)
        return;
    const hn_tensor_info *info = hn_graph_tensor(model->generator, hn_graph_input_tensor(model->generator, 0));
    int64_t size = hn_shape_size(&shapes[0]) + (below(bytes, 8) == 7);
    hn_dtype dtype = hn_graph_dtype(model->graph);
    void *condition = data_make(info->dtype, size, (data_kind)below(bytes, DATA_KINDS), 2);
    void *weights = data_make(dtype, hn_graph_parameter_count(model->graph), DATA_ZERO, 0);
    if (hn_model_specialize(model, condition, size, weights, &error) == HN_OK)
        network_run(model->graph, weights, 1, 2, bytes);
    else
        check_refused(&error);
    data_free(weights, dtype);
    data_free(condition, info->dtype);
}

/* How the model is run: every input in a way of its own. */
static void choices_make(const uint8_t *data, size_t size, uint8_t *choices, size_t count)
{
    uint64_t state = 1;
    for (size_t i = 0; i < size + count; i++) {
        state = (state ^ (i < size ? data[i] : 0)) * 6364136223846793005u + 1442695040888963407u;
        if (i >= size)
            choices[i - size] = (uint8_t)(state >> 56);
    }
}

static void model_read(const uint8_t *data, size_t size)
{
    hn_error error;
    hn_model *model = hn_model_load(path, &error);
    uint8_t choices[64];
    fuzz_bytes bytes = {choices, sizeof choices};
    choices_make(data, size, choices, sizeof choices);
    if (!model) {
        check_refused(&error);
        return;
    }
    char *json = hn_graph_to_json(model->graph, &error);
    hn_graph *again = json ? hn_graph_from_json(json, &error) : NULL;
    CHECK(again && hn_graph_parameter_count(again) == hn_graph_parameter_count(model->graph));
    hn_graph_free(again);
    hn_memory_free(json);
    if (model->generator)
        specialize_run(model, &bytes);
    else
        network_run(model->graph, model->weights, 1, below(&bytes, 5), &bytes);
    hn_model_free(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hn_error error;
    file_put(data, size);
    hn_tensor_file *file = hn_tensor_file_read(path, &error);
    if (!file) {
        check_refused(&error);
        if (checksum_repair(data, size, error.message))
            file = hn_tensor_file_read(path, &error);
    }
    if (file) {
        tensors_touch(file);
        hn_tensor_file_free(file);
        model_read(data, size);
    }
    CHECK(hn_memory_live_blocks() == 0);
    return 0;
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    uint64_t length = 0;
    if (size > sizeof length)
        memcpy(&length, data, sizeof length);
    if (seed % 2 == 0 || length == 0 || length > size - sizeof length)
        return LLVMFuzzerMutate(data, size, most);
    size_t rest = size - sizeof length - (size_t)length;
    uint8_t *body = malloc(rest + 1);
    CHECK(body);
    memcpy(body, data + size - rest, rest);
    length = LLVMFuzzerMutate(data + sizeof length, (size_t)length, most - sizeof length - rest);
    memcpy(data, &length, sizeof length);
    memcpy(data + sizeof length + length, body, rest);
    free(body);
    return sizeof length + (size_t)length + rest;
}
