/* record - one record as bytes: the same in the ring, the tail, the journal and over a bridge.
 *
 * wire.c the format · check.c what a producer may put into a record */
#ifndef SVL_RECORD_WIRE_H
#define SVL_RECORD_WIRE_H

#include <serverlog/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_KEY_MAX 480
#define RECORD_NAME_MAX 255
#define RECORD_ATTRIBUTES_MAX 255
#define RECORD_BYTES_DEFAULT (UINT32_C(1) << 20)
#define WIRE_HEADER_BYTES 32
#define WIRE_ATTRIBUTE_BYTES 6 /* before an attribute's name and value */

/* check.c: SVL_OK, or the error of the limit that `record` breaks. `bytes_max` is the limit on its
 * wire size. Sources "serverlog.*" are refused unless `internal`. */
int svl__record_check(const svl_record *record, uint32_t bytes_max, bool internal);

/* How many bytes a record takes on the wire. */
struct wire_size {
    uint32_t record;     /* all of it */
    uint32_t attributes; /* of these its attributes */
};

struct record_limits {
    uint32_t bytes_max; /* on the wire */
    bool takes_own;     /* sources "serverlog.*" too */
};

/* The limit that a record breaks: a code, what it is about, and, where there is one, the value and the most it may
 * be. */
struct breach {
    int code;
    const char *what;
    uint64_t value, most;
};

/* svl__record_check() in two steps, for whoever encodes at once, or must not set words (a signal handler). True:
 * a sound record, and its size; false: what it breaks, for the second to put into words: returns the code. */
bool svl__record_measure(const svl_record *record, const struct record_limits *limits,
                         struct wire_size *size, struct breach *breach);
int svl__record_refuse(const struct breach *breach);

/* The wire size of a checked record. */
uint32_t svl__wire_size(const svl_record *record);

/* Writes a checked record: exactly svl__wire_size() bytes. `time_ns` stands in for a time of 0. The second is
 * for whoever has measured it. */
void svl__wire_encode(const svl_record *record, int64_t time_ns, uint8_t *out);
void svl__wire_encode_measured(const svl_record *record, const struct wire_size *size,
                               int64_t time_ns, uint8_t *out);

/* Sets more flags in a wire record. */
void svl__wire_add_flags(uint8_t *wire, uint32_t flags);

/* The length of the wire record at `data`, from its first word; 0 if `left` bytes cannot hold it. */
uint32_t svl__wire_length(const uint8_t *data, size_t left);

/* For who goes over records that lie one behind the other and were written on another core: asks for what a record
 * some way behind this one of `len` bytes likely lies in. */
static inline void wire_prefetch(const void *wire, size_t len)
{
    enum { AHEAD = 1024, BYTES_MAX = 1024, CACHE_LINE = 64 };
    for (size_t i = 0; i < len && i < BYTES_MAX; i += CACHE_LINE)
        __builtin_prefetch(
            (const void *)((uintptr_t)wire + AHEAD + i)); /* harmless where nothing is */
}

/* One wire record, taken apart but for its attributes. Everything points into the wire bytes. */
struct wire_view {
    int64_t time_ns;
    uint32_t flags;
    uint32_t length;
    uint8_t severity;
    uint8_t body_kind;
    uint8_t attribute_count;
    svl_slice source, type, key, body;
    svl_slice attributes; /* encoded: svl__attributes_decode() */
};

/* Takes `len` bytes apart, which must be one whole record. Any bytes are safe: SVL_OK, or
 * SVL_E_CORRUPT (or SVL_E_VERSION for unknown flags) with words. Attributes are not looked at. */
int svl__wire_view(const uint8_t *data, size_t len, struct wire_view *view);

/* Decodes `count` attributes from `bytes` into `out`: SVL_OK or SVL_E_CORRUPT. The values point into
 * `bytes`. The bytes must be used up exactly. */
int svl__attributes_decode(svl_slice bytes, uint32_t count, svl_attribute *out);

/* svl__wire_view() and a check of the attributes too: for bytes that come from outside. */
int svl__wire_check(const uint8_t *data, size_t len, struct wire_view *view);

/* The whole record, with `attributes` (space for RECORD_ATTRIBUTES_MAX) for its attributes; id and
 * ingest_ns are 0. */
int svl__wire_decode(const uint8_t *data, size_t len, svl_attribute *attributes, svl_record *out);

#endif
