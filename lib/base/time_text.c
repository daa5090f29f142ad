/* time_text.c - nanoseconds since 1970 as a date and a time of the day. */
#include "time_text.h"

#include <string.h>

#include "clock.h"

struct date {
    unsigned year, month, day;
};

/* Days since 1970 as a date, by Howard Hinnant's "chrono-compatible low-level date algorithms", 2021. */
static struct date date_of(int64_t days)
{
    days += 719468; /* from the first of March of year 0 */
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned of_era = (unsigned)(days - era * 146097);
    unsigned years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * years + years / 4 - years / 100);
    unsigned from_march = (5 * of_year + 2) / 153;
    struct date date;
    date.day = of_year - (153 * from_march + 2) / 5 + 1;
    date.month = from_march < 10 ? from_march + 3 : from_march - 9;
    date.year = (unsigned)(years + era * 400) + (date.month <= 2);
    return date;
}

/* Writes `digits` digits, and the character behind them. */
static char *put(char *p, unsigned value, int digits, char behind)
{
    for (int i = digits; i-- > 0; value /= 10)
        p[i] = (char)('0' + value % 10);
    p[digits] = behind;
    return p + digits + 1;
}

size_t svl__time_text(int64_t time_ns, char out[TIME_TEXT_BYTES])
{
    int64_t seconds = time_ns / NS_PER_S, nanoseconds = time_ns % NS_PER_S;
    if (nanoseconds < 0) {
        nanoseconds += NS_PER_S;
        seconds--;
    }
    int64_t days = seconds / 86400, of_day = seconds % 86400;
    if (of_day < 0) {
        of_day += 86400;
        days--;
    }
    struct date date = date_of(days);
    unsigned second = (unsigned)of_day;
    char *p = put(out, date.year, 4, '-');
    p = put(p, date.month, 2, '-');
    p = put(p, date.day, 2, 'T');
    p = put(p, second / 3600, 2, ':');
    p = put(p, second / 60 % 60, 2, ':');
    p = put(p, second % 60, 2, '.');
    p = put(p, (unsigned)nanoseconds, 9, 'Z');
    *p = 0;
    return (size_t)(p - out);
}

static int compare(int64_t time_ns, const void *begin, size_t len)
{
    char text[TIME_TEXT_BYTES];
    size_t text_len = svl__time_text(time_ns, text);
    int order = memcmp(text, begin, len < text_len ? len : text_len);
    return order == 0 && len > text_len ? -1 : order;
}

/* The first time at which the comparison gives `least` or more; INT64_MAX, perhaps for want of one. Texts of the
 * same length are in the order of their times, so bisection finds it. */
static int64_t first_of(const void *begin, size_t len, int least)
{
    int64_t low = INT64_MIN, high = INT64_MAX;
    while (low < high) {
        int64_t middle = low + (int64_t)(((uint64_t)high - (uint64_t)low) / 2);
        if (compare(middle, begin, len) >= least)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

bool svl__time_text_range(const void *begin, size_t len, int64_t *first_ns, int64_t *last_ns)
{
    *first_ns = first_of(begin, len, 0);
    *last_ns = first_of(begin, len, 1); /* behind the last */
    if (compare(*last_ns, begin, len) > 0 && *last_ns > INT64_MIN)
        --*last_ns;
    return compare(*first_ns, begin, len) == 0;
}
