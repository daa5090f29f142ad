/* subscribers.c - who gets a record: subscribe, unsubscribe, and the walk over them.
 *
 * Who pumps holds `lock` from record to record, and lets go of it around each callback; meanwhile others
 * may come and go, but not the one that is `running` (U2). Who unsubscribes that one from elsewhere waits;
 * inside its own callback it is marked, and the walk takes it out when the callback has returned. */
#include "base/alloc.h"
#include "base/callback.h"
#include "base/options.h"
#include "base/thread.h"
#include "bus.h"

#define OPTIONS_FIRST_SIZE sizeof(svl_bus_subscription_options)

int svl_bus_subscription_options_init(svl_bus_subscription_options *options, size_t size)
{
    return svl__options_init(options, size, OPTIONS_FIRST_SIZE, "svl_bus_subscription_options");
}

static int create(svl_bus *bus, const svl_bus_subscription_options *options,
                  svl_bus_subscription **out)
{
    svl_bus_subscription_options whole;
    int rc = svl__options_copy(&whole, sizeof whole, options, OPTIONS_FIRST_SIZE,
                               "svl_bus_subscription_options");
    if (rc == SVL_OK && whole.reserved != 0)
        rc = svl__fail(SVL_E_RESERVED, "svl_bus_subscription_options.reserved is not zero");
    struct filter *filter = NULL;
    if (rc == SVL_OK)
        rc = svl__filter_compile(&whole.filter, &filter);
    if (rc != SVL_OK)
        return rc;
    *out = svl__calloc(1, sizeof **out);
    if (!*out) {
        svl__filter_destroy(filter);
        return SVL_E_NOMEM;
    }
    (*out)->bus = bus;
    (*out)->filter = filter;
    return SVL_OK;
}

int svl_bus_subscribe(svl_bus *bus, const svl_bus_subscription_options *options,
                      svl_bus_fn *callback, void *user, svl_bus_subscription **out)
{
    if (out)
        *out = NULL;
    int rc = svl__bus_check(bus, NULL);
    if (rc != SVL_OK)
        return rc;
    if (!callback)
        return svl__fail(SVL_E_INVALID, "callback is NULL");
    if (atomic_load_explicit(&bus->closed_tail, memory_order_acquire) != UINT64_MAX)
        return svl__bus_closed(bus);
    svl_bus_subscription *s;
    rc = create(bus, options, &s);
    if (rc != SVL_OK)
        return rc;
    s->callback = callback;
    s->user = user;
    pthread_mutex_lock(&bus->lock);
    s->since = bus->delivered;
    svl_bus_subscription **end = &bus->first;
    while (*end)
        end = &(*end)->next;
    *end = s;
    pthread_mutex_unlock(&bus->lock);
    if (out)
        *out = s;
    return SVL_OK;
}

/* `lock` held. */
static void take_out(svl_bus_subscription *s)
{
    svl_bus_subscription **at = &s->bus->first;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
}

static void free_subscription(svl_bus_subscription *s)
{
    svl__filter_destroy(s->filter);
    svl__free(s);
}

void svl__bus_subscriptions_free(svl_bus *bus)
{
    while (bus->first) {
        svl_bus_subscription *s = bus->first;
        bus->first = s->next;
        free_subscription(s);
    }
}

int svl_bus_unsubscribe(svl_bus_subscription *s, svl_released_fn *released)
{
    if (!s)
        return SVL_OK;
    svl_bus *bus = s->bus;
    int rc = svl__bus_check(bus, NULL);
    if (rc != SVL_OK)
        return rc;
    pthread_mutex_lock(&bus->lock);
    s->detached = true;
    s->leaves = svl__in_callback_of(s);
    s->released = released;
    bool leaves = s->leaves;
    while (!leaves && bus->running == s)
        svl__cond_wait(&bus->changed, &bus->lock, INT64_MAX);
    if (!leaves)
        take_out(s);
    pthread_mutex_unlock(&bus->lock);
    if (leaves)
        return SVL_OK;
    void *user = s->user;
    free_subscription(s);
    if (released)
        released(user);
    return SVL_OK;
}

/* --- the walk --- */

static void report(svl_bus *bus, int code, const char *what)
{
    if (svl__log_due(&bus->last_report_ns))
        svl__log(&bus->log, SVL_SEVERITY_ERROR, code, "%s", what);
}

/* `lock` held. One whose pattern cannot tell is not called: a failure, whose code goes to *failed. */
static bool wants(svl_bus *bus, const svl_bus_subscription *s, const svl_record *record,
                  int *failed)
{
    bool matches;
    int rc = svl__filter_match(s->filter, record, &matches);
    if (rc != SVL_OK) {
        bus->failures++;
        *failed = rc;
    }
    return matches;
}

/* `lock` held, and again when it returns. */
static void call(svl_bus *bus, svl_bus_subscription *s, const svl_record *record)
{
    bus->running = s;
    bus->frame.subscription = s;
    pthread_mutex_unlock(&bus->lock);
    int rc = s->callback(record, s->user);
    bus->frame.subscription = NULL;
    if (rc != SVL_OK)
        report(bus, rc, "a subscriber's callback failed");
    pthread_mutex_lock(&bus->lock);
    bus->running = NULL;
    bus->calls++;
    bus->failures += rc != SVL_OK;
    if (s->detached)
        pthread_cond_broadcast(&bus->changed);
}

/* Those that unsubscribed themselves: `user` is told as in a callback, which it is called in. */
static void release(svl_bus_subscription *gone)
{
    while (gone) {
        svl_bus_subscription *next = gone->next;
        if (gone->released)
            gone->released(gone->user);
        free_subscription(gone);
        gone = next;
    }
}

/* What a record leaves to be done without the lock. */
static void settle(svl_bus *bus, int failed, svl_bus_subscription *gone)
{
    pthread_mutex_unlock(&bus->lock);
    if (failed != SVL_OK)
        report(bus, failed,
               "a record cannot be held against a subscriber's pattern: it goes past it");
    release(gone);
    pthread_mutex_lock(&bus->lock);
}

void svl__bus_deliver(svl_bus *bus, const svl_record *record)
{
    svl_bus_subscription *gone = NULL, *next;
    int failed = SVL_OK;
    uint64_t number = ++bus->delivered;
    for (svl_bus_subscription *s = bus->first; s; s = next) {
        if (!s->detached && s->since < number && wants(bus, s, record, &failed))
            call(bus, s, record);
        next = s->next;
        if (s->leaves) {
            take_out(s);
            s->next = gone;
            gone = s;
        }
    }
    if (failed != SVL_OK || gone)
        settle(bus, failed, gone);
}
