/* reference_check.c - which trees are patterns: every error of the page, in its order. */
#include "reference_operators.h"
#include "reference_pattern.h"

static const char *const operators[] = {
    "prefix",       "suffix",   "numeric", "exists",
    "anything-but", "wildcard", "cidr",    "equals-ignore-case"
};

static bool is_operator(struct text name)
{
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (text_is(name, operators[i]))
            return true;
    return false;
}

bool reference_is_or(const struct json *member)
{
    if (!text_is(member->name, "$or") || member->kind != JSON_ARRAY || !member->first ||
        !member->first->next)
        return false;
    for (const struct json *branch = member->first; branch; branch = branch->next) {
        if (branch->kind != JSON_OBJECT)
            return false;
        for (const struct json *inside = branch->first; inside; inside = inside->next)
            if (is_operator(inside->name))
                return false;
    }
    return true;
}

bool reference_is_overruled(const struct json *member)
{
    for (const struct json *later = member->next; later; later = later->next)
        if (text_equal(later->name, member->name))
            return true;
    return false;
}

static bool refuse(size_t *offset, size_t at)
{
    *offset = at;
    return false;
}

static bool check_number(const struct json *number, size_t *offset)
{
    if (number->kind != JSON_NUMBER || number->number.overflows)
        return refuse(offset, number->offset);
    return true;
}

/* An object with exactly one name. */
static bool check_single(const struct json *object, size_t *offset)
{
    if (!object->first)
        return refuse(offset, object->offset);
    if (object->first->next)
        return refuse(offset, object->first->next->name_offset);
    return true;
}

static bool check_wildcard(const struct json *wildcard, size_t *offset)
{
    if (wildcard->kind != JSON_STRING || !wildcard_is_valid(wildcard->text))
        return refuse(offset, wildcard->offset);
    return true;
}

static bool check_string(const struct json *string, size_t *offset)
{
    return string->kind == JSON_STRING || refuse(offset, string->offset);
}

static bool check_part(const struct json *part, size_t *offset)
{
    if (part->kind != JSON_OBJECT)
        return check_string(part, offset);
    if (!check_single(part, offset))
        return false;
    if (!text_is(part->first->name, "equals-ignore-case"))
        return refuse(offset, part->first->name_offset);
    return check_string(part->first, offset);
}

static bool check_excluded_string(struct text name, const struct json *string, size_t *offset)
{
    if (text_is(name, "wildcard"))
        return check_wildcard(string, offset);
    bool part = text_is(name, "prefix") || text_is(name, "suffix");
    if (string->kind != JSON_STRING || (part && string->text.length == 0))
        return refuse(offset, string->offset);
    return true;
}

static bool check_excluded_operator(const struct json *object, size_t *offset)
{
    if (!check_single(object, offset))
        return false;
    const struct json *argument = object->first;
    struct text name = argument->name;
    if (!text_is(name, "prefix") && !text_is(name, "suffix") && !text_is(name, "wildcard") &&
        !text_is(name, "equals-ignore-case"))
        return refuse(offset, argument->name_offset);
    if (argument->kind != JSON_ARRAY)
        return check_excluded_string(name, argument, offset);
    if (!argument->first)
        return refuse(offset, argument->offset);
    for (const struct json *one = argument->first; one; one = one->next)
        if (!check_excluded_string(name, one, offset))
            return false;
    return true;
}

static bool check_anything_but(const struct json *argument, size_t *offset)
{
    if (argument->kind == JSON_OBJECT)
        return check_excluded_operator(argument, offset);
    if (argument->kind == JSON_STRING)
        return true;
    if (argument->kind != JSON_ARRAY)
        return check_number(argument, offset);
    if (!argument->first)
        return refuse(offset, argument->offset);
    for (const struct json *one = argument->first; one; one = one->next)
        if (one->kind != argument->first->kind ||
            (one->kind != JSON_STRING && !check_number(one, offset)))
            return refuse(offset, one->offset);
    return true;
}

/* Whether it can stand at this place of a range. */
static bool is_comparison(const struct json *sign, size_t at)
{
    if (sign->kind != JSON_STRING)
        return false;
    return text_is(sign->text, "<") || text_is(sign->text, "<=") || text_is(sign->text, ">") ||
           text_is(sign->text, ">=") || (at == 0 && text_is(sign->text, "="));
}

