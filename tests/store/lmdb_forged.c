/* A segment whose LMDB file was forged: meta pages and the records of its tables have no checksum, so each of their
 * numbers is given every value that could lead LMDB astray. The file is refused with words, or what was committed is
 * read, and the next commit comes behind it. */
#include <stdlib.h>
#include <sys/wait.h>

#include "lmdb_bytes.h"
#include "segment_files.h"

#define MAP_BYTES (UINT64_C(3) << 20)
#define FIRST_ID 1000
#define RECORDS 10 /* a block */
#define BLOCKS 5
#define FILE_MAX (64 * PAGE)

struct field {
    const char *name;
    size_t offset, bytes;
};
static const struct field meta_fields[] = {
    { "a meta page's number", 0, 8 },  { "its flags", 10, 2 },
    { "magic", META_AT, 4 },           { "version", META_AT + 4, 4 },
    { "address", META_AT + 8, 8 },     { "map size", META_AT + 16, 8 },
    { "last page", META_AT + 120, 8 }, { "transaction", META_AT + 128, 8 },
};
/* The free list's stands at META_AT + 24 of a meta page, the main one behind it, the others in the main table. */
static const struct field table_fields[] = {
    { "pad", 0, 4 },          { "flags", 4, 2 },   { "depth", 6, 2 },
    { "branch pages", 8, 8 }, { "leaves", 16, 8 }, { "overflow pages", 24, 8 },
    { "entries", 32, 8 },     { "root", 40, 8 },
};
static const uint64_t numbers[] = { 0, 1, 2, 7, UINT32_MAX, UINT64_C(1) << 40, UINT64_MAX };

static uint8_t original[FILE_MAX];
static size_t original_size;
static struct segment_info info;
static struct block *blocks[BLOCKS + 1];
static size_t committed; /* of them; what seems whole takes one more */

static struct block *make_block(uint64_t first_id)
{
    struct records records = { .first_id = first_id };
    for (uint32_t i = 0; i < RECORDS; i++) {
        char key[16];
        int len = snprintf(key, sizeof key, "key-%d", (int)(first_id + i) % 17);
        svl_record r = { .time_ns = 1 + (int64_t)i,
                         .key = { key, (size_t)len },
                         .body = words("a body of some length, and more than a few bytes of it") };
        records_add(&records, &r, 7);
    }
    struct block *block = block_of(SVL_CODEC_NONE, &records);
    records_free(&records);
    return block;
}

static void file_name(char path[600])
{
    char name[SEGMENT_NAME_BYTES];
    svl__segment_name(&info, name);
    snprintf(path, 600, "%s/%s", place_path, name);
}

static void write_file(const uint8_t *data, size_t size)
{
    char path[600];
    file_name(path);
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
}

static void read_file(void)
{
    char path[600];
    file_name(path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, original, sizeof original);
    assert_in_range(n, 3 * PAGE, sizeof original - 1);
    original_size = (size_t)n;
    close(fd);
}

/* With `n` blocks, one of which waits for the key index. */
static void make_segment(size_t n)
{
    for (uint64_t i = 0; i <= BLOCKS; i++)
        blocks[i] = make_block(FIRST_ID + i * RECORDS);
    struct segment *segment = segment_new(FIRST_ID, MAP_BYTES);
    for (size_t i = 0; i < n; i++)
        assert_ok(svl__segment_commit(segment, &blocks[i], 1, i + 2 == n));
    svl__segment_info_get(segment, &info);
    svl__segment_close(segment);
    read_file();
    committed = n;
}

static int make_filled(void **state)
{
    int failed = place_new(state);
    make_segment(BLOCKS);
    return failed;
}

static int make_empty(void **state)
{
    int failed = place_new(state);
    make_segment(0);
    return failed;
}

static int drop_segment(void **state)
{
    for (size_t i = 0; i <= BLOCKS; i++)
        svl__block_release(blocks[i]);
    return place_close(state);
}

/* --- in a child --- */

/* NO_INDEX, NO_COMMIT: it opens, has all blocks, and takes no more. */
enum outcome {
    OUTCOME_WHOLE,
    OUTCOME_REFUSED,
    OUTCOME_NO_INDEX,
    OUTCOME_NO_COMMIT,
    OUTCOMES,
    OUTCOME_WRONG
};

