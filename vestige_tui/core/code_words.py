"""Words that look like code: paths, hashes, identifiers and error codes, which a search by words often misses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

CodeKind: TypeAlias = Literal["path", "address", "hash", "error code", "identifier"]

_OUTER = "\"'`()[]{}<>,;!?…"
_PATTERNS: tuple[tuple[CodeKind, re.Pattern[str]], ...] = (
    (
        "address",
        re.compile(
            r"[a-z][a-z0-9+.-]*://\S+"
            r"|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
            r"|\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?",
            re.IGNORECASE,
        ),
    ),
    (
        "path",
        re.compile(
            r"(?:[A-Za-z]:)?(?:~|\.{1,2})?[/\\]\S+"
            r"|(?!and/|either/)[^\s/\\]{3,}(?:[/\\][^\s/\\]+)+[/\\]?"
            r"|[\w-]{2,}(?:\.[\w-]+)*\.[a-z]\w{0,4}"
            r"|\.[a-z][\w.-]+"
        ),
    ),
    (
        "hash",
        re.compile(
            r"(?:sha\d+[:-])?(?=[^a-f]*[a-f])(?=\D*\d)[0-9a-f]{7,}"
            r"|[0-9a-f]{8}(?:-[0-9a-f]{1,12}){1,4}-?",
            re.IGNORECASE,
        ),
    ),
    (
        "error code",
        re.compile(
            r"0x[0-9A-Fa-f]+"
            r"|[A-Z]{1,8}[-_]?\d{2,6}(?:-\d+)?"
            r"|(?=\w*[A-Z])\d[0-9A-Z]{4}"
            r"|ERR[_-]\w+|\w+_ERR\w*|E[A-Z]{5,}|SIG[A-Z]{3,}"
        ),
    ),
    (
        "identifier",
        re.compile(
            r"[$@#%]\w[\w.-]*"
            r"|--?\w[\w-]*=?\S*"
            r"|\w*_\w+|\w+_\w*"
            r"|[a-z]+\d*[A-Z]\w*|[A-Z][a-z0-9]+(?:[A-Z][a-z0-9]*)+"
            r"|\w{2,}(?:\.\w+)+(?:\(\))?"
            r"|\w+(?:(?:::|->|\.|#)\w+)*(?:(?:::|->|#)\w+)(?:\(\))?"
            r"|\w+\(\)"
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class CodeWord:
    """Word of a query that looks like code, and its form."""

    kind: CodeKind
    characters: str

    @property
    def looks(self) -> str:
        """Name of its form: ``an identifier``."""
        return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"


def code_word(query: str) -> CodeWord | None:
    """Return the first word of a query that looks like code; None if none does."""
    for token in query.split():
        word = token.lstrip("+").strip(_OUTER) if not token.startswith("--") else token
        # The brackets of a call belong to it.
        if token.rstrip(".,;").endswith("()"):
            word = f"{word}()"
        word = word.rstrip(".:") if not word.endswith("::") else word
        for kind, pattern in _PATTERNS:
            if pattern.fullmatch(word):
                return CodeWord(kind, word)
    return None
