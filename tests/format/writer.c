/* writer - makes a store of a kind, for the second reader.
 *
 *     format_writer KIND CODEC STORE RING_DIRECTORY
 *
 * Kinds whose names end in "-killed" end by SIGKILL, with the store open. What a kind knows of its store besides the
 * records is printed, a line of JSON each. The wall clock is the executable's own: the linker wraps svl__wall_ns(). */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/block.h"
#include "store/store.h"
#include "store/values.h"
#include "support/support.h"

#define HOUR (3600 * NS_PER_S)
#define ATTRIBUTES_MAX 255
#define BODY_MAX 40000

static _Atomic int64_t wall_shift; /* ns */
static const char *path, *ring_directory;
static uint32_t codec;
static struct rng rng;
/* What is less in golden stores: records published, and bytes of a body. */
static unsigned publishes = 200;
static size_t body_max = BODY_MAX;

int64_t __real_svl__wall_ns(void);
int64_t __wrap_svl__wall_ns(void);

int64_t __wrap_svl__wall_ns(void)
{
    return __real_svl__wall_ns() + atomic_load(&wall_shift);
}

static void must(int rc, const char *what)
{
    if (rc == SVL_OK)
        return;
    fprintf(stderr, "%s: %s (%d)\n", what, svl_last_error(), rc);
    _exit(1);
}

static void die(void)
{
    fflush(stdout);
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ .tv_nsec = ms * NS_PER_MS }, NULL);
}

/* A life of the store in a process of its own. */
static void in_child(void (*live)(void))
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        live();
        die();
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFSIGNALED(status) ||
        WTERMSIG(status) != SIGKILL)
        must(SVL_E_INTERNAL, "a child did not die as it should");
}

/* --- records --- */

struct made {
    svl_record record;
    svl_attribute attributes[ATTRIBUTES_MAX];
    char names[ATTRIBUTES_MAX][8];
    char texts[4][512];
    char body[BODY_MAX];
};

static svl_slice random_bytes(char *to, size_t len)
{
    for (size_t i = 0; i < len; i++)
        to[i] = (char)rng_below(&rng, 256);
    return (svl_slice){ to, len };
}

static svl_slice random_name(char *to, const char *prefix, unsigned of)
{
    uint64_t kind = rng_below(&rng, 20);
    if (kind == 0)
        return (svl_slice){ NULL, 0 };
    if (kind == 1) {
        memset(to, 'n', 255);
        memcpy(to, "\xc3\xa9\xe2\x82\xac", 5);
        return (svl_slice){ to, 255 };
    }
    int n = snprintf(to, 512, "%s-%u", prefix, (unsigned)rng_below(&rng, of));
    return (svl_slice){ to, (size_t)n };
}

static svl_slice random_key(char *to)
{
    uint64_t kind = rng_below(&rng, 12);
    if (kind < 3)
        return (svl_slice){ NULL, 0 };
    if (kind == 3)
        return random_bytes(to, 1 + (size_t)rng_below(&rng, 3));
    if (kind == 4 && rng_below(&rng, 10) == 0)
        return random_bytes(to, 256 + (size_t)rng_below(&rng, 225));
    int n =
        snprintf(to, 512, "key/%0*u", 1 + (int)rng_below(&rng, 4), (unsigned)rng_below(&rng, 60));
    return (svl_slice){ to, (size_t)n };
}

