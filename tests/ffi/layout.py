#!/usr/bin/env python3
"""cffi reads serverlog.cdef.h as it is, and agrees with the C compiler on every size, offset and constant; every
function of the symbol map is there to be called.

    layout.py CDEF LIBRARY LAYOUT_PROGRAM SYMBOL_MAP
"""
import pathlib
import re
import subprocess
import sys

import cffi

cdef, library, layout, symbol_map = sys.argv[1:]
ffi = cffi.FFI()
ffi.cdef(pathlib.Path(cdef).read_text())
svl = ffi.dlopen(library)
facts = [line.split() for line in subprocess.run([layout], capture_output=True, text=True, check=True)
         .stdout.splitlines()]

members = {}
for kind, name, *rest in facts:
    if kind == "size":
        assert ffi.sizeof(name) == int(rest[0]), (name, ffi.sizeof(name), rest)
        members[name] = []
    elif kind == "member":
        field = dict(ffi.typeof(name).fields)[rest[0]]
        assert (field.offset, ffi.sizeof(field.type)) == (int(rest[1]), int(rest[2])), (name, rest, field.offset)
        members[name].append(rest[0])
    else:
        assert getattr(svl, name) == int(rest[0]), (name, rest)

# Nothing of what cffi has read was left out of the comparison.
structs = [name for name in ffi.list_types()[0] if not name.endswith("_fn")]
complete = [name for name in structs if ffi.typeof(name).fields]
assert sorted(complete) == sorted(members), (complete, members)
for name in complete:
    assert [field for field, _ in ffi.typeof(name).fields] == members[name], name

functions = re.findall(r"^\s+(svl_\w+);", pathlib.Path(symbol_map).read_text(), re.M)
for name in functions:
    assert ffi.typeof(getattr(svl, name)).kind == "function", name
print(f"{len(members)} structs, {len(facts)} facts, {len(functions)} functions")
