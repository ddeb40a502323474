-- Re-embedding: the vectors of a second model beside those of the store's own, and one in the place of the other. Where
-- a block has the same name in ../postgres/reembed.sql it answers the same question.

-- get_spare --
-- Whose vectors lie beside the store's own, why, and how many.
SELECT s.name, s.dimension, s.hash, s.created_at, s.role, (SELECT count(*) FROM spare_embeddings) AS vectors FROM spare_model s

-- find_in_place --
-- A job under way that makes the vectors in use anew, one by one.
SELECT r.delegation_id FROM job_runs r WHERE r.kind = 'reembed' AND r.finished_at IS NULL AND json_extract(r.options, '$.in_place') LIMIT 1

-- list_model_changes --
-- The models that the store belonged to, the latest change first.
SELECT c.id, c.kind, c.from_name, c.from_dimension, c.from_hash, c.to_name, c.to_dimension, c.to_hash, c.memories, c.seconds,
    c.changed_at, c.delegation_id
FROM model_changes c ORDER BY c.id DESC LIMIT :limit

-- list_writing_jobs --
-- The attempts of jobs that write vectors and that nobody has ended, with their last sign of life.
SELECT r.delegation_id, r.kind, r.source, r.plan, r.options, r.checkpoint, coalesce(d.last_heartbeat, d.created_at) AS last_sign
FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id
WHERE r.kind IN ('copy', 'repair', 'reembed') AND r.finished_at IS NULL AND d.status IN (SELECT value FROM json_each(:in_flight))

-- get_last_reembedding --
-- The attempt of a re-embedding that was begun last, and how it ended.
SELECT r.delegation_id, r.options, r.checkpoint, d.status FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id
WHERE r.kind = 'reembed' ORDER BY r.started_at DESC, r.attempt DESC LIMIT 1

-- count_without_spare --
-- How many memories have no vector of the second model.
SELECT count(*) AS n FROM knowledge_nodes m WHERE NOT EXISTS (SELECT 1 FROM spare_embeddings e WHERE e.node_id = m.id)

-- count_without_vector --
-- How many memories have no vector of the store's own model.
SELECT count(*) AS n FROM knowledge_nodes m WHERE NOT EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id)

-- list_without_spare --
-- Memories behind an id that have no vector of the second model, with the octets of their texts.
SELECT m.id, length(CAST(m.content AS BLOB)) AS size FROM knowledge_nodes m WHERE m.id > coalesce(:after, '')
    AND NOT EXISTS (SELECT 1 FROM spare_embeddings e WHERE e.node_id = m.id) ORDER BY m.id LIMIT :limit

-- list_without_vector --
-- Memories behind an id that have no vector of the store's own model, with the octets of their texts.
SELECT m.id, length(CAST(m.content AS BLOB)) AS size FROM knowledge_nodes m WHERE m.id > coalesce(:after, '')
    AND NOT EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id) ORDER BY m.id LIMIT :limit

-- read_texts --
-- What is encoded, and a mark by which it is known later whether it is still the same: its octets.
SELECT m.id, m.content, CAST(m.content AS BLOB) AS mark FROM knowledge_nodes m
WHERE m.id IN (SELECT value FROM json_each(:ids)) ORDER BY m.id

-- sample_texts --
-- Texts spread evenly over the store.
SELECT m.content FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place, count(*) OVER () AS total FROM knowledge_nodes) p
JOIN knowledge_nodes m ON m.id = p.id
WHERE (p.place + 1) * :sample / p.total > p.place * :sample / p.total ORDER BY p.place

-- hold_spare --
-- Whose vectors are made; the file is held while this is written.
SELECT s.name, s.dimension, s.hash, s.created_at, s.role FROM spare_model s

-- hold_model --
-- The store's own model; the file is held while this is written.
SELECT k.name, k.dimension, k.hash, k.created_at FROM embedding_model k

