/* values - operations: durable values under keys, and how they travel in the journal.
 *
 * An OPS section is, for each operation: key length u16 · value length u32 (UINT32_MAX: delete) · key ·
 * value. Operations are numbered in log order; the section's batch names its last one.
 *
 * What is durable in the journal but not yet in the catalog waits here, the newest value of each key.
 * Nothing here locks: the caller holds the store's lock. */
#ifndef SVL_STORE_VALUES_H
#define SVL_STORE_VALUES_H

#include "base/bytes.h"
#include "catalog.h"
#include "store.h"

#define VALUE_KEY_MAX 480
#define VALUE_BYTES_MAX 65536

struct value_entry {
    uint64_t op;
    uint32_t key_len;
    uint32_t value_len;
    bool deleted;
    uint8_t bytes[]; /* key, value */
};

struct values {
    struct value_entry **entries; /* sorted by key */
    size_t count, capacity;
};

/* SVL_E_INVALID for a key or value that is too long. */
int svl__op_check(const struct store_op *op);
size_t svl__op_size(const struct store_op *op);
void svl__op_encode(const struct store_op *op, struct buffer *out); /* space is reserved */

/* Applies the `count` operations of a section, the last of which is number `last_op`; those up to
 * `done_op` are skipped. SVL_E_CORRUPT, SVL_E_NOMEM. */
int svl__values_apply(struct values *values, svl_slice ops, uint32_t count, uint64_t last_op,
                      uint64_t done_op);

/* Room for `n` more entries: then merging as many cannot fail. SVL_E_NOMEM. */
int svl__values_reserve(struct values *values, size_t n);
/* Moves the entries of `from`, which are newer, into `to`, where room for them is reserved. */
void svl__values_merge(struct values *to, struct values *from);

/* The entry of `key`, NULL if none waits here. */
const struct value_entry *svl__values_find(const struct values *values, svl_slice key);

/* A copy of all entries. SVL_E_NOMEM: `to` is empty. */
int svl__values_copy(const struct values *values, struct values *to);
/* Adds all entries to a change of the catalog. */
int svl__values_put(const struct values *values, struct catalog_change *change);
/* Forgets the entries up to operation `last_op`: they are committed. */
void svl__values_forget(struct values *values, uint64_t last_op);
void svl__values_free(struct values *values);

#endif
