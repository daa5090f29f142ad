/* logpipe.c - the main job: log lines in, shaped, stored, watched, and asked for again.
 *
 *     logpipe [OPTIONS] [STORE [FILE | -]]
 *
 * Each line of FILE is published with its place in the file. An ingest handler finds time, severity,
 * source and key in it. A stored handler raises an alert, a record of source "alerts", for each line of
 * severity WARN or above, or with a --watch word: exactly once, whatever happens to the process. Killed
 * half-way and started again, it goes on behind the last line that is stored; records that were in the
 * crash ring are stored by then. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "input.h"
#include "line_parse.h"
#include "show.h"

#define NS_PER_S INT64_C(1000000000)
#define SHOWN 3

struct job {
    const char *store_path;
    const char *file_path; /* "-": standard input */
    const char *source;    /* of lines that name none */
    const char *watch;
    bool json;
    long rate; /* lines a second at most; 0: as fast as it goes */
    svl_pipeline *pipeline;
    struct input input;
    uint64_t lines, bytes;
    bool progress;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* --- handlers --- */

/* Plain ASCII that is not the library's own: what a source may be without more ado. */
static bool is_source(const char *text, size_t len)
{
    if (len == 0 || len > 255 || (len >= 10 && memcmp(text, "serverlog.", 10) == 0))
        return false;
    for (size_t i = 0; i < len; i++)
        if (text[i] < '!' || text[i] > '~')
            return false;
    return true;
}

static int shape(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)ingest;
    (void)user;
    struct line line;
    line_parse(record->body, record->time_ns, &line);
    if (line.time_ns != 0)
        record->time_ns = line.time_ns;
    record->severity = line.severity;
    if (is_source(line.source.data, line.source.len))
        record->source = line.source;
    record->key = line.key;
    return SVL_OK;
}

static bool is_watched(const struct job *job, const svl_record *record)
{
    if (record->source.len == 6 && memcmp(record->source.data, "alerts", 6) == 0)
        return false; /* an alert raises none */
    return record->severity >= SVL_SEVERITY_WARN ||
           (job->watch && record->body.len > 0 &&
            memmem(record->body.data, record->body.len, job->watch, strlen(job->watch)));
}

static int raise_alerts(svl_batch *batch, void *user)
{
    const struct job *job = user;
    const svl_record *records;
    size_t n;
    int rc = svl_batch_records(batch, &records, &n);
    for (size_t i = 0; rc == SVL_OK && i < n; i++) {
        if (!is_watched(job, &records[i]))
            continue;
        svl_attribute cause = { .name = { "cause.id", 8 },
                                .kind = SVL_ATTRIBUTE_I64,
                                .i64 = (int64_t)records[i].id };
        svl_record alert = { .time_ns = records[i].time_ns,
                             .severity = records[i].severity,
                             .source = { "alerts", 6 },
                             .type = records[i].source,
                             .key = records[i].key,
                             .body = records[i].body,
                             .attributes = &cause,
                             .attribute_count = 1 };
        rc = svl_batch_emit(batch, i, &alert);
    }
    return rc;
}

/* --- the place in the file --- */

/* The newest stored line of this file: where it ended, and what stood before that. False: none. */
static bool take_place(const svl_record *record, uint64_t *offset, uint64_t *check)
{
    int found = 0;
    for (uint32_t i = 0; i < record->attribute_count; i++) {
        const svl_attribute *a = &record->attributes[i];
        if (a->name.len == 11 && memcmp(a->name.data, "file.offset", 11) == 0 && ++found)
            *offset = (uint64_t)a->i64;
        else if (a->name.len == 10 && memcmp(a->name.data, "file.check", 10) == 0 && ++found)
            *check = (uint64_t)a->i64;
    }
    return found == 2;
}

static int go_on(struct job *job)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t offset, check;
    int rc = svl_query_init(&query, sizeof query);
    query.type = (svl_slice){ job->input.type, strlen(job->input.type) };
    query.flags = SVL_QUERY_BACKWARD;
    query.limit = 1;
    if (rc == SVL_OK)
        rc = svl_store_query(svl_pipeline_store(job->pipeline), &query, &cursor);
    if (rc != SVL_OK)
        return rc;
    rc = svl_cursor_next(cursor, 0, &record);
    if (rc == SVL_OK && take_place(record, &offset, &check) &&
        !input_go_on(&job->input, offset, check))
        fprintf(stderr, "%s is not what was read before; it is read from its start\n",
                job->file_path);
    svl_cursor_close(cursor);
    return rc == SVL_E_END ? SVL_OK : rc;
}

