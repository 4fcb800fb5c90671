"""A drawing of rectangles and words, written as SVG or as PNG: the same drawing, the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import normalize
from xml.sax.saxutils import escape, quoteattr

from cli.files import write_whole
from ledger.errors import BadInput

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

INK, PAPER = "#222222", "#FFFFFF"
_FONT = "Helvetica, Arial, sans-serif"
_HAN_FROM = 0x2E80
"""The first sign of the font with the Chinese ones."""
_SHARES = {"start": 0, "middle": 0.5, "end": 1}
"""How much of a text stands before its anchor."""
_PIXELS_MAX = 100_000_000
"""Largest PNG: what takes more memory is better an SVG."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A filled rectangle, in pixels from the upper left corner."""

    x: int
    y: int
    width: int
    height: int
    colour: str


@dataclass(frozen=True, slots=True)
class Words:
    """One line of text; ``y`` is its baseline."""

    x: int
    y: int
    text: str
    size: int = 12
    anchor: str = "start"
    """start, middle or end: what of the text stands at ``x``."""
    bold: bool = False


@dataclass
class Drawing:
    """What is drawn, in order.

    Attributes
    ----------
    title
        What the picture shows, also for those who cannot see it.
    """

    width: int
    height: int
    title: str
    rectangles: list[Rectangle] = field(default_factory=list)
    words: list[Words] = field(default_factory=list)


def svg(drawing: Drawing) -> bytes:
    """Return a drawing as SVG, without a word about when or where it was made."""
    width, height = drawing.width, drawing.height
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label={quoteattr(_plain(drawing.title))}>',
        f"<title>{escape(_plain(drawing.title))}</title>",
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
        '<g shape-rendering="crispEdges">',
    ]
    colour = ""
    for item in drawing.rectangles:
        if item.colour != colour:
            lines += ["</g>"] * bool(colour) + [f'<g fill="{item.colour}">']
            colour = item.colour
        lines.append(
            f'<rect x="{item.x}" y="{item.y}" width="{item.width}" height="{item.height}"/>'
        )
    lines += ["</g>"] * bool(colour)
    lines.append(f'</g>\n<g fill="{INK}" font-family="{_FONT}">')
    for word in drawing.words:
        weight = ' font-weight="bold"' if word.bold else ""
        lines.append(
            f'<text x="{word.x}" y="{word.y}" font-size="{word.size}" text-anchor="{word.anchor}"'
            f"{weight}>{escape(_plain(word.text))}</text>"
        )
    return "\n".join([*lines, "</g>", "</svg>", ""]).encode("utf-8")


def png(drawing: Drawing) -> bytes:
    """Return a drawing as PNG.

    Raises
    ------
    BadInput
        It would be larger than is sensible.
    """
    from PIL import Image, ImageDraw

    if drawing.width * drawing.height > _PIXELS_MAX:
        raise BadInput(
            f"a PNG of {drawing.width} x {drawing.height} pixels is too large; take a shorter period "
            "or one device, or write an SVG",
            code="picture-too-large",
        )
    image = Image.new("RGB", (drawing.width, drawing.height), PAPER)
    draw = ImageDraw.Draw(image)
    for item in drawing.rectangles:
        corner = (item.x + item.width - 1, item.y + item.height - 1)
        draw.rectangle((item.x, item.y, *corner), fill=item.colour)
    for word in drawing.words:
        # The fonts have II, and no Roman two that is one sign; nor numbers in circles.
        text = normalize("NFKC", _plain(word.text))
        signs = groupby(text, key=lambda sign: ord(sign) >= _HAN_FROM)
        runs = [("".join(run), _font(is_han, word.size)) for is_han, run in signs]
        x = word.x - _SHARES[word.anchor] * sum(font.getlength(run) for run, font in runs)
        for run, font in runs:
            bold = 0.3 if word.bold else 0
            draw.text((x, word.y), run, fill=INK, font=font, anchor="ls", stroke_width=bold)
            x += font.getlength(run)
    stream = BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()


WRITERS: dict[str, Callable[[Drawing], bytes]] = {".svg": svg, ".png": png}


def check_picture(path: Path) -> None:
    """Look whether a picture can be written there, before the work that it shows.

    Raises
    ------
    BadInput
        Its name ends in neither ``.svg`` nor ``.png``, or its folder is none.
    """
    if path.suffix.lower() not in WRITERS:
        raise BadInput(
            f"{path}: the name of a picture must end in .svg or .png, which decides its format",
            code="unknown-picture",
        )
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise BadInput(f"{path}: cannot be written ({what})", code="file-unwritable")


def write_picture(drawing: Drawing, path: Path) -> None:
    """Write a drawing as what the file's name ends in; the file is there whole or not at all.

    Raises
    ------
    BadInput
        It cannot be written.
    """
    check_picture(path)
    write_whole(path, WRITERS[path.suffix.lower()](drawing))


@cache
def _font(is_han: bool, size: int) -> FreeTypeFont:
    """Return a font of the certificates, which have what names of devices and meters are written in."""
    from PIL import ImageFont

    name = "NotoSansSC-Regular.ttf" if is_han else "NotoSans-Regular.ttf"
    data = BytesIO((resources.files("api.certificates") / "fonts" / name).read_bytes())
    return ImageFont.truetype(data, size, layout_engine=ImageFont.Layout.BASIC)


def _plain(text: str) -> str:
    """Return text without control characters, which no XML may hold."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
