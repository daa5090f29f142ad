/* generate.c - events by chance; patterns by a walk through an event, a condition for each value that it meets. */
#include "generate.h"

#include <stdio.h>
#include <string.h>

#include "reference_json.h"

struct writer {
    struct rng *rng;
    struct generated *out;
};

/* Beyond, nothing is begun that may grow. */
enum { ENOUGH = 1500 };
/* Longer texts are not made; an event whose quotes are damaged may have them, and a condition takes their beginning. */
enum { LONG = 80 };

static bool chance(struct writer *writer, unsigned percent)
{
    return rng_below(writer->rng, 100) < percent;
}

static size_t below(struct writer *writer, size_t n)
{
    return (size_t)rng_below(writer->rng, n);
}

static void put(struct writer *writer, const char *text)
{
    size_t length = strlen(text);
    assert_true(writer->out->length + length + 16 < GENERATED_MAX); /* room for damage */
    memcpy(writer->out->text + writer->out->length, text, length + 1);
    writer->out->length += length;
}

#define PICK(writer, list) ((list)[below(writer, sizeof(list) / sizeof *(list))])

static void put_point(struct writer *writer, uint32_t point)
{
    char text[16];
    if (point > 0xffff && chance(writer, 50)) {
        snprintf(text, sizeof text, "\\u%04x\\u%04X", 0xd800 + ((point - 0x10000) >> 10),
                 0xdc00 + ((point - 0x10000) & 0x3ff));
    } else if (point > 0xffff) {
        snprintf(text, sizeof text, "%c%c%c%c", (char)(0xf0 | point >> 18),
                 (char)(0x80 | (point >> 12 & 0x3f)), (char)(0x80 | (point >> 6 & 0x3f)),
                 (char)(0x80 | (point & 0x3f)));
    } else if ((point >= 0xd800 && point <= 0xdfff) || point < 0x20 || chance(writer, 5)) {
        snprintf(text, sizeof text, "\\u%04x", point);
    } else if (point == '"' || point == '\\') {
        snprintf(text, sizeof text, "\\%c", (char)point);
    } else if (point < 0x80) {
        snprintf(text, sizeof text, "%c", (char)point);
    } else if (point < 0x800) {
        snprintf(text, sizeof text, "%c%c", (char)(0xc0 | point >> 6),
                 (char)(0x80 | (point & 0x3f)));
    } else {
        snprintf(text, sizeof text, "%c%c%c", (char)(0xe0 | point >> 12),
                 (char)(0x80 | (point >> 6 & 0x3f)), (char)(0x80 | (point & 0x3f)));
    }
    put(writer, text);
}

static void put_points(struct writer *writer, const uint32_t *points, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put_point(writer, points[i]);
}

static void put_string(struct writer *writer, const uint32_t *points, size_t count)
{
    put(writer, "\"");
    put_points(writer, points, count);
    put(writer, "\"");
}

static void put_space(struct writer *writer)
{
    static const char *const spaces[] = { " ", "\n", "\t ", "  " };
    if (chance(writer, 3))
        put(writer, PICK(writer, spaces));
}

/* Equal numbers stand in one row. */
static const char *const numbers[][4] = {
    { "5", "5.0", "50e-1", "0.5E+1" },
    { "0", "-0", "0.0", "-0e7" },
    { "-5", "-5.00", "-50e-1", "-0.05e2" },
    { "4", "4.0", "0.4e1", "40E-1" },
    { "4.9999999999999999999", "49999999999999999999e-19", "4.99999999999999999990",
      "0.49999999999999999999e1" },
    { "0.1", "1e-1", "0.10", "0.1000000000000000000000" },
    { "0.10000000000000000555", "10000000000000000555e-20", "0.100000000000000005550",
      "1.0000000000000000555e-1" },
    { "9007199254740992", "9007199254740992.0", "9.007199254740992e15", "90071992547409920e-1" },
    { "9007199254740993", "9007199254740993.0", "9.007199254740993e15", "90071992547409930e-1" },
    { "1e23", "100000000000000000000000", "1E+23", "0.1e24" },
    { "100000000000000000000001", "100000000000000000000001.0", "1.00000000000000000000001e23",
      "1000000000000000000000010e-1" },
    { "5e-324", "0.5e-323", "50e-325", "5.0e-324" },
    { "4.9e-324", "49e-325", "0.49e-323", "4.90e-324" },
    { "2.5e-310", "25e-311", "0.25e-309", "2.50e-310" },
    { "1e-400", "10e-401", "0.1e-399", "1.0e-400" },
    { "1.7976931348623157e308", "17976931348623157e292", "0.17976931348623157e309",
      "1.79769313486231570e308" },
};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

