/* bench - what the harness's files share: a run's settings, timings, and workloads.
 *
 * main.c the command · workloads.c ours · patterns.c rules · follow.c another process · peer_lmdb.c raw LMDB and
 * a plain file · lines.c the data · report.c table and JSON lines */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <serverlog.h>
#include <stdbool.h>

#define SAMPLES_MAX 64

struct settings {
    uint64_t records;
    unsigned repeat;
    bool json;
    const char *directory; /* for stores: on the disk to be measured */
};

/* The work of one side, once: returns ns, or -1 after telling why. */
typedef int64_t work_fn(const struct settings *settings);

struct peer {
    const char *name;
    work_fn *work;
};

struct workload {
    const char *name;
    const char *what;
    const char *unit;     /* of the figure */
    bool is_rate;         /* records a second; else ns a record */
    uint64_t divisor;     /* records = settings->records / divisor */
    struct peer sides[3]; /* ours first; ended by a NULL name */
};

extern const struct workload workloads[];
extern const size_t workload_count;

/* lines.c: the n-th record of a fixed sequence: a line like those of real daemons, about 140 bytes. `keys`
 * distinct keys with a Zipf-like skew, 0 = no key. Lives until the next call. */
svl_record bench_record(uint64_t n, uint64_t keys);

/* peer_lmdb.c */
int64_t lmdb_append(const struct settings *settings);
int64_t lmdb_append_keyed(const struct settings *settings);
int64_t lmdb_durable(const struct settings *settings);
int64_t file_durable(const struct settings *settings);

/* patterns.c: the same event against so many rules, each of two exact fields. */
int64_t match_one_rule(const struct settings *settings);
int64_t match_1000_rules(const struct settings *settings);
int64_t match_100000_rules(const struct settings *settings);
/* Rules come and go, while another thread matches; and without it. */
int64_t change_while_matched(const struct settings *settings);
int64_t change_alone(const struct settings *settings);

/* follow.c */
int64_t follow_delay(const struct settings *settings);
int64_t append_alone(const struct settings *settings);

/* report.c */
struct samples {
    double values[SAMPLES_MAX];
    unsigned count;
};
void report_environment(const struct settings *settings);
void report_side(const struct settings *settings, const struct workload *workload,
                 const struct peer *peer, const struct samples *ours, struct samples *samples);

/* main.c */
int64_t bench_now_ns(void);
const char *bench_path(const struct settings *settings,
                       const char *name); /* empty; until next call */
void bench_remove(const char *path);
int64_t bench_fail(const char *what); /* prints, returns -1 */

#endif
