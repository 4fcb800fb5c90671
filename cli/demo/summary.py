"""The end of the demonstration: one document for a machine, some tables for a person."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from cli.demo.story import Story
from cli.output import Table
from ledger.units import tonnes_of_kg

DISCLAIMER = (
    "The factor 0.4329 t/MWh is the published combined margin of CDM ASB0038-2018 (Armenia). It is here as an example "
    "of arithmetic: no claim about these plants is made, and these are credits of no program."
)
_STEPS = ("deploy", "import", "register", "issue", "trade", "retire", "reconcile", "prove", "total")


def document(story: Story) -> dict[str, Any]:
    """Return everything as ``--json`` prints it."""
    return {
        "ok": story.books_agree,
        "note": DISCLAIMER,
        "imports": story.imports,
        "excluded": story.excluded,
        "credits": story.credits,
        "totals": _totals(story),
        "trades": story.trades,
        "settlement": story.settlement,
        "retirement": story.retirement,
        "reconciliation": story.reconciliation,
        "proof": story.proof,
        "seconds": {name: str(story.seconds.get(name, "")) for name in _STEPS},
    }


def shown(story: Story) -> list[str | Table]:
    """Return what a person sees."""
    settlement, retirement = story.settlement, story.retirement
    rules = story.reconciliation["rules"]
    broken = [rule["name"] for rule in rules if not rule["ok"]]
    verdict = (
        f"Books and chain agree: {len(rules)} rules hold at block {story.reconciliation['block']}."
        if story.books_agree
        else f"Books and chain DIFFER: {', '.join(broken) or 'something is not settled'}."
    )
    balances = ", ".join(f"{name} {amount}" for name, amount in settlement["balances"].items())
    return [
        _imports(story),
        "",
        _excluded(story),
        "",
        _credits(story),
        "",
        _years(story),
        "",
        f"Trades   {settlement['trades_executed']} hourly sales, {settlement['energy_kwh']} kWh, settled in "
        f"{settlement['batches']} batches; {settlement['money_moved']} {settlement['currency']} "
        f"(a test currency) moved. Escrow now: {balances}.",
        f"Retired  {retirement['amount_kg']} kg, serials {retirement['serials']}, retirement "
        f"{retirement['retirement_id']}, on behalf of {retirement['beneficiary']}",
        f"         in transaction {retirement['transaction']}",
        verdict,
        f"Proof    {story.proof['file']}: {len(story.proof['checks'])} checks hold, {story.proof['readings']} readings "
        "among them, from one block hash, without node or database.",
        "",
        DISCLAIMER,
        "",
        f"Took {story.seconds['total']} s. Look next:",
        *_look_next(story),
    ]


def _look_next(story: Story) -> list[str]:
    """Return the commands to try next, each beside what it shows; the long one of the proof has a line of its own."""
    commands = {
        "credits list": "every credit, by serial",
        f"credits show {story.retirement['serials']}": "the retired credit, and its batch",
        "readings show --site lhb --at 2014-03-30T03:10": "a time with two values, and which of them counts",
        "readings quality --site lhb -o quality.svg": "what became of every slot, as a picture",
        "reductions --project lhb-wind --from 2014-03-01 --to 2014-04-01": "a month, recomputed",
        "reconcile": "books and chain compared, rule by rule",
        f"certificate {story.retirement['retirement_id']} -o certificate.pdf": "the certificate of the retirement",
        "up": "node, mirror, jobs, API and pages on this data",
    }
    width = max(map(len, commands))
    return [
        *(f"  ./dev {command:<{width}}  {what}" for command, what in commands.items()),
        f"  ./dev {story.proof['command']}",
        "    the proof, offline: on any machine, years from now",
    ]


def _totals(story: Story) -> dict[str, dict[str, str]]:
    """Return issued tonnes by project and vintage."""
    totals: dict[str, dict[str, int]] = {}
    for item in story.credits:
        years = totals.setdefault(item["project"], {})
        vintage = str(item["vintage"])
        years[vintage] = years.get(vintage, 0) + int(item["issued_kg"])
    return {
        project: {vintage: str(tonnes_of_kg(kg)) for vintage, kg in years.items()}
        for project, years in totals.items()
    }


def _imports(story: Story) -> Table:
    counts = ("read", "new", "unchanged", "conflicts", "rejected")
    figures = {**{name: name for name in counts}, "s": "seconds"}
    return Table.of(story.imports, {"file": "file", **figures}, title="Meter files", right=figures)


def _excluded(story: Story) -> Table:
    return Table.of(
        story.excluded,
        {
            **{name: name for name in ("site", "device", "quality", "readings")},
            "first line": "first_line",
            "not claimed kWh": "not_claimed_kwh",
            "why it does not count": "reason",
        },
        title="Excluded readings (they stand in the evidence all the same)",
        right=frozenset({"readings", "first line", "not claimed kWh"}),
    )


def _credits(story: Story) -> Table:
    return Table.of(
        story.credits,
        {
            "period": lambda item: f"{item['period']['from']} to {item['period']['to']}",
            "used": lambda item: item["readings"]["used"],
            "missing": lambda item: item["readings"]["missing"],
            "conflict": lambda item: item["readings"]["conflict"],
            "net kWh": "net_kwh",
            "issued kg": "issued_kg",
            "serials": "serials",
            "transaction": lambda item: f"{item['transaction'][:10]}...",
        },
        title="Readings to credits",
        right=frozenset({"used", "missing", "conflict", "net kWh", "issued kg"}),
    )


def _years(story: Story) -> Table:
    return Table(
        ("project", "vintage", "issued t CO2e"),
        [
            (project, vintage, Decimal(tonnes))
            for project, years in _totals(story).items()
            for vintage, tonnes in years.items()
        ],
        title="Totals",
        right=frozenset({"vintage", "issued t CO2e"}),
    )
