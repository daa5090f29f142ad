/* keyfilter.c - filters over the keys of runs: made, asked, checked. */
#include "keyfilter.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/checksum.h"
#include "base/error.h"
#include "keychunk.h"

#define WORDS 7
#define WORD_BITS 6u
#define LINE_BITS 22u

/* Where one line is, and what it is the line of. */
struct line {
    const uint8_t *bytes;
    uint64_t run, lines, number;
};

static uint64_t hash_of(const struct key_filters *filters, svl_slice key)
{
    return svl__checksum_seeded(key.data, key.len, filters->place);
}

static uint64_t seal_of(const struct key_filters *filters, const struct line *line)
{
    uint64_t what[] = { line->run, line->lines, line->number };
    return svl__checksum_seeded(line->bytes, WORDS * sizeof(uint64_t),
                                svl__checksum_seeded(what, sizeof what, filters->place));
}

static bool is_sealed(const struct key_filters *filters, const struct line *line)
{
    return load_u64(line->bytes + WORDS * sizeof(uint64_t)) == seal_of(filters, line);
}

static uint64_t line_of(uint64_t hash, uint64_t lines)
{
    return ((hash >> (64 - LINE_BITS)) * lines) >> LINE_BITS;
}

/* The hash's bit in the word. */
static uint64_t bit_of(uint64_t hash, unsigned word)
{
    return UINT64_C(1) << (hash >> (word * WORD_BITS) & 63);
}

static const uint8_t *line_at(const void *filter, uint64_t number)
{
    return (const uint8_t *)filter + FILTER_HEAD_BYTES + number * FILTER_LINE_BYTES;
}

/* --- making ---
 *
 * How many keys a run will have is not known before they are merged: so it begins with lines for as many as there may
 * be, and in the end each two neighbours become one as often as there are twice as many as needed. A key's line is then
 * the half of what it was, by its definition. */

/* A key may be in all blocks of the run: what there may be is up to so many times what there is, and can be halved as
 * often. */
#define LINES_MULTIPLE RUN_BLOCKS

static uint64_t lines_for(uint64_t keys)
{
    return (keys + FILTER_LINE_KEYS - 1) / FILTER_LINE_KEYS;
}

int svl__keyfilter_begin(struct key_filter_writer *writer, const struct key_filters *filters,
                         uint64_t keys_max)
{
    *writer = (struct key_filter_writer){ .filters = filters };
    if (!filters->are_there)
        return 0;
    writer->line_count = align_up(lines_for(keys_max), LINES_MULTIPLE);
    writer->lines = svl__calloc(writer->line_count, FILTER_LINE_BYTES);
    return writer->lines ? 0 : ENOMEM;
}

void svl__keyfilter_end(struct key_filter_writer *writer)
{
    svl__free(writer->lines);
    writer->lines = NULL;
}

void svl__keyfilter_add(struct key_filter_writer *writer, svl_slice key)
{
    if (!writer->lines)
        return;
    uint64_t hash = hash_of(writer->filters, key);
    uint8_t *line = writer->lines + line_of(hash, writer->line_count) * FILTER_LINE_BYTES;
    for (unsigned word = 0; word < WORDS; word++) {
        uint8_t *at = line + word * sizeof(uint64_t);
        store_u64(at, load_u64(at) | bit_of(hash, word));
    }
    writer->keys++;
}

/* Neighbours become one: what either names, that one names. */
static void halve(struct key_filter_writer *writer)
{
    writer->line_count /= 2;
    for (uint64_t i = 0; i < writer->line_count; i++) {
        uint8_t *line = writer->lines + i * FILTER_LINE_BYTES;
        const uint8_t *two = writer->lines + 2 * i * FILTER_LINE_BYTES;
        for (unsigned word = 0; word < WORDS; word++) {
            const uint8_t *from = two + word * sizeof(uint64_t);
            store_u64(line + word * sizeof(uint64_t),
                      load_u64(from) | load_u64(from + FILTER_LINE_BYTES));
        }
    }
}

int svl__keyfilter_put(struct key_filter_writer *writer, uint32_t run)
{
    const struct key_filters *filters = writer->filters;
    uint64_t number = run;
    if (!writer->lines)
        return 0;
    while (writer->line_count > 1 && writer->line_count % 2 == 0 &&
           writer->line_count / 2 >= lines_for(writer->keys))
        halve(writer);
    size_t len = writer->line_count * FILTER_LINE_BYTES;
    MDB_val key = { sizeof number, &number }, value = { FILTER_HEAD_BYTES + len, NULL };
    int code = mdb_put(filters->txn, filters->table, &key, &value, MDB_RESERVE);
    if (code != 0)
        return code;
    uint8_t *lines = (uint8_t *)value.mv_data + FILTER_HEAD_BYTES;
    memset(value.mv_data, 0, FILTER_HEAD_BYTES);
    memcpy(lines, writer->lines, len);
    for (uint64_t i = 0; i < writer->line_count; i++) {
        uint8_t *at = lines + i * FILTER_LINE_BYTES;
        struct line line = { at, run, writer->line_count, i };
        store_u64(at + WORDS * sizeof(uint64_t), seal_of(filters, &line));
    }
    return 0;
}

/* --- asking --- */

