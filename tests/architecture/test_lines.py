"""Every command line that a page or a message gives is one that the program takes: its words and its options."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.main import build

HOUSE = Path(__file__).resolve().parents[2]
SHARED = {"--json", "--config", "--help", "--traceback", "--version"}
CALL = re.compile(r"(?:[A-Z_]+=\S* +)*(truetonne|\./dev) +(.+)")
END_OF_CALL = re.compile(r"\s#|\s?;|&&|\s\|\s|\s\d?>|<|\)")
PLACEHOLDERS = {"ARGUMENTS", "COMMAND", "..."}


def commands_of_dev() -> set[str]:
    text = (HOUSE / "dev").read_text().split("usage: ./dev COMMAND")[1].split("\nEND\n")[0]
    return set(re.findall(r"^  ([a-z]+) ", text, flags=re.MULTILINE))


def calls_of_page(text: str) -> Iterator[str]:
    """Return what stands in a page's blocks and spans of code, a line each."""
    block = re.compile(r"^ *```\w*\n(.*?)^ *```", flags=re.DOTALL | re.MULTILINE)
    for inside in block.findall(text):
        for line in re.sub(r"\\\n", " ", inside).splitlines():
            yield line.strip().removeprefix("$ ")
    for span in re.findall(r"`([^`]+)`", block.sub("", text)):
        yield re.sub(r"\s+", " ", span)


def calls_of_module(tree: ast.Module) -> Iterator[str]:
    """Return the calls that stand between backticks in a module's texts, what is filled in as an argument."""
    for node in ast.walk(tree):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        text = "".join(
            str(part.value) if isinstance(part, ast.Constant) else "VALUE" for part in parts
        )
        if isinstance(node, ast.JoinedStr | ast.Constant):
            yield from re.findall(r"`([^`\n]+)`", text)


def mistake(root: Any, line: str) -> str | None:
    """Return what the program would not know in a line that calls it; None where all is well, or nothing is called."""
    found = CALL.fullmatch(line.strip())
    if found is None:
        return None
    words = [word.strip("[]'\",") for word in END_OF_CALL.split(found[2])[0].split()]
    if not words or words[0] in PLACEHOLDERS or (found[1] == "./dev" and words[0] in OF_DEV):
        return None
    command, options, takes_value = root, known(root), False
    for word in words:
        inner = getattr(command, "commands", {})
        if takes_value:
            takes_value = False
        elif re.match(r"--?[a-z]", word):
            name = word.partition("=")[0]
            if name not in options:
                return f"{line}: {name} is no option of {command.name}"
            takes_value = options[name] and "=" not in word
        elif word in inner:
            command = inner[word]
            options = known(command)
        elif inner and not set(inner) & set(word.split("|")) and word not in ("|", "..."):
            return f"{line}: {word} is no command of {command.name}"
        elif inner:
            return None  # several commands at once, such as `jobs run|list`
    return None


def known(command: Any) -> dict[str, bool]:
    """Return the options of a command, and whether a value follows each."""
    options = dict.fromkeys(SHARED, False) | {"--config": True}
    for parameter in command.params:
        if parameter.param_type_name == "option":
            for name in (*parameter.opts, *parameter.secondary_opts):
                options[name] = not (parameter.is_flag or parameter.count)
    return options


OF_DEV = commands_of_dev()
ROOT = typer.main.get_command(build())


def test_every_call_in_a_page_is_one() -> None:
    pages = [*HOUSE.glob("*.md"), *(HOUSE / "docs").rglob("*.md"), *(HOUSE / "data").rglob("*.md")]
    lines = [(page, line) for page in pages for line in calls_of_page(page.read_text())]
    wrong = [f"{page.name}: {said}" for page, line in lines if (said := mistake(ROOT, line))]
    assert wrong == []
    assert sum(CALL.fullmatch(line) is not None for _, line in lines) > 500


def test_every_call_in_a_message_is_one() -> None:
    rooms = ("ledger", "indexer", "api", "cli", "scripts")
    modules = {
        file: file.read_text(encoding="utf-8")
        for room in rooms
        for file in (HOUSE / room).rglob("*.py")
    }
    lines = [
        (file, line)
        for file, text in modules.items()
        if "`truetonne " in text or "`./dev " in text
        for line in calls_of_module(ast.parse(text))
    ]
    wrong = [f"{file.name}: {said}" for file, line in lines if (said := mistake(ROOT, line))]
    assert wrong == []
    assert sum(CALL.fullmatch(line) is not None for _, line in lines) > 50


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("truetonne inventory", "inventory is no command"),
        ("truetonne db backups frob /backups", "frob is no command of backups"),
        ("./dev jobs history --lines 3", "--lines is no option of history"),
        ("A=b truetonne credits list --page 2 # all", "--page is no option of list"),
        ("truetonne audit log --user anna --limit 20 | grep --color x", None),
        ("truetonne db backup incremental --to /backups", None),
        ("truetonne jobs run|list", None),
        ("./dev lint", None),
        ("./dev ARGUMENTS", None),
        ("truetonne.log", None),
    ],
)
def test_the_check_itself_tells_them_apart(line: str, said: str | None) -> None:
    found = mistake(ROOT, line)
    assert found is None if said is None else (found is not None and said in found)
