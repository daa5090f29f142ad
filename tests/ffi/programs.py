#!/usr/bin/env python3
"""The programs of examples/python and examples/lua: what goes in comes out again.

    programs.py CDEF LIBRARY EXAMPLES_DIRECTORY LUAJIT
"""
import os
import pathlib
import subprocess
import sys
import tempfile

cdef, library, examples, luajit = sys.argv[1:]
environment = dict(os.environ, SERVERLOG_CDEF=os.path.abspath(cdef), SERVERLOG_LIBRARY=os.path.abspath(library))
logstore = [sys.executable, os.path.join(examples, "python/logstore.py")]
spool = [luajit, os.path.join(examples, "lua/spool.lua")]

SCRIPT = """
import logging, sys, threading

def work(number):
    log = logging.getLogger("app.worker%d" % number)
    for i in range(1000):
        log.info("step %d", i, extra={"key": "order-%d" % (i % 10)})
    log.error("caf\u00e9 %s", sys.argv[1])

threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
logging.getLogger("serverlog.own").critical("the end")
"""


def run(command, code=0, **options):
    result = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=100,
                            env=dict(environment, PYTHONIOENCODING="utf-8"), **options)
    assert result.returncode == code, (command, result)
    assert code != 0 or result.stderr == "", result.stderr
    return result.stdout.splitlines() if code == 0 else result.stderr


with tempfile.TemporaryDirectory() as folder:
    store, script = os.path.join(folder, "python"), pathlib.Path(folder) / "app.py"
    script.write_text(SCRIPT, encoding="utf-8")
    run(logstore + ["run", store, script, "argument"])
    assert len(run(logstore + ["find", store])) == 4 * 1001 + 1
    errors = run(logstore + ["find", store, "--level", "error", "--since", "60"])
    assert len(errors) == 5 and all("caf\u00e9 argument" in line for line in errors[:4]), errors
    assert " 21 python.serverlog.own - the end" in errors[4], errors
    of_key = run(logstore + ["find", store, "--logger", "app.worker2", "--key", "order-7"])
    assert [line.split()[-1] for line in of_key] == [str(i) for i in range(7, 1000, 10)]
    assert "no store" in run(logstore + ["find", store + ".none"], code=1)

    store = os.path.join(folder, "lua")
    lines = ["client%d GET /%d" % (i % 100 if i % 3 else 0, i) for i in range(20000)]
    run(spool + ["add", store, "^%S+"], input="\n".join(lines) + "\n")
    assert run(spool + ["find", store, "client7"]) == [line for line in lines if line.startswith("client7 ")]
    top = run(spool + ["top", store, "1"])
    assert top == ["%d\tclient0" % sum(line.startswith("client0 ") for line in lines)], top
    assert "no store" in run(spool + ["find", store + ".none", "x"], code=1)
    assert "usage" in run(spool, code=2)
