/* segment.c - any bytes as the LMDB file of a segment that a store's catalog names, as the one that is written to or as
 * a full one: opened, read, asked by key, verified, gone on with. What verifies is what a scan, a lookup and the next
 * open say.
 *
 * The input is a byte of switches and a sparse file (sparse.h). Unless told not to, the checksums of what the segment
 * says of itself, of its blocks, zones, key index and filters are made right; LMDB's pages have none. */
#include <serverlog/store.h>
#include <string.h>

#include "forge.h"
#include "fuzz.h"
#include "place.h"
#include "sparse.h"
#include "store/segment_private.h"

enum {
    AS_IS = 1, /* nothing is made right */
    FULL = 2,  /* the segment takes no more; else it is the active one */
};

#define FILE_MAX (96 << 10)
#define NAME "00000000000000000001-01.seg"
#define MAP_BYTES (UINT64_C(8) << 20)
#define RECORDS 60     /* that the catalog of a full one counts */
#define ID_MAX 1000000 /* what lies beyond is no id of these files */

static uint8_t file[FILE_MAX];

static int open_store(svl_store **out)
{
    svl_store_options options;
    MUST(svl_store_options_init(&options, sizeof options) == SVL_OK);
    options.segment_bytes = MAP_BYTES;
    options.block_bytes = 4096;
    return place_must_be_said(svl_store_open(place_store(), &options, out));
}

static uint64_t count_keyed(svl_store *store, const svl_query *by_key)
{
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0;
    MUST(svl_store_query(store, NULL, &cursor) == SVL_OK);
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK)
        n += (by_key->key_kind == SVL_KEY_EXACT ? record->key.len == by_key->key_low.len
                                                : record->key.len >= by_key->key_low.len) &&
             memcmp(record->key.data, by_key->key_low.data, by_key->key_low.len) == 0;
    svl_cursor_close(cursor);
    return n;
}

/* What is asked in any way; if the store verifies, each way says the same. */
static bool read_all(svl_store *store, struct reading *all)
{
    svl_query query;
    struct reading keyed, exact, late;
    MUST(svl_query_init(&query, sizeof query) == SVL_OK);
    place_query(store, &query, all);
    query.key_kind = SVL_KEY_PREFIX;
    query.key_low = (svl_slice){ "key-1", 5 };
    place_query(store, &query, &keyed);
    svl_query one = query;
    one.key_kind = SVL_KEY_EXACT;
    place_query(store, &one, &exact);
    svl_query range;
    MUST(svl_query_init(&range, sizeof range) == SVL_OK);
    range.id_min = RECORDS / 2;
    place_query(store, &range, &late);
    int rc = svl_store_verify(store, NULL, NULL, NULL);
    MUST(rc == SVL_OK || rc == SVL_E_CORRUPT || rc == SVL_E_VERSION || rc == SVL_E_CODEC);
    if (rc != SVL_OK)
        return false;
    MUST(all->damaged == 0 && keyed.damaged == 0 && exact.damaged == 0 && late.damaged == 0);
    MUST(all->records == all->last_id && keyed.records == count_keyed(store, &query));
    MUST(exact.records == count_keyed(store, &one));
    uint64_t before = all->records < RECORDS / 2 - 1 ? all->records : RECORDS / 2 - 1;
    MUST(late.records == all->records - before);
    return true;
}

static void must_not_be_internal(int rc)
{
    MUST(rc != SVL_E_INTERNAL && (rc == SVL_OK || svl_last_error()[0]));
}

static void go_on(svl_store *store, bool whole, const struct reading *seen)
{
    svl_record record = { .key = { "key-1", 5 }, .body = { "behind", 6 } };
    uint64_t id = 0;
    int rc = svl_store_append(store, &record, 1, &id);
    must_not_be_internal(rc);
    MUST(!whole || (rc == SVL_OK && (id == seen->last_id + 1 || id == seen->last_id + 2)));
    if (rc == SVL_OK)
        rc = svl_store_commit(store, -1);
    must_not_be_internal(rc);
    MUST(!whole || rc == SVL_OK);
}

static void use(void)
{
    svl_store *store;
    struct reading seen, again;
    if (open_store(&store) != SVL_OK)
        return;
    bool whole = read_all(store, &seen);
    if (seen.last_id < ID_MAX)
        go_on(store, whole, &seen);
    int rc = svl_store_close(store);
    MUST(rc == SVL_OK || !whole);
    if (!whole || seen.last_id >= ID_MAX)
        return;
    MUST(open_store(&store) == SVL_OK);
    MUST(read_all(store, &again) && again.records > seen.records);
    MUST(svl_store_close(store) == SVL_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct place_catalog active, full;
    if (len == 0)
        return 0;
    if (!full.data) {
        struct segment_info info = {
            .first_id = 1, .generation = 1, .state = SEGMENT_ACTIVE, .map_bytes = MAP_BYTES
        };
        memcpy(info.uuid, place_uuid, sizeof info.uuid);
        place_catalog_make(&active, &info, NULL, 1);
        info.state = SEGMENT_FULL;
        info.last_id = RECORDS;
        place_catalog_make(&full, &info, NULL, RECORDS + 1);
    }
    size_t size = sparse_unpack(data + 1, len - 1, file, sizeof file);
    if (!(data[0] & AS_IS))
        forge_entries(file, size, place_uuid);
    place_begin(data[0] & FULL ? &full : &active);
    place_write(place_store(), NAME, file, size);
    use();
    return 0;
}
