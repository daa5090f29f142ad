/* The journal alone: what was flushed comes back, whatever became of the rest. */
#define _GNU_SOURCE
#include "store/journal_scan.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/support.h"

#define FILE_BYTES (64 << 10)

static int directory = -1;
static char path[512];

static int new_directory(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    assert_int_equal(mkdir(path, 0700), 0);
    directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return directory < 0;
}

static int close_directory(void **state)
{
    (void)state;
    close(directory);
    return 0;
}

/* What replay gave. */
struct replayed {
    uint64_t sequences, next_id, bytes;
    uint64_t ring_position;
    bool wrong;
};

static uint8_t byte_of(uint64_t sequence, size_t i)
{
    return (uint8_t)(sequence * 31 + i);
}

static int note(const struct journal_batch *batch, void *user)
{
    struct replayed *r = user;
    r->wrong |= batch->sequence != r->sequences + 1 || batch->first_id != r->next_id;
    r->sequences = batch->sequence;
    r->next_id = batch->first_id + batch->count;
    for (uint32_t s = 0; s < batch->section_count; s++) {
        const uint8_t *data = batch->sections[s].data;
        for (size_t i = 0; i < batch->sections[s].len; i++)
            r->wrong |= data[i] != byte_of(batch->sequence, i);
        r->bytes += batch->sections[s].len;
    }
    if (batch->ring_count > 0)
        r->ring_position = batch->rings[0].position;
    return SVL_OK;
}

static int open_journal(struct journal **journal, struct replayed *r,
                        struct journal_recovery *recovery)
{
    struct journal_options o = { .directory = directory,
                                 .file_mode = 0600,
                                 .file_bytes_first = FILE_BYTES,
                                 .file_bytes_max = 4 * FILE_BYTES,
                                 .store_uuid = { 7 } };
    *r = (struct replayed){ .next_id = 1 };
    return svl__journal_open(&o, note, r, recovery, journal);
}

static struct journal *open_ok(struct replayed *r)
{
    struct journal *journal;
    struct journal_recovery recovery;
    assert_ok(open_journal(&journal, r, &recovery));
    assert_false(r->wrong);
    return journal;
}

static uint64_t next_id, last_op;

static int write_one(struct journal *journal, uint64_t sequence, size_t len)
{
    uint8_t *data = malloc(len + 1);
    assert_non_null(data);
    for (size_t i = 0; i < len; i++)
        data[i] = byte_of(sequence, i);
    struct journal_section section = { JOURNAL_WIRE, 3, data, len };
    struct ring_position ring = { .uuid = { 9 }, .position = sequence * 8 };
    struct journal_batch batch = { .first_id = next_id,
                                   .count = 3,
                                   .last_op = last_op,
                                   .ingest_ns = 5,
                                   .rings = &ring,
                                   .ring_count = 1,
                                   .section_count = 1,
                                   .sections = &section };
    int rc = svl__journal_write(journal, &batch);
    if (rc == SVL_OK) {
        assert_true(batch.sequence == sequence);
        next_id += 3;
    }
    free(data);
    return rc;
}

static void flush_ok(struct journal *journal, uint64_t expected)
{
    uint64_t durable;
    assert_ok(svl__journal_flush(journal, &durable));
    assert_true(durable == expected);
}

static void test_batches_when_many_files_then_replayed_in_order(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    struct replayed r;
    uint64_t sequence = 0;
    next_id = 1;
    for (int round = 0; round < 5; round++) {
        struct journal *journal = open_ok(&r);
        assert_true(r.sequences == sequence);
        if (sequence > 0)
            assert_true(r.ring_position == sequence * 8);
        for (int i = 0; i < 60; i++) {
            assert_ok(write_one(journal, ++sequence, rng_below(&rng, 20000)));
            if (rng_below(&rng, 4) == 0)
                flush_ok(journal, sequence);
        }
        flush_ok(journal, sequence);
        assert_ok(svl__journal_verify(journal, NULL, NULL));
        svl__journal_close(journal);
    }
}

static void test_batch_when_too_large_then_limit(void **state)
{
    (void)state;
    struct replayed r;
    struct journal *journal = open_ok(&r);
    next_id = 1;
    assert_int_equal(write_one(journal, 1, svl__journal_batch_bytes_max(journal) + 1), SVL_E_LIMIT);
    assert_ok(write_one(journal, 1, svl__journal_batch_bytes_max(journal)));
    flush_ok(journal, 1);
    svl__journal_close(journal);
    svl__journal_close(open_ok(&r));
    assert_true(r.sequences == 1);
}

