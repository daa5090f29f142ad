#!/usr/bin/env python3
"""What the module of examples/python promises beyond what its programs show.

    binding.py DIRECTORY_OF_THE_EXAMPLE
"""
import asyncio
import os
import sys
import tempfile
import threading

sys.path.insert(0, sys.argv[1])
import serverlog  # noqa: E402
from serverlog import svl  # noqa: E402


def raised(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except serverlog.Error as error:
        return error.code, str(error)
    raise AssertionError("nothing was raised")


def test_record_comes_back_as_it_was_given(log, _):
    attributes = {"text": "caf\u00e9", "bytes": b"\0\xff", "whole": -2**62, "part": 0.5, "yes": True}
    log.publish(source="a", type="b", key="c\u00e9", body="d\0e", time_ns=1732412345123456789,
                severity=svl.SVL_SEVERITY_WARN, attributes=attributes)
    log.publish(source="a", body=b"\0\1\xff")
    log.flush()
    first, second = log.query()
    assert (first.id, first.time_ns, first.severity) == (1, 1732412345123456789, svl.SVL_SEVERITY_WARN)
    assert (first.source, first.type, first.key, first.body) == ("a", "b", "c\u00e9", "d\0e")
    assert first.attributes == attributes and first.attributes["yes"] is True
    assert (second.key, second.body, second.attributes) == ("", b"\0\1\xff", {})


def test_error_has_a_code_and_words_and_an_outcome_only_its_own(log, folder):
    code, words = raised(log.publish, key="k" * 481)
    assert code == svl.SVL_E_KEY_TOO_LONG and words.startswith("key too long: "), words
    for wrong in {"colour": "red"}, {"key": 17}, {"severity": "high"}:
        try:
            log.publish(**wrong)
        except (KeyError, TypeError):
            continue
        raise AssertionError(wrong)
    small = serverlog.Pipeline(os.path.join(folder, "small"), full_policy=svl.SVL_FULL_FAIL, ring_bytes=1 << 16,
                               store={"record_bytes_max": 4096})
    full = None
    while full is None:
        try:
            small.publish(body=b"x" * 4000)
        except serverlog.Error as error:
            full = error
    assert (full.code, str(full)) == (svl.SVL_E_FULL, "no space in the ring")
    small.close()
    code, words = raised(serverlog.Store, os.path.join(folder, "none"))
    assert code == svl.SVL_E_NOT_FOUND and "there is no store at" in words, words


def test_thread_and_task_that_follow_end_with_the_pipeline(log, _):
    seen = {"thread": [], "task": []}
    of_thread, of_task = log.follow(), log.follow()
    thread = threading.Thread(target=lambda: seen["thread"].extend(record.body for record in of_thread))
    thread.start()

    async def work():
        async def follow():
            async for record in of_task:
                seen["task"].append(record.body)
        following = asyncio.ensure_future(follow())
        for i in range(10):
            log.publish(body=str(i))
            await asyncio.sleep(0.005)
        await asyncio.get_running_loop().run_in_executor(None, log.stop)
        await following
    asyncio.run(work())
    thread.join()
    assert seen["thread"] == seen["task"] == [str(i) for i in range(10)], seen


def test_poll_ends_when_it_is_cancelled_and_when_the_pipeline_is_stopped(log, _):
    async def work():
        with log.consumer(name="waits") as consumer:
            polling = asyncio.ensure_future(consumer.poll())
            await asyncio.sleep(0.02)
            polling.cancel()
            assert isinstance((await asyncio.gather(polling, return_exceptions=True))[0], asyncio.CancelledError)
            log.publish(source="a", body="still there")
            batch = await consumer.poll()
            assert [record.body for record in batch.records] == ["still there"]
            batch.ack()
            polling = asyncio.ensure_future(consumer.poll())
            await asyncio.sleep(0.02)
            await asyncio.get_running_loop().run_in_executor(None, log.stop)
            assert await polling is None
        assert raised(batch.ack)[0] == svl.SVL_E_INVALID
    asyncio.run(work())


def test_store_is_read_while_a_pipeline_writes_it_elsewhere(log, folder):
    log.publish(key="k", body="seen")
    log.flush()
    child = "import sys; sys.path.insert(0, sys.argv[1]); import serverlog\n" \
            "print([record.body for record in serverlog.Store(sys.argv[2]).query(key='k')])"
    assert os.popen("'%s' -B -c \"%s\" '%s' '%s'" % (sys.executable, child, sys.argv[1], os.path.join(folder, "store"))
                    ).read() == "['seen']\n"


for name, test in list(globals().items()):
    if name.startswith("test_"):
        with tempfile.TemporaryDirectory() as directory:
            with serverlog.Pipeline(os.path.join(directory, "store")) as pipeline:
                test(pipeline, directory)
        print("passed:", name)
