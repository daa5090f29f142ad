/* workload_handlers.c - stored handlers: a backlog handed out in batches; from a publish on an idle system until the
 * handler has the record; and a stream to one handler, alone and among many that want other records. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "load.h"

#define BATCH_RECORDS 1000
#define IDLE_NS 50000000 /* longer than a flush is put off */
#define WANTED "svc-0" /* what all records of a stream are of; the other handlers want svc-1, ... */

/* Behind a handler: how many records it has had, and who waits for that. */
struct inbox {
    pthread_mutex_t lock;
    pthread_cond_t came;
    uint64_t records;
    int64_t at_ns; /* the last call */
};

static int take(svl_batch *batch, void *user)
{
    struct inbox *inbox = user;
    int64_t now_ns = bench_now_ns();
    const svl_record *records;
    size_t n;
    int rc = svl_batch_records(batch, &records, &n);
    pthread_mutex_lock(&inbox->lock);
    inbox->records += n;
    inbox->at_ns = now_ns;
    pthread_cond_signal(&inbox->came);
    pthread_mutex_unlock(&inbox->lock);
    return rc;
}

static int refuse(svl_batch *batch, void *user)
{
    (void)batch;
    (void)user;
    return SVL_E_INVALID; /* what it wants never comes */
}

/* Returns when the last of `records` came. */
static int64_t wait_for(struct inbox *inbox, uint64_t records)
{
    pthread_mutex_lock(&inbox->lock);
    while (inbox->records < records)
        pthread_cond_wait(&inbox->came, &inbox->lock);
    int64_t at_ns = inbox->at_ns;
    pthread_mutex_unlock(&inbox->lock);
    return at_ns;
}

static int checked(int rc)
{
    return rc == SVL_OK ? 0 : bench_fail(svl_last_error());
}

static int handle(svl_pipeline *pipeline, const char *name, const char *pattern, uint32_t start_at,
                  svl_stored_fn *fn, struct inbox *inbox)
{
    svl_stored_options options;
    svl_stored_options_init(&options, sizeof options);
    options.name = name;
    options.start_at = start_at;
    options.batch_records_max = BATCH_RECORDS;
    options.filter.pattern = pattern;
    return checked(svl_on_stored(pipeline, &options, fn, inbox, NULL));
}

/* --- a backlog --- */

static int fill(struct run *run)
{
    svl_pipeline *pipeline;
    struct line line;
    int rc = bench_open_pipeline(run->path, &pipeline);
    if (rc != SVL_OK)
        return checked(rc);
    rc = svl_start(pipeline);
    for (uint64_t i = 0; rc == SVL_OK && i < run->records; i++) {
        line_make(i, 0, &line);
        rc = svl_publish(pipeline, &line.record);
    }
    int closed = svl_close(pipeline);
    return checked(rc == SVL_OK ? closed : rc);
}

static int deliver(struct run *run)
{
    static struct inbox inbox = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0 };
    struct watch watch;
    svl_pipeline *pipeline;
    if (fill(run) != 0 || checked(bench_open_pipeline(run->path, &pipeline)) != 0)
        return -1;
    int rc = handle(pipeline, "backlog", NULL, SVL_START_EARLIEST, take, &inbox);
    watch_start(&watch);
    if (rc == 0)
        rc = checked(svl_start(pipeline));
    if (rc == 0)
        wait_for(&inbox, run->records);
    watch_stop(&watch, run, run->records);
    int closed = checked(svl_close(pipeline));
    return rc == 0 ? closed : rc;
}

/* --- an idle system --- */

static void pause_for(int64_t ns)
{
    struct timespec t = { .tv_nsec = ns };
    nanosleep(&t, NULL);
}

static int wake_handler(struct run *run, struct histogram *histogram)
{
    static struct inbox inbox = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0 };
    svl_pipeline *pipeline;
    struct line line;
    if (checked(bench_open_pipeline(run->path, &pipeline)) != 0)
        return -1;
    int rc = handle(pipeline, "woken", NULL, SVL_START_LATEST, take, &inbox);
    if (rc == 0)
        rc = checked(svl_start(pipeline));
    for (uint64_t i = 0; rc == 0 && i < run->records; i++) {
        line_make(i, 0, &line);
        pause_for(IDLE_NS);
        int64_t start_ns = bench_now_ns();
        rc = checked(svl_publish(pipeline, &line.record));
        if (rc == 0)
            histogram_add(histogram, (uint64_t)(wait_for(&inbox, i + 1) - start_ns));
    }
    int closed = checked(svl_close(pipeline));
    return rc == 0 ? closed : rc;
}

