#!/usr/bin/env python3
"""Lines and branches of lib/ that the tests run.

    run.py [--slow] [--counted] [--all] [BUILD]

Builds in BUILD (build-coverage) with gcc --coverage, without optimisation and without assertions, runs the fast suite,
with --slow the slow one as well, and tells lines and branches a file, a layer, and in all; then what was not run, by
function, with its reason from the table `reasons` beside this file. --counted: of what BUILD has counted before.
--all: with the lines' numbers, and of branches, too.

A branch is counted as gcov does: each way out of a condition, so that && and || have several; but none of those that a
compiler makes for exceptions. Counts of a process that another one kills are lost (tests/support/coverage.c).

Exit status: 0; 1 below 95 % of lines or 85 % of branches, or the table has a function that is not there; 2 no figure.
"""
import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
root = here.parent.parent
LINES_MIN, BRANCHES_MIN = 95.0, 85.0
OPTIONS = ["-Dtests=true", "-Db_coverage=true", "-Db_ndebug=true", "--buildtype=debug"]


class Broken(Exception):
    pass


def call(command, **options):
    return subprocess.run(list(map(str, command)), text=True, **options)


def build_and_run(build, slow):
    if not (build / "build.ninja").exists():
        if call(["meson", "setup", build, root, *OPTIONS], env={**os.environ, "CC": "gcc"},
                stdout=subprocess.DEVNULL).returncode != 0:
            raise Broken("meson setup fails")
    if call(["ninja", "-C", build]).returncode != 0:
        raise Broken("the build fails")
    for path in build.rglob("*.gcda"):
        path.unlink()
    runs = [["--setup", "fast"]] + ([["--setup", "slow", "--suite", "slow"]] if slow else [])
    for options in runs:
        if call(["meson", "test", "-C", build, "--no-rebuild", "--timeout-multiplier", "4", *options]).returncode != 0:
            raise Broken("tests fail: a figure of them would mean nothing")


class File:
    """What was counted of a source file, over all objects that have code of it."""

    def __init__(self):
        self.lines = collections.Counter()
        self.branches = collections.Counter()  # (line, number) -> count
        self.function_of = {}

    def add(self, line):
        number, function = line["line_number"], line.get("function_name", "")
        self.lines[number] += line["count"]
        self.function_of[number] = function
        ways = [way for way in line["branches"] if not way["throw"]]
        for i, way in enumerate(ways):
            self.branches[number, i] += way["count"]

    def figures(self):
        return (sum(n > 0 for n in self.lines.values()), len(self.lines),
                sum(n > 0 for n in self.branches.values()), len(self.branches))

    def missed(self):
        """Function -> ([lines not run], [lines with a way not taken, though they were run])."""
        missed = collections.defaultdict(lambda: ([], []))
        for number, n in sorted(self.lines.items()):
            if n == 0:
                missed[self.function_of[number]][0].append(number)
        for (number, _), n in sorted(self.branches.items()):
            if n == 0 and self.lines[number] > 0:
                missed[self.function_of[number]][1].append(number)
        return missed


def collect(build):
    files = collections.defaultdict(File)
    notes = sorted((build / "lib").rglob("*.gcno"))
    if not notes:
        raise Broken(f"{build} counts nothing")
    with tempfile.TemporaryDirectory() as folder:
        done = call(["gcov", "--json-format", "--branch-probabilities", "--stdout", *notes], cwd=folder,
                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for document in done.stdout.splitlines():
        data = json.loads(document)
        for file in data["files"]:
            path = (pathlib.Path(data["current_working_directory"]) / file["file"]).resolve()
            if path.is_relative_to(root / "lib"):
                for line in file["lines"]:
                    files[str(path.relative_to(root))].add(line)
    if not files:
        raise Broken("gcov tells nothing of lib/")
    return files


def reasons():
    """(file, function) -> reason"""
    table, reason = {}, None
    for line in (here / "reasons").read_text().splitlines():
        if line.startswith("= "):
            reason = line[2:]
        elif line.strip() and not line.startswith("#"):
            file, functions = line.split(":")
            table.update({(file.strip(), function.strip()): reason for function in functions.split(",")})
    return table


def share(part, all_of_them):
    return 100 * part / all_of_them if all_of_them else 100.0


def line_of(name, figures):
    ran, lines, taken, ways = figures
    return f"{name:40} {ran:6}/{lines:<6} {share(ran, lines):5.1f} %   {taken:6}/{ways:<6} {share(taken, ways):5.1f} %"


def add_up(figures):
    return tuple(map(sum, zip(*figures)))


def ranges(numbers):
    spans = []
    for number in sorted(set(numbers)):
        if spans and spans[-1][1] + 1 == number:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return " ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans)


def tell_missed(files, with_numbers):
    """What was not run, by function; how many lines have no reason."""
    table, unexplained = reasons(), 0
    for name, file in sorted(files.items()):
        for function, (lines, ways) in file.missed().items():
            reason = table.get((name, function))
            unexplained += len(lines) if not reason else 0
            if lines or with_numbers:
                numbers = f" [{ranges(lines)}; {ranges(ways)}]" if with_numbers else ""
                print(f"{name}: {function}: {len(lines)} lines{numbers}: {reason or 'NO REASON'}")
    return unexplained


def tell(files, with_numbers):
    layers = collections.defaultdict(list)
    for name, file in sorted(files.items()):
        print(line_of(name, file.figures()))
        layers[name.split("/")[1]].append(file.figures())
    print()
    for layer, figures in sorted(layers.items()):
        print(line_of(f"lib/{layer}", add_up(figures)))
    print("\nnot run:")
    unexplained = tell_missed(files, with_numbers)
    ran, lines, taken, ways = total = add_up(file.figures() for file in files.values())
    print("\n" + line_of("lib", total))
    print(f"{lines - ran} lines were not run, {unexplained} of them without a reason; at least {LINES_MIN:.0f} % of "
          f"lines, {BRANCHES_MIN:.0f} % of branches are wanted")
    return share(ran, lines) >= LINES_MIN and share(taken, ways) >= BRANCHES_MIN


def stale(files):
    functions = {(name, function) for name, file in files.items() for function in file.function_of.values()}
    gone = sorted(set(reasons()) - functions)
    for name, function in gone:
        print(f"tests/coverage/reasons: {name} has no function {function}: take it out")
    return gone


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--counted", action="store_true")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("build", nargs="?", type=pathlib.Path, default=root / "build-coverage")
    arguments = parser.parse_args()
    build = arguments.build.absolute()
    try:
        if not arguments.counted:
            build_and_run(build, arguments.slow)
        files = collect(build)
    except Broken as broken:
        print(f"run.py: {broken}", file=sys.stderr)
        return 2
    enough = tell(files, arguments.all)
    return 0 if enough and not stale(files) else 1


if __name__ == "__main__":
    sys.exit(main())
