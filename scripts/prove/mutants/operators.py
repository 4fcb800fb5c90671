"""From the compiler's syntax tree to faults: each is a stretch of source with something else in it.

An operator looks at one node and says what to write instead. Names are made of the contract, the
function, the operator and the text that is replaced, so that they outlive other lines' changes.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Node = dict[str, Any]
Edit = tuple[int, int, str]  # from, to, what stands there instead; in bytes

BOUNDARY = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
ARITHMETIC = {"+": "-", "-": "+", "*": "/", "/": "*", "%": "/", "<<": ">>", ">>": "<<"}
LOGIC = {"&&": "||", "||": "&&", "&": "|", "|": "&"}
COMPOUND = {"+=": "-=", "-=": "+=", "|=": "&=", "&=": "|="}
YUL = {"lt": "gt", "gt": "lt", "add": "sub", "sub": "add", "shl": "shr", "shr": "shl"}


@dataclass(frozen=True)
class Mutant:
    """One fault in one file."""

    name: str
    file: str
    line: int
    start: int
    end: int
    text: str

    def apply(self, source: bytes) -> bytes:
        """Return the source with the fault in it."""
        return source[: self.start] + self.text.encode() + source[self.end :]

    def diff(self, source: bytes) -> str:
        """Return what the fault changes, as a diff without context."""
        before, after = source.decode().splitlines(), self.apply(source).decode().splitlines()
        lines = list(difflib.unified_diff(before, after, self.file, self.file, "", "", 0, ""))
        return "\n".join(lines)


def mutants(file: str, source: bytes, tree: Node) -> list[Mutant]:
    """Return every fault of a file, in its order; two that have the same text are numbered."""
    found: list[Mutant] = []
    seen: dict[str, int] = {}
    for place, operator, (start, end, text) in _edits(tree, source):
        old = re.sub(r"\s+", " ", source[start:end].decode()).strip(" ;")
        stem = f"{place}:{operator}:{_short(old)}"
        seen[stem] = seen.get(stem, 0) + 1
        name = stem if seen[stem] == 1 else f"{stem}#{seen[stem]}"
        line = source[:start].count(b"\n") + 1
        found.append(Mutant(name, file, line, start, end, text))
    return found


def _short(text: str) -> str:
    if len(text) <= 44:
        return text
    return f"{text[:36]}…{hashlib.sha256(text.encode()).hexdigest()[:7]}"


def _edits(tree: Node, source: bytes) -> Iterator[tuple[str, str, Edit]]:
    for contract in tree["nodes"]:
        if contract["nodeType"] != "ContractDefinition":
            continue
        for node in contract["nodes"]:
            if node["nodeType"] in ("FunctionDefinition", "ModifierDefinition"):
                place = f"{contract['name']}.{node['name'] or node.get('kind')}"
            elif node["nodeType"] == "VariableDeclaration" and node.get("constant"):
                place = f"{contract['name']}.{node['name']}"
            else:
                continue
            for inner in walk(node):
                for operator, rule in OPERATORS:
                    for edit in rule(inner, source):
                        yield place, operator, edit


def walk(node: Any) -> Iterator[Node]:
    """Return a node and all below it, in the order of the source."""
    if isinstance(node, dict):
        if "nodeType" in node:
            if node["nodeType"] == "ForStatement" and node.get("loopExpression"):
                # Without it the loop never ends, which says nothing of the tests.
                node["loopExpression"]["of_loop"] = True
                node["loopExpression"]["expression"]["of_loop"] = True
            if node["nodeType"] == "RevertStatement":
                node["errorCall"]["of_revert"] = True
            yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def span(node: Node) -> tuple[int, int]:
    """Return where a node begins and ends in the source, in bytes."""
    start, length, _ = (int(part) for part in node["src"].split(":"))
    return start, start + length


# ------------------------------------------------------------------------------- operators


def _remove_check(node: Node, source: bytes) -> Iterator[Edit]:
    if node["nodeType"] == "IfStatement" and not node.get("falseBody") and _reverts(node):
        yield _without(node, source)


def _reverts(node: Node) -> bool:
    body = node["trueBody"]
    statements = body["statements"] if body["nodeType"] == "Block" else [body]
    return [each["nodeType"] for each in statements] == ["RevertStatement"]


def _remove_modifier(node: Node, source: bytes) -> Iterator[Edit]:
    if node["nodeType"] == "ModifierInvocation" and node.get("kind") == "modifierInvocation":
        yield (*span(node), "")


def _remove_statement(node: Node, source: bytes) -> Iterator[Edit]:
    if node["nodeType"] == "YulExpressionStatement":
        yield (*span(node), "")
    elif node["nodeType"] == "ExpressionStatement" and not node.get("of_loop"):
        yield _without(node, source)


def _remove_event(node: Node, source: bytes) -> Iterator[Edit]:
    if node["nodeType"] == "EmitStatement":
        yield _without(node, source)


def _without(node: Node, source: bytes) -> Edit:
    """Leave a statement out, its semicolon too; where one must stand, an empty block does."""
    start, end = span(node)
    end += source[end : end + 1] == b";"
    return start, end, "{}"


def _between(node: Node, source: bytes, table: dict[str, str]) -> Iterator[Edit]:
    if node["nodeType"] == "BinaryOperation" and node["operator"] in table:
        start, end = span(node["leftExpression"])[1], span(node["rightExpression"])[0]
        at = source.index(node["operator"].encode(), start, end)
        yield at, at + len(node["operator"]), table[node["operator"]]


def _compare(node: Node, source: bytes) -> Iterator[Edit]:
    yield from _between(node, source, BOUNDARY)


def _calculate(node: Node, source: bytes) -> Iterator[Edit]:
    if node["nodeType"] == "BinaryOperation":
        kinds = [_type(node[side]) for side in _SIDES]
        if all(kind.startswith("literal_string") for kind in kinds):
            return
    yield from _between(node, source, ARITHMETIC)


_SIDES = ("leftExpression", "rightExpression")


def _connect(node: Node, source: bytes) -> Iterator[Edit]:
    yield from _between(node, source, LOGIC)


def _assign(node: Node, source: bytes) -> Iterator[Edit]:
    if node["nodeType"] == "Assignment" and node["operator"] in COMPOUND:
        start, end = span(node["leftHandSide"])[1], span(node["rightHandSide"])[0]
        at = source.index(node["operator"].encode(), start, end)
        yield at, at + len(node["operator"]), COMPOUND[node["operator"]]


def _drop_one(node: Node, source: bytes) -> Iterator[Edit]:
    """Leave out a plus or minus one: serials, ids, ends of a range."""
    if node["nodeType"] == "BinaryOperation" and node["operator"] in "+-":
        left, right = node["leftExpression"], node["rightExpression"]
        if right["nodeType"] == "Literal" and right["value"] == "1":
            yield span(left)[1], span(right)[1], ""


def _drop_sign(node: Node, source: bytes) -> Iterator[Edit]:
    if node["nodeType"] == "UnaryOperation" and node["operator"] in ("-", "!", "~"):
        start, _ = span(node)
        yield start, start + 1, ""


def _drop_increment(node: Node, source: bytes) -> Iterator[Edit]:
    if (
        node["nodeType"] == "UnaryOperation"
        and node["operator"] in ("++", "--")
        and not (node.get("of_loop"))
    ):
        start, _ = span(node)
        yield start, start + 2, ""


def _swap_branches(node: Node, source: bytes) -> Iterator[Edit]:
    if node["nodeType"] == "Conditional":
        (a, b), (c, d) = span(node["trueExpression"]), span(node["falseExpression"])
        text = source[c:d] + source[b:c] + source[a:b]
        yield a, d, text.decode()


def _swap_arguments(node: Node, source: bytes) -> Iterator[Edit]:
    """Swap neighbours of one type in a call, as ``from`` and ``to``; not in errors."""
    if (
        node["nodeType"] != "FunctionCall"
        or node["kind"] != "functionCall"
        or (node.get("of_revert"))
    ):
        return
    given = node["arguments"]
    for left, right in pairwise(given):
        same = _type(left) == _type(right)
        (a, b), (c, d) = span(left), span(right)
        if same and source[a:b] != source[c:d] and "literal" not in _type(left):
            yield a, d, (source[c:d] + source[b:c] + source[a:b]).decode()
            return


def _type(node: Node) -> str:
    return str(node.get("typeDescriptions", {}).get("typeString"))


def _literal(node: Node, source: bytes) -> Iterator[Edit]:
    """One more than a small number; the other way round for true and false."""
    if node["nodeType"] != "Literal":
        return
    if node["kind"] == "bool":
        yield (*span(node), "false" if node["value"] == "true" else "true")
    elif node["kind"] == "number" and not node.get("subdenomination"):
        text = source[slice(*span(node))].decode()
        if re.fullmatch(r"\d+", text):
            yield (*span(node), str(int(text) + 1))


def _yul(node: Node, source: bytes) -> Iterator[Edit]:
    if node["nodeType"] == "YulFunctionCall" and node["functionName"]["name"] in YUL:
        yield (*span(node["functionName"]), YUL[node["functionName"]["name"]])


Rule = Callable[[Node, bytes], Iterator[Edit]]
OPERATORS: list[tuple[str, Rule]] = [
    ("remove-check", _remove_check),
    ("remove-modifier", _remove_modifier),
    ("remove-statement", _remove_statement),
    ("remove-event", _remove_event),
    ("compare", _compare),
    ("calculate", _calculate),
    ("connect", _connect),
    ("assign", _assign),
    ("drop-one", _drop_one),
    ("drop-sign", _drop_sign),
    ("drop-increment", _drop_increment),
    ("swap-branches", _swap_branches),
    ("swap-arguments", _swap_arguments),
    ("literal", _literal),
    ("yul", _yul),
]
