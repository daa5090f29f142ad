/* The pool of workers: nobody waits behind a stuck handler, times are kept whoever sleeps or works, and
 * stopping does not spin. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "handler/subscription.h"
#include "pipeline/pipeline.h"
#include "support/support.h"

static char path[512];
static svl_pipeline *pipeline;
static _Atomic int may_return;

/* A handler that does what its `act` says. */
struct script {
    enum { ACT_PASS, ACT_STICK, ACT_STEP, ACT_FAIL_ONCE, ACT_DEFER, ACT_EMIT } act;
    _Atomic unsigned calls, done;
    _Atomic unsigned steps;       /* of ACT_STEP: so many calls return */
    _Atomic uint64_t last_ids[4]; /* of the first calls */
    svl_subscription *subscription;
};

static int new_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    atomic_store(&may_return, 0);
    return 0;
}

static void short_sleep(void)
{
    struct timespec t = { 0, 1000000 };
    nanosleep(&t, NULL);
}

static int handle(svl_batch *batch, void *user)
{
    struct script *s = user;
    const svl_record *records;
    size_t n;
    assert_ok(svl_batch_records(batch, &records, &n));
    unsigned call = atomic_fetch_add(&s->calls, 1);
    if (call < 4)
        atomic_store(&s->last_ids[call], records[n - 1].id);
    while (s->act == ACT_STICK && !atomic_load(&may_return))
        short_sleep();
    while (s->act == ACT_STEP && atomic_load(&s->steps) <= call)
        short_sleep();
    if (s->act == ACT_FAIL_ONCE && call == 0)
        return SVL_FAIL;
    if (s->act == ACT_DEFER)
        return svl_batch_defer(batch, 0, 3600000);
    for (size_t i = 0; s->act == ACT_EMIT && i < n; i++) {
        svl_record emitted = { .source = slice_of("emitted") };
        assert_ok(svl_batch_emit(batch, i, &emitted));
    }
    atomic_fetch_add(&s->done, (unsigned)n);
    return SVL_OK;
}

static void open_pipeline(uint32_t workers_max, uint32_t worker_idle_ms)
{
    svl_options options;
    assert_ok(svl_options_init(&options, sizeof options));
    options.workers_max = workers_max;
    options.worker_idle_ms = worker_idle_ms;
    assert_ok(svl_open(path, &options, &pipeline));
}

static svl_stored_options named(const char *name)
{
    svl_stored_options o;
    assert_ok(svl_stored_options_init(&o, sizeof o));
    o.name = name;
    o.filter.source = "in";
    return o;
}

static void subscribe(struct script *s, const svl_stored_options *o)
{
    assert_ok(svl_on_stored(pipeline, o, handle, s, &s->subscription));
}

static void publish(size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_ok(svl_publish_text(pipeline, SVL_SEVERITY_INFO, "in", "x"));
    assert_ok(svl_flush(pipeline, -1));
}

static void wait_for(const _Atomic unsigned *counter, unsigned n)
{
    while (atomic_load(counter) < n)
        short_sleep();
}

static void test_subscriptions_when_others_are_stuck_then_served(void **state)
{
    (void)state;
    static struct script stuck[3], free_one;
    static const char *const names[] = { "a", "b", "c" };
    memset(stuck, 0, sizeof stuck);
    memset(&free_one, 0, sizeof free_one);
    open_pipeline(4, 5000);
    for (int i = 0; i < 3; i++) {
        svl_stored_options o = named(names[i]);
        subscribe(&stuck[i], &o);
    }
    svl_stored_options o = named("free");
    subscribe(&free_one, &o);
    assert_ok(svl_start(pipeline));
    publish(1); /* workers are there, and idle */
    for (int i = 0; i < 3; i++)
        wait_for(&stuck[i].done, 1);
    wait_for(&free_one.done, 1);
    for (int i = 0; i < 3; i++)
        stuck[i].act = ACT_STICK;
    publish(1); /* all four are ready in one step; three of them stick */
    wait_for(&free_one.done, 2);
    atomic_store(&may_return, 1);
    assert_ok(svl_close(pipeline));
}

static void test_retry_when_it_waits_longer_than_workers_idle_then_made(void **state)
{
    (void)state;
    static struct script failing, other;
    failing = (struct script){ .act = ACT_FAIL_ONCE };
    other = (struct script){ .act = ACT_PASS };
    open_pipeline(4, 10);
    svl_stored_options a = named("failing"), b = named("other");
    a.retry_base_ms = a.retry_max_ms = 100;
    subscribe(&failing, &a);
    subscribe(&other, &b);
    assert_ok(svl_start(pipeline));
    publish(3);
    wait_for(&failing.done, 3);
    assert_ok(svl_close(pipeline));
}

