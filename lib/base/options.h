/* options - structs that carry their own size, so that old and new callers meet.
 *
 * A caller compiled against an older header gives a shorter struct: the missing tail is zero, which
 * is the default. One compiled against a newer header gives a longer struct: its tail must be zero,
 * else it asks for something unknown here. */
#ifndef SVL_BASE_OPTIONS_H
#define SVL_BASE_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

/* Zeroes `size` bytes at `options` and stores the size in its first member. `first_size` is the size
 * of the first version's struct: less is refused. */
int svl__options_init(void *options, size_t size, size_t first_size, const char *name);

/* Copies the caller's `options` (NULL = all defaults) into `to`, which is `to_size` bytes. */
int svl__options_copy(void *to, size_t to_size, const void *options, size_t first_size,
                      const char *name);

/* Copies what of `from` fits the caller's struct `out`, whose first member says its size. */
int svl__options_fill(void *out, const void *from, size_t from_size, size_t first_size,
                      const char *name);

#endif
