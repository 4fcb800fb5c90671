"""The saved state of a local chain, mended before Anvil loads it.

Every start of Anvil makes a new first block, with the time of day in it, and saves it beside those of
earlier starts. The next start then answers with any one of them for block 0, so that the chain seems
to be another one. The oldest is the one that block 1 stands on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from ledger.errors import DependencyDown


def keep_first_genesis(state: Path) -> int:
    """Remove the first blocks that later starts added to a state file; return how many they were.

    Raises
    ------
    DependencyDown
        If the file is not a state of Anvil.
    """
    try:
        document: dict[str, Any] = msgspec.json.decode(state.read_bytes())
        blocks: list[dict[str, Any]] = document["blocks"]
        firsts = [block for block in blocks if int(block["header"]["number"], 16) == 0]
        first = min(firsts, key=lambda block: int(block["header"]["timestamp"], 16))
    except FileNotFoundError:
        return 0  # nothing was saved yet
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DependencyDown(
            f"{state}: not the state of a local chain ({error}); restore that file, or start anew "
            "with: truetonne demo --fresh",
            code="chain-lost",
        ) from error
    if len(firsts) > 1:
        later = {id(block) for block in firsts} - {id(first)}
        document["blocks"] = [block for block in blocks if id(block) not in later]
        draft = state.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode(document))
        os.replace(draft, state)
    return len(firsts) - 1
