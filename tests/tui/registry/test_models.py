"""Another model for a store: comparing, estimating, re-embedding, going back; and escape at each step."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.console import Console, open_console
from tests.support.corpus import NOW, clock, embedders
from tests.support.model_swap import OtherEmbedder, offer_models, prepare_spare_vectors, swap_models
from tests.support.sample_jobs import show_jobs
from vestige_tui.config.reader import load_config
from vestige_tui.config.settings import Config
from vestige_tui.core.embeddings import EncodingTemplates, ModelChange, ModelSignature, SpareVectors, VectorCensus
from vestige_tui.core.jobs import Job, JobProgress, TableProgress
from vestige_tui.core.memories import Draft
from vestige_tui.embedding.catalogue import CatalogModel
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import DEFAULT_MODEL, TestEmbedder
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.start import JobRequest, StartedJob
from vestige_tui.presenters.reembedding import deleted_first
from vestige_tui.reembed.plan import Estimate
from vestige_tui.store.open import open_store
from vestige_tui.tui.app import VestigeApp
from vestige_tui.tui.registry.card import ModelSnapshot, brief, card, has_second, history, parts
from vestige_tui.tui.store_session_events import ModelActivity, ModelBanner

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector

OTHER = OtherEmbedder(32)
TEXTS = (
    "Signing keys rotate every 90 days. The old one stays for a while.",
    "倉庫の在庫は毎朝数える。",
    "[/red] deploy on Fridays \x1b[2J only with two people.",
    "The cache is warmed at 05:00.",
    "Webhooks are retried five times.",
    "Mira owns the billing service.",
)


@pytest.fixture
async def small(tmp_path: Path) -> Path:
    """A store of a few memories, each with its vector."""
    path = tmp_path / "small.db"
    source = embedders()
    async with open_store(f"sqlite:{path}", create=True, embedders=source, clock=clock) as store:
        for text in TEXTS:
            await store.insert(Draft(text))
    source.close()
    return path


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Sequence[CatalogModel]:
    """One model that is here, one that is not, and the store's own; only the first two can be loaded."""
    known = [
        CatalogModel("test-embedder-64", 64, 1.0, "mit", "The store's own.", True),
        CatalogModel(OTHER.name, 32, 12.0, "apache-2.0", "Another space.", True),
        CatalogModel("far/away-model", 512, 640.0, "mit", "Not here.", False),
    ]
    for module in ("registry.place", "wizards.reembed"):
        monkeypatch.setattr(f"vestige_tui.tui.{module}.catalog", lambda: known)
    offer_models(monkeypatch, TestEmbedder(64), OTHER)
    return known


async def to_registry(console: Console, *keys: str) -> None:
    await console.press("f6")
    await console.until("usable here  2")
    await console.press(*keys)


async def skip_preview(console: Console) -> None:
    """Take the model that is offered, and go past the comparison of the two."""
    await console.press("enter")
    await console.until("tab skip")
    await console.press("tab")


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_two_models_are_compared_side_by_side(
    small: Path, models: Sequence[CatalogModel], size: tuple[int, int]
) -> None:
    async with open_console(small, size) as console:
        await to_registry(console, "j", "p")
        await console.until("Compare two models")
        await console.press("enter")
        await console.until("of the hits are the same")
        assert console.says("over 6 queries, 6 of 6 memories")
        assert "test-embedder-64" in console.text
        assert "other-embedder-32" in console.text
        top = console.text
        await console.press("G")
        await console.until(lambda: console.text != top)
        assert "of the hits are the same" not in console.text
        await console.press("slash")
        await console.type("deploy fridays")
        await console.press("enter")
        await console.until("over 1 query, 6 of 6 memories")
        assert "deploy fridays" in console.text
        assert " of 5 the same" in console.text
        # What the texts themselves say is shown, and steers nothing.
        assert "[/red] deploy" in console.text
        assert "\x1b" not in console.text
        assert "= found by both   0.59 similarity (1 = same)" in top
        await console.press("escape")
        await console.until("enter compare")


