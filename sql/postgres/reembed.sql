-- Re-embedding: the vectors of a second model beside those of the store's own, and one in the place of the other. Where
-- a block has the same name in ../sqlite/reembed.sql it answers the same question.

-- get_spare --
-- Whose vectors lie beside the store's own, why, and how many.
SELECT s.name, s.dimension, s.hash, s.created_at, s.role, (SELECT count(*) FROM spare_embeddings) AS vectors FROM spare_model s

-- find_in_place --
-- A job under way that makes the vectors in use anew, one by one.
SELECT r.delegation_id FROM job_runs r WHERE r.kind = 'reembed' AND r.finished_at IS NULL AND r.options ->> 'in_place' = 'true' LIMIT 1

-- list_model_changes --
-- The models that the store belonged to, the latest change first.
SELECT c.id, c.kind, c.from_name, c.from_dimension, c.from_hash, c.to_name, c.to_dimension, c.to_hash, c.memories, c.seconds,
    c.changed_at, c.delegation_id
FROM model_changes c ORDER BY c.id DESC LIMIT %(limit)s

-- list_writing_jobs --
-- The attempts of jobs that write vectors and that nobody has ended, with their last sign of life.
SELECT r.delegation_id, r.kind, r.source, r.plan::text AS plan, r.options, r.checkpoint, coalesce(d.last_heartbeat, d.created_at) AS last_sign
FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id
WHERE r.kind IN ('copy', 'repair', 'reembed') AND r.finished_at IS NULL AND d.status = ANY (%(in_flight)s::text[])

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
SELECT m.id::text AS id, octet_length(m.content) AS size FROM knowledge_nodes m
WHERE (%(after)s::uuid IS NULL OR m.id > %(after)s::uuid)
    AND NOT EXISTS (SELECT 1 FROM spare_embeddings e WHERE e.node_id = m.id) ORDER BY m.id LIMIT %(limit)s

-- list_without_vector --
-- Memories behind an id that have no vector of the store's own model, with the octets of their texts.
SELECT m.id::text AS id, octet_length(m.content) AS size FROM knowledge_nodes m
WHERE (%(after)s::uuid IS NULL OR m.id > %(after)s::uuid)
    AND NOT EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id) ORDER BY m.id LIMIT %(limit)s

-- read_texts --
-- What is encoded, and a mark by which it is known later whether it is still the same.
SELECT m.id::text AS id, m.content, sha256(convert_to(m.content, 'UTF8')) AS mark FROM knowledge_nodes m
WHERE m.id = ANY (%(ids)s::uuid[]) ORDER BY m.id

-- sample_texts --
-- Texts spread evenly over the store.
SELECT m.content FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place, count(*) OVER () AS total FROM knowledge_nodes) p
JOIN knowledge_nodes m ON m.id = p.id
WHERE (p.place + 1) * %(sample)s::bigint / p.total > p.place * %(sample)s::bigint / p.total ORDER BY p.place

-- hold_spare --
-- Whose vectors are made; nobody drops them or puts them in place while this is written.
SELECT s.name, s.dimension, s.hash, s.created_at, s.role FROM spare_model s FOR SHARE

-- hold_model --
-- The store's own model; nobody changes it while this is written.
SELECT k.name, k.dimension, k.hash, k.created_at FROM embedding_model k FOR SHARE

-- hold_unchanged --
-- Memories whose text is still the one that was encoded. They stay so until this commits: an edit waits for it, and then
-- takes the vector away again. One that somebody is editing right now is left for later, so that nobody waits for both.
SELECT m.id::text AS id FROM knowledge_nodes m JOIN unnest(%(ids)s::uuid[], %(marks)s::bytea[]) AS s (id, mark) ON s.id = m.id
WHERE sha256(convert_to(m.content, 'UTF8')) = s.mark FOR SHARE OF m SKIP LOCKED

-- load_spare --
-- Vectors of memories that are held and have none.
COPY spare_embeddings (node_id, embedding) FROM STDIN (FORMAT binary)

