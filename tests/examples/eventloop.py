#!/usr/bin/env python3
"""The event loop keeps what it reads, repeats errors while it runs, counts and ends on signals, in one thread.

    eventloop.py EVENTLOOP LOGQUERY
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

eventloop, logquery = sys.argv[1:]


def stored(store):
    result = subprocess.run([logquery, "--json", store], capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stderr
    return [json.loads(line)["body"] for line in result.stdout.splitlines()]


with tempfile.TemporaryDirectory() as folder:
    store = pathlib.Path(folder) / "store"
    keeper = subprocess.Popen([eventloop, store], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for i in range(3):
        keeper.stdin.write("step %d\nerror %d\nstep" % (i, i))  # the last line is not whole
        keeper.stdin.flush()
        repeated = keeper.stderr.readline()
        assert repeated.endswith("error %d\n" % i), repeated
        keeper.stdin.write(" behind\n")
    assert len(os.listdir("/proc/%d/task" % keeper.pid)) == 1
    keeper.send_signal(signal.SIGUSR1)
    counts = keeper.stderr.readline()
    assert counts.startswith("eventloop: ") and "records" in counts, counts
    keeper.stdin.write("error last\n")
    keeper.stdin.flush()
    assert keeper.stderr.readline().endswith("error last\n")
    keeper.send_signal(signal.SIGTERM)
    assert keeper.wait(timeout=100) == 0
    keeper.stdin.close()
    expected = [line for i in range(3) for line in ("step %d" % i, "error %d" % i, "step behind")] + ["error last"]
    assert stored(store) == expected, stored(store)

    lines = ["line %d" % i for i in range(200000)] + ["x" * 70000, "no end"]
    path = pathlib.Path(folder) / "lines"
    path.write_text("\n".join(lines))
    with path.open() as file:
        result = subprocess.run([eventloop, store], stdin=file, capture_output=True, text=True, timeout=100)
    assert result.returncode == 0 and result.stderr == "", result.stderr
    bodies = stored(store)[len(expected):]
    assert bodies[:200000] == lines[:200000] and bodies[-1] == "no end"
    assert "".join(bodies[200000:-1]) == "x" * 70000 and len(bodies) == 200003

    wrong = subprocess.run([eventloop, "/proc/none/store"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert wrong.returncode == 1 and "/proc/none/store" in wrong.stderr, wrong.stderr
