/* Ingest handlers over one record: which of them are called and in what order, what becomes of the
 * record, and what is left of those that fail. */
#include "bus/dispatch.h"

#include <stdlib.h>

#include "record/wire.h"
#include "support/filters.h"

#define RECORD_BYTES_MAX 4096
#define EMIT_MAX 3
#define EMIT_BYTES_MAX 500
#define HANDLERS_MAX 64

static struct dispatch *dispatch;
static struct dispatch_result result;
static int reports;

static void count_report(uint32_t level, int32_t code, const char *text, void *user)
{
    (void)code;
    (void)user;
    assert_int_equal(level, SVL_SEVERITY_ERROR);
    assert_string_not_equal(text, "");
    reports++;
}

static const struct log_sink sink = { .fn = count_report };

static int start(void **state)
{
    (void)state;
    struct dispatch_options options = { .owner = &dispatch,
                                        .record_bytes_max = RECORD_BYTES_MAX,
                                        .emit_max = EMIT_MAX,
                                        .emit_bytes_max = EMIT_BYTES_MAX,
                                        .log = &sink };
    reports = 0;
    return svl__dispatch_create(&options, &dispatch);
}

static int end(void **state)
{
    (void)state;
    svl__dispatch_destroy(dispatch);
    svl__buffer_free(&result.emits);
    result = (struct dispatch_result){ .count = 0 };
    return 0;
}

static void add(const svl_filter *filter, svl_ingest_fn *fn, void *user)
{
    svl_ingest_options options;
    assert_ok(svl_ingest_options_init(&options, sizeof options));
    options.filter = filter ? *filter : options.filter;
    assert_ok(svl__dispatch_add(dispatch, &options, fn, user));
}

static uint8_t wire[RECORD_BYTES_MAX];
static svl_attribute attributes[RECORD_ATTRIBUTES_MAX];

static void run(const svl_record *record)
{
    uint32_t len = svl__wire_size(record);
    assert_true(len <= sizeof wire);
    svl__wire_encode(record, record->time_ns, wire);
    assert_ok(svl__dispatch_run(dispatch, wire, len, &result));
}

static bool is_unchanged(void)
{
    return result.record == wire && result.record_len == svl__wire_length(wire, sizeof wire);
}

/* What became of the record. */
static svl_record left_record(void)
{
    svl_record record;
    assert_ok(svl__wire_decode(result.record, result.record_len, attributes, &record));
    return record;
}

/* The `i`-th of what was emitted. */
static svl_record emitted_record(uint32_t i)
{
    svl_record record;
    const uint8_t *at = result.emits.data;
    size_t left = result.emits.len;
    assert_true(i < result.count);
    for (uint32_t len; i > 0; i--, at += len, left -= len) {
        len = svl__wire_length(at, left);
        assert_true(len > 0);
    }
    assert_ok(svl__wire_decode(at, svl__wire_length(at, left), attributes, &record));
    return record;
}

static void assert_text(svl_slice slice, const char *text)
{
    assert_int_equal(slice.len, strlen(text));
    assert_memory_equal(slice.data, text, slice.len);
}

static struct dispatch_stats stats(void)
{
    struct dispatch_stats s;
    svl__dispatch_stats_get(dispatch, &s);
    return s;
}

static const svl_record plain = {
    .time_ns = 7, .severity = 9, .source = { "in", 2 }, .body = { "body", 4 }
};

/* --- who is called --- */

static size_t called[HANDLERS_MAX], called_count;

static int note(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)ingest;
    (void)record;
    called[called_count++] = (size_t)(uintptr_t)user;
    return SVL_OK;
}

static void test_handlers_when_of_any_filters_then_those_that_match_in_order(void **state)
{
    (void)state;
    struct rng seeded = { test_seed() }, *rng = &seeded;
    svl_filter filters[HANDLERS_MAX];
    size_t calls = 0;
    for (unsigned i = 0; i < HANDLERS_MAX; i++) {
        filters[i] = filter_any(rng, i % 16);
        add(&filters[i], note, (void *)(uintptr_t)i);
    }
    assert_int_equal(svl__dispatch_count(dispatch), HANDLERS_MAX);
    for (int round = 0; round < 2000; round++) {
        svl_record record = filter_record(rng);
        size_t at = 0;
        called_count = 0;
        run(&record);
        for (size_t i = 0; i < HANDLERS_MAX; i++) {
            if (!filter_meets(&filters[i], &record))
                continue;
            assert_true(at < called_count);
            assert_int_equal(called[at++], i);
        }
        assert_int_equal(at, called_count);
        assert_true(is_unchanged() && !result.dropped && result.count == 0);
        calls += at;
    }
    assert_true(calls > 2000);
}

