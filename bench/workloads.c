/* workloads.c - our side, on the public interface alone; and the list of all. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define SYNC_THREADS 64

static svl_pipeline *open_pipeline(const char *path)
{
    svl_pipeline *pipeline;
    if (svl_open(path, NULL, &pipeline) != SVL_OK) {
        bench_fail(svl_last_error());
        return NULL;
    }
    if (svl_start(pipeline) != SVL_OK) {
        bench_fail(svl_last_error());
        svl_close(pipeline);
        return NULL;
    }
    return pipeline;
}

/* Publishing alone: bursts that fit the ring, each drained before the next, outside the timing. */
static int64_t publish_bursts(const struct settings *settings, int64_t time_ns)
{
    enum { BURST = 10000 };
    static const char body[100] = { 'x' };
    const char *path = bench_path(settings, "r1.store");
    svl_pipeline *pipeline = open_pipeline(path);
    svl_record record = { .time_ns = time_ns, .body = { body, sizeof body } };
    int64_t took_ns = 0;
    int rc = pipeline ? SVL_OK : SVL_E_INVALID;
    for (uint64_t done = 0; rc == SVL_OK && done < settings->records; done += BURST) {
        int64_t start_ns = bench_now_ns();
        for (int i = 0; rc == SVL_OK && i < BURST; i++)
            rc = svl_publish(pipeline, &record);
        took_ns += bench_now_ns() - start_ns;
        if (rc == SVL_OK)
            rc = svl_flush(pipeline, -1);
    }
    svl_close(pipeline);
    bench_remove(path);
    return rc == SVL_OK ? took_ns : bench_fail(svl_last_error());
}

static int64_t publish_time_given(const struct settings *settings)
{
    return publish_bursts(settings, 1);
}

static int64_t publish_time_taken(const struct settings *settings)
{
    return publish_bursts(settings, 0);
}

/* From the first publish until everything is in LMDB, synced. */
static int64_t ingest(const struct settings *settings, uint64_t keys)
{
    const char *path = bench_path(settings, "ingest.store");
    svl_pipeline *pipeline = open_pipeline(path);
    int rc = pipeline ? SVL_OK : SVL_E_INVALID;
    int64_t start_ns = bench_now_ns();
    for (uint64_t i = 0; rc == SVL_OK && i < settings->records; i++) {
        svl_record record = bench_record(i, keys);
        rc = svl_publish(pipeline, &record);
    }
    if (rc == SVL_OK)
        rc = svl_flush(pipeline, -1);
    if (rc == SVL_OK)
        rc = svl_store_commit(svl_pipeline_store(pipeline), -1);
    int64_t took_ns = bench_now_ns() - start_ns;
    svl_close(pipeline);
    bench_remove(path);
    return rc == SVL_OK ? took_ns : bench_fail(svl_last_error());
}

static int64_t ingest_plain(const struct settings *settings)
{
    return ingest(settings, 0);
}

static int64_t ingest_keyed(const struct settings *settings)
{
    return ingest(settings, 100000);
}

struct publisher {
    svl_pipeline *pipeline;
    uint64_t records;
    int rc;
};

static void *publish_durably(void *argument)
{
    struct publisher *me = argument;
    static const char body[100] = { 'x' };
    svl_record record = { .time_ns = 1, .body = { body, sizeof body } };
    for (uint64_t i = 0; me->rc == SVL_OK && i < me->records; i++)
        me->rc = svl_publish_sync(me->pipeline, &record, -1, NULL);
    return NULL;
}

static int64_t durable(const struct settings *settings, unsigned threads)
{
    const char *path = bench_path(settings, "durable.store");
    svl_pipeline *pipeline = open_pipeline(path);
    struct publisher publishers[SYNC_THREADS];
    pthread_t ids[SYNC_THREADS];
    unsigned started = 0;
    int rc = pipeline ? SVL_OK : SVL_E_INVALID;
    int64_t start_ns = bench_now_ns();
    for (; rc == SVL_OK && started < threads; started++) {
        publishers[started] = (struct publisher){ pipeline, settings->records / threads, SVL_OK };
        if (pthread_create(&ids[started], NULL, publish_durably, &publishers[started]) != 0)
            rc = SVL_E_RESOURCE;
    }
    for (unsigned i = 0; i < started; i++) {
        pthread_join(ids[i], NULL);
        rc = rc != SVL_OK ? rc : publishers[i].rc;
    }
    int64_t took_ns = bench_now_ns() - start_ns;
    svl_close(pipeline);
    bench_remove(path);
    return rc == SVL_OK ? took_ns : bench_fail(svl_last_error());
}

static int64_t durable_alone(const struct settings *settings)
{
    return durable(settings, 1);
}

static int64_t durable_many(const struct settings *settings)
{
    return durable(settings, SYNC_THREADS);
}

const struct workload workloads[] = {
    { "R1",
      "publish 100 bytes, one producer",
      "ns",
      false,
      1,
      { { "svl_publish, time given", publish_time_given },
        { "svl_publish, time taken", publish_time_taken } } },
    { "I1",
      "ingest without key until committed",
      "rec/s",
      true,
      1,
      { { "serverlog", ingest_plain }, { "LMDB, a record a put", lmdb_append } } },
    { "I2",
      "ingest with one of 100,000 keys",
      "rec/s",
      true,
      1,
      { { "serverlog", ingest_keyed }, { "LMDB, a key entry a record", lmdb_append_keyed } } },
    { "I4",
      "one durable record after the other",
      "ns",
      false,
      1000,
      { { "svl_publish_sync", durable_alone },
        { "pwrite + fdatasync, prewritten file", file_durable },
        { "LMDB, a synced commit", lmdb_durable } } },
    { "I4x",
      "64 threads, each durably",
      "rec/s",
      true,
      100,
      { { "svl_publish_sync, 64 threads", durable_many },
        { "LMDB, a synced commit", lmdb_durable } } },
    { "P1",
      "an event of 346 bytes against exact rules",
      "ns",
      false,
      1,
      { { "100,000 rules", match_100000_rules },
        { "1,000 rules", match_1000_rules },
        { "1 rule", match_one_rule } } },
    { "P1c",
      "a rule added to 10,000, and one removed",
      "ns",
      false,
      10,
      { { "while another thread matches", change_while_matched }, { "alone", change_alone } } },
    { "F1",
      "another process has a record, after it is durable",
      "ns",
      false,
      1000,
      { { "a follower woken by the bell", follow_delay },
        { "the append itself, durable", append_alone } } },
};
const size_t workload_count = sizeof workloads / sizeof workloads[0];
