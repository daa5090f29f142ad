/* workload_transfer.c - messages from several threads to one that reads every byte: how many a second. */
#include <pthread.h>
#include <string.h>

#include "workload_queue.h"

#define PRODUCERS_MAX 8

struct producer {
    const struct queue_ops *ops;
    void *queue;
    const char *message;
    unsigned number, bytes;
    uint64_t n;
    int rc;
};

static void *send_all(void *argument)
{
    struct producer *me = argument;
    me->rc = me->ops->send(me->queue, me->number, me->message, me->bytes, me->n);
    return NULL;
}

static int transfer(struct run *run)
{
    const struct queue_ops *ops = run->peer->queue;
    unsigned count = run->workload->threads, bytes = run->workload->bytes, started = 0;
    char message[QUEUE_MESSAGE_MAX];
    struct producer producers[PRODUCERS_MAX];
    pthread_t threads[PRODUCERS_MAX];
    struct watch watch;
    uint64_t each = run->records / count;
    void *queue = queue_open(run, count, bytes);
    if (!queue)
        return -1;
    memset(message, 'x', sizeof message);
    struct receiver *receiver = receiver_start(ops, queue, each * count);
    if (!receiver)
        return -1;
    int rc = 0;
    watch_start(&watch);
    for (; rc == 0 && started < count; started++) {
        producers[started] = (struct producer){ ops, queue, message, started, bytes, each, 0 };
        if (pthread_create(&threads[started], NULL, send_all, &producers[started]) != 0)
            return bench_fail("no thread that sends");
    }
    for (unsigned i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        rc = rc != 0 ? rc : producers[i].rc;
    }
    if (rc == 0)
        rc = receiver_join(receiver, bench_sum(message, bytes));
    watch_stop(&watch, run, each * count);
    if (rc == 0)
        ops->close(queue);
    return rc;
}

#define TRANSFER(producers, size, text)                                                            \
    {                                                                                              \
        .name = "transfer/" #producers "x" #size,                                                  \
        .question = "How many messages of " text " a second?", .charts = METRIC_BIT(METRIC_RATE),  \
        .divisor = 1, .threads = producers, .bytes = size, .fits = queue_fits, .measure = transfer \
    }

const struct workload transfer_workloads[] = {
    TRANSFER(1, 64, "64 bytes from 1 thread"),      TRANSFER(2, 64, "64 bytes from 2 threads"),
    TRANSFER(4, 64, "64 bytes from 4 threads"),     TRANSFER(8, 64, "64 bytes from 8 threads"),
    TRANSFER(1, 139, "139 bytes from 1 thread"),    TRANSFER(2, 139, "139 bytes from 2 threads"),
    TRANSFER(4, 139, "139 bytes from 4 threads"),   TRANSFER(8, 139, "139 bytes from 8 threads"),
    TRANSFER(1, 256, "256 bytes from 1 thread"),    TRANSFER(2, 256, "256 bytes from 2 threads"),
    TRANSFER(4, 256, "256 bytes from 4 threads"),   TRANSFER(8, 256, "256 bytes from 8 threads"),
    TRANSFER(1, 1024, "1,024 bytes from 1 thread"), TRANSFER(4, 1024, "1,024 bytes from 4 threads"),
    TRANSFER(1, 4096, "4,096 bytes from 1 thread"), TRANSFER(4, 4096, "4,096 bytes from 4 threads"),
};
const size_t transfer_workload_count = sizeof transfer_workloads / sizeof transfer_workloads[0];
