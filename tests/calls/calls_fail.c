/* Every call of the system that fails, one by one: for each script, each kind of call that it makes and each way in
 * which that kind can fail, the n-th call fails, once, or with all behind it; for every n, until the script runs
 * through without (with the argument "all", and one script's name if need be), or for some of them at random.
 *
 * After each: what the library said is one of the codes that the row allows, with words; nothing is acknowledged
 * behind a flush that has failed; no descriptor, mapping, allocation or ring is left behind; and opened again without
 * failures the store holds what it must (judge.c). Each case has a process of its own, and a time after which it is
 * taken for one that hangs.
 *
 * A case is run again with three arguments: script, row, n; without a time, so that a debugger can look at it. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fault.h"
#include "script.h"

#define CASES 220 /* of the fast suite */
#define PROCESSES_MAX 16
/* A case takes milliseconds; a machine may be busy. */
#define HANGS_S 60
/* Of the script's waits: what fails once is done again within a second, what lasts is waited for in vain. */
#define PATIENCE_MS 20000
#define PATIENCE_IN_VAIN_MS 100
/* The last thread of a pipeline that was closed in vain ends behind that. */
#define LEAVE_MS 10000
#define COUNTED_MALLOC CALLS

#define CODE(code) (UINT64_C(1) << -(SVL_E_##code))
/* The script must not notice. */
#define NOTHING UINT64_C(0)
#define INPUT_OUTPUT (CODE(IO) | CODE(FAILED))
#define FAILS_IN_VAIN (CODE(TIMEOUT) | CODE(FAILED))

