/* A pipeline and two followers in other processes, killed and stopped at random, against a record that all of them
 * share: what was published, acknowledged, and seen under which id. Every follower sees every record once, in order;
 * what anybody has ever seen is what the store holds in the end; what was acknowledged is in it. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/support.h"

#define STORES 2
#define ROUNDS 50 /* on each */
#define FOLLOWERS 2
#define THREADS 2
#define IDS_MAX (1u << 21)

/* Shared with the children, and outliving them. A record's number: its thread's count * THREADS + its thread. */
struct noted {
    _Atomic uint32_t begun[THREADS];
    _Atomic uint32_t acknowledged[THREADS]; /* durable, by svl_publish_sync() or svl_flush() */
    _Atomic uint64_t seen[FOLLOWERS];       /* the id up to which each has seen everything */
    _Atomic bool ends;
    _Atomic uint64_t stored;             /* in the end */
    _Atomic uint32_t number_of[IDS_MAX]; /* as the first who saw the id saw it; 0: nobody */
};
static struct noted *noted;
static char path[512];

static void sleep_us(long us)
{
    nanosleep(&(struct timespec){ us / 1000000, us % 1000000 * 1000 }, NULL);
}

/* Says what failed: a child's assertion reaches nobody. */
static void give_up(const char *who, int rc)
{
    fprintf(stderr, "%s: %d, %s\n", who, rc, svl_last_error());
    _exit(3);
}

/* --- the writer --- */

static void small_options(svl_store_options *o)
{
    assert_ok(svl_store_options_init(o, sizeof *o));
    o->journal_file_bytes_max = 512 << 10;
    o->record_bytes_max = 4096;
    o->commit_bytes = 65536;
    o->commit_age_ms = 20;
    o->block_bytes = 8192;
    o->segment_bytes = 8 << 20;
    o->sync_interval_ms = 1;
}

static svl_pipeline *open_pipeline(void)
{
    svl_store_options store;
    svl_options options;
    svl_pipeline *p;
    small_options(&store);
    assert_ok(svl_options_init(&options, sizeof options));
    options.store = &store;
    options.ring_bytes = 64 << 10;
    int rc = svl_open(path, &options, &p);
    if (rc == SVL_OK)
        rc = svl_start(p);
    if (rc != SVL_OK)
        give_up("open", rc);
    return p;
}

struct publisher {
    svl_pipeline *pipeline;
    uint32_t thread;
};

/* The first thread waits for each record, the second one now and then for all. */
static void *publish(void *argument)
{
    const struct publisher *me = argument;
    static const char fill[4000];
    uint32_t number = atomic_load(&noted->begun[me->thread]);
    while (!atomic_load(&noted->ends)) {
        number += THREADS;
        uint32_t key = number + me->thread;
        svl_record record = { .source = { "p", 1 },
                              .key = { &key, sizeof key },
                              .body = { fill, number * 37 % 3000 } };
        atomic_store(&noted->begun[me->thread], number);
        int rc = me->thread == 0 ? svl_publish_sync(me->pipeline, &record, -1, NULL)
                                 : svl_publish(me->pipeline, &record);
        bool waits = me->thread == 1 && number / THREADS % 40 == 0;
        if (rc == SVL_OK && waits)
            rc = svl_flush(me->pipeline, -1);
        if (rc != SVL_OK)
            give_up("publish", rc);
        if (me->thread == 0 || waits)
            atomic_store(&noted->acknowledged[me->thread], number);
        if (waits)
            sleep_us(500);
    }
    return NULL;
}

