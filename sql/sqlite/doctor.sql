-- Faults in the rows of a store, one row each, and how the fix changes that row: kind; place and key, which find the row
-- (key is JSON); id of the memory; action ('set', 'delete', 'vector', 'event', 'touch' for
-- a row that another action changes too, or 'none'); sets, the new values as JSON.

-- list_faulty_vectors --
-- Vectors that no search can compare. vector_fault() is the program's. A vector without its memory is an orphan.
SELECT 'vector_' || fault AS kind, 'node_embeddings' AS place, json_object('node_id', node_id) AS key, node_id AS id,
    'vector' AS action, NULL AS sets
FROM (SELECT e.node_id, vector_fault(e.embedding, :width) AS fault FROM node_embeddings e
    WHERE EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.id = e.node_id))
WHERE fault <> '' ORDER BY node_id

-- list_faulty_flags --
-- Memories of a Vestige file whose has_embedding differs from the vectors that there are, of any profile.
SELECT CASE WHEN marked THEN 'flag_set' ELSE 'flag_unset' END AS kind, 'knowledge_nodes' AS place,
    json_object('id', id) AS key, id, 'set' AS action, json_object('has_embedding', NOT marked) AS sets
FROM (SELECT m.id, coalesce(json_extract(m.metadata, '$.vestige.has_embedding'), 0) <> 0 AS marked,
        EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id) AS active,
        EXISTS (SELECT 1 FROM main.node_embeddings e WHERE e.node_id = m.id) AS any_vector FROM knowledge_nodes m)
WHERE CASE WHEN marked THEN NOT active AND NOT any_vector ELSE active END ORDER BY id

-- list_faulty_times --
-- Times that cannot be read, and the best that is known instead. unreadable_time() is the program's.
SELECT 'time' AS kind, 'knowledge_nodes' AS place, json_object('id', id) AS key, id, 'set' AS action, CASE
    WHEN NOT unreadable_time(created_at) THEN json_object('updated_at', coalesce(created_at, :now))
    WHEN NOT unreadable_time(updated_at) THEN json_object('created_at', coalesce(updated_at, :now))
    ELSE json_object('created_at', :now, 'updated_at', :now) END AS sets
FROM knowledge_nodes WHERE unreadable_time(created_at) OR unreadable_time(updated_at)
UNION ALL SELECT 'time', 'scheduling', json_object('memory_id', s.memory_id), s.memory_id, 'set', json_object(
    'last_review', CASE WHEN unreadable_time(s.last_review) THEN (SELECT max(v.timestamp) FROM review_events v
        WHERE v.memory_id = s.memory_id AND NOT unreadable_time(v.timestamp)) ELSE s.last_review END,
    'next_review', CASE WHEN unreadable_time(s.next_review) THEN iif(s.reps > 0, :now, NULL) ELSE s.next_review END)
FROM scheduling s WHERE unreadable_time(s.last_review) OR unreadable_time(s.next_review)
UNION ALL SELECT 'time', 'review_events', json_object('id', id), memory_id, 'set',
    json_object('timestamp', coalesce(known, earlier, created, :now))
FROM (SELECT v.id, v.memory_id, unreadable_time(v.timestamp) AS is_bad, CASE WHEN json_valid(v.new_state)
        AND NOT unreadable_time(json_extract(v.new_state, '$.last_review'))
        THEN json_extract(v.new_state, '$.last_review') END AS known,
    max(iif(unreadable_time(v.timestamp), NULL, v.timestamp)) OVER (PARTITION BY v.memory_id ORDER BY v.id) AS earlier,
    (SELECT iif(unreadable_time(m.created_at), NULL, m.created_at) FROM knowledge_nodes m WHERE m.id = v.memory_id) AS created
    FROM review_events v WHERE v.memory_id IN (SELECT b.memory_id FROM review_events b WHERE unreadable_time(b.timestamp)))
WHERE is_bad
UNION ALL SELECT 'time', 'edges',
    json_object('source_id', d.source_id, 'target_id', d.target_id, 'edge_type', d.edge_type), d.source_id, 'set',
    json_object('created_at', coalesce((SELECT max(m.created_at) FROM knowledge_nodes m
        WHERE m.id IN (d.source_id, d.target_id) AND NOT unreadable_time(m.created_at)), :now))