static const struct row {
    const char *name;
    struct fault fault; /* .call may be COUNTED_MALLOC */
    uint64_t codes;     /* that the script may meet, besides SVL_OK */
} rows[] = {
    { "malloc", { .call = COUNTED_MALLOC }, CODE(NOMEM) | CODE(RESOURCE) | CODE(FAILED) },
    { "malloc+", { COUNTED_MALLOC, .lasts = true }, CODE(NOMEM) | CODE(RESOURCE) | FAILS_IN_VAIN },
    { "open-EMFILE", { CALL_OPEN, .error = EMFILE }, CODE(RESOURCE) },
    { "open-EMFILE+",
      { CALL_OPEN, .error = EMFILE, .lasts = true },
      CODE(RESOURCE) | CODE(TIMEOUT) },
    { "open-ENFILE", { CALL_OPEN, .error = ENFILE }, CODE(RESOURCE) },
    { "open-EIO", { CALL_OPEN, .error = EIO }, INPUT_OUTPUT },
    { "open-ENOSPC", { CALL_OPEN, .error = ENOSPC }, CODE(NO_SPACE) },
    { "open-ENOMEM", { CALL_OPEN, .error = ENOMEM }, CODE(NOMEM) },
    { "open-EINTR", { CALL_OPEN, .error = EINTR }, NOTHING },
    { "lmdb-open-EMFILE", { CALL_LMDB_OPEN, .error = EMFILE }, CODE(RESOURCE) },
    { "lmdb-open-EMFILE+",
      { CALL_LMDB_OPEN, .error = EMFILE, .lasts = true },
      CODE(RESOURCE) | CODE(TIMEOUT) },
    { "lmdb-open-EIO", { CALL_LMDB_OPEN, .error = EIO }, INPUT_OUTPUT },
    { "lmdb-open-ENOSPC", { CALL_LMDB_OPEN, .error = ENOSPC }, CODE(NO_SPACE) },
    { "close-EIO", { CALL_CLOSE, .error = EIO }, NOTHING },
    { "close-EINTR", { CALL_CLOSE, .error = EINTR }, NOTHING },
    { "read-EIO", { CALL_READ, .error = EIO }, INPUT_OUTPUT },
    { "read-1", { CALL_READ, .kind = FAULT_ONE_BYTE }, NOTHING },
    { "read-EINTR", { CALL_READ, .error = EINTR }, NOTHING },
    { "pread-EIO", { CALL_PREAD, .error = EIO }, INPUT_OUTPUT },
    { "pread-EINTR", { CALL_PREAD, .error = EINTR }, NOTHING },
    { "pread-1", { CALL_PREAD, .kind = FAULT_ONE_BYTE }, NOTHING },
    { "pread-half", { CALL_PREAD, .kind = FAULT_HALF }, NOTHING },
    { "lmdb-pread-EIO", { CALL_LMDB_PREAD, .error = EIO }, INPUT_OUTPUT },
    { "pwrite-EIO", { CALL_PWRITE, .error = EIO }, INPUT_OUTPUT },
    { "pwrite-EIO-half", { CALL_PWRITE, .kind = FAULT_HALF_FAILS, .error = EIO }, INPUT_OUTPUT },
    { "pwrite-ENOSPC", { CALL_PWRITE, .error = ENOSPC }, CODE(NO_SPACE) | CODE(FAILED) },
    { "pwrite-ENOSPC+",
      { CALL_PWRITE, .error = ENOSPC, .lasts = true },
      CODE(NO_SPACE) | FAILS_IN_VAIN },
    { "pwrite-EINTR", { CALL_PWRITE, .error = EINTR }, NOTHING },
    { "pwrite-1", { CALL_PWRITE, .kind = FAULT_ONE_BYTE }, INPUT_OUTPUT | CODE(NO_SPACE) },
    { "pwrite-half", { CALL_PWRITE, .kind = FAULT_HALF }, INPUT_OUTPUT | CODE(NO_SPACE) },
    { "writev-EIO", { CALL_WRITEV, .error = EIO }, INPUT_OUTPUT },
    { "writev-EIO-half", { CALL_WRITEV, .kind = FAULT_HALF_FAILS, .error = EIO }, INPUT_OUTPUT },
    { "writev-ENOSPC", { CALL_WRITEV, .error = ENOSPC }, CODE(NO_SPACE) | CODE(FAILED) },
    { "writev-EINTR", { CALL_WRITEV, .error = EINTR }, NOTHING },
    { "writev-1", { CALL_WRITEV, .kind = FAULT_ONE_BYTE }, INPUT_OUTPUT | CODE(NO_SPACE) },
    { "writev-half", { CALL_WRITEV, .kind = FAULT_HALF }, INPUT_OUTPUT | CODE(NO_SPACE) },
    { "pwritev-EIO", { CALL_PWRITEV, .error = EIO }, INPUT_OUTPUT },
    { "pwritev-EIO-half", { CALL_PWRITEV, .kind = FAULT_HALF_FAILS, .error = EIO }, INPUT_OUTPUT },
    { "pwritev-ENOSPC", { CALL_PWRITEV, .error = ENOSPC }, CODE(NO_SPACE) },
    { "pwritev-ENOSPC+",
      { CALL_PWRITEV, .error = ENOSPC, .lasts = true },
      CODE(NO_SPACE) | CODE(TIMEOUT) },
    { "pwritev-EDQUOT", { CALL_PWRITEV, .error = EDQUOT }, CODE(NO_SPACE) },
    { "pwritev-EINTR", { CALL_PWRITEV, .error = EINTR }, NOTHING },
    { "pwritev-1", { CALL_PWRITEV, .kind = FAULT_ONE_BYTE }, NOTHING },
    { "pwritev-half", { CALL_PWRITEV, .kind = FAULT_HALF }, NOTHING },
    { "fdatasync-EIO", { CALL_FDATASYNC, .error = EIO }, INPUT_OUTPUT },
    { "fdatasync-EIO+", { CALL_FDATASYNC, .error = EIO, .lasts = true }, INPUT_OUTPUT },
    { "fdatasync-ENOSPC", { CALL_FDATASYNC, .error = ENOSPC }, CODE(NO_SPACE) | INPUT_OUTPUT },
    { "fdatasync-EINTR", { CALL_FDATASYNC, .error = EINTR }, INPUT_OUTPUT },
    { "fsync-EIO", { CALL_FSYNC, .error = EIO }, INPUT_OUTPUT },
    { "fsync-ENOSPC", { CALL_FSYNC, .error = ENOSPC }, CODE(NO_SPACE) | CODE(FAILED) },
    { "ftruncate-EIO", { CALL_FTRUNCATE, .error = EIO }, INPUT_OUTPUT },
    { "ftruncate-ENOSPC", { CALL_FTRUNCATE, .error = ENOSPC }, CODE(NO_SPACE) },
    { "posix_fallocate-ENOSPC", { CALL_FALLOCATE, .error = ENOSPC }, CODE(NO_SPACE) },
    { "posix_fallocate-EIO", { CALL_FALLOCATE, .error = EIO }, INPUT_OUTPUT },
    { "posix_fallocate-EINTR", { CALL_FALLOCATE, .error = EINTR }, NOTHING },
    { "lseek-EIO", { CALL_SEEK, .error = EIO }, INPUT_OUTPUT },
    { "mmap-ENOMEM", { CALL_MMAP, .error = ENOMEM }, CODE(NOMEM) },
    { "mmap-ENOMEM+", { CALL_MMAP, .error = ENOMEM, .lasts = true }, CODE(NOMEM) | CODE(TIMEOUT) },
    { "mmap-ENODEV", { CALL_MMAP, .error = ENODEV }, INPUT_OUTPUT },
    { "madvise-ENOMEM", { CALL_MADVISE, .error = ENOMEM }, CODE(NOMEM) },
    { "mkdir-EIO", { CALL_MKDIR, .error = EIO }, INPUT_OUTPUT },
    { "mkdir-ENOSPC", { CALL_MKDIR, .error = ENOSPC }, CODE(NO_SPACE) },
    { "mkdir-EACCES", { CALL_MKDIR, .error = EACCES }, CODE(ACCESS) },
    { "rename-EIO", { CALL_RENAME, .error = EIO }, INPUT_OUTPUT },
    { "rename-ENOSPC", { CALL_RENAME, .error = ENOSPC }, CODE(NO_SPACE) },
    { "unlink-EIO", { CALL_UNLINK, .error = EIO }, INPUT_OUTPUT },
    { "unlink-EPERM", { CALL_UNLINK, .error = EPERM }, CODE(ACCESS) },
    { "fdopendir-ENOMEM", { CALL_LIST, .error = ENOMEM }, CODE(NOMEM) },
    { "readdir-EIO", { CALL_READ_LIST, .error = EIO }, INPUT_OUTPUT },
    { "stat-EIO", { CALL_STAT, .error = EIO }, INPUT_OUTPUT },
    { "statfs-EIO", { CALL_STAT_FS, .error = EIO }, INPUT_OUTPUT },
    { "access-EIO", { CALL_ACCESS, .error = EIO }, INPUT_OUTPUT },
    { "chmod-EIO", { CALL_CHMOD, .error = EIO }, INPUT_OUTPUT },
    { "chmod-EPERM", { CALL_CHMOD, .error = EPERM }, CODE(ACCESS) | CODE(FAILED) },
    { "chown-EPERM", { CALL_CHOWN, .error = EPERM }, CODE(ACCESS) },
    { "lock-ENOLCK", { CALL_LOCK, .error = ENOLCK }, CODE(RESOURCE) },
    { "lmdb-lock-ENOLCK", { CALL_LMDB_LOCK, .error = ENOLCK }, CODE(RESOURCE) | INPUT_OUTPUT },
    { "fcntl-EMFILE", { CALL_FCNTL, .error = EMFILE }, CODE(RESOURCE) },
    { "futimens-EIO", { CALL_SET_TIMES, .error = EIO }, INPUT_OUTPUT },
    { "getrandom-EINTR", { CALL_GETRANDOM, .error = EINTR }, NOTHING },
    { "getrandom-1", { CALL_GETRANDOM, .kind = FAULT_ONE_BYTE }, NOTHING },
    { "getrandom-ENOSYS", { CALL_GETRANDOM, .error = ENOSYS }, INPUT_OUTPUT },
    { "futex-EINTR", { CALL_FUTEX_WAIT, .error = EINTR }, NOTHING },
    { "eventfd-EMFILE", { CALL_EVENTFD, .error = EMFILE }, CODE(RESOURCE) },
    { "epoll_create-EMFILE", { CALL_EPOLL, .error = EMFILE }, CODE(RESOURCE) },
    { "epoll_ctl-ENOMEM", { CALL_EPOLL_ADD, .error = ENOMEM }, CODE(NOMEM) },
    { "epoll_ctl-ENOSPC", { CALL_EPOLL_ADD, .error = ENOSPC }, CODE(NO_SPACE) },
    { "timerfd_create-EMFILE", { CALL_TIMERFD, .error = EMFILE }, CODE(RESOURCE) },
    { "inotify_init-EMFILE", { CALL_INOTIFY, .error = EMFILE }, CODE(RESOURCE) },
    { "inotify_add_watch-ENOSPC", { CALL_INOTIFY_ADD, .error = ENOSPC }, CODE(NO_SPACE) },
    { "poll-EINTR", { CALL_POLL, .error = EINTR }, NOTHING },
    { "pthread_create-EAGAIN", { CALL_THREAD, .error = EAGAIN }, CODE(RESOURCE) },
    { "pthread_create-EAGAIN+",
      { CALL_THREAD, .error = EAGAIN, .lasts = true },
      CODE(RESOURCE) | CODE(TIMEOUT) },
};
#define ROWS (sizeof rows / sizeof rows[0])

