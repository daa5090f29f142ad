/* disk_parts - what disk.c follows and cut.c chooses from.
 *
 * Everything that is not durable is a list of versions, oldest first, each of the op that made it: of a page, of a
 * file's size, of a name. */
#ifndef TESTS_POWER_DISK_PARTS_H
#define TESTS_POWER_DISK_PARTS_H

#include "disk.h"

#define DISK_NAMES_MAX 256

/* A version of a page or of a size. */
struct version {
    size_t op;
    uint64_t size;        /* of a size */
    const uint8_t *bytes; /* of a page; NULL: zeros */
    bool clean;           /* a flush of it has failed, and no other will write it */
};

/* [0] is durable. */
struct versions {
    struct version *list;
    size_t count, capacity;
};

struct file {
    struct versions *pages;
    size_t page_count;
    struct versions size;
    bool mapped; /* written through a mapping */
};

struct name {
    char text[LOG_NAME_BYTES];
    uint32_t file;
};

struct names {
    struct name list[DISK_NAMES_MAX];
    size_t count;
};

struct disk {
    struct file *files;
    size_t file_count;
    struct names durable;
    struct pending_name {
        size_t index;
        struct op op;
    } * pending; /* creations, renames, unlinks */
    size_t pending_count, pending_capacity;
    bool made, made_durable; /* the directory itself */
    uint8_t **blocks;        /* all pages' bytes, freed at the end */
    size_t block_count, block_capacity;
};

/* A creation, rename or unlink. A rename is whole or not there, also where the name that it takes away was lost. */
void disk_apply_name(struct names *names, const struct op *op);
void disk_add_version(struct versions *versions, struct version version);

#endif
