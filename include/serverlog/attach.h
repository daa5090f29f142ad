/* serverlog/attach.h - publishing from another process into a pipeline's store.
 *
 *     svl_publisher *log;
 *     if (svl_attach("app.log", NULL, &log) != SVL_OK) ...
 *     svl_publisher_publish(log, &record);
 *     svl_publisher_close(log);
 *
 * One process, the host, has the store open with svl_open(); up to 63 others publish into it, each into a ring of
 * its own on tmpfs, which the host's pipeline drains. Know before use:
 *   - a record whose publish returned is stored exactly once, whoever dies then: this process, the host, or both.
 *     Power loss takes what is not durable: svl_publisher_flush();
 *   - no host is needed to publish: what is published waits in the ring for the next one; a ring that is full
 *     answers by full_policy. A host that stops takes what is in the rings by then;
 *   - the order in the log is first in, first out within one ring, and as it comes between rings;
 *   - who may write in the store's directory and is its owner, or root, may attach. Both processes must see the
 *     ring's directory under the same path; they may be in different PID namespaces;
 *   - the process that has the store open publishes with svl_publish(): it cannot attach to itself;
 *   - leave the ring's file alone: a process that opens it and closes it again loses its lock on it, and is taken
 *     for dead. */
#ifndef SERVERLOG_ATTACH_H
#define SERVERLOG_ATTACH_H

#include <serverlog/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A ring that another process drains, open for publishing. */
typedef struct svl_publisher svl_publisher;

typedef struct svl_attach_options {
    uint32_t struct_size;       /* set by svl_attach_options_init() */
    uint32_t flags;             /* zero */
    uint64_t ring_bytes;        /* 1 MiB; 64 KiB to 1 GiB, a power of two. A record takes at most an
                             eighth of it, 16 bytes of its own included */
    const char *ring_directory; /* "/dev/shm"; a tmpfs */
    uint32_t full_policy;       /* SVL_FULL_* */
    uint32_t block_timeout_ms;  /* 10,000; 1 to 3,600,000 */
} svl_attach_options;

/* Fills `options` with zeros (all defaults) and its size.
 *
 * Result     SVL_OK
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE
 * Ownership  the caller's memory
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_attach_options_init(svl_attach_options *options, size_t size);

/* Attaches to the store in directory `path`, on which a pipeline is or was open.
 *
 * Result     *out takes records at once, whether its host runs or not
 * Errors     SVL_E_NOT_FOUND  no pipeline was ever opened there (with words)
 *            SVL_E_RESOURCE   63 rings are attached, or wait for their host
 *            SVL_E_BUSY       this process has the store open: svl_publish()
 *            SVL_E_FILE_SYSTEM, SVL_E_PATH  ring_directory is no tmpfs
 *            SVL_E_NO_SPACE   no space for the ring there
 *            SVL_E_ACCESS     the store is another user's
 *            SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_OPTION, SVL_E_CORRUPT, SVL_E_VERSION, SVL_E_NOMEM, SVL_E_IO
 * Ownership  *out is owned: svl_publisher_close(). path and options are copied
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_attach(const char *path, const svl_attach_options *options, svl_publisher **out);

/* Publishes a record, as svl_publish().
 *
 * Result     SVL_OK: it is in the ring, safe against the death of this process and of the host
 * Errors     SVL_E_INVALID, SVL_E_KEY_TOO_LONG, SVL_E_NAME_TOO_LONG, SVL_E_ATTRIBUTES,
 *            SVL_E_RECORD_SIZE, SVL_E_RESERVED, SVL_E_UTF8  the record breaks a limit
 *            SVL_E_FULL     no space, by the policy
 *            SVL_E_FAILED   the host has given this ring up, as it cannot find its file, or the lock on it is
 *                           gone: close, attach again. This record may be stored
 *            SVL_E_CORRUPT  something in this process wrote over the ring: close, attach again. What is
 *                           whole in it is stored
 *            SVL_E_FORKED
 * Ownership  copied
 * Thread     any thread, lock-free: no lock, no allocation
 * Blocks     only with SVL_FULL_BLOCK and a full ring: block_timeout_ms at most */
SVL_EXPORT int svl_publisher_publish(svl_publisher *publisher, const svl_record *record);

/* Publishes a record and waits until it is durable.
 *
 * Result     *id (may be NULL) is the record's id. It is 0 where a host died between storing the record and saying
 *            so: it is durable then, unless an ingest handler had dropped it
 * Errors     as svl_publisher_publish(), and
 *            SVL_E_TIMEOUT      published: it will be stored, but is not durable yet; also where there is no host
 *            SVL_E_FAILED       also: the store was removed
 *            SVL_E_DROPPED      an ingest handler dropped it
 *            SVL_E_RECORD_SIZE  also: the host now takes smaller records only; it has refused this one
 *            SVL_E_FULL         nothing was published: no space, or 64 records of such calls, also of those that
 *                               have timed out, are not durable yet
 * Ownership  copied
 * Thread     any thread
 * Blocks     on the host's flush; timeout_ms at most (-1 = without end, also while there is no host) */
SVL_EXPORT int svl_publisher_publish_sync(svl_publisher *publisher, const svl_record *record,
                                          int64_t timeout_ms, uint64_t *id);

/* Waits until all that this publisher published before is durable.
 *
 * Result     SVL_OK
 * Errors     SVL_E_TIMEOUT  not yet; also where there is no host
 *            SVL_E_FAILED   also: the store was removed, and what nobody had stored is lost
 *            SVL_E_INVALID, SVL_E_CORRUPT, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     any thread
 * Blocks     on the host's flush; timeout_ms at most (-1 = without end, also while there is no host) */
SVL_EXPORT int svl_publisher_flush(svl_publisher *publisher, int64_t timeout_ms);

/* Detaches. What was published stays in the ring until the host, or the next one, has stored it. NULL is fine.
 *
 * Result     SVL_OK
 * Errors     SVL_E_FAILED  the host had given this ring up, or the store was removed, and no call before has said
 *                          so: what was in it and not stored is lost. It is closed
 *            SVL_E_FORKED  in a child: nothing is done, the parent is undisturbed
 * Ownership  the handle is consumed
 * Thread     one thread at a time, and no other call may be in progress
 * Blocks     no */
SVL_EXPORT int svl_publisher_close(svl_publisher *publisher);

#ifdef __cplusplus
}
#endif

#endif
