/* A bus alone, one thread: what is published comes out of the pump, in order, to those that want it; wakes,
 * time-outs, and what is refused. */
#include <sys/wait.h>
#include <unistd.h>

#include "bus/bus.h"
#include "events.h"
#include "ring/layout.h"
#include "support/filters.h"

static svl_bus *bus;
static struct seen seen;

static int start(void **state)
{
    (void)state;
    seen.n = 0;
    bus = create_bus(0, SVL_FULL_FAIL);
    return 0;
}

static int end(void **state)
{
    (void)state;
    svl_bus_destroy(bus);
    return 0;
}

static void test_pump_when_records_are_there_then_all_in_order(void **state)
{
    (void)state;
    size_t n = 99;
    assert_ok(svl_bus_subscribe(bus, NULL, see, &seen, NULL));
    assert_int_equal(svl_bus_pump(bus, 0, 0, &n), SVL_E_TIMEOUT);
    assert_int_equal(n, 0);
    for (int64_t i = 0; i < 100; i++)
        assert_ok(publish_number(bus, i, (size_t)i));
    assert_int_equal(seen.n, 0); /* nobody is called by publish */
    assert_ok(svl_bus_pump(bus, 0, -1, &n));
    assert_int_equal(n, 100);
    assert_int_equal(seen.n, 100);
    for (int64_t i = 0; i < 100; i++)
        assert_true(seen.numbers[i] == i);
    assert_int_equal(svl_bus_pump(bus, 0, 1, NULL), SVL_E_TIMEOUT);
    assert_true(stats_of(bus).ring_used_bytes == 0);
}

static void test_pump_when_limited_then_not_more_and_the_rest_later(void **state)
{
    (void)state;
    size_t n;
    assert_ok(svl_bus_subscribe(bus, NULL, see, &seen, NULL));
    for (int64_t i = 0; i < 25; i++)
        assert_ok(publish_number(bus, i, 0));
    for (size_t sum = 0; sum < 25; sum += n) {
        assert_ok(svl_bus_pump(bus, 10, 0, &n));
        assert_int_equal(n, sum < 20 ? 10 : 5);
        assert_int_equal(seen.n, sum + n);
    }
    assert_int_equal(svl_bus_pump(bus, 10, 0, &n), SVL_E_TIMEOUT);
}

static int publish_again(const svl_record *record, void *user)
{
    see(record, user);
    assert_ok(publish_number(bus, number_of(record) + 1, 0));
    return SVL_OK;
}

static void test_pump_when_each_callback_publishes_then_it_still_ends(void **state)
{
    (void)state;
    size_t n;
    assert_ok(svl_bus_subscribe(bus, NULL, publish_again, &seen, NULL));
    assert_ok(publish_number(bus, 1, 0));
    for (int64_t i = 1; i < 5; i++) {
        assert_ok(svl_bus_pump(bus, 0, 0, &n));
        assert_int_equal(n, 1);
        assert_true(seen.numbers[seen.n - 1] == i);
    }
}

static void test_subscribers_when_of_any_filters_then_those_that_match_in_order(void **state)
{
    (void)state;
    enum { SUBSCRIBERS = 16, RECORDS = 300 };
    static struct seen each[SUBSCRIBERS];
    svl_filter filters[SUBSCRIBERS];
    static svl_record records[RECORDS];
    static int64_t numbers[RECORDS];
    struct rng seeded = { test_seed() }, *rng = &seeded;
    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        svl_bus_subscription_options options;
        assert_ok(svl_bus_subscription_options_init(&options, sizeof options));
        options.filter = filters[i] = filter_any(rng, i);
        each[i].n = 0;
        assert_ok(svl_bus_subscribe(bus, &options, see, &each[i], NULL));
    }
    for (int64_t i = 0; i < RECORDS; i++) {
        svl_record *record = &records[i];
        *record = filter_record(rng);
        numbers[i] = i;
        record->body = (svl_slice){ &numbers[i], sizeof numbers[i] };
        bool is_own = filter_starts(record->source, "serverlog.", 10);
        assert_int_equal(svl_bus_publish(bus, record), is_own ? SVL_E_RESERVED : SVL_OK);
    }
    pump_all(bus);
    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        size_t at = 0;
        for (int64_t k = 0; k < RECORDS; k++) {
            if (filter_starts(records[k].source, "serverlog.", 10) ||
                !filter_meets(&filters[i], &records[k]))
                continue;
            assert_true(at < each[i].n);
            assert_true(each[i].numbers[at++] == k);
        }
        assert_int_equal(at, each[i].n);
    }
}

