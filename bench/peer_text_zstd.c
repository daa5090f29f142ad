/* peer_text_zstd.c - the lines of peer_text.c through one stream of zstd -3, handed over as much at a time as it asks
 * for; searched by zstdgrep -F. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

#include "peer_text.h"

#define ZSTD_LEVEL 3

struct packed {
    struct text *text;
    ZSTD_CStream *compressor; /* NULL: opened to read */
    char *out, *lines;        /* those that wait to be packed */
    size_t lines_len;
};

static int packed_close(void *store)
{
    struct packed *me = store;
    text_close(me->text);
    ZSTD_freeCStream(me->compressor);
    free(me->out);
    free(me->lines);
    free(me);
    return 0;
}

static void *packed_open(const char *path, const struct store_wish *wish)
{
    struct packed *me = calloc(1, sizeof *me);
    if (!me || !(me->text = text_open(path, wish))) {
        free(me);
        return NULL;
    }
    if (wish->purpose != PURPOSE_BULK)
        return me;
    me->compressor = ZSTD_createCStream();
    me->out = malloc(ZSTD_CStreamOutSize());
    me->lines = malloc(ZSTD_CStreamInSize() + ROW_BYTES_MAX);
    if (me->compressor && me->out && me->lines &&
        !ZSTD_isError(ZSTD_initCStream(me->compressor, ZSTD_LEVEL)))
        return me;
    packed_close(me);
    return NULL;
}

static int pack(struct packed *me, const void *text, size_t len, ZSTD_EndDirective directive)
{
    ZSTD_inBuffer in = { text, len, 0 };
    size_t left;
    do {
        ZSTD_outBuffer out = { me->out, ZSTD_CStreamOutSize(), 0 };
        left = ZSTD_compressStream2(me->compressor, &out, &in, directive);
        if (ZSTD_isError(left) || fwrite_unlocked(me->out, 1, out.pos, me->text->stream) != out.pos)
            return bench_fail("the packed file is not written");
    } while (directive == ZSTD_e_end ? left > 0 : in.pos < in.size);
    return 0;
}

static int packed_append(void *store, const struct line *line)
{
    struct packed *me = store;
    me->lines_len += text_line(&line->record, me->lines + me->lines_len);
    if (me->lines_len < ZSTD_CStreamInSize())
        return 0;
    size_t len = me->lines_len;
    me->lines_len = 0;
    return pack(me, me->lines, len, ZSTD_e_continue);
}

static int packed_finish(void *store)
{
    struct packed *me = store;
    return pack(me, me->lines, me->lines_len, ZSTD_e_end) == 0 ? text_finish(me->text) : -1;
}

static int64_t packed_count_word(void *store, const char *word)
{
    return text_search("LC_ALL=C zstdgrep", word, ((struct packed *)store)->text->path);
}

static bool has_zstdgrep(void)
{
    return access("/usr/bin/zstdgrep", X_OK) == 0;
}

static const struct store_ops ops = { .open = packed_open,
                                      .append = packed_append,
                                      .finish = packed_finish,
                                      .count_word = packed_count_word,
                                      .close = packed_close,
                                      .disk_factor = 0.5 };

const struct peer peer_text_zstd = { .name = "text-zstd",
                                     .title = "text through zstd -3, zstdgrep",
                                     .is_here = has_zstdgrep,
                                     .version = ZSTD_versionString,
                                     .store = &ops };
