-- Writes of a copy to a PostgreSQL target, table by table: COPY loads a batch into a temporary staging table, and a
-- merge inserts the missing rows. ord is the row's position in the batch.

-- any_users --
-- Check for users other than the initial one.
SELECT true AS there FROM users WHERE id <> '00000000-0000-0000-0000-000000000001' LIMIT 1

-- stage_users --
-- Staging table of a batch.
CREATE TEMP TABLE IF NOT EXISTS stage_users (ord integer, id uuid, handle text, display_name text, created_at timestamptz,
    metadata jsonb) ON COMMIT DELETE ROWS

-- load_users --
-- Load a batch into the staging table.
COPY stage_users (ord, id, handle, display_name, created_at, metadata) FROM STDIN (FORMAT binary)

-- present_users --
-- Rows of the batch that exist in the target.
SELECT s.ord FROM stage_users s JOIN users t ON t.id = s.id

-- merge_users --
-- Insert missing users; a handle taken in the target gets the head of the id appended.
INSERT INTO users (id, handle, display_name, created_at, metadata)
SELECT s.id, CASE WHEN EXISTS (SELECT 1 FROM users t WHERE t.handle = s.handle AND t.id <> s.id)
    THEN s.handle || '-' || left(s.id::text, 8) ELSE s.handle END, s.display_name, s.created_at, s.metadata
FROM stage_users s WHERE s.ord BETWEEN %(low)s AND %(high)s ORDER BY s.ord ON CONFLICT DO NOTHING

-- update_users --
-- Update rows from the source, with the same rule for handles.
UPDATE users t SET handle = CASE WHEN EXISTS (SELECT 1 FROM users o WHERE o.handle = s.handle AND o.id <> s.id)
    THEN s.handle || '-' || left(s.id::text, 8) ELSE s.handle END, display_name = s.display_name, created_at = s.created_at,
    metadata = s.metadata
FROM stage_users s WHERE t.id = s.id AND s.ord BETWEEN %(low)s AND %(high)s

-- delete_users --
-- Delete rows that the source deleted, unless they own memories in the target.
DELETE FROM users t USING stage_users s WHERE t.id = s.id AND NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.owner_user_id = t.id)

-- any_groups --
-- Check for any rows.
SELECT true AS there FROM groups LIMIT 1

-- stage_groups --
-- Staging table of a batch.
CREATE TEMP TABLE IF NOT EXISTS stage_groups (ord integer, id uuid, handle text, display_name text, created_at timestamptz,
    metadata jsonb) ON COMMIT DELETE ROWS

-- load_groups --
-- Load a batch into the staging table.
COPY stage_groups (ord, id, handle, display_name, created_at, metadata) FROM STDIN (FORMAT binary)

-- present_groups --
-- Rows of the batch that exist in the target.
SELECT s.ord FROM stage_groups s JOIN groups t ON t.id = s.id

-- merge_groups --
-- Insert missing groups; a handle taken in the target gets the head of the id appended.
INSERT INTO groups (id, handle, display_name, created_at, metadata)
SELECT s.id, CASE WHEN EXISTS (SELECT 1 FROM groups t WHERE t.handle = s.handle AND t.id <> s.id)
    THEN s.handle || '-' || left(s.id::text, 8) ELSE s.handle END, s.display_name, s.created_at, s.metadata
FROM stage_groups s WHERE s.ord BETWEEN %(low)s AND %(high)s ORDER BY s.ord ON CONFLICT DO NOTHING

-- update_groups --
-- Update rows from the source, with the same rule for handles.
UPDATE groups t SET handle = CASE WHEN EXISTS (SELECT 1 FROM groups o WHERE o.handle = s.handle AND o.id <> s.id)
    THEN s.handle || '-' || left(s.id::text, 8) ELSE s.handle END, display_name = s.display_name, created_at = s.created_at,
    metadata = s.metadata
FROM stage_groups s WHERE t.id = s.id AND s.ord BETWEEN %(low)s AND %(high)s

-- delete_groups --
-- Delete rows that the source deleted.
DELETE FROM groups t USING stage_groups s WHERE t.id = s.id

