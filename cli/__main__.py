"""``python -m cli``: the program, or how it is begun where its packages are not installed."""

import sys
from importlib.util import find_spec

if __name__ == "__main__":
    if find_spec("typer") is None:
        sys.stderr.write(
            "error: the packages of the program are not installed for this Python; "
            "in its folder, run ./dev ARGUMENTS, which installs them\n"
        )
        sys.exit(3)
    from cli.start import main

    main()
