"""The command `onecycle`, also available as `python -m onecycle`."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 for success, 1 for a failure, 2 for wrong usage."""
    try:
        from onecycle.cli import run
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        sys.stderr.write("The command line needs typer and rich. Install them with: pip install typer rich\n")
        return 2
    return run(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
