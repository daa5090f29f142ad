/* Stored handlers: retries, marks, splits, pauses, positions - what DELIVERY promises of ORDERED. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support/support.h"

static char path[512];
static svl_pipeline *pipeline;

struct script {
    int (*act)(svl_batch *batch, struct script *script);
    pthread_mutex_t lock;
    uint64_t done[4096]; /* ids in the order in which they were done */
    _Atomic size_t done_count;
    _Atomic unsigned calls;
    unsigned failures_left;
    uint64_t poison;
    struct rng rng;
    _Atomic uint32_t last_attempt;
    svl_subscription *subscription;
    int results[16];
};

static int new_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    return 0;
}

static void note_done(struct script *s, const svl_record *records, size_t n)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < n && s->done_count < 4096; i++)
        s->done[s->done_count++] = records[i].id;
    pthread_mutex_unlock(&s->lock);
}

static int handle(svl_batch *batch, void *user)
{
    struct script *s = user;
    s->calls++;
    s->last_attempt = svl_batch_attempt(batch);
    return s->act(batch, s);
}

static void open_with(struct script *s, const svl_stored_options *options)
{
    pthread_mutex_init(&s->lock, NULL);
    assert_ok(svl_open(path, NULL, &pipeline));
    assert_ok(svl_on_stored(pipeline, options, handle, s, &s->subscription));
    assert_ok(svl_start(pipeline));
}

static svl_stored_options quick(const char *name)
{
    svl_stored_options o;
    assert_ok(svl_stored_options_init(&o, sizeof o));
    o.name = name;
    o.retry_base_ms = 1;
    o.retry_max_ms = 4;
    o.checkpoint_interval_ms = 1;
    o.filter.source = "in";
    return o;
}

static void publish(size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_ok(svl_publish_text(pipeline, 9, "in", "x"));
}

static svl_subscription_info info_of(const struct script *s)
{
    svl_subscription_info info = { .struct_size = sizeof info };
    assert_ok(svl_subscription_info_get(s->subscription, &info));
    return info;
}

static void short_sleep(void)
{
    struct timespec t = { 0, 1000000 };
    nanosleep(&t, NULL);
}

static void wait_until_done(const struct script *s, uint64_t position)
{
    while (info_of(s).position < position)
        short_sleep();
}

static int witness_seen(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    int rc = svl_batch_records(batch, &records, &n);
    atomic_fetch_add((_Atomic size_t *)user, n);
    return rc;
}

/* Publishes, and waits until another subscription has seen it all: who is not paused would have, too. */
static void publish_before_witness(size_t n)
{
    static _Atomic size_t seen;
    atomic_store(&seen, 0);
    svl_stored_options o = { .struct_size = sizeof o, .filter.source = "in" };
    svl_subscription *witness;
    assert_ok(svl_on_stored(pipeline, &o, witness_seen, &seen, &witness));
    for (int rounds = 0; rounds < 3; rounds++) { /* the last of them after the first was seen */
        size_t before = atomic_load(&seen), some = rounds < 2 ? n / 3 : n - 2 * (n / 3);
        publish(some);
        while (atomic_load(&seen) < before + some)
            short_sleep();
    }
    assert_ok(svl_unsubscribe(witness, NULL));
}

static void wait_until_paused(const struct script *s)
{
    while (!info_of(s).paused)
        short_sleep();
}

static void assert_in_order(const struct script *s, size_t n)
{
    assert_int_equal(s->done_count, n);
    for (size_t i = 0; i < n; i++)
        assert_true(s->done[i] == i + 1);
}

/* Fails, marks and defers at random; what it lets pass must be everything, once, in order. */
static int act_at_random(svl_batch *batch, struct script *s)
{
    const svl_record *records;
    size_t n;
    assert_ok(svl_batch_records(batch, &records, &n));
    switch (rng_below(&s->rng, 5)) {
    case 0:
        return SVL_FAIL;
    case 1: {
        size_t at = rng_below(&s->rng, n);
        assert_ok(svl_batch_fail(batch, at, "not now"));
        if (at + 1 < n)
            assert_ok(svl_batch_fail(batch, n - 1, "later marks do not count"));
        note_done(s, records, at);
        return SVL_OK;
    }
    case 2: {
        size_t at = rng_below(&s->rng, n);
        assert_ok(svl_batch_defer(batch, at, 1));
        note_done(s, records, at);
        return SVL_OK;
    }
    default:
        note_done(s, records, n);
        return SVL_OK;
    }
}

