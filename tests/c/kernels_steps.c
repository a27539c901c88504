/* Losses and optimizers against the reference twin. */
#include "kernels_support.h"

enum { TARGET, PREDICTION, WEIGHT, VALUES, GRADIENT, MOST = 20000 };

static double expected[MOST], expected_values[MOST], before[4][MOST];

/* ---- losses ---- */

static int is_categorical(hn_loss_kind kind)
{
    return kind == HN_LOSS_CATEGORICAL_CROSSENTROPY || kind == HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY;
}

static int is_crossentropy(hn_loss_kind kind)
{
    return kind == HN_LOSS_BINARY_CROSSENTROPY || is_categorical(kind);
}

static void fill_prediction(const test *t, hn_loss_kind kind, const hn_loss_args *args, void *prediction)
{
    int64_t n = args->rows * args->cols;
    int probabilities = is_crossentropy(kind) && args->input != HN_LOSS_LOGITS;
    fill(t, prediction, n, one_in(3) ? 20 : 2);
    if (probabilities && is_categorical(kind))
        t->reference->softmax_forward(args->rows, args->cols, prediction, prediction);
    else if (probabilities)
        t->reference->map_forward(HN_MAP_SIGMOID, NULL, n, prediction, prediction);
    for (int64_t i = 0; probabilities && i < n; i++) {
        double p = get(t, prediction, i);
        if (fabs(p / 1e-7 - 1) < 0.01) /* the clip acts from here on: rounding would decide on which side p lies */
            set(t, prediction, i, 0);
        if (1 - p < 1e-4) {
            for (int64_t j = i - i % args->cols; is_categorical(kind) && j < i - i % args->cols + args->cols; j++)
                set(t, prediction, j, 0);
            set(t, prediction, i, 1);
        }
    }
}

static void fill_target(const test *t, hn_loss_kind kind, const hn_loss_args *args, void *target)
{
    if (kind == HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY) {
        for (int64_t i = 0; i < args->rows; i++)
            ((int64_t *)target)[i] = random_below(args->cols);
        return;
    }
    for (int64_t i = 0; i < args->rows * args->cols; i++) {
        double value = is_crossentropy(kind) ? fabs(random_real()) : 2 * random_real();
        if (!is_crossentropy(kind) && one_in(10))
            value = get(t, args->prediction, i);
        set(t, target, i, is_crossentropy(kind) && one_in(2) ? (double)one_in(3) : value);
    }
}

static double target_at(const test *t, hn_loss_kind kind, const hn_loss_args *args, int64_t row, int64_t col)
{
    if (kind == HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY)
        return ((const int64_t *)args->target)[row] == col;
    double target = fabs(get(t, args->target, row * args->cols + col)), s = args->params[0];
    if (kind == HN_LOSS_BINARY_CROSSENTROPY)
        return target * (1 - s) + s / 2;
    return kind == HN_LOSS_CATEGORICAL_CROSSENTROPY ? target * (1 - s) + s / (double)args->cols : target;
}

/* Largest logit, or sum of the probabilities. */
static double row_scale(const test *t, const hn_loss_args *args, int64_t row)
{
    double largest = -(double)INFINITY, sum = 0;
    for (int64_t j = row * args->cols; j < (row + 1) * args->cols; j++) {
        largest = fmax(largest, get(t, args->prediction, j));
        sum += get(t, args->prediction, j);
    }
    return args->input == HN_LOSS_LOGITS ? largest : sum;
}

/* How far one element of a loss, and its slope, may be off, in eps: the sizes of the terms of the formula, each times
   its roundings; inside a logarithm a relative error becomes an absolute one. */
