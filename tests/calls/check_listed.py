#!/usr/bin/env python3
"""What the library and LMDB need of the C library is either made to fail by calls.c, or said not to have to.

check_listed.py LIBRARY PROGRAM LIST
"""
import re
import subprocess
import sys

# No functions, or of the compiler and the linker.
NO_CALLS = {"_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable", "__gmon_start__", "stderr"}
# They stand before the C library's for something else.
WATCHED = {"clock_gettime", "munmap", "malloc", "calloc", "realloc", "free", "posix_memalign", "aligned_alloc"}
OTHERS = ("mdb_", "LZ4_", "ZSTD_", "XXH")


def symbols(path, *options):
    out = subprocess.run(["nm", *options, path], check=True, capture_output=True, text=True).stdout
    return {line.split()[-1].split("@")[0] for line in out.splitlines() if line.strip()}


def find_lmdb(library):
    out = subprocess.run(["ldd", library], check=True, capture_output=True, text=True).stdout
    found = re.search(r"liblmdb\S* => (\S+)", out)
    if not found:
        sys.exit(f"{library} needs no liblmdb.so: nothing to look at")
    return found[1]


def main():
    library, program, list_name = sys.argv[1:]
    with open(list_name, encoding="utf-8") as lines:
        harmless = {name for line in lines if not line.startswith("#") for name in line.split()}
    stands_before = symbols(program, "-D", "--defined-only")
    unknown = []
    for path in (library, find_lmdb(library)):
        needed = {name for name in symbols(path, "-D", "--undefined-only") if not name.startswith(OTHERS)}
        unknown += [f"{path}: {name}" for name in sorted(needed - NO_CALLS - harmless - stands_before)]
    both = sorted(harmless & stands_before - WATCHED)
    for name in unknown:
        print(f"{name} can fail, and no test makes it: tests/calls/calls.c, or tests/calls/harmless if it cannot")
    for name in both:
        print(f"{name} is said to be harmless, and made to fail")
    return 1 if unknown or both else 0


if __name__ == "__main__":
    sys.exit(main())
