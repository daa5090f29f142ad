/* narrow.c - what a pattern asks of every record that it matches becomes conditions on zones, columns and the key
 * index. What the query says itself stays: the pattern is asked of each record in the end. */
#include "cursor.h"
#include "record/wire.h"

static uint32_t severities_between(double min, double max)
{
    uint32_t mask = 0;
    for (uint32_t i = 0; i <= SVL_SEVERITY_MAX; i++)
        if (min <= i && i <= max)
            mask |= UINT32_C(1) << i;
    return mask;
}

static void narrow_name(struct name_condition *name, const struct text_bound *bound)
{
    if (name->text.len == 0)
        *name = (struct name_condition){ bound->text, !bound->is_exact };
}

/* A longer text is no record's key, and no condition on keys: its beginning is. */
static void narrow_key(struct key_condition *key, const struct text_bound *bound)
{
    if (key->kind != SVL_KEY_ANY || bound->text.len == 0)
        return;
    bool is_cut = bound->text.len > RECORD_KEY_MAX;
    key->kind = bound->is_exact && !is_cut ? SVL_KEY_EXACT : SVL_KEY_PREFIX;
    key->low = bound->text;
    if (is_cut)
        key->low.len = RECORD_KEY_MAX;
}

void svl__conditions_narrow(struct conditions *c, const struct pattern_bounds *bounds)
{
    c->severity_mask &= severities_between(bounds->severity_min, bounds->severity_max);
    if (bounds->time_min_ns > c->time_min_ns)
        c->time_min_ns = bounds->time_min_ns;
    if (bounds->time_max_ns < c->time_max_ns)
        c->time_max_ns = bounds->time_max_ns;
    narrow_name(&c->source, &bounds->source);
    narrow_name(&c->type, &bounds->type);
    narrow_key(&c->key, &bounds->key);
}
