/* column.c - encodings of numbers: see block_format.h for the bytes. */
#include "column.h"

#include <string.h>

#include "base/error.h"
#include "block_format.h"

/* Units that times are commonly cut to: seconds, milliseconds, microseconds. */
#define UNIT_MAX 1000000000
#define UNIT_STEP 1000

static int unknown_encoding(uint8_t encoding, const char *what)
{
    return svl__fail(SVL_E_VERSION, "%s in encoding %u", what, encoding);
}

static int not_n_values(const char *what, uint32_t n)
{
    return svl__fail(SVL_E_CORRUPT, "%s that are not %u values", what, n);
}

static size_t varint_len(uint32_t v)
{
    return v < UINT32_C(1) << 7    ? 1
           : v < UINT32_C(1) << 14 ? 2
           : v < UINT32_C(1) << 21 ? 3
           : v < UINT32_C(1) << 28 ? 4
                                   : 5;
}

/* What decides the encoding: all equal, how wide, how long as varints. */
struct shape {
    bool constant;
    uint32_t max;
    size_t varint_bytes;
};

static struct shape shape_of(const uint32_t *values, uint32_t n)
{
    uint32_t differ = 0, any = 0;
    for (uint32_t i = 0; i < n; i++) {
        differ |= values[i] ^ values[0];
        any |= values[i];
    }
    struct shape shape = { .constant = differ == 0, .max = any };
    if (any > UINT16_MAX)
        for (uint32_t i = 0; i < n; i++)
            shape.varint_bytes += varint_len(values[i]);
    return shape;
}

static uint8_t encode_varints(const uint32_t *values, uint32_t n, size_t len, struct buffer *out)
{
    uint8_t *p = buffer_reserve(out, len);
    if (p) {
        for (uint32_t i = 0; i < n; i++)
            p = put_varint(p, values[i]);
        out->len += len;
    }
    return ENCODING_VARINT;
}

uint8_t svl__column_encode(const uint32_t *values, uint32_t n, struct buffer *out)
{
    struct shape shape = shape_of(values, n);
    if (shape.constant)
        return encode_varints(values, 1, varint_len(values[0]), out), ENCODING_CONSTANT;
    if (shape.max <= UINT8_MAX) {
        uint8_t *p = buffer_reserve(out, n);
        for (uint32_t i = 0; p && i < n; i++)
            p[i] = (uint8_t)values[i];
        out->len += p ? n : 0;
        return ENCODING_BYTES1;
    }
    if (shape.max <= UINT16_MAX) {
        uint8_t *p = buffer_reserve(out, n * sizeof(uint16_t));
        for (uint32_t i = 0; p && i < n; i++)
            store_u16(p + i * sizeof(uint16_t), (uint16_t)values[i]);
        out->len += p ? n * sizeof(uint16_t) : 0;
        return ENCODING_BYTES2;
    }
    if (shape.varint_bytes < n * sizeof(uint32_t))
        return encode_varints(values, n, shape.varint_bytes, out);
    svl__buffer_append(out, values, n * sizeof(uint32_t));
    return ENCODING_BYTES4;
}

static bool decode_constant(svl_slice raw, uint32_t *value)
{
    struct reader r = reader_of(raw.data, raw.len);
    uint64_t v = read_varint(&r);
    *value = (uint32_t)v;
    return !r.failed && reader_left(&r) == 0 && v <= UINT32_MAX;
}

static bool decode_varints(svl_slice raw, uint32_t n, uint32_t *values)
{
    struct reader r = reader_of(raw.data, raw.len);
    uint64_t any = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t v = read_varint(&r);
        any |= v;
        values[i] = (uint32_t)v;
    }
    return !r.failed && reader_left(&r) == 0 && any <= UINT32_MAX;
}

/* The bytes of `n` values of `width`, NULL if there are not exactly that many. */
static const uint8_t *fixed(svl_slice raw, uint32_t n, size_t width)
{
    return raw.len == n * width ? raw.data : NULL;
}

