/* clock - wall time for records, monotonic time for waits. */
#ifndef SVL_BASE_CLOCK_H
#define SVL_BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

int64_t svl__wall_ns(void);      /* since the Unix epoch */
int64_t svl__monotonic_ns(void); /* since some start; never steps */
int64_t svl__boot_ns(void);      /* monotonic, and goes on while the host is suspended */

/* Busy until the monotonic clock shows `until_ns`: for waits that are shorter than going to sleep is. */
void svl__spin_until(int64_t until_ns);

/* The monotonic time at which `timeout_ms` from now has passed: -1 = never (INT64_MAX). */
int64_t svl__deadline_ns(int64_t timeout_ms);

#endif
