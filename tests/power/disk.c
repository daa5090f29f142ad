/* disk.c - a log, followed: files as pages, each with the versions that a write-back may have caught. A flush that
 * returns makes the newest version from before its begin durable. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk_parts.h"

static void *must(void *p)
{
    if (!p) {
        perror("disk");
        exit(1);
    }
    return p;
}

/* One more element of `size` bytes has place in the array. */
static void *grow(void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return array;
    *capacity = *capacity ? *capacity * 2 : 8;
    return must(realloc(array, *capacity * size));
}

void disk_add_version(struct versions *v, struct version version)
{
    v->list = grow(v->list, v->count, &v->capacity, sizeof *v->list);
    v->list[v->count++] = version;
}

static const struct version *newest(const struct versions *v)
{
    return &v->list[v->count - 1];
}

/* The newest version from before op `limit` becomes the durable one, if it is written: what is clean is not. */
static void settle(struct versions *v, size_t limit)
{
    size_t n = 0;
    for (size_t i = 1; i < v->count && v->list[i].op < limit; i++)
        if (!v->list[i].clean)
            n = i;
    memmove(v->list, v->list + n, (v->count - n) * sizeof *v->list);
    v->count -= n;
}

static uint8_t *new_block(struct disk *disk)
{
    disk->blocks =
        grow(disk->blocks, disk->block_count, &disk->block_capacity, sizeof *disk->blocks);
    return disk->blocks[disk->block_count++] = must(calloc(1, LOG_PAGE));
}

static struct file *file_of(struct disk *disk, uint32_t number)
{
    while (disk->file_count <= number) {
        disk->files = must(realloc(disk->files, (disk->file_count + 1) * sizeof *disk->files));
        disk->files[disk->file_count] = (struct file){ 0 };
        disk_add_version(&disk->files[disk->file_count++].size, (struct version){ 0 });
    }
    return &disk->files[number];
}

static struct versions *page_of(struct file *file, size_t page)
{
    if (page >= file->page_count) {
        file->pages = must(realloc(file->pages, (page + 1) * sizeof *file->pages));
        for (; file->page_count <= page; file->page_count++) {
            file->pages[file->page_count] = (struct versions){ 0 };
            disk_add_version(&file->pages[file->page_count], (struct version){ 0 });
        }
    }
    return &file->pages[page];
}

static void write_pages(struct disk *disk, size_t index, const struct op *op)
{
    struct file *file = file_of(disk, op->file);
    for (uint64_t at = op->offset, end = op->offset + op->len; at < end;) {
        uint64_t in_page = at % LOG_PAGE;
        uint64_t n = LOG_PAGE - in_page < end - at ? LOG_PAGE - in_page : end - at;
        struct versions *page = page_of(file, (size_t)(at / LOG_PAGE));
        const uint8_t *before = newest(page)->bytes;
        if (op->data || before) { /* else zeros over zeros */
            uint8_t *bytes = new_block(disk);
            if (before)
                memcpy(bytes, before, LOG_PAGE);
            if (op->data)
                memcpy(bytes + in_page, op->data + (at - op->offset), n);
            else
                memset(bytes + in_page, 0, n);
            disk_add_version(page, (struct version){ .op = index, .bytes = bytes });
        }
        at += n;
    }
    if (op->a == 1)
        file->mapped = true;
    else if (op->offset + op->len > newest(&file->size)->size)
        disk_add_version(&file->size,
                         (struct version){ .op = index, .size = op->offset + op->len });
}

static void settle_file(struct disk *disk, const struct op *op)
{
    struct file *file = file_of(disk, op->file);
    size_t first = 0, end = file->page_count;
    if (op->len > 0) {
        first = (size_t)(op->offset / LOG_PAGE);
        end = (size_t)((op->offset + op->len + LOG_PAGE - 1) / LOG_PAGE);
    }
    for (size_t i = first; i < end; i++)
        settle(&file->pages[i], (size_t)op->a);
    settle(&file->size, (size_t)op->a);
}

