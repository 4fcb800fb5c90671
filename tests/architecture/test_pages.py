"""The pages keep their house: words in files of their own, nothing inline, nothing from elsewhere."""

import hashlib
import json
import re
import string
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from api.pages.assets import FILES, verifier_module
from api.pages.language import Language
from api.pages.words import Words, load
from ledger.reductions.records import Quality, Role
from scripts.vendor import COPIED, FONT_FILES, FONT_LICENCES, PACKED

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "api" / "pages"
TEMPLATES = sorted((PAGES / "templates").rglob("*.html"))
STATIC = PAGES / "static"
SPOKEN = {"alt", "title", "placeholder", "aria-label", "label"}
"""Attributes that a person reads or hears; so are all that begin with ``data-`` and hold words."""


def words() -> dict[Language, Words]:
    return {language: load(language) for language in Language}


def fields(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_both_languages_say_the_same_things() -> None:
    english, chinese = (words()[language] for language in (Language.ENGLISH, Language.CHINESE))
    assert english.keys() == chinese.keys()
    for key in english.keys():  # noqa: SIM118 - not a dictionary
        assert fields(english.raw(key)) == fields(chinese.raw(key)), key
        assert english.raw(key).strip() and chinese.raw(key).strip(), key


def test_chinese_is_written_in_chinese() -> None:
    """A text that was left in English would be the same in both."""
    english, chinese = (words()[language] for language in (Language.ENGLISH, Language.CHINESE))
    same = {key for key in english.keys() if english.raw(key) == chinese.raw(key)}  # noqa: SIM118
    kept = {
        "brand",
        "unit.utc",
        "search.example",
        "provenance.factor",
        "language.en",
        "language.zh",
    }
    assert same == kept


def test_every_quality_and_role_has_its_words() -> None:
    for known in words().values():
        for quality in Quality:
            assert known.maybe(f"quality.{int(quality)}"), quality
        for role in Role:
            assert known.maybe(f"role.{role.value}"), role


class _Page(HTMLParser):
    """Collects what a template says outside its expressions, and what is inline in it."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.inline: list[str] = []
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._script = tag == "script"
        if (tag == "script" and "src" not in given) or tag == "style":
            self.inline.append(tag)
        for name, value in attrs:
            if name == "style" or name.startswith("on"):
                self.inline.append(f"{tag} {name}")
            spoken = name in SPOKEN or (name.startswith("data-") and " " in (value or ""))
            if spoken and re.search(r"[^\W\d_]", value or ""):
                self.said.append(f"{name}={value}")

    def handle_data(self, data: str) -> None:
        if re.search(r"[^\W\d_]", data):
            self.said.append(data.strip())


def stripped(template: str) -> str:
    """Return a template without its expressions; what a condition chooses between stays."""
    return re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", "", template, flags=re.DOTALL)


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_a_template_has_no_words_and_nothing_inline(file: Path) -> None:
    page = _Page()
    page.feed(stripped(file.read_text(encoding="utf-8")))
    assert page.said == []
    assert page.inline == []


def test_the_check_itself_finds_words() -> None:
    page = _Page()
    page.feed(
        stripped(
            '<p title="Hi">{{ t("x") }} there</p><b style="x" onclick="y"></b><script>z</script>'
        )
    )
    assert page.said == ["title=Hi", "there", "z"]
    assert page.inline == ["b style", "b onclick", "script"]


def named_keys() -> Iterator[tuple[str, str]]:
    """Yield the keys of texts that templates and modules name in full, each with where."""
    for file in [*TEMPLATES, *PAGES.glob("*.py"), *(ROOT / "api" / "certificates").glob("*.py")]:
        for key in re.findall(
            r"""\bt\(\s*["']([a-z_]+(?:\.[\w-]+)?)["']\s*[,)]""", file.read_text()
        ):
            yield file.name, key


def test_every_key_that_is_named_is_there_and_used() -> None:
    known = words()[Language.ENGLISH].keys()
    named = set(named_keys())
    assert [item for item in named if item[1] not in known] == []
    used = {key for _, key in named}
    # Groups that are looked up by a value: of a status, a kind, a code.
    by_value = re.compile(
        r"(status|quality|role|kind|hit|outcome|job|job_state|transaction|trade|problem|problem_title|"
        r"language|theme|nav|home|side|dispute|certificate|rule|right|account|user_role|endpoint|delivery|"
        r"plant_by|plant_status|resource|resource_role|correction|severity|alert|alert_rule)\."
    )
    assert {key for key in known - used if not by_value.match(key)} == set()


def test_nothing_is_asked_from_elsewhere() -> None:
    for file in [*TEMPLATES, *(STATIC / name for name in FILES if "vendor" not in name)]:
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]+\.|@import|url\((?!#)", text), file.name
    for name in ("chart.js", "missed.js", "prove.js"):
        code = (STATIC / name).read_text(encoding="utf-8")
        for word in ("innerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage"):
            assert word not in code, name


def test_the_verifier_has_one_source() -> None:
    page = (ROOT / "api" / "verifier" / "verify.html").read_text(encoding="utf-8")
    code = verifier_module()
    body, export = code.rsplit("\nexport ", 1)
    assert body in page and export == "{ verify, ProofError, inWords, spelled };\n"
    assert not list(STATIC.rglob("verif*"))


# ------------------------------------------------------------------------ others' files


def test_what_is_carried_is_what_was_published() -> None:
    entries = {item["file"]: item for item in json.loads((ROOT / "api/vendored.json").read_text())}
    assert set(entries) == {item.file for item in (*COPIED, *FONT_FILES, *FONT_LICENCES)}
    for file, entry in entries.items():
        data = (ROOT / file).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"], file
    wanted = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    for item in COPIED:
        package = ROOT / "node_modules" / item.package
        version = json.loads((package / "package.json").read_text())["version"]
        assert version == wanted[item.package] == entries[item.file]["version"]
        assert (package / item.source).read_bytes() == (ROOT / item.file).read_bytes(), item.file
    for item in (*FONT_FILES, *FONT_LICENCES):
        assert entries[item.file]["version"] == PACKED[item.package][0]


def test_nothing_else_is_carried_and_each_has_its_licence() -> None:
    carried = {item.file for item in (*COPIED, *FONT_FILES, *FONT_LICENCES)}
    for folder in (STATIC / "vendor", ROOT / "api" / "certificates" / "fonts"):
        assert {str(file.relative_to(ROOT)) for file in folder.iterdir()} <= carried
    texts = {
        item.package: (ROOT / item.file).read_text()
        for item in (*COPIED, *FONT_LICENCES)
        if "LICENSE" in item.file
    }
    assert set(texts) == {item.package for item in (*COPIED, *FONT_FILES)}
    assert "Zero-Clause BSD" in texts["htmx.org"] and "MIT License" in texts["uplot"]
    assert all("SIL Open Font License" in texts[name] for name in PACKED)
