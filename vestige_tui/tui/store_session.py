"""Store session: opens the store, keeps it live, and reports what has changed as events. Knows nothing of a terminal.

One `StoreSession` lives as long as the console. It owns the open store, its watchers and the embedding model; the app
shows its events, and places read its state and act on its store.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

from vestige_tui.core.errors import (
    Cancelled,
    EmbedderUnavailable,
    ModelMismatch,
    Refused,
    SchemaPending,
    StoreMissing,
    StoreReplaced,
    TablesChanged,
    Unavailable,
    VestigeError,
)
from vestige_tui.core.journal import console_origin
from vestige_tui.core.log import suppressed
from vestige_tui.core.text import below_home, grouped, redact_url
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.presenters import store_report
from vestige_tui.presenters.models import dimensions, short_name
from vestige_tui.presenters.stores import read_only_sentence
from vestige_tui.store.open import open_store
from vestige_tui.tui.store_session_events import (
    Badge,
    Failed,
    FrameChanged,
    ModelActivity,
    ModelBanner,
    OutageBegan,
    OutageEnded,
    Reported,
    SessionEvent,
    SessionState,
    StoreChanged,
    StoreFacts,
    StoreLost,
)
from vestige_tui.tui.undo_own_changes import OwnChanges

if TYPE_CHECKING:
    from datetime import date, datetime

    from vestige_tui.config.settings import Config
    from vestige_tui.core.accounts import Account
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.core.jobs import Job
    from vestige_tui.core.waits import WaitReport
    from vestige_tui.store.context import Clock
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

JOBS_SECONDS = 0.25
WAIT_SECONDS = 5.0
RETRY_SECONDS = 0.5
OPEN_AGAIN_SECONDS = 5.0
CALM_SECONDS = 0.1
WAIT_POLL_SECONDS = 0.5
"""Pause between two looks at the waits for the store."""
KINDS = {"sqlite": "SQLite", "postgres": "PostgreSQL", "vestige": "Vestige file"}


class Activity(Enum):
    """Background activity of a session, at most one of each kind at a time."""

    WATCH_STORE = "watch"
    WATCH_WAITS = "waits"
    WATCH_JOBS = "jobs"
    SWEEP_JOBS = "sweep"
    PREPARE_MODEL = "model"


class StoreSession:
    """The store of a console, from its opening to its end. ``run`` opens it and keeps it live until cancelled.

    ``emit`` receives each event in the event loop, at once. ``may_create`` answers whether a store that does not exist,
    or whose schema is behind, may be created or migrated.
    """

    def __init__(
        self,
        config: Config,
        url: str,
        *,
        emit: Callable[[SessionEvent], None],
        may_create: Callable[[VestigeError], Awaitable[bool]],
        read_only: bool = False,
        create_confirmed: bool = False,
        embedders: EmbedderSource | None = None,
        clock: Clock | None = None,
        typed_urls: Sequence[str] = (),
        viewer: str | None = None,
        moment: datetime | None = None,
    ) -> None:
        self.embedders = embedders or EmbedderSource(config.model or None)
        """Source of the embedding model."""
        self.store: Store | None = None
        """The open store as it is shown, now or as of a past moment; None until it is open."""
        self.facts = StoreFacts(store=url if "://" not in url else "", read_only=read_only, moment=moment)
        """Facts of the first line."""
        self.badges: Mapping[str, Badge] = {}
        """Figure beside each place, by its name."""
        self.jobs: tuple[Job, ...] = ()
        """Jobs of all watched stores."""
        self.banner: ModelBanner | None = None
        """State of the model, None if it is loaded."""
        self.refusal: VestigeError | None = None
        """Error of the last attempt to open the store; None before the first attempt and once the store is open."""
        self.wait: WaitReport | None = None
        """Longest wait for the store, while one is long enough to be shown."""
        self.origin = console_origin()
        """Origin of the changes of this console in the journal."""
        self.own_changes = OwnChanges()
        """Undo and redo of the changes of this console in the open store."""
        self._config = config
        self._url = url
        self._emit = emit
        self._may_create = may_create
        self._read_only = read_only
        self._create_confirmed = create_confirmed
        self._clock = clock
        self._live: Store | None = None
        """The open store as it is now."""
        self._former: Store | None = None
        """The same file as it was open before its tables were changed."""
        self._opening: Store | None = None
        self._connected: Store | None = None
        self.viewer = viewer
        """Name of the user as whom the store is viewed; None for everybody."""
        self._typed_urls = list(typed_urls)
        self._tasks: dict[Activity, asyncio.Task[None]] = {}
        self._check_now = asyncio.Event()
        self._open_requested = asyncio.Event()
        self._tables_changed = asyncio.Event()
        self._outage: VestigeError | None = None
        self._loaded_model: ModelSignature | None = None
        self._model_cut_off = False
        self._day: date | None = None

    @property
    def state(self) -> SessionState:
        return self.facts.state

    @property
    def opened_read_only(self) -> bool:
        """True if this console was told to write to no store."""
        return self._read_only

    @property
    def store_viewer(self) -> Account | None:
        """The user as whom the connected or open store is viewed; None for everybody."""
        store = self._connected or self.store
        return None if store is None else store.viewer

    @property
    def shown_url(self) -> str:
        """URL of the store without a password."""
        return redact_url(self._url)

    @property
    def url(self) -> str:
        """URL of the store, with its password if that is known."""
        return self._url

    @property
    def typed_urls(self) -> tuple[str, ...]:
        """URLs with passwords that the user has typed."""
        return tuple(self._typed_urls)

    @property
    def urls(self) -> tuple[str, ...]:
        """URLs of the stores that this console knows, typed ones too, with the passwords that no ledger holds."""
        return tuple(dict.fromkeys(filter(None, (*self._typed_urls, self._url, self._config.postgres_url))))

    def remember_url(self, url: str) -> None:
        """Keep the password of a typed URL until this console ends."""
        if url not in self._typed_urls and url != redact_url(url):
            self._typed_urls.insert(0, url)

    def open_again(self) -> None:
        """Retry at once to open the store that could not be opened."""
        self._open_requested.set()

    def note_change(self) -> None:
        """Refresh at once after a write of this console, without waiting for the change token."""
        self._check_now.set()

    def cancel_waits(self) -> bool:
        """Break off the waits for the store; return whether there were any."""
        store = self._live or self._opening
        count = store.break_off() if store is not None else 0
        self._show_wait(None)
        return bool(count)

    def prepare_model(self) -> asyncio.Task[None] | None:
        """Read again which model the store needs, and load it; return the task. None while no store is open."""
        if self._live is None:
            return None
        return self._start(Activity.PREPARE_MODEL, partial(self._prepare_model, self._live))

    # Past moments

    @property
    def moment(self) -> datetime | None:
        """Past moment at which the store is shown; None for now."""
        return self.facts.moment

    def show_at(self, moment: datetime | None) -> None:
        """Show the store as of a past moment, read-only; as it is now for None."""
        if self._live is None or moment == self.moment:
            return
        self.store = self._live if moment is None else self._live.at(moment)
        self._show_facts(moment=moment)
        # The number beside Review is that of the moment.
        self.note_change()
        self._emit(StoreChanged())

    # From the opening to the end

    async def run(self) -> None:
        """Open the store, keep it live until cancelled, and close it."""
        try:
            self._start(Activity.WATCH_WAITS, self._watch_waits)
            store = await self._open()
            while True:
                self._start(Activity.WATCH_STORE, partial(self._watch_store, store))
                self._start(Activity.WATCH_JOBS, partial(self._watch_jobs, store))
                self._start(Activity.SWEEP_JOBS, partial(self._sweep_jobs, store))
                self.prepare_model()
                await self._tables_changed.wait()
                self._tables_changed.clear()
                store = await self._open_other_tables(store)
        finally:
            await self._close()

    async def connect(self) -> None:
        """Open the store before ``run``, to know that it can be opened. Raises VestigeError."""
        self._connected = await self._open_or_create()

    async def disconnect(self) -> None:
        """Close a connected store that ``run`` has not taken over."""
        store, self._connected = self._connected, None
        if store is not None:
            await store.close()

    async def _open_or_create(self) -> Store:
        """Open the store, or create it if it is missing and the user agrees. Raises VestigeError."""
        try:
            return await self._open_store(self._create_confirmed)
        except (StoreMissing, SchemaPending) as error:
            if self._create_confirmed or self._read_only or not await self._may_create(error):
                raise
        self._create_confirmed = True
        return await self._open_store(create=True)

    async def _open(self) -> Store:
        """Return the store once it could be opened; show why it could not be until then."""
        user_asked = False
        while True:
            try:
                store, self._connected = self._connected or await self._open_or_create(), None
            except VestigeError as error:
                self._refuse(error, user_asked)
                user_asked = await self._wait_to_open_again(OPEN_AGAIN_SECONDS if comes_back(error) else None)
            else:
                break
        self._take(store)
        if user_asked:
            self._emit(Reported("The store is open.", "quiet"))
        return store

    async def _open_other_tables(self, old: Store) -> Store:
        """Open the file of a server again whose tables were changed, and tell so; places may still read the old one."""
        while True:
            try:
                store = await self._open_store(create=False)
                break
            except VestigeError as error:
                self._begin_outage(error)
                await asyncio.sleep(RETRY_SECONDS)
        tasks = [task for activity, task in self._tasks.items() if activity is not Activity.WATCH_WAITS]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._outage = None
        self._take(store)
        reopened = "Another program changed the tables of this store. If your last change is missing, make it again."
        note = read_only_sentence(store.read_only_reason) if store.read_only else reopened
        self._emit(Reported(note, "waiting"))
        former, self._former = self._former, old
        if former is not None:
            await former.close()
        return store

    def _take(self, store: Store) -> None:
        """Make an open store that of the session, and tell about it."""
        self.refusal = None
        self._live = store
        self.store = store if self.moment is None else store.at(self.moment)
        self.own_changes = OwnChanges()
        self._show_facts(
            store=store.title,
            backend=KINDS[store.kind],
            read_only=store.read_only,
            state=SessionState.LIVE,
            viewer=store.viewer.handle if store.viewer is not None else "",
        )
        log.info(
            "Store is open: %s %s%s", store.kind, below_home(store.location), ", read-only" if store.read_only else ""
        )
        self._emit(StoreChanged())
        if store.maintenance.pending:
            self._emit(Reported(store.maintenance.pending_text(), "waiting"))
        if note := store_report.pooler_note(store):
            self._emit(Reported(note, "quiet"))
        if problems := store.file_problems():
            self._emit(Reported(f"{problems[0].problem} {problems[0].remedy}", "waiting"))

    async def _open_store(self, create: bool) -> Store:
        """Return the store, open. Raises VestigeError."""
        store = open_store(
            self._url,
            create=create,
            read_only=self._read_only,
            embedders=self.embedders,
            policy=self._config.policy(),
            clock=self._clock,
            max_connections=self._config.max_connections,
            acquire_timeout=self._config.acquire_timeout_secs,
            read_url=self._config.read_url(self._url),
            origin=self.origin,
            viewer=self.viewer,
        )
        if self.facts.store != store.title:
            self._show_facts(store=store.title)
        self._opening = store
        try:
            await store.open()
        except BaseException:
            # The threads of a half-open store would keep the process alive.
            await store.close()
            raise
        finally:
            self._opening = None
        return store

    def _refuse(self, error: VestigeError, user_asked: bool) -> None:
        """Make every place show why there is no store."""
        is_repeated = self.refusal is not None and type(self.refusal) is type(error)
        log.log(logging.DEBUG if is_repeated else logging.INFO, "Store was refused: %s", error)
        self.refusal = error
        self._show_facts(state=SessionState.REFUSED)
        if user_asked:
            self._emit(Reported("Retried; the store still cannot be opened.", "waiting"))

    async def _wait_to_open_again(self, seconds: float | None) -> bool:
        """Wait for the next attempt to open the store; return whether the user asked for it."""
        try:
            async with asyncio.timeout(seconds):
                await self._open_requested.wait()
        except TimeoutError:
            return False
        self._open_requested.clear()
        return True

    async def _close(self) -> None:
        """End every activity, wait until each has closed its stores, and close the store."""
        self.facts = replace(self.facts, state=SessionState.CLOSED)
        tasks = [task for task in self._tasks.values() if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._former is not None:
            await self._former.close()
        if self._live is not None:
            await self._live.close()
            log.info("Store is closed")

    # Activities

    def _start(self, activity: Activity, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Start a background activity; cancel the one of its kind that runs."""
        self.cancel(activity)
        task = self._tasks[activity] = asyncio.create_task(self._report_failure(activity, work))
        return task

    def cancel(self, activity: Activity) -> None:
        """Cancel a background activity, if it runs."""
        if activity in self._tasks:
            self._tasks[activity].cancel()

    async def _report_failure(self, activity: Activity, work: Callable[[], Awaitable[None]]) -> None:
        """Await an activity; report its failure; clear the banner if it prepared the model."""
        # Some Pythons begin a task while it is created, before it can be cancelled by its name.
        await asyncio.sleep(0)
        try:
            await work()
        except Exception as error:
            is_expected = isinstance(error, VestigeError)
            log.warning("The activity %s failed: %s", activity.value, error, exc_info=None if is_expected else error)
            if activity is Activity.PREPARE_MODEL:
                self._model_cut_off = isinstance(error, Unavailable | Cancelled)
                self._show_banner(None)
            self._emit(Failed(error))

    def _show_facts(self, **changes: object) -> None:
        self.facts = replace(self.facts, **changes)  # type: ignore[arg-type]  # the names are those of StoreFacts
        self._emit(FrameChanged())

    # The store

    async def _watch_store(self, store: Store) -> None:
        """Watch the store for changes of any process and refresh; retry while it does not answer."""
        change: asyncio.Task[bool] | None = None
        refreshed_before = is_stale = False
        try:
            while True:
                try:
                    if not is_stale:
                        change = change or asyncio.create_task(store.wait_for_change(WAIT_SECONDS))
                        is_stale = await self._wait_for_change(change) or self._is_new_day(store)
                        change = None if change.done() else change
                    if is_stale:
                        refreshed_at = time.perf_counter()
                        await self._refresh_frame(store)
                        is_stale = False
                        self._end_outage()
                        if refreshed_before:
                            self._emit(StoreChanged())
                        refreshed_before = True
                        # Debounce: refreshes take at most a quarter of the time, however many changes come.
                        await asyncio.sleep(max(CALM_SECONDS, 3 * (time.perf_counter() - refreshed_at)))
                except StoreReplaced as error:
                    self._lose_store(store, error)
                    return
                except TablesChanged as error:
                    log.warning("The store is opened again: %s", error)
                    self._tables_changed.set()
                    return
                except VestigeError as error:
                    # Changes during the outage are unknown, so refresh.
                    is_stale = True
                    _cancel(change)
                    change = None
                    self._begin_outage(error)
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            _cancel(change)

    async def _wait_for_change(self, change: asyncio.Task[bool]) -> bool:
        """Wait for a change of the store, of this console or another process; return whether there was one."""
        check_now = asyncio.create_task(self._check_now.wait())
        try:
            await asyncio.wait({change, check_now}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            check_now.cancel()
        by_this_console = self._check_now.is_set()
        self._check_now.clear()
        return (change.done() and change.result()) or by_this_console

    def _is_new_day(self, store: Store) -> bool:
        """Check whether the local day ended since the last refresh: more is due then, and what was buried is back."""
        return self._day is not None and store.policy.days.of(store.now()) != self._day

    def _begin_outage(self, error: VestigeError) -> None:
        if self._live is not None and self._live.read_only != self.facts.read_only:
            self._show_facts(read_only=self._live.read_only)
        if isinstance(error, Unavailable) and self.state is not SessionState.RECONNECTING:
            log.info("Store is reconnecting")
            self._show_facts(state=SessionState.RECONNECTING)
        if self._outage is None:
            log.warning("Store does not answer: %s", error)
            self._outage = error
            self._emit(OutageBegan(error))

    def _lose_store(self, store: Store, error: StoreReplaced) -> None:
        """Report that another file stands in place of the store: what is open is a file that no program writes."""
        log.warning("Store is lost: %s", error)
        self._outage = None
        self._show_facts(read_only=store.read_only, state=SessionState.LIVE)
        self._emit(StoreLost(error))

    def _end_outage(self) -> None:
        """Report the end of an outage; load the model if that was cut off."""
        if self._outage is None:
            return
        error, self._outage = self._outage, None
        log.info("Store is live again")
        if self._model_cut_off:
            self._model_cut_off = False
            self.prepare_model()
        self._emit(OutageEnded(error))

    async def _refresh_frame(self, store: Store) -> None:
        self._day = store.policy.days.of(store.now())
        await store.weights.refresh()
        stats = await store.maintenance.stats()
        counts = await store.at(self.moment).reviews.queue_counts()
        model = None
        if stats.registered_model_name:
            model = f"{stats.registered_model_name.rsplit('/', 1)[-1]} {stats.registered_model_dim}"
        badges = dict(self.badges)
        badges["review"] = Badge(grouped(counts.due) if counts.due else "", waiting=counts.overdue > 0)
        self.badges = badges
        self._show_facts(
            memories=stats.total_memories,
            model=model,
            read_only=store.read_only,
            state=self._state_of_open_store(),
        )
        await self._follow_model(store)

    # Waits for the store

    async def _watch_waits(self) -> None:
        """Show the wait for the store while it lasts long."""
        while True:
            await asyncio.sleep(WAIT_POLL_SECONDS)
            store = self._live or self._opening
            self._show_wait(store.long_wait() if store is not None else None)

    def _show_wait(self, wait: WaitReport | None) -> None:
        # Waits of the same cause are equal, so that one is shown once and not every time that it is looked at.
        changed, self.wait = wait != self.wait, wait
        state = self._state_of_open_store() if self.state in (SessionState.LIVE, SessionState.WAITING) else self.state
        if changed or state is not self.state:
            if changed and wait is not None:
                log.warning("The store is waited for: %s", "a lock" if wait.holders else wait.kind.value)
            self._show_facts(state=state)

    def _state_of_open_store(self) -> SessionState:
        return SessionState.LIVE if self.wait is None else SessionState.WAITING

    # Jobs of every known store

    async def _watch_jobs(self, store: Store) -> None:
        from vestige_tui.jobs.monitor import watch

        # aclosing: the generator closes its stores even if this task is cancelled.
        async with aclosing(watch(store, JOBS_SECONDS, self._typed_urls, self.urls)) as snapshots:
            async for jobs in snapshots:
                if jobs == self.jobs:
                    continue
                self.jobs = jobs
                running = sum(job.in_flight for job in jobs)
                self.badges = {**self.badges, "jobs": Badge(f"►{running}" if running else "")}
                self._emit(FrameChanged())

    async def _sweep_jobs(self, store: Store) -> None:
        from vestige_tui.jobs.sweeper import sweep_summary, sweeping

        async with aclosing(sweeping(store)) as sweeps:
            async for result in sweeps:
                self._emit(Reported(sweep_summary(result), "waiting"))

    # The model

    async def _follow_model(self, store: Store) -> None:
        """Load another model after another process has swapped the vectors of the store."""
        model, before = await store.models.refresh(), self._loaded_model
        if model and before and (model.name, model.dimension) != (before.name, before.dimension):
            self._loaded_model = model
            text = f"Loading {model.name}: the store now uses it instead of {before.name}."
            self._show_banner(ModelBanner(ModelActivity.LOADING, text))
            self._start(Activity.PREPARE_MODEL, partial(self._prepare_model, store, another=True))

    async def _prepare_model(self, store: Store, *, another: bool = False) -> None:
        """Load vectors and model, announce ``another`` model, and embed the memories without a vector."""
        with suppressed(log, "prepare the store for searches", VestigeError):
            await store.warm()
        registered = self._loaded_model = await store.models.registered()
        try:
            await self.embedders.get(registered)
        except (ModelMismatch, EmbedderUnavailable) as error:
            self._show_banner(ModelBanner(ModelActivity.UNUSABLE, f"{error.message} Search uses text only."))
            if another and registered is not None:
                text = f"{_new_model(registered)}; search in this console uses text only."
                self._emit(Reported(text, "waiting", yields=True))
            return
        self._show_banner(None)
        if another and registered is not None:
            self._emit(Reported(f"{_new_model(registered)}.", "quiet", yields=True))
        if store.read_only or registered is None:
            return
        count = 0
        with suppressed(log, "embed memories without a vector, as a job does it", Refused):
            count = await store.models.fill(self._show_embedding)
        self._show_banner(None)
        if count:
            self.note_change()

    def _show_embedding(self, done: int, total: int) -> None:
        text = f"Embedding memories without a vector: {grouped(done)} of {grouped(total)}."
        self._show_banner(ModelBanner(ModelActivity.EMBEDDING, text))

    def _show_banner(self, banner: ModelBanner | None) -> None:
        if banner != self.banner:
            self.banner = banner
            self._emit(FrameChanged())


def comes_back(error: VestigeError) -> bool:
    """Return True if opening the store may succeed on a retry, as with a server that restarts."""
    return isinstance(error, Unavailable) and not isinstance(error, StoreMissing)


def _new_model(model: ModelSignature) -> str:
    return f"This store now uses {short_name(model.name)}, {dimensions(model.dimension)}"


def _cancel(change: asyncio.Task[bool] | None) -> None:
    """Cancel a task that waits for a change; retrieve its exception if it has ended."""
    if change is not None and not change.cancel() and not change.cancelled():
        change.exception()
