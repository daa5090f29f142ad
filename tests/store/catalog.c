/* The catalog: what was committed last is there after a reopen; what is of another version, foreign or
 * damaged is refused, or it is whole - never read wrongly, never trusted with a write. */
#define _GNU_SOURCE
#include "store/catalog.h"

#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checksum.h"
#include "store/lmdb_env.h"
#include "support/support.h"

#define MAP_BYTES (UINT64_C(1) << 30)
#define ENTRIES_MAX 64
#define FLIPS 500

static struct catalog_options options = { .directory = -1, .file_mode = 0600, .readers_max = 16 };
static char path[512], file[600], lock_file[600];
static struct rng rng;

/* The plain model. An entry that is not there has a first id, a name or a length of 0. */
struct model {
    struct catalog_state state;
    struct segment_info segments[ENTRIES_MAX]; /* of first id 100 (i + 1) */
    struct ring_name rings[ENTRIES_MAX];
    uint8_t values[ENTRIES_MAX][40];
    size_t value_lens[ENTRIES_MAX]; /* the length and one */
};

static int new_catalog(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    snprintf(file, sizeof file, "%s/catalog.mdb", path);
    snprintf(lock_file, sizeof lock_file, "%s/catalog.mdb-lock", path);
    assert_int_equal(mkdir(path, 0700), 0);
    options.directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return options.directory < 0 || svl__catalog_create(&options) != SVL_OK;
}

static int close_directory(void **state)
{
    (void)state;
    close(options.directory);
    return 0;
}

static struct catalog *open_ok(void)
{
    struct catalog *catalog;
    assert_ok(svl__catalog_open(&options, &catalog));
    return catalog;
}

static void assert_refused(int code)
{
    struct catalog *catalog = (struct catalog *)(void *)path;
    assert_int_equal(svl__catalog_open(&options, &catalog), code);
    assert_null(catalog);
}

/* --- what a random change does, to the catalog and to the model --- */

static svl_slice value_key(unsigned i, char out[32])
{
    return (svl_slice){ out, (size_t)snprintf(out, 32, "value/%u", i) };
}

static struct segment_info any_segment(unsigned i)
{
    struct segment_info s = { .first_id = 100 * (i + UINT64_C(1)), .state = SEGMENT_ACTIVE };
    s.last_id = s.first_id - 1 + rng_below(&rng, 101);
    s.generation = (uint32_t)rng_below(&rng, 100);
    s.state += (uint32_t)rng_below(&rng, 3);
    for (size_t b = 0; b < sizeof s.uuid; b++)
        s.uuid[b] = (uint8_t)rng_next(&rng);
    s.map_bytes = rng_next(&rng);
    s.blocks = rng_next(&rng);
    s.raw_bytes = rng_next(&rng);
    s.stored_bytes = rng_next(&rng);
    s.time_min_ns = (int64_t)rng_next(&rng);
    s.time_max_ns = (int64_t)rng_next(&rng);
    s.ingest_min_ns = (int64_t)rng_next(&rng);
    s.ingest_max_ns = (int64_t)rng_next(&rng);
    return s;
}

static int change_segment(struct catalog_change *change, struct model *m, unsigned i)
{
    struct segment_info s = any_segment(i);
    if (rng_below(&rng, 3) == 0) {
        m->segments[i] = (struct segment_info){ 0 };
        return svl__catalog_remove_segment(change, &s);
    }
    m->segments[i] = s;
    return svl__catalog_put_segment(change, &s);
}

static int change_ring(struct catalog_change *change, struct model *m, unsigned i)
{
    struct ring_name ring = { .directory = "" };
    memset(ring.directory, 'd', rng_below(&rng, sizeof ring.directory));
    memset(ring.name, 'n', rng_below(&rng, sizeof ring.name - 4));
    sprintf(ring.name + strlen(ring.name), "%03u", i);
    /* Another length of name is another ring: the one that was there goes. */
    int rc = m->rings[i].name[0] ? svl__catalog_remove_ring(change, &m->rings[i]) : SVL_OK;
    m->rings[i] = (struct ring_name){ .name = "" };
    if (rc != SVL_OK || rng_below(&rng, 3) == 0)
        return rc;
    m->rings[i] = ring;
    return svl__catalog_put_ring(change, &ring);
}