static void random_attribute(struct made *m, uint32_t i)
{
    static const double doubles[] = {
        0.0, -0.0, 1.5, -1e300, 5e-324, __builtin_inf(), __builtin_nan("7")
    };
    svl_attribute *a = &m->attributes[i];
    int n = snprintf(m->names[i], sizeof m->names[i], "a.%u", (unsigned)i % 1000);
    *a = (svl_attribute){ .name = { m->names[i], (size_t)n },
                          .kind = 1 + (uint32_t)rng_below(&rng, SVL_ATTRIBUTE_BOOL) };
    if (a->kind == SVL_ATTRIBUTE_TEXT)
        a->bytes = slice_of(rng_below(&rng, 2) ? "caf\xc3\xa9 \"au\\lait\"\n" : "");
    else if (a->kind == SVL_ATTRIBUTE_BYTES)
        a->bytes = random_bytes(m->texts[3], (size_t)rng_below(&rng, 40));
    else if (a->kind == SVL_ATTRIBUTE_I64)
        a->i64 = (int64_t)(rng_next(&rng) >> rng_below(&rng, 64));
    else if (a->kind == SVL_ATTRIBUTE_F64)
        a->f64 = doubles[rng_below(&rng, sizeof doubles / sizeof doubles[0])];
    else
        a->i64 = (int64_t)rng_below(&rng, 2);
}

static svl_slice random_body(struct made *m)
{
    uint64_t kind = rng_below(&rng, 40);
    size_t len = (size_t)rng_below(&rng, kind == 0 ? body_max : kind < 10 ? body_max / 20 : 100);
    if (m->record.body_kind == SVL_BODY_BINARY)
        return random_bytes(m->body, len);
    for (size_t i = 0; i < len; i++)
        m->body[i] = (char)('a' + (i * i / 7 + kind) % 26);
    return (svl_slice){ m->body, len };
}

static const svl_record *random_record_with(uint32_t attributes)
{
    static struct made m;
    static const int64_t times[] = { INT64_MIN, -1, 1, INT64_MAX, 1700000000 * NS_PER_S };
    uint64_t time_kind = rng_below(&rng, 20);
    m.record = (svl_record){
        .severity = (uint32_t)rng_below(&rng, SVL_SEVERITY_MAX + 1),
        .body_kind = (uint32_t)rng_below(&rng, SVL_BODY_BINARY + 1),
        .source = random_name(m.texts[0], "source", 5),
        .type = random_name(m.texts[1], "type", 400),
        .key = random_key(m.texts[2]),
        .flags = rng_below(&rng, 8) ? 0 : (uint32_t)rng_below(&rng, 512),
        .time_ns = time_kind < 5 ? times[time_kind] : (int64_t)rng_below(&rng, 4) * NS_PER_MS,
    };
    m.record.body = random_body(&m);
    m.record.attribute_count = attributes;
    m.record.attributes = m.attributes;
    for (uint32_t i = 0; i < attributes; i++)
        random_attribute(&m, i);
    return &m.record;
}

static const svl_record *random_record(void)
{
    bool many = rng_below(&rng, 50) == 0;
    return random_record_with(many ? ATTRIBUTES_MAX : (uint32_t)rng_below(&rng, 4));
}

/* --- stores alone --- */

static svl_store_options options_of(void)
{
    svl_store_options options;
    must(svl_store_options_init(&options, sizeof options), "options");
    options.codec = codec;
    options.segment_bytes = 16 << 20;
    return options;
}

static svl_store *open_with(const svl_store_options *options)
{
    svl_store *store;
    must(svl_store_open(path, options, &store), "open");
    return store;
}

static svl_store *open_store(void)
{
    svl_store_options options = options_of();
    return open_with(&options);
}

static void append_random(svl_store *store, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        must(svl_store_append(store, random_record(), 1, NULL), "append");
}

static void append_many(svl_store *store, const svl_record *record, size_t n)
{
    svl_record *records = calloc(n, sizeof *records);
    if (!records)
        must(SVL_E_NOMEM, "records");
    for (size_t i = 0; i < n; i++)
        records[i] = *record;
    must(svl_store_append(store, records, n, NULL), "append");
    free(records);
}

static void commit(svl_store *store)
{
    must(svl_store_commit(store, -1), "commit");
}

static void close_store(svl_store *store)
{
    must(svl_store_close(store), "close");
}

