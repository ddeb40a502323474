"""The console's app: opens the store after the first paint, keeps the frame up to date, switches places."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App
from textual.binding import BindingType
from textual.command import Provider
from textual.screen import Screen
from textual.signal import Signal
from textual.worker import Worker, WorkerError, WorkerState

from vestige_tui.config.keys import check_keys
from vestige_tui.config.settings import Config
from vestige_tui.config.writer import set_value
from vestige_tui.core.errors import (
    EmbedderUnavailable,
    ModelMismatch,
    Refused,
    SchemaPending,
    StoreMissing,
    Unavailable,
    VestigeError,
)
from vestige_tui.core.text import grouped, redact
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.presenters.jobs import short_model
from vestige_tui.store.open import open_store
from vestige_tui.tui.commands.catalogue import catalogue
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.everywhere import Quit
from vestige_tui.tui.commands.palette import CommandPalette
from vestige_tui.tui.dialogs.help import HelpScreen
from vestige_tui.tui.dialogs.modals import Confirm
from vestige_tui.tui.place import Place, comes_back
from vestige_tui.tui.themes import DEFAULT_THEME, register
from vestige_tui.tui.widgets.header import Badge, Facts
from vestige_tui.tui.widgets.status_line import Severity, StatusLine
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.core.jobs import Job
    from vestige_tui.store.context import Clock
    from vestige_tui.store.store import Store

JOBS_SECONDS = 0.25
WAIT_SECONDS = 5.0
RETRY_SECONDS = 0.5
OPEN_AGAIN_SECONDS = 5.0
CALM_SECONDS = 0.1
LEAVING_SECONDS = 0.5
BEGIN_SECONDS = 2.0
"""The store is opened after this time even if no paint has been reported."""
LOADING = "Loading"
FIRST_PLACE = "search"
KINDS = {"sqlite": "SQLite", "postgres": "PostgreSQL", "vestige": "Vestige file"}


def _new_model(model: ModelSignature) -> str:
    return f"The store now belongs to {short_model(model.name)}, {grouped(model.dimension)} dimensions"


def _cancel(change: asyncio.Task[bool] | None) -> None:
    """Cancel a task that waits for a change; retrieve its exception if it has ended."""
    if change is not None and not change.cancel() and not change.cancelled():
        change.exception()


def _search() -> Place:
    from vestige_tui.tui.search.place import SearchPlace

    return SearchPlace()


def _browse() -> Place:
    from vestige_tui.tui.browse.place import BrowsePlace

    return BrowsePlace()


def _review() -> Place:
    from vestige_tui.tui.review.place import ReviewPlace

    return ReviewPlace()


def _jobs() -> Place:
    from vestige_tui.tui.jobs.place import JobsPlace

    return JobsPlace()


def _registry() -> Place:
    from vestige_tui.tui.registry.place import RegistryPlace

    return RegistryPlace()


def _store() -> Place:
    from vestige_tui.tui.store.place import StorePlace

    return StorePlace()


class VestigeApp(App[None], inherit_bindings=False):
    """Textual app that owns the open store, its watchers and the embedding model; places act on the store."""

    TITLE = "vestige"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {CommandPalette}
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {  # imported when first visited
        "search": _search,
        "browse": _browse,
        "review": _review,
        "jobs": _jobs,
        "registry": _registry,
        "store": _store,
    }
    BINDINGS: ClassVar[list[BindingType]] = bindings(Quit)

    def __init__(
        self,
        config: Config,
        store_url: str,
        *,
        read_only: bool = False,
        create_confirmed: bool = False,
        embedders: EmbedderSource | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.store_url = store_url
        self.read_only = read_only
        self.create_confirmed = create_confirmed
        self.embedders = embedders or EmbedderSource(config.model or None)
        self.clock = clock
        self.store: Store | None = None
        self.facts = Facts(store=store_url if "://" not in store_url else "")
        self.badges: Mapping[str, Badge] = {}
        self.jobs: tuple[Job, ...] = ()
        self._typed_urls: list[str] = []
        self.banner = ""
        self.refused: VestigeError | None = None
        self.store_changed: Signal[None] = Signal(self, "store_changed")
        self.frame_changed: Signal[None] = Signal(self, "frame_changed")
        self._check_now = asyncio.Event()
        self._open_requested = asyncio.Event()
        self._outage_messages: dict[StatusLine, str] = {}
        self._opening: Worker[None] | None = None
        self._loaded_model: ModelSignature | None = None
        self._model_cut_off = False

    async def on_mount(self) -> None:
        register(self)
        self.theme = self.config.theme if self.config.theme in self.available_themes else DEFAULT_THEME
        self.set_keymap(dict(self.config.keys))
        self.watch(self, "theme", self._theme_chosen, init=False)
        if not self.is_headless:
            # Close the store on these signals: an embedded PostgreSQL server ends with its last user.
            for signum in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(signum, partial(self.exit, return_code=128 + signum))
        # Not DEFAULT_MODE: from Python 3.12 on tasks run while they are created, so the screen of that mode would be
        # mounted before it is on the stack, and its widgets ask the app for its screen. Other places are mounted over
        # the previous place; this one over Textual's own empty screen.
        await self.switch_mode(FIRST_PLACE)
        # The first screen is painted before any store is touched. The timer is for a callback that never comes: it
        # belongs to the screen in front, and is lost with it where that is the palette, opened and closed meanwhile.
        self.call_after_refresh(self._open_once)
        self.set_timer(BEGIN_SECONDS, self._open_once)

    def _theme_chosen(self, theme: str) -> None:
        if self.config.path is not None and theme != self.config.theme:
            try:
                set_value(self.config.path, "ui.theme", theme)
            except (VestigeError, OSError) as error:
                self._say_error(error)

    # The store

    def _open_once(self) -> None:
        if self._opening is None:
            self._opening = self._open()

    @work(group="open", exclusive=True, exit_on_error=False)
    async def _open(self) -> None:
        create, user_asked = self.create_confirmed, False
        while True:
            try:
                store = await self._open_store(create)
            except VestigeError as error:
                is_missing = isinstance(error, StoreMissing | SchemaPending)
                if is_missing and not (create or self.read_only) and await self._may_create(error):
                    create = True
                    continue
                self._refuse(error, user_asked)
                user_asked = await self._wait_to_open_again(OPEN_AGAIN_SECONDS if comes_back(error) else None)
            else:
                break
        self.refused = None
        self.store = store
        self._show_facts(store=store.title, backend=KINDS[store.kind], read_only=store.read_only, link="live")
        self.store_changed.publish(None)
        if user_asked:
            self._say("The store is open.")
        self._follow_store(store)
        self._watch_jobs(store)
        self._sweep_jobs(store)
        self._prepare_model(store)

    async def _open_store(self, create: bool) -> Store:
        """Return the store, open. Raises VestigeError."""
        store = open_store(
            self.store_url,
            create=create,
            read_only=self.read_only,
            embedders=self.embedders,
            policy=self.config.policy(),
            clock=self.clock,
            max_connections=self.config.max_connections,
            acquire_timeout=self.config.acquire_timeout_secs,
        )
        if self.facts.store != store.title:
            self._show_facts(store=store.title)
        try:
            await store.open()
        except BaseException:
            # The threads of a half-open store would keep the process alive.
            await store.close()
            raise
        return store

    async def _wait_to_open_again(self, seconds: float | None) -> bool:
        """Wait for the next attempt to open the store; return whether the user asked for it."""
        try:
            await asyncio.wait_for(self._open_requested.wait(), seconds)
        except TimeoutError:
            return False
        self._open_requested.clear()
        return True

    def open_again(self) -> None:
        """Retry at once to open the store that could not be opened."""
        self._open_requested.set()

    async def _may_create(self, error: VestigeError) -> bool:
        return await self.push_screen_wait(
            Confirm("Make a new memory store here?", [error.message], verb="make it", notes=[self.store_url_shown()])
        )

    def store_url_shown(self) -> str:
        """Return the URL of the store without a password."""
        return redact(self.store_url)

    def _refuse(self, error: VestigeError, user_asked: bool) -> None:
        """Make every place show why there is no store."""
        self.refused = error
        self._show_facts(link="closed")
        if user_asked:
            self._say("Tried again just now; it still cannot be opened.", "waiting")

    def _say(self, text: str, severity: Severity = "quiet") -> None:
        """Show a sentence in the status line of the place in front."""
        place = self.screen_stack[0]
        if isinstance(place, Place):
            place.say(text, severity=severity)

    def _say_unless_it_failed(self, text: str, severity: Severity) -> None:
        """Show a sentence, unless the status line shows a failure."""
        place = self.screen_stack[0]
        if isinstance(place, Place) and not place.complains:
            place.say(text, severity=severity)

    def _say_error(self, error: BaseException) -> None:
        place = self.screen_stack[0]
        if isinstance(place, Place):
            place.say_error(error)

    def note_change(self) -> None:
        """Refresh at once after a write of this console, without waiting for the change token."""
        self._check_now.set()

    @work(group="watch", exclusive=True, exit_on_error=False)
    async def _follow_store(self, store: Store) -> None:
        """Watch the store for changes of any process and refresh; retry while it does not answer."""
        change: asyncio.Task[bool] | None = None
        refreshed_before = is_stale = False
        try:
            while True:
                try:
                    if not is_stale:
                        change = change or asyncio.create_task(store.wait_for_change(WAIT_SECONDS))
                        is_stale = await self._wait_for_change(change)
                        change = None if change.done() else change
                    if is_stale:
                        refreshed_at = time.perf_counter()
                        await self._refresh_frame(store)
                        is_stale = False
                        self._clear_outage(store)
                        if refreshed_before:
                            self.store_changed.publish(None)
                        refreshed_before = True
                        # Debounce: refreshes take at most a quarter of the time, however many changes come.
                        await asyncio.sleep(max(CALM_SECONDS, 3 * (time.perf_counter() - refreshed_at)))
                except VestigeError as error:
                    # Changes during the outage are unknown, so refresh.
                    is_stale = True
                    _cancel(change)
                    change = None
                    self._say_outage(error)
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            _cancel(change)

    def _say_outage(self, error: VestigeError) -> None:
        """Show an outage once in each place, but not over a failure of the user's own command."""
        if isinstance(error, Unavailable) and self.facts.link != "reconnecting":
            self._show_facts(link="reconnecting")
        place = self.screen_stack[0]
        if isinstance(place, Place) and place.is_mounted:
            # A body may have status lines of its own; the frame's comes last.
            line = place.query_children(StatusLine).last()
            if not self._outage_messages and line.message[2] != "bad":
                self._say_error(error)
            self._outage_messages[line] = error.message if line.message[0] == error.message else ""

    def _clear_outage(self, store: Store) -> None:
        """Clear the messages of the outage in all places; load the model if that was cut off."""
        if self._outage_messages and self._model_cut_off:
            self._model_cut_off = False
            self._prepare_model(store)
        for line, message in self._outage_messages.items():
            if line.message[0] == message or line.message[0].startswith(f"{store.title} cannot be reached"):
                line.say("")
        self._outage_messages.clear()

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

    async def _refresh_frame(self, store: Store) -> None:
        stats = await store.maintenance.stats()
        counts = await store.reviews.queue_counts()
        model = None
        if stats.registered_model_name:
            model = f"{stats.registered_model_name.rsplit('/', 1)[-1]} {stats.registered_model_dim}"
        badges = dict(self.badges)
        badges["review"] = Badge(grouped(counts.due) if counts.due else "", waiting=counts.overdue > 0)
        self.badges = badges
        self._show_facts(memories=stats.total_memories, model=model, link="live")
        await self._follow_model(store)

    def _show_facts(self, **changes: object) -> None:
        self.facts = replace(self.facts, **changes)  # type: ignore[arg-type]  # the names are those of Facts
        self.frame_changed.publish(None)

    # Jobs of every known store

    @property
    def urls(self) -> tuple[str, ...]:
        """URLs of the stores that this console knows, with the passwords that no ledger holds."""
        return tuple(dict.fromkeys(filter(None, (*self._typed_urls, self.store_url, self.config.postgres_url))))

    def remember_url(self, url: str) -> None:
        """Keep the password of a typed URL until this console ends."""
        if url not in self._typed_urls and url != redact(url):
            self._typed_urls.insert(0, url)

    @work(group="jobs", exclusive=True, exit_on_error=False)
    async def _watch_jobs(self, store: Store) -> None:
        from vestige_tui.jobs.monitor import watch

        # aclosing: the generator closes its stores even if this worker is cancelled.
        async with aclosing(watch(store, JOBS_SECONDS, self._typed_urls, self.urls)) as snapshots:
            async for jobs in snapshots:
                if jobs == self.jobs:
                    continue
                self.jobs = jobs
                running = sum(job.in_flight for job in jobs)
                self.badges = {**self.badges, "jobs": Badge(f"►{running}" if running else "")}
                self.frame_changed.publish(None)

    @work(group="sweep", exclusive=True, exit_on_error=False)
    async def _sweep_jobs(self, store: Store) -> None:
        from vestige_tui.jobs.sweeper import sweep_summary, sweeping

        async with aclosing(sweeping(store)) as sweeps:
            async for result in sweeps:
                self._say(sweep_summary(result), "waiting")

    # The model

    def prepare_model(self) -> None:
        """Read again which model the store needs, and load it."""
        if self.store is not None:
            self._prepare_model(self.store)

    async def _follow_model(self, store: Store) -> None:
        """Load another model after another process has swapped the vectors of the store."""
        model, before = await store.models.refresh(), self._loaded_model
        if model and before and (model.name, model.dimension) != (before.name, before.dimension):
            self._loaded_model = model
            self._show_banner(f"{LOADING} {model.name}: the store belongs to it now, no longer to {before.name}.")
            self._prepare_model(store, another=True)

    @work(group="model", exclusive=True, exit_on_error=False)
    async def _prepare_model(self, store: Store, *, another: bool = False) -> None:
        """Load vectors and model, announce ``another`` model, and embed the memories without a vector."""
        with suppress(VestigeError):
            await store.warm()
        registered = self._loaded_model = await store.models.registered()
        try:
            await self.embedders.get(registered)
        except (ModelMismatch, EmbedderUnavailable) as error:
            self._show_banner(f"{error.message} Search answers by words alone.")
            if another and registered is not None:
                self._say_unless_it_failed(f"{_new_model(registered)}; here searches answer by words alone.", "waiting")
            return
        self._show_banner("")
        if another and registered is not None:
            self._say_unless_it_failed(f"{_new_model(registered)}; results are by it.", "quiet")
        if store.read_only or registered is None:
            return
        count = 0
        with suppress(Refused):  # a job makes all of them
            count = await store.models.fill(self._say_filling)
        self._show_banner("")
        if count:
            self.note_change()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Show the failure of a background worker; clear the banner if it loaded the model."""
        error = event.worker.error
        if event.state is not WorkerState.ERROR or error is None:
            return
        if event.worker.group == "model":
            self._model_cut_off = isinstance(error, Unavailable)
            self._show_banner("")
        self._say_error(error)

    def _say_filling(self, done: int, total: int) -> None:
        self._show_banner(f"Making the vectors that are missing: {grouped(done)} of {grouped(total)}.")

    def _show_banner(self, text: str) -> None:
        if text != self.banner:
            self.banner = text
            self.frame_changed.publish(None)

    def action_command_palette(self) -> None:
        """Open the palette; close help first, so that it lists the commands of the place."""
        if isinstance(self.screen, HelpScreen):
            self.pop_screen()
        super().action_command_palette()

    async def action_quit(self) -> None:
        """Quit; a store that is slow to close is announced after LEAVING_SECONDS."""
        if not self.is_headless:
            asyncio.get_running_loop().call_later(LEAVING_SECONDS, self._say_leaving)
        await super().action_quit()

    def _say_leaving(self) -> None:
        # Textual no longer paints, so write to the terminal itself.
        if (terminal := sys.__stderr__) is not None:
            terminal.write(f"\x1b[{self.size.height};1H\x1b[0m\x1b[2K Closing the store; jobs go on.")
            terminal.flush()

    async def on_unmount(self) -> None:
        # Wait until these workers have closed their stores: the end of the loop would cut that short.
        opening = [self._opening] if self._opening is not None else []
        leaving = [*opening, *(worker for worker in self.workers if worker.group in ("jobs", "sweep"))]
        for worker in leaving:
            if not worker.is_cancelled:
                worker.cancel()
        for worker in leaving:
            with suppress(WorkerError):
                await worker.wait()
        if self.store is not None:
            await self.store.close()
        self.embedders.close()


def run_console(config: Config, store_url: str, *, read_only: bool = False, create_confirmed: bool = False) -> int:
    """Run the console until the user quits; return the exit status. Raises ConfigError for a bad keymap."""
    keys_by_id = {command_id: command.key for command_id, command in catalogue().items()}
    check_keys(config, keys_by_id)
    app = VestigeApp(config, store_url, read_only=read_only, create_confirmed=create_confirmed)
    app.run()
    return app.return_code or 0
