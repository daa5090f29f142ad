/* walk.c - through a JSON document along the paths of the machine: names that lead nowhere are passed over with
 * all that is below them, what a path ends at is looked up.
 *
 * No recursion: objects and arrays that are open, and of interest, are frames of a list. */
#include <string.h>

#include "base/error.h"
#include "match.h"

#define NO_ARRAY UINT32_MAX

struct walk_frame {
    struct path *path;
    uint32_t context;
    uint32_t array; /* of m->arrays; NO_ARRAY: an object */
};

struct walk {
    struct match *m;
    enum walk_root kind;
    struct json_scan scan;
    struct walk_frame frames_first[16];
};

static int fail_at_scan(const struct json_scan *s)
{
    if (s->depth >= s->depth_max)
        return svl__fail(SVL_E_LIMIT,
                         "an event of more than %u objects and arrays inside each other",
                         s->depth_max);
    return svl__fail(SVL_E_JSON, "byte %zu: %s", s->error_at, s->error);
}

static bool is_outcome(const struct match *m, enum walk_root kind)
{
    return kind == WALK_BODY && !(m->flags & SVL_JSON_CHECK);
}

static int fail_in_json(const struct walk *w)
{
    if (is_outcome(w->m, w->kind))
        return SVL_E_JSON;
    return fail_at_scan(&w->scan);
}

static struct path *child(const struct match *m, const struct path *path, const uint8_t *name,
                          size_t len)
{
    uint64_t filter = atomic_load_explicit(&((struct path *)(uintptr_t)path)->children_filter,
                                           memory_order_relaxed);
    if (!(filter & path_filter(name, len)))
        return NULL;
    return svl__path_child(m->machine, path, name, len);
}

struct path *svl__match_descend(const struct match *m, const struct path *path, const uint8_t *name,
                                size_t len)
{
    uint64_t first = atomic_load_explicit(&((struct path *)(uintptr_t)path)->children_first,
                                          memory_order_relaxed);
    if (!(first & first_filter(name, len)))
        return NULL;
    for (;;) {
        const uint8_t *dot = len > 0 ? memchr(name, '.', len) : NULL;
        size_t step = dot ? (size_t)(dot - name) : len;
        struct path *below = child(m, path, name, step);
        if (!below || !dot)
            return below;
        path = below;
        name += step + 1;
        len -= step + 1;
    }
}

static struct path *descend(struct match *m, const struct path *path, struct json_text name)
{
    if (!name.escaped)
        return svl__match_descend(m, path, name.data, name.len);
    if (name.len > UINT32_MAX || !svl__list_reserve(&m->text, (uint32_t)name.len, 1)) {
        m->out_of_memory = true;
        return NULL;
    }
    size_t len = svl__json_decode(&name, m->text.data, name.len);
    return svl__match_descend(m, path, m->text.data, len);
}

static bool leads_on(const struct path *path)
{
    return atomic_load_explicit(&((struct path *)(uintptr_t)path)->children_filter,
                                memory_order_relaxed) != 0;
}

static bool is_looked_at(const struct path *path)
{
    return atomic_load_explicit(&((struct path *)(uintptr_t)path)->kinds, memory_order_relaxed) !=
           0;
}

static bool push(struct walk *w, struct path *path, uint32_t context, uint32_t array)
{
    struct walk_frame *frame = list_add(&w->m->frames, sizeof *frame);
    if (frame)
        *frame = (struct walk_frame){ path, context, array };
    else
        w->m->out_of_memory = true;
    return frame != NULL;
}

static uint32_t new_array(struct match *m, struct path *path, uint32_t context)
{
    struct event_array *array = list_add(&m->arrays, sizeof *array);
    if (!array) {
        m->out_of_memory = true;
        return NO_ARRAY;
    }
    *array = (struct event_array){ path, context };
    return m->arrays.count - 1;
}

/* An element that is an object or array: a context of its own. */
static uint32_t new_context(struct match *m, const struct walk_frame *frame)
{
    struct event_context *context = list_add(&m->contexts, sizeof *context);
    if (!context) {
        m->out_of_memory = true;
        return 0;
    }
    const struct event_context *around = (struct event_context *)m->contexts.data + frame->context;
    *context = (struct event_context){ frame->array, around->depth + 1 };
    return m->contexts.count - 1;
}

