/* Full load on a slow disk, with a slow handler, under retention: memory stays within what the options say, each policy
 * of a full ring holds, and the counters account for every record. The executable's own fdatasync() stands before the C
 * library's, for LMDB as well.
 *
 * In the fast suite a small store for some seconds. With SVL_TEST_SECONDS that long, with the defaults of a store and
 * 2 GiB of retention. */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/support.h"

#define MIB (UINT64_C(1) << 20)
#define PRODUCERS 3
#define POLICY_S 2       /* in the fast suite, each */
#define RETIRED_S_MAX 60 /* until something was retired, on a busy machine */
#define SAMPLE_US 50000
#define BODY_BYTES_MAX 2000
#define CALM_NS 4000000 /* a flush takes up to that, on top of the disk's time */
#define STALL_NS 120000000
#define STALL_EVERY 64

static char path[512];

/* --- the disk --- */

static void take_long(void)
{
    static _Atomic uint64_t count;
    uint64_t n = atomic_fetch_add(&count, 1);
    long ns = n % STALL_EVERY == 0 ? STALL_NS : (long)(n * 7919 * 7919 % CALM_NS);
    nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
}

/* LMDB's as well. */
__attribute__((visibility("default"))) int fdatasync(int fd)
{
    take_long();
    return (int)syscall(SYS_fdatasync, fd);
}

/* --- sizes --- */

static bool is_long(void)
{
    return getenv("SVL_TEST_SECONDS") != NULL;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t policy_ns(void)
{
    const char *given = getenv("SVL_TEST_SECONDS");
    int64_t seconds = given ? atol(given) / 3 : POLICY_S;
    return (seconds > 0 ? seconds : 1) * 1000000000;
}

static svl_store_options store_options(void)
{
    svl_store_options o;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.segment_bytes = is_long() ? 256 * MIB : 8 * MIB;
    o.tail_bytes = is_long() ? 12 * MIB : 2 * MIB;
    o.commit_bytes = is_long() ? 4 * MIB : MIB;
    o.block_bytes = is_long() ? 256 << 10 : 64 << 10;
    o.journal_file_bytes_max = is_long() ? 16 * MIB : 2 * MIB;
    o.retain_bytes_max = 8 * o.segment_bytes;
    o.retain_records_max = is_long() ? 0 : 5000;
    o.record_bytes_max = 16 << 10;
    return o;
}

static uint64_t ring_bytes(void)
{
    return is_long() ? 8 * MIB : MIB;
}

/* What waits in memory is twice tail_bytes at most, and as much again is room that its batches have left; a commit holds
 * blocks and LMDB's pages of them; a block is held by its builder, the codec and each reader in several forms. The rest
 * depends on no option: 4 MiB of batches kept for the next records, LMDB's lists of pages, some 3 MiB for each of two
 * environments, contexts of the codec, stacks, and what is free between all these. */
static uint64_t memory_max(const svl_store_options *o)
{
    return 4 * o->tail_bytes + 2 * o->commit_bytes + 16 * o->block_bytes + 20 * MIB;
}

static uint64_t anonymous_bytes(void)
{
    char line[256];
    unsigned long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    assert_non_null(status);
    while (fgets(line, sizeof line, status))
        if (sscanf(line, "RssAnon: %lu", &kib) == 1)
            break;
    fclose(status);
    assert_true(kib > 0);
    return (uint64_t)kib << 10;
}

/* --- producers --- */

struct producer {
    svl_pipeline *pipeline;
    unsigned number;
    _Atomic uint64_t begun, taken, full; /* calls, and what they answered */
};

static _Atomic bool producers_end;

/* Hardly compressible, so that segments fill. */
static svl_record make_record(struct rng *rng, char *body, char *key)
{
    size_t len = 200 + rng_below(rng, BODY_BYTES_MAX - 200);
    for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
        uint64_t bytes = rng_next(rng);
        memcpy(body + i, &bytes, len - i < sizeof bytes ? len - i : sizeof bytes);
    }
    int n = snprintf(key, 32, "key-%u", (unsigned)rng_below(rng, 5000));
    return (svl_record){ .severity = 1 + (uint32_t)rng_below(rng, 24),
                         .source = slice_of("pressure"),
                         .key = { key, (size_t)n },
                         .body_kind = SVL_BODY_BINARY,
                         .body = { body, len } };
}

