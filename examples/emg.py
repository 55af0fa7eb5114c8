"""Which gesture does a hand make? Covariances of the muscles' signals, on SPD matrices.

Two persons, on two occasions each, made five gestures, six times over, for 25 seconds each, with
eight electrodes around the forearm: the recordings are a CSV file inside the package geomstats.
Each second becomes the covariance matrix of the eight channels, a point of SPD(8). It is recognised
by its five nearest neighbours; those of the same occasion, say, are hidden from it, so that nothing
is learnt from the day itself.

    pip install 'geodask[emg]'
    python examples/emg.py

An electrode that sits elsewhere the next day changes the matrices by a congruence, A c A^T, which
moves all of them alike. So the matrices of each occasion are carried to where their mean is the
identity (Zanini, Congedo, Jutten, Said and Berthoumieu, Transfer learning: a Riemannian geometry
framework with applications to brain-computer interfaces, 2018), for which no gesture need be known.
Of another occasion, 55.7 % are recognised by the distance of plain matrices, 64.8 % by the
affine-invariant one, and 73.1 % once centred, when the metric matters no more.
"""

import argparse
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.csv
from numpy.typing import NDArray

import geodask as gd

START = time.perf_counter()
CHANNELS = 8
RATE = 244  # samples a second, as their times say
MARGIN = RATE  # left out at both ends of a gesture, where the hand moves
NEIGHBOURS = 5
LARGEST_CONDITION = 1e6  # beyond it a channel is dead, or the samples are too few
SHRINKAGE = 0.01
AFFINE = gd.SPDAffineInvariant(CHANNELS)
METRICS = {
    "Euclidean": gd.EuclideanMatrices(CHANNELS, CHANNELS),
    "log-Euclidean": gd.SPDLogEuclidean(CHANNELS),
    "affine-invariant": AFFINE,
}
GESTURES = "rest", "rock", "paper", "scissors", "ok"
COLOURS = "#999999", "#0072B2", "#E69F00", "#009E73", "#CC79A7"  # of Okabe and Ito
MARKERS = {
    "o": "person 1, first occasion",
    "s": "person 1, second",
    "^": "person 2, first occasion",
    "D": "person 2, second",
}


class Windows(NamedTuple):
    """Covariance matrices, with what they were recorded of."""

    matrices: NDArray[np.float64]
    gestures: NDArray[np.int64]
    """Places in GESTURES."""
    holds: NDArray[np.int64]
    """Each time that a gesture was held has a number: 0 to 29 on the first occasion, and so on."""

    @property
    def rounds(self) -> NDArray[np.int64]:
        """Each has the five gestures once, one after the other."""
        return self.holds // 5

    @property
    def occasions(self) -> NDArray[np.int64]:
        """The recordings mg_s1, mg_s2, rr_s1 and rr_s2."""
        return self.holds // 30

    @property
    def persons(self) -> NDArray[np.int64]:
        """Those called mg and rr."""
        return self.holds // 60


def main() -> None:
    """Read, cut into windows, recognise, find the means of the gestures, draw."""
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)

    raw = windows(options.window)
    matrices, condition, shrunk = well_conditioned(raw.matrices)
    raw = raw._replace(matrices=matrices)
    say(f"{len(matrices):,} covariance matrices of {options.window} samples in {CHANNELS} channels")
    say(f"their largest condition is {condition:.0f}; {shrunk} near-singular ones were shrunk")

    centred = raw._replace(matrices=centred_by(raw.occasions, raw.matrices))
    say("the matrices of each occasion were carried to where their mean is the identity")
    recognise({"as recorded": raw, "centred": centred})
    means = means_of_gestures(centred)

    draw(options.folder / "emg.png", raw, centred, means)
    say(f"picture in {options.folder / 'emg.png'}")


