"""Commands that import memories in the formats of several programs, and export them as JSON lines: import, export."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from io import BufferedReader
from typing import IO, TYPE_CHECKING, cast

from vestige_tui.cli.consent import confirmed, refuse_unasked
from vestige_tui.cli.filters import add_filters, chosen_filter
from vestige_tui.cli.global_options import chosen_store
from vestige_tui.cli.import_parts import (
    FORMAT_NAMES,
    MARKDOWN,
    ImportPreview,
    Part,
    archive_parts,
    folder_parts,
    parts_of,
    preview,
)
from vestige_tui.cli.import_tally import ImportTally
from vestige_tui.cli.interrupts import interruptible
from vestige_tui.cli.line_import import LineImport, numbered_lines
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands
from vestige_tui.core import file_targets, files
from vestige_tui.core.bulk import Target
from vestige_tui.core.errors import Cancelled, Unavailable, Usage
from vestige_tui.core.file_permissions import is_readable_by_others
from vestige_tui.core.json_text import dumps
from vestige_tui.core.memories import Filter
from vestige_tui.core.paths import user_path
from vestige_tui.core.text import file_name, grouped
from vestige_tui.import_formats.detection import HEAD_BYTES, HEAD_LINES, detect
from vestige_tui.import_formats.portable_archive import TITLE, PortableArchive
from vestige_tui.import_formats.vestige_export import vestige_line
from vestige_tui.presenters.export_lines import exported_lines

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

FAILED_ROWS_STATUS = 4
PORTABLE = "portable"
PIECE_BYTES = 2**18
NOTHING: Mapping[str, int] = {}
_MAX_PRINTED_ERRORS_COUNT = 5


def add_commands(commands: Commands) -> None:
    importing = commands.add("import", _import, "add memories from a file; existing memories are not changed")
    importing.add_argument("file", metavar="FILE", help="file or folder to read; - reads stdin")
    importing.add_argument(
        "--format",
        choices=("auto", "jsonl", *FORMAT_NAMES),
        default="auto",
        help="auto (default): known by the beginning of the file; jsonl: lines of this program's export, or any with a "
        '"content" key; vestige: an export of its server; portable: an archive of it; mem0; mcp: memory.jsonl of '
        "the MCP memory server; texts: a JSON array of texts, or one memory a paragraph",
    )
    importing.add_argument("--dry-run", action="store_true", help="count what the file holds, by type; write nothing")
    exporting = commands.add(
        "export",
        _export,
        "write memories, links, reviews, replacements, review marks, users, groups and domains as JSON Lines; vectors "
        "are left out (import computes them again, backup keeps them)",
    )
    exporting.add_argument("file", metavar="FILE", help="file to write; - writes to stdout")
    exporting.add_argument(
        "--format",
        choices=("jsonl", "vestige"),
        default="jsonl",
        help="jsonl (default), or vestige: memories alone, as JSON Lines of a Vestige export",
    )
    exporting.add_argument("--yes", action="store_true", help="replace an existing file; a database is never replaced")
    exporting.add_argument(
        "--memories-only",
        action="store_true",
        help="leave out links, reviews, users and everything else that is not a memory",
    )
    exporting.add_argument(
        "--memory", metavar="ID", action="append", default=[], help="only this memory; repeat for several"
    )
    add_filters(exporting, superseded=False)


async def _import(args: Namespace, output: Output) -> int:
    from vestige_tui.import_formats.recognition import refuse_binary

    if args.file != "-" and args.file and (folder := user_path(args.file)).is_dir():
        if args.format not in ("auto", MARKDOWN):
            raise Usage(f"{file_name(args.file)} is a folder, which has the format {MARKDOWN}.")
        return await _import_parts(args, output, folder_parts(folder), "a folder of Markdown notes")
    if args.format == MARKDOWN:
        raise Usage(f"{file_name(args.file)} is not a folder; {MARKDOWN} reads a folder of notes.")
    with _source(args.file) as source:
        lines = numbered_lines(source, args.file)
        head = _head(lines)
        refuse_binary(b"".join(raw for _, raw in head)[:HEAD_BYTES], _title_of(args.file))
        name, title = _chosen_format(args, head)
        if name == PORTABLE:
            archive = PortableArchive(_pieces(head, source, args.file))
            return await _import_parts(args, output, archive_parts(archive), title, archive.left_behind)
        return await _import_parts(args, output, parts_of(itertools.chain(head, lines), name), title)


async def _import_parts(
    args: Namespace, output: Output, parts: Iterator[Part], title: str, left_behind: Mapping[str, int] = NOTHING
) -> int:
    """Import the parts of a file, or preview them. ``left_behind`` counts rows without a place while it is read."""
    # A damaged document, or an archive of another version, is refused before a store is created.
    first = list(itertools.islice(parts, 1))
    parts = itertools.chain(first, parts)
    if args.dry_run:
        output.note(f"Reading {title}.")
        return _preview(await asyncio.to_thread(preview, parts, left_behind), title, output)
    tally = ImportTally(left_behind=left_behind)
    async with chosen_store(args, create=True) as store:
        store.refuse_read_only()
        output.note(f"Reading {title}.")
        progress = output.progress("imported")
        try:
            await LineImport(store, tally, progress, partial(_note_entry, output)).run(parts)
        except BaseException:
            progress.end()
            if tally.read:
                _report_import(tally, output)
            raise
        progress.end()
    _report_import(tally, output)
    return FAILED_ROWS_STATUS if tally.failed else 0


def _note_entry(output: Output, entry: int) -> None:
    """Name the journal entry of an import that is running: a kill leaves it no time for a report."""
    output.note(f"Recorded as change {entry}, also if it is interrupted. Undo: vestige-tui undo {entry}", fold=False)


def _chosen_format(args: Namespace, head: Sequence[tuple[int, bytes]]) -> tuple[str, str]:
    """Return the name and the title of the format of a file: the one that is given, else the one that is detected."""
    from vestige_tui.import_formats.formats import FORMATS, OURS, TITLE_OF_OURS
    from vestige_tui.import_formats.recognition import is_ours, unknown_format

    name = args.format
    if name == "auto":
        lines = [raw for _, raw in head if raw.strip()]
        name = detect(lines) or OURS
        if name == OURS and lines and not is_ours(lines):
            raise unknown_format(lines, _title_of(args.file))
    if name == PORTABLE:
        return name, TITLE
    return name, TITLE_OF_OURS if name == OURS else FORMATS[name].title


def _preview(found: ImportPreview, title: str, output: Output) -> int:
    """Print the counts of an import without writing anything."""
    _report_left_behind(found.left_behind, output)
    if output.as_json:
        output.document({"format": title, **found.document()})
        return 0
    rows = [(kind, grouped(count)) for kind, count in sorted(found.kinds.items())]
    rows += [(f"memories of the type {name}", grouped(count)) for name, count in sorted(found.types.items())]
    rows += [("not readable", grouped(found.failed))] if found.failed else []
    output.table(rows, flexible=0, right=(1,))
    for line, message in found.errors[:_MAX_PRINTED_ERRORS_COUNT]:
        output.note(f"Line {line} {message}.")
    if found.without_place:
        names = ", ".join(f"{name} ({grouped(count)})" for name, count in found.without_place.items())
        output.line(f"Without a place of their own, kept in the metadata: {names}.")
    return 0


def _report_left_behind(left_behind: Mapping[str, int], output: Output) -> None:
    """Name the tables of an archive that have no place in a store, with their rows."""
    if left_behind:
        names = ", ".join(f"{name} ({grouped(count)})" for name, count in sorted(left_behind.items()))
        output.note(f"Not imported, rows by table: {names}.")


def _head(lines: Iterator[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Read the first lines with content, by which the format of a file is known."""
    head: list[tuple[int, bytes]] = []
    contents = size = 0
    while contents < HEAD_LINES and size < HEAD_BYTES and (line := next(lines, None)):
        head.append(line)
        contents += bool(line[1].strip())
        size += len(line[1])
    return head


