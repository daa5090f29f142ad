/* outcome.c - what becomes of a batch after the call: effects and position into the log, another attempt,
 * a split, or records that are given up.
 *
 * Without marks a failed call says nothing of which record it was. When its attempts are used up, the
 * batch is split: halves are tried until the record stands alone that cannot be done; splits are not
 * attempts. That record is given up, and with it those that the handler rejects and those that are too
 * old: for each a dead letter is written, or it is dropped, or the subscription pauses before it. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "deadletter.h"
#include "delivery.h"
#include "record/wire.h"

#define ACCEPT_POLL_MS 100

void svl__set_position(svl_subscription *s, uint64_t position)
{
    svl__crash_settle(s->handlers->options.crash, delivery_kind(s), s->subject, position);
    uint32_t ranges = s->redrive.count;
    if (s->redriving)
        svl__redrive_advance(&s->redrive, position);
    else
        s->position = position;
    if (s->redrive.count < ranges)
        s->redrive_after = s->resolved_id;
    s->attempts = 0;
    s->batch_end = 0;
    if (position >= s->split_end)
        s->split_end = 0;
}

/* Waits until the store takes records; SVL_E_CLOSED when it does not and somebody waits for this turn. A consumer's
 * turn is a thread of the host's: it does not wait for a shortage to end, but hears of it. */
static int wait_accepts(svl_subscription *s)
{
    struct handlers *h = s->handlers;
    int rc;
    do {
        rc = svl__store_wait_accepts(h->options.store, svl__deadline_ns(ACCEPT_POLL_MS));
        int shortage = rc == SVL_E_TIMEOUT && s->pulls ? svl__store_waits_for(h->options.store) : 0;
        if (shortage)
            return svl__fail(shortage, "the store takes no records now: the batch comes again");
        pthread_mutex_lock(&h->lock);
        if (rc == SVL_E_TIMEOUT && (h->ending || s->detached))
            rc = SVL_E_CLOSED;
        pthread_mutex_unlock(&h->lock);
    } while (rc == SVL_E_TIMEOUT);
    return rc;
}

/* --- records that are settled: done, or given up --- */

/* What is settled with one batch of the journal: records [from, to) of the batch. */
struct settling {
    size_t from, to;
    const struct giving_up *why; /* of all of them; NULL: done, but for those that were rejected */
    size_t done, dropped, letters;
    size_t first; /* of those given up */
    struct giving_up first_why;
};

static uint32_t attempts_of(const svl_subscription *s)
{
    return s->split_end ? s->options.retry_attempts_max : s->attempts;
}

/* Whether record `i` is given up, and why. */
static bool is_given_up(const svl_subscription *s, const struct settling *x, size_t i,
                        struct giving_up *why)
{
    if (x->why) {
        *why = *x->why;
        return true;
    }
    const char *error = svl__batch_rejection(&s->delivery->batch, i);
    if (!error)
        return false;
    int64_t now = svl__wall_ns();
    *why = (struct giving_up){ .condition = CONDITION_REJECT,
                               .code = SVL_FAIL,
                               .attempts = s->delivery->batch.attempt,
                               .error = error,
                               .first_ns = s->attempts > 0 ? s->failed_first_ns : now,
                               .last_ns = now };
    return true;
}

/* L2: what is in the log as a dead letter already is only dropped. */
static bool gets_letter(const svl_subscription *s, const svl_record *record)
{
    return s->options.on_failure == SVL_ON_FAILURE_DEADLETTER && !svl__deadletter_is(record);
}

/* At most so many bytes settle the records. */
static uint64_t measure(const svl_subscription *s, const struct settling *x)
{
    const struct svl_batch *batch = &s->delivery->batch;
    const struct emit *emits = (const struct emit *)(const void *)batch->emit_list.data;
    uint64_t bytes = 0;
    for (size_t i = 0; !x->why && i < batch->emit_list.len / sizeof *emits; i++)
        if (emits[i].cause >= x->from && emits[i].cause < x->to)
            bytes += emits[i].len;
    struct giving_up why;
    for (size_t i = x->from; i < x->to; i++) {
        if (is_given_up(s, x, i, &why) && gets_letter(s, &batch->records[i]))
            bytes += svl__wire_size(&batch->records[i]) + DEADLETTER_EXTRA_BYTES;
        if (s->redriving)
            bytes += DEADLETTER_RESOLVED_BYTES;
    }
    return bytes;
}

