"""Page of the users of the store: it opens their memories in Browse, and shows the store as one of them."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.filter_syntax import Chip
from vestige_tui.presenters.accounts import NO_ACCOUNTS, accounts_title, group_line, viewing_sentence
from vestige_tui.tui.command_screen import NOT_OPEN, CommandScreen
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.places import GoToBrowse
from vestige_tui.tui.commands.users import OF_THE_USERS
from vestige_tui.tui.console_app import ConsoleApp
from vestige_tui.tui.users.user_list import UserList
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.widgets.key_line import KeyLine
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vestige_tui.core.accounts import GroupSummary, UserSummary

NO_USER = "There is no user here."
NOT_VIEWED = "The memories of everybody are shown already."


class UsersScreen(CommandScreen):
    """All users with their groups and the number of their memories, read again when the store changes."""

    CSS_PATH: ClassVar[list[str | PurePath]] = ["page.tcss"]
    AUTO_FOCUS = "UserList"
    BINDINGS: ClassVar[list[BindingType]] = bindings(*OF_THE_USERS)
    HELP = """\
The users of this store, with their groups and the number of their memories: private ones, ones shared with groups, and
public ones. `enter` shows the memories of a user in Browse.

`a` shows the store as that user sees it, on every screen: their own memories, those shared with their groups, and
public ones. The first line then names the user, and nothing can be changed. `A` shows everything again.
"""

    def __init__(self) -> None:
        super().__init__()
        self._list = UserList(id="users")

    @property
    def help_title(self) -> str:
        return "Users"

    def compose(self) -> ComposeResult:
        yield Static(Content.styled("Users", "$text bold"), id="users-title", markup=False)
        yield self._list
        yield Static(id="groups", markup=False)
        yield Empty(id="nothing")
        yield self._status
        yield KeyLine()

    def on_mount(self) -> None:
        self.console.store_changed.subscribe(self, self._store_changed)

    def on_screen_resume(self) -> None:
        self._load()

    def _store_changed(self, _: None) -> None:
        if self.is_current:
            self._load()

    @work(group="read", exclusive=True, exit_on_error=False)
    async def _load(self) -> None:
        store = self.store
        if store is None:
            self._say_nothing(NOT_OPEN)
        elif not store.accounts.are_kept:
            self._say_nothing(NO_ACCOUNTS)
        else:
            self._show(await store.accounts.list_users(), await store.accounts.list_groups())

    def _show(self, users: Sequence[UserSummary], groups: Sequence[GroupSummary]) -> None:
        self.set_class(False, "-nothing")
        self._list.show(users)
        viewer = self.store.viewer if self.store is not None else None
        viewed = "" if viewer is None else f"   {viewing_sentence(viewer)}"
        self.query_one("#users-title", Static).update(
            Content.assemble(
                ("Users", "$text bold"), (f"   {accounts_title(users, groups)}", "$text-muted"), (viewed, "$warning")
            )
        )
        self.query_one("#groups", Static).update(Content("\n".join(map(group_line, groups))))

    def _say_nothing(self, why: str) -> None:
        self.query_one("#nothing", Empty).say(why, ("esc", "back"))
        self.set_class(True, "-nothing")

    @on(UserList.UserHighlighted)
    def _highlighted(self) -> None:
        self.refresh_bindings()

    # Commands

    def why_not(self, action: str) -> str:
        if action == "view_as" and self._list.current is None:
            return NO_USER
        if action == "view_all" and (self.store is None or self.store.viewer is None):
            return NOT_VIEWED
        return super().why_not(action)

    @on(UserList.UserChosen)
    def _chosen(self, event: UserList.UserChosen) -> None:
        event.stop()
        chip = Chip("owner", event.user.account.handle)
        self._leave_for(lambda app: app.open_filters(GoToBrowse.place, (chip,)))

    def action_view_as(self) -> None:
        if (user := self._list.current) is not None:
            self._leave_for(lambda app: app.action_view_as(user.account.id))

    def action_view_all(self) -> None:
        self._leave_for(lambda app: app.action_view_as(""))

    def _leave_for(self, run: Callable[[ConsoleApp], object]) -> None:
        """Close the page, and run something of the console once the place behind it is in front again."""
        app = self.app
        assert isinstance(app, ConsoleApp)
        self.dismiss(None)
        app.call_later(run, app)

    def action_refresh_place(self) -> None:
        self._load()
        self._status.say("Refreshed.", severity="quiet")

    def action_back(self) -> None:
        self.dismiss(None)
