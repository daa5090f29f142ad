/* error.c - codes, their texts, and the calling thread's last failure in words. */
#include "error.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"

#define LAST_ERROR_MAX 512

static _Thread_local char last_error[LAST_ERROR_MAX];
_Static_assert(sizeof((struct error_words *)0)->text == LAST_ERROR_MAX, "the whole words");

const char *svl_strerror(int code)
{
    static const struct {
        int code;
        const char *text;
    } texts[] = {
        { SVL_OK, "success" },
        { SVL_E_INVALID, "invalid argument" },
        { SVL_E_STRUCT_SIZE, "struct_size is not one of this library's" },
        { SVL_E_OPTION, "option out of range" },
        { SVL_E_KEY_TOO_LONG, "key too long" },
        { SVL_E_NAME_TOO_LONG, "source, type or attribute name too long" },
        { SVL_E_ATTRIBUTES, "too many attributes, or one of an unknown kind" },
        { SVL_E_RECORD_SIZE, "record too large" },
        { SVL_E_RESERVED, "reserved name or member" },
        { SVL_E_UTF8, "text is not valid UTF-8" },
        { SVL_E_LIMIT, "limit exceeded" },
        { SVL_E_PATTERN, "not an event pattern" },
        { SVL_E_PATTERN_COMPLEX, "event pattern too complex" },
        { SVL_E_JSON, "not a JSON event" },
        { SVL_E_STATE, "not possible in this state" },
        { SVL_E_CLOSED, "stopped or closed" },
        { SVL_E_BUSY, "held by somebody else" },
        { SVL_E_DEADLOCK, "the call would wait for the callback it is made from" },
        { SVL_E_FORKED, "the handle belongs to the parent process" },
        { SVL_E_FAILED, "the store has stopped after a failed write" },
        { SVL_E_STALE, "no longer current" },
        { SVL_E_READ_ONLY, "the store is open for reading only" },
        { SVL_E_END, "no more records" },
        { SVL_E_TIMEOUT, "time-out" },
        { SVL_E_FULL, "no space in the ring" },
        { SVL_E_AGAIN, "nothing to do now" },
        { SVL_E_DROPPED, "dropped" },
        { SVL_E_NOT_FOUND, "not found" },
        { SVL_E_NOMEM, "out of memory" },
        { SVL_E_IO, "input/output error" },
        { SVL_E_NO_SPACE, "no space left on the disk" },
        { SVL_E_ACCESS, "permission denied" },
        { SVL_E_PATH, "not a usable directory or file" },
        { SVL_E_FILE_SYSTEM, "file system not safe for a store" },
        { SVL_E_RESOURCE, "out of descriptors, threads or address space" },
        { SVL_E_CORRUPT, "damaged" },
        { SVL_E_VERSION, "written by a newer version" },
        { SVL_E_FOREIGN, "not a store" },
        { SVL_E_CODEC, "codec not built in" },
        { SVL_E_INTERNAL, "internal error" },
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].code == code)
            return texts[i].text;
    return "unknown result";
}

const char *svl_last_error(void)
{
    return last_error;
}

size_t svl_last_error_copy(char *buffer, size_t capacity)
{
    size_t len = strlen(last_error);
    if (buffer && capacity > 0) {
        size_t n = len < capacity - 1 ? len : capacity - 1;
        memcpy(buffer, last_error, n);
        buffer[n] = 0;
    }
    return len;
}

void svl__words_keep(struct error_words *words)
{
    memcpy(words->text, last_error, sizeof words->text);
}

void svl__words_restore(const struct error_words *words)
{
    memcpy(last_error, words->text, sizeof last_error);
}

/* The words may quote the last error itself, so they are put together aside first. */
static void set_words(int code, const char *reason, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

static void set_words(int code, const char *reason, const char *format, va_list arguments)
{
    char what[LAST_ERROR_MAX - 128];
    vsnprintf(what, sizeof what, format, arguments);
    char words[LAST_ERROR_MAX];
    if (reason)
        snprintf(words, sizeof words, "%s: %s (%.60s)", svl_strerror(code), what, reason);
    else
        snprintf(words, sizeof words, "%s: %s", svl_strerror(code), what);
    memcpy(last_error, words, sizeof last_error);
}

int svl__fail(int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set_words(code, NULL, format, arguments);
    va_end(arguments);
    return code;
}

int svl__fail_at(int code, const char *format, ...)
{
    char place[LAST_ERROR_MAX / 2], words[LAST_ERROR_MAX];
    const char *prefix = svl_strerror(code);
    size_t len = strlen(prefix);
    memcpy(words, last_error, sizeof words);
    bool again = strncmp(words, prefix, len) == 0 && strncmp(words + len, ": ", 2) == 0;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(place, sizeof place, format, arguments);
    va_end(arguments);
    return svl__fail(code, "%s: %s", place, again ? words + len + 2 : words);
}

static int code_of_errno(int error_number)
{
    switch (error_number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return SVL_E_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return SVL_E_ACCESS;
    case ENOMEM:
        return SVL_E_NOMEM;
    case EMFILE:
    case ENFILE:
    case EAGAIN:
    case ENOLCK:
        return SVL_E_RESOURCE;
    default:
        return SVL_E_IO;
    }
}

int svl__fail_errno(int error_number, const char *format, ...)
{
    int code = code_of_errno(error_number);
    char text[80];
    if (strerror_r(error_number, text, sizeof text) != 0)
        snprintf(text, sizeof text, "errno %d", error_number);
    va_list arguments;
    va_start(arguments, format);
    set_words(code, text, format, arguments);
    va_end(arguments);
    return code;
}

int svl__internal(const char *file, int line, const char *what)
{
#if defined(SVL_STEPS)
    assert(false && "invariant of libserverlog");
#endif
    return svl__fail(SVL_E_INTERNAL, "%s, at %s:%d; please report it", what, file, line);
}

void svl__log(const struct log_sink *log, uint32_t level, int code, const char *format, ...)
{
    if (!log || !log->fn)
        return;
    char text[LAST_ERROR_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log->fn(level, code, text, log->user);
}

bool svl__log_due(int64_t *last_ns)
{
    int64_t now = svl__monotonic_ns();
    if (*last_ns != 0 && now - *last_ns < NS_PER_S)
        return false;
    *last_ns = now;
    return true;
}
