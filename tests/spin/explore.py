#!/usr/bin/env python3
"""Runs the models of the ring under Spin: what holds, and that each weakening is seen.

    explore.py holds BUILD_DIR MODEL [slow]   the lines of the table `holds` for one model, of the fast or the slow suite
    explore.py weakened BUILD_DIR             every line of the table `weakened`
    explore.py listed                         `weakened` has every atomic operation of lib/ring that has an order to lose
    explore.py stress BUILD_DIR               every line of the table `weakened_code`
    explore.py one MODEL NAME=VALUE...        a run of one's own; a counterexample's steps are printed

BUILD_DIR is where the verifiers are made, and removed.
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

here = pathlib.Path(__file__).resolve().parent
root = here.parent.parent
ring = root / "lib/ring"
HANGS_AFTER_S = 45
MEMORY_MIB = 6000
# Killed processes end in between: recovery.pml says itself what its end must be.
PAN_OPTIONS = {"recovery": ["-E"]}


class Broken(Exception):
    pass


def call(command, folder):
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if run.returncode != 0:
        raise Broken(f"{' '.join(map(str, command))}\n{run.stdout}{run.stderr}")
    return run.stdout


def explore(model, settings, folder):
    """(what was found, or None; how many states). Raises Broken if the model was not explored to its end."""
    defines = [f"-D{s}" for s in settings]
    call(["spin", *defines, "-a", here / f"{model}.pml"], folder)
    call(["gcc", "-O1", "-w", f"-I{here}", "-DSAFETY", "-DNOCLAIM", "-DCOLLAPSE", "-DVECTORSZ=8192",
          f"-DMEMLIM={MEMORY_MIB}", "-o", "pan", "pan.c"], folder)
    out = call(["./pan", "-m1000000", "-w22", *PAN_OPTIONS.get(model, [])], folder)
    states = re.search(r"^\s*(\d+) states, stored", out, re.M)
    errors = re.search(r"errors: (\d+)", out)
    short = re.search(r"MEMLIM|max search depth too small|TOO_SHORT|UNDECLARED", out)
    if not states or not errors or short:
        raise Broken(f"{model} {' '.join(settings)}: not explored to its end: {short.group() if short else out}")
    found = re.search(r"^pan:1: (.*?)( \(at depth \d+\))?$", out, re.M)
    if (int(errors.group(1)) > 0) != bool(found):
        raise Broken(out)
    return (found.group(1) if found else None), int(states.group(1))


def explored(model, settings, build):
    with tempfile.TemporaryDirectory(dir=build, prefix=f"{model}-") as folder:
        return explore(model, settings, folder)


def rows(name):
    for number, line in enumerate((here / name).read_text().splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield number, [field.strip() for field in re.split(r"(?<!\\)\|", line)]


def holds(build, model, suite):
    failed = runs = 0
    for number, (row_suite, run, expected) in rows("holds"):
        name, *settings = run.split()
        if name != model or row_suite != suite:
            continue
        found, states = explored(name, settings, build)
        right = (found is None) if expected in ("holds", "forbidden") else (found is not None)
        print(f"{'ok' if right else 'FAILED'}: {run}: {expected}; {states} states; {found or 'no error'}", flush=True)
        failed += not right
        runs += 1
    if runs == 0:
        print(f"no line of the table holds is for {model} in the {suite} suite")
    return failed == 0 and runs > 0


def weakened(build):
    def judge(row):
        number, fields = row
        run = fields[2].split()
        if run[0] != "spin":
            return True, f"--: {number}: {fields[0]}, {fields[1]}: {fields[2]}"
        try:
            found, states = explored(run[1], run[2:], build)
        except Broken as broken:
            return False, f"BROKEN: {number}: {fields[0]}, {fields[1]}: {broken}"
        return found is not None, (f"{'ok' if found else 'NOT SEEN'}: {number}: {fields[0]}, {fields[1]}: "
                                   f"{' '.join(run[1:])}; {states} states; {found or 'no error'}")

    failed = 0
    with ThreadPoolExecutor(2) as pool:
        for right, line in pool.map(judge, list(rows("weakened"))):
            print(line, flush=True)
            failed += not right
    return failed == 0


def stressed(build, file, before, after):
    """What the stress test says of the ring with one text exchanged: its last words, or None if it passes."""
    with tempfile.TemporaryDirectory(dir=build, prefix="stress-") as folder:
        shutil.copytree(root / "lib", pathlib.Path(folder) / "lib")
        path = pathlib.Path(folder) / "lib/ring" / file
        text = path.read_text()
        if before not in text:
            raise Broken(f"{file} has no longer the text {before}")
        path.write_text(text.replace(before, after, 1))
        lib = pathlib.Path(folder) / "lib"
        call(["gcc", "-std=c11", "-O1", "-g", "-w", "-D_POSIX_C_SOURCE=200809L", "-DSVL_STEPS=1", "-fsanitize=thread",
              f"-I{root / 'include'}", f"-I{lib}", f"-I{here.parent}", *lib.glob("ring/*.c"),
              *(path for path in lib.glob("base/*.c") if path.name != "build_info.c"),
              here.parent / "support/support.c", here.parent / "ring/stress.c", "-o", "stress", "-lcmocka", "-lxxhash",
              "-lpthread"], folder)
        try:
            run = subprocess.run(["./stress"], cwd=folder, capture_output=True, text=True, timeout=HANGS_AFTER_S,
                                 env={"TSAN_OPTIONS": "halt_on_error=1"})
        except subprocess.TimeoutExpired:
            return "it hangs"
        race = re.search(r"WARNING: ThreadSanitizer: (.*?) \(", run.stderr)
        failed = re.search(r"\[ +ERROR +\].*|.*: error: .*", run.stdout + run.stderr)
        if run.returncode == 0:
            return None
        return race.group(1) if race else failed.group(0) if failed else f"it ends with {run.returncode}"


def stress(build):
    failed = 0
    if stressed(build, "ring.c", "", "") is not None:
        print("FAILED: the ring as it is")
        failed += 1
    for number, fields in rows("weakened_code"):
        what, file, before, after = [field.replace("\\|", "|") for field in fields]
        seen = stressed(build, file, before, after)
        print(f"{'ok' if seen else 'NOT SEEN'}: {number}: {what}: {seen or 'no error'}", flush=True)
        failed += not seen
    return failed == 0


def operations():
    """Each atomic operation of lib/ring: "file function operation object order"."""
    for path in sorted(ring.glob("*.[ch]")):
        text = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group()), path.read_text(), flags=re.S)
        functions = [(m.start(), m.group(1))
                     for m in re.finditer(r"^(?:[a-z][\w *]*?[ *])(\w+)\([^;{}]*\)\n\{", text, re.M)]
        for m in re.finditer(r"\batomic_(\w+)\(", text):
            depth, end = 1, m.end()
            while depth:
                depth += {"(": 1, ")": -1}.get(text[end], 0)
                end += 1
            arguments = text[m.end():end - 1]
            function = [name for start, name in functions if start < m.start()][-1]
            first = arguments.split(",")[0]
            words = "header" if "frame_header" in first else re.findall(r"\w+", first)[-1]
            orders = re.findall(r"memory_order_(\w+)", arguments)
            operation = m.group(1).replace("_explicit", "")
            if "fence" in operation:
                words = "-"
            yield f"{path.name} {function} {operation} {words} {'/'.join(orders)}"


def listed():
    in_code = {o for o in operations() if not o.endswith(" relaxed") and not o.endswith(" ")}
    in_table = {fields[0] for _, fields in rows("weakened") if ":" not in fields[0]}
    for operation in sorted(in_code - in_table):
        print(f"not in tests/spin/weakened: {operation}: add a line that says what sees it weakened")
    for operation in sorted(in_table - in_code):
        print(f"in tests/spin/weakened, not in lib/ring: {operation}")
    return in_code == in_table


def one(model, settings):
    folder = tempfile.mkdtemp(prefix=f"{model}-")
    found, states = explore(model, settings, folder)
    print(f"{states} states; {found or 'no error'}")
    if found:
        steps = subprocess.run(["./pan", "-r", *map(str, pathlib.Path(folder).glob("*.trail"))], cwd=folder,
                               capture_output=True, text=True).stdout
        for step in re.findall(r"^\s*\d+:.*", steps, re.M):
            print(re.sub(r"\(state -?\d+\)|\s+", " ", step)[:160])
    shutil.rmtree(folder)
    return found is None


def main():
    command, *arguments = sys.argv[1:] or [""]
    try:
        if command == "holds" and len(arguments) in (2, 3):
            right = holds(arguments[0], arguments[1], arguments[2] if len(arguments) == 3 else "fast")
        elif command == "weakened" and len(arguments) == 1:
            right = weakened(arguments[0])
        elif command == "stress" and len(arguments) == 1:
            right = stress(arguments[0])
        elif command == "listed" and not arguments:
            right = listed()
        elif command == "one" and arguments:
            right = one(arguments[0], arguments[1:])
        else:
            sys.exit(__doc__)
    except Broken as broken:
        print(broken)
        right = False
    sys.exit(0 if right else 1)


main()
