/* sparse.c - files with and without their zeros. */
#include "sparse.h"

#include <string.h>

/* A gap of fewer zeros is cheaper written out. */
#define GAP_MIN 8
#define RUN_HEADER 6

size_t sparse_unpack(const uint8_t *data, size_t len, uint8_t *file, size_t max)
{
    struct reader r = reader_of(data, len);
    size_t size = read_u32(&r) % (max + 1);
    memset(file, 0, size);
    while (size > 0 && reader_left(&r) > RUN_HEADER) {
        size_t at = read_u32(&r) % size, n = read_u16(&r);
        if (n > reader_left(&r))
            n = reader_left(&r);
        const uint8_t *bytes = read_bytes(&r, n);
        memcpy(file + at, bytes, n < size - at ? n : size - at);
    }
    return size;
}

/* Where the zeros that begin at `at` end. */
static size_t zeros_end(const uint8_t *file, size_t size, size_t at)
{
    while (at < size && file[at] == 0)
        at++;
    return at;
}

void sparse_pack(const uint8_t *file, size_t size, struct buffer *out)
{
    uint8_t number[4];
    store_u32(number, (uint32_t)size);
    svl__buffer_append(out, number, sizeof number);
    for (size_t at = zeros_end(file, size, 0); at < size; at = zeros_end(file, size, at)) {
        size_t end = at;
        while (end < size && end - at < UINT16_MAX) {
            size_t next = zeros_end(file, size, end);
            if (next == size || next - end >= GAP_MIN || next - at >= UINT16_MAX)
                break;
            end = next + 1;
        }
        uint8_t header[RUN_HEADER];
        store_u32(header, (uint32_t)at);
        store_u16(header + 4, (uint16_t)(end - at));
        svl__buffer_append(out, header, sizeof header);
        svl__buffer_append(out, file + at, end - at);
        at = end;
    }
}
