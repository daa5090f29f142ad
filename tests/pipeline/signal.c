/* Publishing from a signal handler, whatever it interrupted: each one that said SVL_OK is stored. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/support.h"

static svl_pipeline *pipeline;
static _Atomic uint64_t taken, refused, wrong;

static svl_pipeline *open_pipeline(uint32_t policy)
{
    svl_options options;
    svl_store_options store;
    svl_pipeline *p;
    assert_ok(svl_options_init(&options, sizeof options));
    assert_ok(svl_store_options_init(&store, sizeof store));
    store.record_bytes_max = 4096;
    options.ring_bytes = 64 << 10;
    options.full_policy = policy;
    options.store = &store;
    assert_ok(svl_open(temp_path(), &options, &p));
    return p;
}

static void on_alarm(int number)
{
    static const char source[] = "signal";
    (void)number;
    svl_record record = { .source = { source, sizeof source - 1 }, .body = { "alarm", 5 } };
    int before = errno;
    errno = 77;
    int rc = svl_publish_signal(pipeline, &record);
    atomic_fetch_add(rc == SVL_OK ? &taken : rc == SVL_E_FULL ? &refused : &wrong, 1);
    if (errno != 77)
        atomic_fetch_add(&wrong, 1);
    errno = before;
}

static uint64_t count(svl_store *store, const char *source)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *records;
    uint64_t found = 0;
    size_t n;
    assert_ok(svl_query_init(&query, sizeof query));
    query.source = slice_of(source);
    assert_ok(svl_store_query(store, &query, &cursor));
    while (svl_cursor_next_many(cursor, 0, 1000, &records, &n) == SVL_OK)
        found += n;
    svl_cursor_close(cursor);
    return found;
}

/* It interrupts publishing, queries and flushes of the very thread that it runs on. */
static void test_signal_when_it_interrupts_anything_then_its_records_are_stored(void **state)
{
    (void)state;
    enum { SIGNALS = 300 };
    struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
    struct itimerval often = { { 0, 300 }, { 0, 300 } }, never = { { 0, 0 }, { 0, 0 } };
    uint64_t published = 0;
    pipeline = open_pipeline(SVL_FULL_FAIL);
    assert_ok(svl_start(pipeline));
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    while (atomic_load(&taken) + atomic_load(&refused) < SIGNALS) {
        for (int i = 0; i < 100; i++)
            published += svl_publish_text(pipeline, SVL_SEVERITY_INFO, "thread", "text") == SVL_OK;
        assert_ok(svl_flush(pipeline, -1));
        assert_true(count(svl_pipeline_store(pipeline), "thread") == published);
    }
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    action.sa_handler = SIG_IGN;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_ok(svl_stop(pipeline, -1));
    assert_true(atomic_load(&wrong) == 0);
    assert_true(count(svl_pipeline_store(pipeline), "signal") == atomic_load(&taken));
    assert_true(count(svl_pipeline_store(pipeline), "thread") == published);
    assert_ok(svl_close(pipeline));
}

static void test_signal_when_it_cannot_publish_then_a_code_and_no_words(void **state)
{
    (void)state;
    svl_record record = { .source = slice_of("s") }, bad = { .source = slice_of("serverlog.x") };
    char words[512], after[512];
    svl_pipeline *p = open_pipeline(SVL_FULL_DROP_NEW);
    assert_int_equal(svl_publish(NULL, &record), SVL_E_INVALID);
    svl_last_error_copy(words, sizeof words);
    assert_int_equal(svl_publish_signal(NULL, &record), SVL_E_INVALID);
    assert_int_equal(svl_publish_signal(p, &record), SVL_E_STATE);
    assert_ok(svl_start(p));
    assert_int_equal(svl_publish_signal(p, NULL), SVL_E_INVALID);
    assert_int_equal(svl_publish_signal(p, &bad), SVL_E_RESERVED);
    bad = (svl_record){ .body = { words, 60 << 10 } };
    assert_int_equal(svl_publish_signal(p, &bad), SVL_E_RECORD_SIZE);
    for (int i = 0; i < 5000; i++) /* full or not */
        assert_int_equal(svl_publish_signal(p, &record), SVL_OK);
    pid_t child = fork();
    int status;
    assert_true(child >= 0);
    if (child == 0)
        _exit(svl_publish_signal(p, &record) != SVL_E_FORKED);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_ok(svl_stop(p, -1));
    svl_pipeline_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_pipeline_stats_get(p, &stats));
    assert_true(count(svl_pipeline_store(p), "s") + stats.dropped_full == 5000);
    assert_int_equal(svl_publish_signal(p, &record), SVL_E_CLOSED);
    assert_ok(svl_close(p));
    svl_last_error_copy(after, sizeof after);
    assert_string_equal(after, words);

    p = open_pipeline(SVL_FULL_BLOCK);
    assert_ok(svl_start(p));
    assert_int_equal(svl_publish_signal(p, &record), SVL_E_OPTION);
    assert_ok(svl_close(p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signal_when_it_interrupts_anything_then_its_records_are_stored),
        cmocka_unit_test(test_signal_when_it_cannot_publish_then_a_code_and_no_words),
    };
    int failed = cmocka_run_group_tests_name("pipeline/signal", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
