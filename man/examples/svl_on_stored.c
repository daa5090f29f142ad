#include <serverlog.h>
#include <stdio.h>

static int alert(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    int rc = svl_batch_records(batch, &records, &n);
    for (size_t i = 0; rc == SVL_OK && i < n; i++)
        if (fprintf(user, "record %llu\n", (unsigned long long)records[i].id) < 0)
            rc = svl_batch_fail(batch, i, "the alarm file cannot be written");
    return rc;
}

int add_alert(svl_pipeline *log, FILE *alarms)
{
    svl_stored_options on;
    int rc = svl_stored_options_init(&on, sizeof on);
    on.name = "alert";
    on.filter.severity_min = SVL_SEVERITY_ERROR;
    return rc == SVL_OK ? svl_on_stored(log, &on, alert, alarms, NULL) : rc;
}