static int change_value(struct catalog_change *change, struct model *m, unsigned i)
{
    char key[32];
    size_t len = rng_below(&rng, sizeof m->values[i]);
    if (rng_below(&rng, 3) == 0) {
        m->value_lens[i] = 0;
        return svl__catalog_put_value(change, value_key(i, key), (svl_slice){ NULL, 0 });
    }
    m->value_lens[i] = len + 1;
    for (size_t b = 0; b < len; b++)
        m->values[i][b] = (uint8_t)rng_next(&rng);
    return svl__catalog_put_value(change, value_key(i, key), (svl_slice){ m->values[i], len });
}

static int change_state(struct catalog_change *change, struct model *m)
{
    m->state.next_id_floor = rng_next(&rng);
    m->state.retention_floor = rng_next(&rng);
    m->state.watermark = rng_next(&rng);
    m->state.last_op = rng_next(&rng);
    m->state.ingest_last_ns = (int64_t)rng_next(&rng);
    return svl__catalog_put_state(change, &m->state);
}

/* Below `entries` of each kind. */
static int change_any(struct catalog *catalog, struct model *m, unsigned entries)
{
    struct model before = *m;
    struct catalog_change *change;
    int rc = svl__catalog_begin(catalog, &change);
    if (rc != SVL_OK)
        return rc;
    for (uint64_t n = 1 + rng_below(&rng, 8); n > 0 && rc == SVL_OK; n--) {
        unsigned i = (unsigned)rng_below(&rng, entries);
        switch (rng_below(&rng, 4)) {
        case 0:
            rc = change_segment(change, m, i);
            break;
        case 1:
            rc = change_ring(change, m, i);
            break;
        case 2:
            rc = change_value(change, m, i);
            break;
        default:
            rc = change_state(change, m);
        }
    }
    if (rc == SVL_OK && rng_below(&rng, 5) != 0)
        return svl__catalog_commit(change);
    svl__catalog_abort(change);
    *m = before;
    return rc;
}

/* --- what the catalog says, against the model: SVL_OK, 1 for something wrong, or its error --- */

static int compare_segments(struct catalog *catalog, const struct model *m)
{
    struct segment_info *found;
    size_t n, at = 0;
    int rc = svl__catalog_segments(catalog, &found, &n);
    if (rc != SVL_OK)
        return rc;
    for (unsigned i = 0; i < ENTRIES_MAX; i++) {
        const struct segment_info *e = &m->segments[i];
        if (e->first_id == 0)
            continue;
        if (at == n || memcmp(&found[at++], e, sizeof *e) != 0)
            rc = 1;
    }
    svl__free(found);
    return at == n ? rc : 1;
}

static int compare_rings(struct catalog *catalog, const struct model *m)
{
    struct ring_name *found;
    size_t n, wanted = 0, same = 0;
    int rc = svl__catalog_rings(catalog, &found, &n);
    if (rc != SVL_OK)
        return rc;
    for (unsigned i = 0; i < ENTRIES_MAX; i++) {
        wanted += m->rings[i].name[0] != 0;
        for (size_t k = 0; k < n; k++)
            same += m->rings[i].name[0] && strcmp(found[k].name, m->rings[i].name) == 0 &&
                    strcmp(found[k].directory, m->rings[i].directory) == 0;
    }
    svl__free(found);
    return same == n && wanted == n ? SVL_OK : 1;
}

static int compare_values(struct catalog *catalog, const struct model *m)
{
    int rc = SVL_OK;
    for (unsigned i = 0; i < ENTRIES_MAX && rc == SVL_OK; i++) {
        char key[32];
        struct buffer found = { 0 };
        rc = svl__catalog_value(catalog, value_key(i, key), &found);
        size_t len = m->value_lens[i];
        if (rc == SVL_E_NOT_FOUND)
            rc = len == 0 ? SVL_OK : 1;
        else if (rc == SVL_OK && (len != found.len + 1 ||
                                  (found.len && memcmp(found.data, m->values[i], found.len) != 0)))
            rc = 1;
        svl__buffer_free(&found);
    }
    return rc;
}

static void no_damage(int32_t code, const char *what, void *user)
{
    (void)what;
    *(int32_t *)user = code;
}