-- any_memberships --
-- Check for any rows.
SELECT true AS there FROM group_memberships LIMIT 1

-- straight_memberships --
-- Load a batch without staging, if none of its rows can exist in the target.
COPY group_memberships (user_id, group_id, role, joined_at) FROM STDIN (FORMAT binary)

-- stage_memberships --
-- Staging table of a batch.
CREATE TEMP TABLE IF NOT EXISTS stage_memberships (ord integer, user_id uuid, group_id uuid, role text, joined_at timestamptz)
ON COMMIT DELETE ROWS

-- load_memberships --
-- Load a batch into the staging table.
COPY stage_memberships (ord, user_id, group_id, role, joined_at) FROM STDIN (FORMAT binary)

-- orphans_memberships --
-- Rows of the batch without their user or group.
SELECT s.ord, 'its user or group is not there' AS reason FROM stage_memberships s
WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.id = s.user_id) OR NOT EXISTS (SELECT 1 FROM groups g WHERE g.id = s.group_id)

-- present_memberships --
-- Rows of the batch that exist in the target.
SELECT s.ord FROM stage_memberships s JOIN group_memberships t ON t.user_id = s.user_id AND t.group_id = s.group_id

-- merge_memberships --
-- Insert missing rows.
INSERT INTO group_memberships (user_id, group_id, role, joined_at) SELECT s.user_id, s.group_id, s.role, s.joined_at
FROM stage_memberships s JOIN users u ON u.id = s.user_id JOIN groups g ON g.id = s.group_id
WHERE s.ord BETWEEN %(low)s AND %(high)s ORDER BY s.ord ON CONFLICT DO NOTHING

-- update_memberships --
-- Update rows from the source.
UPDATE group_memberships t SET role = s.role, joined_at = s.joined_at
FROM stage_memberships s WHERE t.user_id = s.user_id AND t.group_id = s.group_id AND s.ord BETWEEN %(low)s AND %(high)s

-- delete_memberships --
-- Delete rows that the source deleted.
DELETE FROM group_memberships t USING stage_memberships s WHERE t.user_id = s.user_id AND t.group_id = s.group_id

-- any_domains --
-- Check for any rows.
SELECT true AS there FROM domains LIMIT 1

-- straight_domains --
-- Load a batch without staging, if none of its rows can exist in the target.
COPY domains (id, label, centroid, top_terms, memory_count, created_at, metadata) FROM STDIN (FORMAT binary)

-- stage_domains --
-- Staging table of a batch.
CREATE TEMP TABLE IF NOT EXISTS stage_domains (ord integer, id text, label text, centroid vector, top_terms text[],
    memory_count integer, created_at timestamptz, metadata jsonb) ON COMMIT DELETE ROWS

-- load_domains --
-- Load a batch into the staging table.
COPY stage_domains (ord, id, label, centroid, top_terms, memory_count, created_at, metadata) FROM STDIN (FORMAT binary)

-- present_domains --
-- Rows of the batch that exist in the target.
SELECT s.ord FROM stage_domains s JOIN domains t ON t.id = s.id

-- merge_domains --
-- Insert missing rows.
INSERT INTO domains (id, label, centroid, top_terms, memory_count, created_at, metadata)
SELECT s.id, s.label, s.centroid, s.top_terms, s.memory_count, s.created_at, s.metadata
FROM stage_domains s WHERE s.ord BETWEEN %(low)s AND %(high)s ORDER BY s.ord ON CONFLICT DO NOTHING

-- update_domains --
-- Update rows from the source.
UPDATE domains t SET label = s.label, centroid = s.centroid, top_terms = s.top_terms, memory_count = s.memory_count,
    created_at = s.created_at, metadata = s.metadata
FROM stage_domains s WHERE t.id = s.id AND s.ord BETWEEN %(low)s AND %(high)s

-- delete_domains --
-- Delete rows that the source deleted.
DELETE FROM domains t USING stage_domains s WHERE t.id = s.id

-- any_memories --
-- Check for any rows.
SELECT true AS there FROM knowledge_nodes LIMIT 1

