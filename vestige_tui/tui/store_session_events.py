"""State and events of a store session, as values: what it tells the app, and what places read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TypeAlias

from vestige_tui.core.errors import StoreReplaced, VestigeError
from vestige_tui.tui.notice import Severity


class SessionState(Enum):
    """State of the session. OPENING → LIVE ⇄ WAITING, RECONNECTING; OPENING → REFUSED → LIVE; any → CLOSED."""

    OPENING = "opening"
    """The first attempt to open the store has not ended."""
    LIVE = "live"
    """The store is open and answers."""
    WAITING = "waiting"
    """The store is open, and has not answered for a while; ``wait`` says why."""
    RECONNECTING = "reconnecting"
    """The store is open, and its server does not answer."""
    REFUSED = "refused"
    """The last attempt to open the store failed; ``refusal`` is its error."""
    CLOSED = "closed"
    """The console is being left."""


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """Facts of the open store; None while unknown. ``store`` is its name without a password."""

    store: str = ""
    backend: str = ""
    read_only: bool = False
    memories: int | None = None
    model: str | None = None
    state: SessionState = SessionState.OPENING
    viewer: str = ""
    """Handle of the user as whom the store is viewed; empty for none."""
    moment: datetime | None = None
    """Past moment at which the store is shown; None for now."""


@dataclass(frozen=True, slots=True)
class Badge:
    """Small figure beside a place: ``37`` due (waiting, amber), ``►1`` running."""

    text: str
    waiting: bool = False


class ModelActivity(Enum):
    """State of the embedding model that a banner is about."""

    LOADING = "loading"
    EMBEDDING = "embedding"
    """Memories without a vector are embedded."""
    UNUSABLE = "unusable"
    """Searches use text only."""


@dataclass(frozen=True, slots=True)
class ModelBanner:
    """One sentence on the state of the embedding model, shown until that changes."""

    activity: ModelActivity
    text: str


@dataclass(frozen=True, slots=True)
class FrameChanged:
    """Event: facts, badges, jobs, banner, wait or refusal have been replaced."""


@dataclass(frozen=True, slots=True)
class StoreChanged:
    """Event: the store has been opened, or changed by this console or another process."""


@dataclass(frozen=True, slots=True)
class Reported:
    """Event: a sentence for the status line; ``yields`` if it must not replace a failure."""

    text: str
    severity: Severity
    yields: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """Event: a background activity failed."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class OutageBegan:
    """Event: the open store has ceased to answer; it is asked again until it does."""

    error: VestigeError


@dataclass(frozen=True, slots=True)
class OutageEnded:
    """Event: the open store answers again; ``error`` was reported when it ceased to."""

    error: VestigeError


@dataclass(frozen=True, slots=True)
class StoreLost:
    """Event: another file stands in place of the open store; the session watches it no longer."""

    error: StoreReplaced


SessionEvent: TypeAlias = FrameChanged | StoreChanged | Reported | Failed | OutageBegan | OutageEnded | StoreLost
