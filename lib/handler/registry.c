/* registry.c - who is subscribed: registration, the queue of those that are ready, stop and end. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/callback.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "base/options.h"
#include "base/thread.h"
#include "subscription.h"

#define OPTIONS_FIRST_SIZE sizeof(svl_stored_options)
#define NAME_MAX_BYTES 128
#define THREAD_RETRY_MS 100

int svl_stored_options_init(svl_stored_options *options, size_t size)
{
    return svl__options_init(options, size, OPTIONS_FIRST_SIZE, "svl_stored_options");
}

int svl__subscription_check_name(const char *name)
{
    size_t len = strlen(name);
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    if (len == 0 || len > NAME_MAX_BYTES || strspn(name, allowed) != len)
        return svl__fail(SVL_E_INVALID,
                         "subscription name \"%.130s\": 1 to %d of A-Z a-z 0-9 . _ -", name,
                         NAME_MAX_BYTES);
    return SVL_OK;
}

const char *svl__subscription_name(const svl_subscription *s)
{
    return s->name ? s->name : "(unnamed)";
}

static int check_u32(uint32_t *value, uint32_t by_default, uint32_t max, const char *name)
{
    if (*value == 0)
        *value = by_default;
    return *value > max ? svl__fail(SVL_E_OPTION, "%s is %u; at most %u", name, *value, max)
                        : SVL_OK;
}

static int check_giving_up(svl_stored_options *o)
{
    if (o->on_failure > SVL_ON_FAILURE_PAUSE)
        return svl__fail(SVL_E_OPTION, "on_failure is %u; SVL_ON_FAILURE_*", o->on_failure);
    if (o->record_age_ms_max > (uint64_t)INT64_MAX / NS_PER_MS)
        return svl__fail(SVL_E_OPTION, "record_age_ms_max is %llu",
                         (unsigned long long)o->record_age_ms_max);
    if (o->record_age_ms_max != 0 && o->on_failure == SVL_ON_FAILURE_PAUSE)
        return svl__fail(SVL_E_OPTION,
                         "record_age_ms_max with SVL_ON_FAILURE_PAUSE: no pause makes "
                         "a record younger");
    return check_u32(&o->deadletter_streak_max, 1000, UINT32_MAX, "deadletter_streak_max");
}

static int check_options(const svl_stored_options *from, svl_stored_options *o)
{
    int rc = svl__options_copy(o, sizeof *o, from, OPTIONS_FIRST_SIZE, "svl_stored_options");
    if (rc == SVL_OK && o->name)
        rc = svl__subscription_check_name(o->name);
    if (rc == SVL_OK && o->reserved != 0)
        rc = svl__fail(SVL_E_RESERVED, "svl_stored_options.reserved is not zero");
    if (rc == SVL_OK && o->start_at > SVL_START_ID)
        rc = svl__fail(SVL_E_OPTION, "start_at is %u; SVL_START_*", o->start_at);
    if (rc == SVL_OK && o->start_at == SVL_START_ID && o->start_id == 0)
        rc = svl__fail(SVL_E_OPTION, "start_id is 0; ids start at 1");
    if (o->batch_bytes_max == 0)
        o->batch_bytes_max = 1 << 20;
    if (rc == SVL_OK && o->batch_bytes_max > UINT64_C(1) << 30)
        rc = svl__fail(SVL_E_OPTION, "batch_bytes_max is above 1 GiB");
    if (rc == SVL_OK)
        rc = check_u32(&o->batch_records_max, 100, 100000, "batch_records_max");
    if (rc == SVL_OK)
        rc = check_u32(&o->ack_deadline_ms, 10000, 86400000, "ack_deadline_ms");
    if (rc == SVL_OK && o->batch_window_ms > 3600000)
        rc = svl__fail(SVL_E_OPTION, "batch_window_ms is %u; at most an hour", o->batch_window_ms);
    if (rc == SVL_OK)
        rc = check_u32(&o->retry_attempts_max, 10, UINT32_MAX, "retry_attempts_max");
    if (rc == SVL_OK)
        rc = check_u32(&o->retry_base_ms, 100, 3600000, "retry_base_ms");
    if (rc == SVL_OK)
        rc = check_u32(&o->retry_max_ms, 60000, 86400000, "retry_max_ms");
    if (rc == SVL_OK)
        rc = check_u32(&o->checkpoint_interval_ms, 100, 3600000, "checkpoint_interval_ms");
    if (rc == SVL_OK)
        rc = check_u32(&o->hops_max, 16, UINT32_MAX, "hops_max");
    if (rc == SVL_OK)
        rc = check_giving_up(o);
    if (o->retry_max_ms < o->retry_base_ms)
        o->retry_max_ms = o->retry_base_ms;
    return rc;
}

int svl__handlers_create(const struct handlers_options *options, struct handlers **out)
{
    *out = NULL;
    struct handlers *h = svl__calloc(1, sizeof *h);
    if (!h)
        return SVL_E_NOMEM;
    h->options = *options;
    h->threads = svl__calloc(options->workers_max, sizeof *h->threads);
    if (!h->threads) {
        svl__free(h);
        return SVL_E_NOMEM;
    }
    int rc = svl__scanner_create(h, &h->scanner);
    if (rc != SVL_OK) {
        svl__free(h->threads);
        svl__free(h);
        return rc;
    }
    h->references = 1;
    h->process_mark = svl__process_mark();
    h->log = svl__store_log(options->store);
    h->durable_id = svl__store_durable_id(options->store);
    pthread_mutex_init(&h->lock, NULL);
    svl__cond_init(&h->work);
    svl__cond_init(&h->changed);
    svl__cond_init(&h->polls);
    *out = h;
    return SVL_OK;
}

/* --- who is there; `lock` held --- */

