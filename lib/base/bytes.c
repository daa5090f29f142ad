/* bytes.c - the growing buffer. */
#include "bytes.h"

#include "alloc.h"

uint8_t *svl__buffer_reserve(struct buffer *b, size_t n)
{
    if (b->failed)
        return NULL;
    size_t need;
    if (__builtin_add_overflow(b->len, n, &need)) {
        b->failed = true;
        return NULL;
    }
    if (need > b->capacity || !b->data) {
        size_t capacity = b->capacity < 256 ? 256 : b->capacity;
        while (capacity < need)
            capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
        uint8_t *data = svl__realloc(b->data, capacity);
        if (!data) {
            b->failed = true;
            return NULL;
        }
        b->data = data;
        b->capacity = capacity;
    }
    return b->data + b->len;
}

void svl__buffer_append(struct buffer *b, const void *data, size_t n)
{
    uint8_t *p = buffer_reserve(b, n);
    if (!p)
        return;
    if (n > 0)
        memcpy(p, data, n);
    b->len += n;
}

void svl__buffer_free(struct buffer *b)
{
    svl__free(b->data);
    *b = (struct buffer){ 0 };
}