static int open_input(struct job *job)
{
    const char *name = strrchr(job->file_path, '/');
    name = name ? name + 1 : job->file_path;
    job->source = is_source(name, strlen(name)) ? name : "file";
    if (input_open(&job->input, job->file_path) != 0) {
        fprintf(stderr, "%s: %s\n", job->file_path, strerror(errno));
        return -1;
    }
    return 0;
}

/* --- reading and publishing --- */

static int publish_line(struct job *job, svl_slice text)
{
    svl_attribute place[] = { { .name = { "file.offset", 11 },
                                .kind = SVL_ATTRIBUTE_I64,
                                .i64 = (int64_t)job->input.offset },
                              { .name = { "file.check", 10 },
                                .kind = SVL_ATTRIBUTE_I64,
                                .i64 = (int64_t)input_check(&job->input) } };
    svl_record record = { .source = { job->source, strlen(job->source) },
                          .type = { job->input.type, strlen(job->input.type) },
                          .body = text,
                          .attributes = place,
                          .attribute_count = job->input.is_file ? 2 : 0 };
    int rc;
    do
        rc = svl_publish(job->pipeline, &record);
    while (rc ==
           SVL_E_FULL); /* it has waited for space already: a slow disk is no reason to lose */
    return rc;
}

static void show_progress(const struct job *job, int64_t start_ns, bool last)
{
    static int64_t shown_ns;
    int64_t now = now_ns();
    if (!job->progress || (!last && now - shown_ns < NS_PER_S / 10))
        return;
    shown_ns = now;
    char read[32], size[32];
    double seconds = (double)(now - start_ns) / (double)NS_PER_S;
    const struct input *in = &job->input;
    fprintf(stderr, "\r%s of %s  %3.0f %%  %.0f lines/s ", show_bytes(in->offset, read),
            show_bytes(in->size, size),
            in->size ? 100.0 * (double)in->offset / (double)in->size : 0.0,
            seconds > 0 ? (double)job->lines / seconds : 0);
    if (last)
        fputc('\n', stderr);
}

static void keep_rate(const struct job *job, int64_t start_ns)
{
    if (job->rate == 0)
        return;
    int64_t due_ns = start_ns + (int64_t)job->lines * NS_PER_S / job->rate;
    int64_t wait_ns = due_ns - now_ns();
    if (wait_ns > 0) {
        struct timespec t = { wait_ns / NS_PER_S, wait_ns % NS_PER_S };
        nanosleep(&t, NULL);
    }
}

static int read_lines(struct job *job)
{
    int64_t start_ns = now_ns();
    uint64_t start = job->input.offset;
    svl_slice line;
    int rc = SVL_OK, more = 1;
    while (rc == SVL_OK && (more = input_line(&job->input, &line)) == 1) {
        rc = publish_line(job, line);
        job->lines++;
        show_progress(job, start_ns, false);
        keep_rate(job, start_ns);
    }
    if (more < 0)
        fprintf(stderr, "%s: %s\n", job->file_path, strerror(errno));
    job->bytes = job->input.offset - start;
    show_progress(job, start_ns, true);
    return more < 0 ? SVL_FAIL : rc;
}

/* --- asking --- */

static void show(const struct job *job, const svl_record *record)
{
    if (job->json)
        show_record_json(stdout, record);
    else
        show_record(stdout, record);
}

/* Counts what the query finds and shows the first few. */
static int ask(const struct job *job, const char *question, const svl_query *query)
{
    svl_cursor *cursor;
    const svl_record *records;
    size_t n;
    uint64_t found = 0;
    int rc = svl_store_query(svl_pipeline_store(job->pipeline), query, &cursor);
    if (rc != SVL_OK)
        return rc;
    if (!job->json)
        printf("\n%s\n", question);
    while ((rc = svl_cursor_next_many(cursor, 0, 1000, &records, &n)) == SVL_OK) {
        for (size_t i = 0; i < n; i++, found++)
            if (found < SHOWN)
                show(job, &records[i]);
    }
    svl_cursor_close(cursor);
    if (!job->json)
        printf("%10llu found\n", (unsigned long long)found);
    return rc == SVL_E_END ? SVL_OK : rc;
}

