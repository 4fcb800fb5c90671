"""Every command, option, setting, route and parameter is documented; and nothing else is."""

from __future__ import annotations

import ast
import dataclasses
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from api.app import create_app
from api.pagination import LIMIT_DEFAULT, LIMIT_MAX, PageParameters
from cli.main import build
from ledger.models import Base
from ledger.readings.files.formats import Format
from ledger.reductions.records import Factor
from ledger.settings import SETTINGS, load_settings
from ledger.sites import specs
from ledger.sites.site_file import TABLES, read_site_file

DOCS = Path(__file__).resolve().parents[2] / "docs"
SHARED_OPTIONS = {"--json", "--config", "--help"}
SELF_EVIDENT = {"abi", "catalogue", "decoders", "handlers", "methodologies", "models", "versions"}
"""Rooms that are generated, or have one module for each thing of their name."""
ROOMS = sorted(
    str(file.parent.relative_to(DOCS.parent))
    for room in ("indexer", "ledger/*", "api/*", "cli/demo")
    for file in DOCS.parent.glob(f"{room}/**/__init__.py")
    if file.parent.name not in SELF_EVIDENT | {"migrations"}
)
OF_A_RESOURCE = {"endpoints", "queries", "schemas"}
"""``api`` says what these are, for all its rooms."""
PAGE_PARAMETERS = set(PageParameters.model_fields)
SPECS = {
    "site": specs.SiteSpec,
    "factor": Factor,
    "project": specs.ProjectSpec,
    "device": specs.DeviceSpec,
    "source": specs.SourceSpec,
    "meter_change": specs.MeterChangeSpec,
    "calibration": specs.CalibrationSpec,
    "energy_certificate": specs.EnergyCertificateSpec,
    "vpp": specs.VppSpec,
    "strategy": specs.StrategySpec,
    "market": specs.MarketSpec,
}
"""The record of each table of a site file: its fields are the table's keys."""


