# SPDX-License-Identifier: BSD-2-Clause
"""The arithmetic of the comparison: medians, intervals, verdicts."""

import random
import unittest

import stats
from stats import MET, MISSED, MORE, UNDECIDED, Target

AT_LEAST = Target(">=", 1.0)
AT_MOST = Target("<=", 1.05)


class Verdict(unittest.TestCase):
    def test_higher_is_better(self):
        for low, high, expected in (
                (1.10, 1.20, MET),
                (0.97, 1.20, MET),          # worse end just within the margin
                (0.969, 1.20, MORE),
                (0.90, 0.97, MORE),         # better end just within it
                (0.90, 0.969, MISSED),
                (0.50, 2.00, MORE)):
            with self.subTest(low=low, high=high):
                self.assertEqual(stats.verdict(AT_LEAST, low, high, 15), expected)

    def test_lower_is_better(self):
        for low, high, expected in (
                (0.80, 0.90, MET),
                (0.80, 1.08, MET),
                (0.80, 1.081, MORE),
                (1.08, 1.30, MORE),
                (1.081, 1.30, MISSED)):
            with self.subTest(low=low, high=high):
                self.assertEqual(stats.verdict(AT_MOST, low, high, 15), expected)

    def test_no_verdict_before_the_pairs(self):
        for low, high in ((2.0, 3.0), (0.1, 0.2)):
            self.assertEqual(stats.verdict(AT_LEAST, low, high, stats.PAIRS_MIN - 1), MORE)

    def test_undecided_only_at_the_end(self):
        self.assertEqual(stats.verdict(AT_LEAST, 0.5, 2.0, stats.PAIRS_MAX - 1), MORE)
        self.assertEqual(stats.verdict(AT_LEAST, 0.5, 2.0, stats.PAIRS_MAX), UNDECIDED)
        self.assertEqual(stats.verdict(AT_LEAST, 1.0, 2.0, stats.PAIRS_MAX), MET)
        self.assertEqual(stats.verdict(AT_LEAST, 0.5, 0.6, stats.PAIRS_MAX), MISSED)

    def test_counts_have_no_margin(self):
        self.assertEqual(stats.count_verdict(Target("<=", 3), 3, 3), MET)
        self.assertEqual(stats.count_verdict(Target("<=", 3), 3.01, 3), MISSED)
        self.assertEqual(stats.count_verdict(Target("<=", 3, slack=0.02), 3.01, 3), MET)
        self.assertEqual(stats.count_verdict(Target("<=", 0), 1, 0), MISSED)


class Interval(unittest.TestCase):
    def test_same_values_same_interval(self):
        values = [random.Random(7).gauss(1, 0.1) for _ in range(15)]
        self.assertEqual(stats.bootstrap(values), stats.bootstrap(list(values)))

    def test_constant_values(self):
        self.assertEqual(stats.bootstrap([1.5] * 15), (1.5, 1.5))

    def test_one_value(self):
        self.assertEqual(stats.bootstrap([1.5]), (1.5, 1.5))

    def test_holds_the_median_and_gets_narrower(self):
        rng = random.Random(3)
        few = [rng.gauss(1, 0.1) for _ in range(15)]
        many = few + [rng.gauss(1, 0.1) for _ in range(45)]
        width = []
        for values in (few, many):
            low, high = stats.bootstrap(values)
            self.assertLessEqual(low, stats.median(values))
            self.assertGreaterEqual(high, stats.median(values))
            width.append(high - low)
        self.assertLess(width[1], width[0])

    def test_one_wild_pair_does_not_decide(self):
        low, high = stats.bootstrap([1.0] * 14 + [50.0])
        self.assertEqual((low, high), (1.0, 1.0))

    def test_holds_the_truth_as_often_as_it_says(self):
        rng = random.Random(11)
        held, tries = 0, 60
        for _ in range(tries):
            low, high = stats.bootstrap([rng.gauss(1, 0.2) for _ in range(15)])
            held += low <= 1 <= high
        self.assertGreater(held / tries, 0.85)


class Ratios(unittest.TestCase):
    def test_of_pairs_not_of_medians(self):
        self.assertEqual(stats.ratios([1, 20, 300], [1, 10, 100]), [1, 2, 3])

    def test_half_a_pair_does_not_count(self):
        self.assertEqual(stats.ratios([1, 2, 3], [1, 2]), [1, 1])
        self.assertEqual(stats.ratios([1, 2], [0, 2]), [1])


if __name__ == "__main__":
    unittest.main()
