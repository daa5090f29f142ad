"""Golden stores: where they are, and what a listing of one says."""
import json
import pathlib
import tarfile

from records import as_json, as_text

FOLDER = pathlib.Path(__file__).parent / "golden"


def archive(name):
    return FOLDER / f"{name}.tar.gz"


def listing(name):
    return FOLDER / f"{name}.jsonl"


def is_at_rest(file):
    return file.suffix in (".mdb", ".seg", ".keys") or file.stem == "journal"


def unpack(name, path):
    path.mkdir()
    with tarfile.open(archive(name)) as files:
        for entry in files:
            (path / entry.name).write_bytes(files.extractfile(entry).read())


def lines_of(store):
    """The records, then the values."""
    values = [json.dumps({"value": as_text(key), "is": value.hex()}, separators=(",", ":"))
              for key, value in sorted(store.values.items())]
    return [as_json(record) for record in store.records] + values
