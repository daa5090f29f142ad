/* segment_filter - the file beside a full segment that says which keys the segment may have: who asks for one key reads
 * a line of it, and opens no segment that does not have the key, however many there are.
 *
 *   F2  each key of a block of the segment is in the filter of one of its parts.
 *   F3  all that it holds comes from the segment: a file that is missing or damaged is made again, and until then the
 *       segment is asked.
 *
 *   offset  bytes  what
 *   0       8      "svlkeys" and a zero
 *   8       4      format version, 1
 *   12      4      number of parts, at least 1
 *   16      16     uuid of the segment
 *   32      8      its last record id
 *   40      8      size of the file
 *   48      8      zero
 *   56      8      XXH3-64 of bytes 0 to 55, seeded with the place "filter" (seal.h)
 *   64             of each part: a head of 64 bytes, and its lines (bloom.h), filter number of that place
 *
 *   head:   0   8  number of the part, from 0
 *           8   8  number of its lines
 *           16  40 zeros
 *           56  8  XXH3-64 of bytes 0 to 55, seeded with the place */
#ifndef SVL_STORE_SEGMENT_FILTER_H
#define SVL_STORE_SEGMENT_FILTER_H

#include "segment.h"

/* The name of the segment's with ".keys" for ".seg"; under another one while it is made. */
void svl__segment_filter_name(const struct segment_info *info, char out[SEGMENT_NAME_BYTES]);
/* True, with first id and generation, if `name` is a filter's file; *is_made: not one that was being made. */
bool svl__segment_filter_name_parse(const char *name, uint64_t *first_id, uint32_t *generation,
                                    bool *is_made);
void svl__segment_filter_remove(int directory, const struct segment_info *info);

/* The file in the making, of a segment that nobody writes to: a part a step, so that a step takes little time, and
 * 2 MiB of memory. One thread. */
struct filter_maker;
int svl__filter_maker_begin(const struct segment_place *place, const struct segment_info *info,
                            struct filter_maker **out);
/* *is_done: the file is there, flushed. SVL_E_CORRUPT if not all keys can be told, a shortage, SVL_E_IO: it cannot be
 * made. */
int svl__filter_maker_step(struct filter_maker *maker, struct segment *segment, bool *is_done);
/* What is not done is removed. NULL is fine. */
void svl__filter_maker_end(struct filter_maker *maker);

struct segment_filter;

/* The segment's, mapped. SVL_E_NOT_FOUND without words; SVL_E_CORRUPT. */
int svl__segment_filter_open(const struct segment_place *place, const struct segment_info *info,
                             struct segment_filter **out);
void svl__segment_filter_close(struct segment_filter *filter); /* NULL is fine */

/* What a key is asked by; its lines are on their way into the cache then. */
uint64_t svl__segment_filter_hash(const struct segment_filter *filter, svl_slice key);
/* *is_damaged is set where a line is: then any key may be there. */
bool svl__segment_filter_may_have(const struct segment_filter *filter, uint64_t hash,
                                  bool *is_damaged);

/* Every line. SVL_E_CORRUPT. */
int svl__segment_filter_check(const struct segment_filter *filter);

#endif
