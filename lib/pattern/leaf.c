/* leaf.c - what a field may be: the elements of a leaf array, literals and operators, as tests.
 *
 * A test's bytes are what a machine compares: strings decoded, folded or turned round, numbers as doubles with
 * their text, addresses masked. A wildcard that is only a text, or a text and a star at one end, becomes the
 * simpler test that it is. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/casefold.h"
#include "base/json_number.h"
#include "cidr.h"
#include "place.h"
#include "plan.h"
#include "wildcard.h"

struct leaf {
    struct plan *plan;
    struct json_scan *scan;
    struct place *place;
};

/* The tests that are being added: those of the field, or the members of an anything-but. */
struct target {
    struct buffer *list;
    bool is_inside; /* of an anything-but */
};

static int fail(struct leaf *l, const char *what)
{
    return svl__place_fail(l->place, SVL_E_PATTERN, json_offset(l->scan), "%s", what);
}

/* The token at hand is none that is wanted: bad JSON, or something else. */
static int fail_token(struct leaf *l, enum json_token token, const char *wanted)
{
    struct json_scan *s = l->scan;
    if (token == JSON_ERROR)
        return svl__place_fail(l->place, s->depth >= s->depth_max ? SVL_E_LIMIT : SVL_E_PATTERN,
                               s->error_at, "%s", s->error);
    return fail(l, wanted);
}

/* The end of an object with one operator. */
static int take_end(struct leaf *l)
{
    enum json_token token = svl__json_next(l->scan);
    if (token == JSON_OBJECT_END)
        return SVL_OK;
    struct json_text name = l->scan->text;
    if (token == JSON_NAME && svl__place_enter(l->place, (svl_slice){ name.data, name.len }))
        return SVL_E_NOMEM;
    return fail_token(l, token, "an object here has exactly one operator: give each its own");
}

/* The name of the operator in an object, behind its JSON_OBJECT: decoded, and entered as a place. */
static int take_operator_name(struct leaf *l, uint8_t decoded[32], svl_slice *name,
                              const char *wanted)
{
    size_t object_at = json_offset(l->scan);
    enum json_token token = svl__json_next(l->scan);
    if (token == JSON_OBJECT_END)
        return svl__place_fail(l->place, SVL_E_PATTERN, object_at, "%s", wanted);
    if (token != JSON_NAME)
        return fail_token(l, token, wanted);
    struct json_text rest = l->scan->text;
    int rc = svl__place_enter(l->place, (svl_slice){ rest.data, rest.len });
    *name = (svl_slice){ decoded, svl__json_decode(&rest, decoded, 32) };
    if (rest.len > 0) /* longer than all that there are */
        name->len = 0;
    return rc;
}

static bool is_named(svl_slice name, const char *text)
{
    return name.len == strlen(text) && memcmp(name.data, text, name.len) == 0;
}

/* A test whose bytes are the last `len` of the plan's. */
static int add_test(struct leaf *l, struct target to, uint32_t kind, uint32_t len)
{
    struct plan_test *test = plan_add(to.list, sizeof *test);
    if (!test)
        return SVL_E_NOMEM;
    *test = (struct plan_test){ .kind = kind,
                                .bytes_at = (uint32_t)l->plan->bytes.len - len,
                                .bytes_len = len };
    return SVL_OK;
}

static void turn_round(uint8_t *bytes, uint32_t len)
{
    for (uint32_t i = 0; i < len / 2; i++) {
        uint8_t byte = bytes[i];
        bytes[i] = bytes[len - 1 - i];
        bytes[len - 1 - i] = byte;
    }
}

/* Decodes the string at hand to the end of the plan's bytes; NULL without memory. Not yet counted in. */
static uint8_t *decode(struct leaf *l, uint32_t *len)
{
    struct json_text text = l->scan->text;
    /* Space to fold it into, behind. */
    uint8_t *out = buffer_reserve(&l->plan->bytes, text.len + CASEFOLD_BYTES_MAX(text.len));
    if (out)
        *len = (uint32_t)svl__json_decode(&text, out, text.len);
    return out;
}

