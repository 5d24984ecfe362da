# SPDX-License-Identifier: BSD-2-Clause
"""An experiment runs its sides in turn, again and again, and gives the figures of some rows."""

import sys
from dataclasses import dataclass, field

import stats
from procs import Failed

TRIES = 3       # of one side in one round, before it counts as failed


@dataclass(frozen=True)
class Row:
    """`ours` and `peer` are "side.metric"; of "one.metric|two.metric" the smaller of each round.
    Without a target the row is context."""
    name: str
    unit: str
    ours: str
    peer: str = ""
    target: stats.Target = None
    note: str = ""          # {side.metric} is replaced by the median

    def sides(self):
        return {key.split(".")[0] for keys in (self.ours, self.peer) for key in keys.split("|")
                if key}


@dataclass
class Side:
    """`run(bench)` gives {metric: figure}. `missing` says why it cannot run."""
    run: object
    missing: str = ""


@dataclass
class Experiment:
    """`count`: figures that one run tells, without pairs."""
    name: str
    sides: dict
    rows: list
    count: bool = False
    samples: dict = field(default_factory=dict)     # side: {metric: [figure]}
    failed: dict = field(default_factory=dict)      # side: why
    complaints: list = field(default_factory=list)  # of runs that were repeated

    # ---- running

    def run(self, bench, quick=False, progress=lambda text: None):
        limit = 1 if self.count else stats.PAIRS_STEP if quick else stats.PAIRS_MAX
        self.failed = {name: side.missing for name, side in self.sides.items() if side.missing}
        done = 0
        while done < limit and (sides := self._wanted(done, quick)):
            progress(f"{self.name} {done + 1}")
            self._round(bench, sides, done)
            done += 1

    def _wanted(self, done, quick):
        """Sides whose rows need more. Looked at when a verdict may fall, not after every round."""
        rows = self.rows
        if not self.count and not quick and done >= stats.PAIRS_MIN:
            if (done - stats.PAIRS_MIN) % stats.PAIRS_STEP:
                return self._last
            rows = [r for r in rows if r.target and self.verdict(r)[0] == stats.MORE]
        needed = set().union(*(r.sides() for r in rows if not self._broken(r))) if rows else set()
        self._last = [name for name in self.sides if name in needed]
        return self._last

    def _round(self, bench, sides, done):
        """Each side once; another one begins each time."""
        turn = done % len(sides)
        for name in sides[turn:] + sides[:turn]:
            figures = self._sample(bench, name)
            for metric, figure in (figures or {}).items():
                self.samples.setdefault(name, {}).setdefault(metric, []).append(figure)

    def _sample(self, bench, name):
        label = f"{self.name}/{name}"
        bench.begin(label)
        for _ in range(TRIES):
            try:
                return self.sides[name].run(bench)
            except (Failed, KeyError, ValueError) as e:
                why = str(e) if isinstance(e, Failed) else f"its report is not as expected: {e!r}"
                self.complaints.append(f"{label}: {why}")
                print(f"compare: {label}: {why}", file=sys.stderr)
        self.failed[name] = why
        return None

    # ---- judging

    def _broken(self, row):
        return next((self.failed[s] for s in sorted(row.sides()) if s in self.failed), "")

    def series(self, keys):
        every = [self._series(key) for key in keys.split("|")]
        return [min(figures) for figures in zip(*every)]

    def _series(self, key):
        side, _, metric = key.partition(".")
        return self.samples.get(side, {}).get(metric, [])

    def _median(self, key):
        values = self.series(key) if key else []
        return stats.median(values) if values else None

    def verdict(self, row):
        """(verdict, ratio, low, high)"""
        ours, peer = self.series(row.ours), self.series(row.peer) if row.peer else []
        pairs = stats.ratios(ours, peer)
        if self.count:
            return self._count_verdict(row, pairs)
        if not pairs:
            return "absent", None, None, None
        ratio, (low, high) = stats.median(pairs), stats.bootstrap(pairs)
        if not row.target:
            return "context", ratio, low, high
        return stats.verdict(row.target, low, high, len(pairs)), ratio, low, high

    def _count_verdict(self, row, pairs):
        ratio = stats.median(pairs) if pairs else None
        if not row.target:
            return "context", ratio, ratio, ratio
        value = self.target_value(row)
        figure = ratio if row.target.of == "ratio" else self._median(row.ours)
        if figure is None:
            return "absent", None, None, None
        return stats.count_verdict(row.target, figure, value), ratio, ratio, ratio

    def target_value(self, row):
        """A number; one that a side measured for itself is named in the target."""
        value = row.target.value
        side = row.ours.split(".")[0]
        return self._median(f"{side}.{value}") if isinstance(value, str) else value

    def result(self, row, quick=False):
        """The row as it is reported: a dict of plain values."""
        why = self._broken(row)
        figures = {"ours": self._median(row.ours), "peer": self._median(row.peer)}
        complete = figures["ours"] is not None and (not row.peer or figures["peer"] is not None)
        verdict, ratio, low, high = ("absent", None, None, None)
        if not why and complete:
            verdict, ratio, low, high = self.verdict(row)
            if verdict == stats.MORE:
                verdict = "quick" if quick else stats.UNDECIDED
        target = row.target.text(self.target_value(row)) if row.target else None
        return {"name": row.name, **figures, "unit": row.unit, "ratio": ratio, "low": low,
                "high": high, "target": target, "verdict": verdict,
                "note": why or self._note(row)}

    def _note(self, row):
        note = row.note
        for side, metrics in self.samples.items():
            for metric in metrics:
                key = f"{side}.{metric}"
                note = note.replace(f"{{{key}}}", f"{self._median(key):.4g}")
        return note
