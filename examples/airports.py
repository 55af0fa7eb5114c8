"""Which airports lie near each other? Points on the sphere, distances in kilometres.

The 3,376 airports of the package vega-datasets, all but a few in the United States, become unit
vectors. On a sphere whose curvature is that of the Earth, 1 / R^2, distances have the unit of R.
Found are the nearest airports of each, the farthest two, those that hops of 300 km connect, and the
mean of the mainland's. So it shows which airports the table has twice, 15 m apart or more.

    python examples/airports.py

Every distance found is compared with the one that GeographicLib finds on that sphere. From 1 km on
they agree to 1e-12 of themselves, and all to 7.3 nanometres. Near by either is up to 2 nm beside
the truth, since angles in radians and unit vectors are rounded; far away the last digit of a
distance is 2 nm.

The map shows logarithms at the mean, where directions are true, shortened so that areas are, too:
Lambert's azimuthal projection.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import geodask as gd

START = time.perf_counter()
RADIUS = 6371.0088  # km, the mean of the half axes of the Earth's ellipsoid
SPHERE = gd.Sphere(3, curvature=1 / RADIUS**2)
NEIGHBOURS = 10
DRAWN = 3
HOP = 300  # km
PAIRS = 5
GROUPS = {  # an airport in it, its name, and a colour of Okabe and Ito
    "DFW": ("mainland", "#0072B2"),
    "ANC": ("Alaska", "#D55E00"),
    "HNL": ("Hawaii", "#009E73"),
    "SJU": ("Puerto Rico,\nVirgin Islands", "#CC79A7"),
}
SHOWN = {"xlim": (-7000, 4300), "ylim": (-2700, 5000)}  # km


def main() -> None:
    """Read, search, compare, draw."""
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)

    table = airports()
    x = gd.points(unit_vectors(*degrees(table).T), SPHERE, ids=table["iata"].to_numpy())
    nearest = gd.knn(x, k=NEIGHBOURS).compute()
    say(f"the {NEIGHBOURS} nearest of each found; {nearest.certified.mean():.0%} of them certified")
    tell_extremes(table, nearest)
    others, distances = farthest(x)
    i = distances.argmax()
    say(f"farthest apart, {distances[i]:,.1f} km: {name(table, i)} and {name(table, others[i])}")
    groups = connected(table, x)
    mean = middle(table, x[groups == groups[place(table, "DFW")]])

    others = np.column_stack([nearest.indices, others])
    distances = np.column_stack([nearest.distances, distances])
    off = compared(table, others, distances)
    parts = {code: groups == groups[place(table, code)] for code in GROUPS}
    path = options.folder / "airports.png"
    draw(path, np.asarray(x.array), mean, others[:, :DRAWN], parts, (distances, off))
    say(f"picture in {path}")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("airports-output"))
    return parser.parse_args()


def say(words: str) -> None:
    """Print a line with the seconds since the start."""
    print(f"{time.perf_counter() - START:6.1f} s  {words}", flush=True)


def airports() -> Any:
    """Read the table of airports, a DataFrame, and mend what lies in the wrong hemisphere."""
    from vega_datasets import local_data

    table = local_data.airports(keep_default_na=False)  # no state is "NA"
    marianas = table["state"].isin(["CQ", "GU"]) & (table["longitude"] < 0)
    samoa = (table["state"] == "AS") & (table["latitude"] > 0)
    table.loc[marianas, "longitude"] *= -1
    table.loc[samoa, "latitude"] *= -1
    mended = marianas.sum() + samoa.sum()
    say(f"{len(table):,} airports; {mended} lay in the wrong hemisphere and were mended")
    return table


def degrees(table: Any) -> NDArray[np.float64]:
    """Return latitudes and longitudes (n, 2)."""
    return table[["latitude", "longitude"]].to_numpy()


def unit_vectors(latitudes: NDArray, longitudes: NDArray) -> NDArray[np.float64]:
    """Make degrees points of the sphere."""
    up, east = np.radians(latitudes), np.radians(longitudes)
    return np.stack([np.cos(up) * np.cos(east), np.cos(up) * np.sin(east), np.sin(up)], axis=1)


def place(table: Any, code: str) -> int:
    """Return the row of an airport."""
    return int(np.flatnonzero(table["iata"] == code)[0])


def name(table: Any, i: int) -> str:
    """Return what an airport is called."""
    return f"{table['iata'][i]} {table['name'][i]}"


def tell_extremes(table: Any, nearest: Any) -> None:
    """Print the nearest airports of all, and those that are alone."""
    other, distance = nearest.indices[:, 0], nearest.distances[:, 0]
    rows = np.arange(len(table))
    rows = rows[(other[other] != rows) | (rows < other)]  # two that name each other count once
    rows = rows[np.argsort(distance[rows], kind="stable")]
    for title, some in (("nearest", rows[:PAIRS]), ("most alone", rows[-PAIRS:])):
        print(f"\n{'km':>10}  {title}")
        for i in some:
            print(f"{distance[i]:10.3f}  {name(table, i)}, {name(table, other[i])}")
    print()


def farthest(x: gd.Points) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the farthest airport of each, which is the nearest one to its antipode."""
    antipodes = gd.points(-np.asarray(x.array), SPHERE)
    found = gd.knn(antipodes, x, k=1).compute()
    return found.indices[:, 0], np.pi * RADIUS - found.distances[:, 0]


