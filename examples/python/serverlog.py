"""serverlog.py - libserverlog as a Python module: publish, query, follow, pull.

    with serverlog.Pipeline("app.store") as log:
        log.publish(source="shop.orders", key="order-17", body="paid")
        for record in log.query(key="order-17"): ...
        async for record in log.follow(source="shop.orders"): ...
        async for batch in log.consumer(name="billing"): ...; batch.ack()

Options, conditions and records have the names of the C structs' members; text and bytes stand for a slice. The library
never calls into Python. What the threads of a program may do: README.md.
"""
import asyncio
import collections
import functools
import os
import pathlib
import subprocess

import cffi

ROWS = 1000  # at most, of a step of a cursor
TIMEOUT_MS = 10_000
WAIT_MS = 200  # of a thread that follows: then Python looks for signals
FOLLOW_INTERVAL = 0.02  # seconds, of a task that follows: as the library's sync_interval_ms


def installed(variable, file):
    """Where the library's pkg-config file says that it is."""
    command = ["pkg-config", "--variable=" + variable, "serverlog"]
    return os.path.join(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip(), file)


ffi = cffi.FFI()
ffi.cdef(pathlib.Path(os.environ.get("SERVERLOG_CDEF")
                      or installed("includedir", "serverlog/serverlog.cdef.h")).read_text())
svl = ffi.dlopen(os.environ.get("SERVERLOG_LIBRARY") or installed("libdir", "libserverlog.so.0"))

Record = collections.namedtuple("Record", "id time_ns ingest_ns severity source type key body attributes")


class Error(Exception):
    """`code` is one of the SVL_E_* constants."""

    def __init__(self, code):
        short, words = ffi.string(svl.svl_strerror(code)), ffi.string(svl.svl_last_error())
        # Words that begin otherwise are of an earlier failure: outcomes, such as SVL_E_TIMEOUT, have none.
        super().__init__((words if words.startswith(short) else short).decode("utf-8", "replace"))
        self.code = code


def check(rc):
    if rc != svl.SVL_OK:
        raise Error(rc)


def to_bytes(value):
    return value.encode("utf-8", "replace") if isinstance(value, str) else value


def to_text(part):
    return ffi.buffer(part.data, part.len)[:].decode("utf-8", "replace") if part.len else ""


@functools.lru_cache(None)
def members(kind):
    return {name: field.type for name, field in kind.fields}


def fill(struct, kind, values, lent):
    """Sets members of a struct of this kind. `lent` holds what they point to: to be kept until the library's call."""
    for name, value in values.items():
        member = members(kind)[name]
        if name == "attributes":
            struct.attributes, struct.attribute_count = to_attributes(value, lent), len(value)
        elif member.cname == "svl_slice":
            lent.append(ffi.from_buffer(to_bytes(value)))
            getattr(struct, name).data, getattr(struct, name).len = lent[-1], len(lent[-1])
        elif member.kind == "struct":
            fill(getattr(struct, name), member, value, lent)
        elif isinstance(value, dict):  # a pointer to options
            setattr(struct, name, new(member.item.cname, value, lent))
        elif isinstance(value, (str, bytes)):
            lent.append(ffi.new("char[]", to_bytes(value)))
            setattr(struct, name, lent[-1])
        else:
            setattr(struct, name, value)


def new(name, values, lent):
    """A struct; what is not given is zero, the default."""
    kind = ffi.typeof(name)
    struct = ffi.new(ffi.getctype(kind, "*"))
    if "struct_size" in members(kind):
        struct.struct_size = ffi.sizeof(kind)
    fill(struct, kind, values, lent)
    lent.append(struct)
    return struct


