/* serverlog/types.h - what all parts share: results, records, conventions.
 *
 * Conventions, true for every function:
 *   - what can fail returns int: SVL_OK (0) or a negative SVL_E_* code; results go through out
 *     parameters, which are NULL or 0 after a failure;
 *   - an options struct starts with struct_size and is filled by its *_options_init function; zero
 *     means the default, and NULL options mean all defaults;
 *   - text parameters are UTF-8, NUL-terminated; what may hold any byte is a svl_slice;
 *   - times are int64_t nanoseconds since the Unix epoch (_ns), durations milliseconds (_ms), sizes
 *     bytes; a wait's timeout_ms of -1 (or any negative one) is without end, 0 does not wait;
 *   - nothing aborts, prints, reads the environment or installs a signal handler;
 *   - after fork() the child gets SVL_E_FORKED from every function that takes a handle.
 *
 * Thread words used in the comments:
 *     any thread               may be called by any thread at any time, also concurrently
 *     one thread at a time     any thread, but not concurrently on one handle
 *     callback only            only inside the callback that was given the handle; a batch that was
 *                              polled: one thread at a time
 *
 * Ownership words: borrowed (valid until the event that the comment names), copied (the caller's
 * memory is free again when the call returns), owned (by the caller, who frees it with the function
 * that the comment names). */
#ifndef SERVERLOG_TYPES_H
#define SERVERLOG_TYPES_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define SVL_EXPORT __attribute__((visibility("default")))
#else
#define SVL_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Results. Values are pinned and never reused. Codes -1 to -99 are the library's; a callback's own
 * codes are positive (SVL_FAIL and above) and never created by the library. */
enum svl_result {
    SVL_OK = 0,

    /* What only a callback returns, besides SVL_OK. */
    SVL_FAIL = 1, /* the call failed: see the handler kind for what follows */
    SVL_DROP = 2, /* ingest handlers: do not store this record */

    /* The call is wrong: nothing has happened. */
    SVL_E_INVALID = -1,          /* a NULL or a value that the function does not take */
    SVL_E_STRUCT_SIZE = -2,      /* struct_size is 0, impossible, or names members unknown here */
    SVL_E_OPTION = -3,           /* an option is out of its range */
    SVL_E_KEY_TOO_LONG = -4,     /* a key of more than 480 bytes */
    SVL_E_NAME_TOO_LONG = -5,    /* source, type or an attribute's name is too long */
    SVL_E_ATTRIBUTES = -6,       /* more than 255 attributes, or one of an unknown kind */
    SVL_E_RECORD_SIZE = -7,      /* the record is larger than record_bytes_max */
    SVL_E_RESERVED = -8,         /* source "serverlog.*" or a reserved member that is not zero */
    SVL_E_UTF8 = -9,             /* text that is not valid UTF-8 */
    SVL_E_LIMIT = -10,           /* another limit, named by svl_last_error() */
    SVL_E_PATTERN = -11,         /* not an event pattern, or not a list of rules */
    SVL_E_PATTERN_COMPLEX = -12, /* an event pattern whose matching would cost too much */
    SVL_E_JSON = -13,            /* an event that is no JSON object, or malformed */

    /* The handle is in another state. */
    SVL_E_STATE = -20,     /* too early or too late in the handle's life for this call */
    SVL_E_CLOSED = -21,    /* stopped or closed: nothing new is taken */
    SVL_E_BUSY = -22,      /* somebody else holds it: another process, another opener of a name */
    SVL_E_DEADLOCK = -23,  /* called inside a callback that it would wait for */
    SVL_E_FORKED = -24,    /* the handle belongs to the parent process */
    SVL_E_FAILED = -25,    /* fail-stop after a failed write or flush: close, open again */
    SVL_E_STALE = -26,     /* refers to something that is no longer current */
    SVL_E_READ_ONLY = -27, /* the store was opened with SVL_STORE_READ_ONLY */

    /* Outcomes: expected, do not set svl_last_error(). */
    SVL_E_END = -30,       /* no more records */
    SVL_E_TIMEOUT = -31,   /* the time-out passed first */
    SVL_E_FULL = -32,      /* no space in the ring now; nothing was published */
    SVL_E_AGAIN = -33,     /* nothing to do now */
    SVL_E_DROPPED = -34,   /* dropped: by an ingest handler, or with the bus that held it */
    SVL_E_NOT_FOUND = -35, /* no such record, or it has been retired */

    /* The system. */
    SVL_E_NOMEM = -40,       /* memory is exhausted */
    SVL_E_IO = -41,          /* a system call failed */
    SVL_E_NO_SPACE = -42,    /* the disk or a quota is full */
    SVL_E_ACCESS = -43,      /* permission denied, read-only file system */
    SVL_E_PATH = -44,        /* no directory for a store, or a file of it is a link */
    SVL_E_FILE_SYSTEM = -45, /* a network file system, not safe for a store */
    SVL_E_RESOURCE = -46,    /* out of descriptors, threads, locks or address space */

