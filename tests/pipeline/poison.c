/* A handler that kills the process on one record, run again and again until the process lives: the record is set
 * aside after exactly as many deaths as are promised, and nothing else is touched. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/support.h"

#define RECORDS 60
#define LIVES_MAX 60

enum death { BY_KILL, BY_ABORT, BY_SEGV };

struct scene {
    const char *what;
    enum death death;
    bool at_ingest; /* else in the stored handler "work" */
    bool private_ring;
    bool two_ingest_handlers;
    bool with_other; /* "other" is at the same records, slowly */
    bool unnamed;
    bool attached; /* the records come from another process, this one */
    bool threadless;
    int big; /* the number of a large record; 0 = none */
    uint32_t workers;
    uint32_t batch;
    uint32_t on_failure;
    uint32_t close_timeout_ms;
    int poisons[2]; /* numbers; 0 = none */
    int deaths;
};
static const struct scene *scene;
static char path[512];

/* Shared with the children, and outliving them. */
static struct noted {
    _Atomic bool published, mended, stuck, is_stuck, held;
    uint32_t record_bytes_max;                                   /* of the next life; 0 = enough */
    _Atomic int work_done[RECORDS + 1], other_done[RECORDS + 1]; /* returned from the callback */
    _Atomic int callbacks, flagged; /* that run now; of them, after a crash */
    _Atomic int beside;             /* callbacks that ran beside one after a crash */
    _Atomic int calls_flagged, other_calls;
    svl_pipeline_stats last;
    svl_subscription_info info;
} * noted;

static void sleep_us(long us)
{
    nanosleep(&(struct timespec){ us / 1000000, us % 1000000 * 1000 }, NULL);
}

