"""The table of accuracy as a page of Markdown: what `accuracy.py --markdown` writes."""

from pathlib import Path
from typing import Any

from regimes import KINDS

Row = dict[str, Any]

LIBRARIES = ("numpy", "scipy", "torch", "geomstats", "geoopt", "pyriemann", "mpmath")
PEERS = ("geoopt", "geomstats", "pyRiemann")

HEAD = """# Accuracy

Made by `python benchmarks/accuracy.py --rows {count} --markdown {name}`, on {cpu}, with
Python {python}, {versions}.
What is told in a line is the largest error of {count} rows in each of its regimes, against mpmath,
from the rows as they are stored.

- **error**: of dist relative; of exp the distance from the true point over 1 + the length of the
  tangent; of log and transport the length of the difference over the length of the truth.
- **rounding**: that of the truth itself, rounded to the dtype, and at least half its epsilon.
- **condition**: what roundings of the rows make of the truth, four times half an epsilon of every
  entry up or down, and what as many roundings of the answer do. Nobody can promise less who gets
  rounded rows and returns such.
- **times**: the largest error of geodask in conditions, row by row. It is claimed to be at most 10.
- **peer**: where another library answers as well, geodask is claimed to be off at most twice as far
  as the best of them, or twice the rounding where one does better.
- ∞: it refused, or found NaN or no point of the space. An empty place: it does not have the verb.

The docstring of `benchmarks/accuracy.py` has all of it, `benchmarks/regimes.py` and
`regimes_matrices.py` the rows, `verbs.py` and `verbs_matrices.py` how the others are called.

## In short

The largest of all regimes, in conditions, of float64 and, after the stroke, of float32.
"""


def write(path: Path, rows: list[Row], machine: Row, count: int) -> None:
    """Writes the page."""
    known = machine["versions"]
    versions = ", ".join(f"{name} {known[name]}" for name in LIBRARIES if name in known)
    text = HEAD.format(
        count=count,
        name=path.as_posix(),
        cpu=machine["cpu"],
        python=known["python"],
        versions=versions,
    )
    parts = [text, *_short(rows), *_missed(rows)]
    for space in dict.fromkeys(row["space"] for row in rows):
        parts += [f"\n## {space}\n", *_space([row for row in rows if row["space"] == space])]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _head(cells: list[str], words: int) -> list[str]:
    """The first so many columns hold words."""
    return [_line(cells), _line(["---"] * words + ["---:"] * (len(cells) - words))]


def _short(rows: list[Row]) -> list[str]:
    verbs = list(dict.fromkeys(row["verb"] for row in rows))
    lines = _head(["space", *verbs], 1)
    for space in dict.fromkeys(row["space"] for row in rows):
        cells = [space]
        for verb in verbs:
            same = [row for row in rows if (row["space"], row["verb"]) == (space, verb)]
            cells.append(" / ".join(_worst(same, dtype) for dtype in ("float64", "float32")))
        lines.append(_line(cells))
    return lines


def _worst(rows: list[Row], dtype: str) -> str:
    times = [row["times"] for row in rows if row["dtype"] == dtype]
    return f"{max(times):.2g}" if times else ""


def _missed(rows: list[Row]) -> list[str]:
    wrong = [row for row in rows if row["missed"]]
    lines = [f"\n## Claims that do not hold\n\nIn {len(wrong)} of {len(rows)}."]
    if wrong:
        columns = ["space", "verb", "dtype", "regime", "claim", "geodask", "rounding"]
        lines += ["", *_head(columns, 5)]
    for row in wrong:
        words = [row[name] for name in ("space", "verb", "dtype", "regime", "missed")]
        lines.append(_line([*words, _number(row, "geodask"), _number(row, "rounded")]))
    return lines


def _space(rows: list[Row]) -> list[str]:
    peers = [name for name in PEERS if any(name in row for row in rows)]
    columns = ["condition", "geodask", *peers]
    lines = _head(["regime", "dtype", "verb", "rounding", *columns, "times"], 3)
    for kind in KINDS:
        for dtype, verb in dict.fromkeys((row["dtype"], row["verb"]) for row in rows):
            same = [
                row
                for row in rows
                if (row["kind"], row["dtype"], row["verb"]) == (kind, dtype, verb)
            ]
            if same:
                names = ("rounded", *columns)
                worst = {name: max(row[name] for row in same) for name in names if name in same[0]}
                cells = [kind, dtype, verb, *(_number(worst, name) for name in names)]
                lines.append(_line([*cells, _worst(same, dtype)]))
    return lines


def _number(row: Row, name: str) -> str:
    return "" if name not in row else f"{row[name]:.1e}".replace("inf", "∞")