static void test_retry_when_the_only_worker_is_in_a_callback_then_another_keeps_the_time(
    void **state)
{
    (void)state;
    static struct script failing, stuck;
    failing = (struct script){ .act = ACT_FAIL_ONCE };
    stuck = (struct script){ .act = ACT_PASS };
    open_pipeline(2, 5000);
    svl_stored_options a = named("failing"), b = named("stuck");
    a.retry_base_ms = a.retry_max_ms = 50;
    b.filter.source = "stick";
    subscribe(&failing, &a);
    subscribe(&stuck, &b);
    assert_ok(svl_start(pipeline));
    stuck.act = ACT_STICK;
    publish(1);
    assert_ok(svl_publish_text(pipeline, SVL_SEVERITY_INFO, "stick", "x"));
    wait_for(&stuck.calls, 1);
    wait_for(&failing.done, 1); /* with the other handler in its callback all the while */
    atomic_store(&may_return, 1);
    assert_ok(svl_close(pipeline));
}

/* The pipeline's workers: until so many are idle; those that come to rest from now on end after `idle_ms`. */
static void rest_until_idle(uint32_t workers, uint32_t idle_ms)
{
    struct handlers *h = pipeline->handlers;
    for (bool reached = false; !reached;) {
        short_sleep();
        pthread_mutex_lock(&h->lock);
        reached = h->idle_workers == workers;
        if (reached)
            h->options.worker_idle_ms = idle_ms;
        pthread_mutex_unlock(&h->lock);
    }
}

static bool is_dirty(svl_subscription *s)
{
    pthread_mutex_lock(&s->handlers->lock);
    bool dirty = s->dirty;
    pthread_mutex_unlock(&s->handlers->lock);
    return dirty;
}

/* One rests for an hour; one ends soon; the third is in a callback that follows one whose position is due between. */
static void test_time_when_the_idle_worker_that_keeps_it_ends_then_another_keeps_it(void **state)
{
    (void)state;
    static struct script scripts[3];
    static const char *const names[] = { "long", "short", "busy" };
    open_pipeline(3, 3600000);
    for (int i = 0; i < 3; i++) {
        scripts[i] = (struct script){ .act = ACT_STEP };
        svl_stored_options o = named(names[i]);
        o.filter.source = names[i];
        o.batch_records_max = 1;
        o.checkpoint_interval_ms = i == 2 ? 500 : 3600000;
        subscribe(&scripts[i], &o);
    }
    assert_ok(svl_start(pipeline));
    for (int i = 0; i < 3; i++) {
        assert_ok(svl_publish_text(pipeline, SVL_SEVERITY_INFO, names[i], "x"));
        assert_ok(svl_publish_text(pipeline, SVL_SEVERITY_INFO, i == 2 ? names[i] : "none", "x"));
        assert_ok(svl_flush(pipeline, -1));
        wait_for(&scripts[i].calls, 1);
    }
    atomic_store(&scripts[0].steps, 1);
    rest_until_idle(1, 300);
    atomic_store(&scripts[1].steps, 1);
    rest_until_idle(2, 3600000);
    atomic_store(&scripts[2].steps, 1);
    wait_for(&scripts[2].calls, 2);
    while (is_dirty(scripts[2].subscription))
        short_sleep();
    atomic_store(&scripts[2].steps, 2);
    assert_ok(svl_close(pipeline));
}

static void test_failed_batch_when_retried_then_the_same_records(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = ACT_FAIL_ONCE };
    open_pipeline(1, 5000);
    svl_stored_options o = named("same");
    o.retry_base_ms = o.retry_max_ms = 200;
    subscribe(&s, &o);
    assert_ok(svl_start(pipeline));
    publish(1);
    wait_for(&s.calls, 1);
    publish(5); /* while it waits for its second attempt */
    wait_for(&s.calls, 2);
    assert_true(atomic_load(&s.last_ids[1]) == 1);
    wait_for(&s.done, 6);
    assert_ok(svl_close(pipeline));
}

static void test_window_when_the_batch_is_full_then_not_waited_for(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = ACT_PASS };
    open_pipeline(2, 5000);
    svl_stored_options o = named("window");
    o.batch_window_ms = 3600000;
    o.batch_records_max = 10;
    subscribe(&s, &o);
    assert_ok(svl_start(pipeline));
    publish(3);
    publish(10);
    wait_for(&s.done, 10);
    assert_ok(svl_stop(pipeline, -1)); /* and stopping does not wait for it either */
    assert_int_equal(atomic_load(&s.done), 13);
    assert_ok(svl_close(pipeline));
}

