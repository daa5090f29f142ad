/* workload_scan.c - everything is read, in order: the bodies; the severities alone; the bodies for a word. */
#define _GNU_SOURCE
#include <string.h>

#include "workload_store.h"

static uint64_t expect_bytes(uint64_t records)
{
    struct line line;
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < records; i++) {
        line_make(i, 0, &line);
        bytes += line.record.body.len;
    }
    return bytes;
}

/* A program's lines have an end, a text file's all else of the record. */
static int scan(struct run *run)
{
    struct watch watch;
    uint64_t bytes = 0, expected = expect_bytes(run->records);
    void *store = store_open_fixture(run, INDEX_KEY);
    if (!store)
        return -1;
    watch_start(&watch);
    int64_t count = run->peer->store->scan(store, &bytes);
    watch_stop(&watch, run, run->records);
    run->peer->store->close(store);
    if (count >= 0 && ((uint64_t)count != run->records || bytes < expected))
        return bench_fail("a scan does not find every record whole");
    return count < 0 ? -1 : 0;
}

/* What the records are made of says how many there must be. */
static int64_t expect_errors(uint64_t records)
{
    struct line line;
    int64_t count = 0;
    for (uint64_t i = 0; i < records; i++) {
        line_make(i, 0, &line);
        count += line.record.severity >= SVL_SEVERITY_ERROR;
    }
    return count;
}

static int count_errors(struct run *run)
{
    struct watch watch;
    void *store = store_open_fixture(run, INDEX_KEY);
    int64_t expected = expect_errors(run->records);
    if (!store)
        return -1;
    watch_start(&watch);
    int64_t count = run->peer->store->count_errors(store);
    watch_stop(&watch, run, run->records);
    run->peer->store->close(store);
    return count == expected ? 0 : bench_fail("errors are missing, or too many");
}

static int64_t expect_words(uint64_t records)
{
    struct line line;
    int64_t count = 0;
    for (uint64_t i = 0; i < records; i++) {
        line_make(i, 0, &line);
        count += memmem(line.record.body.data, line.record.body.len, LINES_RARE_WORD,
                        sizeof LINES_RARE_WORD - 1) != NULL;
    }
    return count;
}

static int search(struct run *run)
{
    struct watch watch;
    void *store = store_open_fixture(run, INDEX_KEY);
    int64_t expected = expect_words(run->records);
    if (!store)
        return -1;
    watch_start(&watch);
    int64_t count = run->peer->store->count_word(store, LINES_RARE_WORD);
    watch_stop(&watch, run, run->records);
    run->peer->store->close(store);
    return count == expected ? 0 : bench_fail("a search does not find what is there");
}

static bool fits_scan(const struct peer *peer)
{
    return peer->store && peer->store->scan;
}

static bool fits_errors(const struct peer *peer)
{
    return peer->store && peer->store->count_errors;
}

static bool fits_search(const struct peer *peer)
{
    return peer->store && peer->store->count_word;
}

const struct workload scan_workloads[] = {
    { .name = "scan/bodies",
      .question = "How many records a second are read in order?",
      .charts = METRIC_BIT(METRIC_RATE),
      .is_growing = true,
      .divisor = 1,
      .fits = fits_scan,
      .fixture_name = FILLED,
      .prepare = prepare_filled,
      .measure = scan },
    { .name = "scan/columns",
      .question = "How many are looked at a second, for the errors among them?",
      .charts = METRIC_BIT(METRIC_RATE),
      .is_growing = true,
      .divisor = 1,
      .fits = fits_errors,
      .fixture_name = FILLED,
      .prepare = prepare_filled,
      .measure = count_errors },
    { .name = "search/word",
      .question = "How many are searched a second for a rare word?",
      .charts = METRIC_BIT(METRIC_RATE),
      .is_growing = true,
      .divisor = 1,
      .fits = fits_search,
      .fixture_name = FILLED,
      .prepare = prepare_filled,
      .measure = search },
};
const size_t scan_workload_count = sizeof scan_workloads / sizeof scan_workloads[0];
