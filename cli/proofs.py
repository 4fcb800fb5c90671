"""``truetonne credits bundle`` and ``truetonne verify``: one file, and what it proves offline."""

from __future__ import annotations

import json
import re
import resource
import shlex
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import Invocation, command
from cli.credit_options import Credit
from cli.files import write_whole
from cli.output import printable
from ledger.errors import BadInput
from ledger.files import read_at_most

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.proofs.verifier import Trusted

_BYTES_MAX = 256 * 1024 * 1024
"""Beyond this a file is no bundle: ten years of one meter are 40 MB."""
_MEMORY_FACTOR = 24
_MEMORY_MORE = 128 * 1024 * 1024
"""A bundle that is checked takes some twelve times its size in memory, and a file that is made for it much more,
such as one of empty lists. It gets no more than so many times its size, and so many bytes."""
_FORMATS = "truetonne-bundle/"
_NO_BUNDLE = f"format: this is no bundle: JSON, but none that names a format such as {_FORMATS}2"
_WRITTEN_BY = "name the file that `truetonne credits bundle` wrote"


def _readings(text: str | int) -> int:
    if isinstance(text, int):  # the default passes through here too
        return text
    if text == "all":
        return -1
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise typer.BadParameter(f"{text!r} is neither a number of readings nor `all`")
    return int(text)


Readings = Annotated[
    int,
    typer.Option(
        "--readings",
        metavar="N|all",
        parser=_readings,
        help="How many readings come with it, each with its proof, or all of them.",
    ),
]


def _hexadecimal(length: int) -> Any:
    def parse(text: str) -> bytes:
        if not re.fullmatch(rf"0x[0-9a-fA-F]{{{2 * length}}}", text, re.ASCII):
            raise typer.BadParameter(f"write 0x and {2 * length} hexadecimal digits, not {text!r}")
        return bytes.fromhex(text[2:])

    return parse


def register(group: typer.Typer, root: typer.Typer) -> None:
    """Add ``credits bundle`` to its group, and ``verify`` to the root."""
    command(group, "bundle")(bundle)
    command(root, "verify")(verify)


def bundle(
    run: Invocation,
    credit: Credit,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The bundle.")],
    readings: Readings = 0,
    block: Annotated[
        str | None,
        typer.Option(
            "--block",
            metavar="NUMBER",
            help="The block to prove against; by default the last final one.",
        ),
    ] = None,
) -> None:
    """Write one file that proves a credit to an auditor who trusts a block hash."""
    from api.finality import chain_view
    from ledger.bundles import build_bundle

    number = _block(block)
    with run.flow() as flow:
        flow.mirror_final()
        with flow.db.read() as session:
            view = chain_view(session, run.settings.network, run.settings.finality)
            built = build_bundle(
                flow.chain.client,
                flow.chain.deployment,
                session,
                credit,
                number if number is not None else view.final_block or 0,
                readings,
            )
    data = f"{built.text}\n".encode()
    write_whole(output, data)
    trusted = _trusted(built.trusted)
    document = {
        "file": str(output),
        "bytes": len(data),
        "trusted": trusted,
        "checks": [{"name": name, "ok": True, "text": text} for name, text in built.checks],
    }
    run.output.result(
        document,
        f"{output}: {document['bytes']} bytes, {len(built.checks)} checks hold. Verify it, offline:",
        f"  truetonne {command_line(output, built.trusted)}",
    )


