#!/usr/bin/env python3
"""A flipped bit is refused by the second reader, or changes nothing that is read; where it refuses, so does the
library.

    check_damage.py WRITER DUMP
"""
import os
import random
import shutil

from basics import Cursor, Damage, Unknown
from blocks import Block
from harness import CODECS, complaint, make_store, places
from journal import HEADER_BYTES, PAGE, find_run
from lmdb_file import LmdbFile
from store import CATALOG_MAP_BYTES, Store

FLIPS = 40 * int(os.environ.get("SVL_TEST_TIMES", 1))
LIBRARY_FLIPS = FLIPS // 8
MAPS = {".mdb": CATALOG_MAP_BYTES, ".seg": 16 << 20} # as writer.c makes them
TABLES = {".mdb": [], ".seg": [b"blocks", b"zones", b"keys", b"keyfilters", b"meta"]}
FLAGS_AT = 4 # in what LMDB has of a table, behind its name


class Flipped:
    """A file with one other bit, for a while."""

    def __init__(self, path, at, bit):
        self.path, self.at, self.bit = path, at, bit

    def flip(self):
        with self.path.open("r+b") as file:
            file.seek(self.at)
            byte = file.read(1)[0]
            file.seek(self.at)
            file.write(bytes([byte ^ 1 << self.bit]))

    def __enter__(self):
        self.flip()

    def __exit__(self, *_):
        self.flip()


def read(path):
    store = Store(path)
    return [record.fields() for record in store.records], store.values, store.last_op


def check_every_bit(what, data, take):
    """What is under a checksum has no bit that may be another one."""
    take(data)
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << random.randrange(8)
        try:
            take(bytes(flipped))
        except (Damage, Unknown):
            continue
        raise SystemExit(f"{what}: byte {at} of {len(data)} is another one, and nobody minds")


def check_blocks(path):
    store = Store(path)
    for segment in store.segments[-1:]:
        file = LmdbFile(path / segment.name, MAPS[".seg"])
        for first_id, data in file.table(b"blocks")[:1]:
            check_every_bit(f"block {first_id}", data, lambda data: Block(data, "block").records())


def check_batches(path):
    """Every byte of a batch: one that is not whole is none."""
    store = Store(path)
    file = find_run(path, store.catalog.state.uuid)[-1]
    whole = file.data

    def take(data):
        file.data = data.ljust(-len(data) % PAGE + len(data), b"\0")
        if not (batch := file.read_batch(0)):
            raise Damage("no batch")
        return batch

    for batch in store.batches[-1:]:
        at = whole.index(batch.sum.to_bytes(8, "little")) - 96
        check_every_bit(f"batch {batch.sequence}", whole[at:at + batch.length], take)


def proven_in(path, file):
    """Where a journal file cannot be another one: its header, and batches of the log that are known to be flushed."""
    store = Store(path)
    run = find_run(path, store.catalog.state.uuid)
    part = next(part for part in run if part.what == file.name)
    followers = [later.header.first_sequence for later in run if later.header.number > part.header.number]
    last = min([store.durable] + [first - 1 for first in followers])
    places, at = list(range(HEADER_BYTES)), PAGE
    while (batch := part.read_batch(at)) and batch.sequence <= last:
        places += range(at, at + batch.length)
        at += (batch.length + PAGE - 1) // PAGE * PAGE
    return places


