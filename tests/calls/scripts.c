/* scripts.c - a store alone, a pipeline with and without threads, what a crash has left, a publisher, its host, a
 * reader. */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "calls.h"
#include "fault.h"
#include "script.h"

#define CLOCK_STEP_S 7200
#define OTHER_USER 12345

/* --- fates --- */

static void take(struct run *run, unsigned number, enum fate fate)
{
    run->fates[number] = (uint8_t)fate;
}

/* What finds no space is not a flush that fails: the file that was to be made is removed, and made again. */
static bool flush_has_failed(const struct run *run)
{
    return run->flush_fails && fault_struck_journal();
}

/* All that was taken by now. `before`: a flush of the journal had failed when the call began. */
static void acknowledge_all(struct run *run, bool before)
{
    for (unsigned i = 0; i < FIRST_OF_OTHER; i++)
        if (run->fates[i] == FATE_TAKEN)
            run->fates[i] = FATE_ACKNOWLEDGED;
    if (before)
        run_wrong(run, "a call said that all is durable, after a flush had failed");
}

/* --- a store alone --- */

static bool append(struct run *run, svl_store *store, unsigned n)
{
    svl_record records[8];
    char keys[8][16];
    uint64_t first;
    bool before = flush_has_failed(run);
    for (unsigned i = 0; i < n; i++) {
        take(run, run->numbers, FATE_OFFERED);
        records[i] = script_record(run->numbers++, keys[i]);
    }
    if (!WENT_WELL(run, svl_store_append(store, records, n, &first)))
        return false;
    for (unsigned i = 0; i < n; i++)
        take(run, run->numbers - 1 - i, FATE_TAKEN);
    acknowledge_all(run, before);
    return true;
}

