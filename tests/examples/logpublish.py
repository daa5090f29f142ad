#!/usr/bin/env python3
"""Lines from other processes into a running logpipe, which is killed meanwhile and started again: every line once.

    logpublish.py LOGPIPE LOGQUERY LOGPUBLISH
"""
import json
import pathlib
import subprocess
import sys
import tempfile

logpipe, logquery, logpublish = sys.argv[1:]


def host(store):
    return subprocess.Popen([logpipe, store, "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


def publisher(store, source, *options):
    return subprocess.Popen([logpublish, "--source", source, *options, store], stdin=subprocess.PIPE, text=True)


with tempfile.TemporaryDirectory() as folder:
    store = pathlib.Path(folder) / "store"
    nobody = subprocess.run([logpublish, store], input="x\n", text=True, capture_output=True)
    assert nobody.returncode == 1 and "no store" in nobody.stderr, nobody.stderr
    subprocess.run([logpipe, store, "/dev/null"], check=True, capture_output=True)
    lines = {"one": ["one %d" % i for i in range(3000)], "two": ["two %d" % i for i in range(3000)]}
    publishers = {source: publisher(store, source, "--wait", "-1") for source in lines}
    for part in range(3):
        running = host(store)
        for source, process in publishers.items():
            process.stdin.write("".join(line + "\n" for line in lines[source][part * 1000:(part + 1) * 1000]))
            process.stdin.flush()
        if part < 2:
            running.kill()
            running.wait()
    for process in publishers.values():
        process.stdin.close()
        assert process.wait() == 0
    # Again, without anybody to drain it: for the next.
    running.kill()
    running.wait()
    subprocess.run([logpublish, "--source", "three", "--key", "k", "--severity", "17", store], input="late\n", text=True,
                   check=True)
    running = host(store)
    subprocess.run([logpublish, "--source", "four", "--wait", "20000", store], input="last\n", text=True, check=True)
    running.stdin.close()
    assert running.wait() == 0
    output = subprocess.run([logquery, "--json", store], capture_output=True, text=True, check=True).stdout
    records = [json.loads(line) for line in output.splitlines()]
    for source in lines:
        bodies = [r["body"] for r in records if r["body"].startswith(source + " ")]
        assert bodies == lines[source], "%s: %d records" % (source, len(bodies))
    assert [r["body"] for r in records if r["body"] in ("late", "last")] == ["late", "last"]
print("ok")
