/* workload_parse.c - one event of 346 bytes, as a cloud's event bus sends it, taken apart whole. */
#include "bench.h"

static const char event[] =
    "{\"version\":\"0\",\"id\":\"6a7e8feb-b491-4cf7-a9f1-bf3703467718\",\"detail-type\":\"EC2 "
    "Instance "
    "State-change Notification\",\"source\":\"aws.ec2\",\"account\":\"111122223333\",\"time\":"
    "\"2017-12-22T18:43:48Z\",\"region\":\"us-west-1\",\"resources\":[\"arn:aws:ec2:us-west-1:"
    "123456789012:"
    "instance/i-1234567890abcdef0\"],\"detail\":{\"instance-id\":\"i-1234567890abcdef0\",\"state\":"
    "\"terminated\"}}";

static bool fits(const struct peer *peer)
{
    return peer->parser != NULL;
}

static int parse(struct run *run)
{
    const struct parser_ops *ops = run->peer->parser;
    struct watch watch;
    void *parser = ops->open();
    int rc = parser ? 0 : bench_fail("a parser cannot be made");
    watch_start(&watch);
    for (uint64_t i = 0; rc == 0 && i < run->records; i++)
        rc = ops->parse(parser, event, sizeof event - 1);
    watch_stop(&watch, run, run->records);
    if (parser)
        ops->close(parser);
    return rc;
}

const struct workload parse_workloads[] = {
    { .name = "parse",
      .question = "How long does it take to parse an event of 346 bytes?",
      .charts = METRIC_BIT(METRIC_EACH_NS),
      .divisor = 1,
      .fits = fits,
      .measure = parse },
};
const size_t parse_workload_count = sizeof parse_workloads / sizeof parse_workloads[0];
