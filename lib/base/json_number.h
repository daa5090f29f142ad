/* json_number - the value of a JSON number's text: the nearest double, and where that is not enough, the
 * digits.
 *
 * All texts here are what the scanner gave as JSON_NUMBER. Nothing depends on the locale, and nothing
 * allocates. */
#ifndef SVL_BASE_JSON_NUMBER_H
#define SVL_BASE_JSON_NUMBER_H

#include <serverlog/types.h>
#include <stdbool.h>

struct json_number {
    double value; /* the nearest, of two equally near ones the even one; zero is never negative */
    /* Numbers that are not equal may have this double too: it is zero or subnormal, or the text has more
     * than the 15 significant digits that any other double tells apart. */
    bool ambiguous;
};

/* False: it overflows, and `value` is an infinity. */
bool svl__json_number(svl_slice text, struct json_number *out);

/* Compares exactly: below, equal to or above 0. 5, 5.0 and 50e-1 are equal, so are 0 and -0. An exponent
 * counts up to 10^18, beyond that as 10^18. */
int svl__json_number_compare(svl_slice a, svl_slice b);

#endif
