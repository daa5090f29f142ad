/* set.c - rules by templates, as many as are wanted. */
#include <serverlog.h>
#include <string.h>

#include "rules.h"

#define RULE_BYTES_MAX 512

int rules_add(svl_ruleset *ruleset, const struct rule_shape *shape, uint64_t number)
{
    char text[RULE_BYTES_MAX];
    unsigned templates = 0, digit = 0;
    while (shape->templates[templates])
        templates++;
    const char *template = shape->templates[number % templates];
    size_t len = strlen(template);
    if (len > sizeof text)
        return SVL_E_LIMIT;
    for (size_t i = 0; i < len; i++) {
        text[i] = template[i];
        if (text[i] != '#')
            continue;
        uint64_t rest = number;
        for (unsigned below = shape->digits - 1 - digit; below > 0; below--)
            rest /= 10;
        text[i] = (char)('0' + rest % 10);
        digit = (digit + 1) % shape->digits;
    }
    return svl_ruleset_add(ruleset, number, text, len, NULL);
}

svl_ruleset *rules_create(const struct rule_shape *shape, uint64_t count)
{
    svl_ruleset *ruleset;
    int rc = svl_ruleset_create(NULL, &ruleset);
    for (uint64_t i = 0; rc == SVL_OK && i < count; i++)
        rc = rules_add(ruleset, shape, i);
    if (rc == SVL_OK)
        return ruleset;
    bench_fail(svl_last_error());
    svl_ruleset_destroy(ruleset);
    return NULL;
}
