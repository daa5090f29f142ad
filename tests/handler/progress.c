/* A subscription's durable position: what was saved is loaded, over commits and reopens; whatever bytes
 * stand under its key, they are decoded or refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handler/subscription.h"
#include "record/wire.h"
#include "support/support.h"

#define VALUE_BYTES 16
#define UNTOUCHED UINT64_C(0x5555)

static char path[512];
static char name[129] = "orders";
static struct rng rng;
static struct handlers handlers;

static void open_store(void)
{
    handlers = (struct handlers){ .durable_id = 0 };
    assert_ok(svl_store_open(path, NULL, &handlers.options.store));
}

static void close_store(void)
{
    assert_ok(svl_store_close(handlers.options.store));
}

static int start(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    open_store();
    return 0;
}

static int end(void **state)
{
    (void)state;
    close_store();
    return 0;
}

static svl_subscription subscription(char *its_name)
{
    return (svl_subscription){ .handlers = &handlers, .name = its_name, .position = UNTOUCHED };
}

static void wait(uint64_t ticket)
{
    assert_ok(svl__store_wait(handlers.options.store, ticket, INT64_MAX));
}

static void save(uint64_t position, bool paused)
{
    svl_subscription s = subscription(name);
    uint64_t ticket;
    s.position = position;
    s.paused = paused;
    s.dirty = true;
    assert_ok(svl__progress_save(&s, true, &ticket));
    assert_false(s.dirty);
    wait(ticket);
}

static void assert_loads(uint64_t position, bool paused)
{
    svl_subscription s = subscription(name);
    bool found;
    assert_ok(svl__progress_load(&s, &found));
    assert_true(found);
    assert_true(s.position == position && s.paused == paused);
}

static void test_position_when_saved_then_loaded_the_same(void **state)
{
    (void)state;
    static const uint64_t positions[] = { 0, 1, 255, UINT32_MAX, INT64_MAX, UINT64_MAX };
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++) {
        save(positions[i], i % 2);
        assert_loads(positions[i], i % 2);
        if (i % 3 == 0)
            assert_ok(svl_store_commit(handlers.options.store, -1));
        assert_loads(positions[i], i % 2);
        close_store();
        open_store();
        assert_loads(positions[i], i % 2);
    }
}

static void test_position_when_never_saved_then_not_found_and_nothing_touched(void **state)
{
    (void)state;
    static char other[] = "order";
    svl_subscription s = subscription(other);
    bool found = true;
    save(7, true);
    assert_ok(svl__progress_load(&s, &found));
    assert_false(found);
    assert_true(s.position == UNTOUCHED && !s.paused);
}

static void test_position_when_name_is_the_longest_then_kept_apart(void **state)
{
    (void)state;
    static char other[129];
    memset(name, 'n', 128);
    memset(other, 'n', 128);
    other[127] = 'm';
    save(7, false);
    svl_subscription s = subscription(other);
    bool found = true;
    assert_ok(svl__progress_load(&s, &found));
    assert_false(found);
    assert_loads(7, false);
    strcpy(name, "orders");
}

static void test_subscription_when_without_a_name_then_nothing_is_saved(void **state)
{
    (void)state;
    svl_subscription s = subscription(NULL);
    uint64_t before = svl__store_last_ticket(handlers.options.store), ticket = 1;
    assert_ok(svl__progress_save(&s, true, &ticket));
    assert_true(ticket == 0);
    assert_true(svl__store_last_ticket(handlers.options.store) == before);
}

/* --- with records: D3, one batch --- */

static uint8_t wire[64];

static struct feed_item item_of(uint32_t severity)
{
    svl_record record = { .time_ns = 1, .severity = severity, .source = slice_of("emitted") };
    uint32_t len = svl__wire_size(&record);
    assert_true(len <= sizeof wire);
    svl__wire_encode(&record, 1, wire);
    return (struct feed_item){ .wire = wire, .len = len };
}

static void test_emits_when_fed_then_durable_with_the_position(void **state)
{
    (void)state;
    svl_subscription s = subscription(name);
    struct feed_item item = item_of(9);
    struct feed feed = { .items = &item, .count = 1 };
    uint64_t ticket;
    assert_ok(svl__progress_feed(&s, &feed, &(struct progress){ 41, true, { 0 } }, &ticket));
    assert_true(feed.ops == NULL && feed.op_count == 0);
    wait(ticket);
    assert_true(item.id == 1 && svl__store_durable_id(handlers.options.store) == 1);
    assert_loads(41, true);
    assert_true(s.position == UNTOUCHED); /* that is the caller's to move */
    svl_subscription unnamed = subscription(NULL);
    assert_ok(svl__progress_feed(&unnamed, &feed, &(struct progress){ .position = 50 }, &ticket));
    wait(ticket);
    assert_true(svl__store_durable_id(handlers.options.store) == 2);
    assert_loads(41, true);
}

static void test_emits_when_too_many_then_the_position_stays(void **state)
{
    (void)state;
    svl_subscription s = subscription(name);
    struct feed_item item = item_of(9);
    size_t n = (size_t)svl__store_feed_bytes_max(handlers.options.store) / item.len + 1;
    struct feed_item *items = calloc(n, sizeof *items);
    assert_non_null(items);
    for (size_t i = 0; i < n; i++)
        items[i] = item;
    struct feed feed = { .items = items, .count = n };
    save(40, false);
    s.dirty = true;
    assert_int_equal(svl__progress_feed(&s, &feed, &(struct progress){ .position = 41 }, NULL),
                     SVL_E_LIMIT);
    assert_true(s.dirty && feed.ops == NULL && feed.op_count == 0);
    assert_ok(svl_store_flush(handlers.options.store, -1));
    assert_loads(40, false);
    assert_true(svl__store_durable_id(handlers.options.store) == 0);
    free(items);
}