/* --- a chain of handlers, each of which does one thing, against a model of what comes out --- */

enum act { ACT_KEEP, ACT_SEVERITY, ACT_TYPE, ACT_EMIT, ACT_FAIL, ACT_BREAK, ACT_DROP, ACT_COUNT };

struct step {
    svl_filter filter;
    enum act act;
    uint32_t number;
};

static int take_step(svl_ingest *ingest, svl_record *record, void *user)
{
    const struct step *step = user;
    svl_record emit = { .severity = step->number, .body = record->type };
    switch (step->act) {
    case ACT_SEVERITY:
        record->severity = step->number;
        break;
    case ACT_TYPE:
        record->type = slice_of(filter_names[step->number % 5]);
        break;
    case ACT_EMIT:
        assert_ok(svl_ingest_emit(ingest, &emit));
        break;
    case ACT_FAIL: /* what it did is undone */
        record->severity = 0;
        svl_ingest_emit(ingest, &emit);
        return SVL_FAIL;
    case ACT_BREAK:
        record->severity = SVL_SEVERITY_MAX + 1;
        svl_ingest_emit(ingest, &emit);
        break;
    case ACT_DROP:
        return SVL_DROP;
    default:
        record->id = 99; /* not its to give */
        record->ingest_ns = 99;
    }
    return SVL_OK;
}

struct expected {
    svl_record record;
    bool changed, dropped;
    uint32_t emitted, failures;
    uint32_t emit_severity[EMIT_MAX];
    svl_slice emit_body[EMIT_MAX];
};

static struct expected expect(const struct step *steps, size_t n, const svl_record *record)
{
    struct expected e = { .record = *record };
    for (size_t i = 0; i < n && !e.dropped; i++) {
        if (!filter_meets(&steps[i].filter, &e.record))
            continue;
        svl_slice type = slice_of(filter_names[steps[i].number % 5]);
        switch (steps[i].act) {
        case ACT_SEVERITY:
            e.changed |= e.record.severity != steps[i].number;
            e.record.severity = steps[i].number;
            break;
        case ACT_TYPE:
            e.changed = true; /* other bytes, even where they say the same */
            e.record.type = type;
            break;
        case ACT_EMIT:
            e.emit_severity[e.emitted] = steps[i].number;
            e.emit_body[e.emitted++] = e.record.type;
            break;
        case ACT_FAIL:
        case ACT_BREAK:
            e.failures++;
            break;
        case ACT_DROP:
            e.dropped = true;
            break;
        default:
            break;
        }
    }
    return e;
}

static void assert_outcome(const struct expected *e)
{
    assert_true(result.dropped == e->dropped);
    assert_int_equal(result.count, e->emitted);
    if (!e->dropped) {
        svl_record r = left_record();
        assert_true(is_unchanged() == !e->changed);
        assert_true(r.time_ns == e->record.time_ns && r.severity == e->record.severity);
        assert_true(filter_starts(r.type, e->record.type.data, e->record.type.len));
        assert_int_equal(r.type.len, e->record.type.len);
        assert_int_equal(r.source.len, e->record.source.len);
        assert_int_equal(r.key.len, e->record.key.len);
    }
    for (uint32_t i = 0; i < e->emitted; i++) {
        svl_record r = emitted_record(i);
        assert_int_equal(r.severity, e->emit_severity[i]);
        assert_int_equal(r.body.len, e->emit_body[i].len);
        assert_true(filter_starts(r.body, e->emit_body[i].data, e->emit_body[i].len));
        assert_true(r.time_ns == e->record.time_ns);
    }
}

static void test_chain_when_handlers_do_anything_then_each_sees_what_the_last_left(void **state)
{
    struct rng seeded = { test_seed() }, *rng = &seeded;
    for (int round = 0; round < 300; round++) {
        struct step steps[8];
        size_t n = 1 + rng_below(rng, 8), emits = 0;
        uint64_t failures = 0, dropped = 0, emitted = 0;
        for (size_t i = 0; i < n; i++) {
            steps[i].filter = filter_any(rng, rng_below(rng, 3) ? 0 : (unsigned)rng_below(rng, 16));
            steps[i].act = (enum act)rng_below(rng, ACT_COUNT);
            steps[i].number = (uint32_t)rng_below(rng, SVL_SEVERITY_MAX + 1);
            if (steps[i].act == ACT_EMIT && ++emits > EMIT_MAX)
                steps[i].act = ACT_KEEP;
            add(&steps[i].filter, take_step, &steps[i]);
        }
        for (int i = 0; i < 20; i++) {
            svl_record record = filter_record(rng);
            /* What the library says itself may be dropped, but not be changed. */
            if (filter_starts(record.source, "serverlog.", 10))
                continue;
            struct expected e = expect(steps, n, &record);
            run(&record);
            assert_outcome(&e);
            failures += e.failures;
            dropped += e.dropped;
            emitted += e.emitted;
        }
        assert_true(stats().failures == failures && stats().dropped == dropped);
        assert_true(stats().emitted == emitted);
        assert_true((reports > 0) == (failures > 0));
        end(state);
        assert_int_equal(start(state), SVL_OK);
    }
}

