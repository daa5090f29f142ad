#define _POSIX_C_SOURCE 200809L
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* FNV-1a */
static uint64_t hash(uint64_t from, const void *data, size_t len)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < len; i++)
        from = (from ^ p[i]) * UINT64_C(0x100000001b3);
    return from;
}

#define HASH_START UINT64_C(0xcbf29ce484222325)

static int identify(struct input *in)
{
    struct stat st;
    char head[256];
    if (fstat(in->fd, &st) != 0)
        return -1;
    in->is_file = S_ISREG(st.st_mode);
    snprintf(in->type, sizeof in->type, "line");
    in->has_lines = true;
    if (!in->is_file)
        return 0;
    in->size = (uint64_t)st.st_size;
    ssize_t n = pread(in->fd, head, sizeof head, 0);
    if (n < 0)
        return -1;
    const char *newline = memchr(head, '\n', (size_t)n);
    in->has_lines = newline || n == sizeof head;
    in->unfinished = in->has_lines ? 0 : (uint64_t)n;
    uint64_t id = hash(HASH_START, &st.st_dev, sizeof st.st_dev);
    id = hash(id, &st.st_ino, sizeof st.st_ino);
    id = hash(id, head, newline ? (size_t)(newline - head) : (size_t)n);
    snprintf(in->type, sizeof in->type, "line.%016llx", (unsigned long long)id);
    return 0;
}

int input_open(struct input *in, const char *path)
{
    memset(in, 0, sizeof *in);
    in->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (in->fd < 0)
        return -1;
    return identify(in);
}

void input_close(struct input *in)
{
    if (in->fd > STDIN_FILENO)
        close(in->fd);
}

static void note_before(struct input *in, const char *bytes, size_t len, uint64_t offset)
{
    size_t skip = len > CHECK_BYTES ? len - CHECK_BYTES : 0;
    for (size_t i = skip; i < len; i++)
        in->before[(offset + i) % CHECK_BYTES] = (unsigned char)bytes[i];
}

uint64_t input_check(const struct input *in)
{
    size_t n = in->offset < CHECK_BYTES ? (size_t)in->offset : CHECK_BYTES;
    unsigned char bytes[CHECK_BYTES];
    for (size_t i = 0; i < n; i++)
        bytes[i] = in->before[(in->offset - n + i) % CHECK_BYTES];
    return hash(HASH_START, bytes, n);
}

int input_go_on(struct input *in, uint64_t offset, uint64_t check)
{
    size_t n = offset < CHECK_BYTES ? (size_t)offset : CHECK_BYTES;
    char bytes[CHECK_BYTES];
    if (pread(in->fd, bytes, n, (off_t)(offset - n)) != (ssize_t)n ||
        hash(HASH_START, bytes, n) != check || lseek(in->fd, (off_t)offset, SEEK_SET) < 0)
        return 0;
    note_before(in, bytes, n, offset - n);
    in->offset = offset;
    return 1;
}

static ssize_t fill(struct input *in)
{
    ssize_t n;
    do
        n = read(in->fd, in->buffer, sizeof in->buffer);
    while (n < 0 && errno == EINTR);
    in->at = 0;
    in->end = n > 0 ? (size_t)n : 0;
    return n;
}

/* Takes `n` bytes of the buffer into the line, as far as it takes them. */
static void take(struct input *in, size_t n, uint64_t *bytes, size_t *len)
{
    size_t room = sizeof in->line - *len, some = n < room ? n : room;
    memcpy(in->line + *len, in->buffer + in->at, some);
    note_before(in, in->buffer + in->at, n, in->offset + *bytes);
    *len += some;
    *bytes += n;
    in->at += n;
}

int input_line(struct input *in, svl_slice *line)
{
    uint64_t bytes = 0; /* of the line in the file, its end included */
    size_t len = 0;
    const char *newline = NULL;
    while (in->has_lines && !newline) {
        if (in->at == in->end) {
            ssize_t n = fill(in);
            if (n < 0)
                return -1;
            if (n == 0)
                break;
        }
        newline = memchr(in->buffer + in->at, '\n', in->end - in->at);
        take(in, newline ? (size_t)(newline + 1 - in->buffer) - in->at : in->end - in->at, &bytes,
             &len);
    }
    if (!newline && in->is_file && in->has_lines)
        in->unfinished = bytes;
    if (bytes == 0 || (!newline && in->is_file))
        return 0;
    in->offset += bytes;
    in->cut += bytes > len;
    if (len == bytes && newline)
        len--;
    if (len > 0 && newline && in->line[len - 1] == '\r')
        len--;
    *line = (svl_slice){ in->line, len };
    return 1;
}
