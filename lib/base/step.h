/* step.h - named points between two steps that a crash may part. In builds with -Dsteps=true each calls a function
 * of the tests, which yields there, waits or dies; in others there is nothing of them.
 *
 * Each point has a name of its own, and all names stand in the section `svl_steps`, from __start_svl_steps to
 * __stop_svl_steps: tests/points fails when it never gets to one of them. */
#ifndef SVL_BASE_STEP_H
#define SVL_BASE_STEP_H

/* The tests' function; NULL: nothing is called. It stands in step.c, which only such builds have. */
extern void (*svl__step)(const char *const *point);

#if defined(SVL_STEPS)
#define STEP(name)                                                                                 \
    do {                                                                                           \
        static const char *const step_point __attribute__((section("svl_steps"), used)) = name;    \
        if (svl__step)                                                                             \
            svl__step(&step_point);                                                                \
    } while (0)
#else
#define STEP(name) ((void)0)
#endif

#endif
