#!/usr/bin/env python3
"""serverlog-bench compare on two known files: what moved, which way, and how surely.

    compare.py SERVERLOG_BENCH
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

bench = sys.argv[1]


def figure(workload, metric, samples, peer="serverlog", size=1000):
    return {"type": "figure", "workload": workload, "question": "a \"quoted\" one?", "size": size, "peer": peer,
            "title": peer, "ours": True, "metric": metric, "unit": "ns", "better": "less", "samples": samples,
            "min": 0, "median": 0, "max": 0, "ratio": None}


class Compare(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)

    def write(self, name, *lines):
        path = pathlib.Path(self.temporary.name) / name
        path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
        return str(path)

    def compare(self, a, b):
        done = subprocess.run([bench, "compare", a, b], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def row(self, text, name):
        return next(line.split() for line in text.splitlines() if line.startswith(name))

    def test_compare_when_figures_moved_then_each_has_its_verdict(self):
        steady = [100, 101, 102, 103, 104]
        table = [
            # name, metric, A, B, verdict
            ("less-time", "each", steady, [50, 51, 52, 53, 54], "better"),
            ("more-time", "each", steady, [200, 201, 202, 203, 204], "worse"),
            ("more-rate", "rate", steady, [200, 201, 202, 203, 204], "better"),
            ("less-rate", "rate", steady, [50, 51, 52, 53, 54], "worse"),
            ("no-change", "each", steady, steady, "same"),
            ("noise", "p99.9", [10, 100, 1000, 50, 500], [20, 90, 900, 70, 600], "same"),
            ("a-hair", "written", [1000] * 5, [1002] * 5, "same"),
            ("too-few", "each", [100, 101, 102], [50, 51, 52, 53, 54], "few"),
        ]
        a = self.write("a", {"type": "environment"}, *[figure(n, m, a) for n, m, a, _, _ in table])
        b = self.write("b", *[figure(n, m, b) for n, m, _, b, _ in reversed(table)], "\n", {"type": "growth"})
        status, out, _ = self.compare(a, b)
        self.assertEqual(status, 0)
        for name, _, before, after, verdict in table:
            row = self.row(out, name)
            self.assertEqual(row[-1], verdict, row)
            self.assertAlmostEqual(float(row[-3]), sorted(after)[2] / sorted(before)[len(before) // 2], places=2)

    def test_compare_when_a_figure_was_zero_then_no_ratio(self):
        a = self.write("a", figure("stays", "memory", [0] * 5), figure("grows", "memory", [0] * 5))
        b = self.write("b", figure("stays", "memory", [0] * 5), figure("grows", "memory", [7] * 5))
        status, out, _ = self.compare(a, b)
        self.assertEqual(status, 0)
        self.assertEqual(self.row(out, "stays")[-3:], ["-", "-", "same"])
        self.assertEqual(self.row(out, "grows")[-3:], ["-", "-", "moved"])

    def test_compare_when_the_files_are_of_other_lines_or_machines_then_it_says_so(self):
        def of(name, **origin):
            environment = {"type": "environment", "commit": "c0ffee", "cpu": "one", "input": "x.log", **origin}
            return self.write(name, environment, figure("w", "each", [1] * 5))

        for other, told in (({}, ""), ({"input": "y.log"}, "NOT OF THE SAME LINES"), ({"cpu": "two"}, "NOT OF THE SAME MACHINE")):
            status, out, _ = self.compare(of("a"), of("b", **other))
            self.assertEqual(status, 0)
            self.assertEqual("NOT OF" in out, bool(told))
            self.assertIn(told, out)
            self.assertIn("commit c0ffee, one, lines x.log", out)

    def test_compare_when_run_twice_then_the_interval_is_the_same(self):
        a = self.write("a", figure("w", "each", [3, 1, 2]))
        b = self.write("b", figure("w", "each", [5, 4, 9]))
        self.assertEqual(self.compare(a, b), self.compare(a, b))

    def test_compare_when_a_figure_has_no_partner_then_it_is_counted(self):
        a = self.write("a", figure("w", "each", [1, 2]), figure("gone", "each", [1, 2]))
        b = self.write("b", figure("w", "each", [1, 2], size=1000), figure("w", "each", [9, 9], size=10))
        status, out, _ = self.compare(a, b)
        self.assertEqual(status, 0)
        self.assertIn("1 of A's figures are not in B", out)

    def test_compare_when_one_was_too_slow_then_the_other_is_better(self):
        slow = {"limit_s": 60, "min": None, "median": None, "max": None}
        table = [("ended", {}, slow, "worse"), ("ends-now", slow, {}, "better"), ("neither", slow, slow, "same")]
        files = [self.write(name, *[{**figure(row[0], "each", [] if row[at] else [1, 2]), **row[at]} for row in table])
                 for at, name in ((1, "a"), (2, "b"))]
        status, out, _ = self.compare(*files)
        self.assertEqual(status, 0)
        for name, a, b, verdict in table:
            row = self.row(out, name)
            self.assertEqual(row[-1], verdict)
            self.assertEqual(" ".join(row).count("over 60 s"), bool(a) + bool(b))

    def test_compare_when_nothing_is_common_then_it_fails(self):
        a = self.write("a", figure("w", "each", [1, 2]))
        b = self.write("b", figure("w", "each", [1, 2], peer="other"))
        status, _, err = self.compare(a, b)
        self.assertEqual(status, 1)
        self.assertIn("no figure in common", err)

    def test_compare_when_a_file_is_none_then_it_fails_with_its_line(self):
        good = self.write("good", figure("w", "each", [1, 2]))
        whole = json.dumps(figure("w", "each", [1, 2]))
        for number, text in enumerate(("no json", "{", whole[:-1], whole[: len(whole) // 2], "[1]", '{"type"}',
                                       whole.replace("each", "weight"), whole.replace("[1, 2]", "[]"),
                                       whole.replace("[1, 2]", "[1, x]"), whole.replace("[1, 2]", str([1] * 65)),
                                       '{"type":"figure"}', '{"type":"environment"', '{"a":}', "")):
            bad = self.write(f"bad{number}", text + "\n")
            for pair in ((good, bad), (bad, good)):
                status, _, err = self.compare(*pair)
                self.assertEqual(status, 1, text)
                self.assertIn("bad", err)
        status, _, err = self.compare(good, "/nonexistent")
        self.assertEqual(status, 1)
        self.assertIn("cannot read /nonexistent", err)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