static bool has_blocks(struct segment *segment, size_t n)
{
    struct buffer bytes = { 0 };
    struct zone zones[BLOCKS + 2];
    size_t found;
    bool all =
        svl__segment_zones(segment, 1, UINT64_MAX, false, zones, BLOCKS + 2, &found) == SVL_OK &&
        found == n;
    for (size_t i = 0; all && i < n; i++)
        all = svl__segment_read_block(segment, blocks[i]->zone.first_id, &bytes) == SVL_OK &&
              bytes.len == blocks[i]->len && memcmp(bytes.data, blocks[i]->data, bytes.len) == 0 &&
              memcmp(&zones[i], &blocks[i]->zone, sizeof zones[i]) == 0;
    svl__buffer_free(&bytes);
    return all;
}

static const struct key_condition condition = { .kind = SVL_KEY_EXACT, .low = { "key-3", 5 } };

static bool has_all(struct segment *segment, size_t n)
{
    struct buffer bytes = { 0 };
    size_t holders = 0;
    for (size_t i = 0; i < n; i++)
        holders += svl__key_set_matches(blocks[i]->keys, &condition);
    bool is_whole, all = has_blocks(segment, n) &&
                         svl__segment_find_keys(segment, &condition, 1, UINT64_MAX, &bytes,
                                                &is_whole) == SVL_OK &&
                         bytes.len == holders * sizeof(uint64_t);
    svl__buffer_free(&bytes);
    return all;
}

static bool refuses_index(struct segment *segment)
{
    struct buffer bytes = { 0 };
    bool is_whole;
    int rc = svl__segment_find_keys(segment, &condition, 1, UINT64_MAX, &bytes, &is_whole);
    svl__buffer_free(&bytes);
    return rc == SVL_E_CORRUPT && !is_whole && strstr(svl_last_error(), ".seg");
}

/* It takes nothing more; what can be read is as it was. */
static int use_closed(struct segment *segment)
{
    bool has_index = !refuses_index(segment);
    if (svl__segment_check_commit(segment) != SVL_E_CORRUPT || !has_blocks(segment, committed) ||
        refuses_index(segment) == has_index || (has_index && !has_all(segment, committed)))
        return OUTCOME_WRONG;
    return has_index ? OUTCOME_NO_COMMIT : OUTCOME_NO_INDEX;
}

static int use_open(struct segment *segment, bool asks_first)
{
    if (asks_first && refuses_index(segment))
        return use_closed(segment);
    if (asks_first && !has_all(segment, committed))
        return OUTCOME_WRONG;
    int rc = svl__segment_check_commit(segment);
    if (rc == SVL_E_CORRUPT && strstr(svl_last_error(), ".seg"))
        return use_closed(segment);
    if (rc == SVL_OK)
        rc = svl__segment_commit(segment, &blocks[committed], 1, true);
    return rc == SVL_OK && has_all(segment, committed + 1) ? OUTCOME_WHOLE : OUTCOME_WRONG;
}

/* Whoever needs the index first has it checked: a lookup, or a commit. */
static int use_segment(void *user)
{
    const bool *asks_first = user;
    struct segment *segment;
    int rc = svl__segment_open(&place, &info, &segment);
    if (rc != SVL_OK)
        return (rc == SVL_E_CORRUPT || rc == SVL_E_VERSION) && strstr(svl_last_error(), ".seg")
                   ? OUTCOME_REFUSED
                   : OUTCOME_WRONG;
    int outcome = use_open(segment, *asks_first);
    svl__segment_close(segment);
    if (outcome != OUTCOME_WHOLE)
        return outcome;
    if (svl__segment_open(&place, &info, &segment) != SVL_OK || !has_all(segment, committed + 1))
        return OUTCOME_WRONG;
    svl__segment_close(segment);
    return OUTCOME_WHOLE;
}

/* --- forging --- */

static unsigned outcomes[OUTCOMES];

/* A meta page is of all tables: what it says of the last page, or of the last transaction, may be wrong for one. */
static bool is_allowed(const char *table, int outcome)
{
    bool is_of_meta = strncmp(table, "meta ", 5) == 0;
    bool is_of_index = strcmp(table, "keys") == 0 || strcmp(table, "keyfilters") == 0;
    bool is_of_free_list = strncmp(table, "free list", 9) == 0;
    return outcome == OUTCOME_WHOLE || outcome == OUTCOME_REFUSED ||
           (outcome == OUTCOME_NO_INDEX && (is_of_index || is_of_meta)) ||
           (outcome == OUTCOME_NO_COMMIT && (is_of_free_list || is_of_meta));
}

