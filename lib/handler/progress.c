/* progress.c - a subscription's durable position: the value of "subscription/<name>".
 *
 *   offset  bytes  what
 *   0       1      version, 1
 *   1       1      1 = paused
 *   2       6      zero
 *   8       8      all records up to this id are done */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "subscription.h"

#define VERSION 1
#define KEY_PREFIX "subscription/"
#define PROGRESS_KEY_BYTES 160
#define PROGRESS_BYTES 16

static svl_slice progress_key(const svl_subscription *s, uint8_t key[PROGRESS_KEY_BYTES])
{
    int n = snprintf((char *)key, PROGRESS_KEY_BYTES, KEY_PREFIX "%s", s->name);
    return (svl_slice){ key, (size_t)n };
}

static void encode(uint8_t value[PROGRESS_BYTES], uint64_t position, bool paused)
{
    memset(value, 0, PROGRESS_BYTES);
    value[0] = VERSION;
    value[1] = paused;
    store_u64(value + 8, position);
}

int svl__progress_load(svl_subscription *s, bool *found)
{
    uint8_t key[PROGRESS_KEY_BYTES];
    struct buffer value = { 0 };
    *found = false;
    int rc = svl__store_value(s->handlers->options.store, progress_key(s, key), &value);
    if (rc == SVL_OK && (value.len != PROGRESS_BYTES || value.data[0] != VERSION))
        rc = svl__fail(SVL_E_VERSION, "the position of subscription %s", s->name);
    if (rc == SVL_OK) {
        *found = true;
        s->paused = value.data[1];
        s->position = s->saved = load_u64(value.data + 8);
    }
    svl__buffer_free(&value);
    return rc == SVL_E_NOT_FOUND ? SVL_OK : rc;
}

int svl__progress_feed(svl_subscription *s, struct feed *feed, uint64_t position, bool paused,
                       uint64_t *ticket)
{
    uint8_t key[PROGRESS_KEY_BYTES], value[PROGRESS_BYTES];
    struct store_op op = { .key = { NULL, 0 } };
    if (s->name) {
        op.key = progress_key(s, key);
        encode(value, position, paused);
        op.value = (svl_slice){ value, PROGRESS_BYTES };
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
        s->saved = position;
        s->checkpoint_ns = svl__monotonic_ns();
    }
    return rc;
}

int svl__progress_save(svl_subscription *s, bool urgent, uint64_t *ticket)
{
    struct feed feed = { .urgent = urgent };
    if (ticket)
        *ticket = 0;
    int rc = svl__progress_feed(s, &feed, s->position, s->paused, ticket);
    if (rc != SVL_OK)
        s->dirty = true;
    return rc;
}
