"""A store taken to another embedding model: while it is in use, after a kill, in place, and back again."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import psycopg
import pytest

from tests.support.failing_encoder import FAILING_ENCODER, TEXTS_VARIABLE, encoded_texts
from tests.support.job_steps import Step, hook_steps
from tests.support.jobs import read_job, run_here
from tests.support.kill_points import KILLED_STATUS, Workers, kill_points
from tests.support.model_swap import stored_vectors
from tests.support.postgres import named_database
from tests.support.postgres_variant import as_superuser
from tests.support.store_rows import read_rows
from vestige_tui.core.bulk import DomainMove
from vestige_tui.core.errors import EmbedderUnavailable, ReadOnly, Refused, Usage
from vestige_tui.core.jobs import Job
from vestige_tui.core.memories import Draft, Patch
from vestige_tui.core.search import SearchQuery
from vestige_tui.embedding import encoder_pool, loaders
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import DEFAULT_MODEL, Embedder, TestEmbedder, signature
from vestige_tui.jobs import conflicts, start
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.start import JobRequest
from vestige_tui.reembed import encoding, plan
from vestige_tui.store.models import FILL_BATCH
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

OLD, NEW, OTHER = TestEmbedder(768), TestEmbedder(1_024), TestEmbedder(640)
WORDS = (
    *("keys", "rotate", "harbour", "deploy", "cache", "queue"),
    *("index", "retry", "lease", "token", "batch", "signing"),
)


def texts(count: int) -> list[str]:
    return [f"number {n} {WORDS[n % 12]} {WORDS[n // 12 % 12]} {WORDS[n // 144 % 12]}" for n in range(count)]


@asynccontextmanager
async def opened(url: str, embedder: Embedder | None = None, **options: Any) -> AsyncIterator[Store]:
    embedders = EmbedderSource(embedder=embedder)
    try:
        async with open_store(url, embedders=embedders, **options) as store:
            yield store
    finally:
        embedders.close()


async def fill(url: str, count: int, embedder: Embedder = OLD) -> list[str]:
    """So many memories with their vectors; gives their ids."""
    written = texts(count)
    async with opened(url, embedder, create=True) as store:
        await store.models.register(signature(embedder))
        ids, _, _ = await store.memories.insert_many(
            [Draft(text, domains=("auth",) if n % 2 else ()) for n, text in enumerate(written)],
            embeddings=embedder.embed(written),
        )
    return list(ids)


Run: TypeAlias = Callable[..., Coroutine[Any, Any, Job]]


@pytest.fixture
def run() -> Run:
    """Run a job to its end in this process; its encoders are processes of their own all the same."""

    async def run(url: str, **options: Any) -> Job:
        return await run_here(JobRequest("reembed", url, url, options))

    return run


async def completed(running: Coroutine[Any, Any, Job] | asyncio.Task[Job]) -> Job:
    job = await running
    assert (job.status, job.error) == ("completed", None)
    return job


def everything_is_of(url: str, embedder: Embedder) -> int:
    """Every vector is the one that this model gives for the text as it is; gives how many there are."""
    vectors = stored_vectors(url)
    for (text, vector), wanted in zip(vectors, embedder.embed([text for text, _ in vectors]), strict=True):
        assert np.allclose(vector, wanted, atol=1e-6), text
    return len(vectors)


async def answers(url: str, embedder: Embedder) -> list[list[tuple[str, float]]]:
    questions = ["rotate the signing keys", "harbour queue", "a batch of tokens"]
    async with opened(url, embedder) as store:
        found = [await store.search(SearchQuery(text=question, limit=10)) for question in questions]
    assert {answer.mode for answer in found} == {"hybrid"}
    assert all(hit.vector_rank or hit.text_rank for answer in found for hit in answer)
    return [[(hit.memory.id, round(hit.score, 6)) for hit in answer] for answer in found]


def names(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Indexes, constraints, triggers and the width of either table of vectors."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as file:
            cursor = file.execute(
                "SELECT type, name, tbl_name, replace(sql, '\"', '') FROM sqlite_master"
                " WHERE sql LIKE '%embeddings%' OR tbl_name LIKE '%embeddings%'"
            )
            return {"sqlite": sorted(cursor.fetchall(), key=repr)}
    queries = {
        "indexes": "SELECT tablename, indexname, replace(indexdef, 'half', '') FROM pg_indexes"
        " WHERE tablename LIKE '%embeddings'",
        "constraints": "SELECT conrelid::regclass::text, conname FROM pg_constraint"
        " WHERE conrelid::regclass::text LIKE '%embeddings'",
        "triggers": "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal",
        "storage": "SELECT attrelid::regclass::text, attstorage FROM pg_attribute WHERE attname = 'embedding'"
        " AND attrelid::regclass::text LIKE '%embeddings'",
        "broken": "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid",
    }
    with psycopg.connect(url) as server:
        return {name: sorted(server.execute(query.encode()).fetchall()) for name, query in queries.items()}


def width(url: str, table: str) -> str:
    with psycopg.connect(url) as server:
        [row] = server.execute(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attname = 'embedding'",
            (table,),
        ).fetchall()
    return str(row[0])


def change(url: str, statement: str, *values: Any) -> None:
    """Change the database behind everybody's back."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"), timeout=30)) as file, file:
            file.execute("PRAGMA foreign_keys = ON")
            file.execute(statement.replace("%s", "?"), values)
        return
    with psycopg.connect(url) as server:
        server.execute(statement.encode(), values)


