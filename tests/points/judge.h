/* judge - what a store holds against what its publishers noted. */
#ifndef TESTS_POINTS_JUDGE_H
#define TESTS_POINTS_JUDGE_H

/* Opens the store for good, looks at all of it, and closes it. A failure is noted. In a process of its own. */
void judge(void);

#endif