def arguments() -> argparse.Namespace:
    """Read the command line; with none, a window is a second."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("emg-output"))
    parser.add_argument("--window", type=int, default=RATE, help="samples of a window")
    return parser.parse_args()


def say(words: str) -> None:
    """Print a line with the seconds since the start."""
    print(f"{time.perf_counter() - START:6.1f} s  {words}", flush=True)


def windows(samples: int) -> Windows:
    """Read the recordings, and make each window of so many samples a covariance matrix."""
    package = find_spec("geomstats")  # found and not imported, which fails with numpy 2.3 or newer
    if package is None or package.origin is None:
        raise SystemExit("The recordings are those in geomstats: pip install 'geodask[emg]'")
    table = pyarrow.csv.read_csv(Path(package.origin).parent / "datasets/data/emg/emg.csv")
    signals = np.column_stack([table[f"c{i}"].to_numpy() for i in range(CHANNELS)]).astype(float)
    labels = table["label"].to_numpy()
    starts = np.flatnonzero(np.append(True, labels[1:] != labels[:-1]))

    found = []
    for hold, (start, stop) in enumerate(zip(starts, [*starts[1:], len(labels)], strict=True)):
        count = (stop - start - 2 * MARGIN) // samples
        begin = start + MARGIN
        cut = signals[begin : begin + count * samples].reshape(count, samples, CHANNELS)
        cut = cut - cut.mean(axis=1, keepdims=True)
        covariances = np.swapaxes(cut, 1, 2) @ cut / (samples - 1)
        gesture = GESTURES.index(labels[start])
        found.append((covariances, np.full(count, gesture), np.full(count, hold)))
    return Windows(*map(np.concatenate, zip(*found, strict=True)))


def well_conditioned(c: NDArray) -> tuple[NDArray, float, int]:
    """Mix near-singular matrices with a multiple of the identity that has the same trace.

    Also returned: the largest condition that came, and how many were mixed.
    """
    values = np.linalg.eigvalsh(c)
    least, largest = values[:, 0], values[:, -1]
    condition = np.where(least > 0, largest / np.where(least > 0, least, 1), np.inf)
    near = condition > LARGEST_CONDITION
    target = np.trace(c, axis1=1, axis2=2)[:, None, None] / CHANNELS * np.eye(CHANNELS)
    mixed = (1 - SHRINKAGE) * c + SHRINKAGE * target
    return np.where(near[:, None, None], mixed, c), float(condition.max()), int(near.sum())


def mean_of(c: NDArray) -> Any:
    """Find the affine-invariant mean of matrices."""
    return gd.mean(gd.points(c, AFFINE)).compute()


def moved(c: NDArray, mean: NDArray) -> NDArray:
    """Carry matrices to where ``mean`` is the identity; affine-invariant distances are kept."""
    values, vectors = np.linalg.eigh(mean)
    root = vectors / np.sqrt(values) @ vectors.T
    return root @ c @ root


def centred_by(groups: NDArray, c: NDArray) -> NDArray:
    """Carry the matrices of each group to where their mean is the identity."""
    found = np.empty_like(c)
    for group in np.unique(groups):
        rows = groups == group
        found[rows] = moved(c[rows], mean_of(c[rows]).point)
    return found


def recognise(ways: dict[str, Windows]) -> None:
    """Print how many windows are recognised, by the metric and by whose windows are searched."""
    print("\nrecognised, in %, by windows of   another round  another occasion  another person")
    for way, found in ways.items():
        for name, metric in METRICS.items():
            x = gd.points(found.matrices, metric)
            shares = [
                100 * np.mean(recognised(x, found.gestures, hidden) == found.gestures)
                for hidden in (found.rounds, found.occasions, found.persons)
            ]
            print("{:>18}, {:11}{:16.1f}{:18.1f}{:16.1f}".format(name, way, *shares))
    print()


def recognised(x: gd.Points, gestures: NDArray, groups: NDArray) -> NDArray:
    """Return the gesture that most neighbours have; those of a window's own group are hidden."""
    nearest = gd.knn(x, k=NEIGHBOURS, where=groups).compute().indices
    votes = gestures[nearest][:, :, None] == np.arange(len(GESTURES))
    weights = 1 + 0.25 / 2 ** np.arange(NEIGHBOURS)  # of as many votes those with the nearest win
    return (votes * weights[:, None]).sum(axis=1).argmax(axis=1)


def means_of_gestures(found: Windows) -> NDArray:
    """Find the mean of each gesture, and print how far apart they lie."""
    means = [mean_of(found.matrices[found.gestures == i]) for i in range(len(GESTURES))]
    points = np.stack([mean.point for mean in means])
    apart = gd.pairwise(gd.points(points, AFFINE)).compute().distances
    print("distances of the means  ", *(f"{name:>9}" for name in GESTURES), "   root of variance")
    for name, row, mean in zip(GESTURES, apart, means, strict=True):
        print(f"{name:>24}", *(f"{each:9.2f}" for each in row), f"{mean.variance**0.5:19.2f}")
    print()
    return points


