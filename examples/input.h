/* input - the lines of a file or stream, one at a time, and the place in a file where reading goes on
 * after a restart.
 *
 * A file is known by device, inode and its first line's first bytes, and a place in it by what stands
 * before it: so a rotated, copied-and-truncated or otherwise changed file is read from its start. */
#ifndef EXAMPLES_INPUT_H
#define EXAMPLES_INPUT_H

#include <serverlog.h>
#include <stdbool.h>

#define LINE_BYTES_MAX (256u << 10)
#define CHECK_BYTES 32

struct input {
    int fd;
    bool is_file;        /* it has places; else a stream */
    char type[32];       /* "line.<file>"; the same file has the same one */
    bool has_lines;      /* a file whose first line is not whole yet has none */
    uint64_t size;       /* at opening; 0 = not known */
    uint64_t offset;     /* behind the last line read */
    uint64_t cut;        /* lines longer than LINE_BYTES_MAX: the rest of them was left out */
    uint64_t unfinished; /* bytes of a last line without its end: left for the next run */

    char buffer[65536];
    size_t at, end;
    char line[LINE_BYTES_MAX];
    unsigned char before[CHECK_BYTES]; /* the bytes before the place, as a ring */
};

/* "-" is standard input. 0, or -1 with errno. */
int input_open(struct input *input, const char *path);
/* Goes on behind `offset` if `check` says that this is the same file still: 1; else at the start: 0. */
int input_go_on(struct input *input, uint64_t offset, uint64_t check);
/* The next line without its end, valid until the next call: 1; 0: no more; -1 with errno. */
int input_line(struct input *input, svl_slice *line);
/* What stands before the place behind the last line. */
uint64_t input_check(const struct input *input);
void input_close(struct input *input);

#endif
