"""Figures for Prometheus, read by a reader of the format written here from its description."""

from __future__ import annotations

import re
import time

from fastapi.testclient import TestClient

SAMPLE = re.compile(r'([a-z_][a-z0-9_]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')


def read(text: str) -> dict[tuple[str, str], float]:
    """Return the samples by name and labels; every line must be of the format."""
    assert text.endswith("\n")
    samples, kinds = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds and kind in ("gauge", "counter", "histogram")
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            found = SAMPLE.fullmatch(line)
            assert found is not None, line
            name, labels, value = found.groups()
            assert re.sub("_(bucket|sum|count)$", "", name) in kinds or name in kinds
            assert (name, labels or "") not in samples
            samples[name, labels or ""] = float(value)
    return samples


def test_figures(client: TestClient) -> None:
    before = read(client.get("/metrics").text)
    assert before["truetonne_mirror_block", 'network="local"'] == 98
    assert before["truetonne_final_block", 'network="local"'] == 90
    moved_s = before["truetonne_mirror_updated_timestamp_seconds", 'network="local"']
    assert 0 < moved_s <= time.time()
    counted = client.get("/v1/status").json()["alarms"]
    assert before["truetonne_alarms", 'network="local"'] == counted == 0
    client.get("/v1/credits")
    client.get("/v1/nothing")
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    after = read(answer.text)

    def grown(name: str, labels: str = "") -> float:
        return after[name, labels] - before.get((name, labels), 0)

    assert grown("truetonne_http_answers_total", 'status="404"') == 1
    assert grown("truetonne_http_answers_total", 'status="200"') == 3  # with the figures before
    assert grown("truetonne_http_answer_seconds_count") == 4
    assert grown("truetonne_http_answer_seconds_bucket", 'le="+Inf"') == 4
    assert grown("truetonne_http_answer_seconds_sum") > 0
    bounds = [value for (name, _), value in after.items() if name.endswith("_bucket")]
    assert bounds == sorted(bounds)
