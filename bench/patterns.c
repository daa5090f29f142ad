/* patterns.c - rules: what a match costs with few of them and many, and what a change costs. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"

/* The event of EventBridge's documentation. */
static const char event[] =
    "{\"version\":\"0\",\"id\":\"6a7e8feb-b491-4cf7-a9f1-bf3703467718\",\"detail-type\":\"EC2 "
    "Instance "
    "State-change Notification\",\"source\":\"aws.ec2\",\"account\":\"111122223333\",\"time\":"
    "\"2017-12-22T18:43:48Z\",\"region\":\"us-west-1\",\"resources\":[\"arn:aws:ec2:us-west-1:"
    "123456789012:instance/i-1234567890abcdef0\"],\"detail\":{\"instance-id\":\"i-000000\","
    "\"state\":\"terminated\"}}";
_Static_assert(sizeof event - 1 == 346, "the size that the bar names");

#define CHANGED_RULES 10000

/* Rule `number`: the event matches the one of number 0. */
static int add_rule(svl_ruleset *ruleset, uint64_t number)
{
    char text[128];
    int len = snprintf(text, sizeof text,
                       "{\"source\":[\"aws.ec2\"],\"detail\":{\"instance-id\":[\"i-%06llu\"]}}",
                       (unsigned long long)number);
    return svl_ruleset_add(ruleset, number, text, (size_t)len, NULL);
}

static svl_ruleset *create_rules(uint64_t count)
{
    svl_ruleset *ruleset;
    int rc = svl_ruleset_create(NULL, &ruleset);
    for (uint64_t i = 0; rc == SVL_OK && i < count; i++)
        rc = add_rule(ruleset, i);
    if (rc == SVL_OK)
        return ruleset;
    bench_fail(svl_last_error());
    svl_ruleset_destroy(ruleset);
    return NULL;
}

static int match_once(svl_ruleset *ruleset)
{
    uint64_t id;
    size_t matched;
    int rc = svl_ruleset_match_json(ruleset, event, sizeof event - 1, 0, &id, 1, &matched);
    return rc == SVL_OK && matched != 1 ? SVL_E_INTERNAL : rc;
}

static int64_t match_rules(const struct settings *settings, uint64_t count)
{
    svl_ruleset *ruleset = create_rules(count);
    if (!ruleset)
        return -1;
    int rc = SVL_OK;
    int64_t start_ns = bench_now_ns();
    for (uint64_t i = 0; rc == SVL_OK && i < settings->records; i++)
        rc = match_once(ruleset);
    int64_t took_ns = bench_now_ns() - start_ns;
    svl_ruleset_destroy(ruleset);
    return rc == SVL_OK ? took_ns : bench_fail(svl_strerror(rc));
}

int64_t match_one_rule(const struct settings *settings)
{
    return match_rules(settings, 1);
}

int64_t match_1000_rules(const struct settings *settings)
{
    return match_rules(settings, 1000);
}

int64_t match_100000_rules(const struct settings *settings)
{
    return match_rules(settings, 100000);
}

struct matching {
    svl_ruleset *ruleset;
    _Atomic bool stop;
    int rc;
};

static void *match_always(void *argument)
{
    struct matching *m = argument;
    while (!m->stop && m->rc == SVL_OK)
        m->rc = match_once(m->ruleset);
    return NULL;
}

/* The oldest goes for each that comes; rule 0 stays. */
static int64_t change_rules(svl_ruleset *ruleset, uint64_t changes)
{
    int rc = SVL_OK;
    int64_t start_ns = bench_now_ns();
    for (uint64_t i = 1; rc == SVL_OK && i <= changes; i++) {
        rc = add_rule(ruleset, CHANGED_RULES + i - 1);
        if (rc == SVL_OK)
            rc = svl_ruleset_remove(ruleset, i);
    }
    int64_t took_ns = bench_now_ns() - start_ns;
    return rc == SVL_OK ? took_ns : bench_fail(svl_strerror(rc));
}

int64_t change_alone(const struct settings *settings)
{
    svl_ruleset *ruleset = create_rules(CHANGED_RULES);
    int64_t took_ns = ruleset ? change_rules(ruleset, settings->records) : -1;
    svl_ruleset_destroy(ruleset);
    return took_ns;
}

int64_t change_while_matched(const struct settings *settings)
{
    struct matching matching = { .ruleset = create_rules(CHANGED_RULES) };
    pthread_t thread;
    if (!matching.ruleset)
        return -1;
    if (pthread_create(&thread, NULL, match_always, &matching) != 0) {
        svl_ruleset_destroy(matching.ruleset);
        return bench_fail("no thread");
    }
    int64_t took_ns = change_rules(matching.ruleset, settings->records);
    matching.stop = true;
    pthread_join(thread, NULL);
    svl_ruleset_destroy(matching.ruleset);
    return matching.rc == SVL_OK ? took_ns : bench_fail(svl_strerror(matching.rc));
}
