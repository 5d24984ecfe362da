# SPDX-License-Identifier: BSD-2-Clause
"""What was found: a table for people, JSON for programs (schema nmt_compare/1)."""

import json

COLUMNS = ("name", "ours", "peer", "ratio", "interval", "target", "verdict")


def number(value, unit=""):
    if value is None:
        return "-"
    scale = [(1e9, "G"), (1e6, "M"), (1e3, "k")] if unit in ("B/s", "/s") else []
    for limit, letter in scale:
        if abs(value) >= limit:
            return f"{value / limit:.4g} {letter}{unit}"
    return f"{value:.4g} {unit}".rstrip()


def ratio(value):
    return "-" if value is None else f"{value:.3f}"


def cells(row):
    interval = "-"
    if row["low"] is not None and row["low"] != row["high"]:
        interval = f"{row['low']:.3f} .. {row['high']:.3f}"
    return (row["name"], number(row["ours"], row["unit"]), number(row["peer"], row["unit"]),
            ratio(row["ratio"]), interval, row["target"] or "-", row["verdict"])


def print_table(rows, note):
    lines = [COLUMNS] + [cells(r) for r in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    for line, row in zip(lines, [None] + rows):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths))
        notice = row["note"] if row and row["note"] else ""
        print(f"{text}  {notice}".rstrip())
    if note:
        print(f"\n{note}")


def tally(rows):
    """How many rows have which verdict, in words."""
    verdicts = [r["verdict"] for r in rows]
    return ", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts))


FIELDS = ("group", "name", "ours", "peer", "unit", "ratio", "low", "high", "target", "verdict",
          "note")


def document(rows, experiments, bench, about, guests=()):
    """GUESTS: documents of groups that ran in a guest."""
    doc = {
        "schema": "nmt_compare/1",
        **about,
        "rows": [{k: r[k] for k in FIELDS} for r in rows],
        "samples": {e.name: e.samples for e in experiments},
        "failed_runs": [c for e in experiments for c in e.complaints],
        "commands": bench.commands,
    }
    for guest in guests:
        doc["samples"].update(guest["samples"])
        doc["commands"].update(guest["commands"])
        doc["failed_runs"] += guest["failed_runs"]
        doc.setdefault("guests", []).append(guest.get("machine"))
    return doc


def write_json(path, doc):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(doc, f, indent=1)
        f.write("\n")