static void *produce(void *argument)
{
    struct producer *me = argument;
    struct rng rng = { test_seed() + me->number };
    char body[BODY_BYTES_MAX], key[32];
    while (!atomic_load_explicit(&producers_end, memory_order_relaxed)) {
        svl_record record = make_record(&rng, body, key);
        atomic_fetch_add(&me->begun, 1);
        bool waits = rng_below(&rng, 1000) == 0;
        int rc = waits ? svl_publish_sync(me->pipeline, &record, -1, NULL)
                       : svl_publish(me->pipeline, &record);
        if (rc == SVL_OK || rc == SVL_E_DROPPED)
            atomic_fetch_add(&me->taken, 1);
        else if (rc == SVL_E_FULL)
            atomic_fetch_add(&me->full, 1);
        else
            return "neither taken nor full";
    }
    return NULL;
}

/* --- handlers --- */

/* By severity: drops, splits, adds, fails. */
static int shape(svl_ingest *ingest, svl_record *record, void *user)
{
    svl_record part = { .source = slice_of("part"), .severity = 9, .body = slice_of("a part") };
    (void)user;
    int parts = record->severity == 2 ? 3 : record->severity == 3;
    for (int i = 0; i < parts; i++)
        if (svl_ingest_emit(ingest, &part) != SVL_OK)
            return SVL_FAIL;
    if (record->severity == 1 || record->severity == 2)
        return SVL_DROP;
    return record->severity == 4 ? SVL_FAIL : SVL_OK;
}

static _Atomic bool in_a_hurry;

/* Slow; rejects some, and emits for some. */
static int be_slow(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    (void)user;
    bool hurries = atomic_load(&in_a_hurry);
    if (!hurries)
        nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
    int rc = svl_batch_records(batch, &records, &n);
    for (size_t i = 0; i < n && rc == SVL_OK; i++) {
        svl_record effect = { .source = slice_of("effect"), .body = slice_of("an effect") };
        if (records[i].id % 512 == 0 && !hurries)
            rc = svl_batch_reject(batch, i, "one of them");
        else if (records[i].id % 64 == 0 && (records[i].flags & SVL_RECORD_HOPS) == 0)
            rc = svl_batch_emit(batch, i, &effect);
    }
    return rc;
}

/* What gap records say. */
static int add_gaps(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    int rc = svl_batch_records(batch, &records, &n);
    for (size_t i = 0; i < n && rc == SVL_OK; i++)
        atomic_fetch_add((_Atomic uint64_t *)user, (uint64_t)records[i].attributes[0].i64);
    return rc;
}

/* --- a run under one policy --- */

struct run {
    svl_pipeline *pipeline;
    svl_store *store;
    svl_subscription *slow, *gaps;
    struct producer producers[PRODUCERS];
    _Atomic uint64_t gaps_told;
    svl_store_stats before;
    uint64_t memory_base, memory_highest[2]; /* in its first and second half */
    uint64_t retired;
};

static svl_store_stats store_stats(const struct run *run)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(run->store, &stats));
    return stats;
}

static svl_pipeline_stats pipeline_stats(const struct run *run)
{
    svl_pipeline_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_pipeline_stats_get(run->pipeline, &stats));
    return stats;
}

static svl_subscription_info info_of(svl_subscription *subscription)
{
    svl_subscription_info info = { .struct_size = sizeof info };
    assert_ok(svl_subscription_info_get(subscription, &info));
    return info;
}

static void subscribe(struct run *run)
{
    svl_stored_options on;
    assert_ok(svl_stored_options_init(&on, sizeof on));
    on.name = "slow";
    on.start_at = SVL_START_EARLIEST;
    assert_ok(svl_on_stored(run->pipeline, &on, be_slow, NULL, &run->slow));
    on.name = "gaps";
    on.filter.source = "serverlog.gap";
    on.start_at = SVL_START_LATEST;
    assert_ok(svl_on_stored(run->pipeline, &on, add_gaps, (void *)&run->gaps_told, &run->gaps));
}

