"""Words that look like code, and those of a language that do not."""

from __future__ import annotations

import pytest

from vestige_tui.core.code_words import code_word


@pytest.mark.parametrize(
    ("query", "kind", "characters"),
    [
        ("src/main.rs", "path", "src/main.rs"),
        ("/etc/passwd", "path", "/etc/passwd"),
        ("~/notes", "path", "~/notes"),
        (r"C:\Users\me", "path", r"C:\Users\me"),
        ("where is pyproject.toml?", "path", "pyproject.toml"),
        (".env", "path", ".env"),
        ("3f2a9c1", "hash", "3f2a9c1"),
        ("550e8400-e29b-41d4-a716-446655440000", "hash", "550e8400-e29b-41d4-a716-446655440000"),
        ("error E0308 in the build", "error code", "E0308"),
        ("ORA-00942:", "error code", "ORA-00942"),
        ("SQLSTATE 42P01", "error code", "42P01"),
        ("ECONNREFUSED", "error code", "ECONNREFUSED"),
        ("0x80070005", "error code", "0x80070005"),
        ("+lock_timeout", "identifier", "lock_timeout"),
        ('"lockTimeout"', "identifier", "lockTimeout"),
        ("std::vector", "identifier", "std::vector"),
        ("call run()", "identifier", "run()"),
        ("$HOME", "identifier", "$HOME"),
        ("--no-verify", "identifier", "--no-verify"),
        ("10.0.0.1", "address", "10.0.0.1"),
        ("https://example.org/a", "address", "https://example.org/a"),
    ],
)
def test_what_looks_like_code(query: str, kind: str, characters: str) -> None:
    word = code_word(query)
    assert word is not None
    assert (word.kind, word.characters) == (kind, characters)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "how do we rotate keys",
        "and/or",
        "24/7",
        "e.g. this",
        "The end.",
        "it's",
        "A* (A-star)",
        "facade",
        "2024",
        "ERROR",
        "日本語",
        "!?",
    ],
)
def test_what_does_not(query: str) -> None:
    assert code_word(query) is None
