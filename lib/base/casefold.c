/* casefold.c - ranges of characters that fold alike, found by bisection. */
#include "casefold.h"

#include "utf8.h"

/* Every step-th character from `first` to first + span folds to itself plus delta. Ascending. */
static const struct fold {
    uint32_t first;
    uint16_t span;
    uint16_t step;
    int32_t delta;
} folds[] = {
#include "casefold_table.h"
};

uint32_t svl__casefold(uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
    size_t low = 0, high = sizeof folds / sizeof folds[0];
    while (low < high) { /* the first range that begins behind c */
        size_t middle = low + (high - low) / 2;
        if (folds[middle].first <= c)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return c;
    const struct fold *f = &folds[low - 1];
    uint32_t at = c - f->first;
    return at <= f->span && at % f->step == 0 ? (uint32_t)((int32_t)c + f->delta) : c;
}

size_t svl__casefold_text(const uint8_t *text, size_t len, uint8_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        if (text[i] < 0x80) {
            out[n++] = (uint8_t)svl__casefold(text[i++]);
            continue;
        }
        size_t taken;
        uint32_t c = svl__utf8_decode(text + i, len - i, &taken);
        i += taken;
        n += svl__utf8_encode(svl__casefold(c), out + n);
    }
    return n;
}