/* A stored line to take the questions from: the newest one with a key. */
static int find_example(const struct job *job, svl_record_buffer **out)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    *out = NULL;
    int rc = svl_query_init(&query, sizeof query);
    query.flags = SVL_QUERY_BACKWARD;
    query.key_kind = SVL_KEY_PREFIX;
    query.limit = 1;
    if (rc == SVL_OK)
        rc = svl_store_query(svl_pipeline_store(job->pipeline), &query, &cursor);
    if (rc != SVL_OK)
        return rc;
    rc = svl_cursor_next(cursor, 0, &record);
    if (rc == SVL_OK)
        rc = svl_store_get(svl_pipeline_store(job->pipeline), record->id, out);
    svl_cursor_close(cursor);
    return rc == SVL_E_END ? SVL_OK : rc;
}

static int ask_about(const struct job *job, const svl_record *example)
{
    char question[640];
    svl_query query;
    int rc = svl_query_init(&query, sizeof query);
    query.key_kind = SVL_KEY_EXACT;
    query.key_low = example->key;
    snprintf(question, sizeof question, "Key %.*s:", (int)example->key.len,
             (const char *)example->key.data);
    if (rc == SVL_OK)
        rc = ask(job, question, &query);
    query.key_kind = SVL_KEY_PREFIX;
    query.key_low.len = example->key.len < 3 ? example->key.len : 3;
    snprintf(question, sizeof question, "Keys that start with %.*s:", (int)query.key_low.len,
             (const char *)query.key_low.data);
    if (rc == SVL_OK)
        rc = ask(job, question, &query);
    svl_query_init(&query, sizeof query);
    query.time_min_ns = example->time_ns - 3600 * NS_PER_S;
    query.time_max_ns = example->time_ns + NS_PER_S;
    if (rc == SVL_OK)
        rc = ask(job, "The hour up to the last record with a key:", &query);
    return rc;
}

static int ask_all(const struct job *job)
{
    svl_query query;
    svl_record_buffer *example;
    int rc = find_example(job, &example);
    if (rc == SVL_OK && example)
        rc = ask_about(job, svl_record_buffer_record(example));
    svl_record_buffer_destroy(example);
    svl_query_init(&query, sizeof query);
    query.severity_min = SVL_SEVERITY_WARN;
    query.flags = SVL_QUERY_BACKWARD;
    if (rc == SVL_OK)
        rc = ask(job, "Severity WARN and above, newest first:", &query);
    svl_query_init(&query, sizeof query);
    query.source = (svl_slice){ "alerts", 6 };
    query.flags = SVL_QUERY_BACKWARD;
    if (rc == SVL_OK)
        rc = ask(job, "Alerts, newest first:", &query);
    return rc;
}

static int report(const struct job *job, uint64_t place, int64_t took_ns)
{
    svl_store_stats store = { .struct_size = sizeof store };
    svl_pipeline_stats pipeline = { .struct_size = sizeof pipeline };
    int rc = svl_store_stats_get(svl_pipeline_store(job->pipeline), &store);
    if (rc == SVL_OK)
        rc = svl_pipeline_stats_get(job->pipeline, &pipeline);
    if (rc != SVL_OK)
        return rc;
    double seconds = (double)took_ns / (double)NS_PER_S;
    char in[32], disk[32];
    if (job->json) {
        printf("{\"lines\":%llu,\"bytes\":%llu,\"seconds\":%.6f,\"records\":%llu,"
               "\"disk_bytes\":%llu,\"ring_recovered\":%llu,\"started_at\":%llu}\n",
               (unsigned long long)job->lines, (unsigned long long)job->bytes, seconds,
               (unsigned long long)store.records, (unsigned long long)store.disk_bytes,
               (unsigned long long)pipeline.ring_recovered, (unsigned long long)place);
        return SVL_OK;
    }
    printf("%s: %llu lines, %s, in %.3f s (%.0f lines/s)", job->file_path,
           (unsigned long long)job->lines, show_bytes(job->bytes, in), seconds,
           seconds > 0 ? (double)job->lines / seconds : 0);
    if (place > 0)
        printf(", from offset %llu on", (unsigned long long)place);
    printf("\n%s: %llu records, %s on disk with the journal\n", job->store_path,
           (unsigned long long)store.records, show_bytes(store.disk_bytes, disk));
    if (pipeline.ring_recovered > 0)
        printf("%llu records were recovered from the crash ring\n",
               (unsigned long long)pipeline.ring_recovered);
    if (job->input.cut > 0)
        printf("%llu lines were cut to %u bytes\n", (unsigned long long)job->input.cut,
               LINE_BYTES_MAX);
    if (job->input.unfinished > 0)
        printf("%llu bytes of an unfinished last line are left for the next run\n",
               (unsigned long long)job->input.unfinished);
    return SVL_OK;
}

/* --- the whole --- */

