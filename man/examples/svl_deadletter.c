#include <serverlog.h>
#include <stdio.h>

/* Shows the bodies of what "alert" could not do, and delivers it again. */
int again(svl_pipeline *log)
{
    svl_cursor *cursor;
    const svl_record *letter;
    int rc = svl_deadletter_list(log, "alert", 0, 0, &cursor);
    if (rc != SVL_OK)
        return rc;
    while ((rc = svl_cursor_next(cursor, 0, &letter)) == SVL_OK) {
        svl_record_buffer *buffer;
        if (svl_deadletter_original(letter, &buffer) != SVL_OK)
            continue;
        svl_slice body = svl_record_buffer_record(buffer)->body;
        const char *text = body.data;
        printf("%.*s\n", (int)body.len, text);
        svl_record_buffer_destroy(buffer);
    }
    svl_cursor_close(cursor);
    return rc == SVL_E_END ? svl_deadletter_redrive(log, "alert", 0, 0) : rc;
}
