"""Write the decoders of the contracts' events and calls, from the ABI that ``export_abi`` wrote.

``python -m scripts.generate_decoders`` writes ``ledger/chain/decoders/*_events.py`` and ``*_calls.py``;
``--check`` writes nothing and fails when a file differs from what the ABI asks for. Each function reads
the words of one layout by their places, so that the mirror need not interpret types for every log.
"""

import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

ROOT = Path(__file__).resolve().parents[1]
ABI = ROOT / "ledger" / "chain" / "abi"
FOLDER = ROOT / "ledger" / "chain" / "decoders"
CONTRACTS = ("CarbonCredit", "VppSettlement")
DATACLASSES = {"CarbonCredit": "credit_events", "VppSettlement": "settlement_events"}
STRUCTS = {"Claim": "Claim", "Retirement": "RetirementDetails", "Reading": "Reading"}
"""Structs that have a struct of ours in ``credit_events``, by their name in the contract."""
JSON_SAFE_BITS = 53
LAYOUT_NUMBER_BITS = 64
"""Unsigned numbers up to here are numbers in what ``Layout`` gives; longer ones are bytes."""
WORD = 32
Item = dict[str, Any]


def snake(name: str) -> str:
    """Return a name of the ABI as Python spells it."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def signature(item: Item) -> str:
    """Return the type of an item as signatures spell it."""
    kind = str(item["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(map(signature, item['components']))}){kind.removeprefix('tuple')}"


def shown(item: Item) -> str:
    """Return an item with its name, for people."""
    kind = struct_of(item) if item["type"] == "tuple" else item["type"]
    return " ".join((kind, *["indexed"] * bool(item.get("indexed")), *filter(None, [item["name"]])))


def struct_of(item: Item) -> str:
    """Return the name of a struct in the contract."""
    return str(item["internalType"]).rpartition(".")[2].removeprefix("struct ")


def is_dynamic(item: Item) -> bool:
    """Return whether a value has no fixed length."""
    if item["type"] == "tuple":
        return any(map(is_dynamic, item["components"]))
    return item["type"] in ("string", "bytes") or item["type"].endswith("]")


def words_of(item: Item) -> int:
    """Return how many words a value takes in the head."""
    if item["type"] == "tuple" and not is_dynamic(item):
        return sum(map(words_of, item["components"]))
    return 1


@dataclass
class Mode:
    """What differs between events and calls: names, and how numbers and texts are given."""

    is_event: bool

    def key(self, item: Item, position: int) -> str:
        """Return the name of a value in the answer."""
        name = item["name"] or f"argument{position}"
        return snake(name) if self.is_event else name

    def one_word(self, item: Item, name: str) -> str:
        """Return the expression of a value of one word, as ``Layout`` gives it."""
        kind = item["type"]
        if kind == "bool":
            return name
        if self.is_event and kind == "bytes2":
            return f"country({name})"
        if kind == "address" or kind.startswith("bytes"):
            return f'"0x" + {name}.hex()'
        found = re.fullmatch(r"(u?)int(\d+)", kind)
        if found is None:
            raise NotImplementedError(f"no reader for {kind}; add one to words.py and here")
        bits, read = int(found[2]), name
        if not found[1]:
            read = f"sint({name}, {bits})"
        elif bits > LAYOUT_NUMBER_BITS:
            read = f"integer({name})"
        return read if self.is_event or bits <= JSON_SAFE_BITS else f"number({read})"

    def dynamic(self, item: Item, place: str) -> str:
        """Return the expression that reads a value of any length, and where it ends."""
        kind = item["type"]
        if kind == "string":
            return f"{'text' if self.is_event else 'strict_text'}(body, {place})"
        if kind == "bytes":
            return f"hex_bytes(body, {place})"
        if kind == "bytes[]":
            return f"hex_bytes_array(body, {place})"
        if kind in ("address[]", "bytes32[]", "uint64[]", "uint256[]", "int256[]"):
            return f"array(body, {place}, {kind.removesuffix('[]')})"
        raise NotImplementedError(f"no reader for {kind}; add one to words.py and here")

    def final(self, item: Item, name: str) -> str:
        """Return a value that was read, as the answer holds it."""
        if self.is_event and item["type"].endswith("]"):
            return f"tuple({name})"
        wide = re.fullmatch(r"u?int(\d+)\[\]", item["type"])
        if not self.is_event and wide and int(wide[1]) > JSON_SAFE_BITS:
            return f"[number(each) for each in {name}]"
        return name

    def made(self, item: Item, values: Sequence[str]) -> str:
        """Return a struct: of an event as one of ours, of a call as a dict."""
        if self.is_event:
            return f"{STRUCTS[struct_of(item)]}({', '.join(values)})"
        return answer(self, item["components"], values)


def variable(item: Item, position: int) -> str:
    """Return the name of the variable for a value."""
    name = snake(item["name"] or f"argument{position}")
    return f"{name}_" if name in {"from", "end", "body", "id", "tuple", *readers()} else name


@cache
def readers() -> tuple[str, ...]:
    """Return the names that ``words`` has for decoders."""
    words = (FOLDER / "words.py").read_text(encoding="utf-8")
    return tuple(
        re.findall(r"^(?:def |class )?([A-Za-z]\w*)(?=\(| = |:$)", words, flags=re.MULTILINE)
    )


def described(item_name: str, inputs: Sequence[Item], what: str) -> list[str]:
    """Return a docstring, and the signature below it as a comment."""
    text = f"{item_name}({', '.join(map(shown, inputs))})"
    comment = textwrap.wrap(text, 90, initial_indent="    # ", subsequent_indent="    #   ")
    return [f'    """{what}."""', *comment]


def answer(mode: Mode, items: Sequence[Item], values: Sequence[str]) -> str:
    """Return the dict of the values."""
    pairs = [
        f'"{mode.key(item, position)}": {value},'
        for position, (item, value) in enumerate(zip(items, values, strict=True))
    ]
    return "{" + " ".join(pairs) + "}"


@dataclass
class Place:
    """A place in the body: so many bytes after its beginning, or after a place that a variable holds."""

    after: str
    offset: int

    def __str__(self) -> str:
        if not self.after:
            return str(self.offset)
        return f"{self.after} + {self.offset}" if self.offset else self.after


@dataclass
class Words:
    """Words at fixed distances from a place, read at once: the type of each, and the variable it goes to."""

    name: str
    reads: str
    """Which words of the body, as a call of the layout."""
    entries: list[tuple[str, str | None]] = field(default_factory=list)

    def constant(self) -> list[str]:
        """Return the layout, as the module holds it."""
        kinds = textwrap.wrap(" ".join(kind for kind, _ in self.entries), 88)
        return (
            [f"{self.name} = Layout(", *[f'"{line} "' for line in kinds[:-1]]]
            + [f'"{line}"' for line in kinds[-1:] or [""]]
            + [")"]
        )

    def line(self) -> str:
        """Return the line that reads them."""
        names = [name for _, name in self.entries if name]
        call = f"{self.name}.{self.reads}"
        comma = "," * (len(names) == 1)
        return f"    ({', '.join(names)}{comma}) = {call}" if names else f"    {call}"


class Entry:
    """How the values of an event or of a call are read.

    Whatever stands at a fixed place is read first and at once: topics, heads, and those of a struct whose
    place follows. What has no fixed length is read from where the value before it ends.

    Parameters
    ----------
    name
        Of the layout.
    before
        Types of the words before the first value.
    """

    def __init__(self, mode: Mode, name: str, before: Sequence[str] = ()) -> None:
        self.mode = mode
        self.words = [Words(f"_{name.upper()}", "", [(kind, None) for kind in before])]
        self._lines: list[str | Words] = [self.words[0]]
        self._next: Place | None = None
        """Where the next value of any length begins; None: where the last one ends, the variable ``end``."""
        self.moved: list[tuple[Place, str]] = []
        """Offsets of the outermost frame: where each stands, and what it is."""

    @property
    def lines(self) -> list[str]:
        """The lines of the function, without what it returns."""
        last = ["    ends(body, end)"] if self._next is None else []
        self.words[0].reads = "begin(body)" if last else "whole(body)"
        return [line if isinstance(line, str) else line.line() for line in self._lines] + last

    def topics(self, items: Sequence[Item]) -> list[str]:
        """Read indexed values; return the expression of each."""
        return self._heads(self.words[0], items, "")[0]

    def values(self, items: Sequence[Item]) -> list[str]:
        """Read the values behind what was read so far; return the expression of each."""
        return self._frame(self.words[0], items, "", Place("", WORD * len(self.words[0].entries)))

    def _frame(self, words: Words, items: Sequence[Item], path: str, frame: Place) -> list[str]:
        found, dynamic = self._heads(words, items, path)
        self._next = Place(frame.after, frame.offset + WORD * sum(map(words_of, items)))
        for position, slot in dynamic:
            item, name = items[position], path + variable(items[position], position)
            found[position] = self._tail(words, slot, item, name, frame)
            if not path:
                at = words.entries[slot]
                told = at[1] or at[0].removeprefix("at:")
                self.moved.append((Place("", WORD * slot), told))
        return found

    def _tail(self, words: Words, slot: int, item: Item, name: str, frame: Place) -> str:
        """Read a value of any length; return its expression."""
        begins = self._next
        if begins is not None:  # known already: the offset must be this
            words.entries[slot] = (f"at:{begins.offset - frame.offset}", None)
            place = str(begins)
        else:
            words.entries[slot] = ("offset", f"{name}_at")
            place = f"tail({name}_at, {frame}, end)"
        if item["type"] != "tuple":
            self._lines.append(f"    {name}, end = {self.mode.dynamic(item, place)}")
            self._next = None
            return self.mode.final(item, name)
        if begins is None:
            begins = Place(f"{name}_frame", 0)
            words = Words(f"{words.name}_{name.upper()}", f"at(body, {begins})")
            self.words.append(words)
            self._lines += [f"    {begins} = {place}", words]
        return self.mode.made(item, self._frame(words, item["components"], f"{name}_", begins))

    def _heads(
        self, words: Words, items: Sequence[Item], path: str
    ) -> tuple[list[str], list[tuple[int, int]]]:
        """Read words; return the expression of each value, and which are offsets, by position and word."""
        found, dynamic = [], []
        for position, item in enumerate(items):
            name = path + variable(item, position)
            if is_dynamic(item):
                dynamic.append((position, len(words.entries)))
                words.entries.append(("offset", None))
                found.append("")
            elif item["type"] == "tuple":
                parts, _ = self._heads(words, item["components"], f"{name}_")
                found.append(self.mode.made(item, parts))
            else:
                words.entries.append((item["type"], name))
                found.append(self.mode.one_word(item, name))
        return found, dynamic


# ------------------------------------------------------------------------- events


def event_reader(entry: Item, known: set[str]) -> list[list[str]]:
    """Return the layouts of an event, and the function that decodes it."""
    inputs = entry["inputs"]
    indexed = [item for item in inputs if item["indexed"]]
    plain = [item for item in inputs if not item["indexed"]]
    mode, name = Mode(is_event=True), snake(entry["name"])
    reader = Entry(mode, name, ["topic"])
    from_topics = iter(reader.topics(indexed))
    from_data = iter(reader.values(plain))
    values = [next(from_topics if item["indexed"] else from_data) for item in inputs]
    if entry["name"] in known:  # the fields of the struct are in the order of the ABI
        made = f"{entry['name']}({', '.join(values)})"
    else:
        made = f"PlainEvent({answer(mode, inputs, values)})"
    return [
        *[words.constant() for words in reader.words],
        [
            f"def {name}(body: bytes) -> Decoded:",
            *described(entry["name"], inputs, "Decode an event"),
            *reader.lines,
            f"    return {made}, {preimage(inputs, reader.moved)}",
        ],
    ]


def preimage(inputs: Sequence[Item], offsets: Sequence[tuple[Place, str]]) -> str:
    """Return what the record of the credit log is the hash of: everything before ``seq``, encoded anew.

    Topic and indexed values come first. Fewer words stand between them and the tails than in the log,
    since ``seq`` and ``head`` are left out, and the offsets count from the topic.
    """
    if [item["name"] for item in inputs[-2:]] != ["seq", "head"]:
        return "None"
    order = [bool(item["indexed"]) for item in inputs]
    assert order == sorted(order, reverse=True), "indexed values come first"
    data = WORD * (1 + sum(order))
    tails = WORD * (1 + sum(map(words_of, inputs)))
    pieces, since = [], 0
    for place, told in offsets:
        by = data - 2 * WORD
        here = str(int(told) + by) if told.isdigit() else f"{told} + {by}"
        pieces += [f"body[{since}:{place}]", f"word({here})"]
        since = place.offset + WORD
    if not pieces:
        return f"body[:{tails - 2 * WORD}]"
    if since < tails - 2 * WORD:
        pieces.append(f"body[{since}:{tails - 2 * WORD}]")
    pieces.append(f"body[{tails}:]")
    return " + ".join(pieces).replace("body[0:", "body[:")


def events_module(contract: str, abi: Sequence[Item]) -> str:
    """Return the text of a contract's module of events."""
    entries = [item for item in abi if item["type"] == "event"]
    source = (ROOT / "ledger" / "chain" / f"{DATACLASSES[contract]}.py").read_text(encoding="utf-8")
    known = set(re.findall(r"^class (\w+)", source, flags=re.MULTILINE))
    blocks = [block for entry in entries for block in event_reader(entry, known)]
    rows = []
    for entry in entries:
        topic = "0x" + keccak(text=f"{entry['name']}({types(entry)})").hex()
        count = 1 + sum(item["indexed"] for item in entry["inputs"])
        rows.append(f'    "{topic}": ("{entry["name"]}", {count}, {snake(entry["name"])}),')
    table = ["EVENTS: dict[str, tuple[str, int, Callable[[bytes], Decoded]]] = {", *rows, "}"]
    names = sorted(
        {name for name in known if any(re.search(rf"\b{name}\(", "\n".join(b)) for b in blocks)}
    )
    head = [
        f'"""The events of ``{contract}``: generated by ``scripts/generate_decoders.py``, not written."""',
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Callable",
        "",
        f"from ledger.chain.{DATACLASSES[contract]} import {', '.join(names)}",
        words_imported(blocks, ["Decoded"]),
        "from ledger.chain.plain_event import PlainEvent",
    ]
    end = '"""Name, number of topics and decoder of each event, by its first topic."""'
    return assembled(head, [*blocks, [*table, end]])


