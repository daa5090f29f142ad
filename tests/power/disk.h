/* disk - what a disk may hold after a power cut: what is durable, and of what is not yet durable any part that a
 * rule allows. See power.c for the model. */
#ifndef TESTS_POWER_DISK_H
#define TESTS_POWER_DISK_H

#include "log.h"
#include "support/support.h"

struct disk;

struct disk *disk_create(void);
void disk_free(struct disk *disk);
/* Follows the log: `index` is the op's place in it. */
void disk_apply(struct disk *disk, size_t index, const struct op *op);

/* How many things - pages, sizes, names - are not durable. */
uint64_t disk_pending(const struct disk *disk);

/* Rules have numbers. */
size_t disk_choose_rule(struct rng *rng);
const char *disk_rule_name(size_t rule);
/* The rule by which everything that happened is on the disk. */
size_t disk_rule_of_all(void);

/* Makes the directory `path` as a power cut now may leave it; nothing is made where the directory's own name is
 * lost. `rng` chooses within the rule. */
void disk_build(const struct disk *disk, size_t rule, struct rng *rng, const char *path);

#endif
