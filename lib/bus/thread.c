/* thread.c - SVL_BUS_THREAD: a thread that pumps for a host without a loop. */
#include "base/thread.h"

#include "base/clock.h"
#include "bus.h"

/* What the thread needs to end when it is not in a callback, at most. */
#define END_MS 1000

static bool is_abandoned(const svl_bus *bus)
{
    return atomic_load_explicit(&bus->abandoned, memory_order_relaxed);
}

static void *run(void *argument)
{
    svl_bus *bus = argument;
    size_t n;
    int rc;
    do
        rc = svl__bus_pump(bus, SIZE_MAX, INT64_MAX, &n);
    while ((rc == SVL_OK || rc == SVL_E_AGAIN) && !is_abandoned(bus));
    if (rc == SVL_E_CORRUPT)
        svl__log(&bus->log, SVL_SEVERITY_FATAL, rc, "the bus has stopped: %s", svl_last_error());
    pthread_mutex_lock(&bus->lock);
    bus->thread_ended = true;
    bool orphaned = bus->orphaned;
    pthread_cond_broadcast(&bus->changed);
    pthread_mutex_unlock(&bus->lock);
    if (orphaned)
        svl__bus_free(bus);
    return NULL;
}

int svl__bus_thread_start(svl_bus *bus)
{
    atomic_store_explicit(&bus->pumped, true, memory_order_relaxed); /* U1: for good */
    int rc = svl__thread_start(&bus->thread, "svl-bus", run, bus);
    bus->has_thread = rc == SVL_OK;
    return rc;
}

/* `lock` held. */
static void wait_for_end(svl_bus *bus, int64_t deadline_ns)
{
    while (!bus->thread_ended && svl__cond_wait(&bus->changed, &bus->lock, deadline_ns))
        ;
}

int svl__bus_thread_end(svl_bus *bus)
{
    pthread_mutex_lock(&bus->lock);
    wait_for_end(bus, svl__deadline_ns(bus->destroy_timeout_ms));
    if (!bus->thread_ended) {
        atomic_store_explicit(&bus->abandoned, true, memory_order_relaxed);
        atomic_store_explicit(&bus->woken, true, memory_order_release);
        svl__ring_wake(bus->ring);
        wait_for_end(bus, svl__deadline_ns(END_MS));
    }
    bus->orphaned = !bus->thread_ended;
    bool orphaned = bus->orphaned;
    pthread_t thread = bus->thread;
    pthread_mutex_unlock(&bus->lock);
    if (orphaned)
        pthread_detach(thread);
    else
        pthread_join(thread, NULL);
    return orphaned ? SVL_E_TIMEOUT : SVL_OK;
}
