/* parse.c - JSON alone: our scanner, checking all of it, and others, each as its documentation advises. */
#include <base/json_scan.h>
#include <stdio.h>
#include <stdlib.h>

#include "rules.h"

typedef int parse_fn(void *parser, const char *text, size_t len);

struct parse {
    struct event event;
    parse_fn *parse;
    void *parser;
    void (*close)(void *parser);
};

static int parse_ours(void *parser, const char *text, size_t len)
{
    struct json_scan *scan = parser;
    svl__json_start(scan, text, len, 0);
    return svl__json_check(scan) ? 0 : -1;
}

static void *open_ours(void)
{
    return malloc(sizeof(struct json_scan));
}

static const struct parser {
    const char *name;
    void *(*open)(void);
    parse_fn *parse;
    void (*close)(void *parser);
} parsers[] = {
    { "serverlog, scanned and checked", open_ours, parse_ours, free },
#ifdef RULES_HAVE_SIMDJSON
    { "simdjson, DOM, parser kept", simdjson_open, simdjson_parse, simdjson_close },
#endif
#ifdef RULES_HAVE_YAJL
    { "yajl, callbacks", yajl_open, yajl_take, free },
#endif
#ifdef RULES_HAVE_JANSSON
    { "jansson, a tree", NULL, jansson_parse, NULL },
#endif
};

static int parse(void *state, uint64_t times, struct span *span)
{
    struct parse *p = state;
    span_begin(span);
    for (uint64_t i = 0; i < times; i++)
        if (p->parse(p->parser, p->event.text, p->event.len) != 0)
            return rules_fail("a parser refuses an event");
    span_end(span);
    return 0;
}

static void release(void *state)
{
    struct parse *p = state;
    if (p->close)
        p->close(p->parser);
    free(p);
}

static int add_parse(struct figures *figures, const struct parser *parser, struct event event)
{
    struct parse *p = malloc(sizeof *p);
    void *opened = parser->open ? parser->open() : NULL;
    if (!p || (parser->open && !opened)) {
        free(p);
        return rules_fail("no memory");
    }
    *p = (struct parse){ event, parser->parse, opened, parser->close };
    return figures_add(figures, parser->name, event.len, parse, p, release);
}

int add_parse_figures(struct figures *figures)
{
    int rc = 0;
    for (unsigned i = 0; i < sizeof parsers / sizeof parsers[0] && rc == 0; i++) {
        rc = add_parse(figures, &parsers[i], event_of_documentation());
        for (unsigned size = 1; size < EVENT_SIZES && rc == 0; size++)
            rc = add_parse(figures, &parsers[i], event_of_size(size));
    }
    return rc;
}
