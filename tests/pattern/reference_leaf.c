/* reference_leaf.c - one value against a leaf array: each row of the page's table is a function. */
#include "reference_operators.h"
#include "reference_pattern.h"

static bool number_equals(const struct json *number, const struct json *value)
{
    return value->kind == JSON_NUMBER && !value->number.overflows &&
           decimal_compare(&number->number, &value->number) == 0;
}

typedef bool text_fn(struct text text, struct text part, same_fn *same);

/* {"prefix": "a"} and {"prefix": {"equals-ignore-case": "a"}}, and the same of suffix. */
static bool part_matches(const struct json *part, const struct json *value, text_fn *has)
{
    if (value->kind != JSON_STRING)
        return false;
    return part->kind == JSON_OBJECT ? has(value->text, part->first->text, same_ignoring_case)
                                     : has(value->text, part->text, same_exactly);
}

/* The operators that anything-but takes too, of one string. */
static bool string_operator_matches(struct text name, const struct json *argument,
                                    const struct json *value)
{
    if (text_is(name, "prefix"))
        return part_matches(argument, value, text_has_prefix);
    if (text_is(name, "suffix"))
        return part_matches(argument, value, text_has_suffix);
    if (value->kind != JSON_STRING)
        return false;
    if (text_is(name, "wildcard"))
        return wildcard_matches(argument->text, value->text);
    return text_same(argument->text, value->text, same_ignoring_case);
}

static bool is_literal(const struct json *literal, const struct json *value)
{
    if (literal->kind == JSON_NUMBER)
        return number_equals(literal, value);
    return literal->kind == value->kind &&
           (literal->kind != JSON_STRING || text_same(literal->text, value->text, same_exactly));
}

static bool is_none_of(const struct json *excluded, const struct json *value)
{
    const struct json *one = excluded;
    if (excluded->kind == JSON_OBJECT) {
        struct text name = excluded->first->name;
        one = excluded->first;
        if (one->kind != JSON_ARRAY)
            return !string_operator_matches(name, one, value);
        for (one = one->first; one; one = one->next)
            if (string_operator_matches(name, one, value))
                return false;
        return true;
    }
    if (excluded->kind != JSON_ARRAY)
        return !is_literal(excluded, value);
    for (one = excluded->first; one; one = one->next)
        if (is_literal(one, value))
            return false;
    return true;
}

static bool within(const struct json *sign, const struct json *bound, const struct json *value)
{
    int order = decimal_compare(&value->number, &bound->number);
    if (text_is(sign->text, "<"))
        return order < 0;
    if (text_is(sign->text, "<="))
        return order <= 0;
    if (text_is(sign->text, ">"))
        return order > 0;
    if (text_is(sign->text, ">="))
        return order >= 0;
    return order == 0;
}

static bool numeric_matches(const struct json *range, const struct json *value)
{
    if (value->kind != JSON_NUMBER || value->number.overflows)
        return false;
    for (const struct json *sign = range->first; sign; sign = sign->next->next)
        if (!within(sign, sign->next, value))
            return false;
    return true;
}

static bool element_matches(const struct json *element, const struct json *value)
{
    if (element->kind != JSON_OBJECT)
        return is_literal(element, value);
    const struct json *argument = element->first;
    struct text name = argument->name;
    if (text_is(name, "exists"))
        return argument->kind == JSON_TRUE;
    if (text_is(name, "anything-but"))
        return is_none_of(argument, value);
    if (text_is(name, "numeric"))
        return numeric_matches(argument, value);
    if (text_is(name, "cidr"))
        return value->kind == JSON_STRING && cidr_contains(argument->text, value->text);
    return string_operator_matches(name, argument, value);
}

bool reference_leaf_matches(const struct json *leaf, const struct json *value)
{
    for (const struct json *element = leaf->first; element; element = element->next)
        if (element_matches(element, value))
            return true;
    return false;
}

bool reference_leaf_takes_absence(const struct json *leaf)
{
    for (const struct json *element = leaf->first; element; element = element->next)
        if (element->kind == JSON_OBJECT && text_is(element->first->name, "exists") &&
            element->first->kind == JSON_FALSE)
            return true;
    return false;
}
