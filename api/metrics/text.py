"""The text format of Prometheus, version 0.0.4: a help line, a type line, and samples with labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.finality import ChainView
from api.metrics.counting import BOUNDS_S, Answers
from api.status.queries import alarms, verification
from ledger.jobs import overview as working
from ledger.models.jobs import RunOutcome
from ledger.models.mirror import ChainCursor

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = Mapping[str, str]
Sample = tuple[str, Labels, int | float]


def metrics_text(
    session: Session,
    view: ChainView,
    answers: Answers,
    kept: Mapping[str, int],
    version: str,
    *,
    beside: int = 0,
) -> str:
    """Return all figures: the mirror, the last comparison, the jobs, and the answers of this process.

    Parameters
    ----------
    kept
        How many answers came from where in the cache.
    beside
        Alarms that do not come from the books: of backups.
    """
    name = "truetonne_"
    lines = _family(name + "build_info", "gauge", "Version.", [("", {"version": version}, 1)])
    network = {"network": view.network}
    moved = session.scalar(
        select(ChainCursor.updated_at).where(ChainCursor.network == view.network)
    )
    compared, held = view.reconciliation, verification(session, view.network)
    for suffix, value, what in (
        ("mirror_block", view.as_of_block, "Last block that the mirror has read."),
        ("final_block", view.final_block, "Last final block."),
        (
            "mirror_updated_timestamp_seconds",
            None if moved is None else moved.timestamp(),
            "When the mirror last moved.",
        ),
        ("reconciled_block", None if compared is None else compared.block, "Block compared last."),
        (
            "reconciled_ok",
            None if compared is None else int(compared.ok),
            "1 when books and chain agreed at the last comparison.",
        ),
        (
            "reconciled_timestamp_seconds",
            None if compared is None else compared.at.timestamp(),
            "When books and chain were last compared.",
        ),
        (
            "verified_block",
            None if held is None else held.block,
            "Final block to which the mirror is as the chain says, from its first one on.",
        ),
        (
            "verified_ok",
            None if held is None else int(not held.differences),
            "1 when the mirror was as the chain says, the last time it was held against it.",
        ),
        (
            "verified_timestamp_seconds",
            None if held is None else held.at.timestamp(),
            "When the mirror was last held against the chain.",
        ),
    ):
        known: list[Sample] = [] if value is None else [("", network, value)]
        lines += _family(name + suffix, "gauge", what, known)
    lines += _jobs(session, name)
    wrong = len(alarms(session, view.network)) + beside
    what = "Things that a person should look at: `truetonne status` names them."
    lines += _family(name + "alarms", "gauge", what, [("", network, wrong)])
    lines += _family(
        name + "cache_answers_total",
        "counter",
        "Answers that may be kept: from this process, from Redis, or made.",
        [("", {"from": place}, count) for place, count in sorted(kept.items())],
    )
    return "\n".join([*lines, *_answers(answers, name)]) + "\n"


def park_text(open_alerts: Iterable[tuple[tuple[str, str], int]]) -> str:
    """Return the figures of a park, which are not everybody's.

    Parameters
    ----------
    open_alerts
        How many there are, by severity and state.
    """
    samples = [
        ("", {"severity": str(severity), "state": str(state)}, count)
        for (severity, state), count in open_alerts
    ]
    what = "Alerts about devices that are not resolved."
    return "\n".join(_family("truetonne_device_alerts", "gauge", what, samples)) + "\n"


def _jobs(session: Session, name: str) -> Iterable[str]:
    due: list[Sample] = []
    ended: list[Sample] = []
    failed: list[Sample] = []
    for view in working.views(session):
        label = {"job": view.row.name}
        due.append(("", label, view.row.due_at.timestamp()))
        if view.last is not None:
            ended.append(("", label, view.last.ended_at.timestamp()))
            failed.append(("", label, int(view.last.outcome is RunOutcome.FAILED)))
    yield from _family(name + "job_due_timestamp_seconds", "gauge", "When it is due.", due)
    yield from _family(
        name + "job_ended_timestamp_seconds", "gauge", "When its last run ended.", ended
    )
    yield from _family(name + "job_failed", "gauge", "1 when its last run failed.", failed)


def _answers(answers: Answers, name: str) -> Iterable[str]:
    statuses: list[Sample] = [
        ("", {"status": str(status)}, count) for status, count in sorted(answers.by_status.items())
    ]
    yield from _family(
        name + "http_answers_total", "counter", "Answers of this process, by status.", statuses
    )
    upto = list(accumulate(answers.by_bound))
    bounds = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]
    buckets: list[Sample] = [
        ("_bucket", {"le": bound}, count) for bound, count in zip(bounds, upto, strict=True)
    ]
    sums: list[Sample] = [("_sum", {}, answers.seconds), ("_count", {}, upto[-1])]
    yield from _family(
        name + "http_answer_seconds", "histogram", "Time that answers took.", buckets + sums
    )


def _family(name: str, kind: str, what: str, samples: Iterable[Sample]) -> list[str]:
    lines = [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]
    for suffix, labels, value in samples:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{suffix}{'{' + inside + '}' if inside else ''} {value!r}")
    return lines


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
