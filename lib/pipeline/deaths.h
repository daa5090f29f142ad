/* deaths - hears of processes that end, by their files: a process' end closes what it has open for writing, and
 * inotify tells of that; whether somebody died is what his lock says. A thread waits for it and wakes the host. For
 * a host that polls there is none: he has the descriptor, and publishers that owe him a wake touch their files. */
#ifndef SVL_PIPELINE_DEATHS_H
#define SVL_PIPELINE_DEATHS_H

#include "attach_page.h"

struct deaths;

/* SVL_E_RESOURCE, SVL_E_IO, SVL_E_NOMEM. */
int svl__deaths_create(struct deaths **out);
void svl__deaths_destroy(struct deaths *deaths); /* NULL is fine; before the page goes */
/* Starts the thread: it wakes who sleeps on the page's word. */
int svl__deaths_start(struct deaths *deaths, struct attach_page *page);
/* Without the thread: readable when something is to be heard; takes that in. */
int svl__deaths_fd(const struct deaths *deaths);
void svl__deaths_hear(struct deaths *deaths);
/* From now on the closing of this file is heard of, and without the thread its touch. It is forgotten when it is
 * removed. */
int svl__deaths_watch(struct deaths *deaths, const char *directory, const char *name);
/* The same of a file in the directory that this descriptor has open. */
int svl__deaths_watch_at(struct deaths *deaths, int directory, const char *name);
/* Something was closed since the last call. */
bool svl__deaths_happened(struct deaths *deaths);
/* It will be true. */
bool svl__deaths_waiting(const struct deaths *deaths);

#endif
