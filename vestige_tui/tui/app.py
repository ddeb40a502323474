"""The console: opens the store after the first paint, keeps the frame true, and leads from place to place."""

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

from vestige_tui.config import Config, check_keys, set_value
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
from vestige_tui.embedding.models import EmbedderSource
from vestige_tui.presenters.jobs import short_model
from vestige_tui.store.open import open_store
from vestige_tui.tui.commands import CommandPalette, Quit, bindings, catalogue
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
    from vestige_tui.store.store import Clock, Store

JOBS_SECONDS = 0.25
WAIT_SECONDS = 5.0
RETRY_SECONDS = 0.5
OPEN_AGAIN_SECONDS = 5.0
CALM_SECONDS = 0.1
LEAVING_SECONDS = 0.5
BEGIN_SECONDS = 2.0
"""After so long the store is opened, whatever was painted by then."""
LOADING = "Loading"
FIRST_PLACE = "search"
KINDS = {"sqlite": "SQLite", "postgres": "PostgreSQL", "vestige": "Vestige file"}


def _belongs(model: ModelSignature) -> str:
    return f"The store now belongs to {short_model(model.name)}, {grouped(model.dimension)} dimensions"


def _drop(waiting: asyncio.Task[bool] | None) -> None:
    """Let nobody wait any longer."""
    if waiting is not None and not waiting.cancel() and not waiting.cancelled():
        waiting.exception()


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
    """Owns the open store; what a person can do with it belongs to the places."""

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
        self._typed: list[str] = []
        self.banner = ""
        self.refused: VestigeError | None = None
        self.store_changed: Signal[None] = Signal(self, "store_changed")
        self.frame_changed: Signal[None] = Signal(self, "frame_changed")
        self._check_now = asyncio.Event()
        self._once_more = asyncio.Event()
        self._troubled: dict[StatusLine, str] = {}
        self._opening: Worker[None] | None = None
        self._prepared: ModelSignature | None = None
        self._model_cut_off = False

    async def on_mount(self) -> None:
        register(self)
        self.theme = self.config.theme if self.config.theme in self.available_themes else DEFAULT_THEME
        self.set_keymap(dict(self.config.keys))
        self.watch(self, "theme", self._theme_chosen, init=False)
        if not self.is_headless:
            # Who is told to go, or loses the terminal, closes what is open: a server of ours ends with its last user.
            for each in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(each, partial(self.exit, return_code=128 + each))
        # Not DEFAULT_MODE: from Python 3.12 on tasks run while they are created, so the screen of that mode would be
        # mounted before it is on the stack, and its widgets ask the app for its screen. The other places are mounted
        # over the place before; this one over Textual's own empty screen.
        await self.switch_mode(FIRST_PLACE)
        # The first screen is painted before any store is touched. But what waits for a paint waits with the screen that
        # is in front by then, and goes with it where that is the palette, opened and closed meanwhile.
        self.call_after_refresh(self._begin)
        self.set_timer(BEGIN_SECONDS, self._begin)

    def _theme_chosen(self, theme: str) -> None:
        if self.config.path is not None and theme != self.config.theme:
            try:
                set_value(self.config.path, "ui.theme", theme)
            except (VestigeError, OSError) as error:
                self._say_error(error)

    # The store

    def _begin(self) -> None:
        if self._opening is None:
            self._opening = self._open()

    @work(group="open", exclusive=True, exit_on_error=False)
    async def _open(self) -> None:
        create, asked = self.create_confirmed, False
        while True:
            try:
                store = await self._opened(create)
            except VestigeError as error:
                new = isinstance(error, StoreMissing | SchemaPending)
                if new and not (create or self.read_only) and await self._may_create(error):
                    create = True
                    continue
                self._refuse(error, asked)
                asked = await self._asked_once_more(OPEN_AGAIN_SECONDS if comes_back(error) else None)
            else:
                break
        self.refused = None
        self.store = store
        self._show_facts(store=store.title, backend=KINDS[store.kind], read_only=store.read_only, link="live")
        self.store_changed.publish(None)
        if asked:
            self._say("The store is open.")
        self._keep_true(store)
        self._watch_jobs(store)
        self._sweep_jobs(store)
        self._prepare_model(store)

    async def _opened(self, create: bool) -> Store:
        """The store, open."""
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
            # Left half open, its threads would keep a console alive that is being left.
            await store.close()
            raise
        return store

    async def _asked_once_more(self, seconds: float | None) -> bool:
        """Wait until it is time to open the store once more; tells whether the person asked for it."""
        try:
            await asyncio.wait_for(self._once_more.wait(), seconds)
        except TimeoutError:
            return False
        self._once_more.clear()
        return True

    def open_again(self) -> None:
        """Try at once to open the store that could not be opened."""
        self._once_more.set()

    async def _may_create(self, error: VestigeError) -> bool:
        return await self.push_screen_wait(
            Confirm("Make a new memory store here?", [error.message], verb="make it", notes=[self.store_url_shown()])
        )

    def store_url_shown(self) -> str:
        """Where the store is or will be, without a password."""
        return redact(self.store_url)

    def _refuse(self, error: VestigeError, asked: bool) -> None:
        """Let every place say why there is nothing in it."""
        self.refused = error
        self._show_facts(link="closed")
        if asked:
            self._say("Tried again just now; it still cannot be opened.", "waiting")

    def _say(self, text: str, severity: Severity = "quiet") -> None:
        """Say it in the place where the person is."""
        place = self.screen_stack[0]
        if isinstance(place, Place):
            place.say(text, severity=severity)

    def _say_unless_it_failed(self, text: str, severity: Severity) -> None:
        """The same, but not over what the person has to know of a failure."""
        place = self.screen_stack[0]
        if isinstance(place, Place) and not place.complains:
            place.say(text, severity=severity)

    def _say_error(self, error: BaseException) -> None:
        place = self.screen_stack[0]
        if isinstance(place, Place):
            place.say_error(error)

    def note_change(self) -> None:
        """Something was written from this console: look at once instead of when it is told of."""
        self._check_now.set()

    @work(group="watch", exclusive=True, exit_on_error=False)
    async def _keep_true(self, store: Store) -> None:
        """Look again whenever anybody has changed the store; one that goes away is waited for."""
        waiting: asyncio.Task[bool] | None = None
        begun = behind = False
        try:
            while True:
                try:
                    if not behind:
                        waiting = waiting or asyncio.create_task(store.wait_for_change(WAIT_SECONDS))
                        behind = await self._changed(waiting)
                        waiting = None if waiting.done() else waiting
                    if behind:
                        looked = time.perf_counter()
                        await self._refresh_frame(store)
                        behind = False
                        self._answers_again(store)
                        if begun:
                            self.store_changed.publish(None)
                        begun = True
                        # A flood of changes costs no more than a part of the time, however long one look takes.
                        await asyncio.sleep(max(CALM_SECONDS, 3 * (time.perf_counter() - looked)))
                except VestigeError as error:
                    # What was missed meanwhile is not known.
                    behind = True
                    _drop(waiting)
                    waiting = None
                    self._say_trouble(error)
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            _drop(waiting)

    def _say_trouble(self, error: VestigeError) -> None:
        """Say once what keeps the console from looking, but not over a sentence about what the person has just done."""
        if isinstance(error, Unavailable) and self.facts.link != "reconnecting":
            self._show_facts(link="reconnecting")
        place = self.screen_stack[0]
        if isinstance(place, Place) and place.is_mounted:
            # A body may have lines of its own; the frame's stands behind it.
            line = place.query_children(StatusLine).last()
            if not self._troubled and line.said[2] != "bad":
                self._say_error(error)
            self._troubled[line] = error.message if line.said[0] == error.message else ""

    def _answers_again(self, store: Store) -> None:
        """Take back what was said of the outage, in every place that was looked at meanwhile, and nothing else.

        What it has cut off of the model is gone on with.
        """
        if self._troubled and self._model_cut_off:
            self._model_cut_off = False
            self._prepare_model(store)
        for line, said in self._troubled.items():
            if line.said[0] == said or line.said[0].startswith(f"{store.title} cannot be reached"):
                line.say("")
        self._troubled.clear()

    async def _changed(self, waiting: asyncio.Task[bool]) -> bool:
        """Has anybody changed the store, this console or another, once one of them says so or none for long?"""
        told = asyncio.create_task(self._check_now.wait())
        try:
            await asyncio.wait({waiting, told}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
        ours = self._check_now.is_set()
        self._check_now.clear()
        return (waiting.done() and waiting.result()) or ours

    async def _refresh_frame(self, store: Store) -> None:
        stats = await store.get_stats()
        counts = await store.queue_counts()
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

    # Jobs, wherever they run

    @property
    def urls(self) -> tuple[str, ...]:
        """Stores known to this console, with the passwords that no ledger holds."""
        return tuple(dict.fromkeys(filter(None, (*self._typed, self.store_url, self.config.postgres_url))))

    def remember_url(self, url: str) -> None:
        """Know the password in a URL that was typed, for as long as this console runs."""
        if url not in self._typed and url != redact(url):
            self._typed.insert(0, url)

    @work(group="jobs", exclusive=True, exit_on_error=False)
    async def _watch_jobs(self, store: Store) -> None:
        from vestige_tui.jobs.monitor import watch

        # Closed by name: what it opened is closed even where this worker is cancelled in the middle.
        async with aclosing(watch(store, JOBS_SECONDS, self._typed, self.urls)) as seen:
            async for jobs in seen:
                if jobs == self.jobs:
                    continue
                self.jobs = jobs
                running = sum(job.in_flight for job in jobs)
                self.badges = {**self.badges, "jobs": Badge(f"►{running}" if running else "")}
                self.frame_changed.publish(None)

    @work(group="sweep", exclusive=True, exit_on_error=False)
    async def _sweep_jobs(self, store: Store) -> None:
        from vestige_tui.jobs.sweeper import sweeping, told

        async with aclosing(sweeping(store)) as sweeps:
            async for swept in sweeps:
                self._say(told(swept), "waiting")

    # The model

    def prepare_model(self) -> None:
        """Look again which model the store needs, and load it."""
        if self.store is not None:
            self._prepare_model(self.store)

    async def _follow_model(self, store: Store) -> None:
        """Load another model where somebody has given the store the vectors of one."""
        model, before = await store.refresh_model(), self._prepared
        if model and before and (model.name, model.dimension) != (before.name, before.dimension):
            self._prepared = model
            self._show_banner(f"{LOADING} {model.name}: the store belongs to it now, no longer to {before.name}.")
            self._prepare_model(store, another=True)

    @work(group="model", exclusive=True, exit_on_error=False)
    async def _prepare_model(self, store: Store, *, another: bool = False) -> None:
        """Load vectors and model in the background, say so where it is ``another`` one, and make missing vectors."""
        with suppress(VestigeError):
            await store.warm()
        registered = self._prepared = await store.registered_model()
        try:
            await self.embedders.get(registered)
        except (ModelMismatch, EmbedderUnavailable) as error:
            self._show_banner(f"{error.message} Search answers by words alone.")
            if another and registered is not None:
                self._say_unless_it_failed(f"{_belongs(registered)}; here searches answer by words alone.", "waiting")
            return
        self._show_banner("")
        if another and registered is not None:
            self._say_unless_it_failed(f"{_belongs(registered)}; results are by it.", "quiet")
        if store.read_only or registered is None:
            return
        filled = 0
        with suppress(Refused):  # a job makes all of them
            filled = await store.fill_embeddings(self._filling)
        self._show_banner("")
        if filled:
            self.note_change()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Say what failed behind the places; what failed with the model is under way no more."""
        error = event.worker.error
        if event.state is not WorkerState.ERROR or error is None:
            return
        if event.worker.group == "model":
            self._model_cut_off = isinstance(error, Unavailable)
            self._show_banner("")
        self._say_error(error)

    def _filling(self, done: int, total: int) -> None:
        self._show_banner(f"Making the vectors that are missing: {grouped(done)} of {grouped(total)}.")

    def _show_banner(self, said: str) -> None:
        if said != self.banner:
            self.banner = said
            self.frame_changed.publish(None)

    def action_command_palette(self) -> None:
        """Offer every command that can be given where the person is; help gives way to what it is about."""
        if isinstance(self.screen, HelpScreen):
            self.pop_screen()
        super().action_command_palette()

    async def action_quit(self) -> None:
        """Leave; where what is open takes its time to close, a word says so."""
        if not self.is_headless:
            asyncio.get_running_loop().call_later(LEAVING_SECONDS, self._say_leaving)
        await super().action_quit()

    def _say_leaving(self) -> None:
        # No screen of ours is painted any more.
        if (terminal := sys.__stderr__) is not None:
            terminal.write(f"\x1b[{self.size.height};1H\x1b[0m\x1b[2K Closing the store; jobs go on.")
            terminal.flush()

    async def on_unmount(self) -> None:
        # What these have opened is closed before the loop ends, which would cut that short.
        opening = [self._opening] if self._opening is not None else []
        leaving = [*opening, *(each for each in self.workers if each.group in ("jobs", "sweep"))]
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
    """Open the console and stay until the person leaves; gives the exit status. Raises ConfigError for a bad keymap."""
    known = {command_id: command.key for command_id, command in catalogue().items()}
    check_keys(config, known)
    app = VestigeApp(config, store_url, read_only=read_only, create_confirmed=create_confirmed)
    app.run()
    return app.return_code or 0
