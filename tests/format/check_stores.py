#!/usr/bin/env python3
"""The second reader and the library agree on stores of every kind: records, keys, numbers, subscriptions.

    check_stores.py WRITER DUMP
"""
import json
import struct

from basics import Cursor
from blocks import BYTES1, BYTES2, BYTES4, CONSTANT, VARINT
from harness import CODECS, ask, make_store, places
from records import as_json, as_text, read_wire
from store import Store

# Those whose blocks do not depend on the codec are made with one of them.
KINDS = {
    "empty": CODECS[:1],
    "columns": CODECS,
    "wide": CODECS,
    "runs": CODECS[-1:],
    "clock": CODECS[-1:],
    "full": CODECS[-1:],
    "retired": CODECS[-1:],
    "journal-killed": CODECS[:1],
    "rolled-killed": CODECS[-1:],
    "reopened-killed": CODECS[-1:],
    "sections": CODECS[-1:],
    "threads-killed": CODECS[-1:],
    "pipeline": CODECS[-1:],
    "rings-killed": CODECS[-1:],
}
problems = []


def same(what, found, expected):
    if found == expected:
        return
    at = next((i for i, (a, b) in enumerate(zip(found, expected)) if a != b), min(len(found), len(expected)))
    problems.append(f"{what}: {len(found)} read, {len(expected)} by the library; first other one:\n  "
                    f"{found[at:at + 1]}\n  {expected[at:at + 1]}")


def lines_of(store):
    return [as_json(record) for record in store.records]


def keys_of(store):
    """As dump.c tells them: the blocks that the key index leads to, and the records that hold the key.

    Blocks above what the catalog counts, of a writer killed between its two commits, are the next writer's: to a
    reader their records come from the journal."""
    ids, end = {}, store.catalog.state.next_id
    for record in store.records:
        if record.key:
            ids.setdefault(record.key, []).append(record.id)
    return [json.dumps({"key": as_text(key), "ids": ids[key],
                        "blocks": sum(id < end for segment in store.segments for id in segment.blocks_of(key))},
                       separators=(",", ":")) for key in sorted(ids)]


def numbers_of(store):
    ids = [record.id for record in store.records]
    return [json.dumps({"records": len(ids), "first_id": ids[0] if ids else 0, "last_id": ids[-1] if ids else 0,
                        "segments": len(store.segments)}, separators=(",", ":"))]


def check_subscriptions(what, store, facts):
    """Positions as the subscriptions said them last."""
    for fact in facts:
        if "subscription" in fact:
            value = store.values[b"subscription/" + fact["subscription"].encode()]
            version, paused, ranges, _, position = struct.unpack_from("<BBHIQ", value)
            assert version == 1 and len(value) == 16 + 16 * ranges, f"{what}: {value}"
            same(f"{what}: subscription {fact['subscription']}", [position, paused], [fact["position"], fact["paused"]])


def check_letters(store):
    """A dead letter holds its record in wire form."""
    by_id = {record.id: record for record in store.records}
    letters = [record for record in store.records if record.source == b"serverlog.deadletter"]
    assert letters
    for letter in letters:
        attributes = {name: value for name, _, value in letter.attributes}
        cursor = Cursor(letter.body, f"letter {letter.id}")
        original = read_wire(cursor, attributes[b"original.id"], attributes[b"original.ingest_ns"])
        cursor.end()
        same("a dead letter's record", [original.fields()], [by_id[original.id].fields()])


def check_kind(kind, store, path):
    """That the store is of the kind for which it was made, or the comparison shows nothing."""
    runs = sum(segment.runs for segment in store.segments)
    if kind == "columns":
        kinds = {attribute[1] for record in store.records for attribute in record.attributes}
        assert kinds == {1, 2, 3, 4, 5} and {record.severity for record in store.records} == set(range(25))
        assert max(len(record.attributes) for record in store.records) == 255
        assert {CONSTANT, BYTES1} <= store.segments[0].encodings
    elif kind == "wide":
        assert {BYTES2, BYTES4, VARINT} <= store.segments[0].encodings
    elif kind == "runs":
        assert runs >= 1 and store.segments[0].indexed_to < store.segments[0].range.last_id
        assert max(map(len, store.segments[0].index.values())) > 3
    elif kind in ("clock", "full"):
        assert len(store.segments) >= 3 and runs >= 2, (len(store.segments), runs)
        assert all(segment.has_own_filter for segment in store.segments[:-1]), f"{kind}: filters of full segments"
    elif kind == "retired":
        assert store.records[0].id > 1 and store.catalog.state.retention_floor == store.records[0].id
        forward_ns, = struct.unpack("<q", store.values[b"clock/forward"])
        assert abs(forward_ns - 10 * 3600 * 10**9) < 10**11, forward_ns
    elif kind == "journal-killed":
        assert not store.segments and len(store.batches) >= 200
    elif kind == "rolled-killed":
        assert store.segments and max(batch.first_id for batch in store.batches) > store.committed_id
    elif kind == "reopened-killed":
        assert store.durable < store.batches[-1].sequence and len(store.records) == 160
    elif kind == "sections":
        # The library's own reader shows only what the bell says, which does not know of this batch.
        assert len(store.records) == 5 and len(Store(path).records) == 30
        assert {kind for kind, _, _ in store.batches[-1].sections} == {1, 2, 3}
        assert Store(path).values == {b"kept": b"value", b"empty": b""}
        assert Store(path).ring_positions == {b"a ring's uuid---": 64}
    elif kind == "pipeline":
        check_letters(store)
        sources = {record.source for record in store.records}
        assert {b"app", b"copier", b"serverlog.deadletter"} <= sources
        assert any(record.key for record in store.records if record.type == b"part")
    elif kind == "rings-killed":
        assert len(store.ring_positions) + len(store.values[b"rings/positions"]) // 24 >= 4
        assert sum(record.source == b"other" for record in store.records) == 40


with places() as (stores, rings):
    for kind, codecs in KINDS.items():
        for codec in codecs:
            path = stores / f"{kind}-{codec}"
            facts = make_store(kind, codec, path, rings)
            what = f"{kind}, {codec}"
            store = Store(path, flushed=True)
            same(f"{what}: records", lines_of(store), ask("records", path))
            same(f"{what}: keys", keys_of(store), ask("keys", path))
            same(f"{what}: numbers", numbers_of(store), ask("numbers", path))
            check_subscriptions(what, store, facts)
            check_kind(kind, store, path)
            assert ask("verify", path) == []
            # What was written and perhaps not flushed is the next writer's.
            all_written = lines_of(Store(path))
            # That one may add a word on the clock, at once or later.
            for when, found in (("recovered", ask("recovered", path)), ("after recovery", lines_of(Store(path)))):
                same(f"{what}: {when}", all_written, found[:len(all_written)])
                assert {json.loads(line)["source"] for line in found[len(all_written):]} <= {"serverlog.clock"}

if problems:
    raise SystemExit("\n".join(problems))
