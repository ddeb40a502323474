-- How a copy writes a SQLite store of ours, row by row within a batch's transaction: a row that is refused takes nothing
-- with it. A value is called as the column that it goes to; what is there stays as it is.

-- any_users --
-- Is anybody here but the user that a store begins with?
SELECT 1 AS there FROM users WHERE id <> '00000000-0000-0000-0000-000000000001' LIMIT 1

-- merge_users --
-- A handle that another user has here gets the beginning of its id added.
INSERT INTO users (id, handle, display_name, created_at, metadata) VALUES (:id,
    CASE WHEN EXISTS (SELECT 1 FROM users t WHERE t.handle = :handle AND t.id <> :id) THEN :handle || '-' || substr(:id, 1, 8) ELSE :handle END,
    :display_name, :created_at, :metadata) ON CONFLICT DO NOTHING

-- update_users --
-- As the source has it, with the same care for its handle.
INSERT INTO users (id, handle, display_name, created_at, metadata) VALUES (:id,
    CASE WHEN EXISTS (SELECT 1 FROM users t WHERE t.handle = :handle AND t.id <> :id) THEN :handle || '-' || substr(:id, 1, 8) ELSE :handle END,
    :display_name, :created_at, :metadata)
ON CONFLICT (id) DO UPDATE SET handle = excluded.handle, display_name = excluded.display_name, created_at = excluded.created_at,
    metadata = excluded.metadata

-- delete_users --
-- One that is gone in the source.
DELETE FROM users WHERE id = :id

-- any_groups --
-- Is anything here?
SELECT 1 AS there FROM groups LIMIT 1

-- merge_groups --
-- A handle that another group has here gets the beginning of its id added.
INSERT INTO groups (id, handle, display_name, created_at, metadata) VALUES (:id,
    CASE WHEN EXISTS (SELECT 1 FROM groups t WHERE t.handle = :handle AND t.id <> :id) THEN :handle || '-' || substr(:id, 1, 8) ELSE :handle END,
    :display_name, :created_at, :metadata) ON CONFLICT DO NOTHING

-- update_groups --
-- As the source has it, with the same care for its handle.
INSERT INTO groups (id, handle, display_name, created_at, metadata) VALUES (:id,
    CASE WHEN EXISTS (SELECT 1 FROM groups t WHERE t.handle = :handle AND t.id <> :id) THEN :handle || '-' || substr(:id, 1, 8) ELSE :handle END,
    :display_name, :created_at, :metadata)
ON CONFLICT (id) DO UPDATE SET handle = excluded.handle, display_name = excluded.display_name, created_at = excluded.created_at,
    metadata = excluded.metadata

-- delete_groups --
-- One that is gone in the source.
DELETE FROM groups WHERE id = :id

-- any_memberships --
-- Is anything here?
SELECT 1 AS there FROM group_memberships LIMIT 1

-- orphans_memberships --
-- Why a row has no place: its user or group is not there.
SELECT 'its user or group is not there' AS reason
WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.id = :user_id) OR NOT EXISTS (SELECT 1 FROM groups g WHERE g.id = :group_id)

-- merge_memberships --
-- What is not there yet.
INSERT INTO group_memberships (user_id, group_id, role, joined_at) VALUES (:user_id, :group_id, :role, :joined_at) ON CONFLICT DO NOTHING

-- update_memberships --
-- As the source has it.
INSERT INTO group_memberships (user_id, group_id, role, joined_at) VALUES (:user_id, :group_id, :role, :joined_at)
ON CONFLICT (user_id, group_id) DO UPDATE SET role = excluded.role, joined_at = excluded.joined_at

-- delete_memberships --
-- One that is gone in the source.
DELETE FROM group_memberships WHERE user_id = :user_id AND group_id = :group_id

-- any_domains --
-- Is anything here?
SELECT 1 AS there FROM domains LIMIT 1

-- merge_domains --
-- What is not there yet.
INSERT INTO domains (id, label, centroid, top_terms, memory_count, created_at, metadata)
VALUES (:id, :label, :centroid, :top_terms, :memory_count, :created_at, :metadata) ON CONFLICT DO NOTHING

-- update_domains --
-- As the source has it.
INSERT INTO domains (id, label, centroid, top_terms, memory_count, created_at, metadata)
VALUES (:id, :label, :centroid, :top_terms, :memory_count, :created_at, :metadata)
ON CONFLICT (id) DO UPDATE SET label = excluded.label, centroid = excluded.centroid, top_terms = excluded.top_terms,
    memory_count = excluded.memory_count, created_at = excluded.created_at, metadata = excluded.metadata

-- delete_domains --
-- One that is gone in the source.
DELETE FROM domains WHERE id = :id

-- any_memories --
-- Is anything here?
SELECT 1 AS there FROM knowledge_nodes LIMIT 1

-- merge_memories --
-- What is not there yet; what is there stays as it is.
INSERT INTO knowledge_nodes (id, content, node_type, tags, metadata, domains, domain_scores, codebase, owner_user_id, visibility,
    shared_with_groups, created_at, updated_at)