void svl__alone_add(svl_subscription *s)
{
    struct handlers *h = s->handlers;
    s->alone_next = h->alone;
    s->alone_at = &h->alone;
    if (h->alone)
        h->alone->alone_at = &s->alone_next;
    h->alone = s;
}

void svl__alone_remove(svl_subscription *s)
{
    *s->alone_at = s->alone_next;
    if (s->alone_next)
        s->alone_next->alone_at = s->alone_at;
}

static svl_subscription **place_of(struct handlers *h, const char *name)
{
    return &h->by_name[svl__checksum(name, strlen(name)) % SUBSCRIPTION_HASHES];
}

svl_subscription *svl__subscription_find(struct handlers *h, const char *name)
{
    svl_subscription *s = *place_of(h, name);
    while (s && strcmp(s->name, name) != 0)
        s = s->name_next;
    return s;
}

static void enlist(svl_subscription *s)
{
    struct handlers *h = s->handlers;
    s->next = h->first;
    h->first = s;
    h->pushing += !s->pulls;
    svl__alone_add(s);
    if (!s->name)
        return;
    svl_subscription **place = place_of(h, s->name);
    s->name_next = *place;
    *place = s;
}

static void strike(svl_subscription *s)
{
    struct handlers *h = s->handlers;
    svl_subscription **at = &h->first;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    h->pushing -= !s->pulls;
    svl__alone_remove(s);
    if (!s->name)
        return;
    for (at = place_of(h, s->name); *at != s; at = &(*at)->name_next)
        ;
    *at = s->name_next;
}

/* --- the queue; `lock` held --- */

void svl__subscription_queue(svl_subscription *s)
{
    struct handlers *h = s->handlers;
    svl__scanner_leave(s);
    s->state = SUBSCRIPTION_READY;
    if (s->pulls)
        return;
    s->ready_next = NULL;
    h->ready_count++;
    if (h->ready_last)
        h->ready_last->ready_next = s;
    else
        h->ready_first = s;
    h->ready_last = s;
}

void svl__subscription_ready(svl_subscription *s)
{
    svl__subscription_queue(s);
    if (s->pulls)
        svl__pull_tell(s);
    else
        svl__workers_wake(s->handlers);
}

void svl__ready_remove(svl_subscription *s)
{
    struct handlers *h = s->handlers;
    svl_subscription **at = &h->ready_first, *before = NULL;
    while (*at && *at != s) {
        before = *at;
        at = &(*at)->ready_next;
    }
    if (!*at)
        return;
    h->ready_count--;
    *at = s->ready_next;
    if (h->ready_last == s)
        h->ready_last = before;
}

