/* rings.c - the crash rings that the catalog names, and up to where the journal holds their records.
 *
 * A position stands in the journal's batches, and a ring's own `consumed` follows it at once; killed in
 * between, only the journal knows. The rings are drained at svl_start(), but the journal may be committed
 * and recycled before that (a store opened alone, or never started), so while the catalog names a ring the
 * positions found at open are kept in it: a value of 24 bytes a ring, uuid and position. */
#include <string.h>

#include "base/alloc.h"
#include "state.h"

#define POSITION_BYTES 24

static const char positions_name[] = "rings/positions";

static svl_slice positions_key(void)
{
    return (svl_slice){ positions_name, sizeof positions_name - 1 };
}

/* The newest 64 rings; an older one was drained and removed long ago. */
void svl__rings_note(svl_store *store, const struct ring_position *ring)
{
    struct ring_position *known = store->ring_positions;
    for (uint32_t i = 0; i < store->ring_position_count; i++) {
        if (memcmp(known[i].uuid, ring->uuid, sizeof ring->uuid) == 0) {
            if (known[i].position < ring->position)
                known[i].position = ring->position;
            return;
        }
    }
    if (store->ring_position_count == JOURNAL_RINGS_MAX) {
        memmove(known, known + 1, (JOURNAL_RINGS_MAX - 1) * sizeof *known);
        store->ring_position_count--;
    }
    known[store->ring_position_count++] = *ring;
}

int svl__rings_load(svl_store *store)
{
    struct buffer value = { 0 };
    int rc = svl__catalog_value(store->catalog, positions_key(), &value);
    struct reader r = reader_of(value.data, value.len);
    while (rc == SVL_OK && reader_left(&r) >= POSITION_BYTES) {
        struct ring_position ring;
        memcpy(ring.uuid, read_bytes(&r, sizeof ring.uuid), sizeof ring.uuid);
        ring.position = read_u64(&r);
        svl__rings_note(store, &ring);
    }
    svl__buffer_free(&value);
    return rc == SVL_E_NOT_FOUND ? SVL_OK : rc;
}

/* One transaction. */
static int change(svl_store *store, int (*apply)(struct catalog_change *, const void *),
                  const void *what)
{
    pthread_mutex_lock(&store->catalog_lock);
    struct catalog_change *catalog_change;
    int rc = svl__catalog_begin(store->catalog, &catalog_change);
    if (rc == SVL_OK) {
        rc = apply(catalog_change, what);
        if (rc == SVL_OK)
            rc = svl__catalog_commit(catalog_change);
        else
            svl__catalog_abort(catalog_change);
    }
    pthread_mutex_unlock(&store->catalog_lock);
    return rc;
}

static int put_positions(struct catalog_change *catalog_change, const void *what)
{
    const svl_store *store = what;
    uint8_t value[JOURNAL_RINGS_MAX * POSITION_BYTES], *p = value;
    for (uint32_t i = 0; i < store->ring_position_count; i++, p += POSITION_BYTES) {
        memcpy(p, store->ring_positions[i].uuid, 16);
        store_u64(p + 16, store->ring_positions[i].position);
    }
    return svl__catalog_put_value(catalog_change, positions_key(),
                                  (svl_slice){ value, (size_t)(p - value) });
}

int svl__rings_keep(svl_store *store)
{
    struct ring_name *names;
    size_t n;
    if (store->ring_position_count == 0)
        return SVL_OK;
    int rc = svl__catalog_rings(store->catalog, &names, &n);
    svl__free(names);
    return rc == SVL_OK && n > 0 ? change(store, put_positions, store) : rc;
}

int svl__store_rings(svl_store *store, struct ring_name **out, size_t *n)
{
    return svl__catalog_rings(store->catalog, out, n);
}

static int put_ring(struct catalog_change *catalog_change, const void *ring)
{
    return svl__catalog_put_ring(catalog_change, ring);
}

int svl__store_ring_put(svl_store *store, const struct ring_name *ring)
{
    return change(store, put_ring, ring);
}

static int remove_ring(struct catalog_change *catalog_change, const void *ring)
{
    return svl__catalog_remove_ring(catalog_change, ring);
}

static int remove_last_ring(struct catalog_change *catalog_change, const void *ring)
{
    int rc = svl__catalog_put_value(catalog_change, positions_key(), (svl_slice){ NULL, 0 });
    return rc == SVL_OK ? remove_ring(catalog_change, ring) : rc;
}

int svl__store_ring_remove(svl_store *store, const struct ring_name *ring)
{
    struct ring_name *names;
    size_t n;
    int rc = svl__catalog_rings(store->catalog, &names, &n);
    svl__free(names);
    return rc == SVL_OK ? change(store, n > 1 ? remove_ring : remove_last_ring, ring) : rc;
}

uint64_t svl__store_ring_position(svl_store *store, const uint8_t uuid[16])
{
    for (uint32_t i = 0; i < store->ring_position_count; i++)
        if (memcmp(store->ring_positions[i].uuid, uuid, 16) == 0)
            return store->ring_positions[i].position;
    return 0;
}
