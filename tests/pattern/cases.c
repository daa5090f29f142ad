/* cases.c - reads the tables, a line at a time. */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/support.h"

static const char *const verdict_files[] = {
    "names.txt",    "literals.txt",     "numbers.txt", "prefix_suffix.txt", "ignore_case.txt",
    "wildcard.txt", "anything_but.txt", "numeric.txt", "cidr.txt",          "exists.txt",
    "arrays.txt",   "or.txt",           "events.txt",
};

const char *verdict_word(int verdict)
{
    static const char *const words[] = { "no", "yes", "error" };
    return words[verdict];
}

static FILE *open_table(const char *directory, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("%s: no such table; the test's argument is the directory of the tables", path);
    return file;
}

/* Cuts the line's first word off; gives what is behind it, and NULL where the line is for the reader. */
static char *split(char *line, const char **word)
{
    line[strcspn(line, "\n")] = 0;
    line += strspn(line, " ");
    if (!*line || *line == '#')
        return NULL;
    *word = line;
    char *rest = line + strcspn(line, " ");
    if (*rest)
        *rest++ = 0;
    return rest + strspn(rest, " ");
}

size_t verdicts_read(const char *directory, const char *name, verdict_visit_fn *visit, void *user)
{
    FILE *file = open_table(directory, name);
    char *line = NULL, *pattern = NULL;
    size_t capacity = 0, events = 0;
    for (struct verdict_case at = { .file = name, .line = 1 }; getline(&line, &capacity, file) >= 0;
         at.line++) {
        const char *word;
        char *rest = split(line, &word);
        if (!rest)
            continue;
        at.event = rest;
        if (strcmp(word, "pattern") == 0) {
            free(pattern);
            pattern = strdup(rest);
            assert_non_null(pattern);
            at.pattern = pattern;
            at.event = NULL;
        } else if (strcmp(word, "yes") == 0) {
            at.verdict = REFERENCE_YES;
        } else if (strcmp(word, "no") == 0) {
            at.verdict = REFERENCE_NO;
        } else if (strcmp(word, "error") == 0) {
            at.verdict = REFERENCE_ERROR;
        } else {
            fail_msg("%s:%u: a line starts with pattern, yes, no, error or #", name, at.line);
        }
        if (!at.pattern)
            fail_msg("%s:%u: an event before the first pattern", name, at.line);
        events += at.event != NULL;
        visit(&at, user);
    }
    free(pattern);
    free(line);
    fclose(file);
    return events;
}

size_t verdicts_read_all(const char *directory, verdict_visit_fn *visit, void *user)
{
    size_t events = 0;
    for (size_t i = 0; i < sizeof verdict_files / sizeof *verdict_files; i++)
        events += verdicts_read(directory, verdict_files[i], visit, user);
    return events;
}

size_t refused_read(const char *directory, refused_visit_fn *visit, void *user)
{
    FILE *file = open_table(directory, "refused.txt");
    char *line = NULL;
    size_t capacity = 0, count = 0;
    for (struct refused_case at = { .line = 1 }; getline(&line, &capacity, file) >= 0; at.line++) {
        char *rest = split(line, &at.code);
        if (!rest)
            continue;
        char *pattern = split(rest, &at.path);
        char *mark = pattern ? strchr(pattern, '^') : NULL;
        if (!mark)
            fail_msg("refused.txt:%u: no ^ before the byte that offends", at.line);
        memmove(mark, mark + 1, strlen(mark));
        at.pattern = pattern;
        at.length = strlen(pattern);
        at.offset = (size_t)(mark - pattern);
        visit(&at, user);
        count++;
    }
    free(line);
    fclose(file);
    return count;
}

const struct combinations_case combinations_cases[] = {
    { false, { 1000 }, false },
    { false, { 1001 }, true },
    { false, { 2, 500 }, false },
    { false, { 10, 10, 10 }, false },
    { false, { 7, 11, 13 }, true },
    { false, { 2, 3, 167 }, true },
    { true, { 500, 500 }, false },
    { true, { 500, 501 }, true },
    { true, { 333, 333, 334 }, false },
    { true, { 333, 334, 334 }, true },
    { false, { 1000, 1000, 1000 }, true },
};
const size_t combinations_cases_count = sizeof combinations_cases / sizeof *combinations_cases;

static void print_or(FILE *out, unsigned branches)
{
    for (unsigned i = 0; i < branches; i++)
        fprintf(out, "%s{\"n%u\":[\"x\"]}", i ? "," : "{\"$or\":[", i);
    fputs("]}", out);
}

char *combinations_pattern(const struct combinations_case *from)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    fputs(from->inside_one ? "{\"$or\":[" : "{", out);
    for (unsigned i = 0; i < 3 && from->branches[i]; i++) {
        if (i > 0)
            fputs(",", out);
        if (!from->inside_one)
            fprintf(out, "\"a%u\":", i);
        print_or(out, from->branches[i]);
    }
    fputs(from->inside_one ? "]}" : "}", out);
    fclose(out);
    return text;
}