# -------------------------------------------------------------------------- calls


def call_reader(entry: Item) -> list[list[str]]:
    """Return the layouts of a call, and the function that decodes its arguments."""
    inputs, mode, name = entry["inputs"], Mode(is_event=False), snake(entry["name"])
    reader = Entry(mode, name)
    values = reader.values(inputs)
    return [
        *[words.constant() for words in reader.words],
        [
            f"def {name}(body: bytes) -> dict[str, Any]:",
            *described(entry["name"], inputs, "Decode the arguments of a call"),
            *reader.lines,
            f"    return {answer(mode, inputs, values)}",
        ],
    ]


def calls_module(contract: str, abi: Sequence[Item]) -> str:
    """Return the text of a contract's module of calls."""
    entries = [
        item
        for item in abi
        if item["type"] == "function" and item["stateMutability"] not in ("view", "pure")
    ]
    blocks = [block for entry in entries for block in call_reader(entry)]
    rows = []
    for entry in entries:
        selector = "0x" + keccak(text=f"{entry['name']}({types(entry)})")[:4].hex()
        rows.append(f'    "{selector}": ("{entry["name"]}", {snake(entry["name"])}),')
    table = ["CALLS: dict[str, tuple[str, Callable[[bytes], dict[str, Any]]]] = {", *rows, "}"]
    head = [
        f'"""The calls of ``{contract}``: generated by ``scripts/generate_decoders.py``, not written."""',
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Callable",
        "from typing import Any",
        "",
        words_imported(blocks, []),
    ]
    end = '"""Name and decoder of each function that is no view, by its selector."""'
    return assembled(head, [*blocks, [*table, end]])


