/* writer.c - the lives of a pipeline in one season:
 *
 *     open, handlers, start --> everybody at work --> publishers end --> svl_stop() --> accounts --> svl_close()
 *          ^                                                                                |
 *          +---------------------------------- until the time is over ---------------------+
 *
 * In the last life nothing fails any more: what is left is settled, and every dead letter delivered again. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "faults.h"
#include "handlers.h"
#include "publish.h"
#include "scribe.h"
#include "season.h"

#define ASKERS 2
#define STALL_S_MAX 60
#define LIFE_MS_MIN INT64_C(250)
#define LIFE_MS 2500
/* Of the ledger, for what the last life adds. */
#define IDS_SPARE 60000

struct life {
    svl_pipeline *pipeline;
    svl_store *store;
    _Atomic bool publishers_end, ends;
    bool is_last;
    uint64_t first_id; /* behind what was stored before it */
    svl_store_stats before;
    struct ingested ingested;
    svl_consumer *consumers[CONSUMERS];
    struct publisher publishers[PUBLISHERS];
    struct asker askers[ASKERS], follower, disturber;
    pthread_t publisher_threads[PUBLISHERS], scribe, asker_threads[ASKERS];
    pthread_t consumer_threads[CONSUMERS], follower_thread, disturber_thread;
};

/* What outlives a life. */
struct season {
    const char *path;
    struct rng rng;
    struct scribe scribe;
    struct model_subscription subscriptions[SUBSCRIPTIONS];
    uint64_t dropped; /* records that the second subscription gave up */
    struct life life;
};
static struct season season;

/* --- opening --- */

static void log_failure(uint32_t level, int32_t code, const char *text, void *user)
{
    (void)user;
    if (code == SVL_E_INTERNAL || code == SVL_E_CORRUPT || level >= SVL_SEVERITY_FATAL)
        wrong("log", "%s", text);
}

static uint32_t random_codec(struct rng *rng)
{
    uint32_t codec = (uint32_t)rng_below(rng, 4);
    bool missing = (codec == SVL_CODEC_LZ4 && strstr(svl_build_info(), "no-lz4")) ||
                   (codec == SVL_CODEC_ZSTD && strstr(svl_build_info(), "no-zstd"));
    return missing ? SVL_CODEC_NONE : codec;
}

static svl_pipeline *open_pipeline(struct rng *rng)
{
    svl_store_options store;
    svl_options o;
    svl_pipeline *p;
    must(svl_store_options_init(&store, sizeof store), "open", "svl_store_options_init");
    must(svl_options_init(&o, sizeof o), "open", "svl_options_init");
    store.log = log_failure;
    store.record_bytes_max = 32 << 10;
    store.codec = random_codec(rng);
    store.block_bytes = UINT64_C(4096) << rng_below(rng, 6);
    store.commit_bytes = UINT64_C(65536) << rng_below(rng, 5);
    store.commit_age_ms = 20 + (uint32_t)rng_below(rng, 2000);
    store.segment_bytes = 8 << 20;
    store.tail_bytes = 4 << 20;
    store.journal_file_bytes_max = (UINT64_C(512) << 10) << rng_below(rng, 3);
    store.sync_interval_ms = 1 + (uint32_t)rng_below(rng, 20);
    store.retain_records_max = rng_below(rng, 2) ? 0 : 30000 + rng_below(rng, 100000);
    o.store = &store;
    o.ring_bytes = (UINT64_C(512) << 10) << rng_below(rng, 3);
    o.full_policy = rng_below(rng, 2) ? SVL_FULL_BLOCK : SVL_FULL_FAIL;
    o.workers_max = 1 + (uint32_t)rng_below(rng, 4);
    o.worker_idle_ms = 10 + (uint32_t)rng_below(rng, 1000);
    o.close_timeout_ms = 60000;
    must(svl_open(season.path, &o, &p), "open", "svl_open");
    return p;
}

