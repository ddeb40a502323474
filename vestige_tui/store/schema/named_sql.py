"""Named SQL: reads the ``.sql`` files of ``sql/<dialect>/`` and composes statements from their blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, TypeAlias

Dialect: TypeAlias = Literal["sqlite", "postgres"]
Slots: TypeAlias = Mapping[str, Iterable[str]]


@dataclass(frozen=True, slots=True)
class Script:
    """Statements of one query: the ``statement`` that gives its answer, and those before and after it."""

    before: tuple[str, ...]
    statement: str
    after: tuple[str, ...]


_BLOCK = re.compile(r"^-- (\w+) --\n", re.MULTILINE)
_INCLUDE = re.compile(r"/\*= (\w+) \*/")
_CREATE = re.compile(r"CREATE (?:VIRTUAL |UNLOGGED )?TABLE (?:IF NOT EXISTS )?(\w+)")
_SLOT = re.compile(r"/\*(\w+)\*/")


def sql_folder() -> Path:
    """Return the folder of all SQL: inside the package when installed, beside it in a checkout."""
    inside = Path(str(files("vestige_tui"))) / "sql"
    return inside if inside.is_dir() else inside.parent.parent / "sql"


@cache
def load(dialect: Dialect, folder: str = "") -> Mapping[str, str]:
    """Load all blocks of a dialect (or of a folder below it) by name, without comments, includes resolved."""
    blocks: dict[str, str] = {}
    for path in sorted((sql_folder() / dialect / folder).glob("*.sql")):
        parts = _BLOCK.split(path.read_text(encoding="utf-8"))
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            if name in blocks:
                raise ValueError(f"{path} has {name} twice")
            lines = body.strip().splitlines()
            while lines and lines[0].startswith("--"):
                lines.pop(0)
            blocks[name] = "\n".join(lines)

    def whole(body: str) -> str:
        return _INCLUDE.sub(lambda match: whole(blocks[match[1]]), body)

    return {name: whole(body) for name, body in blocks.items()}


@cache
def created_tables(dialect: Dialect) -> frozenset[str]:
    """Return the names of all tables that the SQL of a dialect creates."""
    paths = sorted((sql_folder() / dialect).rglob("*.sql"))
    return frozenset(name for path in paths for name in _CREATE.findall(path.read_text(encoding="utf-8")))


@cache
def _compose(dialect: Dialect, name: str, slots: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    blocks, fragments = load(dialect), dict(slots)

    def fill(match: re.Match[str]) -> str:
        return "\n".join(resolve(fragment) for fragment in fragments.get(match[1], ()))

    def resolve(block: str) -> str:
        return _SLOT.sub(fill, blocks[block])

    return resolve(name)


def compose(dialect: Dialect, name: str, slots: Slots | None = None) -> str:
    """Return the statement ``name`` with the named fragments in its slots; slots without fragments become empty."""

    return _compose(dialect, name, tuple(sorted((slot, tuple(fragments)) for slot, fragments in (slots or {}).items())))
