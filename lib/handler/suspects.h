/* suspects - records that were in a callback when the process died, and how often each has killed it alone. They
 * are the durable value of "crash/suspects":
 *
 *   offset  bytes  what
 *   0       1      version, 1
 *   1       3      zero
 *   4       4      n
 *   8       32 n   kind u8 · zero u8[3] · crashes u32 · subject u64 · first u64 · last u64
 *
 * A batch that was marked is one suspect of several records, without crashes; a record that has crashed alone is
 * one of its own, which may lie within another.
 *
 * Nothing here locks: the caller does. */
#ifndef SVL_HANDLER_SUSPECTS_H
#define SVL_HANDLER_SUSPECTS_H

#include "base/bytes.h"
#include "marks.h"
#include "store/store.h"

/* Two crashes' worth of marks; in a longer list the oldest gives way, which costs a crash more. */
#define SUSPECTS_MAX 512

struct suspect {
    struct marked what;
    uint32_t crashes;
};

struct suspects {
    struct buffer list; /* struct suspect each, the oldest first */
};

/* SVL_OK, also without any; SVL_E_VERSION. */
int svl__suspects_load(svl_store *store, struct suspects *suspects);
/* Feeds the list as it is. */
int svl__suspects_save(svl_store *store, const struct suspects *suspects, uint64_t *ticket);
void svl__suspects_free(struct suspects *suspects);
size_t svl__suspects_count(const struct suspects *suspects);

/* Adds what was marked, or raises its crashes to `crashes`; *changed if that was news. SVL_E_NOMEM. */
int svl__suspects_add(struct suspects *suspects, const struct marked *what, uint32_t crashes,
                      bool *changed);

/* Whether record `at` of a subject is one, and its crashes. */
bool svl__suspects_find(const struct suspects *suspects, enum marked_kind kind, uint64_t subject,
                        uint64_t at, uint32_t *crashes);
bool svl__suspects_has(const struct suspects *suspects, enum marked_kind kind, uint64_t subject);
/* Forgets those of a subject that end at or before `upto`; sets the crashes of all of a subject to 0. False:
 * there are none. */
bool svl__suspects_forget(struct suspects *suspects, enum marked_kind kind, uint64_t subject,
                          uint64_t upto);
bool svl__suspects_forgive(struct suspects *suspects, enum marked_kind kind, uint64_t subject);

#endif
