"""Copying: the way that is taken, what each program is given, and what is said of it."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.console import open_console
from tests.support.stand_ins import StandIns
from tests.support.terminal import Terminal, isolated_env
from vestige_tui.core.errors import Refused
from vestige_tui.tui.clipboard import MAX_TERMINAL_BYTES, Clipboard

pytestmark = pytest.mark.terminal
TEXT = "Zażółć\n\t日本 'quoted' $HOME"


@pytest.fixture
def stand_ins(tmp_path: Path) -> StandIns:
    return StandIns(tmp_path / "programs")


def osc(text: str) -> str:
    return f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\a"


@pytest.mark.parametrize(
    ("env", "program", "arguments"),
    [
        ({"TMUX": "/tmp/s,1,0", "WAYLAND_DISPLAY": "w", "DISPLAY": ":0"}, "tmux", ["load-buffer", "-w", "-"]),
        ({"TMUX": "/tmp/s,1,0", "SSH_CONNECTION": "a 1 b 2"}, "tmux", ["load-buffer", "-w", "-"]),
        ({"WAYLAND_DISPLAY": "w", "DISPLAY": ":0"}, "wl-copy", [""]),
        ({"DISPLAY": ":0"}, "xclip", ["-selection", "clipboard"]),
        ({}, "pbcopy", [""]),
    ],
    ids=["tmux", "tmux over ssh", "wayland", "x11", "mac"],
)
async def test_the_best_way_is_taken_and_named(
    stand_ins: StandIns, env: dict[str, str], program: str, arguments: list[str]
) -> None:
    for name in ("tmux", "wl-copy", "xclip", "xsel", "pbcopy"):
        stand_ins.add(name)
    sent: list[str] = []
    copied = await Clipboard(sent.append, {**env, "PATH": stand_ins.path}).copy(TEXT)
    assert (copied.way, copied.characters) == (program, len(TEXT))
    assert (stand_ins.given(program), stand_ins.arguments(program)) == (TEXT, arguments)
    assert sent == []
    assert program in copied.sentence("the text")
    assert f"{len(TEXT)} characters" in copied.sentence("the text")
    assert [name for name in ("tmux", "wl-copy", "xclip", "xsel", "pbcopy") if stand_ins.given(name)] == [program]


async def test_over_ssh_no_display_is_used(stand_ins: StandIns) -> None:
    for name in ("wl-copy", "xclip", "xsel", "pbcopy"):
        stand_ins.add(name)
    env = {"SSH_CONNECTION": "a 1 b 2", "DISPLAY": ":10", "WAYLAND_DISPLAY": "w", "PATH": stand_ins.path}
    sent: list[str] = []
    copied = await Clipboard(sent.append, env).copy(TEXT)
    assert sent == [osc(TEXT)]
    assert copied.sentence("the text") == f"Sent the text to the terminal, {len(TEXT)} characters."


async def test_a_way_that_fails_or_hangs_is_followed_by_the_next(stand_ins: StandIns) -> None:
    stand_ins.add("tmux", "exit 1")
    stand_ins.add_deaf("wl-copy")
    (stand_ins.folder / "xclip").write_text("no program")
    stand_ins.add("xsel")
    env = {"TMUX": "x", "WAYLAND_DISPLAY": "w", "DISPLAY": ":0", "PATH": stand_ins.path}
    # More than a pipe holds: the program that does not read is stopped.
    text = TEXT * 20_000
    copied = await Clipboard(pytest.fail, env, patience_seconds=0.3).copy(text)
    assert copied.way == "xsel"
    assert stand_ins.given("xsel") == text


async def test_a_program_may_stay_in_the_background(stand_ins: StandIns) -> None:
    """As xclip does, to answer whoever pastes: it is not waited for, and holds no pipe of the console."""
    stand_ins.add("xclip", 'sleep 1000 & echo $! > "$0".pid')
    copied = await Clipboard(pytest.fail, {"DISPLAY": ":0", "PATH": stand_ins.path}).copy(TEXT)
    assert copied.way == "xclip"
    os.kill(int((stand_ins.folder / "xclip.pid").read_text()), signal.SIGKILL)


async def test_a_text_too_long_for_the_terminal_names_the_command_that_writes_a_file() -> None:
    sent: list[str] = []
    clipboard = Clipboard(sent.append, {"PATH": ""})
    assert (await clipboard.copy("x" * MAX_TERMINAL_BYTES)).characters == MAX_TERMINAL_BYTES
    with pytest.raises(Refused, match=r"Write it to a file: vestige-tui show 1 > file"):
        # The bytes count, not the characters.
        await clipboard.copy("é" * (MAX_TERMINAL_BYTES // 2 + 1), instead="vestige-tui show 1 > file")
    assert len(sent) == 1


async def test_any_copy_of_the_console_goes_the_same_way(
    corpus: Path, stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins.add("xclip")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("PATH", stand_ins.path)
    async with open_console(corpus) as console:
        await console.press("down", "Y")
        await console.until("with xclip, 36 characters.")
        current = console.app.clipboard
        assert stand_ins.given("xclip") == current
        console.app.copy_to_clipboard("selected")
        await console.until("Copied the selected text with xclip, 8 characters.")
        assert stand_ins.given("xclip") == "selected"


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[list[str]]:
    """A tmux with its defaults and a socket of its own."""
    command = ["tmux", "-S", str(tmp_path / "tmux"), "-f", "/dev/null"]
    yield command
    subprocess.run([*command, "kill-server"], check=False, capture_output=True)


@pytest.mark.slow
def test_a_copy_in_tmux_reaches_its_buffer_and_the_terminal_outside(
    filled: str, tmp_path: Path, tmux: list[str]
) -> None:
    program = [sys.executable, "-m", "vestige_tui", "--store", filled]

    def pane() -> str:
        return subprocess.run([*tmux, "capture-pane", "-p"], check=False, capture_output=True, text=True).stdout

    # tmux also writes to its standard input, which the terminal of a test opens for reading.
    shell = ["/bin/sh", "-c", 'exec "$@" 0<>"$(tty)" 1>&0 2>&0', "sh"]
    with Terminal([*shell, *tmux, "new-session", *program], env=isolated_env(tmp_path)) as terminal:
        terminal.until(lambda: "newest first" in pane())
        subprocess.run([*tmux, "send-keys", "Down"], check=True)
        terminal.until(lambda: re.search(r"^▌ +1|^▌.*[●○◐◇]", pane(), re.MULTILINE) is not None)
        subprocess.run([*tmux, "send-keys", "Y"], check=True)
        terminal.until(lambda: "to tmux, 36 characters" in pane())
        buffer = subprocess.run([*tmux, "show-buffer"], check=True, capture_output=True, text=True).stdout
        assert len(buffer) == 36
        sent = base64.b64encode(buffer.encode()).decode()
        terminal.until(lambda: f";{sent}" in terminal.written)
