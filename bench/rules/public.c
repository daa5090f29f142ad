/* public.c - the shapes that others have published figures of; bench/README.md says which and where.
 *
 * quamina's port to Rust: very small events. event-ruler: five rules of a kind against parcels of land as GeoJSON,
 * about 900 bytes each; ours is one made to that form, and as most of theirs it matches few of the rules. */
#include <serverlog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules.h"

struct public_shape {
    struct rule_shape shape;
    uint64_t count;
    const char *event;
};

static const struct public_shape small_shapes[] = {
    { { "exact", { "{\"status\":[\"active\"]}" }, 1, 1 },
      1,
      "{\"status\": \"active\", \"id\": 123}" },
    { { "exact, nested", { "{\"user\":{\"role\":[\"admin\"]}}" }, 1, 1 },
      1,
      "{\"user\": {\"role\": \"admin\", \"name\": \"alice\", \"id\": 123}, \"timestamp\": "
      "1234567890}" },
    { { "anything-but three",
        { "{\"status\":[{\"anything-but\":[\"error\",\"failed\",\"timeout\"]}]}" },
        1,
        1 },
      1,
      "{\"status\": \"success\", \"code\": 200}" },
    { { "numeric", { "{\"score\":[{\"numeric\":[\">=\",0,\"<\",100]}]}" }, 1, 1 },
      1,
      "{\"score\": 50, \"name\": \"test\"}" },
    { { "exact", { "{\"status\":[\"status_##\"]}" }, 2, 1 }, 100, "{\"status\": \"status_50\"}" },
    { { "exact", { "{\"status\":[\"status_####\"]}" }, 4, 1 },
      10000,
      "{\"status\": \"status_0050\"}" },
    { { "prefix", { "{\"path\":[{\"prefix\":\"/api/v##/users\"}]}" }, 2, 1 },
      100,
      "{\"path\": \"/api/v50/users/123\"}" },
    { { "suffix", { "{\"file\":[{\"suffix\":\".ext##\"}]}" }, 2, 1 },
      100,
      "{\"file\": \"document.ext50\"}" },
    { { "wildcard", { "{\"name\":[{\"wildcard\":\"##*\"}]}" }, 2, 1 },
      26,
      "{\"name\": \"01LVEDERE\", \"other\": \"data\"}" },
};

#define PROPERTY(name, value) "{\"properties\":{\"" name "\":[" value "]}}"
#define STREET(value) PROPERTY("STREET", value)
#define FIRST_X(value) "{\"geometry\":{\"firstCoordinates\":{\"x\":[{\"numeric\":[" value "]}]}}}"
#define ANY_X(value) "{\"geometry\":{\"coordinates\":{\"x\":[{\"numeric\":[" value "]}]}}}"
#define OF_TYPE(type, rest) "{\"geometry\":{\"type\":[\"" type "\"]," rest "}}"

