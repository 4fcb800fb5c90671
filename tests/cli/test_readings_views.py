"""``readings quality``, ``gaps``, ``show``: tables, documents, pictures whose areas are the counts, one clear line."""

from __future__ import annotations

import io
import re
import shutil
import sqlite3
import xml.etree.ElementTree as ET
from collections import Counter
from contextlib import closing
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from PIL import Image, ImageOps

from cli.drawing import Drawing, Rectangle, Words, png, svg
from cli.heatmap import GAPS, QUALITY, cell_size, heatmap
from ledger.readings.shown.slots import Day, DeviceDays, SiteDays, State
from tests.cli.conftest import SITE, Program
from tests.support.forms import few

PARIS = ZoneInfo("Europe/Paris")
QUALITY_OF = ("readings", "quality", "--site", "lab")
GAPS_OF = ("readings", "gaps", "--site", "lab")
SHOW = ("readings", "show", "--site", "lab")
REFRESH = ("readings", "refresh", "--site", "lab")

LINES = """\
time,power
2014-01-01T00:00:00+01:00,600
2014-01-01T00:00:00+01:00,660
2014-01-01T00:10:00+01:00,99999
2014-01-01T00:20:00+01:00,
2014-01-01T00:30:00+01:00,1200.5
2014-01-03T23:50:00+01:00,1
"""


