"""What all formats have in common: numbers, checksums, codecs, and two ways to refuse.

Written from serverlog-format(5) alone, as all of the reader.
"""
import ctypes
import os
import struct


class Damage(Exception):
    """The bytes are not what a writer wrote."""


class Unknown(Exception):
    """A version, feature, kind or codec that this reader does not have."""


def check(holds, what):
    if not holds:
        raise Damage(what)


def known(holds, what):
    if not holds:
        raise Unknown(what)


class Cursor:
    """Reads bytes in order; reading past their end is damage."""

    def __init__(self, data, what, at=0):
        self.data, self.what, self.at = data, what, at

    def bytes(self, n):
        check(n <= len(self.data) - self.at, f"{self.what}: it ends too early")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, code):
        return struct.unpack("<" + code, self.bytes(struct.calcsize(code)))[0]

    def u8(self):
        return self.number("B")

    def u16(self):
        return self.number("H")

    def u32(self):
        return self.number("I")

    def u64(self):
        return self.number("Q")

    def i64(self):
        return self.number("q")

    def varint(self):
        value = 0
        for shift in range(0, 70, 7):
            byte = self.u8()
            value |= (byte & 0x7f) << shift
            if byte < 0x80:
                check(value < 1 << 64, f"{self.what}: a varint of more than 64 bits")
                return value
        raise Damage(f"{self.what}: a varint of more than 10 bytes")

    def zigzag(self):
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def left(self):
        return len(self.data) - self.at

    def end(self):
        check(self.left() == 0, f"{self.what}: {self.left()} bytes too many")


def u16_at(data, at):
    return struct.unpack_from("<H", data, at)[0]


def u32_at(data, at):
    return struct.unpack_from("<I", data, at)[0]


def u64_at(data, at):
    return struct.unpack_from("<Q", data, at)[0]


def as_i64(value):
    """A number modulo 2^64, as one with a sign."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def load(variable, name):
    """A library by the name in the environment, else by this one; None: that is empty, the build has it not."""
    name = os.environ.get(variable, name)
    return ctypes.CDLL(name) if name else None


xxhash = load("XXHASH_LIBRARY", "libxxhash.so.0")
xxhash.XXH3_64bits_withSeed.restype = ctypes.c_uint64
xxhash.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
lz4 = load("LZ4_LIBRARY", "liblz4.so.1")
zstd = load("ZSTD_LIBRARY", "libzstd.so.1")
if lz4:
    lz4.LZ4_decompress_safe.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
if zstd:
    zstd.ZSTD_decompress.restype = ctypes.c_size_t
    zstd.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]

CODEC_NONE, CODEC_LZ4, CODEC_ZSTD = 1, 2, 3


def checksum(data, seed=0):
    return xxhash.XXH3_64bits_withSeed(bytes(data), len(data), seed)


def decompress(codec, stored, raw_length, what):
    known(codec in (CODEC_NONE, CODEC_LZ4, CODEC_ZSTD), f"{what}: codec {codec}")
    if codec == CODEC_NONE:
        check(len(stored) == raw_length, f"{what}: two lengths without a codec")
        return stored
    library = lz4 if codec == CODEC_LZ4 else zstd
    known(library, f"{what}: codec {codec}, whose library is not here")
    raw = ctypes.create_string_buffer(max(raw_length, 1))
    if codec == CODEC_LZ4:
        length = lz4.LZ4_decompress_safe(stored, raw, len(stored), raw_length)
    else:
        length = zstd.ZSTD_decompress(raw, raw_length, stored, len(stored))
    check(length == raw_length, f"{what}: compressed bytes that are not {raw_length}")
    return raw.raw[:raw_length]
