/* stall.c - stalled claims, told to the log. */
#include "stall.h"

void svl__stall_report(struct ring *ring, uint64_t *told, const struct log_sink *log)
{
    struct ring_stats stats;
    svl__ring_stats_get(ring, &stats);
    if (stats.stalled_claims > *told)
        svl__log(log, SVL_SEVERITY_WARN, SVL_OK,
                 "a thread stopped while it was publishing; records behind it wait");
    *told = stats.stalled_claims;
}
