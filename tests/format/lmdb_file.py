"""Files of LMDB 0.9, at rest: their tables as lists of keys and values, in order.

Nothing is believed: every page that a table leads to must be what it says, hold keys in order and in their place,
and be used once.
"""
import struct
from collections import namedtuple

from basics import Damage, check, known, u16_at, u32_at, u64_at

PAGE, PAGE_HEADER, NODE_HEADER = 4096, 16, 8
BRANCH, LEAF, OVERFLOW, META = 1, 2, 4, 8
BIG_DATA, TABLE_DATA = 1, 2
INTEGER_KEYS = 8
EMPTY = (1 << 64) - 1
DEPTH_MAX, KEY_MAX = 32, 511

Table = namedtuple("Table", "flags depth entries root")
Meta = namedtuple("Meta", "map_bytes free main last_page transaction")


def read_table(data, at):
    return Table(u16_at(data, at + 4), u16_at(data, at + 6), u64_at(data, at + 32), u64_at(data, at + 40))


class LmdbFile:
    def __init__(self, path, map_bytes):
        self.what = path.name
        self.data = path.read_bytes()
        check(len(self.data) >= 2 * PAGE, f"{self.what}: {len(self.data)} bytes")
        metas = [self.read_meta(0, map_bytes), self.read_meta(1, map_bytes)]
        check(abs(metas[0].transaction - metas[1].transaction) == 1, f"{self.what}: transactions of the meta pages")
        self.meta = max(metas, key=lambda meta: meta.transaction)
        self.used, self.free = set(), set() # pages; the free ones are in both
        self.read_free_pages()
        self.main = dict(self.entries(self.meta.main, may_hold_tables=True))

    def read_meta(self, number, map_bytes):
        page, what = self.page(number), f"{self.what}: meta page {number}"
        check(u64_at(page, 0) == number and u16_at(page, 10) == META and u32_at(page, 16) == 0xBEEFC0DE,
              f"{what}: it is none")
        known(u32_at(page, 20) == 1, f"{what}: version {u32_at(page, 20)}")
        meta = Meta(u64_at(page, 32), read_table(page, 40), read_table(page, 88), u64_at(page, 136), u64_at(page, 144))
        check(u32_at(page, 40) == PAGE and meta.transaction % 2 == number and meta.map_bytes == map_bytes and
              1 <= meta.last_page < map_bytes // PAGE, f"{what}: its numbers")
        return meta

    def page(self, number):
        page = self.data[number * PAGE:(number + 1) * PAGE]
        check(len(page) == PAGE, f"{self.what}: page {number} is not in the file")
        return page

    def use(self, number):
        check(2 <= number <= self.meta.last_page, f"{self.what}: there is no page {number}")
        check(number not in self.used, f"{self.what}: page {number} is used twice")
        self.used.add(number)

    def read_free_pages(self):
        free = self.meta.free._replace(flags=INTEGER_KEYS) # its flags are the whole file's
        for transaction, value in self.entries(free):
            n = u64_at(value, 0) if len(value) >= 8 else 0
            check(transaction <= self.meta.transaction and len(value) % 8 == 0 and 8 + 8 * n <= len(value),
                  f"{self.what}: a list of free pages")
            pages = struct.unpack_from(f"<{n}Q", value, 8)
            check(all(a > b for a, b in zip(pages, pages[1:])), f"{self.what}: free pages out of order")
            for page in pages:
                self.use(page)
            self.free.update(pages)

    def table(self, name, flags=None):
        table = self.main.get(name)
        check(isinstance(table, Table), f"{self.what}: there is no table {name.decode()}")
        check(flags in (None, table.flags), f"{self.what}: the flags of {name.decode()}")
        return self.entries(table)

    def entries(self, table, may_hold_tables=False):
        """Keys, as bytes or numbers, and values, as bytes or tables."""
        if table.root == EMPTY:
            check(table.depth == 0 and table.entries == 0, f"{self.what}: an empty table with {table.entries} entries")
            return []
        check(0 < table.depth <= DEPTH_MAX and table.flags in (0, INTEGER_KEYS), f"{self.what}: a table of flags "
              f"{table.flags} and depth {table.depth}")
        found = []
        self.use(table.root)
        self.walk(table, table.root, 1, None, None, may_hold_tables, found)
        check(len(found) == table.entries, f"{self.what}: {len(found)} entries of {table.entries}")
        return found

    def walk(self, table, number, depth, low, high, may_hold_tables, found):
        page, what = self.page(number), f"{self.what}: page {number}"
        is_leaf = depth == table.depth
        lower, upper = u16_at(page, 12), u16_at(page, 14)
        check(u64_at(page, 0) == number and u16_at(page, 10) == (LEAF if is_leaf else BRANCH), f"{what}: its kind")
        check(PAGE_HEADER < lower <= upper <= PAGE and lower % 2 == 0, f"{what}: its bounds")
        children, before = [], None
        for i in range((lower - PAGE_HEADER) // 2):
            at = u16_at(page, PAGE_HEADER + 2 * i)
            check(upper <= at <= PAGE - NODE_HEADER and at % 2 == 0, f"{what}: the place of node {i}")
            key_length = u16_at(page, at + 6)
            check(key_length <= min(KEY_MAX, PAGE - at - NODE_HEADER), f"{what}: the key of node {i}")
            key = page[at + NODE_HEADER:at + NODE_HEADER + key_length]
            if is_leaf or i > 0:
                if table.flags & INTEGER_KEYS:
                    check(key_length == 8, f"{what}: a key that is no number")
                    key = u64_at(key, 0)
                check(key != b"" and (before is None or key > before) and (low is None or key >= low) and
                      (high is None or key < high), f"{what}: the key of node {i} is not in its place")
                before = key
            if is_leaf:
                found.append((key, self.value(page, at, key_length, may_hold_tables, what)))
            else:
                children.append((low if i == 0 else key, u16_at(page, at) | u32_at(page, at + 2) << 16))
        check(is_leaf or len(children) > 1, f"{what}: a branch of one")
        for i, (first, child) in enumerate(children):
            self.use(child)
            next_first = children[i + 1][0] if i + 1 < len(children) else high
            self.walk(table, child, depth + 1, first, next_first, may_hold_tables, found)

    def value(self, page, at, key_length, may_hold_tables, what):
        flags, length = u16_at(page, at + 4), u32_at(page, at)
        at += NODE_HEADER + key_length
        if flags == BIG_DATA:
            check(at + 8 <= PAGE, f"{what}: a value reaches out of it")
            return self.overflow(u64_at(page, at), length)
        check(at + length <= PAGE, f"{what}: a value reaches out of it")
        if flags == TABLE_DATA:
            check(may_hold_tables and length == 48, f"{what}: a table where none can be")
            return read_table(page, at)
        check(flags == 0, f"{what}: flags {flags} of a node")
        return page[at:at + length]

    def overflow(self, first, length):
        n = (PAGE_HEADER + length + PAGE - 1) // PAGE
        header = self.page(first)
        check(u64_at(header, 0) == first and u16_at(header, 10) == OVERFLOW and u32_at(header, 12) == n,
              f"{self.what}: page {first}: not the overflow pages of a value")
        for number in range(first, first + n):
            self.use(number)
        value = self.data[first * PAGE + PAGE_HEADER:first * PAGE + PAGE_HEADER + length]
        if len(value) != length:
            raise Damage(f"{self.what}: page {first}: the file ends in it")
        return value
