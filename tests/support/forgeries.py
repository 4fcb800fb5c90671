"""Bundles that prove nothing: designed forgeries, each with the message that it must meet."""

import json
from collections.abc import Callable
from typing import Any

import rlp
from eth_utils.crypto import keccak

Document = dict[str, Any]
Forgery = Callable[[Document], object]


def put(*path: Any, value: Any) -> Forgery:
    """Return a forgery that puts a value, or what a function makes of the old one, into a place."""

    def forge(document: Document) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value(place[path[-1]]) if callable(value) else value

    return forge


def swap(one: tuple[Any, ...], other: tuple[Any, ...]) -> Forgery:
    """Return a forgery that exchanges what stands in two places."""

    def forge(document: Document) -> None:
        first, second = (at(document, path) for path in (one, other))
        put(*one, value=second)(document)
        put(*other, value=first)(document)

    return forge


def at(document: Any, path: tuple[Any, ...]) -> Any:
    """Return what stands in a place."""
    for step in path:
        document = document[step]
    return document


def every(*forgeries: Forgery) -> Forgery:
    """Return one forgery of several."""
    return lambda document: [forge(document) for forge in forgeries]


def _twice(document: Document) -> None:
    readings = document["readings"]
    for part in ("rows", "proofs"):
        readings[part].append(readings[part][0])


def _flipped(text: str) -> str:
    return text[:-1] + format(int(text[-1], 16) ^ 1, "x")


def _rewritten(change: Callable[[bytes], bytes]) -> Callable[[list[str]], list[str]]:
    """Return a change of a proof whose last node gets another value, well encoded."""

    def rewrite(nodes: list[str]) -> list[str]:
        path, value = rlp.decode(bytes.fromhex(nodes[-1][2:]))
        return [*nodes[:-1], "0x" + rlp.encode([path, change(value)]).hex()]

    return rewrite


def _one_more_retired(value: bytes) -> bytes:
    return bytes(rlp.encode(rlp.decode(value, rlp.sedes.big_endian_int) + (1 << 48)))


def _another_code(value: bytes) -> bytes:
    *kept, _ = rlp.decode(value)
    return bytes(rlp.encode([*kept, b"\1" * 32]))


def _another_methodology(value: bytes) -> bytes:
    claimed, other = (keccak(text=f"CCER-01-00{number}/V01") for number in (2, 1))
    assert claimed in value
    return value.replace(claimed, other)


def _swap_events(document: Document) -> None:
    one, other = document["events"]
    for name in ("block", "index", "log", "transaction", "receipt"):
        one[name], other[name] = other[name], one[name]


def _without_manifest(document: Document) -> None:
    document["manifest"] = document["registered"] = None


