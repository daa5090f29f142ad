/* workload_idle.c - what waiting costs: a consumer that has had one message and waits for the next, while nobody sends.
 * CPU time and voluntary context switches are those of all threads but the one that measures, in a second. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "workload_queue.h"

#define NS_PER_S INT64_C(1000000000)
/* What the message has set in motion is over by then. */
#define SETTLE_MS 200

/* Of all threads but the calling one, since they began. */
struct usage {
    int64_t cpu_ns, switches;
};

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t = { 0 };
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static struct usage usage_of_others(void)
{
    struct rusage all = { 0 }, mine = { 0 };
    getrusage(RUSAGE_SELF, &all);
    getrusage(RUSAGE_THREAD, &mine);
    int64_t cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    return (struct usage){ .cpu_ns = cpu_ns - clock_ns(CLOCK_THREAD_CPUTIME_ID),
                           .switches = all.ru_nvcsw - mine.ru_nvcsw };
}

static void sleep_ms(uint64_t ms)
{
    struct timespec left = { .tv_sec = (time_t)(ms / 1000),
                             .tv_nsec = (long)(ms % 1000 * 1000000) };
    while (nanosleep(&left, &left) != 0)
        ;
}

static void wait_idly(struct run *run)
{
    uint64_t ms = run->records;
    sleep_ms(ms < SETTLE_MS ? ms : SETTLE_MS);
    int64_t start_ns = bench_now_ns();
    struct usage before = usage_of_others();
    sleep_ms(ms);
    struct usage after = usage_of_others();
    double seconds = (double)(bench_now_ns() - start_ns) / (double)NS_PER_S;
    int64_t cpu_ns = after.cpu_ns - before.cpu_ns; /* two clocks: nothing may look like less */
    run->metrics[METRIC_CPU_NS] = cpu_ns > 0 ? (double)cpu_ns / seconds : 0;
    run->metrics[METRIC_SWITCHES] = (double)(after.switches - before.switches) / seconds;
}

static int idle(struct run *run)
{
    const struct queue_ops *ops = run->peer->queue;
    unsigned bytes = run->workload->bytes;
    char message[QUEUE_MESSAGE_MAX];
    memset(message, 'x', sizeof message);
    void *queue = queue_open(run, 1, bytes);
    if (!queue)
        return -1;
    struct receiver *receiver = ops->receive ? receiver_start(ops, queue, 2) : NULL;
    int rc = ops->receive && !receiver ? -1 : ops->send(queue, 0, message, bytes, 1);
    if (rc == 0 && !receiver)
        rc = ops->drain(queue);
    if (rc == 0) {
        wait_idly(run);
        rc = ops->send(queue, 0, message, bytes, 1);
    }
    if (rc == 0)
        rc = receiver ? receiver_join(receiver, bench_sum(message, bytes)) : ops->drain(queue);
    if (rc == 0)
        ops->close(queue);
    return rc;
}

const struct workload idle_workloads[] = {
    { .name = "idle",
      .question = "How much CPU time does a second of waiting take?",
      .charts = METRIC_BIT(METRIC_CPU_NS) | METRIC_BIT(METRIC_SWITCHES),
      .divisor = 1000, /* milliseconds */
      .bytes = 100,
      .fits = queue_fits_drained,
      .measure = idle },
};
const size_t idle_workload_count = sizeof idle_workloads / sizeof idle_workloads[0];
