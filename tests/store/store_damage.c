/* A store with damaged files: the answer is an error that names the place, or the right records - never a
 * crash, a hang or wrong records. Each state is opened in a child, so that a signal is a failure here. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/support.h"

#define RECORDS 400
#define ROUNDS 250

static char original[512];

static svl_record record_of(uint64_t i, char key[32], char body[200])
{
    int n = snprintf(key, 32, "key-%02d", (int)(i % 37));
    memset(body, (int)('a' + i % 26), 199);
    return (svl_record){ .time_ns = (int64_t)i * 1000,
                         .severity = (uint32_t)(i % 25),
                         .source = slice_of("source"),
                         .key = { key, (size_t)n },
                         .body = { body, 20 + i % 179 } };
}

static svl_store_options options_of(void)
{
    svl_store_options o;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.block_bytes = 4096;
    o.commit_bytes = 65536;
    o.segment_bytes = 8 << 20;
    o.journal_file_bytes_max = 256 << 10;
    return o;
}

/* Half of the records in a segment, half in the journal only: the process dies without a close. */
static void make_store(void)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        svl_store_options o = options_of();
        svl_store *store;
        bool ok = svl_store_open(original, &o, &store) == SVL_OK;
        for (uint64_t i = 1; ok && i <= RECORDS; i++) {
            char key[32], body[200];
            svl_record record = record_of(i, key, body);
            ok = svl_store_append(store, &record, 1, NULL) == SVL_OK;
            if (ok && i == RECORDS / 2)
                ok = svl_store_commit(store, -1) == SVL_OK;
        }
        _exit(ok ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static bool is_right(const svl_record *r)
{
    char key[32], body[200];
    if (r->id == 0 || r->id > RECORDS)
        return false;
    svl_record e = record_of(r->id, key, body);
    return r->time_ns == e.time_ns && r->severity == e.severity && r->key.len == e.key.len &&
           memcmp(r->key.data, e.key.data, e.key.len) == 0 && r->body.len == e.body.len &&
           memcmp(r->body.data, e.body.data, e.body.len) == 0;
}

enum outcome { OUTCOME_WHOLE, OUTCOME_REFUSED, OUTCOME_DAMAGED, OUTCOME_WRONG };

static int read_all(svl_store *store, uint64_t *count)
{
    svl_cursor *cursor;
    const svl_record *record;
    bool damaged = false;
    *count = 0;
    int rc = svl_store_query(store, NULL, &cursor);
    if (rc != SVL_OK)
        return rc == SVL_E_CORRUPT ? OUTCOME_DAMAGED : OUTCOME_WRONG;
    while ((rc = svl_cursor_next(cursor, 0, &record)) != SVL_E_END) {
        if (rc == SVL_OK && !is_right(record))
            return OUTCOME_WRONG;
        if (rc != SVL_OK && (damaged = true, ++*count > 10 * RECORDS))
            return OUTCOME_WRONG; /* it does not end */
        *count += rc == SVL_OK;
    }
    svl_cursor_close(cursor);
    return damaged ? OUTCOME_DAMAGED : OUTCOME_WHOLE;
}

/* How many of the first `count` records have a key that starts with "key-1". */
static uint64_t keyed_of(uint64_t count)
{
    uint64_t n = 0;
    for (uint64_t i = 1; i <= count; i++)
        n += i % 37 >= 10 && i % 37 < 20;
    return n;
}

static int ask_by_key(svl_store *store, uint64_t *count)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    *count = 0;
    svl_query_init(&query, sizeof query);
    query.key_kind = SVL_KEY_PREFIX;
    query.key_low = slice_of("key-1");
    if (svl_store_query(store, &query, &cursor) != SVL_OK)
        return OUTCOME_WRONG;
    int rc, outcome = OUTCOME_WHOLE;
    for (int i = 0; (rc = svl_cursor_next(cursor, 0, &record)) != SVL_E_END; i++) {
        if (i == 10 * RECORDS || (rc == SVL_OK && !is_right(record)))
            outcome = OUTCOME_WRONG;
        if (outcome == OUTCOME_WRONG)
            break;
        *count += rc == SVL_OK;
    }
    svl_cursor_close(cursor);
    return outcome;
}

/* What seems whole takes records, and commits them. */
static bool goes_on(svl_store *store, uint64_t count)
{
    char key[32], body[200];
    svl_record record = record_of(count + 1, key, body);
    uint64_t id;
    return svl_store_append(store, &record, 1, &id) == SVL_OK && id == count + 1 &&
           svl_store_commit(store, -1) == SVL_OK &&
           svl_store_verify(store, NULL, NULL, NULL) == SVL_OK;
}

