"""Commands that import and export memories as JSON lines: import, export."""

from __future__ import annotations

import contextlib
import logging
import sys
import tempfile
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from vestige_tui.cli.consent import confirmed, refuse_unasked
from vestige_tui.cli.filters import add_filters, chosen_filter
from vestige_tui.cli.global_options import chosen_store, is_file
from vestige_tui.cli.interrupts import interruptible
from vestige_tui.cli.jsonl import BadLine, Line, read_line
from vestige_tui.cli.output import Output, dumps
from vestige_tui.cli.parser import Commands
from vestige_tui.core import file_targets, files
from vestige_tui.core.errors import Cancelled, Conflict, NotFound, Refused, Unavailable, Usage
from vestige_tui.core.links import Edge, SupersessionEvent
from vestige_tui.core.memories import Draft, Filter
from vestige_tui.core.paths import user_path
from vestige_tui.core.reviews import Review
from vestige_tui.core.text import grouped
from vestige_tui.presenters import json_shapes

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

BATCH_MEMORIES = 64
BATCH_CHARACTERS = 4_000_000
PAGE_ROWS = 200
MAX_LINE_BYTES = 64 * 2**20
MAX_ERRORS_COUNT = 1_000
FAILED_ROWS_STATUS = 4
_MAX_PRINTED_ERRORS_COUNT = 5

Entry = TypeVar("Entry", Edge, Review, SupersessionEvent)


def add_commands(commands: Commands) -> None:
    importing = commands.add("import", _import, "add memories from a file of JSON lines; what is there is left alone")
    importing.add_argument("file", metavar="FILE", help="- reads stdin")
    importing.add_argument("--format", choices=("auto", "jsonl"), default="auto")
    exporting = commands.add("export", _export, "write memories, links, reviews and replacements as JSON lines")
    exporting.add_argument("file", metavar="FILE", help="- writes to stdout; a pipe or a device is written into")
    exporting.add_argument("--yes", action="store_true", help="replace a file that exists; never a database")
    exporting.add_argument("--memories-only", action="store_true", help="no links, reviews and replacements")
    add_filters(exporting, superseded=False)


@dataclass(slots=True)
class _Tally:
    read: int = 0
    inserted: int = 0
    present: int = 0
    failed: int = 0
    errors: list[tuple[int, str]] = field(default_factory=list)
    warnings: dict[str, None] = field(default_factory=dict)

    def fail(self, line: int, message: str) -> None:
        self.failed += 1
        if len(self.errors) < MAX_ERRORS_COUNT:
            self.errors.append((line, message))

    def document(self) -> dict[str, Any]:
        return {
            "read": self.read,
            "inserted": self.inserted,
            "present": self.present,
            "failed": self.failed,
            "errors": [{"line": line, "message": message} for line, message in sorted(self.errors)],
        }


async def _import(args: Namespace, output: Output) -> int:
    tally = _Tally()
    with _source(args.file) as source:
        async with chosen_store(args, create=True) as store:
            progress = output.progress("imported")
            try:
                entry = await _import_lines(store, source, tally, progress)
            finally:
                progress.end()
    for warning in tally.warnings:
        output.note(warning)
    for line, message in sorted(tally.errors)[:_MAX_PRINTED_ERRORS_COUNT]:
        output.note(f"Line {line} {message}.")
    if tally.failed > _MAX_PRINTED_ERRORS_COUNT:
        output.note(f"{grouped(tally.failed)} lines failed in all.")
    if output.as_json:
        output.document({**tally.document(), "undo": entry})
    undo = f"  (vestige-tui undo {entry})" if entry is not None else ""
    output.line(
        f"{grouped(tally.read)} read: {grouped(tally.inserted)} inserted, {grouped(tally.present)} present, "
        f"{grouped(tally.failed)} failed.{undo}"
    )
    return FAILED_ROWS_STATUS if tally.failed else 0


