/* gap.c - drops found, and told. */
#include "gap.h"

#include <stdio.h>
#include <string.h>

void svl__gap_look(struct gap *gap, const struct ring *ring, uint64_t total)
{
    if (total <= gap->total)
        return;
    if (gap->count == 0)
        gap->position = svl__ring_tail(ring);
    gap->count += total - gap->total;
    gap->total = total;
}

void svl__gap_uuid(const uint8_t ring_uuid[16], uint8_t out[16])
{
    for (size_t i = 0; i < 16; i++)
        out[i] = (uint8_t)~ring_uuid[i];
}

bool svl__gap_is_told(const uint8_t ring_uuid[16], const uint8_t uuid[16])
{
    uint8_t told[16];
    svl__gap_uuid(ring_uuid, told);
    return memcmp(told, uuid, sizeof told) == 0;
}

void svl__gap_record(const struct gap *gap, struct gap_record *out)
{
    static const char source[] = "serverlog.gap", name[] = "dropped";
    int n = snprintf(out->text, sizeof out->text, "%llu records were dropped: the ring was full",
                     (unsigned long long)gap->count);
    out->dropped = (svl_attribute){ .name = { name, sizeof name - 1 },
                                    .kind = SVL_ATTRIBUTE_I64,
                                    .i64 = (int64_t)gap->count };
    out->record = (svl_record){ .severity = SVL_SEVERITY_WARN,
                                .source = { source, sizeof source - 1 },
                                .body = { out->text, (size_t)n },
                                .attributes = &out->dropped,
                                .attribute_count = 1 };
}