@pytest.mark.slow
async def test_a_comparison_is_stopped_while_it_encodes(
    small: Path, models: Sequence[CatalogModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    class Slow(OtherEmbedder):
        __test__ = False

        def embed(self, texts: Sequence[str], *, query: bool = False) -> list[Vector]:
            at_work.set()
            assert go_on.wait(30)
            return super().embed(texts, query=query)

    offer_models(monkeypatch, TestEmbedder(64), Slow(32))
    async with open_console(small) as console:
        await to_registry(console, "j", "enter")
        await console.until("your query; empty: first sentences")
        await console.press("enter")
        await console.until(at_work.is_set)
        assert "esc stop" in console.text
        await console.press("escape")
        await console.until("Stopped.")
        go_on.set()
        await console.press("escape")
        await console.until("registered model")


@pytest.mark.slow
async def test_what_cannot_be_compared_says_why(small: Path, models: Sequence[CatalogModel]) -> None:
    async with open_console(small) as console:
        await to_registry(console, "g", "p")
        await console.until("This store uses this model; choose another one to compare.")
        await console.press("G", "p")
        await console.until("It is downloaded first (640 MB).")
        await console.press("enter")
        await console.until("The embedding model far/away-model is not on this machine.")
        assert "your query; empty: first sentences" in console.text
        await console.press("escape", "b")
        await console.until("This store keeps no vectors of a previous model.")
        await console.press("w")
        await console.until("Your settings name no model, so the store's own is used.")
        console.app.session.embedders.configured = "test-embedder-64"
        await console.press("w")
        await console.until("Your settings already name this store's model.")


@pytest.mark.slow
async def test_escape_goes_back_through_a_re_embedding(small: Path, models: Sequence[CatalogModel]) -> None:
    async with open_console(small) as console:
        await console.press("f5", "r")
        await console.until("downloaded on first use  1")
        # The cursor begins where there is something to choose.
        await console.until("Another space.")
        await console.press("k", "enter")
        await console.until("This store already uses this model; choose another model")
        await console.press("j")
        await console.until("Another space.")
        assert "already uses this model" not in console.text
        await skip_preview(console)
        await console.until("6 to compute")
        for said in (
            "test-embedder-64, 64 dimensions",
            "other-embedder-32, 32 dimensions",
            "in a second table: searches",
            "texts per second, measured just now",
            "for the new vectors and their index",
            "Back up the store first",
        ):
            assert console.says(said), said
        assert "i in place instead" in console.text
        await console.press("i")
        await console.until("in place, for small disks")
        assert on_sheet(console, "6 vectors of test-embedder-64, 64 dimensions, are deleted first")
        await console.press("i")
        await console.until("in a second table: searches")
        await console.press("enter")
        await console.until("start re-embedding")
        assert "o ○ delete the previous model's vectors at the end; no rollback  no" in console.text
        assert "deleted at the end; no rollback is possible." not in console.text
        await console.press("o")
        said = (
            "The current vectors of test-embedder-64, 64 dimensions, are deleted at the end; no rollback is possible."
        )
        await console.until(lambda: on_sheet(console, said))
        assert inks(console, "The current vectors", "deleted at the end") == {console.app.theme_variables["warning"]}
        assert on_sheet(console, "Back up the store first")
        for said in ("6 to compute", "tab skip", "downloaded on first use  1"):
            await console.press("escape")
            await console.until(said)
        await console.press("escape")
        await console.until("Nothing was re-embedded.")
        assert not await Ledger(console.store).jobs()
        assert console.app.current_mode == "jobs"


def on_sheet(console: Console, words: str) -> bool:
    """Whether these words stand on the sheet in front, also where a line of them was wrapped."""
    return words in " ".join(console.text.replace("▌", " ").split())


def inks(console: Console, *said: str) -> set[str]:
    """The colours of the lines of the screen that say these."""
    found: dict[str, set[str]] = {each: set() for each in said}
    for strip in console.app.screen._compositor.render_strips():
        for each in said:
            if each in strip.text:
                place = next(segment for segment in strip if each in segment.text)
                assert place.style is not None
                assert place.style.color is not None
                found[each].add(place.style.color.name.upper())
    assert all(found.values()), found
    return set().union(*found.values())


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (60, 20)])
async def test_in_place_is_chosen_at_once_and_said_again_in_amber_at_the_start(
    small: Path, models: Sequence[CatalogModel], size: tuple[int, int]
) -> None:
    async with open_console(small, size) as console:
        await to_registry(console, "j", "r")
        await console.until("of 32 dimensions")
        await skip_preview(console)
        await console.until("6 to compute")
        # Nothing is waited for between the two.
        await console.press("i", "enter")
        await console.until("start re-embedding")
        assert on_sheet(console, "in place; vector search pauses until it is done")
        message = "are deleted first; no rollback is possible."
        assert on_sheet(console, f"6 vectors of test-embedder-64, 64 dimensions, {message}")
        assert on_sheet(console, "Back up the store first")
        assert inks(console, "6 vectors of test", "Back up the store") == {console.app.theme_variables["warning"]}


