"""`search --explain`, `--why-not` and `--mode literal`: what they print and with which keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import Command, copy_store, sample_id

SHARES = {"text_share", "vector_share"}
HIT = {"memory", "score", "text_rank", "text_score", "vector_rank", "vector_score"}
PLACED = (HIT - {"memory"}) | SHARES | {"id"}


def test_explain_is_one_document(run: Command, sample: str) -> None:
    ran = run("--store", sample, "--json", "search", "how do +keys rotate -year", "--explain", "--type", "decision")
    assert ran.status == 0
    document = ran.json
    assert set(document) == {
        "query", "answer", "text", "vector", "words", "filters", "passing", "total", "fusion", "steps",
    }  # fmt: skip
    assert document["query"] == "how do +keys rotate -year"
    plain = run("--store", sample, "--json", "search", "how do +keys rotate -year", "--type", "decision").json
    assert [hit["memory"]["id"] for hit in document["answer"]["hits"]] == [hit["memory"]["id"] for hit in plain["hits"]]
    assert all(set(hit) == HIT | SHARES for hit in document["answer"]["hits"])
    assert [hit["id"] for hit in document["text"]] == [sample_id(0)]
    assert all(set(hit) == PLACED for hit in (*document["text"], *document["vector"]))
    assert {word["text"]: word["use"] for word in document["words"]} == {
        "keys": "must", "rotate": "ranked", "year": "must_not", "how": "dropped", "do": "dropped",
    }  # fmt: skip
    assert {each["text"]: each["memories"] for each in document["filters"]} == {
        "type decision": 3, "not replaced": 5, "with keys": 2, "without year": 5,
    }  # fmt: skip
    assert (document["passing"], document["total"]) == (1, 6)
    assert set(document["fusion"]) == {"text_weight", "vector_weight", "floor", "depth"}
    assert all(set(step) == {"what", "how", "ms"} for step in document["steps"])


def test_explain_prints_aligned_tables(run: Command, sample: str) -> None:
    ran = run("--store", sample, "search", "signing keys backup", "--explain")
    assert ran.status == 0
    lines = ran.out.splitlines()
    assert lines[0].startswith("Text and vector: ")
    assert lines[0].endswith("5 of 6 memories pass all filters.")
    for title in (
        "Results",
        "Text search",
        "Vector search",
        "Query words",
        "Filters",
        "How the scores are combined",
        "Steps",
    ):
        assert title in lines
    head = lines[lines.index("Results") + 1]
    assert head.split() == ["rank", "score", "text", "score", "norm", "vector", "cosine", "norm", "id", "memory"]
    first = lines[lines.index("Results") + 2]
    assert first[head.index("id") :].startswith(sample_id(0)[:8])
    assert first[: head.index("id")].split()[0] == "1"
    assert "  score = .50 \N{MULTIPLICATION SIGN} text + .50 \N{MULTIPLICATION SIGN} vector" in lines
    assert max(map(len, lines)) <= 100


def test_explain_says_why_a_list_is_missing(run: Command, sample: str) -> None:
    out = run("--store", sample, "search", "keys", "--explain", "--mode", "text").out
    assert "Vector search\n  This search uses text only." in out
    nothing = run("--store", sample, "search", "+zzqq", "--explain")
    assert nothing.status == 0
    assert "Text search\n  No memory passes all filters." in nothing.out
    assert "No memory matches." in nothing.err


def test_why_not_says_the_reason_first(run: Command, sample: str) -> None:
    ran = run("--store", sample, "search", "keys", "--why-not", sample_id(5)[:8])
    assert ran.status == 0
    assert ran.out.splitlines()[0] == "It does not pass the filters: not replaced."
    assert "filters   does not pass not replaced" in ran.out
    there = run("--store", sample, "search", "keys", "--mode", "text", "--why-not", sample_id(0))
    assert there.out.splitlines()[0] == "It is in the results, ranked 1st."
    document = run(
        "--store", sample, "--json", "search", "backup keys", "--type", "note", "--why-not", sample_id(3)
    ).json
    assert set(document) == {"memory", "reason", "place", "hit", "fails", "missing", "last"}
    assert document["fails"] == ["type note"]
    assert document["missing"] == ["backup", "keys"]
    assert (document["place"], document["hit"], document["last"]) == (None, None, 0.0)


def test_why_not_wants_one_memory(run: Command, sample: str) -> None:
    unknown = run("--store", sample, "search", "keys", "--why-not", "00000000-0000-4000-8000-000000000000")
    assert (unknown.status, unknown.out) == (1, "")
    assert "No memory has an id" in unknown.err
    both = run("--store", sample, "search", "keys", "--explain", "--why-not", sample_id(0))
    assert both.status == 2


@pytest.mark.parametrize(("text", "found"), [("03:10 utc", {1}), ("in the JWKS for", {0}), ("?,", set())])
def test_literal_finds_characters(run: Command, sample: str, text: str, found: set[int]) -> None:
    ran = run("--store", sample, "--json", "search", text, "--mode", "literal")
    assert ran.json["mode"] == "literal"
    assert {hit["memory"]["id"] for hit in ran.json["hits"]} == {sample_id(position) for position in found}


def test_literal_shows_what_stands_around_the_characters(
    run: Command, sample: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    line = run("--store", sample, "search", "in the JWKS", "--mode", "literal").out.splitlines()[0]
    assert line.startswith("  1  …")
    assert "in the JWKS" in line
    assert len(line) <= 50


@pytest.mark.parametrize("options", [["--explain"], ["--explain", "--mode", "literal"], ["--why-not", sample_id(1)]])
def test_hostile_memories_are_shown_plain(run: Command, hostile_file: Path, tmp_path: Path, options: list[str]) -> None:
    store = f"sqlite:{copy_store(hostile_file, tmp_path / 'store.db')}"
    ran = run("--store", store, "search", "evil", "--tag", "\x1b[31mtag", "--mode", "text", *options)
    ran_too = run("--store", store, "search", "evil", "--mode", "text", *options)
    for out in (ran.out, ran_too.out):
        assert out
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(out)
