/* progress.c - a subscription's durable progress: the value of "subscription/<name>".
 *
 *   offset  bytes  what
 *   0       1      version, 1
 *   1       1      1 = paused
 *   2       2      n = ranges of dead letters to be delivered again, at most 16
 *   4       4      zero
 *   8       8      all records up to this id are done
 *   16      16 n   the ranges: first id that is left to do u64, last id u64 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "subscription.h"

#define VERSION 1
#define KEY_PREFIX "subscription/"
#define PROGRESS_KEY_BYTES 160
#define PROGRESS_BYTES 16
#define PROGRESS_RANGE_BYTES 16
#define PROGRESS_BYTES_MAX (PROGRESS_BYTES + REDRIVE_RANGES_MAX * PROGRESS_RANGE_BYTES)

static svl_slice progress_key(const svl_subscription *s, uint8_t key[PROGRESS_KEY_BYTES])
{
    int n = snprintf((char *)key, PROGRESS_KEY_BYTES, KEY_PREFIX "%s", s->name);
    return (svl_slice){ key, (size_t)n };
}

static size_t encode(uint8_t value[PROGRESS_BYTES_MAX], const struct progress *p)
{
    memset(value, 0, PROGRESS_BYTES);
    value[0] = VERSION;
    value[1] = p->paused;
    store_u16(value + 2, (uint16_t)p->redrive.count);
    store_u64(value + 8, p->position);
    uint8_t *to = value + PROGRESS_BYTES;
    for (uint32_t i = 0; i < p->redrive.count; i++, to += PROGRESS_RANGE_BYTES) {
        store_u64(to, p->redrive.ranges[i].next);
        store_u64(to + 8, p->redrive.ranges[i].last);
    }
    return (size_t)(to - value);
}

static bool decode(const struct buffer *value, struct progress *p)
{
    struct reader r = reader_of(value->data, value->len);
    *p = (struct progress){ 0 };
    bool known = read_u8(&r) == VERSION;
    p->paused = read_u8(&r);
    p->redrive.count = read_u16(&r);
    read_u32(&r);
    p->position = read_u64(&r);
    if (r.failed || !known || p->redrive.count > REDRIVE_RANGES_MAX)
        return false;
    for (uint32_t i = 0; i < p->redrive.count; i++) {
        p->redrive.ranges[i].next = read_u64(&r);
        p->redrive.ranges[i].last = read_u64(&r);
        if (p->redrive.ranges[i].next == 0 || p->redrive.ranges[i].next > p->redrive.ranges[i].last)
            return false;
    }
    return !r.failed && reader_left(&r) == 0;
}

int svl__progress_load(svl_subscription *s, bool *found)
{
    uint8_t key[PROGRESS_KEY_BYTES];
    struct buffer value = { 0 };
    struct progress progress;
    *found = false;
    int rc = svl__store_value(s->handlers->options.store, progress_key(s, key), &value);
    if (rc == SVL_OK && !decode(&value, &progress))
        rc = svl__fail(SVL_E_VERSION, "the position of subscription %s", s->name);
    if (rc == SVL_OK) {
        *found = true;
        s->paused = progress.paused;
        s->position = s->saved = progress.position;
        s->redrive = progress.redrive;
    }
    svl__buffer_free(&value);
    return rc == SVL_E_NOT_FOUND ? SVL_OK : rc;
}

struct progress svl__progress_of(const svl_subscription *s)
{
    return (struct progress){ .position = svl__scanner_position(s),
                              .paused = s->paused,
                              .redrive = s->redrive };
}

int svl__progress_feed(svl_subscription *s, struct feed *feed, const struct progress *progress,
                       uint64_t *ticket)
{
    uint8_t key[PROGRESS_KEY_BYTES], value[PROGRESS_BYTES_MAX];
    struct store_op op = { .key = { NULL, 0 } };
    if (s->name) {
        op.key = progress_key(s, key);
        op.value = (svl_slice){ value, encode(value, progress) };
        feed->ops = &op;
        feed->op_count = 1;
    }
    feed->atomic = true;
    if (feed->count == 0 && feed->op_count == 0)
        return SVL_OK;
    int rc = svl__store_feed(s->handlers->options.store, feed, ticket);
    feed->ops = NULL;
    feed->op_count = 0;
    if (rc == SVL_OK) {
        s->dirty = false;
        s->saved = progress->position;
        s->checkpoint_ns = svl__monotonic_ns();
    }
    return rc;
}

int svl__progress_save(svl_subscription *s, bool urgent, uint64_t *ticket)
{
    struct feed feed = { .urgent = urgent };
    struct progress progress = svl__progress_of(s);
    if (ticket)
        *ticket = 0;
    int rc = svl__progress_feed(s, &feed, &progress, ticket);
    if (rc != SVL_OK)
        s->dirty = true;
    return rc;
}