def to_attributes(values, lent):
    array = ffi.new("svl_attribute[]", len(values))
    for attribute, (name, value) in zip(array, values.items()):
        if isinstance(value, bool):
            given = {"kind": svl.SVL_ATTRIBUTE_BOOL, "i64": value}
        elif isinstance(value, int):
            given = {"kind": svl.SVL_ATTRIBUTE_I64, "i64": value}
        elif isinstance(value, float):
            given = {"kind": svl.SVL_ATTRIBUTE_F64, "f64": value}
        else:
            is_text = isinstance(value, str)
            given = {"kind": svl.SVL_ATTRIBUTE_TEXT if is_text else svl.SVL_ATTRIBUTE_BYTES, "bytes": value}
        fill(attribute, ffi.typeof("svl_attribute"), dict(given, name=name), lent)
    lent.append(array)
    return array


def from_attribute(attribute):
    if attribute.kind == svl.SVL_ATTRIBUTE_TEXT:
        return to_text(attribute.bytes)
    if attribute.kind == svl.SVL_ATTRIBUTE_BYTES:
        return ffi.buffer(attribute.bytes.data, attribute.bytes.len)[:] if attribute.bytes.len else b""
    if attribute.kind == svl.SVL_ATTRIBUTE_F64:
        return attribute.f64
    return bool(attribute.i64) if attribute.kind == svl.SVL_ATTRIBUTE_BOOL else attribute.i64


def from_record(row):
    """A record of Python's own, from one that the library lends."""
    attributes = {to_text(row.attributes[i].name): from_attribute(row.attributes[i])
                  for i in range(row.attribute_count)}
    body = to_text(row.body)
    if row.body_kind == svl.SVL_BODY_BINARY:
        body = ffi.buffer(row.body.data, row.body.len)[:] if row.body.len else b""
    return Record(row.id, row.time_ns, row.ingest_ns, row.severity, to_text(row.source), to_text(row.type),
                  to_text(row.key), body, attributes)


class Cursor:
    """What a query finds: `for`, in any one thread, or `async for`. Close it, or go to its end; for one that follows
    that is the end of its pipeline, or the query's limit."""

    def __init__(self, store, conditions):
        out, lent = ffi.new("svl_cursor **"), []
        check(svl.svl_store_query(store, new("svl_query", conditions, lent), out))
        self.cursor = out[0]
        self.rows, self.n = ffi.new("const svl_record **"), ffi.new("size_t *")

    def step(self, timeout_ms):
        """The next records; none: not now; None: no more."""
        rc = svl.svl_cursor_next_many(self.cursor, timeout_ms, ROWS, self.rows, self.n)
        if rc in (svl.SVL_E_END, svl.SVL_E_CLOSED):
            return None
        if rc in (svl.SVL_E_TIMEOUT, svl.SVL_E_AGAIN):
            return []
        check(rc)
        return [from_record(self.rows[0][i]) for i in range(self.n[0])]

    def __iter__(self):
        try:
            while (records := self.step(WAIT_MS)) is not None:
                yield from records
        finally:
            self.close()

    async def __aiter__(self):
        try:
            while (records := self.step(0)) is not None:
                for record in records:
                    yield record
                if not records:
                    await asyncio.sleep(FOLLOW_INTERVAL)
        finally:
            self.close()

    def close(self):
        cursor, self.cursor = self.cursor, ffi.NULL
        svl.svl_cursor_close(cursor)


class Batch:
    """Records to work on, as a consumer was given them: ack() or nack() it, in time."""

    def __init__(self, batch):
        self.batch = batch
        rows, n = ffi.new("const svl_record **"), ffi.new("size_t *")
        check(svl.svl_batch_records(batch, rows, n))
        self.records = [from_record(rows[0][i]) for i in range(n[0])]
        self.attempt = svl.svl_batch_attempt(batch)

    def fail(self, i, reason):
        """records[i] and what is behind it come again; what is before it is done with ack()."""
        check(svl.svl_batch_fail(self.batch, i, to_bytes(reason)))

    def reject(self, i, reason):
        """records[i] can never be done: a dead letter."""
        check(svl.svl_batch_reject(self.batch, i, to_bytes(reason)))

    def ack(self):
        batch, self.batch = self.batch, ffi.NULL
        check(svl.svl_batch_ack(batch))

    def nack(self, reason, code=svl.SVL_FAIL):
        """All of it comes again."""
        batch, self.batch = self.batch, ffi.NULL
        check(svl.svl_batch_nack(batch, code, to_bytes(reason)))


