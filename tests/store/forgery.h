/* forgery.h - blocks made by hand, for tests: taken apart, changed section by section, and put together again with right
 * lengths and sums. */
#ifndef TESTS_STORE_FORGERY_H
#define TESTS_STORE_FORGERY_H

#include "base/checksum.h"
#include "blocks.h"

/* A block in pieces. */
struct forgery {
    struct block_header header;
    uint8_t *stored[BLOCK_SECTIONS_MAX]; /* by place in the table */
    uint8_t *bytes;                      /* put together */
    size_t len;
};

static inline void take_apart(const struct block *block, struct forgery *f)
{
    memset(f, 0, sizeof *f);
    assert_int_equal(svl__block_header_decode(block->data, block->len, &f->header), SVL_OK);
    for (uint32_t i = 0; i < f->header.section_count; i++) {
        const struct section *section = &f->header.sections[i];
        f->stored[i] = malloc(section->stored_len + 1);
        assert_non_null(f->stored[i]);
        memcpy(f->stored[i], block->data + section->offset, section->stored_len);
    }
}

static inline void put_together(struct forgery *f)
{
    free(f->bytes);
    size_t at = BLOCK_HEADER_BYTES(f->header.section_count);
    f->len = at;
    for (uint32_t i = 0; i < f->header.section_count; i++)
        f->len += f->header.sections[i].stored_len;
    f->bytes = malloc(f->len);
    assert_non_null(f->bytes);
    for (uint32_t i = 0; i < f->header.section_count; i++) {
        struct section *section = &f->header.sections[i];
        if (section->stored_len > 0)
            memcpy(f->bytes + at, f->stored[i], section->stored_len);
        if (section->encoding != ENCODING_CHUNKS)
            section->checksum = svl__checksum(f->bytes + at, section->stored_len);
        at += section->stored_len;
    }
    f->header.zone.stored_bytes = f->len;
    svl__block_header_encode(&f->header, f->bytes);
}

static inline void throw_away(struct forgery *f)
{
    for (uint32_t i = 0; i < BLOCK_SECTIONS_MAX; i++)
        free(f->stored[i]);
    free(f->bytes);
}

static inline uint32_t place_of(const struct forgery *f, unsigned kind)
{
    for (uint32_t i = 0; i < f->header.section_count; i++)
        if (f->header.sections[i].kind == kind)
            return i;
    fail_msg("no section %u", kind);
    return 0;
}

static inline void replace_stored(struct forgery *f, unsigned kind, uint8_t encoding, uint8_t codec,
                                  const void *stored, size_t len, uint32_t raw_len)
{
    uint32_t i = place_of(f, kind);
    struct section *section = &f->header.sections[i];
    f->stored[i] = realloc(f->stored[i], len + 1);
    assert_non_null(f->stored[i]);
    memcpy(f->stored[i], stored, len);
    section->encoding = encoding;
    section->codec = codec;
    section->stored_len = (uint32_t)len;
    section->raw_len = raw_len;
}

#endif
