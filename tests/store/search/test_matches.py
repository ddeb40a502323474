"""Matches: the same words as the text index of each database finds, at their places in the text."""

from __future__ import annotations

import random
import re
import sqlite3

import psycopg
import pytest

from tests.support.source_tree import ROOT
from vestige_tui.core.memories import Draft
from vestige_tui.core.search import MatchTerms, Mode, SearchQuery
from vestige_tui.store.search.matches import matches, spans, terms_of
from vestige_tui.store.search.query_syntax import parse
from vestige_tui.store.search.stemming import stem
from vestige_tui.store.store import Store

ENDINGS = re.findall(
    r"\w+",
    """s es ed ing eed y ies sses ational tional enci anci izer bli alli entli eli ousli ization ation ator alism
    iveness
    fulness ousness aliti iviti biliti logi logy icate ative alize iciti ical ful ness al ance ence er ic able ible
    ant ement ment ent sion tion ion ou ism ate iti ous ive ize ll e""",
)


def words() -> list[str]:
    """Many words with every ending that the stemmer knows, and those of this program's documents."""
    stems = random.Random(7).sample(sorted(set((ROOT / "README.md").read_text(encoding="utf-8").lower().split())), 600)
    plain = [word for word in stems if word.isascii() and word.isalnum()]
    return sorted({*plain, *(f"{word}{ending}" for word in [*plain, "b", "sky", "x"] for ending in ENDINGS), *ENDINGS})


def test_stems_are_those_of_fts5() -> None:
    listed = words()
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE VIRTUAL TABLE t USING fts5(w, tokenize='porter unicode61')")
        database.execute("CREATE VIRTUAL TABLE v USING fts5vocab(t, 'instance')")
        database.executemany("INSERT INTO t (rowid, w) VALUES (?, ?)", enumerate(listed))
        indexed = dict(database.execute("SELECT doc, term FROM v"))
    database.close()
    assert {word: stem(word) for word in listed} == {word: indexed[at] for at, word in enumerate(listed)}


def test_stems_are_those_of_postgres(postgres_database: str) -> None:
    # The endings alone, and what has two letters, are no words.
    listed = [word for word in words() if len(word) > 2 and word not in ENDINGS]
    with psycopg.connect(postgres_database) as connection:
        rows = connection.execute(
            "SELECT w, (ts_lexize('vestige_stem', w))[1] FROM unnest(%s::text[]) AS w", (listed,)
        ).fetchall()
    assert {word: stem(word, revised=False) for word in listed} == dict(rows)


def marked(query: str, text: str) -> list[str]:
    terms = terms_of(parse(query), ranked=True, revised_stems=True)
    return [text[start:end] for start, end in spans(matches(terms, text))]


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("how do we rotate keys", "Rotating the key: keys are in rotation.", ["Rotating", "key", "keys", "rotation"]),
        ("strasse", "Die STRAẞE; Strassen", ["STRAẞE"]),
        ("naive", "nai\u0308ve, na\u00adive, naïve", ["nai\u0308ve", "na\u00adive", "naïve"]),
        ('"A-star" algorithm', "the A* (a star) algorithm, a lone star", ["a star", "algorithm"]),
        ("lock_timeout", "SET lock_timeout; lock the timeout", ["lock_timeout"]),
        ("½ m2", "½ of a m² and 1/2", ["½", "m²", "1/2"]),
        ("数据库 PostgreSQL", "使用PostgreSQL数据库、据点", ["PostgreSQL数据库"]),
        ('"使用Post"', "再使用postgres", ["使用post"]),
        ("+keys -mail the", "The keys of the mail", ["keys"]),
        ("κώδικας", "ΝΈΟΣ ΚΏΔΙΚΑΣ", ["ΚΏΔΙΚΑΣ"]),
        ("", "anything", []),
        ("!?", "anything !?", []),
    ],
)  # fmt: skip
def test_a_word_is_marked_as_it_was_matched(query: str, text: str, expected: list[str]) -> None:
    assert marked(query, text) == expected


def test_a_literal_is_marked_in_any_case_of_its_script() -> None:
    text = "SET Lock_timeout; set lock_TIMEOUT; ÉTÉ été Été"
    assert [text[a:b] for a, b in spans(matches(MatchTerms(characters="lock_timeout"), text))] == [
        "Lock_timeout",
        "lock_TIMEOUT",
    ]
    assert len(spans(matches(MatchTerms(characters="été"), text))) == 3


PAIRS = [
    ("rotated", "a rotation of keys"),
    ("assembly", "to assemble it"),
    ("psychological", "by psychology"),
    ("universe", "at the university"),
    ("Łódź", "in lodz"),
    ("token_count", "the token count"),
    ("tokencount", "the token count"),
    ("don't", "we dont"),
    ("2", "½ of it"),
    ("straße", "die Strasse"),
]


@pytest.mark.parametrize(("query", "text"), PAIRS)
async def test_what_is_marked_is_what_the_database_finds(store: Store, query: str, text: str) -> None:
    await store.insert(Draft(text))
    answer = await store.search(SearchQuery(f"+{query}", mode="text"))
    other = await store.search(SearchQuery(query, mode="text"))
    assert bool(answer.hits) == bool(other.hits) == bool(matches(other.terms, text))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("text", ["keys", "rotated"]), ("hybrid", ["keys", "rotated"]), ("vector", ["rotated"]), ("literal", [])],
)
async def test_only_what_a_search_used_is_marked(store: Store, mode: Mode, expected: list[str]) -> None:
    text = "keys are rotated"
    await store.insert(Draft(text))
    answer = await store.search(SearchQuery("keys +rotate", mode=mode))
    assert [text[start:end] for start, end in spans(matches(answer.terms, text))] == expected
