'use strict';
// Is koffi there for a program in this folder?   node koffi.js DIRECTORY
const { createRequire } = require('module');
const path = require('path');

try {
    createRequire(path.resolve(process.argv[2], 'program.js'))('koffi');
} catch (error) {
    process.exit(1);
}
