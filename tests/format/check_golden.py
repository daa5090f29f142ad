#!/usr/bin/env python3
"""Stores of every format version there was: the library of today opens them, reads all of them, finds no damage, and
goes on with them; the second reader reads the same.

    check_golden.py WRITER DUMP
"""
import golden
from basics import CODEC_LZ4, CODEC_NONE, CODEC_ZSTD
from harness import CODECS, SVL_E_CODEC, ask, complaint, places
from store import Store

NAMES = sorted(path.name.removesuffix(".tar.gz") for path in golden.FOLDER.glob("*.tar.gz"))
NUMBERS = {"none": CODEC_NONE, "lz4": CODEC_LZ4, "zstd": CODEC_ZSTD}
assert {f"{version}-{codec}" for version in ("1", "1.1", "1.2") for codec in NUMBERS} <= set(NAMES), NAMES


def check_without_codec(path):
    """This build says so, and harms nothing."""
    for command in ("records", "recovered", "verify"):
        said = complaint(command, path)
        assert said and (f"({SVL_E_CODEC})" in said or f"{SVL_E_CODEC} " in said), f"{path.name}: {command}: {said}"


def check_with_codec(path, records):
    recovered = ask("recovered", path)
    assert recovered[:len(records)] == records, f"{path.name}: records"
    # A clock that was set meanwhile is told of, at once or later.
    assert all('"source":"serverlog.clock"' in line for line in recovered[len(records):])
    assert ask("verify", path) == [], f"{path.name}: verify"
    ids = ask("append", path)
    read = ask("records", path)
    assert read[:len(records)] == records, f"{path.name}: records after it was written to"
    assert all('"source":"serverlog.clock"' in line for line in read[len(records):-1])
    assert f'{{"id":{ids[-1]},' in read[-1] and '"source":"later"' in read[-1], f"{path.name}: {read[-1]}"
    store = Store(path)
    assert golden.lines_of(store)[:len(read)] == read, f"{path.name}: the second reader, after it was written to"
    return store


with places() as (stores, _):
    for name in NAMES:
        path = stores / name
        golden.unpack(name, path)
        expected = golden.listing(name).read_text().splitlines()
        records = [line for line in expected if line.startswith('{"id":')]
        assert len(records) > 50 and len(records) < len(expected), name
        codec = name.split("-")[1]
        if codec not in CODECS:
            check_without_codec(path)
            continue
        store = Store(path)
        assert golden.lines_of(store) == expected, f"{name}: the second reader"
        assert NUMBERS[codec] in store.segments[0].codecs, f"{name}: its codec"
        for segment in store.segments:
            filtered = None if name.startswith("1-") else set(range(segment.runs))
            assert segment.filtered == filtered, f"{name}: filters of its keys"
        has_filters = [segment.has_own_filter for segment in store.segments[:-1]]
        assert all(has_filters) if name.startswith("1.2-") else not any(has_filters), f"{name}: filters of segments"
        assert store.segments[0].runs > 0 and store.last_id > store.committed_id, f"{name}: runs, and a journal"
        later = check_with_codec(path, records)
        kept = {key: value for key, value in store.values.items() if key.startswith(b"subscription/")}
        assert kept and kept.items() <= later.values.items(), f"{name}: positions of subscriptions"
