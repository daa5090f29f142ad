/* peer_rte.c - DPDK's rte_ring, many producers to one consumer, the messages by value (rte_ring_elem.h), in memory of
 * ours: DPDK's environment is not started. One producer at a time (HTS), which is meant for more threads than cores;
 * the consumer reads in place what is there, then frees it. A full or empty ring is waited for by sched_yield(). */
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_config.h"

#define BULK 256

struct queue {
    struct rte_ring *ring;
    unsigned bytes;
};

#define FOR_EACH_SIZE(of) of(64) of(100) of(139) of(256) of(1024) of(4096)

/* An element is whole words of 4 bytes. */
#define ELEMENT_BYTES(size) (((size) + 3u) / 4 * 4)

/* Elements that lie beside each other. */
static void take_all(struct sink *sink, const char *first, unsigned n, unsigned size)
{
    for (unsigned i = 0; i < n; i++)
        sink_take(sink, first + (size_t)i * ELEMENT_BYTES(size), size);
}

#define DEFINE(size)                                                                               \
    static void send_##size(struct queue *me, const void *message, uint64_t n)                     \
    {                                                                                              \
        uint32_t element[ELEMENT_BYTES(size) / 4] = { 0 };                                         \
        memcpy(element, message, size);                                                            \
        for (uint64_t i = 0; i < n; i++)                                                           \
            while (!rte_ring_mp_hts_enqueue_bulk_elem(me->ring, element, sizeof element, 1, NULL)) \
                sched_yield();                                                                     \
    }                                                                                              \
    static void receive_##size(struct queue *me, uint64_t n, struct sink *sink)                    \
    {                                                                                              \
        while (n > 0) {                                                                            \
            struct rte_ring_zc_data at; /* two parts where the ring's end is between */            \
            unsigned there = rte_ring_dequeue_zc_burst_elem_start(                                 \
                me->ring, ELEMENT_BYTES(size), n < BULK ? (unsigned)n : BULK, &at, NULL);          \
            if (there == 0) {                                                                      \
                sched_yield();                                                                     \
                continue;                                                                          \
            }                                                                                      \
            take_all(sink, at.ptr1, at.n1, size);                                                  \
            take_all(sink, at.ptr2, there - at.n1, size);                                          \
            rte_ring_dequeue_zc_elem_finish(me->ring, there);                                      \
            n -= there;                                                                            \
        }                                                                                          \
    }
FOR_EACH_SIZE(DEFINE)

#define TABLE(size) { size, ELEMENT_BYTES(size), send_##size, receive_##size },
static const struct {
    unsigned bytes, element_bytes;
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
    unsigned slots = 2, index = size_index(wish->message_bytes);
    if (index == sizeof sizes / sizeof sizes[0])
        return NULL;
    while ((uint64_t)slots * wish->message_bytes < wish->bytes_max + wish->message_bytes)
        slots *= 2;
    ssize_t bytes = rte_ring_get_memsize_elem(sizes[index].element_bytes, slots);
    struct queue *me = malloc(sizeof *me);
    struct rte_ring *ring = bytes > 0 ? aligned_alloc(RTE_CACHE_LINE_SIZE, (size_t)bytes) : NULL;
    if (!me || !ring ||
        rte_ring_init(ring, "bench", slots, RING_F_MP_HTS_ENQ | RING_F_SC_DEQ) != 0) {
        free(me);
        free(ring);
        return NULL;
    }
    me->ring = ring;
    me->bytes = wish->message_bytes;
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
    free(me->ring);
    free(me);
}

static const char *version(void)
{
    return BENCH_RTE_VERSION;
}

static const struct queue_ops ops = { .is_by_value = true,
                                      .open = queue_open,
                                      .send = queue_send,
                                      .receive = queue_receive,
                                      .close = queue_close };

const struct peer peer_rte = {
    .name = "rte_ring", .title = "rte_ring, MPSC by value", .version = version, .queue = &ops
};
