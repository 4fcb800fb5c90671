"""The last step of the demonstration: one file that proves the retired credit, checked offline."""

from __future__ import annotations

import time

from cli.command import Invocation
from cli.demo.story import Story
from cli.flow import Flow
from cli.proofs import command_line
from ledger.bundles import ALL, build_bundle
from ledger.proofs.sums import NAME, recompute
from ledger.proofs.verifier import verify

FILE = "proof.json"


def prove(run: Invocation, flow: Flow, story: Story) -> None:
    """Bundle the retired credit with every reading behind it, and verify the file as an auditor does."""
    run.output.step("proving the retired credit")
    path = flow.settings.home / FILE
    with flow.db.read() as session:
        built = build_bundle(
            flow.chain.client,
            flow.chain.deployment,
            session,
            story.retirement["serials"],
            "latest",
            ALL,
        )
    path.write_text(built.text + "\n", encoding="utf-8")
    begun = time.monotonic()
    text = path.read_text(encoding="utf-8")
    verdict = verify(text, built.trusted)
    verdict.checks.append((NAME, recompute(text) or ""))
    story.proof = {
        "file": str(path),
        "bytes": path.stat().st_size,
        "readings": verdict.facts["readings"],
        "seconds": str(round(time.monotonic() - begun, 3)),
        "checks": [{"name": name, "ok": True, "text": text} for name, text in verdict.checks],
        "command": command_line(path, built.trusted),
    }
