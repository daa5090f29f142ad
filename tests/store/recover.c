/* Opening after a crash, from journals that were written by hand. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "record/wire.h"
#include "store/block.h"
#include "store/journal.h"
#include "store/store.h"
#include "store/values.h"
#include "support/support.h"

#define HOUR (3600 * NS_PER_S)

static char path[512];
static uint8_t uuid[16];

static int ignore_batch(const struct journal_batch *batch, void *user)
{
    (void)batch;
    (void)user;
    return SVL_OK;
}

/* An empty store's journal, to be written to. */
static struct journal *make_journal(int *directory)
{
    svl_store *store;
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl__store_open_owned(path, NULL, &store));
    memcpy(uuid, svl__store_uuid(store), sizeof uuid);
    assert_ok(svl__store_close_owned(store));
    *directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct journal_options options = { .directory = *directory,
                                       .file_mode = 0600,
                                       .file_bytes_first = 256 << 10,
                                       .file_bytes_max = 1 << 20 };
    memcpy(options.store_uuid, uuid, sizeof uuid);
    struct journal *journal;
    struct journal_recovery recovery;
    assert_ok(svl__journal_open(&options, ignore_batch, NULL, &recovery, &journal));
    return journal;
}

static void write_record(struct journal *journal, uint64_t id, int64_t ingest_ns)
{
    uint8_t wire[64];
    svl_record record = { .body = slice_of("by hand") };
    svl__wire_encode(&record, 1, wire);
    struct journal_section section = { JOURNAL_WIRE, 1, wire, svl__wire_size(&record) };
    struct journal_batch batch = {
        .first_id = id, .count = 1, .ingest_ns = ingest_ns, .section_count = 1, .sections = &section
    };
    uint64_t durable;
    assert_ok(svl__journal_write(journal, &batch));
    assert_ok(svl__journal_flush(journal, &durable));
}

static void close_journal(struct journal *journal, int directory)
{
    svl__journal_close(journal);
    close(directory);
}

static void test_clock_when_it_was_set_back_before_the_crash_then_is_not_told_again(void **state)
{
    (void)state;
    int directory;
    struct journal *journal = make_journal(&directory);
    write_record(journal, 1, svl__wall_ns() + 100 * HOUR);
    write_record(journal, 2, svl__wall_ns());
    close_journal(journal, directory);
    svl_store *store;
    assert_ok(svl_store_open(path, NULL, &store));
    svl_record record = { .body = slice_of("a batch, and the clock was looked at") };
    uint64_t id;
    assert_ok(svl_store_append(store, &record, 1, &id));
    assert_true(id == 3);
    assert_ok(svl_store_close(store));
}

static void test_batch_when_it_gives_ids_again_then_corrupt(void **state)
{
    (void)state;
    int directory;
    struct journal *journal = make_journal(&directory);
    write_record(journal, 1, 1);
    write_record(journal, 1, 1);
    close_journal(journal, directory);
    svl_store *store;
    assert_int_equal(svl_store_open(path, NULL, &store), SVL_E_CORRUPT);
}

static void assert_records(svl_store *store, uint64_t expected)
{
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0;
    int rc;
    assert_ok(svl_store_query(store, NULL, &cursor));
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK)
        assert_true(record->id == ++n);
    assert_int_equal(rc, SVL_E_END);
    assert_true(n == expected);
    svl_cursor_close(cursor);
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
}

static void test_batch_when_it_says_to_hold_too_much_then_corrupt(void **state)
{
    (void)state;
    int directory;
    struct journal *journal = make_journal(&directory);
    struct journal_section section = { JOURNAL_WIRE, UINT32_MAX, "", 1 };
    struct journal_batch batch = {
        .first_id = 1, .count = UINT32_MAX, .section_count = 1, .sections = &section
    };
    uint64_t durable;
    assert_ok(svl__journal_write(journal, &batch));
    assert_ok(svl__journal_flush(journal, &durable));
    close_journal(journal, directory);
    svl_store *store;
    assert_int_equal(svl_store_open(path, NULL, &store), SVL_E_CORRUPT);
    assert_non_null(strstr(svl_last_error(), "more records than"));
}

