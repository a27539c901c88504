/* Many readers or one writer, and at most one writer at a time. In the child of a fork, what threads of the parent held
   is free. */
#ifndef HN_BASE_LOCK_H
#define HN_BASE_LOCK_H

#include "status.h"

typedef struct hn_lock hn_lock;

hn_lock *hn_lock_create(hn_error *error);
void hn_lock_free(hn_lock *lock);

/* Shared access: waits while a writer is in its (short) last pass. */
void hn_lock_read_begin(hn_lock *lock);
void hn_lock_read_end(hn_lock *lock);

/* Claims the right to write, for a whole step; HN_ERROR_RUNTIME at once if somebody holds it, or if this thread is
   reading (or reads so many other locks that it cannot tell). Other readers go on. */
hn_status hn_lock_claim(hn_lock *lock, hn_error *error);
void hn_lock_release(hn_lock *lock);

/* For who says to hold the claim: HN_ERROR_RUNTIME if nobody does, or if this thread is reading. */
hn_status hn_lock_check_claim(hn_lock *lock, hn_error *error);

/* Exclusive access for the holder of the claim: waits until the readers are gone; new ones let it go first for some
   milliseconds. */
void hn_lock_write_begin(hn_lock *lock);
void hn_lock_write_end(hn_lock *lock);

#endif
