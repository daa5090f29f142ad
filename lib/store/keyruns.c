/* keyruns.c - merging key sets into a run, and looking up in runs. */
#include "keyruns.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "keyset.h"
#include "record/wire.h"
#include <serverlog/store.h>

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

/* A run in the making. */
struct run_writer {
    struct key_chunk_writer chunks;
    struct key_filter_writer filter;
};

static int write_key(struct run_writer *writer, svl_slice key, svl_slice ids)
{
    svl__keyfilter_add(&writer->filter, key);
    return svl__key_chunk_add(&writer->chunks, key, ids);
}

static int write_keys(struct run_writer *writer, struct tournament *t)
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
        code = write_key(writer, key, (svl_slice){ ids, (size_t)(end - ids) });
    }
    return code == 0 ? svl__key_chunk_end(&writer->chunks) : code;
}

static uint64_t count_keys(struct key_set *const *sets, size_t n)
{
    uint64_t keys = 0;
    for (size_t i = 0; i < n; i++)
        keys += svl__key_set_count(sets[i]);
    return keys;
}

static int write_run(const struct key_runs *runs, struct run_writer *writer, struct tournament *t)
{
    MDB_cursor *cursor;
    int code = mdb_cursor_open(runs->txn, runs->table, &cursor);
    if (code != 0)
        return code;
    svl__key_chunk_begin(&writer->chunks, cursor, runs->place, runs->count);
    code = write_keys(writer, t);
    mdb_cursor_close(cursor);
    return code == 0 ? svl__keyfilter_put(&writer->filter, runs->count) : code;
}

int svl__keyrun_append(const struct key_runs *runs, struct key_set *const *sets, size_t n)
{
    struct tournament t = { 0 };
    struct run_writer *writer = svl__malloc(sizeof *writer);
    if (!writer)
        return ENOMEM;
    int code = svl__keyfilter_begin(&writer->filter, &runs->filters, count_keys(sets, n));
    if (code == 0)
        code = tournament_begin(&t, sets, n) ? write_run(runs, writer, &t) : ENOMEM;
    tournament_end(&t);
    svl__keyfilter_end(&writer->filter);
    svl__free(writer);
    return code;
}

/* --- lookup --- */

/* SVL_E_CORRUPT (bare): they are no ids that ascend. */
static int take_ids(svl_slice ids, struct buffer *out)
{
    struct reader r = reader_of(ids.data, ids.len);
    uint64_t id = 0;
    while (reader_left(&r) > 0) {
        uint64_t delta = read_varint(&r);
        if (r.failed || delta == 0 || __builtin_add_overflow(id, delta, &id))
            return SVL_E_CORRUPT;
        svl__buffer_append(out, &id, sizeof id);
    }
    return out->failed ? SVL_E_NOMEM : SVL_OK;
}