static int look_whole(const svl_record *record, void *user)
{
    (void)user;
    assert_true(record->id == 0 && record->ingest_ns == 0 && record->time_ns == 7);
    assert_true(record->severity == 17 && record->body_kind == SVL_BODY_JSON);
    assert_int_equal(record->key.len, 3);
    assert_memory_equal(record->key.data, "a\0b", 3);
    assert_int_equal(record->attribute_count, 1);
    assert_memory_equal(record->attributes[0].name.data, "n", 1);
    assert_true(record->attributes[0].i64 == -5);
    seen.n++;
    return SVL_FAIL;
}

static void test_record_when_handed_out_then_whole_and_a_failing_callback_is_counted(void **state)
{
    (void)state;
    svl_attribute attribute = { .name = slice_of("n"), .kind = SVL_ATTRIBUTE_I64, .i64 = -5 };
    svl_record record = { .id = 3,
                          .time_ns = 7,
                          .severity = 17,
                          .body_kind = SVL_BODY_JSON,
                          .source = slice_of("s"),
                          .type = slice_of("t"),
                          .key = { "a\0b", 3 },
                          .body = slice_of("{}"),
                          .attributes = &attribute,
                          .attribute_count = 1 };
    assert_ok(svl_bus_subscribe(bus, NULL, look_whole, NULL, NULL));
    assert_ok(svl_bus_subscribe(bus, NULL, look_whole, NULL, NULL));
    assert_ok(svl_bus_publish(bus, &record));
    assert_int_equal(pump_all(bus), 1);
    assert_int_equal(seen.n, 2);
    svl_bus_stats stats = stats_of(bus);
    assert_true(stats.delivered == 1 && stats.calls == 2 && stats.failures == 2);
    assert_true(stats.subscriptions == 2 && stats.ring_bytes == 64 << 10);
    assert_true(stats.ring_high_water_bytes > 0 && stats.ring_used_bytes == 0);
}

static void test_wake_when_before_the_pump_then_it_ends_one_wait(void **state)
{
    (void)state;
    size_t n;
    assert_ok(svl_bus_wake(bus));
    assert_ok(svl_bus_wake(bus));
    assert_ok(publish_number(bus, 1, 0));
    assert_ok(svl_bus_pump(bus, 0, -1, &n)); /* a record comes before a wake */
    assert_int_equal(svl_bus_pump(bus, 0, -1, &n), SVL_E_AGAIN);
    assert_int_equal(n, 0);
    assert_int_equal(svl_bus_pump(bus, 0, 0, &n), SVL_E_TIMEOUT);
}

static void test_stop_when_records_are_left_then_they_come_and_then_closed(void **state)
{
    (void)state;
    assert_ok(svl_bus_subscribe(bus, NULL, see, &seen, NULL));
    for (int64_t i = 0; i < 10; i++)
        assert_ok(publish_number(bus, i, 0));
    assert_ok(svl_bus_stop(bus));
    assert_ok(svl_bus_stop(bus));
    assert_int_equal(publish_number(bus, 10, 0), SVL_E_CLOSED);
    assert_int_equal(svl_bus_subscribe(bus, NULL, see, &seen, NULL), SVL_E_CLOSED);
    assert_int_equal(pump_all(bus), 10);
    assert_int_equal(seen.n, 10);
    assert_int_equal(svl_bus_pump(bus, 0, -1, NULL), SVL_E_CLOSED);
    assert_ok(svl_bus_destroy(bus));
    bus = NULL;
}

static int told;

static void count_log(uint32_t level, int32_t code, const char *text, void *user)
{
    assert_int_equal(level, SVL_SEVERITY_WARN);
    assert_int_equal(code, SVL_E_DROPPED);
    assert_non_null(strstr(text, "3 records"));
    assert_ptr_equal(user, &told);
    told++;
}

