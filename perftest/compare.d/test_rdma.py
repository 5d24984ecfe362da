# SPDX-License-Identifier: BSD-2-Clause
"""What is read from perftest and rstream, the smaller of two peers, and the way into the guest."""

import os
import types
import unittest

import counts
import main
import rdma
from experiment import Experiment, Row, Side
from procs import Failed
from stats import Target

WRITE_BW = """\
---------------------------------------------------------------------------------------
 #bytes     #iterations    BW peak[Gb/sec]    BW average[Gb/sec]   MsgRate[Mpps]
 65536      600              0.93               0.88               0.001678
---------------------------------------------------------------------------------------
"""

WRITE_LAT = """\
 #bytes #iterations    t_min[usec]    t_max[usec]  t_typical[usec]    t_avg[usec]    t_stdev[usec]   \
99% percentile[usec]   99.9% percentile[usec]
 64      2000          40.10          900.20       52.25              55.11          12.00          \
90.00                   300.00
"""

RSTREAM = """\
name      bytes   xfers   iters   total       time     Gb/sec    usec/xfer
custom    64k     400     1       50m         0.52s      0.81     649.02
"""


class Readers(unittest.TestCase):
    def test_perftest_rate(self):
        self.assertEqual(rdma.last_figures(WRITE_BW, 5)[3], 0.88)

    def test_perftest_latency(self):
        self.assertEqual(rdma.last_figures(WRITE_LAT, 9)[4], 52.25)

    def test_rstream(self):
        self.assertAlmostEqual(rdma.rstream_rate(RSTREAM), 0.81e9 / 8)

    def test_a_program_that_says_nothing_fails(self):
        for read in (lambda: rdma.last_figures("no figures here", 5),
                     lambda: rdma.rstream_rate("rstream: connection refused")):
            with self.assertRaises(Failed):
                read()

    def test_counts_of_the_library(self):
        self.assertEqual(counts.counted(["doorbells 3", "writes 40"]),
                         {"doorbells": 3, "writes": 40})


class SmallerPeer(unittest.TestCase):
    def test_of_each_round(self):
        e = Experiment("e", {n: Side(None) for n in "abc"},
                       [Row("r", "u", "a.x", "b.x|c.x", Target(">=", 1.0))])
        e.samples = {"a": {"x": [2, 2, 2]}, "b": {"x": [1, 4, 1]}, "c": {"x": [2, 2, 2]}}
        self.assertEqual(e.series("b.x|c.x"), [1, 2, 1])
        self.assertEqual(e.rows[0].sides(), {"a", "b", "c"})
        self.assertEqual(e.verdict(e.rows[0])[1], 2)

    def test_needs_both(self):
        e = Experiment("e", {n: Side(None) for n in "abc"}, [Row("r", "u", "a.x", "b.x|c.x")])
        e.samples = {"a": {"x": [2]}, "b": {"x": [1]}}
        self.assertEqual(e.result(e.rows[0])["verdict"], "absent")


class Guest(unittest.TestCase):
    def test_its_command_line(self):
        args = types.SimpleNamespace(only=["latency"], quick=True)
        line = main.guest_line(args, "verbs", "/b", "/b/rows.json")
        self.assertEqual(line[line.index("--json") + 1], "/b/rows.json")
        self.assertEqual(line[line.index("--only") + 1], "latency")
        self.assertIn("--no-build", line)
        self.assertIn("--quick", line)
        self.assertTrue(os.access(line[0], os.X_OK))
        self.assertLess(line.index(main.PAIR), line.index("verbs"))

    def test_no_guest_is_no_success(self):
        _, _, experiments = main.choose(["verbs"], ["latency"])[0]
        rows = main.absent("verbs", experiments, "no QEMU")
        self.assertEqual({r["verdict"] for r in rows}, {"absent"})
        self.assertIn("no QEMU", rows[0]["note"])
        self.assertFalse(main.passed(rows, quick=True))


if __name__ == "__main__":
    unittest.main()
