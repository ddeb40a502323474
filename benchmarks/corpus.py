"""What the measurements are made on: real sentences out of the docstrings of Python's standard library."""

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

SHORTEST, LONGEST = 250, 700
DIMENSION = 384
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)

OWNERS = (LOCAL_USER, "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b")

# How frequent each value is; tags come independently of each other.
_TYPES = {"fact": 0.5, "decision": 0.2, "procedure": 0.15, "event": 0.1, "insight": 0.05}
_TAGS = {"team": 0.5, "backend": 0.2, "release": 0.05, "incident": 0.02, "retro": 0.01, "audit": 0.002}
_DOMAINS = {"engineering": 0.5, "operations": 0.2, "design": 0.18, "people": 0.1, "law": 0.02}
_CODEBASES = {"platform": 0.5, "gateway": 0.2, "mobile": 0.19, "billing": 0.1, "firmware": 0.01}
_OWNERS = {OWNERS[0]: 0.948, OWNERS[1]: 0.002, OWNERS[2]: 0.05}
_CLUSTERS = 100
_NAMESPACE = uuid.UUID("8a4b4b68-3e0b-5d5f-8c5e-b9a3c1f5d0aa")


@cache
def sentences() -> tuple[str, ...]:
    """Every sentence once, in the order of files and lines."""
    found: dict[str, None] = {}
    for text in _docstrings():
        for sentence in re.split(r"(?<=[.!?])\s+|\n\s*\n", text):
            plain = " ".join(sentence.split())
            if 30 <= len(plain) <= 300 and ">>>" not in plain and plain[0].isupper():
                found[plain] = None
    return tuple(found)


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
    """Texts of 250 to 700 characters: first as the sentences follow each other, then shuffled, always the same."""
    order, shuffler, found = list(sentences()), random.Random(7), list[str]()
    while len(found) < count:
        text, wanted = "", shuffler.randint(SHORTEST, LONGEST - 100)
        for sentence in order:
            joined = f"{text} {sentence}".strip()
            if len(joined) > LONGEST:
                continue
            text = joined
            if len(text) >= wanted:
                found.append(text)
                text, wanted = "", shuffler.randint(SHORTEST, LONGEST - 100)
        shuffler.shuffle(order)
    return found[:count]


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
    """A filter with its name."""

    name: str
    filter: Filter

    def passes(self, draft: Draft) -> bool:
        """Does the filter leave this memory?"""
        wanted = self.filter
        return (
            (not wanted.node_types or draft.node_type in wanted.node_types)
            and (not wanted.tags or not set(wanted.tags).isdisjoint(draft.tags))
            and (not wanted.domains or not set(wanted.domains).isdisjoint(draft.domains))
            and wanted.codebase in (None, draft.codebase)
            and wanted.owner in (None, draft.owner_user_id)
            and (wanted.since is None or (draft.created_at is not None and draft.created_at >= wanted.since))
        )


NARROWINGS = (
    Narrowing("no memory", Filter(tags=("nowhere",))),
    Narrowing("tag", Filter(tags=("audit",))),
    Narrowing("owner", Filter(owner=OWNERS[1])),
    Narrowing("type and tag", Filter(node_types=("fact",), tags=("retro",))),
    Narrowing("tag", Filter(tags=("retro",))),
    Narrowing("codebase", Filter(codebase="firmware")),
    Narrowing("tag", Filter(tags=("incident",))),
    Narrowing("domain", Filter(domains=("law",))),
    Narrowing("type", Filter(node_types=("insight",))),
    Narrowing("last five weeks", Filter(since=NOW - timedelta(days=36.5))),
    Narrowing("type and domain", Filter(node_types=("fact", "event"), domains=("operations",))),
    Narrowing("type", Filter(node_types=("decision",))),
    Narrowing("type", Filter(node_types=("fact",))),
    Narrowing("codebase", Filter(codebase="platform")),
    Narrowing("two years", Filter(since=NOW - timedelta(days=1_000))),
)
"""From what leaves nothing to what leaves everything."""


