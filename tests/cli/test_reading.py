"""search, list, show, due, forecast, history, edges, neighbors, stats: what they print and with which keys."""

from __future__ import annotations

import pytest

from tests.support.command_line import SENTENCES, Command, sample_id
from vestige_tui.core.health import HealthProblem

MEMORY = {
    "id", "content", "node_type", "tags", "domains", "domain_scores", "codebase", "metadata", "created_at",
    "updated_at", "owner_user_id", "visibility", "shared_with_groups", "superseded_by", "scheduling", "marks",
}  # fmt: skip
SCHEDULING = {"stability", "difficulty", "retrievability", "last_review", "next_review", "reps", "lapses"}
EDGE = {"source_id", "target_id", "edge_type", "weight", "created_at"}
REVIEW = {"id", "memory_id", "at", "rating", "prior", "new", "undoes", "weights"}
EVENT = {"id", "loser_id", "winner_id", "kind", "decided_at"}


@pytest.mark.parametrize("mode", ["hybrid", "text", "vector"])
def test_search_answers_in_every_mode(run: Command, sample: str, mode: str) -> None:
    ran = run("--store", sample, "--json", "search", "how do signing keys rotate", "--mode", mode, "--limit", "3")
    assert ran.status == 0
    answer = ran.json
    assert set(answer) == {"hits", "mode", "elapsed_ms", "warnings", "empty_because"}
    assert answer["mode"] == mode
    assert answer["warnings"] == []
    hit = answer["hits"][0]
    assert set(hit) == {"memory", "score", "text_rank", "text_score", "vector_rank", "vector_score", "passage"}
    assert set(hit["memory"]) == MEMORY
    assert set(hit["memory"]["scheduling"]) == SCHEDULING
    assert hit["memory"]["id"] == sample_id(0)
    assert (hit["text_rank"] is None) == (mode == "vector")
    assert (hit["vector_rank"] is None) == (mode == "text")
    assert 0 < hit["memory"]["scheduling"]["retrievability"] < 1


def test_search_prints_two_lines_for_each_hit(run: Command, sample: str) -> None:
    ran = run("--store", sample, "search", "nightly backup", "--limit", "1")
    first, second = ran.out.splitlines()
    assert first == f"  1  {SENTENCES[1]}"
    words = second.split("  ")
    assert words[-6:] == ["text #1", "vector #1", "score 1.00", "2 mo ago", "procedure", "infra"]
    assert second.strip().startswith(sample_id(1)[:8])


def test_a_search_that_only_replaced_memories_match_names_the_option(run: Command, sample: str) -> None:
    ran = run("--store", sample, "search", "+year", "--mode", "text")
    assert "Only replaced memories match, and they are hidden (1 hit). Add --superseded to show them." in ran.err
    assert sample_id(5)[:8] in run("--store", sample, "search", "+year", "--mode", "text", "--superseded").out


def test_search_takes_words_with_a_dash(run: Command, sample: str) -> None:
    ran = run("--store", sample, "--json", "search", "keys", "-horse", "--superseded", "-year", "--mode", "text")
    assert [hit["memory"]["id"] for hit in ran.json["hits"]] == [sample_id(0)]
    newest = run("--store", sample, "--json", "search", "--", "-keys").json
    assert [hit["memory"]["id"] for hit in newest["hits"]] == [sample_id(position) for position in (4, 3, 2, 1)]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--type", "procedure"], {1, 3}),
        (["--tag", "security"], {0}),
        (["--codebase", "auth"], {0}),
        (["--codebase", "auth", "--superseded"], {0, 5}),
        (["--domain", "infra"], {0, 1, 2, 3, 4}),
        (["--domain", "elsewhere"], set()),
        (["--since", "-56d"], {4}),
        (["--until", "-1430h"], {0}),
        (["--min-retrievability", "0.01"], {0, 1}),
    ],
)
def test_filters(run: Command, sample: str, options: list[str], found: set[int]) -> None:
    ran = run("--json", "list", "--store", sample, *options)
    assert ran.status == 0
    assert {item["id"] for item in ran.json["items"]} == {sample_id(position) for position in found}


