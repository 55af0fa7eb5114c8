"""Exact nearest neighbours in the Poincaré ball, against peers: recall by radius, and time.

Claims: at every radius no wrong row and every row certified, where products of float32 lose most
neighbours far out; the self-join at least 0.8 times as fast as FAISS IndexFlatIP on the lift.

    python benchmarks/knn_hyperbolic.py                     # planted trees in H^5, H^10 and H^64
    python benchmarks/knn_hyperbolic.py --plot recall.png

The series: for each dimension and step, sampled rows of a forest against all of its rows, once
each. The self-join: all rows of one forest against all, in interleaved rounds. A row is not its own
neighbour: where it may be found, one neighbour more is looked for, and itself taken out, untimed.
A geodask contestant is timed from plan to result, the others without lifting rows or filling an
index. Slow peers take a part of the sampled rows; what counts for them is pairs a second.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dask
import numpy as np

import geodask as gd
import peers_hyperbolic as peers
import trees
from harness import Answer, Contestant, Lane, document, folder, parser, race, table, tell
from machine import facts, heading, limits
from peers import installed
from peers_hyperbolic import Found

WARM = 512
OURS = "geodask"
FAISS, HNSW = "FAISS IndexFlatIP", "FAISS HNSW"
COLUMNS = {
    "name": ("", ""),
    "radius": ("radius", ".1f"),
    "queries": ("queries", "d"),
    "median": ("seconds", ".3f"),
    "pairs_per_second": ("pairs/s", ".3g"),
    "times_faiss": ("x FAISS", ".2f"),
    "of_flops": ("% flops", ".0%"),
    "recall": ("recall", ".4f"),
    "wrong": ("wrong", "d"),
    "checked": ("of", "d"),
    "error": ("error", ".1e"),
    "certified": ("certified", ".2%"),
    "rechecked": ("rechecked", ".3%"),
    "peak_bytes": ("peak", "bytes"),
}

Make = Callable[[np.ndarray, np.ndarray, int], Callable[[], Answer]]
Checked = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Peer:
    """How to make a contestant, what it needs, and the share of the sampled rows it takes."""

    make: Make
    module: str = "torch"
    share: float = 1.0


PEERS = {
    FAISS: Peer(peers.faiss_flat, "faiss"),
    HNSW: Peer(peers.faiss_hnsw, "faiss"),
    "torch lift + topk": Peer(peers.torch_lift),
    "torch difference + topk": Peer(peers.torch_difference),
    "geoopt": Peer(peers.geoopt_dist, "geoopt", 0.1),
    "geomstats": Peer(peers.geomstats_dist, "geomstats", 0.05),
}


@dataclass(frozen=True)
class Case:
    """A forest, the rows whose neighbours are known, and those neighbours."""

    n: int
    step: float
    points: np.ndarray
    sample: np.ndarray
    right: np.ndarray
    whole: bool = False
    """All rows are queries, not the sampled alone."""

    @property
    def queries(self) -> np.ndarray:
        return np.arange(len(self.points)) if self.whole else self.sample

    def asked(self, name: str) -> np.ndarray:
        """The row numbers that a contestant has to find the neighbours of."""
        share = PEERS[name].share if name in PEERS else 1.0
        return self.queries if share == 1 else self.known(name)

    def known(self, name: str) -> np.ndarray:
        """Those of them whose true neighbours are known."""
        share = PEERS[name].share if name in PEERS else 1.0
        return self.sample[: max(1, round(share * len(self.sample)))]


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where geodask gave a wrong row or distance, or left a row uncertified."""
    options = _options(arguments)
    names, notes = _names(options)
    settings = {"geodask.progress": "off", "geodask.device": "cpu"}
    with folder() as home, dask.config.set({"geodask.store": str(home), **settings}):
        here, most = facts(), limits(4 * max(options.dimensions) * options.rows)
        series, cases = [], []
        for n in options.dimensions:
            for step in options.steps:
                case = _case(options, n, step)
                series += _raced(options, case, names, most, 1)
                cases.append(_described(case))
        joined = [] if options.repeats == 0 else _self_join(options, names, most)
    print(heading(here, most))
    _print(options, series, joined, notes)
    measured = {"machine": here, "limits": most, "notes": notes, "cases": cases}
    document("knn_hyperbolic", __doc__, options, **measured, rows=series, self_join=joined)
    if options.plot:
        _plot(options.plot, series, options)
    return int(any(not row["sound"] for row in series + joined if "sound" in row))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    found = parser(__doc__, rows=82_000, repeats=3)
    found.add_argument("--queries", type=int, default=2000, help="rows of the series, sampled")
    found.add_argument("--k", type=int, default=10, help="(default %(default)s)")
    found.add_argument("--dimensions", type=int, nargs="+", default=[5, 10, 64], metavar="N")
    steps = [0.6, 0.87, 1.13, 1.4, 1.66, 1.93]
    found.add_argument("--steps", type=float, nargs="+", default=steps, metavar="STEP")
    found.add_argument("--join-dimension", type=int, default=10, metavar="N", help="of the timed")
    found.add_argument("--join-step", type=float, default=1.13, metavar="STEP", help="self-join")
    found.add_argument("--only", nargs="+", metavar="TEXT", help="contestants with such a name")
    found.add_argument("--plot", type=Path, metavar="PATH", help="draw recall by radius here")
    return found.parse_args(arguments)