static void die(void)
{
    while (!atomic_load(&noted->published) || atomic_load(&noted->held))
        sleep_us(100);
    struct rlimit no_core = { 0, 0 };
    setrlimit(RLIMIT_CORE, &no_core);
    if (scene->death == BY_ABORT) {
        signal(SIGABRT, SIG_DFL);
        abort();
    }
    if (scene->death == BY_SEGV) {
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
    }
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static int number_of(const svl_record *record)
{
    char text[16] = "";
    memcpy(text, record->key.data, record->key.len < 15 ? record->key.len : 15);
    return atoi(text);
}

static bool is_poison(const svl_record *record)
{
    int number = number_of(record);
    return !atomic_load(&noted->mended) &&
           (number == scene->poisons[0] || number == scene->poisons[1]);
}

static void enter(bool after_crash)
{
    int others = atomic_fetch_add(&noted->callbacks, 1);
    if ((others > 0 && after_crash) || atomic_load(&noted->flagged) > 0)
        atomic_fetch_add(&noted->beside, 1);
    atomic_fetch_add(&noted->flagged, after_crash);
    atomic_fetch_add(&noted->calls_flagged, after_crash);
}

static void leave(bool after_crash)
{
    atomic_fetch_sub(&noted->flagged, after_crash);
    atomic_fetch_sub(&noted->callbacks, 1);
}

/* In a child, where no assertion may return to the test's runner. */
#define must(call)                                                                                 \
    do {                                                                                           \
        int gave = (call);                                                                         \
        if (gave != SVL_OK) {                                                                      \
            print_error("%s: %s gave %d: %s\n", scene->what, #call, gave, svl_last_error());       \
            _exit(3);                                                                              \
        }                                                                                          \
    } while (0)

static int shape(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)ingest;
    (void)user;
    enter(false);
    /* The large one is to be in the same round as the one that kills behind it, and so not in the store. */
    while (scene->big != 0 && number_of(record) == 1 && !atomic_load(&noted->published))
        sleep_us(100);
    if (scene->at_ingest && is_poison(record))
        die();
    record->severity++;
    leave(false);
    return SVL_OK;
}

static bool is_after_crash(const svl_batch *batch)
{
    return (svl_batch_flags(batch) & SVL_BATCH_AFTER_CRASH) != 0;
}

static int work(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    (void)user;
    enter(is_after_crash(batch));
    must(svl_batch_records(batch, &records, &n));
    if (is_after_crash(batch))
        must(n == 1 ? SVL_OK : SVL_E_INTERNAL);
    while (is_after_crash(batch) && atomic_load(&noted->stuck)) {
        atomic_store(&noted->is_stuck, true);
        sleep_us(500);
    }
    for (size_t i = 0; i < n; i++) {
        if (!scene->at_ingest && is_poison(&records[i]))
            die();
        svl_record echo = { .source = slice_of("echo"), .key = records[i].key };
        must(svl_batch_emit(batch, i, &echo));
    }
    for (size_t i = 0; i < n; i++)
        atomic_fetch_add(&noted->work_done[number_of(&records[i])], 1);
    leave(is_after_crash(batch));
    return SVL_OK;
}

static int other(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    (void)user;
    enter(is_after_crash(batch));
    atomic_fetch_add(&noted->other_calls, 1);
    must(svl_batch_records(batch, &records, &n));
    for (size_t i = 0; i < n; i++) {
        sleep_us(300);
        atomic_fetch_add(&noted->other_done[number_of(&records[i])], 1);
    }
    leave(is_after_crash(batch));
    return SVL_OK;
}

static void tell(uint32_t level, int32_t code, const char *text, void *user)
{
    (void)user;
    if (getenv("SVL_TEST_LOG"))
        print_message("%d %u %d: %s\n", (int)getpid(), level, code, text);
}

static svl_pipeline *open_pipeline(svl_subscription **subscription)
{
    svl_store_options store;
    svl_options options;
    svl_stored_options on;
    svl_pipeline *p;
    must(svl_store_options_init(&store, sizeof store));
    must(svl_options_init(&options, sizeof options));
    must(svl_stored_options_init(&on, sizeof on));
    store.journal_file_bytes_max = 256 << 10;
    store.record_bytes_max = noted->record_bytes_max ? noted->record_bytes_max : 4096;
    store.log = tell;
    options.store = &store;
    options.ring_bytes = 64 << 10;
    options.workers_max = scene->workers;
    options.close_timeout_ms = scene->close_timeout_ms;
    options.flags = (scene->private_ring ? SVL_PIPELINE_PRIVATE_RING : 0) |
                    (scene->threadless ? SVL_THREADLESS : 0);
    must(svl_open(path, &options, &p));
    must(svl_on_ingest(p, NULL, shape, NULL));
    if (scene->two_ingest_handlers)
        must(svl_on_ingest(p, NULL, shape, NULL));
    on.name = scene->unnamed ? NULL : "work";
    on.filter.source = "p";
    on.start_at = SVL_START_EARLIEST;
    on.batch_records_max = scene->batch;
    on.on_failure = scene->on_failure;
    on.checkpoint_interval_ms = 5;
    must(svl_on_stored(p, &on, work, NULL, subscription));
    on.name = "other";
    on.batch_records_max = 7;
    if (scene->with_other)
        must(svl_on_stored(p, &on, other, NULL, NULL));
    return p;
}

static void publish_all(svl_pipeline *p)
{
    static const char fill[2000];
    for (int i = 1; i <= RECORDS; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        svl_record record = { .source = slice_of("p"), .key = slice_of(key), .severity = 1 };
        record.body = (svl_slice){ fill, i == scene->big ? sizeof fill : 0 };
        must(svl_publish(p, &record));
    }
}

/* Without threads the life's own one does all there is to do. */
static void work_a_moment(svl_pipeline *p)
{
    if (!scene->threadless) {
        sleep_us(500);
        return;
    }
    int rc = svl_pump(p, 0, 1, NULL);
    must(rc == SVL_E_TIMEOUT ? SVL_OK : rc);
}

static void pump_all(svl_pipeline *p)
{
    int rc;
    do
        rc = svl_pump(p, 0, 0, NULL);
    while (rc == SVL_OK);
    must(rc == SVL_E_TIMEOUT ? SVL_OK : rc);
}

/* What a life does beyond handing out; NULL: nothing. */
typedef void act_fn(svl_pipeline *p, svl_subscription *subscription);

/* One life: what is there is handed out, all of it if nothing kills it. In the first one the batches are known: the
 * handler sees nothing before everything is durable. */
static void live(act_fn *act)
{
    svl_subscription *subscription;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    svl_pipeline *p = open_pipeline(&subscription);
    bool first = !atomic_load(&noted->published) && !scene->attached;
    if (first && !scene->at_ingest)
        must(svl_subscription_pause(subscription));
    must(svl_start(p));
    if (first)
        publish_all(p);
    if (first && !scene->at_ingest) {
        must(svl_flush(p, -1));
        must(svl_subscription_resume(subscription));
        must(svl_flush(p, -1));
    }
    atomic_store(&noted->published, true);
    if (scene->threadless)
        pump_all(p);
    if (act)
        act(p, subscription);
    must(svl_stop(p, -1));
    noted->last = (svl_pipeline_stats){ .struct_size = sizeof noted->last };
    noted->info = (svl_subscription_info){ .struct_size = sizeof noted->info };
    must(svl_pipeline_stats_get(p, &noted->last));
    must(svl_subscription_info_get(subscription, &noted->info));
    must(svl_close(p));
    _exit(0);
}

/* True: it died of a handler. False: it lived. */
static bool died(int status)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return false;
    static const int signals[] = { SIGKILL, SIGABRT, SIGSEGV };
    if (!WIFSIGNALED(status) ||
        (WTERMSIG(status) != signals[scene->death] && WTERMSIG(status) != SIGKILL))
        fail_msg("%s: a life ended with status %#x", scene->what, (unsigned)status);
    return true;
}

