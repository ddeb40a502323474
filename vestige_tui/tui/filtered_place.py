"""FilteredPlace: a Place with a filter line; reads its chips, picks, saves and carries filters over.

Inheritance: Place (place.py) → FilteredPlace (here) → MemoryPlace (memory_place.py) → ReadingPlace
(reading_place.py).
Place is the frame; FilteredPlace adds the `FilterBar` and its commands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from vestige_tui.core.filter_syntax import BadChip, Chip, split_chips, write_chips
from vestige_tui.core.memories import Filter
from vestige_tui.core.memory_template import MemoryForm, Sharing
from vestige_tui.core.text import cut, grouped, plain
from vestige_tui.tui.commands.lists import PickFilters
from vestige_tui.tui.commands.palette import Kind, PaletteEntry
from vestige_tui.tui.commands.places import GoToBrowse, GoToReview, GoToSearch
from vestige_tui.tui.dialogs.modals import Choice, Pick
from vestige_tui.tui.filters.bar import FilterBar
from vestige_tui.tui.filters.completion import LineCompletions
from vestige_tui.tui.filters.saved import SavedFilters, ask_to_save
from vestige_tui.tui.filters.values import resolved
from vestige_tui.tui.place import Place
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

REPLACED = Chip("with", "replaced")
FILTERED = (GoToSearch, GoToBrowse, GoToReview)


class FilteredPlace(Place):
    """Place with a list that the chips of a `FilterBar` narrow."""

    def on_mount(self) -> None:
        super().on_mount()
        completions = LineCompletions(lambda: self.store)
        self.bar.complete_by(completions.of)
        # On the line, as a node has one subscription to a signal.
        self.console.store_changed.subscribe(self.bar, lambda _: completions.forget())

    @property
    def bar(self) -> FilterBar:
        """Filter line of this place."""
        return self.query_one(FilterBar)

    @property
    def replaced_too(self) -> bool:
        """True if replaced memories are shown as well."""
        return REPLACED in self.bar.chips

    async def current_filter(self, store: Store) -> Filter:
        """Return the filter of the chips. Raises BadChip, after the filter line has shown the fault."""
        try:
            resolved_filter = await resolved(store, self.bar.chips)
        except BadChip as error:
            self.bar.complain(error.message, error.chip)
            raise
        self.bar.complain("")
        return resolved_filter

    def hint_on_filter(self, text: str) -> str:
        """Return a hint while a filter is typed that nothing has ended yet; empty for other words."""
        _, pending = split_chips(f"{text} ")
        return f"enter or space applies the filter {plain(write_chips(pending))}." if pending else ""

    async def tally(self, chosen: Filter) -> str:
        """Return a sentence with the number of memories that pass a filter."""
        assert self.store is not None
        count = await self.store.memories.count(chosen)
        return f"{grouped(count)} {'memory passes' if count == 1 else 'memories pass'}."

    def set_filters(self, chips: Sequence[Chip]) -> None:
        """Replace the chips and query the store with them."""
        self.bar.set_chips(chips)

    def action_toggle_superseded(self) -> None:
        visible = self.replaced_too
        chips = self.bar.chips
        self.set_filters([chip for chip in chips if chip != REPLACED] if visible else [*chips, REPLACED])
        self.say(f"Replaced memories are {'hidden' if visible else 'shown'}.", severity="quiet")

    @work(group="pick", exclusive=True, exit_on_error=False)
    async def action_pick_filters(self) -> None:
        from vestige_tui.tui.filters.picker import FilterPicker

        store = self.store
        if store is None:
            self.say("The store is not open yet.", severity="waiting")
            return
        saved = SavedFilters(self.app)
        picker = FilterPicker(store, self.bar.chips, saved=saved, changed=self.set_filters, tally=self.tally)
        await self.app.push_screen_wait(picker)

    @work(group="pick", exclusive=True, exit_on_error=False)
    async def action_save_filters(self) -> None:
        result = await ask_to_save(self, SavedFilters(self.app), self.bar.chips)
        if result.saved:
            key = self._key_of(PickFilters.id, "f")
            self.say(f"{result.sentence} {key} lists it; on the command line use --filter.")
        elif result.sentence:
            self.say(result.sentence)

    @work(group="pick", exclusive=True, exit_on_error=False)
    async def action_carry_filters(self) -> None:
        chips = self.bar.chips
        if not chips:
            self.say("There are no filters to open elsewhere.", severity="quiet")
            return
        choices = [Choice(command.place, command.title) for command in FILTERED if command is not self.GO_TO]
        picked = await self.app.push_screen_wait(Pick("Open these filters in…", choices))
        if picked is None:
            return
        await self.app.switch_mode(picked)
        place = self.app.screen
        if isinstance(place, FilteredPlace):
            place.call_after_refresh(place.set_filters, chips)

    def offers(self) -> Iterator[PaletteEntry]:
        """Yield the saved filters as palette entries."""
        saved = SavedFilters(self.app)
        for name, text in saved.by_name.items():
            use = partial(self._use, saved, name)
            yield PaletteEntry(Kind.FILTER, f"Filter: {plain(name)}", cut(plain(text), 200), use)

    async def _use(self, saved: SavedFilters, name: str) -> None:
        self.set_filters(saved.chips(name))


def form_of_filters(chips: Sequence[Chip]) -> MemoryForm:
    """Return the fields of a new memory that passes these filters, as far as they name values."""
    values: dict[str, list[str]] = {}
    for chip in chips:
        if chip.sign != "-":
            values.setdefault(chip.field, []).append(chip.value)
    return MemoryForm(
        node_type=values.get("type", ["fact"])[0],
        domains=tuple(dict.fromkeys(values.get("domain", ()))),
        codebase=values.get("codebase", [""])[0],
        tags=tuple(dict.fromkeys(values.get("tag", ()))),
        sharing=_sharing_of_filters(values),
    )


def _sharing_of_filters(values: Mapping[str, Sequence[str]]) -> Sharing:
    sharing = Sharing(next(iter(values.get("owner", ())), None), next(iter(values.get("visibility", ())), None))
    groups = tuple(dict.fromkeys(values.get("group", ())))
    return sharing.shared_with(groups) if groups else sharing
