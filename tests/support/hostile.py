"""A database server that asks its client for files: real bytes on a loopback socket."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Sequence

PROTOCOL_41, SECURE, PLUGIN, LOCAL_FILES = 0x200, 0x8000, 0x80000, 0x80
OK = b"\x00\x00\x00\x02\x00\x00\x00"
TIMEOUT_S = 20

Answer = Callable[[bytes], Sequence[bytes] | None]
"""From a statement to names of files to ask for before it is answered OK; None: OK at once."""


class HostileServer:
    """Takes every password, says OK to every statement, and asks for files where it is told to.

    Attributes
    ----------
    statements
        What it was told, in order.
    sent
        For each file that it asked for, what it was sent.
    capabilities
        Of the client, as it announced them.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.statements: list[bytes] = []
        self.sent: list[bytes] = []
        self.capabilities = 0
        self._threads: list[threading.Thread] = []
        self._stopping = False

    def __enter__(self) -> HostileServer:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        socket.create_connection(("127.0.0.1", self.port)).close()  # wakes accept
        for thread in self._threads:
            thread.join(TIMEOUT_S)
        self._listener.close()

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            link, _ = self._listener.accept()
            if self._stopping:
                link.close()
                return
            self._start(self._serve, link)

    def _serve(self, link: socket.socket) -> None:
        link.settimeout(TIMEOUT_S)
        with link, link.makefile("rb") as stream:

            def read() -> tuple[int, bytes]:
                head = stream.read(4)
                if len(head) < 4:
                    raise ConnectionError
                return head[3], stream.read(int.from_bytes(head[:3], "little"))

            def write(number: int, content: bytes) -> None:
                link.sendall(len(content).to_bytes(3, "little") + bytes([number % 256]) + content)

            try:
                write(0, _greeting())
                number, reply = read()
                self.capabilities = struct.unpack("<I", reply[:4])[0]
                write(number + 1, OK)
                while True:
                    number, command = read()
                    self.statements.append(command[1:])
                    for name in self._answer(command[1:]) or ():
                        write(number + 1, b"\xfb" + name)
                        content = b""
                        while True:
                            number, piece = read()
                            if not piece:
                                break
                            content += piece
                        self.sent.append(content)
                    write(number + 1, OK)
            except (OSError, ConnectionError):
                return


def _greeting() -> bytes:
    flags = 0xFFFF & (PROTOCOL_41 | SECURE | LOCAL_FILES | 0x1 | 0x2 | 0x8 | 0x2000)
    return (
        b"\x0a11.8.0-MariaDB\x00"
        + struct.pack("<I", 7)
        + b"12345678\x00"
        + struct.pack("<H", flags)
        + bytes([45])
        + struct.pack("<HH", 2, PLUGIN >> 16)
        + bytes([21])
        + b"\x00" * 10
        + b"123456789012\x00"
        + b"mysql_native_password\x00"
    )
