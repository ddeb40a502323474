"""`review optimize`, `reviews` and `forecast --retention` on both databases."""

from __future__ import annotations

import asyncio
import sys

import pytest

from tests.support.command_line import Command
from tests.support.store_digest import read
from tests.support.synthetic_reviews import fill
from vestige_tui.core.weights import Weights
from vestige_tui.store.open import open_store


def filled(url: str, memories: int) -> str:
    async def write() -> None:
        async with open_store(url, create=True) as store:
            await fill(store, memories)

    asyncio.run(write())
    return url


@pytest.mark.slow
def test_optimize_shows_applies_and_is_undone(run: Command, store_url: str) -> None:
    store = filled(store_url, 150)
    schedules = read(store, "scheduling", "memory_id")
    shown = run("--store", store, "review", "optimize", "--json").json
    assert shown["fit"]["log_loss_after"] < shown["fit"]["log_loss_before"]
    assert shown["in_force"] == {
        "hash": Weights().hash,
        "algorithm": "fsrs-6",
        "weights": list(Weights().values),
        "applied": False,
    }
    assert shown["reschedule"]["moved"] > 0
    assert (shown["changed"], shown["undo"]) == ([], None)
    applied = run("--store", store, "review", "optimize", "--apply", "--reschedule", "--json").json
    assert applied["fit"] == shown["fit"]
    assert len(applied["changed"]) >= shown["reschedule"]["moved"]
    assert read(store, "scheduling", "memory_id") != schedules
    after = run("--store", store, "review", "optimize", "--json").json
    assert after["in_force"]["hash"] == shown["fit"]["hash"]
    assert after["in_force"]["applied"]
    undone = run("--store", store, "undo", str(applied["undo"]))
    assert undone.out.startswith(f"Undid: apply FSRS weights {shown['fit']['hash'][:8]} on ")
    assert read(store, "scheduling", "memory_id") == schedules
    assert not run("--store", store, "review", "optimize", "--json").json["in_force"]["applied"]


@pytest.mark.slow
def test_optimize_without_rescheduling_moves_no_date(run: Command, store_url: str) -> None:
    store = filled(store_url, 150)
    schedules = read(store, "scheduling", "memory_id")
    ran = run("--store", store, "review", "optimize", "--apply")
    assert " to new reviews.  Undo: vestige-tui undo 1" in ran.out
    assert read(store, "scheduling", "memory_id") == schedules
    # Fitted again, the weights in force predict as well: the fit is not put in force without a word.
    again = run("--store", store, "review", "optimize", "--apply")
    assert again.status == 3
    assert "predicts the latest reviews no better" in again.err
    assert run("--store", store, "review", "optimize", "--apply", "--yes").status == 0


def test_too_few_reviews_are_refused(run: Command, store_url: str) -> None:
    ran = run("--store", filled(store_url, 10), "review", "optimize", "--json")
    assert ran.status == 3
    assert ran.json["error"]["code"] == "refused"
    assert "needs 400 reviews" in ran.json["error"]["message"]


def test_a_missing_package_is_named(run: Command, store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsrs_rs_python", None)
    ran = run("--store", filled(store_url, 10), "review", "optimize")
    assert ran.status == 3
    assert 'pip install "vestige-tui[optimize]"' in " ".join(ran.err.split())


@pytest.mark.parametrize(
    "words",
    [
        ("optimize", "--reschedule"),
        ("optimize", "--yes"),
        ("optimize", "1a2b3c"),
        ("1a2b3c", "good", "--apply"),
        ("undo", "--reschedule"),
    ],
)
def test_options_that_do_not_fit_are_refused(run: Command, sample: str, words: tuple[str, ...]) -> None:
    assert run("--store", sample, "review", *words).status == 2


@pytest.mark.slow
def test_optimize_on_a_read_only_store_only_shows(run: Command, store_url: str) -> None:
    store = filled(store_url, 150)
    assert run("--store", store, "--read-only", "review", "optimize").status == 0
    assert run("--store", store, "--read-only", "review", "optimize", "--apply").status == 3


@pytest.mark.slow
def test_reviews_prints_statistics(run: Command, store_url: str) -> None:
    store = filled(store_url, 30)
    ran = run("--store", store, "reviews", "--days", "3000")
    assert "True retention" in ran.out
    assert [line.split()[0] for line in ran.out.splitlines() if line.startswith(("type ", "tag ", "age "))] == [
        "type",
        "tag",
        "age",
    ]
    whole = run("--store", store, "reviews", "--days", "3000", "--json").json
    part = run("--store", store, "reviews", "--days", "3000", "--tag", "tag1", "--json").json
    assert 0 < part["reviews"] < whole["reviews"]
    assert {row["tag"] for row in part["by_tag"]} == {"tag1"}
    assert sum(day["reviews"] for day in whole["days"]) == whole["reviews"]
    assert run("--store", store, "reviews", "--days", "1").out == "There are no reviews in this time.\n"


@pytest.mark.slow
def test_forecast_compares_another_retention(run: Command, store_url: str) -> None:
    store = filled(store_url, 30)
    schedules = read(store, "scheduling", "memory_id")
    ran = run("--store", store, "forecast", "--days", "3000", "--retention", "0.7", "--json").json
    same = run("--store", store, "forecast", "--days", "3000", "--retention", "0.9", "--json").json
    plain = run("--store", store, "forecast", "--days", "3000", "--json").json
    assert ran["retention"] == 0.7
    assert [item["due"] for item in ran["items"]] == [item["due"] for item in plain["items"]]
    assert [item["due_at_retention"] for item in same["items"]] == [item["due"] for item in plain["items"]]
    assert [item["due_at_retention"] for item in ran["items"]] != [item["due"] for item in plain["items"]]
    assert "with a desired retention of 0.70" in run("--store", store, "forecast", "--retention", "0.7").out
    assert run("--store", store, "forecast", "--retention", "1.5").status == 2
    assert read(store, "scheduling", "memory_id") == schedules
