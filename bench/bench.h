/* bench.h - what the harness is made of: a peer does something, a workload asks it to and measures.
 *
 *   B1  every measurement is a process of its own: memory, CPU time and bytes written are of that peer alone.
 *   B2  within a workload the peers take turns, each round from another one on; all see the same weather.
 *   B3  a peer gets the same records in the same order as ours, and is asked the same questions.
 *
 * main.c the command · plan.c what is run · run.c turns · child.c a measurement's process · progress.c how far it is
 * workloads.c, workload_*.c the questions · peers.c, peer_*.c who answers · lines.c the data
 * watch.c clocks and counters · histogram.c, load.c latency · statistics.c, results.c the figures
 * json_line.c, report.c, compare.c in words · chart.c, chart_growth.c, page.c in pictures · environment.c */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <serverlog.h>
#include <stdbool.h>

#include "results.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SIZES_MAX 8
#define WINDOWS 10 /* of a workload that looks at its rate as the store grows */

/* --- peers --- */

/* What a queue's consumer does with a message: reads every byte of it. */
struct sink {
    uint64_t sum;   /* of the payload's words: nothing may be optimised away */
    uint64_t stamp; /* first word of the last message */
    uint64_t count;
};

struct queue_wish {
    const char *path;   /* for a peer that has a file */
    uint64_t bytes_max; /* that may wait in it: the messages of a burst fit */
    unsigned message_bytes;
    unsigned producers;
};

/* Bytes from threads to one thread, in this process. A queue that is full or empty is waited for: a sleep where the
 * peer has one, else sched_yield(). */
struct queue_ops {
    bool is_by_value; /* carries the bytes; else a pointer, to memory that the producer allocates */
    bool can_sleep;   /* its consumer waits without polling */
    void *(*open)(const struct queue_wish *wish);
    /* `producer` numbers the calling thread from 0. Sends the same message `n` times. */
    int (*send)(void *queue, unsigned producer, const void *message, unsigned bytes, uint64_t n);
    int (*receive)(void *queue, uint64_t n, struct sink *sink);
    /* Instead of receive(): it has its own consumer. Waits until that has everything. */
    int (*drain)(void *queue);
    void (*close)(void *queue);
};

enum store_index { INDEX_NONE = 0, INDEX_KEY = 1, INDEX_TIME = 2 };

enum store_purpose {
    PURPOSE_BULK,    /* append(), finish(); count_key() by another thread meanwhile */
    PURPOSE_DURABLE, /* append_durable() */
    PURPOSE_READ     /* what is there already */
};

struct store_wish {
    enum store_purpose purpose;
    unsigned indexes; /* INDEX_*: what will be asked for */
    uint64_t records; /* that will come, for what has to be sized */
};

struct line;

/* Records in a directory or file at `path`. What a peer does not offer is NULL. Answers are 0 or more, or -1 after
 * bench_fail(). */
struct store_ops {
    void *(*open)(const char *path, const struct store_wish *wish);
    int (*append)(void *store, const struct line *line); /* in bulk, as fast as it is meant to be */
    int (*finish)(void *store);                          /* all that was appended is on the disk */
    int (*settle)(void *store); /* not timed: what it would do later, by itself or as it opens */
    int (*append_durable)(void *store, const struct line *line); /* on return it is; any thread */
    int64_t (*scan)(void *store, uint64_t *bytes);    /* every record, its body read: how many */
    int64_t (*count_errors)(void *store);             /* severity ERROR and above */
    int64_t (*count_key)(void *store, svl_slice key); /* bodies read */
    int64_t (*newest_of_key)(void *store, svl_slice key, unsigned n); /* the n newest, bodies read:
                                                                         the oldest one's time */
    int64_t (*first_since)(void *store, int64_t time_ns);             /* the record's time */
    int64_t (*count_word)(void *store, const char *word);             /* bodies that contain it */
    int (*close)(void *store);
    unsigned indexes; /* INDEX_*: what it can keep, also where another peer answers for it */
    /* What records take at most while they are written and indexed, over their text. */
    double disk_factor;
};

/* Takes one JSON document apart, whole and checked; behind it are PARSE_PADDING bytes that may be read. */
#define PARSE_PADDING 64
struct parser_ops {
    void *(*open)(void);
    int (*parse)(void *parser, const char *text, size_t len);
    void (*close)(void *parser);
};

struct peer {
    const char *name;  /* as --peers takes it */
    const char *title; /* as a chart says it */
    bool is_ours;
    bool is_program;       /* it works in a process of its own: what it writes is not counted */
    bool (*is_here)(void); /* NULL: always; else whether the program that it runs is installed */
    const char *(*version)(void);
    const struct queue_ops *queue;
    const struct store_ops *store;
    const struct parser_ops *parser;
};

/* Ended by NULL; ours come first. */
extern const struct peer *const bench_peers[];
/* Peers that this build or machine does not have: name and package, ended by a NULL name. */
struct left_out {
    const char *name;
    const char *why;
};
extern const struct left_out bench_left_out[];

/* --- workloads --- */

/* One measurement, in a process of its own. */
struct run {
    const struct workload *workload;
    const struct peer *peer;
    uint64_t records;
    const char
        *path; /* for what this measurement writes: nothing is there, all is removed afterwards */
    const char *fixture; /* what prepare() left, of this peer and size; not to be changed */
    double metrics[METRIC_COUNT]; /* the result: NAN where not measured */
    double windows[WINDOWS];      /* rates of equal parts, in order; NAN likewise */
};

