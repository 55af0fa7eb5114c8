"""Who may ask a scheduler what: the service's settings, as configured or as handed over."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import dask.config

from ..config import Settings, settings
from ..errors import SpecError
from ..storage.access import told
from ..storage.objects import open_store

DEFAULTS: dict[str, Any] = {"token": None, "roots": [], "rate": 20, "rate-all": 100}
SHORTEST = 16

dask.config.update_defaults({"geodask": {"service": DEFAULTS}})


@dataclass(frozen=True)
class Options:
    """What a service is told once. Its secrets are in nothing that shows it."""

    settings: Settings
    """Those of whoever switched it on: the store of the jobs, and how they run."""
    token: str | None = field(default=None, repr=False)
    """What whoever writes must know; None where nobody may."""
    roots: tuple[str, ...] = ()
    rate: float = 20
    """Requests a second, of each address."""
    rate_all: float = 100
    """Of all of them together."""
    opens: dict[str, Any] = field(default_factory=dict, repr=False)
    """What opens the store, where whoever switched it on knows that."""

    def __post_init__(self) -> None:
        if self.token is None:
            return
        # Dask reads the text of a variable as a number where it can: as another text.
        if not isinstance(self.token, str) or len(self.token) < SHORTEST:
            raise SpecError(
                f"A token is a text of {SHORTEST} characters or more, but another one came. "
                "Pass such as secrets.token_urlsafe()."
            )


def configured(**given: Any) -> Options:
    """The options of ``geodask.service`` in Dask's configuration, where none are given."""
    found = {name: dask.config.get(f"geodask.service.{name}") for name in DEFAULTS}
    known = {name.replace("-", "_"): value for name, value in found.items()}
    known |= {name: value for name, value in given.items() if value is not None}
    roots: str | Iterable[Any] = known.pop("roots")
    listed = (roots,) if isinstance(roots, str) else tuple(map(str, roots))
    current = settings()
    store = open_store(current)
    current = replace(current, store=store.url, store_options=store.options)
    return Options(current, roots=listed, opens=told(store.access), **known)
