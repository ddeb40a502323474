"""Import of lines that are hard to hold: each is taken, repaired or refused by itself, and the tally tells all."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import Command, sample_id
from tests.support.file_limits import limit_file_bytes
from tests.support.portable_lines import (
    AT,
    FAILED_LINES,
    PLAIN_LINES,
    REPAIRED_LINES,
    as_bytes,
    export_lines,
    import_lines,
    nested,
    with_content,
)
from vestige_tui.cli.import_tally import ImportTally
from vestige_tui.cli.line_import import LineImport
from vestige_tui.core.errors import DiskFull
from vestige_tui.core.memories import Draft, Memory
from vestige_tui.core.storable import MAX_LABEL_CHARS, MAX_METADATA_DEPTH, MAX_TAG_COUNT, new_id, stored_id
from vestige_tui.store.store import Store

ONE, TWO = ({"content": f"text {n}", "id": sample_id(n)} for n in range(2))


async def only(store: Store) -> Memory:
    [memory] = (await store.page()).items
    return memory


async def test_no_line_ends_an_import(store: Store) -> None:
    hostile = [*map(as_bytes, PLAIN_LINES.values()), *map(as_bytes, REPAIRED_LINES.values())]
    hostile += map(as_bytes, FAILED_LINES.values())
    good = [as_bytes(json.dumps(ONE)), *hostile, as_bytes(json.dumps(TWO))]
    tally = await import_lines(store, good)
    first_failed = 2 + len(PLAIN_LINES) + len(REPAIRED_LINES)
    assert [line for line, _ in sorted(tally.errors)] == list(range(first_failed, first_failed + len(FAILED_LINES)))
    assert [line for line, _ in sorted(tally.repairs)] == list(range(2 + len(PLAIN_LINES), first_failed))
    assert tally.inserted == 2 + len(PLAIN_LINES) + len(REPAIRED_LINES)
    assert (await store.get(sample_id(1))).content == "text 1"
    assert len(await export_lines(store)) == tally.inserted
    assert tally.undo is not None
    await store.journal.undo(tally.undo)
    assert await store.memories.count() == 0


async def test_a_repaired_value_is_kept_beside_its_memory(store: Store) -> None:
    await import_lines(
        store, [line.replace('{"content": "', f'{{"content": "{name} ') for name, line in REPAIRED_LINES.items()]
    )
    memories = (await store.page(limit=100)).items
    assert len(memories) == len(REPAIRED_LINES)
    for memory in memories:
        imported = memory.metadata["imported"]
        assert imported, memory.content
        assert imported.keys() <= {"id", "original"}


async def test_labels_are_cut_as_by_a_copy(store: Store) -> None:
    tally = await import_lines(
        store,
        [
            with_content(
                f'"tags": {json.dumps([f"{n}-" + "t" * 300 for n in range(2_000)])}, "node_type": "{"é" * 256}"'
            )
        ],
    )
    memory = await only(store)
    assert (len(memory.tags), len(memory.tags[0]), len(memory.node_type)) == (MAX_TAG_COUNT, 255, MAX_LABEL_CHARS)
    [(_, message)] = tally.repairs
    assert "tags were 2,000; 1,000 were kept" in message
    assert "node type was cut from 256 to 255 characters" in message
    assert len(json.loads(memory.metadata["imported"]["original"]["tags"])) == 2_000


async def test_what_fits_is_left_alone(store: Store) -> None:
    line = with_content(
        f'"tags": ["{"t" * 255}"], "metadata": {nested(MAX_METADATA_DEPTH)}, "codebase": "{"鍵" * 255}"'
    )
    tally = await import_lines(store, [line])
    assert (tally.inserted, tally.repaired) == (1, 0)
    assert (await only(store)).metadata == json.loads(nested(MAX_METADATA_DEPTH))


@pytest.mark.parametrize("original", [5, [1], "text", None, {"node_type": "earlier"}])
async def test_an_unknown_owner_is_repaired_whatever_the_metadata_holds(store: Store, original: object) -> None:
    owner = sample_id(9)
    metadata = {"imported": {"original": original}}
    tally = await import_lines(store, [json.dumps({**ONE, "owner_user_id": owner, "metadata": metadata})])
    assert (tally.inserted, tally.failed, tally.repaired) == (1, 0, 1)
    kept = (await only(store)).metadata["imported"]["original"]
    before = original if isinstance(original, dict) else {"original": original}
    assert kept == {**before, "owner_user_id": owner}


async def test_unknown_keys_are_kept_and_counted(store: Store) -> None:
    lines = [
        with_content('"mood": "calm", "source": {"url": "x"}, "superseded_by": null'),
        with_content(f'"mood": null, "superseded_by": "{sample_id(5)}", "metadata": {{"imported": "before"}}'),
        with_content('"scheduling": {"reps": 0, "ease": 2.5}, "metadata": {"imported": {"mood": 1}}, "mood": 2'),
        with_content('"original": 1, "node_type": "a\\u0000"'),
        json.dumps({**ONE, "metadata": {"n": 1}}),
        f'{{"kind": "mark", "memory_id": "{sample_id(0)}", "suspended": true, "why": "dull"}}',
    ]
    tally = await import_lines(store, lines)
    assert tally.unknown_keys == {
        "mood": 3, "source": 1, "superseded_by": 1, "scheduling.ease": 1, "original": 1, "why": 1,
    }  # fmt: skip
    assert tally.failed == 0
    stored = [memory.metadata for memory in (await store.page()).items]
    for metadata in (
        {"imported": {"mood": "calm", "source": {"url": "x"}}},
        {"imported": {"mood": None, "superseded_by": sample_id(5), "imported": "before"}},
        {"imported": {"mood": 2, "scheduling": {"ease": 2.5}, "imported": {"mood": 1}}},
        {"imported": {"original": {"original": 1, "node_type": {"base64": "YQA="}}}},
        {"n": 1},
    ):
        assert metadata in stored
    assert "why is not known here" in tally.repairs[-1][1]


async def test_names_of_unknown_keys_are_bounded(store: Store) -> None:
    tally = await import_lines(store, [json.dumps({"content": "x", **{f"key {n}": n for n in range(500)}})])
    assert len(tally.unknown_keys) == 101
    assert sum(tally.unknown_keys.values()) == 500
    assert len((await only(store)).metadata["imported"]) == 500


@pytest.mark.parametrize("raw", ["mem-1", "a\0b", "\ud800", "鍵" * 3_000, "7"])
def test_an_id_is_mapped_as_by_a_copy(raw: str) -> None:
    assert stored_id(raw, lambda _: False).replace("-", "") == new_id(raw).hex()


async def test_what_was_done_to_an_id_is_told(store: Store) -> None:
    ids = {sample_id(0).upper(): "was a UUID in another spelling; stored in the usual one", 7: "was a number; "}
    tally = await import_lines(store, [json.dumps({"content": "x", "id": each}) for each in ids])
    for (_, message), said in zip(sorted(tally.repairs), ids.values(), strict=True):
        assert message.startswith(f"id {said}")
        assert message.endswith(" (original in the metadata)")
    tally = await import_lines(store, ['{"content": "x", "id": " "}', '{"content": "x", "id": 1.5}'])
    assert [message for _, message in tally.errors] == [
        "has an empty id",
        "has an id that is neither text nor a whole number",
    ]


@pytest.mark.parametrize("first", [True, False], ids=["canonical first", "canonical last"])
@pytest.mark.parametrize("apart", [0, 70], ids=["together", "apart"])
async def test_two_spellings_of_one_id_are_told_apart(store: Store, first: bool, apart: int) -> None:
    spellings = [sample_id(0), sample_id(0).upper()][:: 1 if first else -1]
    lines = [json.dumps({"content": spelling, "id": spelling}) for spelling in spellings]
    lines[1:1] = [f'{{"content": "between {number}"}}' for number in range(apart)]
    tally = await import_lines(store, [*lines, lines[0]])
    assert (tally.inserted, tally.failed, tally.present) == (apart + 1, 1, 1)
    assert "the same id as an earlier line" in tally.errors[0][1]
    assert (await store.get(sample_id(0))).content == spellings[0]


async def test_marks_that_are_there_stay(store: Store) -> None:
    await store.memories.insert_many([Draft("x", sample_id(n)) for n in range(2)])
    await store.reviews.suspend(sample_id(0))
    lines = [
        f'{{"kind": "mark", "memory_id": "{sample_id(0)}", "suspended": false, "buried_until": "{AT}"}}',
        f'{{"kind": "mark", "memory_id": "{sample_id(1)}", "suspended": true, "buried_until": null}}',
    ]
    tally = await import_lines(store, lines)
    assert (tally.inserted, tally.present, tally.failed) == (1, 1, 0)
    assert (await store.reviews.marks(sample_id(0))).suspended
    assert (await store.reviews.marks(sample_id(0))).buried_until is None
    assert (await store.reviews.marks(sample_id(1))).suspended


def broken_off(count: int, error: BaseException) -> Iterator[tuple[int, bytes]]:
    for number in range(1, count + 1):
        yield number, b'{"content": "x %d"}' % number
    raise error


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), asyncio.CancelledError(), OSError(errno.ENOSPC, "No space left on device")],
    ids=["ctrl-C", "cancelled", "full"],
)
async def test_an_import_that_is_broken_off_can_be_undone(store: Store, error: BaseException) -> None:
    tally = ImportTally()
    with pytest.raises((KeyboardInterrupt, asyncio.CancelledError, DiskFull)):
        await LineImport(store, tally, lambda _: None).run(broken_off(100, error))
    assert (tally.read, tally.inserted) == (100, 64)
    await store.journal.undo(tally.undo)
    assert await store.memories.count() == 0


async def test_a_batch_that_is_being_written_is_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    tally, insert_many = ImportTally(), store.memories.insert_many
    lines = ((number, b'{"content": "x %d"}' % number) for number in range(1, 201))
    task = asyncio.ensure_future(LineImport(store, tally, lambda _: None).run(lines))
    batches = 0

    async def insert_and_cancel(drafts: Sequence[Draft], **options: Any) -> object:
        nonlocal batches
        batches += 1
        if batches == 2:
            task.cancel()
        return await insert_many(drafts, **options)

    monkeypatch.setattr(store.memories, "insert_many", insert_and_cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tally.inserted == await store.memories.count() == 128
    await store.journal.undo(tally.undo)
    assert await store.memories.count() == 0


def test_a_format_that_is_given_is_believed(run: Command, tmp_path: Path) -> None:
    path, store = tmp_path / "in.jsonl", str(tmp_path / "new.db")
    path.write_text('{"id":"1","content":"x","nodeType":"fact","createdAt":"2026-01-01T00:00:00Z"}\n')
    ran = run("--store", store, "--json", "import", str(path), "--format", "jsonl")
    assert (ran.status, ran.json["unknown_keys"]) == (0, {"nodeType": 1, "createdAt": 1})
    assert "nodeType (1), createdAt (1)" in ran.err


class Interrupted(io.BytesIO):
    """A pipe that ends in ctrl-C."""

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if not line:
            raise KeyboardInterrupt
        return line


@pytest.mark.slow
def test_ctrl_c_tells_what_was_imported(run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = str(tmp_path / "new.db")
    pipe = io.TextIOWrapper(Interrupted(b"".join(b'{"content": "text %d"}\n' % number for number in range(70))))
    monkeypatch.setattr(sys, "stdin", pipe)
    ran = run("--store", store, "import", "-")
    assert ran.status == 130
    assert "70 read: 64 inserted, 0 already present, 0 failed.  Undo: vestige-tui undo 1" in ran.out
    assert ran.err.rstrip().endswith("Interrupted.")
    pipe.buffer.seek(0)
    again = run("--store", store, "--json", "import", "-")
    assert (again.status, again.json["present"], again.json["undo"]) == (130, 64, None)
    assert run("--store", store, "undo", "1").status == 0
    assert run("--store", store, "list", "--limit", "200", "--json").json["items"] == []


@pytest.mark.slow
def test_a_full_disk_is_named(run: Command, tmp_path: Path) -> None:
    path, store = tmp_path / "in.jsonl", tmp_path / "new.db"
    run("--store", str(store), "add", "first")
    path.write_text("".join(json.dumps({"content": f"{n} " + "x" * 4_000}) + "\n" for n in range(400)))
    with limit_file_bytes(900_000):
        ran = run("--store", str(store), "--json", "import", str(path))
    assert ran.status == 1
    assert f"the disk of {store} is full" in ran.err
    document = ran.json
    assert document["read"] > document["inserted"] > 0
    assert document["undo"] is not None
    listed = run("--store", str(store), "list", "--limit", "2000", "--json").json["items"]
    assert len(listed) == document["inserted"] + 1
    assert run("--store", str(store), "undo", str(document["undo"])).status == 0


def test_a_full_temporary_folder_is_named(run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, store = tmp_path / "in.jsonl", tmp_path / "new.db"
    run("--store", str(store), "add", "first")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    link = f'{{"kind": "edge", "source_id": "{sample_id(0)}", "target_id": "{sample_id(1)}", "x": "{"x" * 4_000}"}}\n'
    path.write_text(json.dumps(ONE) + "\n" + link * 500)
    with limit_file_bytes(1_200_000):
        ran = run("--store", str(store), "import", str(path))
    assert ran.status == 1
    assert f"the disk of {tmp_path} is full" in ran.err
    assert "0 inserted" in ran.out
