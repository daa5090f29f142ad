/* log - what a run did to its store's directory, call by call, and what it was told: the recorder writes it,
 * disk and expectation follow it. A log stands alone: one that is loaded from a file gives the same states. */
#ifndef TESTS_POWER_LOG_H
#define TESTS_POWER_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_NAME_BYTES 48
#define LOG_PAGE 4096

enum op_kind {
    /* The directory's own name, in the one above it. */
    OP_MAKE_STORE,
    OP_STORE_SYNCED,
    /* Names. */
    OP_CREATE,
    OP_RENAME, /* name to other_name */
    OP_UNLINK,
    OP_SYNC_NAMES,   /* an fsync of the directory begins */
    OP_NAMES_SYNCED, /* it has returned: what came before op `a` is durable */
    /* Files. */
    OP_WRITE, /* len bytes at offset; no data: zeros; a = 1: through a mapping, which never makes a file longer */
    OP_SIZE, /* the size is len */
    OP_SYNC, /* a flush of the file begins */
    OP_SYNC_FAILED, /* instead, it has failed: what was not durable is taken for clean, and no later flush writes it */
    OP_SYNCED, /* it has returned: what came before op `a` is durable; with len > 0 (O_DSYNC): in these pages */
    /* What the run says: see expectation.h. */
    MARK_GROUP, /* records up to number `a` are submitted, those after the last group's all or none */
    MARK_ACK,   /* record number `a` is durable, with all before it; its id is `b`, 0 = not known */
    MARK_GENERATION /* records from number `a` on are written by generation `b`: the ones before are all there */
};

struct op {
    uint32_t kind; /* enum op_kind */
    uint32_t file; /* of all but names' and store's ops and marks */
    uint64_t offset, len;
    uint64_t a, b;
    char name[LOG_NAME_BYTES], other_name[LOG_NAME_BYTES];
    uint8_t *data; /* owned by the log */
};

struct log {
    struct op *ops;
    size_t count, capacity;
    size_t start; /* ops before it only make what was there at first: no states are built of them */
    uint32_t files; /* file numbers given */
    char script[32];
};

/* Appends; copies `len` bytes of op.data. Returns the op's index. */
size_t log_add(struct log *log, struct op op);
/* The first `n` ops of another, which are a beginning: `log` starts behind them. */
void log_copy(struct log *log, const struct log *from, size_t n);
void log_free(struct log *log);
/* False: could not be written, or is none. */
bool log_save(const struct log *log, const char *path);
bool log_load(struct log *log, const char *path);

static inline bool op_is_mark(const struct op *op)
{
    return op->kind >= MARK_GROUP;
}

#endif
