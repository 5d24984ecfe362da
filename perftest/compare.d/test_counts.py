# SPDX-License-Identifier: BSD-2-Clause
"""What is read from strace and callgrind, and the preloaded counter on a program that is known."""

import os
import subprocess
import sys
import tempfile
import unittest

import counts

STRACE = """\
    calls syscall
--------- ----------------
       16 read
      260 epoll_wait
--------- ----------------
      276 total
""".splitlines()

TRACE = """\
71 epoll_wait(4, [{EPOLLIN, {u32=1}}, {EPOLLIN, {u32=2}}], 64, 0) = 2
71 recvfrom(5, "x", 64, 0, NULL, NULL) = 64
70 epoll_pwait2(9,  <unfinished ...>
71 sendto(5, "y", 64, 0, NULL, 0) = 64
71 epoll_pwait2(4,  <unfinished ...>
70 <... epoll_pwait2 resumed> [{EPOLLIN, {u32=1}}], 64, NULL, NULL, 8) = 1
71 <... epoll_pwait2 resumed> [{EPOLLIN, {u32=1}}], 64, NULL, NULL, 8) = 1
71 epoll_wait(4, [], 64, 0) = 0
71 +++ exited with 0 +++
""".splitlines()

CALLGRIND = """\
ob=/usr/lib/libnmt.so.0.1.0
fn=nmt_send
10 7
calls=1 20
11 1000
12 3
ob=/usr/bin/nmt_perf
fn=main
5 400
""".splitlines()


class Readers(unittest.TestCase):
    def test_strace_summary(self):
        self.assertEqual(counts.summed(STRACE), 276)
        self.assertEqual(counts.summed(STRACE, counts.WAITS), 16)

    def test_strace_trace_of_the_busiest_thread(self):
        self.assertEqual(counts.traced(TRACE), {"calls": 5, "waits": 2, "ready": 3})

    def test_callgrind_leaves_out_callees(self):
        self.assertEqual(counts.own_cost(CALLGRIND, "libnmt.so"), 10)
        self.assertEqual(counts.own_cost(CALLGRIND, "nmt_perf"), 400)

    def test_setting_up_is_taken_off(self):
        self.assertEqual(counts.twice(lambda n: ({"calls": 500 + 3 * n}, n), (100, 300)),
                         {"calls": 3})


@unittest.skipUnless("NMT_COMPARE_PARTS" in os.environ, "NMT_COMPARE_PARTS names no folder")
class Preloaded(unittest.TestCase):
    SCRIPT = "b = bytearray(100000)\nfor _ in range({n}): bytes(b)\nfor _ in range({n}): bytes(200)"

    def once(self, n):
        library = os.path.join(os.environ["NMT_COMPARE_PARTS"], "nmt_count.so")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "counts")
            env = {**os.environ, "LD_PRELOAD": library, "NMT_COUNT_FILE": path,
                   "PYTHONMALLOC": "malloc"}
            subprocess.run([sys.executable, "-S", "-c", self.SCRIPT.format(n=n)], env=env,
                           check=True)
            with open(path, encoding="ascii") as f:
                return {k: int(v) for k, v in (line.split() for line in f)}, n

    def test_copies_and_allocations_are_seen(self):
        each = counts.twice(self.once, (1000, 2000))
        self.assertAlmostEqual(each["copied"], 100000, delta=200)
        self.assertAlmostEqual(each["allocs"], each["frees"], delta=0.1)
        self.assertGreaterEqual(each["allocs"], 2)
        self.assertEqual(each["lib_copied"], 0)


if __name__ == "__main__":
    unittest.main()
