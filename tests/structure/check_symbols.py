#!/usr/bin/env python3
"""The shared library exports exactly what the symbol map names.

    check_symbols.py LIBRARY MAP
"""
import pathlib
import re
import subprocess
import sys

library, symbol_map = sys.argv[1:]
listed = set(re.findall(r"^\s+(svl_\w+);", pathlib.Path(symbol_map).read_text(), re.M))
output = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
exported = {line.split()[2].split("@")[0] for line in output.splitlines()}
exported = {name for name in exported if not name.startswith("SERVERLOG_")}
for name in sorted(exported - listed):
    print(f"{name} is exported and not in the map: make it static or hidden")
for name in sorted(listed - exported):
    print(f"{name} is in the map and not exported: is it defined, and declared with SVL_EXPORT?")
print(f"{len(exported)} symbols")
sys.exit(1 if exported != listed else 0)
