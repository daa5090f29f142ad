/* Epochs: what is retired stays while a reader is in that may look at it, and no longer, however many there are. */
#include "pattern/epoch.h"

#include "support/support.h"

enum { CROWD = 3, READERS = EPOCH_SLOTS + CROWD };

static void open_epoch(struct epoch *epoch)
{
    svl__epoch_init(epoch);
    assert_ok(svl__epoch_open(epoch));
}

static void retire_one(struct epoch *epoch)
{
    struct retired *piece = svl__epoch_allocate(epoch, sizeof *piece);
    assert_non_null(piece);
    svl__epoch_retire(epoch, piece, sizeof *piece);
    svl__epoch_advance(epoch);
    svl__epoch_collect(epoch);
}

static void test_retired_when_a_reader_is_in_then_kept_until_it_leaves(void **state)
{
    (void)state;
    struct epoch epoch;
    unsigned places[READERS];
    open_epoch(&epoch);
    /* The last one may have a slot, or none: in slots it is alone, in the crowd behind all slots. */
    for (unsigned before = 0; before < READERS; before += READERS - 1) {
        for (unsigned i = 0; i <= before; i++)
            svl__epoch_enter(&epoch, &places[i]);
        for (unsigned i = 0; i < before; i++)
            svl__epoch_leave(&epoch, places[i]);
        retire_one(&epoch);
        retire_one(&epoch);
        assert_int_equal(epoch.count, 2);
        svl__epoch_leave(&epoch, places[before]);
        svl__epoch_collect(&epoch);
        assert_int_equal(epoch.count, 0);
    }
    svl__epoch_destroy(&epoch);
}

/* More readers than slots, always: one leaves, another comes. */
static void test_retired_when_readers_never_end_then_freed(void **state)
{
    (void)state;
    struct epoch epoch;
    unsigned places[READERS];
    open_epoch(&epoch);
    for (unsigned i = 0; i < READERS; i++)
        svl__epoch_enter(&epoch, &places[i]);
    for (unsigned i = 0; i < 20 * READERS; i++) {
        retire_one(&epoch);
        svl__epoch_leave(&epoch, places[i % READERS]);
        svl__epoch_enter(&epoch, &places[i % READERS]);
        assert_in_range(epoch.count, 1, 3 * READERS);
    }
    for (unsigned i = 0; i < READERS; i++)
        svl__epoch_leave(&epoch, places[i]);
    svl__epoch_collect(&epoch);
    assert_int_equal(epoch.count, 0);
    svl__epoch_destroy(&epoch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retired_when_a_reader_is_in_then_kept_until_it_leaves),
        cmocka_unit_test(test_retired_when_readers_never_end_then_freed),
    };
    return cmocka_run_group_tests_name("pattern/epoch", tests, NULL, NULL);
}
