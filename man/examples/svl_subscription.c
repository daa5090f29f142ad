#include <serverlog.h>
#include <stdio.h>

/* Shows how far a subscription is, and lets a paused one go on. */
int look(svl_subscription *subscription)
{
    svl_subscription_info info = { .struct_size = sizeof info };
    int rc = svl_subscription_info_get(subscription, &info);
    if (rc != SVL_OK)
        return rc;
    printf("%llu behind, %llu failures\n", (unsigned long long)info.backlog,
           (unsigned long long)info.failures);
    return info.paused ? svl_subscription_resume(subscription) : SVL_OK;
}