# The whole way


@pytest.mark.slow
async def test_a_store_is_taken_to_another_width(store_url: str, run: Run) -> None:
    ids = await fill(store_url, 500)
    before = names(store_url)
    async with opened(store_url) as store:
        health = await store.health()
    job = await completed(run(store_url, model=NEW.name))
    assert everything_is_of(store_url, NEW) == 500
    assert (job.progress.tables["memories"].inserted, job.progress.tables["memories"].read) == (500, 500)
    async with opened(store_url, NEW) as store:
        registered = await store.models.registered()
        assert registered is not None
        assert replace(registered, created_at=None) == signature(NEW)
        assert {memory.id for memory in await store.memories.get_many(ids)} == set(ids)
        assert (await store.models.census()).by_width == {1_024: 500}
        assert (await store.health()).state == health.state
        assert {info.state for info in await store.maintenance.schema_status()} == {"applied"}
        kept, [changed] = await plan.spare(store), await plan.history(store)
        report = await plan.report(store, job.id)
    assert kept is not None
    assert (kept.model.name, kept.model.dimension, kept.role, kept.vectors) == (OLD.name, 768, "kept", 500)
    assert (changed.kind, changed.before.name, changed.after, changed.memories) == (
        "reembed",
        OLD.name,
        signature(NEW),
        500,
    )
    assert changed.job_id == job.id
    assert report is not None
    assert report.rows_updated == 500
    assert report.swap_ms is not None
    assert job.result is not None
    assert "500 vectors of test-embedder-1024" in job.result
    assert await answers(store_url, NEW)
    after = names(store_url)
    if store_url.startswith("sqlite:"):
        assert after == before
        return
    assert (width(store_url, "node_embeddings"), width(store_url, "spare_embeddings")) == (
        "vector(1024)",
        "vector(768)",
    )
    spare_index = [("spare_embeddings", "idx_spare_embeddings_hnsw")]
    assert [row[:2] for row in after["indexes"]] == sorted([*(row[:2] for row in before["indexes"]), *spare_index])
    assert {name: rows for name, rows in after.items() if name != "indexes"} == {
        name: rows for name, rows in before.items() if name != "indexes"
    }


@pytest.mark.slow
async def test_wide_vectors_take_half_the_room(postgres_database: str, run: Run) -> None:
    await fill(postgres_database, 20)
    wide = TestEmbedder(3_000)
    await completed(run(postgres_database, model=wide.name))
    assert width(postgres_database, "node_embeddings") == "halfvec(3000)"
    async with opened(postgres_database, wide) as store:
        assert (await store.search(SearchQuery(text="number 7 cache", mode="vector", limit=1)))[0].vector_rank == 1
    await completed(run(postgres_database, model=OLD.name))
    assert everything_is_of(postgres_database, OLD) == 20
    with pytest.raises(Refused, match="at most 4,000"):
        await start.check(JobRequest("reembed", postgres_database, postgres_database, {"model": "test-embedder-4500"}))


def put_domain(url: str, name: str, vector: Any) -> None:
    value = vector.tobytes() if url.startswith("sqlite:") else str(vector.tolist())
    change(
        url,
        "INSERT INTO domains (id, label, centroid, created_at)"
        " VALUES (%s, 'D', %s, '2026-01-01T00:00:00.000000+00:00')",
        name,
        value,
    )


def centre(url: str, name: str) -> Any:
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as file:
            [[blob]] = file.execute("SELECT centroid FROM domains WHERE id = ?", (name,)).fetchall()
        return None if blob is None else np.frombuffer(blob, "<f4")
    with psycopg.connect(url) as server:
        [[text]] = server.execute("SELECT centroid::text FROM domains WHERE id = %s", (name,)).fetchall()
    return None if text is None else np.array(text.strip("[]").split(","), dtype=np.float32)


@pytest.mark.slow
async def test_domains_get_a_centre_of_the_new_vectors(store_url: str, run: Run) -> None:
    await fill(store_url, 30)
    for name in ("auth", "nobody"):
        put_domain(store_url, name, OLD.embed([name])[0])
    await completed(run(store_url, model=NEW.name))
    assert np.allclose(centre(store_url, "auth"), np.mean(NEW.embed(texts(30)[1::2]), axis=0), atol=1e-5)
    assert centre(store_url, "nobody") is None
    async with opened(store_url, NEW) as store:
        assert (await store.domains.get("auth")).centroid_at is not None


@pytest.mark.slow
async def test_an_undo_after_a_reembedding_restores_no_centroid_of_the_old_model(store_url: str, run: Run) -> None:
    await fill(store_url, 30)
    async with opened(store_url, OLD) as store:
        await store.domains.put("auth", label="Keys")
        moved = await store.domains.preview(DomainMove("rename_domain", ("auth",), "identity"))
        change = await store.domains.apply(moved)
    await completed(run(store_url, model=NEW.name))
    async with opened(store_url, NEW) as store:
        await store.journal.undo(change.undo)
        auth = await store.domains.get("auth")
        assert (auth.label, auth.dimension, auth.centroid_at, auth.memories) == ("Keys", None, None, 15)
        await store.journal.redo()
        assert (await store.domains.get("identity")).label == "Keys"


