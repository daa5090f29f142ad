#!/usr/bin/env python3
"""What a foreign function interface could not see or call is refused when serverlog.cdef.h is made.

    refusals.py INCLUDE_DIRECTORY
"""
import pathlib
import sys

include = pathlib.Path(sys.argv[1])
sys.dont_write_bytecode = True
sys.path.insert(0, str(include))
import make_cdef  # noqa: E402

taken = ["SVL_EXPORT int svl_x(const svl_slice *s, uint32_t kind);", "struct svl_x { int a[4]; };",
         "enum svl_x { SVL_X = 1 };", "typedef int svl_x_fn(void *user);", "#include <stdint.h>\n"]
refused = ["#define SVL_X 1\n", "SVL_EXPORT int svl_x(svl_slice s);", "SVL_EXPORT int svl_x(int a, const svl_slice s);",
           "SVL_EXPORT svl_slice svl_x(void);", "SVL_EXPORT int svl_x(const char *f, ...);",
           "SVL_EXPORT int svl_x(enum svl_result r);", "SVL_EXPORT enum svl_result svl_x(void);",
           "struct svl_x { int a : 3; };", "struct svl_x { int a; enum svl_result r; };",
           "static inline int svl_x(void) { return 1; }", "typedef union svl_x { int a; } svl_x;",
           "struct svl_x { struct { int a; } b; };"]

for text in taken:
    make_cdef.declarations("x.h", text)
for text in refused:
    try:
        make_cdef.declarations("x.h", text)
    except SystemExit:
        continue
    sys.exit("taken: " + text)
