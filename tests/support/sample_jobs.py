"""Made-up jobs in every state, with their rows in a real ledger so that findings can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from vestige_tui.core.jobs import Job, JobFinding, JobProgress, TableProgress
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.store.store import Store
from vestige_tui.tui.app import VestigeApp
from vestige_tui.tui.store_session import Activity

TABLES: Mapping[str, TableProgress] = {
    "users": TableProgress(1, 0, 1, total=1),
    "domains": TableProgress(12, 12, total=12),
    "memories": TableProgress(61_204, 58_190, 3_011, 5, 3, total=100_000),
    "vectors": TableProgress(54_890, 54_888, failed=2, total=92_114),
    "scheduling": TableProgress(total=100_000),
    "edges": TableProgress(total=9_120),
    "merge_plans": TableProgress(left_behind=17),
}
RATES = (1_200.0, 4_100.0, 8_200.0, 9_400.0, 9_900.0, 9_700.0, 8_100.0, 9_600.0, 9_812.0, 9_900.0, 7_000.0, 9_812.0)
FINDINGS: Sequence[JobFinding] = (
    JobFinding("merge_plans", "left_behind", "merge_plans", "The target has no table for its 17 rows."),
    JobFinding("memories", "repaired", "mem-123", "The id is no UUID; it became 4b7f22f0-3c5e-5a3c-9d6a-1f0b6b2b9a10."),
    JobFinding("memories", "repaired", "note\x1b]52;c;x\x07", "NUL in the text became its symbol [/red]."),
    JobFinding("vectors", "failed", "0f9d2c61-5a77-4b64-8f2e-2f0a4f1f7c11", "The vector is not finite."),
    JobFinding("vectors", "failed", "7c1b8e42-14c2-4b0b-9f5d-6a3c2e9d8b07", "The vector has 768 dimensions, not 256."),
)


async def show_jobs(app: VestigeApp) -> tuple[Job, ...]:
    """Let a console show these jobs instead of those that it watches."""
    assert app.session.store is not None
    app.session.cancel(Activity.WATCH_JOBS)
    app.session.jobs = await jobs(app.session.store.at(None))
    app.frame_changed.publish(None)
    return app.session.jobs


async def jobs(store: Store) -> tuple[Job, ...]:
    """Return one job of each kind of end, in flight first."""
    now = store.now()
    run = await Ledger(store).start(
        kind="copy", source="sqlite:/a/vestige.db", target="postgresql://me@db1/vestige", model="m", task="", owner="1"
    )
    async with store.backend.write() as transaction:
        await Ledger(store).add_findings(transaction, run.id, FINDINGS)
    running = Job(
        id=run.id,
        kind="copy",
        status="in_progress",
        store=store.location,
        source="sqlite:/home/ada/.local/share/core/vestige.db",
        target="postgresql://ada@db1.example.org/vestige",
        attempt=2,
        tries=2,
        progress=JobProgress("copying vectors", TABLES, 9_812.4, 246.0, RATES),
        created_at=now - timedelta(minutes=9),
        updated_at=now,
        last_heartbeat=now - timedelta(seconds=2),
        deadline=now + timedelta(hours=6),
        options={"batch": 500},
    )
    ended = replace(
        running,
        progress=replace(running.progress, tables={"memories": TableProgress(4_961, 4_961, total=4_961)}, eta=None),
        status="completed",
        attempt=1,
        tries=1,
        last_heartbeat=now - timedelta(hours=3),
    )
    return (
        running,
        replace(running, id="5ti11e7d", last_heartbeat=now - timedelta(minutes=12), target="pgembed:/srv/memory"),
        replace(
            ended,
            id="a9e27aaa",
            kind="delegation",
            status="stuck",
            task="reindex the docs of harbour-api\nand say which pages are dead",
            caller="5a3c9d6a-1f0b-4b2b-9a10-4b7f22f03c5e",
            callee="0f9d2c61-5a77-4b64-8f2e-2f0a4f1f7c11",
            retry_count=1,
            source="",
            target="",
            options={},
            progress=JobProgress(),
            error="no heartbeat for 600 s",
            last_heartbeat=now - timedelta(minutes=12),
            created_at=now - timedelta(minutes=48),
            deadline=now + timedelta(hours=5, minutes=12),
        ),
        replace(ended, id="d09eaaaa", created_at=now - timedelta(hours=4), finished_at=now - timedelta(hours=3)),
        replace(
            ended,
            id="a1f4aaaa",
            progress=replace(ended.progress, tables={"memories": TableProgress(100, 97, 1, 2, 2, total=100)}),
            created_at=now - timedelta(hours=30, minutes=4),
            finished_at=now - timedelta(hours=30),
        ),
        replace(
            ended,
            id="cace11ed",
            status="failed",
            error="cancelled",
            created_at=now - timedelta(days=2),
            finished_at=now - timedelta(days=2) + timedelta(minutes=3),
        ),
        replace(
            ended,
            id="fa11edaa",
            status="failed",
            error="The server closed the connection while the table memories was written; 4,000 rows are there.",
            created_at=now - timedelta(days=5),
            finished_at=now - timedelta(days=5) + timedelta(minutes=3),
        ),
    )
