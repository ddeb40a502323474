"""The settings as one object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from pathlib import Path

from vestige_tui.core.scheduling import DEFAULT_WEIGHTS, Policy
from vestige_tui.core.times import LocalDays

DEFAULT_THEME = "vestige-dark"


@dataclass(frozen=True, slots=True)
class Config:
    """All settings. ``path`` is the file that they were read from; ``warnings`` are sentences for the user."""

    backend: str | None = None
    """``sqlite``, ``postgres``, or None if no store is configured."""
    sqlite_path: Path | None = None
    postgres_url: str | None = field(default=None, repr=False)
    direct_url: str | None = field(default=None, repr=False)
    """URL of the server itself, where ``postgres_url`` leads to a pooler."""
    postgres_read_url: str | None = field(default=None, repr=False)
    """Replica that answers the searches and lists of the configured store."""
    max_connections: int = 10
    acquire_timeout_secs: float = 30.0
    provider: str = "fastembed"
    model: str | None = None
    """None: the model that the store belongs to."""
    desired_retention: float = 0.9
    weights: tuple[float, ...] = DEFAULT_WEIGHTS
    new_per_day: int = 10
    day_starts_at: time = time.min
    """Local time at which a day of reviews starts."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Keys by command id, in Textual's names, separated by commas."""
    filters: Mapping[str, str] = field(default_factory=dict)
    """Saved filters by name, in written form: ``type:decision tag:keys since:-30d``."""
    outdated_filters: tuple[str, ...] = ()
    """Names of the saved filters that the file has in the form of an earlier version."""
    theme: str = DEFAULT_THEME
    history: bool = True
    """Whether queries are kept for the search line."""
    path: Path | None = None
    warnings: tuple[str, ...] = ()

    @property
    def store_url(self) -> str | None:
        """URL of the configured store."""
        if self.backend == "postgres":
            return self.postgres_url
        return f"sqlite:{self.sqlite_path}" if self.sqlite_path else None

    def read_url(self, url: str) -> str:
        """Return the URL of the replica of a store; empty where none is configured for it."""
        return self.postgres_read_url or "" if self.backend == "postgres" and url == self.postgres_url else ""

    def policy(self) -> Policy:
        return Policy(self.desired_retention, self.weights, self.new_per_day, LocalDays(self.day_starts_at))