static void test_destroy_when_records_are_left_then_told_how_many(void **state)
{
    (void)state;
    svl_bus_options options;
    svl_bus *other;
    assert_ok(svl_bus_options_init(&options, sizeof options));
    options.log = count_log;
    options.log_user = &told;
    assert_ok(svl_bus_create(&options, &other));
    for (int64_t i = 0; i < 3; i++)
        assert_ok(publish_number(other, i, 0));
    assert_int_equal(svl_bus_destroy(other), SVL_E_DROPPED);
    assert_int_equal(told, 1);
    assert_ok(svl_bus_create(NULL, &other));
    assert_ok(svl_bus_destroy(other));
    assert_ok(svl_bus_destroy(NULL));
}

static void test_ring_when_written_over_then_everybody_is_told(void **state)
{
    (void)state;
    assert_ok(svl_bus_subscribe(bus, NULL, see, &seen, NULL));
    assert_ok(publish_number(bus, 1, 0));
    uint64_t second = svl__ring_tail(bus->ring);
    assert_ok(publish_number(bus, 2, 0));
    assert_ok(publish_number(bus, 3, 0));
    atomic_store(frame_header(bus->ring, second), UINT64_C(0x4141414141414141));
    assert_ok(svl_bus_pump(bus, 0, 0, NULL));
    assert_int_equal(seen.n, 1);
    assert_int_equal(svl_bus_pump(bus, 0, -1, NULL), SVL_E_CORRUPT);
    assert_int_equal(svl_bus_pump(bus, 0, -1, NULL), SVL_E_CORRUPT);
    assert_int_equal(publish_number(bus, 4, 0), SVL_E_CORRUPT);
    assert_int_equal(svl_bus_subscribe(bus, NULL, see, &seen, NULL), SVL_E_CORRUPT);
    assert_int_equal(svl_bus_destroy(bus), SVL_E_CORRUPT);
    bus = create_bus(0, SVL_FULL_FAIL);
    assert_ok(publish_number(bus, 1, 0));
    atomic_store(frame_header(bus->ring, 0), UINT64_C(0x4141414141414141));
    assert_int_equal(svl_bus_destroy(bus), SVL_E_CORRUPT); /* nobody had met it before */
    bus = NULL;
}

