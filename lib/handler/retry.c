/* retry.c - exponential waits with jitter: between half and all of the doubled time, so that handlers
 * that failed together do not come again together. */
#include "base/clock.h"
#include "base/file.h"
#include "subscription.h"

int64_t svl__retry_wait_ns(const svl_stored_options *options, uint32_t attempts)
{
    uint64_t wait_ms = options->retry_base_ms;
    for (uint32_t i = 1; i < attempts && wait_ms < options->retry_max_ms; i++)
        wait_ms *= 2;
    if (wait_ms > options->retry_max_ms)
        wait_ms = options->retry_max_ms;
    uint32_t random = 0;
    svl__random(&random, sizeof random); /* without it: the shortest wait */
    /* 16 bits of chance: with more, half a day in nanoseconds would not fit 64. */
    uint64_t half_ns = wait_ms * NS_PER_MS / 2;
    return (int64_t)(half_ns + half_ns * (random >> 16) / (UINT32_MAX >> 16));
}
