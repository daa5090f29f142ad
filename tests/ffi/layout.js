'use strict';
// koffi, fed with serverlog.cdef.h by the example's reader, agrees with the C compiler on every size, offset and
// constant.
//
//     node layout.js DIRECTORY_OF_THE_EXAMPLE LAYOUT_PROGRAM
const assert = require('assert');
const { execFileSync } = require('child_process');
const { createRequire } = require('module');
const path = require('path');

const [, , example, layout] = process.argv;
const requireThere = createRequire(path.resolve(example, 'program.js'));
const svl = requireThere('./declarations.js');
const koffi = requireThere('koffi');

const facts = execFileSync(layout, { encoding: 'utf8' }).trim().split('\n');
for (const fact of facts) {
    const [kind, name, ...rest] = fact.split(' ');
    if (kind === 'size')
        assert.strictEqual(koffi.sizeof(name), Number(rest[0]), fact);
    else if (kind === 'member')
        assert.strictEqual(koffi.offsetof(name, rest[0]), Number(rest[1]), fact);
    else
        assert.strictEqual(svl[name], Number(rest[0]), fact);
}
assert(facts.length > 100);
console.log(`${facts.length} facts`);
