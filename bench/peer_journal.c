/* peer_journal.c - the systemd journal, whose files systemd-journal-remote writes from a stream in the export format,
 * and journalctl reads. Both are programs: their start, some 4 ms, is in the times. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define WRITER "/lib/systemd/systemd-journal-remote"
#define READER "/usr/bin/journalctl"
#define STREAM_BYTES (1 << 20)

struct journal {
    FILE *stream; /* to the writer; NULL: it has ended */
    char directory[512];
};

static void *journal_open(const char *path, const struct store_wish *wish)
{
    char command[1024];
    struct journal *me = calloc(1, sizeof *me);
    if (!me)
        return NULL;
    snprintf(me->directory, sizeof me->directory, "%s", path);
    if (wish->purpose == PURPOSE_READ)
        return me;
    snprintf(command, sizeof command,
             "mkdir -p '%s' && exec " WRITER
             " --split-mode=none --compress=yes --output='%s/log.journal' - >/dev/null 2>&1",
             path, path);
    me->stream = popen(command, "we");
    if (me->stream && setvbuf(me->stream, NULL, _IOFBF, STREAM_BYTES) == 0)
        return me;
    free(me);
    bench_fail("systemd-journal-remote cannot be run");
    return NULL;
}

/* A field of any bytes: name, newline, length, bytes. */
static void put_bytes(FILE *out, const char *name, svl_slice bytes)
{
    uint64_t len = bytes.len;
    fputs(name, out);
    putc_unlocked('\n', out);
    fwrite_unlocked(&len, sizeof len, 1, out);
    fwrite_unlocked(bytes.data, 1, bytes.len, out);
    putc_unlocked('\n', out);
}

static int journal_append(void *store, const struct line *line)
{
    struct journal *me = store;
    const svl_record *record = &line->record;
    long long us = (long long)(record->time_ns / 1000);
    fprintf(me->stream,
            "__REALTIME_TIMESTAMP=%lld\n__MONOTONIC_TIMESTAMP=%lld\n"
            "_BOOT_ID=0123456789abcdef0123456789abcdef\nPRIORITY=%d\nSYSLOG_IDENTIFIER=%.*s\n",
            us, us - (long long)(LINES_TIME_FIRST_NS / 1000) + 1,
            record->severity >= SVL_SEVERITY_ERROR  ? 3
            : record->severity >= SVL_SEVERITY_WARN ? 4
                                                    : 6,
            (int)record->source.len, (const char *)record->source.data);
    if (record->key.len > 0)
        put_bytes(me->stream, "KEY", record->key);
    fprintf(me->stream, "MESSAGE=%.*s\n\n", (int)record->body.len, (const char *)record->body.data);
    return ferror(me->stream) ? bench_fail("systemd-journal-remote takes nothing") : 0;
}

static int journal_finish(void *store)
{
    struct journal *me = store;
    int status = pclose(me->stream);
    me->stream = NULL;
    return status == 0 ? 0 : bench_fail("systemd-journal-remote failed");
}

/* journalctl's answer. It takes the files' pattern itself, as the writer goes on in a new one at 128 MiB. */
static FILE *ask(struct journal *me, const char *question)
{
    char command[1024];
    snprintf(command, sizeof command, "exec " READER " --file='%s/*.journal' -q --no-pager -a %s",
             me->directory, question);
    FILE *answer = popen(command, "re");
    if (!answer)
        bench_fail("journalctl cannot be run");
    return answer;
}

static int64_t count_lines(struct journal *me, const char *match, uint64_t *bytes)
{
    char question[128];
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;
    int64_t count = 0;
    snprintf(question, sizeof question, "-o cat %s", match);
    FILE *f = ask(me, question);
    if (!f)
        return -1;
    for (; (len = getline(&line, &capacity, f)) > 0; count++)
        *bytes += bench_sum(line, (size_t)len) ? (size_t)len : 0;
    free(line);
    bool has_failed = ferror(f);
    return pclose(f) != -1 && !has_failed ? count
                                          : bench_fail("journalctl's answer cannot be read");
}

static int64_t journal_scan(void *store, uint64_t *bytes)
{
    return count_lines(store, "", bytes);
}

static int64_t journal_count_errors(void *store)
{
    uint64_t bytes = 0;
    return count_lines(store, "PRIORITY=3", &bytes);
}

static int64_t journal_count_key(void *store, svl_slice key)
{
    char match[64];
    uint64_t bytes = 0;
    snprintf(match, sizeof match, "'KEY=%.*s'", (int)key.len, (const char *)key.data);
    return count_lines(store, match, &bytes);
}

/* Reads an answer in `-o short-unix`, whose lines begin with seconds and microseconds: the last one's time. */
static int64_t last_time(struct journal *me, const char *question)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;
    long long s = -1, us = -1;
    int fields = 2;
    FILE *f = ask(me, question);
    if (!f)
        return -1;
    while (fields == 2 && (len = getline(&line, &capacity, f)) > 0)
        fields = bench_sum(line, (size_t)len) ? sscanf(line, "%lld.%6lld", &s, &us) : 0;
    free(line);
    pclose(f);
    return fields == 2 && us >= 0 ? (int64_t)(s * 1000000 + us) * 1000
                                  : bench_fail("journalctl's answer has no time");
}

static int64_t journal_newest_of_key(void *store, svl_slice key, unsigned n)
{
    char question[128];
    snprintf(question, sizeof question, "-o short-unix -r -n %u 'KEY=%.*s'", n, (int)key.len,
             (const char *)key.data);
    return last_time(store, question);
}

/* The journal's times are microseconds. `-n +1` is the first record, whether or not the version takes `-n 1` for the
 * last one. */
static int64_t journal_first_since(void *store, int64_t time_ns)
{
    char question[128];
    long long us = (long long)((time_ns + 999) / 1000);
    snprintf(question, sizeof question, "-o short-unix -n +1 --since @%lld.%06lld", us / 1000000,
             us % 1000000);
    return last_time(store, question);
}

static int journal_close(void *store)
{
    struct journal *me = store;
    if (me->stream)
        pclose(me->stream);
    free(me);
    return 0;
}

static bool is_here(void)
{
    return access(WRITER, X_OK) == 0 && access(READER, X_OK) == 0;
}

/* The second word of what it says about itself. */
static const char *version(void)
{
    static char text[64] = "";
    FILE *f = text[0] ? NULL : popen(READER " --version", "re");
    if (f && fscanf(f, "%*s %63s", text) != 1)
        snprintf(text, sizeof text, "unknown");
    if (f)
        pclose(f);
    return text;
}

static const struct store_ops ops = { .open = journal_open,
                                      .append = journal_append,
                                      .finish = journal_finish,
                                      .scan = journal_scan,
                                      .count_errors = journal_count_errors,
                                      .count_key = journal_count_key,
                                      .newest_of_key = journal_newest_of_key,
                                      .first_since = journal_first_since,
                                      .close = journal_close,
                                      .indexes = INDEX_KEY | INDEX_TIME,
                                      .disk_factor = 2.5 };

const struct peer peer_journal = { .name = "journal",
                                   .title = "systemd journal",
                                   .is_program = true,
                                   .is_here = is_here,
                                   .version = version,
                                   .store = &ops };