def draw(path: Path, raw: Windows, centred: Windows, means: NDArray) -> None:
    """Save maps of the matrices before and after, beside their distances sorted by gesture."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(12.6, 6.8), dpi=100, layout="constrained")
    panels = figure.subplot_mosaic("ad;bd", width_ratios=[1, 1.25])
    panels["b"].sharex(panels["a"])
    panels["b"].sharey(panels["a"])
    draw_map(panels["a"], "Logarithms at the mean, as recorded", raw)
    draw_map(panels["b"], "The same, each occasion centred", centred, means)
    draw_distances(panels["d"], centred)
    keys = [("o", colour, name) for colour, name in zip(COLOURS, GESTURES, strict=True)]
    keys += [("*", "0.3", "mean"), *((marker, "0.3", name) for marker, name in MARKERS.items())]
    handles = [
        Line2D([], [], linestyle="", marker=marker, color=colour, label=name)
        for marker, colour, name in keys
    ]
    close = {"columnspacing": 1.2, "handletextpad": 0.1}
    figure.legend(handles=handles, loc="outside lower center", ncols=10, frameon=False, **close)
    figure.savefig(path)


def draw_map(panel: Any, title: str, found: Windows, means: NDArray | None = None) -> None:
    """Draw the two principal components of the logarithms at the mean, with the means of gestures.

    At the identity the metric is the flat one, so the mean is carried there.
    """
    mean = mean_of(found.matrices).point
    marked = found.matrices[:0] if means is None else means
    x = gd.points(moved(np.concatenate([found.matrices, marked]), mean), AFFINE)
    logs = gd.log_map(gd.points(np.eye(CHANNELS)[None], AFFINE), x).compute()
    logs = logs.reshape(len(logs), -1)
    _, lengths, axes = np.linalg.svd(logs[: len(found.matrices)], full_matrices=False)
    places = logs @ axes[:2].T

    order = np.random.default_rng(0).permutation(len(found.matrices))  # none covers the others
    for occasion, marker in enumerate(MARKERS):
        rows = order[found.occasions[order] == occasion]
        colours = np.array(COLOURS)[found.gestures[rows]]
        panel.scatter(*places[rows].T, s=11, marker=marker, c=colours, linewidths=0)
    stars = places[len(found.matrices) :]
    panel.scatter(*stars.T, s=260, marker="*", c=COLOURS[: len(stars)], edgecolors="black")
    shares = lengths[:2] ** 2 / (lengths**2).sum()
    panel.set_title(title)
    panel.set_xlabel(f"first principal component ({shares[0]:.0%} of the variance)")
    panel.set_ylabel(f"second ({shares[1]:.0%})")
    panel.set_aspect("equal")
    panel.spines[["top", "right"]].set_visible(False)


def draw_distances(panel: Any, found: Windows) -> None:
    """Draw the mean distance of any two holds, from each third window, sorted by gesture."""
    order = np.lexsort([found.holds, found.gestures])[::3]
    distances = gd.pairwise(gd.points(found.matrices[order], AFFINE)).compute().distances
    starts = np.flatnonzero(np.diff(found.holds[order], prepend=-1))
    counts = np.diff(starts, append=len(order))
    sums = np.add.reduceat(np.add.reduceat(distances, starts, axis=0), starts, axis=1)
    image = panel.imshow(sums / np.outer(counts, counts), cmap="viridis_r")
    panel.figure.colorbar(image, ax=panel, label="mean affine-invariant distance", shrink=0.8)
    each = len(starts) // len(GESTURES)
    middles = each * np.arange(len(GESTURES)) + (each - 1) / 2
    panel.set_xticks(middles, GESTURES)
    panel.set_yticks(middles, GESTURES, rotation=90, va="center")
    panel.tick_params(length=0)
    for line in middles[:-1] + each / 2:
        panel.axhline(line, color="white", linewidth=1.5)
        panel.axvline(line, color="white", linewidth=1.5)
    panel.set_title("Distances of 120 holds, each occasion centred")


if __name__ == "__main__":
    main()
