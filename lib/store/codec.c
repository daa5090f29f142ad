/* codec.c - the codecs.
 *
 * Both libraries get input and output whole and write into bounded memory, so neither a wrong
 * length nor a bomb can make them take more than the caller allotted. */
#include "codec.h"

#include <limits.h>
#include <serverlog/store.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "block.h"
#include "config.h"

#if SVL_HAVE_LZ4
#include <lz4.h>
#endif
#if SVL_HAVE_ZSTD
#include <zstd.h>
#include <zstd_errors.h>
#endif

#define SMALL_BYTES 48 /* less is not worth a frame */
#define ZSTD_LEVEL_DEFAULT 1

_Static_assert(BLOCK_RAW_MAX <= INT_MAX, "LZ4 counts in int");

bool svl__codec_is_built(uint32_t codec)
{
    return codec == SVL_CODEC_NONE || (codec == SVL_CODEC_LZ4 && SVL_HAVE_LZ4) ||
           (codec == SVL_CODEC_ZSTD && SVL_HAVE_ZSTD);
}

uint32_t svl__codec_default(void)
{
    return SVL_HAVE_ZSTD ? SVL_CODEC_ZSTD : SVL_HAVE_LZ4 ? SVL_CODEC_LZ4 : SVL_CODEC_NONE;
}

static int missing(uint32_t codec)
{
    if (codec != SVL_CODEC_LZ4 && codec != SVL_CODEC_ZSTD)
        return svl__fail(SVL_E_VERSION, "data compressed by codec %u", codec);
    return svl__fail(SVL_E_CODEC, "codec %u (%s)", codec, codec == SVL_CODEC_LZ4 ? "LZ4" : "zstd");
}

#if SVL_HAVE_ZSTD
static int open_zstd(struct compressor *compressor, uint32_t level)
{
    if (level > (uint32_t)ZSTD_maxCLevel())
        return svl__fail(SVL_E_OPTION, "zstd level %u; at most %d", level, ZSTD_maxCLevel());
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (!context)
        return svl__fail(SVL_E_NOMEM, "a zstd context");
    compressor->state = context;
    int wanted = level ? (int)level : ZSTD_LEVEL_DEFAULT;
    if (ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, wanted)))
        return SVL__INTERNAL("zstd refuses its own level");
    return SVL_OK;
}
#endif

int svl__compressor_open(struct compressor *compressor, uint32_t codec, uint32_t level)
{
    (void)level;
    *compressor = (struct compressor){ .codec = codec };
    if (!svl__codec_is_built(codec))
        return missing(codec);
#if SVL_HAVE_LZ4
    if (codec == SVL_CODEC_LZ4) {
        compressor->state = svl__malloc((size_t)LZ4_sizeofState());
        return compressor->state ? SVL_OK : SVL_E_NOMEM;
    }
#endif
#if SVL_HAVE_ZSTD
    if (codec == SVL_CODEC_ZSTD)
        return open_zstd(compressor, level);
#endif
    return SVL_OK;
}

void svl__compressor_close(struct compressor *compressor)
{
#if SVL_HAVE_ZSTD
    if (compressor->codec == SVL_CODEC_ZSTD)
        ZSTD_freeCCtx(compressor->state);
#endif
    if (compressor->codec == SVL_CODEC_LZ4)
        svl__free(compressor->state);
    *compressor = (struct compressor){ 0 };
}

/* What compressing may take: it must save a thirty-second, or reading it back is not paid for. */
static size_t worth_at_most(size_t len)
{
    return len - len / 32 - 1;
}

/* Each gives the compressed length, 0 where it does not fit `room` (which is not a failure). */
static int compress_lz4(struct compressor *compressor, const void *data, size_t len, void *out,
                        size_t room, size_t *written)
{
    *written = 0;
#if SVL_HAVE_LZ4
    int n = LZ4_compress_fast_extState(compressor->state, data, out, (int)len, (int)room, 1);
    *written = n > 0 ? (size_t)n : 0;
#else
    (void)compressor, (void)data, (void)len, (void)out, (void)room;
#endif
    return SVL_OK;
}

