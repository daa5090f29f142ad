/* reference.c - from a pattern's tree to combinations of fields, and from those and an event's tree to a verdict.
 *
 * A field is a path and a leaf array. A combination is a list of fields that must all hold; the pattern matches
 * when one of its combinations does. */
#include "reference.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "reference_pattern.h"

enum { FIELDS_MAX = 256 };

struct step {
    struct text name;
    const struct step *before; /* the path's step above, or NULL */
};

struct field {
    const struct step *path; /* its last step */
    const struct json *leaf;
};

struct combination {
    struct field *fields;
    size_t count;
};

struct combinations {
    struct combination *at;
    size_t count;
};

struct reference {
    struct arena arena;
    struct combinations any_of;
};

/* A name's steps below `path`: dots part them. */
static const struct step *walk(struct arena *arena, const struct step *path, struct text name)
{
    for (size_t start = 0, end; start <= name.length; start = end + 1) {
        for (end = start; end < name.length && name.at[end] != '.';)
            end++;
        struct step *step = arena_take(arena, sizeof *step);
        step->name = (struct text){ name.at + start, end - start };
        step->before = path;
        path = step;
    }
    return path;
}

/* Each of `a` with each of `b`: AND. */
static struct combinations both(struct arena *arena, struct combinations a, struct combinations b)
{
    struct combinations all = { arena_take(arena, a.count * b.count * sizeof *all.at), 0 };
    for (size_t i = 0; i < a.count; i++) {
        for (size_t j = 0; j < b.count; j++) {
            struct combination *sum = &all.at[all.count++];
            sum->count = a.at[i].count + b.at[j].count;
            sum->fields = arena_take(arena, sum->count * sizeof *sum->fields);
            for (size_t k = 0; k < sum->count; k++)
                sum->fields[k] =
                    k < a.at[i].count ? a.at[i].fields[k] : b.at[j].fields[k - a.at[i].count];
        }
    }
    return all;
}

/* Those of `a` and those of `b`: OR. */
static struct combinations either(struct arena *arena, struct combinations a, struct combinations b)
{
    struct combinations all = { arena_take(arena, (a.count + b.count) * sizeof *all.at),
                                a.count + b.count };
    if (a.count > 0)
        memcpy(all.at, a.at, a.count * sizeof *all.at);
    memcpy(all.at + a.count, b.at, b.count * sizeof *all.at);
    return all;
}

static struct combinations expand(struct arena *arena, const struct step *path,
                                  const struct json *object);

static struct combinations expand_member(struct arena *arena, const struct step *path,
                                         const struct json *member)
{
    if (reference_is_or(member)) {
        struct combinations any = { NULL, 0 };
        for (const struct json *branch = member->first; branch; branch = branch->next)
            any = either(arena, any, expand(arena, path, branch));
        return any;
    }
    path = walk(arena, path, member->name);
    if (member->kind == JSON_OBJECT)
        return expand(arena, path, member);
    struct combinations one = { arena_take(arena, sizeof *one.at), 1 };
    one.at->fields = arena_take(arena, sizeof *one.at->fields);
    *one.at->fields = (struct field){ path, member };
    one.at->count = 1;
    return one;
}

static struct combinations expand(struct arena *arena, const struct step *path,
                                  const struct json *object)
{
    struct combinations all = { arena_take(arena, sizeof *all.at), 1 };
    for (const struct json *member = object->first; member; member = member->next)
        if (!reference_is_overruled(member))
            all = both(arena, all, expand_member(arena, path, member));
    return all;
}

struct reference *reference_compile(const char *pattern, size_t length, size_t *offset)
{
    struct reference *reference = calloc(1, sizeof *reference);
    if (!reference)
        abort();
    const struct json *root = json_read(&reference->arena, pattern, length, offset);
    if (!root || !reference_check(root, offset)) {
        reference_destroy(reference);
        return NULL;
    }
    reference->any_of = expand(&reference->arena, NULL, root);
    return reference;
}

void reference_destroy(struct reference *reference)
{
    if (!reference)
        return;
    arena_free(&reference->arena);
    free(reference);
}

/* Which element of which array was gone through: the innermost first. */
struct binding {
    const struct json *array, *element;
    const struct binding *rest;
};

/* A leaf value at a field's path, and the elements on the way to it. */
struct occurrence {
    const struct json *value;
    const struct binding *bindings;
    struct occurrence *next;
};

/* Whether no array of `bindings` has given another element to `taken`. */
static bool agrees(const struct binding *bindings, const struct binding *taken)
{
    for (; bindings; bindings = bindings->rest)
        for (const struct binding *other = taken; other; other = other->rest)
            if (bindings->array == other->array && bindings->element != other->element)
                return false;
    return true;
}

struct search {
    struct arena arena;
    const struct combination *combination;
    struct occurrence *found[FIELDS_MAX]; /* per field */
    bool absent[FIELDS_MAX];              /* the field is to hold by {"exists": false} */
    uint64_t *tries;                      /* so far, of the match */
};