static void put_number(struct writer *writer)
{
    put(writer, numbers[below(writer, chance(writer, 60) ? 4 : NUMBERS)][below(writer, 4)]);
}

/* Mostly short; some as long as what is read in one step, or longer. */
static void put_random_string(struct writer *writer)
{
    static const uint32_t points[] = { 'a',   'b',     'A',    'k', 0x212a, 0xe9, 0xc9,
                                       0xdf,  0x1e9e,  0,      '"', 0x3c2,  '*',  '\\',
                                       0x3a3, 0xd800,  0xdc00, '{', '}',    '[',  0x1f600,
                                       ']',   0x10000, ',',    ':' };
    uint32_t text[LONG];
    size_t length = below(writer, chance(writer, 97) ? 5 : LONG);
    for (size_t i = 0; i < length; i++)
        text[i] = chance(writer, 60) ? points[below(writer, 3)] : PICK(writer, points);
    put_string(writer, text, length);
}

static void put_address(struct writer *writer)
{
    static const char *const addresses[] = {
        "\"10.0.0.1\"",    "\"10.1.2.15\"", "\"10.1.2.16\"", "\"10.1.2.3\"",
        "\"192.168.0.1\"", "\"::1\"",       "\"fe80::1\"",   "\"::ffff:10.0.0.1\"",
        "\"0:0::1\"",      "\"10.0.0.01\"", "\"1::\""
    };
    put(writer, PICK(writer, addresses));
}

static void put_text(struct writer *writer)
{
    if (chance(writer, 80))
        put_random_string(writer);
    else
        put_address(writer);
}

static void put_scalar(struct writer *writer)
{
    static const char *const others[] = { "null", "true", "false", "1e309", "\"\"" };
    size_t kind = below(writer, 10);
    if (kind < 5)
        put_text(writer);
    else if (kind < 8)
        put_number(writer);
    else
        put(writer, PICK(writer, others));
}

/* The first three are the usual ones. */
static const char *const names[] = { "a",
                                     "b",
                                     "c",
                                     "a.b",
                                     "b.c",
                                     "",
                                     "a.",
                                     "c..b",
                                     "\\u0061",
                                     "$or",
                                     "$or.a",
                                     "prefix",
                                     "a-name-of-more-than-thirty-two-characters" };

static void put_value(struct writer *writer, unsigned depth);

static void put_object(struct writer *writer, unsigned depth, size_t least)
{
    size_t members = least + below(writer, 4);
    put(writer, "{");
    for (size_t i = 0; i < members; i++) {
        put(writer, i ? ",\"" : "\"");
        put(writer, chance(writer, 70) ? names[below(writer, 3)] : PICK(writer, names));
        put(writer, "\":");
        put_space(writer);
        put_value(writer, depth);
    }
    put(writer, "}");
}

static void put_value(struct writer *writer, unsigned depth)
{
    size_t kind = depth > 4 || writer->out->length > ENOUGH ? 0 : below(writer, 100);
    if (kind < 45) {
        put_scalar(writer);
    } else if (kind < 72) {
        put_object(writer, depth + 1, 0);
    } else {
        size_t elements = below(writer, 4);
        put(writer, "[");
        for (size_t i = 0; i < elements; i++) {
            if (i > 0)
                put(writer, ",");
            if (chance(writer, 50))
                put_object(writer, depth + 1, 1);
            else
                put_value(writer, depth + 1);
        }
        put(writer, "]");
    }
}

