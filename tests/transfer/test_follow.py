"""A copy that goes on bringing what changes in its source."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from tests.support.attempts import attempt, change, claimed_copy
from tests.support.comparison import compare, differences
from tests.support.full_store import fill
from tests.support.job_steps import Step, hook_steps
from tests.support.jobs import wait_for_job
from tests.support.model_swap import prepare_spare_vectors, stored_vectors, swap_models
from vestige_tui.core.errors import Cancelled, ModelMismatch, Refused, StoreReplaced, Unavailable, VestigeError
from vestige_tui.core.jobs import Job, JobFinding
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft, Patch
from vestige_tui.core.reviews import Marks, Rating
from vestige_tui.core.times import format_time
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.jobs.context import JobContext
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.start import JobRequest, resume, start
from vestige_tui.jobs.transitions import CANCELLED
from vestige_tui.store.backends.protocol import Transaction
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store
from vestige_tui.transfer import catchup_deletions, copy
from vestige_tui.transfer.copy_checkpoint import CopyCheckpoint
from vestige_tui.transfer.open import target_of
from vestige_tui.transfer.protocols import Batch
from vestige_tui.transfer.sqlite_source import SqliteSource, sqlite_path
from vestige_tui.transfer.sync_state import SyncState
from vestige_tui.transfer.table_spec import Table

AT = "2026-02-01T00:00:00.000000+00:00"
PATIENCE_SECONDS = 60


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source is looked at again at once."""
    monkeypatch.setattr(copy, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(copy, "IDLE_RATIO", 0)


@dataclass(frozen=True, slots=True)
class Followed:
    """A copy that follows its source, in this process."""

    store: Store
    running: JobContext
    working: asyncio.Task[str]

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.store)

    async def until(self, seen: Callable[[], Awaitable[bool]]) -> None:
        """Wait until something is so, as long as the copy is at work."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await seen():
                assert not self.working.done()
                await asyncio.wait({self.working}, timeout=0.02)

    async def told(self, *said: str) -> bool:
        """Does a finding have all of these words?"""
        page = await self.ledger.findings(self.running.job_id, limit=1_000)
        return any(all(word in f"{each.subject} {each.reason}" for word in said) for each in page.items)


@asynccontextmanager
async def following(source: str, target: str) -> AsyncIterator[Followed]:
    """Copy, and follow; it is let go of at the end without a word in the ledger."""
    async with claimed_copy(source, target, follow=True) as running:
        followed = Followed(running.store, running, asyncio.create_task(copy.run(running)))

        async def follows() -> bool:
            return running.meter.phase == "following"

        try:
            await followed.until(follows)
            yield followed
        finally:
            running.stop.set()
            with suppress(VestigeError):
                await followed.working


def written(path: Path, *statements: tuple[str, tuple[Any, ...]]) -> None:
    """Change a source."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        for sql, values in statements:
            connection.execute(sql, values)