def sections(text: str) -> dict[str, str]:
    """Return what stands under each heading of the third level that names something in code."""
    parts = re.split(r"^### `([^`]+)`$", text, flags=re.MULTILINE)
    return {
        name: re.split(r"^## ", body, flags=re.MULTILINE)[0]
        for name, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def named_in_table(text: str) -> set[str]:
    """Return what the first cells of a section's tables name in code, without its argument."""
    cells = re.findall(r"^\| ([^|]*`[^|]*) \|", text, flags=re.MULTILINE)
    return {name.split()[0] for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def differences(wanted: dict[str, set[str]], text: str) -> list[str]:
    """Return what a page leaves out, and what it names that is not there."""
    found = sections(text)
    errors = [f"{name} is not documented" for name in wanted if name not in found]
    errors += [f"{name} is documented and not there" for name in found if name not in wanted]
    for name in wanted.keys() & found.keys():
        listed = named_in_table(found[name])
        errors += [f"{name}: {item} is not documented" for item in wanted[name] - listed]
        errors += [f"{name}: {item} is documented and not there" for item in listed - wanted[name]]
    return sorted(errors)


def commands() -> dict[str, set[str]]:
    """Return the options of every command, by the words that call it."""

    def walk(command: Any, path: str) -> Iterator[tuple[str, set[str]]]:
        inner = getattr(command, "commands", None)
        if inner is None or command.invoke_without_command:
            options = {
                name
                for parameter in command.params
                if parameter.param_type_name == "option"
                for name in parameter.opts
            }
            yield path, options - SHARED_OPTIONS
        for name, found in (inner or {}).items():
            yield from walk(found, f"{path} {name}")

    return dict(walk(typer.main.get_command(build()), "truetonne"))


def routes(tmp_path: Path) -> dict[str, set[str]]:
    """Return the query parameters of every route, by method and path."""
    settings = load_settings(None, {"TRUETONNE_HOME": str(tmp_path)})
    document = create_app(settings).openapi()

    def of_every_list(item: dict[str, Any]) -> bool:
        """Whether the page says it once for all; not of a `limit` with figures of its own."""
        if item["name"] == "limit":
            schema = item["schema"]
            return (schema["maximum"], schema["default"]) == (LIMIT_MAX, LIMIT_DEFAULT)
        return item["name"] in PAGE_PARAMETERS

    return {
        f"{method.upper()} {path}": {
            item["name"]
            for item in operation.get("parameters", [])
            if item["in"] == "query" and not of_every_list(item)
        }
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_every_command_and_option_is_documented() -> None:
    assert differences(commands(), (DOCS / "commands.md").read_text()) == []


def test_the_options_of_all_commands_are_documented() -> None:
    text = (DOCS / "commands.md").read_text().partition("\n### ")[0]
    root = typer.main.get_command(build())
    for parameter in root.params:
        for name in parameter.opts:
            assert name in named_in_table(text), name
    for name in SHARED_OPTIONS:
        assert name in named_in_table(text), name


def test_every_route_and_parameter_is_documented(tmp_path: Path) -> None:
    text = (DOCS / "api.md").read_text()
    assert differences(routes(tmp_path), text) == []
    for name in PAGE_PARAMETERS:
        assert name in named_in_table(text.partition("\n## Routes")[0]), name


def test_every_room_of_the_kernel_stands_in_the_architecture() -> None:
    text = (DOCS / "ARCHITECTURE.md").read_text()
    told = set(
        re.findall(r"`(\w+)/?`", text[text.index("Inside the kernel:") :].split("## Layers")[0])
    )
    found = {path.stem for path in (DOCS.parent / "ledger").iterdir() if path.suffix in ("", ".py")}
    assert {name for name in found if not name.startswith("__")} - told == set()


@pytest.mark.parametrize(("page", "least"), [("ARCHITECTURE", 15), ("settlement", 10)])
def test_every_function_that_a_page_leads_through_is_there(page: str, least: int) -> None:
    text = (DOCS / f"{page}.md").read_text()
    named = re.findall(r"`([\w/]+\.(?:py|sol))`: `(\w+)`", text)
    assert len(named) > least
    for file, name in named:
        source = (DOCS.parent / file).read_text()
        assert re.search(rf"^ *(?:def|function) {name}\b", source, re.MULTILINE), (file, name)


@pytest.mark.parametrize(("page", "least"), [("ARCHITECTURE", 60), ("settlement", 10)])
def test_every_place_that_a_page_names_is_there(page: str, least: int) -> None:
    text = (DOCS / f"{page}.md").read_text()
    named = set(re.findall(r"`((?:\w+/)+(?:[\w.]+)?)`", text))
    assert len(named) > least
    ours = sorted(name for name in named if (DOCS.parent / name.split("/")[0]).is_dir())
    places = {name: (DOCS.parent / name, DOCS.parent / f"{name}.py") for name in ours}
    assert [name for name in ours if not any(place.exists() for place in places[name])] == []


@pytest.mark.parametrize("name", ["ledger", "ledger.chain", "ledger.readings"])
def test_every_layer_of_the_kernel_stands_in_the_architecture(name: str) -> None:
    text = (DOCS / "ARCHITECTURE.md").read_text().split("## Layers")[1].split("\n## ")[0]
    told = "; ".join(re.findall(r"`([^`]*)`", text.replace("\n", " ")))
    linted = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["tool"]["importlinter"]
    (found,) = (item for item in linted["contracts"] if item["name"] == f"The layers of {name}")
    assert "; ".join(found["layers"]).replace(" : ", "; ") in told


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_where_each_of_its_modules_belongs(room: str) -> None:
    folder = DOCS.parent / room
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    told = re.findall(r"``([a-z_]+)``", docstring)
    found = [
        path.stem
        for path in folder.iterdir()
        if path.name[0] != "_" and path.suffix not in (".json", ".html")
    ]
    shared = OF_A_RESOURCE if room.startswith("api/") else set()
    assert sorted(set(found) - set(told) - shared) == []
    elsewhere = {"doctor"} | shared
    assert sorted(set(told) - set(found) - elsewhere - Base.metadata.tables.keys()) == []


def test_every_setting_is_documented() -> None:
    lines = (DOCS / "settings.md").read_text().splitlines()
    documented = [line.split(" | ") for line in lines if line.startswith("| `")]
    assert [(line[0], line[1]) for line in documented] == [
        (f"| `{setting.name}`", f"`{setting.variable}`") for setting in SETTINGS
    ]
    for setting, line in zip(SETTINGS, documented, strict=True):
        if setting.default:
            assert f"`{setting.default}`" in line[2], setting.name


def test_every_line_of_a_settings_file_on_a_page_is_taken(tmp_path: Path) -> None:
    known = {setting.name for setting in SETTINGS}
    tried = []
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"```toml\n(.*?)```", text, re.S)
        for line in (*blocks, *re.findall(r"`([a-z_]+ = [^`\n]+)`", text)):
            names = set(re.findall(r"^(\w+) = ", line, re.M))
            if names and names <= known:
                file = tmp_path / "settings.toml"
                file.write_text(line, encoding="utf-8")
                load_settings(file, {})
                tried.append((page.name, line))
    assert len(tried) > 12 and ("webhooks.md", "webhook_private_targets = true") in tried


def names_of(record: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(record)]


def test_every_table_and_key_of_a_site_file_is_documented() -> None:
    text = (DOCS / "site-file.md").read_text()
    keys = {table: set(names_of(record)) for table, record in SPECS.items()}
    keys["factor"] -= {"sha256"}
    keys["source"] = keys["source"] - {"written"} | set(names_of(Format)) - {"numbered"}
    named = {f"[[{name}]]" if TABLES[name] else f"[{name}]": keys[name] for name in TABLES}
    found = sections(text)
    assert list(found) == list(named)
    for name, wanted in named.items():
        cells = re.findall(r"^\| (`[^|]*) \|", found[name], flags=re.MULTILINE)
        assert {key for cell in cells for key in re.findall(r"`(\w+)`", cell)} == wanted, name


def test_the_example_of_a_site_file_is_one() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", (DOCS / "site-file.md").read_text(), re.S)
    assert read_site_file(example, "example").project is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("### `a`\n| `--x` | y |\n", ["b is not documented"]),
        ("### `a`\n### `b`\n", ["a: --x is not documented"]),
        (
            "### `a`\n| `--x` | y |\n| `--z` | y |\n### `b`\n",
            ["a: --z is documented and not there"],
        ),
        ("### `a`\n| `--x FILE` | y |\n### `b`\n### `c`\n", ["c is documented and not there"]),
        ("### `a`\n| `--x` | y |\n### `b`\n## Other\n| `--w` | y |\n", []),
    ],
)
def test_the_check_itself_finds_what_is_missing(text: str, said: list[str]) -> None:
    assert differences({"a": {"--x"}, "b": set()}, text) == said


