"""Entry point: arguments in, exit status out."""

from __future__ import annotations

import sys
from collections.abc import Sequence

INTERRUPTED_STATUS = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, or the console without one; return the exit status. Never raises."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments == ["--version"]:
        from vestige_tui import __version__

        try:
            print(f"vestige-tui {__version__}", flush=True)
            return 0
        except OSError:
            pass  # reported as for every other command
    if set(arguments) == {"--version", "--verbose"}:
        arguments = ["about"]
    try:
        from vestige_tui.cli.program import run

        return run(arguments)
    except KeyboardInterrupt:
        # While the program was loaded, or once more while it said that it was interrupted.
        sys.stderr.write("Interrupted.\n")
        return INTERRUPTED_STATUS


if __name__ == "__main__":
    sys.exit(main())
