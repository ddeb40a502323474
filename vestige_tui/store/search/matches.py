"""Matches: where a text holds the words of a query, by the rules of the text index (folding, stems, letter pairs)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from vestige_tui.core.search import Match, MatchTerms
from vestige_tui.store.search.folding import fold_character, fold_words
from vestige_tui.store.search.literal import literal_pattern
from vestige_tui.store.search.query_syntax import ParsedQuery, fold_ascii, is_unspaced, pieces, spaced_words
from vestige_tui.store.search.stemming import stem

MAX_MATCHED_CHARS = 400_000
"""Characters at the beginning of a text in which matches are looked for; about as many are indexed."""
MAX_MATCHES = 2_000
"""Matches of a text at most."""

_CHUNK = re.compile(r"[^\x00-\x20]+")
_ASCII_WORD = re.compile(r"[A-Za-z0-9]+")


class _TextWord(NamedTuple):
    """Word of a text as the text index has it, before stemming, and its place in the text."""

    word: str
    start: int
    end: int


def terms_of(parsed: ParsedQuery, *, ranked: bool, revised_stems: bool) -> MatchTerms:
    """Return the terms of a parsed query; with ``ranked`` its plain words too, which the vector branch does not use."""
    words = parsed.ranked if ranked else parsed.must
    by_letters = [fold_ascii(word) for word in parsed.must if is_unspaced(word)]
    if any(map(is_unspaced, words)):
        by_letters += pieces(words)
        words = spaced_words(words)
    phrases = (tuple(stem(token.word, revised=revised_stems) for token in _tokens(word)) for word in words)
    return MatchTerms(tuple(filter(None, dict.fromkeys(phrases))), tuple(dict.fromkeys(by_letters)), "", revised_stems)


def matches(terms: MatchTerms, text: str) -> list[Match]:
    """Return the places of a text that match, in their order; a place is in one match of each term at most."""
    text = text[:MAX_MATCHED_CHARS]
    found = _all_matches(terms, text)
    return sorted(islice(found, MAX_MATCHES), key=lambda match: (match.start, -match.end))


def spans(found: Iterable[Match]) -> list[tuple[int, int]]:
    """Return the places of matches as ranges that neither touch nor overlap."""
    merged: list[tuple[int, int]] = []
    for match in found:
        if merged and match.start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], match.end))
        else:
            merged.append((match.start, match.end))
    return merged


def _all_matches(terms: MatchTerms, text: str) -> Iterator[Match]:
    if terms.characters:
        yield from _literal_matches(terms.characters, text)
    if terms.phrases:
        yield from _phrase_matches(terms, text)
    if terms.pieces:
        folded = fold_ascii(text)
        for number, piece in enumerate(terms.pieces, start=len(terms.phrases)):
            yield from (Match(at, at + len(piece), number) for at in _occurrences(piece, folded))


def _literal_matches(characters: str, text: str) -> Iterator[Match]:
    pattern = literal_pattern(characters)
    if pattern is not None:
        yield from (Match(each.start(), each.end(), 0) for each in re.finditer(pattern, text))
        return
    sought = fold_ascii(characters)
    yield from (Match(at, at + len(sought), 0) for at in _occurrences(sought, fold_ascii(text)))


def _occurrences(sought: str, text: str) -> Iterator[int]:
    at = text.find(sought)
    while at >= 0:
        yield at
        at = text.find(sought, at + 1)


def _phrase_matches(terms: MatchTerms, text: str) -> Iterator[Match]:
    tokens = list(_tokens(text))
    # A stem begins as its word does, so that few words have to be stemmed.
    initials = {phrase[0][0] for phrase in terms.phrases}
    by_first: dict[str, list[tuple[int, tuple[str, ...]]]] = {}
    for number, phrase in enumerate(terms.phrases):
        by_first.setdefault(phrase[0], []).append((number, phrase))
    for index, token in enumerate(tokens):
        if token.word[0] not in initials:
            continue
        for number, phrase in by_first.get(stem(token.word, revised=terms.revised_stems), ()):
            if len(phrase) == 1:
                yield Match(token.start, token.end, number)
                continue
            following = tokens[index : index + len(phrase)]
            if len(following) == len(phrase) and all(
                stem(each.word, revised=terms.revised_stems) == part
                for each, part in zip(following[1:], phrase[1:], strict=True)
            ):
                yield Match(token.start, following[-1].end, number)


def _tokens(text: str) -> Iterator[_TextWord]:
    if text.isascii():
        for word in _ASCII_WORD.finditer(text):
            yield _TextWord(word[0].lower(), *word.span())
        return
    for chunk in _CHUNK.finditer(text):
        if chunk[0].isascii():
            for word in _ASCII_WORD.finditer(chunk[0]):
                yield _TextWord(word[0].lower(), chunk.start() + word.start(), chunk.start() + word.end())
        else:
            yield from _folded_tokens(chunk[0], chunk.start())


def _folded_tokens(chunk: str, offset: int) -> Iterator[_TextWord]:
    """Yield the words of a chunk whose characters fold to any number of letters each."""
    word, start, end = "", 0, 0
    for at, character in enumerate(chunk):
        # Only fold_words keeps what it has worked out, and only of others it makes spaces.
        folded = fold_character(character) if character.isascii() else fold_words(character)
        if not folded:
            # An accent, or a joiner: a part of the word before it.
            end = at + 1 if word else end
            continue
        first, *rest = folded.split(" ")
        if first:
            word, start, end = word + first, start if word else at, at + 1
        for part in rest:
            if word:
                yield _TextWord(word, offset + start, offset + end)
            word, start, end = part, at, at + 1
    if word:
        yield _TextWord(word, offset + start, offset + end)
