"""What a person at a terminal sees of tables and of progress, and what a file gets of them."""

from __future__ import annotations

import sys

import pytest

from tests.support.command_line import TtyStream
from vestige_tui.cli.output import Live, Output, ProgressLine, folded

ID = "3e386abc-1111-4222-8333-444444444444"


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> TtyStream:
    monkeypatch.setenv("COLUMNS", "80")
    return TtyStream()


def test_words_are_broken_only_where_they_fill_a_line() -> None:
    message = f"The row {ID} of /a/folder/that/is/long differs"
    for width in (40, 44, 60):
        assert " ".join(folded(message, width)) == message
        assert all(len(line) <= width for line in folded(message, width))
    assert folded("ab abcdefghij cd", 4) == ["ab", "abcd", "efgh", "ij", "cd"]
    assert folded("漢字漢字 x", 5) == ["漢字", "漢字", "x"]
    assert folded("", 5) == [""]


def test_a_reason_goes_on_below_on_a_terminal_and_is_whole_in_a_file(
    monkeypatch: pytest.MonkeyPatch, screen: TtyStream
) -> None:
    reason = "Content and updated at differ, and what the one says is not what the other one says at all."
    file = TtyStream()
    monkeypatch.setattr(file, "isatty", lambda: False)
    for stream in (screen, file):
        monkeypatch.setattr(sys, "stdout", stream)
        Output(as_json=False).table([("memories", "differ", "3e386abc", reason)], flexible=3, wrap=True)
    lines = screen.getvalue().splitlines()
    assert len(lines) > 1
    assert all(len(line) <= 80 for line in lines)
    assert " ".join(line[28:].strip() for line in lines) == reason
    assert file.getvalue() == f"memories  differ  3e386abc  {reason}\n"


def test_lines_are_written_anew_in_their_place(screen: TtyStream) -> None:
    live = Live(screen)
    live.show(["one", "two " * 40, "three"])
    assert screen.lines[0] == "one"
    assert screen.lines[1].endswith("…")
    assert len(screen.lines[1]) <= 77
    live.show(["only one"])
    assert [line for line in screen.lines if line] == ["only one"]
    screen.write("^C")
    live.leave()
    assert [line for line in screen.lines if line] == ["only one"]
    assert screen.getvalue().endswith("\n")
    live.show(["again"])
    live.end()
    assert [line for line in screen.lines if line] == ["only one"]


def test_what_ctrl_c_leaves_goes_with_the_line(monkeypatch: pytest.MonkeyPatch, screen: TtyStream) -> None:
    monkeypatch.setattr(sys, "stderr", screen)
    progress = ProgressLine("copied")
    progress.show("42 %, " + "x" * 100, 1)
    assert screen.lines[-1].startswith("42 %, ")
    screen.write("^C")
    assert len(screen.lines[-1]) < 80
    progress.end()
    assert screen.lines == [""]