/* --- sections that are blocks --- */

enum lie {
    NO_LIE,
    LIE_ID,
    LIE_COUNT,
    LIE_COUNT_HUGE,
    LIE_INGEST,
    LIE_BYTE,
    LIE_LENGTH,
    LIE_IN_ALL
};

#define BLOCK_RECORDS 3

static struct block *make_block(uint64_t first_id, int64_t ingest_ns)
{
    struct block_builder *builder;
    struct block *block;
    struct block_options o = { .codec = SVL_CODEC_NONE, .block_bytes = 4096 };
    assert_ok(svl__block_builder_create(&o, &builder));
    for (uint64_t id = first_id; id < first_id + BLOCK_RECORDS; id++) {
        uint8_t wire[64];
        struct wire_view view;
        svl_record record = { .body = slice_of("in a block") };
        svl__wire_encode(&record, 1, wire);
        assert_ok(svl__wire_view(wire, svl__wire_size(&record), &view));
        assert_ok(svl__block_builder_add(builder, id, ingest_ns, &view));
    }
    assert_ok(svl__block_builder_finish(builder, &block));
    svl__block_builder_destroy(builder);
    return block;
}

/* A batch of a wire record, a block, a wire record, a block and a wire record, its checksums right; and one behind it,
 * which says that it was flushed. */
static void write_mixed(struct journal *journal, enum lie lie)
{
    uint8_t wire[64];
    svl_record record = { .body = slice_of("by hand") };
    svl__wire_encode(&record, 1, wire);
    int64_t now = svl__wall_ns();
    struct block *first = make_block(2, now);
    struct block *second = make_block(6 + (lie == LIE_ID), lie == LIE_INGEST ? now - 1 : now);
    struct journal_section alone = { JOURNAL_WIRE, 1, wire, svl__wire_size(&record) };
    struct journal_section sections[] = { alone,
                                          { JOURNAL_BLOCK, BLOCK_RECORDS, first->data, first->len },
                                          alone,
                                          { JOURNAL_BLOCK, BLOCK_RECORDS, second->data,
                                            second->len },
                                          alone };
    struct journal_batch batch = {
        .first_id = 1, .count = 9, .ingest_ns = now, .section_count = 5, .sections = sections
    };
    if (lie == LIE_COUNT || lie == LIE_COUNT_HUGE) {
        sections[3].count = lie == LIE_COUNT ? BLOCK_RECORDS - 1 : UINT32_MAX;
        batch.count = 6 + (uint64_t)sections[3].count;
    }
    if (lie == LIE_IN_ALL) {
        sections[3].count++;
        sections[1].count--;
    }
    if (lie == LIE_BYTE)
        second->data[second->len - 1] ^= 1;
    if (lie == LIE_LENGTH)
        sections[3].len--;
    uint64_t durable;
    assert_ok(svl__journal_write(journal, &batch));
    assert_ok(svl__journal_flush(journal, &durable));
    write_record(journal, 1 + batch.count, now);
    svl__block_release(first);
    svl__block_release(second);
}

static void test_block_section_when_it_is_whole_then_taken_among_others(void **state)
{
    (void)state;
    int directory;
    struct journal *journal = make_journal(&directory);
    write_mixed(journal, NO_LIE);
    close_journal(journal, directory);
    svl_store *store;
    for (int opened = 0; opened < 2; opened++) {
        assert_ok(svl_store_open(path, NULL, &store));
        assert_records(store, 10);
        if (opened == 1)
            assert_ok(svl_store_commit(store, -1));
        assert_records(store, 10);
        assert_ok(svl_store_close(store));
    }
}