static bool is_folded(uint32_t kind)
{
    return kind == CONDITION_FOLDED || kind == CONDITION_FOLDED_PREFIX ||
           kind == CONDITION_FOLDED_SUFFIX;
}

static bool is_backwards(uint32_t kind)
{
    return kind == CONDITION_SUFFIX || kind == CONDITION_FOLDED_SUFFIX;
}

static int add_bytes(struct leaf *l, struct target to, uint32_t kind, uint8_t *bytes, uint32_t len)
{
    if (is_backwards(kind))
        turn_round(bytes, len);
    l->plan->bytes.len += len;
    return add_test(l, to, kind, len);
}

/* The string at hand, as it is or for prefixes, suffixes and their like. */
static int add_string(struct leaf *l, struct target to, uint32_t kind)
{
    uint32_t len;
    uint8_t *bytes = decode(l, &len);
    if (!bytes)
        return SVL_E_NOMEM;
    if (to.is_inside && len == 0 && (kind == CONDITION_PREFIX || kind == CONDITION_SUFFIX))
        return fail(l, "every text begins and ends with \"\": nothing would match");
    if (is_folded(kind)) {
        uint8_t *folded = bytes + len;
        len = (uint32_t)svl__casefold_text(bytes, len, folded);
        memmove(bytes, folded, len);
    }
    return add_bytes(l, to, kind, bytes, len);
}

static int add_wildcard(struct leaf *l, struct target to)
{
    uint32_t len, stars;
    const char *why;
    uint8_t *bytes = decode(l, &len);
    if (!bytes)
        return SVL_E_NOMEM;
    uint8_t *compiled = bytes + len;
    int64_t n = svl__wildcard_compile((svl_slice){ bytes, len }, compiled, &stars, &why);
    if (n < 0)
        return fail(l, why);
    len = (uint32_t)n;
    memmove(bytes, compiled, len);
    uint32_t kind = CONDITION_WILDCARD;
    if (stars == 0) {
        kind = CONDITION_STRING;
    } else if (stars == 1 && bytes[len - 1] == WILDCARD_STAR) {
        kind = CONDITION_PREFIX;
        len--;
    } else if (stars == 1 && bytes[0] == WILDCARD_STAR) {
        kind = CONDITION_SUFFIX;
        memmove(bytes, bytes + 1, --len);
    }
    return add_bytes(l, to, kind, bytes, len);
}

static int add_number(struct leaf *l, struct target to)
{
    struct json_text text = l->scan->text;
    struct json_number number;
    if (!svl__json_number((svl_slice){ text.data, text.len }, &number))
        return fail(l, "a number beyond the range of IEEE double precision");
    svl__buffer_append(&l->plan->bytes, &number.value, sizeof number.value);
    svl__buffer_append(&l->plan->bytes, text.data, text.len);
    if (l->plan->bytes.failed)
        return SVL_E_NOMEM;
    return add_test(l, to, CONDITION_NUMBER, (uint32_t)(sizeof number.value + text.len));
}

static int add_cidr(struct leaf *l, struct target to)
{
    struct address address;
    uint32_t len, mask_bits;
    uint8_t *bytes = decode(l, &len);
    if (!bytes)
        return SVL_E_NOMEM;
    if (!svl__cidr_read((svl_slice){ bytes, len }, &address, &mask_bits))
        return fail(l, "an IPv4 or IPv6 address, with a mask or without: \"10.0.0.0/8\", "
                       "\"2001:db8::/32\"");
    uint32_t size = address.bits / 8;
    uint8_t mask = (uint8_t)mask_bits;
    svl__buffer_append(&l->plan->bytes, address.bytes, size);
    svl__buffer_append(&l->plan->bytes, &mask, 1);
    if (l->plan->bytes.failed)
        return SVL_E_NOMEM;
    return add_test(l, to, size == 4 ? CONDITION_CIDR4 : CONDITION_CIDR6, size + 1);
}

