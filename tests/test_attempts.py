"""Calls on workers: their answers come as events, and nothing of them stays."""

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Any

import pytest
from distributed import Client

import geodask as gd
from geodask.config import settings
from geodask.engine import answers
from geodask.engine.executors import ClusterLostError, bounded
from geodask.engine.remote import Dask, connected


class Odd(BaseException):
    """No Exception."""


def fail(number: int, kind: type[BaseException]) -> None:
    raise kind(number)


def returned(size: int) -> bytes:
    return bytes(size)


def tasks_there(dask_scheduler: Any) -> int:
    return len(dask_scheduler.tasks)


def soon(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + 10
    while not holds() and time.monotonic() < end:
        gc.collect()
        time.sleep(0.05)
    return holds()


@pytest.mark.parametrize("size", [10, answers.LARGEST // 2, answers.LARGEST + 1, 1 << 20])
def test_small_answers_are_told_and_large_ones_fetched(
    client: Client, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, hear = [], Dask.hear

    def count(self: Dask, key: str, answer: Any) -> None:
        heard.append(len(answer[1]))
        hear(self, key, answer)

    monkeypatch.setattr(Dask, "hear", count)
    calls = [(size + number % 2,) for number in range(20)]
    with connected(client, settings()) as engine:
        found = list(bounded(engine, "t", returned, calls))
    assert sorted(map(len, found)) == [size] * 10 + [size + 1] * 10
    assert len(heard) == (20 if size < answers.LARGEST else 0)


@pytest.mark.parametrize("kind", [ValueError, TimeoutError, KeyError])
def test_a_call_that_failed_leaves_nothing_on_the_cluster(
    client: Client, kind: type[Exception]
) -> None:
    def run() -> Exception:
        with connected(client, settings()) as engine, pytest.raises(kind) as caught:
            list(bounded(engine, "t", fail, [(i, kind) for i in range(8)]))
        names = [entry.name for entry in caught.traceback]
        assert names[-1] == "fail"  # where it happened
        return caught.value

    error = run()
    assert soon(lambda: not client.futures), error
    assert soon(
        lambda: client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) == 0
    )


def test_what_is_no_exception_is_told_in_words(client: Client) -> None:
    with (
        connected(client, settings()) as engine,
        pytest.raises(gd.JobError, match="must return, or raise an Exception, but Odd came: 3"),
    ):
        list(bounded(engine, "t", fail, [(3, Odd)]))


def test_a_client_that_is_closed_meanwhile_is_a_lost_cluster(cluster: Any) -> None:
    client = Client(cluster)
    engines = connected(client, settings())
    engine = engines.__enter__()
    client.close()
    with pytest.raises(Exception, match=r"NoneType|closed") as caught:
        engine.everywhere(int)
    with pytest.raises(ClusterLostError, match="must finish what it was given"):
        engines.__exit__(caught.type, caught.value, None)
    with pytest.raises(ClusterLostError, match="must finish what it was given"):
        connected(client, settings()).__enter__()


def test_workers_that_go_while_they_are_asked_are_waited_for(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, gone = client.run, [{}, {"tcp://127.0.0.1:9": OSError("gone")}]
    monkeypatch.setattr(client, "run", lambda *a, **k: gone.pop() if gone else run(*a, **k))
    with connected(client, settings()) as engine:
        assert engine.memory_limit() > 1 << 20
        assert not gone


def test_an_asynchronous_client_is_refused_in_words(cluster: Any, store: Any) -> None:
    manifold = gd.Sphere(4)
    plan = gd.knn(gd.points(manifold.random(50, seed=0), manifold), k=2)

    async def main() -> Any:
        how = {"asynchronous": True, "set_as_default": False}
        async with Client(cluster.scheduler_address, **how) as client:
            with (
                client.as_current(),
                pytest.raises(gd.JobError, match="an asynchronous one"),
            ):
                plan.persist()
            with client.as_current():
                return await asyncio.to_thread(plan.persist)

    found = asyncio.run(main())
    assert found.indices.compute(scheduler="threads").shape == (50, 2)
