"""SQLite files that are replaced, removed or mixed up under an open console, empty files, and writes into damage."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from tests.faults.lab import Lab, answer, console_env, refusal, sentence_on
from tests.faults.registry import Attempt, FaultResult, fault, summarize
from tests.faults.rows import against_acknowledged, texts
from tests.support.full_store import fill
from tests.support.terminal import Terminal, console

PAGE_BYTES = 4096
WRITES = (("add", "into a damaged file"), ("import", "-"), ("vacuum",), ("undo",))


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _tag(terminal: Terminal, tag: str, answer: str) -> str:
    """Tag the memory under the cursor; return the sentence that the console answers."""
    terminal.press("t")
    terminal.until("+add -remove")
    terminal.still()
    terminal.send(f"+{tag}\r")
    return sentence_on(terminal, answer)


def _replace(path: Path, backup: Path) -> None:
    shutil.copy(backup, moved := path.with_name("moved.db"))
    moved.rename(path)


def _lose_file(lab: Lab, kind: str, sentence: str) -> Attempt:
    """Take the file of an open console away, press keys that write, and quit; compare every byte that lies there."""
    folder = lab.path(kind)
    folder.mkdir()
    path, backup = folder / "live.db", folder / "backup.db"
    asyncio.run(fill(path, 40, dimension=16))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(path, backup)
    with Terminal(console(f"sqlite:{path}"), env=console_env()) as terminal:
        terminal.until("40 memories")
        terminal.press("down")
        terminal.until("enter open")
        _tag(terminal, "in-the-log-alone", "Tagged")
        assert Path(f"{path}-wal").stat().st_size > PAGE_BYTES
        if kind == "replaced":
            _replace(path, backup)
        elif kind == "removed":
            path.unlink()
        else:
            os.truncate(path, 0)
        message = sentence_on(terminal, sentence)
        terminal.press("t")
        terminal.send("+written-later\r")
        terminal.still()
        terminal.press("escape", "ctrl+q")
        assert terminal.wait() == 0
        assert "Traceback" not in terminal.written
        assert terminal.is_restored
    if kind == "removed":
        assert not path.exists(), "the console created the file anew"
    else:
        wanted = _digest(backup) if kind == "replaced" else sha256(b"").hexdigest()
        assert _digest(path) == wanted, "the console wrote into the file that lies there now"
    if kind == "replaced":
        # The backup is whole: the log of the file before it is not taken for its own.
        assert "in-the-log-alone" not in lab.run("--store", f"sqlite:{path}", "list", "--json").out
        for side in folder.glob("live.db-*"):
            side.unlink()
        return Attempt(message, *against_acknowledged(texts(f"sqlite:{backup}"), texts(f"sqlite:{path}")))
    return Attempt(message)


def _stale_log(lab: Lab) -> Attempt:
    """Put the log of one store beside another one: it is read without that log, and not written."""
    one, other = lab.path("one.db"), lab.path("other.db")
    for path, count in ((one, 40), (other, 9)):
        asyncio.run(fill(path, count, dimension=16))
    with closing(sqlite3.connect(one)) as connection:
        connection.execute("UPDATE knowledge_nodes SET content = 'of another store'")
        connection.commit()
        log = Path(f"{one}-wal").read_bytes()
    kept, before = texts(f"sqlite:{other}"), _digest(other)
    Path(f"{other}-wal").touch(0o600)
    Path(f"{other}-wal").write_bytes(log)
    listed = lab.run("--store", f"sqlite:{other}", "list", "--json")
    assert "of another store" not in listed.out, "the log of another file was applied"
    assert len(answer(listed)["items"]) == 9
    result = lab.run("--store", f"sqlite:{other}", "add", "beside a log of another file")
    assert result.status == 3, f"ended with {result.status}"
    assert (_digest(other), Path(f"{other}-wal").read_bytes()) == (before, log), "something was written"
    Path(f"{other}-wal").unlink()
    return Attempt(refusal(result).splitlines()[-1], *against_acknowledged(kept, texts(f"sqlite:{other}")))


@fault(35, "SQLite file replaced under an open console")
def replaced_file(lab: Lab) -> FaultResult:
    return summarize(
        [
            _lose_file(lab, "replaced", "its file was replaced by another file while it was open"),
            _lose_file(lab, "removed", "was removed or renamed while it was open"),
            _lose_file(lab, "emptied", "while it was open"),
            _stale_log(lab),
        ]
    )


def damage_unread_page(path: Path) -> None:
    """Overwrite the root of a table that no ordinary command reads."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [page] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'delegations'").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(b"\xa5" * PAGE_BYTES)


@fault(36, "empty file, and a write into a damaged one")
def empty_or_damaged_file(lab: Lab) -> FaultResult:
    folder, attempts = lab.path("empty"), []
    folder.mkdir()
    empty = folder / "empty.db"
    empty.touch()
    for command in (("search", "x"), ("list",), ("stats",), ("due",), ("undo",)):
        result = lab.run("--store", f"sqlite:{empty}", *command)
        assert result.status == 3, f"{command[0]} ended with {result.status}"
        attempts.append(Attempt(refusal(result)))
        assert [each.name for each in folder.iterdir()] == ["empty.db"], f"{command[0]} left something"
        assert not empty.stat().st_size, f"{command[0]} wrote into the empty file"
    path = lab.path("damaged.db")
    asyncio.run(fill(path, 39, dimension=16))
    lab.run("--store", f"sqlite:{path}", "add", "a change that undo could take back")
    kept = texts(f"sqlite:{path}")
    damage_unread_page(path)
    before = _digest(path)
    for command in WRITES:
        result = lab.run("--store", f"sqlite:{path}", *command, stdin=b'{"content": "into a damaged file"}\n')
        assert "is damaged" in refusal(result), result.err
        assert _digest(path) == before, f"{command[0]} wrote into the damaged file"
        attempts.append(Attempt(refusal(result).splitlines()[-1]))
    assert len(answer(lab.run("--store", f"sqlite:{path}", "list", "--superseded", "--json"))["items"]) == 40
    return summarize([*attempts, Attempt(attempts[0].message, *against_acknowledged(kept, texts(f"sqlite:{path}")))])
