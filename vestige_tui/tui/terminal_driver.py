"""The console's terminal: Textual's driver, able to lend the terminal to an editor and to stop like a shell's job."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import signal
import sys
from codecs import getincrementaldecoder
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ, DefaultSelector
from typing import TYPE_CHECKING, Any

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

from vestige_tui.core.encodings import encodable, encoding_of
from vestige_tui.tui.anchors import anchored

if TYPE_CHECKING:
    from textual.app import App

log = logging.getLogger(__name__)

READ_SECONDS = 0.1
READ_BYTES = 4096


class TerminalDriver(LinuxDriver):
    """Driver that writes only while the terminal is its own.

    Textual handles SIGTSTP and SIGCONT inside the interrupted call, here they are callbacks of the event loop: a stop
    in the middle of a write would wait for itself.
    """

    def __init__(
        self, app: App[object], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        # The exported COLUMNS and LINES, which Textual would take, may be those of another terminal.
        super().__init__(app, debug=debug, mouse=mouse, size=size or self._get_terminal_size())
        self._encoding = encoding_of(sys.__stderr__) if sys.__stderr__ is not None else "ascii"
        self._active = False
        self._initial_attributes: list[Any] | None = None

    @property
    def active(self) -> bool:
        """True while the terminal shows the console."""
        return self._active

    def _get_terminal_size(self) -> tuple[int, int]:
        for stream in (sys.__stdout__, sys.__stderr__, sys.__stdin__):
            with suppress(OSError, ValueError, AttributeError):
                columns, rows = os.get_terminal_size(stream.fileno())  # type: ignore[union-attr]
                if columns and rows:
                    return columns, rows
        size = shutil.get_terminal_size()
        return size.columns, size.lines

    def write(self, data: str) -> None:
        # A terminal that has gone away has ended the writer; its full queue would block the event loop.
        if self._active and self._writer_thread is not None and self._writer_thread.is_alive():
            super().write(encodable(anchored(data), self._encoding))

    def run_input_thread(self) -> None:
        """Read keys until the terminal is lent or gone; bytes and sequences that are none are read over.

        Textual's own loop ends the console with the first of them, and spins at the end of a terminal.
        """
        decoder = getincrementaldecoder(self._encoding if self._encoding != "ascii" else "utf-8")("replace")
        parser = XTermParser(self._debug)
        with DefaultSelector() as selector:
            selector.register(self.fileno, EVENT_READ)
            while not self.exit_event.is_set():
                typed = ""
                if selector.select(READ_SECONDS):
                    try:
                        data = os.read(self.fileno, READ_BYTES)
                    except OSError as error:
                        log.debug("The terminal cannot be read: %s", error)
                        data = b""
                    if not data:
                        self._loop.call_soon_threadsafe(partial(self._app.exit, return_code=128 + signal.SIGHUP))
                        return
                    typed = decoder.decode(data)
                # Each sequence by itself, so that a malformed one takes no key with it.
                for piece in filter(None, re.split("(?=\x1b)", typed)):
                    try:
                        for message in parser.feed(piece):
                            self.process_message(message)
                    except ValueError as error:
                        log.debug("The terminal sent a malformed sequence: %s", error)
                        parser = XTermParser(self._debug)
                for message in parser.tick():
                    self.process_message(message)

    def start_application_mode(self) -> None:
        if self._active:
            return
        self._active = True
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if self._key_thread is None or not self._key_thread.is_alive():
            # In the background: SIGCONT starts it again in the foreground.
            self._active = False
            return
        # An editor that was killed, or a shell that restores a job's settings, leaves other ones behind.
        self._initial_attributes = self._initial_attributes or self.attrs_before
        self.attrs_before = self._initial_attributes
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTSTP, self.stop_process)
        loop.add_signal_handler(signal.SIGCONT, self._continue)

    def stop_application_mode(self) -> None:
        if self._active:
            super().stop_application_mode()
            self._active = False

    def close(self) -> None:
        self._active = False
        super().close()

    def stop_process(self, *, group: bool = False) -> None:
        """Stop this process, or its whole group as ctrl+z does at a shell, and go on when it is continued.

        Where no shell could continue it the kernel does not stop it, and it goes on at once.
        """
        loop = asyncio.get_running_loop()
        was_active = self._active
        if was_active:
            self.suspend_application_mode()
        for number in (signal.SIGTSTP, signal.SIGCONT):
            loop.remove_signal_handler(number)
        os.kill(0 if group else os.getpid(), signal.SIGTSTP)
        loop.add_signal_handler(signal.SIGTSTP, self.stop_process)
        loop.add_signal_handler(signal.SIGCONT, self._continue)
        if was_active:
            self._resume()

    def _continue(self) -> None:
        """Take the terminal again after SIGCONT: SIGSTOP left no time to give it back before."""
        if not self._auto_restart:
            return
        if self._is_in_background():
            os.kill(os.getpid(), signal.SIGSTOP)
            return
        if self._active:
            self.disable_input()
            self.close()
        self._resume()

    def _is_in_background(self) -> bool:
        try:
            return os.tcgetpgrp(self.fileno) != os.getpgrp()
        except OSError:
            return False

    def _resume(self) -> None:
        self.resume_application_mode()
        if self._active:
            self._app.call_later(partial(self._app.refresh, layout=True))
            self._app.post_message(self.SignalResume())
