"""What the product carries of others for pages, certificate and pictures: two scripts, a style, three fonts.

``python -m scripts.vendor`` copies HTMX and uPlot from ``node_modules``, and writes ``api/vendored.json``: each file
with its package, version and SHA-256. ``--fonts`` makes the fonts anew too: it fetches the pinned packages with
``npm pack`` (57 MB, which is why they are not in ``package.json``), holds them against their hash, and keeps the
characters that names are written in.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = ROOT / "api" / "vendored.json"
SCRIPTS = "api/pages/static/vendor"
FONTS = "api/certificates/fonts"


@dataclass(frozen=True)
class Copied:
    """A file that is carried as its package has it."""

    file: str
    package: str
    source: str


@dataclass(frozen=True)
class Font:
    """A font of which a part of the characters is carried."""

    file: str
    package: str
    source: str
    han: bool
    """Han characters (those of GBK) with their punctuation; else Latin, Greek and Cyrillic."""


COPIED = (
    Copied(f"{SCRIPTS}/htmx.min.js", "htmx.org", "dist/htmx.min.js"),
    Copied(f"{SCRIPTS}/htmx.LICENSE.txt", "htmx.org", "LICENSE"),
    Copied(f"{SCRIPTS}/uPlot.iife.min.js", "uplot", "dist/uPlot.iife.min.js"),
    Copied(f"{SCRIPTS}/uPlot.min.css", "uplot", "dist/uPlot.min.css"),
    Copied(f"{SCRIPTS}/uPlot.LICENSE.txt", "uplot", "LICENSE"),
)
LATIN, HAN = "@expo-google-fonts/noto-sans", "@expo-google-fonts/noto-sans-sc"
PACKED = {
    LATIN: (
        "0.4.2",
        "zYD8G2ijWLxqmquoQgghNh/x9p0yxWwArD0oxO1oXY1qx5vOd4t0Kbhnu/Cx8RTy08OgA8RtxuULZFaXwVPnPw==",
    ),
    HAN: (
        "0.4.3",
        "9rAwdFTFHbO/u6Cs0gj2jZbW74TGIiaFNQnXYH2s5wA1bzVkwbaviL4t8YUV642eGYjg86eH6DkAEQmfNHDncQ==",
    ),
}
"""Version and SHA-512 of each package that is fetched for a font."""
FONT_FILES = (
    Font(f"{FONTS}/NotoSans-Regular.ttf", LATIN, "400Regular/NotoSans_400Regular.ttf", False),
    Font(f"{FONTS}/NotoSans-SemiBold.ttf", LATIN, "600SemiBold/NotoSans_600SemiBold.ttf", False),
    Font(f"{FONTS}/NotoSansSC-Regular.ttf", HAN, "400Regular/NotoSansSC_400Regular.ttf", True),
)
FONT_LICENCES = (
    Copied(f"{FONTS}/NotoSans.LICENSE.txt", LATIN, "LICENSE_FONT"),
    Copied(f"{FONTS}/NotoSansSC.LICENSE.txt", HAN, "LICENSE_FONT"),
)


def main() -> None:
    entries = [_copy(item, ROOT / "node_modules" / item.package) for item in COPIED]
    if "--fonts" in sys.argv[1:]:
        entries += _fonts()
    else:
        known = json.loads(MANIFEST.read_text(encoding="utf-8"))
        entries += [item for item in known if item["package"] in PACKED]
    MANIFEST.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    for entry in entries:
        print(f"{entry['file']}: {entry['package']} {entry['version']}")


def _copy(item: Copied, package: Path) -> dict[str, Any]:
    target = ROOT / item.file
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(package / item.source, target)
    return _entry(item, json.loads((package / "package.json").read_text())["version"])


def _entry(item: Copied | Font, version: str) -> dict[str, Any]:
    digest = hashlib.sha256((ROOT / item.file).read_bytes()).hexdigest()
    return {
        "file": item.file,
        "package": item.package,
        "version": version,
        "source": item.source,
        "sha256": digest,
    }


def _fonts() -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        packages = {name: _fetched(name, Path(folder)) for name in PACKED}
        for licence in FONT_LICENCES:
            yield _copy(licence, packages[licence.package])
        for font in FONT_FILES:
            _subset(font, packages[font.package])
            yield _entry(font, PACKED[font.package][0])


def _fetched(name: str, folder: Path) -> Path:
    version, sha512 = PACKED[name]
    target = folder / name.replace("/", "-")
    target.mkdir()
    pack = ["npm", "pack", "--silent", "--pack-destination", str(target), f"{name}@{version}"]
    subprocess.run(pack, check=True, stdout=subprocess.DEVNULL)
    (archive,) = target.glob("*.tgz")
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != sha512:
        raise SystemExit(f"{name} {version} has the SHA-512 {found}, not the pinned one")
    with tarfile.open(archive) as packed:
        packed.extractall(target, filter="data")
    return target / "package"


def _subset(font: Font, package: Path) -> None:
    """Write the part of a font that is carried; the same bytes for the same font and fontTools."""
    from fontTools import subset
    from fontTools.ttLib import TTFont

    source = TTFont(package / font.source, recalcTimestamp=False)
    options = subset.Options(
        hinting=False,
        layout_features=[],
        name_IDs=[0, 1, 2, 3, 4, 5, 6, 13, 14],
        notdef_outline=True,
        recalc_timestamp=False,
    )
    options.drop_tables += [
        *("GSUB", "GPOS", "GDEF", "BASE", "STAT", "DSIG", "VORG", "vhea", "vmtx"),
        *("fpgm", "prep", "cvt ", "gasp", "meta", "avar", "fvar"),
    ]
    part = subset.Subsetter(options)
    wanted = _han() if font.han else _latin()
    part.populate(unicodes=wanted & set(source.getBestCmap()))
    part.subset(source)
    source.save(ROOT / font.file)


def _latin() -> set[int]:
    """Return Latin with its extensions, Greek, Cyrillic, punctuation, currencies, arrows and signs."""
    spans = ((0x20, 0x530), (0x1E00, 0x2200), (0x2C60, 0x2C80), (0xA720, 0xA800), (0xFFFD, 0xFFFE))
    return {code for first, end in spans for code in range(first, end)}


def _han() -> set[int]:
    """Return the characters of GBK, and the rare ones of names that stand beyond the basic plane."""
    found = set()
    for lead in range(0x81, 0xFF):
        for trail in range(0x40, 0xFF):
            text = bytes([lead, trail]).decode("gbk", errors="ignore")
            found.update(ord(sign) for sign in text)
    return {code for code in found if code >= 0x2E80} | set(range(0x20000, 0x32000))


if __name__ == "__main__":
    main()
