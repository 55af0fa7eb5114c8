"""An S3 server in a process of its own, on loopback."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
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


@contextmanager
def answering(answer: Callable[[str, str], tuple[int, bytes]]) -> Iterator[dict[str, Any]]:
    """The same of a server in this process, which answers (method, path) with a status and text."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = answer(self.command, self.path)
            self.send_response(status)
            self.send_header("ETag", '"0"')
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = reply

        def log_message(self, *message: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            port = server.server_address[1]
            yield {"key": KEY, "secret": SECRET, "endpoint_url": f"http://127.0.0.1:{port}"}
        finally:
            server.shutdown()