static void test_block_section_when_it_is_not_what_the_batch_says_then_corrupt(void **state)
{
    (void)state;
    for (enum lie lie = LIE_ID; lie <= LIE_IN_ALL; lie++) {
        int directory;
        struct journal *journal = make_journal(&directory);
        write_mixed(journal, lie);
        close_journal(journal, directory);
        svl_store *store;
        assert_int_equal(svl_store_open(path, NULL, &store), SVL_E_CORRUPT);
    }
}

static void write_op(struct journal *journal, uint64_t number)
{
    struct buffer bytes = { 0 };
    struct store_op op = { slice_of("key"), slice_of("value") };
    svl__op_encode(&op, &bytes);
    struct journal_section section = { JOURNAL_OPS, 1, bytes.data, bytes.len };
    struct journal_batch batch = {
        .first_id = 1, .last_op = number, .section_count = 1, .sections = &section
    };
    uint64_t durable;
    assert_ok(svl__journal_write(journal, &batch));
    assert_ok(svl__journal_flush(journal, &durable));
    svl__buffer_free(&bytes);
}

static void test_operations_when_they_do_not_follow_then_corrupt(void **state)
{
    (void)state;
    static const struct {
        uint64_t second;
        int code;
    } cases[] = { { 1, SVL_E_CORRUPT }, { 2, SVL_OK }, { 3, SVL_E_CORRUPT } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int directory;
        struct journal *journal = make_journal(&directory);
        write_op(journal, 1);
        write_op(journal, cases[i].second);
        close_journal(journal, directory);
        svl_store *store;
        assert_int_equal(svl_store_open(path, NULL, &store), cases[i].code);
        assert_ok(svl_store_close(store));
    }
}

static void damage_header(const char *name)
{
    uint8_t byte = 0;
    int fd = openat(AT_FDCWD, name, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && pread(fd, &byte, 1, 50) == 1);
    byte ^= 1;
    assert_true(pwrite(fd, &byte, 1, 50) == 1);
    close(fd);
}

/* What the words say is so. */
static void test_journal_header_when_damaged_after_a_close_then_the_file_may_be_removed(
    void **state)
{
    (void)state;
    svl_store *store;
    uint64_t records = 0;
    unsigned damaged = 0;
    snprintf(path, sizeof path, "%s", temp_path());
    for (unsigned n = 0; n < 8; n++) {
        svl_record record = { .body = slice_of("x") };
        char name[600];
        assert_ok(svl_store_open(path, NULL, &store));
        assert_ok(svl_store_append(store, &record, 1, NULL));
        records++;
        assert_ok(svl_store_close(store));
        snprintf(name, sizeof name, "%s/journal.%u", path, n % 2);
        if (access(name, F_OK) != 0)
            continue;
        damage_header(name);
        damaged++;
        assert_int_equal(svl_store_open(path, NULL, &store), SVL_E_CORRUPT);
        assert_non_null(strstr(svl_last_error(), "may be removed"));
        assert_int_equal(unlink(name), 0);
        assert_ok(svl_store_open(path, NULL, &store));
        assert_records(store, records);
        assert_ok(svl_store_close(store));
    }
    assert_true(damaged > 0);
}

static void copy_file(const char *from, const char *to)
{
    static uint8_t bytes[1 << 20];
    int fd = openat(AT_FDCWD, from, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, bytes, sizeof bytes);
    assert_true(n > 0 && (size_t)n < sizeof bytes);
    close(fd);
    fd = openat(AT_FDCWD, to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(write(fd, bytes, (size_t)n) == n);
    close(fd);
}

static uint64_t damaged(svl_store *store)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(store, &stats));
    return stats.damaged;
}

static void append_and_commit(svl_store *store, int code)
{
    svl_record record = { .body = slice_of("a record") };
    assert_ok(svl_store_append(store, &record, 1, NULL));
    assert_int_equal(svl_store_commit(store, -1), code);
}

