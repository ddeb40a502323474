"""Redo: every verb is made again exactly, alone and in random sequences; what clears a redo, and what refuses it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest

from tests.support import store_digest
from tests.support.clock import Clock
from tests.support.planted_faults import plant
from tests.support.store_digest import digest
from vestige_tui.core.bulk import DomainMove
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import Conflict, NotFound, ReadOnly
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Change, Draft, Memory, Patch
from vestige_tui.core.reviews import Rating, undone_reviews
from vestige_tui.core.scheduling import DEFAULT_WEIGHTS
from vestige_tui.core.weights import Weights
from vestige_tui.presenters.changes import redo_sentence, undo_sentence
from vestige_tui.store import undo
from vestige_tui.store.open import open_store
from vestige_tui.store.redo import REDOABLE_VERBS
from vestige_tui.store.store import Store
from vestige_tui.store.undo import UNDOABLE_VERBS

Act = Callable[[Store, Memory, Memory, random.Random], Awaitable[Change]]


async def _add(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    return await store.insert(Draft(f"Another one {chance.random()}", tags=("new",)))


async def _import(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    drafts = [Draft(f"Imported {chance.random()}"), Draft(f"Imported {chance.random()}")]
    journal = store.journal.start_import()
    inserted, _, _ = await store.memories.insert_many(drafts, journal=journal)
    await journal.finish()
    return Change(inserted, journal.number)


async def _edit(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    patch = Patch(content=f"Edited {chance.random()}", node_type="decision", metadata={"n": [1, {"ü": 2.5}]})
    return await store.update(one.id, patch)


async def _tag(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    return await store.memories.tag([one.id, two.id], [f"t{chance.randrange(10**9)}"], list(one.tags[:1]))


async def _delete(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    return await store.delete([one.id, two.id] if chance.random() < 0.5 else [one.id])


async def _supersede(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    return await store.links.supersede(one.id, two.id)


async def _unsupersede(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    return await store.links.unsupersede(one.id)


async def _link(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    return await store.links.add(Edge(one.id, two.id, "supports", chance.random()))


async def _unlink(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    return await store.links.remove(one.id, two.id, "supports")


async def _review(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    return await store.reviews.record(one.id, chance.choice(list(Rating)))


async def _suspend(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    return await store.reviews.suspend(one.id)


async def _bury(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    return await store.reviews.bury(one.id)


async def _resume(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    return await store.reviews.resume(one.id)


async def _pin(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    return await store.reviews.pin([one.id, two.id])


async def _unpin(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    return await store.reviews.unpin([one.id, two.id])


async def _clear_marks(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    return await store.reviews.clear_marks([one.id, two.id])


async def _set_domain(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    return await store.domains.put(await _domain(store, one), label=f"Label {chance.random()}")


async def _rename_domain(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    name, new = await _domain(store, one), f"d{chance.randrange(10**9)}"
    return await store.domains.apply(await store.domains.preview(DomainMove("rename_domain", (name,), new)))


async def _merge_domains(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    name, new = await _domain(store, one), f"d{chance.randrange(10**9)}"
    return await store.domains.apply(await store.domains.preview(DomainMove("merge_domains", (name,), new)))


async def _delete_domain(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    move = DomainMove("delete_domain", (await _domain(store, one),))
    return await store.domains.apply(await store.domains.preview(move))


async def _domain(store: Store, one: Memory) -> str:
    """Return a domain of the store, with a row if it has one; NotFound after the last one."""
    domains = sorted(await store.domains.list_all(), key=lambda each: not each.has_row)
    if not domains:
        raise NotFound("No domain is left.")
    return domains[0].name


async def _optimize(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    weights = Weights((*DEFAULT_WEIGHTS[:2], round(chance.uniform(10, 90), 4), *DEFAULT_WEIGHTS[3:]))
    return await store.weights.apply(weights, reschedule=True)


async def _repair(store: Store, one: Memory, two: Memory, chance: random.Random) -> Change:
    plant(store.location, [("UPDATE scheduling SET lapses = -1 WHERE memory_id = ?", (one.id,))])
    fixed = await store.doctor.fix(await store.doctor.preview(["schedule"]))
    return Change(fixed.subjects, fixed.undo)


ACTS: dict[str, Act] = {
    "add": _add,
    "import": _import,
    "edit": _edit,
    "tag": _tag,
    "delete": _delete,
    "supersede": _supersede,
    "unsupersede": _unsupersede,
    "link": _link,
    "unlink": _unlink,
    "review": _review,
    "suspend": _suspend,
    "bury": _bury,
    "resume": _resume,
    "pin": _pin,
    "unpin": _unpin,
    "clear_marks": _clear_marks,
    "set_domain": _set_domain,
    "rename_domain": _rename_domain,
    "merge_domains": _merge_domains,
    "delete_domain": _delete_domain,
    "optimize": _optimize,
    "repair": _repair,
}
FIRST: dict[str, str] = {
    "unsupersede": "supersede",
    "unlink": "link",
    "resume": "suspend",
    "unpin": "pin",
    "clear_marks": "bury",
    "rename_domain": "set_domain",
    "delete_domain": "set_domain",
}
"""Acts that another one needs before it."""


async def fill(store: Store, clock: Clock) -> list[Memory]:
    """Write memories with vectors, reviews, links and marks."""
    await store.models.register(ModelSignature("test", 64))
    memories = []
    for number in range(4):
        clock.advance(minutes=1)
        draft = Draft(f"Memory {number}", tags=("a", f"b{number}"), domains=("auth",), metadata={"n": number})
        [memory_id] = (await store.insert(draft)).changed
        memories.append(await store.get(memory_id))
    for memory in memories:
        clock.advance(minutes=1)
        await store.reviews.record(memory.id, Rating.GOOD)
        await store.links.add(Edge(memory.id, memories[memory is memories[0]].id, "part_of"))
    await store.reviews.suspend(memories[2].id)
    clock.advance(minutes=1)
    await store.links.supersede(memories[3].id, memories[0].id)
    return memories


def test_every_verb_can_be_redone() -> None:
    assert set(ACTS) == UNDOABLE_VERBS == REDOABLE_VERBS


@pytest.mark.parametrize("verb", ACTS)
async def test_a_redo_makes_the_change_again_exactly(store: Store, store_url: str, clock: Clock, verb: str) -> None:
    one, two, *_ = await fill(store, clock)
    chance = random.Random(7)
    for act in filter(None, (FIRST.get(verb), verb)):
        clock.advance(minutes=1)
        await ACTS[act](store, one, two, chance)
    before, log = digest(store_url), store_digest.logs(store_url)
    # Twice: what was redone can be undone and redone as well.
    for _ in range(2):
        clock.advance(minutes=1)
        undone = await store.journal.undo()
        assert digest(store_url) != before
        clock.advance(minutes=1)
        redone = await store.journal.redo()
        assert digest(store_url) == before
        assert undone.undone is not None
        assert redone.redone is not None
        assert undone.undone.entry.id == redone.redone.entry.id
        assert undone.undone.entry.verb == verb
        assert redo_sentence(redone).startswith("Redid: ")
    later = store_digest.logs(store_url)
    assert verb in ("add", "import") or set(log["review_events"]) <= set(later["review_events"])
    [newest, *_] = await store.journal.entries()
    assert (newest.verb, newest.target is not None and newest.target.verb) == ("redo", verb)


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[] if seed < 3 else [pytest.mark.thorough]) for seed in range(8)]
)
async def test_random_changes_are_undone_and_redone_step_by_step(
    store: Store, store_url: str, clock: Clock, seed: int
) -> None:
    chance = random.Random(seed)
    await fill(store, clock)
    done = 0
    while done < 12:
        memories = (await store.page(limit=50)).items
        if len(memories) < 2:
            break
        clock.advance(minutes=1)
        try:
            one, two = chance.sample(memories, 2)
            # Not a repair: the fault that it needs is no change of the journal.
            verb = chance.choice([name for name in ACTS if name != "repair"])
            change = await ACTS[verb](store, one, two, chance)
        except (Conflict, NotFound):
            continue
        done += change.undo is not None
    depth = 0
    states = [digest(store_url)]
    # Down, and up and down at random, and up to the top: each step up meets the state that the step down left.
    for step in [1, 1, 1, *(chance.choice((-1, 1)) for _ in range(20)), *[-1] * done]:
        clock.advance(minutes=1)
        if step == 1 and depth < done:
            await store.journal.undo()
            depth += 1
            states[depth:] = [digest(store_url)]
        elif step == -1 and depth > 0:
            await store.journal.redo()
            depth -= 1
            assert digest(store_url) == states[depth]
    assert depth == 0
    with pytest.raises(NotFound, match="nothing to redo"):
        await store.journal.redo()


async def test_a_redone_grade_counts_again(store: Store, clock: Clock) -> None:
    one, *_ = await fill(store, clock)
    clock.advance(days=1)
    change = await store.reviews.record(one.id, Rating.AGAIN)
    grade = (await store.reviews.log(one.id))[-1]
    for is_undone in (True, False, True, False):
        clock.advance(minutes=1)
        await (store.journal.undo() if is_undone else store.journal.redo())
        log = await store.reviews.log(one.id)
        assert (grade.id in undone_reviews(log)) == is_undone
        assert (await store.reviews.scheduling(one.id) == change.scheduling) == (not is_undone)
    # The grade is the last one in force: it can be undone by the name of its memory.
    assert undo_sentence(await store.reviews.undo(one.id)) == 'Undid: grade Again on "Memory 0"'


async def test_a_restored_memory_keeps_the_numbers_of_its_reviews(store: Store, clock: Clock) -> None:
    one, *_ = await fill(store, clock)
    numbers = [review.id for review in await store.reviews.log(one.id)]
    deleted = await store.delete([one.id])
    await store.journal.undo(deleted.undo)
    assert [review.id for review in await store.reviews.log(one.id)] == numbers
    # So that the grade before the delete can still be undone.
    await store.reviews.undo(one.id)


async def test_a_later_change_clears_the_redo(store: Store, clock: Clock) -> None:
    one, two, *_ = await fill(store, clock)
    tagged = await store.memories.tag([one.id], ["x"])
    undone = await store.journal.undo(tagged.undo)
    assert undone.undone is not None
    await store.reviews.suspend(two.id)
    with pytest.raises(NotFound, match="nothing to redo"):
        await store.journal.redo()
    # By its number it can still be redone: its own memory is as the undo left it.
    [line] = [line for line in await store.journal.entries() if line.verb == "undo"]
    assert redo_sentence(await store.journal.redo(line.id)) == 'Redid: tag +x on "Memory 0"'
    with pytest.raises(Conflict, match="already redone"):
        await store.journal.redo(line.id)
    with pytest.raises(Conflict, match="is no undo"):
        await store.journal.redo(tagged.undo)
    with pytest.raises(Conflict, match="is a redo; undo change"):
        await store.journal.undo((await store.journal.entries(limit=1))[0].id)
    with pytest.raises(Conflict, match="is an undo; redo reverses it"):
        await store.journal.undo(line.id)


@pytest.mark.parametrize("verb", ["edit", "tag", "delete", "supersede", "link", "review", "suspend"])
async def test_a_redo_refuses_what_has_changed_since(store: Store, store_url: str, clock: Clock, verb: str) -> None:
    one, two, three, _ = await fill(store, clock)
    chance = random.Random(1)
    await ACTS[verb](store, one, two, chance)
    clock.advance(minutes=1)
    await store.journal.undo()
    [undo_line, *_] = await store.journal.entries(limit=1)
    match verb:
        case "edit" | "tag":
            await store.update(one.id, Patch(content="Changed elsewhere"))
        case "delete" | "link":
            await store.links.add(Edge(one.id, two.id, "supports", 0.125))
        case "supersede":
            await store.links.supersede(one.id, three.id)
        case "review":
            await store.reviews.record(one.id, Rating.EASY)
        case _:
            await store.reviews.bury(one.id)
    before = digest(store_url)
    with pytest.raises(Conflict, match="nothing was changed"):
        await store.journal.redo(undo_line.id)
    assert digest(store_url) == before


async def test_the_undo_of_a_large_import_keeps_no_memories(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo, "MAX_KEPT_MEMORIES", 1)
    monkeypatch.setattr("vestige_tui.store.redo.MAX_KEPT_MEMORIES", 1)
    journal = store.journal.start_import()
    await store.memories.insert_many([Draft("One"), Draft("Two")], embed=False, journal=journal)
    await store.journal.undo(journal.number)
    with pytest.raises(Conflict, match="import of 2 memories does not keep them; import the file again"):
        await store.journal.redo()


@pytest.mark.slow
async def test_a_redo_needs_a_store_that_may_be_written(store: Store, store_url: str) -> None:
    await store.insert(Draft("One"), embed=False)
    await store.journal.undo()
    async with open_store(store_url, read_only=True) as reader:
        with pytest.raises(ReadOnly):
            await reader.journal.redo()
