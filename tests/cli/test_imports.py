"""Files of other programs, built from their public formats, become memories: what is taken, and what stays beside."""

from __future__ import annotations

import json
import os
import random
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import Command

TEXT = "Keys rotate every ninety days."
VESTIGE = {
    "id": "4b1f6c1e-0f3a-4d52-9c53-0a6b6f0f7a11",
    "content": TEXT,
    "nodeType": "decision",
    "createdAt": "2026-01-02T03:04:05.123456789+00:00",
    "updatedAt": "2026-02-02T03:04:05+00:00",
    "lastAccessed": "2026-03-02T03:04:05+00:00",
    "stability": 10.0,
    "difficulty": 5.5,
    "reps": 3,
    "lapses": 1,
    "storageStrength": 2.5,
    "nextReview": "2026-04-12T00:00:00+00:00",
    "source": "cli",
    "tags": ["keys", "security"],
    "sentimentScore": 0.25,
    "someLaterKey": {"a": [1]},
}
MEM0 = {
    "id": "9d2f2f0e-7c56-4f4e-9a0e-1d6b1c0a2b3c",
    "memory": TEXT,
    "user_id": "mira",
    "hash": "d41d8cd98f00b204e9800998ecf8427e",
    "metadata": {"source": "chat"},
    "categories": ["security"],
    "created_at": "2026-01-02T03:04:05Z",
    "updated_at": None,
}
ENTITIES = [
    {
        "type": "entity",
        "name": "Mira",
        "entityType": "person",
        "observations": ["Owns billing.", {"content": "Likes tea.", "at": 1}],
    },
    {"type": "entity", "name": "billing", "entityType": "service", "observations": []},
]
RELATIONS = [
    {"type": "relation", "from": "Mira", "to": "billing", "relationType": "owns"},
    {"type": "relation", "from": "Mira", "to": "nowhere", "relationType": "owns"},
]


def lines(*objects: object) -> str:
    return "".join(json.dumps(each) + "\n" for each in objects)


class Imported:
    """A new store, and imports into it."""

    def __init__(self, run: Command, folder: Path) -> None:
        self.run, self.folder = run, folder
        self.store = str(folder / "new.db")

    def file(self, text: str, *options: str, status: int = 0) -> Any:
        path = self.folder / "in.json"
        path.write_text(text, encoding="utf-8")
        ran = self.run("--store", self.store, "--json", "import", str(path), *options)
        assert ran.status == status, ran
        return ran.json

    @property
    def memories(self) -> list[dict[str, Any]]:
        return list(self.run("--store", self.store, "--json", "list", "--limit", "100").json["items"])


@pytest.fixture
def imported(run: Command, tmp_path: Path) -> Imported:
    return Imported(run, tmp_path)


@pytest.mark.parametrize("shape", ["lines", "an array", "an array over lines"])
def test_a_vestige_export_keeps_type_times_schedule_and_every_other_key(imported: Imported, shape: str) -> None:
    text = {
        "lines": lines(VESTIGE),
        "an array": json.dumps([VESTIGE]),
        "an array over lines": json.dumps([VESTIGE], indent=2),
    }
    assert imported.file(text[shape])["inserted"] == 1
    [memory] = imported.memories
    assert (memory["id"], memory["content"], memory["node_type"], memory["tags"]) == (
        VESTIGE["id"],
        TEXT,
        "decision",
        ["keys", "security"],
    )
    assert (memory["created_at"], memory["updated_at"]) == (
        "2026-01-02T03:04:05.123456+00:00",
        "2026-02-02T03:04:05.000000+00:00",
    )
    state = memory["scheduling"]
    assert {
        name: state[name] for name in ("stability", "difficulty", "reps", "lapses", "last_review", "next_review")
    } == {
        "stability": 10.0,
        "difficulty": 5.5,
        "reps": 3,
        "lapses": 1,
        "last_review": "2026-04-02T00:00:00.000000+00:00",
        "next_review": "2026-04-12T00:00:00.000000+00:00",
    }
    assert memory["metadata"]["vestige"] == {
        "last_accessed": "2026-03-02T03:04:05+00:00",
        "storage_strength": 2.5,
        "source": "cli",
        "sentiment_score": 0.25,
        "some_later_key": {"a": [1]},
    }


def test_a_new_memory_of_vestige_stays_new(imported: Imported) -> None:
    imported.file(lines({**VESTIGE, "reps": 0, "lapses": 0, "nextReview": None}))
    [memory] = imported.memories
    assert memory["scheduling"] is None
    assert memory["metadata"]["vestige"]["stability"] == 10.0