FORGERIES: dict[str, tuple[Forgery, str]] = {
    # What the bundle is about.
    "more retired than there is": (put("serials", value=[1, 101]), "not among 1 to 100"),
    "serials upside down": (put("serials", value=[100, 1]), "not among 1 to 100"),
    "serial zero": (put("serials", value=[0, 5]), "not among 1 to 100"),
    "held serials beside the retirement of others": (put("serials", value=[200, 300]), "not among"),
    "another batch": (put("batch_id", value=lambda text: str(int(text) + 1)), "^batch: "),
    "a batch below zero": (put("batch_id", value=lambda text: str(int(text) - 2**255)), "^batch: "),
    "another chain": (put("chain_id", value=1), "on chain 1"),
    "another contract": (put("contract", value=_flipped), "^contract: the bundle is of"),
    "a creation by another salt": (
        put("creation", value={"salt": "0x" + "11" * 32, "init_code_hash": "0x" + "22" * 32}),
        "would have put it at",
    ),
    # The block and its state.
    "another header": (put("header", value=_flipped), "^block: it is block"),
    "a byte after the header": (put("header", value=lambda text: text + "00"), "^block: its RLP"),
    "junk in a proof": (put("account", value=lambda nodes: [*nodes, "0xc0"]), "belong to no path"),
    "a node twice": (put("account", value=lambda nodes: [nodes[0], *nodes]), "another hash"),
    "nodes upside down": (put("storage", "batch", value=lambda nodes: nodes[::-1]), "another hash"),
    "a proof cut short": (put("account", value=lambda nodes: nodes[:-1]), "ends before the key"),
    "a node with a byte after it": (
        put("storage", "batch", -1, value=lambda node: node + "00"),
        "another hash",
    ),
    "a slot of another name": (swap(("storage", "head"), ("storage", "admin")), "proof|path|node"),
    "a batch of nothing": (put("storage", "batch", value=[]), "ends before the key"),
    "the account of another contract": (
        lambda document: document.update(account=document["ancestors"][0]["account"]),
        "^contract: ",
    ),
    "one more retired, in a node well encoded": (
        put("storage", "batch", value=_rewritten(_one_more_retired)),
        "^batch: a node of its proof has another hash",
    ),
    "another code, in a node well encoded": (
        put("account", value=_rewritten(_another_code)),
        "^contract: a node of its proof has another hash",
    ),
    "another beneficiary, in a node well encoded": (
        put(
            *("events", 1, "receipt"),
            value=_rewritten(lambda value: value.replace(b"Kindergarten", b"Kinderheim!!")),
        ),
        "^retired: a node of its proof has another hash",
    ),
    "another methodology that was claimed, in a node well encoded": (
        put("events", 0, "receipt", value=_rewritten(_another_methodology)),
        "^issued: a node of its proof has another hash",
    ),
    # Older blocks.
    "an ancestor on itself": (put("ancestors", 0, "anchor", value=1), "leads nowhere"),
    "an ancestor without its proof": (put("ancestors", 0, "slot", value=[]), "proof ends"),
    "an ancestor that is the trusted block": (
        lambda document: document["ancestors"][0].update(header=document["header"]),
        "too far from",
    ),
    "ancestors in each other's place": (
        swap(("ancestors", 0, "header"), ("ancestors", 1, "header")),
        "^ancestor: ",
    ),
    "an ancestor for nothing": (
        put("ancestors", value=lambda blocks: [*blocks, blocks[0]]),
        "leads nowhere",
    ),
    "a block that is not there": (put("events", 0, "block", value=9), "not in the bundle"),
    # Events.
    "the receipt of the issuance, the transaction of nobody": (
        put("events", 0, "transaction", value=[]),
        "proof ends",
    ),
    "the receipt of the retirement for the issuance": (
        swap(("events", 0, "receipt"), ("events", 1, "receipt")),
        "^issued: ",
    ),
    "events in each other's place": (_swap_events, "^issued: the log is another event"),
    "the retirement first": (put("events", value=lambda events: events[::-1]), "issued, then"),
    "an event twice": (put("events", value=lambda events: [events[0], *events]), "issued, then"),
    "without its issuance": (put("events", value=lambda events: events[1:]), "issued, then"),
    "an event that is none": (put("events", 0, "kind", value="minted"), "issued, then"),
    "a log that is not there": (put("events", 0, "log", value=99), "no such log"),
    "the mint's log instead": (put("events", 0, "log", value=lambda log: log + 1), "another event"),
    "another place in the block": (put("events", 0, "index", value=1), "proof|path|no such"),
    # Evidence.
    "a manifest with a blank more": (put("manifest", value=lambda text: text + " "), "its hash"),
    "a manifest by other rules": (
        put("manifest", value=lambda text: text.replace("CCER-01-002", "CCER-01-001")),
        "^manifest: its hash",
    ),
    "an empty manifest": (put("manifest", value=""), "its hash"),
    "project and site without a manifest": (
        put("manifest", value=None),
        "^format: project and site are there, and no manifest",
    ),
    "the site for the project": (
        swap(("registered", "project"), ("registered", "site")),
        "^registered: .*(proof|path|node)",
    ),
    "a project that nobody registered": (
        put("registered", "project", value=[]),
        "^registered: its proof ends before",
    ),
    "another number of the project, in a node well encoded": (
        put("registered", "project", value=_rewritten(lambda value: b"\7")),
        "^registered: a node of its proof has another hash",
    ),
    "a reading that was more": (put("readings", "rows", 0, 5, value="61"), "no such proof"),
    "another text of a number": (put("readings", "rows", 0, 7, value="60.0"), "no such proof"),
    # Numbers are hashed as 256 bits: these have the leaf of the true ones.
    "digits that are too small": (
        put("readings", "rows", 0, 5, value=lambda digits: str(int(digits) - 2**256)),
        "5] is not what the format wants there",
    ),
    "digits that are too large": (
        put("readings", "rows", 0, 5, value=lambda digits: str(int(digits) + 2**256)),
        "5] is not what the format wants there",
    ),
    "an excluded reading that counts": (put("readings", "rows", 0, 4, value=301), "no such proof"),
    "a reading of long ago": (put("readings", "rows", 0, 1, value=1), "outside of the period"),
    "a reading that ends before it begins": (
        put("readings", "rows", 0, 1, value=2**32),
        "outside of the period",
    ),
    "a reading of another hour": (
        put("readings", "rows", 0, 2, value=lambda end: end + 3600),
        "no such proof",
    ),
    "an empty proof": (put("readings", "proofs", value=lambda rows: [[] for _ in rows]), "no such"),
    "an inner node for a reading's sibling": (
        put("readings", "proofs", 0, value=lambda nodes: nodes[1:]),
        "no such proof",
    ),
    "a reading counted twice, with its proof": (_twice, "a reading stands twice"),
    "a reading counted twice, and no manifest": (
        every(_twice, _without_manifest),
        "a reading stands twice",
    ),
    "a part of the readings as all of them": (put("readings", "proofs", value=None), "as many as"),
    "a part of them as all, without a manifest": (
        every(put("readings", "proofs", value=None), _without_manifest),
        "not exactly those",
    ),
    "no reading at all": (
        put("readings", value={"meters": [], "rows": [], "proofs": None}),
        "do not belong together",
    ),
    "no reading at all, and no manifest": (
        every(
            put("readings", value={"meters": [], "rows": [], "proofs": None}),
            _without_manifest,
        ),
        "do not belong together",
    ),
    "a row too long": (
        put("readings", "rows", 0, value=lambda row: [*row, 1]),
        r"readings.rows\[0\] is not",
    ),
    "a row too short": (
        put("readings", "rows", 0, value=lambda row: row[:-1]),
        r"readings.rows\[0\] is not",
    ),
    "a meter that the manifest does not know": (
        put("readings", "meters", value=["OTHER"]),
        "not one of the manifest",
    ),
    "a meter that no row names": (
        put("readings", "meters", value=lambda meters: [*meters, "OTHER"]),
        "do not belong together",
    ),
    "a proof for one row less": (
        put("readings", "proofs", value=lambda proofs: proofs[1:]),
        "do not belong together",
    ),
    # Spelling.
    "a key too much": (put("note", value="trust me"), "^format: bundle is not"),
    "a key too little": (lambda document: document.pop("manifest"), "^format: bundle is not"),
    "a key too much inside": (put("events", 0, "note", value=1), r"bundle.events\[0\] is not"),
    "a number as text": (put("chain_id", value="31337"), "bundle.chain_id is not"),
    "a text as number": (put("batch_id", value=8589934593), "bundle.batch_id is not"),
    "true for one": (put("events", 0, "log", value=True), r"bundle.events\[0\].log is not"),
    "one point zero": (put("chain_id", value=31337.0), "^format: not JSON"),
    "a number below zero": (put("events", 0, "index", value=-1), r"events\[0\].index is not"),
    "a number beyond its bounds": (put("events", 0, "block", value=2**16), "block is not"),
    "zeros in front": (put("batch_id", value=lambda text: "0" + text), "bundle.batch_id is not"),
    "other digits": (put("batch_id", value="８５８９９３４５９３"), "bundle.batch_id is not"),
    "a digit's separator": (put("batch_id", value="8_589_934_593"), "bundle.batch_id is not"),
    "upper-case hexadecimal": (
        put("contract", value=lambda text: "0x" + text[2:].upper()),
        "bundle.contract is not",
    ),
    "hexadecimal without 0x": (put("contract", value=lambda text: text[2:]), "contract is not"),
    "hexadecimal with blanks": (put("header", value=lambda text: text + " 00"), "header is not"),
    "nothing for bytes": (put("header", value=None), "bundle.header is not"),
    "a number for bytes": (put("header", value=0), "bundle.header is not"),
    "an object for a list": (put("ancestors", 0, "slot", value={}), r"ancestors\[0\].slot is not"),
    "half a byte": (put("header", value=lambda text: text + "0"), "header is not"),
    "half a character": (put("manifest", value="\ud800"), "bundle.manifest is not"),
    "a newer format": (put("format", value="truetonne-bundle/3"), "reads .*/1 and .*/2, and"),
    "the first format, with what is only in the second": (
        put("format", value="truetonne-bundle/1"),
        "^format: bundle is not",
    ),
    "the second format, without what it has": (
        lambda document: document.pop("registered"),
        "^format: bundle is not",
    ),
    "a format that is none": (
        put("format", value=["truetonne-bundle/2"]),
        "reads truetonne-bundle/1",
    ),
}

