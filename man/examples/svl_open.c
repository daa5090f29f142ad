#include <serverlog.h>
#include <stdio.h>

int main(void)
{
    svl_pipeline *log;
    svl_options options;
    svl_options_init(&options, sizeof options);
    options.full_policy = SVL_FULL_FAIL; /* never wait in svl_publish() */
    if (svl_open("app.log", &options, &log) != SVL_OK || svl_start(log) != SVL_OK) {
        fprintf(stderr, "%s\n", svl_last_error());
        return 1;
    }
    svl_publish_text(log, SVL_SEVERITY_INFO, "app", "started");
    if (svl_close(log) != SVL_OK) {
        fprintf(stderr, "%s\n", svl_last_error());
        return 1;
    }
    return 0;
}
