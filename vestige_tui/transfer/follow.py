"""What changed in a source since it was read: additions, edits and deletions, brought by comparing all of it again.

What somebody wrote into the target stays as it is: a row is edited only where it is as this copy left it, and deleted
only where this copy has inserted it.
"""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from vestige_tui.core.jobs import JobFinding
from vestige_tui.store.backends import pgbinary_decode, pgbinary_encode
from vestige_tui.store.schema.rows import edge as read_edge
from vestige_tui.transfer.convert import BY_NAME, TABLES, Fit
from vestige_tui.transfer.protocols import Outcome
from vestige_tui.transfer.row_keys import NOBODY, key_of
from vestige_tui.transfer.sanitize import sentence
from vestige_tui.transfer.sync_state import ALIKE, GONE, OURS, REFUSED, TOLD, UNTAKEN, Mark, hashed, mark_of, stamp_of
from vestige_tui.transfer.verify import name_of

if TYPE_CHECKING:
    from datetime import datetime

    from vestige_tui.core.links import Edge
    from vestige_tui.jobs.context import Running
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.transfer.convert import Setting, Table
    from vestige_tui.transfer.protocols import Batch, Key, Mirror, Source, Target
    from vestige_tui.transfer.sync_state import Brought, Remembered

BATCH = 1_000
MAX_BATCH_BYTES = 8_000_000
KEYS = 4_000
SYNCED = OURS | ALIKE
UNSET = (pgbinary_encode.boolean(False), None)
"""What a mark on reviews says that says nothing: not suspended, not buried."""
_OF_MEMORIES = ("memories", "vectors", "scheduling", "edges", "reviews", "supersession", "marks")


@dataclass(slots=True)
class _Row:
    """A row of the source, what it is now, and what was known of it."""

    place: int
    fit: Fit
    mark: Mark
    known: Mark | None

    def becomes(self, what: int) -> Mark:
        return self.mark._replace(what=what)