@pytest.mark.parametrize(
    "text", [json.dumps({"count": 1, "results": [MEM0]}, indent=1), json.dumps([MEM0]), lines(MEM0)]
)
def test_a_mem0_export_keeps_text_times_categories_and_ids(imported: Imported, text: str) -> None:
    imported.file(text)
    [memory] = imported.memories
    assert (memory["id"], memory["content"], memory["tags"]) == (MEM0["id"], TEXT, ["security"])
    assert memory["created_at"] == "2026-01-02T03:04:05.000000+00:00"
    assert memory["metadata"] == {"source": "chat", "imported": {"user_id": "mira", "hash": MEM0["hash"]}}


@pytest.mark.parametrize(
    "text",
    [
        lines(*ENTITIES, *RELATIONS),
        lines(*RELATIONS, *ENTITIES),
        json.dumps({"entities": ENTITIES, "relations": RELATIONS}),
    ],
)
def test_a_graph_of_the_mcp_server_becomes_linked_memories(imported: Imported, text: str) -> None:
    tally = imported.file(text, status=4)
    assert (tally["inserted"], tally["failed"]) == (4 + 2 + 1, 1)
    assert "'nowhere', which is no entity of this file" in tally["errors"][0]["message"]
    by_text = {memory["content"]: memory for memory in imported.memories}
    assert set(by_text) == {"Mira", "billing", "Owns billing.", "Likes tea."}
    assert (by_text["Owns billing."]["node_type"], by_text["Owns billing."]["tags"]) == ("person", ["Mira"])
    assert by_text["Likes tea."]["metadata"] == {"imported": {"at": 1}}
    edges = imported.run("--store", imported.store, "--json", "edges", by_text["Mira"]["id"]).json["items"]
    assert sorted(edge["edge_type"] for edge in edges) == ["observation", "observation", "owns"]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (json.dumps(["One.", "Two.", "  "]), ()),
        (lines("One.", "Two."), ()),
        ("One.\n\nTwo.\r\n\r\n", ("--format", "texts")),
    ],
)
def test_plain_texts_are_memories(imported: Imported, text: str, options: tuple[str, ...]) -> None:
    imported.file(text, *options)
    assert sorted(memory["content"] for memory in imported.memories) == ["One.", "Two."]


@pytest.mark.parametrize(
    "text",
    [lines({**VESTIGE, "id": None}), lines(MEM0), lines(*ENTITIES), json.dumps(["One."]), lines({"content": "x"})],
)
def test_a_second_run_doubles_nothing(imported: Imported, text: str) -> None:
    first = imported.file(text)
    second = imported.file(text)
    assert (second["inserted"], second["present"]) == (0, first["inserted"])


def test_equal_lines_without_an_id_are_one_memory(imported: Imported) -> None:
    tally = imported.file(lines({"content": "x"}, {"content": "x"}, {"content": "x", "node_type": "note"}))
    assert (tally["inserted"], tally["present"]) == (2, 1)


def test_a_preview_counts_by_type_and_creates_no_store(imported: Imported) -> None:
    found = imported.file(lines(VESTIGE, {**VESTIGE, "id": "2", "nodeType": "note"}, {"content": ""}), "--dry-run")
    assert found["format"] == "a Vestige export"
    assert (found["kinds"], found["types"], found["failed"]) == ({"memory": 2}, {"decision": 1, "note": 1}, 1)
    assert found["without_place"]["some_later_key"] == 2
    assert not Path(imported.store).exists()


def exported(position: int) -> dict[str, Any]:
    """A memory as the server exports it, with every key that its exports have."""
    chance = random.Random(position)
    reps = chance.choice((0, 1, 7))
    moment = f"2026-0{1 + position % 9}-1{position % 10}T03:04:05.{position:06d}+00:00"
    return {
        "id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        "content": f"Text {position}: \u9375 \u00e9 {'x' * (position % 50)}",
        "nodeType": chance.choice(("fact", "decision", "note")),
        "createdAt": moment,
        "updatedAt": moment,
        "lastAccessed": moment,
        "stability": round(chance.uniform(0.3, 90), 4),
        "difficulty": round(chance.uniform(1, 10), 4),
        "reps": reps,
        "lapses": min(reps, position % 2),
        "storageStrength": round(chance.uniform(1, 9), 3),
        "retrievalStrength": 0.5,
        "retentionStrength": 0.75,
        "sentimentScore": -0.25,
        "sentimentMagnitude": 0.0,
        "nextReview": moment if reps else None,
        "source": chance.choice((None, "cli")),
        "tags": chance.sample(["a", "b", "c d"], position % 3),
        "suppressionCount": position % 4,
        "sourceEnvelope": {"sourceSystem": "tracker", "n": position} if position % 5 == 0 else None,
    }


