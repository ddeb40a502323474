"""Whatever a store holds, what comes out of ``plain`` is safe to show."""

from __future__ import annotations

import sys
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest

from vestige_tui.core.text import (
    AGO_CELLS,
    MAX_MESSAGE_CHARS,
    MAX_QUOTED_CHARS,
    ago,
    bytes_size,
    cells,
    cut,
    duration,
    grouped,
    masked,
    one_line,
    ordinal,
    plain,
    quoted,
    redact,
    safe,
    short_id,
    shortened,
)

FFFD = "\N{REPLACEMENT CHARACTER}"
JOINTS = set("\u200d\ufe0e\ufe0f")
KEPT_FORMATS = set("\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}")
# These have a glyph of their own although Unicode files them under format characters.
VISIBLE_FORMATS = {chr(code) for code in (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD)}


def test_every_control_and_format_character_is_replaced() -> None:
    unsafe = [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        and chr(code) not in KEPT_FORMATS | VISIBLE_FORMATS | set("\n\r\t")
    ]
    assert len(unsafe) > 2200
    for newlines in (False, True):
        assert [c for c in unsafe if safe(c, newlines=newlines) != FFFD] == []
        assert [c for c in unsafe if plain(c, newlines=newlines) != FFFD] == []
        assert plain("é" + "".join(unsafe), newlines=newlines) == "é" + FFFD * len(unsafe)


@pytest.mark.parametrize(
    "code", [0x115F, 0x1160, 0x3164, 0xFFA0, 0x034F, 0xE0001, 0xE0100, 0xE01EF, 0x202E, 0x9B, 0x1B]
)
def test_what_hides_is_replaced(code: int) -> None:
    assert plain(f"a{chr(code)}b") == f"a{FFFD}b"


@pytest.mark.parametrize(
    "text",
    ["", "plain words", "naïve 日本語 العربية עברית हिन्दी", "👩‍👩‍👧 ❤️ ☎︎", "می‌خواهم", "[/bogus] [@click=app.quit]x[/]"],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert safe(text) == text
    assert safe(text, newlines=True) == text
    if not set(text) & JOINTS:
        assert plain(text) == plain(text, newlines=True) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("👩‍👩‍👧 end", "👩👩👧 end"),
        ("🏳️‍🌈 🏴‍☠️", "🏳🌈 🏴☠"),
        ("👍🏽 ✌🏿 ☝️🏻 🧑🏽‍💻", "👍 ✌ ☝ 🧑💻"),
        ("❤️ ☎︎ ⌚︎ 1️⃣ #️⃣", "❤ ☎ ⌚ 1⃣ #⃣"),
        ("🇩🇪🇫🇷", "🇩🇪🇫🇷"),
        ("a\u200db a\ufe0fb", "ab ab"),
        ("a🏽 🏽", f"a{FFFD} {FFFD}"),
    ],
)
def test_emoji_are_shown_in_a_form_that_every_terminal_draws_as_wide(text: str, shown: str) -> None:
    assert plain(text) == plain(text, newlines=True) == shown
    assert cells(shown) == sum(map(cells, shown))
    assert plain(shown) == shown
    assert safe(text) == text


@pytest.mark.parametrize("letter", ["a", "é"])
def test_line_breaks_and_tabs(letter: str) -> None:
    text = f"{letter}\r\nb\rc\nd\te"
    assert plain(text) == f"{letter} b c d    e"
    assert plain(text, newlines=True) == f"{letter}\nb\nc\nd\te"


def test_terminal_sequences_lose_their_teeth() -> None:
    attack = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b31m\x00\u202etxt\ud800"
    shown = plain(attack)
    assert shown.encode("utf-8")
    assert not {"\x1b", "\x07", "\x9b", "\x00", "\u202e", "\ud800"} & set(shown)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("\n \n  hello\nworld", "hello"),
        ("## Title ##\nbody", "Title ##"),
        ("- [x] done", "done"),
        ("1. first", "first"),
        ("> quoted\nx", "quoted"),
        ("---\ntitle: x\n---", "title: x"),
        ("```python\nprint(1)\n```", "print(1)"),
        ("#hashtag stays", "#hashtag stays"),
        ("-7 degrees", "-7 degrees"),
        ("---", "---"),
        ("a\tb\x1b", f"a    b{FFFD}"),
        ("\r\nwindows\r\nlines", "windows"),
    ],
)
def test_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


