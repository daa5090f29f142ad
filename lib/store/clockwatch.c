/* clockwatch.c - steps of the wall clock. */
#include "clockwatch.h"

#include "base/clock.h"

#define STEP_NS (3600 * NS_PER_S)

static void forget_stood(struct clock_watch *watch, int64_t boot_ns)
{
    if (boot_ns - watch->forward_at_ns >= STEP_NS)
        watch->forward_ns = 0;
}

/* Times of the log may be any: a forged one gives the largest step there can be. */
static int64_t difference(int64_t a, int64_t b)
{
    int64_t d;
    if (__builtin_sub_overflow(a, b, &d))
        d = a < b ? INT64_MIN : INT64_MAX;
    return d;
}

/* Steps that have not stood for an hour add up: a wrong date that is put right in part is still wrong. */
static int64_t note(struct clock_watch *watch, int64_t step_ns, int64_t boot_ns)
{
    if (step_ns > -STEP_NS && step_ns < STEP_NS)
        return 0;
    forget_stood(watch, boot_ns);
    if (__builtin_add_overflow(watch->forward_ns, step_ns, &watch->forward_ns))
        watch->forward_ns = INT64_MAX;
    if (watch->forward_ns < 0)
        watch->forward_ns = 0;
    watch->forward_at_ns = boot_ns;
    return step_ns;
}

int64_t svl__clock_watch_start(struct clock_watch *watch, int64_t wall_ns, int64_t boot_ns,
                               int64_t last_ns, int64_t forward_ns)
{
    *watch = (struct clock_watch){ .offset_ns = wall_ns - boot_ns,
                                   .forward_ns = forward_ns > 0 ? forward_ns : 0,
                                   .forward_at_ns = boot_ns };
    return last_ns == 0 ? 0 : note(watch, difference(wall_ns, last_ns), boot_ns);
}

int64_t svl__clock_watch_step(struct clock_watch *watch, int64_t wall_ns, int64_t boot_ns)
{
    int64_t offset_ns = wall_ns - boot_ns;
    int64_t step_ns = offset_ns - watch->offset_ns;
    watch->offset_ns = offset_ns;
    forget_stood(watch, boot_ns);
    return note(watch, step_ns, boot_ns);
}

int64_t svl__clock_watch_retention_ns(struct clock_watch *watch, int64_t wall_ns, int64_t boot_ns)
{
    forget_stood(watch, boot_ns);
    return wall_ns - watch->forward_ns;
}