class Following:
    """Passes over a source and its target.

    ``asked`` puts a question to the source, in a thread; ``record`` counts written rows and gives what is to be told.
    """

    def __init__(
        self,
        running: Running,
        source: Source,
        target: Target,
        mirror: Mirror,
        brought: Brought,
        asked: Callable[[Callable[[], Any]], Awaitable[Any]],
        record: Callable[[Table, Sequence[Fit], Outcome], list[JobFinding]],
        *,
        vectors: bool,
    ) -> None:
        self._running = running
        self._source = source
        self._target = target
        self._mirror = mirror
        self._brought = brought
        self._asked = asked
        self._record = record
        self._tables = [table for table in TABLES if vectors or table.name != "vectors"]
        self._vectors = vectors
        self._hidden: set[str] = set()
        """Tables where the present look met rows whose keys it cannot know: nothing of these is deleted."""
        self._absent: dict[str, set[int]] = {}
        """What the last pass did not find: a row that is written anew may be missed once."""

    async def once(self, setting: Setting) -> int:
        """One pass over everything; gives how many rows of the target it changed."""
        token = await self._asked(self._source.token)
        seen = {table.name: array("Q") for table in self._tables}
        self._hidden.clear()
        changed = 0
        for table in self._tables:
            remembered = await self._brought.of(table.name)
            after = self._source.start(table.name)
            while (batch := await self._read(table, after, setting)).read:
                after = batch.after
                changed += await self._bring(table, batch, remembered, seen[table.name])
        steady = token == await self._asked(self._source.token)
        gone: dict[str, set[int]] = {}
        for table in self._tables:
            absent = set[int]()
            if table.name not in self._hidden:
                absent = (await self._brought.of(table.name)).ours_but(seen[table.name])
            gone[table.name] = absent if steady else absent & self._absent.get(table.name, set())
            self._absent[table.name] = absent
        if any(gone.values()):
            stays = await self._staying(gone)
            kept: dict[str, list[Mark]] = {}
            for table in reversed(self._tables):
                deleted, kept[table.name] = await self._take_away(table, gone[table.name], stays)
                changed += deleted
            await self._keep(stays, kept)
        if changed:
            await self._running.step(self._target.settle)
        return changed

    async def _read(self, table: Table, after: Key, setting: Setting) -> Batch:
        self._running.check()
        batch: Batch = await self._asked(partial(self._source.read, table, after, BATCH, MAX_BATCH_BYTES, setting))
        return batch

    # What is in the source

    async def _bring(self, table: Table, batch: Batch, remembered: Remembered, seen: array[int]) -> int:
        rows: list[_Row] = []
        before = len(seen)
        for place, fit in enumerate(batch.fits):
            mark = mark_of(table.name, fit)
            seen.append(mark.key)
            rows.append(_Row(place, fit, mark, remembered.get(mark.key)))
        for key in batch.unread:
            # What cannot be copied as it is now is there all the same.
            if key is None:
                self._hidden.add(table.name)
            else:
                seen.append(hashed(key))
        await self._tell_failed(table, batch, remembered)
        await self._tell_mended(table, [row for row in rows if row.known is not None and _has_failed(row, remembered)])
        compared = await self._running.patiently(partial(self._mirror.compare, table, batch.fits))
        assert compared is not None
        second = _came_before(seen, before, rows) if compared.differ else frozenset[int]()
        new: list[_Row] = []
        again: list[_Row] = []
        edited: list[_Row] = []
        present: list[_Row] = []
        marks: list[Mark] = []
        told: list[tuple[_Row, JobFinding]] = []
        for place, row in enumerate(rows):
            # Of a row that is not known it is known, too, that it is none of ours.
            known = row.known.what if row.known is not None else GONE
            same = row.known is not None and row.known.state == row.mark.state
            if place in compared.missing:
                if known & SYNCED and not known & GONE:
                    # What belonged to it went with it.
                    if not known & TOLD and not table.owned:
                        reason = "It was deleted in the target after it was copied, and is not brought again."
                        told.append((row, JobFinding(table.name, "only_source", row.fit.key, reason)))
                elif known & REFUSED or (row.known is None and _has_failed(row, remembered)):
                    # What it belongs to may have come meanwhile, or what was wrong with it was mended.
                    if table.owned or not same:
                        again.append(row)
                else:
                    new.append(row)
            elif known & GONE and not self._brought.blind:
                failed = row.known is None and _has_failed(row, remembered)
                (again if failed else present).append(row)
            elif place in compared.differ:
                if known & TOLD or place in second:
                    # It was said that it stays, whatever becomes of it in the source; or it is the second row of its
                    # key there, and the first one counts.
                    continue
                if known & SYNCED and not same:
                    edited.append(row)
                elif known & SYNCED and not known & UNTAKEN:
                    reason = (
                        f"It was edited in the target ({', '.join(compared.differ[place])}), and stays as it is there."
                    )
                    told.append((row, JobFinding(table.name, "differs", row.fit.key, reason)))
            elif not same or not known & SYNCED or known & (TOLD | UNTAKEN):
                marks.append(row.becomes(known & OURS | ALIKE))
        changed = await self._insert(table, new)
        changed += await self._insert_after_all(table, again)
        changed += await self._edit(table, edited, told)
        await self._find_present(table, present)
        await self._tell(table, told)
        await self._remember(table, marks)
        return changed

    async def _remember(self, table: Table, marks: Sequence[Mark]) -> None:
        """Note what was seen of rows that stay as they are."""
        if marks:
            await self._running.step(partial(self._brought.add, table=table.name, marks=marks))

    async def _insert(self, table: Table, rows: Sequence[_Row]) -> int:
        if not rows:
            return 0
        fits = [row.fit for row in rows]

        async def write(transaction: Transaction) -> Outcome:
            outcome = await self._target.write(transaction, table, fits, fresh=False)
            counted, of_these = fits, outcome
            if self._brought.blind:
                # What is refused may have been counted before.
                counted = [fit for place, fit in enumerate(fits) if place not in outcome.refused]
                of_these = Outcome(outcome.inserted, frozenset())
            self._expect(table, len(counted))
            await self._note(transaction, self._record(table, counted, of_these))
            await self._brought.add(transaction, table.name, marked([row.mark for row in rows], outcome))
            return outcome

        return (await self._running.step(write)).inserted

    async def _insert_after_all(self, table: Table, rows: Sequence[_Row]) -> int:
        """Write rows that were refused before; what is taken now is counted as failed no more."""
        if not rows:
            return 0
        fits = [row.fit for row in rows]

        async def write(transaction: Transaction) -> Outcome:
            outcome = await self._target.write(transaction, table, fits, fresh=False)
            taken = [fit for place, fit in enumerate(fits) if place not in outcome.refused]
            if taken:
                withdrawn = [JobFinding(table.name, "failed", fit.key, "") for fit in taken]
                await self._running.ledger.withdraw_findings(transaction, self._running.job_id, withdrawn)
                self._running.meter.add(table.name, read=-len(taken), failed=-len(taken))
                await self._note(transaction, self._record(table, taken, Outcome(outcome.inserted, frozenset())))
            marks = marked([row.mark for row in rows], outcome)
            # What is refused again as it was is known as such: noted at each look, it would make the state grow.
            fresh = [
                mark
                for mark, row in zip(marks, rows, strict=True)
                if not mark.what & REFUSED or row.known is None or row.known.state != mark.state
            ]
            over = [
                Mark(_failed_key(row.fit.key), 0, 0, 0)
                for place, row in enumerate(rows)
                if place not in outcome.refused
            ]
            await self._brought.add(transaction, table.name, [*fresh, *over])
            return outcome

        return (await self._running.step(write)).inserted

    async def _edit(self, table: Table, rows: Sequence[_Row], told: list[tuple[_Row, JobFinding]]) -> int:
        if not rows:
            return 0
        # Compared once more: rows were written meanwhile, and who edits the target may have been quicker.
        looked = await self._running.patiently(partial(self._mirror.compare, table, [row.fit for row in rows]))
        assert looked is not None
        mine: list[_Row] = []
        for place, row in enumerate(rows):
            assert row.known is not None
            there = looked.there.get(place)
            if there is None:
                # Deleted, or made alike: the next look sees which.
                continue
            if stamp_of(table.name, there) == row.known.stamp:
                mine.append(row)
            else:
                reason = "It was edited on both sides since it was copied, and stays as it is in the target."
                told.append((row, JobFinding(table.name, "differs", row.fit.key, reason)))
        if not mine:
            return 0
        fits = [row.fit for row in mine]

        async def update(transaction: Transaction) -> Outcome:
            outcome = await self._target.update(transaction, table, fits)
            if table.name == "memories" and not self._vectors:
                # Its vector was made here, of the text before.
                many = [{"id": pgbinary_decode.uuid(fit.values[0] or b"")} for fit in fits]
                await transaction.execute_many("delete_embedding", many)
            self._running.meter.add(table.name, updated=outcome.inserted)
            findings = [
                JobFinding(table.name, "failed", fit.key, sentence(outcome.refused[place]))
                if place in outcome.refused
                else JobFinding(table.name, "updated", fit.key, "It was edited in the source while it was copied.")
                for place, fit in enumerate(fits)
                if place not in outcome.present
            ]
            await self._note(transaction, findings)
            marks = [
                row.becomes(_ours(row) | (UNTAKEN if place in outcome.refused else ALIKE))
                for place, row in enumerate(mine)
                # A vector of a later state of its memory is brought once that is: until then it is known as it was.
                if place not in outcome.present
            ]
            await self._brought.add(transaction, table.name, marks)
            return outcome

        return (await self._running.step(update)).inserted

    async def _find_present(self, table: Table, rows: Sequence[_Row]) -> None:
        """Rows that are new in the source and were in the target before."""
        if not rows:
            return

        async def count(transaction: Transaction) -> None:
            self._expect(table, len(rows))
            self._running.meter.add(table.name, read=len(rows), present=len(rows))
            await self._brought.add(transaction, table.name, [row.becomes(0) for row in rows])

        await self._running.step(count)

    async def _tell_failed(self, table: Table, batch: Batch, remembered: Remembered) -> None:
        """Rows that became such as cannot be copied, each once."""
        marks, findings = [], []
        for finding in batch.failed:
            mark = failed_mark(finding)
            known = remembered.get(mark.key)
            if known is None or not known.what & REFUSED:
                marks.append(mark)
                findings.append(finding)
        if self._brought.blind:
            # It may have been told of, and counted, before.
            await self._remember(table, marks)
            return
        if not findings:
            return

        async def count(transaction: Transaction) -> None:
            self._expect(table, len(findings))
            self._running.meter.add(table.name, read=len(findings), failed=len(findings))
            await self._note(transaction, findings)
            await self._brought.add(transaction, table.name, marks)

        await self._running.step(count)

    async def _tell_mended(self, table: Table, rows: Sequence[_Row]) -> None:
        """Rows that were copied, could not be any more, and can be again: they are counted as failed no more."""
        if not rows:
            return

        async def withdraw(transaction: Transaction) -> None:
            over = [JobFinding(table.name, "failed", row.fit.key, "") for row in rows]
            await self._running.ledger.withdraw_findings(transaction, self._running.job_id, over)
            self._running.meter.add(table.name, read=-len(rows), failed=-len(rows))
            marks = [Mark(_failed_key(row.fit.key), 0, 0, 0) for row in rows]
            await self._brought.add(transaction, table.name, marks)

        await self._running.step(withdraw)

    async def _tell(self, table: Table, told: Sequence[tuple[_Row, JobFinding]]) -> None:
        if not told:
            return

        async def tell(transaction: Transaction) -> None:
            if table.name == "vectors":
                # Of another model, all of them would look as if they had been edited.
                await self._target.hold_model(transaction)
            await self._note(transaction, [finding for _, finding in told])
            marks = [row.becomes((row.known.what if row.known else 0) | TOLD) for row, _ in told]
            await self._brought.add(transaction, table.name, marks)

        await self._running.step(tell)

    # What is no longer in the source

    async def _staying(self, gone: Mapping[str, set[int]]) -> dict[bytes, str]:
        """Memories that somebody here has edited since they came, or has attached something to, and which of it."""
        store, remembered = self._running.store, await self._brought.of("memories")
        kept: dict[bytes, str] = {}
        keys = await self._keys("memories", gone["memories"])
        decided = await self._decided(gone["supersession"]) if keys else set[bytes]()
        for start in range(0, len(keys), KEYS):
            page = keys[start : start + KEYS]
            ids = {pgbinary_decode.uuid(key): key for key in page}
            memories = await self._running.patiently(partial(store.get_many, list(ids)))
            linked = await self._linked(list(ids), gone["edges"])
            reviewed = await self._reviewed(page, gone["reviews"])
            marked_here = await self._marked(page)
            for memory in memories or ():
                key = ids[memory.id]
                known = remembered.get(hashed(key))
                if known is None or known.stamp != _microseconds(memory.updated_at):
                    kept[key] = "edited"
                elif key in linked:
                    kept[key] = "linked"
                elif key in reviewed:
                    kept[key] = "reviewed"
                elif key in decided:
                    kept[key] = "named in a decision"
                elif key in marked_here:
                    kept[key] = "suspended, buried or resumed"
        return kept

    async def _linked(self, ids: Sequence[str], going: set[int]) -> set[bytes]:
        """The ends of those links of some memories that do not go with them."""
        asked = partial(self._running.store.backend.fetch, "list_edges", {"ids": ids})
        edges = map(read_edge, await self._running.patiently(asked) or ())
        staying = [edge for edge in edges if hashed(_edge_key(edge)) not in going]
        return {UUID(end).bytes for edge in staying for end in (edge.source_id, edge.target_id)}

    async def _reviewed(self, memories: Sequence[bytes], going: set[int]) -> set[bytes]:
        """Which of these memories have reviews that do not go with them."""
        wanted, last = set(memories), max(memories)
        before = int.from_bytes(min(memories), "big") - 1
        after = key_of("reviews", _first_line(before.to_bytes(16, "big"))) if before >= 0 else None
        found: set[bytes] = set()
        while page := await self._running.patiently(partial(self._mirror.keys, "reviews", after, KEYS)):
            found |= {key[:16] for key in page if key[:16] in wanted and hashed(key) not in going}
            after = page[-1]
            if after[:16] >= last:
                break
        return found

    async def _decided(self, going: set[int]) -> set[bytes]:
        """The memories that replace another one, or are replaced, by a decision that was made in the target."""
        remembered = await self._brought.of("supersession")
        found: set[bytes] = set()
        after: bytes | None = None
        while page := await self._running.patiently(partial(self._mirror.keys, "supersession", after, KEYS)):
            for key in page:
                loser, winner, line = key[:16], key[16:32], hashed(key)
                known = remembered.get(line)
                brought = line in going or (known is not None and bool(known.what & SYNCED))
                if winner != NOBODY and not brought:
                    found |= {loser, winner}
            after = page[-1]
        return found

    async def _marked(self, memories: Sequence[bytes]) -> set[bytes]:
        """Which of these memories have a mark that was set, or changed, in the target."""
        remembered, table = await self._brought.of("marks"), BY_NAME["marks"]
        # Asked for as unset, so that each one that is set is given back.
        fits = [Fit("", (key, *UNSET)) for key in memories]
        compared = await self._running.patiently(partial(self._mirror.compare, table, fits))
        assert compared is not None
        found: set[bytes] = set()
        for place, key in enumerate(memories):
            if place in compared.missing:
                continue
            known = remembered.get(hashed(key))
            there = compared.there.get(place, fits[place].values)
            as_it_came = known.stamp if known and known.what & SYNCED else stamp_of("marks", fits[place].values)
            if stamp_of("marks", there) != as_it_came:
                found.add(key)
        return found

    async def _keys(self, table: str, wanted: set[int]) -> list[bytes]:
        """The keys of rows of the target by their hashes."""
        found: list[bytes] = []
        after: bytes | None = None
        while wanted:
            page = await self._running.patiently(partial(self._mirror.keys, table, after, KEYS))
            if not page:
                break
            found += [key for key in page if hashed(key) in wanted]
            after = page[-1]
        return found

    async def _take_away(self, table: Table, gone: set[int], stays: Mapping[bytes, str]) -> tuple[int, list[Mark]]:
        """Delete rows that are no longer in the source; gives how many, and the marks of those that stay."""
        if not gone:
            return 0, []
        keys = await self._keys(table.name, gone)
        remembered = await self._brought.of(table.name)
        going = [
            key
            for key in keys
            if not _belongs(table.name, key, stays) and (table.name == "memories" or not _is_told(remembered, key))
        ]
        deleted = 0
        # In parts, from the end: of lines that say the same, the places of the others stay as they were counted.
        for end in range(len(going), 0, -KEYS):
            deleted += await self._delete(table, going[max(0, end - KEYS) : end])
        own = {hashed(key) for key in keys} - {hashed(key) for key in going}
        rest = gone - {hashed(key) for key in going}
        return deleted, [Mark(key, 0, 0, 0 if key in own else GONE) for key in rest]

    async def _keep(self, stays: Mapping[bytes, str], kept: Mapping[str, Sequence[Mark]]) -> None:
        """Tell which memories stay, and note what stays as the target's own: all at once, because whether a memory
        stays is seen by what belongs to it."""
        if not any(kept.values()):
            return
        told = [
            JobFinding(
                "memories",
                "only_target",
                name_of("memories", key),
                f"It was deleted in the source, but {how} in the target since it came, and stays.",
            )
            for key, how in stays.items()
        ]

        async def keep(transaction: Transaction) -> None:
            for start in range(0, len(told), KEYS):
                await self._note(transaction, told[start : start + KEYS])
            for table, marks in kept.items():
                await self._brought.add(transaction, table, marks)

        await self._running.step(keep)

    async def _delete(self, table: Table, keys: Sequence[bytes]) -> int:
        told = [
            JobFinding(table.name, "deleted", name_of(table.name, key), "It was deleted in the source.") for key in keys
        ]

        async def delete(transaction: Transaction) -> int:
            used = await delete_unused(self._target, transaction, table, keys)
            self._running.meter.add(table.name, deleted=len(keys) - len(used))
            await self._note(transaction, [each for key, each in zip(keys, told, strict=True) if key not in used])
            await self._note(transaction, [still_used(table, key) for key in used])
            marks = [Mark(hashed(key), 0, 0, 0 if key in used else GONE) for key in keys]
            await self._brought.add(transaction, table.name, marks)
            return len(keys) - len(used)

        return await self._running.step(delete)

    def _expect(self, table: Table, more: int) -> None:
        total = self._running.meter.tables[table.name].total
        if total is not None:
            self._running.meter.add(table.name, total=more)

    async def _note(self, transaction: Transaction, findings: Sequence[JobFinding]) -> None:
        await self._running.ledger.add_findings(transaction, self._running.job_id, findings)


