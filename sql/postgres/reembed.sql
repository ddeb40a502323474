-- Re-embedding: a shadow table for the vectors of a second model (spare vectors), and the swap of the two tables.
-- Blocks with the same name in ../sqlite/reembed.sql do the same.

-- get_spare --
-- Model, role and number of the spare vectors.
SELECT s.name, s.dimension, s.hash, s.created_at, s.document_template, s.query_template, s.role, (SELECT count(*) FROM spare_embeddings) AS vectors FROM spare_model s

-- find_in_place --
-- Unfinished re-embedding in place.
SELECT r.delegation_id FROM job_runs r WHERE r.kind = 'reembed' AND r.finished_at IS NULL AND r.options ->> 'in_place' = 'true' LIMIT 1

-- list_model_changes --
-- Model changes, latest first.
SELECT c.id, c.kind, c.from_name, c.from_dimension, c.from_hash, c.to_name, c.to_dimension, c.to_hash, c.memories, c.seconds,
    c.changed_at, c.delegation_id
FROM model_changes c ORDER BY c.id DESC LIMIT %(limit)s

-- list_writing_jobs --
-- Unfinished attempts of jobs that write vectors, with their last heartbeat.
SELECT r.delegation_id, r.kind, r.source, r.plan::text AS plan, r.options, r.checkpoint, coalesce(d.last_heartbeat, d.created_at) AS last_sign
FROM job_runs r JOIN delegations d ON d.delegation_id = r.delegation_id
WHERE r.kind IN ('copy', 'repair', 'reembed') AND r.finished_at IS NULL AND d.status = ANY (%(in_flight)s::text[])

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
SELECT m.id::text AS id, octet_length(m.content) AS size FROM knowledge_nodes m
WHERE (%(after)s::uuid IS NULL OR m.id > %(after)s::uuid)
    AND NOT EXISTS (SELECT 1 FROM spare_embeddings e WHERE e.node_id = m.id) ORDER BY m.id LIMIT %(limit)s

-- list_without_vector --
-- Memories without a vector, with their size in bytes; keyset pagination by id.
SELECT m.id::text AS id, octet_length(m.content) AS size FROM knowledge_nodes m
WHERE (%(after)s::uuid IS NULL OR m.id > %(after)s::uuid)
    AND NOT EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id) ORDER BY m.id LIMIT %(limit)s

-- read_texts --
-- Texts to encode, each with its SHA-256 to detect later edits.
SELECT m.id::text AS id, m.content, sha256(convert_to(m.content, 'UTF8')) AS mark FROM knowledge_nodes m
WHERE m.id = ANY (%(ids)s::uuid[]) ORDER BY m.id

-- sample_texts --
-- Even sample of texts.
SELECT m.content FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place, count(*) OVER () AS total FROM knowledge_nodes) p
JOIN knowledge_nodes m ON m.id = p.id
WHERE (p.place + 1) * %(sample)s::bigint / p.total > p.place * %(sample)s::bigint / p.total ORDER BY p.place

-- hold_spare --
-- Model of the spare vectors; the share lock prevents a drop or swap until commit.
SELECT s.name, s.dimension, s.hash, s.created_at, s.document_template, s.query_template, s.role FROM spare_model s FOR SHARE

-- hold_model --
-- Registered model; the share lock prevents a change until commit.
SELECT k.name, k.dimension, k.hash, k.created_at, k.document_template, k.query_template FROM embedding_model k FOR SHARE

-- hold_unchanged --
-- Memories that still have the encoded text, locked until commit: an edit waits, and then deletes the vector. SKIP
-- LOCKED leaves out memories under edit, which prevents deadlocks.
SELECT m.id::text AS id FROM knowledge_nodes m JOIN unnest(%(ids)s::uuid[], %(marks)s::bytea[]) AS s (id, mark) ON s.id = m.id
WHERE sha256(convert_to(m.content, 'UTF8')) = s.mark FOR SHARE OF m SKIP LOCKED