static pid_t begin_life(act_fn *act)
{
    atomic_store(&noted->callbacks, 0);
    atomic_store(&noted->flagged, 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        live(act);
    return child;
}

static bool end_life(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return died(status);
}

/* Until it lives: how often it died. */
static int live_on(act_fn *act)
{
    int deaths = 0;
    while (end_life(begin_life(act))) {
        deaths++;
        assert_true(deaths < LIVES_MAX);
    }
    return deaths;
}

static void begin_scene(const struct scene *s)
{
    scene = s;
    memset(noted, 0, sizeof *noted);
    snprintf(path, sizeof path, "%s", temp_path());
}

/* --- what is stored --- */

struct stored {
    int records[RECORDS + 1], unprocessed[RECORDS + 1], echoes[RECORDS + 1];
    uint32_t severity[RECORDS + 1];
    int letters, letters_of[RECORDS + 1];
};

static svl_slice attribute_text(const svl_record *record, const char *name)
{
    for (uint32_t i = 0; i < record->attribute_count; i++)
        if (record->attributes[i].name.len == strlen(name) &&
            memcmp(record->attributes[i].name.data, name, strlen(name)) == 0)
            return record->attributes[i].bytes;
    return (svl_slice){ NULL, 0 };
}

static int64_t attribute_number(const svl_record *record, const char *name)
{
    for (uint32_t i = 0; i < record->attribute_count; i++)
        if (record->attributes[i].name.len == strlen(name) &&
            memcmp(record->attributes[i].name.data, name, strlen(name)) == 0)
            return record->attributes[i].i64;
    return -1;
}

static void look_at_letter(const svl_record *letter, struct stored *seen)
{
    svl_record_buffer *original;
    svl_slice condition = attribute_text(letter, "deadletter.condition");
    assert_ok(svl_deadletter_original(letter, &original));
    assert_int_equal(condition.len, 5);
    assert_memory_equal(condition.data, "crash", 5);
    assert_int_equal(attribute_number(letter, "deadletter.attempts"), 3);
    assert_int_equal(attribute_number(letter, "deadletter.code"), 0);
    assert_true(attribute_text(letter, "deadletter.error").len > 0);
    assert_int_equal(letter->type.len, scene->unnamed ? 0 : strlen("work"));
    seen->letters++;
    seen->letters_of[number_of(svl_record_buffer_record(original))]++;
    svl_record_buffer_destroy(original);
}

static bool is_of(const svl_record *record, const char *source)
{
    return record->source.len == strlen(source) &&
           memcmp(record->source.data, source, strlen(source)) == 0;
}

static void look(struct stored *seen)
{
    svl_store *store;
    svl_cursor *cursor;
    const svl_record *record;
    int rc;
    memset(seen, 0, sizeof *seen);
    assert_ok(svl_store_open(path, NULL, &store));
    assert_ok(svl_store_query(store, NULL, &cursor));
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK) {
        if (is_of(record, "p")) {
            int number = number_of(record);
            seen->records[number]++;
            seen->severity[number] = record->severity;
            seen->unprocessed[number] += (record->flags & SVL_RECORD_UNPROCESSED) != 0;
        } else if (is_of(record, "echo")) {
            seen->echoes[number_of(record)]++;
        } else if (is_of(record, "serverlog.deadletter")) {
            look_at_letter(record, seen);
        }
    }
    assert_int_equal(rc, SVL_E_END);
    svl_cursor_close(cursor);
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    assert_ok(svl_store_close(store));
}