/* Whether a number can lie between two bounds. */
static bool is_range(const struct json *one, const struct json *other)
{
    if (one->text.at[0] == '>')
        return is_range(other, one);
    int width = decimal_compare(&one->next->number, &other->next->number);
    return other->text.at[0] == '>' &&
           (width > 0 || (width == 0 && text_is(one->text, "<=") && text_is(other->text, ">=")));
}

static bool check_numeric(const struct json *range, size_t *offset)
{
    if (range->kind != JSON_ARRAY || !range->first)
        return refuse(offset, range->offset);
    size_t count = 0;
    for (const struct json *one = range->first; one; one = one->next, count++) {
        if (count % 2 == 1 && !check_number(one, offset))
            return false;
        if (count % 2 == 0 && !is_comparison(one, count))
            return refuse(offset, one->offset);
    }
    const struct json *second = range->first->next ? range->first->next->next : NULL;
    if (count != 2 && (count != 4 || text_is(range->first->text, "=")))
        return refuse(offset, range->offset);
    if (second &&
        ((range->first->text.at[0] == second->text.at[0]) || !is_range(range->first, second)))
        return refuse(offset, range->offset);
    return true;
}

static bool check_operator(const struct json *object, size_t *offset)
{
    if (!object->first)
        return refuse(offset, object->offset);
    if (!is_operator(object->first->name))
        return refuse(offset, object->first->name_offset);
    if (!check_single(object, offset))
        return false;
    const struct json *argument = object->first;
    struct text name = argument->name;
    if (text_is(name, "prefix") || text_is(name, "suffix"))
        return check_part(argument, offset);
    if (text_is(name, "anything-but"))
        return check_anything_but(argument, offset);
    if (text_is(name, "numeric"))
        return check_numeric(argument, offset);
    if (text_is(name, "wildcard"))
        return check_wildcard(argument, offset);
    if (text_is(name, "equals-ignore-case"))
        return check_string(argument, offset);
    if (text_is(name, "cidr"))
        return check_string(argument, offset) &&
               (cidr_is_valid(argument->text) || refuse(offset, argument->offset));
    return argument->kind == JSON_TRUE || argument->kind == JSON_FALSE ||
           refuse(offset, argument->offset);
}

static bool check_leaf(const struct json *leaf, size_t *offset)
{
    if (!leaf->first)
        return refuse(offset, leaf->offset);
    for (const struct json *element = leaf->first; element; element = element->next) {
        bool well = element->kind == JSON_OBJECT   ? check_operator(element, offset)
                    : element->kind == JSON_NUMBER ? check_number(element, offset)
                    : element->kind == JSON_ARRAY  ? refuse(offset, element->offset)
                                                   : true;
        if (!well)
            return false;
    }
    return true;
}

static bool check_object(const struct json *object, size_t *offset)
{
    if (!object->first)
        return refuse(offset, object->offset);
    for (const struct json *member = object->first; member; member = member->next) {
        bool well = true;
        if (reference_is_or(member)) {
            for (const struct json *branch = member->first; branch && well; branch = branch->next)
                well = check_object(branch, offset);
        } else if (member->kind == JSON_ARRAY) {
            well = check_leaf(member, offset);
        } else if (member->kind == JSON_OBJECT) {
            well = check_object(member, offset);
        } else {
            well = refuse(offset, member->offset);
        }
        if (!well)
            return false;
    }
    return true;
}

static const size_t too_many = REFERENCE_COMBINATIONS_MAX + 1;

/* The combinations of an object, or `too_many`. */
static size_t count(const struct json *object)
{
    size_t product = 1;
    for (const struct json *member = object->first; member; member = member->next) {
        if (reference_is_overruled(member))
            continue;
        size_t factor = member->kind == JSON_OBJECT ? count(member) : 1;
        if (reference_is_or(member)) {
            factor = 0;
            for (const struct json *branch = member->first; branch; branch = branch->next)
                factor = factor < too_many ? factor + count(branch) : too_many;
        }
        product = product * factor < too_many ? product * factor : too_many;
    }
    return product;
}

bool reference_check(const struct json *root, size_t *offset)
{
    if (root->kind != JSON_OBJECT)
        return refuse(offset, root->offset);
    return check_object(root, offset) && (count(root) < too_many || refuse(offset, root->offset));
}
