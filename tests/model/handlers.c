/* handlers.c - callbacks that check what they get, and answer at random. */
#include "handlers.h"

#include <string.h>

#include "support/model.h"

#define BATCH_MAX 64
#define ACK_DEADLINE_MS 40

/* --- ingest --- */

static uint64_t emit_parts(svl_ingest *ingest, uint64_t number)
{
    uint64_t parts = parts_of(number);
    for (uint64_t part = 1; part <= parts; part++) {
        svl_record r = record_stored(number << 8 | part);
        must(svl_ingest_emit(ingest, &r), "ingest", "svl_ingest_emit");
    }
    return parts;
}

static int shape(svl_ingest *ingest, svl_record *record, void *user)
{
    static const char long_key[481];
    struct ingested *all = user;
    uint64_t label = label_in(record), number = label >> 8;
    svl_record expected = record_published(number);
    const char *difference = record_difference(record, &expected);
    if (difference || (label & 0xff) != 0)
        wrong("ingest", "number %llu: not its %s", (unsigned long long)number,
              difference ? difference : "part");
    atomic_fetch_add(&all->calls, 1);
    switch (shaping_of(number)) {
    case SHAPE_CHANGE:
        record->type = slice_of("changed");
        record->severity = 24 - record->severity;
        break;
    case SHAPE_DROP:
        atomic_fetch_add(&all->dropped, 1);
        return SVL_DROP;
    case SHAPE_SPLIT:
        atomic_fetch_add(&all->emitted, emit_parts(ingest, number));
        atomic_fetch_add(&all->dropped, 1);
        return SVL_DROP;
    case SHAPE_ADD:
        atomic_fetch_add(&all->emitted, emit_parts(ingest, number));
        break;
    case SHAPE_FAIL:
        emit_parts(ingest, number);
        record->type = slice_of("never");
        atomic_fetch_add(&all->failures, 1);
        return SVL_FAIL;
    case SHAPE_BREAK:
        record->key = (svl_slice){ long_key, sizeof long_key };
        atomic_fetch_add(&all->failures, 1);
        break;
    case SHAPE_KEEP:
    default:
        break;
    }
    return SVL_OK;
}

static int count_severe(svl_ingest *ingest, svl_record *record, void *user)
{
    struct ingested *all = user;
    (void)ingest;
    if (!pattern_matches(0, record))
        wrong("ingest", "a record of severity %u does not match", record->severity);
    atomic_fetch_add(&all->severe, 1);
    return SVL_OK;
}

void ingest_register(svl_pipeline *pipeline, struct ingested *ingested)
{
    svl_ingest_options severe;
    must(svl_ingest_options_init(&severe, sizeof severe), "ingest", "svl_ingest_options_init");
    severe.filter.pattern = pattern_text(0);
    must(svl_on_ingest(pipeline, NULL, shape, ingested), "ingest", "svl_on_ingest");
    must(svl_on_ingest(pipeline, &severe, count_severe, ingested), "ingest", "svl_on_ingest");
}

/* --- what a batch has to be --- */

static _Atomic uint8_t *fate_of(const struct model_subscription *s, uint64_t id)
{
    return &ledger->fates[s->number][id];
}

static void settle_one(const struct model_subscription *s, uint64_t id, uint8_t fate)
{
    atomic_fetch_or(fate_of(s, id), fate);
}

static uint64_t first_kept_of(const struct model_subscription *s)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    must(svl_store_stats_get(s->store, &stats), subscription_name(s->number),
         "svl_store_stats_get");
    return stats.first_id;
}

/* A record that it wants is behind it and was not settled: it was shown and given up, or retired. */
static void pass_over(struct model_subscription *s, uint64_t id)
{
    uint8_t fate = atomic_load(fate_of(s, id));
    if (fate & (FATE_DONE | FATE_GIVEN_UP | FATE_LOST))
        return;
    if (id >= s->first_kept)
        s->first_kept = first_kept_of(s);
    if (id < s->first_kept) {
        s->overtaken = true;
        settle_one(s, id, FATE_LOST);
    } else if (fate & FATE_SHOWN) {
        settle_one(s, id, FATE_GIVEN_UP);
    } else {
        wrong(subscription_name(s->number), "record %llu was left out", (unsigned long long)id);
    }
}

static void check_shown(const struct model_subscription *s, const svl_record *record, bool again)
{
    const char *name = subscription_name(s->number);
    struct asker a = { .who = name, .store = s->store };
    if (!check_record(&a, record))
        return;
    uint8_t fate = atomic_load(fate_of(s, record->id));
    if (!subscription_wants(s->number, entry_of(record->id)->label))
        wrong(name, "record %llu does not match", (unsigned long long)record->id);
    if (again ? !(fate & FATE_SHOWN) || fate & FATE_DONE : fate & (FATE_DONE | FATE_GIVEN_UP))
        wrong(name, "record %llu comes again, fate %u%s", (unsigned long long)record->id, fate,
              again ? ", as a dead letter" : "");
}

