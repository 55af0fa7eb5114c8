"""Admission of Parquet files, from disk and from an S3 server, against reading them by pyarrow.

Claims: 5,000,000 x 128 float32 with string ids are digested and checked at 60 % or more of the rate
at which pyarrow reads them, in less than 1.5 GB; a killed admission goes on where it was; ids come
back in the tables of results.

    python benchmarks/admission.py          # ten files of 500,000 rows, pyarrow's row groups
    python benchmarks/admission.py --s3     # the same behind an S3 server on loopback (moto)

Files are in the page cache. pyarrow reads with its own threads, as a data set, or file by file in
batches on as many threads as there are cores: the better one counts. From S3 it has its own client
and fsspec's; the server takes part of the same cores. Memory is that of a process that admits and
does nothing else, from outside; the kill comes once a part of the digests is stored.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq

import geodask as gd
import sphere
from geodask.config import settings
from geodask.engine.admission import admit
from geodask.engine.census import Census
from geodask.engine.executors import executor
from geodask.engine.sources import FRESH_SECONDS
from geodask.storage.objects import open_objects
from harness import Answer, Contestant, Resident, document, folder, parser, race, ratio, table
from machine import cores, facts, heading, limits

N = 128
FILES = 10
BATCH_ROWS = 32_768
QUERIES = 32
CLAIM, MEMORY = 0.6, 1.5e9
OURS = "geodask"
TABLE = {"column": "embedding", "ids": "id"}
COLUMNS = {
    "name": ("", ""),
    "median": ("seconds", ".2f"),
    "rate": ("GB/s", ".2f"),
    "rows": ("rows", ",d"),
    "peak_bytes": ("peak", "bytes"),
}
SERVER = """
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
input()
"""
KEYS = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark"}


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where rows, ids or digests differed."""
    options = _options(arguments)
    here, most = facts(), limits(4 * N * options.rows)
    with folder() as home, dask.config.set({"geodask.progress": "off", "geodask.device": "cpu"}):
        _write(home / "rows", options.rows)
        with _server(home / "rows") if options.s3 else nullcontext(str(home / "rows")) as where:
            time.sleep(FRESH_SECONDS + 0.5)  # younger files are digested again by every plan
            lanes = race(_contestants(where, home), options.repeats, partial(_check, options))
            killed = _killed(where, home)
            tables = _tables(where, home, options.k)
    rows = [lane.row() for lane in lanes]
    for row in rows:
        row["rate"] = 4e-9 * N * options.rows / row["median"]
    ours = next(lane for lane in lanes if lane.name == OURS)
    best = min((lane for lane in lanes if lane is not ours), key=lambda lane: lane.median)
    share = ratio(best, ours)
    right = all(row["rows"] == options.rows for row in rows) and killed["same"] and tables["right"]
    print(heading(here, most))
    print(f"\n{options.rows:,} x {N} float32 and ids, {'S3' if options.s3 else 'disk'}")
    print(f"{table(rows, COLUMNS)}\n")
    print(f"{share:.0%} of {best.name} (at least {CLAIM:.0%})")
    print(f"a process of its own: peak {killed['peak'] / 1e9:.2f} GB (less than {MEMORY / 1e9} GB)")
    print(f"killed after {killed['stored']} of {killed['blocks']} blocks: went on with "
          f"{killed['read']}, same digest: {killed['same']}")  # fmt: skip
    print(f"ids and neighbours in the table right: {tables['right']}")
    measured = {"rows": rows, "share": share, "killed": killed, "tables": tables}
    document("admission", __doc__, options, machine=here, limits=most, **measured)
    return int(not right)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    found = parser(__doc__, rows=5_000_000, repeats=3)
    found.add_argument("--k", type=int, default=5, help="(default %(default)s)")
    found.add_argument("--s3", action="store_true", help="read from an S3 server on loopback")
    return found.parse_args(arguments)


# --- the data -------------------------------------------------------------------------------------


def name_of(row: int) -> str:
    return f"document-{row:010d}"


def _write(home: Path, rows: int) -> None:
    home.mkdir()
    cuts = np.linspace(0, rows, FILES + 1).astype(int).tolist()
    for part, (start, stop) in enumerate(pairwise(cuts)):
        values = pa.array(sphere.uniform(stop - start, N, seed=part).reshape(-1))
        names = [name_of(row) for row in range(start, stop)]
        lists = pa.FixedSizeListArray.from_arrays(values, N)
        pq.write_table(
            pa.table({"id": names, "embedding": lists}), home / f"part-{part:02d}.parquet"
        )


@contextmanager
def _server(rows: Path) -> Iterator[str]:
    """The files in a bucket; what opens it is in the environment, where fsspec looks."""
    import fsspec

    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, **pipes) as process:
        try:
            host, port = process.stdout.readline().split()
            os.environ.update(KEYS, AWS_ENDPOINT_URL=f"http://{host}:{port}")
            files = fsspec.filesystem("s3")
            files.mkdir("benchmark")
            files.put(f"{rows}/", "benchmark/rows/", recursive=True)
            yield "s3://benchmark/rows"
        finally:
            process.kill()


# --- the contest ----------------------------------------------------------------------------------


