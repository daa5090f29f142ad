"""What a running pipeline, or one that was killed, has for others: rings, and the pages bell, attach and marks."""
import pathlib
from collections import namedtuple

from basics import Cursor, check, checksum, known, u32_at, u64_at
from records import read_wire

RING_DATA = 8192
SLEEPS, CLOSED = 1, 2
BUSY, DISCARD, PAD = 1 << 31, 1 << 30, 1 << 29
SLOT_FREE, SLOT_MAKING, SLOT_READY, SLOT_BROKEN, SLOT_LEFT = range(5)

Slot = namedtuple("Slot", "state directory name")
Mark = namedtuple("Mark", "kind alone subject first last")
Bell = namedtuple("Bell", "boot_id changes salt durable")


def read_bell(path, store_uuid):
    """None: it says nothing."""
    page = path.read_bytes()
    check(len(page) == 4096 and page[:8] == b"SVLBELL1" and u32_at(page, 12) == 0, "bell: it is damaged")
    known(u32_at(page, 8) == 1, f"bell: version {u32_at(page, 8)}")
    check(page[16:32] == store_uuid, "bell: it belongs to another store")
    bell = Bell(page[32:48], u64_at(page, 56), u64_at(page, 64), u64_at(page, 72))
    boot_id = bytes.fromhex(pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))
    return bell if bell.boot_id == boot_id and bell.changes % 2 == 0 else None


def read_attach(path, store_uuid):
    """The slots that are not free."""
    page = path.read_bytes()
    check(len(page) == 36352 and page[:8] == b"SVLATCH1" and page[16:32] == store_uuid, "attach: it is damaged")
    known(u32_at(page, 8) == 1, f"attach: version {u32_at(page, 8)}")
    slots = []
    for at in range(4096, len(page), 512):
        state = u64_at(page, at) & 255
        if state != SLOT_FREE:
            directory, name = page[at + 8:at + 264], page[at + 264:at + 328]
            slots.append(Slot(state, *(text.split(b"\0")[0].decode() for text in (directory, name))))
    return slots


def read_marks(page):
    """What callbacks ran on."""
    check(page[:8] == b"SVLMARK1" and len(page) == 16512, "marks: they are damaged")
    known(u32_at(page, 8) == 1, f"marks: version {u32_at(page, 8)}")
    slots = [Mark(u32_at(page, at), u32_at(page, at + 4), u64_at(page, at + 8), u64_at(page, at + 16),
                  u64_at(page, at + 24)) for at in range(64, len(page), 64)]
    return [slot for slot in slots if slot.kind != 0]


class Ring:
    def __init__(self, path, store_uuid):
        self.what = path.name
        self.data = data = path.read_bytes()
        check(len(data) >= RING_DATA and data[:8] == b"SVLRING1" and u64_at(data, 72) == checksum(data[:72]),
              f"{self.what}: its header")
        known(u32_at(data, 8) == 1 and u32_at(data, 16) == 0, f"{self.what}: version {u32_at(data, 8)}")
        self.is_attached = u32_at(data, 12) & 1 == 1
        self.capacity, self.salt, extra = u64_at(data, 24), u32_at(data, 32), u32_at(data, 36)
        self.uuid = data[40:56]
        check(data[56:72] == store_uuid, f"{self.what}: it belongs to another store")
        check(1 << 16 <= self.capacity <= 1 << 30 and self.capacity & self.capacity - 1 == 0 and
              u32_at(data, 20) == RING_DATA and len(data) == RING_DATA + self.capacity + extra,
              f"{self.what}: its sizes")
        self.tail, self.head, self.consumed = u64_at(data, 4096) & ~7, u64_at(data, 4352), u64_at(data, 4360)
        check(self.head <= self.tail <= self.head + self.capacity and self.consumed <= self.tail and
              self.head % 8 == 0 and self.consumed % 8 == 0, f"{self.what}: its positions")
        self.marks = read_marks(data[RING_DATA + self.capacity:]) if extra else []
        free = self.span(self.tail, self.head + self.capacity)
        check(free == bytes(len(free)), f"{self.what}: what is free is not zero")

    def span(self, first, end):
        """The bytes from one position to another, which may lie behind the ring's end."""
        begin = RING_DATA + first % self.capacity
        part = self.data[begin:min(begin + end - first, RING_DATA + self.capacity)]
        return part + self.data[RING_DATA:RING_DATA + end - first - len(part)]

    def frame(self, position):
        """Length and flags; None: there is no frame."""
        at = RING_DATA + position % self.capacity
        word, stamp = u32_at(self.data, at), u32_at(self.data, at + 4)
        length, flags = word & PAD - 1, word & (BUSY | DISCARD | PAD)
        size, to_end = 8 + (length + 7) // 8 * 8, self.capacity - position % self.capacity
        if stamp != (position // 8 ^ self.salt) & 0x7fffffff | 0x80000000 or size > min(self.tail - position, to_end):
            return None
        is_frame = size == to_end and flags == PAD if flags & PAD else 0 < length <= self.capacity // 8 - 8
        return (length, flags) if is_frame else None

    def records(self, known_position):
        """The whole ones that are not stored yet; `known_position` is what the journal has."""
        position, records = max(self.head, self.consumed, known_position), []
        while position < self.tail:
            frame = self.frame(position)
            if frame is None:
                position += 8
                continue
            length, flags = frame
            if flags == 0:
                cursor = Cursor(self.span(position + 8, position + 8 + length), f"{self.what}: frame at {position}")
                cursor.u32(), cursor.u32() # who waits for it
                records.append(read_wire(cursor, 0, 0))
                cursor.end()
            position += 8 + (length + 7) // 8 * 8
        return records