static void test_segment_when_the_catalog_is_older_then_never_overwritten(void **state)
{
    (void)state;
    svl_store *store;
    char catalog[600], copy[600], segment[600], moved[600];
    snprintf(path, sizeof path, "%s", temp_path());
    snprintf(catalog, sizeof catalog, "%s/catalog.mdb", path);
    snprintf(copy, sizeof copy, "%s", temp_path());
    snprintf(segment, sizeof segment, "%s/00000000000000000001-01.seg", path);
    snprintf(moved, sizeof moved, "%s", temp_path());
    assert_ok(svl_store_open(path, NULL, &store));
    assert_ok(svl_store_close(store));
    copy_file(catalog, copy);
    assert_ok(svl_store_open(path, NULL, &store));
    append_and_commit(store, SVL_OK);
    assert_ok(svl_store_close(store));
    copy_file(copy, catalog);
    assert_ok(svl_store_open(path, NULL, &store));
    assert_true(damaged(store) == 1);
    append_and_commit(store, SVL_E_FAILED);
    assert_int_equal(svl_store_close(store), SVL_E_FAILED);
    assert_int_equal(rename(segment, moved), 0); /* it is still there */
    assert_ok(svl_store_open(path, NULL, &store));
    append_and_commit(store, SVL_OK);
    assert_records(store, 3); /* the journal had the first one, too */
    assert_ok(svl_store_close(store));
}

static void append_filled(svl_store *store, size_t n)
{
    static char body[50000];
    svl_record record = { .body = { body, sizeof body } };
    for (size_t i = 0; i < n; i++)
        assert_ok(svl_store_append(store, &record, 1, NULL));
}

/* A crash between a segment's commit and the catalog's: what other processes go by is the catalog, so what it
 * does not know to be in a segment stays in the journal. */
static void test_segment_when_ahead_of_the_catalog_then_readers_miss_nothing(void **state)
{
    (void)state;
    svl_store_options o;
    svl_store *store;
    char cut_off[512], from[600], to[600], seen[512];
    snprintf(path, sizeof path, "%s", temp_path());
    snprintf(cut_off, sizeof cut_off, "%s", temp_path());
    snprintf(seen, sizeof seen, "%s", temp_path());
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.commit_age_ms = 3600000;
    o.segment_bytes = 8 << 20;
    assert_ok(svl_store_open(path, &o, &store));
    append_and_commit(store, SVL_OK);
    append_filled(store, 3);
    copy_tree(path, cut_off);
    assert_ok(svl_store_commit(store, -1));
    snprintf(from, sizeof from, "%s/00000000000000000001-01.seg", path);
    snprintf(to, sizeof to, "%s/00000000000000000001-01.seg", cut_off);
    copy_file(from, to);
    assert_ok(svl_store_close(store));
    assert_ok(svl_store_open(cut_off, &o, &store));
    append_filled(store, 60); /* files of the journal are full, and others used again */
    copy_tree(cut_off, seen);
    svl_store *reader;
    o.flags = SVL_STORE_READ_ONLY;
    assert_ok(svl_store_open(seen, &o, &reader));
    assert_records(reader, 64);
    assert_ok(svl_store_close(reader));
    assert_ok(svl_store_close(store));
}

/* A crash between a segment's creation and its name in the catalog, passed by other ids since. */
static void test_empty_segment_when_not_named_then_removed(void **state)
{
    (void)state;
    svl_store *store;
    struct segment *segment;
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl__store_open_owned(path, NULL, &store));
    append_and_commit(store, SVL_OK);
    append_and_commit(store, SVL_OK);
    struct segment_place place = { .file_mode = 0600, .readers_max = 8 };
    memcpy(place.store_uuid, svl__store_uuid(store), sizeof place.store_uuid);
    assert_ok(svl__store_close_owned(store));
    struct segment_info info = {
        .first_id = 2, .last_id = 1, .generation = 1, .map_bytes = 8 << 20
    };
    place.directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_ok(svl__segment_create(&place, &info, &segment));
    svl__segment_close(segment);
    assert_ok(svl_store_open(path, NULL, &store));
    assert_true(damaged(store) == 0);
    assert_int_equal(faccessat(place.directory, "00000000000000000002-01.seg", F_OK, 0), -1);
    assert_ok(svl_store_close(store));
    close(place.directory);
}

