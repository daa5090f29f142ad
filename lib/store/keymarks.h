/* keymarks - two bytes of each record's key of a batch, by which who asks for one key passes the batches and records
 * that do not have it without taking them apart.
 *
 * Made by the first who asks; a batch that nobody asks for a key has none.
 *
 *   M1  who makes them, or finds that another has, shares them by `key_marks`: release by the exchange that sets it,
 *       acquire by the load, or the failed exchange, that finds it.
 *   M2  who frees them is the batch's only holder: what others read of them is behind the release of their references,
 *       which its look at the count has acquired. */
#ifndef SVL_STORE_KEYMARKS_H
#define SVL_STORE_KEYMARKS_H

#include "tail.h"

/* Of a key; 0 is no key's, but that of a record without one. */
uint16_t svl__key_mark(svl_slice key);

/* The batch's, one a record; with `make` they are made where they are not there. The caller holds the batch, so it
 * neither grows nor goes meanwhile (tail.h: L2), and the marks with it. Any thread. NULL: none are there, also without
 * memory, or where a record is damaged: who asks must look at all of them. */
const uint16_t *svl__key_marks(struct batch *batch, bool make);

/* One of `n` is `mark`. */
bool svl__key_marks_have(const uint16_t *marks, size_t n, uint16_t mark);

#endif