-- straight_memories --
-- Load a batch without staging, if none of its rows can exist in the target.
COPY knowledge_nodes (id, content, node_type, tags, metadata, domains, domain_scores, codebase, owner_user_id, visibility,
    shared_with_groups, created_at, updated_at) FROM STDIN (FORMAT binary)

-- stage_memories --
-- Staging table of a batch.
CREATE TEMP TABLE IF NOT EXISTS stage_memories (ord integer, id uuid, content text, node_type text, tags text[], metadata jsonb,
    domains text[], domain_scores jsonb, codebase text, owner_user_id uuid, visibility text, shared_with_groups uuid[],
    created_at timestamptz, updated_at timestamptz) ON COMMIT DELETE ROWS

-- load_memories --
-- Load a batch into the staging table.
COPY stage_memories (ord, id, content, node_type, tags, metadata, domains, domain_scores, codebase, owner_user_id, visibility,
    shared_with_groups, created_at, updated_at) FROM STDIN (FORMAT binary)

-- present_memories --
-- Rows of the batch that exist in the target.
SELECT s.ord FROM stage_memories s JOIN knowledge_nodes t ON t.id = s.id

-- merge_memories --
-- Insert missing rows; existing ones stay unchanged.
INSERT INTO knowledge_nodes (id, content, node_type, tags, metadata, domains, domain_scores, codebase, owner_user_id, visibility,
    shared_with_groups, created_at, updated_at)
SELECT s.id, s.content, s.node_type, s.tags, s.metadata, s.domains, s.domain_scores, s.codebase, s.owner_user_id, s.visibility,
    s.shared_with_groups, s.created_at, s.updated_at
FROM stage_memories s WHERE s.ord BETWEEN %(low)s AND %(high)s ORDER BY s.ord ON CONFLICT DO NOTHING

-- update_memories --
-- Update rows from the source.
UPDATE knowledge_nodes t SET content = s.content, node_type = s.node_type, tags = s.tags, metadata = s.metadata, domains = s.domains,
    domain_scores = s.domain_scores, codebase = s.codebase, owner_user_id = s.owner_user_id, visibility = s.visibility,
    shared_with_groups = s.shared_with_groups, created_at = s.created_at, updated_at = s.updated_at
FROM stage_memories s WHERE t.id = s.id AND s.ord BETWEEN %(low)s AND %(high)s

-- settle_memories --
-- Restore the source's edit time, which a trigger has overwritten.
UPDATE knowledge_nodes t SET updated_at = s.updated_at FROM stage_memories s
WHERE t.id = s.id AND t.updated_at IS DISTINCT FROM s.updated_at

-- free_memories --
-- Clear the cached winner before the delete, so that no event is created here: the source's own events follow.
UPDATE knowledge_nodes t SET superseded_by = NULL FROM stage_memories s WHERE t.superseded_by = s.id

-- delete_memories --
-- Delete rows that the source deleted; dependent rows cascade.
DELETE FROM knowledge_nodes t USING stage_memories s WHERE t.id = s.id

-- any_vectors --
-- Check for any rows.
SELECT true AS there FROM node_embeddings LIMIT 1

-- straight_vectors --
-- Load a batch without staging, if none of its rows can exist in the target.
COPY node_embeddings (node_id, embedding) FROM STDIN (FORMAT binary)

-- stage_vectors --
-- Staging table of a batch; vectors arrive in single precision, the target may use halfvec.
CREATE TEMP TABLE IF NOT EXISTS stage_vectors (ord integer, node_id uuid, embedding vector, updated_at timestamptz)
ON COMMIT DELETE ROWS

-- load_vectors --
-- Load a batch into the staging table.
COPY stage_vectors (ord, node_id, embedding, updated_at) FROM STDIN (FORMAT binary)

-- orphans_vectors --
-- Vectors without their memory, or of memories that were edited in the target and have no vector there.
SELECT s.ord, CASE WHEN m.id IS NULL THEN 'its memory is not there' ELSE 'its memory was edited in the target' END AS reason
FROM stage_vectors s LEFT JOIN knowledge_nodes m ON m.id = s.node_id
WHERE m.id IS NULL OR (m.updated_at IS DISTINCT FROM s.updated_at
    AND NOT EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = s.node_id))

