-- Writes of a copy to a SQLite target, row by row in the transaction of the batch, so that a rejected row affects no
-- other. Parameters have the names of their columns; merges leave existing rows unchanged.

-- any_users --
-- Check for users other than the initial one.
SELECT 1 AS there FROM users WHERE id <> '00000000-0000-0000-0000-000000000001' LIMIT 1

-- merge_users --
-- Insert a missing user; a handle taken in the target gets the head of the id appended.
INSERT INTO users (id, handle, display_name, created_at, metadata) VALUES (:id,
    CASE WHEN EXISTS (SELECT 1 FROM users t WHERE t.handle = :handle AND t.id <> :id) THEN :handle || '-' || substr(:id, 1, 8) ELSE :handle END,
    :display_name, :created_at, :metadata) ON CONFLICT DO NOTHING

-- update_users --
-- Upsert a row of the source, with the same rule for its handle.
INSERT INTO users (id, handle, display_name, created_at, metadata) VALUES (:id,
    CASE WHEN EXISTS (SELECT 1 FROM users t WHERE t.handle = :handle AND t.id <> :id) THEN :handle || '-' || substr(:id, 1, 8) ELSE :handle END,
    :display_name, :created_at, :metadata)
ON CONFLICT (id) DO UPDATE SET handle = excluded.handle, display_name = excluded.display_name, created_at = excluded.created_at,
    metadata = excluded.metadata

-- delete_users --
-- Delete a row that the source deleted.
DELETE FROM users WHERE id = :id

-- any_groups --
-- Check for any rows.
SELECT 1 AS there FROM groups LIMIT 1

-- merge_groups --
-- Insert a missing group; a handle taken in the target gets the head of the id appended.
INSERT INTO groups (id, handle, display_name, created_at, metadata) VALUES (:id,
    CASE WHEN EXISTS (SELECT 1 FROM groups t WHERE t.handle = :handle AND t.id <> :id) THEN :handle || '-' || substr(:id, 1, 8) ELSE :handle END,
    :display_name, :created_at, :metadata) ON CONFLICT DO NOTHING

-- update_groups --
-- Upsert a row of the source, with the same rule for its handle.
INSERT INTO groups (id, handle, display_name, created_at, metadata) VALUES (:id,
    CASE WHEN EXISTS (SELECT 1 FROM groups t WHERE t.handle = :handle AND t.id <> :id) THEN :handle || '-' || substr(:id, 1, 8) ELSE :handle END,
    :display_name, :created_at, :metadata)
ON CONFLICT (id) DO UPDATE SET handle = excluded.handle, display_name = excluded.display_name, created_at = excluded.created_at,
    metadata = excluded.metadata

-- delete_groups --
-- Delete a row that the source deleted.
DELETE FROM groups WHERE id = :id

-- any_memberships --
-- Check for any rows.
SELECT 1 AS there FROM group_memberships LIMIT 1

-- orphans_memberships --
-- Reason to reject a row: user or group missing.
SELECT 'its user or group is not there' AS reason
WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.id = :user_id) OR NOT EXISTS (SELECT 1 FROM groups g WHERE g.id = :group_id)

-- merge_memberships --
-- Insert a missing row.
INSERT INTO group_memberships (user_id, group_id, role, joined_at) VALUES (:user_id, :group_id, :role, :joined_at) ON CONFLICT DO NOTHING

-- update_memberships --
-- Upsert a row of the source.
INSERT INTO group_memberships (user_id, group_id, role, joined_at) VALUES (:user_id, :group_id, :role, :joined_at)
ON CONFLICT (user_id, group_id) DO UPDATE SET role = excluded.role, joined_at = excluded.joined_at

-- delete_memberships --
-- Delete a row that the source deleted.
DELETE FROM group_memberships WHERE user_id = :user_id AND group_id = :group_id

-- any_domains --
-- Check for any rows.
SELECT 1 AS there FROM domains LIMIT 1

-- merge_domains --
-- Insert a missing row.
INSERT INTO domains (id, label, centroid, top_terms, memory_count, created_at, metadata)
VALUES (:id, :label, :centroid, :top_terms, :memory_count, :created_at, :metadata) ON CONFLICT DO NOTHING

-- update_domains --
-- Upsert a row of the source.
INSERT INTO domains (id, label, centroid, top_terms, memory_count, created_at, metadata)
VALUES (:id, :label, :centroid, :top_terms, :memory_count, :created_at, :metadata)
ON CONFLICT (id) DO UPDATE SET label = excluded.label, centroid = excluded.centroid, top_terms = excluded.top_terms,
    memory_count = excluded.memory_count, created_at = excluded.created_at, metadata = excluded.metadata

-- delete_domains --
-- Delete a row that the source deleted.
DELETE FROM domains WHERE id = :id

-- any_memories --
-- Check for any rows.
SELECT 1 AS there FROM knowledge_nodes LIMIT 1

-- merge_memories --
-- Insert a missing row; an existing one stays unchanged.
INSERT INTO knowledge_nodes (id, content, node_type, tags, metadata, domains, domain_scores, codebase, owner_user_id, visibility,
    shared_with_groups, created_at, updated_at)
