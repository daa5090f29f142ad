#include <serverlog.h>
#include <stdio.h>

static void damage(int32_t code, const char *what, void *user)
{
    fprintf(user, "%s: %s\n", svl_strerror(code), what);
}

int check(svl_store *store)
{
    return svl_store_verify(store, damage, NULL, stderr);
}
