#!/usr/bin/env python3
"""A runtime that lets go of the library, as they do at exit in any order, harms neither its threads nor its records.

    unload.py CDEF LIBRARY
"""
import os
import pathlib
import sys
import tempfile
import time

import cffi

cdef, library = sys.argv[1:]
ffi = cffi.FFI()
ffi.cdef(pathlib.Path(cdef).read_text())
svl = ffi.dlopen(library)
with tempfile.TemporaryDirectory() as folder:
    log, ok = ffi.new("svl_pipeline **"), svl.SVL_OK
    close, publish_text = (ffi.addressof(svl, name) for name in ("svl_close", "svl_publish_text"))
    assert svl.svl_open(os.path.join(folder, "store").encode(), ffi.NULL, log) == ok
    assert svl.svl_start(log[0]) == ok
    assert svl.svl_publish_text(log[0], 0, b"before", b"") == ok
    ffi.dlclose(svl)
    time.sleep(0.1)
    assert publish_text(log[0], 0, b"after", b"") == ok
    assert close(log[0]) == ok
