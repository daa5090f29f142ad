/* ledger - what a season of the model has learned, in memory that all its processes share.
 *
 * A label says which record it is, and all of its contents follow from it (records.h):
 *
 *     bits 56 to 63   class: CLASS_PUBLISHED, CLASS_EMITTED + subscription, CLASS_LETTER + subscription,
 *                     CLASS_RESOLVED + subscription
 *     bits 0 to 55    published: number * 256 + part; emitted: the id of its cause; else the id of the original
 *
 * A number is its publisher's count * PUBLISHERS + the publisher. Part 0 is the record itself, the others are what
 * the ingest handler added to it.
 *
 *   L1  the scribe alone writes what is behind `known`, in the order of ids; everybody reads what is before it.
 *   L2  a process that finds something wrong says so and ends with WRONG; the others see `failed` and end. */
#ifndef TESTS_MODEL_LEDGER_H
#define TESTS_MODEL_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <serverlog.h>

#define PUBLISHERS 4 /* the last one appends to the store */
#define APPENDER (PUBLISHERS - 1)
#define SUBSCRIPTIONS 3
#define IDS_MAX (1u << 20)         /* of a season */
#define NUMBERS_MAX (8u * IDS_MAX) /* of one publisher at most, and those that were dropped */
#define WRONG 3                    /* exit status */

enum label_class {
    CLASS_PUBLISHED = 0,
    CLASS_EMITTED = 0x10,
    CLASS_LETTER = 0x20,
    CLASS_RESOLVED = 0x30
};

static inline uint64_t label_make(unsigned class_, uint64_t rest)
{
    return (uint64_t)class_ << 56 | rest;
}
static inline unsigned label_class(uint64_t label)
{
    return (unsigned)(label >> 56) & 0xf0;
}
static inline unsigned label_subscription(uint64_t label)
{
    return (unsigned)(label >> 56) & 0x0f;
}
static inline uint64_t label_rest(uint64_t label)
{
    return label & ((UINT64_C(1) << 56) - 1);
}

/* What became of a record in a subscription; bits. */
enum fate {
    FATE_SHOWN = 1,    /* in a batch, at least once */
    FATE_DONE = 2,     /* settled as done */
    FATE_GIVEN_UP = 4, /* rejected, or never shown again without being done */
    FATE_EMITTED = 8,  /* what it caused is stored */
    FATE_LETTER = 16,  /* an unresolved dead letter of it is stored */
    FATE_LOST = 32     /* retired before it was shown */
};

struct entry {
    uint64_t label;
    int64_t time_ns;
    uint32_t severity; /* of the library's own records, which no formula gives */
    uint32_t key_len;
    char key[48];
};

struct ledger {
    uint64_t seed;
    _Atomic bool failed;
    _Atomic bool ends;                        /* the writer has closed for good */
    _Atomic uint64_t known;                   /* ids up to it are in `entries` */
    _Atomic uint64_t acknowledged;            /* ids up to it were told to somebody as durable */
    _Atomic uint64_t begun[PUBLISHERS];       /* numbers that publishing has begun with */
    _Atomic uint64_t flushed[PUBLISHERS];     /* numbers that were told to be durable */
    _Atomic uint64_t id_of[NUMBERS_MAX];      /* of what a number became: the last one */
    _Atomic uint64_t checks;                  /* queries and followers held against the ledger */
    _Atomic uint64_t lives, retired, letters; /* of the season: for the message */
    _Atomic uint8_t fates[SUBSCRIPTIONS][IDS_MAX];
    struct entry entries[IDS_MAX];
};
extern struct ledger *ledger;

/* Says what is wrong, by whom and where, with what seed; the process ends with WRONG. */
void wrong(const char *who, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));
/* Ends with WRONG unless the call gave SVL_OK. */
void must(int rc, const char *who, const char *call);

/* The scribe has come to `id`; false: something is wrong elsewhere. */
bool await_known(uint64_t id);
static inline const struct entry *entry_of(uint64_t id)
{
    return &ledger->entries[id];
}
static inline bool has_failed(void)
{
    return atomic_load_explicit(&ledger->failed, memory_order_relaxed);
}

/* Somebody was told that records up to `id` are durable. */
void acknowledge(uint64_t id);
/* What was told to be durable at one moment: whoever looks later sees all of it. */
struct horizon {
    uint64_t id;
    uint64_t numbers[PUBLISHERS];
};
struct horizon horizon_now(void);
/* Its highest id, once the ledger has what is durable. */
uint64_t horizon_id(const struct horizon *horizon);

int64_t monotonic_ns(void);
void sleep_us(long us);

#endif
