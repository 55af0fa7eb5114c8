"""Jobs of a store, listed, and served over HTTP by a Dask scheduler that is told to:

    dask scheduler --preload geodask.service      with ``geodask.service`` configured there
    service.install(client, token=..., roots=[...])      on a scheduler that runs

Whoever reaches the dashboard can list jobs and look at the first rows of their results. Jobs are
started and cancelled with the token alone, over what is stored under the roots.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any


def install(
    client: Any,
    *,
    token: str | None = None,
    roots: Iterable[str | Path] = (),
    rate: float | None = None,
    rate_all: float | None = None,
) -> str:
    """Serves the jobs of the store in force here on the scheduler of a client; returns their URL.

    Parameters
    ----------
    client : dask.distributed.Client
    token : str, optional
        What ``Authorization: Bearer`` must hold to start or cancel jobs: 16 characters or more.
        Without one nobody can.
    roots : list of paths or URLs
        Where the inputs of jobs may lie, as the scheduler sees it: folders, or prefixes as
        ``s3://bucket/folder``.
    rate, rate_all : float, optional
        Requests a second, of each address and of all: 20 and 100.

    What is not given is taken from ``geodask.service`` in the configuration here. Calling it again
    replaces what was told before. The token crosses the network as the connection of the client
    and that of the server are protected: use TLS where others listen.

    Raises
    ------
    SpecError
        Where the token is too short, or a root is no place.
    """
    from .http import mount
    from .options import configured

    given = {"token": token, "roots": [str(root) for root in roots] or None}
    options = configured(**given, rate=rate, rate_all=rate_all)
    client.run_on_scheduler(_call, mount, options)
    return f"{client.dashboard_link.removesuffix('/status')}/geodask/jobs"


def uninstall(client: Any) -> None:
    """Serves them no more."""
    from .http import unmount

    client.run_on_scheduler(_call, unmount)


def dask_setup(scheduler: Any) -> None:
    """Called by ``dask scheduler --preload geodask.service``."""
    from .http import mount
    from .options import configured

    mount(scheduler, configured())


def _call(function: Any, *arguments: Any, dask_scheduler: Any) -> None:
    function(dask_scheduler, *arguments)
