#define _GNU_SOURCE
#include "line_parse.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)

/* Text that is read from the front. */
struct scan {
    const char *at, *end;
};

static bool take_char(struct scan *s, char c)
{
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

/* Exactly `digits` digits. */
static bool take_number(struct scan *s, int digits, int *out)
{
    if (s->end - s->at < digits)
        return false;
    *out = 0;
    for (int i = 0; i < digits; i++) {
        char c = s->at[i];
        if (c < '0' || c > '9')
            return false;
        *out = *out * 10 + (c - '0');
    }
    s->at += digits;
    return true;
}

static svl_slice take_word(struct scan *s)
{
    const char *start = s->at;
    while (s->at < s->end && *s->at != ' ')
        s->at++;
    svl_slice word = { start, (size_t)(s->at - start) };
    while (s->at < s->end && *s->at == ' ')
        s->at++;
    return word;
}

/* ".123" after seconds, as ns. */
static int64_t take_fraction(struct scan *s)
{
    int64_t ns = 0, unit = NS_PER_S / 10;
    if (s->at == s->end || (*s->at != '.' && *s->at != ','))
        return 0;
    for (s->at++; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++, unit /= 10)
        ns += (*s->at - '0') * unit;
    return ns;
}

/* "Z", "+hh:mm", "+hhmm": seconds east of UTC; false: none is given. */
static bool take_zone(struct scan *s, int *east)
{
    *east = 0;
    if (take_char(s, 'Z'))
        return true;
    if (s->at == s->end || (*s->at != '+' && *s->at != '-'))
        return false;
    int sign = *s->at++ == '+' ? 1 : -1, hours, minutes;
    if (!take_number(s, 2, &hours))
        return false;
    take_char(s, ':');
    if (!take_number(s, 2, &minutes))
        return false;
    *east = sign * (hours * 3600 + minutes * 60);
    return true;
}

/* A day of the calendar, within what nanoseconds since 1970 can tell (1678 to 2261). */
static bool is_date(const struct tm *t)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int year = t->tm_year + 1900;
    if (year < 1678 || year > 2261 || t->tm_mon < 0 || t->tm_mon >= 12)
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    int last = days[t->tm_mon] + (leap && t->tm_mon == 1);
    return t->tm_mday >= 1 && t->tm_mday <= last && t->tm_hour < 24 && t->tm_min < 60 &&
           t->tm_sec <= 60;
}

static bool take_clock(struct scan *s, struct tm *t)
{
    return take_number(s, 2, &t->tm_hour) && take_char(s, ':') && take_number(s, 2, &t->tm_min) &&
           take_char(s, ':') && take_number(s, 2, &t->tm_sec);
}

static bool take_date(struct scan *s, struct tm *t)
{
    if (!take_number(s, 4, &t->tm_year) || !take_char(s, '-') || !take_number(s, 2, &t->tm_mon) ||
        !take_char(s, '-') || !take_number(s, 2, &t->tm_mday))
        return false;
    t->tm_year -= 1900;
    t->tm_mon -= 1;
    return true;
}

static int64_t to_ns(struct tm *t, bool has_zone, int east)
{
    t->tm_isdst = -1;
    time_t seconds = has_zone ? timegm(t) - east : mktime(t);
    return (int64_t)seconds * NS_PER_S;
}

static bool take_iso_time(struct scan *s, int64_t *ns)
{
    struct scan from = *s;
    struct tm t = { 0 };
    int east;
    if (!take_date(&from, &t) || !(take_char(&from, 'T') || take_char(&from, ' ')) ||
        !take_clock(&from, &t) || !is_date(&t))
        return false;
    int64_t fraction = take_fraction(&from);
    bool has_zone = take_zone(&from, &east);
    *ns = to_ns(&t, has_zone, east) + fraction;
    take_char(&from, ' ');
    *s = from;
    return true;
}

/* "Nov  4 10:11:12 " of the last year or so. */
static bool take_rfc3164_time(struct scan *s, int64_t now_ns, int64_t *ns)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct scan from = *s;
    struct tm t = { 0 }, now;
    time_t now_s = (time_t)(now_ns / NS_PER_S);
    if (from.end - from.at < 16 || !localtime_r(&now_s, &now))
        return false;
    const char *month = NULL;
    for (int i = 0; i < 12 && !month; i++)
        if (memcmp(months + 3 * i, from.at, 3) == 0)
            month = months + 3 * i;
    if (!month || from.at[3] != ' ')
        return false;
    t.tm_mon = (int)(month - months) / 3;
    from.at += 4;
    if (take_char(&from, ' ') ? !take_number(&from, 1, &t.tm_mday)
                              : !take_number(&from, 2, &t.tm_mday))
        return false;
    t.tm_year = now.tm_year;
    if (!take_char(&from, ' ') || !take_clock(&from, &t) || !take_char(&from, ' ') || !is_date(&t))
        return false;
    *ns = to_ns(&t, false, 0);
    if (*ns > now_ns + 24 * 3600 * NS_PER_S) {
        t.tm_year--;
        *ns = to_ns(&t, false, 0);
    }
    *s = from;
    return true;
}