/* Nothing is left that the close would commit, and no filter to make. */
static void close_with_filters(svl_store *store)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    commit(store);
    must(svl_store_stats_get(store, &stats), "stats");
    for (uint64_t n = 0; n + 1 < stats.segments;) {
        DIR *listing = opendir(path);
        n = 0;
        for (const struct dirent *entry; listing && (entry = readdir(listing));)
            n += strcmp(strchrnul(entry->d_name, '.'), ".keys") == 0;
        closedir(listing);
        usleep(1000);
    }
    close_store(store);
}

static void make_empty(void)
{
    close_store(open_store());
}

/* Every column takes every shape. */
static void make_columns(void)
{
    svl_store *store = open_store();
    for (unsigned i = 0; i < 4; i++) {
        append_random(store, 100);
        commit(store);
    }
    append_many(store, random_record_with(ATTRIBUTES_MAX), 1);
    commit(store);
    append_many(store, &(svl_record){ .time_ns = 5 * NS_PER_S, .flags = SVL_RECORD_UNPROCESSED },
                300);
    commit(store);
    append_many(store, &(svl_record){ .time_ns = 7, .severity = 9, .key = slice_of("one") }, 300);
    close_store(store);
}

/* Numbers in every encoding: of more than one byte, of more than two, and so large that varints are no shorter. */
static void make_wide(void)
{
    svl_store_options options = options_of();
    options.record_bytes_max = 3 << 20;
    options.journal_file_bytes_max = 64 << 20;
    options.segment_bytes = 64 << 20;
    options.block_bytes = 4 << 20;
    svl_store *store = open_with(&options);
    static char body[(2 << 20) + 10];
    memset(body, 'w', sizeof body);
    for (unsigned i = 0; i < 300; i++) {
        char name[32];
        int n = snprintf(name, sizeof name, "source-%u", i);
        svl_record record = { .source = { name, (size_t)n },
                              .key = { name, (size_t)n },
                              .body = { body, i } };
        append_many(store, &record, 1);
    }
    commit(store);
    append_many(store, &(svl_record){ .body = { body, 70000 } }, 1);
    append_many(store, &(svl_record){ .body = { body, 3 } }, 20);
    commit(store);
    append_many(store, &(svl_record){ .body = { body, sizeof body } }, 1);
    append_many(store, &(svl_record){ .body = { body, sizeof body - 1 } }, 1);
    close_store(store);
}

/* Blocks of few records, so that the key index has runs, and blocks above them. */
static void make_runs(void)
{
    svl_store_options options = options_of();
    options.block_bytes = 4096;
    svl_store *store = open_with(&options);
    static char body[1400];
    memset(body, 'r', sizeof body);
    for (unsigned part = 0; part < 3; part++) {
        svl_record records[330];
        char keys[330][16];
        for (unsigned i = 0; i < 330; i++) {
            int n = snprintf(keys[i], sizeof keys[i], "k%u", (i * 7 + part) % 200);
            records[i] = (svl_record){ .key = { keys[i], i % 5 ? (size_t)n : 0 },
                                       .body = { body, i % 40 ? sizeof body : 700 } };
        }
        for (unsigned i = 0; i < 330; i += 22)
            must(svl_store_append(store, records + i, 22, NULL), "append");
        commit(store);
    }
    close_store(store);
}

/* Segments end where the clock is set. */
static void make_clock(void)
{
    svl_store *store = open_store();
    static const int64_t steps[] = { 0, 5 * HOUR, -3 * HOUR, 2 * HOUR };
    for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        atomic_fetch_add(&wall_shift, steps[i]);
        append_random(store, 30);
        append_random(store, 10);
        commit(store);
    }
    close_with_filters(store);
}

/* Segments end where they are full. */
static void make_full(void)
{
    svl_store_options options = options_of();
    options.segment_bytes = 8 << 20;
    options.commit_bytes = 1 << 20;
    svl_store *store = open_with(&options);
    static char body[400000];
    random_bytes(body, sizeof body);
    for (unsigned i = 0; i < 45; i++) {
        char key[16];
        int n = snprintf(key, sizeof key, "full-%u", i);
        svl_record record = { .key = { key, (size_t)n },
                              .body = { body + i, sizeof body - i * 1000 } };
        append_many(store, &record, 1);
    }
    close_with_filters(store);
}

