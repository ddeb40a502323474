"""Plan of a re-embedding, the rollback and the comparison of two models in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vestige_tui.core.embeddings import ModelSignature, SpareVectors
from vestige_tui.presenters.models import dimensions, distinct_names, full_name, short_name
from vestige_tui.presenters.reembedding import (
    cost_facts,
    deleted_first,
    deleted_last,
    fill_result,
    missing_after_rollback,
    overlap,
    shared_hits,
    spare_vectors,
)
from vestige_tui.reembed.plan import Estimate
from vestige_tui.reembed.preview import Preview, RankedMemory, Ranking

OLD = ModelSignature("acme/old-model", 384, "x")
NEW = ModelSignature("acme/new-model", 96, "y")
KEPT = SpareVectors(ModelSignature("acme/first", 1, "z"), "kept", 1)
PLAN = Estimate("reembed", OLD, NEW, 1_200, 52.4, 23.0, 460_800, KEPT)


def test_cost_of_a_re_embedding() -> None:
    assert [(fact.label, fact.text) for fact in cost_facts(PLAN, KEPT)] == [
        ("from", "acme/old-model, 384 dimensions"),
        ("to", "acme/new-model, 96 dimensions"),
        ("how", "in a second table: searches use the current vectors until it is complete"),
        ("vectors", "1,200 to compute"),
        ("speed", "52 texts per second, measured just now"),
        ("time", "about 23 s plus index build"),
        ("disk", "461 kB for the new vectors and their index"),
        (
            "deletes",
            "The kept vectors of the previous model, 1 vector of first, 1 dimension, are deleted at the start.",
        ),
    ]


def test_cost_without_a_measurement() -> None:
    unmeasured = replace(PLAN, texts_per_second=None, seconds=None)
    by_label = {fact.label: fact.text for fact in cost_facts(unmeasured, None)}
    assert by_label["time"] == "unknown: there is no text to measure"
    assert "time" not in {fact.label for fact in cost_facts(unmeasured, None, measured=False)}
    slow = {fact.label: fact.text for fact in cost_facts(replace(PLAN, texts_per_second=2.34), None)}
    assert slow["speed"].startswith("2.3 texts per second")


def test_deleted_vectors() -> None:
    in_place = replace(PLAN, kind="in_place", drops=SpareVectors(OLD, "kept", 1_200))
    used, kept = deleted_first(in_place, KEPT)
    assert used == (
        "The current vectors, 1,200 vectors of old-model, 384 dimensions, are deleted first; no rollback is possible."
    )
    assert deleted_first(PLAN, KEPT) == [kept]
    assert deleted_first(PLAN, None) == []
    assert deleted_last(PLAN).startswith("The current vectors of acme/old-model, 384 dimensions, are deleted at the")


@pytest.mark.parametrize(
    ("memories", "loadable", "sentence"),
    [
        (0, False, "Every memory has a vector of this model."),
        (1, True, "1 memory added or edited since then gets a new vector."),
        (1_200, True, "1,200 memories added or edited since then get a new vector."),
        (2, False, "2 memories added or edited since then will have no vector: the model is not available here."),
    ],
)
def test_memories_without_a_vector_after_a_rollback(memories: int, loadable: bool, sentence: str) -> None:
    plan = replace(PLAN, kind="rollback", memories=memories, loadable=loadable)
    assert missing_after_rollback(plan) == sentence


def test_second_vectors() -> None:
    building = replace(KEPT, role="building", vectors=1_200)
    assert spare_vectors(KEPT, being_made=True) == "1 vector kept for a rollback"
    assert spare_vectors(building) == "1,200 unfinished vectors"
    assert spare_vectors(building, being_made=True) == "1,200 vectors being computed"
    assert (fill_result(1), fill_result(0)) == ("Computed 1 vector.", "Every memory already has a vector.")


def test_names_of_models() -> None:
    assert (short_name("acme/old\x1b-model "), short_name("plain")) == ("old\ufffd-model", "plain")
    assert (full_name(KEPT.model), dimensions(1_024)) == ("acme/first, 1 dimension", "1,024 dimensions")
    assert distinct_names(OLD, NEW) == ("old-model", "new-model")
    narrow = replace(OLD, dimension=96)
    assert distinct_names(OLD, narrow) == ("old-model, 384 dimensions", "old-model, 96 dimensions")
    assert distinct_names(OLD, NEW, cut=True) == ("old-model, 384 dimensions", "new-model, 96 dimensions")


def test_comparison_of_two_models() -> None:
    hits = tuple(RankedMemory(f"{number}", "text", 0.5, shared) for number, shared in enumerate((True, False)))
    ranking = Ranking("how", None, hits, hits, 0.5)
    preview = Preview(OLD, NEW, 1_200, 200, 2, (ranking,), 0.5, 0.1)
    assert overlap(preview) == ("50% of the hits are the same", "over 1 query, 200 of 1,200 memories")
    assert shared_hits(ranking) == "1 of 2 the same"
