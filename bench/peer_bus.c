/* peer_bus.c - ours as a queue: svl_bus, a record with a body alone; with the record's time given, and taken by it. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define RING_RECORD_OVERHEAD 64 /* header, wire form without names, alignment: at most */

static uint64_t ring_bytes(const struct queue_wish *wish)
{
    uint64_t bytes = UINT64_C(1) << 20;
    uint64_t messages = wish->bytes_max / wish->message_bytes;
    while (bytes < messages * (wish->message_bytes + RING_RECORD_OVERHEAD))
        bytes *= 2;
    return bytes;
}

/* The consumer writes its own all the time: on a cache line that no producer reads. */
struct bus {
    svl_bus *bus;
    _Alignas(128) struct sink sink;
};

static int on_message(const svl_record *record, void *user)
{
    struct bus *me = user;
    sink_take(&me->sink, record->body.data, record->body.len);
    return SVL_OK;
}

static void *bus_open(const struct queue_wish *wish)
{
    struct bus *me = aligned_alloc(_Alignof(struct bus), sizeof *me);
    svl_bus_options options;
    if (me)
        *me = (struct bus){ 0 };
    svl_bus_options_init(&options, sizeof options);
    options.ring_bytes = ring_bytes(wish);
    if (me && svl_bus_create(&options, &me->bus) == SVL_OK &&
        svl_bus_subscribe(me->bus, NULL, on_message, me, NULL) == SVL_OK)
        return me;
    bench_fail(svl_last_error());
    free(me);
    return NULL;
}

static int bus_publish(struct bus *me, int64_t time_ns, const void *message, unsigned bytes,
                       uint64_t n)
{
    svl_record record = { .time_ns = time_ns, .body = { message, bytes } };
    for (uint64_t i = 0; i < n; i++)
        if (svl_bus_publish(me->bus, &record) != SVL_OK)
            return bench_fail(svl_last_error());
    return 0;
}

static int bus_send(void *queue, unsigned producer, const void *message, unsigned bytes, uint64_t n)
{
    (void)producer;
    return bus_publish(queue, 1, message, bytes, n);
}

static int bus_send_clock(void *queue, unsigned producer, const void *message, unsigned bytes,
                          uint64_t n)
{
    (void)producer;
    return bus_publish(queue, 0, message, bytes, n);
}

static int bus_receive(void *queue, uint64_t n, struct sink *sink)
{
    struct bus *me = queue;
    me->sink = *sink;
    while (n > 0) {
        size_t delivered;
        if (svl_bus_pump(me->bus, n, -1, &delivered) != SVL_OK)
            return bench_fail(svl_last_error());
        n -= delivered;
    }
    *sink = me->sink;
    return 0;
}

static void bus_close(void *queue)
{
    struct bus *me = queue;
    svl_bus_destroy(me->bus);
    free(me);
}

static const struct queue_ops bus_ops = { .is_by_value = true,
                                          .can_sleep = true,
                                          .open = bus_open,
                                          .send = bus_send,
                                          .receive = bus_receive,
                                          .close = bus_close };
static const struct queue_ops bus_clock_ops = { .is_by_value = true,
                                                .can_sleep = true,
                                                .open = bus_open,
                                                .send = bus_send_clock,
                                                .receive = bus_receive,
                                                .close = bus_close };

const struct peer peer_bus = { .name = "serverlog-bus",
                               .title = "serverlog bus",
                               .is_ours = true,
                               .version = svl_version,
                               .queue = &bus_ops };
const struct peer peer_bus_clock = { .name = "serverlog-bus-clock",
                                     .title = "serverlog bus, takes the time",
                                     .is_ours = true,
                                     .version = svl_version,
                                     .queue = &bus_clock_ops };