static void open_pipeline(struct run *run, uint32_t policy)
{
    svl_store_options store = store_options();
    svl_options o;
    assert_ok(svl_options_init(&o, sizeof o));
    o.store = &store;
    o.ring_bytes = ring_bytes();
    o.full_policy = policy;
    o.block_timeout_ms = 20;
    assert_ok(svl_open(path, &o, &run->pipeline));
    run->store = svl_pipeline_store(run->pipeline);
    run->before = store_stats(run);
}

static void open_run(struct run *run, uint32_t policy)
{
    open_pipeline(run, policy);
    assert_ok(svl_on_ingest(run->pipeline, NULL, shape, NULL));
    subscribe(run);
    assert_ok(svl_start(run->pipeline));
    malloc_trim(0); /* what the run before has freed is not this one's */
    run->memory_base = anonymous_bytes();
}

/* The store's limits, as they stand at any time. */
static void sample(struct run *run, unsigned half)
{
    svl_store_options o = store_options();
    uint64_t memory = anonymous_bytes();
    svl_store_stats stats = store_stats(run);
    if (memory > run->memory_highest[half])
        run->memory_highest[half] = memory;
    assert_in_range(memory, 0, run->memory_base + memory_max(&o));
    /* Feeding waits at twice; what is written counts with the room that its batches have left, as much again. */
    assert_in_range(stats.tail_bytes, 0, 4 * o.tail_bytes);
    assert_in_range(stats.disk_bytes, 0, o.retain_bytes_max + 2 * o.segment_bytes);
    run->retired = stats.retired_records;
}

static void press(struct run *run)
{
    pthread_t threads[PRODUCERS];
    int64_t begin_ns = now_ns(), ends_ns = begin_ns + policy_ns();
    int64_t latest_ns = ends_ns + RETIRED_S_MAX * INT64_C(1000000000);
    atomic_store(&producers_end, false);
    for (unsigned i = 0; i < PRODUCERS; i++) {
        run->producers[i].pipeline = run->pipeline;
        run->producers[i].number = i;
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &run->producers[i]), 0);
    }
    for (int64_t now; (now = now_ns()) < ends_ns || (run->retired == 0 && now < latest_ns);) {
        sample(run, now - begin_ns > (ends_ns - begin_ns) / 2);
        usleep(SAMPLE_US);
    }
    atomic_store(&producers_end, true);
    for (unsigned i = 0; i < PRODUCERS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        if (result)
            fail_msg("producer %u: %s", i, (const char *)result);
    }
}

/* --- accounts --- */

static uint64_t calls(const struct run *run, bool taken)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < PRODUCERS; i++)
        n += atomic_load(taken ? &run->producers[i].taken : &run->producers[i].full);
    return n;
}

/* From the library's counters alone: whatever went in came out somewhere. */
static void assert_sums(const struct run *run, const svl_pipeline_stats *p,
                        const svl_store_stats *s)
{
    uint64_t in = p->published + p->ring_recovered + p->attached_records + p->emitted +
                  p->dead_letters + p->resolved + p->gap_records;
    uint64_t stored = s->records_in - s->appended - s->clock_records;
    assert_int_equal(in, stored + p->dropped_ingest + p->ring_damaged);
    assert_int_equal(run->before.last_id + s->records_in, s->last_id);
    assert_int_equal(run->before.records + s->records_in, s->records + s->retired_records);
    assert_int_equal(s->records, s->last_id - s->first_id + 1);
}

/* Every id up to its position was settled in some way, or is one that it does not get: the library's own. */
static void assert_slow_accounts(const struct run *run, const svl_pipeline_stats *p,
                                 const svl_store_stats *s)
{
    svl_subscription_info info = info_of(run->slow);
    uint64_t settled = info.records - info.resolved + info.dead_letters + info.dropped + info.lost;
    uint64_t own = p->dead_letters + p->resolved + p->gap_records;
    assert_in_range(info.position, settled, settled + own);
    if (info.lost == 0 && info.backlog == 0)
        assert_int_equal(info.position, settled + own);
    assert_int_equal(info.position + info.backlog, s->last_id);
    assert_int_equal(info.dead_letters, p->dead_letters);
    assert_int_equal(info.resolved, p->resolved);
}

