"""What a plan costs beside its computation, and how many workers one scheduler can feed.

Claims: a block that computes nothing costs less than 5 ms on a local cluster, and the scheduler's
memory does not grow with the blocks that are done; a hit on a result of 10 GB answers in less than
100 ms; a plan adds less than 2 % to a computation of a minute.

    python benchmarks/overhead.py --plot scaling.png

Tasks sleep, so any number of workers can be simulated on this machine: they are threads of a few
processes, known to the scheduler one by one, and fed by the same driver as real ones. What a
scheduler or a client can do at most is told by the processor time that a block costs it; where the
whole machine is busy before, that limits the simulation.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import psutil
from distributed import Client, get_client

import idle
from harness import document, folder, parser, table, tell
from machine import facts

COLUMNS = {
    "name": ("", ""),
    "blocks": ("blocks", ",d"),
    "block_ms": ("ms a block", ".2f"),
    "task_ms": ("ms in its task", ".2f"),
    "grown_bytes": ("scheduler grew", "bytes"),
}
SCALING = {
    "workers": ("workers", "d"),
    "blocks": ("blocks", ",d"),
    "seconds": ("seconds", ".2f"),
    "rate": ("blocks/s", ".1f"),
    "efficiency": ("of the ideal", ".1%"),
    "scheduler": ("scheduler busy", ".0%"),
    "client": ("client busy", ".0%"),
    "machine": ("machine busy", ".0%"),
}


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where a result was wrong."""
    found = parser(__doc__, rows=None, repeats=5)
    found.add_argument("--blocks", type=int, default=10_000, help="(default %(default)s)")
    found.add_argument("--gigabytes", type=float, default=10.0, help="(default %(default)s)")
    found.add_argument("--minute", type=float, default=60.0, help="seconds (default %(default)s)")
    found.add_argument("--workers", type=int, nargs="+", default=[1, 2, 8, 32, 128, 512])
    found.add_argument("--plot", type=Path, metavar="PATH", help="draw blocks/s by workers here")
    options = found.parse_args(arguments)
    here = facts()
    with folder() as home, dask.config.set({"geodask.progress": "off"}):
        rows = [_blocks_on_threads(home, options), _blocks_on_a_cluster(home, options)]
        hit, miss = _hit(home, options), _miss(home, options)
        scaling = [_scaled(home, count) for count in options.workers]
    print(f"{here['cpu']}, {here['cores']} cores, load {here['load_before']:.2f} before\n")
    print(table(rows, COLUMNS))
    print(f"\na hit on {options.gigabytes:g} GB: {1e3 * hit:.1f} ms (at most 100)")
    print(f"a miss adds {miss:.2%} to {options.minute:g} s (at most 2 %)\n")
    print(table(scaling, SCALING))
    last = scaling[-1]
    dearer = max(("scheduler", "client"), key=lambda who: last[who])
    limit = last["rate"] / last[dearer]
    print(f"\nwith {last['workers']} workers a block costs the {dearer} "
          f"{1e3 / limit:.2f} ms: {limit:,.0f} blocks/s at most")  # fmt: skip
    if options.plot:
        _plot(options.plot, scaling, dearer, limit)
    figures: dict[str, Any] = {"blocks": rows, "hit_seconds": hit, "miss_share": miss}
    document("overhead", __doc__, options, machine=here, **figures, scaling=scaling)
    return 0


def _run(home: Path, name: str, *arguments: Any) -> tuple[float, Any]:
    """Seconds of a plan that was never run, and its report; ends where its result is wrong."""
    plan = idle.plan(*arguments)
    with dask.config.set({"geodask.store": str(home / name)}):
        begin = time.perf_counter()
        values, report = plan.persist()
        seconds = time.perf_counter() - begin
    if report.cache_hit or not idle.is_right(values, arguments[0]):
        raise SystemExit(f"{name}: the result is wrong, or was there before")
    return seconds, report


def _blocks_on_threads(home: Path, options: argparse.Namespace) -> dict[str, Any]:
    _run(home, "warm", 20)
    seconds, report = _run(home, "threads", options.blocks)
    return _row("threads", options.blocks, seconds, report)


def _blocks_on_a_cluster(home: Path, options: argparse.Namespace) -> dict[str, Any]:
    with cluster(home, 2, each=1) as scheduler:
        _run(home, "warm-cluster", 20)
        _run(home, "first", options.blocks // 2)  # other tables are as large as they get
        before = _at_rest(scheduler)
        seconds, report = _run(home, "cluster", options.blocks)
        grown = _at_rest(scheduler) - before
    return _row("two workers", options.blocks, seconds, report) | {"grown_bytes": grown}


def _at_rest(scheduler: psutil.Process) -> int:
    """Resident bytes of the scheduler, but for Dask's table of the last 100,000 names of tasks."""

    def forget_names() -> None:
        import ctypes
        import gc

        from dask.utils import key_split

        key_split.cache_clear()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)

    get_client().run_on_scheduler(forget_names)
    return scheduler.memory_info().rss


