-- The ledger: delegations, attempts of a plan, progress and findings; the same names stand in ../postgres/jobs.sql.
-- :in_flight is the list of states that have not ended; the program has it once.

-- insert_delegation --
-- A new delegation; one that is there already, under this id or this key, is left alone.
INSERT INTO delegations (delegation_id, caller_id, callee_id, task_preview, status, last_heartbeat, deadline, retry_count,
    created_at, updated_at, idempotency_key)
VALUES (:id, :caller_id, :callee_id, :task, 'queued', NULL, :deadline, :retry_count, :now, :now, :idempotency_key)
ON CONFLICT DO NOTHING

-- find_delegation --
-- The delegation that has this id, else the one that has this key of its caller.
SELECT d.delegation_id FROM delegations d
WHERE d.delegation_id = :id OR (d.caller_id = :caller_id AND d.idempotency_key = :idempotency_key)
ORDER BY d.delegation_id = :id DESC LIMIT 1

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
-- Alive. The deadline of an attempt of ours moves along, that of anybody else's work stands.
UPDATE delegations SET last_heartbeat = :now, updated_at = :now, deadline = CASE
    WHEN EXISTS (SELECT 1 FROM job_runs r WHERE r.delegation_id = delegations.delegation_id) THEN max(deadline, :deadline) ELSE deadline END
WHERE delegation_id = :id AND status IN (SELECT value FROM json_each(:in_flight))

-- list_sweepable --
-- What is in flight, to be judged by its deadline and its last sign of life.
SELECT d.delegation_id, d.status, d.deadline, d.last_heartbeat
FROM delegations d WHERE d.status IN (SELECT value FROM json_each(:in_flight)) ORDER BY d.created_at, d.delegation_id

-- expire_delegation --
-- It is over its deadline, unless that was moved since it was looked at.
UPDATE delegations SET status = :status, error_detail = :error, result_preview = NULL, updated_at = :now
WHERE delegation_id = :id AND status = :observed AND deadline = :deadline

-- stall_delegation --
-- It gives no sign of life, unless it gave one since it was looked at.
UPDATE delegations SET status = :status, error_detail = :error, result_preview = NULL, updated_at = :now
WHERE delegation_id = :id AND status = :observed AND last_heartbeat = :last_heartbeat

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

-- read_last_attempt --
-- How far the newest attempt of a plan came, and whether it was done.
SELECT r.attempt, r.checkpoint, r.progress, r.dropped_indexes, r.began_with, d.status
FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id WHERE r.plan = :plan ORDER BY r.attempt DESC LIMIT 1

-- insert_run --
-- A new attempt of a plan; it begins with what the one before had reached, or with nothing.
INSERT INTO job_runs (plan, attempt, delegation_id, kind, source, target, owner, options, checkpoint, progress, dropped_indexes, began_with, started_at)
VALUES (:plan, :attempt, :id, :kind, :source, :target, :owner, :options, :checkpoint, :progress,
    :dropped, :began_with, :now)

-- read_run --
-- An attempt, and when its plan was tried for the first time.
SELECT r.delegation_id, r.attempt, r.kind, r.source, r.target, r.options, r.checkpoint, r.progress, r.dropped_indexes, d.status,
    (SELECT min(other.started_at) FROM job_runs other WHERE other.plan = r.plan) AS first_started
FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id WHERE r.delegation_id = :id

-- read_checkpoint --
-- From where an attempt could go on.
SELECT r.checkpoint FROM job_runs r WHERE r.delegation_id = :id

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

-- save_dropped --
-- Which indexes an attempt has dropped, so that it or a later one builds them again.
UPDATE job_runs SET dropped_indexes = :dropped WHERE delegation_id = :id AND finished_at IS NULL

-- read_cancel --
-- Has a person asked this attempt to stop? No row where it has ended.
SELECT r.cancel_requested FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id
WHERE r.delegation_id = :id AND r.finished_at IS NULL AND d.status IN (SELECT value FROM json_each(:in_flight))

