"""Print all sentences of the program, for reading: ``python -m tests.sentences [MODULE …]``.

These are the texts of console, commands, presenters, settings and errors, with ``{name}`` where a value goes. A MODULE
is the beginning of a path below ``vestige_tui``, for example ``tui/review``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence

from tests.support.source_tree import modules

READ_WHOLE = ("cli/", "tui/", "presenters/", "config/", "core/")
"""Modules whose texts are all read; of the others those of errors, jobs and health checks are."""
_WORDS = re.compile(r"[A-Za-z]{2,}.*\s.*[A-Za-z]", re.DOTALL)
_CODE = re.compile(r"^\s*[\w.#$*:> -]*\{|^[A-Z_ ]+ \w+ (?:=|FROM)|\\[bdsw]|\(\?|^\s*\w+ = |DEFAULT_CSS")
_SPEAKING = re.compile(
    "Error|Refused|Usage|Unavailable|Unreachable|NotFound|Conflict|ReadOnly|Missing|Pending|Foreign|Problem|Finding"
)
_LOGGING = re.compile(r"(?:log\.|(?:log_)?suppressed$)")
SCRIPTS = ("cli/completion_scripts.py", "cli/examples.py")
"""Modules of code for shells."""


def sentences(module: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of each sentence of a module."""
    skipped = {id(node) for node in _unread(tree)}
    for node in ast.walk(tree) if module.startswith(READ_WHOLE) else _speaking(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            skipped.update(id(part) for part in ast.walk(node) if part is not node)
            text = _with_holes(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if _WORDS.search(text) and not _CODE.search(text):
            yield node.lineno, " ".join(text.split())


def _unread(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield docstrings, style sheets and lines of the log."""
    for node in ast.walk(tree):
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant | ast.JoinedStr)
        is_style = isinstance(node, ast.Assign | ast.AnnAssign) and "CSS" in ast.unparse(node)[:40]
        is_log = isinstance(node, ast.Call) and _LOGGING.match(ast.unparse(node.func))
        if is_docstring or is_style or is_log:
            yield from ast.walk(node)


def _speaking(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the parts of errors and findings, in modules that have other texts, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _SPEAKING.search(ast.unparse(node.func)):
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                yield from ast.walk(argument)


def _with_holes(node: ast.JoinedStr) -> str:
    parts = []
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            names = re.findall(r"[A-Za-z_]\w*", ast.unparse(part.value))
            parts.append(f"{{{names[-1] if names else '…'}}}")
        elif isinstance(part, ast.Constant):
            parts.append(str(part.value))
    return "".join(parts)


def main(prefixes: Sequence[str]) -> None:
    for module, tree in modules():
        if module in SCRIPTS or (prefixes and not module.startswith(tuple(prefixes))):
            continue
        lines = sorted(set(sentences(module, tree)))
        if lines:
            print(f"\n{module}")
        for line, text in lines:
            print(f"  {line:>4}  {text}")


if __name__ == "__main__":
    main(sys.argv[1:])