/* The ids of the chunk's keys that match: they follow each other. */
static int take_matches(const struct key_chunk *chunk, const struct key_condition *condition,
                        struct buffer *out)
{
    uint32_t low = 0, high = chunk->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (svl__key_locate(condition, svl__key_chunk_key(chunk, middle)) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    int rc = SVL_OK;
    while (rc == SVL_OK && low < chunk->count &&
           svl__key_locate(condition, svl__key_chunk_key(chunk, low)) == 0)
        rc = take_ids(svl__key_chunk_ids(chunk, low++), out);
    return rc;
}

/* The chunk found first covers the least key that can match; each one behind it follows the one before. */
static bool is_expected(const struct key_chunk *chunk, uint32_t run, const uint32_t *number,
                        const struct key_condition *condition)
{
    if (chunk->run != run)
        return false;
    if (number)
        return chunk->number == *number;
    return chunk->number == 0 ||
           svl__key_compare(svl__key_chunk_key(chunk, 0), condition->low) <= 0;
}

/* From the chunk that covers the first key that can match to the one that covers the last (K1). */
static int find_in_run(MDB_cursor *cursor, uint64_t place, uint32_t run,
                       const struct key_condition *condition, struct buffer *out, int *code)
{
    /* The next key in order is that with a zero behind it: chunks stand under what they end before. */
    uint8_t bytes[RUN_PREFIX_BYTES + RECORD_KEY_MAX + 1] = { 0 };
    store_u32(bytes, __builtin_bswap32(run));
    if (condition->low.len > 0)
        memcpy(bytes + RUN_PREFIX_BYTES, condition->low.data, condition->low.len);
    MDB_val key = { RUN_PREFIX_BYTES + condition->low.len + 1, bytes }, value;
    struct key_chunk chunk = { 0 };
    uint32_t next = 0;
    const uint32_t *expected = NULL;
    *code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (*code == 0) {
        int rc = svl__key_chunk_open(place, &key, &value, &chunk);
        if (rc != SVL_OK)
            return rc;
        if (!is_expected(&chunk, run, expected, condition))
            return svl__fail(SVL_E_CORRUPT, "key index, run %u: a chunk is missing", run);
        rc = take_matches(&chunk, condition, out);
        if (rc == SVL_E_CORRUPT)
            return svl__key_chunk_damaged(&key, "the blocks of a key");
        if (rc != SVL_OK || chunk.end.len == 0 || svl__key_locate(condition, chunk.end) > 0)
            return rc;
        next = chunk.number + 1;
        expected = &next;
        *code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    if (*code != MDB_NOTFOUND)
        return SVL_OK;
    *code = 0;
    return svl__fail(SVL_E_CORRUPT, "key index, run %u: its last chunk is missing", run);
}

/* Bit i of *chosen: run `first` + i must be asked. */
static int choose(const struct key_runs *runs, const struct key_condition *condition,
                  uint32_t first, uint32_t n, uint64_t *chosen, int *code)
{
    if (condition->kind == SVL_KEY_EXACT)
        return svl__keyfilters_ask(&runs->filters, condition->low, first, n, chosen, code);
    *chosen = UINT64_MAX >> (FILTERS_ASKED_MAX - n);
    *code = 0;
    return SVL_OK;
}

/* In those of the runs from `first` on that are chosen. */
static int find_in_chosen(const struct key_runs *runs, MDB_cursor *cursor, uint32_t first,
                          uint64_t chosen, const struct key_condition *condition,
                          struct buffer *out, int *code)
{
    int rc = SVL_OK;
    for (; chosen != 0 && rc == SVL_OK && *code == 0; chosen &= chosen - 1) {
        uint32_t run = first + (uint32_t)__builtin_ctzll(chosen);
        rc = find_in_run(cursor, runs->place, run, condition, out, code);
        /* A wide range names a block many times over: keep memory by the number of blocks. */
        if (out->len > RUN_BLOCKS * sizeof(uint64_t) * 4)
            svl__ids_sort_unique(out);
    }
    return rc;
}

int svl__keyruns_find(const struct key_runs *runs, const struct key_condition *condition,
                      struct buffer *out, bool *is_whole, int *code)
{
    MDB_cursor *cursor;
    *is_whole = false;
    *code = mdb_cursor_open(runs->txn, runs->table, &cursor);
    if (*code != 0)
        return SVL_OK;
    int rc = SVL_OK, filters = SVL_OK;
    for (uint32_t run = 0, n; run < runs->count && rc == SVL_OK && *code == 0; run += n) {
        uint64_t chosen;
        n = runs->count - run < FILTERS_ASKED_MAX ? runs->count - run : FILTERS_ASKED_MAX;
        int one = choose(runs, condition, run, n, &chosen, code);
        filters = one != SVL_OK ? one : filters;
        if (*code == 0)
            rc = find_in_chosen(runs, cursor, run, chosen, condition, out, code);
    }
    mdb_cursor_close(cursor);
    *is_whole = rc == SVL_OK && *code == 0;
    return *is_whole ? filters : rc;
}

/* --- going over the keys of a run --- */

static int each_key(MDB_cursor *cursor, const struct key_runs *runs, uint32_t run, key_fn *each,
                    void *user, int *code)
{
    uint8_t bytes[RUN_PREFIX_BYTES + 1] = { 0 }; /* less than what its first chunk stands under */
    store_u32(bytes, __builtin_bswap32(run));
    MDB_val key = { sizeof bytes, bytes }, value;
    struct key_chunk chunk = { .end.len = 1 };
    *code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    for (uint32_t number = 0; *code == 0; number++) {
        int rc = svl__key_chunk_open(runs->place, &key, &value, &chunk);
        if (rc != SVL_OK)
            return rc;
        if (chunk.run != run || chunk.number != number)
            return svl__key_chunk_damaged(&key, "a chunk before it is missing");
        for (uint32_t i = 0; i < chunk.count; i++)
            each(svl__key_chunk_key(&chunk, i), user);
        if (chunk.end.len == 0)
            return SVL_OK;
        *code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    if (*code != MDB_NOTFOUND)
        return SVL_OK;
    *code = 0;
    return svl__fail(SVL_E_CORRUPT, "key index, run %u: its last chunk is missing", run);
}

int svl__keyrun_each_key(const struct key_runs *runs, uint32_t run, key_fn *each, void *user,
                         int *code)
{
    MDB_cursor *cursor;
    *code = mdb_cursor_open(runs->txn, runs->table, &cursor);
    if (*code != 0)
        return SVL_OK;
    int rc = each_key(cursor, runs, run, each, user, code);
    mdb_cursor_close(cursor);
    return rc;
}

/* --- checking --- */

/* Where a walk over the whole table stands. */
struct check {
    uint32_t run, number; /* that the next chunk must have */
    svl_slice end;        /* where the chunk before it ended: in LMDB's memory, which stays */
    struct buffer found;
    uint64_t ids;
};

/* The chunk's first key is where the one before it ended, and each other behind the key before it. */
static bool is_in_order(const struct check *check, const struct key_chunk *chunk, uint32_t i)
{
    svl_slice key = svl__key_chunk_key(chunk, i);
    if (chunk->end.len > 0 && svl__key_compare(key, chunk->end) >= 0)
        return false;
    if (i > 0)
        return svl__key_compare(svl__key_chunk_key(chunk, i - 1), key) < 0;
    return chunk->number == 0 || svl__key_compare(check->end, key) == 0;
}

/* What is wrong with it, or NULL. */
static const char *check_chunk(struct check *check, const struct key_chunk *chunk)
{
    if (chunk->run != check->run || chunk->number != check->number)
        return "a chunk before it is missing";
    for (uint32_t i = 0; i < chunk->count; i++) {
        check->found.len = 0;
        if (!is_in_order(check, chunk, i))
            return "its keys are out of order";
        if (take_ids(svl__key_chunk_ids(chunk, i), &check->found) == SVL_E_CORRUPT)
            return "the blocks of a key";
        check->ids += check->found.len / sizeof(uint64_t);
    }
    bool is_last = chunk->end.len == 0;
    check->run += is_last;
    check->number = is_last ? 0 : chunk->number + 1;
    check->end = chunk->end;
    return NULL;
}

int svl__keyruns_check(const struct key_runs *runs, uint64_t *ids, int *code)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    struct check check = { 0 };
    int rc = SVL_OK;
    *ids = 0;
    *code = mdb_cursor_open(runs->txn, runs->table, &cursor);
    if (*code != 0)
        return SVL_OK;
    while (rc == SVL_OK && (*code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        struct key_chunk chunk;
        rc = svl__key_chunk_open(runs->place, &key, &value, &chunk);
        const char *what = rc == SVL_OK ? check_chunk(&check, &chunk) : NULL;
        if (what)
            rc = svl__key_chunk_damaged(&key, what);
        if (check.found.failed)
            rc = SVL_E_NOMEM;
    }
    if (*code == MDB_NOTFOUND)
        *code = 0;
    if (rc == SVL_OK && *code == 0 && (check.run != runs->count || check.number != 0))
        rc = svl__fail(SVL_E_CORRUPT, "key index: it ends in run %u of %u", check.run, runs->count);
    *ids = check.ids;
    mdb_cursor_close(cursor);
    svl__buffer_free(&check.found);
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
