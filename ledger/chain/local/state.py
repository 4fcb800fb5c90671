"""The saved state of a local chain: never lost for the next one, and mended before Anvil loads it.

Anvil writes its state when it ends, over whatever is there. A full disk would cut short the only one, so it is given
another place, and what is whole there takes the place of the state before.

Every start of Anvil makes a new first block, with the time of day in it, and saves it beside those of
earlier starts. The next start then answers with any one of them for block 0, so that the chain seems
to be another one. Kept is the one that block 1 stands on: the oldest, unless the clock was set back for one of them.
"""

from __future__ import annotations

import codecs
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from tiny_keccak import keccak256

from ledger.errors import DependencyDown

STATES_KEPT = 128
"""States of former blocks that a node keeps, as many as a full node of another make.

Each is a copy of all accounts and all storage: a chain of some thousand blocks with all of them could neither be saved
nor loaded in time.
"""
STATES_LOADED = STATES_KEPT // 2
"""Of these, how many the next node begins with.

Anvil saves them in any order, and forgets them in that. Once it does, as many blocks are new.
"""
ANEW = "or begin anew: the demonstration with `truetonne demo --fresh`, a park of your own in another home"
"""What is left where a local chain cannot be brought back; the demonstration drops no books of others."""


def place_beside(state: Path) -> Path:
    """Return where a node writes its state when it ends; while it runs, an empty file is there."""
    return state.with_suffix(".next")


def take_saved(state: Path) -> bool:
    """Put what the last node saved in the place of the state before it.

    Returns
    -------
    bool
        Whether the state is the last node's: False when that was killed, or what it wrote was cut short.
    """
    saved = place_beside(state)
    try:
        with saved.open("rb") as file:
            # Read to its end, without making objects of it.
            msgspec.json.decode(file.read(), type=msgspec.Raw)
            os.fsync(file.fileno())
        os.replace(saved, state)
    except FileNotFoundError:
        return True  # it was taken when that node ended, or there was none
    except ValueError:
        os.truncate(saved, 0)  # half of one is of no use, and takes the room that others need
        return False
    except OSError:
        return False
    return True


def saved_at(state: Path) -> datetime | None:
    """Return when a state was saved; None when there is none."""
    try:
        return datetime.fromtimestamp(state.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def keep_first_genesis(state: Path) -> int:
    """Remove the first blocks that later starts added to a state file; return how many they were.

    Of the states of former blocks the latest ``STATES_LOADED`` are kept.

    Raises
    ------
    DependencyDown
        If the file is not a state of Anvil, or cannot be written anew.
    """
    try:
        # Of years of transactions no objects are made: they took three times the memory of the file.
        content = state.read_bytes()
        _require_text(content)
        document = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        blocks = [_Block.read(part) for part in _parts(document["blocks"])]
        states = _parts(document["historical_states"]) if "historical_states" in document else []
        latest = states
        if len(states) > STATES_LOADED:
            latest = _latest_states(states, blocks)
        firsts = [block for block in blocks if int(block.header["number"], 16) == 0]
        first = _first_of(firsts, blocks)
    except FileNotFoundError:
        return 0  # nothing was saved yet
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DependencyDown(
            f"{state}: not the state of a local chain ({error}); restore that file; {ANEW}",
            code="chain-lost",
        ) from error
    if len(firsts) > 1 or latest is not states:
        later = {id(block) for block in firsts} - {id(first)}
        lists = {"blocks": [block.whole for block in blocks if id(block) not in later]}
        if latest is not states:
            lists["historical_states"] = latest
        _replace(state, _text_of(document, lists))
    return len(firsts) - 1


def _text_of(
    document: Mapping[str, msgspec.Raw], lists: Mapping[str, Sequence[msgspec.Raw]]
) -> Iterator[bytes | msgspec.Raw]:
    """Yield the text of a state with other lists in it, piece by piece, since all of it is as long as the state."""
    comma = b"{"
    for name, text in document.items():
        yield comma + msgspec.json.encode(name) + b":"
        yield text if name not in lists else msgspec.json.encode(lists[name])
        comma = b","
    yield b"}"


class _Headed(msgspec.Struct):
    """What is read of a block: its header."""

    header: dict[str, Any]


@dataclass(frozen=True)
class _Block:
    """A block as it was saved, with its header."""

    header: dict[str, Any]
    whole: msgspec.Raw

    @classmethod
    def read(cls, part: msgspec.Raw) -> _Block:
        """Return a block of its text."""
        return cls(msgspec.json.decode(part, type=_Headed).header, part)


def _require_text(content: bytes) -> None:
    """Read a state as text, piece by piece: a text of which no objects are made is not looked into."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(content), 2**16):
        decoder.decode(content[start : start + 2**16])


def _parts(text: msgspec.Raw) -> list[msgspec.Raw]:
    """Return the members of a list as they stand; none of a null."""
    return msgspec.json.decode(text, type=list[msgspec.Raw] | None) or []


def _latest_states(states: list[msgspec.Raw], blocks: list[_Block]) -> list[msgspec.Raw]:
    """Return the states of the latest blocks, each with the hash of its block."""
    by_hash = {msgspec.json.decode(_parts(item)[0]): item for item in states}
    found: list[msgspec.Raw] = []
    for block in sorted(blocks, key=lambda block: -int(block.header["number"], 16)):
        item = by_hash.get(_hash_of(block.header))
        if item is not None:
            found.append(item)
        if len(found) == STATES_LOADED:
            break
    return found


def _first_of(firsts: list[_Block], blocks: list[_Block]) -> _Block:
    """Return the first block that block 1 stands on; the oldest, where there is no block 1 that says."""
    if len(firsts) > 1:
        ones = (block.header for block in blocks if int(block.header["number"], 16) == 1)
        parents = {header.get("parentHash") for header in ones} - {None}
        for block in firsts:
            if parents and _hash_of(block.header) in parents:
                return block
    return min(firsts, key=lambda block: int(block.header["timestamp"], 16))


def _hash_of(header: dict[str, Any]) -> str:
    """Return the hash of a header as Anvil saves it, with the names that a node answers by."""
    from ledger.proofs.encoding import header as encoded  # for a clock that was set back alone

    return "0x" + keccak256(encoded(header)).hex()


def _replace(state: Path, content: Iterable[bytes | msgspec.Raw]) -> None:
    """Put other content into a state, which was saved when it was."""
    draft = state.with_suffix(".new")
    try:
        with draft.open("wb") as file:
            for piece in content:
                file.write(piece)
        shutil.copystat(state, draft)
        os.replace(draft, state)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise DependencyDown(
            f"{draft}: cannot be written ({error.strerror}); the local chain needs room for a second state, "
            f"{state.stat().st_size // 2**20 + 1} MiB"
        ) from error
