/* triage.c - what of a batch is shown, before it is: records that are too old, that came in a circle, or that have
 * killed the process are given up instead, and suspects run one at a time. */
#include "base/clock.h"
#include "delivery.h"

/* What the first record is judged by. */
struct judging {
    svl_subscription *s;
    enum marked_kind kind;
    int64_t oldest_ns; /* of the ingest time */
    uint32_t crashes;  /* of the record that was looked at last */
};

/* Dead letters have neither age nor hops: somebody wants them. Who polls was not marked. */
static enum triage judge(struct judging *j, size_t i)
{
    const svl_subscription *s = j->s;
    const svl_record *record = &s->delivery->batch.records[i];
    enum crash_verdict verdict = CRASH_FREE;
    if (!s->pulls)
        verdict = svl__crash_judge(s->handlers->options.crash, j->kind, s->subject,
                                   delivery_id(s->delivery, i), &j->crashes);
    if (verdict == CRASH_SET_ASIDE)
        return TRIAGE_SET_ASIDE;
    if (!s->redriving && record->ingest_ns < j->oldest_ns)
        return TRIAGE_TOO_OLD;
    if (!s->redriving && (record->flags & SVL_RECORD_HOPS) > s->options.hops_max)
        return TRIAGE_TOO_FAR;
    return verdict == CRASH_ALONE ? TRIAGE_ALONE : TRIAGE_SHOWN;
}

/* The batch is its first `n` records. */
static void cut(svl_subscription *s, size_t n)
{
    struct delivery *d = s->delivery;
    d->scanned = delivery_id(d, n) - 1;
    d->batch.count = n;
    d->at_end = false;
    svl__reading_close(s);
}

/* Each time of one that has killed the process; of the others now and then. */
static void tell_alone(svl_subscription *s, uint32_t crashes)
{
    if (crashes > 0 || svl__log_due(&s->alone_told_ns))
        svl__log(s->handlers->log, SVL_SEVERITY_WARN, SVL_OK,
                 "subscription %s: record %llu runs alone: it was in the handler when the process "
                 "died (alone: %u times of %d)",
                 svl__subscription_name(s), (unsigned long long)s->delivery->batch.records[0].id,
                 crashes, CRASHES_MAX);
}

enum triage svl__triage(svl_subscription *s)
{
    struct delivery *d = s->delivery;
    uint64_t age_ms = s->options.record_age_ms_max;
    struct judging j = { .s = s,
                         .kind = delivery_kind(s),
                         .oldest_ns = age_ms == 0 ? INT64_MIN
                                                  : svl__wall_ns() - (int64_t)age_ms * NS_PER_MS };
    enum triage triage = judge(&j, 0);
    uint32_t crashes = j.crashes;
    size_t n = 1;
    if (triage != TRIAGE_ALONE && triage != TRIAGE_SET_ASIDE)
        while (n < d->batch.count && judge(&j, n) == triage)
            n++;
    if (n < d->batch.count)
        cut(s, n);
    d->run = (struct crash_run){ .what = { j.kind, s->subject, delivery_id(d, 0),
                                           delivery_id(d, n - 1) },
                                 .alone = triage == TRIAGE_ALONE ? crashes + 1 : 0 };
    if (triage == TRIAGE_ALONE)
        tell_alone(s, crashes);
    return triage;
}
