/* rules.c - serverlog-bench-rules: what event patterns cost.
 *
 *     serverlog-bench-rules [TABLE...] [--repeat K] [--ms M]
 *
 * Tables: match public parse change growth; none: all. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules.h"

static const struct table {
    const char *name;
    const char *title;
    int (*add)(struct figures *figures);
} tables[] = {
    { "match", "rules, event", add_match_figures },
    { "public", "shapes of public figures", add_public_figures },
    { "parse", "parse alone", add_parse_figures },
    { "change", "rules that come and go", add_change_figures },
    { "growth", "hostile events and rules", add_growth_figures },
};
#define TABLES (sizeof tables / sizeof tables[0])

static int usage(FILE *out)
{
    fputs("usage: serverlog-bench-rules [match] [public] [parse] [change] [growth] [--repeat K] "
          "[--ms M]\n",
          out);
    return out == stdout ? 0 : 2;
}

static int run(const struct table *table, unsigned repeat, unsigned ms)
{
    struct figures *figures = figures_create();
    int rc = figures ? table->add(figures) : -1;
    if (rc == 0)
        rc = figures_measure(figures, repeat, ms);
    if (rc == 0)
        figures_print(figures, table->title);
    figures_destroy(figures);
    return rc;
}

static bool is_wanted(const struct table *table, char **names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], table->name) == 0)
            return true;
    return count == 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "repeat", required_argument, NULL, 'k' },
                                             { "ms", required_argument, NULL, 'm' },
                                             { "help", no_argument, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    unsigned long repeat = 51, ms = 1;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'k')
            repeat = strtoul(optarg, NULL, 10);
        else if (c == 'm')
            ms = strtoul(optarg, NULL, 10);
        else
            return usage(c == 'h' ? stdout : stderr);
    }
    if (repeat == 0 || repeat > 255 || ms == 0 || ms > 1000)
        return usage(stderr);
    for (int i = optind; i < argc; i++) {
        bool found = false;
        for (size_t k = 0; k < TABLES; k++)
            found |= is_wanted(&tables[k], argv + i, 1);
        if (!found)
            return usage(stderr);
    }
    printf("%lu rounds of about %lu ms each, figures in turn\n", repeat, ms);
    for (size_t i = 0; i < TABLES; i++)
        if (is_wanted(&tables[i], argv + optind, argc - optind) &&
            run(&tables[i], (unsigned)repeat, (unsigned)ms) != 0)
            return 1;
    return 0;
}
