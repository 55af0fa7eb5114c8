"""Random faults while plans run on a cluster of several hosts: equal bytes, or words and a store.

Claim: whatever happens, a run ends with the bytes of the undisturbed one, or with a typed error
after which the next run goes on from what is stored, to the same bytes. Nothing is ever wrong, and
nothing hangs.

    python benchmarks/faults.py --faults 200

A scheduler, two workers and a client are processes of their own, each on a host of its own where
network namespaces are permitted; what dies is started again, as a cluster manager does. The store
is a small disk of its own where mounting is permitted. Each run has some faults at random times,
drawn from the seed.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask
import numpy as np
import psutil

import disturbed
import geodask as gd
from harness import document, folder, parser, table, tell
from hosts import Host, hosts
from machine import facts

HERE = Path(__file__).parent
KINDS = ("knn", "mean", "pairwise")
DISK = "160m"
LIMIT = "1500MB"
"""Of a worker's memory: what it loads takes half of it."""
COLUMNS = {"name": ("fault", ""), "tried": ("tried", "d"), "survived": ("run survived", "d")}


@dataclass
class Service:
    """A process that is started again when it ends."""

    host: Host
    arguments: list[str]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    wanted: bool = True

    def ensure(self) -> None:
        if self.wanted and (self.process is None or self.process.poll() is not None):
            quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            command = self.host.command(sys.executable, "-m", *self.arguments)
            self.process = subprocess.Popen(
                command, env=os.environ | self.environment, start_new_session=True, **quiet
            )

    def processes(self) -> list[psutil.Process]:
        """What runs there, the children first."""
        with suppress(psutil.Error):
            if self.process is not None:
                found = psutil.Process(self.process.pid)
                return [*found.children(recursive=True), found]
        return []

    def signal(self, number: int, children: bool = False) -> None:
        found = self.processes()
        for each in found[:-1] if children else found:
            with suppress(psutil.Error):
                each.send_signal(number)


