/* deadletter.c - dead letters written, read and found. */
#include "deadletter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "record/wire.h"

#define SOURCE "serverlog.deadletter"
#define SOURCE_RESOLVED SOURCE ".resolved"
#define KEY_PREFIX SOURCE "/"
#define KEY_BYTES (sizeof KEY_PREFIX + 128)
#define ERROR_BYTES_MAX 255

#define SLICE(text) ((svl_slice){ "" text, sizeof text - 1 })

#define ORIGINAL_ID SLICE("original.id")
#define ORIGINAL_INGEST SLICE("original.ingest_ns")
#define CONDITION SLICE("deadletter.condition")
#define CODE SLICE("deadletter.code")
#define ATTEMPTS SLICE("deadletter.attempts")
#define ERROR SLICE("deadletter.error")
#define FIRST_FAILURE SLICE("deadletter.first_failure_ns")
#define LAST_FAILURE SLICE("deadletter.last_failure_ns")
#define PREVIOUS SLICE("deadletter.previous")
#define LETTER_ID SLICE("deadletter.id")
#define OUTCOME SLICE("deadletter.outcome")
#define ATTRIBUTES_MAX 9

const char *svl__deadletter_condition(enum deadletter_condition condition)
{
    static const char *const names[] = { "attempts", "age", "reject", "crash", "hops" };
    return names[condition];
}

static svl_slice text_of(const char *text)
{
    return (svl_slice){ text, strlen(text) };
}

static svl_slice key_of(const char *name, char key[KEY_BYTES])
{
    int n = snprintf(key, KEY_BYTES, KEY_PREFIX "%.128s", name ? name : "");
    return (svl_slice){ key, (size_t)n };
}

/* --- writing --- */

/* A record's attributes as they come together. */
struct attribute_list {
    svl_attribute attributes[ATTRIBUTES_MAX];
    uint32_t count;
};

static void add_number(struct attribute_list *list, svl_slice name, int64_t value)
{
    list->attributes[list->count++] =
        (svl_attribute){ .name = name, .kind = SVL_ATTRIBUTE_I64, .i64 = value };
}

static void add_text(struct attribute_list *list, svl_slice name, svl_slice text)
{
    uint32_t kind = svl__utf8_valid(text.data, text.len) ? SVL_ATTRIBUTE_TEXT : SVL_ATTRIBUTE_BYTES;
    list->attributes[list->count++] = (svl_attribute){ .name = name, .kind = kind, .bytes = text };
}

/* An error that was cut may end within a character: that goes. */
static svl_slice whole_characters(const char *error)
{
    svl_slice text = { error, strnlen(error, ERROR_BYTES_MAX) };
    if (text.len < ERROR_BYTES_MAX)
        return text;
    size_t start = text.len;
    while (start > 0 && ((uint8_t)error[start - 1] & 0xc0) == 0x80)
        start--;
    if (start > 0 && (uint8_t)error[start - 1] >= 0xc0 &&
        !svl__utf8_valid(error + start - 1, text.len - start + 1))
        text.len = start - 1;
    return text;
}

static void append_record(struct buffer *out, const svl_record *record)
{
    uint32_t size = svl__wire_size(record);
    uint8_t *to = svl__buffer_reserve(out, size);
    if (!to)
        return;
    svl__wire_encode(record, svl__wall_ns(), to);
    out->len += size;
}

void svl__deadletter_append(struct buffer *out, const char *name, const svl_record *original,
                            const struct giving_up *why, uint64_t previous)
{
    char key[KEY_BYTES];
    uint32_t size = svl__wire_size(original);
    uint8_t *wire = svl__malloc(size);
    if (!wire) {
        out->failed = true;
        return;
    }
    svl__wire_encode(original, 0, wire);
    struct attribute_list list = { .count = 0 };
    add_number(&list, ORIGINAL_ID, (int64_t)original->id);
    add_number(&list, ORIGINAL_INGEST, original->ingest_ns);
    add_text(&list, CONDITION, text_of(svl__deadletter_condition(why->condition)));
    add_number(&list, CODE, why->code);
    add_number(&list, ATTEMPTS, why->attempts);
    if (why->error[0])
        add_text(&list, ERROR, whole_characters(why->error));
    if (why->first_ns != 0) {
        add_number(&list, FIRST_FAILURE, why->first_ns);
        add_number(&list, LAST_FAILURE, why->last_ns);
    }
    if (previous != 0)
        add_number(&list, PREVIOUS, (int64_t)previous);
    svl_record letter = { .severity = SVL_SEVERITY_ERROR,
                          .body_kind = SVL_BODY_BINARY,
                          .source = SLICE(SOURCE),
                          .type = text_of(name ? name : ""),
                          .key = key_of(name, key),
                          .body = { wire, size },
                          .attributes = list.attributes,
                          .attribute_count = list.count };
    append_record(out, &letter);
    svl__free(wire);
}

