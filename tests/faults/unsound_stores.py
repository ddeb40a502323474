"""Stores that are unsound or open to others: damage that `doctor` names, exposed passwords, closed folders."""

from __future__ import annotations

import asyncio
import os

from tests.faults.lab import OTHER_USER_ID, Lab, answer, refusal
from tests.faults.registry import Attempt, FaultResult, fault, is_met, summarize
from tests.faults.replaced_files import damage_unread_page
from tests.faults.rows import against_acknowledged, texts
from tests.support.attempts import change
from tests.support.command_line import SENTENCES, fill_sample, sample_id
from tests.support.passwords import PASSWORD
from vestige_tui.embedding.models import TestEmbedder

INDEX = "idx_node_embeddings_hnsw"
POISONS = {
    "sqlite": {
        f"UPDATE knowledge_nodes SET created_at = 'soon' WHERE id = '{sample_id(2)}'": sample_id(2),
        f"UPDATE knowledge_nodes SET metadata = '{{broken' WHERE id = '{sample_id(3)}'": sample_id(3),
        f"UPDATE node_embeddings SET embedding = x'00' WHERE node_id = '{sample_id(4)}'": sample_id(4),
        f"UPDATE node_embeddings SET embedding = zeroblob(256) WHERE node_id = '{sample_id(1)}'": sample_id(1),
    },
    "postgres": {
        f"UPDATE knowledge_nodes SET created_at = 'infinity' WHERE id = '{sample_id(2)}'": sample_id(2),
        f"UPDATE knowledge_nodes SET metadata = '[1]' WHERE id = '{sample_id(3)}'": sample_id(3),
        f"UPDATE node_embeddings SET embedding = '{[0.0] * 64}' WHERE node_id = '{sample_id(1)}'": sample_id(1),
    },
}
"""By database: statements that leave a row which no search or review can use, and the memory that is to be named."""
BROKEN_SCHEMAS = {
    f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{INDEX}'::regclass": "The vector index is broken",
    f"DROP INDEX {INDEX}": "The vector index is missing",
    "DROP EXTENSION vector CASCADE": "The extension vector and all vectors are missing",
}


def _concerns(lab: Lab, url: str) -> list[str]:
    """Return the problems that doctor names; stats must name the same."""
    document = answer(lab.run("--store", url, "--json", "doctor"))
    assert (document["state"] == "healthy") == (not document["concerns"]), document
    assert answer(lab.run("--store", url, "--json", "stats"))["health"]["concerns"] == document["concerns"]
    return [str(each["what"]) for each in document["concerns"]]


def _poison(lab: Lab, url: str, kind: str) -> list[Attempt]:
    """Give a healthy store rows that cannot be used: each is named by its memory."""
    asyncio.run(fill_sample(url, TestEmbedder(64)))
    assert _concerns(lab, url) == [], "a new store is not healthy"
    kept = texts(url)
    for statement in POISONS[kind]:
        change(url, statement)
    concerns = _concerns(lab, url)
    for statement, memory in POISONS[kind].items():
        assert any(memory in each for each in concerns), f"not named after {statement}: {concerns}"
    return [Attempt(each, *against_acknowledged(kept, texts(url))) for each in concerns]


def _break_schema(lab: Lab, url: str) -> list[Attempt]:
    attempts: list[Attempt] = []
    for statement, words in BROKEN_SCHEMAS.items():
        change(url, statement)
        [concern] = [each for each in _concerns(lab, url) if words in each]
        attempts.append(Attempt(concern))
    # Memories are read without the extension, too.
    listed = answer(lab.run("--store", url, "list", "--superseded", "--json"))["items"]
    assert len(listed) == len(SENTENCES)
    return attempts


@fault(50, "page, index or row that cannot be used")
def unsound_store(lab: Lab) -> FaultResult:
    path = lab.path("store.db")
    attempts = _poison(lab, f"sqlite:{path}", "sqlite")
    damage_unread_page(path)
    attempts += [Attempt(each) for each in _concerns(lab, f"sqlite:{path}") if "is damaged" in each]
    assert "is damaged" in attempts[-1].message, "the damaged page is not named"
    with lab.database() as server:
        attempts += _poison(lab, server, "postgres")
        attempts += _break_schema(lab, server)
    return summarize(attempts)


@fault(51, "store or password that others can read")
def exposed_data(lab: Lab) -> FaultResult:
    folder, attempts = lab.path("open"), []
    folder.mkdir(mode=0o755)
    for each in (lab.folder, folder):
        each.chmod(0o755)
    url, path = f"sqlite:{folder / 'store.db'}", folder / "store.db"
    answer(lab.run("--store", url, "add", "a secret", "--json"))
    assert "Every user" not in lab.run("--store", url, "list").err, "a store of mode 600 is called open"
    path.chmod(0o644)
    [warning] = [line for line in lab.run("--store", url, "list").err.splitlines() if "Every user" in line]
    attempts.append(Attempt(warning, *against_acknowledged(["a secret"], texts(url))))
    assert any("can read store.db" in each for each in _concerns(lab, url))
    export = folder / "export.jsonl"
    export.touch(0o644)
    export.chmod(0o644)
    written = lab.run("--store", url, "export", str(export), "--yes")
    attempts.append(Attempt(next(line for line in written.err.splitlines() if str(export) in line)))
    for address in (
        f"postgresql://me:{PASSWORD}@127.0.0.1:1/none",
        f"postgresql://127.0.0.1:1/none?user=me&password={PASSWORD}",
    ):
        for command in (("--store", address, "list"), ("migrate", "copy", "--source", url, "--target", address)):
            result = lab.run(*command)
            assert PASSWORD not in result.out + result.err, "the password was printed"
            lines = [line for line in result.err.splitlines() if "password on the command line" in line]
            assert len(lines) == 1, f"not told once: {result.err}"
            attempts.append(Attempt(lines[0]))
    return summarize(attempts)


@fault(52, "export into a folder that cannot be written")
def unwritable_export(lab: Lab) -> FaultResult:
    url, attempts = lab.new_store("store.db"), []
    answer(lab.run("--store", url, "add", "kept in the store", "--json"))
    (lab.folder / "file").touch()
    closed = lab.path("closed")
    closed.mkdir()
    (closed / "old.jsonl").write_text("an export of before\n")
    targets = [lab.path("missing") / "out.jsonl", lab.path("file") / "out.jsonl", closed / "out.jsonl"]
    if is_met("root"):
        os.chown(closed, OTHER_USER_ID, OTHER_USER_ID)
    closed.chmod(0o555)
    for path in [*targets, closed / "old.jsonl"]:
        result = lab.run("--store", url, "export", str(path), "--yes", bound=is_met("root"))
        attempts.append(Attempt(refusal(result)))
    assert sorted(each.name for each in closed.iterdir()) == ["old.jsonl"], "something was left in the folder"
    assert (closed / "old.jsonl").read_text() == "an export of before\n", "the export of before was destroyed"
    assert not lab.path("missing").exists()
    closed.chmod(0o755)
    kept = against_acknowledged(["kept in the store"], texts(url))
    return summarize([*attempts, Attempt(attempts[0].message, *kept)])