/* What a case has found, written by its process. */
struct result {
    uint64_t counts[CALLS + 1];
    bool struck;
    bool ended;
    int rc;
    char call[64];
    char words[WORDS_BYTES];
    char wrong[WORDS_BYTES];
};

struct one_case {
    const struct script *script;
    const struct row *row; /* NULL: nothing fails */
    uint64_t n;
};

/* --- one case, in its process --- */

static void arm(const struct row *row, uint64_t n)
{
    bool is_malloc = row && row->fault.call == COUNTED_MALLOC;
    fault_arm(is_malloc || !row ? NULL : &row->fault, n);
    fail_malloc_after(is_malloc ? n : 0, row && !row->fault.lasts);
}

static void disarm(struct result *result, const struct one_case *c)
{
    result->counts[COUNTED_MALLOC] = fail_malloc_count();
    fail_malloc_after(0, false);
    fault_disarm();
    for (size_t i = 0; i < CALLS; i++)
        result->counts[i] = fault_count((enum call)i);
    result->struck = c->row && result->counts[c->row->fault.call] >= c->n;
}

static unsigned count_descriptors(void)
{
    unsigned n = 0;
    DIR *listing = opendir("/proc/self/fd");
    assert_non_null(listing);
    while (readdir(listing))
        n++;
    closedir(listing);
    return n;
}