static void test_handler_when_it_fails_at_random_then_all_done_once_in_order(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = act_at_random, .rng = { test_seed() } };
    svl_stored_options o = quick("random");
    o.retry_attempts_max = UINT32_MAX;
    o.batch_records_max = 7;
    open_with(&s, &o);
    publish(500);
    wait_until_done(&s, 500);
    assert_ok(svl_close(pipeline));
    assert_in_order(&s, 500);
}

static int act_fail_some(svl_batch *batch, struct script *s)
{
    const svl_record *records;
    size_t n;
    assert_ok(svl_batch_records(batch, &records, &n));
    if (s->failures_left > 0) {
        s->failures_left--;
        return SVL_FAIL + 7;
    }
    note_done(s, records, n);
    return SVL_OK;
}

static void test_handler_when_it_fails_then_attempts_count_and_reset(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = act_fail_some, .failures_left = 3 };
    svl_stored_options o = quick("some");
    open_with(&s, &o);
    publish(1);
    wait_until_done(&s, 1);
    assert_int_equal(s.last_attempt, 4);
    svl_subscription_info info = info_of(&s);
    assert_true(info.failures == 3 && info.retries == 3 && info.records == 1);
    assert_int_equal(info.last_code, SVL_FAIL + 7);
    assert_int_equal(info.attempts, 0);
    publish(1);
    wait_until_done(&s, 2);
    assert_int_equal(s.last_attempt, 1);
    assert_ok(svl_close(pipeline));
}

/* One record can never be done; the handler does not say which. */
static int act_poison(svl_batch *batch, struct script *s)
{
    const svl_record *records;
    size_t n;
    assert_ok(svl_batch_records(batch, &records, &n));
    for (size_t i = 0; i < n; i++)
        if (records[i].id == s->poison)
            return SVL_FAIL;
    note_done(s, records, n);
    return SVL_OK;
}

static void test_record_when_it_can_never_be_done_then_stands_alone_and_pauses(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = act_poison, .poison = 37 };
    svl_stored_options o = quick("poison");
    o.on_failure = SVL_ON_FAILURE_PAUSE;
    o.retry_attempts_max = 3;
    o.batch_records_max = 50;
    open_with(&s, &o);
    publish(100);
    wait_until_paused(&s);
    svl_subscription_info info = info_of(&s);
    assert_true(info.position == 36); /* innocents before it are done */
    assert_in_order(&s, 36);
    assert_ok(svl_close(pipeline));

    /* Paused over a restart; mended and resumed, it goes on where it was. */
    open_with(&s, &o);
    assert_true(info_of(&s).paused);
    publish_before_witness(10);
    assert_int_equal(s.done_count, 36);
    s.poison = 0;
    assert_ok(svl_subscription_resume(s.subscription));
    wait_until_done(&s, 110);
    assert_ok(svl_close(pipeline));
    assert_in_order(&s, 110);
}

static void test_subscription_when_paused_then_nothing_comes_until_resumed(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = act_fail_some };
    svl_stored_options o = quick("pause");
    open_with(&s, &o);
    assert_ok(svl_subscription_pause(s.subscription));
    publish_before_witness(20);
    assert_int_equal(s.calls, 0);
    assert_true(info_of(&s).backlog == 20);
    assert_ok(svl_subscription_resume(s.subscription));
    wait_until_done(&s, 20);
    assert_ok(svl_close(pipeline));
    assert_in_order(&s, 20);
}

static void test_position_when_opened_again_then_goes_on(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = act_fail_some };
    svl_stored_options o = quick("again");
    for (size_t round = 1; round <= 4; round++) {
        open_with(&s, &o);
        publish(25);
        assert_ok(svl_close(pipeline));
        assert_int_equal(s.done_count, 25 * round);
    }
    assert_in_order(&s, 100);
}