static void tell(uint32_t level, int32_t code, const char *text, void *user)
{
    (void)user;
    if (level >= SVL_SEVERITY_WARN)
        fprintf(stderr, "%s%s%s\n", text, code ? ": " : "", code ? svl_strerror(code) : "");
}

static int set_up(struct job *job)
{
    svl_store_options store;
    svl_options options;
    svl_stored_options watch;
    int rc = svl_store_options_init(&store, sizeof store);
    if (rc == SVL_OK)
        rc = svl_options_init(&options, sizeof options);
    if (rc == SVL_OK)
        rc = svl_stored_options_init(&watch, sizeof watch);
    store.log = tell;
    options.store = &store;
    watch.name = "watch";
    watch.start_at = SVL_START_EARLIEST;
    watch.batch_records_max = 1000;
    if (rc == SVL_OK)
        rc = svl_open(job->store_path, &options, &job->pipeline);
    if (rc == SVL_OK)
        rc = svl_on_ingest(job->pipeline, NULL, shape, NULL);
    if (rc == SVL_OK)
        rc = svl_on_stored(job->pipeline, &watch, raise_alerts, job, NULL);
    if (rc == SVL_OK)
        rc = svl_start(job->pipeline);
    return rc == SVL_OK && job->input.is_file ? go_on(job) : rc;
}

static int run(struct job *job)
{
    int rc = set_up(job);
    uint64_t place = job->input.offset;
    job->progress =
        isatty(STDERR_FILENO) && job->input.size > place && job->input.size - place > 4u << 20;
    int64_t start_ns = now_ns();
    if (rc == SVL_OK)
        rc = read_lines(job);
    if (rc == SVL_OK)
        rc = svl_flush(job->pipeline, -1);
    int64_t took_ns = now_ns() - start_ns;
    if (rc == SVL_OK)
        rc = svl_stop(job->pipeline, -1); /* the alerts of all lines are raised when this returns */
    if (rc == SVL_OK)
        rc = svl_store_commit(svl_pipeline_store(job->pipeline), -1);
    if (rc == SVL_OK)
        rc = report(job, place, took_ns);
    if (rc == SVL_OK)
        rc = ask_all(job);
    if (rc < 0)
        fprintf(stderr, "%s\n", svl_last_error()[0] ? svl_last_error() : svl_strerror(rc));
    int closed = svl_close(job->pipeline);
    if (rc == SVL_OK && closed != SVL_OK)
        fprintf(stderr, "%s\n", svl_last_error());
    return rc == SVL_OK ? closed : rc;
}

static const char *default_file(void)
{
    static const char *const files[] = { "/var/log/dpkg.log", "/var/log/syslog",
                                         "/var/log/messages" };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct stat st;
        if (access(files[i], R_OK) == 0 && stat(files[i], &st) == 0 && st.st_size > 0)
            return files[i];
    }
    return SAMPLE_LOG;
}

static void usage(FILE *out)
{
    fputs("usage: logpipe [OPTIONS] [STORE [FILE | -]]\n"
          "Reads log lines into a store, raises alerts, and asks for what it stored.\n"
          "  STORE         directory of the store (logpipe.store)\n"
          "  FILE          log file, - for standard input (the machine's own, else a sample)\n"
          "  -w, --watch WORD  also alert on lines with this word\n"
          "  -r, --rate N      at most N lines a second\n"
          "  -j, --json        JSON lines\n"
          "  -h, --help\n",
          out);
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "watch", required_argument, NULL, 'w' },
                                             { "rate", required_argument, NULL, 'r' },
                                             { "json", no_argument, NULL, 'j' },
                                             { "help", no_argument, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    static struct job job = { .store_path = "logpipe.store" };
    for (int c; (c = getopt_long(argc, argv, "w:r:jh", options, NULL)) != -1;) {
        if (c == 'w' && optarg[0]) {
            job.watch = optarg;
        } else if (c == 'r' && (job.rate = atol(optarg)) > 0) {
            continue;
        } else if (c == 'r') {
            fprintf(stderr, "logpipe: --rate %s: a number above 0 is needed\n", optarg);
            return 2;
        } else if (c == 'j') {
            job.json = true;
        } else {
            usage(c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : 2;
        }
    }
    if (argc - optind > 2) {
        usage(stderr);
        return 2;
    }
    if (optind < argc)
        job.store_path = argv[optind];
    job.file_path = optind + 1 < argc ? argv[optind + 1] : default_file();
    if (open_input(&job) != 0)
        return 1;
    int rc = run(&job);
    input_close(&job.input);
    return show_end() == 0 && rc == SVL_OK ? 0 : 1;
}