/* --- limits --- */

static int emit_codes[8];

static int emit_many(svl_ingest *ingest, svl_record *record, void *user)
{
    svl_record emit = { .body = { wire, *(const size_t *)user } };
    (void)record;
    for (size_t i = 0; i < 8; i++)
        emit_codes[i] = svl_ingest_emit(ingest, &emit);
    return SVL_OK;
}

static void test_emits_when_too_many_or_too_large_then_limit(void **state)
{
    (void)state;
    size_t body = 10;
    add(NULL, emit_many, &body);
    run(&plain);
    for (int i = 0; i < 8; i++)
        assert_int_equal(emit_codes[i], i < EMIT_MAX ? SVL_OK : SVL_E_LIMIT);
    assert_int_equal(result.count, EMIT_MAX);
    body = 300; /* one fits */
    run(&plain);
    for (int i = 0; i < 8; i++)
        assert_int_equal(emit_codes[i], i < 1 ? SVL_OK : SVL_E_LIMIT);
    assert_int_equal(result.count, 1);
    body = RECORD_BYTES_MAX;
    run(&plain);
    assert_int_equal(emit_codes[0], SVL_E_RECORD_SIZE);
    assert_int_equal(result.count, 0);
    assert_true(stats().emitted == EMIT_MAX + 1 && stats().failures == 0);
}

static int emit_wrong(svl_ingest *ingest, svl_record *record, void *user)
{
    svl_record own = { .source = slice_of("serverlog.gap") }, severe = { .severity = 25 };
    (void)record;
    (void)user;
    assert_int_equal(svl_ingest_emit(ingest, &own), SVL_E_RESERVED);
    assert_int_equal(svl_ingest_emit(ingest, &severe), SVL_E_INVALID);
    assert_int_equal(svl_ingest_emit(ingest, NULL), SVL_E_INVALID);
    assert_int_equal(svl_ingest_emit(NULL, &plain), SVL_E_INVALID);
    return SVL_OK;
}

static void test_emit_when_no_record_to_publish_then_refused(void **state)
{
    (void)state;
    add(NULL, emit_wrong, NULL);
    run(&plain);
    assert_int_equal(result.count, 0);
}

static int change_to(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)ingest;
    *record = *(const svl_record *)user;
    return SVL_OK;
}

static void test_change_when_it_breaks_a_limit_then_the_record_stays_as_it_came(void **state)
{
    (void)state;
    static uint8_t bytes[RECORD_BYTES_MAX];
    const svl_record bad[] = {
        { .severity = 25 },
        { .body_kind = 3 },
        { .flags = SVL_RECORD_UNPROCESSED << 1 },
        { .reserved = { 0, 1 } },
        { .source = slice_of("serverlog.x") },
        { .source = slice_of("\xff") },
        { .key = { bytes, RECORD_KEY_MAX + 1 } },
        { .body = { NULL, 1 } },
        { .body = { bytes, sizeof bytes } },
        { .attribute_count = 1 },
    };
    size_t n = sizeof bad / sizeof bad[0];
    for (size_t i = 0; i < n; i++) {
        add(NULL, change_to, (void *)(uintptr_t)&bad[i]);
        run(&plain);
        assert_true(is_unchanged() && result.count == 0 && !result.dropped);
        assert_true(stats().failures == (i + 1) * (i + 2) / 2); /* those before it fail again */
    }
    assert_true(reports >= 1);
}

