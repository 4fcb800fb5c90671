"""What ``./dev ha`` asks for, and where its figures go."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.bench.mariadb import ServerUnavailable
from tests.support.galera import Cluster, running_cluster, unavailable

FIGURES = Path(__file__).resolve().parents[2] / "build" / "ha"


@pytest.fixture(scope="session")
def rounds() -> int:
    """How often something befalls a server."""
    return int(os.environ.get("HA_ROUNDS", "1"))


@pytest.fixture(scope="session")
def seed() -> int:
    """What the rounds are drawn from."""
    return int(os.environ.get("HA_SEED", "1"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three nodes and the endpoint."""
    with tempfile.TemporaryDirectory(prefix="galera-") as folder:
        try:
            with running_cluster(Path(folder)) as made:
                yield made
        except ServerUnavailable as reason:
            unavailable(reason)


@pytest.fixture
def figures() -> Callable[[str, Any], None]:
    """Return a function that keeps figures under a name, for the command's own report."""

    def keep(name: str, found: Any) -> None:
        FIGURES.mkdir(parents=True, exist_ok=True)
        (FIGURES / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")

    return keep
