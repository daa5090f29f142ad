/* script.c - what all scripts share: the call and its words, the options, the handlers. */
#include "script.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

char ring_directory[64];
_Atomic bool script_told;

static const char nothing[] = "nothing has failed yet";

void run_wrong(struct run *run, const char *format, ...)
{
    va_list arguments;
    if (run->wrong[0])
        return;
    va_start(arguments, format);
    vsnprintf(run->wrong, sizeof run->wrong, format, arguments);
    va_end(arguments);
}

void run_begins(void)
{
    svl__fail(SVL_OK, "%s", nothing);
}

static bool is_outcome(int rc)
{
    return rc <= SVL_E_END && rc >= SVL_E_NOT_FOUND;
}

/* The code in words, and then what failed. */
static bool has_words(int rc, const char *words)
{
    size_t len = strlen(svl_strerror(rc));
    return strcmp(svl_strerror(rc), "unknown result") != 0 &&
           strncmp(words, svl_strerror(rc), len) == 0 && strlen(words) > len + 2;
}

bool run_ends(struct run *run, int rc, const char *call)
{
    if (rc == SVL_OK)
        return true;
    if (run->rc == SVL_OK) {
        run->rc = rc;
        run->call = call;
        snprintf(run->words, sizeof run->words, "%s", svl_last_error());
    }
    if (rc == SVL_E_INTERNAL)
        run_wrong(run, "%s: %s", call, svl_last_error());
    if (!is_outcome(rc) && !has_words(rc, svl_last_error()))
        run_wrong(run, "%s gave %d without words for it: %s", call, rc, svl_last_error());
    return false;
}

static void tell(uint32_t level, int32_t code, const char *text, void *user)
{
    (void)user;
    if (code < 0)
        script_told = true;
    if (getenv("SVL_TEST_LOG"))
        print_message("log: %u %d %s\n", level, code, text);
}

static svl_store_options store_options(void)
{
    svl_store_options o;
    svl_store_options_init(&o, sizeof o);
    o.record_bytes_max = 4096;
    o.block_bytes = 4096;
    o.journal_file_bytes_max = 256 << 10;
    o.segment_bytes = 8 << 20;
    o.commit_bytes = 64 << 10;
    o.tail_bytes = 1 << 20;
    o.readers_max = 8;
    o.sync_interval_ms = 2;
    o.log = tell;
    return o;
}

int script_open_store(const struct run *run, uint32_t flags, svl_store **out)
{
    svl_store_options o = store_options();
    o.flags = flags;
    if (!(flags & SVL_STORE_READ_ONLY))
        o.retain_records_max = RETAIN_RECORDS;
    return svl_store_open(run->path, &o, out);
}

svl_record script_record(unsigned number, char key[16])
{
    static const char text[] = "some text that is repeated, some text that is repeated";
    int n = snprintf(key, 16, "%u", number);
    return (svl_record){ .source = slice_of("in"),
                         .key = { key, (size_t)n },
                         .body = { text, number * 7 % sizeof text } };
}

/* Each input is followed by an added record with its key. */
static int add(svl_ingest *ingest, svl_record *record, void *user)
{
    svl_record added = { .source = slice_of("added"), .key = record->key };
    (void)user;
    return svl_ingest_emit(ingest, &added);
}

static unsigned number_of(const svl_record *record)
{
    char key[16] = "";
    if (record->key.len > 0 && record->key.len < sizeof key)
        memcpy(key, record->key.data, record->key.len);
    return (unsigned)strtoul(key, NULL, 10);
}

static int echo(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    (void)user;
    int rc = svl_batch_records(batch, &records, &n);
    for (size_t i = 0; rc == SVL_OK && i < n; i++) {
        svl_record reply = { .source = slice_of("echo"), .key = records[i].key };
        rc = number_of(&records[i]) % LETTER_EVERY == 0 ? svl_batch_reject(batch, i, "one of those")
                                                        : svl_batch_emit(batch, i, &reply);
    }
    return rc;
}

static int add_handlers(svl_pipeline *p)
{
    svl_ingest_options adding;
    svl_stored_options echoing;
    int rc = svl_ingest_options_init(&adding, sizeof adding);
    adding.filter.source = "in";
    if (rc == SVL_OK)
        rc = svl_on_ingest(p, &adding, add, NULL);
    if (rc == SVL_OK)
        rc = svl_stored_options_init(&echoing, sizeof echoing);
    if (rc != SVL_OK)
        return rc;
    echoing.name = "echo";
    echoing.filter.source = "in";
    echoing.start_at = SVL_START_EARLIEST;
    echoing.retry_attempts_max = UINT32_MAX; /* what fails is the call that is to fail */
    echoing.retry_base_ms = 1;
    echoing.retry_max_ms = 1;
    echoing.checkpoint_interval_ms = 5;
    return svl_on_stored(p, &echoing, echo, NULL, NULL);
}

int script_open_pipeline(const struct run *run, uint32_t flags, svl_pipeline **out)
{
    svl_store_options store = store_options();
    svl_options o;
    int rc = svl_options_init(&o, sizeof o);
    o.store = &store;
    o.flags = flags;
    o.ring_bytes = 64 << 10;
    o.ring_directory = ring_directory;
    o.worker_idle_ms = 10;
    o.close_timeout_ms = (uint32_t)run->patience_ms;
    if (rc == SVL_OK)
        rc = svl_open(run->path, &o, out);
    if (rc == SVL_OK)
        rc = add_handlers(*out);
    return rc;
}
