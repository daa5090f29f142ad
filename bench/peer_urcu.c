/* peer_urcu.c - liburcu's wfcqueue: a wait-free enqueue of nodes that the producer allocates, and a consumer that takes
 * all that is there by one splice. It has no bound: each producer looks every 256 messages whether its share of the
 * bound waits, as a program with bounded memory must. */
#define _LGPL_SOURCE /* its functions inline: for programs whose licence goes with the LGPL */
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/compiler.h>
#include <urcu/wfcqueue.h>

#include "bench.h"
#include "bench_config.h"

#define LOOK_EVERY 256

struct message {
    struct cds_wfcq_node node;
    char bytes[];
};

struct queue {
    unsigned bytes, producers;
    uint64_t messages_max;
    _Alignas(128) struct cds_wfcq_tail tail;
    _Alignas(128) struct cds_wfcq_head head;
    _Alignas(128) struct cds_wfcq_tail local_tail; /* the consumer's: spliced off, not handed out */
    struct cds_wfcq_head local_head;
    _Alignas(128) _Atomic uint64_t received;
    struct {
        _Alignas(128) _Atomic uint64_t n;
    } sent[]; /* by each producer */
};

static void *queue_open(const struct queue_wish *wish)
{
    size_t size = sizeof(struct queue) + wish->producers * sizeof((struct queue *)0)->sent[0];
    struct queue *me = aligned_alloc(_Alignof(struct queue), size);
    if (!me)
        return NULL;
    memset(me, 0, size);
    cds_wfcq_init(&me->head, &me->tail);
    cds_wfcq_init(&me->local_head, &me->local_tail);
    me->bytes = wish->message_bytes;
    me->producers = wish->producers;
    me->messages_max = wish->bytes_max / wish->message_bytes + LOOK_EVERY;
    return me;
}

static void wait_for_space(struct queue *me)
{
    for (;;) {
        uint64_t sent = 0;
        for (unsigned i = 0; i < me->producers; i++)
            sent += atomic_load_explicit(&me->sent[i].n, memory_order_relaxed);
        if (sent <= atomic_load_explicit(&me->received, memory_order_relaxed) + me->messages_max)
            return;
        sched_yield();
    }
}

static int queue_send(void *queue, unsigned producer, const void *message, unsigned bytes,
                      uint64_t n)
{
    struct queue *me = queue;
    uint64_t sent = atomic_load_explicit(&me->sent[producer].n, memory_order_relaxed);
    for (uint64_t i = 0; i < n; i++) {
        if (++sent % LOOK_EVERY == 0) {
            atomic_store_explicit(&me->sent[producer].n, sent, memory_order_relaxed);
            wait_for_space(me);
        }
        struct message *it = malloc(sizeof *it + bytes);
        if (!it)
            return bench_fail("no memory for a message");
        cds_wfcq_node_init(&it->node);
        memcpy(it->bytes, message, bytes);
        cds_wfcq_enqueue(&me->head, &me->tail, &it->node);
    }
    atomic_store_explicit(&me->sent[producer].n, sent, memory_order_relaxed);
    return 0;
}

static int queue_receive(void *queue, uint64_t n, struct sink *sink)
{
    struct queue *me = queue;
    uint64_t received = atomic_load_explicit(&me->received, memory_order_relaxed);
    for (uint64_t i = 0; i < n; i++) {
        struct cds_wfcq_node *node;
        while (!(node = __cds_wfcq_dequeue_blocking(&me->local_head, &me->local_tail))) {
            atomic_store_explicit(&me->received, received + i, memory_order_relaxed);
            if (__cds_wfcq_splice_blocking(&me->local_head, &me->local_tail, &me->head,
                                           &me->tail) == CDS_WFCQ_RET_SRC_EMPTY)
                sched_yield();
        }
        struct message *it = caa_container_of(node, struct message, node);
        sink_take(sink, it->bytes, me->bytes);
        free(it);
        if ((i + 1) % LOOK_EVERY == 0)
            atomic_store_explicit(&me->received, received + i + 1, memory_order_relaxed);
    }
    atomic_store_explicit(&me->received, received + n, memory_order_relaxed);
    return 0;
}

static void queue_close(void *queue)
{
    free(queue);
}

static const char *version(void)
{
    return BENCH_URCU_VERSION;
}

static const struct queue_ops ops = { .is_by_value = false,
                                      .open = queue_open,
                                      .send = queue_send,
                                      .receive = queue_receive,
                                      .close = queue_close };

const struct peer peer_urcu = { .name = "wfcqueue",
                                .title = "liburcu wfcqueue, a malloc a message",
                                .version = version,
                                .queue = &ops };
