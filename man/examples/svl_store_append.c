#include <serverlog.h>

/* Both records are there after a crash, or none of them. */
int append_pair(svl_store *store, const svl_record pair[2])
{
    uint64_t first_id;
    return svl_store_append(store, pair, 2, &first_id);
}
