/* Ingest handlers and subscribers of a bus with patterns: who is called, of a few and of many; the library's own
 * records; and what is refused. */
#include <string.h>

#include "bus/dispatch.h"
#include "bus/events.h"
#include "record/wire.h"
#include "support/patterns.h"

#define RECORD_BYTES_MAX 65536
#define HANDLERS_MAX 100

static struct dispatch *dispatch;
static struct dispatch_result result;
static uint8_t wire[RECORD_BYTES_MAX];
static size_t called[HANDLERS_MAX], called_count;
static svl_bus *bus;

static int start(void **state)
{
    (void)state;
    struct dispatch_options options = { .owner = &dispatch,
                                        .record_bytes_max = RECORD_BYTES_MAX,
                                        .emit_max = 1,
                                        .emit_bytes_max = RECORD_BYTES_MAX };
    called_count = 0;
    bus = create_bus(0, SVL_FULL_FAIL);
    return svl__dispatch_create(&options, &dispatch);
}

static int end(void **state)
{
    (void)state;
    svl__dispatch_destroy(dispatch);
    svl__buffer_free(&result.emits);
    result = (struct dispatch_result){ .count = 0 };
    svl_bus_destroy(bus);
    return 0;
}

static int note(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)ingest;
    (void)record;
    assert_true(called_count < HANDLERS_MAX);
    called[called_count++] = (size_t)(uintptr_t)user;
    return SVL_OK;
}

static int see_number(const svl_record *record, void *user)
{
    (void)record;
    return note(NULL, NULL, user);
}

static int raise_severity(svl_ingest *ingest, svl_record *record, void *user)
{
    record->severity = SVL_SEVERITY_FATAL;
    return note(ingest, record, user);
}

static int add(const svl_filter *filter, svl_ingest_fn *fn, size_t number)
{
    svl_ingest_options options;
    assert_ok(svl_ingest_options_init(&options, sizeof options));
    options.filter = *filter;
    return svl__dispatch_add(dispatch, &options, fn, (void *)(uintptr_t)number);
}

static int subscribe(const svl_filter *filter, size_t number)
{
    svl_bus_subscription_options options;
    assert_ok(svl_bus_subscription_options_init(&options, sizeof options));
    options.filter = *filter;
    return svl_bus_subscribe(bus, &options, see_number, (void *)(uintptr_t)number, NULL);
}

static void run(const svl_record *record)
{
    assert_true(svl__wire_size(record) <= sizeof wire);
    svl__wire_encode(record, record->time_ns, wire);
    called_count = 0;
    assert_ok(svl__dispatch_run(dispatch, wire, svl__wire_size(record), &result));
}

static void publish(const svl_record *record)
{
    called_count = 0;
    assert_ok(svl_bus_publish(bus, record));
    assert_true(pump_all(bus) == 1);
}

static void assert_called(const size_t *numbers, size_t n)
{
    assert_int_equal(called_count, n);
    assert_true(n == 0 || memcmp(called, numbers, n * sizeof *numbers) == 0);
}

static void test_handlers_when_of_any_patterns_then_those_that_match_in_order(void **state)
{
    (void)state;
    struct rng seeded = { test_seed() }, *rng = &seeded;
    static const size_t counts[] = { 1, 2, 40, HANDLERS_MAX };
    svl_pattern *patterns[HANDLERS_MAX];
    uint32_t severities[HANDLERS_MAX];
    size_t n = 0, calls = 0;
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        for (; n < counts[c]; n++) {
            char text[1024];
            svl_filter filter = { .pattern = pattern_any(rng, text) };
            assert_ok(svl_pattern_compile(text, strlen(text), &patterns[n], NULL));
            if (rng_below(rng, 3) == 0)
                filter.severity_min = (uint32_t)rng_below(rng, 20);
            severities[n] = filter.severity_min;
            assert_ok(add(&filter, note, n));
            assert_ok(subscribe(&filter, n));
        }
        for (int round = 0; round < test_times(300); round++) {
            svl_record record = pattern_record(rng);
            size_t expected[HANDLERS_MAX], wanted = 0;
            for (size_t i = 0; i < n; i++) {
                int matched;
                assert_ok(svl_pattern_match_record(patterns[i], &record, 0, &matched));
                if (matched && record.severity >= severities[i])
                    expected[wanted++] = i;
            }
            run(&record);
            assert_called(expected, wanted);
            publish(&record);
            assert_called(expected, wanted);
            calls += wanted;
        }
    }
    assert_true(calls > 0);
    while (n > 0)
        svl_pattern_destroy(patterns[--n]);
}

/* Twice: asked singly, and as rules. */
static void test_record_when_a_handler_changes_it_then_those_behind_are_asked_of_what_it_left(
    void **state)
{
    (void)state;
    svl_filter calm = { .pattern = "{\"severity\":[{\"numeric\":[\"<\",17]}]}" };
    svl_filter severe = { .severity_min = SVL_SEVERITY_ERROR };
    svl_record record = { .severity = SVL_SEVERITY_INFO, .source = slice_of("s") };
    static const size_t numbers[] = { 1, 2 };
    assert_ok(add(&severe, note, 0));
    assert_ok(add(&calm, raise_severity, 1));
    assert_ok(add(&severe, note, 2));
    run(&record);
    assert_called(numbers, 2);
    assert_ok(add(&calm, note, 3));
    run(&record);
    assert_called(numbers, 2);
}