/* *n of them. */
static bool read_all(struct run *run, svl_store *store, const svl_query *query, unsigned *n)
{
    svl_cursor *cursor;
    const svl_record *record;
    *n = 0;
    if (!WENT_WELL(run, svl_store_query(store, query, &cursor)))
        return false;
    int rc;
    while (run_begins(), (rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK)
        ++*n;
    bool ok = rc == SVL_E_END || rc == SVL_E_TIMEOUT || run_ends(run, rc, "svl_cursor_next()");
    svl_cursor_close(cursor);
    return ok;
}

struct finding {
    int32_t code;
    char words[WORDS_BYTES];
};

static void note_finding(int32_t code, const char *what, void *user)
{
    struct finding *f = user;
    f->code = code;
    snprintf(f->words, sizeof f->words, "%s", what);
}

/* A page that cannot be read is a finding like others; then its code is what the call means. */
static bool verify(struct run *run, svl_store *store)
{
    struct finding found = { .code = SVL_OK };
    run_begins();
    int rc = svl_store_verify(store, note_finding, NULL, &found);
    if (rc == SVL_E_CORRUPT && found.code != SVL_OK)
        rc = svl__fail(found.code, "found: %s", found.words);
    return run_ends(run, rc, "svl_store_verify()");
}

static bool read_ways(struct run *run, svl_store *store)
{
    svl_query all, one, follow;
    svl_record_buffer *buffer = NULL;
    svl_store_stats stats = { .struct_size = sizeof stats };
    unsigned n, found, followed;
    svl_query_init(&all, sizeof all);
    one = follow = all;
    one.key_kind = SVL_KEY_EXACT;
    follow.flags = SVL_QUERY_FOLLOW;
    if (!WENT_WELL(run, svl_store_stats_get(store, &stats)))
        return false;
    char key[16];
    one.key_low = script_record(run->numbers > 0 ? run->numbers - 1 : FIRST_OF_OTHER, key).key;
    bool ok = read_all(run, store, &all, &n) && read_all(run, store, &one, &found) &&
              read_all(run, store, &follow, &followed);
    if (ok && (n == 0 || found != 1 || followed == 0)) /* how many: retention goes on */
        run_wrong(run, "read %u records, %u by key, %u following, and nothing has failed", n, found,
                  followed);
    ok = ok && WENT_WELL(run, svl_store_get(store, stats.last_id, &buffer));
    svl_record_buffer_destroy(buffer);
    return ok && verify(run, store);
}

static bool use_store(struct run *run, svl_store *store)
{
    uint64_t retired;
    for (int i = 0; i < 3; i++) {
        if (!append(run, store, 1) || !append(run, store, 6) || !read_ways(run, store))
            return false;
        if (i > 0)
            calls_set_clock_ahead(CLOCK_STEP_S);
        if (!WENT_WELL(run, svl_store_commit(store, run->patience_ms)) || !read_ways(run, store))
            return false;
    }
    return WENT_WELL(run, svl_store_retain(store, &retired)) && append(run, store, 2) &&
           read_ways(run, store);
}

static void close_store(struct run *run, svl_store *store)
{
    if (!store)
        return;
    bool before = flush_has_failed(run);
    run_begins();
    run->closed = svl_store_close(store);
    if (run_ends(run, run->closed, "svl_store_close()"))
        acknowledge_all(run, before);
}

static void run_store_with(struct run *run, uint32_t flags)
{
    svl_store *store = NULL;
    for (int i = 0; i < 2 && run->rc == SVL_OK; i++) {
        if (WENT_WELL(run, script_open_store(run, flags, &store)))
            use_store(run, store);
        close_store(run, store);
    }
}

static void run_store(struct run *run)
{
    run_store_with(run, 0);
}

static void run_store_threadless(struct run *run)
{
    run_store_with(run, SVL_THREADLESS);
}

/* --- a pipeline --- */

static int pump(struct run *run, svl_pipeline *p, uint32_t flags)
{
    int rc = SVL_E_TIMEOUT;
    if (flags & SVL_THREADLESS)
        for (int64_t i = 0; i < run->patience_ms && (rc = svl_pump(p, 0, 0, NULL)) == SVL_OK; i++)
            ;
    return rc == SVL_E_TIMEOUT ? SVL_OK : rc;
}

static bool publish(struct run *run, svl_pipeline *p, unsigned n)
{
    char key[16];
    for (unsigned i = 0; i < n; i++) {
        unsigned number = run->numbers++;
        svl_record record = script_record(number, key);
        take(run, number, FATE_OFFERED);
        if (!WENT_WELL(run, svl_publish(p, &record)))
            return false;
        take(run, number, FATE_TAKEN);
    }
    return true;
}

static bool publish_sync(struct run *run, svl_pipeline *p)
{
    char key[16];
    uint64_t id;
    unsigned number = run->numbers++;
    svl_record record = script_record(number, key);
    bool before = flush_has_failed(run);
    take(run, number, FATE_OFFERED);
    if (!WENT_WELL(run, svl_publish_sync(p, &record, run->patience_ms, &id)))
        return false;
    take(run, number, FATE_TAKEN);
    acknowledge_all(run, before); /* those before it, too: one log, in order */
    return true;
}

static bool flush(struct run *run, svl_pipeline *p)
{
    bool before = flush_has_failed(run);
    if (!WENT_WELL(run, svl_flush(p, run->patience_ms)))
        return false;
    acknowledge_all(run, before);
    return true;
}

static bool poll_consumer(struct run *run, svl_pipeline *p)
{
    svl_stored_options o;
    svl_consumer *consumer;
    svl_batch *batch;
    const svl_record *records;
    size_t n;
    int fd, rc;
    svl_stored_options_init(&o, sizeof o);
    o.name = "pull";
    o.start_at = SVL_START_EARLIEST;
    if (!WENT_WELL(run, svl_consumer_open(p, &o, &consumer)))
        return false;
    bool ok = WENT_WELL(run, svl_consumer_fd(consumer, &fd));
    run_begins();
    rc = ok ? svl_consumer_poll(consumer, 0, &batch) : SVL_E_AGAIN;
    if (rc == SVL_OK)
        ok = WENT_WELL(run, svl_batch_records(batch, &records, &n)) &&
             WENT_WELL(run, svl_batch_ack(batch));
    else if (rc != SVL_E_AGAIN && rc != SVL_E_TIMEOUT)
        ok = run_ends(run, rc, "svl_consumer_poll()");
    bool closed = WENT_WELL(run, svl_consumer_close(consumer));
    return ok && closed;
}

static bool count_letters(struct run *run, svl_pipeline *p)
{
    uint64_t n;
    return WENT_WELL(run, svl_deadletter_count(p, "echo", &n));
}

static bool use_pipeline(struct run *run, svl_pipeline *p, uint32_t flags)
{
    svl_pipeline_stats stats = { .struct_size = sizeof stats };
    int fd;
    if ((flags & SVL_THREADLESS && !WENT_WELL(run, svl_pump_fd(p, &fd))) ||
        !WENT_WELL(run, svl_start(p)) || !WENT_WELL(run, svl_pipeline_stats_get(p, &stats)))
        return false;
    run->is_crash_safe = stats.ring_is_crash_safe;
    return publish(run, p, 7) && WENT_WELL(run, pump(run, p, flags)) && publish_sync(run, p) &&
           publish(run, p, 3) && flush(run, p) && WENT_WELL(run, pump(run, p, flags)) &&
           poll_consumer(run, p) && count_letters(run, p) &&
           WENT_WELL(run, svl_store_commit(svl_pipeline_store(p), run->patience_ms)) &&
           publish_sync(run, p) && WENT_WELL(run, svl_stop(p, run->patience_ms));
}

/* A pipeline that has stopped for a failed flush says so to everybody. */
static void close_pipeline(struct run *run, svl_pipeline *p)
{
    if (!p)
        return;
    if (run->rc == SVL_E_FAILED)
        publish_sync(run, p);
    bool before = flush_has_failed(run);
    run_begins();
    run->closed = svl_close(p);
    if (run_ends(run, run->closed, "svl_close()"))
        acknowledge_all(run, before);
}

static void run_pipeline_with(struct run *run, uint32_t flags)
{
    svl_pipeline *p = NULL;
    for (int i = 0; i < 2 && run->rc == SVL_OK; i++) {
        if (WENT_WELL(run, script_open_pipeline(run, flags, &p)))
            use_pipeline(run, p, flags);
        close_pipeline(run, p);
    }
}

static void run_pipeline(struct run *run)
{
    run_pipeline_with(run, 0);
}

static void run_private(struct run *run)
{
    run_pipeline_with(run, SVL_PIPELINE_PRIVATE_RING);
}

static void run_threadless(struct run *run)
{
    run_pipeline_with(run, SVL_THREADLESS);
}

/* --- other processes --- */

static void give_up(const char *what, int rc)
{
    fprintf(stderr, "other process: %s gave %d: %s\n", what, rc, svl_last_error());
    _exit(3);
}

/* Forks one that does `act`, and waits until it says that it is there. */
static void start_other(struct run *run, void (*act)(struct run *run, int orders, int answers))
{
    int orders[2], answers[2];
    char there;
    fflush(NULL);
    assert_true(pipe(orders) == 0 && pipe(answers) == 0);
    run->other_pid = fork();
    assert_true(run->other_pid >= 0);
    if (run->other_pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(orders[1]);
        close(answers[0]);
        act(run, orders[0], answers[1]);
        _exit(0);
    }
    close(orders[0]);
    close(answers[1]);
    run->other = orders[1];
    run->answers = answers[0];
    assert_true(read(run->answers, &there, 1) == 1);
}

/* Its orders end. */
static void end_other(struct run *run)
{
    int status;
    close(run->other);
    close(run->answers);
    if (waitpid(run->other_pid, &status, 0) != run->other_pid || status != 0)
        run_wrong(run, "the other process ended with status %#x", (unsigned)status);
    run->other = run->answers = -1;
}

static void wait_for_orders(int orders, int answers)
{
    char order;
    if (write(answers, "t", 1) != 1)
        _exit(4);
    while (read(orders, &order, 1) == 1)
        ;
}

static svl_publisher *attach(struct run *run)
{
    svl_attach_options o;
    svl_publisher *publisher = NULL;
    int rc = svl_attach_options_init(&o, sizeof o);
    o.ring_bytes = 64 << 10;
    o.ring_directory = ring_directory;
    if (rc == SVL_OK)
        rc = svl_attach(run->path, &o, &publisher);
    if (rc != SVL_OK)
        give_up("svl_attach()", rc);
    return publisher;
}

static void publish_attached(svl_publisher *publisher, unsigned first, unsigned n)
{
    char key[16];
    for (unsigned i = 0; i < n; i++) {
        svl_record record = script_record(first + i, key);
        int rc = svl_publisher_publish(publisher, &record);
        if (rc != SVL_OK)
            give_up("svl_publisher_publish()", rc);
    }
}

/* --- what a crash has left --- */

/* Dies with records in the journal and in the ring. */
static void crash(struct run *run)
{
    svl_pipeline *p = NULL;
    char key[16];
    int rc = script_open_pipeline(run, SVL_THREADLESS, &p);
    if (rc == SVL_OK)
        rc = svl_start(p);
    for (unsigned i = 0; rc == SVL_OK && i < 16; i++) {
        svl_record record = script_record(i, key);
        rc = svl_publish(p, &record);
        if (rc == SVL_OK && i == 7)
            rc = svl_flush(p, -1);
        if (rc == SVL_OK && i == 3)
            rc = svl_store_commit(svl_pipeline_store(p), -1);
    }
    if (rc != SVL_OK)
        give_up("crash", rc);
    kill(getpid(), SIGKILL);
}

/* And another one whose ring nobody drains. */
static void die_attached(struct run *run)
{
    publish_attached(attach(run), FIRST_OF_OTHER, 4);
    kill(getpid(), SIGKILL);
}

static void in_a_child(struct run *run, void (*act)(struct run *run))
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        act(run);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void prepare_crash(struct run *run)
{
    in_a_child(run, crash);
    in_a_child(run, die_attached);
    for (unsigned i = 0; i < 16; i++)
        take(run, i, FATE_TAKEN);
    for (unsigned i = 0; i < 4; i++)
        take(run, FIRST_OF_OTHER + i, FATE_TAKEN);
    run->numbers = 16;
}

static void run_recovery(struct run *run)
{
    svl_pipeline *p = NULL;
    svl_pipeline_stats stats = { .struct_size = sizeof stats, .ring_is_crash_safe = true };
    bool started = WENT_WELL(run, script_open_pipeline(run, 0, &p)) &&
                   WENT_WELL(run, svl_start(p)) &&
                   WENT_WELL(run, svl_pipeline_stats_get(p, &stats));
    run->is_crash_safe = stats.ring_is_crash_safe;
    if (started && publish(run, p, 1) && flush(run, p))
        WENT_WELL(run, svl_stop(p, run->patience_ms));
    close_pipeline(run, p);
}

/* --- a publisher, and its host --- */

static void host(struct run *run, int orders, int answers)
{
    svl_pipeline *p = NULL;
    int rc = script_open_pipeline(run, 0, &p);
    if (rc == SVL_OK)
        rc = svl_start(p);
    if (rc != SVL_OK)
        give_up("host", rc);
    wait_for_orders(orders, answers);
    rc = svl_close(p);
    if (rc != SVL_OK)
        give_up("svl_close()", rc);
}

/* Of a store that belongs to somebody else, whom the ring is given to; only root may. */
static void prepare_host(struct run *run)
{
    if (geteuid() == 0)
        assert_true(mkdir(run->path, 0700) == 0 && chown(run->path, OTHER_USER, (gid_t)-1) == 0);
    start_other(run, host);
}

/* It pumps: who publishes touches files that it watches. */
static void host_threadless(struct run *run, int orders, int answers)
{
    svl_pipeline *p = NULL;
    int fd, rc = script_open_pipeline(run, SVL_THREADLESS, &p);
    if (rc == SVL_OK)
        rc = svl_pump_fd(p, &fd);
    if (rc == SVL_OK)
        rc = svl_start(p);
    if (rc != SVL_OK || write(answers, "t", 1) != 1)
        give_up("host", rc);
    struct pollfd order = { .fd = orders, .events = POLLIN };
    while (poll(&order, 1, 0) == 0 && (rc == SVL_OK || rc == SVL_E_TIMEOUT))
        rc = svl_pump(p, 0, 5, NULL);
    if (rc == SVL_OK || rc == SVL_E_TIMEOUT)
        rc = svl_close(p);
    if (rc != SVL_OK)
        give_up("host", rc);
}

static void prepare_host_threadless(struct run *run)
{
    start_other(run, host_threadless);
}

static bool publisher_acknowledges(struct run *run, int rc, const char *call)
{
    if (!run_ends(run, rc, call))
        return false;
    for (unsigned i = FIRST_OF_OTHER; i < NUMBERS_MAX; i++)
        if (run->fates[i] == FATE_TAKEN)
            run->fates[i] = FATE_ACKNOWLEDGED;
    return true;
}

static bool use_publisher(struct run *run, svl_publisher *publisher)
{
    char key[16];
    uint64_t id;
    unsigned number = FIRST_OF_OTHER;
    for (; number < FIRST_OF_OTHER + 5; number++) {
        svl_record record = script_record(number, key);
        take(run, number, FATE_OFFERED);
        if (!WENT_WELL(run, svl_publisher_publish(publisher, &record)))
            return false;
        take(run, number, FATE_TAKEN);
    }
    run_begins();
    if (!publisher_acknowledges(run, svl_publisher_flush(publisher, run->patience_ms),
                                "svl_publisher_flush()"))
        return false;
    svl_record record = script_record(number, key);
    take(run, number, FATE_OFFERED);
    run_begins();
    int rc = svl_publisher_publish_sync(publisher, &record, run->patience_ms, &id);
    if (rc == SVL_OK)
        take(run, number, FATE_TAKEN);
    return publisher_acknowledges(run, rc, "svl_publisher_publish_sync()");
}

static void run_publisher(struct run *run)
{
    svl_attach_options o;
    svl_publisher *publisher = NULL;
    svl_attach_options_init(&o, sizeof o);
    o.ring_bytes = 64 << 10;
    o.ring_directory = ring_directory;
    run->is_crash_safe = true;
    if (!WENT_WELL(run, svl_attach(run->path, &o, &publisher)))
        return;
    use_publisher(run, publisher);
    WENT_WELL(run, svl_publisher_close(publisher));
}

/* Publishes, and goes on with it as told, also while there is no host. */
static void publish_along(struct run *run, int orders, int answers)
{
    svl_publisher *publisher = attach(run);
    publish_attached(publisher, FIRST_OF_OTHER, 3);
    wait_for_orders(orders, answers);
    publish_attached(publisher, FIRST_OF_OTHER + 3, 1);
    svl_publisher_close(publisher);
}

static void prepare_publisher(struct run *run)
{
    svl_pipeline *p = NULL;
    int rc = script_open_pipeline(run, 0, &p); /* makes the store */
    if (rc == SVL_OK)
        rc = svl_close(p);
    assert_ok(rc);
    start_other(run, publish_along);
    for (unsigned i = 0; i < 4; i++)
        take(run, FIRST_OF_OTHER + i, FATE_TAKEN);
}

/* --- a reader --- */

static void write_along(struct run *run, int orders, int answers)
{
    svl_store *store = NULL;
    int rc = script_open_store(run, 0, &store);
    for (unsigned i = 0; rc == SVL_OK && i < 8; i++) {
        char key[16];
        svl_record record = script_record(FIRST_OF_OTHER - 7 + i, key);
        rc = svl_store_append(store, &record, 1, NULL);
        if (rc == SVL_OK && i % 3 == 2) {
            calls_set_clock_ahead(CLOCK_STEP_S);
            rc = svl_store_commit(store, -1);
        }
    }
    if (rc != SVL_OK)
        give_up("writer", rc);
    wait_for_orders(orders, answers);
    rc = svl_store_close(store);
    if (rc != SVL_OK)
        give_up("svl_store_close()", rc);
}

static void prepare_writer(struct run *run)
{
    start_other(run, write_along);
    for (unsigned i = 0; i < 8; i++)
        take(run, FIRST_OF_OTHER - 7 + i, FATE_ACKNOWLEDGED);
}

static void run_reader(struct run *run)
{
    svl_store *store = NULL;
    if (WENT_WELL(run, script_open_store(run, SVL_STORE_READ_ONLY, &store)))
        read_ways(run, store);
    if (store)
        WENT_WELL(run, svl_store_close(store));
}

const struct script scripts[] = {
    { .name = "store", .run = run_store },
    { .name = "store-threadless", .run = run_store_threadless },
    { .name = "pipeline", .run = run_pipeline, .pipeline = true },
    { .name = "threadless", .run = run_threadless, .pipeline = true },
    { .name = "private-ring", .run = run_private, .pipeline = true },
    { .name = "recovery", .prepare = prepare_crash, .run = run_recovery, .pipeline = true },
    { .name = "publisher",
      .prepare = prepare_host,
      .run = run_publisher,
      .end = end_other,
      .pipeline = true },
    { .name = "publisher-threadless",
      .prepare = prepare_host_threadless,
      .run = run_publisher,
      .end = end_other,
      .pipeline = true },
    { .name = "host",
      .prepare = prepare_publisher,
      .run = run_recovery,
      .end = end_other,
      .pipeline = true },
    { .name = "reader", .prepare = prepare_writer, .run = run_reader, .end = end_other },
    { .name = NULL },
};
