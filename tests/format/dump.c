/* dump - what the library's public API says of a store, for the second reader to be compared with.
 *
 *     format_dump records STORE    each record as a line of JSON, as records.py writes it
 *     format_dump recovered STORE  the same, of a store that is opened to write
 *     format_dump keys STORE       each key: the ids of its records, and how many blocks were read for them
 *     format_dump numbers STORE    records, first and last id, segments
 *     format_dump verify STORE     each damage
 *     format_dump append STORE     opens the store to write, verifies it, appends a record and commits
 *     format_dump started STORE    opens a pipeline, which stores what is in crash rings, and closes it
 *
 * Only the last two and `recovered` change anything. A failure is told on standard error, with the result's number
 * behind it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <serverlog.h>

#define KEYS_MAX 4096

static void must(int rc, const char *what)
{
    if (rc == SVL_OK)
        return;
    fprintf(stderr, "%s: %s (%d)\n", what, svl_last_error(), rc);
    exit(1);
}

static svl_store *open_store(const char *path, uint32_t flags)
{
    svl_store_options options;
    svl_store *store;
    must(svl_store_options_init(&options, sizeof options), "options");
    options.flags = flags;
    must(svl_store_open(path, &options, &store), "open");
    return store;
}

/* Each byte is a character, U+0000 to U+00FF. */
static void print_text(svl_slice text)
{
    static const char plain[] = "\b\t\n\f\r\"\\", letters[] = "btnfr\"\\";
    const unsigned char *bytes = text.data;
    putchar('"');
    for (size_t i = 0; i < text.len; i++) {
        const char *escape = bytes[i] ? strchr(plain, bytes[i]) : NULL;
        if (escape)
            printf("\\%c", letters[escape - plain]);
        else if (bytes[i] < ' ' || bytes[i] > '~')
            printf("\\u%04x", bytes[i]);
        else
            putchar(bytes[i]);
    }
    putchar('"');
}

static void print_attribute(const svl_attribute *attribute)
{
    static const char *const kinds[] = { "", "text", "bytes", "i64", "f64", "bool" };
    uint64_t bits;
    memcpy(&bits, &attribute->f64, sizeof bits);
    putchar('[');
    print_text(attribute->name);
    printf(",\"%s\",", kinds[attribute->kind]);
    if (attribute->kind == SVL_ATTRIBUTE_TEXT || attribute->kind == SVL_ATTRIBUTE_BYTES)
        print_text(attribute->bytes);
    else if (attribute->kind == SVL_ATTRIBUTE_F64)
        printf("\"%016" PRIx64 "\"", bits);
    else
        printf("%" PRId64, attribute->i64);
    putchar(']');
}

static void print_record(const svl_record *record)
{
    printf("{\"id\":%" PRIu64 ",\"time_ns\":%" PRId64 ",\"ingest_ns\":%" PRId64
           ",\"severity\":%" PRIu32 ",\"body_kind\":%" PRIu32 ",\"flags\":%" PRIu32 ",\"source\":",
           record->id, record->time_ns, record->ingest_ns, record->severity, record->body_kind,
           record->flags);
    print_text(record->source);
    printf(",\"type\":");
    print_text(record->type);
    printf(",\"key\":");
    print_text(record->key);
    printf(",\"attributes\":[");
    for (uint32_t i = 0; i < record->attribute_count; i++) {
        if (i > 0)
            putchar(',');
        print_attribute(&record->attributes[i]);
    }
    printf("],\"body\":");
    print_text(record->body);
    puts("}");
}

static void dump_records(svl_store *store)
{
    svl_cursor *cursor;
    const svl_record *record;
    int rc;
    must(svl_store_query(store, NULL, &cursor), "query");
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK)
        print_record(record);
    must(rc == SVL_E_END ? SVL_OK : rc, "next");
    svl_cursor_close(cursor);
}

static int compare_keys(const void *a, const void *b)
{
    const svl_slice *x = a, *y = b;
    int order = memcmp(x->data, y->data, x->len < y->len ? x->len : y->len);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* Sorts the keys and drops those that are there twice. */
static size_t sort_keys(svl_slice *keys, size_t n)
{
    size_t kept = 0;
    qsort(keys, n, sizeof *keys, compare_keys);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && compare_keys(&keys[i], &keys[kept - 1]) == 0)
            free((void *)(uintptr_t)keys[i].data);
        else
            keys[kept++] = keys[i];
    }
    return kept;
}