static int compare(struct catalog *catalog, const struct model *m)
{
    struct catalog_state state;
    int32_t reported = SVL_OK;
    svl__catalog_state_get(catalog, &state);
    int rc = memcmp(&state, &m->state, sizeof state) == 0 ? SVL_OK : 1;
    if (rc == SVL_OK)
        rc = compare_segments(catalog, m);
    if (rc == SVL_OK)
        rc = compare_rings(catalog, m);
    if (rc == SVL_OK)
        rc = compare_values(catalog, m);
    if (rc == SVL_OK)
        rc = svl__catalog_verify(catalog, no_damage, &reported);
    return rc == SVL_OK && reported != SVL_OK ? 1 : rc;
}

static struct model model_start(struct catalog *catalog)
{
    struct model m = { 0 };
    svl__catalog_state_get(catalog, &m.state);
    return m;
}

static void test_catalog_when_new_then_empty_with_a_uuid_of_its_own(void **state)
{
    (void)state;
    struct catalog *catalog = open_ok();
    struct model m = model_start(catalog);
    static const uint8_t zeros[16];
    assert_memory_not_equal(m.state.store_uuid, zeros, 16);
    assert_true(m.state.next_id_floor == 1 && m.state.retention_floor == 0 &&
                m.state.watermark == 0 && m.state.last_op == 0);
    assert_int_equal(compare(catalog, &m), SVL_OK);
    svl__catalog_close(catalog);
    assert_ok(svl__catalog_create(&options));
    catalog = open_ok();
    assert_memory_not_equal(model_start(catalog).state.store_uuid, m.state.store_uuid, 16);
    svl__catalog_close(catalog);
    svl__catalog_close(NULL);
}

static void test_changes_when_committed_then_there_and_when_dropped_then_not(void **state)
{
    (void)state;
    struct catalog *catalog = open_ok();
    struct model m = model_start(catalog);
    for (int round = 0; round < 300; round++) {
        assert_ok(change_any(catalog, &m, ENTRIES_MAX));
        assert_int_equal(compare(catalog, &m), SVL_OK);
        if (rng_below(&rng, 10) == 0) {
            svl__catalog_close(catalog);
            catalog = open_ok();
            assert_int_equal(compare(catalog, &m), SVL_OK);
        }
    }
    svl__catalog_close(catalog);
}

static void test_value_key_when_at_its_limits_then_taken_or_refused(void **state)
{
    (void)state;
    struct catalog *catalog = open_ok();
    struct catalog_change *change;
    char key[481];
    memset(key, 'k', sizeof key);
    struct buffer found = { 0 };
    assert_ok(svl__catalog_begin(catalog, &change));
    assert_ok(svl__catalog_put_value(change, (svl_slice){ key, 480 }, slice_of("longest")));
    assert_ok(svl__catalog_put_value(change, (svl_slice){ key, 1 }, slice_of("")));
    for (size_t len = 0; len <= 481; len += 481) {
        svl_slice bad = { key, len };
        assert_int_equal(svl__catalog_put_value(change, bad, slice_of("x")), SVL_E_INVALID);
        assert_int_equal(svl__catalog_value(catalog, bad, &found), SVL_E_INVALID);
    }
    assert_ok(svl__catalog_commit(change));
    assert_ok(svl__catalog_value(catalog, (svl_slice){ key, 1 }, &found));
    assert_int_equal(found.len, 0);
    assert_ok(svl__catalog_value(catalog, (svl_slice){ key, 480 }, &found));
    assert_int_equal(found.len, 7);
    assert_memory_equal(found.data, "longest", 7);
    assert_int_equal(svl__catalog_value(catalog, (svl_slice){ key, 479 }, &found), SVL_E_NOT_FOUND);
    svl__buffer_free(&found);
    svl__catalog_close(catalog);
}

/* --- files of others --- */

/* What is done to the table behind the catalog's back. */
typedef void change_fn(MDB_txn *txn, MDB_dbi table);

static void with_table(unsigned flags, change_fn *apply)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_mapsize(env, MAP_BYTES), 0);
    assert_int_equal(mdb_env_open(env, file, MDB_NOSUBDIR, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, flags, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &table), 0);
    apply(txn, table);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void change_raw(change_fn *apply)
{
    with_table(0, apply);
}

