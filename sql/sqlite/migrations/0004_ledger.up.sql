-- Work handed to somebody else, one row each (delegations RFC 2829, with its later corrections), and what our own jobs
-- need besides: attempts of a plan, progress, and what became of single rows.
CREATE TABLE delegations (
    delegation_id   TEXT PRIMARY KEY,
    caller_id       TEXT NOT NULL,
    callee_id       TEXT NOT NULL,
    task_preview    TEXT NOT NULL CHECK (length(CAST(task_preview AS BLOB)) <= 4096),
    status          TEXT NOT NULL DEFAULT 'queued'
                    CHECK (status IN ('queued', 'dispatched', 'in_progress', 'completed', 'failed', 'stuck')),
    last_heartbeat  TEXT,
    deadline        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now', '+6 hours')),
    result_preview  TEXT CHECK (length(CAST(result_preview AS BLOB)) <= 4096),
    error_detail    TEXT,
    retry_count     INTEGER NOT NULL DEFAULT 0,
    created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')),
    updated_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')),
    idempotency_key TEXT
);

CREATE INDEX idx_delegations_inflight_heartbeat ON delegations (last_heartbeat)
    WHERE status IN ('queued', 'dispatched', 'in_progress', 'stuck');
CREATE INDEX idx_delegations_caller_created ON delegations (caller_id, created_at DESC);
CREATE INDEX idx_delegations_callee_created ON delegations (callee_id, created_at DESC);
CREATE INDEX idx_delegations_caller_inflight ON delegations (caller_id, created_at)
    WHERE status IN ('queued', 'dispatched', 'in_progress', 'stuck');
CREATE UNIQUE INDEX idx_delegations_idempotency ON delegations (caller_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE job_runs (
    plan             TEXT NOT NULL,
    attempt          INTEGER NOT NULL CHECK (attempt > 0),
    delegation_id    TEXT NOT NULL UNIQUE REFERENCES delegations (delegation_id) ON DELETE CASCADE,
    kind             TEXT NOT NULL,
    source           TEXT NOT NULL,
    target           TEXT NOT NULL,
    owner            TEXT NOT NULL,
    checkpoint       TEXT NOT NULL DEFAULT '{}',
    progress         TEXT NOT NULL DEFAULT '{}',
    dropped_indexes  TEXT NOT NULL DEFAULT '[]',
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    started_at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')),
    finished_at      TEXT,
    PRIMARY KEY (plan, attempt)
);

-- Starting a plan twice is one job.
CREATE UNIQUE INDEX idx_job_runs_unfinished ON job_runs (plan) WHERE finished_at IS NULL;

CREATE TABLE job_findings (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    delegation_id TEXT NOT NULL REFERENCES delegations (delegation_id) ON DELETE CASCADE,
    subject       TEXT NOT NULL,
    outcome       TEXT NOT NULL CHECK (outcome IN ('repaired', 'failed', 'left_behind', 'zero_vector')),
    source_key    TEXT NOT NULL,
    reason        TEXT NOT NULL
);

CREATE INDEX idx_job_findings_job ON job_findings (delegation_id, id);