/* As many of the records as one batch of the journal holds, one at least. */
static void take_what_fits(const svl_subscription *s, struct settling *x)
{
    uint64_t max = svl__store_feed_bytes_max(s->handlers->options.store) - FEED_REST_BYTES;
    while (x->to - x->from > 1 && measure(s, x) > max)
        x->to = x->from + (x->to - x->from) / 2;
}

/* The emits of the records that are done, as items of a feed. */
static void gather_emits(svl_subscription *s, const struct settling *x)
{
    struct delivery *d = s->delivery;
    if (x->why)
        return;
    const struct emit *emits = (const struct emit *)(const void *)d->batch.emit_list.data;
    size_t n = d->batch.emit_list.len / sizeof *emits;
    struct giving_up why;
    for (size_t i = 0; i < n; i++) {
        if (emits[i].cause < x->from || emits[i].cause >= x->to ||
            is_given_up(s, x, emits[i].cause, &why))
            continue;
        struct feed_item item = { .wire = d->batch.emits.data + emits[i].offset,
                                  .len = emits[i].len };
        svl__buffer_append(&d->items, &item, sizeof item);
    }
}

/* Dead letters of those that are given up, and what resolves those that were delivered again. */
static void write_letters(svl_subscription *s, struct settling *x)
{
    struct delivery *d = s->delivery;
    for (size_t i = x->from; i < x->to; i++) {
        const svl_record *record = &d->batch.records[i];
        enum deadletter_outcome outcome = OUTCOME_DONE;
        uint64_t letter_id = s->redriving ? delivery_id(d, i) : 0;
        struct giving_up why;
        if (!is_given_up(s, x, i, &why)) {
            x->done++;
        } else {
            if (x->dropped + x->letters == 0) {
                x->first = i;
                x->first_why = why;
            }
            bool letter = gets_letter(s, record);
            outcome = letter ? OUTCOME_AGAIN : OUTCOME_DROPPED;
            x->letters += letter;
            x->dropped += !letter;
            if (letter)
                svl__deadletter_append(&d->letters, s->name, record, &why, letter_id);
        }
        if (letter_id != 0)
            svl__deadletter_append_resolved(&d->letters, s->name, letter_id, record->id, outcome);
    }
}

static int gather(svl_subscription *s, struct settling *x)
{
    struct delivery *d = s->delivery;
    d->items.len = d->letters.len = 0;
    gather_emits(s, x);
    write_letters(s, x);
    for (size_t at = 0; at < d->letters.len && !d->letters.failed;) {
        struct feed_item item = { .wire = d->letters.data + at,
                                  .len =
                                      svl__wire_length(d->letters.data + at, d->letters.len - at) };
        svl__buffer_append(&d->items, &item, sizeof item);
        at += item.len;
    }
    if (!d->items.failed && !d->letters.failed)
        return SVL_OK;
    svl__buffer_free(&d->items);
    svl__buffer_free(&d->letters);
    return SVL_E_NOMEM;
}

/* How many were given up in a row when these are settled. Of those that were never handed out, too old or from too
 * far, it says nothing. */
static uint32_t streak_after(const svl_subscription *s, const struct settling *x)
{
    if (x->why && x->why->attempts == 0)
        return s->streak;
    uint32_t streak = s->streak;
    struct giving_up why;
    for (size_t i = x->from; i < x->to; i++) {
        bool given_up = is_given_up(s, x, i, &why);
        streak = !given_up ? 0 : streak == UINT32_MAX ? streak : streak + 1;
    }
    return streak;
}

