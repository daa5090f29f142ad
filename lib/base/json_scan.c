/* json_scan.c - the scanner's states, and the passing over of what nobody wants.
 *
 *                    value of the root                       }  ]
 *     AT_VALUE ------------------------> AT_END  <-----------------------.
 *        | {                                                             | the root's
 *        |---> AT_FIRST_MEMBER -- name : --> AT_VALUE -- value --> AT_MEMBER_END
 *        |                                       ^ ------- , name : -------'
 *        | [
 *        `---> AT_FIRST_ELEMENT -- value --> AT_ELEMENT_END -- , --> AT_VALUE
 *
 * `after` is the state behind a value of the innermost container; any error leads to FAILED, for good.
 *
 * 1. start <= token <= at <= end; at is right behind the last token (a name's colon included).
 * 2. depth <= depth_max <= JSON_DEPTH_LIMIT; of `objects`, the lowest `depth` bits are set up. */
#include "json_scan.h"

#include "bytes.h"
#include "json_vector.h"
#include "utf8.h"

enum json_state {
    AT_VALUE,
    AT_FIRST_MEMBER,
    AT_MEMBER_END,
    AT_FIRST_ELEMENT,
    AT_ELEMENT_END,
    AT_END,
    FAILED
};

void svl__json_start(struct json_scan *s, const void *text, size_t len, uint32_t depth_max)
{
    static const uint8_t nothing[1];
    s->start = s->at = s->token = len > 0 ? text : nothing;
    s->text = (struct json_text){ s->start, 0, false };
    s->depth = 0;
    s->error = NULL;
    s->error_at = 0;
    s->end = s->start + len;
    s->state = AT_VALUE;
    s->after = AT_END;
    s->depth_max = depth_max == 0 ? JSON_DEPTH_DEFAULT : depth_max;
    if (s->depth_max > JSON_DEPTH_LIMIT)
        s->depth_max = JSON_DEPTH_LIMIT;
}

static enum json_token fail(struct json_scan *s, const uint8_t *p, const char *error)
{
    s->state = FAILED;
    s->token = s->at = p;
    s->error = error;
    s->error_at = (size_t)(p - s->start);
    return JSON_ERROR;
}