static void test_stop_when_a_batch_is_deferred_then_left_for_the_next_start(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = ACT_DEFER };
    open_pipeline(2, 5000);
    svl_stored_options o = named("defer");
    subscribe(&s, &o);
    assert_ok(svl_start(pipeline));
    publish(4);
    wait_for(&s.calls, 1);
    assert_ok(svl_stop(pipeline, -1));
    assert_in_range(atomic_load(&s.calls), 1, 2); /* at most once more: without its wait */
    assert_ok(svl_close(pipeline));

    s.act = ACT_PASS;
    open_pipeline(2, 5000);
    subscribe(&s, &o);
    assert_ok(svl_start(pipeline));
    wait_for(&s.done, 4);
    assert_ok(svl_close(pipeline));
}

/* A turn that found nothing ends while svl_stop() begins: what became durable meanwhile is handed out. */
static void test_stop_when_a_turn_has_looked_less_far_then_the_rest_is_handed_out(void **state)
{
    (void)state;
    static struct script s;
    svl_stored_options o = named(NULL);
    svl_record other[100] = { { .source = slice_of("other") } };
    for (size_t i = 1; i < 100; i++)
        other[i] = other[0];
    for (int round = 0; round < 40; round++) {
        s = (struct script){ .act = ACT_PASS };
        new_path(NULL);
        open_pipeline(2, 5000);
        subscribe(&s, &o);
        assert_ok(svl_start(pipeline));
        for (int i = 0; i < 100; i++)
            assert_ok(svl_publish_many(pipeline, other, 100, NULL));
        assert_ok(svl_flush(pipeline, -1));
        assert_ok(svl_publish_text(pipeline, SVL_SEVERITY_INFO, "in", "x"));
        assert_ok(svl_stop(pipeline, -1));
        assert_int_equal(atomic_load(&s.done), 1);
        assert_ok(svl_close(pipeline));
        remove_tree(path);
    }
}

static uint64_t count_emitted(void)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0;
    assert_ok(svl_query_init(&query, sizeof query));
    query.source = slice_of("emitted");
    assert_ok(svl_store_query(svl_pipeline_store(pipeline), &query, &cursor));
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK)
        n++;
    svl_cursor_close(cursor);
    return n;
}

static void test_name_when_opened_again_at_once_then_goes_on_where_it_was(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = ACT_EMIT };
    svl_store_options store;
    svl_options options;
    assert_ok(svl_store_options_init(&store, sizeof store));
    assert_ok(svl_options_init(&options, sizeof options));
    store.sync_interval_ms = 60000; /* what is fed is not durable soon */
    options.store = &store;
    assert_ok(svl_open(path, &options, &pipeline));
    svl_stored_options o = named("again");
    subscribe(&s, &o);
    assert_ok(svl_start(pipeline));
    for (int round = 1; round <= 5; round++) {
        publish(10);
        wait_for(&s.done, 10 * (unsigned)round);
        assert_ok(svl_unsubscribe(s.subscription, NULL));
        subscribe(&s, &o);
    }
    assert_ok(svl_subscription_pause(s.subscription));
    assert_ok(svl_unsubscribe(s.subscription, NULL));
    subscribe(&s, &o);
    svl_subscription_info info = { .struct_size = sizeof info };
    assert_ok(svl_subscription_info_get(s.subscription, &info));
    assert_true(info.paused);
    assert_ok(svl_stop(pipeline, -1));
    assert_int_equal(atomic_load(&s.done), 50);
    assert_true(count_emitted() == 50);
    assert_ok(svl_close(pipeline));
}

static void append(svl_store *store, const char *source, size_t n)
{
    svl_record records[1000];
    for (size_t i = 0; i < 1000; i++)
        records[i] = (svl_record){ .source = slice_of(source) };
    for (size_t some; n > 0; n -= some) {
        some = n < 1000 ? n : 1000;
        assert_ok(svl_store_append(store, records, some, NULL));
    }
}

static enum subscription_state one_turn(svl_subscription *s)
{
    enum subscription_state next = SUBSCRIPTION_IDLE;
    s->state = SUBSCRIPTION_RUNNING;
    svl__deliver(s, &next);
    s->state = next;
    return next;
}

