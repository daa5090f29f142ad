/* recorder.c - the calls. One lock is held over each call and its note, so that the log has the order in which
 * things happened; only flushes run without it, and take a moment, so that other threads write meanwhile.
 *
 * Files are known by inode: descriptors may be duplicated or closed unseen. */
#undef _FILE_OFFSET_BITS /* the plain names are LMDB's; the library's have 64 behind them */
#define _GNU_SOURCE
#include "recorder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX 512
#define MAPPINGS_MAX 64
#define FLUSH_NS_MAX 100000

/* A file that was opened or made in the directory; its number is its place here. */
struct known_file {
    ino_t inode;
    bool gone;           /* its inode number may come again */
    uint64_t written_at; /* offset of the newest write */
    char name[LOG_NAME_BYTES];
};

struct mapping {
    uint8_t *at; /* NULL: a free place */
    uint8_t *seen;
    size_t len;
    uint32_t file;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool recording, rebooted;
static struct log *out;
static enum blindness blind_to;
static char name_changed[LOG_NAME_BYTES]; /* the newest name that was created or renamed to */
static char root[512];
static dev_t device;
static ino_t root_inode, above_inode; /* 0: there is none yet */
static struct known_file files[FILES_MAX];
static struct mapping mappings[MAPPINGS_MAX];
static uint64_t flush_count;

static void look_at_mappings(void)
{
    for (struct mapping *m = mappings; m < mappings + MAPPINGS_MAX; m++) {
        for (size_t at = 0; m->at && at < m->len; at += LOG_PAGE) {
            if (memcmp(m->seen + at, m->at + at, LOG_PAGE) == 0)
                continue;
            memcpy(m->seen + at, m->at + at, LOG_PAGE);
            log_add(out, (struct op){ .kind = OP_WRITE,
                                      .file = m->file,
                                      .offset = at,
                                      .len = LOG_PAGE,
                                      .a = 1,
                                      .data = m->seen + at });
        }
    }
}

/* True if the call is to be recorded: then the lock is held. */
static bool enter(void)
{
    if (!atomic_load(&recording))
        return false;
    pthread_mutex_lock(&lock);
    if (!atomic_load(&recording)) {
        pthread_mutex_unlock(&lock);
        return false;
    }
    look_at_mappings();
    return true;
}

static void leave(void)
{
    pthread_mutex_unlock(&lock);
}

static bool find_inode(ino_t inode, uint32_t *file)
{
    for (*file = 0; *file < out->files; ++*file)
        if (files[*file].inode == inode && !files[*file].gone)
            return true;
    return false;
}

static bool find_file(int fd, uint32_t *file)
{
    struct stat st;
    return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_dev == device &&
           find_inode(st.st_ino, file);
}

static void know(uint32_t file, const char *name, ino_t inode)
{
    files[file].inode = inode;
    files[file].gone = false;
    snprintf(files[file].name, sizeof files[file].name, "%s", name);
}

static struct op name_op(enum op_kind kind, const char *name)
{
    struct op op = { .kind = kind };
    snprintf(op.name, sizeof op.name, "%s", name);
    return op;
}

static void note_create(const char *name, ino_t inode)
{
    if (out->files == FILES_MAX) {
        fprintf(stderr, "recorder: more than %d files\n", FILES_MAX);
        exit(1);
    }
    struct op op = name_op(OP_CREATE, name);
    op.file = out->files++;
    know(op.file, name, inode);
    memcpy(name_changed, op.name, sizeof name_changed);
    log_add(out, op);
}

static bool is_root(int directory)
{
    struct stat st;
    return root_inode != 0 && fstat(directory, &st) == 0 && st.st_dev == device &&
           st.st_ino == root_inode;
}

/* A file that is not known yet was made by this open: all that were there before it are known. */
static void note_open(int fd)
{
    char link[64], path[600];
    struct stat st;
    uint32_t file;
    size_t len = strlen(root);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_dev != device ||
        find_inode(st.st_ino, &file))
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0)
        return;
    path[n] = 0;
    if (strncmp(path, root, len) == 0 && path[len] == '/')
        note_create(path + len + 1, st.st_ino);
}

