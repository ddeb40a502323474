"""Page of the domains: their memories, top terms and centroids, and the memories near one that are not in it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.errors import NotFound
from vestige_tui.core.filter_syntax import Chip
from vestige_tui.core.memories import Filter
from vestige_tui.core.text import grouped, plain, short_id
from vestige_tui.presenters.domains import NO_DOMAINS, centroid_age, members, near_reason, terms
from vestige_tui.presenters.job_progress import quantity
from vestige_tui.tui.changing_page import ChangingPage
from vestige_tui.tui.command_screen import NOT_OPEN
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.domains import OF_DOMAINS, SetDomain
from vestige_tui.tui.commands.places import GoToBrowse
from vestige_tui.tui.dialogs.memory_sheet import memory_sheet
from vestige_tui.tui.domains import changes
from vestige_tui.tui.domains.domain_list import DomainList
from vestige_tui.tui.domains.memory_lines import MemberList, NearList
from vestige_tui.tui.filtered_place import FilteredPlace
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.widgets.key_line import KeyLine
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from typing import Any

    from textual.app import App

    from vestige_tui.core.domains import DomainSummary
    from vestige_tui.core.memories import Change
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

NEAR_ROWS = 30
MEMBER_ROWS = 100
HEAD_CHARS = 400
NO_DOMAIN_HERE = "There is no domain here."

Ask = Callable[["DomainsScreen", "Store", "DomainSummary"], Awaitable["tuple[Change, str] | None"]]
"""Asks for a change of a domain, and makes it."""


class DomainsScreen(ChangingPage):
    """Domains of the store, most memories first; beside them the memories near and in the one under the cursor."""

    CSS_PATH: ClassVar[list[str | PurePath]] = ["page.tcss"]
    AUTO_FOCUS = "DomainList"
    BINDINGS: ClassVar[list[BindingType]] = bindings(*OF_DOMAINS)
    HELP = """\
A domain is a name that memories share. It can also have a label, top terms and a centroid (the mean of the vectors of
its memories); without them it is only a name. `s` sets the label, and computes centroid and top terms again.

`enter` opens the memories of a domain in Browse. `tab` goes to the memories near its centroid that are not in it:
`space` selects some of them, `a` adds the domain to them, `enter` reads one.

