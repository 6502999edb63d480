"""The command `onecycle`, also as `python -m onecycle`."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 failed in work, 2 wrong use."""
    try:
        from onecycle.cli import run
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        sys.stderr.write("The command line needs typer and rich. Install them with: pip install 'onecycle[cli]'\n")
        return 2
    return run(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
