#!/usr/bin/env python3
"""serverlog-bench, run tiny: every workload asks every peer, every line keeps the schema, nothing is left behind.

    harness.py SERVERLOG_BENCH SCHEMA
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree as xml

bench, schema_path = sys.argv[1:3]
schema = json.loads(pathlib.Path(schema_path).read_text())
memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # nothing is measured here: no disk is waited for
TYPES = {"string": str, "integer": int, "boolean": bool, "object": dict, "number": (int, float), "numbers": list}


def run(*arguments):
    return subprocess.run([bench, *arguments], capture_output=True, text=True)


def problems_of(line):
    """What of the schema a line breaks."""
    members = schema.get(line.get("type"), None)
    if members is None or line["type"] == "description":
        return ["no such type"]
    found = [name + " is unknown" for name in line if name not in members]
    for name, rule in members.items():
        if name not in line:
            found.append(name + " is missing")
            continue
        value = line[name]
        if value is None and rule.get("nullable"):
            continue
        if "const" in rule and value != rule["const"] or "enum" in rule and value not in rule["enum"]:
            found.append(f"{name} is {value}")
        kind = TYPES.get(rule.get("type"), object)
        if not isinstance(value, kind) or (isinstance(value, bool) and rule.get("type") != "boolean"):
            found.append(f"{name} is {value!r}, not a {rule['type']}")
        elif rule.get("minimum", value) > value if isinstance(value, int) else False:
            found.append(f"{name} is {value}")
        if rule.get("type") == "numbers" and not all(isinstance(it, (int, float)) for it in value):
            found.append(name + " holds no numbers")
    return found


class Tiny(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(dir=memory)
        cls.stores = pathlib.Path(cls.temporary.name) / "stores"
        cls.out = pathlib.Path(cls.temporary.name) / "out"
        cls.stores.mkdir()
        cls.done = run("run", "--size", "100", "--repeat", "2", "--limit", "60", "--json", "--dir", str(cls.stores),
                      "--out", str(cls.out))
        cls.lines = [json.loads(line) for line in cls.done.stdout.splitlines()]
        cls.figures = [line for line in cls.lines if line["type"] == "figure"]
        listed = run("list").stdout
        workloads, _, peers = listed.partition("\nPeers:\n")
        cls.workloads = [line.split()[0] for line in workloads.splitlines()]
        cls.peers = [line.split()[0] for line in peers.splitlines() if not line.startswith("left out:")]

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def test_run_when_tiny_then_every_workload_and_peer_is_measured(self):
        self.assertEqual(self.done.returncode, 0, self.done.stderr)
        self.assertEqual({it["workload"] for it in self.figures}, set(self.workloads))
        self.assertEqual({it["peer"] for it in self.figures}, set(self.peers))

    def test_run_when_json_then_every_line_keeps_the_schema(self):
        self.assertEqual(self.lines[0]["type"], "environment")
        for line in self.lines:
            self.assertEqual(problems_of(line), [], line)

    def test_run_when_repeated_then_each_figure_has_as_many_samples_and_their_order(self):
        for it in self.figures:
            self.assertLessEqual(1, len(it["samples"]), it)
            self.assertLessEqual(len(it["samples"]), 2, it)
            self.assertIsNone(it["limit_s"], it)
            if it["metric"] != "memory":  # sampled: a short process may end before
                self.assertEqual(len(it["samples"]), 2, it)
            self.assertLessEqual(it["min"], it["median"])
            self.assertLessEqual(it["median"], it["max"])

    def test_run_when_there_is_ours_then_the_others_have_a_ratio_with_its_interval(self):
        for it in self.figures:
            ours = [o for o in self.figures if o["ours"] and
                    (o["workload"], o["size"], o["metric"]) == (it["workload"], it["size"], it["metric"])]
            if not ours or ours[0] is it:
                self.assertIsNone(it["ratio"], it)
            elif min(it["samples"] + ours[0]["samples"]) > 0:
                self.assertAlmostEqual(it["ratio"], ours[0]["median"] / it["median"], delta=it["ratio"] / 1000)
                self.assertLessEqual(it["ratio_low"], it["ratio"] * 1.001)
                self.assertLessEqual(it["ratio"], it["ratio_high"] * 1.001)

    def test_run_when_ingest_then_bytes_written_and_on_the_disk_are_told(self):
        for name in ("ingest/plain", "ingest/keyed", "ingest/unique"):
            metrics = {it["metric"] for it in self.figures if it["workload"] == name and it["peer"] == "serverlog"}
            self.assertLessEqual({"rate", "cpu", "written", "dirtied", "disk", "whole"}, metrics)

    def test_run_when_a_small_store_is_weighed_then_it_is_what_the_files_have(self):
        whole = {it["workload"]: it["median"] for it in self.figures
                 if it["metric"] == "whole" and it["peer"] == "lmdb" and it["workload"].startswith("footprint/")}
        self.assertEqual(set(whole), {"footprint/open", "footprint/1000"})
        for size in whole.values():
            self.assertEqual(size % 4096, 0)
        self.assertGreater(whole["footprint/1000"], whole["footprint/open"])

    def test_run_when_the_store_grows_then_each_tenth_has_its_rate(self):
        for peer in ("serverlog", "lmdb"):
            rates = [it for it in self.figures if it["metric"] == "window" and it["peer"] == peer]
            self.assertEqual([it["size"] for it in rates], [10 * n for n in range(1, 11)])
            kept = next(it for it in self.figures if it["metric"] == "kept" and it["peer"] == peer)
            for sample in range(2):
                self.assertAlmostEqual(kept["samples"][sample], rates[-1]["samples"][sample] /
                                       rates[0]["samples"][sample], delta=kept["samples"][sample] / 1000)

    def test_run_when_memory_is_looked_at_then_its_bound_is_told(self):
        for it in self.figures:
            self.assertEqual(it["bound"], 72 << 20 if it["ours"] and it["metric"] == "memory" and
                             it["workload"] in ("ingest/plain", "ingest/keyed", "ingest/unique") else None, it)

    def test_run_when_done_then_no_store_is_left(self):
        self.assertEqual(list(self.stores.iterdir()), [])

    def test_out_when_written_then_it_holds_the_same_lines(self):
        written = (self.out / "results.jsonl").read_text()
        self.assertEqual(written, self.done.stdout)

    def test_out_when_written_then_charts_are_whole_and_nothing_is_loaded_from_elsewhere(self):
        charts = list(self.out.glob("*.svg"))
        page = (self.out / "index.html").read_text()
        self.assertGreaterEqual(len(charts), len(self.workloads))
        self.assertEqual(page.count("<svg "), len(charts))
        for chart in charts:
            root = xml.parse(chart).getroot()
            self.assertTrue(root.tag.endswith("svg"))
            self.assertIn("prefers-color-scheme:dark", chart.read_text())
        for word in ("<script", "<link", "src=", "href=", "url(", "@import"):
            self.assertNotIn(word, page)


class Selected(unittest.TestCase):
    def run_in_temporary(self, *arguments):
        with tempfile.TemporaryDirectory(dir=memory) as directory:
            return run("run", "--size", "100", "--repeat", "2", "--json", "--dir", directory, *arguments)

    def test_run_when_peers_are_named_then_only_they_and_ours_run(self):
        done = self.run_in_temporary("publish", "--peers", "mutex")
        peers = {json.loads(line).get("peer") for line in done.stdout.splitlines()} - {None}
        self.assertEqual(peers, {"serverlog-bus", "serverlog-bus-clock", "serverlog", "mutex"})

    def test_idle_when_ours_waits_then_no_thread_of_it_wakes_up(self):
        done = self.run_in_temporary("idle", "--peers", "mutex", "--size", "200000")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        wakes = {it["peer"]: it for it in lines if it.get("metric") == "switches"}
        self.assertEqual(set(wakes), {"serverlog-bus", "serverlog-bus-clock", "serverlog", "mutex"})
        for it in wakes.values():
            self.assertEqual(it["min"], 0, it)  # one of them: on a busy machine what was sent may still be at work

    def test_run_when_there_are_two_sizes_then_growth_is_told_at_the_end(self):
        done = self.run_in_temporary("scan/bodies", "--peers", "lmdb", "--size", "100,200")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        growth = [line for line in lines if line["type"] == "growth" and line["metric"] == "rate"]
        self.assertEqual([line["peer"] for line in growth], ["serverlog", "lmdb"])
        for line in growth:
            self.assertEqual(problems_of(line), [])
        self.assertEqual({line["size"] for line in lines if line["type"] == "figure"}, {100, 200})

    def test_run_when_there_are_two_sizes_then_growth_is_drawn_with_its_exponent(self):
        with tempfile.TemporaryDirectory(dir=memory) as out:
            self.run_in_temporary("scan/bodies", "--peers", "lmdb", "--size", "100,200", "--out", out)
            self.assertEqual({it.name for it in pathlib.Path(out).glob("*.svg")},
                             {"scan-bodies-rate.svg", "scan-bodies-rate-growth.svg"})
            drawn = xml.parse(pathlib.Path(out) / "scan-bodies-rate-growth.svg").getroot()
        space = "{http://www.w3.org/2000/svg}"
        self.assertEqual(len(drawn.findall(space + "polyline")), 2)
        self.assertEqual(len([it for it in drawn.iter(space + "tspan") if it.text.startswith("n^")]), 2)

    def test_run_when_on_a_terminal_then_it_tells_how_far_it_is_and_fills_each_store_once(self):
        ours, theirs = os.openpty()
        with tempfile.TemporaryDirectory(dir=memory) as directory:
            running = subprocess.Popen([bench, "run", "scan", "search", "lookup", "open", "--peers", "lmdb", "--size",
                                        "100,200", "--repeat", "2", "--dir", directory], stdout=subprocess.DEVNULL,
                                       stderr=theirs)
            os.close(theirs)
            told = b""
            try:
                while some := os.read(ours, 4096):
                    told += some
            except OSError:  # the other side is closed
                pass
            os.close(ours)
            self.assertEqual(running.wait(), 0)
        told = told.decode()
        for peer in ("serverlog", "lmdb"):
            for size in (100, 200):
                self.assertEqual(told.count(f", {size}: {peer} is filled"), 1, told)
        parts = [int(it) for it in re.findall(r"(\d+) %, ", told)]
        self.assertEqual(parts[0], 0)
        self.assertEqual(parts, sorted(parts))
        self.assertGreater(parts[-1], 90)
        self.assertLess(parts[-1], 100)

    def test_run_when_one_takes_too_long_then_it_is_ended_and_told_so(self):
        with tempfile.TemporaryDirectory(dir=memory) as out:
            done = self.run_in_temporary("durable-latency/idle", "--peers", "serverlog", "--size", "10000000",
                                         "--limit", "1", "--out", out)
            page = (pathlib.Path(out) / "index.html").read_text()
            charts = [it.read_text() for it in pathlib.Path(out).glob("*.svg")]
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        figures = [line for line in lines if line["type"] == "figure"]
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual({it["metric"] for it in figures}, {"p50", "p99"})
        for it in figures:
            self.assertEqual(problems_of(it), [])
            self.assertEqual((it["limit_s"], it["samples"], it["median"]), (1, [], None))
        for text in [page, *charts]:
            self.assertIn("too slow: over 1 s", text)
        self.assertEqual(len(charts), 2)

    def test_run_when_cut_off_then_says_so_and_leaves_nothing(self):
        rings = set(pathlib.Path("/dev/shm").iterdir())
        with tempfile.TemporaryDirectory(dir=memory) as directory:
            running = subprocess.Popen([bench, "run", "ingest/plain", "--peers", "serverlog", "--size", "10000000",
                                        "--dir", directory], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                       text=True)
            ring = pathlib.Path(f"/dev/shm/serverlog-bench-{running.pid}")
            for _ in range(2000):
                if ring.exists() and any(ring.iterdir()):
                    break
                time.sleep(0.005)
            self.assertTrue(any(ring.iterdir()))
            running.send_signal(signal.SIGINT)
            told = running.communicate()[1]
            self.assertEqual(running.returncode, 1)
            self.assertIn("interrupted: ", told)
            self.assertEqual(list(pathlib.Path(directory).iterdir()), [])
        self.assertFalse(ring.exists())
        self.assertEqual([it for it in set(pathlib.Path("/dev/shm").iterdir()) - rings
                          if str(running.pid) in it.name], [])

    def test_run_when_the_directory_has_results_then_they_stay(self):
        with tempfile.TemporaryDirectory(dir=memory) as out:
            kept = pathlib.Path(out) / "results.jsonl"
            kept.write_text("of another run")
            done = self.run_in_temporary("scan/bodies", "--peers", "lmdb", "--size", "100", "--out", out)
            self.assertEqual(done.returncode, 1)
            self.assertIn("holds results of another run", done.stderr)
            self.assertEqual(kept.read_text(), "of another run")

    def test_run_when_the_disk_is_too_small_then_it_does_not_begin(self):
        done = self.run_in_temporary("ingest/plain", "--size", "10000000000")
        self.assertEqual(done.returncode, 1)
        self.assertIn("GiB at once are needed", done.stderr)
        self.assertIn("not enough disk", done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), 1)

    def test_run_when_input_is_given_then_its_lines_are_stored(self):
        with tempfile.NamedTemporaryFile("w") as log:
            log.write("one line of 1,000\nand\n\nanother\n")
            log.flush()
            done = self.run_in_temporary("scan/bodies", "--peers", "text", "--input", log.name)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_run_when_input_is_empty_then_it_fails(self):
        done = self.run_in_temporary("scan", "--input", "/dev/null")
        self.assertEqual(done.returncode, 1)
        self.assertIn("has no line", done.stderr)

    def test_run_when_it_cannot_begin_then_path_and_reason_are_told(self):
        for arguments in (["--input", "/nonexistent"], ["--input", "/"], ["--dir", "/nonexistent"],
                          ["--out", "/nonexistent/out"]):
            done = run("run", "scan/bodies", "--size", "100", "--repeat", "2", "--peers", "lmdb", *arguments)
            self.assertEqual(done.returncode, 1, arguments)
            self.assertRegex(done.stderr, f"cannot [a-z. ]+ {arguments[1]}: [A-Z]")

    def test_run_when_a_peer_has_no_part_then_it_is_told(self):
        done = self.run_in_temporary("latency/idle", "--peers", "mutex,lmdb")
        self.assertEqual(done.returncode, 0)
        self.assertIn("left out: lmdb: it has no part", done.stderr)
        self.assertNotIn("mutex:", done.stderr)

    def test_run_when_input_is_given_then_it_is_on_record(self):
        done = self.run_in_temporary("latency/idle", "--peers", "mutex", "--input", "/proc/cpuinfo")
        self.assertEqual(json.loads(done.stdout.splitlines()[0])["input"], "/proc/cpuinfo")
        done = self.run_in_temporary("latency/idle", "--peers", "mutex")
        self.assertEqual(json.loads(done.stdout.splitlines()[0])["input"], "made by templates")

    def test_command_when_wrong_then_status_2(self):
        for arguments in ([], ["run", "nothing"], ["run", "scan", "--peers", "nobody"], ["run", "--size", "0"],
                          ["run", "--size", "15"], ["run", "--size", "20,10"], ["run", "--size", "-5"],
                          ["run", "--size", "1x"], ["run", "--repeat", "1"], ["run", "--repeat", "65"], ["run", "--what"],
                          ["run", "--repeat", "5x"], ["run", "--repeat", "4294967301"], ["run", "--limit", "-1"],
                          ["run", "--limit", "0"], ["run", "--limit", "86401"], ["run", "--limit", "x"],
                          ["compare", "a"], ["list", "more"]):
            done = run(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            if arguments[:1] == ["run"] and len(arguments) == 3:
                self.assertIn(f"{arguments[1]} {arguments[2]}: it takes ", done.stderr)

    def test_command_when_what_it_says_cannot_be_written_then_it_fails(self):
        for arguments in (["list"], ["run", "latency/idle", "--peers", "mutex", "--size", "100", "--repeat", "2", "--json"]):
            with open("/dev/full", "w") as full:
                done = subprocess.run([bench, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 1, arguments)
            self.assertIn("could not be written", done.stderr)

    def test_run_when_the_directory_is_missing_then_it_fails(self):
        self.assertEqual(run("run", "publish", "--dir", "/nonexistent").returncode, 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
