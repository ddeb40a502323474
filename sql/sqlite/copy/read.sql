-- Reads of a copy from a SQLite source, table by table, with keyset pagination. On a Vestige file the same names are
-- views. A text key is bound as bytes, so that paging also continues after invalid UTF-8; rows with other keys are
-- counted, not read.

-- count_users --
-- Number of rows, and of those without a key.
SELECT count(*) AS n, coalesce(sum(typeof(id) <> 'text' OR id = ''), 0) AS keyless FROM users

-- read_users --
-- Users.
SELECT id, handle, display_name, created_at, metadata, id FROM users WHERE id > CAST(:after AS TEXT) AND typeof(id) = 'text' ORDER BY id LIMIT :limit

-- count_groups --
-- Number of rows, and of those without a key.
SELECT count(*) AS n, coalesce(sum(typeof(id) <> 'text' OR id = ''), 0) AS keyless FROM groups

-- read_groups --
-- Groups.
SELECT id, handle, display_name, created_at, metadata, id FROM groups WHERE id > CAST(:after AS TEXT) AND typeof(id) = 'text' ORDER BY id LIMIT :limit

-- count_memberships --
-- Number of rows, and of those without a key.
SELECT count(*) AS n, coalesce(sum(typeof(user_id) <> 'text' OR typeof(group_id) <> 'text'), 0) AS keyless FROM group_memberships

-- read_memberships --
-- Group memberships.
SELECT user_id, group_id, role, joined_at, user_id, group_id FROM group_memberships
WHERE (user_id, group_id) > (CAST(:after AS TEXT), CAST(:after_second AS TEXT))
AND typeof(user_id) = 'text' AND typeof(group_id) = 'text' ORDER BY user_id, group_id LIMIT :limit

-- count_domains --
-- Number of rows, and of those without a key.
SELECT count(*) AS n, coalesce(sum(typeof(id) <> 'text' OR id = ''), 0) AS keyless FROM domains

-- read_domains --
-- Domains.
SELECT id, label, centroid, top_terms, memory_count, created_at, metadata, id FROM domains
WHERE id > CAST(:after AS TEXT) AND typeof(id) = 'text' ORDER BY id LIMIT :limit

-- count_memories --
-- Number of rows; a row without an id is read and then rejected.
SELECT count(*) AS n, 0 AS keyless FROM knowledge_nodes

-- read_memories --
-- Memories with their schedules: values that are repaired in a schedule are kept in the memory's metadata.
SELECT m.id, m.content, m.node_type, m.tags, m.metadata, m.domains, m.domain_scores, m.codebase, m.owner_user_id,
    m.visibility, m.shared_with_groups, m.created_at, m.updated_at,
    s.memory_id, s.stability, s.difficulty, s.retrievability, s.last_review, s.next_review, s.reps, s.lapses, m.seq
FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id WHERE m.seq > :after ORDER BY m.seq LIMIT :limit

-- read_odd_ids --
-- Ids that are not canonical UUIDs.
SELECT m.seq, m.id FROM knowledge_nodes m WHERE m.seq > :after AND (typeof(m.id) <> 'text' OR length(m.id) <> 36 OR m.id NOT GLOB
    '[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]')
ORDER BY m.seq LIMIT :limit

-- find_seq --
-- Seq of a memory by id.
SELECT m.seq FROM knowledge_nodes m WHERE m.id = :id

-- count_vectors --
-- Number of rows, and of those without a key.
SELECT count(*) AS n, coalesce(sum(typeof(node_id) <> 'text' OR node_id = ''), 0) AS keyless FROM node_embeddings

-- read_vectors --
-- Vectors with the times of their memories: a vector encodes one version of a text.
SELECT e.node_id, e.embedding, m.created_at, m.updated_at, e.node_id
FROM node_embeddings e LEFT JOIN knowledge_nodes m ON m.id = e.node_id
WHERE e.node_id > CAST(:after AS TEXT) AND typeof(e.node_id) = 'text' ORDER BY e.node_id LIMIT :limit

