/* yajl.c - yajl, its stream parser with callbacks for every kind of value. */
#include <stdlib.h>
#include <yajl/yajl_parse.h>

#include "rules.h"

static int on_nothing(void *user)
{
    ++*(uint64_t *)user;
    return 1;
}

static int on_boolean(void *user, int value)
{
    *(uint64_t *)user += (uint64_t)value;
    return 1;
}

static int on_number(void *user, const char *text, size_t len)
{
    (void)text;
    *(uint64_t *)user += len;
    return 1;
}

static int on_string(void *user, const unsigned char *text, size_t len)
{
    (void)text;
    *(uint64_t *)user += len;
    return 1;
}

static const yajl_callbacks callbacks = { .yajl_null = on_nothing,
                                          .yajl_boolean = on_boolean,
                                          .yajl_number = on_number,
                                          .yajl_string = on_string,
                                          .yajl_start_map = on_nothing,
                                          .yajl_map_key = on_string,
                                          .yajl_end_map = on_nothing,
                                          .yajl_start_array = on_nothing,
                                          .yajl_end_array = on_nothing };

void *yajl_open(void)
{
    return calloc(1, sizeof(uint64_t));
}

/* A handle is for one document. */
int yajl_take(void *parser, const char *text, size_t len)
{
    yajl_handle handle = yajl_alloc(&callbacks, NULL, parser);
    int rc = yajl_parse(handle, (const unsigned char *)text, len) == yajl_status_ok &&
                     yajl_complete_parse(handle) == yajl_status_ok
                 ? 0
                 : -1;
    yajl_free(handle);
    return rc;
}