static pid_t start_writer(void)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct publisher publishers[THREADS];
    pthread_t threads[THREADS];
    svl_pipeline *p = open_pipeline();
    for (uint32_t i = 0; i < THREADS; i++) {
        publishers[i] = (struct publisher){ p, i };
        pthread_create(&threads[i], NULL, publish, &publishers[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    int rc = svl_close(p);
    if (rc != SVL_OK)
        give_up("close", rc);
    _exit(0);
}

/* --- a follower --- */

static uint32_t number_in(const svl_record *record)
{
    uint32_t number = 0;
    if (record->source.len == 1 && record->key.len == sizeof number)
        memcpy(&number, record->key.data, sizeof number);
    return number;
}

static void note_seen(int follower, const svl_record *record, uint64_t expected)
{
    uint32_t number = number_in(record), before = 0;
    if (record->id != expected || record->id >= IDS_MAX || number == 0) {
        fprintf(stderr, "follower %d: id %llu after %llu, number %u\n", follower,
                (unsigned long long)record->id, (unsigned long long)expected - 1, number);
        _exit(4);
    }
    if (!atomic_compare_exchange_strong(&noted->number_of[record->id], &before, number) &&
        before != number) {
        fprintf(stderr, "follower %d: id %llu is %u, and was %u\n", follower,
                (unsigned long long)record->id, number, before);
        _exit(5);
    }
    if (atomic_load(&noted->seen[follower]) < expected)
        atomic_store(&noted->seen[follower], expected);
}

/* Goes on where it was, or begins again at the first record. */
static void follow(int follower, bool again)
{
    svl_store_options o;
    svl_query query;
    svl_store *store;
    svl_cursor *cursor;
    const svl_record *record;
    small_options(&o);
    o.flags = SVL_STORE_READ_ONLY;
    assert_ok(svl_query_init(&query, sizeof query));
    uint64_t next = again ? 1 : atomic_load(&noted->seen[follower]) + 1;
    query.flags = SVL_QUERY_FOLLOW;
    query.id_min = next;
    int rc = svl_store_open(path, &o, &store);
    if (rc == SVL_OK)
        rc = svl_store_query(store, &query, &cursor);
    while (rc == SVL_OK && (rc = svl_cursor_next(cursor, -1, &record)) == SVL_OK)
        note_seen(follower, record, next++);
    give_up("follower", rc);
}

static pid_t start_follower(int follower, struct rng *rng)
{
    bool again = rng_below(rng, 8) == 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        follow(follower, again);
    }
    return child;
}

/* --- what happens to them --- */

struct actor {
    pid_t pid;
    bool stopped;
};

static void end_by_kill(struct actor *actor)
{
    int status;
    kill(actor->pid, SIGKILL);
    assert_int_equal(waitpid(actor->pid, &status, 0), actor->pid);
    if (!WIFSIGNALED(status))
        print_error("a process ended by itself: status %#x\n", (unsigned)status);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    actor->stopped = false;
}

static void kill_and_stop_at_random(struct actor actors[1 + FOLLOWERS], struct rng *rng)
{
    for (int round = 0; round < ROUNDS; round++) {
        int who = (int)rng_below(rng, 1 + FOLLOWERS);
        struct actor *actor = &actors[who];
        sleep_us(1000 + (long)rng_below(rng, 25000));
        if (rng_below(rng, 3) == 0) {
            kill(actor->pid, actor->stopped ? SIGCONT : SIGSTOP);
            actor->stopped = !actor->stopped;
            continue;
        }
        end_by_kill(actor);
        actor->pid = who == 0 ? start_writer() : start_follower(who - 1, rng);
    }
    for (int i = 0; i <= FOLLOWERS; i++)
        kill(actors[i].pid, SIGCONT);
}

/* --- what is stored --- */

static void check_store(void)
{
    svl_store_options o;
    svl_query query;
    svl_store *store;
    svl_cursor *cursor;
    const svl_record *record;
    uint32_t last[THREADS] = { 0 }, id = 0;
    small_options(&o);
    assert_ok(svl_store_open(path, &o, &store));
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    assert_ok(svl_query_init(&query, sizeof query));
    assert_ok(svl_store_query(store, &query, &cursor));
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK) {
        uint32_t number = number_in(record), thread = number % THREADS;
        uint32_t seen = atomic_load(&noted->number_of[++id]);
        assert_true(record->id == id && number > last[thread]);
        assert_true(seen == 0 || seen == number);
        last[thread] = number;
    }
    svl_cursor_close(cursor);
    for (uint32_t i = 0; i < THREADS; i++)
        assert_true(last[i] >= atomic_load(&noted->acknowledged[i]) &&
                    last[i] <= atomic_load(&noted->begun[i]) + i);
    for (uint32_t i = id + 1; i < IDS_MAX; i++) /* nobody has seen what is not there */
        assert_true(atomic_load(&noted->number_of[i]) == 0);
    assert_ok(svl_store_close(store));
    atomic_store(&noted->stored, id);
}

/* The writer's end is in order; its followers live on. */
static void end_writer(struct actor *writer)
{
    int status;
    atomic_store(&noted->ends, true);
    assert_int_equal(waitpid(writer->pid, &status, 0), writer->pid);
    assert_int_equal(status, 0);
    pid_t child = fork(); /* the store's own threads stay out of the test's process */
    assert_true(child >= 0);
    if (child == 0) {
        check_store();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void end_followers(struct actor followers[FOLLOWERS])
{
    for (int i = 0; i < FOLLOWERS; i++) {
        for (int k = 0; k < 30000 && atomic_load(&noted->seen[i]) < atomic_load(&noted->stored);
             k++)
            sleep_us(1000);
        end_by_kill(&followers[i]);
        assert_true(atomic_load(&noted->seen[i]) == atomic_load(&noted->stored));
    }
}

static void test_processes_when_killed_and_stopped_then_followers_see_what_is_kept(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    uint64_t records = 0;
    for (int s = 0; s < test_times(STORES); s++) {
        struct actor actors[1 + FOLLOWERS] = { 0 };
        snprintf(path, sizeof path, "%s", temp_path());
        memset(noted, 0, sizeof *noted);
        actors[0].pid = start_writer();
        while (atomic_load(&noted->acknowledged[0]) == 0 && kill(actors[0].pid, 0) == 0)
            sleep_us(1000);
        for (int i = 0; i < FOLLOWERS; i++)
            actors[1 + i].pid = start_follower(i, &rng);
        kill_and_stop_at_random(actors, &rng);
        end_writer(&actors[0]);
        end_followers(actors + 1);
        records += atomic_load(&noted->stored);
        remove_tree(path);
    }
    print_message("%d rounds, %llu records\n", test_times(STORES) * ROUNDS,
                  (unsigned long long)records);
    assert_true(records > (uint64_t)test_times(STORES) * ROUNDS);
}

int main(void)
{
    noted = mmap(NULL, sizeof *noted, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (noted == MAP_FAILED)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_processes_when_killed_and_stopped_then_followers_see_what_is_kept),
    };
    int failed = cmocka_run_group_tests_name("pipeline/live_kill", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
