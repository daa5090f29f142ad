/* The examples of serverlog-patterns(7): what the page says of each, the library and the reference say too.
 *
 * In the page's literal displays a line starts with "pattern", "yes", "no", "error" or "refused", and goes on in lines
 * that start with spaces; empty lines stand between. The argument is the page. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reference.h"
#include "support/support.h"

static const char *page;

struct example {
    unsigned line;
    char word[16];
    char text[2048];
};

/* Called for each; `pattern` is the one that it stands below, or itself. */
typedef void example_fn(const struct example *example, const char *pattern, void *user);

/* Takes roff's escapes out of a line. */
static void unescape(char *line)
{
    static const char *const escapes[][2] = {
        { "\\e", "\\" }, { "\\(ss", "ß" }, { "\\('e", "é" }, { "\\&", "" }
    };
    char *to = line;
    while (*line) {
        size_t i = 0, count = sizeof escapes / sizeof *escapes;
        while (i < count && strncmp(line, escapes[i][0], strlen(escapes[i][0])) != 0)
            i++;
        if (i == count && *line == '\\')
            fail_msg("an escape that this test does not know: %s", line);
        if (i == count) {
            *to++ = *line++;
        } else {
            line += strlen(escapes[i][0]);
            to = stpcpy(to, escapes[i][1]);
        }
    }
    *to = 0;
}

struct reader {
    struct example example; /* what has been read of it; no word: nothing */
    char pattern[2048];
    example_fn *visit;
    void *user;
};

static void flush(struct reader *reader)
{
    struct example *example = &reader->example;
    if (!example->word[0])
        return;
    if (strcmp(example->word, "pattern") == 0)
        strcpy(reader->pattern, example->text);
    reader->visit(example, reader->pattern, reader->user);
    example->word[0] = 0;
}

static void read_line(struct reader *reader, char *line, unsigned number)
{
    static const char *const words[] = { "pattern", "yes", "no", "error", "refused" };
    struct example *example = &reader->example;
    unescape(line);
    if (*line == ' ' && example->word[0]) {
        size_t length = strlen(example->text);
        assert_true(length + strlen(line) < sizeof example->text);
        strcpy(example->text + length, line);
        return;
    }
    flush(reader);
    if (*line == '\n')
        return;
    size_t length = strcspn(line, " ");
    assert_true(length < sizeof example->word && strlen(line) < sizeof example->text);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strlen(words[i]) != length || strncmp(line, words[i], length) != 0)
            continue;
        strcpy(example->word, words[i]);
        strcpy(example->text, line + length + strspn(line + length, " "));
        example->line = number;
        return;
    }
    fail_msg("%s:%u: an example's line starts with pattern, yes, no, error, refused or spaces",
             page, number);
}

/* Visits all examples of the page. */
static void read_page(example_fn *visit, void *user)
{
    FILE *file = fopen(page, "r");
    if (!file)
        fail_msg("%s: the test's argument is the page", page);
    struct reader reader = { .visit = visit, .user = user };
    char *line = NULL;
    size_t capacity = 0;
    bool inside = false;
    for (unsigned number = 1; getline(&line, &capacity, file) >= 0; number++) {
        if (strncmp(line, ".Bd -literal", 12) == 0)
            inside = true;
        else if (strncmp(line, ".Ed", 3) == 0)
            inside = false;
        else if (inside)
            read_line(&reader, line, number);
        if (!inside)
            flush(&reader);
    }
    free(line);
    fclose(file);
}

static void say_wrong(const struct example *example, const char *pattern, const char *said)
{
    print_error("%s:%u: the page says %s, but: %s\n  pattern %s\n  %s %s\n", page, example->line,
                example->word, said, pattern, example->word, example->text);
    fail();
}

static const char *verdict_of_library(const struct example *example, const char *pattern)
{
    bool alone = strcmp(example->word, "refused") == 0;
    const char *text = alone ? example->text : pattern;
    svl_pattern *compiled;
    int matched, rc = svl_pattern_compile(text, strlen(text), &compiled, NULL);
    if (rc != SVL_OK)
        return rc == SVL_E_PATTERN ? "refused" : svl_last_error();
    if (alone || strcmp(example->word, "pattern") == 0) {
        svl_pattern_destroy(compiled);
        return "pattern";
    }
    rc = svl_pattern_match_json(compiled, example->text, strlen(example->text), 0, &matched);
    svl_pattern_destroy(compiled);
    return rc == SVL_E_JSON ? "error" : rc != SVL_OK ? svl_last_error() : matched ? "yes" : "no";
}

static void check_library(const struct example *example, const char *pattern, void *user)
{
    (void)user;
    const char *said = verdict_of_library(example, pattern);
    if (strcmp(said, example->word) != 0)
        say_wrong(example, pattern, said);
}

static void test_library_when_given_the_pages_examples_then_says_the_same(void **state)
{
    (void)state;
    read_page(check_library, NULL);
}

static void check_reference(const struct example *example, const char *pattern, void *user)
{
    (void)user;
    static const char *const words[] = { "no", "yes", "error" };
    bool alone = strcmp(example->word, "refused") == 0;
    const char *text = alone ? example->text : pattern, *said = "pattern";
    size_t offset;
    struct reference *reference = reference_compile(text, strlen(text), &offset);
    if (!reference)
        said = "refused";
    else if (!alone && strcmp(example->word, "pattern") != 0)
        said = words[reference_match(reference, example->text, strlen(example->text))];
    reference_destroy(reference);
    if (strcmp(said, example->word) != 0)
        say_wrong(example, pattern, said);
}

static void test_reference_when_given_the_pages_examples_then_says_the_same(void **state)
{
    (void)state;
    read_page(check_reference, NULL);
}

static const char *const operators[] = {
    "\"prefix\":",       "\"suffix\":",   "\"numeric\":",
    "\"exists\":",       "\"wildcard\":", "\"cidr\":",
    "\"anything-but\":", "\"$or\":",      "\"equals-ignore-case\":"
};
enum { OPERATORS = sizeof operators / sizeof *operators };

/* Per operator, how many events match and do not match a pattern with it. */
struct tally {
    unsigned yes[OPERATORS], no[OPERATORS];
};

static void count(const struct example *example, const char *pattern, void *user)
{
    struct tally *tally = user;
    for (size_t i = 0; i < OPERATORS; i++) {
        bool used = strstr(pattern, operators[i]);
        tally->yes[i] += used && strcmp(example->word, "yes") == 0;
        tally->no[i] += used && strcmp(example->word, "no") == 0;
    }
}

static void test_page_when_read_then_has_examples_of_every_operator(void **state)
{
    (void)state;
    struct tally tally = { { 0 }, { 0 } };
    read_page(count, &tally);
    for (size_t i = 0; i < OPERATORS; i++)
        if (tally.yes[i] == 0 || tally.no[i] == 0)
            fail_msg("%s: no example of %s with a yes and a no", page, operators[i]);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    page = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_when_given_the_pages_examples_then_says_the_same),
        cmocka_unit_test(test_library_when_given_the_pages_examples_then_says_the_same),
        cmocka_unit_test(test_page_when_read_then_has_examples_of_every_operator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
