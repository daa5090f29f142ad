/* logquery.c - asks a store, also one that another process is writing.
 *
 *     logquery [OPTIONS] STORE
 *
 * Prints the records that meet all conditions, oldest first, and with --follow those that come. Also the
 * store's statistics, and a check of everything in it. Changes nothing. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "line_parse.h"
#include "show.h"

struct request {
    svl_query query;
    bool json, explain, verify, stats, count;
    bool wrong; /* said already: what, and why */
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void usage(FILE *out)
{
    fputs("usage: logquery [OPTIONS] STORE\n"
          "Prints the records of a store, also one that another process has open, that meet all "
          "conditions.\n"
          "  -k, --key KEY         records with this key\n"
          "  -p, --prefix KEY      with a key that starts so\n"
          "  -F, --from TIME       from this time on: 2026-11-24[T10:00:00[Z]], or -90s -15m -2h "
          "-3d\n"
          "  -t, --to TIME         before this time\n"
          "  -s, --severity N      at least: 1 to 24, or trace debug info warn error fatal\n"
          "  -S, --source SOURCE   from this source\n"
          "  -T, --type TYPE       of this type\n"
          "  -P, --pattern PATTERN matching this pattern, as serverlog-patterns(7) has it\n"
          "  -i, --id ID[-ID]      with these ids\n"
          "  -n, --limit N         N at most\n"
          "  -b, --backward        newest first\n"
          "  -l, --last N          the last N, oldest first; 0: none\n"
          "  -f, --follow          then what comes, until it is interrupted\n"
          "  -c, --count           only their number\n"
          "  -j, --json            as JSON lines\n"
          "      --explain         say what was read and skipped\n"
          "      --stats           statistics of the store\n"
          "      --verify          read and check everything\n"
          "  -h, --help\n",
          out);
}

static uint32_t parse_severity(const char *text)
{
    static const char *const names[] = { "trace", "debug", "info", "warn", "error", "fatal" };
    for (uint32_t i = 0; i < 6; i++)
        if (strcmp(text, names[i]) == 0)
            return 1 + 4 * i;
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    return *end || n < 1 || n > SVL_SEVERITY_MAX ? 0 : (uint32_t)n;
}

/* Digits only: no sign, no space. Returns what stands behind them, NULL if they are no number above 0. */
static const char *parse_number(const char *text, uint64_t *n)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return NULL;
    errno = 0;
    *n = strtoull(text, &end, 10);
    return errno || *n == 0 ? NULL : end;
}

static bool parse_ids(const char *text, svl_query *query)
{
    const char *end = parse_number(text, &query->id_min);
    query->id_max = query->id_min;
    if (end && *end == '-')
        end = parse_number(end + 1, &query->id_max);
    return end && !*end && query->id_max >= query->id_min;
}

static svl_slice slice(const char *text)
{
    return (svl_slice){ text, strlen(text) };
}

static void check(struct request *r, bool right, const char *value, const char *what)
{
    if (!right) {
        fprintf(stderr, "logquery: \"%s\" is not %s\n", value, what);
        r->wrong = true;
    }
}

