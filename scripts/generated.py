"""Files that a generator writes, and that are compared with what it would write."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path


def kept(texts: Mapping[Path, str], check: bool) -> list[str]:
    """Write the files that differ from their texts, or with ``check`` none; return the names of these files."""
    different = []
    for path, text in texts.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            different.append(path.name)
            if not check:
                path.write_text(text, encoding="utf-8")
    return different


def run(generate: Callable[[bool], list[str]]) -> None:
    """Generate, or with ``--check`` compare: exit 1 when anything differs."""
    check = "--check" in sys.argv[1:]
    different = generate(check)
    for name in different:
        print(f"{name}: {'differs' if check else 'written'}")
    if check and different:
        sys.exit(1)
