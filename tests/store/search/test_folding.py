"""Words are folded by one rule: in queries and in stored text, on SQLite and in every locale of PostgreSQL."""

from __future__ import annotations

import sqlite3
import unicodedata
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.support.locales import localized_database
from tests.support.vestige_files import make_line
from vestige_tui.core.memories import Draft, Patch
from vestige_tui.core.search import SearchQuery
from vestige_tui.store.open import open_store
from vestige_tui.store.search.folding import fold_character, fold_words
from vestige_tui.store.search.search import FOREIGN_INDEX_NOTE
from vestige_tui.store.store import Store

FILES = ("UTF-8", "UTF-16le", "UTF-16be")
DATABASES = (*FILES, "C", "C.UTF-8", "en_US.UTF-8", "tr_TR.UTF-8")
SCRIPTS = ("LATIN", "GREEK", "CYRILLIC")
LETTERS = [
    char
    for char in map(chr, [*range(0x80, 0xD800), *range(0xE000, 0x20000)])
    if unicodedata.category(char) == "Ll" and unicodedata.name(char).startswith(SCRIPTS)
]


@pytest.fixture(params=DATABASES)
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store in a SQLite file of an encoding, or in a PostgreSQL database of a locale."""
    if request.param in FILES:
        with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
            connection.executescript(f"PRAGMA encoding = '{request.param}'; CREATE TABLE t (a); DROP TABLE t")
        async with open_store(f"sqlite:{tmp_path / 'store.db'}", create=True) as store:
            yield store
        return
    with localized_database(request.getfixturevalue("postgres_server"), request.param) as url:
        async with open_store(url, create=True) as store:
            yield store


def forms(letter: str) -> list[str]:
    """Return a letter, its capital, its base letter, its decomposed form, and that composed again."""
    decomposed = unicodedata.normalize("NFD", letter)
    spellings = [letter, decomposed[0], decomposed, unicodedata.normalize("NFC", decomposed)]
    if "\N{COMBINING GREEK YPOGEGRAMMENI}" not in decomposed:
        spellings.append(letter.upper())
    elif len(letter.swapcase()) == 1:
        spellings.append(letter.swapcase())
    return spellings


def prefix(number: int) -> str:
    """Return a word of letters for a number; what follows it keeps it from being stemmed."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number)) + "k"


@pytest.mark.slow
async def test_every_letter_is_found_however_it_is_written(shelf: Store) -> None:
    words = [(number, f"{prefix(number)}{form}k") for number, letter in enumerate(LETTERS) for form in forms(letter)]
    await shelf.memories.insert_many([Draft(f"Note: {word}.") for _, word in words], embed=False)
    counts = await shelf.backend.word_counts([word for _, word in words])
    expected = {number: len(forms(letter)) for number, letter in enumerate(LETTERS)}
    wrong = [
        (word, count) for (number, word), (count, _) in zip(words, counts, strict=True) if count != expected[number]
    ]
    assert wrong == []


WIDE = "".join(chr(ord(letter) + 0xFEE0) for letter in "FULLwidth")
SPELLINGS = {
    "Straße": ("strasse", "STRASSE", "STRAẞE", "straße"),
    "İstanbul": ("istanbul", "ISTANBUL", "\u0131stanbul"),
    "ΟΔΟΣ": ("οδος", "οδοσ", "Οδός"),
    "ﬁnance": ("finance", "FINANCE"),
    WIDE: ("fullwidth",),
    "smørrebrød": ("smorrebrod", "SMØRREBRØD"),
    "Łódź": ("lodz", "LÓDZ"),
    "đường": ("duong", "ĐƯỜNG", unicodedata.normalize("NFD", "đường")),
    "știință": ("stiinta", "ŞTIINȚĂ".replace("Ţ", "Ț")),
    "œuvre": ("oeuvre", "ŒUVRE"),
    "co\u00adoperate": ("cooperate", "co\u00adoperate"),
    "\ufeffbomword": ("bomword", "\ufeffBOMWORD"),
    "\u200frlmword\u200f": ("rlmword",),
    "zwsp\u200bword": ("zwsp", "word", "zwsp\u200bword"),
    "m²": ("m2",),
    "fix🤖rocket": ("fix", "rocket"),
    "“quoted”": ("quoted",),
    "dash—joined": ("dash", "joined"),
    "हिन्दी": ("हिन्दी",),
    "שָׁלוֹם": ("שלום",),
    "我们使用PostgreSQL数据库": ("postgresql", "PostgreSQL"),
    "データはRedisにある": ("redis",),
    "สวัสดีAPIครับ": ("api",),
    "서버는Kafka를쓴다": ("kafka",),
}


async def found(store: Store, text: str) -> set[str]:
    return {hit.memory.content for hit in await store.search(SearchQuery(text, mode="text", limit=50))}


@pytest.mark.slow
async def test_other_spellings_are_found_in_every_way_to_ask(shelf: Store) -> None:
    texts = {word: f"Beginning {word} end{number}" for number, word in enumerate(SPELLINGS)}
    await shelf.memories.insert_many([Draft(text) for text in texts.values()], embed=False)
    for word, spellings in SPELLINGS.items():
        for spelling in spellings:
            assert texts[word] in await found(shelf, spelling), (word, spelling)
        assert texts[word] in await found(shelf, f"+{spellings[-1]}"), word
        assert texts[word] not in await found(shelf, f"beginning -{spellings[-1]}"), word
        assert texts[word] in await found(shelf, f'"beginning {spellings[0]}"'), word
        why = await shelf.explain(SearchQuery(spellings[0], mode="text"))
        assert [entry.documents for entry in why.words] == [1], word