def _contestants(where: str, home: Path) -> list[Contestant]:
    runs: dict[str, Callable[[], Answer]] = {OURS: partial(_ours, where, home)}
    for name, (files, path) in _file_systems(where).items():
        runs[f"pyarrow data set{name}"] = partial(_data_set, files, path)
        runs[f"pyarrow batches{name}"] = partial(_batches, files, path)
    return [Contestant(*run) for run in runs.items()]


def _file_systems(where: str) -> dict[str, tuple[Any, str]]:
    if not where.startswith("s3://"):
        return {"": (pyarrow.fs.LocalFileSystem(), where)}
    import fsspec

    path, endpoint = where.removeprefix("s3://"), os.environ["AWS_ENDPOINT_URL"]
    own = pyarrow.fs.S3FileSystem(
        endpoint_override=endpoint.removeprefix("http://"), scheme="http", region="us-east-1"
    )
    through = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fsspec.filesystem("s3")))
    return {", its S3": (own, path), ", s3fs": (through, path)}


def _ours(where: str, home: Path) -> Answer:
    _, found = admission(where, home / f"store-{time.monotonic_ns()}")
    return Answer(found)


def admission(where: str, store: Path) -> tuple[int, dict[str, Any]]:
    """Blocks that had to be read, and the content."""
    with dask.config.set({"geodask.store": str(store)}):
        x = gd.points(where, gd.Sphere(N), **TABLE)
        current, objects = settings(), open_objects(str(store))
        missing = len(Census(x, current, objects).missing)
        with executor(current) as engine:
            return missing, admit(x, current, engine, objects).content


def _data_set(files: Any, path: str) -> Answer:
    found = ds.dataset(path, format="parquet", filesystem=files)
    batches = found.scanner(columns=["embedding"], batch_size=BATCH_ROWS).to_batches()
    return Answer(sum(batch.num_rows for batch in batches))


def _batches(files: Any, path: str) -> Answer:
    names = [each.path for each in files.get_file_info(pyarrow.fs.FileSelector(path))]

    def read(name: str) -> int:
        with files.open_input_file(name) as there, pq.ParquetFile(there, buffer_size=8 << 20) as of:
            batches = of.iter_batches(BATCH_ROWS, columns=["embedding"], use_threads=False)
            return sum(batch.num_rows for batch in batches)

    with ThreadPoolExecutor(cores()) as pool:
        return Answer(sum(pool.map(read, names)))


def _check(options: argparse.Namespace, answers: dict[str, Answer]) -> dict[str, dict[str, Any]]:
    found = {name: answer.value for name, answer in answers.items()}
    found[OURS] = found[OURS]["shape"][0]
    return {name: {"rows": rows} for name, rows in found.items()}


# --- killed, and the tables -----------------------------------------------------------------------


def child(where: str, store: str) -> None:
    """What a process of its own does: tells what it read and found."""
    with dask.config.set({"geodask.progress": "off"}):
        read, content = admission(where, Path(store))
    sys.stdout.write(json.dumps({"read": read, "content": content}))


def _killed(where: str, home: Path) -> dict[str, Any]:
    whole = _child(where, home / "whole")
    _child(where, home / "broken", kill=True)
    rest = _child(where, home / "broken")
    stored = whole["read"] - rest["read"]
    same = whole["content"] == rest["content"]
    peak = max(whole["peak"], rest["peak"])
    return {
        "blocks": whole["read"], "stored": stored, "read": rest["read"], "same": same, "peak": peak
    }  # fmt: skip


def _child(where: str, store: Path, kill: bool = False) -> dict[str, Any]:
    command = "import admission, sys; admission.child(*sys.argv[1:])"
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    with (
        subprocess.Popen(
            [sys.executable, "-c", command, where, str(store)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdout=subprocess.PIPE,
        ) as process,
        Resident([process.pid]) as resident,
    ):
        while kill and process.poll() is None and not list(store.glob("admission/*")):
            time.sleep(0.01)
        if kill:
            process.kill()
        printed, _ = process.communicate()
    return {} if kill else {**json.loads(printed), "peak": resident.peak}


def _tables(where: str, home: Path, k: int) -> dict[str, Any]:
    """Neighbours of some rows: their numbers by brute force, and both names of each."""
    with dask.config.set({"geodask.store": str(home / "whole")}):
        x = gd.points(where, gd.Sphere(N), **TABLE)
        rows = np.linspace(0, len(x) - 1, QUERIES).astype(int)
        queries = x[rows]
        frame = gd.knn(queries, x, k=k).compute().to_dataframe().compute()
        right = sphere.truth(queries.read(0, QUERIES), sphere.blocks(x), k)
        looked_up = x.rows_of([name_of(int(row)) for row in rows])
    others = frame.other.to_numpy()
    named = frame.row_id.tolist() == [name_of(int(rows[row])) for row in frame.row]
    named &= frame.other_id.tolist() == [name_of(int(other)) for other in others]
    found = np.array_equal(others.reshape(QUERIES, k), right) and np.array_equal(looked_up, rows)
    return {"right": bool(named and found)}


if __name__ == "__main__":
    raise SystemExit(main())