@dataclass
class Lab:
    """The cluster, its store, and how faults come about."""

    places: list[Host]
    home: Path
    store: Path
    mounted: bool
    seconds: float
    services: list[Service] = field(default_factory=list)
    clients: list[subprocess.Popen[str]] = field(default_factory=list)
    starting: threading.Lock = field(default_factory=threading.Lock)
    """Held while no host may start."""

    def start(self) -> None:
        log = {"FAULTY_SECONDS": str(self.seconds), "FAULTY_LOG": str(self.home / "written")}
        address = self.places[0].address
        cli = "distributed.cli.dask_"
        options = ["--host", address, "--port", "8786", "--no-dashboard", "--no-show"]
        scheduler = [f"{cli}scheduler", *options]
        self.services = [Service(self.places[0], scheduler, {})]
        for host in self.places[1:]:
            options = ["--host", host.address, "--nthreads", "1", "--memory-limit", LIMIT]
            options += ["--no-dashboard", "--preload", str(HERE / "disturbed.py")]
            options += ["--local-directory", str(self.home / host.name)]
            path = {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
            worker = [f"{cli}worker", self.url, *options]
            self.services.append(Service(host, worker, log | path))
        self._stop = threading.Event()
        threading.Thread(target=self._supervise, daemon=True).start()

    @property
    def url(self) -> str:
        return f"tcp://{self.places[0].address}:8786"

    @property
    def workers(self) -> list[Service]:
        return self.services[1:]

    def _supervise(self) -> None:
        while not self._stop.wait(0.5):
            with self.starting:
                for each in self.services:
                    each.ensure()

    def stop(self) -> None:
        self._stop.set()
        running = [process for each in self.services for process in each.processes()]
        for each in self.services:
            each.wanted = False
            each.signal(signal.SIGKILL)
        psutil.wait_procs(running, timeout=10)  # they hold their hosts

    def written(self) -> int:
        """Bytes of objects that tasks have written so far."""
        log = self.home / "written"
        return sum(map(int, log.read_text().split())) if log.exists() else 0

    def client(self, kind: str, verify: bool = False) -> subprocess.Popen[str]:
        environment = {"DASK_GEODASK__STORE": str(self.store), "DASK_GEODASK__PROGRESS": "off"}
        script = [
            sys.executable,
            str(HERE / "disturbed.py"),
            kind,
            str(self.home / "x.zarr"),
            self.url,
            *(["verify"] if verify else []),
        ]
        running = subprocess.Popen(
            self.places[0].command(*script),
            env=os.environ | environment | {"PYTHONPATH": str(HERE.parent)},
            start_new_session=True, text=True,
            stdout=subprocess.PIPE, stderr=(self.home / "errors").open("a"),
        )  # fmt: skip
        self.clients.append(running)
        return running


# --- faults ---------------------------------------------------------------------------------------

Fault = Callable[[Lab, np.random.Generator], None]


def _worker(lab: Lab, rng: np.random.Generator) -> Service:
    return lab.workers[rng.integers(len(lab.workers))]


def kill_worker(lab: Lab, rng: np.random.Generator) -> None:
    """Its nanny starts another."""
    _worker(lab, rng).signal(signal.SIGKILL, children=True)


def lose_host(lab: Lab, rng: np.random.Generator) -> None:
    """A worker and its nanny go at once."""
    _worker(lab, rng).signal(signal.SIGKILL)


def pause_worker(lab: Lab, rng: np.random.Generator) -> None:
    service = _worker(lab, rng)
    service.signal(signal.SIGSTOP, children=True)
    time.sleep(rng.uniform(0.5, 8))
    service.signal(signal.SIGCONT, children=True)


def slow_worker(lab: Lab, rng: np.random.Generator) -> None:
    """It gets a tenth of its time."""
    service, end = _worker(lab, rng), time.monotonic() + rng.uniform(2, 8)
    while time.monotonic() < end:
        service.signal(signal.SIGSTOP, children=True)
        time.sleep(0.45)
        service.signal(signal.SIGCONT, children=True)
        time.sleep(0.05)


def kill_scheduler(lab: Lab, rng: np.random.Generator) -> None:
    lab.services[0].signal(signal.SIGKILL)


def cut_network(lab: Lab, rng: np.random.Generator) -> None:
    host = _worker(lab, rng).host
    host.cut()
    time.sleep(rng.uniform(0.5, 8))
    host.mend()


def fill_disk(lab: Lab, rng: np.random.Generator) -> None:
    ballast = lab.store.parent / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(1 << 16)):
            pass
    time.sleep(rng.uniform(0.2, 3))
    ballast.unlink()


def forbid_writing(lab: Lab, rng: np.random.Generator) -> None:
    disk = str(lab.store.parent)
    # A host that starts meanwhile would keep a mount of its own that is read-only for good.
    with lab.starting:
        forbidden = subprocess.run(["mount", "-o", "remount,ro", disk], capture_output=True)
        if forbidden.returncode == 0:
            time.sleep(rng.uniform(0.2, 3))
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


def kill_client(lab: Lab, rng: np.random.Generator) -> None:
    with suppress(ProcessLookupError):
        os.killpg(lab.clients[-1].pid, signal.SIGKILL)


def exhaust_memory(lab: Lab, rng: np.random.Generator) -> None:
    """A task of somebody else takes more than the worker has: its nanny ends it."""
    code = (
        "import sys, time; from distributed import Client, fire_and_forget\n"
        "def eat():\n"
        "    import numpy as np; held = np.ones(3 << 29, 'u1'); time.sleep(2); return held[0]\n"
        "client = Client(sys.argv[1], timeout=10)\n"
        "fire_and_forget(client.submit(eat, pure=False)); time.sleep(1)\n"
    )
    command = lab.places[0].command(sys.executable, "-c", code, lab.url)
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(command, capture_output=True, timeout=20)


