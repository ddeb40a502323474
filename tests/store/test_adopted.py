"""An adopted Vestige file is written in the server's own columns: what it reads afterwards, by plain SQL."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.adopted_files import LINES, NOW, make_adopted, opened, row
from tests.support.synthetic_reviews import QUICK_LEARNER
from tests.support.vestige_files import make_line, memory_id
from vestige_tui.core.bulk import DomainMove
from vestige_tui.core.errors import Conflict, Refused
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft, Filter, Patch
from vestige_tui.core.reviews import Rating
from vestige_tui.core.scheduling import same_schedule
from vestige_tui.core.times import parse_stored
from vestige_tui.core.weights import Weights
from vestige_tui.embedding.models import TestEmbedder

WITHOUT_WINNERS = ("4", "14 (phase 1)")
"""Lines without a column for what replaced a memory."""
TIMES = ("created_at", "updated_at", "last_accessed", "next_review")


@pytest.fixture(params=LINES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An adopted file of each of the lines that differ."""
    return make_adopted(tmp_path / "vestige.db", str(request.param))


def comparable(found: dict[str, Any]) -> dict[str, Any]:
    """The row with its times to the microsecond, as the console knows them, and one name for its model."""
    times = {name: parse_stored(found[name]) for name in ("created_at", "updated_at", "next_review")}
    return {**found, **times, "embedding_model": str(found["embedding_model"]).rpartition("/")[2]}