@pytest.mark.slow
async def test_the_real_model_takes_over_vectors_of_the_same_width(store_url: str, run: Run) -> None:
    await fill(store_url, 12, TestEmbedder(384))
    before = names(store_url)
    await completed(run(store_url, model="all-MiniLM-L6-v2"))
    real = await asyncio.to_thread(loaders.load_embedder)
    assert everything_is_of(store_url, real) == 12
    async with opened(store_url) as store:
        answer = await store.search(SearchQuery(text="sign with the key", limit=3))
        registered = await store.models.registered()
    assert answer.mode == "hybrid"
    assert registered is not None
    assert (registered.name, registered.hash) == (DEFAULT_MODEL, real.hash)
    assert {key: rows for key, rows in names(store_url).items() if key != "indexes"} == {
        key: rows for key, rows in before.items() if key != "indexes"
    }


# What happens meanwhile


@pytest.mark.slow
async def test_what_is_written_meanwhile_is_caught_up(
    store_url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await fill(store_url, 60)
    batch = sorted(ids)[:2]
    writes = 0

    async def edit(step: Step) -> None:
        nonlocal writes
        if not step.writes_vectors:
            return
        writes += 1
        async with opened(store_url, OLD) as store:
            if writes == 1:
                assert step.checkpoint["after"] == batch[-1]
                # One that is encoded and not yet written, one that is not yet read; one that goes, and a new one.
                for each in (batch[0], max(ids)):
                    await store.update(each, Patch(content=f"changed {each}"))
                await store.delete([batch[1]])
                await store.insert(Draft("written meanwhile"))
            if writes == 2:
                # One that has its new vector.
                await store.update(min(ids), Patch(content="changed again"))

    hook_steps(monkeypatch, before=edit)
    await completed(run(store_url, model=NEW.name, batch=2))
    assert everything_is_of(store_url, NEW) == 60
    assert {"written meanwhile", "changed again", f"changed {max(ids)}"} <= {
        text for text, _ in stored_vectors(store_url)
    }


async def test_what_is_written_just_before_the_swap_gets_its_vector_after_it(
    store_url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await fill(store_url, 20)
    edited: list[str] = []
    async with opened(store_url, OLD) as store:

        async def edit(step: Step) -> None:
            if step.phase == "swapping" and not edited:
                edited.append(ids[3])
                await store.insert(Draft("at the last moment"))
                await store.update(ids[3], Patch(content="changed at the last moment"))

        hook_steps(monkeypatch, before=edit)
        await completed(run(store_url, model=NEW.name))
    assert edited
    assert everything_is_of(store_url, NEW) == 21


async def test_an_edit_waits_for_the_vector_and_takes_it_away(postgres_database: str) -> None:
    [one, two, *_] = await fill(postgres_database, 3)
    async with opened(postgres_database) as store:
        marks = {str(row["id"]): row["mark"] for row in await store.backend.fetch("read_texts", {"ids": [one, two]})}
        params = {"ids": list(marks), "marks": list(marks.values())}
        async with await psycopg.AsyncConnection.connect(postgres_database) as editor:
            await editor.execute("UPDATE knowledge_nodes SET content = 'being edited' WHERE id = %s", (one,))
            async with store.backend.write() as transaction:
                # A row that is being edited is left out; nothing waits for it.
                rows = await transaction.fetch("hold_unchanged", params)
                assert [row["id"] for row in rows] == [two]
                await editor.commit()
                assert [row["id"] for row in await transaction.fetch("hold_unchanged", params)] == [two]
                insert = "INSERT INTO spare_embeddings (node_id, embedding) VALUES (%s, '[1]')"
                await transaction.connection.execute(insert, (two,))  # type: ignore[attr-defined]  # it is PostgreSQL's
                await editor.execute("SET lock_timeout = '50ms'")
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    await editor.execute("UPDATE knowledge_nodes SET content = 'too early' WHERE id = %s", (two,))
                await editor.rollback()
            await editor.execute("UPDATE knowledge_nodes SET content = 'edited' WHERE id = %s", (two,))
            await editor.commit()
            left_over = await (await editor.execute("SELECT node_id FROM spare_embeddings")).fetchall()
    assert left_over == []


@pytest.mark.slow
async def test_an_edit_that_takes_long_is_waited_for(
    postgres_database: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await fill(postgres_database, 20)
    monkeypatch.setattr(encoding, "PAUSE_SECONDS", 0.01)
    edited: list[str] = []
    async with await psycopg.AsyncConnection.connect(postgres_database) as editor:

        async def edit(step: Step) -> None:
            if step.writes_vectors and not edited:
                edited.append(ids[7])
                await editor.execute("UPDATE knowledge_nodes SET content = 'took long' WHERE id = %s", (ids[7],))
            elif step.phase.startswith("building the vector index") and len(edited) == 1:
                async with opened(postgres_database) as store:
                    there = await plan.spare(store)
                assert there is not None
                assert there.vectors == 19
                await editor.commit()
                edited.append("committed")

        hook_steps(monkeypatch, before=edit)
        await completed(run(postgres_database, model=NEW.name))
    assert edited == [ids[7], "committed"]
    assert everything_is_of(postgres_database, NEW) == 20
    assert "took long" in {text for text, _ in stored_vectors(postgres_database)}


@pytest.mark.slow
async def test_the_swap_waits_for_who_reads_and_lets_others_through(
    postgres_database: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(postgres_database, 20)
    tries: list[str] = []
    async with await psycopg.AsyncConnection.connect(postgres_database) as reader:

        async def read(step: Step) -> None:
            if step.phase == "swapping" and not tries:
                await reader.execute("SELECT count(*) FROM node_embeddings")

        async def swap(step: Step) -> None:
            if "taken" in step.changed and step.phase == "swapping":
                tries.append("again" if tries else "first")
                if len(tries) == 3:
                    await reader.rollback()

        hook_steps(monkeypatch, before=read, within=swap)
        await completed(run(postgres_database, model=NEW.name))
    assert tries == ["first", "again", "again"]
    assert everything_is_of(postgres_database, NEW) == 20


@pytest.mark.slow
async def test_many_edits_leave_no_vector_of_an_old_text(store_url: str, run: Run) -> None:
    ids = await fill(store_url, 120)
    done = asyncio.Event()

    async def edit() -> int:
        async with opened(store_url) as store:
            count = 0
            while not done.is_set():
                await store.update(ids[count * 7 % 120], Patch(content=f"edit {count} of {WORDS[count % 12]}"))
                count += 1
        return count

    editing = asyncio.create_task(edit())
    try:
        await completed(run(store_url, model=NEW.name, batch=8))
    finally:
        done.set()
        assert await editing > 0
    async with opened(store_url, NEW) as store:
        await store.models.fill()
    assert everything_is_of(store_url, NEW) == 120


# What cannot be encoded


@pytest.mark.slow
async def test_a_text_that_cannot_be_encoded_costs_only_itself(
    store_url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder_pool, "ENCODER_COMMAND", FAILING_ENCODER)
    await fill(store_url, 40, TestEmbedder(16))
    async with opened(store_url) as store:
        await store.memories.insert_many(
            [Draft("undone business"), Draft("hollow words"), Draft("deadly silence")], embed=False
        )
    job = await run(store_url, model="test-embedder-8")
    assert job.status == "completed"
    counts = job.progress.tables["memories"]
    assert (counts.read, counts.inserted, counts.failed) == (43, 40, 3)
    async with opened(store_url) as store:
        items = (await Ledger(store).findings(job.id)).items
        census = await store.models.census()
    assert {each.outcome for each in items} == {"failed"}
    assert len({each.source_key for each in items}) == len(items) == 3
    assert (census.by_width, census.without) == ({8: 40}, 3)


@pytest.mark.slow
async def test_a_model_that_can_encode_nothing_changes_nothing(
    store_url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder_pool, "ENCODER_COMMAND", FAILING_ENCODER)
    async with opened(store_url, create=True) as store:
        await store.models.register(signature(TestEmbedder(16)))
        await store.memories.insert_many([Draft("undone one"), Draft("undone two")], embed=False)
    job = await run(store_url, model="test-embedder-8")
    assert job.status == "failed"
    assert job.error == "test-embedder-8 could not encode any text; the store is unchanged."
    async with opened(store_url) as store:
        assert (await store.models.registered() or signature(NEW)).name == "test-embedder-16"


async def meaningless(url: str, *contents: str) -> tuple[str, ...]:
    """Ids of memories without a vector, beside three that have one."""
    await fill(url, 3, TestEmbedder(16))
    async with opened(url) as store:
        ids, _, _ = await store.memories.insert_many([Draft(each) for each in contents], embed=False)
    return tuple(ids)


async def failures(url: str, job: Job) -> list[str]:
    async with opened(url) as store:
        items = (await Ledger(store).findings(job.id)).items
    return sorted(each.source_key for each in items if each.outcome == "failed")


def counts(job: Job) -> tuple[int, int, int]:
    table = job.progress.tables["memories"]
    return table.read, table.inserted, table.failed


@pytest.mark.parametrize("in_place", [False, True])
async def test_a_text_that_failed_and_was_mended_has_failed_no_more(
    store_url: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_place: bool
) -> None:
    monkeypatch.setattr(encoder_pool, "ENCODER_COMMAND", FAILING_ENCODER)
    mended, stays = await meaningless(store_url, "undone business", "undone for ever")
    encoded = tmp_path / "encoded.log"
    monkeypatch.setenv(TEXTS_VARIABLE, str(encoded))
    first_pass: list[str] = []

    async def mend(step: Step) -> None:
        if step.writes_vectors and not first_pass:
            first_pass.extend(encoded_texts(encoded))
            statement = "UPDATE knowledge_nodes SET content = 'as usual' WHERE content = %s"
            # A heartbeat may hold the file, and needs this loop to let go of it.
            await asyncio.to_thread(change, store_url, statement, "undone business")

    hook_steps(monkeypatch, after=mend)
    job = await completed(run(store_url, model="test-embedder-8", in_place=in_place))
    assert len(set(first_pass)) == 5
    assert encoded_texts(encoded)[len(first_pass) :] == ["as usual"]
    assert (counts(job), await failures(store_url, job)) == ((5, 4, 1), [stays])
    assert job.result is not None
    assert "1 memory without a vector" in job.result
    async with opened(store_url) as store:
        assert [each.id for each in await store.memories.get_many([mended]) if each.has_embedding] == [mended]


async def interrupted(run: Run, monkeypatch: pytest.MonkeyPatch, url: str, **options: Any) -> Job:
    """An attempt that ends once all texts were encoded."""

    async def refuse(step: Step) -> None:
        if step.phase in ("swapping", "building the vector index") or "report" in step.changed:
            raise Refused("Something else is wrong.")

    with monkeypatch.context() as patch:
        hook_steps(patch, before=refuse)
        job = await run(url, **options)
    assert job.error == "Something else is wrong."
    return job


@pytest.mark.slow
@pytest.mark.parametrize("in_place", [False, True])
async def test_what_failed_in_an_earlier_attempt_is_taken_back_where_the_next_succeeds(
    store_url: str, run: Run, monkeypatch: pytest.MonkeyPatch, in_place: bool
) -> None:
    await meaningless(store_url, "undone business")
    with monkeypatch.context() as patch:
        patch.setattr(encoder_pool, "ENCODER_COMMAND", FAILING_ENCODER)
        first = await interrupted(run, monkeypatch, store_url, model="test-embedder-8", in_place=in_place)
    assert (counts(first), len(await failures(store_url, first))) == ((4, 3, 1), 1)
    job = await completed(run(store_url, model="test-embedder-8", in_place=in_place))
    assert job.attempt == 2
    assert (counts(job), await failures(store_url, job)) == ((4, 4, 0), [])
    assert job.result is not None
    assert "without a vector" not in job.result


@pytest.mark.slow
async def test_what_failed_is_counted_again_for_vectors_that_are_made_anew(
    store_url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder_pool, "ENCODER_COMMAND", FAILING_ENCODER)
    [undone] = await meaningless(store_url, "undone business")
    first = await interrupted(run, monkeypatch, store_url, model="test-embedder-8")
    assert counts(first) == (4, 3, 1)
    async with opened(store_url) as store:
        await plan.drop_spare(store)
    job = await completed(run(store_url, model="test-embedder-8"))
    assert job.attempt == 2
    assert (counts(job), await failures(store_url, job)) == ((4, 3, 1), [undone])
    assert job.result is not None
    assert "1 memory without a vector" in job.result


# There and back


@pytest.mark.slow
async def test_the_way_back_brings_the_old_answers(store_url: str, run: Run) -> None:
    ids = await fill(store_url, 200)
    before = await answers(store_url, OLD)
    layout = names(store_url)
    await completed(run(store_url, model=NEW.name))
    assert await answers(store_url, NEW) != before
    there = names(store_url)
    await completed(run(store_url, rollback=True))
    assert await answers(store_url, OLD) == before
    assert everything_is_of(store_url, OLD) == 200
    assert names(store_url) == there
    async with opened(store_url, OLD) as store:
        assert [each.kind for each in await plan.history(store)] == ["rollback", "reembed"]
        beside = await plan.spare(store)
        assert beside is not None
        assert (beside.model.name, beside.vectors, beside.role) == (NEW.name, 200, "kept")
    # And what is written after a swap is encoded before the next.
    async with opened(store_url) as store:
        await store.update(ids[0], Patch(content="changed since"))
        await store.insert(Draft("new since"), embed=False)
    job = await completed(run(store_url, rollback=True))
    assert job.progress.tables["memories"].inserted == 2
    assert everything_is_of(store_url, NEW) == 201
    assert (width(store_url, "node_embeddings") if layout.get("indexes") else "vector(1024)") == "vector(1024)"


@pytest.mark.slow
async def test_the_way_back_without_its_model_is_asked_for_twice(store_url: str, run: Run) -> None:
    await fill(store_url, 10)
    with pytest.raises(Refused, match="keeps no vectors"):
        await start.check(JobRequest("reembed", store_url, store_url, {"rollback": True}))
    await completed(run(store_url, model=NEW.name))
    change(store_url, "UPDATE spare_model SET name = 'no-such-model'")
    async with opened(store_url) as store:
        assert (await plan.estimate_rollback(store)).loadable
        await store.insert(Draft("new since"), embed=False)
        estimated = await plan.estimate_rollback(store)
        assert (estimated.loadable, estimated.memories) == (False, 1)
    with pytest.raises(Refused, match="1 memory that was written since would be without a vector"):
        await start.check(JobRequest("reembed", store_url, store_url, {"rollback": True}))
    await completed(run(store_url, rollback=True, partial=True))
    async with opened(store_url) as store:
        assert (await store.models.registered() or signature(NEW)).name == "no-such-model"
        assert (await store.models.census()).without == 1
    assert everything_is_of(store_url, OLD) == 10


@pytest.mark.slow
async def test_old_vectors_can_be_let_go(store_url: str, run: Run) -> None:
    await fill(store_url, 10)
    await completed(run(store_url, model=NEW.name))
    async with opened(store_url) as store:
        dropped = await plan.drop_spare(store)
        assert dropped is not None
        assert (dropped.model.name, dropped.vectors) == (OLD.name, 10)
        assert await plan.spare(store) is None
        assert await plan.drop_spare(store) is None
    await completed(run(store_url, model=OLD.name, drop_old=True))
    assert everything_is_of(store_url, OLD) == 10
    async with opened(store_url) as store:
        assert await plan.spare(store) is None
    with pytest.raises(Refused, match="nothing to roll back to"):
        await start.check(JobRequest("reembed", store_url, store_url, {"rollback": True}))


@pytest.mark.slow
async def test_a_second_change_lets_the_first_ones_vectors_go(store_url: str, run: Run) -> None:
    await fill(store_url, 10)
    await completed(run(store_url, model=NEW.name))
    async with opened(store_url) as store:
        estimated = await plan.estimate(store, OTHER.name, measure=False)
    assert estimated is not None
    assert estimated.drops is not None
    assert (estimated.drops.model.name, estimated.drops.vectors) == (OLD.name, 10)
    await completed(run(store_url, model=OTHER.name))
    assert everything_is_of(store_url, OTHER) == 10
    async with opened(store_url) as store:
        assert (await plan.spare(store) or dropped_none()).model.name == NEW.name
        assert [each.after.name for each in await plan.history(store)] == [OTHER.name, NEW.name]


def dropped_none() -> Any:
    raise AssertionError("nothing is kept")


# In place


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"drop_hnsw_first": True}, {"concurrent_index": True}, {"drop_hnsw_first": True, "batch": 7}]
)
async def test_in_place(store_url: str, run: Run, options: Mapping[str, Any]) -> None:
    await fill(store_url, 60)
    put_domain(store_url, "auth", OLD.embed(["auth"])[0])
    before = names(store_url)
    job = await completed(run(store_url, model=NEW.name, in_place=True, **options))
    assert everything_is_of(store_url, NEW) == 60
    assert await answers(store_url, NEW)
    after = names(store_url)
    assert after == before
    async with opened(store_url) as store:
        assert await plan.spare(store) is None
        [changed] = await plan.history(store)
        report = await plan.report(store, job.id)
        assert (await Ledger(store).run(job.id)).dropped_indexes == ()
    assert (changed.kind, changed.memories, changed.job_id) == ("in_place", 60, job.id)
    assert report is not None
    assert (report.rows_updated, report.swap_ms) == (60, None)
    assert np.allclose(centre(store_url, "auth"), np.mean(NEW.embed(texts(60)[1::2]), axis=0), atol=1e-5)
    if store_url.startswith("postgres"):
        assert width(store_url, "node_embeddings") == "vector(1024)"
        assert report.index_rebuild_secs > 0
    with pytest.raises(Refused, match="nothing to roll back to"):
        await start.check(JobRequest("reembed", store_url, store_url, {"rollback": True}))


@pytest.mark.slow
@pytest.mark.parametrize("first", [False, True])
async def test_in_place_in_the_same_width(store_url: str, run: Run, first: bool) -> None:
    await fill(store_url, 8, TestEmbedder(384))
    before = names(store_url)
    await completed(run(store_url, model=DEFAULT_MODEL, in_place=True, drop_hnsw_first=first))
    assert everything_is_of(store_url, await asyncio.to_thread(loaders.load_embedder)) == 8
    assert names(store_url) == before


# Killed, stopped, taken up again


def change_meanwhile(url: str) -> None:
    """As other programs do it, between two attempts."""
    change(url, "UPDATE knowledge_nodes SET content = 'changed meanwhile' WHERE content LIKE %s", "number 3 %")
    change(
        url,
        "DELETE FROM node_embeddings WHERE node_id IN"
        " (SELECT id FROM knowledge_nodes WHERE content = 'changed meanwhile')",
    )
    change(url, "DELETE FROM knowledge_nodes WHERE content LIKE %s", "number 5 %")


@pytest.mark.deaths
@pytest.mark.parametrize("options", [{}, {"in_place": True}], ids=["beside", "in place"])
async def test_a_killed_worker_is_taken_up_in_postgres(
    options: Mapping[str, Any], postgres_server: str, workers: Workers
) -> None:
    params = {"model": "test-embedder-24", "batch": 8, **options}
    with named_database(postgres_server, "made") as made:
        await fill(made, 40, TestEmbedder(16))
        with named_database(postgres_server, "whole", "made") as target:
            whole, calls = await workers.run_undisturbed(JobRequest("reembed", target, target, params))
        assert len(whole.rows["node_embeddings"]) == 40
        for die_at in kill_points(calls, dense=30):
            with named_database(postgres_server, "killed", "made") as target:
                again = await workers.run_killed(JobRequest("reembed", target, target, params), die_at)
                assert again == whole, die_at


@pytest.mark.deaths
@pytest.mark.parametrize("options", [{}, {"in_place": True}], ids=["beside", "in place"])
async def test_a_killed_worker_is_taken_up_in_a_file(
    options: Mapping[str, Any], tmp_path: Path, workers: Workers
) -> None:
    params = {"model": "test-embedder-24", "batch": 8, **options}
    await fill(f"sqlite:{tmp_path / 'made.db'}", 40, TestEmbedder(16))

    def work(name: str) -> JobRequest:
        shutil.copy(tmp_path / "made.db", tmp_path / name)
        url = f"sqlite:{tmp_path / name}"
        return JobRequest("reembed", url, url, params)

    whole, calls = await workers.run_undisturbed(work("whole.db"))
    assert len(whole.rows["node_embeddings"]) == 40
    for die_at in kill_points(calls, dense=30):
        again = await workers.run_killed(work(f"killed {die_at}.db"), die_at)
        assert again == whole, die_at


@pytest.mark.slow
async def test_what_changes_between_two_attempts_is_taken_in(store_url: str, workers: Workers) -> None:
    await fill(store_url, 40, TestEmbedder(16))
    for rollback in (False, True):
        asked = {"rollback": True} if rollback else {"model": "test-embedder-24", "batch": 4}
        await workers.start(JobRequest("reembed", store_url, store_url, asked))
        assert workers.run(70)[0] == KILLED_STATUS
        if not rollback:
            change_meanwhile(store_url)
        async with opened(store_url) as store:
            await store.insert(Draft(f"new {rollback}"), embed=False)
        job_id = await workers.start(JobRequest("reembed", store_url, store_url, asked))
        assert workers.run()[0] == 0
        assert (await read_job(store_url, job_id)).status == "completed"
        if not rollback:
            assert everything_is_of(store_url, TestEmbedder(24)) == 40
    assert everything_is_of(store_url, TestEmbedder(16)) == 41


@pytest.mark.slow
async def test_an_index_left_half_done_is_built_anew(postgres_database: str, workers: Workers) -> None:
    await fill(postgres_database, 40, TestEmbedder(16))
    work = JobRequest("reembed", postgres_database, postgres_database, {"model": "test-embedder-24"})
    phase, die_at = "", 90
    while phase != "swapping":
        # Until one is killed that had its index.
        job_id = await workers.start(work)
        status, _ = workers.run(die_at)
        assert status == KILLED_STATUS
        phase, die_at = (await read_job(postgres_database, job_id)).progress.phase, die_at + 1
    change(
        as_superuser(postgres_database),
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_spare_embeddings_hnsw'::regclass AND %s",
        True,
    )
    await workers.start(work)
    assert workers.run()[0] == 0
    assert names(postgres_database)["broken"] == []
    assert everything_is_of(postgres_database, TestEmbedder(24)) == 40


@pytest.mark.slow
async def test_a_cancelled_job_leaves_its_vectors_to_the_next(
    store_url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store_url, 60)

    async def cancel(step: Step) -> None:
        if step.writes_vectors:
            step.context.stop.set()

    with monkeypatch.context() as patch:
        hook_steps(patch, after=cancel)
        job = await run(store_url, model=NEW.name, batch=2)
    assert (job.status, job.error) == ("failed", "cancelled")
    async with opened(store_url, OLD) as store:
        there = await plan.spare(store)
        assert there is not None
        assert (there.role, there.vectors) == ("building", 2)
        assert (await store.search(SearchQuery(text="cache"))).mode == "hybrid"
        estimated = await plan.estimate(store, NEW.name, measure=False)
        assert estimated is not None
        assert estimated.memories == 58
    with pytest.raises(Refused, match=r"test-embedder-1024 .* is unfinished; continue it, or delete"):
        await start.check(JobRequest("reembed", store_url, store_url, {"model": OTHER.name}))
    with pytest.raises(Refused, match="is unfinished"):
        await start.check(JobRequest("reembed", store_url, store_url, {"model": NEW.name, "in_place": True}))
    job = await completed(run(store_url, model=NEW.name))
    assert (job.attempt, job.progress.tables["memories"].inserted) == (2, 60)
    assert everything_is_of(store_url, NEW) == 60


@pytest.mark.slow
async def test_vectors_of_another_build_are_not_mixed(store_url: str, workers: Workers) -> None:
    await fill(store_url, 40, TestEmbedder(16))
    work = JobRequest("reembed", store_url, store_url, {"model": "test-embedder-24", "batch": 4})
    await workers.start(work)
    assert workers.run(90)[0] == KILLED_STATUS
    change(store_url, "UPDATE spare_model SET hash = %s", "another")
    with pytest.raises(Refused, match=r"The files of test-embedder-24 here .* --drop-old` to delete"):
        await start.start(work)
    with pytest.raises(Refused, match="differ from those that the work started with"):
        await start.start(replace(work, options={**work.options, "hash": "another"}))


async def test_a_worker_that_finds_another_build_stops(
    store_url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store_url, 10, TestEmbedder(16))
    other = TestEmbedder(24)
    other.hash = "another"
    monkeypatch.setattr(loaders, "load_embedder", lambda *_, **__: other)
    job = await run(store_url, model="test-embedder-24")
    assert job.status == "failed"
    assert job.error is not None
    assert "differ from those that the work started with" in job.error
    async with opened(store_url) as store:
        assert (await store.models.registered() or signature(NEW)).name == "test-embedder-16"


@pytest.mark.slow
async def test_two_at_once(store_url: str, workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(store_url, 40, TestEmbedder(16))
    first = JobRequest("reembed", store_url, store_url, {"model": "test-embedder-24", "batch": 4})
    second = JobRequest("reembed", store_url, store_url, {"model": "test-embedder-32"})
    winner = await workers.start(first)
    for other in (second, replace(second, options={**second.options, "in_place": True})):
        with pytest.raises(Refused, match=r"Another re-embedding of .* is running"):
            await start.start(other)
    async with opened(store_url) as store:
        with pytest.raises(Refused, match="is running"):
            await plan.drop_spare(store)
    monkeypatch.setattr(conflicts, "LEASE", timedelta(seconds=-1))
    # Both have been started by now: the first one to write goes on.
    loser = await workers.start(second)
    assert workers.run(90, spec=workers.specs[0])[0] == KILLED_STATUS
    assert workers.run()[0] == 0
    job = await read_job(store_url, loser)
    assert job.status == "failed"
    assert job.error is not None
    assert "is running" in job.error or "is unfinished" in job.error
    async with opened(store_url) as store:
        await Ledger(store).mark_failed(winner)
        await plan.drop_spare(store)
    await workers.start(second)
    assert workers.run()[0] == 0
    assert everything_is_of(store_url, TestEmbedder(32)) == 40


# Refusals, and what is only looked at


async def test_a_dry_run_writes_nothing(store_url: str) -> None:
    await fill(store_url, 50)
    before, layout = read_rows(store_url), names(store_url)
    assert (await start.dry_run(JobRequest("reembed", store_url, store_url, {"model": NEW.name})))[
        "memories"
    ].total == 50
    async with opened(store_url, read_only=True) as store:
        estimated = await plan.estimate(store, NEW.name)
        in_place = await plan.estimate(store, NEW.name, in_place=True, measure=False)
        assert await plan.estimate(store, OLD.name) is None
    assert estimated is not None
    assert estimated.texts_per_second is not None
    assert estimated.seconds == pytest.approx(50 / estimated.texts_per_second)
    assert (estimated.memories, estimated.drops) == (50, None)
    assert 50 * 4 * 1_024 < estimated.bytes < 50 * 4 * 1_024 * 5
    assert in_place is not None
    assert in_place.drops is not None
    assert (in_place.drops.model.name, in_place.drops.vectors) == (OLD.name, 50)
    assert (read_rows(store_url), names(store_url)) == (before, layout)


async def test_what_is_refused_before_anything(store_url: str) -> None:
    async with opened(store_url, create=True):
        pass
    with pytest.raises(Refused, match="has no model yet"):
        await start.check(JobRequest("reembed", store_url, store_url, {"model": NEW.name}))
    await fill(store_url, 3)
    for options, error, words in (
        ({}, Usage, "needs a model"),
        ({"model": NEW.name, "batch": 5_000}, Usage, "1 to 4,096"),
        ({"model": OLD.name}, Refused, "nothing to change"),
        ({"model": "no-such-model"}, EmbedderUnavailable, "fastembed does not know"),
        ({"rollback": True}, Refused, "nothing to roll back to"),
    ):
        with pytest.raises(error, match=words):
            await start.start(JobRequest("reembed", store_url, store_url, options))
    async with opened(store_url, read_only=True) as store:
        with pytest.raises(ReadOnly):
            await plan.drop_spare(store)
        assert await Ledger(store).jobs() == ()


async def test_the_file_of_a_vestige_server_is_left_alone(tmp_path: Path) -> None:
    from tests.support.vestige_files import make_v18

    path = make_v18(tmp_path / "vestige.db")
    before = path.read_bytes()
    url = f"sqlite:{path}"
    for options in ({"model": DEFAULT_MODEL}, {"rollback": True}):
        with pytest.raises(ReadOnly, match="belongs to a Vestige server"):
            await start.start(JobRequest("reembed", url, url, options))
    async with opened(url) as store:
        assert (await plan.spare(store), await plan.history(store)) == (None, ())
        with pytest.raises(ReadOnly):
            await plan.estimate(store, DEFAULT_MODEL)
    assert path.read_bytes() == before


async def test_search_by_meaning_pauses_in_place_and_says_so(store_url: str) -> None:
    await fill(store_url, 20)
    async with opened(store_url) as console, opened(store_url) as worker:
        text = texts(20)[3]
        assert (await console.search(SearchQuery(text=text))).mode == "hybrid"
        ledger = Ledger(worker)
        run = await ledger.start(
            kind="reembed",
            source=store_url,
            target=store_url,
            model=NEW.name,
            task="",
            owner="me",
            options={"in_place": True},
        )
        await console.models.refresh()
        answer = await console.search(SearchQuery(text=text))
        assert (answer.mode, len(answer.hits) > 0) == ("text", True)
        assert f"pauses while job {run.id[:8]}" in answer.warnings[0]
        with pytest.raises(EmbedderUnavailable, match="pauses while job"):
            await console.search(SearchQuery(text=text, mode="vector"))
        # Its vector is left to the job, which makes all of them.
        await console.insert(Draft("written meanwhile"), embed=False)
        left_to = f"Job {run.id[:8]} is re-embedding this store and computes the missing vectors, too."
        with pytest.raises(Refused, match=left_to):
            await console.models.fill()
        await ledger.transition(run.id, "completed")
        assert await console.models.fill() == 1
        # The end of a job is no change that anybody is told of.
        assert (await console.search(SearchQuery(text=text))).mode == "hybrid"


async def test_filling_in_vectors_ends_where_a_job_begins_to_make_all_of_them(store_url: str) -> None:
    await fill(store_url, 1)
    async with opened(store_url) as console, opened(store_url) as worker:
        await console.memories.insert_many([Draft(f"without a vector {n}") for n in range(FILL_BATCH + 1)], embed=False)
        begun: list[asyncio.Task[Any]] = []
        embed = console.embedders.embed

        async def embed_and_begin(*args: Any, **options: Any) -> Any:
            if not begun:
                started = Ledger(worker).start(
                    kind="reembed",
                    source=store_url,
                    target=store_url,
                    model="",
                    task="",
                    owner="me",
                    options={"in_place": True},
                )
                begun.append(asyncio.ensure_future(started))
                await begun[0]
            return await embed(*args, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(console.embedders, "embed", embed_and_begin)
            # What was made is said; only where nothing was, the job is named.
            assert await console.models.fill() == FILL_BATCH
        assert (await console.models.census()).without == 1
        with pytest.raises(Refused, match=f"Job {begun[0].result().id[:8]} is re-embedding"):
            await console.models.fill()
