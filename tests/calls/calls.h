/* calls - what the executable's own calls (calls.c) pretend. */
#ifndef TESTS_CALLS_CALLS_H
#define TESTS_CALLS_CALLS_H

#include <stdint.h>

/* From now on this process runs after a reboot: the kernel's boot id is another one. */
void calls_reboot(void);
/* The wall clock is set ahead, once more: the next commit begins a new segment, without eight megabytes to fill the
 * old. */
void calls_set_clock_ahead(int64_t seconds);

#endif