/* Turn by turn, without workers: each ends, and what it has passed is kept. */
static void test_backlog_when_little_of_it_matches_then_turns_are_short(void **state)
{
    (void)state;
    static struct script script;
    enum { TURN = 65536, OTHER = 2 * TURN + 100 };
    struct handlers *handlers;
    svl_subscription *s;
    svl_store *store;
    assert_ok(svl_store_open(path, NULL, &store));
    const struct handlers_options options = {
        .store = store, .workers_max = 1, .worker_idle_ms = 5000, .record_bytes_max = 4096
    };
    for (int window = 0; window < 2; window++) {
        uint64_t first = svl__store_durable_id(store), last = first + OTHER + 1;
        script = (struct script){ .act = ACT_PASS };
        svl_stored_options o = named(window ? "window" : "none");
        o.start_at = SVL_START_ID;
        o.start_id = first + 1;
        o.batch_window_ms = window ? 3600000 : 0;
        append(store, "other", OTHER);
        append(store, "in", 1);
        assert_ok(svl__handlers_create(&options, &handlers));
        assert_ok(svl__handlers_subscribe(handlers, &o, handle, &script, &s));
        for (uint64_t turn = 1; turn <= 2; turn++) {
            assert_int_equal(one_turn(s), SUBSCRIPTION_READY);
            assert_true(s->position == first + turn * TURN && s->dirty);
        }
        append(store, "in", 2); /* durable since: belongs to the same batch */
        svl__handlers_durable(handlers, last + 2);
        if (window) { /* the real end: now it waits for more */
            assert_int_equal(one_turn(s), SUBSCRIPTION_WAITING);
            s->window_until_ns = 1;
        }
        assert_int_equal(one_turn(s), SUBSCRIPTION_READY);
        assert_int_equal(atomic_load(&script.done), 3);
        assert_int_equal(atomic_load(&script.calls), 1);
        assert_int_equal(one_turn(s), SUBSCRIPTION_IDLE);
        assert_true(s->position == last + 2);
        assert_ok(svl__handlers_destroy(handlers, INT64_MAX, NULL, NULL));
    }
    assert_ok(svl_store_close(store));
}

static unsigned count_parted(void)
{
    unsigned n = 0;
    pthread_mutex_lock(&pipeline->handlers->lock);
    for (const struct parted *p = pipeline->handlers->parted; p; p = p->next)
        n++;
    pthread_mutex_unlock(&pipeline->handlers->lock);
    return n;
}

static void test_names_when_they_come_and_go_then_none_is_kept_that_is_durable(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = ACT_PASS };
    open_pipeline(2, 5000);
    assert_ok(svl_start(pipeline));
    for (int i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof name, "name-%d", i);
        svl_stored_options o = named(name);
        subscribe(&s, &o);
        assert_ok(svl_unsubscribe(s.subscription, NULL));
        if (i % 3 == 0)
            assert_ok(svl_store_flush(svl_pipeline_store(pipeline), -1));
        assert_in_range(count_parted(), 1, 4);
    }
    assert_ok(svl_close(pipeline));
}

static struct script left_behind;
static _Atomic int released_in_callback;

static void released(void *user)
{
    (void)user;
    /* Waiting for itself is refused here too. */
    atomic_store(&released_in_callback, svl_flush(pipeline, -1) == SVL_E_DEADLOCK ? 1 : 2);
}

static int unsubscribe_the_other(svl_batch *batch, void *user)
{
    (void)batch;
    (void)user;
    wait_for(&left_behind.calls, 1);
    assert_ok(svl_unsubscribe(left_behind.subscription, released));
    atomic_store(&may_return, 1);
    return SVL_OK;
}

static void test_unsubscribe_when_in_another_callback_then_position_kept_and_released(void **state)
{
    (void)state;
    memset(&left_behind, 0, sizeof left_behind);
    left_behind.act = ACT_STICK;
    atomic_store(&released_in_callback, 0);
    open_pipeline(4, 5000);
    svl_stored_options a = named("left"), b = named("other");
    a.checkpoint_interval_ms = 3600000;
    subscribe(&left_behind, &a);
    assert_ok(svl_on_stored(pipeline, &b, unsubscribe_the_other, NULL, NULL));
    assert_ok(svl_start(pipeline));
    publish(1);
    while (!atomic_load(&released_in_callback))
        short_sleep();
    assert_int_equal(atomic_load(&released_in_callback), 1);
    assert_ok(svl_close(pipeline));

    open_pipeline(4, 5000);
    subscribe(&left_behind, &a);
    svl_subscription_info info = { .struct_size = sizeof info };
    assert_ok(svl_subscription_info_get(left_behind.subscription, &info));
    assert_true(info.position == 1);
    assert_ok(svl_close(pipeline));
}

