/* rules - what the files of serverlog-bench-rules share.
 *
 * rules.c the command · figures.c rounds and the table · event.c events · set.c rules from
 * templates · match.c a match, by shape of rules and size of event · public.c the shapes of
 * published figures · growth.c hostile events and rules · change.c rules that come and go ·
 * parse.c JSON alone, by the harness's parsers too */
#ifndef BENCH_RULES_RULES_H
#define BENCH_RULES_RULES_H

#include <stddef.h>
#include <stdint.h>

typedef struct svl_ruleset svl_ruleset;

/* figures.c. A stretch of one thread's work, and how often another took its processor away. */
struct span {
    int64_t wall_ns, cpu_ns;
    long interruptions;
};
void span_begin(struct span *span);
void span_end(struct span *span);

/* Does the same so many times, between the span's begin and end: 0, or -1 after telling why. */
typedef int rules_work(void *state, uint64_t times, struct span *span);

/* figures.c. The state of a figure is freed by `release` with the table, the last one first. */
struct figures;
struct figures *figures_create(void);
void figures_destroy(struct figures *figures);
int figures_add(struct figures *figures, const char *name, size_t event_bytes, rules_work *work,
                void *state, void (*release)(void *state));
/* All figures in turn, `repeat` times, each for about `ms` milliseconds. */
int figures_measure(struct figures *figures, unsigned repeat, unsigned ms);
void figures_print(const struct figures *figures, const char *title);

int bench_fail(const char *what); /* prints, returns -1 */

/* event.c */
struct event {
    const char *text;
    size_t len;
};
#define EVENT_SIZES 3
extern const size_t event_sizes[EVENT_SIZES];
/* PARSE_PADDING bytes behind both may be read. */
struct event event_of_documentation(void);  /* 346 bytes */
struct event event_of_size(unsigned which); /* the fields that rules name come last */
/* `count` events of 352 bytes one after the other, each with an instance-id of its own, 0, step, 2 step ... */
char *events_rotating(unsigned count, unsigned step);

/* set.c. A template's signs # are the rule's number in decimal, one digit a sign, from the highest of
 * `digits`, again and again: with 3 digits rule 42 of "[#:###]" is "[0:420]". */
struct rule_shape {
    const char *name;
    const char *templates[6]; /* taken in turn; ended by NULL */
    unsigned digits;
    size_t matches; /* how many rules the event beside them matches */
};
#define MATCHES_ANY SIZE_MAX
int rules_add(svl_ruleset *ruleset, const struct rule_shape *shape, uint64_t number);
svl_ruleset *rules_create(const struct rule_shape *shape, uint64_t count);

/* The workloads, each a table of its own. */
int add_match_figures(struct figures *figures);
int add_public_figures(struct figures *figures);
int add_growth_figures(struct figures *figures);
int add_change_figures(struct figures *figures);
int add_parse_figures(struct figures *figures);

/* match.c, for growth.c too: matches `event` against `ruleset`, which it owns when `release_ruleset`
 * is svl_ruleset_destroy, as `text` when `release_text` is free; what it matches is checked once. */
struct match_state {
    svl_ruleset *ruleset;
    struct event event; /* the first of `events` of the same length, one after the other */
    unsigned events;
    unsigned next; /* of them */
    uint32_t flags;
    int expected; /* what a match returns */
    void (*release_ruleset)(svl_ruleset *ruleset);
    void (*release_text)(void *text);
};
int add_match(struct figures *figures, const char *name, const struct match_state *match,
              size_t matches);

/* match.c; the first is exact. `matches` is of 1,000 rules and an event of event_of_size(). */
extern const struct rule_shape rule_shapes[];
extern const unsigned rule_shape_count;

#endif
