/* Blocks that are encoded before their batch is written: the journal holds each record once, as wire record or in a
 * block, and whoever reads it back, after a crash or from another process, finds the same records. No threads here:
 * each step is taken by hand. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/journal_format.h"
#include "store/state.h"
#include "support/support.h"

#define BLOCK_BYTES 4096
#define RECORDS_A_BLOCK 25 /* and a few more */

static char path[512];
static svl_store *store;
static uint64_t fed;

/* --- records: contents follow from the number --- */

struct numbered {
    svl_record record;
    svl_attribute attribute;
    char key[16], body[128];
};

static void make(struct numbered *out, uint64_t number)
{
    int key = snprintf(out->key, sizeof out->key, "key-%llu", (unsigned long long)number % 7);
    int body = snprintf(out->body, sizeof out->body,
                        "record %llu of a run that says the same again and again and again",
                        (unsigned long long)number);
    out->attribute = (svl_attribute){ .name = slice_of("number"),
                                      .kind = SVL_ATTRIBUTE_I64,
                                      .i64 = (int64_t)number };
    out->record = (svl_record){ .time_ns = (int64_t)number,
                                .severity = (uint32_t)(number % 25),
                                .source = slice_of("ahead"),
                                .type = slice_of("numbered"),
                                .key = { out->key, (size_t)key },
                                .attributes = &out->attribute,
                                .attribute_count = 1,
                                .body = { out->body, (size_t)body } };
}

static void assert_record(const svl_record *record, uint64_t number)
{
    struct numbered expected;
    make(&expected, number);
    assert_true(record->id == number && record->time_ns == expected.record.time_ns);
    assert_true(record->severity == expected.record.severity);
    assert_true(record->key.len == expected.record.key.len &&
                memcmp(record->key.data, expected.key, record->key.len) == 0);
    assert_true(record->body.len == expected.record.body.len &&
                memcmp(record->body.data, expected.body, record->body.len) == 0);
    assert_true(record->attribute_count == 1 && record->attributes[0].i64 == (int64_t)number);
}

/* Records 1 to `expected` and no others. */
static void assert_records(svl_store *in, uint64_t expected)
{
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0;
    int rc;
    assert_ok(svl_store_query(in, NULL, &cursor));
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK)
        assert_record(record, ++n);
    assert_int_equal(rc, SVL_E_END);
    assert_true(n == expected);
    svl_cursor_close(cursor);
    assert_ok(svl_store_verify(in, NULL, NULL, NULL));
}

static int64_t *ingest_times(svl_store *in)
{
    svl_cursor *cursor;
    const svl_record *record;
    int64_t *times = calloc(fed, sizeof *times);
    assert_non_null(times);
    assert_ok(svl_store_query(in, NULL, &cursor));
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK)
        times[record->id - 1] = record->ingest_ns;
    svl_cursor_close(cursor);
    return times;
}

/* --- a store, by hand --- */

static svl_store_options options(void)
{
    svl_store_options o;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.flags = SVL_THREADLESS;
    o.block_bytes = BLOCK_BYTES;
    return o;
}

/* Until somebody waits for a flush, none is due, and nothing is written for its age. */
static void hold(svl_store *in)
{
    pthread_mutex_lock(&in->lock);
    in->last_flush_ns = in->last_records_flush_ns = in->held_since_ns = INT64_MAX / 2;
    pthread_mutex_unlock(&in->lock);
}

static int open_store(void **state)
{
    (void)state;
    svl_store_options o = options();
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_store_open(path, &o, &store));
    fed = 0;
    return 0;
}

static int close_store(void **state)
{
    (void)state;
    svl_store_close(store);
    store = NULL;
    return 0;
}

/* The next `n` records, in groups of `group`; they are held. */
static void feed_groups(unsigned n, unsigned group, bool space_wanted)
{
    for (unsigned i = 0; i < n; i++) {
        struct numbered made;
        uint8_t wire[512];
        make(&made, ++fed);
        svl__wire_encode(&made.record, 1, wire);
        static uint8_t group_wire[64][512];
        static struct feed_item items[64];
        unsigned at = i % group;
        memcpy(group_wire[at], wire, sizeof wire);
        items[at] = (struct feed_item){ .wire = group_wire[at],
                                        .len = svl__wire_size(&made.record),
                                        .follows = at > 0 };
        if (at + 1 < group && i + 1 < n)
            continue;
        struct feed feed = { .items = items, .count = at + 1, .space_wanted = space_wanted };
        assert_ok(svl__store_feed(store, &feed, NULL));
        hold(store);
    }
}