FROM edges d WHERE unreadable_time(d.created_at)

-- list_faulty_json --
-- Tags, domains and metadata that are no JSON of their kind, and are read as empty.
SELECT 'json' AS kind, 'knowledge_nodes' AS place, json_object('id', id) AS key, id, 'set' AS action,
    json_patch(json_patch(iif(tags_fit, '{}', '{"tags": "[]"}'), iif(domains_fit, '{}', '{"domains": "[]"}')),
        json_patch(iif(metadata_fits, '{}', '{"metadata": "{}"}'), iif(scores_fit, '{}', '{"domain_scores": "{}"}'))) AS sets
FROM (SELECT id,
    CASE WHEN json_valid(tags) THEN json_type(tags) = 'array' ELSE tags IS NULL END AS tags_fit,
    CASE WHEN json_valid(domains) THEN json_type(domains) = 'array' ELSE domains IS NULL END AS domains_fit,
    CASE WHEN json_valid(metadata) THEN json_type(metadata) = 'object' ELSE metadata IS NULL END AS metadata_fits,
    CASE WHEN json_valid(domain_scores) THEN json_type(domain_scores) = 'object' ELSE domain_scores IS NULL END AS scores_fit
    FROM knowledge_nodes)
WHERE NOT (tags_fit AND domains_fit AND metadata_fits AND scores_fit) ORDER BY id

-- list_faulty_schedules --
-- Figures of FSRS beyond their bounds, and the nearest ones within. clamped() is the program's, and reads numbers alike.
SELECT 'schedule' AS kind, 'scheduling' AS place, json_object('memory_id', memory_id) AS key, memory_id AS id, 'set' AS action,
    json_object('stability', new_stability, 'difficulty', new_difficulty, 'retrievability', new_retrievability,
        'reps', CAST(new_reps AS INTEGER), 'lapses', CAST(new_lapses AS INTEGER)) AS sets
FROM (SELECT s.*, clamped(s.stability, iif(s.reps > 0, 0.001, 0.0), :max_stability, 0.001) AS new_stability,
    clamped(s.difficulty, iif(s.reps > 0, 1.0, 0.0), 10.0, 5.0) AS new_difficulty,
    clamped(s.retrievability, 0.0, 1.0, 1.0) AS new_retrievability,
    clamped(s.reps, 0, 2147483647, 0) AS new_reps, clamped(s.lapses, 0, 2147483647, 0) AS new_lapses FROM scheduling s)
WHERE new_stability IS NOT stability OR new_difficulty IS NOT difficulty OR new_retrievability IS NOT retrievability
    OR new_reps IS NOT reps OR new_lapses IS NOT lapses ORDER BY memory_id

-- list_faulty_winners --
-- Replaced memories: without the one that replaces them, in a circle, or with a cache that differs from the log.
WITH RECURSIVE logged AS MATERIALIZED (
    SELECT m.id, m.superseded_by AS cached, (SELECT e.winner_id FROM supersession_events e WHERE e.loser_id = m.id
        ORDER BY e.decided_at DESC, e.id DESC LIMIT 1) AS winner FROM knowledge_nodes m),
replaced AS MATERIALIZED (SELECT id, winner FROM logged WHERE winner IS NOT NULL),
walk (start, place) AS (
    SELECT id, winner FROM replaced UNION SELECT w.start, r.winner FROM walk w JOIN replaced r ON r.id = w.place),