    /* The data. */
    SVL_E_CORRUPT = -50, /* damaged; svl_last_error() says what and where */
    SVL_E_VERSION = -51, /* written by a newer version, with features unknown here */
    SVL_E_FOREIGN = -52, /* the directory holds something else than a store */
    SVL_E_CODEC = -53,   /* needs a codec that this build does not have */

    SVL_E_INTERNAL = -90 /* an invariant of the library is broken: please report */
};

/* Bytes, borrowed. data may be NULL when len is 0. */
typedef struct svl_slice {
    const void *data;
    size_t len;
} svl_slice;

/* OpenTelemetry SeverityNumber; the numbers between are finer steps. 0 is "unspecified". */
enum svl_severity {
    SVL_SEVERITY_UNSPECIFIED = 0,
    SVL_SEVERITY_TRACE = 1,
    SVL_SEVERITY_DEBUG = 5,
    SVL_SEVERITY_INFO = 9,
    SVL_SEVERITY_WARN = 13,
    SVL_SEVERITY_ERROR = 17,
    SVL_SEVERITY_FATAL = 21,
    SVL_SEVERITY_MAX = 24
};

/* What the body's bytes are: the producer's word, not checked. */
enum svl_body_kind { SVL_BODY_TEXT = 0, SVL_BODY_JSON = 1, SVL_BODY_BINARY = 2 };

enum svl_attribute_kind {
    SVL_ATTRIBUTE_TEXT = 1,  /* bytes: UTF-8 */
    SVL_ATTRIBUTE_BYTES = 2, /* bytes */
    SVL_ATTRIBUTE_I64 = 3,   /* i64 */
    SVL_ATTRIBUTE_F64 = 4,   /* f64 */
    SVL_ATTRIBUTE_BOOL = 5   /* i64: 0 or 1 */
};

/* A named, typed value. Size frozen. */
typedef struct svl_attribute {
    svl_slice name;      /* 1 to 255 bytes of UTF-8; dots for structure: "http.status" */
    svl_slice bytes;     /* the value of TEXT and BYTES */
    int64_t i64;         /* the value of I64 and BOOL */
    double f64;          /* the value of F64 */
    uint32_t kind;       /* SVL_ATTRIBUTE_* */
    uint32_t reserved32; /* zero */
    uint64_t reserved;   /* zero */
} svl_attribute;

/* svl_record.flags. Hops are given by svl_batch_emit(), the other by the pipeline, when the process had died three
 * times while its ingest handlers had this record, with nothing else. Both are kept when a copy is published. */
enum svl_record_flag {
    SVL_RECORD_HOPS = 255, /* mask: emits that led to it, one behind the other; 255 = or more */
    SVL_RECORD_UNPROCESSED = 256 /* no ingest handler has seen it to the end */
};

/* A record: one log line, one event. Size frozen. All zero is a valid, empty record. */
typedef struct svl_record {
    uint64_t id;     /* given by the store, from 1, in log order, never reused; ignored on input */
    int64_t time_ns; /* when it happened, the producer's word; 0 on input: now */
    int64_t ingest_ns;  /* when it was stored, given by the store; ignored on input */
    uint32_t severity;  /* SVL_SEVERITY_*: 0 to 24 */
    uint32_t body_kind; /* SVL_BODY_* */
    svl_slice source;   /* what emitted it: at most 255 bytes of UTF-8; "serverlog.*" is reserved */
    svl_slice type;     /* what happened: at most 255 bytes of UTF-8 */
    svl_slice key;      /* what the key index finds it by: at most 480 bytes, any; empty: no key */
    svl_slice body;     /* any bytes */
    const svl_attribute *attributes;
    uint32_t attribute_count; /* at most 255 */
    uint32_t flags;           /* SVL_RECORD_*, else zero */
    uint64_t reserved[4];     /* zero */
} svl_record;

/* Which records a handler or subscriber sees: all conditions must hold; all zero is every record but
 * those of source "serverlog.*". The first four are shorthand for what a pattern can say as well.
 *
 * Records of source "serverlog.*" reach only a filter that names their source: by `source`, or by a string, a
 * prefix or a wildcard at `source` in its pattern, each beginning with "serverlog." */
typedef struct svl_filter {
    uint32_t severity_min; /* 0 = all */
    uint32_t reserved;     /* zero */
    const char *source;    /* NULL = all; else equal, or, with a '*' at its end, a prefix */
    const char *type;      /* NULL = all; else equal, or, with a '*' at its end, a prefix */
    svl_slice key_prefix;  /* empty = all */
    const char *pattern;   /* NULL = all; else JSON, in the language of serverlog-patterns(7) */
} svl_filter;

