/* peer_text.c - a text file, a line a record: time, severity, source, key, body. In bulk by a buffered stream, flushed
 * once at the end; durable by one write and fdatasync into a file that was written before, so that no flush has to
 * write the file's size: the floor of what a durable record costs. Lines that come while another thread flushes are a
 * group: one of those who wait writes and flushes it for all. Searched by grep -F. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peer_text.h"

#define STREAM_BYTES (1 << 20)
#define PREWRITTEN_LINE_BYTES 512

size_t text_line(const svl_record *record, char out[ROW_BYTES_MAX])
{
    int len =
        snprintf(out, ROW_BYTES_MAX, "%lld %u %.*s ", (long long)record->time_ns, record->severity,
                 (int)record->source.len, (const char *)record->source.data);
    size_t at = (size_t)len;
    for (size_t i = 0; i < record->key.len; i++) /* a key may be any bytes */
        at += (size_t)snprintf(out + at, ROW_BYTES_MAX - at, "%02x",
                               ((const uint8_t *)record->key.data)[i]);
    out[at++] = ' ';
    memcpy(out + at, record->body.data, record->body.len);
    at += record->body.len;
    out[at++] = '\n';
    return at;
}

static int prewrite(int fd, uint64_t bytes)
{
    static char zeros[1 << 16];
    for (uint64_t at = 0; at < bytes; at += sizeof zeros)
        if (pwrite(fd, zeros, sizeof zeros, (off_t)at) != sizeof zeros)
            return -1;
    return fdatasync(fd);
}

void *text_open(const char *path, const struct store_wish *wish)
{
    struct text *me = calloc(1, sizeof *me);
    if (!me)
        return NULL;
    me->fd = -1;
    pthread_mutex_init(&me->mutex, NULL);
    pthread_cond_init(&me->flushed, NULL);
    snprintf(me->path, sizeof me->path, "%s", path);
    int rc = 0;
    if (wish->purpose == PURPOSE_BULK) {
        me->stream = fopen(path, "we");
        rc = me->stream && setvbuf(me->stream, NULL, _IOFBF, STREAM_BYTES) == 0 ? 0 : -1;
    } else if (wish->purpose == PURPOSE_DURABLE) {
        me->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        rc = me->fd >= 0 ? prewrite(me->fd, wish->records * PREWRITTEN_LINE_BYTES) : -1;
    }
    if (rc == 0)
        return me;
    bench_fail("the text file cannot be made");
    free(me);
    return NULL;
}

static int text_append(void *store, const struct line *line)
{
    struct text *me = store;
    char text[ROW_BYTES_MAX];
    size_t len = text_line(&line->record, text);
    return fwrite_unlocked(text, 1, len, me->stream) == len
               ? 0
               : bench_fail("the text file is not written");
}

int text_finish(void *store)
{
    struct text *me = store;
    return fflush(me->stream) == 0 && fdatasync(fileno(me->stream)) == 0
               ? 0
               : bench_fail("the text file is not flushed");
}

/* Called and returns under the mutex, which it leaves meanwhile: the next group gathers. */
static void flush_group(struct text *me)
{
    const char *lines = me->lines[me->group % 2];
    size_t len = me->lines_len;
    me->is_flushing = true;
    me->group++;
    me->lines_len = 0;
    pthread_mutex_unlock(&me->mutex);
    bool ok = !me->has_failed && pwrite(me->fd, lines, len, me->at) == (ssize_t)len &&
              fdatasync(me->fd) == 0;
    me->at += (off_t)len;
    pthread_mutex_lock(&me->mutex);
    me->is_flushing = false;
    me->has_failed = !ok; /* for good: what the disk has then is not known */
    me->groups_flushed++;
    pthread_cond_broadcast(&me->flushed);
}

static int text_append_durable(void *store, const struct line *line)
{
    struct text *me = store;
    char text[ROW_BYTES_MAX];
    size_t len = text_line(&line->record, text);
    pthread_mutex_lock(&me->mutex);
    while (me->lines_len + len > TEXT_GROUP_BYTES)
        pthread_cond_wait(&me->flushed, &me->mutex);
    memcpy(me->lines[me->group % 2] + me->lines_len, text, len);
    me->lines_len += len;
    uint64_t mine = me->group;
    while (me->groups_flushed <= mine)
        if (me->is_flushing)
            pthread_cond_wait(&me->flushed, &me->mutex);
        else
            flush_group(me);
    bool ok = !me->has_failed;
    pthread_mutex_unlock(&me->mutex);
    return ok ? 0 : bench_fail("the text file is not flushed");
}

/* --- reading --- */

static int64_t text_scan(void *store, uint64_t *bytes)
{
    struct text *me = store;
    FILE *f = fopen(me->path, "re");
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;
    int64_t count = 0;
    if (!f)
        return bench_fail("the text file cannot be read");
    setvbuf(f, NULL, _IOFBF, STREAM_BYTES);
    for (; (len = getline(&line, &capacity, f)) > 0; count++)
        *bytes += bench_sum(line, (size_t)len) ? (size_t)len : 0;
    free(line);
    fclose(f);
    return count;
}

int64_t text_search(const char *program, const char *word, const char *path)
{
    char command[1024];
    long long number = -1;
    snprintf(command, sizeof command, "%s -F -c -- '%s' '%s'", program, word, path);
    FILE *f = popen(command, "r");
    if (!f || fscanf(f, "%lld", &number) != 1)
        bench_fail("the search program answers nothing");
    if (f)
        pclose(f);
    return number;
}

static int64_t text_count_word(void *store, const char *word)
{
    return text_search("LC_ALL=C grep", word, ((struct text *)store)->path);
}

int text_close(void *store)
{
    struct text *me = store;
    if (me->stream)
        fclose(me->stream);
    if (me->fd >= 0)
        close(me->fd);
    free(me);
    return 0;
}

static const struct store_ops ops = { .open = text_open,
                                      .append = text_append,
                                      .finish = text_finish,
                                      .append_durable = text_append_durable,
                                      .scan = text_scan,
                                      .count_word = text_count_word,
                                      .close = text_close,
                                      .disk_factor = 1.5 };

const struct peer peer_text = { .name = "text",
                                .title = "text file, fdatasync, grep -F",
                                .store = &ops };