@pytest.fixture(scope="module")
def read(park_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A park with a few readings of three days; what is tried on it writes pictures alone."""
    program = Program(tmp_path_factory.mktemp("read"))
    shutil.copytree(park_folder, program.folder, dirs_exist_ok=True)
    file = program.write("r.csv", LINES)
    ended = program("import", "--site", "lab", "--source", "scada", file)
    assert ended.code == 0, ended.err
    return program


def test_what_shows_readings_is_computed_anew_where_somebody_changed_it(
    read: Program, tmp_path: Path
) -> None:
    program = Program(tmp_path)
    shutil.copytree(read.folder, tmp_path, dirs_exist_ok=True)
    shown = "SELECT device_id, production, unit, recorded_at FROM energy_production ORDER BY recorded_at"
    with closing(sqlite3.connect(tmp_path / ".truetonne/truetonne.db")) as books:
        before = books.execute(shown).fetchall()
        books.execute("UPDATE energy_production SET production = 1 WHERE id = 1")
        books.execute(
            "INSERT INTO energy_production (device_id, production, unit, recorded_at, created_at) "
            "SELECT device_id, 2, unit, '2030-01-01 00:00:00.000000', created_at FROM energy_production WHERE id < 3"
        )
        books.commit()
    wrong = [
        "energy_production of device T1, 2014-01-03T22:00:00+00:00: production is 0.001, its readings give 0.167",
        "energy_production of device T1: 2 rows of times of which its meter has no readings",
    ]
    tried = program(*REFRESH, "--dry-run")
    assert tried.out.splitlines() == [*wrong, "lab: 2 differences (nothing written)"]
    assert program(*REFRESH, "--json").json() == {"site": "lab", "differences": wrong}
    assert program(*REFRESH).out == "lab: energy and emissions are what the readings give\n"
    with closing(sqlite3.connect(tmp_path / ".truetonne/truetonne.db")) as books:
        assert books.execute(shown).fetchall() == before
    assert (ended := program("readings", "refresh", "--site", "none")).code == 2, ended.err


# ------------------------------------------------------------------ tables and documents


def test_files_are_listed_each_time_that_they_came(read: Program, tmp_path: Path) -> None:
    program = Program(tmp_path)
    shutil.copytree(read.folder, tmp_path, dirs_exist_ok=True)
    more = program.write("二月.csv", LINES + "yesterday,1\n")
    assert program("import", "--site", "lab", "--source", "scada", more).code == 1
    assert program("import", "--site", "lab", "--source", "scada", "--dry-run", more).code == 1
    files = ("readings", "files", "--site", "lab")
    document = program(*files, "--json").json()
    assert (document["site"], document["time_zone"]) == ("lab", "Europe/Paris")
    told = [tuple(item.values())[:2] + tuple(item.values())[3:5] for item in document["files"]]
    assert told == [(1, "r.csv", "scada", "T1"), (2, "二月.csv", "scada", "T1")]
    counts = ("read", "new", "unchanged", "conflicts", "rejected")
    assert [[item[name] for name in counts] for item in document["files"]] == [
        [6, 5, 0, 1, 0],
        [7, 0, 6, 0, 1],
    ]
    title, head, first, second = program(*files).out.splitlines()
    assert title == "lab: 2 imports, times in Europe/Paris"
    assert head.split()[:4] == ["imported", "source", "device", "file"]
    assert first.split()[1:-1] == ["scada", "T1", "r.csv", "6", "5", "0", "1", "0"]
    assert document["files"][1]["sha256"].startswith(second.split()[-1])
    assert program(*files, "--source", "scada").out.count("csv") == 2
    ended = program(*files, "--source", "meter")
    assert ended.one_line() == "error: site 'lab' has no source 'meter'; it has: scada"
    fresh = program.write("site.toml", SITE.replace('"lab"', '"yard"').replace('"T1"', '"T2"')
                          .replace("lab-wind", "yard-wind").split("[[vpp]]")[0])  # fmt: skip
    assert program("site", "apply", fresh).code == 0
    ended = program("readings", "files", "--site", "yard")
    assert ended.out == "yard: no file was imported\n"


def test_quality_by_day_says_why_and_where(read: Program) -> None:
    ended = read(*QUALITY_OF)
    assert (ended.code, ended.err) == (0, "")
    title, header, *rows = [line for line in ended.out.splitlines() if line]
    assert title == "lab T1: slots by legal day in Europe/Paris"
    assert header.split()[:4] == ["day", "expected", "used", "missing"]
    assert header.split()[4:10] == ["above", "below", "stuck", "conflict", "superseded", "late"]
    assert rows[0].split()[:10] == ["2014-01-01", "144", "2", "141", "1", "0", "0", "1", "1", "0"]
    assert rows[0].endswith(
        "140 no row in any file; 1 no value in the file (r.csv line 5); 2 more reasons"
    )
    assert [row.split()[:4] for row in rows[1:]] == [
        ["2014-01-02", "144", "0", "144"],
        ["2014-01-03", "144", "1", "143"],
        ["total", "432", "3", "428"],
    ]


def test_a_long_period_is_summed_by_month_unless_days_are_asked_for(read: Program) -> None:
    period = ("--from", "2014-01-01", "--to", "2014-05-01")
    months = read(*QUALITY_OF, *period).out.splitlines()
    assert [line.split()[0] for line in months[2:6]] == ["2014-01", "2014-02", "2014-03", "2014-04"]
    # March has an hour less, so six slots.
    assert [line.split()[1] for line in months[2:7]] == ["4464", "4032", "4458", "4320", "17274"]
    days = read(*QUALITY_OF, *period, "--daily").out.splitlines()
    assert [line.split()[0] for line in days[2:4]] == ["2014-01-01", "2014-01-02"]
    assert len(days) == 2 + 120 + 1 + 1


def test_the_document_has_every_day(read: Program) -> None:
    document = read(*QUALITY_OF, "--json").json()
    assert (document["site"], document["time_zone"]) == ("lab", "Europe/Paris")
    assert document["period"] == {"from": "2014-01-01", "to": "2014-01-04"}
    (device,) = document["devices"]
    assert [day["day"] for day in device["days"]] == ["2014-01-01", "2014-01-02", "2014-01-03"]
    assert device["total"]["expected"] == 432
    assert device["days"][0]["reasons"][1] == {
        "number": 101,
        "quality": "used",
        "reason": "claims least of several values",
        "readings": 1,
        "first": {"at": "2013-12-31T23:00:00Z", "file": "r.csv", "line": 2},
    }


def test_gaps_one_by_one_and_in_all(read: Program) -> None:
    ended = read(*GAPS_OF)
    lines = [line for line in ended.out.splitlines() if line]
    assert lines[0] == "lab T1: gaps from 2014-01-01 to 2014-01-04, times in Europe/Paris"
    assert [line.split() for line in lines[2:4]] == [
        ["T1", "2014-01-01T00:20+01:00", "2014-01-01T00:30+01:00", "1", "0.167"],
        ["T1", "2014-01-01T00:40+01:00", "2014-01-03T23:50+01:00", "427", "71.167"],
    ]
    assert lines[4] == (
        "T1: 2 gaps, 428 of 432 slots, 71.333 h; the longest has 427 slots, 71.167 h"
    )
    (device,) = read(*GAPS_OF, "--json").json()["devices"]
    assert (device["missing"], device["hours"], len(device["gaps"])) == (428, "71.333", 2)
    assert device["longest"] == device["gaps"][1]
    whole = read(*GAPS_OF, "--from", "2014-01-01", "--to", "2014-01-02", "--device", "T1", "--json")
    assert whole.json()["devices"][0]["gaps"][1]["to"] == "2014-01-01T23:00:00Z"


def test_without_a_gap_there_is_no_table(park: Program) -> None:
    lines = [f"2014-01-01T{n // 6:02d}:{n % 6}0:00+01:00,600" for n in range(144)]
    file = park.write("full.csv", "\n".join(["time,power", *lines]) + "\n")
    assert park("import", "--site", "lab", "--source", "scada", file).code == 0
    ended = park(*GAPS_OF)
    assert ended.out.strip() == "T1: no gap; all of 144 slots have a value"
    later = (
        '[[device]]\ncode = "L"\ntype = "x"\nmeter_serial = "L"\nrole = "load"\n'
        'in_service_from = "2014-01-02"\n'
    )
    assert park("site", "apply", park.write("site.toml", SITE + later)).code == 0
    assert [line for line in park(*GAPS_OF).out.splitlines() if line] == [
        "L: no slot from 2014-01-01 to 2014-01-02 is expected to have a value; its meter is not in service then "
        "(in_service_from, in_service_to)",
        "T1: no gap; all of 144 slots have a value",
    ]


def test_every_row_of_a_slot_is_shown_with_its_reason(read: Program) -> None:
    lines = read(*SHOW, "--at", "2014-01-01T00:05").out.splitlines()
    assert lines[0] == "lab: 2 rows, times in Europe/Paris"
    assert [re.split(r"  +", line) for line in lines[2:]] == [
        ["T1", "2014-01-01T00:00+01:00", "power", "600", "kW", "used", "101",
         "claims least of several values", "r.csv", "2"],
        ["T1", "2014-01-01T00:00+01:00", "power", "660", "kW", "superseded", "401",
         "another value of the same time claims less", "r.csv", "3"],
    ]  # fmt: skip
    (row,) = read(*SHOW, "--at", "2013-12-31T23:10:00Z", "--json").json()["rows"]
    assert (row["text"], row["quality"], row["number"]) == ("99999", "outlier", 301)
    assert row["reason"] == "above 1.2 x rated power"
    some = read(*SHOW, "--from", "2014-01-01", "--to", "2014-01-02", "--json").json()
    assert [item["text"] for item in some["rows"]] == ["600", "660", "99999", "", "1200.5"]
    nothing = read(*SHOW, "--at", "2014-01-02T00:05")
    assert (nothing.code, nothing.out) == (
        0,
        "no row in any file: the slot is missing, and claims nothing\n",
    )


def test_readings_of_a_register_in_one_minute_are_told_apart(read: Program, tmp_path: Path) -> None:
    program = Program(tmp_path)
    shutil.copytree(read.folder, tmp_path, dirs_exist_ok=True)
    register = (
        '[[device]]\ncode = "R"\ntype = "x"\nmeter_serial = "R"\nrole = "load"\n[[source]]\nname = "r"\n'
        'kind = "counter"\nunit = "kWh"\ninterval_minutes = 15\ndevice = "R"\ntime_column = "t"\n'
        'value_column = "v"\ntime_zone = "offset"\n'
    )
    assert program("site", "apply", program.write("site.toml", SITE + register)).code == 0
    times = [f"2014-01-01T00:00:{second}+01:00" for second in ("00", "13", "59")]
    file = program.write("r.csv", "t,v\n" + "".join(f"{at},{n}\n" for n, at in enumerate(times)))
    assert program("import", "--site", "lab", "--source", "r", file).code == 0
    shown = program(*SHOW, "--device", "R", "--from", "2014-01-01", "--to", "2014-01-02").out
    rows = [line.split() for line in shown.splitlines()[2:]]
    assert [row[1] for row in rows if row[2] == "register"] == [
        "2014-01-01T00:00+01:00",
        "2014-01-01T00:00:13+01:00",
        "2014-01-01T00:00:59+01:00",
    ]


# ------------------------------------------------------------------ pictures


@few(1)
@pytest.mark.parametrize("suffix", ["svg", "png", "PNG"])
def test_the_same_readings_make_the_same_picture(read: Program, suffix: str) -> None:
    name = f"picture.{suffix}"
    ended = read(*QUALITY_OF, "-o", name, "--json")
    assert ended.code == 0, ended.err
    assert ended.json()["picture"] == name
    first = (read.folder / name).read_bytes()
    assert read(*QUALITY_OF, "--output", name).out.endswith(f"wrote {name}\n")
    assert (read.folder / name).read_bytes() == first
    assert read(*GAPS_OF, "-o", name).code == 0
    assert (read.folder / name).read_bytes() != first
    assert [item for item in read.files() if ".picture" in item] == []


def days_of(device: str, first: date, count: int, minutes: int) -> DeviceDays:
    """Return days with states that follow no pattern."""
    days = []
    for n in range(count):
        day = first + timedelta(days=n)
        after = day + timedelta(days=1)
        ends = (
            int(datetime(d.year, d.month, d.day, tzinfo=PARIS).timestamp()) for d in (day, after)
        )
        made = Day(day, *ends, minutes * 60)
        for place in range(len(made.states)):
            made.states[place] = (place * place // 7 + 3 * n) % len(State)
        days.append(made)
    return DeviceDays(device, f"serial <{device}> & co", "generation", minutes * 60, days)


@pytest.fixture(scope="module")
def found() -> SiteDays:
    """Two meters of unlike intervals over the day of 23 hours and the days beside it."""
    first = date(2014, 3, 28)
    meters = [days_of("A", first, 5, 10), days_of("B", first, 5, 60)]
    return SiteDays("park", "Europe/Paris", first, first + timedelta(days=5), meters)


@pytest.mark.parametrize("colours", [QUALITY, GAPS])
def test_areas_of_the_svg_are_the_counts(
    found: SiteDays, colours: dict[State, tuple[str, str]]
) -> None:
    root = ET.fromstring(svg(heatmap(found, "Quality", colours)).decode())
    space = "{http://www.w3.org/2000/svg}"
    area: Counter[str] = Counter()
    for group in root.findall(f"{space}g/{space}g"):
        for item in group:
            width, height = int(item.attrib["width"]), int(item.attrib["height"])
            area[group.attrib["fill"]] += width * height
    wanted: Counter[str] = Counter()
    for device in found.devices:
        width, height = cell_size(device)
        for state, (colour, _) in colours.items():
            wanted[colour] += width * height * sum(day.count(state) for day in device.days)
        for colour, _ in set(colours.values()):
            wanted[colour] += 12 * 12  # of the legend
    assert {colour: area[colour] for colour in wanted} == wanted
    said = [text.text for text in root.iter(f"{space}text")]
    for device in found.devices:
        for name in {name for _, name in colours.values()}:
            slots = sum(
                day.count(state)
                for state, look in colours.items()
                for day in device.days
                if look[1] == name
            )
            assert f"{name}: {slots:,}" in said
    assert "slots expected: 714" in said  # four days of 144 slots and one of 138
    assert "slots expected: 119" in said
    assert "A (meter serial <A> & co, generation, 10 min)" in said


def test_pixels_of_the_png_are_the_counts(found: SiteDays, tmp_path: Path) -> None:
    drawing = heatmap(found, "Quality", QUALITY)
    file = tmp_path / "a.png"
    file.write_bytes(png(drawing))
    image = Image.open(file)
    assert image.size == (drawing.width, drawing.height)
    assert image.getpixel((0, 0)) == (255, 255, 255)
    cells = [item for item in drawing.rectangles if item.colour != "#BBBBBB" and item.height != 12]
    width, height = cell_size(found.devices[0])
    top = min(item.y for item in cells)
    part = image.crop((96, top, 96 + 144 * width, top + 5 * height))
    pixels = Counter(part.get_flattened_data())
    for state, (colour, _) in QUALITY.items():
        red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
        slots = sum(day.count(state) for day in found.devices[0].days)
        assert pixels[red, green, blue] == slots * width * height, state
    # The day of 23 hours has six slots less: that place stays empty.
    assert pixels[255, 255, 255] == 6 * width * height


def test_names_in_a_png_are_letters_and_no_boxes() -> None:
    names = ("风", "光", "ü", "ß", "α", "Ж", "号A", "Ⅱ", "Ⅲ", "①")
    drawn = {png(Drawing(60, 30, "Quality", words=[Words(4, 24, name)])) for name in names}
    assert len(drawn) == len(names)
    for anchor, left in (("start", 40), ("middle", 26), ("end", 12)):
        words = [Words(40, 24, "风机A", anchor=anchor)]
        image = Image.open(io.BytesIO(png(Drawing(90, 30, "Quality", words=words))))
        ink = ImageOps.invert(image.convert("L")).getbbox()
        assert ink is not None and abs(ink[0] - left) <= 10 and ink[2] - ink[0] > 20
        assert anchor != "end" or ink[2] <= 41


def test_years_of_ten_minutes_are_small_and_every_label_has_room() -> None:
    device = days_of("A", date(2013, 1, 15), 4 * 365, 10)
    for day in device.days:
        day.states = bytearray([State.USED]) * len(day.states)
    years = SiteDays("park", "Europe/Paris", date(2013, 1, 15), date(2017, 1, 14), [device])
    drawing = heatmap(years, "Quality", QUALITY)
    assert len(svg(drawing)) < 150_000
    labels = [item for item in drawing.words if re.fullmatch(r"\d{4}-\d\d(-\d\d)?", item.text)]
    assert labels[0].text == "2013-01-15"
    heights = [item.y for item in labels]
    assert all(after - before >= 13 for before, after in pairwise(heights))


def test_what_xml_cannot_hold_is_not_written() -> None:
    drawing = Drawing(
        50, 20, 'a<b>\x00&"c', [Rectangle(0, 0, 5, 5, "#000000")], [Words(1, 9, "x\x0b<y>")]
    )
    root = ET.fromstring(svg(drawing).decode())
    assert root.attrib["aria-label"] == 'a<b>?&"c'
    assert [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")] == ["x?<y>"]
    assert png(drawing) == png(drawing)


# ------------------------------------------------------------------ bad input


@few(4)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*QUALITY_OF[:2], "--site", "nowhere"), "no site 'nowhere'; there is: lab"),
        ((*QUALITY_OF, "--device", "T9"), "site 'lab' has no device 'T9'; it has: T1"),
        ((*GAPS_OF, "--device", "T9"), "site 'lab' has no device 'T9'; it has: T1"),
        (
            (*QUALITY_OF, "--from", "2014-02-01", "--to", "2014-02-01"),
            "the period from 2014-02-01 to 2014-02-01 is empty",
        ),
        (
            (*QUALITY_OF, "-o", "picture.jpg"),
            "picture.jpg: the name of a picture must end in .svg or .png",
        ),
        (
            (*GAPS_OF, "-o", "nowhere/p.svg"),
            "nowhere/p.svg: cannot be written (there is no folder nowhere)",
        ),
        ((*GAPS_OF, "-o", "/dev/full/p.svg"), "/dev/full/p.svg: cannot be written"),
        ((*SHOW,), "give --at TIME, or both --from and --to"),
        ((*SHOW, "--at", "yesterday"), "--at: 'yesterday' is not a time"),
        ((*QUALITY_OF, "--from", "1.1.2014"), "--from"),
    ],
)
def test_a_question_that_has_no_answer_is_one_clear_line(
    read: Program, words: tuple[str, ...], said: str
) -> None:
    before = read.files()
    ended = read(*words)
    assert ended.code == 2
    assert said in ended.one_line()
    assert read.files() == before


def test_a_picture_that_cannot_be_written_is_said_before_the_books_are_opened(
    truetonne: Program,
) -> None:
    ended = truetonne(*QUALITY_OF, "-o", "picture.txt")
    assert (ended.code, "picture.txt" in ended.one_line()) == (2, True)
    (truetonne.folder / "p.svg").mkdir()
    assert "is a folder" in truetonne(*QUALITY_OF, "-o", "p.svg").one_line()
    long = "x" * 300 + ".svg"
    assert truetonne(*QUALITY_OF, "-o", long).code == 2


# ------------------------------------------------------------------ what was wrong


def test_what_was_wrong_is_withdrawn_with_a_reason(read: Program, tmp_path: Path) -> None:
    program = Program(tmp_path)
    shutil.copytree(read.folder, tmp_path, dirs_exist_ok=True)
    words = ("readings", "withdraw", "--site", "lab", "--device", "T1", "--reason", "a slip")
    words = (*words, "--at", "2014-01-01T00:35")
    tried = program(*words, "--dry-run")
    assert (tried.code, "1 reading of 2014-01-01T00:30+01:00" in tried.out) == (0, True), tried.out
    assert "would be withdrawn" in tried.out
    done = program(*words, "--json").json()
    assert (done["readings"], done["first"], done["reason"]) == (
        1,
        "2013-12-31T23:30:00Z",
        "a slip",
    )
    again = program(*words)
    assert again.code == 2 and "no such reading with a value" in again.one_line()
    shown = program(*SHOW, "--at", "2014-01-01T00:35")
    assert "1200.5" in shown.out and "withdrawn: a slip" in shown.out
    counted = program(*QUALITY_OF, "--json").json()
    reasons = {found["number"]: found["reason"] for found in counted["devices"][0]["reasons"]}
    assert reasons[201] == "a text that means no value: it is declared so, or was withdrawn"
    brought = program("import", "--site", "lab", "--source", "scada", "r.csv")
    assert "  1 unchanged, and have no value in the books: withdrawn, or" in brought.out
    assert "`truetonne readings restore --as-in FILE --source NAME` gives back what" in brought.out
    back = ("readings", "restore", *words[2:])
    assert "would be restored" in program(*back, "--dry-run").out
    document = program(*back, "--reason", "it was right", "--json").json()
    assert (document["readings"], document["reason"]) == (1, "it was right")
    again = program(*back)
    assert again.code == 2 and "no such reading that is withdrawn" in again.one_line()
    shown = program(*SHOW, "--at", "2014-01-01T00:35")
    assert "withdrawn: a slip; restored: it was right" in shown.out
    halves = program(*back, "--as-in", "r.csv")
    assert halves.code == 2 and "both --as-in FILE and --source" in halves.one_line()
    program(*words)
    right = program(*back, "--as-in", "r.csv", "--source", "scada")
    assert "1 reading of 2014-01-01T00:30+01:00 restored" in right.out
    assert "withdrawals" not in right.out
    program(*words)
    program(*words[:-2], "--reason", "a wrong hour", "--to", "2014-01-01T00:30")
    all_of_it = program(*back[:-2], "--from", "2014-01-01", "--dry-run").out
    assert "  they are of 2 withdrawals; where not all of these were a mistake" in all_of_it
    assert re.search(
        r"\n    2\S+  3 readings: a wrong hour\n    2\S+  1 reading: a slip\n", all_of_it
    )
    both = program(*words, "--from", "2014-01-01")
    assert both.code == 2 and "--at TIME, or --from and --to" in both.one_line()


@pytest.mark.parametrize("minutes", [10, 120, 240, 1440])
def test_hours_stand_where_they_are_whatever_an_interval_is(minutes: int) -> None:
    device = days_of("A", date(2014, 5, 1), 3, minutes)
    park = SiteDays("park", "Europe/Paris", date(2014, 5, 1), date(2014, 5, 4), [device])
    drawing = heatmap(park, "Quality", QUALITY)
    hours = {item.text: item.x for item in drawing.words if re.fullmatch(r"\d+", item.text)}
    day = cell_size(device)[0] * 1440 // minutes
    assert hours == {str(hour): 96 + hour * day // 24 for hour in range(0, 25, 3)}