/* `lock` held. */
static void count(svl_subscription *s, const struct settling *x, size_t items)
{
    struct handlers *h = s->handlers;
    size_t resolved = s->redriving ? x->to - x->from : 0, emitted = items - x->letters - resolved;
    s->counts.records += x->done;
    s->counts.emitted += emitted;
    s->counts.dead_letters += x->letters;
    s->counts.dropped += x->dropped;
    s->counts.resolved += resolved;
    h->emitted += emitted;
    h->dead_letters += x->letters;
    h->dropped += x->dropped;
    h->resolved += resolved;
}

/* `lock` held. D3, D5: all effects and the position, in one batch of the journal; without effects the
 * position may wait for the next checkpoint. */
static int move(svl_subscription *s, const struct settling *x, uint64_t position, uint32_t streak)
{
    struct delivery *d = s->delivery;
    struct feed feed = { .items = (struct feed_item *)(void *)d->items.data,
                         .count = d->items.len / sizeof(struct feed_item) };
    struct progress next = svl__progress_of(s);
    uint32_t max = s->options.deadletter_streak_max;
    bool broken = x->letters + x->dropped > 0 && max != UINT32_MAX && streak >= max;
    next.paused |= broken;
    if (s->redriving)
        svl__redrive_advance(&next.redrive, position);
    else
        next.position = position;
    /* What is set aside is forgotten as a suspect behind this, in the log. */
    bool set_aside = x->why && x->why->condition == CONDITION_CRASH;
    int rc = SVL_OK;
    if (feed.count > 0 || broken || set_aside)
        rc = svl__progress_feed(s, &feed, &next, NULL);
    else
        s->dirty |= s->name != NULL;
    if (rc != SVL_OK)
        return rc;
    if (s->redriving)
        s->resolved_id = feed.items[feed.count - 1].id;
    s->paused = next.paused;
    s->streak = streak;
    svl__set_position(s, position);
    count(s, x, feed.count);
    return SVL_OK;
}

static void tell_given_up(const svl_subscription *s, const struct settling *x)
{
    size_t n = x->letters + x->dropped;
    const struct giving_up *why = &x->first_why;
    char more[64] = "";
    if (n > 1)
        snprintf(more, sizeof more, " and %zu more behind it", n - 1);
    svl__log(s->handlers->log, SVL_SEVERITY_ERROR, why->code,
             "subscription %s: record %llu%s given up (%s), %zu dead letters, %zu dropped%s%s",
             svl__subscription_name(s), (unsigned long long)s->delivery->batch.records[x->first].id,
             more, svl__deadletter_condition(why->condition), x->letters, x->dropped,
             why->error[0] ? ": " : "", why->error);
}

static int settle_some(svl_subscription *s, struct settling *x)
{
    struct handlers *h = s->handlers;
    struct delivery *d = s->delivery;
    take_what_fits(s, x);
    int rc = gather(s, x);
    if (rc == SVL_OK && d->items.len > 0)
        rc = wait_accepts(s);
    if (rc != SVL_OK)
        return rc;
    uint64_t position = x->to == d->batch.count ? d->scanned : delivery_id(d, x->to) - 1;
    uint32_t streak = streak_after(s, x);
    pthread_mutex_lock(&h->lock);
    bool was_paused = s->paused;
    uint32_t ranges = s->redrive.count;
    rc = move(s, x, position, streak);
    bool paused = s->paused && !was_paused, range_done = s->redrive.count < ranges;
    pthread_mutex_unlock(&h->lock);
    if (range_done) /* the next one may begin anywhere */
        svl__reading_close(s);
    if (rc == SVL_OK && x->letters + x->dropped > 0)
        tell_given_up(s, x);
    if (rc == SVL_OK && paused)
        svl__log(
            h->log, SVL_SEVERITY_ERROR, SVL_OK,
            "subscription %s is paused: %u records in a row were given up; mend the handler, then "
            "svl_subscription_resume()",
            svl__subscription_name(s), streak);
    return rc;
}

/* Records [from, to) are settled: done, but for those that were rejected, or all given up. What is too much
 * for one batch of the journal goes in several, each with the position behind it. */
