-- How a copy reads a PostgreSQL store: each statement goes out inside a binary COPY, so that what arrives is what the
-- target is given, in the order of load_<table>. A read continues behind a key, by an index; an empty one is the
-- beginning. A log ends with its own number, which only the reader needs.

-- count_users --
-- Rows there are.
SELECT count(*) AS n FROM users

-- read_users --
-- Users.
SELECT id, handle, display_name, created_at, metadata FROM users
WHERE %(after)s = '' OR id > nullif(%(after)s, '')::uuid ORDER BY id LIMIT %(limit)s

-- count_groups --
-- Rows there are.
SELECT count(*) AS n FROM groups

-- read_groups --
-- Groups.
SELECT id, handle, display_name, created_at, metadata FROM groups
WHERE %(after)s = '' OR id > nullif(%(after)s, '')::uuid ORDER BY id LIMIT %(limit)s

-- count_memberships --
-- Rows there are.
SELECT count(*) AS n FROM group_memberships

-- read_memberships --
-- Who belongs to which group.
SELECT user_id, group_id, role, joined_at FROM group_memberships
WHERE %(after)s = '' OR (user_id, group_id) > (nullif(%(after)s, '')::uuid, nullif(%(after_second)s, '')::uuid)
ORDER BY user_id, group_id LIMIT %(limit)s

-- count_domains --
-- Rows there are, and how many of them have no key: one may be called by the empty text.
SELECT count(*) AS n, count(*) FILTER (WHERE id = '') AS keyless FROM domains

-- read_domains --
-- Domains.
SELECT id, label, centroid, top_terms, memory_count, created_at, metadata FROM domains
WHERE id > %(after)s ORDER BY id LIMIT %(limit)s

-- count_memories --
-- Rows there are.
SELECT count(*) AS n FROM knowledge_nodes

-- read_memories --
-- Memories.
SELECT id, content, node_type, tags, metadata, domains, domain_scores, codebase, owner_user_id, visibility, shared_with_groups,
    created_at, updated_at
FROM knowledge_nodes WHERE %(after)s = '' OR id > nullif(%(after)s, '')::uuid ORDER BY id LIMIT %(limit)s

-- count_vectors --
-- Rows there are.
SELECT count(*) AS n FROM node_embeddings

-- read_vectors --
-- Vectors, with single precision whatever they are stored in, and the state of the memory that they belong to.
SELECT e.node_id, e.embedding::vector, m.updated_at FROM node_embeddings e JOIN knowledge_nodes m ON m.id = e.node_id
WHERE %(after)s = '' OR e.node_id > nullif(%(after)s, '')::uuid ORDER BY e.node_id LIMIT %(limit)s

-- count_scheduling --
-- Rows there are.
SELECT count(*) AS n FROM scheduling

-- read_scheduling --
-- Schedules.
SELECT memory_id, stability, difficulty, retrievability, last_review, next_review, reps, lapses FROM scheduling
WHERE %(after)s = '' OR memory_id > nullif(%(after)s, '')::uuid ORDER BY memory_id LIMIT %(limit)s

-- count_edges --
-- Rows there are.
SELECT count(*) AS n FROM edges

-- read_edges --
-- Links.
SELECT source_id, target_id, edge_type, weight, created_at FROM edges
WHERE %(after)s = '' OR (source_id, target_id, edge_type)
    > (nullif(%(after)s, '')::uuid, nullif(%(after_second)s, '')::uuid, %(after_third)s)
ORDER BY source_id, target_id, edge_type LIMIT %(limit)s

-- count_reviews --
-- Rows there are.
SELECT count(*) AS n FROM review_events

-- read_reviews --
-- The review log. A log has no ids that travel: a line is known by memory, time, grade, and how many alike came before it.
SELECT v.memory_id, v.timestamp, v.rating, v.prior_state, v.new_state,
    (SELECT count(*)::integer FROM review_events b WHERE b.memory_id = v.memory_id AND b.timestamp = v.timestamp
        AND b.rating = v.rating AND b.id < v.id),
    u.memory_id, u.timestamp, u.rating,
    CASE WHEN u.id IS NOT NULL THEN (SELECT count(*)::integer FROM review_events b WHERE b.memory_id = u.memory_id
        AND b.timestamp = u.timestamp AND b.rating = u.rating AND b.id < u.id) END,
    v.id
FROM review_events v LEFT JOIN review_events u ON u.id = v.undoes WHERE v.id > %(after)s ORDER BY v.id LIMIT %(limit)s

-- count_supersession --
-- Rows there are.
SELECT count(*) AS n FROM supersession_events

-- read_supersession --
-- Decisions, each with how many alike came before it.
SELECT v.loser_id, v.winner_id, v.kind, v.decided_at,
    (SELECT count(*)::integer FROM supersession_events b WHERE b.loser_id = v.loser_id
        AND b.winner_id IS NOT DISTINCT FROM v.winner_id AND b.kind = v.kind AND b.decided_at = v.decided_at AND b.id < v.id),
    v.id
FROM supersession_events v WHERE v.id > %(after)s ORDER BY v.id LIMIT %(limit)s

-- count_marks --
-- Rows there are.
SELECT count(*) AS n FROM review_marks

-- read_marks --
-- The console's own marks on reviews.
SELECT memory_id, suspended, buried_until FROM review_marks
WHERE %(after)s = '' OR memory_id > nullif(%(after)s, '')::uuid ORDER BY memory_id LIMIT %(limit)s

-- list_left_behind --
-- Tables beside ours in the same schema that the target has no place for. What an extension brought is no data of the
-- store, and what the console notes about itself stays.
SELECT c.relname AS name FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
AND NOT c.relispartition AND has_table_privilege(c.oid, 'SELECT')
AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
AND c.relname NOT IN (
    'users', 'groups', 'group_memberships', 'domains', 'knowledge_nodes', 'node_embeddings', 'scheduling', 'edges', 'review_events',
    'supersession_events', 'review_marks', 'embedding_model', 'vestige_migrations', 'delegations', 'job_runs', 'job_findings',
    'journal', 'term_stats', 'spare_model', 'model_changes', 'sync_state')
ORDER BY c.relname

-- count_rows --
-- Rows of any table of the store; {table} is its quoted name.
SELECT count(*) AS n FROM {table}