-- request_cancel --
-- Ask an attempt to stop at its next checkpoint.
UPDATE job_runs SET cancel_requested = 1 WHERE delegation_id = :id AND finished_at IS NULL

-- every_job --
-- All jobs, those of ours with what is kept beside them; the questions below ask for some of them.
SELECT d.delegation_id, d.caller_id, d.callee_id, d.task_preview, d.status, d.last_heartbeat,
    d.deadline, d.result_preview, d.error_detail, d.retry_count, d.created_at, d.updated_at,
    r.plan, r.attempt, r.attempt - r.began_with + 1 AS tries, r.kind, r.source, r.target, r.owner, r.options, r.progress,
    r.cancel_requested, r.finished_at
FROM delegations d LEFT JOIN job_runs r ON r.delegation_id = d.delegation_id

-- get_job --
-- One job by its id.
/*= every_job */
WHERE d.delegation_id = :id

-- find_jobs_by_prefix --
-- Up to three jobs whose ids begin alike: two are enough to call a prefix ambiguous.
/*= every_job */
WHERE substr(d.delegation_id, 1, length(:prefix)) = :prefix ORDER BY d.delegation_id LIMIT 3

-- list_jobs --
-- Jobs in some states: what is in flight first, then the newest.
/*= every_job */
WHERE d.status IN (SELECT value FROM json_each(:statuses))
ORDER BY d.status IN (SELECT value FROM json_each(:in_flight)) DESC, d.created_at DESC, d.delegation_id LIMIT :limit

-- count_jobs --
-- How many there are in each state that anything is in.
SELECT d.status, count(*) AS jobs FROM delegations d GROUP BY d.status

-- insert_findings --
-- What became of single rows: a list of [subject, outcome, key, reason].
INSERT INTO job_findings (delegation_id, subject, outcome, source_key, reason)
SELECT :id, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]') FROM json_each(:findings)

-- delete_findings --
-- Of rows that fared better after all, in this attempt or those that it goes on from.
DELETE FROM job_findings WHERE delegation_id IN (
    SELECT :id UNION ALL
    SELECT earlier.delegation_id FROM job_runs this JOIN job_runs earlier
    ON earlier.plan = this.plan AND earlier.attempt >= this.began_with AND earlier.attempt < this.attempt
    WHERE this.delegation_id = :id)
AND (subject, outcome, source_key) IN (
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(:findings))

-- list_findings --
-- What became of single rows, in the order in which they were met, since the plan last began anew.
SELECT f.id, f.subject, f.outcome, f.source_key, f.reason FROM job_findings f
WHERE f.delegation_id IN (
    SELECT :id UNION ALL
    SELECT earlier.delegation_id FROM job_runs this JOIN job_runs earlier
    ON earlier.plan = this.plan AND earlier.attempt >= this.began_with AND earlier.attempt < this.attempt
    WHERE this.delegation_id = :id)
AND f.id > :after ORDER BY f.id LIMIT :limit

-- add_sync_state --
-- What a copy knows of the rows of one batch.
INSERT INTO sync_state (chain, records) VALUES (:chain, :records)

-- list_sync_state --
-- What a copy knows, in the order in which it was written.
SELECT id, records FROM sync_state WHERE chain = :chain AND id > :after ORDER BY id LIMIT :limit

-- last_sync_state --
-- What a copy knows of the batch that it has written last.
SELECT records FROM sync_state WHERE chain = :chain ORDER BY id DESC LIMIT 1

-- forget_sync_state --
-- A copy is done for good.
DELETE FROM sync_state WHERE chain = :chain

-- forget_old_sync_state --
-- What other copies left: of the same plan, which has begun anew, or of one that nobody has taken up for long.
DELETE FROM sync_state WHERE chain <> :chain AND NOT EXISTS (
    SELECT 1 FROM job_runs began JOIN job_runs latest ON latest.plan = began.plan
    WHERE began.delegation_id = sync_state.chain AND (latest.finished_at IS NULL OR latest.finished_at > :since)
    AND began.plan <> (SELECT this.plan FROM job_runs this WHERE this.delegation_id = :chain))
