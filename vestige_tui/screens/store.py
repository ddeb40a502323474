"""Store: is it well, how large is it, what is its schema, who is connected, and what changed last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content

from vestige_tui.commands import IN_PLACE, GoToStore, bindings
from vestige_tui.errors import Usage
from vestige_tui.model import Health, JournalEntry, MigrationInfo, Stats
from vestige_tui.screens.base import Place
from vestige_tui.screens.copying import copy_from
from vestige_tui.text import ago, bytes_size, cells, cut, grouped, plain, short_id
from vestige_tui.widgets.growth_chart import GrowthChart
from vestige_tui.widgets.memory_card import Section
from vestige_tui.widgets.panels import Panels

if TYPE_CHECKING:
    from vestige_tui.store.service import Store

SHOWN_CHANGES = 12
STATES = {
    "healthy": ("● healthy", "$text"),
    "degraded": ("◐ degraded", "$warning"),
    "unavailable": ("■ unavailable", "$error"),
}
SENTENCES = {
    "healthy": "It answers, and nothing needs attention.",
    "degraded": "It answers, but something needs attention:",
    "unavailable": "It does not answer:",
}
OPENING = {
    "opening": ("◌ opening", "$text-muted", "The store is being opened."),
    "live": ("◌ asking", "$text-muted", "The store is being asked."),
    "reconnecting": ("◐ reconnecting", "$warning", "The store went away; it is being tried again."),
    "closed": ("■ closed", "$error", "The store could not be opened; the line below says why."),
}
STEPS = {"applied": ("●", "$text-muted"), "pending": ("○", "$warning"), "waiting": ("◌", "$warning")}


class StorePlace(Place):
    """Health first, in words; then figures."""

    GO_TO = GoToStore
    CSS_PATH: ClassVar[list[str | PurePath]] = ["panels.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = bindings(*IN_PLACE["store"])
    HELP = """\
Is the store well, and what is in it: size and growth, connections, schema, and what people changed last.

`c` copies this store into a PostgreSQL one, as a job that goes on when the console is closed. `v` gives unused space
back to the system.
"""

    def compose_body(self) -> ComposeResult:
        with Panels(id="panels"):
            yield Section("", id="health")
            with Horizontal(id="columns"):
                with Vertical():
                    yield GrowthChart(id="growth")
                    yield Section("recent changes", id="changes")
                with Vertical(id="aside"):
                    yield Section("contents", id="contents")
                    yield Section("schema", id="schema")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#panels").focus()

    def refresh_place(self) -> None:
        self._look()

    def _frame_changed(self, nothing: None) -> None:
        super()._frame_changed(nothing)
        if self.store is None and self.is_mounted:
            self._fill("health", lambda width: _opening(self.console.facts.link))

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
        self.query_one(GrowthChart).growth = growth
        migrations = await store.schema_status()
        self._fill("schema", lambda width: _schema(store, migrations, width))
        changes, now = await store.journal(limit=SHOWN_CHANGES), store.now()
        self._fill("changes", lambda width: _changes(changes, now, width))

    def _fill(self, id: str, body: Callable[[int], Content]) -> None:
        self.query_one(f"#{id}", Section).fill(body)

    @work(group="vacuum", exclusive=True, exit_on_error=False)
    async def action_vacuum(self) -> None:
        store = self.store
        if store is None:
            raise Usage("The store is not open yet.")
        before = (await store.get_stats()).size_bytes or 0
        self.say("Giving unused space back…", severity="quiet")
        try:
            await store.vacuum()
        except BaseException:
            self.say("")
            raise
        after = (await store.get_stats()).size_bytes or 0
        given = before - after
        self.say(f"Gave back {bytes_size(given)}." if given > 0 else "There was no unused space to give back.")
        self.refresh_place()

    @work(group="copy", exclusive=True, exit_on_error=False)
    async def action_start_copy(self) -> None:
        if await copy_from(self):
            self.action_place("jobs")


def _rows(pairs: Sequence[tuple[str, str, str]], names: int) -> Content:
    return Content("\n").join(
        Content.assemble((f"{name:<{names}}  ", "$text-disabled"), (value, ink)) for name, value, ink in pairs
    )


def _opening(link: str) -> Content:
    word, ink, sentence = OPENING.get(link, OPENING["opening"])
    return Content.assemble((word, f"{ink} bold"), "   ", (sentence, "$text-muted"))


def _health(store: Store, health: Health, width: int) -> Content:
    word, ink = STATES[health.state]
    lines = [Content.assemble((word, f"{ink} bold"), "   ", (SENTENCES[health.state], "$text-muted"))]
    lines += [Content.styled(plain(note), ink) for note in health.notes]
    if store.read_only:
        reason = f"Read-only: {plain(store.read_only_reason)}."
        if store.kind == "vestige":
            reason += " Its server goes on using it; nothing here writes to it."
        lines.append(Content.styled(reason, "$text"))
    facts = [("where", cut(plain(store.title), max(10, width - 9)))]
    if health.server:
        facts.append(("runs on", plain(health.server)))
    facts.append(("pool", health.pool))
    if sum(cells(name) + 2 + cells(value) + 4 for name, value in facts) <= width + 4:
        line = [
            piece for name, value in facts for piece in ((f"{name}  ", "$text-disabled"), (f"{value}    ", "$text"))
        ]
        return Content("\n").join([*lines, Content(""), Content.assemble(*line)])
    return Content("\n").join([*lines, Content(""), _rows([(name, value, "$text") for name, value in facts], 7)])


def _contents(stats: Stats) -> Content:
    whole = stats.total_memories
    counts = [
        ("memories", whole, False),
        ("with a vector", stats.memories_with_embeddings, True),
        ("replaced", stats.superseded, True),
        ("links", stats.total_edges, False),
        ("reviews", stats.total_reviews, False),
        ("named domains", stats.total_domains, False),
    ]
    pairs = []
    for name, count, part in counts:
        percent = f"{count / whole * 100:>6.0f} %" if part and whole else ""
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
        said = "applied"
        if info.state == "pending":
            said = "not applied yet"
        elif info.state == "waiting":
            said = f"waits for {plain(info.waits_for or 'a model')}"
        when = f"  {info.applied_at:%Y-%m-%d}" if info.applied_at else ""
        name = cut(plain(info.name), 14)
        room = max(4, width - 23)
        lines.append(
            Content.assemble(
                (f"{glyph} ", ink),
                (f"{info.version:04d} ", "$text-disabled"),
                (f"{name:<14}  ", "$text"),
                (cut(f"{said}{when}", room), "$text-muted" if info.state == "applied" else ink),
            )
        )
    return Content("\n").join(lines)


def _changes(changes: Sequence[JournalEntry], now: datetime, width: int) -> Content:
    if not changes:
        return Content.styled("Nobody has changed anything from a console yet.", "$text-muted")
    lines = []
    for entry in changes:
        ids = entry.ids
        what = short_id(ids[0]) if len(ids) == 1 else f"{grouped(len(ids))} memories"
        undone = entry.undone_by is not None
        tail = cut(f"{what:<14}{cut(plain(entry.actor), 16)}{'   undone' if undone else ''}", max(8, width - 24))
        lines.append(
            Content.assemble(
                (f"{ago(entry.at, now):>10}  ", "$text-muted"),
                (f"{cut(plain(entry.verb), 11):<12}", "$text-disabled" if undone else "$text"),
                (tail, "$text-muted"),
            )
        )
    return Content("\n").join(lines)
