-- Ledger: delegations, attempts of a plan, progress and findings; ../sqlite/jobs.sql has the same names. %(in_flight)s
-- is the list of unfinished statuses, defined once in the program. Times beyond Python's calendar (infinity) read as
-- NULL.

-- insert_delegation --
-- Insert a delegation unless its id or idempotency key exists.
INSERT INTO delegations (delegation_id, caller_id, callee_id, task_preview, status, last_heartbeat, deadline, retry_count,
    created_at, updated_at, idempotency_key)
VALUES (%(id)s, %(caller_id)s::uuid, %(callee_id)s::uuid, %(task)s, 'queued', NULL, %(deadline)s, %(retry_count)s, %(now)s, %(now)s, %(idempotency_key)s)
ON CONFLICT DO NOTHING

-- find_delegation --
-- Delegation by id, else by the caller's idempotency key.
SELECT d.delegation_id FROM delegations d
WHERE d.delegation_id = %(id)s OR (d.caller_id = %(caller_id)s::uuid AND d.idempotency_key = %(idempotency_key)s)
ORDER BY d.delegation_id = %(id)s DESC LIMIT 1

-- read_status --
-- Status of a delegation.
SELECT d.status, d.error_detail, d.result_preview FROM delegations d WHERE d.delegation_id = %(id)s

-- transition_delegation --
-- State transition with optimistic locking on the observed status; replaces the details.
UPDATE delegations SET status = %(status)s, error_detail = %(error)s, result_preview = %(result)s, updated_at = %(now)s
WHERE delegation_id = %(id)s AND status = %(observed)s

-- fill_delegation --
-- Repeated report of a status: fill in missing details only.
UPDATE delegations SET error_detail = coalesce(error_detail, %(error)s::text), result_preview = coalesce(result_preview, %(result)s::text),
    updated_at = %(now)s
WHERE delegation_id = %(id)s AND status = %(observed)s
AND ((error_detail IS NULL AND %(error)s::text IS NOT NULL) OR (result_preview IS NULL AND %(result)s::text IS NOT NULL))

-- beat_delegation --
-- Heartbeat. Extends the deadline of the console's own jobs; that of delegated work is fixed.
UPDATE delegations SET last_heartbeat = %(now)s, updated_at = %(now)s, deadline = CASE
    WHEN EXISTS (SELECT 1 FROM job_runs r WHERE r.delegation_id = delegations.delegation_id)
    THEN greatest(deadline, %(deadline)s) ELSE deadline END
WHERE delegation_id = %(id)s AND status = ANY (%(in_flight)s::text[])

-- list_sweepable --
-- Delegations in flight, with deadline and last heartbeat.
SELECT d.delegation_id, d.status,
    CASE WHEN d.deadline BETWEEN '0001-01-02' AND '9999-12-31' THEN d.deadline END AS deadline,
    CASE WHEN d.last_heartbeat BETWEEN '0001-01-02' AND '9999-12-31' THEN d.last_heartbeat END AS last_heartbeat
FROM delegations d WHERE d.status = ANY (%(in_flight)s::text[]) ORDER BY d.created_at, d.delegation_id

-- expire_delegation --
-- Expire a delegation; optimistic locking on its deadline.
UPDATE delegations SET status = %(status)s, error_detail = %(error)s, result_preview = NULL, updated_at = %(now)s
WHERE delegation_id = %(id)s AND status = %(observed)s AND deadline = %(deadline)s

-- stall_delegation --
-- Mark a silent delegation as stuck; optimistic locking on its last heartbeat.
UPDATE delegations SET status = %(status)s, error_detail = %(error)s, result_preview = NULL, updated_at = %(now)s
WHERE delegation_id = %(id)s AND status = %(observed)s AND last_heartbeat = %(last_heartbeat)s

-- lock_plan --
-- Serialize starts of a plan; the advisory lock ends with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended(%(plan)s::text, 8317441095320003))

-- find_unfinished_run --
-- Unfinished attempt of a plan.
SELECT r.delegation_id, r.attempt, d.status, coalesce(d.last_heartbeat, d.created_at) AS last_sign
FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id WHERE r.plan = %(plan)s::uuid AND r.finished_at IS NULL

