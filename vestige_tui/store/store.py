"""Store service: the operations of the console, the shell and scripts on a store, by subject.

Rules and transactions live in the services; SQL is called by name, so that one method serves SQLite and PostgreSQL.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from vestige_tui.core.errors import Refused
from vestige_tui.core.scheduling import Policy
from vestige_tui.core.text import quoted
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.store.accounts import AccountService
from vestige_tui.store.bulk import BulkService
from vestige_tui.store.context import PolicyInForce, StoreContext, actor_name, utc_now
from vestige_tui.store.doctor import DoctorService
from vestige_tui.store.domains import DomainService
from vestige_tui.store.history import HistoryService
from vestige_tui.store.journal import JournalService
from vestige_tui.store.links import LinkService
from vestige_tui.store.maintenance import MaintenanceService
from vestige_tui.store.memories import MemoryService
from vestige_tui.store.models import ModelService
from vestige_tui.store.review_statistics import ReviewStatisticsService
from vestige_tui.store.reviews import ReviewService
from vestige_tui.store.search.search import Searcher
from vestige_tui.store.weights import WeightService

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from vestige_tui.core.accounts import Account
    from vestige_tui.core.embeddings import Vector
    from vestige_tui.core.health import Health, HealthProblem
    from vestige_tui.core.memories import Change, Draft, Filter, Memory, Page, Patch, Sort
    from vestige_tui.core.search import Answer, Explanation, SearchQuery, WhyNot
    from vestige_tui.core.waits import WaitReport
    from vestige_tui.store.backends.protocol import Backend
    from vestige_tui.store.context import Clock


class Store:
    """Store of memories. Use it as ``async with open_store(url) as store``; every method may raise ``VestigeError``."""

    def __init__(
        self,
        backend: Backend,
        *,
        create: bool = False,
        embedders: EmbedderSource | None = None,
        policy: Policy | None = None,
        clock: Clock | None = None,
        origin: str | None = None,
        viewer: str | None = None,
        moment: datetime | None = None,
    ) -> None:
        """``moment``: show the store read-only as of that time; ``at`` makes such a view of an open store."""
        self._backend = backend
        self._viewer_name = viewer
        self.viewer: Account | None = None
        """The user as whom the store is viewed: every query finds only what this user may see."""
        self._create = create
        self.embedders = embedders or EmbedderSource()
        policies = PolicyInForce(policy or Policy())
        self._context = StoreContext(backend, policies, clock or utc_now, actor_name(), origin, moment)
        self.models = ModelService(self._context, self.embedders)
        self.history = HistoryService(self._context)
        self.accounts = AccountService(self._context)
        self.memories = MemoryService(self._context, self.models, self.accounts)
        self.journal = JournalService(self._context, self.models)
        self.weights = WeightService(self._context)
        self.reviews = ReviewService(self._context, self.memories, self.journal)
        self.review_statistics = ReviewStatisticsService(self._context)
        self.links = LinkService(self._context, self.memories)
        self.bulk = BulkService(self._context, self.memories)
        self.maintenance = MaintenanceService(self._context, self.models, self.embedders)
        self.doctor = DoctorService(self._context, self.models)
        self._searcher = Searcher(
            backend,
            self.embedders,
            registered=self.models.registered,
            refresh=self.models.refresh,
            in_place_job=self.models.in_place_job,
            filters=self._context.filters,
        )
        self.domains = DomainService(self._context, self.memories, self.bulk, self._searcher.answer)

    @property
    def kind(self) -> Literal["sqlite", "postgres", "vestige"]:
        return self.maintenance.kind

    @property
    def title(self) -> str:
        """Display form of the store's location, never with a password."""
        return self._backend.title

    @property
    def location(self) -> str:
        """URL of the store, never with a password."""
        return self._backend.location()

    @property
    def file(self) -> Path | None:
        """SQLite file that this process has open; None on a server."""
        scheme, _, path = self.location.partition(":")
        return Path(path) if scheme == "sqlite" else None

    @property
    def pooled(self) -> bool:
        """Return whether a pooler is in front of its server."""
        return self.backend.pooled

    @property
    def read_only(self) -> bool:
        return self._context.read_only

    @property
    def read_only_reason(self) -> str:
        return self._context.read_only_reason

    @property
    def moment(self) -> datetime | None:
        """Past moment at which the store is shown; None for now."""
        return self._context.moment

    def at(self, moment: datetime | None) -> Store:
        """Return this open store as of a past moment, read-only, over the same connections; of now for None.

        Its clock stands at the moment, so recalls are those of then. Close the store itself, not the view.
        """
        context = self._context
        view = Store(
            self._backend,
            create=self._create,
            embedders=self.embedders,
            policy=context.policy,
            clock=context.clock,
            origin=context.origin,
            moment=moment,
        )
        view._viewer_name, view.viewer = self._viewer_name, self.viewer
        view.maintenance.pending = self.maintenance.pending
        return view

    def refuse_read_only(self) -> None:
        """Raise ReadOnly for a store that may not be written, before a command asks for anything."""
        self._context.refuse_read_only()

    @property
    def backend(self) -> Backend:
        """Backend of the store, for jobs that move rows in bulk."""
        return self._backend

    @property
    def policy(self) -> Policy:
        """The settings of scheduling in force, with the weights that were applied to this store."""
        return self._context.policy

    def now(self) -> datetime:
        """Return the current time of the store's clock, in UTC."""
        return self._context.now()

    def present(self) -> datetime:
        """Return the current time of the store's clock, in UTC, also of a store that is shown at a past moment."""
        return self._context.clock()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect and apply pending migrations. Raises SchemaPending if the store may not be changed."""
        try:
            await self._backend.open()
            if not self._backend.foreign:
                await self.maintenance.ensure_schema(create=self._create)
            if self._viewer_name is not None:
                await self._view_as(self._viewer_name)
            await self.models.refresh()
            await self.weights.refresh()
        except BaseException:
            await self._backend.close()
            raise

    async def _view_as(self, name: str) -> None:
        if self._backend.foreign:
            raise Refused(
                f"{self.title} is a Vestige file: its memories have no owners, so it cannot be viewed as a user. "
                "Copy it into a store of this program with `vestige-tui migrate copy`."
            )
        self.maintenance.refuse_pending()
        viewer = await self.accounts.user(name)
        await self._backend.view_as(viewer.id, f"viewed as {quoted(viewer.handle)}")
        self.viewer = viewer

    async def close(self) -> None:
        await self._backend.close()

    async def health(self) -> Health:
        """Run the health checks. Never raises: a store that does not answer is "unavailable"."""
        return await self.maintenance.health()

    def file_problems(self) -> Sequence[HealthProblem]:
        """Return the problems of the store's files, such as one that other users can read; none for a server."""
        return self._backend.file_problems()

    async def wait_for_change(self, seconds: float) -> bool:
        """Wait until any process, this one included, changes the store; False on timeout.

        Supports one watcher. The first wait, and the first one after an outage, return at once.
        """
        return await self._backend.wait_for_change(seconds)

    async def warm(self) -> None:
        """Prepare the backend for searches, so that the first one does not wait."""
        await self.models.refresh()
        await self._backend.warm()

    # Waits

    def long_wait(self) -> WaitReport | None:
        """Return the longest wait for the database that lasts now, once it is long enough to be shown."""
        return self._backend.waits.report()

    def break_off(self) -> int:
        """Break off every wait for the database that can be; return their number.

        What waited raises Cancelled, or Unsure where a write may have been saved.
        """
        return self._backend.waits.break_off()

    # Search

    async def search(self, query: SearchQuery) -> Answer:
        """Search the text branch, the vector branch, or both fused. Raises Usage for an empty query."""
        return await self._searcher.answer(query)

    async def explain(self, query: SearchQuery) -> Explanation:
        """Return the ranking of a search explained: branches, words, filters, and steps with their cost."""
        return await self._searcher.explain(query)

    async def why_not(self, query: SearchQuery, memory_id: str) -> WhyNot:
        """Return the ranks of one memory for a query, and the reasons that exclude it. Raises NotFound."""
        return await self._searcher.why_not(query, await self.memories.get(memory_id))

    # Memories

    async def get(self, memory_id: str) -> Memory:
        """Return one memory by its whole id. Raises NotFound."""
        return await self.memories.get(memory_id)

    async def page(
        self,
        filter: Filter | None = None,
        *,
        sort: Sort = "created",
        limit: int = 50,
        after: str | None = None,
        offset: int | None = None,
        head: int | None = None,
        moment: datetime | None = None,
    ) -> Page[Memory]:
        """Return one page of a filtered list; see ``MemoryService.page``."""
        return await self.memories.page(
            filter, sort=sort, limit=limit, after=after, offset=offset, head=head, moment=moment
        )

    async def insert(self, draft: Draft, *, embedding: Vector | None = None, embed: bool = True) -> Change:
        """Write one memory. Without a usable model it is stored without a vector, with a warning in the change."""
        return await self.memories.insert(draft, embedding=embedding, embed=embed)

    async def update(
        self, memory_id: str, patch: Patch, *, expected: datetime | None = None, embed: bool = True
    ) -> Change:
        """Edit a memory. Optimistic locking: raises Conflict if updated_at is no longer ``expected``."""
        return await self.memories.update(memory_id, patch, expected=expected, embed=embed)

    async def delete(self, memory_ids: Sequence[str]) -> Change:
        """Delete memories, all or none; the journal keeps a snapshot of each."""
        return await self.memories.delete(memory_ids)
