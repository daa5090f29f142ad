"""A whole store at rest: catalog, segments, journal."""
import pathlib
import struct
from collections import namedtuple

import journal
from basics import Cursor, as_i64, check, checksum, known, u16_at, u32_at, u64_at
from blocks import Block, read_zone
from lmdb_file import INTEGER_KEYS, LmdbFile
from runtime import read_bell

CATALOG_MAP_BYTES = 1 << 30
ACTIVE, FULL, SEALED = 1, 2, 3
RUN_BLOCKS = 256

State = namedtuple("State", "uuid next_id retention_floor watermark last_op ingest_ns")
Range = namedtuple("Range", "last_id blocks raw_bytes stored_bytes time_min time_max ingest_min ingest_max")
Entry = namedtuple("Entry", "first_id generation state uuid map_bytes range")


def range_of(last_id, numbers):
    return Range(last_id, *numbers[:3], *(as_i64(time) for time in numbers[3:]))


class Catalog:
    def __init__(self, directory):
        path = directory / "catalog.mdb"
        check(path.exists(), "there is no catalog.mdb")
        self.segments, self.rings, self.values, self.state = [], {}, {}, None
        for key, value in LmdbFile(path, CATALOG_MAP_BYTES).main.items():
            check(len(value) >= 8 and u64_at(value, len(value) - 8) == checksum(value[:-8], checksum(key)),
                  f"catalog.mdb: the seal of {key!r}")
            self.take(key[:1], key[1:], value[:-8])
        check(self.state, "catalog.mdb: it has no state")

    def take(self, letter, key, value):
        if letter == b"F":
            known(u32_at(value, 0) == 1 and u32_at(value, 4) == 0, f"a store of version {u32_at(value, 0)}")
            check(len(value) == 64 and key == b"", "catalog.mdb: the state")
            numbers = [u64_at(value, at) for at in range(24, 64, 8)]
            self.state = State(value[8:24], *numbers[:4], as_i64(numbers[4]))
        elif letter == b"S":
            check(len(value) == 120 and key == value[7::-1], f"catalog.mdb: the segment {key!r}")
            numbers = [u64_at(value, at) for at in range(40, 104, 8)]
            entry = Entry(u64_at(value, 0), u32_at(value, 16), u32_at(value, 20), value[24:40], numbers[0],
                          range_of(u64_at(value, 8), numbers[1:]))
            check(entry.state in (ACTIVE, FULL, SEALED) and 0 < entry.first_id <= entry.range.last_id + 1,
                  f"catalog.mdb: segment {entry.first_id}")
            self.segments.append(entry)
        elif letter == b"R":
            check(value[:1] in (b"\0", b"\1"), f"catalog.mdb: ring {key!r}")
            self.rings[key.decode()] = (value[0] == 1, value[1:].decode())
        elif letter == b"V":
            self.values[key] = value


def denied_by(filter, number, place, keys, what):
    """The keys that a filter says it does not have; each line is whole."""
    lines, denied = len(filter) // 64, set()
    for at in range(lines):
        line = filter[64 * at:][:64]
        seal = checksum(line[:56], checksum(struct.pack("<QQQ", number, lines, at), place))
        check(u64_at(line, 56) == seal, f"{what}: line {at}")
    for key in keys:
        hash = checksum(key, place)
        line = 64 * ((hash >> 42) * lines >> 22)
        if not all(u64_at(filter, line + 8 * word) >> (hash >> 6 * word & 63) & 1 for word in range(7)):
            denied.add(key)
    return denied