static void feed(unsigned n)
{
    feed_groups(n, 1, false);
}

static void work(void)
{
    while (svl__store_work(store))
        ;
}

static void flush(void)
{
    assert_ok(svl_store_flush(store, -1));
    hold(store);
}

static uint64_t journal_bytes(void)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(store, &stats));
    return stats.journal_bytes_written;
}

/* Records in sections of this kind, in the first journal file that has any batch. */
static uint64_t journal_records(uint32_t kind)
{
    static uint8_t bytes[1 << 20];
    uint64_t n = 0;
    for (unsigned file = 0; file < 8; file++) {
        char name[600];
        struct journal_file_header header;
        struct journal_batch_header batch;
        snprintf(name, sizeof name, "%s/journal.%u", path, file);
        int fd = open(name, O_RDONLY | O_CLOEXEC);
        ssize_t len = fd < 0 ? 0 : pread(fd, bytes, sizeof bytes, 0);
        if (fd >= 0)
            close(fd);
        if (len < JOURNAL_PAGE || svl__journal_file_header_decode(bytes, &header) != SVL_OK)
            continue;
        for (ssize_t at = JOURNAL_PAGE; at + JOURNAL_PAGE <= len; at += JOURNAL_PAGE) {
            if (!svl__journal_batch_decode(bytes + at, JOURNAL_PAGE, header.salt, &batch))
                continue;
            const uint8_t *s = bytes + at + JOURNAL_BATCH_HEADER_BYTES + 24 * batch.ring_count;
            for (uint32_t i = 0; i < batch.section_count; i++, s += 16)
                n += load_u32(s) == kind ? load_u32(s + 4) : 0;
        }
    }
    return n;
}

/* As after a crash: the files as they are now. */
static svl_store *open_copy(void)
{
    static char copy[512];
    svl_store_options o = options();
    svl_store *opened;
    snprintf(copy, sizeof copy, "%s", temp_path());
    copy_tree(path, copy);
    assert_ok(svl_store_open(copy, &o, &opened));
    return opened;
}

/* --- tests --- */

static void test_batch_when_encoded_in_time_then_written_as_its_block(void **state)
{
    (void)state;
    feed(10 * RECORDS_A_BLOCK);
    work();
    assert_true(journal_bytes() == 0);
    assert_records(store, 0); /* visible is durable */
    flush();
    assert_records(store, fed);
    uint64_t in_blocks = journal_records(JOURNAL_BLOCK), as_wire = journal_records(JOURNAL_WIRE);
    assert_true(in_blocks + as_wire == fed);
    assert_true(in_blocks >= 8 * RECORDS_A_BLOCK); /* all but the open batch */
}

static void test_batch_when_not_encoded_in_time_then_written_as_wire(void **state)
{
    (void)state;
    feed(10 * RECORDS_A_BLOCK);
    flush();
    assert_true(journal_records(JOURNAL_WIRE) == fed);
    work();
    assert_records(store, fed);
}

/* A block that a flush has caught half full is finished, and its records are not written again. */
static void test_blocks_when_flushes_come_between_then_each_record_is_written_once(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (int i = 0; i < 40; i++) {
        feed_groups(1 + (unsigned)rng_below(&rng, 5 * RECORDS_A_BLOCK),
                    1 + (unsigned)rng_below(&rng, 8), false);
        if (rng_below(&rng, 4) > 0)
            work();
        if (rng_below(&rng, 4) > 0)
            flush();
        if (rng_below(&rng, 16) == 0)
            assert_ok(svl_store_commit(store, -1));
    }
    flush();
    assert_records(store, fed);
    svl_store *copy = open_copy();
    assert_records(copy, fed);
    assert_ok(svl_store_close(copy));
}

