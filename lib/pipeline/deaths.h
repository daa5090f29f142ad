/* deaths - hears of processes that end, by their files: a process' end closes what it has open for writing, and
 * inotify tells of that. A thread waits for it and wakes the host; whether somebody died is what his lock says. */
#ifndef SVL_PIPELINE_DEATHS_H
#define SVL_PIPELINE_DEATHS_H

#include "attach_page.h"

struct deaths;

/* SVL_E_RESOURCE, SVL_E_NOMEM, SVL_E_IO. */
int svl__deaths_create(struct attach_page *page, struct deaths **out);
void svl__deaths_destroy(struct deaths *deaths); /* NULL is fine; before the page goes */
/* From now on the closing of this file is heard of. It is forgotten when it is removed. */
int svl__deaths_watch(struct deaths *deaths, const char *directory, const char *name);
/* Something was closed since the last call. */
bool svl__deaths_happened(struct deaths *deaths);
/* It will be true. */
bool svl__deaths_waiting(const struct deaths *deaths);

#endif
