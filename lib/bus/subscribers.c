/* subscribers.c - who gets a record: subscribe, unsubscribe, and the walk over them.
 *
 * Between two records, who pumps
 *
 *     has `lock`  --a record; one subscription is left-->  runs it, without `lock`
 *                 <--`is_changed`, or the pump ends------
 *
 * The only subscription goes on running from record to record: its calls take no lock. Of several each is running
 * for its call alone. Others may come and go meanwhile, but not the one that is `running` (U2): who unsubscribes that
 * one from elsewhere sets `is_changed` and waits until who pumps, who looks at it before each call, has stopped it.
 * Inside its own callback it is marked, and taken out when the callback has returned. */
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
    s->since = atomic_load_explicit(&bus->delivered, memory_order_relaxed);
    svl_bus_subscription **end = &bus->first;
    while (*end)
        end = &(*end)->next;
    *end = s;
    atomic_store_explicit(&bus->is_changed, true, memory_order_relaxed);
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
    atomic_store_explicit(&bus->is_changed, true, memory_order_relaxed);
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

/* Who pumps is the only one that counts. */
static void count(_Atomic uint64_t *counter, uint64_t n)
{
    uint64_t before = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, before + n, memory_order_relaxed);
}

/* `lock` held: given back. */
static void start(svl_bus *bus, svl_bus_subscription *s)
{
    bus->running = s;
    bus->frame.subscription = s;
    pthread_mutex_unlock(&bus->lock);
}

/* `lock` held again. */
static void stop(svl_bus *bus)
{
    bus->frame.subscription = NULL;
    pthread_mutex_lock(&bus->lock);
    if (bus->running->detached)
        pthread_cond_broadcast(&bus->changed);
    bus->running = NULL;
}

/* One whose pattern cannot tell is not called: a failure, whose code goes to *failed. */
static bool wants(svl_bus *bus, const svl_bus_subscription *s, const svl_record *record,
                  int *failed)
{
    bool matches;
    int rc = svl__filter_match(s->filter, record, &matches);
    if (rc != SVL_OK) {
        count(&bus->failures, 1);
        *failed = rc;
    }
    return matches;
}

/* The running one. */
static void call(svl_bus *bus, const svl_bus_subscription *s, const svl_record *record)
{
    int rc = s->callback(record, s->user);
    count(&bus->calls, 1);
    if (rc == SVL_OK)
        return;
    count(&bus->failures, 1);
    report(bus, rc, "a subscriber's callback failed");
}

/* `lock` held. Those that unsubscribed themselves, taken out. */
static svl_bus_subscription *take_leaving(svl_bus *bus)
{
    svl_bus_subscription *gone = NULL;
    for (svl_bus_subscription **at = &bus->first; *at;) {
        svl_bus_subscription *s = *at;
        if (!s->leaves) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        s->next = gone;
        gone = s;
    }
    return gone;
}

/* `user` is told as in a callback, which it is called in. */
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

/* `lock` held, but not while those that left are told. */
static void settle(svl_bus *bus)
{
    while (atomic_load_explicit(&bus->is_changed, memory_order_relaxed)) {
        atomic_store_explicit(&bus->is_changed, false, memory_order_relaxed);
        svl_bus_subscription *gone = take_leaving(bus);
        pthread_mutex_unlock(&bus->lock);
        release(gone);
        pthread_mutex_lock(&bus->lock);
    }
}

/* `lock` held, but not in callbacks. Who comes during this record gets the next. */
static void offer_to_all(svl_bus *bus, const svl_record *record, uint64_t number, int *failed)
{
    for (svl_bus_subscription *s = bus->first; s; s = s->next) {
        if (s->detached || s->since >= number || !wants(bus, s, record, failed))
            continue;
        start(bus, s);
        call(bus, s, record);
        stop(bus);
    }
}

static svl_bus_subscription *find_only(const svl_bus *bus)
{
    svl_bus_subscription *s = bus->first;
    return s && !s->next && !s->detached ? s : NULL;
}

/* The changes that are visible: whoever made one and then published this record sees it heeded, for the record's
 * header was loaded before. */
static void heed_changes(svl_bus *bus)
{
    if (bus->running && atomic_load_explicit(&bus->is_changed, memory_order_relaxed))
        stop(bus);
    if (bus->running)
        return;
    settle(bus);
    svl_bus_subscription *only = find_only(bus);
    if (only)
        start(bus, only);
}

void svl__bus_deliver(svl_bus *bus, const svl_record *record)
{
    int failed = SVL_OK;
    heed_changes(bus);
    count(&bus->delivered, 1);
    if (!bus->running)
        offer_to_all(bus, record, atomic_load_explicit(&bus->delivered, memory_order_relaxed),
                     &failed);
    else if (wants(bus, bus->running, record, &failed))
        call(bus, bus->running, record);
    if (failed == SVL_OK)
        return;
    svl__bus_let_go(bus);
    report(bus, failed, "a record cannot be held against a subscriber's pattern: it goes past it");
    svl__bus_take_up(bus);
}

void svl__bus_deliver_begin(svl_bus *bus)
{
    pthread_mutex_lock(&bus->lock);
}

void svl__bus_deliver_end(svl_bus *bus)
{
    if (bus->running)
        stop(bus);
    settle(bus);
    pthread_mutex_unlock(&bus->lock);
}

void svl__bus_let_go(svl_bus *bus)
{
    if (!bus->running)
        pthread_mutex_unlock(&bus->lock);
}

void svl__bus_take_up(svl_bus *bus)
{
    if (!bus->running)
        pthread_mutex_lock(&bus->lock);
}
