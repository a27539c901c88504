/* Locks: what a thread that reads may claim. Prints "N checked", the number of claims. */
#include "check.h"
#include "base/lock.h"
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 40 };

static hn_lock *locks[MOST];
static int64_t claims;

static hn_status claim(hn_lock *lock)
{
    hn_error error;
    hn_status status = hn_lock_claim(lock, &error);
    if (status == HN_OK)
        hn_lock_release(lock);
    claims++;
    return status;
}

/* However many locks a thread reads, it may claim none of them: it would wait for itself. When it has ended all of its
   reads, in the same order or backwards, it may claim each. */
static void test_reads(int count, int backwards)
{
    for (int i = 0; i < count; i++)
        hn_lock_read_begin(locks[i]);
    for (int i = 0; i < count; i++) {
        for (int k = i; k < count; k++)
            CHECK(claim(locks[backwards ? k - i : k]) == HN_ERROR_RUNTIME);
        hn_lock_read_end(locks[backwards ? count - 1 - i : i]);
    }
    for (int i = 0; i < MOST; i++)
        CHECK(claim(locks[i]) == HN_OK);
}

/* A lock that is read twice, beside others, is read until both have ended; others may be claimed meanwhile. */
static void test_nested_reads(void)
{
    hn_lock_read_begin(locks[0]);
    hn_lock_read_begin(locks[1]);
    hn_lock_read_begin(locks[0]);
    hn_lock_read_end(locks[0]);
    CHECK(claim(locks[0]) == HN_ERROR_RUNTIME && claim(locks[1]) == HN_ERROR_RUNTIME && claim(locks[2]) == HN_OK);
    hn_lock_read_end(locks[0]);
    CHECK(claim(locks[0]) == HN_OK && claim(locks[1]) == HN_ERROR_RUNTIME);
    hn_lock_read_end(locks[1]);
    CHECK(claim(locks[1]) == HN_OK);
}

int main(void)
{
    hn_error error;
    for (int i = 0; i < MOST; i++)
        CHECK(locks[i] = hn_lock_create(&error));
    for (int count = 0; count <= MOST; count++) {
        test_reads(count, 0);
        test_reads(count, 1);
    }
    test_nested_reads();
    for (int i = 0; i < MOST; i++)
        hn_lock_free(locks[i]);
    printf("%lld checked\n", (long long)claims);
    return 0;
}
