"""The API as a process: it says where it listens, answers, and ends when it is told to."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import urllib.request
from urllib.error import HTTPError

import pytest

from ledger.chain.local.anvil import KeptPort
from tests.cli.conftest import Program
from tests.support.forms import long, rest


@pytest.mark.parametrize("told", rest([signal.SIGINT, signal.SIGTERM], signal.SIGTERM))
def test_serve_answers_until_it_is_told_to_end(park: Program, told: signal.Signals) -> None:
    kept = KeptPort()
    port = kept.number
    process = subprocess.Popen(
        park.command("serve", "--json"),
        cwd=park.folder,
        env=park.with_settings({"api_port": str(port)}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = ""
        while not said.endswith("}\n"):
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            said += line
        url = json.loads(said)["listening"]
        assert url == f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(f"{url}/livez", timeout=60) as answer:
            assert json.load(answer) == {"status": "alive"}
            assert "server" not in {name.lower() for name in answer.headers}
        with urllib.request.urlopen(f"{url}/v1/credits", timeout=60) as answer:
            assert json.load(answer)["items"] == []
        with pytest.raises(HTTPError) as refused:
            urllib.request.urlopen(f"{url}/readyz", timeout=60)
        assert refused.value.code == 503
        assert json.load(refused.value)["code"] == "node-down"
    finally:
        process.send_signal(told)
        out, err = process.communicate(timeout=60)
    kept.close()
    assert out == ""
    assert "Traceback" not in err
    assert process.returncode == 0


@long
def test_it_ends_as_asked_while_it_waits_for_its_database(truetonne: Program) -> None:
    """It looks at the tables before it serves: whoever ended it meanwhile killed it."""
    kept = KeptPort()
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"mysql+pymysql://a:b@127.0.0.1:{server.getsockname()[1]}/c"
        process = subprocess.Popen(
            truetonne.command("serve"),
            cwd=truetonne.folder,
            env=truetonne.with_settings({"database_url": place, "api_port": str(kept.number)}),
            stdout=subprocess.DEVNULL,
        )
        try:
            server.settimeout(60)
            with server.accept()[0]:
                process.send_signal(signal.SIGTERM)
        except BaseException:
            process.kill()
            raise
    assert process.wait(timeout=60) == 0
    kept.close()
