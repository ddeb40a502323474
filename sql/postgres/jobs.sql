-- The ledger: delegations, attempts of a plan, progress and findings; the same names stand in ../sqlite/jobs.sql.
-- %(in_flight)s is the list of states that have not ended; the program has it once. A time that no calendar has (infinity)
-- is read as none.

-- insert_delegation --
-- A new delegation; one that is there already, under this id or this key, is left alone.
INSERT INTO delegations (delegation_id, caller_id, callee_id, task_preview, status, last_heartbeat, deadline, retry_count,
    created_at, updated_at, idempotency_key)
VALUES (%(id)s, %(caller_id)s::uuid, %(callee_id)s::uuid, %(task)s, 'queued', NULL, %(deadline)s, %(retry_count)s, %(now)s, %(now)s, %(idempotency_key)s)
ON CONFLICT DO NOTHING

-- find_delegation --
-- The delegation that has this id, else the one that has this key of its caller.
SELECT d.delegation_id FROM delegations d
WHERE d.delegation_id = %(id)s OR (d.caller_id = %(caller_id)s::uuid AND d.idempotency_key = %(idempotency_key)s)
ORDER BY d.delegation_id = %(id)s DESC LIMIT 1

-- read_status --
-- Where a delegation stands.
SELECT d.status, d.error_detail, d.result_preview FROM delegations d WHERE d.delegation_id = %(id)s

-- transition_delegation --
-- From the state that was seen to another; an earlier detail goes.
UPDATE delegations SET status = %(status)s, error_detail = %(error)s, result_preview = %(result)s, updated_at = %(now)s
WHERE delegation_id = %(id)s AND status = %(observed)s

-- fill_delegation --
-- The same state told again only brings details that were missing.
UPDATE delegations SET error_detail = coalesce(error_detail, %(error)s::text), result_preview = coalesce(result_preview, %(result)s::text),
    updated_at = %(now)s
WHERE delegation_id = %(id)s AND status = %(observed)s
AND ((error_detail IS NULL AND %(error)s::text IS NOT NULL) OR (result_preview IS NULL AND %(result)s::text IS NOT NULL))

-- beat_delegation --
-- Alive. The deadline of an attempt of ours moves along, that of anybody else's work stands.
UPDATE delegations SET last_heartbeat = %(now)s, updated_at = %(now)s, deadline = CASE
    WHEN EXISTS (SELECT 1 FROM job_runs r WHERE r.delegation_id = delegations.delegation_id)
    THEN greatest(deadline, %(deadline)s) ELSE deadline END
WHERE delegation_id = %(id)s AND status = ANY (%(in_flight)s::text[])

-- list_sweepable --
-- What is in flight, to be judged by its deadline and its last sign of life.
SELECT d.delegation_id, d.status,
    CASE WHEN d.deadline BETWEEN '0001-01-02' AND '9999-12-31' THEN d.deadline END AS deadline,
    CASE WHEN d.last_heartbeat BETWEEN '0001-01-02' AND '9999-12-31' THEN d.last_heartbeat END AS last_heartbeat
FROM delegations d WHERE d.status = ANY (%(in_flight)s::text[]) ORDER BY d.created_at, d.delegation_id

-- expire_delegation --
-- It is over its deadline, unless that was moved since it was looked at.
UPDATE delegations SET status = %(status)s, error_detail = %(error)s, result_preview = NULL, updated_at = %(now)s
WHERE delegation_id = %(id)s AND status = %(observed)s AND deadline = %(deadline)s

-- stall_delegation --
-- It gives no sign of life, unless it gave one since it was looked at.
UPDATE delegations SET status = %(status)s, error_detail = %(error)s, result_preview = NULL, updated_at = %(now)s
WHERE delegation_id = %(id)s AND status = %(observed)s AND last_heartbeat = %(last_heartbeat)s

