/* A journal whose every checksum is right and whose words are not: made by hand. The store is refused, with words; or
 * what it shows, and what is acknowledged from then on, is there at the next open. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/bell.h"
#include "store/journal_files.h"
#include "store/state.h"
#include "support/support.h"

#define WIRES_MAX 8

static char path[512];
static int directory;
static struct journal *journal;
static uint8_t wires[1024];
static size_t wire_ends[WIRES_MAX + 1]; /* of so many records */

static int ignore_batch(const struct journal_batch *batch, void *user)
{
    (void)batch;
    (void)user;
    return SVL_OK;
}

/* An empty store's journal, to be written to. */
static int make_journal(void **state)
{
    (void)state;
    svl_store *store;
    struct journal_options options = { .file_mode = 0600,
                                       .file_bytes_first = 256 << 10,
                                       .file_bytes_max = 1 << 20 };
    struct journal_recovery recovery;
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl__store_open_owned(path, NULL, &store));
    memcpy(options.store_uuid, svl__store_uuid(store), sizeof options.store_uuid);
    assert_ok(svl__store_close_owned(store));
    options.directory = directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_ok(svl__journal_open(&options, ignore_batch, NULL, &recovery, &journal));
    for (size_t i = 0; i < WIRES_MAX; i++) {
        svl_record record = { .body = slice_of("by hand") };
        svl__wire_encode(&record, 1, wires + wire_ends[i]);
        wire_ends[i + 1] = wire_ends[i] + svl__wire_size(&record);
    }
    return 0;
}

static void close_journal(void)
{
    svl__journal_close(journal);
    close(directory);
}

/* A batch of `n` records that says to have `count` from `first_id` on. */
static void write_records(uint64_t first_id, uint64_t count, uint32_t n)
{
    struct journal_section section = { JOURNAL_WIRE, n, wires, wire_ends[n] };
    struct journal_batch batch = { .first_id = first_id,
                                   .count = count,
                                   .ingest_ns = 1,
                                   .section_count = 1,
                                   .sections = &section };
    uint64_t durable;
    assert_ok(svl__journal_write(journal, &batch));
    assert_ok(svl__journal_flush(journal, &durable));
}

/* By the writer, and by a reader, who goes by what the headers prove. */
static void assert_refused(const char *words)
{
    svl_store *store;
    unlinkat(directory, BELL_NAME, 0);
    close_journal();
    for (uint32_t flags = 0; flags <= SVL_STORE_READ_ONLY; flags += SVL_STORE_READ_ONLY) {
        svl_store_options o;
        assert_ok(svl_store_options_init(&o, sizeof o));
        o.flags = flags;
        assert_int_equal(svl_store_open(path, &o, &store), SVL_E_CORRUPT);
        if (!strstr(svl_last_error(), words))
            fail_msg("%s", svl_last_error());
    }
}

static void test_batch_when_it_begins_with_id_0_then_refused(void **state)
{
    (void)state;
    write_records(0, 3, 3);
    write_records(3, 1, 1); /* its header proves that the one before was flushed */
    assert_refused("batch 1 of the journal");
}

/* Id 0 again, and so those of the batch before. */
static void test_batch_when_it_begins_before_all_others_then_refused(void **state)
{
    (void)state;
    write_records(1, 4, 4);
    write_records(0, 6, 6);
    write_records(6, 1, 1);
    assert_refused("batch 2 of the journal");
}

static void test_batch_when_it_holds_less_than_it_says_then_refused(void **state)
{
    (void)state;
    write_records(1, 4, 4);
    write_records(5, 4, 3);
    write_records(9, 1, 1);
    assert_refused("batch 2 is damaged");
}

/* The next file would be number 0, which says that it is no part of the log; or the next batch number 0, which no
 * flush is ever to reach. */
static void test_file_when_its_numbers_leave_none_for_the_next_then_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t number, first_sequence;
    } lies[] = {
        { UINT64_MAX, 1 }, { UINT64_MAX - 1, 1 }, { 7, 0 },
        { 7, UINT64_MAX }, { 7, UINT64_MAX - 1 },
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        if (i > 0)
            make_journal(state);
        journal->current->header.number = lies[i].number;
        journal->current->header.first_sequence = lies[i].first_sequence;
        journal->current->header.salt_before = 0;
        assert_ok(svl__journal_file_begin(journal, journal->current));
        assert_refused("journal.");
    }
}

int main(void)
{
#define LIES_TEST(f) cmocka_unit_test_setup(f, make_journal)
    const struct CMUnitTest tests[] = {
        LIES_TEST(test_batch_when_it_begins_with_id_0_then_refused),
        LIES_TEST(test_batch_when_it_begins_before_all_others_then_refused),
        LIES_TEST(test_batch_when_it_holds_less_than_it_says_then_refused),
        LIES_TEST(test_file_when_its_numbers_leave_none_for_the_next_then_refused),
    };
    int failed = cmocka_run_group_tests_name("store/journal_lies", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
