#include <serverlog.h>
#include <stdio.h>

static int on_error(const svl_record *record, void *user)
{
    unsigned *errors = user;
    (void)record;
    ++*errors;
    return SVL_OK;
}

/* Counts errors on the thread that calls this, until another one calls svl_bus_stop(). */
int count_errors(svl_bus *bus, unsigned *errors)
{
    svl_bus_subscription_options options;
    int rc = svl_bus_subscription_options_init(&options, sizeof options);
    options.filter.severity_min = SVL_SEVERITY_ERROR;
    if (rc == SVL_OK)
        rc = svl_bus_subscribe(bus, &options, on_error, errors, NULL);
    while (rc == SVL_OK)
        rc = svl_bus_pump(bus, 0, -1, NULL);
    return rc == SVL_E_CLOSED ? SVL_OK : rc;
}
