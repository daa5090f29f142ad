/* keyruns.c - merging key sets into a run, and looking up in runs. */
#include "keyruns.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "keyset.h"
#include "record/wire.h"

#define RUN_PREFIX 4

/* --- merging ---
 *
 * A tournament of the sets' next keys. Leaf `i` of the tree is set `i`; an inner node keeps who lost there, node 0 who
 * has won it all. When the winner's next key comes, only the matches on its way up are played again: one a level,
 * mostly by numbers that lie close together, as a key's head is taken behind what all keys begin with.
 *
 *            0: winner
 *            1: loser of the final
 *        2: loser      3: loser
 *       set 0  set 1  set 2  set 3 */

struct contender {
    svl_slice key;
    struct key_set *set;
    uint64_t id;         /* of the set's block */
    uint32_t next, left; /* left: keys of the set from this one on */
};

struct player {
    uint64_t head; /* of the contender's key; UINT64_MAX once it has none left */
    uint32_t number;
};

struct tournament {
    struct contender *contenders; /* one a leaf: a set, perhaps an empty one, or nothing */
    struct player *losers;        /* of node 1 on; at 0 the winner */
    uint32_t leaves;              /* a power of two */
    size_t shared;                /* bytes that all keys begin with */
};

/* Heads are equal. By key, then by number, so that ids of one key come ascending; who has no key left comes last. */
static bool wins_tie(const struct tournament *t, uint32_t a, uint32_t b)
{
    const struct contender *x = &t->contenders[a], *y = &t->contenders[b];
    if (x->left == 0 || y->left == 0)
        return x->left != 0;
    int order = svl__key_compare(x->key, y->key);
    return order != 0 ? order < 0 : a < b;
}

/* Changes the two about where `*loser` beats `*winner`. By arithmetic: who wins cannot be predicted. */
static inline void play(const struct tournament *t, struct player *loser, struct player *winner)
{
    bool beats = loser->head < winner->head;
    if (loser->head == winner->head)
        beats = wins_tie(t, loser->number, winner->number);
    uint64_t heads = (loser->head ^ winner->head) & -(uint64_t)beats;
    uint32_t numbers = (loser->number ^ winner->number) & -(uint32_t)beats;
    *loser = (struct player){ loser->head ^ heads, loser->number ^ numbers };
    *winner = (struct player){ winner->head ^ heads, winner->number ^ numbers };
}

/* The contender comes with the key that `next` and `left` say. */
static struct player enter(const struct tournament *t, uint32_t number)
{
    struct contender *c = &t->contenders[number];
    if (c->left == 0)
        return (struct player){ UINT64_MAX, number };
    c->key = svl__key_set_at(c->set, c->next);
    __builtin_prefetch((const uint8_t *)c->key.data + c->key.len); /* where its next one is */
    return (struct player){ key_head(c->key, t->shared), number };
}

/* What all keys of all sets begin with: what the first and the last of each set do. */
static size_t shared_by_sets(struct key_set *const *sets, size_t n)
{
    svl_slice shared = { NULL, 0 };
    for (size_t i = 0; i < n; i++) {
        uint32_t count = svl__key_set_count(sets[i]);
        if (count == 0)
            continue;
        if (!shared.data)
            shared = svl__key_set_at(sets[i], 0);
        shared.len = svl__key_shared(shared, svl__key_set_at(sets[i], 0));
        shared.len = svl__key_shared(shared, svl__key_set_at(sets[i], count - 1));
    }
    return shared.len;
}

static bool tournament_begin(struct tournament *t, struct key_set *const *sets, size_t n)
{
    *t = (struct tournament){ .leaves = 1, .shared = shared_by_sets(sets, n) };
    while (t->leaves < n)
        t->leaves *= 2;
    t->contenders = svl__calloc(t->leaves, sizeof *t->contenders + 2 * sizeof *t->losers);
    if (!t->contenders)
        return false;
    t->losers = (struct player *)(t->contenders + t->leaves);
    struct player *winners = t->losers + t->leaves; /* of the round played last */
    for (uint32_t i = 0; i < t->leaves; i++) {
        if (i < n)
            t->contenders[i] = (struct contender){ .set = sets[i],
                                                   .id = svl__key_set_block(sets[i]),
                                                   .left = svl__key_set_count(sets[i]) };
        winners[i] = enter(t, i);
    }
    for (uint32_t matches = t->leaves / 2; matches > 0; matches /= 2) {
        for (uint32_t i = 0; i < matches; i++) {
            struct player *loser = &t->losers[matches + i], winner = winners[2 * i];
            *loser = winners[2 * i + 1];
            play(t, loser, &winner);
            winners[i] = winner;
        }
    }
    t->losers[0] = winners[0];
    return true;
}

static void tournament_end(struct tournament *t)
{
    svl__free(t->contenders);
}

/* Who has the least key; NULL at the end. */
static const struct contender *winner_of(const struct tournament *t)
{
    const struct contender *c = &t->contenders[t->losers[0].number];
    return c->left > 0 ? c : NULL;
}

/* The winner's key is done with: its next one plays, from the parent of its leaf up to the final. */
static void advance(struct tournament *t)
{
    uint32_t number = t->losers[0].number;
    t->contenders[number].next++;
    t->contenders[number].left--;
    struct player winner = enter(t, number);
    for (uint32_t node = (t->leaves + number) / 2; node > 0; node /= 2)
        play(t, &t->losers[node], &winner);
    t->losers[0] = winner;
}

static int put_key(MDB_cursor *cursor, uint32_t run, svl_slice key, const uint8_t *ids, size_t len)
{
    uint8_t bytes[RUN_PREFIX + RECORD_KEY_MAX];
    store_u32(bytes, __builtin_bswap32(run));
    memcpy(bytes + RUN_PREFIX, key.data, key.len);
    MDB_val k = { RUN_PREFIX + key.len, bytes }, v = { len, (void *)(uintptr_t)ids };
    return mdb_cursor_put(cursor, &k, &v, MDB_APPEND);
}

static int write_run(MDB_cursor *cursor, uint32_t run, struct tournament *t)
{
    uint8_t ids[RUN_BLOCKS * VARINT_BYTES_MAX];
    const struct contender *next = winner_of(t);
    int code = 0;
    while (next && code == 0) {
        /* The key's bytes live in the set, which outlives the tournament. */
        svl_slice key = next->key;
        uint64_t head = t->losers[0].head, id_before = 0;
        uint8_t *end = ids;
        do {
            end = put_varint(end, next->id - id_before);
            id_before = next->id;
            advance(t);
            next = winner_of(t);
        } while (next && t->losers[0].head == head && svl__key_compare(next->key, key) == 0);
        code = put_key(cursor, run, key, ids, (size_t)(end - ids));
    }
    return code;
}

int svl__keyrun_append(MDB_txn *txn, MDB_dbi table, uint32_t run, struct key_set *const *sets,
                       size_t n)
{
    struct tournament t;
    if (!tournament_begin(&t, sets, n))
        return ENOMEM;
    MDB_cursor *cursor;
    int code = mdb_cursor_open(txn, table, &cursor);
    if (code == 0) {
        code = write_run(cursor, run, &t);
        mdb_cursor_close(cursor);
    }
    tournament_end(&t);
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
