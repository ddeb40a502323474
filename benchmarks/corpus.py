"""Corpus of the measurements: real sentences from the docstrings of Python's standard library."""

from __future__ import annotations

import ast
import random
import re
import sysconfig
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vestige_tui.core.memories import LOCAL_USER, Draft, Filter
from vestige_tui.core.reviews import Scheduling
from vestige_tui.store.search.query_syntax import STOP_WORDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_TEXT_CHARS, MAX_TEXT_CHARS = 250, 700
DIMENSION = 384
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)

OWNERS = (LOCAL_USER, "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b")

# Frequency of each value; tags are independent of each other.
_TYPES = {"fact": 0.5, "decision": 0.2, "procedure": 0.15, "event": 0.1, "insight": 0.05}
_TAGS = {"team": 0.5, "backend": 0.2, "release": 0.05, "incident": 0.02, "retro": 0.01, "audit": 0.002}
_DOMAINS = {"engineering": 0.5, "operations": 0.2, "design": 0.18, "people": 0.1, "law": 0.02}
_CODEBASES = {"platform": 0.5, "gateway": 0.2, "mobile": 0.19, "billing": 0.1, "firmware": 0.01}
_OWNERS = {OWNERS[0]: 0.948, OWNERS[1]: 0.002, OWNERS[2]: 0.05}
_CLUSTER_COUNT = 100
_NAMESPACE = uuid.UUID("8a4b4b68-3e0b-5d5f-8c5e-b9a3c1f5d0aa")


@cache
def sentences() -> tuple[str, ...]:
    """Return every sentence once, in the order of files and lines."""
    unique: dict[str, None] = {}
    for text in _docstrings():
        for sentence in re.split(r"(?<=[.!?])\s+|\n\s*\n", text):
            plain = " ".join(sentence.split())
            if 30 <= len(plain) <= 300 and ">>>" not in plain and plain[0].isupper():
                unique[plain] = None
    return tuple(unique)


def _docstrings() -> Iterator[str]:
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py")):
        if {"site-packages", "test", "tests", "idlelib", "lib2to3"} & set(path.relative_to(library).parts):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
                text := ast.get_docstring(node)
            ):
                yield text


def texts(count: int) -> list[str]:
    """Return texts of 250 to 700 characters: first in the order of sentences, then shuffled, always the same."""
    order, shuffler, results = list(sentences()), random.Random(7), list[str]()
    while len(results) < count:
        text, length = "", shuffler.randint(MIN_TEXT_CHARS, MAX_TEXT_CHARS - 100)
        for sentence in order:
            joined = f"{text} {sentence}".strip()
            if len(joined) > MAX_TEXT_CHARS:
                continue
            text = joined
            if len(text) >= length:
                results.append(text)
                text, length = "", shuffler.randint(MIN_TEXT_CHARS, MAX_TEXT_CHARS - 100)
        shuffler.shuffle(order)
    return results[:count]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Memories and their vectors: ``matrix`` has a row for each draft, in their order, float32 (size, dimension)."""

    drafts: tuple[Draft, ...]
    matrix: NDArray[np.float32]

    @property
    def size(self) -> int:
        return len(self.drafts)

    @property
    def ids(self) -> list[str]:
        return [str(draft.id) for draft in self.drafts]


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Filter with a name."""

    name: str
    filter: Filter

    def passes(self, draft: Draft) -> bool:
        """Check whether a memory passes the filter."""
        filter = self.filter
        return (
            (not filter.node_types or draft.node_type in filter.node_types)
            and (not filter.tags or not set(filter.tags).isdisjoint(draft.tags))
            and (not filter.domains or not set(filter.domains).isdisjoint(draft.domains))
            and (not filter.codebases or draft.codebase in filter.codebases)
            and filter.owner in (None, draft.owner_user_id)
            and (filter.since is None or (draft.created_at is not None and draft.created_at >= filter.since))
        )


NARROWINGS = (
    Narrowing("no memory", Filter(tags=("nowhere",))),
    Narrowing("tag", Filter(tags=("audit",))),
    Narrowing("owner", Filter(owner=OWNERS[1])),
    Narrowing("type and tag", Filter(node_types=("fact",), tags=("retro",))),
    Narrowing("tag", Filter(tags=("retro",))),
    Narrowing("codebase", Filter(codebases=("firmware",))),
    Narrowing("tag", Filter(tags=("incident",))),
    Narrowing("domain", Filter(domains=("law",))),
    Narrowing("type", Filter(node_types=("insight",))),
    Narrowing("last five weeks", Filter(since=NOW - timedelta(days=36.5))),
    Narrowing("type and domain", Filter(node_types=("fact", "event"), domains=("operations",))),
    Narrowing("type", Filter(node_types=("decision",))),
    Narrowing("type", Filter(node_types=("fact",))),
    Narrowing("codebase", Filter(codebases=("platform",))),
    Narrowing("two years", Filter(since=NOW - timedelta(days=1_000))),
)
"""Filters from 0 % to 100 % of the memories."""


