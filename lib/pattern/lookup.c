/* lookup.c - from a value at a path to the conditions that it meets: each index that the path has is asked once,
 * and what it costs is the value's length and what is found. */
#include <string.h>

#include "base/casefold.h"
#include "cidr.h"
#include "match.h"
#include "range.h"
#include "wildcard.h"

/* More of a text is not looked at by a tree: no pattern is longer. */
#define TREE_BYTES_MAX (UINT32_C(1) << 28)

struct looking {
    struct match *m;
    struct path *path;
    uint32_t context;
};

static void add_hit(const struct looking *l, struct condition *condition)
{
    struct match *m = l->m;
    uint32_t *last = svl__addresses_at(&m->found, condition);
    if (!last) {
        m->out_of_memory = true;
        return;
    }
    /* One more in the same context says nothing new, but to a NOT, which asks leaf by leaf. */
    if (*last != 0 && match_hit(m, *last)->context == l->context &&
        (condition->kind == CONDITION_EXISTS || !path_has(l->path, CONDITION_NOT)))
        return;
    struct hit *hit = list_add(&m->hits, sizeof *hit);
    if (!hit) {
        m->out_of_memory = true;
        return;
    }
    *hit = (struct hit){ condition, l->context, *last };
    *last = m->hits.count;
}

static void find_by_bytes(const struct looking *l, uint32_t kind, const void *bytes, size_t len)
{
    struct table_probe probe =
        table_probe(&l->m->machine->conditions, value_hash(l->path, kind, bytes, len));
    struct condition *c;
    while ((c = table_next(&probe)))
        if (c->path == l->path && c->kind == kind && c->len == len &&
            memcmp(c->bytes, bytes, len) == 0)
            add_hit(l, c);
}

static void find_in_tree(const struct looking *l, const struct radix *tree, const uint8_t *bytes,
                         uint32_t bits)
{
    struct radix_walk walk = radix_walk(tree, bytes, bits);
    struct posting *p;
    while ((p = svl__radix_next(&walk)))
        for (; p; p = posting_next(p))
            add_hit(l, p->owner);
}

static uint32_t tree_bits(size_t len)
{
    return (len < TREE_BYTES_MAX ? (uint32_t)len : TREE_BYTES_MAX) * 8;
}

/* The last bytes of a text, backwards, in `list`; NULL without memory. */
static const uint8_t *backwards(struct match *m, struct list *list, const uint8_t *text, size_t len)
{
    size_t n = tree_bits(len) / 8;
    if (!svl__list_reserve(list, (uint32_t)n, 1)) {
        m->out_of_memory = true;
        return NULL;
    }
    uint8_t *out = list->data;
    for (size_t i = 0; i < n; i++)
        out[i] = text[len - 1 - i];
    return out;
}

static void find_edges(const struct looking *l, const struct path_trees *trees, const uint8_t *text,
                       size_t len)
{
    if (path_has(l->path, CONDITION_PREFIX))
        find_in_tree(l, &trees->prefixes, text, tree_bits(len));
    if (!path_has(l->path, CONDITION_SUFFIX))
        return;
    const uint8_t *turned = backwards(l->m, &l->m->folded, text, len);
    if (turned)
        find_in_tree(l, &trees->suffixes, turned, tree_bits(len));
}

/* All that does not regard case. */
static void find_folded(const struct looking *l, const struct path_trees *trees,
                        const uint8_t *text, size_t len)
{
    struct match *m = l->m;
    /* The folded text, and behind it space to turn it round. */
    size_t most = CASEFOLD_BYTES_MAX(len);
    if (most > UINT32_MAX / 2 || !svl__list_reserve(&m->folded, (uint32_t)most * 2, 1)) {
        m->out_of_memory = true;
        return;
    }
    uint8_t *folded = m->folded.data, *turned = folded + most;
    size_t n = svl__casefold_text(text, len, folded);
    if (path_has(l->path, CONDITION_FOLDED))
        find_by_bytes(l, CONDITION_FOLDED, folded, n);
    if (path_has(l->path, CONDITION_FOLDED_PREFIX))
        find_in_tree(l, &trees->folded_prefixes, folded, tree_bits(n));
    if (!path_has(l->path, CONDITION_FOLDED_SUFFIX))
        return;
    for (size_t i = 0; i < n; i++)
        turned[i] = folded[n - 1 - i];
    find_in_tree(l, &trees->folded_suffixes, turned, tree_bits(n));
}

