/* anchor.c - what a wildcard is found by: its longest run of text.
 *
 * Where that is its first or last run, a radix tree finds it as a prefix or suffix. Else its first bytes, up to
 * GRAM_BYTES, are a gram: a value is looked through at each place for the grams of its path. So of a path's
 * wildcards only those are compared whose longest run, or its beginning, is in the value, each once. */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "machine.h"
#include "wildcard.h"

_Static_assert(offsetof(struct condition, bytes) % _Alignof(struct posting) == 0,
               "postings stand behind aligned bytes");

static struct radix *tree_for(struct path_trees *trees, enum wildcard_run where)
{
    return where == RUN_FIRST ? &trees->wildcards_first : &trees->wildcards_last;
}

static void copy_backwards(uint8_t *out, svl_slice run)
{
    const uint8_t *p = run.data;
    for (size_t i = 0; i < run.len; i++)
        out[i] = p[run.len - 1 - i];
}

static int put_in_tree(struct machine *machine, struct condition *c, svl_slice run,
                       enum wildcard_run where)
{
    struct path_trees *trees = svl__path_trees(machine, c->path);
    struct posting *posting = condition_postings(c);
    if (!trees)
        return SVL_E_NOMEM;
    uint8_t *key = NULL;
    if (where == RUN_LAST) {
        key = svl__malloc(run.len);
        if (!key)
            return SVL_E_NOMEM;
        copy_backwards(key, run);
    }
    bool put = svl__radix_put(tree_for(trees, where), key ? key : run.data, (uint32_t)run.len * 8,
                              posting, &machine->epoch);
    svl__free(key);
    return put ? SVL_OK : SVL_E_NOMEM;
}

static struct gram *find_gram(const struct machine *machine, const struct path *path, uint64_t hash,
                              const uint8_t *bytes, uint32_t len)
{
    struct table_probe probe = table_probe(&machine->grams, hash);
    struct gram *gram;
    while ((gram = table_next(&probe)))
        if (gram->path == path && gram->len == len && memcmp(gram->bytes, bytes, len) == 0)
            return gram;
    return NULL;
}

static struct gram *new_gram(struct machine *machine, struct path *path, uint64_t hash,
                             const uint8_t *bytes, uint32_t len)
{
    struct gram *gram = svl__epoch_allocate(&machine->epoch, sizeof *gram);
    if (!gram)
        return NULL;
    gram->path = path;
    gram->hash = hash;
    gram->len = len;
    memcpy(gram->bytes, bytes, len);
    if (!svl__table_put(&machine->grams, hash, gram, &machine->epoch)) {
        svl__epoch_free(&machine->epoch, &gram->retired, sizeof *gram);
        return NULL;
    }
    path->gram_counts[len - 1]++;
    atomic_fetch_or_explicit(&path->grams, UINT32_C(1) << len, memory_order_relaxed);
    atomic_fetch_or_explicit(&path->grams_filter, gram_filter(bytes[0]), memory_order_relaxed);
    return gram;
}

static int put_in_gram(struct machine *machine, struct condition *c, svl_slice run)
{
    uint32_t len = run.len < GRAM_BYTES ? (uint32_t)run.len : GRAM_BYTES;
    uint64_t hash = value_hash(c->path, CONDITION_WILDCARD, run.data, len);
    struct gram *gram = find_gram(machine, c->path, hash, run.data, len);
    if (!gram)
        gram = new_gram(machine, c->path, hash, run.data, len);
    if (!gram)
        return SVL_E_NOMEM;
    c->gram = gram;
    svl__posting_put(&gram->postings, condition_postings(c));
    return SVL_OK;
}

int svl__anchor_put(struct machine *machine, struct condition *c)
{
    enum wildcard_run where;
    svl_slice run = svl__wildcard_run((svl_slice){ c->bytes, c->len }, &where);
    if (c->path->wildcards == WILDCARDS_A_PATH_MAX)
        return svl__fail(SVL_E_PATTERN_COMPLEX,
                         "%d wildcards on one field: each may have to be compared with its value",
                         WILDCARDS_A_PATH_MAX);
    condition_postings(c)->owner = c;
    int rc =
        where == RUN_INNER ? put_in_gram(machine, c, run) : put_in_tree(machine, c, run, where);
    c->path->wildcards += rc == SVL_OK;
    return rc;
}

static void drop_gram(struct machine *machine, struct gram *gram)
{
    struct path *path = gram->path;
    svl__table_remove(&machine->grams, gram->hash, gram);
    if (--path->gram_counts[gram->len - 1] == 0)
        atomic_fetch_and_explicit(&path->grams, ~(UINT32_C(1) << gram->len), memory_order_relaxed);
    if (atomic_load_explicit(&path->grams, memory_order_relaxed) == 0)
        atomic_store_explicit(&path->grams_filter, 0, memory_order_relaxed);
    svl__epoch_retire(&machine->epoch, &gram->retired, sizeof *gram);
}

void svl__anchor_remove(struct machine *machine, struct condition *c)
{
    enum wildcard_run where;
    svl__wildcard_run((svl_slice){ c->bytes, c->len }, &where);
    c->path->wildcards--;
    if (where == RUN_INNER) {
        svl__posting_remove(&c->gram->postings, condition_postings(c));
        if (!atomic_load_explicit(&c->gram->postings, memory_order_relaxed))
            drop_gram(machine, c->gram);
    } else {
        struct path_trees *trees = atomic_load_explicit(&c->path->trees, memory_order_relaxed);
        svl__radix_remove(tree_for(trees, where), condition_postings(c), &machine->epoch);
    }
}
