/* records - what a label stands for: the record, what the ingest handler makes of it, what the subscriptions want of
 * it. By formula from the label alone, over the records of support/model.h; nothing of the library's is in it but its
 * structs. */
#ifndef TESTS_MODEL_RECORDS_H
#define TESTS_MODEL_RECORDS_H

#include "ledger.h"

#define PARTS_MAX 4 /* the record and three more */

/* What the ingest handler does with a number, and so what is stored of it. */
enum shaping {
    SHAPE_KEEP,   /* part 0 as it came */
    SHAPE_CHANGE, /* part 0 with another type and severity */
    SHAPE_DROP,   /* nothing */
    SHAPE_SPLIT,  /* the other parts */
    SHAPE_ADD,    /* part 0 and the others */
    SHAPE_FAIL,   /* part 0 as it came: the call fails, after changing and adding */
    SHAPE_BREAK   /* part 0 as it came: what the handler leaves breaks a limit */
};
enum shaping shaping_of(uint64_t number);
/* Its other parts, if the shape has some. */
uint64_t parts_of(uint64_t number);
/* It is published as text: the time is that of the call. */
bool is_text(uint64_t number);

/* The label of what is stored behind `label` by the same publisher; `label` 0: its first one. */
uint64_t label_after(uint64_t label, unsigned publisher);

/* The record as it was published: a number's. */
svl_record record_published(uint64_t number);
/* The record as it is stored: of a published or emitted one. Without its body; and with it. Slices live until the
 * thread's next call. */
svl_record record_outline(uint64_t label);
svl_record record_stored(uint64_t label);
/* The same of any entry, as far as conditions ask for it. */
svl_record record_in_entry(uint64_t id);
/* The label that the body of a published or emitted record names; 0: none. */
uint64_t label_in(const svl_record *record);
/* NULL, or what of `record` is not as expected; an expected time of 0 is any. */
const char *record_difference(const svl_record *record, const svl_record *expected);

/* Patterns, each with its meaning spelled out. */
#define PATTERNS 6
const char *pattern_text(unsigned pattern);
bool pattern_matches(unsigned pattern, const svl_record *record);

/* The subscriptions: their names, filters and meanings. */
const char *subscription_name(unsigned subscription);
void subscription_filter(unsigned subscription, svl_filter *filter);
bool subscription_wants(unsigned subscription, uint64_t label);
/* Its handler emits a record for it. */
bool subscription_emits(unsigned subscription, uint64_t label);

#endif
