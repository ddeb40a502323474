"""Weights of a store: reviews name them, and a fit is applied, undone and redone with the schedules."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.clock import Clock
from tests.support.store_digest import read
from tests.support.synthetic_reviews import QUICK_LEARNER, fill
from vestige_tui.core.errors import Conflict, ReadOnly, TooFewReviews
from vestige_tui.core.memories import Draft
from vestige_tui.core.reviews import Rating
from vestige_tui.core.scheduling import DEFAULT_WEIGHTS, Policy, review, same_schedule
from vestige_tui.core.weights import Weights
from vestige_tui.store.journal_parts import PART_ROWS
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

QUICK = Weights(QUICK_LEARNER)


async def test_a_review_names_the_weights_that_scheduled_it(store: Store, clock: Clock) -> None:
    [memory_id] = (await store.insert(Draft("The sky is blue"), embed=False)).changed
    await store.reviews.record(memory_id, Rating.GOOD)
    await store.weights.apply(QUICK)
    clock.advance(days=2)
    change = await store.reviews.record(memory_id, Rating.GOOD)
    first, second = await store.reviews.log(memory_id)
    assert (first.weights_hash, second.weights_hash) == (Weights().hash, QUICK.hash)
    assert change.scheduling == review(first.new, Rating.GOOD, clock(), Policy(weights=QUICK_LEARNER))
    for each in (Weights(), QUICK):
        stored = await store.weights.get(each.hash)
        assert stored is not None
        assert stored.weights == each


async def test_a_deleted_memory_comes_back_with_the_weights_of_its_reviews(store: Store) -> None:
    [memory_id] = (await store.insert(Draft("The sky is blue"), embed=False)).changed
    await store.reviews.record(memory_id, Rating.GOOD)
    before = await store.reviews.log(memory_id)
    await store.delete([memory_id])
    await store.journal.undo()
    assert await store.reviews.log(memory_id) == before


async def test_applied_weights_replace_configured_ones_in_every_process(store_url: str, clock: Clock) -> None:
    configured = Policy(weights=(*DEFAULT_WEIGHTS[:20], 0.2), new_per_day=3)
    async with (
        open_store(store_url, create=True, clock=clock) as one,
        open_store(store_url, clock=clock, policy=configured) as other,
    ):
        assert other.weights.current == Weights(configured.weights)
        assert not other.weights.applied
        applied = await one.weights.apply(QUICK)
        assert one.policy.weights == QUICK_LEARNER
        # A grade reads them in its own transaction, whether the change was noticed or not.
        [memory_id] = (await other.insert(Draft("The sky is blue"), embed=False)).changed
        change = await other.reviews.record(memory_id, Rating.GOOD)
        assert change.scheduling == review(None, Rating.GOOD, clock(), Policy(weights=QUICK_LEARNER))
        assert other.policy == Policy(weights=QUICK_LEARNER, new_per_day=3)
        await one.journal.undo(applied.undo)
        assert await other.weights.refresh()
        assert other.policy == configured
    async with open_store(store_url, clock=clock) as later:
        assert later.policy.weights == DEFAULT_WEIGHTS


@pytest.mark.slow
async def test_a_fit_reads_the_log_of_the_store(store: Store) -> None:
    await fill(store, 20)
    with pytest.raises(TooFewReviews, match=r"this store has \d\d"):
        await store.weights.fit()
    await fill(store, 150, seed=2)
    fit = await store.weights.fit()
    assert fit.loss_after < fit.loss_before
    assert not store.weights.applied


@pytest.mark.slow
async def test_an_undo_restores_schedules_and_weights_exactly(store: Store, store_url: str, clock: Clock) -> None:
    await fill(store, 60)
    clock.advance(minutes=1)
    schedules, log = read(store_url, "scheduling", "memory_id"), read(store_url, "review_events", "id")
    preview = await store.weights.preview(QUICK)
    assert preview.reviewed == 60
    assert 0 < preview.moved <= 60
    change = await store.weights.apply(QUICK, reschedule=True)
    assert change.undo is not None
    assert len(change.changed) >= preview.moved
    rescheduled = read(store_url, "scheduling", "memory_id")
    assert rescheduled != schedules
    assert read(store_url, "review_events", "id") == log, "rescheduling is no review"
    assert (await store.weights.preview(QUICK)).moved == 0
    clock.advance(minutes=1)
    undone = await store.journal.undo()
    assert undone.changed == change.changed
    assert read(store_url, "scheduling", "memory_id") == schedules
    assert store.policy.weights == DEFAULT_WEIGHTS
    assert not store.weights.applied
    clock.advance(minutes=1)
    await store.journal.redo()
    assert read(store_url, "scheduling", "memory_id") == rescheduled
    assert store.policy.weights == QUICK_LEARNER


async def test_the_preview_counts_what_falls_due(store: Store, clock: Clock) -> None:
    [memory_id] = (await store.insert(Draft("The sky is blue"), embed=False)).changed
    await store.reviews.record(memory_id, Rating.GOOD)
    clock.advance(days=3)
    preview = await store.weights.preview(QUICK)
    assert (preview.earlier, preview.later, preview.due_before, preview.due_after) == (0, 1, 1, 0)
    assert not store.weights.applied


async def test_weights_without_rescheduling_move_nothing(store: Store, store_url: str) -> None:
    await fill(store, 5)
    schedules = read(store_url, "scheduling", "memory_id")
    change = await store.weights.apply(QUICK)
    assert change.changed == ()
    assert change.undo is not None
    assert read(store_url, "scheduling", "memory_id") == schedules
    undone = await store.journal.undo(change.undo)
    assert undone.undone is not None
    assert (undone.changed, store.weights.applied) == ((), False)
    [undo, line, *_] = await store.journal.entries()
    assert (undo.verb, undo.ids, line.verb, line.undone_by) == ("undo", (), "optimize", undo.id)
    assert undo.target is not None
    assert undo.target.id == line.id
    await store.journal.redo(undo.id)
    assert store.policy.weights == QUICK_LEARNER


@pytest.mark.slow
async def test_an_undo_is_refused_once_other_weights_are_in_force_or_a_memory_was_graded(
    store: Store, clock: Clock
) -> None:
    [memory_id, *_] = await fill(store, 5)
    first = await store.weights.apply(QUICK, reschedule=True)
    second = await store.weights.apply(Weights())
    with pytest.raises(Conflict, match="Other weights have been applied since; nothing was changed"):
        await store.journal.undo(first.undo)
    await store.journal.undo(second.undo)
    assert store.policy.weights == QUICK_LEARNER
    clock.advance(days=400)
    await store.reviews.record(memory_id, Rating.GOOD)
    with pytest.raises(Conflict, match="has been graded since; nothing was changed"):
        await store.journal.undo(first.undo)
    await store.weights.refresh()
    assert store.policy.weights == QUICK_LEARNER


async def test_a_clock_that_runs_behind_still_puts_the_last_weights_in_force(store: Store, clock: Clock) -> None:
    await store.weights.apply(QUICK)
    clock.advance(days=-30)
    await store.weights.apply(Weights())
    await store.weights.refresh()
    assert store.policy.weights == DEFAULT_WEIGHTS


@pytest.mark.slow
async def test_a_change_in_several_parts_has_one_undo(store: Store, store_url: str) -> None:
    await fill(store, PART_ROWS + 400)
    schedules = read(store_url, "scheduling", "memory_id")
    change = await store.weights.apply(QUICK, reschedule=True)
    assert len(change.changed) > PART_ROWS
    [line] = await store.journal.entries()
    assert set(line.ids) == set(change.changed)
    await store.journal.undo(change.undo)
    assert read(store_url, "scheduling", "memory_id") == schedules
    assert not store.weights.applied


async def test_a_read_only_store_keeps_its_weights(store: Store, store_url: str) -> None:
    async with open_store(store_url, read_only=True) as reader:
        with pytest.raises(ReadOnly):
            await reader.weights.apply(QUICK)
        assert (await reader.weights.preview(QUICK)).reviewed == 0
    assert not await store.weights.refresh()


async def test_a_schedule_that_another_program_wrote_stays(store: Store, store_url: str) -> None:
    [memory_id, *_] = await fill(store, 5)
    state = await store.reviews.scheduling(memory_id)
    assert state is not None
    assert state.last_review is not None
    own = replace(state, last_review=state.last_review + timedelta(hours=3), stability=77.0)
    await store.reviews.put_scheduling(memory_id, own)
    change = await store.weights.apply(QUICK, reschedule=True)
    assert memory_id not in change.changed
    assert change.changed
    assert same_schedule(await store.reviews.scheduling(memory_id), own)
