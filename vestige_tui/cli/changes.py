"""Commands that change memories: add, edit, tag, delete, undo."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vestige_tui.cli.global_options import chosen_store
from vestige_tui.cli.interrupts import interruptible
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands, entry_number
from vestige_tui.core import file_targets, files
from vestige_tui.core.errors import Refused, Usage, VestigeError
from vestige_tui.core.memories import Change, DeletePreview, Draft, Patch
from vestige_tui.core.text import grouped, one_line, quoted, short_id
from vestige_tui.presenters import json_shapes

MAX_UNCONFIRMED_MEMORIES = 100
STDERR_FD = 2
"""File descriptor of stderr."""
_MAX_LISTED_MEMORIES = 5
_VISIBILITIES = ("private", "group", "public")


def add_commands(commands: Commands) -> None:
    add = commands.add("add", _add, "write a new memory")
    add.add_argument("text", metavar="TEXT", nargs="?", help="what to remember; - reads it from stdin")
    add.add_argument("--type", metavar="TYPE", default="fact")
    add.add_argument("--tag", metavar="TAG", action="append", default=[])
    add.add_argument("--domain", metavar="NAME", action="append", default=[])
    add.add_argument("--codebase", metavar="NAME")
    edit = commands.add("edit", _edit, "change a memory; without options its text opens in $EDITOR")
    edit.add_argument("id", metavar="ID")
    edit.add_argument("--content", metavar="TEXT", help="the new text; - reads it from stdin")
    edit.add_argument("--type", metavar="TYPE")
    edit.add_argument("--codebase", metavar="NAME", help='"" for none')
    edit.add_argument("--domain", metavar="NAME", action="append", help='the new domains; "" for none')
    edit.add_argument("--visibility", choices=_VISIBILITIES)
    edit.add_argument("--meta", metavar="K=V", action="append", help="set one key of the metadata; K= removes it")
    tag = commands.add("tag", _tag, "add (+a) and remove (-b) tags on several memories", dashed_words=True)
    tag.add_argument("words", metavar="ID… +a -b", nargs="*")
    delete = commands.add("delete", _delete, "delete memories; undo brings them back")
    delete.add_argument("ids", metavar="ID", nargs="+")
    delete.add_argument("--yes", action="store_true", help=f"needed for more than {MAX_UNCONFIRMED_MEMORIES}")
    undo = commands.add("undo", _undo, "take the last change back, or the one with this number")
    undo.add_argument("entry", metavar="ENTRY", nargs="?", type=entry_number)


async def _add(args: Namespace, output: Output) -> int:
    content = _text_or_stdin(args.text) if args.text is not None else _new_content()
    if not content.strip():
        raise Usage("A memory needs a text.")
    draft = Draft(
        content=content,
        node_type=args.type,
        tags=tuple(dict.fromkeys(args.tag)),
        domains=tuple(dict.fromkeys(args.domain)),
        codebase=args.codebase,
    )
    async with chosen_store(args, create=True) as store:
        change = await store.insert(draft)
    return print_change(output, change, "Added")


def _text_or_stdin(text: str) -> str:
    """Return the text of an argument, or stdin where it is ``-``."""
    if text != "-":
        return text
    with interruptible():
        return sys.stdin.buffer.read().decode("utf-8", "replace").rstrip("\n")


def _new_content() -> str:
    if not sys.stdin.isatty():
        return _text_or_stdin("-")
    with draft_file("") as path:
        open_editor(path)
        return _read(path)


async def _edit(args: Namespace, output: Output) -> int:
    options = (args.content, args.type, args.codebase, args.domain, args.visibility, args.meta)
    async with chosen_store(args) as store:
        memory = await store.get(await store.memories.resolve(args.id))
        if all(option is None for option in options):
            with draft_file(memory.content) as path:
                open_editor(path)
                content = _read(path)
                if not memory.content.endswith("\n"):
                    content = content.rstrip("\n")
                if content == memory.content:
                    return print_change(output, Change(()), "Edited")
                if not content.strip():
                    raise Usage("A memory needs a text; nothing was changed.")
                change = await store.update(memory.id, Patch(content=content), expected=memory.updated_at)
        else:
            replacement = None if args.content is None else _text_or_stdin(args.content)
            if replacement is not None and not replacement.strip():
                raise Usage("A memory needs a text; nothing was changed.")
            patch = Patch(
                content=replacement,
                node_type=args.type,
                codebase=args.codebase,
                domains=None if args.domain is None else tuple(name for name in args.domain if name),
                visibility=args.visibility,
                metadata=_metadata(memory.metadata, args.meta) if args.meta else None,
            )
            change = await store.update(memory.id, patch, expected=memory.updated_at)
    return print_change(output, change, "Edited")


def _metadata(stored: Any, options: list[str]) -> dict[str, Any]:
    import json

    metadata = dict(stored)
    for option in options:
        name, equals, text = option.partition("=")
        if not equals or not name:
            raise Usage(f"--meta takes KEY=VALUE, not {quoted(option)}.")
        if not text:
            metadata.pop(name, None)
            continue
        try:
            metadata[name] = json.loads(text, parse_constant=_refuse_constant)
        except ValueError:
            metadata[name] = text
    return metadata


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


@contextlib.contextmanager
def draft_file(content: str) -> Iterator[Path]:
    """Private file with ``content`` to edit; kept, and named in the error, if saving fails afterwards."""
    # A lone surrogate cannot be encoded.
    content = content.encode("utf-8", "replace").decode("utf-8")
    folder = Path(tempfile.mkdtemp(prefix="vestige-"))
    path = folder / "memory.md"
    try:
        files.write(file_targets.examine_document(path), content)
        yield path
    except VestigeError as error:
        if _read(path).strip() and _read(path) != content:
            raise type(error)(f"{error.message} Your text is in {path}.") from error
        _discard(folder)
        raise
    else:
        _discard(folder)


def _discard(folder: Path) -> None:
    """Remove a draft and the editor's files beside it."""
    shutil.rmtree(folder, ignore_errors=True)


