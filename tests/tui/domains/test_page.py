"""The page of domains: opened from Browse and Store, it lists, filters, assigns, renames, merges and deletes."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from tests.support.console import Console, open_browse, open_console, pick, store_at
from tests.support.corpus import second_handle
from vestige_tui.core.filter_syntax import Chip
from vestige_tui.core.memories import Draft, Filter, Patch
from vestige_tui.tui.browse.place import BrowsePlace
from vestige_tui.tui.dialogs.memory_sheet import MemorySheet
from vestige_tui.tui.dialogs.modals import Ask, Pick
from vestige_tui.tui.dialogs.preview import PreviewDialog
from vestige_tui.tui.domains.domain_list import DomainList
from vestige_tui.tui.domains.memory_lines import NearList
from vestige_tui.tui.domains.page import DomainsScreen

HOSTILE = "\x1b[31m [/bold] [red]\u202eevil\x07 \x9b"


async def open_domains(console: Console, name: str = "") -> DomainList:
    """Open the page from Browse, with the cursor on a domain."""
    await open_browse(console)
    await console.press("D")
    await console.until(lambda: isinstance(console.app.screen, DomainsScreen))
    await console.still()
    domains = console.app.screen.query_one(DomainList)
    if name:
        domains.move_to([each.name for each in domains.domains].index(name))
        await console.still()
    return domains


async def names_of(console: Console) -> dict[str, int]:
    return {each.name: each.memories for each in await console.store.domains.list_all()}


async def set_row(console: Console) -> None:
    """Write the row of the domain under the cursor, with its label as it is."""
    await console.press("s")
    await console.until(lambda: isinstance(console.app.screen, Ask))
    await console.press("enter")
    await console.until("Set domain ")
    await console.still()


async def test_domains_are_listed_with_the_members_of_the_one_under_the_cursor(corpus: Path) -> None:
    async with open_console(corpus) as console:
        domains = await open_domains(console, "auth")
        assert [each.name for each in domains.domains][:2] == ["infra", "api"]
        assert console.says("Keys and sign-in")
        assert console.says("memories 33, 2 of them replaced")
        assert console.says("centroid just now")
        assert not any("auth" in memory.domains for memory in console.app.screen.query_one(NearList)._memories)
        async with second_handle(corpus) as other:
            await other.insert(Draft("Without a row.", domains=("auth", "a-new-one")), embed=False)
        await console.until("a-new-one")
        domains.move_to(len(domains.domains) - 1)
        await console.until("It has no centroid; s computes one.")
        await console.press("escape")
        await console.until(lambda: isinstance(console.app.screen, BrowsePlace))


async def test_enter_opens_browse_with_the_filter(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f7")
        await console.still()
        await console.press("D")
        await console.until(lambda: isinstance(console.app.screen, DomainsScreen))
        await console.still()
        console.app.screen.query_one(DomainList).move_to(7)
        await console.press("enter")
        await console.until(lambda: isinstance(console.app.screen, BrowsePlace))
        await console.until("domain auth")
        place = console.app.screen
        assert isinstance(place, BrowsePlace)
        await console.until(lambda: place.list_filter == Filter(domains=("auth",)))
        assert place.bar.chips == (Chip("domain", "auth"),)


@pytest.mark.slow
async def test_near_memories_are_assigned_after_their_preview_and_undone(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_domains(console, "auth")
        await set_row(console)
        near = console.app.screen.query_one(NearList)
        await console.until(lambda: near.count > 5)
        assert console.says("centroid just now")
        await console.press("tab", "space", "space")
        await console.until("2 selected")
        ids = {memory.id for memory in near.selected}
        assert not any("auth" in memory.domains for memory in near.selected)
        await console.press("a")
        await console.until(lambda: isinstance(console.app.screen, PreviewDialog))
        assert console.says("Edit 2 memories: domains +auth?")
        await console.press("y")
        await console.until("Edited 2 memories: domains +auth")
        await console.until(lambda: not ids & {memory.id for memory in near._memories})
        assert (await names_of(console))["auth"] == 35
        await console.press("u")
        await console.until("Undid: edit domains +auth on 2 memories")
        assert (await names_of(console))["auth"] == 33


async def test_a_near_memory_is_read(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_domains(console, "auth")
        await set_row(console)
        near = console.app.screen.query_one(NearList)
        await console.until(lambda: near.count > 0)
        await console.press("tab", "enter")
        await console.until(lambda: isinstance(console.app.screen, MemorySheet))


@pytest.mark.slow
async def test_a_rename_shows_every_memory_and_is_one_undo(corpus: Path) -> None:
    async with open_console(corpus) as console:
        domains = await open_domains(console, "auth")
        before = await names_of(console)
        await console.press("r")
        await console.until(lambda: isinstance(console.app.focused, Input))
        line = console.app.focused
        assert isinstance(line, Input)
        line.value = "infra"
        await console.press("enter")
        await console.until("A domain 'infra' exists; merge 'auth' into it instead.")
        line = console.app.focused
        assert isinstance(line, Input)
        line.value = "identity"
        await console.press("enter")
        await console.until("Rename domain auth → identity in 33 memories?")
        await console.press("y")
        await console.until("Renamed domain auth → identity in 33 memories")
        await console.until(lambda: "identity" in [each.name for each in domains.domains])
        assert await names_of(console) == {"identity" if name == "auth" else name: n for name, n in before.items()}
        await console.press("u")
        await console.until("Undid: rename domain auth → identity on 33 memories")
        assert await names_of(console) == before
        await console.press("U")
        await console.until("Redid: rename domain auth → identity on 33 memories")


async def test_the_journal_says_that_a_row_has_no_memory(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_domains(console, "auth")
        await set_row(console)
        await console.press("J")
        await console.until("Set domain auth")
        await console.press("enter")
        await console.until("This change concerns no memory, so there is none to open.")


@pytest.mark.parametrize("place", ["f3", "f4"])
async def test_the_change_of_a_row_is_undone_from_any_place(corpus: Path, place: str) -> None:
    async with open_console(corpus) as console:
        await open_domains(console, "auth")
        await set_row(console)
        before = await console.store.domains.get("auth")
        await console.press("escape", place)
        await console.still()
        await console.press("u")
        await console.until("Undid: set domain auth")
        assert (await console.store.domains.get("auth")).top_terms != before.top_terms
        await console.press("U")
        await console.until("Redid: set domain auth")
        assert await console.store.domains.get("auth") == before


@pytest.mark.slow
async def test_a_merge_and_a_deletion(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_domains(console, "eta")
        before = await names_of(console)
        await console.press("m")
        await console.until(lambda: isinstance(console.app.screen, Pick))
        await pick(console, "carriers")
        await console.until(lambda: isinstance(console.app.screen, Ask))
        await console.press("enter")
        await console.until("Merge domains eta → carriers in 24 memories?")
        await console.press("y")
        await console.until("Merged domains eta → carriers in 24 memories")
        assert "eta" not in await names_of(console)
        await console.press("d")
        await console.until("Delete domain ")
        await console.press("escape")
        await console.still()
        assert "eta" not in await names_of(console)
        await console.press("u")
        await console.until("Undid: merge domains eta → carriers on 24 memories")
        assert await names_of(console) == before


@pytest.mark.slow
async def test_a_memory_that_came_meanwhile_is_in_the_new_preview(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_domains(console, "auth")
        await console.press("d")
        await console.until("Delete domain auth from 33 memories?")
        async with second_handle(corpus) as other:
            [memory, *_] = (await other.page(Filter(domains=("eta",)), limit=1)).items
            await other.update(memory.id, Patch(domains=("eta", "auth")))
        await console.press("y")
        await console.until("Delete domain auth from 34 memories?")
        assert console.says("came into 'auth' meanwhile; nothing was saved")
        await console.press("y")
        await console.until("Deleted domain auth from 34 memories")
        assert "auth" not in await names_of(console)


async def test_a_change_by_another_process_is_shown(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_domains(console)
        async with second_handle(corpus) as other:
            await other.insert(Draft("A new one.", domains=("brand-new",)), embed=False)
        await console.until("brand-new")
        assert console.says("13 domains, 1 only a name")


async def test_an_empty_store_says_how_a_domain_comes_about(empty_store: Path) -> None:
    async with open_console(empty_store) as console:
        await console.press("f3")
        await console.still()
        await console.press("D")
        await console.until("No domains yet.")
        await console.press("r")
        await console.until("There is no domain here.")


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)], ids=str)
async def test_hostile_names_fit_in_every_size(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "hostile.db"
    async with store_at(f"sqlite:{path}") as store:
        await store.insert(Draft(HOSTILE * 20, domains=(HOSTILE * 8, "plain"), tags=(HOSTILE,)))
        await store.domains.put(HOSTILE * 8, label=HOSTILE * 8, terms=[HOSTILE] * 2)
    async with open_console(path, size) as console:
        await open_domains(console)
        await console.until("plain")
        assert not set(console.text) & set("\x1b\u202e\x07\x9b")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tracking", "eta"])
async def test_two_domains_are_merged_under_a_new_name_or_that_of_the_first(corpus: Path, name: str) -> None:
    async with open_console(corpus) as console:
        await open_domains(console, "eta")
        before = await names_of(console)
        both = [
            each.id
            for each in (
                await console.store.page(Filter(domains=("eta", "carriers"), superseded=True), limit=500)
            ).items
        ]
        await console.press("m")
        await console.until(lambda: isinstance(console.app.screen, Pick))
        await pick(console, "carriers")
        await console.until("It holds the memories of 'eta' and 'carriers'.")
        console.app.focused.value = name  # type: ignore[union-attr]  # the line of the dialog
        await console.press("enter")
        await console.until(lambda: isinstance(console.app.screen, PreviewDialog))
        await console.press("y")
        await console.until(f"→ {name} in")
        names = await names_of(console)
        assert "carriers" not in names
        assert names[name] == len(both)
        await console.press("u")
        await console.until("Undid: merge domains ")
        assert await names_of(console) == before
