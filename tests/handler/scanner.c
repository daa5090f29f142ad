/* Many stored handlers, of which few have something to do: each gets what it wants, in order and once, whatever is
 * done to the others meanwhile; a handler that is not named by anything that comes costs nothing. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "handler/subscription.h"
#include "support/support.h"

#define HANDLERS 24
#define SOURCES 40 /* some of which nobody wants */
#define IDS_MAX 6000

/* A handler: what it wants, and what it has had. */
struct want {
    char name[16], pattern[64];
    unsigned source; /* SOURCES: any */
    uint32_t severity_min;
    svl_subscription *subscription;
    pthread_mutex_t lock;
    uint64_t had[IDS_MAX];
    size_t count;
};

static char path[512];
static svl_pipeline *pipeline;
static struct want wants[HANDLERS];
static struct rng rng;
static unsigned fails_once; /* one call in so many fails; 0: none */

/* What was published, by id. */
static struct {
    unsigned source;
    uint32_t severity;
} records[IDS_MAX];
static uint64_t last_id;

static int take(svl_batch *batch, void *user)
{
    struct want *want = user;
    const svl_record *all;
    size_t n;
    assert_ok(svl_batch_records(batch, &all, &n));
    pthread_mutex_lock(&want->lock);
    bool fails = fails_once && svl_batch_attempt(batch) == 1 && all[0].id % fails_once == 0;
    for (size_t i = 0; i < n && !fails && want->count < IDS_MAX; i++)
        want->had[want->count++] = all[i].id;
    pthread_mutex_unlock(&want->lock);
    return fails ? SVL_FAIL : SVL_OK;
}

/* By pattern, by source alone, by severity, by everything, in turn. */
static void make_wants(void)
{
    memset(wants, 0, sizeof wants);
    memset(records, 0, sizeof records);
    last_id = 0;
    for (unsigned i = 0; i < HANDLERS; i++) {
        struct want *want = &wants[i];
        pthread_mutex_init(&want->lock, NULL);
        want->source = i % 8 == 7 ? SOURCES : i;
        want->severity_min = i % 8 >= 6 ? 17 : 0;
        snprintf(want->name, sizeof want->name, "h%u", i);
        snprintf(want->pattern, sizeof want->pattern, "{\"source\":[\"svc-%u\"]}", i);
    }
}

static void subscribe(struct want *want)
{
    char source[16];
    svl_stored_options o;
    svl_stored_options_init(&o, sizeof o);
    o.name = want->name;
    o.retry_base_ms = 1;
    o.checkpoint_interval_ms = 10;
    o.batch_records_max = 7;
    o.filter.severity_min = want->severity_min;
    snprintf(source, sizeof source, "svc-%u", want->source);
    if (want->source < SOURCES && want->source % 2)
        o.filter.source = source;
    else if (want->source < SOURCES)
        o.filter.pattern = want->pattern;
    assert_ok(svl_on_stored(pipeline, &o, take, want, &want->subscription));
}

static void open_all(void)
{
    svl_options o;
    assert_ok(svl_options_init(&o, sizeof o));
    o.workers_max = 3;
    assert_ok(svl_open(path, &o, &pipeline));
    for (unsigned i = 0; i < HANDLERS; i++)
        subscribe(&wants[i]);
    assert_ok(svl_start(pipeline));
}

static void publish(unsigned source, uint32_t severity)
{
    char text[16];
    snprintf(text, sizeof text, "svc-%u", source);
    svl_record record = { .severity = severity, .source = slice_of(text), .body = slice_of("x") };
    uint64_t id;
    assert_true(last_id + 1 < IDS_MAX);
    /* With a time-out, too: then the pipeline's own threads do it. */
    assert_ok(svl_publish_sync(pipeline, &record, rng_below(&rng, 2) ? -1 : 60000, &id));
    assert_true(id == last_id + 1);
    last_id = id;
    records[id].source = source;
    records[id].severity = severity;
}

static bool is_wanted(const struct want *want, uint64_t id)
{
    return (want->source == SOURCES || want->source == records[id].source) &&
           records[id].severity >= want->severity_min;
}

static void assert_had_all(struct want *want)
{
    size_t n = 0;
    pthread_mutex_lock(&want->lock);
    for (uint64_t id = 1; id <= last_id; id++)
        if (is_wanted(want, id)) {
            if (n >= want->count || want->had[n] != id)
                print_error("%s: number %zu is %llu of %zu, not %llu\n", want->name, n,
                            (unsigned long long)(n < want->count ? want->had[n] : 0), want->count,
                            (unsigned long long)id);
            assert_true(n < want->count && want->had[n] == id);
            n++;
        }
    assert_true(n == want->count);
    pthread_mutex_unlock(&want->lock);
}