class Segment:
    def __init__(self, directory, entry, store_uuid):
        self.name = f"{entry.first_id:020}-{entry.generation % 100:02}.seg"
        path = directory / self.name
        check(path.exists(), f"{self.name} is missing")
        file = LmdbFile(path, entry.map_bytes)
        self.read_meta(dict(file.table(b"meta", 0)).get(b"segment", b""), entry, store_uuid)
        zones = {first_id: self.unsealed(b"zones", first_id.to_bytes(8, "little"), value)
                 for first_id, value in file.table(b"zones", INTEGER_KEYS)}
        blocks = dict(file.table(b"blocks", INTEGER_KEYS))
        check(list(zones) == list(blocks) and len(blocks) == self.range.blocks, f"{self.name}: its blocks")
        self.records, self.block_keys = [], {}
        self.codecs, self.encodings = set(), set()
        next_id = entry.first_id
        for first_id, data in blocks.items():
            block = Block(data, f"{self.name}: block {first_id}")
            check(first_id == next_id == block.zone.first_id, f"{block.what}: ids are missing before it")
            check(read_zone(zones[first_id], block.what) == block.zone, f"{block.what}: its entry of zones")
            self.records += block.records()
            self.block_keys[first_id] = block.key_names()
            self.codecs |= block.codecs
            self.encodings |= block.encodings
            next_id += block.zone.count
        check(next_id == self.range.last_id + 1, f"{self.name}: it ends at {next_id - 1}")
        self.index = self.read_index([(key, self.unsealed(b"keys", key, value))
                                      for key, value in file.table(b"keys", 0)])
        self.check_index()
        self.filtered = set() # runs with a filter; None: a segment of before
        filters = file.table(b"keyfilters", INTEGER_KEYS) if b"keyfilters" in file.main else None
        for run, filter in filters or []:
            self.check_filter(run, filter)
            self.filtered.add(run)
        if filters is None:
            self.filtered = None
        self.has_own_filter = entry.state != ACTIVE and self.read_own_filter(directory)

    def read_meta(self, meta, entry, store_uuid):
        check(len(meta) == 136 and u64_at(meta, 128) == checksum(meta[:128]), f"{self.name}: what it says of itself")
        known(u32_at(meta, 0) == 1 and u32_at(meta, 8) == 0, f"{self.name}: version {u32_at(meta, 0)}")
        check(meta[16:32] == entry.uuid and meta[32:48] == store_uuid and u64_at(meta, 48) == entry.first_id,
              f"{self.name}: it is not the segment that the catalog names")
        self.uuid = meta[16:32]
        self.runs = u32_at(meta, 12)
        self.indexed_to = u64_at(meta, 64)
        self.range = range_of(u64_at(meta, 56), [u64_at(meta, at) for at in range(72, 128, 8)])
        if entry.state == ACTIVE:
            check(self.range.last_id >= entry.range.last_id and self.range.blocks >= entry.range.blocks,
                  f"{self.name}: it is older than the catalog says")
        else:
            check(self.range == entry.range, f"{self.name}: it is not what the catalog says")

    def unsealed(self, table, key, value):
        seal = checksum(value[:-8], checksum(key, checksum(table, checksum(self.uuid))))
        check(len(value) >= 8 and u64_at(value, len(value) - 8) == seal, f"{self.name}: the seal of {key!r} in {table!r}")
        return value[:-8]

    def read_index(self, chunks):
        """For each key the blocks that runs name for it; runs cover blocks behind those of the run before."""
        index, run, number, last_id, before, end = {}, 0, 0, 0, 0, None
        self.run_keys = {}
        for place, value in chunks:
            what = f"{self.name}: chunk {number} of run {run}"
            is_last = len(place) == 4
            check(len(place) >= 4 and int.from_bytes(place[:4], "big") == run + is_last and run < self.runs and
                  len(value) >= 6 and u32_at(value, 0) == number, f"{what}: its place")
            for i, (key, ids) in enumerate(self.entries_of(value, what)):
                follows = i > 0 and key > end or i == 0 and (number == 0 or key == end)
                check(follows and (is_last or key < place[4:]), f"{what}: key {key!r} is not in order")
                end = key
                self.run_keys.setdefault(run, []).append(key)
                for id in ids:
                    check(before < id <= self.indexed_to, f"{what}: it names block {id}")
                    index.setdefault(key, []).append(id)
                last_id = max(last_id, ids[-1])
            end = place[4:]
            run, number = (run + 1, 0) if is_last else (run, number + 1)
            if is_last:
                before = last_id
        check((run, number) == (self.runs, 0), f"{self.name}: {run} runs of {self.runs}")
        return index

    def entries_of(self, chunk, what):
        """Keys and their ids."""
        n, at, found = u16_at(chunk, 4), 6, []
        table = len(chunk) - 4 * n
        check(n > 0 and table > 6, f"{what}: {n} keys")
        for i in range(n):
            key_end, ids_end = u16_at(chunk, table + 4 * i), u16_at(chunk, table + 4 * i + 2)
            check(at < key_end < ids_end <= table, f"{what}: the place of key {i}")
            cursor, id, ids = Cursor(chunk[key_end:ids_end], f"{what}: key {i}"), 0, []
            while cursor.left() > 0:
                delta = cursor.varint()
                check(delta > 0, f"{cursor.what}: its blocks")
                id += delta
                ids.append(id)
            found.append((chunk[at:key_end], ids))
            at = ids_end
        check(at == table, f"{what}: bytes behind its keys")
        return found

    def check_filter(self, run, filter):
        """Each line is whole, and no key of the run is denied."""
        what, place = f"{self.name}: filter of run {run}", checksum(b"keyfilters", checksum(self.uuid))
        lines, rest = divmod(len(filter) - 48, 64)
        check(run < self.runs and lines > 0 and rest == 0 and filter[:48] == bytes(48), f"{what}: its form")
        denied = denied_by(filter[48:], run, place, self.run_keys[run], what)
        check(not denied, f"{what}: it denies {denied}")

    def read_own_filter(self, directory):
        """The file beside a full segment: no key of a block is denied by all of its parts. False: it is not there."""
        name = self.name.replace(".seg", ".keys")
        if not (directory / name).exists():
            return False
        data, place = (directory / name).read_bytes(), checksum(b"filter", checksum(self.uuid))
        check(len(data) >= 192 and data[:8] == b"svlkeys\0" and u64_at(data, 56) == checksum(data[:56], place),
              f"{name}: its head")
        known(u32_at(data, 8) == 1, f"{name}: version {u32_at(data, 8)}")
        check(data[16:32] == self.uuid and u64_at(data, 32) == self.range.last_id and u64_at(data, 40) == len(data) and
              data[48:56] == bytes(8), f"{name}: it is not of this segment")
        denied, at = set().union(*self.block_keys.values()), 64
        for part in range(u32_at(data, 12)):
            head, what = data[at:at + 64], f"{name}: part {part}"
            check(len(head) == 64 and u64_at(head, 0) == part and head[16:56] == bytes(40) and
                  u64_at(head, 56) == checksum(head[:56], place), f"{what}: its head")
            end = at + 64 + 64 * u64_at(head, 8)
            check(at + 64 < end <= len(data), f"{what}: its lines")
            denied = denied_by(data[at + 64:end], part, place, denied, what)
            at = end
        check(at == len(data) and not denied, f"{name}: it denies {denied}")
        return True

    def check_index(self):
        """The index is what the blocks say: no key more, none less; what no run covers is not much."""
        wanted, uncovered = {}, 0
        for first_id, keys in self.block_keys.items():
            uncovered += first_id > self.indexed_to
            for key in keys:
                if first_id <= self.indexed_to:
                    wanted.setdefault(key, []).append(first_id)
        check(wanted == self.index, f"{self.name}: its key index")
        check(uncovered <= RUN_BLOCKS, f"{self.name}: {uncovered} blocks that no run covers")

    def blocks_of(self, key):
        """The first ids of the blocks that hold a key: by the index, and above it by their own lists."""
        above = [id for id, keys in self.block_keys.items() if id > self.indexed_to and key in keys]
        return self.index.get(key, []) + above