static void take_option(struct request *r, int c, const char *value)
{
    svl_query *q = &r->query;
    switch (c) {
    case 'k':
    case 'p':
        q->key_kind = c == 'k' ? SVL_KEY_EXACT : SVL_KEY_PREFIX;
        q->key_low = slice(value);
        break;
    case 'F':
        check(r, parse_time(value, now_ns(), &q->time_min_ns) == 0, value, "a time");
        break;
    case 't':
        check(r, parse_time(value, now_ns(), &q->time_max_ns) == 0, value, "a time");
        break;
    case 's':
        q->severity_min = parse_severity(value);
        check(r, q->severity_min != 0, value, "a severity");
        break;
    case 'S':
        q->source = slice(value);
        break;
    case 'T':
        q->type = slice(value);
        break;
    case 'P':
        q->pattern = value;
        break;
    case 'i':
        check(r, parse_ids(value, q), value, "an id from 1, or ID-ID");
        break;
    case 'n': {
        const char *end = parse_number(value, &q->limit);
        check(r, end && !*end, value, "a number above 0");
        break;
    }
    case 'b':
        q->flags |= SVL_QUERY_BACKWARD;
        break;
    case 'l': {
        const char *end = strcmp(value, "0") == 0 ? "" : parse_number(value, &q->tail);
        q->flags |= SVL_QUERY_TAIL;
        check(r, end && !*end, value, "a number");
        break;
    }
    case 'f':
        q->flags |= SVL_QUERY_FOLLOW;
        break;
    case 'c':
        r->count = true;
        break;
    case 'j':
        r->json = true;
        break;
    case 'x':
        r->explain = true;
        break;
    case 'v':
        r->verify = true;
        break;
    case 'z':
        r->stats = true;
        break;
    default: /* getopt has said it */
        r->wrong = true;
    }
}

static void explain(const svl_cursor *cursor)
{
    svl_cursor_explanation e = { .struct_size = sizeof e };
    if (svl_cursor_explain(cursor, &e) != SVL_OK)
        return;
    fprintf(stderr,
            "segments %llu (skipped %llu)  blocks %llu: skipped by zone %llu, by key %llu, decoded "
            "%llu  body chunks %llu  records examined %llu, returned %llu\n",
            (unsigned long long)e.segments, (unsigned long long)e.segments_skipped,
            (unsigned long long)e.blocks, (unsigned long long)e.blocks_skipped_zone,
            (unsigned long long)e.blocks_skipped_key, (unsigned long long)e.blocks_decoded,
            (unsigned long long)e.chunks_decoded, (unsigned long long)e.records_examined,
            (unsigned long long)e.records_returned);
}

static void show(const struct request *r, const svl_record *records, size_t n)
{
    for (size_t i = 0; i < n && !r->count; i++) {
        if (r->json)
            show_record_json(stdout, &records[i]);
        else
            show_record(stdout, &records[i]);
    }
}

static void show_gap(svl_cursor *cursor)
{
    uint64_t first, last;
    if (svl_cursor_gap(cursor, &first, &last) == SVL_OK && first != 0)
        fprintf(stderr, "records %llu to %llu were retired before they were read\n",
                (unsigned long long)first, (unsigned long long)last);
}

static bool is_damage(int rc)
{
    return rc == SVL_E_CORRUPT || rc == SVL_E_VERSION || rc == SVL_E_FOREIGN || rc == SVL_E_CODEC;
}

static int query(svl_store *store, const struct request *r)
{
    svl_cursor *cursor;
    const svl_record *records;
    size_t n;
    uint64_t found = 0;
    int damaged = SVL_OK;
    int rc = svl_store_query(store, &r->query, &cursor);
    if (rc != SVL_OK) {
        fprintf(stderr, "%s\n", svl_last_error());
        return rc;
    }
    while ((rc = svl_cursor_next_many(cursor, -1, 1000, &records, &n)) == SVL_OK || is_damage(rc)) {
        if (rc != SVL_OK) {
            fprintf(stderr, "%s\n", svl_last_error());
            damaged = rc; /* what is readable behind it is shown */
        }
        show_gap(cursor);
        show(r, records, n);
        found += n;
        if (r->query.flags & SVL_QUERY_FOLLOW && fflush(stdout) != 0)
            break;
    }
    if (rc != SVL_E_END && rc != SVL_OK)
        fprintf(stderr, "%s\n", svl_last_error());
    if (r->count)
        printf("%llu\n", (unsigned long long)found);
    if (r->explain)
        explain(cursor);
    svl_cursor_close(cursor);
    return rc == SVL_E_END ? damaged : rc;
}

static void show_damage(int32_t code, const char *what, void *user)
{
    (void)user;
    const char *words = svl_strerror(code);
    bool said =
        strncmp(what, words, strlen(words)) == 0; /* a failure's own text begins with them */
    fprintf(stderr, "%s%s%s%s\n", isatty(STDERR_FILENO) ? "\r\033[K" : "", said ? "" : words,
            said ? "" : ": ", what);
}