void generate_event(struct rng *rng, struct generated *event)
{
    struct writer writer = { rng, event };
    event->length = 0;
    put_space(&writer);
    put_object(&writer, 0, 1);
    put_space(&writer);
}

/* Another character of the same folding, for some. */
static uint32_t other_case(uint32_t point)
{
    static const uint32_t pairs[][2] = { { 'a', 'A' },   { 'b', 'B' },     { 'k', 0x212a },
                                         { 0xe9, 0xc9 }, { 0xdf, 0x1e9e }, { 0x3c2, 0x3a3 } };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        for (size_t j = 0; j < 2; j++)
            if (pairs[i][j] == point)
                return pairs[i][1 - j];
    return point;
}

/* An operator {"name": "some of the text"}, perhaps in other letters. */
static void put_part(struct writer *writer, const char *name, struct text text, bool folded)
{
    uint32_t points[LONG];
    for (size_t i = 0; i < text.length; i++)
        points[i] = folded && chance(writer, 50) ? other_case(text.at[i]) : text.at[i];
    put(writer, "\"");
    put(writer, name);
    put(writer, "\":");
    put_string(writer, points, text.length);
}

static struct text some_prefix(struct writer *writer, struct text text)
{
    return (struct text){ text.at, below(writer, text.length + 1) };
}

static struct text some_suffix(struct writer *writer, struct text text)
{
    size_t cut = below(writer, text.length + 1);
    return (struct text){ text.at + cut, text.length - cut };
}

/* The text with stars in place of some of it. */
static void put_wildcard(struct writer *writer, struct text text)
{
    uint32_t points[LONG * 3];
    size_t count = 0;
    bool star_before = false;
    for (size_t i = 0; i <= text.length; i++) {
        if (!star_before && chance(writer, 30)) {
            points[count++] = '*';
            star_before = true;
            i += below(writer, 3);
        }
        if (i >= text.length)
            break;
        if (text.at[i] == '*' || text.at[i] == '\\')
            points[count++] = '\\';
        points[count++] = text.at[i];
        star_before = false;
    }
    put_string(writer, points, count);
}

static void put_anything_but(struct writer *writer, struct text text)
{
    static const char *const operators[] = { "prefix", "suffix", "equals-ignore-case", "wildcard" };
    put(writer, "{\"anything-but\":");
    size_t kind = below(writer, 6);
    if (kind == 0) {
        put_random_string(writer);
    } else if (kind == 1) {
        put(writer, "[");
        put_number(writer);
        put(writer, ",");
        put_number(writer);
        put(writer, "]");
    } else if (kind == 2) {
        put(writer, "[");
        put_random_string(writer);
        put(writer, ",");
        put_string(writer, text.at, text.length);
        put(writer, "]");
    } else if (kind == 3) {
        put(writer, "{\"wildcard\":");
        put_wildcard(writer, text);
        put(writer, "}");
    } else {
        put(writer, "{\"");
        put(writer, PICK(writer, operators));
        put(writer, "\":");
        put(writer, kind == 4 ? "[\"a\"," : "");
        put(writer, kind == 4 || chance(writer, 50) ? "\"bA\"" : "\"A\"");
        put(writer, kind == 4 ? "]}" : "}");
    }
    put(writer, "}");
}

static void put_text_condition(struct writer *writer, struct text text)
{
    put(writer, "{");
    switch (below(writer, 6)) {
    case 0:
        put_part(writer, "prefix", some_prefix(writer, text), false);
        break;
    case 1:
        put_part(writer, "suffix", some_suffix(writer, text), false);
        break;
    case 2:
        put_part(writer, "equals-ignore-case", text, true);
        break;
    case 3:
        put(writer, "\"prefix\":{");
        put_part(writer, "equals-ignore-case", some_prefix(writer, text), true);
        put(writer, "}");
        break;
    case 4:
        put(writer, "\"suffix\":{");
        put_part(writer, "equals-ignore-case", some_suffix(writer, text), true);
        put(writer, "}");
        break;
    default:
        put(writer, "\"wildcard\":");
        put_wildcard(writer, text);
    }
    put(writer, "}");
}