class Store:
    """All that is in the files; with `flushed` only what is known to have been flushed."""

    def __init__(self, directory, flushed=False):
        directory = pathlib.Path(directory)
        self.catalog = Catalog(directory)
        state = self.catalog.state
        self.segments = [Segment(directory, entry, state.uuid) for entry in self.catalog.segments]
        self.records = []
        for segment in self.segments:
            check(not self.records or segment.records == [] or segment.records[0].id == self.records[-1].id + 1,
                  f"{segment.name}: it does not follow the one before")
            self.records += segment.records
        self.committed_id = max([state.next_id - 1] + [s.range.last_id for s in self.segments])
        check(state.watermark <= self.committed_id and state.retention_floor <= self.committed_id + 1,
              "catalog.mdb: its numbers")
        self.values = dict(self.catalog.values)
        self.ring_positions = {}
        self.batches, self.durable, self.salts = journal.read_log(directory, state.uuid)
        self.last_op = state.last_op
        self.last_id = self.committed_id
        limit = self.flushed_to(directory / "bell") if flushed else None
        for batch in self.batches:
            if limit is None or batch.sequence <= limit:
                self.take_batch(batch)

    def flushed_to(self, bell_path):
        """As the bell says, if it speaks of a file of the log, else as headers prove."""
        bell = read_bell(bell_path, self.catalog.state.uuid) if bell_path.exists() else None
        return bell.durable if bell and bell.salt in self.salts else self.durable

    def take_batch(self, batch):
        records = journal.read_records(batch)
        check(len(records) == batch.count, f"batch {batch.sequence}: {len(records)} records")
        if records:
            check(batch.first_id <= self.last_id + 1, f"records {self.last_id + 1} to {batch.first_id - 1} are lost")
            check(batch.first_id <= self.committed_id or batch.first_id == self.last_id + 1,
                  f"batch {batch.sequence}: its ids")
        new = [record for record in records if record.id > self.last_id]
        self.records += new
        self.last_id += len(new)
        operations = journal.read_operations(batch)
        check(batch.last_op <= self.last_op or batch.last_op == self.last_op + len(operations),
              f"batch {batch.sequence}: its operations")
        for number, key, value in operations:
            if number <= self.last_op:
                continue
            self.last_op = number
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value
        for uuid, position in batch.rings:
            self.ring_positions[uuid] = max(position, self.ring_positions.get(uuid, 0))
