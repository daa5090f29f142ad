/* Power cuts: the calls that a run makes on its files are recorded, LMDB's included, and from the record the states are
 * built that a disk may be in when the power fails: at every flush, before it has begun and after it has returned, and
 * wherever a name or a size changes or something is acknowledged. Each state is opened after a reboot, and must hold
 * all that was acknowledged until then, nothing that was never submitted, no batch in part, each effect of a handler
 * exactly once; is verified in full, written to, closed, and opened again. Recoveries are recorded too, and cut off in
 * turn: those from a power cut, and those from the death of a process, which read back what is not on the disk yet.
 *
 * The model, as in ALICE (Pillai et al., OSDI 2014) and CrashMonkey (Mohan et al., OSDI 2018), with the sector rule of
 * H. Chu (openldap-technical, October 2014):
 *
 *   - A page of 4 KiB in a file is on the disk as it was at any moment since the last flush of the file that covers
 *     it; each page by itself, so writes are lost, kept and reordered. An O_DSYNC write covers its own pages only.
 *   - A sector of 512 bytes is old or new, never in part; a page may be torn between two of its versions.
 *   - A file's size is durable with a flush of the file; until then it may be ahead of the data, which then reads as
 *     zeros, or behind it. Inside of a recycled journal file unflushed data reads as what was there before.
 *   - Names - creations, renames, unlinks, the store's own - are durable with a flush of their directory; until then
 *     each may be there or not. A rename is whole or not there.
 *   - Pages of shared mappings are written back at any time, and nobody flushes them.
 *   - A flush that fails leaves what it was of in memory only: read back, but taken for clean, so that no later flush
 *     writes it (Rebello et al., ATC 2020). Writing it again does.
 *   - Nothing on a tmpfs is left: crash rings are gone. The boot id is another one.
 *
 * Not in the model: disks that lie about flushes, sectors torn within, blocks of other files behind a size that
 * came first (ext4 with data=writeback).
 *
 *   recorder, calls  system calls into a log       disk, cut    a log up to a moment -> what a disk may hold
 *   script, runs_*   what is recorded              expectation  a log up to a moment -> what must be in it
 *   explore          moments and rules, in several processes; judge holds one against the other
 *
 * SVL_TEST_TIMES rounds of some 2,000 states, each with recordings of its own. Where one fails, its log is kept, and
 * the command that is printed judges that one state again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "explore.h"

#define RECOVERIES_A_SCRIPT 1
#define RECOVERIES_IN_TURN 2 /* a recovery, cut off; the recovery from that, cut off */
#define STATES_A_RECOVERY 30
#define STATES_A_DEATH 12
#define OMISSION_STATES_MAX 6000

static const char *program;
static uint64_t states_judged;

static void keep_log(const struct log *log, uint64_t seed, uint64_t n, const struct findings *f)
{
    char path[128];
    snprintf(path, sizeof path, "/tmp/serverlog-power-%s-%llu.log", log->script,
             (unsigned long long)seed);
    print_error("%s: %llu of %llu states failed; state %llu, %s\n", log->script,
                (unsigned long long)f->failures, (unsigned long long)f->states,
                (unsigned long long)f->first, f->why);
    if (log_save(log, path))
        print_error("again: %s %s %llu %llu %llu\n", program, path, (unsigned long long)seed,
                    (unsigned long long)n, (unsigned long long)f->first);
}

static void assert_nothing_found(const struct script *script, const struct log *log, uint64_t seed,
                                 uint64_t n)
{
    struct findings f = explore(script, log, seed, n, UNTIL_THE_END);
    states_judged += f.states;
    if (f.failures > 0)
        keep_log(log, seed, n, &f);
    assert_true(f.failures == 0);
    assert_true(f.states == n);
}

static void begin_log(const struct script *script, struct log *log)
{
    *log = (struct log){ 0 };
    snprintf(log->script, sizeof log->script, "%s", script->name);
}

/* A state that a power cut has left is opened and used, which is recorded. */
static void record_after_cut(const struct script *script, const struct log *log,
                             uint64_t generation, struct rng *rng, struct log *again)
{
    char path[512];
    uint64_t seed = rng_next(rng), n = 1000;
    begin_log(script, again);
    snprintf(path, sizeof path, "%s", temp_path());
    explore_build(log, seed, n, rng_below(rng, n), path, again);
    recorder_start(path, again, BLIND_TO_NOTHING);
    script->resume(script, path, generation);
    recorder_stop();
    remove_tree(path);
}