def _names(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Contestants, and why some are not among them."""
    wanted = options.only or [""]
    chosen = [name for name in (OURS, *PEERS) if any(text in name for text in wanted)]
    missing = {name: PEERS[name].module for name in PEERS if not installed(PEERS[name].module)}
    left_out = [
        f"{name}: left out, {module} is not installed"
        for name, module in missing.items()
        if name in chosen
    ]
    slow = [f"{n}: {PEERS[n].share:.0%} of the sampled rows" for n in PEERS if PEERS[n].share < 1]
    there = [name for name in chosen if name not in missing]
    return there, left_out + [note for note in slow if note.partition(":")[0] in there]


def _case(options: argparse.Namespace, n: int, step: float, whole: bool = False) -> Case:
    tell(f"H^{n}, step {step}: rows and their true neighbours")
    points = trees.forest(options.rows, n, step)
    size = min(options.queries, len(points))
    # In random order, so that any first part of it is a sample as well.
    sample = np.random.default_rng(2).choice(len(points), size, replace=False)
    right = trees.truth(points[sample], points, options.k, sample)
    return Case(n, step, points, sample, right, whole)


def _described(case: Case) -> dict[str, Any]:
    radii = trees.radii(case.points)
    extent = {"radius": float(np.median(radii)), "largest_radius": float(radii.max())}
    return {"n": case.n, "step": case.step, "rows": len(case.points), **extent}


def _self_join(
    options: argparse.Namespace, names: list[str], most: dict[str, Any]
) -> list[dict[str, Any]]:
    case = _case(options, options.join_dimension, options.join_step, whole=True)
    return _raced(options, case, names, most, options.repeats)


# --- contestants ----------------------------------------------------------------------------------


def _raced(
    options: argparse.Namespace, case: Case, names: list[str], most: dict[str, Any], repeats: int
) -> list[dict[str, Any]]:
    few = np.arange(min(WARM, len(case.points)))
    contestants = []
    for name in names:
        tell(f"prepare {name}")
        make = _geodask if name == OURS else partial(_peer, PEERS[name].make)
        warm = make(case.points[few], few[: max(1, len(few) // 4)], min(options.k, len(few) - 1))
        contestants.append(Contestant(name, make(case.points, case.asked(name), options.k), warm))
    lanes = race(contestants, repeats, partial(_check, case))
    return _rows(case, lanes, most["float32_flops"])


def _peer(make: Make, points: np.ndarray, own: np.ndarray, k: int) -> Callable[[], Answer]:
    return make(points[own], points, k + 1)


def _geodask(points: np.ndarray, own: np.ndarray, k: int) -> Callable[[], Answer]:
    manifold = gd.PoincareBall(points.shape[1])
    y = gd.points(points, manifold)
    x = None if len(own) == len(points) else gd.points(points[own], manifold)

    def search() -> Answer:
        plan = gd.knn(y, k=k) if x is None else gd.knn(x, y, k=k + 1)
        result = plan.compute()
        report = result.report
        return Answer(result, {}, {"certified": report.certified, "rechecked": report.rechecked})

    return search


# --- answers --------------------------------------------------------------------------------------


def _check(case: Case, answers: dict[str, Answer]) -> Checked:
    found = {}
    for name, answer in answers.items():
        found[name] = _score(case, name, answer.value)
        if name == OURS:
            right = found[name]["wrong"] == 0 and found[name]["error"] < 1e-12
            found[name]["sound"] = right and bool(np.all(answer.value.certified))
    return found


def _score(case: Case, name: str, value: Any) -> dict[str, Any]:
    """Of the rows whose true neighbours are known."""
    asked, known = case.asked(name), case.known(name)
    order = np.argsort(asked)
    places = order[np.searchsorted(asked, known, sorter=order)]
    got, right = Found(value.indices[places], value.distances[places]), case.right[: len(known)]
    if got.indices.shape != right.shape:
        got = _without_self(got, known)
    hits = sum(len(np.intersect1d(*pair)) for pair in zip(got.indices, right, strict=True))
    there = got.indices >= 0  # an index that finds fewer than k fills up with -1
    pairs = case.points[np.repeat(known, there.sum(axis=1))], case.points[got.indices[there]]
    return {
        "wrong": int((got.indices != right).any(axis=1).sum()),
        "checked": len(right),
        "recall": hits / max(1, right.size),
        "error": trees.relative(got.distances[there], trees.distances(*pairs)),
    }


def _without_self(found: Found, own: np.ndarray) -> Found:
    """Each row without its own number, or without the last where that is not in it."""
    is_self = found.indices == own[:, None]
    is_self[~is_self.any(axis=1), -1] = True
    shape = (len(own), -1)
    return Found(found.indices[~is_self].reshape(shape), found.distances[~is_self].reshape(shape))


# --- what comes out -------------------------------------------------------------------------------


def _rows(case: Case, lanes: list[Lane], flops: float) -> list[dict[str, Any]]:
    rows = []
    described = _described(case)
    rates = {
        lane.name: np.array([len(case.asked(lane.name)) * (len(case.points) - 1)])
        / np.array(lane.seconds)
        for lane in lanes
    }
    for lane in lanes:
        rate = float(np.median(rates[lane.name]))
        row = described | lane.row() | {"queries": len(case.asked(lane.name))}
        row["pairs_per_second"] = rate
        if lane.name != HNSW:  # it looks at few of the pairs
            row["of_flops"] = rate * 3 * case.n / flops
        if FAISS in rates:
            row["times_faiss"] = float(np.median(rates[lane.name] / rates[FAISS]))
        rows.append(row)
    return rows


def _print(
    options: argparse.Namespace,
    series: list[dict[str, Any]],
    joined: list[dict[str, Any]],
    notes: list[str],
) -> None:
    for n in options.dimensions:
        rows = sorted((row for row in series if row["n"] == n), key=lambda row: row["name"])
        print(f"\nH^{n}: sampled rows against {options.rows:,}, float32, k={options.k}, once each")
        print(table(rows, COLUMNS))
    if joined:
        title = f"self-join of {options.rows:,} rows, float32, k={options.k}"
        rounds = f"medians of {options.repeats} rounds"
        print(f"\nH^{options.join_dimension}: {title}, {rounds}\n{table(joined, COLUMNS)}")
    print(
        "\nradius: median distance of the rows from the origin. x FAISS: pairs a second, times "
        "those of FAISS.\n% flops: 3 n operations a pair, of the rate of the fastest float32 "
        "product. wrong: rows whose ordered\nneighbours are not the true ones. error: the largest "
        "relative error of a distance that was returned.\nrechecked: pairs measured in float64. "
        "peak: memory beyond what was there before. HNSW looks at few of\nthe pairs; filling its "
        "index is not timed here.",
        *notes,
        sep="\n",
    )


COLOURS = {
    OURS: "#0072B2",
    FAISS: "#D55E00",
    HNSW: "#E69F00",
    "torch lift + topk": "#CC79A7",
    "torch difference + topk": "#009E73",
    "geoopt": "#56B4E9",
    "geomstats": "#555555",
}
MARKERS = dict(zip(COLOURS, "osDv^Px", strict=True))
"""Colours of Okabe and Ito, which colour-blind readers tell apart; markers do it in grey."""


def _plot(path: Path, series: list[dict[str, Any]], options: argparse.Namespace) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(options.dimensions)
    figure = Figure(figsize=(1.8 + 3.4 * count, 3.9), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, count, sharey=True, squeeze=False)[0]
    for panel, n in zip(panels, options.dimensions, strict=True):
        rows = [row for row in series if row["n"] == n]
        ends = {name: _draw_line(panel, name, rows) for name in COLOURS}
        panel.set_title(f"$H^{{{n}}}$, {options.rows:,} rows", fontsize=11)
        panel.set_xlabel("median radius")
        panel.grid(color="#dddddd", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
        if panel is panels[-1]:
            _label(panel, {name: end for name, end in ends.items() if end is not None})
    panels[0].set_ylabel(f"recall@{options.k}")
    panels[0].set_ylim(-0.03, 1.03)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")


def _draw_line(panel: Any, name: str, rows: list[dict[str, Any]]) -> tuple[float, float] | None:
    """Draws a contestant's recall by radius; where its line ends."""
    line = sorted((row["radius"], row["recall"]) for row in rows if row["name"] == name)
    if not line:
        return None
    ours = name == OURS
    panel.plot(
        *zip(*line, strict=True),
        color=COLOURS[name],
        marker=MARKERS[name],
        markersize=7 if ours else 4.5,
        linewidth=2.4 if ours else 1.3,
        markerfacecolor="white" if ours else COLOURS[name],
        clip_on=False,
    )
    return line[-1]


def _label(panel: Any, ends: dict[str, tuple[float, float]], gap: float = 0.065) -> None:
    """Names beside the ends of lines, as near as they may come to each other."""
    order = sorted(ends, key=lambda name: ends[name][1], reverse=True)
    height = 1.0 + gap
    for place, name in enumerate(order):
        x, y = ends[name]
        lowest = gap * (len(order) - 1 - place)  # leaves room for those that follow
        height = max(min(y, height - gap), lowest)
        panel.annotate(
            name,
            (x, y),
            xytext=(1.06, height),
            textcoords=panel.get_yaxis_transform(),
            color="#222222",  # the paler colours are hard to read
            fontsize=9,
            va="center",
            fontweight="bold" if name == OURS else "normal",
            arrowprops={
                "arrowstyle": "-",
                "color": COLOURS[name],
                "linewidth": 1.2,
                "relpos": (0, 0.5),
            },
            annotation_clip=False,
        )


if __name__ == "__main__":
    raise SystemExit(main())
