/* rules.h - an event, and rulesets of which one rule matches it; see peer_rules.c. */
#ifndef BENCH_RULES_H
#define BENCH_RULES_H

#include "bench.h"

/* The event of EventBridge's documentation. */
#define RULES_EVENT_BYTES 346
extern const char rules_event[RULES_EVENT_BYTES + PARSE_PADDING];

/* Rule `number`, of two exact fields: the event matches that of number 0. */
int rules_add(svl_ruleset *ruleset, uint64_t number);
/* Rules 0 to `count` - 1; NULL with words. */
svl_ruleset *rules_create(uint64_t count);
/* SVL_OK: exactly one rule matched. `flags`: SVL_JSON_CHECK, or 0. */
int rules_match(svl_ruleset *ruleset, const char *text, size_t len, uint32_t flags);

#endif