/* Mappings of the store's files and of rings. */
static unsigned count_mappings(const struct run *run)
{
    char line[1024];
    unsigned n = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps))
        n += strstr(line, run->path) || strstr(line, ring_directory);
    fclose(maps);
    return n;
}

static void look_for_leaks(struct run *run, unsigned descriptors, int64_t allocations)
{
    for (int i = 0; i < LEAVE_MS && (live_allocations() != allocations ||
                                     count_descriptors() != descriptors || count_mappings(run) > 0);
         i++)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    if (count_descriptors() != descriptors)
        run_wrong(run, "%d descriptors are left", (int)count_descriptors() - (int)descriptors);
    if (count_mappings(run) > 0)
        run_wrong(run, "%u mappings are left", count_mappings(run));
    if (live_allocations() != allocations)
        run_wrong(run, "%lld allocations are left", (long long)(live_allocations() - allocations));
}

static bool is_flush(const struct row *row)
{
    return row && (row->fault.call == CALL_FDATASYNC || row->fault.call == CALL_FSYNC);
}

static void check_code(struct run *run, const struct one_case *c, const struct result *result)
{
    uint64_t allowed = c->row && result->struck ? c->row->codes : NOTHING;
    if (c->row && c->row->fault.lasts)
        allowed |= CODE(TIMEOUT); /* of the short waits */
    if (run->rc != SVL_OK && !(allowed & UINT64_C(1) << -run->rc))
        run_wrong(run, "%s gave %d: %s", run->call, run->rc, run->words);
    if (result->struck && is_flush(c->row) && c->row->fault.error != ENOSPC && run->rc == SVL_OK &&
        !script_told)
        run_wrong(run, "a flush has failed, and nobody was told");
}

static void use(const struct one_case *c, struct result *result)
{
    struct run run = { .other = -1,
                       .answers = -1,
                       .patience_ms =
                           c->row && c->row->fault.lasts ? PATIENCE_IN_VAIN_MS : PATIENCE_MS,
                       .flush_fails = is_flush(c->row) && c->row->fault.error != ENOSPC };
    snprintf(run.path, sizeof run.path, "%s-%d", temp_path(), (int)getpid());
    snprintf(ring_directory + strlen(ring_directory),
             sizeof ring_directory - strlen(ring_directory), "/%d", (int)getpid());
    assert_int_equal(mkdir(ring_directory, 0700), 0);
    if (c->script->prepare)
        c->script->prepare(&run);
    unsigned descriptors = count_descriptors();
    int64_t allocations = live_allocations();
    script_told = false;
    arm(c->row, c->n);
    c->script->run(&run);
    disarm(result, c);
    look_for_leaks(&run, descriptors, allocations);
    if (c->script->end)
        c->script->end(&run);
    check_code(&run, c, result);
    judge(c->script, &run);
    remove_tree(run.path);
    remove_tree(ring_directory);
    result->rc = run.rc;
    snprintf(result->call, sizeof result->call, "%s", run.call ? run.call : "");
    memcpy(result->words, run.words, sizeof result->words);
    memcpy(result->wrong, run.wrong, sizeof result->wrong);
    result->ended = true;
}

