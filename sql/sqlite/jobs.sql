-- Ledger: delegations, attempts of a plan, progress and findings; ../postgres/jobs.sql has the same names. :in_flight
-- is the list of unfinished statuses, defined once in the program.

-- insert_delegation --
-- Insert a delegation unless its id or idempotency key exists.
INSERT INTO delegations (delegation_id, caller_id, callee_id, task_preview, status, last_heartbeat, deadline, retry_count,
    created_at, updated_at, idempotency_key)
VALUES (:id, :caller_id, :callee_id, :task, 'queued', NULL, :deadline, :retry_count, :now, :now, :idempotency_key)
ON CONFLICT DO NOTHING

-- find_delegation --
-- Delegation by id, else by the caller's idempotency key.
SELECT d.delegation_id FROM delegations d
WHERE d.delegation_id = :id OR (d.caller_id = :caller_id AND d.idempotency_key = :idempotency_key)
ORDER BY d.delegation_id = :id DESC LIMIT 1

-- read_status --
-- Status of a delegation.
SELECT d.status, d.error_detail, d.result_preview FROM delegations d WHERE d.delegation_id = :id

-- transition_delegation --
-- State transition with optimistic locking on the observed status; replaces the details.
UPDATE delegations SET status = :status, error_detail = :error, result_preview = :result, updated_at = :now
WHERE delegation_id = :id AND status = :observed

-- fill_delegation --
-- Repeated report of a status: fill in missing details only.
UPDATE delegations SET error_detail = coalesce(error_detail, :error), result_preview = coalesce(result_preview, :result),
    updated_at = :now
WHERE delegation_id = :id AND status = :observed
AND ((error_detail IS NULL AND :error IS NOT NULL) OR (result_preview IS NULL AND :result IS NOT NULL))

-- beat_delegation --
-- Heartbeat. Extends the deadline of the console's own jobs; that of delegated work is fixed.
UPDATE delegations SET last_heartbeat = :now, updated_at = :now, deadline = CASE
    WHEN EXISTS (SELECT 1 FROM job_runs r WHERE r.delegation_id = delegations.delegation_id) THEN max(deadline, :deadline) ELSE deadline END
WHERE delegation_id = :id AND status IN (SELECT value FROM json_each(:in_flight))

-- list_sweepable --
-- Delegations in flight, with deadline and last heartbeat.
SELECT d.delegation_id, d.status, d.deadline, d.last_heartbeat
FROM delegations d WHERE d.status IN (SELECT value FROM json_each(:in_flight)) ORDER BY d.created_at, d.delegation_id

-- expire_delegation --
-- Expire a delegation; optimistic locking on its deadline.
UPDATE delegations SET status = :status, error_detail = :error, result_preview = NULL, updated_at = :now
WHERE delegation_id = :id AND status = :observed AND deadline = :deadline

-- stall_delegation --
-- Mark a silent delegation as stuck; optimistic locking on its last heartbeat.
UPDATE delegations SET status = :status, error_detail = :error, result_preview = NULL, updated_at = :now
WHERE delegation_id = :id AND status = :observed AND last_heartbeat = :last_heartbeat

-- lock_plan --
-- No-op: BEGIN IMMEDIATE already locks the file against a second starter.
SELECT 1 AS locked

-- find_unfinished_run --
-- Unfinished attempt of a plan.
SELECT r.delegation_id, r.attempt, d.status, coalesce(d.last_heartbeat, d.created_at) AS last_sign
FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id WHERE r.plan = :plan AND r.finished_at IS NULL

-- read_attempts --
-- Last attempt number of a plan and its first start.
SELECT coalesce(max(r.attempt), 0) AS last_attempt, min(r.started_at) AS first_started FROM job_runs r WHERE r.plan = :plan

-- read_last_attempt --
-- Checkpoint, progress and status of the last attempt of a plan.
SELECT r.attempt, r.checkpoint, r.progress, r.dropped_indexes, r.began_with, d.status
FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id WHERE r.plan = :plan ORDER BY r.attempt DESC LIMIT 1

-- insert_run --
-- Insert an attempt of a plan, with the checkpoint of the previous one or none.
INSERT INTO job_runs (plan, attempt, delegation_id, kind, source, target, owner, options, checkpoint, progress, dropped_indexes, began_with, started_at)
VALUES (:plan, :attempt, :id, :kind, :source, :target, :owner, :options, :checkpoint, :progress,
    :dropped, :began_with, :now)

-- read_run --
-- Attempt by id, with the first start of its plan.
SELECT r.delegation_id, r.attempt, r.kind, r.source, r.target, r.options, r.checkpoint, r.progress, r.dropped_indexes, d.status,
    (SELECT min(other.started_at) FROM job_runs other WHERE other.plan = r.plan) AS first_started
FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id WHERE r.delegation_id = :id

-- read_checkpoint --
-- Checkpoint of an attempt.
SELECT r.checkpoint FROM job_runs r WHERE r.delegation_id = :id

-- take_run --
-- Set the worker that owns an attempt.
UPDATE job_runs SET owner = :owner WHERE delegation_id = :id AND finished_at IS NULL

-- finish_run --
-- Mark an attempt as finished.
UPDATE job_runs SET finished_at = :now WHERE delegation_id = :id AND finished_at IS NULL

