"""The page of users: it lists them, opens their memories in Browse, and shows the store as one of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from tests.support.console import Console, open_browse, open_console
from tests.support.corpus import clock
from tests.support.vestige_files import make_v18
from tests.support.visibility import Community, community, fill
from vestige_tui.core.filter_syntax import Chip
from vestige_tui.store.open import open_store
from vestige_tui.tui.browse.place import BrowsePlace
from vestige_tui.tui.dialogs.fields import FieldsDialog
from vestige_tui.tui.dialogs.modals import Pick
from vestige_tui.tui.dialogs.palette import Palette
from vestige_tui.tui.users.page import UsersScreen
from vestige_tui.tui.users.user_list import UserList

SIZES = ((120, 40), (80, 24), (60, 20))


@pytest.fixture
def people() -> Community:
    return community(51, memories=40)


@pytest.fixture
async def shared_store(people: Community, tmp_path: Path) -> Path:
    path = tmp_path / "shared.db"
    async with open_store(f"sqlite:{path}", create=True, clock=clock) as store:
        await fill(store, people)
    return path


async def open_users(console: Console, key: str = "f3") -> UserList:
    await console.press(key)
    await console.still()
    await console.press("W")
    await console.until(lambda: isinstance(console.app.screen, UsersScreen))
    users = console.app.screen.query_one(UserList)
    await console.until(lambda: users.current is not None)
    return users


@pytest.mark.parametrize("size", SIZES)
async def test_users_are_listed_with_their_figures(
    shared_store: Path, people: Community, size: tuple[int, int]
) -> None:
    async with open_console(shared_store, size) as console:
        await open_users(console, "f7")
        for user in people.users:
            own = [draft.visibility for draft in people.drafts if draft.owner_user_id == user.id]
            figures = [str(len(own)), *(str(own.count(name) or "-") for name in ("private", "group", "public"))]
            [line] = [
                line for line in console.lines if line.split()[1:2] == [user.handle] or user.handle in line.split()[:1]
            ]
            assert line.split()[-4:] == figures
        assert "5 users, 3 groups" in console.text
        await console.press("escape")
        await console.until(lambda: not isinstance(console.app.screen, UsersScreen))


async def test_enter_filters_browse_by_the_owner(shared_store: Path, people: Community) -> None:
    async with open_console(shared_store) as console:
        await open_users(console)
        await console.press("j")
        await console.press("enter")
        await console.until(lambda: isinstance(console.app.screen, BrowsePlace))
        place = console.app.screen
        assert isinstance(place, BrowsePlace)
        await console.until(lambda: place.bar.chips == (Chip("owner", "user0"),))
        own = sum(draft.owner_user_id == people.users[0].id for draft in people.drafts)
        await console.until(f"newest first   {own} memories")


async def test_the_store_is_viewed_as_the_user_under_the_cursor(shared_store: Path, people: Community) -> None:
    visible = len(people.visible(people.users[0]))
    async with open_console(shared_store) as console:
        await open_users(console)
        await console.press("j")
        await console.press("a")
        await console.until("as user0")
        await console.until(f"{visible} memories")
        assert console.store.viewer == people.users[0]
        await open_browse(console)
        await console.press("d")
        await console.until("viewed as 'user0'")
        await open_users(console)
        await console.until("Shows what user0 may see")
        await console.press("A")
        await console.until("40 memories")
        assert console.app.session.store_viewer is None
        assert "as user0" not in console.lines[0]


async def test_the_palette_asks_for_the_user(shared_store: Path, people: Community) -> None:
    async with open_console(shared_store) as console:
        await console.press("ctrl+p")
        await console.until(lambda: isinstance(console.app.screen, Palette))
        await console.type("view as")
        await console.until("View as…")
        await console.press("enter")
        await console.until(lambda: isinstance(console.app.screen, Pick))
        await console.type("user2")
        await console.press("enter")
        await console.until("as user2")
        assert console.store.viewer == people.users[2]


async def test_a_console_is_opened_as_a_user(shared_store: Path, people: Community) -> None:
    async with open_console(shared_store, (60, 20), viewer="user1") as console:
        await console.until("as user1")
        assert console.store.viewer == people.users[1]
        await console.press("ctrl+p")
        await console.until(lambda: isinstance(console.app.screen, Palette))
        await console.type("everybody")
        await console.until("View as everybody")
        await console.press("enter")
        await console.until("40 memories")
        assert console.app.session.store_viewer is None


async def test_a_vestige_file_says_that_it_has_no_owners(tmp_path: Path) -> None:
    async with open_console(make_v18(tmp_path / "vestige.db")) as console:
        await console.press("f3")
        await console.still()
        await console.press("W")
        await console.until("have no owners")


async def test_the_dialog_sets_owner_visibility_and_groups(shared_store: Path, people: Community) -> None:
    async with open_console(shared_store) as console:
        table = await open_browse(console)
        assert table.current is not None
        memory_id = table.current.id
        await console.press("E")
        await console.until(lambda: isinstance(console.app.screen, FieldsDialog))
        owner = console.app.screen.query_one("#field-owner", Input)
        owner.focus()
        owner.value = "usr3"
        await console.until("owners in this store: local, user0, user1, user2, user3")
        await console.press("ctrl+s")
        await console.until("No user is called 'usr3'; did you mean user3?")
        console.app.screen.query_one("#field-owner", Input).value = "user3"
        console.app.screen.query_one("#field-visibility", Input).value = "public"
        await console.press("ctrl+s")
        await console.until("Edited ")
        memory = await console.store.get(memory_id)
        assert (memory.owner_user_id, memory.visibility) == (people.users[3].id, "public")
        await console.press("u")
        await console.until("Undid")
        draft = next(draft for draft in people.drafts if draft.id == memory_id)
        undone = await console.store.get(memory_id)
        assert (undone.owner_user_id, undone.visibility) == (draft.owner_user_id, draft.visibility)