def open_editor(path: Path) -> None:
    """Open a file in the user's editor. Raises Refused if there is no editor or it fails."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refused("There is no terminal for an editor; give the text as an option.")
    command = shlex.split(editor or "vi")
    try:
        # A redirected stdout is reserved for the answer.
        editor_stdout = None if sys.stdout.isatty() else STDERR_FD
        status = subprocess.run([*command, str(path)], stdout=editor_stdout, check=False).returncode
    except OSError as error:
        raise Refused(f"The editor {command[0]} could not be started: {error.strerror}.") from None
    if status:
        raise Refused(f"The editor {command[0]} ended with status {status}; nothing was changed.")


def _read(path: Path) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            return file.read()
    except OSError:
        return ""


async def _tag(args: Namespace, output: Output) -> int:
    words: list[str] = [*args.words, *args.extra]
    ids = [word for word in words if word[:1] not in ("+", "-")]
    add = [word[1:].strip() for word in words if word.startswith("+")]
    remove = [word[1:].strip() for word in words if word.startswith("-")]
    if not ids or not (add or remove) or not all([*add, *remove]):
        raise Usage("tag takes ids and tags, as in `vestige-tui tag 1a2b3c4d +keep -draft`.")
    async with chosen_store(args) as store:
        change = await store.memories.tag([await store.memories.resolve(each) for each in ids], add, remove)
    return print_change(output, change, "Tagged")


async def _delete(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        ids = list(dict.fromkeys([await store.memories.resolve(each) for each in args.ids]))
        if len(ids) > MAX_UNCONFIRMED_MEMORIES and not args.yes:
            raise Refused(f"This would delete {grouped(len(ids))} memories; repeat with --yes to do it.")
        preview = await store.memories.preview_delete(ids)
        _print_delete_preview(output, preview)
        change = await store.delete(ids)
    return print_change(output, change, "Deleted")


def _print_delete_preview(output: Output, preview: DeletePreview) -> None:
    if preview.edges or preview.reviews:
        output.note(f"{grouped(preview.edges)} links and {grouped(preview.reviews)} reviews go with them.")
    for memory in preview.resurrected[:_MAX_LISTED_MEMORIES]:
        output.note(f"Comes back, because its replacement goes: {short_id(memory.id)} {one_line(memory.content, 60)}")
    if len(preview.resurrected) > _MAX_LISTED_MEMORIES:
        output.note(f"and {grouped(len(preview.resurrected) - _MAX_LISTED_MEMORIES)} more.")


async def _undo(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        change = await store.journal.undo(args.entry)
    return print_change(output, change, "Taken back for")


def print_change(output: Output, change: Change, verb: str, **extra: Any) -> int:
    """Print a change and the command that undoes it; return the exit status."""
    for warning in change.warnings:
        output.note(warning)
    if output.as_json:
        output.document({**json_shapes.change(change), **extra})
        return 0
    if not change.changed:
        output.line("Nothing changed.")
        return 0
    ids = ", ".join(map(short_id, change.changed)) if len(change.changed) <= _MAX_LISTED_MEMORIES else ""
    undo = f"  (vestige-tui undo {change.undo})" if change.undo is not None else ""
    output.line(f"{verb} {ids or f'{grouped(len(change.changed))} memories'}.{undo}")
    return 0
