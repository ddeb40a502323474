"""What a review shows of a memory before its answer: its text with the most telling words blanked, or a line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from vestige_tui.core.memories import Memory
from vestige_tui.core.text import one_line, plain
from vestige_tui.store.search.query_syntax import STOP_WORDS

LONGEST_CLOZE = 1_200
LONGEST_LINE = 400
APART = 4
"""How many tokens lie at least between two blanks, so that what is left still asks something."""

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


Mark: TypeAlias = Literal["code", "stress"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question made of a memory; ``text`` is plain already.

    A cloze has ``blanks``, spans of ``text``, which then is the whole memory; otherwise ``text`` is how it begins.
    ``marks`` are the spans that Markdown marked, as code or for stress; the marks themselves are not in the text.
    """

    text: str
    blanks: tuple[tuple[int, int], ...] = ()
    marks: tuple[tuple[int, int, Mark], ...] = ()


def prompt_of(memory: Memory) -> Prompt:
    """The question for a memory, always the same for the same memory.

    One paragraph becomes a cloze. What has headings, lists or several paragraphs is asked by its first line, and a
    paragraph without a telling word by its beginning.
    """
    content = memory.content.strip()
    if not content:
        return Prompt("(this memory has no text)")
    paragraph = len(content) <= LONGEST_CLOZE and not re.search(r"\n\s*\n", content) and not _BLOCK.search(content)
    if not paragraph:
        return Prompt(one_line(content, LONGEST_LINE))
    text, marks = _unmarked(plain(re.sub(r"\s*\n\s*", " ", content)))
    names = (*memory.tags, *memory.domains, memory.node_type)
    said = {word.casefold() for name in names for word in _WORD.findall(name)}
    blanks = _blanks(text, marks, said)
    if blanks:
        return Prompt(text, blanks, marks)
    words = text.split(" ")
    beginning = " ".join(words[: len(words) // 2]) if len(words) > 1 else text[: len(text) // 3]
    return Prompt(f"{beginning}…")


def _unmarked(text: str) -> tuple[str, tuple[tuple[int, int, Mark], ...]]:
    """A paragraph without the marks of code and stress, and where they were."""
    pieces: list[str] = []
    marks: list[tuple[int, int, Mark]] = []
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


def _blanks(text: str, marks: Iterable[tuple[int, int, Mark]], said: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """The spans to blank, in the order of the text."""
    tokens = list(_tokens(text, [(start, end) for start, end, mark in marks if mark == "code"], frozenset(said)))
    if len(tokens) < 3:
        return ()
    wanted = 1 if len(tokens) < 12 else 2 if len(tokens) < 30 else 3
    chosen: list[_Token] = []
    for token in sorted(tokens, key=lambda each: (-each.weight, each.start)):
        if token.weight <= 0 or len(chosen) == wanted:
            break
        if all(abs(token.place - other.place) > APART for other in chosen):
            chosen.append(token)
    hidden = {text[token.start : token.end].casefold() for token in chosen}
    # The same word elsewhere in the text would give the answer away.
    return tuple((token.start, token.end) for token in tokens if text[token.start : token.end].casefold() in hidden)


def _tokens(text: str, codes: Sequence[tuple[int, int]], said: frozenset[str]) -> Iterator[_Token]:
    inside = [
        (*match.span(), match.lastgroup or "word")
        for match in _TOKEN.finditer(text)
        if not any(start < match.end() and match.start() < end for start, end in codes)
    ]
    found = sorted([*inside, *((start, end, "code") for start, end in codes)])
    for place, (start, end, kind) in enumerate(found):
        before = text[:start].rstrip()
        weight = _weight(text[start:end], kind, not before or before[-1] in ".!?:;", said)
        if weight > 0:
            # What is said of a thing stands behind it: between equals the later word is the better question.
            weight += 1.5 * place / len(found)
        yield _Token(place, start, end, weight)


def _weight(word: str, kind: str, opens: bool, said: frozenset[str]) -> float:
    """How telling a word is; 0 for one that is never blanked."""
    parts = _WORD.findall(word.casefold())
    if not parts or len(word) > 40 or set(parts) <= said:
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
