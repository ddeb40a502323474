-- The ledger: delegations, attempts of a plan, progress and findings; the same names stand in ../postgres/jobs.sql.
-- :in_flight is the list of states that have not ended; the program has it once.

-- insert_delegation --
-- A new delegation; one that is there already, under this id or this key, is left alone.
INSERT INTO delegations (delegation_id, caller_id, callee_id, task_preview, status, last_heartbeat, deadline, retry_count,
    created_at, updated_at, idempotency_key)
VALUES (:id, :caller_id, :callee_id, :task, 'queued', NULL, :deadline, :retry_count, :now, :now, :idempotency_key)
ON CONFLICT DO NOTHING

-- read_status --
-- Where a delegation stands.
SELECT d.status, d.error_detail, d.result_preview FROM delegations d WHERE d.delegation_id = :id

-- transition_delegation --
-- From the state that was seen to another; an earlier detail goes.
UPDATE delegations SET status = :status, error_detail = :error, result_preview = :result, updated_at = :now
WHERE delegation_id = :id AND status = :observed

-- fill_delegation --
-- The same state told again only brings details that were missing.
UPDATE delegations SET error_detail = coalesce(error_detail, :error), result_preview = coalesce(result_preview, :result),
    updated_at = :now
WHERE delegation_id = :id AND status = :observed
AND ((error_detail IS NULL AND :error IS NOT NULL) OR (result_preview IS NULL AND :result IS NOT NULL))

-- beat_delegation --
-- Alive; the deadline moves along.
UPDATE delegations SET last_heartbeat = :now, updated_at = :now, deadline = max(deadline, :deadline)
WHERE delegation_id = :id AND status IN (SELECT value FROM json_each(:in_flight))

-- lock_plan --
-- BEGIN IMMEDIATE already keeps a second starter out.
SELECT 1 AS locked

-- find_unfinished_run --
-- The attempt of a plan that is under way.
SELECT r.delegation_id, r.attempt, d.status, coalesce(d.last_heartbeat, d.created_at) AS last_sign
FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id WHERE r.plan = :plan AND r.finished_at IS NULL

-- read_attempts --
-- How often a plan was tried, and since when.
SELECT coalesce(max(r.attempt), 0) AS last_attempt, min(r.started_at) AS first_started FROM job_runs r WHERE r.plan = :plan

-- insert_run --
-- A new attempt of a plan.
INSERT INTO job_runs (plan, attempt, delegation_id, kind, source, target, owner, started_at)
VALUES (:plan, :attempt, :id, :kind, :source, :target, :owner, :now)

-- take_run --
-- A worker has taken an attempt over.
UPDATE job_runs SET owner = :owner WHERE delegation_id = :id AND finished_at IS NULL

-- finish_run --
-- An attempt has ended.
UPDATE job_runs SET finished_at = :now WHERE delegation_id = :id AND finished_at IS NULL

-- save_progress --
-- How far an attempt is, and from where it could go on.
UPDATE job_runs SET progress = :progress, checkpoint = coalesce(:checkpoint, checkpoint)
WHERE delegation_id = :id AND finished_at IS NULL

-- read_cancel --
-- Has a person asked this attempt to stop? No row where it has ended.
SELECT r.cancel_requested FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id
WHERE r.delegation_id = :id AND r.finished_at IS NULL AND d.status IN (SELECT value FROM json_each(:in_flight))

-- request_cancel --
-- Ask an attempt to stop at its next checkpoint.
UPDATE job_runs SET cancel_requested = 1 WHERE delegation_id = :id AND finished_at IS NULL

-- get_job --
-- One job by its id.
SELECT d.delegation_id, d.task_preview, d.status, d.last_heartbeat, d.deadline, d.result_preview, d.error_detail, d.created_at, d.updated_at,
r.plan, r.attempt, r.kind, r.source, r.target, r.owner, r.progress, r.cancel_requested, r.finished_at
FROM delegations d LEFT JOIN job_runs r ON r.delegation_id = d.delegation_id WHERE d.delegation_id = :id

-- find_jobs_by_prefix --
-- Up to three jobs whose ids begin alike: two are enough to call a prefix ambiguous.
SELECT d.delegation_id, d.task_preview, d.status, d.last_heartbeat, d.deadline, d.result_preview, d.error_detail, d.created_at, d.updated_at,
r.plan, r.attempt, r.kind, r.source, r.target, r.owner, r.progress, r.cancel_requested, r.finished_at
FROM delegations d LEFT JOIN job_runs r ON r.delegation_id = d.delegation_id
WHERE substr(d.delegation_id, 1, length(:prefix)) = :prefix ORDER BY d.delegation_id LIMIT 3

-- list_jobs --
-- What is in flight first, then the newest.
SELECT d.delegation_id, d.task_preview, d.status, d.last_heartbeat, d.deadline, d.result_preview, d.error_detail, d.created_at, d.updated_at,
r.plan, r.attempt, r.kind, r.source, r.target, r.owner, r.progress, r.cancel_requested, r.finished_at
FROM delegations d LEFT JOIN job_runs r ON r.delegation_id = d.delegation_id
ORDER BY d.status IN (SELECT value FROM json_each(:in_flight)) DESC, d.created_at DESC, d.delegation_id LIMIT :limit

-- insert_findings --
-- What became of single rows: a list of [subject, outcome, key, reason].
INSERT INTO job_findings (delegation_id, subject, outcome, source_key, reason)
SELECT :id, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]') FROM json_each(:findings)

-- list_findings --
-- What became of single rows, in the order in which they were met.
SELECT f.id, f.subject, f.outcome, f.source_key, f.reason FROM job_findings f
WHERE f.delegation_id = :id AND f.id > :after ORDER BY f.id LIMIT :limit
