"""Entry point: arguments in, exit status out."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, or the console without one; return the exit status. Never raises."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments == ["--version"]:
        from vestige_tui import __version__

        print(f"vestige-tui {__version__}")
        return 0
    if set(arguments) == {"--version", "--verbose"}:
        arguments = ["about"]
    from vestige_tui.cli.program import run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