/* A comparison of a "numeric" and its number. */
struct bound {
    svl_slice text;
    double value;
    bool is_strict, is_low, is_equal;
};

struct bounds {
    struct bound given[2];
    uint32_t count;
};

/* A comparison: the token at hand. */
static int take_comparison(struct leaf *l, enum json_token token, struct bounds *bounds)
{
    uint8_t op[3];
    if (token != JSON_STRING)
        return fail_token(l, token,
                          "a comparison is expected here: \"<\", \"<=\", \">\", \">=\", \"=\"");
    struct json_text rest = l->scan->text;
    size_t len = svl__json_decode(&rest, op, sizeof op);
    bool is_equal = len == 1 && op[0] == '=';
    if (rest.len > 0 || len == 0 || len > 2 || (len == 2 && op[1] != '=') ||
        (op[0] != '<' && op[0] != '>' && !is_equal))
        return fail(l, "a comparison is one of \"<\", \"<=\", \">\", \">=\", \"=\"");
    if (is_equal && bounds->count > 0)
        return fail(l, "\"=\" stands alone");
    bounds->given[bounds->count] =
        (struct bound){ .is_strict = len == 1, .is_low = op[0] == '>', .is_equal = is_equal };
    return SVL_OK;
}

static int take_bound(struct leaf *l, enum json_token token, struct bound *bound)
{
    struct json_number number;
    if (token != JSON_NUMBER)
        return fail_token(l, token, "a number is expected behind the comparison");
    bound->text = (svl_slice){ l->scan->text.data, l->scan->text.len };
    if (!svl__json_number(bound->text, &number))
        return fail(l, "a number beyond the range of IEEE double precision");
    bound->value = number.value;
    return SVL_OK;
}

/* Comparisons and numbers, in turn; at most two of each. */
static int take_bounds(struct leaf *l, struct bounds *bounds, const char *wanted)
{
    size_t list_at = json_offset(l->scan);
    enum json_token token;
    uint64_t i = 0;
    for (; (token = svl__json_next(l->scan)) != JSON_ARRAY_END; i++) {
        if (bounds->count == 2)
            return token == JSON_ERROR
                       ? fail_token(l, token, wanted)
                       : svl__place_fail(l->place, SVL_E_PATTERN, list_at, "%s", wanted);
        int rc = svl__place_enter_index(l->place, i);
        if (rc == SVL_OK)
            rc = i % 2 == 0 ? take_comparison(l, token, bounds)
                            : take_bound(l, token, &bounds->given[bounds->count]);
        if (rc != SVL_OK)
            return rc;
        bounds->count += i % 2;
        svl__place_leave(l->place);
    }
    return i == 0 || i % 2 == 1 ? svl__place_fail(l->place, SVL_E_PATTERN, list_at, "%s", wanted)
                                : SVL_OK;
}

/* NULL: that side is open. */
static int add_range(struct leaf *l, struct target to, const struct bound *low,
                     const struct bound *high)
{
    static const struct bound open = { .text = { "", 0 } };
    const struct bound *from = low ? low : &open, *until = high ? high : &open;
    struct range_bytes range = { .low = low ? low->value : -DBL_MAX,
                                 .high = high ? high->value : DBL_MAX,
                                 .low_len = (uint32_t)from->text.len,
                                 .high_len = (uint32_t)until->text.len,
                                 .low_strict = from->is_strict,
                                 .high_strict = until->is_strict };
    uint32_t len = (uint32_t)sizeof range + range.low_len + range.high_len;
    svl__buffer_append(&l->plan->bytes, &range, sizeof range);
    svl__buffer_append(&l->plan->bytes, from->text.data, from->text.len);
    svl__buffer_append(&l->plan->bytes, until->text.data, until->text.len);
    return l->plan->bytes.failed ? SVL_E_NOMEM : add_test(l, to, CONDITION_RANGE, len);
}

