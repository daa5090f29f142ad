"""The journal: files, batches, and which of them are the log."""
from collections import namedtuple

from basics import Cursor, check, checksum, known, u32_at, u64_at
from blocks import Block
from records import read_wire

PAGE = 4096
HEADER_BYTES = 104
WIRE, BLOCK, OPS = 1, 2, 3
DELETES = (1 << 32) - 1

Header = namedtuple("Header", "number salt first_sequence chain salt_before durable size")
Batch = namedtuple("Batch", "sequence chain durable first_id count last_op ingest_ns length rings sections sum")


class File:
    def __init__(self, path, store_uuid):
        self.what = path.name
        self.data = path.read_bytes()
        page = self.data[:HEADER_BYTES].ljust(HEADER_BYTES, b"\0")
        self.header = None # of one that never became part of the log
        if page == bytes(HEADER_BYTES) and self.data[PAGE:PAGE + 4] != b"SVLB":
            return
        check(page[:8] == b"SVLJRNL1" and u64_at(page, 96) == checksum(page[:96]), f"{self.what}: its header")
        known(u32_at(page, 8) == 1 and u32_at(page, 16) == 0 and u32_at(page, 20) == PAGE,
              f"{self.what}: version {u32_at(page, 8)}, features {u32_at(page, 16):#x}")
        check(page[24:40] == store_uuid, f"{self.what}: it belongs to another store")
        header = Header(*(u64_at(page, at) for at in range(40, 96, 8)))
        if header.number == 0:
            return
        check(len(self.data) >= header.size, f"{self.what}: {len(self.data)} bytes of {header.size}")
        self.header = header

    def read_header(self, at):
        """A batch's header and tables; None: there is none of this file's salt."""
        page = self.data[at:at + PAGE]
        if len(page) < PAGE or page[:4] != b"SVLB" or u64_at(page, 8) != self.header.salt:
            return None
        c = Cursor(page, f"{self.what}: batch at {at}", 4)
        header_length = c.u32()
        c.u64()
        numbers = [c.u64() for _ in range(6)]
        ingest_ns, length, rings, sections = c.i64(), c.u64(), c.u32(), c.u32()
        sections_sum, header_sum = c.u64(), c.u64()
        if (rings > 64 or sections > 64 or header_length != HEADER_BYTES + 24 * rings + 16 * sections or
                header_length > PAGE or length < header_length):
            return None
        if header_sum != checksum(page[HEADER_BYTES:header_length], checksum(page[:96], self.header.salt)):
            return None
        ring_positions = [(c.bytes(16), c.u64()) for _ in range(rings)]
        table = [(c.u32(), c.u32(), c.u64()) for _ in range(sections)]
        return Batch(*numbers, ingest_ns, length, ring_positions, (header_length, table, sections_sum), header_sum)

    def read_batch(self, at):
        """A whole batch, its sections as (kind, count, bytes); None: there is none."""
        batch = self.read_header(at)
        if not batch or batch.length > len(self.data) - at:
            return None
        offset, table, sections_sum = batch.sections
        sections, count, chained = [], 0, self.header.salt
        for kind, n, length in table:
            if length > batch.length - offset:
                return None
            data = self.data[at + offset:at + offset + length]
            chained = checksum(data, chained)
            sections.append((kind, n, data))
            count += n if kind != OPS else 0
            offset += length
        if offset != batch.length or count != batch.count or chained != sections_sum:
            return None
        return batch._replace(sections=sections)


def find_run(directory, store_uuid):
    """The files of the log, in order."""
    files = [File(path, store_uuid) for path in sorted(directory.glob("journal.*")) if path.suffix[1:].isdigit()]
    files = sorted((file for file in files if file.header), key=lambda file: file.header.number)
    run = files[:1]
    for before, file in zip(files, files[1:]):
        check(file.header.number != before.header.number, f"{file.what} and {before.what} are the same part of the log")
        follows = (file.header.number == before.header.number + 1 and
                   file.header.salt_before == before.header.salt)
        run = run + [file] if follows else [file]
    return run


def read_log(directory, store_uuid):
    """The batches of the log, the sequence up to which headers prove that they were flushed, and its files' salts."""
    run = find_run(directory, store_uuid)
    batches, durable = [], 0
    if not run:
        return batches, durable, []
    expected, chain = run[0].header.first_sequence, run[0].header.chain
    for i, file in enumerate(run):
        check(file.header.first_sequence == expected and file.header.chain == chain,
              f"{file.what} does not follow the file before it")
        durable = max(durable, file.header.durable)
        limit = run[i + 1].header.first_sequence if i + 1 < len(run) else None
        at = PAGE
        while expected != limit:
            batch = file.read_batch(at)
            if not batch or batch.sequence != expected or batch.chain != chain:
                break
            batches.append(batch)
            durable = max(durable, batch.durable)
            expected, chain = expected + 1, batch.sum
            at += (batch.length + PAGE - 1) // PAGE * PAGE
        if limit is None:
            check(max(durable, durable_behind(file, at, expected)) < expected,
                  f"{file.what}: batch {expected} at {at}, which was flushed")
        else:
            check(expected == limit, f"{file.what}: batch {expected} at {at}")
    return batches, durable, [file.header.salt for file in run]


def durable_behind(file, at, expected):
    """What headers say that reached the disk before a batch in front of them."""
    headers = (file.read_header(offset) for offset in range(at, len(file.data) - PAGE + 1, PAGE))
    return max((header.durable for header in headers if header and header.sequence >= expected), default=0)


def read_records(batch):
    """Its records; ids follow from its first."""
    records, what = [], f"batch {batch.sequence} of the journal"
    for kind, count, data in batch.sections:
        known(kind in (WIRE, BLOCK, OPS), f"{what}: a section of kind {kind}")
        id = batch.first_id + len(records)
        if kind == WIRE:
            cursor = Cursor(data, what)
            records += [read_wire(cursor, id + i, batch.ingest_ns) for i in range(count)]
            cursor.end()
        elif kind == BLOCK:
            block = Block(data, what)
            check(block.zone.first_id == id and block.zone.count == count, f"{what}: a block of other records")
            of_block = block.records()
            check(all(record.ingest_ns == batch.ingest_ns for record in of_block), f"{what}: a block of another time")
            records += of_block
    return records


def read_operations(batch):
    """Its operations: number, key, value; None: the key is deleted."""
    found, what = [], f"batch {batch.sequence} of the journal"
    for kind, count, data in batch.sections:
        if kind != OPS:
            continue
        cursor = Cursor(data, what)
        for _ in range(count):
            key_length, value_length = cursor.u16(), cursor.u32()
            check(0 < key_length <= 480, f"{what}: a key of {key_length} bytes")
            check(value_length <= 65536 or value_length == DELETES, f"{what}: a value of {value_length} bytes")
            key = cursor.bytes(key_length)
            found.append((key, None if value_length == DELETES else cursor.bytes(value_length)))
        cursor.end()
    first = batch.last_op - len(found) + 1
    return [(first + i, key, value) for i, (key, value) in enumerate(found)]
