"""Saved filters of earlier versions, in which ``is:replaced`` meant what ``with:replaced`` means now."""

from __future__ import annotations

import logging
from dataclasses import replace

from vestige_tui.config.settings import Config
from vestige_tui.config.writer import set_value
from vestige_tui.core.errors import VestigeError
from vestige_tui.core.log import log_suppressed
from vestige_tui.core.text import cut, plain

log = logging.getLogger(__name__)

NAME_CELLS = 60
MEANING = "is:replaced now shows only replaced memories"


def rewrite_outdated(config: Config) -> tuple[Config, str]:
    """Rewrite the outdated saved filters in the settings file; return the settings, and a note for the user.

    The note is empty if no filter is outdated. A file that cannot be written is named in the note and stays as it is.
    """
    if not config.outdated_filters or config.path is None:
        return config, ""
    names = cut(", ".join(map(plain, config.outdated_filters)), NAME_CELLS)
    is_one = len(config.outdated_filters) == 1
    filters = f"saved {'filter' if is_one else 'filters'} {names}"
    try:
        for name in config.outdated_filters:
            set_value(config.path, f"filters.{name}", config.filters[name])
    except VestigeError as error:
        log_suppressed(log, "rewrite the saved filters", error)
        return config, f"{MEANING}; in the {filters} it keeps its old meaning, with:replaced. {error.message}"
    log.info("Rewrote outdated saved filters")
    verbs = ("says", "shows") if is_one else ("say", "show")
    note = f"{MEANING}; the {filters} now {verbs[0]} with:replaced and {verbs[1]} the same as before."
    return replace(config, outdated_filters=()), note