TEXTS: dict[str, Callable[[str], str]] = {
    "nothing": lambda text: "",
    "blanks": lambda text: " \n",
    "a list": lambda text: f"[{text}]",
    "text": json.dumps,
    "null": lambda text: "null",
    "half of it": lambda text: text[: len(text) // 2],
    "all but the end": lambda text: text[:-1],
    "two of it": lambda text: text + text,
    "a mark before it": lambda text: "\ufeff" + text,
    "a comment after it": lambda text: text + "// trust me",
    "a comma too much": lambda text: text[:-1] + ",}",
    "a key twice": lambda text: '{"chain_id":31337,' + text[1:],
    "a key twice, escaped": lambda text: '{"chain\\u005fid":31337,' + text[1:],
    "single quotes": lambda text: text.replace('"', "'"),
    "a line break in a text": lambda text: text.replace("truetonne-", "truetonne-\n", 1),
    "minus zero": lambda text: text.replace('"index":0', '"index":-0', 1),
    "an exponent": lambda text: text.replace('"index":0', '"index":0e0', 1),
    "a fraction": lambda text: text.replace('"index":0', '"index":0.0', 1),
    "two zeros": lambda text: text.replace('"index":0', '"index":00', 1),
    "not a number": lambda text: text.replace('"index":0', '"index":NaN', 1),
    "without an end": lambda text: text.replace('"index":0', '"index":Infinity', 1),
    "brackets without end": lambda text: "[" * 100_000,
    "braces without end": lambda text: '{"a":' * 100_000,
    "a bomb of digits": lambda text: text.replace('"index":0', '"index":' + "9" * 5000, 1),
}
"""Forgeries of the text itself; each is refused by the check of the format."""


def forged(text: str, forge: Forgery) -> str:
    """Return the text of a bundle after a forgery."""
    document = json.loads(text)
    forge(document)
    return json.dumps(document)