/* Everything that was published has been looked at. */
static void wait_for_all(void)
{
    struct timespec t = { .tv_nsec = 1000000 };
    for (unsigned i = 0; i < HANDLERS; i++) {
        svl_subscription_info info = { .struct_size = sizeof info, .backlog = 1 };
        while (info.backlog > 0) {
            assert_ok(svl_subscription_info_get(wants[i].subscription, &info));
            if (info.backlog > 0)
                nanosleep(&t, NULL);
        }
    }
}

static bool is_scanned(struct want *want)
{
    struct handlers *h = want->subscription->handlers;
    pthread_mutex_lock(&h->lock);
    bool scanned = want->subscription->is_scanned;
    pthread_mutex_unlock(&h->lock);
    return scanned;
}

static void disturb(struct want *want)
{
    switch (rng_below(&rng, 3)) {
    case 0:
        assert_ok(svl_subscription_pause(want->subscription));
        break;
    case 1:
        assert_ok(svl_subscription_resume(want->subscription));
        break;
    default:
        assert_ok(svl_unsubscribe(want->subscription, NULL));
        subscribe(want);
        break;
    }
}

static void test_handlers_when_disturbed_at_random_then_each_has_its_records_once(void **state)
{
    (void)state;
    rng = (struct rng){ test_seed() };
    snprintf(path, sizeof path, "%s", temp_path());
    make_wants();
    fails_once = 5;
    open_all();
    for (int i = 0; i < test_times(1500); i++) {
        if (last_id + 2 >= IDS_MAX)
            break;
        publish((unsigned)rng_below(&rng, SOURCES), rng_below(&rng, 10) ? 9 : 17);
        if (rng_below(&rng, 4) == 0)
            disturb(&wants[rng_below(&rng, HANDLERS)]);
        if (rng_below(&rng, 300) == 0) {
            assert_ok(svl_close(pipeline));
            open_all();
        }
    }
    for (unsigned i = 0; i < HANDLERS; i++)
        assert_ok(svl_subscription_resume(wants[i].subscription));
    wait_for_all();
    assert_ok(svl_close(pipeline));
    for (unsigned i = 0; i < HANDLERS; i++)
        assert_had_all(&wants[i]);
    fails_once = 0;
}

static void test_handler_when_nothing_for_it_comes_then_scanned_and_nothing_is_written(void **state)
{
    (void)state;
    rng = (struct rng){ 1 };
    snprintf(path, sizeof path, "%s", temp_path());
    make_wants();
    open_all();
    for (int i = 0; i < 200; i++)
        publish(SOURCES - 1, 9);
    wait_for_all();
    svl_store *store = svl_pipeline_store(pipeline);
    struct timespec pause = { .tv_nsec = 100000000 };
    nanosleep(&pause, NULL); /* of those that had something the positions are written */
    uint64_t ticket = svl__store_last_ticket(store);
    publish(SOURCES - 1, 9);
    wait_for_all();
    nanosleep(&pause, NULL);
    assert_true(svl__store_last_ticket(store) <= ticket + 1);
    for (unsigned i = 0; i < HANDLERS; i++)
        if (wants[i].source < SOURCES) {
            svl_subscription_info info = { .struct_size = sizeof info };
            assert_true(is_scanned(&wants[i]));
            assert_ok(svl_subscription_info_get(wants[i].subscription, &info));
            assert_true(info.invocations == 0 && info.position == last_id);
        }
    assert_ok(svl_close(pipeline));
}

static size_t count_of(struct want *want)
{
    pthread_mutex_lock(&want->lock);
    size_t n = want->count;
    pthread_mutex_unlock(&want->lock);
    return n;
}

static svl_subscription *subscribe_from(uint64_t start_id)
{
    svl_subscription *s;
    svl_stored_options o;
    svl_stored_options_init(&o, sizeof o);
    o.filter.source = "svc-0";
    o.start_at = start_id ? SVL_START_ID : SVL_START_LATEST;
    o.start_id = start_id;
    assert_ok(svl_on_stored(pipeline, &o, take, &wants[0], &s));
    return s;
}