static void compare_wildcards(const struct looking *l, struct posting *p, const uint8_t *text,
                              size_t len)
{
    for (; p; p = posting_next(p)) {
        struct condition *c = p->owner;
        if (svl__wildcard_matches((svl_slice){ c->bytes, c->len }, text, len))
            add_hit(l, c);
    }
}

/* A gram that is in the text: its wildcards are compared the first time. */
static void find_gram(const struct looking *l, const uint8_t *at, uint32_t gram_len,
                      const uint8_t *text, size_t len)
{
    struct match *m = l->m;
    uint64_t hash = value_hash(l->path, CONDITION_WILDCARD, at, gram_len);
    struct table_probe probe = table_probe(&m->machine->grams, hash);
    struct gram *gram;
    while ((gram = table_next(&probe))) {
        if (gram->path != l->path || gram->len != gram_len ||
            memcmp(gram->bytes, at, gram_len) != 0)
            continue;
        uint32_t *tried = svl__addresses_at(&m->visited, gram);
        if (!tried)
            m->out_of_memory = true;
        else if (++*tried == 1)
            compare_wildcards(l, atomic_load_explicit(&gram->postings, memory_order_acquire), text,
                              len);
    }
}

static void find_wildcards(const struct looking *l, struct path_trees *trees, const uint8_t *text,
                           size_t len)
{
    uint32_t lengths = atomic_load_explicit(&l->path->grams, memory_order_relaxed);
    bool has_whole = lengths >> GRAM_BYTES & 1, has_short = lengths & ~(UINT32_C(1) << GRAM_BYTES);
    svl__addresses_clear(&l->m->visited);
    for (size_t i = 0; has_whole && i + GRAM_BYTES <= len; i++) {
        uint32_t bit = gram_filter(text + i);
        if (atomic_load_explicit(&trees->grams_filter[bit / 64], memory_order_relaxed) >> bit % 64 &
            1)
            find_gram(l, text + i, GRAM_BYTES, text, len);
    }
    for (size_t i = 0; has_short && i < len; i++)
        for (uint32_t n = 1; n < GRAM_BYTES && n <= len - i; n++)
            if (lengths >> n & 1)
                find_gram(l, text + i, n, text, len);
}

static void find_addresses(const struct looking *l, const struct path_trees *trees,
                           const uint8_t *text, size_t len)
{
    struct address address;
    if (!svl__address_read(text, len, &address))
        return;
    find_in_tree(l, address.bits == 32 ? &trees->addresses4 : &trees->addresses6, address.bytes,
                 address.bits);
}

/* The text of a string, decoded; NULL without memory. */
static const uint8_t *decoded(struct match *m, struct json_text text, size_t *len)
{
    static const uint8_t nothing[1];
    *len = text.len;
    if (!text.escaped)
        return text.len > 0 ? text.data : nothing;
    if (text.len > UINT32_MAX || !svl__list_reserve(&m->text, (uint32_t)text.len, 1)) {
        m->out_of_memory = true;
        return NULL;
    }
    *len = svl__json_decode(&text, m->text.data, text.len);
    return m->text.data;
}

static void find_string(const struct looking *l, struct json_text raw)
{
    struct path *path = l->path;
    size_t len;
    const uint8_t *text = decoded(l->m, raw, &len);
    if (!text)
        return;
    if (path_has(path, CONDITION_STRING))
        find_by_bytes(l, CONDITION_STRING, text, len);
    struct path_trees *trees =
        atomic_load_explicit(&path->trees, memory_order_acquire); /* M1: pairs with M0 */
    if (trees && path_has(path, CONDITION_WILDCARD))
        find_wildcards(l, trees, text, len);
    if (path_has(path, CONDITION_FOLDED) || path_has(path, CONDITION_FOLDED_PREFIX) ||
        path_has(path, CONDITION_FOLDED_SUFFIX))
        find_folded(l, trees, text, len);
    if (!trees)
        return;
    find_edges(l, trees, text, len);
    if (path_has(path, CONDITION_CIDR4) || path_has(path, CONDITION_CIDR6))
        find_addresses(l, trees, text, len);
}

struct number_found {
    double value;
    svl_slice text; /* empty: it is the double */
};

/* Below, equal to or above 0. Doubles that are equal may still stand for different numbers. */
static int compare(const struct number_found *number, double bound, svl_slice bound_text)
{
    if (number->value != bound)
        return number->value < bound ? -1 : 1;
    if (number->text.len == 0 || bound_text.len == 0)
        return 0;
    if (number->text.len == bound_text.len &&
        memcmp(number->text.data, bound_text.data, bound_text.len) == 0)
        return 0;
    return svl__json_number_compare(number->text, bound_text);
}

