/* judge.c - everything that was promised is there once, in order and whole; nothing else is, and nothing is damaged. */
#include "judge.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lives.h"

#define ATTACHED_WAIT_MS 20000

/* What was seen of each publisher's records. */
struct seen {
    uint64_t last;
    uint8_t *is_there; /* by number */
};

static bool check_body(const svl_record *record, int publisher, uint64_t number)
{
    char body[RECORD_BYTES_MAX];
    size_t len = body_of(publisher, number, body);
    if (record->body.len == len && memcmp(record->body.data, body, len) == 0)
        return true;
    return noted_fail("record %llu, %d/%llu, has another body", (unsigned long long)record->id,
                      publisher, (unsigned long long)number);
}

static bool check_record(const svl_record *record, struct seen seen[PUBLISHERS])
{
    char key[32] = "";
    int publisher;
    unsigned long long number;
    if (record->key.len >= sizeof key)
        return noted_fail("a key of %zu bytes", record->key.len);
    memcpy(key, record->key.data, record->key.len);
    if (sscanf(key, "%d/%llu", &publisher, &number) != 2 || publisher < 0 ||
        publisher >= PUBLISHERS || number < 1 ||
        number > atomic_load(&noted->publishers[publisher].begun))
        return noted_fail("%s is there, and was never published", key);
    struct seen *s = &seen[publisher];
    if (number <= s->last)
        return noted_fail("%s is there %s", key,
                          s->is_there[number] ? "twice" : "behind later ones");
    s->last = number;
    s->is_there[number] = 1;
    return check_body(record, publisher, number);
}

static bool each_record(svl_store *store, const char *source,
                        bool (*take)(const svl_record *record, void *user), void *user)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    int rc = svl_query_init(&query, sizeof query);
    query.source = slice_of(source);
    if (rc == SVL_OK)
        rc = svl_store_query(store, &query, &cursor);
    if (rc != SVL_OK)
        return noted_fail("query: %.400s", svl_last_error());
    bool holds = true;
    while (holds && (rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK)
        holds = take(record, user);
    svl_cursor_close(cursor);
    return holds && rc != SVL_E_END ? noted_fail("cursor: %d: %.400s", rc, svl_last_error())
                                    : holds;
}

static bool take_record(const svl_record *record, void *seen)
{
    return check_record(record, seen);
}

static bool take_gap(const svl_record *record, void *told)
{
    if (record->attribute_count == 1)
        *(uint64_t *)told += (uint64_t)record->attributes[0].i64;
    return true;
}

static const struct loss *loss_of(const struct publisher_noted *n, uint64_t number)
{
    for (int life = 0; life < LIVES; life++)
        if (number >= n->losses[life].from && number <= n->losses[life].to)
            return &n->losses[life];
    return NULL;
}

/* What a death may have lost is the end of what its process published. */
static bool check_losses(int publisher, const struct seen *s)
{
    const struct publisher_noted *n = &noted->publishers[publisher];
    for (int life = 0; life < LIVES; life++) {
        const struct loss *loss = &n->losses[life];
        if (loss->is_certain && s->is_there[loss->to])
            return noted_fail("%d/%llu is there, and its publish never came to its end", publisher,
                              (unsigned long long)loss->to);
        for (uint64_t number = loss->from; number < loss->to && noted->mode != DROPS; number++)
            if (!s->is_there[number] && s->is_there[number + 1])
                return noted_fail("%d/%llu is missing, and the next is there", publisher,
                                  (unsigned long long)number);
    }
    return true;
}

/* Counts what is missing: surely, and with what the deaths may have lost. */
static bool count_missing(int publisher, const struct seen *s, uint64_t *missing, uint64_t *most)
{
    const struct publisher_noted *n = &noted->publishers[publisher];
    uint64_t begun = atomic_load(&n->begun);
    for (uint64_t number = 1; number <= begun; number++) {
        if (s->is_there[number])
            continue;
        ++*most;
        if (loss_of(n, number))
            continue;
        ++*missing;
        if (noted->mode != DROPS || publisher == ATTACHED)
            return noted_fail("%d/%llu is missing; %llu were published, %llu acknowledged",
                              publisher, (unsigned long long)number,
                              (unsigned long long)atomic_load(&n->published),
                              (unsigned long long)atomic_load(&n->acknowledged));
    }
    return true;
}

static bool check_records(svl_store *store)
{
    struct seen seen[PUBLISHERS] = { { 0, NULL } };
    uint64_t missing = 0, most = 0, told = 0;
    for (int i = 0; i < PUBLISHERS; i++)
        seen[i].is_there = calloc(1, atomic_load(&noted->publishers[i].begun) + 2);
    bool holds = each_record(store, "p", take_record, seen) &&
                 each_record(store, "serverlog.gap", take_gap, &told);
    for (int i = 0; i < PUBLISHERS && holds; i++)
        holds = check_losses(i, &seen[i]) && count_missing(i, &seen[i], &missing, &most);
    if (holds && noted->mode == DROPS && (told < missing || told > most))
        holds = noted_fail("%llu to %llu are missing, and %llu are told of",
                           (unsigned long long)missing, (unsigned long long)most,
                           (unsigned long long)told);
    for (int i = 0; i < PUBLISHERS; i++)
        free(seen[i].is_there);
    return holds;
}

/* Rings of attached processes that died are drained, too. */
static bool wait_attached(svl_pipeline *p)
{
    svl_pipeline_stats stats = { .struct_size = sizeof stats };
    for (int ms = 0; ms < ATTACHED_WAIT_MS; ms++) {
        if (svl_pipeline_stats_get(p, &stats) != SVL_OK)
            return noted_fail("statistics: %.400s", svl_last_error());
        if (stats.attached_publishers == 0 && (ms > 40 || !noted->has_attached))
            break;
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    if (stats.attached_publishers != 0 || stats.attached_damaged != 0 || stats.ring_missing != 0)
        return noted_fail("%llu attached rings are left, %llu damaged, %llu rings are missing",
                          (unsigned long long)stats.attached_publishers,
                          (unsigned long long)stats.attached_damaged,
                          (unsigned long long)stats.ring_missing);
    return true;
}

static void take_damage(int32_t code, const char *what, void *user)
{
    (void)user;
    noted_fail("verify: %.400s (%d)", what, code);
}

static bool check_no_ring_is_left(void)
{
    DIR *listing = opendir(noted->ring_directory);
    bool holds = listing != NULL;
    for (struct dirent *entry; holds && (entry = readdir(listing));)
        if (entry->d_name[0] != '.')
            holds = noted_fail("ring %s is left, and the store is closed", entry->d_name);
    if (listing)
        closedir(listing);
    return holds;
}

void judge(void)
{
    svl_pipeline *p = open_pipeline();
    svl_store *store = svl_pipeline_store(p);
    bool holds = wait_attached(p);
    if (holds && svl_stop(p, -1) != SVL_OK)
        holds = noted_fail("svl_stop: %.400s", svl_last_error());
    if (holds)
        holds = check_records(store);
    if (holds && svl_store_verify(store, take_damage, NULL, NULL) != SVL_OK)
        holds = noted_fail("svl_store_verify: %.400s", svl_last_error());
    if (holds && svl_close(p) != SVL_OK)
        holds = noted_fail("svl_close: %.400s", svl_last_error());
    if (holds)
        check_no_ring_is_left();
}