/* A crash between a roll and the first blocks, with the smallest segments. */
static void make_empty_segment(void)
{
    svl_store *store;
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl__store_open_owned(path, NULL, &store));
    struct segment_place place = { .file_mode = 0600, .readers_max = 8 };
    memcpy(place.store_uuid, svl__store_uuid(store), sizeof place.store_uuid);
    assert_ok(svl__store_close_owned(store));
    place.directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct segment_info info = {
        .first_id = 1, .generation = 1, .state = SEGMENT_ACTIVE, .map_bytes = 8 << 20
    };
    struct segment *segment;
    assert_ok(svl__segment_create(&place, &info, &segment));
    svl__segment_close(segment);
    struct catalog_options options = { .directory = place.directory,
                                       .file_mode = 0600,
                                       .readers_max = 8 };
    struct catalog *catalog;
    struct catalog_change *change;
    assert_ok(svl__catalog_open(&options, &catalog));
    assert_ok(svl__catalog_begin(catalog, &change));
    assert_ok(svl__catalog_put_segment(change, &info));
    assert_ok(svl__catalog_commit(change));
    svl__catalog_close(catalog);
    close(place.directory);
}

static void test_empty_segment_when_named_then_taken(void **state)
{
    (void)state;
    svl_store *store;
    make_empty_segment();
    for (uint64_t n = 1; n <= 2; n++) {
        assert_ok(svl_store_open(path, NULL, &store));
        append_and_commit(store, SVL_OK);
        assert_records(store, n);
        assert_true(damaged(store) == 0);
        assert_ok(svl_store_close(store));
    }
}

static void test_empty_segment_when_too_small_for_what_comes_then_replaced(void **state)
{
    (void)state;
    make_empty_segment();
    svl_store_options o;
    svl_store *store;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.codec = SVL_CODEC_NONE;
    o.block_bytes = 4 << 20;
    o.commit_bytes = 16 << 20; /* all that comes is one commit */
    o.tail_bytes = 24 << 20;
    static char body[1000000];
    svl_record record = { .body = { body, sizeof body } };
    for (int opened = 0; opened < 2; opened++) {
        assert_ok(svl_store_open(path, &o, &store));
        for (int i = 0; i < 10; i++)
            assert_ok(svl_store_append(store, &record, 1, NULL));
        assert_ok(svl_store_commit(store, -1));
        assert_records(store, 10 * (uint64_t)(opened + 1));
        svl_store_stats stats = { .struct_size = sizeof stats };
        assert_ok(svl_store_stats_get(store, &stats));
        assert_true(stats.segments == 1 && stats.damaged == 0);
        assert_ok(svl_store_close(store));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_when_it_was_set_back_before_the_crash_then_is_not_told_again),
        cmocka_unit_test(test_batch_when_it_gives_ids_again_then_corrupt),
        cmocka_unit_test(test_batch_when_it_says_to_hold_too_much_then_corrupt),
        cmocka_unit_test(test_block_section_when_it_is_whole_then_taken_among_others),
        cmocka_unit_test(test_block_section_when_it_is_not_what_the_batch_says_then_corrupt),
        cmocka_unit_test(
            test_journal_header_when_damaged_after_a_close_then_the_file_may_be_removed),
        cmocka_unit_test(test_operations_when_they_do_not_follow_then_corrupt),
        cmocka_unit_test(test_segment_when_the_catalog_is_older_then_never_overwritten),
        cmocka_unit_test(test_segment_when_ahead_of_the_catalog_then_readers_miss_nothing),
        cmocka_unit_test(test_empty_segment_when_not_named_then_removed),
        cmocka_unit_test(test_empty_segment_when_named_then_taken),
        cmocka_unit_test(test_empty_segment_when_too_small_for_what_comes_then_replaced),
    };
    return cmocka_run_group_tests_name("store/recover", tests, NULL, NULL);
}