static bool is_in_range(const struct number_found *number, const struct condition *c)
{
    struct range_bytes range;
    memcpy(&range, c->bytes, sizeof range);
    const uint8_t *texts = c->bytes + sizeof range;
    int low = compare(number, range.low, (svl_slice){ texts, range.low_len });
    int high = compare(number, range.high, (svl_slice){ texts + range.low_len, range.high_len });
    return (low > 0 || (low == 0 && !range.low_strict)) &&
           (high < 0 || (high == 0 && !range.high_strict));
}

static void find_equal_numbers(const struct looking *l, const struct number_found *number)
{
    uint64_t hash = value_hash(l->path, CONDITION_NUMBER, &number->value, sizeof number->value);
    struct table_probe probe = table_probe(&l->m->machine->conditions, hash);
    struct condition *c;
    while ((c = table_next(&probe))) {
        double value;
        if (c->path != l->path || c->kind != CONDITION_NUMBER)
            continue;
        memcpy(&value, c->bytes, sizeof value);
        svl_slice text = { c->bytes + sizeof value, c->len - sizeof value };
        if (compare(number, value, text) == 0)
            add_hit(l, c);
    }
}

static void find_ranges(const struct looking *l, const struct number_found *number)
{
    const struct path_trees *trees =
        atomic_load_explicit(&l->path->trees, memory_order_acquire); /* M1: pairs with M0 */
    uint8_t key[8];
    if (!trees)
        return;
    svl__range_key(number->value, key);
    struct radix_walk walk = radix_walk(&trees->ranges, key, RANGE_KEY_BITS);
    struct posting *p;
    while ((p = svl__radix_next(&walk)))
        for (; p; p = posting_next(p))
            if (is_in_range(number, p->owner))
                add_hit(l, p->owner);
}

static void find_number(const struct looking *l, const struct value *value)
{
    struct json_number number = value->number;
    struct number_found found = { .text = { value->text.data, value->text.len } };
    if (!path_has(l->path, CONDITION_NUMBER) && !path_has(l->path, CONDITION_RANGE))
        return;
    if (found.text.len > 0 && !svl__json_number(found.text, &number))
        return; /* beyond all numbers: it equals none, and lies in no range */
    found.value = number.value;
    if (path_has(l->path, CONDITION_NUMBER))
        find_equal_numbers(l, &found);
    if (path_has(l->path, CONDITION_RANGE))
        find_ranges(l, &found);
}

static void find_itself(const struct looking *l, _Atomic(struct condition *) *place)
{
    struct condition *c = atomic_load_explicit(place, memory_order_acquire); /* M1: with M0 */
    if (c)
        add_hit(l, c);
}

static void find_all(const struct looking *l, const struct value *value)
{
    switch (value->token) {
    case JSON_STRING:
        find_string(l, value->text);
        break;
    case JSON_NUMBER:
        find_number(l, value);
        break;
    case JSON_TRUE:
        find_itself(l, &l->path->is_true);
        break;
    case JSON_FALSE:
        find_itself(l, &l->path->is_false);
        break;
    default:
        find_itself(l, &l->path->is_null);
        break;
    }
}

/* For those who ask for the leaf itself: of its hits, all are those from `from` on. */
static void keep_leaf(const struct looking *l, uint32_t from)
{
    struct match *m = l->m;
    uint32_t *last = svl__addresses_at(&m->found, l->path);
    if (last && *last != 0 && !path_has(l->path, CONDITION_NOT) &&
        match_leaf(m, *last)->context == l->context)
        return;
    struct leaf_found *leaf = last ? list_add(&m->leaves, sizeof *leaf) : NULL;
    if (!leaf) {
        m->out_of_memory = true;
        return;
    }
    *leaf = (struct leaf_found){ l->path, l->context, from, m->hits.count, *last };
    *last = m->leaves.count;
}

static void keep_value(const struct looking *l, const struct value *value)
{
    struct value_seen *seen = list_add(l->m->values, sizeof *seen);
    if (seen)
        *seen = (struct value_seen){ l->path, value->token, value->text };
    else
        l->m->out_of_memory = true;
}

void svl__match_value(struct match *m, struct path *path, uint32_t context,
                      const struct value *value)
{
    struct looking l = { m, path, context };
    uint32_t from = m->hits.count;
    if (context != 0)
        m->has_trails = true;
    if (m->values)
        keep_value(&l, value);
    find_all(&l, value);
    find_itself(&l, &path->exists);
    if (path_has(path, CONDITION_NOT) || path_has(path, CONDITION_ABSENT))
        keep_leaf(&l, from);
}
