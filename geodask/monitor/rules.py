"""Advice and alerts, as data: when a rule holds it shows its evidence and says what to change.

Rules look at a run, with what is known of the cluster and the store around it. Their limits are
set in the configuration, as ``geodask.monitor.rules: {read-bound: {share: 0.5}, straggler: off}``.
"""

import logging
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import dask.config
from dask.utils import format_bytes, format_time

from ..events import ADMISSION
from ..storage.entries import SCRATCH
from .account import left, stages

dask.config.update_defaults({"geodask": {"monitor": {"rules": {}}}})

logger = logging.getLogger("geodask.monitor")
Limits = dict[str, float]


@dataclass(frozen=True)
class Rule:
    """One piece of advice. Each is tested on a run where it holds, and on one where it does not."""

    name: str
    when: Callable[["Facts", Limits], str | None]
    """The evidence, in words, where it holds."""
    say: str
    """The change that helps."""
    limits: Limits = field(default_factory=dict)
    alert: bool = False
    """Whether something is wrong, and not only slower than it could be."""
    shared: bool = False
    """Whether it is of the cluster, and holds for all plans at work alike."""
    of_rows: bool = False
    """Whether it holds for rows that are admitted as well."""


@dataclass(frozen=True)
class Facts:
    """A run, and what is around it."""

    run: dict[str, Any]
    view: dict[str, Any]

    @property
    def stats(self) -> dict[str, Any]:
        return self.run["stats"]

    @property
    def seconds(self) -> float:
        """Since it began, on the clock."""
        return max(1e-9, (self.run["ended"] or self.view["now"]) - self.run["began"])

    @property
    def left(self) -> float | None:
        """Seconds to come, at the rate so far; None where it is not known yet."""
        return left(self.run, self.view["now"])

    def stage(self, name: str) -> float:
        """The part of the tasks' seconds that went into a stage."""
        found = stages(self.stats)
        return found[name] / max(1e-9, sum(found.values()))

    @property
    def busy(self) -> float:
        """The part of its threads' time that its own tasks took."""
        own = sum(stats["seconds"] for stats in self.run["workers"].values())
        return own / (max(1, self.run["slots"]) * self.seconds)

    @property
    def enough(self) -> bool:
        """Whether there is enough to judge by."""
        return self.stats["tasks"] >= 8 and self.stats["seconds"] >= 5.0

    @property
    def cluster(self) -> dict[str, Any]:
        """The workers there are, by their addresses."""
        return self.view.get("cluster", {})


def _bound(
    stage: str, moved: str, doing: str, why: Callable[[Facts, Limits], str | None] = lambda *_: ""
) -> Callable[[Facts, Limits], str | None]:
    """Whether a stage that moves bytes takes a large part of the tasks' time, and for a reason."""

    def when(facts: Facts, limits: Limits) -> str | None:
        share = facts.stage(stage)
        reason = why(facts, limits)
        if not facts.enough or share < limits["share"] or reason is None:
            return None
        rate = facts.stats[moved] / max(1e-9, facts.stats[f"{stage}_seconds"])
        return f"{share:.0%} of the tasks' time is {doing}, at {format_bytes(int(rate))}/s{reason}"

    return when


def _small(facts: Facts, limits: Limits) -> str | None:
    chunk = facts.run["chunk_bytes"]
    return f", in chunks of {format_bytes(chunk)}" if 0 < chunk < limits["bytes"] else None


def _coded(facts: Facts, limits: Limits) -> str | None:
    codec = facts.run["codec"]
    known = codec and _small(facts, limits) is None
    return f", decoded by {codec}" if known else None


def _plain(facts: Facts, limits: Limits) -> str | None:
    known = facts.run["codec"] or _small(facts, limits)
    return None if known else ""


def _rechecks(facts: Facts, limits: Limits) -> str | None:
    pairs, measured = facts.stats["pairs"], facts.stats["measured"]
    if not facts.enough or pairs == 0 or measured / pairs < limits["share"]:
        return None
    return (
        f"{measured / pairs:.1%} of the pairs were measured in float64 ({measured:,} of {pairs:,})"
    )


def _hours(facts: Facts, limits: Limits) -> str | None:
    left = facts.left
    if not facts.enough or left is None or left < limits["seconds"] or not facts.stats["pairs"]:
        return None
    return f"{format_time(left)} are left of {facts.run['name']}, which compares all pairs"


