#!/usr/bin/env python3
"""The programs in serverlog-hosts(7) do what the page says: each is taken from it and run.

    hosts_page.py PAGE CDEF LIBRARY INCLUDE_DIRECTORY CC LUAJIT
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

page, cdef, library, include, compiler, luajit = sys.argv[1:]
INSTALLED_CDEF = "/usr/local/include/serverlog/serverlog.cdef.h"
environment = dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(os.path.abspath(library)))


def run(command, folder):
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder, env=environment)
    assert (result.returncode, result.stderr) == (0, ""), (command, result)
    return result.stdout


def run_c(folder):
    run([compiler, "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror",
         "-I", include, "-o", "piece", "piece.c", os.path.abspath(library)], folder)
    return run(["./piece"], folder)


LANGUAGES = {  # how a piece begins: its file, and how it is run
    "#include <serverlog.h>": ("piece.c", run_c),
    "import cffi": ("piece.py", lambda folder: run([sys.executable, "piece.py"], folder)),
    "local ffi": ("piece.lua", lambda folder: run([luajit, "piece.lua"], folder)),
}

include, library, cdef = map(os.path.abspath, (include, library, cdef))
pieces = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", pathlib.Path(page).read_text(), re.M | re.S)
assert len(pieces) == 5, len(pieces)
for piece in pieces:
    assert all(len(line) <= 80 for line in piece.splitlines()), piece
    file, runner = next(how for start, how in LANGUAGES.items() if piece.startswith(start))
    with tempfile.TemporaryDirectory() as directory:
        text = piece.replace("\\e", "\\").replace(INSTALLED_CDEF, cdef)
        pathlib.Path(directory, file).write_text(text)
        printed = runner(directory)
        assert printed in ("paid\n", "1 paid\n"), (piece, printed)