void svl__deadletter_append_resolved(struct buffer *out, const char *name, uint64_t letter_id,
                                     uint64_t original_id, enum deadletter_outcome outcome)
{
    static const char *const outcomes[] = { "done", "again", "dropped" };
    char key[KEY_BYTES];
    struct attribute_list list = { .count = 0 };
    add_number(&list, LETTER_ID, (int64_t)letter_id);
    add_number(&list, ORIGINAL_ID, (int64_t)original_id);
    add_text(&list, OUTCOME, text_of(outcomes[outcome]));
    svl_record resolved = { .severity = SVL_SEVERITY_INFO,
                            .source = SLICE(SOURCE_RESOLVED),
                            .type = text_of(name ? name : ""),
                            .key = key_of(name, key),
                            .attributes = list.attributes,
                            .attribute_count = list.count };
    append_record(out, &resolved);
}

/* --- reading --- */

static bool equal(svl_slice a, svl_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool svl__deadletter_is(const svl_record *record)
{
    return equal(record->source, SLICE(SOURCE)) || equal(record->source, SLICE(SOURCE_RESOLVED));
}

/* The value of a number, 0 where the record has none of that name. */
static int64_t number_of(const svl_record *record, svl_slice name)
{
    for (uint32_t i = 0; i < record->attribute_count; i++)
        if (record->attributes[i].kind == SVL_ATTRIBUTE_I64 &&
            equal(record->attributes[i].name, name))
            return record->attributes[i].i64;
    return 0;
}

int svl__deadletter_decode(const svl_record *letter, svl_attribute *attributes,
                           svl_record *original)
{
    *original = (svl_record){ 0 };
    if (!equal(letter->source, SLICE(SOURCE)))
        return svl__fail(SVL_E_INVALID, "record %llu is no dead letter",
                         (unsigned long long)letter->id);
    int rc = svl__wire_decode(letter->body.data, letter->body.len, attributes, original);
    if (rc != SVL_OK)
        return svl__fail_at(rc, "dead letter %llu", (unsigned long long)letter->id);
    original->id = (uint64_t)number_of(letter, ORIGINAL_ID);
    original->ingest_ns = number_of(letter, ORIGINAL_INGEST);
    return SVL_OK;
}

int svl_deadletter_original(const svl_record *letter, svl_record_buffer **original)
{
    if (!original)
        return svl__fail(SVL_E_INVALID, "original is NULL");
    *original = NULL;
    if (!letter)
        return svl__fail(SVL_E_INVALID, "letter is NULL");
    svl_attribute *attributes = svl__malloc(RECORD_ATTRIBUTES_MAX * sizeof *attributes);
    if (!attributes)
        return SVL_E_NOMEM;
    svl_record record;
    int rc = svl__deadletter_decode(letter, attributes, &record);
    if (rc == SVL_OK && !(*original = svl__record_buffer_create(&record)))
        rc = SVL_E_NOMEM;
    svl__free(attributes);
    return rc;
}

/* --- finding --- */

static int open_cursor(svl_store *store, const char *name, svl_slice source, uint64_t id_min,
                       uint64_t id_max, svl_cursor **out)
{
    char key[KEY_BYTES];
    svl_query query;
    svl_query_init(&query, sizeof query);
    query.source = source;
    query.key_kind = name ? SVL_KEY_EXACT : SVL_KEY_PREFIX;
    query.key_low = key_of(name, key);
    query.id_min = id_min;
    query.id_max = id_max;
    return svl_store_query(store, &query, out);
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = load_u64(a), y = load_u64(b);
    return (x > y) - (x < y);
}

/* L1: what was resolved of the dead letters from `id_min` to `id_max`, ascending. */
static int find_resolved(svl_store *store, const char *name, uint64_t id_min, uint64_t id_max,
                         struct buffer *ids)
{
    svl_cursor *cursor;
    int rc = open_cursor(store, name, SLICE(SOURCE_RESOLVED), id_min, 0, &cursor);
    if (rc != SVL_OK)
        return rc;
    const svl_record *records;
    size_t n;
    while ((rc = svl_cursor_next_many(cursor, 0, SIZE_MAX, &records, &n)) == SVL_OK ||
           svl__is_damage(rc)) {
        if (rc != SVL_OK)
            svl__log(svl__store_log(store), SVL_SEVERITY_ERROR, rc,
                     "dead letters may seem unresolved that are not: %s", svl_last_error());
        for (size_t i = 0; i < n; i++) {
            uint64_t id = (uint64_t)number_of(&records[i], LETTER_ID);
            if (id >= id_min && (id_max == 0 || id <= id_max))
                svl__buffer_append(ids, &id, sizeof id);
        }
    }
    svl_cursor_close(cursor);
    if (ids->failed)
        return SVL_E_NOMEM;
    if (ids->len > 0)
        qsort(ids->data, ids->len / sizeof(uint64_t), sizeof(uint64_t), compare_ids);
    return rc == SVL_E_END ? SVL_OK : rc;
}

int svl__deadletter_query(svl_store *store, const char *name, uint64_t id_min, uint64_t id_max,
                          svl_cursor **out)
{
    struct buffer resolved = { 0 };
    int rc = find_resolved(store, name, id_min, id_max, &resolved);
    if (rc == SVL_OK)
        rc = open_cursor(store, name, SLICE(SOURCE), id_min, id_max, out);
    if (rc == SVL_OK)
        svl__cursor_leave_out(*out, &resolved);
    svl__buffer_free(&resolved);
    return rc;
}
