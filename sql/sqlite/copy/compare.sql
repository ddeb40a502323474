-- Reads of a comparison from a SQLite target, table by table: rows by key, with the columns of the source's reads, so
-- that both are converted before they are compared. :ids is a JSON list of ids; :keys is a list of lists, for composite
-- keys with very many rows under one first value.

-- rows_users --
-- Users.
SELECT id, handle, display_name, created_at, metadata FROM users WHERE id IN (SELECT value FROM json_each(:ids))

-- rows_groups --
-- Groups.
SELECT id, handle, display_name, created_at, metadata FROM groups WHERE id IN (SELECT value FROM json_each(:ids))

-- rows_memberships --
-- Group memberships.
SELECT m.user_id, m.group_id, m.role, m.joined_at FROM json_each(:keys) k JOIN group_memberships m
ON m.user_id = json_extract(k.value, '$[0]') AND m.group_id = json_extract(k.value, '$[1]')

-- rows_domains --
-- Domains.
SELECT id, label, centroid, top_terms, memory_count, created_at, metadata FROM domains
WHERE id IN (SELECT value FROM json_each(:ids))

-- rows_memories --
-- Memories; schedules are compared separately.
SELECT m.id, m.content, m.node_type, m.tags, m.metadata, m.domains, m.domain_scores, m.codebase, m.owner_user_id,
    m.visibility, m.shared_with_groups, m.created_at, m.updated_at, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, m.seq
FROM knowledge_nodes m WHERE m.id IN (SELECT value FROM json_each(:ids))

-- rows_vectors --
-- Vectors.
SELECT node_id, embedding FROM node_embeddings WHERE node_id IN (SELECT value FROM json_each(:ids))

-- rows_scheduling --
-- Schedules.
SELECT memory_id, stability, difficulty, retrievability, last_review, next_review, reps, lapses, memory_id FROM scheduling
WHERE memory_id IN (SELECT value FROM json_each(:ids))

-- rows_edges --
-- Links.
SELECT e.source_id, e.target_id, e.edge_type, e.weight, e.created_at FROM json_each(:keys) k JOIN edges e
ON e.source_id = json_extract(k.value, '$[0]') AND e.target_id = json_extract(k.value, '$[1]')
AND e.edge_type = json_extract(k.value, '$[2]')

-- rows_reviews --
-- Reviews, identified by their values and the number of equal ones before.
SELECT v.memory_id, v.timestamp, v.rating, v.prior_state, v.new_state,
    (SELECT count(*) FROM review_events b WHERE b.memory_id = v.memory_id AND b.timestamp = v.timestamp
        AND b.rating IS v.rating AND b.id < v.id) AS alike,
    u.memory_id, u.timestamp, u.rating,
    (SELECT count(*) FROM review_events b WHERE b.memory_id = u.memory_id AND b.timestamp = u.timestamp
        AND b.rating IS u.rating AND b.id < u.id) AS undone_alike,
    v.undoes, v.id
FROM review_events v LEFT JOIN review_events u ON u.id = v.undoes
WHERE v.memory_id IN (SELECT value FROM json_each(:ids))

-- rows_supersession --
-- Supersession events, each with the number of equal ones before.
SELECT v.loser_id, v.winner_id, v.kind, v.decided_at,
    (SELECT count(*) FROM supersession_events b WHERE b.loser_id = v.loser_id AND b.winner_id IS v.winner_id
        AND b.kind = v.kind AND b.decided_at = v.decided_at AND b.id < v.id) AS alike, v.id
FROM supersession_events v WHERE v.loser_id IN (SELECT value FROM json_each(:ids))

-- rows_marks --
-- Suspended and buried states.
SELECT memory_id, suspended, buried_until, memory_id FROM review_marks WHERE memory_id IN (SELECT value FROM json_each(:ids))

-- ids_users --
-- Keys of a page of rows; keyset pagination.
SELECT id FROM users WHERE id > CAST(:after AS TEXT) ORDER BY id LIMIT :limit

-- ids_groups --
-- Keys of a page of rows; keyset pagination.
SELECT id FROM groups WHERE id > CAST(:after AS TEXT) ORDER BY id LIMIT :limit

-- ids_memberships --
-- Keys of a page of rows; keyset pagination.
SELECT user_id, group_id FROM group_memberships WHERE (user_id, group_id) > (CAST(:after AS TEXT), CAST(:after_second AS TEXT))
ORDER BY user_id, group_id LIMIT :limit

-- ids_domains --
-- Keys of a page of rows; keyset pagination.
SELECT id FROM domains WHERE id > CAST(:after AS TEXT) ORDER BY id LIMIT :limit

-- ids_memories --
-- Keys of a page of rows; keyset pagination.
SELECT id FROM knowledge_nodes WHERE id > CAST(:after AS TEXT) ORDER BY id LIMIT :limit

-- ids_vectors --
-- Keys of a page of rows; keyset pagination.
SELECT node_id FROM node_embeddings WHERE node_id > CAST(:after AS TEXT) ORDER BY node_id LIMIT :limit

-- ids_scheduling --
-- Keys of a page of rows; keyset pagination.
SELECT memory_id FROM scheduling WHERE memory_id > CAST(:after AS TEXT) ORDER BY memory_id LIMIT :limit

-- ids_edges --
-- Keys of a page of rows; keyset pagination.
SELECT source_id, target_id, edge_type FROM edges
WHERE (source_id, target_id, edge_type) > (CAST(:after AS TEXT), CAST(:after_second AS TEXT), CAST(:after_third AS TEXT))
ORDER BY source_id, target_id, edge_type LIMIT :limit

-- ids_reviews --
-- Page of distinct memory ids of the log; keyset pagination.
SELECT DISTINCT memory_id FROM review_events WHERE memory_id > CAST(:after AS TEXT) ORDER BY memory_id LIMIT :limit

-- ids_supersession --
-- Page of distinct memory ids of the log; keyset pagination.
SELECT DISTINCT loser_id FROM supersession_events WHERE loser_id > CAST(:after AS TEXT) ORDER BY loser_id LIMIT :limit

-- ids_marks --
-- Keys of a page of rows; keyset pagination.
SELECT memory_id FROM review_marks WHERE memory_id > CAST(:after AS TEXT) ORDER BY memory_id LIMIT :limit
