"""List of users: handle, name, groups, and the number of their memories by visibility."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.message import Message

from vestige_tui.core.accounts import UserSummary
from vestige_tui.core.text import cells, plain
from vestige_tui.presenters.accounts import figures, full_name, group_names
from vestige_tui.presenters.style import Ink
from vestige_tui.tui import layout_widths
from vestige_tui.tui.widgets.row_list import Piece, RowList, fit

MAX_HANDLE_CELLS, MAX_NAME_CELLS = 20, 28
FIGURE_HEADS = ("memories", "private", "group", "public")
FIGURE_CELLS = 9


class UserList(RowList):
    """One line for each user; narrow terminals show no names, the narrowest no groups either."""

    head_height: ClassVar[int] = 1

    @dataclass
    class UserHighlighted(Message):
        """Another user came under the cursor."""

    @dataclass
    class UserChosen(Message):
        """A user was opened."""

        user: UserSummary

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._users: Sequence[UserSummary] = ()

    @property
    def current(self) -> UserSummary | None:
        """User under the cursor, None for an empty list."""
        return self._users[self._cursor] if self._cursor < len(self._users) else None

    def show(self, users: Sequence[UserSummary]) -> None:
        """Replace the users; the cursor keeps its user."""
        current = self.current
        self._users = users
        self._resize_to(len(users))
        row = next((n for n, user in enumerate(users) if current and user.account.id == current.account.id), None)
        if row is not None:
            self._cursor = row
        self._reveal()
        self.post_message(self.UserHighlighted())

    def cursor_moved(self) -> None:
        self.post_message(self.UserHighlighted())

    def row_chosen(self) -> None:
        if (user := self.current) is not None:
            self.post_message(self.UserChosen(user))

    # Painting

    def _columns(self, width: int) -> tuple[int, int, int]:
        """Return the cells of handle, name and groups; 0 for a column that is left out."""
        rest = max(0, width - FIGURE_CELLS * len(FIGURE_HEADS))
        if layout_widths.is_narrow(self.app.size.width):
            return max(4, rest), 0, 0
        handle = min(MAX_HANDLE_CELLS, max((cells(plain(user.account.handle)) for user in self._users), default=4))
        if not layout_widths.is_wide(self.app.size.width):
            return handle, 0, max(0, rest - handle - 2)
        name = min(MAX_NAME_CELLS, max((cells(full_name(user)) for user in self._users), default=4))
        return handle, name, max(0, rest - handle - name - 4)

    def draw_head(self, width: int) -> Iterable[Piece]:
        yield from self._line(("user", "name", "groups"), FIGURE_HEADS, width, ("head", "head", "head", "head"))

    def draw_row(self, index: int, line: int, width: int) -> Iterable[Piece]:
        user = self._users[index]
        texts = (plain(user.account.handle), full_name(user), group_names(user))
        yield from self._line(texts, figures(user), width, ("text", "text", "muted", "text"))

    def _line(self, texts: Sequence[str], counts: Sequence[str], width: int, inks: Sequence[Ink]) -> Iterable[Piece]:
        columns = self._columns(width)
        for number, (text, size) in enumerate(zip(texts, columns, strict=True)):
            if size:
                yield ("  " if number else "") + fit(text, size), inks[number]
        for count in counts:
            yield fit(count, FIGURE_CELLS, right=True), inks[3] if count != "-" else "muted"
