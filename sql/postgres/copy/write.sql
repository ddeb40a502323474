-- Writes of a copy to a PostgreSQL target: COPY loads a batch into a temporary staging table, and a merge inserts the
-- missing rows. ord is the row's position in the batch. A block serves every table that names no other one in its spec;
-- slots are filled in from the spec.

-- any --
-- Check for any rows.
SELECT true AS there FROM /*table*/ LIMIT 1

-- any_user --
-- Check for users other than the initial one.
SELECT true AS there FROM users WHERE id <> '00000000-0000-0000-0000-000000000001' LIMIT 1

-- straight --
-- Load a batch without staging, if none of its rows can exist in the target.
COPY /*table*/ (/*stored*/) FROM STDIN (FORMAT binary)

-- stage --
-- Staging table of a batch, with the derived values of its rows; it ends with the transaction.
CREATE TEMP TABLE IF NOT EXISTS stage_/*name*/ (ord integer, /*typed*/) ON COMMIT DROP

-- load --
-- Load a batch into the staging table.
COPY stage_/*name*/ (ord, /*columns*/) FROM STDIN (FORMAT binary)

-- orphans --
-- Rows of the batch without a row that they belong to.
SELECT s.ord, '/*orphan_reason*/' AS reason FROM stage_/*name*/ s WHERE /*parent_missing s*/

-- orphan_vectors --
-- Vectors without their memory, or of memories that were edited in the target and have no vector there.
SELECT s.ord, CASE WHEN m.id IS NULL THEN 'its memory is not there' ELSE 'its memory was edited in the target' END AS reason
FROM stage_vectors s LEFT JOIN knowledge_nodes m ON m.id = s.node_id
WHERE m.id IS NULL OR (m.updated_at IS DISTINCT FROM s.updated_at
    AND NOT EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = s.node_id))

-- belong --
-- Any of the memories that is missing or has another edit time, in microseconds since 2000.
SELECT true AS amiss FROM unnest(%(keys)s::uuid[], %(times)s::bigint[]) AS s (id, at) LEFT JOIN knowledge_nodes m ON m.id = s.id
WHERE m.updated_at IS DISTINCT FROM timestamptz '2000-01-01 00:00:00+00' + s.at * interval '1 microsecond' LIMIT 1

-- logged --
-- Any line that exists in the target, by memory and time in microseconds since 2000. The lateral join forces one
-- index lookup each, since the planner has no statistics yet.
SELECT true AS there FROM unnest(%(keys)s::uuid[], %(times)s::bigint[]) AS s (id, at) CROSS JOIN LATERAL (
    SELECT FROM /*table*/ v WHERE /*owner v*/ = s.id
    AND /*time v*/ = timestamptz '2000-01-01 00:00:00+00' + s.at * interval '1 microsecond' LIMIT 1) v LIMIT 1

-- present --
-- Rows of the batch that exist in the target.
SELECT s.ord FROM stage_/*name*/ s JOIN /*table*/ t ON /*same_key s*/

-- present_log --
-- Lines of the batch that exist in the target; alike is the number of equal lines before.
SELECT s.ord FROM stage_/*name*/ s WHERE s.alike < (SELECT count(*) FROM /*table*/ t WHERE /*same_line s*/)

-- unique_value --
-- Value that must be unique: one that another row of the target has gets the head of the id appended.
CASE WHEN EXISTS (SELECT 1 FROM {table} o WHERE o.{column} = s.{column} AND o.id <> s.id)
    THEN s.{column} || '-' || left(s.id::text, 8) ELSE s.{column} END

-- merge --
-- Insert missing rows; existing ones stay unchanged.
INSERT INTO /*table*/ (/*stored*/) SELECT /*written s*/
FROM stage_/*name*/ s/*parent_joins s*/
WHERE s.ord BETWEEN %(low)s AND %(high)s ORDER BY s.ord ON CONFLICT DO NOTHING

-- merge_log --
-- Insert missing lines, in the source's order.
INSERT INTO /*table*/ (/*stored*/) SELECT /*written s*/
FROM stage_/*name*/ s/*parent_joins s*/
WHERE s.ord BETWEEN %(low)s AND %(high)s AND s.alike >= (SELECT count(*) FROM /*table*/ t WHERE /*same_line s*/)
ORDER BY s.ord

-- update --
-- Update rows from the source.
UPDATE /*table*/ t SET /*assignments s*/
FROM stage_/*name*/ s/*version_joins s*/ WHERE /*same_key s*/ AND s.ord BETWEEN %(low)s AND %(high)s

-- update_reviews --
-- Update reviews, with the link to the review that each undoes.
UPDATE review_events v SET /*assignments s*/,
    undoes = (SELECT u.id FROM review_events u WHERE u.memory_id = s.undone_memory_id AND u.timestamp = s.undone_timestamp
        AND u.rating = s.undone_rating ORDER BY u.id OFFSET s.undone_alike LIMIT 1)
