"""Clipboard: the first way that works out of tmux, a program of the local display, and the terminal (OSC 52)."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from vestige_tui.core.errors import Refused
from vestige_tui.core.text import grouped

log = logging.getLogger(__name__)

PROGRAM_SECONDS = 3.0
"""Limit of the time that a program has to take the text."""
MAX_TERMINAL_BYTES = 74_000
"""Longest text that is sent by OSC 52; terminals drop a longer one silently."""


@dataclass(frozen=True, slots=True)
class Copied:
    """Text that was copied: by which ``way`` (``tmux``, the name of a program, or ``terminal``), and its length."""

    way: str
    characters: int

    def sentence(self, subject: str) -> str:
        """Return the sentence on a copy of ``subject``, such as ``the text``."""
        count = "1 character" if self.characters == 1 else f"{grouped(self.characters)} characters"
        if self.way == "terminal":
            return f"Sent {subject} to the terminal, {count}."
        if self.way == "tmux":
            return f"Copied {subject} to tmux, {count}; prefix ] pastes."
        return f"Copied {subject} with {self.way}, {count}."


class Clipboard:
    """Clipboard of this terminal. ``send`` writes an escape sequence to it; ``env`` tells which ways there are.

    A program has ``patience_seconds`` to take the text.
    """

    def __init__(
        self,
        send: Callable[[str], None],
        env: Mapping[str, str] = os.environ,
        *,
        patience_seconds: float = PROGRAM_SECONDS,
    ) -> None:
        self._send = send
        self._env = env
        self._patience_seconds = patience_seconds

    async def copy(self, text: str, *, instead: str = "") -> Copied:
        """Copy a text; a way that fails is followed by the next one.

        Raises Refused for a text that is too long for the last way; ``instead`` is the command that writes a file.
        """
        data = text.encode("utf-8", "replace")
        for command in _commands(self._env):
            if await asyncio.to_thread(self._run, command, data):
                return Copied(command[0], len(text))
        if len(data) > MAX_TERMINAL_BYTES:
            way_out = f" Write it to a file: {instead}" if instead else ""
            raise Refused(
                f"Not copied: {grouped(len(text))} characters are too many for the terminal, which takes "
                f"{grouped(MAX_TERMINAL_BYTES)} bytes.{way_out}"
            )
        self._send(f"\x1b]52;c;{base64.b64encode(data).decode('ascii')}\a")
        return Copied("terminal", len(text))

    def _run(self, command: tuple[str, ...], data: bytes) -> bool:
        """Give the text to a program on its standard input; return whether it took it."""
        program = shutil.which(command[0], path=self._env.get("PATH"))
        if program is None:
            return False
        try:
            # A program such as xclip stays in the background: it must not hold the terminal, or end with the console.
            done = subprocess.run(
                (program, *command[1:]),
                input=data,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=self._patience_seconds,
                start_new_session=True,
                env=self._env,
            )
        except (OSError, subprocess.SubprocessError) as error:
            log.info("The clipboard program %s failed: %s", command[0], type(error).__name__)
            return False
        if done.returncode:
            log.info("The clipboard program %s ended with %s", command[0], done.returncode)
        return done.returncode == 0


def _commands(env: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Yield the commands that may reach the clipboard, best first."""
    if env.get("TMUX"):
        # With -w tmux also sets the clipboard of the terminal outside, as its default `set-clipboard external` allows;
        # the same default ignores OSC 52 of the programs inside.
        yield ("tmux", "load-buffer", "-w", "-")
    if env.get("SSH_CONNECTION"):
        # A display here would be that of another machine.
        return
    if env.get("WAYLAND_DISPLAY"):
        yield ("wl-copy",)
    if env.get("DISPLAY"):
        yield ("xclip", "-selection", "clipboard")
        yield ("xsel", "--clipboard", "--input")
    yield ("pbcopy",)
