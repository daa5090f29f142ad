/* wire.c - any bytes as wire records, back to back. One that is taken is written again as it was, and comes back from
 * a block as it was. */
#include <serverlog/store.h>
#include <string.h>

#include "fuzz.h"
#include "record/wire.h"
#include "store/block.h"

static svl_attribute attributes[RECORD_ATTRIBUTES_MAX];

static void must_be_written_as_it_was(const svl_record *record, const uint8_t *data, uint32_t len)
{
    MUST(svl__wire_size(record) == len);
    uint8_t *again = malloc(len);
    MUST(again != NULL);
    svl__wire_encode(record, 0, again);
    MUST(memcmp(again, data, len) == 0);
    free(again);
}

static struct block *block_of(const struct wire_view *view)
{
    struct block_options options = { .codec = SVL_CODEC_NONE, .block_bytes = BLOCK_RAW_MAX };
    struct block_builder *builder;
    struct block *block;
    MUST(svl__block_builder_create(&options, &builder) == SVL_OK);
    MUST(svl__block_builder_add(builder, 7, 8, view) == SVL_OK);
    MUST(svl__block_builder_finish(builder, &block) == SVL_OK);
    svl__block_builder_destroy(builder);
    return block;
}

static void must_come_back(const struct wire_view *view, const uint8_t *data, uint32_t len)
{
    if (view->severity > SVL_SEVERITY_MAX) /* a block's zone has no bit for it */
        return;
    struct block *block = block_of(view);
    struct block_reader *reader;
    svl_record record;
    MUST(svl__block_reader_create(&reader) == SVL_OK);
    MUST(svl__block_verify(reader, block->data, block->len) == SVL_OK);
    MUST(svl__block_reader_record(reader, 0, attributes, &record) == SVL_OK);
    MUST(record.id == 7 && record.ingest_ns == 8);
    must_be_written_as_it_was(&record, data, len);
    svl__block_reader_destroy(reader);
    svl__block_release(block);
}

/* In memory of exactly its size, so that a step outside is seen. */
static void try_record(const uint8_t *bytes, uint32_t len)
{
    uint8_t *data = malloc(len);
    MUST(data != NULL);
    memcpy(data, bytes, len);
    struct wire_view view;
    svl_record record;
    int rc = svl__wire_check(data, len, &view);
    MUST(svl__wire_decode(data, len, attributes, &record) == rc);
    MUST(rc == SVL_OK || ((rc == SVL_E_CORRUPT || rc == SVL_E_VERSION) && svl_last_error()[0]));
    if (rc == SVL_OK) {
        must_be_written_as_it_was(&record, data, len);
        must_come_back(&view, data, len);
    }
    free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    for (uint32_t n; (n = svl__wire_length(data, len)) > 0; data += n, len -= n)
        try_record(data, n);
    if (len > 0)
        try_record(data, (uint32_t)len);
    return 0;
}