static void test_start_when_chosen_then_begins_there(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = act_fail_some };
    svl_stored_options o = quick(NULL);
    assert_ok(svl_open(path, NULL, &pipeline));
    assert_ok(svl_start(pipeline));
    publish(30);
    assert_ok(svl_close(pipeline));
    static const struct {
        uint32_t start_at;
        uint64_t start_id;
        size_t expected;
    } cases[] = { { SVL_START_LATEST, 0, 0 },
                  { SVL_START_EARLIEST, 0, 30 },
                  { SVL_START_ID, 11, 20 } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        s.done_count = 0;
        o.start_at = cases[i].start_at;
        o.start_id = cases[i].start_id;
        open_with(&s, &o);
        assert_ok(svl_close(pipeline));
        assert_int_equal(s.done_count, cases[i].expected);
    }
}

static void test_options_when_wrong_then_refused(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = act_fail_some };
    svl_stored_options o = quick("name");
    open_with(&s, &o);
    svl_subscription *second = (svl_subscription *)1;
    assert_int_equal(svl_on_stored(pipeline, &o, handle, &s, &second), SVL_E_BUSY);
    assert_null(second);
#define REFUSED(member, value, code)                                                               \
    o = quick("other");                                                                            \
    o.member = (value);                                                                            \
    assert_int_equal(svl_on_stored(pipeline, &o, handle, &s, NULL), code)
    REFUSED(name, "", SVL_E_INVALID);
    REFUSED(name, "a b", SVL_E_INVALID);
    REFUSED(start_at, 3, SVL_E_OPTION);
    REFUSED(start_at, SVL_START_ID, SVL_E_OPTION);
    REFUSED(batch_records_max, 100001, SVL_E_OPTION);
    REFUSED(batch_bytes_max, UINT64_MAX, SVL_E_OPTION);
    REFUSED(retry_base_ms, UINT32_MAX, SVL_E_OPTION);
    REFUSED(on_failure, 3, SVL_E_OPTION);
    REFUSED(record_age_ms_max, UINT64_MAX, SVL_E_OPTION);
    o = quick("other");
    o.on_failure = SVL_ON_FAILURE_PAUSE;
    o.record_age_ms_max = 1;
    assert_int_equal(svl_on_stored(pipeline, &o, handle, &s, NULL), SVL_E_OPTION);
    REFUSED(filter.severity_min, 25, SVL_E_INVALID);
    REFUSED(filter.reserved, 1, SVL_E_RESERVED);
    REFUSED(struct_size, 0, SVL_E_STRUCT_SIZE);
#undef REFUSED
    assert_int_equal(svl_on_stored(pipeline, NULL, NULL, NULL, NULL), SVL_E_INVALID);
    assert_ok(svl_close(pipeline));
    assert_int_equal(s.calls, 0);
}

/* Every call that would wait for the callback it is made from. */
static int act_reenter(svl_batch *batch, struct script *s)
{
    const svl_record *records;
    size_t n;
    int i = 0;
    (void)batch;
    svl_record record = { .source = slice_of("other") };
    s->results[i++] = svl_flush(pipeline, 0);
    s->results[i++] = svl_publish_sync(pipeline, &record, 0, NULL);
    s->results[i++] = svl_stop(pipeline, 0);
    s->results[i++] = svl_close(pipeline);
    s->results[i++] = svl_start(pipeline);
    s->results[i++] = svl_unsubscribe(s->subscription, NULL);
    s->results[i++] = svl_publish(pipeline, &record);
    s->results[i++] = svl_store_append(svl_pipeline_store(pipeline), &record, 1, NULL);
    s->results[i++] = svl_batch_records(batch, &records, &n);
    note_done(s, records, n);
    return SVL_OK;
}

static void test_calls_when_inside_a_callback_then_deadlock_or_allowed(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = act_reenter };
    svl_stored_options o = quick("reenter");
    open_with(&s, &o);
    publish(1);
    wait_until_done(&s, 1);
    for (int i = 0; i < 6; i++)
        assert_int_equal(s.results[i], SVL_E_DEADLOCK);
    for (int i = 6; i < 9; i++)
        assert_int_equal(s.results[i], SVL_OK);
    assert_ok(svl_close(pipeline));
}

static int ingest_results[8];