static void test_change_when_of_everything_then_taken_but_for_what_is_not_given_yet(void **state)
{
    (void)state;
    svl_attribute attribute = { .name = slice_of("n"), .kind = SVL_ATTRIBUTE_I64, .i64 = -5 };
    svl_record to = { .id = 5,
                      .time_ns = 0, /* stands for the time that it had */
                      .ingest_ns = 6,
                      .severity = 24,
                      .body_kind = SVL_BODY_BINARY,
                      .source = slice_of("out"),
                      .type = slice_of("type"),
                      .key = slice_of("key"),
                      .body = slice_of("other"),
                      .attributes = &attribute,
                      .attribute_count = 1 };
    add(NULL, change_to, &to);
    run(&plain);
    assert_true(!is_unchanged() && result.count == 0);
    svl_record r = left_record();
    assert_true(r.time_ns == plain.time_ns && r.severity == 24 && r.body_kind == SVL_BODY_BINARY);
    assert_text(r.source, "out");
    assert_text(r.type, "type");
    assert_text(r.key, "key");
    assert_text(r.body, "other");
    assert_int_equal(r.attribute_count, 1);
    assert_text(r.attributes[0].name, "n");
    assert_true(r.attributes[0].i64 == -5);
}

static _Atomic bool ends;

static int end_after(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)user;
    atomic_store(&ends, true);
    return svl_ingest_emit(ingest, record);
}

static void test_run_when_cut_off_by_the_end_then_nothing_of_it_is_counted(void **state)
{
    end(state);
    struct dispatch_options options = { .owner = &dispatch,
                                        .record_bytes_max = RECORD_BYTES_MAX,
                                        .emit_max = EMIT_MAX,
                                        .emit_bytes_max = EMIT_BYTES_MAX,
                                        .ends = &ends,
                                        .log = &sink };
    assert_ok(svl__dispatch_create(&options, &dispatch));
    add(NULL, end_after, NULL);
    add(NULL, note, NULL);
    called_count = 0;
    atomic_store(&ends, false);
    uint32_t len = svl__wire_size(&plain);
    svl__wire_encode(&plain, 7, wire);
    assert_int_equal(svl__dispatch_run(dispatch, wire, len, &result), SVL_E_CLOSED);
    assert_true(called_count == 0 && stats().emitted == 0);
}

static void test_bytes_when_no_record_then_corrupt_and_nobody_is_called(void **state)
{
    (void)state;
    add(NULL, note, NULL);
    called_count = 0;
    uint32_t len = svl__wire_size(&plain);
    svl__wire_encode(&plain, 7, wire);
    for (uint32_t cut = 0; cut < len; cut++)
        assert_int_equal(svl__dispatch_run(dispatch, wire, cut, &result), SVL_E_CORRUPT);
    assert_int_equal(called_count, 0);
    run(&plain);
    assert_int_equal(called_count, 1);
}

static void test_handler_when_registered_wrongly_then_refused(void **state)
{
    (void)state;
    svl_ingest_options options;
    assert_ok(svl_ingest_options_init(&options, sizeof options));
    assert_int_equal(svl__dispatch_add(dispatch, &options, NULL, NULL), SVL_E_INVALID);
    options.reserved = 1;
    assert_int_equal(svl__dispatch_add(dispatch, &options, note, NULL), SVL_E_RESERVED);
    options.reserved = 0;
    options.filter.severity_min = 25;
    assert_int_equal(svl__dispatch_add(dispatch, &options, note, NULL), SVL_E_INVALID);
    options.struct_size = 8;
    assert_int_equal(svl__dispatch_add(dispatch, &options, note, NULL), SVL_E_STRUCT_SIZE);
    assert_int_equal(svl__dispatch_count(dispatch), 0);
    assert_ok(svl__dispatch_add(dispatch, NULL, note, NULL)); /* all defaults */
    assert_int_equal(svl__dispatch_count(dispatch), 1);
    svl__dispatch_destroy(NULL);
}

int main(void)
{
#define DISPATCH_TEST(f) cmocka_unit_test_setup_teardown(f, start, end)
    const struct CMUnitTest tests[] = {
        DISPATCH_TEST(test_handlers_when_of_any_filters_then_those_that_match_in_order),
        DISPATCH_TEST(test_chain_when_handlers_do_anything_then_each_sees_what_the_last_left),
        DISPATCH_TEST(test_emits_when_too_many_or_too_large_then_limit),
        DISPATCH_TEST(test_emit_when_no_record_to_publish_then_refused),
        DISPATCH_TEST(test_change_when_it_breaks_a_limit_then_the_record_stays_as_it_came),
        DISPATCH_TEST(test_change_when_of_everything_then_taken_but_for_what_is_not_given_yet),
        DISPATCH_TEST(test_run_when_cut_off_by_the_end_then_nothing_of_it_is_counted),
        DISPATCH_TEST(test_bytes_when_no_record_then_corrupt_and_nobody_is_called),
        DISPATCH_TEST(test_handler_when_registered_wrongly_then_refused),
    };
    return cmocka_run_group_tests_name("bus/dispatch", tests, NULL, NULL);
}
