-- How a comparison asks its target, table by table. Rows are known by their keys, in wire form; their other values come as
-- a digest, over what record_send says of them, and JSON as itself, because one value of it has many spellings. Only the
-- places of rows that are missing or differ come back.

-- differ_users --
-- Users; one whose handle another has here bears the beginning of its id.
SELECT u.ord::int AS ord, t.id IS NULL AS missing
FROM unnest(%(key)b::bytea[], %(digest)b::bytea[], %(handle)b::text[], %(metadata)b::text[]) WITH ORDINALITY u(key, digest, handle, metadata, ord)
LEFT JOIN users t ON t.id = encode(substring(u.key for 16), 'hex')::uuid
WHERE t.id IS NULL OR sha256(record_send(ROW(t.display_name, t.created_at))) <> u.digest
    OR (t.handle <> u.handle AND t.handle <> u.handle || '-' || left(t.id::text, 8))
    OR t.metadata <> u.metadata::jsonb

-- show_users --
-- The values of rows that differ.
SELECT u.ord::int AS ord, record_send(ROW(t.id, t.handle, t.display_name, t.created_at, t.metadata)) AS row
FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord) JOIN users t ON t.id = encode(substring(u.key for 16), 'hex')::uuid

-- keys_users --
-- The keys of a page of rows.
SELECT uuid_send(t.id) AS key FROM users t
WHERE %(after)s::bytea IS NULL OR t.id > encode(%(after)s::bytea, 'hex')::uuid ORDER BY t.id LIMIT %(limit)s

-- differ_groups --
-- Groups; one whose handle another has here bears the beginning of its id.
SELECT u.ord::int AS ord, t.id IS NULL AS missing
FROM unnest(%(key)b::bytea[], %(digest)b::bytea[], %(handle)b::text[], %(metadata)b::text[]) WITH ORDINALITY u(key, digest, handle, metadata, ord)
LEFT JOIN groups t ON t.id = encode(substring(u.key for 16), 'hex')::uuid
WHERE t.id IS NULL OR sha256(record_send(ROW(t.display_name, t.created_at))) <> u.digest
    OR (t.handle <> u.handle AND t.handle <> u.handle || '-' || left(t.id::text, 8))
    OR t.metadata <> u.metadata::jsonb

-- show_groups --
-- The values of rows that differ.
SELECT u.ord::int AS ord, record_send(ROW(t.id, t.handle, t.display_name, t.created_at, t.metadata)) AS row
FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord) JOIN groups t ON t.id = encode(substring(u.key for 16), 'hex')::uuid

-- keys_groups --
-- The keys of a page of rows.
SELECT uuid_send(t.id) AS key FROM groups t
WHERE %(after)s::bytea IS NULL OR t.id > encode(%(after)s::bytea, 'hex')::uuid ORDER BY t.id LIMIT %(limit)s

-- differ_memberships --
-- Who belongs to which group.
SELECT u.ord::int AS ord, t.user_id IS NULL AS missing
FROM unnest(%(key)b::bytea[], %(digest)b::bytea[]) WITH ORDINALITY u(key, digest, ord)
LEFT JOIN group_memberships t ON t.user_id = encode(substring(u.key for 16), 'hex')::uuid AND t.group_id = encode(substring(u.key from 17 for 16), 'hex')::uuid
WHERE t.user_id IS NULL OR sha256(record_send(ROW(t.role, t.joined_at))) <> u.digest

-- show_memberships --
-- The values of rows that differ.
SELECT u.ord::int AS ord, record_send(ROW(t.user_id, t.group_id, t.role, t.joined_at)) AS row
FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord) JOIN group_memberships t ON t.user_id = encode(substring(u.key for 16), 'hex')::uuid AND t.group_id = encode(substring(u.key from 17 for 16), 'hex')::uuid

-- keys_memberships --
-- The keys of a page of rows.
SELECT uuid_send(t.user_id) || uuid_send(t.group_id) AS key FROM group_memberships t
WHERE %(after)s::bytea IS NULL OR (t.user_id, t.group_id) > (encode(substring(%(after)s::bytea for 16), 'hex')::uuid, encode(substring(%(after)s::bytea from 17 for 16), 'hex')::uuid)
ORDER BY t.user_id, t.group_id LIMIT %(limit)s

