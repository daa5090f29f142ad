/* keyset.c - keys in bytewise order: comparing, sorting, sets, conditions. */
#include "keyset.h"

#include <serverlog/store.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"

/* One allocation: this, then count + 1 offsets, then the keys' bytes. */
struct key_set {
    _Atomic uint32_t references;
    uint32_t count;
    uint64_t first_id;
    size_t bytes;
    uint32_t offsets[];
};

static const uint8_t *set_bytes(const struct key_set *set)
{
    return (const uint8_t *)(set->offsets + set->count + 1);
}

struct key_set *svl__key_set_create(uint64_t first_id, const svl_slice *keys, uint32_t n)
{
    size_t total = 0;
    for (uint32_t i = 0; i < n; i++)
        total += keys[i].len;
    size_t bytes = sizeof(struct key_set) + ((size_t)n + 1) * sizeof(uint32_t) + total;
    struct key_set *set = svl__malloc(bytes);
    if (!set)
        return NULL;
    atomic_init(&set->references, 1);
    set->count = n;
    set->first_id = first_id;
    set->bytes = bytes;
    uint8_t *start = (uint8_t *)(set->offsets + n + 1), *p = start;
    for (uint32_t i = 0; i < n; i++) {
        set->offsets[i] = (uint32_t)(p - start);
        if (keys[i].len > 0)
            memcpy(p, keys[i].data, keys[i].len);
        p += keys[i].len;
    }
    set->offsets[n] = (uint32_t)(p - start);
    return set;
}

struct key_set *svl__key_set_hold(struct key_set *set)
{
    atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    return set;
}

void svl__key_set_release(struct key_set *set)
{
    /* Release: this holder's reads are over. Acquire: the last one frees after all of them. */
    if (set && atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) == 1)
        svl__free(set);
}

uint64_t svl__key_set_block(const struct key_set *set)
{
    return set->first_id;
}

uint32_t svl__key_set_count(const struct key_set *set)
{
    return set->count;
}

size_t svl__key_set_bytes(const struct key_set *set)
{
    return set->bytes;
}

svl_slice svl__key_set_at(const struct key_set *set, uint32_t i)
{
    return (svl_slice){ set_bytes(set) + set->offsets[i], set->offsets[i + 1] - set->offsets[i] };
}

