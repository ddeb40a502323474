"""Fields, marks and replacement of one memory and of a selection, and of every memory that passes the filters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.widgets import Input, TextArea

from tests.support.console import Console, open_browse, open_console, pick
from tests.support.corpus import ACTIVE, NOW, PINNED, second_handle
from vestige_tui.core.filter_syntax import Chip
from vestige_tui.core.memories import Draft, Filter, Memory, Patch
from vestige_tui.tui.browse import memory_table
from vestige_tui.tui.dialogs.fields import FieldsDialog
from vestige_tui.tui.dialogs.modals import Ask
from vestige_tui.tui.dialogs.preview import PreviewDialog
from vestige_tui.tui.filters.bar import FilterBar


async def open_fields(console: Console, **texts: str) -> None:
    """Open the dialog of fields and type into it."""
    await console.press("E")
    await console.until(lambda: isinstance(console.app.screen, FieldsDialog))
    for name, text in texts.items():
        editor = console.app.screen.query_one(f"#field-{name}")
        if isinstance(editor, TextArea):
            editor.text = text
        elif isinstance(editor, Input):
            editor.value = text


async def many(console: Console, ids: list[str]) -> tuple[Memory, ...]:
    return await console.store.memories.get_many(ids)


@pytest.mark.slow
async def test_the_fields_of_one_memory_are_edited_in_a_dialog(corpus: Path) -> None:
    async with open_console(corpus) as console:
        table = await open_browse(console)
        memory = table.current
        assert memory is not None
        before = await console.store.get(memory.id)
        await open_fields(
            console,
            type="note",
            codebase="api two",
            domains="one\ntwo words",
            tags='a, b\n"quoted"\n\ntwo words',
            metadata='source: "x"\nn: 3\nfree: some text',
        )
        await console.press("ctrl+s")
        await console.until("Edited ")
        after = await console.store.get(memory.id)
        assert (after.node_type, after.codebase, after.domains) == ("note", "api two", ("one", "two words"))
        assert after.tags == ("a, b", "quoted", "two words")
        assert after.metadata == {"source": "x", "n": 3, "free": "some text"}
        assert after.content == before.content
        await open_fields(console)
        await console.press("enter")
        await console.until("No change.")
        await console.press("u")
        await console.until("Undid: edit")
        assert await console.store.get(memory.id) == before


@pytest.mark.slow
async def test_a_type_is_completed_and_a_new_one_is_said_to_be_new(corpus: Path) -> None:
    async with open_console(corpus) as console:
        table = await open_browse(console)
        memory = table.current
        assert memory is not None
        types = [each.value for each in await console.store.memories.facets("node_types", Filter(superseded=True))]
        await open_fields(console)
        await console.until(f"types in this store: {', '.join(types[:4])}")
        assert "new type" not in console.text
        await console.press("end", "ctrl+u")
        await console.type(types[0][:3] + "x")
        await console.until("new type; types in this store: ")
        await console.press("backspace", "right")
        await console.until(lambda: console.app.screen.query_one("#field-type", Input).value == types[0])
        await console.until("new type", gone=True)
        await console.press("tab")
        await console.until("codebases in this store: ")
        await console.press("tab")
        await console.until("in this store: ", gone=True)


async def test_enter_completes_a_type_and_ctrl_s_saves_it_as_typed(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        await open_fields(console)
        # The old value is selected: typing replaces it.
        await console.type("decis")
        await console.until("enter completes it to decision; there is no type decis yet: ctrl+s creates it")
        await console.press("enter")
        await console.until("types in this store: ")
        assert isinstance(console.app.screen, FieldsDialog)
        await console.press("enter")
        await console.until("type decision   u undo")
        await open_fields(console)
        await console.type("decis")
        await console.press("ctrl+s")
        await console.until("type decis   u undo")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "text", "fault"),
    [
        ("type", "", "The type is empty"),
        ("metadata", "no key", "has no key"),
        ("tags", '"open', "is not a quoted text"),
        ("tags", "t" * 256, "at most 255 characters"),
    ],
)
async def test_a_field_that_is_refused_stays_as_it_was_typed(corpus: Path, field: str, text: str, fault: str) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        await open_fields(console, **{field: text})
        await console.press("ctrl+s")
        await console.until(fault)
        dialog = console.app.screen
        assert isinstance(dialog, FieldsDialog)
        editor = dialog.query_one(f"#field-{field}")
        assert (editor.text if isinstance(editor, TextArea) else getattr(editor, "value", None)) == text


@pytest.mark.slow
async def test_a_memory_edited_meanwhile_keeps_what_was_typed(corpus: Path) -> None:
    async with open_console(corpus) as console:
        table = await open_browse(console)
        memory = table.current
        assert memory is not None
        await open_fields(console, type="mine")
        async with second_handle(corpus) as other:
            await other.update(memory.id, Patch(tags=("theirs",)), embed=False)
        await console.press("ctrl+s")
        await console.until("was changed elsewhere meanwhile; nothing was saved.")
        assert console.app.screen.query_one("#field-type", Input).value == "mine"
        assert console.app.screen.query_one("#field-tags", TextArea).text != "theirs"
        await console.press("escape")
        assert (await console.store.get(memory.id)).tags == ("theirs",)


@pytest.mark.slow
async def test_fields_of_a_selection_keep_what_is_left_empty(corpus: Path) -> None:
    async with open_console(corpus) as console:
        table = await open_browse(console)
        await console.press("space", "space", "space")
        ids = [memory.id for memory in table.selected]
        before = await many(console, ids)
        await open_fields(console, type="note", domains="-")
        await console.press("ctrl+s")
        await console.until("Edit 3 memories: type note, no domain?")
        await console.press("y")
        await console.until("Edited 3 memories: type note, no domain")
        for old, new in zip(before, await many(console, ids), strict=True):
            assert (new.node_type, new.domains, new.tags, new.codebase) == ("note", (), old.tags, old.codebase)
        await console.press("u")
        await console.until("Undid: edit type note, domains -")
        assert await many(console, ids) == before


@pytest.mark.slow
async def test_marks_and_a_replacement_of_a_selection(corpus: Path) -> None:
    async with open_console(corpus) as console:
        table = await open_browse(console)
        await console.press("space", "space", "space")
        ids = [memory.id for memory in table.selected]
        await console.press("M")
        await pick(console, "bury")
        await console.until("Bury 3 memories until tomorrow?")
        await console.press("y")
        await console.until("Buried 3 memories until tomorrow")
        assert all([(await console.store.reviews.marks(each)).buried_until for each in ids])
        await console.press("u")
        await console.until("Undid: bury until tomorrow on 3 memories")
        winner = (await console.store.page(Filter(), limit=40)).items[-1]
        await console.press("S")
        await console.until(lambda: isinstance(console.app.screen, Ask))
        await console.paste(winner.id)
        await console.press("enter")
        await console.until("Replace 3 memories by")
        await console.press("y")
        await console.until("3 memories are now replaced by")
        assert {memory.superseded_by for memory in await many(console, ids)} == {winner.id}
        await console.press("u")
        await console.until(f"Undid: replace by {winner.id[:8]} on 3 memories")
        assert {memory.superseded_by for memory in await many(console, ids)} == {None}


@pytest.mark.slow
async def test_every_memory_that_passes_the_filters_is_changed_without_being_read(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_table, "SELECTION_LIMIT", 10)
    async with open_console(corpus) as console:
        table = await open_browse(console)
        console.app.screen.query_one(FilterBar).set_chips([Chip("type", "decision")])
        await console.still()
        count = await console.store.memories.count(Filter(node_types=("decision",)))
        assert count == table.count > 10
        await console.press("asterisk")
        await console.until(f"All {count} selected")
        await console.press("t")
        await console.until(f"Tags of {count} memories")
        await console.paste("+everything")
        await console.press("enter")
        await console.until(lambda: isinstance(console.app.screen, PreviewDialog))
        await console.until(f"{count} decision")
        await console.press("G")
        await console.press("y")
        await console.until(f"Tagged {count} memories: +everything")
        assert await console.store.memories.count(Filter(tags=("everything",), superseded=True)) == count
        await console.press("u")
        await console.until(f"Undid: tag +everything on {count} memories")
        assert await console.store.memories.count(Filter(tags=("everything",), superseded=True)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_the_keys_of_the_dialogs_are_in_sight(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        await open_browse(console)
        await open_fields(console)
        await console.until("ctrl+s save")
        assert "esc cancel" in console.text
        await console.press("escape", "asterisk")
        await console.until(f"{ACTIVE} selected")
        await console.press("d")
        await console.until(f"Delete {ACTIVE - PINNED} memories?")
        await console.until("y delete")
        assert "esc cancel" in console.text


async def export(console: Console, subject: str, file: Path) -> None:
    """Export the selection by the palette, and check what its dialog calls it."""
    await console.press("ctrl+p")
    await console.until("Type the name of a command")
    await console.type("export")
    await console.until("Export selection…")
    await console.press("enter")
    await console.until(f"{subject} to")
    await console.press("end", "ctrl+u")
    await console.paste(str(file))
    await console.press("enter")


@pytest.mark.slow
async def test_a_selection_is_copied_and_exported(corpus: Path, tmp_path: Path) -> None:
    file = tmp_path / "three.jsonl"
    async with open_console(corpus) as console:
        table = await open_browse(console)
        await console.press("space", "space", "space")
        ids = [memory.id for memory in table.selected]
        await console.press("y")
        await console.until("Sent the texts of 3 memories to the terminal")
        contents = [memory.content for memory in await many(console, ids)]
        assert console.app.clipboard == "\n\n".join(contents)
        await console.press("Y")
        await console.until("Sent the ids of 3 memories to the terminal")
        assert console.app.clipboard == "\n".join(ids)
        for place in (file, tmp_path / "all.jsonl"):
            await export(console, "3 memories" if place is file else f"{ACTIVE} memories", place)
            await console.until(f"lines to {place}")
            exported = [json.loads(line) for line in place.read_text(encoding="utf-8").splitlines()]
            memories = [line["id"] for line in exported if line["kind"] == "memory"]
            assert memories == ids if place is file else len(memories) == ACTIVE
            await console.press("asterisk")
            await console.until(f"{ACTIVE} selected")
        # An existing file stays as it is.
        await export(console, f"{ACTIVE} memories", file)
        await console.until(lambda: bool(console.app.screen.query("#sheet-fault")))
        assert len(file.read_text(encoding="utf-8").splitlines()) < ACTIVE


@pytest.mark.slow
async def test_all_rows_beyond_the_limit_of_a_selection_are_copied_and_exported(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_table, "SELECTION_LIMIT", 10)
    file = tmp_path / "all.jsonl"
    async with open_console(corpus) as console:
        await open_browse(console)
        console.app.screen.query_one(FilterBar).set_chips([Chip("type", "decision")])
        await console.still()
        ids = [memory.id for memory in (await console.store.page(Filter(node_types=("decision",)), limit=ACTIVE)).items]
        await console.press("asterisk")
        await console.until(f"All {len(ids)} selected")
        await console.press("Y")
        await console.until(f"Sent the ids of {len(ids)} memories to the terminal")
        assert console.app.clipboard == "\n".join(ids)
        await console.press("y")
        await console.until(f"Sent the texts of {len(ids)} memories to the terminal")
        assert console.app.clipboard == "\n\n".join(memory.content for memory in await many(console, ids))
        await export(console, f"{len(ids)} memories", file)
        await console.until("Wrote")
        monkeypatch.setattr("vestige_tui.tui.taken_out.MAX_COPIED_MEMORIES", len(ids) - 1)
        await console.press("y")
        await console.until("Write it to a file: ctrl+p, Export selection.")
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in lines if line["kind"] == "memory"] == ids


async def test_a_selection_that_is_too_large_to_copy_names_the_way_to_a_file(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vestige_tui.tui.taken_out.MAX_COPIED_MEMORIES", 3)
    async with open_console(corpus) as console:
        await open_browse(console)
        await console.press("space", "space", "space", "space", "y")
        await console.until("Write it to a file: ctrl+p, Export selection.")


@pytest.mark.slow
async def test_a_deletion_in_a_chain_offers_a_key_that_keeps_the_replaced_memory_replaced(corpus: Path) -> None:
    async with second_handle(corpus) as store:
        first, last, middle = [
            (await store.insert(Draft(f"Version {n} of the quokka.", created_at=NOW))).changed[0] for n in (1, 3, 2)
        ]
        for old, new in ((first, middle), (middle, last)):
            await store.links.supersede(old, new)
    async with open_console(corpus) as console:
        table = await open_browse(console)
        await console.press("o")
        await console.until(lambda: table.current is not None and "quokka" in console.text)
        rows = [table.memory_at(index) for index in range(5)]
        table.move_to(next(index for index, row in enumerate(rows) if row is not None and row.id == middle))
        await console.press("d")
        await console.until(lambda: isinstance(console.app.screen, PreviewDialog))
        await console.until("r delete; 1 memory stays replaced")
        assert console.says("r keeps it replaced, by that one.")
        await console.press("r")
        await console.until("(1 memory kept replaced)")
        [kept] = await many(console, [first])
        assert kept.superseded_by == last
        await console.press("u")
        await console.until("Undid: delete")
        [kept] = await many(console, [first])
        assert kept.superseded_by == middle
