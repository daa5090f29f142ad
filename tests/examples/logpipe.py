#!/usr/bin/env python3
"""The main job: killed again and again, the end result is every line once, in order, and each alert once.

    logpipe.py LOGPIPE LOGQUERY
"""
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

logpipe, logquery = sys.argv[1:]
seed = int(os.environ.get("SVL_TEST_SEED", time.time_ns()))
random.seed(seed)
print("seed: SVL_TEST_SEED=%d" % seed)


def query(store, *options):
    output = subprocess.run([logquery, "--json", *options, store], capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in output.splitlines()]


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    lines = ["Mar 14 10:%02d:%02d host%d app[1]: %s %d" % (i // 60 % 60, i % 60, i % 7, "error in" if i % 100 == 0 else "step", i)
             for i in range(30000)]
    log, store = folder / "app.log", folder / "store"
    log.write_text("\n".join(lines) + "\nthis line has no end yet")
    kills = 0
    for _ in range(8):
        process = subprocess.Popen([logpipe, "--rate", "60000", store, log], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(random.uniform(0.01, 0.12))
        process.kill()
        kills += process.wait() == -9
    result = subprocess.run([logpipe, "--json", store, log], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert kills > 0
    records = query(store, "--source", "app")
    bodies = [record["body"] for record in records]
    assert bodies == lines, "%d records, %d lines" % (len(bodies), len(lines))
    alerts = query(store, "--source", "alerts")
    causes = [alert["attributes"]["cause.id"] for alert in alerts]
    assert causes == [r["id"] for r in records if "error in" in r["body"]], "alerts: %d" % len(causes)
    assert len(query(store, "--key", "host3")) == len([l for l in lines if " host3 " in l]) + len(
        [a for a in alerts if a["key"] == "host3"])
    assert len(query(store, "--severity", "error", "--limit", "5", "--backward")) == 5
    verify = subprocess.run([logquery, "--verify", store], capture_output=True, text=True)
    assert verify.returncode == 0, verify.stderr
    # What is damaged is said once in each line.
    damaged = folder / "damaged"
    shutil.copytree(store, damaged)
    segment = next(damaged.glob("*.seg"))
    os.truncate(segment, segment.stat().st_size // 8192 * 4096)
    verify = subprocess.run([logquery, "--verify", damaged], capture_output=True, text=True)
    assert verify.returncode == 1 and verify.stderr.startswith("damaged: " + segment.name), verify.stderr
    # A line that was unfinished is read when it is; a rotated file is another one.
    with open(log, "a") as file:
        file.write(" now\n")
    subprocess.run([logpipe, "--json", store, log], check=True, capture_output=True)
    assert len(query(store, "--type", records[0]["type"])) == len(lines) + 1
    log.unlink()
    log.write_text("another file\n")
    subprocess.run([logpipe, "--json", store, log], check=True, capture_output=True)
    assert query(store, "--limit", "1", "--backward")[0]["body"] == "another file"
    # Standard input, and what a terminal must not be given.
    subprocess.run([logpipe, store, "-"], input=b"\x1b[31mred\xff\n", check=True, capture_output=True)
    shown = subprocess.run([logquery, "--limit", "1", "--backward", store], capture_output=True, check=True).stdout
    assert b"\x1b" not in shown and b"\\x1b[31mred\\xff" in shown, shown
    # A last line without an end waits for it, and is told; a first line, too.
    growing, place = folder / "growing.log", folder / "growing"
    for text, told in (("Mar 14 10:00:00 h app[1]: o", "27 bytes of an unfinished"), ("ne\ntw", "2 bytes"), ("o\r\n", "")):
        with open(growing, "a") as file:
            file.write(text)
        result = subprocess.run([logpipe, place, growing], capture_output=True, text=True)
        assert result.returncode == 0 and told in result.stdout, result.stdout + result.stderr
    assert [r["body"] for r in query(place, "--severity", "info")] == ["Mar 14 10:00:00 h app[1]: one", "two"]
    # Another file in its place with the same first line: all of it.
    growing.write_text("".join("Mar 14 10:00:00 h app[1]: one\n" if i == 0 else "other %d\n" % i for i in range(50)))
    result = subprocess.run([logpipe, place, growing], capture_output=True, text=True)
    assert result.returncode == 0 and "from its start" in result.stderr
    assert len(query(place)) == 52
    # No line switches its own alert off, none is misread for its time.
    odd = folder / "serverlog.odd"
    odd.write_bytes(b"Mar 14 10:00:00 h serverlog.x[1]: error\nMar 14 10:00:00 h \xff[1]: error\n"
                    b"9999-12-31T23:59:59Z h far[1]: error\n" + b"x" * 300000 + b"\n\x00\n")
    result = subprocess.run([logpipe, place, odd], capture_output=True, text=True)
    assert result.returncode == 0 and "1 lines were cut" in result.stdout, result.stdout + result.stderr
    assert len(query(place, "--source", "alerts")) == 3
    assert len(query(place, "--source", "file")) == 5
    assert all(abs(r["time_ns"]) < 1 << 62 for r in query(place))
    # A file that says it is empty and is not.
    subprocess.run([logpipe, folder / "proc", "/proc/self/limits"], check=True, capture_output=True)
    assert query(folder / "proc")[0]["body"].startswith("Limit")
    # Another process reads along, also over the death of the writer.
    steps, live = folder / "steps.log", folder / "live"
    steps.write_text("Mar 14 10:00:00 h app[1]: step 0\n")
    subprocess.run([logpipe, live, steps], check=True, capture_output=True)
    follower = subprocess.Popen([logquery, "--json", "--follow", "--last", "1", live], stdout=subprocess.PIPE, text=True)
    for part in range(3):
        with open(steps, "a") as file:
            file.write("".join("Mar 14 10:00:00 h app[1]: step %d\n" % (part * 500 + i + 1) for i in range(500)))
        if part == 1:
            process = subprocess.Popen([logpipe, "--rate", "10000", live, steps], stdout=subprocess.DEVNULL)
            time.sleep(0.02)
            process.kill()
            process.wait()
        subprocess.run([logpipe, live, steps], check=True, capture_output=True)
        for i in range(part * 500 + (part > 0), part * 500 + 501):
            assert json.loads(follower.stdout.readline())["body"] == "Mar 14 10:00:00 h app[1]: step %d" % i
    follower.terminate()
    follower.wait()
    follower.stdout.close()
    # What fails is said, with the exit status too.
    for command in ([logpipe, place, folder], [logpipe, place, folder / "none"], [logquery, "-n", "5x", place],
                    [logquery, "-n", "-1", place], [logquery, "-i", "-5", place], [logquery, "-F", "2026-02-30", place],
                    [logquery, "--verify", "--stats", place], [logquery, "-s", "25", place]):
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode != 0 and result.stderr, command
    with open("/dev/full", "w") as full:
        for command in ([logpipe, place, odd], [logquery, place]):
            assert subprocess.run(command, stdout=full, stderr=subprocess.PIPE).returncode == 1, command
    missing = subprocess.run([logquery, folder / "nothing"], capture_output=True, text=True)
    assert missing.returncode == 1 and "no store" in missing.stderr
print("%d kills, %d lines" % (kills, len(lines)))
