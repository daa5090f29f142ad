#!/usr/bin/env python3
"""Each example answers --help with its usage, and makes nothing.

    help.py EXAMPLE...
"""
import os
import pathlib
import subprocess
import sys
import tempfile

for example in map(os.path.abspath, sys.argv[1:]):
    name = pathlib.Path(example).name
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run([example, "--help"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                cwd=folder, timeout=60)
        assert result.returncode == 0 and result.stderr == "", (name, result)
        assert result.stdout.startswith(f"usage: {name} "), (name, result.stdout)
        assert os.listdir(folder) == [], (name, os.listdir(folder))
