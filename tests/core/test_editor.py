"""The user's editor: its command however it is written, and the text that comes back from it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.polling import until
from vestige_tui.core import editor as editor_module
from vestige_tui.core.editor import EditedText, editor_command
from vestige_tui.core.errors import Refused


@pytest.fixture(autouse=True)
def drafts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all drafts of a test."""
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "drafts"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def use(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Set $EDITOR to a script in a folder with a blank in its name."""
    path = folder / "my editor" / "vi"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    monkeypatch.setenv("EDITOR", f'"{path}"')


def left(drafts: Path) -> list[bytes]:
    """The contents of the files that are kept; a folder without one counts as an empty file."""
    files = [next(folder.iterdir(), None) for folder in drafts.iterdir()]
    return [path.read_bytes() if path is not None else b"" for path in files]


@pytest.mark.parametrize(
    ("visual", "setting", "command"),
    [
        (None, None, ("vi",)),
        (" ", "\t", ("vi",)),
        (" ", "nano", ("nano",)),
        ("code --wait", "nano", ("code", "--wait")),
        (None, '"{bin}/my editor/vi" -f', ("{bin}/my editor/vi", "-f")),
        (None, "{bin}/my\\ editor/vi -c 'set tw=0'", ("{bin}/my editor/vi", "-c", "set tw=0")),
        (None, "{bin}/my editor/vi", ("{bin}/my editor/vi",)),
        (None, "{bin}/my editor/vi -f 'a b'", ("{bin}/my editor/vi", "-f", "a b")),
        (None, "~/my editor/vi", ("{bin}/my editor/vi",)),
        (None, "'~/my editor/vi' +1", ("{bin}/my editor/vi", "+1")),
        (None, "no such thing", ("no", "such", "thing")),
    ],
)
def test_a_command_is_read_as_a_shell_or_a_person_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visual: str | None, setting: str | None, command: tuple[str, ...]
) -> None:
    use(tmp_path, monkeypatch, "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("EDITOR")
    for name, value in (("VISUAL", visual), ("EDITOR", setting)):
        if value is not None:
            monkeypatch.setenv(name, value.replace("{bin}", str(tmp_path)))
    assert editor_command() == tuple(word.replace("{bin}", str(tmp_path)) for word in command)


@pytest.mark.parametrize(
    ("before", "script", "text"),
    [
        ("old", 'printf "\\357\\273\\277new" > "$1"', "new"),
        ("\ufeffold", 'printf "\\357\\273\\277new" > "$1"', "\ufeffnew"),
        ("old", 'printf "new\\n" > "$1"', "new\n"),
        ("old", 'printf "old\\n" > "$1"', "old"),
        ("old\r", 'printf "old\\r\\n" > "$1"', "old\r"),
        ("old\r", "true", "old\r"),
        ("old\n", 'printf "new\\n" > "$1"', "new\n"),
        ("old", 'printf "\\357\\273\\277old\\r\\n" > "$1"', "old"),
        ("old", 'printf new > "$1.tmp"; mv "$1.tmp" "$1"', "new"),
        ("half \ud800", "true", "half ?"),
    ],
)
async def test_a_text_comes_back_as_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drafts: Path, before: str, script: str, text: str
) -> None:
    use(tmp_path, monkeypatch, script)
    edited = EditedText(before)
    changed = await edited.edit()
    assert (edited.text, changed) == (text, text != edited.before)
    edited.discard()
    assert left(drafts) == []


@pytest.mark.parametrize(
    ("script", "sentence", "kept"),
    [
        ("exit 3", "ended with status 3; nothing was changed.", None),
        ('printf typed > "$1"; exit 1', "ended with status 1; nothing was saved. Your text is kept in", b"typed"),
        ('printf typed > "$1"; kill -TERM $$', "ended with signal 15; nothing was saved.", b"typed"),
        ('printf "gr\\374n" > "$1"', "not UTF-8; nothing was saved. Your text is kept in", b"gr\xfcn"),
        ('printf "gr\\374n" > "$1"; exit 1', "not UTF-8; nothing was saved. Your text is kept in", b"gr\xfcn"),
        ('rm "$1"', "cannot be read: No such file or directory.", None),
        ('rm -r "$(dirname "$1")"; exit 2', "cannot be read: No such file or directory.", None),
    ],
)
async def test_a_failure_changes_nothing_and_keeps_what_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drafts: Path, script: str, sentence: str, kept: bytes | None
) -> None:
    use(tmp_path, monkeypatch, script)
    with pytest.raises(Refused, match=sentence):
        await EditedText("old").edit()
    assert left(drafts) == ([] if kept is None else [kept])


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("/no/such/editor --wait", "The editor /no/such/editor cannot be started: No such file or directory. Set"),
        ("/", "The editor / cannot be started: Permission denied. Set"),
        ("vi 'open", "has an unclosed quote. Correct"),
    ],
)
async def test_an_editor_that_cannot_be_started_gives_the_terminal_back(
    monkeypatch: pytest.MonkeyPatch, drafts: Path, setting: str, sentence: str
) -> None:
    lent: list[str] = []

    @contextlib.contextmanager
    def lend() -> Iterator[None]:
        lent.append("lent")
        try:
            yield
        finally:
            lent.append("back")

    monkeypatch.setenv("EDITOR", setting)
    with pytest.raises(Refused, match=sentence):
        await EditedText("old").edit(lend)
    assert lent in ([], ["lent", "back"])
    assert left(drafts) == []


async def test_only_an_editor_that_ends_at_once_without_a_change_may_have_a_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = EditedText("old")
    use(tmp_path, monkeypatch, "true")
    assert not await edited.edit()
    assert edited.returned_at_once
    monkeypatch.setattr(editor_module, "AT_ONCE_SECONDS", 0.0)
    assert not await edited.edit()
    assert not edited.returned_at_once


async def test_the_end_of_the_wait_ends_the_editor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drafts: Path
) -> None:
    async def is_running() -> bool:
        return (tmp_path / "pid").exists()

    # The first editor ends on SIGHUP; the second ignores it, and SIGTERM ends it.
    monkeypatch.setattr(editor_module, "END_SECONDS", 1.0)
    for trap in ("", "trap '' HUP;"):
        use(
            tmp_path,
            monkeypatch,
            f"{trap} echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; exec sleep 100",
        )
        task = asyncio.create_task(EditedText("old").edit())
        await until(is_running)
        before = signal.getsignal(signal.SIGINT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert signal.getsignal(signal.SIGINT) is not before
        pid = int((tmp_path / "pid").read_text())
        (tmp_path / "pid").unlink()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert left(drafts) == []
