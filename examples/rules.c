/* rules.c - which events match which rules of a file, while both come and go.
 *
 *     rules [OPTIONS] RULES STORE       what becomes durable in a store that another process writes
 *     rules [OPTIONS] RULES < EVENTS    JSON documents, one a line
 *
 * Prints a line for each rule that an event matches: the rule's name, a tab, and what its transformer makes of the
 * event, or else the event. RULES is a file as svl_ruleset_load() takes it. It is loaded again when it has been
 * written or replaced, and takes effect with the next event; where it is wrong that is said, with the place, and
 * the rules before stay. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "input.h"
#include "show.h"

#define MATCHES_MAX 1000 /* rules named for one event; of more, how many there are */
#define NAME_BYTES 256

struct program {
    const char *rules_path;
    char *directory, *name; /* of that file, and what they lie in */
    char *paths[2];
    svl_ruleset *ruleset;
    int watch; /* inotify, on the directory: a file that is replaced is another file */
    int stop[2];
    bool json;
    svl_query query;
    char *output; /* of a transformer */
    size_t output_size;
};

static void usage(FILE *out)
{
    fputs("usage: rules [OPTIONS] RULES [STORE]\n"
          "Prints which rules of the file RULES the records of STORE match, as they come, or the "
          "JSON\n"
          "documents of standard input, one a line. A change of RULES takes effect at once.\n"
          "  -a, --all             first all that STORE has\n"
          "  -l, --last N          first the last N records of STORE\n"
          "  -j, --json            events as JSON, for programs\n"
          "  -h, --help\n",
          out);
}

/* --- the rules --- */

/* The whole file: *text is the caller's. */
static bool read_file(const char *path, char **text, size_t *len)
{
    FILE *file = fopen(path, "rb");
    size_t size = 0, n = 1;
    *text = NULL;
    *len = 0;
    while (file && n > 0) {
        if (*len == size) {
            char *grown = realloc(*text, size = size ? size * 2 : 65536);
            if (!grown)
                break;
            *text = grown;
        }
        n = fread(*text + *len, 1, size - *len, file);
        *len += n;
    }
    bool whole = file && n == 0 && !ferror(file);
    if (file)
        fclose(file);
    return whole;
}

/* False: the rules before stay. */
static bool load(struct program *p)
{
    char *text;
    size_t len;
    uint64_t rules = 0;
    svl_pattern_error where = { .struct_size = sizeof where };
    bool is_loaded = false;
    if (!read_file(p->rules_path, &text, &len)) {
        fprintf(stderr, "rules: %s: %s\n", p->rules_path, strerror(errno));
    } else if (svl_ruleset_load(p->ruleset, text, len, &rules, &where) == SVL_OK) {
        fprintf(stderr, "rules: %llu of %s\n", (unsigned long long)rules, p->rules_path);
        if (where.warnings > 0)
            fprintf(stderr, "rules: %s\n", where.warning);
        is_loaded = true;
    } else {
        fprintf(stderr, "rules: %s: %s\n", p->rules_path, svl_last_error());
    }
    free(text);
    return is_loaded;
}

/* Has the file been written, or another one moved into its place? Takes what there is of events. */
static bool has_changed(const struct program *p)
{
    _Alignas(struct inotify_event) char events[4096];
    ssize_t n = read(p->watch, events, sizeof events);
    bool changed = false;
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *e = (const struct inotify_event *)(const void *)(events + at);
        if (e->mask & IN_Q_OVERFLOW || (e->len > 0 && strcmp(e->name, p->name) == 0))
            changed = true;
        at += (ssize_t)(sizeof *e + e->len);
    }
    return changed;
}

static void *watch(void *argument)
{
    struct program *p = argument;
    struct pollfd fds[] = { { p->watch, POLLIN, 0 }, { p->stop[0], POLLIN, 0 } };
    while (poll(fds, 2, -1) >= 0 || errno == EINTR) {
        if (fds[1].revents)
            break;
        if (fds[0].revents && has_changed(p) && !load(p))
            fputs("rules: the rules before stay\n", stderr);
    }
    return NULL;
}