static void clean_file(struct disk *disk, const struct op *op)
{
    struct file *file = file_of(disk, op->file);
    for (size_t p = 0; p < file->page_count; p++)
        for (size_t i = 1; i < file->pages[p].count; i++)
            file->pages[p].list[i].clean = true;
}

static struct name *find_name(struct names *names, const char *text)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->list[i].text, text) == 0)
            return &names->list[i];
    return NULL;
}

static void remove_name(struct names *names, const char *text)
{
    struct name *name = find_name(names, text);
    if (name)
        *name = names->list[--names->count];
}

static void put_name(struct names *names, const char *text, uint32_t file)
{
    remove_name(names, text);
    if (names->count == DISK_NAMES_MAX) {
        fprintf(stderr, "disk: more than %d names\n", DISK_NAMES_MAX);
        exit(1);
    }
    struct name *name = &names->list[names->count++];
    memcpy(name->text, text, sizeof name->text);
    name->file = file;
}

void disk_apply_name(struct names *names, const struct op *op)
{
    if (op->kind == OP_CREATE)
        put_name(names, op->name, op->file);
    if (op->kind == OP_RENAME)
        put_name(names, op->other_name, op->file);
    if (op->kind == OP_RENAME || op->kind == OP_UNLINK)
        remove_name(names, op->name);
}

static void settle_names(struct disk *disk, size_t limit)
{
    size_t n = 0;
    while (n < disk->pending_count && disk->pending[n].index < limit)
        disk_apply_name(&disk->durable, &disk->pending[n++].op);
    disk->pending_count -= n;
    memmove(disk->pending, disk->pending + n, disk->pending_count * sizeof *disk->pending);
}

static void add_name(struct disk *disk, size_t index, const struct op *op)
{
    struct op noted = *op;
    struct names now = disk->durable;
    for (size_t i = 0; i < disk->pending_count; i++)
        disk_apply_name(&now, &disk->pending[i].op);
    if (op->kind == OP_RENAME) {
        struct name *from = find_name(&now, op->name);
        noted.file = from ? from->file : 0;
    }
    disk->pending =
        grow(disk->pending, disk->pending_count, &disk->pending_capacity, sizeof *disk->pending);
    disk->pending[disk->pending_count].index = index;
    disk->pending[disk->pending_count++].op = noted;
}

struct disk *disk_create(void)
{
    return must(calloc(1, sizeof(struct disk)));
}

void disk_free(struct disk *disk)
{
    for (size_t i = 0; i < disk->file_count; i++) {
        for (size_t p = 0; p < disk->files[i].page_count; p++)
            free(disk->files[i].pages[p].list);
        free(disk->files[i].pages);
        free(disk->files[i].size.list);
    }
    for (size_t i = 0; i < disk->block_count; i++)
        free(disk->blocks[i]);
    free(disk->blocks);
    free(disk->files);
    free(disk->pending);
    free(disk);
}

void disk_apply(struct disk *disk, size_t index, const struct op *op)
{
    switch ((enum op_kind)op->kind) {
    case OP_MAKE_STORE:
        disk->made = true;
        break;
    case OP_STORE_SYNCED:
        disk->made_durable = disk->made;
        break;
    case OP_CREATE:
        file_of(disk, op->file);
        add_name(disk, index, op);
        break;
    case OP_RENAME:
    case OP_UNLINK:
        add_name(disk, index, op);
        break;
    case OP_NAMES_SYNCED:
        settle_names(disk, (size_t)op->a);
        break;
    case OP_WRITE:
        write_pages(disk, index, op);
        break;
    case OP_SIZE:
        if (op->len < newest(&file_of(disk, op->file)->size)->size) {
            fprintf(stderr,
                    "disk: a file gets shorter, and nobody has said what its pages are then\n");
            exit(1);
        }
        disk_add_version(&file_of(disk, op->file)->size,
                         (struct version){ .op = index, .size = op->len });
        break;
    case OP_SYNCED:
        settle_file(disk, op);
        break;
    case OP_SYNC_FAILED:
        clean_file(disk, op);
        break;
    case OP_SYNC:
    case OP_SYNC_NAMES:
    case MARK_GROUP:
    case MARK_ACK:
    case MARK_GENERATION:
        break;
    }
}