static void assert_policy(const struct run *run, uint32_t policy, const svl_pipeline_stats *p)
{
    assert_int_equal(calls(run, true), p->published + p->dropped_full);
    assert_int_equal(calls(run, false), p->refused_full);
    assert_true(p->ring_high_water_bytes > p->ring_bytes / 2);
    assert_in_range(p->ring_high_water_bytes, 0, p->ring_bytes);
    if (policy != SVL_FULL_DROP_NEW) {
        assert_int_equal(p->dropped_full, 0);
        assert_int_equal(p->gap_records, 0);
    } else {
        assert_true(p->dropped_full > 0 && p->gap_records > 0);
        svl_subscription_info info = info_of(run->gaps);
        assert_true(info.records <= p->gap_records);
        if (info.lost == 0) {
            assert_int_equal(info.records, p->gap_records);
            assert_int_equal(atomic_load(&run->gaps_told), p->dropped_full);
        }
    }
    if (policy == SVL_FULL_FAIL)
        assert_true(p->refused_full > 0);
}

static void show(const struct run *run, const svl_pipeline_stats *p, const svl_store_stats *s)
{
    svl_store_options o = store_options();
    svl_subscription_info slow = info_of(run->slow);
    print_message(
        "%llu published, %llu refused, %llu dropped, %llu stored, %llu retired; the slow "
        "one: %llu done, %llu lost, %llu dead letters, %llu resolved; memory %llu at first, "
        "%llu, then %llu of %llu KiB\n",
        (unsigned long long)p->published, (unsigned long long)p->refused_full,
        (unsigned long long)p->dropped_full, (unsigned long long)s->records_in,
        (unsigned long long)s->retired_records, (unsigned long long)slow.records,
        (unsigned long long)slow.lost, (unsigned long long)slow.dead_letters,
        (unsigned long long)slow.resolved, (unsigned long long)run->memory_base >> 10,
        (unsigned long long)run->memory_highest[0] >> 10,
        (unsigned long long)run->memory_highest[1] >> 10,
        (unsigned long long)(run->memory_base + memory_max(&o)) >> 10);
}

static void assert_accounts(const struct run *run, uint32_t policy)
{
    svl_pipeline_stats p = pipeline_stats(run);
    svl_store_stats s = store_stats(run);
    show(run, &p, &s);
    assert_policy(run, policy, &p);
    assert_sums(run, &p, &s);
    assert_slow_accounts(run, &p, &s);
    assert_true(s.retired_records > 0);
    assert_int_equal(s.damaged + p.ring_damaged + s.failed, 0);
}

/* Nothing piles up. Seconds say nothing of that: what waits goes up and down in longer ones. */
static void assert_flat(const struct run *run)
{
    svl_store_options o = store_options();
    if (!is_long())
        return;
    assert_in_range(run->memory_highest[1], 0,
                    run->memory_highest[0] + 2 * o.tail_bytes + o.commit_bytes);
}

/* What it could not do, the slow one does now. */
static void redrive(struct run *run)
{
    atomic_store(&in_a_hurry, true);
    assert_ok(svl_flush(run->pipeline, -1));
    assert_ok(svl_deadletter_redrive(run->pipeline, "slow", 0, 0));
    while (info_of(run->slow).redriving)
        usleep(1000);
}

static void press_by(uint32_t policy)
{
    struct run run = { 0 };
    size_t in_use = mallinfo2().uordblks;
    atomic_store(&in_a_hurry, false);
    open_run(&run, policy);
    press(&run);
    redrive(&run);
    assert_ok(svl_stop(run.pipeline, -1));
    assert_accounts(&run, policy);
    assert_flat(&run);
    assert_ok(svl_close(run.pipeline));
    assert_in_range(mallinfo2().uordblks, 0, in_use + MIB); /* arenas keep what was freed */
    remove_tree(path);
}