int svl__column_decode(uint8_t encoding, svl_slice raw, uint32_t n, uint32_t *values)
{
    const uint8_t *p;
    uint32_t value;
    switch (encoding) {
    case ENCODING_CONSTANT:
        if (!decode_constant(raw, &value))
            break;
        for (uint32_t i = 0; i < n; i++)
            values[i] = value;
        return SVL_OK;
    case ENCODING_BYTES1:
        if (!(p = fixed(raw, n, 1)))
            break;
        for (uint32_t i = 0; i < n; i++)
            values[i] = p[i];
        return SVL_OK;
    case ENCODING_BYTES2:
        if (!(p = fixed(raw, n, sizeof(uint16_t))))
            break;
        for (uint32_t i = 0; i < n; i++)
            values[i] = load_u16(p + i * sizeof(uint16_t));
        return SVL_OK;
    case ENCODING_BYTES4:
        if (!(p = fixed(raw, n, sizeof(uint32_t))))
            break;
        memcpy(values, p, raw.len);
        return SVL_OK;
    case ENCODING_VARINT:
        if (!decode_varints(raw, n, values))
            break;
        return SVL_OK;
    default:
        return unknown_encoding(encoding, "a column of numbers");
    }
    return not_n_values("numbers", n);
}

int svl__column_decode_u8(uint8_t encoding, svl_slice raw, uint32_t n, uint8_t *values)
{
    uint32_t value;
    switch (encoding) {
    case ENCODING_CONSTANT:
        if (!decode_constant(raw, &value) || value > UINT8_MAX)
            break;
        memset(values, (int)value, n);
        return SVL_OK;
    case ENCODING_BYTES1:
        if (!fixed(raw, n, 1))
            break;
        memcpy(values, raw.data, n);
        return SVL_OK;
    default:
        return unknown_encoding(encoding, "a column of bytes");
    }
    return not_n_values("bytes", n);
}

/* Differences wrap around: any two times have one, and adding it wraps back. */
static int64_t difference(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

/* The largest of the common units that divides every difference: the first time counts as one. */
static int64_t unit_of(const int64_t *times, uint32_t n)
{
    int64_t unit = UNIT_MAX, before = 0;
    for (uint32_t i = 0; i < n && unit > 1; i++) {
        int64_t d = difference(times[i], before);
        before = times[i];
        while (unit > 1 && d % unit != 0)
            unit /= UNIT_STEP;
    }
    return unit;
}

uint8_t svl__times_encode(const int64_t *times, uint32_t n, struct buffer *out)
{
    int64_t unit = unit_of(times, n), before = 0;
    uint8_t *start = buffer_reserve(out, (size_t)VARINT_BYTES_MAX * (n + 1));
    if (!start)
        return ENCODING_DELTA;
    uint8_t *p = put_varint(start, (uint64_t)unit);
    for (uint32_t i = 0; i < n; i++) {
        int64_t d = difference(times[i], before);
        before = times[i];
        p = put_varint(p, zigzag(unit == 1 ? d : d / unit));
    }
    out->len += (size_t)(p - start);
    return ENCODING_DELTA;
}

int svl__times_decode(uint8_t encoding, svl_slice raw, uint32_t n, int64_t *times)
{
    if (encoding != ENCODING_DELTA)
        return unknown_encoding(encoding, "times");
    struct reader r = reader_of(raw.data, raw.len);
    uint64_t unit = read_varint(&r), time = 0;
    for (uint32_t i = 0; i < n; i++) {
        time += (uint64_t)unzigzag(read_varint(&r)) * unit;
        times[i] = (int64_t)time;
    }
    return r.failed || reader_left(&r) != 0 ? not_n_values("times", n) : SVL_OK;
}

uint8_t svl__runs_encode(const struct run *runs, uint32_t n, struct buffer *out)
{
    int64_t before = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *start = buffer_reserve(out, 2 * VARINT_BYTES_MAX);
        if (!start)
            break;
        uint8_t *p = put_varint(start, zigzag(difference(runs[i].value, before)));
        p = put_varint(p, runs[i].count);
        out->len += (size_t)(p - start);
        before = runs[i].value;
    }
    return ENCODING_RUNS;
}

int svl__runs_decode(uint8_t encoding, svl_slice raw, uint32_t n, int64_t *values)
{
    if (encoding != ENCODING_RUNS)
        return unknown_encoding(encoding, "runs");
    struct reader r = reader_of(raw.data, raw.len);
    uint64_t value = 0;
    for (uint32_t i = 0; i < n;) {
        value += (uint64_t)unzigzag(read_varint(&r));
        uint64_t count = read_varint(&r);
        if (r.failed || count == 0 || count > n - i)
            return not_n_values("runs", n);
        for (uint32_t end = i + (uint32_t)count; i < end; i++)
            values[i] = (int64_t)value;
    }
    return reader_left(&r) != 0 ? not_n_values("runs", n) : SVL_OK;
}
