/* segment_filter.c - the filter of a full segment: made from its key index, mapped, asked. */
#define _GNU_SOURCE
#include "segment_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/step.h"
#include "bloom.h"
#include "seal.h"

#define MAGIC "svlkeys"
#define VERSION 1
#define HEAD_BYTES 64
#define HEAD_SEALED (HEAD_BYTES - SEAL_BYTES)
#define ENDING ".keys"
#define ENDING_MAKING ".keys-new"
/* A part begins with so many lines, and ends behind the group with which it has as many keys as they are for. */
#define PART_LINES (UINT64_C(1) << 15)
#define PART_KEYS (PART_LINES * BLOOM_LINE_KEYS)
/* So many keys' lines are on their way into the cache. */
#define AHEAD 32

_Static_assert(sizeof MAGIC == 8, "its zero is part of it");
_Static_assert(HEAD_BYTES == BLOOM_LINE_BYTES, "lines of the file are lines of the cache");

/* --- names --- */

/* The segment's name up to its ending. */
static int stem(const struct segment_info *info, char out[SEGMENT_NAME_BYTES])
{
    svl__segment_name(info, out);
    return (int)(strchr(out, '.') - out);
}

void svl__segment_filter_name(const struct segment_info *info, char out[SEGMENT_NAME_BYTES])
{
    char name[SEGMENT_NAME_BYTES];
    snprintf(out, SEGMENT_NAME_BYTES, "%.*s" ENDING, stem(info, name), name);
}

static void name_while_made(const struct segment_info *info, char out[SEGMENT_NAME_BYTES + 8])
{
    char name[SEGMENT_NAME_BYTES];
    snprintf(out, SEGMENT_NAME_BYTES + 8, "%.*s" ENDING_MAKING, stem(info, name), name);
}

bool svl__segment_filter_name_parse(const char *name, uint64_t *first_id, uint32_t *generation,
                                    bool *is_made)
{
    const char *ending = strchr(name, '.');
    if (!ending || (strcmp(ending, ENDING) != 0 && strcmp(ending, ENDING_MAKING) != 0))
        return false;
    char segment[SEGMENT_NAME_BYTES];
    *is_made = strcmp(ending, ENDING) == 0;
    snprintf(segment, sizeof segment, "%.*s.seg", (int)(ending - name), name);
    return svl__segment_name_parse(segment, first_id, generation);
}

void svl__segment_filter_remove(int directory, const struct segment_info *info)
{
    char name[SEGMENT_NAME_BYTES], making[SEGMENT_NAME_BYTES + 8];
    svl__segment_filter_name(info, name);
    name_while_made(info, making);
    unlinkat(directory, name, 0);
    unlinkat(directory, making, 0);
}

static uint64_t place_of(const struct segment_info *info)
{
    return svl__seal_place(info->uuid, "filter");
}

/* --- making --- */

struct filter_maker {
    const struct segment_place *place;
    struct segment_info info;
    char name[SEGMENT_NAME_BYTES + 8]; /* while it is made */
    int fd;                            /* -1: there is no file under this name */
    uint64_t size;                     /* of what was written, the file's head counted in */
    uint32_t parts;                    /* complete ones */
    uint32_t group;                    /* the first that is in none of them */
};

/* A part in the making. */
struct part {
    struct bloom bloom;
    uint64_t keys;
    uint64_t hashes[AHEAD]; /* of the keys taken last, which are not in `bloom` yet */
};

void svl__filter_maker_end(struct filter_maker *maker)
{
    if (!maker)
        return;
    if (maker->fd >= 0) {
        close(maker->fd);
        unlinkat(maker->place->directory, maker->name, 0);
    }
    svl__free(maker);
}

int svl__filter_maker_begin(const struct segment_place *place, const struct segment_info *info,
                            struct filter_maker **out)
{
    int rc;
    *out = NULL;
    struct filter_maker *maker = svl__calloc(1, sizeof *maker);
    if (!maker)
        return SVL_E_NOMEM;
    *maker = (struct filter_maker){ .place = place, .info = *info, .size = HEAD_BYTES };
    name_while_made(info, maker->name);
    unlinkat(place->directory, maker->name, 0); /* of a process that has died */
    maker->fd = svl__file_open(place->directory, maker->name, O_WRONLY | O_CREAT | O_EXCL,
                               place->file_mode, &rc);
    if (maker->fd >= 0 && fchmod(maker->fd, place->file_mode) != 0)
        rc = svl__fail_errno(errno, "mode of %s", maker->name);
    if (rc == SVL_OK)
        *out = maker;
    else
        svl__filter_maker_end(maker);
    return rc;
}

/* A key_fn. */
static void take_key(svl_slice key, void *user)
{
    struct part *part = user;
    uint64_t *hash = &part->hashes[part->keys % AHEAD];
    if (part->keys >= AHEAD)
        svl__bloom_add(&part->bloom, *hash);
    *hash = svl__bloom_hash(part->bloom.place, key);
    (void)svl__bloom_line_of(&part->bloom, *hash);
    part->keys++;
}

