-- Re-embedding: a shadow table for the vectors of a second model (spare vectors), and the swap of the two tables.
-- Blocks with the same name in ../postgres/reembed.sql do the same.

-- get_spare --
-- Model, role and number of the spare vectors.
SELECT s.name, s.dimension, s.hash, s.created_at, s.document_template, s.query_template, s.role, (SELECT count(*) FROM spare_embeddings) AS vectors FROM spare_model s

-- find_in_place --
-- Unfinished re-embedding in place.
SELECT r.delegation_id FROM job_runs r WHERE r.kind = 'reembed' AND r.finished_at IS NULL AND json_extract(r.options, '$.in_place') LIMIT 1

-- list_model_changes --
-- Model changes, latest first.
SELECT c.id, c.kind, c.from_name, c.from_dimension, c.from_hash, c.to_name, c.to_dimension, c.to_hash, c.memories, c.seconds,
    c.changed_at, c.delegation_id
FROM model_changes c ORDER BY c.id DESC LIMIT :limit

-- list_writing_jobs --
-- Unfinished attempts of jobs that write vectors, with their last heartbeat.
SELECT r.delegation_id, r.kind, r.source, r.plan, r.options, r.checkpoint, coalesce(d.last_heartbeat, d.created_at) AS last_sign
FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id
WHERE r.kind IN ('copy', 'repair', 'reembed') AND r.finished_at IS NULL AND d.status IN (SELECT value FROM json_each(:in_flight))

-- get_last_reembedding --
-- Last attempt of a re-embedding, with its status.
SELECT r.delegation_id, r.options, r.checkpoint, d.status FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id
WHERE r.kind = 'reembed' ORDER BY r.started_at DESC, r.attempt DESC LIMIT 1

-- count_without_spare --
-- Number of memories without a spare vector.
SELECT count(*) AS n FROM knowledge_nodes m WHERE NOT EXISTS (SELECT 1 FROM spare_embeddings e WHERE e.node_id = m.id)

-- count_without_vector --
-- Number of memories without a vector.
SELECT count(*) AS n FROM knowledge_nodes m WHERE NOT EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id)

-- list_without_spare --
-- Memories without a spare vector, with their size in bytes; keyset pagination by id.
SELECT m.id, length(CAST(m.content AS BLOB)) AS size FROM knowledge_nodes m WHERE m.id > coalesce(:after, '')
    AND NOT EXISTS (SELECT 1 FROM spare_embeddings e WHERE e.node_id = m.id) ORDER BY m.id LIMIT :limit

-- list_without_vector --
-- Memories without a vector, with their size in bytes; keyset pagination by id.
SELECT m.id, length(CAST(m.content AS BLOB)) AS size FROM knowledge_nodes m WHERE m.id > coalesce(:after, '')
    AND NOT EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id) ORDER BY m.id LIMIT :limit

-- read_texts --
-- Texts to encode, each with its bytes to detect later edits.
SELECT m.id, m.content, CAST(m.content AS BLOB) AS mark FROM knowledge_nodes m
WHERE m.id IN (SELECT value FROM json_each(:ids)) ORDER BY m.id

-- sample_texts --
-- Even sample of texts.
SELECT m.content FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place, count(*) OVER () AS total FROM knowledge_nodes) p
JOIN knowledge_nodes m ON m.id = p.id
WHERE (p.place + 1) * :sample / p.total > p.place * :sample / p.total ORDER BY p.place

-- hold_spare --
-- Model of the spare vectors; the write transaction locks the file.
SELECT s.name, s.dimension, s.hash, s.created_at, s.document_template, s.query_template, s.role FROM spare_model s

-- hold_model --
-- Registered model; the write transaction locks the file.
SELECT k.name, k.dimension, k.hash, k.created_at, k.document_template, k.query_template FROM embedding_model k

-- insert_spare --
-- Insert a spare vector; optimistic locking on the encoded text.
INSERT INTO spare_embeddings (node_id, embedding) SELECT m.id, :embedding FROM knowledge_nodes m
WHERE m.id = :id AND CAST(m.content AS BLOB) = :mark ON CONFLICT (node_id) DO NOTHING