static void count_from_zero(struct life *l)
{
    struct scribe *s = &season.scribe;
    s->store = l->store;
    s->pipeline = l->pipeline;
    s->severe = s->letters = s->resolved = 0;
    memset(s->emitted, 0, sizeof s->emitted);
    for (unsigned i = 0; i < SUBSCRIPTIONS; i++) {
        struct model_subscription *sub = &season.subscriptions[i];
        sub->done = sub->emitted = 0;
        sub->mended = l->is_last;
        sub->store = l->store;
    }
}

static struct asker asker_of(struct life *l, const char *who)
{
    return (struct asker){ .who = who, .store = l->store, .rng = { rng_next(&season.rng) } };
}

static void begin_life(struct life *l, bool is_last)
{
    memset(l, 0, sizeof *l);
    l->is_last = is_last;
    l->first_id = atomic_load(&ledger->known) + 1;
    l->pipeline = open_pipeline(&season.rng);
    l->store = svl_pipeline_store(l->pipeline);
    l->before.struct_size = sizeof l->before;
    must(svl_store_stats_get(l->store, &l->before), "open", "svl_store_stats_get");
    count_from_zero(l);
    ingest_register(l->pipeline, &l->ingested);
    subscription_register(l->pipeline, &season.subscriptions[0]);
    subscription_register(l->pipeline, &season.subscriptions[1]);
    for (int i = 0; i < CONSUMERS; i++)
        l->consumers[i] = consumer_register(l->pipeline, &season.subscriptions[2]);
    must(svl_start(l->pipeline), "open", "svl_start");
}

/* --- those at work --- */

static void *asker_run(void *argument)
{
    struct asker *a = argument;
    fault_answers_here();
    while (!atomic_load(&season.life.ends) && !has_failed()) {
        switch (rng_below(&a->rng, 8)) {
        case 0:
            if (rng_below(&a->rng, 16) == 0)
                ask_all(a);
            break;
        case 1:
        case 2:
            ask_get(a);
            break;
        default:
            ask_query(a);
        }
        sleep_us((long)rng_below(&a->rng, 3000));
    }
    return NULL;
}

/* Some follow for a moment, some until the pipeline has stopped. */
static void *follower_run(void *argument)
{
    struct asker *a = argument;
    struct following f;
    while (!atomic_load(&season.life.ends) && !has_failed()) {
        int rc = SVL_OK;
        uint64_t turns = 1 + rng_below(&a->rng, 60);
        follow_begin(a, &f);
        for (uint64_t i = 0; i < turns && rc != SVL_E_CLOSED && !has_failed(); i++)
            rc = follow_take(a, &f, 10, 1000);
        follow_end(a, &f, rng_below(&a->rng, 2) == 0 && !has_failed());
    }
    return NULL;
}

static void *consumer_run(void *argument)
{
    svl_consumer *consumer = argument;
    while (!atomic_load(&season.life.ends) && !has_failed() &&
           consumer_turn(consumer, &season.subscriptions[2]))
        ;
    return NULL;
}

static void redrive(struct asker *a, unsigned subscription, bool all)
{
    uint64_t known = atomic_load(&ledger->known);
    uint64_t from = all ? 0 : 1 + rng_below(&a->rng, known + 1);
    int rc = svl_deadletter_redrive(season.life.pipeline, subscription_name(subscription), from,
                                    all ? 0 : from + rng_below(&a->rng, 2000));
    if (rc != SVL_OK && rc != SVL_E_BUSY)
        must(rc, a->who, "svl_deadletter_redrive");
}

static void pause_and_resume(struct asker *a)
{
    struct model_subscription *s = &season.subscriptions[rng_below(&a->rng, SUBSCRIPTIONS)];
    must(svl_subscription_pause(s->handle), a->who, "svl_subscription_pause");
    sleep_us((long)rng_below(&a->rng, 30000));
    must(svl_subscription_resume(s->handle), a->who, "svl_subscription_resume");
}