/* `lock` held. */
static void check_batch(struct model_subscription *s, svl_batch *batch, const svl_record *records,
                        size_t n)
{
    bool again = svl_batch_flags(batch) & SVL_BATCH_REDRIVEN;
    uint64_t id = s->next;
    if (n == 0 || n > BATCH_MAX)
        wrong(subscription_name(s->number), "a batch of %zu records", n);
    for (size_t i = 0; i < n; i++) {
        check_shown(s, &records[i], again);
        if (has_failed())
            return;
        for (; !again && id < records[i].id; id++)
            if (subscription_wants(s->number, entry_of(id)->label))
                pass_over(s, id);
        if (!again && records[i].id < id)
            wrong(subscription_name(s->number), "record %llu out of order",
                  (unsigned long long)records[i].id);
        settle_one(s, records[i].id, again ? FATE_GIVEN_UP : FATE_SHOWN);
        if (!again && i == 0) /* what is before it stays so, also if this batch comes to nothing */
            s->next = records[i].id;
        id = records[i].id + 1;
    }
}

/* --- what is said of it --- */

struct verdict {
    bool fails;               /* the whole batch */
    size_t held;              /* the first one that comes again; the batch's length: none */
    bool rejected[BATCH_MAX]; /* before that */
};

static void emit_effects(struct model_subscription *s, svl_batch *batch, const svl_record *records,
                         size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t id = records[i].id;
        if (!subscription_emits(s->number, entry_of(id)->label))
            continue;
        svl_record r = record_stored(label_make(CLASS_EMITTED | s->number, id));
        r.flags = 0; /* hops are given by the library */
        must(svl_batch_emit(batch, i, &r), subscription_name(s->number), "svl_batch_emit");
    }
}

/* Marks at random; of a mended one none. */
static struct verdict judge(struct model_subscription *s, svl_batch *batch, size_t n)
{
    struct verdict v = { .held = n };
    const char *name = subscription_name(s->number);
    uint64_t chance = s->mended ? 99 : rng_below(&s->rng, 100);
    v.fails = chance < 8;
    if (chance >= 8 && chance < 20) {
        v.held = rng_below(&s->rng, n);
        if (chance % 2 == 0)
            must(svl_batch_fail(batch, v.held, "at random"), name, "svl_batch_fail");
        else
            must(svl_batch_defer(batch, v.held, 1 + (uint32_t)rng_below(&s->rng, 4)), name,
                 "svl_batch_defer");
    }
    for (int i = 0; chance >= 16 && chance < 28 && i < 2; i++) {
        size_t at = rng_below(&s->rng, n);
        if (at == v.held)
            continue;
        must(svl_batch_reject(batch, at, "never"), name, "svl_batch_reject");
        v.rejected[at] = at < v.held;
    }
    return v;
}

/* `lock` held: as the verdict says. */
static void note(struct model_subscription *s, bool again, const svl_record *records, size_t n,
                 const struct verdict *v)
{
    if (v->fails)
        return;
    for (size_t i = 0; i < v->held; i++) {
        bool done = !v->rejected[i];
        if (done && again)
            atomic_fetch_and(fate_of(s, records[i].id), (uint8_t)~FATE_GIVEN_UP);
        settle_one(s, records[i].id, done ? FATE_DONE : FATE_GIVEN_UP);
        s->done += done;
        s->emitted += done && subscription_emits(s->number, entry_of(records[i].id)->label);
    }
    if (!again)
        s->next = v->held < n ? records[v->held].id : records[n - 1].id + 1;
}

static int called(svl_batch *batch, void *user)
{
    struct model_subscription *s = user;
    const svl_record *records;
    size_t n;
    must(svl_batch_records(batch, &records, &n), subscription_name(s->number), "svl_batch_records");
    pthread_mutex_lock(&s->lock);
    check_batch(s, batch, records, n);
    struct verdict v = { .fails = true };
    if (!has_failed()) {
        emit_effects(s, batch, records, n);
        v = judge(s, batch, n);
        note(s, svl_batch_flags(batch) & SVL_BATCH_REDRIVEN, records, n, &v);
    }
    bool rests = rng_below(&s->rng, 8) == 0;
    pthread_mutex_unlock(&s->lock);
    if (rests)
        sleep_us(1000);
    return v.fails ? SVL_FAIL : SVL_OK;
}

/* --- registration --- */

static svl_stored_options options_of(const struct model_subscription *s)
{
    svl_stored_options o;
    must(svl_stored_options_init(&o, sizeof o), "subscription", "svl_stored_options_init");
    o.name = subscription_name(s->number);
    subscription_filter(s->number, &o.filter);
    o.start_at = SVL_START_EARLIEST;
    o.batch_records_max = BATCH_MAX;
    o.retry_attempts_max = 4;
    o.retry_base_ms = 1;
    o.retry_max_ms = 4;
    o.checkpoint_interval_ms = 5;
    o.on_failure = s->number == 1 ? SVL_ON_FAILURE_DROP : SVL_ON_FAILURE_DEADLETTER;
    o.batch_window_ms = s->number == 1 ? 3 : 0;
    o.deadletter_streak_max = UINT32_MAX;
    o.ack_deadline_ms = ACK_DEADLINE_MS;
    return o;
}

