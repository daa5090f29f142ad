/* options.c - a pipeline's options: defaults, ranges, and how they depend on the store's. */
#include <string.h>

#include "base/options.h"
#include "pipeline.h"

#define OPTIONS_FIRST_SIZE sizeof(svl_options)
#define RING_BYTES_DEFAULT (UINT64_C(8) << 20)
#define RING_DIRECTORY_DEFAULT "/dev/shm"

int svl_options_init(svl_options *options, size_t size)
{
    return svl__options_init(options, size, OPTIONS_FIRST_SIZE, "svl_options");
}

static int check_u32(uint32_t *value, uint32_t by_default, uint32_t max, const char *name)
{
    if (*value == 0)
        *value = by_default;
    if (*value > max)
        return svl__fail(SVL_E_OPTION, "%s is %u; at most %u", name, *value, max);
    return SVL_OK;
}

uint32_t svl__pipeline_record_bytes_max(uint64_t ring_bytes)
{
    return (uint32_t)(ring_bytes / RING_FRAME_PART - RING_FRAME_HEADER - sizeof(struct slot_tag));
}

static int check_ring(svl_options *o, uint32_t record_bytes_max)
{
    uint64_t least = (uint64_t)record_bytes_max * RING_FRAME_PART;
    bool by_default = o->ring_bytes == 0;
    if (by_default)
        o->ring_bytes = RING_BYTES_DEFAULT;
    while (by_default && o->ring_bytes < least)
        o->ring_bytes *= 2;
    if (o->ring_bytes < RING_BYTES_MIN || o->ring_bytes > RING_BYTES_MAX ||
        (o->ring_bytes & (o->ring_bytes - 1)) != 0)
        return svl__fail(SVL_E_OPTION, "ring_bytes is %llu; a power of two, %llu to %llu",
                         (unsigned long long)o->ring_bytes, (unsigned long long)RING_BYTES_MIN,
                         (unsigned long long)RING_BYTES_MAX);
    if (o->ring_bytes < least)
        return svl__fail(SVL_E_OPTION,
                         "ring_bytes is %llu; at least 8 records of record_bytes_max (%u)",
                         (unsigned long long)o->ring_bytes, record_bytes_max);
    if (!o->ring_directory)
        o->ring_directory = RING_DIRECTORY_DEFAULT;
    if (o->ring_directory[0] != '/')
        return svl__fail(SVL_E_OPTION, "ring_directory is \"%s\"; an absolute path",
                         o->ring_directory);
    if (strlen(o->ring_directory) >= sizeof((struct ring_name *)NULL)->directory)
        return svl__fail(SVL_E_OPTION, "ring_directory has %zu bytes; at most %zu",
                         strlen(o->ring_directory),
                         sizeof((struct ring_name *)NULL)->directory - 1);
    return SVL_OK;
}

int svl__pipeline_options_check(const svl_options *from, svl_options *to, uint32_t record_bytes_max)
{
    int rc = svl__options_copy(to, sizeof *to, from, OPTIONS_FIRST_SIZE, "svl_options");
    if (rc == SVL_OK && (to->flags & ~(uint32_t)SVL_PIPELINE_PRIVATE_RING))
        rc = svl__fail(SVL_E_OPTION, "flags has unknown bits: %#x", to->flags);
    if (rc == SVL_OK && to->full_policy > SVL_FULL_DROP_NEW)
        rc = svl__fail(SVL_E_OPTION, "full_policy is %u; SVL_FULL_*", to->full_policy);
    if (rc == SVL_OK)
        rc = check_ring(to, record_bytes_max);
    if (rc == SVL_OK)
        rc = check_u32(&to->block_timeout_ms, 10000, 3600000, "block_timeout_ms");
    if (rc == SVL_OK)
        rc = check_u32(&to->ingest_emit_max, 1000, 100000, "ingest_emit_max");
    if (rc == SVL_OK)
        rc = check_u32(&to->close_timeout_ms, 10000, 3600000, "close_timeout_ms");
    if (rc == SVL_OK)
        rc = check_u32(&to->workers_max, 4, 256, "workers_max");
    if (rc == SVL_OK)
        rc = check_u32(&to->worker_idle_ms, 5000, 3600000, "worker_idle_ms");
    if (rc == SVL_OK && to->worker_idle_ms < 10)
        rc = svl__fail(SVL_E_OPTION, "worker_idle_ms is %u; at least 10", to->worker_idle_ms);
    return rc;
}
