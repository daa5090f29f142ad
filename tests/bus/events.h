/* events.h - numbered records for a bus, and a subscriber that keeps the numbers it was called with. */
#ifndef TESTS_BUS_EVENTS_H
#define TESTS_BUS_EVENTS_H

#include <string.h>
#include <time.h>

#include "support/support.h"

#define SEEN_MAX 4096

struct seen {
    size_t n;
    int64_t numbers[SEEN_MAX];
};

/* The number travels in the body; `padding` more bytes make the record as large as a test wants it. */
static inline int publish_number(svl_bus *bus, int64_t number, size_t padding)
{
    uint8_t body[sizeof number + 4096] = { 0 };
    memcpy(body, &number, sizeof number);
    svl_record record = { .severity = SVL_SEVERITY_INFO,
                          .source = slice_of("s"),
                          .body = { body, sizeof number + padding } };
    return svl_bus_publish(bus, &record);
}

static inline int64_t number_of(const svl_record *record)
{
    int64_t number;
    assert_true(record->body.len >= sizeof number);
    memcpy(&number, record->body.data, sizeof number);
    return number;
}

/* A svl_bus_fn; user is a struct seen. */
static inline int see(const svl_record *record, void *user)
{
    struct seen *seen = user;
    assert_true(seen->n < SEEN_MAX);
    seen->numbers[seen->n++] = number_of(record);
    return SVL_OK;
}

static inline svl_bus *create_bus(uint32_t flags, uint32_t full_policy)
{
    svl_bus_options options;
    svl_bus *bus;
    assert_ok(svl_bus_options_init(&options, sizeof options));
    options.flags = flags;
    options.ring_bytes = 64 << 10;
    options.full_policy = full_policy;
    options.block_timeout_ms = 20;
    assert_ok(svl_bus_create(&options, &bus));
    return bus;
}

static inline svl_bus_stats stats_of(svl_bus *bus)
{
    svl_bus_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_bus_stats_get(bus, &stats));
    return stats;
}

/* Pumps what is there; how many that was. */
static inline size_t pump_all(svl_bus *bus)
{
    size_t n, sum = 0;
    int rc;
    while ((rc = svl_bus_pump(bus, 0, 0, &n)) == SVL_OK)
        sum += n;
    assert_true(rc == SVL_E_TIMEOUT || rc == SVL_E_CLOSED);
    return sum;
}

static inline void pause_ms(long ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&t, NULL);
}

#endif
