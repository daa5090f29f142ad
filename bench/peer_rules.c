/* peer_rules.c - ours beside parsers: the event is not only taken apart and checked, but matched against a rule; and
 * unchecked, which is the library's default: then what no rule names is passed by its quotes and brackets. */
#include "rules.h"

#include <stdio.h>
#include <string.h>

const char rules_event[RULES_EVENT_BYTES + PARSE_PADDING] =
    "{\"version\":\"0\",\"id\":\"6a7e8feb-b491-4cf7-a9f1-bf3703467718\",\"detail-type\":\"EC2 "
    "Instance State-change Notification\",\"source\":\"aws.ec2\",\"account\":\"111122223333\","
    "\"time\":\"2017-12-22T18:43:48Z\",\"region\":\"us-west-1\",\"resources\":[\"arn:aws:ec2:us-"
    "west-1:123456789012:instance/i-1234567890abcdef0\"],\"detail\":{\"instance-id\":\"i-000000\","
    "\"state\":\"terminated\"}}";

int rules_add(svl_ruleset *ruleset, uint64_t number)
{
    char text[128];
    int len = snprintf(text, sizeof text,
                       "{\"source\":[\"aws.ec2\"],\"detail\":{\"instance-id\":[\"i-%06llu\"]}}",
                       (unsigned long long)number);
    return svl_ruleset_add(ruleset, number, text, (size_t)len, NULL);
}

svl_ruleset *rules_create(uint64_t count)
{
    svl_ruleset *ruleset;
    int rc = svl_ruleset_create(NULL, &ruleset);
    for (uint64_t i = 0; rc == SVL_OK && i < count; i++)
        rc = rules_add(ruleset, i);
    if (rc == SVL_OK)
        return ruleset;
    bench_fail(svl_last_error());
    svl_ruleset_destroy(ruleset);
    return NULL;
}

int rules_match(svl_ruleset *ruleset, const char *text, size_t len, uint32_t flags)
{
    uint64_t id;
    size_t matched;
    int rc = svl_ruleset_match_json(ruleset, text, len, flags, &id, 1, &matched);
    return rc == SVL_OK && matched != 1 ? SVL_E_INTERNAL : rc;
}

static void *parser_open(void)
{
    return rules_create(1);
}

static int parse(void *parser, const char *text, size_t len)
{
    int rc = rules_match(parser, text, len, SVL_JSON_CHECK);
    return rc == SVL_OK ? 0 : bench_fail(svl_strerror(rc));
}

static int parse_unchecked(void *parser, const char *text, size_t len)
{
    int rc = rules_match(parser, text, len, 0);
    return rc == SVL_OK ? 0 : bench_fail(svl_strerror(rc));
}

static void parser_close(void *parser)
{
    svl_ruleset_destroy(parser);
}

static const struct parser_ops ops = { .open = parser_open, .parse = parse, .close = parser_close };
static const struct parser_ops unchecked_ops = { .open = parser_open,
                                                 .parse = parse_unchecked,
                                                 .close = parser_close };

const struct peer peer_rules = { .name = "serverlog-rules",
                                 .title = "serverlog ruleset",
                                 .is_ours = true,
                                 .version = svl_version,
                                 .parser = &ops };
const struct peer peer_rules_unchecked = { .name = "serverlog-rules-unchecked",
                                           .title = "serverlog ruleset, unchecked",
                                           .is_ours = true,
                                           .version = svl_version,
                                           .parser = &unchecked_ops };
