#!/usr/bin/env python3
"""logstore.py - Python's logging, kept in a store and found again by logger, level, key and time.

    logstore.py run STORE SCRIPT [ARGUMENT...]   runs a script whose logging goes to STORE
    logstore.py find STORE [--logger NAME] [--level LEVEL] [--key KEY] [--since MINUTES]

Or, in a program:

    import logstore
    logging.getLogger().addHandler(logstore.Handler("app.store"))
    logging.error("payment refused", extra={"key": "order-17"})

`key` is what the store's key index finds the record by. What the threads of a program may do: README.md.
"""
import argparse
import datetime
import logging
import os
import pathlib
import runpy
import subprocess
import sys
import time

import cffi

SEVERITIES = [(logging.CRITICAL, "FATAL"), (logging.ERROR, "ERROR"), (logging.WARNING, "WARN"), (logging.INFO, "INFO"),
              (logging.DEBUG, "DEBUG"), (logging.NOTSET, "TRACE")]
SOURCE_BYTES_MAX, KEY_BYTES_MAX = 255, 480
TIMEOUT_MS = 10_000


def installed(variable, file):
    """Where the library's pkg-config file says that it is."""
    command = ["pkg-config", "--variable=" + variable, "serverlog"]
    return os.path.join(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip(), file)


ffi = cffi.FFI()
ffi.cdef(pathlib.Path(os.environ.get("SERVERLOG_CDEF")
                      or installed("includedir", "serverlog/serverlog.cdef.h")).read_text())
svl = ffi.dlopen(os.environ.get("SERVERLOG_LIBRARY") or installed("libdir", "libserverlog.so.0"))


class Error(Exception):
    pass


def check(rc):
    if rc != svl.SVL_OK:
        raise Error(ffi.string(svl.svl_last_error()).decode() or ffi.string(svl.svl_strerror(rc)).decode())


def lend(to, data):
    """Makes the slice `to` point to `data`; the result must be kept until the library has copied the bytes."""
    to.data = buffer = ffi.from_buffer(data)
    to.len = len(data)
    return buffer


def cut(text, bytes_max):
    """The text's first bytes, never half a character."""
    return text.encode("utf-8", "replace")[:bytes_max].decode("utf-8", "ignore").encode()


def severity_of(level):
    return getattr(svl, "SVL_SEVERITY_" + next(name for least, name in SEVERITIES if level >= least))


class Handler(logging.Handler):
    """Publishes each record to a pipeline on the store in directory `path`, which is this process's alone."""

    def __init__(self, path, level=logging.NOTSET):
        super().__init__(level)
        self.pipeline = None
        out = ffi.new("svl_pipeline **")
        check(svl.svl_open(os.fsencode(path), ffi.NULL, out))
        self.pipeline = out[0]
        try:
            check(svl.svl_start(self.pipeline))
        except Error:
            self.close()
            raise

    def emit(self, record):  # logging holds the handler's lock: the pipeline cannot be closed meanwhile
        try:
            if self.pipeline is None:
                raise Error("the store has been closed")
            self.publish(record)
        except Exception:
            self.handleError(record)

    def publish(self, record):
        row, attributes = ffi.new("svl_record *"), ffi.new("svl_attribute[3]")
        name = record.name if not record.name.startswith("serverlog.") else "python." + record.name
        row.time_ns = int(record.created * 1e9)
        row.severity = severity_of(record.levelno)
        lent = [lend(row.source, cut(name, SOURCE_BYTES_MAX)),
                lend(row.body, self.format(record).encode("utf-8", "replace")),
                lend(row.key, cut(str(getattr(record, "key", "")), KEY_BYTES_MAX))]
        values = {"code.filepath": record.pathname, "code.lineno": record.lineno, "thread.name": record.threadName}
        for attribute, (key, value) in zip(attributes, values.items()):
            lent.append(lend(attribute.name, key.encode()))
            if isinstance(value, int):
                attribute.kind, attribute.i64 = svl.SVL_ATTRIBUTE_I64, value
            else:
                attribute.kind = svl.SVL_ATTRIBUTE_TEXT
                lent.append(lend(attribute.bytes, str(value).encode("utf-8", "replace")))
        row.attributes, row.attribute_count = attributes, len(attributes)
        check(svl.svl_publish(self.pipeline, row))

    def flush(self):
        """Returns when everything that was logged is safe against power loss."""
        with self.lock:
            if self.pipeline is not None:
                check(svl.svl_flush(self.pipeline, TIMEOUT_MS))

    def close(self):
        """logging calls it at exit, while the interpreter still runs: the library's threads end here."""
        with self.lock:
            pipeline, self.pipeline = self.pipeline, None
        super().close()
        if pipeline is not None:
            check(svl.svl_close(pipeline))