circle AS MATERIALIZED (
    SELECT start AS id, (SELECT min(w.place) FROM walk w WHERE w.start = c.start) AS name
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
SELECT 'winner_missing' AS kind, 'knowledge_nodes' AS place, json_object('id', id) AS key, id, 'event' AS action,
    json_object('loser_id', id, 'winner_id', NULL, 'kind', 'winner_deleted', 'log', 'supersession_events') AS sets FROM judged WHERE dangles
UNION ALL SELECT 'winner_circle', 'knowledge_nodes', json_object('id', id), id, 'event',
    json_object('loser_id', id, 'winner_id', NULL, 'kind', 'unsupersede', 'log', 'supersession_events') FROM closing WHERE place = 1
UNION ALL SELECT 'winner_cache', 'knowledge_nodes', json_object('id', id), id, 'set', json_object('superseded_by', winner)
FROM judged WHERE NOT dangles AND cached IS NOT winner

-- list_orphans --
-- Rows whose parent is missing, by the foreign keys of the tables. A reference that may be empty is emptied, a memory of a
-- missing owner goes to the local user, any other row is deleted.
SELECT DISTINCT iif(c."table" IN ('node_embeddings', 'embedding_profile_vectors'), 'vector_orphan', 'orphan') AS kind,
    c."table" AS place, json_object('rowid', c."rowid") AS key, c."table" || ' ' || c."rowid" AS id,
    CASE WHEN c."rowid" IS NULL THEN 'none' WHEN f.on_delete = 'CASCADE' THEN 'delete'
        WHEN f."from" = 'owner_user_id' OR NOT (SELECT t."notnull" FROM pragma_table_info(c."table", 'main') t
            WHERE t.name = f."from") THEN 'set' ELSE 'none' END AS action,
    CASE WHEN f."from" = 'owner_user_id' THEN json_object('owner_user_id', '00000000-0000-0000-0000-000000000001')
        ELSE json_object(f."from", NULL) END AS sets
FROM pragma_foreign_key_check c JOIN pragma_foreign_key_list(c."table", 'main') f ON f.id = c.fkid AND f.seq = 0

-- list_orphans_of_adoption --
-- Rows of an adopted file whose memory its server has deleted: the tables of the console have no foreign keys there.
SELECT 'orphan' AS kind, 'review_events' AS place, json_object('id', v.id) AS key, 'review_events ' || v.id AS id,
    'delete' AS action, NULL AS sets
FROM main.review_events v WHERE NOT EXISTS (SELECT 1 FROM main.knowledge_nodes m WHERE m.id = v.memory_id)
UNION ALL SELECT 'orphan', 'review_marks', json_object('memory_id', k.memory_id), 'review_marks ' || k.memory_id, 'delete', NULL
FROM main.review_marks k WHERE NOT EXISTS (SELECT 1 FROM main.knowledge_nodes m WHERE m.id = k.memory_id)
UNION ALL SELECT 'orphan', 'supersession_events', json_object('id', e.id), 'supersession_events ' || e.id, 'delete', NULL
FROM main.supersession_events e WHERE NOT EXISTS (SELECT 1 FROM main.knowledge_nodes m WHERE m.id = e.loser_id)
UNION ALL SELECT 'orphan', 'console_extra', json_object('node_id', x.node_id), 'console_extra ' || x.node_id, 'delete', NULL
FROM main.console_extra x WHERE NOT EXISTS (SELECT 1 FROM main.knowledge_nodes m WHERE m.id = x.node_id)

-- list_duplicate_ids --
-- Memories whose ids are the same UUID in another spelling.
SELECT 'duplicate_id' AS kind, 'knowledge_nodes' AS place, json_object('id', id) AS key, id, 'none' AS action, NULL AS sets
FROM (SELECT id, plain, count(*) OVER (PARTITION BY plain) AS n
    FROM (SELECT id, replace(replace(replace(replace(lower(id), 'urn:uuid:', ''), '-', ''), '{', ''), '}', '') AS plain
        FROM knowledge_nodes)
    WHERE length(plain) = 32 AND plain NOT GLOB '*[^0-9a-f]*')
WHERE n > 1 ORDER BY plain, id

-- list_stale_texts --
-- The row numbers of memories that differ in the text index; the numbers come from the comparison of the words.
SELECT m.id FROM knowledge_nodes m WHERE m.seq IN (SELECT value FROM json_each(:seqs)) ORDER BY m.id

-- list_other_tables --
-- Tables that the console does not show, without those of SQLite and of the text index.
SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual')
    AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name NOT IN (SELECT value FROM json_each(:shown)) ORDER BY name

-- clear_text_index --
-- Empty the text index, before it is filled again.
INSERT INTO knowledge_fts (knowledge_fts) VALUES ('delete-all')
