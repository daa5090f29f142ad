/* workload_latency.c - how long a publisher is held up: one message every 10 us by the clock, a consumer beside it;
 * and the same with a thread that only computes. The times are from a message's turn to the end of its send. */
#include <string.h>

#include "load.h"
#include "workload_queue.h"

#define INTERVAL_NS 10000

struct sender {
    const struct queue_ops *ops;
    void *queue;
    unsigned bytes;
    char message[QUEUE_MESSAGE_MAX];
};

static int send_one(void *user, unsigned thread, uint64_t i)
{
    struct sender *me = user;
    (void)i;
    return me->ops->send(me->queue, thread, me->message, me->bytes, 1);
}

static int latency(struct run *run)
{
    struct sender me = { .ops = run->peer->queue, .bytes = run->workload->bytes };
    memset(me.message, 'x', sizeof me.message);
    me.queue = queue_open(run, 1, me.bytes);
    if (!me.queue)
        return -1;
    struct receiver *receiver =
        me.ops->receive ? receiver_start(me.ops, me.queue, run->records) : NULL;
    struct load load = { .threads = 1,
                         .operations = run->records,
                         .interval_ns = INTERVAL_NS,
                         .operate = send_one,
                         .user = &me };
    int rc = receiver || !me.ops->receive ? load_run(&load, run) : -1;
    if (rc == 0)
        rc = receiver ? receiver_join(receiver, bench_sum(me.message, me.bytes))
                      : me.ops->drain(me.queue);
    if (rc == 0)
        me.ops->close(me.queue);
    return rc;
}

const struct workload latency_workloads[] = {
    { .name = "latency/idle",
      .question = "How long is a publisher held up?",
      .charts = METRIC_BIT(METRIC_P50_NS) | METRIC_BIT(METRIC_P999_NS),
      .divisor = 10,
      .bytes = 139,
      .fits = queue_fits_drained,
      .measure = latency },
    { .name = "latency/hog",
      .question = "How long is a publisher held up beside a busy thread?",
      .charts = METRIC_BIT(METRIC_P50_NS) | METRIC_BIT(METRIC_P999_NS),
      .divisor = 10,
      .bytes = 139,
      .has_hog = true,
      .fits = queue_fits_drained,
      .measure = latency },
};
const size_t latency_workload_count = sizeof latency_workloads / sizeof latency_workloads[0];