def _memory(facts: Facts, limits: Limits) -> str | None:
    if facts.run["ended"] is not None:
        return None
    tight = {
        worker["name"]: worker["memory"] / worker["memory_limit"]
        for worker in facts.cluster.values()
        if worker["memory_limit"]
    }
    tight = {name: share for name, share in tight.items() if share >= limits["share"]}
    if not tight:
        return None
    name = max(tight, key=lambda each: tight[each])
    much = f"more than {limits['share']:.0%} of their memory"
    return f"{len(tight)} workers hold {much}, {name} the most ({tight[name]:.0%})"


def _straggler(facts: Facts, limits: Limits) -> str | None:
    each = {
        name: stats["seconds"] / stats["tasks"]
        for name, stats in facts.run["workers"].items()
        if stats["tasks"] >= 3
    }
    if not facts.enough or len(each) < 3:
        return None
    slowest, usual = max(each, key=lambda name: each[name]), statistics.median(each.values())
    if each[slowest] < limits["times"] * usual:
        return None
    name = facts.cluster.get(slowest, {}).get("name", slowest)
    return (
        f"worker {name} takes {format_time(each[slowest])} a task, the others {format_time(usual)}"
    )


def _errors(facts: Facts, limits: Limits) -> str | None:
    failed = facts.run["failures"] + facts.run["retries"]
    tasks = facts.stats["tasks"] + failed
    if failed < max(1.0, limits["count"]) or failed / tasks < limits["share"]:
        return None
    last = facts.run["errors"][-1]["error"] if facts.run["errors"] else "of another process"
    return f"{failed} of {tasks} tasks failed, the last: {last}"


def _stopped(facts: Facts, limits: Limits) -> str | None:
    meant = facts.run["error"].startswith(("Stopped", "KeyboardInterrupt", "DamagedBaseError"))
    if facts.run["state"] not in ("stopped", "lost") or meant:
        return None
    said = facts.run["error"] or "whoever ran it says nothing any more"
    return f"{facts.run['name']} ended before it was complete: {said}"


def _undefined(facts: Facts, limits: Limits) -> str | None:
    flagged, rows = facts.stats["flagged"], facts.stats["rows"]
    if flagged == 0 or flagged / max(1, rows) < limits["share"]:
        return None
    return f"{flagged:,} of {rows:,} rows came out undefined (NaN)"


def _rim(facts: Facts, limits: Limits) -> str | None:
    near = facts.stats["near_limit"]
    if near < limits["rows"]:
        return None
    return f"{near:,} input rows have coordinates with less than four binary digits left"


def _misses(facts: Facts, limits: Limits) -> str | None:
    times = {
        (run["key"], run["url"], run["created"])
        for run in facts.view["runs"]
        if run["operation"] == facts.run["operation"]
        and run["state"] == "completed"
        and not run["url"].startswith("memory:")
        and SCRATCH not in run["url"]
    }
    results = {key for key, _, _ in times}
    if len(times) - len(results) < limits["times"]:
        return None
    return f"{len(results)} results were computed {len(times)} times"


def _idle(facts: Facts, limits: Limits) -> str | None:
    slots, seconds = facts.run["slots"], facts.seconds
    if not facts.enough or facts.run["ended"] is not None or slots < 2 or seconds < 30:
        return None
    if facts.busy >= limits["share"]:
        return None
    return f"its {slots} threads are busy {facts.busy:.0%} of the time"


def _more(facts: Facts, limits: Limits) -> str | None:
    left, slots = facts.left, facts.run["slots"]
    blocks = facts.run["cells"]["blocks"]
    if not facts.enough or left is None or left < limits["seconds"] or blocks < 2 * slots:
        return None
    busy = facts.busy
    if busy < limits["share"]:
        return None
    most = min(blocks, 512)
    wanted = min(most, slots * max(2, round(left / limits["seconds"])))
    then = f"{wanted} would take about {format_time(left * slots / wanted)}"
    return f"{format_time(left)} are left, {slots} threads are busy {busy:.0%} of the time; {then}"


def _wide(facts: Facts, limits: Limits) -> str | None:
    error = facts.run["approximation_error"]
    if not error or error < limits["error"]:
        return None
    return f"the answers of {facts.run['name']} may be off by {error:.2g}, as its report states"


