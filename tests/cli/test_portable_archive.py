"""A portable archive of Vestige is imported: what it holds, what is left behind, and what a broken one leaves."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import Command
from tests.support.portable_archive import archive_of, compact, table_of
from tests.support.portable_lines import export_lines
from tests.support.vestige_files import make_line, memory_id
from vestige_tui.store.open import open_store

COMPARED = ("id", "content", "node_type", "tags", "domains", "domain_scores", "created_at", "updated_at", "codebase")


def exported(url: str) -> list[dict[str, Any]]:
    async def lines() -> list[str]:
        async with open_store(url, read_only=True) as store:
            return await export_lines(store)

    return [json.loads(line) for line in asyncio.run(lines())]


def memories_of(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted((line for line in lines if line["kind"] == "memory"), key=lambda line: str(line["id"]))


@pytest.mark.slow
@pytest.mark.parametrize("version", [4, 14, 18, 28, 35, 40])
@pytest.mark.parametrize("indent", [None, 1])
def test_an_archive_is_what_its_file_is(run: Command, tmp_path: Path, version: int, indent: int | None) -> None:
    source = make_line(tmp_path / "vestige.db", version, 24)
    path, store = tmp_path / "archive.json", tmp_path / "new.db"
    archive = archive_of(source)
    path.write_text(json.dumps(archive, indent=indent))
    ran = run("--store", str(store), "--json", "import", str(path))
    assert ran.status == 0, ran
    assert (ran.json["failed"], ran.json["repaired"], ran.json["present"]) == (0, 0, 0)
    rows = {table["name"]: len(table["rows"]) for table in archive["tables"]}
    kept = ("knowledge_nodes", "memory_connections")
    assert ran.json["left_behind"] == {name: count for name, count in rows.items() if count and name not in kept}
    theirs, ours = exported(f"sqlite:{source}"), exported(f"sqlite:{store}")
    for kind in ("edge", "supersession", "mark"):
        lines = [[line for line in side if line["kind"] == kind] for side in (theirs, ours)]
        assert lines[1] == lines[0], kind
    for their, our in zip(memories_of(theirs), memories_of(ours), strict=True):
        assert [our[name] for name in COMPARED] == [their[name] for name in COMPARED]
        if their["scheduling"]["reps"]:
            assert our["scheduling"] == their["scheduling"]
        for name, value in their["metadata"]["vestige"].items():
            if value is not None:
                assert our["metadata"]["vestige"].get(name) == value, name


def test_a_preview_counts_and_creates_no_store(run: Command, tmp_path: Path) -> None:
    source = make_line(tmp_path / "vestige.db", 18, 12)
    path, store = tmp_path / "archive.json", tmp_path / "new.db"
    path.write_bytes(compact(archive_of(source)))
    ran = run("--store", str(store), "--json", "import", str(path), "--dry-run")
    assert ran.json["format"] == "a portable archive of Vestige"
    assert ran.json["kinds"]["memory"] == 12
    assert ran.json["kinds"]["edge"] == 11
    assert ran.json["left_behind"]["node_embeddings"] == 12
    assert "Not imported, rows by table: fsrs_config (1), node_embeddings (12)." in ran.err
    assert not store.exists()


def test_a_second_run_doubles_nothing_and_an_undo_removes_all(run: Command, tmp_path: Path) -> None:
    path, store = tmp_path / "archive.json", str(tmp_path / "new.db")
    path.write_bytes(compact(archive_of(make_line(tmp_path / "vestige.db", 18, 12))))
    first = run("--store", store, "--json", "import", str(path), "--format", "portable").json
    second = run("--store", store, "--json", "import", str(path)).json
    assert (second["inserted"], second["present"], second["undo"]) == (0, first["inserted"], None)
    assert run("--store", store, "undo", str(first["undo"])).status == 0
    assert run("--store", store, "--json", "list").json["items"] == []


LINK_COLUMNS = ("source_id", "target_id", "link_type", "strength")
HOSTILE = {
    "archiveFormat": "vestige.portable.v1",
    "tables": [
        table_of("nothing\x1b[31m", ["a"], [1]),
        table_of(
            "knowledge_nodes",
            ["id", "content", "tags", "created_at", "reps", "stability", "superseded_by", "source"],
            ["mem-1", "A number.", "not json", "yesterday", 3, None, "missing", b"\x00\xff"],
            ["mem-2", None, "[]", None, 0, 1.0, None, None],
            ["mem-3", "Replaced.", '["a"]', "2026-01-02T00:00:00+00:00", 0, 1.0, "mem-1", None],
            ["mem-4", "Own winner.", "[]", "2026-01-02 00:00:00", 0, 1.0, "mem-4", None],
        ),
        {"name": "knowledge_nodes", "columns": ["id", "content"], "rows": [["mem-5"], 7, [{"type": "text"}]]},
        table_of(
            "memory_connections", ["source_id", "target_id", "link_type", "strength"], ["mem-1", "mem-3", "x", 7.0]
        ),
        {"rows": [[1], [2]], "name": "late", "columns": ["a"]},
    ],
    "later": {"a": [1, 2]},
}


def test_a_hostile_archive_loses_no_row_silently(run: Command, tmp_path: Path) -> None:
    path, store = tmp_path / "archive.json", str(tmp_path / "new.db")
    path.write_bytes(compact(HOSTILE))
    ran = run("--store", store, "--json", "import", str(path))
    assert ran.status == 4
    document = ran.json
    assert document["read"] == document["inserted"] + document["failed"]
    messages = " ".join(each["message"] for each in document["errors"])
    for reason in (
        "names 'missing' as its replacement",
        "has no content",
        "(row 1 of knowledge_nodes) is not a row of its columns",
        "(row 2 of knowledge_nodes)",
        "has a weight that is not between 0 and 1",
    ):
        assert reason in messages
    assert document["left_behind"] == {"nothing\x1b[31m": 1, "": 2}
    assert "\x1b" not in ran.err
    memories = {
        memory["id"]: memory for memory in run("--store", store, "--json", "list", "--superseded").json["items"]
    }
    assert set(memories) == {"mem-1", "mem-3", "mem-4"}
    assert memories["mem-1"]["metadata"]["vestige"] == {"tags": "not json", "created_at": "yesterday", "source": "00ff"}
    assert memories["mem-3"]["superseded_by"] == "mem-1"
    assert memories["mem-4"]["metadata"]["vestige"]["superseded_by"] == "mem-4"


def test_an_archive_that_ends_early_keeps_what_came_and_goes_on_later(run: Command, tmp_path: Path) -> None:
    raw = compact(archive_of(make_line(tmp_path / "vestige.db", 18, 200)))
    path, store = tmp_path / "archive.json", str(tmp_path / "new.db")
    path.write_bytes(raw[: raw.index(memory_id(150).encode())])
    ran = run("--store", store, "import", str(path))
    assert ran.status == 1
    assert "The file is damaged or ends early" in ran.err
    assert "150 read: 128 inserted, 0 already present, 0 failed.  Undo: vestige-tui undo 1" in ran.out
    path.write_bytes(raw)
    again = run("--store", store, "--json", "import", str(path)).json
    assert (again["present"], again["failed"]) == (128, 0)
    assert len(run("--store", store, "--json", "list", "--superseded", "--limit", "500").json["items"]) == 200


def test_another_version_of_the_format_is_refused(run: Command, tmp_path: Path) -> None:
    path, store = tmp_path / "archive.json", tmp_path / "new.db"
    path.write_text('{"archiveFormat":"vestige.portable.v2","tables":[]}')
    ran = run("--store", str(store), "--json", "import", str(path))
    assert (ran.status, ran.json["error"]["code"]) == (3, "refused")
    assert "import reads vestige.portable.v1" in ran.err
    assert not store.exists()