static void test_pipeline_when_pressed_and_block_then_bounded_and_accounted(void **state)
{
    (void)state;
    press_by(SVL_FULL_BLOCK);
}

static void test_pipeline_when_pressed_and_fail_then_bounded_and_accounted(void **state)
{
    (void)state;
    press_by(SVL_FULL_FAIL);
}

static void test_pipeline_when_pressed_and_drop_then_bounded_and_accounted(void **state)
{
    (void)state;
    press_by(SVL_FULL_DROP_NEW);
}

/* --- killed --- */

/* Shared with the child, and outliving it. */
static struct run *shared_run;

static int press_until_killed(void)
{
    pthread_t threads[PRODUCERS];
    open_pipeline(shared_run, SVL_FULL_FAIL);
    if (svl_start(shared_run->pipeline) != SVL_OK)
        return 1;
    for (unsigned i = 0; i < PRODUCERS; i++) {
        shared_run->producers[i].pipeline = shared_run->pipeline;
        shared_run->producers[i].number = i;
        if (pthread_create(&threads[i], NULL, produce, &shared_run->producers[i]) != 0)
            return 1;
    }
    pause();
    return 1;
}

/* Of what the dead one's counters said nothing is left; those of the next start say what became of the rest. */
static void test_pipeline_when_killed_under_pressure_then_all_is_accounted(void **state)
{
    (void)state;
    struct run run = { 0 };
    int status;
    uint64_t begun = 0;
    memset(shared_run, 0, sizeof *shared_run);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(press_until_killed());
    for (int i = 0; i < 1000 && calls(shared_run, false) == 0; i++)
        usleep(10000); /* until the ring is full */
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    open_pipeline(&run, SVL_FULL_FAIL);
    assert_ok(svl_start(run.pipeline));
    assert_ok(svl_stop(run.pipeline, -1));
    svl_pipeline_stats p = pipeline_stats(&run);
    svl_store_stats s = store_stats(&run);
    for (unsigned i = 0; i < PRODUCERS; i++)
        begun += atomic_load(&shared_run->producers[i].begun);
    print_message("%llu begun, %llu taken, %llu refused; %llu stored, of them %llu from the "
                  "ring; %llu half-written\n",
                  (unsigned long long)begun, (unsigned long long)calls(shared_run, true),
                  (unsigned long long)calls(shared_run, false), (unsigned long long)s.last_id,
                  (unsigned long long)p.ring_recovered, (unsigned long long)p.ring_unfinished);
    /* A call that had not returned is there or not, or was skipped as half-written. */
    uint64_t not_refused = begun - calls(shared_run, false);
    assert_in_range(s.last_id, calls(shared_run, true), not_refused);
    assert_in_range(s.last_id + p.ring_unfinished, 0, not_refused);
    assert_in_range(not_refused - calls(shared_run, true), 0, PRODUCERS);
    assert_sums(&run, &p, &s);
    assert_int_equal(p.published, 0);
    assert_true(p.ring_recovered > 0);
    assert_ok(svl_close(run.pipeline));
}

static int new_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    return 0;
}

int main(void)
{
    shared_run =
        mmap(NULL, sizeof *shared_run, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared_run == MAP_FAILED)
        return 1;
    mallopt(M_ARENA_MAX, 1); /* or each thread's keeps what that thread has freed */
#define PRESSURE_TEST(f) cmocka_unit_test_setup(f, new_path)
    const struct CMUnitTest tests[] = {
        PRESSURE_TEST(test_pipeline_when_killed_under_pressure_then_all_is_accounted),
        PRESSURE_TEST(test_pipeline_when_pressed_and_block_then_bounded_and_accounted),
        PRESSURE_TEST(test_pipeline_when_pressed_and_fail_then_bounded_and_accounted),
        PRESSURE_TEST(test_pipeline_when_pressed_and_drop_then_bounded_and_accounted),
    };
    int failed = cmocka_run_group_tests_name("pipeline/pressure", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
