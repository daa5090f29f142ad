/* rings.c - the crash rings that the catalog names, and up to where the journal holds their records.
 *
 * A position stands in the journal's batches, and a ring's own `consumed` follows it at once; killed in
 * between, only the journal knows. The rings are drained at svl_start(), but the journal may be committed
 * and recycled before that (a store opened alone, or never started), so the positions found at open are kept in
 * the catalog: a value of 24 bytes a ring, uuid and position.
 *
 * They are those of the newest 64 rings, each moved to the end by its latest batch. That is enough, also where many
 * more have come and gone in other processes: a ring's own word is behind the journal's only for the batch that was
 * being written, and a batch names 64 rings at most.
 *
 * How many of a ring's drops are told goes the same way, as the position of another uuid (svl__gap_uuid()). */
#include <string.h>

#include "base/alloc.h"
#include "state.h"

#define POSITION_BYTES 24

static const char positions_name[] = "rings/positions";

static svl_slice positions_key(void)
{
    return (svl_slice){ positions_name, sizeof positions_name - 1 };
}

void svl__rings_note(svl_store *store, const struct ring_position *ring)
{
    struct ring_position *known = store->ring_positions, noted = *ring;
    uint32_t n = store->ring_position_count, i = 0;
    while (i < n && memcmp(known[i].uuid, ring->uuid, sizeof ring->uuid) != 0)
        i++;
    if (i < n && known[i].position > noted.position)
        noted.position = known[i].position;
    if (i == n && n == JOURNAL_RINGS_MAX)
        i = 0; /* the oldest goes */
    if (i < n)
        memmove(known + i, known + i + 1, (n - 1 - i) * sizeof *known);
    else
        n++;
    known[n - 1] = noted;
    store->ring_position_count = n;
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
    return svl__catalog_put_value(catalog_change, positions_key(), *(const svl_slice *)what);
}

int svl__rings_keep(svl_store *store)
{
    uint8_t value[JOURNAL_RINGS_MAX * POSITION_BYTES], *p = value;
    for (uint32_t i = 0; i < store->ring_position_count; i++, p += POSITION_BYTES) {
        memcpy(p, store->ring_positions[i].uuid, 16);
        store_u64(p + 16, store->ring_positions[i].position);
    }
    struct buffer kept = { 0 };
    svl_slice positions = { value, (size_t)(p - value) };
    int rc = svl__catalog_value(store->catalog, positions_key(), &kept);
    bool same =
        kept.len == positions.len && (kept.len == 0 || memcmp(kept.data, value, kept.len) == 0);
    svl__buffer_free(&kept);
    if ((rc == SVL_OK || rc == SVL_E_NOT_FOUND) && same)
        return SVL_OK;
    return rc == SVL_OK || rc == SVL_E_NOT_FOUND ? change(store, put_positions, &positions) : rc;
}

int svl__store_rings(svl_store *store, struct ring_name **out, size_t *n)
{
    return svl__catalog_rings(store->catalog, out, n);
}

static int put_ring(struct catalog_change *catalog_change, const void *ring)
{
    return svl__catalog_put_ring(catalog_change, ring);
}

/* What a failed flush has left of the catalog is not known: nothing more is stored, as after the committer's. */
static int change_names(svl_store *store, int (*apply)(struct catalog_change *, const void *),
                        const struct ring_name *ring)
{
    int rc = change(store, apply, ring);
    if (rc == SVL_E_FAILED)
        svl__store_fail(store, rc);
    return rc;
}

int svl__store_ring_put(svl_store *store, const struct ring_name *ring)
{
    return change_names(store, put_ring, ring);
}

static int remove_ring(struct catalog_change *catalog_change, const void *ring)
{
    return svl__catalog_remove_ring(catalog_change, ring);
}

int svl__store_ring_remove(svl_store *store, const struct ring_name *ring)
{
    return change_names(store, remove_ring, ring);
}

uint64_t svl__store_ring_position(svl_store *store, const uint8_t uuid[16])
{
    for (uint32_t i = 0; i < store->ring_position_count; i++)
        if (memcmp(store->ring_positions[i].uuid, uuid, 16) == 0)
            return store->ring_positions[i].position;
    return 0;
}
