/* bell - one mapped page by which the writer tells other processes up to where the log is durable.
 *
 *   offset  bytes  what
 *   0       8      magic "SVLBELL1"
 *   8       4      format version, 1
 *   12      4      zero
 *   16      16     store uuid
 *   32      16     boot id of the system: the page's content does not survive a power cut in order
 *   48      8      PID namespace of the writer (inode number): LMDB knows its readers by pid
 *   56      8      changes: odd while one is under way
 *   64      8      salt of the journal file that was written to
 *   72      8      durable_seq: journal batches up to it are flushed
 *   80      4      futex word: counts the rings
 *
 *   E1  what it says was flushed before it was said.
 *   E2  it is a hint to look, and a limit; never a proof: a reader shows only what has right checksums.
 *
 * One writer; readers map it read-only. */
#ifndef SVL_STORE_BELL_H
#define SVL_STORE_BELL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BELL_NAME "bell"
/* Another page in the store's directory, which the pipeline makes. */
#define ATTACH_NAME "attach"

struct bell;

/* What it says. */
struct bell_news {
    uint64_t salt;
    uint64_t durable_seq;
};

/* The writer: makes the file if it is not there, and puts this process' identity into it. */
int svl__bell_open(int directory, mode_t file_mode, const uint8_t store_uuid[16],
                   struct bell **out);
/* A reader. SVL_E_NOT_FOUND (no words): there is none. SVL_E_CORRUPT, SVL_E_VERSION, SVL_E_FOREIGN. */
int svl__bell_open_reader(int directory, const uint8_t store_uuid[16], struct bell **out);
void svl__bell_close(struct bell *bell); /* NULL is fine */

/* The writer: says `news` and wakes who waits. One thread at a time. */
void svl__bell_ring(struct bell *bell, const struct bell_news *news);

/* False: it was not said in this boot, or its writer died while it spoke. */
bool svl__bell_hear(struct bell *bell, struct bell_news *news);
/* The writer lives, or lived, in this process' PID namespace. */
bool svl__bell_is_near(const struct bell *bell);

/* The count of rings; and sleeping until it is another one. */
uint32_t svl__bell_count(const struct bell *bell);
void svl__bell_wait(struct bell *bell, uint32_t count);
/* Ends svl__bell_wait() of this process' threads that sleep now: to be repeated until they have seen why. */
void svl__bell_stir(struct bell *bell);

#endif
