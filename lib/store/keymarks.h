/* keymarks - two bytes of each record's key of a batch, by which who asks for one key passes the batches and records
 * that do not have it without taking them apart.
 *
 * Made by the first who asks; a batch that nobody asks for a key has none. */
#ifndef SVL_STORE_KEYMARKS_H
#define SVL_STORE_KEYMARKS_H

#include "tail.h"

/* Of a key; 0 is no key's, but that of a record without one. */
uint16_t svl__key_mark(svl_slice key);

/* The batch's, one a record, until it grows or goes: the caller holds it, so it does neither. Any thread. NULL without
 * memory, or where a record is damaged: who asks must look at all of them. */
const uint16_t *svl__key_marks(struct batch *batch);

/* One of `n` is `mark`. */
bool svl__key_marks_have(const uint16_t *marks, uint32_t n, uint16_t mark);

#endif