static void test_bus_when_forked_then_the_child_is_told(void **state)
{
    (void)state;
    svl_bus_subscription *subscription;
    assert_ok(svl_bus_subscribe(bus, NULL, see, &seen, &subscription));
    assert_ok(publish_number(bus, 1, 0));
    pid_t child = fork();
    if (child == 0) {
        svl_bus_stats stats = { .struct_size = sizeof stats };
        bool ok = publish_number(bus, 2, 0) == SVL_E_FORKED &&
                  svl_bus_pump(bus, 0, 0, NULL) == SVL_E_FORKED &&
                  svl_bus_subscribe(bus, NULL, see, &seen, NULL) == SVL_E_FORKED &&
                  svl_bus_unsubscribe(subscription, NULL) == SVL_E_FORKED &&
                  svl_bus_wake(bus) == SVL_E_FORKED && svl_bus_stop(bus) == SVL_E_FORKED &&
                  svl_bus_stats_get(bus, &stats) == SVL_E_FORKED &&
                  svl_bus_destroy(bus) == SVL_E_FORKED;
        svl_bus *own;
        ok = ok && svl_bus_create(NULL, &own) == SVL_OK && publish_number(own, 3, 0) == SVL_OK;
        _exit(ok && svl_bus_pump(own, 0, 0, NULL) == SVL_OK ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_ok(publish_number(bus, 4, 0));
    assert_int_equal(pump_all(bus), 2);
    assert_int_equal(seen.n, 2);
}

static void test_option_when_out_of_range_then_refused(void **state)
{
    (void)state;
    svl_bus_options o;
    svl_bus *other;
#define REFUSED(member, value)                                                                     \
    assert_ok(svl_bus_options_init(&o, sizeof o));                                                 \
    o.member = (value);                                                                            \
    other = (svl_bus *)1;                                                                          \
    assert_int_equal(svl_bus_create(&o, &other), SVL_E_OPTION);                                    \
    assert_null(other);                                                                            \
    assert_non_null(strstr(svl_last_error(), #member))
    REFUSED(flags, 2);
    REFUSED(ring_bytes, 32 << 10);
    REFUSED(ring_bytes, 3 << 20);
    REFUSED(ring_bytes, UINT64_C(2) << 30);
    REFUSED(record_bytes_max, 255);
    REFUSED(record_bytes_max, (128 << 20) + 1);
    REFUSED(full_policy, 3);
    REFUSED(block_timeout_ms, 3600001);
    REFUSED(destroy_timeout_ms, 3600001);
#undef REFUSED
    assert_ok(svl_bus_options_init(&o, sizeof o));
    o.ring_bytes = 64 << 10;
    o.record_bytes_max = 8193;
    assert_int_equal(svl_bus_create(&o, &other), SVL_E_OPTION);
    o.struct_size = 3;
    assert_int_equal(svl_bus_create(&o, &other), SVL_E_STRUCT_SIZE);
    assert_int_equal(svl_bus_create(NULL, NULL), SVL_E_INVALID);
    assert_ok(svl_bus_options_init(&o, sizeof o));
    o.record_bytes_max = 2 << 20; /* the default ring grows with it */
    assert_ok(svl_bus_create(&o, &other));
    assert_true(stats_of(other).ring_bytes == 16 << 20);
    assert_ok(svl_bus_destroy(other));
}

static void test_argument_when_wrong_then_refused(void **state)
{
    (void)state;
    svl_bus_subscription_options options;
    svl_bus_subscription *subscription = (svl_bus_subscription *)1;
    svl_record wrong = { .severity = 25 };
    static uint8_t large[8192];
    svl_record too_large = { .body = { large, sizeof large } };
    assert_int_equal(svl_bus_publish(NULL, &wrong), SVL_E_INVALID);
    assert_int_equal(svl_bus_publish(bus, NULL), SVL_E_INVALID);
    assert_int_equal(svl_bus_publish(bus, &wrong), SVL_E_INVALID);
    assert_int_equal(svl_bus_publish(bus, &too_large), SVL_E_RECORD_SIZE);
    assert_int_equal(svl_bus_pump(NULL, 0, 0, NULL), SVL_E_INVALID);
    assert_int_equal(svl_bus_wake(NULL), SVL_E_INVALID);
    assert_int_equal(svl_bus_stop(NULL), SVL_E_INVALID);
    assert_int_equal(svl_bus_stats_get(NULL, NULL), SVL_E_INVALID);
    assert_int_equal(svl_bus_stats_get(bus, NULL), SVL_E_INVALID);
    assert_ok(svl_bus_unsubscribe(NULL, NULL));
    assert_int_equal(svl_bus_subscribe(NULL, NULL, see, NULL, &subscription), SVL_E_INVALID);
    assert_null(subscription);
    assert_int_equal(svl_bus_subscribe(bus, NULL, NULL, NULL, NULL), SVL_E_INVALID);
    assert_ok(svl_bus_subscription_options_init(&options, sizeof options));
    options.reserved = 1;
    assert_int_equal(svl_bus_subscribe(bus, &options, see, NULL, NULL), SVL_E_RESERVED);
    options.reserved = 0;
    options.filter.source = "\xff";
    assert_int_equal(svl_bus_subscribe(bus, &options, see, NULL, NULL), SVL_E_UTF8);
    options.struct_size = 4;
    assert_int_equal(svl_bus_subscribe(bus, &options, see, NULL, NULL), SVL_E_STRUCT_SIZE);
    assert_true(stats_of(bus).subscriptions == 0);
}

int main(void)
{
#define BUS_TEST(f) cmocka_unit_test_setup_teardown(f, start, end)
    const struct CMUnitTest tests[] = {
        BUS_TEST(test_pump_when_records_are_there_then_all_in_order),
        BUS_TEST(test_pump_when_limited_then_not_more_and_the_rest_later),
        BUS_TEST(test_pump_when_each_callback_publishes_then_it_still_ends),
        BUS_TEST(test_subscribers_when_of_any_filters_then_those_that_match_in_order),
        BUS_TEST(test_record_when_handed_out_then_whole_and_a_failing_callback_is_counted),
        BUS_TEST(test_wake_when_before_the_pump_then_it_ends_one_wait),
        BUS_TEST(test_stop_when_records_are_left_then_they_come_and_then_closed),
        BUS_TEST(test_destroy_when_records_are_left_then_told_how_many),
        BUS_TEST(test_ring_when_written_over_then_everybody_is_told),
        BUS_TEST(test_bus_when_forked_then_the_child_is_told),
        BUS_TEST(test_option_when_out_of_range_then_refused),
        BUS_TEST(test_argument_when_wrong_then_refused),
    };
    return cmocka_run_group_tests_name("bus/bus_pump", tests, NULL, NULL);
}