/* The state's entry, as it is and as it is to be. */
static uint8_t state_found[80], state_put[80];
static size_t found_len, put_len;

static void take_state(MDB_txn *txn, MDB_dbi table)
{
    MDB_val key = { 1, (void *)(uintptr_t) "F" }, value;
    assert_int_equal(mdb_get(txn, table, &key, &value), 0);
    assert_true(value.mv_size + 8 <= sizeof state_found);
    memcpy(state_found, value.mv_data, value.mv_size);
    found_len = value.mv_size;
}

static void put_state(MDB_txn *txn, MDB_dbi table)
{
    MDB_val key = { 1, (void *)(uintptr_t) "F" }, value = { put_len, state_put };
    assert_int_equal(mdb_put(txn, table, &key, &value, 0), 0);
}

static void drop_state(MDB_txn *txn, MDB_dbi table)
{
    MDB_val key = { 1, (void *)(uintptr_t) "F" };
    assert_int_equal(mdb_del(txn, table, &key, NULL), 0);
}

/* As a version might write it that has `more` bytes of state. */
static void write_state(uint32_t version, uint32_t features, size_t more)
{
    memcpy(state_put, state_found, sizeof state_put);
    put_len = found_len + more;
    store_u32(state_put, version);
    store_u32(state_put + 4, features);
    uint64_t sum = svl__checksum_seeded(state_put, put_len - 8, svl__checksum("F", 1));
    store_u64(state_put + put_len - 8, sum);
    change_raw(put_state);
}

static void test_store_when_of_another_version_then_refused(void **state)
{
    (void)state;
    change_raw(take_state);
    write_state(1, 0, 0);
    svl__catalog_close(open_ok());
    write_state(2, 0, 0);
    assert_refused(SVL_E_VERSION);
    write_state(UINT32_MAX, 0, 8);
    assert_refused(SVL_E_VERSION);
    write_state(1, 1, 0);
    assert_refused(SVL_E_VERSION);
    write_state(1, UINT32_C(1) << 31, 8);
    assert_refused(SVL_E_VERSION);
    write_state(0, 0, 0); /* none had this number */
    assert_refused(SVL_E_CORRUPT);
    write_state(1, 0, 8);
    assert_refused(SVL_E_CORRUPT);
    write_state(1, 0, 0);
    svl__catalog_close(open_ok());
}

static void test_state_when_damaged_or_missing_then_corrupt(void **state)
{
    (void)state;
    change_raw(take_state);
    memcpy(state_put, state_found, sizeof state_put);
    for (put_len = 0; put_len < found_len; put_len++) {
        change_raw(put_state);
        assert_refused(SVL_E_CORRUPT);
    }
    for (size_t i = 8; i < found_len; i++) {
        state_put[i] ^= 1;
        change_raw(put_state);
        assert_refused(SVL_E_CORRUPT);
        state_put[i] ^= 1;
    }
    change_raw(drop_state);
    assert_refused(SVL_E_CORRUPT);
    change_raw(put_state);
    svl__catalog_close(open_ok());
}

static void write_file(const void *data, size_t len)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, data, len), len);
    close(fd);
}

static void test_file_when_not_there_or_not_ours_then_refused(void **state)
{
    (void)state;
    static uint8_t junk[3 * 4096];
    char elsewhere[700];
    unlink(file);
    assert_refused(SVL_E_NOT_FOUND);
    write_file("", 0);
    assert_refused(SVL_E_CORRUPT);
    write_file("a text of somebody's", 20);
    assert_refused(SVL_E_CORRUPT);
    for (size_t i = 0; i < sizeof junk; i++)
        junk[i] = (uint8_t)rng_next(&rng);
    write_file(junk, sizeof junk);
    assert_refused(SVL_E_CORRUPT);
    unlink(file);
    assert_ok(svl__catalog_create(&options));
    svl__catalog_close(open_ok());
    snprintf(elsewhere, sizeof elsewhere, "%s.other", path);
    assert_int_equal(rename(file, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, file), 0);
    assert_refused(SVL_E_PATH);
    unlink(file);
    assert_int_equal(link(elsewhere, file), 0);
    assert_refused(SVL_E_PATH);
    unlink(elsewhere);
    unlink(lock_file);
    svl__catalog_close(open_ok());
    assert_int_equal(symlink(elsewhere, lock_file), -1); /* the lock file is there again */
    unlink(lock_file);
    assert_int_equal(symlink(elsewhere, lock_file), 0);
    assert_refused(SVL_E_PATH);
    assert_int_equal(access(elsewhere, F_OK), -1); /* nothing was made through the link */
}