/* The oldest segments are retired. */
static void make_retired(void)
{
    svl_store_options options = options_of();
    options.retain_records_max = 50;
    svl_store *store = open_with(&options);
    for (unsigned i = 0; i < 5; i++) {
        atomic_fetch_add(&wall_shift, 2 * HOUR);
        append_random(store, 30);
        append_random(store, 10);
        commit(store);
    }
    must(svl_store_retain(store, NULL), "retain");
    close_store(store);
}

static void make_journal_killed(void)
{
    append_random(open_store(), 200);
    die();
}

/* Many journal files, some of them written over. */
static void make_rolled_killed(void)
{
    svl_store_options options = options_of();
    options.journal_file_bytes_max = 256 << 10;
    options.record_bytes_max = 32 << 10;
    svl_store *store = open_with(&options);
    static char body[20000];
    memset(body, 'j', sizeof body);
    for (unsigned i = 0; i < 150; i++) {
        append_many(store, &(svl_record){ .body = { body, sizeof body - i } }, 1);
        if (i == 60 || i == 100)
            commit(store);
    }
    die();
}

static void live_committed(void)
{
    svl_store *store = open_store();
    append_random(store, 60);
    commit(store);
    append_random(store, 20);
}

static void live_uncommitted(void)
{
    append_random(open_store(), 20);
}

/* Recoveries upon recoveries: batches that were copied. */
static void make_reopened_killed(void)
{
    in_child(live_committed);
    for (unsigned i = 0; i < 4; i++) {
        rng.state += i;
        in_child(live_uncommitted);
    }
    die();
}

/* Records in wire form, one behind the other. */
static void encode_random(struct buffer *out, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const svl_record *record = random_record();
        uint8_t *to = svl__buffer_reserve(out, svl__wire_size(record));
        if (!to)
            must(SVL_E_NOMEM, "records");
        svl__wire_encode(record, 1, to);
        out->len += svl__wire_size(record);
    }
}

static struct block *encode_block(const struct buffer *wire, uint64_t first_id, unsigned n,
                                  int64_t ingest_ns)
{
    struct block_options options = { .codec = codec, .block_bytes = 4 << 20 };
    struct block_builder *builder;
    struct block *block;
    size_t at = 0;
    must(svl__block_builder_create(&options, &builder), "builder");
    for (unsigned i = 0; i < n; i++) {
        struct wire_view view;
        uint32_t len = svl__wire_length(wire->data + at, wire->len - at);
        must(svl__wire_view(wire->data + at, len, &view), "view");
        must(svl__block_builder_add(builder, first_id + i, ingest_ns, &view), "add");
        at += len;
    }
    must(svl__block_builder_finish(builder, &block), "finish");
    svl__block_builder_destroy(builder);
    return block;
}

static int pass_batch(const struct journal_batch *batch, void *user)
{
    (void)batch;
    (void)user;
    return SVL_OK;
}

static void write_sections(struct journal *journal, uint64_t first_id)
{
    struct buffer wire = { 0 }, in_block = { 0 }, ops = { 0 };
    encode_random(&wire, 5);
    encode_random(&in_block, 20);
    int64_t ingest_ns = svl__wall_ns();
    struct block *block = encode_block(&in_block, first_id + 5, 20, ingest_ns);
    svl__op_encode(&(struct store_op){ slice_of("kept"), slice_of("value") }, &ops);
    svl__op_encode(&(struct store_op){ slice_of("gone"), slice_of("value") }, &ops);
    svl__op_encode(&(struct store_op){ slice_of("empty"), { "", 0 } }, &ops);
    svl__op_encode(&(struct store_op){ slice_of("gone"), { NULL, 0 } }, &ops);
    struct journal_section sections[] = { { JOURNAL_WIRE, 5, wire.data, wire.len },
                                          { JOURNAL_BLOCK, 20, block->data, block->len },
                                          { JOURNAL_OPS, 4, ops.data, ops.len } };
    struct ring_position ring = { "a ring's uuid---", 64 };
    struct journal_batch batch = { .first_id = first_id,
                                   .count = 25,
                                   .last_op = 4,
                                   .ingest_ns = ingest_ns,
                                   .rings = &ring,
                                   .ring_count = 1,
                                   .section_count = 3,
                                   .sections = sections };
    must(svl__journal_write(journal, &batch), "write");
    svl__block_release(block);
    svl__buffer_free(&wire);
    svl__buffer_free(&in_block);
    svl__buffer_free(&ops);
}

