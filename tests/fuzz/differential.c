/* differential.c - any bytes as patterns and an event, parted by NULs, the event behind the last: what the reference
 * matcher of tests/pattern says of each is what a pattern alone says, and a ruleset of all of them, also after every
 * second one was removed.
 *
 * The reference is exponential, so what it is asked is small, and it may give up. */
#include <serverlog/pattern.h>
#include <stdbool.h>
#include <string.h>

#include "fuzz.h"
#include "pattern/reference.h"

enum { PATTERNS_MAX = 8, BYTES_MAX = 1024, LEVELS_MAX = 60 };

struct patterns {
    struct reference *references[PATTERNS_MAX]; /* NULL: no rule */
    svl_ruleset *ruleset;
    const char *event;
    size_t event_len;
};

/* Below all limits of depth, and of the reference. */
static bool is_small(const uint8_t *data, size_t len)
{
    unsigned levels = 0;
    for (size_t i = 0; i < len; i++)
        levels += data[i] == '[' || data[i] == '{' || data[i] == '.' ||
                  data[i] == '\\'; /* an escaped dot */
    return len <= BYTES_MAX && levels <= LEVELS_MAX;
}

static void check_alone(const svl_pattern *pattern, const struct patterns *p, int wanted)
{
    int checked, unchecked;
    int rc = svl_pattern_match_json(pattern, p->event, p->event_len, SVL_JSON_CHECK, &checked);
    int rc_unchecked = svl_pattern_match_json(pattern, p->event, p->event_len, 0, &unchecked);
    if (wanted == REFERENCE_ERROR) {
        MUST(rc == SVL_E_JSON && checked == 0);
        return;
    }
    MUST(rc == rc_unchecked && checked == unchecked);
    if (wanted != REFERENCE_UNKNOWN)
        MUST(rc == SVL_OK && checked == (wanted == REFERENCE_YES));
}

static void add(struct patterns *p, uint64_t id, const char *text, size_t len)
{
    size_t offset;
    svl_pattern *pattern;
    int rc = svl_pattern_compile(text, len, &pattern, NULL);
    struct reference *reference = reference_compile(text, len, &offset);
    MUST((reference != NULL) == (rc == SVL_OK));
    MUST(reference || rc == SVL_E_PATTERN || rc == SVL_E_PATTERN_COMPLEX);
    MUST(svl_ruleset_add(p->ruleset, id, text, len, NULL) == rc);
    p->references[id] = reference;
    if (!reference)
        return;
    check_alone(pattern, p, (int)reference_match(reference, p->event, p->event_len));
    svl_pattern_destroy(pattern);
}

/* The ids that match are exactly those of the reference. */
static void check_all(const struct patterns *p)
{
    uint64_t ids[PATTERNS_MAX];
    size_t found, next = 0;
    int rc = svl_ruleset_match_json(p->ruleset, p->event, p->event_len, SVL_JSON_CHECK, ids,
                                    PATTERNS_MAX, &found);
    for (uint64_t id = 0; id < PATTERNS_MAX; id++) {
        if (!p->references[id])
            continue;
        int wanted = (int)reference_match(p->references[id], p->event, p->event_len);
        if (wanted == REFERENCE_UNKNOWN)
            return;
        MUST(rc == (wanted == REFERENCE_ERROR ? SVL_E_JSON : SVL_OK));
        bool matched = next < found && ids[next] == id;
        MUST(matched == (wanted == REFERENCE_YES));
        next += matched;
    }
    MUST(next == found);
}

static void drop(struct patterns *p, uint64_t id)
{
    if (!p->references[id])
        return;
    MUST(svl_ruleset_remove(p->ruleset, id) == SVL_OK);
    reference_destroy(p->references[id]);
    p->references[id] = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *text = (const char *)data, *nul, *end = text + len;
    struct patterns p = { .event = end };
    while (p.event > text && p.event[-1] != 0)
        p.event--;
    if (p.event == text || !is_small(data, len))
        return 0;
    p.event_len = (size_t)(end - p.event);
    MUST(svl_ruleset_create(NULL, &p.ruleset) == SVL_OK);
    for (uint64_t id = 0; id < PATTERNS_MAX && text < p.event; id++, text = nul + 1) {
        nul = memchr(text, 0, (size_t)(end - text));
        add(&p, id, text, (size_t)(nul - text));
    }
    check_all(&p);
    for (uint64_t id = 0; id < PATTERNS_MAX; id += 2)
        drop(&p, id);
    check_all(&p);
    for (uint64_t id = 0; id < PATTERNS_MAX; id++)
        drop(&p, id);
    svl_ruleset_destroy(p.ruleset);
    return 0;
}