async def test_an_edit_and_a_deletion_leave_no_word_behind(shelf: Store) -> None:
    long = "数据" * 3_000 + "Kafka" + "库" * 70 + "é" * 3
    [first] = (await shelf.insert(Draft(f"straße {long}", tags=("größe",)), embed=False)).changed
    assert [len(await found(shelf, word)) for word in ("strasse", "kafka", "grosse")] == [1, 1, 1]
    await shelf.update(first, Patch(content="plain", tags=()), embed=False)
    assert [len(await found(shelf, word)) for word in ("strasse", "kafka", "grosse", "plain")] == [0, 0, 0, 1]
    await shelf.update(first, Patch(content="œuvre"), embed=False)
    await shelf.delete([first])
    assert [count for count, _ in await shelf.backend.word_counts(["plain", "oeuvre"])] == [0, 0]


async def test_words_beside_a_script_without_spaces_fold_too(shelf: Store) -> None:
    await shelf.memories.insert_many([Draft("東京 CAFÉ"), Draft("東京 tea"), Draft("大阪 cafe")], embed=False)
    answer = await shelf.search(SearchQuery("東京 café", mode="text"))
    assert answer[0].memory.content == "東京 CAFÉ"
    assert len(answer) == 3


async def test_a_literal_is_found_in_any_case(shelf: Store) -> None:
    texts = ["ÜBERALL Ключ ẞ", "überall ключ ß", "uberall", "ss SS"]
    await shelf.memories.insert_many([Draft(text) for text in texts], embed=False)
    for literal, expected in {
        "überall": [texts[1], texts[0]],
        "ÜBERALL": [texts[0], texts[1]],
        "КЛЮЧ ß": [texts[1], texts[0]],
        "L \N{CYRILLIC CAPITAL LETTER KA}": [texts[0], texts[1]],
        "ü.*": [],
    }.items():
        answer = await shelf.search(SearchQuery(literal, mode="literal"))
        assert {hit.memory.content for hit in answer} == set(expected), literal
        if literal.lower() == "überall":
            assert [hit.memory.content for hit in answer] == expected


async def test_the_index_of_another_program_is_left_alone_and_said_to_fold_less(tmp_path: Path) -> None:
    path = make_line(tmp_path / "vestige.db", 40)
    async with open_store(f"sqlite:{path}") as store:
        query = SearchQuery("backup straße", mode="text", superseded=True)
        explained = await store.explain(query)
        assert len(explained.answer) > 0
        assert explained.answer.warnings == (FOREIGN_INDEX_NOTE,)
        assert FOREIGN_INDEX_NOTE in [step.how for step in explained.steps]
        why = await store.why_not(query, explained.answer[0].memory.id)
        assert why.missing == ("straße",)
        assert why.reason.endswith(FOREIGN_INDEX_NOTE)
        assert (await store.search(SearchQuery("backup", mode="text"))).warnings == ()


@pytest.fixture
def fts(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """The file of an empty store, as any other program opens it."""
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        yield connection


def known_characters(*, last: int) -> list[str]:
    """Return the characters beyond ASCII that every server knows; of pamudpod Unicode has changed the class."""
    characters = map(chr, [*range(0x80, 0x3400), *range(0xFB00, last)])
    return [char for char in characters if unicodedata.ucd_3_2_0.category(char) != "Cn" and char != "\u1734"]


async def test_sqlite_folds_each_character_as_the_rule_says(tmp_path: Path, fts: sqlite3.Connection) -> None:
    async with open_store(f"sqlite:{tmp_path / 'store.db'}", create=True):
        pass
    rows = [(number, f"xx{char}xx") for number, char in enumerate(known_characters(last=0x10000))]
    fts.executemany(
        "INSERT INTO knowledge_fts_folded (command, seq, content, node_type, tags) VALUES (NULL, ?, ?, '', '')", rows
    )
    fts.execute("CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, 'knowledge_fts', 'instance')")
    tokens: dict[int, list[str]] = {}
    for term, number in fts.execute("SELECT term, doc FROM temp.words ORDER BY doc, offset"):
        tokens.setdefault(number, []).append(term)
    wrong = [text for number, text in rows if tokens[number] != fold_words(text).split()]
    assert wrong == []
    assert fts.execute("SELECT count(*) FROM knowledge_fts_text").fetchone() == (0,)


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "en_US.UTF-8"])
async def test_postgres_folds_each_character_as_the_rule_says(postgres_server: str, locale: str) -> None:
    with localized_database(postgres_server, locale) as url:
        async with open_store(url, create=True):
            pass
        texts = [f"xx{char}xx" for char in known_characters(last=0x20000)]
        sql = """SELECT t, array(SELECT l.lexeme FROM unnest(to_tsvector('vestige', vestige_fold(t))) AS l
            ORDER BY l.positions[1]) FROM unnest(%s::text[]) AS t"""
        with psycopg.connect(url) as connection:
            rows = connection.execute(sql, [texts]).fetchall()
    assert [text for text, lexemes in rows if lexemes != list(dict.fromkeys(fold_words(text).split()))] == []


def test_the_rule_is_one_of_single_characters_and_final() -> None:
    for letter in LETTERS:
        for form in forms(letter):
            assert fold_words(form) == fold_character(letter)
        assert fold_words(fold_character(letter)) == fold_character(letter)
    assert fold_words("ASCII-only_Text 1") == "ascii-only_text 1"