-- lock_plan --
-- Two starters of one plan take turns; the lock goes with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended(%(plan)s::text, 8317441095320003))

-- find_unfinished_run --
-- The attempt of a plan that is under way.
SELECT r.delegation_id, r.attempt, d.status, coalesce(d.last_heartbeat, d.created_at) AS last_sign
FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id WHERE r.plan = %(plan)s::uuid AND r.finished_at IS NULL

-- read_attempts --
-- How often a plan was tried, and since when.
SELECT coalesce(max(r.attempt), 0) AS last_attempt, min(r.started_at) AS first_started FROM job_runs r WHERE r.plan = %(plan)s::uuid

-- read_last_attempt --
-- How far the newest attempt of a plan came, and whether it was done.
SELECT r.attempt, r.checkpoint, r.progress, r.dropped_indexes, r.began_with, d.status
FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id WHERE r.plan = %(plan)s::uuid ORDER BY r.attempt DESC LIMIT 1

-- insert_run --
-- A new attempt of a plan; it begins with what the one before had reached, or with nothing.
INSERT INTO job_runs (plan, attempt, delegation_id, kind, source, target, owner, options, checkpoint, progress, dropped_indexes, began_with, started_at)
VALUES (%(plan)s::uuid, %(attempt)s, %(id)s, %(kind)s, %(source)s, %(target)s, %(owner)s, %(options)s, %(checkpoint)s, %(progress)s,
    %(dropped)s::text[], %(began_with)s, %(now)s)

-- read_run --
-- An attempt, and when its plan was tried for the first time.
SELECT r.delegation_id, r.attempt, r.kind, r.source, r.target, r.options, r.checkpoint, r.progress, r.dropped_indexes, d.status,
    (SELECT min(other.started_at) FROM job_runs other WHERE other.plan = r.plan) AS first_started
FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id WHERE r.delegation_id = %(id)s

-- read_checkpoint --
-- From where an attempt could go on.
SELECT r.checkpoint FROM job_runs r WHERE r.delegation_id = %(id)s

-- take_run --
-- A worker has taken an attempt over.
UPDATE job_runs SET owner = %(owner)s WHERE delegation_id = %(id)s AND finished_at IS NULL

-- finish_run --
-- An attempt has ended.
UPDATE job_runs SET finished_at = %(now)s WHERE delegation_id = %(id)s AND finished_at IS NULL

-- save_progress --
-- How far an attempt is, and from where it could go on.
UPDATE job_runs SET progress = %(progress)s, checkpoint = coalesce(%(checkpoint)s::jsonb, checkpoint)
WHERE delegation_id = %(id)s AND finished_at IS NULL

-- save_dropped --
-- Which indexes an attempt has dropped, so that it or a later one builds them again.
UPDATE job_runs SET dropped_indexes = %(dropped)s::text[] WHERE delegation_id = %(id)s AND finished_at IS NULL

-- read_cancel --
-- Has a person asked this attempt to stop? No row where it has ended.
SELECT r.cancel_requested FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id
WHERE r.delegation_id = %(id)s AND r.finished_at IS NULL AND d.status = ANY (%(in_flight)s::text[])

-- request_cancel --
-- Ask an attempt to stop at its next checkpoint.
UPDATE job_runs SET cancel_requested = true WHERE delegation_id = %(id)s AND finished_at IS NULL

-- every_job --
-- All jobs, those of ours with what is kept beside them; the questions below ask for some of them.
SELECT d.delegation_id, d.caller_id::text AS caller_id, d.callee_id::text AS callee_id, d.task_preview, d.status,
    CASE WHEN d.last_heartbeat BETWEEN '0001-01-02' AND '9999-12-31' THEN d.last_heartbeat END AS last_heartbeat,
    CASE WHEN d.deadline BETWEEN '0001-01-02' AND '9999-12-31' THEN d.deadline END AS deadline,
    d.result_preview, d.error_detail, d.retry_count, d.created_at, d.updated_at,
    r.plan::text AS plan, r.attempt, r.attempt - r.began_with + 1 AS tries, r.kind, r.source, r.target, r.owner, r.options, r.progress,
    r.cancel_requested, r.finished_at
