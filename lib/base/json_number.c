/* json_number.c - decimal to binary64.
 *
 * Up to 2^53 and a power of ten that is a double too, one multiplication or division rounds right (Clinger,
 * "How to Read Floating Point Numbers Accurately", 1990). All else is a long division of two big integers,
 * bit by bit: 53 bits, and the remainder says how to round. Its cost follows the number's length and
 * exponent; after DIGITS_MAX digits it matters only whether others than zeros follow: a value halfway
 * between two doubles has at most 767. */
#include "json_number.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define EXPONENT_MAX INT64_C(1000000000000000000)

/* The value is 0.DIGITS times 10^point, and DIGITS neither begins nor ends with a 0. */
struct decimal {
    const uint8_t *first, *end; /* the digits, perhaps with a point among them; equal: zero */
    size_t count;               /* without the point */
    int64_t point;
    bool negative;
};

static int64_t read_exponent(const uint8_t *p, const uint8_t *end)
{
    int64_t exponent = 0;
    bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    for (; p < end; p++)
        exponent = exponent > EXPONENT_MAX / 10 ? EXPONENT_MAX : exponent * 10 + (*p - '0');
    if (exponent > EXPONENT_MAX)
        exponent = EXPONENT_MAX;
    return negative ? -exponent : exponent;
}

static struct decimal read_decimal(svl_slice text)
{
    const uint8_t *p = text.data, *end = p + text.len;
    struct decimal d = { .negative = text.len > 0 && *p == '-' };
    const uint8_t *point = NULL;
    for (p += d.negative; p < end && (*p | 0x20) != 'e'; p++) {
        if (*p == '.') {
            point = p;
        } else if (*p != '0') {
            if (!d.first)
                d.first = p;
            d.end = p + 1;
        }
    }
    if (!d.first)
        return (struct decimal){ 0 };
    if (!point)
        point = p;
    d.count = (size_t)(d.end - d.first) - (point > d.first && point < d.end);
    /* Of 0.001, the zeros behind the point count against it, and the point itself does not. */
    d.point = point > d.first ? point - d.first : point + 1 - d.first;
    if (p < end)
        d.point += read_exponent(p + 1, end);
    return d;
}

/* Little-endian, without zeros at its high end. The largest are 10^1125 and, before a subtraction, twice
 * that: 3739 bits. */
#define LIMBS_MAX 120
#define DIGITS_MAX 800
struct big {
    uint32_t limbs[LIMBS_MAX];
    unsigned count;
};

