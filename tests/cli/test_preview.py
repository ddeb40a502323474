"""`registry preview`: two models in two columns, or as one document."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import Command
from tests.support.model_swap import OtherEmbedder, offer_models
from vestige_tui.embedding import loaders
from vestige_tui.embedding.models import DEFAULT_MODEL

OTHER = "other-embedder-64"


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default model, and another one."""
    offer_models(monkeypatch, loaders.load_embedder(DEFAULT_MODEL), OtherEmbedder(64))


@pytest.mark.slow
def test_two_columns(run: Command, sample: str) -> None:
    file = Path(sample.removeprefix("sqlite:"))
    before = file.read_bytes()
    ran = run(
        "--store", sample, "registry", "preview", OTHER, "--query", "how are keys rotated", "the backup", "--limit", "2"
    )
    assert ran.status == 0
    lines = ran.out.splitlines()
    assert [half.strip() for half in lines[0].split(" | ")] == [DEFAULT_MODEL, OTHER]
    assert [half.strip() for half in lines[1].split(" | ")] == ["384 dimensions", "64 dimensions"]
    assert max(map(len, lines)) <= 100
    asked = lines.index(next(line for line in lines if line.startswith("how are keys rotated")))
    for line in lines[asked + 1 : asked + 3]:
        left, right = line.split(" | ")
        assert len(left) == len(lines[0].split(" | ")[0])
        for half in (left, right):
            mark, score = half[0], float(half[1:9])
            assert mark in "= "
            assert -1 <= score <= 1
    assert "Signing keys" in lines[asked + 1].split(" | ")[0]
    assert "over 2 queries, 5 of 6 memories" in ran.out
    assert f"{OTHER} needs" in lines[-1]
    assert file.read_bytes() == before


@pytest.mark.slow
def test_one_document(run: Command, sample: str) -> None:
    found = run("--store", sample, "registry", "preview", OTHER, "--sample", "4", "--limit", "3", "--json").json
    assert (found["current"]["name"], found["current"]["dimension"]) == (DEFAULT_MODEL, 384)
    assert (found["other"]["name"], found["other"]["dimension"]) == (OTHER, 64)
    assert (found["sampled"], found["memories"], found["limit"], len(found["queries"])) == (4, 6, 3, 4)
    for each in found["queries"]:
        for side in ("current", "other"):
            assert [hit["score"] for hit in each[side]] == sorted((hit["score"] for hit in each[side]), reverse=True)
        ids = [{hit["id"] for hit in each[side]} for side in ("current", "other")]
        assert each["overlap"] == pytest.approx(len(ids[0] & ids[1]) / 3)
        assert {hit["id"] for hit in each["current"] if hit["shared"]} == ids[0] & ids[1]
        assert each["asked_of"] in ids[0]
    assert found["overlap"] == pytest.approx(sum(each["overlap"] for each in found["queries"]) / 4)


@pytest.mark.slow
def test_what_is_refused(run: Command, sample: str) -> None:
    for arguments, status, code in (
        ((DEFAULT_MODEL,), 3, "mismatch"),
        ((DEFAULT_MODEL, "--dimension", "384"), 3, "mismatch"),
        ((DEFAULT_MODEL, "--dimension", "385"), 2, "usage"),
        ((DEFAULT_MODEL, "--dimension", "1"), 2, "usage"),
        (("all-MiniLM-L6-v2",), 3, "mismatch"),
        (("nobody-knows-it",), 3, "mismatch"),
        ((), 2, "usage"),
        ((OTHER, "--sample", "0"), 2, "usage"),
    ):
        ran = run("--store", sample, "registry", "preview", *arguments, "--json")
        assert (ran.status, ran.json["error"]["code"]) == (status, code)
