/* scanner - one reader of the log for all subscriptions that have seen everything: which of them has something to do.
 *
 *     IDLE, alone --svl__scanner_join--> scanned --a record that it may want, or anything else to do--> READY
 *
 * A scanned subscription is IDLE, and nothing of it is touched while the log goes on: it has come as far as the
 * scanner has, or further. All with handlers->lock held, unless said otherwise. */
#ifndef SVL_HANDLER_SCANNER_H
#define SVL_HANDLER_SCANNER_H

#include <serverlog/handler.h>
#include <stdbool.h>
#include <stdint.h>

/* A scanned position is written each time the scanner has come this far: what a crash makes it look at again. */
#define SHARED_IDS_MAX (UINT64_C(1) << 19)

struct handlers;
struct scanner;

int svl__scanner_create(struct handlers *handlers, struct scanner **out);
void svl__scanner_destroy(struct scanner *scanner); /* NULL is fine; nobody has a turn */

/* An idle subscription that has nothing else to do goes to the scanner, if there are enough of them to be worth it; one
 * that it cannot take is left alone, and looks for itself. */
void svl__scanner_join(svl_subscription *s);
/* At start: those that are no further behind than SHARED_IDS_MAX, too, and the scanner begins at the last of them. */
void svl__scanner_begin(struct handlers *handlers);
/* It is not scanned any more, if it was, and its position is its own. */
void svl__scanner_leave(svl_subscription *s);
/* The same, and it is forgotten: it ends. */
void svl__scanner_forget(svl_subscription *s);
/* How far a subscription has come, scanned or not. */
uint64_t svl__scanner_position(const svl_subscription *s);

/* When there is a turn for it, monotonic: 0 = now, INT64_MAX = not before more is durable. */
int64_t svl__scanner_due_ns(const struct scanner *scanner);
/* Nobody is scanned, or all have seen everything up to `upto`. */
bool svl__scanner_is_done(const struct scanner *scanner, uint64_t upto);
/* Looks through a part of the log. False: there was no turn. Lets go of the lock meanwhile. */
bool svl__scanner_turn(struct scanner *scanner);

#endif
