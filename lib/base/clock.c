/* clock.c - the clocks. */
#include "clock.h"

#include <time.h>

static int64_t now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

int64_t svl__wall_ns(void)
{
    return now(CLOCK_REALTIME);
}

int64_t svl__monotonic_ns(void)
{
    return now(CLOCK_MONOTONIC);
}

int64_t svl__boot_ns(void)
{
    return now(CLOCK_BOOTTIME);
}

void svl__spin_until(int64_t until_ns)
{
    while (svl__monotonic_ns() < until_ns)
        ;
}

int64_t svl__deadline_ns(int64_t timeout_ms)
{
    int64_t start = svl__monotonic_ns();
    if (timeout_ms < 0 || timeout_ms > (INT64_MAX - start) / NS_PER_MS)
        return INT64_MAX;
    return start + timeout_ms * NS_PER_MS;
}