-- read_attempts --
-- Last attempt number of a plan and its first start.
SELECT coalesce(max(r.attempt), 0) AS last_attempt, min(r.started_at) AS first_started FROM job_runs r WHERE r.plan = %(plan)s::uuid

-- read_last_attempt --
-- Checkpoint, progress and status of the last attempt of a plan.
SELECT r.attempt, r.checkpoint, r.progress, r.dropped_indexes, r.began_with, d.status
FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id WHERE r.plan = %(plan)s::uuid ORDER BY r.attempt DESC LIMIT 1

-- insert_run --
-- Insert an attempt of a plan, with the checkpoint of the previous one or none.
INSERT INTO job_runs (plan, attempt, delegation_id, kind, source, target, owner, options, checkpoint, progress, dropped_indexes, began_with, started_at)
VALUES (%(plan)s::uuid, %(attempt)s, %(id)s, %(kind)s, %(source)s, %(target)s, %(owner)s, %(options)s, %(checkpoint)s, %(progress)s,
    %(dropped)s::text[], %(began_with)s, %(now)s)

-- read_run --
-- Attempt by id, with the first start of its plan.
SELECT r.delegation_id, r.attempt, r.kind, r.source, r.target, r.options, r.checkpoint, r.progress, r.dropped_indexes, d.status,
    (SELECT min(other.started_at) FROM job_runs other WHERE other.plan = r.plan) AS first_started
FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id WHERE r.delegation_id = %(id)s

-- read_checkpoint --
-- Checkpoint of an attempt.
SELECT r.checkpoint FROM job_runs r WHERE r.delegation_id = %(id)s

-- take_run --
-- Set the worker that owns an attempt.
UPDATE job_runs SET owner = %(owner)s WHERE delegation_id = %(id)s AND finished_at IS NULL

-- finish_run --
-- Mark an attempt as finished.
UPDATE job_runs SET finished_at = %(now)s WHERE delegation_id = %(id)s AND finished_at IS NULL

-- save_progress --
-- Save progress and, if given, the checkpoint of an attempt.
UPDATE job_runs SET progress = %(progress)s, checkpoint = coalesce(%(checkpoint)s::jsonb, checkpoint)
WHERE delegation_id = %(id)s AND finished_at IS NULL

-- save_wait --
-- Save what the worker of an attempt waits for, beside its progress; NULL for nothing.
UPDATE job_runs SET progress = CASE WHEN %(wait)s::jsonb IS NULL THEN progress - 'wait'
    ELSE progress || jsonb_build_object('wait', %(wait)s::jsonb) END
WHERE delegation_id = %(id)s AND finished_at IS NULL

-- save_live --
-- Save the progress of the statement that an attempt runs now, beside its other progress.
UPDATE job_runs SET progress = progress || jsonb_build_object('live', %(live)s::jsonb)
WHERE delegation_id = %(id)s AND finished_at IS NULL

-- save_dropped --
-- Record dropped indexes, so that this attempt or a later one rebuilds them.
UPDATE job_runs SET dropped_indexes = %(dropped)s::text[] WHERE delegation_id = %(id)s AND finished_at IS NULL

-- read_cancel --
-- Cancel request of a running attempt; no row if it has ended.
SELECT r.cancel_requested FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id
WHERE r.delegation_id = %(id)s AND r.finished_at IS NULL AND d.status = ANY (%(in_flight)s::text[])

-- request_cancel --
-- Request cancellation of an attempt at its next checkpoint.
UPDATE job_runs SET cancel_requested = true WHERE delegation_id = %(id)s AND finished_at IS NULL