static int reenter_ingest(svl_ingest *ingest, svl_record *record, void *user)
{
    svl_record other = { .source = slice_of("other") };
    svl_store *store = svl_pipeline_store(pipeline);
    (void)ingest;
    (void)record;
    (void)user;
    int i = 0;
    ingest_results[i++] = svl_flush(pipeline, 0);
    ingest_results[i++] = svl_publish_sync(pipeline, &other, 0, NULL);
    ingest_results[i++] = svl_stop(pipeline, 0);
    ingest_results[i++] = svl_close(pipeline);
    ingest_results[i++] = svl_store_append(store, &other, 1, NULL);
    ingest_results[i++] = svl_store_flush(store, 0);
    ingest_results[i++] = svl_store_commit(store, 0);
    ingest_results[i++] = svl_store_retain(store, NULL);
    return SVL_OK;
}

static void test_calls_when_inside_an_ingest_handler_then_deadlock(void **state)
{
    (void)state;
    assert_ok(svl_open(path, NULL, &pipeline));
    assert_ok(svl_on_ingest(pipeline, NULL, reenter_ingest, NULL));
    assert_ok(svl_start(pipeline));
    publish(1);
    assert_ok(svl_flush(pipeline, -1));
    for (int i = 0; i < 8; i++)
        assert_int_equal(ingest_results[i], SVL_E_DEADLOCK);
    assert_ok(svl_close(pipeline));
}

static _Atomic int released_count;

static void released(void *user)
{
    (void)user;
    atomic_fetch_add(&released_count, 1);
}

static _Atomic bool may_return;

static int act_block(svl_batch *batch, struct script *s)
{
    (void)batch;
    (void)s;
    while (!atomic_load(&may_return))
        short_sleep();
    return SVL_OK;
}

static void test_unsubscribe_when_called_then_position_is_kept_and_user_released(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = act_fail_some };
    svl_stored_options o = quick("leave");
    atomic_store(&released_count, 0);
    open_with(&s, &o);
    publish(10);
    wait_until_done(&s, 10);
    assert_ok(svl_unsubscribe(s.subscription, released));
    assert_int_equal(atomic_load(&released_count), 1);
    publish_before_witness(10);
    assert_int_equal(s.done_count, 10);
    assert_ok(svl_on_stored(pipeline, &o, handle, &s, &s.subscription));
    wait_until_done(&s, 20);
    assert_ok(svl_unsubscribe(NULL, NULL));
    assert_ok(svl_close(pipeline));
    assert_in_order(&s, 20);
}

static void test_close_when_a_callback_is_stuck_then_times_out_and_frees_later(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = act_block };
    svl_stored_options o = quick("stuck");
    svl_options options;
    atomic_store(&may_return, false);
    pthread_mutex_init(&s.lock, NULL);
    assert_ok(svl_options_init(&options, sizeof options));
    options.close_timeout_ms = 20;
    assert_ok(svl_open(path, &options, &pipeline));
    assert_ok(svl_on_stored(pipeline, &o, handle, &s, NULL));
    assert_ok(svl_start(pipeline));
    publish(1);
    while (s.calls == 0)
        short_sleep();
    assert_int_equal(svl_stop(pipeline, 5), SVL_E_TIMEOUT);
    assert_int_equal(svl_close(pipeline), SVL_E_TIMEOUT);
    svl_store *store;
    assert_int_equal(svl_store_open(path, NULL, &store), SVL_E_BUSY);
    atomic_store(&may_return, true);
    int rc;
    while ((rc = svl_store_open(path, NULL, &store)) == SVL_E_BUSY)
        short_sleep();
    assert_ok(rc);
    assert_ok(svl_store_close(store));
}

static int act_emit(svl_batch *batch, struct script *s)
{
    const svl_record *records;
    size_t n;
    assert_ok(svl_batch_records(batch, &records, &n));
    for (size_t i = 0; i < n; i++) {
        svl_record reply = { .source = slice_of("out") };
        assert_ok(svl_batch_emit(batch, i, &reply));
    }
    svl_record wrong = { .source = slice_of("serverlog.own") };
    assert_int_equal(svl_batch_emit(batch, 0, &wrong), SVL_E_RESERVED);
    assert_int_equal(svl_batch_emit(batch, n, &records[0]), SVL_E_INVALID);
    if (rng_below(&s->rng, 3) == 0)
        return SVL_FAIL;
    if (rng_below(&s->rng, 3) == 0)
        assert_ok(svl_batch_fail(batch, rng_below(&s->rng, n), NULL));
    return SVL_OK;
}

