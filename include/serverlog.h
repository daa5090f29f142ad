/* serverlog.h - libserverlog, whole.
 *
 * A log store, an event bus and the functions that react, inside one process. Each part is a
 * chapter:
 *
 *     serverlog/types.h      results, records, conventions, thread words
 *     serverlog/store.h      the durable log, alone: append, get, query, retain, verify
 *     serverlog/bus.h        an event bus, alone: publish, subscribe, pump; nothing is stored
 *     serverlog/pattern.h    event patterns: compile, match, a million at once
 *     serverlog/transformer.h parts of an event, in a form of the receiver's
 *     serverlog/handler.h    functions called for records: before and after they are stored
 *     serverlog/consumer.h   the same records polled, with a descriptor for event loops
 *     serverlog/deadletter.h records that a handler could not do: find them, deliver them again
 *     serverlog/pipeline.h   everything wired together: the part that most hosts need
 *     serverlog/attach.h     publishing into a pipeline from other processes
 *
 * The concepts, the durability table and a first program: serverlog(7). */
#ifndef SERVERLOG_H
#define SERVERLOG_H

#include <serverlog/attach.h>
#include <serverlog/bus.h>
#include <serverlog/consumer.h>
#include <serverlog/deadletter.h>
#include <serverlog/handler.h>
#include <serverlog/pattern.h>
#include <serverlog/pipeline.h>
#include <serverlog/store.h>
#include <serverlog/transformer.h>
#include <serverlog/types.h>

#endif
