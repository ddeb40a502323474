"""A module of the tests in a process of its own, beside the test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def second_program(module: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a module in a process of its own until the block ends; it has said a word when the block begins."""
    process = subprocess.Popen([sys.executable, "-m", module, *words], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()