static const struct {
    const char *source; /* of the filter */
    const char *pattern;
    const char *record;
    bool called;
} owns[] = {
    { NULL, "{\"severity\":[{\"exists\":true}]}", "serverlog.gap", false },
    { NULL, "{\"severity\":[{\"exists\":true}]}", "serverlog", true },
    { NULL, "{\"source\":[\"serverlog.gap\"]}", "serverlog.gap", true },
    { NULL, "{\"source\":[\"serverlog.gap\"]}", "serverlog.clock", false },
    { NULL, "{\"source\":[\"shop\",\"serverlog.gap\"]}", "serverlog.gap", true },
    { NULL, "{\"source\":[{\"prefix\":\"serverlog.\"}]}", "serverlog.gap", true },
    { NULL, "{\"source\":[{\"prefix\":\"serverlog.g\"}]}", "serverlog.gap", true },
    { NULL, "{\"source\":[{\"prefix\":\"serverlog\"}]}", "serverlog.gap", false },
    { NULL, "{\"source\":[{\"prefix\":\"serverlog\"}]}", "serverlogs", true },
    { NULL, "{\"source\":[{\"wildcard\":\"serverlog.*p\"}]}", "serverlog.gap", true },
    { NULL, "{\"source\":[{\"wildcard\":\"*.gap\"}]}", "serverlog.gap", false },
    { NULL, "{\"source\":[{\"suffix\":\".gap\"}]}", "serverlog.gap", false },
    { NULL, "{\"source\":[{\"anything-but\":\"x\"}]}", "serverlog.gap", false },
    { NULL, "{\"source\":[{\"anything-but\":\"serverlog.clock\"}]}", "serverlog.gap", false },
    { NULL, "{\"source\":[\"serverlog.clock\",{\"exists\":true}]}", "serverlog.gap", false },
    { NULL, "{\"$or\":[{\"source\":[\"serverlog.gap\"]},{\"severity\":[9]}]}", "serverlog.gap",
      true },
    { NULL, "{\"$or\":[{\"source\":[\"serverlog.gap\"]},{\"severity\":[9]}]}", "serverlog.clock",
      false },
    { NULL, "{\"source\":[\"serverlog.gap\"],\"source\":[{\"exists\":true}]}", "serverlog.gap",
      false },
    { NULL, "{\"attributes\":{\"source\":[{\"exists\":false}]}}", "serverlog.gap", false },
    { "serverlog.*", "{\"severity\":[9]}", "serverlog.gap", true },
    { "serverlog.*", "{\"severity\":[8]}", "serverlog.gap", false },
    { "s*", "{\"severity\":[9]}", "serverlog.gap", false },
};

static void test_own_records_when_a_filter_names_their_source_then_it_sees_them(void **state)
{
    (void)state;
    size_t n = sizeof owns / sizeof owns[0];
    for (size_t i = 0; i < n; i++) {
        svl_filter filter = { .source = owns[i].source, .pattern = owns[i].pattern };
        assert_ok(add(&filter, note, i));
    }
    for (size_t i = 0; i < n; i++) {
        bool is_called = false;
        svl_record record = { .severity = 9, .source = slice_of(owns[i].record) };
        run(&record);
        for (size_t k = 0; k < called_count; k++)
            is_called = is_called || called[k] == i;
        if (is_called != owns[i].called)
            fail_msg("%s of %s, %s: %d", owns[i].record, owns[i].source ? owns[i].source : "any",
                     owns[i].pattern, is_called);
    }
}

/* Of a handler whose pattern cannot tell, and of one that does not ask. */
static void test_record_when_it_cannot_be_held_against_a_pattern_then_passed_and_counted(
    void **state)
{
    (void)state;
    static char pattern[HARD_BYTES], hard[HARD_BYTES];
    pattern_hard(pattern, hard);
    svl_filter body = { .pattern = pattern }, all = { .severity_min = 0 };
    svl_record record = { .body_kind = SVL_BODY_JSON,
                          .source = slice_of("s"),
                          .body = slice_of(hard) };
    struct dispatch_stats stats;
    static const size_t numbers[] = { 1 };
    for (size_t i = 0; i < 2; i++) {
        assert_ok(add(i ? &all : &body, note, i));
        assert_ok(subscribe(i ? &all : &body, i));
    }
    run(&record);
    assert_called(numbers, 1);
    publish(&record);
    assert_called(numbers, 1);
    assert_true(stats_of(bus).failures == 1);
    assert_ok(add(&body, note, 2)); /* rules from here on */
    run(&record);
    assert_called(numbers, 1);
    svl__dispatch_stats_get(dispatch, &stats);
    assert_true(stats.failures == 3);
}

static void test_pattern_when_it_is_none_then_refused_with_member_path_and_place(void **state)
{
    (void)state;
    svl_filter wrong = { .pattern = "{\"detail\":{\"n\":[{\"numeric\":[\">\"]}]}}" };
    for (int i = 0; i < 2; i++) {
        assert_int_equal(i ? add(&wrong, note, 0) : subscribe(&wrong, 0), SVL_E_PATTERN);
        const char *words = svl_last_error();
        if (!strstr(words, "svl_filter.pattern") || !strstr(words, "$.detail.n[0].numeric") ||
            !strstr(words, "byte"))
            fail_msg("%s", words);
    }
    assert_int_equal(svl__dispatch_count(dispatch), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_handlers_when_of_any_patterns_then_those_that_match_in_order),
        TEST(test_record_when_a_handler_changes_it_then_those_behind_are_asked_of_what_it_left),
        TEST(test_own_records_when_a_filter_names_their_source_then_it_sees_them),
        TEST(test_record_when_it_cannot_be_held_against_a_pattern_then_passed_and_counted),
        TEST(test_pattern_when_it_is_none_then_refused_with_member_path_and_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