static int settle(svl_subscription *s, size_t from, size_t to, const struct giving_up *why)
{
    int rc = SVL_OK;
    while (from < to && rc == SVL_OK) {
        struct settling x = { .from = from, .to = to, .why = why };
        rc = settle_some(s, &x);
        from = x.to;
    }
    return rc;
}

/* --- what comes next --- */

static void wait_for(svl_subscription *s, int64_t wait_ns, enum subscription_state *next)
{
    s->wait_until_ns = svl__monotonic_ns() + wait_ns;
    s->waits_for_resources = false;
    *next = SUBSCRIPTION_WAITING;
}

void svl__wait_for_resources(svl_subscription *s, enum subscription_state *next)
{
    wait_for(s, (int64_t)s->options.retry_base_ms * NS_PER_MS, next);
    s->waits_for_resources = true;
}

static bool is_stopping(struct handlers *h)
{
    pthread_mutex_lock(&h->lock);
    bool stopping = h->stopping;
    pthread_mutex_unlock(&h->lock);
    return stopping;
}

/* Pauses before record `at` of the batch. */
static void pause_before(svl_subscription *s, size_t at, const struct giving_up *why,
                         enum subscription_state *next)
{
    struct handlers *h = s->handlers;
    pthread_mutex_lock(&h->lock);
    s->paused = true;
    svl__progress_save(s, false, NULL);
    pthread_mutex_unlock(&h->lock);
    *next = SUBSCRIPTION_PAUSED;
    svl__log(
        h->log, SVL_SEVERITY_ERROR, why->code,
        "subscription %s is paused: record %llu is given up (%s) after %u attempts%s%s; mend the "
        "handler, then svl_subscription_resume()",
        svl__subscription_name(s), (unsigned long long)s->delivery->batch.records[at].id,
        svl__deadletter_condition(why->condition), why->attempts, why->error[0] ? ": " : "",
        why->error);
}

/* A record from a time of larger options, whose dead letter no batch of the journal holds now. */
static void pause_for_size(svl_subscription *s, int rc, enum subscription_state *next)
{
    struct handlers *h = s->handlers;
    pthread_mutex_lock(&h->lock);
    s->paused = true;
    svl__progress_save(s, false, NULL);
    pthread_mutex_unlock(&h->lock);
    *next = SUBSCRIPTION_PAUSED;
    svl__log(h->log, SVL_SEVERITY_ERROR, rc,
             "subscription %s is paused: a record is to be given up, and its dead letter is larger "
             "than a quarter of journal_file_bytes_max: open with more",
             svl__subscription_name(s));
}

/* The effects were not taken: what is not settled comes again, and no attempt is counted. */
static void not_stored(svl_subscription *s, int rc, enum subscription_state *next)
{
    svl__reading_close(s);
    if (rc == SVL_E_FAILED || rc == SVL_E_CLOSED)
        *next = SUBSCRIPTION_HALTED;
    else if (rc == SVL_E_LIMIT)
        pause_for_size(s, rc, next);
    else
        svl__wait_for_resources(s, next);
}

/* Records [at, to) are given up: SVL_OK, or why that could not be stored. */
static int give_up(svl_subscription *s, size_t at, size_t to, const struct giving_up *why,
                   enum subscription_state *next)
{
    if (s->options.on_failure == SVL_ON_FAILURE_PAUSE) {
        pause_before(s, at, why, next);
        return SVL_OK;
    }
    int rc = settle(s, at, to, why);
    if (rc == SVL_OK)
        *next = SUBSCRIPTION_READY;
    else
        not_stored(s, rc, next);
    return rc;
}

