/* segment_files.h - for the tests of segments: a directory, a segment in it, blocks for it. */
#ifndef TESTS_STORE_SEGMENT_FILES_H
#define TESTS_STORE_SEGMENT_FILES_H

#include "support/support.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blocks.h"
#include "store/segment_private.h"

static struct segment_place place = { .directory = -1, .file_mode = 0600, .readers_max = 16 };
static char place_path[512];

static int place_new(void **state)
{
    (void)state;
    snprintf(place_path, sizeof place_path, "%s", temp_path());
    assert_int_equal(mkdir(place_path, 0700), 0);
    memset(place.store_uuid, 7, sizeof place.store_uuid);
    place.directory = open(place_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return place.directory < 0;
}

static int place_close(void **state)
{
    (void)state;
    close(place.directory);
    return 0;
}

static struct segment *segment_new(uint64_t first_id, uint64_t map_bytes)
{
    struct segment_info info = { .first_id = first_id,
                                 .last_id = first_id - 1,
                                 .generation = 1,
                                 .state = SEGMENT_ACTIVE,
                                 .map_bytes = map_bytes };
    struct segment *segment;
    assert_ok(svl__segment_create(&place, &info, &segment));
    return segment;
}

/* Closes and opens again: all that is known of it afterwards comes from the file. */
static void segment_reopen(struct segment **segment)
{
    struct segment_info info;
    svl__segment_info_get(*segment, &info);
    svl__segment_close(*segment);
    info.last_id = info.first_id - 1; /* a catalog that is behind */
    info.blocks = info.raw_bytes = info.stored_bytes = 0;
    assert_ok(svl__segment_open(&place, &info, segment));
}

static inline void segment_files_unused(void)
{
    (void)place_new, (void)place_close, (void)segment_new, (void)segment_reopen;
    blocks_unused();
}

#endif