static int add_equal(struct leaf *l, struct target to, const struct bound *bound)
{
    svl__buffer_append(&l->plan->bytes, &bound->value, sizeof bound->value);
    svl__buffer_append(&l->plan->bytes, bound->text.data, bound->text.len);
    if (l->plan->bytes.failed)
        return SVL_E_NOMEM;
    return add_test(l, to, CONDITION_NUMBER, (uint32_t)(sizeof bound->value + bound->text.len));
}

static int add_numeric(struct leaf *l, struct target to)
{
    static const char wanted[] = "\"numeric\" is a list of one or two comparisons, each with its "
                                 "number, and of \"=\" alone: [\">\", 0, \"<=\", 5]";
    struct bounds b = { .count = 0 };
    size_t list_at = json_offset(l->scan);
    int rc = take_bounds(l, &b, wanted);
    if (rc != SVL_OK)
        return rc;
    const struct bound *first = &b.given[0], *second = &b.given[1];
    if (b.count == 1 && first->is_equal)
        return add_equal(l, to, first);
    if (b.count == 1)
        return add_range(l, to, first->is_low ? first : NULL, first->is_low ? NULL : first);
    if (first->is_equal)
        return svl__place_fail(l->place, SVL_E_PATTERN, list_at, "\"=\" stands alone");
    if (first->is_low == second->is_low)
        return svl__place_fail(l->place, SVL_E_PATTERN, list_at,
                               "two bounds are one lower (\">\" or \">=\") and one upper (\"<\" or "
                               "\"<=\")");
    const struct bound *low = first->is_low ? first : second;
    const struct bound *high = first->is_low ? second : first;
    int order = svl__json_number_compare(low->text, high->text);
    if (order > 0 || (order == 0 && (low->is_strict || high->is_strict)))
        return svl__place_fail(
            l->place, SVL_E_PATTERN, list_at,
            "no number lies in this range: its lower bound is not below its upper one");
    return add_range(l, to, low, high);
}

/* prefix or suffix: a string, or one in {"equals-ignore-case": }. */
static int add_edge(struct leaf *l, struct target to, enum json_token token, uint32_t kind,
                    uint32_t folded_kind)
{
    static const char wanted[] = "a string is expected here, or {\"equals-ignore-case\": \"text\"}";
    uint8_t decoded[32];
    svl_slice name;
    if (token == JSON_STRING)
        return add_string(l, to, kind);
    if (token != JSON_OBJECT)
        return fail_token(l, token, wanted);
    int rc = take_operator_name(l, decoded, &name, wanted);
    if (rc != SVL_OK)
        return rc;
    if (!is_named(name, "equals-ignore-case"))
        return fail(l, wanted);
    token = svl__json_next(l->scan);
    if (token != JSON_STRING)
        return fail_token(l, token, "a string is expected here");
    rc = add_string(l, to, folded_kind);
    if (rc != SVL_OK)
        return rc;
    svl__place_leave(l->place);
    return take_end(l);
}

static int add_excluded_string(struct leaf *l, struct target to, uint32_t kind)
{
    return kind == CONDITION_WILDCARD ? add_wildcard(l, to) : add_string(l, to, kind);
}

/* What anything-but excludes, below its operator: a string, or a list of strings. */
static int add_strings(struct leaf *l, struct target to, enum json_token token, uint32_t kind)
{
    static const char wanted[] = "a string or a list of strings is expected here";
    size_t list_at = json_offset(l->scan);
    uint64_t n = 0;
    if (token == JSON_STRING)
        return add_excluded_string(l, to, kind);
    if (token != JSON_ARRAY)
        return fail_token(l, token, wanted);
    for (; (token = svl__json_next(l->scan)) != JSON_ARRAY_END; n++) {
        int rc = svl__place_enter_index(l->place, n);
        if (rc == SVL_OK)
            rc = token == JSON_STRING ? add_excluded_string(l, to, kind)
                                      : fail_token(l, token, wanted);
        if (rc != SVL_OK)
            return rc;
        svl__place_leave(l->place);
    }
    return n > 0 ? SVL_OK
                 : svl__place_fail(l->place, SVL_E_PATTERN, list_at,
                                   "an empty list: name at least one string");
}

