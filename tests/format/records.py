"""Records: the wire form, and a record as a line of JSON."""
import json
import struct

from basics import Cursor, check, known

HEADER_BYTES, ATTRIBUTE_BYTES = 32, 6
TEXT, BYTES, I64, F64, BOOL = range(1, 6)
KIND_NAMES = {TEXT: "text", BYTES: "bytes", I64: "i64", F64: "f64", BOOL: "bool"}


class Record:
    """One record; names, key and body are bytes, attributes (name, kind, value), an f64 as the u64 of its bits."""

    FIELDS = ("id", "time_ns", "ingest_ns", "severity", "body_kind", "flags", "source", "type", "key", "attributes",
              "body")

    def __init__(self, **fields):
        for name in self.FIELDS:
            setattr(self, name, fields[name])

    def fields(self):
        return [getattr(self, name) for name in self.FIELDS]

    def wire_length(self):
        attributes = sum(ATTRIBUTE_BYTES + len(name) + (len(value) if kind in (TEXT, BYTES) else 8)
                         for name, kind, value in self.attributes)
        return HEADER_BYTES + len(self.source) + len(self.type) + len(self.key) + attributes + len(self.body)


def read_attributes(data, count, what):
    cursor, attributes = Cursor(data, what), []
    for _ in range(count):
        kind, name_length, length = cursor.u8(), cursor.u8(), cursor.u32()
        name, value = cursor.bytes(name_length), cursor.bytes(length)
        check(kind in KIND_NAMES, f"{what}: an attribute of kind {kind}")
        check(name_length > 0, f"{what}: an attribute without a name")
        if kind in (I64, F64, BOOL):
            check(length == 8, f"{what}: an attribute of {length} bytes")
            value = struct.unpack("<Q" if kind == F64 else "<q", value)[0]
        check(kind != BOOL or value in (0, 1), f"{what}: a boolean {value}")
        attributes.append((name, kind, value))
    cursor.end()
    return attributes


def read_wire(cursor, id, ingest_ns):
    """The record at the cursor."""
    what = f"{cursor.what}: record {id}"
    length = cursor.u32()
    check(length >= HEADER_BYTES, f"{what}: {length} bytes")
    c = Cursor(cursor.bytes(length - 4), what)
    severity, body_kind, source_length, type_length = c.u8(), c.u8(), c.u8(), c.u8()
    time_ns, body_length, key_length, attribute_count, format_flags = c.i64(), c.u32(), c.u16(), c.u8(), c.u8()
    attributes_length, flags = c.u32(), c.u32()
    known(format_flags == 0, f"{what}: format flags {format_flags:#x}")
    check(severity <= 24 and key_length <= 480, f"{what}: severity {severity}, a key of {key_length} bytes")
    record = Record(id=id, time_ns=time_ns, ingest_ns=ingest_ns, severity=severity, body_kind=body_kind, flags=flags,
                    source=c.bytes(source_length), type=c.bytes(type_length), key=c.bytes(key_length),
                    attributes=read_attributes(c.bytes(attributes_length), attribute_count, what),
                    body=c.bytes(body_length))
    c.end()
    return record


def as_text(data):
    """Bytes as text of as many characters: U+0000 to U+00FF."""
    return data.decode("latin-1")


def as_json(record):
    """A line; the library's own dump, dump.c, writes the same."""
    fields = dict(zip(Record.FIELDS, record.fields()))
    for name in ("source", "type", "key", "body"):
        fields[name] = as_text(fields[name])
    fields["attributes"] = [
        [as_text(name), KIND_NAMES[kind],
         as_text(value) if kind in (TEXT, BYTES) else f"{value:016x}" if kind == F64 else value]
        for name, kind, value in record.attributes]
    return json.dumps(fields, separators=(",", ":"))