def test_list_pages_behind_a_cursor(run: Command, sample: str) -> None:
    first = run("--store", sample, "list", "--limit", "3", "--json").json
    second = run("--store", sample, "list", "--limit", "3", "--json", "--after", first["next"]).json
    ids = [item["id"] for item in first["items"] + second["items"]]
    assert ids == [sample_id(position) for position in (4, 3, 2, 1, 0)]
    assert second["next"] is None
    assert all(set(item) == MEMORY for item in first["items"])
    ran = run("--store", sample, "list", "--limit", "3")
    # The cursor ends with the moment of the first page, by which recall is sorted.
    assert f"Next page: --after {first['next'][:80]}" in ran.err
    assert SENTENCES[4] in ran.out


def test_lines_fit_the_terminal(run: Command, sample: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = run("--store", sample, "list").out.splitlines()
    assert len(lines) == 6
    assert max(map(len, lines)) == 80


def test_show(run: Command, sample: str) -> None:
    ran = run("--store", sample, "show", sample_id(0)[:6], "--json").json
    assert set(ran) == {"memory", "edges", "reviews", "supersession"}
    assert set(ran["memory"]) == MEMORY
    assert [set(each) for each in ran["edges"]] == [EDGE]
    assert [set(each) for each in ran["reviews"]] == [REVIEW]
    assert [set(each) for each in ran["supersession"]] == [EVENT]
    assert ran["memory"]["metadata"] == {"source": "sample", "n": 0}
    text = run("--store", sample, "show", sample_id(0)).out
    assert text.startswith(SENTENCES[0])
    assert "related .80" in text
    assert SENTENCES[1][:30] in text


def test_show_prints_the_text_alone(run: Command, sample: str) -> None:
    whole = run("--store", sample, "show", sample_id(0), "--json").json["memory"]["content"]
    assert run("--store", sample, "show", sample_id(0), "--text").out == whole + "\n"


def test_show_names_what_replaced_it(run: Command, sample: str) -> None:
    text = run("--store", sample, "show", sample_id(5)).out
    assert f"replaced by  {sample_id(0)[:8]}  {SENTENCES[0][:40]}" in text


@pytest.mark.parametrize(
    ("word", "status", "code"),
    [("ffffffff-0000", 1, "not_found"), ("abc", 1, "not_found"), ("", 1, "not_found")],
)
def test_an_unknown_id(run: Command, sample: str, word: str, status: int, code: str) -> None:
    ran = run("--store", sample, "--json", "show", word)
    assert ran.status == status
    assert ran.json["error"]["code"] == code
    assert ran.err.count("\n") == 1


def test_due(run: Command, sample: str) -> None:
    ran = run("--store", sample, "due", "--json").json
    assert {item["id"] for item in ran["items"]} == {sample_id(0), sample_id(1)}
    assert ran["next"] is None
    count = run("--store", sample, "due", "--count")
    assert (count.out, count.status) == ("2\n", 0)
    counted = run("--store", sample, "due", "--count", "--json").json
    assert counted == {"count": 2, "overdue": 2, "today": 0, "week": 0, "new": 3, "new_today": 3}
    assert run("--store", sample, "due", "--count", "--before", "-39d").out == "0\n"
    assert sample_id(0)[:8] in run("--store", sample, "due").out


def test_forecast(run: Command, sample: str) -> None:
    ran = run("--store", sample, "forecast", "--days", "7", "--json").json
    assert [set(item) for item in ran["items"]] == [{"date", "due"}] * 7
    assert [item["due"] for item in ran["items"]] == [2, 0, 0, 0, 0, 0, 0]
    assert len(run("--store", sample, "forecast").out.splitlines()) == 30


def test_history(run: Command, sample: str) -> None:
    ran = run("--store", sample, "history", sample_id(0), "--json").json
    assert [set(item) for item in ran["items"]] == [EVENT]
    assert ran["items"][0]["loser_id"] == sample_id(5)
    assert ran["items"][0]["kind"] == "supersede"
    text = run("--store", sample, "history", sample_id(5)).out
    assert text.splitlines()[1].startswith(f"└─► {sample_id(5)[:8]}")
    assert f"{sample_id(5)[:8]} replaced by {sample_id(0)[:8]}" in text


def test_edges_and_neighbors(run: Command, sample: str) -> None:
    ran = run("--store", sample, "edges", sample_id(1), "--json").json
    assert [set(item) for item in ran["items"]] == [EDGE]
    assert run("--store", sample, "edges", sample_id(1), "--type", "other", "--json").json["items"] == []
    assert "←" in run("--store", sample, "edges", sample_id(1)).out
    near = run("--store", sample, "neighbors", sample_id(1), "--depth", "2", "--json").json
    assert [set(item) for item in near["items"]] == [{"memory", "weight", "depth"}]
    assert near["items"][0]["weight"] == pytest.approx(0.8)
    assert SENTENCES[0][:30] in run("--store", sample, "neighbors", sample_id(1)).out


def test_stats(run: Command, sample: str) -> None:
    ran = run("--store", sample, "stats", "--json").json
    assert ran["total_memories"] == 6
    assert ran["memories_with_embeddings"] == 6
    assert ran["registered_model_dim"] == 384
    assert ran["backend"] == "sqlite"
    assert {"total_edges", "total_domains", "registered_model_name", "schema_version"} <= set(ran)
    assert set(ran["health"]) == {"state", "concerns"}
    assert (ran["server"]["product"], ran["server"]["journal_mode"]) == ("SQLite", "wal")
    assert ran["connections"]["most"] >= ran["connections"]["open"] > 0
    assert sum(each["bytes"] for each in ran["sizes"]) <= ran["size_bytes"]
    assert {"name", "count", "total_ms", "longest_ms", "last_ms"} <= set(ran["queries"][0])
    said = run("--store", sample, "stats").out
    for word in ("memories", "healthy", "write-ahead log", "readers", "indexes"):
        assert word in said


def test_stats_say_what_is_the_matter(run: Command, sample: str, monkeypatch: pytest.MonkeyPatch) -> None:
    concern = HealthProblem("It is \x1b[31mfull.", "Make room.")
    monkeypatch.setattr("vestige_tui.store.health_checks.of_report", lambda *_: iter([concern]))
    lines = run("--store", sample, "stats").out.splitlines()
    assert lines[1:3] == ["degraded", "It is \ufffd[31mfull. Make room."]
    found = run("--store", sample, "stats", "--json").json["health"]
    assert found == {"state": "degraded", "concerns": [{"what": "It is \x1b[31mfull.", "remedy": "Make room."}]}


def test_registry(run: Command, sample: str) -> None:
    shown = run("--store", sample, "registry", "show", "--json").json
    assert shown["registered"]["dimension"] == 384
    assert shown["vectors"] == {"by_width": {"384": 6}, "without": 0, "zero": 0, "non_finite": 0}
    models = run("registry", "models", "--json").json["items"]
    assert models[0]["offline"] is True
    described = {"name", "dimension", "size_mb", "licence", "description", "offline", "language", "max_tokens", "hint"}
    assert set(models[0]) == described
    assert run("--store", sample, "registry", "fill", "--json").json == {"filled": 0}
    assert "all-MiniLM-L6-v2" in run("registry", "models").out


def test_a_search_without_hits_names_the_reason(run: Command, sample: str) -> None:
    ran = run("--store", sample, "search", "keys", '+"zzz zzz"', "--mode", "text")
    assert ran.out == ""
    assert 'No memory matches because of the phrase +"zzz zzz": ' in ran.err
    assert "Without it: vestige-tui search 'keys zzz zzz'" in ran.err
    reason = run("--store", sample, "search", "keys", "--type", "zzz", "--mode", "text", "--json").json["empty_because"]
    assert reason["kind"] == "filter"
    assert (reason["condition"], reason["query"], reason["filters_left_out"]) == ("type zzz", "keys", ["node_types"])
    assert reason["hits"] > 0
    assert run("--store", sample, "search", "keys", "--json").json["empty_because"] is None


def test_a_search_for_code_names_the_literal_search(run: Command, sample: str) -> None:
    ran = run("--store", sample, "search", "fix", "src/zz.rs", "--mode", "text")
    assert "No memory contains these words; src/zz.rs looks like a path." in ran.err
    assert "For the exact characters: vestige-tui search --mode literal src/zz.rs" in ran.err


def test_a_hit_has_the_passage_that_matches(run: Command, sample: str) -> None:
    for hit in run("--store", sample, "search", "keys", "--json").json["hits"]:
        passage, content = hit["passage"], hit["memory"]["content"]
        assert content[passage["start"] :].startswith(passage["text"])
        marked = [passage["text"][start:end].casefold() for start, end in passage["highlights"]]
        assert all(word.startswith("key") for word in marked)
        assert bool(marked) == ("key" in content.casefold())