-- belong_vectors --
-- Any of the memories that is missing or has another edit time, in microseconds since 2000.
SELECT true AS amiss FROM unnest(%(keys)s::uuid[], %(times)s::bigint[]) AS s (id, at) LEFT JOIN knowledge_nodes m ON m.id = s.id
WHERE m.updated_at IS DISTINCT FROM timestamptz '2000-01-01 00:00:00+00' + s.at * interval '1 microsecond' LIMIT 1

-- present_vectors --
-- Rows of the batch that exist in the target.
SELECT s.ord FROM stage_vectors s JOIN node_embeddings t ON t.node_id = s.node_id

-- merge_vectors --
-- Insert missing rows.
INSERT INTO node_embeddings (node_id, embedding) SELECT s.node_id, s.embedding::{vector}
FROM stage_vectors s JOIN knowledge_nodes m ON m.id = s.node_id AND m.updated_at IS NOT DISTINCT FROM s.updated_at
WHERE s.ord BETWEEN %(low)s AND %(high)s ORDER BY s.ord ON CONFLICT DO NOTHING

-- update_vectors --
-- Update vectors if the memory's edit time matches the source's.
UPDATE node_embeddings t SET embedding = s.embedding::{vector}
FROM stage_vectors s JOIN knowledge_nodes m ON m.id = s.node_id AND m.updated_at IS NOT DISTINCT FROM s.updated_at
WHERE t.node_id = s.node_id AND s.ord BETWEEN %(low)s AND %(high)s

-- delete_vectors --
-- Delete rows that the source deleted.
DELETE FROM node_embeddings t USING stage_vectors s WHERE t.node_id = s.node_id

-- any_scheduling --
-- Check for any rows.
SELECT true AS there FROM scheduling LIMIT 1

-- straight_scheduling --
-- Load a batch without staging, if none of its rows can exist in the target.
COPY scheduling (memory_id, stability, difficulty, retrievability, last_review, next_review, reps, lapses) FROM STDIN (FORMAT binary)

-- stage_scheduling --
-- Staging table of a batch.
CREATE TEMP TABLE IF NOT EXISTS stage_scheduling (ord integer, memory_id uuid, stability double precision,
    difficulty double precision, retrievability double precision, last_review timestamptz, next_review timestamptz,
    reps integer, lapses integer) ON COMMIT DELETE ROWS

-- load_scheduling --
-- Load a batch into the staging table.
COPY stage_scheduling (ord, memory_id, stability, difficulty, retrievability, last_review, next_review, reps, lapses)
FROM STDIN (FORMAT binary)

-- orphans_scheduling --
-- Rows of the batch without their memory.
SELECT s.ord, 'its memory is not there' AS reason FROM stage_scheduling s
WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = s.memory_id)

-- present_scheduling --
-- Rows of the batch that exist in the target.
SELECT s.ord FROM stage_scheduling s JOIN scheduling t ON t.memory_id = s.memory_id

-- merge_scheduling --
-- Insert missing rows.
INSERT INTO scheduling (memory_id, stability, difficulty, retrievability, last_review, next_review, reps, lapses)
SELECT s.memory_id, s.stability, s.difficulty, s.retrievability, s.last_review, s.next_review, s.reps, s.lapses
FROM stage_scheduling s JOIN knowledge_nodes m ON m.id = s.memory_id
WHERE s.ord BETWEEN %(low)s AND %(high)s ORDER BY s.ord ON CONFLICT DO NOTHING

-- update_scheduling --
-- Update rows from the source.
UPDATE scheduling t SET stability = s.stability, difficulty = s.difficulty, retrievability = s.retrievability,
    last_review = s.last_review, next_review = s.next_review, reps = s.reps, lapses = s.lapses
FROM stage_scheduling s WHERE t.memory_id = s.memory_id AND s.ord BETWEEN %(low)s AND %(high)s

-- delete_scheduling --
-- Delete rows that the source deleted.
DELETE FROM scheduling t USING stage_scheduling s WHERE t.memory_id = s.memory_id

