#include <serverlog.h>
#include <stdio.h>

/* A process beside the one that has app.log open. */
int main(void)
{
    svl_publisher *log;
    svl_record record = { .severity = SVL_SEVERITY_INFO,
                          .source = { "backup", 6 },
                          .body = { "started", 7 } };
    if (svl_attach("app.log", NULL, &log) != SVL_OK) {
        fprintf(stderr, "%s\n", svl_last_error());
        return 1;
    }
    int rc = svl_publisher_publish(log, &record);
    if (rc != SVL_OK)
        fprintf(stderr, "%s\n", svl_strerror(rc));
    svl_publisher_close(log); /* the record is stored, now or when app.log is opened again */
    return rc != SVL_OK;
}
