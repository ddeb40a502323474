-- Writes of a copy to a SQLite target, row by row in the transaction of the batch, so that a rejected row affects no
-- other. Parameters have the names of their columns. A block serves every table that names no other one in its spec;
-- slots are filled in from the spec.

-- any --
-- Check for any rows.
SELECT 1 AS there FROM /*table*/ LIMIT 1

-- any_user --
-- Check for users other than the initial one.
SELECT 1 AS there FROM users WHERE id <> '00000000-0000-0000-0000-000000000001' LIMIT 1

-- orphans --
-- Reason to reject a row: a row that it belongs to is missing.
SELECT '/*orphan_reason*/' AS reason WHERE /*parent_missing*/

-- orphan_vectors --
-- Reason to reject a vector: memory missing, or edited in the target and without a vector there.
SELECT CASE WHEN m.id IS NULL THEN 'its memory is not there' ELSE 'its memory was edited in the target' END AS reason
FROM (SELECT :node_id AS id) s LEFT JOIN knowledge_nodes m ON m.id = s.id
WHERE m.id IS NULL OR (m.updated_at IS NOT :updated_at AND NOT EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = s.id))

-- unique_value --
-- Value that must be unique: one that another row of the target has gets the head of the row's UUID appended.
CASE WHEN EXISTS (SELECT 1 FROM {table} t WHERE t.{column} = :{column} AND t.id <> :id)
    THEN :{column} || '-' || substr(:uuid, 1, 8) ELSE :{column} END

-- find_id --
-- Check for a row with this id; {table} is its table.
SELECT 1 AS there FROM {table} WHERE id = :id

-- find_winner --
-- Check for a decision on this memory that names this id as the winner.
SELECT 1 AS there FROM supersession_events WHERE loser_id = :loser_id AND winner_id = :id LIMIT 1

-- merge --
-- Insert a missing row; an existing one stays unchanged.
INSERT INTO /*table*/ (/*stored*/) VALUES (/*values*/) ON CONFLICT DO NOTHING

-- merge_vectors --
-- Insert a missing vector if the memory's edit time matches the source's.
INSERT INTO node_embeddings (/*stored*/) SELECT /*values*/ FROM knowledge_nodes m
WHERE m.id = :node_id AND m.updated_at IS :updated_at ON CONFLICT DO NOTHING

-- merge_log --
-- Insert a missing line; alike is the number of equal ones before.
INSERT INTO /*table*/ (/*stored*/) SELECT /*values*/ WHERE :alike >= (SELECT count(*) FROM /*table*/ t WHERE /*same_line*/)

-- update --
-- Upsert a row of the source.
INSERT INTO /*table*/ (/*stored*/) VALUES (/*values*/)
ON CONFLICT (/*key*/) DO UPDATE SET /*excluded*/

-- update_vectors --
-- Update a vector, step 1 of 2: delete the old one if the memory's edit time matches the source's. Readers find the new
-- one by its new seq.
DELETE FROM node_embeddings WHERE node_id = :node_id
AND EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = :node_id AND m.updated_at IS :updated_at)

-- settle_vectors --
-- Update a vector, step 2 of 2: insert the new one.
/*= merge_vectors */

-- update_reviews --
-- Update a review, with the link to the review that it undoes.
UPDATE review_events SET /*assignments*/,
    undoes = (SELECT u.id FROM review_events u WHERE u.memory_id = :undone_memory_id AND u.timestamp = :undone_timestamp
        AND u.rating = :undone_rating ORDER BY u.id LIMIT 1 OFFSET coalesce(:undone_alike, 0))
WHERE id = (SELECT t.id FROM review_events t WHERE /*same_line*/ ORDER BY t.id LIMIT 1 OFFSET :alike)

-- link_reviews --
-- Link an undo to its review: both have new ids in the target.
UPDATE review_events SET undoes = (SELECT u.id FROM review_events u WHERE u.memory_id = :undone_memory_id
    AND u.timestamp = :undone_timestamp AND u.rating = :undone_rating ORDER BY u.id LIMIT 1 OFFSET :undone_alike)
WHERE undoes IS NULL AND id = (SELECT t.id FROM review_events t WHERE /*same_line*/ ORDER BY t.id LIMIT 1 OFFSET :alike)

-- settle_memory --
-- Restore the source's edit time, which a trigger has overwritten.
UPDATE knowledge_nodes SET updated_at = :updated_at WHERE id = :id AND updated_at <> :updated_at

-- free_memory --
-- Clear the cached winner before the delete, so that no event is created here: the source's own events follow.
UPDATE knowledge_nodes SET superseded_by = NULL WHERE superseded_by = :id

-- delete --
-- Delete a row that the source deleted; dependent rows cascade.
DELETE FROM /*table*/ WHERE /*same_key*/

-- delete_log --
-- Delete a line that the source deleted; alike selects one of equal ones.
DELETE FROM /*table*/ WHERE id = (SELECT t.id FROM /*table*/ t WHERE /*same_line*/ ORDER BY t.id LIMIT 1 OFFSET :alike)

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
