/* serverlog/transformer.h - input transformers: a part of an event, in another form, for whoever receives it.
 * In the form of EventBridge: variables that are paths into the event, and a template that they are put into.
 *
 *     {"InputPathsMap": {"order": "$.detail.order.id", "first": "$.detail.items[0]"},
 *      "InputTemplate": "{\"order\": <order>, \"text\": \"<first> by <aws.events.rule-name>\"}"}
 *
 * A variable's name is 1 to 256 letters, digits, '-' and '_'; at most 100 of them. A path is $ (the whole event)
 * and steps behind it: .name, ['name'] or ["name"], and [n], an element of an array from 0. Of a name that an
 * object has twice, the last one counts. These variables are there without a path:
 *
 *     <aws.events.event.json>            the whole event
 *     <aws.events.event>                 the event without its member "detail"
 *     <aws.events.event.ingestion-time>  when a record was stored, as text (RFC 3339, UTC, nine decimals);
 *                                        missing where it was not, and for an event that is no record
 *     <aws.events.rule-name>             what the call says is the rule's name; missing when that is NULL
 *     <aws.events.rule-arn>              the same: there are no ARNs here
 *
 * A template that begins with '{', '[' or '"', or is one variable and nothing else, is JSON: it must be valid,
 * and so is what comes out. Any other is text.
 *
 *     where                   a string                 another value     missing
 *     JSON, where a value is  with its quotes          as it is          null
 *     JSON, between quotes    without quotes, escaped  as JSON, escaped  nothing
 *     text                    its characters           as JSON           nothing
 *
 * A '<' that does not begin a name with a '>' behind it is itself. A name in '<' and '>' that is no variable is
 * an error. Unlike EventBridge, what is put between quotes is escaped, so that no value can end its string.
 *
 * A record is transformed as the document that serverlog/pattern.h describes. */
#ifndef SERVERLOG_TRANSFORMER_H
#define SERVERLOG_TRANSFORMER_H

#include <serverlog/pattern.h>
#include <serverlog/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct svl_transformer svl_transformer;

/* Compiles a transformer: JSON text of at most 256 KiB.
 *
 * Result     *out is the transformer. *where is filled; a warning may be in it
 * Errors     SVL_E_PATTERN  it is no transformer; *where (may be NULL) says where and why
 *            SVL_E_LIMIT    too long, or too many variables
 *            SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_NOMEM
 * Ownership  the text is copied. *out is owned: svl_transformer_destroy()
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_transformer_compile(const char *json, size_t len, svl_transformer **out,
                                       svl_pattern_error *where);

/* Frees a transformer. NULL is fine.
 *
 * Result     none
 * Errors     none
 * Ownership  the transformer is consumed
 * Thread     one thread at a time, and no other call on it may be in progress
 * Blocks     no */
SVL_EXPORT void svl_transformer_destroy(svl_transformer *transformer);

/* What comes out of it.
 *
 * Result     SVL_BODY_JSON or SVL_BODY_TEXT; SVL_BODY_TEXT for NULL
 * Errors     none
 * Ownership  nothing changes hands
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT uint32_t svl_transformer_body_kind(const svl_transformer *transformer);

/* Transforms a JSON document, which is checked first. `rule` is a rule's name, or NULL.
 *
 * Result     *needed is the length of what came out, without its NUL. `buffer` holds it, NUL-terminated, when
 *            `capacity` is more than that; else it holds "", as there is no use in a part of it. A NULL buffer
 *            or a capacity of 0 only measures
 * Errors     SVL_E_JSON   it is not valid JSON
 *            SVL_E_UTF8   `rule`
 *            SVL_E_LIMIT  it is larger than 16 MiB or deeper than 128 levels, or what comes out is larger
 *                         than 16 MiB
 *            SVL_E_INVALID, SVL_E_NOMEM
 * Ownership  copied
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_transformer_apply_json(const svl_transformer *transformer, const char *json,
                                          size_t len, const char *rule, char *buffer,
                                          size_t capacity, size_t *needed);

/* Transforms a record. A body of kind JSON that is not valid, or deeper than 128 levels, is no detail.
 *
 * Result     as svl_transformer_apply_json()
 * Errors     SVL_E_UTF8   `rule`, or text of the record
 *            SVL_E_LIMIT  the document, or what comes out is larger than 16 MiB
 *            SVL_E_RECORD_SIZE, SVL_E_KEY_TOO_LONG, SVL_E_NAME_TOO_LONG, SVL_E_ATTRIBUTES, SVL_E_RESERVED  the
 *                         record is larger than 16 MiB, or none that could be published
 *            SVL_E_INVALID, SVL_E_NOMEM
 * Ownership  copied
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_transformer_apply_record(const svl_transformer *transformer,
                                            const svl_record *record, const char *rule,
                                            char *buffer, size_t capacity, size_t *needed);

/* Transforms a JSON document as the transformer of a loaded rule says, for the ids that a match gives; see
 * svl_ruleset_load(). <aws.events.rule-name> is the rule's name.
 *
 * Result     as svl_transformer_apply_json()
 * Errors     SVL_E_NOT_FOUND  no loaded rule has this id, or it has no transformer
 *            SVL_E_JSON, SVL_E_LIMIT  as svl_transformer_apply_json()
 *            SVL_E_INVALID, SVL_E_NOMEM, SVL_E_FORKED
 * Ownership  copied
 * Thread     any thread
 * Blocks     for a moment, when another thread ends a load of rules */
SVL_EXPORT int svl_ruleset_transform_json(svl_ruleset *ruleset, uint64_t id, const char *json,
                                          size_t len, char *buffer, size_t capacity,
                                          size_t *needed);

/* The same of a record.
 *
 * Result     as svl_transformer_apply_json()
 * Errors     SVL_E_NOT_FOUND  no loaded rule has this id, or it has no transformer
 *            SVL_E_UTF8, SVL_E_LIMIT, SVL_E_RECORD_SIZE, SVL_E_KEY_TOO_LONG, SVL_E_NAME_TOO_LONG,
 *            SVL_E_ATTRIBUTES, SVL_E_RESERVED  as svl_transformer_apply_record()
 *            SVL_E_INVALID, SVL_E_NOMEM, SVL_E_FORKED
 * Ownership  copied
 * Thread     any thread
 * Blocks     for a moment, when another thread ends a load of rules */
SVL_EXPORT int svl_ruleset_transform_record(svl_ruleset *ruleset, uint64_t id,
                                            const svl_record *record, char *buffer, size_t capacity,
                                            size_t *needed);

#ifdef __cplusplus
}
#endif

#endif