/* The scanner is where the log is, not where its first subscription would begin. */
static void test_handlers_when_the_first_one_starts_far_ahead_then_the_others_are_scanned(
    void **state)
{
    (void)state;
    enum { BEFORE = 4, BEHIND = 4 };
    svl_subscription *all[BEFORE + 1 + BEHIND];
    snprintf(path, sizeof path, "%s", temp_path());
    make_wants();
    assert_ok(svl_open(path, NULL, &pipeline));
    assert_ok(svl_start(pipeline));
    for (size_t i = 0; i < BEFORE + 1 + BEHIND; i++)
        all[i] = subscribe_from(i == BEFORE ? 1000000 : 0);
    for (size_t i = BEFORE; i < BEFORE + 1 + BEHIND; i++) {
        pthread_mutex_lock(&all[i]->handlers->lock);
        assert_true(all[i]->is_scanned);
        pthread_mutex_unlock(&all[i]->handlers->lock);
    }
    svl_subscription_info info = { .struct_size = sizeof info };
    assert_ok(svl_subscription_info_get(all[BEFORE], &info));
    assert_true(info.position == 999999);
    publish(0, 9);
    while (count_of(&wants[0]) < BEFORE + BEHIND) {
        struct timespec t = { .tv_nsec = 1000000 };
        nanosleep(&t, NULL);
    }
    assert_ok(svl_close(pipeline));
    assert_true(count_of(&wants[0]) == BEFORE + BEHIND); /* not the one that starts far ahead */
}

static int count_records(svl_batch *batch, void *user)
{
    const svl_record *all;
    size_t n;
    uint64_t *count = user;
    assert_ok(svl_batch_records(batch, &all, &n));
    *count += n;
    return SVL_OK;
}

static void do_all(void)
{
    while (svl_pump(pipeline, 0, 0, NULL) == SVL_OK)
        ;
}

/* Without a turn of the scanner: more than fits into the segments that are kept. Returns the first id that is. */
static uint64_t overtake(void)
{
    static char body[60000];
    struct rng random = { 7 };
    svl_store *store = svl_pipeline_store(pipeline);
    svl_store_stats stats = { .struct_size = sizeof stats };
    for (int i = 0; i < 600; i++) {
        for (size_t at = 0; at < sizeof body; at += 8) {
            uint64_t number = rng_next(&random);
            memcpy(body + at, &number, 8);
        }
        svl_record record = { .source = slice_of("s"), .body = { body, sizeof body } };
        assert_ok(svl_store_append(store, &record, 1, NULL));
    }
    assert_ok(svl_store_commit(store, -1));
    assert_ok(svl_store_retain(store, NULL));
    assert_ok(svl_store_stats_get(store, &stats));
    assert_true(stats.first_id > 1 && stats.first_id <= 600);
    return stats.first_id;
}

static void test_handlers_when_retention_overtakes_the_scanner_then_each_counts_its_loss(
    void **state)
{
    (void)state;
    enum { COUNT = 6 };
    svl_subscription *all[COUNT];
    uint64_t had[COUNT] = { 0 };
    svl_store_options store;
    svl_options o;
    svl_stored_options on;
    assert_ok(svl_store_options_init(&store, sizeof store));
    assert_ok(svl_options_init(&o, sizeof o));
    assert_ok(svl_stored_options_init(&on, sizeof on));
    store.segment_bytes = 8 << 20;
    store.commit_bytes = 1 << 20;
    store.codec = SVL_CODEC_NONE;
    store.retain_records_max = 100;
    o.store = &store;
    o.flags = SVL_THREADLESS;
    on.filter.source = "s";
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_open(path, &o, &pipeline));
    for (size_t i = 0; i < COUNT; i++)
        assert_ok(svl_on_stored(pipeline, &on, count_records, &had[i], &all[i]));
    assert_ok(svl_start(pipeline));
    do_all();
    uint64_t first_id = overtake();
    for (size_t i = 0; i < COUNT; i++)
        assert_true(all[i]->is_scanned && had[i] == 0);
    do_all();
    for (size_t i = 0; i < COUNT; i++) {
        svl_subscription_info info = { .struct_size = sizeof info };
        assert_ok(svl_subscription_info_get(all[i], &info));
        assert_true(info.lost == first_id - 1 && info.lost + had[i] == 600);
        assert_true(all[i]->is_scanned);
    }
    assert_ok(svl_close(pipeline));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handlers_when_disturbed_at_random_then_each_has_its_records_once),
        cmocka_unit_test(
            test_handler_when_nothing_for_it_comes_then_scanned_and_nothing_is_written),
        cmocka_unit_test(
            test_handlers_when_the_first_one_starts_far_ahead_then_the_others_are_scanned),
        cmocka_unit_test(
            test_handlers_when_retention_overtakes_the_scanner_then_each_counts_its_loss),
    };
    int failed = cmocka_run_group_tests_name("handler/scanner", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
