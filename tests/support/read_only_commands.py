"""Every command of the program with arguments that would write, and its exit status with --read-only."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from collections.abc import Mapping

import psycopg
from psycopg import sql

from tests.support.attempts import change
from tests.support.command_line import fill_sample, sample_id

JOB = "5f0c1f7e-1111-4000-8000-000000000001"
READ, REFUSED = 0, 3
MODEL = "BAAI/bge-small-en-v1.5"
COMMANDS: Mapping[str, tuple[tuple[str, ...], int]] = {
    "about": ((), READ),
    "demo": (("{folder}/demo", "--no-console"), REFUSED),
    "search": (("keys",), READ),
    "list": ((), READ),
    "show": ((sample_id(0),), READ),
    "add": (("a new memory",), REFUSED),
    "edit": ((sample_id(0), "--type", "fact"), REFUSED),
    "tag": ((sample_id(0), "+new"), REFUSED),
    "delete": ((sample_id(0), "--yes"), REFUSED),
    "journal": ((), READ),
    "undo": ((), REFUSED),
    "redo": ((), REFUSED),
    "due": ((), READ),
    "review": ((sample_id(0), "good"), REFUSED),
    "suspend": ((sample_id(0),), REFUSED),
    "bury": ((sample_id(0),), REFUSED),
    "resume": ((sample_id(0),), REFUSED),
    "pin": ((sample_id(0),), REFUSED),
    "unpin": ((sample_id(0),), REFUSED),
    "reviews": ((), READ),
    "forecast": ((), READ),
    "supersede": ((sample_id(2), "--by", sample_id(3)), REFUSED),
    "unsupersede": ((sample_id(5),), REFUSED),
    "history": ((sample_id(5),), READ),
    "diff": (("--from", "2020-01-01"), READ),
    "edges": ((sample_id(0),), READ),
    "link": ((sample_id(2), sample_id(3)), REFUSED),
    "unlink": ((sample_id(0), sample_id(1)), REFUSED),
    "neighbors": ((sample_id(0),), READ),
    "domains list": ((), READ),
    "domains show": (("infra",), READ),
    "domains set": (("infra",), REFUSED),
    "domains rename": (("infra", "servers"), REFUSED),
    "domains merge": (("infra", "--into", "servers"), REFUSED),
    "domains delete": (("infra",), REFUSED),
    "classify": ((sample_id(0), "--apply"), REFUSED),
    "import": ((os.devnull,), REFUSED),
    "export": (("{folder}/memories.jsonl",), READ),
    "users list": ((), READ),
    "schema info": ((), READ),
    "schema up": ((), REFUSED),
    "schema down": (("--to", "0", "--yes"), REFUSED),
    "schema upgrade-server": ((), REFUSED),
    "stats": ((), READ),
    "adopt": ((), REFUSED),
    "vacuum": ((), REFUSED),
    "backup": (("{folder}/backup.db",), READ),
    "restore": (("{store}", "--yes"), REFUSED),
    "migrate copy": (("--source", "{store}", "--target", "{target}"), REFUSED),
    "migrate verify": (("--source", "{store}", "--target", "{target}", "--repair", "--yes"), REFUSED),
    "migrate reembed": (("--model", MODEL, "--yes"), REFUSED),
    "registry show": ((), READ),
    "registry models": ((), READ),
    "registry fill": ((), REFUSED),
    "registry rollback": (("--yes",), REFUSED),
    "registry preview": ((MODEL, "--dimension", "1"), 2),
    "jobs list": ((), READ),
    "jobs show": ((JOB,), READ),
    "jobs watch": (("{finished}",), 1),
    "jobs cancel": ((JOB,), REFUSED),
    "jobs retry": ((JOB,), REFUSED),
    "jobs fail": ((JOB,), REFUSED),
    "jobs sweep": ((), REFUSED),
    "doctor": (("--fix", "--yes"), REFUSED),
    "config show": ((), READ),
    "config path": ((), READ),
    "config init": ((), READ),
    "themes list": ((), READ),
    "keys list": ((), READ),
    "completion": (("bash",), READ),
}
"""Arguments of each command that would write where it can, and the exit status with --read-only."""
FINISHED = "5f0c1f7e-2222-4000-8000-000000000002"
VARIANTS: tuple[tuple[tuple[str, ...], int], ...] = (
    (("migrate", "--source", "{store}", "--target", "{target}"), REFUSED),
    (("migrate", "copy", "--source", "{store}", "--target", "{new}"), REFUSED),
    (("migrate", "copy", "--source", "{store}", "--target", "{new}", "--detach"), REFUSED),
    (("migrate", "copy", "--source", "{store}", "--target", "{new}", "--dry-run"), READ),
    (("migrate", "copy", "--source", "{store}", "--target", "{target}", "--dry-run"), READ),
    (("migrate", "copy", "--source", "{store}", "--target", "pgembed:{folder}/server"), REFUSED),
    (("migrate", "verify", "--source", "{store}", "--target", "{target}"), READ),
    (("migrate", "verify", "--source", "{store}", "--target", "{target}", "--dry-run"), READ),
    (("migrate", "verify", "--source", "{store}", "--target", "{target}", "--repair", "--yes"), REFUSED),
    (("migrate", "verify", "--source", "{store}", "--target", "{target}", "--repair", "--dry-run"), READ),
    (("migrate", "verify", "--source", "{store}", "--target", "{target}", "--detach"), REFUSED),
    (("migrate", "reembed", "--model", MODEL, "--yes"), REFUSED),
    (("migrate", "reembed", "--drop-old", "--yes"), REFUSED),
    (("migrate", "reembed", "--drop-old", "--dry-run"), READ),
    (("review", "undo"), REFUSED),
    (("review", "suspend", sample_id(0)), REFUSED),
    (("review", "bury", sample_id(0)), REFUSED),
    (("review", "resume", sample_id(0)), REFUSED),
    (("tag", "+new", "--type", "decision"), REFUSED),
    (("tag", "+new", "--type", "decision", "--dry-run"), READ),
    (("edit", "--where", "type:decision", "--type", "fact"), REFUSED),
    (("edit", "--where", "type:decision", "--type", "fact", "--dry-run"), READ),
    (("delete", "--type", "decision", "--dry-run"), READ),
    (("suspend", "--type", "decision", "--dry-run"), READ),
    (("supersede", "--tag", "ops", "--by", sample_id(3), "--dry-run"), READ),
    (("domains", "rename", "infra", "servers", "--dry-run"), READ),
    (("classify", sample_id(0)), 1),
    (("schema", "up", "--dry-run"), READ),
    (("schema", "down", "--dry-run"), READ),
    (("add", "x", "--store", "{new}"), 1),
    (("schema", "up", "--store", "{new}"), REFUSED),
)


def digest(url: str) -> str:
    """Return a digest of all rows of a store."""
    hashed = hashlib.sha256()
    if url.startswith("sqlite:"):
        connection = sqlite3.connect(f"file:{url.removeprefix('sqlite:')}?mode=ro", uri=True)
        for line in connection.iterdump():
            hashed.update(line.encode())
        connection.close()
        return hashed.hexdigest()
    with psycopg.connect(url) as postgres:
        names = postgres.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
        for (name,) in names:
            rows = sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.Identifier(name))
            hashed.update(repr((name, postgres.execute(rows).fetchall())).encode())
    return hashed.hexdigest()


def fill_with_jobs(*urls: str) -> None:
    """Fill stores with the sample memories, a job without a heartbeat and a failed one; the last store differs."""
    for url in urls:
        asyncio.run(fill_sample(url))
        for job, status in ((JOB, "in_progress"), (FINISHED, "failed")):
            change(
                url,
                "INSERT INTO delegations (delegation_id, caller_id, callee_id, task_preview, status, created_at) "
                f"VALUES ('{job}', '{JOB}', '{job}', 'look', '{status}', '2026-01-01 00:00:00.000000+00:00')",
            )
    change(urls[-1], "UPDATE knowledge_nodes SET content = 'differs' WHERE id = '" + sample_id(3) + "'")
