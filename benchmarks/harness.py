"""What every benchmark shares: options, interleaved repeats, memory from outside, tables, JSON.

A benchmark lets contestants run in turn, round after round, so that what disturbs the machine
disturbs all of them. The answers of the first round are checked before the second. Times are
medians over the rounds, ratios medians of the ratios within a round.
"""

import argparse
import ctypes
import gc
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from geodask.engine.explain import size


def parser(doc: str | None, *, rows: int | None, repeats: int) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    found = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--rows", type=int, default=rows, help="(default %(default)s)")
    found.add_argument("--repeats", type=int, default=repeats, help="rounds (default %(default)s)")
    found.add_argument("--json", type=Path, metavar="PATH", help="write all that was measured here")
    return found


# --- runs -----------------------------------------------------------------------------------------


@dataclass
class Answer:
    """What a contestant returns."""

    value: Any = None
    parts: dict[str, float] = field(default_factory=dict)
    """Seconds of the run that went into named parts of it."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What it says of itself."""


@dataclass
class Contestant:
    """A name and what it does; ``warm`` is the same on a few rows, and is not timed."""

    name: str
    run: Callable[[], Answer]
    warm: Callable[[], Any] = lambda: None


@dataclass
class Lane:
    """What was measured of a contestant, or of a part of it."""

    name: str
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int | None = None
    """Resident memory of this process beyond what it had before the run."""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def row(self) -> dict[str, Any]:
        """As the tables and the JSON have it."""
        row = {"name": self.name, "median": self.median, "seconds": self.seconds, **self.facts}
        return row if self.peak_bytes is None else {**row, "peak_bytes": self.peak_bytes}


Check = Callable[[dict[str, Answer]], dict[str, dict[str, Any]]]


def race(contestants: list[Contestant], repeats: int, check: Check | None = None) -> list[Lane]:
    """Rounds in which each runs once; what is known of the first answers goes into the lanes."""
    for each in contestants:
        each.warm()
    lanes: dict[str, Lane] = {}
    for number in range(repeats):
        answers: dict[str, Answer] = {}
        for each in contestants:
            tell(f"round {number + 1} of {repeats}: {each.name}")
            answer = _run(each, lanes)
            if number == 0:
                answers[each.name] = answer
        checked = check(answers) if check is not None and answers else {}
        for name, answer in answers.items():
            lanes[name].facts |= answer.facts | checked.get(name, {})
    return list(lanes.values())


def _run(each: Contestant, lanes: dict[str, Lane]) -> Answer:
    lane = lanes.setdefault(each.name, Lane(each.name))
    tidy()
    with Resident([os.getpid()], interval=0.05) as resident:
        begin = time.perf_counter()
        answer = each.run()
        lane.seconds.append(time.perf_counter() - begin)
    lane.peak_bytes = max(lane.peak_bytes or 0, resident.peak - resident.before)
    for part, seconds in answer.parts.items():
        name = f"{each.name}: {part}"
        lanes.setdefault(name, Lane(name)).seconds.append(seconds)
    return answer


def ratio(above: Lane, below: Lane) -> float:
    """The median over the rounds of one time divided by the other."""
    return statistics.median(a / b for a, b in zip(above.seconds, below.seconds, strict=True))


class Resident:
    """Samples the resident memory of processes while it is entered, from a thread of this one."""

    def __init__(self, pids: Iterable[int], interval: float = 0.02):
        self.peaks = dict.fromkeys(pids, 0)
        self.samples = 0
        self.before = 0
        self._interval = interval
        self._processes = [psutil.Process(pid) for pid in self.peaks]
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def peak(self) -> int:
        """The most that any one of them had."""
        return max(self.peaks.values())

    def __enter__(self) -> "Resident":
        self._sample()
        self.before = self.peak
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._done.wait(self._interval):
            self._sample()

    def _sample(self) -> None:
        self.samples += 1
        for process in self._processes:
            with suppress(psutil.NoSuchProcess):
                now = process.memory_info().rss
                self.peaks[process.pid] = max(self.peaks[process.pid], now)


def tidy() -> None:
    """Gives free memory back to the system, so that the next contestant pays for its own."""
    gc.collect()
    with suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder that is gone afterwards; TMPDIR says on which disk."""
    path = Path(tempfile.mkdtemp(prefix="geodask-benchmark-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


# --- what comes out -------------------------------------------------------------------------------


def tell(text: str) -> None:
    """Progress, apart from the table."""
    print(text, file=sys.stderr, flush=True)


def table(rows: list[dict[str, Any]], columns: dict[str, tuple[str, str]]) -> str:
    """Rows as text. columns: key to (heading, format), Python's formats and "bytes"."""
    texts = [[heading for heading, _ in columns.values()]]
    texts += [[_text(row.get(key), form) for key, (_, form) in columns.items()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = []
    for first, *others in texts:
        cells = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)


def _text(value: Any, form: str) -> str:
    if value is None:
        return ""
    return size(value) if form == "bytes" else format(value, form)


def document(name: str, doc: str | None, options: argparse.Namespace, **measured: Any) -> None:
    """Writes all that was measured as JSON, where the options have a path for it."""
    if options.json is None:
        return
    parameters = {key: value for key, value in vars(options).items() if key != "json"}
    whole = {"benchmark": name, "claim": doc, "parameters": parameters, **measured}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(whole, indent=1, default=_plain) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)