static inline int compare(svl_slice a, svl_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n > 0 ? memcmp(a.data, b.data, n) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

int svl__key_compare(svl_slice a, svl_slice b)
{
    return compare(a, b);
}

static bool starts_with(svl_slice key, svl_slice prefix)
{
    return key.len >= prefix.len &&
           (prefix.len == 0 || memcmp(key.data, prefix.data, prefix.len) == 0);
}

int svl__key_locate(const struct key_condition *condition, svl_slice key)
{
    if (condition->kind == SVL_KEY_ANY)
        return 0;
    if (key.len == 0)
        return -1; /* no key; it would stand before all others */
    switch (condition->kind) {
    case SVL_KEY_EXACT:
        return compare(key, condition->low);
    case SVL_KEY_PREFIX:
        return starts_with(key, condition->low) ? 0 : compare(key, condition->low);
    case SVL_KEY_RANGE:
        if (compare(key, condition->low) < 0)
            return -1;
        return condition->high.len > 0 && compare(key, condition->high) >= 0;
    default:
        return -1;
    }
}

bool svl__key_set_matches(const struct key_set *set, const struct key_condition *condition)
{
    uint32_t low = 0, high = set->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = svl__key_locate(condition, svl__key_set_at(set, middle));
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* --- sorting ---
 *
 * Keys of one block mostly begin alike ("user-00"), so the head is taken behind what all of them
 * share. One pass deals them by their heads into buckets that follow each other; within a bucket
 * it is a merge sort. Whoever chooses keys that all fall into one bucket gains nothing: that is
 * a merge sort as well. */

size_t svl__key_shared(svl_slice a, svl_slice b)
{
    const uint8_t *p = a.data, *q = b.data;
    size_t max = a.len < b.len ? a.len : b.len, n = 0;
    while (n < max && p[n] == q[n])
        n++;
    return n;
}

static size_t shared_by_all(const struct sorted_key *keys, uint32_t n)
{
    svl_slice shared = keys[0].key;
    for (uint32_t i = 1; i < n && shared.len > 0; i++)
        shared.len = svl__key_shared(shared, keys[i].key);
    return shared.len;
}

static inline bool is_before(const struct sorted_key *a, const struct sorted_key *b)
{
    return a->head != b->head ? a->head < b->head : compare(a->key, b->key) < 0;
}

#define INSERTION_RUN 8

static void sort_run(struct sorted_key *keys, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        struct sorted_key key = keys[i];
        uint32_t j = i;
        for (; j > 0 && is_before(&key, &keys[j - 1]); j--)
            keys[j] = keys[j - 1];
        keys[j] = key;
    }
}

/* The choice is arithmetic, not a branch: which of the two comes first cannot be predicted. */
static void merge(const struct sorted_key *from, uint32_t middle, uint32_t n, struct sorted_key *to)
{
    const struct sorted_key *a = from, *a_end = from + middle, *b = a_end, *b_end = from + n;
    while (a < a_end && b < b_end) {
        bool second = is_before(b, a);
        *to++ = *(second ? b : a);
        b += second;
        a += !second;
    }
    size_t left = (size_t)(a_end - a);
    memcpy(to, a, left * sizeof *to);
    memcpy(to + left, b, (size_t)(b_end - b) * sizeof *to);
}

/* Leaves the result in `keys`. */
static void merge_sort(struct sorted_key *keys, struct sorted_key *scratch, uint32_t n)
{
    for (uint32_t at = 0; at < n; at += INSERTION_RUN)
        sort_run(keys + at, n - at < INSERTION_RUN ? n - at : INSERTION_RUN);
    struct sorted_key *from = keys, *to = scratch;
    for (uint32_t width = INSERTION_RUN; width < n; width *= 2) {
        for (uint32_t at = 0; at < n; at += 2 * width) {
            uint32_t left = n - at;
            merge(from + at, left < width ? left : width, left < 2 * width ? left : 2 * width,
                  to + at);
        }
        struct sorted_key *other = from;
        from = to;
        to = other;
    }
    if (from != keys)
        memcpy(keys, from, n * sizeof *keys);
}

#define BUCKETS 1024

/* Deals `keys` into `to`, bucket by bucket; `ends` is where each bucket ends there. */
static void deal(const struct sorted_key *keys, uint32_t n, struct sorted_key *to,
                 uint32_t ends[BUCKETS])
{
    uint64_t min = UINT64_MAX, max = 0;
    for (uint32_t i = 0; i < n; i++) {
        min = keys[i].head < min ? keys[i].head : min;
        max = keys[i].head > max ? keys[i].head : max;
    }
    unsigned shift = 0;
    while ((max - min) >> shift >= BUCKETS)
        shift++;
    memset(ends, 0, BUCKETS * sizeof *ends);
    for (uint32_t i = 0; i < n; i++)
        ends[(keys[i].head - min) >> shift]++;
    for (uint32_t b = 0, at = 0; b < BUCKETS; b++) {
        uint32_t count = ends[b];
        ends[b] = at; /* where it begins; each key that is dealt moves it on */
        at += count;
    }
    for (uint32_t i = 0; i < n; i++)
        to[ends[(keys[i].head - min) >> shift]++] = keys[i];
}

void svl__key_sort(struct sorted_key *keys, struct sorted_key *scratch, uint32_t n)
{
    if (n < 2)
        return;
    size_t shared = shared_by_all(keys, n);
    for (uint32_t i = 0; i < n; i++)
        keys[i].head = key_head(keys[i].key, shared);
    uint32_t ends[BUCKETS];
    deal(keys, n, scratch, ends);
    for (uint32_t b = 0, at = 0; b < BUCKETS; at = ends[b++])
        if (ends[b] - at > 1)
            merge_sort(scratch + at, keys + at, ends[b] - at);
    memcpy(keys, scratch, n * sizeof *keys);
}
