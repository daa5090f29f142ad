/* clockwatch - the wall clock against the time since boot, suspended time included: steps of more than an
 * hour.
 *
 * Ingest time is monotone between two steps. A step is written into the log as a record of source
 * "serverlog.clock"; ingest time then follows the clock, also down. After a step forward retention by
 * age goes by the old time until the new one has stood for an hour: a wrong date must not retire
 * everything. */
#ifndef SVL_STORE_CLOCKWATCH_H
#define SVL_STORE_CLOCKWATCH_H

#include <stdbool.h>
#include <stdint.h>

struct clock_watch {
    int64_t offset_ns; /* wall minus boot time, as last seen */
    int64_t
        forward_ns; /* steps forward less those back since; 0 once they have stood for an hour */
    int64_t forward_at_ns; /* of the boot clock */
};

/* Starts watching; `last_ns` is the newest ingest time of the log, 0 if there is none. Returns the step
 * against it in ns, 0 if it is less than an hour. `forward_ns` is what the watch before had: the hour for it
 * to stand begins anew. */
int64_t svl__clock_watch_start(struct clock_watch *watch, int64_t wall_ns, int64_t boot_ns,
                               int64_t last_ns, int64_t forward_ns);
/* The step since the last call, 0 if it is less than an hour. */
int64_t svl__clock_watch_step(struct clock_watch *watch, int64_t wall_ns, int64_t boot_ns);
/* What retention takes for now. */
int64_t svl__clock_watch_retention_ns(struct clock_watch *watch, int64_t wall_ns, int64_t boot_ns);

#endif