static int compress_zstd(struct compressor *compressor, const void *data, size_t len, void *out,
                         size_t room, size_t *written)
{
    *written = 0;
#if SVL_HAVE_ZSTD
    size_t n = ZSTD_compress2(compressor->state, out, room, data, len);
    if (!ZSTD_isError(n))
        *written = n;
    else if (ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
        return svl__fail(SVL_E_NOMEM, "zstd");
    else if (ZSTD_getErrorCode(n) != ZSTD_error_dstSize_tooSmall)
        return svl__fail(SVL_E_INTERNAL, "zstd: %s", ZSTD_getErrorName(n));
#else
    (void)compressor, (void)data, (void)len, (void)out, (void)room;
#endif
    return SVL_OK;
}

int svl__compress(struct compressor *compressor, const void *data, size_t len, struct buffer *out,
                  uint8_t *codec)
{
    *codec = SVL_CODEC_NONE;
    if (len == 0)
        return SVL_OK;
    uint8_t *room = buffer_reserve(out, len);
    if (!room)
        return SVL_E_NOMEM;
    size_t written = 0;
    int rc = SVL_OK;
    if (len >= SMALL_BYTES && compressor->codec == SVL_CODEC_LZ4)
        rc = compress_lz4(compressor, data, len, room, worth_at_most(len), &written);
    else if (len >= SMALL_BYTES && compressor->codec == SVL_CODEC_ZSTD)
        rc = compress_zstd(compressor, data, len, room, worth_at_most(len), &written);
    if (rc != SVL_OK)
        return rc;
    if (written > 0)
        *codec = (uint8_t)compressor->codec;
    else
        memcpy(room, data, len);
    out->len += written > 0 ? written : len;
    return SVL_OK;
}

void svl__decompressor_close(struct decompressor *decompressor)
{
#if SVL_HAVE_ZSTD
    ZSTD_freeDCtx(decompressor->zstd);
#endif
    *decompressor = (struct decompressor){ 0 };
}

static int wrong_length(size_t raw_len)
{
    return svl__fail(SVL_E_CORRUPT, "compressed data that is not %zu bytes", raw_len);
}

#if SVL_HAVE_ZSTD
static int decompress_zstd(struct decompressor *decompressor, const void *stored, size_t stored_len,
                           void *raw, size_t raw_len)
{
    if (!decompressor->zstd)
        decompressor->zstd = ZSTD_createDCtx();
    if (!decompressor->zstd)
        return svl__fail(SVL_E_NOMEM, "a zstd context");
    size_t n = ZSTD_decompressDCtx(decompressor->zstd, raw, raw_len, stored, stored_len);
    if (ZSTD_isError(n) && ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
        return svl__fail(SVL_E_NOMEM, "zstd");
    return n == raw_len ? SVL_OK : wrong_length(raw_len);
}
#endif

int svl__decompress(struct decompressor *decompressor, uint8_t codec, const void *stored,
                    size_t stored_len, void *raw, size_t raw_len)
{
    (void)decompressor;
    if (stored_len > INT_MAX || raw_len > INT_MAX)
        return wrong_length(raw_len);
    if (codec == SVL_CODEC_NONE) {
        if (stored_len != raw_len)
            return wrong_length(raw_len);
        if (raw_len > 0)
            memcpy(raw, stored, raw_len);
        return SVL_OK;
    }
#if SVL_HAVE_LZ4
    if (codec == SVL_CODEC_LZ4) {
        int n = LZ4_decompress_safe(stored, raw, (int)stored_len, (int)raw_len);
        return n >= 0 && (size_t)n == raw_len ? SVL_OK : wrong_length(raw_len);
    }
#endif
#if SVL_HAVE_ZSTD
    if (codec == SVL_CODEC_ZSTD)
        return decompress_zstd(decompressor, stored, stored_len, raw, raw_len);
#endif
    return missing(codec);
}
