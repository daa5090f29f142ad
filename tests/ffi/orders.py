#!/usr/bin/env python3
"""A language's pipeline example: publishes, looks up, pulls with a record that comes again, follows, closes; a second
run goes on where the first one was.

    orders.py INTERPRETER PROGRAM
"""
import os
import re
import subprocess
import sys
import tempfile

command = sys.argv[1:]
SAID = [r"published 100000 orders\b.*", r"billed 100000 orders in \d+ batches; order 50007 came 3 times",
        r"followed 1000 orders of customer-7", r"found 1000 orders of customer-7, 1000 of the second millisecond",
        r"closed"]


def run(*arguments):
    result = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=100)
    return result.returncode, result.stdout.splitlines(), result.stderr


with tempfile.TemporaryDirectory() as folder:
    for _ in range(2):
        code, said, problems = run(os.path.join(folder, "store"))
        assert (code, problems) == (0, ""), (code, said, problems)
        for pattern in SAID:
            assert any(re.fullmatch(pattern, line) for line in said), (pattern, said)
    code, said, problems = run(os.path.join(folder, "none", "store"))
    assert code == 1 and said == [] and "not a usable directory" in problems, (code, said, problems)
    code, said, problems = run()
    assert code != 0 and "pipeline." in problems, (code, said, problems)
