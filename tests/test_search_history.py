"""The search history: its lines, its file, and the walk through it."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from vestige_tui.config.search_history import (
    MAX_LINE_CHARS,
    MAX_LINES,
    HistoryWalk,
    SearchHistory,
    search_history,
)
from vestige_tui.config.settings import Config


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "search-history"


@pytest.fixture
def history(file: Path) -> SearchHistory:
    return SearchHistory(file)


def test_a_line_that_comes_again_moves_to_the_end(file: Path, history: SearchHistory) -> None:
    for line in ("one", "two", "one", "  ", "", "three\nlines\x1b[31m"):
        history.add(line)
    assert history.read() == ("two", "one", "three lines\ufffd[31m")


def test_only_the_owner_may_read_the_file(file: Path, history: SearchHistory) -> None:
    history.add("one")
    file.chmod(0o644)
    history.add("two")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_the_newest_lines_are_kept(file: Path, history: SearchHistory) -> None:
    file.parent.mkdir()
    file.write_text("".join(f"line {number}\n" for number in range(MAX_LINES + 50)))
    lines = history.add("new")
    assert (len(lines), lines[0], lines[-1]) == (MAX_LINES, "line 51", "new")
    assert history.add("x" * (MAX_LINE_CHARS + 1))[-1] == "new"


def test_a_damaged_file_is_read_as_far_as_it_goes(file: Path, history: SearchHistory) -> None:
    file.parent.mkdir()
    file.write_bytes(b"one\n\xff\xfe\x00two\nthree")
    assert history.read() == ("one", "\ufffd\ufffd\ufffdtwo", "three")
    assert history.add("four")[-2:] == ("three", "four")


def test_consoles_that_write_at_once_lose_no_line(file: Path, history: SearchHistory) -> None:
    script = "import sys, pathlib; from vestige_tui.config.search_history import SearchHistory\n"
    script += "[SearchHistory(pathlib.Path(sys.argv[1])).add(f'{sys.argv[2]} {n}') for n in range(20)]"
    command = [sys.executable, "-c", script, str(file)]
    processes = [subprocess.Popen([*command, name]) for name in ("one", "two", "three")]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert set(history.read()) == {f"{name} {number}" for name in ("one", "two", "three") for number in range(20)}


def test_a_walk_goes_back_and_returns_to_the_draft() -> None:
    walk = HistoryWalk(("a", "b", "c"), "draft")
    lines = []
    for _ in range(4):
        walk = walk.older()
        lines.append(walk.line)
    assert lines == ["c", "b", "a", "a"]
    newer = walk.newer()
    assert newer is not None
    assert newer.line == "b"
    last = newer.newer()
    assert last is not None
    draft = last.newer()
    assert draft is not None
    assert (last.line, draft.line, draft.newer()) == ("c", "draft", None)


def test_a_walk_skips_the_line_that_is_there() -> None:
    assert HistoryWalk(("a", "b"), "b").older().line == "a"
    assert HistoryWalk((), "draft").older().line == "draft"


def test_without_a_file_the_history_lasts_as_long_as_the_console(tmp_path: Path) -> None:
    history = SearchHistory(None)
    history.add("one")
    assert history.add("two") == history.read() == ("one", "two")


def test_the_settings_and_a_home_of_its_own_decide_about_the_file(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = search_history(Config())
    assert history is not None
    assert history.path == state / "search-history"
    assert search_history(Config(history=False)) is None
    monkeypatch.setenv("VESTIGE_TUI_HOME", str(tmp_path / "own"))
    own = search_history(Config())
    assert own is not None
    assert own.path is None