/* The others have nobody to call: it is the record on the disk that is waited for. */
static int wake_store(struct run *run, struct histogram *histogram)
{
    const struct store_ops *ops = run->peer->store;
    struct store_wish wish = { .purpose = PURPOSE_DURABLE, .records = run->records };
    struct line line;
    void *store = ops->open(run->path, &wish);
    int rc = store ? 0 : bench_fail("a store cannot be made");
    for (uint64_t i = 0; rc == 0 && i < run->records; i++) {
        line_make(i, 0, &line);
        pause_for(IDLE_NS);
        int64_t start_ns = bench_now_ns();
        rc = ops->append_durable(store, &line);
        histogram_add(histogram, (uint64_t)(bench_now_ns() - start_ns));
    }
    return store && ops->close(store) != 0 ? -1 : rc;
}

static int wake(struct run *run)
{
    static struct histogram histogram; /* a run is a process */
    int rc = run->peer->is_ours ? wake_handler(run, &histogram) : wake_store(run, &histogram);
    load_report(&histogram, run);
    return rc;
}

/* --- a stream --- */

static int register_all(svl_pipeline *pipeline, unsigned handlers, struct inbox *inbox)
{
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < handlers; i++) {
        char name[32], pattern[64];
        snprintf(name, sizeof name, "handler-%u", i);
        snprintf(pattern, sizeof pattern, "{\"source\":[\"svc-%u\"]}", i);
        rc = handle(pipeline, name, pattern, SVL_START_LATEST, i == 0 ? take : refuse, inbox);
    }
    return rc;
}

static int publish_wanted(svl_pipeline *pipeline, uint64_t records)
{
    struct line line;
    int rc = SVL_OK;
    for (uint64_t i = 0; rc == SVL_OK && i < records; i++) {
        line_make(i, 0, &line);
        line.record.source = (svl_slice){ WANTED, sizeof WANTED - 1 };
        rc = svl_publish(pipeline, &line.record);
    }
    return checked(rc);
}

static int stream(struct run *run)
{
    static struct inbox inbox = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0 };
    struct watch watch;
    svl_pipeline *pipeline;
    if (checked(bench_open_pipeline(run->path, &pipeline)) != 0)
        return -1;
    int rc = register_all(pipeline, run->workload->handlers, &inbox);
    if (rc == 0)
        rc = checked(svl_start(pipeline));
    if (rc == 0) /* the handlers' names are on the disk */
        rc = checked(svl_flush(pipeline, -1));
    watch_start(&watch);
    if (rc == 0)
        rc = publish_wanted(pipeline, run->records);
    if (rc == 0)
        wait_for(&inbox, run->records);
    watch_stop(&watch, run, run->records);
    int closed = checked(svl_close(pipeline));
    return rc == 0 ? closed : rc;
}

static bool is_log(const struct peer *peer)
{
    return peer->is_ours && peer->store;
}

static bool is_durable(const struct peer *peer)
{
    return peer->store && peer->store->append_durable;
}

const struct workload handlers_workloads[] = {
    { .name = "handlers/deliver",
      .question = "How fast does a stored handler get a backlog, in batches of 1,000?",
      .charts = METRIC_BIT(METRIC_RATE),
      .is_growing = true,
      .divisor = 1,
      .fits = is_log,
      .measure = deliver },
    { .name = "handlers/wake",
      .question = "How soon after a publish does a stored handler have the record?",
      .charts = METRIC_BIT(METRIC_P50_NS) | METRIC_BIT(METRIC_P99_NS),
      .divisor = 10000,
      .fits = is_durable,
      .measure = wake },
    { .name = "handlers/1",
      .question = "How fast do records come through to one stored handler?",
      .charts = METRIC_BIT(METRIC_RATE) | METRIC_BIT(METRIC_WRITTEN_BYTES),
      .divisor = 1,
      .handlers = 1,
      .fits = is_log,
      .measure = stream },
    { .name = "handlers/10000",
      .question = "And where 9,999 others want what does not come?",
      .charts = METRIC_BIT(METRIC_RATE) | METRIC_BIT(METRIC_WRITTEN_BYTES),
      .divisor = 1,
      .handlers = 10000,
      .fits = is_log,
      .measure = stream },
};
const size_t handlers_workload_count = sizeof handlers_workloads / sizeof handlers_workloads[0];
