/* keyruns.c - merging key sets into a run, and looking up in runs. */
#include "keyruns.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "record/wire.h"

#define RUN_PREFIX 4

/* --- merging: a heap of the sets' next keys --- */

struct source {
    struct key_set *set;
    uint32_t next;
};

struct merge {
    struct source *heap;
    size_t count;
};

/* By key, then by block, so that ids of one key come ascending. */
static bool before(const struct source *a, const struct source *b)
{
    int order =
        svl__key_compare(svl__key_set_at(a->set, a->next), svl__key_set_at(b->set, b->next));
    if (order != 0)
        return order < 0;
    return svl__key_set_block(a->set) < svl__key_set_block(b->set);
}

static void sift_down(struct merge *m, size_t at)
{
    for (;;) {
        size_t least = at, left = 2 * at + 1, right = left + 1;
        if (left < m->count && before(&m->heap[left], &m->heap[least]))
            least = left;
        if (right < m->count && before(&m->heap[right], &m->heap[least]))
            least = right;
        if (least == at)
            return;
        struct source moved = m->heap[at];
        m->heap[at] = m->heap[least];
        m->heap[least] = moved;
        at = least;
    }
}

static void advance(struct merge *m)
{
    struct source *top = &m->heap[0];
    if (++top->next == svl__key_set_count(top->set))
        *top = m->heap[--m->count];
    sift_down(m, 0);
}

static int put_key(MDB_txn *txn, MDB_dbi table, uint32_t run, svl_slice key, const uint8_t *ids,
                   size_t len)
{
    uint8_t bytes[RUN_PREFIX + RECORD_KEY_MAX];
    store_u32(bytes, __builtin_bswap32(run));
    memcpy(bytes + RUN_PREFIX, key.data, key.len);
    MDB_val k = { RUN_PREFIX + key.len, bytes }, v = { len, (void *)(uintptr_t)ids };
    return mdb_put(txn, table, &k, &v, MDB_APPEND);
}

static int write_run(MDB_txn *txn, MDB_dbi table, uint32_t run, struct merge *m)
{
    uint8_t ids[RUN_BLOCKS * VARINT_BYTES_MAX];
    int code = 0;
    while (m->count > 0 && code == 0) {
        svl_slice key = svl__key_set_at(m->heap[0].set, m->heap[0].next);
        uint8_t *end = ids;
        uint64_t id_before = 0;
        /* The key's bytes live in the set, which outlives the heap's steps. */
        while (m->count > 0 &&
               svl__key_compare(svl__key_set_at(m->heap[0].set, m->heap[0].next), key) == 0) {
            uint64_t id = svl__key_set_block(m->heap[0].set);
            end = put_varint(end, id - id_before);
            id_before = id;
            advance(m);
        }
        code = put_key(txn, table, run, key, ids, (size_t)(end - ids));
    }
    return code;
}

int svl__keyrun_append(MDB_txn *txn, MDB_dbi table, uint32_t run, struct key_set *const *sets,
                       size_t n)
{
    struct merge m = { svl__malloc(n * sizeof *m.heap), 0 };
    if (!m.heap)
        return ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (svl__key_set_count(sets[i]) > 0)
            m.heap[m.count++] = (struct source){ sets[i], 0 };
    for (size_t i = m.count / 2; i-- > 0;)
        sift_down(&m, i);
    int code = write_run(txn, table, run, &m);
    svl__free(m.heap);
    return code;
}

/* --- lookup --- */

static int take_ids(const MDB_val *value, struct buffer *out)
{
    struct reader r = reader_of(value->mv_data, value->mv_size);
    uint64_t id = 0;
    while (reader_left(&r) > 0) {
        uint64_t delta = read_varint(&r);
        if (r.failed || delta == 0 || __builtin_add_overflow(id, delta, &id))
            return svl__fail(SVL_E_CORRUPT, "an entry of the key index");
        svl__buffer_append(out, &id, sizeof id);
    }
    return out->failed ? SVL_E_NOMEM : SVL_OK;
}

/* From the first key of the run that can match on, until one lies behind the condition. *run becomes the
 * next one that may hold something: the file's number of runs may be any, but entries are as many as they are. */
static int find_in_run(MDB_cursor *cursor, uint32_t *run, const struct key_condition *condition,
                       struct buffer *out, int *code)
{
    uint8_t bytes[RUN_PREFIX + RECORD_KEY_MAX];
    store_u32(bytes, __builtin_bswap32(*run));
    if (condition->low.len > 0)
        memcpy(bytes + RUN_PREFIX, condition->low.data, condition->low.len);
    MDB_val key = { RUN_PREFIX + condition->low.len, bytes }, value;
    *code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (*code == 0) {
        const uint8_t *found = key.mv_data;
        uint32_t of = key.mv_size > RUN_PREFIX ? __builtin_bswap32(load_u32(found)) : 0;
        if (key.mv_size <= RUN_PREFIX || of < *run)
            return svl__fail(SVL_E_CORRUPT, "an entry of the key index, or its place");
        svl_slice raw = { found + RUN_PREFIX, key.mv_size - RUN_PREFIX };
        int place = of == *run ? svl__key_locate(condition, raw) : 0;
        if (of != *run || place > 0) {
            *run = of != *run ? of : *run + 1;
            return SVL_OK;
        }
        int rc = place == 0 ? take_ids(&value, out) : SVL_OK;
        if (rc != SVL_OK)
            return rc;
        *code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    if (*code == MDB_NOTFOUND) {
        *code = 0;
        *run = UINT32_MAX;
    }
    return SVL_OK;
}

int svl__keyruns_find(MDB_txn *txn, MDB_dbi table, uint32_t runs,
                      const struct key_condition *condition, struct buffer *out, int *code)
{
    MDB_cursor *cursor;
    *code = mdb_cursor_open(txn, table, &cursor);
    if (*code != 0)
        return SVL_OK;
    int rc = SVL_OK;
    for (uint32_t run = 0; run < runs && rc == SVL_OK && *code == 0;) {
        rc = find_in_run(cursor, &run, condition, out, code);
        /* A wide range names a block many times over: keep memory by the number of blocks. */
        if (out->len > RUN_BLOCKS * sizeof(uint64_t) * 4)
            svl__ids_sort_unique(out);
    }
    mdb_cursor_close(cursor);
    return rc;
}

int svl__keyruns_count(MDB_txn *txn, MDB_dbi table, uint64_t *ids, int *code)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    struct buffer found = { 0 };
    int rc = SVL_OK;
    *ids = 0;
    *code = mdb_cursor_open(txn, table, &cursor);
    if (*code != 0)
        return SVL_OK;
    while (rc == SVL_OK && (*code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        found.len = 0;
        rc = take_ids(&value, &found);
        *ids += found.len / sizeof(uint64_t);
    }
    if (*code == MDB_NOTFOUND)
        *code = 0;
    mdb_cursor_close(cursor);
    svl__buffer_free(&found);
    return rc;
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = load_u64(a), y = load_u64(b);
    return (x > y) - (x < y);
}

void svl__ids_sort_unique(struct buffer *ids)
{
    size_t n = ids->len / sizeof(uint64_t), kept = 0;
    if (n == 0)
        return;
    uint64_t *at = (uint64_t *)(void *)ids->data;
    qsort(at, n, sizeof *at, compare_ids);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || at[i] != at[kept - 1])
            at[kept++] = at[i];
    ids->len = kept * sizeof *at;
}
