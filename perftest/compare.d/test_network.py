# SPDX-License-Identifier: BSD-2-Clause
"""A loopback of their own for the pairs, and what is said of the machine's."""

import os
import subprocess
import sys
import unittest
from unittest import mock

import network

# In a process of its own, since it does not come back.
SCRIPT = """\
import socket, sys
import network
try:
    network.leave(sys.argv[1])
except network.NoNetwork as e:
    sys.exit(str(e))
with socket.create_server(("127.0.0.1", 0)) as s, socket.create_connection(s.getsockname()) as c:
    name = c.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
    print(network.congestion(), name.rstrip(bytes(1)).decode())
"""


def leave(name):
    done = subprocess.run([sys.executable, "-B", "-c", SCRIPT, name], check=False, text=True,
                          capture_output=True, cwd=os.path.dirname(os.path.abspath(__file__)))
    if "no network namespace" in done.stderr:
        raise unittest.SkipTest(done.stderr.strip())
    return done


class Leave(unittest.TestCase):
    def test_reno(self):
        before = network.congestion()
        done = leave("reno")
        self.assertEqual((done.stdout, done.stderr), ("reno reno\n", ""))
        self.assertEqual(network.congestion(), before)

    def test_no_such_control(self):
        done = leave("none-such")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--congestion none-such", done.stderr)
        self.assertIn("reno", done.stderr)


class Warning(unittest.TestCase):
    def test_paced(self):
        with mock.patch.object(network, "congestion", return_value="bbr"):
            self.assertIn("bbr", network.warning())

    def test_not_paced(self):
        with mock.patch.object(network, "congestion", return_value="cubic"):
            self.assertEqual(network.warning(), "")


if __name__ == "__main__":
    unittest.main()