def verify(
    run: Invocation,
    file: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle, JSON.")],
    block_hash: Annotated[
        bytes,
        typer.Option(
            "--block-hash", metavar="0x..", parser=_hexadecimal(32), help="A block that you trust."
        ),
    ],
    address: Annotated[
        bytes,
        typer.Option(
            "--address", metavar="0x..", parser=_hexadecimal(20), help="The credit contract."
        ),
    ],
    code_hash: Annotated[
        bytes,
        typer.Option(
            "--code-hash", metavar="0x..", parser=_hexadecimal(32), help="Hash of its code."
        ),
    ],
    chain_id: Annotated[
        int, typer.Option("--chain-id", metavar="N", min=1, help="Number of the chain.")
    ],
) -> int:
    """Check a bundle with four values that you trust: no node, no database, no network."""
    from ledger.proofs.sums import NAME, NOT_PROVEN, recompute
    from ledger.proofs.verifier import ProofError, Trusted
    from ledger.proofs.verifier import verify as check

    text = _text(file)
    called = printable(str(file))  # who sent the file chose its name, too
    held: list[tuple[str, str]] = []
    failed: list[tuple[str, str]] = []
    try:
        with _bounded_memory(len(text)):
            verdict = check(text, Trusted(block_hash, address, code_hash, chain_id))
        held, facts = verdict.checks, _plain(verdict.facts)
        not_proven = list(verdict.not_proven)
        before = verdict.facts["issued"]["backfill_before"]
        summed = recompute(text, backfill=before > 0)
        if summed is not None:
            held.append((NAME, summed))
            not_proven.remove(NOT_PROVEN)
    except MemoryError as error:
        raise BadInput(
            f"{file}: reading it takes more memory than there is, or than a bundle of this size does: so it is none",
            code="file-unreadable",
        ) from error
    except ProofError as error:
        held, facts, not_proven = list(error.done) or held, {}, []
        failed = [(error.check, str(error))]
    # Not before the error is gone, which holds all that was read.
    if failed and failed[0][0] == "format" and not _claims_to_be_one(text):
        failed = [("format", _NO_BUNDLE)]
    run.output.result(
        {
            "valid": not failed,
            "checks": [
                {"name": name, "ok": ok, "text": text}
                for ok, rows in ((True, held), (False, failed))
                for name, text in rows
            ],
            "facts": facts,
            "not_proven": not_proven,
        },
        *(f"ok       {text}" for _, text in held),
        *(f"FAILED   {text}" for _, text in failed),
        *([] if failed else ["", f"{called}: valid. It does not prove"]),
        *(f"  - {text}" for text in not_proven),
        *([f"{called}: not valid"] if failed else []),
    )
    return 1 if failed else 0


def command_line(file: Path, trusted: Trusted) -> str:
    """Return the command that verifies a bundle, without the program's name."""
    options = (f"--{name.replace('_', '-')} {value}" for name, value in _trusted(trusted).items())
    return " ".join((f"verify {shlex.quote(str(file))}", *options))


def _claims_to_be_one(text: str) -> bool:
    """Return whether a text may be a bundle of some version, or is cut so that nobody can tell."""
    try:
        with _bounded_memory(len(text)):
            found = json.loads(text)
    except (ValueError, RecursionError, MemoryError):
        return True
    stated = found.get("format") if isinstance(found, dict) else None
    return isinstance(stated, str) and stated.startswith(_FORMATS)


@contextmanager
def _bounded_memory(size: int) -> Iterator[None]:
    """Let a file of so many characters take the memory that a bundle would: beyond it is a MemoryError.

    Where the system does not say how much is taken, nothing is bounded.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        yield
        return
    most = pages * resource.getpagesize() + _MEMORY_FACTOR * size + _MEMORY_MORE
    if soft not in (-1, resource.RLIM_INFINITY):
        most = min(most, soft)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _text(file: Path) -> str:
    try:
        data = read_at_most(file, _BYTES_MAX)
        if data is None:
            raise BadInput(f"{file}: larger than any bundle; {_WRITTEN_BY}", code="file-unreadable")
        return data.decode("utf-8")
    except OSError as error:
        raise BadInput(
            f"{file}: cannot be read ({error.strerror}); name an existing file",
            code="file-unreadable",
        ) from error
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{file}: not UTF-8 text, so no bundle; {_WRITTEN_BY}", code="file-unreadable"
        ) from error


def _plain(value: Any, *path: str) -> Any:
    """Return facts as JSON has them here: bytes as hexadecimal, and text for what may pass 2^53."""
    if isinstance(value, dict):
        return {name: _plain(item, *path, name) for name, item in value.items()}
    if isinstance(value, bytes):
        return "0x" + value.hex()
    of_event = path[0] in ("issued", "retired") and path[-1] != "block"
    return str(value) if of_event or path[-1].endswith(("_kg", "id")) else value


def _block(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        raise BadInput(f"--block {text!r}: write the number of a block")
    return int(text)


def _trusted(trusted: Trusted) -> dict[str, Any]:
    return {
        "block_hash": "0x" + trusted.block_hash.hex(),
        "address": "0x" + trusted.address.hex(),
        "code_hash": "0x" + trusted.code_hash.hex(),
        "chain_id": trusted.chain_id,
    }