class Consumer:
    """`async for` its batches, until the pipeline is stopped. Close it, but not while poll() waits: cancel that."""

    def __init__(self, pipeline, options):
        out, fd, lent = ffi.new("svl_consumer **"), ffi.new("int *"), []
        check(svl.svl_consumer_open(pipeline, new("svl_stored_options", options, lent), out))
        self.consumer = out[0]
        try:
            check(svl.svl_consumer_fd(self.consumer, fd))
        except Error:
            self.close()
            raise
        self.fd = fd[0]

    async def poll(self):
        """The next batch; None: the pipeline was stopped."""
        out = ffi.new("svl_batch **")
        while (rc := svl.svl_consumer_poll(self.consumer, 0, out)) == svl.SVL_E_AGAIN:
            await self.readable()
        if rc == svl.SVL_E_CLOSED:
            return None
        check(rc)
        return Batch(out[0])

    async def readable(self):
        """The descriptor is level-triggered, so nobody may look at it but while there is nothing to poll."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self.fd, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self.fd)

    async def __aiter__(self):
        while (batch := await self.poll()) is not None:
            yield batch

    def close(self):
        consumer, self.consumer = self.consumer, ffi.NULL
        check(svl.svl_consumer_close(consumer))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Queries:
    """On `self.store`. `key` and `key_prefix` are short for conditions on the key."""

    def query(self, *, key=None, key_prefix=None, **conditions):
        if key is not None:
            conditions.update(key_kind=svl.SVL_KEY_EXACT, key_low=key)
        elif key_prefix is not None:
            conditions.update(key_kind=svl.SVL_KEY_PREFIX, key_low=key_prefix)
        return Cursor(self.store, conditions)

    def follow(self, *, tail=0, **conditions):
        """What becomes durable from now on, behind the last `tail` records."""
        return self.query(tail=tail, flags=svl.SVL_QUERY_FOLLOW | svl.SVL_QUERY_TAIL, **conditions)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Store(Queries):
    """Reads the store in directory `path`, which another process may write meanwhile."""

    def __init__(self, path):
        out, lent = ffi.new("svl_store **"), []
        options = new("svl_store_options", {"flags": svl.SVL_STORE_READ_ONLY}, lent)
        check(svl.svl_store_open(os.fsencode(path), options, out))
        self.store = out[0]

    def close(self):
        store, self.store = self.store, ffi.NULL
        check(svl.svl_store_close(store))


class Pipeline(Queries):
    """A pipeline on the store in directory `path`, which is this process's alone."""

    def __init__(self, path, **options):
        out, lent = ffi.new("svl_pipeline **"), []
        check(svl.svl_open(os.fsencode(path), new("svl_options", options, lent), out))
        self.pipeline = out[0]
        try:
            check(svl.svl_start(self.pipeline))
        except Error:
            self.close()
            raise
        self.store = svl.svl_pipeline_store(self.pipeline)

    def publish(self, **record):
        """On any thread. It outlives the process from now on; full_policy says what becomes of it in a full ring."""
        lent = []
        if "body" in record and not isinstance(record["body"], str):
            record.setdefault("body_kind", svl.SVL_BODY_BINARY)
        check(svl.svl_publish(self.pipeline, new("svl_record", record, lent)))

    def consumer(self, **options):
        return Consumer(self.pipeline, options)

    def flush(self, timeout_ms=TIMEOUT_MS):
        """All that was published before is safe against power loss."""
        check(svl.svl_flush(self.pipeline, timeout_ms))

    def stop(self, timeout_ms=TIMEOUT_MS):
        """Stores what was published and takes no more: cursors that follow end, and consumers."""
        check(svl.svl_stop(self.pipeline, timeout_ms))

    def close(self):
        """Stops it, and frees it: no other call may be in progress."""
        pipeline, self.pipeline, self.store = self.pipeline, ffi.NULL, ffi.NULL
        check(svl.svl_close(pipeline))
