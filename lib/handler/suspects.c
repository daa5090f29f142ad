/* suspects.c - a short list, searched from its start. */
#include "suspects.h"

#define VERSION 1
#define HEADER_BYTES 8
#define SUSPECT_BYTES 32
#define VALUE_BYTES_MAX (HEADER_BYTES + SUSPECTS_MAX * SUSPECT_BYTES)

static svl_slice suspects_key(void)
{
    static const char key[] = "crash/suspects";
    return (svl_slice){ key, sizeof key - 1 };
}

static struct suspect *list_of(const struct suspects *suspects)
{
    return (struct suspect *)(void *)suspects->list.data;
}

size_t svl__suspects_count(const struct suspects *suspects)
{
    return suspects->list.len / sizeof(struct suspect);
}

void svl__suspects_free(struct suspects *suspects)
{
    svl__buffer_free(&suspects->list);
}

static bool append(struct suspects *suspects, const struct suspect *suspect)
{
    svl__buffer_append(&suspects->list, suspect, sizeof *suspect);
    bool appended = !suspects->list.failed;
    suspects->list.failed = false;
    return appended;
}

static int decode(struct suspects *suspects, const struct buffer *value)
{
    struct reader r = reader_of(value->data, value->len);
    bool known = read_u8(&r) == VERSION;
    read_bytes(&r, 3);
    uint32_t n = read_u32(&r);
    if (!known || n > SUSPECTS_MAX || reader_left(&r) != (size_t)n * SUSPECT_BYTES)
        return svl__fail(SVL_E_VERSION, "the list of records that were in a callback at a crash");
    for (uint32_t i = 0; i < n; i++) {
        struct suspect s = { .what.kind = (enum marked_kind)read_u8(&r) };
        read_bytes(&r, 3);
        s.crashes = read_u32(&r);
        s.what.subject = read_u64(&r);
        s.what.first = read_u64(&r);
        s.what.last = read_u64(&r);
        if (!append(suspects, &s))
            return SVL_E_NOMEM;
    }
    return SVL_OK;
}

int svl__suspects_load(svl_store *store, struct suspects *suspects)
{
    struct buffer value = { 0 };
    int rc = svl__store_value(store, suspects_key(), &value);
    if (rc == SVL_OK)
        rc = decode(suspects, &value);
    svl__buffer_free(&value);
    return rc == SVL_E_NOT_FOUND ? SVL_OK : rc;
}

static size_t encode(const struct suspects *suspects, uint8_t value[VALUE_BYTES_MAX])
{
    size_t n = svl__suspects_count(suspects);
    const struct suspect *list = list_of(suspects);
    memset(value, 0, HEADER_BYTES + n * SUSPECT_BYTES);
    value[0] = VERSION;
    store_u32(value + 4, (uint32_t)n);
    uint8_t *to = value + HEADER_BYTES;
    for (size_t i = 0; i < n; i++, to += SUSPECT_BYTES) {
        to[0] = (uint8_t)list[i].what.kind;
        store_u32(to + 4, list[i].crashes);
        store_u64(to + 8, list[i].what.subject);
        store_u64(to + 16, list[i].what.first);
        store_u64(to + 24, list[i].what.last);
    }
    return (size_t)(to - value);
}

int svl__suspects_save(svl_store *store, const struct suspects *suspects, uint64_t *ticket)
{
    struct buffer value = { 0 };
    uint8_t *to = buffer_reserve(&value, VALUE_BYTES_MAX);
    if (!to)
        return SVL_E_NOMEM;
    struct store_op op = { .key = suspects_key(), .value = { to, encode(suspects, to) } };
    struct feed feed = { .ops = &op, .op_count = 1, .atomic = true };
    int rc = svl__store_feed(store, &feed, ticket);
    svl__buffer_free(&value);
    return rc;
}

static bool is_same(const struct marked *a, const struct marked *b)
{
    return a->kind == b->kind && a->subject == b->subject && a->first == b->first &&
           a->last == b->last;
}

static void remove_at(struct suspects *suspects, size_t i)
{
    struct suspect *list = list_of(suspects);
    size_t n = svl__suspects_count(suspects);
    memmove(list + i, list + i + 1, (n - i - 1) * sizeof *list);
    suspects->list.len -= sizeof *list;
}

int svl__suspects_add(struct suspects *suspects, const struct marked *what, uint32_t crashes,
                      bool *changed)
{
    struct suspect *list = list_of(suspects);
    size_t n = svl__suspects_count(suspects);
    for (size_t i = 0; i < n; i++) {
        if (!is_same(&list[i].what, what))
            continue;
        if (list[i].crashes < crashes) {
            list[i].crashes = crashes;
            *changed = true;
        }
        return SVL_OK;
    }
    struct suspect suspect = { *what, crashes };
    if (!append(suspects, &suspect))
        return SVL_E_NOMEM;
    if (n == SUSPECTS_MAX)
        remove_at(suspects, 0);
    *changed = true;
    return SVL_OK;
}

bool svl__suspects_find(const struct suspects *suspects, enum marked_kind kind, uint64_t subject,
                        uint64_t at, uint32_t *crashes)
{
    const struct suspect *list = list_of(suspects);
    bool found = false;
    *crashes = 0;
    for (size_t i = 0; i < svl__suspects_count(suspects); i++) {
        const struct marked *what = &list[i].what;
        if (what->kind != kind || what->subject != subject || at < what->first || at > what->last)
            continue;
        found = true;
        if (*crashes < list[i].crashes)
            *crashes = list[i].crashes;
    }
    return found;
}

bool svl__suspects_has(const struct suspects *suspects, enum marked_kind kind, uint64_t subject)
{
    const struct suspect *list = list_of(suspects);
    size_t n = svl__suspects_count(suspects), i = 0;
    while (i < n && (list[i].what.kind != kind || list[i].what.subject != subject))
        i++;
    return i < n;
}

bool svl__suspects_forget(struct suspects *suspects, enum marked_kind kind, uint64_t subject,
                          uint64_t upto)
{
    const struct suspect *list = list_of(suspects);
    bool found = false;
    for (size_t i = svl__suspects_count(suspects); i > 0; i--) {
        const struct marked *what = &list[i - 1].what;
        if (what->kind != kind || what->subject != subject || what->last > upto)
            continue;
        remove_at(suspects, i - 1);
        found = true;
    }
    return found;
}

bool svl__suspects_forgive(struct suspects *suspects, enum marked_kind kind, uint64_t subject)
{
    struct suspect *list = list_of(suspects);
    bool found = false;
    for (size_t i = 0; i < svl__suspects_count(suspects); i++) {
        if (list[i].what.kind != kind || list[i].what.subject != subject || list[i].crashes == 0)
            continue;
        list[i].crashes = 0;
        found = true;
    }
    return found;
}
