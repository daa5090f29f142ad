/* event.c - the events: the one of EventBridge's documentation, and others of the same form. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bench.h"
#include "rules.h"

#define DOCUMENTED                                                                                 \
    "{\"version\":\"0\",\"id\":\"6a7e8feb-b491-4cf7-a9f1-bf3703467718\",\"detail-type\":\"EC2 "    \
    "Instance State-change Notification\",\"source\":\"aws.ec2\",\"account\":\"111122223333\","    \
    "\"time\":\"2017-12-22T18:43:48Z\",\"region\":\"us-west-1\",\"resources\":[\"arn:aws:ec2:us-"  \
    "west-"                                                                                        \
    "1:123456789012:instance/i-1234567890abcdef0\"],\"detail\":{\"instance-id\":\"i-000000\","     \
    "\"state\":\"terminated\"}}"
#define DOCUMENTED_BYTES (sizeof DOCUMENTED - 1)
_Static_assert(DOCUMENTED_BYTES == 346, "the size that the bar names");
static const char documented[DOCUMENTED_BYTES + PARSE_PADDING] = DOCUMENTED;

static const char head[] =
    "{\"id\":\"6a7e8feb\",\"detail-type\":\"EC2 Instance State-change\",\"source\":\"aws.ec2\","
    "\"time\":\"2017-12-22T18:43:48Z\",\"resources\":[\"arn:aws:ec2:us-west-1:123456780000:"
    "instance/i-1234567890abc0000\"],\"detail\":{\"records\":[";
static const char tail[] = "\",\"c-count\":10005,\"source-ip\":\"10.10.100.33\","
                           "\"instance-id\":\"i-000000\",\"state\":\"terminated\"}}";
static const char middle[] = "],\"note\":\"";

#define EVENT_BYTES_MAX 61440
const size_t event_sizes[EVENT_SIZES] = { 352, 900, EVENT_BYTES_MAX };
_Static_assert(sizeof head + sizeof middle + sizeof tail - 3 <= 352, "the smallest holds all");

struct event event_of_documentation(void)
{
    return (struct event){ documented, DOCUMENTED_BYTES };
}

/* Fills exactly `size` bytes: records while they fit, the rest is the note's. */
static void build(char *out, size_t size)
{
    const size_t fixed = sizeof head + sizeof middle + sizeof tail - 3;
    size_t at = sizeof head - 1;
    memcpy(out, head, at);
    for (unsigned i = 0;; i++) {
        char record[160];
        size_t len = (size_t)snprintf(record, sizeof record,
                                      "%s{\"number\":%u,\"volume\":\"vol-%08x\",\"size\":%u.5,"
                                      "\"attached\":true,\"tags\":[\"blue\",\"green\"]}",
                                      i ? "," : "", i, i * 2654435761u, i % 512);
        if (at - (sizeof head - 1) + fixed + len > size)
            break;
        memcpy(out + at, record, len);
        at += len;
    }
    memcpy(out + at, middle, sizeof middle - 1);
    at += sizeof middle - 1;
    size_t end = size - (sizeof tail - 1);
    memset(out + at, 'n', end - at);
    memcpy(out + end, tail, sizeof tail - 1);
}

struct event event_of_size(unsigned which)
{
    static char texts[EVENT_SIZES][EVENT_BYTES_MAX + PARSE_PADDING];
    if (!texts[which][0])
        build(texts[which], event_sizes[which]);
    return (struct event){ texts[which], event_sizes[which] };
}

char *events_rotating(unsigned count, unsigned step)
{
    const size_t size = event_sizes[0];
    char *texts = malloc(size * count + PARSE_PADDING);
    for (unsigned i = 0; texts && i < count; i++) {
        char id[16], *at = texts + size * i;
        build(at, size);
        snprintf(id, sizeof id, "i-%06u", i * step % 1000000);
        memcpy(at + size - strlen("i-000000\",\"state\":\"terminated\"}}"), id, 8);
    }
    return texts;
}
