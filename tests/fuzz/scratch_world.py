"""A folder of odd files, made anew for each command, and a digest of it."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path

CONFIGS = {
    "empty.toml": b"",
    "binary.toml": bytes(range(256)) * 40,
    "nul.toml": b'[ui]\ntheme = "a\\u0000b"\n',
    "surrogate.toml": b'[ui]\ntheme = "\\ud800"\n',
    "open.toml": b"[storage",
    "deep.toml": b"a = " + b"[" * 3_000,
    "types.toml": b"storage = 1\nkeys = 2\nfilters = [1]\n",
    "storage.toml": b"[storage]\nbackend = []\n",
    "url.toml": b'[storage]\nbackend = "postgres"\n[storage.postgres]\nurl = "postgresql://me:s3cret@127.0.0.1:1/x"\n',
    "odd_url.toml": b'[storage]\nbackend = "postgres"\n[storage.postgres]\nurl = "postgresql://me:s3cret@[::1/x"\n',
    "path.toml": b'[storage]\nbackend = "sqlite"\n[storage.sqlite]\npath = "~nobody-here/x\\u0001"\n',
    "directory_path.toml": b'[storage]\nbackend = "sqlite"\n[storage.sqlite]\npath = "."\n',
    "numbers.toml": b"[review]\ndesired_retention = 1" + b"0" * 400 + b"\n",
    "more_numbers.toml": b"[review]\nnew_per_day = -1\nweights = [1" + b"0" * 400 + b"]\n",
    "weights.toml": b"[review]\nweights = [" + b"1" * 400 + b"," + b"1," * 20 + b"]\n",
    "infinite.toml": b"[review]\ndesired_retention = nan\n",
    "connections.toml": b"[storage.postgres]\nmax_connections = 9" + b"9" * 30 + b"\n",
    "keys.toml": b'[keys]\nnonsense = ""\n"a.b" = 1\n',
    "odd_keys.toml": b'[keys]\n"" = "x"\nplace.search = ["ctrl+", "\\u0007"]\n',
    "filters.toml": b'[filters]\nrecent = "type:decision since:-30d"\nodd = "since:never"\n',
    "good_filters.toml": b'[filters]\nrecent = "type:decision since:-30d"\nodd = "tag:\\"a b\\" type:x"\n',
    "model.toml": b'[embeddings]\nmodel = "none/such-model\\n"\nprovider = "nonsense"\n',
    "theme.toml": b'[ui]\ntheme = "' + b"x" * 100_000 + b'"\n',
    "utf16.toml": "[ui]\ntheme = 'x'\n".encode("utf-16"),
    "twice.toml": b"[ui]\n[ui]\n",
    "dates.toml": b"[ui]\ntheme = 2026-99-99\n",
}
PATHS = (
    "kept.db", "hard-link.db", "empty.db", "text", "fifo", "directory", "dangling", "loop", "missing", "binary.toml",
    "with%25percent.db", "a?b.db", "a#b.db", "a\nb.db", " ", "new.db", "kept.db-wal", "lines.jsonl", "no-right.db",
    "no-right/x.db", "read-only/x.db", "directory/", "\udcff.db", "link.db", "other.db", "socket",
)  # fmt: skip
_OWN_STATE = {"vestige-tui", ".local", ".cache"}
"""Folders of the log, where a case names this world as the home."""
_TEXT = b"a text that nobody may touch\n"


def make_world(folder: Path, store_file: Path | None) -> None:
    """Fill a folder with odd files; ``store_file`` is copied to ``kept.db``."""
    _remove(folder)
    folder.mkdir()
    for name, content in CONFIGS.items():
        (folder / name).write_bytes(content)
    for name in ("text", "with%25percent.db", "a?b.db", "a#b.db", "a\nb.db", "no-right.db"):
        (folder / name).write_bytes(_TEXT)
    (folder / "empty.db").touch()
    if store_file is not None:
        shutil.copyfile(store_file, folder / "kept.db")
        (folder / "hard-link.db").hardlink_to(folder / "kept.db")
        (folder / "link.db").symlink_to("kept.db")
        shutil.copyfile(store_file, folder / "other.db")
    (folder / "lines.jsonl").write_bytes(b'{"content": "one"}\n\xff\n{"kind": "edge"}\n')
    os.mkfifo(folder / "fifo")
    os.mknod(folder / "socket", stat.S_IFSOCK | 0o600)
    (folder / "dangling").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    for name in ("directory", "no-right", "read-only"):
        (folder / name).mkdir()
    (folder / "directory" / "text").write_bytes(_TEXT)
    (folder / "no-right.db").chmod(0)
    (folder / "no-right").chmod(0)
    (folder / "read-only").chmod(0o500)


def _remove(folder: Path) -> None:
    for name in ("no-right", "read-only"):
        if (folder / name).is_dir():
            (folder / name).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def digest(folder: Path) -> dict[str, str]:
    """Return kind, mode and content of every file of a folder, without side files of stores and the program's state."""
    files: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        status = path.lstat()
        if name.endswith(("-wal", "-shm")) or _OWN_STATE & {*path.parts} or _holds_only_state(path):
            continue
        content = ""
        if stat.S_ISREG(status.st_mode) and os.access(path, os.R_OK):
            content = hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
        files[name] = f"{status.st_mode:o} {content}"
    return files


def _holds_only_state(path: Path) -> bool:
    """Check whether this is a directory that was created for the program's state, as XDG's directories are."""
    if path.is_symlink() or not path.is_dir() or not os.access(path, os.R_OK | os.X_OK):
        return False
    inside = [*path.iterdir()]
    return bool(inside) and all(each.name in _OWN_STATE or _holds_only_state(each) for each in inside)