-- insert_vector --
-- A vector of the store's own model, where the text is still the one that was encoded and nobody was faster.
INSERT INTO node_embeddings (node_id, embedding)
SELECT m.id, %(embedding)s::vector FROM (SELECT h.id FROM knowledge_nodes h
    WHERE h.id = %(id)s::uuid AND sha256(convert_to(h.content, 'UTF8')) = %(mark)s::bytea FOR SHARE SKIP LOCKED) m
ON CONFLICT (node_id) DO NOTHING

-- put_spare_model --
-- Whose vectors are made from now on.
INSERT INTO spare_model (id, name, dimension, hash, created_at, role) VALUES (1, %(name)s, %(dimension)s, %(hash)s, %(created_at)s, 'building')

-- set_spare_model --
-- Whose vectors lie beside the store's own from now on: those of the model before.
UPDATE spare_model SET name = %(name)s, dimension = %(dimension)s, hash = %(hash)s, created_at = %(created_at)s, role = 'kept'

-- delete_spare_model --
-- There is no second model.
DELETE FROM spare_model

-- set_model --
-- The store belongs to another model.
UPDATE embedding_model SET name = %(name)s, dimension = %(dimension)s, hash = %(hash)s, created_at = %(created_at)s WHERE id = 1

-- insert_model_change --
-- The store comes to belong to another model.
INSERT INTO model_changes (kind, from_name, from_dimension, from_hash, to_name, to_dimension, to_hash, memories, seconds, changed_at, delegation_id)
VALUES (%(kind)s, %(from_name)s, %(from_dimension)s, %(from_hash)s, %(to_name)s, %(to_dimension)s, %(to_hash)s, %(memories)s, %(seconds)s,
    %(changed_at)s, %(job)s) RETURNING id

-- set_model_change --
-- What the last change came to, where that was made before its vectors.
UPDATE model_changes SET memories = %(memories)s, seconds = %(seconds)s
WHERE id = (SELECT max(id) FROM model_changes) AND kind = 'in_place'

-- forget_centroids --
-- Centres of domains are vectors of the model before.
UPDATE domains SET centroid = NULL WHERE centroid IS NOT NULL

-- list_centred --
-- The domains that have a centre.
SELECT d.id FROM domains d WHERE d.centroid IS NOT NULL ORDER BY d.id

-- average_domain --
-- The centre of a domain's memories by the store's own vectors; none where it has no memories with vectors.
SELECT avg(e.embedding)::vector AS centroid FROM knowledge_nodes m JOIN node_embeddings e ON e.node_id = m.id
WHERE m.domains @> ARRAY[%(id)s::text]

-- set_centroid --
-- The centre of a domain.
UPDATE domains SET centroid = %(centroid)s::vector WHERE id = %(id)s

-- empty_spare --
-- Let go of the second model's vectors.
TRUNCATE spare_embeddings

-- empty_vectors --
-- Let go of the store's own vectors.
TRUNCATE node_embeddings

-- stamp_spare --
-- The second model's vectors get their width, before any is there.
ALTER TABLE spare_embeddings ALTER COLUMN embedding TYPE {vector}({width}), ALTER COLUMN embedding SET STORAGE PLAIN

-- wait_briefly --
-- Who cannot have a table at once lets those through that wait behind, and tries again later.
SELECT set_config('lock_timeout', '150ms', true)

-- lock_tables --
-- Both tables of vectors, in the order in which an edit takes them.
LOCK TABLE spare_embeddings, node_embeddings IN ACCESS EXCLUSIVE MODE

-- swap_tables --
-- Each table takes the other's name, with the names of its constraints and indexes; the trigger that tells of changes
-- belongs to the store's own vectors.
DO $swap$
DECLARE
    step record;
    found record;