/* --- events --- */

/* One or the other. */
struct event {
    svl_slice json;
    const svl_record *record;
};

static int transform(struct program *p, const struct event *e, uint64_t rule, size_t *len)
{
    return e->record ? svl_ruleset_transform_record(p->ruleset, rule, e->record, p->output,
                                                    p->output_size, len)
                     : svl_ruleset_transform_json(p->ruleset, rule, e->json.data, e->json.len,
                                                  p->output, p->output_size, len);
}

/* SVL_E_NOT_FOUND: the rule has no transformer. */
static int transform_whole(struct program *p, const struct event *e, uint64_t rule, size_t *len)
{
    int rc = transform(p, e, rule, len);
    while (rc == SVL_OK && *len >= p->output_size) {
        char *grown = realloc(p->output, *len + 1);
        if (!grown)
            return SVL_E_NOMEM;
        p->output = grown;
        p->output_size = *len + 1;
        rc = transform(p, e, rule, len);
    }
    return rc;
}

static void print_text(const struct program *p, svl_slice text)
{
    if (p->json)
        fwrite(text.data, 1, text.len, stdout);
    else
        show_text(stdout, text);
    putchar('\n');
}

static void print_match(struct program *p, const struct event *e, uint64_t rule)
{
    char name[NAME_BYTES];
    size_t len;
    if (svl_ruleset_name(p->ruleset, rule, name, sizeof name, &len) != SVL_OK)
        return; /* taken out of the file since */
    show_text(stdout, (svl_slice){ name, len });
    putchar('\t');
    int rc = transform_whole(p, e, rule, &len);
    if (rc == SVL_OK)
        print_text(p, (svl_slice){ p->output, len });
    else if (!e->record)
        print_text(p, e->json);
    else if (p->json)
        show_record_json(stdout, e->record);
    else
        show_record(stdout, e->record);
    if (rc != SVL_OK && rc != SVL_E_NOT_FOUND)
        fprintf(stderr, "rules: %s: %s\n", name, svl_last_error());
}

static void take_event(struct program *p, const struct event *e)
{
    uint64_t rules[MATCHES_MAX];
    size_t matched;
    int rc = e->record
                 ? svl_ruleset_match_record(p->ruleset, e->record, 0, rules, MATCHES_MAX, &matched)
                 : svl_ruleset_match_json(p->ruleset, e->json.data, e->json.len, SVL_JSON_CHECK,
                                          rules, MATCHES_MAX, &matched);
    if (rc != SVL_OK)
        fprintf(stderr, "rules: %s\n", svl_last_error());
    for (size_t i = 0; i < matched && i < MATCHES_MAX; i++)
        print_match(p, e, rules[i]);
    if (matched > MATCHES_MAX)
        fprintf(stderr, "rules: %zu rules match one event; the first %d are shown\n", matched,
                MATCHES_MAX);
}

static bool take_lines(struct program *p)
{
    static struct input input;
    struct event e = { .record = NULL };
    int more = -1;
    if (input_open(&input, "-") == 0) {
        while ((more = input_line(&input, &e.json)) > 0) {
            take_event(p, &e);
            if (fflush(stdout) != 0)
                break;
        }
        if (input.cut > 0)
            fprintf(stderr, "rules: %llu lines are longer than %u bytes\n",
                    (unsigned long long)input.cut, LINE_BYTES_MAX);
    }
    if (more < 0)
        fprintf(stderr, "rules: standard input: %s\n", strerror(errno));
    input_close(&input);
    return more == 0;
}

static void take_records(struct program *p, svl_cursor *cursor)
{
    const svl_record *records;
    uint64_t first, last;
    size_t n;
    int rc;
    do {
        rc = svl_cursor_next_many(cursor, -1, 1000, &records, &n);
        if (svl_cursor_gap(cursor, &first, &last) == SVL_OK && first != 0)
            fprintf(stderr, "rules: records %llu to %llu were retired before they were read\n",
                    (unsigned long long)first, (unsigned long long)last);
        for (size_t i = 0; i < n; i++)
            take_event(p, &(struct event){ .record = &records[i] });
        if (rc != SVL_OK && rc != SVL_E_END)
            fprintf(stderr, "rules: %s\n", svl_last_error());
        /* Behind damage there is more. */
    } while ((rc == SVL_OK || rc == SVL_E_CORRUPT) && fflush(stdout) == 0);
}

