/* lines.c - the records: bodies made by templates from a fixed seed, so that the harness needs no data of anybody
 * else, or the lines of one's own log, in their order. They are made before anything is timed; behind the last they
 * begin anew, with other times and keys, at a distance (9 MB) that no peer's compression window spans. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"

#define LINES_MIN 65536
#define LINES_MAX 4194304
#define INPUT_BYTES_MAX (64u << 20)
#define ARENA_BYTES                                                                                \
    ((size_t)512 << 20)     /* address space: 65,536 of the longest lines and the input */
#define LINE_BYTES_MAX 4096 /* of a file: the rest of a longer one is left out */

struct body {
    const char *text;
    const char *source;
    uint32_t len;
    uint32_t severity;
};
/* In a shared mapping: no part of a measuring process's anonymous memory. */
static struct body *bodies;
static uint64_t body_count;
static char *arena;
static size_t arena_used;

static void *map_shared(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
                    -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static int add_body(const char *text, size_t len, const char *source, uint32_t severity)
{
    if (body_count == LINES_MAX || arena_used + len > ARENA_BYTES)
        return bench_fail("too many lines");
    char *copy = memcpy(arena + arena_used, text, len);
    arena_used += len;
    bodies[body_count++] = (struct body){ copy, source, (uint32_t)len, severity };
    return 0;
}

static const char *source_of(unsigned kind)
{
    return kind < 6 ? "nginx" : kind < 10 ? "sshd" : kind < 14 ? "hdfs.datanode" : "shop.pool";
}

static int make_text(char *out, size_t size, unsigned kind, uint64_t *state)
{
    unsigned a = (unsigned)(bench_random(state) % 65536), b = (unsigned)(bench_random(state) % 256);
    unsigned c = (unsigned)(bench_random(state) % 1000000);
    if (kind < 6)
        return snprintf(
            out, size,
            "GET /api/v2/customers/%u/orders?page=%u HTTP/1.1 200 %u \"-\" \"client/4.%u "
            "(linux; x86_64)\" rt=0.%03u upstream=10.0.%u.%u:8080 cache=MISS",
            c, b % 40, a, b % 9, a % 1000, b, a % 250);
    if (kind < 10)
        return snprintf(out, size,
                        "session %08x: accepted publickey for deploy from 192.0.2.%u port %u, "
                        "fingerprint SHA256:%08x%08x, %u channels open, idle %u ms",
                        c * 2654435761u, b, a, a * 40503u, c * 69069u, b % 12, a % 900);
    if (kind < 14)
        return snprintf(
            out, size,
            "INFO dfs.DataNode$PacketResponder: Received block blk_%u%06u of size 67108864 "
            "from /10.250.%u.%u, %u replicas pending",
            a, c, b, a % 250, b % 4);
    return snprintf(out, size,
                    "WARN connection pool shop-db: %u of %u connections busy for %u ms, request "
                    "%08x waits, retry %u",
                    b % 64, 64u, a, c * 2654435761u, b % 5);
}

static int make_lines(void)
{
    uint64_t state = 42;
    int rc = 0;
    while (rc == 0 && body_count < LINES_MIN) {
        char text[256];
        unsigned kind = (unsigned)(bench_random(&state) % 16),
                 rare = (unsigned)(bench_random(&state) % 10000);
        int len = make_text(text, sizeof text, kind, &state);
        if (rare == 0)
            len += snprintf(text + len, sizeof text - (size_t)len, " trace=" LINES_RARE_WORD);
        uint32_t severity = kind >= 14 ? SVL_SEVERITY_WARN : SVL_SEVERITY_INFO;
        rc =
            add_body(text, (size_t)len, source_of(kind), rare < 10 ? SVL_SEVERITY_ERROR : severity);
    }
    return rc;
}

/* A file shorter than the pool is repeated with its digits turned over, so that no copy equals another. */
static int add_perturbed(const struct body *of, uint64_t pass)
{
    char text[LINE_BYTES_MAX];
    uint64_t state = pass << 32 ^ body_count;
    memcpy(text, of->text, of->len);
    for (uint32_t i = 0; i < of->len; i++)
        if (text[i] >= '0' && text[i] <= '9')
            text[i] = (char)('0' + bench_random(&state) % 10);
    return add_body(text, of->len, of->source, of->severity);
}

static int cannot_read(const char *input)
{
    char words[512];
    snprintf(words, sizeof words, "cannot read %s: %s", input, strerror(errno));
    return bench_fail(words);
}

static int read_lines(const char *input)
{
    char text[LINE_BYTES_MAX + 1];
    FILE *f = fopen(input, "re");
    size_t bytes = 0;
    int rc = f ? 0 : cannot_read(input);
    while (rc == 0 && bytes < INPUT_BYTES_MAX && body_count < LINES_MAX &&
           fgets(text, sizeof text, f)) {
        size_t len = strcspn(text, "\n");
        if (rc == 0 && len > 0)
            rc = add_body(text, len, "input", SVL_SEVERITY_INFO);
        bytes += len;
    }
    if (f && ferror(f))
        rc = cannot_read(input);
    if (f)
        fclose(f);
    uint64_t own = body_count;
    if (rc == 0 && own == 0)
        rc = bench_fail("the file of --input has no line");
    for (uint64_t i = 0; rc == 0 && body_count < LINES_MIN; i++)
        rc = add_perturbed(&bodies[i % own], 1 + i / own);
    return rc;
}

int lines_load(const char *input)
{
    bodies = map_shared(LINES_MAX * sizeof *bodies);
    arena = map_shared(ARENA_BYTES);
    if (!bodies || !arena)
        return bench_fail("no memory for the lines");
    return input ? read_lines(input) : make_lines();
}

double lines_mean_bytes(void)
{
    return (double)arena_used / (double)body_count;
}

/* Five letters and eight digits, which do not sort as the numbers do. */
static svl_slice name_key(const char *prefix, uint64_t number, char *out)
{
    static const char digits[] = "0123456789abcdef";
    uint32_t mixed = (uint32_t)number * UINT32_C(2654435761);
    memcpy(out, prefix, 5);
    for (int i = 0; i < 8; i++)
        out[5 + i] = digits[mixed >> (28 - 4 * i) & 15];
    return (svl_slice){ out, 13 };
}

static svl_slice make_key(uint64_t n, uint64_t keys, char *out)
{
    uint64_t state = n * UINT64_C(0x2545f4914f6cdd1d);
    if (keys == KEYS_UNIQUE) {
        uint64_t words[2] = { bench_random(&state), bench_random(&state) };
        memcpy(out, words, sizeof words);
        return (svl_slice){ out, sizeof words };
    }
    /* Zipf-like: the product of two uniform numbers favours small ones. */
    uint64_t a = bench_random(&state) % keys, b = bench_random(&state) % keys;
    return name_key("host-", a * b / keys, out);
}

void line_make(uint64_t n, uint64_t keys, struct line *line)
{
    const struct body *of = &bodies[n % body_count];
    line->record = (svl_record){ .time_ns = LINES_TIME_FIRST_NS + (int64_t)n * LINES_TIME_STEP_NS,
                                 .severity = of->severity,
                                 .source = { of->source, strlen(of->source) },
                                 .body = { of->text, of->len } };
    if (keys > 0)
        line->record.key = make_key(n, keys, line->key);
}

/* --- a store that is asked --- */

#define FILLED_STRIDE 10

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

struct filled lines_filled(uint64_t total)
{
    uint64_t shared = ceil_div(total, FILLED_STRIDE);
    uint64_t keys = shared / FILLED_SPANS > 0 ? shared / FILLED_SPANS : 1;
    return (struct filled){ .total = total, .shared_keys = keys, .spans = ceil_div(shared, keys) };
}

/* How far the keys of a span are turned. */
static uint64_t turn_of(const struct filled *filled, uint64_t span)
{
    uint64_t state = span;
    return bench_random(&state) % filled->shared_keys;
}

uint64_t lines_shared(const struct filled *filled, uint64_t key, uint64_t span)
{
    uint64_t at = (key + turn_of(filled, span)) % filled->shared_keys;
    return (span * filled->shared_keys + at) * FILLED_STRIDE;
}

uint64_t lines_own(const struct filled *filled, uint64_t n)
{
    uint64_t own = n - n % FILLED_STRIDE + 1;
    return own < filled->total ? own : 1;
}

void line_make_filled(const struct filled *filled, uint64_t n, struct line *line)
{
    uint64_t kind = n % FILLED_STRIDE, shared = n / FILLED_STRIDE;
    uint64_t keys = filled->shared_keys, state = n;
    line_make(n, kind > 1 ? KEYS_MANY : 0, line);
    if (kind == 0)
        line->record.key = name_key(
            "user-", (shared % keys + keys - turn_of(filled, shared / keys)) % keys, line->key);
    else if (kind == 1)
        line->record.key =
            (svl_slice){ line->key, (size_t)snprintf(line->key, sizeof line->key, "%016llx",
                                                     (unsigned long long)bench_random(&state)) };
}

size_t row_bytes(const svl_record *record)
{
    return ROW_HEADER_BYTES + record->source.len + record->key.len + record->body.len;
}

size_t row_pack(const svl_record *record, uint8_t *row)
{
    memcpy(row, &record->time_ns, 8);
    row[8] = (uint8_t)record->severity;
    row[9] = (uint8_t)record->source.len;
    row[10] = (uint8_t)record->key.len;
    uint8_t *at = row + ROW_HEADER_BYTES;
    memcpy(at, record->source.data, record->source.len);
    at += record->source.len;
    if (record->key.len > 0)
        memcpy(at, record->key.data, record->key.len);
    at += record->key.len;
    memcpy(at, record->body.data, record->body.len);
    return (size_t)(at - row) + record->body.len;
}

int64_t row_time(const uint8_t *row)
{
    int64_t time_ns;
    memcpy(&time_ns, row, sizeof time_ns);
    return time_ns;
}

unsigned row_severity(const uint8_t *row)
{
    return row[8];
}

svl_slice row_body(const void *row, size_t len)
{
    const uint8_t *bytes = row;
    size_t before = ROW_HEADER_BYTES + (size_t)bytes[9] + bytes[10];
    return (svl_slice){ bytes + before, len - before };
}