-- load_spare --
-- Load vectors of locked memories without a spare vector.
COPY spare_embeddings (node_id, embedding) FROM STDIN (FORMAT binary)

-- insert_vector --
-- Insert a vector unless there is one; optimistic locking on the encoded text.
INSERT INTO node_embeddings (node_id, embedding)
SELECT m.id, %(embedding)s::vector FROM (SELECT h.id FROM knowledge_nodes h
    WHERE h.id = %(id)s::uuid AND sha256(convert_to(h.content, 'UTF8')) = %(mark)s::bytea FOR SHARE SKIP LOCKED) m
ON CONFLICT (node_id) DO NOTHING

-- put_spare_model --
-- Register the model of the spare vectors in role building.
INSERT INTO spare_model (id, name, dimension, hash, created_at, document_template, query_template, role)
VALUES (1, %(name)s, %(dimension)s, %(hash)s, %(created_at)s, %(document_template)s, %(query_template)s, 'building')

-- set_spare_model --
-- After a swap: the spare vectors are the kept ones of the previous model.
UPDATE spare_model SET name = %(name)s, dimension = %(dimension)s, hash = %(hash)s, created_at = %(created_at)s,
    document_template = %(document_template)s, query_template = %(query_template)s, role = 'kept'

-- delete_spare_model --
-- Delete the model of the spare vectors.
DELETE FROM spare_model

-- set_model --
-- Change the registered model.
UPDATE embedding_model SET name = %(name)s, dimension = %(dimension)s, hash = %(hash)s, created_at = %(created_at)s,
    document_template = %(document_template)s, query_template = %(query_template)s WHERE id = 1

-- insert_model_change --
-- Append to the model changes.
INSERT INTO model_changes (kind, from_name, from_dimension, from_hash, to_name, to_dimension, to_hash, memories, seconds, changed_at, delegation_id)
VALUES (%(kind)s, %(from_name)s, %(from_dimension)s, %(from_hash)s, %(to_name)s, %(to_dimension)s, %(to_hash)s, %(memories)s, %(seconds)s,
    %(changed_at)s, %(job)s) RETURNING id

-- set_model_change --
-- Set count and duration of an in-place change, which is recorded before its vectors.
UPDATE model_changes SET memories = %(memories)s, seconds = %(seconds)s
WHERE id = (SELECT max(id) FROM model_changes) AND kind = 'in_place'

-- forget_centroids --
-- Clear centroids: they are vectors of the previous model.
UPDATE domains SET centroid = NULL WHERE centroid IS NOT NULL

-- list_centred --
-- Domains with a centroid.
SELECT d.id FROM domains d WHERE d.centroid IS NOT NULL ORDER BY d.id

-- average_domain --
-- Centroid of a domain's vectors; NULL without any.
SELECT avg(e.embedding)::vector AS centroid FROM knowledge_nodes m JOIN node_embeddings e ON e.node_id = m.id
WHERE m.domains @> ARRAY[%(id)s::text]

