/* workload_publish.c - what one message costs its sender, alone: bursts that fit, each taken out before the next,
 * outside the timing. */
#include <string.h>

#include "workload_queue.h"

#define BURST 10000

static int publish(struct run *run)
{
    const struct queue_ops *ops = run->peer->queue;
    char message[QUEUE_MESSAGE_MAX];
    struct sink sink = { 0 };
    unsigned bytes = run->workload->bytes;
    void *queue = queue_open(run, 1, bytes);
    int64_t took_ns = 0;
    uint64_t done = 0;
    int rc = queue ? 0 : -1;
    memset(message, 'x', sizeof message);
    while (rc == 0 && done < run->records) {
        uint64_t n = run->records - done < BURST ? run->records - done : BURST;
        int64_t start_ns = bench_now_ns();
        rc = ops->send(queue, 0, message, bytes, n);
        took_ns += bench_now_ns() - start_ns;
        if (rc == 0)
            rc = ops->receive ? ops->receive(queue, n, &sink) : ops->drain(queue);
        done += n;
    }
    if (queue)
        ops->close(queue);
    run->metrics[METRIC_EACH_NS] = (double)took_ns / (double)done;
    return rc;
}

const struct workload publish_workloads[] = {
    { .name = "publish/100",
      .question = "What does it cost to publish 100 bytes?",
      .charts = METRIC_BIT(METRIC_EACH_NS),
      .divisor = 1,
      .bytes = 100,
      .fits = queue_fits_drained,
      .measure = publish },
};
const size_t publish_workload_count = sizeof publish_workloads / sizeof publish_workloads[0];