static void note_write(int fd, const void *data, ssize_t n, uint64_t offset)
{
    uint32_t file;
    if (n <= 0 || !find_file(fd, &file))
        return;
    size_t index = log_add(out, (struct op){ .kind = OP_WRITE,
                                             .file = file,
                                             .offset = offset,
                                             .len = (uint64_t)n,
                                             .data = (void *)(uintptr_t)data });
    files[file].written_at = offset;
    if ((fcntl(fd, F_GETFL) & O_DSYNC) && blind_to != BLIND_TO_LMDB_META)
        log_add(out, (struct op){ .kind = OP_SYNCED,
                                  .file = file,
                                  .offset = offset,
                                  .len = (uint64_t)n,
                                  .a = index + 1 });
}

static void note_vector(int fd, const struct iovec *parts, int count, ssize_t n, uint64_t offset)
{
    uint8_t *bytes = n > 0 ? malloc((size_t)n) : NULL;
    size_t at = 0;
    for (int i = 0; bytes && i < count && at < (size_t)n; i++) {
        size_t len = parts[i].iov_len < (size_t)n - at ? parts[i].iov_len : (size_t)n - at;
        memcpy(bytes + at, parts[i].iov_base, len);
        at += len;
    }
    if (bytes)
        note_write(fd, bytes, n, offset);
    free(bytes);
}

static void note_size(int fd, uint64_t size)
{
    uint32_t file;
    if (find_file(fd, &file))
        log_add(out, (struct op){ .kind = OP_SIZE, .file = file, .len = size });
}

static bool is_journal(const char *name)
{
    return strncmp(name, "journal.", strlen("journal.")) == 0;
}

static bool is_segment(const char *name)
{
    return strstr(name, ".seg") != NULL;
}

static bool is_blind_to_file(uint32_t file)
{
    bool journal = is_journal(files[file].name), header = files[file].written_at == 0;
    return (blind_to == BLIND_TO_JOURNAL_BATCHES && journal && !header) ||
           (blind_to == BLIND_TO_JOURNAL_HEADERS && journal && header) ||
           (blind_to == BLIND_TO_LMDB_PAGES && !journal);
}

static bool is_blind_to_names(void)
{
    bool journal = is_journal(name_changed), segment = is_segment(name_changed);
    return (blind_to == BLIND_TO_DIRECTORY_OF_JOURNAL && journal) ||
           (blind_to == BLIND_TO_DIRECTORY_OF_SEGMENT && segment) ||
           (blind_to == BLIND_TO_DIRECTORY_OF_CATALOG && !journal && !segment);
}

static void take_a_moment(uint64_t n)
{
    nanosleep(&(struct timespec){ .tv_nsec = (long)(n * 7919 % FLUSH_NS_MAX) }, NULL);
}

/* What a flush is of: the op for its end, and notes its begin. False: none of ours. */
static bool note_sync_begin(int fd, struct op *end)
{
    struct stat st;
    *end = (struct op){ .a = out->count };
    if (find_file(fd, &end->file)) {
        end->kind = OP_SYNCED;
        log_add(out, (struct op){ .kind = OP_SYNC, .file = end->file });
        return !is_blind_to_file(end->file);
    }
    if (fstat(fd, &st) != 0 || st.st_dev != device || !S_ISDIR(st.st_mode))
        return false;
    if (st.st_ino == above_inode) {
        end->kind = OP_STORE_SYNCED;
        return blind_to != BLIND_TO_DIRECTORY_ABOVE;
    }
    if (st.st_ino != root_inode)
        return false;
    end->kind = OP_NAMES_SYNCED;
    log_add(out, (struct op){ .kind = OP_SYNC_NAMES });
    return !is_blind_to_names();
}

static int sync_and_note(long call, int fd)
{
    struct op end;
    bool ours = false;
    uint64_t n = 0;
    if (enter()) {
        ours = note_sync_begin(fd, &end);
        n = ++flush_count;
        leave();
    }
    if (ours)
        take_a_moment(n);
    int rc = (int)syscall(call, fd);
    if (rc == 0 && ours && enter()) {
        log_add(out, end);
        leave();
    }
    return rc;
}

