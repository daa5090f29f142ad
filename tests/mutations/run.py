#!/usr/bin/env python3
"""Puts the faults that are kept here into the library, one at a time: the fast suite must see each.

    run.py [--json] [--near] [--scratch DIRECTORY] [NUMBER...]
    run.py --check

NUMBER is how a patch's name begins: 301, or 3 for all of blocks; without one: all. The tree is a copy of the one that
run.py is in, with what is not committed, in DIRECTORY, which is kept for the next run, or in a temporary one. For each
patch: first the tests that it names ("Seen by:"), then the suite of its layer, then all others that run code of lib/,
until one fails. That one is run again without the fault, and must pass. --near: not the others, to be quick: what
survives then may still be seen by them. --json: a line of JSON for each patch and one for all, instead of text.

--check: each patch has a first line that says what breaks, and one place in lib/ where it belongs; nothing is built.

Exit status: 0 all are seen; 1 not all; 2 nothing could be told, the tests fail without a fault, for example.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

here = pathlib.Path(__file__).resolve().parent
root = here.parent.parent
OPTIONS = ["-Dtests=true", "-Dbench=true"]
# They run nothing of lib/ that a fault changes; and structure/mutations would see every one.
LEFT_OUT = {"slow", "spin", "docs", "structure"}
# A fault that makes a test hang is seen as well; none takes half of its time without one.
TIMEOUT_MULTIPLIER = "0.5"
FAILED = {"FAIL", "ERROR", "TIMEOUT"}
# A test that dies leaves its rings in /dev/shm: the tests get one of their own, which goes with them.
OWN_MEMORY = ["sh", "-c", 'mount -t tmpfs tmpfs /dev/shm && exec "$@"', "sh"]


class Broken(Exception):
    pass


def call(command, **options):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)


class Fault:
    """A patch: its first line, the tests that see it, and its edits: (file, text before, text after)."""

    def __init__(self, path):
        self.name = path.stem
        head, _, body = path.read_text().partition("\n\n")
        self.what, *notes = head.split("\n")
        self.seen_by = re.findall(r"[\w/]+", " ".join(notes).removeprefix("Seen by:"))
        self.edits = []
        for part in re.split(r"^--- ", body, flags=re.M)[1:]:
            file = re.search(r"^\+\+\+ b/(\S+)$", part, re.M)[1]
            for hunk in re.split(r"^@@ .*\n", part, flags=re.M)[1:]:
                lines = hunk.splitlines(keepends=True)
                self.edits.append((file, "".join(it[1:] for it in lines if it[0] in " -"),
                                   "".join(it[1:] for it in lines if it[0] in " +")))

    def layer(self):
        return self.edits[0][0].split("/")[1]

    def problem(self, tree):
        """Why it cannot be applied, or None."""
        if not self.what or not self.edits:
            return "has no first line that says what breaks, or no change"
        for file, before, after in self.edits:
            if not file.startswith("lib/") or not (tree / file).exists():
                return f"{file} is no file of lib/"
            places = (tree / file).read_text().count(before)
            if places != 1 or before == after:
                return f"{file} has {places} places for it"
        return None

    def apply(self, tree):
        for file, before, after in self.edits:
            path = tree / file
            path.write_text(path.read_text().replace(before, after))

    def revert(self, tree):
        for file in {file for file, _, _ in self.edits}:
            shutil.copyfile(root / file, tree / file)


class Scratch:
    """The copy of the tree, and its build."""

    def __init__(self, folder):
        self.tree, self.build, self.temporary = folder / "tree", folder / "build", folder / "tmp"
        self.passed = set()  # tests that pass without a fault
        self.copy()
        if not (self.build / "build.ninja").exists():
            self.tell_if_broken(call(["meson", "setup", self.build, self.tree, *OPTIONS]), "meson setup")
        self.tell_if_broken(self.compile(), "the build without a fault")
        output = call(["meson", "introspect", "--tests", self.build]).stdout
        self.suites = {}
        for test in json.loads(output):
            suites = {suite.split(":")[-1] for suite in test["suite"]}
            if not suites & LEFT_OUT:
                self.suites[test["name"]] = suites
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        self.prefix = ["unshare", "--mount", *as_root, *OWN_MEMORY]
        if not shutil.which("unshare") or call([*self.prefix, "true"]).returncode != 0:
            self.prefix = []

    def tell_if_broken(self, done, what):
        if done.returncode != 0:
            raise Broken(f"{what} fails:\n{done.stdout}{done.stderr}")

    def copy(self):
        """What has not changed is left as it is, so that it is not compiled again."""
        listed = call(["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        self.tell_if_broken(listed, "git ls-files")
        names = {name for name in listed.stdout.split("\0") if name and (root / name).is_file()}
        for name in names:
            source, target = root / name, self.tree / name
            if not target.exists() or target.read_bytes() != source.read_bytes():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
        for path in list(self.tree.rglob("*")):
            if path.is_file() and str(path.relative_to(self.tree)) not in names:
                path.unlink()

    def compile(self):
        return call(["ninja", "-C", self.build, "lib/libserverlog.a"])

    def test(self, names):
        """The first of the tests that fails and how, or None."""
        self.temporary.mkdir(exist_ok=True)
        log = self.build / "meson-logs/testlog.json"
        log.unlink(missing_ok=True)
        done = call([*self.prefix, "meson", "test", "-C", self.build, "--maxfail", "1", "--timeout-multiplier",
                     TIMEOUT_MULTIPLIER, *names], env={**os.environ, "TMPDIR": str(self.temporary)})
        shutil.rmtree(self.temporary, ignore_errors=True)
        results = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        for result in results:
            if result["result"] in FAILED:
                return result["name"].split(" / ")[-1], how_it_failed(result)
        if done.returncode != 0 or not results:
            raise Broken(f"meson test {' '.join(names)}:\n{done.stdout}{done.stderr}")
        return None

    def must_pass(self, names):
        """Without a fault; False if one does not."""
        fresh = sorted(set(names) - self.passed)
        if fresh and self.test(fresh):
            return False
        self.passed.update(fresh)
        return True

    def stages(self, fault, near):
        """Lists of tests: the likely ones first, each test once."""
        named = [name for name in fault.seen_by if name in self.suites]
        layer = [name for name, suites in self.suites.items() if fault.layer() in suites]
        done = set()
        for stage in (named, layer, [] if near else list(self.suites)):
            stage = [name for name in stage if name not in done]
            done.update(stage)
            if stage:
                yield stage


def how_it_failed(result):
    if result["result"] == "TIMEOUT":
        return "it hangs"
    cases = re.findall(r"^\[ +FAILED +\] (test_\w+)", result.get("stdout", "") + result.get("stderr", ""), re.M)
    if cases:
        return cases[-1]
    code = result.get("returncode", 0)
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"


def judge(scratch, fault, near):
    """(outcome, the test that fails, how)"""
    problem = fault.problem(scratch.tree)
    if problem:
        return "does not apply", None, problem
    failed = None
    try:
        fault.apply(scratch.tree)
        if scratch.compile().returncode != 0:
            return "does not compile", None, None
        for stage in scratch.stages(fault, near):
            failed = scratch.test(stage)
            if failed:
                break
    finally:
        fault.revert(scratch.tree)
    if not failed:
        return "survived", None, None
    scratch.tell_if_broken(scratch.compile(), "the build without a fault")
    if not scratch.must_pass([failed[0]]):
        return "unclear", failed[0], "it fails without the fault, too"
    return "seen", *failed


def judge_all(scratch, faults, near, as_json):
    named = {name for fault in faults for name in fault.seen_by if name in scratch.suites}
    if not scratch.must_pass(named):
        raise Broken("of the tests that the patches name one fails without a fault: run the fast suite first")
    counts = {}
    for fault in faults:
        started = time.monotonic()
        if not as_json and sys.stdout.isatty():
            print(f"{fault.name} ...", end="\r", flush=True)
        outcome, test, how = judge(scratch, fault, near)
        counts[outcome] = counts.get(outcome, 0) + 1
        seconds = round(time.monotonic() - started, 1)
        if as_json:
            line = json.dumps({"type": "fault", "name": fault.name, "what": fault.what, "outcome": outcome,
                               "test": test, "how": how, "seconds": seconds})
        else:
            line = f"{outcome:9} {fault.name}: {': '.join(it for it in (test, how) if it) or fault.what} ({seconds} s)"
        print(line, flush=True)
    if as_json:
        print(json.dumps({"type": "summary", **counts}))
    else:
        print(", ".join(f"{n} {outcome}" for outcome, n in counts.items()))
    return counts.get("seen", 0) == len(faults)


def check(faults):
    problems = [f"tests/mutations/{fault.name}.patch {problem}: mend it, or choose another fault like it"
                for fault in faults if (problem := fault.problem(root))]
    print("\n".join(problems) or f"{len(faults)} faults")
    return not problems


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--near", action="store_true")
    parser.add_argument("--scratch", type=pathlib.Path)
    parser.add_argument("numbers", nargs="*")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    faults = [Fault(path) for path in sorted(here.glob("*.patch"))
              if path.name.startswith(tuple(arguments.numbers) or "")]
    try:
        if not faults:
            raise Broken("there is no such patch")
        if arguments.check:
            return 0 if check(faults) else 1
        if arguments.scratch:
            return 0 if judge_all(Scratch(arguments.scratch.absolute()), faults, arguments.near, arguments.json) else 1
        with tempfile.TemporaryDirectory(prefix="serverlog-mutations-") as folder:
            return 0 if judge_all(Scratch(pathlib.Path(folder)), faults, arguments.near, arguments.json) else 1
    except Broken as broken:
        print(f"run.py: {broken}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
