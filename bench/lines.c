/* lines.c - log lines made by templates from a fixed seed: the harness needs no data of anybody else. */
#include <stdio.h>
#include <string.h>

#include "bench.h"

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

#define DISTINCT 65536

/* Made once, so that making lines is no part of what is timed. */
static char bodies[DISTINCT][192];
static uint16_t lengths[DISTINCT];
static uint8_t severities[DISTINCT];

static void make_lines(void)
{
    uint64_t state = 42;
    for (unsigned i = 0; i < DISTINCT; i++) {
        unsigned a = (unsigned)(next(&state) % 65536), b = (unsigned)(next(&state) % 256);
        unsigned c = (unsigned)(next(&state) % 1000000), kind = (unsigned)(next(&state) % 16);
        int n;
        severities[i] = SVL_SEVERITY_INFO;
        if (kind < 6)
            n = snprintf(
                bodies[i], sizeof bodies[i],
                "GET /api/v2/customers/%u/orders?page=%u HTTP/1.1 200 %u \"-\" "
                "\"client/4.%u (linux; x86_64)\" rt=0.%03u upstream=10.0.%u.%u:8080 cache=MISS",
                c, b % 40, a, b % 9, a % 1000, b, a % 250);
        else if (kind < 10)
            n = snprintf(bodies[i], sizeof bodies[i],
                         "session %08x: accepted publickey for deploy from 192.0.2.%u port %u, "
                         "fingerprint SHA256:%08x%08x, %u channels open, idle %u ms",
                         c * 2654435761u, b, a, a * 40503u, c * 69069u, b % 12, a % 900);
        else if (kind < 14)
            n = snprintf(
                bodies[i], sizeof bodies[i],
                "INFO dfs.DataNode$PacketResponder: Received block blk_%u%06u of size 67108864 "
                "from /10.250.%u.%u, %u replicas pending",
                a, c, b, a % 250, b % 4);
        else
            n = snprintf(
                bodies[i], sizeof bodies[i],
                "WARN connection pool shop-db: %u of %u connections busy for %u ms, request "
                "%08x waits, retry %u",
                b % 64, 64u, a, c * 2654435761u, b % 5);
        if (kind >= 14)
            severities[i] = SVL_SEVERITY_WARN;
        lengths[i] = (uint16_t)n;
    }
}

/* Zipf-like: the product of two uniform numbers favours small ones. */
static uint64_t pick_key(uint64_t n, uint64_t keys)
{
    uint64_t state = n * UINT64_C(0x2545f4914f6cdd1d);
    uint64_t a = next(&state) % keys, b = next(&state) % keys;
    return a * b / keys;
}

svl_record bench_record(uint64_t n, uint64_t keys)
{
    static const char *const sources[] = { "nginx", "sshd", "hdfs.datanode", "shop.pool" };
    static char key[32];
    if (lengths[0] == 0)
        make_lines();
    uint64_t i = n * UINT64_C(0x9e3779b97f4a7c15) >> 48;
    const char *source = sources[i % 4];
    svl_record record = { .time_ns = INT64_C(1700000000000000000) + (int64_t)n * 250000,
                          .severity = severities[i],
                          .source = { source, strlen(source) },
                          .body = { bodies[i], lengths[i] } };
    if (keys > 0) {
        uint64_t k = pick_key(n, keys);
        int len = snprintf(key, sizeof key, "host-%08llx", (unsigned long long)(k * 2654435761u));
        record.key = (svl_slice){ key, (size_t)len };
    }
    return record;
}
