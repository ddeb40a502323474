"""Commands that import and export memories as JSON lines: import, export."""

from __future__ import annotations

import contextlib
import itertools
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from functools import partial
from typing import IO, TYPE_CHECKING

from vestige_tui.cli.consent import confirmed, refuse_unasked
from vestige_tui.cli.filters import add_filters, chosen_filter
from vestige_tui.cli.foreign_formats import HEAD_BYTES, HEAD_LINES, foreign_format
from vestige_tui.cli.global_options import chosen_store
from vestige_tui.cli.interrupts import interruptible
from vestige_tui.cli.line_import import ImportTally, LineImport, numbered_lines
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands
from vestige_tui.core import file_targets, files
from vestige_tui.core.bulk import Target
from vestige_tui.core.errors import Cancelled, Refused, Unavailable, Usage
from vestige_tui.core.file_permissions import is_readable_by_others
from vestige_tui.core.json_text import dumps
from vestige_tui.core.memories import Filter
from vestige_tui.core.paths import user_path
from vestige_tui.core.text import file_name, grouped
from vestige_tui.presenters.export_lines import exported_lines

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

FAILED_ROWS_STATUS = 4
_MAX_PRINTED_ERRORS_COUNT = 5


def add_commands(commands: Commands) -> None:
    importing = commands.add(
        "import", _import, "add memories from a JSON Lines file; existing memories are not changed"
    )
    importing.add_argument("file", metavar="FILE", help="JSON Lines file; - reads stdin")
    importing.add_argument(
        "--format",
        choices=("auto", "jsonl"),
        default="auto",
        help="auto (default): refuse a file in a known format of another program; jsonl: import it too, every line "
        'that has a "content" key',
    )
    exporting = commands.add(
        "export",
        _export,
        "write memories, links, reviews, replacements and review marks (suspended, buried, pinned) as JSON Lines",
    )
    exporting.add_argument("file", metavar="FILE", help="file to write; - writes to stdout")
    exporting.add_argument("--yes", action="store_true", help="replace an existing file; a database is never replaced")
    exporting.add_argument(
        "--memories-only", action="store_true", help="leave out links, reviews, replacements and review marks"
    )
    exporting.add_argument(
        "--memory", metavar="ID", action="append", default=[], help="only this memory; repeat for several"
    )
    add_filters(exporting, superseded=False)


async def _import(args: Namespace, output: Output) -> int:
    tally = ImportTally()
    with _source(args.file) as source:
        lines = numbered_lines(source, args.file)
        head = _head(lines)
        if args.format == "auto":
            _refuse_foreign(args.file, head)
        async with chosen_store(args, create=True) as store:
            progress = output.progress("imported")
            try:
                await LineImport(store, tally, progress).run(itertools.chain(head, lines))
            except BaseException:
                progress.end()
                if tally.read:
                    _report_import(tally, output)
                raise
            progress.end()
    _report_import(tally, output)
    return FAILED_ROWS_STATUS if tally.failed else 0


def _head(lines: Iterator[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Read the first lines with content, by which the format of a file is known."""
    head: list[tuple[int, bytes]] = []
    contents = size = 0
    while contents < HEAD_LINES and size < HEAD_BYTES and (line := next(lines, None)):
        head.append(line)
        contents += bool(line[1].strip())
        size += len(line[1])
    return head


def _refuse_foreign(name: str, head: Sequence[tuple[int, bytes]]) -> None:
    """Raise Refused for a file in another program's format: its lines would lose their times, links and reviews."""
    foreign = foreign_format([raw for _, raw in head if raw.strip()])
    if foreign is None:
        return
    if "Vestige" in foreign:
        advice = (
            "Copy the SQLite file of its server instead: `vestige-tui migrate copy --source sqlite:PATH --target URL`."
        )
    else:
        advice = 'Convert it to JSON Lines with the text of each memory in the key "content".'
    title = "Standard input" if name == "-" else file_name(name)
    raise Refused(f"{title} contains {foreign}; import cannot read it, and nothing was imported. {advice}")


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
    if output.as_json:
        output.document(tally.document())
    repaired = f", {grouped(tally.repaired)} repaired" if tally.repaired else ""
    undo = f"  Undo: vestige-tui undo {tally.undo}" if tally.undo is not None else ""
    output.line(
        f"{grouped(tally.read)} read: {grouped(tally.inserted)} inserted, {grouped(tally.present)} already present, "
        f"{grouped(tally.failed)} failed{repaired}.{undo}"
    )


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
        try:
            with interruptible():
                head = file.peek(16)  # a pipe cannot be rewound
        except OSError as error:
            raise Unavailable(f"{file_name(name)} cannot be read: {error.strerror}.") from None
        if head.startswith(b"SQLite format 3"):
            raise Refused(f"{file_name(name)} is a SQLite file; copy it with `vestige-tui migrate copy`.")
        yield file


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
                async for line in exported_lines(store, chosen, memories_only=args.memories_only):
                    counts[line["kind"]] = counts.get(line["kind"], 0) + 1
                    await sink.write(dumps(line) + "\n")
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