svl_subscription *svl__ready_take(struct handlers *h)
{
    svl_subscription *s = h->ready_first;
    if (s) {
        h->ready_count--;
        h->ready_first = s->ready_next;
        if (!h->ready_first)
            h->ready_last = NULL;
    }
    return s;
}

/* Those that are durable by now are found where all positions are. */
static void drop_durable(struct handlers *h)
{
    uint64_t ticket = svl__store_durable_ticket(h->options.store);
    for (struct parted **at = &h->parted; h->loading == 0 && *at;) {
        struct parted *parted = *at;
        if (parted->ticket > ticket) {
            at = &parted->next;
            continue;
        }
        *at = parted->next;
        svl__free(parted);
    }
}

/* Its name may be opened again before its last position is durable. */
static void part(svl_subscription *s, uint64_t ticket)
{
    struct handlers *h = s->handlers;
    struct parted *parted = s->parted;
    drop_durable(h);
    if (!parted)
        return;
    parted->ticket = ticket;
    parted->progress = svl__progress_of(s);
    parted->resolved_id = s->resolved_id;
    parted->next = h->parted;
    h->parted = parted;
    s->parted = NULL;
}

/* Takes over what the last opener of the name has left; false: this process had none. */
static bool take_over(svl_subscription *s)
{
    struct handlers *h = s->handlers;
    struct parted **at = &h->parted;
    while (*at && strcmp((*at)->name, s->name) != 0)
        at = &(*at)->next;
    struct parted *parted = *at;
    if (!parted)
        return false;
    s->position = s->saved = parted->progress.position;
    s->paused = parted->progress.paused;
    s->redrive = parted->progress.redrive;
    s->resolved_id = s->redrive_after = parted->resolved_id;
    s->dirty = parted->ticket == UINT64_MAX;
    *at = parted->next;
    svl__free(parted);
    return true;
}

void svl__subscription_free(svl_subscription *s)
{
    svl_cursor_close(s->live.cursor);
    svl_cursor_close(s->letters.cursor);
    svl__delivery_destroy(s->delivery);
    svl__filter_destroy(s->filter);
    svl__free(s->parted);
    svl__free(s);
}

void svl__subscription_end(svl_subscription *s)
{
    struct handlers *h = s->handlers;
    svl__scanner_forget(s);
    strike(s);
    svl__ready_remove(s);
    int rc = SVL_OK;
    if (s->name && (s->dirty || s->saved != s->position))
        rc = svl__progress_save(s, false, NULL);
    /* Without memory for it: what it has done comes again, after a crash. */
    part(s, rc == SVL_OK ? svl__store_last_ticket(h->options.store) : UINT64_MAX);
    svl__subscription_free(s);
    pthread_cond_broadcast(&h->changed);
}

/* --- registration --- */

static void set_start(svl_subscription *s)
{
    svl_store *store = s->handlers->options.store;
    if (s->options.start_at == SVL_START_EARLIEST)
        s->position = svl__store_first_id(store) - 1;
    else if (s->options.start_at == SVL_START_ID)
        s->position = s->options.start_id - 1;
    else
        s->position = svl__store_durable_id(store);
}

static int copy_name(svl_subscription *s)
{
    size_t size = strlen(s->options.name) + 1;
    s->parted = svl__malloc(sizeof *s->parted + size);
    if (!s->parted)
        return SVL_E_NOMEM;
    s->name = memcpy(s->parted->name, s->options.name, size);
    return SVL_OK;
}

int svl__subscription_create(struct handlers *h, const svl_stored_options *options,
                             svl_subscription **out)
{
    svl_subscription *s = svl__calloc(1, sizeof *s);
    *out = s;
    if (!s)
        return SVL_E_NOMEM;
    s->handlers = h;
    int rc = check_options(options, &s->options);
    if (rc == SVL_OK)
        rc = svl__filter_compile(&s->options.filter, &s->filter);
    if (rc == SVL_OK && s->options.name)
        rc = copy_name(s);
    /* What the caller lent is copied: nothing of it is looked at later. */
    s->options.name = s->name;
    s->options.filter = (svl_filter){ 0 };
    return rc;
}