void subscription_register(svl_pipeline *pipeline, struct model_subscription *s)
{
    svl_stored_options o = options_of(s);
    must(svl_on_stored(pipeline, &o, called, s, &s->handle), o.name, "svl_on_stored");
}

svl_consumer *consumer_register(svl_pipeline *pipeline, struct model_subscription *s)
{
    svl_stored_options o = options_of(s);
    svl_consumer *consumer;
    must(svl_consumer_open(pipeline, &o, &consumer), o.name, "svl_consumer_open");
    s->handle = svl_consumer_subscription(consumer);
    return consumer;
}

/* --- polled --- */

/* Late now and then, with more time asked for or without. */
static void dawdle(struct model_subscription *s, svl_batch *batch)
{
    pthread_mutex_lock(&s->lock);
    uint64_t chance = s->mended ? 99 : rng_below(&s->rng, 100);
    pthread_mutex_unlock(&s->lock);
    if (chance >= 4)
        return;
    if (chance < 2) {
        int rc = svl_batch_extend(batch, 4 * ACK_DEADLINE_MS);
        if (rc != SVL_OK && rc != SVL_E_STALE)
            must(rc, subscription_name(s->number), "svl_batch_extend");
    }
    sleep_us(1500 * ACK_DEADLINE_MS);
}

/* Late from the start, on a busy machine: another consumer may have settled it meanwhile. `lock` held. */
static bool is_stale(struct model_subscription *s, svl_batch *batch)
{
    int rc = svl_batch_extend(batch, ACK_DEADLINE_MS);
    if (rc == SVL_OK)
        return false;
    if (rc != SVL_E_STALE || svl_batch_ack(batch) != SVL_E_STALE)
        wrong(subscription_name(s->number), "a late batch: %d", rc);
    return true;
}

/* Settles a batch that was looked at; the ids are needed when it is gone. */
static void answer(struct model_subscription *s, svl_batch *batch, const svl_record *records,
                   size_t n)
{
    svl_record copies[BATCH_MAX];
    bool again = svl_batch_flags(batch) & SVL_BATCH_REDRIVEN;
    emit_effects(s, batch, records, n);
    struct verdict v = judge(s, batch, n);
    memcpy(copies, records, n * sizeof *records);
    int rc = v.fails ? svl_batch_nack(batch, 7, "at random") : svl_batch_ack(batch);
    if (rc == SVL_OK)
        note(s, again, copies, n, &v);
    else if (rc != SVL_E_STALE)
        must(rc, subscription_name(s->number), "svl_batch_ack");
}

bool consumer_turn(svl_consumer *consumer, struct model_subscription *s)
{
    const char *name = subscription_name(s->number);
    svl_batch *batch;
    const svl_record *records;
    size_t n;
    int rc = svl_consumer_poll(consumer, 20, &batch);
    if (rc == SVL_E_TIMEOUT || rc == SVL_E_AGAIN)
        return true;
    if (rc == SVL_E_CLOSED)
        return false;
    must(rc, name, "svl_consumer_poll");
    must(svl_batch_records(batch, &records, &n), name, "svl_batch_records");
    pthread_mutex_lock(&s->lock);
    bool stale = is_stale(s, batch);
    if (!stale)
        check_batch(s, batch, records, n);
    pthread_mutex_unlock(&s->lock);
    if (stale)
        return true;
    dawdle(s, batch);
    if (has_failed())
        return false;
    pthread_mutex_lock(&s->lock);
    answer(s, batch, records, n);
    pthread_mutex_unlock(&s->lock);
    return true;
}

/* --- the end --- */

void subscription_check(const struct model_subscription *s, uint64_t id, uint64_t first_kept)
{
    const char *name = subscription_name(s->number);
    for (uint64_t i = 1; i <= id; i++) {
        uint64_t label = entry_of(i)->label;
        uint8_t fate = atomic_load(fate_of(s, i));
        bool wanted = subscription_wants(s->number, label);
        bool is_settled = fate & (FATE_DONE | FATE_GIVEN_UP | FATE_LOST);
        bool is_gone = i < first_kept; /* and so, perhaps, its dead letter */
        if (wanted != is_settled && !(wanted && is_gone))
            wrong(name, "record %llu: wanted %d, fate %u", (unsigned long long)i, wanted, fate);
        bool is_left = fate & (FATE_LETTER | FATE_GIVEN_UP);
        if (is_left && s->number != 1 && !is_gone)
            wrong(name, "record %llu was not delivered again, fate %u", (unsigned long long)i,
                  fate);
        bool emits = fate & FATE_DONE && subscription_emits(s->number, label);
        if (emits != !!(fate & FATE_EMITTED))
            wrong(name, "record %llu: fate %u, and what it caused is %s", (unsigned long long)i,
                  fate, emits ? "missing" : "there");
    }
}
