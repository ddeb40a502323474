"""Dialog with the fields of one memory, or of several: type, codebase, domains, tags, owner and metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Input, Static, TextArea

from vestige_tui.core.errors import Usage
from vestige_tui.core.memories import VISIBILITIES, Memory, Patch
from vestige_tui.core.memory_template import read_label, write_label
from vestige_tui.core.metadata_rows import read_metadata, write_metadata
from vestige_tui.core.tag_syntax import read_labels, write_labels
from vestige_tui.core.text import plain, redact
from vestige_tui.tui.dialogs.modals import Dialog

MAX_METADATA_CHARS = 20_000
"""Longest metadata that the dialog shows; longer ones are edited on the command line."""
MAX_VALUES = 500
"""Values of a field that are read; where there are as many, none is said to be new."""
DIFFERENT = "different values"
NONE = "-"
"""Typed for a field of several memories to empty it: an empty line keeps their values."""
NO_VALUES: Mapping[str, Sequence[str]] = MappingProxyType({})
SHARING = ("owner", "visibility", "groups")
"""Fields of a store that has users; owner and groups by their handles."""
SINGLE = {"type": "node_type", "codebase": "codebase", "owner": "owner_user_id", "visibility": "visibility"}
LISTS = {"domains": "domains", "tags": "tags", "groups": "shared_with_groups"}
_PLURALS = {"visibility": "visibilities", "groups": "groups"}


@dataclass(frozen=True, slots=True)
class FieldTexts:
    """Fields as text, by name; None where several memories differ."""

    texts: dict[str, str | None]
    several: bool = False

    @classmethod
    def of(cls, memories: Sequence[Memory], handles: Mapping[str, str] | None = None) -> FieldTexts:
        """Return the common fields of memories; the metadata only of a single one.

        ``handles`` are those of users and groups by id; None where memories have no owners.
        """
        texts: dict[str, str | None] = {
            "type": _common([write_label(memory.node_type) for memory in memories]),
            "codebase": _common([write_label(memory.codebase or "") for memory in memories]),
            "domains": _common([write_labels(memory.domains) for memory in memories]),
            "tags": _common([write_labels(memory.tags) for memory in memories]),
        }
        if handles is not None:
            texts |= {
                "owner": _common([write_label(_handle(handles, memory.owner_user_id)) for memory in memories]),
                "visibility": _common([memory.visibility for memory in memories]),
                "groups": _common(
                    [
                        write_labels(sorted(_handle(handles, group) for group in each.shared_with_groups))
                        for each in memories
                    ]
                ),
            }
        if len(memories) == 1:
            metadata = write_metadata(memories[0].metadata)
            if len(metadata) <= MAX_METADATA_CHARS:
                texts["metadata"] = metadata
        return cls(texts, len(memories) > 1)

    @classmethod
    def of_any(cls, *, owned: bool = False) -> FieldTexts:
        """Return the fields of memories that are too many to be compared; ``owned``: they have owners."""
        names = [name for name in (*SINGLE, *LISTS) if owned or name not in SHARING]
        return cls(dict.fromkeys(names), several=True)

    def patch(self, typed: dict[str, str]) -> Patch:
        """Return the changes that were typed, owner and groups by their handles. Raises Usage."""
        values: dict[str, object] = {}
        for name, text in typed.items():
            before = self.texts[name]
            if text == (before or "") or (before is None and not text.strip()):
                continue
            if before is None and text.strip() == NONE:
                text = ""
            if name in SINGLE:
                values[SINGLE[name]] = read_label(text)
            elif name in LISTS:
                values[LISTS[name]] = read_labels(text)
            else:
                values[name] = read_metadata(text)
        if values.get("node_type") == "":
            raise Usage("The type is empty; a memory needs one, such as fact.")
        if values.get("owner_user_id") == "":
            raise Usage("The owner is empty; a memory needs one, such as local.")
        if values.get("visibility", "private") not in VISIBILITIES:
            raise Usage(f"The visibility must be {', '.join(VISIBILITIES[:-1])} or {VISIBILITIES[-1]}.")
        return Patch(**values)  # type: ignore[arg-type]


def _handle(handles: Mapping[str, str], id: str) -> str:
    return handles.get(id, id)


def _common(texts: Sequence[str]) -> str | None:
    return texts[0] if len(set(texts)) == 1 else None


class FieldsDialog(Dialog[Patch | None]):
    """Fields of a memory in lines that can be edited; answers the changes, None if the user cancels."""

    DEFAULT_CSS = """
    FieldsDialog #sheet { width: 84; }
    FieldsDialog #fields { height: auto; max-height: 24; scrollbar-size-vertical: 1; }
    FieldsDialog .field { height: auto; margin: 0 0 1 0; }
    FieldsDialog .field-name { width: 11; color: $text-muted; }
    FieldsDialog TextArea {
        width: 1fr;
        height: auto;
        min-height: 1;
        max-height: 6;
        padding: 0 1;
        border: none;
        background: $surface;
        scrollbar-size-vertical: 1;
    }
    FieldsDialog TextArea:focus { border: none; }
    FieldsDialog Input { width: 1fr; }
    FieldsDialog Input.-textual-compact { padding: 0 1; }
    FieldsDialog.-narrow .field { margin: 0; }
    FieldsDialog #field-values { height: 2; color: $text-muted; text-overflow: ellipsis; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "save", show=False, priority=True),
    ]

    def __init__(
        self,
        title: str,
        fields: FieldTexts,
        *,
        values: Mapping[str, Sequence[str]] = NO_VALUES,
        typed: dict[str, str] | None = None,
        fault: str = "",
    ) -> None:
        """``values`` are those that the store has for a field, by its name, at most ``MAX_VALUES``."""
        super().__init__(title, (("enter, ctrl+s", "save"), ("tab", "next field"), ("esc", "cancel")))
        self._fields, self._values, self._fault = fields, values, fault
        self.typed = typed or {name: text or "" for name, text in fields.texts.items()}
        """The fields as they were typed, by name, once the dialog has been answered."""

    def compose_body(self) -> ComposeResult:
        if self._fields.several:
            note = f'Where a field says "{DIFFERENT}", leave it empty to keep them, or type {NONE} to clear it in all.'
            yield Static(Content(note), id="sheet-notes", markup=False)
        with VerticalScroll(id="fields", can_focus=False):
            for name in self._fields.texts:
                with Horizontal(classes="field"):
                    yield Static(Content(name), classes="field-name", markup=False)
                    yield self._editor(name)
        yield Static(id="field-values", markup=False)
        yield Static(Content(redact(plain(self._fault))), id="sheet-fault", markup=False)

    def _editor(self, name: str) -> Widget:
        text, differ = self.typed[name], self._fields.texts[name] is None
        hint = DIFFERENT if differ else ""
        if name in SINGLE:
            return Input(
                text,
                placeholder=hint or "none",
                compact=True,
                id=f"field-{name}",
                suggester=SuggestFromList(self._labels(name)),
            )
        hint = hint or ("key: JSON value, one per line" if name == "metadata" else "one per line")
        return TextArea(text, placeholder=hint, compact=True, id=f"field-{name}", tab_behavior="focus")

    def on_mount(self) -> None:
        self.query_one("#sheet-fault").display = bool(self._fault)
        self.query_one(Input).focus()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self._show_values()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._show_values()

    def _show_values(self) -> None:
        """Name the values that the store has for the field under the cursor, and say if the typed one is new."""
        name = (self.focused.id or "").removeprefix("field-") if self.focused is not None else ""
        values = self._labels(name)
        text = self._text_of(name).strip() if values else ""
        is_new = bool(text) and text not in (NONE, *values) and len(values) < MAX_VALUES and name not in SHARING
        listed = f"{_PLURALS.get(name, f'{name}s')} in this store: {', '.join(values)}" if values else ""
        if completion := self._completion(name):
            # Instead of "new", which the completion behind the cursor seems to contradict.
            saved = f"; there is no {name} {text} yet: ctrl+s creates it" if is_new else ""
            line = Content(plain(f"enter completes it to {completion}{saved}"))
        else:
            line = Content.styled(f"new {name}; " if is_new else "", "$warning") + Content(plain(listed))
        self.query_one("#field-values", Static).update(line)

    def _completion(self, name: str) -> str:
        """Return the value that the line shows behind its cursor; empty for none."""
        values = self._labels(name)
        text = self._text_of(name) if values else ""
        # A value that was not typed here stays as it is, also where not all values are known.
        if text in ("", NONE, self._fields.texts[name], *values):
            return ""
        return next((value for value in values if value.startswith(text)), "")

    def _labels(self, name: str) -> list[str]:
        """Return the values that the store has for a field, as they are typed."""
        return [write_label(each) for each in self._values.get(name, ())]

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if completion := self._completion((event.input.id or "").removeprefix("field-")):
            event.input.value = completion
            event.input.cursor_position = len(completion)
        else:
            self.action_save()

    def action_save(self) -> None:
        self.typed = {name: self._text_of(name) for name in self._fields.texts}
        try:
            patch = self._fields.patch(self.typed)
        except Usage as error:
            self.complain(error.message)
            return
        self.dismiss(patch)

    def _text_of(self, name: str) -> str:
        editor = self.query_one(f"#field-{name}")
        return editor.text if isinstance(editor, TextArea) else editor.value if isinstance(editor, Input) else ""

    def complain(self, fault: str) -> None:
        """Show an error below the fields."""
        line = self.query_one("#sheet-fault", Static)
        line.update(Content(redact(plain(fault))))
        line.display = True