/* A batch of all kinds of sections, mixed as the store does not write them. */
static void make_sections(void)
{
    svl_store *store = open_store();
    struct journal_options options = { .file_mode = 0600,
                                       .file_bytes_first = 256 << 10,
                                       .file_bytes_max = 16 << 20 };
    struct journal_recovery recovery;
    struct journal *journal;
    uint64_t durable;
    append_random(store, 5);
    memcpy(options.store_uuid, svl__store_uuid(store), sizeof options.store_uuid);
    close_store(store);
    options.directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(svl__journal_open(&options, pass_batch, NULL, &recovery, &journal), "journal");
    write_sections(journal, 6);
    must(svl__journal_flush(journal, &durable), "flush");
    svl__journal_close(journal);
    close(options.directory);
}

static void *append_on(void *store)
{
    for (uint64_t i = 0;; i++) {
        char key[32];
        int n = snprintf(key, sizeof key, "torn-%" PRIu64, i % 50);
        svl_record record = { .key = { key, (size_t)n }, .body = slice_of("killed from outside") };
        must(svl_store_append(store, &record, 1, NULL), "append");
    }
    return NULL;
}

/* Until somebody kills it. */
static void make_threads_killed(void)
{
    svl_store_options options = options_of();
    options.journal_file_bytes_max = 256 << 10;
    options.record_bytes_max = 32 << 10;
    options.commit_age_ms = 10;
    options.block_bytes = 4096;
    svl_store *store = open_with(&options);
    pthread_t threads[3];
    body_max = 800; /* with all attributes, too, less than record_bytes_max */
    append_random(store, 1);
    puts("{\"ready\":true}");
    fflush(stdout);
    for (size_t i = 0; i < 3; i++)
        if (pthread_create(&threads[i], NULL, append_on, store) != 0)
            must(SVL_E_RESOURCE, "a thread");
    for (;;)
        pause();
}

/* --- pipelines --- */

static svl_pipeline *open_pipeline(uint32_t flags)
{
    svl_store_options store = options_of();
    svl_options options;
    svl_pipeline *pipeline;
    must(svl_options_init(&options, sizeof options), "options");
    options.store = &store;
    options.flags = flags;
    options.ring_bytes = 8 << 20;
    options.ring_directory = ring_directory;
    must(svl_open(path, &options, &pipeline), "open");
    return pipeline;
}

static void publish(svl_pipeline *pipeline, const char *type, unsigned n)
{
    char body[32];
    int len = snprintf(body, sizeof body, "%s %u", type, n);
    svl_record record = { .source = slice_of("app"),
                          .type = slice_of(type),
                          .body = { body, (size_t)len } };
    must(svl_publish(pipeline, &record), "publish");
}

/* "split" becomes three records, "drop" none. */
static int shape(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)user;
    if (record->type.len == 4 && memcmp(record->type.data, "drop", 4) == 0)
        return SVL_DROP;
    if (record->type.len != 5 || memcmp(record->type.data, "split", 5) != 0)
        return SVL_OK;
    for (int i = 0; i < 2; i++) {
        svl_record part = { .source = record->source,
                            .type = slice_of("part"),
                            .key = record->body };
        if (svl_ingest_emit(ingest, &part) != SVL_OK)
            return SVL_FAIL;
    }
    return SVL_OK;
}