static void check(void)
{
    struct stored seen;
    int poisons = (scene->poisons[0] != 0) + (scene->poisons[1] != 0);
    look(&seen);
    for (int i = 1; i <= RECORDS; i++) {
        bool poison = i == scene->poisons[0] || i == scene->poisons[1];
        bool at_ingest = poison && scene->at_ingest, at_work = poison && !scene->at_ingest;
        uint32_t handlers = scene->two_ingest_handlers ? 2 : 1;
        assert_int_equal(seen.records[i], 1);
        assert_int_equal(seen.unprocessed[i], at_ingest);
        assert_int_equal(seen.severity[i], at_ingest ? 1 : 1 + handlers);
        assert_int_equal(seen.letters_of[i], at_work);
        assert_int_equal(seen.echoes[i], !at_work);
        assert_true((atomic_load(&noted->work_done[i]) > 0) == !at_work);
        if (scene->with_other)
            assert_true(atomic_load(&noted->other_done[i]) > 0);
    }
    assert_int_equal(seen.letters, scene->at_ingest ? 0 : poisons);
    assert_int_equal(atomic_load(&noted->beside), 0);
    assert_true((atomic_load(&noted->calls_flagged) > 0) == !scene->at_ingest);
    assert_int_equal(noted->last.suspects, 0);
}

static void test_handler_when_it_kills_the_process_then_the_record_is_set_aside(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        { .what = "ingest",
          .at_ingest = true,
          .workers = 1,
          .batch = 100,
          .poisons = { 30 },
          .deaths = 4 },
        { .what = "ingest, abort, the second handler",
          .death = BY_ABORT,
          .at_ingest = true,
          .two_ingest_handlers = true,
          .workers = 4,
          .batch = 100,
          .poisons = { 60 },
          .deaths = 4 },
        { .what = "ingest, two",
          .death = BY_SEGV,
          .at_ingest = true,
          .workers = 4,
          .batch = 10,
          .poisons = { 1, 2 },
          .deaths = 8 },
        { .what = "stored", .workers = 1, .batch = 100, .poisons = { 30 }, .deaths = 4 },
        { .what = "stored, abort",
          .death = BY_ABORT,
          .workers = 4,
          .batch = 1,
          .poisons = { 1 },
          .deaths = 4 },
        { .what = "stored, private ring",
          .private_ring = true,
          .death = BY_SEGV,
          .workers = 4,
          .batch = 100,
          .poisons = { 60 },
          .deaths = 4 },
        { .what = "stored, two in a batch",
          .workers = 4,
          .batch = 100,
          .poisons = { 7, 50 },
          .deaths = 7 },
        { .what = "stored, two in two batches",
          .workers = 1,
          .batch = 20,
          .poisons = { 7, 50 },
          .deaths = 8 },
        { .what = "stored, others at work",
          .with_other = true,
          .workers = 4,
          .batch = 20,
          .poisons = { 33 },
          .deaths = 4 },
        { .what = "stored, others at work, private ring, two",
          .with_other = true,
          .private_ring = true,
          .workers = 2,
          .batch = 100,
          .poisons = { 33, 34 },
          .deaths = 7 },
        { .what = "ingest, two, threadless",
          .threadless = true,
          .death = BY_SEGV,
          .at_ingest = true,
          .two_ingest_handlers = true,
          .batch = 10,
          .poisons = { 1, 60 },
          .deaths = 8 },
        { .what = "stored, others at work, threadless",
          .threadless = true,
          .with_other = true,
          .batch = 20,
          .poisons = { 33 },
          .deaths = 4 },
        { .what = "stored, others at work, threadless, private ring, two",
          .threadless = true,
          .with_other = true,
          .private_ring = true,
          .death = BY_ABORT,
          .batch = 100,
          .poisons = { 33, 34 },
          .deaths = 7 },
    };
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++) {
        begin_scene(&scenes[i]);
        int deaths = live_on(NULL);
        print_message("%s: %d deaths\n", scene->what, deaths);
        assert_int_equal(deaths, scene->deaths);
        check();
        remove_tree(path);
    }
}

/* --- what the host chose --- */

static void test_record_when_it_kills_and_is_to_be_dropped_then_counted_and_passed(void **state)
{
    (void)state;
    static const struct scene dropped = { .what = "dropped",
                                          .workers = 2,
                                          .batch = 100,
                                          .on_failure = SVL_ON_FAILURE_DROP,
                                          .poisons = { 30 } };
    struct stored seen;
    begin_scene(&dropped);
    assert_int_equal(live_on(NULL), 4);
    look(&seen);
    assert_int_equal(seen.letters, 0);
    assert_int_equal(noted->info.dropped, 1);
    for (int i = 1; i <= RECORDS; i++)
        assert_int_equal(seen.echoes[i], i != 30);
    remove_tree(path);
}

