"""Store: its health, size, schema and connections, and the latest changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.worker import Worker

from vestige_tui.core.errors import ReadOnly, Usage
from vestige_tui.core.health import Health, MigrationInfo, QueryTiming, Stats, StoreReport
from vestige_tui.core.jobs import StepProgress
from vestige_tui.core.journal import JournalLine
from vestige_tui.core.text import ago, bytes_size, cells, cut, grouped, plain, short_id
from vestige_tui.presenters import store_report
from vestige_tui.presenters.backups import backup_sentences
from vestige_tui.presenters.stores import read_only_sentence
from vestige_tui.tui.backups import ask_and_back_up, ask_for_restore
from vestige_tui.tui.command_screen import NOT_OPEN
from vestige_tui.tui.commands.catalogue import IN_PLACE
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.everywhere import Leave
from vestige_tui.tui.commands.places import GoToStore
from vestige_tui.tui.console_app import ConsoleApp
from vestige_tui.tui.dialogs.modals import Confirm
from vestige_tui.tui.jobs.place import show_job
from vestige_tui.tui.place import Place
from vestige_tui.tui.store.growth_chart import GrowthChart
from vestige_tui.tui.store_session_events import SessionState
from vestige_tui.tui.widgets.header import cut_path
from vestige_tui.tui.widgets.panels import Panels
from vestige_tui.tui.widgets.section import Section
from vestige_tui.tui.wizards.copy import copy_from
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

MAX_CHANGE_ROWS = 12
MAX_TABLE_ROWS = 8
MAX_SESSION_ROWS = 5
MAX_QUERY_ROWS = 6
NAME_CELLS = 10
APPLICATION_CELLS = 16
STATES = {
    "healthy": ("● healthy", "$text"),
    "degraded": ("◐ degraded", "$warning"),
    "unavailable": ("■ unavailable", "$error"),
}
SENTENCES = {
    "healthy": "No problems found.",
    "degraded": "Needs attention:",
    "unavailable": "The store does not answer:",
}
OPENING = {
    SessionState.OPENING: ("◌ opening", "$text-muted", "Opening the store…"),
    SessionState.LIVE: ("◌ reading", "$text-muted", "Reading the state of the store…"),
    SessionState.RECONNECTING: ("◐ reconnecting", "$warning", "The store does not answer; the console retries."),
}
STEPS = {"applied": ("●", "$text-muted"), "pending": ("○", "$warning"), "waiting": ("◌", "$warning")}


class StorePlace(Place):
    """Health of the store in words, then its figures."""

    GO_TO = GoToStore
    CSS_PATH: ClassVar[list[str | PurePath]] = ["../widgets/panels.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = bindings(*IN_PLACE["store"])
    HELP = """\
The health of the store, its contents, server or file, connections, table sizes, slowest queries, schema and latest
changes.

`c` copies this store into another one, as a job that keeps running when the console is closed. `b` writes a backup into
a file, and `B` makes the store equal to a backup, after a list of what it would lose. `v` frees unused space; it first
shows what has to wait meanwhile. `esc` stops a backup or a vacuum. `d` looks at every row for faults, and fixes them.