/* What the directory holds at first. */
static void load_file(const char *name)
{
    char path[800];
    uint8_t page[LOG_PAGE];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", root, name);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        if (fd >= 0)
            close(fd);
        return;
    }
    note_create(name, st.st_ino);
    uint32_t file = out->files - 1;
    ssize_t n;
    for (uint64_t at = 0; (n = read(fd, page, sizeof page)) > 0; at += (uint64_t)n)
        log_add(
            out,
            (struct op){
                .kind = OP_WRITE, .file = file, .offset = at, .len = (uint64_t)n, .data = page });
    log_add(out, (struct op){ .kind = OP_SIZE, .file = file, .len = (uint64_t)st.st_size });
    log_add(out, (struct op){ .kind = OP_SYNCED, .file = file, .a = out->count });
    close(fd);
}

static void load_directory(void)
{
    DIR *listing = opendir(root);
    if (!listing)
        return;
    log_add(out, (struct op){ .kind = OP_MAKE_STORE });
    for (struct dirent *entry; (entry = readdir(listing));)
        load_file(entry->d_name);
    closedir(listing);
    log_add(out, (struct op){ .kind = OP_NAMES_SYNCED, .a = out->count });
    log_add(out, (struct op){ .kind = OP_STORE_SYNCED, .a = out->count });
}

void recorder_start(const char *path, struct log *log, enum blindness blindness)
{
    struct stat st;
    char above[512];
    snprintf(root, sizeof root, "%s", path);
    snprintf(above, sizeof above, "%s", path);
    *strrchr(above, '/') = 0;
    memset(files, 0, sizeof files);
    memset(mappings, 0, sizeof mappings);
    out = log;
    blind_to = blindness;
    above_inode = root_inode = 0;
    if (stat(above, &st) == 0) {
        above_inode = st.st_ino;
        device = st.st_dev;
    }
    if (stat(root, &st) == 0)
        root_inode = st.st_ino;
    load_directory();
    log->start = log->count;
    atomic_store(&recording, true);
}

void recorder_stop(void)
{
    pthread_mutex_lock(&lock);
    atomic_store(&recording, false);
    for (struct mapping *m = mappings; m < mappings + MAPPINGS_MAX; m++) {
        free(m->seen);
        *m = (struct mapping){ 0 };
    }
    pthread_mutex_unlock(&lock);
}

void recorder_mark(enum op_kind kind, uint64_t a, uint64_t b)
{
    if (!enter())
        return;
    log_add(out, (struct op){ .kind = kind, .a = a, .b = b });
    leave();
}

void recorder_reboot(void)
{
    atomic_store(&rebooted, true);
}

