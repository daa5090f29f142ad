#!/usr/bin/env python3
"""A pipeline without threads in an asyncio program: one descriptor pumps it, another one polls a consumer, and the
handler is called on the loop's own thread.

    asyncio_host.py CDEF LIBRARY
"""
import asyncio
import os
import pathlib
import sys
import tempfile
import threading

import cffi

RECORDS = 2000

cdef, library = sys.argv[1:]
ffi = cffi.FFI()
ffi.cdef(pathlib.Path(cdef).read_text())
svl = ffi.dlopen(library)
handled, polled, callers = [], [], set()


def check(rc, *outcomes):
    assert rc == svl.SVL_OK or rc in outcomes, (rc, ffi.string(svl.svl_last_error()))
    return rc


def bodies(batch):
    records, n = ffi.new("svl_record **"), ffi.new("size_t *")
    check(svl.svl_batch_records(batch, records, n))
    return [int(ffi.buffer(records[0][i].body.data, records[0][i].body.len)[:]) for i in range(n[0])]


@ffi.callback("int(svl_batch *, void *)")
def handle(batch, _):
    callers.add(threading.get_ident())
    handled.extend(bodies(batch))
    return svl.SVL_OK


def initial(name, function):
    options = ffi.new(name + " *")
    check(function(options, ffi.sizeof(name)))
    return options


def descriptor(function, handle):
    fd = ffi.new("int *")
    check(function(handle, fd))
    return fd[0]


class Host:
    def __init__(self, path):
        options = initial("svl_options", svl.svl_options_init)
        on = initial("svl_stored_options", svl.svl_stored_options_init)
        options.flags = svl.SVL_THREADLESS
        log, consumer = ffi.new("svl_pipeline **"), ffi.new("svl_consumer **")
        check(svl.svl_open(path.encode(), options, log))
        self.log = log[0]
        names = [ffi.new("char[]", b"handled"), ffi.new("char[]", b"polled")]
        on.name = names[0]
        check(svl.svl_on_stored(self.log, on, handle, ffi.NULL, ffi.NULL))
        on.name = names[1]
        check(svl.svl_consumer_open(self.log, on, consumer))
        self.consumer = consumer[0]
        check(svl.svl_start(self.log))
        self.done = asyncio.Event()
        self.readers = {descriptor(svl.svl_pump_fd, self.log): self.pump,
                        descriptor(svl.svl_consumer_fd, self.consumer): self.poll}
        for fd, read in self.readers.items():
            asyncio.get_running_loop().add_reader(fd, read)

    def look(self):
        if len(handled) >= RECORDS and len(polled) >= RECORDS:
            self.done.set()

    def pump(self):
        check(svl.svl_pump(self.log, 0, 0, ffi.NULL), svl.SVL_E_TIMEOUT, svl.SVL_E_AGAIN)
        self.look()

    def poll(self):
        batch = ffi.new("svl_batch **")
        if check(svl.svl_consumer_poll(self.consumer, 0, batch), svl.SVL_E_AGAIN) == svl.SVL_OK:
            polled.extend(bodies(batch[0]))
            check(svl.svl_batch_ack(batch[0]))
        self.look()

    def close(self):
        for fd in self.readers:
            asyncio.get_running_loop().remove_reader(fd)
        check(svl.svl_stop(self.log, -1))
        assert svl.svl_pump(self.log, 0, 0, ffi.NULL) == svl.SVL_E_CLOSED
        check(svl.svl_close(self.log))
        check(svl.svl_consumer_close(self.consumer))


def publish(log, first):
    for i in range(first, RECORDS, 2):
        check(svl.svl_publish_text(log, svl.SVL_SEVERITY_INFO, b"python", b"%d" % i))


async def main(path):
    host = Host(path)
    other = threading.Thread(target=publish, args=(host.log, 1))
    other.start()
    publish(host.log, 0)
    await host.done.wait()
    other.join()
    host.close()
    for numbers in handled, polled:
        assert sorted(numbers) == list(range(RECORDS))
        for odd in 0, 1:
            assert [i for i in numbers if i % 2 == odd] == list(range(odd, RECORDS, 2))
    assert callers == {threading.get_ident()}


with tempfile.TemporaryDirectory() as directory:
    asyncio.run(asyncio.wait_for(main(os.path.join(directory, "log")), 100))
print("ok")
