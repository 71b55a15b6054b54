"""A table with one problem of each kind, and one without any."""

import csv

import numpy as np

SETTINGS = ["experiment=table", "data.labels=kind", "data.id=key"]


def write_csv(path, rows):
    """Writes rows, dicts of the same keys."""
    with path.open("w", newline="") as file:
        lines = csv.DictWriter(file, list(rows[0]))
        lines.writeheader()
        lines.writerows(rows)


def clean_rows(count=400):
    """Rows in a random order, whose columns tell something of the kind."""
    rng = np.random.default_rng(0)
    kinds = rng.choice(["nashi", "comice", "williams"], count, p=[0.4, 0.3, 0.3])
    return [
        {
            "key": f"pear {row}",
            "weight": round(
                rng.normal({"nashi": 30, "comice": 14}.get(kind, 12), 6), 3
            ),
            "age": "" if row % 20 == 0 else int(rng.integers(0, 9)),
            "color": rng.choice(["blue", "yellow", ""], p=[0.6, 0.3, 0.1]),
            "kind": kind,
        }
        for row, kind in enumerate(kinds.tolist())
    ]


def planted_rows():
    """The same with problems of every check; the label decides the order."""
    rows = clean_rows()
    for row in rows:
        row["kind"] = "rare" if row["kind"] == "nashi" else row["kind"]
    rare = [row for row in rows if row["kind"] == "rare"]
    rows = [row for row in rows if row["kind"] != "rare"] * 2 + rare[:12]
    rows.sort(key=lambda row: row["kind"])
    numbers = {"comice": 1, "rare": 2, "williams": 3}
    return [
        {
            "key": row["key"],
            "weight": row["weight"],
            "same": row["weight"],
            "garden": "north",
            "note": "x" if place % 2 else "",
            "code": numbers[row["kind"]],
            "kind": row["kind"],
        }
        for place, row in enumerate(rows)
    ]
