/* json_write.c - JSON's escapes and digits. */
#include "json_write.h"

#include <math.h>
#include <stdio.h>

#include "json_number.h"
#include "utf8.h"

/* A lone surrogate: ED A0 80 to ED BF BF. */
static bool is_surrogate(const uint8_t *p, size_t left)
{
    return left >= 3 && p[0] == 0xed && p[1] >= 0xa0 && p[1] <= 0xbf && p[2] >= 0x80 &&
           p[2] <= 0xbf;
}

static void write_unit(struct buffer *out, unsigned unit)
{
    char escape[8];
    snprintf(escape, sizeof escape, "\\u%04x", unit & 0xffff);
    svl__buffer_append(out, escape, 6);
}

static void write_control(struct buffer *out, uint8_t c)
{
    static const char controls[] = "\b\f\n\r\t", letters[] = "bfnrt";
    const char *known = memchr(controls, c, sizeof controls - 1);
    if (known)
        svl__buffer_append(out, (char[]){ '\\', letters[known - controls] }, 2);
    else
        write_unit(out, c);
}

/* What is at p and cannot stand as it is. Returns how much of it was taken. */
static size_t write_special(struct buffer *out, const uint8_t *p, size_t left)
{
    if (is_surrogate(p, left)) {
        write_unit(out, 0xd000u | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu));
        return 3;
    }
    if (*p == '"' || *p == '\\')
        svl__buffer_append(out, (char[]){ '\\', (char)*p }, 2);
    else if (*p < 0x20)
        write_control(out, *p);
    else
        svl__buffer_append(out, "\xef\xbf\xbd", 3);
    return 1;
}

void svl__json_write_characters(struct buffer *out, const void *text, size_t len)
{
    const uint8_t *p = text;
    size_t plain = 0, i = 0;
    while (i < len) {
        bool stands = p[i] >= 0x20 && p[i] != '"' && p[i] != '\\';
        size_t n = stands ? svl__utf8_sequence(p + i, len - i) : 0;
        if (n > 0) {
            i += n;
            continue;
        }
        if (i > plain)
            svl__buffer_append(out, p + plain, i - plain);
        i += write_special(out, p + i, len - i);
        plain = i;
    }
    if (len > plain)
        svl__buffer_append(out, p + plain, len - plain);
}

void svl__json_write_string(struct buffer *out, const void *text, size_t len)
{
    svl__buffer_append(out, "\"", 1);
    svl__json_write_characters(out, text, len);
    svl__buffer_append(out, "\"", 1);
}

void svl__json_write_u64(struct buffer *out, uint64_t value)
{
    char digits[24];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    svl__buffer_append(out, digits + at, sizeof digits - at);
}

void svl__json_write_i64(struct buffer *out, int64_t value)
{
    if (value < 0)
        svl__buffer_append(out, "-", 1);
    svl__json_write_u64(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

/* d.ddd times 10^exponent, without zeros at its end. */
struct digits {
    char digits[20];
    int count;
    int exponent;
};

/* `count` digits of a positive number. The C library writes the locale's point among them. */
static struct digits digits_of(double value, int count)
{
    char text[64];
    snprintf(text, sizeof text, "%.*e", count - 1, value);
    struct digits d = { .count = 0 };
    const char *p = text;
    for (; *p != 'e'; p++)
        if (*p >= '0' && *p <= '9')
            d.digits[d.count++] = *p;
    while (d.count > 1 && d.digits[d.count - 1] == '0')
        d.count--;
    bool negative = *++p == '-';
    for (p++; *p; p++)
        d.exponent = d.exponent * 10 + (*p - '0');
    if (negative)
        d.exponent = -d.exponent;
    return d;
}

static size_t lay_out_plain(const struct digits *d, char *text)
{
    size_t n = 0;
    int before = d->exponent + 1; /* digits before the point */
    if (before <= 0) {
        text[n++] = '0';
        text[n++] = '.';
        for (int i = before; i < 0; i++)
            text[n++] = '0';
    }
    for (int i = 0; i < d->count || i < before; i++) {
        if (i == before && i > 0)
            text[n++] = '.';
        text[n++] = i < d->count ? d->digits[i] : '0';
    }
    return n;
}

static size_t lay_out_exponent(const struct digits *d, char *text, size_t capacity)
{
    size_t n = 0;
    text[n++] = d->digits[0];
    if (d->count > 1)
        text[n++] = '.';
    for (int i = 1; i < d->count; i++)
        text[n++] = d->digits[i];
    return n + (size_t)snprintf(text + n, capacity - n, "e%+d", d->exponent);
}

void svl__json_write_f64(struct buffer *out, double value)
{
    if (!isfinite(value)) {
        svl__buffer_append(out, "null", 4);
        return;
    }
    if (signbit(value))
        svl__buffer_append(out, "-", 1);
    value = fabs(value);
    char text[64];
    size_t len = 0;
    /* 17 digits always suffice. */
    for (int count = 15; count <= 17; count++) {
        struct digits d = digits_of(value, count);
        bool plain = d.exponent >= -7 && d.exponent <= 20;
        len = plain ? lay_out_plain(&d, text) : lay_out_exponent(&d, text, sizeof text);
        struct json_number back;
        if (svl__json_number((svl_slice){ text, len }, &back) && back.value == value)
            break;
    }
    svl__buffer_append(out, text, len);
}