-- any_edges --
-- Check for any rows.
SELECT true AS there FROM edges LIMIT 1

-- straight_edges --
-- Load a batch without staging, if none of its rows can exist in the target.
COPY edges (source_id, target_id, edge_type, weight, created_at) FROM STDIN (FORMAT binary)

-- stage_edges --
-- Staging table of a batch.
CREATE TEMP TABLE IF NOT EXISTS stage_edges (ord integer, source_id uuid, target_id uuid, edge_type text, weight double precision,
    created_at timestamptz) ON COMMIT DELETE ROWS

-- load_edges --
-- Load a batch into the staging table.
COPY stage_edges (ord, source_id, target_id, edge_type, weight, created_at) FROM STDIN (FORMAT binary)

-- orphans_edges --
-- Rows of the batch without one of their memories.
SELECT s.ord, 'one of its memories is not there' AS reason FROM stage_edges s
WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = s.source_id)
OR NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = s.target_id)

-- present_edges --
-- Rows of the batch that exist in the target.
SELECT s.ord FROM stage_edges s
JOIN edges t ON t.source_id = s.source_id AND t.target_id = s.target_id AND t.edge_type = s.edge_type

-- merge_edges --
-- Insert missing rows.
INSERT INTO edges (source_id, target_id, edge_type, weight, created_at)
SELECT s.source_id, s.target_id, s.edge_type, s.weight, s.created_at
FROM stage_edges s JOIN knowledge_nodes a ON a.id = s.source_id JOIN knowledge_nodes b ON b.id = s.target_id
WHERE s.ord BETWEEN %(low)s AND %(high)s ORDER BY s.ord ON CONFLICT DO NOTHING

-- update_edges --
-- Update rows from the source.
UPDATE edges t SET weight = s.weight, created_at = s.created_at
FROM stage_edges s WHERE t.source_id = s.source_id AND t.target_id = s.target_id AND t.edge_type = s.edge_type AND s.ord BETWEEN %(low)s AND %(high)s

-- delete_edges --
-- Delete rows that the source deleted.
DELETE FROM edges t USING stage_edges s WHERE t.source_id = s.source_id AND t.target_id = s.target_id AND t.edge_type = s.edge_type

-- any_reviews --
-- Check for any rows.
SELECT true AS there FROM review_events LIMIT 1

-- straight_reviews --
-- Load a batch without staging, if none of its rows can exist in the target.
COPY review_events (memory_id, timestamp, rating, prior_state, new_state) FROM STDIN (FORMAT binary)

-- stage_reviews --
-- Staging table of a batch; alike is the number of equal reviews before.
CREATE TEMP TABLE IF NOT EXISTS stage_reviews (ord integer, memory_id uuid, timestamp timestamptz, rating smallint,
    prior_state jsonb, new_state jsonb, alike integer, undone_memory_id uuid, undone_timestamp timestamptz, undone_rating smallint,
    undone_alike integer) ON COMMIT DELETE ROWS

-- load_reviews --
-- Load a batch into the staging table.
COPY stage_reviews (ord, memory_id, timestamp, rating, prior_state, new_state, alike, undone_memory_id, undone_timestamp,
    undone_rating, undone_alike) FROM STDIN (FORMAT binary)

-- orphans_reviews --
-- Rows of the batch without their memory.
SELECT s.ord, 'its memory is not there' AS reason FROM stage_reviews s
WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = s.memory_id)

-- logged_reviews --
-- Any review that exists in the target, by memory and time in microseconds since 2000. The lateral join forces one
-- index lookup each, since the planner has no statistics yet.
SELECT true AS there FROM unnest(%(keys)s::uuid[], %(times)s::bigint[]) AS s (id, at) CROSS JOIN LATERAL (
    SELECT FROM review_events v WHERE v.memory_id = s.id
    AND v.timestamp = timestamptz '2000-01-01 00:00:00+00' + s.at * interval '1 microsecond' LIMIT 1) v LIMIT 1