static void test_recovery_when_blocks_are_in_the_journal_then_the_same_records(void **state)
{
    (void)state;
    feed(10 * RECORDS_A_BLOCK);
    work();
    flush();
    feed(7);
    flush();
    assert_true(journal_records(JOURNAL_BLOCK) > 0);
    int64_t *before = ingest_times(store);
    svl_store *copy = open_copy();
    assert_records(copy, fed);
    int64_t *after = ingest_times(copy);
    assert_memory_equal(before, after, fed * sizeof *before);
    assert_ok(svl_store_commit(copy, -1));
    assert_records(copy, fed);
    assert_ok(svl_store_close(copy));
    free(before);
    free(after);
}

/* What was encoded ahead and not flushed is gone with the process, like all that was not. */
static void test_recovery_when_blocks_were_not_flushed_then_without_them(void **state)
{
    (void)state;
    feed(5);
    flush();
    uint64_t durable = fed;
    feed(5 * RECORDS_A_BLOCK);
    work();
    svl_store *copy = open_copy();
    assert_records(copy, durable);
    assert_ok(svl_store_close(copy));
}

static void test_reader_when_blocks_are_in_the_journal_then_sees_the_records(void **state)
{
    (void)state;
    feed(10 * RECORDS_A_BLOCK);
    work();
    flush();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        svl_store_options o;
        svl_store *reader;
        svl_store_options_init(&o, sizeof o);
        o.flags = SVL_STORE_READ_ONLY;
        if (svl_store_open(path, &o, &reader) != SVL_OK)
            _exit(1);
        assert_records(reader, fed);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The commit is for what is durable, the block ends behind that. */
static void test_commit_when_its_block_waits_for_a_flush_then_flushed(void **state)
{
    (void)state;
    feed(RECORDS_A_BLOCK / 2);
    flush();
    feed(2 * RECORDS_A_BLOCK);
    work();
    assert_true(store->tail.ahead_count > 0);
    assert_ok(svl_store_commit(store, -1));
    assert_true(store->committed_id >= RECORDS_A_BLOCK / 2);
    flush();
    assert_records(store, fed);
}

static void test_write_when_space_is_wanted_then_before_the_flush(void **state)
{
    (void)state;
    feed(5 * RECORDS_A_BLOCK);
    work();
    assert_true(journal_bytes() == 0);
    feed_groups(1, 1, true);
    work();
    uint64_t in_blocks = journal_records(JOURNAL_BLOCK);
    assert_true(in_blocks > 0 && in_blocks < fed);
    assert_true(journal_records(JOURNAL_WIRE) == 0); /* that may be a block yet */
    feed_groups(1, 1, true);
    work();
    assert_true(journal_records(JOURNAL_WIRE) + in_blocks == fed);
    assert_records(store, 0);
    flush();
    assert_records(store, fed);
}

static void test_write_when_held_for_long_then_before_the_flush(void **state)
{
    (void)state;
    feed(3);
    work();
    assert_true(journal_bytes() == 0);
    store->held_since_ns = 0;
    work();
    assert_true(journal_records(JOURNAL_WIRE) == fed);
    assert_records(store, 0);
}

static void test_append_when_blocks_wait_then_flushed_with_them(void **state)
{
    (void)state;
    feed(5 * RECORDS_A_BLOCK);
    work();
    struct numbered made;
    uint64_t id;
    make(&made, ++fed);
    assert_ok(svl_store_append(store, &made.record, 1, &id));
    assert_true(id == fed);
    assert_true(journal_records(JOURNAL_BLOCK) > 0);
    assert_records(store, fed);
}

static void test_group_when_larger_than_a_block_then_in_one_batch(void **state)
{
    (void)state;
    feed_groups(60, 60, false);
    feed(RECORDS_A_BLOCK * 3);
    work();
    flush();
    assert_true(journal_records(JOURNAL_BLOCK) > 0);
    assert_records(store, fed);
    svl_store *copy = open_copy();
    assert_records(copy, fed);
    assert_ok(svl_store_close(copy));
}

/* --- when a flush is due --- */

static int64_t flush_due_ns(void)
{
    pthread_mutex_lock(&store->lock);
    int64_t due_ns = svl__flush_due_ns(store);
    pthread_mutex_unlock(&store->lock);
    return due_ns;
}

/* As a handler's position: a batch without records. */
static void feed_value(void)
{
    struct store_op op = { slice_of("position"), slice_of("1") };
    struct feed one = { .ops = &op, .op_count = 1, .atomic = true };
    assert_ok(svl__store_feed(store, &one, NULL));
}

static void feed_record(void)
{
    uint8_t wire[512];
    struct numbered made;
    make(&made, ++fed);
    svl__wire_encode(&made.record, 1, wire);
    struct feed_item item = { .wire = wire, .len = svl__wire_size(&made.record) };
    struct feed one = { .items = &item, .count = 1 };
    assert_ok(svl__store_feed(store, &one, NULL));
}

static void test_record_when_a_value_was_flushed_before_then_its_flush_is_due_at_once(void **state)
{
    (void)state;
    int64_t hour_ns = INT64_C(3600000) * NS_PER_MS;
    pthread_mutex_lock(&store->lock);
    store->options.sync_interval_ms = 3600000; /* nobody lives to see its end */
    store->last_records_flush_ns = svl__monotonic_ns() - hour_ns;
    pthread_mutex_unlock(&store->lock);
    feed_value();
    assert_ok(svl_store_flush(store, -1));
    feed_value();
    pthread_mutex_lock(&store->lock);
    store->held_since_ns = svl__monotonic_ns() + hour_ns;
    pthread_mutex_unlock(&store->lock);
    assert_true(flush_due_ns() > svl__monotonic_ns());
    feed_record();
    assert_true(flush_due_ns() <= svl__monotonic_ns());
    work(); /* flushed, and the next one waits for that */
    assert_records(store, 1);
    feed_record();
    pthread_mutex_lock(&store->lock);
    store->held_since_ns = svl__monotonic_ns() + hour_ns;
    pthread_mutex_unlock(&store->lock);
    assert_true(flush_due_ns() > svl__monotonic_ns());
}

/* --- memory --- */

static int64_t allocations_left = INT64_MAX;

static void *take(size_t size, void *user)
{
    (void)user;
    return --allocations_left < 0 ? NULL : malloc(size);
}

static void *take_again(void *old, size_t size, void *user)
{
    (void)user;
    return --allocations_left < 0 ? NULL : realloc(old, size);
}

static void give_back(void *old, void *user)
{
    (void)user;
    free(old);
}

static void test_encoder_when_without_memory_then_written_as_wire(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 40; n++) {
        uint64_t before = fed;
        feed(4 * RECORDS_A_BLOCK);
        svl__flush_step(store);
        allocations_left = n;
        svl__encode_step(store);
        allocations_left = INT64_MAX;
        flush();
        assert_true(fed > before);
        assert_records(store, fed);
        assert_true(journal_records(JOURNAL_WIRE) + journal_records(JOURNAL_BLOCK) == fed);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_store, close_store)

int main(void)
{
    const svl_allocator allocator = { sizeof allocator, 0, take, take_again, give_back, NULL };
    const struct CMUnitTest tests[] = {
        TEST(test_record_when_a_value_was_flushed_before_then_its_flush_is_due_at_once),
        TEST(test_batch_when_encoded_in_time_then_written_as_its_block),
        TEST(test_batch_when_not_encoded_in_time_then_written_as_wire),
        TEST(test_blocks_when_flushes_come_between_then_each_record_is_written_once),
        TEST(test_recovery_when_blocks_are_in_the_journal_then_the_same_records),
        TEST(test_recovery_when_blocks_were_not_flushed_then_without_them),
        TEST(test_reader_when_blocks_are_in_the_journal_then_sees_the_records),
        TEST(test_commit_when_its_block_waits_for_a_flush_then_flushed),
        TEST(test_write_when_space_is_wanted_then_before_the_flush),
        TEST(test_write_when_held_for_long_then_before_the_flush),
        TEST(test_append_when_blocks_wait_then_flushed_with_them),
        TEST(test_group_when_larger_than_a_block_then_in_one_batch),
        TEST(test_encoder_when_without_memory_then_written_as_wire),
    };
    if (svl_allocator_set(&allocator) != SVL_OK)
        return 1;
    int failed = cmocka_run_group_tests_name("store/ahead", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