@pytest.mark.slow
async def test_the_advice_to_back_up_is_not_the_dimmest_line(small: Path, models: Sequence[CatalogModel]) -> None:
    async with open_console(small) as console:
        await to_registry(console, "j", "r")
        await console.until("of 32 dimensions")
        await skip_preview(console)
        await console.until("6 to compute")
        assert inks(console, "Back up the store") == inks(console, "6 to compute")


@pytest.mark.slow
async def test_a_width_is_chosen_with_the_model(small: Path, models: Sequence[CatalogModel]) -> None:
    asked: list[object] = []

    async with open_console(small) as console:
        await to_registry(console, "j", "r")
        await console.until("of 32 dimensions")
        for wrong in ("33", "7", ""):
            await console.press("w", "delete", *wrong, "enter")
            await console.until("other-embedder-32 computes vectors of 8 to 32 dimensions.")
            await console.press("up", "up", "down")
            await console.until("computes vectors of", gone=True)
        await console.press("w", "1", "6", "enter")
        await console.until("tab skip")
        two = "test-embedder-64, 64 dimensions and other-embedder-32, 16 dimensions rank a sample"
        assert on_sheet(console, two)
        await console.press("escape")
        await console.until("of 32 dimensions")

        # So is the store's own model, in another width than its own.
        def load(name: str | None = None, **options: object) -> TestEmbedder:
            asked.append((name, options.get("dimension")))
            embedder = TestEmbedder(16)
            embedder.name, embedder.hash = "test-embedder-64", TestEmbedder(64).hash
            return embedder

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vestige_tui.embedding.loaders.load_embedder", load)
            await console.press("up", "up", "w", "1", "6", "enter")
            await console.until("tab skip")
            await console.press("enter")
            await console.until("of the hits are the same")
            for wide in (64, 16):
                assert f"test-embedder-64, {wide} dimensions" in console.text
            await console.press("enter")
            await console.until("6 to compute")
        assert set(asked) == {("test-embedder-64", 16)}
        assert "test-embedder-64, 64 dimensions" in console.text
        assert "test-embedder-64, 16 dimensions" in console.text


