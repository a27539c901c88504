#include "cancel.h"
#include "clock.h"
#include "forks.h"

#include <stddef.h>

#define ASK_EVERY 5000000 /* nanoseconds */

static _Thread_local hn_cancel_scope *current;
static _Thread_local int helping; /* in somebody else's scope */

void hn_cancel_begin(hn_cancel_scope *scope, const hn_cancel *cancel)
{
    scope->cancel = cancel;
    scope->outer = current;
    scope->asked = 0;
    scope->cancelled = 0;
    current = scope;
}

int hn_cancel_end(hn_cancel_scope *scope)
{
    current = scope->outer;
    return __atomic_load_n(&scope->cancelled, __ATOMIC_RELAXED);
}

int hn_cancel_ask(void)
{
    hn_cancel_scope *scope = current;
    if (!scope)
        return 0;
    if (__atomic_load_n(&scope->cancelled, __ATOMIC_RELAXED))
        return 1;
    if (helping || !scope->cancel->poll)
        return 0;
    int64_t now = hn_clock_now();
    if (scope->asked && now - scope->asked < ASK_EVERY)
        return 0;
    scope->asked = now;
    current = NULL; /* what a poll runs itself (a signal handler may) is no part of what it asks about */
    uint64_t forks = hn_forks_count();
    int stop = scope->cancel->poll(scope->cancel->context);
    current = scope;
    if (!stop && forks == hn_forks_count()) /* in the child of a fork, what other threads had begun is lost */
        return 0;
    __atomic_store_n(&scope->cancelled, 1, __ATOMIC_RELAXED);
    return 1;
}

hn_cancel_scope *hn_cancel_current(void)
{
    return current;
}

void hn_cancel_join(hn_cancel_scope *scope)
{
    current = scope;
    helping = scope != NULL;
}
