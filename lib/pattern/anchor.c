/* anchor.c - what a wildcard is found by: a gram, a few bytes that stand in each text that matches it.
 *
 * Of the grams that its runs of text have, that one is taken by which the fewest others are found so far. A value is
 * looked at from each of its bytes for grams of its path; a filter of bits says of most places that there is none.
 * So of a path's wildcards only those are compared with a value whose gram is in it, each once. */
#include <string.h>

#include "machine.h"
#include "wildcard.h"

/* Of a wildcard's grams, so many are looked at. */
#define GRAMS_TRIED_MAX 256

_Static_assert(offsetof(struct condition, bytes) % _Alignof(struct posting) == 0,
               "postings stand behind aligned bytes");

struct choice {
    const uint8_t *bytes;
    uint32_t len;
    uint64_t hash;
    struct gram *gram; /* NULL: to be made */
};

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

static uint32_t wildcards_of(const struct choice *choice)
{
    return choice->gram ? choice->gram->wildcards : 0;
}

/* Longer is better, then rarer. */
static void consider(const struct machine *machine, const struct path *path, struct choice *best,
                     const uint8_t *bytes, uint32_t len)
{
    struct choice choice = { .bytes = bytes, .len = len };
    if (best->bytes && (len < best->len || (len == best->len && wildcards_of(best) == 0)))
        return;
    choice.hash = value_hash(path, CONDITION_WILDCARD, bytes, len);
    choice.gram = find_gram(machine, path, choice.hash, bytes, len);
    if (!best->bytes || len > best->len || wildcards_of(&choice) < wildcards_of(best))
        *best = choice;
}

/* Every wildcard has a gram: one without any text is a prefix by then. */
static struct choice choose(const struct machine *machine, const struct condition *c)
{
    struct choice best = { .bytes = NULL };
    uint32_t tried = 0, run = 0; /* where the run at hand starts */
    for (uint32_t i = 0; i <= c->len && tried < GRAMS_TRIED_MAX; i++) {
        bool ends = i == c->len || c->bytes[i] == WILDCARD_STAR;
        uint32_t len = i - run;
        if (ends && len > 0 && len < GRAM_BYTES)
            consider(machine, c->path, &best, c->bytes + run, len);
        else if (!ends && len + 1 >= GRAM_BYTES)
            consider(machine, c->path, &best, c->bytes + i + 1 - GRAM_BYTES, GRAM_BYTES);
        tried++;
        if (ends)
            run = i + 1;
    }
    return best;
}

static struct gram *new_gram(struct machine *machine, struct path *path,
                             const struct choice *choice)
{
    struct path_trees *trees = svl__path_trees(machine, path);
    struct gram *gram = trees ? svl__epoch_allocate(&machine->epoch, sizeof *gram) : NULL;
    if (!gram)
        return NULL;
    gram->path = path;
    gram->hash = choice->hash;
    gram->len = choice->len;
    memcpy(gram->bytes, choice->bytes, choice->len);
    if (!svl__table_put(&machine->grams, gram->hash, gram, &machine->epoch)) {
        svl__epoch_free(&machine->epoch, &gram->retired, sizeof *gram);
        return NULL;
    }
    path->gram_counts[gram->len - 1]++;
    if (gram->len == GRAM_BYTES) {
        uint32_t bit = gram_filter(gram->bytes);
        atomic_fetch_or_explicit(&trees->grams_filter[bit / 64], UINT64_C(1) << bit % 64,
                                 memory_order_relaxed);
    }
    atomic_fetch_or_explicit(&path->grams, UINT32_C(1) << gram->len, memory_order_relaxed);
    return gram;
}

int svl__anchor_put(struct machine *machine, struct condition *c)
{
    if (c->path->wildcards == WILDCARDS_A_PATH_MAX)
        return SVL_E_PATTERN_COMPLEX;
    struct choice choice = choose(machine, c);
    struct gram *gram = choice.gram ? choice.gram : new_gram(machine, c->path, &choice);
    if (!gram)
        return SVL_E_NOMEM;
    condition_postings(c)->owner = c;
    c->gram = gram;
    gram->wildcards++;
    c->path->wildcards++;
    svl__posting_put(&gram->postings, condition_postings(c));
    return SVL_OK;
}

/* The filter keeps the bit: others may have it too. */
static void drop_gram(struct machine *machine, struct gram *gram)
{
    struct path *path = gram->path;
    svl__table_remove(&machine->grams, gram->hash, gram);
    if (--path->gram_counts[gram->len - 1] == 0)
        atomic_fetch_and_explicit(&path->grams, ~(UINT32_C(1) << gram->len), memory_order_relaxed);
    svl__epoch_retire(&machine->epoch, &gram->retired, sizeof *gram);
}

void svl__anchor_remove(struct machine *machine, struct condition *c)
{
    c->path->wildcards--;
    svl__posting_remove(&c->gram->postings, condition_postings(c));
    if (--c->gram->wildcards == 0)
        drop_gram(machine, c->gram);
}