static void test_retry_wait_when_attempts_grow_then_doubles_with_jitter(void **state)
{
    (void)state;
    svl_stored_options o = { .retry_base_ms = 100, .retry_max_ms = 1000 };
    svl_stored_options day = { .retry_base_ms = 3600000, .retry_max_ms = 86400000 };
    static const int64_t ms[] = { 100, 200, 400, 800, 1000, 1000 };
    for (uint32_t attempts = 1; attempts <= 6; attempts++) {
        int64_t low = INT64_MAX, high = 0;
        for (int i = 0; i < 1000; i++) {
            int64_t wait = svl__retry_wait_ns(&o, attempts);
            low = wait < low ? wait : low;
            high = wait > high ? wait : high;
        }
        int64_t full = ms[attempts - 1] * 1000000;
        assert_true(low >= full / 2 && high <= full);
        assert_true(low < full * 6 / 10 && high > full * 9 / 10); /* it does vary */
    }
    assert_true(svl__retry_wait_ns(&o, UINT32_MAX) <= 1000000000);
    int64_t longest = 0;
    for (int i = 0; i < 1000; i++) {
        int64_t wait = svl__retry_wait_ns(&day, 10);
        longest = wait > longest ? wait : longest;
    }
    assert_true(longest > 86400 * NS_PER_S * 9 / 10 && longest <= 86400 * NS_PER_S);
}

/* Fails until it has been called often. */
static int fail_often(svl_batch *batch, void *user)
{
    (void)batch;
    return atomic_fetch_add((_Atomic unsigned *)user, 1) < 60 ? SVL_FAIL : SVL_OK;
}

/* The waits are between 10 and 20 ms, the idle time is 10: again and again both end together. */
static void test_retry_when_due_as_the_only_worker_ends_then_made(void **state)
{
    (void)state;
    enum { POOLS = 16 };
    static _Atomic unsigned calls[POOLS];
    struct handlers *pools[POOLS];
    svl_store *store;
    svl_record record = { .source = slice_of("in") };
    assert_ok(svl_store_open(path, NULL, &store));
    assert_ok(svl_store_append(store, &record, 1, NULL));
    svl_stored_options o = named(NULL);
    o.start_at = SVL_START_EARLIEST;
    o.retry_attempts_max = UINT32_MAX;
    o.retry_base_ms = o.retry_max_ms = 20;
    for (int i = 0; i < POOLS; i++) {
        const struct handlers_options options = {
            .store = store, .workers_max = 1, .worker_idle_ms = 10, .record_bytes_max = 4096
        };
        assert_ok(svl__handlers_create(&options, &pools[i]));
        assert_ok(svl__handlers_subscribe(pools[i], &o, fail_often, (void *)&calls[i], NULL));
        svl__handlers_start(pools[i]);
    }
    int64_t deadline_ns = svl__deadline_ns(30000);
    for (int i = 0; i < POOLS; i++) {
        while (atomic_load(&calls[i]) <= 60 && svl__monotonic_ns() < deadline_ns)
            short_sleep();
        assert_true(atomic_load(&calls[i]) > 60);
    }
    for (int i = 0; i < POOLS; i++)
        assert_ok(svl__handlers_destroy(pools[i], INT64_MAX, NULL, NULL));
    assert_ok(svl_store_close(store));
}

#define WORKERS_TEST(f) cmocka_unit_test_setup(f, new_path)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORKERS_TEST(test_subscriptions_when_others_are_stuck_then_served),
        WORKERS_TEST(test_retry_when_it_waits_longer_than_workers_idle_then_made),
        WORKERS_TEST(test_retry_when_the_only_worker_is_in_a_callback_then_another_keeps_the_time),
        WORKERS_TEST(test_retry_when_due_as_the_only_worker_ends_then_made),
        WORKERS_TEST(test_time_when_the_idle_worker_that_keeps_it_ends_then_another_keeps_it),
        WORKERS_TEST(test_failed_batch_when_retried_then_the_same_records),
        WORKERS_TEST(test_window_when_the_batch_is_full_then_not_waited_for),
        WORKERS_TEST(test_stop_when_a_batch_is_deferred_then_left_for_the_next_start),
        WORKERS_TEST(test_stop_when_a_turn_has_looked_less_far_then_the_rest_is_handed_out),
        WORKERS_TEST(test_name_when_opened_again_at_once_then_goes_on_where_it_was),
        WORKERS_TEST(test_backlog_when_little_of_it_matches_then_turns_are_short),
        WORKERS_TEST(test_names_when_they_come_and_go_then_none_is_kept_that_is_durable),
        WORKERS_TEST(test_unsubscribe_when_in_another_callback_then_position_kept_and_released),
        cmocka_unit_test(test_retry_wait_when_attempts_grow_then_doubles_with_jitter),
    };
    int failed = cmocka_run_group_tests_name("handler/workers", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
