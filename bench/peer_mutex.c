/* peer_mutex.c - the queue that one writes by hand: slots in a ring, one mutex, a condition variable for each side. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t not_empty, not_full;
    unsigned slot_bytes;
    uint64_t slots;      /* a power of two */
    uint64_t head, tail; /* messages taken, put */
    char *memory;
};

static void *queue_open(const struct queue_wish *wish)
{
    struct queue *me = calloc(1, sizeof *me);
    if (!me)
        return NULL;
    me->slot_bytes = wish->message_bytes;
    for (me->slots = 1; me->slots * me->slot_bytes < wish->bytes_max;)
        me->slots *= 2;
    me->memory = calloc(me->slots, me->slot_bytes);
    pthread_mutex_init(&me->mutex, NULL);
    pthread_cond_init(&me->not_empty, NULL);
    pthread_cond_init(&me->not_full, NULL);
    if (me->memory)
        return me;
    free(me);
    return NULL;
}

static int queue_send(void *queue, unsigned producer, const void *message, unsigned bytes,
                      uint64_t n)
{
    struct queue *me = queue;
    (void)producer;
    for (uint64_t i = 0; i < n; i++) {
        pthread_mutex_lock(&me->mutex);
        while (me->tail - me->head == me->slots)
            pthread_cond_wait(&me->not_full, &me->mutex);
        memcpy(me->memory + (me->tail & (me->slots - 1)) * me->slot_bytes, message, bytes);
        bool was_empty = me->tail++ == me->head;
        pthread_mutex_unlock(&me->mutex);
        if (was_empty)
            pthread_cond_signal(&me->not_empty);
    }
    return 0;
}

/* Takes all that is there under one lock: the usual swap of a batch. The slots are read before they are given back. */
static int queue_receive(void *queue, uint64_t n, struct sink *sink)
{
    struct queue *me = queue;
    while (n > 0) {
        pthread_mutex_lock(&me->mutex);
        while (me->tail == me->head)
            pthread_cond_wait(&me->not_empty, &me->mutex);
        uint64_t from = me->head, there = me->tail - me->head;
        pthread_mutex_unlock(&me->mutex);
        there = there < n ? there : n;
        for (uint64_t i = from; i < from + there; i++)
            sink_take(sink, me->memory + (i & (me->slots - 1)) * me->slot_bytes, me->slot_bytes);
        pthread_mutex_lock(&me->mutex);
        me->head += there;
        pthread_mutex_unlock(&me->mutex);
        pthread_cond_broadcast(&me->not_full);
        n -= there;
    }
    return 0;
}

static void queue_close(void *queue)
{
    struct queue *me = queue;
    free(me->memory);
    free(me);
}

static const struct queue_ops ops = { .is_by_value = true,
                                      .can_sleep = true,
                                      .open = queue_open,
                                      .send = queue_send,
                                      .receive = queue_receive,
                                      .close = queue_close };

const struct peer peer_mutex = { .name = "mutex",
                                 .title = "mutex + condition variables",
                                 .queue = &ops };
