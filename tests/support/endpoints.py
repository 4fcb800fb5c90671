"""Endpoints that misbehave: one server for each transport, whose answers a function chooses."""

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
from websockets.sync.server import ServerConnection, serve


@dataclass(frozen=True)
class Says:
    """What an endpoint does when it is asked."""

    content: bytes = b""
    close: bool = False
    """Whether the connection ends in the middle of the content."""
    wait_s: float = 0.0
    """Seconds before it answers."""
    status: int = 200
    """For HTTP alone."""
    headers: dict[str, str] = field(default_factory=dict)


Behaviour = Callable[[bytes], Says]
"""Takes the bytes of a request."""


def true_answer(body: bytes) -> Says:
    """Answer every call with its own parameters."""
    asked = msgspec.json.decode(body)
    calls = asked if isinstance(asked, list) else [asked]
    answers = [{"jsonrpc": "2.0", "id": call["id"], "result": call["params"]} for call in calls]
    return Says(msgspec.json.encode(answers if isinstance(asked, list) else answers[0]))


class Http:
    """Over HTTP/1.1 with kept connections."""

    def __init__(self, behave: Behaviour) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                says = behave(self.rfile.read(int(self.headers["content-length"])))
                time.sleep(says.wait_s)
                self.send_response(says.status)
                for name, value in says.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(says.content)))
                self.end_headers()
                if says.close:
                    self.wfile.write(says.content[: len(says.content) // 2])
                    self.close_connection = True
                else:
                    self.wfile.write(says.content)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class WebSocket:
    """Over WebSocket."""

    def __init__(self, behave: Behaviour) -> None:
        def handle(connection: ServerConnection) -> None:
            for message in connection:
                assert isinstance(message, str)
                says = behave(message.encode())
                time.sleep(says.wait_s)
                if says.close:
                    connection.socket.shutdown(socket.SHUT_RDWR)
                    return
                connection.send(says.content, text=True)

        self._server = serve(handle, "127.0.0.1", 0, compression=None, max_size=None)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.address = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()


class Ipc:
    """Over a Unix socket."""

    def __init__(self, behave: Behaviour, path: Path) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                buffer = b""
                while chunk := self.request.recv(1 << 20):
                    buffer += chunk
                    try:
                        msgspec.json.decode(buffer)
                    except msgspec.DecodeError:
                        continue
                    says = behave(buffer)
                    buffer = b""
                    time.sleep(says.wait_s)
                    if says.close:
                        self.request.sendall(says.content[: len(says.content) // 2])
                        return
                    self.request.sendall(says.content)

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

        self._server = Server(str(path), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.address = f"ipc://{path}"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


TRANSPORTS = ("http", "ws", "ipc")


@contextmanager
def endpoint(kind: str, behave: Behaviour, folder: Path) -> Iterator[str]:
    """Run an endpoint of a kind; yield its address."""
    server: Http | WebSocket | Ipc
    if kind == "http":
        server = Http(behave)
    elif kind == "ws":
        server = WebSocket(behave)
    else:
        server = Ipc(behave, folder / "n.ipc")
    try:
        yield server.address
    finally:
        server.stop()