struct workload {
    const char
        *name; /* "scan", "transfer/4x139"; selected by its name or the part before the slash */
    const char *question;        /* a chart's title */
    unsigned charts;             /* METRIC_BIT() of the metrics that get one */
    double bounds[METRIC_COUNT]; /* that ours is to keep to, drawn with it; 0: none */
    bool is_growing;             /* measured at each size; else at the largest alone */
    uint64_t divisor;            /* records = size / divisor */
    bool (*fits)(const struct peer *peer);
    const char
        *fixture_name; /* workloads with the same one share what prepare() made; NULL: none */
    int (*prepare)(struct run *run);
    int (*measure)(struct run *run);
    unsigned threads, bytes, handlers; /* what the workload's file makes of them */
    uint64_t keys;
    bool has_hog; /* a thread that computes beside */
};

/* The i-th workload of all; NULL behind the last. */
const struct workload *bench_workload(size_t i);

/* --- what they use --- */

/* Prints, returns -1. */
int bench_fail(const char *what);
/* Likewise: what cannot be done with the path, and why, by errno. */
int bench_fail_at(const char *what, const char *path);
int64_t bench_now_ns(void);
/* Removes a file, or a directory with what is in it; it need not be there. */
void bench_remove(const char *path);
/* Allocated bytes of a file or of a directory's files, 0 where nothing is; -1 with words. */
int64_t bench_disk_bytes(const char *path);

/* rings.c: the run's directory for crash rings, /dev/shm/serverlog-bench-PID, is made and removed. */
void bench_rings_begin(void);
void bench_rings_end(void);
/* svl_open() with default options, its ring in that directory. */
int bench_open_pipeline(const char *path, svl_pipeline **out);

/* watch.c: time, CPU time (of all threads and of children that were waited for) and bytes written between start and
 * stop go into run->metrics: EACH_NS and RATE for `operations`, CPU_NS, WRITTEN_BYTES and DIRTIED_BYTES. */
struct watch {
    int64_t wall_ns, cpu_ns, written, dirtied;
};
void watch_start(struct watch *watch);
void watch_stop(struct watch *watch, struct run *run, uint64_t operations);
/* A process's anonymous resident bytes, 0 if it cannot be known. */
uint64_t watch_rss_anon(int pid);

/* lines.c */
#define KEYS_UNIQUE UINT64_MAX
#define KEYS_MANY 100000
struct line {
    svl_record record;
    char key[32];
};
/* The n-th record of a fixed sequence, with one of `keys` distinct keys, Zipf-like skewed; 0: no key; KEYS_UNIQUE: 16
 * random bytes. Any thread, once lines_load() has returned. */
void line_make(uint64_t n, uint64_t keys, struct line *line);
/* A store that is asked has three kinds of keys: each tenth record one of `shared_keys` that has a record in each of
 * `spans` equal parts of the store (1,000 and a few), at a random place in it; each tenth one of its own, of 16 random
 * digits; the others one of KEYS_MANY. */
#define FILLED_SPANS 1000
struct filled {
    uint64_t total, shared_keys, spans;
};
struct filled lines_filled(uint64_t total);
void line_make_filled(const struct filled *filled, uint64_t n, struct line *line);
/* The number of the record that a shared key has in a span; the last span may end before it: `total` or more. */
uint64_t lines_shared(const struct filled *filled, uint64_t key, uint64_t span);
/* The number of a record near the n-th that has a key of its own. */
uint64_t lines_own(const struct filled *filled, uint64_t n);
/* The mean length of a record's body. */
double lines_mean_bytes(void);
/* Makes the lines by templates, or takes those of the file `input`. */
int lines_load(const char *input);
/* A word that about one line in 10,000 holds, and what is in none. */
#define LINES_RARE_WORD "e11a7c0de"
#define LINES_TIME_FIRST_NS INT64_C(1700000000000000000)
#define LINES_TIME_STEP_NS INT64_C(250000)

/* A record as a row of a key-value store: time, severity, lengths, source, key, body. Returns its length. */
#define ROW_BYTES_MAX 8192
#define ROW_HEADER_BYTES 11
size_t row_bytes(const svl_record *record);
size_t row_pack(const svl_record *record, uint8_t *row);
int64_t row_time(const uint8_t *row);
unsigned row_severity(const uint8_t *row);
svl_slice row_body(const void *row, size_t len);

/* Eight bytes that sort as the number does. */
static inline void put_be64(uint8_t out[8], uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        out[i] = (uint8_t)v;
}

static inline uint64_t get_be64(const uint8_t in[8])
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | in[i];
    return v;
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static inline uint64_t bench_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Sums bytes by words: every cache line is read. */
uint64_t bench_sum(const void *data, size_t len);

static inline void sink_take(struct sink *sink, const void *data, size_t len)
{
    uint64_t first = 0;
    if (len >= sizeof first)
        __builtin_memcpy(&first, data, sizeof first);
    sink->stamp = first;
    sink->sum += bench_sum(data, len);
    sink->count++;
}

#ifdef __cplusplus
}
#endif

#endif