FROM delegations d LEFT JOIN job_runs r ON r.delegation_id = d.delegation_id

-- get_job --
-- One job by its id.
/*= every_job */
WHERE d.delegation_id = %(id)s

-- find_jobs_by_prefix --
-- Up to three jobs whose ids begin alike: two are enough to call a prefix ambiguous.
/*= every_job */
WHERE starts_with(d.delegation_id, %(prefix)s) ORDER BY d.delegation_id LIMIT 3

-- list_jobs --
-- Jobs in some states: what is in flight first, then the newest.
/*= every_job */
WHERE d.status = ANY (%(statuses)s::text[])
ORDER BY d.status = ANY (%(in_flight)s::text[]) DESC, d.created_at DESC, d.delegation_id LIMIT %(limit)s

-- count_jobs --
-- How many there are in each state that anything is in.
SELECT d.status, count(*) AS jobs FROM delegations d GROUP BY d.status

-- insert_findings --
-- What became of single rows: a list of [subject, outcome, key, reason].
INSERT INTO job_findings (delegation_id, subject, outcome, source_key, reason)
SELECT %(id)s, value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM jsonb_array_elements(%(findings)s) AS value

-- delete_findings --
-- Of rows that fared better after all, in this attempt or those that it goes on from.
DELETE FROM job_findings WHERE delegation_id IN (
    SELECT %(id)s::text UNION ALL
    SELECT earlier.delegation_id FROM job_runs this JOIN job_runs earlier
    ON earlier.plan = this.plan AND earlier.attempt >= this.began_with AND earlier.attempt < this.attempt
    WHERE this.delegation_id = %(id)s)
AND (subject, outcome, source_key) IN (
    SELECT value ->> 0, value ->> 1, value ->> 2 FROM jsonb_array_elements(%(findings)s) AS value)

-- list_findings --
-- What became of single rows, in the order in which they were met, since the plan last began anew.
SELECT f.id, f.subject, f.outcome, f.source_key, f.reason FROM job_findings f
WHERE f.delegation_id IN (
    SELECT %(id)s::text UNION ALL
    SELECT earlier.delegation_id FROM job_runs this JOIN job_runs earlier
    ON earlier.plan = this.plan AND earlier.attempt >= this.began_with AND earlier.attempt < this.attempt
    WHERE this.delegation_id = %(id)s)
AND f.id > %(after)s ORDER BY f.id LIMIT %(limit)s

-- add_sync_state --
-- What a copy knows of the rows of one batch.
INSERT INTO sync_state (chain, records) VALUES (%(chain)s, %(records)s)

-- list_sync_state --
-- What a copy knows, in the order in which it was written.
SELECT id, records FROM sync_state WHERE chain = %(chain)s AND id > %(after)s ORDER BY id LIMIT %(limit)s

-- last_sync_state --
-- What a copy knows of the batch that it has written last.
SELECT records FROM sync_state WHERE chain = %(chain)s ORDER BY id DESC LIMIT 1

-- forget_sync_state --
-- A copy is done for good.
DELETE FROM sync_state WHERE chain = %(chain)s

-- forget_old_sync_state --
-- What other copies left: of the same plan, which has begun anew, or of one that nobody has taken up for long.
DELETE FROM sync_state WHERE chain <> %(chain)s AND NOT EXISTS (
    SELECT 1 FROM job_runs began JOIN job_runs latest ON latest.plan = began.plan
    WHERE began.delegation_id = sync_state.chain AND (latest.finished_at IS NULL OR latest.finished_at > %(since)s)
    AND began.plan <> (SELECT this.plan FROM job_runs this WHERE this.delegation_id = %(chain)s))