# --------------------------------------------------------------------------- text


def types(entry: Item) -> str:
    """Return the types of an entry's inputs, as its signature lists them."""
    return ",".join(map(signature, entry["inputs"]))


def words_imported(blocks: Sequence[Sequence[str]], always: Sequence[str]) -> str:
    """Return the import of the readers that a module uses."""
    code = "\n".join(
        line for block in blocks for line in block if not line.lstrip().startswith(("#", '"""'))
    )
    used = [name for name in readers() if re.search(rf"(?<![\w\"]){name}(\(|\))", code)]
    return f"from ledger.chain.decoders.words import {', '.join(sorted([*always, *used]))}"


def assembled(head: Sequence[str], blocks: Sequence[Sequence[str]]) -> str:
    """Return a module, formatted as the house formats."""
    text = "\n\n\n".join("\n".join(block) for block in [head, *blocks]) + "\n"
    for arguments in (["check", "--select", "I", "--fix-only", "--quiet"], ["format"]):
        command = ["ruff", *arguments, "--stdin-filename", str(FOLDER / "generated.py"), "-"]
        text = subprocess.run(
            command, input=text, capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout
    return text


def generate(check: bool = False) -> list[str]:
    """Write the modules, or only compare them; return the names of those that differ."""
    different = []
    for contract in CONTRACTS:
        abi = json.loads((ABI / f"{contract}.json").read_text(encoding="utf-8"))["abi"]
        made = {"events": events_module(contract, abi), "calls": calls_module(contract, abi)}
        for what, text in made.items():
            path = FOLDER / f"{snake(contract)}_{what}.py"
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                different.append(path.name)
                if not check:
                    path.write_text(text, encoding="utf-8")
    return different


def main() -> None:
    check = "--check" in sys.argv[1:]
    different = generate(check)
    for name in different:
        print(f"{name}: {'differs from the ABI' if check else 'written'}")
    if check and different:
        sys.exit(1)


if __name__ == "__main__":
    main()
