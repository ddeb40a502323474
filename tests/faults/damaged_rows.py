"""Copies of sources with damaged rows: every row is copied, was there already, or failed with a reason."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from tests.faults.lab import Lab, job_of
from tests.faults.registry import Attempt

STORED = {
    "memories": "knowledge_nodes",
    "vectors": "node_embeddings",
    "scheduling": "scheduling",
    "edges": "edges",
    "reviews": "review_events",
}


def count_rows(url: str, table: str) -> int:
    """Count the rows of a table of a store."""
    statement = f"SELECT count(*) FROM {table}"
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as connection:
            return int(connection.execute(statement).fetchone()[0])
    with psycopg.connect(url) as server:
        row = server.execute(statement.encode()).fetchone()
        assert row is not None
        return int(row[0])


def copy_damaged(lab: Lab, source: Path, target: str, *, failed: int) -> list[Attempt]:
    """Copy a source of which so many rows must fail; lost is each row that is neither stored nor named.

    The attempts are the reasons that a person reads, and the result of the job.
    """
    url = f"sqlite:{source}"
    result = lab.run("migrate", "copy", "--source", url, "--target", target, "--json")
    job = job_of(result)
    assert job["status"] == "completed", job["error"]
    assert result.status == (4 if failed else 0), f"ended with {result.status}"
    lost = doubled = 0
    for name, table in STORED.items():
        counts: Mapping[str, Any] = job["tables"][name]
        unread = count_rows(url, table) - counts["read"]
        unstored = counts["inserted"] + counts["present"] - count_rows(target, table)
        unnamed = counts["read"] - counts["inserted"] - counts["present"] - counts["failed"]
        lost += max(0, unread) + max(0, unstored) + max(0, unnamed)
        doubled += max(0, -unstored)
    reasons = [finding for finding in (*job["errors"], *job["notes"]) if finding["reason"]]
    assert len(job["errors"]) == failed, f"{len(job['errors'])} of {failed} failed rows: {json.dumps(job['errors'])}"
    attempts = [Attempt(f"{each['subject']} {each['source_key']}: {each['reason']}") for each in reasons]
    return [*attempts, Attempt(str(job["result"]), lost, doubled)]
