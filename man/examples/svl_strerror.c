#include <serverlog.h>
#include <stdio.h>

void complain(const char *what, int code)
{
    fprintf(stderr, "%s: %s\n(%s)\n", what, svl_strerror(code), svl_last_error());
}
