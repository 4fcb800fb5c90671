"""The certificate as a PDF of one page, in English and Chinese at once, so that a retirement has one hash.

Equal facts give equal bytes: the date is that of the retirement, the fonts are carried along, and the QR code is
drawn as rectangles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC
from functools import lru_cache
from importlib import resources
from itertools import groupby

import segno
from fpdf import FPDF
from fpdf.fonts import TTFFont

from api.certificates.facts import CertificateFacts
from api.certificates.printing import Lines, printable, wrapped
from api.pages.formats import moment, number, span, tonnes
from api.pages.language import Language
from api.pages.words import load
from ledger.reductions.zones import zone

_FONTS = resources.files("api.certificates") / "fonts"
_WIDTH, _HEIGHT, _MARGIN = 210.0, 297.0, 22.0
_INNER = _WIDTH - 2 * _MARGIN
_INK, _QUIET, _LINE, _ACCENT = (24, 32, 28), (96, 108, 102), (214, 222, 217), (14, 107, 74)
_NAME_SIZES = (22.0, 18.0, 15.0, 12.0)
_NAME_LINES = {22.0: 2, 18.0: 3, 15.0: 3, 12.0: 4}
_REASON_SIZE, _REASON_LINES, _REASON_STEP = 10.5, 5, 5.2
_WHO_TOP, _TABLE_TOP = 67.0, 132.0
_WHOLE_HEIGHT = 9.0
"""What it takes to say where the whole of a text stands."""
_ROW_HEIGHT, _TABLE_HEIGHT = 9.2, 102.0
"""Rows stand closer where all that can be stated is."""
_LABEL_WIDTH = 52.0
_QR_MM = 34.0


@lru_cache(maxsize=1024)
def certificate_sha256(facts: CertificateFacts) -> str:
    """Return the SHA-256 of the PDF, hexadecimal."""
    return hashlib.sha256(certificate_pdf(facts)).hexdigest()


@lru_cache(maxsize=64)
def certificate_pdf(facts: CertificateFacts) -> bytes:
    """Return the PDF; the same bytes for the same facts. The last ones are kept: each takes 0.2 s to draw."""
    return drawn(facts)


def drawn(facts: CertificateFacts) -> bytes:
    """Draw the PDF."""
    return _Sheet(facts).bytes()


class _Sheet:
    """One certificate being drawn, from top to bottom."""

    def __init__(self, facts: CertificateFacts) -> None:
        self._facts = facts
        self._english, self._chinese = load(Language.ENGLISH), load(Language.CHINESE)
        self._pdf = pdf = FPDF(format="A4", unit="mm")
        pdf.set_auto_page_break(False)
        pdf.set_margin(0)
        for family, style, file in (
            ("latin", "", "NotoSans-Regular.ttf"),
            ("latin", "B", "NotoSans-SemiBold.ttf"),
            ("han", "", "NotoSansSC-Regular.ttf"),
        ):
            with resources.as_file(_FONTS / file) as path:
                pdf.add_font(family, style, path)
        self._latin, han = (_signs_of(pdf, family) for family in ("latin", "han"))
        self._known = self._latin | han
        pdf.set_title(f"{self._english('certificate.title')} {facts.retirement_id}")
        pdf.set_creator("Truetonne")
        pdf.set_producer("Truetonne")
        pdf.set_lang("en")
        pdf.set_creation_date(facts.retired_at)
        pdf.add_page()

    def bytes(self) -> bytes:
        """Draw all of it."""
        self._head()
        self._who(_WHO_TOP)
        self._table(_TABLE_TOP)
        self._foot()
        return bytes(self._pdf.output())

    # ------------------------------------------------------------ parts of the page

    def _head(self) -> None:
        pdf, facts = self._pdf, self._facts
        pdf.set_fill_color(*_ACCENT)
        pdf.rect(0, 0, _WIDTH, 3.2, style="F")
        self._text(_MARGIN, 18, "Truetonne", 10, bold=True, colour=_ACCENT)
        label = " · ".join(words("certificate.number") for words in (self._english, self._chinese))
        self._text(_MARGIN, 18, f"{label}  {facts.retirement_id}", 9, colour=_QUIET, right=True)
        self._text(_MARGIN, 33, self._english("certificate.title"), 23, bold=True)
        self._text(_MARGIN, 42.5, self._chinese("certificate.title"), 14, colour=_QUIET)
        for words, y, size in ((self._english, 54.5, 15), (self._chinese, 59.8, 10)):
            amount = words("certificate.amount", tonnes=tonnes(facts.amount_kg))
            self._text(_MARGIN, y, amount, size, bold=True, colour=_ACCENT)
            kg = words("certificate.kg", kg=number(facts.amount_kg))
            self._text(_MARGIN, y, kg, 9 if size > 10 else 8, colour=_QUIET, right=True)

    def _who(self, y: float) -> None:
        """Draw for whom and why, as large as there is room for."""
        facts = self._facts
        self._rule(y - 4.5)
        stands_in = facts.replaced_batch_id is not None  # units of the buffer: no claim of anybody
        y = self._label(y + 1.5, f"certificate.{'replaces' if stands_in else 'beneficiary'}")
        name = str(facts.replaced_batch_id) if stands_in else self._printable(facts.beneficiary)
        name = name or "–"
        for size in _NAME_SIZES:
            lines = self._wrapped(name, size, _NAME_LINES[size], bold=True)
            if not lines.cut:
                break
        for line in lines.lines:
            y += size * 0.46
            self._text(_MARGIN, y, line, size, bold=True)
        y += 2.5
        if lines.cut:
            y = self._whole(y, facts.beneficiary)
        if facts.reason:
            y = self._label(y + 6.5, "certificate.reason")
            room = int((_TABLE_TOP - 6.0 - _WHOLE_HEIGHT - y) / _REASON_STEP)
            count = max(1, min(_REASON_LINES, room))
            reason = self._wrapped(self._printable(facts.reason), _REASON_SIZE, count)
            for line in reason.lines:
                y += _REASON_STEP
                self._text(_MARGIN, y, line, _REASON_SIZE)
            if reason.cut:
                self._whole(y + 1.5, facts.reason)

    def _table(self, y: float) -> None:
        self._rule(y - 5)
        rows = self._rows()
        height = min(_ROW_HEIGHT, _TABLE_HEIGHT / len(rows))
        for key, value, mono in rows:
            self._text(_MARGIN, y, self._english(f"certificate.{key}"), 8, colour=_INK)
            self._text(_MARGIN, y + 3.6, self._chinese(f"certificate.{key}"), 7, colour=_QUIET)
            size = 7.4 if mono else 9.0
            shown = self._wrapped(value, size, 2, width=_INNER - _LABEL_WIDTH)
            for number_, line in enumerate(shown.lines):
                self._text(_MARGIN + _LABEL_WIDTH, y + 4.0 * number_, line, size)
            y += height

    def _rows(self) -> list[tuple[str, str, bool]]:
        facts = self._facts
        where = UTC if facts.zone is None else zone(facts.zone)
        period = f"{span(facts.period_start, facts.period_end, where)} {facts.zone or 'UTC'}"
        source = self._printable(f"{facts.site} · {facts.vintage}")
        if facts.methodology is not None:
            source += f" · {self._printable(facts.methodology)}"
        rows = [
            ("serials", self._printable(facts.serials), False),
            ("source", source, False),
            ("period", period, False),
            ("retired_at", f"{moment(facts.retired_at)} UTC", False),
        ]
        if facts.country is not None:
            rows.append(("country", self._printable(facts.country), False))
        if (facts.consumption_start or facts.consumption_end) is not None:
            claimed = span(facts.consumption_start, facts.consumption_end)
            rows.append(("consumption", f"{claimed} UTC", False))
        if facts.document_hash is not None:
            rows.append(("document", facts.document_hash, True))
        chain = f"{facts.network} · {facts.chain_id} · {number(facts.block_number)}"
        rows.append(("chain", self._printable(chain), False))
        if facts.contract is not None:
            rows.append(("contract", facts.contract, True))
        return [
            *rows,
            ("transaction", facts.tx_hash, True),
            ("evidence_root", facts.evidence_root, True),
            ("manifest_hash", facts.manifest_hash, True),
        ]

    def _foot(self) -> None:
        top = _HEIGHT - 22 - _QR_MM
        self._rule(top - 5)
        self._qr(_WIDTH - _MARGIN - _QR_MM, top)
        width = _INNER - _QR_MM - 10
        y = top + 3.5
        for words in (self._english, self._chinese):
            for line in self._wrapped(words("certificate.check"), 8.5, 4, width=width).lines:
                self._text(_MARGIN, y, line, 8.5)
                y += 4.4
            y += 0.8
        for line in self._wrapped(self._facts.url, 8.5, 2, width=width, bold=True).lines:
            self._text(_MARGIN, y, line, 8.5, bold=True, colour=_ACCENT)
            y += 4.4
        y = _HEIGHT - 12
        for words in (self._english, self._chinese):
            self._text(_MARGIN, y, words("certificate.limits"), 6.8, colour=_QUIET)
            y += 3.6

    def _qr(self, x: float, y: float) -> None:
        """Draw the address of the page as a QR code, each run of dark modules one rectangle."""
        code = segno.make(self._facts.url, error="m", micro=False, boost_error=False)
        rows = list(code.matrix)
        module = _QR_MM / len(rows)
        self._pdf.set_fill_color(*_INK)
        for row, modules in enumerate(rows):
            start = None
            for column, dark in enumerate([*modules, 0]):
                if dark and start is None:
                    start = column
                elif not dark and start is not None:
                    width = (column - start) * module
                    self._pdf.rect(x + start * module, y + row * module, width, module, style="F")
                    start = None
        self._pdf.link(x, y, _QR_MM, _QR_MM, self._facts.url)

    # ------------------------------------------------------------ strokes

    def _rule(self, y: float) -> None:
        self._pdf.set_draw_color(*_LINE)
        self._pdf.set_line_width(0.25)
        self._pdf.line(_MARGIN, y, _WIDTH - _MARGIN, y)

    def _label(self, y: float, key: str) -> float:
        label = f"{self._english(key)} · {self._chinese(key)}"
        self._text(_MARGIN, y, label, 8, colour=_QUIET)
        return y + 1.6

    def _whole(self, y: float, text: str) -> float:
        """Say where the whole of a text stands that was cut."""
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        values = {"count": number(len(text)), "sha256": digest}
        for words in (self._english, self._chinese):
            y += 3.4
            self._text(_MARGIN, y, words("certificate.whole", **values), 6.8, colour=_QUIET)
        return y

    def _printable(self, text: str) -> str:
        return printable(text, lambda sign: ord(sign) in self._known)

    def _wrapped(
        self, text: str, size: float, lines: int, *, width: float = _INNER, bold: bool = False
    ) -> Lines:
        return wrapped(text, width, lines, lambda part: self._width(part, size, bold))

    def _text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        *,
        bold: bool = False,
        colour: tuple[int, int, int] = _INK,
        right: bool = False,
    ) -> None:
        """Write one line with its base at ``y``; ``right``: up to the margin of the other side."""
        if right:
            x = _WIDTH - x - self._width(text, size, bold)
        self._pdf.set_text_color(*colour)
        for font, run in self._runs(text):
            width = self._set(font, size, bold).get_string_width(run)
            self._pdf.text(x, y, run)
            x += width

    def _width(self, text: str, size: float, bold: bool) -> float:
        return sum(
            self._set(font, size, bold).get_string_width(run) for font, run in self._runs(text)
        )

    def _set(self, font: str, size: float, bold: bool) -> FPDF:
        self._pdf.set_font(font, "B" if bold and font == "latin" else "", size)
        return self._pdf

    def _runs(self, text: str) -> Iterator[tuple[str, str]]:
        """Yield a text in runs of one font each: the Latin one has what it can."""
        for latin, signs in groupby(text, key=lambda sign: ord(sign) in self._latin):
            yield "latin" if latin else "han", "".join(signs)


def _signs_of(pdf: FPDF, family: str) -> frozenset[int]:
    """Return the code points that a font has."""
    font = pdf.fonts[family]
    assert isinstance(font, TTFFont)
    return frozenset(font.cmap)