def _report_import(tally: ImportTally, output: Output) -> None:
    """Print the counts of an import, also of one that was broken off, and the command that undoes it."""
    for warning in tally.warnings:
        output.note(warning)
    for line, message in sorted(tally.errors)[:_MAX_PRINTED_ERRORS_COUNT]:
        output.note(f"Line {line} {message}.")
    if tally.failed > _MAX_PRINTED_ERRORS_COUNT:
        output.note(f"{grouped(tally.failed)} lines failed in total.")
    for line, message in sorted(tally.repairs)[:_MAX_PRINTED_ERRORS_COUNT]:
        output.note(f"Line {line} was repaired: {message}.")
    if tally.repaired > _MAX_PRINTED_ERRORS_COUNT:
        output.note(f"{grouped(tally.repaired)} lines were repaired in total.")
    if tally.unknown_keys:
        names = ", ".join(f"{name} ({grouped(count)})" for name, count in tally.unknown_keys.items())
        output.note(f'Unknown keys, kept in the metadata under "imported": {names}.')
    _report_left_behind(tally.left_behind, output)
    if output.as_json:
        output.document(tally.document())
    repaired = f", {grouped(tally.repaired)} repaired" if tally.repaired else ""
    undo = f"  Undo: vestige-tui undo {tally.undo}" if tally.undo is not None else ""
    output.line(
        f"{grouped(tally.read)} read: {grouped(tally.inserted)} inserted, {grouped(tally.present)} already present, "
        f"{grouped(tally.failed)} failed{repaired}.{undo}"
    )