def find(path, logger=None, level=logging.NOTSET, key=None, since_ns=0):
    """Each record that matches, as (time_ns, severity, logger, key, text), in the order of the log."""
    store, cursor = ffi.new("svl_store **"), ffi.new("svl_cursor **")
    records, n = ffi.new("const svl_record **"), ffi.new("size_t *")
    options, query = ffi.new("svl_store_options *"), ffi.new("svl_query *")
    check(svl.svl_store_options_init(options, ffi.sizeof("svl_store_options")))
    check(svl.svl_query_init(query, ffi.sizeof("svl_query")))
    options.flags = svl.SVL_STORE_NO_CREATE
    query.time_min_ns = since_ns
    query.severity_min = severity_of(level) if level else 0
    lent = [lend(query.source, (logger or "").encode()), lend(query.key_low, (key or "").encode())]
    query.key_kind = svl.SVL_KEY_EXACT if key else svl.SVL_KEY_ANY
    check(svl.svl_store_open(os.fsencode(path), options, store))
    try:
        check(svl.svl_store_query(store[0], query, cursor))
        lent.clear()
        while (rc := svl.svl_cursor_next_many(cursor[0], 0, 1000, records, n)) == svl.SVL_OK:
            for i in range(n[0]):
                row = records[0][i]
                texts = (ffi.buffer(part.data, part.len)[:].decode("utf-8", "replace") if part.len else ""
                         for part in (row.source, row.key, row.body))
                yield row.time_ns, row.severity, *texts
        if rc != svl.SVL_E_END:
            check(rc)
    finally:
        svl.svl_cursor_close(cursor[0])
        svl.svl_store_close(store[0])


def run(arguments):
    logging.basicConfig(level=logging.DEBUG, format="%(message)s", handlers=[Handler(arguments.store)])
    sys.argv = [arguments.script, *arguments.argument]
    sys.path[0] = os.path.dirname(os.path.abspath(arguments.script))
    runpy.run_path(arguments.script, run_name="__main__")


def show(arguments):
    since_ns = time.time_ns() - int(arguments.since * 60e9) if arguments.since else 0
    level = logging.getLevelName(arguments.level.upper())
    for time_ns, severity, logger, key, text in find(arguments.store, arguments.logger, level, arguments.key, since_ns):
        when = datetime.datetime.fromtimestamp(time_ns / 1e9).isoformat(" ", "milliseconds")
        print(when, severity, logger, "[%s]" % key if key else "-", text)


def main():
    parser = argparse.ArgumentParser(description="Python's logging, kept in a store")
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run", help="run a script whose logging goes to STORE")
    running.add_argument("store")
    running.add_argument("script")
    running.add_argument("argument", nargs=argparse.REMAINDER)
    running.set_defaults(command=run)
    finding = commands.add_parser("find", help="print what STORE holds")
    finding.add_argument("store")
    finding.add_argument("--logger")
    finding.add_argument("--level", default="NOTSET", help="this and above", type=str.upper,
                         choices=["NOTSET", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
    finding.add_argument("--key")
    finding.add_argument("--since", type=float, metavar="MINUTES")
    finding.set_defaults(command=show)
    arguments = parser.parse_args()
    try:
        arguments.command(arguments)
    except Error as problem:
        sys.exit("logstore: %s" % problem)


if __name__ == "__main__":
    main()