/* On a terminal only, and ten times a second: it is called for every block. */
static int show_progress(uint64_t done, uint64_t total, void *user)
{
    int64_t *next_ns = user, now = now_ns();
    if (isatty(STDERR_FILENO) && (now >= *next_ns || done == total)) {
        char a[32], b[32];
        *next_ns = now + INT64_C(100000000);
        fprintf(stderr, "\r\033[Kverified %s of %s ", show_bytes(done, a), show_bytes(total, b));
        if (done == total)
            fputc('\n', stderr);
    }
    return SVL_OK;
}

static int stats(svl_store *store)
{
    svl_store_stats s = { .struct_size = sizeof s };
    int rc = svl_store_stats_get(store, &s);
    char disk[32];
    if (rc != SVL_OK)
        fprintf(stderr, "%s\n", svl_last_error());
    else
        printf("records %llu (ids %llu to %llu), segments %llu, %s on disk\n",
               (unsigned long long)s.records, (unsigned long long)s.first_id,
               (unsigned long long)s.last_id, (unsigned long long)s.segments,
               show_bytes(s.disk_bytes, disk));
    return rc;
}

static int run(const char *path, const struct request *r)
{
    svl_store_options options;
    svl_store *store;
    int rc = svl_store_options_init(&options, sizeof options);
    options.flags = SVL_STORE_READ_ONLY;
    if (rc == SVL_OK)
        rc = svl_store_open(path, &options, &store);
    if (rc != SVL_OK) {
        fprintf(stderr, "%s\n", svl_last_error());
        return rc;
    }
    if (r->verify) {
        int64_t next_ns = 0;
        rc = svl_store_verify(store, show_damage, show_progress, &next_ns);
        if (rc == SVL_OK)
            puts("no damage");
        else
            fprintf(stderr, "%s\n", svl_last_error());
    } else if (r->stats) {
        rc = stats(store);
    } else {
        rc = query(store, r);
    }
    int closed = svl_store_close(store);
    if (closed != SVL_OK)
        fprintf(stderr, "%s\n", svl_last_error());
    return rc != SVL_OK ? rc : closed;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "key", required_argument, NULL, 'k' },      { "prefix", required_argument, NULL, 'p' },
        { "from", required_argument, NULL, 'F' },     { "to", required_argument, NULL, 't' },
        { "severity", required_argument, NULL, 's' }, { "source", required_argument, NULL, 'S' },
        { "type", required_argument, NULL, 'T' },     { "pattern", required_argument, NULL, 'P' },
        { "id", required_argument, NULL, 'i' },       { "limit", required_argument, NULL, 'n' },
        { "backward", no_argument, NULL, 'b' },       { "last", required_argument, NULL, 'l' },
        { "follow", no_argument, NULL, 'f' },         { "count", no_argument, NULL, 'c' },
        { "json", no_argument, NULL, 'j' },           { "explain", no_argument, NULL, 'x' },
        { "verify", no_argument, NULL, 'v' },         { "stats", no_argument, NULL, 'z' },
        { "help", no_argument, NULL, 'h' },           { NULL, 0, NULL, 0 },
    };
    struct request r = { .wrong = false };
    svl_query_init(&r.query, sizeof r.query);
    for (int c;
         (c = getopt_long(argc, argv, "k:p:F:t:s:S:T:P:i:n:bl:fcjh", options, NULL)) != -1;) {
        if (c == 'h') {
            usage(stdout);
            return 0;
        }
        take_option(&r, c, optarg);
    }
    if (r.wrong)
        return 2;
    if (argc - optind != 1 || r.verify + r.stats + (r.count || r.explain) > 1) {
        usage(stderr);
        return 2;
    }
    int rc = run(argv[optind], &r);
    return show_end() == 0 && rc == SVL_OK ? 0 : 1;
}
