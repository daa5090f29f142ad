#include <serverlog.h>

/* Answers each record with another one, stored exactly once. */
int answer(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    (void)user;
    int rc = svl_batch_records(batch, &records, &n);
    for (size_t i = 0; rc == SVL_OK && i < n; i++) {
        svl_record reply = { .source = { "answers", 7 }, .key = records[i].key };
        rc = svl_batch_emit(batch, i, &reply);
    }
    return rc;
}
