"""Domains: names on memories and rows of their own; rename, merge, deletion and their undo restore both exactly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support.clock import Clock
from tests.support.vestige_files import make_v14, memory_id
from vestige_tui.core.accounts import Domain
from vestige_tui.core.bulk import DomainEdit, DomainMove, Target
from vestige_tui.core.domains import DomainSummary
from vestige_tui.core.errors import Conflict, NotFound, ReadOnly, Usage
from vestige_tui.core.memories import Change, Draft, Filter, Patch
from vestige_tui.presenters.changes import journal_sentence, undo_sentence
from vestige_tui.store import bulk, domain_undo, journal_parts
from vestige_tui.store.open import open_store
from vestige_tui.store.schema import rows
from vestige_tui.store.store import Store

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector

TEXTS = {
    1: ("Signing keys rotate every 90 days.", ("auth",)),
    2: ("Signing keys are stored in the vault.", ("auth", "infra")),
    3: ("The login page asks for a second factor.", ("login",)),
    4: ("Nightly backups are encrypted.", ("infra",)),
    5: ("Signing keys of staging are kept apart.", ()),
    6: ("An old rule on keys.", ("auth",)),
}


def key(number: int) -> str:
    return f"dddddddd-0000-4000-8000-{number:012d}"


async def filled(store: Store) -> None:
    """Fill a store with memories in three domains, one of them replaced and one with scores."""
    for number, (text, domains) in TEXTS.items():
        scores = {"auth": 0.75, "login": 0.5} if number == 2 else {}
        await store.insert(Draft(text, id=key(number), domains=domains, domain_scores=scores, tags=("keys",)))
    await store.links.supersede(key(6), key(1))


async def state(store: Store) -> dict[str, Any]:
    """Return the memories and the rows of domains, as exactly as the store returns them."""
    page = await store.page(Filter(superseded=True), limit=1_000)
    names = [summary.name for summary in await store.domains.list_all()]
    domains = [rows.domain_with_centroid(row) for row in await store.backend.fetch("get_domains", {"names": names})]
    centroids = [None if each.centroid is None else each.centroid.tobytes() for each in domains]
    return {"memories": {each.id: each for each in page.items}, "domains": domains, "centroids": centroids}


async def vectors_of(store: Store, *numbers: int) -> list[Vector]:
    records = await store.backend.fetch("list_embeddings_of", {"ids": [key(number) for number in numbers]})
    return [rows.as_vector(row["embedding"]) for row in records]


async def domain_names(store: Store) -> dict[int, tuple[str, ...]]:
    page = await store.page(Filter(superseded=True), limit=1_000)
    return {int(memory.id[-3:]): memory.domains for memory in page.items}


async def summary(store: Store, name: str) -> DomainSummary:
    return await store.domains.get(name)


async def moved(store: Store, move: DomainMove) -> Change:
    return await store.domains.apply(await store.domains.preview(move))


async def test_names_on_memories_are_listed_without_a_row(store: Store) -> None:
    await filled(store)
    assert [(each.name, each.memories, each.active, each.has_row) for each in await store.domains.list_all()] == [
        ("auth", 3, 2, False),
        ("infra", 2, 2, False),
        ("login", 1, 1, False),
    ]
    with pytest.raises(NotFound, match="No domain is called"):
        await store.domains.get("unknown")


async def test_a_row_has_the_mean_of_the_vectors_and_typical_terms(store: Store, clock: Clock) -> None:
    await filled(store)
    change = await store.domains.put("auth", label="Keys and sign-in")
    assert change.warnings == ()
    auth = await summary(store, "auth")
    assert (auth.label, auth.has_row, auth.dimension, auth.centroid_at) == ("Keys and sign-in", True, 64, clock())
    assert "signing" in auth.top_terms
    [row] = (await state(store))["domains"]
    assert row.centroid == pytest.approx(np.mean(await vectors_of(store, 1, 2, 6), axis=0), abs=1e-6)
    assert row.memory_count == 3
    # Another call keeps the label and computes the rest again.
    await store.update(key(3), Patch(domains=("auth", "login")))
    await store.domains.put("auth", terms=["keys"])
    auth = await summary(store, "auth")
    assert (auth.label, auth.top_terms, auth.memories) == ("Keys and sign-in", ("keys",), 4)


async def test_a_domain_without_vectors_has_no_centroid(store: Store) -> None:
    await store.insert(Draft("No vector.", domains=("auth",)), embed=False)
    change = await store.domains.put("auth")
    assert change.warnings == ("The domain 'auth' has no centroid: none of its memories has a vector.",)
    assert (await summary(store, "auth")).dimension is None
    assert await store.domains.near("auth") == ()


async def test_a_row_without_memories_is_listed_and_deleted(store: Store) -> None:
    await store.domains.put("empty", label="Nothing yet")
    assert (await summary(store, "empty")).memories == 0
    before = await state(store)
    change = await moved(store, DomainMove("delete_domain", ("empty",)))
    assert change.changed == ()
    assert await store.domains.list_all() == ()
    undone = await store.journal.undo()
    assert undo_sentence(undone) == "Undid: delete domain empty"
    assert await state(store) == before
    await store.journal.redo()
    assert await store.domains.list_all() == ()


@pytest.mark.parametrize("size", ["one entry", "parts"])
@pytest.mark.parametrize(
    ("move", "names", "sentence"),
    [
        (
            DomainMove("rename_domain", ("auth",), "identity"),
            {1: ("identity",), 2: ("identity", "infra"), 3: ("login",), 6: ("identity",)},
            "Renamed domain auth → identity in 3 memories",
        ),
        (
            DomainMove("merge_domains", ("auth", "login"), "infra"),
            {1: ("infra",), 2: ("infra",), 3: ("infra",), 6: ("infra",)},
            "Merged domains auth, login → infra in 4 memories",
        ),
        (
            DomainMove("merge_domains", ("login", "auth"), "identity"),
            {1: ("identity",), 2: ("identity", "infra"), 3: ("identity",), 6: ("identity",)},
            "Merged domains login, auth → identity in 4 memories",
        ),
        (
            DomainMove("delete_domain", ("auth",)),
            {1: (), 2: ("infra",), 3: ("login",), 6: ()},
            "Deleted domain auth from 3 memories",
        ),
    ],
    ids=["rename", "merge", "merge into a new one", "delete"],
)
async def test_a_move_changes_every_member_and_undo_and_redo_are_exact(
    store: Store,
    size: str,
    move: DomainMove,
    names: dict[int, tuple[str, ...]],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bulk, "BATCH_ROWS", 2)
    monkeypatch.setattr(domain_undo, "BATCH_ROWS", 2)
    if size == "parts":
        monkeypatch.setattr(journal_parts, "PART_ROWS", 1)
    await filled(store)
    await store.domains.put("auth", label="Keys")
    await store.domains.put("infra")
    before = await state(store)
    change = await moved(store, move)
    after = await state(store)
    assert await domain_names(store) == {4: ("infra",), 5: ()} | names
    assert {each.updated_at for each in after["memories"].values()} == {
        each.updated_at for each in before["memories"].values()
    }
    [line, *_] = await store.journal.entries()
    assert (journal_sentence(line), line.id) == (sentence, change.undo)
    assert set(line.ids) == set(change.changed)
    await store.journal.undo()
    assert await state(store) == before
    await store.journal.redo()
    assert await state(store) == after
    await store.journal.undo(change.undo)
    assert await state(store) == before


async def test_scores_follow_their_names(store: Store) -> None:
    await filled(store)
    await moved(store, DomainMove("merge_domains", ("auth", "login"), "identity"))
    assert (await store.get(key(2))).domain_scores == {"identity": 0.75}
    await moved(store, DomainMove("delete_domain", ("identity",)))
    assert (await store.get(key(2))).domain_scores == {}


async def test_a_rename_keeps_the_row_and_a_merge_computes_its_centroid(store: Store) -> None:
    await filled(store)
    await store.domains.put("auth", terms=["keys"])
    await moved(store, DomainMove("rename_domain", ("auth",), "identity"))
    [row] = (await state(store))["domains"]
    # The label was the name.
    assert (row.id, row.label, row.top_terms, row.memory_count) == ("identity", "identity", ("keys",), 3)
    assert row.centroid == pytest.approx(np.mean(await vectors_of(store, 1, 2, 6), axis=0), abs=1e-6)
    await moved(store, DomainMove("merge_domains", ("login",), "identity"))
    [row] = (await state(store))["domains"]
    assert (row.id, row.memory_count) == ("identity", 4)
    assert row.centroid == pytest.approx(np.mean(await vectors_of(store, 1, 2, 3, 6), axis=0), abs=1e-6)


async def test_refused_names(store: Store) -> None:
    await filled(store)
    with pytest.raises(NotFound, match="No domain is called"):
        await store.domains.preview(DomainMove("rename_domain", ("unknown",), "new"))
    with pytest.raises(Usage, match="merge"):
        await store.domains.preview(DomainMove("rename_domain", ("auth",), "infra"))
    with pytest.raises(Usage, match="is the name already"):
        await store.domains.preview(DomainMove("rename_domain", ("auth",), "auth"))
    with pytest.raises(Usage, match="needs a name"):
        await store.domains.preview(DomainMove("rename_domain", ("auth",), " "))
    with pytest.raises(Usage, match="at most 255 characters"):
        await store.domains.put("n" * 256)
    with pytest.raises(Usage, match="A label can have at most 255 characters"):
        await store.domains.put("auth", label="n" * 256)


async def test_a_memory_that_came_meanwhile_refuses_the_move(store: Store) -> None:
    await filled(store)
    preview = await store.domains.preview(DomainMove("rename_domain", ("auth",), "identity"))
    await store.update(key(4), Patch(domains=("auth",)))
    before = await state(store)
    with pytest.raises(Conflict, match="meanwhile"):
        await store.domains.apply(preview)
    assert await state(store) == before
    stale = await store.domains.preview(DomainMove("rename_domain", ("auth",), "identity"))
    await store.update(key(4), Patch(domains=()))
    with pytest.raises(Conflict, match="changed elsewhere"):
        await store.domains.apply(stale)
    assert (await domain_names(store))[1] == ("auth",)


async def test_undo_is_refused_after_a_later_change(store: Store) -> None:
    await filled(store)
    change = await moved(store, DomainMove("rename_domain", ("auth",), "identity"))
    await store.update(key(1), Patch(domains=("identity", "infra")))
    before = await state(store)
    with pytest.raises(Conflict, match="has changed since"):
        await store.journal.undo(change.undo)
    assert await state(store) == before
    row = await store.domains.put("infra", label="Servers")
    await store.domains.put("infra", label="Machines")
    with pytest.raises(Conflict, match="The domain 'infra' has changed since"):
        await store.journal.undo(row.undo)
    assert (await summary(store, "infra")).label == "Machines"


async def test_a_domain_is_added_to_many_memories_at_once(store: Store) -> None:
    await filled(store)
    before = await state(store)
    target = Target(tuple(map(key, (1, 4, 5))))
    preview = await store.bulk.preview(target, DomainEdit(add=("auth",)))
    assert preview.ids == (key(4), key(5))
    change = await store.bulk.apply(preview)
    assert await domain_names(store) == {number: names for number, (_, names) in TEXTS.items()} | {
        4: ("infra", "auth"),
        5: ("auth",),
    }
    [line, *_] = await store.journal.entries()
    assert (line.id, line.verb) == (change.undo, "edit")
    await store.journal.undo()
    assert await state(store) == before


async def test_classify_ranks_the_centroids_with_a_margin(store: Store) -> None:
    await filled(store)
    with pytest.raises(NotFound, match="No domain has a centroid"):
        await store.domains.classify(key(5))
    await store.domains.put("auth")
    assert (await store.domains.classify(key(5))).margin is None
    await store.domains.put("infra")
    await store.domains.put("hollow")
    [vector] = await vectors_of(store, 5)
    means = {"auth": await vectors_of(store, 1, 2, 6), "infra": await vectors_of(store, 2, 4)}
    cosines = {}
    for name, members in means.items():
        mean = np.mean(members, axis=0)
        cosines[name] = float(mean @ vector / (np.linalg.norm(mean) * np.linalg.norm(vector)))
    answer = await store.domains.classify(key(5))
    assert {score.name: score.similarity for score in answer.scores} == pytest.approx(cosines, abs=1e-5)
    assert answer.best.name == max(cosines, key=lambda name: cosines[name])
    assert answer.margin == pytest.approx(abs(cosines["auth"] - cosines["infra"]), abs=1e-5)


async def test_classify_adds_the_best_domain(store: Store) -> None:
    await filled(store)
    await store.domains.put("auth")
    before, classification = await store.get(key(5)), await store.domains.classify(key(5))
    change = await store.domains.add_best(classification)
    assert change.changed == (key(5),)
    after = await store.get(key(5))
    assert (after.domains, after.updated_at) == (("auth",), before.updated_at)
    assert after.domain_scores == {"auth": pytest.approx(classification.best.similarity, abs=1e-6)}
    assert (await store.domains.add_best(await store.domains.classify(key(5)))).changed == ()
    await store.journal.undo()
    assert await store.get(key(5)) == before
    await store.journal.redo()
    assert await store.get(key(5)) == after
    with pytest.raises(Conflict, match="changed elsewhere"):
        await store.domains.add_best(classification)


async def test_a_memory_without_a_vector_is_not_classified(store: Store) -> None:
    await filled(store)
    await store.domains.put("auth")
    change = await store.insert(Draft("No vector."), embed=False)
    with pytest.raises(NotFound, match="has no vector, so it cannot be classified"):
        await store.domains.classify(change.changed[0])


async def test_missing_centroids_are_computed_without_a_change_in_the_journal(store: Store, clock: Clock) -> None:
    await filled(store)
    await store.accounts.restore_domains([Domain("auth", "Keys", ("keys",), 0, clock())])
    entries = len(await store.journal.entries())
    await store.domains.compute_missing()
    assert len(await store.journal.entries()) == entries
    auth = await summary(store, "auth")
    assert (auth.label, auth.top_terms, auth.dimension, auth.centroid_at) == ("Keys", ("keys",), 64, clock())


async def test_near_memories_are_outside_of_the_domain(store: Store) -> None:
    await filled(store)
    await store.domains.put("auth")
    hits = await store.domains.near("auth", 2)
    assert len(hits) == 2
    assert {hit.memory.id for hit in hits} <= {key(3), key(4), key(5)}


async def test_a_read_only_store_refuses(store: Store, store_url: str) -> None:
    await filled(store)
    async with open_store(store_url, read_only=True) as reader:
        preview = await reader.domains.preview(DomainMove("delete_domain", ("auth",)))
        assert len(preview.ids) == 3
        with pytest.raises(ReadOnly):
            await reader.domains.apply(preview)
        with pytest.raises(ReadOnly):
            await reader.domains.put("auth")


async def test_names_that_only_clean_text_holds(store: Store) -> None:
    await store.insert(Draft("A text.", domains=("a\0b",)))
    [each] = await store.domains.list_all()
    assert (await summary(store, "a\0b")) == each
    await moved(store, DomainMove("rename_domain", ("a\0b",), "  ab  "))
    assert [each.name for each in await store.domains.list_all()] == ["ab"]


async def test_the_domains_of_a_vestige_file_are_read_and_not_written(tmp_path: Path) -> None:
    path = make_v14(tmp_path / "vestige.db", 12)
    before = path.read_bytes()
    async with open_store(f"sqlite:{path}") as store:
        [operations] = [each for each in await store.domains.list_all() if each.name == "operations"]
        assert (operations.label, operations.top_terms, operations.has_row) == ("Operations", ("backup",), True)
        # The server does not say when it computed the centroid.
        assert (operations.dimension is not None, operations.centroid_at) == (True, None)
        classification = await store.domains.classify(memory_id(1))
        assert {score.name for score in classification.scores} >= {"operations", "research"}
        with pytest.raises(ReadOnly):
            await store.domains.put("operations", label="Ops")
        preview = await store.domains.preview(DomainMove("delete_domain", ("operations",)))
        with pytest.raises(ReadOnly):
            await store.domains.apply(preview)
    assert path.read_bytes() == before
