/* workload_wake.c - how soon a consumer that sleeps has a message: one a millisecond, its time of sending inside. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "load.h"
#include "workload_queue.h"

#define IDLE_NS 1000000

struct sleeper {
    const struct queue_ops *ops;
    void *queue;
    uint64_t n;
    struct histogram histogram;
    int rc;
};

static void *receive_each(void *argument)
{
    struct sleeper *me = argument;
    for (uint64_t i = 0; me->rc == 0 && i < me->n; i++) {
        struct sink sink = { 0 };
        me->rc = me->ops->receive(me->queue, 1, &sink);
        histogram_add(&me->histogram, (uint64_t)bench_now_ns() - sink.stamp);
    }
    return NULL;
}

static int wake(struct run *run)
{
    struct sleeper *me = calloc(1, sizeof *me);
    char message[QUEUE_MESSAGE_MAX] = { 0 };
    struct timespec idle = { .tv_nsec = IDLE_NS };
    struct watch watch;
    pthread_t thread;
    if (!me)
        return bench_fail("no memory");
    me->ops = run->peer->queue;
    me->n = run->records;
    me->queue = queue_open(run, 1, run->workload->bytes);
    if (!me->queue || pthread_create(&thread, NULL, receive_each, me) != 0)
        return bench_fail("no thread that receives");
    int rc = 0;
    watch_start(&watch);
    for (uint64_t i = 0; rc == 0 && i < run->records; i++) {
        nanosleep(&idle, NULL);
        int64_t now_ns = bench_now_ns();
        memcpy(message, &now_ns, sizeof now_ns);
        rc = me->ops->send(me->queue, 0, message, run->workload->bytes, 1);
    }
    if (rc == 0)
        pthread_join(thread, NULL);
    watch_stop(&watch, run, run->records);
    run->metrics[METRIC_RATE] = run->metrics[METRIC_EACH_NS] = __builtin_nan("");
    load_report(&me->histogram, run);
    rc = rc != 0 ? rc : me->rc;
    if (rc == 0)
        me->ops->close(me->queue);
    free(me);
    return rc;
}

const struct workload wake_workloads[] = {
    { .name = "wake",
      .question = "How soon does a sleeping consumer have a message?",
      .charts = METRIC_BIT(METRIC_P50_NS) | METRIC_BIT(METRIC_P99_NS),
      .divisor = 1000,
      .bytes = 100,
      .fits = queue_fits_sleeping,
      .measure = wake },
};
const size_t wake_workload_count = sizeof wake_workloads / sizeof wake_workloads[0];