/* anything-but with a list: all strings or all numbers. */
static int add_excluded_list(struct leaf *l, struct target to)
{
    size_t list_at = json_offset(l->scan);
    enum json_token token = svl__json_next(l->scan), first = token;
    uint64_t n = 0;
    for (; token != JSON_ARRAY_END; n++, token = svl__json_next(l->scan)) {
        int rc = svl__place_enter_index(l->place, n);
        if (rc != SVL_OK)
            return rc;
        if (token != JSON_STRING && token != JSON_NUMBER)
            return fail_token(l, token, "\"anything-but\" takes strings or numbers");
        if (token != first)
            return fail(l, "\"anything-but\" takes all strings or all numbers, not both");
        rc = token == JSON_STRING ? add_string(l, to, CONDITION_STRING) : add_number(l, to);
        if (rc != SVL_OK)
            return rc;
        svl__place_leave(l->place);
    }
    return n > 0 ? SVL_OK
                 : svl__place_fail(l->place, SVL_E_PATTERN, list_at,
                                   "an empty list: name at least one value");
}

/* anything-but with an operator inside. */
static int add_excluded_operator(struct leaf *l, struct target to)
{
    static const char wanted[] = "\"anything-but\" takes one of \"prefix\", \"suffix\", "
                                 "\"equals-ignore-case\", \"wildcard\" inside";
    static const struct {
        const char *name;
        uint32_t kind;
    } operators[] = { { "prefix", CONDITION_PREFIX },
                      { "suffix", CONDITION_SUFFIX },
                      { "equals-ignore-case", CONDITION_FOLDED },
                      { "wildcard", CONDITION_WILDCARD } };
    uint8_t decoded[32];
    svl_slice name;
    int rc = take_operator_name(l, decoded, &name, wanted);
    if (rc != SVL_OK)
        return rc;
    size_t i = 0, n = sizeof operators / sizeof operators[0];
    while (i < n && !is_named(name, operators[i].name))
        i++;
    if (i == n)
        return fail(l, wanted);
    rc = add_strings(l, to, svl__json_next(l->scan), operators[i].kind);
    if (rc != SVL_OK)
        return rc;
    svl__place_leave(l->place);
    return take_end(l);
}

static int add_anything_but(struct leaf *l, struct target to, enum json_token token)
{
    struct target inside = { &l->plan->members, true };
    uint32_t first = plan_member_count(l->plan);
    int rc;
    switch (token) {
    case JSON_STRING:
        rc = add_string(l, inside, CONDITION_STRING);
        break;
    case JSON_NUMBER:
        rc = add_number(l, inside);
        break;
    case JSON_ARRAY:
        rc = add_excluded_list(l, inside);
        break;
    case JSON_OBJECT:
        rc = add_excluded_operator(l, inside);
        break;
    default:
        rc = fail_token(l, token,
                        "\"anything-but\" takes a string, a number, a list of them, or an object "
                        "with \"prefix\", \"suffix\", \"equals-ignore-case\" or \"wildcard\"");
    }
    if (rc == SVL_OK)
        rc = add_test(l, to, CONDITION_NOT, 0);
    if (rc != SVL_OK)
        return rc;
    struct plan_test *test =
        (struct plan_test *)(void *)(to.list->data + to.list->len - sizeof *test);
    test->first = first;
    test->count = plan_member_count(l->plan) - first;
    return SVL_OK;
}