-- differ_domains --
-- Domains.
SELECT u.ord::int AS ord, t.id IS NULL AS missing
FROM unnest(%(key)b::bytea[], %(digest)b::bytea[], %(metadata)b::text[]) WITH ORDINALITY u(key, digest, metadata, ord)
LEFT JOIN domains t ON t.id = convert_from(u.key, 'UTF8') COLLATE "default"
WHERE t.id IS NULL OR sha256(record_send(ROW(t.label, vector_send(t.centroid), t.top_terms, t.memory_count, t.created_at))) <> u.digest
    OR t.metadata <> u.metadata::jsonb

-- show_domains --
-- The values of rows that differ.
SELECT u.ord::int AS ord, record_send(ROW(t.id, t.label, vector_send(t.centroid), t.top_terms, t.memory_count, t.created_at, t.metadata)) AS row
FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord) JOIN domains t ON t.id = convert_from(u.key, 'UTF8') COLLATE "default"

-- keys_domains --
-- The keys of a page of rows.
SELECT textsend(t.id) AS key FROM domains t
WHERE %(after)s::bytea IS NULL OR t.id > convert_from(%(after)s::bytea, 'UTF8') COLLATE "default" ORDER BY t.id LIMIT %(limit)s

-- differ_memories --
-- Memories.
SELECT u.ord::int AS ord, t.id IS NULL AS missing
FROM unnest(%(key)b::bytea[], %(digest)b::bytea[], %(metadata)b::text[], %(domain_scores)b::text[]) WITH ORDINALITY u(key, digest, metadata, domain_scores, ord)
LEFT JOIN knowledge_nodes t ON t.id = encode(substring(u.key for 16), 'hex')::uuid
WHERE t.id IS NULL OR sha256(record_send(ROW(t.content, t.node_type, t.tags, t.domains, t.codebase, t.owner_user_id, t.visibility, t.shared_with_groups,
    t.created_at, t.updated_at))) <> u.digest
    OR t.metadata <> u.metadata::jsonb
    OR t.domain_scores <> u.domain_scores::jsonb

-- show_memories --
-- The values of rows that differ.
SELECT u.ord::int AS ord, record_send(ROW(t.id, t.content, t.node_type, t.tags, t.metadata, t.domains, t.domain_scores, t.codebase, t.owner_user_id,
    t.visibility, t.shared_with_groups, t.created_at, t.updated_at)) AS row
FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord) JOIN knowledge_nodes t ON t.id = encode(substring(u.key for 16), 'hex')::uuid

-- keys_memories --
-- The keys of a page of rows.
SELECT uuid_send(t.id) AS key FROM knowledge_nodes t
WHERE %(after)s::bytea IS NULL OR t.id > encode(%(after)s::bytea, 'hex')::uuid ORDER BY t.id LIMIT %(limit)s

-- differ_vectors --
-- Vectors.
SELECT u.ord::int AS ord, t.node_id IS NULL AS missing
FROM unnest(%(key)b::bytea[], %(digest)b::bytea[]) WITH ORDINALITY u(key, digest, ord)
LEFT JOIN node_embeddings t ON t.node_id = encode(substring(u.key for 16), 'hex')::uuid
WHERE t.node_id IS NULL OR sha256(record_send(ROW(vector_send(t.embedding::vector)))) <> u.digest

-- show_vectors --
-- The values of rows that differ.
SELECT u.ord::int AS ord, record_send(ROW(t.node_id, vector_send(t.embedding::vector))) AS row
FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord) JOIN node_embeddings t ON t.node_id = encode(substring(u.key for 16), 'hex')::uuid

-- keys_vectors --
-- The keys of a page of rows.
SELECT uuid_send(t.node_id) AS key FROM node_embeddings t
WHERE %(after)s::bytea IS NULL OR t.node_id > encode(%(after)s::bytea, 'hex')::uuid ORDER BY t.node_id LIMIT %(limit)s

-- differ_scheduling --
-- Schedules.
SELECT u.ord::int AS ord, t.memory_id IS NULL AS missing
FROM unnest(%(key)b::bytea[], %(digest)b::bytea[]) WITH ORDINALITY u(key, digest, ord)
LEFT JOIN scheduling t ON t.memory_id = encode(substring(u.key for 16), 'hex')::uuid
WHERE t.memory_id IS NULL OR sha256(record_send(ROW(t.stability, t.difficulty, t.retrievability, t.last_review, t.next_review, t.reps, t.lapses))) <> u.digest

-- show_scheduling --
-- The values of rows that differ.
SELECT u.ord::int AS ord, record_send(ROW(t.memory_id, t.stability, t.difficulty, t.retrievability, t.last_review, t.next_review, t.reps, t.lapses)) AS row
FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord) JOIN scheduling t ON t.memory_id = encode(substring(u.key for 16), 'hex')::uuid

