/* Stored handlers and consumers with patterns: each record that matches, once and in order, whether it is read from
 * memory or from segments; what a pattern cannot tell; and what is refused. */
#include <pthread.h>

#include "support/patterns.h"

#define RECORDS_MAX 4096
#define HANDLERS 6

struct taken {
    pthread_mutex_t lock;
    uint64_t ids[RECORDS_MAX];
    size_t n;
};

static char path[512];
static svl_pipeline *pipeline;

static int start(void **state)
{
    (void)state;
    svl_store_options store;
    svl_options o;
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_store_options_init(&store, sizeof store));
    assert_ok(svl_options_init(&o, sizeof o));
    store.block_bytes = 4096;
    o.store = &store;
    assert_ok(svl_open(path, &o, &pipeline));
    return 0;
}

static int take(svl_batch *batch, void *user)
{
    struct taken *taken = user;
    const svl_record *records;
    size_t n;
    assert_ok(svl_batch_records(batch, &records, &n));
    pthread_mutex_lock(&taken->lock);
    for (size_t i = 0; i < n; i++) {
        assert_true(taken->n < RECORDS_MAX);
        taken->ids[taken->n++] = records[i].id;
    }
    pthread_mutex_unlock(&taken->lock);
    return SVL_OK;
}

static svl_stored_options options_of(const char *name, const char *pattern)
{
    svl_stored_options o;
    assert_ok(svl_stored_options_init(&o, sizeof o));
    o.name = name;
    o.start_at = SVL_START_EARLIEST;
    o.filter.pattern = pattern;
    return o;
}

static void publish(const svl_record *record)
{
    assert_ok(svl_publish(pipeline, record));
}

static void scan(const char *text, struct taken *expected)
{
    svl_query q;
    svl_cursor *cursor;
    svl_pattern *pattern;
    const svl_record *record;
    assert_ok(svl_query_init(&q, sizeof q));
    assert_ok(svl_pattern_compile(text, strlen(text), &pattern, NULL));
    assert_ok(svl_store_query(svl_pipeline_store(pipeline), &q, &cursor));
    for (expected->n = 0; svl_cursor_next(cursor, 0, &record) == SVL_OK;) {
        int matched;
        assert_ok(svl_pattern_match_record(pattern, record, 0, &matched));
        if (matched)
            expected->ids[expected->n++] = record->id;
    }
    svl_cursor_close(cursor);
    svl_pattern_destroy(pattern);
}

static void poll_all(const char *pattern, struct taken *taken)
{
    svl_consumer *consumer;
    svl_batch *batch;
    svl_stored_options o = options_of("polled", pattern);
    assert_ok(svl_consumer_open(pipeline, &o, &consumer));
    taken->n = 0;
    while (svl_consumer_poll(consumer, 0, &batch) == SVL_OK) {
        take(batch, taken);
        assert_ok(svl_batch_ack(batch));
    }
    assert_ok(svl_consumer_close(consumer));
}

static void assert_same(const struct taken *a, const struct taken *b, const char *pattern)
{
    if (a->n != b->n || memcmp(a->ids, b->ids, a->n * sizeof a->ids[0]) != 0)
        fail_msg("%s: %zu records, %zu by a scan", pattern, a->n, b->n);
}

static void test_handlers_when_they_have_patterns_then_what_a_scan_gives(void **state)
{
    (void)state;
    static struct taken taken[HANDLERS], expected, polled;
    struct rng seeded = { test_seed() }, *rng = &seeded;
    char patterns[HANDLERS][1024];
    svl_subscription *subscriptions[HANDLERS];
    for (int i = 0; i < HANDLERS; i++) {
        char name[16], lent[1024];
        snprintf(name, sizeof name, "h%d", i);
        strcpy(lent, pattern_any(rng, patterns[i]));
        pthread_mutex_init(&taken[i].lock, NULL);
        svl_stored_options o = options_of(name, lent);
        assert_ok(svl_on_stored(pipeline, &o, take, &taken[i], &subscriptions[i]));
        memset(lent, 'x', sizeof lent); /* nobody looks at it any more */
    }
    pthread_mutex_init(&polled.lock, NULL);
    assert_ok(svl_start(pipeline));
    for (int i = 0; i < 1500; i++) {
        svl_record record = pattern_record(rng);
        publish(&record);
        if (i == 500 || i == 1000) {
            assert_ok(svl_flush(pipeline, -1));
            assert_ok(svl_store_commit(svl_pipeline_store(pipeline), -1));
        }
    }
    assert_ok(svl_stop(pipeline, -1)); /* what is durable has been handed out */
    for (int i = 0; i < HANDLERS; i++) {
        scan(patterns[i], &expected);
        assert_same(&taken[i], &expected, patterns[i]);
    }
    assert_ok(svl_close(pipeline));
    assert_ok(svl_open(path, NULL, &pipeline));
    assert_ok(svl_start(pipeline));
    scan(patterns[0], &expected);
    poll_all(patterns[0], &polled);
    assert_same(&polled, &expected, patterns[0]);
    assert_ok(svl_close(pipeline));
}

