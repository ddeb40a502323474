"""Context that the services of one store share: backend, clock, review policy and actor, and rules of every write."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from vestige_tui.core.errors import NotFound, ReadOnly, Usage
from vestige_tui.core.scheduling import LEECH_LAPSES, Policy, horizon
from vestige_tui.core.storable import clean
from vestige_tui.core.text import quoted
from vestige_tui.core.times import moment_text
from vestige_tui.store.backends.protocol import Json, Write
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.core.memories import Filter, Memory, MemoryState
    from vestige_tui.core.weights import Weights
    from vestige_tui.store.backends.protocol import Backend, Transaction

Clock: TypeAlias = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


def actor_name() -> str:
    """Return the name of the user of this process, for the journal."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


_FILTER_FRAGMENTS: Mapping[str, str] = {
    "domains": "filter_domains",
    "all_domains": "filter_all_domains",
    "no_domains": "filter_no_domains",
    "tags": "filter_tags",
    "all_tags": "filter_all_tags",
    "no_tags": "filter_no_tags",
    "node_types": "filter_node_types",
    "all_node_types": "filter_all_node_types",
    "no_node_types": "filter_no_node_types",
    "codebases": "filter_codebases",
    "all_codebases": "filter_all_codebases",
    "no_codebases": "filter_no_codebases",
    "owner": "filter_owner",
    "no_owners": "filter_no_owners",
    "visibilities": "filter_visibilities",
    "all_visibilities": "filter_all_visibilities",
    "no_visibilities": "filter_no_visibilities",
    "groups": "filter_groups",
    "all_groups": "filter_all_groups",
    "no_groups": "filter_no_groups",
    "since": "filter_since",
    "until": "filter_until",
}
"""SQL fragments of the fields of a filter that are compared as they are."""

_STATE_FRAGMENTS: Mapping[MemoryState, tuple[str, str]] = {
    "replaced": ("filter_replaced", "filter_active"),
    "due": ("filter_due", "filter_not_due"),
    "new": ("filter_new", "filter_not_new"),
    "suspended": ("filter_suspended", "filter_not_suspended"),
    "buried": ("filter_buried", "filter_not_buried"),
    "leech": ("filter_leech", "filter_not_leech"),
    "pinned": ("filter_pinned", "filter_not_pinned"),
    "without-vector": ("filter_without_embedding", "filter_with_embedding"),
}
"""SQL fragments of each state, and of its opposite."""
_TIMED = frozenset(
    {"filter_due", "filter_not_due", "filter_due_at", "filter_not_due_at", "filter_buried", "filter_not_buried"}
)
"""SQL fragments that depend on the time."""
_AT_A_MOMENT: Mapping[str, str] = {
    "filter_active": "filter_active_at",
    "filter_replaced": "filter_replaced_at",
    "filter_due": "filter_due_at",
    "filter_not_due": "filter_not_due_at",
    "filter_new": "filter_new_at",
    "filter_not_new": "filter_not_new_at",
}
"""SQL fragments of states that the logs of decisions and of reviews know at a past moment; marks are those of today."""
_COUNTING = frozenset({"filter_leech", "filter_not_leech"})
"""SQL fragments that depend on the lapses of a leech."""


@dataclass(slots=True)
class PolicyInForce:
    """Settings of scheduling of one store: the configured ones, with the weights that were applied to the store."""

    configured: Policy
    applied: Weights | None = None
    """Weights that the store had when they were last read; None where none were applied."""
    _current: Policy | None = None

    @property
    def current(self) -> Policy:
        """The settings in force. Applied weights replace configured ones: they were fitted to this store."""
        if self._current is None:
            applied = self.applied
            self._current = self.configured if applied is None else replace(self.configured, weights=applied.values)
        return self._current

    def apply(self, weights: Weights | None) -> None:
        """Note the weights that the store has now; others than those of this program's algorithm are left out."""
        usable = weights if weights is not None and weights.usable else None
        if usable != self.applied:
            self.applied, self._current = usable, None