static void test_file_when_of_another_map_size_then_corrupt(void **state)
{
    (void)state;
    struct lmdb_options other = { .directory = options.directory,
                                  .name = "catalog.mdb",
                                  .file_mode = 0600,
                                  .map_bytes = UINT64_C(8) << 20,
                                  .readers_max = 16,
                                  .create = true };
    struct lmdb_env env;
    MDB_txn *txn;
    unlink(file);
    assert_ok(svl__lmdb_open(&env, &other));
    assert_ok(svl__lmdb_begin_write(&env, &txn));
    mdb_txn_abort(txn);
    svl__lmdb_close(&env);
    assert_refused(SVL_E_CORRUPT);
}

/* --- entries whose key was damaged: what they say is whole, and it is said of something else --- */

static const char *from_key, *to_key;
static size_t key_len;

static void rename_entry(MDB_txn *txn, MDB_dbi table)
{
    uint8_t bytes[200];
    MDB_val from = { key_len, (void *)(uintptr_t)from_key }, value;
    MDB_val to = { key_len, (void *)(uintptr_t)to_key };
    assert_int_equal(mdb_get(txn, table, &from, &value), 0);
    assert_true(value.mv_size <= sizeof bytes);
    memcpy(bytes, value.mv_data, value.mv_size);
    value.mv_data = bytes;
    assert_int_equal(mdb_put(txn, table, &to, &value, MDB_NOOVERWRITE), 0);
    assert_int_equal(mdb_del(txn, table, &from, NULL), 0);
}

static void put_one_of_each(struct model *m)
{
    struct catalog *catalog = open_ok();
    struct catalog_change *change;
    char key[32];
    *m = model_start(catalog);
    m->segments[0] = any_segment(0);
    m->rings[0] = (struct ring_name){ .directory = "/dir", .name = "ring" };
    m->value_lens[0] = 6;
    memcpy(m->values[0], "value", 5);
    assert_ok(svl__catalog_begin(catalog, &change));
    assert_ok(svl__catalog_put_segment(change, &m->segments[0]));
    assert_ok(svl__catalog_put_ring(change, &m->rings[0]));
    assert_ok(svl__catalog_put_value(change, value_key(0, key), slice_of("value")));
    assert_ok(svl__catalog_commit(change));
    assert_int_equal(compare(catalog, m), SVL_OK);
    svl__catalog_close(catalog);
}

static void test_key_when_damaged_then_corrupt_and_nothing_is_missed(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        size_t len;
    } cases[] = {
        { "Vvalue/0", "Vvalue/1", 8 },
        { "Vvalue/0", "Wvalue/0", 8 },
        { "Vvalue/0", "Rvalue/0", 8 },
        { "Rring", "Rrink", 5 },
        { "Rring", "Pring", 5 },
        { "Rring", "Vring", 5 },
        { "S\0\0\0\0\0\0\0\x64", "S\0\0\0\0\0\0\0\x65", 9 },
        { "S\0\0\0\0\0\0\0\x64", "T\0\0\0\0\0\0\0\x64", 9 },
        { "S\0\0\0\0\0\0\0\x64", "R\0\0\0\0\0\0\0\x64", 9 },
        { "S\0\0\0\0\0\0\0\x64", "V\0\0\0\0\0\0\0\x64", 9 },
    };
    struct model m;
    put_one_of_each(&m);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        from_key = cases[i].from;
        to_key = cases[i].to;
        key_len = cases[i].len;
        change_raw(rename_entry);
        struct catalog *catalog;
        int rc = svl__catalog_open(&options, &catalog);
        if (rc == SVL_OK)
            rc = compare(catalog, &m);
        if (rc != SVL_E_CORRUPT)
            print_error("%.*s as %.*s gave %d\n", (int)key_len, from_key, (int)key_len, to_key, rc);
        assert_int_equal(rc, SVL_E_CORRUPT);
        svl__catalog_close(catalog);
        from_key = cases[i].to;
        to_key = cases[i].from;
        change_raw(rename_entry);
    }
    struct catalog *catalog = open_ok();
    assert_int_equal(compare(catalog, &m), SVL_OK);
    svl__catalog_close(catalog);
}

