#!/usr/bin/env python3
"""Makes the section 3 pages from the comments of the public headers: one truth.

    make_pages.py --list FAMILIES
    make_pages.py INCLUDE_DIRECTORY FAMILIES EXAMPLES_DIRECTORY OUTPUT_DIRECTORY

A page a line of FAMILIES; for each other function of the family, and each type of which it is the first, a page
that refers to it. A header's opening comment stands in the first family that has a function of that header.
Imported by the tests, which prove that headers, symbol map and pages name the same functions.
"""
import pathlib
import re
import sys
import textwrap

FIELDS = ["Result", "Errors", "Ownership", "Thread", "Blocks"]


class Function:
    def __init__(self, name, header, returns, parameters, text, fields):
        self.name, self.header, self.returns, self.parameters = name, header, returns, parameters
        self.text, self.fields = text, fields


def comment_lines(comment):
    body = comment.strip()[2:-2]
    return [re.sub(r"^\s*\* ?", "", line).rstrip() for line in body.strip().split("\n")]


def split_fields(lines):
    """The prose, and the five fields, each a list of lines without their indent."""
    text, fields, current = [], {}, None
    for line in lines:
        match = re.match(r"^(%s)\s+(.*)$" % "|".join(FIELDS), line)
        if match:
            current = match.group(1)
            fields[current] = [match.group(2)]
        elif current is None:
            text.append(line)
        else:
            fields[current].append(line[11:] if line.startswith(" " * 11) else line.strip())
    return text, fields


def read_functions(include):
    functions = {}
    for header in sorted(pathlib.Path(include).glob("serverlog/*.h")):
        source = header.read_text()
        for match in re.finditer(r"(/\*(?:(?!\*/).)*?\*/)\s*SVL_EXPORT\s+([^;]+);", source, re.S):
            text, fields = split_fields(comment_lines(match.group(1)))
            prototype = re.sub(r"\s+", " ", match.group(2))
            head, parameters = prototype.split("(", 1)
            name = re.search(r"(svl_\w+)$", head.strip()).group(1)
            parameters = [p.strip() for p in parameters.rstrip(") ").split(",")]
            functions[name] = Function(name, "serverlog/" + header.name, head.strip()[: -len(name)].strip(), parameters,
                                       text, fields)
    return functions


def read_opening(include, header):
    """A header's opening comment, without the name of the file."""
    source = (pathlib.Path(include) / header).read_text()
    lines = comment_lines(re.match(r"/\*.*?\*/", source, re.S).group(0))
    about = lines[0].split(" - ", 1)[1]
    return [about[0].upper() + about[1:]] + lines[1:]


def read_codes(include):
    """Every result code with the comment that stands behind it."""
    source = (pathlib.Path(include) / "serverlog/types.h").read_text()
    return dict(re.findall(r"(SVL_E_\w+) = -?\d+,?\s*/\* (.*?) \*/", source, re.S))


def one_line(text):
    return re.sub(r"\s+", " ", text).strip()


COMMENT_ABOVE = r"(?:(/\*(?:(?!\*/).)*?\*/)\n)?"
MEMBER = r"^\s{4}(\w[^;]*);(?:[ \t]*/\*(.*?)\*/)?"
CONSTANT = r"(SVL_\w+) = (-?\d+),?(?:[ \t]*/\*(.*?)\*/)?"


def read_type(include, name):
    """A struct, an enumeration or a callback: its kind, its comment, its declaration or its members, each with
    its comment."""
    for header in sorted(pathlib.Path(include).glob("serverlog/*.h")):
        source = header.read_text()
        for kind, pattern in (("struct", r"typedef struct %s \{(.*?)\n\} %s;" % (name, name)),
                              ("enum", r"enum %s \{(.*?)\};" % name),
                              ("callback", r"(typedef [\w *]+\b%s\([^;]*\);)" % name)):
            match = re.search("^" + COMMENT_ABOVE + pattern, source, re.S | re.M)
            if not match:
                continue
            text = comment_lines(match.group(1)) if match.group(1) else []
            body = match.group(2)
            if kind == "struct":
                members = [(d.strip(), one_line(c)) for d, c in re.findall(MEMBER, body, re.S | re.M)]
            elif kind == "enum":
                members = [("%s = %s" % (n, v), one_line(c)) for n, v, c in re.findall(CONSTANT, body, re.S)]
            else:
                members = one_line(body)
            return kind, text, members
    raise SystemExit("no struct, enum or callback %s in the headers" % name)


