/* keyfilter.c - filters over the keys of runs: made, asked, checked. */
#include "keyfilter.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "keychunk.h"

/* Where one line is, and of what. */
struct asked {
    struct bloom bloom; /* without lines: it cannot be one */
    struct bloom_line line;
};

/* --- making ---
 *
 * How many keys a run will have is not known before they are merged: so it begins with lines for as many as there may
 * be, and in the end each two neighbours become one as often as there are twice as many as needed. A key's line is then
 * the half of what it was, by its definition. */

/* A key may be in all blocks of the run: what there may be is up to so many times what there is, and can be halved as
 * often. */
#define LINES_MULTIPLE RUN_BLOCKS

int svl__keyfilter_begin(struct key_filter_writer *writer, const struct key_filters *filters,
                         uint64_t keys_max)
{
    *writer = (struct key_filter_writer){ .filters = filters };
    if (!filters->are_there)
        return 0;
    uint64_t lines = align_up(svl__bloom_lines_for(keys_max), LINES_MULTIPLE);
    writer->bloom =
        (struct bloom){ svl__calloc(lines, BLOOM_LINE_BYTES), lines, filters->place, 0 };
    return writer->bloom.bytes ? 0 : ENOMEM;
}

void svl__keyfilter_end(struct key_filter_writer *writer)
{
    svl__free(writer->bloom.bytes);
    writer->bloom.bytes = NULL;
}

void svl__keyfilter_add(struct key_filter_writer *writer, svl_slice key)
{
    if (!writer->bloom.bytes)
        return;
    svl__bloom_add(&writer->bloom, svl__bloom_hash(writer->filters->place, key));
    writer->keys++;
}

int svl__keyfilter_put(struct key_filter_writer *writer, uint32_t run)
{
    const struct key_filters *filters = writer->filters;
    struct bloom *bloom = &writer->bloom;
    uint64_t number = run;
    if (!bloom->bytes)
        return 0;
    while (bloom->lines > 1 && bloom->lines % 2 == 0 &&
           bloom->lines / 2 >= svl__bloom_lines_for(writer->keys))
        svl__bloom_halve(bloom);
    bloom->number = number;
    svl__bloom_seal(bloom);
    size_t len = bloom->lines * BLOOM_LINE_BYTES;
    MDB_val key = { sizeof number, &number }, value = { FILTER_HEAD_BYTES + len, NULL };
    int code = mdb_put(filters->txn, filters->table, &key, &value, MDB_RESERVE);
    if (code != 0)
        return code;
    memset(value.mv_data, 0, FILTER_HEAD_BYTES);
    memcpy((uint8_t *)value.mv_data + FILTER_HEAD_BYTES, bloom->bytes, len);
    return 0;
}

/* --- asking --- */

static int damaged(uint64_t run, const char *what)
{
    return svl__fail(SVL_E_CORRUPT,
                     "key index, filter of run %llu: %s; the run is searched without it",
                     (unsigned long long)run, what);
}

/* The filter that the value is; without lines: it cannot be one. Lines are only read (LMDB's memory). */
static struct bloom bloom_of(const struct key_filters *filters, const MDB_val *key,
                             const MDB_val *value)
{
    size_t size = value->mv_size, len = size - FILTER_HEAD_BYTES;
    bool fits = size > FILTER_HEAD_BYTES && len % BLOOM_LINE_BYTES == 0;
    return (struct bloom){ (uint8_t *)value->mv_data + FILTER_HEAD_BYTES,
                           fits ? len / BLOOM_LINE_BYTES : 0, filters->place,
                           load_u64(key->mv_data) };
}

/* The line that the hash is asked of, on its way into the cache. */
static int find_line(const struct key_filters *filters, const MDB_val *key, const MDB_val *value,
                     uint64_t hash, struct asked *asked)
{
    asked->bloom = bloom_of(filters, key, value);
    if (asked->bloom.lines == 0)
        return damaged(asked->bloom.number, "its size");
    asked->line = svl__bloom_line_of(&asked->bloom, hash);
    return SVL_OK;
}

/* The lines to read, of runs [first, first + n), on their way before the first is looked at. */
static int find_lines(const struct key_filters *filters, MDB_cursor *cursor, uint64_t hash,
                      uint64_t first, uint32_t n, struct asked *lines, uint32_t *found, int *code)
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
        int one = find_line(filters, &key, &value, hash, &lines[(*found)++]);
        rc = one != SVL_OK ? one : rc;
        *code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    if (*code == MDB_NOTFOUND)
        *code = 0;
    return rc;
}

/* Drops from *runs, whose bit 0 is run `first`, those whose lines say that they do not have the key. */
static int drop_runs(uint64_t hash, uint64_t first, const struct asked *lines, uint32_t n,
                     uint64_t *runs)
{
    int rc = SVL_OK;
    for (uint32_t i = 0; i < n; i++) {
        const struct bloom *bloom = &lines[i].bloom;
        if (bloom->lines == 0)
            continue;
        if (!svl__bloom_is_sealed(bloom, &lines[i].line))
            rc = damaged(bloom->number, "damaged");
        else if (!svl__bloom_may_have(&lines[i].line, hash))
            *runs &= ~(UINT64_C(1) << (bloom->number - first));
    }
    return rc;
}

int svl__keyfilters_ask(const struct key_filters *filters, svl_slice key, uint32_t first,
                        uint32_t n, uint64_t *runs, int *code)
{
    struct asked lines[FILTERS_ASKED_MAX];
    uint64_t hash = svl__bloom_hash(filters->place, key);
    uint32_t found;
    MDB_cursor *cursor;
    *runs = UINT64_MAX >> (FILTERS_ASKED_MAX - n);
    *code = 0;
    if (!filters->are_there)
        return SVL_OK;
    *code = mdb_cursor_open(filters->txn, filters->table, &cursor);
    if (*code != 0)
        return SVL_OK;
    int rc = find_lines(filters, cursor, hash, first, n, lines, &found, code);
    int dropped = drop_runs(hash, first, lines, found, runs);
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
    struct bloom bloom = bloom_of(filters, key, value);
    if (bloom.number >= runs)
        return damaged(bloom.number, "there is no such run");
    if (bloom.lines == 0 || memcmp(value->mv_data, zeros, sizeof zeros) != 0)
        return damaged(bloom.number, "it has not the form of one");
    return svl__bloom_is_whole(&bloom) ? SVL_OK : damaged(bloom.number, "damaged");
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