/* How a process ends. */
enum end { DIES, DIES_OF_FAILED_FLUSH };

/* The process ends after `moment` ops. What it had written is read back; nothing of it is durable for that. */
static void record_after_death(const struct script *script, const struct log *log, size_t moment,
                               enum end end, uint64_t generation, struct rng *rng,
                               struct log *again)
{
    char path[512];
    struct disk *disk = disk_create();
    begin_log(script, again);
    snprintf(path, sizeof path, "%s", temp_path());
    log_copy(again, log, moment);
    if (end == DIES_OF_FAILED_FLUSH)
        log_add(again, (struct op){ .kind = OP_SYNC_FAILED, .file = log->ops[moment - 1].file });
    for (size_t i = 0; i < again->count; i++)
        disk_apply(disk, i, &again->ops[i]);
    disk_build(disk, disk_rule_of_all(), rng, path);
    disk_free(disk);
    recorder_go_on(path, again);
    script->resume(script, path, generation);
    recorder_stop();
    remove_tree(path);
}

static void record_recovery(const struct script *script, const struct log *log, uint64_t generation,
                            struct rng *rng, struct log *again)
{
    if (rng_below(rng, 2))
        record_after_cut(script, log, generation, rng, again);
    else
        record_after_death(script, log,
                           log->start + 1 + (size_t)rng_below(rng, log->count - log->start), DIES,
                           generation, rng, again);
}

static void cut_recovery(const struct script *script, const struct log *log, struct rng *rng)
{
    struct log logs[RECOVERIES_IN_TURN];
    for (int i = 0; i < RECOVERIES_IN_TURN; i++) {
        record_recovery(script, i > 0 ? &logs[i - 1] : log, (uint64_t)i + 1, rng, &logs[i]);
        assert_nothing_found(script, &logs[i], rng_next(rng), STATES_A_RECOVERY);
    }
    for (int i = 0; i < RECOVERIES_IN_TURN; i++)
        log_free(&logs[i]);
}

static void cut_script(const struct script *script, struct rng *rng)
{
    struct log log;
    script_record(script, BLIND_TO_NOTHING, &log, NULL);
    assert_nothing_found(script, &log, rng_next(rng), script->states);
    for (int i = 0; i < RECOVERIES_A_SCRIPT && !script->large; i++)
        cut_recovery(script, &log, rng);
    log_free(&log);
}

static void test_power_when_cut_at_any_moment_then_nothing_acknowledged_is_lost(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (int round = 0; round < test_times(1); round++)
        for (const struct script *s = scripts; s->name; s++)
            cut_script(s, &rng);
    print_message("%llu states\n", (unsigned long long)states_judged);
}

/* Something is written, and its flush has begun: O_DSYNC is one, too. */
static bool is_in_flush(const struct log *log, size_t i)
{
    uint32_t kind = log->ops[i].kind;
    bool dsync = kind == OP_WRITE && i + 1 < log->count && log->ops[i + 1].kind == OP_SYNCED &&
                 log->ops[i + 1].len > 0;
    return dsync || kind == OP_SYNC || kind == OP_SYNC_NAMES;
}

static void cut_after_death(const struct script *script, const struct log *log, size_t moment,
                            enum end end, struct rng *rng)
{
    struct log again;
    record_after_death(script, log, moment, end, 2, rng, &again);
    assert_nothing_found(script, &again, rng_next(rng), STATES_A_DEATH);
    log_free(&again);
}

static void cut_after_deaths(const struct script *script, const struct log *log, struct rng *rng)
{
    for (size_t i = log->start; i < log->count; i++) {
        if (is_in_flush(log, i))
            cut_after_death(script, log, i + 1, DIES, rng);
        if (log->ops[i].kind == OP_SYNC)
            cut_after_death(script, log, i + 1, DIES_OF_FAILED_FLUSH, rng);
    }
}

/* Ops until the last acknowledgement before the store is closed. */
static size_t last_acknowledged(const struct log *log)
{
    size_t group = log->count - 1;
    while (log->ops[group].kind != MARK_GROUP)
        group--;
    while (log->ops[group].kind != MARK_ACK)
        group++;
    return group + 1;
}