@dataclass(frozen=True, slots=True)
class StoreContext:
    """Shared parts of the services of one store."""

    backend: Backend
    policies: PolicyInForce
    clock: Clock
    actor: str
    origin: str | None = None
    """Console or command that writes, for the journal."""
    moment: datetime | None = None
    """Past moment at which the store is shown; None for now."""

    @property
    def policy(self) -> Policy:
        """The settings of scheduling in force."""
        return self.policies.current

    def now(self) -> datetime:
        """Return the current time of the store's clock, in UTC; the moment of a store that is shown at one."""
        return self.moment or self.clock()

    def as_of(self, filter: Filter) -> datetime | None:
        """Return the moment at which memories of a filter are shown; None for now."""
        return filter.as_of or self.moment

    def has(self, memory: Memory) -> bool:
        """Check whether a memory existed at the moment of the store."""
        return self.moment is None or (memory.created_at is not None and memory.created_at <= self.moment)

    @property
    def read_only(self) -> bool:
        """True if nothing may be written."""
        return self.moment is not None or self.backend.read_only

    @property
    def read_only_reason(self) -> str:
        """Reason for which nothing may be written, as the end of a sentence; empty if it may."""
        if self.moment is not None:
            return f"it is shown as of {moment_text(self.moment)}"
        return self.backend.reason

    def refuse_read_only(self) -> None:
        """Raise ReadOnly for a store that may not be written."""
        if self.read_only:
            raise ReadOnly(f"{self.backend.title} is open read-only: {self.read_only_reason}.")

    async def lock_memory(self, transaction: Transaction, memory_id: str) -> Memory:
        """Lock a memory until the transaction ends, and return it. Raises NotFound."""
        records = await transaction.fetch("lock_memory", {"id": memory_id}) if self.backend.is_id(memory_id) else []
        if not records:
            raise NotFound(f"No memory has the id {quoted(memory_id)}.")
        [row] = await transaction.fetch("get_memory", {"id": memory_id})
        return rows.memory(row)

    def filters(self, filter: Filter) -> tuple[list[str], dict[str, Any]]:
        """Return the SQL fragments of a filter by name, and their parameters. Raises Usage."""
        fragments: list[str] = []
        params: dict[str, Any] = {}
        for name, fragment in _FILTER_FRAGMENTS.items():
            value = getattr(filter, name)
            if value:
                fragments.append(fragment)
                params[name] = _as_stored(value)
        for owner in (filter.owner, *filter.no_owners):
            if owner and not self.backend.is_id(owner):
                raise Usage(f"{quoted(owner)} is not an owner's id; PostgreSQL takes only UUIDs.")
        for group in (*filter.groups, *filter.all_groups, *filter.no_groups):
            if not self.backend.is_id(group):
                raise Usage(f"{quoted(group)} is not a group's id; PostgreSQL takes only UUIDs.")
        as_of = self.as_of(filter)
        if as_of is not None:
            fragments.append("filter_created_by")
            params["as_of"] = as_of
        if filter.min_retrievability is not None:
            if not 0 <= filter.min_retrievability <= 1:
                raise Usage("Recall must be between 0 and 1.")
            fragments.append("filter_min_retrievability" if as_of is None else "filter_min_retrievability_at")
            recall = filter.min_retrievability
            params |= {
                "now": as_of or self.now(),
                "retrievability": recall,
                "horizon": horizon(recall, self.policy.weights),
            }
        fragments += self._state_fragments(filter, params)
        return fragments, params

    def _state_fragments(self, filter: Filter, params: dict[str, Any]) -> list[str]:
        """Return the SQL fragments of the states of a filter, and add their parameters. Raises Usage."""
        for state in (*filter.states, *filter.no_states):
            if state not in _STATE_FRAGMENTS:
                raise Usage(f"{quoted(state)} is not a state of a memory.")
        fragments = [_STATE_FRAGMENTS[state][0] for state in filter.states]
        fragments += [_STATE_FRAGMENTS[state][1] for state in filter.no_states]
        if not filter.superseded and "replaced" not in filter.states:
            fragments.append("filter_active")
        fragments = list(dict.fromkeys(fragments))
        as_of = self.as_of(filter)
        if as_of is not None:
            fragments = [_AT_A_MOMENT.get(fragment, fragment) for fragment in fragments]
        if _TIMED.intersection(fragments):
            now = as_of or self.now()
            params |= {"now": now, "due_before": self.policy.days.bound(now, 1)}
        if _COUNTING.intersection(fragments):
            params["leech_lapses"] = LEECH_LAPSES
        return fragments

    async def count(self, filter: Filter) -> int:
        """Count the memories that pass a filter."""
        filters, params = self.filters(filter)
        [row] = await self.backend.fetch("count_memories", params, {"filters": filters})
        return int(row["n"])

    async def journal(self, transaction: Transaction, verb: str, before: list[Any], after: list[Any]) -> int:
        """Write a journal entry; return its number."""
        entry = self.journal_write(verb, before, after)
        [row] = await transaction.fetch(entry.name, entry.params)
        return int(row["id"])

    def journal_write(self, verb: str, before: Sequence[Any], after: Sequence[Any]) -> Write:
        """Return the write of a journal entry."""
        values = {
            "at": self.now(),
            "actor": self.actor,
            "origin": self.origin,
            "verb": verb,
            "before": Json(list(before)),
            "after": Json(list(after)),
        }
        return Write("insert_journal", values)


def _as_stored(value: Any) -> Any:
    """Return the value of a filter as a store has it: its texts were cleaned when they were written."""
    if isinstance(value, tuple):
        return [_as_stored(each) for each in value]
    return clean(value) if isinstance(value, str) else value