static void test_record_when_it_cannot_be_held_against_the_pattern_then_delivery_goes_on(
    void **state)
{
    (void)state;
    static struct taken taken = { .lock = PTHREAD_MUTEX_INITIALIZER };
    static char pattern[HARD_BYTES], hard[HARD_BYTES], easy[HARD_BYTES] = "{";
    pattern_hard(pattern, hard);
    for (int i = 0; i < HARD_NAMES; i++)
        sprintf(easy + strlen(easy), "\"a.x%d\":1,", i);
    strcat(easy, "\"b\":1}");
    svl_stored_options o = options_of("hard", pattern);
    assert_ok(svl_on_stored(pipeline, &o, take, &taken, NULL));
    assert_ok(svl_start(pipeline));
    const char *bodies[] = { easy, hard, easy };
    for (int i = 0; i < 3; i++)
        publish(&(svl_record){ .body_kind = SVL_BODY_JSON, .body = slice_of(bodies[i]) });
    assert_ok(svl_stop(pipeline, -1));
    assert_int_equal(taken.n, 2);
    assert_true(taken.ids[0] == 1 && taken.ids[1] == 3);
    assert_ok(svl_close(pipeline));
}

static int reject_all(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    (void)user;
    assert_ok(svl_batch_records(batch, &records, &n));
    for (size_t i = 0; i < n; i++)
        assert_ok(svl_batch_reject(batch, i, "of no use"));
    return SVL_OK;
}

static void wait_for_record(uint64_t id)
{
    svl_query q;
    svl_cursor *cursor;
    const svl_record *record;
    assert_ok(svl_query_init(&q, sizeof q));
    q.id_min = id;
    q.flags = SVL_QUERY_FOLLOW;
    assert_ok(svl_store_query(svl_pipeline_store(pipeline), &q, &cursor));
    assert_ok(svl_cursor_next(cursor, 20000, &record));
    svl_cursor_close(cursor);
}

static void test_dead_letters_when_a_pattern_names_their_source_then_handed_out(void **state)
{
    (void)state;
    static struct taken named = { .lock = PTHREAD_MUTEX_INITIALIZER },
                        any = { .lock = PTHREAD_MUTEX_INITIALIZER };
    svl_stored_options o = options_of("rejects", "{\"source\":[\"bad\"]}");
    assert_ok(svl_on_stored(pipeline, &o, reject_all, NULL, NULL));
    o = options_of("named", "{\"source\":[{\"prefix\":\"serverlog.\"}]}");
    assert_ok(svl_on_stored(pipeline, &o, take, &named, NULL));
    o = options_of("any", "{\"source\":[{\"exists\":true}]}");
    assert_ok(svl_on_stored(pipeline, &o, take, &any, NULL));
    assert_ok(svl_start(pipeline));
    publish(&(svl_record){ .source = slice_of("good") });
    publish(&(svl_record){ .source = slice_of("bad") }); /* its letter is the third */
    wait_for_record(3);
    assert_ok(svl_stop(pipeline, -1));
    assert_true(any.n == 2 && any.ids[0] == 1 && any.ids[1] == 2);
    assert_true(named.n == 1 && named.ids[0] == 3);
    assert_ok(svl_close(pipeline));
}

static void test_pattern_when_it_is_none_then_refused_with_member_path_and_place(void **state)
{
    (void)state;
    svl_stored_options o = options_of("wrong", "{\"detail\":{\"n\":[{\"numeric\":[\">\"]}]}}");
    svl_consumer *consumer;
    svl_subscription *subscription;
    assert_int_equal(svl_on_stored(pipeline, &o, take, NULL, &subscription), SVL_E_PATTERN);
    assert_null(subscription);
    for (int i = 0; i < 2; i++) {
        const char *words = svl_last_error();
        if (!strstr(words, "svl_filter.pattern") || !strstr(words, "$.detail.n[0].numeric") ||
            !strstr(words, "byte"))
            fail_msg("%s", words);
        assert_int_equal(svl_consumer_open(pipeline, &o, &consumer), SVL_E_PATTERN);
        assert_null(consumer);
    }
    assert_ok(svl_close(pipeline));
}

#define TEST(name) cmocka_unit_test_setup(name, start)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_handlers_when_they_have_patterns_then_what_a_scan_gives),
        TEST(test_record_when_it_cannot_be_held_against_the_pattern_then_delivery_goes_on),
        TEST(test_dead_letters_when_a_pattern_names_their_source_then_handed_out),
        TEST(test_pattern_when_it_is_none_then_refused_with_member_path_and_place),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
