"""A headless Chromium of a test's own, driven over the DevTools protocol: no more than the pages need."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from ledger.chain.local.anvil import end_with_parent

NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    *(
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
    ),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-extensions", "--disable-quic", "--remote-debugging-port=0"),
)
_START_SECONDS_MAX = 180
_ANSWER_SECONDS_MAX = 180
_MOVING = ("navigated", "Cannot find context", "context was destroyed")
"""What Chromium says of a question to a page that is just leaving: the next one is answered by the page that comes."""


def find_chromium() -> str | None:
    """Return the program, or None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


_SILENT = ("InlineTextBox", "none", "generic", "StaticText", "LineBreak", "ListMarker")
"""Roles without a word of their own; the texts are in the names of what holds them."""


@dataclass(frozen=True)
class Heard:
    """One thing as a screen reader has it."""

    role: str
    name: str
    values: dict[str, Any]
    within: tuple[str, ...]
    """Roles of what it stands in, the outermost first."""


class Page:
    """One open page. Requests, console messages and errors are kept as they come."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._number = socket, 0
        self.requests: list[str] = []
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Network", "DOM", "Log", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        message = self._answer(method, parameters)
        assert "error" not in message, message
        return dict(message["result"])

    def _answer(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=_ANSWER_SECONDS_MAX))
            if message.get("id") == self._number:
                return dict(message)
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        name, values = message["method"], message["params"]
        if name == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
        elif name in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            self.complaints.append(json.dumps(values)[:500])

    def open(self, url: str) -> None:
        """Load a page."""
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def run(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript."""
        return self._value(self.call("Runtime.evaluate", **_asked(expression)))

    def wait(self, expression: str, seconds: float = 60) -> None:
        """Wait until an expression is true, on whichever page is there by then."""
        end = time.monotonic() + seconds
        while not self._is_true(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.02)

    def _is_true(self, expression: str) -> bool:
        message = self._answer("Runtime.evaluate", _asked(expression))
        if "error" in message:
            assert any(words in message["error"]["message"] for words in _MOVING), message
            return False
        return bool(self._value(message["result"]))

    @staticmethod
    def _value(done: dict[str, Any]) -> Any:
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def heard(self) -> list[Heard]:
        """Return what a screen reader is given, in its order: all that is not ignored in the accessibility tree."""
        nodes = {node["nodeId"]: node for node in self.call("Accessibility.getFullAXTree")["nodes"]}
        found: list[Heard] = []

        def walk(number: str, within: tuple[str, ...]) -> None:
            node = nodes[number]
            role = node.get("role", {}).get("value", "")
            values = {
                item["name"]: item["value"].get("value") for item in node.get("properties", ())
            }
            if not node["ignored"] and (role not in _SILENT or "live" in values):
                name = str(node.get("name", {}).get("value") or "").strip()
                found.append(Heard(role, name, values, within))
                within = (*within, role)
            for child in node.get("childIds", ()):
                if child in nodes:
                    walk(child, within)

        walk(next(number for number, node in nodes.items() if "parentId" not in node), ())
        return found

    def choose_file(self, selector: str, file: Path) -> None:
        """Put a file into an input, as a person does who chooses it."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def drop_file(self, file: Path, x: int, y: int) -> None:
        """Drag a file from outside over a place of the page and drop it there."""
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)


@contextmanager
def browser() -> Iterator[Page]:
    """Run Chromium with a fresh profile and yield its page."""
    program = find_chromium()
    assert program is not None
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [program, *_OPTIONS, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={
                **os.environ,
                "HOME": folder,
                "LC_ALL": "C.UTF-8",
            },  # else it saves below ASCII alone
            preexec_fn=end_with_parent(signal.SIGKILL),  # noqa: PLW1509
        )
        try:
            address = _address(process, Path(folder))
            with connect(
                address, max_size=None, open_timeout=_START_SECONDS_MAX, ping_interval=None
            ) as socket:
                yield Page(socket)
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _asked(expression: str) -> dict[str, Any]:
    return {"expression": expression, "returnByValue": True, "awaitPromise": True}


def _address(process: subprocess.Popen[bytes], profile: Path) -> str:
    """Return the address of the first page, from the file that Chromium writes when it is ready."""
    import urllib.request

    end, file = time.monotonic() + _START_SECONDS_MAX, profile / "DevToolsActivePort"
    while time.monotonic() < end:
        assert process.poll() is None, "Chromium ended at once"
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) == 2:
            with urllib.request.urlopen(f"http://127.0.0.1:{lines[0]}/json", timeout=60) as answer:
                pages = [item for item in json.load(answer) if item["type"] == "page"]
            if pages:
                return str(pages[0]["webSocketDebuggerUrl"])
        time.sleep(0.05)
    raise AssertionError("Chromium does not get ready")
