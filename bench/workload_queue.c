/* workload_queue.c - see workload_queue.h. */
#include "workload_queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

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

/* As much as may wait in it, by each producer its share: a queue may keep for it what it has used. */
static int use_once(const struct queue_ops *ops, void *queue, unsigned producers, unsigned bytes)
{
    char message[QUEUE_MESSAGE_MAX];
    struct sink sink = { 0 };
    uint64_t share = QUEUE_BYTES / bytes / producers;
    int rc = 0;
    memset(message, 'x', sizeof message);
    for (unsigned p = 0; rc == 0 && p < producers; p++)
        rc = ops->send(queue, p, message, bytes, share);
    if (rc == 0)
        rc = ops->receive ? ops->receive(queue, share * producers, &sink) : ops->drain(queue);
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
    if (!queue || use_once(run->peer->queue, queue, producers, bytes) == 0)
        return queue;
    run->peer->queue->close(queue);
    return NULL;
}

struct receiver {
    pthread_t thread;
    const struct queue_ops *ops;
    void *queue;
    uint64_t n;
    int rc;
    _Alignas(128) struct sink sink; /* written for each message: beside nothing that others read */
};

static void *receive(void *argument)
{
    struct receiver *me = argument;
    me->rc = me->ops->receive(me->queue, me->n, &me->sink);
    return NULL;
}

struct receiver *receiver_start(const struct queue_ops *ops, void *queue, uint64_t n)
{
    struct receiver *me = aligned_alloc(_Alignof(struct receiver), sizeof *me);
    if (!me)
        return NULL;
    *me = (struct receiver){ .ops = ops, .queue = queue, .n = n };
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
