/* workload_queue.c - see workload_queue.h. */
#include "workload_queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define WARM_BURST 1000

bool queue_fits(const struct peer *peer)
{
    return peer->queue && peer->queue->receive;
}

bool queue_fits_drained(const struct peer *peer)
{
    return peer->queue != NULL;
}

bool queue_fits_sleeping(const struct peer *peer)
{
    return peer->queue && peer->queue->can_sleep;
}

static int use_once(const struct queue_ops *ops, void *queue, unsigned bytes)
{
    char message[QUEUE_MESSAGE_MAX];
    struct sink sink = { 0 };
    int rc = 0;
    memset(message, 'x', sizeof message);
    for (uint64_t left = QUEUE_BYTES / bytes; rc == 0 && left > 0;) {
        uint64_t n = left < WARM_BURST ? left : WARM_BURST;
        rc = ops->send(queue, 0, message, bytes, n);
        if (rc == 0)
            rc = ops->receive ? ops->receive(queue, n, &sink) : ops->drain(queue);
        left -= n;
    }
    return rc;
}

void *queue_open(const struct run *run, unsigned producers, unsigned bytes)
{
    struct queue_wish wish = {
        .path = run->path, .bytes_max = QUEUE_BYTES, .message_bytes = bytes, .producers = producers
    };
    void *queue = run->peer->queue->open(&wish);
    if (!queue)
        bench_fail("a queue cannot be made");
    if (!queue || use_once(run->peer->queue, queue, bytes) == 0)
        return queue;
    run->peer->queue->close(queue);
    return NULL;
}

struct receiver {
    pthread_t thread;
    const struct queue_ops *ops;
    void *queue;
    uint64_t n;
    struct sink sink;
    int rc;
};

static void *receive(void *argument)
{
    struct receiver *me = argument;
    me->rc = me->ops->receive(me->queue, me->n, &me->sink);
    return NULL;
}

struct receiver *receiver_start(const struct queue_ops *ops, void *queue, uint64_t n)
{
    struct receiver *me = calloc(1, sizeof *me);
    if (!me)
        return NULL;
    me->ops = ops;
    me->queue = queue;
    me->n = n;
    if (pthread_create(&me->thread, NULL, receive, me) == 0)
        return me;
    free(me);
    bench_fail("no thread that receives");
    return NULL;
}

int receiver_join(struct receiver *receiver, uint64_t sum)
{
    if (!receiver)
        return -1;
    pthread_join(receiver->thread, NULL);
    bool is_whole = receiver->rc == 0 && receiver->sink.count == receiver->n &&
                    receiver->sink.sum == receiver->n * sum;
    free(receiver);
    return is_whole ? 0 : bench_fail("not every message came whole");
}
