/* faults.c - each of them happens once, but for a miss that nobody could see: then there is another. */
#include "faults.h"

#include <stdatomic.h>
#include <string.h>

#include "store/cursor.h"
#include "store/store.h"

#define ITEMS_MAX 2048
#define SKIP_EVERY 10

static enum fault armed;
static _Atomic int calls_left;
static _Thread_local bool answers_here;

void fault_arm(enum fault fault, unsigned calls)
{
    armed = fault;
    atomic_store(&calls_left, (int)calls);
}

void fault_answers_here(void)
{
    answers_here = true;
}

static bool is_due(void)
{
    return atomic_fetch_sub(&calls_left, 1) == 1;
}

int __real_svl__store_feed(svl_store *store, struct feed *feed, uint64_t *ticket);
int __wrap_svl__store_feed(svl_store *store, struct feed *feed, uint64_t *ticket);

/* The feed's items, and one of them once more behind itself. */
static int feed_twice(svl_store *store, struct feed *feed, uint64_t *ticket)
{
    static struct feed_item items[ITEMS_MAX + 1];
    struct feed more = *feed;
    memcpy(items, feed->items, feed->count * sizeof *items);
    items[feed->count] = items[feed->count - 1];
    more.items = items;
    more.count++;
    int rc = __real_svl__store_feed(store, &more, ticket);
    memcpy(feed->items, items, feed->count * sizeof *items);
    return rc;
}

static void swap_records(struct feed_item *a, struct feed_item *b)
{
    const uint8_t *wire = a->wire;
    uint32_t len = a->len;
    a->wire = b->wire;
    a->len = b->len;
    b->wire = wire;
    b->len = len;
}

int __wrap_svl__store_feed(svl_store *store, struct feed *feed, uint64_t *ticket)
{
    bool is_of_a_ring = feed->ring && feed->count > 1 && feed->count <= ITEMS_MAX;
    bool is_effect = !feed->ring && feed->op_count > 0 && feed->count > 0;
    if (armed == FAULT_EFFECT && is_effect && is_due())
        return feed_twice(store, feed, ticket);
    if (!is_of_a_ring || armed == FAULT_EFFECT || armed == FAULT_NONE || armed >= FAULT_HIDE ||
        !is_due())
        return __real_svl__store_feed(store, feed, ticket);
    if (armed == FAULT_TWICE)
        return feed_twice(store, feed, ticket);
    if (armed == FAULT_SWAP)
        swap_records(&feed->items[0], &feed->items[1]);
    else
        feed->count--;
    return __real_svl__store_feed(store, feed, ticket);
}

int __real_svl_cursor_next_many(svl_cursor *cursor, int64_t timeout_ms, size_t max,
                                const svl_record **records, size_t *n);
int __wrap_svl_cursor_next_many(svl_cursor *cursor, int64_t timeout_ms, size_t max,
                                const svl_record **records, size_t *n);

/* The second record of an answer is concerned. */
int __wrap_svl_cursor_next_many(svl_cursor *cursor, int64_t timeout_ms, size_t max,
                                const svl_record **records, size_t *n)
{
    static svl_record answer[ITEMS_MAX + 1];
    int rc = __real_svl_cursor_next_many(cursor, timeout_ms, max, records, n);
    bool is_answer = armed == FAULT_HIDE || armed == FAULT_REPEAT || armed == FAULT_ALTER;
    if (!is_answer || !answers_here || rc != SVL_OK || *n < 3 || *n > ITEMS_MAX || !is_due())
        return rc;
    size_t kept = armed == FAULT_HIDE ? 1 : 2, from = armed == FAULT_REPEAT ? 1 : 2;
    memcpy(answer, *records, kept * sizeof *answer);
    memcpy(answer + kept, *records + from, (*n - from) * sizeof *answer);
    answer[1].severity += armed == FAULT_ALTER;
    *records = answer;
    *n = *n + kept - from;
    return rc;
}

int __real_svl_cursor_next(svl_cursor *cursor, int64_t timeout_ms, const svl_record **record);
int __wrap_svl_cursor_next(svl_cursor *cursor, int64_t timeout_ms, const svl_record **record);

/* A follower's own: svl_store_get() has a cursor as well. What it misses at its beginning, or at its end, might as well
 * have come before or after. */
int __wrap_svl_cursor_next(svl_cursor *cursor, int64_t timeout_ms, const svl_record **record)
{
    int rc = __real_svl_cursor_next(cursor, timeout_ms, record);
    if (armed != FAULT_SKIP || !cursor->follows || rc != SVL_OK || !is_due())
        return rc;
    atomic_store(&calls_left, SKIP_EVERY);
    return __real_svl_cursor_next(cursor, timeout_ms, record);
}