static void *disturber_run(void *argument)
{
    struct asker *a = argument;
    while (!atomic_load(&season.life.ends) && !has_failed()) {
        sleep_us((long)rng_below(&a->rng, 60000));
        switch (rng_below(&a->rng, 8)) {
        case 0:
            must(svl_store_commit(a->store, -1), a->who, "svl_store_commit");
            break;
        case 1:
            must(svl_store_retain(a->store, NULL), a->who, "svl_store_retain");
            break;
        case 2:
            if (rng_below(&a->rng, 8) == 0)
                ask_verify(a);
            break;
        case 3:
            pause_and_resume(a);
            break;
        case 4:
            redrive(a, rng_below(&a->rng, 2) ? 0 : 2, false);
            break;
        case 5:
            must(svl_wake(season.life.pipeline), a->who, "svl_wake");
            break;
        default:
            must(svl_store_flush(a->store, -1), a->who, "svl_store_flush");
        }
    }
    return NULL;
}

static void start_thread(pthread_t *thread, void *(*run)(void *), void *argument)
{
    if (pthread_create(thread, NULL, run, argument) != 0)
        wrong("writer", "no thread");
}

static void start_all(struct life *l)
{
    start_thread(&l->scribe, scribe_run, &season.scribe);
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        l->publishers[i] = (struct publisher){ .number = i,
                                               .pipeline = l->pipeline,
                                               .scribe = &season.scribe,
                                               .ends = &l->publishers_end,
                                               .rng = { rng_next(&season.rng) } };
        start_thread(&l->publisher_threads[i], publisher_run, &l->publishers[i]);
    }
    for (unsigned i = 0; i < ASKERS; i++) {
        l->askers[i] = asker_of(l, "asker");
        start_thread(&l->asker_threads[i], asker_run, &l->askers[i]);
    }
    for (unsigned i = 0; i < CONSUMERS; i++)
        start_thread(&l->consumer_threads[i], consumer_run, l->consumers[i]);
    l->follower = asker_of(l, "follower");
    start_thread(&l->follower_thread, follower_run, &l->follower);
    l->disturber = asker_of(l, "disturber");
    start_thread(&l->disturber_thread, disturber_run, &l->disturber);
}

/* --- the end of a life --- */

static void join_publishers(struct life *l)
{
    atomic_store(&l->publishers_end, true);
    for (unsigned i = 0; i < PUBLISHERS; i++)
        pthread_join(l->publisher_threads[i], NULL);
}

struct rest {
    svl_subscription_info info;
    uint64_t letters; /* not resolved */
};

static struct rest rest_of(struct life *l, unsigned subscription)
{
    struct rest rest = { .info.struct_size = sizeof rest.info };
    must(svl_subscription_info_get(season.subscriptions[subscription].handle, &rest.info), "writer",
         "svl_subscription_info_get");
    must(svl_deadletter_count(l->pipeline, subscription_name(subscription), &rest.letters),
         "writer", "svl_deadletter_count");
    return rest;
}

static bool is_settled(const struct rest *rest)
{
    return rest->info.backlog == 0 && rest->info.in_flight == 0 && !rest->info.redriving &&
           rest->letters == 0;
}

