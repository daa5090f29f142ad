/* show - records for people on a terminal, and as JSON lines for programs.
 *
 * A record may hold anything, also what would drive a terminal: control characters (C0, DEL, C1), bytes
 * that are not UTF-8, and invisible characters that turn the writing direction or join are shown as \x..
 * or \u....; a backslash of the record's own is doubled. */
#ifndef EXAMPLES_SHOW_H
#define EXAMPLES_SHOW_H

#include <serverlog.h>
#include <stdio.h>

void show_text(FILE *out, svl_slice text);
void show_record(FILE *out, const svl_record *record);      /* one line */
void show_record_json(FILE *out, const svl_record *record); /* one line */
/* At the end of a program: 0, or -1 when standard output did not take everything, said on the other. */
int show_end(void);
/* "1.5 MiB" */
const char *show_bytes(uint64_t bytes, char out[32]);

#endif