/* --- any bytes --- */

static void put_bytes(const uint8_t *bytes, size_t len)
{
    struct store_op op = { slice_of("subscription/orders"), { bytes, len } };
    struct feed feed = { .ops = &op, .op_count = 1, .atomic = true, .urgent = true };
    uint64_t ticket;
    assert_ok(svl__store_feed(handlers.options.store, &feed, &ticket));
    wait(ticket);
}

static uint64_t number_at(const uint8_t *bytes)
{
    uint64_t number = 0;
    for (int i = 7; i >= 0; i--)
        number = number << 8 | bytes[i];
    return number;
}

/* The table at the top of handler/progress.c. */
static bool is_progress(const uint8_t *bytes, size_t len)
{
    if (len < VALUE_BYTES || bytes[0] != 1)
        return false;
    size_t ranges = bytes[2] + 256u * bytes[3];
    if (ranges > REDRIVE_RANGES_MAX || len != VALUE_BYTES + 16 * ranges)
        return false;
    for (size_t i = 0; i < ranges; i++) {
        const uint8_t *range = bytes + VALUE_BYTES + 16 * i;
        if (number_at(range) == 0 || number_at(range) > number_at(range + 8))
            return false;
    }
    return true;
}

static void assert_decoded_or_refused(const uint8_t *bytes, size_t len)
{
    svl_subscription s = subscription(name);
    bool found = true;
    put_bytes(bytes, len);
    int rc = svl__progress_load(&s, &found);
    if (is_progress(bytes, len)) {
        assert_int_equal(rc, SVL_OK);
        assert_true(found && s.position == number_at(bytes + 8) && s.paused == (bytes[1] != 0));
        assert_int_equal(s.redrive.count, bytes[2]);
        for (uint32_t i = 0; i < s.redrive.count; i++) {
            assert_true(s.redrive.ranges[i].next == number_at(bytes + VALUE_BYTES + 16 * i));
            assert_true(s.redrive.ranges[i].last == number_at(bytes + VALUE_BYTES + 16 * i + 8));
        }
    } else {
        assert_int_equal(rc, SVL_E_VERSION);
        assert_non_null(strstr(svl_last_error(), name));
        assert_true(!found && s.position == UNTOUCHED && !s.paused && s.redrive.count == 0);
    }
}

/* Ranges that are most often well formed. */
static size_t any_ranges(uint8_t *bytes)
{
    size_t n = rng_below(&rng, REDRIVE_RANGES_MAX + 3);
    memset(bytes + 2, 0, 6);
    bytes[2] = (uint8_t)n;
    for (size_t i = 0; i < n; i++) {
        uint64_t first = rng_below(&rng, 40) ? rng_next(&rng) / 2 + 1 : 0;
        uint64_t last = rng_below(&rng, 40) ? first + rng_below(&rng, 9) : first - 1;
        memcpy(bytes + VALUE_BYTES + 16 * i, &first, 8);
        memcpy(bytes + VALUE_BYTES + 16 * i + 8, &last, 8);
    }
    return VALUE_BYTES + 16 * n;
}

static void test_bytes_when_of_any_kind_then_decoded_or_refused(void **state)
{
    (void)state;
    uint8_t bytes[VALUE_BYTES + 16 * (REDRIVE_RANGES_MAX + 3)] = { 1 };
    for (size_t len = 0; len < 40; len++)
        assert_decoded_or_refused(bytes, len);
    for (unsigned version = 0; version < 256; version++) {
        bytes[0] = (uint8_t)version;
        assert_decoded_or_refused(bytes, VALUE_BYTES);
    }
    for (int round = 0; round < 600; round++) {
        size_t len = VALUE_BYTES;
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)rng_next(&rng);
        bytes[0] = (uint8_t)rng_below(&rng, 3);
        if (rng_below(&rng, 2) == 0)
            len = any_ranges(bytes);
        assert_decoded_or_refused(bytes, rng_below(&rng, 3) ? len : rng_below(&rng, sizeof bytes));
    }
}

static void test_ranges_when_saved_then_loaded_the_same(void **state)
{
    (void)state;
    for (uint32_t n = 0; n <= REDRIVE_RANGES_MAX; n++) {
        svl_subscription s = subscription(name), loaded = subscription(name);
        uint64_t ticket;
        bool found;
        s.redrive.count = n;
        for (uint32_t i = 0; i < n; i++) {
            s.redrive.ranges[i].next = 1 + rng_below(&rng, 1000);
            s.redrive.ranges[i].last = s.redrive.ranges[i].next + rng_below(&rng, 1000);
        }
        assert_ok(svl__progress_save(&s, true, &ticket));
        wait(ticket);
        close_store();
        open_store();
        assert_ok(svl__progress_load(&loaded, &found));
        assert_true(found && loaded.position == UNTOUCHED);
        assert_memory_equal(&loaded.redrive, &s.redrive, sizeof s.redrive);
    }
}

int main(void)
{
    rng.state = test_seed();
#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, start, end)
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_position_when_saved_then_loaded_the_same),
        STORE_TEST(test_position_when_never_saved_then_not_found_and_nothing_touched),
        STORE_TEST(test_position_when_name_is_the_longest_then_kept_apart),
        STORE_TEST(test_subscription_when_without_a_name_then_nothing_is_saved),
        STORE_TEST(test_emits_when_fed_then_durable_with_the_position),
        STORE_TEST(test_emits_when_too_many_then_the_position_stays),
        STORE_TEST(test_ranges_when_saved_then_loaded_the_same),
        STORE_TEST(test_bytes_when_of_any_kind_then_decoded_or_refused),
    };
    return cmocka_run_group_tests_name("handler/progress", tests, NULL, NULL);
}
