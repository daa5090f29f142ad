/* line_parse - time, severity, source and key out of one log line. Knows the forms of dpkg.log, of syslog
 * with RFC 3164 and with ISO 8601 times; any other line keeps its text and gets no time. */
#ifndef EXAMPLES_LINE_PARSE_H
#define EXAMPLES_LINE_PARSE_H

#include <serverlog.h>

struct line {
    int64_t time_ns;   /* 0: none found */
    uint32_t severity; /* SVL_SEVERITY_* */
    svl_slice source;  /* the program, as it stands there: any bytes; empty: none found */
    svl_slice key;     /* the package, or the host; empty: none found */
};

/* What it finds points into `text`. RFC 3164 has no year: `now_ns` tells it. */
void line_parse(svl_slice text, int64_t now_ns, struct line *line);

/* "2026-11-24", "2026-11-24T10:00:00", "2026-11-24 10:00:00", with Z or +hh:mm (else local time), or
 * "-90s", "-15m", "-2h", "-3d" before now. */
int parse_time(const char *text, int64_t now_ns, int64_t *time_ns);

#endif
