-- Work handed to somebody else, one row each (delegations RFC 2829, with its later corrections), and what our own jobs
-- need besides: attempts of a plan, progress, and what became of single rows.
CREATE TABLE delegations (
    delegation_id   text PRIMARY KEY,
    caller_id       uuid NOT NULL,
    callee_id       uuid NOT NULL,
    task_preview    text NOT NULL CHECK (octet_length(task_preview) <= 4096),
    status          text NOT NULL DEFAULT 'queued'
                    CHECK (status IN ('queued', 'dispatched', 'in_progress', 'completed', 'failed', 'stuck')),
    last_heartbeat  timestamptz,
    deadline        timestamptz NOT NULL DEFAULT now() + interval '6 hours',
    result_preview  text CHECK (octet_length(result_preview) <= 4096),
    error_detail    text,
    retry_count     integer NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    idempotency_key text
);

CREATE INDEX idx_delegations_inflight_heartbeat ON delegations (last_heartbeat NULLS FIRST)
    WHERE status IN ('queued', 'dispatched', 'in_progress', 'stuck');
CREATE INDEX idx_delegations_caller_created ON delegations (caller_id, created_at DESC);
CREATE INDEX idx_delegations_callee_created ON delegations (callee_id, created_at DESC);
CREATE INDEX idx_delegations_caller_inflight ON delegations (caller_id, created_at)
    WHERE status IN ('queued', 'dispatched', 'in_progress', 'stuck');
CREATE UNIQUE INDEX idx_delegations_idempotency ON delegations (caller_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE job_runs (
    plan             uuid NOT NULL,
    attempt          integer NOT NULL CHECK (attempt > 0),
    delegation_id    text NOT NULL UNIQUE REFERENCES delegations (delegation_id) ON DELETE CASCADE,
    kind             text NOT NULL,
    source           text NOT NULL,
    target           text NOT NULL,
    owner            text NOT NULL,
    checkpoint       jsonb NOT NULL DEFAULT '{}',
    progress         jsonb NOT NULL DEFAULT '{}',
    dropped_indexes  text[] NOT NULL DEFAULT '{}',
    cancel_requested boolean NOT NULL DEFAULT false,
    started_at       timestamptz NOT NULL DEFAULT now(),
    finished_at      timestamptz,
    PRIMARY KEY (plan, attempt)
);

-- Starting a plan twice is one job.
CREATE UNIQUE INDEX idx_job_runs_unfinished ON job_runs (plan) WHERE finished_at IS NULL;

CREATE TABLE job_findings (
    id            bigserial PRIMARY KEY,
    delegation_id text NOT NULL REFERENCES delegations (delegation_id) ON DELETE CASCADE,
    subject       text NOT NULL,
    outcome       text NOT NULL CHECK (outcome IN ('repaired', 'failed', 'left_behind', 'zero_vector')),
    source_key    text NOT NULL,
    reason        text NOT NULL
);

CREATE INDEX idx_job_findings_job ON job_findings (delegation_id, id);
