/* What can be wrong with a run: found before the first write. */
#include "hyper_internal.h"

hn_status hn_hyper_check_mode(const hn_hyper *hyper, hn_mode mode, hn_error *error)
{
    if (mode != HN_MODE_TRAINING || hyper->head->identity || hyper->head->pull)
        return HN_OK;
    return hn_error_set(error, HN_ERROR_RUNTIME, "a head stored as %s is for inference only: train the original "
                        "hypernetwork, then quantise it again", hyper->head->name);
}

hn_status hn_hyper_check_generate(const hn_hyper *hyper, const hn_hyper_run *run, hn_error *error)
{
    if (run->groups < 0 || run->rows < 0 || run->threads < 1)
        return hn_error_set(error, HN_ERROR_VALUE, "a run needs groups >= 0, rows >= 0 and threads >= 1, received "
                            "%lld, %lld and %d", (long long)run->groups, (long long)run->rows, run->threads);
    if (!run->workspace || !hn_hyper_workspace_fits(run->workspace, hyper, run->groups, run->rows,
                                                    run->workspace->mode, run->threads))
        return hn_error_set(error, HN_ERROR_VALUE, "the workspace was not made for %lld groups of %lld rows on %d "
                            "threads of this hypernetwork", (long long)run->groups, (long long)run->rows, run->threads);
    if (hyper->generator ? !run->conditions || (hyper->generator_entries > 0 && !run->generator_sources) : !run->theta)
        return hn_error_set(error, HN_ERROR_VALUE, hyper->generator
                            ? "a hypernetwork needs conditions and its generator's weights"
                            : "a target without a generator needs theta");
    if (!hyper->generator)
        return HN_OK;
    hn_run generator = {.groups = run->groups, .rows = 1, .threads = run->threads, .inputs = run->conditions};
    return hn_plan_check(hyper->generator, &generator, error);
}

static hn_status check_inputs(const hn_hyper *hyper, const hn_hyper_run *run, hn_error *error)
{
    if ((hn_plan_input_count(hyper->target) > 0 && !run->inputs) || (hyper->own && !run->target_sources))
        return hn_error_set(error, HN_ERROR_VALUE, "the target needs inputs and its own weights");
    hn_run target = {.groups = run->groups, .rows = run->rows, .threads = run->threads, .inputs = run->inputs};
    return hn_plan_check(hyper->target, &target, error);
}

static hn_status check_gradients(const hn_hyper *hyper, const hn_hyper_run *run, hn_error *error)
{
    if (run->groups == 0 || run->rows == 0)
        return hn_error_set(error, HN_ERROR_VALUE, "gradients need at least one group and one row");
    if (!run->losses && !run->output_gradients)
        return hn_error_set(error, HN_ERROR_VALUE, "gradients need losses or the gradients of the outputs");
    if (run->losses && !run->targets)
        return hn_error_set(error, HN_ERROR_VALUE, "losses need targets");
    return run->losses ? hn_step_check(hyper->target, run->losses, run->targets, run->groups, run->rows, error) : HN_OK;
}

hn_status hn_hyper_check(const hn_hyper *hyper, const hn_hyper_run *run, int gradients, hn_error *error)
{
    hn_status status = hn_hyper_check_generate(hyper, run, error);
    if (status == HN_OK)
        status = check_inputs(hyper, run, error);
    if (status == HN_OK && gradients)
        status = check_gradients(hyper, run, error);
    return status;
}
