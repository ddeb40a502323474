-- Faults in the rows of a store, one row each, and how the fix changes that row: see ../sqlite/doctor.sql.

-- list_faulty_vectors --
-- Vectors that no search can compare. The type allows no infinite ones.
SELECT 'vector_' || fault AS kind, 'node_embeddings' AS place, jsonb_build_object('node_id', node_id) AS key,
    node_id::text AS id, 'vector' AS action, NULL::jsonb AS sets
FROM (SELECT e.node_id, CASE WHEN vector_dims(e.embedding) <> %(width)s THEN 'width'
        WHEN vector_norm(e.embedding::vector) = 0 THEN 'zero' ELSE '' END AS fault FROM node_embeddings e
    WHERE EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = e.node_id)) f
WHERE fault <> '' ORDER BY node_id

-- list_faulty_flags --
-- None: only a Vestige file marks memories that have a vector.
SELECT '' AS kind, '' AS place, NULL::jsonb AS key, '' AS id, '' AS action, NULL::jsonb AS sets WHERE false

-- list_faulty_times --
-- Times beyond the years 1 to 9999, and the best that is known instead.
SELECT 'time' AS kind, 'knowledge_nodes' AS place, jsonb_build_object('id', id) AS key, id::text AS id, 'set' AS action, CASE
    WHEN created_at BETWEEN '0001-01-02' AND '9999-12-30' THEN jsonb_build_object('updated_at', created_at)
    WHEN updated_at BETWEEN '0001-01-02' AND '9999-12-30' THEN jsonb_build_object('created_at', updated_at)
    ELSE jsonb_build_object('created_at', %(now)s::timestamptz, 'updated_at', %(now)s::timestamptz) END AS sets
FROM knowledge_nodes WHERE created_at NOT BETWEEN '0001-01-02' AND '9999-12-30'
    OR updated_at NOT BETWEEN '0001-01-02' AND '9999-12-30'
UNION ALL SELECT 'time', 'scheduling', jsonb_build_object('memory_id', s.memory_id), s.memory_id::text, 'set', jsonb_build_object(
    'last_review', CASE WHEN s.last_review NOT BETWEEN '0001-01-02' AND '9999-12-30' THEN (SELECT max(v.timestamp)
        FROM review_events v WHERE v.memory_id = s.memory_id AND v.timestamp BETWEEN '0001-01-02' AND '9999-12-30')
        ELSE s.last_review END,
    'next_review', CASE WHEN s.next_review NOT BETWEEN '0001-01-02' AND '9999-12-30' THEN
        CASE WHEN s.reps > 0 THEN %(now)s::timestamptz END ELSE s.next_review END)
FROM scheduling s WHERE s.last_review NOT BETWEEN '0001-01-02' AND '9999-12-30'
    OR s.next_review NOT BETWEEN '0001-01-02' AND '9999-12-30'
UNION ALL SELECT 'time', 'review_events', jsonb_build_object('id', v.id), v.memory_id::text, 'set',
    jsonb_build_object('timestamp', coalesce(
        CASE WHEN v.new_state ->> 'last_review' ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T' THEN v.new_state -> 'last_review' END,
        to_jsonb(v.earlier), to_jsonb((SELECT m.created_at FROM knowledge_nodes m WHERE m.id = v.memory_id
            AND m.created_at BETWEEN '0001-01-02' AND '9999-12-30')), to_jsonb(%(now)s::timestamptz)))
FROM (SELECT r.id, r.memory_id, r.timestamp, r.new_state,
    max(r.timestamp) FILTER (WHERE r.timestamp BETWEEN '0001-01-02' AND '9999-12-30')
        OVER (PARTITION BY r.memory_id ORDER BY r.id) AS earlier
    FROM review_events r WHERE r.memory_id IN (
        SELECT b.memory_id FROM review_events b WHERE b.timestamp NOT BETWEEN '0001-01-02' AND '9999-12-30')) v
WHERE v.timestamp NOT BETWEEN '0001-01-02' AND '9999-12-30'
UNION ALL SELECT 'time', 'edges',
    jsonb_build_object('source_id', d.source_id, 'target_id', d.target_id, 'edge_type', d.edge_type), d.source_id::text, 'set',
    jsonb_build_object('created_at', coalesce((SELECT max(m.created_at) FROM knowledge_nodes m
        WHERE m.id IN (d.source_id, d.target_id) AND m.created_at BETWEEN '0001-01-02' AND '9999-12-30'), %(now)s::timestamptz))
FROM edges d WHERE d.created_at NOT BETWEEN '0001-01-02' AND '9999-12-30'

-- list_faulty_json --
-- JSON of another kind, which is read as empty. Tags and domains are arrays by their type.
SELECT 'json' AS kind, 'knowledge_nodes' AS place, jsonb_build_object('id', id) AS key, id::text AS id, 'set' AS action,
    CASE WHEN jsonb_typeof(metadata) <> 'object' THEN '{"metadata": {}}'::jsonb ELSE '{}' END
    || CASE WHEN jsonb_typeof(domain_scores) <> 'object' THEN '{"domain_scores": {}}'::jsonb ELSE '{}' END AS sets
