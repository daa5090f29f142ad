"""Blocks: many records as columns."""
import struct
from collections import namedtuple

from basics import CODEC_NONE, Cursor, as_i64, check, checksum, decompress, known, u16_at, u32_at, u64_at
from records import Record, read_attributes

Zone = namedtuple("Zone", "first_id count severities time_min time_max ingest_min ingest_max raw_bytes stored_bytes "
                          "keys flags")
ZONE = struct.Struct("<QIIqqqqQQII")
ZONE_AT, TABLE_AT, ENTRY_BYTES = 16, 88, 24

TIMES, INGEST, SEVERITIES, BODY_KINDS, FLAGS = 1, 2, 3, 4, 5
SOURCE_NAMES, SOURCES, TYPE_NAMES, TYPES, KEY_NAMES, KEYS = 6, 7, 8, 9, 10, 11
ATTRIBUTE_COUNTS, ATTRIBUTE_LENGTHS, ATTRIBUTES, ATTRIBUTE_CHUNKS = 12, 13, 14, 15
BODY_LENGTHS, BODIES, BODY_CHUNKS = 16, 17, 18

CONSTANT, BYTES1, BYTES2, BYTES4, VARINT, DELTA, RUNS, NAMES, KEYS_SHARED, CHUNKS, TABLE = range(1, 12)
COMPATIBLE = 1

Section = namedtuple("Section", "encoding codec raw_length stored")


def read_zone(data, what):
    check(len(data) == ZONE.size, f"{what}: a zone of {len(data)} bytes")
    zone = Zone(*ZONE.unpack(data))
    check(1 <= zone.count <= 65536 and zone.first_id > 0 and 0 < zone.severities < 1 << 25 and zone.flags == 0,
          f"{what}: a zone that cannot be")
    return zone


