#!/usr/bin/env python3
"""Makes the golden stores of a format version, one for each codec: an archive of the files at rest, and beside it what
must be read of them for ever. To be run once for a version, by a build that has all codecs; what is there is kept.

    make_golden.py WRITER DUMP VERSION
"""
import io
import pathlib
import sys
import tarfile

import golden
from harness import CODECS, make_store, places
from store import Store

for codec in CODECS:
    name = f"{sys.argv[3]}-{codec}"
    archive, listing = golden.archive(name), golden.listing(name)
    if archive.exists():
        sys.exit(f"{archive} is there: it must be readable for ever")
    with places() as (stores, rings):
        path = stores / "store"
        make_store("golden-killed", codec, path, rings)
        with tarfile.open(archive, "x:gz") as files:
            for file in sorted(file for file in path.iterdir() if golden.is_at_rest(file)):
                data = file.read_bytes()
                entry = tarfile.TarInfo(file.name)
                entry.size, entry.mode = len(data), 0o600
                files.addfile(entry, io.BytesIO(data))
        pathlib.Path(listing).write_text("".join(line + "\n" for line in golden.lines_of(Store(path))))
