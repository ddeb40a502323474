-- Reads of a copy from a PostgreSQL store, each wrapped in a binary COPY with the columns of load_<table>, so that the
-- target takes the rows as they arrive. Keyset pagination by an index; an empty key is the beginning. Rows of logs end
-- with their id, which only the reader uses.

-- count_users --
-- Number of rows.
SELECT count(*) AS n FROM users

-- read_users --
-- Users.
SELECT id, handle, display_name, created_at, metadata FROM users
WHERE %(after)s = '' OR id > nullif(%(after)s, '')::uuid ORDER BY id LIMIT %(limit)s

-- count_groups --
-- Number of rows.
SELECT count(*) AS n FROM groups

-- read_groups --
-- Groups.
SELECT id, handle, display_name, created_at, metadata FROM groups
WHERE %(after)s = '' OR id > nullif(%(after)s, '')::uuid ORDER BY id LIMIT %(limit)s

-- count_memberships --
-- Number of rows.
SELECT count(*) AS n FROM group_memberships

-- read_memberships --
-- Group memberships.
SELECT user_id, group_id, role, joined_at FROM group_memberships
WHERE %(after)s = '' OR (user_id, group_id) > (nullif(%(after)s, '')::uuid, nullif(%(after_second)s, '')::uuid)
ORDER BY user_id, group_id LIMIT %(limit)s

-- count_domains --
-- Number of rows, and of those without a key: an empty id cannot be paged over.
SELECT count(*) AS n, count(*) FILTER (WHERE id = '') AS keyless FROM domains

-- read_domains --
-- Domains.
SELECT id, label, centroid, top_terms, memory_count, created_at, metadata FROM domains
WHERE id > %(after)s ORDER BY id LIMIT %(limit)s

-- count_memories --
-- Number of rows.
SELECT count(*) AS n FROM knowledge_nodes

-- read_memories --
-- Memories.
SELECT id, content, node_type, tags, metadata, domains, domain_scores, codebase, owner_user_id, visibility, shared_with_groups,
    created_at, updated_at
FROM knowledge_nodes WHERE %(after)s = '' OR id > nullif(%(after)s, '')::uuid ORDER BY id LIMIT %(limit)s

-- count_vectors --
-- Number of rows.
SELECT count(*) AS n FROM node_embeddings

-- read_vectors --
-- Vectors in single precision, with the edit time of the memory that they encode.
SELECT e.node_id, e.embedding::vector, m.updated_at FROM node_embeddings e JOIN knowledge_nodes m ON m.id = e.node_id
WHERE %(after)s = '' OR e.node_id > nullif(%(after)s, '')::uuid ORDER BY e.node_id LIMIT %(limit)s

-- count_scheduling --
-- Number of rows.
SELECT count(*) AS n FROM scheduling

-- read_scheduling --
-- Schedules.
SELECT memory_id, stability, difficulty, retrievability, last_review, next_review, reps, lapses FROM scheduling
WHERE %(after)s = '' OR memory_id > nullif(%(after)s, '')::uuid ORDER BY memory_id LIMIT %(limit)s

-- count_edges --
-- Number of rows.
SELECT count(*) AS n FROM edges

-- read_edges --
-- Links.
SELECT source_id, target_id, edge_type, weight, created_at FROM edges
WHERE %(after)s = '' OR (source_id, target_id, edge_type)
    > (nullif(%(after)s, '')::uuid, nullif(%(after_second)s, '')::uuid, %(after_third)s)
ORDER BY source_id, target_id, edge_type LIMIT %(limit)s

-- count_reviews --
-- Number of rows.
SELECT count(*) AS n FROM review_events

-- read_reviews --
-- Review log. Log ids differ between stores: a review is identified by memory, time, rating and the number of equal
-- ones before.
SELECT v.memory_id, v.timestamp, v.rating, v.prior_state, v.new_state,
    (SELECT count(*)::integer FROM review_events b WHERE b.memory_id = v.memory_id AND b.timestamp = v.timestamp
        AND b.rating = v.rating AND b.id < v.id),
    u.memory_id, u.timestamp, u.rating,
    CASE WHEN u.id IS NOT NULL THEN (SELECT count(*)::integer FROM review_events b WHERE b.memory_id = u.memory_id
        AND b.timestamp = u.timestamp AND b.rating = u.rating AND b.id < u.id) END,
    v.id
FROM review_events v LEFT JOIN review_events u ON u.id = v.undoes WHERE v.id > %(after)s ORDER BY v.id LIMIT %(limit)s

-- count_supersession --
-- Number of rows.
SELECT count(*) AS n FROM supersession_events

-- read_supersession --
-- Supersession events, each with the number of equal ones before.
SELECT v.loser_id, v.winner_id, v.kind, v.decided_at,
    (SELECT count(*)::integer FROM supersession_events b WHERE b.loser_id = v.loser_id
        AND b.winner_id IS NOT DISTINCT FROM v.winner_id AND b.kind = v.kind AND b.decided_at = v.decided_at AND b.id < v.id),
    v.id
FROM supersession_events v WHERE v.id > %(after)s ORDER BY v.id LIMIT %(limit)s

-- count_marks --
-- Number of rows.
SELECT count(*) AS n FROM review_marks

-- read_marks --
-- Suspended and buried states.
SELECT memory_id, suspended, buried_until FROM review_marks
WHERE %(after)s = '' OR memory_id > nullif(%(after)s, '')::uuid ORDER BY memory_id LIMIT %(limit)s

-- list_left_behind --
-- Other tables in the schema, which are not copied. Tables of extensions and the console's own bookkeeping are not
-- listed.
SELECT c.relname AS name FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
AND NOT c.relispartition AND has_table_privilege(c.oid, 'SELECT')
AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
AND c.relname NOT IN (
    'users', 'groups', 'group_memberships', 'domains', 'knowledge_nodes', 'node_embeddings', 'scheduling', 'edges', 'review_events',
    'supersession_events', 'review_marks', 'embedding_model', 'vestige_migrations', 'delegations', 'job_runs', 'job_findings',
    'journal', 'term_stats', 'spare_model', 'model_changes', 'sync_state')
ORDER BY c.relname

-- count_rows --
-- Number of rows of any table; {table} is its quoted name.
SELECT count(*) AS n FROM {table}
