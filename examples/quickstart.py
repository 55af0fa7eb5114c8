"""What in the Python standard library is explained in nearly the same words?

Every docstring of the installed standard library becomes a point on a sphere, geodask finds the
geodesic neighbours of each on a local Dask cluster, and the same question, asked again, is only
read. So it finds their mean, and who is nearest to that. A picture and a table show what was found.

    python examples/quickstart.py
"""

import argparse
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from dask.distributed import Client, LocalCluster
from numpy.typing import NDArray

import geodask as gd
from docstrings import standard_library

START = time.perf_counter()
DIMENSIONS = 256
NEIGHBOURS = 10
PAIRS = 15
CENTRAL = 5
FEWEST_WORDS = 5  # in a text of the table: shorter ones are alike by accident
COLOURS = "tab:blue tab:orange tab:green tab:red tab:purple tab:brown tab:pink tab:olive tab:cyan"


def main() -> None:
    """Read and embed, save, find the neighbours twice, draw and tell."""
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)

    documents = standard_library()
    say(f"{len(documents):,} docstrings found in the standard library")
    names = list(documents)[:: max(1, len(documents) // options.rows)]
    vectors, kept = embed([documents[name] for name in names])
    say(f"{len(vectors):,} of them embedded in {vectors.shape[1]} dimensions")

    x = gd.points(vectors, gd.Sphere(vectors.shape[1]), ids=np.array(names)[kept])
    x.save(options.folder / "docs.zarr", overwrite=True)
    x = gd.open(options.folder / "docs.zarr")
    say(f"saved in {options.folder / 'docs.zarr'}")

    with (
        LocalCluster(options.workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        say(f"dashboard at {client.dashboard_link}")
        indices, distances = neighbours(x)
        centre(x)

    stored = np.asarray(x.ids)
    draw(options.folder / "docs.png", vectors, stored, distances[:, 0])
    say(f"picture in {options.folder / 'docs.png'}")
    tell(documents, stored, indices, distances)


def arguments() -> argparse.Namespace:
    """Read the command line; with none, everything is done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("quickstart-output"))
    parser.add_argument("--rows", type=int, default=1_000_000, help="about how many documents")
    parser.add_argument("--workers", type=int, default=2, help="of the local Dask cluster")
    return parser.parse_args()


def say(words: str) -> None:
    """Print a line with the seconds since the start."""
    print(f"{time.perf_counter() - START:6.1f} s  {words}", flush=True)


def embed(texts: list[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return unit vectors, and the numbers of the texts they stand for: all but the wordless."""
    # Imported here and in `draw`, because each Dask worker imports this file and needs neither.
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union
    from threadpoolctl import threadpool_limits

    words = TfidfVectorizer(sublinear_tf=True, min_df=2)
    pieces = TfidfVectorizer(
        sublinear_tf=True, min_df=3, analyzer="char_wb", ngram_range=(3, 4), max_features=30_000
    )
    counts = make_union(words, pieces).fit_transform(texts)
    with threadpool_limits(1):  # sparse work: a second thread only waits
        vectors = TruncatedSVD(min(DIMENSIONS, *counts.shape), random_state=0).fit_transform(counts)
    lengths = np.linalg.norm(vectors, axis=1)
    kept = np.flatnonzero(lengths > 1e-6)  # of about 1: below it only rounding is left
    return (vectors[kept] / lengths[kept, None]).astype(np.float32), kept


def neighbours(x: gd.Points) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the nearest neighbours, then ask again, and print what geodask says of both."""
    plan = gd.knn(x, k=NEIGHBOURS)
    print(plan.explain())
    result = plan.persist()
    say("neighbours found")
    print(result.report)
    again = gd.knn(x, k=NEIGHBOURS).persist().report
    answer = "a hit" if again.cache_hit else "computed"
    say(f"asked again: {answer}, {1000 * again.seconds:.0f} ms")
    print(again)
    return result.indices.compute(), result.distances.compute()


def centre(x: gd.Points) -> None:
    """Find the mean of all documents, and print those nearest to it."""
    found = gd.mean(x).persist()
    say(f"mean found in {found.iterations} steps; the documents nearest to it:")
    nearest = gd.knn(gd.points(found.point[None], x.manifold), x, k=min(CENTRAL, len(x))).compute()
    names = x.ids.take(nearest.indices[0])
    for name, distance in zip(names, nearest.distances[0], strict=True):
        print(f"{distance:8.4f}  {name}")


def draw(path: Path, vectors: NDArray, names: NDArray, nearest: NDArray) -> None:
    """Save a map of the documents by package, beside the histogram of nearest distances."""
    from matplotlib.figure import Figure
    from sklearn.manifold import TSNE

    perplexity = min(30, len(vectors) // 4)
    layout = TSNE(perplexity=perplexity, max_iter=450, angle=0.8, random_state=0)
    places = layout.fit_transform(vectors)
    packages = np.array([package(name) for name in names])
    largest = Counter(packages.tolist()).most_common()

    figure = Figure(figsize=(15, 7.5), dpi=140, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.15)
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    figure.suptitle(f"{len(names):,} docstrings of the Python standard library", fontsize=16)

    left.set_title("Like lies beside like (t-SNE map: its axes have no unit)")
    left.scatter(*places.T, s=3, color="0.82", linewidths=0, label="all others")
    for (name, _), colour in zip(largest, COLOURS.split(), strict=False):
        left.scatter(*places[packages == name].T, s=8, color=colour, linewidths=0, label=name)
    left.set_aspect("equal")
    left.set_axis_off()
    left.legend(loc="upper left", bbox_to_anchor=(0.98, 1), markerscale=3, frameon=False)

    apart = nearest[nearest > 0]
    right.set_title("How far away is the most similar docstring?")
    right.hist(apart, bins=np.arange(0, apart.max() + 0.02, 0.02), color="tab:blue")
    right.set(xlabel="geodesic distance to the nearest neighbour (radians)", ylabel="documents")
    right.margins(x=0)
    right.spines[["top", "right"]].set_visible(False)
    copies = f"{len(nearest) - len(apart):,} documents have an exact copy\n(distance 0, not shown)"
    right.text(0.04, 0.97, copies, transform=right.transAxes, va="top")
    figure.savefig(path)


def tell(documents: dict[str, str], names: NDArray, indices: NDArray, distances: NDArray) -> None:
    """Print the most surprising near-duplicates: two lines a pair, name and text."""
    copies = int((distances[:, 0] == 0).sum())
    say(f"{copies:,} documents have an exact copy; nearly alike, under names that do not tell:")
    pairs = list(islice(surprises(documents, names, indices, distances), PAIRS))
    width = max((len(name) for _, *pair in pairs for name in pair), default=0)
    print(f"\n{'radians':>8}  {'name':{width}}  text")
    for distance, *pair in pairs:
        for margin, name in zip((f"{distance:8.4f}", ""), pair, strict=True):
            text = textwrap.shorten(documents[name], 60, placeholder=" ...")
            print(f"{margin:8}  {name:{width}}  {text}")


def surprises(
    documents: dict[str, str], names: NDArray, indices: NDArray, distances: NDArray
) -> Iterator[tuple[float, str, str]]:
    """Yield near-duplicates, closest first: other package, other name, no copy, none twice."""
    seen: set[object] = set()
    for place in np.argsort(distances, axis=None, kind="stable"):
        one, other = names[place // distances.shape[1]], names[indices.flat[place]]
        packages = frozenset((package(one), package(other)))
        if (
            distances.flat[place] > 0
            and len(packages) == 2
            and one.rpartition(".")[2] != other.rpartition(".")[2]
            and min(len(documents[name].split()) for name in (one, other)) >= FEWEST_WORDS
            and seen.isdisjoint((one, other, packages))
        ):
            seen.update((one, other, packages))
            yield distances.flat[place], one, other


def package(name: str) -> str:
    """Return the top-level package of a dotted name; io, _io and _pyio are one."""
    return name.partition(".")[0].removeprefix("_py").lstrip("_")


if __name__ == "__main__":
    main()
