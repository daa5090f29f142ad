/* cut.c - what a power cut leaves: a rule chooses a version of each thing, and the files are made of them. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk_parts.h"

#define SECTOR 512

/* How a rule chooses among the versions of a thing. */
enum choice {
    LOST,    /* the durable one */
    KEPT,    /* the newest */
    CUT,     /* the newest from before a moment, the same for all */
    COIN,    /* any */
    BUT_ONE, /* the newest, but for one thing in the disk */
    ONLY_ONE /* the durable one, but for one */
};

/* What a rule does besides. */
enum detail {
    WHOLE,
    ONE_FILE,   /* all other files lose everything */
    TORN_PAGES, /* pages are made of sectors of two versions */
    TORN_WRITE  /* the write at the cut is there in part, by pages */
};

struct rule {
    const char *name;
    enum choice pages, sizes, names;
    enum detail detail;
};

static const struct rule rules[] = {
    { "everything kept", KEPT, KEPT, KEPT, WHOLE },
    { "reordered", COIN, COIN, COIN, WHOLE },
    { "everything lost", LOST, LOST, LOST, WHOLE },
    { "a prefix kept", CUT, CUT, CUT, WHOLE },
    { "one thing lost", BUT_ONE, BUT_ONE, BUT_ONE, WHOLE },
    { "one thing kept", ONLY_ONE, ONLY_ONE, ONLY_ONE, WHOLE },
    { "sizes ahead of data", LOST, KEPT, KEPT, WHOLE },
    { "data ahead of sizes", KEPT, LOST, KEPT, WHOLE },
    { "names lost", KEPT, KEPT, LOST, WHOLE },
    { "names only", LOST, LOST, KEPT, WHOLE },
    { "one file kept", KEPT, KEPT, COIN, ONE_FILE },
    { "torn at 512", CUT, KEPT, KEPT, TORN_PAGES },
    { "torn at 512, reordered", COIN, COIN, COIN, TORN_PAGES },
    { "torn at 4096", CUT, KEPT, KEPT, TORN_WRITE },
};

#define RULE_OF_ALL 0
#define RULE_REORDERED 1

/* Every second state is any subset of what is pending: where little is, all of them come. */
size_t disk_choose_rule(struct rng *rng)
{
    size_t n = sizeof rules / sizeof rules[0];
    return rng_below(rng, 2) ? RULE_REORDERED : (size_t)rng_below(rng, n);
}

const char *disk_rule_name(size_t rule)
{
    return rules[rule].name;
}

size_t disk_rule_of_all(void)
{
    return RULE_OF_ALL;
}

/* One state's choice. */
struct chooser {
    const struct rule *rule;
    struct rng *rng;
    size_t cut;      /* op of CUT */
    uint64_t victim; /* the one thing of BUT_ONE and ONLY_ONE */
    uint64_t at;     /* things looked at */
    size_t file;     /* of one_file */
};

/* Which version of `v`: 0 is the durable one. */
static size_t choose(struct chooser *c, enum choice choice, const struct versions *v)
{
    size_t i = 0, n = v->count;
    bool is_victim = c->at++ == c->victim;
    switch (choice) {
    case LOST:
        return 0;
    case KEPT:
        return n - 1;
    case COIN:
        return (size_t)rng_below(c->rng, n);
    case BUT_ONE:
        return is_victim ? (size_t)rng_below(c->rng, n - 1) : n - 1;
    case ONLY_ONE:
        return is_victim ? n - 1 : 0;
    case CUT:
        while (i + 1 < n && v->list[i + 1].op < c->cut)
            i++;
        if (c->rule->detail == TORN_WRITE && i + 1 < n && v->list[i + 1].op == c->cut &&
            rng_below(c->rng, 2))
            i++;
        return i;
    }
    return 0;
}

/* All that a rule chooses among, counted as choose() will; and the ops that it is of (may be NULL). */
static uint64_t count_things(const struct disk *disk, struct versions *ops)
{
    uint64_t n = 0;
    for (size_t f = 0; f < disk->file_count; f++) {
        const struct file *file = &disk->files[f];
        for (size_t p = 0; !file->mapped && p <= file->page_count; p++) {
            const struct versions *v = p < file->page_count ? &file->pages[p] : &file->size;
            n += v->count > 1;
            for (size_t i = 1; ops && i < v->count; i++)
                disk_add_version(ops, v->list[i]);
        }
    }
    for (size_t i = 0; i < disk->pending_count; i++, n++)
        if (ops)
            disk_add_version(ops, (struct version){ .op = disk->pending[i].index });
    return n;
}

uint64_t disk_pending(const struct disk *disk)
{
    return count_things(disk, NULL);
}

static const uint8_t *tear(const struct versions *page, struct rng *rng, uint8_t out[LOG_PAGE])
{
    static const uint8_t zeros[LOG_PAGE];
    const uint8_t *two[2];
    for (int i = 0; i < 2; i++) {
        const struct version *v = &page->list[rng_below(rng, page->count)];
        two[i] = v->bytes ? v->bytes : zeros;
    }
    for (size_t at = 0; at < LOG_PAGE; at += SECTOR)
        memcpy(out + at, two[rng_below(rng, 2)] + at, SECTOR);
    return out;
}

