# SPDX-License-Identifier: BSD-2-Clause
"""What is read from fi_pingpong, and a provider that is not there."""

import types
import unittest

import fabric
from experiment import Experiment, Row, Side
from procs import Failed

PINGPONG = """\
bytes   #sent   #ack     total       time     MB/sec    usec/xfer   Mxfers/sec
64k     1k      =1k      125m        0.11s   1223.59      53.56       0.02
"""


class Readers(unittest.TestCase):
    def test_pingpong(self):
        self.assertEqual(fabric.pingpong_figures(PINGPONG),
                         {"bytes_per_s": 1223.59e6, "us": 53.56})

    def test_a_program_that_says_nothing_fails(self):
        for text in ("", PINGPONG.splitlines()[0], "fi_getinfo: -61(No data available)"):
            with self.assertRaises(Failed):
                fabric.pingpong_figures(text)


class NoProvider(unittest.TestCase):
    def test_is_a_row_that_says_so(self):
        def refuse(args, mode):
            raise Failed("unknown provider" if "raw-write" not in args else "no raw")
        e = Experiment("e", {"nmt": Side(lambda b: fabric.throughput(b, "ofi/tcp", ["bw"]))},
                       [Row("r", "B/s", "nmt.bytes_per_s")])
        e.run(types.SimpleNamespace(nmt_perf=refuse, begin=lambda label: None), quick=True)
        result = e.result(e.rows[0], quick=True)
        self.assertEqual((result["verdict"], result["note"]), ("absent", "unknown provider"))


if __name__ == "__main__":
    unittest.main()
