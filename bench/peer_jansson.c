/* peer_jansson.c - jansson: the document as a tree, freed again. */
#include <jansson.h>
#include <stdlib.h>

#include "bench.h"

static void *parser_open(void)
{
    return malloc(1);
}

static int parse(void *parser, const char *text, size_t len)
{
    (void)parser;
    json_t *tree = json_loadb(text, len, 0, NULL);
    bool ok = json_is_object(tree);
    json_decref(tree);
    return ok ? 0 : bench_fail("jansson refuses a document");
}

static const char *version(void)
{
    return JANSSON_VERSION;
}

static const struct parser_ops ops = { .open = parser_open, .parse = parse, .close = free };

const struct peer peer_jansson = {
    .name = "jansson", .title = "jansson", .version = version, .parser = &ops
};