@cache
def corpus(size: int) -> Corpus:
    """Return that many memories with their vectors, always the same."""
    return Corpus(tuple(drafts(size)), vectors(size))


def drafts(count: int) -> list[Draft]:
    """Return memories over two years, half scheduled, types, tags, domains and codebases of uneven frequency."""
    chooser = random.Random(11)
    results: list[Draft] = []
    for number, text in enumerate(texts(count)):
        created = NOW - timedelta(days=730 * (1 - number / count), seconds=chooser.random())
        due = NOW + timedelta(days=chooser.gauss(10, 10))
        scheduling = Scheduling(chooser.uniform(1, 60), chooser.uniform(2, 9), 1.0, created, due, 1)
        tags = {f"tag-{int(chooser.random() ** 2 * 40)}" for _ in range(2)}
        tags |= {tag for tag, share in _TAGS.items() if chooser.random() < share}
        results.append(
            Draft(
                content=text,
                id=str(uuid.uuid5(_NAMESPACE, str(number))),
                node_type=_one(chooser, _TYPES),
                tags=tuple(sorted(tags)),
                domains=(_one(chooser, _DOMAINS),),
                codebase=_one(chooser, _CODEBASES),
                owner_user_id=_one(chooser, _OWNERS),
                created_at=created,
                scheduling=scheduling if number % 2 else None,
            )
        )
    return results


def _one(chooser: random.Random, shares: Mapping[str, float]) -> str:
    [value] = chooser.choices(list(shares), list(shares.values()))
    return value


def vectors(count: int, *, series: int = 3) -> NDArray[np.float32]:
    """Return unit vectors in a hundred loose clusters, the same in every series: float32 (count, dimension)."""
    source = np.random.default_rng(series)
    centres = np.random.default_rng(1).standard_normal((_CLUSTER_COUNT, DIMENSION), dtype=np.float32)
    matrix = source.standard_normal((count, DIMENSION), dtype=np.float32)
    # In parts: memory does not hold several copies of a million rows.
    for start in range(0, count, 50_000):
        part = matrix[start : start + 50_000]
        part += 0.6 * centres[source.integers(0, _CLUSTER_COUNT, len(part))]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return matrix


def questions(count: int) -> list[str]:
    """Return questions of five words, each from one sentence, as from an imperfect memory of it."""
    chooser = random.Random(5)
    results: list[str] = []
    while len(results) < count:
        words = _words(chooser.choice(sentences()))
        if len(words) >= 5:
            results.append(" ".join(chooser.sample(words, 5)))
    return results


def rare_words(count: int) -> list[str]:
    """Return words that occur in two sentences."""
    tally = _tally()
    return [word for word, frequency in sorted(tally.items()) if frequency == 2 and len(word) > 5][:count]


def common_words(count: int) -> list[str]:
    """Return the most frequent words that a search does not drop."""
    return [word for word, _ in _tally().most_common(count)]


@cache
def _tally() -> Counter[str]:
    return Counter(word.casefold() for sentence in sentences() for word in set(_words(sentence)))


def _words(sentence: str) -> list[str]:
    words = re.findall(r"[A-Za-z]{3,}", sentence)
    return sorted({word for word in words if word.casefold() not in STOP_WORDS})


@dataclass(frozen=True, slots=True)
class KnownItem:
    """Question with the one text that answers it."""

    question: str
    text: str


_FIRST_SENTENCE = re.compile(r"(.{25,200}?[.!?])\s+(?=[A-Z`])(.*)")
# Syntax for phrases and for required or excluded words.
_QUERY_SYNTAX = re.compile(r"[\"`]|(?<!\w)[+-](?=\w)")


@cache
def known_items() -> tuple[KnownItem, ...]:
    """Return docstrings' first sentences as questions, and their other sentences, cut at a word, as answers."""
    items: dict[str, KnownItem] = {}
    bodies: set[str] = set()
    for text in _docstrings():
        match = _FIRST_SENTENCE.match(" ".join(text.split()))
        if match is None or len(match[2]) < MIN_TEXT_CHARS:
            continue
        question, body = _QUERY_SYNTAX.sub("", match[1]), _cut(match[2])
        if question in items or body in bodies or question in body or body in question:
            continue
        bodies.add(body)
        items[question] = KnownItem(question, body)
    return tuple(items.values())


def _cut(text: str) -> str:
    """Shorten a text to the maximum, at a word boundary."""
    return text if len(text) <= MAX_TEXT_CHARS else text[: MAX_TEXT_CHARS + 1].rpartition(" ")[0]
