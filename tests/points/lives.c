/* lives.c - the host, which publishes from three threads, commits and rolls, and a process that is attached to it. */
#define _GNU_SOURCE
#include "lives.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define HOUR_NS (INT64_C(3600) * 1000000000)
#define ATTACHED_RECORDS 250

struct noted *noted;

void noted_set_up(void)
{
    noted = mmap(NULL, sizeof *noted, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(noted != MAP_FAILED);
}

bool noted_fail(const char *format, ...)
{
    va_list arguments;
    if (atomic_exchange(&noted->has_failed, true))
        return false;
    va_start(arguments, format);
    vsnprintf(noted->why, sizeof noted->why, format, arguments);
    va_end(arguments);
    return false;
}

static void must(int rc, const char *what)
{
    if (rc == SVL_OK)
        return;
    noted_fail("%s gave %d: %.400s", what, rc, svl_last_error());
    _exit(3);
}

/* The host's clock is set, as a way to a new segment that needs no 8 MiB. */
int64_t __wrap_svl__wall_ns(void);
int64_t __real_svl__wall_ns(void);

int64_t __wrap_svl__wall_ns(void)
{
    return __real_svl__wall_ns() + atomic_load(&noted->clock_shift_ns);
}

static void on_log(uint32_t level, int32_t code, const char *text, void *user)
{
    (void)user;
    if (level >= SVL_SEVERITY_ERROR)
        noted_fail("it was told: %.400s (%d)", text, code);
}

svl_pipeline *open_pipeline(void)
{
    svl_store_options store;
    svl_options options;
    svl_pipeline *p;
    must(svl_store_options_init(&store, sizeof store), "init");
    must(svl_options_init(&options, sizeof options), "init");
    store.log = on_log;
    store.journal_file_bytes_max = noted->journal_file_bytes_max;
    store.record_bytes_max = 4096;
    store.commit_bytes = 64 << 10;
    store.block_bytes = 8192;
    store.sync_interval_ms = noted->sync_interval_ms;
    store.commit_age_ms = noted->commit_age_ms;
    store.segment_bytes = 8 << 20;
    options.store = &store;
    options.ring_bytes = 64 << 10;
    options.ring_directory = noted->ring_directory;
    options.full_policy = noted->mode == DROPS ? SVL_FULL_DROP_NEW : SVL_FULL_BLOCK;
    options.flags = noted->mode == PRIVATE_RING ? SVL_PIPELINE_PRIVATE_RING : 0;
    must(svl_open(noted->path, &options, &p), "svl_open");
    must(svl_start(p), "svl_start");
    return p;
}

size_t body_of(int publisher, uint64_t number, char body[RECORD_BYTES_MAX])
{
    size_t len = 60 + (size_t)(number * 37 % 500);
    for (size_t i = 0; i < len; i++)
        body[i] = (char)('a' + (number + (uint64_t)publisher + i * (1 + number % 7)) % 26);
    return len;
}

struct host_publisher {
    svl_pipeline *pipeline;
    int number;
};

/* Of each: how many records, after how many it waits for one, flushes. 0: never. */
static const struct script {
    uint64_t records, sync_every, flush_every;
} scripts[ATTACHED] = { { 60, 4, 0 }, { 160, 0, 25 }, { 900, 0, 0 } };

static void publish_one(const struct host_publisher *me, uint64_t number)
{
    const struct script *script = &scripts[me->number];
    struct publisher_noted *n = &noted->publishers[me->number];
    char key[32], body[RECORD_BYTES_MAX];
    snprintf(key, sizeof key, "%d/%llu", me->number, (unsigned long long)number);
    svl_record record = { .source = slice_of("p"),
                          .key = slice_of(key),
                          .body = { body, body_of(me->number, number, body) } };
    bool waits = script->sync_every > 0 && number % script->sync_every == 0;
    atomic_store(&n->begun, number);
    int rc;
    do
        rc = waits ? svl_publish_sync(me->pipeline, &record, -1, NULL)
                   : svl_publish(me->pipeline, &record);
    while (rc == SVL_E_FULL);
    must(rc, "publish");
    atomic_store(&n->published, number);
    if (waits)
        atomic_store(&n->acknowledged, number);
    if (script->flush_every > 0 && number % script->flush_every == 0) {
        must(svl_flush(me->pipeline, -1), "svl_flush");
        atomic_store(&n->acknowledged, number);
    }
}

static void *publish(void *argument)
{
    const struct host_publisher *me = argument;
    points_publish_as(me->number);
    uint64_t number = atomic_load(&noted->publishers[me->number].begun);
    for (uint64_t i = 0; i < scripts[me->number].records; i++)
        publish_one(me, ++number);
    return NULL;
}

/* Waits until the publisher with most to do has published so many in this life. */
static void wait_published(uint64_t before, uint64_t n)
{
    while (atomic_load(&noted->publishers[ATTACHED - 1].published) < before + n)
        nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
}

void live_as_host(int life)
{
    static const enum phase phases[LIVES] = { LIFE, RECOVERY, SECOND_RECOVERY };
    static struct host_publisher publishers[ATTACHED];
    pthread_t threads[ATTACHED];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    points_enter(phases[life]);
    points_start_clock();
    svl_pipeline *p = open_pipeline();
    points_enter(LIFE);
    uint64_t before = atomic_load(&noted->publishers[ATTACHED - 1].begun);
    for (int i = 0; i < ATTACHED; i++) {
        publishers[i] = (struct host_publisher){ p, i };
        pthread_create(&threads[i], NULL, publish, &publishers[i]);
    }
    wait_published(before, 300);
    must(svl_store_commit(svl_pipeline_store(p), -1), "svl_store_commit");
    atomic_fetch_add(&noted->clock_shift_ns, 2 * HOUR_NS);
    wait_published(before, 600);
    must(svl_store_commit(svl_pipeline_store(p), -1), "svl_store_commit");
    wait_published(before, 800);
    must(svl_store_commit(svl_pipeline_store(p), -1), "svl_store_commit");
    for (int i = 0; i < ATTACHED; i++)
        pthread_join(threads[i], NULL);
    points_die();
}

/* --- in another process --- */

static svl_publisher *attach(void)
{
    svl_attach_options o;
    svl_publisher *publisher;
    must(svl_attach_options_init(&o, sizeof o), "init");
    o.ring_bytes = 64 << 10;
    o.ring_directory = noted->ring_directory;
    while (svl_attach(noted->path, &o, &publisher) != SVL_OK) /* the store is being made */
        nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
    return publisher;
}

void live_as_attached(void)
{
    struct publisher_noted *n = &noted->publishers[ATTACHED];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    points_enter(LIFE);
    svl_publisher *publisher = attach();
    for (uint64_t number = 1; number <= ATTACHED_RECORDS; number++) {
        char key[32], body[RECORD_BYTES_MAX];
        snprintf(key, sizeof key, "%d/%llu", ATTACHED, (unsigned long long)number);
        svl_record record = { .source = slice_of("p"),
                              .key = slice_of(key),
                              .body = { body, body_of(ATTACHED, number, body) } };
        atomic_store(&n->begun, number);
        int rc;
        do
            rc = number % 60 == 0 ? svl_publisher_publish_sync(publisher, &record, 20, NULL)
                                  : svl_publisher_publish(publisher, &record);
        while (rc == SVL_E_FULL);
        must(rc == SVL_E_TIMEOUT ? SVL_OK : rc, "publish of an attached process");
        atomic_store(&n->published, number);
    }
    svl_publisher_close(publisher);
    _exit(0);
}
