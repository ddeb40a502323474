-- Reads of a copy from a SQLite source, with keyset pagination. On a Vestige file the same names are
-- views. A text key is bound as bytes, so that paging also continues after invalid UTF-8; rows with other keys are
-- counted, not read.

-- count --
-- Number of rows, and of those without a key.
SELECT count(*) AS n, coalesce(sum(/*keyless*/), 0) AS keyless FROM /*table*/

-- count_memories --
-- Number of rows; a row without an id is read and then rejected.
SELECT count(*) AS n, 0 AS keyless FROM knowledge_nodes

-- count_log --
-- Number of lines, and of those without an id.
SELECT count(*) AS n, count(*) - count(id) AS keyless FROM /*table*/

-- read --
-- Rows behind a key, each with its key once more at the end.
SELECT /*stored*/, /*key*/ FROM /*table*/ WHERE /*key_row*/ > /*page_row*/ AND /*keyed*/ ORDER BY /*key*/ LIMIT :limit

-- read_memories --
-- Memories with their schedules: values that are repaired in a schedule are kept in the memory's metadata.
SELECT /*stored m*/, /*schedule s*/, m.seq
FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id WHERE m.seq > :after ORDER BY m.seq LIMIT :limit

-- odd_id --
-- Condition: an id is no canonical UUID.
(typeof(id) <> 'text' OR length(id) <> 36 OR id NOT GLOB
    '[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]')

-- read_odd_ids --
-- Ids that are not canonical UUIDs.
SELECT seq, id FROM knowledge_nodes WHERE seq > :after AND /*= odd_id */ ORDER BY seq LIMIT :limit

-- find_seq --
-- Seq of a memory by id.
SELECT m.seq FROM knowledge_nodes m WHERE m.id = :id

-- read_vectors --
-- Vectors with the times of their memories: a vector encodes one version of a text.
SELECT /*stored e*/, m.created_at, m.updated_at, e.node_id
FROM node_embeddings e LEFT JOIN knowledge_nodes m ON m.id = e.node_id
WHERE e.node_id > CAST(:after AS TEXT) AND typeof(e.node_id) = 'text' ORDER BY e.node_id LIMIT :limit

-- review_columns --
-- Review log. Log ids differ between stores: a review is identified by memory, time, rating and the number of equal
-- ones before.
SELECT /*stored v*/,
    (SELECT count(*) FROM review_events b WHERE b.memory_id = v.memory_id AND b.timestamp = v.timestamp
        AND b.rating IS v.rating AND b.id < v.id) AS alike,
    u.memory_id, u.timestamp, u.rating,
    (SELECT count(*) FROM review_events b WHERE b.memory_id = u.memory_id AND b.timestamp = u.timestamp
        AND b.rating IS u.rating AND b.id < u.id) AS undone_alike,
    v.undoes, v.id
FROM review_events v LEFT JOIN review_events u ON u.id = v.undoes

-- read_reviews --
-- Reviews behind an id.
/*= review_columns */ WHERE v.id > :after ORDER BY v.id LIMIT :limit

-- supersession_columns --
-- Supersession events, each with the number of equal ones before.
SELECT /*stored v*/,
    (SELECT count(*) FROM supersession_events b WHERE b.loser_id = v.loser_id AND b.winner_id IS v.winner_id
        AND b.kind = v.kind AND b.decided_at = v.decided_at AND b.id < v.id) AS alike, v.id
FROM supersession_events v

-- read_supersession --
-- Supersession events behind an id.
/*= supersession_columns */ WHERE v.id > :after ORDER BY v.id LIMIT :limit

-- list_left_behind --
-- Other tables, which are not copied. The text index, which is rebuilt, and the console's own bookkeeping are not
-- listed.
SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
AND name NOT LIKE 'knowledge\_fts%' ESCAPE '\' AND name NOT IN (
    /*copied_tables*/, 'embedding_model', 'memory_connections', 'console_extra', 'schema_version',
    'vestige_migrations', 'delegations', 'job_runs', 'job_findings', 'journal', 'spare_model', 'model_changes', 'sync_state')
ORDER BY name

-- count_rows --
-- Number of rows of any table; {table} is its quoted name.
SELECT count(*) AS n FROM main.{table}
