#!/usr/bin/env python3
"""Makes a C program that prints what the compiler says of everything that serverlog.cdef.h declares, and does not
compile where a function is declared otherwise than in the headers.

    make_layout.py CDEF OUTPUT
"""
import pathlib
import re
import sys

cdef, output = sys.argv[1:]
text = re.sub(r"/\*.*?\*/", "", pathlib.Path(cdef).read_text(), flags=re.S)
functions = re.findall(r"^(?!typedef)\w[^;{}]*\([^;{}]*\);$", text, re.M)
lines = []
for name, body in re.findall(r"^typedef struct (\w+) \{(.*?)^\}", text, re.M | re.S):
    lines.append('printf("size %s %%zu\\n", sizeof(%s));' % (name, name))
    for member in re.findall(r"(\w+)(?:\[\w+\])?;", body):
        lines.append('printf("member %s %s %%zu %%zu\\n", offsetof(%s, %s), sizeof((%s){ 0 }.%s));'
                     % (name, member, name, member, name, member))
for body in re.findall(r"^enum \w+ \{(.*?)^\}", text, re.M | re.S):
    for name in re.findall(r"(\w+) =", body):
        lines.append('printf("value %s %%d\\n", %s);' % (name, name))
pathlib.Path(output).write_text("""#include <serverlog.h>
#include <stdio.h>

%s

int main(void)
{
    %s
    return 0;
}
""" % ("\n".join(functions), "\n    ".join(lines)))
