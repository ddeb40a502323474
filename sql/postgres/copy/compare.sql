-- Comparison in the target, table by table. Rows are identified by keys in wire form; their other values are sent as a
-- SHA-256 of record_send, and JSON as itself, because equal JSON has many spellings. The result is the ordinals of
-- missing and differing rows. Texts are UTF-8 bytes in both directions, and lists of texts are JSON: the server would
-- convert text to and from the session's encoding, and under a wrong one a comparison would miss the errors of a copy
-- under the same one.

-- differ_users --
-- Compare users; a handle taken in the target has the head of the id appended.
SELECT u.ord::int AS ord, t.id IS NULL AS missing
FROM unnest(%(key)b::bytea[], %(digest)b::bytea[], %(handle)b::bytea[], %(metadata)b::bytea[]) WITH ORDINALITY u(key, digest, handle, metadata, ord)
LEFT JOIN users t ON t.id = encode(substring(u.key for 16), 'hex')::uuid
WHERE t.id IS NULL OR sha256(record_send(ROW(convert_to(t.display_name, 'UTF8'), t.created_at))) <> u.digest
    OR t.handle NOT IN (convert_from(u.handle, 'UTF8'), convert_from(u.handle, 'UTF8') || '-' || left(t.id::text, 8))
    OR t.metadata <> convert_from(u.metadata, 'UTF8')::jsonb

-- show_users --
-- Values of differing rows.
SELECT u.ord::int AS ord, record_send(ROW(t.id, convert_to(t.handle, 'UTF8'), convert_to(t.display_name, 'UTF8'), t.created_at,
    convert_to(t.metadata::text, 'UTF8'))) AS row
FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord) JOIN users t ON t.id = encode(substring(u.key for 16), 'hex')::uuid

-- keys_users --
-- Keys of a page of rows; keyset pagination.
SELECT uuid_send(t.id) AS key FROM users t
WHERE %(after)s::bytea IS NULL OR t.id > encode(%(after)s::bytea, 'hex')::uuid ORDER BY t.id LIMIT %(limit)s

-- differ_groups --
-- Compare groups; a handle taken in the target has the head of the id appended.
SELECT u.ord::int AS ord, t.id IS NULL AS missing
FROM unnest(%(key)b::bytea[], %(digest)b::bytea[], %(handle)b::bytea[], %(metadata)b::bytea[]) WITH ORDINALITY u(key, digest, handle, metadata, ord)
LEFT JOIN groups t ON t.id = encode(substring(u.key for 16), 'hex')::uuid
WHERE t.id IS NULL OR sha256(record_send(ROW(convert_to(t.display_name, 'UTF8'), t.created_at))) <> u.digest
    OR t.handle NOT IN (convert_from(u.handle, 'UTF8'), convert_from(u.handle, 'UTF8') || '-' || left(t.id::text, 8))
    OR t.metadata <> convert_from(u.metadata, 'UTF8')::jsonb

-- show_groups --
-- Values of differing rows.
SELECT u.ord::int AS ord, record_send(ROW(t.id, convert_to(t.handle, 'UTF8'), convert_to(t.display_name, 'UTF8'), t.created_at,
    convert_to(t.metadata::text, 'UTF8'))) AS row
FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord) JOIN groups t ON t.id = encode(substring(u.key for 16), 'hex')::uuid

-- keys_groups --
-- Keys of a page of rows; keyset pagination.
SELECT uuid_send(t.id) AS key FROM groups t
WHERE %(after)s::bytea IS NULL OR t.id > encode(%(after)s::bytea, 'hex')::uuid ORDER BY t.id LIMIT %(limit)s

-- differ_memberships --
-- Group memberships.
SELECT u.ord::int AS ord, t.user_id IS NULL AS missing
FROM unnest(%(key)b::bytea[], %(digest)b::bytea[]) WITH ORDINALITY u(key, digest, ord)
LEFT JOIN group_memberships t ON t.user_id = encode(substring(u.key for 16), 'hex')::uuid AND t.group_id = encode(substring(u.key from 17 for 16), 'hex')::uuid
WHERE t.user_id IS NULL OR sha256(record_send(ROW(convert_to(t.role, 'UTF8'), t.joined_at))) <> u.digest