static void test_emits_when_batches_fail_then_one_for_each_record(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = act_emit, .rng = { test_seed() } };
    svl_stored_options o = quick("emit");
    o.retry_attempts_max = UINT32_MAX;
    o.batch_records_max = 10;
    svl_record last_in = { .source = slice_of("in") };
    uint64_t last_id; /* ids between are of what is emitted meanwhile */
    open_with(&s, &o);
    publish(299);
    assert_ok(svl_publish_sync(pipeline, &last_in, -1, &last_id));
    wait_until_done(&s, last_id);
    assert_ok(svl_stop(pipeline, -1));
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    assert_ok(svl_query_init(&query, sizeof query));
    query.source = slice_of("out");
    assert_ok(svl_store_query(svl_pipeline_store(pipeline), &query, &cursor));
    size_t n = 0;
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK)
        n++;
    svl_cursor_close(cursor);
    assert_int_equal(n, 300);
    assert_ok(svl_close(pipeline));
}

/* Returns with something to store, and no space for it. */
static int act_fill_disk(svl_batch *batch, struct script *s)
{
    (void)s;
    svl_record record = { .source = slice_of("other") };
    svl_store_stats stats = { .struct_size = sizeof stats };
    set_disk_full(true);
    assert_ok(svl_publish(pipeline, &record));
    do {
        short_sleep();
        assert_ok(svl_store_stats_get(svl_pipeline_store(pipeline), &stats));
    } while (stats.disk_full_waits == 0);
    return svl_batch_emit(batch, 0, &record);
}

static void test_unsubscribe_when_the_disk_is_full_then_returns(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = act_fill_disk };
    svl_stored_options o = quick("full");
    open_with(&s, &o);
    publish(1);
    while (s.calls == 0)
        short_sleep();
    assert_ok(svl_unsubscribe(s.subscription, NULL)); /* the test's time-out is the assertion */
    set_disk_full(false);
    s.act = act_fail_some;
    assert_ok(svl_on_stored(pipeline, &o, handle, &s, &s.subscription));
    wait_until_done(&s, 1); /* it was not done: it comes again */
    assert_int_equal(s.done_count, 1);
    assert_ok(svl_close(pipeline));
}

/* Writes over every record's body in the files of the store's segments. */
static void damage_bodies(void)
{
    static char bytes[8 << 20];
    static const char body[] = "a body to be damaged";
    unsigned damaged = 0;
    DIR *listing = opendir(path);
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing));) {
        char name[1024];
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        size_t len = strlen(name);
        int fd = strcmp(name + len - 4, ".seg") == 0 ? open(name, O_RDWR | O_CLOEXEC) : -1;
        if (fd < 0)
            continue;
        ssize_t n = pread(fd, bytes, sizeof bytes, 0);
        for (ssize_t at = 0; at + (ssize_t)sizeof body < n; at++)
            if (memcmp(bytes + at, body, sizeof body - 1) == 0)
                damaged += pwrite(fd, "X", 1, at) == 1;
        close(fd);
    }
    closedir(listing);
    assert_true(damaged > 0);
}

/* The first batch fails; before it is read again, nothing of it can be read any more. */
static int act_fail_and_damage(svl_batch *batch, struct script *s)
{
    const svl_record *records;
    size_t n;
    assert_ok(svl_batch_records(batch, &records, &n));
    if (s->calls == 1) {
        damage_bodies();
        return SVL_FAIL;
    }
    note_done(s, records, n);
    return SVL_OK;
}

static void test_failed_batch_when_it_cannot_be_read_again_then_delivery_goes_on(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = act_fail_and_damage };
    svl_store_options store;
    svl_options options;
    svl_stored_options o = quick("unreadable");
    svl_record record = { .source = slice_of("in"), .body = slice_of("a body to be damaged") };
    assert_ok(svl_store_options_init(&store, sizeof store));
    assert_ok(svl_options_init(&options, sizeof options));
    store.codec = SVL_CODEC_NONE;
    store.segment_bytes = 8 << 20;
    options.store = &store;
    pthread_mutex_init(&s.lock, NULL);
    assert_ok(svl_open(path, &options, &pipeline));
    assert_ok(svl_on_stored(pipeline, &o, handle, &s, &s.subscription));
    assert_ok(svl_subscription_pause(s.subscription));
    assert_ok(svl_start(pipeline));
    for (int i = 0; i < 10; i++)
        assert_ok(svl_publish(pipeline, &record));
    assert_ok(svl_flush(pipeline, -1));
    assert_ok(svl_store_commit(svl_pipeline_store(pipeline), -1));
    assert_ok(svl_subscription_resume(s.subscription));
    while (s.calls == 0)
        short_sleep();
    publish(5);
    wait_until_done(&s, 15);
    assert_ok(svl_stop(pipeline, 10000));
    assert_int_equal(s.done_count, 5);
    assert_true(s.done[0] == 11);
    assert_ok(svl_close(pipeline));
}

