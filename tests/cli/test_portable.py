"""import and export: everything comes along, bad lines cost nobody else, and nothing half-written is left."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.support.command_line import HOSTILE, Command, run_process, sample_id


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def without_numbers(path: Path) -> list[str]:
    return sorted(json.dumps({**line, "id": line["id"] if line["kind"] == "memory" else 0}) for line in lines(path))


def test_all_kinds_come_along(run: Command, sample: str, tmp_path: Path) -> None:
    run("--store", sample, "review", sample_id(0), "good")
    run("--store", sample, "review", "undo", sample_id(0))
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    ran = run("--store", sample, "export", str(first), "--json")
    assert ran.json["written"] == {"memory": 6, "edge": 1, "review": 4, "supersession": 1}
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    other = f"sqlite:{tmp_path / 'other.db'}"
    brought = run("--store", other, "import", str(first), "--json")
    assert brought.status == 0
    assert {key: brought.json[key] for key in ("read", "inserted", "present", "failed", "errors")} == {
        "read": 12, "inserted": 12, "present": 0, "failed": 0, "errors": [],
    }  # fmt: skip
    run("--store", other, "export", str(second))
    assert without_numbers(first) == without_numbers(second)
    undoing = [line for line in lines(second) if line["kind"] == "review" and line["undoes"]]
    taken = [line["id"] for line in lines(second) if line["kind"] == "review"]
    assert [line["undoes"] in taken for line in undoing] == [True]
    again = run("--store", other, "import", str(first), "--json").json
    assert (again["inserted"], again["present"], again["undo"]) == (0, 12, None)
    assert run("--store", other, "registry", "show", "--json").json["vectors"]["without"] == 0
    assert run("--store", other, "undo", str(brought.json["undo"])).status == 0


def test_memories_only_and_filters(run: Command, sample: str, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    run("--store", sample, "export", str(path), "--memories-only")
    assert {line["kind"] for line in lines(path)} == {"memory"}
    run("--store", sample, "export", str(path), "--yes", "--codebase", "auth")
    assert sorted(str(line["kind"]) for line in lines(path)) == ["memory", "memory", "review", "supersession"]


def test_named_memories_alone(run: Command, sample: str, tmp_path: Path) -> None:
    file = tmp_path / "two.jsonl"
    ids = [sample_id(2), sample_id(0)]
    named = [option for each in (*ids, ids[0][:8]) for option in ("--memory", each)]
    assert run("--store", sample, "export", str(file), *named).status == 0
    written = [line for line in lines(file) if line["kind"] == "memory"]
    assert [line["id"] for line in written] == ids
    others = {
        str(value)
        for line in lines(file)
        if line["kind"] != "memory"
        for key, value in line.items()
        if key.endswith("_id")
    }
    assert others <= set(ids)
    for options, status in ((["--memory", "ffffffff"], 1), ([*named, "--type", "fact"], 2)):
        assert run("--store", sample, "export", str(tmp_path / "none.jsonl"), *options).status == status
        assert not (tmp_path / "none.jsonl").exists()


@pytest.mark.slow
def test_stdin_and_stdout(sample: str, tmp_path: Path) -> None:
    out = run_process("--store", sample, "export", "-")
    assert out.status == 0
    assert len(out.out.splitlines()) == 10
    brought = run_process("--store", str(tmp_path / "new.db"), "--json", "import", "-", stdin=out.out.encode())
    assert (brought.status, brought.json["inserted"]) == (0, 10)


def test_links_may_come_before_their_memories(run: Command, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(
        f'{{"kind": "edge", "source_id": "{sample_id(0)}", "target_id": "{sample_id(1)}", "weight": 0.5}}\n'
        f'\n{{"content": "one", "id": "{sample_id(0)}"}}\n{{"content": "two", "id": "{sample_id(1).upper()}"}}\n'
    )
    store = str(tmp_path / "new.db")
    assert run("--store", store, "import", str(path), "--json").json["inserted"] == 3
    assert len(run("--store", store, "edges", sample_id(1), "--json").json["items"]) == 1


def test_bad_lines_are_counted_and_cost_nobody_else(run: Command, tmp_path: Path) -> None:
    good = '{"content": "good"}'
    bad = [
        b"not json", b"[1]", b'{"content": ""}', b'{"content": 1}', b"{}", b'{"kind": "song", "content": "x"}',
        b'{"content": "x", "tags": "ops"}', b'{"content": "x", "metadata": []}',
        b'{"content": "x", "created_at": "soon"}',
        b'{"content": "x", "visibility": "secret"}', b'{"content": "x", "domain_scores": {"a": NaN}}',
        b'{"content": "\xff"}', b'{"kind": "edge", "source_id": "a"}',
        b'{"kind": "edge", "source_id": "nobody-1", "target_id": "nobody-2"}',
        b'{"kind": "review", "memory_id": "nobody-1", "rating": 3, "at": "2026-01-01"}',
        b'{"kind": "review", "memory_id": "nobody-1", "rating": 5, "at": "2026-01-01"}',
        b'{"kind": "supersession", "loser_id": "nobody-1", "winner_id": "nobody-2", "decided_at": "2026-01-01"}',
        b"[" * 100_000,
    ]  # fmt: skip
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\n".join([good.encode(), *bad, b'{"content": "also good"}']))
    ran = run("--store", str(tmp_path / "new.db"), "import", str(path), "--json")
    assert ran.status == 4
    assert (ran.json["read"], ran.json["inserted"], ran.json["failed"]) == (len(bad) + 2, 2, len(bad))
    assert [error["line"] for error in ran.json["errors"]] == list(range(2, len(bad) + 2))
    assert set(ran.json["errors"][0]) == {"line", "message"}
    assert "Line 2 is not JSON." in ran.err


def test_the_same_id_twice_in_a_file(run: Command, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(f'{{"content": "one", "id": "{sample_id(0)}"}}\n{{"content": "two", "id": "{sample_id(0)}"}}\n')
    ran = run("--store", str(tmp_path / "new.db"), "import", str(path), "--json").json
    assert (ran["read"], ran["inserted"], ran["failed"]) == (2, 1, 1)
    shown = run("--store", str(tmp_path / "new.db"), "show", sample_id(0), "--json").json
    assert shown["memory"]["content"] == "one"


def test_hostile_text_survives_the_way_there_and_back(run: Command, tmp_path: Path, hostile_file: Path) -> None:
    path = tmp_path / "out.jsonl"
    assert run("--store", str(hostile_file), "export", str(path)).status == 0
    raw = path.read_bytes()
    assert not set(raw) & ({*range(32), 127} - {10})
    assert b"\\u202e" in raw
    assert b"\xc2\x9b" not in raw
    stored = HOSTILE.replace("\0", "\u2400").replace("\ud800", "?")
    assert str(lines(path)[0]["content"]).startswith(stored)


def test_what_cannot_be_read_or_written(run: Command, sample: str, tmp_path: Path) -> None:
    assert run("--store", sample, "import", str(tmp_path / "none.jsonl")).status == 1
    assert run("--store", sample, "import", str(tmp_path)).status == 2
    refused = run("--store", sample, "import", sample.removeprefix("sqlite:"))
    assert refused.status == 3
    assert "migrate copy" in refused.err
    assert run("--store", sample, "export", str(tmp_path)).status == 3
    assert run("--store", sample, "export", str(tmp_path / "no" / "such" / "file")).status == 1
    assert run("--store", sample, "export", "-", "--json").status == 2
    assert sorted(path.name for path in tmp_path.iterdir() if "jsonl" in path.name) == []
    assert not (tmp_path / "none.db").exists()