static void element_errors(const test *t, hn_loss_kind kind, const hn_loss_args *args, int64_t row, int64_t col,
                           double scale, double inner, double *value, double *slope)
{
    double p = get(t, args->prediction, row * args->cols + col), target = target_at(t, kind, args, row, col);
    double e = fabs(p) + fabs(target), sums = (double)args->cols + 8;
    double q = fmin(fmax(p / (is_categorical(kind) ? scale : 1), 1e-7), 1 - 1e-7);
    int logits = args->input == HN_LOSS_LOGITS;
    if (kind == HN_LOSS_MEAN_SQUARED_ERROR) {
        *value = 4 * e * e;
        *slope = 4 * e;
    } else if (kind == HN_LOSS_MEAN_ABSOLUTE_ERROR) {
        *value = 2 * e;
        *slope = 2;
    } else if (kind == HN_LOSS_HUBER) {
        *value = 4 * (e * e + args->params[0] * e + args->params[0] * args->params[0]);
        *slope = 4 * e + 2 * args->params[0];
    } else if (kind == HN_LOSS_BINARY_CROSSENTROPY) {
        *value = logits ? 4 * (fabs(p) * (1 + target) + 1)
                        : 6 * (target * (1 - log(q)) + (1 - target) * (1 - log(1 - q) + q / (1 - q)));
        *slope = args->input == HN_LOSS_PROBABILITIES ? 8 * (q + target) / (q * (1 - q)) : 6 * (1 + target);
        if (!logits)
            *value += 2 * (1 - target) / (1 - q) + 6 * target / q * 1e-7; /* the clip's own rounding */
    } else {
        *value = logits ? target * (sums + 4 * fabs(p - scale) + 4 * log(sums)) : target * (sums + 4 - 4 * log(q));
        if (!logits)
            *value += 2 * target; /* 1 - 1e-7 is rounded */
        double off = logits ? fabs(p - scale) : 0, size = logits ? exp(p - scale) : q;
        *slope = size * inner * (sums + off) * 2 + 6 * target;
        if (args->input == HN_LOSS_PROBABILITIES)
            *slope = (inner + target / q) * (2 * sums) / scale;
    }
}

static void compare_loss(const test *t, hn_loss_kind kind, const hn_loss_args *args)
{
    double cols = (double)args->cols, divisor = is_categorical(kind) ? 1 : cols;
    for (int64_t row = 0; row < args->rows; row++) {
        double sum = 0, value, slope, targets = 0, scale = row_scale(t, args, row);
        double weight = args->weight ? fabs(get(t, args->weight, row / args->weight_every)) : 1;
        for (int64_t j = 0; j < args->cols; j++)
            targets += target_at(t, kind, args, row, j);
        for (int64_t j = 0; j < args->cols; j++) {
            int64_t i = row * args->cols + j;
            element_errors(t, kind, args, row, j, scale, targets, &value, &slope);
            sum += value;
            if (args->gradient)
                compare(t, "gradient", i, get(t, args->gradient, i), get(t, expected, i),
                        t->twin * (t->epsilon * weight * slope / divisor + t->smallest));
        }
        if (args->values) /* a sum of `cols` values, each off by its own error */
            compare(t, "value", row, get(t, args->values, row), get(t, expected_values, row),
                    t->twin * t->epsilon * sum * (is_categorical(kind) ? 2 : cols + 4) / divisor);
    }
}

static void test_loss(const test *t, int64_t number)
{
    hn_loss_kind kind = (hn_loss_kind)(number % HN_LOSS_KIND_COUNT);
    hn_loss_args args = {.input = (hn_loss_input)random_below(3), .weight_every = 1 + random_below(3)};
    do {
        args.rows = random_size(300);
        args.cols = 1 + random_size(one_in(20) ? 5000 : 100);
    } while (args.rows * args.cols > (one_in(10) ? MOST : 2000));
    args.params[0] = kind == HN_LOSS_HUBER ? 1.5 : one_in(2) ? 0 : 0.125;
    int64_t n = args.rows * args.cols;
    shape("loss %d input %d rows %lld cols %lld", (int)kind, (int)args.input, (long long)args.rows,
          (long long)args.cols);
    void *prediction = array_new(t, PREDICTION, n, 1);
    args.prediction = prediction;
    fill_prediction(t, kind, &args, prediction);
    int sparse = kind == HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY;
    void *target = array_place(TARGET, sparse ? args.rows * 8 : n * (int64_t)t->element);
    args.target = target;
    fill_target(t, kind, &args, target);
    int64_t weights = (args.rows + args.weight_every - 1) / args.weight_every;
    args.weight = one_in(2) ? array_new(t, WEIGHT, weights, 1) : NULL;
    args.values = one_in(6) ? NULL : array_new(t, VALUES, args.rows, 1);
    args.gradient = one_in(6) ? NULL : array_new(t, GRADIENT, n, 1);
    hn_loss_args twin = args;
    twin.values = args.values ? expected_values : NULL;
    twin.gradient = args.gradient ? expected : NULL;
    t->reference->loss(kind, &twin);
    t->kernels->loss(kind, &args);
    compare_loss(t, kind, &args);
    if (args.gradient) { /* in place of the prediction */
        array_check(t, GRADIENT);
        args.gradient = prediction;
        memcpy(before[0], placed[GRADIENT].begin, (size_t)n * t->element);
        t->kernels->loss(kind, &args);
        same_bits(t, "gradient in place", prediction, before[0], n);
        array_check(t, PREDICTION);
    }
    if (args.values)
        array_check(t, VALUES);
}

