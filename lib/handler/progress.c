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

static svl_slice progress_key(const svl_subscription *s, uint8_t key[PROGRESS_KEY_BYTES])
{
    int n = snprintf((char *)key, PROGRESS_KEY_BYTES, KEY_PREFIX "%s", s->name);
    return (svl_slice){ key, (size_t)n };
}

struct store_op svl__progress_op(const svl_subscription *s, uint64_t position, bool paused,
                                 uint8_t key[PROGRESS_KEY_BYTES], uint8_t value[PROGRESS_BYTES])
{
    memset(value, 0, PROGRESS_BYTES);
    value[0] = VERSION;
    value[1] = paused;
    store_u64(value + 8, position);
    return (struct store_op){ .key = progress_key(s, key), .value = { value, PROGRESS_BYTES } };
}

int svl__progress_load(svl_subscription *s, bool *found)
{
    uint8_t key[PROGRESS_KEY_BYTES];
    struct buffer value = { 0 };
    *found = false;
    int rc = svl__store_value(s->handlers->options.store, progress_key(s, key), &value);
    if (rc == SVL_OK && (value.len != PROGRESS_BYTES || value.data[0] > VERSION))
        rc = svl__fail(SVL_E_VERSION, "the position of subscription %s", s->name);
    if (rc == SVL_OK) {
        *found = true;
        s->paused = value.data[1];
        s->position = load_u64(value.data + 8);
    }
    svl__buffer_free(&value);
    return rc == SVL_E_NOT_FOUND ? SVL_OK : rc;
}

int svl__progress_save(svl_subscription *s, bool urgent, uint64_t *ticket)
{
    uint8_t key[PROGRESS_KEY_BYTES], value[PROGRESS_BYTES];
    struct handlers *h = s->handlers;
    if (ticket)
        *ticket = 0;
    pthread_mutex_lock(&h->lock);
    bool owed = s->name != NULL;
    struct store_op op = { { NULL, 0 }, { NULL, 0 } };
    if (owed)
        op = svl__progress_op(s, s->position, s->paused, key, value);
    s->dirty = false;
    s->checkpoint_ns = svl__monotonic_ns();
    pthread_mutex_unlock(&h->lock);
    if (!owed)
        return SVL_OK;
    struct feed feed = { .ops = &op, .op_count = 1, .atomic = true, .urgent = urgent };
    int rc = svl__store_feed(h->options.store, &feed, ticket);
    if (rc != SVL_OK) {
        pthread_mutex_lock(&h->lock);
        s->dirty = true;
        pthread_mutex_unlock(&h->lock);
    }
    return rc;
}
