/* recorder.c - what a call has changed, as ops. One lock is held over each call and its note, so that the log has the
 * order in which things happened.
 *
 * Files are known by inode: descriptors may be duplicated or closed unseen. */
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

#include "notes.h"

#define FILES_MAX 512
#define MAPPINGS_MAX 64

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
static _Atomic bool recording;
static struct log *out;
static enum blindness blind_to;
static char name_changed[LOG_NAME_BYTES]; /* the newest name that was created or renamed to */
static char root[512];
static dev_t device;
static ino_t root_inode, above_inode; /* 0: there is none yet */
static struct known_file files[FILES_MAX];
static struct mapping mappings[MAPPINGS_MAX];

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
bool notes_begin(void)
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

void notes_end(void)
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
void note_open(int fd)
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

void note_write(int fd, const void *data, ssize_t n, uint64_t offset)
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

void note_vector(int fd, const struct iovec *parts, int count, ssize_t n, uint64_t offset)
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

void note_size(int fd, uint64_t size)
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

/* What a flush is of: the op for its end, and notes its begin. False: none of ours. */
bool note_flush_begin(int fd, struct op *end)
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

void note_flush_end(const struct op *end)
{
    log_add(out, *end);
}

void note_mkdir(const char *path)
{
    struct stat st;
    if (strcmp(path, root) != 0 || stat(path, &st) != 0)
        return;
    root_inode = st.st_ino;
    log_add(out, (struct op){ .kind = OP_MAKE_STORE });
}

void note_unlink(int directory, const char *name)
{
    if (!is_root(directory))
        return;
    for (uint32_t i = 0; i < out->files; i++) {
        if (files[i].gone || strcmp(files[i].name, name) != 0)
            continue;
        files[i].gone = true;
        log_add(out, name_op(OP_UNLINK, name));
    }
}

void note_rename(int directory, const char *from, const char *to)
{
    if (!is_root(directory))
        return;
    struct op op = name_op(OP_RENAME, from);
    snprintf(op.other_name, sizeof op.other_name, "%s", to);
    memcpy(name_changed, op.other_name, sizeof name_changed);
    log_add(out, op);
    for (uint32_t i = 0; i < out->files; i++)
        if (!files[i].gone && strcmp(files[i].name, from) == 0)
            snprintf(files[i].name, sizeof files[i].name, "%s", to);
}

void note_mapping(void *at, size_t len, int fd)
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

void note_unmapping(const void *at)
{
    for (size_t i = 0; i < MAPPINGS_MAX; i++) {
        if (!at || mappings[i].at != at)
            continue;
        free(mappings[i].seen);
        mappings[i] = (struct mapping){ 0 };
    }
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

static void look_at_directories(const char *path, struct log *log, enum blindness blindness)
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
}

void recorder_start(const char *path, struct log *log, enum blindness blindness)
{
    look_at_directories(path, log, blindness);
    load_directory();
    log->start = log->count;
    atomic_store(&recording, true);
}

/* The newest file of each name is the one that is there. */
static void find_named_files(void)
{
    uint32_t made = 0;
    for (size_t i = 0; i < out->count; i++) {
        const struct op *op = &out->ops[i];
        if (op->kind == OP_CREATE)
            know(made++, op->name, 0);
        for (uint32_t f = 0; f < made && (op->kind == OP_RENAME || op->kind == OP_UNLINK); f++) {
            if (files[f].gone || strcmp(files[f].name, op->name) != 0)
                continue;
            files[f].gone = op->kind == OP_UNLINK;
            if (op->kind == OP_RENAME)
                know(f, op->other_name, 0);
        }
    }
    for (uint32_t f = 0; f < made; f++) {
        char path[800];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", root, files[f].name);
        if (!files[f].gone && stat(path, &st) == 0)
            files[f].inode = st.st_ino;
    }
}

void recorder_go_on(const char *path, struct log *log)
{
    look_at_directories(path, log, BLIND_TO_NOTHING);
    find_named_files();
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
    if (!notes_begin())
        return;
    log_add(out, (struct op){ .kind = kind, .a = a, .b = b });
    notes_end();
}
