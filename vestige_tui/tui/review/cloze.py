"""Questions of reviews: the text of a memory with its most significant words blanked (cloze), or its first line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from vestige_tui.core.memories import Memory
from vestige_tui.core.text import one_line, plain
from vestige_tui.core.widths import cells
from vestige_tui.store.search.query_syntax import STOP_WORDS

BLANK = "▁"
MAX_CLOZE_CHARS = 1_200
MAX_LINE_CHARS = 400
MIN_BLANK_DISTANCE = 4
"""Minimum distance of two blanks in tokens, so that the rest still makes a question."""

_BLOCK = re.compile(r"^\s*(?:#{1,6}\s|[-*+]\s|[0-9]{1,4}[.)]\s|>|```|~~~|\||(?:[-=_*]\s*){3,}$)", re.MULTILINE)
_TOKEN = re.compile(
    r"(?P<number>\d[\d.,:]*\d|\d)"
    r"|(?P<run>[\u4e00-\u9fff]{2,6}|[\u30a0-\u30ff]{2,12}|[\uac00-\ud7a3]{2,12})"
    r"|(?P<word>[^\W\d_\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3][\w'’-]*(?:[./:]\w+)*)"  # noqa: RUF001 - the apostrophe that people's editors write
)
_MARKED = re.compile(
    r"`(?P<code>[^`\n]+)`"
    r"|\*\*(?P<strong>[^*\n]+)\*\*"
    r"|(?<![\w*])\*(?P<stress>[^*\s](?:[^*\n]*[^*\s])?)\*(?![\w*])"
)
_WORD = re.compile(r"\w+")


MarkKind: TypeAlias = Literal["code", "stress"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """Question made from a memory; ``text`` is plain.

    A cloze has ``blanks``, spans of ``text``, which then is the whole memory; otherwise ``text`` is its beginning.
    ``marks`` are the spans of Markdown code and stress; the marks themselves are not in the text.
    """

    text: str
    blanks: tuple[tuple[int, int], ...] = ()
    marks: tuple[tuple[int, int, MarkKind], ...] = ()


def prompt_of(memory: Memory) -> Prompt:
    """Return the question for a memory, always the same for the same memory.

    One paragraph becomes a cloze. A text with headings, lists or several paragraphs is asked by its first line, and a
    paragraph without a significant word by its beginning.
    """
    content = memory.content.strip()
    if not content:
        return Prompt("(this memory has no text)")
    paragraph = len(content) <= MAX_CLOZE_CHARS and not re.search(r"\n\s*\n", content) and not _BLOCK.search(content)
    if not paragraph:
        return Prompt(one_line(content, MAX_LINE_CHARS))
    text, marks = _unmarked(plain(re.sub(r"\s*\n\s*", " ", content)))
    names = (*memory.tags, *memory.domains, memory.node_type)
    visible_words = {word.casefold() for name in names for word in _WORD.findall(name)}
    blanks = _blanks(text, marks, visible_words)
    if blanks:
        return Prompt(text, blanks, marks)
    words = text.split(" ")
    beginning = " ".join(words[: len(words) // 2]) if len(words) > 1 else text[: len(text) // 3]
    return Prompt(f"{beginning}…")


def blanked(text: str, blanks: Iterable[tuple[int, int]]) -> list[str]:
    """Return the characters of a text; one in a blank becomes as many marks as it has cells."""
    characters = list(text)
    for start, end in blanks:
        characters[start:end] = [each if each == " " else BLANK * cells(each) for each in characters[start:end]]
    return characters


def question_of(memory: Memory) -> str:
    """Return the question for a memory as one text, with its blanks."""
    prompt = prompt_of(memory)
    return "".join(blanked(prompt.text, prompt.blanks))


def _unmarked(text: str) -> tuple[str, tuple[tuple[int, int, MarkKind], ...]]:
    """Return a paragraph without its marks of code and stress, and the marked spans."""
    pieces: list[str] = []
    marks: list[tuple[int, int, MarkKind]] = []
    at = length = 0
    for match in _MARKED.finditer(text):
        inner = match["code"] or match["strong"] or match["stress"]
        pieces += [text[at : match.start()], inner]
        start = length + match.start() - at
        length = start + len(inner)
        marks.append((start, length, "code" if match["code"] else "stress"))
        at = match.end()
    return "".join([*pieces, text[at:]]), tuple(marks)


@dataclass(frozen=True, slots=True)
class _Token:
    place: int
    start: int
    end: int
    weight: float


def _blanks(
    text: str, marks: Iterable[tuple[int, int, MarkKind]], visible_words: Iterable[str]
) -> tuple[tuple[int, int], ...]:
    """Return the spans to blank, in the order of the text."""
    tokens = list(
        _tokens(text, [(start, end) for start, end, mark in marks if mark == "code"], frozenset(visible_words))
    )
    if len(tokens) < 3:
        return ()
    blank_count = 1 if len(tokens) < 12 else 2 if len(tokens) < 30 else 3
    chosen: list[_Token] = []
    for token in sorted(tokens, key=lambda each: (-each.weight, each.start)):
        if token.weight <= 0 or len(chosen) == blank_count:
            break
        if all(abs(token.place - other.place) > MIN_BLANK_DISTANCE for other in chosen):
            chosen.append(token)
    hidden = {text[token.start : token.end].casefold() for token in chosen}
    # The same word elsewhere in the text would give the answer away.
    return tuple((token.start, token.end) for token in tokens if text[token.start : token.end].casefold() in hidden)


def _tokens(text: str, codes: Sequence[tuple[int, int]], visible_words: frozenset[str]) -> Iterator[_Token]:
    inside = [
        (*match.span(), match.lastgroup or "word")
        for match in _TOKEN.finditer(text)
        if not any(start < match.end() and match.start() < end for start, end in codes)
    ]
    spans = sorted([*inside, *((start, end, "code") for start, end in codes)])
    for place, (start, end, kind) in enumerate(spans):
        before = text[:start].rstrip()
        weight = _weight(text[start:end], kind, not before or before[-1] in ".!?:;", visible_words)
        if weight > 0:
            # A predicate follows its subject, so between equals the later word is the better question.
            weight += 1.5 * place / len(spans)
        yield _Token(place, start, end, weight)


def _weight(word: str, kind: str, opens: bool, visible_words: frozenset[str]) -> float:
    """Return the significance of a word; 0 for one that is never blanked."""
    parts = _WORD.findall(word.casefold())
    if not parts or len(word) > 40 or set(parts) <= visible_words:
        return 0.0
    if kind == "code":
        return 7.0
    if kind == "number":
        return 6.0
    if kind == "run":
        return 3.0 + min(len(word), 4) / 2
    bare = word.casefold().replace("'", "").replace("’", "")  # noqa: RUF001 - the apostrophe that people's editors write
    if bare in STOP_WORDS or len(word) < 3:
        return 0.0
    if any(mark in word for mark in "._/:") or (word[1:] != word[1:].lower() and not opens):
        return 6.5
    if word[0].isupper() and not opens:
        return 5.0
    return 0.0 if opens else min(len(word), 12) * 0.4