-- save_progress --
-- Save progress and, if given, the checkpoint of an attempt.
UPDATE job_runs SET progress = :progress, checkpoint = coalesce(:checkpoint, checkpoint)
WHERE delegation_id = :id AND finished_at IS NULL

-- save_wait --
-- Save what the worker of an attempt waits for, beside its progress; NULL for nothing.
UPDATE job_runs SET progress = CASE WHEN :wait IS NULL THEN json_remove(progress, '$.wait')
    ELSE json_set(progress, '$.wait', json(:wait)) END
WHERE delegation_id = :id AND finished_at IS NULL

-- save_live --
-- Save the progress of the statement that an attempt runs now, beside its other progress.
UPDATE job_runs SET progress = json_set(progress, '$.live', json(:live))
WHERE delegation_id = :id AND finished_at IS NULL

-- save_dropped --
-- Record dropped indexes, so that this attempt or a later one rebuilds them.
UPDATE job_runs SET dropped_indexes = :dropped WHERE delegation_id = :id AND finished_at IS NULL

-- read_cancel --
-- Cancel request of a running attempt; no row if it has ended.
SELECT r.cancel_requested FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id
WHERE r.delegation_id = :id AND r.finished_at IS NULL AND d.status IN (SELECT value FROM json_each(:in_flight))

-- request_cancel --
-- Request cancellation of an attempt at its next checkpoint.
UPDATE job_runs SET cancel_requested = 1 WHERE delegation_id = :id AND finished_at IS NULL

-- every_job --
-- All delegations, with the attempt of the console's own jobs; base of the queries below.
SELECT d.delegation_id, d.caller_id, d.callee_id, d.task_preview, d.status, d.last_heartbeat,
    d.deadline, d.result_preview, d.error_detail, d.retry_count, d.created_at, d.updated_at,
    r.plan, r.attempt, r.attempt - r.began_with + 1 AS tries, r.kind, r.source, r.target, r.owner, r.options, r.progress,
    r.cancel_requested, r.finished_at
FROM delegations d LEFT JOIN job_runs r ON r.delegation_id = d.delegation_id

-- get_job --
-- Job by id.
/*= every_job */
WHERE d.delegation_id = :id

-- find_jobs_by_prefix --
-- Jobs by id prefix, three at most: two already make it ambiguous.
/*= every_job */
WHERE substr(d.delegation_id, 1, length(:prefix)) = :prefix ORDER BY d.delegation_id LIMIT 3

-- list_jobs --
-- Jobs by status: in flight first, then the newest.
/*= every_job */
WHERE d.status IN (SELECT value FROM json_each(:statuses))
ORDER BY d.status IN (SELECT value FROM json_each(:in_flight)) DESC, d.created_at DESC, d.delegation_id LIMIT :limit

-- count_jobs --
-- Number of jobs by status.
SELECT d.status, count(*) AS jobs FROM delegations d GROUP BY d.status

-- insert_findings --
-- Insert findings, a JSON list of [subject, outcome, key, reason].
INSERT INTO job_findings (delegation_id, subject, outcome, source_key, reason)
SELECT :id, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]') FROM json_each(:findings)

-- delete_findings --
-- Delete findings of rows that succeeded later, in this attempt and those that it resumes.
DELETE FROM job_findings WHERE delegation_id IN (
    SELECT :id UNION ALL
    SELECT earlier.delegation_id FROM job_runs this JOIN job_runs earlier
    ON earlier.plan = this.plan AND earlier.attempt >= this.began_with AND earlier.attempt < this.attempt
    WHERE this.delegation_id = :id)
AND (subject, outcome, source_key) IN (
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(:findings))

-- list_findings --
-- Findings of an attempt and those that it resumes, in order; keyset pagination by id.
SELECT f.id, f.subject, f.outcome, f.source_key, f.reason FROM job_findings f
WHERE f.delegation_id IN (
    SELECT :id UNION ALL
    SELECT earlier.delegation_id FROM job_runs this JOIN job_runs earlier
    ON earlier.plan = this.plan AND earlier.attempt >= this.began_with AND earlier.attempt < this.attempt
    WHERE this.delegation_id = :id)
AND f.id > :after ORDER BY f.id LIMIT :limit

-- add_sync_state --
-- Append the sync state of a batch.
INSERT INTO sync_state (chain, records) VALUES (:chain, :records)

-- list_sync_state --
-- Sync state of a copy in the order of writing; keyset pagination by id.
SELECT id, records FROM sync_state WHERE chain = :chain AND id > :after ORDER BY id LIMIT :limit

-- last_sync_state --
-- Sync state of the last batch.
SELECT records FROM sync_state WHERE chain = :chain ORDER BY id DESC LIMIT 1

-- forget_sync_state --
-- Delete the sync state of a finished copy.
DELETE FROM sync_state WHERE chain = :chain

-- forget_old_sync_state --
-- Delete sync state of other copies: earlier runs of the same plan, and abandoned plans.
DELETE FROM sync_state WHERE chain <> :chain AND NOT EXISTS (
    SELECT 1 FROM job_runs began JOIN job_runs latest ON latest.plan = began.plan
    WHERE began.delegation_id = sync_state.chain AND (latest.finished_at IS NULL OR latest.finished_at > :since)
    AND began.plan <> (SELECT this.plan FROM job_runs this WHERE this.delegation_id = :chain))