-- count_scheduling --
-- Number of rows, and of those without a key.
SELECT count(*) AS n, coalesce(sum(typeof(memory_id) <> 'text' OR memory_id = ''), 0) AS keyless FROM scheduling

-- read_scheduling --
-- Schedules.
SELECT memory_id, stability, difficulty, retrievability, last_review, next_review, reps, lapses, memory_id
FROM scheduling WHERE memory_id > CAST(:after AS TEXT) AND typeof(memory_id) = 'text' ORDER BY memory_id LIMIT :limit

-- count_edges --
-- Number of rows, and of those without a key.
SELECT count(*) AS n, coalesce(sum(typeof(source_id) <> 'text' OR typeof(target_id) <> 'text' OR typeof(edge_type) <> 'text'), 0) AS keyless FROM edges

-- read_edges --
-- Links.
SELECT source_id, target_id, edge_type, weight, created_at, source_id, target_id, edge_type FROM edges
WHERE (source_id, target_id, edge_type) > (CAST(:after AS TEXT), CAST(:after_second AS TEXT), CAST(:after_third AS TEXT))
AND typeof(source_id) = 'text' AND typeof(target_id) = 'text' AND typeof(edge_type) = 'text' ORDER BY source_id, target_id, edge_type LIMIT :limit

-- count_reviews --
-- Number of rows, and of those without a key.
SELECT count(*) AS n, count(*) - count(id) AS keyless FROM review_events

-- read_reviews --
-- Review log. Log ids differ between stores: a review is identified by memory, time, rating and the number of equal
-- ones before.
SELECT v.memory_id, v.timestamp, v.rating, v.prior_state, v.new_state,
    (SELECT count(*) FROM review_events b WHERE b.memory_id = v.memory_id AND b.timestamp = v.timestamp
        AND b.rating IS v.rating AND b.id < v.id) AS alike,
    u.memory_id, u.timestamp, u.rating,
    (SELECT count(*) FROM review_events b WHERE b.memory_id = u.memory_id AND b.timestamp = u.timestamp
        AND b.rating IS u.rating AND b.id < u.id) AS undone_alike,
    v.undoes, v.id
FROM review_events v LEFT JOIN review_events u ON u.id = v.undoes WHERE v.id > :after ORDER BY v.id LIMIT :limit

-- count_supersession --
-- Number of rows, and of those without a key.
SELECT count(*) AS n, count(*) - count(id) AS keyless FROM supersession_events

-- read_supersession --
-- Supersession events, each with the number of equal ones before.
SELECT v.loser_id, v.winner_id, v.kind, v.decided_at,
    (SELECT count(*) FROM supersession_events b WHERE b.loser_id = v.loser_id AND b.winner_id IS v.winner_id
        AND b.kind = v.kind AND b.decided_at = v.decided_at AND b.id < v.id) AS alike, v.id
FROM supersession_events v WHERE v.id > :after ORDER BY v.id LIMIT :limit

-- count_marks --
-- Number of rows, and of those without a key.
SELECT count(*) AS n, coalesce(sum(typeof(memory_id) <> 'text' OR memory_id = ''), 0) AS keyless FROM review_marks

-- read_marks --
-- Suspended and buried states.
SELECT memory_id, suspended, buried_until, memory_id FROM review_marks
WHERE memory_id > CAST(:after AS TEXT) AND typeof(memory_id) = 'text' ORDER BY memory_id LIMIT :limit

-- list_left_behind --
-- Other tables, which are not copied. The text index, which is rebuilt, and the console's own bookkeeping are not
-- listed.
SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
AND name NOT LIKE 'knowledge\_fts%' ESCAPE '\' AND name NOT IN (
    'users', 'groups', 'group_memberships', 'domains', 'knowledge_nodes', 'node_embeddings', 'scheduling', 'edges', 'review_events',
    'supersession_events', 'review_marks', 'embedding_model', 'memory_connections', 'console_extra', 'schema_version',
    'vestige_migrations', 'delegations', 'job_runs', 'job_findings', 'journal', 'spare_model', 'model_changes', 'sync_state')
ORDER BY name

-- count_rows --
-- Number of rows of any table; {table} is its quoted name.
SELECT count(*) AS n FROM main.{table}
