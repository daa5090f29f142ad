/* instructions.c - what instructions.py counts under valgrind: one kind of work, done by one thread, in a function of a
 * name of its own. The codec is none, as a library's instructions are not ours to guard.
 *
 *     bench-instructions publish|encode|lookup|match DIRECTORY     prints how many operations were done */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules.h"
#include "store/block.h"

#define PUBLISHES 20000
#define ENCODES 4096
#define LOOKUPS 64
#define STORED 20000
#define RULES 1000
#define MATCHES 2000

int bench_fail(const char *what)
{
    fprintf(stderr, "bench-instructions: %s\n", what);
    return -1;
}

static int checked(int rc)
{
    return rc == SVL_OK ? 0 : bench_fail(svl_last_error());
}

/* Their names are what valgrind is told to count in. */
#define COUNTED __attribute__((noinline))
COUNTED int counted_publish(svl_bus *bus, const svl_record *record);
COUNTED int counted_encode(struct block_builder *builder, const struct wire_view *views,
                           struct block **block);
COUNTED int counted_lookup(svl_store *store);
COUNTED int counted_match(svl_ruleset *ruleset);

int counted_publish(svl_bus *bus, const svl_record *record)
{
    int rc = SVL_OK;
    for (unsigned i = 0; rc == SVL_OK && i < PUBLISHES; i++)
        rc = svl_bus_publish(bus, record);
    return rc;
}

static int publish(const char *directory)
{
    static const char body[100] = { 'x' };
    svl_record record = { .time_ns = 1, .body = { body, sizeof body } };
    svl_bus *bus = NULL;
    (void)directory;
    int rc = svl_bus_create(NULL, &bus);
    if (rc == SVL_OK)
        rc = counted_publish(bus, &record);
    if (rc == SVL_OK)
        rc = svl_bus_pump(bus, 0, 0, NULL);
    svl_bus_destroy(bus);
    return checked(rc) == 0 ? PUBLISHES : -1;
}

int counted_encode(struct block_builder *builder, const struct wire_view *views,
                   struct block **block)
{
    int rc = SVL_OK;
    for (unsigned i = 0; rc == SVL_OK && i < ENCODES; i++)
        rc = svl__block_builder_add(builder, 1 + i, 1, &views[i]);
    return rc == SVL_OK ? svl__block_builder_finish(builder, block) : rc;
}

static int encode(const char *directory)
{
    static struct wire_view views[ENCODES];
    static uint8_t wire[ENCODES][512];
    struct block_options options = { .codec = SVL_CODEC_NONE, .block_bytes = UINT64_C(4) << 20 };
    struct block_builder *builder = NULL;
    struct block *block = NULL;
    struct line line;
    int rc = svl__block_builder_create(&options, &builder);
    (void)directory;
    for (unsigned i = 0; rc == SVL_OK && i < ENCODES; i++) {
        line_make(i, KEYS_MANY, &line);
        svl__wire_encode(&line.record, line.record.time_ns, wire[i]);
        rc = svl__wire_view(wire[i], svl__wire_size(&line.record), &views[i]);
    }
    if (rc == SVL_OK)
        rc = counted_encode(builder, views, &block);
    svl__block_release(block);
    svl__block_builder_destroy(builder);
    return checked(rc) == 0 ? ENCODES : -1;
}

int counted_lookup(svl_store *store)
{
    svl_query query;
    svl_query_init(&query, sizeof query);
    query.key_kind = SVL_KEY_EXACT;
    int rc = SVL_OK;
    for (unsigned i = 0; rc == SVL_OK && i < LOOKUPS; i++) {
        struct line line;
        const svl_record *record;
        svl_cursor *cursor;
        line_make(i * (STORED / LOOKUPS), KEYS_MANY, &line);
        query.key_low = line.record.key;
        rc = svl_store_query(store, &query, &cursor);
        while (rc == SVL_OK)
            rc = svl_cursor_next(cursor, 0, &record);
        svl_cursor_close(cursor);
        rc = rc == SVL_E_END ? SVL_OK : rc;
    }
    return rc;
}

/* Filled and opened anew, so that everything lies in LMDB. */
static int fill(const char *path, const svl_store_options *options)
{
    svl_store *store;
    int rc = svl_store_open(path, options, &store);
    for (unsigned i = 0; rc == SVL_OK && i < STORED; i += 1000) {
        static struct line lines[1000];
        static svl_record records[1000];
        for (unsigned k = 0; k < 1000; k++) {
            line_make(i + k, KEYS_MANY, &lines[k]);
            records[k] = lines[k].record;
        }
        rc = svl_store_append(store, records, 1000, NULL);
    }
    return rc == SVL_OK ? svl_store_close(store) : rc;
}

static int lookup(const char *directory)
{
    char path[512];
    svl_store_options options;
    svl_store *store;
    snprintf(path, sizeof path, "%s/lookup", directory);
    svl_store_options_init(&options, sizeof options);
    options.codec = SVL_CODEC_NONE;
    int rc = fill(path, &options);
    if (rc == SVL_OK)
        rc = svl_store_open(path, &options, &store);
    if (rc == SVL_OK) {
        rc = counted_lookup(store);
        svl_store_close(store);
    }
    return checked(rc) == 0 ? LOOKUPS : -1;
}

int counted_match(svl_ruleset *ruleset)
{
    int rc = SVL_OK;
    for (unsigned i = 0; rc == SVL_OK && i < MATCHES; i++)
        rc = rules_match(ruleset, rules_event, RULES_EVENT_BYTES, 0);
    return rc;
}

static int match(const char *directory)
{
    svl_ruleset *ruleset = rules_create(RULES);
    (void)directory;
    int rc = ruleset ? counted_match(ruleset) : SVL_E_NOMEM;
    svl_ruleset_destroy(ruleset);
    return checked(rc) == 0 ? MATCHES : -1;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*work)(const char *directory);
    } works[] = {
        { "publish", publish }, { "encode", encode }, { "lookup", lookup }, { "match", match }
    };
    int operations = -1;
    if (argc != 3 || lines_load(NULL) != 0)
        return 2;
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++)
        if (strcmp(works[i].name, argv[1]) == 0)
            operations = works[i].work(argv[2]);
    if (operations < 0)
        return 1;
    printf("%d\n", operations);
    return 0;
}
