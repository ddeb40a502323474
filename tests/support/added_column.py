"""A column ``note`` is added to a copied table as docs/extending.md says, and copied in every direction.

``python -m tests.support.added_column TABLE FOLDER SERVER``: a process of its own, because it changes the spec before
the rest of the package is imported. Prints what arrived, and which differences a comparison finds after one edit.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from vestige_tui.transfer import convert, table_spec
from vestige_tui.transfer.codecs import TEXT
from vestige_tui.transfer.convert import Raw, TransferContext, TransferRow
from vestige_tui.transfer.table_spec import Column, Table


def add_to_spec(name: str) -> Table:
    """The second step, the spec, and the third, the converter."""
    old = table_spec.BY_NAME[name]
    place = len(old.stored)

    def note_of(raw: Raw) -> bytes | None:
        return None if raw[place] is None else str(raw[place]).encode()

    def with_note(raw: Raw, context: TransferContext) -> TransferRow:
        row = old.convert((*raw[:place], *raw[place + 1 :]), context)
        return replace(row, values=(*row.values[:place], note_of(raw), *row.values[place:]))

    columns = (*old.stored, Column("note", TEXT), *old.columns[place:])
    new = replace(old, columns=columns, convert=with_note)
    if name == "scheduling":
        # A memory is read with its schedule, so that both converters take the schedule apart in one place.
        schedule = convert._schedule

        def schedule_with_note(sanitizer: Any, raw: list[Any]) -> tuple[bytes | None, ...]:
            return (*schedule(sanitizer, raw[: place - 1]), None if raw[-1] is None else str(raw[-1]).encode())

        vars(convert)["_schedule"] = schedule_with_note
        new = replace(old, columns=columns)
        vars(table_spec)["SCHEDULING"] = new
    vars(table_spec)[name.upper()] = new
    table_spec.TABLES = tuple(new if table is old else table for table in table_spec.TABLES)  # type: ignore[assignment]
    table_spec.BY_NAME[name] = new
    return new


async def create(url: str, migration: str) -> None:
    """The first step: a migration, applied to a new store."""
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.store.open import open_store

    async with open_store(url, create=True) as store:
        await store.models.register(ModelSignature("test-model", 8, "abc"))
    run(url, migration)


def run(url: str, sql: str) -> list[tuple[Any, ...]]:
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as connection, connection:
            return connection.execute(sql).fetchall()
    with psycopg.connect(url) as server:
        cursor = server.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


async def copy_once(source: str, target: str) -> None:
    from tests.support.attempts import attempt

    _, result = await attempt(source, target, verify=True)
    assert result.endswith("every row is equal"), result


async def main(name: str, folder: str, server: str) -> None:
    table = add_to_spec(name)
    from tests.support.full_store import fill
    from tests.support.postgres import named_database
    from tests.support.postgres_variant import as_superuser
    from vestige_tui.jobs.context import Meter
    from vestige_tui.store.open import open_store
    from vestige_tui.transfer.comparison_reporters import StdoutReporter
    from vestige_tui.transfer.open import open_source
    from vestige_tui.transfer.verify import prepare

    migration = f"ALTER TABLE {table.stored_as} ADD COLUMN note TEXT"
    source, back = f"sqlite:{Path(folder) / 'source.db'}", f"sqlite:{Path(folder) / 'back.db'}"
    await fill(Path(folder) / "source.db", 12, dimension=8)
    run(source, migration)
    rowid = f"SELECT rowid FROM {table.stored_as}{' WHERE rowid > 1' if name == 'users' else ''} ORDER BY rowid LIMIT 3"
    run(source, f"UPDATE {table.stored_as} SET note = 'note ' || rowid WHERE rowid IN ({rowid})")
    with named_database(as_superuser(server), "between") as between:
        await create(server, migration)
        await create(between, migration)
        await create(back, migration)
        await copy_once(source, server)
        await copy_once(server, between)
        await copy_once(between, back)
        count = f"SELECT count(*) FROM {table.stored_as} WHERE note LIKE 'note %'"
        urls = {"in the source": source, "to the server": server, "between servers": between, "to a file": back}
        there = {label: run(url, count)[0][0] for label, url in urls.items()}
        run(
            server,
            f"UPDATE {table.stored_as} SET note = 'edited' WHERE note = (SELECT max(note) FROM {table.stored_as})",
        )
        reporter = StdoutReporter(Meter(), lambda meter: None)
        opened = await asyncio.to_thread(open_source, source)
        with closing(opened):
            async with open_store(server, read_only=True) as store:
                await (await prepare(opened, store, reporter)).run()
    differ = [[finding.reason.split()[0], finding.outcome] for finding in reporter.findings]
    print(json.dumps({"there": there, "differ": differ}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
