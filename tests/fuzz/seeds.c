/* seeds.c - writes whole files of today's formats as inputs of the targets:  fuzz_seeds DIRECTORY
 *
 * A corpus stays when a format changes, and then ends at its version; what is made anew with each build goes all the
 * way. */
#include <serverlog.h>
#include <string.h>

#include "fuzz.h"
#include "handler/marks.h"
#include "place.h"
#include "record/wire.h"
#include "ring/ring.h"
#include "sparse.h"
#include "store/journal_files.h"
#include "store/segment.h"
#include "store/values.h"

#define RECORDS_A_BLOCK 20
#define BLOCKS 3
#define JOURNAL_BYTES (32 << 10)
#define MAP_BYTES (UINT64_C(8) << 20)

static const char *directory;

static void write_input(const char *name, const struct buffer *input)
{
    MUST(!input->failed);
    place_write(directory, name, input->data, input->len);
}

/* A file of the store, without its zeros. */
static void write_sparse(const char *name, uint8_t switches, const char *from, const char *file)
{
    struct buffer bytes = { 0 }, input = { 0 };
    place_read(from, file, &bytes);
    svl__buffer_append(&input, &switches, 1);
    sparse_pack(bytes.data, bytes.len, &input);
    write_input(name, &input);
    svl__buffer_free(&bytes);
    svl__buffer_free(&input);
}

static svl_slice text(const char *words)
{
    return (svl_slice){ words, strlen(words) };
}

/* Appends the wire form of record `i`. */
static void append_wire(struct buffer *out, uint32_t i)
{
    static const char *const words[] = { "", "a", "of several words", "the same again and again" };
    char key[16];
    int key_len = snprintf(key, sizeof key, "key-%u", i % 13);
    svl_attribute attributes[] = {
        { .kind = SVL_ATTRIBUTE_TEXT, .name = text("user"), .bytes = text("somebody") },
        { .kind = SVL_ATTRIBUTE_I64, .name = text("n"), .i64 = i },
        { .kind = SVL_ATTRIBUTE_BOOL, .name = text("b"), .i64 = i % 2 },
    };
    svl_record record = { .time_ns = INT64_C(1700000000000000000) + (int64_t)i * 1000000,
                          .severity = i % 25,
                          .body_kind = i % 3,
                          .source = text(words[i % 3]),
                          .type = text(words[i % 4]),
                          .key = { key, i % 5 ? (size_t)key_len : 0 },
                          .body = text(words[i / 3 % 4]),
                          .attributes = attributes,
                          .attribute_count = i % 4 };
    uint8_t *p = buffer_reserve(out, svl__wire_size(&record));
    MUST(p != NULL);
    svl__wire_encode(&record, 1, p);
    out->len += svl__wire_size(&record);
}

static struct block *make_block(uint32_t codec, uint64_t first_id)
{
    struct block_options options = { .codec = svl__codec_is_built(codec) ? codec : SVL_CODEC_NONE,
                                     .block_bytes = BLOCK_RAW_MAX };
    struct block_builder *builder;
    struct block *block;
    MUST(svl__block_builder_create(&options, &builder) == SVL_OK);
    for (uint32_t i = 0; i < RECORDS_A_BLOCK; i++) {
        struct buffer wire = { 0 };
        struct wire_view view;
        append_wire(&wire, (uint32_t)first_id + i);
        MUST(svl__wire_check(wire.data, wire.len, &view) == SVL_OK);
        MUST(svl__block_builder_add(builder, first_id + i, 1000 + i / 7, &view) == SVL_OK);
        svl__buffer_free(&wire);
    }
    MUST(svl__block_builder_finish(builder, &block) == SVL_OK);
    svl__block_builder_destroy(builder);
    return block;
}

static void write_wire(void)
{
    struct buffer input = { 0 };
    for (uint32_t i = 0; i < 8; i++)
        append_wire(&input, i);
    write_input("wire", &input);
    svl__buffer_free(&input);
}

static void write_block(const char *name, uint32_t codec)
{
    struct buffer input = { 0 };
    struct block *block = make_block(codec, 1);
    svl__buffer_append(&input, "", 1);
    svl__buffer_append(&input, block->data, block->len);
    write_input(name, &input);
    svl__buffer_free(&input);
    svl__block_release(block);
}

/* --- the journal: records as they came, as a block, and operations --- */

static int ignore_batch(const struct journal_batch *batch, void *user)
{
    (void)batch;
    (void)user;
    return SVL_OK;
}

