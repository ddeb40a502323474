"""An import of any format that is interrupted tells its counts and its undo; a second run doubles and loses nothing."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.portable_archive import archive_of, compact
from tests.support.portable_lines import export_lines
from tests.support.second_store import second_store
from tests.support.vestige_files import make_line
from vestige_tui.cli.import_parts import Part, archive_parts, folder_parts, parts_of
from vestige_tui.cli.import_tally import ImportTally
from vestige_tui.cli.line_import import LineImport
from vestige_tui.core.memories import Draft
from vestige_tui.import_formats.portable_archive import PortableArchive
from vestige_tui.store.store import Store

COUNT = 200
AT = "2026-01-02T03:04:05.000000+00:00"
PATIENCE_SECONDS = 120
STAMPED = {"created_at": AT, "updated_at": AT}
LINES: dict[str, Sequence[Any]] = {
    "jsonl": [{"content": f"text {n}", **STAMPED} for n in range(COUNT)],
    "vestige": [{"content": f"text {n}", "id": f"v-{n}", "nodeType": "fact", "createdAt": AT, "updatedAt": AT}
                for n in range(COUNT)],
    "mem0": [{"memory": f"text {n}", **STAMPED} for n in range(COUNT)],
    "mcp": [{"type": "entity", "name": f"n{n}", "entityType": "t", "observations": [f"text {n}"]}
            for n in range(COUNT)],
    "texts": [f"text {n}" for n in range(COUNT)],
}  # fmt: skip


def parts(name: str, folder: Path) -> Iterator[Part]:
    """The parts of a file of each format with about COUNT memories."""
    if name == "portable":
        path = folder / "vestige.db"
        return archive_parts(
            PortableArchive([compact(archive_of(path if path.exists() else make_line(path, 18, COUNT)))])
        )
    if name == "markdown":
        for number in range(COUNT):
            (folder / f"note-{number:03}.md").write_text(f"---\ntype: note\ncreated: {AT}\n---\ntext {number}\n")
        return folder_parts(folder)
    return parts_of(((n, json.dumps(line).encode()) for n, line in enumerate(LINES[name], start=1)), name)


def without_times(lines: Sequence[str]) -> list[str]:
    """The lines without times that the import itself may have set."""
    kept = [{name: value for name, value in json.loads(line).items() if name not in STAMPED} for line in lines]
    return sorted(json.dumps(line) for line in kept)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*LINES, "markdown", "portable"])
async def test_a_second_run_completes_the_first(
    store: Store,
    clock: Clock,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    first, insert_many = ImportTally(), store.memories.insert_many
    task = asyncio.ensure_future(LineImport(store, first, lambda _: None).run(parts(name, tmp_path)))
    batches = 0

    async def insert_and_cancel(drafts: Sequence[Draft], **options: Any) -> object:
        nonlocal batches
        batches += 1
        if batches == 2:
            task.cancel()
        return await insert_many(drafts, **options)

    with monkeypatch.context() as patches:
        patches.setattr(store.memories, "insert_many", insert_and_cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
    assert first.inserted == await store.memories.count() == 128
    assert first.undo is not None
    second, third = ImportTally(), ImportTally()
    await LineImport(store, second, lambda _: None).run(parts(name, tmp_path))
    assert (second.present, second.failed) == (128, 0)
    await LineImport(store, third, lambda _: None).run(parts(name, tmp_path))
    assert (third.inserted, third.present) == (0, third.read)
    assert first.inserted + second.inserted == third.read
    request.param = "sqlite"
    async with second_store(request, tmp_path, clock) as whole:
        await LineImport(whole, ImportTally(), lambda _: None).run(parts(name, tmp_path))
        if whole.memories.is_id("no uuid") == store.memories.is_id("no uuid"):
            assert without_times(await export_lines(whole)) == without_times(await export_lines(store))
    await store.journal.undo(second.undo)
    await store.journal.undo(first.undo)
    assert await store.memories.count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("name", ["jsonl", "portable"])
def test_a_process_that_ends_in_the_middle(tmp_path: Path, end: signal.Signals, name: str) -> None:
    url = f"sqlite:{tmp_path / 'new.db'}"
    if name == "portable":
        raw = json.dumps(archive_of(make_line(tmp_path / "vestige.db", 18, COUNT)), indent=1).encode()
        half = raw[: raw.index(b'"node_embeddings"') * 9 // 10]
    else:
        raw = b"".join(json.dumps(line).encode() + b"\n" for line in LINES[name])
        half = raw[: len(raw) * 9 // 20]
    command = [sys.executable, "-m", "vestige_tui", "--store", url, "import", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(half)
        process.stdin.flush()
        while count_in(tmp_path / "new.db") < 64:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(end)
        told = process.stdout.read().decode() + (process.stderr.read().decode() if process.stderr else "")
        assert process.wait(PATIENCE_SECONDS) == (-end if end == signal.SIGKILL else 130)
    stored = count_in(tmp_path / "new.db")
    if end != signal.SIGKILL:
        assert f"{stored} inserted" in told
        assert "Undo: vestige-tui undo 1" in told
    again = subprocess.run([*command, "--json"], input=raw, capture_output=True, check=False)
    document = json.loads(again.stdout)
    assert (document["present"], document["failed"]) == (stored, 0)
    assert count_in(tmp_path / "new.db") == COUNT


def count_in(path: Path) -> int:
    """How many memories a store holds; 0 before there is one."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM knowledge_nodes").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # its tables are being made