def read_families(path):
    families = []
    for line in pathlib.Path(path).read_text().split("\n"):
        if line.startswith("#") or not line.strip():
            continue
        if line.startswith("    "):
            families[-1]["types"] += line.split()
        elif line.startswith("  "):
            families[-1]["functions"] += line.split()
        else:
            name, about = [part.strip() for part in line.split("|")]
            families.append({"name": name, "about": about, "functions": [], "types": []})
    return families


def escape(text):
    return re.sub(r"`(\w+)`", r"\\fI\1\\fP", text.replace("\\", "\\e"))


def guard(line):
    """No text is taken for a macro."""
    return "\\&" + line if line[:1] in ".'" else line


def roff(text):
    return guard(escape(text))


def sentence(text):
    """Lines of at most 80 bytes; a function's name is a macro on a line of its own."""
    out = []
    for part in re.split(r"(\S*\b[a-z_]\w*\(\)\S*)", text):
        match = re.fullmatch(r"(\S*?)\b([a-z_]\w*)\(\)(\S*)", part)
        if match:
            before, name, after = match.groups()
            fn = ".Fn %s" % name if not before else ".No %s Ns Fn %s" % (roff(before), name)
            if after and set(after) <= set(".,:;)?!"):
                fn += " " + " ".join(after)
            elif after:
                fn += " Ns %s" % roff(after)
            out.append(fn)
        elif part.strip():
            out += [guard(line) for line in textwrap.wrap(escape(part.strip()), 76, break_long_words=False,
                                                          break_on_hyphens=False)]
    return out


def last_column(line):
    """Where the last column of a table's line begins; None in any other line."""
    return max((m.end() for m in re.finditer(r"\S {2,}", line) if m.end() < 50), default=None)


def literal(lines):
    """Lines of a table or of code; what is too long for a page goes on below its last column."""
    whole = []
    for line in lines:
        column = len(line) - len(line.lstrip())
        if whole and column and column == last_column(whole[-1]):
            whole[-1] += " " + line.strip()
        else:
            whole.append(line)
    return [roff(part) for line in whole
            for part in textwrap.wrap(line, 76, subsequent_indent=" " * (last_column(line) or 4),
                                      break_long_words=False, break_on_hyphens=False) or [""]]


def paragraphs(lines):
    """Prose: a sentence starts a line, a blank line a paragraph, "  - " an item; what is indented by four blanks
    and in no item is shown as it stands."""
    out, words, shown, blanks = [], [], [], 0
    in_list = False

    def flush():
        for s in re.split(r"(?<=[.:]) (?=[A-Z])", " ".join(words)) if words else []:
            out.extend(sentence(s))
        words.clear()

    def display():
        if shown:
            out.extend([".Bd -literal"] + literal(shown) + [".Ed"])
            shown.clear()

    def end_list():
        if in_list:
            out.append(".El")
        return False

    for line in lines:
        if not line.strip():
            flush()
            blanks += 1
            continue
        item, indented = line.startswith("  - "), line.startswith("    ")
        if indented and not in_list:
            flush()
            shown.extend([""] * (blanks if shown else 0) + [line[4:]])
        elif item:
            flush()
            display()
            out.extend([".It"] if in_list else [".Bl -bullet", ".It"])
            in_list = True
            words.append(line[4:].strip())
        else:
            if not indented and in_list:
                flush()
                in_list = end_list()
                blanks = 1
            display()
            if blanks and out:
                out.append(".Pp")
            words.append(line.strip())
        blanks = 0
    flush()
    display()
    end_list()
    return out


def errors(lines):
    """What the Errors field says: prose, and items of codes with one text for all of them.

    A line of codes and, behind two blanks, their text; a list that goes on ends its line with a comma; text
    that goes on is indented. Anything else would make a page that says something false: refused."""
    prose, items, open_list = [], [], False
    for line in lines:
        match = re.match(r"^((?:SVL_E_\w+, )*SVL_E_\w+)(,?)(?:  +(\S.*))?$", line)
        if match:
            names = match.group(1).split(", ")
            if open_list:
                items[-1][0].extend(names)
            else:
                items.append([names, ""])
            items[-1][1] = match.group(3) or ""
            open_list = bool(match.group(2))
            if open_list and match.group(3):
                raise ValueError("a comma before a text: %s" % line)
            continue
        if open_list or "SVL_E_" in line:
            raise ValueError("codes and texts stand apart, two blanks between them: %s" % line)
        if line.startswith(" ") and items and items[-1][1]:
            items[-1][1] += " " + line.strip()
        elif not line.startswith(" ") and line != "none":
            prose.append(line)
        elif line != "none":
            raise ValueError("a text of no code: %s" % line)
    if open_list:
        raise ValueError("a list of codes ends with a comma")
    return prose, items