/* A file with another boot's id. */
static int open_boot_id(void)
{
    static const char id[] = "5a5a5a5a-0000-4000-8000-5a5a5a5a5a5a\n";
    int fd = memfd_create("boot_id", MFD_CLOEXEC);
    if (fd >= 0 && (write(fd, id, sizeof id - 1) != sizeof id - 1 || lseek(fd, 0, SEEK_SET) != 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Or the linker keeps them to the executable, and LMDB uses the C library's. */
#pragma GCC visibility push(default)

static int open_and_note(int directory, const char *path, int flags, mode_t mode)
{
    if (atomic_load(&rebooted) && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
        return open_boot_id();
    bool noted = enter();
    int fd = (int)syscall(SYS_openat, directory, path, flags, mode);
    int error = errno;
    if (noted) {
        note_open(fd);
        leave();
    }
    errno = error;
    return fd;
}

static mode_t mode_of(int flags, va_list *arguments)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(*arguments, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, &arguments);
    va_end(arguments);
    return open_and_note(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, &arguments);
    va_end(arguments);
    return open_and_note(AT_FDCWD, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, &arguments);
    va_end(arguments);
    return open_and_note(directory, path, flags, mode);
}

int mkdir(const char *path, mode_t mode)
{
    struct stat st;
    bool noted = enter();
    int rc = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode), error = errno;
    if (noted) {
        if (rc == 0 && strcmp(path, root) == 0 && stat(path, &st) == 0) {
            root_inode = st.st_ino;
            log_add(out, (struct op){ .kind = OP_MAKE_STORE });
        }
        leave();
    }
    errno = error;
    return rc;
}

int unlinkat(int directory, const char *name, int flags)
{
    bool noted = enter();
    int rc = (int)syscall(SYS_unlinkat, directory, name, flags), error = errno;
    if (noted) {
        for (uint32_t i = 0; rc == 0 && is_root(directory) && i < out->files; i++) {
            if (files[i].gone || strcmp(files[i].name, name) != 0)
                continue;
            files[i].gone = true;
            log_add(out, name_op(OP_UNLINK, name));
        }
        leave();
    }
    errno = error;
    return rc;
}

int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    bool noted = enter();
    int rc = (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, 0);
    int error = errno;
    if (noted) {
        if (rc == 0 && is_root(from_directory)) {
            struct op op = name_op(OP_RENAME, from);
            snprintf(op.other_name, sizeof op.other_name, "%s", to);
            memcpy(name_changed, op.other_name, sizeof name_changed);
            log_add(out, op);
            for (uint32_t i = 0; i < out->files; i++)
                if (!files[i].gone && strcmp(files[i].name, from) == 0)
                    snprintf(files[i].name, sizeof files[i].name, "%s", to);
        }
        leave();
    }
    errno = error;
    return rc;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    bool noted = enter();
    ssize_t n = syscall(SYS_pwrite64, fd, data, len, offset);
    if (noted) {
        note_write(fd, data, n, (uint64_t)offset);
        leave();
    }
    return n;
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    bool noted = enter();
    ssize_t n = syscall(SYS_pwritev, fd, parts, count, offset, 0);
    if (noted) {
        note_vector(fd, parts, count, n, (uint64_t)offset);
        leave();
    }
    return n;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    bool noted = enter();
    off_t offset = noted ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t n = syscall(SYS_writev, fd, parts, count);
    if (noted) {
        note_vector(fd, parts, count, n, (uint64_t)offset);
        leave();
    }
    return n;
}

int ftruncate(int fd, off_t size)
{
    bool noted = enter();
    int rc = (int)syscall(SYS_ftruncate, fd, size);
    if (noted) {
        if (rc == 0)
            note_size(fd, (uint64_t)size);
        leave();
    }
    return rc;
}

int posix_fallocate64(int fd, off64_t offset, off64_t len)
{
    struct stat st;
    bool noted = enter();
    int rc = syscall(SYS_fallocate, fd, 0, offset, len) == 0 ? 0 : errno;
    if (noted) {
        if (rc == 0 && fstat(fd, &st) == 0 && st.st_size == offset + len)
            note_size(fd, (uint64_t)st.st_size);
        leave();
    }
    return rc;
}

int fdatasync(int fd)
{
    return sync_and_note(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return sync_and_note(SYS_fsync, fd);
}

static void note_mapping(void *at, size_t len, int fd)
{
    struct mapping m = { .at = at, .len = (len + LOG_PAGE - 1) / LOG_PAGE * LOG_PAGE };
    if (!find_file(fd, &m.file))
        return;
    for (size_t i = 0; i < MAPPINGS_MAX; i++) {
        if (mappings[i].at)
            continue;
        m.seen = malloc(m.len);
        if (m.seen)
            memcpy(m.seen, m.at, m.len);
        mappings[i] = m.seen ? m : mappings[i];
        return;
    }
    fprintf(stderr, "recorder: more than %d mappings\n", MAPPINGS_MAX);
    exit(1);
}

void *mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
    bool noted = (flags & MAP_SHARED) && (protection & PROT_WRITE) && enter();
    void *p = (void *)syscall(SYS_mmap, at, len, protection, flags, fd, offset);
    if (noted) {
        if (p != MAP_FAILED)
            note_mapping(p, len, fd);
        leave();
    }
    return p;
}

void *mmap64(void *at, size_t len, int protection, int flags, int fd, off64_t offset)
{
    return mmap(at, len, protection, flags, fd, offset);
}

int munmap(void *at, size_t len)
{
    bool noted = enter();
    if (noted) {
        for (size_t i = 0; i < MAPPINGS_MAX; i++) {
            if (mappings[i].at != at)
                continue;
            free(mappings[i].seen);
            mappings[i] = (struct mapping){ 0 };
        }
    }
    int rc = (int)syscall(SYS_munmap, at, len);
    if (noted)
        leave();
    return rc;
}

#pragma GCC visibility pop