def _pieces(head: Sequence[tuple[int, bytes]], source: IO[bytes], name: str) -> Iterator[bytes]:
    """Yield a file piece by piece: it may be one line of gigabytes."""
    yield from (raw for _, raw in head)
    buffered = cast(BufferedReader, source)
    while True:
        try:
            with interruptible():
                piece = buffered.read1(PIECE_BYTES)  # what is there: a pipe may pause
        except OSError as error:
            raise Unavailable(f"{file_name(name)} cannot be read: {error.strerror}.") from None
        if not piece:
            return
        yield piece


@contextlib.contextmanager
def _source(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        yield sys.stdin.buffer
        return
    if not name:
        raise Usage("The file name is empty; give a file, or - for stdin.")
    path = user_path(name)
    try:
        with interruptible():
            file = open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise Unavailable(f"{file_name(name)} cannot be read: {error.strerror}.") from None
    with file:
        yield file


def _title_of(name: str) -> str:
    return "The input" if name == "-" else file_name(name)


async def _export(args: Namespace, output: Output) -> int:
    # Refuse before the store is opened; the check below knows the store's own file.
    to_stdout = args.file == "-" or _examine(args).is_stdout
    if to_stdout and output.as_json:
        raise Usage(f"export {args.file} already writes JSON Lines to stdout; remove --json.")
    counts: dict[str, int] = {}
    progress = output.progress("exported")
    async with chosen_store(args) as store:
        chosen = await _chosen(args, store)
        target = _examine(args, store)
        if target.occupied and not await confirmed(args, f"Replace {args.file}?"):
            raise Cancelled(f"{file_name(args.file)} was not changed.")
        note_waiting = partial(output.note, f"Waiting for a program to read {args.file}; ctrl-C cancels.")
        async with files.written(target, overwrite=target.occupied, waiting=note_waiting) as sink:
            try:
                as_vestige = args.format == "vestige"
                async for line in exported_lines(store, chosen, memories_only=args.memories_only or as_vestige):
                    counts[line["kind"]] = counts.get(line["kind"], 0) + 1
                    await sink.write(dumps(vestige_line(line) if as_vestige else line) + "\n")
                    progress(sum(counts.values()))
            finally:
                progress.end()
    if not target.is_stream and is_readable_by_others(target.path):
        output.note(f"Every user of this machine can read {args.file}; restrict it with `chmod 600`.")
    if output.as_json:
        output.document({"path": args.file, "written": counts})
    elif not to_stdout:
        output.line(f"Wrote {grouped(sum(counts.values()))} lines to {file_name(args.file)}.")
    return 0


async def _chosen(args: Namespace, store: Store) -> Target:
    """Return the memories to export: those that are named, else all that pass the filters."""
    criteria = await chosen_filter(args, store, superseded=True)
    if not args.memory:
        return Target(filter=criteria)
    if criteria != Filter(superseded=True):
        raise Usage("--memory cannot be combined with filters.")
    return Target(tuple(dict.fromkeys([await store.memories.resolve(each) for each in args.memory])))


def _examine(args: Namespace, store: Store | None = None) -> file_targets.FileTarget:
    """Return the examined target of an export. Raises Refused or Unavailable where it cannot be written."""
    store_path = store.file if store is not None else None
    if args.file == "-":
        return file_targets.examine_stdout(store=store_path)
    target = file_targets.examine(args.file, store=store_path)
    if target.occupied:
        refuse_unasked(args, f"This would replace {args.file}")
    return target