/* It may take its time, but it goes on. */
static void settle(struct life *l, unsigned subscription)
{
    struct asker a = asker_of(l, "writer");
    struct rest rest;
    int64_t again_ns = 0, moved_ns = monotonic_ns();
    uint64_t settled = 0;
    while (rest = rest_of(l, subscription), !is_settled(&rest) && !has_failed()) {
        uint64_t now_settled = rest.info.records + rest.info.position + rest.info.resolved;
        if (now_settled != settled)
            moved_ns = monotonic_ns();
        settled = now_settled;
        if (monotonic_ns() - moved_ns > STALL_S_MAX * INT64_C(1000000000))
            wrong("writer",
                  "%s stands at %llu, %llu behind, %llu in flight, %llu dead letters, paused %u, "
                  "redriving %u",
                  subscription_name(subscription), (unsigned long long)rest.info.position,
                  (unsigned long long)rest.info.backlog, (unsigned long long)rest.info.in_flight,
                  (unsigned long long)rest.letters, rest.info.paused, rest.info.redriving);
        if (subscription != 1 && monotonic_ns() > again_ns) {
            redrive(&a, subscription, true);
            again_ns = monotonic_ns() + 100000000;
        }
        must(svl_flush(l->pipeline, -1), "writer", "svl_flush");
        sleep_us(2000);
    }
}

/* Whatever is left is delivered until there is nothing left. */
static void settle_everything(struct life *l)
{
    for (unsigned i = 0; i < SUBSCRIPTIONS; i++)
        settle(l, i);
}

static void check_subscriptions(void)
{
    for (unsigned i = 0; i < SUBSCRIPTIONS; i++) {
        struct model_subscription *s = &season.subscriptions[i];
        svl_subscription_info info = { .struct_size = sizeof info };
        must(svl_subscription_info_get(s->handle, &info), "writer", "svl_subscription_info_get");
        if (info.records != s->done || info.emitted != s->emitted ||
            info.emitted != season.scribe.emitted[i])
            wrong("accounts",
                  "%s: %llu records done, in truth %llu; %llu emitted, in truth %llu, stored %llu",
                  subscription_name(i), (unsigned long long)info.records,
                  (unsigned long long)s->done, (unsigned long long)info.emitted,
                  (unsigned long long)s->emitted, (unsigned long long)season.scribe.emitted[i]);
        if (i == 1)
            season.dropped += info.dropped;
    }
}

static void equal(const char *what, uint64_t counted, uint64_t in_truth)
{
    if (counted != in_truth)
        wrong("accounts", "%s: %llu counted, in truth %llu", what, (unsigned long long)counted,
              (unsigned long long)in_truth);
}

/* Stopped: the library's counts, against those of everybody who took part. */
static void check_accounts(struct life *l)
{
    svl_pipeline_stats p = { .struct_size = sizeof p };
    svl_store_stats s = { .struct_size = sizeof s };
    uint64_t published = 0, refused = 0, emitted = atomic_load(&l->ingested.emitted);
    must(svl_pipeline_stats_get(l->pipeline, &p), "accounts", "svl_pipeline_stats_get");
    must(svl_store_stats_get(l->store, &s), "accounts", "svl_store_stats_get");
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        published += i == APPENDER ? 0 : l->publishers[i].published;
        refused += l->publishers[i].refused;
    }
    for (unsigned i = 0; i < SUBSCRIPTIONS; i++)
        emitted += season.scribe.emitted[i];
    equal("published", p.published, published);
    equal("published, by handlers", atomic_load(&l->ingested.calls), published);
    equal("refused_full", p.refused_full, refused);
    equal("dropped_ingest", p.dropped_ingest, atomic_load(&l->ingested.dropped));
    equal("ingest_failures", p.ingest_failures, atomic_load(&l->ingested.failures));
    equal("emitted", p.emitted, emitted);
    equal("dead_letters", p.dead_letters, season.scribe.letters);
    equal("resolved", p.resolved, season.scribe.resolved);
    equal("appended", s.appended, l->publishers[APPENDER].appended);
    equal("calls by severity", atomic_load(&l->ingested.severe), season.scribe.severe);
    equal("last_id", s.last_id, atomic_load(&ledger->known));
    equal("records_in", s.records_in, atomic_load(&ledger->known) + 1 - l->first_id);
    equal("records", s.records + s.retired_records, l->before.records + s.records_in);
    equal("first_id", s.records + s.first_id, s.last_id == 0 ? 0 : s.last_id + 1);
    equal("damaged", s.damaged + p.ring_damaged + p.ring_recovered + p.unprocessed, 0);
    atomic_fetch_add(&ledger->lives, 1);
    atomic_fetch_add(&ledger->retired, s.retired_records);
    atomic_fetch_add(&ledger->letters, p.dead_letters);
    equal("sums",
          p.published + p.emitted + p.dead_letters + p.resolved + p.gap_records + s.appended +
              s.clock_records,
          s.records_in + p.dropped_ingest);
}