def synopsis(function):
    out = [".Ft %s" % ('"%s"' % function.returns if " " in function.returns else function.returns),
           ".Fo %s" % function.name]
    out += [".Fa \"%s\"" % p for p in function.parameters]
    return out + [".Fc"]


def describe(function, codes):
    out = [".Ss %s" % function.name] + paragraphs(function.text) + [".Bl -tag -width Ownership"]
    for field in FIELDS:
        if field == "Errors":
            continue
        out += [".It %s" % field] + paragraphs(function.fields[field])
    return out + [".El"]


def describe_errors(function, codes):
    try:
        prose, items = errors(function.fields["Errors"])
    except ValueError as problem:
        raise SystemExit("%s: Errors: %s" % (function.name, problem))
    out = [".Ss %s" % function.name]
    if not items and not prose:
        return out + ["None."]
    out += paragraphs(prose)
    if items:
        out.append(".Bl -tag -width SVL_E_FILE_SYSTEM")
        for names, text in items:
            # A list without a text: each code with its own, from types.h.
            for group in [names] if text else [[name] for name in names]:
                out += [".It Dv %s" % " , ".join(group)] + paragraphs([text or codes[group[0]]])
        out.append(".El")
    return out


def describe_type(include, name):
    kind, text, members = read_type(include, name)
    if kind == "callback":
        return ([".Ss %s" % name, ".Bd -literal -offset indent"] +
                textwrap.wrap(members, 76, subsequent_indent=" " * 4) + [".Ed", ".Pp"] + paragraphs(text))
    out = [".Ss %s %s" % (kind, name)] + paragraphs(text) + [".Bl -tag -width Ds"]
    for declaration, comment in members:
        out += [".It %s" % ("Va \"%s\"" % declaration if kind == "struct" else "Dv %s" % declaration)]
        out += paragraphs([comment]) if comment else ["\\&"]
    return out + [".El"]


def describe_opening(family, functions, include, all_families):
    """The opening comments of the headers that this family is the first of; of the others, where they stand."""
    out = []
    for header in sorted({functions[name].header for name in family["functions"]}):
        first = next(f for f in all_families if any(functions[n].header == header for n in f["functions"]))
        if first is family:
            out += [".Ss %s" % header] + paragraphs(read_opening(include, header))
        else:
            out += [".Pp", "What to know before use of", ".In %s" % header, "stands in", ".Xr %s 3 ." % first["name"]]
    return out


def file_names(families):
    """Every page: the text of a family, or, of a name that is found there, the family that it is in."""
    names = {family["name"]: None for family in families}
    for kind in ("functions", "types"):
        for family in families:
            for name in family[kind]:
                names.setdefault(name, family["name"])
    return names


def page(family, functions, codes, include, examples, all_families):
    out = [".\\\" Made from the public headers by make_pages.py.", ".Dd $Mdocdate$",
           ".Dt %s 3" % family["name"].upper(), ".Os", ".Sh NAME"]
    out += [".Nm %s%s" % (n, " ," if n != family["functions"][-1] else "") for n in family["functions"]]
    out += [".Nd %s" % family["about"], ".Sh SYNOPSIS", ".In serverlog.h"]
    for name in family["functions"]:
        out += synopsis(functions[name])
    out.append(".Sh DESCRIPTION")
    for name in family["functions"]:
        out += describe(functions[name], codes)
    out += describe_opening(family, functions, include, all_families)
    for name in family["types"]:
        out += describe_type(include, name)
    example = pathlib.Path(examples) / (family["name"] + ".c")
    out += [".Sh EXAMPLES", ".Bd -literal"]
    out += [roff(line) for line in example.read_text().rstrip("\n").split("\n")]
    out += [".Ed", ".Sh ERRORS"]
    for name in family["functions"]:
        out += describe_errors(functions[name], codes)
    others = sorted(f["name"] for f in all_families if f["name"] != family["name"])
    out.append(".Sh SEE ALSO")
    out += [".Xr %s 3 ," % other for other in others] + [".Xr serverlog 7"]
    return "\n".join(out).replace("$Mdocdate$", "$Mdocdate: November 24 2026 $") + "\n"


def main(include, families_path, examples, output):
    functions, codes = read_functions(include), read_codes(include)
    families = read_families(families_path)
    output = pathlib.Path(output)
    for family in families:
        (output / (family["name"] + ".3")).write_text(page(family, functions, codes, include, examples, families))
    for name, text_in in file_names(families).items():
        if text_in:
            (output / (name + ".3")).write_text(".so man3/%s.3\n" % text_in)


if __name__ == "__main__":
    if sys.argv[1] == "--list":
        print("\n".join(f"{name}.3" for name in file_names(read_families(sys.argv[2]))))
    else:
        main(*sys.argv[1:])
