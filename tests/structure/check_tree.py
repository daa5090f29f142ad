#!/usr/bin/env python3
"""The house rules that a reader cannot be asked to check: include direction, sizes, forbidden calls.

    check_tree.py SOURCE_ROOT
"""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
# What each layer may include, besides itself.
LAYERS = {
    "base": [],
    "record": ["base"],
    "ring": ["base", "record"],
    "pattern": ["base", "record"],
    "store": ["base", "record", "pattern"],
    "bus": ["base", "record", "ring", "pattern"],
    "handler": ["base", "record", "pattern", "store"],
    "pipeline": ["base", "record", "ring", "pattern", "store", "bus", "handler"],
}
FUNCTION_LINES, FILE_LINES = 70, 1000
FORBIDDEN = ["abort", "exit", "_exit", "printf", "puts", "getenv", "secure_getenv", "signal", "sigaction",
             "alloca", "strcpy", "strcat", "system", "popen"]
LEFTOVER = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
problems = []


def sources(*folders):
    for folder in folders:
        for path in sorted((root / folder).rglob("*.[ch]")):
            if "node_modules" not in path.parts:  # what npm installs for an example
                yield path


for path in sources("lib"):
    layer = path.relative_to(root / "lib").parts[0]
    for line in re.findall(r'^#include "([^"]+)"', path.read_text(), re.M):
        target = line.split("/")[0] if "/" in line else layer
        if line != "config.h" and target != layer and target not in LAYERS[layer]:
            problems.append(f"{path.relative_to(root)} includes {line}: {layer} may include only "
                            f"{', '.join(LAYERS[layer])}; move the code, or offer a callback")

for path in sources("lib", "include", "examples", "bench"):
    text = path.read_text()
    lines = text.split("\n")
    name = path.relative_to(root)
    if len(lines) > FILE_LINES:
        problems.append(f"{name} has {len(lines)} lines, at most {FILE_LINES}: it has two jobs, split it")
    start = None
    for number, line in enumerate(lines):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            if number - start - 1 > FUNCTION_LINES:
                problems.append(f"{name}:{start}: a function of {number - start - 1} lines, at most "
                                f"{FUNCTION_LINES}: take a step out of it")
            start = None
        if LEFTOVER.search(line):
            problems.append(f"{name}:{number + 1}: a leftover: finish it, or open an issue")
        if len(line) > 120:
            problems.append(f"{name}:{number + 1}: a line of {len(line)} characters")

for path in sources("lib"):
    code = re.sub(r"/\*.*?\*/|\"(?:\\.|[^\"\\])*\"", "", path.read_text(), flags=re.S)
    for call in FORBIDDEN:
        for match in re.finditer(r"(?<![\w.>])%s\s*\(" % call, code):
            line = code[: match.start()].count("\n") + 1
            problems.append(f"{path.relative_to(root)}: near line {line}: calls {call}(), which a library "
                            f"must not")

print("\n".join(problems) or "no findings")
sys.exit(1 if problems else 0)
