"""Adding and editing a memory in the editor: its fields, its text, and a file that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.console import open_browse, open_console, pick
from tests.support.editor_scripts import drafts_left, sets, types
from vestige_tui.core.filter_syntax import Chip
from vestige_tui.core.memories import Filter
from vestige_tui.core.memory_template import TEXT_LINE
from vestige_tui.tui.dialogs.editor import EditAgain
from vestige_tui.tui.filters.bar import FilterBar
from vestige_tui.tui.search.hit_list import HitList

Editor = Callable[[str], None]


@pytest.mark.slow
async def test_the_fields_of_a_memory_are_edited_with_its_text(corpus: Path, tmp_path: Path, editor: Editor) -> None:
    async with open_console(corpus) as console:
        table = await open_browse(console)
        memory = table.current
        assert memory is not None
        before = await console.store.get(memory.id)
        editor(f"{sets('tag', 'two words', 'a, b')}; {sets('type', 'note')}")
        await console.press("e")
        await console.until('Edited "')
        after = await console.store.get(memory.id)
        assert (after.node_type, after.tags, after.content) == ("note", ("two words", "a, b"), before.content)
        assert (after.domains, after.codebase, after.metadata) == (before.domains, before.codebase, before.metadata)
        await console.press("u")
        await console.until("Undid: edit ")
        assert (await console.store.get(memory.id)).tags == before.tags
    assert drafts_left(tmp_path) == []


@pytest.mark.slow
async def test_a_new_memory_begins_with_the_fields_of_the_filters(corpus: Path, editor: Editor) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        chips = [Chip("type", "decision"), Chip("domain", "auth"), Chip("tag", "two words"), Chip("since", "-30d")]
        console.app.screen.query_one(FilterBar).set_chips(chips)
        await console.still()
        editor('cp "$1" "$0.seen"; echo "A new decision" >> "$1"')
        await console.press("a")
        await console.until('Added "A new decision"')
        [added] = (await console.store.page(Filter(tags=("two words",)), limit=5)).items
        assert (added.content, added.node_type, added.domains) == ("A new decision", "decision", ("auth",))
        assert (added.tags, added.codebase) == (("two words",), None)


@pytest.mark.slow
async def test_a_file_that_cannot_be_read_is_edited_again_or_kept(corpus: Path, tmp_path: Path, editor: Editor) -> None:
    async with open_console(corpus) as console:
        table = await open_browse(console)
        memory = table.current
        assert memory is not None
        before = (await console.store.get(memory.id)).content
        for name, script, fault in (
            ("field", f'{types("typed")}; sed -i 1iowned: "$1"', "Line 1: 'owned:' is none of the fields type, domain"),
            ("line", 'printf typed > "$1"', f'The line "{TEXT_LINE}" is missing'),
            ("empty", types(" "), "The text is empty; a memory needs one."),
            ("label", sets("tag", "t" * 256), "A tag can have at most 255 characters, not 256."),
        ):
            kept = len(drafts_left(tmp_path))
            editor(script)
            await console.press("e")
            await console.until(lambda: isinstance(console.app.screen, EditAgain))
            assert console.says(fault), name
            await console.press("escape")
            await console.until("Nothing was saved. Your text is kept in")
            assert len(drafts_left(tmp_path)) == kept + 1
            assert all(path.stat().st_mode & 0o777 == 0o600 for path in drafts_left(tmp_path))
        assert (await console.store.get(memory.id)).content == before
        # The second time, the file is as the user left it.
        editor(f'if [ -e "$0.once" ]; then sed -i 1d "$1"; else touch "$0.once"; {types("typed")}; sed -i 1ix "$1"; fi')
        kept = len(drafts_left(tmp_path))
        await console.press("e")
        await console.until(lambda: isinstance(console.app.screen, EditAgain))
        await console.press("enter")
        await console.until('Edited "typed"')
        assert (await console.store.get(memory.id)).content == "typed"
        assert len(drafts_left(tmp_path)) == kept


@pytest.mark.slow
async def test_what_was_added_is_shown_where_the_filters_hide_it(corpus: Path, editor: Editor) -> None:
    async with open_console(corpus) as console:
        table = await open_browse(console)
        console.app.screen.query_one(FilterBar).set_chips([Chip("type", "decision")])
        await console.still()
        rows = table.count
        await console.press("G")
        editor(f"{sets('type', 'note')}; echo 'A new note' >> \"$1\"")
        await console.press("a")
        await console.until('Added "A new note" (outside the filters; shown as the first row)')
        await console.until(lambda: table.current is not None and table.current.content == "A new note")
        assert (table.cursor, table.count) == (0, rows + 1)
        # Every row of the filter is still there, in its order.
        await console.press("G")
        await console.until(lambda: table.current is not None)
        assert table.current is not None
        expected = (await console.store.page(Filter(node_types=("decision",)), limit=500)).items
        assert table.current.id == expected[-1].id
        await console.press("u")
        await console.until(lambda: table.count == rows)
        editor("echo 'A decision' >> \"$1\"")
        await console.press("a")
        await console.until('Added "A decision"')
        await console.until(lambda: table.current is not None and table.current.content == "A decision")
        assert (table.count, "outside" in console.text) == (rows + 1, False)


@pytest.mark.slow
async def test_what_was_added_is_shown_above_the_hits_of_a_question(corpus: Path, editor: Editor) -> None:
    async with open_console(corpus) as console:
        await console.paste("webhook retry ")
        await console.until("best 20")
        await console.still()
        await console.press("down")
        editor("echo 'Nothing about that' >> \"$1\"")
        await console.press("a")
        await console.until('Added "Nothing about that"')
        hits = console.app.screen.query_one(HitList)
        await console.until(lambda: hits.current is not None and hits.current.memory.content == "Nothing about that")
        assert "best 20" in console.text


@pytest.mark.slow
async def test_the_cursor_follows_an_edited_memory_wherever_the_order_moves_it(corpus: Path, editor: Editor) -> None:
    async with open_console(corpus) as console:
        table = await open_browse(console)
        await console.press("s")
        await pick(console, "updated")
        await console.press("G")
        await console.until(lambda: table.current is not None)
        memory = table.current
        assert memory is not None
        assert table.cursor > 200
        editor(types("edited at the end of the list"))
        await console.press("e")
        await console.until('Edited "')
        await console.until(lambda: table.cursor < 5 and table.current is not None)
        assert table.current is not None
        assert table.current.id == memory.id
