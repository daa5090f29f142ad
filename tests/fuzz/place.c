/* place.c - the directory, and what is asked of a store in it. */
#define _GNU_SOURCE
#include "place.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checksum.h"
#include "fuzz.h"
#include "support/support.h"

/* More steps than any input here has records and damaged blocks. */
#define STEPS_MAX 1000000

const uint8_t place_uuid[16] = { 0x5e, 0x12, 0x10, 0x6f };

static char parent[64], store[80];

static void remove_parent(void)
{
    remove_tree(parent);
}

const char *place_parent(void)
{
    if (!parent[0]) {
        snprintf(parent, sizeof parent, "/dev/shm/serverlog-fuzz-XXXXXX");
        MUST(mkdtemp(parent) != NULL);
        atexit(remove_parent);
        snprintf(store, sizeof store, "%s/store", parent);
        MUST(mkdir(store, 0700) == 0);
    }
    return parent;
}

const char *place_store(void)
{
    place_parent();
    return store;
}

int place_descriptor(void)
{
    static int fd = -1;
    if (fd < 0)
        fd = open(place_store(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    MUST(fd >= 0);
    return fd;
}

static void empty(void)
{
    int fd = openat(place_descriptor(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = fdopendir(fd);
    MUST(listing != NULL);
    for (struct dirent *entry; (entry = readdir(listing));)
        unlinkat(fd, entry->d_name, 0);
    closedir(listing);
}

void place_write(const char *directory, const char *name, const void *data, size_t len)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(fd >= 0 && write(fd, data, len) == (ssize_t)len);
    close(fd);
}

void place_read(const char *directory, const char *name, struct buffer *out)
{
    char path[160];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    MUST(fd >= 0 && fstat(fd, &st) == 0);
    uint8_t *p = buffer_reserve(out, (size_t)st.st_size);
    MUST(p != NULL && read(fd, p, (size_t)st.st_size) == st.st_size);
    out->len += (size_t)st.st_size;
    close(fd);
}

void place_catalog_make(struct place_catalog *out, const struct segment_info *segment,
                        const struct ring_name *ring, uint64_t next_id)
{
    struct catalog_options options = { .directory = place_descriptor(),
                                       .file_mode = 0600,
                                       .readers_max = 16 };
    struct catalog_state state = { .next_id_floor = next_id, .watermark = next_id - 1 };
    struct catalog *catalog;
    struct catalog_change *change;
    struct buffer bytes = { 0 };
    memcpy(state.store_uuid, place_uuid, sizeof state.store_uuid);
    empty();
    MUST(svl__catalog_create(&options) == SVL_OK);
    MUST(svl__catalog_open(&options, &catalog) == SVL_OK);
    MUST(svl__catalog_begin(catalog, &change) == SVL_OK);
    MUST(svl__catalog_put_state(change, &state) == SVL_OK);
    MUST(!segment || svl__catalog_put_segment(change, segment) == SVL_OK);
    MUST(!ring || svl__catalog_put_ring(change, ring) == SVL_OK);
    MUST(svl__catalog_commit(change) == SVL_OK);
    svl__catalog_close(catalog);
    place_read(store, "catalog.mdb", &bytes);
    *out = (struct place_catalog){ bytes.data, bytes.len };
}

void place_begin(const struct place_catalog *catalog)
{
    empty();
    place_write(place_store(), "catalog.mdb", catalog->data, catalog->len);
}

int place_must_be_said(int rc)
{
    MUST(rc == SVL_OK || rc == SVL_E_CORRUPT || rc == SVL_E_VERSION || rc == SVL_E_CODEC ||
         rc == SVL_E_FOREIGN);
    MUST(rc == SVL_OK || svl_last_error()[0]);
    return rc;
}

static uint64_t add_slice(uint64_t digest, svl_slice slice)
{
    digest = svl__checksum_seeded(&slice.len, sizeof slice.len, digest);
    return slice.len > 0 ? svl__checksum_seeded(slice.data, slice.len, digest) : digest;
}

static uint64_t add_record(uint64_t digest, const svl_record *r)
{
    const uint64_t numbers[] = {
        r->id,    (uint64_t)r->time_ns, (uint64_t)r->ingest_ns, r->severity, r->body_kind,
        r->flags, r->attribute_count
    };
    digest = svl__checksum_seeded(numbers, sizeof numbers, digest);
    digest = add_slice(digest, r->source);
    digest = add_slice(digest, r->type);
    digest = add_slice(digest, r->key);
    digest = add_slice(digest, r->body);
    for (uint32_t i = 0; i < r->attribute_count; i++) {
        digest = add_slice(digest, r->attributes[i].name);
        digest = add_slice(digest, r->attributes[i].bytes);
        digest = svl__checksum_seeded(&r->attributes[i].i64, sizeof(int64_t), digest);
    }
    return digest;
}

void place_query(svl_store *from, const svl_query *query, struct reading *out)
{
    svl_cursor *cursor;
    const svl_record *record;
    *out = (struct reading){ 0 };
    int rc = place_must_be_said(svl_store_query(from, query, &cursor));
    if (rc != SVL_OK) {
        out->damaged = 1;
        return;
    }
    for (unsigned i = 0; (rc = svl_cursor_next(cursor, 0, &record)) != SVL_E_END; i++) {
        MUST(i < STEPS_MAX);
        if (place_must_be_said(rc) != SVL_OK) {
            out->damaged++;
            continue;
        }
        MUST(record->id > out->last_id);
        out->last_id = record->id;
        out->records++;
        out->digest = add_record(out->digest, record);
    }
    svl_cursor_close(cursor);
}