VALUES (:id, :content, :node_type, :tags, :metadata, :domains, :domain_scores, :codebase, :owner_user_id, :visibility,
    :shared_with_groups, :created_at, :updated_at) ON CONFLICT DO NOTHING

-- update_memories --
-- As the source has it.
INSERT INTO knowledge_nodes (id, content, node_type, tags, metadata, domains, domain_scores, codebase, owner_user_id, visibility,
    shared_with_groups, created_at, updated_at)
VALUES (:id, :content, :node_type, :tags, :metadata, :domains, :domain_scores, :codebase, :owner_user_id, :visibility,
    :shared_with_groups, :created_at, :updated_at)
ON CONFLICT (id) DO UPDATE SET content = excluded.content, node_type = excluded.node_type, tags = excluded.tags,
    metadata = excluded.metadata, domains = excluded.domains, domain_scores = excluded.domain_scores, codebase = excluded.codebase,
    owner_user_id = excluded.owner_user_id, visibility = excluded.visibility, shared_with_groups = excluded.shared_with_groups,
    created_at = excluded.created_at, updated_at = excluded.updated_at

-- settle_memories --
-- An edit that kept its time in the source keeps it here, where a trigger has taken it for a new one.
UPDATE knowledge_nodes SET updated_at = :updated_at WHERE id = :id AND updated_at <> :updated_at

-- free_memories --
-- What a memory replaced is given back by the source's own decisions, which come along, not by a new one made here.
UPDATE knowledge_nodes SET superseded_by = NULL WHERE superseded_by = :id

-- delete_memories --
-- One that is gone in the source, with all that belongs to it.
DELETE FROM knowledge_nodes WHERE id = :id

-- any_vectors --
-- Is anything here?
SELECT 1 AS there FROM node_embeddings LIMIT 1

-- orphans_vectors --
-- Why a vector has no place: its memory is not there, or was edited since in the target and has no vector there.
SELECT CASE WHEN m.id IS NULL THEN 'its memory is not there' ELSE 'its memory was edited in the target' END AS reason
FROM (SELECT :node_id AS id) s LEFT JOIN knowledge_nodes m ON m.id = s.id
WHERE m.id IS NULL OR (m.updated_at IS NOT :updated_at AND NOT EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = s.id))

-- merge_vectors --
-- What is not there yet, where the memory is in the state that the vector is of.
INSERT INTO node_embeddings (node_id, embedding) SELECT m.id, :embedding FROM knowledge_nodes m
WHERE m.id = :node_id AND m.updated_at IS :updated_at ON CONFLICT DO NOTHING

-- update_vectors --
-- As the source has it, where the memory is in that state: the old one goes, and the new one gets a number of its own,
-- by which readers find it.
DELETE FROM node_embeddings WHERE node_id = :node_id
AND EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = :node_id AND m.updated_at IS :updated_at)

-- settle_vectors --
-- The new one.
/*= merge_vectors */

-- delete_vectors --
-- One that is gone in the source.
DELETE FROM node_embeddings WHERE node_id = :node_id

-- any_scheduling --
-- Is anything here?
SELECT 1 AS there FROM scheduling LIMIT 1

-- orphans_scheduling --
-- Why a row has no place: its memory is not there.
SELECT 'its memory is not there' AS reason WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = :memory_id)

-- merge_scheduling --
-- What is not there yet.
INSERT INTO scheduling (memory_id, stability, difficulty, retrievability, last_review, next_review, reps, lapses)
VALUES (:memory_id, :stability, :difficulty, :retrievability, :last_review, :next_review, :reps, :lapses) ON CONFLICT DO NOTHING

-- update_scheduling --
-- As the source has it.
INSERT INTO scheduling (memory_id, stability, difficulty, retrievability, last_review, next_review, reps, lapses)
VALUES (:memory_id, :stability, :difficulty, :retrievability, :last_review, :next_review, :reps, :lapses)
ON CONFLICT (memory_id) DO UPDATE SET stability = excluded.stability, difficulty = excluded.difficulty,
    retrievability = excluded.retrievability, last_review = excluded.last_review, next_review = excluded.next_review,
    reps = excluded.reps, lapses = excluded.lapses

-- delete_scheduling --
-- One that is gone in the source.
DELETE FROM scheduling WHERE memory_id = :memory_id

-- any_edges --
-- Is anything here?
SELECT 1 AS there FROM edges LIMIT 1

-- orphans_edges --
-- Why a row has no place: one of its memories is not there.
SELECT 'one of its memories is not there' AS reason WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = :source_id)
OR NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = :target_id)

-- merge_edges --
-- What is not there yet.
INSERT INTO edges (source_id, target_id, edge_type, weight, created_at) VALUES (:source_id, :target_id, :edge_type, :weight, :created_at)
ON CONFLICT DO NOTHING

-- update_edges --
-- As the source has it.
INSERT INTO edges (source_id, target_id, edge_type, weight, created_at) VALUES (:source_id, :target_id, :edge_type, :weight, :created_at)
ON CONFLICT (source_id, target_id, edge_type) DO UPDATE SET weight = excluded.weight, created_at = excluded.created_at