VALUES (:id, :content, :node_type, :tags, :metadata, :domains, :domain_scores, :codebase, :owner_user_id, :visibility,
    :shared_with_groups, :created_at, :updated_at) ON CONFLICT DO NOTHING

-- update_memories --
-- Upsert a row of the source.
INSERT INTO knowledge_nodes (id, content, node_type, tags, metadata, domains, domain_scores, codebase, owner_user_id, visibility,
    shared_with_groups, created_at, updated_at)
VALUES (:id, :content, :node_type, :tags, :metadata, :domains, :domain_scores, :codebase, :owner_user_id, :visibility,
    :shared_with_groups, :created_at, :updated_at)
ON CONFLICT (id) DO UPDATE SET content = excluded.content, node_type = excluded.node_type, tags = excluded.tags,
    metadata = excluded.metadata, domains = excluded.domains, domain_scores = excluded.domain_scores, codebase = excluded.codebase,
    owner_user_id = excluded.owner_user_id, visibility = excluded.visibility, shared_with_groups = excluded.shared_with_groups,
    created_at = excluded.created_at, updated_at = excluded.updated_at

-- settle_memories --
-- Restore the source's edit time, which a trigger has overwritten.
UPDATE knowledge_nodes SET updated_at = :updated_at WHERE id = :id AND updated_at <> :updated_at

-- free_memories --
-- Clear the cached winner before the delete, so that no event is created here: the source's own events follow.
UPDATE knowledge_nodes SET superseded_by = NULL WHERE superseded_by = :id

-- delete_memories --
-- Delete a row that the source deleted; dependent rows cascade.
DELETE FROM knowledge_nodes WHERE id = :id

-- any_vectors --
-- Check for any rows.
SELECT 1 AS there FROM node_embeddings LIMIT 1

-- orphans_vectors --
-- Reason to reject a vector: memory missing, or edited in the target and without a vector there.
SELECT CASE WHEN m.id IS NULL THEN 'its memory is not there' ELSE 'its memory was edited in the target' END AS reason
FROM (SELECT :node_id AS id) s LEFT JOIN knowledge_nodes m ON m.id = s.id
WHERE m.id IS NULL OR (m.updated_at IS NOT :updated_at AND NOT EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = s.id))

-- merge_vectors --
-- Insert a missing vector if the memory's edit time matches the source's.
INSERT INTO node_embeddings (node_id, embedding) SELECT m.id, :embedding FROM knowledge_nodes m
WHERE m.id = :node_id AND m.updated_at IS :updated_at ON CONFLICT DO NOTHING

-- update_vectors --
-- Update a vector, step 1 of 2: delete the old one if the memory's edit time matches the source's. Readers find the new
-- one by its new seq.
DELETE FROM node_embeddings WHERE node_id = :node_id
AND EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = :node_id AND m.updated_at IS :updated_at)

-- settle_vectors --
-- Update a vector, step 2 of 2: insert the new one.
/*= merge_vectors */

-- delete_vectors --
-- Delete a row that the source deleted.
DELETE FROM node_embeddings WHERE node_id = :node_id

-- any_scheduling --
-- Check for any rows.
SELECT 1 AS there FROM scheduling LIMIT 1

-- orphans_scheduling --
-- Reason to reject a row: memory missing.
SELECT 'its memory is not there' AS reason WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = :memory_id)

-- merge_scheduling --
-- Insert a missing row.
INSERT INTO scheduling (memory_id, stability, difficulty, retrievability, last_review, next_review, reps, lapses)
VALUES (:memory_id, :stability, :difficulty, :retrievability, :last_review, :next_review, :reps, :lapses) ON CONFLICT DO NOTHING

-- update_scheduling --
-- Upsert a row of the source.
INSERT INTO scheduling (memory_id, stability, difficulty, retrievability, last_review, next_review, reps, lapses)
VALUES (:memory_id, :stability, :difficulty, :retrievability, :last_review, :next_review, :reps, :lapses)
ON CONFLICT (memory_id) DO UPDATE SET stability = excluded.stability, difficulty = excluded.difficulty,
    retrievability = excluded.retrievability, last_review = excluded.last_review, next_review = excluded.next_review,
    reps = excluded.reps, lapses = excluded.lapses

-- delete_scheduling --
-- Delete a row that the source deleted.
DELETE FROM scheduling WHERE memory_id = :memory_id

-- any_edges --
-- Check for any rows.
SELECT 1 AS there FROM edges LIMIT 1

-- orphans_edges --
-- Reason to reject a row: one of its memories missing.
SELECT 'one of its memories is not there' AS reason WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = :source_id)
OR NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = :target_id)

-- merge_edges --
-- Insert a missing row.
INSERT INTO edges (source_id, target_id, edge_type, weight, created_at) VALUES (:source_id, :target_id, :edge_type, :weight, :created_at)
ON CONFLICT DO NOTHING

-- update_edges --
-- Upsert a row of the source.
INSERT INTO edges (source_id, target_id, edge_type, weight, created_at) VALUES (:source_id, :target_id, :edge_type, :weight, :created_at)
ON CONFLICT (source_id, target_id, edge_type) DO UPDATE SET weight = excluded.weight, created_at = excluded.created_at

