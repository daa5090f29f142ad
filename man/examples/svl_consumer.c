#include <serverlog.h>
#include <stdio.h>

/* Prints what comes, until the pipeline stops. */
int print_all(svl_pipeline *log)
{
    svl_stored_options on;
    svl_consumer *consumer;
    svl_batch *batch;
    int rc = svl_stored_options_init(&on, sizeof on);
    on.name = "print";
    if (rc == SVL_OK)
        rc = svl_consumer_open(log, &on, &consumer);
    if (rc != SVL_OK)
        return rc;
    while ((rc = svl_consumer_poll(consumer, -1, &batch)) == SVL_OK) {
        const svl_record *records;
        size_t n;
        svl_batch_records(batch, &records, &n);
        for (size_t i = 0; i < n; i++)
            printf("record %llu\n", (unsigned long long)records[i].id);
        svl_batch_ack(batch); /* late: the records come again */
    }
    svl_consumer_close(consumer);
    return rc == SVL_E_CLOSED ? SVL_OK : rc;
}