static int copy(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    (void)user;
    int rc = svl_batch_records(batch, &records, &n);
    for (size_t i = 0; rc == SVL_OK && i < n; i++) {
        svl_record copied = { .source = slice_of("copier"),
                              .type = records[i].type,
                              .body = records[i].body };
        rc = svl_batch_emit(batch, i, &copied);
    }
    return rc;
}

static int reject(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    (void)user;
    int rc = svl_batch_records(batch, &records, &n);
    for (size_t i = 0; rc == SVL_OK && i < n; i += 7)
        rc = svl_batch_reject(batch, i, "of no use");
    return rc;
}

static svl_subscription *subscribe(svl_pipeline *pipeline, const char *name, svl_stored_fn *handler)
{
    svl_stored_options options;
    svl_subscription *subscription;
    must(svl_stored_options_init(&options, sizeof options), "options");
    options.name = name;
    options.start_at = SVL_START_EARLIEST;
    options.filter.source = "app";
    must(svl_on_stored(pipeline, &options, handler, NULL, &subscription), "subscribe");
    return subscription;
}

static void tell(const char *name, svl_subscription *subscription)
{
    svl_subscription_info info = { .struct_size = sizeof info };
    must(svl_subscription_info_get(subscription, &info), "info");
    printf("{\"subscription\":\"%s\",\"position\":%" PRIu64 ",\"paused\":%" PRIu32 "}\n", name,
           info.position, info.paused);
}

static void make_pipeline(void)
{
    svl_ingest_options ingest;
    svl_pipeline *pipeline = open_pipeline(0);
    must(svl_ingest_options_init(&ingest, sizeof ingest), "options");
    must(svl_on_ingest(pipeline, &ingest, shape, NULL), "ingest handler");
    svl_subscription *copier = subscribe(pipeline, "copier", copy);
    svl_subscription *rejecter = subscribe(pipeline, "rejecter.1", reject);
    svl_subscription *paused = subscribe(pipeline, "paused", copy);
    must(svl_subscription_pause(paused), "pause");
    must(svl_start(pipeline), "start");
    static const char *const types[] = { "plain", "split", "drop", "plain" };
    for (unsigned i = 0; i < publishes; i++)
        publish(pipeline, types[i % 4], i);
    must(svl_stop(pipeline, -1), "stop");
    tell("copier", copier);
    tell("rejecter.1", rejecter);
    tell("paused", paused);
    must(svl_close(pipeline), "close");
}

/* Until the store has so many records, of whatever ring. */
static void host_until(uint64_t records)
{
    svl_pipeline *pipeline = open_pipeline(0);
    svl_store_stats stats = { .struct_size = sizeof stats };
    must(svl_start(pipeline), "start");
    for (unsigned i = 0; i < 20; i++)
        publish(pipeline, "host", i);
    while (stats.records < records) {
        sleep_ms(1);
        must(svl_store_stats_get(svl_pipeline_store(pipeline), &stats), "stats");
    }
}

static void live_host(void)
{
    host_until(20);
}

static void live_second_host(void)
{
    host_until(20 + 2 * 20 + 20);
}

static void live_attached(void)
{
    svl_attach_options options;
    svl_publisher *publisher;
    must(svl_attach_options_init(&options, sizeof options), "options");
    options.ring_directory = ring_directory;
    options.ring_bytes = 64 << 10;
    must(svl_attach(path, &options, &publisher), "attach");
    for (unsigned i = 0; i < 20; i++) {
        char body[32];
        int len = snprintf(body, sizeof body, "attached %u", i);
        svl_record record = { .source = slice_of("other"), .body = { body, (size_t)len } };
        must(svl_publisher_publish(publisher, &record), "publish");
    }
    must(svl_publisher_close(publisher), "close");
}

/* Batches name several rings. */
static void make_rings_killed(void)
{
    in_child(live_host);
    in_child(live_attached);
    in_child(live_attached);
    in_child(live_second_host);
    die();
}