-- every_job --
-- All delegations, with the attempt of the console's own jobs; base of the queries below.
SELECT d.delegation_id, d.caller_id::text AS caller_id, d.callee_id::text AS callee_id, d.task_preview, d.status,
    CASE WHEN d.last_heartbeat BETWEEN '0001-01-02' AND '9999-12-31' THEN d.last_heartbeat END AS last_heartbeat,
    CASE WHEN d.deadline BETWEEN '0001-01-02' AND '9999-12-31' THEN d.deadline END AS deadline,
    d.result_preview, d.error_detail, d.retry_count, d.created_at, d.updated_at,
    r.plan::text AS plan, r.attempt, r.attempt - r.began_with + 1 AS tries, r.kind, r.source, r.target, r.owner, r.options, r.progress,
    r.cancel_requested, r.finished_at
FROM delegations d LEFT JOIN job_runs r ON r.delegation_id = d.delegation_id

-- get_job --
-- Job by id.
/*= every_job */
WHERE d.delegation_id = %(id)s

-- find_jobs_by_prefix --
-- Jobs by id prefix, three at most: two already make it ambiguous.
/*= every_job */
WHERE starts_with(d.delegation_id, %(prefix)s) ORDER BY d.delegation_id LIMIT 3

-- list_jobs --
-- Jobs by status: in flight first, then the newest.
/*= every_job */
WHERE d.status = ANY (%(statuses)s::text[])
ORDER BY d.status = ANY (%(in_flight)s::text[]) DESC, d.created_at DESC, d.delegation_id LIMIT %(limit)s

-- count_jobs --
-- Number of jobs by status.
SELECT d.status, count(*) AS jobs FROM delegations d GROUP BY d.status

-- insert_findings --
-- Insert findings, a JSON list of [subject, outcome, key, reason].
INSERT INTO job_findings (delegation_id, subject, outcome, source_key, reason)
SELECT %(id)s, value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM jsonb_array_elements(%(findings)s) AS value

-- delete_findings --
-- Delete findings of rows that succeeded later, in this attempt and those that it resumes.
DELETE FROM job_findings WHERE delegation_id IN (
    SELECT %(id)s::text UNION ALL
    SELECT earlier.delegation_id FROM job_runs this JOIN job_runs earlier
    ON earlier.plan = this.plan AND earlier.attempt >= this.began_with AND earlier.attempt < this.attempt
    WHERE this.delegation_id = %(id)s)
AND (subject, outcome, source_key) IN (
    SELECT value ->> 0, value ->> 1, value ->> 2 FROM jsonb_array_elements(%(findings)s) AS value)

-- list_findings --
-- Findings of an attempt and those that it resumes, in order; keyset pagination by id.
SELECT f.id, f.subject, f.outcome, f.source_key, f.reason FROM job_findings f
WHERE f.delegation_id IN (
    SELECT %(id)s::text UNION ALL
    SELECT earlier.delegation_id FROM job_runs this JOIN job_runs earlier
    ON earlier.plan = this.plan AND earlier.attempt >= this.began_with AND earlier.attempt < this.attempt
    WHERE this.delegation_id = %(id)s)
AND f.id > %(after)s ORDER BY f.id LIMIT %(limit)s

-- add_sync_state --
-- Append the sync state of a batch.
INSERT INTO sync_state (chain, records) VALUES (%(chain)s, %(records)s)

-- list_sync_state --
-- Sync state of a copy in the order of writing; keyset pagination by id.
SELECT id, records FROM sync_state WHERE chain = %(chain)s AND id > %(after)s ORDER BY id LIMIT %(limit)s

-- last_sync_state --
-- Sync state of the last batch.
SELECT records FROM sync_state WHERE chain = %(chain)s ORDER BY id DESC LIMIT 1

-- forget_sync_state --
-- Delete the sync state of a finished copy.
DELETE FROM sync_state WHERE chain = %(chain)s

-- forget_old_sync_state --
-- Delete sync state of other copies: earlier runs of the same plan, and abandoned plans.
DELETE FROM sync_state WHERE chain <> %(chain)s AND NOT EXISTS (
    SELECT 1 FROM job_runs began JOIN job_runs latest ON latest.plan = began.plan
    WHERE began.delegation_id = sync_state.chain AND (latest.finished_at IS NULL OR latest.finished_at > %(since)s)
    AND began.plan <> (SELECT this.plan FROM job_runs this WHERE this.delegation_id = %(chain)s))
