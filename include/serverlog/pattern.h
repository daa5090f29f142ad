/* serverlog/pattern.h - event patterns: which events somebody wants, in the pattern language of EventBridge;
 * one by one, or a million of them at once.
 *
 *     svl_pattern *pattern;
 *     const char *text = "{\"source\":[\"shop\"],\"detail\":{\"total\":[{\"numeric\":[\">\",100]}]}}";
 *     if (svl_pattern_compile(text, strlen(text), &pattern, NULL) != SVL_OK) ... svl_last_error()
 *     svl_pattern_match_json(pattern, event, event_len, 0, &matched);
 *     svl_pattern_destroy(pattern);
 *
 * Many patterns are a ruleset: a match costs what the event's fields of interest cost, however many rules
 * there are, and rules come and go while other threads match.
 *
 * An event is a JSON document, whose root is an object, or a record, which is seen as this document:
 *
 *     id, time (text, RFC 3339, UTC, nine decimals), time-ns, severity (numbers), severity-text, source,
 *     type (also under the name detail-type), key (where it is UTF-8)
 *     attributes   an object; dots in an attribute's name are levels. Attributes of kind bytes are not
 *                  seen, nor those of kind f64 that are infinite or no number
 *     detail       the body, when it is of kind JSON and holds valid JSON
 *     body         the body, when it is of kind text
 *
 * A member of a record that is empty (a length of 0; a time, an id of 0) has no field; severity always has.
 *
 * A pattern is memory only, and works in a child after fork() as well; a ruleset is its parent's.
 *
 * The language, every operator with an example: serverlog-patterns(7). */
#ifndef SERVERLOG_PATTERN_H
#define SERVERLOG_PATTERN_H

#include <serverlog/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct svl_pattern svl_pattern;
typedef struct svl_ruleset svl_ruleset;

/* Where a pattern, or a file of rules, is wrong. Texts are NUL-terminated UTF-8 and cut where they do not
 * fit; svl_last_error() says the same in one sentence. */
typedef struct svl_pattern_error {
    uint32_t struct_size; /* set by the caller: sizeof */
    int32_t code;         /* what the call returned */
    uint64_t offset; /* the byte where it was found; the text's length: the text ends too early */
    uint64_t warning_offset; /* of the first warning */
    uint32_t warnings;       /* what was taken, but is hardly meant, as a name given twice */
    uint32_t reserved;       /* zero */
    char path[256];          /* as "$.detail.state[0].prefix" */
    char message[256];       /* what is wrong, and what would be right; "" after SVL_OK */
    char warning[256];       /* the first warning, "" where there is none */
} svl_pattern_error;

/* flags of the match functions. Without SVL_JSON_CHECK, what no rule looks at is passed over, and is not
 * checked. */
enum svl_match_flag {
    SVL_JSON_CHECK = 1 /* all of the JSON is checked first: what is not valid is SVL_E_JSON */
};

/* form of the explain functions */
enum svl_explain_form {
    SVL_EXPLAIN_TEXT = 0, /* a line a field of the pattern, to be read */
    SVL_EXPLAIN_JSON = 1  /* one JSON object, to be shown by a tool */
};

typedef struct svl_ruleset_options {
    uint32_t struct_size;       /* set by svl_ruleset_options_init() */
    uint32_t reserved;          /* zero */
    uint64_t rules_max;         /* 1,000,000; 1 to 10,000,000 */
    uint32_t pattern_bytes_max; /* 65,536; 2 to 16 MiB */
    uint32_t pattern_depth_max; /* 64; 1 to 512: levels of objects, and of dotted names */
    uint32_t event_bytes_max;   /* 16 MiB; 1,024 to 1 GiB */
    uint32_t event_depth_max;   /* 128; 1 to 1,024: objects and arrays inside each other */
} svl_ruleset_options;

typedef struct svl_ruleset_stats {
    uint32_t struct_size; /* set by the caller: sizeof */
    uint32_t reserved;
    uint64_t rules;        /* now */
    uint64_t paths;        /* fields of events that some rule names, and the levels above them */
    uint64_t conditions;   /* different conditions on them; rules share equal ones */
    uint64_t conjunctions; /* different beginnings of lists of conditions that must hold together */
    uint64_t bytes;        /* memory of all that */
    uint64_t bytes_a_rule; /* bytes / rules */
    uint64_t retired; /* pieces of removed rules, kept for matches that may still look at them */
} svl_ruleset_stats;

/* Compiles a pattern: JSON text of at most 64 KiB, 64 levels deep, where the dots of names count, with `$or`s
 * that expand to at most 1,000 combinations.
 *
 * Result     *out is the pattern. *where is filled; a warning may be in it
 * Errors     SVL_E_PATTERN  it is no pattern; *where (may be NULL) says where and why
 *            SVL_E_PATTERN_COMPLEX  matching it would cost too much: combinations, wildcards
 *            SVL_E_LIMIT    too long or too deep
 *            SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_NOMEM, SVL_E_IO
 * Ownership  the text is copied. *out is owned: svl_pattern_destroy()
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_pattern_compile(const char *json, size_t len, svl_pattern **out,
                                   svl_pattern_error *where);

/* Frees a pattern. NULL is fine.
 *
 * Result     none
 * Errors     none
 * Ownership  the pattern is consumed
 * Thread     one thread at a time, and no other call on it may be in progress
 * Blocks     no */
