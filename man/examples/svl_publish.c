#include <serverlog.h>
#include <stdio.h>
#include <string.h>

/* Publishes an order, and returns its id when it is safe against power loss. */
uint64_t publish_order(svl_pipeline *log, const char *customer, int64_t cents)
{
    svl_attribute amount = { .name = { "order.cents", 11 },
                             .kind = SVL_ATTRIBUTE_I64,
                             .i64 = cents };
    svl_record record = { .severity = SVL_SEVERITY_INFO,
                          .source = { "shop.orders", 11 },
                          .type = { "order.taken", 11 },
                          .key = { customer, strlen(customer) },
                          .attributes = &amount,
                          .attribute_count = 1 };
    uint64_t id;
    if (svl_publish_sync(log, &record, 5000, &id) != SVL_OK) {
        fprintf(stderr, "%s\n", svl_last_error());
        return 0;
    }
    return id;
}
