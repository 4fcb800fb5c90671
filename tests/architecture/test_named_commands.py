"""Every command that a page or a message names is there, and takes the options that are named with it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.main import build

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "contracts/SPEC.md"]
ROOMS = ("api", "cli", "indexer", "ledger")
OF_DEV = set(re.findall(r"^  ([a-z]+) ", (ROOT / "dev").read_text().split("\nEND\n")[0], re.M))
"""What ``./dev`` does itself; all else it hands to the product's own command line."""
OF_ALL = ("--json", "--config", "--traceback")
PROGRAMS = r"(?:truetonne|\./dev)"
SPANS = re.compile(rf"`{PROGRAMS} ([^`]*)`")


def of_page(text: str) -> Iterator[str]:
    """Yield what a page names: in a line of prose, and in each line of a block of shell or of a session."""
    for language, block in re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.M | re.S):
        if language in ("", "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                for part in re.split(r" \| | && |; ", re.sub(r"\s#\s.*", "", line)):
                    yield from re.findall(rf"^(?:\$ )?(?:[A-Z_]+=\S+ +)*{PROGRAMS} (.*)$", part)
    yield from SPANS.findall(re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S))


def of_source(text: str) -> Iterator[str]:
    """Yield what messages name between backticks; a value stands there as a word."""
    whole = re.sub(r'"\s*\n\s*f?"', "", text)
    for found in SPANS.findall(re.sub(r"\{[^{}\n]*\}", "VALUE", whole)):
        yield found.replace('\\"', '"')


def wrong_with(root: Any, text: str) -> str:
    """Return what is wrong with a command as it is named, if anything; of several in one (``|``) the first counts."""
    words = shlex.split(re.split(r" \\?\| | \.\.\.", f" {text} ")[0])
    if not words or words[0] in OF_DEV or words[0].isupper():
        return ""
    command, context = root, typer.Context(root)
    while words and (words[0] in OF_ALL or words[0] in getattr(command, "commands", {})):
        word = words.pop(0)
        if word == "--config":
            words.pop(0)
        elif word not in OF_ALL:
            command = command.commands[word]
            context = typer.Context(command, parent=context)
    if hasattr(command, "commands") and not (words and command.invoke_without_command):
        return f"no such command: {text}" if words and words[0] != "--help" else ""
    try:
        _, left, _ = command.make_parser(context).parse_args(words)
    except Exception as error:  # typer's own errors, which it does not name outside of itself
        said = str(error)
        # An option alone is of a sentence that says what follows.
        return "" if said.endswith("requires an argument.") else f"{said}: {text}"
    return f"takes no {left[0]!r}: {text}" if left else ""


@pytest.fixture(scope="module")
def root() -> Any:
    return typer.main.get_command(build())


@pytest.mark.parametrize(
    ("places", "named", "least"),
    [
        (PAGES, of_page, 450),
        ([file for room in ROOMS for file in (ROOT / room).rglob("*.py")], of_source, 190),
    ],
    ids=["pages", "messages"],
)
def test_every_command_that_is_named_is_there(
    root: Any, places: list[Path], named: Any, least: int
) -> None:
    found = [
        (str(place.relative_to(ROOT)), command)
        for place in sorted(places)
        for command in named(place.read_text(encoding="utf-8"))
    ]
    assert len(found) > least
    wrong = [(place, said) for place, command in found if (said := wrong_with(root, command))]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Run `truetonne db upgrad`.", "no such command: db upgrad"),
        ("`./dev credits list --al`", "No such option: --al: credits list --al"),
        ("```sh\nA=b truetonne status now  # so\n```\n", "takes no 'now': status now"),
        ("```\n$ truetonne jobs run \\\n    --leas 3 | cat\n```\n", "No such option: --leas"),
        (
            "`./dev credits list | show`, `./dev test --long`, `truetonne db restore --into PLACE`",
            "",
        ),
    ],
)
def test_the_check_itself_finds_what_is_not_there(root: Any, text: str, said: str) -> None:
    wrong = "; ".join(filter(None, (wrong_with(root, command) for command in of_page(text))))
    assert wrong.startswith(said) and bool(wrong) == bool(said)
