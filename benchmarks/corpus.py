"""What the measurements are made on: real sentences out of the docstrings of Python's standard library."""

from __future__ import annotations

import ast
import random
import re
import sysconfig
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from vestige_tui.model import Draft, Scheduling
from vestige_tui.store.grammar import STOP_WORDS

if TYPE_CHECKING:
    from vestige_tui.model import Vector

SHORTEST, LONGEST = 250, 700
DIMENSION = 384
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)

_TYPES = ("fact", "decision", "procedure", "event", "insight")
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


def drafts(count: int) -> list[Draft]:
    """Memories over two years, half of them scheduled, with types, tags, domains and codebases of uneven frequency."""
    chooser = random.Random(11)
    made: list[Draft] = []
    for number, text in enumerate(texts(count)):
        created = NOW - timedelta(days=730 * (1 - number / count), seconds=chooser.random())
        due = NOW + timedelta(days=chooser.gauss(10, 10))
        scheduling = Scheduling(chooser.uniform(1, 60), chooser.uniform(2, 9), 1.0, created, due, 1)
        made.append(
            Draft(
                content=text,
                id=str(uuid.uuid5(_NAMESPACE, str(number))),
                node_type=_TYPES[chooser.randrange(len(_TYPES))],
                tags=tuple(sorted({f"tag-{int(chooser.random() ** 2 * 40)}" for _ in range(2)})),
                domains=(f"domain-{chooser.randrange(8)}",),
                codebase=f"repo-{chooser.randrange(10)}",
                created_at=created,
                scheduling=scheduling if number % 2 else None,
            )
        )
    return made


def vectors(count: int, *, series: int = 3) -> list[Vector]:
    """Unit vectors in a hundred loose clusters, which are the same in every series."""
    import numpy as np

    source = np.random.default_rng(series)
    centres = np.random.default_rng(1).standard_normal((_CLUSTERS, DIMENSION))
    noise = source.standard_normal((count, DIMENSION))
    found = (0.6 * centres[source.integers(0, _CLUSTERS, count)] + noise).astype(np.float32)
    return list(found / np.linalg.norm(found, axis=1, keepdims=True))


def questions(count: int) -> list[str]:
    """Five words each out of one sentence: what a person remembers of what he looks for."""
    chooser = random.Random(5)
    found: list[str] = []
    while len(found) < count:
        words = _words(chooser.choice(sentences()))
        if len(words) >= 5:
            found.append(" ".join(chooser.sample(words, 5)))
    return found


def common_words(count: int) -> list[str]:
    """The most frequent words that a search does not leave out."""
    tally = Counter(word.casefold() for sentence in sentences() for word in set(_words(sentence)))
    return [word for word, _ in tally.most_common(count)]


def _words(sentence: str) -> list[str]:
    found = re.findall(r"[A-Za-z]{3,}", sentence)
    return sorted({word for word in found if word.casefold() not in STOP_WORDS})
