#!/usr/bin/env python3
"""Lines of several files and a fifo come out whole, each file's in order; errors also on standard error.

    bus.py BUS
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

bus = sys.argv[1]

with tempfile.TemporaryDirectory() as folder:
    paths = [pathlib.Path(folder) / name for name in ("a", "b", "c", "fifo")]
    contents = [["%s %d of %s" % ("error" if i % 100 == 0 else "step", i, path.name) for i in range(20000)]
                for path in paths]
    os.mkfifo(paths[3])

    def write(path, lines):
        path.write_text("\n".join(lines))  # the last one has no end

    writers = [threading.Thread(target=write, args=pair) for pair in zip(paths, contents)]
    for writer in writers[:3]:
        writer.start()
        writer.join()
    writers[3].start()
    result = subprocess.run([bus, *paths], capture_output=True, text=True, timeout=100)
    writers[3].join()
    assert result.returncode == 0, result.stderr
    out, errors = result.stdout.splitlines(), result.stderr.splitlines()
    for path, lines in zip(paths, contents):
        expected = ["%s: %s" % (path, line) for line in lines]
        assert [line for line in out if line.startswith("%s: " % path)] == expected
        assert [line for line in errors if line.startswith("%s: " % path)] == expected[::100]
    assert len(out) == 80000 and len(errors) == 800

    missing = subprocess.run([bus, paths[0], paths[0] / "none"], capture_output=True, text=True, timeout=100)
    assert missing.returncode == 1 and len(missing.stdout.splitlines()) == 20000
    assert "none: Not a directory" in missing.stderr, missing.stderr