static const struct rule_shape parcel_shapes[] = {
    { "exact",
      { PROPERTY("MAPBLKLOT", "\"1430022\""), PROPERTY("MAPBLKLOT", "\"2607117\""),
        PROPERTY("MAPBLKLOT", "\"2607218\""), PROPERTY("MAPBLKLOT", "\"3745012\""),
        PROPERTY("MAPBLKLOT", "\"VACSTWIL\"") },
      1,
      0 },
    { "prefix",
      { STREET("{\"prefix\":\"AC\"}"), STREET("{\"prefix\":\"BL\"}"), STREET("{\"prefix\":\"DR\"}"),
        STREET("{\"prefix\":\"FU\"}"), STREET("{\"prefix\":\"RH\"}") },
      1,
      0 },
    { "suffix",
      { STREET("{\"suffix\":\"ON\"}"), STREET("{\"suffix\":\"KE\"}"), STREET("{\"suffix\":\"MM\"}"),
        STREET("{\"suffix\":\"ING\"}"), STREET("{\"suffix\":\"GO\"}") },
      1,
      0 },
    { "ignore-case",
      { STREET("{\"equals-ignore-case\":\"jefferson\"}"),
        STREET("{\"equals-ignore-case\":\"bEaCh\"}"), STREET("{\"equals-ignore-case\":\"HyDe\"}"),
        STREET("{\"equals-ignore-case\":\"CHESTNUT\"}"),
        PROPERTY("ST_TYPE", "{\"equals-ignore-case\":\"st\"}") },
      1,
      1 },
    { "wildcard",
      { PROPERTY("MAPBLKLOT", "{\"wildcard\":\"143*\"}"),
        PROPERTY("MAPBLKLOT", "{\"wildcard\":\"2*0*1*7\"}"),
        PROPERTY("MAPBLKLOT", "{\"wildcard\":\"*218\"}"),
        PROPERTY("MAPBLKLOT", "{\"wildcard\":\"3*5*2\"}"),
        PROPERTY("MAPBLKLOT", "{\"wildcard\":\"VA*IL\"}") },
      1,
      0 },
    { "anything-but",
      { STREET("{\"anything-but\":[\"FULTON\"]}"), STREET("{\"anything-but\":[\"MASON\"]}"),
        PROPERTY("ST_TYPE", "{\"anything-but\":[\"ST\"]}"),
        "{\"geometry\":{\"type\":[{\"anything-but\":[\"Polygon\"]}]}}",
        PROPERTY("FROM_ST", "{\"anything-but\":[\"441\"]}") },
      1,
      3 },
    { "numeric",
      { OF_TYPE("Polygon",
                "\"firstCoordinates\":{\"x\":[{\"numeric\":[\"=\",-122.42916360922355]}]}"),
        OF_TYPE("MultiPolygon", "\"firstCoordinates\":{\"z\":[{\"numeric\":[\"=\",0]}]}"),
        FIRST_X("\"<\",-122.41600944012424"), FIRST_X("\">\",-122.41600944012424"),
        FIRST_X("\">\",-122.46471267081272,\"<\",-122.4063085128395") },
      1,
      2 },
    { "complex arrays",
      { OF_TYPE("Polygon", "\"coordinates\":{\"x\":[{\"numeric\":[\"=\",-122.42916360922355]}]}"),
        OF_TYPE("MultiPolygon",
                "\"coordinates\":{\"y\":[{\"numeric\":[\"=\",37.729900216217324]}]}"),
        ANY_X("\"<\",-122.41600944012424"), ANY_X("\">\",-122.41600944012424"),
        ANY_X("\">\",-122.46471267081272,\"<\",-122.4063085128395") },
      1,
      2 },
};

/* About 900 bytes: ten points. */
static const char *parcel(void)
{
    static char text[1024];
    int len =
        snprintf(text, sizeof text,
                 "{\"type\":\"Feature\",\"properties\":{\"MAPBLKLOT\":\"0579021\",\"BLKLOT\":"
                 "\"0579021\",\"BLOCK_NUM\":\"0579\",\"LOT_NUM\":\"021\",\"FROM_ST\":\"2170\","
                 "\"TO_ST\":\"2170\",\"STREET\":\"BROADWAY\",\"ST_TYPE\":\"ST\",\"ODD_EVEN\":"
                 "\"E\"},\"geometry\":{\"type\":\"Polygon\",\"coordinates\":[");
    for (unsigned i = 0; i < 10; i++)
        len += snprintf(text + len, sizeof text - (size_t)len,
                        "%s{\"x\":-122.4320091%08u,\"y\":37.79524510%07u,\"z\":0}", i ? "," : "",
                        i * 7919u, i * 104729u);
    snprintf(
        text + len, sizeof text - (size_t)len,
        "],\"firstCoordinates\":{\"x\":-122.432009100000000,\"y\":37.795245100000000,\"z\":0}}}");
    return text;
}

int add_public_figures(struct figures *figures)
{
    char name[64];
    for (unsigned i = 0; i < sizeof small_shapes / sizeof small_shapes[0]; i++) {
        const struct public_shape *s = &small_shapes[i];
        struct match_state m = { .ruleset = rules_create(&s->shape, s->count),
                                 .event = { s->event, strlen(s->event) },
                                 .events = 1,
                                 .release_ruleset = svl_ruleset_destroy };
        snprintf(name, sizeof name, "quamina: %llu %s", (unsigned long long)s->count,
                 s->shape.name);
        if (add_match(figures, name, &m, s->shape.matches) != 0)
            return -1;
    }
    for (unsigned i = 0; i < sizeof parcel_shapes / sizeof parcel_shapes[0]; i++) {
        struct match_state m = { .ruleset = rules_create(&parcel_shapes[i], 5),
                                 .event = { parcel(), strlen(parcel()) },
                                 .events = 1,
                                 .release_ruleset = svl_ruleset_destroy };
        snprintf(name, sizeof name, "event-ruler: 5 %s", parcel_shapes[i].name);
        if (add_match(figures, name, &m, parcel_shapes[i].matches) != 0)
            return -1;
    }
    return 0;
}