/* nan in a prediction or in a float target reaches the loss, and the gradient as in the reference (a clip stops a
   target's); other rows stay as they were. */
static void test_loss_nan(const test *t, int64_t number)
{
    hn_loss_kind kind = (hn_loss_kind)(number % HN_LOSS_KIND_COUNT);
    hn_loss_args args = {.rows = 3, .cols = 1 + random_size(40), .weight_every = 1};
    args.input = (hn_loss_input)random_below(3);
    args.params[0] = kind == HN_LOSS_HUBER ? 1.5 : 0;
    shape("loss %d input %d with nan, cols %lld", (int)kind, (int)args.input, (long long)args.cols);
    int64_t n = args.rows * args.cols, at = args.cols + random_below(args.cols);
    void *prediction = array_new(t, PREDICTION, n, 1);
    args.prediction = prediction;
    fill_prediction(t, kind, &args, prediction);
    void *target = array_place(TARGET, n * 8);
    args.target = target;
    fill_target(t, kind, &args, target);
    int sparse = kind == HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY;
    if (sparse)
        ((int64_t *)target)[1] = at - args.cols;
    int in_prediction = sparse || one_in(2);
    if (!sparse)
        set(t, target, at, 1); /* a target of 0 asks for no logarithm */
    set(t, in_prediction ? prediction : target, at, (double)NAN);
    args.values = array_new(t, VALUES, args.rows, 1);
    args.gradient = array_new(t, GRADIENT, n, 1);
    args.gradient = expected;
    t->reference->loss(kind, &args);
    args.gradient = placed[GRADIENT].begin;
    t->kernels->loss(kind, &args);
    for (int64_t row = 0; row < 3; row++)
        if (isnan(get(t, args.values, row)) != (row == 1))
            fail(t, "the loss of row %lld is %g", (long long)row, get(t, args.values, row));
    for (int64_t i = 0; i < n; i++) {
        int wanted = isnan(get(t, expected, i));
        if (isnan(get(t, args.gradient, i)) != wanted || (i / args.cols != 1 && wanted))
            fail(t, "the gradient of row %lld is %g, expected %g", (long long)(i / args.cols),
                 get(t, args.gradient, i), get(t, expected, i));
    }
    if (in_prediction && !isnan(get(t, args.gradient, at)))
        fail(t, "the gradient at nan is %g", get(t, args.gradient, at));
}

/* ---- optimizers ---- */

static int slot_used(hn_optimizer_kind kind, const double *params, int slot)
{
    if (kind == HN_OPTIMIZER_SGD)
        return slot == 0 && params[0] > 0;
    if (kind == HN_OPTIMIZER_RMSPROP)
        return slot == 0 || (slot == 1 ? params[3] != 0 : params[1] > 0);
    return slot < 2 || params[3] != 0;
}

