"""An S3 server in a process of its own, on loopback."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SERVER = """
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
input()
"""
KEY, SECRET = "AKIAGEODASKTESTS", "a-secret-that-nothing-keeps"


@contextmanager
def s3_server() -> Iterator[dict[str, Any]]:
    """The storage options that open its buckets. It ends when its standard input does."""
    command = [sys.executable, "-c", SERVER]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, **pipes) as process:
        try:
            host, port = process.stdout.readline().split()
            yield {"key": KEY, "secret": SECRET, "endpoint_url": f"http://{host}:{port}"}
        finally:
            process.kill()
