/* SIGKILL and SIGSTOP at random, of publishers in other processes and of their host, again and again on one store: every
 * publish that returned is stored exactly once, in the order of its thread. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/step.h"
#include "support/support.h"

#define PROCESSES 3
#define THREADS 2
#define STORES 4
#define STEPS 50
#define CUTS (STEPS + 2)
#define LIVES (STEPS + 2)

/* Shared with the children, and outliving them. */
struct noted {
    _Atomic uint64_t begun[PROCESSES][THREADS];     /* numbers of which the publish was called */
    _Atomic uint64_t published[PROCESSES][THREADS]; /* of which it returned */
    uint64_t cut_off[PROCESSES][THREADS][CUTS];     /* what a kill cut off: 0 = nothing */
    int lives[PROCESSES];
    _Atomic bool ends;   /* publishers stop by themselves */
    _Atomic bool warned; /* a host had something to complain of */
};
static struct noted *noted;
static char path[512];
static char ring_directory[64];

static void sleep_us(long us)
{
    struct timespec t = { us / 1000000, us % 1000000 * 1000 };
    nanosleep(&t, NULL);
}

/* Built with -Dsteps=true, half of the processes die by themselves at a named point (base/step.h). */
#if defined(SVL_STEPS)
static _Atomic uint64_t steps_left;

static void die_at_step(const char *const *point)
{
    (void)point;
    if (atomic_fetch_sub(&steps_left, 1) == 1)
        kill(getpid(), SIGKILL);
}
#endif

static void die_between_steps(struct rng *rng, uint64_t most)
{
#if defined(SVL_STEPS)
    if (rng_below(rng, 2))
        return;
    atomic_store(&steps_left, 1 + rng_below(rng, most));
    svl__step = die_at_step;
#else
    (void)rng;
    (void)most;
#endif
}

/* --- the host --- */

/* A ring that is given up, or damaged, is a failure even if nothing of it is missing. */
static void tell(uint32_t level, int32_t code, const char *text, void *user)
{
    (void)user;
    if (level < SVL_SEVERITY_WARN)
        return;
    print_error("host: %s (%d)\n", text, code);
    atomic_store(&noted->warned, true);
}

static svl_pipeline *open_pipeline(struct rng *rng)
{
    svl_store_options store;
    svl_options options;
    svl_pipeline *p;
    assert_ok(svl_store_options_init(&store, sizeof store));
    assert_ok(svl_options_init(&options, sizeof options));
    store.log = tell;
    store.journal_file_bytes_max = 256 << 10;
    store.record_bytes_max = 4096;
    store.commit_bytes = 65536;
    store.block_bytes = 8192;
    store.sync_interval_ms = 1 + (uint32_t)rng_below(rng, 10);
    store.commit_age_ms = 10 + (uint32_t)rng_below(rng, 30);
    store.segment_bytes = 8 << 20;
    options.store = &store;
    options.ring_bytes = 64 << 10;
    assert_ok(svl_open(path, &options, &p));
    assert_ok(svl_start(p));
    return p;
}

static pid_t start_host(struct rng *rng)
{
    struct rng own = { rng_next(rng) };
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        svl_pipeline *p = open_pipeline(&own);
        die_between_steps(&own, 3000);
        bool stops = rng_below(&own, 4) == 0;
        for (int i = 0; !stops || i < 10; i++)
            sleep_us(2000);
        svl_stop(p, 1000);
        svl_close(p);
        _exit(0);
    }
    return child;
}

/* --- a publisher --- */

struct publisher {
    svl_publisher *handle;
    int process, thread, life;
};

static void give_up(const char *what, int rc)
{
    print_error("%s gave %d: %s\n", what, rc, svl_last_error());
    _exit(3);
}

static void publish_one(const struct publisher *me, uint64_t number)
{
    char key[48], fill[400];
    memset(fill, 'x', sizeof fill);
    snprintf(key, sizeof key, "%d/%d/%d/%llu", me->process, me->thread, me->life,
             (unsigned long long)number);
    svl_record record = { .source = slice_of("p"),
                          .key = slice_of(key),
                          .body = { fill, number * 37 % sizeof fill } };
    _Atomic uint64_t *published = &noted->published[me->process][me->thread];
    atomic_store(&noted->begun[me->process][me->thread], number);
    int rc;
    do
        rc = number % 50 == 0 ? svl_publisher_publish_sync(me->handle, &record, 20, NULL)
                              : svl_publisher_publish(me->handle, &record);
    while (rc == SVL_E_FULL && !atomic_load(&noted->ends));
    if (rc == SVL_E_FULL)
        return;
    if (rc != SVL_OK && rc != SVL_E_TIMEOUT)
        give_up("publish", rc);
    atomic_store(published, number);
    if (number % 70 == 0) {
        rc = svl_publisher_flush(me->handle, 10);
        if (rc != SVL_OK && rc != SVL_E_TIMEOUT)
            give_up("flush", rc);
    }
}

