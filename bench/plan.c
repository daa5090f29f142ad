/* plan.c - which workloads, peers and sizes are wanted; how much of the whole each is, for the progress; and how much
 * disk the stores may take, so that a run which cannot end does not begin.
 *
 * Disk: the fixtures that live at once, from the first workload that needs one to the last, and the largest store
 * that is measured beside them. A record is taken for its text and 32 bytes, times what the peer says. */
#define _GNU_SOURCE
#include "plan.h"

#include <string.h>

/* What a measurement takes beside its records, in records: a process, a store that is opened and removed. */
#define WORK_FIXED 20000
/* So much quicker is a filled store asked than filled. */
#define WORK_TO_FILL 8
#define RECORD_BYTES_BESIDE_TEXT 32
#define DISK_BYTES_FIXED (UINT64_C(256) << 20) /* journals, logs and maps, of each store at most */

/* The name, or the part of it before the slash. */
static bool is_named(const char *name, const char *wanted)
{
    size_t len = strlen(wanted);
    return strncmp(name, wanted, len) == 0 && (name[len] == 0 || name[len] == '/');
}

bool run_wants_workload(const struct settings *settings, const struct workload *workload)
{
    for (int i = 0; i < settings->name_count; i++)
        if (is_named(workload->name, settings->names[i]))
            return true;
    return settings->name_count == 0;
}

bool run_wants_peer(const struct settings *settings, const struct peer *peer)
{
    size_t len = strlen(peer->name);
    if (!settings->peers || peer->is_ours)
        return true;
    for (const char *at = settings->peers; (at = strstr(at, peer->name)); at += len)
        if ((at == settings->peers || at[-1] == ',') && (at[len] == 0 || at[len] == ','))
            return true;
    return false;
}

bool plan_has(const struct settings *settings, size_t w, unsigned s)
{
    const struct workload *workload = bench_workload(w);
    return run_wants_workload(settings, workload) &&
           (workload->is_growing || s + 1 == settings->size_count);
}

unsigned plan_peers(const struct settings *settings, const struct workload *workload,
                    const struct peer *peers[PEERS_MAX])
{
    unsigned count = 0;
    for (size_t i = 0; bench_peers[i] && count < PEERS_MAX; i++) {
        const struct peer *peer = bench_peers[i];
        if (run_wants_peer(settings, peer) && workload->fits(peer) &&
            (!peer->is_here || peer->is_here()))
            peers[count++] = peer;
    }
    return count;
}

static bool is_same_fixture(const struct workload *a, const struct workload *b)
{
    return a->fixture_name && b->fixture_name && strcmp(a->fixture_name, b->fixture_name) == 0;
}

bool plan_is_last_of_fixture(const struct settings *settings, size_t w)
{
    for (size_t i = w + 1; bench_workload(i); i++)
        if (run_wants_workload(settings, bench_workload(i)) &&
            is_same_fixture(bench_workload(i), bench_workload(w)))
            return false;
    return true;
}

uint64_t plan_records(const struct workload *workload, uint64_t size)
{
    uint64_t records = size / workload->divisor;
    return records < PLAN_RECORDS_MIN ? PLAN_RECORDS_MIN : records;
}

double plan_work(const struct workload *workload, uint64_t size)
{
    double records = (double)plan_records(workload, size);
    return WORK_FIXED + (workload->prepare ? records / WORK_TO_FILL : records);
}

double plan_work_to_fill(const struct workload *workload, uint64_t size)
{
    return WORK_FIXED + (double)plan_records(workload, size);
}

/* At most, of one peer's store; 0 for one that has none. */
static double disk_bytes(const struct workload *workload, const struct peer *peer, uint64_t size)
{
    double each = lines_mean_bytes() + RECORD_BYTES_BESIDE_TEXT;
    if (!peer->store)
        return 0;
    return (double)DISK_BYTES_FIXED +
           (double)plan_records(workload, size) * each * peer->store->disk_factor;
}

/* Whether a workload before `w` has filled what this one needs, of that peer at that size. */
static bool is_filled(const struct settings *settings, size_t w, const struct peer *peer,
                      unsigned s)
{
    for (size_t i = 0; i < w; i++)
        if (is_same_fixture(bench_workload(i), bench_workload(w)) && plan_has(settings, i, s) &&
            bench_workload(i)->fits(peer))
            return true;
    return false;
}

/* What workload `w` is the first to fill, in bytes and in work. */
static double to_fill(const struct settings *settings, size_t w, double *work)
{
    const struct workload *workload = bench_workload(w);
    const struct peer *peers[PEERS_MAX];
    unsigned count = workload->prepare ? plan_peers(settings, workload, peers) : 0;
    double bytes = 0;
    for (unsigned s = 0; s < settings->size_count; s++) {
        for (unsigned p = 0; plan_has(settings, w, s) && p < count; p++) {
            if (is_filled(settings, w, peers[p], s))
                continue;
            bytes += disk_bytes(workload, peers[p], settings->sizes[s]);
            *work += plan_work_to_fill(workload, settings->sizes[s]);
        }
    }
    return bytes;
}

/* The largest store that workload `w` makes and removes, and its work. */
static double to_measure(const struct settings *settings, size_t w, double *work)
{
    const struct workload *workload = bench_workload(w);
    const struct peer *peers[PEERS_MAX];
    unsigned count = plan_peers(settings, workload, peers);
    double largest = 0;
    for (unsigned s = 0; s < settings->size_count; s++) {
        if (!plan_has(settings, w, s))
            continue;
        *work += count * settings->repeat * plan_work(workload, settings->sizes[s]);
        for (unsigned p = 0; !workload->prepare && p < count; p++) {
            double disk = disk_bytes(workload, peers[p], settings->sizes[s]);
            largest = disk > largest ? disk : largest;
        }
    }
    return largest;
}

/* What goes behind the last workload that needs the fixture of `w`. */
static double filled_for(const struct settings *settings, size_t w)
{
    double bytes = 0, work = 0;
    for (size_t i = 0; i <= w; i++)
        if (is_same_fixture(bench_workload(i), bench_workload(w)))
            bytes += to_fill(settings, i, &work);
    return bytes;
}

void plan_make(const struct settings *settings, struct plan *out)
{
    double filled = 0, peak = 0;
    *out = (struct plan){ 0 };
    for (size_t w = 0; bench_workload(w); w++) {
        if (!run_wants_workload(settings, bench_workload(w)))
            continue;
        filled += to_fill(settings, w, &out->work);
        double now = filled + to_measure(settings, w, &out->work);
        peak = now > peak ? now : peak;
        if (bench_workload(w)->prepare && plan_is_last_of_fixture(settings, w))
            filled -= filled_for(settings, w);
    }
    out->disk_bytes = (uint64_t)peak;
}