def damage_object(lab: Lab, rng: np.random.Generator) -> None:
    """A byte is turned, the end cut off, all of it lost, or two of one kind swapped."""
    files = sorted(path for path in lab.store.rglob("*") if path.is_file())
    if not files:
        return
    path = files[rng.integers(len(files))]
    with suppress(OSError):
        data = bytearray(path.read_bytes())
        how = rng.integers(4)
        if how == 0 and data:
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
            path.write_bytes(data)
        elif how == 1:
            path.write_bytes(data[: len(data) // 2])
        elif how == 2:
            path.unlink()
        else:
            other = files[rng.integers(len(files))]
            path.write_bytes(other.read_bytes())
            other.write_bytes(data)


def start_second(lab: Lab, rng: np.random.Generator) -> None:
    """Another client runs the same plan: nothing of its own here, see `run_once`."""


FAULTS: dict[str, Fault] = {
    "a worker killed": kill_worker,
    "a host lost": lose_host,
    "a worker paused": pause_worker,
    "a worker slowed": slow_worker,
    "the scheduler restarted": kill_scheduler,
    "the network cut": cut_network,
    "the disk full": fill_disk,
    "the store read-only": forbid_writing,
    "the client killed": kill_client,
    "memory exhausted": exhaust_memory,
    "an object damaged": damage_object,
    "a second client": start_second,
}
NEEDS_LINK, NEEDS_DISK = {"the network cut"}, {"the disk full", "the store read-only"}


# --- runs -----------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What came of a run and its faults."""

    kind: str
    faults: list[str]
    attempts: int = 1
    errors: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    bytes_again: int = 0


def run_once(lab: Lab, kind: str, names: list[str], truth: dict[str, Any], rng: Any) -> Outcome:
    """A run from an empty store with some faults, and the runs that it takes to the end."""
    for path in lab.store.glob("*"):
        subprocess.run(["rm", "-rf", str(path)], check=True)
    outcome, begin, before = Outcome(kind, []), time.monotonic(), lab.written()
    times = sorted(rng.uniform(1.5, 3 + truth["seconds"], len(names)))
    client = lab.client(kind)
    for name, when in zip(names, times, strict=True):
        with suppress(subprocess.TimeoutExpired):
            client.wait(max(0.0, begin + when - time.monotonic()))
        tell(f"  {time.monotonic() - begin:5.1f} s {kind}: {name}")
        outcome.faults.append(name)
        if name == "a second client":
            _judge(lab, lab.client(kind), kind, truth, outcome)
        FAULTS[name](lab, rng)
    while not _judge(lab, client, kind, truth, outcome):
        outcome.attempts += 1
        if outcome.attempts > 5:
            outcome.wrong.append(f"no end in five runs without a fault: {outcome.errors}")
            break
        client = lab.client(kind, verify=True)  # as errors of damaged objects advise
    outcome.seconds = time.monotonic() - begin
    outcome.bytes_again = max(0, lab.written() - before - truth["written"])
    return outcome


def _judge(lab: Lab, client: Any, kind: str, truth: dict[str, Any], outcome: Outcome) -> bool:
    """Whether a client has given the right bytes; notes what else came."""
    try:
        said, _ = client.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        outcome.wrong.append(f"a run of {kind} hangs")
        os.killpg(client.pid, signal.SIGKILL)
        return False
    if not said.strip():
        if client.returncode != -signal.SIGKILL:
            outcome.wrong.append(f"the client ended with {client.returncode}")
        return False
    found = json.loads(said.strip().splitlines()[-1])
    if "bytes" in found:
        if found["bytes"] != truth["bytes"]:
            outcome.wrong.append("other bytes")
        return True
    outcome.errors.append(found["error"])
    tell(f"  {found['error']}: {found['message'][:300]}")
    if not found["typed"]:
        outcome.wrong.append(f"{found['error']}: {found['message'][:300]}")
    return False


@contextmanager
def laboratory(options: argparse.Namespace) -> Iterator[Lab]:
    """The cluster on its hosts, with points to work on and an empty store."""
    with folder() as home, ExitStack() as undo:
        places = undo.enter_context(hosts(3))
        disk = home / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)]
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        if mounted:
            undo.callback(subprocess.run, ["umount", "-l", str(disk)], check=False)
        manifold = gd.Sphere(24)
        rows = manifold.project(manifold.random(options.rows, seed=1) + 1.0)
        gd.points(rows.astype(np.float32), manifold).save(home / "x.zarr")
        lab = Lab(places, home, disk / "store", mounted, options.seconds)
        lab.store.mkdir()
        undo.callback(lab.stop)
        lab.start()
        yield lab