-- present_reviews --
-- Rows of the batch that exist in the target.
SELECT s.ord FROM stage_reviews s WHERE s.alike < (SELECT count(*) FROM review_events t
    WHERE t.memory_id = s.memory_id AND t.timestamp = s.timestamp AND t.rating = s.rating)

-- merge_reviews --
-- Insert missing rows, in the source's order.
INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state)
SELECT s.memory_id, s.timestamp, s.rating, s.prior_state, s.new_state
FROM stage_reviews s JOIN knowledge_nodes m ON m.id = s.memory_id
WHERE s.ord BETWEEN %(low)s AND %(high)s AND s.alike >= (SELECT count(*) FROM review_events t
    WHERE t.memory_id = s.memory_id AND t.timestamp = s.timestamp AND t.rating = s.rating)
ORDER BY s.ord

-- update_reviews --
-- Update reviews, with the link to the review that each undoes.
UPDATE review_events v SET prior_state = s.prior_state, new_state = s.new_state,
    undoes = (SELECT u.id FROM review_events u WHERE u.memory_id = s.undone_memory_id AND u.timestamp = s.undone_timestamp
        AND u.rating = s.undone_rating ORDER BY u.id OFFSET s.undone_alike LIMIT 1)
FROM stage_reviews s WHERE s.ord BETWEEN %(low)s AND %(high)s
AND v.id = (SELECT t.id FROM review_events t WHERE t.memory_id = s.memory_id AND t.timestamp = s.timestamp
    AND t.rating = s.rating ORDER BY t.id OFFSET s.alike LIMIT 1)

-- link_reviews --
-- Link undos to their reviews: both have new ids in the target.
UPDATE review_events v SET undoes = (SELECT u.id FROM review_events u WHERE u.memory_id = s.undone_memory_id
    AND u.timestamp = s.undone_timestamp AND u.rating = s.undone_rating ORDER BY u.id OFFSET s.undone_alike LIMIT 1)
FROM stage_reviews s WHERE s.undone_memory_id IS NOT NULL AND v.undoes IS NULL
AND v.id = (SELECT t.id FROM review_events t WHERE t.memory_id = s.memory_id AND t.timestamp = s.timestamp
    AND t.rating = s.rating ORDER BY t.id OFFSET s.alike LIMIT 1)

-- delete_reviews --
-- Delete reviews that the source deleted; alike selects one of equal ones.
DELETE FROM review_events WHERE id IN (SELECT (SELECT t.id FROM review_events t WHERE t.memory_id = s.memory_id
    AND t.timestamp = s.timestamp AND t.rating = s.rating ORDER BY t.id OFFSET s.alike LIMIT 1) FROM stage_reviews s)

-- any_supersession --
-- Check for any rows.
SELECT true AS there FROM supersession_events LIMIT 1

-- straight_supersession --
-- Load a batch without staging, if none of its rows can exist in the target.
COPY supersession_events (loser_id, winner_id, kind, decided_at) FROM STDIN (FORMAT binary)

-- stage_supersession --
-- Staging table of a batch; alike is the number of equal events before.
CREATE TEMP TABLE IF NOT EXISTS stage_supersession (ord integer, loser_id uuid, winner_id uuid, kind text, decided_at timestamptz,
    alike integer) ON COMMIT DELETE ROWS

-- load_supersession --
-- Load a batch into the staging table.
COPY stage_supersession (ord, loser_id, winner_id, kind, decided_at, alike) FROM STDIN (FORMAT binary)

-- orphans_supersession --
-- Rows of the batch without their memory.
SELECT s.ord, 'its memory is not there' AS reason FROM stage_supersession s
WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = s.loser_id)

-- logged_supersession --
-- Any supersession event that exists in the target, by the same lookups.
SELECT true AS there FROM unnest(%(keys)s::uuid[], %(times)s::bigint[]) AS s (id, at) CROSS JOIN LATERAL (
    SELECT FROM supersession_events v WHERE v.loser_id = s.id
    AND v.decided_at = timestamptz '2000-01-01 00:00:00+00' + s.at * interval '1 microsecond' LIMIT 1) v LIMIT 1

