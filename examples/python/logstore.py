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
import runpy
import sys
import time

import serverlog
from serverlog import svl

SEVERITIES = [(logging.CRITICAL, "FATAL"), (logging.ERROR, "ERROR"), (logging.WARNING, "WARN"), (logging.INFO, "INFO"),
              (logging.DEBUG, "DEBUG"), (logging.NOTSET, "TRACE")]
SOURCE_BYTES_MAX, KEY_BYTES_MAX = 255, 480


def cut(text, bytes_max):
    """The text's first bytes, never half a character."""
    return text.encode("utf-8", "replace")[:bytes_max].decode("utf-8", "ignore").encode()


def severity_of(level):
    return getattr(svl, "SVL_SEVERITY_" + next(name for least, name in SEVERITIES if level >= least))


class Handler(logging.Handler):
    """Publishes each record to a pipeline on the store in directory `path`, which is this process's alone."""

    def __init__(self, path, level=logging.NOTSET):
        super().__init__(level)
        self.log = None
        self.log = serverlog.Pipeline(path)

    def emit(self, record):  # logging holds the handler's lock: the pipeline cannot be closed meanwhile
        try:
            if self.log is None:
                raise ValueError("the store has been closed")
            name = record.name if not record.name.startswith("serverlog.") else "python." + record.name
            self.log.publish(source=cut(name, SOURCE_BYTES_MAX),
                             key=cut(str(getattr(record, "key", "")), KEY_BYTES_MAX),
                             body=self.format(record),
                             severity=severity_of(record.levelno),
                             time_ns=int(record.created * 1e9),
                             attributes={"code.filepath": record.pathname, "code.lineno": record.lineno,
                                         "thread.name": str(record.threadName)})
        except Exception:
            self.handleError(record)

    def flush(self):
        """Returns when everything that was logged is safe against power loss."""
        with self.lock:
            if self.log is not None:
                self.log.flush()

    def close(self):
        """logging calls it at exit, while the interpreter still runs: the library's threads end here."""
        with self.lock:
            log, self.log = self.log, None
        super().close()
        if log is not None:
            log.close()


def find(path, logger=None, level=logging.NOTSET, key=None, since_ns=0):
    """Each record that matches, in the order of the log."""
    store = serverlog.Store(path)
    try:
        yield from store.query(source=logger or "", key=key, time_min_ns=since_ns,
                               severity_min=severity_of(level) if level else 0)
    finally:
        store.close()


def run(arguments):
    logging.basicConfig(level=logging.DEBUG, format="%(message)s", handlers=[Handler(arguments.store)])
    sys.argv = [arguments.script, *arguments.argument]
    sys.path[0] = os.path.dirname(os.path.abspath(arguments.script))
    runpy.run_path(arguments.script, run_name="__main__")


def show(arguments):
    since_ns = time.time_ns() - int(arguments.since * 60e9) if arguments.since else 0
    level = logging.getLevelName(arguments.level.upper())
    for record in find(arguments.store, arguments.logger, level, arguments.key, since_ns):
        when = datetime.datetime.fromtimestamp(record.time_ns / 1e9).isoformat(" ", "milliseconds")
        print(when, record.severity, record.source, "[%s]" % record.key if record.key else "-", record.body)


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
    except serverlog.Error as problem:
        sys.exit("logstore: %s" % problem)


if __name__ == "__main__":
    main()
