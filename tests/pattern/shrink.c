/* shrink.c - greedy, from the outside in, until nothing more can go. */
#include "shrink.h"

#include <string.h>

#include "reference_json.h"

struct span {
    size_t start, end;
};

enum { SPANS_MAX = 4096 };

struct spans {
    struct span at[SPANS_MAX];
    size_t count;
};

static size_t start_of(const struct json *child, const struct json *parent)
{
    return parent->kind == JSON_OBJECT ? child->name_offset : child->offset;
}

/* What can be left out below `value`: each child with the comma that belongs to it. */
static void list(const struct json *value, struct spans *spans)
{
    const struct json *before = NULL;
    if (value->kind != JSON_ARRAY && value->kind != JSON_OBJECT)
        return;
    for (const struct json *child = value->first; child; before = child, child = child->next) {
        struct span span = { start_of(child, value), child->end };
        if (child->next)
            span.end = start_of(child->next, value);
        else if (before)
            span.start = before->end;
        if (spans->count < SPANS_MAX)
            spans->at[spans->count++] = span;
        list(child, spans);
    }
}

static void cut(struct generated *text, struct span span)
{
    memmove(text->text + span.start, text->text + span.end, text->length - span.end);
    text->length -= span.end - span.start;
}

static bool list_all(const struct generated *text, struct spans *spans)
{
    struct arena arena = { NULL };
    size_t offset;
    const struct json *root = json_read(&arena, text->text, text->length, &offset);
    spans->count = 0;
    if (root)
        list(root, spans);
    arena_free(&arena);
    return root != NULL;
}

/* Leaves one thing out of `text`, which is the pair's pattern or event. */
static bool shrink_one(struct generated *text, struct generated *pattern, struct generated *event,
                       shows_fn *shows, void *user)
{
    static struct spans spans;
    static struct generated whole;
    if (!list_all(text, &spans))
        return false;
    whole = *text;
    for (size_t i = 0; i < spans.count; i++) {
        cut(text, spans.at[i]);
        if (shows(pattern, event, user))
            return true;
        *text = whole;
    }
    return false;
}

void shrink(struct generated *pattern, struct generated *event, shows_fn *shows, void *user)
{
    while (shrink_one(pattern, pattern, event, shows, user) ||
           shrink_one(event, pattern, event, shows, user))
        continue;
}