static int damaged(uint64_t run, const char *what)
{
    return svl__fail(SVL_E_CORRUPT,
                     "key index, filter of run %llu: %s; the run is searched without it",
                     (unsigned long long)run, what);
}

/* How many lines the filter has; 0: it cannot be one. */
static uint64_t count_lines(const MDB_val *value)
{
    size_t size = value->mv_size;
    bool fits = size > FILTER_HEAD_BYTES && (size - FILTER_HEAD_BYTES) % FILTER_LINE_BYTES == 0;
    return fits ? (size - FILTER_HEAD_BYTES) / FILTER_LINE_BYTES : 0;
}

/* The line that the hash is asked of, on its way into the cache. */
static int find_line(const MDB_val *key, const MDB_val *value, uint64_t hash, struct line *line)
{
    *line = (struct line){ .run = load_u64(key->mv_data), .lines = count_lines(value) };
    if (line->lines == 0)
        return damaged(line->run, "its size");
    line->number = line_of(hash, line->lines);
    line->bytes = line_at(value->mv_data, line->number);
    __builtin_prefetch(line->bytes);
    return SVL_OK;
}

static bool may_have(const struct line *line, uint64_t hash)
{
    uint64_t missing = 0;
    for (unsigned word = 0; word < WORDS; word++)
        missing |= ~load_u64(line->bytes + word * sizeof(uint64_t)) & bit_of(hash, word);
    return missing == 0;
}

/* The lines to read, of runs [first, first + n), on their way before the first is looked at; one of a filter that
 * cannot be one has no bytes. */
static int find_lines(MDB_cursor *cursor, uint64_t hash, uint64_t first, uint32_t n,
                      struct line *lines, uint32_t *found, int *code)
{
    uint64_t from = first;
    MDB_val key = { sizeof from, &from }, value;
    int rc = SVL_OK;
    *found = 0;
    *code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (*code == 0 && *found < n) {
        if (key.mv_size != sizeof from || load_u64(key.mv_data) < from)
            return svl__fail(SVL_E_CORRUPT, "key index, filters: out of order");
        if (load_u64(key.mv_data) - first >= n)
            return rc;
        from = load_u64(key.mv_data) + 1;
        int one = find_line(&key, &value, hash, &lines[(*found)++]);
        rc = one != SVL_OK ? one : rc;
        *code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    if (*code == MDB_NOTFOUND)
        *code = 0;
    return rc;
}

/* Drops from *runs, whose bit 0 is run `first`, those whose lines say that they do not have the key. */
static int drop_runs(const struct key_filters *filters, uint64_t hash, uint64_t first,
                     const struct line *lines, uint32_t n, uint64_t *runs)
{
    int rc = SVL_OK;
    for (uint32_t i = 0; i < n; i++) {
        if (!lines[i].bytes)
            continue;
        if (!is_sealed(filters, &lines[i]))
            rc = damaged(lines[i].run, "damaged");
        else if (!may_have(&lines[i], hash))
            *runs &= ~(UINT64_C(1) << (lines[i].run - first));
    }
    return rc;
}

int svl__keyfilters_ask(const struct key_filters *filters, svl_slice key, uint32_t first,
                        uint32_t n, uint64_t *runs, int *code)
{
    struct line lines[FILTERS_ASKED_MAX];
    uint64_t hash = hash_of(filters, key);
    uint32_t found;
    MDB_cursor *cursor;
    *runs = UINT64_MAX >> (FILTERS_ASKED_MAX - n);
    *code = 0;
    if (!filters->are_there)
        return SVL_OK;
    *code = mdb_cursor_open(filters->txn, filters->table, &cursor);
    if (*code != 0)
        return SVL_OK;
    int rc = find_lines(cursor, hash, first, n, lines, &found, code);
    int dropped = drop_runs(filters, hash, first, lines, found, runs);
    mdb_cursor_close(cursor);
    return rc != SVL_OK ? rc : dropped;
}

/* --- checking --- */

static int check(const struct key_filters *filters, uint32_t runs, const MDB_val *key,
                 const MDB_val *value)
{
    static const uint8_t zeros[FILTER_HEAD_BYTES];
    if (key->mv_size != sizeof(uint64_t))
        return svl__fail(SVL_E_CORRUPT, "key index, filters: one of no run");
    struct line line = { .run = load_u64(key->mv_data), .lines = count_lines(value) };
    if (line.run >= runs)
        return damaged(line.run, "there is no such run");
    if (line.lines == 0 || memcmp(value->mv_data, zeros, sizeof zeros) != 0)
        return damaged(line.run, "it has not the form of one");
    for (; line.number < line.lines; line.number++) {
        line.bytes = line_at(value->mv_data, line.number);
        if (!is_sealed(filters, &line))
            return damaged(line.run, "damaged");
    }
    return SVL_OK;
}

int svl__keyfilters_check(const struct key_filters *filters, uint32_t runs, int *code)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = SVL_OK;
    *code = 0;
    if (!filters->are_there)
        return SVL_OK;
    *code = mdb_cursor_open(filters->txn, filters->table, &cursor);
    if (*code != 0)
        return SVL_OK;
    while (rc == SVL_OK && (*code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        rc = check(filters, runs, &key, &value);
    mdb_cursor_close(cursor);
    if (*code == MDB_NOTFOUND)
        *code = 0;
    return rc;
}