-- keys_scheduling --
-- The keys of a page of rows.
SELECT uuid_send(t.memory_id) AS key FROM scheduling t
WHERE %(after)s::bytea IS NULL OR t.memory_id > encode(%(after)s::bytea, 'hex')::uuid ORDER BY t.memory_id LIMIT %(limit)s

-- differ_edges --
-- Links.
SELECT u.ord::int AS ord, t.source_id IS NULL AS missing
FROM unnest(%(key)b::bytea[], %(digest)b::bytea[]) WITH ORDINALITY u(key, digest, ord)
LEFT JOIN edges t ON t.source_id = encode(substring(u.key for 16), 'hex')::uuid AND t.target_id = encode(substring(u.key from 17 for 16), 'hex')::uuid
    AND t.edge_type = convert_from(substring(u.key from 33), 'UTF8') COLLATE "default"
WHERE t.source_id IS NULL OR sha256(record_send(ROW(t.weight, t.created_at))) <> u.digest

-- show_edges --
-- The values of rows that differ.
SELECT u.ord::int AS ord, record_send(ROW(t.source_id, t.target_id, t.edge_type, t.weight, t.created_at)) AS row
FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord) JOIN edges t ON t.source_id = encode(substring(u.key for 16), 'hex')::uuid AND t.target_id = encode(substring(u.key from 17 for 16), 'hex')::uuid
    AND t.edge_type = convert_from(substring(u.key from 33), 'UTF8') COLLATE "default"

-- keys_edges --
-- The keys of a page of rows.
SELECT uuid_send(t.source_id) || uuid_send(t.target_id) || textsend(t.edge_type) AS key FROM edges t
WHERE %(after)s::bytea IS NULL OR (t.source_id, t.target_id, t.edge_type)
    > (encode(substring(%(after)s::bytea for 16), 'hex')::uuid, encode(substring(%(after)s::bytea from 17 for 16), 'hex')::uuid, convert_from(substring(%(after)s::bytea from 33), 'UTF8') COLLATE "default")
ORDER BY t.source_id, t.target_id, t.edge_type LIMIT %(limit)s

-- differ_marks --
-- Marks on reviews.
SELECT u.ord::int AS ord, t.memory_id IS NULL AS missing
FROM unnest(%(key)b::bytea[], %(digest)b::bytea[]) WITH ORDINALITY u(key, digest, ord)
LEFT JOIN review_marks t ON t.memory_id = encode(substring(u.key for 16), 'hex')::uuid
WHERE t.memory_id IS NULL OR sha256(record_send(ROW(t.suspended, t.buried_until))) <> u.digest

-- show_marks --
-- The values of rows that differ.
SELECT u.ord::int AS ord, record_send(ROW(t.memory_id, t.suspended, t.buried_until)) AS row
FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord) JOIN review_marks t ON t.memory_id = encode(substring(u.key for 16), 'hex')::uuid

-- keys_marks --
-- The keys of a page of rows.
SELECT uuid_send(t.memory_id) AS key FROM review_marks t
WHERE %(after)s::bytea IS NULL OR t.memory_id > encode(%(after)s::bytea, 'hex')::uuid ORDER BY t.memory_id LIMIT %(limit)s

-- differ_reviews --
-- Lines of the review log, known by what they say and by how many that say the same came before.
WITH asked AS (SELECT * FROM unnest(%(key)b::bytea[], %(digest)b::bytea[], %(prior_state)b::text[], %(new_state)b::text[])
    WITH ORDINALITY u(key, digest, prior_state, new_state, ord)),
numbered AS MATERIALIZED (SELECT v.id, v.memory_id, v.timestamp, v.rating, v.prior_state, v.new_state, v.undoes,
    (row_number() OVER (PARTITION BY v.memory_id, v.timestamp, v.rating ORDER BY v.id) - 1)::int AS alike
    FROM review_events v
    WHERE v.memory_id IN (SELECT encode(substring(u.key for 16), 'hex')::uuid FROM asked u UNION ALL
        SELECT z.memory_id FROM asked u JOIN review_events y ON y.memory_id = encode(substring(u.key for 16), 'hex')::uuid
        JOIN review_events z ON z.id = y.undoes)),
lines AS MATERIALIZED (SELECT n.*, uuid_send(n.memory_id) || timestamptz_send(n.timestamp) || int2send(n.rating) || int4send(n.alike) AS key,
    ROW(w.memory_id, w.timestamp, w.rating, w.alike) AS undone
    FROM numbered n LEFT JOIN numbered w ON w.id = n.undoes)