SVL_EXPORT void svl_pattern_destroy(svl_pattern *pattern);

/* Does this JSON document match? `flags` are SVL_JSON_CHECK or 0.
 *
 * Result     *matched is 1 or 0
 * Errors     SVL_E_JSON   the event is no JSON object, or malformed where it was looked at
 *            SVL_E_LIMIT  it is larger than 16 MiB or deeper than 128 levels; or names that it repeats, with
 *                         arrays below them, leave too many ways to match
 *            SVL_E_INVALID, SVL_E_NOMEM
 * Ownership  nothing changes hands
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_pattern_match_json(const svl_pattern *pattern, const char *json, size_t len,
                                      uint32_t flags, int *matched);

/* Does this record match? A body of kind JSON is read only where the pattern names `detail`; one that turns
 * out malformed, larger than 16 MiB or deeper than 128 levels is no detail, with SVL_JSON_CHECK it is an error.
 *
 * Result     *matched is 1 or 0
 * Errors     SVL_E_JSON   with SVL_JSON_CHECK: the body, of kind JSON, is none
 *            SVL_E_LIMIT  with SVL_JSON_CHECK: the body is too large or too deep; or its repeated names, as
 *                         svl_pattern_match_json()
 *            SVL_E_INVALID, SVL_E_NOMEM
 * Ownership  nothing changes hands
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_pattern_match_record(const svl_pattern *pattern, const svl_record *record,
                                        uint32_t flags, int *matched);

/* Why does this JSON document match, or not: for each field of the pattern what was wanted, what was found,
 * and whether that did. `form` is SVL_EXPLAIN_*.
 *
 * Result     *needed is the whole text's length without its NUL; `buffer` has as much as fits `capacity`,
 *            NUL-terminated. A NULL buffer or a capacity of 0 only measures
 * Errors     SVL_E_JSON, SVL_E_LIMIT  as svl_pattern_match_json()
 *            SVL_E_INVALID, SVL_E_NOMEM
 * Ownership  copied
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_pattern_explain_json(const svl_pattern *pattern, const char *json, size_t len,
                                        uint32_t form, char *buffer, size_t capacity,
                                        size_t *needed);

/* The same of a record.
 *
 * Result     as svl_pattern_explain_json()
 * Errors     SVL_E_LIMIT  as svl_pattern_match_json(), of the record as a document
 *            SVL_E_INVALID, SVL_E_NOMEM
 * Ownership  copied
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_pattern_explain_record(const svl_pattern *pattern, const svl_record *record,
                                          uint32_t form, char *buffer, size_t capacity,
                                          size_t *needed);

/* Fills `options` with zeros (all defaults) and its size.
 *
 * Result     SVL_OK
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE
 * Ownership  the caller's memory
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_ruleset_options_init(svl_ruleset_options *options, size_t size);

/* Creates a ruleset without rules.
 *
 * Result     *out is the ruleset
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_OPTION, SVL_E_RESERVED  the arguments
 *            SVL_E_NOMEM, SVL_E_IO
 * Ownership  *out is owned: svl_ruleset_destroy(). options are copied
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_ruleset_create(const svl_ruleset_options *options, svl_ruleset **out);

/* Frees a ruleset with its rules. NULL is fine. In a child of fork() nothing is done.
 *
 * Result     none
 * Errors     none
 * Ownership  the ruleset is consumed
 * Thread     one thread at a time, and no other call on it may be in progress
 * Blocks     no */
SVL_EXPORT void svl_ruleset_destroy(svl_ruleset *ruleset);

/* Adds a rule under a number of the caller's choice, below 2^63. Matches that begin after this has returned
 * see it; those in progress see all of it or nothing.
 *
 * Result     SVL_OK. *where is filled; a warning may be in it
 * Errors     SVL_E_PATTERN, SVL_E_PATTERN_COMPLEX  as svl_pattern_compile()
 *            SVL_E_BUSY   a rule has this id
 *            SVL_E_LIMIT  the pattern is too long or too deep; rules_max
 *            SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_NOMEM, SVL_E_FORKED
 * Ownership  the text is copied
 * Thread     any thread
 * Blocks     while another thread changes the ruleset; never for a match */
SVL_EXPORT int svl_ruleset_add(svl_ruleset *ruleset, uint64_t id, const char *json, size_t len,
                               svl_pattern_error *where);

