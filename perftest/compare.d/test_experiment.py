# SPDX-License-Identifier: BSD-2-Clause
"""How sides are run in turn, when they stop, and how a row ends when something is missing."""

import contextlib
import io
import types
import unittest

import main
import report
import stats
from experiment import Experiment, Row, Side
from procs import Failed
from stats import Target


def constant(figure, log=None, name=""):
    def run(_):
        if log is not None:
            log.append(name)
        return {"x": figure}
    return run


def alternating(*figures):
    state = {"n": 0}

    def run(_):
        state["n"] += 1
        return {"x": figures[state["n"] % len(figures)]}
    return run


def broken(_):
    raise Failed("it broke")


def two(ours, peer, **kwargs):
    return Experiment("e", {"a": Side(ours), "b": peer if isinstance(peer, Side) else Side(peer)},
                      [Row("r", "u", "a.x", "b.x", Target(">=", 1.0))], **kwargs)


def outcome(experiment, quick=False):
    bench = types.SimpleNamespace(begin=lambda side: None)
    with contextlib.redirect_stderr(io.StringIO()):
        experiment.run(bench, quick)
    return experiment.result(experiment.rows[0], quick)


class Pairs(unittest.TestCase):
    def test_clear_case_stops_at_the_minimum(self):
        e = two(constant(2.0), constant(1.0))
        row = outcome(e)
        self.assertEqual((row["verdict"], row["ratio"]), ("met", 2.0))
        self.assertEqual(len(e.series("a.x")), stats.PAIRS_MIN)

    def test_clear_miss(self):
        self.assertEqual(outcome(two(constant(0.5), constant(1.0)))["verdict"], "missed")

    def test_open_case_goes_on_to_the_end(self):
        e = two(alternating(0.5, 2.0), constant(1.0))
        self.assertEqual(outcome(e)["verdict"], "undecided")
        self.assertEqual(len(e.series("a.x")), stats.PAIRS_MAX)

    def test_sides_alternate_and_take_turns_at_the_start(self):
        log = []
        outcome(two(constant(2, log, "a"), constant(1, log, "b")))
        self.assertEqual("".join(log[:8]), "abbaabba")

    def test_a_decided_side_stops(self):
        e = two(constant(2.0), constant(1.0))
        e.sides["c"] = Side(alternating(0.5, 2.0))
        e.rows.append(Row("s", "u", "c.x", "b.x", Target(">=", 1.0)))
        outcome(e)
        self.assertEqual(len(e.series("a.x")), stats.PAIRS_MIN)
        self.assertEqual(len(e.series("b.x")), stats.PAIRS_MAX)

    def test_quick_is_no_verdict(self):
        e = two(constant(2.0), constant(1.0))
        self.assertEqual(outcome(e, quick=True)["verdict"], "quick")
        self.assertEqual(len(e.series("a.x")), stats.PAIRS_STEP)


class Absent(unittest.TestCase):
    def test_missing_peer_never_passes(self):
        row = outcome(two(constant(9.0), Side(constant(1.0), "b is missing")))
        self.assertEqual((row["verdict"], row["note"]), ("absent", "b is missing"))
        self.assertFalse(main.passed([row], quick=False))
        self.assertFalse(main.passed([row], quick=True))

    def test_failing_side(self):
        for e in (two(broken, constant(1.0)), two(constant(1.0), broken)):
            row = outcome(e)
            self.assertEqual((row["verdict"], row["note"]), ("absent", "it broke"))

    def test_a_run_that_fails_once_is_told_and_repeated(self):
        state = {"failed": False}

        def once(_):
            if not state["failed"]:
                state["failed"] = True
                raise Failed("hiccup")
            return {"x": 2.0}
        e = two(once, constant(1.0))
        self.assertEqual(outcome(e)["verdict"], "met")
        self.assertEqual(e.complaints, ["e/a: hiccup"])

    def test_missing_metric(self):
        self.assertEqual(outcome(two(lambda _: {"y": 1}, constant(1.0)))["verdict"], "absent")

    def test_no_rows_is_no_success(self):
        self.assertFalse(main.passed([], quick=False))


class Counts(unittest.TestCase):
    def count(self, ours, target, peer="", extra=None):
        sides = {"a": Side(lambda _: {"x": ours, **(extra or {})}), "b": Side(constant(2.0))}
        return outcome(Experiment("e", sides, [Row("r", "u", "a.x", peer, target)], count=True))

    def test_own_figure(self):
        self.assertEqual(self.count(0, Target("<=", 0, of="ours"))["verdict"], "met")
        self.assertEqual(self.count(1, Target("<=", 0, of="ours"))["verdict"], "missed")

    def test_ratio_to_peer(self):
        self.assertEqual(self.count(2, Target("<=", 1.0), "b.x")["verdict"], "met")
        self.assertEqual(self.count(3, Target("<=", 1.0), "b.x")["verdict"], "missed")

    def test_target_that_is_measured(self):
        row = self.count(2.2, Target("<=", "limit", of="ours"), extra={"limit": 2.25})
        self.assertEqual((row["verdict"], row["target"]), ("met", "<= 2.25"))

    def test_counted_even_when_quick(self):
        e = Experiment("e", {"a": Side(constant(1))},
                       [Row("r", "u", "a.x", target=Target("<=", 0, of="ours"))], count=True)
        self.assertEqual(outcome(e, quick=True)["verdict"], "missed")

    def test_context_has_no_verdict(self):
        row = self.count(5, None)
        self.assertEqual(row["verdict"], "context")
        self.assertTrue(main.passed([row], quick=False))


class Report(unittest.TestCase):
    def test_rows_have_the_promised_fields(self):
        row = {"group": "g", **outcome(two(constant(2.0), constant(1.0)))}
        bench = types.SimpleNamespace(commands={})
        doc = report.document([row], [], bench, {})
        for field in ("group", "name", "ours", "peer", "unit", "ratio", "low", "high", "target",
                      "verdict"):
            self.assertIn(field, doc["rows"][0])

    def test_ended_early_shows_what_there_is(self):
        def ended(_):
            raise KeyboardInterrupt
        first, second = two(constant(2.0), constant(1.0)), two(ended, constant(1.0))
        second.rows = [Row("never", "u", "a.x")]
        args = types.SimpleNamespace(quick=False)
        module = types.SimpleNamespace(NOTE="")
        bench = types.SimpleNamespace(begin=lambda _: None)
        with contextlib.redirect_stdout(io.StringIO()) as out, self.assertRaises(KeyboardInterrupt):
            main.run_all(args, [("g", module, [first, second])], bench, [])
        self.assertRegex(out.getvalue(), r"(?m)^r  .* met$")
        self.assertNotIn("never", out.getvalue())

    def test_every_row_has_a_name_of_its_own(self):
        for group, _, experiments in main.choose(main.GROUPS, []):
            names = [r.name for e in experiments for r in e.rows]
            self.assertEqual(len(names), len(set(names)), group)
            for e in experiments:
                for row in e.rows:
                    self.assertLessEqual(row.sides(), set(e.sides))


if __name__ == "__main__":
    unittest.main()
