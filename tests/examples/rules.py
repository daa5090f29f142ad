#!/usr/bin/env python3
"""A file of rules that changes while events come: what matches is shown with the rule's name; a wrong file is told
with its place and changes nothing; records of a store that another process writes, as they become durable.

    rules.py RULES LOGPIPE LOGQUERY
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

rules, logpipe, logquery = sys.argv[1:]


def write(path, *named):
    """Replaced, as editors and deployments do it: the old file or the new one, never half of one."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"rules": [dict(rule, name=name) for name, rule in named]}))
    os.rename(new, path)


class Program:
    def __init__(self, *arguments):
        self.process = subprocess.Popen([rules, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)

    def expect(self, stream, *parts):
        line = stream.readline()
        assert all(part in line for part in parts), (parts, line)

    def told(self, *parts):
        self.expect(self.process.stderr, *parts)

    def shown(self, *parts):
        self.expect(self.process.stdout, *parts)

    def send(self, event):
        self.process.stdin.write((event if isinstance(event, str) else json.dumps(event)) + "\n")
        self.process.stdin.flush()


big = {"pattern": {"detail": {"total": [{"numeric": [">", 100]}]}}}
named = {"pattern": {"source": ["shop"]},
         "transformer": {"InputPathsMap": {"t": "$.detail.total"}, "InputTemplate": "\"total <t>\""}}

with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "rules.json"
    missing = subprocess.run([rules, path], input="", text=True, capture_output=True)
    assert missing.returncode == 1 and "No such file" in missing.stderr, missing

    write(path, ("big", big))
    program = Program("--json", path)
    program.told("1 of")
    program.send({"detail": {"total": 5}})
    program.send({"source": "shop", "detail": {"total": 500}})
    program.shown("big\t", "500")
    program.send("no JSON")
    program.told("JSON")

    write(path, ("big", big), ("shop", named))
    program.told("2 of")
    program.send({"source": "shop", "detail": {"total": 7}})
    program.shown("shop\t", "total 7")

    path.write_text('{"rules":[{"name":"broken","pattern":{"source":"shop"}}]}')  # written in place
    program.told("broken", "$.rules[0].pattern.source", "byte 47")
    program.told("the rules before stay")
    program.send({"source": "shop", "detail": {"total": 8}})
    program.shown("shop\t", "total 8")

    write(path, ("big", dict(big, state="disabled")), ("all", {"pattern": {"detail": {"total": [{"exists": True}]}}}))
    program.told("1 of")
    program.send({"source": "shop", "detail": {"total": 900}})
    program.shown("all\t", "900")
    out, err = program.process.communicate()
    assert program.process.returncode == 0 and (out, err) == ("", ""), (program.process.returncode, out, err)

    # Records of a store, followed from another process.
    store = pathlib.Path(folder) / "store"
    subprocess.run([logpipe, store, "/dev/null"], check=True, capture_output=True)
    write(path, ("late", {"pattern": {"body": [{"wildcard": "*late*"}]}}))
    host = subprocess.Popen([logpipe, store, "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, text=True)
    program = Program("--all", path, store)
    program.told("1 of")
    host.stdin.write("in time\nlate by a minute\n")
    host.stdin.flush()
    program.shown("late\t", "late by a minute")
    write(path, ("early", {"pattern": {"body": [{"prefix": "early"}]}}))
    program.told("1 of")
    host.stdin.write("late again\nearly again\n")
    host.stdin.flush()
    program.shown("early\t", "early again")
    program.process.kill()
    program.process.wait()
    host.stdin.close()
    assert host.wait() == 0

    # The same patterns asked of the store itself.
    asked = subprocess.run([logquery, "--pattern", '{"body":[{"wildcard":"*again*"}]}', "--count", store],
                           capture_output=True, text=True, check=True)
    assert asked.stdout == "2\n", asked.stdout
    wrong = subprocess.run([logquery, "--pattern", '{"body":"x"}', store], capture_output=True, text=True)
    assert wrong.returncode == 1 and "$.body" in wrong.stderr and "byte 8" in wrong.stderr, wrong.stderr
print("ok")