/* --- bit flips --- */

enum outcome { OUTCOME_WHOLE, OUTCOME_REFUSED, OUTCOME_WRONG, OUTCOME_WRONG_AFTER_WRITES };

static bool is_refusal(int rc)
{
    return (rc == SVL_E_CORRUPT || rc == SVL_E_VERSION) && svl_last_error()[0];
}

/* In a child: reads everything, goes on writing, and reads again. */
static int use_catalog(void *user)
{
    struct model *m = user;
    struct catalog *catalog;
    int rc = svl__catalog_open(&options, &catalog);
    if (rc == SVL_OK)
        rc = compare(catalog, m);
    if (rc != SVL_OK)
        return is_refusal(rc) ? OUTCOME_REFUSED : OUTCOME_WRONG;
    for (int i = 0; rc == SVL_OK && i < 6; i++)
        rc = change_any(catalog, m, ENTRIES_MAX);
    svl__catalog_close(catalog);
    if (rc == SVL_OK)
        rc = svl__catalog_open(&options, &catalog);
    if (rc == SVL_OK)
        rc = compare(catalog, m);
    if (rc == SVL_OK)
        return OUTCOME_WHOLE;
    print_error("after writes: %d, %s\n", rc, svl_last_error());
    return OUTCOME_WRONG_AFTER_WRITES;
}

static size_t read_file(uint8_t **data)
{
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fstat(fd, &st), 0);
    *data = malloc((size_t)st.st_size);
    assert_non_null(*data);
    assert_int_equal(read(fd, *data, (size_t)st.st_size), st.st_size);
    close(fd);
    return (size_t)st.st_size;
}

/* The last two commits say the same: LMDB's meta pages have no checksum, and damage to the newer one may
 * lead to the older. */
static struct model make_catalog(int rounds, unsigned entries)
{
    struct catalog *catalog = open_ok();
    struct model m = model_start(catalog);
    for (int round = 0; round < rounds; round++)
        assert_ok(change_any(catalog, &m, entries));
    for (int i = 0; i < 2; i++) {
        struct catalog_change *change;
        assert_ok(svl__catalog_begin(catalog, &change));
        assert_ok(svl__catalog_put_state(change, &m.state));
        assert_ok(svl__catalog_commit(change));
    }
    assert_int_equal(compare(catalog, &m), SVL_OK);
    svl__catalog_close(catalog);
    return m;
}

/* What becomes of a catalog with this one bit changed. */
static int outcome_of_flip(uint8_t *whole, size_t size, size_t at, uint8_t bit, struct model *m)
{
    whole[at] ^= bit;
    write_file(whole, size);
    int outcome = use_in_child(use_catalog, m);
    whole[at] ^= bit;
    if (outcome > OUTCOME_REFUSED)
        print_error("byte %zu of page %zu, bit %#x: outcome %d\n", at % 4096, at / 4096, bit,
                    outcome);
    return outcome;
}

static void test_bit_when_flipped_then_refused_or_harmless(void **state)
{
    (void)state;
    struct model m = make_catalog(60, 16);
    uint8_t *whole;
    size_t size = read_file(&whole), refused = 0;
    for (int i = 0; i < FLIPS; i++) {
        size_t at = rng_below(&rng, size);
        while (i % 8 != 0 && whole[at] == 0) /* most of the file is free space */
            at = rng_below(&rng, size);
        uint8_t bit = (uint8_t)(1u << rng_below(&rng, 8));
        int outcome = outcome_of_flip(whole, size, at, bit, &m);
        assert_in_range(outcome, OUTCOME_WHOLE, OUTCOME_REFUSED);
        refused += outcome == OUTCOME_REFUSED;
    }
    assert_in_range(refused, 1, FLIPS - 1);
    write_file(whole, size);
    assert_int_equal(use_in_child(use_catalog, &m), OUTCOME_WHOLE);
    free(whole);
}

/* The keys that lead to a page are nowhere else: one that is wrong hides what the page holds from a lookup, and
 * lets a write put it a second time. */