/* What is written, and not flushed: another process finds it, goes on from there, and then the power is cut. */
static void test_power_when_cut_after_a_death_in_any_flush_then_nothing_acknowledged_is_lost(
    void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    const struct script *script = script_named("creation");
    struct log first, recovery;
    script_record(script, BLIND_TO_NOTHING, &first, NULL);
    cut_after_deaths(script, &first, &rng);
    record_after_death(script, &first, last_acknowledged(&first), DIES, 1, &rng, &recovery);
    cut_after_deaths(script, &recovery, &rng);
    log_free(&first);
    log_free(&recovery);
}

/* A library that leaves a flush out, and a run in which that loses something. */
static const struct omission {
    enum blindness blindness;
    const char *what, *script;
} omissions[] = {
    { BLIND_TO_JOURNAL_BATCHES, "a journal's batches", "appends" },
    { BLIND_TO_JOURNAL_HEADERS, "a journal's headers", "creation" },
    { BLIND_TO_LMDB_PAGES, "LMDB's pages", "commits" },
    { BLIND_TO_LMDB_META, "LMDB's meta pages", "commits" },
    { BLIND_TO_DIRECTORY_OF_JOURNAL, "the directory after a journal's file was made", "opens" },
    { BLIND_TO_DIRECTORY_OF_SEGMENT, "the directory after a segment was made", "commits" },
    { BLIND_TO_DIRECTORY_OF_CATALOG, "the directory after the catalog was made", "creation" },
    { BLIND_TO_DIRECTORY_ABOVE, "the directory above a new store", "appends" },
};

/* The newest of all that was recorded is what the files are in the end: no call was missed. Only the attach page is
 * written by another process, too. */
static void assert_same_files(const char *path, const char *rebuilt)
{
    char command[1100];
    snprintf(command, sizeof command, "diff -r -x attach '%s' '%s'", path, rebuilt);
    assert_int_equal(system(command), 0);
}

static void test_recorder_when_a_run_has_ended_then_its_log_makes_the_same_files(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (const struct script *s = scripts; s->name; s++) {
        struct log log = { 0 };
        struct disk *disk = disk_create();
        char path[512], rebuilt[512];
        script_record(s, BLIND_TO_NOTHING, &log, path);
        snprintf(rebuilt, sizeof rebuilt, "%s", temp_path());
        for (size_t i = 0; i < log.count; i++)
            disk_apply(disk, i, &log.ops[i]);
        disk_build(disk, disk_rule_of_all(), &rng, rebuilt);
        assert_same_files(path, rebuilt);
        disk_free(disk);
        log_free(&log);
    }
}

static void test_simulator_when_a_flush_is_left_out_then_it_reports_loss(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof omissions / sizeof omissions[0]; i++) {
        struct log log;
        const struct script *script = script_named(omissions[i].script);
        script_record(script, omissions[i].blindness, &log, NULL);
        struct findings f =
            explore(script, &log, test_seed(), OMISSION_STATES_MAX, UNTIL_A_FAILURE);
        print_message("without a flush of %s: %llu of %llu states; %s\n", omissions[i].what,
                      (unsigned long long)f.failures, (unsigned long long)f.states, f.why);
        assert_true(f.failures > 0);
        log_free(&log);
    }
}

static int again(char **arguments)
{
    struct log log;
    char why[VERDICT_BYTES], path[128];
    if (!log_load(&log, arguments[1])) {
        fprintf(stderr, "%s is no log\n", arguments[1]);
        return 2;
    }
    const struct script *script = script_named(log.script);
    snprintf(path, sizeof path, "%s.state", arguments[1]);
    remove_tree(path);
    bool ok = script && explore_one(script, &log, strtoull(arguments[2], NULL, 0),
                                    strtoull(arguments[3], NULL, 0),
                                    strtoull(arguments[4], NULL, 0), path, why);
    printf("%s\nwhat the judge left: %s\n", script ? why : "an unknown script", path);
    log_free(&log);
    return ok ? 0 : 1;
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorder_when_a_run_has_ended_then_its_log_makes_the_same_files),
        cmocka_unit_test(test_power_when_cut_at_any_moment_then_nothing_acknowledged_is_lost),
        cmocka_unit_test(
            test_power_when_cut_after_a_death_in_any_flush_then_nothing_acknowledged_is_lost),
        cmocka_unit_test(test_simulator_when_a_flush_is_left_out_then_it_reports_loss),
    };
    program = arguments[0];
    script_set_up();
    int failed = count == 5 ? again(arguments)
                            : cmocka_run_group_tests_name("power/power", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