`r` renames a domain, `m` merges it with another one, `d` deletes it; its memories stay. `a`, `r`, `m` and `d` first
show every memory that changes. `u` undoes the last change of this console.
"""

    def __init__(self) -> None:
        super().__init__()
        self._list = DomainList(clock=self._now, id="domains")
        self._shown = ""
        """Name of the domain whose memories are shown."""

    @property
    def help_title(self) -> str:
        return "Domains"

    def compose(self) -> ComposeResult:
        yield Static(Content.styled("Domains", "$text bold"), id="domains-title", markup=False)
        with Horizontal(id="domains-body"):
            yield self._list
            with Vertical(id="domain-detail"):
                yield Static(id="domain-facts", markup=False)
                yield Static(id="near-title", markup=False)
                yield Static(id="near-why", markup=False)
                yield NearList(id="near")
                yield Static(id="members-title", markup=False)
                yield MemberList(id="members")
        yield Empty(id="nothing")
        yield self._status
        yield KeyLine()

    def on_mount(self) -> None:
        self.console.store_changed.subscribe(self, self._store_changed)
        self.console.frame_changed.subscribe(self, self._frame_changed)

    def _now(self) -> datetime:
        return self.store.now() if self.store is not None else datetime.now(UTC)

    # Reading

    def on_screen_resume(self) -> None:
        self._store_changed(None)

    def read_again(self) -> None:
        self._load()

    def _store_changed(self, _: None) -> None:
        if self.is_current:
            self._load()

    def _frame_changed(self, _: None) -> None:
        if self.is_current:
            self.refresh_bindings()

    @work(group="list", exclusive=True, exit_on_error=False)
    async def _load(self, go_to: str | None = None) -> None:
        store = self.store
        if store is None:
            self._say_nothing(NOT_OPEN)
            return
        domains = await store.domains.list_all()
        without = sum(not each.has_row for each in domains)
        facts = quantity(len(domains), "domain") + (f", {grouped(without)} only a name" if without else "")
        self.query_one("#domains-title", Static).update(
            Content.assemble(("Domains", "$text bold"), (f"   {facts}" if domains else "", "$text-muted"))
        )
        self._list.show(domains, go_to=go_to)
        self.set_class(not domains, "-nothing")
        if not domains:
            self._say_nothing(NO_DOMAINS)
        elif self.focused is None:
            self._list.focus()

    def _say_nothing(self, why: str) -> None:
        self.query_one("#nothing", Empty).say(why, ("esc", "back"))
        self.set_class(True, "-nothing")

    @on(DomainList.DomainHighlighted)
    def _highlighted(self, event: DomainList.DomainHighlighted) -> None:
        event.stop()
        self.refresh_bindings()
        if event.domain is not None:
            self._read(event.domain)

    @work(group="read", exclusive=True, exit_on_error=False)
    async def _read(self, domain: DomainSummary) -> None:
        store = self.store
        if store is None:
            return
        self._say_facts(domain)
        page = await store.page(Filter(domains=(domain.name,)), limit=MEMBER_ROWS, head=HEAD_CHARS)
        hits = await store.domains.near(domain.name, NEAR_ROWS)
        another, self._shown = domain.name != self._shown, domain.name
        self.query_one(NearList).show_hits(hits, another=another)
        self.query_one("#members", MemberList).show(page.items, another=another)
        self.set_class(not hits, "-far")
        self.query_one("#near-why", Static).update(Content(near_reason(domain, self.key_of(SetDomain))))
        self._title("near-title", "near, not in it", f"{grouped(len(hits))} nearest" if hits else "")
        self._title("members-title", "in it", f"{grouped(domain.active)}, newest first")
        self.refresh_bindings()

    def _say_facts(self, domain: DomainSummary) -> None:
        """Show name, label, numbers and terms of a domain."""
        label = plain(domain.label) if domain.label not in ("", domain.name) else ""
        lines = [
            Content.assemble((plain(domain.name), "$text bold"), (f"   {label}" if label else "", "$text-muted")),
            Content.styled(f"memories {members(domain)}   centroid {centroid_age(domain, self._now())}", "$text-muted"),
        ]
        if domain.top_terms:
            lines.append(Content.styled(terms(domain), "$text"))
        self.query_one("#domain-facts", Static).update(Content("\n").join(lines))

    def _title(self, id: str, name: str, note: str) -> None:
        self.query_one(f"#{id}", Static).update(
            Content.assemble((name, "$text bold"), (f"   {note}" if note else "", "$text-muted"))
        )

    # Disabled commands

    def why_not(self, action: str) -> str:
        reason = super().why_not(action)
        if reason:
            return reason
        match action:
            case "set_domain" | "rename_domain" | "delete_domain" | "merge_domain" if self._list.current is None:
                return NO_DOMAIN_HERE
            case "merge_domain" if len(self._list.domains) < 2:
                return "There is no other domain to merge it into."
            case "assign_domain" if not self._chosen():
                return "No memory outside of this domain is near it; a centroid is needed to find some."
        return ""

    def _chosen(self) -> tuple[str, ...]:
        """Return the ids of the selected near memories, or of the one under the cursor of their list."""
        return tuple(memory.id for memory in self.query_one(NearList).chosen_or_current)

    @on(NearList.SelectionChanged)
    def _selected(self, event: NearList.SelectionChanged) -> None:
        event.stop()
        self.refresh_bindings()
        if event.memories:
            self._status.say(f"{grouped(len(event.memories))} selected", severity="quiet")

    # Commands

    @on(DomainList.DomainChosen)
    def _opened(self, event: DomainList.DomainChosen) -> None:
        event.stop()
        app, name = self.app, event.domain.name
        self.dismiss(None)
        app.call_later(open_in_browse, app, name)

    @on(MemberList.DomainMemoryChosen)
    def _memory_opened(self, event: MemberList.DomainMemoryChosen) -> None:
        event.stop()
        self._show_memory(event.memory_id)

    @work(group="pick", exclusive=True, exit_on_error=False)
    async def _show_memory(self, memory_id: str) -> None:
        store = self.store
        if store is None:
            return
        try:
            await self.app.push_screen(await memory_sheet(store, memory_id))
        except NotFound as error:
            log.debug("A memory of a domain is gone: %s", error)
            self._status.say(f"Memory {short_id(memory_id)} was deleted meanwhile.", severity="waiting")

    def action_assign_domain(self) -> None:
        ids = self._chosen()
        self._change(lambda screen, store, domain: changes.assign(screen, store, domain, ids))

    def action_set_domain(self) -> None:
        self._change(changes.set_row)

    def action_rename_domain(self) -> None:
        self._change(changes.rename)

    def action_merge_domain(self) -> None:
        others: Sequence[DomainSummary] = self._list.domains
        self._change(lambda screen, store, domain: changes.merge(screen, store, domain, others))

    def action_delete_domain(self) -> None:
        self._change(changes.delete)

    @work(group="write", exit_on_error=False)
    async def _change(self, ask: Ask) -> None:
        store, domain = self.store, self._list.current
        if store is None or domain is None:
            return
        result = await ask(self, store, domain)
        if result is not None:
            self.changed(*result)


async def open_in_browse(app: App[Any], name: str) -> None:
    """Show the memories of a domain in Browse."""
    await app.switch_mode(GoToBrowse.place)
    place = app.screen
    if isinstance(place, FilteredPlace):
        place.call_after_refresh(place.set_filters, (Chip("domain", name),))