/* A value at a path, its token read: false: bad JSON. */
static bool take_value(struct walk *w, struct path *path, uint32_t context, enum json_token token)
{
    if (token == JSON_OBJECT) {
        if (!leads_on(path))
            return svl__json_leave(&w->scan);
        return push(w, path, context, NO_ARRAY);
    }
    if (token == JSON_ARRAY) {
        uint32_t array = new_array(w->m, path, context);
        return array != NO_ARRAY && push(w, path, context, array);
    }
    if (token == JSON_ERROR)
        return false;
    if (is_looked_at(path)) {
        struct value value = { .token = token, .text = w->scan.text };
        svl__match_value(w->m, path, context, &value);
    }
    return true;
}

static bool step_in_object(struct walk *w)
{
    const struct walk_frame *frames = w->m->frames.data;
    struct walk_frame frame = frames[w->m->frames.count - 1];
    enum json_token token = svl__json_next(&w->scan);
    if (token == JSON_NAME) {
        struct path *path = descend(w->m, frame.path, w->scan.text);
        return path ? take_value(w, path, frame.context, svl__json_next(&w->scan))
                    : svl__json_skip(&w->scan);
    }
    w->m->frames.count -= token == JSON_OBJECT_END;
    return token == JSON_OBJECT_END;
}

static bool step_in_array(struct walk *w)
{
    const struct walk_frame *frames = w->m->frames.data;
    struct walk_frame frame = frames[w->m->frames.count - 1];
    enum json_token token = svl__json_next(&w->scan);
    if (token == JSON_ARRAY_END) {
        w->m->frames.count--;
        return true;
    }
    if (token == JSON_OBJECT && !leads_on(frame.path))
        return svl__json_leave(&w->scan);
    bool binds = token == JSON_OBJECT || token == JSON_ARRAY;
    return take_value(w, frame.path, binds ? new_context(w->m, &frame) : frame.context, token);
}

static int walk_frames(struct walk *w)
{
    struct list *frames = &w->m->frames;
    bool fine = true;
    uint32_t hits = 0;
    while (fine && frames->count > 0 && !w->m->out_of_memory) {
        const struct walk_frame *top = (const struct walk_frame *)frames->data + frames->count - 1;
        fine = top->array == NO_ARRAY ? step_in_object(w) : step_in_array(w);
        if (w->m->sole && w->m->hits.count > hits && svl__match_is_decided(w->m))
            return SVL_OK;
        hits = w->m->hits.count;
    }
    if (w->m->out_of_memory)
        return svl__fail(SVL_E_NOMEM, "matching an event");
    if (!fine)
        return fail_in_json(w);
    return svl__json_next(&w->scan) == JSON_END ? SVL_OK : fail_in_json(w);
}

int svl__match_check_json(const struct match *m, svl_slice json)
{
    struct json_scan scan;
    svl__json_start(&scan, json.data, json.len, m->limits.depth_max);
    return svl__json_check(&scan) ? SVL_OK : fail_at_scan(&scan);
}

int svl__match_walk(struct match *m, const struct path *root, svl_slice json, enum walk_root kind)
{
    struct walk w;
    if (json.len > m->limits.bytes_max && is_outcome(m, kind))
        return SVL_E_LIMIT;
    if (json.len > m->limits.bytes_max)
        return svl__fail(SVL_E_LIMIT, "an event of %zu bytes; at most %u", json.len,
                         m->limits.bytes_max);
    int rc = m->flags & SVL_JSON_CHECK ? svl__match_check_json(m, json) : SVL_OK;
    if (rc != SVL_OK)
        return rc;
    w.m = m;
    w.kind = kind;
    m->frames = LIST_IN(w.frames_first);
    svl__json_start(&w.scan, json.data, json.len, m->limits.depth_max);
    enum json_token token = svl__json_next(&w.scan);
    if (token == JSON_ERROR)
        rc = fail_in_json(&w);
    else if (kind == WALK_EVENT && token != JSON_OBJECT)
        rc = svl__fail(SVL_E_JSON, "an event is a JSON object: {\"source\": \"shop\", ...}");
    else if (!take_value(&w, (struct path *)(uintptr_t)root, 0, token) && !m->out_of_memory)
        rc = fail_in_json(&w);
    else
        rc = walk_frames(&w);
    svl__list_free(&m->frames);
    return rc;
}