def headings(text: str) -> set[str]:
    """Return the places of a page that a link may name, made of its headings as GitHub makes them."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M):
        said = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        found.append(re.sub(r"[^\w\- ]", "", said).replace(" ", "-"))
    again = [f"{name}-{found[:at].count(name)}" for at, name in enumerate(found)]
    return {name.removesuffix("-0") for name in again}


def test_every_link_of_a_page_leads_somewhere() -> None:
    root = DOCS.parent
    pages = [
        *root.glob("*.md"),
        *DOCS.rglob("*.md"),
        *root.glob("data/**/*.md"),
        root / "contracts/SPEC.md",
    ]
    wrong = []
    for page in pages:
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
        links = [
            link for link in re.findall(r"\]\(([^)\s]+)\)", prose) if not re.match("[a-z]+:", link)
        ]
        for link in links:
            name, _, place = link.partition("#")
            there = page.parent / name if name else page
            found = headings(there.read_text(encoding="utf-8")) if place else set()
            if not there.exists() or (place and place not in found):
                wrong.append(f"{page.relative_to(root)}: {link}")
            elif place and f"{place}-1" in found:  # and the first of them is not always meant
                wrong.append(f"{page.relative_to(root)}: {link} leads to one of two headings")
    assert len(pages) > 90 and wrong == []


def test_the_changelog_says_nothing_twice() -> None:
    """Two branches that are put together leave an entry that was mended in one of them twice."""
    text = (DOCS.parent / "CHANGELOG.md").read_text(encoding="utf-8")
    entries = re.findall(r"^- .*$", text, re.M)
    again = {entry for entry in entries if entries.count(entry) > 1}
    assert len(entries) > 500 and again == set()