static void *publish(void *argument)
{
    const struct publisher *me = argument;
    uint64_t number = atomic_load(&noted->begun[me->process][me->thread]);
    while (!atomic_load(&noted->ends))
        publish_one(me, ++number);
    return NULL;
}

static pid_t start_publisher(int process, struct rng *rng)
{
    struct rng own = { rng_next(rng) };
    int life = noted->lives[process]++;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    svl_attach_options o;
    struct publisher publishers[THREADS];
    pthread_t threads[THREADS];
    svl_publisher *handle;
    if (svl_attach_options_init(&o, sizeof o) != SVL_OK)
        _exit(3);
    o.ring_bytes = 64 << 10;
    o.ring_directory = ring_directory;
    o.block_timeout_ms = 20;
    die_between_steps(&own, rng_below(&own, 3) ? 5000 : 12); /* some while they attach */
    int rc = svl_attach(path, &o, &handle);
    if (rc != SVL_OK)
        give_up("attach", rc);
    for (int i = 0; i < THREADS; i++) {
        publishers[i] = (struct publisher){ handle, process, i, life };
        pthread_create(&threads[i], NULL, publish, &publishers[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    rc = svl_publisher_close(handle);
    _exit(rc == SVL_OK ? 0 : 3);
}

/* --- what happens to them --- */

static void end_process(pid_t child, bool may_exit)
{
    int status;
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (!killed && !(may_exit && WIFEXITED(status) && WEXITSTATUS(status) == 0))
        print_error("a process ended by itself: status %#x\n", (unsigned)status);
    assert_true(killed || (may_exit && WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

static void note_cut(int process, int step)
{
    for (int i = 0; i < THREADS; i++) {
        uint64_t begun = atomic_load(&noted->begun[process][i]);
        if (begun > atomic_load(&noted->published[process][i]))
            noted->cut_off[process][i][step] = begun;
    }
}

static void kill_at_random(struct rng *rng)
{
    pid_t publishers[PROCESSES], host = start_host(rng);
    bool stopped[PROCESSES] = { false };
    for (int i = 0; i < PROCESSES; i++)
        publishers[i] = start_publisher(i, rng);
    for (int step = 0; step < STEPS; step++) {
        int i = (int)rng_below(rng, PROCESSES);
        sleep_us(500 + (long)rng_below(rng, 12000));
        switch (rng_below(rng, 4)) {
        case 0:
            end_process(host, true);
            sleep_us((long)rng_below(rng, 4000));
            host = start_host(rng);
            break;
        case 1:
            kill(publishers[i], stopped[i] ? SIGCONT : SIGSTOP);
            stopped[i] = !stopped[i];
            break;
        default:
            end_process(publishers[i], false);
            note_cut(i, step);
            stopped[i] = false;
            publishers[i] = start_publisher(i, rng);
        }
    }
    end_process(host, true);
    atomic_store(&noted->ends, true);
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        kill(publishers[i], SIGCONT);
        assert_int_equal(waitpid(publishers[i], &status, 0), publishers[i]);
        assert_true(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
        note_cut(i, STEPS); /* refused for a full ring: not there */
    }
}

/* --- what is stored --- */

static bool was_cut_off(int process, int thread, uint64_t number)
{
    for (int i = 0; i < CUTS; i++)
        if (noted->cut_off[process][thread][i] == number)
            return true;
    return false;
}

/* One record: of a ring, in its order; of a thread, once. */
static void check_record(const svl_record *record, uint8_t *seen[PROCESSES][THREADS],
                         uint64_t last[PROCESSES][THREADS][LIVES])
{
    char key[48] = "";
    int process, thread, life;
    unsigned long long number;
    assert_true(record->key.len < sizeof key);
    memcpy(key, record->key.data, record->key.len);
    assert_int_equal(sscanf(key, "%d/%d/%d/%llu", &process, &thread, &life, &number), 4);
    assert_in_range(process, 0, PROCESSES - 1);
    assert_in_range(thread, 0, THREADS - 1);
    assert_in_range(life, 0, LIVES - 1);
    assert_in_range(number, 1, atomic_load(&noted->begun[process][thread]));
    uint64_t *before = &last[process][thread][life];
    if (number <= *before || seen[process][thread][number])
        print_error("%s again, or after %llu\n", key, (unsigned long long)*before);
    assert_true(number > *before && !seen[process][thread][number]);
    seen[process][thread][number] = 1;
    *before = number;
}

/* Between rings there is no order: a publisher that came back may be drained before what it left. */
static uint64_t check_records(svl_store *store)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    static uint64_t last[PROCESSES][THREADS][LIVES];
    uint8_t *seen[PROCESSES][THREADS];
    uint64_t n = 0;
    memset(last, 0, sizeof last);
    for (int i = 0; i < PROCESSES; i++)
        for (int k = 0; k < THREADS; k++)
            assert_non_null(seen[i][k] = calloc(1, atomic_load(&noted->begun[i][k]) + 1));
    assert_ok(svl_query_init(&query, sizeof query));
    query.source = slice_of("p");
    assert_ok(svl_store_query(store, &query, &cursor));
    int rc;
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK) {
        check_record(record, seen, last);
        n++;
    }
    assert_int_equal(rc, SVL_E_END);
    svl_cursor_close(cursor);
    for (int i = 0; i < PROCESSES; i++) {
        for (int k = 0; k < THREADS; k++) {
            for (uint64_t number = 1; number <= atomic_load(&noted->published[i][k]); number++) {
                if (!seen[i][k][number] && !was_cut_off(i, k, number))
                    print_error("%d/%d/%llu is missing\n", i, k, (unsigned long long)number);
                assert_true(seen[i][k][number] || was_cut_off(i, k, number));
            }
            free(seen[i][k]);
        }
    }
    return n;
}

/* The last host drains what is left; its process is the test's, as nobody is attached any more. */
static uint64_t check_store(struct rng *rng)
{
    svl_pipeline *p = open_pipeline(rng);
    svl_pipeline_stats stats = { .struct_size = sizeof stats };
    for (int i = 0; i < 5000; i++) {
        assert_ok(svl_pipeline_stats_get(p, &stats));
        if (stats.attached_publishers == 0 && i > 20)
            break;
        sleep_us(2000);
    }
    assert_int_equal(stats.attached_publishers, 0);
    assert_int_equal(stats.attached_damaged, 0);
    assert_int_equal(stats.attached_refused, 0);
    assert_ok(svl_stop(p, -1));
    uint64_t n = check_records(svl_pipeline_store(p));
    assert_ok(svl_store_verify(svl_pipeline_store(p), NULL, NULL, NULL));
    assert_ok(svl_close(p));
    return n;
}

static void test_processes_when_killed_and_stopped_at_random_then_nothing_is_lost_or_doubled(
    void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    uint64_t records = 0;
    for (int s = 0; s < test_times(STORES); s++) {
        snprintf(path, sizeof path, "%s", temp_path());
        memset(noted, 0, sizeof *noted);
        pid_t child = fork(); /* the store is made: nobody attaches to none */
        assert_true(child >= 0);
        if (child == 0)
            _exit(svl_close(open_pipeline(&rng)) == SVL_OK ? 0 : 1);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        kill_at_random(&rng);
        child = fork(); /* threads stay out of this process */
        assert_true(child >= 0);
        if (child == 0) {
            uint64_t n = check_store(&rng);
            atomic_store(&noted->begun[0][0], n);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_false(atomic_load(&noted->warned));
        records += atomic_load(&noted->begun[0][0]);
        remove_tree(path);
    }
    print_message("%d steps, %llu records\n", test_times(STORES) * STEPS,
                  (unsigned long long)records);
    assert_true(records > (uint64_t)test_times(STORES) * STEPS);
}

int main(void)
{
    noted = mmap(NULL, sizeof *noted, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    snprintf(ring_directory, sizeof ring_directory, "/dev/shm/serverlog-kill-%ld", (long)getpid());
    if (noted == MAP_FAILED || mkdir(ring_directory, 0700) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_processes_when_killed_and_stopped_at_random_then_nothing_is_lost_or_doubled),
    };
    int failed = cmocka_run_group_tests_name("pipeline/attach_kill", tests, NULL, NULL);
    int left = rmdir(ring_directory); /* every ring file is gone */
    if (left != 0)
        print_error("ring files are left in %s\n", ring_directory);
    remove_tree(ring_directory);
    temp_remove_all();
    return failed != 0 || left != 0;
}
