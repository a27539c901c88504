/* Cancelling long calls. From begin to end of a scope, what this thread runs asks from time to time whether to go on;
   threads that help it see the answer. What a cancelled run has computed so far is unspecified. */
#ifndef HN_BASE_CANCEL_H
#define HN_BASE_CANCEL_H

#include <stdint.h>

/* Asked first soon, then every few milliseconds; not 0: the run ends with HN_CANCELLED, and it is not asked again. A
   poll that forks cancels the run in the child, where the threads that helped are gone. */
typedef struct hn_cancel {
    int (*poll)(void *context);
    void *context;
} hn_cancel;

typedef struct hn_cancel_scope {
    const hn_cancel *cancel;
    struct hn_cancel_scope *outer;
    int64_t asked;        /* when; 0: not yet */
    int cancelled;        /* read and written atomically */
} hn_cancel_scope;

/* `scope` and `cancel` must live until the end; scopes of one thread are nested. Without a poll function nothing is
   ever asked. */
void hn_cancel_begin(hn_cancel_scope *scope, const hn_cancel *cancel);
/* 1 if the scope was cancelled. */
int hn_cancel_end(hn_cancel_scope *scope);

/* 1 if what this thread is doing was cancelled. The thread that began the scope asks, others only look. */
int hn_cancel_ask(void);

/* For threads that help: the scope of the caller, and joining it (NULL: leaving). */
hn_cancel_scope *hn_cancel_current(void);
void hn_cancel_join(hn_cancel_scope *scope);

#endif
