"""Completions of a filter line, read from the open store and from the disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vestige_tui.core.completion import (
    Completion,
    complete_value,
    complete_word,
    paths_from,
    unfinished_field,
    unfinished_id,
    unfinished_path,
)
from vestige_tui.core.errors import NotFound, Usage, VestigeError
from vestige_tui.core.log import log_suppressed
from vestige_tui.core.memories import Filter
from vestige_tui.tui.filters.values import FACETS, MAX_VALUE_COUNT, OPEN, STATE_FIELDS

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)


class LineCompletions:
    """Completions of one line. The values of a field are read once, until ``forget``."""

    def __init__(self, store: Callable[[], Store | None]) -> None:
        self._store = store
        self._values: dict[str, Sequence[str]] = {}
        self._reading = asyncio.Lock()

    def forget(self) -> None:
        """Read the values again at the next completion, as the store has changed."""
        self._values.clear()

    async def of(self, line: str) -> Completion | None:
        """Return the completion of the word that a line ends in, None if there is none."""
        try:
            if (field := unfinished_field(line)) is not None:
                return complete_value(line, await self._values_of(field))
            if (beginning := unfinished_id(line)) is not None:
                return complete_word(line, beginning, await self._ids_from(beginning))
            if (path := unfinished_path(line)) is not None:
                return complete_word(line, path, await asyncio.to_thread(paths_from, path))
        except (VestigeError, OSError) as error:
            log_suppressed(log, "complete a filter line", error)
        return None

    async def _values_of(self, field: str) -> Sequence[str]:
        if field in STATE_FIELDS:
            return tuple(STATE_FIELDS[field])
        if field in OPEN:
            return tuple(OPEN[field])
        # One reader at a time: the keys typed meanwhile wait for its values.
        async with self._reading:
            store = self._store()
            if field not in self._values and store is not None:
                chosen = Filter(superseded=True)
                facets = await store.memories.facets(FACETS[field], chosen, MAX_VALUE_COUNT)
                self._values[field] = [facet.alias or facet.value for facet in facets]
            return self._values.get(field, ())

    async def _ids_from(self, beginning: str) -> Sequence[str]:
        store = self._store()
        if store is None:
            return ()
        try:
            return (await store.memories.resolve(beginning),)
        except (NotFound, Usage) as error:
            log.debug("No single id begins as typed: %s", error)
            return ()
