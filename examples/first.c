/* first.c - the smallest whole program: publish, be alerted, close.
 *
 *     first [DIRECTORY]
 *
 * Opens a store (default: first.store), prints an ALERT for each record of severity ERROR or above, once
 * it is durable, and publishes three records. Run it twice: what was alerted once is not alerted again. */
#include <serverlog.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int alert(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    (void)user;
    int rc = svl_batch_records(batch, &records, &n);
    for (size_t i = 0; rc == SVL_OK && i < n; i++)
        printf("ALERT %.*s: %.*s\n", (int)records[i].source.len,
               (const char *)records[i].source.data, (int)records[i].body.len,
               (const char *)records[i].body.data);
    return rc;
}

static int run(svl_pipeline *log)
{
    svl_stored_options on;
    int rc = svl_stored_options_init(&on, sizeof on);
    on.name = "alert";
    on.filter.severity_min = SVL_SEVERITY_ERROR;
    if (rc == SVL_OK)
        rc = svl_on_stored(log, &on, alert, NULL, NULL);
    if (rc == SVL_OK)
        rc = svl_start(log);
    if (rc == SVL_OK)
        rc = svl_publish_text(log, SVL_SEVERITY_INFO, "shop.orders", "order 17 taken");
    if (rc == SVL_OK)
        rc = svl_publish_text(log, SVL_SEVERITY_ERROR, "shop.orders", "payment refused");
    if (rc == SVL_OK)
        rc = svl_publish_text(log, SVL_SEVERITY_INFO, "shop.orders", "order 17 cancelled");
    return rc;
}

int main(int argc, char **argv)
{
    svl_pipeline *log;
    bool help = argc > 1 && strcmp(argv[1], "--help") == 0;
    if (argc > 2 || help) {
        fputs("usage: first [DIRECTORY]\n", help ? stdout : stderr);
        return help ? 0 : 2;
    }
    int rc = svl_open(argc > 1 ? argv[1] : "first.store", NULL, &log);
    if (rc == SVL_OK) {
        rc = run(log);
        if (rc != SVL_OK)
            fprintf(stderr, "%s\n", svl_last_error());
        int closed = svl_close(log); /* the alert has been called when this returns */
        rc = rc != SVL_OK ? rc : closed;
    }
    if (rc != SVL_OK) {
        fprintf(stderr, "%s\n", svl_last_error());
        return 1;
    }
    return 0;
}