/* The durable position; `parted` may know a newer one, and keeps it until this one is added or given up. */
static int load(svl_subscription *s, bool *is_new)
{
    bool found = false;
    int rc = s->name ? svl__progress_load(s, &found) : SVL_OK;
    if (rc == SVL_OK && !found)
        set_start(s);
    *is_new = !found;
    return rc;
}

static void count_loading(struct handlers *h, int by)
{
    pthread_mutex_lock(&h->lock);
    h->loading += (unsigned)by;
    pthread_mutex_unlock(&h->lock);
}

/* A new name's start is made durable before anything is handed out, so that LATEST means the same after a
 * crash. Without memory it is tried again like any position that is due. */
static int save_start(svl_subscription *s)
{
    int rc = svl__progress_save(s, false, NULL);
    return rc == SVL_E_NOMEM ? SVL_OK : rc;
}

/* `lock` held. */
static int add(svl_subscription *s, bool is_new)
{
    struct handlers *h = s->handlers;
    if (s->name && svl__subscription_find(h, s->name))
        return svl__fail(SVL_E_BUSY, "subscription %s is open", s->name);
    int rc = !(s->name && take_over(s)) && is_new ? save_start(s) : SVL_OK;
    if (rc != SVL_OK)
        return rc;
    s->subject = svl__crash_subscription(s->name, s->name ? 0 : ++h->unnamed);
    svl__crash_settle(h->options.crash, MARKED_STORED, s->subject, s->position);
    enlist(s);
    s->state = s->paused ? SUBSCRIPTION_PAUSED : SUBSCRIPTION_IDLE;
    if (!s->paused && h->started && (s->position < h->durable_id || svl__redrive_is_due(s)))
        svl__subscription_ready(s);
    svl__scanner_join(s);
    return SVL_OK;
}

/* `lock` held. */
static int add_or_join(svl_subscription *s, svl_consumer *c, bool is_new)
{
    struct handlers *h = s->handlers;
    if (h->stopping || h->ending)
        return svl__fail(SVL_E_CLOSED, "the pipeline has been stopped");
    if (h->failed)
        return svl__fail(SVL_E_FAILED, "after a failure nothing is handed out any more");
    int rc = c ? svl__consumer_join(c, s->name) : SVL_E_NOT_FOUND;
    if (rc != SVL_E_NOT_FOUND)
        return rc;
    rc = add(s, is_new);
    if (rc == SVL_OK && c) {
        c->subscription = s;
        s->consumers = c;
    }
    return rc;
}

int svl__subscription_admit(svl_subscription *s, svl_consumer *c)
{
    struct handlers *h = s->handlers;
    bool is_new;
    count_loading(h, 1);
    int rc = load(s, &is_new);
    pthread_mutex_lock(&h->lock);
    if (rc == SVL_OK)
        rc = add_or_join(s, c, is_new);
    pthread_mutex_unlock(&h->lock);
    count_loading(h, -1);
    return rc;
}

int svl__handlers_subscribe(struct handlers *h, const svl_stored_options *options,
                            svl_stored_fn *handler, void *user, svl_subscription **out)
{
    if (out)
        *out = NULL;
    if (!handler)
        return svl__fail(SVL_E_INVALID, "handler is NULL");
    svl_subscription *s;
    int rc = svl__subscription_create(h, options, &s);
    if (rc == SVL_OK) {
        s->fn = handler;
        s->user = user;
        rc = svl__subscription_admit(s, NULL);
    }
    if (rc != SVL_OK) {
        if (s)
            svl__subscription_free(s);
        return rc;
    }
    if (out)
        *out = s;
    return SVL_OK;
}

/* --- running --- */

bool svl__window_may_be_full(const svl_subscription *s)
{
    return s->state == SUBSCRIPTION_WAITING && s->window_until_ns != 0 &&
           s->handlers->durable_id - s->window_id >= s->options.batch_records_max;
}