/* Parameters, and slots as earlier steps leave them. */
static void random_optimizer(const test *t, hn_optimizer_kind kind, hn_optimizer_args *args)
{
    int64_t n = args->count;
    args->params[0] = kind == HN_OPTIMIZER_SGD ? (one_in(2) ? 0 : 0.9) : 0.9;
    args->params[1] = kind == HN_OPTIMIZER_SGD ? one_in(2) : kind == HN_OPTIMIZER_RMSPROP ? 0.8 * one_in(2) : 0.999;
    args->params[2] = 1e-7;
    args->params[3] = one_in(2);
    args->learning_rate = 0.1 * fabs(random_real());
    args->grad_scale = one_in(2) ? 1 : fabs(random_real());
    args->clip_value = one_in(2) ? (double)INFINITY : 0.5;
    args->weight_decay = one_in(2) ? 0 : 0.1;
    args->step = 1 + random_below(1000);
    args->weights = array_new(t, 0, n, 1);
    args->gradient = array_new(t, 1, n, one_in(4) ? 1e-3 : 1);
    for (int slot = 0; slot < 3; slot++) {
        int squares = kind != HN_OPTIMIZER_SGD && !(kind == HN_OPTIMIZER_RMSPROP ? slot == 1 || slot == 2 : slot == 0);
        if (!slot_used(kind, args->params, slot))
            continue;
        args->slots[slot] = array_new(t, 2 + slot, n, 1);
        for (int64_t i = 0; squares && i < n; i++)
            set(t, args->slots[slot], i, 1 + get(t, args->slots[slot], i)); /* above the square of an average */
        if (kind == HN_OPTIMIZER_RMSPROP && slot == 1)
            for (int64_t i = 0; i < n; i++)
                set(t, args->slots[1], i, 0.9 * sqrt(get(t, args->slots[0], i)) * get(t, args->slots[1], i));
    }
    args->delta = one_in(4) ? array_new(t, 5, n, 1) : NULL;
}

/* The formulas are a dozen roundings of terms of these sizes; centered RMSprop divides by the root of a difference. */
static double change_bound(const test *t, hn_optimizer_kind kind, const hn_optimizer_args *args, int64_t i)
{
    double g = fmin(fabs(args->grad_scale * get(t, args->gradient, i)), args->clip_value), rate = args->learning_rate;
    double s[3] = {0, 0, 0}, lost = 1, size;
    const double *p = args->params;
    for (int slot = 0; slot < 3; slot++)
        s[slot] = args->slots[slot] ? fabs(get(t, before[slot], i)) : 0;
    if (kind == HN_OPTIMIZER_SGD) {
        size = s[0] + 2 * rate * g;
    } else if (kind == HN_OPTIMIZER_RMSPROP) {
        double a = p[0] * s[0] + (1 - p[0]) * g * g, m = p[0] * s[1] + (1 - p[0]) * g, spread = a;
        if (p[3] != 0) {
            double signed_m = p[0] * get(t, before[1], i) + (1 - p[0]) * g * (get(t, args->gradient, i) < 0 ? -1 : 1);
            spread = a - signed_m * signed_m;
            lost = (a + m * m) / (spread + p[2]);
        }
        size = rate * g / sqrt(fmax(spread, 0) + p[2]) * lost + s[2];
    } else {
        double step = (double)args->step, m = s[0] + (1 - p[0]) * (g + s[0]), v = s[1] + (1 - p[1]) * (g * g - s[1]);
        double most = p[3] != 0 && s[2] > v ? s[2] : v;
        size = rate * sqrt(1 - pow(p[1], step)) / (1 - pow(p[0], step)) * m / (sqrt(most) + p[2]);
    }
    return 12 * t->twin * t->epsilon * (size + fabs(get(t, before[3], i)) * (1 + args->weight_decay * rate));
}

static void test_optimizer(const test *t, int64_t number)
{
    hn_optimizer_kind kind = (hn_optimizer_kind)(number % HN_OPTIMIZER_KIND_COUNT);
    hn_optimizer_args args = {.count = random_size(one_in(20) ? 5000 : 200)}, twin;
    static double results[5][MOST];
    shape("optimizer %d n %lld", (int)kind, (long long)args.count);
    random_optimizer(t, kind, &args);
    size_t bytes = (size_t)args.count * t->element;
    twin = args;
    twin.weights = memcpy(results[3], args.weights, bytes);
    memcpy(before[3], args.weights, bytes);
    for (int slot = 0; slot < 3; slot++)
        if (args.slots[slot]) {
            twin.slots[slot] = memcpy(results[slot], args.slots[slot], bytes);
            memcpy(before[slot], args.slots[slot], bytes);
        }
    twin.delta = args.delta ? results[4] : NULL;
    t->reference->optimizer(kind, &twin);
    t->kernels->optimizer(kind, &args);
    for (int64_t i = 0; i < args.count; i++) {
        double bound = change_bound(t, kind, &args, i), g = fabs(args.grad_scale * get(t, args.gradient, i));
        if (args.delta)
            compare(t, "delta", i, get(t, args.delta, i), get(t, twin.delta, i), bound);
        compare(t, "weight", i, get(t, args.weights, i), get(t, twin.weights, i), args.delta ? 0 : bound);
        for (int slot = 0; slot < 3; slot++)
            if (args.slots[slot]) {
                double size = fabs(get(t, before[slot], i)) + g + g * g;
                size += kind != HN_OPTIMIZER_ADAM && slot != 1 ? bound : 0;
                if (kind == HN_OPTIMIZER_ADAM && slot == 2)
                    size += fabs(get(t, before[1], i));
                if (kind == HN_OPTIMIZER_RMSPROP && slot == 2)
                    size += bound / t->epsilon;
                compare(t, "slot", i, get(t, args.slots[slot], i), get(t, twin.slots[slot], i),
                        args.delta ? 0 : 6 * t->twin * t->epsilon * size);
            }
    }
    for (int slot = 0; slot < 5; slot++)
        if (slot < 2 || args.slots[slot - 2])
            array_check(t, slot);
}