static void resume(svl_pipeline *p, svl_subscription *subscription)
{
    atomic_store(&noted->held, true);
    must(svl_subscription_resume(subscription));
    must(svl_flush(p, -1)); /* the next life knows it */
    atomic_store(&noted->held, false);
}

/* Resumed: its handler was mended, so its deaths are counted anew. */
static void test_record_when_it_kills_and_is_to_pause_then_paused_before_it_until_mended(
    void **state)
{
    (void)state;
    static const struct scene paused = { .what = "paused",
                                         .workers = 2,
                                         .batch = 100,
                                         .on_failure = SVL_ON_FAILURE_PAUSE,
                                         .poisons = { 30 } };
    for (int threadless = 0; threadless < 2; threadless++) {
        struct scene s = paused;
        struct stored seen;
        s.threadless = threadless;
        begin_scene(&s);
        assert_int_equal(live_on(NULL), 4);
        assert_int_equal(noted->info.paused, 1);
        assert_int_equal(noted->info.position, 29);
        assert_int_equal(live_on(NULL), 0);
        assert_int_equal(end_life(begin_life(resume)), true);
        assert_int_equal(live_on(NULL), 2);
        assert_int_equal(noted->info.position, 29);
        atomic_store(&noted->mended, true);
        assert_int_equal(live_on(resume), 0);
        look(&seen);
        assert_int_equal(seen.letters, 0);
        assert_int_equal(noted->last.suspects, 0);
        for (int i = 1; i <= RECORDS; i++)
            assert_int_equal(seen.echoes[i], 1);
        remove_tree(path);
    }
}

static void await_redriven(svl_pipeline *p, svl_subscription *subscription)
{
    svl_subscription_info info = { .struct_size = sizeof info };
    do {
        work_a_moment(p);
        must(svl_subscription_info_get(subscription, &info));
    } while (info.redriving);
}

static void redrive(svl_pipeline *p, svl_subscription *subscription)
{
    atomic_store(&noted->held, true);
    must(svl_deadletter_redrive(p, "work", 0, 0));
    must(svl_flush(p, -1));
    atomic_store(&noted->held, false);
    await_redriven(p, subscription);
}

static void test_dead_letter_when_it_kills_again_then_set_aside_again(void **state)
{
    (void)state;
    static const struct scene again = {
        .what = "redriven", .workers = 2, .batch = 100, .poisons = { 30 }
    };
    for (int threadless = 0; threadless < 2; threadless++) {
        struct scene s = again;
        struct stored seen;
        s.threadless = threadless;
        begin_scene(&s);
        assert_int_equal(live_on(NULL), 4);
        assert_int_equal(end_life(begin_life(redrive)), true);
        assert_int_equal(live_on(await_redriven), 3);
        look(&seen);
        assert_int_equal(seen.letters_of[30], 2);
        atomic_store(&noted->mended, true);
        assert_int_equal(live_on(redrive), 0);
        look(&seen);
        assert_int_equal(seen.letters_of[30], 2);
        for (int i = 1; i <= RECORDS; i++)
            assert_int_equal(seen.echoes[i], 1);
        assert_int_equal(noted->last.suspects, 0);
        remove_tree(path);
    }
}

static void test_handler_without_a_name_when_it_kills_then_set_aside_while_it_lasts(void **state)
{
    (void)state;
    static const struct scene unnamed = {
        .what = "unnamed", .unnamed = true, .workers = 2, .batch = 100, .poisons = { 30 }
    };
    struct stored seen;
    begin_scene(&unnamed);
    assert_int_equal(live_on(NULL), 4);
    look(&seen);
    assert_int_equal(seen.letters_of[30], 1);
    remove_tree(path);
}

/* --- starts that fail --- */

/* The record that kills stands behind one that cannot be taken: it is not met. */
static void fail_to_start(void)
{
    svl_subscription *subscription;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    svl_pipeline *p = open_pipeline(&subscription);
    for (int i = 0; i < 2; i++)
        must(svl_start(p) == SVL_E_RECORD_SIZE ? SVL_OK : SVL_E_INTERNAL);
    must(svl_close(p));
    _exit(0);
}

