"""Odd but legal files of other programs lose nothing unsaid, and files in no known format are refused unread."""

from __future__ import annotations

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import Command

TEXT = "Keys rotate every ninety days."


@pytest.mark.parametrize(
    ("name", "raw", "why"),
    [
        ("unknown.json", b'{"foo": 1, "bar": {"x": 2}}', "its first keys are 'foo', 'bar'. Nothing was imported."),
        ("unknown.jsonl", b'{"foo": 1}\n{"baz": 2}\n', "its first keys are 'foo'"),
        ("list.json", b'[{"foo": 1, "kinds": 2}]', "its first keys are 'foo', 'kinds'"),
        ("table.csv", b"id,content\n1,x\n", "it begins with 'id,content'"),
        ("notes.txt", b"First.\n\nSecond.\n", "A text is read with --format texts."),
        ("program.bin", b"\x7fELF\x02\x01\0\0\0rest", "is a binary file"),
        ("wide.jsonl", '{"content": "x"}\n'.encode("utf-16"), "is UTF-16"),
        ("wide2.jsonl", '{"content": "x"}\n'.encode("utf-16-le"), "is UTF-16"),
        ("packed.gz", gzip.compress(b'{"content": "x"}\n', mtime=0), "is compressed (gzip); unpack it"),
        ("cut.json", b'[{"memory": "a"}, {"memory": "b"', "is not whole: its JSON is damaged or ends at line 1"),
        ("cut2.json", b'[{"content": "a"},\n {"content": "b"', "is not whole: its JSON is damaged or ends at line 2"),
        ("cut3.json", b'["a", "b', "is not whole"),
        ("latin.json", b'[{"memory": "caf\xe9"}]', "is not UTF-8"),
    ],
)
def test_a_file_in_no_format_is_refused_before_anything_is_written(
    run: Command, tmp_path: Path, name: str, raw: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(raw)
    ran = run("--store", str(tmp_path / "new.db"), "import", str(tmp_path / name))
    assert ran.status == 2
    assert why in ran.err
    assert not (tmp_path / "new.db").exists()
    assert run("--store", "new.db", "--json", "import", str(tmp_path / name)).json["error"]["code"] == "usage"


def test_the_refusal_names_every_format(run: Command, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"foo": 1}')
    told = run("--store", str(tmp_path / "new.db"), "import", str(tmp_path / "x.json")).err
    for sign in ("content", "nodeType", "archiveFormat", "memory", "entity", "JSON strings", "*.md"):
        assert sign in told


def test_a_database_and_a_folder_without_notes_are_refused(run: Command, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE a (b)")
    ran = run("--store", str(tmp_path / "new.db"), "import", str(tmp_path / "other.db"))
    assert (ran.status, "open it with `vestige-tui --store" in ran.err.lower()) == (3, True)
    (tmp_path / "folder").mkdir()
    ran = run("--store", str(tmp_path / "new.db"), "import", str(tmp_path / "folder"))
    assert (ran.status, "without Markdown notes" in ran.err) == (2, True)
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize("raw", [b"", b"\n\n", b"[]", b'{"results": []}'])
def test_a_file_without_memories_is_imported(run: Command, tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "none.json").write_bytes(raw)
    ran = run("--store", str(tmp_path / "new.db"), "--json", "import", str(tmp_path / "none.json"))
    assert (ran.status, ran.json["read"], ran.json["undo"]) == (0, 0, None)


def imported(run: Command, folder: Path, raw: bytes, *options: str) -> tuple[Any, list[dict[str, Any]]]:
    """The report of an import into a new store, and the memories by their texts."""
    path, store = folder / "in.json", str(folder / "new.db")
    path.write_bytes(raw)
    ran = run("--store", store, "--json", "import", str(path), *options)
    assert ran.status in (0, 4), ran
    items = run("--store", store, "--json", "list", "--limit", "100").json["items"]
    return ran.json, sorted(items, key=lambda memory: str(memory["content"]))


def test_a_file_of_ours_with_faulty_lines_is_read(run: Command, tmp_path: Path) -> None:
    report, [memory] = imported(run, tmp_path, b'rubbish\n{"foo": 1}\n{"content": "a"}\n{"content": "b"')
    assert (memory["content"], [each["line"] for each in report["errors"]]) == ("a", [1, 2, 4])


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_of_our_objects_is_read(run: Command, tmp_path: Path, indent: int | None) -> None:
    objects = [{"content": "a", "tags": ["t"]}, {"content": "b"}]
    report, memories = imported(run, tmp_path, json.dumps(objects, indent=indent).encode())
    assert report["inserted"] == 2
    assert [(memory["content"], memory["tags"]) for memory in memories] == [("a", ["t"]), ("b", [])]


def test_an_id_with_two_texts_in_one_file_is_told(run: Command, tmp_path: Path) -> None:
    lines = [{"content": "a", "id": "x"}, {"content": "b", "id": "x"}, {"content": "a", "id": "x"}]
    report, [memory] = imported(run, tmp_path, b"\n".join(json.dumps(line).encode() for line in lines))
    assert (memory["content"], report["present"]) == ("a", 1)
    assert report["errors"] == [{"line": 2, "message": "has the id of line 1, but other values than that"}]


def test_values_of_mem0_that_fit_no_field_stay_in_the_metadata(run: Command, tmp_path: Path) -> None:
    item = {
        "memory": TEXT,
        "created_at": 1_700_000_000,
        "updated_at": "Tue, 02 Jan 2024 03:04:05 GMT",
        "categories": ["a", None, 3],
        "score": float("nan"),
        "metadata": {"imported": {"k": 1}, "n": float("inf")},
    }
    document = {"results": [item], "relations": [{"source": "a", "target": "b"}], "count": 1}
    report, [memory] = imported(run, tmp_path, json.dumps(document).encode())
    assert report["errors"] == [{"line": 2, "message": "(relations) has 1 values without a place here"}]
    assert memory["tags"] == ["a"]
    assert memory["metadata"] == {
        "imported": {
            "k": 1,
            "created_at": 1_700_000_000,
            "updated_at": "Tue, 02 Jan 2024 03:04:05 GMT",
            "categories": ["a", None, 3],
            "score": "nan",
        },
        "n": "inf",
    }


def test_values_of_a_vestige_export_that_fit_no_field_stay_in_the_metadata(run: Command, tmp_path: Path) -> None:
    item = {"content": TEXT, "nodeType": "fact", "createdAt": "lately", "tags": "a,b"}
    _, [memory] = imported(run, tmp_path, json.dumps(item).encode())
    assert memory["metadata"] == {"vestige": {"created_at": "lately", "tags": "a,b"}}


def test_every_part_of_a_graph_without_a_place_is_told(run: Command, tmp_path: Path) -> None:
    lines = [
        {"type": "entity", "name": "A", "entityType": "t", "observations": [{"text": "x"}, 7, "o"]},
        {"type": "entity", "name": "B", "entityType": "t", "observations": "text"},
        {"type": "relation", "from": "A", "to": "B", "relationType": "r", "weight": 0.5, "since": "2024"},
        {"type": "relation", "from": "A", "to": "C", "relationType": "r"},
    ]
    report, memories = imported(run, tmp_path, b"\n".join(json.dumps(line).encode() for line in lines))
    assert [memory["content"] for memory in memories] == ["A", "B", "o"]
    assert [(each["line"], each["message"][:24]) for each in report["errors"]] == [
        (1, "has an observation witho"),
        (1, "has an observation witho"),
        (2, "has observations that ar"),
        (4, "is a relation of 'C', wh"),
    ]
    assert "since of the relation" in str(report["repairs"] or report["unknown_keys"])


def test_texts_in_another_encoding_are_refused_and_none_is_cut(run: Command, tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("café\n\ntwo\n".encode("latin-1"))
    ran = run("--store", str(tmp_path / "new.db"), "import", str(tmp_path / "latin.txt"), "--format", "texts")
    assert (ran.status, "is not UTF-8" in ran.err) == (2, True)
    report, memories = imported(run, tmp_path, b'"a"\n"b"\nnot json\n', "--format", "texts")
    assert (report["failed"], [memory["content"] for memory in memories]) == (1, ["a", "b"])


FRONT_MATTER = {
    "dates": "title: A\ncreated: 2024-01-02\nmodified: soon\n"
    "when: 2024-01-02T03:04:05Z\n2024-05-06: key\nn: {2024-01-01: x}",
    "anchors": "title: A\nbase: &q {k: v}\nagain: *q\nset: !!set {y, x}\nbin: !!binary aGVsbG8=",
    "figures": "title: A\nlow: -.inf\nnone: .nan\nat: 12:30:45",
    "tags": "title: A\ntags: {a: 1}",
}  # fmt: skip
KEPT: dict[str, dict[str, Any]] = {
    "dates": {"modified": "soon", "when": "2024-01-02 03:04:05+00:00", "2024-05-06": "key", "n": {"2024-01-01": "x"}},
    "anchors": {"base": {"k": "v"}, "again": {"k": "v"}, "set": ["x", "y"], "bin": "68656c6c6f"},
    "figures": {"low": "-inf", "none": "nan", "at": 45045},
    "tags": {"tags": {"a": 1}},
}


@pytest.mark.parametrize("name", FRONT_MATTER)
def test_front_matter_of_every_type_stays_in_the_metadata(run: Command, tmp_path: Path, name: str) -> None:
    folder, store = tmp_path / "notes", str(tmp_path / "new.db")
    folder.mkdir()
    (folder / "a.md").write_text(f"---\n{FRONT_MATTER[name]}\n---\nbody\n", encoding="utf-8")
    ran = run("--store", store, "--json", "import", str(folder))
    assert (ran.status, ran.json["inserted"]) == (0, 1), ran
    [memory] = run("--store", store, "--json", "list").json["items"]
    assert memory["metadata"] == {"imported": {"title": "A", **KEPT[name]}}


def test_a_note_that_holds_itself_fails_alone(run: Command, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("---\nself: &s [*s]\n---\nbody\n")
    (tmp_path / "notes" / "b.md").write_text("# A heading\n\nbody\n")
    ran = run("--store", str(tmp_path / "new.db"), "--json", "import", str(tmp_path / "notes"))
    assert (ran.status, ran.json["inserted"]) == (4, 1)
    assert ran.json["errors"] == [{"line": 1, "message": "(a.md) has front matter that is nested too deeply"}]
