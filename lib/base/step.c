/* step.c - what is called at the named points of a build with -Dsteps=true. */
#include "step.h"

void (*svl__step)(const char *const *point);
