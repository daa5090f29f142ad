/* lmdb_bytes.h - where things lie in an LMDB file, for tests that change them: see the byte table in
 * store/lmdb_check.c. */
#ifndef TESTS_STORE_LMDB_BYTES_H
#define TESTS_STORE_LMDB_BYTES_H

#include "base/bytes.h"
#include "support/support.h"

#define PAGE 4096
#define META_AT 16 /* behind a page's header */
#define NODE_BYTES 8
#define TABLE_BYTES 48
#define TABLE_ROOT 40 /* in the record of a table */

/* The record of a named table, in the main one's page: it is a leaf. */
static inline size_t find_table(const uint8_t *file, const char *name)
{
    size_t len = strlen(name), transaction = META_AT + 128;
    size_t newest = load_u64(file + transaction) > load_u64(file + PAGE + transaction) ? 0 : PAGE;
    size_t page = load_u64(file + newest + META_AT + 24 + TABLE_BYTES + TABLE_ROOT) * PAGE;
    for (size_t at = page; at + NODE_BYTES + len + TABLE_BYTES <= page + PAGE; at += 2)
        if (load_u16(file + at) == TABLE_BYTES && load_u16(file + at + 6) == len &&
            memcmp(file + at + NODE_BYTES, name, len) == 0)
            return at + NODE_BYTES + len;
    fail_msg("no table %s", name);
    return 0;
}

#endif