async def delete_unused(
    target: Target, transaction: Transaction, table: Table, keys: Sequence[bytes]
) -> Sequence[bytes]:
    """Delete rows by their keys; gives the keys of those that stay, because others belong to them."""
    if table.name not in ("users", "groups", "domains"):
        await target.delete(transaction, table, keys)
        return ()
    # There are few of them, and each may be refused by itself.
    return [key for key in keys if not await target.delete(transaction, table, [key])]


def still_used(table: Table, key: bytes) -> JobFinding:
    """The finding about a row that is gone in the source and stays, because others in the target belong to it."""
    reason = "It was deleted in the source, but something in the target belongs to it, and it stays."
    return JobFinding(table.name, "only_target", name_of(table.name, key), reason)


def marked(marks: Sequence[Mark], outcome: Outcome) -> list[Mark]:
    """The marks of rows that were written: refused, inserted, or only known to be there."""
    left_out = outcome.present | outcome.refused.keys()
    inserted = {mark.key for place, mark in enumerate(marks) if place not in left_out}
    if len(inserted) != outcome.inserted:
        # Somebody else has written some of them in that moment: whose they are is not known.
        inserted = set()
    return [
        mark._replace(what=OURS if mark.key in inserted else REFUSED if place in outcome.refused else 0)
        for place, mark in enumerate(marks)
    ]


