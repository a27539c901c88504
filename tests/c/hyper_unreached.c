/* An output whose gradient is not given (NULL) is as one whose gradient is zero: what only it depends on has a gradient
   of zero, however generated kernels are contracted, with blocks and parts of blocks. Prints "N checked": numbers. */
#include "hyper_world.h"

static const hyper_limits cuts[] = {{0}, {.groups = 3, .rows = 2, .kept_groups = 3},
                                    {.groups = 4, .rows = 100, .kept_groups = 4, .keep = 1}};
static int64_t checked;

static void gradients(world *w)
{
    w->run.output_gradients = w->output_gradients;
    w->run.condition_gradients = w->condition_gradients;
    w->run.input_gradients = w->input_gradients;
    w->run.workspace = hn_hyper_workspace_create(w->hyper, w->spec.groups, w->spec.rows, HN_MODE_TRAINING, 1, &error);
    CHECK(w->run.workspace);
    for (int again = 0; again < 2; again++) /* the second time in memory that has been used */
        CHECK(hn_hyper_gradients(w->hyper, &w->run, &error) == HN_OK);
    hn_hyper_workspace_free(w->run.workspace);
}

static void compare(const spec *s, int32_t output)
{
    state = 1;
    world *absent = make_world(s);
    state = 1;
    world *zero = make_world(s);
    hn_view *gradient = &zero->output_gradients[output];
    memset(gradient->data, 0, (size_t)(zero->spec.groups * gradient->group_stride) * zero->element);
    absent->output_gradients[output].data = NULL;
    gradients(absent);
    gradients(zero);
    int64_t zeros = 0, all = 0;
    for (int i = 0; i < zero->tracked_count; i++) {
        const tracked *found = &absent->tracked[i], *expected = &zero->tracked[i];
        int generator = strcmp(found->name, "generator") == 0;
        for (int64_t j = 0; j < expected->count; j++, checked++) {
            double a = get(absent, found->gradient, j), b = get(zero, expected->gradient, j);
            CHECK(fabs(a - b) <= 1e-12 * (1.0 + fabs(b)) || (isnan(a) && isnan(b) && !generator));
            zeros += generator && a == 0.0;
            all += generator;
        }
    }
    CHECK(zeros > 0 && zeros < all); /* both kinds were there */
    free_world(absent);
    free_world(zero);
}

int main(void)
{
    static const hn_order orders[] = {HN_ORDER_BY_COST, HN_ORDER_WEIGHTS, HN_ORDER_SLICES, HN_ORDER_MIXTURE};
    static const generator_kind generators[] = {G_NO_BIAS, G_MLP};
    for (int order = 0; order < 4; order++)
        for (int m = 0; m < M_COUNT; m++)
            for (size_t cut = 0; cut < sizeof cuts / sizeof *cuts; cut++)
                for (int i = 0; i < 4; i++) {
                    spec s = {.generator = generators[i / 2], .target = T_TWO, .mode = m, .dtype = HN_FLOAT64,
                              .groups = 7, .rows = 5, .training = 1, .limits = cuts[cut], .order = orders[order]};
                    compare(&s, i % 2);
                }
    CHECK(hn_memory_live_blocks() == 0);
    printf("%lld checked\n", (long long)checked);
    return 0;
}
