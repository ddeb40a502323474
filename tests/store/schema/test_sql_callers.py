"""Every block of named SQL has a caller that a search for its name finds, and every name that is asked is a block."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from vestige_tui.store.schema.named_sql import Dialect, load, sql_folder

PACKAGE = Path(__file__).parents[3] / "vestige_tui"
DIALECTS: tuple[Dialect, ...] = ("sqlite", "postgres")
ASKING = {"fetch", "execute", "execute_many", "maintain", "compose", "sql", "stream", "run_query", "_ask", "_run_typed"}
"""Functions and methods that take the name of a block."""
NAME = re.compile(r"[a-z]+(_[a-z]+)*")
INCLUDE = re.compile(r"/\*= (\w+) \*/")


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def literals() -> set[str]:
    """Every string of the package that is written as a whole; a piece of an f-string is none."""
    whole: set[str] = set()
    for _, tree in trees():
        pieces = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        whole |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in pieces
        }
    return whole


def included(dialect: Dialect) -> set[str]:
    """Blocks that another block of the same dialect includes."""
    texts = (path.read_text(encoding="utf-8") for path in (sql_folder() / dialect).glob("*.sql"))
    return {name for text in texts for name in INCLUDE.findall(text)}


def asked() -> Iterator[tuple[str, ast.expr]]:
    """The arguments that name a block, with their places."""
    for module, tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            position = 1 if called == "compose" else 0
            if (called in ASKING or called == "Write") and len(node.args) > position:
                yield f"{module}:{node.lineno}", node.args[position]


@pytest.mark.slow
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_block_is_asked_by_its_name(dialect: Dialect) -> None:
    assert set(load(dialect)) - literals() - included(dialect) == set()


@pytest.mark.slow
def test_every_name_that_is_asked_is_a_block() -> None:
    blocks = {name for dialect in DIALECTS for name in load(dialect)}
    names = defaultdict(list)
    for place, argument in asked():
        choices = [argument.body, argument.orelse] if isinstance(argument, ast.IfExp) else [argument]
        for node in choices:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
                names[node.value].append(place)
    assert len(names) > 150
    assert {name: places for name, places in names.items() if name not in blocks} == {}


@pytest.mark.slow
def test_no_name_of_a_block_is_put_together() -> None:
    """Outside of transfer, whose statements follow from the table spec and whose timings are named by table."""
    blocks = {name for dialect in DIALECTS for name in load(dialect)}
    together = []
    for module, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr) and not module.startswith("transfer/"):
                pieces = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
                written = "".join(str(piece or "") for piece in pieces)
                pattern = "".join(r"\w+" if piece is None else re.escape(str(piece)) for piece in pieces)
                if len(written) > 2 and any(re.fullmatch(pattern, name) for name in blocks):
                    together.append(f"{module}:{node.lineno}: {ast.unparse(node)}")
    assert together == []