/* The first record that is not done has failed: try again, split, or give up. */
static int after_failure(svl_subscription *s, int code, const char *reason, bool marked, size_t at,
                         enum subscription_state *next)
{
    struct handlers *h = s->handlers;
    struct delivery *d = s->delivery;
    size_t left = d->batch.count - at;
    pthread_mutex_lock(&h->lock);
    s->counts.failures++;
    s->counts.last_code = code;
    s->failed_last_ns = svl__wall_ns();
    if (s->attempts == 0 && s->split_end == 0)
        s->failed_first_ns = s->failed_last_ns;
    snprintf(s->error, sizeof s->error, "%s", reason);
    if (s->split_end == 0)
        s->attempts++;
    if (s->batch_end == 0)
        s->batch_end = delivery_id(d, d->batch.count - 1);
    bool stopping = h->stopping;
    uint32_t max = s->options.retry_attempts_max, attempts = attempts_of(s);
    bool exhausted = (max != UINT32_MAX && attempts >= max) || s->split_end != 0;
    if (exhausted && !marked && left > 1) {
        if (s->split_end == 0)
            s->split_end = delivery_id(d, d->batch.count - 1);
        s->split_records = (uint32_t)(left / 2);
    }
    s->counts.retries += !exhausted && !stopping;
    pthread_mutex_unlock(&h->lock);
    if (exhausted && (marked || left == 1)) {
        struct giving_up why = { CONDITION_ATTEMPTS, code, attempts, s->error, s->failed_first_ns,
                                 s->failed_last_ns };
        return give_up(s, at, at + 1, &why, next);
    }
    if (exhausted) {
        *next = SUBSCRIPTION_READY;
    } else if (stopping) {
        *next = SUBSCRIPTION_HALTED;
    } else {
        wait_for(s, svl__retry_wait_ns(&s->options, attempts), next);
    }
    return SVL_OK;
}

void svl__outcome_give_up(svl_subscription *s, enum triage triage, enum subscription_state *next)
{
    struct giving_up why = { .condition = CONDITION_AGE, .attempts = attempts_of(s), .error = "" };
    if (triage == TRIAGE_SET_ASIDE) {
        why.condition = CONDITION_CRASH;
        why.attempts = CRASHES_MAX;
        why.error = "the process died each time while this record was alone in the handler";
    } else if (triage == TRIAGE_TOO_FAR) {
        why.condition = CONDITION_HOPS;
        why.error = "it came by more emits than hops_max";
    } else if (why.attempts > 0) {
        why.code = s->counts.last_code;
        why.error = s->error;
        why.first_ns = s->failed_first_ns;
        why.last_ns = s->failed_last_ns;
    }
    give_up(s, 0, s->delivery->batch.count, &why, next);
}

/* The first of the `n` records that a subscription has to pause before, `n` if there is none. */
static size_t find_pause(const svl_subscription *s, size_t n, struct giving_up *why)
{
    const struct settling x = { .why = NULL };
    if (s->options.on_failure != SVL_ON_FAILURE_PAUSE)
        return n;
    size_t at = 0;
    while (at < n && !is_given_up(s, &x, at, why))
        at++;
    return at;
}

int svl__outcome_apply(svl_subscription *s, int rc, const char *reason,
                       enum subscription_state *next)
{
    struct svl_batch *batch = &s->delivery->batch;
    size_t settled = rc != SVL_OK ? 0 : batch->mark != MARK_NONE ? batch->mark_at : batch->count;
    struct giving_up why;
    size_t pause = find_pause(s, settled, &why);
    int stored = settle(s, 0, pause, NULL);
    if (stored != SVL_OK) {
        not_stored(s, stored, next);
        return stored;
    }
    if (settled == batch->count && pause == settled) {
        *next = SUBSCRIPTION_READY;
        return SVL_OK;
    }
    svl__reading_close(s);
    if (pause < settled)
        pause_before(s, pause, &why, next);
    else if (rc == SVL_OK && batch->mark == MARK_DEFER && is_stopping(s->handlers))
        *next = SUBSCRIPTION_HALTED; /* it comes again at the next start */
    else if (rc == SVL_OK && batch->mark == MARK_DEFER)
        wait_for(s, (int64_t)batch->defer_ms * NS_PER_MS, next);
    else
        return after_failure(s, rc != SVL_OK ? rc : SVL_FAIL, reason, rc == SVL_OK, settled, next);
    return SVL_OK;
}