/* With steady gradients the running square and the square of the running mean meet: rounding may put them the wrong
   way round, and weights stay numbers even so. */
static void test_centered(const test *t)
{
    enum { COUNT = 24, STEPS = 300 };
    double memory[4][COUNT] = {{0}};
    hn_optimizer_args args = {
        .count = COUNT, .weights = memory[0], .gradient = memory[1], .slots = {memory[2], memory[3]},
        .learning_rate = 1e-3, .grad_scale = 1, .clip_value = (double)INFINITY, .params = {0.9, 0, 1e-7, 1},
    };
    snprintf(shape_text, sizeof shape_text, "centered RMSprop with steady gradients");
    for (args.step = 1; args.step <= STEPS; args.step++) {
        for (int i = 0; i < COUNT; i++)
            set(t, memory[1], i, pow(10, i - 8) * (1 + 1e-6 * random_real()));
        t->kernels->optimizer(HN_OPTIMIZER_RMSPROP, &args);
        for (int i = 0; i < COUNT; i++)
            if (!isfinite(get(t, memory[0], i)))
                fail(t, "weight %d of gradient %g is %g after %d steps", i, get(t, memory[1], i), get(t, memory[0], i),
                     (int)args.step);
    }
}

static void test_optimizer_nan(const test *t, int64_t number)
{
    hn_optimizer_kind kind = (hn_optimizer_kind)(number % HN_OPTIMIZER_KIND_COUNT);
    hn_optimizer_args args = {.count = 1 + random_size(40)};
    shape("optimizer %d with nan, n %lld", (int)kind, (long long)args.count);
    random_optimizer(t, kind, &args);
    args.delta = NULL;
    int64_t at = random_below(args.count);
    void *gradient = array_new(t, 1, args.count, 1);
    args.gradient = gradient;
    set(t, gradient, at, (double)NAN);
    t->kernels->optimizer(kind, &args);
    for (int64_t i = 0; i < args.count; i++)
        if (isnan(get(t, args.weights, i)) != (i == at))
            fail(t, "weight %lld is %g", (long long)i, get(t, args.weights, i));
}

/* What a slot held before a step without a gradient. BORN: nothing, but a gradient too small for it. */
typedef enum held { ORDINARY, SUBNORMAL, BECOMES_SUBNORMAL, STAYS_NORMAL, NOT_A_NUMBER, BORN, HELD_COUNT } held;

/* What a step multiplies a slot by. */
static double decay_of(hn_optimizer_kind kind, int slot)
{
    static const double decays[HN_OPTIMIZER_KIND_COUNT][3] = {
        [HN_OPTIMIZER_SGD] = {0.9}, [HN_OPTIMIZER_RMSPROP] = {0.9, 0.9, 0.8}, [HN_OPTIMIZER_ADAM] = {0.9, 0.999, 1}};
    return decays[kind][slot];
}

