#!/usr/bin/env python3
"""Makes serverlog.cdef.h: what the public headers declare, flat, for foreign function interfaces.

    make_cdef.py INCLUDE_DIRECTORY OUTPUT

No preprocessor, no attributes, no comments but the first: cffi's and LuaJIT's ffi.cdef() take it as it is. What
such an interface could not see, a macro or an inline function, is refused.
"""
import pathlib
import re
import sys

HEAD = """/* What libserverlog's headers declare, made from them by make_cdef.py for cffi's and LuaJIT's ffi.cdef(). A C
 * program includes <serverlog.h>, which also says what all this means. */
"""
UNREADABLE = re.compile(r"\b(static|inline|union|__attribute__|_Static_assert|_Alignas)\b|\.\.\.|:"
                        r"|[{;] ?enum \w+ \w+ ?;")
# A struct or enum that a function takes or returns itself, without a pointer.
BY_VALUE = re.compile(r"^(const )?(svl_\w+|enum \w+) \w+ ?\(|[(,] ?(const )?(svl_\w+|enum \w+) \w+ ?[,)]")


def read_in_order(include, name, seen):
    """The headers' texts, each once, behind those that it includes."""
    if name in seen:
        return []
    seen.add(name)
    text = (include / name).read_text()
    texts = []
    for other in re.findall(r"^#include <(serverlog/\w+\.h)>", text, re.M):
        texts += read_in_order(include, other, seen)
    return texts + [(name, text)]


def declarations(name, text):
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"^#ifdef __cplusplus\n.*?^#endif\n", "", text, flags=re.S | re.M)
    for macro in re.findall(r"^\s*#\s*define\s+(\w+)", text, re.M):
        if macro != "SVL_EXPORT" and not re.fullmatch(r"SERVERLOG_\w*H", macro):
            raise SystemExit("%s: %s is a macro: make it a constant of a named enum, or a function" % (name, macro))
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.M)
    text = re.sub(r"\s+", " ", re.sub(r"\bSVL_EXPORT\b", " ", text)).strip()
    found = re.findall(r"[^;{}]*(?:\{[^{}]*\}[^;{}]*)?;", text)
    if "".join(found) != text:
        raise SystemExit("%s: not a list of declarations: %s" % (name, text[len("".join(found)):][:80]))
    for declaration in found:
        if UNREADABLE.search(declaration) or ("(" in declaration and BY_VALUE.search(declaration.strip())):
            raise SystemExit("%s: not every foreign function interface takes this: %s" % (name, declaration.strip()))
    return [declaration.strip() for declaration in found]


def lay_out(declaration):
    """One line; a struct or an enum one line a member."""
    match = re.match(r"([^{]*)\{(.*)\}([^}]*);$", declaration)
    if not match:
        return declaration + "\n"
    head, body, tail = match.groups()
    separator = "," if "enum" in head else ";"
    members = [member.strip() for member in body.split(separator) if member.strip()]
    lines = ["    " + member + separator for member in members]
    if separator == ",":
        lines[-1] = lines[-1][:-1]
    return "%s{\n%s\n}%s;\n" % (head, "\n".join(lines), tail)


def main(include, output):
    parts = [HEAD]
    for name, text in read_in_order(pathlib.Path(include), "serverlog.h", set()):
        parts += [lay_out(declaration) for declaration in declarations(name, text)]
    pathlib.Path(output).write_text("\n".join(parts))


if __name__ == "__main__":
    main(*sys.argv[1:])