-- show_memberships --
-- Values of differing rows.
SELECT u.ord::int AS ord, record_send(ROW(t.user_id, t.group_id, convert_to(t.role, 'UTF8'), t.joined_at)) AS row
FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord) JOIN group_memberships t ON t.user_id = encode(substring(u.key for 16), 'hex')::uuid AND t.group_id = encode(substring(u.key from 17 for 16), 'hex')::uuid

-- keys_memberships --
-- Keys of a page of rows; keyset pagination.
SELECT uuid_send(t.user_id) || uuid_send(t.group_id) AS key FROM group_memberships t
WHERE %(after)s::bytea IS NULL OR (t.user_id, t.group_id) > (encode(substring(%(after)s::bytea for 16), 'hex')::uuid, encode(substring(%(after)s::bytea from 17 for 16), 'hex')::uuid)
ORDER BY t.user_id, t.group_id LIMIT %(limit)s

-- differ_domains --
-- Domains.
SELECT u.ord::int AS ord, t.id IS NULL AS missing
FROM unnest(%(key)b::bytea[], %(digest)b::bytea[], %(metadata)b::bytea[]) WITH ORDINALITY u(key, digest, metadata, ord)
LEFT JOIN domains t ON t.id = convert_from(u.key, 'UTF8') COLLATE "default"
WHERE t.id IS NULL OR sha256(record_send(ROW(convert_to(t.label, 'UTF8'), vector_send(t.centroid),
    convert_to(array_to_json(t.top_terms)::text, 'UTF8'), t.memory_count, t.created_at))) <> u.digest
    OR t.metadata <> convert_from(u.metadata, 'UTF8')::jsonb

-- show_domains --
-- Values of differing rows.
SELECT u.ord::int AS ord, record_send(ROW(convert_to(t.id, 'UTF8'), convert_to(t.label, 'UTF8'), vector_send(t.centroid),
    convert_to(array_to_json(t.top_terms)::text, 'UTF8'), t.memory_count, t.created_at, convert_to(t.metadata::text, 'UTF8'))) AS row
FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord) JOIN domains t ON t.id = convert_from(u.key, 'UTF8') COLLATE "default"

-- keys_domains --
-- Keys of a page of rows; keyset pagination.
SELECT convert_to(t.id, 'UTF8') AS key FROM domains t
WHERE %(after)s::bytea IS NULL OR t.id > convert_from(%(after)s::bytea, 'UTF8') COLLATE "default" ORDER BY t.id LIMIT %(limit)s

-- differ_memories --
-- Memories.
SELECT u.ord::int AS ord, t.id IS NULL AS missing
FROM unnest(%(key)b::bytea[], %(digest)b::bytea[], %(metadata)b::bytea[], %(domain_scores)b::bytea[]) WITH ORDINALITY u(key, digest, metadata, domain_scores, ord)
LEFT JOIN knowledge_nodes t ON t.id = encode(substring(u.key for 16), 'hex')::uuid
WHERE t.id IS NULL OR sha256(record_send(ROW(convert_to(t.content, 'UTF8'), convert_to(t.node_type, 'UTF8'),
    convert_to(array_to_json(t.tags)::text, 'UTF8'), convert_to(array_to_json(t.domains)::text, 'UTF8'), convert_to(t.codebase, 'UTF8'),
    t.owner_user_id, convert_to(t.visibility, 'UTF8'), t.shared_with_groups, t.created_at, t.updated_at))) <> u.digest
    OR t.metadata <> convert_from(u.metadata, 'UTF8')::jsonb
    OR t.domain_scores <> convert_from(u.domain_scores, 'UTF8')::jsonb

-- show_memories --
-- Values of differing rows.
SELECT u.ord::int AS ord, record_send(ROW(t.id, convert_to(t.content, 'UTF8'), convert_to(t.node_type, 'UTF8'),
    convert_to(array_to_json(t.tags)::text, 'UTF8'), convert_to(t.metadata::text, 'UTF8'), convert_to(array_to_json(t.domains)::text, 'UTF8'),
    convert_to(t.domain_scores::text, 'UTF8'), convert_to(t.codebase, 'UTF8'), t.owner_user_id, convert_to(t.visibility, 'UTF8'),
    t.shared_with_groups, t.created_at, t.updated_at)) AS row
FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord) JOIN knowledge_nodes t ON t.id = encode(substring(u.key for 16), 'hex')::uuid

-- keys_memories --
-- Keys of a page of rows; keyset pagination.
SELECT uuid_send(t.id) AS key FROM knowledge_nodes t
WHERE %(after)s::bytea IS NULL OR t.id > encode(%(after)s::bytea, 'hex')::uuid ORDER BY t.id LIMIT %(limit)s

-- differ_vectors --
-- Vectors.
SELECT u.ord::int AS ord, t.node_id IS NULL AS missing
FROM unnest(%(key)b::bytea[], %(digest)b::bytea[]) WITH ORDINALITY u(key, digest, ord)
LEFT JOIN node_embeddings t ON t.node_id = encode(substring(u.key for 16), 'hex')::uuid
WHERE t.node_id IS NULL OR sha256(record_send(ROW(vector_send(t.embedding::vector)))) <> u.digest

-- show_vectors --
-- Values of differing rows.
SELECT u.ord::int AS ord, record_send(ROW(t.node_id, vector_send(t.embedding::vector))) AS row
FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord) JOIN node_embeddings t ON t.node_id = encode(substring(u.key for 16), 'hex')::uuid

-- keys_vectors --
-- Keys of a page of rows; keyset pagination.
SELECT uuid_send(t.node_id) AS key FROM node_embeddings t
WHERE %(after)s::bytea IS NULL OR t.node_id > encode(%(after)s::bytea, 'hex')::uuid ORDER BY t.node_id LIMIT %(limit)s

-- differ_scheduling --
-- Schedules.
SELECT u.ord::int AS ord, t.memory_id IS NULL AS missing
FROM unnest(%(key)b::bytea[], %(digest)b::bytea[]) WITH ORDINALITY u(key, digest, ord)
LEFT JOIN scheduling t ON t.memory_id = encode(substring(u.key for 16), 'hex')::uuid
WHERE t.memory_id IS NULL OR sha256(record_send(ROW(t.stability, t.difficulty, t.retrievability, t.last_review, t.next_review, t.reps, t.lapses))) <> u.digest

-- show_scheduling --
-- Values of differing rows.
SELECT u.ord::int AS ord, record_send(ROW(t.memory_id, t.stability, t.difficulty, t.retrievability, t.last_review, t.next_review, t.reps, t.lapses)) AS row
FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord) JOIN scheduling t ON t.memory_id = encode(substring(u.key for 16), 'hex')::uuid

-- keys_scheduling --
-- Keys of a page of rows; keyset pagination.
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
-- Values of differing rows.
SELECT u.ord::int AS ord, record_send(ROW(t.source_id, t.target_id, convert_to(t.edge_type, 'UTF8'), t.weight, t.created_at)) AS row
FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord) JOIN edges t ON t.source_id = encode(substring(u.key for 16), 'hex')::uuid AND t.target_id = encode(substring(u.key from 17 for 16), 'hex')::uuid
    AND t.edge_type = convert_from(substring(u.key from 33), 'UTF8') COLLATE "default"

-- keys_edges --
-- Keys of a page of rows; keyset pagination.
SELECT uuid_send(t.source_id) || uuid_send(t.target_id) || convert_to(t.edge_type, 'UTF8') AS key FROM edges t
WHERE %(after)s::bytea IS NULL OR (t.source_id, t.target_id, t.edge_type)
    > (encode(substring(%(after)s::bytea for 16), 'hex')::uuid, encode(substring(%(after)s::bytea from 17 for 16), 'hex')::uuid, convert_from(substring(%(after)s::bytea from 33), 'UTF8') COLLATE "default")
ORDER BY t.source_id, t.target_id, t.edge_type LIMIT %(limit)s

-- differ_marks --
-- Suspended and buried states.
SELECT u.ord::int AS ord, t.memory_id IS NULL AS missing
FROM unnest(%(key)b::bytea[], %(digest)b::bytea[]) WITH ORDINALITY u(key, digest, ord)
LEFT JOIN review_marks t ON t.memory_id = encode(substring(u.key for 16), 'hex')::uuid
WHERE t.memory_id IS NULL OR sha256(record_send(ROW(t.suspended, t.buried_until))) <> u.digest