/* All distinct keys, ascending. */
static size_t find_keys(svl_store *store, svl_slice *keys)
{
    svl_cursor *cursor;
    const svl_record *record;
    size_t n = 0;
    must(svl_store_query(store, NULL, &cursor), "query");
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK) {
        if (record->key.len == 0)
            continue;
        if (n == KEYS_MAX)
            n = sort_keys(keys, n);
        void *copy = n < KEYS_MAX ? malloc(record->key.len) : NULL;
        if (!copy)
            must(SVL_E_LIMIT, "more keys than are compared, or no memory");
        memcpy(copy, record->key.data, record->key.len);
        keys[n++] = (svl_slice){ copy, record->key.len };
    }
    svl_cursor_close(cursor);
    return sort_keys(keys, n);
}

static void dump_key(svl_store *store, svl_slice key)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    svl_cursor_explanation explanation = { .struct_size = sizeof explanation };
    must(svl_query_init(&query, sizeof query), "query");
    query.key_kind = SVL_KEY_EXACT;
    query.key_low = key;
    must(svl_store_query(store, &query, &cursor), "query");
    printf("{\"key\":");
    print_text(key);
    printf(",\"ids\":[");
    for (const char *comma = ""; svl_cursor_next(cursor, 0, &record) == SVL_OK; comma = ",")
        printf("%s%" PRIu64, comma, record->id);
    must(svl_cursor_explain(cursor, &explanation), "explain");
    printf("],\"blocks\":%" PRIu64 "}\n", explanation.blocks_decoded);
    svl_cursor_close(cursor);
}

static void dump_keys(svl_store *store)
{
    static svl_slice keys[KEYS_MAX];
    size_t n = find_keys(store, keys);
    for (size_t i = 0; i < n; i++) {
        dump_key(store, keys[i]);
        free((void *)(uintptr_t)keys[i].data);
    }
}

static void dump_numbers(svl_store *store)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    must(svl_store_stats_get(store, &stats), "stats");
    printf("{\"records\":%" PRIu64 ",\"first_id\":%" PRIu64 ",\"last_id\":%" PRIu64
           ",\"segments\":%" PRIu64 "}\n",
           stats.records, stats.first_id, stats.last_id, stats.segments);
}

static void print_damage(int32_t code, const char *what, void *user)
{
    (void)user;
    printf("%d %s\n", code, what);
}

static void verify(svl_store *store)
{
    must(svl_store_verify(store, print_damage, NULL, NULL), "verify");
}

static void append(svl_store *store)
{
    svl_record record = { .time_ns = 1, .source = { "later", 5 }, .key = { "later", 5 } };
    uint64_t id;
    verify(store);
    must(svl_store_append(store, &record, 1, &id), "append");
    must(svl_store_commit(store, -1), "commit");
    verify(store);
    printf("%" PRIu64 "\n", id);
}

static void start_pipeline(const char *path)
{
    svl_options options;
    svl_pipeline *pipeline;
    must(svl_options_init(&options, sizeof options), "options");
    options.flags = SVL_PIPELINE_PRIVATE_RING;
    must(svl_open(path, &options, &pipeline), "open");
    must(svl_start(pipeline), "start");
    must(svl_close(pipeline), "close");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(svl_store *store);
        uint32_t flags;
    } commands[] = {
        { "records", dump_records, SVL_STORE_READ_ONLY },
        { "recovered", dump_records, SVL_STORE_NO_CREATE },
        { "keys", dump_keys, SVL_STORE_READ_ONLY },
        { "numbers", dump_numbers, SVL_STORE_READ_ONLY },
        { "verify", verify, SVL_STORE_READ_ONLY },
        { "append", append, SVL_STORE_NO_CREATE },
    };
    if (argc == 3 && strcmp(argv[1], "started") == 0) {
        start_pipeline(argv[2]);
        return 0;
    }
    for (size_t i = 0; argc == 3 && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        svl_store *store = open_store(argv[2], commands[i].flags);
        commands[i].run(store);
        must(svl_store_close(store), "close");
        return 0;
    }
    fputs("usage: format_dump records|recovered|keys|numbers|verify|append|started STORE\n",
          stderr);
    return 2;
}