/* Removes a rule. Matches that begin after this has returned do not see it.
 *
 * Result     SVL_OK. Its memory is free when no match looks at it any more, at a later change of the ruleset
 * Errors     SVL_E_NOT_FOUND  no rule has this id
 *            SVL_E_INVALID, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     any thread
 * Blocks     while another thread changes the ruleset; never for a match */
SVL_EXPORT int svl_ruleset_remove(svl_ruleset *ruleset, uint64_t id);

/* Replaces all rules that came from a file by those of this text, as one change: a match sees the old ones or
 * the new ones, and where anything is wrong nothing changes. Rules of svl_ruleset_add() stay.
 *
 *     {"rules": [{"name": "big-order", "pattern": {"detail": {"total": [{"numeric": [">", 100]}]}},
 *                 "transformer": {"InputTemplate": "..."}, "state": "enabled"}, ...]}
 *
 * A name is 1 to 255 bytes, and of one rule only; a transformer is one of svl_transformer_compile(), or left
 * out; a state is "enabled", also when there is none, or "disabled". A loaded rule's id is 2^63 or more; it
 * stays while files with its name are loaded into this ruleset one after the other, also while it is disabled.
 *
 * Result     *rules (may be NULL) is how many are now loaded and enabled. *where is filled
 * Errors     SVL_E_PATTERN  it is no list of rules, or a rule's pattern is none; *where (may be NULL) says
 *                           where and why, offset and path being those of the whole text
 *            SVL_E_PATTERN_COMPLEX  as svl_pattern_compile(), of the rule that is named
 *            SVL_E_LIMIT    a pattern is too long or too deep; rules_max; the text has more than 1 GiB
 *            SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_NOMEM, SVL_E_FORKED
 * Ownership  the text is copied
 * Thread     any thread
 * Blocks     while another thread changes the ruleset; never for a match */
SVL_EXPORT int svl_ruleset_load(svl_ruleset *ruleset, const char *json, size_t len, uint64_t *rules,
                                svl_pattern_error *where);

/* The name of a loaded rule, for the ids that a match gives.
 *
 * Result     *needed is the name's length without its NUL; `buffer` has as much as fits `capacity`,
 *            NUL-terminated. A NULL buffer or a capacity of 0 only measures
 * Errors     SVL_E_NOT_FOUND  no loaded rule has this id
 *            SVL_E_INVALID, SVL_E_FORKED
 * Ownership  copied
 * Thread     any thread
 * Blocks     for a moment, when another thread ends a load of rules */
SVL_EXPORT int svl_ruleset_name(svl_ruleset *ruleset, uint64_t id, char *buffer, size_t capacity,
                                size_t *needed);

/* The id of a loaded rule.
 *
 * Result     *id
 * Errors     SVL_E_NOT_FOUND  no loaded rule has this name
 *            SVL_E_INVALID, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     any thread
 * Blocks     for a moment, when another thread ends a load of rules */
SVL_EXPORT int svl_ruleset_find(svl_ruleset *ruleset, const char *name, uint64_t *id);

/* Which rules does this JSON document match? `flags` are SVL_JSON_CHECK or 0.
 *
 * Result     *matched is how many rules match. `ids` has their ids, ascending: all of them, or, where
 *            `capacity` is less, the lowest. A NULL `ids` with a capacity of 0 only counts
 * Errors     SVL_E_JSON   the event is no JSON object, or malformed where it was looked at
 *            SVL_E_LIMIT  it is larger than event_bytes_max or deeper than event_depth_max; or names that it
 *                         repeats, with arrays below them, leave too many ways to match
 *            SVL_E_INVALID, SVL_E_NOMEM, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     any thread, also while rules are added, removed and loaded: lock-free
 * Blocks     no */
SVL_EXPORT int svl_ruleset_match_json(svl_ruleset *ruleset, const char *json, size_t len,
                                      uint32_t flags, uint64_t *ids, size_t capacity,
                                      size_t *matched);

/* Which rules does this record match? Its body is read as svl_pattern_match_record() says.
 *
 * Result     as svl_ruleset_match_json()
 * Errors     SVL_E_JSON   with SVL_JSON_CHECK: the body, of kind JSON, is none
 *            SVL_E_LIMIT  with SVL_JSON_CHECK: the body is too large or too deep; or its repeated names, as
 *                         svl_ruleset_match_json()
 *            SVL_E_INVALID, SVL_E_NOMEM, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     any thread, also while rules are added, removed and loaded: lock-free
 * Blocks     no */
SVL_EXPORT int svl_ruleset_match_record(svl_ruleset *ruleset, const svl_record *record,
                                        uint32_t flags, uint64_t *ids, size_t capacity,
                                        size_t *matched);

/* Counts and memory.
 *
 * Result     *stats is filled up to its struct_size
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_FORKED
 * Ownership  the caller's memory
 * Thread     any thread
 * Blocks     while another thread changes the ruleset */
SVL_EXPORT int svl_ruleset_stats_get(svl_ruleset *ruleset, svl_ruleset_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
