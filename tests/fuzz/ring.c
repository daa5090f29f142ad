/* ring.c - any bytes as the crash ring that a store's process left: its frames as the ring gives them, with a death in
 * the middle; then the same file found at a start, which stores exactly those that hold a record.
 *
 * The input is a byte of switches and a sparse file (sparse.h). Unless told not to, the header is made right, and so
 * are the stamps of the frames that follow each other from the position where recovery begins. */
#include <serverlog.h>
#include <string.h>

#include "base/checksum.h"
#include "fuzz.h"
#include "handler/marks.h"
#include "place.h"
#include "record/wire.h"
#include "ring/layout.h"
#include "sparse.h"

enum {
    AS_IS = 1,     /* nothing is made right */
    NO_START = 2,  /* frames only: what they hold is not stored */
    RAW_STAMPS = 4 /* of the frames */
};

#define FILE_MAX (RING_DATA_OFFSET + RING_BYTES_MIN + MARK_PAGE_BYTES)
#define NAME "ring"
#define TAG_BYTES 8 /* before a frame's record */
#define WORD_TAIL 4096
#define WORD_HEAD 4352
#define WORD_CONSUMED 4360

static uint8_t file[FILE_MAX];

static void forge_header(size_t size)
{
    store_u64(file, RING_MAGIC);
    store_u64(file + 24, RING_BYTES_MIN);
    store_u32(file + 36, (uint32_t)(size - RING_DATA_OFFSET - RING_BYTES_MIN));
    memcpy(file + 56, place_uuid, sizeof place_uuid);
    store_u64(file + 72, svl__checksum(file, 72));
}

static void forge_stamps(void)
{
    uint64_t head = load_u64(file + WORD_HEAD), consumed = load_u64(file + WORD_CONSUMED);
    uint64_t at = head > consumed ? head : consumed, end = load_u64(file + WORD_TAIL);
    struct ring ring = { .salt = load_u32(file + 32) };
    if (at % 8 != 0 || at > end || end - at > RING_BYTES_MIN)
        return;
    while (at < end) {
        uint8_t *header = file + RING_DATA_OFFSET + (at & (RING_BYTES_MIN - 1));
        uint32_t word = load_u32(header);
        if (load_u64(header) == 0)
            return;
        store_u64(header, make_header(&ring, at, word));
        at += word & FRAME_PAD ? RING_BYTES_MIN - (at & (RING_BYTES_MIN - 1))
                               : frame_bytes(word & FRAME_LENGTH);
    }
}

static uint64_t not_known(const uint8_t uuid[16], void *user)
{
    (void)uuid;
    (void)user;
    return 0;
}

static int open_ring(struct ring **out)
{
    return svl__ring_open_crashed(place_parent(), NAME, place_uuid, not_known, NULL, out);
}

static bool holds_record(const struct ring_frame *frame)
{
    struct wire_view view;
    return frame->len >= TAG_BYTES &&
           svl__wire_check(frame->payload + TAG_BYTES, frame->len - TAG_BYTES, &view) == SVL_OK;
}

/* Up to `max` frames: how many of them hold records; all that was taken is released. */
static uint64_t take_frames(struct ring *ring, uint64_t max)
{
    struct ring_frame frame;
    uint64_t records = 0, end = svl__ring_drained(ring);
    while (max-- > 0 && svl__ring_next(ring, &frame)) {
        MUST(frame.len <= svl__ring_payload_max(ring) && frame.end > end);
        MUST(frame.payload >= ring->data &&
             frame.payload + frame.len <= ring->data + ring->capacity);
        end = frame.end;
        records += holds_record(&frame);
    }
    svl__ring_release(ring, svl__ring_drained(ring));
    return records;
}

/* Takes one, dies, and takes the rest. UINT64_MAX: it is no ring. */
static uint64_t count_records(void)
{
    struct ring *ring;
    int rc = open_ring(&ring);
    if (rc == SVL_E_END)
        return UINT64_MAX;
    if (place_must_be_said(rc) != SVL_OK) {
        MUST(ring == NULL);
        return UINT64_MAX;
    }
    uint64_t records = take_frames(ring, 1);
    svl__ring_destroy(ring);
    MUST(open_ring(&ring) == SVL_OK);
    records += take_frames(ring, UINT64_MAX);
    MUST(svl__ring_is_empty(ring) || svl__ring_dropped(ring) > svl__ring_dropped_told_get(ring));
    svl__ring_destroy(ring);
    return records;
}

static void start(uint64_t records)
{
    svl_store_options store;
    svl_options options;
    svl_pipeline *p;
    struct reading stored;
    MUST(svl_store_options_init(&store, sizeof store) == SVL_OK);
    store.record_bytes_max = RING_BYTES_MIN / RING_FRAME_PART;
    MUST(svl_options_init(&options, sizeof options) == SVL_OK);
    options.store = &store;
    options.ring_directory = place_parent();
    options.ring_bytes = RING_BYTES_MIN;
    MUST(svl_open(place_store(), &options, &p) == SVL_OK);
    int rc = place_must_be_said(svl_start(p));
    if (rc == SVL_OK && records != UINT64_MAX) {
        svl_pipeline_stats stats = { .struct_size = sizeof stats };
        MUST(svl_pipeline_stats_get(p, &stats) == SVL_OK);
        place_query(svl_pipeline_store(p), NULL, &stored);
        /* One more tells of what was dropped. */
        MUST(stored.damaged == 0 && stored.records >= records && stored.records <= records + 1);
        MUST(stats.ring_recovered >= records);
    }
    MUST(svl_close(p) == SVL_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct place_catalog catalog;
    if (len == 0)
        return 0;
    if (!catalog.data) {
        struct ring_name name = { .name = NAME, .made = true };
        snprintf(name.directory, sizeof name.directory, "%s", place_parent());
        place_catalog_make(&catalog, NULL, &name, 1);
    }
    size_t size = sparse_unpack(data + 1, len - 1, file, sizeof file);
    if (!(data[0] & AS_IS) && size >= RING_DATA_OFFSET + RING_BYTES_MIN) {
        forge_header(size);
        if (!(data[0] & RAW_STAMPS))
            forge_stamps();
    }
    place_write(place_parent(), NAME, file, size);
    uint64_t records = count_records();
    if (!(data[0] & NO_START)) {
        place_begin(&catalog);
        place_write(place_parent(), NAME, file, size);
        start(records);
    }
    return 0;
}