def failed_mark(finding: JobFinding) -> Mark:
    """The mark of a row that cannot be copied: it is told of once."""
    return Mark(_failed_key(finding.source_key), 0, 0, REFUSED)


def _failed_key(key: str) -> int:
    return hashed(b"failed " + key.encode())


def _has_failed(row: _Row, remembered: Remembered) -> bool:
    """Was it told of a row that it cannot be copied?"""
    failed = remembered.get(_failed_key(row.fit.key)) if remembered.refusals else None
    return failed is not None and bool(failed.what & REFUSED)


def _ours(row: _Row) -> int:
    """Whether this copy has inserted a row, as its mark says it."""
    return row.known.what & OURS if row.known is not None else 0


def _came_before(seen: array[int], before: int, rows: Sequence[_Row]) -> frozenset[int]:
    """The places of rows whose key came before: in the ``before`` first ones of those seen, or in these rows."""
    import numpy as np

    keys = np.array([row.mark.key for row in rows], dtype=np.uint64)
    again = np.ones(len(keys), dtype=bool)
    again[np.unique(keys, return_index=True)[1]] = False
    again |= np.isin(keys, np.frombuffer(seen, dtype=np.uint64, count=before))
    return frozenset(np.flatnonzero(again).tolist())


def _is_told(remembered: Remembered, key: bytes) -> bool:
    """Was it said of a row that it stays as it is in the target?"""
    known = remembered.get(hashed(key))
    return known is not None and bool(known.what & TOLD)


def _belongs(table: str, key: bytes, memories: Mapping[bytes, str]) -> bool:
    if table not in _OF_MEMORIES:
        return False
    return key[:16] in memories or (table == "edges" and key[16:32] in memories)


def _edge_key(edge: Edge) -> bytes:
    return UUID(edge.source_id).bytes + UUID(edge.target_id).bytes + edge.edge_type.encode()


def _first_line(memory: bytes) -> tuple[bytes, ...]:
    """A line of the review log before which a memory has none."""
    return (memory, bytes(8), bytes(2), b"", b"", bytes(4))


def _microseconds(moment: datetime | None) -> int:
    return int.from_bytes(pgbinary_encode.moment(moment), "big", signed=True) if moment else 0