SELECT u.ord::int AS ord, t.id IS NULL AS missing FROM asked u LEFT JOIN lines t ON t.key = u.key
WHERE t.id IS NULL OR sha256(record_send(t.undone)) <> u.digest
    OR t.prior_state <> u.prior_state::jsonb OR t.new_state <> u.new_state::jsonb

-- show_reviews --
-- The values of lines that differ.
WITH asked AS (SELECT * FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord)),
numbered AS MATERIALIZED (SELECT v.id, v.memory_id, v.timestamp, v.rating, v.prior_state, v.new_state, v.undoes,
    (row_number() OVER (PARTITION BY v.memory_id, v.timestamp, v.rating ORDER BY v.id) - 1)::int AS alike
    FROM review_events v
    WHERE v.memory_id IN (SELECT encode(substring(u.key for 16), 'hex')::uuid FROM asked u UNION ALL
        SELECT z.memory_id FROM asked u JOIN review_events y ON y.memory_id = encode(substring(u.key for 16), 'hex')::uuid
        JOIN review_events z ON z.id = y.undoes)),
lines AS MATERIALIZED (SELECT n.*, uuid_send(n.memory_id) || timestamptz_send(n.timestamp) || int2send(n.rating) || int4send(n.alike) AS key,
    w.memory_id AS undone_memory_id, w.timestamp AS undone_timestamp, w.rating AS undone_rating, w.alike AS undone_alike
    FROM numbered n LEFT JOIN numbered w ON w.id = n.undoes)
SELECT u.ord::int AS ord, record_send(ROW(t.memory_id, t.timestamp, t.rating, t.prior_state, t.new_state, t.alike,
    t.undone_memory_id, t.undone_timestamp, t.undone_rating, t.undone_alike)) AS row
FROM asked u JOIN lines t ON t.key = u.key

-- keys_reviews --
-- The keys of all lines of a page of memories: the places of those that say the same are counted memory by memory.
SELECT uuid_send(n.memory_id) || timestamptz_send(n.timestamp) || int2send(n.rating) || int4send(n.alike) AS key
FROM (SELECT v.memory_id, v.timestamp, v.rating,
    (row_number() OVER (PARTITION BY v.memory_id, v.timestamp, v.rating ORDER BY v.id) - 1)::int AS alike
    FROM review_events v WHERE v.memory_id IN (SELECT DISTINCT w.memory_id FROM review_events w
        WHERE %(after)s::bytea IS NULL OR w.memory_id > encode(substring(%(after)s::bytea for 16), 'hex')::uuid ORDER BY w.memory_id LIMIT %(limit)s)) n
ORDER BY key

-- differ_supersession --
-- Decisions, known by all that they say: one that differs is another.
WITH asked AS (SELECT * FROM unnest(%(key)b::bytea[], %(digest)b::bytea[]) WITH ORDINALITY u(key, digest, ord)),
there AS MATERIALIZED (SELECT uuid_send(n.loser_id) || coalesce(uuid_send(n.winner_id), decode(repeat('00', 16), 'hex'))
    || timestamptz_send(n.decided_at) || int4send(n.alike) || textsend(n.kind) AS key
    FROM (SELECT v.loser_id, v.winner_id, v.kind, v.decided_at,
    (row_number() OVER (PARTITION BY v.loser_id, v.winner_id, v.kind, v.decided_at ORDER BY v.id) - 1)::int AS alike
    FROM supersession_events v
    WHERE v.loser_id IN (SELECT encode(substring(u.key for 16), 'hex')::uuid FROM asked u)) n)
SELECT u.ord::int AS ord, true AS missing FROM asked u WHERE NOT EXISTS (SELECT 1 FROM there t WHERE t.key = u.key)

-- keys_supersession --
-- The keys of all decisions of a page of memories.
SELECT uuid_send(n.loser_id) || coalesce(uuid_send(n.winner_id), decode(repeat('00', 16), 'hex'))
    || timestamptz_send(n.decided_at) || int4send(n.alike) || textsend(n.kind) AS key
FROM (SELECT v.loser_id, v.winner_id, v.kind, v.decided_at,
    (row_number() OVER (PARTITION BY v.loser_id, v.winner_id, v.kind, v.decided_at ORDER BY v.id) - 1)::int AS alike
    FROM supersession_events v WHERE v.loser_id IN (SELECT DISTINCT w.loser_id FROM supersession_events w
        WHERE %(after)s::bytea IS NULL OR w.loser_id > encode(substring(%(after)s::bytea for 16), 'hex')::uuid ORDER BY w.loser_id LIMIT %(limit)s)) n
ORDER BY key
