/* reference_json.c - the grammar of RFC 8259, a function a rule. */
#include "reference_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct arena_chunk {
    struct arena_chunk *next;
    max_align_t memory[];
};

void *arena_take(struct arena *arena, size_t size)
{
    struct arena_chunk *chunk = calloc(1, sizeof *chunk + size);
    if (!chunk)
        abort();
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    return chunk->memory;
}

void arena_free(struct arena *arena)
{
    for (struct arena_chunk *chunk = arena->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    arena->chunks = NULL;
}

bool text_equal(struct text a, struct text b)
{
    return a.length == b.length && memcmp(a.at, b.at, a.length * sizeof *a.at) == 0;
}

bool text_is(struct text text, const char *ascii)
{
    if (text.length != strlen(ascii))
        return false;
    for (size_t i = 0; i < text.length; i++)
        if (text.at[i] != (unsigned char)ascii[i])
            return false;
    return true;
}

int decimal_compare(const struct decimal *a, const struct decimal *b)
{
    int sign_a = a->digit_count == 0 ? 0 : a->negative ? -1 : 1;
    int sign_b = b->digit_count == 0 ? 0 : b->negative ? -1 : 1;
    if (sign_a != sign_b || sign_a == 0)
        return sign_a - sign_b;
    if (a->exponent != b->exponent)
        return a->exponent > b->exponent ? sign_a : -sign_a;
    size_t common = a->digit_count < b->digit_count ? a->digit_count : b->digit_count;
    int order = memcmp(a->digits, b->digits, common);
    if (order == 0)
        order = (a->digit_count > b->digit_count) - (a->digit_count < b->digit_count);
    return order * sign_a;
}

struct reader {
    struct arena *arena;
    const char *bytes;
    size_t length, at;
    unsigned depth;
};

static bool more(const struct reader *reader)
{
    return reader->at < reader->length;
}

static bool pass(struct reader *reader, char byte)
{
    if (!more(reader) || reader->bytes[reader->at] != byte)
        return false;
    reader->at++;
    return true;
}

static void skip_space(struct reader *reader)
{
    while (more(reader) && strchr(" \t\r\n", reader->bytes[reader->at]) &&
           reader->bytes[reader->at])
        reader->at++;
}

static bool read_hex4(struct reader *reader, uint32_t *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdefABCDEF";
        const char *digit = more(reader) && reader->bytes[reader->at]
                                ? strchr(digits, reader->bytes[reader->at])
                                : NULL;
        if (!digit)
            return false;
        size_t value = (size_t)(digit - digits);
        *unit = *unit * 16 + (uint32_t)(value < 16 ? value : value - 6);
        reader->at++;
    }
    return true;
}

static bool read_escape(struct reader *reader, uint32_t *point)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (!more(reader) || !reader->bytes[reader->at])
        return false;
    const char *name = strchr(names, reader->bytes[reader->at]);
    if (name) {
        *point = (unsigned char)values[name - names];
        reader->at++;
        return true;
    }
    if (!pass(reader, 'u') || !read_hex4(reader, point))
        return false;
    if (*point < 0xd800 || *point > 0xdbff)
        return true;
    size_t before = reader->at;
    uint32_t low;
    if (pass(reader, '\\') && pass(reader, 'u') && read_hex4(reader, &low) && low >= 0xdc00 &&
        low <= 0xdfff)
        *point = 0x10000 + ((*point - 0xd800) << 10) + (low - 0xdc00);
    else
        reader->at = before; /* what follows is read for itself */
    return true;
}

static bool read_utf8(struct reader *reader, uint32_t *point)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    unsigned char lead = (unsigned char)reader->bytes[reader->at];
    size_t length = lead < 0x80   ? 1
                    : lead < 0xc0 ? 0
                    : lead < 0xe0 ? 2
                    : lead < 0xf0 ? 3
                    : lead < 0xf8 ? 4
                                  : 0;
    if (length == 0 || reader->length - reader->at < length)
        return false;
    *point = length == 1 ? lead : lead & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        unsigned char byte = (unsigned char)reader->bytes[reader->at + i];
        if ((byte & 0xc0) != 0x80)
            return false;
        *point = *point << 6 | (byte & 0x3f);
    }
    if (*point < least[length] || *point > 0x10ffff || (*point >= 0xd800 && *point <= 0xdfff))
        return false;
    reader->at += length;
    return true;
}

static bool read_string(struct reader *reader, struct text *text)
{
    if (!pass(reader, '"'))
        return false;
    const char *end = memchr(reader->bytes + reader->at, '"', reader->length - reader->at);
    while (end && end[-1] == '\\') /* perhaps an escaped quote: only a bound is wanted */
        end = memchr(end + 1, '"', reader->length - (size_t)(end + 1 - reader->bytes));
    size_t bound = end ? (size_t)(end - reader->bytes) - reader->at : reader->length - reader->at;
    uint32_t *points = arena_take(reader->arena, (bound + 1) * sizeof *points);
    *text = (struct text){ points, 0 };
    while (!pass(reader, '"')) {
        uint32_t *point = &points[text->length];
        if (!more(reader) || (unsigned char)reader->bytes[reader->at] < 0x20)
            return false;
        if (!(pass(reader, '\\') ? read_escape(reader, point) : read_utf8(reader, point)))
            return false;
        text->length++;
    }
    return true;
}

static size_t digits_at(const struct reader *reader, size_t at)
{
    size_t n = 0;
    while (at + n < reader->length && reader->bytes[at + n] >= '0' && reader->bytes[at + n] <= '9')
        n++;
    return n;
}