/* The steps of `name` that begin `path` (first step first), or 0 when they don't. */
static size_t steps_matched(struct text name, const struct text *path, size_t steps)
{
    size_t matched = 0;
    for (size_t start = 0, end; start <= name.length; start = end + 1) {
        for (end = start; end < name.length && name.at[end] != '.';)
            end++;
        if (matched == steps ||
            !text_equal(path[matched], (struct text){ name.at + start, end - start }))
            return 0;
        matched++;
    }
    return matched;
}

/* Adds all leaf values at `path` below `value`. */
static void collect(struct search *search, struct occurrence **found, const struct json *value,
                    const struct text *path, size_t steps, const struct binding *bindings)
{
    if (value->kind == JSON_ARRAY) {
        for (const struct json *element = value->first; element; element = element->next) {
            const struct binding *more = bindings;
            if (element->kind == JSON_ARRAY || element->kind == JSON_OBJECT) {
                struct binding *binding = arena_take(&search->arena, sizeof *binding);
                *binding = (struct binding){ value, element, bindings };
                more = binding;
            }
            collect(search, found, element, path, steps, more);
        }
    } else if (value->kind == JSON_OBJECT) {
        for (const struct json *member = value->first; member; member = member->next) {
            size_t matched = steps_matched(member->name, path, steps);
            if (matched > 0)
                collect(search, found, member, path + matched, steps - matched, bindings);
        }
    } else if (steps == 0) {
        struct occurrence *occurrence = arena_take(&search->arena, sizeof *occurrence);
        *occurrence = (struct occurrence){ value, bindings, *found };
        *found = occurrence;
    }
}

static struct occurrence *find(struct search *search, const struct json *event,
                               const struct step *path)
{
    size_t steps = 0;
    for (const struct step *step = path; step; step = step->before)
        steps++;
    struct text *names = arena_take(&search->arena, steps * sizeof *names);
    for (size_t i = steps; i > 0; i--, path = path->before)
        names[i - 1] = path->name;
    struct occurrence *found = NULL;
    collect(search, &found, event, names, steps, NULL);
    return found;
}

static bool nothing_there(const struct occurrence *found, const struct binding *taken)
{
    for (; found; found = found->next)
        if (agrees(found->bindings, taken))
            return false;
    return true;
}

/* Whether the fields from `at` on can hold when those before it took `taken`. */
static bool holds(struct search *search, size_t at, const struct binding *taken)
{
    const struct combination *combination = search->combination;
    if (++*search->tries > REFERENCE_TRIES_MAX)
        return false;
    if (at == combination->count) {
        for (size_t i = 0; i < combination->count; i++)
            if (search->absent[i] && !nothing_there(search->found[i], taken))
                return false;
        return true;
    }
    const struct json *leaf = combination->fields[at].leaf;
    search->absent[at] = false;
    for (const struct occurrence *occurrence = search->found[at]; occurrence;
         occurrence = occurrence->next) {
        if (!agrees(occurrence->bindings, taken) ||
            !reference_leaf_matches(leaf, occurrence->value))
            continue;
        const struct binding *more = taken;
        for (const struct binding *from = occurrence->bindings; from; from = from->rest) {
            struct binding *binding = arena_take(&search->arena, sizeof *binding);
            *binding = (struct binding){ from->array, from->element, more };
            more = binding;
        }
        if (holds(search, at + 1, more))
            return true;
    }
    if (!reference_leaf_takes_absence(leaf))
        return false;
    search->absent[at] = true;
    return holds(search, at + 1, taken);
}

static bool combination_holds(const struct combination *combination, const struct json *event,
                              uint64_t *tries)
{
    if (combination->count > FIELDS_MAX)
        abort();
    struct search *search = calloc(1, sizeof *search);
    if (!search)
        abort();
    search->combination = combination;
    search->tries = tries;
    for (size_t i = 0; i < combination->count; i++)
        search->found[i] = find(search, event, combination->fields[i].path);
    bool does = holds(search, 0, NULL);
    arena_free(&search->arena);
    free(search);
    return does;
}

int reference_match(const struct reference *reference, const char *event, size_t length)
{
    struct arena arena = { NULL };
    size_t offset;
    uint64_t tries = 0;
    const struct json *root = json_read(&arena, event, length, &offset);
    int verdict = REFERENCE_NO;
    if (!root || root->kind != JSON_OBJECT)
        verdict = REFERENCE_ERROR;
    for (size_t i = 0; i < reference->any_of.count && verdict == REFERENCE_NO; i++)
        if (combination_holds(&reference->any_of.at[i], root, &tries))
            verdict = REFERENCE_YES;
    if (verdict == REFERENCE_NO && tries > REFERENCE_TRIES_MAX)
        verdict = REFERENCE_UNKNOWN;
    arena_free(&arena);
    return verdict;
}