@pytest.mark.parametrize(
    ("text", "width", "line"),
    [
        ("hello", 5, "hello"),
        ("hello!", 5, "hell…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("cafe\u0301s", 5, "cafe\u0301s"),
        ("one two", 5, "one…"),
        ("hello", 0, ""),
        ("hello", 1, "…"),
        ("👩‍👩‍👧 x", 5, "👩👩…"),
        ("👩‍👩‍👧 x", 2, "…"),
        ("❤️❤️❤️", 2, "❤…"),
        ("कि कि", 4, "कि…"),
        ("🇩🇪🇫🇷", 3, "🇩🇪…"),
    ],
)
def test_one_line_is_cut_by_cells(text: str, width: int, line: str) -> None:
    assert one_line(text, width) == line
    assert cells(cut(text, width)) <= width


def test_a_huge_line_is_cut_without_being_read_whole() -> None:
    assert one_line("word " * 2_000_000, 20) == "word word word word…"


SECRETS = [
    "postgresql://user:s3cret@host/db",
    "postgresql://user:s3cret@h1:5432,h2:5433/db?sslmode=require",
    "postgres://user:s3cr/et@x?#@host:5432/db",
    "postgresql://user:s3cret tail@host/db",
    "postgresql://:s3cret@/db",
    "postgresql://user:%733cret@[::1]:5432/db",
    "postgresql://us@er:s3cret@host/db",
    "postgresql://user@host/db?password=s3cret&application_name=x",
    "postgresql://user@host/db?x=1&p%61ssword=s3cret",
    "postgresql://user@host/db?password=s3cret tail",
    "postgresql://user@host/db?sslpassword=s3cret",
    "https://user:s3cret@example.org/a",
    "host=h user=u password=s3cret dbname=d",
    r"host=h password='s3cret \' s3cret' user=u",
    r"password=s3cret\ s3cret host=h",
    "password = 's3cret without an end",
    "PGPASSWORD=s3cret psql",
    "{'password': 's3cret', 'host': 'h'}",
    '{"password":"s3cret"}',
    "copying postgresql://a:s3cret@h/d to postgresql://b:s3cret@h/e?password=s3cret failed",
    'could not use "postgresql://a:s3cret@h/d", password=s3cret',
]


@pytest.mark.parametrize("text", SECRETS)
def test_redact_hides_every_password(text: str) -> None:
    shown = redact(text)
    assert "***" in shown
    assert not [part for part in ("3cr", "et@x", "tail") if part in shown]


@pytest.mark.parametrize("text", SECRETS)
def test_masked_hides_every_password_and_moves_nothing(text: str) -> None:
    shown = masked(text)
    assert len(shown) == len(text)
    assert "•" in shown
    assert not [part for part in ("3cr", "et@x", "tail") if part in shown]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "postgresql://user@host:5432/db?sslmode=require",
        "postgresql://h1:5432,h2:5432/db",
        "postgresql://[::1]:5432/db",
        "sqlite:/home/me/vestige.db",
        "http://localhost:8080/a?b=c@d",
        'password authentication failed for user "me"',
        "no password was supplied",
    ],
)
def test_redact_leaves_the_rest(text: str) -> None:
    assert redact(text) == text
    assert masked(text) == text


@pytest.mark.parametrize(
    ("typed", "seen"),
    [
        ("postgresql://me:", "postgresql://me:"),
        ("postgresql://me:54", "postgresql://me:54"),
        ("postgresql://me:54x", "postgresql://me:•••"),
        ("postgresql://me:s3/cr?", "postgresql://me:••••••"),
        ("postgresql://me:54321@", "postgresql://me:•••••@"),
        ("postgresql://host:5432/d", "postgresql://host:5432/d"),
    ],
)
def test_masked_knows_a_password_before_it_is_whole(typed: str, seen: str) -> None:
    assert masked(typed) == seen