@pytest.mark.slow
async def test_an_unfinished_one_is_gone_on_with_in_its_width(
    small: Path, models: Sequence[CatalogModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[JobRequest] = []

    async def start(work: JobRequest) -> StartedJob:
        begun.append(work)
        return StartedJob("4ee3bed0", False)

    monkeypatch.setattr("vestige_tui.tui.wizards.reembed.start", start)
    cut = OtherEmbedder(16)
    cut.name = OTHER.name
    offer_models(monkeypatch, TestEmbedder(64), cut)
    async with open_console(small) as console:
        await asyncio.to_thread(prepare_spare_vectors, f"sqlite:{small}", cut)
        await to_registry(console, "G")
        await console.until("This re-embedding is unfinished")
        assert console.says("other-embedder-32, 16 dimensions 6 unfinished vectors")
        await console.press("r")
        await console.until("0 to compute")
        assert "compare" not in next(line for line in console.lines if "► cost" in line)
        assert "other-embedder-32, 16 dimensions" in console.text
        assert "instead" not in console.text
        assert on_sheet(console, "To use another model, delete them first: D on the Registry screen.")
        assert "migrate" not in console.text
        await console.press("enter")
        await console.until("in a second table, continued")
        await console.press("y")
        await console.until(lambda: bool(begun))
        assert begun[0].options == {"model": OTHER.name, "dimension": 16}


@pytest.mark.slow
async def test_a_model_that_is_not_here_stops_before_anything_is_made(
    small: Path, models: Sequence[CatalogModel]
) -> None:
    async with open_console(small) as console:
        await to_registry(console, "G", "r")
        await console.until("of 512 dimensions")
        await skip_preview(console)
        await console.until("The embedding model far/away-model is not on this machine.")
        assert "tab skip" in console.text
        assert not await Ledger(console.store).jobs()


@pytest.mark.slow
async def test_a_read_only_store_is_left_alone(small: Path, models: Sequence[CatalogModel]) -> None:
    await asyncio.to_thread(prepare_spare_vectors, f"sqlite:{small}", OTHER)
    await asyncio.to_thread(swap_models, f"sqlite:{small}", OTHER)
    async with open_console(small, read_only=True) as console:
        await to_registry(console, "j")
        await console.until("6 vectors kept for a rollback")
        assert "b roll back to it" not in console.text
        for key in ("r", "b", "D", "f"):
            assert not console.app.screen.active_bindings[key].enabled
            await console.press(key)
            await console.until("This store is read-only: opened with --read-only.")
            await console.press("escape")
            await console.until("This store is read-only: ", gone=True)
        assert "enter compare" in console.lines[-1]


async def test_a_store_without_a_model_says_what_decides_it(empty_store: Path, models: Sequence[CatalogModel]) -> None:
    async with open_console(empty_store) as console:
        await to_registry(console)
        await console.until("No model yet. The first memory added")
        assert console.says("with your current settings")
        assert "all-MiniLM-L6-v2." in console.text
        for said in ("● loaded", "nothing here yet", "vectors in this store"):
            assert said not in console.text
        assert not console.app.screen.active_bindings["r"].enabled
        await console.press("r")
        await console.until("This store has no model yet: the first memory added sets it.")


MODEL = ModelSignature("acme/small-model", 64, "6dc5", NOW)


def seen(**changes: Any) -> ModelSnapshot:
    """A store of ten memories and their model, loaded, with what is told otherwise."""
    known = ModelSnapshot(MODEL, NOW, "ready", census=VectorCensus({64: 10}, 0, 0, 0))
    return replace(known, **changes)


KEYS = {name: name[0] for name in ("write", "back", "drop", "again", "fill", "card")}


def test_a_hash_that_alone_differs_is_a_note() -> None:
    for loaded_hash, noted in (("6dc5", False), ("", False), ("99ab" * 8, True)):
        text = " ".join(card(seen(loaded_hash=loaded_hash), 200, KEYS).plain.split())
        assert "loaded in this console; searches use it" in text
        assert ("has another hash, 99ab99ab99ab:" in text) is noted
    assert "another hash" not in card(seen(state="loading", loaded_hash="99ab"), 200, KEYS).plain


def test_the_templates_of_a_model_are_shown_where_it_has_any() -> None:
    templates = EncodingTemplates("search_document: {input}", "search_query: {input}")
    text = card(seen(model=replace(MODEL, templates=templates)), 60, KEYS).plain
    assert "text template search_document: {input}" in text
    assert "query template search_query: {input}" in text
    assert "template" not in card(seen(), 60, KEYS).plain


def test_vectors_of_a_model_that_cannot_be_used_are_not_called_searched() -> None:
    assert [part.label for part in parts(seen()) if part.count] == ["used by vector search"]
    unusable = seen(
        state="failed", banner=ModelBanner(ModelActivity.UNUSABLE, "It is not here. Search uses text only.")
    )
    [part] = [part for part in parts(unusable) if part.count]
    assert (part.label, part.style) == ("vectors of this model", "$text-muted")
    for width in (40, 80):
        assert "searches use text only" in " ".join(brief(unusable, width, KEYS).plain.split())


def test_a_model_that_cannot_be_fetched_is_not_to_be_fetched() -> None:
    away = seen(state="failed", banner=ModelBanner(ModelActivity.UNUSABLE, "It is not here."))
    assert "download it" in card(away, 60, KEYS).plain
    unlisted = " ".join(card(replace(away, listed=False), 60, KEYS).plain.split())
    assert "download it" not in unlisted
    assert "a re-embeds with a model of the list" in unlisted


def test_while_vectors_are_made_in_place_one_thing_is_true() -> None:
    change = ModelChange("in_place", ModelSignature("acme/small-model", 128, "x"), MODEL, 0, 0.1, NOW)
    job = Job(
        id="4ee3bed0",
        kind="reembed",
        status="in_progress",
        store="sqlite:x.db",
        progress=JobProgress("encoding", {"memories": TableProgress(4, 4, total=10)}, 12.0, 240.0),
        last_heartbeat=NOW,
        options={"model": "acme/small-model", "in_place": True},
    )
    making = seen(census=VectorCensus({64: 4}, 6, 0, 0), job=job, changes=(change,))
    for said in (card(making, 44, KEYS).plain, brief(making, 58, KEYS).plain):
        text = " ".join(said.split())
        assert "◐ vector search is paused: 4 of 10 vectors computed, 4 min left" in text
        assert "searches use it" not in text
    assert parts(making)[0].label == "computed so far"
    assert not has_second(making)
    assert history(making, 60).plain.splitlines() == [
        "● just now  re-embedded in place, under way",
        "│ small-model, 128 dimensions → 64",
    ]
    left = replace(making, job=None)
    assert "re-embedded in place, not finished" in history(left, 60).plain
    assert "4 of 10 memories have a vector of it; f computes the rest" in brief(left, 60, KEYS).plain


def test_a_change_keeps_its_distance_from_when_it_was() -> None:
    before = replace(MODEL, name="a/other")
    change = ModelChange("in_place", before, MODEL, 10, 34.0, NOW - timedelta(minutes=10))
    told = history(seen(changes=(change,)), 60).plain.splitlines()
    assert told == ["● 10 min ago  re-embedded in place in 34 s, 10 memories", "│ other 64 → small-model 64"]


def test_what_goes_is_not_taken_for_what_is_in_use() -> None:
    kept = SpareVectors(ModelSignature("b/other", 256, "x"), "kept", 374)
    beside = Estimate("reembed", MODEL, replace(MODEL, dimension=32), 374, None, None, 96_000, kept)
    message = "The kept vectors of the previous model, 374 vectors of other, 256 dimensions, are deleted at the start."
    assert deleted_first(beside, kept) == [message]
    in_place = replace(beside, kind="in_place", drops=SpareVectors(MODEL, "kept", 374))
    assert deleted_first(in_place, kept)[1:] == [message]
    assert deleted_first(replace(beside, drops=None), None) == []


@pytest.mark.slow
async def test_the_list_of_models_is_asked_for_again(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = [CatalogModel("test-embedder-64", 64, 1.0, "mit", "The store's own.", False)]
    monkeypatch.setattr("vestige_tui.tui.registry.place.catalog", lambda: known)
    offered = offer_models(monkeypatch)
    app = VestigeApp(Config(), f"sqlite:{small}", embedders=EmbedderSource(), clock=clock)
    async with app.run_test(size=(120, 40)) as pilot:
        console = Console(app, pilot)
        await console.until(lambda: app.session.banner is not None)
        await console.press("f6")
        await console.until("downloaded on first use  1")
        await console.until("◐ not usable here")
        # Another process has fetched it.
        known = [replace(known[0], offline=True)]
        monkeypatch.setattr("vestige_tui.embedding.embedder_source.RETRY_SECONDS", 0.0)
        offered = offer_models(monkeypatch, TestEmbedder(64))
        await console.press("f6")
        await console.until("usable here  1")
        await console.until("● loaded in this console")
        assert offered == ["test-embedder-64"]


@pytest.mark.slow
async def test_a_list_without_the_stores_own_model_says_so(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = [CatalogModel("maker/short", 64, 1.0, "mit", "", True), CatalogModel("bare", 64, 1.0, "mit", "", True)]
    monkeypatch.setattr("vestige_tui.tui.registry.place.catalog", lambda: known)
    async with open_console(small) as console:
        await to_registry(console)
        await console.until("This store's own model is not in this list.")
    async with open_console(small, (160, 40)) as console:
        await to_registry(console)
        await console.until("This store's own model is not in this list.")
        # Names stand for themselves, in a wide terminal their makers in a column of their own.
        line = next(line for line in console.lines if "short" in line)
        assert "short   " in line
        assert line.index("maker") > line.index("short")


async def ended(console: Console, number: int) -> Job:
    """The latest of so many jobs, once all have ended."""
    async with asyncio.timeout(120):
        while True:
            jobs = console.app.session.jobs
            if len(jobs) == number and not any(job.in_flight for job in jobs):
                return max(jobs, key=lambda job: job.created_at or NOW)
            await console.pilot.pause(0.1)


@pytest.mark.slow
async def test_a_real_re_embedding_and_the_way_back(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = [CatalogModel(DEFAULT_MODEL, 384, 22.0, "apache-2.0", "The default.", True)]
    for module in ("registry.place", "wizards.reembed"):
        monkeypatch.setattr(f"vestige_tui.tui.{module}.catalog", lambda: known)
    monkeypatch.setattr("tests.support.console.PATIENCE_SECONDS", 60.0)
    async with open_console(small) as console:
        await console.press("f6")
        await console.until("usable here  1")
        await console.press("r")
        await console.until("of 384 dimensions")
        await skip_preview(console)
        await console.until("6 to compute")
        await console.press("enter")
        await console.until("start re-embedding")
        await console.press("y")
        await console.until(lambda: console.app.current_mode == "jobs")
        job = await ended(console, 1)
        assert (job.kind, job.status, job.error) == ("reembed", "completed", None)
        await console.until("re-embed small.db → all-MiniLM-L6-v2")
        await console.until("the vectors of test-embedder-64 are kept.")
        await console.press("f6")
        await console.until("6 with 384 dimensions")
        await console.until("test-embedder-64, 64 dimensions 6 vectors kept for a rollback")
        await console.press("tab", "G")
        await console.until("│ test-embedder-64 64")
        assert "│ → all-MiniLM-L6-v2 384" in console.text
        assert "  re-embedded in" in console.text
        await console.press("tab")
        await console.press("b")
        await console.until("Roll back to the previous model?")
        assert "Every memory has a vector of this model." in console.text
        await console.press("escape")
        await console.until("Roll back to the previous model?", gone=True)
        await console.press("b")
        await console.until("Roll back to the previous model?")
        await console.press("y")
        job = await ended(console, 2)
        assert (job.status, job.error) == ("completed", None)
        await console.until("roll small.db back")
        await console.press("f6")
        await console.until("6 with 64 dimensions")
        await console.press("D")
        await console.until("Delete these vectors?")
        assert "6 vectors" in console.text
        await console.press("y")
        # The change of the model may be seen, and said, only now.
        sentences = "Deleted the vectors.", "This store now uses test-embedder-64"
        await console.until(lambda: any(sentence in console.text for sentence in sentences))
        await console.until("kept for a rollback", gone=True)
        await console.press("D")
        await console.until("This store keeps no vectors of a previous model.")


@pytest.mark.slow
async def test_a_running_re_embedding_is_seen_beside_the_card(small: Path, models: Sequence[CatalogModel]) -> None:
    async with open_console(small) as console:
        await asyncio.to_thread(prepare_spare_vectors, f"sqlite:{small}", OTHER)
        await show_jobs(console.app)
        running = Job(
            id="4ee3bed0",
            kind="reembed",
            status="in_progress",
            store=console.store.location,
            source=console.store.location,
            target=console.store.location,
            progress=JobProgress("encoding", {"memories": TableProgress(3, 3, total=6)}, 12.0, 240.0),
            created_at=NOW,
            last_heartbeat=NOW,
            options={"model": OTHER.name},
        )
        console.app.session.jobs = (running,)
        await to_registry(console)
        await console.until("other-embedder-32, 32 dimensions 6 vectors being computed")
        assert " 50 %   4 min left" in console.text
        assert "other-embedder-32, 32 dimensions" in console.text
        await console.press("r")
        await console.until("This store is already being re-embedded; the Jobs screen shows the job.")
        console.app.session.jobs = (replace(running, last_heartbeat=NOW - timedelta(minutes=3)),)
        console.app.frame_changed.publish(None)
        await console.until("no heartbeat, encoding")
        assert "r continue" in console.text
        # What was said of it is true no more.
        await console.until("is running", gone=True)
        console.app.session.jobs = ()
        console.app.frame_changed.publish(None)
        await console.until("This re-embedding is unfinished")


@pytest.mark.slow
async def test_the_models_name_is_written_into_the_settings(
    small: Path, tmp_path: Path, models: Sequence[CatalogModel]
) -> None:
    file = tmp_path / "vestige.toml"
    file.write_text('# mine\n[server]\nport = 1\n\n[embeddings]\nmodel = "other-embedder-32"\n')
    config = load_config(file)
    app = VestigeApp(config, f"sqlite:{small}", embedders=EmbedderSource(config.model), clock=clock)
    async with app.run_test(size=(120, 40)) as pilot:
        console = Console(app, pilot)
        await console.until(lambda: app.session.banner is not None)
        await console.press("f6")
        await console.until("◐ not the configured model")
        assert console.says("w saves test-embedder-64")
        await console.press("w")
        await console.until("Saved the model in")
        await console.until("● loaded in this console")
        assert load_config(file).model == "test-embedder-64"
        assert file.read_text().startswith("# mine\n[server]\nport = 1\n")
        assert app.session.banner is None


@pytest.mark.slow
async def test_settings_follow_a_store_that_was_re_embedded(
    small: Path, tmp_path: Path, models: Sequence[CatalogModel]
) -> None:
    file = tmp_path / "vestige.toml"
    file.write_text('[embeddings]\nmodel = "test-embedder-64"\n')
    config = replace(Config(), model="test-embedder-64", path=file)
    app = VestigeApp(config, f"sqlite:{small}", embedders=EmbedderSource(config.model), clock=clock)
    async with app.run_test(size=(120, 40)) as pilot:
        console = Console(app, pilot)
        await console.until("test-embedder-64 64")
        await console.press("f6")
        await console.until("● loaded in this console")
        await asyncio.to_thread(prepare_spare_vectors, f"sqlite:{small}", OTHER)
        await asyncio.to_thread(swap_models, f"sqlite:{small}", OTHER)
        await console.until("◐ not the configured model")
        await console.press("w")
        await console.until("● loaded in this console")
        assert load_config(file).model == OTHER.name
