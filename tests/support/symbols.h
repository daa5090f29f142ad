/* symbols - the exported functions, from the symbol map: tables over all of them are complete, or fail. */
#ifndef TESTS_SYMBOLS_H
#define TESTS_SYMBOLS_H

#include <stdio.h>
#include <string.h>

#include "support.h"

/* Asserts that each exported name stands in `names` once, and nothing else does. `at` gives the i-th. */
static inline void assert_all_symbols(const char *(*at)(size_t i), size_t count)
{
    FILE *map = fopen(SYMBOL_MAP, "r");
    char line[128], name[64];
    size_t exported = 0, wrong = 0;
    assert_non_null(map);
    while (fgets(line, sizeof line, map)) {
        size_t found = 0;
        if (sscanf(line, " %63[a-z_0-9];", name) != 1 || strncmp(name, "svl_", 4) != 0)
            continue;
        exported++;
        for (size_t i = 0; i < count; i++)
            found += strcmp(at(i), name) == 0;
        if (found != 1)
            print_error("%s stands %zu times in this test's table; give it a row\n", name, found);
        wrong += found != 1;
    }
    fclose(map);
    assert_int_equal(wrong, 0);
    assert_int_equal(exported, count);
}

#endif