/* Passes each record on from one end of the chain to the other. */
static int pass_on(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    assert_ok(svl_batch_records(batch, &records, &n));
    for (size_t i = 0; i < n; i++) {
        svl_record next = records[i];
        next.source = slice_of(user);
        assert_ok(svl_batch_emit(batch, i, &next));
    }
    return SVL_OK;
}

/* The hops of the n-th record of a source, waiting for it. */
static uint32_t hops_of(const char *source, unsigned n)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    assert_ok(svl_query_init(&query, sizeof query));
    query.flags = SVL_QUERY_FOLLOW;
    query.source = slice_of(source);
    assert_ok(svl_store_query(svl_pipeline_store(pipeline), &query, &cursor));
    for (unsigned i = 0; i < n; i++)
        assert_ok(svl_cursor_next(cursor, -1, &record));
    uint32_t flags = record->flags;
    svl_cursor_close(cursor);
    return flags;
}

static void test_emits_when_caused_by_emits_then_hops_are_counted(void **state)
{
    (void)state;
    static char *const chain[] = { "hop0", "hop1", "hop2", "hop3" };
    assert_ok(svl_open(path, NULL, &pipeline));
    for (size_t i = 0; i < 3; i++) {
        svl_stored_options o = { .struct_size = sizeof o,
                                 .filter.source = chain[i],
                                 .hops_max = 255 };
        assert_ok(svl_on_stored(pipeline, &o, pass_on, chain[i + 1], NULL));
    }
    assert_ok(svl_start(pipeline));
    assert_ok(svl_publish_text(pipeline, 9, "hop0", "x"));
    for (int from_blocks = 0; from_blocks < 2; from_blocks++) {
        for (uint32_t i = 0; i < 4; i++)
            assert_int_equal(hops_of(chain[i], 1), i);
        assert_ok(svl_store_commit(svl_pipeline_store(pipeline), -1));
    }
    for (uint32_t hops = 254; hops <= 255; hops++) {
        svl_record copy = { .source = slice_of("hop2"), .flags = hops };
        assert_ok(svl_publish(pipeline, &copy));
        assert_int_equal(hops_of("hop3", hops - 252), 255);
    }
    assert_ok(svl_close(pipeline));
}

int main(void)
{
#define HANDLER_TEST(f) cmocka_unit_test_setup(f, new_path)
    const struct CMUnitTest tests[] = {
        HANDLER_TEST(test_handler_when_it_fails_at_random_then_all_done_once_in_order),
        HANDLER_TEST(test_handler_when_it_fails_then_attempts_count_and_reset),
        HANDLER_TEST(test_record_when_it_can_never_be_done_then_stands_alone_and_pauses),
        HANDLER_TEST(test_subscription_when_paused_then_nothing_comes_until_resumed),
        HANDLER_TEST(test_position_when_opened_again_then_goes_on),
        HANDLER_TEST(test_start_when_chosen_then_begins_there),
        HANDLER_TEST(test_options_when_wrong_then_refused),
        HANDLER_TEST(test_calls_when_inside_a_callback_then_deadlock_or_allowed),
        HANDLER_TEST(test_calls_when_inside_an_ingest_handler_then_deadlock),
        HANDLER_TEST(test_unsubscribe_when_called_then_position_is_kept_and_user_released),
        HANDLER_TEST(test_close_when_a_callback_is_stuck_then_times_out_and_frees_later),
        HANDLER_TEST(test_unsubscribe_when_the_disk_is_full_then_returns),
        HANDLER_TEST(test_failed_batch_when_it_cannot_be_read_again_then_delivery_goes_on),
        HANDLER_TEST(test_emits_when_batches_fail_then_one_for_each_record),
        HANDLER_TEST(test_emits_when_caused_by_emits_then_hops_are_counted),
    };
    return cmocka_run_group_tests_name("handler/delivery", tests, NULL, NULL);
}