/* The operator's value: its first token is next. */
static int add_operator(struct leaf *l, struct target to, svl_slice name)
{
    enum json_token token = svl__json_next(l->scan);
    if (is_named(name, "prefix"))
        return add_edge(l, to, token, CONDITION_PREFIX, CONDITION_FOLDED_PREFIX);
    if (is_named(name, "suffix"))
        return add_edge(l, to, token, CONDITION_SUFFIX, CONDITION_FOLDED_SUFFIX);
    if (is_named(name, "anything-but"))
        return add_anything_but(l, to, token);
    if (is_named(name, "numeric"))
        return token == JSON_ARRAY ? add_numeric(l, to)
                                   : fail_token(l, token, "\"numeric\" is a list: [\">=\", 5]");
    if (is_named(name, "exists")) {
        if (token != JSON_TRUE && token != JSON_FALSE)
            return fail_token(l, token, "\"exists\" is true or false");
        return add_test(l, to, token == JSON_TRUE ? CONDITION_EXISTS : CONDITION_ABSENT, 0);
    }
    if (token != JSON_STRING)
        return fail_token(l, token, "a string is expected here");
    if (is_named(name, "cidr"))
        return add_cidr(l, to);
    return is_named(name, "wildcard") ? add_wildcard(l, to) : add_string(l, to, CONDITION_FOLDED);
}

/* An operator object, behind its JSON_OBJECT. */
static int take_operator(struct leaf *l, struct target to)
{
    uint8_t decoded[32];
    svl_slice name;
    int rc = take_operator_name(l, decoded, &name,
                                "an object here has exactly one operator, as {\"prefix\": \"a\"}");
    if (rc != SVL_OK)
        return rc;
    if (!svl__is_operator(name))
        return fail(l,
                    "an unknown operator: there are prefix, suffix, equals-ignore-case, wildcard, "
                    "anything-but, numeric, cidr and exists");
    rc = add_operator(l, to, name);
    if (rc != SVL_OK)
        return rc;
    svl__place_leave(l->place);
    return take_end(l);
}

static int take_element(struct leaf *l, struct target to, enum json_token token)
{
    switch (token) {
    case JSON_STRING:
        return add_string(l, to, CONDITION_STRING);
    case JSON_NUMBER:
        return add_number(l, to);
    case JSON_TRUE:
        return add_test(l, to, CONDITION_TRUE, 0);
    case JSON_FALSE:
        return add_test(l, to, CONDITION_FALSE, 0);
    case JSON_NULL:
        return add_test(l, to, CONDITION_NULL, 0);
    case JSON_OBJECT:
        return take_operator(l, to);
    default:
        return fail_token(l, token, "an array in an array of values: list the values themselves");
    }
}

int svl__plan_leaf(struct plan *plan, struct json_scan *scan, uint32_t level, struct place *place)
{
    struct leaf l = { plan, scan, place };
    struct target to = { &plan->tests, false };
    uint32_t first = plan_test_count(plan);
    size_t leaf_at = json_offset(scan);
    enum json_token token;
    for (uint64_t i = 0; (token = svl__json_next(scan)) != JSON_ARRAY_END; i++) {
        size_t element_at = json_offset(scan);
        int rc = svl__place_enter_index(place, i);
        if (rc == SVL_OK)
            rc = take_element(&l, to, token);
        if (rc != SVL_OK)
            return rc;
        struct plan_test *test = plan_test(plan, plan_test_count(plan) - 1);
        test->text_at = element_at;
        test->text_len = (uint64_t)(scan->at - scan->start) - element_at;
        svl__place_leave(place);
    }
    if (plan_test_count(plan) == first)
        return svl__place_fail(place, SVL_E_PATTERN, leaf_at,
                               "an empty array: name at least one value");
    struct plan_field *field = plan_add(&plan->fields, sizeof *field);
    if (!field)
        return SVL_E_NOMEM;
    *field = (struct plan_field){
        .level = level, .first = first, .count = plan_test_count(plan) - first, .text_at = leaf_at
    };
    return SVL_OK;
}
