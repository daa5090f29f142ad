/* runs_pipeline.c - a pipeline with handlers, and with a publisher in another process. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runs.h"

/* The record is kept; every fourth is followed by a split of it. */
static int split(svl_ingest *ingest, svl_record *record, void *user)
{
    struct made_record *made = user;
    enum stream stream;
    uint64_t number, generation;
    if (!record_parse(record, &stream, &number, &generation) || number % SPLIT_EVERY != 0)
        return SVL_OK;
    record_make(made, STREAM_SPLIT, number, generation);
    return svl_ingest_emit(ingest, &made->record);
}

/* Every third is echoed, exactly once; of every seventeenth a dead letter is made. What is handed out is durable. */
static int echo(svl_batch *batch, void *user)
{
    struct made_record *made = user;
    const svl_record *records;
    size_t n;
    int rc = svl_batch_records(batch, &records, &n);
    for (size_t i = 0; rc == SVL_OK && i < n; i++) {
        enum stream stream;
        uint64_t number, generation;
        if (!record_parse(&records[i], &stream, &number, &generation))
            continue;
        recorder_mark(MARK_ACK, number, records[i].id);
        if (number % LETTER_EVERY == 0) {
            rc = svl_batch_reject(batch, i, "one of those");
        } else if (number % ECHO_EVERY == 0) {
            record_make(made, STREAM_ECHO, number, generation);
            rc = svl_batch_emit(batch, i, &made->record);
        }
    }
    return rc;
}

int script_open_pipeline(const struct script *script, const char *path, svl_pipeline **out)
{
    static struct made_record for_split, for_echo;
    svl_store_options store = script_store_options(script);
    svl_options options;
    svl_stored_options stored;
    int rc = svl_options_init(&options, sizeof options);
    options.store = &store;
    options.ring_bytes = 128 << 10;
    options.ring_directory = script_ring_directory();
    if (rc == SVL_OK)
        rc = svl_stored_options_init(&stored, sizeof stored);
    stored.name = "echo";
    stored.filter.source = "input";
    stored.start_at = SVL_START_EARLIEST;
    stored.checkpoint_interval_ms = 5;
    stored.batch_records_max = 7;
    if (rc == SVL_OK)
        rc = svl_open(path, &options, out);
    if (rc != SVL_OK)
        return rc;
    rc = svl_on_ingest(*out, NULL, split, &for_split);
    if (rc == SVL_OK)
        rc = svl_on_stored(*out, &stored, echo, &for_echo, NULL);
    if (rc != SVL_OK)
        svl_close(*out);
    return rc;
}

static void open_started(struct writer *w, const char *path, svl_pipeline **p)
{
    assert_ok(script_open_pipeline(w->script, path, p));
    assert_ok(svl_start(*p));
    w->store = svl_pipeline_store(*p);
}

/* Published, and now and then waited for. */
static void publish(struct writer *w, svl_pipeline *p, unsigned n)
{
    static struct made_record made;
    for (unsigned i = 0; i < n; i++) {
        uint64_t number = ++w->number, id;
        record_make(&made, STREAM_INPUT, number, w->generation);
        recorder_mark(MARK_GROUP, number, 0);
        if (number % 5 == 0) {
            assert_ok(svl_publish_sync(p, &made.record, -1, &id));
            recorder_mark(MARK_ACK, number, id);
            continue;
        }
        assert_ok(svl_publish(p, &made.record));
        if (number % 7 == 0) {
            assert_ok(svl_flush(p, -1));
            recorder_mark(MARK_ACK, number, 0);
        }
    }
}

static void close_pipeline(struct writer *w, svl_pipeline *p)
{
    assert_ok(svl_close(p));
    recorder_mark(MARK_ACK, w->number, 0);
}

void run_pipeline(const struct script *script, const char *path)
{
    struct writer w = { .script = script };
    svl_pipeline *p;
    open_started(&w, path, &p);
    publish(&w, p, 40);
    assert_ok(svl_store_commit(w.store, -1));
    publish(&w, p, 20);
    close_pipeline(&w, p);
    open_started(&w, path, &p);
    publish(&w, p, 20);
    close_pipeline(&w, p);
}

void resume_pipeline(const struct script *script, const char *path, uint64_t generation)
{
    struct writer w = { .script = script, .generation = generation };
    svl_pipeline *p;
    assert_ok(script_open_pipeline(script, path, &p));
    w.store = svl_pipeline_store(p);
    writer_mark_found(&w);
    assert_ok(svl_start(p));
    publish(&w, p, 12);
    close_pipeline(&w, p);
}

/* The other process: publishes what it is told to, and answers with the ids. */
static void publish_as_told(const char *path, int orders, int answers)
{
    static struct made_record made;
    svl_publisher *publisher = NULL;
    svl_attach_options o;
    uint64_t order[2], id; /* number, generation */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (read(orders, order, sizeof order) == sizeof order) {
        int rc = svl_attach_options_init(&o, sizeof o);
        o.ring_bytes = 128 << 10;
        o.ring_directory = script_ring_directory();
        if (rc == SVL_OK && !publisher)
            rc = svl_attach(path, &o, &publisher);
        record_make(&made, STREAM_INPUT, order[0], order[1]);
        if (rc == SVL_OK)
            rc = svl_publisher_publish_sync(publisher, &made.record, -1, &id);
        if (rc != SVL_OK) {
            fprintf(stderr, "attached: %d: %s\n", rc, svl_last_error());
            _exit(1);
        }
        if (write(answers, &id, sizeof id) != sizeof id)
            _exit(1);
    }
    svl_publisher_close(publisher);
    _exit(0);
}

/* Beside the host's own, each waited for, so that the order is known. */
static void publish_attached(struct writer *w, unsigned n, int orders, int answers)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t order[2] = { ++w->number, w->generation }, id;
        recorder_mark(MARK_GROUP, w->number, 0);
        assert_int_equal(write(orders, order, sizeof order), sizeof order);
        assert_int_equal(read(answers, &id, sizeof id), sizeof id);
        recorder_mark(MARK_ACK, w->number, id);
    }
}

void run_attached(const struct script *script, const char *path)
{
    struct writer w = { .script = script };
    svl_pipeline *p;
    int orders[2], answers[2], status;
    assert_int_equal(pipe(orders), 0);
    assert_int_equal(pipe(answers), 0);
    fflush(NULL);
    pid_t other = fork(); /* while there are no threads */
    assert_true(other >= 0);
    if (other == 0) {
        close(orders[1]);
        publish_as_told(path, orders[0], answers[1]);
    }
    close(orders[0]);
    close(answers[1]);
    for (int i = 0; i < 2; i++) { /* its ring outlives the first host */
        open_started(&w, path, &p);
        publish_attached(&w, 10, orders[1], answers[0]);
        publish(&w, p, 5);
        assert_ok(svl_flush(p, -1));
        publish_attached(&w, 5, orders[1], answers[0]);
        close_pipeline(&w, p);
    }
    close(orders[1]);
    close(answers[0]);
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_int_equal(status, 0);
}