/* Every case of `held` in one slot, at random places; which one goes to `cases`. */
static void hold(const test *t, hn_optimizer_kind kind, hn_optimizer_args *args, int slot, held *cases)
{
    const double least = t->dtype == HN_FLOAT32 ? (double)FLT_MIN : DBL_MIN, decay = decay_of(kind, slot);
    const int squares = (kind == HN_OPTIMIZER_RMSPROP && slot == 0) || (kind == HN_OPTIMIZER_ADAM && slot > 0);
    void *gradient = array_new(t, 1, args->count, 1);
    args->gradient = gradient;
    for (int64_t i = 0; i < args->count; i++) {
        held is = (held)random_below(HELD_COUNT);
        if (slot == 2 && (is == BORN || (is == BECOMES_SUBNORMAL && decay == 1)))
            is = SUBNORMAL; /* these slots hear of a gradient through the others only */
        cases[i] = is;
        double sign = one_in(2) && !squares ? -1 : 1, value = 0;
        if (is == SUBNORMAL)
            value = one_in(2) ? t->smallest : least * fmin(fabs(random_real()), 0.99);
        else if (is == BECOMES_SUBNORMAL)
            value = least * (1 + 1 / decay) / 2;
        else if (is == STAYS_NORMAL)
            value = 1.5 * least / decay;
        else if (is == NOT_A_NUMBER)
            value = (double)NAN;
        if (is != ORDINARY)
            set(t, args->slots[slot], i, sign * value);
        if (is != ORDINARY && kind == HN_OPTIMIZER_ADAM && slot == 2)
            set(t, args->slots[1], i, 0); /* slot 2 is the largest so far of slot 1 */
        if (is == BORN)
            set(t, gradient, i, sign * (squares ? sqrt(least) : least) / 2);
        else if (is != ORDINARY)
            set(t, gradient, i, 0);
    }
}

/* Slots that are subnormal, or become so, are stored as 0; nan stays. */
static void test_optimizer_subnormal(const test *t, int64_t number)
{
    hn_optimizer_kind kind = (hn_optimizer_kind)(number % HN_OPTIMIZER_KIND_COUNT);
    const double least = t->dtype == HN_FLOAT32 ? (double)FLT_MIN : DBL_MIN;
    const int slot = kind == HN_OPTIMIZER_SGD ? 0 : (int)random_below(3);
    const int64_t count = 1 + random_size(100);
    static held cases[MOST];
    hn_optimizer_args args, twin;
    shape("optimizer %d, slot %d subnormal, n %lld", (int)kind, slot, (long long)count);
    do {
        args = (hn_optimizer_args){.count = count};
        random_optimizer(t, kind, &args);
    } while (!args.slots[slot]);
    args.delta = NULL;
    hold(t, kind, &args, slot, cases);
    size_t bytes = (size_t)count * t->element;
    twin = args;
    twin.weights = memcpy(before[3], args.weights, bytes);
    for (int s = 0; s < 3; s++)
        if (args.slots[s])
            twin.slots[s] = memcpy(before[s], args.slots[s], bytes);
    t->reference->optimizer(kind, &twin);
    t->kernels->optimizer(kind, &args);
    for (int64_t i = 0; i < count; i++) {
        double got = get(t, args.slots[slot], i), wanted = get(t, twin.slots[slot], i);
        if (cases[i] != ORDINARY) {
            if (cases[i] == NOT_A_NUMBER ? !isnan(wanted) : (wanted != 0) != (cases[i] == STAYS_NORMAL))
                fail(t, "slot[%lld] of the reference is %g in case %d", (long long)i, wanted, (int)cases[i]);
            compare(t, "slot", i, got, wanted, 4 * t->epsilon * fabs(wanted));
        }
        for (int s = 0; s < 3; s++)
            if (args.slots[s] && get(t, args.slots[s], i) != 0 && fabs(get(t, args.slots[s], i)) < least)
                fail(t, "slot %d[%lld] is left with %g", s, (long long)i, get(t, args.slots[s], i));
        if (isnan(get(t, args.weights, i)) != isnan(get(t, twin.weights, i)))
            fail(t, "weight %lld is %g", (long long)i, get(t, args.weights, i));
    }
    for (int s = 0; s < 5; s++)
        if (s < 2 || args.slots[s - 2])
            array_check(t, s);
}

static void run(const test *t, int64_t shapes)
{
    test_centered(t);
    for (int64_t i = 0; i < shapes; i++) {
        int64_t number = random_below(1 << 20);
        if (i % 2 && i % 16 != 1)
            test_loss(t, number);
        else if (i % 2)
            test_loss_nan(t, number);
        else if (i % 16 == 8)
            test_optimizer_subnormal(t, number);
        else if (i % 16)
            test_optimizer(t, number);
        else
            test_optimizer_nan(t, number);
    }
}

int main(int count, char **arguments)
{
    return kernels_main(count, arguments, run);
}
