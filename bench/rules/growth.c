/* growth.c - does a hostile event, or set of rules, cost more than it is large? Events of one kind grow by
 * 32 each time, and ns/byte should stay; then the rules grow, by 10. */
#include <serverlog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules.h"

#define GROWN_MIN 1024
#define GROWN_MAX (1u << 20)

/* The event is `open`, then `unit` again and again, separated by commas or not, then `close`. */
struct hostile {
    struct rule_shape shape;
    uint64_t rules;
    const char *open, *unit, *separator, *close;
};

static const struct hostile hostile[] = {
    { { "text, stars that nearly match",
        { "{\"a\":[{\"wildcard\":\"*a*a*a*a*a*a*b#\"}]}" },
        1,
        MATCHES_ANY },
      10,
      "{\"a\":\"",
      "a",
      "",
      "\"}" },
    { { "text of escapes, prefixes and wildcards",
        { "{\"a\":[{\"prefix\":\"aaaa#\"}]}", "{\"a\":[{\"wildcard\":\"*a*b#\"}]}" },
        1,
        MATCHES_ANY },
      10,
      "{\"a\":\"",
      "\\u0061",
      "",
      "\"}" },
    { { "array of texts, exact", { "{\"a\":[\"x###\"]}" }, 3, MATCHES_ANY },
      1000,
      "{\"a\":[",
      "\"x1000\"",
      ",",
      "]}" },
    { { "array of texts, all wildcards are candidates",
        { "{\"a\":[{\"wildcard\":\"*x*y#\"}]}" },
        1,
        MATCHES_ANY },
      10,
      "{\"a\":[",
      "\"xxxxy\"",
      ",",
      "]}" },
    { { "array of numbers, ranges", { "{\"a\":[{\"numeric\":[\">\",1###]}]}" }, 3, MATCHES_ANY },
      1000,
      "{\"a\":[",
      "12.5e1",
      ",",
      "]}" },
    { { "array of texts, each is in all anything-buts",
        { "{\"a\":[{\"anything-but\":[\"v\",\"x###\"]}]}" },
        3,
        MATCHES_ANY },
      1000,
      "{\"a\":[",
      "\"v\"",
      ",",
      "]}" },
    { { "array of objects, none has both", { "{\"a\":{\"x\":[1],\"y\":[1]}}" }, 1, MATCHES_ANY },
      1,
      "{\"a\":[",
      "{\"x\":1,\"y\":2},{\"x\":2,\"y\":1}",
      ",",
      "]}" },
    { { "arrays inside arrays, none has both",
        { "{\"a\":{\"b\":{\"x\":[1],\"y\":[1]},\"z\":[1]}}" },
        1,
        MATCHES_ANY },
      1,
      "{\"a\":[",
      "{\"b\":[{\"x\":1},{\"y\":1}],\"z\":1}",
      ",",
      "]}" },
    { { "a name again and again", { "{\"a\":[1],\"b\":[1]}" }, 1, MATCHES_ANY },
      1,
      "{",
      "\"a\":1",
      ",",
      "}" },
    { { "names that no rule has", { "{\"a###\":[1]}" }, 3, MATCHES_ANY },
      1000,
      "{",
      "\"a10\":{\"a100\":1}",
      ",",
      "}" },
    { { "brackets", { "{\"b\":[1]}" }, 1, MATCHES_ANY },
      1,
      "{\"a\":[",
      "[[[[[[[[[]]]]]]]]]",
      ",",
      "]}" },
};

static struct event grow(const struct hostile *h, size_t size)
{
    size_t unit = strlen(h->unit), separator = strlen(h->separator), at = strlen(h->open);
    char *text = malloc(size + at + unit + separator + strlen(h->close));
    if (!text)
        return (struct event){ NULL, 0 };
    memcpy(text, h->open, at);
    for (unsigned i = 0; at < size; i++) {
        memcpy(text + at, h->separator, i ? separator : 0);
        at += i ? separator : 0;
        memcpy(text + at, h->unit, unit);
        at += unit;
    }
    memcpy(text + at, h->close, strlen(h->close));
    return (struct event){ text, at + strlen(h->close) };
}

static int add_events(struct figures *figures, const struct hostile *h)
{
    svl_ruleset *ruleset = rules_create(&h->shape, h->rules);
    int rc = 0;
    for (size_t size = GROWN_MIN; size <= GROWN_MAX && rc == 0; size *= 32) {
        struct match_state m = {
            .ruleset = ruleset, .event = grow(h, size), .events = 1, .release_text = free
        };
        if (size == GROWN_MIN)
            m.release_ruleset = svl_ruleset_destroy;
        rc = add_match(figures, h->shape.name, &m, MATCHES_ANY);
    }
    return rc;
}

/* All rules are found by the same few letters of one text of 4 KiB; or all hold, and fail by another field. */
static const struct rule_shape many[] = {
    { "wildcards of single digits", { "{\"a\":[{\"wildcard\":\"*#*#*#*#*x\"}]}" }, 4, MATCHES_ANY },
    { "a prefix that holds, and exact",
      { "{\"a\":[{\"prefix\":\"0123456789\"}],\"b\":[1####]}" },
      4,
      MATCHES_ANY },
    { "anything-but that hold, and exact",
      { "{\"a\":[{\"anything-but\":[\"####\"]}],\"b\":[1]}" },
      4,
      MATCHES_ANY },
};

int add_growth_figures(struct figures *figures)
{
    static const struct hostile digits = {
        .open = "{\"a\":\"", .unit = "0123456789", .separator = "", .close = "\",\"b\":-1}"
    };
    for (unsigned i = 0; i < sizeof hostile / sizeof hostile[0]; i++)
        if (add_events(figures, &hostile[i]) != 0)
            return -1;
    for (unsigned i = 0; i < sizeof many / sizeof many[0]; i++)
        for (unsigned count = 100; count <= 10000; count *= 10) {
            char name[72];
            struct match_state m = { .ruleset = rules_create(&many[i], count),
                                     .event = grow(&digits, 4096),
                                     .events = 1,
                                     .release_ruleset = svl_ruleset_destroy,
                                     .release_text = free };
            snprintf(name, sizeof name, "%u %s", count, many[i].name);
            if (add_match(figures, name, &m, MATCHES_ANY) != 0)
                return -1;
        }
    return 0;
}