static struct journal_stats stats_after(struct journal *journal, uint64_t *sequence, int batches)
{
    struct journal_stats stats;
    for (int i = 0; i < batches; i++)
        assert_ok(write_one(journal, ++*sequence, 15000));
    flush_ok(journal, *sequence);
    svl__journal_recycle(journal, next_id - 1, 0);
    svl__journal_stats_get(journal, &stats);
    return stats;
}

/* Of the largest file 15 batches of four pages each are one. */
static void test_files_when_as_much_comes_between_commits_then_none_is_new_until_less_comes(
    void **state)
{
    (void)state;
    struct replayed r;
    uint64_t sequence = 0;
    struct journal *journal = open_ok(&r);
    next_id = 1;
    stats_after(journal, &sequence, 60); /* the first ones are smaller */
    struct journal_stats first = stats_after(journal, &sequence, 60);
    assert_int_equal(first.files, 5);
    assert_true(first.free_bytes == first.disk_bytes / 5 * 4);
    for (int i = 0; i < 5; i++) {
        struct journal_stats now = stats_after(journal, &sequence, 60);
        assert_true(now.files == first.files && now.disk_bytes == first.disk_bytes);
    }
    /* A commit that came late frees many: not all are kept. */
    assert_int_equal(stats_after(journal, &sequence, 300).files, 6);
    stats_after(journal, &sequence, 15);
    assert_int_equal(stats_after(journal, &sequence, 15).files, 3);
    svl__journal_close(journal);
}

static void test_files_when_committed_then_reused_and_never_replayed(void **state)
{
    (void)state;
    struct replayed r;
    struct journal_stats stats;
    struct journal *journal = open_ok(&r);
    next_id = 1;
    uint64_t sequence = 0;
    for (int i = 0; i < 400; i++) {
        assert_ok(write_one(journal, ++sequence, 15000));
        if (i % 10 == 9) {
            flush_ok(journal, sequence);
            svl__journal_recycle(journal, next_id - 1, 0);
        }
    }
    svl__journal_stats_get(journal, &stats);
    assert_true(stats.files <= 5 && stats.disk_bytes <= 5 * 4 * FILE_BYTES);
    assert_true(stats.bytes_written >= 400 * 15000);
    flush_ok(journal, sequence);
    svl__journal_close(journal);
    /* Stale batches lie in the reused files: they are of other salts, and stay away. */
    struct journal_recovery recovery;
    uint64_t expected_last = sequence;
    r = (struct replayed){ 0 };
    struct journal_options o = { .directory = directory,
                                 .file_mode = 0600,
                                 .file_bytes_first = FILE_BYTES,
                                 .file_bytes_max = 4 * FILE_BYTES,
                                 .store_uuid = { 7 } };
    assert_ok(svl__journal_open(&o, note, &r, &recovery, &journal));
    assert_true(r.sequences == expected_last && r.next_id == next_id);
    assert_true(recovery.batches < 60);
    svl__journal_close(journal);
}

/* The file that holds the newest batches, as bytes. */
static char newest[600];

static void find_newest(void)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < 64; i++) {
        char name[600];
        uint8_t header[48];
        snprintf(name, sizeof name, "%s/journal.%u", path, i);
        int fd = open(name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        uint64_t n = 0;
        if (read(fd, header, sizeof header) == sizeof header)
            memcpy(&n, header + 40, sizeof n);
        if (n > number) {
            number = n;
            snprintf(newest, sizeof newest, "%s", name);
        }
        close(fd);
    }
}

/* Ten batches, six of them flushed, of which five are proven so by a later header; then each subset of what
 * a disk may do to the rest. */
