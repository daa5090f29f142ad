'use strict';
// declarations.js - reads serverlog.cdef.h into koffi, so that nothing of the library is declared twice.
//
// That file is flat C: enums, structs, callback types and functions. koffi takes them nearly as they are. It only has
// to be told which parameters bring something back, and the types say that: pointers to pointers do, and pointers to
// numbers and to structs that are not const. All others go in, or are handles.
const childProcess = require('child_process');
const fs = require('fs');
const path = require('path');
const koffi = require('koffi');

/** Where the library's pkg-config file says that it is. */
function installed(variable, file) {
    const asked = childProcess.spawnSync('pkg-config', [`--variable=${variable}`, 'serverlog'], { encoding: 'utf8' });
    if (asked.status !== 0)
        throw new Error('libserverlog is not installed: pkg-config does not find serverlog');
    return path.join(asked.stdout.trim(), file);
}

function withDirections(prototype, structs) {
    return prototype.replace(/(const )?(\w+) (\*+)\w+(?=[,)])/g, (parameter, isConst, type, stars) => {
        if (stars === '**')
            return '_Out_ ' + parameter;
        const isData = structs.has(type) || /^(int|size_t|u?int\d+_t)$/.test(type);
        return isData && !isConst ? '_Inout_ ' + parameter : parameter;
    });
}

function declareStruct(name, body) {
    const members = {};
    for (const [, type, member, length] of body.matchAll(/(\S[^;]*?)(\w+)(?:\[(\d+)\])?;/g))
        members[member] = length ? koffi.array(type.trim(), Number(length)) : type.trim();
    koffi.struct(name, members);
}

/** All constants and functions of the library, by their names. */
function declare(text, library) {
    const svl = {};
    const structs = new Set();
    const flat = text.replace(/\/\*.*?\*\//gs, ' ').replace(/\s+/g, ' ');
    for (const [whole] of flat.matchAll(/[^;{}]*(?:\{[^{}]*\}[^;{}]*)?;/g)) {
        const declaration = whole.trim().slice(0, -1);
        const [head, body] = declaration.split(/[{}]/);
        if (head.startsWith('enum ')) {
            for (const [, name, value] of body.matchAll(/(\w+) = (-?\d+)/g))
                svl[name] = Number(value);
        } else if (body) {
            const name = /^typedef struct (\w+)/.exec(head)[1];
            structs.add(name);
            declareStruct(name, body);
        } else if (head.startsWith('typedef struct ')) {
            koffi.opaque(/(\w+)$/.exec(head)[1]);
        } else if (head.startsWith('typedef ')) {
            koffi.proto(head.slice('typedef '.length));
        } else {
            const name = /(\w+)\(/.exec(head)[1];
            svl[name] = library.func(withDirections(head, structs).replace('(void)', '()'));
        }
    }
    return svl;
}

const cdef = process.env.SERVERLOG_CDEF || installed('includedir', 'serverlog/serverlog.cdef.h');
const library = process.env.SERVERLOG_LIBRARY || installed('libdir', 'libserverlog.so.0');
module.exports = declare(fs.readFileSync(cdef, 'utf8'), koffi.load(library));
