"""``truetonne db keys``: the keys that mail addresses, profiles and secrets (webhooks, settings) are sealed with."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import DryRun, Invocation, command, command_group
from cli.output import Table
from cli.sealed import keys_in_use, seal_everything
from ledger.errors import ProblemFound
from ledger.units import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ledger.sealing import Lost

_LOST_SHOWN = 20
"""How many of the values that no key opens have a line of their own."""
_ANEW = {
    ("users", "email"): "give it anew: `truetonne users email`",
    ("users", "profile"): "let it be made anew: `truetonne users profile`",
    ("webhook_endpoints", "secret_sealed"): "make it anew: `truetonne webhooks rotate`",
    ("webhook_endpoints", "former_sealed"): "leave it: it goes when its day is over",
    ("system_config", "config_value"): "set it anew: `truetonne config set`",
}
"""What to do about each value whose key is lost for good."""


def register(parent: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Keep the keys that what is sealed in the database is sealed with.")
    command(group, "status")(status)
    command(group, "add")(add)
    command(group, "reseal")(reseal)
    command(group, "remove")(remove)
    parent.add_typer(group, name="keys")


def status(run: Invocation) -> int:
    """Say which key seals how much; exit 1 when something is not sealed with the newest key yet."""
    from ledger.sealing import load_sealer

    path = run.settings.sealing_key_file
    with run.books() as db, db.read() as session:
        used = keys_in_use(session)
    if not path.exists() and not any(used.values()):
        return _say_status(run, {}, None, used)
    sealer = load_sealer(path)
    return _say_status(run, sealer.keys, sealer.newest, used)


def add(run: Invocation, dry_run: DryRun = False) -> None:
    """Add a key to the key file: it seals from now on. Copy the file to every machine, then run reseal."""
    from ledger.sealing import add_key, load_sealer

    path, used = run.settings.sealing_key_file, _greatest_in_use(run)
    if dry_run:
        number = max(load_sealer(path).newest if path.exists() else 0, used) + 1
    else:
        if path.exists():
            load_sealer(path, make=True)
        number = add_key(path, used)
    said = f"{'would add' if dry_run else 'added'} key {number} to {path}"
    run.output.result({"file": str(path), "key": number, "dry_run": dry_run}, said)


def _greatest_in_use(run: Invocation) -> int:
    """Return the greatest number of a key that something is sealed with; 0 where nothing is, or no database."""
    from cli.books import to_begin

    if to_begin(run.settings):
        return 0
    with run.books() as db, db.read() as session:
        used = keys_in_use(session)
    return max((number or 0 for each in used.values() for number in each), default=0)


def reseal(run: Invocation, dry_run: DryRun = False) -> int:
    """Seal everything with the newest key; what is plain too. Can be stopped, and run again, at any time."""
    with run.books() as db:
        done = seal_everything(db, run.settings.sealing_key_file, keep=not dry_run)
    verb = "would be sealed" if dry_run else "sealed"
    said = f"{counted(sum(done.sealed.values()), 'value')} {verb} with key {done.key}"
    document = {
        "key": done.key,
        "sealed": done.sealed,
        "lost": [asdict(item) for item in done.lost],
        "dry_run": dry_run,
    }
    run.output.result(document, said, *lost_lines(done.lost))
    return ProblemFound.exit_code if done.lost else 0


def lost_lines(lost: Sequence[Lost]) -> list[str]:
    """Return what a person is to know of values that no key opens; nothing where there are none."""
    if not lost:
        return []
    shown = [
        f"{item.table} {item.row} ({item.name}), {item.value}: {item.why}; or {_ANEW[item.table, item.value]}"
        for item in lost[:_LOST_SHOWN]
    ]
    if len(lost) > _LOST_SHOWN:
        shown.append(
            f"and {len(lost) - _LOST_SHOWN} more: `truetonne db keys reseal --json` names all"
        )
    stays = "stays" if len(lost) == 1 else "stay"
    return [f"{counted(len(lost), 'value')} {stays} as before, for no key opens that:", *shown]


def remove(
    run: Invocation,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="Number of the key.")],
    dry_run: DryRun = False,
) -> None:
    """Take a key out of the key file that nothing is sealed with any more; backups may still need a copy of it."""
    from ledger.errors import BadInput, Refused
    from ledger.sealing import load_sealer, remove_key

    path = run.settings.sealing_key_file
    sealer = load_sealer(path)
    if number not in sealer.keys:
        known = ", ".join(map(str, sorted(sealer.keys)))
        raise BadInput(f"sealing key file {path}: has no key {number}; it has {known}")
    with run.books() as db, db.read() as session:
        count = sum(used[number] for used in keys_in_use(session).values())
    if count or number == sealer.newest:
        sealed = counted(count, "value is", "values are")
        why = f"{sealed} sealed with it" if count else "it is the one that seals"
        mend = (
            "run `truetonne db keys reseal`" if number != sealer.newest else "add another one first"
        )
        raise Refused(f"key {number} stays: {why}; {mend}", code="sealing-key-used")
    if not dry_run:
        remove_key(path, number)
    said = f"{'would take' if dry_run else 'took'} key {number} out of {path}"
    run.output.result({"file": str(path), "key": number, "dry_run": dry_run}, said)


def _say_status(
    run: Invocation,
    keys: Mapping[int, bytes],
    newest: int | None,
    used: Mapping[str, Counter[int | None]],
) -> int:
    total = sum(used.values(), Counter[int | None]())
    known = sorted({*keys, *(number for each in used.values() for number in each if number)})
    numbers: list[int | None] = [*known, *([None] if total[None] else [])]
    rows: list[dict[str, Any]] = [
        {
            "key": number,
            "seals": number is not None and number == newest,
            "in_file": number in keys,
            "values": {name: each[number] for name, each in used.items()},
        }
        for number in numbers
    ]
    gone = {number: total[number] for number in known if number not in keys}
    lost = sum(gone.values())
    left = sum(total[number] for number in numbers if number != newest and number not in gone)
    shown = [
        (
            "plain" if row["key"] is None else row["key"],
            "seals" if row["seals"] else "opens" if row["in_file"] else "MISSING",
            *row["values"].values(),
        )
        for row in rows
    ]
    said = [f"{counted(len(keys), 'key')} in {run.settings.sealing_key_file}"]
    said += [
        f"{counted(count, 'value')} sealed with key {number}, which the file lacks: nothing opens them but its line, "
        f"`{number}:...`, put back from a copy of an older key file"
        for number, count in gone.items()
    ]
    if left:
        first = " then" if gone else ""
        said.append(f"{counted(left, 'value')} to seal anew:{first} run `truetonne db keys reseal`")
    document = {
        "file": str(run.settings.sealing_key_file),
        "keys": rows,
        "left": left,
        "lost": lost,
    }
    run.output.result(document, Table(("key", "it", *used), shown), "; ".join(said))
    return 1 if left or lost else 0
