"""Commands that carry memories in and out as JSON lines: import, export."""

from __future__ import annotations

import contextlib
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
from vestige_tui.cli.jsonl import BadLine, Line, read_line
from vestige_tui.cli.output import Output, dumps
from vestige_tui.cli.parser import Commands
from vestige_tui.cli.session import chosen_store, is_file
from vestige_tui.core import files
from vestige_tui.core.errors import Cancelled, Conflict, NotFound, Refused, Unavailable, Usage
from vestige_tui.core.links import Edge, SupersessionEvent
from vestige_tui.core.memories import Draft, Filter
from vestige_tui.core.reviews import Review
from vestige_tui.core.text import grouped
from vestige_tui.presenters import json_shapes

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

BATCH = 64
BATCH_CHARACTERS = 4_000_000
PAGE = 200
LONGEST_LINE = 64 * 2**20
MOST_ERRORS = 1_000
FAILED_ROWS = 4
_SHOWN_ERRORS = 5

Entry = TypeVar("Entry", Edge, Review, SupersessionEvent)


def add_commands(commands: Commands) -> None:
    bring = commands.add("import", _import, "add memories from a file of JSON lines; what is there is left alone")
    bring.add_argument("file", metavar="FILE", help="- reads stdin")
    bring.add_argument("--format", choices=("auto", "jsonl"), default="auto")
    out = commands.add("export", _export, "write memories, links, reviews and replacements as JSON lines")
    out.add_argument("file", metavar="FILE", help="- writes to stdout; a pipe or a device is written into")
    out.add_argument("--yes", action="store_true", help="replace a file that exists; never a database")
    out.add_argument("--memories-only", action="store_true", help="no links, reviews and replacements")
    add_filters(out, superseded=False)


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
        if len(self.errors) < MOST_ERRORS:
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
                entry = await _bring(store, source, tally, progress)
            finally:
                progress.end()
    for warning in tally.warnings:
        output.note(warning)
    for line, message in sorted(tally.errors)[:_SHOWN_ERRORS]:
        output.note(f"Line {line} {message}.")
    if tally.failed > _SHOWN_ERRORS:
        output.note(f"{grouped(tally.failed)} lines failed in all.")
    if output.as_json:
        output.document({**tally.document(), "undo": entry})
    undo = f"  (vestige-tui undo {entry})" if entry is not None else ""
    output.line(
        f"{grouped(tally.read)} read: {grouped(tally.inserted)} inserted, {grouped(tally.present)} present, "
        f"{grouped(tally.failed)} failed.{undo}"
    )
    return FAILED_ROWS if tally.failed else 0