/* The rings of two processes that nobody has drained. */
static void make_attached_killed(void)
{
    in_child(live_host);
    in_child(live_attached);
    in_child(live_attached);
    die();
}

static _Atomic int inside;

static int hang_on_tenth(svl_ingest *ingest, svl_record *record, void *user)
{
    static _Atomic int calls;
    (void)ingest;
    (void)record;
    (void)user;
    if (atomic_fetch_add(&calls, 1) < 9)
        return SVL_OK;
    atomic_store(&inside, 1);
    for (;;)
        pause();
}

/* What was published and not stored is in the ring. */
static void make_ring_killed(void)
{
    svl_ingest_options ingest;
    svl_pipeline *pipeline = open_pipeline(0);
    must(svl_ingest_options_init(&ingest, sizeof ingest), "options");
    must(svl_on_ingest(pipeline, &ingest, hang_on_tenth, NULL), "ingest handler");
    must(svl_start(pipeline), "start");
    for (unsigned i = 0; i < 40; i++)
        publish(pipeline, "ring", i);
    while (!atomic_load(&inside))
        sleep_ms(1);
    die();
}

static int hang(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    (void)user;
    must(svl_batch_records(batch, &records, &n), "records");
    printf("{\"marked\":\"hanging\",\"first\":%" PRIu64 ",\"last\":%" PRIu64 "}\n", records[0].id,
           records[n - 1].id);
    atomic_store(&inside, 1);
    for (;;)
        pause();
    return SVL_OK;
}

/* A private ring: marks are in a file. */
static void make_marks_killed(void)
{
    svl_pipeline *pipeline = open_pipeline(SVL_PIPELINE_PRIVATE_RING);
    subscribe(pipeline, "hanging", hang);
    must(svl_start(pipeline), "start");
    for (unsigned i = 0; i < 40; i++)
        publish(pipeline, "marked", i);
    while (!atomic_load(&inside))
        sleep_ms(1);
    die();
}

/* A store whose formats are to be read for ever: segments with runs of keys, values, and a journal above them. */
static void live_seasons(void)
{
    svl_store *store = open_store();
    for (unsigned i = 0; i < 3; i++) {
        atomic_fetch_add(&wall_shift, 2 * HOUR);
        append_random(store, 12);
        commit(store);
    }
    append_random(store, 4);
}

static void make_golden_killed(void)
{
    publishes = 24;
    body_max = 800;
    in_child(make_pipeline);
    in_child(live_seasons);
    in_child(live_uncommitted);
    die();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*make)(void);
    } kinds[] = {
        { "empty", make_empty },
        { "columns", make_columns },
        { "wide", make_wide },
        { "runs", make_runs },
        { "clock", make_clock },
        { "full", make_full },
        { "retired", make_retired },
        { "journal-killed", make_journal_killed },
        { "rolled-killed", make_rolled_killed },
        { "reopened-killed", make_reopened_killed },
        { "sections", make_sections },
        { "threads-killed", make_threads_killed },
        { "pipeline", make_pipeline },
        { "rings-killed", make_rings_killed },
        { "attached-killed", make_attached_killed },
        { "ring-killed", make_ring_killed },
        { "marks-killed", make_marks_killed },
        { "golden-killed", make_golden_killed },
    };
    static const char *const codecs[] = { "default", "none", "lz4", "zstd" };
    if (argc != 6) {
        fputs("usage: format_writer KIND CODEC STORE RING_DIRECTORY SEED\n", stderr);
        return 2;
    }
    while (codec < 4 && strcmp(argv[2], codecs[codec]) != 0)
        codec++;
    path = argv[3];
    ring_directory = argv[4];
    rng.state = strtoull(argv[5], NULL, 10);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(argv[1], kinds[i].name) != 0)
            continue;
        kinds[i].make();
        return 0;
    }
    fprintf(stderr, "there is no kind %s\n", argv[1]);
    return 2;
}