FROM knowledge_nodes WHERE jsonb_typeof(metadata) <> 'object' OR jsonb_typeof(domain_scores) <> 'object' ORDER BY id

-- list_faulty_schedules --
-- Figures of FSRS beyond their bounds, and the nearest ones within; NaN becomes the value that is read for it.
SELECT 'schedule' AS kind, 'scheduling' AS place, jsonb_build_object('memory_id', memory_id) AS key, memory_id::text AS id,
    'set' AS action, jsonb_build_object('stability', new_stability, 'difficulty', new_difficulty,
        'retrievability', new_retrievability, 'reps', new_reps, 'lapses', new_lapses) AS sets
FROM (SELECT s.*,
    CASE WHEN s.stability = 'NaN' THEN 0.001 ELSE least(greatest(s.stability,
        CASE WHEN s.reps > 0 THEN 0.001 ELSE 0.0 END), %(max_stability)s::float8) END AS new_stability,
    CASE WHEN s.difficulty = 'NaN' THEN 5.0 ELSE least(greatest(s.difficulty,
        CASE WHEN s.reps > 0 THEN 1.0 ELSE 0.0 END), 10.0) END AS new_difficulty,
    CASE WHEN s.retrievability = 'NaN' THEN 1.0 ELSE least(greatest(s.retrievability, 0.0), 1.0) END AS new_retrievability,
    greatest(s.reps, 0) AS new_reps, greatest(s.lapses, 0) AS new_lapses FROM scheduling s) f
WHERE new_stability <> stability OR new_difficulty <> difficulty OR new_retrievability <> retrievability
    OR new_reps <> reps OR new_lapses <> lapses ORDER BY memory_id

-- list_faulty_winners --
-- Replaced memories: without the one that replaces them, in a circle, or with a cache that differs from the log.
WITH RECURSIVE logged AS MATERIALIZED (
    SELECT m.id, m.superseded_by AS cached, (SELECT e.winner_id FROM supersession_events e WHERE e.loser_id = m.id
        ORDER BY e.decided_at DESC, e.id DESC LIMIT 1) AS winner FROM knowledge_nodes m),
replaced AS MATERIALIZED (SELECT id, winner FROM logged WHERE winner IS NOT NULL),
walk (start, place) AS (
    SELECT id, winner FROM replaced UNION SELECT w.start, r.winner FROM walk w JOIN replaced r ON r.id = w.place),
circle AS MATERIALIZED (
    SELECT start AS id, (SELECT min(w.place::text) FROM walk w WHERE w.start = c.start) AS name
    FROM walk c WHERE c.place = c.start),
closing AS (
    SELECT id, row_number() OVER (PARTITION BY name ORDER BY (
        SELECT max(e.decided_at) FROM supersession_events e WHERE e.loser_id = c.id) DESC, (
        SELECT max(e.id) FROM supersession_events e WHERE e.loser_id = c.id) DESC) AS place FROM circle c),
judged AS (
    SELECT id, winner, cached,
        (winner IS NOT NULL AND NOT EXISTS (SELECT 1 FROM knowledge_nodes w WHERE w.id = winner))
        OR (cached IS NOT NULL AND NOT EXISTS (SELECT 1 FROM knowledge_nodes w WHERE w.id = cached)) AS dangles
    FROM logged WHERE winner IS NOT NULL OR cached IS NOT NULL)
SELECT 'winner_missing' AS kind, 'knowledge_nodes' AS place, jsonb_build_object('id', id) AS key, id::text AS id,
    'event' AS action, jsonb_build_object('loser_id', id, 'winner_id', NULL, 'kind', 'winner_deleted', 'log', 'supersession_events') AS sets
FROM judged WHERE dangles
UNION ALL SELECT 'winner_circle', 'knowledge_nodes', jsonb_build_object('id', id), id::text, 'event',
    jsonb_build_object('loser_id', id, 'winner_id', NULL, 'kind', 'unsupersede', 'log', 'supersession_events') FROM closing WHERE place = 1
UNION ALL SELECT 'winner_cache', 'knowledge_nodes', jsonb_build_object('id', id), id::text, 'set',
    jsonb_build_object('superseded_by', winner)
FROM judged WHERE NOT dangles AND cached IS DISTINCT FROM winner

-- list_orphans --
-- Rows whose parent is missing, of every foreign key: a program that disabled triggers, or a damaged restore, leaves them.
-- With an undone review go the undo and its redo, which the foreign key deletes; the later rows come first.
WITH RECURSIVE lost (id) AS (
    SELECT v.id FROM review_events v WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = v.memory_id)
        OR (v.undoes IS NOT NULL AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.id = v.undoes))
    UNION SELECT v.id FROM review_events v JOIN lost l ON v.undoes = l.id)