static void multiply_add(struct big *n, uint32_t factor, uint32_t addend)
{
    uint64_t carry = addend;
    for (unsigned i = 0; i < n->count; i++) {
        carry += (uint64_t)n->limbs[i] * factor;
        n->limbs[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry != 0)
        n->limbs[n->count++] = (uint32_t)carry;
}

static void multiply_by_power_of_ten(struct big *n, unsigned power)
{
    for (; power >= 9; power -= 9)
        multiply_add(n, 1000000000, 0);
    for (; power > 0; power--)
        multiply_add(n, 10, 0);
}

static int bits_of(const struct big *n)
{
    return (int)n->count * 32 - __builtin_clz(n->limbs[n->count - 1]);
}

static void shift_left(struct big *n, unsigned bits)
{
    unsigned whole = bits / 32;
    if (whole > 0) {
        memmove(n->limbs + whole, n->limbs, n->count * sizeof n->limbs[0]);
        memset(n->limbs, 0, whole * sizeof n->limbs[0]);
        n->count += whole;
    }
    if (bits % 32 > 0)
        multiply_add(n, UINT32_C(1) << bits % 32, 0);
}

static int compare(const struct big *a, const struct big *b)
{
    if (a->count != b->count)
        return a->count < b->count ? -1 : 1;
    for (unsigned i = a->count; i-- > 0;)
        if (a->limbs[i] != b->limbs[i])
            return a->limbs[i] < b->limbs[i] ? -1 : 1;
    return 0;
}

/* Of a number that is not smaller. */
static void subtract(struct big *from, const struct big *n)
{
    uint32_t borrow = 0;
    for (unsigned i = 0; i < from->count; i++) {
        uint64_t take = (uint64_t)(i < n->count ? n->limbs[i] : 0) + borrow;
        borrow = from->limbs[i] < take;
        from->limbs[i] -= (uint32_t)take;
    }
    while (from->count > 0 && from->limbs[from->count - 1] == 0)
        from->count--;
}

/* The value as numerator / denominator. */
static void to_fraction(const struct decimal *d, struct big *numerator, struct big *denominator)
{
    unsigned taken = 0;
    numerator->count = 0;
    for (const uint8_t *p = d->first; p < d->end && taken < DIGITS_MAX; p++) {
        if (*p == '.')
            continue;
        multiply_add(numerator, 10, (uint32_t)(*p - '0'));
        taken++;
    }
    if (taken < d->count) { /* its last digit is not 0: the value is above what was taken */
        multiply_add(numerator, 10, 1);
        taken++;
    }
    int power = (int)d->point - (int)taken;
    denominator->limbs[0] = 1;
    denominator->count = 1;
    multiply_by_power_of_ten(power >= 0 ? numerator : denominator,
                             (unsigned)(power >= 0 ? power : -power));
}

/* The double of significand * 2^exponent, where the significand has 53 bits unless it is subnormal; one bit
 * more from rounding up is a power of two. */
static double assemble(uint64_t significand, int exponent)
{
    if (significand == UINT64_C(1) << 53) {
        significand >>= 1;
        exponent++;
    }
    if (exponent > 1023 - 52)
        return HUGE_VAL;
    uint64_t bits = significand;
    if (significand >= UINT64_C(1) << 52) /* its top bit, taken as part of the exponent, adds one */
        bits += (uint64_t)(exponent + 1074) << 52;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double divide(const struct decimal *d)
{
    struct big rest, divisor;
    to_fraction(d, &rest, &divisor);

    /* To 1 <= rest / divisor < 2, times 2^exponent. */
    int exponent = bits_of(&rest) - bits_of(&divisor);
    if (exponent < 0)
        shift_left(&rest, (unsigned)-exponent);
    else
        shift_left(&divisor, (unsigned)exponent);
    if (compare(&rest, &divisor) < 0) {
        shift_left(&rest, 1);
        exponent--;
    }
    int last = exponent - 52 < -1074 ? -1074 : exponent - 52; /* the last bit's exponent */
    if (exponent < last - 1)
        return 0; /* below half of the smallest */

    uint64_t quotient = 0;
    for (int bit = exponent; bit >= last; bit--) {
        quotient <<= 1;
        if (compare(&rest, &divisor) >= 0) {
            subtract(&rest, &divisor);
            quotient |= 1;
        }
        shift_left(&rest, 1);
    }
    int half = compare(&rest, &divisor);
    if (half > 0 || (half == 0 && (quotient & 1)))
        quotient++;
    return assemble(quotient, last);
}

/* True: one rounding gave the value. */
static bool convert_small(const struct decimal *d, double *value)
{
    static const double tens[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    int64_t power = d->point - (int64_t)d->count;
    if (d->count > 19 || power < -22 || power > 22)
        return false;
    uint64_t digits = 0;
    for (const uint8_t *p = d->first; p < d->end; p++)
        if (*p != '.')
            digits = digits * 10 + (uint64_t)(*p - '0');
    if (digits > UINT64_C(1) << 53)
        return false;
    *value = power < 0 ? (double)digits / tens[-power] : (double)digits * tens[power];
    return true;
}

bool svl__json_number(svl_slice text, struct json_number *out)
{
    struct decimal d = read_decimal(text);
    double value;
    if (d.count == 0 ||
        d.point < -323) /* below 10^-324, and so below half of the smallest double */
        value = 0;
    else if (d.point > 309)
        value = HUGE_VAL;
    else if (!convert_small(&d, &value))
        value = divide(&d);
    out->ambiguous = d.count > 15 || value < 0x1p-1022;
    out->value = d.negative && value > 0 ? -value : value;
    return value < HUGE_VAL;
}

/* Of two that are not zero, by their magnitudes. */
static int compare_magnitudes(const struct decimal *a, const struct decimal *b)
{
    if (a->point != b->point)
        return a->point < b->point ? -1 : 1;
    const uint8_t *p = a->first, *q = b->first;
    while (p < a->end && q < b->end) {
        p += *p == '.';
        q += *q == '.';
        if (*p != *q)
            return *p < *q ? -1 : 1;
        p++;
        q++;
    }
    return (p < a->end) - (q < b->end);
}

/* -1, 0, 1. */
static int sign_of(const struct decimal *d)
{
    return d->count == 0 ? 0 : d->negative ? -1 : 1;
}

int svl__json_number_compare(svl_slice a, svl_slice b)
{
    struct decimal x = read_decimal(a), y = read_decimal(b);
    if (sign_of(&x) != sign_of(&y))
        return sign_of(&x) < sign_of(&y) ? -1 : 1;
    return sign_of(&x) * (sign_of(&x) == 0 ? 0 : compare_magnitudes(&x, &y));
}
