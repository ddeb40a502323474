"""The file of a memory in the editor: its fields and its text come back as they were written."""

from __future__ import annotations

import random

import pytest

from vestige_tui.core.errors import Usage
from vestige_tui.core.memories import Patch
from vestige_tui.core.memory_template import TEXT_LINE, MemoryForm, Sharing, read_template, write_template

TEXTS = (
    "one line",
    "ends with a break\n",
    "ends with two\n\n",
    "\n\nbegins with two",
    "DOS\r\nlines\r\n",
    "mixed\r\nlines\nand\rmore",
    "old Mac\r",
    "---\ntitle: front matter\n---\n\nof its own\n",
    f"holds\n{TEXT_LINE}\nthe line",
    f"{TEXT_LINE}\n",
    "type: decision\ntag: not ours",
    "\ufeffa mark of its own",
    "\x00 \x1b[2J \u202e \u2028 odd",
    " ",
)
LABELS = (
    "plain",
    "two words",
    "a, b, c",
    "key: value",
    '"quoted"',
    '"',
    " blanks around ",
    "tab\tin it",
    "line\nbreak",
    "größe",
    "日本語",
    "\u202eright to left",
    "half \ud800",
    "back\\slash",
    TEXT_LINE,
    "# heading",
    "",
)


def test_every_untouched_file_is_no_change() -> None:
    chooser = random.Random(7)
    for text in TEXTS:
        for _ in range(20):
            form = MemoryForm(
                text if text.strip() else "x",
                chooser.choice(LABELS),
                tuple(chooser.choices(LABELS, k=chooser.randrange(4))),
                chooser.choice(LABELS),
                tuple(chooser.choices(LABELS, k=chooser.randrange(6))),
            )
            file = write_template(form)
            assert read_template(file, form) == form
            assert read_template(file, form).patch(form) == Patch()
            # Editors end the last line; that is no change of the text.
            for added in ("\n", "\r\n") if not form.content.endswith("\n") else ():
                assert read_template(file + added, form) == form


@pytest.mark.parametrize("text", TEXTS[:-1])
def test_a_text_below_the_line_is_taken_byte_for_byte(text: str) -> None:
    before = MemoryForm("something else\n")
    block = write_template(before).removesuffix(before.content)
    assert read_template(block + text, before).content == text
    # Where the text before had no last line break, one is that of the editor.
    form = read_template(f"{block}{text}\n", MemoryForm("something else"))
    assert form.content == text.removesuffix("\r")


def test_the_block_has_the_line_breaks_of_the_text() -> None:
    assert write_template(MemoryForm("a\r\nb\r\n")).count("\n") == write_template(MemoryForm("a\r\nb\r\n")).count(
        "\r\n"
    )
    assert "\r" not in write_template(MemoryForm("a\r\nb\n")).replace("a\r\n", "")
    converted = write_template(MemoryForm("a\nb\n")).replace("\n", "\r\n")
    assert read_template(converted, MemoryForm("a\nb\n")).tags == ()


def test_fields_are_read_from_the_block() -> None:
    before = MemoryForm("text", "fact", ("infra",), "api", ("old",))
    file = f"""\
Type:decision
domain: one
domain:  "two: three"
codebase:

tag: two words
tag: a, b
tag: two words
tag:
{TEXT_LINE}
text"""
    form = read_template(file, before)
    assert form == MemoryForm("text", "decision", ("one", "two: three"), "", ("two words", "a, b"))
    assert form.patch(before) == Patch(
        node_type="decision", domains=("one", "two: three"), codebase="", tags=("two words", "a, b")
    )


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        ("type: a\ntype: b\n" + TEXT_LINE, "Line 2: type occurs twice"),
        ("type: a\ntags: b\n" + TEXT_LINE, "Line 2: 'tags: b' is none of the fields type, domain, codebase, tag"),
        ("type: a\n\nwords\n" + TEXT_LINE, "Line 3: 'words' is none of the fields"),
        ('type: a\ntag: "open\n' + TEXT_LINE, "Line 2: '\"open' is not a quoted text"),
        ("type: a\ntag: [1]\ntag: " + "t" * 256 + "\n" + TEXT_LINE, "A tag can have at most 255 characters"),
        ("type:\n" + TEXT_LINE, "The type is empty"),
        ("type: a\n", f'The line "{TEXT_LINE}" is missing'),
        ("", f'The line "{TEXT_LINE}" is missing'),
    ],
)
def test_what_cannot_be_read_is_named(block: str, fault: str) -> None:
    with pytest.raises(Usage) as caught:
        read_template(f"{block}\ntext", MemoryForm("before"))
    assert fault in caught.value.message


def test_an_empty_text_is_refused_unless_it_was_not_touched() -> None:
    before = MemoryForm("before")
    with pytest.raises(Usage, match="The text is empty"):
        read_template(f"type: fact\n{TEXT_LINE}\n \n", before)
    with pytest.raises(Usage, match="The text is empty"):
        read_template(write_template(MemoryForm()), MemoryForm())
    assert read_template(f"{write_template(MemoryForm())}typed\n", MemoryForm()).content == "typed"


TEAM = Sharing("mara", "group", ("harbour", "night shift"))


def test_owner_visibility_and_groups_have_lines_where_they_are_named() -> None:
    plain, shared = MemoryForm("x"), MemoryForm("x", sharing=TEAM)
    assert not {"owner", "visibility", "group"} & {line.split(":")[0] for line in write_template(plain).splitlines()}
    lines = ["owner: mara", "visibility: group", "group: harbour", "group: night shift"]
    assert write_template(shared).splitlines()[4:8] == lines
    assert read_template(write_template(shared), shared) == shared
    assert "group:" in write_template(MemoryForm("x", sharing=Sharing("local", "private", ()))).splitlines()


def test_a_typed_group_shares_a_private_memory() -> None:
    before = MemoryForm("x", sharing=Sharing("local", "private", ()))
    form = read_template(write_template(before).replace("group:", "group: harbour"), before)
    assert form.patch(before) == Patch(visibility="group", shared_with_groups=("harbour",))
    said = write_template(before).replace("group:", "group: harbour").replace("private", "public")
    assert read_template(said, before).patch(before) == Patch(visibility="public", shared_with_groups=("harbour",))
    # Also where the template did not ask for it.
    form = read_template(f"type: fact\ngroup: harbour\n{TEXT_LINE}\nx", MemoryForm())
    assert (form.draft().visibility, form.draft().shared_with_groups) == ("group", ("harbour",))


def test_removed_lines_of_groups_share_with_none_and_of_an_owner_change_nothing() -> None:
    before = MemoryForm("x", sharing=TEAM)
    text = "\n".join(line for line in write_template(before).split("\n") if not line.startswith(("owner", "group")))
    assert read_template(text, before).patch(before) == Patch(shared_with_groups=())


@pytest.mark.parametrize("line", ["visibility: secret", "owner:", "owner: a\nowner: b"])
def test_a_sharing_that_no_memory_has_is_refused(line: str) -> None:
    with pytest.raises(Usage, match=r"owner|visibility"):
        read_template(f"type: fact\n{line}\n{TEXT_LINE}\nx", MemoryForm("x"))
