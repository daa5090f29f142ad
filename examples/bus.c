/* bus.c - many inputs, one output: the lines of several files and fifos, merged as they come.
 *
 *     bus FILE...
 *
 * A thread for each FILE reads its lines and publishes them. The main thread pumps: it prints each line
 * whole, behind the name of its file, repeats those of severity ERROR and above on standard error, and ends
 * when the last file has. A slow output makes the readers wait; nothing is dropped. */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "line_parse.h"
#include "show.h"

struct reader {
    svl_bus *bus;
    const char *path;
    pthread_t thread;
};

/* What the subscriber that ends the program knows. */
struct rest {
    svl_bus *bus;
    int readers;
    int failed;
};

/* Waits for room as long as it takes. */
static int publish(svl_bus *bus, const svl_record *record)
{
    int rc;
    do
        rc = svl_bus_publish(bus, record);
    while (rc == SVL_E_FULL);
    return rc;
}

static int publish_line(const struct reader *reader, svl_slice text)
{
    struct line line;
    line_parse(text, 0, &line);
    svl_record record = {
        .severity = line.severity, .source = { "bus", 3 }, .type = { "line", 4 }, .body = text
    };
    /* A long path is known by its end. */
    size_t len = strlen(reader->path), skip = len > 480 ? len - 480 : 0;
    record.key = (svl_slice){ reader->path + skip, len - skip };
    return publish(reader->bus, &record);
}

static int read_lines(const struct reader *reader)
{
    FILE *file = fopen(reader->path, "re");
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;
    if (!file) {
        fprintf(stderr, "bus: %s: %s\n", reader->path, strerror(errno));
        return SVL_E_IO;
    }
    int rc = SVL_OK;
    while (rc == SVL_OK && (len = getline(&line, &capacity, file)) >= 0) {
        if (len > 0 && line[len - 1] == '\n')
            len--;
        rc = publish_line(reader, (svl_slice){ line, (size_t)len });
        if (rc != SVL_OK)
            fprintf(stderr, "bus: %s: %s\n", reader->path, svl_last_error());
    }
    if (ferror(file)) {
        fprintf(stderr, "bus: %s could not be read to its end\n", reader->path);
        rc = SVL_E_IO;
    }
    free(line);
    fclose(file);
    return rc;
}

static void *read_file(void *argument)
{
    const struct reader *reader = argument;
    int rc = read_lines(reader);
    svl_record end = { .severity = rc == SVL_OK ? SVL_SEVERITY_INFO : SVL_SEVERITY_ERROR,
                       .source = { "bus", 3 },
                       .type = { "end", 3 } };
    publish(reader->bus, &end);
    return NULL;
}

/* --- subscribers: all on the main thread --- */

static void print_line(FILE *out, const svl_record *record)
{
    show_text(out, record->key);
    fputs(": ", out);
    show_text(out, record->body);
    putc('\n', out);
}

static int on_line(const svl_record *record, void *user)
{
    (void)user;
    print_line(stdout, record);
    return SVL_OK;
}

static int on_error(const svl_record *record, void *user)
{
    (void)user;
    print_line(stderr, record);
    return SVL_OK;
}

static int on_end(const svl_record *record, void *user)
{
    struct rest *rest = user;
    rest->failed += record->severity >= SVL_SEVERITY_ERROR;
    return --rest->readers == 0 ? svl_bus_stop(rest->bus) : SVL_OK;
}

static int subscribe(svl_bus *bus, const char *type, uint32_t severity_min, svl_bus_fn *callback,
                     void *user)
{
    svl_bus_subscription_options options;
    int rc = svl_bus_subscription_options_init(&options, sizeof options);
    options.filter.type = type;
    options.filter.severity_min = severity_min;
    return rc == SVL_OK ? svl_bus_subscribe(bus, &options, callback, user, NULL) : rc;
}

/* --- the whole --- */

static int subscribe_all(struct rest *rest)
{
    int rc = subscribe(rest->bus, "line", 0, on_line, NULL);
    if (rc == SVL_OK)
        rc = subscribe(rest->bus, "line", SVL_SEVERITY_ERROR, on_error, NULL);
    if (rc == SVL_OK)
        rc = subscribe(rest->bus, "end", 0, on_end, rest);
    return rc;
}

/* How many there are; where one could not be started the bus is stopped, which ends those that were. */
static int start_readers(struct rest *rest, struct reader *readers, int count, char **paths)
{
    for (int i = 0; i < count; i++) {
        readers[i] = (struct reader){ .bus = rest->bus, .path = paths[i] };
        if (pthread_create(&readers[i].thread, NULL, read_file, &readers[i]) != 0) {
            fprintf(stderr, "bus: no thread for %s\n", paths[i]);
            rest->failed++;
            svl_bus_stop(rest->bus);
            return i;
        }
    }
    return count;
}

static int run(struct rest *rest, struct reader *readers, int count, char **paths)
{
    int rc = subscribe_all(rest);
    if (rc != SVL_OK)
        return rc;
    rest->readers = count;
    int started = start_readers(rest, readers, count, paths);
    do
        rc = svl_bus_pump(rest->bus, 0, -1, NULL);
    while (rc == SVL_OK);
    for (int i = 0; i < started; i++)
        pthread_join(readers[i].thread, NULL);
    return rc == SVL_E_CLOSED ? SVL_OK : rc;
}

int main(int argc, char **argv)
{
    bool help = argc == 2 && strcmp(argv[1], "--help") == 0;
    if (argc < 2 || help) {
        fputs("usage: bus FILE...\n", help ? stdout : stderr);
        return help ? 0 : 2;
    }
    struct rest rest = { .readers = 0 };
    struct reader *readers = calloc((size_t)argc, sizeof *readers);
    int rc = readers ? svl_bus_create(NULL, &rest.bus) : SVL_E_NOMEM;
    if (rc == SVL_OK)
        rc = run(&rest, readers, argc - 1, argv + 1);
    if (rc != SVL_OK)
        fprintf(stderr, "bus: %s\n", svl_last_error());
    svl_bus_destroy(rest.bus);
    free(readers);
    return rc != SVL_OK || rest.failed > 0 || show_end() != 0;
}
