"""Store: is it well, how large is it, what is its schema, who is connected, and what changed last."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Grid, VerticalScroll
from textual.content import Content

from vestige_tui.commands import IN_PLACE, GoToStore, bindings
from vestige_tui.errors import ReadOnly
from vestige_tui.model import Health, JournalEntry, MigrationInfo, Stats
from vestige_tui.screens.base import Place
from vestige_tui.text import ago, bytes_size, cut, grouped, plain, short_id
from vestige_tui.widgets.glyphs import level
from vestige_tui.widgets.memory_card import Section

if TYPE_CHECKING:
    from vestige_tui.store.service import Store

SHOWN_MONTHS = 14
SHOWN_CHANGES = 12
STATES = {
    "healthy": ("● healthy", "$text"),
    "degraded": ("◐ degraded", "$warning"),
    "unavailable": ("■ unavailable", "$error"),
}
MIGRATION_GLYPHS = {"applied": ("●", "$text-muted"), "pending": ("○", "$warning"), "waiting": ("◌", "$warning")}


class StorePlace(Place):
    """Health first, in words; then figures."""

    GO_TO = GoToStore
    CSS_PATH: ClassVar[list[str | PurePath]] = ["panels.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = bindings(*IN_PLACE["store"])
    HELP = """\
Is the store well, and what is in it: size and growth, connections, schema, and what people changed last.

`c` copies this store into a PostgreSQL one, as a job that goes on when the console is closed.
"""

    def compose_body(self) -> ComposeResult:
        with VerticalScroll(id="panels", can_focus=True), Grid(id="grid"):
            yield Section("health", id="health")
            yield Section("contents", id="contents")
            yield Section("growth", id="growth")
            yield Section("schema", id="schema")
            yield Section("changes", id="changes")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#panels").focus()
        self.query_one("#health", Section).fill(lambda width: Content.styled("◌ opening the store…", "$text-muted"))

    def refresh_place(self) -> None:
        self._look()

    @work(group="look", exclusive=True, exit_on_error=False)
    async def _look(self) -> None:
        store = self.store
        if store is None:
            return
        health = await store.health_check()
        self._fill("health", lambda width: _health(store, health, width))
        if health.state == "unavailable":
            return
        stats, growth = await store.get_stats(), await store.growth()
        self._fill("contents", lambda width: _contents(stats))
        self._fill("growth", lambda width: _growth(growth, width))
        migrations = await store.schema_status()
        self._fill("schema", lambda width: _schema(store, migrations, width))
        changes, now = await store.journal(limit=SHOWN_CHANGES), store.now()
        self._fill("changes", lambda width: _changes(changes, now, width))

    def _fill(self, id: str, body: object) -> None:
        self.query_one(f"#{id}", Section).fill(body)  # type: ignore[arg-type]  # a function of the width

    @work(group="vacuum", exclusive=True, exit_on_error=False)
    async def action_vacuum(self) -> None:
        store = self.store
        if store is None:
            return
        before = (await store.get_stats()).size_bytes or 0
        self.say("Giving unused space back…", severity="quiet")
        await store.vacuum()
        after = (await store.get_stats()).size_bytes or 0
        self.say(f"Gave back {bytes_size(max(0, before - after))}.")
        self.refresh_place()

    @work(group="copy", exclusive=True, exit_on_error=False)
    async def action_start_copy(self) -> None:
        from vestige_tui.screens.copying import ask_and_start

        if self.store is None:
            return
        if self.store.kind == "postgres":
            raise ReadOnly("A copy goes from a SQLite store to PostgreSQL; this store is on PostgreSQL already.")
        started = await ask_and_start(self, self.store)
        if started:
            self.action_place("jobs")


def _rows(pairs: Sequence[tuple[str, str, str]], names: int) -> Content:
    return Content("\n").join(
        Content.assemble((f"{name:<{names}}  ", "$text-disabled"), (value, ink)) for name, value, ink in pairs
    )


def _health(store: Store, health: Health, width: int) -> Content:
    word, ink = STATES[health.state]
    lines = [Content.styled(word, f"{ink} bold")]
    lines += [
        Content.styled(plain(note), "$warning" if health.state == "degraded" else "$error") for note in health.notes
    ]
    pairs = [("where", cut(plain(store.title), max(10, width - 11)), "$text")]
    if health.server:
        pairs.append(("runs on", plain(health.server), "$text"))
    pairs.append(("pool", health.pool, "$text"))
    if store.read_only:
        pairs.append(("mode", f"read-only: {plain(store.read_only_reason)}", "$warning"))
    return Content("\n").join([*lines, Content(""), _rows(pairs, 7)])


def _contents(stats: Stats) -> Content:
    counts = [
        ("memories", stats.total_memories),
        ("with a vector", stats.memories_with_embeddings),
        ("replaced", stats.superseded),
        ("links", stats.total_edges),
        ("reviews", stats.total_reviews),
        ("named domains", stats.total_domains),
    ]
    pairs = [(name, f"{grouped(count):>11}", "$text") for name, count in counts]
    if stats.size_bytes is not None:
        pairs.append(("size", f"{bytes_size(stats.size_bytes):>11}", "$text"))
    return _rows(pairs, 13)


def _growth(growth: Sequence[tuple[str, int]], width: int) -> Content:
    shown = growth[-SHOWN_MONTHS:]
    if not shown:
        return Content.styled("No memories yet.", "$text-disabled")
    most = max(count for _, count in shown)
    cells = max(8, min(40, width - 20))
    lines = []
    for month, count in shown:
        full, rest = level(count / most, cells)
        lines.append(
            Content.assemble(
                (f"{plain(month):<8} ", "$text-muted"),
                (full, "$accent"),
                (rest, "$panel"),
                (f" {grouped(count):>7}", "$text"),
            )
        )
    return Content("\n").join(lines)


def _schema(store: Store, migrations: Sequence[MigrationInfo], width: int) -> Content:
    if not migrations:
        return Content.styled(f"{plain(store.read_only_reason)}: its own schema, read through views.", "$text-muted")
    lines = []
    for info in migrations:
        glyph, ink = MIGRATION_GLYPHS[info.state]
        said = info.state if info.waits_for is None else f"waiting for {info.waits_for}"
        when = f"  {info.applied_at:%Y-%m-%d}" if info.applied_at else ""
        lines.append(
            Content.assemble(
                (f"{glyph} ", ink), f"{info.version:04d} {info.name:<14}", (f"{said}{when}", "$text-muted")
            )
        )
    return Content("\n").join(lines)


def _changes(changes: Sequence[JournalEntry], now: datetime, width: int) -> Content:
    if not changes:
        return Content.styled("Nobody has changed anything from here yet.", "$text-disabled")
    lines = []
    for entry in changes:
        ids = entry.ids
        what = short_id(plain(ids[0])) if len(ids) == 1 else f"{grouped(len(ids))} memories"
        undone = "   undone" if entry.undone_by is not None else ""
        lines.append(
            Content.assemble(
                (f"{ago(entry.at, now):>9}  ", "$text-muted"),
                (f"{plain(entry.verb):<12}", "$text-disabled" if undone else "$text"),
                (f"{what:<14}{cut(plain(entry.actor), 16)}{undone}", "$text-muted"),
            )
        )
    return Content("\n").join(lines)
