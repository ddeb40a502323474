"""Stores that may only be read, by --read-only or by the rights of a role; schemas that are behind or taken down."""

from __future__ import annotations

import asyncio
from itertools import cycle

from tests.faults.damaged_rows import count_rows
from tests.faults.lab import PROGRAM_SECONDS, Lab, answer, create_store, refusal
from tests.faults.registry import Attempt, FaultResult, fault, summarize
from tests.faults.rows import against_acknowledged, texts
from tests.faults.server import new_role, with_role
from tests.support.command_line import SENTENCES, fill_sample, sample_id
from tests.support.model_swap import OtherEmbedder, prepare_spare_vectors, swap_models
from tests.support.old_schema import take_back
from tests.support.read_only_commands import COMMANDS, FINISHED, READ, REFUSED, VARIANTS, digest, fill_with_jobs
from vestige_tui.embedding.models import TestEmbedder

DELETED_TABLES = {
    "memories": "knowledge_nodes",
    "kept_vectors": "spare_embeddings",
    "changes_of_model": "model_changes",
    "marks": "review_marks",
    "applied_weights": "review_weights",
}
"""Table of each kind of row whose count is told before the schema is taken down."""
COMMANDS_AT_ONCE = 4
REFUSED_TO_ROLE = (("add", "x"), ("import", "-"), ("undo",), ("vacuum",), ("schema", "down"), ("jobs", "sweep"))


@fault(37, "schema taken down with all that is in it")
def schema_down(lab: Lab) -> FaultResult:
    attempts: list[Attempt] = []
    with lab.database() as server:
        for url in (server, f"sqlite:{lab.path('store.db')}"):
            asyncio.run(fill_sample(url, TestEmbedder(64)))
            prepare_spare_vectors(url, OtherEmbedder(64))
            swap_models(url, OtherEmbedder(64))
            assert lab.run("--store", url, "review", "suspend", sample_id(1)).status == 0
            before = digest(url)
            result = lab.run("--store", url, "schema", "down", "--to", "0")
            assert result.status == 3, f"ended with {result.status}"
            told = answer(lab.run("--store", url, "schema", "down", "--to", "0", "--dry-run", "--json"))["deletes"]
            for kind, table in DELETED_TABLES.items():
                count = count_rows(url, table)
                assert count > 0, f"there are no {kind}"
                assert told.get(kind) == count, f"{count} {kind}, {told} are told"
            assert "6 memories" in result.err, result.err
            assert "6 vectors of another model and 1 model change" in " ".join(result.err.split()), result.err
            assert digest(url) == before, "a refused command deleted something"
            attempts.append(Attempt(" ".join(refusal(result).split()), *against_acknowledged(SENTENCES, texts(url))))
            assert lab.run("--store", url, "schema", "down", "--to", "0", "--yes").status == 0
    return summarize(attempts)


def _refused_commands() -> list[tuple[str, ...]]:
    """Return every command that writes, and those that would create something beside the store."""
    commands = [((*name.split(), *arguments), status) for name, (arguments, status) in COMMANDS.items()]
    creating = [(words, status) for words, status in VARIANTS if {"{new}", "pgembed:{folder}/server"} & set(words)]
    return [words for words, status in (*commands, *creating) if status == REFUSED]


def _refuse_all(lab: Lab, stores: list[tuple[str, str]]) -> list[Attempt]:
    """Run every command that writes with --read-only, on one pair of stores after the other."""
    attempts: list[Attempt] = []
    before = [(digest(store), digest(target)) for store, target in stores]
    folder = lab.path("new")
    folder.mkdir()
    runs = list(zip(_refused_commands(), cycle(stores), strict=False))
    for start in range(0, len(runs), COMMANDS_AT_ONCE):
        processes = []
        for words, (store, target) in runs[start : start + COMMANDS_AT_ONCE]:
            places = {"store": store, "target": target, "new": f"sqlite:{folder / 'new.db'}", "folder": str(folder)}
            arguments = [word.format(finished=FINISHED, **places) for word in words]
            own = () if "--store" in arguments or arguments[0] == "demo" else ("--store", store)
            processes.append((words, lab.start(*own, "--read-only", *arguments)))
        for words, process in processes:
            _, err = process.communicate(timeout=PROGRAM_SECONDS)
            assert process.returncode == REFUSED, f"{' '.join(words)} ended with {process.returncode}: {err[:200]!r}"
            attempts.append(Attempt(" ".join(err.decode().split())))
        assert not list(folder.iterdir()), f"{list(folder.iterdir())} was created"
    assert [(digest(store), digest(target)) for store, target in stores] == before, "a row was changed"
    return attempts


def _read_old_schema(lab: Lab, url: str) -> list[Attempt]:
    """Read a store of an earlier version: the pending step is named, and not applied."""
    fill_with_jobs(url)
    asyncio.run(take_back(url, "jobs"))
    before, attempts = digest(url), []
    for command in (("list",), ("search", "keys", "--mode", "text"), ("stats",)):
        result = lab.run("--store", url, "--read-only", *command)
        assert (result.status, digest(url)) == (READ, before), result.err
        assert "_jobs)" in result.err, f"the pending step is not named: {result.err}"
        attempts.append(Attempt(" ".join(result.err.split())))
    return attempts


@fault(38, "command that writes, with --read-only")
def read_only_run(lab: Lab) -> FaultResult:
    with lab.database() as store, lab.database() as target, lab.database() as old:
        files = f"sqlite:{lab.path('store.db')}", f"sqlite:{lab.path('target.db')}"
        fill_with_jobs(*files)
        fill_with_jobs(store, target)
        attempts = _refuse_all(lab, [(store, target), files])
        for url in (old, f"sqlite:{lab.path('old.db')}"):
            attempts += _read_old_schema(lab, url)
        return summarize(attempts)


@fault(39, "role that may only read")
def reading_role(lab: Lab) -> FaultResult:
    attempts: list[Attempt] = []
    with lab.database() as url:
        create_store(url)
        answer(lab.run("--store", url, "add", "known to the reader", "--json"))
        with new_role(url, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}") as role:
            guest, before = with_role(url, role), digest(url)
            for command in (
                ("add", "x"),
                ("import", "-"),
                ("undo",),
                ("vacuum",),
                ("schema", "down"),
                ("jobs", "sweep"),
            ):
                result = lab.run("--store", guest, *command, stdin=b'{"content": "x"}\n')
                assert result.status == REFUSED, f"{command[0]} ended with {result.status}: {result.err[:200]}"
                attempts.append(Attempt(" ".join(refusal(result).split())))
            assert "known to the reader" in lab.run("--store", guest, "list").out
            source = lab.new_store("source.db")
            result = lab.run("migrate", "copy", "--source", source, "--target", guest)
            assert result.status == REFUSED, f"a copy ended with {result.status}: {result.err[:200]}"
            attempts.append(Attempt(" ".join(refusal(result).split())))
            assert digest(url) == before, "a role that may only read has changed something"
        attempts.append(Attempt(attempts[0].message, *against_acknowledged(["known to the reader"], texts(url))))
    return summarize(attempts)