def is_indexed(path: Path, word: str, memory: str) -> bool:
    """Whether the server's own text index finds a memory."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(
            "SELECT n.id FROM knowledge_fts f JOIN knowledge_nodes n ON n.rowid = f.rowid WHERE knowledge_fts MATCH ?",
            (word,),
        ).fetchall()
        return (memory,) in found


async def test_an_adopted_file_is_open_for_writing(path: Path) -> None:
    async with opened(path) as store:
        assert not store.read_only
        assert len((await store.page(Filter(superseded=True), limit=50)).items) == 12


async def test_a_review_is_in_the_columns_of_the_server_and_an_undo_restores_them(path: Path) -> None:
    memory = memory_id(1)
    before = row(path, memory)
    async with opened(path) as store:
        change = await store.reviews.record(memory, Rating.GOOD)
        assert change.scheduling is not None
        assert change.scheduling.next_review is not None
        after = row(path, memory)
        assert after["reps"] == before["reps"] + 1
        assert after["next_review"] == change.scheduling.next_review.isoformat(timespec="microseconds")
        assert after["scheduled_days"] == (change.scheduling.next_review - NOW).days
        assert after["storage_strength"] == pytest.approx(before["storage_strength"] + 0.1)
        assert after["retrieval_strength"] == 1.0
        assert after["retention_strength"] == pytest.approx(0.7 + 0.3 * min(after["storage_strength"] / 10, 1.0))
        assert after["learning_state"] == "review"
        unchanged = ("content", "last_accessed", "updated_at", "tags", "created_at")
        assert [after[name] for name in unchanged] == [before[name] for name in unchanged]
        assert same_schedule((await store.get(memory)).scheduling, change.scheduling)
        await store.journal.undo()
    assert comparable(row(path, memory)) == comparable(before)


async def test_an_again_is_a_lapse_there(path: Path) -> None:
    memory = memory_id(1)
    before = row(path, memory)
    async with opened(path) as store:
        await store.reviews.record(memory, Rating.AGAIN)
    after = row(path, memory)
    assert (after["lapses"], after["learning_state"]) == (before["lapses"] + 1, "relearning")
    assert after["storage_strength"] == pytest.approx(before["storage_strength"] + 0.3)


async def test_an_edit_is_found_by_the_text_index_of_the_server(path: Path) -> None:
    memory = memory_id(2)
    before = row(path, memory)
    async with opened(path) as store:
        old = await store.get(memory)
        await store.update(memory, Patch(content="The kestrel nests again.", tags=("birds",)))
        after = row(path, memory)
        assert (after["content"], json.loads(after["tags"])) == ("The kestrel nests again.", ["birds"])
        assert is_indexed(path, "kestrel", memory)
        assert after["last_accessed"] == before["last_accessed"]
        await store.journal.undo()
        assert (await store.get(memory)).content == old.content
    # No model is loaded here, so the vector that belonged to the old text is back, and the edit is the last one.
    expected = {**before, "updated_at": row(path, memory)["updated_at"]}
    assert comparable(row(path, memory)) == comparable(expected)
    assert not is_indexed(path, "kestrel", memory)


async def test_metadata_of_the_console_is_kept_beside_the_columns_of_the_server(path: Path) -> None:
    memory = memory_id(2)
    async with opened(path) as store:
        found = await store.get(memory)
        theirs = found.metadata["vestige"]
        metadata = {**found.metadata, "ticket": "NV-12", "none": None}
        await store.update(memory, Patch(metadata=metadata, domains=("auth",)))
    async with opened(path) as store:
        found = await store.get(memory)
        assert found.metadata == {"ticket": "NV-12", "none": None, "vestige": theirs}
        assert found.domains == ("auth",)


async def test_a_new_memory_is_one_of_the_server(path: Path) -> None:
    async with opened(path, TestEmbedder(256)) as store:
        draft = Draft("The heron stands still.", node_type="fact", tags=("birds",), metadata={"a": 1}, domains=("zoo",))
        [memory] = (await store.insert(draft, embed=False)).changed
        found = await store.get(memory)
        assert (found.content, found.tags, found.domains, found.metadata["a"]) == (
            draft.content,
            ("birds",),
            ("zoo",),
            1,
        )
    stored = row(path, memory)
    assert stored["created_at"] == stored["updated_at"] == stored["last_accessed"]
    assert (stored["reps"], stored["has_embedding"]) == (0, 0)
    assert is_indexed(path, "heron", memory)


@pytest.mark.parametrize("position", [3, 4, 7, 8])
async def test_a_delete_leaves_the_tombstones_of_the_server_and_an_undo_restores_every_column(
    path: Path, position: int
) -> None:
    memory = memory_id(position)
    before = row(path, memory)
    async with opened(path) as store:
        await store.delete([memory])
        assert row(path, memory) == {}
        with closing(sqlite3.connect(path)) as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        tombstones = [("sync_tombstones", "row_id"), ("deletion_tombstones", "memory_id")]
        present = [(table, key) for table, key in tombstones if table in names]
        assert all(row(path, memory, table, key) for table, key in present)
        await store.journal.undo()
        assert not any(row(path, memory, table, key) for table, key in present)
    restored = row(path, memory)
    assert comparable(restored) == comparable(before)
    # Also the nanoseconds, which the console does not know.
    assert [restored[name] for name in TIMES] == [before[name] for name in TIMES]


async def test_a_supersession_is_a_pointer_of_the_server(path: Path) -> None:
    old, new = memory_id(1), memory_id(2)
    before = row(path, old)
    async with opened(path) as store:
        await store.links.supersede(old, new)
        assert (await store.get(old)).superseded_by == new
        if "superseded_by" in before:
            assert row(path, old)["superseded_by"] == new
            assert row(path, old)["valid_until"] is not None
        await store.journal.undo()
        assert (await store.get(old)).superseded_by is None
    assert row(path, old) == before


async def test_a_deleted_winner_gives_its_losers_back(path: Path) -> None:
    old, new = memory_id(1), memory_id(2)
    async with opened(path) as store:
        await store.links.supersede(old, new)
        await store.delete([new])
        assert (await store.get(old)).superseded_by is None


async def test_a_link_is_a_connection_of_the_server(path: Path) -> None:
    one, other = memory_id(1), memory_id(8)
    async with opened(path) as store:
        await store.links.add(Edge(one, other, "supports", 0.5))
        with closing(sqlite3.connect(path)) as connection:
            stored = "SELECT link_type, strength FROM memory_connections WHERE source_id = ? AND target_id = ?"
            assert connection.execute(stored, (one, other)).fetchall() == [("supports", 0.5)]
            await store.journal.undo()
            assert connection.execute(stored, (one, other)).fetchall() == []


async def test_a_pin_is_the_protection_of_the_server(path: Path) -> None:
    memory = memory_id(1)
    async with opened(path) as store:
        await store.reviews.pin([memory])
        assert (await store.get(memory)).marks.pinned
        assert row(path, memory).get("protected", 1) == 1
        await store.reviews.suspend(memory)
        found = (await store.get(memory)).marks
        assert (found.pinned, found.suspended) == (True, True)


async def test_a_vector_is_where_the_server_keeps_its_own(path: Path) -> None:
    embedder = TestEmbedder(256)
    memory = memory_id(4)
    with closing(sqlite3.connect(path)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for statement in (
            "UPDATE embedding_model SET name = ?",
            "UPDATE embedding_profiles SET model_id = ?",
            "UPDATE node_embeddings SET model = ?",
        ):
            if statement.split(" ")[1] in names:
                connection.execute(statement, (embedder.name,))
        connection.commit()
    async with opened(path, embedder) as store:
        await store.update(memory, Patch(content="An owl at dusk."))
        assert (await store.get(memory)).has_embedding
    table = "embedding_profile_vectors" if "embedding_profile_vectors" in names else "node_embeddings"
    stored = row(path, memory, table, "node_id")
    [expected] = embedder.embed(["An owl at dusk."])
    assert len(stored["embedding"]) == 1024
    assert (stored["dimensions"], stored["model"]) == (256, embedder.name)
    if table == "node_embeddings":
        assert stored["embedding"] == expected.astype("<f4").tobytes()
    assert (row(path, memory)["has_embedding"], row(path, memory)["embedding_model"]) == (1, embedder.name)


async def test_what_the_server_writes_meanwhile_is_seen(path: Path) -> None:
    memory = memory_id(5)
    async with opened(path) as store:
        with closing(sqlite3.connect(path)) as server:
            later = NOW + timedelta(days=3)
            server.execute(
                "UPDATE knowledge_nodes SET next_review = ?, reps = 9 WHERE id = ?", (later.isoformat(), memory)
            )
            server.commit()
        found = (await store.get(memory)).scheduling
        assert found is not None
        assert (found.reps, found.next_review) == (9, later)


@pytest.mark.parametrize("path", [line for line in LINES if line not in WITHOUT_WINNERS], indirect=True)
async def test_a_winner_that_the_server_sets_or_clears_later_is_in_the_history(path: Path) -> None:
    old, new = memory_id(1), memory_id(2)
    async with opened(path) as store:
        await store.wait_for_change(0)
        for winner, kind in ((new, "imported"), (None, "unsupersede")):
            with closing(sqlite3.connect(path)) as server:
                server.execute("UPDATE knowledge_nodes SET superseded_by = ? WHERE id = ?", (winner, old))
                server.commit()
            assert await store.wait_for_change(5)
            event = (await store.links.history(old))[-1]
            assert (event.winner_id, event.kind) == (winner, kind)
            assert (await store.get(old)).superseded_by == winner


async def test_what_the_server_changes_meanwhile_is_not_overwritten(path: Path) -> None:
    memory = memory_id(1)
    async with opened(path) as store:
        read = await store.get(memory)
        with closing(sqlite3.connect(path)) as server:
            graded = "UPDATE knowledge_nodes SET reps = reps + 1, content = 'its own', updated_at = ? WHERE id = ?"
            server.execute(graded, ((NOW - timedelta(minutes=1)).isoformat(), memory))
            server.commit()
        with pytest.raises(Conflict):
            await store.reviews.record(memory, Rating.GOOD, expected=read.scheduling)
        with pytest.raises(Conflict):
            await store.update(memory, Patch(content="mine"), expected=read.updated_at)
        assert row(path, memory)["content"] == "its own"


async def test_a_search_hit_of_the_server_is_no_conflict(path: Path) -> None:
    memory = memory_id(1)
    async with opened(path) as store:
        read = await store.get(memory)
        await store.update(memory, Patch(tags=("seen",)), expected=read.updated_at)
        with closing(sqlite3.connect(path)) as server:
            seen = "UPDATE knowledge_nodes SET last_accessed = ?, retention_strength = 0.31 WHERE id = ?"
            server.execute(seen, (NOW.isoformat(), memory))
            server.commit()
        await store.reviews.record(memory, Rating.GOOD, expected=read.scheduling)
        await store.journal.undo()
        await store.journal.undo()
        assert (await store.get(memory)).tags == read.tags
    assert row(path, memory)["last_accessed"] == NOW.isoformat()


async def test_forty_changes_and_undos_beside_a_server_that_writes_all_the_while(path: Path) -> None:
    ended = threading.Event()
    faults: list[str] = []

    def serve() -> None:
        """Touch and replace rows as the server does, in short transactions without a pause."""
        with closing(sqlite3.connect(path, timeout=5)) as server:
            number = 0
            while not ended.is_set():
                number += 1
                try:
                    server.execute(
                        "UPDATE knowledge_nodes SET last_accessed = ?, retrieval_strength = 0.5 WHERE id = ?",
                        (f"2026-11-30T12:00:00.{number:06d}+00:00", memory_id(number % 12)),
                    )
                    server.commit()
                except sqlite3.Error as error:
                    faults.append(str(error))
                    return

    server = threading.Thread(target=serve)
    server.start()
    try:
        async with opened(path) as store:
            memory = memory_id(7)
            before = await store.get(memory)
            for number in range(40):
                await store.reviews.record(memory, Rating.GOOD)
                await store.update(memory, Patch(tags=(f"t{number}",)))
                await store.journal.undo()
                await store.journal.undo()
            after = await store.get(memory)
            assert same_schedule(after.scheduling, before.scheduling)
            assert (after.tags, after.content) == (before.tags, before.content)
    finally:
        ended.set()
        server.join()
    assert faults == []


async def test_domains_of_the_server_are_renamed_and_an_undo_restores_them(path: Path) -> None:
    one, two = memory_id(1), memory_id(2)
    async with opened(path, TestEmbedder(256)) as store:
        for memory in (one, two):
            await store.update(memory, Patch(domains=("keys", "infra")))
        before = {memory: row(path, memory) for memory in (one, two)}
        preview = await store.domains.preview(DomainMove("rename_domain", ("keys",), "secrets"))
        assert set(preview.ids) == {one, two}
        await store.domains.apply(preview)
        assert (await store.get(one)).domains == ("secrets", "infra")
        if "domains" in before[one]:
            assert json.loads(row(path, one)["domains"]) == ["secrets", "infra"]
        assert row(path, one)["updated_at"] == before[one]["updated_at"]
        await store.journal.undo()
        assert {memory: row(path, memory) for memory in (one, two)} == before
        assert (await store.get(two)).domains == ("keys", "infra")


async def test_the_row_of_a_domain_is_written_where_the_server_has_one(path: Path) -> None:
    async with opened(path) as store:
        await store.update(memory_id(1), Patch(domains=("keys",)))
        if not has_table(path, "domains"):
            with pytest.raises(Refused, match="have no place for this; nothing was changed"):
                await store.domains.put("keys", label="Keys")
            assert not (await store.domains.get("keys")).has_row
            return
        await store.domains.put("keys", label="Keys", terms=["rotation"])
        stored = row(path, "keys", "domains")
        assert (stored["label"], json.loads(stored["top_terms"]), stored["memory_count"]) == ("Keys", ["rotation"], 1)
        await store.domains.apply(await store.domains.preview(DomainMove("delete_domain", ("keys",))))
        assert row(path, "keys", "domains") == {}
        await store.journal.undo()
        assert row(path, "keys", "domains") == stored


def has_table(path: Path, table: str) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchall())


async def test_fitted_weights_are_applied_and_undone(path: Path) -> None:
    async with opened(path) as store:
        one, two, *_ = (memory.id for memory in (await store.page(Filter(), limit=12)).items)
        for memory in (one, two):
            await store.reviews.record(memory, Rating.GOOD)
        [review, *_] = reversed(await store.reviews.log(one))
        assert review.weights_hash == Weights().hash
        before = comparable(row(path, one))
        change = await store.weights.apply(Weights(QUICK_LEARNER), reschedule=True)
        assert {one, two} <= set(change.changed)
        after = comparable(row(path, one))
        assert after["next_review"] != before["next_review"]
        assert (after["reps"], after["learning_state"]) == (before["reps"], before["learning_state"])
        state = await store.reviews.scheduling(one)
        assert state is not None
        assert state.last_review == review.at
    async with opened(path) as store:
        assert store.policy.weights == QUICK_LEARNER
        statistics = await store.review_statistics.of_days(2)
        assert (statistics.total, statistics.has_log) == (2, True)
        await store.journal.undo(change.undo)
        assert comparable(row(path, one)) == before
        assert not store.weights.applied


async def test_a_file_that_is_not_adopted_has_no_log(tmp_path: Path) -> None:
    make_line(tmp_path / "vestige.db", 18, 3)
    async with opened(tmp_path / "vestige.db") as store:
        assert not (await store.review_statistics.of_days(30)).has_log
        assert (await store.weights.preview(Weights(QUICK_LEARNER))).reviewed == 0


async def test_a_second_link_between_two_memories_is_refused(path: Path) -> None:
    source, target = memory_id(0), memory_id(1)
    async with opened(path) as store:
        [link] = [edge for edge in await store.links.edges(source) if edge.target_id == target]
        sentence = f"These memories are already linked (type {link.edge_type!r}), and this store allows only one"
        with pytest.raises(Conflict, match=re.escape(sentence)):
            await store.links.add(Edge(source, target, "another"))
        with pytest.raises(Conflict, match=re.escape(sentence)):
            await store.links.restore([Edge(source, target, "another"), Edge(source, memory_id(5), "another")])
        assert not any(edge.edge_type == "another" for edge in await store.links.edges(source))
        assert await store.links.restore([Edge(source, target, link.edge_type)]) == (0, 1)
        removal = await store.links.remove(source, target, link.edge_type)
        await store.links.add(Edge(source, target, "another"))
        # The undo of the removal has no room any more.
        with pytest.raises(Conflict):
            await store.journal.undo(removal.undo)
