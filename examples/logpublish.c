/* logpublish.c - standard input, line by line, into a store that another process has open, such as a running logpipe.
 *
 *     tail -F /var/log/syslog | logpublish app.log
 *
 * Each line is safe against the death of both processes once it is published. Without a host the lines wait in the
 * ring; when that is full, logpublish waits for a host too, so that the pipe holds the rest. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"

struct job {
    svl_publisher *publisher;
    const char *source;
    svl_slice key;
    uint32_t severity;
    long wait_ms; /* at the end, until all is durable; -1 without end, 0 not at all */
    unsigned long long lines;
};

static int publish_line(struct job *job, svl_slice line)
{
    svl_record record = { .severity = job->severity,
                          .source = { job->source, strlen(job->source) },
                          .key = job->key,
                          .body = line };
    bool told = false;
    int rc;
    while ((rc = svl_publisher_publish(job->publisher, &record)) == SVL_E_FULL) {
        if (!told)
            fputs("logpublish: the ring is full and nobody drains it: waiting for a host\n",
                  stderr);
        told = true;
    }
    job->lines += rc == SVL_OK;
    return rc;
}

static int publish_all(struct job *job)
{
    static struct input input;
    svl_slice line;
    int rc = SVL_OK, more = -1;
    if (input_open(&input, "-") == 0) {
        while (rc == SVL_OK && (more = input_line(&input, &line)) > 0)
            rc = publish_line(job, line);
        if (more < 0 && rc == SVL_OK)
            fprintf(stderr, "logpublish: standard input: %s\n", strerror(errno));
        if (input.cut > 0)
            fprintf(stderr, "logpublish: %llu lines were cut to %u bytes\n",
                    (unsigned long long)input.cut, LINE_BYTES_MAX);
        input_close(&input);
    }
    if (rc == SVL_OK && more < 0)
        return SVL_E_IO;
    if (rc == SVL_OK && job->wait_ms != 0)
        rc = svl_publisher_flush(job->publisher, job->wait_ms);
    return rc;
}

static int run(struct job *job, const char *store)
{
    svl_attach_options options;
    int rc = svl_attach_options_init(&options, sizeof options);
    options.ring_bytes = 4u << 20; /* a line of LINE_BYTES_MAX fits */
    if (rc == SVL_OK)
        rc = svl_attach(store, &options, &job->publisher);
    if (rc == SVL_OK)
        rc = publish_all(job);
    if (rc == SVL_E_TIMEOUT)
        fprintf(stderr, "logpublish: %llu lines are published, not all of them durable yet\n",
                job->lines);
    else if (rc != SVL_OK && rc != SVL_E_IO)
        fprintf(stderr, "logpublish: %s\n", svl_last_error());
    svl_publisher_close(job->publisher);
    return rc;
}

static void usage(FILE *out)
{
    fputs(
        "usage: logpublish [OPTIONS] STORE\n"
        "Publishes the lines of standard input into a store that another process has open.\n"
        "  -s, --source TEXT    what they come from (logpublish)\n"
        "  -k, --key TEXT       the key of each\n"
        "  -p, --severity N     1 to 24; 9 is INFO, 17 ERROR (9)\n"
        "  -w, --wait MS        at the end wait until all is durable, MS at most, -1 without end\n"
        "  -h, --help\n",
        out);
}

static bool read_number(const char *text, long min, long max, long *out)
{
    char *end;
    errno = 0;
    *out = strtol(text, &end, 10);
    return errno == 0 && end != text && *end == 0 && *out >= min && *out <= max;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "source", required_argument, NULL, 's' },   { "key", required_argument, NULL, 'k' },
        { "severity", required_argument, NULL, 'p' }, { "wait", required_argument, NULL, 'w' },
        { "help", no_argument, NULL, 'h' },           { NULL, 0, NULL, 0 }
    };
    struct job job = { .source = "logpublish", .severity = SVL_SEVERITY_INFO };
    long number;
    for (int c; (c = getopt_long(argc, argv, "s:k:p:w:h", options, NULL)) != -1;) {
        if (c == 's') {
            job.source = optarg;
        } else if (c == 'k') {
            job.key = (svl_slice){ optarg, strlen(optarg) };
        } else if (c == 'p' && read_number(optarg, 1, SVL_SEVERITY_MAX, &number)) {
            job.severity = (uint32_t)number;
        } else if (c == 'w' && read_number(optarg, -1, 1L << 40, &number)) {
            job.wait_ms = number;
        } else {
            usage(c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : 2;
        }
    }
    if (argc - optind != 1) {
        usage(stderr);
        return 2;
    }
    return run(&job, argv[optind]) == SVL_OK ? 0 : 1;
}
