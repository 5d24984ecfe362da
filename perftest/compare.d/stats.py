# SPDX-License-Identifier: BSD-2-Clause
"""Arithmetic of the comparison: ratios, their interval, and the verdict. Pure."""

import random
import statistics
from dataclasses import dataclass

PAIRS_MIN = 15
PAIRS_STEP = 5
PAIRS_MAX = 60
MARGIN = 0.03       # of a ratio: what a measurement on a real machine cannot tell apart
CONFIDENCE = 0.95
RESAMPLES = 10000

MET, MISSED, MORE, UNDECIDED = "met", "missed", "more", "undecided"


@dataclass(frozen=True)
class Target:
    """`op` is ">=" or "<=". `value` is compared with the ratio ours/peer, or, if `of` is "ours",
    with our figure alone; it may be the name of a metric of our side. `slack`: of counts."""
    op: str
    value: object
    of: str = "ratio"
    slack: float = 0.0

    def text(self, value=None):
        value = self.value if value is None else value
        if not isinstance(value, (int, float)):
            return f"{self.op} {value}"
        return f"{self.op} {value:.2f}" if self.of == "ratio" else f"{self.op} {value:.4g}"


def median(samples):
    return statistics.median(samples)


def ratios(ours, peer):
    """Of each pair that has both. A peer of 0 has no ratio."""
    return [a / b for a, b in zip(ours, peer) if b]


def bootstrap(values, seed=1):
    """The interval of the median that holds with CONFIDENCE, by resampling. The same values give
    the same interval."""
    if len(values) == 1:
        return values[0], values[0]
    rng = random.Random(seed)
    n = len(values)
    medians = sorted(median(rng.choices(values, k=n)) for _ in range(RESAMPLES))
    tail = (1 - CONFIDENCE) / 2
    return medians[int(tail * RESAMPLES)], medians[int((1 - tail) * RESAMPLES) - 1]


def reaches(op, figure, value, slack):
    """Whether FIGURE is at VALUE or better, or worse by at most SLACK."""
    slack += 1e-9
    return figure >= value - slack if op == ">=" else figure <= value + slack


def verdict(target, low, high, pairs):
    """Of an interval LOW..HIGH of a ratio after so many PAIRS: MET when its worse end is within
    MARGIN of the target or beyond it, MISSED when its better end is not, else MORE pairs are
    needed; when there were PAIRS_MAX already, UNDECIDED."""
    worse, better = (low, high) if target.op == ">=" else (high, low)
    if pairs < PAIRS_MIN:
        return MORE
    if reaches(target.op, worse, target.value, MARGIN):
        return MET
    if not reaches(target.op, better, target.value, MARGIN):
        return MISSED
    return MORE if pairs < PAIRS_MAX else UNDECIDED


def count_verdict(target, figure, value):
    """Counts do not depend on the machine's mood: one figure, no interval."""
    return MET if reaches(target.op, figure, value, target.slack) else MISSED
