/* coverage.c - for builds that count coverage: a child that ends by _exit() or kills itself has its counts written first.
 * Those of one that another process kills are lost. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

void __gcov_dump(void);

void _exit(int status)
{
    /* A test may have limited the size of files: then its counts are lost, and nothing else. */
    signal(SIGXFSZ, SIG_IGN);
    __gcov_dump();
    for (;;)
        syscall(SYS_exit_group, status);
}

int kill(pid_t process, int number)
{
    if (process == getpid() && number == SIGKILL)
        __gcov_dump();
    return (int)syscall(SYS_kill, process, number);
}
