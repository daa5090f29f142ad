#include <serverlog.h>
#include <stdio.h>

svl_store *open_store(const char *path)
{
    svl_store_options options;
    svl_store *store;
    svl_store_options_init(&options, sizeof options);
    options.retain_bytes_max = UINT64_C(8) << 30;
    if (svl_store_open(path, &options, &store) != SVL_OK)
        fprintf(stderr, "%s\n", svl_last_error());
    return store;
}
