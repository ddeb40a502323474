"""Paths that a user wrote: one file, or one sentence."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from vestige_tui.core.errors import Unavailable, Usage
from vestige_tui.core.paths import kind_of, user_path


def test_a_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert user_path("~/x") == Path("/home/me/x")
    assert user_path("./~/x") == Path("./~/x")
    assert user_path("a~b") == Path("a~b")


@pytest.mark.parametrize("text", ["~nobody-here", "~nobody-here/x", "a\0b", "\0", "\ud800", "~\0"])
def test_a_text_that_can_name_no_file_is_wrong_usage(text: str) -> None:
    with pytest.raises(Usage) as caught:
        user_path(text)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "text",
    ["postgresql://me:s3cret@h/d\0", "postgresql://me:s3\0cret@h/d", "me:s3\ud800cret@h", "/x\0 password=s3cret"],
)
def test_a_password_in_a_text_that_can_name_no_file_is_not_told(text: str) -> None:
    with pytest.raises(Usage) as caught:
        user_path(text)
    assert "s3" not in caught.value.message
    assert "cret" not in caught.value.message


def test_bytes_that_are_no_text_stay_a_name() -> None:
    assert os.fsencode(user_path("\udcff")) == b"\xff"


def test_a_deleted_directory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(Unavailable, match="working directory was deleted"):
        user_path("x")
    assert user_path("/x") == Path("/x")


def test_the_kind_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "file").touch()
    assert kind_of(tmp_path, "it") == stat.S_IFDIR
    assert kind_of(tmp_path / "file", "it") == stat.S_IFREG
    for name in ("missing", "dangling", "file/under"):
        assert kind_of(tmp_path / name, "it") == 0
    for name in ("loop", "x" * 300):
        with pytest.raises(Unavailable, match=r"^It cannot be opened: .*\.$"):
            kind_of(tmp_path / name, "It")
