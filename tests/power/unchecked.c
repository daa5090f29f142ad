/* What the simulator sees of a library that does not look at its checksums: this executable's own agree with
 * everything. (A library built with a fault would show the same; this one needs no second build, and both functions
 * are one line each: what is left out is exactly the comparison.) */
#include "base/checksum.h"
#include "explore.h"

#define STATES_MAX 6000

uint64_t svl__checksum(const void *data, size_t len)
{
    (void)data, (void)len;
    return 1;
}

uint64_t svl__checksum_seeded(const void *data, size_t len, uint64_t seed)
{
    (void)data, (void)len, (void)seed;
    return 1;
}

static void test_simulator_when_checksums_are_ignored_then_it_reports_loss(void **state)
{
    (void)state;
    struct log log;
    const struct script *script = script_named("appends");
    script_record(script, BLIND_TO_NOTHING, &log, NULL);
    struct findings f = explore(script, &log, test_seed(), STATES_MAX, UNTIL_A_FAILURE);
    print_message("without checksums: %llu of %llu states; %s\n", (unsigned long long)f.failures,
                  (unsigned long long)f.states, f.why);
    assert_true(f.failures > 0);
    log_free(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simulator_when_checksums_are_ignored_then_it_reports_loss),
    };
    script_set_up();
    int failed = cmocka_run_group_tests_name("power/unchecked", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
