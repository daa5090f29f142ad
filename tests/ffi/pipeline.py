#!/usr/bin/env python3
"""A pipeline through serverlog.cdef.h and cffi: published on several threads, found by key and by time.

    pipeline.py CDEF LIBRARY
"""
import os
import pathlib
import sys
import tempfile
import threading

import cffi

THREADS, RECORDS, KEYS = 4, 25000, 50
START_NS = 1_700_000_000_000_000_000

cdef, library = sys.argv[1:]
ffi = cffi.FFI()
ffi.cdef(pathlib.Path(cdef).read_text())
svl = ffi.dlopen(library)


def check(rc):
    assert rc == svl.SVL_OK, (rc, ffi.string(svl.svl_last_error()))


def publish(log, thread):
    """Record `i` of a thread is of second `i`, under key i modulo KEYS; its body names both."""
    record = ffi.new("svl_record *")
    source = ffi.new("char[]", b"python.%d" % thread)
    record.source.data, record.source.len = source, len(source) - 1
    record.severity = svl.SVL_SEVERITY_INFO
    for i in range(RECORDS):
        key, body = ffi.from_buffer(b"key-%d" % (i % KEYS)), ffi.from_buffer(b"%d %d" % (thread, i))
        record.time_ns = START_NS + i * 1_000_000_000
        record.key.data, record.key.len = key, len(key)
        record.body.data, record.body.len = body, len(body)
        rc = svl.svl_publish(log, record)
        if rc != svl.SVL_OK:
            failures.append((thread, i, rc))
            return


def find(store, **conditions):
    """The bodies, as pairs of numbers, in the order of the log."""
    query = ffi.new("svl_query *")
    check(svl.svl_query_init(query, ffi.sizeof("svl_query")))
    kept = []
    for name, value in conditions.items():
        if isinstance(value, bytes):
            kept.append(ffi.from_buffer(value))
            getattr(query, name).data, getattr(query, name).len = kept[-1], len(value)
        else:
            setattr(query, name, value)
    cursor, records, n = ffi.new("svl_cursor **"), ffi.new("const svl_record **"), ffi.new("size_t *")
    check(svl.svl_store_query(store, query, cursor))
    found = []
    while (rc := svl.svl_cursor_next_many(cursor[0], 0, 1000, records, n)) == svl.SVL_OK:
        for i in range(n[0]):
            body = records[0][i].body
            found.append(tuple(map(int, ffi.buffer(body.data, body.len)[:].split())))
    assert rc == svl.SVL_E_END, rc
    svl.svl_cursor_close(cursor[0])
    return found


def check_what_is_found(store):
    everything = find(store)
    assert len(everything) == len(set(everything)) == THREADS * RECORDS
    for thread in range(THREADS):
        in_order = [(thread, i) for i in range(RECORDS)]
        assert [pair for pair in everything if pair[0] == thread] == in_order
        assert find(store, source=b"python.%d" % thread) == in_order
    by_key = find(store, key_kind=svl.SVL_KEY_EXACT, key_low=b"key-7")
    assert sorted(by_key) == [(thread, i) for thread in range(THREADS) for i in range(7, RECORDS, KEYS)]
    by_prefix = find(store, key_kind=svl.SVL_KEY_PREFIX, key_low=b"key-4")
    assert len(by_prefix) == THREADS * RECORDS * 11 // KEYS  # key-4 and key-40 to key-49
    by_time = find(store, time_min_ns=START_NS + 100_000_000_000, time_max_ns=START_NS + 110_000_000_000)
    assert sorted(by_time) == [(thread, i) for thread in range(THREADS) for i in range(100, 110)]
    assert find(store, key_kind=svl.SVL_KEY_EXACT, key_low=b"none") == []


failures = []
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "store").encode()
    log = ffi.new("svl_pipeline **")
    assert svl.svl_open(b"", ffi.NULL, log) != svl.SVL_OK and ffi.string(svl.svl_last_error()) != b""
    for run in range(2):
        check(svl.svl_open(path, ffi.NULL, log))
        check(svl.svl_start(log[0]))
        if run == 0:
            threads = [threading.Thread(target=publish, args=(log[0], number)) for number in range(THREADS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert not failures, failures
            check(svl.svl_flush(log[0], 60000))
        check_what_is_found(svl.svl_pipeline_store(log[0]))
        check(svl.svl_close(log[0]))
print(f"{THREADS * RECORDS} records")
