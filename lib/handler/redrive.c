/* redrive.c - dead letters delivered again: which ones, and when it is their turn.
 *
 * Asked for as ranges of ids, which are durable with the subscription's position and are worked off one
 * after the other; what a range has come to moves with the effects. Of a range those are taken that are
 * unresolved, so one that was asked for twice is delivered once: for that a range begins only when all that
 * was resolved before is durable, and shows. Nothing above what was durable when a range was asked for is
 * in it: what fails again is not delivered over and over. */
#include <string.h>

#include "base/error.h"
#include "deadletter.h"
#include "subscription.h"

bool svl__redrive_is_due(const svl_subscription *s)
{
    const struct handlers *h = s->handlers;
    return s->redrive.count > 0 && h->durable_id >= s->redrive_after && !h->stopping;
}

void svl__redrive_advance(struct redrive *redrive, uint64_t id)
{
    redrive->ranges[0].next = id + 1;
    if (id < redrive->ranges[0].last)
        return;
    redrive->count--;
    memmove(redrive->ranges, redrive->ranges + 1, redrive->count * sizeof redrive->ranges[0]);
}

/* The last range, when it is not being worked on, takes one in that it meets. */
static bool join(struct redrive *redrive, uint64_t first, uint64_t last)
{
    if (redrive->count < 2)
        return false;
    uint64_t *next = &redrive->ranges[redrive->count - 1].next;
    uint64_t *end = &redrive->ranges[redrive->count - 1].last;
    if (first > *end + 1 || last + 1 < *next)
        return false;
    *next = first < *next ? first : *next;
    *end = last > *end ? last : *end;
    return true;
}

/* `lock` held. */
static int ask(svl_subscription *s, uint64_t first, uint64_t last)
{
    struct handlers *h = s->handlers;
    struct redrive before = s->redrive;
    svl__scanner_leave(s);
    if (!join(&s->redrive, first, last)) {
        if (s->redrive.count == REDRIVE_RANGES_MAX)
            return svl__fail(SVL_E_BUSY,
                             "subscription %s has %d ranges of dead letters to deliver again",
                             s->name, REDRIVE_RANGES_MAX);
        s->redrive.ranges[s->redrive.count].next = first;
        s->redrive.ranges[s->redrive.count++].last = last;
    }
    int rc = svl__progress_save(s, false, NULL);
    if (rc != SVL_OK)
        s->redrive = before;
    /* Who is not scanned any more sees to what the scanner had still before it. */
    if (s->state == SUBSCRIPTION_IDLE && h->started &&
        (s->position < h->durable_id || svl__redrive_is_due(s)))
        svl__subscription_ready(s);
    return rc;
}

int svl__handlers_redrive(struct handlers *h, const char *name, uint64_t id_min, uint64_t id_max)
{
    if (!name)
        return svl__fail(SVL_E_INVALID, "the subscription's name is NULL");
    int rc = svl__subscription_check_name(name);
    if (rc != SVL_OK)
        return rc;
    uint64_t first = id_min ? id_min : 1, last = svl__store_durable_id(h->options.store);
    if (id_max != 0 && id_max < first)
        return svl__fail(SVL_E_INVALID, "ids from %llu to %llu", (unsigned long long)first,
                         (unsigned long long)id_max);
    if (id_max != 0 && id_max < last)
        last = id_max;
    pthread_mutex_lock(&h->lock);
    svl_subscription *s = svl__subscription_find(h, name);
    if (h->stopping || h->ending)
        rc = svl__fail(SVL_E_CLOSED, "the pipeline has been stopped");
    else if (!s)
        rc = SVL_E_NOT_FOUND;
    else if (first <= last)
        rc = ask(s, first, last);
    pthread_mutex_unlock(&h->lock);
    return rc;
}

int svl__handlers_dead_letters(struct handlers *h, const char *name, uint64_t id_min,
                               uint64_t id_max, svl_cursor **out)
{
    *out = NULL;
    int rc = name && name[0] ? svl__subscription_check_name(name) : SVL_OK;
    return rc == SVL_OK ? svl__deadletter_query(h->options.store, name, id_min, id_max, out) : rc;
}