def places_in(path, file):
    """Bytes to flip: some anywhere, some where there is something, half where that counts."""
    data = file.read_bytes()
    pages, counted = range(len(data) // PAGE), None
    if file.name.startswith("journal"):
        counted = proven_in(path, file) # behind it the log may have ended as well, or gone on elsewhere
    else:
        lmdb = LmdbFile(file, MAPS[file.suffix])
        for table in TABLES[file.suffix]:
            lmdb.table(table)
        pages = {0, 1} | lmdb.used - lmdb.free
    used = [at for page in pages for at in range(page * PAGE, page * PAGE + PAGE) if data[at]]
    kinds = [range(len(data)), used, counted or used, counted or used]
    return [random.choice(kinds[i % 4]) for i in range(FLIPS)]


def library_minds(path, file):
    """What segments hold already is read in the journal only by who opens the store to write."""
    if not file.name.startswith("journal"):
        return complaint("verify", path)
    copy = path.with_name("copy")
    shutil.copytree(path, copy)
    try:
        return complaint("recovered", copy)
    finally:
        shutil.rmtree(copy)


def check_file(path, file, rest):
    """Bits of a file: refused, or as before; at the journal's end the log may end before what was not proven."""
    records, values, last_op = read(path)
    proven = Store(path).durable
    unproven = sum(batch.count for batch in Store(path).batches if batch.sequence > proven)
    refused = 0
    for at in places_in(path, file):
        bit = random.randrange(8)
        with Flipped(file, at, bit):
            try:
                found = read(path)
            except (Damage, Unknown) as refusal:
                refused += 1
                if refused <= LIBRARY_FLIPS and not library_minds(path, file):
                    rest.append(f"{file.name}: bit {bit} of byte {at}: only the second reader minds: {refusal}")
                continue
            if found == (records, values, last_op):
                continue
            missing = len(records) - len(found[0])
            if file.name.startswith("journal") and missing <= unproven and found[0] == records[:len(found[0])]:
                continue
            raise SystemExit(f"{file.name}: bit {bit} of byte {at}: other records, and nobody minds")
    if refused < FLIPS // 8:
        raise SystemExit(f"{file.name}: only {refused} of {FLIPS} flipped bits were refused")


def check_kinds(path):
    """A table of a segment whose keys are said to be numbers, and are none, or the other way round."""
    expected = read(path)
    for file in path.glob("*.seg"):
        data = file.read_bytes()
        for table in TABLES[".seg"]:
            at, refused = data.find(table), 0
            while at >= 0: # also where a page of before has it
                with Flipped(file, at + len(table) + FLAGS_AT, 3):
                    try:
                        if read(path) != expected:
                            raise SystemExit(f"{file.name}: {table}: of another kind, and nobody minds")
                    except Damage:
                        refused += 1
                        if not library_minds(path, file):
                            raise SystemExit(f"{file.name}: {table}: of another kind, and the library does not mind")
                at = data.find(table, at + 1)
            if refused == 0 and table in LmdbFile(file, MAPS[".seg"]).main:
                raise SystemExit(f"{file.name}: {table}: of another kind, and it is read")


def check_files(path):
    """Files that end too early, and one in another's place."""
    expected = read(path)
    files = sorted(file for file in path.iterdir() if file.suffix in (".mdb", ".seg") or "journal." in file.name)
    for file in files:
        data = file.read_bytes()
        for changed in (b"", data[:len(data) // 2], data[:-4096]):
            file.write_bytes(changed)
            if file.name.startswith("journal") and not changed:
                continue # one that never became part of the log: what it held is missed by nobody but its owner
            try:
                found = read(path)
            except Damage:
                continue
            if found != expected: # what is cut off may be free
                raise SystemExit(f"{file.name} has {len(changed)} of {len(data)} bytes, and nobody minds")
        file.write_bytes(data)
    segments = [file for file in files if file.suffix == ".seg"]
    first, second = segments[0].read_bytes(), segments[1].read_bytes()
    segments[0].write_bytes(second)
    try:
        read(path)
    except Damage:
        segments[0].write_bytes(first)
        return
    raise SystemExit("another segment's file is in the place of one, and nobody minds")


with places() as (stores, rings):
    path = stores / "store"
    make_store("golden-killed", CODECS[-1], path, rings)
    for name in ("bell", "lock", "attach"):
        (path / name).unlink(missing_ok=True) # no reader of files at rest needs them
    check_blocks(path)
    check_batches(path)
    check_kinds(path)
    check_files(path)
    rest = []
    for file in [path / "catalog.mdb", sorted(path.glob("*.seg"))[0], sorted(path.glob("*.seg"))[-1],
                 *sorted(path.glob("journal.*"))]:
        check_file(path, file, rest)
    if rest:
        raise SystemExit("\n".join(rest))
