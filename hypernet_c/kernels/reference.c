/* The reference kernels: the formulas of kernels.h, one element at a time, in double. */
#include "kernels.h"
#include "tables.h"

#include <math.h>
#include <string.h>

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static const double SELU_SCALE = 1.0507009873554805, SELU_ALPHA = 1.6732632423543772;
static const double GELU_C = 1.5957691216057308, GELU_CUBE = 0.044715; /* sqrt(8 / pi) */

static double clip(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* tanh(x) = x / (1 + q), q = x^2 / (3 + x^2 / (5 + ...)): x - tanh(x) = x q / (1 + q) has no cancellation at 0. */
static double tanh_shrink(double x)
{
    double q = 0;
    if (fabs(x) >= 2)
        return x - tanh(x);
    for (int odd = 31; odd >= 3; odd -= 2)
        q = x * x / (odd + q);
    return x * q / (1 + q);
}

/* The less common functions. */
static double reference_map_more(hn_map map, const double *params, double x)
{
    switch (map) {
    case HN_MAP_SQUAREPLUS: {
        double root = hypot(x, sqrt(params[0]));
        return x > 0 || root == 0 ? x / 2 + root / 2 : params[0] / 4 / (root / 2 - x / 2);
    }
    case HN_MAP_SOFT_SHRINK:
        return x > params[0] ? x - params[0] : x < -params[0] ? x + params[0] : x * 0;
    case HN_MAP_HARD_SHRINK:
        return fabs(x) > params[0] ? x : x * 0;
    case HN_MAP_TANH_SHRINK:
        return tanh_shrink(x);
    case HN_MAP_HARD_TANH:
        return clip(x, -1, 1);
    case HN_MAP_HARD_SILU:
        return x * clip((x + 3) / 6, 0, 1);
    case HN_MAP_LOG_SIGMOID:
        return (x > 0 ? 0 : x) - log1p(exp(-fabs(x)));
    case HN_MAP_SPARSE_PLUS:
        return x <= -1 ? 0 : x < 1 ? (x + 1) * (x + 1) / 4 : x;
    case HN_MAP_SPARSE_SIGMOID:
        return clip((x + 1) / 2, 0, 1);
    default: { /* mish: with e = exp(x), tanh(log(1 + e)) = e (e + 2) / (e (e + 2) + 2) */
        double e = exp(-fabs(x));
        return x > 0 ? x * ((1 + 2 * e) / (1 + 2 * e + 2 * e * e)) : x * (e * (e + 2) / (e * (e + 2) + 2));
    }
    }
}

static double reference_map(hn_map map, const double *params, double x)
{
    switch (map) {
    case HN_MAP_RELU:
        return x < 0 ? 0 : x;
    case HN_MAP_RELU_GENERAL:
        if (x >= params[1])
            return params[1];
        if (x < params[2])
            return params[0] != 0 ? params[0] * (x - params[2]) : 0; /* 0 * -inf would be nan */
        return x;
    case HN_MAP_ELU:
        return x > 0 ? x : params[0] * expm1(x);
    case HN_MAP_SELU:
        return SELU_SCALE * (x > 0 ? x : SELU_ALPHA * expm1(x));
    case HN_MAP_GELU:
        return x * 0.5 * erfc(-x * M_SQRT1_2);
    case HN_MAP_GELU_TANH:
        return x * sigmoid(GELU_C * (x + GELU_CUBE * x * x * x)); /* 1 + tanh(z / 2) = 2 sigmoid(z) */
    case HN_MAP_SILU:
        return x * sigmoid(x);
    case HN_MAP_SIGMOID:
        return sigmoid(x);
    case HN_MAP_TANH:
        return tanh(x);
    case HN_MAP_SOFTPLUS:
        return (x < 0 ? 0 : x) + log1p(exp(-fabs(x)));
    case HN_MAP_SOFTSIGN:
        return x / (1 + fabs(x));
    case HN_MAP_EXPONENTIAL:
        return exp(x);
    case HN_MAP_HARD_SIGMOID:
        return clip((x + 3) / 6, 0, 1);
    case HN_MAP_LINEAR:
        return x;
    default:
        return reference_map_more(map, params, x);
    }
}

static double reference_map_slope_more(hn_map map, const double *params, double v)
{
    switch (map) {
    case HN_MAP_SQUAREPLUS: { /* (1 + v / root) / 2 */
        double root = hypot(v, sqrt(params[0]));
        return root > 0 ? reference_map_more(map, params, v) / root : root + 0.5;
    }
    case HN_MAP_SOFT_SHRINK:
    case HN_MAP_HARD_SHRINK:
        return fabs(v) > params[0] ? 1 : 0;
    case HN_MAP_TANH_SHRINK:
        return tanh(v) * tanh(v);
    case HN_MAP_HARD_TANH:
        return v > -1 && v < 1 ? 1 : 0;
    case HN_MAP_HARD_SILU:
        return v <= -3 ? 0 : v < 3 ? (2 * v + 3) / 6 : 1;
    case HN_MAP_LOG_SIGMOID:
        return sigmoid(-v);
    case HN_MAP_SPARSE_PLUS:
        return v <= -1 ? 0 : v < 1 ? (v + 1) / 2 : 1;
    case HN_MAP_SPARSE_SIGMOID:
        return v > -1 && v < 1 ? 0.5 : 0;
    default: { /* mish */
        double e = exp(-fabs(v));
        double over = v > 0 ? 1 + 2 * e + 2 * e * e : e * (e + 2) + 2;
        double tanh_part = (v > 0 ? 1 + 2 * e : e * (e + 2)) / over;
        return tanh_part + v * (4 * (v > 0 ? (1 + e) * e * e : (1 + e) * e) / over / over);
    }
    }
}

/* d map / dx, from y where hn_map_info says so, else from x. */
static double reference_map_slope(hn_map map, const double *params, double v)
{
    switch (map) {
    case HN_MAP_RELU:
        return v > 0 ? 1 : 0;
    case HN_MAP_RELU_GENERAL:
        if (v >= params[1] && params[1] < (double)INFINITY)
            return 0;
        return v > params[2] ? 1 : params[0];
    case HN_MAP_ELU:
        return v > 0 ? 1 : params[0] * exp(v);
    case HN_MAP_SELU:
        return SELU_SCALE * (v > 0 ? 1 : SELU_ALPHA * exp(v));
    case HN_MAP_GELU:
        return 0.5 * erfc(-v * M_SQRT1_2) + v * exp(-0.5 * v * v) * 0.3989422804014327;
    case HN_MAP_GELU_TANH: {
        double z = GELU_C * (v + GELU_CUBE * v * v * v), size = fmin(fabs(v), 1e4); /* beyond it sigmoid' is 0 */
        return sigmoid(z) + v * sigmoid(z) * sigmoid(-z) * GELU_C * (1 + 3 * GELU_CUBE * size * size);
    }
    case HN_MAP_SILU: {
        double s = sigmoid(v);
        return s * (1 + v * sigmoid(-v));
    }
    case HN_MAP_SIGMOID:
        return v * (1 - v);
    case HN_MAP_TANH:
        return 1 - v * v;
    case HN_MAP_SOFTPLUS:
        return sigmoid(v);
    case HN_MAP_SOFTSIGN:
        return 1 / (1 + fabs(v)) / (1 + fabs(v));
    case HN_MAP_EXPONENTIAL:
        return v;
    case HN_MAP_HARD_SIGMOID:
        return v > -3 && v < 3 ? 1.0 / 6 : 0;
    case HN_MAP_LINEAR:
        return 1;
    default:
        return reference_map_slope_more(map, params, v);
    }
}

/* One element of a separable loss, and its slope with respect to p (FUSED: to the logit). */
static double reference_loss(hn_loss_kind kind, hn_loss_input input, double param, double t, double p, double *slope)
{
    double e = p - t;
    switch (kind) {
    case HN_LOSS_MEAN_SQUARED_ERROR:
        *slope = 2 * e;
        return e * e;
    case HN_LOSS_MEAN_ABSOLUTE_ERROR:
        *slope = e > 0 ? 1 : e < 0 ? -1 : e;
        return fabs(e);
    case HN_LOSS_HUBER:
        *slope = e > param ? param : e < -param ? -param : e;
        return fabs(e) <= param ? e * e / 2 : param * fabs(e) - param * param / 2;
    default: { /* binary cross-entropy */
        if (input == HN_LOSS_LOGITS) {
            *slope = sigmoid(p) - t;
            return (p < 0 ? 0 : p) - p * t + log1p(exp(-fabs(p)));
        }
        double q = p < 1e-7 ? 1e-7 : p > 1 - 1e-7 ? 1 - 1e-7 : p;
        *slope = input == HN_LOSS_FUSED ? p - t : p < 1e-7 || p > 1 - 1e-7 ? 0 : (q - t) / (q * (1 - q));
        return -t * log(q) - (1 - t) * log(1 - q);
    }
    }
}

/* The change of one weight after decay, and its new slots. */
static double reference_optimizer(hn_optimizer_kind kind, const hn_optimizer_args *args, double g, double *s)
{
    const double *p = args->params, lr = args->learning_rate;
    if (kind == HN_OPTIMIZER_SGD) {
        if (p[0] == 0)
            return -lr * g;
        s[0] = p[0] * s[0] - lr * g;
        return p[1] != 0 ? p[0] * s[0] - lr * g : s[0];
    }
    if (kind == HN_OPTIMIZER_RMSPROP) {
        double denominator;
        s[0] = p[0] * s[0] + (1 - p[0]) * g * g;
        denominator = s[0];
        if (p[3] != 0) {
            s[1] = p[0] * s[1] + (1 - p[0]) * g;
            denominator -= s[1] * s[1];
            denominator = denominator < 0 ? 0 : denominator;
        }
        double update = lr * g / sqrt(denominator + p[2]);
        if (p[1] == 0)
            return -update;
        s[2] = p[1] * s[2] + update;
        return -s[2];
    }
    double t = (double)args->step, rate = lr * sqrt(1 - pow(p[1], t)) / (1 - pow(p[0], t));
    s[0] += (g - s[0]) * (1 - p[0]);
    s[1] += (g * g - s[1]) * (1 - p[1]);
    s[2] = s[1] > s[2] ? s[1] : s[2];
    return -rate * s[0] / (sqrt(p[3] != 0 ? s[2] : s[1]) + p[2]);
}

#define T float
#define R(name) reference_f32_##name
#include "reference.inc"
const hn_kernels hn_kernels_reference_f32 = HN_KERNELS_TABLE(HN_ISA_REFERENCE, HN_FLOAT32, 0, 0, R);
#undef T
#undef R

#define T double
#define R(name) reference_f64_##name
#include "reference.inc"
const hn_kernels hn_kernels_reference_f64 = HN_KERNELS_TABLE(HN_ISA_REFERENCE, HN_FLOAT64, 0, 0, R);