RULES = (
    Rule("small-chunks", _bound("read", "bytes_read", "waiting for rows", _small),
         "Store the rows in chunks of 16 to 64 MB: points.save does so.",
         {"share": 0.4, "bytes": 1 << 20}, of_rows=True),
    Rule("codec", _bound("read", "bytes_read", "waiting for rows", _coded),
         "Store the rows without a codec: points.save does so. Coordinates of embeddings hardly "
         "get smaller.", {"share": 0.4, "bytes": 1 << 20}, of_rows=True),
    Rule("read-bound", _bound("read", "bytes_read", "waiting for rows", _plain),
         "Store the rows nearer to the workers, or on a faster disk.",
         {"share": 0.4, "bytes": 1 << 20}, of_rows=True),
    Rule("transfer-bound", _bound("transfer", "bytes_moved", "moving rows to the GPU and back"),
         "Give tasks more memory (geodask.memory-per-task), so that more queries meet each row "
         "that is moved.", {"share": 0.4}),
    Rule("write-bound", _bound("write", "bytes_written", "writing"),
         "Put the store on a faster disk or nearer to the workers.", {"share": 0.4}),
    Rule("rechecks", _rechecks,
         "Set geodask.surrogate to float32; where it is that, many rows are equal or nearly so: "
         "look for duplicates.", {"share": 0.02}),
    Rule("hours", _hours,
         "Submit it as a job and add workers; a smaller sample (points.sample) tells much of it.",
         {"seconds": 4 * 3600.0}),
    Rule("memory", _memory,
         "Set geodask.memory-per-task lower, or give the workers fewer threads.",
         {"share": 0.85}, alert=True, shared=True, of_rows=True),
    Rule("straggler", _straggler,
         "Look at that machine: it may be shared, throttled or swapping. Its late tasks are given "
         "to others.", {"times": 2.5}),
    Rule("errors", _errors,
         "Look into the log of the worker; geodask.on-error: continue leaves such blocks out.",
         {"share": 0.05, "count": 2.0}, alert=True),
    Rule("stopped", _stopped,
         "Mend the cause and run the plan again: it computes only what is missing.",
         alert=True, of_rows=True),
    Rule("undefined", _undefined,
         "Look at those rows: opposite points have no single shortest geodesic.",
         {"share": 1e-9}, alert=True),
    Rule("approximate", _wide,
         "Ask for a smaller error, or for the exact plan.", {"error": 0.05}),
    Rule("rim", _rim,
         "Keep such points in polar coordinates (gd.convert to gd.HyperbolicPolar), or train with "
         "a larger curvature.", {"rows": 1.0}),
    Rule("computed-again", _misses,
         "Results were evicted or rows differ in their last bits: raise geodask.store-max-bytes, "
         "or pin what is needed (gd.store().pin).", {"times": 1.0}),
    Rule("idle", _idle,
         "More workers would not help. Tasks wait for the scheduler or for each other: use fewer, "
         "faster ones.", {"share": 0.4}),
    Rule("more-workers", _more,
         "More workers would help: gd.cluster.adaptive adds them by the work that is left.",
         {"seconds": 1800.0, "share": 0.8}),
)  # fmt: skip


SHARED = {rule.name for rule in RULES if rule.shared}


def advise(view: dict[str, Any], rules: tuple[Rule, ...] = RULES) -> Iterator[dict[str, Any]]:
    """What the rules say of the latest runs: those at work, and the last few that ended."""
    changed = dask.config.get("geodask.monitor.rules") or {}
    for run in view["runs"][:10]:
        if run["state"] in ("starting", "found", "replaced") or not run["operation"]:
            continue
        for rule in rules:
            if run["operation"] == ADMISSION and not rule.of_rows:
                continue
            evidence = _evidence(rule, Facts(run, view), changed.get(rule.name))
            if evidence is not None:
                yield {
                    "rule": rule.name, "alert": rule.alert, "run": run["run"], "plan": run["name"],
                    "evidence": evidence, "say": rule.say,
                }  # fmt: skip


def _evidence(rule: Rule, facts: Facts, change: Any) -> str | None:
    if change in (False, "off"):
        return None
    try:
        return rule.when(facts, {**rule.limits, **(change if isinstance(change, dict) else {})})
    except Exception:  # one that is configured wrongly does not silence the others
        logger.debug("The rule %s failed.", rule.name, exc_info=True)
        return None
