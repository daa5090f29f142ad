#include <serverlog.h>
#include <stdio.h>

static int on_order(const svl_record *record, void *user)
{
    (void)user;
    return printf("%.*s\n", (int)record->body.len, (const char *)record->body.data) < 0;
}

/* A bus with a thread of its own: on_order() is called there. */
int main(void)
{
    svl_bus *bus;
    svl_bus_options options;
    svl_record order = { .source = { "shop.orders", 11 }, .body = { "order 17 taken", 14 } };
    svl_bus_options_init(&options, sizeof options);
    options.flags = SVL_BUS_THREAD;
    if (svl_bus_create(&options, &bus) != SVL_OK) {
        fprintf(stderr, "%s\n", svl_last_error());
        return 1;
    }
    int rc = svl_bus_subscribe(bus, NULL, on_order, NULL, NULL);
    if (rc == SVL_OK)
        rc = svl_bus_publish(bus, &order);
    if (rc != SVL_OK)
        fprintf(stderr, "%s\n", svl_last_error());
    return svl_bus_destroy(bus) != SVL_OK; /* on_order() has been called when this returns */
}
