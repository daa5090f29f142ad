"""What the tests of the format share: stores made by writer.c, and the library's word on them by dump.c."""
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

writer, dump = sys.argv[1:3]
seed = int(os.environ.get("SVL_TEST_SEED", time.time_ns()))
random.seed(seed)
print(f"seed: SVL_TEST_SEED={seed}")

CODECS = ["none"] + [codec for codec in ("lz4", "zstd") if os.environ.get(f"{codec.upper()}_LIBRARY", "default")]
SVL_E_CODEC = -53


@contextlib.contextmanager
def places():
    """A directory for stores, and one for rings."""
    with tempfile.TemporaryDirectory(prefix="serverlog-format-") as stores:
        rings = tempfile.mkdtemp(prefix="serverlog-format-", dir="/dev/shm")
        try:
            yield pathlib.Path(stores), pathlib.Path(rings)
        finally:
            shutil.rmtree(rings)


def make_store(kind, codec, store, rings):
    """Makes it, and gives what the writer says of it."""
    command = [writer, kind, codec, store, rings, str(random.getrandbits(32))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        output = process.stdout.readline() if kind == "threads-killed" else ""
        if output:
            time.sleep(random.uniform(0.01, 0.15))
            process.kill()
        output += process.stdout.read()
        status = process.wait()
    expected = -signal.SIGKILL if kind.endswith("-killed") else 0
    assert status == expected, f"{kind}, {codec}: the writer ended with {status}"
    return [json.loads(line) for line in output.splitlines()]


def ask(command, store):
    """The lines that the library says."""
    result = subprocess.run([dump, command, store], capture_output=True, text=True)
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout.splitlines()


def complaint(command, store):
    """What the library refuses it with."""
    result = subprocess.run([dump, command, store], capture_output=True, text=True)
    assert result.returncode in (0, 1), f"{command}: {result.returncode} {result.stderr}"
    return result.stdout + result.stderr if result.returncode else None