static bool take_store(struct program *p, const char *path)
{
    svl_store_options options;
    svl_store *store;
    svl_cursor *cursor;
    svl_store_options_init(&options, sizeof options);
    options.flags = SVL_STORE_READ_ONLY;
    int rc = svl_store_open(path, &options, &store);
    if (rc != SVL_OK) {
        fprintf(stderr, "rules: %s\n", svl_last_error());
        return false;
    }
    rc = svl_store_query(store, &p->query, &cursor);
    if (rc == SVL_OK)
        take_records(p, cursor);
    else
        fprintf(stderr, "rules: %s\n", svl_last_error());
    if (rc == SVL_OK)
        svl_cursor_close(cursor);
    return svl_store_close(store) == SVL_OK && rc == SVL_OK;
}

/* --- the program --- */

static bool start_watching(struct program *p)
{
    p->paths[0] = strdup(p->rules_path);
    p->paths[1] = strdup(p->rules_path);
    if (!p->paths[0] || !p->paths[1])
        return false;
    p->directory = dirname(p->paths[0]);
    p->name = basename(p->paths[1]);
    p->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    return p->watch >= 0 && pipe(p->stop) == 0 &&
           inotify_add_watch(p->watch, p->directory, IN_CLOSE_WRITE | IN_MOVED_TO) >= 0;
}

static bool run(struct program *p, const char *store_path)
{
    pthread_t watcher;
    if (svl_ruleset_create(NULL, &p->ruleset) != SVL_OK) {
        fprintf(stderr, "rules: %s\n", svl_last_error());
        return false;
    }
    bool watches = start_watching(p); /* before it is read: no change is missed */
    if (!watches)
        fprintf(stderr, "rules: %s: %s\n", p->rules_path, strerror(errno));
    bool right = watches && load(p) && pthread_create(&watcher, NULL, watch, p) == 0;
    if (right) {
        right = store_path ? take_store(p, store_path) : take_lines(p);
        close(p->stop[1]);
        pthread_join(watcher, NULL);
    }
    svl_ruleset_destroy(p->ruleset);
    free(p->paths[0]);
    free(p->paths[1]);
    free(p->output);
    return right;
}

static bool take_option(struct program *p, int c, const char *value)
{
    char *end = "";
    switch (c) {
    case 'a':
        p->query.flags &= ~(uint32_t)SVL_QUERY_TAIL;
        return true;
    case 'l':
        errno = 0;
        p->query.tail = strtoull(value, &end, 10);
        if (value[0] >= '0' && value[0] <= '9' && !*end && errno == 0)
            return true;
        fprintf(stderr, "rules: \"%s\" is not a number\n", value);
        return false;
    case 'j':
        p->json = true;
        return true;
    default: /* getopt has said it */
        return false;
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "all", no_argument, NULL, 'a' },
        { "last", required_argument, NULL, 'l' },
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    struct program p = { .json = false };
    svl_query_init(&p.query, sizeof p.query);
    p.query.flags = SVL_QUERY_FOLLOW | SVL_QUERY_TAIL;
    for (int c; (c = getopt_long(argc, argv, "al:jh", options, NULL)) != -1;) {
        if (c == 'h') {
            usage(stdout);
            return 0;
        }
        if (!take_option(&p, c, optarg))
            return 2;
    }
    if (!(p.query.flags & SVL_QUERY_TAIL))
        p.query.tail = 0;
    if (argc - optind < 1 || argc - optind > 2) {
        usage(stderr);
        return 2;
    }
    p.rules_path = argv[optind];
    bool right = run(&p, optind + 1 < argc ? argv[optind + 1] : NULL);
    return show_end() == 0 && right ? 0 : 1;
}