Query times are measured in this console since it opened the store. `ctrl+r` refreshes all figures.
"""

    def __init__(self) -> None:
        super().__init__()
        self._looked = False
        self._away = False
        self._vacuuming: Worker[None] | None = None
        self._backing_up: Worker[None] | None = None

    def compose_body(self) -> ComposeResult:
        with Panels(id="panels"):
            yield Section("", id="health")
            with Horizontal(id="columns"):
                # In a narrow terminal the second column moves below the first.
                with Vertical():
                    yield Section("contents", id="contents")
                    yield GrowthChart(id="growth")
                    yield Section("table sizes", id="sizes")
                    yield Section("recent changes", id="changes")
                    yield Section("this console's slowest queries, by total", id="slowest")
                with Vertical(id="aside"):
                    yield Section("server or file", id="server")
                    yield Section("connections", id="connections")
                    yield Section("vectors in RAM", id="held")
                    yield Section("schema", id="schema")
                    yield Section("this console's slowest queries, by max", id="longest")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#panels").focus()

    def refresh_place(self) -> None:
        self._look()

    def _frame_changed(self, nothing: None) -> None:
        super()._frame_changed(nothing)
        if not self.is_mounted:
            return
        state, was_away = self.store_session.state, self._away
        self._away = state is SessionState.RECONNECTING
        if self.store is None or (self._away and not was_away):
            # Health from before the outage is stale.
            self._fill("health", lambda width: _opening(state))
        elif was_away and not self._away and self._shown:
            self.refresh_place()

    @work(group="look", exclusive=True, exit_on_error=False)
    async def _look(self) -> None:
        store = self.store
        if store is None:
            return
        if not self._looked:
            # Health is shown before the slower figures are read.
            health = await store.health()
            self._show_health(store, health)
        report, now = await store.maintenance.report(), store.present()
        self._looked = True
        self._show_health(store, report.health)
        stats, server = report.stats, report.server
        if stats is None or server is None:
            return
        self.query_one(GrowthChart).growth = await store.maintenance.growth()
        self._fill("contents", lambda width: _contents(stats))
        self._fill("sizes", lambda width: _sizes(report, now, width))
        self._fill("server", lambda width: _named(store_report.server(server, now), width))
        self._fill("connections", lambda width: _connections(report, now, width))
        vector_rows = store_report.vectors_in_memory(report.vectors)
        self.query_one("#held", Section).fill((lambda width: _named(vector_rows, width)) if vector_rows else None)
        longest = sorted(report.queries, key=lambda each: (-each.longest_ms, each.name))
        self._fill("slowest", lambda width: _queries(report.queries, width, longest=False))
        self._fill("longest", lambda width: _queries(longest, width, longest=True))
        migrations = await store.maintenance.schema_status()
        self._fill("schema", lambda width: _schema(store, migrations, width))
        changes = await store.journal.entries(limit=MAX_CHANGE_ROWS)
        self._fill("changes", lambda width: _changes(changes, now, width))

    def _show_health(self, store: Store, health: Health) -> None:
        """Show the health of the store; while it reconnects, only an unavailable one."""
        if health.state == "unavailable" or not self._away:
            self._fill("health", lambda width: _health(store, health))

    def _fill(self, id: str, body: Callable[[int], Content]) -> None:
        self.query_one(f"#{id}", Section).fill(body)

    @work(group="ask", exclusive=True, exit_on_error=False)
    async def action_vacuum(self) -> None:
        store = self.store
        if store is None:
            raise Usage(NOT_OPEN)
        if store.read_only:
            raise ReadOnly(read_only_sentence(store.read_only_reason))
        if self._is_vacuuming():
            raise Usage("A vacuum of this store is already running.")
        effects = store_report.vacuum_effects(store.kind)
        if await self.app.push_screen_wait(Confirm(f"Vacuum {store.title}?", effects, verb="vacuum")):
            self._vacuuming = self._vacuum(store)

    def _say_vacuuming(self, stop: str, subject: str, step: StepProgress | None = None) -> None:
        self.say(f"Vacuuming {store_report.vacuum_step(subject, step)}; {stop}.", severity="quiet")

    @work(group="vacuum", exclusive=True, exit_on_error=False)
    async def _vacuum(self, store: Store) -> None:
        say = partial(self._say_vacuuming, f"{self._key_of(Leave.id, 'esc')} stops it")
        try:
            result = await store.maintenance.vacuum(say, say)
        except asyncio.CancelledError:
            if self.is_mounted:
                self.say("Vacuum stopped; nothing was lost.", severity="quiet")
                self.refresh_place()
            raise
        except BaseException:
            self.say("")
            raise
        self.say(store_report.vacuum_result(result))
        self.refresh_place()

    def _is_vacuuming(self) -> bool:
        return self._vacuuming is not None and not self._vacuuming.is_finished

    def action_back(self) -> None:
        stoppable = [each for each in (self._vacuuming, self._backing_up) if each is not None and not each.is_finished]
        if stoppable:
            stoppable[-1].cancel()
        else:
            super().action_back()

    def action_back_up(self) -> None:
        if self._backing_up is None or self._backing_up.is_finished:
            self._backing_up = self._back_up()

    @work(group="backup", exit_on_error=False)
    async def _back_up(self) -> None:
        try:
            backup = await ask_and_back_up(self, f"; {self._key_of(Leave.id, 'esc')} stops it.")
        except asyncio.CancelledError:
            if self.is_mounted:
                self.say("Backup stopped; no file was written.", severity="quiet")
            raise
        if backup is not None:
            self.say(" ".join(backup_sentences(backup)))

    @work(group="ask", exclusive=True, exit_on_error=False)
    async def action_restore_backup(self) -> None:
        store = self.store
        if store is None:
            raise Usage(NOT_OPEN)
        if store.read_only:
            raise ReadOnly(read_only_sentence(store.read_only_reason))
        if (plan := await ask_for_restore(self)) is not None:
            assert isinstance(self.app, ConsoleApp)
            self.app.action_restore(plan)

    def action_show_doctor(self) -> None:
        from vestige_tui.tui.doctor.page import DoctorScreen

        self.app.push_screen(DoctorScreen())

    @work(group="copy", exclusive=True, exit_on_error=False)
    async def action_start_copy(self) -> None:
        if await copy_from(self, show_job):
            self.action_place("jobs")


def _rows(pairs: Sequence[tuple[str, str, str]], names: int) -> Content:
    return Content("\n").join(
        Content.assemble((f"{name:<{names}}  ", "$text-disabled"), (value, ink)) for name, value, ink in pairs
    )


def _opening(state: SessionState) -> Content:
    word, ink, sentence = OPENING.get(state, OPENING[SessionState.OPENING])
    return Content.assemble((word, f"{ink} bold"), "   ", (sentence, "$text-muted"))


def _health(store: Store, health: Health) -> Content:
    word, ink = STATES[health.state]
    lines = [Content.assemble((word, f"{ink} bold"), "   ", (SENTENCES[health.state], "$text-muted"))]
    for problem in health.problems:
        remedy = f" {plain(problem.remedy)}" if problem.remedy else ""
        lines.append(Content.assemble((plain(problem.problem), ink), (remedy, "$text")))
    if store.read_only:
        reason = f"Read-only: {plain(store.read_only_reason)}."
        if store.kind == "vestige":
            reason += " It belongs to a Vestige server"
            reason += "; this console does not write to it unless you adopt it." if store.maintenance.adoptable else "."
        lines.append(Content.styled(reason, "$text"))
    return Content("\n").join(lines)


def _named(pairs: Sequence[tuple[str, str]], width: int) -> Content:
    room = max(10, width - NAME_CELLS - 2)
    return _rows(
        [(name, (cut_path if name == "file" else cut)(value, room), "$text") for name, value in pairs], NAME_CELLS
    )


def _connections(report: StoreReport, now: datetime, width: int) -> Content:
    lines = [_named(store_report.connections(report), width)]
    others = [each for each in report.sessions if not each.mine]
    rows = [
        (str(each.pid), each.application, store_report.session_state(each, now)) for each in others[:MAX_SESSION_ROWS]
    ]
    if mine := [each for each in report.sessions if each.mine]:
        rows.append(("this one", mine[0].application, store_report.session_states(mine, now)))
    for number, application, state in rows:
        lines.append(
            Content.assemble(
                (f"{number:<{NAME_CELLS}}  ", "$text-disabled"),
                (f"{_padded(plain(application) or 'unnamed', APPLICATION_CELLS)}  ", "$text"),
                (cut(state, max(8, width - NAME_CELLS - APPLICATION_CELLS - 4)), "$text-muted"),
            )
        )
    if len(others) > MAX_SESSION_ROWS:
        more = len(others) - MAX_SESSION_ROWS
        lines.append(Content.styled(f"and {grouped(more)} {'other' if more == 1 else 'others'}", "$text-muted"))
    return Content("\n").join(lines)


def _sizes(report: StoreReport, now: datetime, width: int) -> Content:
    if report.sizes is None:
        return Content.styled(store_report.not_measured(report), "$text-muted")
    tables, rest = report.sizes[:MAX_TABLE_ROWS], report.sizes[MAX_TABLE_ROWS:]
    room = max(10, min(28, width - 27))
    lines = [Content.styled(f"{'':<{room}}{'data':>9}{'indexes':>9}{'total':>9}", "$text-disabled")]
    for each in tables:
        parts = (bytes_size(part) if part else "─" for part in (each.heap + each.outside, each.indexes))
        lines.append(
            Content.assemble(
                (_padded(plain(each.name), room), "$text"),
                ("".join(f"{part:>9}" for part in parts), "$text-muted"),
                (f"{bytes_size(each.bytes):>9}", "$text" if each.bytes else "$text-disabled"),
            )
        )
    if rest:
        others = f"{grouped(len(rest))} more"
        total = bytes_size(sum(each.bytes for each in rest))
        lines.append(Content.styled(f"{others:<{room + 18}}{total:>9}", "$text-muted"))
    if any(each.dead_rows is not None for each in tables):
        lines += [Content(""), Content.styled(f"{'':<{room}}{'dead':>9}{'vacuum':>9}{'analyze':>9}", "$text-disabled")]
        for each in tables:
            dead, *times = store_report.maintenance_ages(each, now)
            lines.append(
                Content.assemble(
                    (_padded(plain(each.name), room), "$text"),
                    (f"{dead:>9}", "$text" if each.dead_rows else "$text-disabled"),
                    ("".join(f"{time:>9}" for time in times), "$text-muted"),
                )
            )
    return Content("\n").join(lines)


def _padded(text: str, width: int) -> str:
    """Return text cut and padded to ``width`` cells."""
    label = cut(text, width)
    return label + " " * (width - cells(label))


def _queries(queries: Sequence[QueryTiming], width: int, *, longest: bool) -> Content:
    names = ["count", "max" if longest else "total", "median"] + (["p95"] if width >= 50 else [])
    room = max(10, width - 9 * len(names))
    lines = [Content.styled(" " * room + "".join(f"{name:>9}" for name in names), "$text-disabled")]
    for each in queries[:MAX_QUERY_ROWS]:
        first = store_report.milliseconds(each.longest_ms if longest else each.total_ms)
        rest = [each.median_ms, each.p95_ms][: len(names) - 2]
        lines.append(
            Content.assemble(
                (_padded(plain(each.name.replace("_", " ")), room), "$text"),
                (f"{grouped(each.count):>9}", "$text-muted"),
                (f"{first:>9}", "$text"),
                ("".join(f"{store_report.milliseconds(span):>9}" for span in rest), "$text-muted"),
            )
        )
    return Content("\n").join(lines)


def _contents(stats: Stats) -> Content:
    total = stats.total_memories
    pairs = []
    for name, count, part in store_report.contents(stats):
        percent = f"{count / total * 100:>6.0f} %" if part and total else ""
        pairs.append((name, f"{grouped(count):>10}{percent}", "$text" if count else "$text-disabled"))
    if stats.size_bytes is not None:
        pairs.append(("size", f"{bytes_size(stats.size_bytes):>10}", "$text"))
    return _rows(pairs, 13)


def _schema(store: Store, migrations: Sequence[MigrationInfo], width: int) -> Content:
    if not migrations:
        return Content.styled(
            f"{plain(store.read_only_reason)}. It keeps its own schema, which is read through views.", "$text-muted"
        )
    lines = []
    for info in migrations:
        glyph, ink = STEPS[info.state]
        when = f"  {info.applied_at:%Y-%m-%d}" if info.applied_at else ""
        state = f"{store_report.migration_state(info)}{when}"
        name = cut(plain(info.name), 14)
        room = max(4, width - 23)
        lines.append(
            Content.assemble(
                (f"{glyph} ", ink),
                (f"{info.version:04d} ", "$text-disabled"),
                (f"{name:<14}  ", "$text"),
                (cut(state, room), "$text-muted" if info.state == "applied" else ink),
            )
        )
    return Content("\n").join(lines)


def _changes(changes: Sequence[JournalLine], now: datetime, width: int) -> Content:
    if not changes:
        return Content.styled("No changes yet.", "$text-muted")
    lines = []
    for entry in changes:
        ids = entry.ids
        subject = short_id(ids[0]) if len(ids) == 1 else f"{grouped(len(ids))} memories"
        undone = entry.undone_by is not None
        tail = cut(f"{subject:<14}{cut(plain(entry.actor), 16)}{'   undone' if undone else ''}", max(8, width - 24))
        lines.append(
            Content.assemble(
                (f"{ago(entry.at, now):>10}  ", "$text-muted"),
                (f"{cut(plain(entry.verb), 11):<12}", "$text-disabled" if undone else "$text"),
                (tail, "$text-muted"),
            )
        )
    return Content("\n").join(lines)
