#include <poll.h>
#include <serverlog.h>
#include <stddef.h>

/* A loop of one thread, the library's work in it; `handle` is for the host's own descriptor. */
int run(svl_pipeline *log, int own_fd, int (*handle)(int fd))
{
    struct pollfd fds[2] = { { .events = POLLIN }, { .fd = own_fd, .events = POLLIN } };
    int rc = svl_pump_fd(log, &fds[0].fd); /* opened with SVL_THREADLESS */
    while (rc == SVL_OK) {
        if (poll(fds, 2, -1) < 0)
            continue; /* a signal */
        if (fds[0].revents)
            rc = svl_pump(log, 0, 0, NULL);
        if (rc == SVL_E_TIMEOUT)
            rc = SVL_OK;
        if (rc == SVL_OK && fds[1].revents)
            rc = handle(own_fd);
    }
    return rc;
}