static void put_cidr(struct writer *writer)
{
    static const char *const blocks[] = {
        "10.0.0.0/8",  "10.1.2.9/29",       "0.0.0.0/0", "::/0",     "::1",
        "10.0.0.1/32", "::ffff:0.0.0.0/96", "fe80::/10", "0::2/127", "192.0.0.0/1"
    };
    put(writer, "{\"cidr\":\"");
    put(writer, PICK(writer, blocks));
    put(writer, "\"}");
}

static void put_numeric(struct writer *writer)
{
    static const char *const ranges[] = { "[\"<\",", "[\"<=\",", "[\">\",", "[\">=\",", "[\"=\"," };
    put(writer, "{\"numeric\":");
    size_t kind = below(writer, 8);
    if (kind < 5) {
        put(writer, ranges[kind]);
        put_number(writer);
        put(writer, "]}");
        return;
    }
    put(writer, chance(writer, 50) ? "[\">\"," : "[\">=\",");
    put(writer, chance(writer, 50) ? "-5" : "0.1");
    put(writer, chance(writer, 50) ? ",\"<\"," : ",\"<=\",");
    put_number(writer);
    put(writer, "]}");
}

/* A condition of its own. */
static void put_any_element(struct writer *writer)
{
    static const uint32_t ab[] = { 'a', 'b', 'A' };
    struct text text = { ab, below(writer, 4) };
    static const char *const others[] = {
        "null", "true", "false", "{\"exists\":true}", "{\"exists\":false}", "{\"exists\":false}"
    };
    switch (below(writer, 7)) {
    case 0:
        put_text(writer);
        break;
    case 1:
        put_number(writer);
        break;
    case 2:
        put(writer, PICK(writer, others));
        break;
    case 3:
        put_numeric(writer);
        break;
    case 4:
        put_anything_but(writer, text);
        break;
    case 5:
        put_cidr(writer);
        break;
    default:
        put_text_condition(writer, text);
    }
}

static bool looks_like_address(struct text text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.at[i] == '.' || text.at[i] == ':')
            return true;
    return false;
}

/* A condition that mostly holds for `value`. */
static void put_element(struct writer *writer, const struct json *value)
{
    struct text text = { NULL, 0 };
    if (value && value->kind == JSON_STRING)
        text = (struct text){ value->text.at,
                              value->text.length < LONG ? value->text.length : LONG - 1 };
    if (!value || value->kind == JSON_OBJECT || value->kind == JSON_ARRAY || chance(writer, 15)) {
        put_any_element(writer);
    } else if (chance(writer, 8)) {
        put(writer, "{\"exists\":true}");
    } else if (value->kind == JSON_STRING) {
        if (looks_like_address(text) && chance(writer, 50))
            put_cidr(writer);
        else if (chance(writer, 35))
            put_string(writer, text.at, text.length);
        else if (chance(writer, 75))
            put_text_condition(writer, text);
        else if (chance(writer, 50))
            put_anything_but(writer, text);
        else
            put_cidr(writer);
    } else if (value->kind == JSON_NUMBER) {
        if (chance(writer, 50))
            put_number(writer);
        else
            put_numeric(writer);
    } else {
        put(writer, value->kind == JSON_NULL   ? "null"
                    : value->kind == JSON_TRUE ? "true"
                                               : "false");
    }
}

static const struct json *pick_child(struct writer *writer, const struct json *value)
{
    size_t count = 0;
    for (const struct json *child = value->first; child; child = child->next)
        count++;
    if (count == 0)
        return NULL;
    const struct json *child = value->first;
    for (size_t i = below(writer, count); i > 0; i--)
        child = child->next;
    return child;
}

/* Into arrays, down to a value that is none. */
static const struct json *pick_inside(struct writer *writer, const struct json *value)
{
    while (value && value->kind == JSON_ARRAY)
        value = pick_child(writer, value);
    return value;
}

