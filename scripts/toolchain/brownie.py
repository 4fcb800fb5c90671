"""Brownie's command line with less to do, see ``brownie_lightness``; ``./dev brownie`` runs it."""

import sys

from scripts.toolchain.brownie_lightness import read_trees_once


def main() -> None:
    import brownie._cli.__main__ as program

    read_trees_once()
    sys.exit(program.main())


if __name__ == "__main__":
    main()