@pytest.mark.slow
def test_a_vestige_export_comes_back_as_it_was(imported: Imported, tmp_path: Path) -> None:
    originals = [exported(position) for position in range(1_000 if os.environ.get("VESTIGE_THOROUGH") else 150)]
    assert imported.file(lines(*originals))["inserted"] == len(originals)
    target = tmp_path / "out.jsonl"
    ran = imported.run("--store", imported.store, "export", "--format", "vestige", str(target))
    assert ran.status == 0, ran
    back = {each["id"]: each for each in map(json.loads, target.read_text(encoding="utf-8").splitlines())}
    for original in originals:
        assert back[original["id"]] == {name: value for name, value in original.items() if value is not None}


NOTES = {
    "people/Mira.md": """---
title: Mira
type: person
tags: [team, billing]
permalink: people/mira
created: 2026-01-02T03:04:05Z
stars: 3
---
# Mira

- [role] owns billing #team (since 2025)
- works_on [[Billing]]
- knows [[Nobody]]
""",
    "Billing.md": "---\ntitle: Billing\ntags: service, money\n---\nInvoices leave on the first.\n",
    "loose.md": "A note without front matter.\n",
}
TOPICS = {
    "MEMORY.md": "# Memory\n\n- [Testing](testing.md) how to test\n",
    "testing.md": "---\nname: testing\ndescription: How to test\ntype: feedback\n---\nRun make check first.\n",
    "old.md": "# Old\n\n## Deploys\n\nBehind a flag.\n\n## Style\n\nShort sentences.\n",
}


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_folder_of_basic_memory_becomes_linked_memories(imported: Imported, tmp_path: Path) -> None:
    folder = written(tmp_path / "notes", NOTES)
    for inserted in (4, 0):
        ran = imported.run("--store", imported.store, "--json", "import", str(folder))
        assert (ran.status, ran.json["inserted"], ran.json["failed"]) == (4, inserted, 1)
        assert "'Nobody', which is no note of this folder" in ran.json["errors"][0]["message"]
    by_text = {memory["content"].splitlines()[0]: memory for memory in imported.memories}
    mira, billing = by_text["# Mira"], by_text["Invoices leave on the first."]
    assert (mira["node_type"], mira["tags"], mira["created_at"]) == (
        "person",
        ["team", "billing"],
        "2026-01-02T03:04:05.000000+00:00",
    )
    assert mira["metadata"]["imported"] == {"title": "Mira", "permalink": "people/mira", "stars": 3}
    assert (billing["node_type"], billing["tags"]) == ("note", ["service", "money"])
    [edge] = imported.run("--store", imported.store, "--json", "edges", mira["id"]).json["items"]
    assert (edge["edge_type"], edge["target_id"]) == ("works_on", billing["id"])


def test_a_memory_folder_of_claude_code_gives_topics_and_sections(imported: Imported, tmp_path: Path) -> None:
    folder = written(tmp_path / "-home-mira-harbour" / "memory", TOPICS)
    ran = imported.run("--store", imported.store, "--json", "import", str(folder))
    assert (ran.status, ran.json["inserted"]) == (0, 3)
    by_text = {memory["content"]: memory for memory in imported.memories}
    assert set(by_text) == {"Run make check first.", "Deploys\n\nBehind a flag.", "Style\n\nShort sentences."}
    assert by_text["Run make check first."]["node_type"] == "feedback"
    assert {memory["codebase"] for memory in by_text.values()} == {"home-mira-harbour"}


@pytest.mark.parametrize("text", ["---\n[broken\n---\nx\n", "---\n- a list\n---\nx\n", b"\xff\xfe"])
def test_a_note_that_cannot_be_read_costs_no_other(imported: Imported, tmp_path: Path, text: str | bytes) -> None:
    folder = written(tmp_path / "notes", {"good.md": "Good.\n"})
    (folder / "bad.md").write_bytes(text if isinstance(text, bytes) else text.encode())
    ran = imported.run("--store", imported.store, "--json", "import", str(folder))
    assert (ran.status, ran.json["inserted"], ran.json["failed"]) == (4, 1, 1)
    assert "(bad.md)" in ran.json["errors"][0]["message"]
