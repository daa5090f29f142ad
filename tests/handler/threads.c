/* No thread to be had for stored handlers: tried again, whoever waits. The executable's own
 * pthread_create() stands before the C library's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "support/support.h"

static char path[512];
static _Atomic bool no_threads;
static _Atomic unsigned refused, done;
static _Atomic unsigned
    enough; /* refusals after which there are threads again; 0 = not yet known */

typedef int create_fn(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *argument)
{
    static create_fn *create;
    if (!create) {
        void *symbol = dlsym(RTLD_NEXT, "pthread_create");
        memcpy(&create, &symbol, sizeof create);
    }
    if (!atomic_load(&no_threads))
        return create(thread, attributes, run, argument);
    atomic_fetch_add(&refused, 1);
    return EAGAIN;
}

static int handle(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    (void)user;
    assert_ok(svl_batch_records(batch, &records, &n));
    atomic_fetch_add(&done, (unsigned)n);
    return SVL_OK;
}

static svl_pipeline *open_and_publish(unsigned n)
{
    svl_pipeline *p;
    snprintf(path, sizeof path, "%s", temp_path());
    atomic_store(&refused, 0);
    atomic_store(&done, 0);
    assert_ok(svl_open(path, NULL, &p));
    assert_ok(svl_on_stored(p, NULL, handle, NULL, NULL));
    assert_ok(svl_start(p));
    atomic_store(&no_threads, true);
    for (unsigned i = 0; i < n; i++)
        assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "in", "x"));
    assert_ok(svl_flush(p, -1));
    return p;
}

static void test_records_when_there_was_no_thread_then_the_next_one_has_all_handed_out(void **state)
{
    (void)state;
    svl_pipeline *p = open_and_publish(5);
    while (atomic_load(&refused) == 0)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    assert_int_equal(atomic_load(&done), 0);
    atomic_store(&no_threads, false);
    assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "in", "x"));
    while (atomic_load(&done) < 6)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    assert_ok(svl_close(p));
}

static void *have_threads_again(void *begun)
{
    while (atomic_load(&enough) == 0 || atomic_load(&refused) < atomic_load(&enough))
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    atomic_store(&no_threads, false);
    return begun;
}

static void test_stop_when_there_is_no_thread_then_tried_again_until_all_is_handed_out(void **state)
{
    (void)state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, have_threads_again, NULL), 0);
    svl_pipeline *p = open_and_publish(5);
    assert_int_equal(svl_stop(p, 20), SVL_E_TIMEOUT);
    assert_int_equal(atomic_load(&done), 0);
    atomic_store(&enough, atomic_load(&refused) + 2); /* svl_stop() tries, too */
    assert_ok(svl_stop(p, 60000));
    assert_int_equal(atomic_load(&done), 5);
    pthread_join(thread, NULL);
    assert_ok(svl_close(p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_records_when_there_was_no_thread_then_the_next_one_has_all_handed_out),
        cmocka_unit_test(
            test_stop_when_there_is_no_thread_then_tried_again_until_all_is_handed_out),
    };
    int failed = cmocka_run_group_tests_name("handler/threads", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