def ids_in(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [str(each) for (each,) in connection.execute("SELECT id FROM knowledge_nodes ORDER BY seq")]


async def known_by(store: Store) -> list[str]:
    """The copies whose sync state a store holds."""
    query = "SELECT DISTINCT chain FROM sync_state ORDER BY chain"
    if store.backend.dialect == "sqlite":
        with closing(sqlite3.connect(sqlite_path(store.location))) as connection:
            return [str(chain) for (chain,) in connection.execute(query)]
    with psycopg.connect(store.location) as server:
        return [str(chain) for (chain,) in server.execute(query).fetchall()]


# Its end


@pytest.mark.slow
@pytest.mark.parametrize("how", ["failed", "terminated"])
async def test_a_following_copy_that_no_person_stopped_goes_on_knowing_what_it_brought(
    tmp_path: Path, target: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "source.db"
    await fill(path, 20)
    edited, gone = ids_in(path)[10:12]
    async with following(f"sqlite:{path}", target) as followed:
        if how == "failed":
            await followed.ledger.mark_failed(followed.running.job_id)
        followed.running.stop.set()
        with pytest.raises(Cancelled):
            await followed.working
        if how == "terminated":
            await followed.ledger.transition(followed.running.job_id, "failed", error=CANCELLED)
        assert await known_by(followed.store) == [followed.running.job_id]
    # Nothing of it lies on this machine.
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    written(
        path,
        ("UPDATE knowledge_nodes SET content = 'edited since', updated_at = ? WHERE id = ?", (AT, edited)),
        ("DELETE FROM knowledge_nodes WHERE id = ?", (gone,)),
    )
    running, _ = await attempt(f"sqlite:{path}", target)
    counted = running.meter.tables["memories"]
    assert (counted.updated, counted.deleted, counted.inserted, counted.present) == (1, 1, 20, 0)
    async with open_store(target) as store:
        assert {each.id: each.content for each in await store.memories.get_many([edited, gone])} == {
            edited: "edited since"
        }


async def test_a_following_copy_that_a_person_stopped_leaves_nothing(tmp_path: Path, target: str) -> None:
    path = tmp_path / "source.db"
    await fill(path, 20)
    async with following(f"sqlite:{path}", target) as followed:
        assert await known_by(followed.store) == [followed.running.job_id]
        assert await followed.ledger.request_cancel(followed.running.job_id)
        followed.running.stop.set()
        assert "rows inserted" in await followed.working
        assert followed.running.meter.phase == "done"
        assert await known_by(followed.store) == []
        # What it knew and its end are one transaction.
        assert (await followed.ledger.job(followed.running.job_id)).status == "completed"


@pytest.mark.slow
async def test_a_following_worker_that_is_terminated_is_taken_up(tmp_path: Path, target: str) -> None:
    path = tmp_path / "source.db"
    await fill(path, 20)
    [gone] = ids_in(path)[10:11]

    async def job_that(job_id: str, seen: Callable[[Job], bool]) -> Job:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not seen(job := await ledger.job(job_id)):
                assert job.in_flight, job.error
                await store.backend.wait_for_change(0.1)
            return job

    launched = await start(JobRequest("copy", f"sqlite:{path}", target, {"follow": True, "verify": False}))
    async with open_store(target) as store:
        ledger = Ledger(store)
        job = await job_that(launched.job_id, lambda job: job.progress.phase == "following")
        assert job.owner is not None
        os.kill(int(job.owner.split("@")[0]), signal.SIGTERM)
        job = await wait_for_job(target, launched.job_id)
        assert (job.status, job.error) == ("failed", CANCELLED)
        written(path, ("DELETE FROM knowledge_nodes WHERE id = ?", (gone,)))
        again = await resume(job)
        await job_that(
            again.job_id,
            lambda job: job.progress.phase == "following" and job.progress.tables["memories"].deleted == 1,
        )
        assert await store.memories.get_many([gone]) == ()
        assert await ledger.request_cancel(again.job_id)
    assert (await wait_for_job(target, again.job_id)).status == "completed"


@pytest.mark.slow
async def test_what_nobody_takes_up_for_long_is_forgotten_and_what_is_at_work_is_not(
    tmp_path: Path, target: str
) -> None:
    path = tmp_path / "source.db"
    await fill(path, 6)
    others = [tmp_path / "other.db", tmp_path / "third.db"]
    for other in others:
        await fill(other, 6)
        async with following(f"sqlite:{other}", target) as followed:
            await followed.ledger.mark_failed(followed.running.job_id)
    async with following(f"sqlite:{path}", target) as followed:
        store = followed.store
        assert len(await known_by(store)) == 3
        old = format_time(store.now() - timedelta(days=31))
        first, *_ = sorted(job.source for job in await followed.ledger.jobs() if job.source.endswith("other.db"))
        forgotten = f"UPDATE job_runs SET finished_at = '{old}' WHERE source = '{first}'"
        await asyncio.to_thread(change, target, forgotten)
        chain = str(followed.running.checkpoint["chain"])
        with closing(SyncState(followed.running, chain, blind=False)) as again:
            async with store.backend.write() as transaction:
                await again.begin(transaction, store.now())
        assert len(await known_by(store)) == 2


@pytest.mark.slow
async def test_a_plan_that_begins_anew_forgets_what_it_knew_before(tmp_path: Path, target: str) -> None:
    path = tmp_path / "source.db"
    await fill(path, 6)
    async with following(f"sqlite:{path}", target) as followed:
        [before] = await known_by(followed.store)
        await followed.ledger.mark_failed(followed.running.job_id)
    launched = await start(JobRequest("copy", f"sqlite:{path}", target, {"follow": True}), fresh=True)
    async with open_store(target) as store:
        ledger = Ledger(store)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await ledger.job(launched.job_id)).progress.phase != "following":
                await store.backend.wait_for_change(0.1)
        assert before == followed.running.job_id
        assert await known_by(store) == [launched.job_id]
        assert await ledger.request_cancel(launched.job_id)
        await wait_for_job(target, launched.job_id)
        assert await known_by(store) == []


@pytest.mark.slow
async def test_an_attempt_tells_of_its_own_comparison(tmp_path: Path, target: str) -> None:
    path = tmp_path / "source.db"
    await fill(path, 20)
    same, other = ids_in(path)[3:5]
    async with following(f"sqlite:{path}", target) as followed:
        await followed.ledger.mark_failed(followed.running.job_id)
    async with claimed_copy(f"sqlite:{path}", target, follow=True, verify=True) as running:
        # Its worker died after it had compared, and had found one row that is alike by now.
        for name, table in running.meter.tables.items():
            running.meter.tables[name] = replace(table, differ=int(name == "memories"))

        async def tell(transaction: Transaction) -> None:
            stale = JobFinding("memories", "differs", same, "Content differs.")
            await running.ledger.add_findings(transaction, running.job_id, [stale])

        await running.step(tell, CopyCheckpoint.from_json(running.checkpoint).all_read())
        await running.ledger.mark_failed(running.job_id)
        await running.store.update(other, Patch(content="edited in the target"), embed=False)
    running, result = await attempt(f"sqlite:{path}", target, verify=True)
    # Its vector has gone with the text that it was of.
    assert result.endswith("1 differ, 1 only in the source")
    assert running.meter.tables["memories"].differ == 1
    async with open_store(target) as store:
        listed = (await Ledger(store).findings(running.job_id, limit=1_000)).items
    told = [(each.subject, each.source_key, each.outcome) for each in listed]
    assert told == [("memories", other, "differs"), ("vectors", other, "only_source")]
    change(target, f"DELETE FROM knowledge_nodes WHERE id = '{other}'")
    running, result = await attempt(f"sqlite:{path}", target, verify=True)
    assert result.endswith("every row is equal")
    assert running.meter.tables["memories"].inserted == 1


# Another model


@pytest.mark.parametrize("change", ["new", "edited"])
async def test_a_store_that_was_reembedded_while_a_copy_slept_keeps_its_vectors(
    tmp_path: Path, target: str, change: str
) -> None:
    path, model = tmp_path / "source.db", TestEmbedder(64)
    await fill(path, 20)
    new = "00000000-0000-4000-8000-0000000000aa"
    async with following(f"sqlite:{path}", target) as followed:
        await asyncio.to_thread(prepare_spare_vectors, target, model)
        await asyncio.to_thread(swap_models, target, model)
        before = stored_vectors(target)
        if change == "new":
            written(
                path,
                (
                    "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES (?, 'new', ?, ?)",
                    (new, AT, AT),
                ),
                ("INSERT INTO node_embeddings (node_id, embedding) VALUES (?, zeroblob(256))", (new,)),
            )
        else:
            written(path, ("UPDATE edges SET weight = 0.25", ()))
        with pytest.raises(
            ModelMismatch, match=f"now uses {model.name} .64 dimensions.; no more vectors of test-model"
        ):
            await followed.working
        assert not await followed.told("vectors")
    after = stored_vectors(target)
    assert [text for text, _ in after] == [text for text, _ in before]
    assert all((one == other).all() for (_, one), (_, other) in zip(after, before, strict=True))


# What stays


async def looked(followed: Followed, path: Path) -> None:
    """Wait until everything that is in the source by now has been looked at."""
    for _ in range(3):
        # Each is brought by a look of its own, and what goes on meanwhile may put off a deletion by one look.
        new = str(uuid.uuid4())
        statement = "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES (?, 'new', ?, ?)"
        written(path, (statement, (new, AT, AT)))

        async def brought(new: str = new) -> bool:
            return bool(await followed.store.memories.get_many([new]))

        await followed.until(brought)


@pytest.mark.slow
async def test_what_was_told_to_stay_is_not_overwritten(tmp_path: Path, target: str) -> None:
    path = tmp_path / "source.db"
    await fill(path, 20)
    marked, until = ids_in(path)[2], datetime(2027, 3, 1, tzinfo=UTC)
    async with following(f"sqlite:{path}", target) as followed:
        store = followed.store
        assert await store.reviews.marks(marked) == Marks(suspended=True)
        await store.reviews.bury(marked, until)
        await looked(followed, path)
        assert await followed.told("marks", "edited in the target (suspended, buried_until); the version of the target")
        written(path, ("UPDATE review_marks SET buried_until = ? WHERE memory_id = ?", (AT, marked)))
        await looked(followed, path)
        assert await store.reviews.marks(marked) == Marks(buried_until=until)
        assert not await followed.told("marks", "edited in the source")
        assert followed.running.meter.tables["marks"].updated == 0

        # Once both are alike again, it follows as before.
        alike = "UPDATE review_marks SET suspended = 0, buried_until = ? WHERE memory_id = ?"
        written(path, (alike, (format_time(until), marked)))
        await looked(followed, path)
        written(path, ("UPDATE review_marks SET suspended = 1 WHERE memory_id = ?", (marked,)))
        await looked(followed, path)
        assert await store.reviews.marks(marked) == Marks(suspended=True, buried_until=until)
        assert followed.running.meter.tables["marks"].updated == 1


@pytest.mark.slow
async def test_what_was_told_to_stay_is_not_deleted(tmp_path: Path, target: str) -> None:
    path = tmp_path / "source.db"
    await fill(path, 20)
    marked, until = ids_in(path)[2], datetime(2027, 3, 1, tzinfo=UTC)
    async with following(f"sqlite:{path}", target) as followed:
        await followed.store.reviews.bury(marked, until)
        await looked(followed, path)
        assert await followed.told("marks", "the version of the target is kept")
        written(path, ("DELETE FROM review_marks", ()))
        await looked(followed, path)
        assert await followed.store.reviews.marks(marked) == Marks(buried_until=until)
        assert followed.running.meter.tables["marks"].deleted == 0


# Many deletions


@pytest.mark.slow
async def test_many_deletions_are_brought_in_parts(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "source.db"
    await fill(path, 30)
    ids = ids_in(path)
    gone, alike = ids[5:25], ids[1]
    edited, linked, reviewed = gone[3], gone[9], gone[14]
    own = "00000000-0000-4000-8000-0000000000bb"
    monkeypatch.setattr(catchup_deletions, "KEYS_PAGE_ROWS", 2)
    sizes: list[tuple[str, int]] = []
    async with following(f"sqlite:{path}", target) as followed:
        store = followed.store
        delete, fetch = type(target_of(store)).delete, type(store.backend).fetch
        unanswered = ["list_edges"]

        async def deleting(self: Any, transaction: Transaction, table: Table, keys: Sequence[bytes]) -> int:
            sizes.append((table.name, len(keys)))
            return await delete(self, transaction, table, keys)

        async def fetching(self: Any, name: str, *args: Any, **kwargs: Any) -> Any:
            if name in unanswered:
                unanswered.remove(name)
                raise Unavailable("The server is starting.")
            return await fetch(self, name, *args, **kwargs)

        monkeypatch.setattr(type(target_of(store)), "delete", deleting)
        await store.update(edited, Patch(content="edited in the target"), embed=False)
        await store.insert(Draft("the target's own", id=own), embed=False)
        await store.links.add(Edge(own, linked, "cites", 0.7))
        await store.reviews.record(reviewed, Rating.GOOD)
        assert len(await store.reviews.log(alike)) == 3
        monkeypatch.setattr(type(store.backend), "fetch", fetching)
        written(
            path,
            *(("DELETE FROM knowledge_nodes WHERE id = ?", (each,)) for each in gone),
            ("DELETE FROM review_events WHERE memory_id = ?", (alike,)),
        )

        async def deleted() -> bool:
            left = {each.id for each in await store.memories.get_many(gone)}
            return left == {edited, linked, reviewed} and await store.reviews.log(alike) == ()

        await followed.until(deleted)
        await looked(followed, path)
        assert unanswered == []
        assert await deleted()
        for how in ("edited", "linked", "reviewed"):
            assert await followed.told("memories", f"but kept in the target, because it was {how} there")
        counted = followed.running.meter.tables
        assert (counted["memories"].deleted, counted["reviews"].deleted) == (17, 11)
        listed = (await followed.ledger.findings(followed.running.job_id, limit=1_000)).items
        told = {each.source_key for each in listed if (each.subject, each.outcome) == ("memories", "deleted")}
        assert told == {*gone} - {edited, linked, reviewed}
    assert max(size for _, size in sizes) == 2
    assert len([size for name, size in sizes if name == "memories"]) == 9


@pytest.mark.slow
async def test_deletions_that_were_broken_off_go_on_and_count_once(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "source.db"
    await fill(path, 30)
    gone = ids_in(path)[5:25]
    monkeypatch.setattr(catchup_deletions, "KEYS_PAGE_ROWS", 4)
    async with following(f"sqlite:{path}", target) as followed:
        store, begun = followed.store, 0
        delete = type(target_of(store)).delete

        async def deleting(self: Any, transaction: Transaction, table: Table, keys: Sequence[bytes]) -> int:
            nonlocal begun
            begun += table.name == "memories"
            if begun == 3:
                raise Refused("Something else is wrong.")
            return await delete(self, transaction, table, keys)

        with monkeypatch.context() as patch:
            patch.setattr(type(target_of(store)), "delete", deleting)
            written(path, *(("DELETE FROM knowledge_nodes WHERE id = ?", (each,)) for each in gone))
            with pytest.raises(Refused):
                await followed.working
        assert len(await store.memories.get_many(gone)) == 12
        await followed.ledger.transition(followed.running.job_id, "failed", error="broken off")
    running, _ = await attempt(f"sqlite:{path}", target)
    assert running.meter.tables["memories"].deleted == 20
    async with open_store(target) as store:
        assert await store.memories.get_many(gone) == ()
        listed = (await Ledger(store).findings(running.job_id, limit=1_000)).items
    assert len([each for each in listed if (each.subject, each.outcome) == ("memories", "deleted")]) == 20


# What changes under a look


async def alike(followed: Followed, path: Path, target: str) -> None:
    """Wait until everything in the source has been looked at, and the target has it."""
    await looked(followed, path)

    async def equal() -> bool:
        return differences(await compare(f"sqlite:{path}", target)) == {}

    await followed.until(equal)


@pytest.mark.slow
async def test_a_vector_that_changes_with_its_text_between_two_reads_is_brought(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "source.db"
    await fill(path, 20)
    changing = ids_in(path)[3]
    between: list[int] = []
    read = SqliteSource.read

    def reading(self: SqliteSource, table: Table, *rest: Any) -> Batch:
        if table.name == "vectors" and between:
            between.pop()
            written(path, *both(changing, "edited under the look"))
        return read(self, table, *rest)

    monkeypatch.setattr(SqliteSource, "read", reading)
    async with following(f"sqlite:{path}", target) as followed:
        between.append(1)
        written(path, *both(changing, "edited before the look"))
        await alike(followed, path, target)
        assert between == []
        assert not await followed.told("vectors", "the version of the target is kept")
        [memory] = await followed.store.memories.get_many([changing])
        assert memory.content == "edited under the look"


def both(memory: str, text: str) -> list[tuple[str, tuple[Any, ...]]]:
    vector = np.random.default_rng(len(text)).standard_normal(64).astype("<f4").tobytes()
    at = format_time(datetime.now(UTC))
    return [
        ("UPDATE knowledge_nodes SET content = ?, updated_at = ? WHERE id = ?", (text, at, memory)),
        ("UPDATE node_embeddings SET embedding = ? WHERE node_id = ?", (vector, memory)),
    ]


@pytest.mark.slow
async def test_a_row_that_cannot_be_copied_any_more_stays_as_it_was(tmp_path: Path, target: str) -> None:
    path = tmp_path / "source.db"
    await fill(path, 10)
    spoilt = ids_in(path)[3]
    vector = "UPDATE node_embeddings SET embedding = ? WHERE node_id = ?"
    with closing(sqlite3.connect(path)) as connection:
        [good] = connection.execute("SELECT embedding FROM node_embeddings WHERE node_id = ?", (spoilt,)).fetchone()
    async with following(f"sqlite:{path}", target) as followed:
        for _ in range(2):
            written(path, (vector, (np.full(64, np.nan, "<f4").tobytes(), spoilt)))
            await looked(followed, path)
            counted = followed.running.meter.tables["vectors"]
            assert (counted.deleted, counted.failed) == (0, 1)
            assert await followed.told("vectors", "not finite")
            assert (await followed.store.models.census()).by_width == {64: 10}
            written(path, (vector, (good, spoilt)))
            await alike(followed, path, target)
            counted = followed.running.meter.tables["vectors"]
            assert (counted.read, counted.inserted, counted.failed) == (10, 10, 0)
            assert not await followed.told("vectors", "not finite")


@pytest.mark.parametrize("name", ["first", "new", "wider"])
async def test_a_source_that_comes_to_belong_to_another_model_ends_the_copy(
    tmp_path: Path, target: str, name: str
) -> None:
    path = tmp_path / "source.db"
    await fill(path, 10)
    if name == "first":
        written(path, ("DELETE FROM embedding_model", ()), ("DELETE FROM node_embeddings", ()))
    model = (1, "another", 128 if name == "wider" else 64, "abc", AT)
    async with following(f"sqlite:{path}", target) as followed:
        before = stored_vectors(target) if name != "first" else []
        written(
            path,
            ("DELETE FROM embedding_model", ()),
            ("INSERT INTO embedding_model (id, name, dimension, hash, created_at) VALUES (?, ?, ?, ?, ?)", model),
            ("UPDATE node_embeddings SET embedding = zeroblob(?)", (4 * model[2],)),
        )
        with pytest.raises(ModelMismatch, match="nothing more is copied"):
            await followed.working
        assert len(stored_vectors(target) if name != "first" else []) == len(before)
        assert followed.running.meter.tables["vectors"].deleted == 0


@pytest.mark.slow
async def test_what_was_edited_on_both_sides_stays_as_it_is_in_the_target(tmp_path: Path, target: str) -> None:
    path = tmp_path / "source.db"
    await fill(path, 10)
    linked, marked, scheduled = ids_in(path)[1:4]
    async with following(f"sqlite:{path}", target) as followed:
        await followed.ledger.mark_failed(followed.running.job_id)
    later = "2030-01-01T00:00:00.000000+00:00"
    for change_one, value in ((change, 0.11), (in_source(path), 0.9)):
        sides = [
            f"UPDATE edges SET weight = {value} WHERE source_id = '{linked}'",
            f"UPDATE scheduling SET stability = {value + 40} WHERE memory_id = '{scheduled}'",
            f"UPDATE review_marks SET buried_until = '{AT if value < 0.5 else later}' WHERE memory_id = '{marked}'",
            f"UPDATE users SET display_name = '{value}' WHERE handle = 'ann'",
            f"""UPDATE groups SET metadata = '{{"level": {value}}}' WHERE handle = 'team'""",
            f"UPDATE group_memberships SET joined_at = '{AT if value < 0.5 else later}'",
            f"UPDATE domains SET memory_count = {value * 100:.0f}",
        ]
        for sql in sides:
            change_one(target, sql)
    running, _ = await attempt(f"sqlite:{path}", target)
    both = {"users", "groups", "memberships", "domains", "edges", "scheduling", "marks"}
    assert {running.meter.tables[name].updated for name in both} == {0}
    assert set(differences(await compare(f"sqlite:{path}", target))) == both
    async with open_store(target) as store:
        assert {each.weight for each in await store.links.edges(linked) if each.source_id == linked} == {0.11}
        listed = (await Ledger(store).findings(running.job_id, limit=1_000)).items
    told = {each.subject for each in listed if "on both sides" in each.reason}
    assert told == both


async def test_another_spelling_in_the_target_is_no_edit(tmp_path: Path, target: str) -> None:
    path = tmp_path / "source.db"
    await fill(path, 10)
    written(
        path,
        ("UPDATE users SET metadata = ? WHERE handle = 'ann'", ('{"b": 1.50, "a":  [1, true]}',)),
        ("UPDATE groups SET metadata = ? WHERE handle = 'team'", ('{"n": 1e2}',)),
        ("UPDATE domains SET metadata = ?", ('{"x":0.10}',)),
        ("UPDATE edges SET weight = -0.0", ()),
    )
    async with open_store(target, create=True):
        # A person of the target already has that name, so that the copied one gets a longer one.
        other = uuid.UUID(int=9, version=4)
        change(target, f"INSERT INTO users (id, handle, created_at) VALUES ('{other}', 'ann', '{AT}')")
    async with following(f"sqlite:{path}", target) as followed:
        changes = [
            "UPDATE users SET display_name = 'Ann' WHERE handle = 'ann'",
            "UPDATE groups SET display_name = 'The team' WHERE handle = 'team'",
            "UPDATE domains SET memory_count = 99",
            "UPDATE edges SET weight = 0.75",
        ]
        written(path, *((each, ()) for each in changes))
        await looked(followed, path)
        updated = {name: each.updated for name, each in followed.running.meter.tables.items()}
        assert {name: count for name, count in updated.items() if count} == {
            "users": 1,
            "groups": 1,
            "domains": 1,
            "edges": 9,
        }
        assert not await followed.told("both sides")


@pytest.mark.parametrize("what", ["suspended", "unsuspended", "replaced", "replaces"])
async def test_a_deleted_memory_stays_where_the_target_has_made_something_of_it(
    tmp_path: Path, target: str, what: str
) -> None:
    path = tmp_path / "source.db"
    await fill(path, 10)
    there, suspended, other, going = (ids_in(path)[each] for each in (7, 2, 5, 9))
    kept = suspended if what == "unsuspended" else there
    async with following(f"sqlite:{path}", target) as followed:
        store = followed.store
        if what == "suspended":
            await store.reviews.suspend(kept)
        elif what == "unsuspended":
            await store.reviews.resume(kept)
        else:
            pair = (kept, other) if what == "replaced" else (other, kept)
            await store.links.supersede(*pair)
        for each in (kept, going):
            written(path, ("DELETE FROM knowledge_nodes WHERE id = ?", (each,)))
        await followed.until(partial(followed.told, "memories", "there after the copy"))
        found = {each.id: each for each in await store.memories.get_many([kept, going, other])}
        assert set(found) == {kept, other}
        assert found[other].superseded_by == (kept if what == "replaces" else None)


async def test_who_edits_the_target_under_a_look_is_not_overwritten(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "source.db"
    await fill(path, 10)
    quicker = ids_in(path)[3]
    edits = 0
    async with following(f"sqlite:{path}", target) as followed:

        async def edit_in_target(step: Step) -> None:
            nonlocal edits
            if step.context.meter.tables["memories"].inserted == 11 and not edits:
                edits += 1
                await followed.store.update(quicker, Patch(content="edited in the target"))

        hook_steps(monkeypatch, after=edit_in_target)
        statement = "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES (?, 'new', ?, ?)"
        edit = "UPDATE knowledge_nodes SET content = 'edited in the source', updated_at = ? WHERE id = ?"
        written(path, (statement, (str(uuid.uuid4()), AT, AT)), (edit, ("2026-03-01T00:00:00.000000+00:00", quicker)))
        await followed.until(partial(followed.told, "memories", "both sides"))
        [memory] = await followed.store.memories.get_many([quicker])
        assert (memory.content, edits) == ("edited in the target", 1)


def in_source(path: Path) -> Callable[[str, str], None]:
    return lambda _, sql: written(path, (sql, ()))


async def test_of_two_rows_of_one_key_the_first_counts_at_every_look(tmp_path: Path, target: str) -> None:
    path = tmp_path / "source.db"
    await fill(path, 10)
    first, second = ids_in(path)[:2]
    edge = "INSERT INTO edges (source_id, target_id, edge_type, weight, created_at) VALUES (?, ?, ?, ?, ?)"
    for end, weight in (("a", 0.1), ("b", 0.2)):
        written(path, (edge, (first, second, "x" * 255 + end, weight, AT)))
    async with following(f"sqlite:{path}", target) as followed:
        await looked(followed, path)
        assert followed.running.meter.tables["edges"].updated == 0
        assert not await followed.told("edges", "edited in the target")
        written(path, ("UPDATE edges SET weight = 0.3 WHERE weight = 0.1", ()))
        await looked(followed, path)
        assert followed.running.meter.tables["edges"].updated == 1
        weights = {each.weight for each in await followed.store.links.edges(first) if each.edge_type.startswith("xx")}
        assert weights == {0.3}


async def test_who_still_owns_something_in_the_target_stays(tmp_path: Path, target: str) -> None:
    path = tmp_path / "source.db"
    await fill(path, 10)
    ann = str(uuid.UUID(int=5, version=4))
    async with following(f"sqlite:{path}", target) as followed:
        await followed.store.insert(Draft("the target's own", owner_user_id=ann), embed=False)
        written(
            path,
            ("UPDATE knowledge_nodes SET owner_user_id = '00000000-0000-0000-0000-000000000001'", ()),
            ("DELETE FROM users WHERE id = ?", (ann,)),
        )
        await followed.until(partial(followed.told, "users", "other rows in the target need it"))
        assert followed.running.meter.tables["users"].deleted == 0
        listed = (await followed.ledger.findings(followed.running.job_id, limit=1_000)).items
        assert [each.outcome for each in listed if each.subject == "users"] == ["only_target"]


async def test_a_memory_that_is_replaced_no_more_is_active_again(tmp_path: Path, target: str) -> None:
    path = tmp_path / "source.db"
    await fill(path, 10)
    loser = ids_in(path)[0]
    written(path, ("DELETE FROM supersession_events WHERE kind = 'unsupersede'", ()))
    async with following(f"sqlite:{path}", target) as followed:
        [memory] = await followed.store.memories.get_many([loser])
        assert memory.superseded_by is not None
        written(path, ("DELETE FROM supersession_events", ()))

        async def active() -> bool:
            [memory] = await followed.store.memories.get_many([loser])
            return memory.superseded_by is None

        await followed.until(active)


@pytest.mark.parametrize("how", ["replaced", "removed"])
async def test_a_source_that_another_file_replaces_is_read_no_further(tmp_path: Path, target: str, how: str) -> None:
    path, other = tmp_path / "source.db", tmp_path / "other.db"
    await fill(path, 20)
    await fill(other, 8)
    async with following(f"sqlite:{path}", target) as followed:
        if how == "replaced":
            other.rename(path)
        else:
            path.unlink()
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(StoreReplaced, match=r"its file was replaced by another file|was removed or renamed"):
                await followed.working
        # Nothing was deleted because the other file does not have it.
        assert (await followed.store.maintenance.stats()).total_memories == 20