static void put_head_seal(uint8_t head[HEAD_BYTES], uint64_t place)
{
    store_u64(head + HEAD_SEALED, svl__checksum_seeded(head, HEAD_SEALED, place));
}

static int write_part(struct filter_maker *maker, struct part *part)
{
    struct bloom *bloom = &part->bloom;
    uint8_t head[HEAD_BYTES] = { 0 };
    for (uint64_t i = 0; i < AHEAD && i < part->keys; i++)
        svl__bloom_add(bloom, part->hashes[i]);
    svl__bloom_fit(bloom);
    svl__bloom_seal(bloom);
    store_u64(head, bloom->number);
    store_u64(head + 8, bloom->lines);
    put_head_seal(head, bloom->place);
    struct iovec pieces[] = { { head, sizeof head },
                              { bloom->bytes, bloom->lines * BLOOM_LINE_BYTES } };
    int rc = svl__file_writev(maker->fd, pieces, 2, maker->size, maker->name);
    maker->size += HEAD_BYTES + bloom->lines * BLOOM_LINE_BYTES;
    maker->parts++;
    return rc;
}

static int make_part(struct filter_maker *maker, struct segment *segment, uint32_t groups)
{
    struct part part = {
        .bloom = { .lines = PART_LINES, .place = place_of(&maker->info), .number = maker->parts }
    };
    int rc = SVL_OK;
    part.bloom.bytes = svl__calloc(PART_LINES, BLOOM_LINE_BYTES);
    if (!part.bloom.bytes)
        return SVL_E_NOMEM;
    while (rc == SVL_OK && maker->group < groups && part.keys < PART_KEYS)
        rc = svl__segment_each_key(segment, maker->group++, take_key, &part);
    if (rc == SVL_OK && (part.keys > 0 || maker->parts == 0))
        rc = write_part(maker, &part);
    svl__free(part.bloom.bytes);
    return rc;
}

static int write_head(const struct filter_maker *maker)
{
    uint8_t head[HEAD_BYTES] = MAGIC;
    store_u32(head + 8, VERSION);
    store_u32(head + 12, maker->parts);
    memcpy(head + 16, maker->info.uuid, sizeof maker->info.uuid);
    store_u64(head + 32, maker->info.last_id);
    store_u64(head + 40, maker->size);
    put_head_seal(head, place_of(&maker->info));
    return svl__file_write(maker->fd, head, sizeof head, 0, maker->name);
}

/* Whole and flushed, it gets its name. */
static int finish(struct filter_maker *maker)
{
    char name[SEGMENT_NAME_BYTES];
    int directory = maker->place->directory;
    svl__segment_filter_name(&maker->info, name);
    int rc = write_head(maker);
    STEP("filter: written");
    if (rc == SVL_OK)
        rc = svl__file_sync(maker->fd, maker->name);
    STEP("filter: flushed");
    if (rc == SVL_OK && renameat(directory, maker->name, directory, name) != 0)
        rc = svl__fail_errno(errno, "rename to %s", name);
    STEP("filter: named");
    if (rc == SVL_OK) {
        close(maker->fd);
        maker->fd = -1;
    }
    return rc;
}

int svl__filter_maker_step(struct filter_maker *maker, struct segment *segment, bool *is_done)
{
    uint32_t groups;
    *is_done = false;
    int rc = svl__segment_key_groups(segment, &groups);
    if (rc == SVL_OK)
        rc = make_part(maker, segment, groups);
    STEP("filter: a part written");
    if (rc == SVL_OK && maker->group >= groups) {
        rc = finish(maker);
        *is_done = rc == SVL_OK;
    }
    return rc;
}

/* --- asking --- */

struct segment_filter {
    char name[SEGMENT_NAME_BYTES];
    uint8_t *map;
    size_t size;
    uint64_t place;
    uint32_t part_count;
    struct bloom *parts;
};

static int damaged(const char *name, const char *what)
{
    return svl__fail(SVL_E_CORRUPT, "%s: %s", name, what);
}

static bool is_head_sealed(const uint8_t head[HEAD_BYTES], uint64_t place)
{
    return load_u64(head + HEAD_SEALED) == svl__checksum_seeded(head, HEAD_SEALED, place);
}