static void wake_behind(struct handlers *h)
{
    for (svl_subscription *s = h->alone; s; s = s->alone_next)
        if ((s->state == SUBSCRIPTION_IDLE &&
             (s->position < h->durable_id || svl__redrive_is_due(s))) ||
            svl__window_may_be_full(s))
            svl__subscription_ready(s);
    if (svl__scanner_due_ns(h->scanner) == 0)
        svl__workers_wake(h);
}

void svl__handlers_start(struct handlers *h)
{
    pthread_mutex_lock(&h->lock);
    h->started = true;
    svl__scanner_begin(h);
    wake_behind(h);
    pthread_mutex_unlock(&h->lock);
}

void svl__handlers_note_durable(struct handlers *h, uint64_t id)
{
    if (id <= h->durable_id)
        return;
    h->durable_id = id;
    if (h->started && !h->stopping)
        wake_behind(h);
}

void svl__handlers_durable(struct handlers *h, uint64_t id)
{
    pthread_mutex_lock(&h->lock);
    svl__workers_owe_wakes(h); /* whoever is woken takes the lock */
    svl__handlers_note_durable(h, id);
    if (h->short_of_threads && h->ready_first)
        svl__workers_wake(h);
    bool tell = h->short_of_threads && !h->short_told;
    h->short_told |= tell;
    svl__workers_pay_wakes(h);
    if (tell)
        svl__log(h->log, SVL_SEVERITY_ERROR, SVL_E_RESOURCE,
                 "no thread for stored handlers; tried again with the next record");
}

void svl__handlers_stats_get(struct handlers *h, struct handlers_stats *stats)
{
    pthread_mutex_lock(&h->lock);
    *stats = (struct handlers_stats){ .workers = h->workers,
                                      .emitted = h->emitted,
                                      .dead_letters = h->dead_letters,
                                      .dropped = h->dropped,
                                      .resolved = h->resolved,
                                      .callbacks_running = h->running };
    pthread_mutex_unlock(&h->lock);
}

/* --- the end --- */

static bool is_quiet(const struct handlers *h)
{
    for (const svl_subscription *s = h->first; s; s = s->next)
        if (s->state == SUBSCRIPTION_READY || s->state == SUBSCRIPTION_RUNNING ||
            s->state == SUBSCRIPTION_WAITING)
            return false;
    return true;
}

/* Whoever polls ends. */
static void tell_all(struct handlers *h)
{
    for (svl_subscription *s = h->first; s; s = s->next)
        if (s->pulls)
            svl__pull_tell(s);
}

void svl__handlers_failed(struct handlers *h)
{
    pthread_mutex_lock(&h->lock);
    h->failed = true;
    pthread_cond_broadcast(&h->work);
    pthread_cond_broadcast(&h->changed);
    tell_all(h);
    pthread_mutex_unlock(&h->lock);
}

/* Everybody gets one more turn, up to the stop's id; but nobody polls any more. */
static void begin_stop(struct handlers *h)
{
    h->stopping = true;
    for (svl_subscription *s = h->first; s; s = s->next) {
        svl__scanner_leave(s);
        if (s->state == SUBSCRIPTION_IDLE || s->state == SUBSCRIPTION_WAITING) {
            if (s->position < h->stop_id && !s->pulls)
                svl__subscription_ready(s);
            else
                s->state = SUBSCRIPTION_HALTED;
        } else if (s->pulls && s->state == SUBSCRIPTION_READY) {
            s->state = SUBSCRIPTION_HALTED;
        }
    }
    tell_all(h);
}

/* `lock` held. */
static int save_all(struct handlers *h, uint64_t *ticket)
{
    int rc = SVL_OK;
    for (svl_subscription *s = h->first; s && rc == SVL_OK; s = s->next)
        if (s->name && (s->dirty || s->saved != s->position))
            rc = svl__progress_save(s, true, ticket);
    return rc;
}

/* Those that are scanned have come to the stop's id, or are ready; they would all read the rest, each for itself. What
 * handlers emit meanwhile is not waited for: they may go on for ever. */
static bool is_scanned_through(const struct handlers *h)
{
    return svl__scanner_is_done(h->scanner, h->stop_id);
}

