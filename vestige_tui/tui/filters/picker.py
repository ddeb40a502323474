"""Filter picker: fields on the left, values of the field on the right with the number of memories that pass each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker, WorkerState

from vestige_tui.core.errors import VestigeError
from vestige_tui.core.filter_syntax import (
    FIELDS,
    MANY,
    SIGNED,
    BadChip,
    Chip,
    filter_of,
    normalized,
    same_chips,
    without_field,
    write_chips,
)
from vestige_tui.core.memories import Filter
from vestige_tui.core.text import cells, cut, grouped, plain
from vestige_tui.tui import layout_widths
from vestige_tui.tui.commands.lists import SaveFilters
from vestige_tui.tui.dialogs.modals import Dialog
from vestige_tui.tui.filters.bar import AskInput, FilterBar
from vestige_tui.tui.filters.saved import SavedFilters, ask_to_drop, ask_to_save
from vestige_tui.tui.filters.values import (
    MAX_VALUE_COUNT,
    OPEN,
    STATE_FIELDS,
    Value,
    resolved,
    saved_values,
    values_of,
)
from vestige_tui.tui.shown_keys import shown_key
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

Changed: TypeAlias = Callable[[tuple[Chip, ...]], None]
"""Callback for every change of the chips."""
Tally: TypeAlias = Callable[[Filter], Awaitable[str]]
"""Coroutine that returns a sentence with the number of memories that pass a filter."""

SAVED = "saved"
SHOWN_VALUE_COUNT = 500
SETTLE_SECONDS = 0.12
PATIENCE_SECONDS = 0.3
FULL, EMPTY = "●", "○"
SIGNS = {"plus": "+", "minus": "-"}
"""Signs by the name of their key."""
SIGN_LABELS = {"+": "and", "-": "not"}
DATES = "or type a date: -45d, 2026-11-01"
PLACEHOLDERS = {"since": DATES, "until": DATES, "recall": "or type a number: 0.85"}


class NarrowInput(AskInput):
    """Input that narrows the values. Space is a key here, and so are the ``signs`` of the field in an empty line."""

    signs: tuple[str, ...] = ()

    def check_consume_key(self, key: str, character: str | None) -> bool:
        is_sign = not self.value and SIGNS.get(key) in self.signs
        return key != "space" and not is_sign and super().check_consume_key(key, character)


class FilterPicker(Dialog[None]):
    """Dialog of fields and values; a toggle is applied to the list behind at once, and escape keeps it.

    ``tally`` returns a sentence with the number of memories that pass all chips.
    """

    CSS_PATH: ClassVar[list[str | PurePath]] = ["picker.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "down", show=False, priority=True),
        Binding("up", "move(-1)", "up", show=False, priority=True),
        Binding("pagedown", "move(8)", "page down", show=False, priority=True),
        Binding("pageup", "move(-8)", "page up", show=False, priority=True),
        Binding("tab,right", "field(1)", "next field", show=False, priority=True),
        Binding("shift+tab,left", "field(-1)", "previous field", show=False, priority=True),
        Binding("space,enter", "choose", "toggle", show=False, priority=True),
        Binding("plus", "choose_signed('+')", "and", show=False, priority=True),
        Binding("minus", "choose_signed('-')", "not", show=False, priority=True),
        Binding(SaveFilters.key, "save", "save", id=SaveFilters.id, show=False, priority=True),
        Binding("delete", "drop", "delete", show=False, priority=True),
    ]

    def __init__(
        self,
        store: Store,
        chips: Sequence[Chip],
        *,
        saved: SavedFilters,
        changed: Changed,
        tally: Tally,
        field: str = "domain",
    ) -> None:
        super().__init__("Filters", ())
        self._store = store
        self._chips = tuple(chips)
        self._saved = saved
        self._changed = changed
        self._tally = tally
        self._fields = (*FIELDS, SAVED)
        self._field = field
        self._values: tuple[Value, ...] = ()
        self._shown: tuple[Value, ...] = ()
        self._narrowed_by = ""
        self._loaded_key: tuple[object, ...] | None = None
        self._fault = ""
        self._count_text = ""

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="pick-body"):
            yield OptionList(*(Option("") for _ in self._fields), id="fields", markup=False)
            with Vertical(id="pick-right"):
                yield NarrowInput(placeholder="type to narrow", compact=True)
                yield OptionList(id="values", markup=False)
                yield Empty("", id="why")
        yield Static(id="pick-chips", markup=False)
        yield Static(id="pick-count", markup=False)

    def on_mount(self) -> None:
        for options in self.query(OptionList):
            options.can_focus = False
        self.query_one(NarrowInput).focus()
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        self._show_chips()
        self._open_field()

    def on_resize(self) -> None:
        self.call_after_refresh(self._redraw)

    def _redraw(self) -> None:
        self._show_chips()
        self._narrow(keep=True)

    @property
    def _typed(self) -> str:
        return self.query_one(NarrowInput).value.strip()

    # Fields

    def action_field(self, step: int) -> None:
        self._go_to(self._fields[(self._fields.index(self._field) + step) % len(self._fields)])

    @on(OptionList.OptionSelected, "#fields")
    def _field_clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._go_to(self._fields[event.option_index])

    def _go_to(self, field: str) -> None:
        if field == self._field:
            return
        self._field = field
        with self.prevent(Input.Changed):
            self.query_one(NarrowInput).value = ""
        self._open_field()

    def _open_field(self) -> None:
        self.query_one("#fields", OptionList).highlighted = self._fields.index(self._field)
        self.query_one("#sheet-keys", Static).update(self._key_line())
        self.query_one(NarrowInput).signs = signs_of(self._field)
        self.query_one(NarrowInput).placeholder = PLACEHOLDERS.get(self._field, "type to narrow")
        self._values, self._loaded_key, self._fault = (), None, ""
        self._narrow()
        self._load()

    def _key_line(self) -> Content:
        own = [("enter", "use"), ("del", "delete")] if self._field == SAVED else [("space", "toggle")]
        if not layout_widths.is_narrow(self.size.width):
            own += [(sign, SIGN_LABELS[sign]) for sign in signs_of(self._field)]
        keys = [*own, ("tab", "field"), (shown_key(self.app, SaveFilters), "save"), ("esc", "close")]
        lines = (
            _key_line([*keys[:-1], ("backspace", "remove last"), keys[-1]], "   "),
            _key_line(keys, "   "),
        )
        return next((line for line in lines if line.cell_length <= self._key_cells), _key_line(keys, "  "))

    # Values

    @work(group="values", exclusive=True, exit_on_error=False)
    async def _load(self) -> None:
        """Load the values of the field, unless the loaded ones are for the same field, text and other filters."""
        field = self._field
        typed = self._typed if field in OPEN else ""
        others = self._chips if field in STATE_FIELDS else without_field(self._chips, field)
        key = (field, typed, frozenset(others), tuple(self._saved.by_name.items()) if field == SAVED else ())
        if key == self._loaded_key:
            return
        timer = self.set_timer(PATIENCE_SECONDS, self._say_counting)
        try:
            if field == SAVED:
                values = await saved_values(self._store, self._saved.by_name)
            else:
                values = await values_of(self._store, field, self._chips, typed)
            self._fault = ""
        except VestigeError as error:
            values, self._fault = (), error.message
        finally:
            timer.stop()
        self._values, self._loaded_key = values, key
        self._narrow(keep=True)

    def _say_counting(self) -> None:
        if self._loaded_key is None:
            self._say_why("Counting …")

    def _narrow(self, *, keep: bool = False) -> None:
        """Show the values that contain the typed text; ``keep`` the cursor's position."""
        self._narrowed_by = self._typed
        typed = self._narrowed_by.casefold()
        if self._field in OPEN:
            self._shown = self._values
        else:
            self._shown = tuple(value for value in self._values if typed in value.label.casefold())[:SHOWN_VALUE_COUNT]
        values = self.query_one("#values", OptionList)
        at = (values.highlighted or 0) if keep else 0
        values.clear_options()
        self.remove_class("-nothing")
        if self._shown:
            values.add_options([Option(self._line(value)) for value in self._shown])
            values.highlighted = min(at, len(self._shown) - 1)
        elif self._loaded_key is not None:
            self._say_why(*self._why())

    def _line(self, value: Value) -> Content:
        width = max(12, self.query_one("#values", OptionList).size.width - 2)
        count = grouped(value.count) if value.count is not None else "─"
        label = cut(plain(value.label[: width * 4]), width - len(count) - 4)
        gap = " " * max(2, width - 2 - cells(label) - len(count))
        sign = self._sign_of(value)
        chosen = sign is not None
        mark = (f"{EMPTY if sign is None else sign or FULL} ", "$accent" if chosen else "$text-disabled")
        return Content.assemble(mark, (label, "$text bold" if chosen else "$text"), gap, (count, "$text-muted"))

    def _sign_of(self, value: Value) -> str | None:
        """Return the sign with which a value is chosen; empty for the usual choice, None if it is not chosen."""
        if value.chip.field == SAVED:
            return "" if same_chips(self._saved.chips(value.chip.value), self._chips) else None
        return next((chip.sign for chip in self._chips if replace(chip, sign="") == value.chip), None)

    def _why(self) -> tuple[str, *tuple[tuple[str, str], ...]]:
        typed = cut(plain(self._typed), 30)
        clear = ("ctrl+u", "clear the line")
        if self._fault:
            return self._fault, ("backspace", "remove the last filter")
        if self._field == SAVED and not self._saved.by_name:
            return "There are no saved filters yet.", (shown_key(self.app, SaveFilters), "save the current filters")
        if self._field in OPEN:
            example = "a number from 0 to 1" if self._field == "recall" else "a date such as -30d, 3mo or 2026-11-01"
            return f"“{typed}” is not {example}.", clear
        if self._values:
            which = " most frequent" if len(self._values) >= MAX_VALUE_COUNT else ""
            return f"None of the {grouped(len(self._values))}{which} values contains “{typed}”.", clear
        noun = f"a {self._field}" if self._field != "owner" else "an owner"
        if without_field(self._chips, self._field):
            return f"No memory that passes the other filters has {noun}.", ("backspace", "remove the last filter")
        return f"No memory has {noun}.", ("tab", "choose another field")

    def _say_why(self, why: str, *keys: tuple[str, str]) -> None:
        self.query_one("#why", Empty).say(why, *keys)
        self.add_class("-nothing")

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self._field not in OPEN:
            self._narrow()
            return
        # Debounce: typed text may be a date or a number, which is counted.
        self.set_timer(SETTLE_SECONDS, self._load_settled)

    def _load_settled(self) -> None:
        self._load()

    def action_move(self, step: int) -> None:
        values = self.query_one("#values", OptionList)
        if not values.option_count:
            return
        at = (values.highlighted or 0) + step
        last = values.option_count - 1
        values.highlighted = (at % (last + 1)) if abs(step) == 1 else max(0, min(last, at))

    # Choosing

    def action_choose(self) -> None:
        # Keys typed just before may still be queued for the input.
        self.query_one(NarrowInput).call_later(self._choose)

    def _choose(self) -> None:
        """Toggle the typed text if it is a value itself, else the value under the cursor."""
        if not self.is_attached:
            return
        typed = self._typed
        if self._field not in OPEN:
            if typed != self._narrowed_by:
                self._narrow()
            self._toggle_at(self.query_one("#values", OptionList).highlighted)
        elif not typed:
            # The list may still be that of the text before the line was cleared.
            if self._loaded_key is not None and self._loaded_key[1] == "":
                self._toggle_at(self.query_one("#values", OptionList).highlighted)
        elif _is_valid(chip := Chip(self._field, typed), self._store.now()):
            self._toggle_value(Value(chip, typed))
        else:
            self._values, self._shown, self._loaded_key = (), (), None
            self._say_why(*self._why())

    @on(OptionList.OptionSelected, "#values")
    def _value_clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._toggle_at(event.option_index)

    def action_choose_signed(self, sign: str) -> None:
        """Ask for memories with this value too, or for those without it; again, take that back."""
        self._toggle_at(self.query_one("#values", OptionList).highlighted, sign)

    def _toggle_at(self, index: int | None, sign: str = "") -> None:
        if index is not None and index < len(self._shown):
            self._toggle_value(self._shown[index], sign)

    def _toggle_value(self, value: Value, sign: str = "") -> None:
        chosen = self._sign_of(value)
        if value.chip.field == SAVED:
            self._change(() if chosen is not None else self._saved.chips(value.chip.value))
            return
        others = [chip for chip in self._chips if replace(chip, sign="") != value.chip]
        if chosen is None or chosen != sign:
            several = sign or value.chip.field in MANY or value.chip.field in STATE_FIELDS
            others = others if several else list(without_field(others, value.chip.field))
            others.append(replace(value.chip, sign=sign))
        self._change(others)

    @on(FilterBar.ChipRemoved)
    def _remove_last(self, event: FilterBar.ChipRemoved) -> None:
        event.stop()
        self._change(self._chips[:-1])

    def _change(self, chips: Sequence[Chip]) -> None:
        if tuple(chips) == self._chips:
            return
        self._chips = normalized(chips)
        self._changed(self._chips)
        self._show_chips()
        self._narrow(keep=True)
        self._load()

    def _show_chips(self) -> None:
        fields = self.query_one("#fields", OptionList)
        width = max(10, fields.size.width - 2)
        for index, field in enumerate(self._fields):
            fields.replace_option_prompt_at_index(index, self._field_line(field, width))
        chips = cut(plain(write_chips(self._chips)[:400]), max(10, self.query_one("#pick-chips").size.width))
        self.query_one("#pick-chips", Static).update(Content(chips or "No filter is chosen."))
        self._count()

    def _field_line(self, field: str, width: int) -> Content:
        chips = [chip for chip in self._chips if chip.field == field]
        values = ", ".join(f"{chip.sign}{plain(chip.value[:40])}" for chip in chips)
        if not values:
            return Content.styled(f"  {field}", "$text-muted")
        room = width - len(field) - 4
        text = cut(values, room) if room > 2 else ""
        return Content.assemble((f"{FULL} ", "$accent"), (field, "$text bold"), (f"  {text}", "$text-muted"))

    @work(group="tally", exclusive=True, exit_on_error=False)
    async def _count(self) -> None:
        """Show the number of memories that pass all chips, or the error of the count."""
        try:
            text, style = await self._tally(await resolved(self._store, self._chips)), "$text"
        except VestigeError as error:
            text, style = error.message, "$error"
        self._count_text = text
        self.query_one("#pick-count", Static).update(Content.styled(plain(text), style))

    # Saved filters

    @work(group="saved", exclusive=True, exit_on_error=False)
    async def action_save(self) -> None:
        self._tell((await ask_to_save(self, self._saved, self._chips)).sentence)
        self._load()

    @work(group="saved", exclusive=True, exit_on_error=False)
    async def action_drop(self) -> None:
        at = self.query_one("#values", OptionList).highlighted
        if self._field != SAVED or at is None or at >= len(self._shown):
            return
        self._tell(await ask_to_drop(self, self._saved, self._shown[at].chip.value))
        self._load()

    def _tell(self, text: str, style: str = "$success") -> None:
        if text:
            self.query_one("#pick-count", Static).update(Content.styled(plain(text), style))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR:
            event.stop()
            is_ours = isinstance(event.worker.error, VestigeError)
            self._tell(str(event.worker.error) if is_ours else "Unexpected error; nothing was changed.", "$error")


def _key_line(keys: Sequence[tuple[str, str]], gap: str) -> Content:
    return Content(gap).join(
        Content.assemble((f"{key} ", "$accent bold"), (label, "$text-muted")) for key, label in keys
    )


def signs_of(field: str) -> tuple[str, ...]:
    """Return the signs that a field takes: ``+`` for memories with this value too, ``-`` for those without it."""
    return ("+", "-") if field in MANY else ("-",) if field in SIGNED else ()


def _is_valid(chip: Chip, now: datetime) -> bool:
    try:
        filter_of([chip], now)
    except BadChip:
        return False
    return True