class Block:
    def __init__(self, data, what):
        self.what = what
        self.sections = {}
        self.codecs, self.encodings = set(), set() # of what was read
        self.read_header(data)

    def read_header(self, data):
        what = self.what
        check(len(data) >= TABLE_AT + 8 and data[:4] == b"SVLB", f"{what}: not a block")
        n = u16_at(data, 6)
        table_end = TABLE_AT + ENTRY_BYTES * n
        check(len(data) >= table_end + 8 and u64_at(data, table_end) == checksum(data[:table_end]),
              f"{what}: the checksum of the header")
        known(u16_at(data, 4) == 1, f"{what}: version {u16_at(data, 4)}")
        known(u32_at(data, 8) == 0, f"{what}: features {u32_at(data, 8):#x}")
        known(n <= 64, f"{what}: {n} sections")
        self.zone = read_zone(data[ZONE_AT:TABLE_AT], what)
        check(self.zone.stored_bytes == len(data), f"{what}: its length")
        cursor, at, kind_before = Cursor(data, what, TABLE_AT), table_end + 8, 0
        for _ in range(n):
            kind, encoding, codec, flags = cursor.u16(), cursor.u8(), cursor.u8(), cursor.u32()
            raw_length, stored_length, stored_sum = cursor.u32(), cursor.u32(), cursor.u64()
            known(flags in (0, COMPATIBLE), f"{what}: section {kind} has flags {flags:#x}")
            known(TIMES <= kind <= BODY_CHUNKS or flags == COMPATIBLE, f"{what}: section {kind}")
            check(kind > kind_before, f"{what}: section {kind} behind {kind_before}")
            kind_before = kind
            stored = data[at:at + stored_length]
            check(len(stored) == stored_length, f"{what}: section {kind} reaches out of it")
            check(stored_sum == (0 if encoding == CHUNKS else checksum(stored)),
                  f"{what}: the checksum of section {kind}")
            self.sections[kind] = Section(encoding, codec, raw_length, stored)
            at += stored_length
        check(at == len(data), f"{what}: bytes behind its sections")

    def raw(self, kind, *encodings):
        """A cursor on the raw bytes of a section, and its encoding."""
        section, what = self.sections[kind], f"{self.what}: section {kind}"
        known(section.encoding in encodings, f"{what}: encoding {section.encoding}")
        self.codecs.add(section.codec)
        self.encodings.add(section.encoding)
        return Cursor(decompress(section.codec, section.stored, section.raw_length, what), what), section.encoding

    def numbers(self, kind, most=0xffffffff, narrow=False):
        n = self.zone.count
        if kind not in self.sections:
            return [0] * n
        encodings = (CONSTANT, BYTES1) if narrow else (CONSTANT, BYTES1, BYTES2, BYTES4, VARINT)
        cursor, encoding = self.raw(kind, *encodings)
        if encoding == CONSTANT:
            values = [cursor.varint()] * n
        elif encoding == VARINT:
            values = [cursor.varint() for _ in range(n)]
        else:
            code = {BYTES1: "B", BYTES2: "H", BYTES4: "I"}[encoding]
            values = list(struct.unpack(f"<{n}{code}", cursor.bytes(n * struct.calcsize(code))))
        cursor.end()
        check(max(values) <= most, f"{cursor.what}: a number above {most}")
        return values

    def times(self):
        check(TIMES in self.sections, f"{self.what}: it has no times")
        cursor, _ = self.raw(TIMES, DELTA)
        unit, time, times = cursor.varint(), 0, []
        for _ in range(self.zone.count):
            time = as_i64(time + cursor.zigzag() * unit)
            times.append(time)
        cursor.end()
        return times

    def ingest_times(self):
        check(INGEST in self.sections, f"{self.what}: it has no ingest times")
        cursor, _ = self.raw(INGEST, RUNS)
        time, times = 0, []
        while len(times) < self.zone.count:
            time = as_i64(time + cursor.zigzag())
            n = cursor.varint()
            check(0 < n <= self.zone.count - len(times), f"{cursor.what}: a run of {n}")
            times += [time] * n
        cursor.end()
        return times

    def names(self, kind, index_kind):
        names = [b""]
        if kind in self.sections:
            cursor, _ = self.raw(kind, NAMES)
            n = cursor.varint()
            check(0 < n <= self.zone.count, f"{cursor.what}: {n} names")
            lengths = [cursor.varint() for _ in range(n)]
            check(max(lengths) <= 255, f"{cursor.what}: a name of {max(lengths)} bytes")
            names = [cursor.bytes(length) for length in lengths]
            cursor.end()
        index = self.numbers(index_kind, len(names) - 1)
        check(len(set(names)) == len(names) == len(set(index)), f"{self.what}: a name twice, or for nothing")
        return [names[i] for i in index]

    def key_names(self):
        """The distinct keys, ascending."""
        if KEY_NAMES not in self.sections:
            check(self.zone.keys == 0, f"{self.what}: it has no keys")
            return []
        cursor, _ = self.raw(KEY_NAMES, KEYS_SHARED)
        n, width = cursor.varint(), cursor.u8()
        check(n == self.zone.keys and width in (1, 2), f"{cursor.what}: {n} keys, lengths of {width}")
        shared = [cursor.number("BH"[width - 1]) for _ in range(n)]
        following = [cursor.number("BH"[width - 1]) for _ in range(n)]
        keys, before = [], b""
        for same, rest in zip(shared, following):
            check(same <= len(before) and rest > 0 and same + rest <= 480, f"{cursor.what}: the length of a key")
            key = before[:same] + cursor.bytes(rest)
            check(key > before and key[same:same + 1] != before[same:same + 1], f"{cursor.what}: the order of keys")
            keys.append(key)
            before = key
        cursor.end()
        return keys

    def keys(self):
        names = [b""] + self.key_names()
        index = self.numbers(KEYS, len(names) - 1)
        check(set(range(1, len(names))) <= set(index), f"{self.what}: a key for nothing")
        return [names[i] for i in index]

    def chunked(self, lengths_kind, chunks_kind, table_kind):
        """The bytes of each record that are in chunks."""
        lengths = self.numbers(lengths_kind)
        if not any(lengths):
            check(chunks_kind not in self.sections and table_kind not in self.sections,
                  f"{self.what}: chunks without bytes")
            return [b""] * len(lengths)
        check(chunks_kind in self.sections and table_kind in self.sections, f"{self.what}: its chunks are missing")
        section, what = self.sections[chunks_kind], f"{self.what}: section {chunks_kind}"
        known(section.encoding == CHUNKS, f"{what}: encoding {section.encoding}")
        check(section.codec == CODEC_NONE and section.raw_length == len(section.stored), f"{what}: it is compressed")
        table, stored, parts = self.raw(table_kind, TABLE)[0], Cursor(section.stored, what), []
        while len(parts) < len(lengths):
            n, stored_length, codec, chunk_sum = table.varint(), table.varint(), table.u8(), table.u64()
            of_chunk = lengths[len(parts):len(parts) + n]
            check(0 < n == len(of_chunk), f"{table.what}: a chunk of {n} records")
            self.codecs.add(codec)
            data = stored.bytes(stored_length)
            check(checksum(data) == chunk_sum, f"{what}: the checksum of a chunk")
            raw = Cursor(decompress(codec, data, sum(of_chunk), what), what)
            parts += [raw.bytes(length) for length in of_chunk]
        table.end()
        stored.end()
        return parts

    def records(self):
        attribute_counts = self.numbers(ATTRIBUTE_COUNTS, 255, narrow=True)
        attributes = self.chunked(ATTRIBUTE_LENGTHS, ATTRIBUTES, ATTRIBUTE_CHUNKS)
        columns = zip(self.times(), self.ingest_times(), self.numbers(SEVERITIES, 24, narrow=True),
                      self.numbers(BODY_KINDS, 255, narrow=True), self.numbers(FLAGS),
                      self.names(SOURCE_NAMES, SOURCES), self.names(TYPE_NAMES, TYPES), self.keys(),
                      self.chunked(BODY_LENGTHS, BODIES, BODY_CHUNKS))
        records = []
        for i, (time, ingest, severity, body_kind, flags, source, type, key, body) in enumerate(columns):
            id = self.zone.first_id + i
            records.append(Record(
                id=id, time_ns=time, ingest_ns=ingest, severity=severity, body_kind=body_kind, flags=flags,
                source=source, type=type, key=key, body=body,
                attributes=read_attributes(attributes[i], attribute_counts[i], f"{self.what}: record {id}")))
        self.check_zone(records)
        return records

    def check_zone(self, records):
        times, ingest = [r.time_ns for r in records], [r.ingest_ns for r in records]
        severities = 0
        for record in records:
            severities |= 1 << record.severity
        said = self.zone._replace(
            severities=severities, time_min=min(times), time_max=max(times), ingest_min=min(ingest),
            ingest_max=max(ingest), raw_bytes=sum(r.wire_length() for r in records))
        check(said == self.zone, f"{self.what}: its zone is not what its records say")