def connected(table: Any, x: gd.Points) -> NDArray[np.int32]:
    """Find, and print, groups of airports that hops connect."""
    hops = gd.within(x, radius=HOP).compute()
    count, groups = gd.connected_components(hops)
    say(f"{len(hops.row):,} hops of at most {HOP} km make {count} groups:")
    print()
    sizes = np.bincount(groups)
    for group in np.argsort(-sizes, kind="stable"):
        rows = np.flatnonzero(groups == group)
        print(f"{sizes[group]:10,}  {', '.join(name(table, i) for i in rows[:3])}")
    print()
    return groups


def middle(table: Any, x: gd.Points) -> NDArray[np.float64]:
    """Find the mean of points, and print which airport is nearest to it."""
    found = gd.mean(x).compute()
    nearest = gd.knn(gd.points(found.point[None], SPHERE), x, k=1).compute()
    [code] = x.ids.take(nearest.indices[0])
    there = f"{nearest.distances[0, 0]:.1f} km from {name(table, place(table, code))}"
    say(f"the mainland's mean lies {there}; root of the variance {found.variance**0.5:,.1f} km")
    return found.point


def compared(table: Any, others: NDArray, distances: NDArray) -> NDArray:
    """Return, and print, how far distances in km are from those of GeographicLib."""
    from geographiclib.geodesic import Geodesic

    earth = Geodesic(RADIUS, 0)  # 0: not flattened
    places = degrees(table).tolist()
    theirs = [
        [earth.Inverse(*here, *places[j], Geodesic.DISTANCE)["s12"] for j in row]
        for here, row in zip(places, others, strict=True)
    ]
    off = np.abs(distances - theirs)
    relative = (off / distances)[distances >= 1].max()
    say(f"{off.size:,} distances from {1000 * distances.min():.1f} m to {distances.max():,.1f} km")
    say(f"off GeographicLib's: {1e12 * off.max():.1f} nm, and from 1 km on {relative:.1e} of each")
    return off


def lambert(x: NDArray, mean: NDArray) -> NDArray[np.float64]:
    """Return the places of points on the map (n, 2) in km, to the east and north of the mean."""
    logs = SPHERE.log(mean, x)
    north = SPHERE.to_tangent(mean, np.array([0.0, 0.0, 1.0]))
    north /= np.linalg.norm(north)
    angles = np.linalg.norm(logs, axis=1, keepdims=True)
    shorter = np.sinc(angles / (2 * np.pi))  # 2 sin(angle / 2) / angle
    return RADIUS * shorter * logs @ np.stack([np.cross(north, mean), north], axis=1)


def net() -> list[NDArray[np.float64]]:
    """Return every fifteenth parallel and meridian, as lines of points."""
    turn = np.arange(-180.0, 181.0)
    parallels = [unit_vectors(np.full_like(turn, fixed), turn) for fixed in range(-75, 90, 15)]
    meridians = [unit_vectors(turn / 2, np.full_like(turn, fixed)) for fixed in range(0, 360, 15)]
    return parallels + meridians


def draw(
    path: Path,
    x: NDArray,
    mean: NDArray,
    others: NDArray,
    parts: dict[str, NDArray],
    checked: tuple[NDArray, NDArray],
) -> None:
    """Save the map of the airports and their nearest, beside the differences."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 6.2), dpi=100, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1)
    left, right = figure.subplots(1, 2, width_ratios=[2.3, 1])
    draw_map(left, [lambert(line, mean) for line in net()], lambert(x, mean), others, parts)
    draw_differences(right, *checked)
    figure.savefig(path)


def draw_map(
    panel: Any, lines: list[NDArray], places: NDArray, others: NDArray, parts: dict[str, NDArray]
) -> None:
    """Draw each airport with lines to others, over a net, in the colour of its part."""
    from matplotlib.collections import LineCollection

    panel.add_collection(LineCollection(lines, colors="0.87", linewidths=0.7))
    colours = np.full(len(places), "#000000")
    for code, rows in parts.items():
        text, colour = GROUPS[code]
        colours[rows] = colour
        above = places[rows, 0].mean(), places[rows, 1].max() + 100
        panel.text(*above, f"{text}: {rows.sum():,}", color=colour, ha="center", va="bottom")
    ends = np.broadcast_arrays(places[:, None], places[others])
    edges, of_each = np.stack(ends, axis=2).reshape(-1, 2, 2), np.repeat(colours, others.shape[1])
    panel.add_collection(LineCollection(edges, colors=of_each, linewidths=0.5, alpha=0.6))
    panel.scatter(*places.T, s=3, c=colours, linewidths=0)
    panel.scatter(0, 0, s=220, marker="*", color="#F0E442", edgecolors="black", zorder=3)
    rest = len(places) - sum(rows.sum() for rows in parts.values())
    words = f"star: mean of the mainland\nblack: {rest} others, most of them farther west"
    panel.text(0.015, 0.02, words, transform=panel.transAxes)
    panel.set(aspect="equal", ylabel="km to the north", **SHOWN)
    panel.set_xlabel("km to the east (Lambert's azimuthal equal-area projection)")
    panel.set_title(f"{len(places):,} airports, with lines to the {DRAWN} nearest of each")


def draw_differences(panel: Any, distances: NDArray, off: NDArray) -> None:
    """Draw how far each distance is from that of GeographicLib."""
    panel.loglog(distances.ravel(), 1e12 * off.ravel(), ".", markersize=2, color="#0072B2")
    ends = np.array([0.01, 30_000])
    panel.loglog(ends, ends, "--", color="#D55E00", linewidth=1)
    panel.text(2.5, 6, "1e-12 of\nthe distance", color="#D55E00", ha="right", va="center")
    panel.set(xlim=ends, ylim=(2e-3, 20))
    panel.set(xlabel="distance (km)", ylabel="difference from GeographicLib (nm)")
    panel.set_title(f"{off.size:,} distances, {np.sum(off == 0):,} the same")
    panel.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
