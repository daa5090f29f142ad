/* options.c - a store's options: defaults, ranges, and how they depend on each other. */
#include <stddef.h>

#include "base/options.h"
#include "state.h"

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

/* The first version's structs. */
#define OPTIONS_FIRST_SIZE 112
#define QUERY_FIRST_SIZE 136
_Static_assert(sizeof(svl_store_options) == OPTIONS_FIRST_SIZE, "grew: keep the first size");
_Static_assert(sizeof(svl_query) == QUERY_FIRST_SIZE, "grew: keep the first size");

int svl_store_options_init(svl_store_options *options, size_t size)
{
    return svl__options_init(options, size, OPTIONS_FIRST_SIZE, "svl_store_options");
}

int svl_query_init(svl_query *query, size_t size)
{
    return svl__options_init(query, size, QUERY_FIRST_SIZE, "svl_query");
}

static int check_u32(uint32_t *value, uint32_t by_default, uint32_t min, uint32_t max,
                     const char *name)
{
    if (*value == 0)
        *value = by_default;
    if (*value < min || *value > max)
        return svl__fail(SVL_E_OPTION, "%s is %u; %u to %u", name, *value, min, max);
    return SVL_OK;
}

static int check_u64(uint64_t *value, uint64_t by_default, uint64_t min, uint64_t max,
                     const char *name)
{
    if (*value == 0)
        *value = by_default;
    if (*value < min || *value > max)
        return svl__fail(SVL_E_OPTION, "%s is %llu; %llu to %llu", name, (unsigned long long)*value,
                         (unsigned long long)min, (unsigned long long)max);
    return SVL_OK;
}

static int check_words(svl_store_options *o)
{
    if (o->flags & ~(uint32_t)(SVL_STORE_NO_CREATE | SVL_STORE_ANY_FILE_SYSTEM |
                               SVL_STORE_READ_ONLY | SVL_THREADLESS))
        return svl__fail(SVL_E_OPTION, "flags has unknown bits: %#x", o->flags);
    if (o->flags & SVL_THREADLESS && o->flags & SVL_STORE_READ_ONLY)
        return svl__fail(SVL_E_OPTION,
                         "SVL_THREADLESS with SVL_STORE_READ_ONLY: a reader's thread "
                         "listens for cursors that follow, and there is no other way");
    if (o->file_mode == 0)
        o->file_mode = 0600;
    if (o->file_mode & ~(uint32_t)0666 || (o->file_mode & 0600) != 0600)
        return svl__fail(SVL_E_OPTION, "file_mode is %#o; at most 0666, with 0600 in it",
                         o->file_mode);
    if (o->codec > SVL_CODEC_ZSTD)
        return svl__fail(SVL_E_OPTION, "codec is %u; SVL_CODEC_*", o->codec);
    if (o->codec == SVL_CODEC_DEFAULT)
        o->codec = svl__codec_default();
    if (!svl__codec_is_built(o->codec))
        return svl__fail(SVL_E_CODEC, "codec %u; this is %s", o->codec, svl_build_info());
    return SVL_OK;
}

static int check_sizes(svl_store_options *o)
{
    int rc = check_u64(&o->commit_bytes, MIB(4), KIB(64), MIB(256), "commit_bytes");
    if (rc == SVL_OK)
        rc = check_u64(&o->tail_bytes, MIB(12), MIB(1), GIB(1), "tail_bytes");
    if (rc == SVL_OK)
        rc = check_u64(&o->journal_file_bytes_max, MIB(16), KIB(256), GIB(1),
                       "journal_file_bytes_max");
    if (rc == SVL_OK)
        rc = check_u64(&o->segment_bytes, MIB(256), MIB(8), GIB(16), "segment_bytes");
    /* A block of keys alone takes five times its bytes of a map: see svl__segment_block_bytes(). */
    uint64_t block_max = o->segment_bytes / 8 < MIB(4) ? o->segment_bytes / 8 : MIB(4);
    if (rc == SVL_OK)
        rc = check_u64(&o->block_bytes, KIB(256), KIB(4), block_max,
                       "block_bytes (it depends on segment_bytes)");
    if (rc != SVL_OK)
        return rc;
    uint64_t record_max = o->journal_file_bytes_max / 8;
    uint64_t record_default = KIB(1024) < record_max ? KIB(1024) : record_max;
    if (record_max > o->segment_bytes / 8)
        record_max = o->segment_bytes / 8;
    if (record_max > BLOCK_RAW_MAX / 2)
        record_max = BLOCK_RAW_MAX / 2;
    return check_u32(&o->record_bytes_max, (uint32_t)record_default, 256, (uint32_t)record_max,
                     "record_bytes_max (it depends on journal_file_bytes_max and segment_bytes)");
}

int svl__store_options_check(const svl_store_options *from, svl_store_options *to)
{
    int rc = svl__options_copy(to, sizeof *to, from, OPTIONS_FIRST_SIZE, "svl_store_options");
    if (rc == SVL_OK)
        rc = check_words(to);
    if (rc == SVL_OK)
        rc = check_sizes(to);
    if (rc == SVL_OK)
        rc = check_u32(&to->sync_interval_ms, 20, 1, 60000, "sync_interval_ms");
    if (rc == SVL_OK)
        rc = check_u32(&to->commit_age_ms, 60000, 10, 3600000, "commit_age_ms");
    if (rc == SVL_OK)
        rc = check_u32(&to->readers_max, 1024, 8, 65536, "readers_max");
    if (rc == SVL_OK && to->retain_bytes_max != 0 && to->retain_bytes_max < 8 * to->segment_bytes)
        rc = svl__fail(
            SVL_E_OPTION, "retain_bytes_max is %llu; at least 8 segments of %llu (segment_bytes)",
            (unsigned long long)to->retain_bytes_max, (unsigned long long)to->segment_bytes);
    if (rc == SVL_OK && to->retain_age_ms_max > (uint64_t)INT64_MAX / 1000000)
        rc = svl__fail(SVL_E_OPTION, "retain_age_ms_max is %llu",
                       (unsigned long long)to->retain_age_ms_max);
    return rc;
}