/* --- many of them --- */

static const char *program;
static char all_rings[64];
static unsigned failures;
static uint64_t cases_run;
static bool every_n;
static const char *only; /* NULL, or the script to sweep */

static struct process {
    pid_t pid; /* 0: none */
    struct one_case which;
    struct result *result; /* shared */
} processes[PROCESSES_MAX];
static int process_count, running;

static void begin_processes(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    process_count = n < 1 ? 1 : n > PROCESSES_MAX ? PROCESSES_MAX : (int)n;
    struct result *results = mmap(NULL, PROCESSES_MAX * sizeof *results, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(results != MAP_FAILED);
    for (int i = 0; i < process_count; i++)
        processes[i].result = &results[i];
}

static void report(const struct process *p, int status)
{
    const struct one_case *c = &p->which;
    const char *row = c->row ? c->row->name : "none";
    failures++;
    if (WIFSIGNALED(status))
        print_error("%s %s %llu: %s\n", c->script->name, row, (unsigned long long)c->n,
                    WTERMSIG(status) == SIGALRM ? "it hangs" : strsignal(WTERMSIG(status)));
    else
        print_error("%s %s %llu: %s\n", c->script->name, row, (unsigned long long)c->n,
                    p->result->ended ? p->result->wrong : "an assertion of the test's own");
    if (p->result->rc != SVL_OK)
        print_error("    %.60s gave %d: %s\n", p->result->call, p->result->rc, p->result->words);
    print_error("    again: %s %s %s %llu\n", program, c->script->name, row,
                (unsigned long long)c->n);
}

/* Waits for one to end. */
static struct process *end_one(void)
{
    int status;
    for (;;) {
        pid_t pid = wait(&status);
        assert_true(pid > 0);
        for (int i = 0; i < process_count; i++) {
            struct process *p = &processes[i];
            if (p->pid != pid)
                continue;
            p->pid = 0;
            running--;
            cases_run++;
            if (status != 0 || !p->result->ended || p->result->wrong[0])
                report(p, status);
            return p;
        }
    }
}

/* In a process of its own; there is one free. */
static struct process *begin_one(const struct one_case *c)
{
    struct process *p = processes;
    while (p->pid != 0)
        p++;
    p->which = *c;
    memset(p->result, 0, sizeof *p->result);
    fflush(NULL);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(HANGS_S);
        use(c, p->result);
        _exit(0);
    }
    running++;
    return p;
}

/* Nothing fails: how often each kind of call is made. */
static void count_calls(const struct script *script, uint64_t counts[CALLS + 1])
{
    struct one_case c = { .script = script };
    begin_one(&c);
    struct process *p = end_one();
    memcpy(counts, p->result->counts, sizeof p->result->counts);
    assert_true(failures == 0);
}

static void *wait_a_moment(void *unused)
{
    nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
    return unused;
}

/* The C library keeps some ended threads' memory: as much as it ever keeps, before anything is counted. */
static void fill_thread_cache(void)
{
    pthread_t threads[16];
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_a_moment, NULL), 0);
    for (size_t i = 0; i < 16; i++)
        pthread_join(threads[i], NULL);
}

static void end_all(void)
{
    while (running > 0)
        end_one();
}

/* Every n, until one is behind the last call. */
static void sweep_row(const struct script *script, const struct row *row)
{
    bool behind = false;
    for (uint64_t n = 1; !behind; n++) {
        struct one_case c = { script, row, n };
        begin_one(&c);
        if (running == process_count)
            behind = !end_one()->result->struck;
    }
    end_all();
}

static size_t script_count(void)
{
    size_t n = 0;
    while (scripts[n].name)
        n++;
    return n;
}