-- present_supersession --
-- Rows of the batch that exist in the target.
SELECT s.ord FROM stage_supersession s WHERE s.alike < (SELECT count(*) FROM supersession_events t
    WHERE t.loser_id = s.loser_id AND t.winner_id IS NOT DISTINCT FROM s.winner_id AND t.kind = s.kind
    AND t.decided_at = s.decided_at)

-- merge_supersession --
-- Insert missing rows, in the source's order.
INSERT INTO supersession_events (loser_id, winner_id, kind, decided_at)
SELECT s.loser_id, s.winner_id, s.kind, s.decided_at FROM stage_supersession s JOIN knowledge_nodes m ON m.id = s.loser_id
WHERE s.ord BETWEEN %(low)s AND %(high)s AND s.alike >= (SELECT count(*) FROM supersession_events t
    WHERE t.loser_id = s.loser_id AND t.winner_id IS NOT DISTINCT FROM s.winner_id AND t.kind = s.kind
    AND t.decided_at = s.decided_at)
ORDER BY s.ord

-- delete_supersession --
-- Delete events that the source deleted; alike selects one of equal ones.
DELETE FROM supersession_events WHERE id IN (SELECT (SELECT t.id FROM supersession_events t WHERE t.loser_id = s.loser_id
    AND t.winner_id IS NOT DISTINCT FROM s.winner_id AND t.kind = s.kind AND t.decided_at = s.decided_at
    ORDER BY t.id OFFSET s.alike LIMIT 1) FROM stage_supersession s)

-- any_marks --
-- Check for any rows.
SELECT true AS there FROM review_marks LIMIT 1

-- straight_marks --
-- Load a batch without staging, if none of its rows can exist in the target.
COPY review_marks (memory_id, suspended, buried_until) FROM STDIN (FORMAT binary)

-- stage_marks --
-- Staging table of a batch.
CREATE TEMP TABLE IF NOT EXISTS stage_marks (ord integer, memory_id uuid, suspended boolean, buried_until timestamptz)
ON COMMIT DELETE ROWS

-- load_marks --
-- Load a batch into the staging table.
COPY stage_marks (ord, memory_id, suspended, buried_until) FROM STDIN (FORMAT binary)

-- orphans_marks --
-- Rows of the batch without their memory.
SELECT s.ord, 'its memory is not there' AS reason FROM stage_marks s
WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = s.memory_id)

-- present_marks --
-- Rows of the batch that exist in the target.
SELECT s.ord FROM stage_marks s JOIN review_marks t ON t.memory_id = s.memory_id

-- merge_marks --
-- Insert missing rows.
INSERT INTO review_marks (memory_id, suspended, buried_until) SELECT s.memory_id, s.suspended, s.buried_until
FROM stage_marks s JOIN knowledge_nodes m ON m.id = s.memory_id
WHERE s.ord BETWEEN %(low)s AND %(high)s ORDER BY s.ord ON CONFLICT DO NOTHING

-- update_marks --
-- Update rows from the source.
UPDATE review_marks t SET suspended = s.suspended, buried_until = s.buried_until
FROM stage_marks s WHERE t.memory_id = s.memory_id AND s.ord BETWEEN %(low)s AND %(high)s

-- delete_marks --
-- Delete rows that the source deleted.
DELETE FROM review_marks t USING stage_marks s WHERE t.memory_id = s.memory_id

-- keep_plans --
-- Reuse plans of foreign key checks, unlike searches, which need custom plans; no timeouts, as a batch may wait for its
-- source.
SELECT set_config('plan_cache_mode', 'auto', true), set_config('statement_timeout', '0', true),
    set_config('idle_in_transaction_session_timeout', '0', true)

-- take_time --
-- No timeouts for long work; for a transaction or the session.
SELECT set_config('statement_timeout', '0', %(local)s), set_config('idle_in_transaction_session_timeout', '0', %(local)s)

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
WHERE i.indrelid IN ('domains'::regclass, 'knowledge_nodes'::regclass, 'node_embeddings'::regclass, 'scheduling'::regclass,
    'edges'::regclass, 'review_events'::regclass, 'supersession_events'::regclass, 'review_marks'::regclass)
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