/* Mapped files are written back whenever, under each rule but that of all. */
static bool is_wild(const struct chooser *c, const struct file *file)
{
    return file->mapped && c->rule != &rules[RULE_OF_ALL];
}

/* File systems write long files back in pieces, and note the size after each. */
static uint64_t choose_size(struct chooser *c, const struct file *file, enum choice choice)
{
    const struct versions *v = &file->size;
    if (v->count == 1)
        return v->list[0].size;
    size_t i = is_wild(c, file) ? (size_t)rng_below(c->rng, v->count) : choose(c, choice, v);
    uint64_t size = v->list[i].size;
    if (choice == COIN && i > 0 && v->list[i - 1].size < size) {
        uint64_t from = v->list[i - 1].size / LOG_PAGE;
        uint64_t pages = from + rng_below(c->rng, size / LOG_PAGE + 2 - from);
        if (pages * LOG_PAGE < size && pages * LOG_PAGE > v->list[i - 1].size)
            size = pages * LOG_PAGE;
    }
    return size;
}

static void put(int fd, const uint8_t *bytes, uint64_t page, uint64_t size)
{
    uint64_t at = page * LOG_PAGE, n = size - at < LOG_PAGE ? size - at : LOG_PAGE;
    if (pwrite(fd, bytes, n, (off_t)at) != (ssize_t)n) {
        perror("disk: pwrite");
        exit(1);
    }
}

static const uint8_t *choose_page(struct chooser *c, const struct file *file,
                                  const struct versions *page, enum choice choice,
                                  uint8_t torn[LOG_PAGE])
{
    if (page->count == 1)
        return page->list[0].bytes;
    if (is_wild(c, file))
        return page->list[rng_below(c->rng, page->count)].bytes;
    size_t i = choose(c, choice, page);
    if (c->rule->detail == TORN_PAGES && rng_below(c->rng, 2))
        return tear(page, c->rng, torn);
    return page->list[i].bytes;
}

/* The chosen bytes of a file, into `fd` (-1: nobody sees it, but it takes part in the choice). */
static void build_file(const struct disk *disk, struct chooser *c, size_t number, int fd)
{
    const struct file *file = &disk->files[number];
    bool spared = c->rule->detail != ONE_FILE || number == c->file;
    uint64_t size = choose_size(c, file, spared ? c->rule->sizes : LOST);
    enum choice pages = spared ? c->rule->pages : LOST;
    uint8_t torn[LOG_PAGE];
    if (fd >= 0 && ftruncate(fd, (off_t)size) != 0) {
        perror("disk: ftruncate");
        exit(1);
    }
    for (size_t p = 0; p < file->page_count; p++) {
        const uint8_t *bytes = choose_page(c, file, &file->pages[p], pages, torn);
        if (fd >= 0 && bytes && p * LOG_PAGE < size)
            put(fd, bytes, p, size);
    }
}

/* Which names are there. */
static void choose_names(const struct disk *disk, struct chooser *c, struct names *names)
{
    *names = disk->durable;
    for (size_t i = 0; i < disk->pending_count; i++) {
        struct version two[2] = { { 0 }, { .op = disk->pending[i].index } };
        struct versions v = { two, 2, 2 };
        if (choose(c, c->rule->names, &v) == 1)
            disk_apply_name(names, &disk->pending[i].op);
    }
}

static int file_at(const char *path, const struct names *names, size_t number)
{
    char name[640];
    for (size_t i = 0; i < names->count; i++) {
        if (names->list[i].file != number)
            continue;
        snprintf(name, sizeof name, "%s/%s", path, names->list[i].text);
        int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0) {
            perror(name);
            exit(1);
        }
        return fd;
    }
    return -1;
}

void disk_build(const struct disk *disk, size_t rule, struct rng *rng, const char *path)
{
    struct chooser c = { .rule = &rules[rule], .rng = rng };
    struct versions ops = { 0 };
    struct names names;
    uint64_t things = count_things(disk, &ops);
    if (things > 0) {
        c.victim = rng_below(rng, things);
        c.cut = ops.list[rng_below(rng, ops.count)].op;
        c.file = (size_t)rng_below(rng, disk->file_count);
    }
    free(ops.list);
    bool lost = c.rule->names == LOST || (c.rule->names != KEPT && rng_below(rng, 2));
    if (!disk->made || (!disk->made_durable && lost))
        return;
    if (mkdir(path, 0700) != 0) {
        perror(path);
        exit(1);
    }
    choose_names(disk, &c, &names);
    for (size_t f = 0; f < disk->file_count; f++) {
        int fd = file_at(path, &names, f);
        build_file(disk, &c, f, fd);
        if (fd >= 0)
            close(fd);
    }
}