def undisturbed(lab: Lab, kind: str) -> dict[str, Any]:
    """What a run without faults gives and writes, and how long it takes; the same on threads."""
    outcome, begin, before = Outcome(kind, []), time.monotonic(), lab.written()
    said, _ = lab.client(kind).communicate(timeout=300)
    found = json.loads(said.strip().splitlines()[-1])
    seconds, written = time.monotonic() - begin, lab.written() - before
    with dask.config.set({"geodask.progress": "off", "geodask.store": str(lab.home / "threads")}):
        here = disturbed.fingerprint(disturbed.plan(kind, str(lab.home / "x.zarr")).compute())
    if found.get("bytes") != here:
        raise SystemExit(f"{kind} without faults: {found}, {outcome}")
    return {"bytes": here, "seconds": seconds, "written": written}


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where a run gave other bytes, hung, or ended without a typed error."""
    found = parser(__doc__, rows=2000, repeats=1)
    found.add_argument("--faults", type=int, default=200, help="(default %(default)s)")
    found.add_argument("--each", type=int, default=4, help="faults of a run (default %(default)s)")
    found.add_argument("--seconds", type=float, default=0.1, help="a task (default %(default)s)")
    found.add_argument("--seed", type=int, default=0, help="(default %(default)s)")
    found.add_argument("--only", type=int, help="the number of one run of these")
    options = found.parse_args(arguments)
    disturbed.small_tasks()
    here, outcomes = facts(), []
    with laboratory(options) as lab:
        linked = bool(lab.places[0].link)
        names = [
            name
            for name in FAULTS
            if (linked or name not in NEEDS_LINK) and (lab.mounted or name not in NEEDS_DISK)
        ]
        truths = {kind: undisturbed(lab, kind) for kind in KINDS}
        drawn = [name for _ in range(-(-options.faults // len(names))) for name in names]
        order = np.random.default_rng(options.seed).permutation(len(drawn))
        todo = [drawn[i] for i in order][: options.faults]
        for number, first in enumerate(range(0, len(todo), options.each)):
            if options.only not in (None, number):
                continue
            rng = np.random.default_rng([options.seed, number])
            kind = KINDS[number % len(KINDS)]
            some = todo[first : first + options.each]
            tell(f"run {number}: {kind} (undisturbed {truths[kind]['seconds']:.1f} s)")
            outcomes.append(run_once(lab, kind, some, truths[kind], rng))
            if outcomes[-1].wrong:
                tell(f"  WRONG: {outcomes[-1].wrong}")
        print(f"hosts: {'network namespaces' if linked else 'one'}, store: "
              f"{f'a disk of {DISK}' if lab.mounted else 'a folder'}\n")  # fmt: skip
    return report(options, here, outcomes, truths)


def report(options: Any, here: Any, outcomes: list[Outcome], truths: dict[str, Any]) -> int:
    """Prints what was tried and what came of it."""
    tried = Counter(name for each in outcomes for name in each.faults)
    through = Counter(
        name for each in outcomes if each.attempts == 1 and not each.wrong for name in each.faults
    )
    rows = [{"name": n, "tried": tried[n], "survived": through[n]} for n in FAULTS if tried[n]]
    print(table(rows, COLUMNS))
    errors = Counter(error for each in outcomes for error in each.errors)
    wrong = [text for each in outcomes for text in each.wrong]
    again = sum(each.bytes_again for each in outcomes)
    whole = sum(truths[each.kind]["written"] for each in outcomes)
    first = sum(each.attempts == 1 and not each.wrong for each in outcomes)
    print(
        f"\n{sum(tried.values())} faults in {len(outcomes)} runs: {first} runs came through, "
        f"{len(outcomes) - first} ended in words or with their client and went on; "
        f"errors {dict(errors)}; {again / 1e6:.1f} MB of {whole / 1e6:.1f} MB written again; "
        f"{len(wrong)} wrong"
    )
    print("\n".join(wrong))
    document("faults", __doc__, options, machine=here, outcomes=[vars(each) for each in outcomes])
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