-- set_centroid --
-- Set the centroid of a domain, and when.
UPDATE domains SET centroid = %(centroid)s::vector, metadata = jsonb_set(metadata, '{centroid_at}',
    to_jsonb(to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'))) WHERE id = %(id)s

-- empty_spare --
-- Delete all spare vectors.
TRUNCATE spare_embeddings

-- empty_vectors --
-- Delete all vectors.
TRUNCATE node_embeddings

-- stamp_spare --
-- Set the width of the spare column while it is empty.
ALTER TABLE spare_embeddings ALTER COLUMN embedding TYPE {vector}({width}), ALTER COLUMN embedding SET STORAGE PLAIN

-- wait_briefly --
-- Short lock timeout: a waiting exclusive lock blocks all later ones, so give up and retry.
SELECT set_config('lock_timeout', '150ms', true)

-- lock_tables --
-- Lock both vector tables, in the lock order of an edit.
LOCK TABLE spare_embeddings, node_embeddings IN ACCESS EXCLUSIVE MODE

-- swap_tables --
-- Swap the names of the tables, their constraints and indexes; the NOTIFY trigger stays with the vectors in use.
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
-- Index of the spare vectors, as find_index finds that of the others.
SELECT c.relname::text AS name, a.amname::text AS method, i.indisvalid AS valid, c.relname = 'idx_spare_embeddings_hnsw' AS own,
    substring(pg_get_indexdef(c.oid) FROM ' USING (.*)$') AS definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
JOIN pg_attribute t ON t.attrelid = i.indrelid AND t.attnum = i.indkey[0] AND t.attname = 'embedding'
WHERE i.indrelid = to_regclass('spare_embeddings') AND EXISTS (
    SELECT FROM pg_opclass k JOIN pg_amop m ON m.amopfamily = k.opcfamily JOIN pg_operator o ON o.oid = m.amopopr
    WHERE k.oid = i.indclass[0] AND o.oprname = '<=>')
ORDER BY i.indisvalid DESC, own DESC, c.relname LIMIT 1

-- prepare_build --
-- Settings of an index build: memory, parallel workers, no timeouts; for a transaction or the session.
SELECT set_config('maintenance_work_mem', %(memory)s, %(local)s), set_config('max_parallel_maintenance_workers', %(workers)s, %(local)s),
    set_config('statement_timeout', '0', %(local)s), set_config('idle_in_transaction_session_timeout', '0', %(local)s),
    CASE WHEN current_setting('server_version_num')::integer >= 170000 THEN set_config('transaction_timeout', '0', %(local)s) END

-- wait_long --
-- No lock timeout: CREATE INDEX CONCURRENTLY waits without blocking writers.
SELECT set_config('lock_timeout', '0', false), set_config('statement_timeout', '0', false),
    CASE WHEN current_setting('server_version_num')::integer >= 170000 THEN set_config('transaction_timeout', '0', false) END

-- notice_hangup --
-- Stop a build soon after its client disconnects.
SELECT set_config('client_connection_check_interval', '1s', false)

-- build_spare_index --
-- Build the spare index without blocking writers.
CREATE INDEX CONCURRENTLY idx_spare_embeddings_{kind} ON spare_embeddings USING {index}

-- drop_spare_index --
-- Drop the spare index, also an invalid one, and one of another name that came with a swap.
DO $drop$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT i.indexrelid::regclass AS name FROM pg_index i
        JOIN pg_attribute t ON t.attrelid = i.indrelid AND t.attnum = i.indkey[0] AND t.attname = 'embedding'
        WHERE i.indrelid = to_regclass('spare_embeddings')
    LOOP
        EXECUTE 'DROP INDEX ' || found.name;
    END LOOP;
END;
$drop$

-- drop_spare_index_concurrently --
-- The same without blocking writers.
DROP INDEX CONCURRENTLY IF EXISTS {schema}.idx_spare_embeddings_{kind}

-- build_spare_index_at_once --
-- The same in a transaction, as behind a pooler.
CREATE INDEX idx_spare_embeddings_{kind} ON spare_embeddings USING {index}

-- build_index --
-- Build the vector index.
CREATE INDEX idx_node_embeddings_hnsw ON node_embeddings USING hnsw (embedding {vector}_cosine_ops) WITH (m = 16, ef_construction = 64)

-- build_index_concurrently --
-- The same without blocking writers.
CREATE INDEX CONCURRENTLY idx_node_embeddings_hnsw ON node_embeddings USING hnsw (embedding {vector}_cosine_ops)
    WITH (m = 16, ef_construction = 64)

-- drop_index --
-- Drop the vector index, to fill the table faster.
DROP INDEX IF EXISTS {schema}.idx_node_embeddings_hnsw

-- drop_index_concurrently --
-- Drop an invalid vector index without blocking writers.
DROP INDEX CONCURRENTLY IF EXISTS {schema}.idx_node_embeddings_hnsw

-- analyze_spare --
-- Update planner statistics before the swap, which keeps them.
ANALYZE spare_embeddings
