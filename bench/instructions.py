#!/usr/bin/env python3
"""Counts the instructions of publish, encode, lookup and match under valgrind, beside those recorded.

    instructions.py BUILD [--record]

BUILD is a build directory with -Dbench=true. --record writes instructions.txt, in a commit of its own that says why.
Exit status: 0 within 5 %, 1 not, 2 the record is of another compiler or level, or something is missing.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

WORKS = ("publish", "encode", "lookup", "match")
TOLERANCE = 0.05
record_path = pathlib.Path(__file__).with_name("instructions.txt")


def fail(text):
    print(f"instructions.py: {text}", file=sys.stderr)
    sys.exit(2)


def compiler_of(build):
    done = subprocess.run(["meson", "introspect", "--buildoptions", str(build)], capture_output=True, text=True)
    config = build / "bench" / "bench_config.h"
    if done.returncode or not config.exists():
        fail(f"{build} is not a build directory of meson's with -Dbench=true")
    options = {it["name"]: it["value"] for it in json.loads(done.stdout)}
    if options["b_sanitize"] != "none":
        fail("a build with sanitizers counts those too")
    compiler = re.search(r'BENCH_COMPILER "(.*)"', config.read_text())[1]
    return f"{compiler} -O{options['optimization']}"


def count(program, work):
    """Instructions of an operation, in the function counted_<work> and what it calls."""
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory) / "out"
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--collect-atstart=no", f"--toggle-collect=counted_{work}",
             f"--callgrind-out-file={out}", str(program), work, directory], capture_output=True, text=True)
        if done.returncode:
            fail(f"{work} failed:\n{done.stderr}")
        total = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M)
        if not total or int(total[1]) == 0:
            fail(f"valgrind counted nothing in counted_{work}")
        return int(total[1]) / int(done.stdout)


def main():
    arguments = [it for it in sys.argv[1:] if it != "--record"]
    if len(arguments) != 1:
        fail("usage: instructions.py BUILD [--record]")
    build = pathlib.Path(arguments[0])
    compiler = compiler_of(build)
    record = dict(line.split(" ", 1) for line in record_path.read_text().splitlines())
    if "--record" not in sys.argv:
        if record.pop("compiler") != compiler:
            fail(f"the record is not of {compiler}: see instructions.txt")
        if sorted(record) != sorted(WORKS):
            fail("instructions.txt is not of these kinds of work: record it anew")
    counts = {work: count(build / "bench" / "bench-instructions", work) for work in WORKS}
    if "--record" in sys.argv:
        lines = [f"compiler {compiler}"] + [f"{work} {counts[work]:.1f}" for work in WORKS]
        record_path.write_text("\n".join(lines) + "\n")
        print(record_path.read_text(), end="")
        return 0
    status = 0
    for work in WORKS:
        part = counts[work] / float(record[work]) - 1
        print(f"{work:8} {counts[work]:10.1f} instructions, recorded {float(record[work]):10.1f}, {part:+.1%}")
        if abs(part) > TOLERANCE:
            status = 1
    if status:
        print(f"More than {TOLERANCE:.0%} away: find out why; if it is meant, record it by --record in a commit of "
              "its own that says why.")
    return status


sys.exit(main())