-- delete_edges --
-- One that is gone in the source.
DELETE FROM edges WHERE source_id = :source_id AND target_id = :target_id AND edge_type = :edge_type

-- any_reviews --
-- Is anything here?
SELECT 1 AS there FROM review_events LIMIT 1

-- orphans_reviews --
-- Why a row has no place: its memory is not there.
SELECT 'its memory is not there' AS reason WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = :memory_id)

-- merge_reviews --
-- What is not there yet; alike counts the same lines before this one.
INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state)
SELECT :memory_id, :timestamp, :rating, :prior_state, :new_state WHERE :alike >= (SELECT count(*) FROM review_events t
    WHERE t.memory_id = :memory_id AND t.timestamp = :timestamp AND t.rating = :rating)

-- update_reviews --
-- As the source has it, and which line it takes back.
UPDATE review_events SET prior_state = :prior_state, new_state = :new_state,
    undoes = (SELECT u.id FROM review_events u WHERE u.memory_id = :undone_memory_id AND u.timestamp = :undone_timestamp
        AND u.rating = :undone_rating ORDER BY u.id LIMIT 1 OFFSET coalesce(:undone_alike, 0))
WHERE id = (SELECT t.id FROM review_events t WHERE t.memory_id = :memory_id AND t.timestamp = :timestamp
    AND t.rating = :rating ORDER BY t.id LIMIT 1 OFFSET :alike)

-- link_reviews --
-- Which line takes which other back: both have new ids here.
UPDATE review_events SET undoes = (SELECT u.id FROM review_events u WHERE u.memory_id = :undone_memory_id
    AND u.timestamp = :undone_timestamp AND u.rating = :undone_rating ORDER BY u.id LIMIT 1 OFFSET :undone_alike)
WHERE undoes IS NULL AND id = (SELECT t.id FROM review_events t WHERE t.memory_id = :memory_id AND t.timestamp = :timestamp
    AND t.rating = :rating ORDER BY t.id LIMIT 1 OFFSET :alike)

-- delete_reviews --
-- One that is gone in the source.
DELETE FROM review_events WHERE id = (SELECT t.id FROM review_events t WHERE t.memory_id = :memory_id AND t.timestamp = :timestamp
    AND t.rating = :rating ORDER BY t.id LIMIT 1 OFFSET :alike)

-- any_supersession --
-- Is anything here?
SELECT 1 AS there FROM supersession_events LIMIT 1

-- orphans_supersession --
-- Why a row has no place: its memory is not there.
SELECT 'its memory is not there' AS reason WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = :loser_id)

-- merge_supersession --
-- What is not there yet; alike counts the same decisions before this one.
INSERT INTO supersession_events (loser_id, winner_id, kind, decided_at) SELECT :loser_id, :winner_id, :kind, :decided_at
WHERE :alike >= (SELECT count(*) FROM supersession_events t
    WHERE t.loser_id = :loser_id AND t.winner_id IS :winner_id AND t.kind = :kind AND t.decided_at = :decided_at)

-- delete_supersession --
-- One that is gone in the source.
DELETE FROM supersession_events WHERE id = (SELECT t.id FROM supersession_events t WHERE t.loser_id = :loser_id
    AND t.winner_id IS :winner_id AND t.kind = :kind AND t.decided_at = :decided_at ORDER BY t.id LIMIT 1 OFFSET :alike)

-- any_marks --
-- Is anything here?
SELECT 1 AS there FROM review_marks LIMIT 1

-- orphans_marks --
-- Why a row has no place: its memory is not there.
SELECT 'its memory is not there' AS reason WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = :memory_id)

-- merge_marks --
-- What is not there yet.
INSERT INTO review_marks (memory_id, suspended, buried_until) VALUES (:memory_id, :suspended, :buried_until) ON CONFLICT DO NOTHING

-- update_marks --
-- As the source has it.
INSERT INTO review_marks (memory_id, suspended, buried_until) VALUES (:memory_id, :suspended, :buried_until)
ON CONFLICT (memory_id) DO UPDATE SET suspended = excluded.suspended, buried_until = excluded.buried_until

-- delete_marks --
-- One that is gone in the source.
DELETE FROM review_marks WHERE memory_id = :memory_id

-- rebuild_winners --
-- The cache follows the log.
UPDATE knowledge_nodes SET superseded_by = (SELECT v.winner_id FROM supersession_events v WHERE v.loser_id = knowledge_nodes.id
    ORDER BY v.decided_at DESC, v.id DESC LIMIT 1)
WHERE superseded_by IS NOT (SELECT v.winner_id FROM supersession_events v WHERE v.loser_id = knowledge_nodes.id
    ORDER BY v.decided_at DESC, v.id DESC LIMIT 1)

-- limit_analysis --
-- Some rows of each index tell enough.
PRAGMA analysis_limit = 1000

-- analyze_target --
-- The planner should know what came.
ANALYZE main