FROM stage_reviews s WHERE s.ord BETWEEN %(low)s AND %(high)s
AND v.id = (SELECT t.id FROM review_events t WHERE /*same_line s*/ ORDER BY t.id OFFSET s.alike LIMIT 1)

-- settle_memory --
-- Restore the source's edit time, which a trigger has overwritten.
UPDATE knowledge_nodes t SET updated_at = s.updated_at FROM stage_memories s
WHERE t.id = s.id AND t.updated_at IS DISTINCT FROM s.updated_at

-- link_reviews --
-- Link undos to their reviews: both have new ids in the target.
UPDATE review_events v SET undoes = (SELECT u.id FROM review_events u WHERE u.memory_id = s.undone_memory_id
    AND u.timestamp = s.undone_timestamp AND u.rating = s.undone_rating ORDER BY u.id OFFSET s.undone_alike LIMIT 1)
FROM stage_reviews s WHERE s.undone_memory_id IS NOT NULL AND v.undoes IS NULL
AND v.id = (SELECT t.id FROM review_events t WHERE /*same_line s*/ ORDER BY t.id OFFSET s.alike LIMIT 1)

-- free_memory --
-- Clear the cached winner before the delete, so that no event is created here: the source's own events follow.
UPDATE knowledge_nodes t SET superseded_by = NULL FROM stage_memories s WHERE t.superseded_by = s.id

-- delete --
-- Delete rows that the source deleted; dependent rows cascade.
DELETE FROM /*table*/ t USING stage_/*name*/ s WHERE /*same_key s*/

-- delete_users --
-- Delete rows that the source deleted, unless they own memories in the target.
DELETE FROM users t USING stage_users s WHERE t.id = s.id AND NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.owner_user_id = t.id)

-- delete_log --
-- Delete lines that the source deleted; alike selects one of equal ones.
DELETE FROM /*table*/ WHERE id IN (SELECT (SELECT t.id FROM /*table*/ t WHERE /*same_line s*/
    ORDER BY t.id OFFSET s.alike LIMIT 1) FROM stage_/*name*/ s)

-- keep_plans --
-- Reuse plans of foreign key checks, unlike searches, which need custom plans; no timeouts, as a batch may wait for its
-- source.
SELECT set_config('plan_cache_mode', 'auto', true), set_config('statement_timeout', '0', true),
    set_config('idle_in_transaction_session_timeout', '0', true),
    CASE WHEN current_setting('server_version_num')::integer >= 170000 THEN set_config('transaction_timeout', '0', true) END

-- take_time --
-- No timeouts for long work; for a transaction or the session.
SELECT set_config('statement_timeout', '0', %(local)s), set_config('idle_in_transaction_session_timeout', '0', %(local)s),
    CASE WHEN current_setting('server_version_num')::integer >= 170000 THEN set_config('transaction_timeout', '0', %(local)s) END

-- hold_indexes --
-- Serialize copies that drop and rebuild the indexes of one store.
SELECT pg_advisory_xact_lock(8317441095320004)

-- hold_logs --
-- Serialize copies that write the logs of one store: logs have no unique key against duplicates.
SELECT pg_advisory_xact_lock(8317441095320005)

-- list_indexes --
-- Indexes that serve reads only, each with its DROP and CREATE statements; without those that a copy itself uses.
SELECT format('DROP INDEX %s', i.indexrelid::regclass) AS "drop", pg_get_indexdef(i.indexrelid) AS "create"
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid IN (/*copied_classes*/)
AND NOT i.indisunique AND i.indisvalid
AND c.relname NOT IN ('idx_review_events_memory', 'idx_supersession_events_loser', 'idx_knowledge_nodes_superseded_by')
ORDER BY c.relname

-- more_memory --
-- Raise maintenance_work_mem to at least 256 MB for faster index builds.
SELECT set_config('maintenance_work_mem', greatest(pg_size_bytes(current_setting('maintenance_work_mem')), pg_size_bytes('256MB')) / 1024
    || 'kB', true)

-- rebuild_winners --
-- Rebuild the cached winners from the log.
UPDATE knowledge_nodes m SET superseded_by = e.winner_id
FROM (SELECT coalesce(l.loser_id, n.id) AS id, l.winner_id FROM (SELECT DISTINCT ON (v.loser_id) v.loser_id, v.winner_id
    FROM supersession_events v ORDER BY v.loser_id, v.decided_at DESC, v.id DESC) l
    FULL JOIN (SELECT id FROM knowledge_nodes WHERE superseded_by IS NOT NULL) n ON n.id = l.loser_id) e
WHERE e.id = m.id AND m.superseded_by IS DISTINCT FROM e.winner_id

-- analyze_target --
-- Update planner statistics.
ANALYZE knowledge_nodes, node_embeddings, scheduling, edges, review_events, supersession_events
