/* codec - bytes made smaller and back: none, LZ4, zstd, as this build has them.
 *
 * A compressor or decompressor keeps the codec's working memory for the next call; one thread each. */
#ifndef SVL_STORE_CODEC_H
#define SVL_STORE_CODEC_H

#include "base/bytes.h"

struct compressor {
    uint32_t codec;
    void *state; /* of the codec */
};

/* `level` is zstd's, 0 = default. SVL_E_CODEC if the codec is not built in, SVL_E_OPTION for a level
 * that zstd does not have. */
int svl__compressor_open(struct compressor *compressor, uint32_t codec, uint32_t level);
void svl__compressor_close(struct compressor *compressor); /* zeroed is fine */

/* Appends `len` bytes to `out` as the codec stores them; *codec says how: SVL_CODEC_NONE where
 * compressing does not pay. SVL_E_NOMEM. */
int svl__compress(struct compressor *compressor, const void *data, size_t len, struct buffer *out,
                  uint8_t *codec);

struct decompressor {
    void *zstd; /* made at its first use */
};

void svl__decompressor_close(struct decompressor *decompressor); /* zeroed is fine */

/* Decompresses into exactly `raw_len` bytes. Any bytes are safe: SVL_E_CORRUPT, SVL_E_CODEC,
 * SVL_E_VERSION for a codec nobody knows yet, SVL_E_NOMEM. */
int svl__decompress(struct decompressor *decompressor, uint8_t codec, const void *stored,
                    size_t stored_len, void *raw, size_t raw_len);

#endif
