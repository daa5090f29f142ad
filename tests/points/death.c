/* SIGKILL at every named point of ring, journal, LMDB's commits, catalog, roll and recovery, and of the recoveries of a
 * recovery that died: what was published, or acknowledged, is there once, in order and whole. */
#include <stdio.h>

#include "rounds.h"

#define ROUNDS 200

static void print_points(void)
{
    print_message("%-48s %22s %14s\n", "point", "most passes in a life", "deaths");
    for (int i = 0; i < (int)points_count(); i++)
        print_message("%-48s %8llu %6llu %6llu %4llu %4llu %4llu\n", points_name(i),
                      (unsigned long long)points_most(i, LIFE),
                      (unsigned long long)points_most(i, RECOVERY),
                      (unsigned long long)points_most(i, SECOND_RECOVERY),
                      (unsigned long long)points_deaths(i, LIFE),
                      (unsigned long long)points_deaths(i, RECOVERY),
                      (unsigned long long)points_deaths(i, SECOND_RECOVERY));
}

static void test_process_when_killed_at_each_point_then_nothing_promised_is_lost(void **state)
{
    (void)state;
    struct findings f = run_rounds(test_seed(), test_times(ROUNDS), ROUNDS_OF_ALL_POLICIES);
    print_points();
    if (f.failures > 0)
        print_error("%s\n", f.why);
    assert_true(f.failures == 0);
    print_message("%llu rounds, %llu with a publisher amid its reservation\n",
                  (unsigned long long)f.rounds, (unsigned long long)f.held);
    int unseen = 0;
    for (int i = 0; i < (int)points_count(); i++) {
        if (points_deaths(i, LIFE) + points_deaths(i, RECOVERY) +
                points_deaths(i, SECOND_RECOVERY) >
            0)
            continue;
        print_error("nobody died at \"%s\"\n", points_name(i));
        unseen++;
    }
    assert_int_equal(unseen, 0);
    assert_true(f.held * 2 >= f.rounds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process_when_killed_at_each_point_then_nothing_promised_is_lost),
    };
    points_set_up();
    noted_set_up();
    int failed = cmocka_run_group_tests_name("points/death", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
