-- Reads of a copy from a PostgreSQL store, each wrapped in a binary COPY with the columns of a row, so that the target
-- takes the rows as they arrive. Keyset pagination by an index; an empty key is the beginning. Lines of logs end with
-- their id, which only the reader uses.

-- count --
-- Number of rows.
SELECT count(*) AS n FROM /*table*/

-- count_named --
-- Number of rows, and of those without a key: an empty id cannot be paged over.
SELECT count(*) AS n, count(*) FILTER (WHERE /*key*/ = '') AS keyless FROM /*table*/

-- read --
-- Rows behind a key of UUIDs.
SELECT /*stored*/ FROM /*table*/
WHERE %(after)s = '' OR /*key_row*/ > /*page_row*/ ORDER BY /*key*/ LIMIT %(limit)s

-- read_named --
-- Rows behind a key that is a text.
SELECT /*stored*/ FROM /*table*/ WHERE /*key*/ > %(after)s ORDER BY /*key*/ LIMIT %(limit)s

-- read_vectors --
-- Vectors in single precision, with the edit time of the memory that they encode.
SELECT /*read_stored e*/, m.updated_at FROM node_embeddings e JOIN knowledge_nodes m ON m.id = e.node_id
WHERE %(after)s = '' OR e.node_id > nullif(%(after)s, '')::uuid ORDER BY e.node_id LIMIT %(limit)s

-- read_reviews --
-- Review log. Log ids differ between stores: a review is identified by memory, time, rating and the number of equal
-- ones before.
SELECT /*stored v*/,
    (SELECT count(*)::integer FROM review_events b WHERE b.memory_id = v.memory_id AND b.timestamp = v.timestamp
        AND b.rating = v.rating AND b.id < v.id),
    u.memory_id, u.timestamp, u.rating,
    CASE WHEN u.id IS NOT NULL THEN (SELECT count(*)::integer FROM review_events b WHERE b.memory_id = u.memory_id
        AND b.timestamp = u.timestamp AND b.rating = u.rating AND b.id < u.id) END,
    v.id
FROM review_events v LEFT JOIN review_events u ON u.id = v.undoes WHERE v.id > %(after)s ORDER BY v.id LIMIT %(limit)s

-- read_supersession --
-- Supersession events, each with the number of equal ones before.
SELECT /*stored v*/,
    (SELECT count(*)::integer FROM supersession_events b WHERE b.loser_id = v.loser_id
        AND b.winner_id IS NOT DISTINCT FROM v.winner_id AND b.kind = v.kind AND b.decided_at = v.decided_at AND b.id < v.id),
    v.id
FROM supersession_events v WHERE v.id > %(after)s ORDER BY v.id LIMIT %(limit)s

-- list_left_behind --
-- Other tables in the schema, which are not copied. Tables of extensions and the console's own bookkeeping are not
-- listed.
SELECT c.relname AS name FROM pg_class c WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind IN ('r', 'p')
AND NOT c.relispartition AND has_table_privilege(c.oid, 'SELECT')
AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
AND c.relname NOT IN (
    /*copied_tables*/, 'embedding_model', 'vestige_migrations', 'delegations', 'job_runs', 'job_findings',
    'journal', 'term_stats', 'spare_model', 'model_changes', 'sync_state')
ORDER BY c.relname

-- count_rows --
-- Number of rows of any table; {table} is its quoted name.
SELECT count(*) AS n FROM {table}
