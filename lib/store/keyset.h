/* keyset.h - making key sets; what may be asked of them is in block.h. */
#ifndef SVL_STORE_KEYSET_H
#define SVL_STORE_KEYSET_H

#include "base/bytes.h"
#include "block.h"

/* `keys` are ascending and distinct; copied. NULL without memory. */
struct key_set *svl__key_set_create(uint64_t first_id, const svl_slice *keys, uint32_t n);

/* A key on its way through a sort, with the number that it came with. */
struct sorted_key {
    uint64_t head; /* set by the sort: leading bytes, for a quick comparison */
    svl_slice key;
    uint32_t number;
};

/* Sorts `keys` bytewise; `scratch` is as long. Allocates nothing. */
void svl__key_sort(struct sorted_key *keys, struct sorted_key *scratch, uint32_t n);

/* How many bytes both begin with. */
size_t svl__key_shared(svl_slice a, svl_slice b);

/* Eight bytes of `key` from `skip` (at most its length) on, as a number that is ordered as they are; zeros behind the
 * end, so equal heads say nothing about what is longer. */
static inline uint64_t key_head(svl_slice key, size_t skip)
{
    const uint8_t *bytes = (const uint8_t *)key.data + skip;
    size_t n = key.len - skip;
    if (n >= sizeof(uint64_t))
        return __builtin_bswap64(load_u64(bytes));
    uint64_t head = 0;
    for (size_t i = 0; i < n; i++)
        head |= (uint64_t)bytes[i] << (56 - 8 * i);
    return head;
}

#endif