static void check_last(struct life *l)
{
    struct asker a = asker_of(l, "writer");
    uint64_t dropped = 0, known = atomic_load(&ledger->known);
    for (unsigned i = 0; i < SUBSCRIPTIONS; i++)
        subscription_check(&season.subscriptions[i], known, first_kept(&a));
    for (uint64_t id = 1; id <= known; id++)
        dropped += !!(atomic_load(&ledger->fates[1][id]) & FATE_GIVEN_UP);
    if (!season.subscriptions[1].overtaken)
        equal("dropped_stored", season.dropped, dropped);
    for (unsigned p = 0; p < PUBLISHERS; p++) {
        uint64_t begun = atomic_load(&ledger->begun[p]), last = season.scribe.last[p];
        if (label_after(last, p) >> 8 <= begun)
            wrong("accounts", "number %llu is not stored",
                  (unsigned long long)(label_after(last, p) >> 8));
    }
    ask_all(&a);
    ask_verify(&a);
}

static void end_life(struct life *l)
{
    join_publishers(l);
    if (l->is_last)
        settle_everything(l);
    atomic_store(&l->ends, true);
    for (unsigned i = 0; i < CONSUMERS; i++)
        pthread_join(l->consumer_threads[i], NULL);
    for (unsigned i = 0; i < ASKERS; i++)
        pthread_join(l->asker_threads[i], NULL);
    pthread_join(l->disturber_thread, NULL);
    must(svl_stop(l->pipeline, -1), "writer", "svl_stop");
    pthread_join(l->follower_thread, NULL);
    pthread_join(l->scribe, NULL);
    if (has_failed())
        return;
    check_subscriptions();
    check_accounts(l);
    if (l->is_last)
        check_last(l);
    for (unsigned i = 0; i < CONSUMERS; i++)
        must(svl_consumer_close(l->consumers[i]), "writer", "svl_consumer_close");
    must(svl_close(l->pipeline), "writer", "svl_close");
}

void write_season(const char *path, int64_t ends_ns)
{
    season.path = path;
    season.rng.state = ledger->seed;
    for (unsigned i = 0; i < SUBSCRIPTIONS; i++) {
        season.subscriptions[i] =
            (struct model_subscription){ .number = i, .next = 1, .rng = { ledger->seed + i } };
        pthread_mutex_init(&season.subscriptions[i].lock, NULL);
    }
    bool is_last = false;
    while (!is_last && !has_failed()) {
        int64_t left_ns = ends_ns - monotonic_ns();
        int64_t life_ns = (int64_t)(LIFE_MS_MIN + rng_below(&season.rng, LIFE_MS)) * 1000000;
        is_last = life_ns >= left_ns || atomic_load(&ledger->known) > IDS_MAX - 2 * IDS_SPARE;
        begin_life(&season.life, is_last);
        int64_t began_ns = monotonic_ns();
        int64_t life_ends_ns = began_ns + (is_last && left_ns > 0 ? left_ns : life_ns);
        start_all(&season.life);
        while (!has_failed() && (monotonic_ns() < began_ns + LIFE_MS_MIN * 1000000 ||
                                 (monotonic_ns() < life_ends_ns &&
                                  atomic_load(&ledger->known) < IDS_MAX - IDS_SPARE)))
            sleep_us(2000);
        end_life(&season.life);
    }
    atomic_store(&ledger->ends, true);
}