static void sweep_all(uint64_t (*counts)[CALLS + 1])
{
    for (size_t s = 0; scripts[s].name; s++)
        for (size_t r = 0; r < ROWS && (!only || strcmp(only, scripts[s].name) == 0); r++)
            if (counts[s][rows[r].fault.call] > 0)
                sweep_row(&scripts[s], &rows[r]);
}

/* Each way of failing as often as another, whatever number of calls there is. */
static void sweep_some(uint64_t (*counts)[CALLS + 1], int n)
{
    struct rng rng = { test_seed() };
    while (n > 0) {
        size_t s = rng_below(&rng, script_count()), r = rng_below(&rng, ROWS);
        uint64_t calls = counts[s][rows[r].fault.call];
        if (calls == 0)
            continue;
        struct one_case c = { &scripts[s], &rows[r], 1 + rng_below(&rng, calls) };
        if (running == process_count)
            end_one();
        begin_one(&c);
        n--;
    }
    end_all();
}

static void test_script_when_a_call_fails_then_says_so_and_loses_nothing(void **state)
{
    (void)state;
    static uint64_t counts[64][CALLS + 1];
    assert_true(script_count() <= 64);
    for (size_t s = 0; scripts[s].name; s++)
        count_calls(&scripts[s], counts[s]);
    if (every_n)
        sweep_all(counts);
    else
        sweep_some(counts, test_times(CASES));
    print_message("%llu cases\n", (unsigned long long)cases_run);
    assert_int_equal(failures, 0);
}

/* A kind of call that no script makes, or that has no row, is one that nobody has seen fail. */
static void test_table_when_all_scripts_have_run_then_every_kind_of_call_was_made(void **state)
{
    (void)state;
    uint64_t sums[CALLS + 1] = { 0 }, counts[CALLS + 1];
    unsigned missing = 0;
    for (size_t s = 0; scripts[s].name; s++) {
        count_calls(&scripts[s], counts);
        for (size_t i = 0; i <= CALLS; i++)
            sums[i] += counts[i];
    }
    sums[CALL_CHOWN] += geteuid() != 0;
    for (size_t i = 0; i < CALLS; i++) {
        size_t r = 0;
        while (r < ROWS && rows[r].fault.call != (enum call)i)
            r++;
        if (r == ROWS || sums[i] == 0)
            print_error("%s: %llu calls, %s\n", call_names[i], (unsigned long long)sums[i],
                        r == ROWS ? "no row" : "rows");
        missing += r == ROWS || sums[i] == 0;
    }
    assert_int_equal(missing, 0);
}

static int again(char **arguments)
{
    struct one_case c = { .n = strtoull(arguments[3], NULL, 0) };
    for (const struct script *s = scripts; s->name; s++)
        if (strcmp(s->name, arguments[1]) == 0)
            c.script = s;
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(rows[i].name, arguments[2]) == 0)
            c.row = &rows[i];
    if (!c.script) {
        fprintf(stderr, "no script %s\n", arguments[1]);
        return 2;
    }
    struct result *result = calloc(1, sizeof *result);
    printf("%s %s %s\n", arguments[1], arguments[2], arguments[3]); /* stdout's memory is no leak */
    use(&c, result);
    printf("%s; %s gave %d: %s\n%s\n", result->struck ? "it struck" : "it did not strike",
           result->call, result->rc, result->words,
           result->wrong[0] ? result->wrong : "nothing is wrong");
    return result->wrong[0] != 0;
}

static void set_up(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    snprintf(all_rings, sizeof all_rings, "%s-rings", temp_path());
    if (mkdir(all_rings, 0700) != 0) {
        perror(all_rings);
        exit(1);
    }
    snprintf(ring_directory, sizeof ring_directory, "%s", all_rings);
    fill_thread_cache();
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_when_all_scripts_have_run_then_every_kind_of_call_was_made),
        cmocka_unit_test(test_script_when_a_call_fails_then_says_so_and_loses_nothing),
    };
    program = arguments[0];
    every_n = count > 1 && strcmp(arguments[1], "all") == 0;
    only = count == 3 ? arguments[2] : NULL;
    set_up();
    int failed = 0;
    if (count == 4) {
        failed = again(arguments);
    } else {
        begin_processes();
        failed = cmocka_run_group_tests_name("calls/calls_fail", tests, NULL, NULL);
    }
    temp_remove_all();
    return failed;
}
