#!/usr/bin/env python3
"""Writes casefold_table.h, from this Python's Unicode data:  ./make_casefold.py >casefold_table.h

Simple case folding, status C and S of Unicode's CaseFolding.txt: str.casefold() where that is one character,
else, where it is several (status F), the lower case, if that is one character and another one.
"""
import unicodedata


def fold(c):
    text = chr(c)
    for folded in (text.casefold(), text.lower()):
        if len(folded) == 1:
            return ord(folded)
    return c


def ranges():
    """[first, last, step, delta]: every step-th character of first to last folds to itself plus delta."""
    found = []
    for c in range(0x80, 0x110000):
        delta = 0 if 0xD800 <= c <= 0xDFFF else fold(c) - c
        if delta == 0:
            continue
        if found:
            last = found[-1]
            step = c - last[1]
            if last[3] == delta and step <= 2 and (step == last[2] or last[0] == last[1]):
                last[1], last[2] = c, step
                continue
        found.append([c, c, 1, delta])
    return found


print(f"/* casefold_table.h - made by make_casefold.py from Unicode {unicodedata.unidata_version}. */")
print("/* clang-format off */")
line = "   "
for first, last, step, delta in ranges():
    entry = f" {{ {first:#x}, {last - first}, {step}, {delta} }},"
    if len(line) + len(entry) > 100:
        print(line)
        line = "   "
    line += entry
print(line)