/* full_policy of a pipeline or bus: what publish does when the ring is full. */
enum svl_full_policy {
    SVL_FULL_BLOCK = 0,   /* waits for space, block_timeout_ms at most, then SVL_E_FULL */
    SVL_FULL_FAIL = 1,    /* answers SVL_E_FULL */
    SVL_FULL_DROP_NEW = 2 /* answers SVL_OK and drops it, counted: behind what was in the ring then,
                             a record of source "serverlog.gap" says how many: severity WARN, in
                             words and as attribute "dropped", an I64. svl_publish_sync() answers
                             SVL_E_FULL instead */
};

/* A flag of svl_options and of svl_store_options: a pipeline works while svl_pump() is called, a store alone in
 * the calls that write. */
enum svl_common_flag {
    SVL_THREADLESS = 256 /* no thread is started */
};

/* A diagnostic for the host's own log: not an error of a call, but something that happened in the
 * background. `level` is SVL_SEVERITY_*; `code` SVL_OK or the SVL_E_* at hand; `text` is borrowed until
 * the callback returns. Called on the library's threads and inside the host's calls, never with an
 * internal lock held; it may call nothing but svl_strerror(). */
typedef void svl_log_fn(uint32_t level, int32_t code, const char *text, void *user);

/* Progress of long work: `done` of `total` in the unit that the function names. Any return value but
 * SVL_OK ends the work, which then returns that value. */
typedef int svl_progress_fn(uint64_t done, uint64_t total, void *user);

/* Called once, when a callback's `user` is free to go: on the thread that unsubscribed it, or, where that
 * could not wait, as a callback on the thread that had called it. */
typedef void svl_released_fn(void *user);

/* Memory of `size` bytes, as malloc() gives it; NULL: there is none. */
typedef void *svl_allocate_fn(size_t size, void *user);
/* `memory` with another size, as realloc(); NULL: there is none, and `memory` is as it was. */
typedef void *svl_reallocate_fn(void *memory, size_t size, void *user);
/* Gives `memory` back, as free(). */
typedef void svl_release_fn(void *memory, void *user);

/* The host's memory functions; called by any thread, also concurrently. */
typedef struct svl_allocator {
    uint32_t struct_size; /* set by the caller: sizeof */
    uint32_t reserved;    /* zero */
    svl_allocate_fn *allocate;
    svl_reallocate_fn *reallocate;
    svl_release_fn *release;
    void *user;
} svl_allocator;

/* Gives all of the library's own memory to the host's functions; LMDB and the codecs go on using malloc().
 * For the whole process, and before any other function of the library.
 *
 * Result     SVL_OK
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_RESERVED  the argument
 *            SVL_E_STATE  something was allocated already
 * Ownership  copied; functions and `user` must stay valid until the process ends
 * Thread     one thread, while no other uses the library
 * Blocks     no */
SVL_EXPORT int svl_allocator_set(const svl_allocator *allocator);

/* A short text for a result code.
 *
 * Result     static text, never NULL; "unknown result" for an unknown code
 * Errors     none
 * Ownership  static
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT const char *svl_strerror(int code);

/* The calling thread's last failure in words: what failed, on what, what to do.
 *
 * Result     text, never NULL, that begins with svl_strerror() of its code; "" before the first failure.
 *            Outcomes (SVL_E_END, SVL_E_TIMEOUT, SVL_E_FULL, SVL_E_AGAIN, SVL_E_DROPPED,
 *            SVL_E_NOT_FOUND) leave it as it was, unless opening or closing ends with one
 * Errors     none
 * Ownership  borrowed until the thread's next failing call
 * Thread     any thread, about its own calls
 * Blocks     no */
SVL_EXPORT const char *svl_last_error(void);

/* Copies svl_last_error() into the caller's buffer, cut to `capacity` and NUL-terminated: for hosts
 * that move between threads.
 *
 * Result     the text's whole length in bytes, without the NUL
 * Errors     none; a NULL buffer or a capacity of 0 only measures
 * Ownership  copied
 * Thread     any thread, about its own calls
 * Blocks     no */
SVL_EXPORT size_t svl_last_error_copy(char *buffer, size_t capacity);

/* The library's version.
 *
 * Result     static text "MAJOR.MINOR.PATCH"
 * Errors     none
 * Ownership  static
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT const char *svl_version(void);

/* How this library was built: version, codecs, LMDB's version, one line.
 *
 * Result     static text, such as "serverlog 0.1.0 (lmdb 0.9.24, xxhash, lz4, zstd)"; a codec that is
 *            missing is named with a "no-" before it
 * Errors     none
 * Ownership  static
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT const char *svl_build_info(void);

#ifdef __cplusplus
}
#endif

#endif