/* `lock` held: waits until nobody is busy. Without a thread to be had it is tried again now and then:
 * nothing becomes durable any more that would do so. */
static int wait_for_turns(struct handlers *h, bool (*is_over)(const struct handlers *),
                          int64_t deadline_ns)
{
    while (!is_over(h) && !h->failed) {
        if (svl__monotonic_ns() >= deadline_ns)
            return SVL_E_TIMEOUT;
        int64_t until_ns = deadline_ns;
        if (h->short_of_threads) {
            svl__workers_wake(h);
            int64_t again_ns = svl__deadline_ns(THREAD_RETRY_MS);
            until_ns = again_ns < deadline_ns ? again_ns : deadline_ns;
        }
        if (h->options.due)
            svl__handlers_take_turns(h, deadline_ns);
        else
            svl__cond_wait(&h->changed, &h->lock, until_ns);
    }
    return SVL_OK;
}

int svl__handlers_stop(struct handlers *h, uint64_t last_id, int64_t deadline_ns)
{
    pthread_mutex_lock(&h->lock);
    int rc = SVL_OK;
    if (!h->stopping) {
        h->stop_id = last_id;
        svl__handlers_note_durable(h, last_id);
        rc = wait_for_turns(h, is_scanned_through, deadline_ns);
    }
    if (rc == SVL_OK && !h->stopping)
        begin_stop(h);
    if (rc == SVL_OK)
        rc = wait_for_turns(h, is_quiet, deadline_ns);
    if (h->failed)
        rc = SVL_E_FAILED;
    uint64_t ticket = 0;
    if (rc == SVL_OK)
        rc = save_all(h, &ticket);
    pthread_mutex_unlock(&h->lock);
    if (rc == SVL_OK && ticket != 0)
        rc = svl__store_wait(h->options.store, ticket, deadline_ns);
    return rc;
}

void svl__handlers_release(struct handlers *h)
{
    pthread_mutex_lock(&h->lock);
    bool last = --h->references == 0;
    pthread_mutex_unlock(&h->lock);
    if (!last)
        return;
    pthread_cond_destroy(&h->polls);
    pthread_cond_destroy(&h->changed);
    pthread_cond_destroy(&h->work);
    pthread_mutex_destroy(&h->lock);
    svl__free(h);
}

/* What is left of a polled one belongs to the host, and says SVL_E_CLOSED from now on. */
static void leave_consumers(svl_subscription *s)
{
    if (s->state == SUBSCRIPTION_HELD)
        svl__pull_recall(s);
    struct svl_consumer *c = s->consumers;
    svl__pull_tell(s);
    for (; c; c = c->next)
        c->subscription = NULL;
}

void svl__handlers_free(struct handlers *h)
{
    void (*last)(void *) = h->last;
    void *user = h->last_user;
    svl__workers_join(h);
    pthread_mutex_lock(&h->lock);
    h->ending = true;
    while (h->first) {
        svl_subscription *s = h->first;
        h->first = s->next;
        leave_consumers(s);
        svl__subscription_free(s);
    }
    while (h->parted) {
        struct parted *parted = h->parted;
        h->parted = parted->next;
        svl__free(parted);
    }
    svl__free(h->threads);
    svl__scanner_destroy(h->scanner);
    h->scanner = NULL;
    pthread_mutex_unlock(&h->lock);
    svl__handlers_release(h);
    if (last)
        last(user);
}

int svl__handlers_destroy(struct handlers *h, int64_t deadline_ns, void (*last)(void *),
                          void *last_user)
{
    pthread_mutex_lock(&h->lock);
    h->ending = true;
    pthread_cond_broadcast(&h->work);
    tell_all(h);
    while (h->workers + h->pulling > 0 && svl__cond_wait(&h->changed, &h->lock, deadline_ns))
        ;
    bool left = h->workers + h->pulling > 0;
    if (left) {
        h->last = last;
        h->last_user = last_user;
    }
    pthread_mutex_unlock(&h->lock);
    if (left)
        return SVL_E_TIMEOUT;
    svl__handlers_free(h);
    return SVL_OK;
}
