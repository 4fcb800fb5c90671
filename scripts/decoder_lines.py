"""How the values of an event or of a call are read: lines of Python, made from the types of an ABI.

What stands at a place that is known beforehand goes into a layout (``ledger.chain.contracts.decoders.words``); what has
no fixed length is read by a call of its own, from where the value before it ends.
"""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "ledger" / "chain" / "contracts" / "decoders"
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


def described(name: str, inputs: Sequence[Item]) -> list[str]:
    """Return the docstring of a decoder: what it decodes, with the arguments in a comment where they are long."""
    arguments = f"{name}({', '.join(map(shown, inputs))})"
    line = f'    """Decode ``{arguments}``."""'
    if len(line) <= 100:
        return [line]
    comment = textwrap.wrap(arguments, 90, initial_indent="    # ", subsequent_indent="    #   ")
    return [f'    """Decode ``{name}``."""', *comment]


def answer(mode: Mode, items: Sequence[Item], values: Sequence[str]) -> str:
    """Return the dict of the values."""
    pairs = [
        f'"{mode.key(item, position)}": {value}'
        for position, (item, value) in enumerate(zip(items, values, strict=True))
    ]
    return "{" + ", ".join(pairs) + "}"


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
        names = [name for _, name in self.entries if name]
        assert len(set(names)) == len(names), f"two values of {self.name} have the same name"
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