static void test_unflushed_pages_when_lost_or_torn_then_a_prefix_is_left(void **state)
{
    (void)state;
    struct replayed r;
    char saved[512];
    struct rng rng = { test_seed() };
    next_id = 1;
    struct journal *journal = open_ok(&r);
    for (uint64_t s = 1; s <= 6; s++)
        assert_ok(write_one(journal, s, 3000));
    flush_ok(journal, 6);
    for (uint64_t s = 7; s <= 10; s++)
        assert_ok(write_one(journal, s, 5000)); /* two pages each; their headers prove 6 */
    svl__journal_close(journal);
    find_newest();
    snprintf(saved, sizeof saved, "%s", temp_path());
    copy_tree(path, saved);
    char base[512];
    snprintf(base, sizeof base, "%s", path);
    const char *name = strrchr(newest, '/') + 1;
    for (unsigned subset = 0; subset < 256; subset++) {
        static const uint8_t zeros[4096];
        snprintf(path, sizeof path, "%s", temp_path());
        copy_tree(saved, path);
        char file[1100];
        snprintf(file, sizeof file, "%s/%s", path, name);
        int fd = open(file, O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        uint64_t first_lost = 4;
        for (unsigned page = 0; page < 8; page++) {
            if (subset & (1u << page))
                continue;
            /* lost whole, or torn at a sector */
            size_t keep = rng_below(&rng, 2) ? 0 : 512 * rng_below(&rng, 8);
            off_t at = (off_t)(7 + page) * 4096;
            assert_true(pwrite(fd, zeros, 4096 - keep, at + (off_t)keep) == (ssize_t)(4096 - keep));
            if (page / 2 < first_lost)
                first_lost = page / 2;
        }
        close(fd);
        int before = directory;
        directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct journal_recovery recovery;
        assert_ok(open_journal(&journal, &r, &recovery));
        assert_false(r.wrong);
        /* A torn second page of a batch may hold only zeros to lose: then the batch is whole. */
        assert_true(r.sequences >= 6 + first_lost && r.sequences <= 10);
        uint64_t reached = r.sequences;
        next_id = r.next_id;
        assert_ok(write_one(journal, reached + 1, 100));
        flush_ok(journal, reached + 1);
        svl__journal_close(journal);
        assert_ok(open_journal(&journal, &r, &recovery));
        assert_true(!r.wrong && r.sequences == reached + 1);
        svl__journal_close(journal);
        close(directory);
        directory = before;
        remove_tree(path);
    }
    snprintf(path, sizeof path, "%s", base);
}

static void test_flushed_batch_when_damaged_then_corrupt_and_named(void **state)
{
    (void)state;
    struct replayed r;
    next_id = 1;
    struct journal *journal = open_ok(&r);
    for (uint64_t s = 1; s <= 5; s++) {
        assert_ok(write_one(journal, s, 3000));
        flush_ok(journal, s);
    }
    svl__journal_close(journal);
    find_newest();
    /* Batches 1 to 4: flushed, as the header of the next one says. */
    for (off_t at = 4096; at < 5 * 4096; at += 97) {
        if (at % 4096 > 3000)
            continue; /* padding is nobody's */
        int fd = open(newest, O_RDWR | O_CLOEXEC);
        uint8_t byte;
        assert_true(pread(fd, &byte, 1, at) == 1);
        byte ^= 0x10;
        assert_true(pwrite(fd, &byte, 1, at) == 1);
        struct journal_recovery recovery;
        assert_int_equal(open_journal(&journal, &r, &recovery), SVL_E_CORRUPT);
        assert_null(journal);
        assert_non_null(strstr(svl_last_error(), "journal."));
        byte ^= 0x10;
        assert_true(pwrite(fd, &byte, 1, at) == 1);
        close(fd);
    }
    svl__journal_close(open_ok(&r));
    assert_true(r.sequences == 5);
}

static void test_file_when_of_another_store_or_version_then_refused(void **state)
{
    (void)state;
    struct replayed r;
    next_id = 1;
    struct journal *journal = open_ok(&r);
    assert_ok(write_one(journal, 1, 10));
    flush_ok(journal, 1);
    svl__journal_close(journal);
    struct journal_recovery recovery;
    struct journal_options other = { .directory = directory,
                                     .file_mode = 0600,
                                     .file_bytes_first = FILE_BYTES,
                                     .file_bytes_max = FILE_BYTES,
                                     .store_uuid = { 8 } };
    assert_int_equal(svl__journal_open(&other, note, &r, &recovery, &journal), SVL_E_FOREIGN);
    find_newest();
    unlink(newest);
    assert_int_equal(symlink("/etc/passwd", newest), 0);
    assert_int_equal(open_journal(&journal, &r, &recovery), SVL_E_PATH);
    unlink(newest);
}

/* Lengths that wrap around to what the batch has. */
static void test_section_when_longer_than_its_batch_then_refused(void **state)
{
    (void)state;
    static uint8_t bytes[2 * JOURNAL_PAGE];
    struct journal_section sections[] = { { JOURNAL_WIRE, 1, bytes, SIZE_MAX - 63 },
                                          { JOURNAL_WIRE, 2, bytes, 128 } };
    struct journal_batch batch = {
        .sequence = 1, .first_id = 1, .count = 3, .section_count = 2, .sections = sections
    };
    struct journal_batch_header header = { .salt = 5 }, read;
    struct journal_section found[JOURNAL_SECTIONS_MAX];
    struct buffer whole = { .data = bytes };
    svl__journal_batch_encode(&batch, &header, bytes);
    assert_true(svl__journal_batch_decode(bytes, sizeof bytes, 5, &read));
    whole.len = read.length;
    assert_int_equal(read.length, read.header_len + 64);
    assert_false(svl__journal_read_tables(&whole, &read, NULL, found));
}

static void test_file_when_its_header_names_another_batch_before_then_corrupt(void **state)
{
    (void)state;
    struct replayed r;
    struct journal_recovery recovery;
    struct journal *journal = open_ok(&r);
    next_id = 1;
    for (uint64_t sequence = 1; sequence <= 8; sequence++) /* in more than one file */
        assert_ok(write_one(journal, sequence, 20000));
    flush_ok(journal, 8);
    struct journal_file_header header = journal->current->header;
    svl__journal_close(journal);
    uint8_t bytes[JOURNAL_FILE_HEADER_BYTES];
    header.chain ^= 1;
    svl__journal_file_header_encode(&header, bytes);
    find_newest();
    int fd = open(newest, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
    close(fd);
    assert_int_equal(open_journal(&journal, &r, &recovery), SVL_E_CORRUPT);
    assert_non_null(strstr(svl_last_error(), "does not follow"));
}

/* Operations alone, up to number `op`. */
static void write_operations(struct journal *journal, uint64_t op, size_t len)
{
    uint8_t *data = malloc(len);
    assert_non_null(data);
    for (size_t i = 0; i < len; i++)
        data[i] = byte_of(journal->next_sequence, i);
    struct journal_section section = { JOURNAL_OPS, 1, data, len };
    struct journal_batch batch = {
        .first_id = next_id, .last_op = op, .section_count = 1, .sections = &section
    };
    assert_ok(svl__journal_write(journal, &batch));
    free(data);
}

static unsigned count_files(struct journal *journal, enum journal_file_state state)
{
    unsigned n = 0;
    for (const struct journal_file *f = journal->files; f; f = f->next)
        n += f->state == state;
    return n;
}

static bool has_room(const struct journal *journal)
{
    return journal->current->size - journal->current->used >= 3 * JOURNAL_PAGE;
}

/* Records until the next write goes to another file. */
static void fill_file(struct journal *journal)
{
    while (has_room(journal))
        assert_ok(write_one(journal, journal->next_sequence, 12000));
}

static void recycle_leaves(struct journal *journal, uint64_t id, uint64_t op, unsigned full)
{
    svl__journal_recycle(journal, id, op);
    assert_int_equal(count_files(journal, JOURNAL_FULL), full);
}

static void test_file_when_something_of_it_is_in_no_other_place_then_stays(void **state)
{
    (void)state;
    struct replayed r;
    struct journal_recovery recovery;
    struct journal *journal = open_ok(&r);
    next_id = 1;
    fill_file(journal);
    uint64_t id = next_id - 1, op = 0;
    do /* a file of operations alone */
        write_operations(journal, ++op, 12000);
    while (has_room(journal));
    last_op = op;
    assert_ok(write_one(journal, journal->next_sequence, 12000));
    flush_ok(journal, journal->next_sequence - 1);
    recycle_leaves(journal, 0, op, 2);
    recycle_leaves(journal, id - 1, op, 2);
    recycle_leaves(journal, id, 0, 1);
    recycle_leaves(journal, id, op - 1, 1);
    recycle_leaves(journal, id, op, 0);
    svl__journal_close(journal);
    /* What was recycled is not there: the first batch is another one. */
    assert_ok(open_journal(&journal, &r, &recovery));
    svl__journal_close(journal);
    assert_true(r.next_id == next_id);
    last_op = 0;
}

/* Puts `path` in the place of a descriptor; what was there, to be put back. */
static int replace_fd(int fd, const char *with, int flags)
{
    int kept = fcntl(fd, F_DUPFD_CLOEXEC, 0), other = open(with, flags | O_CLOEXEC);
    assert_true(kept >= 0 && other >= 0);
    assert_int_equal(dup2(other, fd), fd);
    close(other);
    return kept;
}

static void put_back(int fd, int kept)
{
    assert_int_equal(dup2(kept, fd), fd);
    close(kept);
}

static void test_journal_when_a_write_has_failed_then_takes_no_more(void **state)
{
    (void)state;
    struct replayed r;
    uint64_t durable;
    struct journal *journal = open_ok(&r);
    next_id = 1;
    assert_ok(write_one(journal, 1, 100));
    int fd = journal->current->fd, kept = replace_fd(fd, "/dev/null", O_RDONLY);
    assert_int_equal(write_one(journal, 2, 100), SVL_E_IO);
    put_back(fd, kept);
    assert_int_equal(write_one(journal, 2, 100), SVL_E_FAILED);
    assert_int_equal(svl__journal_flush(journal, &durable), SVL_E_FAILED);
    svl__journal_close(journal);
}

static void test_journal_when_a_flush_has_failed_then_it_is_not_tried_again(void **state)
{
    (void)state;
    struct replayed r;
    uint64_t durable;
    struct journal *journal = open_ok(&r);
    next_id = 1;
    assert_ok(write_one(journal, 1, 100));
    int fd = journal->current->fd, kept = replace_fd(fd, "/dev/null", O_RDWR); /* no fdatasync() */
    assert_int_equal(svl__journal_flush(journal, &durable), SVL_E_FAILED);
    put_back(fd, kept);
    assert_int_equal(svl__journal_flush(journal, &durable), SVL_E_FAILED);
    assert_int_equal(durable, 0);
    assert_int_equal(write_one(journal, 2, 100), SVL_E_FAILED);
    svl__journal_close(journal);
}

static void test_free_file_when_the_disk_is_full_then_stays_free(void **state)
{
    (void)state;
    struct replayed r;
    struct journal *journal = open_ok(&r);
    next_id = 1;
    last_op = 0;
    while (count_files(journal, JOURNAL_FREE) == 0) {
        assert_ok(write_one(journal, journal->next_sequence, 12000));
        flush_ok(journal, journal->next_sequence - 1);
        svl__journal_recycle(journal, next_id - 1, 0);
    }
    fill_file(journal);
    struct journal_file *file = journal->files;
    while (file->state != JOURNAL_FREE)
        file = file->next;
    int kept = replace_fd(file->fd, "/dev/full", O_RDWR);
    assert_int_equal(write_one(journal, journal->next_sequence, 50000), SVL_E_NO_SPACE);
    put_back(file->fd, kept);
    assert_int_equal(file->state, JOURNAL_FREE);
    assert_ok(write_one(journal, journal->next_sequence, 50000));
    assert_ptr_equal(journal->current, file);
    flush_ok(journal, journal->next_sequence - 1);
    svl__journal_close(journal);
    /* What was recycled is not there: the first batch is another one. */
    struct journal_recovery recovery;
    assert_ok(open_journal(&journal, &r, &recovery));
    svl__journal_close(journal);
    assert_true(r.next_id == next_id);
}

int main(void)
{
#define JOURNAL_TEST(f) cmocka_unit_test_setup_teardown(f, new_directory, close_directory)
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(test_batches_when_many_files_then_replayed_in_order),
        JOURNAL_TEST(test_batch_when_too_large_then_limit),
        JOURNAL_TEST(
            test_files_when_as_much_comes_between_commits_then_none_is_new_until_less_comes),
        JOURNAL_TEST(test_files_when_committed_then_reused_and_never_replayed),
        JOURNAL_TEST(test_unflushed_pages_when_lost_or_torn_then_a_prefix_is_left),
        JOURNAL_TEST(test_flushed_batch_when_damaged_then_corrupt_and_named),
        JOURNAL_TEST(test_file_when_of_another_store_or_version_then_refused),
        cmocka_unit_test(test_section_when_longer_than_its_batch_then_refused),
        JOURNAL_TEST(test_file_when_its_header_names_another_batch_before_then_corrupt),
        JOURNAL_TEST(test_file_when_something_of_it_is_in_no_other_place_then_stays),
        JOURNAL_TEST(test_journal_when_a_write_has_failed_then_takes_no_more),
        JOURNAL_TEST(test_journal_when_a_flush_has_failed_then_it_is_not_tried_again),
        JOURNAL_TEST(test_free_file_when_the_disk_is_full_then_stays_free),
    };
    return cmocka_run_group_tests_name("store/journal", tests, NULL, NULL);
}