static void put_level(struct writer *writer, const struct json *value, unsigned depth);

/* A name and what it leads to, at the level of `value`. */
static void put_member(struct writer *writer, const struct json *value, unsigned depth)
{
    value = pick_inside(writer, value);
    const struct json *child =
        value && value->kind == JSON_OBJECT ? pick_child(writer, value) : NULL;
    if (chance(writer, 8))
        child = NULL;
    if (child)
        put_points(writer, child->name.at, child->name.length);
    else
        put(writer, chance(writer, 70) ? names[below(writer, 3)] : PICK(writer, names));
    const struct json *inside = pick_inside(writer, child);
    if (inside && inside->kind == JSON_OBJECT && inside->first && depth < 6 &&
        writer->out->length < ENOUGH && chance(writer, 92)) {
        if (chance(writer, 30)) {
            put(writer, ".");
            put_member(writer, chance(writer, 50) ? inside : child, depth + 1);
            return;
        }
        put(writer, "\":");
        put_level(writer, chance(writer, 70) ? inside : child, depth + 1);
        return;
    }
    put(writer, "\":[");
    for (size_t i = 0, count = chance(writer, 70) ? 1 : 2; i < count; i++) {
        put(writer, i ? "," : "");
        put_space(writer);
        put_element(writer, inside);
    }
    put(writer, "]");
}

static void put_or(struct writer *writer, const struct json *value, unsigned depth)
{
    size_t branches = 2 + below(writer, 3);
    put(writer, chance(writer, 95) ? "\"$or\":[" : "\"\\u0024or\":[");
    for (size_t i = 0; i < branches; i++) {
        put(writer, i ? "," : "");
        put_level(writer, value, depth + 1);
    }
    put(writer, "]");
}

static void put_level(struct writer *writer, const struct json *value, unsigned depth)
{
    size_t members = chance(writer, 50) ? 1 : chance(writer, 70) ? 2 : 3;
    put(writer, "{");
    for (size_t i = 0; i < members; i++) {
        put(writer, i ? "," : "");
        put_space(writer);
        if (depth < 4 && writer->out->length < ENOUGH && chance(writer, 10)) {
            put_or(writer, value, depth);
        } else {
            put(writer, "\"");
            put_member(writer, value, depth);
        }
    }
    put(writer, "}");
}

void generate_pattern(struct rng *rng, const struct generated *event, struct generated *pattern)
{
    struct writer writer = { rng, pattern };
    struct arena arena = { NULL };
    size_t offset;
    const struct json *root = json_read(&arena, event->text, event->length, &offset);
    pattern->length = 0;
    put_space(&writer);
    put_level(&writer, root, 0);
    arena_free(&arena);
}

void generate_damage(struct rng *rng, struct generated *text)
{
    static const char *const inserts[] = {
        "{",
        "}",
        "[",
        "]",
        "\"",
        ",",
        ":",
        "\\",
        "0",
        "-",
        "e",
        "nul",
        "\\u1",
        "\x01",
        "\n",
        "\x80",
        "\xc3",
        "\xc0\xaf",
        "x",
        ".",
        "\xff",
        "+",
        "\x7f",
        "\xed\xa0\x80",
        "\xf4\x90\x80\x80",
        "\"\"",
        " ",
    };
    for (uint64_t n = 1 + rng_below(rng, 2); n > 0 && text->length > 0; n--) {
        size_t at = (size_t)rng_below(rng, text->length);
        const char *insert = inserts[rng_below(rng, sizeof inserts / sizeof *inserts)];
        uint64_t kind = rng_below(rng, 8);
        if (kind == 0) {
            text->length = at;
            continue;
        }
        size_t length = kind < 5 ? strlen(insert) : 0, removed = kind > 3;
        memmove(text->text + at + length, text->text + at + removed, text->length - at - removed);
        memcpy(text->text + at, insert, length);
        text->length += length - removed;
    }
}
