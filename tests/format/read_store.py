#!/usr/bin/env python3
"""The second reader of serverlog-format(5): prints the records of a store at rest as lines of JSON.

    read_store.py DIRECTORY
"""
import sys

from basics import Damage, Unknown
from records import as_json
from store import Store

if len(sys.argv) != 2:
    sys.exit(__doc__.strip())
try:
    for record in Store(sys.argv[1]).records:
        print(as_json(record))
except (Damage, Unknown) as refusal:
    sys.exit(f"{sys.argv[1]}: {refusal}")
