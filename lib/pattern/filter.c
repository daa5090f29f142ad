/* filter.c - conditions on severity, source, type and key, and a pattern, all of which must hold.
 *
 * The conditions are compared as they are, a pattern is asked last: it costs more. */
#include "filter.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/json_write.h"
#include "base/utf8.h"
#include "record/wire.h"

#define OWN ((svl_slice){ "serverlog.", 10 })

/* A text that is to be equal, or with a '*' at its end in the pattern, to start so. */
struct text_condition {
    svl_slice text;
    bool is_prefix;
    bool is_set;
};

struct filter {
    uint32_t severity_min;
    struct text_condition source, type;
    svl_slice key_prefix;
    struct selection *selection; /* of its pattern; NULL: it has none */
    bool sees_own;               /* its source names "serverlog.*" */
    uint8_t bytes[];
};

static int check_text(const char *text, const char *what)
{
    size_t len = text ? strlen(text) : 0;
    bool is_prefix = len > 0 && text[len - 1] == '*';
    if (len > RECORD_NAME_MAX + (size_t)is_prefix)
        return svl__fail(SVL_E_NAME_TOO_LONG, "a filter's %s of %zu bytes; at most %d", what, len,
                         RECORD_NAME_MAX);
    if (len > 0 && !svl__utf8_valid(text, len))
        return svl__fail(SVL_E_UTF8, "a filter's %s", what);
    return SVL_OK;
}

static int check(const svl_filter *from)
{
    if (from->severity_min > SVL_SEVERITY_MAX)
        return svl__fail(SVL_E_INVALID, "a filter's severity_min is %u; 0 to %d",
                         from->severity_min, SVL_SEVERITY_MAX);
    if (from->reserved != 0)
        return svl__fail(SVL_E_RESERVED, "a filter's reserved member is not zero");
    if (!from->key_prefix.data && from->key_prefix.len > 0)
        return svl__fail(SVL_E_INVALID, "a filter's key_prefix has a length and no data");
    if (from->key_prefix.len > RECORD_KEY_MAX)
        return svl__fail(SVL_E_KEY_TOO_LONG, "a filter's key_prefix of %zu bytes; at most %d",
                         from->key_prefix.len, RECORD_KEY_MAX);
    int rc = check_text(from->source, "source");
    return rc == SVL_OK ? check_text(from->type, "type") : rc;
}

static uint8_t *copy_text(struct text_condition *to, const char *from, uint8_t *at)
{
    if (!from)
        return at;
    size_t len = strlen(from);
    to->is_set = true;
    to->is_prefix = len > 0 && from[len - 1] == '*';
    to->text = (svl_slice){ at, to->is_prefix ? len - 1 : len };
    memcpy(at, from, len);
    return at + len;
}

static bool starts_with(svl_slice text, svl_slice prefix)
{
    return text.len >= prefix.len &&
           (prefix.len == 0 || memcmp(text.data, prefix.data, prefix.len) == 0);
}

static bool is_own(svl_slice source)
{
    return starts_with(source, OWN);
}

/* A source that is, or could be, one of the library's own: "serverlog.gap", "serverlog.*". */
static bool names_own(const struct text_condition *source)
{
    return source->is_set && is_own(source->text);
}

int svl__filter_compile(const svl_filter *from, struct filter **out)
{
    *out = NULL;
    int rc = check(from);
    if (rc != SVL_OK)
        return rc;
    size_t size = (from->source ? strlen(from->source) : 0) +
                  (from->type ? strlen(from->type) : 0) + from->key_prefix.len;
    struct filter *filter = svl__calloc(1, sizeof *filter + size);
    if (!filter)
        return SVL_E_NOMEM;
    filter->severity_min = from->severity_min;
    uint8_t *at = copy_text(&filter->source, from->source, filter->bytes);
    at = copy_text(&filter->type, from->type, at);
    filter->key_prefix = (svl_slice){ at, from->key_prefix.len };
    if (from->key_prefix.len > 0)
        memcpy(at, from->key_prefix.data, from->key_prefix.len);
    filter->sees_own = names_own(&filter->source);
    if (from->pattern)
        rc = svl__selection_compile(from->pattern, "svl_filter.pattern", &filter->selection);
    if (rc != SVL_OK) {
        svl__filter_destroy(filter);
        return rc;
    }
    *out = filter;
    return SVL_OK;
}

void svl__filter_destroy(struct filter *filter)
{
    if (!filter)
        return;
    svl__selection_destroy(filter->selection);
    svl__free(filter);
}

static bool text_matches(const struct text_condition *condition, svl_slice text)
{
    if (!condition->is_set)
        return true;
    return starts_with(text, condition->text) &&
           (condition->is_prefix || text.len == condition->text.len);
}

bool svl__filter_admits(const struct filter *filter, const svl_record *record)
{
    if (record->severity < filter->severity_min)
        return false;
    if (is_own(record->source) && !filter->sees_own &&
        !(filter->selection && svl__selection_names(filter->selection, record->source, OWN)))
        return false;
    return text_matches(&filter->source, record->source) &&
           text_matches(&filter->type, record->type) &&
           starts_with(record->key, filter->key_prefix);
}

int svl__filter_match(const struct filter *filter, const svl_record *record, bool *matches)
{
    *matches = svl__filter_admits(filter, record);
    if (!*matches || !filter->selection)
        return SVL_OK;
    return svl__selection_meets(filter->selection, record, matches);
}

const struct selection *svl__filter_selection(const struct filter *filter)
{
    return filter->selection;
}

void svl__filter_narrow(const struct filter *filter, svl_query *query)
{
    query->severity_min = filter->severity_min;
    if (filter->source.is_set && !filter->source.is_prefix)
        query->source = filter->source.text;
    if (filter->type.is_set && !filter->type.is_prefix)
        query->type = filter->type.text;
    if (filter->key_prefix.len > 0) {
        query->key_kind = SVL_KEY_PREFIX;
        query->key_low = filter->key_prefix;
    }
}

/* An empty prefix says nothing; that there is none at all, exists:false would say: rare, and left to be asked. */
static void write_text(struct buffer *out, const char *name, const struct text_condition *condition)
{
    if (!condition->is_set || condition->text.len == 0)
        return;
    json_write_raw(out, name);
    json_write_raw(out, condition->is_prefix ? "[{\"prefix\":" : "[");
    svl__json_write_string(out, condition->text.data, condition->text.len);
    json_write_raw(out, condition->is_prefix ? "}]" : "]");
}

/* Every record has a severity. The key is left out: a pattern sees only those that are text. */
int svl__filter_rule(const struct filter *filter, struct buffer *out)
{
    if (filter->selection) {
        const svl_pattern *pattern = filter->selection->whole;
        svl__buffer_append(out, pattern->text, pattern->len);
    } else {
        json_write_raw(out, "{\"severity\":[{\"numeric\":[\">=\",");
        svl__json_write_u64(out, filter->severity_min);
        json_write_raw(out, "]}]");
        write_text(out, ",\"source\":", &filter->source);
        write_text(out, ",\"type\":", &filter->type);
        json_write_raw(out, "}");
    }
    return out->failed ? SVL_E_NOMEM : SVL_OK;
}
