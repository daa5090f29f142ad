/* ledger.c - how the season's processes come to know of each other. */
#include "ledger.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define WAIT_S_MAX 60

struct ledger *ledger;

int64_t monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void sleep_us(long us)
{
    nanosleep(&(struct timespec){ us / 1000000, us % 1000000 * 1000 }, NULL);
}

void wrong(const char *who, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s: %s\n  again: SVL_TEST_SEED=%llu (record %llu was known)\n", who, text,
            (unsigned long long)ledger->seed, (unsigned long long)atomic_load(&ledger->known));
    atomic_store(&ledger->failed, true);
    _exit(WRONG);
}

void must(int rc, const char *who, const char *call)
{
    if (rc != SVL_OK)
        wrong(who, "%s gave %d: %s", call, rc, svl_last_error());
}

bool await_known(uint64_t id)
{
    int64_t until_ns = monotonic_ns() + WAIT_S_MAX * INT64_C(1000000000);
    while (atomic_load_explicit(&ledger->known, memory_order_acquire) < id) {
        if (has_failed())
            return false;
        if (monotonic_ns() > until_ns)
            wrong("scribe", "record %llu is durable, and does not come", (unsigned long long)id);
        sleep_us(200);
    }
    return true;
}

void acknowledge(uint64_t id)
{
    uint64_t before = atomic_load(&ledger->acknowledged);
    while (before < id && !atomic_compare_exchange_weak(&ledger->acknowledged, &before, id))
        ;
}

struct horizon horizon_now(void)
{
    struct horizon horizon = { .id = atomic_load(&ledger->acknowledged) };
    for (unsigned p = 0; p < PUBLISHERS; p++)
        horizon.numbers[p] = atomic_load(&ledger->flushed[p]);
    return horizon;
}

/* Of a number that was dropped nothing is stored: what is before it, then. */
uint64_t horizon_id(const struct horizon *horizon)
{
    uint64_t highest = horizon->id;
    for (unsigned p = 0; p < PUBLISHERS; p++) {
        uint64_t number = horizon->numbers[p], id = 0;
        for (; number >= PUBLISHERS && id == 0; number -= PUBLISHERS)
            id = atomic_load(&ledger->id_of[number]);
        highest = id > highest ? id : highest;
    }
    return highest;
}
