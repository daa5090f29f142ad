/* What the rounds see of a library that treats a death wrongly: each case is one step of it done too early, or left out,
 * between the library's own functions. */
#include <stdio.h>
#include <string.h>

#include "ring/ring.h"
#include "rounds.h"
#include "store/store.h"

#define ROUNDS_MAX 600 /* some 20 as a rule */

static enum mutation {
    NONE,
    POSITIONS_FORGOTTEN, /* recovery starts at what the ring says, whatever the journal holds of it */
    RELEASED_UNWRITTEN, /* a ring's space is given back when the store has a record in memory */
    UNLINKED_UNSTORED   /* recovery removes a ring's file when it has opened it */
} mutation;

uint64_t __real_svl__store_ring_position(svl_store *store, const uint8_t uuid[16]);
uint64_t __wrap_svl__store_ring_position(svl_store *store, const uint8_t uuid[16]);
int __real_svl__ring_create(const struct ring_options *options, struct ring **out);
int __wrap_svl__ring_create(const struct ring_options *options, struct ring **out);
int __real_svl__ring_open_crashed(const char *directory, const char *name,
                                  const uint8_t store_uuid[16], ring_position_fn *position_of,
                                  void *user, struct ring **out);
int __wrap_svl__ring_open_crashed(const char *directory, const char *name,
                                  const uint8_t store_uuid[16], ring_position_fn *position_of,
                                  void *user, struct ring **out);
int __real_svl__store_feed(svl_store *store, struct feed *feed, uint64_t *ticket);
int __wrap_svl__store_feed(svl_store *store, struct feed *feed, uint64_t *ticket);

uint64_t __wrap_svl__store_ring_position(svl_store *store, const uint8_t uuid[16])
{
    return mutation == POSITIONS_FORGOTTEN ? 0 : __real_svl__store_ring_position(store, uuid);
}

static struct ring *own_ring; /* this process' */

int __wrap_svl__ring_create(const struct ring_options *options, struct ring **out)
{
    int rc = __real_svl__ring_create(options, out);
    own_ring = *out;
    return rc;
}

int __wrap_svl__ring_open_crashed(const char *directory, const char *name,
                                  const uint8_t store_uuid[16], ring_position_fn *position_of,
                                  void *user, struct ring **out)
{
    int rc = __real_svl__ring_open_crashed(directory, name, store_uuid, position_of, user, out);
    if (rc == SVL_OK && mutation == UNLINKED_UNSTORED)
        svl__ring_unlink_file(*out);
    return rc;
}

int __wrap_svl__store_feed(svl_store *store, struct feed *feed, uint64_t *ticket)
{
    int rc = __real_svl__store_feed(store, feed, ticket);
    if (rc == SVL_OK && mutation == RELEASED_UNWRITTEN && feed->ring && own_ring &&
        memcmp(feed->ring->uuid, svl__ring_uuid(own_ring), sizeof feed->ring->uuid) == 0)
        svl__ring_release(own_ring, feed->ring->position);
    return rc;
}

static void test_rounds_when_a_death_is_treated_wrongly_then_they_report_it(void **state)
{
    static const struct {
        enum mutation mutation;
        const char *name;
    } cases[] = { { POSITIONS_FORGOTTEN, "the journal's positions forgotten" },
                  { RELEASED_UNWRITTEN, "space given back before the write" },
                  { UNLINKED_UNSTORED, "a ring's file removed before it is stored" } };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mutation = cases[i].mutation;
        struct findings f = run_rounds(test_seed() + i, ROUNDS_MAX, ROUNDS_WITHOUT_DROPS);
        print_message("%s: %s\n", cases[i].name, f.failures > 0 ? f.why : "NOT SEEN");
        assert_true(f.failures > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounds_when_a_death_is_treated_wrongly_then_they_report_it),
    };
    points_set_up();
    noted_set_up();
    int failed = cmocka_run_group_tests_name("points/mutated", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