-- show_marks --
-- Values of differing rows.
SELECT u.ord::int AS ord, record_send(ROW(t.memory_id, t.suspended, t.buried_until)) AS row
FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord) JOIN review_marks t ON t.memory_id = encode(substring(u.key for 16), 'hex')::uuid

-- keys_marks --
-- Keys of a page of rows; keyset pagination.
SELECT uuid_send(t.memory_id) AS key FROM review_marks t
WHERE %(after)s::bytea IS NULL OR t.memory_id > encode(%(after)s::bytea, 'hex')::uuid ORDER BY t.memory_id LIMIT %(limit)s

-- differ_reviews --
-- Reviews, identified by their values and the number of equal ones before.
WITH asked AS (SELECT * FROM unnest(%(key)b::bytea[], %(digest)b::bytea[], %(prior_state)b::bytea[], %(new_state)b::bytea[])
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
    OR t.prior_state <> convert_from(u.prior_state, 'UTF8')::jsonb
    OR t.new_state <> convert_from(u.new_state, 'UTF8')::jsonb

-- show_reviews --
-- Values of differing reviews.
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
SELECT u.ord::int AS ord, record_send(ROW(t.memory_id, t.timestamp, t.rating, convert_to(t.prior_state::text, 'UTF8'),
    convert_to(t.new_state::text, 'UTF8'), t.alike,
    t.undone_memory_id, t.undone_timestamp, t.undone_rating, t.undone_alike)) AS row
FROM asked u JOIN lines t ON t.key = u.key

-- keys_reviews --
-- Keys of all reviews of a page of memories: equal reviews are numbered within a memory.
SELECT uuid_send(n.memory_id) || timestamptz_send(n.timestamp) || int2send(n.rating) || int4send(n.alike) AS key
FROM (SELECT v.memory_id, v.timestamp, v.rating,
    (row_number() OVER (PARTITION BY v.memory_id, v.timestamp, v.rating ORDER BY v.id) - 1)::int AS alike
    FROM review_events v WHERE v.memory_id IN (SELECT DISTINCT w.memory_id FROM review_events w
        WHERE %(after)s::bytea IS NULL OR w.memory_id > encode(substring(%(after)s::bytea for 16), 'hex')::uuid ORDER BY w.memory_id LIMIT %(limit)s)) n
ORDER BY key

-- differ_supersession --
-- Supersession events; all columns belong to the key, so that an event is equal or missing.
WITH asked AS (SELECT * FROM unnest(%(key)b::bytea[], %(digest)b::bytea[]) WITH ORDINALITY u(key, digest, ord)),
there AS MATERIALIZED (SELECT uuid_send(n.loser_id) || coalesce(uuid_send(n.winner_id), decode(repeat('00', 16), 'hex'))
    || timestamptz_send(n.decided_at) || int4send(n.alike) || convert_to(n.kind, 'UTF8') AS key
    FROM (SELECT v.loser_id, v.winner_id, v.kind, v.decided_at,
    (row_number() OVER (PARTITION BY v.loser_id, v.winner_id, v.kind, v.decided_at ORDER BY v.id) - 1)::int AS alike
    FROM supersession_events v
    WHERE v.loser_id IN (SELECT encode(substring(u.key for 16), 'hex')::uuid FROM asked u)) n)
SELECT u.ord::int AS ord, true AS missing FROM asked u WHERE NOT EXISTS (SELECT 1 FROM there t WHERE t.key = u.key)

-- keys_supersession --
-- Keys of all supersession events of a page of memories.
SELECT uuid_send(n.loser_id) || coalesce(uuid_send(n.winner_id), decode(repeat('00', 16), 'hex'))
    || timestamptz_send(n.decided_at) || int4send(n.alike) || convert_to(n.kind, 'UTF8') AS key
FROM (SELECT v.loser_id, v.winner_id, v.kind, v.decided_at,
    (row_number() OVER (PARTITION BY v.loser_id, v.winner_id, v.kind, v.decided_at ORDER BY v.id) - 1)::int AS alike
    FROM supersession_events v WHERE v.loser_id IN (SELECT DISTINCT w.loser_id FROM supersession_events w
        WHERE %(after)s::bytea IS NULL OR w.loser_id > encode(substring(%(after)s::bytea for 16), 'hex')::uuid ORDER BY w.loser_id LIMIT %(limit)s)) n
ORDER BY key