/* Beyond any number that is written out: such exponents only have to stay apart from ordinary ones. */
static long long read_exponent(const char *digits, size_t count, bool negative)
{
    long long value = 0;
    for (size_t i = 0; i < count; i++)
        if (value < 1000000000000000)
            value = value * 10 + (digits[i] - '0');
    return negative ? -value : value;
}

static void set_decimal(struct arena *arena, struct decimal *number, const char *whole,
                        size_t whole_count, const char *part, size_t part_count, long long exponent)
{
    size_t count = whole_count + part_count;
    char *digits = arena_take(arena, count + 1);
    memcpy(digits, whole, whole_count);
    memcpy(digits + whole_count, part, part_count);
    exponent += (long long)whole_count;
    while (count > 0 && *digits == '0') {
        digits++;
        count--;
        exponent--;
    }
    while (count > 0 && digits[count - 1] == '0')
        count--;
    number->digits = digits;
    number->digit_count = count;
    number->exponent = count > 0 ? exponent : 0;
}

static bool read_number(struct reader *reader, struct json *json)
{
    size_t start = reader->at;
    json->kind = JSON_NUMBER;
    json->number.negative = pass(reader, '-');
    const char *whole = reader->bytes + reader->at, *part = whole, *power = whole;
    size_t whole_count = digits_at(reader, reader->at), part_count = 0, power_count = 0;
    bool power_negative = false;
    if (whole_count > 1 && *whole == '0') {
        reader->at++; /* what cannot be is the digit behind the zero */
        return false;
    }
    reader->at += whole_count;
    if (whole_count == 0)
        return false;
    if (pass(reader, '.')) {
        part = reader->bytes + reader->at;
        part_count = digits_at(reader, reader->at);
        reader->at += part_count;
        if (part_count == 0)
            return false;
    }
    if (pass(reader, 'e') || pass(reader, 'E')) {
        power_negative = pass(reader, '-');
        if (!power_negative)
            pass(reader, '+');
        power = reader->bytes + reader->at;
        power_count = digits_at(reader, reader->at);
        reader->at += power_count;
        if (power_count == 0)
            return false;
    }
    set_decimal(reader->arena, &json->number, whole, whole_count, part, part_count,
                read_exponent(power, power_count, power_negative));
    char *copy = arena_take(reader->arena, reader->at - start + 1);
    memcpy(copy, reader->bytes + start, reader->at - start);
    json->number.overflows = isinf(strtod(copy, NULL));
    return true;
}

static bool read_word(struct reader *reader, const char *word)
{
    for (; *word; word++)
        if (!pass(reader, *word))
            return false;
    return true;
}

static bool read_value(struct reader *reader, struct json *json);

static struct json *add_child(struct reader *reader, struct json *json, struct json *last)
{
    struct json *child = arena_take(reader->arena, sizeof *child);
    child->index = last ? last->index + 1 : 0;
    *(last ? &last->next : &json->first) = child;
    return child;
}

static bool read_array(struct reader *reader, struct json *json)
{
    json->kind = JSON_ARRAY;
    skip_space(reader);
    if (pass(reader, ']'))
        return true;
    for (struct json *child = NULL;;) {
        child = add_child(reader, json, child);
        if (!read_value(reader, child))
            return false;
        if (pass(reader, ']'))
            return true;
        if (!pass(reader, ','))
            return false;
    }
}

static bool read_object(struct reader *reader, struct json *json)
{
    json->kind = JSON_OBJECT;
    skip_space(reader);
    if (pass(reader, '}'))
        return true;
    for (struct json *child = NULL;;) {
        child = add_child(reader, json, child);
        skip_space(reader);
        child->name_offset = reader->at;
        if (!read_string(reader, &child->name))
            return false;
        skip_space(reader);
        if (!pass(reader, ':') || !read_value(reader, child))
            return false;
        if (pass(reader, '}'))
            return true;
        if (!pass(reader, ','))
            return false;
    }
}

static bool read_nested(struct reader *reader, struct json *json)
{
    if (reader->depth == JSON_DEPTH_MAX)
        return false;
    reader->depth++;
    bool well =
        reader->bytes[reader->at++] == '[' ? read_array(reader, json) : read_object(reader, json);
    reader->depth--;
    return well;
}

static bool read_value(struct reader *reader, struct json *json)
{
    skip_space(reader);
    json->offset = reader->at;
    bool well = false;
    switch (more(reader) ? reader->bytes[reader->at] : 0) {
    case '[':
    case '{':
        well = read_nested(reader, json);
        break;
    case '"':
        json->kind = JSON_STRING;
        well = read_string(reader, &json->text);
        break;
    case 'n':
        json->kind = JSON_NULL;
        well = read_word(reader, "null");
        break;
    case 't':
        json->kind = JSON_TRUE;
        well = read_word(reader, "true");
        break;
    case 'f':
        json->kind = JSON_FALSE;
        well = read_word(reader, "false");
        break;
    default:
        well = read_number(reader, json);
    }
    json->end = reader->at;
    skip_space(reader);
    return well;
}

struct json *json_read(struct arena *arena, const char *bytes, size_t length, size_t *offset)
{
    struct reader reader = { .arena = arena, .bytes = bytes, .length = length };
    struct json *root = arena_take(arena, sizeof *root);
    bool well = read_value(&reader, root) && !more(&reader);
    *offset = reader.at;
    return well ? root : NULL;
}
