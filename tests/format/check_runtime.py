#!/usr/bin/env python3
"""What pipelines leave when they are killed, read from the page's word: rings, bell, attach page, marks.

    check_runtime.py WRITER DUMP
"""
import pathlib
import struct

from basics import Damage, checksum
from harness import CODECS, ask, make_store, places
from journal import find_run
from runtime import SLOT_READY, Ring, read_attach, read_bell, read_marks
from store import Store

INGEST, STORED = 1, 2


def bodies(records):
    return [record.body for record in records]


def check_bell(path, store):
    bell = read_bell(path / "bell", store.catalog.state.uuid)
    run = find_run(path, store.catalog.state.uuid)
    assert bell.salt == run[-1].header.salt
    assert store.durable <= bell.durable <= run[-1].header.durable + len(store.batches)


def check_crash_ring(path, rings):
    """Records 0 to 8 have passed the ingest handler, 9 is in it; store and ring have each record once, in order."""
    make_store("ring-killed", CODECS[0], path, rings)
    store = Store(path)
    check_bell(path, store)
    (name, (made, directory)), = store.catalog.rings.items()
    assert made and pathlib.Path(directory) == rings
    ring = Ring(rings / name, store.catalog.state.uuid)
    left = ring.records(store.ring_positions.get(ring.uuid, 0))
    assert bodies(store.records + left) == [b"ring %d" % i for i in range(40)] and len(left) >= 31
    mark, = ring.marks
    assert mark.kind == INGEST and mark.alone == 0 and mark.subject == int.from_bytes(ring.uuid[:8], "little")
    assert mark.first == mark.last and ring.head < mark.first <= ring.tail
    check_damage(rings / name, lambda: Ring(rings / name, store.catalog.state.uuid).records(0), range(0, 80))
    (rings / name).unlink()


def check_attached_rings(path, rings):
    make_store("attached-killed", CODECS[0], path, rings)
    uuid = Store(path).catalog.state.uuid
    slots = read_attach(path / "attach", uuid)
    assert [slot.state for slot in slots] == [SLOT_READY, SLOT_READY]
    for slot in slots:
        assert pathlib.Path(slot.directory) == rings
        ring = Ring(rings / slot.name, uuid)
        assert ring.is_attached and bodies(ring.records(0)) == [b"attached %d" % i for i in range(20)]
    check_damage(path / "attach", lambda: read_attach(path / "attach", uuid), [*range(0, 8), *range(16, 32)])


def check_marks_file(path, rings):
    fact, = make_store("marks-killed", CODECS[0], path, rings)
    mark, = read_marks((path / "marks").read_bytes())
    assert mark.kind == STORED and mark.subject == checksum(b"hanging")
    assert [mark.first, mark.last] == [fact["first"], fact["last"]]
    check_damage(path / "marks", lambda: read_marks((path / "marks").read_bytes()), range(0, 8))
    assert not Store(path).catalog.rings
    uuid = Store(path).catalog.state.uuid
    # The next start makes them suspects, and has no such handler to find out.
    ask("started", path)
    assert not (path / "marks").exists()
    suspect = struct.pack("<B3xIQQQ", STORED, 0, mark.subject, mark.first, mark.last)
    assert Store(path).values[b"crash/suspects"] == struct.pack("<B3xI", 1, 1) + suspect
    check_damage(path / "bell", lambda: read_bell(path / "bell", uuid), [*range(0, 8), *range(12, 32)])


def check_damage(path, read, offsets):
    """Each bit of what must be right, flipped, is refused."""
    data = path.read_bytes()
    read()
    for at in offsets:
        for bit in range(8):
            with path.open("r+b") as file:
                file.seek(at)
                file.write(bytes([data[at] ^ 1 << bit]))
            try:
                read()
            except Damage:
                continue
            raise SystemExit(f"{path.name}: bit {bit} of byte {at} is flipped, and nobody minds")
    path.write_bytes(data)


with places() as (stores, rings):
    check_crash_ring(stores / "ring", rings)
    check_attached_rings(stores / "attached", rings)
    check_marks_file(stores / "marks", rings)
    # What was read in the rings is what the library stores of them.
    make_store("ring-killed", CODECS[0], stores / "host", rings)
    store = Store(stores / "host")
    (name, _), = store.catalog.rings.items()
    left = bodies(Ring(rings / name, store.catalog.state.uuid).records(0))
    ask("started", stores / "host")
    assert bodies(Store(stores / "host").records)[-len(left):] == left and not (rings / name).exists()