-- insert_vector --
-- Insert a vector unless there is one; optimistic locking on the encoded text.
INSERT INTO node_embeddings (node_id, embedding) SELECT m.id, :embedding FROM knowledge_nodes m
WHERE m.id = :id AND CAST(m.content AS BLOB) = :mark ON CONFLICT (node_id) DO NOTHING

-- put_spare_model --
-- Register the model of the spare vectors in role building.
INSERT INTO spare_model (id, name, dimension, hash, created_at, document_template, query_template, role)
VALUES (1, :name, :dimension, :hash, :created_at, :document_template, :query_template, 'building')

-- set_spare_model --
-- After a swap: the spare vectors are the kept ones of the previous model.
UPDATE spare_model SET name = :name, dimension = :dimension, hash = :hash, created_at = :created_at,
    document_template = :document_template, query_template = :query_template, role = 'kept'

-- delete_spare_model --
-- Delete the model of the spare vectors.
DELETE FROM spare_model

-- set_model --
-- Change the registered model.
UPDATE embedding_model SET name = :name, dimension = :dimension, hash = :hash, created_at = :created_at,
    document_template = :document_template, query_template = :query_template WHERE id = 1

-- insert_model_change --
-- Append to the model changes.
INSERT INTO model_changes (kind, from_name, from_dimension, from_hash, to_name, to_dimension, to_hash, memories, seconds, changed_at, delegation_id)
VALUES (:kind, :from_name, :from_dimension, :from_hash, :to_name, :to_dimension, :to_hash, :memories, :seconds, :changed_at, :job) RETURNING id

-- set_model_change --
-- Set count and duration of an in-place change, which is recorded before its vectors.
UPDATE model_changes SET memories = :memories, seconds = :seconds
WHERE id = (SELECT max(id) FROM model_changes) AND kind = 'in_place'

-- forget_centroids --
-- Clear centroids: they are vectors of the previous model.
UPDATE domains SET centroid = NULL WHERE centroid IS NOT NULL

-- list_centred --
-- Domains with a centroid.
SELECT d.id FROM domains d WHERE d.centroid IS NOT NULL ORDER BY d.id

-- list_domain_vectors --
-- Vectors of a domain's memories; keyset pagination by seq.
SELECT e.seq, e.embedding FROM node_embeddings e JOIN knowledge_nodes m ON m.id = e.node_id
WHERE e.seq > :seq AND :id IN (SELECT j.value FROM json_each(CASE WHEN json_valid(m.domains) THEN m.domains ELSE '[]' END) j)
ORDER BY e.seq LIMIT :limit

-- set_centroid --
-- Set the centroid of a domain, and when.
UPDATE domains SET centroid = :centroid, metadata = json_set(CASE WHEN json_valid(metadata) THEN metadata ELSE '{}' END,
    '$.centroid_at', strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')) WHERE id = :id

-- empty_spare --
-- Delete all spare vectors.
DELETE FROM spare_embeddings

-- empty_vectors --
-- Delete all vectors.
DELETE FROM node_embeddings

-- forget_spare_trigger --
-- Drop the trigger: renames would rewrite the table name in it.
DROP TRIGGER trg_knowledge_nodes_spare

-- lay_vectors_aside --
-- Swap, step 1 of 3.
ALTER TABLE node_embeddings RENAME TO swapped_embeddings

-- put_spare_in_place --
-- Swap, step 2 of 3.
ALTER TABLE spare_embeddings RENAME TO node_embeddings

-- keep_laid_aside --
-- Swap, step 3 of 3.
ALTER TABLE swapped_embeddings RENAME TO spare_embeddings

-- make_spare_trigger --
-- Trigger: an edit deletes the outdated spare vector.
CREATE TRIGGER trg_knowledge_nodes_spare AFTER UPDATE OF content ON knowledge_nodes
WHEN OLD.content IS NOT NEW.content
BEGIN
    DELETE FROM spare_embeddings WHERE node_id = NEW.id;
END
