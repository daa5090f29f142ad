#!/usr/bin/env python3
"""Headers, symbol map and man pages name the same functions; every function's comment has its fields; every
code that a comment names is a code; the pages are clean; their examples compile.

    check_pages.py SOURCE_ROOT MAN3_DIRECTORY CC
"""
import pathlib
import re
import subprocess
import sys
import tempfile

root, man3, compiler = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
sys.path.insert(0, str(root / "man"))
import make_pages  # noqa: E402

problems = []


def same(what, a, b, mend):
    for name in sorted(set(a) - set(b)):
        problems.append(f"{name}: {what}; {mend}")


functions = make_pages.read_functions(root / "include")
codes = make_pages.read_codes(root / "include")
exported = set(re.findall(r"^\s+(svl_\w+);", (root / "lib/serverlog.map").read_text(), re.M))
families = make_pages.read_families(root / "man/families.txt")
paged = [name for family in families for name in family["functions"]]

same("in the headers, not in the symbol map", functions, exported, "add it to lib/serverlog.map")
same("in the symbol map, not in the headers", exported, functions, "remove it from lib/serverlog.map")
same("in the headers, without a man page", functions, paged, "add it to man/families.txt")
same("has a man page, is not in the headers", paged, functions, "remove it from man/families.txt")

for name, function in functions.items():
    for field in make_pages.FIELDS:
        if not function.fields.get(field):
            problems.append(f"{name}: its comment lacks the field {field}")
    for code in re.findall(r"SVL_E_\w+", " ".join(function.fields.get("Errors", []))):
        if code not in codes:
            problems.append(f"{name}: its comment names {code}, which is no result code")
    page = man3 / (name + ".3")
    if not page.exists():
        problems.append(f"{name}: no page was made")
        continue
    text = page.read_text()
    if text.startswith(".so "):
        text = (man3 / text.split("/")[-1].strip()).read_text()
    names = re.findall(r"^\.Nm (\w+)", text, re.M)
    if name not in names:
        problems.append(f"{name}: its page's NAME section does not name it")
    # The ERRORS of the page name exactly the codes of the comment, as items.
    section = re.search(r"^\.Sh ERRORS\n(.*?)^\.Sh", text, re.M | re.S).group(1)
    part = re.search(rf"^\.Ss {name}\n(.*?)(?=^\.Ss|\Z)", section, re.M | re.S).group(1)
    items = sorted(re.findall(r"SVL_E_\w+", " ".join(re.findall(r"^\.It Dv (.*)", part, re.M))))
    if items != sorted(re.findall(r"SVL_E_\w+", " ".join(function.fields.get("Errors", [])))):
        problems.append(f"{name}: the codes of its page are not those of its comment")

# A program can be written from the pages alone: they show every constant and every callback.
shown = "\n".join((man3 / (family["name"] + ".3")).read_text() for family in families)
for name in sorted({name for family in families for name in family["types"]}):
    if not (man3 / (name + ".3")).exists():
        problems.append(f"{name}: no page leads to it")
for header in (root / "include/serverlog").glob("*.h"):
    source = header.read_text()
    if shown.count(f"\n.Ss serverlog/{header.name}\n") != 1:
        problems.append(f"{header.name}: its opening comment is not on one page")
    for name in re.findall(r"(SVL_\w+) = -?\d+", source):
        if not re.search(rf"^\.It Dv {name} = ", shown, re.M):
            problems.append(f"{name}: on no page; add its enumeration to man/families.txt")
    for name in re.findall(r"typedef (?:int|void) \*?(svl_\w+_fn)\(", source):
        if not re.search(rf"^\.Ss {name}$", shown, re.M):
            problems.append(f"{name}: on no page; add it to man/families.txt")

# What would make a page say something false is refused.
for wrong in (["SVL_E_TIMEOUT, SVL_E_DEADLOCK inside a callback"], ["SVL_E_TIMEOUT,"], ["SVL_E_TIMEOUT,  late"],
              ["SVL_E_TIMEOUT  late", "SVL_E_IO or SVL_E_NOMEM"], ["SVL_E_TIMEOUT", "  late"]):
    try:
        make_pages.errors(wrong)
        problems.append(f"make_pages.errors() takes {wrong}")
    except ValueError:
        pass

for page in sorted((root / "man").glob("*.[57]")) + [man3 / (f["name"] + ".3") for f in families]:
    lint = subprocess.run(["mandoc", "-T", "lint", page], capture_output=True, text=True)
    # Whether the other pages are installed on this machine says nothing of this one.
    said = [line for line in lint.stdout.splitlines() if "referenced manual not found" not in line]
    if said:
        problems.append(f"{page.name}: mandoc: {said[0]}")

readme = (root / "README.md").read_text()
sources = {path: path.read_text() for path in (root / "man/examples").glob("*.c")}
sources[root / "README.md"] = re.search(r"```c\n(.*?)```", readme, re.S).group(1)
for path, source in sources.items():
    with tempfile.NamedTemporaryFile("w", suffix=".c") as file:
        file.write(source)
        file.flush()
        result = subprocess.run(
            [compiler, "-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-fsyntax-only",
             "-I", root / "include", file.name], capture_output=True, text=True)
        if result.returncode != 0:
            problems.append(f"{path.name}: its example does not compile: {result.stderr.strip()}")

print("\n".join(problems) or f"{len(functions)} functions, {len(families)} pages")
sys.exit(1 if problems else 0)