def _row(name: str, blocks: int, seconds: float, report: Any) -> dict[str, Any]:
    tell(f"{name}: {1e3 * seconds / blocks:.2f} ms a block")
    spent = {"block_ms": 1e3 * seconds / blocks, "task_ms": 1e3 * report.stats["seconds"] / blocks}
    return {"name": name, "blocks": blocks, **spent}


def _hit(home: Path, options: argparse.Namespace) -> float:
    """The median of the first hits of new processes on a large result, once all is imported."""
    blocks = max(1, round(options.gigabytes * 1e9 / (8 << 20)))
    _run(home, "large", blocks, 1 << 20)
    code = (
        "import time, idle; idle.plan(3).persist(); begin = time.perf_counter()\n"
        f"_, report = idle.plan({blocks}, 1 << 20).persist()\n"
        "assert report.cache_hit; print(time.perf_counter() - begin)\n"
    )
    environment = os.environ | {"DASK_GEODASK__STORE": str(home / "large"),
                                "PYTHONPATH": str(Path(__file__).parent)}  # fmt: skip
    command, seconds = [sys.executable, "-c", code], []
    for _ in range(options.repeats):
        found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        seconds.append(float(found.stdout))
    tell(f"hits: {', '.join(f'{1e3 * each:.1f} ms' for each in seconds)}")
    return statistics.median(seconds)


def _miss(home: Path, options: argparse.Namespace) -> float:
    """The share of a computation that its plan adds: tasks of a second on one thread."""
    blocks = max(1, round(options.minute))
    with dask.config.set({"geodask.threads": 1}):
        seconds, _ = _run(home, "minute", blocks, 1 << 17, options.minute / blocks)
    return seconds / options.minute - 1


def _scaled(home: Path, count: int) -> dict[str, Any]:
    """Tasks of a second on so many workers, some ten for each."""
    blocks = 10 * count
    with cluster(home, count, each=min(count, 64)) as scheduler:
        _run(home, f"warm-{count}", 2 * count)
        client, begin = psutil.Process(), time.perf_counter()
        busy = [sum(each.cpu_times()[:2]) for each in (scheduler, client)]
        psutil.cpu_percent()
        seconds, _ = _run(home, f"scaled-{count}", blocks, 1, 1.0)
        wall, machine = time.perf_counter() - begin, psutil.cpu_percent() / 100
        spent = [sum(each.cpu_times()[:2]) for each in (scheduler, client)]
    shares = [(b - a) / wall for a, b in zip(busy, spent, strict=True)]
    tell(f"{count} workers: {blocks / seconds:.1f} blocks/s")
    return {"workers": count, "blocks": blocks, "seconds": seconds, "rate": blocks / seconds,
            "efficiency": 10 / seconds, "scheduler": shares[0], "client": shares[1],
            "machine": machine}  # fmt: skip


def _plot(path: Path, scaling: list[dict[str, Any]], dearer: str, limit: float) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    workers = [row["workers"] for row in scaling]
    axes.plot(workers, workers, ":", color="0.5", label="ideal: a block a second each")
    axes.plot(workers, [row["rate"] for row in scaling], "o-", label="measured")
    axes.axhline(limit, color="C3", linestyle="--", label=f"what the {dearer} could do")
    axes.set(xscale="log", yscale="log", xlabel="workers", ylabel="blocks / s")
    axes.set_xticks(workers, [str(each) for each in workers], minor=False)
    axes.set_xticks([], minor=True)
    axes.set_title(f"Tasks of a second, {scaling[-1]['machine']:.0%} of the machine at the end")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(path)


@contextmanager
def cluster(home: Path, workers: int, each: int) -> Iterator[psutil.Process]:
    """A scheduler and so many workers of one thread, ``each`` in a process; its scheduler."""
    place = home / f"cluster-{time.time_ns()}"
    place.mkdir()
    file, here = str(place / "scheduler.json"), Path(__file__).parent
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    quiet["env"] = os.environ | {"PYTHONPATH": str(here)}

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, *arguments], **quiet)

    scheduler = ["-m", "distributed.cli.dask_scheduler", "--scheduler-file", file]
    running = [start(*scheduler, "--host", "127.0.0.1", "--port", "0", "--no-dashboard")]
    try:
        for first in range(0, workers, each):
            some = str(min(each, workers - first))
            running.append(start(str(here / "simulated.py"), file, some, str(place)))
        with Client(scheduler_file=file, timeout=60) as client:
            client.wait_for_workers(workers, timeout=300)
            yield psutil.Process(running[0].pid)
    finally:
        for process in running:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
