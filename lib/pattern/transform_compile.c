/* transform_compile.c - InputPathsMap and InputTemplate taken apart.
 *
 * Whether a template that is JSON is valid, whatever its variables turn out to be, is asked of the scanner: of
 * a copy in which each <name> between quotes is as many letters, and each other one a number. */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "base/utf8.h"
#include "jsonpath.h"
#include "place.h"
#include "transform.h"

#define NAME(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

struct compiler {
    svl_transformer *transformer;
    struct json_scan scan;
    struct place place;
    svl_slice names[TRANSFORM_VARIABLES_MAX]; /* in the text that is compiled */
    size_t name_at[TRANSFORM_VARIABLES_MAX];
    struct json_text source; /* the template, as it is written */
    struct buffer text;      /* and decoded */
    struct buffer probe;     /* and as it is asked about */
    bool has_paths, has_template;
};

static int fail_in_json(struct compiler *c)
{
    return svl__place_fail(&c->place, SVL_E_PATTERN, c->scan.error_at, "%s", c->scan.error);
}

static int fail_here(struct compiler *c, const char *what)
{
    return svl__place_fail(&c->place, SVL_E_PATTERN, json_offset(&c->scan), "%s", what);
}

static bool is_name_character(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static bool is_variable_name(svl_slice name)
{
    const uint8_t *p = name.data;
    for (size_t i = 0; i < name.len; i++)
        if (!is_name_character(p[i]))
            return false;
    return name.len > 0 && name.len <= TRANSFORM_NAME_MAX;
}

static bool same(svl_slice a, svl_slice b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static int read_path(struct compiler *c)
{
    svl_transformer *t = c->transformer;
    enum json_token token = svl__json_next(&c->scan);
    if (token == JSON_ERROR)
        return fail_in_json(c);
    if (token != JSON_STRING)
        return fail_here(c, "a path is a string, such as \"$.detail.id\"");
    struct json_text text = c->scan.text;
    if (text.len > JSONPATH_BYTES_MAX)
        return fail_here(c, "the path is too long");
    uint8_t decoded[JSONPATH_BYTES_MAX];
    size_t len = svl__json_decode(&text, decoded, sizeof decoded), error_at;
    uint32_t at = (uint32_t)t->bytes.len;
    const char *error = svl__jsonpath_compile((svl_slice){ decoded, len }, &t->bytes, &error_at);
    if (error)
        return svl__place_fail(&c->place, SVL_E_PATTERN, json_offset(&c->scan),
                               "%s (character %zu of the path)", error, error_at + 1);
    if (t->bytes.failed)
        return SVL_E_NOMEM;
    t->paths[t->variable_count].at = at;
    t->paths[t->variable_count].len = (uint32_t)t->bytes.len - at;
    t->variable_count++;
    return SVL_OK;
}

static int read_variable(struct compiler *c)
{
    svl_transformer *t = c->transformer;
    svl_slice name = { c->scan.text.data, c->scan.text.len };
    size_t at = json_offset(&c->scan);
    if (!is_variable_name(name))
        return fail_here(c, "a variable's name is 1 to 256 letters, digits, '-' and '_'");
    for (uint32_t i = 0; i < t->variable_count; i++)
        if (same(c->names[i], name))
            return fail_here(c, "there is a variable of this name already");
    if (t->variable_count == TRANSFORM_VARIABLES_MAX)
        return svl__place_fail(&c->place, SVL_E_LIMIT, at, "at most %d variables",
                               TRANSFORM_VARIABLES_MAX);
    c->names[t->variable_count] = name;
    c->name_at[t->variable_count] = at;
    int rc = svl__place_enter(&c->place, name);
    if (rc == SVL_OK)
        rc = read_path(c);
    if (rc == SVL_OK)
        svl__place_leave(&c->place);
    return rc;
}

static int read_paths(struct compiler *c)
{
    enum json_token token = svl__json_next(&c->scan);
    if (token != JSON_ERROR && c->has_paths)
        return fail_here(c, "InputPathsMap is given twice");
    c->has_paths = true;
    if (token != JSON_ERROR && token != JSON_OBJECT)
        return fail_here(c, "InputPathsMap is an object of names and paths");
    while (token != JSON_ERROR && (token = svl__json_next(&c->scan)) == JSON_NAME) {
        int rc = read_variable(c);
        if (rc != SVL_OK)
            return rc;
    }
    return token == JSON_ERROR ? fail_in_json(c) : SVL_OK;
}

static int read_template(struct compiler *c)
{
    enum json_token token = svl__json_next(&c->scan);
    if (token == JSON_ERROR)
        return fail_in_json(c);
    if (c->has_template)
        return fail_here(c, "InputTemplate is given twice");
    if (token != JSON_STRING)
        return fail_here(c, "InputTemplate is a string; JSON in it is escaped");
    if (c->scan.text.len == 0)
        return fail_here(c, "InputTemplate is empty");
    c->has_template = true;
    c->source = c->scan.text;
    struct json_text rest = c->source;
    uint8_t *text = buffer_reserve(&c->text, rest.len);
    if (!text)
        return SVL_E_NOMEM;
    c->text.len = svl__json_decode(&rest, text, rest.len);
    if (!svl__utf8_valid(c->text.data, c->text.len))
        return fail_here(c, "InputTemplate has half of a surrogate pair");
    return SVL_OK;
}

static int read_member(struct compiler *c)
{
    static const svl_slice paths = NAME("InputPathsMap"), template = NAME("InputTemplate");
    svl_slice name = { c->scan.text.data, c->scan.text.len };
    int rc = svl__place_enter(&c->place, name);
    if (rc != SVL_OK)
        return rc;
    if (svl__json_equals(&c->scan.text, paths))
        rc = read_paths(c);
    else if (svl__json_equals(&c->scan.text, template))
        rc = read_template(c);
    else
        rc = fail_here(c, "a transformer has InputPathsMap and InputTemplate, and nothing else");
    if (rc == SVL_OK)
        svl__place_leave(&c->place);
    return rc;
}

static int read_document(struct compiler *c)
{
    enum json_token token = svl__json_next(&c->scan);
    if (token != JSON_ERROR && token != JSON_OBJECT)
        return fail_here(c, "a transformer is an object with an InputTemplate");
    while (token != JSON_ERROR && (token = svl__json_next(&c->scan)) == JSON_NAME) {
        int rc = read_member(c);
        if (rc != SVL_OK)
            return rc;
    }
    if (token != JSON_ERROR)
        token = svl__json_next(&c->scan);
    if (token == JSON_ERROR)
        return fail_in_json(c);
    return c->has_template ? SVL_OK : fail_here(c, "InputTemplate is missing");
}

/* Fails at a byte of the decoded template. */
static int fail_in_template(struct compiler *c, size_t at, const char *what)
{
    /* Decoded once more, up to there, `rest` begins at the place in the text. */
    struct json_text rest = c->source;
    svl__json_decode(&rest, c->text.data, at);
    return svl__place_fail(&c->place, SVL_E_PATTERN, (size_t)(rest.data - c->scan.start), "%s",
                           what);
}

/* The length of a <name> at the place, 0: it is none. */
static size_t placeholder_length(const uint8_t *p, size_t left)
{
    size_t n = 1;
    while (n < left && (is_name_character(p[n]) || p[n] == '.'))
        n++;
    return n > 1 && n < left && p[n] == '>' ? n + 1 : 0;
}

static bool find_variable(const struct compiler *c, svl_slice name, uint32_t *variable)
{
    static const struct {
        svl_slice name;
        enum reserved variable;
    } reserved[] = {
        { NAME("aws.events.event.json"), RESERVED_EVENT_JSON },
        { NAME("aws.events.event"), RESERVED_EVENT },
        { NAME("aws.events.event.ingestion-time"), RESERVED_INGESTION_TIME },
        { NAME("aws.events.rule-name"), RESERVED_RULE_NAME },
        { NAME("aws.events.rule-arn"), RESERVED_RULE_NAME },
    };
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (same(reserved[i].name, name)) {
            *variable = reserved[i].variable;
            return true;
        }
    for (uint32_t i = 0; i < c->transformer->variable_count; i++)
        if (same(c->names[i], name)) {
            *variable = i;
            return true;
        }
    return false;
}

static void add_part(struct compiler *c, struct part part)
{
    svl__buffer_append(&c->transformer->parts, &part, sizeof part);
}

/* The template's own text between two variables. */
static void add_literal(struct compiler *c, size_t from, size_t to)
{
    svl_transformer *t = c->transformer;
    if (from == to)
        return;
    add_part(c, (struct part){ PART_LITERAL, 0, (uint32_t)t->bytes.len, (uint32_t)(to - from) });
    svl__buffer_append(&t->bytes, c->text.data + from, to - from);
}

/* A <name> of `len` bytes. */
static int add_placeholder(struct compiler *c, size_t at, size_t len, enum part_form form)
{
    svl_slice name = { c->text.data + at + 1, len - 2 };
    uint32_t variable;
    if (!find_variable(c, name, &variable))
        return fail_in_template(c, at, "InputPathsMap has no variable of this name");
    c->transformer->used[variable] = true;
    add_part(c, (struct part){ form, variable, 0, 0 });
    uint8_t *p = c->probe.data + at;
    memset(p, form == PART_IN_STRING ? 'x' : '1', len);
    if (form == PART_VALUE) /* beside another value it must not become one number with it */
        p[0] = p[len - 1] = ' ';
    return SVL_OK;
}

static bool is_json(const struct buffer *text)
{
    static const char space[] = " \t\r\n";
    const uint8_t *p = text->data, *end = p + text->len;
    while (p < end && memchr(space, *p, sizeof space - 1))
        p++;
    if (p == end)
        return false;
    if (*p != '<')
        return *p == '{' || *p == '[' || *p == '"';
    size_t n = placeholder_length(p, (size_t)(end - p));
    for (p += n; n > 0 && p < end; p++)
        if (!memchr(space, *p, sizeof space - 1))
            return false;
    return n > 0;
}

static int take_apart(struct compiler *c)
{
    const uint8_t *p = c->text.data;
    size_t len = c->text.len, literal = 0, i = 0;
    bool json = c->transformer->body_kind == SVL_BODY_JSON, in_string = false;
    while (i < len) {
        size_t n = p[i] == '<' ? placeholder_length(p + i, len - i) : 0;
        if (n > 0) {
            enum part_form form = !json ? PART_TEXT : in_string ? PART_IN_STRING : PART_VALUE;
            add_literal(c, literal, i);
            int rc = add_placeholder(c, i, n, form);
            if (rc != SVL_OK)
                return rc;
            literal = i += n;
            continue;
        }
        if (json && p[i] == '"')
            in_string = !in_string;
        i += in_string && p[i] == '\\' && i + 1 < len ? 2 : 1;
    }
    add_literal(c, literal, len);
    return SVL_OK;
}

static int compile_template(struct compiler *c)
{
    static const svl_slice name = NAME("InputTemplate");
    svl_transformer *t = c->transformer;
    int rc = svl__place_enter(&c->place, name);
    if (rc != SVL_OK)
        return rc;
    t->body_kind = is_json(&c->text) ? SVL_BODY_JSON : SVL_BODY_TEXT;
    svl__buffer_append(&c->probe, c->text.data, c->text.len);
    rc = c->probe.failed ? SVL_E_NOMEM : take_apart(c);
    if (rc == SVL_OK && (t->bytes.failed || t->parts.failed))
        rc = SVL_E_NOMEM;
    if (rc != SVL_OK || t->body_kind == SVL_BODY_TEXT)
        return rc;
    struct json_scan s;
    svl__json_start(&s, c->probe.data, c->probe.len, 0);
    return svl__json_check(&s) ? SVL_OK : fail_in_template(c, s.error_at, s.error);
}

static void warn_of_unused(struct compiler *c)
{
    for (uint32_t i = 0; i < c->transformer->variable_count; i++)
        if (!c->transformer->used[i])
            svl__place_warn(&c->place, c->name_at[i], "the variable %.*s is not in the template",
                            (int)c->names[i].len, (const char *)c->names[i].data);
}

static int compile(struct compiler *c, const char *json, size_t len)
{
    if (len > TRANSFORM_BYTES_MAX)
        return svl__place_fail(&c->place, SVL_E_LIMIT, 0, "a transformer of %zu bytes; at most %u",
                               len, TRANSFORM_BYTES_MAX);
    svl__json_start(&c->scan, json, len, 0);
    int rc = read_document(c);
    if (rc == SVL_OK)
        rc = compile_template(c);
    if (rc == SVL_OK)
        warn_of_unused(c);
    return rc;
}

int svl_transformer_compile(const char *json, size_t len, svl_transformer **out,
                            svl_pattern_error *where)
{
    if (out)
        *out = NULL;
    if (!out || (!json && len > 0))
        return svl__fail(SVL_E_INVALID, "a transformer's text and `out` must be given");
    int rc = svl__place_check(where);
    if (rc != SVL_OK)
        return rc;
    struct compiler c = { .transformer = svl__calloc(1, sizeof *c.transformer) };
    svl__place_init(&c.place);
    if (c.transformer)
        atomic_init(&c.transformer->references, 1);
    rc = c.transformer ? compile(&c, json, len) : SVL_E_NOMEM;
    rc = svl__place_report(&c.place, rc, where);
    if (rc == SVL_OK)
        *out = c.transformer;
    else
        svl_transformer_destroy(c.transformer);
    svl__place_free(&c.place);
    svl__buffer_free(&c.text);
    svl__buffer_free(&c.probe);
    return rc;
}
