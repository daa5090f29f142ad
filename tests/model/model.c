/* Everything at once, against a model: threads that publish in every way, handlers that fail at random, queries of
 * every kind, followers, retention, a pipeline that is closed and opened again, readers in other processes. Every
 * answer is held against what the promises of the manual make of what was published: what was told to be durable is
 * there, nothing twice, nothing else, in order, each as it was.
 *
 * SVL_TEST_SECONDS is how long it runs (8); SVL_TEST_SEED=... repeats the season that failed, as far as threads do. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"
#include "ledger.h"
#include "season.h"
#include "support/support.h"

#define READERS 2
#define PROCESSES (1 + READERS)
#define SECONDS 8
#define SEASON_S 30
#define FAULT_S 20      /* at most: it ends as soon as it is found */
#define FAULT_SEASONS 4 /* two records may change places where nobody can tell */
#define OVERTIME_S 600  /* for what is left at a season's end, on a busy machine */

static char path[512];

static void be_process(unsigned process, int64_t ends_ns, enum fault fault)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm((unsigned)((ends_ns - monotonic_ns()) / 1000000000) + OVERTIME_S);
    if (process == 0) {
        fault_arm(fault, fault == FAULT_EFFECT ? 3 : 10);
        write_season(path, ends_ns);
    } else {
        read_season(path, process - 1);
    }
    _exit(has_failed() ? WRONG : 0);
}

/* Whether nothing was wrong in it. */
static bool live_through_season(uint64_t seed, int64_t ends_ns, enum fault fault)
{
    pid_t children[PROCESSES];
    bool sound = true;
    assert_int_equal(madvise(ledger, sizeof *ledger, MADV_REMOVE), 0); /* all zero again */
    ledger->seed = seed;
    snprintf(path, sizeof path, "%s", temp_path());
    fflush(NULL);
    for (unsigned i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0)
            be_process(i, ends_ns, fault);
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        if (WIFSIGNALED(status))
            print_error("%s ended by signal %d\n", i == 0 ? "writer" : "reader", WTERMSIG(status));
        sound &= WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (!sound)
            atomic_store(&ledger->failed, true);
    }
    remove_tree(path);
    return sound;
}

static int64_t seconds_given(void)
{
    const char *given = getenv("SVL_TEST_SECONDS");
    long seconds = given ? atol(given) : 0;
    return seconds > 0 ? seconds : test_times(SECONDS);
}

static void test_store_when_used_by_all_at_once_then_is_as_the_model(void **state)
{
    (void)state;
    struct rng seeds = { test_seed() };
    uint64_t seed = seeds.state, records = 0, checks = 0, lives = 0, retired = 0, letters = 0;
    unsigned seasons = 0;
    int64_t now_ns, ends_ns = monotonic_ns() + seconds_given() * 1000000000;
    while ((now_ns = monotonic_ns()) < ends_ns) {
        int64_t season_ends_ns = now_ns + SEASON_S * INT64_C(1000000000);
        if (season_ends_ns > ends_ns)
            season_ends_ns = ends_ns;
        assert_true(live_through_season(seed, season_ends_ns, FAULT_NONE));
        records += atomic_load(&ledger->known);
        checks += atomic_load(&ledger->checks);
        lives += atomic_load(&ledger->lives);
        retired += atomic_load(&ledger->retired);
        letters += atomic_load(&ledger->letters);
        seasons++;
        seed = rng_next(&seeds) | 1;
    }
    print_message("%u seasons, %llu lives, %llu records, %llu retired, %llu dead letters, %llu "
                  "answers checked\n",
                  seasons, (unsigned long long)lives, (unsigned long long)records,
                  (unsigned long long)retired, (unsigned long long)letters,
                  (unsigned long long)checks);
    assert_true(records > 0 && checks > 0);
}

/* The first words of what the season's processes say. */
static bool live_through_fault(enum fault fault, uint64_t seed, char found[256])
{
    int shown = dup(STDERR_FILENO), file = memfd_create("found", MFD_CLOEXEC);
    assert_true(shown >= 0 && file >= 0);
    dup2(file, STDERR_FILENO);
    int64_t ends_ns = monotonic_ns() + FAULT_S * INT64_C(1000000000);
    bool sound = live_through_season(seed, ends_ns, fault);
    dup2(shown, STDERR_FILENO);
    close(shown);
    ssize_t n = pread(file, found, 255, 0);
    found[n > 0 ? n : 0] = 0;
    found[strcspn(found, "\n")] = 0;
    close(file);
    return sound;
}

static void test_model_when_the_library_does_wrong_once_then_it_is_found(void **state)
{
    (void)state;
    /* Whose checks see a wrong answer. What is wrong in the store, several may come upon. */
    static const char *const finders[FAULTS] = { [FAULT_HIDE] = "asker: ",
                                                 [FAULT_REPEAT] = "asker: ",
                                                 [FAULT_ALTER] = "asker: ",
                                                 [FAULT_SKIP] = "follower: " };
    uint64_t seed = test_seed();
    for (int fault = FAULT_LOSE; fault < FAULTS; fault++) {
        char found[256];
        bool sound = true;
        for (uint64_t season = 0; sound && season < FAULT_SEASONS; season++)
            sound = live_through_fault((enum fault)fault, seed + season, found);
        print_message("fault %d: %s\n", fault, found);
        assert_false(sound);
        assert_string_not_equal(found, "");
        if (finders[fault])
            assert_memory_equal(found, finders[fault], strlen(finders[fault]));
    }
}

int main(void)
{
    ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ledger == MAP_FAILED)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store_when_used_by_all_at_once_then_is_as_the_model),
        cmocka_unit_test(test_model_when_the_library_does_wrong_once_then_it_is_found),
    };
    int failed = cmocka_run_group_tests_name("model/model", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
