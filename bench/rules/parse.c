/* parse.c - JSON alone: our scanner, checking all of it, and the parsers that serverlog-bench compares with. */
#include <base/json_scan.h>
#include <stdlib.h>

#include "../bench.h"
#include "bench_config.h"
#include "rules.h"

struct parse {
    struct event event;
    const struct parser_ops *ops;
    void *parser;
};

static int scan(void *parser, const char *text, size_t len)
{
    svl__json_start(parser, text, len, 0);
    return svl__json_check(parser) ? 0 : bench_fail("the scanner refuses an event");
}

static void *open_scan(void)
{
    return malloc(sizeof(struct json_scan));
}

static const struct parser_ops scan_ops = { .open = open_scan, .parse = scan, .close = free };
static const struct peer scanner = { .title = "serverlog, scanned and checked",
                                     .parser = &scan_ops };

extern const struct peer peer_jansson, peer_simdjson, peer_yajl;
static const struct peer *const parsers[] = {
    &scanner,
#if BENCH_HAVE_SIMDJSON
    &peer_simdjson,
#endif
#if BENCH_HAVE_YAJL
    &peer_yajl,
#endif
#if BENCH_HAVE_JANSSON
    &peer_jansson,
#endif
};

static int parse(void *state, uint64_t times, struct span *span)
{
    struct parse *p = state;
    span_begin(span);
    for (uint64_t i = 0; i < times; i++)
        if (p->ops->parse(p->parser, p->event.text, p->event.len) != 0)
            return -1;
    span_end(span);
    return 0;
}

static void release(void *state)
{
    struct parse *p = state;
    p->ops->close(p->parser);
    free(p);
}

static int add_parse(struct figures *figures, const struct peer *peer, struct event event)
{
    struct parse *p = malloc(sizeof *p);
    void *parser = peer->parser->open();
    if (!p || !parser) {
        free(p);
        if (parser)
            peer->parser->close(parser);
        return bench_fail("no memory");
    }
    *p = (struct parse){ event, peer->parser, parser };
    return figures_add(figures, peer->title, event.len, parse, p, release);
}

int add_parse_figures(struct figures *figures)
{
    int rc = 0;
    for (unsigned i = 0; i < sizeof parsers / sizeof parsers[0] && rc == 0; i++) {
        rc = add_parse(figures, parsers[i], event_of_documentation());
        for (unsigned size = 1; size < EVENT_SIZES && rc == 0; size++)
            rc = add_parse(figures, parsers[i], event_of_size(size));
    }
    return rc;
}