SELECT DISTINCT kind, place, key, place || ' ' || label AS id, action, sets FROM (
    SELECT 'vector_orphan' AS kind, 'node_embeddings' AS place, jsonb_build_object('node_id', node_id) AS key,
        node_id::text AS label, 'delete' AS action, NULL::jsonb AS sets
    FROM node_embeddings t WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes p WHERE p.id = t.node_id)
    UNION ALL SELECT 'orphan', 'spare_embeddings', jsonb_build_object('node_id', node_id), node_id::text, 'delete', NULL
    FROM spare_embeddings t WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes p WHERE p.id = t.node_id)
    UNION ALL SELECT 'orphan', 'scheduling', jsonb_build_object('memory_id', memory_id), memory_id::text, 'delete', NULL
    FROM scheduling t WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes p WHERE p.id = t.memory_id)
    UNION ALL SELECT 'orphan', 'edges',
        jsonb_build_object('source_id', source_id, 'target_id', target_id, 'edge_type', edge_type),
        source_id || ' ' || target_id, 'delete', NULL
    FROM edges t WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes p WHERE p.id = t.source_id)
        OR NOT EXISTS (SELECT 1 FROM knowledge_nodes p WHERE p.id = t.target_id)
    UNION ALL SELECT 'orphan', 'review_events', jsonb_build_object('id', id), id::text, 'delete', NULL
    FROM review_events t WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes p WHERE p.id = t.memory_id)
        OR (undoes IS NOT NULL AND NOT EXISTS (SELECT 1 FROM review_events p WHERE p.id = t.undoes))
        OR t.id IN (SELECT id FROM lost)
    UNION ALL SELECT 'orphan', 'review_marks', jsonb_build_object('memory_id', memory_id), memory_id::text, 'delete', NULL
    FROM review_marks t WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes p WHERE p.id = t.memory_id)
    UNION ALL SELECT 'orphan', 'supersession_events', jsonb_build_object('id', id), id::text, 'delete', NULL
    FROM supersession_events t WHERE NOT EXISTS (SELECT 1 FROM knowledge_nodes p WHERE p.id = t.loser_id)
    UNION ALL SELECT 'orphan', 'group_memberships', jsonb_build_object('user_id', user_id, 'group_id', group_id),
        user_id || ' ' || group_id, 'delete', NULL
    FROM group_memberships t WHERE NOT EXISTS (SELECT 1 FROM users p WHERE p.id = t.user_id)
        OR NOT EXISTS (SELECT 1 FROM groups p WHERE p.id = t.group_id)
    UNION ALL SELECT 'orphan', 'job_runs', jsonb_build_object('plan', plan, 'attempt', attempt), plan || ' ' || attempt,
        'delete', NULL
    FROM job_runs t WHERE NOT EXISTS (SELECT 1 FROM delegations p WHERE p.delegation_id = t.delegation_id)
    UNION ALL SELECT 'orphan', 'job_findings', jsonb_build_object('id', id), id::text, 'delete', NULL
    FROM job_findings t WHERE NOT EXISTS (SELECT 1 FROM delegations p WHERE p.delegation_id = t.delegation_id)
    UNION ALL SELECT 'orphan', 'sync_state', jsonb_build_object('id', id), id::text, 'delete', NULL
    FROM sync_state t WHERE NOT EXISTS (SELECT 1 FROM delegations p WHERE p.delegation_id = t.chain)
    UNION ALL SELECT 'orphan', 'knowledge_nodes', jsonb_build_object('id', id), id::text, 'set',
        '{"owner_user_id": "00000000-0000-0000-0000-000000000001"}'
    FROM knowledge_nodes t WHERE NOT EXISTS (SELECT 1 FROM users p WHERE p.id = t.owner_user_id)
    UNION ALL SELECT 'orphan', 'journal', jsonb_build_object('id', id), id::text, 'set', '{"undone_by": null}'
    FROM journal t WHERE undone_by IS NOT NULL AND NOT EXISTS (SELECT 1 FROM journal p WHERE p.id = t.undone_by)
) f ORDER BY place, key DESC

-- list_orphans_of_adoption --
-- None: only a Vestige file is adopted.
SELECT '' AS kind, '' AS place, NULL::jsonb AS key, '' AS id, '' AS action, NULL::jsonb AS sets WHERE false

-- list_duplicate_ids --
-- None: the type uuid knows one spelling.
SELECT '' AS kind, '' AS place, NULL::jsonb AS key, '' AS id, '' AS action, NULL::jsonb AS sets WHERE false

-- list_stale_texts --
-- Memories whose words in the text index are not those of their text.
SELECT m.id::text AS id FROM knowledge_nodes m
WHERE m.search_vec IS DISTINCT FROM vestige_words(m.content, m.node_type, m.tags) ORDER BY m.id

-- list_other_tables --
-- Tables of the schema that the console does not show, and whether the role may read them.
SELECT c.relname AS name, has_table_privilege(c.oid, 'SELECT') AS readable
FROM pg_class c
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> ALL (%(shown)s::text[])
    AND c.relnamespace = (SELECT k.relnamespace FROM pg_class k WHERE k.oid = 'knowledge_nodes'::regclass)
    AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
ORDER BY c.relname

-- clear_text_index --
-- No-op: the text index is a generated column, and only what differs is written again.
SELECT 1 AS cleared
