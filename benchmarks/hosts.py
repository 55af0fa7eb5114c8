"""Hosts of a small network on this machine, as namespaces where that is permitted."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Host:
    """A place where processes have an address of their own, or that of this machine."""

    name: str
    address: str
    link: str
    """The end of its cable that is here; empty where there is none to cut."""

    def command(self, *arguments: str) -> list[str]:
        """What runs a command there."""
        return [*(("ip", "netns", "exec", self.name) if self.link else ()), *arguments]

    def cut(self) -> None:
        """Nothing reaches it any more, and nobody is told."""
        _ip("link", "set", self.link, "down")

    def mend(self) -> None:
        """It is reached again."""
        _ip("link", "set", self.link, "up")


@contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """So many hosts on one switch. Without the right to make namespaces all are this machine."""
    bridge = f"gd{os.getpid() % 100_000}"
    try:
        _ip("link", "add", bridge, "type", "bridge")
    except (OSError, subprocess.CalledProcessError):
        yield [Host(f"host-{i}", "127.0.0.1", "") for i in range(count)]
        return
    with ExitStack() as undo:
        undo.callback(_ip, "link", "del", bridge)
        _ip("link", "set", bridge, "up")
        found = []
        for i in range(count):
            host = Host(f"{bridge}-{i}", f"10.77.{os.getpid() % 250}.{i + 1}", f"{bridge}-{i}")
            _ip("netns", "add", host.name)
            undo.callback(_ip, "netns", "del", host.name)
            _ip(
                "link", "add", host.link, "type", "veth", "peer", "name", "eth0", "netns", host.name
            )
            _ip("link", "set", host.link, "master", bridge, "up")
            _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", host.name, "link", "set", device, "up")
            found.append(host)
        yield found


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