@contextlib.contextmanager
def _source(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        yield sys.stdin.buffer
        return
    if not name:
        raise Usage("The name of the file is empty; name a file, or - for stdin.")
    path = user_path(name)
    try:
        with interruptible():
            file = open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise Unavailable(f"{name} cannot be read: {error.strerror}.") from None
    with file:
        try:
            with interruptible():
                head = file.peek(16)  # a pipe cannot be rewound
        except OSError as error:
            raise Unavailable(f"{name} cannot be read: {error.strerror}.") from None
        if head.startswith(b"SQLite format 3"):
            raise Refused(f"{name} is a SQLite file; `vestige-tui migrate copy` copies it.")
        yield file


async def _import_lines(store: Store, source: IO[bytes], tally: _Tally, progress: Callable[[int], None]) -> int | None:
    """Insert memories in batches; spool lines that refer to them and restore those last. Return the journal entry."""
    if store.read_only:
        raise Refused(f"{store.title} is open read-only: {store.read_only_reason}.")
    inserted: list[str] = []
    with tempfile.TemporaryFile() as spool:
        try:
            batch: list[tuple[int, Draft]] = []
            size = 0
            for number, raw in _numbered_lines(source):
                if not raw.strip():
                    continue
                tally.read += 1
                try:
                    if len(raw) > MAX_LINE_BYTES:
                        raise BadLine("is longer than 64 MiB")
                    line = read_line(raw)
                    if isinstance(line, Draft):
                        _check_ids(store, line.id, line.owner_user_id, *line.shared_with_groups)
                except BadLine as error:
                    tally.fail(number, error.message)
                    continue
                if not isinstance(line, Draft):
                    spool.write(b"%d %s\n" % (number, raw.strip().replace(b"\n", b" ")))
                    continue
                batch.append((number, line))
                size += len(line.content)
                if len(batch) >= BATCH_MEMORIES or size >= BATCH_CHARACTERS:
                    inserted += await _insert(store, batch, tally)
                    batch, size = [], 0
                    progress(tally.inserted + tally.present + tally.failed)
            inserted += await _insert(store, batch, tally)
            await _restore(store, spool, tally, progress)
        finally:
            # Journal an interrupted import, too, so that undo can remove its memories.
            entry = await store.journal.record_import(inserted) if inserted else None
    return entry


def _numbered_lines(source: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield every line with its number; of a line over MAX_LINE_BYTES only the beginning."""
    number = 0
    while raw := _read_part(source):
        number += 1
        yield number, raw
        while len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
            raw = _read_part(source)
            if len(raw) <= MAX_LINE_BYTES:
                break


def _read_part(source: IO[bytes]) -> bytes:
    """Return the next line, or its next part of MAX_LINE_BYTES + 1."""
    with interruptible():
        return source.readline(MAX_LINE_BYTES + 1)


def _check_ids(store: Store, *ids: str | None) -> None:
    for each in ids:
        if each is not None and not store.memories.is_id(each):
            raise BadLine(f"has the id {each[:60]!r}, which is no UUID")


async def _insert(store: Store, batch: Sequence[tuple[int, Draft]], tally: _Tally) -> tuple[str, ...]:
    drafts: dict[str | int, tuple[int, Draft]] = {}
    for number, draft in batch:
        if draft.id is not None and draft.id in drafts:
            tally.present += 1
        else:
            drafts[draft.id if draft.id is not None else number] = (number, draft)
    if not drafts:
        return ()
    try:
        inserted, present, warnings = await store.memories.insert_many([draft for _, draft in drafts.values()])
    except (Conflict, NotFound, Usage) as error:
        if len(drafts) == 1:
            [(number, _)] = drafts.values()
            tally.fail(number, f"was refused: {error.message}".rstrip("."))
            return ()
        # Insert one by one, so that only the refused drafts fail.
        batches = [await _insert(store, [each], tally) for each in drafts.values()]
        return tuple(memory_id for ids in batches for memory_id in ids)
    tally.inserted += len(inserted)
    tally.present += len(present)
    tally.warnings |= dict.fromkeys(warnings)
    return inserted


async def _restore(store: Store, spool: IO[bytes], tally: _Tally, progress: Callable[[int], None]) -> None:
    """Restore links, reviews and supersession events, in the order of the file."""
    undone_ids = {line.undoes for _, line in _read_spool(spool) if isinstance(line, Review) and line.undoes}
    undone_reviews: dict[int, Review] = {}
    edges: list[tuple[int, Edge]] = []
    reviews: list[tuple[int, Review]] = []
    events: list[tuple[int, SupersessionEvent]] = []

    async def restore_reviews(batch: Sequence[Review]) -> tuple[int, int]:
        # The store matches an undo with its review within one call, also if that review is already written.
        batch_ids = {review.id for review in batch}
        targets = [
            undone_reviews[each.undoes]
            for each in batch
            if each.undoes in undone_reviews and each.undoes not in batch_ids
        ]
        inserted, present = await store.reviews.restore([*targets, *batch])
        return inserted, present - len(targets)

    async def flush() -> None:
        await _restore_batch(edges, store.links.restore, tally)
        await _restore_batch(reviews, restore_reviews, tally)
        await _restore_batch(events, store.links.restore_events, tally)
        progress(tally.inserted + tally.present + tally.failed)

    for number, line in _read_spool(spool):
        try:
            if isinstance(line, Edge):
                _check_ids(store, line.source_id, line.target_id)
                edges.append((number, line))
            elif isinstance(line, Review):
                _check_ids(store, line.memory_id)
                reviews.append((number, line))
                if line.id in undone_ids:
                    undone_reviews[line.id] = line
            elif isinstance(line, SupersessionEvent):
                _check_ids(store, line.loser_id, line.winner_id)
                events.append((number, line))
        except BadLine as error:
            tally.fail(number, error.message)
        if len(edges) + len(reviews) + len(events) >= PAGE_ROWS:
            await flush()
    await flush()


def _read_spool(spool: IO[bytes]) -> Iterator[tuple[int, Line]]:
    spool.seek(0)
    for row in spool:
        number, _, raw = row.partition(b" ")
        yield int(number), read_line(raw)


async def _restore_batch(
    entries: list[tuple[int, Entry]],
    restore: Callable[[Sequence[Entry]], Awaitable[tuple[int, int]]],
    tally: _Tally,
) -> None:
    try:
        inserted, present = await restore([entry for _, entry in entries])
    except (NotFound, Conflict, Usage) as refusal:
        log.debug("A batch was refused, so its lines are restored one by one: %s", refusal)
        inserted = present = 0
        for number, entry in entries:
            try:
                new, old = await restore([entry])
            except (NotFound, Conflict, Usage) as error:
                tally.fail(number, f"was refused: {error.message}".rstrip("."))
            else:
                inserted, present = inserted + new, present + old
    tally.inserted += inserted
    tally.present += present
    entries.clear()


async def _export(args: Namespace, output: Output) -> int:
    # Refuse before the store is opened; the check below knows the store's own file.
    to_stdout = args.file == "-" or _examine(args).is_stdout
    if to_stdout and output.as_json:
        raise Usage(f"export {args.file} writes JSON lines to stdout by itself; leave --json out.")
    counts: dict[str, int] = {}
    progress = output.progress("exported")
    async with chosen_store(args) as store:
        criteria = await chosen_filter(args, store, superseded=True)
        target = _examine(args, store)
        if target.occupied and not await confirmed(args, f"Replace {args.file}?"):
            raise Cancelled(f"{args.file} stays as it is.")
        note_waiting = partial(output.note, f"Waiting for a reader of {args.file}; ctrl-C cancels.")
        async with files.written(target, overwrite=target.occupied, waiting=note_waiting) as sink:
            try:
                async for line in _exported(store, criteria, args.memories_only):
                    counts[line["kind"]] = counts.get(line["kind"], 0) + 1
                    await sink.write(dumps(line) + "\n")
                    progress(sum(counts.values()))
            finally:
                progress.end()
    if output.as_json:
        output.document({"path": args.file, "written": counts})
    elif not to_stdout:
        output.line(f"Wrote {grouped(sum(counts.values()))} lines to {args.file}.")
    return 0


def _examine(args: Namespace, store: Store | None = None) -> file_targets.FileTarget:
    """Return the examined target of an export. Raises Refused or Unavailable where it cannot be written."""
    store_path = Path(store.location.removeprefix("sqlite:")) if store is not None and is_file(store.location) else None
    if args.file == "-":
        return file_targets.examine_stdout(store=store_path)
    target = file_targets.examine(args.file, store=store_path)
    if target.occupied:
        refuse_unasked(args, f"This would replace {args.file}")
    return target


async def _exported(store: Store, criteria: Filter, memories_only: bool) -> AsyncIterator[dict[str, Any]]:
    """Yield all lines of an export: memories, then the links, reviews and events among them only."""
    ids: dict[str, None] = {}  # ordered, so that two exports of a store are equal
    after: str | None = None
    while True:
        page = await store.page(criteria, limit=PAGE_ROWS, after=after)
        for memory in page.items:
            ids[memory.id] = None
            yield json_shapes.memory_line(memory)
        after = page.next
        if after is None:
            break
    if memories_only:
        return
    for memory_id in ids:
        for edge in await store.links.edges(memory_id):
            if edge.source_id == memory_id and edge.target_id in ids:
                yield json_shapes.edge_line(edge)
    for review in await store.reviews.since(datetime.fromtimestamp(0, UTC)):
        if review.memory_id in ids:
            yield json_shapes.review_line(review)
    for memory_id in ids:
        for event in await store.links.history(memory_id):
            if event.loser_id == memory_id and (event.winner_id is None or event.winner_id in ids):
                yield json_shapes.supersession_line(event)