@cache
def corpus(size: int) -> Corpus:
    """So many memories with their vectors, always the same."""
    return Corpus(tuple(drafts(size)), vectors(size))


def drafts(count: int) -> list[Draft]:
    """Memories over two years, half of them scheduled, with types, tags, domains and codebases of uneven frequency."""
    chooser = random.Random(11)
    made: list[Draft] = []
    for number, text in enumerate(texts(count)):
        created = NOW - timedelta(days=730 * (1 - number / count), seconds=chooser.random())
        due = NOW + timedelta(days=chooser.gauss(10, 10))
        scheduling = Scheduling(chooser.uniform(1, 60), chooser.uniform(2, 9), 1.0, created, due, 1)
        tags = {f"tag-{int(chooser.random() ** 2 * 40)}" for _ in range(2)}
        tags |= {tag for tag, share in _TAGS.items() if chooser.random() < share}
        made.append(
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
    return made


def _one(chooser: random.Random, shares: Mapping[str, float]) -> str:
    [found] = chooser.choices(list(shares), list(shares.values()))
    return found


def vectors(count: int, *, series: int = 3) -> NDArray[np.float32]:
    """Unit vectors in a hundred loose clusters, which are the same in every series: float32 (count, dimension)."""
    source = np.random.default_rng(series)
    centres = np.random.default_rng(1).standard_normal((_CLUSTERS, DIMENSION), dtype=np.float32)
    found = source.standard_normal((count, DIMENSION), dtype=np.float32)
    # A part at a time: a million rows would not fit several times.
    for start in range(0, count, 50_000):
        part = found[start : start + 50_000]
        part += 0.6 * centres[source.integers(0, _CLUSTERS, len(part))]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return found


def questions(count: int) -> list[str]:
    """Five words each out of one sentence: what a person remembers of what he looks for."""
    chooser = random.Random(5)
    found: list[str] = []
    while len(found) < count:
        words = _words(chooser.choice(sentences()))
        if len(words) >= 5:
            found.append(" ".join(chooser.sample(words, 5)))
    return found


def rare_words(count: int) -> list[str]:
    """Words that two sentences hold."""
    tally = _tally()
    return [word for word, seen in sorted(tally.items()) if seen == 2 and len(word) > 5][:count]


def common_words(count: int) -> list[str]:
    """The most frequent words that a search does not leave out."""
    return [word for word, _ in _tally().most_common(count)]


@cache
def _tally() -> Counter[str]:
    return Counter(word.casefold() for sentence in sentences() for word in set(_words(sentence)))


def _words(sentence: str) -> list[str]:
    found = re.findall(r"[A-Za-z]{3,}", sentence)
    return sorted({word for word in found if word.casefold() not in STOP_WORDS})


@dataclass(frozen=True, slots=True)
class KnownItem:
    """A question, and the one text that answers it."""

    question: str
    text: str


_FIRST_SENTENCE = re.compile(r"(.{25,200}?[.!?])\s+(?=[A-Z`])(.*)")
# What would ask for a phrase, or for what must or must not occur.
_MARKS = re.compile(r"[\"`]|(?<!\w)[+-](?=\w)")


@cache
def known_items() -> tuple[KnownItem, ...]:
    """A docstring's first sentence as the question, and its other sentences, cut at a word, as the answer."""
    found: dict[str, KnownItem] = {}
    taken: set[str] = set()
    for text in _docstrings():
        match = _FIRST_SENTENCE.match(" ".join(text.split()))
        if match is None or len(match[2]) < SHORTEST:
            continue
        question, body = _MARKS.sub("", match[1]), _cut(match[2])
        if question in found or body in taken or question in body or body in question:
            continue
        taken.add(body)
        found[question] = KnownItem(question, body)
    return tuple(found.values())


def _cut(text: str) -> str:
    """The text without the word at which it would get too long."""
    return text if len(text) <= LONGEST else text[: LONGEST + 1].rpartition(" ")[0]
