/* options.c - a pipeline's options: defaults, ranges, and how they depend on the store's. */
#include <string.h>

#include "base/options.h"
#include "pipeline.h"

#define OPTIONS_FIRST_SIZE sizeof(svl_options)
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

/* What a bus alone has too. */
static int check_intake(svl_options *o, uint32_t record_bytes_max)
{
    struct intake_options intake = { .ring_bytes = o->ring_bytes,
                                     .record_bytes_max = record_bytes_max,
                                     .full_policy = o->full_policy,
                                     .block_timeout_ms = o->block_timeout_ms };
    int rc = svl__intake_options_check(&intake);
    o->ring_bytes = intake.ring_bytes;
    o->block_timeout_ms = intake.block_timeout_ms;
    return rc;
}

static int check_ring_directory(svl_options *o)
{
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
    if (rc == SVL_OK && (to->flags & ~(uint32_t)(SVL_PIPELINE_PRIVATE_RING | SVL_THREADLESS)))
        rc = svl__fail(SVL_E_OPTION, "flags has unknown bits: %#x", to->flags);
    if (rc == SVL_OK)
        rc = check_intake(to, record_bytes_max);
    if (rc == SVL_OK)
        rc = check_ring_directory(to);
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
