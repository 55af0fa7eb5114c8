"""Alerts: what is wrong is said once, in the log and to a hook.

``geodask.monitor.hook`` in the configuration is a callable, or a URL that each alert is posted to
as JSON.
"""

import json
import logging
import urllib.request
from threading import Thread
from typing import Any

import dask.config

from .book import shorten
from .rules import SHARED, advise

dask.config.update_defaults({"geodask": {"monitor": {"hook": None}}})

logger = logging.getLogger("geodask.monitor")

SAID = 1000
"""Alerts that are remembered, so that they are said once."""


class Watch:
    """Looks again and again, and says what is new once: in the log, and to the hook."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self._said: dict[tuple[str, str], None] = {}

    def look(self, view: dict[str, Any]) -> None:
        """Takes in what there is now."""
        self.found = list(advise(view))
        for each in self.found:
            what = "" if each["rule"] in SHARED else each["run"], each["rule"]
            if each["alert"] and what not in self._said:
                self._said[what] = None
                logger.warning("%s: %s. %s", each["rule"], each["evidence"], each["say"])
                _call(dask.config.get("geodask.monitor.hook"), each)
        shorten(self._said, SAID)


def _call(hook: Any, alert: dict[str, Any]) -> None:
    """Tells a callable, or a URL by POST, without waiting for it."""
    if hook is not None:
        Thread(target=_tell, args=(hook, alert), name="geodask-hook", daemon=True).start()


def _tell(hook: Any, alert: dict[str, Any]) -> None:
    try:
        if callable(hook):
            hook(alert)
            return
        if not str(hook).startswith(("http://", "https://")):
            raise ValueError(f"geodask.monitor.hook must be a URL or a callable, but is {hook!r}")
        body = json.dumps(alert).encode()
        request = urllib.request.Request(hook, body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10.0).close()
    except Exception:
        logger.warning("The hook for alerts failed.", exc_info=True)