def test_redact_keeps_what_is_around_the_password() -> None:
    assert redact("postgresql://me:s3cret@h1,h2/db?port=1") == "postgresql://me:***@h1,h2/db?port=1"
    assert redact("host=h password=s3cret user=u") == "host=h password=*** user=u"
    assert redact("postgresql://h/d?password=a%20b&port=2") == "postgresql://h/d?password=***&port=2"
    assert redact("postgresql://h/d?pasword=a") == "postgresql://***"


@pytest.mark.parametrize(
    ("past", "words"),
    [
        (timedelta(seconds=10), "just now"),
        (timedelta(seconds=-10), "just now"),
        (timedelta(seconds=50), "1 min ago"),
        (timedelta(minutes=59, seconds=40), "1 h ago"),
        (timedelta(hours=-2), "in 2 h"),
        (timedelta(days=-4, seconds=3), "in 4 d"),
        (timedelta(days=3), "3 d ago"),
        (timedelta(days=91), "3 mo ago"),
        (timedelta(days=364), "1 y ago"),
        (timedelta(days=-36500), "in 100 y"),
    ],
)
def test_ago(past: timedelta, words: str) -> None:
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert ago(now - past, now) == words


def test_a_column_of_ages_has_room_for_the_longest() -> None:
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    minutes = [*range(0, 1_500), *range(1_500, 99 * 525_600, 7_200)]
    assert max(cells(ago(now - timedelta(minutes=each), now)) for each in minutes) == AGO_CELLS


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.44, "0.4 s"),
        (12.3, "12 s"),
        (59.7, "1 min"),
        (240, "4 min"),
        (7500, "2 h 5 min"),
        (7200, "2 h"),
        (273_600, "3 d 4 h"),
        (-3, "0 s"),
        (float("inf"), "unknown"),
        (float("nan"), "unknown"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("n", "words"),
    [(0, "0 B"), (999, "999 B"), (1234, "1.2 kB"), (999_700, "1.0 MB"), (34_000_000, "34 MB"), (5 * 10**15, "5000 TB")],
)
def test_bytes_size(n: int, words: str) -> None:
    assert bytes_size(n) == words


def test_small_words() -> None:
    assert grouped(4961) == "4,961"
    assert short_id("0123456789") == "01234567"
    assert short_id("\x1b[2J12345678") == f"{FFFD}[2J1234"


def test_paths_below_home_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    from vestige_tui.core.text import below_home

    monkeypatch.setenv("HOME", "/home/mara")
    assert below_home("sqlite:/home/mara/a.db") == "sqlite:~/a.db"
    assert below_home("/home/mara/a.db") == "~/a.db"
    assert below_home("/home/maranello/a.db") == "/home/maranello/a.db"
    assert below_home("postgresql://db1:5432/x") == "postgresql://db1:5432/x"


def test_what_was_typed_is_quoted_cut() -> None:
    assert quoted("a'b\n") == repr("a'b\n")
    assert len(quoted("x" * 100_000)) == MAX_QUOTED_CHARS + 3


def test_a_message_is_shortened_and_keeps_its_end() -> None:
    path = "/" + "x" * 300
    assert shortened(f"{path} cannot be read; name another file.") == f"{path} cannot be read; name another file."
    for typed in ("x" * 100_000, "a b " * 30_000):
        message = shortened(f"Unrecognized arguments: {typed}; see `vestige-tui --help`.")
        assert len(message) < MAX_MESSAGE_CHARS + 10
        assert message.startswith("Unrecognized arguments: ")
        assert message.endswith("; see `vestige-tui --help`.")


@pytest.mark.parametrize(
    ("rank", "shown"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (113, "113th"), (22, "22nd"), (1_001, "1,001st")],
)
def test_ordinal(rank: int, shown: str) -> None:
    assert ordinal(rank) == shown
