/* keyset.h - making key sets; what may be asked of them is in block.h. */
#ifndef SVL_STORE_KEYSET_H
#define SVL_STORE_KEYSET_H

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

#endif
