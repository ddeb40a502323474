"""Style sheet of the console, parsed once for each set of colours."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from textual.cache import LRUCache
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet

MAX_SOURCES = 512
"""Maximum number of parsed sources kept for one set of colours: one for each class of widgets and each file."""
MAX_COLOR_SETS = 8


@lru_cache(maxsize=MAX_COLOR_SETS)
def _parsed_rules(_variables: frozenset[tuple[str, str]]) -> LRUCache[tuple[Any, ...], list[RuleSet]]:
    return LRUCache(MAX_SOURCES)


class CachedStylesheet(Stylesheet):
    """Style sheet that keeps the rules parsed from each source.

    Textual's own parses every source again when a place or a dialog brings another one, and when colours are set that
    are in force already.
    """

    def __init__(self, *, variables: dict[str, str] | None = None) -> None:
        super().__init__(variables=variables)
        self._parse_cache = _parsed_rules(frozenset(self._variables.items()))

    def set_variables(self, variables: dict[str, str]) -> None:
        if variables == self._variables:
            return
        # The base class empties its cache, which other colours share.
        self._parse_cache = LRUCache(1)
        super().set_variables(variables)
        self._parse_cache = _parsed_rules(frozenset(variables.items()))

    def reparse(self) -> None:
        self.parse()