@contextlib.contextmanager
def _source(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        yield sys.stdin.buffer
        return
    path = Path(name).expanduser()
    try:
        file = open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise Unavailable(f"{name} cannot be read: {error.strerror}.") from None
    with file:
        try:
            head = file.peek(16)  # what is read of a pipe does not come back
        except OSError as error:
            raise Unavailable(f"{name} cannot be read: {error.strerror}.") from None
        if head.startswith(b"SQLite format 3"):
            raise Refused(f"{name} is a SQLite file; `vestige-tui migrate copy` copies it.")
        yield file


async def _bring(store: Store, source: IO[bytes], tally: _Tally, progress: Callable[[int], None]) -> int | None:
    """Memories first, in batches; what speaks of them waits in a file meanwhile. Gives the journal entry."""
    if store.read_only:
        raise Refused(f"{store.title} is open read-only: {store.read_only_reason}.")
    inserted: list[str] = []
    with tempfile.TemporaryFile() as waiting:
        try:
            batch: list[tuple[int, Draft]] = []
            size = 0
            for number, raw in _lines(source):
                if not raw.strip():
                    continue
                tally.read += 1
                try:
                    if len(raw) > LONGEST_LINE:
                        raise BadLine("is longer than 64 MiB")
                    line = read_line(raw)
                    if isinstance(line, Draft):
                        _check_ids(store, line.id, line.owner_user_id, *line.shared_with_groups)
                except BadLine as error:
                    tally.fail(number, error.message)
                    continue
                if not isinstance(line, Draft):
                    waiting.write(b"%d %s\n" % (number, raw.strip().replace(b"\n", b" ")))
                    continue
                batch.append((number, line))
                size += len(line.content)
                if len(batch) >= BATCH or size >= BATCH_CHARACTERS:
                    inserted += await _insert(store, batch, tally)
                    batch, size = [], 0
                    progress(tally.inserted + tally.present + tally.failed)
            inserted += await _insert(store, batch, tally)
            await _restore(store, waiting, tally, progress)
        finally:
            # What was written stays written when the import is interrupted, and can still be taken back.
            entry = await store.journal_import(inserted) if inserted else None
    return entry


def _lines(source: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Every line with its number; of one beyond all measure only the beginning."""
    number = 0
    while raw := source.readline(LONGEST_LINE + 1):
        number += 1
        yield number, raw
        while len(raw) > LONGEST_LINE and not raw.endswith(b"\n"):
            raw = source.readline(LONGEST_LINE + 1)
            if len(raw) <= LONGEST_LINE:
                break


def _check_ids(store: Store, *ids: str | None) -> None:
    for each in ids:
        if each is not None and not store.backend.is_id(each):
            raise BadLine(f"has the id {each[:60]!r}, which is no UUID")


async def _insert(store: Store, batch: Sequence[tuple[int, Draft]], tally: _Tally) -> tuple[str, ...]:
    fresh: dict[str | int, tuple[int, Draft]] = {}
    for number, draft in batch:
        if draft.id is not None and draft.id in fresh:
            tally.present += 1
        else:
            fresh[draft.id if draft.id is not None else number] = (number, draft)
    if not fresh:
        return ()
    try:
        inserted, present, warnings = await store.insert_many([draft for _, draft in fresh.values()])
    except (Conflict, NotFound, Usage) as error:
        if len(fresh) == 1:
            [(number, _)] = fresh.values()
            tally.fail(number, f"was refused: {error.message}".rstrip("."))
            return ()
        # One of them is at fault; the others are not.
        alone = [await _insert(store, [each], tally) for each in fresh.values()]
        return tuple(memory_id for ids in alone for memory_id in ids)
    tally.inserted += len(inserted)
    tally.present += len(present)
    tally.warnings |= dict.fromkeys(warnings)
    return inserted


async def _restore(store: Store, waiting: IO[bytes], tally: _Tally, progress: Callable[[int], None]) -> None:
    """Links, reviews and decisions, in the order of the file."""
    undone = {line.undoes for _, line in _read_again(waiting) if isinstance(line, Review) and line.undoes}
    taken_back: dict[int, Review] = {}
    edges: list[tuple[int, Edge]] = []
    reviews: list[tuple[int, Review]] = []
    events: list[tuple[int, SupersessionEvent]] = []

    async def restore_reviews(batch: Sequence[Review]) -> tuple[int, int]:
        # A review that takes another back needs to meet it in the same call, also where it was written before.
        here = {review.id for review in batch}
        met = [taken_back[each.undoes] for each in batch if each.undoes in taken_back and each.undoes not in here]
        inserted, present = await store.restore_reviews([*met, *batch])
        return inserted, present - len(met)

    async def flush() -> None:
        await _write(edges, store.restore_edges, tally)
        await _write(reviews, restore_reviews, tally)
        await _write(events, store.restore_events, tally)
        progress(tally.inserted + tally.present + tally.failed)

    for number, line in _read_again(waiting):
        try:
            if isinstance(line, Edge):
                _check_ids(store, line.source_id, line.target_id)
                edges.append((number, line))
            elif isinstance(line, Review):
                _check_ids(store, line.memory_id)
                reviews.append((number, line))
                if line.id in undone:
                    taken_back[line.id] = line
            elif isinstance(line, SupersessionEvent):
                _check_ids(store, line.loser_id, line.winner_id)
                events.append((number, line))
        except BadLine as error:
            tally.fail(number, error.message)
        if len(edges) + len(reviews) + len(events) >= PAGE:
            await flush()
    await flush()


def _read_again(waiting: IO[bytes]) -> Iterator[tuple[int, Line]]:
    waiting.seek(0)
    for row in waiting:
        number, _, raw = row.partition(b" ")
        yield int(number), read_line(raw)


async def _write(
    entries: list[tuple[int, Entry]],
    restore: Callable[[Sequence[Entry]], Awaitable[tuple[int, int]]],
    tally: _Tally,
) -> None:
    try:
        inserted, present = await restore([entry for _, entry in entries])
    except (NotFound, Conflict, Usage):
        inserted = present = 0
        for number, entry in entries:
            try:
                one, other = await restore([entry])
            except (NotFound, Conflict, Usage) as error:
                tally.fail(number, f"was refused: {error.message}".rstrip("."))
            else:
                inserted, present = inserted + one, present + other
    tally.inserted += inserted
    tally.present += present
    entries.clear()


async def _export(args: Namespace, output: Output) -> int:
    # Before any store is opened, and once more when it is.
    to_stdout = args.file == "-" or _examine(args).is_stdout
    if to_stdout and output.as_json:
        raise Usage(f"export {args.file} writes JSON lines to stdout by itself; leave --json out.")
    counts: dict[str, int] = {}
    progress = output.progress("exported")
    async with chosen_store(args) as store:
        chosen = await chosen_filter(args, store, superseded=True)
        target = _examine(args, store)
        if target.occupied and not await confirmed(args, f"Replace {args.file}?"):
            raise Cancelled(f"{args.file} stays as it is.")
        waiting = partial(output.note, f"Waiting for a reader of {args.file}; ctrl-C cancels.")
        async with files.written(target, overwrite=target.occupied, waiting=waiting) as sink:
            try:
                async for line in _exported(store, chosen, args.memories_only):
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


def _examine(args: Namespace, store: Store | None = None) -> files.FileTarget:
    """What the export of a store would be written to. Raises Refused and Unavailable where it must not or cannot be."""
    own = Path(store.location.removeprefix("sqlite:")) if store is not None and is_file(store.location) else None
    if args.file == "-":
        return files.examine_stdout(store=own)
    target = files.examine(args.file, store=own)
    if target.occupied:
        refuse_unasked(args, f"This would replace {args.file}")
    return target


async def _exported(store: Store, chosen: Filter, memories_only: bool) -> AsyncIterator[dict[str, Any]]:
    """All lines of an export: memories, then what speaks of them and of nothing else."""
    ids: dict[str, None] = {}  # in the order of the file, so that two exports of a store are equal
    after: str | None = None
    while True:
        page = await store.page(chosen, limit=PAGE, after=after)
        for memory in page.items:
            ids[memory.id] = None
            yield json_shapes.memory_line(memory)
        after = page.next
        if after is None:
            break
    if memories_only:
        return
    for memory_id in ids:
        for edge in await store.get_edges(memory_id):
            if edge.source_id == memory_id and edge.target_id in ids:
                yield json_shapes.edge_line(edge)
    for review in await store.reviews_since(datetime.fromtimestamp(0, UTC)):
        if review.memory_id in ids:
            yield json_shapes.review_line(review)
    for memory_id in ids:
        for event in await store.supersession_history(memory_id):
            if event.loser_id == memory_id and (event.winner_id is None or event.winner_id in ids):
                yield json_shapes.supersession_line(event)
