#!/usr/bin/env python3
"""pipeline.py - a shop's orders: published by threads, billed by a consumer, watched by a follower, looked up.

    pipeline.py STORE

Says what it did, and ends with 1 if anything is not as it should be.
"""
import asyncio
import sys
import time

import serverlog
from serverlog import svl

ORDERS, THREADS, CUSTOMERS = 100_000, 4, 100
WATCHED = "customer-7"
REFUSED = ORDERS // 2 + 7  # the bank takes this order only the third time


def publish(log, begin_ns, first):
    """Every so many-th order, on a thread of its own. Order i is of microsecond i."""
    for i in range(first, ORDERS, THREADS):
        log.publish(source="shop.orders", type="ordered", key=f"customer-{i % CUSTOMERS}", body=f"order {i}",
                    severity=svl.SVL_SEVERITY_INFO, time_ns=begin_ns + i * 1000, attributes={"number": i})


async def publish_all(log, begin_ns):
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.run_in_executor(None, publish, log, begin_ns, first) for first in range(THREADS)))
    await loop.run_in_executor(None, log.flush)
    print(f"published {ORDERS} orders on {THREADS} threads")


def bill_batch(batch, begin_ns, seen):
    """Takes the orders of a batch; the one that is refused is failed alone, then with its batch, then taken."""
    numbers = [record.attributes["number"] if record.time_ns >= begin_ns else None  # None: of an earlier run
               for record in batch.records]
    if REFUSED in numbers:
        seen.append(batch.attempt)
        at = numbers.index(REFUSED)
        if len(seen) == 1:
            batch.fail(at, "the bank is away")
            numbers = numbers[:at]
        if len(seen) == 2:
            batch.nack("the bank is away")
            return []
    batch.ack()
    return [number for number in numbers if number is not None]


async def bill(log, begin_ns):
    """Bills each order once."""
    billed, seen, batches = set(), [], 0
    with log.consumer(name="billing", filter={"source": "shop.orders"}, start_at=svl.SVL_START_EARLIEST,
                      batch_records_max=1000, retry_base_ms=10) as consumer:
        async for batch in consumer:
            billed.update(bill_batch(batch, begin_ns, seen))
            batches += 1
            if len(billed) == ORDERS:
                break
    print(f"billed {len(billed)} orders in {batches} batches; order {REFUSED} came {len(seen)} times")
    return len(billed) == ORDERS and len(seen) == 3


async def watch(records):
    """Until the pipeline is stopped."""
    n = 0
    async for record in records:
        n += record.key == WATCHED
    print(f"followed {n} orders of {WATCHED}")
    return n == ORDERS // CUSTOMERS


def look_up(log, begin_ns):
    of_key = list(log.query(key=WATCHED, time_min_ns=begin_ns))
    of_time = list(log.query(source="shop.orders", time_min_ns=begin_ns + 1_000_000, time_max_ns=begin_ns + 2_000_000))
    print(f"found {len(of_key)} orders of {WATCHED}, {len(of_time)} of the second millisecond")
    return (len(of_key) == ORDERS // CUSTOMERS and all(record.key == WATCHED for record in of_key)
            and sorted(record.attributes["number"] for record in of_time) == list(range(1000, 2000)))


async def work(log, begin_ns):
    watching = asyncio.ensure_future(watch(log.follow(key=WATCHED)))
    is_billed, _ = await asyncio.gather(bill(log, begin_ns), publish_all(log, begin_ns))
    is_found = look_up(log, begin_ns)
    await asyncio.get_running_loop().run_in_executor(None, log.stop)
    return await watching and is_billed and is_found


def main(path):
    with serverlog.Pipeline(path) as log:
        is_right = asyncio.run(work(log, time.time_ns()))
    print("closed")
    if not is_right:
        sys.exit("pipeline.py: these are not the numbers that were published")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1])
    except serverlog.Error as problem:
        sys.exit(f"pipeline.py: {problem}")
