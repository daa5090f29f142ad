/* reader.c - another process, which reads along: the same questions, of a store that is written, closed and opened
 * meanwhile. It never publishes, and is never told anything but by the ledger. */
#include "ask.h"
#include "season.h"

static svl_store *open_store(const char *path)
{
    svl_store_options o;
    svl_store *store = NULL;
    must(svl_store_options_init(&o, sizeof o), "reader", "svl_store_options_init");
    o.flags = SVL_STORE_READ_ONLY;
    while (!has_failed()) {
        int rc = svl_store_open(path, &o, &store);
        if (rc == SVL_OK)
            break;
        if (atomic_load(&ledger->known) > 0)
            must(rc, "reader", "svl_store_open");
        sleep_us(1000); /* the writer is still at making it */
    }
    return store;
}

static void follow_a_while(struct asker *a)
{
    struct following f;
    uint64_t turns = 1 + rng_below(&a->rng, 20);
    follow_begin(a, &f);
    for (uint64_t i = 0; i < turns && !has_failed(); i++)
        follow_take(a, &f, 10, 1000);
    follow_end(a, &f, rng_below(&a->rng, 2) == 0 && !has_failed());
}

static void read_a_while(struct asker *a)
{
    uint64_t turns = 1 + rng_below(&a->rng, 40);
    for (uint64_t i = 0; i < turns && !has_failed() && !atomic_load(&ledger->ends); i++) {
        switch (rng_below(&a->rng, 8)) {
        case 0:
            follow_a_while(a);
            break;
        case 1:
            ask_get(a);
            break;
        case 2:
            if (rng_below(&a->rng, 16) == 0)
                ask_verify(a);
            break;
        default:
            ask_query(a);
        }
        sleep_us((long)rng_below(&a->rng, 5000));
    }
}

void read_season(const char *path, unsigned reader)
{
    struct asker a = { .who = "reader", .rng = { ledger->seed + 100 + reader } };
    bool ends = false;
    while (!ends && !has_failed()) {
        ends = atomic_load(&ledger->ends);
        a.store = open_store(path);
        if (!a.store)
            break;
        if (ends)
            ask_all(&a);
        else
            read_a_while(&a);
        must(svl_store_close(a.store), "reader", "svl_store_close");
    }
}