static void forge(const char *table, const struct field *field, size_t at, uint64_t value)
{
    static uint8_t forged[FILE_MAX];
    memcpy(forged, original, original_size);
    memcpy(forged + at + field->offset, &value, field->bytes);
    if (memcmp(forged, original, original_size) == 0)
        return;
    for (int order = 0; order < 2; order++) {
        bool asks_first = order == 0;
        write_file(forged, original_size);
        int outcome = use_in_child(use_segment, &asks_first);
        if (!is_allowed(table, outcome))
            fail_msg("%s, %s of %#llx: outcome %d\n", table, field->name, (unsigned long long)value,
                     outcome);
        outcomes[outcome]++;
    }
}

#define COUNT(fields) (sizeof(fields) / sizeof((fields)[0]))

/* Small and huge ones, each bit, and what is one more and one less than the truth: the nearest to be believed. */
static void forge_all(const char *table, const struct field *fields, size_t n, size_t at)
{
    for (size_t f = 0; f < n; f++) {
        uint64_t truth = 0;
        memcpy(&truth, original + at + fields[f].offset, fields[f].bytes);
        for (size_t v = 0; v < COUNT(numbers); v++)
            forge(table, &fields[f], at, numbers[v]);
        for (unsigned bit = 0; bit < 16 && fields[f].bytes == 2; bit++)
            forge(table, &fields[f], at, truth ^ UINT64_C(1) << bit);
        forge(table, &fields[f], at, truth + 1);
        forge(table, &fields[f], at, truth - 1);
    }
}

static void test_meta_page_when_forged_then_refused_or_harmless(void **state)
{
    (void)state;
    for (size_t page = 0; page < 2; page++) {
        size_t at = page * PAGE;
        forge_all(page ? "meta 1" : "meta 0", meta_fields, COUNT(meta_fields), at);
        at += META_AT + 24;
        forge_all(page ? "free list of 1" : "free list of 0", table_fields, COUNT(table_fields),
                  at);
        forge_all(page ? "main table of 1" : "main table of 0", table_fields, COUNT(table_fields),
                  at + TABLE_BYTES);
    }
    assert_true(outcomes[OUTCOME_REFUSED] > 0);
}

static const char *const names[] = { "blocks", "zones", "keys", "keyfilters", "meta" };

static void forge_records(void)
{
    for (size_t i = 0; i < COUNT(names); i++)
        forge_all(names[i], table_fields, COUNT(table_fields), find_table(original, names[i]));
}

static void test_table_when_its_record_is_forged_then_refused_or_harmless(void **state)
{
    (void)state;
    forge_records();
}

static void test_empty_table_when_its_record_is_forged_then_refused_or_harmless(void **state)
{
    (void)state;
    forge_records();
}

/* Every table's root becomes every other page: a tree of another table, a free page, an overflow page. */
static void test_root_when_it_is_another_page_then_refused_or_harmless(void **state)
{
    (void)state;
    const struct field root = { "root", 40, 8 };
    for (uint64_t page = 0; page <= original_size / PAGE; page++) {
        for (size_t i = 0; i < COUNT(names); i++)
            forge(names[i], &root, find_table(original, names[i]), page);
        for (size_t meta = 0; meta < 2; meta++)
            for (size_t i = 0; i < 2; i++)
                forge(i ? "main" : "free list", &root, meta * PAGE + META_AT + 24 + i * TABLE_BYTES,
                      page);
    }
    assert_true(outcomes[OUTCOME_NO_INDEX] > 0 && outcomes[OUTCOME_NO_COMMIT] > 0);
}

int main(void)
{
    chance_start();
    segment_files_unused();
#define FORGED_TEST(f, make) cmocka_unit_test_setup_teardown(f, make, drop_segment)
    const struct CMUnitTest tests[] = {
        FORGED_TEST(test_meta_page_when_forged_then_refused_or_harmless, make_filled),
        FORGED_TEST(test_table_when_its_record_is_forged_then_refused_or_harmless, make_filled),
        FORGED_TEST(test_empty_table_when_its_record_is_forged_then_refused_or_harmless,
                    make_empty),
        FORGED_TEST(test_root_when_it_is_another_page_then_refused_or_harmless, make_filled),
    };
    int failed = cmocka_run_group_tests_name("store/lmdb_forged", tests, NULL, NULL);
    print_message("%u harmless, %u refused, %u without an index, %u without commits\n",
                  outcomes[OUTCOME_WHOLE], outcomes[OUTCOME_REFUSED], outcomes[OUTCOME_NO_INDEX],
                  outcomes[OUTCOME_NO_COMMIT]);
    return failed;
}