static bool contains(svl_slice text, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= text.len; i++)
        if (strncasecmp((const char *)text.data + i, word, n) == 0)
            return true;
    return false;
}

static uint32_t guess_severity(svl_slice text)
{
    static const struct {
        const char *word;
        uint32_t severity;
    } words[] = {
        { "panic", SVL_SEVERITY_FATAL },   { "fatal", SVL_SEVERITY_FATAL },
        { "error", SVL_SEVERITY_ERROR },   { "fail", SVL_SEVERITY_ERROR },
        { "refused", SVL_SEVERITY_ERROR }, { "denied", SVL_SEVERITY_ERROR },
        { "warn", SVL_SEVERITY_WARN },     { "debug", SVL_SEVERITY_DEBUG },
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (contains(text, words[i].word))
            return words[i].severity;
    return SVL_SEVERITY_INFO;
}

static bool equals(svl_slice word, const char *text)
{
    return word.len == strlen(text) && memcmp(word.data, text, word.len) == 0;
}

/* dpkg.log: "status installed libc6:amd64 2.36", "remove foo:all 1 <none>", "startup archives unpack". */
static bool parse_dpkg(struct scan s, struct line *line)
{
    svl_slice action = take_word(&s);
    bool is_status = equals(action, "status");
    static const char *const actions[] = { "install",  "upgrade", "configure",
                                           "trigproc", "remove",  "purge" };
    bool known = is_status || equals(action, "startup");
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
        known |= equals(action, actions[i]);
    if (!known)
        return false;
    line->source = (svl_slice){ "dpkg", 4 };
    line->severity =
        equals(action, "remove") || equals(action, "purge") ? SVL_SEVERITY_WARN : SVL_SEVERITY_INFO;
    if (is_status)
        take_word(&s);
    svl_slice package = take_word(&s);
    const char *colon = package.len ? memchr(package.data, ':', package.len) : NULL;
    if (colon)
        line->key = (svl_slice){ package.data, (size_t)(colon - (const char *)package.data) };
    return true;
}

/* syslog behind its time: "host program[pid]: text". */
static void parse_syslog(struct scan s, struct line *line)
{
    svl_slice host = take_word(&s), tag = take_word(&s);
    size_t n = 0;
    const char *name = tag.data;
    while (n < tag.len && name[n] != '[' && name[n] != ':')
        n++;
    if (n == 0 || n == tag.len || host.len == 0)
        return;
    line->source = (svl_slice){ name, n };
    line->key = host;
    line->severity = guess_severity((svl_slice){ s.at, (size_t)(s.end - s.at) });
}

void line_parse(svl_slice text, int64_t now_ns, struct line *line)
{
    struct scan s = { text.data, (const char *)text.data + text.len };
    *line = (struct line){ .severity = guess_severity(text) };
    if (take_iso_time(&s, &line->time_ns)) {
        if (!parse_dpkg(s, line))
            parse_syslog(s, line);
    } else if (take_rfc3164_time(&s, now_ns, &line->time_ns)) {
        parse_syslog(s, line);
    }
    if (line->key.len > 480)
        line->key.len = 480;
}

static int parse_ago(const char *text, int64_t now_ns, int64_t *time_ns)
{
    char *end;
    long long n = strtoll(text + 1, &end, 10);
    int64_t unit = *end == 's'   ? 1
                   : *end == 'm' ? 60
                   : *end == 'h' ? 3600
                   : *end == 'd' ? 86400
                                 : 0;
    if (end == text + 1 || unit == 0 || end[1] || n < 0 || n > INT64_MAX / NS_PER_S / unit)
        return -1;
    *time_ns = now_ns - n * unit * NS_PER_S;
    return 0;
}

int parse_time(const char *text, int64_t now_ns, int64_t *time_ns)
{
    if (text[0] == '-')
        return parse_ago(text, now_ns, time_ns);
    struct scan s = { text, text + strlen(text) };
    if (take_iso_time(&s, time_ns))
        return s.at == s.end ? 0 : -1;
    struct tm t = { 0 };
    if (!take_date(&s, &t) || s.at != s.end || !is_date(&t))
        return -1;
    *time_ns = to_ns(&t, false, 0);
    return 0;
}