/* In a child: opens, reads all, asks by key, verifies, appends, closes. */
static int use_store(void *user)
{
    const char *path = user;
    svl_store_options o = options_of();
    svl_store *store;
    int rc = svl_store_open(path, &o, &store);
    if (rc != SVL_OK)
        return svl_last_error()[0] && (rc == SVL_E_CORRUPT || rc == SVL_E_VERSION ||
                                       rc == SVL_E_FOREIGN || rc == SVL_E_PATH)
                   ? OUTCOME_REFUSED
                   : OUTCOME_WRONG;
    uint64_t count, keyed;
    int outcome = read_all(store, &count);
    if (outcome != OUTCOME_WRONG && ask_by_key(store, &keyed) == OUTCOME_WRONG)
        outcome = OUTCOME_WRONG;
    rc = svl_store_verify(store, NULL, NULL, NULL);
    if (outcome == OUTCOME_DAMAGED && rc == SVL_OK)
        outcome = OUTCOME_WRONG; /* verify must see what a reader sees */
    /* Nothing on the disk proves that the very last batch was flushed: only that one may be missing without
     * a word. */
    if (outcome == OUTCOME_WHOLE && rc == SVL_OK)
        outcome = count >= RECORDS - 1 && keyed == keyed_of(count) && goes_on(store, count)
                      ? OUTCOME_WHOLE
                      : OUTCOME_WRONG;
    else if (outcome == OUTCOME_WHOLE)
        outcome = OUTCOME_DAMAGED;
    svl_store_close(store);
    return outcome;
}

static void file_path(const char *directory, const char *name, char out[1024])
{
    snprintf(out, 1024, "%s/%s", directory, name);
}

/* Changes the file at `path` at random; what was done goes to `what`. */
static void damage(const char *path, struct rng *rng, char what[256])
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    off_t size = st.st_size;
    /* Most pages of a journal are unused: aim at the first ones. */
    off_t reach = rng_below(rng, 4) ? (size < 65536 ? size : 65536) : size;
    switch (rng_below(rng, 8)) {
    case 0: {
        off_t to = 104 + (off_t)rng_below(rng, (uint64_t)size - 104);
        assert_int_equal(ftruncate(fd, to), 0);
        snprintf(what, 256, "cut to %lld", (long long)to);
        break;
    }
    case 1: {
        off_t at = (off_t)rng_below(rng, (uint64_t)reach) / 4096 * 4096;
        static const char zeros[4096];
        assert_int_equal(pwrite(fd, zeros, sizeof zeros, at), sizeof zeros);
        snprintf(what, 256, "page %lld zeroed", (long long)at);
        break;
    }
    case 2: {
        char page[4096];
        off_t from = (off_t)rng_below(rng, (uint64_t)reach) / 4096 * 4096;
        off_t to = (off_t)rng_below(rng, (uint64_t)reach) / 4096 * 4096;
        if (pread(fd, page, sizeof page, from) == sizeof page)
            assert_int_equal(pwrite(fd, page, sizeof page, to), sizeof page);
        snprintf(what, 256, "page %lld over %lld", (long long)from, (long long)to);
        break;
    }
    default: {
        off_t at = (off_t)rng_below(rng, (uint64_t)reach);
        if (rng_below(rng, 2))
            at = at / 4096 * 4096 + (off_t)rng_below(rng, 160);
        uint8_t byte = 0;
        if (pread(fd, &byte, 1, at) == 1) {
            byte ^= (uint8_t)(1u << rng_below(rng, 8));
            assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        }
        snprintf(what, 256, "bit at %lld", (long long)at);
    }
    }
    close(fd);
}

static size_t list_files(const char *directory, char names[32][256])
{
    size_t n = 0;
    DIR *listing = opendir(directory);
    assert_non_null(listing);
    for (struct dirent *e; (e = readdir(listing)) && n < 32;)
        if (e->d_name[0] != '.' && !strstr(e->d_name, "lock"))
            snprintf(names[n++], 256, "%s", e->d_name);
    closedir(listing);
    return n;
}

static void test_store_when_a_file_is_damaged_then_error_or_right_records(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    static char names[32][256];
    char copy[512], path[1024], what[256];
    snprintf(original, sizeof original, "%s", temp_path());
    snprintf(copy, sizeof copy, "%s", temp_path());
    make_store();
    size_t n = list_files(original, names);
    assert_true(n >= 3);
    unsigned outcomes[4] = { 0 };
    for (int round = 0; round < ROUNDS; round++) {
        copy_tree(original, copy);
        const char *name = names[rng_below(&rng, n)];
        file_path(copy, name, path);
        damage(path, &rng, what);
        int outcome = use_in_child(use_store, copy);
        if (outcome >= OUTCOME_WRONG)
            print_error("%s: %s\n", name, what);
        assert_true(outcome < OUTCOME_WRONG);
        outcomes[outcome]++;
        remove_tree(copy);
    }
    print_message("%u unharmed, %u refused, %u with damage named\n", outcomes[OUTCOME_WHOLE],
                  outcomes[OUTCOME_REFUSED], outcomes[OUTCOME_DAMAGED]);
    assert_true(outcomes[OUTCOME_WHOLE] > 0 && outcomes[OUTCOME_REFUSED] > 0);
}