/* What the file says of itself, before it is mapped. */
static int read_head(int fd, const char *name, const struct segment_info *info, size_t *size,
                     uint32_t *parts)
{
    uint8_t head[HEAD_BYTES];
    uint64_t file_size;
    int rc = svl__file_size(fd, &file_size, name);
    if (rc == SVL_OK)
        rc = svl__file_read(fd, head, sizeof head, 0, name);
    if (rc != SVL_OK)
        return rc;
    if (memcmp(head, MAGIC, sizeof MAGIC) != 0 || !is_head_sealed(head, place_of(info)))
        return damaged(name, "damaged, or not the filter of its segment");
    if (load_u32(head + 8) != VERSION)
        return svl__fail(SVL_E_VERSION, "%s: version %u", name, load_u32(head + 8));
    *parts = load_u32(head + 12);
    *size = (size_t)file_size;
    if (load_u64(head + 32) != info->last_id || load_u64(head + 40) != file_size)
        return damaged(name, "it is not of the whole segment");
    if (*parts == 0 || *parts > file_size / (2 * HEAD_BYTES))
        return damaged(name, "its parts");
    return SVL_OK;
}

/* Goes from part to part, which fill the file; where they are to `parts`, unless that is NULL. */
static int walk_parts(const struct segment_filter *filter, struct bloom *parts)
{
    size_t at = HEAD_BYTES;
    for (uint32_t i = 0; i < filter->part_count; i++) {
        uint8_t *head = filter->map + at;
        if (filter->size - at < HEAD_BYTES || !is_head_sealed(head, filter->place) ||
            load_u64(head) != i)
            return damaged(filter->name, "the head of a part");
        uint64_t lines = load_u64(head + 8);
        at += HEAD_BYTES;
        if (lines == 0 || lines > BLOOM_LINES_MAX || lines > (filter->size - at) / BLOOM_LINE_BYTES)
            return damaged(filter->name, "the lines of a part");
        if (parts)
            parts[i] = (struct bloom){ filter->map + at, lines, filter->place, i };
        at += lines * BLOOM_LINE_BYTES;
    }
    return at == filter->size ? SVL_OK : damaged(filter->name, "bytes behind its parts");
}

/* So many parts as there are: before memory is got for them. */
static int find_parts(struct segment_filter *filter)
{
    int rc = walk_parts(filter, NULL);
    if (rc != SVL_OK)
        return rc;
    filter->parts = svl__calloc(filter->part_count, sizeof *filter->parts);
    return filter->parts ? walk_parts(filter, filter->parts) : SVL_E_NOMEM;
}

static int map(int fd, const char *name, const struct segment_info *info,
               struct segment_filter **out)
{
    struct segment_filter *filter = svl__calloc(1, sizeof *filter);
    if (!filter)
        return SVL_E_NOMEM;
    snprintf(filter->name, sizeof filter->name, "%s", name);
    filter->place = place_of(info);
    int rc = read_head(fd, name, info, &filter->size, &filter->part_count);
    if (rc == SVL_OK) {
        void *at = mmap(NULL, filter->size, PROT_READ, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED)
            rc = svl__fail_errno(errno, "map of %s", name);
        else
            filter->map = at;
    }
    if (rc == SVL_OK) {
        madvise(filter->map, filter->size, MADV_RANDOM);
        rc = find_parts(filter);
    }
    if (rc == SVL_OK)
        *out = filter;
    else
        svl__segment_filter_close(filter);
    return rc;
}

int svl__segment_filter_open(const struct segment_place *place, const struct segment_info *info,
                             struct segment_filter **out)
{
    char name[SEGMENT_NAME_BYTES];
    int rc;
    *out = NULL;
    svl__segment_filter_name(info, name);
    int fd = svl__file_open(place->directory, name, O_RDONLY, 0, &rc);
    if (fd < 0)
        return rc;
    rc = map(fd, name, info, out);
    close(fd);
    return rc;
}

void svl__segment_filter_close(struct segment_filter *filter)
{
    if (!filter)
        return;
    if (filter->map)
        munmap(filter->map, filter->size);
    svl__free(filter->parts);
    svl__free(filter);
}

uint64_t svl__segment_filter_hash(const struct segment_filter *filter, svl_slice key)
{
    uint64_t hash = svl__bloom_hash(filter->place, key);
    for (uint32_t i = 0; i < filter->part_count; i++)
        (void)svl__bloom_line_of(&filter->parts[i], hash);
    return hash;
}

bool svl__segment_filter_may_have(const struct segment_filter *filter, uint64_t hash,
                                  bool *is_damaged)
{
    bool may_have = false;
    for (uint32_t i = 0; i < filter->part_count; i++) {
        const struct bloom *part = &filter->parts[i];
        struct bloom_line line = svl__bloom_line_of(part, hash);
        bool is_sealed = svl__bloom_is_sealed(part, &line);
        *is_damaged |= !is_sealed;
        may_have |= !is_sealed || svl__bloom_may_have(&line, hash);
    }
    return may_have;
}

int svl__segment_filter_check(const struct segment_filter *filter)
{
    for (uint32_t i = 0; i < filter->part_count; i++)
        if (!svl__bloom_is_whole(&filter->parts[i]))
            return damaged(filter->name, "lines of it are damaged");
    return SVL_OK;
}
