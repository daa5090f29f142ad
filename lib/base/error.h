/* error - results in words.
 *
 * Whoever finds a failure sets the words, once, at the lowest layer that knows what failed and on
 * what; the layers above pass the code on. */
#ifndef SVL_BASE_ERROR_H
#define SVL_BASE_ERROR_H

#include <serverlog/types.h>
#include <stdarg.h>
#include <stdbool.h>

/* Sets svl_last_error() to "<strerror of code>: <text>" and returns `code`. For outcomes (SVL_E_END
 * and its group) use the bare code instead: they leave the words alone. */
int svl__fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for a failed system call: maps `error_number` to a code (ENOSPC, EDQUOT: NO_SPACE; EACCES,
 * EPERM, EROFS: ACCESS; ENOMEM: NOMEM; EMFILE, ENFILE, EAGAIN: RESOURCE; else IO) and adds its text. */
int svl__fail_errno(int error_number, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The last failure of this thread, `code`, again, with the place where it was found before its words. */
int svl__fail_at(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The machine has none left of something, and may have some again: to be tried later, unlike other
 * failures of what changed nothing. */
static inline bool is_shortage(int code)
{
    return code == SVL_E_NO_SPACE || code == SVL_E_NOMEM || code == SVL_E_RESOURCE;
}

/* The words of a failure, while what is left is tidied up, which may fail as well. */
struct error_words {
    char text[512];
};
void svl__words_keep(struct error_words *words);
void svl__words_restore(const struct error_words *words);

/* A broken invariant of ours: SVL_E_INTERNAL; a host is never aborted. With -Dsteps=true, for tests, it
 * asserts. */
int svl__internal(const char *file, int line, const char *what);
#define SVL__INTERNAL(what) svl__internal(__FILE__, __LINE__, what)

/* The log callback of a handle, with its level and format. A NULL `log` or no callback: nothing. */
struct log_sink {
    svl_log_fn *fn;
    void *user;
};
void svl__log(const struct log_sink *log, uint32_t level, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* For what may happen with every record: true at most once a second. `last_ns` starts as 0. */
bool svl__log_due(int64_t *last_ns);

#endif