static void test_store_when_a_file_is_missing_then_said(void **state)
{
    (void)state;
    static char names[32][256];
    char copy[512], path[1024];
    snprintf(original, sizeof original, "%s", temp_path());
    snprintf(copy, sizeof copy, "%s", temp_path());
    make_store();
    size_t n = list_files(original, names);
    for (size_t i = 0; i < n; i++) {
        copy_tree(original, copy);
        file_path(copy, names[i], path);
        assert_int_equal(unlink(path), 0);
        int outcome = use_in_child(use_store, copy);
        if (strcmp(names[i], "bell") == 0)
            assert_int_equal(outcome, OUTCOME_WHOLE); /* made anew */
        else if (strncmp(names[i], "journal.", 8) != 0)
            assert_int_equal(outcome, OUTCOME_REFUSED);
        else
            assert_true(outcome <= OUTCOME_WRONG);
        remove_tree(copy);
    }
}

/* Flips a bit in the header of the `n`-th block in a segment's file. */
static void damage_block(const char *path, int n)
{
    static uint8_t bytes[1 << 20];
    static const char magic[] = "SVLB";
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    ssize_t size = read(fd, bytes, sizeof bytes);
    for (ssize_t i = 0; i + 8 < size; i++) {
        if (memcmp(bytes + i, magic, sizeof magic - 1) != 0 || --n >= 0)
            continue;
        bytes[i + 20] ^= 1;
        assert_int_equal(pwrite(fd, bytes + i + 20, 1, i + 20), 1);
        close(fd);
        return;
    }
    fail_msg("no such block in %s", path);
}

static void count_damage(int32_t code, const char *what, void *user)
{
    assert_int_equal(code, SVL_E_CORRUPT);
    assert_non_null(strstr(what, ".seg"));
    ++*(int *)user;
}

static void expect_one_block_damaged(svl_store *store, uint64_t from, bool by_key)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t found = 0;
    int rc, damaged = 0;
    assert_ok(svl_query_init(&query, sizeof query));
    query.id_min = from;
    if (by_key) {
        query.key_kind = SVL_KEY_PREFIX;
        query.key_low = slice_of("key-");
    }
    assert_ok(svl_store_query(store, &query, &cursor));
    while ((rc = svl_cursor_next(cursor, 0, &record)) != SVL_E_END) {
        if (rc != SVL_OK) {
            assert_int_equal(rc, SVL_E_CORRUPT);
            assert_non_null(strstr(svl_last_error(), ".seg, block of record "));
            damaged++;
        } else {
            assert_true(record->id > RECORDS || is_right(record));
            found++;
        }
    }
    assert_int_equal(damaged, 1);
    assert_true(found > RECORDS / 2);
    svl_cursor_close(cursor);
}

/* The newest blocks have no run of the key index yet: their keys are read at open. */
static void test_block_without_index_when_damaged_then_only_it_is_lost(void **state)
{
    (void)state;
    svl_store_options o = options_of();
    svl_store *store;
    char path[1024];
    snprintf(original, sizeof original, "%s", temp_path());
    make_store();
    assert_ok(svl_store_open(original, &o, &store));
    assert_ok(svl_store_close(store));
    snprintf(path, sizeof path, "%s/00000000000000000001-01.seg", original);
    damage_block(path, 2);
    for (int i = 0; i < 3; i++) {
        int findings = 0;
        assert_ok(svl_store_open(original, &o, &store));
        expect_one_block_damaged(store, 0, false);
        expect_one_block_damaged(store, 1, true);
        for (int n = 0; n < 10; n++) { /* goes on, in a segment of its own */
            svl_record record = { .key = slice_of("key-new") };
            assert_ok(svl_store_append(store, &record, 1, NULL));
        }
        assert_ok(svl_store_commit(store, -1));
        expect_one_block_damaged(store, 1, true);
        assert_int_equal(svl_store_verify(store, count_damage, NULL, &findings), SVL_E_CORRUPT);
        assert_int_equal(findings, 1);
        svl_store_stats stats = { .struct_size = sizeof stats };
        assert_ok(svl_store_stats_get(store, &stats));
        assert_true(stats.segments == 2 && stats.last_id == RECORDS + 10 * ((uint64_t)i + 1));
        assert_ok(svl_store_close(store));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_block_without_index_when_damaged_then_only_it_is_lost),
        cmocka_unit_test(test_store_when_a_file_is_damaged_then_error_or_right_records),
        cmocka_unit_test(test_store_when_a_file_is_missing_then_said),
    };
    return cmocka_run_group_tests_name("store/damage", tests, NULL, NULL);
}
