// peer_moodycamel.cc - moodycamel::ConcurrentQueue, messages by value, one type a size; a token for each producer and
// the consumer, and bulk dequeues, as its README advises. Bounded by what is allocated at the start (try_enqueue).
// The blocking one, with its semaphore, where a consumer has to sleep.
#include <concurrentqueue/blockingconcurrentqueue.h>
#include <concurrentqueue/concurrentqueue.h>
#include <sched.h>

#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "bench.h"

namespace
{

constexpr size_t bulk = 256;

struct queue {
    virtual ~queue() = default;
    virtual void send(unsigned producer, const void *message, uint64_t n) = 0;
    virtual void receive(uint64_t n, sink *out) = 0;
};

template <size_t bytes> struct message {
    char data[bytes];
};

template <size_t bytes, class base> struct queue_of : queue {
    base items;
    std::vector<moodycamel::ProducerToken> producers;
    // The consumer's own: on cache lines that no producer reads.
    alignas(128) moodycamel::ConsumerToken consumer;
    std::unique_ptr<message<bytes>[]> taken;

    explicit queue_of(const queue_wish &wish)
        : items(wish.bytes_max / bytes + 1, wish.producers, 0), consumer(items),
          taken(new message<bytes>[bulk])
    {
        for (unsigned i = 0; i < wish.producers; i++)
            producers.emplace_back(items);
    }

    void send(unsigned producer, const void *from, uint64_t n) override
    {
        message<bytes> value;
        std::memcpy(&value, from, bytes);
        for (uint64_t i = 0; i < n; i++)
            while (!items.try_enqueue(producers[producer], value))
                sched_yield();
    }

    void receive(uint64_t n, sink *out) override;
};

// ConcurrentQueue cannot wait, BlockingConcurrentQueue can.
template <size_t bytes>
size_t take(moodycamel::ConcurrentQueue<message<bytes>> &items, moodycamel::ConsumerToken &token,
            message<bytes> *out, size_t max)
{
    size_t n = items.try_dequeue_bulk(token, out, max);
    if (n == 0)
        sched_yield();
    return n;
}

template <size_t bytes>
size_t take(moodycamel::BlockingConcurrentQueue<message<bytes>> &items,
            moodycamel::ConsumerToken &token, message<bytes> *out, size_t max)
{
    return items.wait_dequeue_bulk(token, out, max);
}

template <size_t bytes, class base> void queue_of<bytes, base>::receive(uint64_t n, sink *out)
{
    while (n > 0) {
        size_t max = n < bulk ? static_cast<size_t>(n) : bulk;
        size_t there = take<bytes>(items, consumer, taken.get(), max);
        for (size_t i = 0; i < there; i++)
            sink_take(out, taken[i].data, bytes);
        n -= there;
    }
}

template <template <class...> class base> queue *make(const queue_wish &wish)
{
    switch (wish.message_bytes) {
    case 64:
        return new queue_of<64, base<message<64>>>(wish);
    case 100:
        return new queue_of<100, base<message<100>>>(wish);
    case 139:
        return new queue_of<139, base<message<139>>>(wish);
    case 256:
        return new queue_of<256, base<message<256>>>(wish);
    case 1024:
        return new queue_of<1024, base<message<1024>>>(wish);
    case 4096:
        return new queue_of<4096, base<message<4096>>>(wish);
    default:
        return nullptr;
    }
}

template <class T> using plain = moodycamel::ConcurrentQueue<T>;
template <class T> using blocking = moodycamel::BlockingConcurrentQueue<T>;

// No exception passes into the harness, which is C.
void *open_plain(const queue_wish *wish)
try {
    return make<plain>(*wish);
} catch (const std::bad_alloc &) {
    return nullptr;
}

void *open_blocking(const queue_wish *wish)
try {
    return make<blocking>(*wish);
} catch (const std::bad_alloc &) {
    return nullptr;
}

int queue_send(void *q, unsigned producer, const void *message, unsigned, uint64_t n)
{
    static_cast<queue *>(q)->send(producer, message, n);
    return 0;
}

int queue_receive(void *q, uint64_t n, sink *out)
{
    static_cast<queue *>(q)->receive(n, out);
    return 0;
}

void queue_close(void *q)
{
    delete static_cast<queue *>(q);
}

const queue_ops plain_ops = { .is_by_value = true,
                              .can_sleep = false,
                              .open = open_plain,
                              .send = queue_send,
                              .receive = queue_receive,
                              .drain = nullptr,
                              .close = queue_close };
const queue_ops blocking_ops = { .is_by_value = true,
                                 .can_sleep = true,
                                 .open = open_blocking,
                                 .send = queue_send,
                                 .receive = queue_receive,
                                 .drain = nullptr,
                                 .close = queue_close };

} // namespace

extern "C" {
extern const peer peer_moodycamel, peer_moodycamel_blocking;
const peer peer_moodycamel = { .name = "moodycamel",
                               .title = "moodycamel ConcurrentQueue",
                               .is_ours = false,
                               .is_program = false,
                               .is_here = nullptr,
                               .version = nullptr,
                               .queue = &plain_ops,
                               .store = nullptr,
                               .parser = nullptr };
const peer peer_moodycamel_blocking = { .name = "moodycamel-blocking",
                                        .title = "moodycamel BlockingConcurrentQueue",
                                        .is_ours = false,
                                        .is_program = false,
                                        .is_here = nullptr,
                                        .version = nullptr,
                                        .queue = &blocking_ops,
                                        .store = nullptr,
                                        .parser = nullptr };
}
