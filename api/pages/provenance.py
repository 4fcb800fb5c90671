"""The life of a credit as a picture: from the meters through files, readings and calculation to its retirement."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal
from urllib.parse import quote

from api.credits.schemas import CreditAnswer, CreditPart, HistoryAnswer, HistoryEntry
from api.pages.formats import credit_page, number
from api.pages.pictures import Node, Stage
from api.pages.words import Words
from ledger.reductions.manifest_shapes import Manifest1

SHOWN_MAX = 3
"""Boxes of a stage before the rest is one box."""


def stages_of(
    t: Words, credit: CreditAnswer, history: HistoryAnswer, stated: Manifest1 | None
) -> list[Stage]:
    """Return the stages that the books know; without a manifest they begin with the issuance."""
    stages = []
    if stated is not None:
        meters = [
            Node(
                f"meter-{place}",
                meter.device,
                (t("provenance.serial", serial=meter.serial), t(f"role.{meter.role.value}")),
                f"/sites/{quote(stated.site, safe='')}#meters",
            )
            for place, meter in enumerate(stated.meters)
        ]
        shown = _few(t, meters, f"/sites/{quote(stated.site, safe='')}")
        boxes = {
            meter.device: shown[min(place, len(shown) - 1)].key
            for place, meter in enumerate(stated.meters)
        }
        stages += [Stage(t("provenance.meters"), shown), *_before(t, history, stated, boxes)]
    issued = Node(
        "issued",
        t("unit.kg", value=number(credit.batch.issued_kg)),
        (
            t("provenance.block", block=number(credit.batch.block_number)),
            t("provenance.final") if credit.final else t("provenance.not_final"),
        ),
        "#transactions",
    )
    stages.append(Stage(t("provenance.issuance"), [issued]))
    runs = _runs(t, credit)
    stages.append(Stage(t("provenance.credits"), runs))
    retired = _retirements(t, credit, history, {run.key for run in runs})
    if retired:
        stages.append(Stage(t("provenance.retirement"), retired))
    return stages


def _before(
    t: Words, history: HistoryAnswer, stated: Manifest1, boxes: Mapping[str, str]
) -> list[Stage]:
    """Return the stages between meters and issuance; ``boxes`` has the box of each device."""
    files = [
        Node(
            f"file-{place}",
            entry.values["file"],
            (t("provenance.rows", count=number(entry.values["readings"])), entry.values["source"]),
            "#history",
            fed_by=_boxes_of(entry.values, boxes),
        )
        for place, entry in enumerate(_of_kind(history, "readings_imported"))
        if entry.values.get("late") != entry.values["readings"]  # all came after the issuance
    ]
    counts, energy = stated.readings, stated.energy
    left_out = counts.missing + counts.outlier
    readings = Node(
        "readings",
        t("provenance.used", count=number(counts.used)),
        (
            t("provenance.left_out", count=number(left_out)),
            t("provenance.conflicts", count=number(counts.conflict)),
        ),
        "#readings",
    )
    calculation = Node(
        "calculation",
        t("unit.kwh", value=number(Decimal(energy.net_kwh).to_integral_value(ROUND_FLOOR))),
        (
            t("provenance.factor", value=stated.factor.value, unit=stated.factor.unit),
            f"{stated.methodology.id} {stated.methodology.version}",
        ),
        "#manifest",
    )
    stages = [Stage(t("provenance.files"), _few(t, files, "#history"))] if files else []
    return [
        *stages,
        Stage(t("provenance.readings"), [readings]),
        Stage(t("provenance.calculation"), [calculation]),
    ]


def _boxes_of(values: Mapping[str, str], boxes: Mapping[str, str]) -> frozenset[str] | None:
    """Return the boxes of the devices that a file has readings of; None where it does not name them all."""
    if "more_devices" in values:
        return None
    named = f", {values['devices']}, "
    return frozenset(box for device, box in boxes.items() if f", {device}, " in named)


def _runs(t: Words, credit: CreditAnswer) -> list[Node]:
    """Return boxes of the credit that is shown, which may be none of the first runs, and of others of its batch."""
    mine = CreditPart(credit_id=credit.credit_id, amount_kg=credit.amount_kg, status=credit.status)
    others = [part for part in credit.batch.credits if part.credit_id != mine.credit_id]
    nodes = [
        Node(
            part.credit_id,
            t("unit.kg", value=number(part.amount_kg)),
            (
                t(f"status.{part.status.value}"),
                t("provenance.this") if part is mine else part.credit_id,
            ),
            credit_page(part.credit_id, credit.id if part is mine else None, credit.batch_id),
            "here" if part is mine else part.status.value,
        )
        for part in (mine, *others)
    ]
    href = f"/credits?batch_id={credit.batch_id}"
    return _few(t, nodes, href, credit.batch.credits_count)


def _retirements(
    t: Words, credit: CreditAnswer, history: HistoryAnswer, shown: set[str]
) -> list[Node]:
    """Return a box for the retirement of each run that is shown; a long history may lack that of the credit."""
    prefix = credit.credit_id.rsplit("-", 2)[0]
    found = {}
    for entry in _of_kind(history, "retired"):
        values = entry.values
        run = f"{prefix}-{values['first_serial']}-{values['last_serial']}"
        whose = _on_behalf(t, values["beneficiary"], values.get("replaced_batch_id"))
        found[run] = (values["retirement_id"], whose, values["amount_kg"])
    if credit.retirement is not None:
        whose = _on_behalf(t, credit.retirement.beneficiary, credit.retirement.replaced_batch_id)
        own = (str(credit.retirement_id), whose, str(credit.amount_kg))
        found.setdefault(credit.credit_id, own)
    return [
        Node(
            f"retirement-{run}",
            whose,
            (t("unit.kg", value=number(kg)), t("provenance.number", number=retirement_id)),
            f"/retirements/{retirement_id}",
            "retired",
            frozenset({run}),
        )
        for run, (retirement_id, whose, kg) in found.items()
        if run in shown
    ]


def _on_behalf(t: Words, beneficiary: str, replaced: object) -> str:
    """Return on whose behalf credits were retired, or which batch they stand in for."""
    if beneficiary or replaced is None:
        return beneficiary or t("retirement.nobody")
    return f"{t('retirement.replaces')} {replaced}"


def _of_kind(history: HistoryAnswer, kind: str) -> list[HistoryEntry]:
    return [entry for entry in history.items if entry.kind == kind]


def _few(t: Words, nodes: list[Node], href: str, count: int | None = None) -> list[Node]:
    """Return some boxes, and one for all the others; ``count``: how many there are, if more than are given."""
    if len(nodes) <= SHOWN_MAX + 1:
        return nodes
    rest = (len(nodes) if count is None else count) - SHOWN_MAX
    hidden = [node.fed_by for node in nodes[SHOWN_MAX:]]
    known = [keys for keys in hidden if keys is not None]
    more = Node(
        f"{nodes[0].key}-more",
        t("provenance.more", count=number(rest)),
        (),
        href,
        "more",
        frozenset().union(*known) if len(known) == len(hidden) else None,
    )
    return [*nodes[:SHOWN_MAX], more]