-- delete_edges --
-- Delete a row that the source deleted.
DELETE FROM edges WHERE source_id = :source_id AND target_id = :target_id AND edge_type = :edge_type

-- any_reviews --
-- Check for any rows.
SELECT 1 AS there FROM review_events LIMIT 1

-- orphans_reviews --
-- Reason to reject a row: memory missing.
SELECT 'its memory is not there' AS reason WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = :memory_id)

-- merge_reviews --
-- Insert a missing review; alike is the number of equal ones before.
INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state)
SELECT :memory_id, :timestamp, :rating, :prior_state, :new_state WHERE :alike >= (SELECT count(*) FROM review_events t
    WHERE t.memory_id = :memory_id AND t.timestamp = :timestamp AND t.rating = :rating)

-- update_reviews --
-- Update a review, with the link to the review that it undoes.
UPDATE review_events SET prior_state = :prior_state, new_state = :new_state,
    undoes = (SELECT u.id FROM review_events u WHERE u.memory_id = :undone_memory_id AND u.timestamp = :undone_timestamp
        AND u.rating = :undone_rating ORDER BY u.id LIMIT 1 OFFSET coalesce(:undone_alike, 0))
WHERE id = (SELECT t.id FROM review_events t WHERE t.memory_id = :memory_id AND t.timestamp = :timestamp
    AND t.rating = :rating ORDER BY t.id LIMIT 1 OFFSET :alike)

-- link_reviews --
-- Link an undo to its review: both have new ids in the target.
UPDATE review_events SET undoes = (SELECT u.id FROM review_events u WHERE u.memory_id = :undone_memory_id
    AND u.timestamp = :undone_timestamp AND u.rating = :undone_rating ORDER BY u.id LIMIT 1 OFFSET :undone_alike)
WHERE undoes IS NULL AND id = (SELECT t.id FROM review_events t WHERE t.memory_id = :memory_id AND t.timestamp = :timestamp
    AND t.rating = :rating ORDER BY t.id LIMIT 1 OFFSET :alike)

-- delete_reviews --
-- Delete a row that the source deleted.
DELETE FROM review_events WHERE id = (SELECT t.id FROM review_events t WHERE t.memory_id = :memory_id AND t.timestamp = :timestamp
    AND t.rating = :rating ORDER BY t.id LIMIT 1 OFFSET :alike)

-- any_supersession --
-- Check for any rows.
SELECT 1 AS there FROM supersession_events LIMIT 1

-- orphans_supersession --
-- Reason to reject a row: memory missing.
SELECT 'its memory is not there' AS reason WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = :loser_id)

-- merge_supersession --
-- Insert a missing event; alike is the number of equal ones before.
INSERT INTO supersession_events (loser_id, winner_id, kind, decided_at) SELECT :loser_id, :winner_id, :kind, :decided_at
WHERE :alike >= (SELECT count(*) FROM supersession_events t
    WHERE t.loser_id = :loser_id AND t.winner_id IS :winner_id AND t.kind = :kind AND t.decided_at = :decided_at)

-- delete_supersession --
-- Delete a row that the source deleted.
DELETE FROM supersession_events WHERE id = (SELECT t.id FROM supersession_events t WHERE t.loser_id = :loser_id
    AND t.winner_id IS :winner_id AND t.kind = :kind AND t.decided_at = :decided_at ORDER BY t.id LIMIT 1 OFFSET :alike)

-- any_marks --
-- Check for any rows.
SELECT 1 AS there FROM review_marks LIMIT 1

-- orphans_marks --
-- Reason to reject a row: memory missing.
SELECT 'its memory is not there' AS reason WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = :memory_id)

-- merge_marks --
-- Insert a missing row.
INSERT INTO review_marks (memory_id, suspended, buried_until) VALUES (:memory_id, :suspended, :buried_until) ON CONFLICT DO NOTHING

-- update_marks --
-- Upsert a row of the source.
INSERT INTO review_marks (memory_id, suspended, buried_until) VALUES (:memory_id, :suspended, :buried_until)
ON CONFLICT (memory_id) DO UPDATE SET suspended = excluded.suspended, buried_until = excluded.buried_until

-- delete_marks --
-- Delete a row that the source deleted.
DELETE FROM review_marks WHERE memory_id = :memory_id

-- rebuild_winners --
-- Rebuild the cached winners from the log.
UPDATE knowledge_nodes SET superseded_by = (SELECT v.winner_id FROM supersession_events v WHERE v.loser_id = knowledge_nodes.id
    ORDER BY v.decided_at DESC, v.id DESC LIMIT 1)
WHERE superseded_by IS NOT (SELECT v.winner_id FROM supersession_events v WHERE v.loser_id = knowledge_nodes.id
    ORDER BY v.decided_at DESC, v.id DESC LIMIT 1)

-- limit_analysis --
-- Limit ANALYZE to a sample of each index.
PRAGMA analysis_limit = 1000

-- analyze_target --
-- Update planner statistics.
ANALYZE main