-- insert_spare --
-- A vector of the second model, where the text is still the one that was encoded.
INSERT INTO spare_embeddings (node_id, embedding) SELECT m.id, :embedding FROM knowledge_nodes m
WHERE m.id = :id AND CAST(m.content AS BLOB) = :mark ON CONFLICT (node_id) DO NOTHING

-- insert_vector --
-- A vector of the store's own model, where the text is still the one that was encoded and nobody was faster.
INSERT INTO node_embeddings (node_id, embedding) SELECT m.id, :embedding FROM knowledge_nodes m
WHERE m.id = :id AND CAST(m.content AS BLOB) = :mark ON CONFLICT (node_id) DO NOTHING

-- put_spare_model --
-- Whose vectors are made from now on.
INSERT INTO spare_model (id, name, dimension, hash, created_at, role) VALUES (1, :name, :dimension, :hash, :created_at, 'building')

-- set_spare_model --
-- Whose vectors lie beside the store's own from now on: those of the model before.
UPDATE spare_model SET name = :name, dimension = :dimension, hash = :hash, created_at = :created_at, role = 'kept'

-- delete_spare_model --
-- There is no second model.
DELETE FROM spare_model

-- set_model --
-- The store belongs to another model.
UPDATE embedding_model SET name = :name, dimension = :dimension, hash = :hash, created_at = :created_at WHERE id = 1

-- insert_model_change --
-- The store comes to belong to another model.
INSERT INTO model_changes (kind, from_name, from_dimension, from_hash, to_name, to_dimension, to_hash, memories, seconds, changed_at, delegation_id)
VALUES (:kind, :from_name, :from_dimension, :from_hash, :to_name, :to_dimension, :to_hash, :memories, :seconds, :changed_at, :job) RETURNING id

-- set_model_change --
-- What the last change came to, where that was made before its vectors.
UPDATE model_changes SET memories = :memories, seconds = :seconds
WHERE id = (SELECT max(id) FROM model_changes) AND kind = 'in_place'

-- forget_centroids --
-- Centres of domains are vectors of the model before.
UPDATE domains SET centroid = NULL WHERE centroid IS NOT NULL

-- list_centred --
-- The domains that have a centre.
SELECT d.id FROM domains d WHERE d.centroid IS NOT NULL ORDER BY d.id

-- list_domain_vectors --
-- The store's own vectors of a domain's memories, behind a seq.
SELECT e.seq, e.embedding FROM node_embeddings e JOIN knowledge_nodes m ON m.id = e.node_id
WHERE e.seq > :seq AND :id IN (SELECT j.value FROM json_each(CASE WHEN json_valid(m.domains) THEN m.domains ELSE '[]' END) j)
ORDER BY e.seq LIMIT :limit

-- set_centroid --
-- The centre of a domain.
UPDATE domains SET centroid = :centroid WHERE id = :id

-- empty_spare --
-- Let go of the second model's vectors.
DELETE FROM spare_embeddings

-- empty_vectors --
-- Let go of the store's own vectors.
DELETE FROM node_embeddings

-- forget_spare_trigger --
-- Its name for the table would follow the table.
DROP TRIGGER trg_knowledge_nodes_spare

-- lay_vectors_aside --
-- The first of three steps by which two tables take each other's name.
ALTER TABLE node_embeddings RENAME TO swapped_embeddings

-- put_spare_in_place --
-- The second step.
ALTER TABLE spare_embeddings RENAME TO node_embeddings

-- keep_laid_aside --
-- The last step.
ALTER TABLE swapped_embeddings RENAME TO spare_embeddings

-- make_spare_trigger --
-- A spare vector is of the text that a memory has, or it is not there.
CREATE TRIGGER trg_knowledge_nodes_spare AFTER UPDATE OF content ON knowledge_nodes
WHEN OLD.content IS NOT NEW.content
BEGIN
    DELETE FROM spare_embeddings WHERE node_id = NEW.id;
END