static inline const uint8_t *behind_space(const uint8_t *p, const uint8_t *end)
{
    while (p < end && *p <= ' ' && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

static bool is_digit(const uint8_t *p, const uint8_t *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The token is done, and it is a value. */
static inline enum json_token took_value(struct json_scan *s, const uint8_t *end,
                                         enum json_token token)
{
    s->at = end;
    s->state = s->after;
    return token;
}

static enum json_token open_container(struct json_scan *s, const uint8_t *p, enum json_token token)
{
    if (s->depth == s->depth_max)
        return fail(s, p, "too many objects and arrays inside each other");
    uint64_t *word = &s->objects[s->depth / 64];
    uint64_t bit = UINT64_C(1) << s->depth % 64;
    *word = token == JSON_OBJECT ? *word | bit : *word & ~bit;
    s->depth++;
    s->state = token == JSON_OBJECT ? AT_FIRST_MEMBER : AT_FIRST_ELEMENT;
    s->after = token == JSON_OBJECT ? AT_MEMBER_END : AT_ELEMENT_END;
    s->at = p + 1;
    return token;
}

/* The innermost container ends before `end`. */
static void close_container(struct json_scan *s, const uint8_t *end)
{
    s->depth--;
    if (s->depth == 0) {
        s->after = AT_END;
    } else {
        uint32_t level = s->depth - 1;
        bool is_object = s->objects[level / 64] >> level % 64 & 1;
        s->after = is_object ? AT_MEMBER_END : AT_ELEMENT_END;
    }
    s->state = s->after;
    s->at = end;
}

/* The first byte from p on that needs a look: a quote, a backslash, a control character, no ASCII. */
static inline const uint8_t *behind_plain(const uint8_t *p, const uint8_t *end)
{
#if JSON_VECTORS
    while (end - p >= JSON_CHUNK) {
        unsigned n = find_special(p);
        if (n < JSON_CHUNK)
            return p + n;
        p += JSON_CHUNK;
    }
#endif
    while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* Behind the escape at p; NULL: it failed. */
static const uint8_t *behind_escape(struct json_scan *s, const uint8_t *p)
{
    if (s->end - p < 2) {
        fail(s, s->end, "the text ends inside a string");
        return NULL;
    }
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return p + 2;
    case 'u':
        break;
    default:
        fail(s, p, "an unknown escape: JSON has \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\uXXXX");
        return NULL;
    }
    for (int i = 2; i < 6; i++) {
        if (s->end - p <= i) {
            fail(s, s->end, "the text ends inside a string");
            return NULL;
        }
        if (hex_value(p[i]) < 0) {
            fail(s, p, "\\u needs four hexadecimal digits");
            return NULL;
        }
    }
    return p + 6;
}

/* Reads the string whose quote is at p into `text`; returns what is behind it. NULL: it failed. */
static const uint8_t *read_string(struct json_scan *s, const uint8_t *p)
{
    const uint8_t *start = ++p;
    bool escaped = false;
    for (;;) {
        p = behind_plain(p, s->end);
        if (p == s->end) {
            fail(s, p, "the text ends inside a string");
            return NULL;
        }
        if (*p == '"')
            break;
        if (*p == '\\') {
            escaped = true;
            p = behind_escape(s, p);
            if (!p)
                return NULL;
            continue;
        }
        size_t n = *p < 0x20 ? 0 : svl__utf8_sequence(p, (size_t)(s->end - p));
        if (n == 0) {
            fail(s, p,
                 *p < 0x20 ? "a control character in a string: it must be escaped"
                           : "not valid UTF-8");
            return NULL;
        }
        p += n;
    }
    s->text = (struct json_text){ start, (size_t)(p - start), escaped };
    return p + 1;
}

static enum json_token read_number(struct json_scan *s, const uint8_t *p)
{
    const uint8_t *start = p, *end = s->end;
    if (*p == '-')
        p++;
    if (!is_digit(p, end))
        return fail(s, p, "a number needs a digit here");
    if (*p == '0' && is_digit(p + 1, end))
        return fail(s, p, "a number must not start with 0");
    while (is_digit(p, end))
        p++;
    if (p < end && *p == '.') {
        if (!is_digit(++p, end))
            return fail(s, p, "a number needs a digit behind its point");
        while (is_digit(p, end))
            p++;
    }
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        if (!is_digit(p, end))
            return fail(s, p, "a number needs a digit in its exponent");
        while (is_digit(p, end))
            p++;
    }
    s->text = (struct json_text){ start, (size_t)(p - start), false };
    return took_value(s, p, JSON_NUMBER);
}

/* The token of a literal, whose first letter is at p. */
static enum json_token read_word(struct json_scan *s, const uint8_t *p, const char *word,
                                 size_t len, enum json_token token)
{
    size_t left = (size_t)(s->end - p);
    if (left >= len && memcmp(p, word, len) == 0)
        return took_value(s, p + len, token);
    if (left < len && memcmp(p, word, left) == 0)
        return fail(s, s->end, "the text ends inside a value");
    return fail(s, p, "a value is expected here");
}

static enum json_token read_literal(struct json_scan *s, const uint8_t *p)
{
    switch (*p) {
    case 't':
        return read_word(s, p, "true", 4, JSON_TRUE);
    case 'f':
        return read_word(s, p, "false", 5, JSON_FALSE);
    case 'n':
        return read_word(s, p, "null", 4, JSON_NULL);
    default:
        break;
    }
    if (s->end - p >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
        return fail(s, p, "a byte order mark: JSON has none");
    return fail(s, p, "a value is expected here");
}

static inline enum json_token read_value(struct json_scan *s, const uint8_t *p)
{
    s->token = p;
    if (p == s->end)
        return fail(s, p, "the text ends where a value is expected");
    switch (*p) {
    case '"':
        p = read_string(s, p);
        return p ? took_value(s, p, JSON_STRING) : JSON_ERROR;
    case '{':
        return open_container(s, p, JSON_OBJECT);
    case '[':
        return open_container(s, p, JSON_ARRAY);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return read_number(s, p);
    default:
        return read_literal(s, p);
    }
}

static inline enum json_token read_name(struct json_scan *s, const uint8_t *p)
{
    s->token = p;
    if (p == s->end)
        return fail(s, p, "the text ends where a name is expected");
    if (*p != '"')
        return fail(s, p, "a name in quotes is expected here");
    p = read_string(s, p);
    if (!p)
        return JSON_ERROR;
    p = behind_space(p, s->end);
    if (p == s->end || *p != ':')
        return fail(s, p, "a ':' is expected behind the name");
    s->at = p + 1;
    s->state = AT_VALUE;
    return JSON_NAME;
}

static enum json_token read_end(struct json_scan *s, const uint8_t *p, enum json_token token)
{
    s->token = p;
    close_container(s, p + 1);
    return token;
}

enum json_token svl__json_next(struct json_scan *s)
{
    const uint8_t *p = behind_space(s->at, s->end);
    uint8_t c = p < s->end ? *p : 0;
    switch ((enum json_state)s->state) {
    case AT_VALUE:
        return read_value(s, p);
    case AT_FIRST_MEMBER:
        return c == '}' ? read_end(s, p, JSON_OBJECT_END) : read_name(s, p);
    case AT_MEMBER_END:
        if (c == ',')
            return read_name(s, behind_space(p + 1, s->end));
        return c == '}' ? read_end(s, p, JSON_OBJECT_END)
                        : fail(s, p, "',' or '}' is expected here");
    case AT_FIRST_ELEMENT:
        return c == ']' ? read_end(s, p, JSON_ARRAY_END) : read_value(s, p);
    case AT_ELEMENT_END:
        if (c == ',')
            return read_value(s, behind_space(p + 1, s->end));
        return c == ']' ? read_end(s, p, JSON_ARRAY_END)
                        : fail(s, p, "',' or ']' is expected here");
    case AT_END:
        s->token = s->at = p;
        return p == s->end ? JSON_END : fail(s, p, "more text behind the value");
    case FAILED:
        break;
    }
    return JSON_ERROR;
}

/* Passing over. A backslash takes the byte behind it with it, wherever it stands; a quote begins or ends
 * a string; outside of strings, opening and closing brackets are counted, of whichever shape. */
struct passing {
    size_t open;        /* brackets still to be closed, at least 1 */
    uint64_t in_string; /* all bits: the next byte is inside a string */
    uint64_t escaped;   /* 1: a backslash is right before the next byte */
};

#if JSON_VECTORS

/* The bytes that a backslash takes with it. A run of backslashes that starts at an odd place is carried, by
 * the addition, to the place behind its end; where the parity of the two differs, its last one is left
 * over. After Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 2019. */
static uint64_t escaped_bits(uint64_t backslashes, uint64_t *carry)
{
    const uint64_t even = UINT64_C(0x5555555555555555);
    backslashes &= ~*carry;
    uint64_t behind = backslashes << 1 | *carry;
    uint64_t odd_starts = backslashes & ~even & ~behind;
    uint64_t sum;
    *carry = __builtin_add_overflow(odd_starts, backslashes, &sum);
    return (even ^ sum << 1) & behind;
}

/* Each bit: the exclusive or of itself and all below. */
static uint64_t prefix_xor(uint64_t bits)
{
    for (unsigned shift = 1; shift < 64; shift *= 2)
        bits ^= bits << shift;
    return bits;
}

/* Without the popcnt instruction, that not every x86-64 has, the compiler's builtin is a call. */
static inline size_t count_bits(uint64_t bits)
{
    bits -= bits >> 1 & UINT64_C(0x5555555555555555);
    bits = (bits & UINT64_C(0x3333333333333333)) + (bits >> 2 & UINT64_C(0x3333333333333333));
    bits = (bits + (bits >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return bits * UINT64_C(0x0101010101010101) >> 56;
}

/* Takes one block in. Returns how many of its bytes lie before the end of the last bracket, or 0: it is not
 * there. */
static inline size_t pass_block(struct passing *pass, const uint8_t *p)
{
    struct json_block b = json_block(p);
    uint64_t escaped = 0;
    if (b.backslashes | pass->escaped)
        escaped = escaped_bits(b.backslashes, &pass->escaped);
    uint64_t in_string = prefix_xor(b.quotes & ~escaped) ^ pass->in_string;
    uint64_t opens = b.opens & ~in_string & ~escaped;
    uint64_t closes = b.closes & ~in_string & ~escaped;
    pass->in_string = in_string >> 63 ? UINT64_MAX : 0;
    if (count_bits(closes) < pass->open) {
        pass->open = pass->open - count_bits(closes) + count_bits(opens);
        return 0;
    }
    for (uint64_t left = opens | closes; left != 0; left &= left - 1) {
        uint64_t bit = left & -left;
        if (opens & bit)
            pass->open++;
        else if (--pass->open == 0)
            return (size_t)__builtin_ctzll(bit) + 1;
    }
    return 0;
}

/* Behind the bracket that closes the `open` brackets that are open at p; NULL: there is none. */
static const uint8_t *behind_brackets(const uint8_t *p, const uint8_t *end, size_t open)
{
    struct passing pass = { .open = open };
    for (; end - p >= JSON_BLOCK; p += JSON_BLOCK) {
        size_t n = pass_block(&pass, p);
        if (n > 0)
            return p + n;
    }
    uint8_t last[JSON_BLOCK] = { 0 };
    memcpy(last, p, (size_t)(end - p));
    size_t n = pass_block(&pass, last);
    return n > 0 ? p + n : NULL;
}

#else

static const uint8_t *behind_brackets(const uint8_t *p, const uint8_t *end, size_t open)
{
    struct passing pass = { .open = open };
    for (; p < end; p++) {
        if (pass.escaped)
            pass.escaped = 0;
        else if (*p == '\\')
            pass.escaped = 1;
        else if (*p == '"')
            pass.in_string = ~pass.in_string;
        else if (pass.in_string)
            continue;
        else if (*p == '{' || *p == '[')
            pass.open++;
        else if ((*p == '}' || *p == ']') && --pass.open == 0)
            return p + 1;
    }
    return NULL;
}

#endif

/* Behind the string whose quote is at p; NULL: it has no end. */
static const uint8_t *behind_string(const uint8_t *p, const uint8_t *end)
{
    p++;
    while (p < end) {
#if JSON_VECTORS
        if (end - p >= JSON_CHUNK) {
            unsigned n = find_quote(p);
            if (n == JSON_CHUNK) {
                p += JSON_CHUNK;
                continue;
            }
            p += n;
        }
#endif
        if (*p == '"')
            return p + 1;
        if (*p == '\\' && end - p < 2)
            break;
        p += *p == '\\' ? 2 : 1;
    }
    return NULL;
}

/* Behind the bytes that numbers and literals are made of. */
static const uint8_t *behind_word(const uint8_t *p, const uint8_t *end)
{
    while (p < end && ((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || *p == '.' ||
                       *p == '-' || *p == '+' || *p == 'E'))
        p++;
    return p;
}

bool svl__json_skip(struct json_scan *s)
{
    if (s->state == FAILED)
        return false;
    if (s->state != AT_VALUE) {
        fail(s, s->at, "a value is skipped where none must come");
        return false;
    }
    const uint8_t *p = behind_space(s->at, s->end), *end;
    s->token = p;
    uint8_t c = p < s->end ? *p : 0;
    if (c == '"')
        end = behind_string(p, s->end);
    else if (c == '{' || c == '[')
        end = behind_brackets(p + 1, s->end, 1);
    else
        end = behind_word(p, s->end);
    if (!end || end == p) {
        fail(s, end ? p : s->end,
             end ? "a value is expected here" : "the text ends inside a value");
        return false;
    }
    took_value(s, end, JSON_END);
    return true;
}

bool svl__json_leave(struct json_scan *s)
{
    if (s->state == FAILED)
        return false;
    const uint8_t *end = s->depth > 0 ? behind_brackets(s->at, s->end, 1) : NULL;
    if (!end) {
        fail(s, s->end, "the text ends inside an object or array");
        return false;
    }
    close_container(s, end);
    return true;
}

bool svl__json_check(struct json_scan *s)
{
    enum json_token token;
    do
        token = svl__json_next(s);
    while (token > JSON_END);
    return token == JSON_END;
}

/* The four digits behind \u. */
static uint32_t unit_of(const uint8_t *p)
{
    uint32_t unit = 0;
    for (int i = 0; i < 4; i++)
        unit = unit << 4 | (uint32_t)hex_value(p[i]);
    return unit;
}

/* The character of the escape at p, and the escape's length: 2, 6, or 12 for two surrogates. */
static uint32_t escaped_character(const uint8_t *p, size_t left, size_t *len)
{
    static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";
    *len = 2;
    if (p[1] != 'u') {
        const char *letter = memchr(letters, p[1], sizeof letters - 1);
        return letter ? (uint32_t)meanings[letter - letters] : p[1];
    }
    *len = 6;
    uint32_t unit = unit_of(p + 2);
    if (unit < 0xd800 || unit > 0xdbff || left < 12 || p[6] != '\\' || p[7] != 'u')
        return unit;
    uint32_t low = unit_of(p + 8);
    if (low < 0xdc00 || low > 0xdfff)
        return unit;
    *len = 12;
    return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
}

/* Whole characters without an escape from the start of `rest`, at most `capacity` bytes. */
static size_t decode_plain(const struct json_text *rest, uint8_t *out, size_t capacity)
{
    size_t n = rest->len;
    const uint8_t *backslash = rest->escaped ? memchr(rest->data, '\\', n) : NULL;
    if (backslash)
        n = (size_t)(backslash - rest->data);
    if (n > capacity) {
        n = capacity;
        while (n > 0 && (rest->data[n] & 0xc0) == 0x80)
            n--;
    }
    memcpy(out, rest->data, n);
    return n;
}

size_t svl__json_decode(struct json_text *rest, uint8_t *out, size_t capacity)
{
    size_t written = 0;
    while (rest->len > 0) {
        size_t n = decode_plain(rest, out + written, capacity - written);
        written += n;
        rest->data += n;
        rest->len -= n;
        if (rest->len == 0 || rest->data[0] != '\\')
            break;
        uint8_t bytes[4];
        uint32_t c = escaped_character(rest->data, rest->len, &n);
        size_t needed = svl__utf8_encode(c, bytes);
        if (needed > capacity - written)
            break;
        memcpy(out + written, bytes, needed);
        written += needed;
        rest->data += n;
        rest->len -= n;
    }
    return written;
}

bool svl__json_equals(const struct json_text *text, svl_slice decoded)
{
    if (!text->escaped)
        return text->len == decoded.len &&
               (decoded.len == 0 || memcmp(text->data, decoded.data, decoded.len) == 0);
    struct json_text rest = *text;
    const uint8_t *expected = decoded.data;
    size_t left = decoded.len;
    while (rest.len > 0) {
        uint8_t part[64];
        size_t n = svl__json_decode(&rest, part, sizeof part);
        if (n > left || memcmp(part, expected, n) != 0)
            return false;
        expected += n;
        left -= n;
    }
    return left == 0;
}
