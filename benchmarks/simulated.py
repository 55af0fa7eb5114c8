"""Workers of one thread each, several in this process: enough for tasks that sleep.

They do not watch over themselves: each would look at the threads of all, a hundred times a second.

    python benchmarks/simulated.py SCHEDULER_FILE COUNT FOLDER
"""

import asyncio
import json
import sys
from pathlib import Path

import dask
from distributed import Worker


async def main(scheduler_file: str, count: str, folder: str) -> None:
    while not Path(scheduler_file).exists():
        await asyncio.sleep(0.1)
    address = json.loads(Path(scheduler_file).read_text(encoding="utf-8"))["address"]
    workers = [
        Worker(address, nthreads=1, memory_limit=0, local_directory=folder, dashboard=False)
        for _ in range(int(count))
    ]
    await asyncio.gather(*workers)
    await asyncio.gather(*(each.finished() for each in workers))


if __name__ == "__main__":
    quiet = {
        "distributed.worker.profile.enabled": False,
        "distributed.admin.system-monitor.interval": "1h",
        "distributed.admin.tick.interval": "1h",
    }
    with dask.config.set(quiet):
        asyncio.run(main(*sys.argv[1:]))