BEGIN
    DROP TRIGGER trg_node_embeddings_tell ON node_embeddings;
    ALTER TABLE node_embeddings RENAME TO swapped_embeddings;
    ALTER TABLE spare_embeddings RENAME TO node_embeddings;
    ALTER TABLE swapped_embeddings RENAME TO spare_embeddings;
    CREATE TRIGGER trg_node_embeddings_tell AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON node_embeddings
    FOR EACH STATEMENT EXECUTE FUNCTION vestige_tell();
    FOR step IN SELECT * FROM (VALUES (1, 'spare_embeddings', 'node_embeddings', 'swapped_embeddings'),
        (2, 'node_embeddings', 'spare_embeddings', 'node_embeddings'),
        (3, 'spare_embeddings', 'swapped_embeddings', 'spare_embeddings')) AS s (place, owner, was, becomes) ORDER BY place
    LOOP
        FOR found IN SELECT c.conname AS name FROM pg_constraint c
            WHERE c.conrelid = step.owner::regclass AND strpos(c.conname, step.was) > 0
        LOOP
            EXECUTE format('ALTER TABLE %%I RENAME CONSTRAINT %%I TO %%I', step.owner, found.name,
                replace(found.name, step.was, step.becomes));
        END LOOP;
        FOR found IN SELECT c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
            WHERE i.indrelid = step.owner::regclass AND strpos(c.relname, step.was) > 0
        LOOP
            EXECUTE format('ALTER INDEX %%I RENAME TO %%I', found.name, replace(found.name, step.was, step.becomes));
        END LOOP;
    END LOOP;
END;
$swap$

-- find_spare_index --
-- Is the index of the second model's vectors there, and whole?
SELECT i.indisvalid AS valid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relname = 'idx_spare_embeddings_hnsw' AND c.relnamespace = current_schema()::regnamespace

-- prepare_build --
-- An index is built in memory, by several at once, for as long as it takes: settings of one transaction, or of the session.
SELECT set_config('maintenance_work_mem', %(memory)s, %(local)s), set_config('max_parallel_maintenance_workers', %(workers)s, %(local)s),
    set_config('statement_timeout', '0', %(local)s), set_config('idle_in_transaction_session_timeout', '0', %(local)s)

-- wait_long --
-- Who blocks nobody may wait for whoever began before.
SELECT set_config('lock_timeout', '0', false), set_config('statement_timeout', '0', false)

-- notice_hangup --
-- A build ends soon after the one who asked for it is gone.
SELECT set_config('client_connection_check_interval', '1s', false)

-- build_spare_index --
-- The index of the second model's vectors, while everybody goes on writing.
CREATE INDEX CONCURRENTLY idx_spare_embeddings_hnsw ON spare_embeddings USING hnsw (embedding {vector}_cosine_ops)
    WITH (m = 16, ef_construction = 64)

-- drop_spare_index --
-- The second model has no vectors, or its index was left half done.
DROP INDEX IF EXISTS idx_spare_embeddings_hnsw

-- drop_spare_index_concurrently --
-- The same, while everybody goes on writing.
DROP INDEX CONCURRENTLY IF EXISTS idx_spare_embeddings_hnsw

-- build_index --
-- The index of the store's own vectors.
CREATE INDEX idx_node_embeddings_hnsw ON node_embeddings USING hnsw (embedding {vector}_cosine_ops) WITH (m = 16, ef_construction = 64)

-- build_index_concurrently --
-- The same, while everybody goes on writing.
CREATE INDEX CONCURRENTLY idx_node_embeddings_hnsw ON node_embeddings USING hnsw (embedding {vector}_cosine_ops)
    WITH (m = 16, ef_construction = 64)

-- drop_index --
-- The store's own vectors are filled in faster without their index.
DROP INDEX IF EXISTS idx_node_embeddings_hnsw

-- drop_index_concurrently --
-- An index that was left half done, while everybody goes on writing.
DROP INDEX CONCURRENTLY IF EXISTS idx_node_embeddings_hnsw

-- analyze_spare --
-- What the planner knows of these vectors goes along when they take their place.
ANALYZE spare_embeddings