static void test_start_when_it_fails_in_between_then_nothing_is_counted(void **state)
{
    (void)state;
    static const struct scene late = { .what = "a start fails",
                                       .at_ingest = true,
                                       .workers = 1,
                                       .batch = 100,
                                       .big = 20,
                                       .poisons = { 30 } };
    int deaths = 0;
    begin_scene(&late);
    while (end_life(begin_life(NULL))) {
        deaths++;
        noted->record_bytes_max = 1000;
        for (int i = 0; i < 4; i++) {
            fflush(NULL);
            pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0)
                fail_to_start();
            assert_false(end_life(child));
        }
        noted->record_bytes_max = 0;
    }
    assert_int_equal(deaths, 4);
    check();
    remove_tree(path);
}

/* --- records of another process --- */

static void await_stored(svl_pipeline *p, svl_subscription *subscription)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    (void)subscription;
    do {
        work_a_moment(p);
        must(svl_store_stats_get(svl_pipeline_store(p), &stats));
    } while (stats.last_id < 2 * RECORDS); /* and the echoes */
}

static void test_ingest_handler_when_it_dies_of_an_attached_record_then_set_aside(void **state)
{
    (void)state;
    static const struct scene attached = { .what = "attached",
                                           .at_ingest = true,
                                           .attached = true,
                                           .workers = 2,
                                           .batch = 100,
                                           .poisons = { 2 } };
    svl_publisher *publisher;
    for (int i = 0; i < 4; i++) {
        struct scene s = attached;
        s.private_ring = i & 1;
        s.threadless = i & 2;
        begin_scene(&s);
        atomic_store(&noted->published, true);
        pid_t host = begin_life(await_stored);
        while (svl_attach(path, NULL, &publisher) != SVL_OK)
            sleep_us(1000);
        for (int number = 1; number <= RECORDS; number++) {
            char key[16];
            snprintf(key, sizeof key, "%d", number);
            svl_record record = { .source = slice_of("p"), .key = slice_of(key), .severity = 1 };
            assert_ok(svl_publisher_publish(publisher, &record));
        }
        assert_true(end_life(host));
        assert_int_equal(live_on(await_stored), 3);
        assert_ok(svl_publisher_close(publisher));
        check();
        remove_tree(path);
    }
}

/* --- closing while one runs alone --- */

static void close_in_time(svl_pipeline *p, svl_subscription *subscription)
{
    (void)subscription;
    while (!atomic_load(&noted->is_stuck))
        sleep_us(500);
    int calls = atomic_load(&noted->other_calls);
    must(svl_close(p) == SVL_E_TIMEOUT ? SVL_OK : SVL_E_INTERNAL);
    atomic_store(&noted->stuck, false);
    while (atomic_load(&noted->callbacks) > 0)
        sleep_us(500);
    sleep_us(20000); /* whoever came through the gate now would be counted */
    must(atomic_load(&noted->other_calls) == calls ? SVL_OK : SVL_E_INTERNAL);
    _exit(0);
}

static void test_close_when_one_runs_alone_for_ever_then_those_behind_it_are_not_called(
    void **state)
{
    (void)state;
    static const struct scene stuck = { .what = "stuck",
                                        .with_other = true,
                                        .workers = 3,
                                        .batch = 100,
                                        .close_timeout_ms = 1000,
                                        .poisons = { 1 } };
    begin_scene(&stuck);
    assert_true(end_life(begin_life(NULL)));
    atomic_store(&noted->mended, true);
    atomic_store(&noted->stuck, true);
    assert_false(end_life(begin_life(close_in_time)));
    assert_int_equal(atomic_load(&noted->beside), 0);
    assert_int_equal(live_on(NULL), 0);
    assert_int_equal(noted->last.suspects, 0);
    remove_tree(path);
}

int main(void)
{
    noted = mmap(NULL, sizeof *noted, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (noted == MAP_FAILED)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handler_when_it_kills_the_process_then_the_record_is_set_aside),
        cmocka_unit_test(test_record_when_it_kills_and_is_to_be_dropped_then_counted_and_passed),
        cmocka_unit_test(
            test_record_when_it_kills_and_is_to_pause_then_paused_before_it_until_mended),
        cmocka_unit_test(test_dead_letter_when_it_kills_again_then_set_aside_again),
        cmocka_unit_test(test_handler_without_a_name_when_it_kills_then_set_aside_while_it_lasts),
        cmocka_unit_test(test_start_when_it_fails_in_between_then_nothing_is_counted),
        cmocka_unit_test(test_ingest_handler_when_it_dies_of_an_attached_record_then_set_aside),
        cmocka_unit_test(
            test_close_when_one_runs_alone_for_ever_then_those_behind_it_are_not_called),
    };
    int failed = cmocka_run_group_tests_name("pipeline/poison", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