static void write_batch(struct journal *journal, struct journal_section section, uint64_t first_id,
                        uint64_t last_op)
{
    struct ring_position ring = { .uuid = { 1 }, .position = 64 * first_id };
    struct journal_batch batch = { .first_id = first_id,
                                   .count = section.kind == JOURNAL_OPS ? 0 : section.count,
                                   .last_op = last_op,
                                   .ingest_ns = 1000,
                                   .rings = &ring,
                                   .ring_count = 1,
                                   .section_count = 1,
                                   .sections = &section };
    uint64_t durable;
    MUST(svl__journal_write(journal, &batch) == SVL_OK);
    MUST(svl__journal_flush(journal, &durable) == SVL_OK);
}

static void write_batches(struct journal *journal)
{
    struct buffer wires = { 0 }, ops = { 0 };
    for (uint32_t i = 0; i < 4; i++)
        append_wire(&wires, i);
    write_batch(journal, (struct journal_section){ JOURNAL_WIRE, 4, wires.data, wires.len }, 1, 0);
    struct block *block = make_block(SVL_CODEC_DEFAULT, 5);
    write_batch(journal,
                (struct journal_section){ JOURNAL_BLOCK, RECORDS_A_BLOCK, block->data, block->len },
                5, 0);
    struct store_op op = { text("key"), text("value") };
    svl__op_encode(&op, &ops);
    write_batch(journal, (struct journal_section){ JOURNAL_OPS, 1, ops.data, ops.len },
                5 + RECORDS_A_BLOCK, 1);
    svl__block_release(block);
    svl__buffer_free(&wires);
    svl__buffer_free(&ops);
}

static void write_journal(void)
{
    struct journal_options options = { .directory = place_descriptor(),
                                       .file_mode = 0600,
                                       .file_bytes_first = JOURNAL_BYTES,
                                       .file_bytes_max = 256 << 10 };
    struct journal_recovery recovery;
    struct journal *journal;
    char name[32];
    memcpy(options.store_uuid, place_uuid, sizeof place_uuid);
    MUST(svl__journal_open(&options, ignore_batch, NULL, &recovery, &journal) == SVL_OK);
    write_batches(journal);
    svl__journal_file_name(journal->current->name, name);
    svl__journal_close(journal);
    write_sparse("journal", 0, place_store(), name);
}

/* --- the ring: records, one of them half-written, one given back --- */

static void write_ring(void)
{
    struct ring_options options = { .capacity = RING_BYTES_MIN,
                                    .directory = place_parent(),
                                    .name = "ring",
                                    .extra_bytes = MARK_PAGE_BYTES };
    struct ring *ring;
    memcpy(options.store_uuid, place_uuid, sizeof place_uuid);
    MUST(svl__ring_create(&options, &ring) == SVL_OK);
    for (uint32_t i = 0; i < 6; i++) {
        struct buffer frame = { 0 };
        struct ring_slot slot;
        static const uint8_t tag[8];
        svl__buffer_append(&frame, tag, sizeof tag);
        append_wire(&frame, i);
        MUST(svl__ring_reserve(ring, (uint32_t)frame.len, &slot) == SVL_OK);
        memcpy(slot.payload, frame.data, frame.len);
        if (i == 4)
            svl__ring_discard(&slot);
        else if (i != 2)
            svl__ring_commit(&slot);
        svl__buffer_free(&frame);
    }
    svl__ring_destroy(ring);
    write_sparse("ring", 0, place_parent(), "ring");
}

/* --- the segment: blocks in the key index, and one that waits for it --- */

static void write_segment(void)
{
    struct segment_place place = { .directory = place_descriptor(),
                                   .file_mode = 0600,
                                   .readers_max = 16 };
    struct segment_info info = {
        .first_id = 1, .generation = 1, .state = SEGMENT_ACTIVE, .map_bytes = MAP_BYTES
    };
    struct segment *segment;
    char name[SEGMENT_NAME_BYTES];
    memcpy(place.store_uuid, place_uuid, sizeof place_uuid);
    svl__segment_name(&info, name);
    MUST(svl__segment_create(&place, &info, &segment) == SVL_OK);
    for (uint64_t i = 0; i < BLOCKS; i++) {
        struct block *block = make_block(SVL_CODEC_DEFAULT, 1 + i * RECORDS_A_BLOCK);
        MUST(svl__segment_commit(segment, &block, 1, i + 2 == BLOCKS) == SVL_OK);
        svl__block_release(block);
    }
    svl__segment_close(segment);
    write_sparse("segment", 0, place_store(), name);
    write_sparse("segment_full", 2, place_store(), name);
}

int main(int argc, char **argv)
{
    MUST(argc == 2);
    directory = argv[1];
    write_wire();
    write_block("block_none", SVL_CODEC_NONE);
    write_block("block_lz4", SVL_CODEC_LZ4);
    write_block("block_zstd", SVL_CODEC_ZSTD);
    write_journal();
    write_ring();
    write_segment();
    return 0;
}
