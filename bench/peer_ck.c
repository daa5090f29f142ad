/* peer_ck.c - Concurrency Kit's ck_ring, many producers to one consumer, the messages by value (CK_RING_PROTOTYPE):
 * a type for each size, as its header means it. A full or empty ring is waited for by sched_yield(). */
#include <ck_md.h>
#include <ck_ring.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_config.h"

struct queue {
    ck_ring_t ring; /* its positions stand on cache lines of their own */
    void *buffer;
    unsigned bytes;
};

#define FOR_EACH_SIZE(of) of(64) of(100) of(139) of(256) of(1024) of(4096)

#define DEFINE(size)                                                                               \
    struct message_##size {                                                                        \
        char bytes[size];                                                                          \
    };                                                                                             \
    CK_RING_PROTOTYPE(of_##size, message_##size)                                                   \
    static void send_##size(struct queue *me, const void *message, uint64_t n)                     \
    {                                                                                              \
        struct message_##size value;                                                               \
        memcpy(&value, message, size);                                                             \
        for (uint64_t i = 0; i < n; i++)                                                           \
            while (!CK_RING_ENQUEUE_MPSC(of_##size, &me->ring, me->buffer, &value))                \
                sched_yield();                                                                     \
    }                                                                                              \
    static void receive_##size(struct queue *me, uint64_t n, struct sink *sink)                    \
    {                                                                                              \
        struct message_##size value;                                                               \
        for (uint64_t i = 0; i < n; i++) {                                                         \
            while (!CK_RING_DEQUEUE_MPSC(of_##size, &me->ring, me->buffer, &value))                \
                sched_yield();                                                                     \
            sink_take(sink, &value, size);                                                         \
        }                                                                                          \
    }
FOR_EACH_SIZE(DEFINE)

#define TABLE(size) { size, send_##size, receive_##size },
static const struct {
    unsigned bytes;
    void (*send)(struct queue *me, const void *message, uint64_t n);
    void (*receive)(struct queue *me, uint64_t n, struct sink *sink);
} sizes[] = { FOR_EACH_SIZE(TABLE) };

static unsigned size_index(unsigned bytes)
{
    unsigned i = 0;
    while (i < sizeof sizes / sizeof sizes[0] && sizes[i].bytes != bytes)
        i++;
    return i;
}

static void *queue_open(const struct queue_wish *wish)
{
    unsigned slots = 2;
    while ((uint64_t)slots * wish->message_bytes < wish->bytes_max + wish->message_bytes)
        slots *= 2;
    struct queue *me = aligned_alloc(CK_MD_CACHELINE, (sizeof *me + CK_MD_CACHELINE - 1) /
                                                          CK_MD_CACHELINE * CK_MD_CACHELINE);
    void *buffer = calloc(slots, wish->message_bytes);
    if (!me || !buffer || size_index(wish->message_bytes) == sizeof sizes / sizeof sizes[0]) {
        free(me);
        free(buffer);
        return NULL;
    }
    me->buffer = buffer;
    me->bytes = wish->message_bytes;
    ck_ring_init(&me->ring, slots);
    return me;
}

static int queue_send(void *queue, unsigned producer, const void *message, unsigned bytes,
                      uint64_t n)
{
    (void)producer;
    sizes[size_index(bytes)].send(queue, message, n);
    return 0;
}

static int queue_receive(void *queue, uint64_t n, struct sink *sink)
{
    struct queue *me = queue;
    sizes[size_index(me->bytes)].receive(me, n, sink);
    return 0;
}

static void queue_close(void *queue)
{
    struct queue *me = queue;
    free(me->buffer);
    free(me);
}

static const char *version(void)
{
    return BENCH_CK_VERSION;
}

static const struct queue_ops ops = { .is_by_value = true,
                                      .open = queue_open,
                                      .send = queue_send,
                                      .receive = queue_receive,
                                      .close = queue_close };

const struct peer peer_ck = {
    .name = "ck_ring", .title = "ck_ring, MPSC by value", .version = version, .queue = &ops
};