static void test_branch_when_a_key_is_damaged_then_refused_or_harmless(void **state)
{
    (void)state;
    struct model m = make_catalog(300, ENTRIES_MAX);
    uint8_t *whole;
    size_t size = read_file(&whole), branches = 0, refused = 0;
    for (size_t page = 2 * 4096; page < size; page += 4096) {
        if (load_u16(whole + page + 10) != 1) /* LMDB's flag of a branch */
            continue;
        branches++;
        for (size_t i = 1; i < (load_u16(whole + page + 12) - 16u) / 2; i++) {
            size_t node = page + load_u16(whole + page + 16 + 2 * i);
            for (size_t k = 0; k < load_u16(whole + node + 6); k++) {
                int outcome =
                    outcome_of_flip(whole, size, node + 8 + k, (uint8_t)(1u << k % 8), &m);
                assert_in_range(outcome, OUTCOME_WHOLE, OUTCOME_REFUSED);
                refused += outcome == OUTCOME_REFUSED;
            }
        }
    }
    assert_true(branches > 0 && refused > 0);
    free(whole);
}

/* The lists of free pages, one behind the other. */
static uint8_t free_lists[4096];
static size_t free_lens[64], free_count;

static void take_free_lists(MDB_txn *txn, MDB_dbi table)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    size_t at = 0;
    (void)table;
    free_count = 0;
    assert_int_equal(mdb_cursor_open(txn, 0, &cursor), 0);
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        assert_true(at + value.mv_size <= sizeof free_lists && free_count < 64);
        memcpy(free_lists + at, value.mv_data, value.mv_size);
        at += free_lens[free_count++] = value.mv_size;
    }
    mdb_cursor_close(cursor);
}

static void test_free_list_when_damaged_then_refused_or_harmless(void **state)
{
    (void)state;
    struct model m = make_catalog(60, 16);
    uint8_t *whole, *found;
    size_t size, refused = 0;
    const uint8_t *list = free_lists;
    with_table(MDB_RDONLY, take_free_lists);
    assert_true(free_count > 0);
    size = read_file(&whole);
    /* Older copies of a list may lie in free pages: each one is changed in turn. */
    for (size_t i = 0; i < free_count; list += free_lens[i++]) {
        for (size_t from = 0;
             (found = memmem(whole + from, size - from, list, free_lens[i])) != NULL;
             from = (size_t)(found - whole) + free_lens[i]) {
            for (size_t at = 0; at < free_lens[i]; at++) {
                uint8_t bit = (uint8_t)(1u << rng_below(&rng, 8));
                int outcome = outcome_of_flip(whole, size, (size_t)(found - whole) + at, bit, &m);
                assert_in_range(outcome, OUTCOME_WHOLE, OUTCOME_REFUSED);
                refused += outcome == OUTCOME_REFUSED;
            }
        }
    }
    assert_true(refused > 0);
    free(whole);
}

int main(void)
{
    rng.state = test_seed();
#define CATALOG_TEST(f) cmocka_unit_test_setup_teardown(f, new_catalog, close_directory)
    const struct CMUnitTest tests[] = {
        CATALOG_TEST(test_catalog_when_new_then_empty_with_a_uuid_of_its_own),
        CATALOG_TEST(test_changes_when_committed_then_there_and_when_dropped_then_not),
        CATALOG_TEST(test_value_key_when_at_its_limits_then_taken_or_refused),
        CATALOG_TEST(test_store_when_of_another_version_then_refused),
        CATALOG_TEST(test_state_when_damaged_or_missing_then_corrupt),
        CATALOG_TEST(test_file_when_not_there_or_not_ours_then_refused),
        CATALOG_TEST(test_file_when_of_another_map_size_then_corrupt),
        CATALOG_TEST(test_key_when_damaged_then_corrupt_and_nothing_is_missed),
        CATALOG_TEST(test_bit_when_flipped_then_refused_or_harmless),
        CATALOG_TEST(test_branch_when_a_key_is_damaged_then_refused_or_harmless),
        CATALOG_TEST(test_free_list_when_damaged_then_refused_or_harmless),
    };
    return cmocka_run_group_tests_name("store/catalog", tests, NULL, NULL);
}
