-- Writing to an adopted Vestige file: the named queries of ../queries.sql that differ there, in the server's own columns.
--
-- The notation is that of view_templates.sql, with the sort
--   write QUERY         statements, each ending with ";" at the end of a line
--   write QUERY before  the same, run before those without the word
--   rewritten TABLE     columns of the server, beside the homes, that an insert fills itself
-- All pieces of a query that the file meets apply, in their order; the answer is that of the first statement without
-- "before". Every table is named with main: a view of the console's has the same name, and takes no write.
-- {other_columns} and {other_values} are the columns of knowledge_nodes that only the server uses, and their values in
-- the metadata of a memory that is inserted again.

-- rewritten knowledge_nodes --
last_accessed has_embedding embedding_model

-- write insert_memory --
INSERT INTO main.knowledge_nodes (id, content, node_type, tags, codebase, owner_user_id, visibility, shared_with_groups,
    created_at, updated_at, last_accessed{other_columns})
VALUES (:id, :content, :node_type, :tags, :codebase, :owner_user_id, :visibility, :shared_with_groups,
    :created_at, :updated_at, coalesce(json_extract(:metadata, '$.vestige.last_accessed'), :created_at){other_values});
INSERT INTO main.console_extra (node_id, json)
VALUES (:id, json_object('metadata', json(json_remove(:metadata, '$.vestige')),
    'domains', json(:domains), 'domain_scores', json(:domain_scores)))
ON CONFLICT (node_id) DO UPDATE SET json = excluded.json;

-- write insert_memory when knowledge_nodes.domains, knowledge_nodes.domain_scores --
UPDATE main.knowledge_nodes SET domains = :domains, domain_scores = :domain_scores WHERE id = :id;

-- write insert_memory when sync_tombstones.row_id --
DELETE FROM main.sync_tombstones WHERE table_name = 'knowledge_nodes' AND row_id = :id;

-- write insert_memory when deletion_tombstones.memory_id --
DELETE FROM main.deletion_tombstones WHERE memory_id = :id;

-- write update_memory --
UPDATE main.knowledge_nodes SET content = :content, node_type = :node_type, tags = :tags, codebase = :codebase,
    owner_user_id = :owner_user_id, visibility = :visibility, shared_with_groups = :shared_with_groups, updated_at = :updated_at WHERE id = :id;
INSERT INTO main.console_extra (node_id, json)
VALUES (:id, json_object('metadata', json(json_remove(:metadata, '$.vestige')), 'domains', json(:domains)))
ON CONFLICT (node_id) DO UPDATE SET
    json = json_set(json, '$.metadata', json(json_remove(:metadata, '$.vestige')), '$.domains', json(:domains));

-- write update_memory when knowledge_nodes.domains --
UPDATE main.knowledge_nodes SET domains = :domains WHERE id = :id;

-- write update_domains --
INSERT INTO main.console_extra (node_id, json)
VALUES (:id, json_object('domains', json(:domains), 'domain_scores', json(coalesce(:domain_scores, '{}'))))
ON CONFLICT (node_id) DO UPDATE SET json = json_set(json, '$.domains', json(:domains),
    '$.domain_scores', json(coalesce(:domain_scores, json_extract(json, '$.domain_scores'), '{}')));

-- write update_domains when knowledge_nodes.domains, knowledge_nodes.domain_scores --
UPDATE main.knowledge_nodes SET domains = :domains, domain_scores = coalesce(:domain_scores, domain_scores) WHERE id = :id;

-- write put_domain when domains.id, domains.label, domains.centroid, domains.top_terms, domains.memory_count, domains.created_at --
INSERT INTO main.domains (id, label, centroid, top_terms, memory_count, created_at)
VALUES (:id, :label, :centroid, :top_terms, :memory_count, :created_at)
ON CONFLICT (id) DO UPDATE SET label = excluded.label, centroid = excluded.centroid, top_terms = excluded.top_terms,
    memory_count = excluded.memory_count, created_at = excluded.created_at;

-- write put_domain when domains.metadata --
UPDATE main.domains SET metadata = :metadata WHERE id = :id;

-- write delete_domains when domains.id --
DELETE FROM main.domains WHERE id IN (SELECT value FROM json_each(:names));

-- write delete_memories before when sync_tombstones.row_id --
INSERT INTO main.sync_tombstones (table_name, row_id, deleted_at, reason)
SELECT 'knowledge_nodes', n.id, strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now'), 'deleted in vestige-tui'
FROM main.knowledge_nodes n WHERE n.id IN (SELECT value FROM json_each(:ids))
ON CONFLICT (table_name, row_id) DO UPDATE SET deleted_at = excluded.deleted_at, reason = excluded.reason;

-- write delete_memories before when deletion_tombstones.memory_id --
INSERT INTO main.deletion_tombstones (memory_id, deleted_at, reason, node_type, tags)
SELECT n.id, strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now'), 'deleted in vestige-tui', n.node_type, n.tags
FROM main.knowledge_nodes n WHERE n.id IN (SELECT value FROM json_each(:ids))
ON CONFLICT (memory_id) DO UPDATE SET deleted_at = excluded.deleted_at, reason = excluded.reason;

-- write delete_memories before when deletion_tombstones.edges_pruned --
UPDATE main.deletion_tombstones SET edges_pruned = (
    SELECT count(*) FROM main.memory_connections c
    WHERE c.source_id = deletion_tombstones.memory_id OR c.target_id = deletion_tombstones.memory_id)
WHERE memory_id IN (SELECT value FROM json_each(:ids));

-- write delete_memories before when deletion_tombstones.children_orphaned, knowledge_nodes.summary_parent_id --
UPDATE main.deletion_tombstones SET children_orphaned = (
    SELECT count(*) FROM main.knowledge_nodes c WHERE c.summary_parent_id = deletion_tombstones.memory_id)
WHERE memory_id IN (SELECT value FROM json_each(:ids));

-- write delete_memories before when knowledge_nodes.superseded_by --
-- A deleted winner gives its losers back. The new row must sort last even where a clock ran ahead.
INSERT INTO main.supersession_events (loser_id, winner_id, kind, decided_at)
SELECT n.id, NULL, 'winner_deleted', max(strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now'), coalesce((
    SELECT max(e.decided_at) FROM main.supersession_events e WHERE e.loser_id = n.id), ''))
FROM main.knowledge_nodes n
WHERE n.superseded_by IN (SELECT value FROM json_each(:ids)) AND n.id NOT IN (SELECT value FROM json_each(:ids));
UPDATE main.knowledge_nodes SET superseded_by = NULL WHERE superseded_by IN (SELECT value FROM json_each(:ids));

-- write delete_memories before when no knowledge_nodes.superseded_by --
INSERT INTO main.supersession_events (loser_id, winner_id, kind, decided_at)
SELECT e.loser_id, NULL, 'winner_deleted', max(strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now'), e.decided_at)
FROM main.supersession_events e
WHERE e.winner_id IN (SELECT value FROM json_each(:ids)) AND e.loser_id NOT IN (SELECT value FROM json_each(:ids))
AND e.id = (SELECT l.id FROM main.supersession_events l WHERE l.loser_id = e.loser_id ORDER BY l.decided_at DESC, l.id DESC LIMIT 1);

-- write delete_memories before when memory_connections.source_id --
DELETE FROM main.memory_connections
WHERE source_id IN (SELECT value FROM json_each(:ids)) OR target_id IN (SELECT value FROM json_each(:ids));

-- write delete_memories before when node_embeddings.node_id --
DELETE FROM main.node_embeddings WHERE node_id IN (SELECT value FROM json_each(:ids));

-- write delete_memories before when embedding_profile_vectors.node_id --
DELETE FROM main.embedding_profile_vectors WHERE node_id IN (SELECT value FROM json_each(:ids));

-- write delete_memories --
DELETE FROM main.knowledge_nodes WHERE id IN (SELECT value FROM json_each(:ids));
DELETE FROM main.console_extra WHERE node_id IN (SELECT value FROM json_each(:ids));
DELETE FROM main.review_events WHERE memory_id IN (SELECT value FROM json_each(:ids));
DELETE FROM main.review_marks WHERE memory_id IN (SELECT value FROM json_each(:ids));
DELETE FROM main.supersession_events WHERE loser_id IN (SELECT value FROM json_each(:ids));

-- write delete_memories when embedding_profile_manifests.vector_count, embedding_profile_manifests.profile_id --
UPDATE main.embedding_profile_manifests SET vector_count = (
    SELECT count(*) FROM main.embedding_profile_vectors v WHERE v.profile_id = embedding_profile_manifests.profile_id);

-- write put_scheduling --
UPDATE main.knowledge_nodes SET stability = :stability, difficulty = :difficulty, reps = :reps, lapses = :lapses,
    next_review = :next_review,
    scheduled_days = CASE WHEN :next_review IS NULL THEN 0 ELSE
        max(0, CAST(round(julianday(:next_review) - julianday(:last_review)) AS INTEGER)) END
WHERE id = :id;

-- write delete_scheduling --
UPDATE main.knowledge_nodes SET reps = 0, lapses = 0, next_review = NULL, scheduled_days = 0, learning_state = 'new'
WHERE id = :id;

-- write insert_review --
-- The strengths before it are kept in the log, so that an undo and a redo find them again.
INSERT INTO main.review_events (memory_id, timestamp, rating, prior_state, new_state, undoes, weights_hash)
SELECT n.id, :at, :rating, json_set(:prior, '$.vestige', json_object(
    'storage_strength', n.storage_strength, 'retrieval_strength', n.retrieval_strength,
    'retention_strength', n.retention_strength, 'learning_state', n.learning_state)), :new, :undoes, :weights_hash
FROM main.knowledge_nodes n WHERE n.id = :id RETURNING id;
UPDATE main.knowledge_nodes SET
    storage_strength = coalesce(storage_strength, 1.0) + CASE :rating WHEN 1 THEN 0.3 ELSE 0.1 END,
    retrieval_strength = 1.0,
    retention_strength = 0.7 + 0.3 * min((coalesce(storage_strength, 1.0) + CASE :rating WHEN 1 THEN 0.3 ELSE 0.1 END) / 10.0, 1.0),
    learning_state = CASE
        WHEN coalesce(json_extract(:prior, '$.reps'), 0) = 0 THEN CASE WHEN :rating <= 2 THEN 'learning' ELSE 'review' END
        WHEN julianday(:at) - julianday(json_extract(:prior, '$.last_review')) < 1 THEN learning_state
        WHEN :rating = 1 THEN 'relearning' ELSE 'review' END
WHERE id = :id AND :undoes IS NULL;
UPDATE main.knowledge_nodes SET (storage_strength, retrieval_strength, retention_strength, learning_state) = (
    SELECT json_extract(u.prior_state, '$.vestige.storage_strength'), json_extract(u.prior_state, '$.vestige.retrieval_strength'),
        json_extract(u.prior_state, '$.vestige.retention_strength'), json_extract(u.prior_state, '$.vestige.learning_state')
    FROM main.review_events u WHERE u.id = :undoes)
WHERE id = :id AND EXISTS (
    SELECT 1 FROM main.review_events u WHERE u.id = :undoes AND json_type(u.prior_state, '$.vestige') = 'object');

-- write insert_event --
INSERT INTO main.supersession_events (loser_id, winner_id, kind, decided_at)
VALUES (:loser_id, :winner_id, :kind, :decided_at) RETURNING id;

-- write insert_event when knowledge_nodes.superseded_by --
UPDATE main.knowledge_nodes SET superseded_by = (
    SELECT e.winner_id FROM main.supersession_events e WHERE e.loser_id = :loser_id
    ORDER BY e.decided_at DESC, e.id DESC LIMIT 1) WHERE id = :loser_id;

-- write insert_event when knowledge_nodes.superseded_by, knowledge_nodes.valid_until --
-- A validity that the server set for another reason stays.
UPDATE main.knowledge_nodes SET valid_until = CASE
    WHEN superseded_by IS NOT NULL THEN coalesce(valid_until, :decided_at)
    WHEN valid_until IN (SELECT e.decided_at FROM main.supersession_events e
        WHERE e.loser_id = :loser_id AND e.winner_id IS NOT NULL) THEN NULL
    ELSE valid_until END WHERE id = :loser_id;

-- write append_event --
INSERT INTO main.supersession_events (loser_id, winner_id, kind, decided_at)
VALUES (:loser_id, :winner_id, :kind, :decided_at);

-- write append_event when knowledge_nodes.superseded_by --
UPDATE main.knowledge_nodes SET superseded_by = (
    SELECT e.winner_id FROM main.supersession_events e WHERE e.loser_id = :loser_id
    ORDER BY e.decided_at DESC, e.id DESC LIMIT 1) WHERE id = :loser_id;

-- write append_event when knowledge_nodes.superseded_by, knowledge_nodes.valid_until --
UPDATE main.knowledge_nodes SET valid_until = CASE
    WHEN superseded_by IS NOT NULL THEN coalesce(valid_until, :decided_at)
    WHEN valid_until IN (SELECT e.decided_at FROM main.supersession_events e
        WHERE e.loser_id = :loser_id AND e.winner_id IS NOT NULL) THEN NULL
    ELSE valid_until END WHERE id = :loser_id;

-- write put_marks --
INSERT INTO main.review_marks (memory_id, suspended, buried_until, pinned, cleared_lapses)
VALUES (:id, :suspended, :buried_until, :pinned, :cleared_lapses)
ON CONFLICT (memory_id) DO UPDATE SET suspended = excluded.suspended, buried_until = excluded.buried_until,
    pinned = excluded.pinned, cleared_lapses = excluded.cleared_lapses;

-- write put_marks when knowledge_nodes.protected --
UPDATE main.knowledge_nodes SET protected = :pinned WHERE id = :id;

-- write insert_marks_if_absent --
INSERT INTO main.review_marks (memory_id, suspended, buried_until, pinned, cleared_lapses)
VALUES (:id, :suspended, :buried_until, :pinned, :cleared_lapses) ON CONFLICT (memory_id) DO NOTHING;

-- write insert_marks_if_absent when knowledge_nodes.protected --
UPDATE main.knowledge_nodes SET protected = 1 WHERE id = :id AND :pinned;

-- write insert_domain_if_absent when domains.top_terms --
INSERT INTO main.domains (id, label, top_terms, memory_count, created_at)
VALUES (:id, :label, :top_terms, :memory_count, :created_at) ON CONFLICT (id) DO NOTHING;

-- write put_edge --
-- The server keeps one link between two memories, whatever its type.
INSERT INTO main.memory_connections (source_id, target_id, strength, link_type, created_at, last_activated, activation_count)
VALUES (:source_id, :target_id, :weight, :edge_type, :created_at, :created_at, 0)
ON CONFLICT (source_id, target_id) DO UPDATE SET strength = excluded.strength WHERE link_type = excluded.link_type;

-- write insert_edge_if_absent --
INSERT INTO main.memory_connections (source_id, target_id, strength, link_type, created_at, last_activated, activation_count)
VALUES (:source_id, :target_id, :weight, :edge_type, :created_at, :created_at, 0)
ON CONFLICT (source_id, target_id) DO NOTHING;

-- write delete_edge --
DELETE FROM main.memory_connections WHERE source_id = :source_id AND target_id = :target_id AND link_type = :edge_type;

-- write set_model_hash --
-- The server computes its hash in another way.
UPDATE main.console_adoption SET id = id WHERE :hash IS NULL;

-- write put_model when embedding_model.hash --
INSERT INTO main.embedding_model (id, name, dimension, hash, created_at) VALUES (1, :name, :dimension, :hash, :created_at)
ON CONFLICT (id) DO NOTHING;

-- write put_model when no embedding_model --
-- Without that table the model is inferred from the vectors.
UPDATE main.console_adoption SET id = id WHERE :hash IS NULL;

-- write delete_embedding when no ?active_profile --
DELETE FROM main.node_embeddings WHERE node_id = :id;
UPDATE main.knowledge_nodes SET has_embedding = 0, embedding_model = NULL WHERE id = :id;

-- write delete_embedding when ?active_profile --
DELETE FROM main.embedding_profile_vectors WHERE node_id = :id
    AND profile_id = (SELECT active_profile_id FROM main.embedding_profile_state WHERE singleton = 1);
UPDATE main.knowledge_nodes SET has_embedding = 0, embedding_model = NULL WHERE id = :id;

-- write delete_embedding when ?active_profile, embedding_profile_manifests.vector_count, embedding_profile_manifests.profile_id --
UPDATE main.embedding_profile_manifests SET vector_count = (
    SELECT count(*) FROM main.embedding_profile_vectors v WHERE v.profile_id = embedding_profile_manifests.profile_id)
WHERE profile_id = (SELECT active_profile_id FROM main.embedding_profile_state WHERE singleton = 1);

-- write insert_embedding when no ?active_profile --
INSERT INTO main.node_embeddings (node_id, embedding, dimensions, model, created_at)
SELECT :id, :embedding, length(:embedding) / 4, :model, strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')
WHERE {still_registered};
UPDATE main.knowledge_nodes SET has_embedding = 1, embedding_model = :model
WHERE id = :id AND EXISTS (SELECT 1 FROM main.node_embeddings e WHERE e.node_id = :id);

-- write insert_embedding when ?active_profile --
INSERT INTO main.embedding_profile_vectors (profile_id, node_id, embedding, dimensions, model, created_at)
SELECT s.active_profile_id, :id, :embedding, length(:embedding) / 4, :model, strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')
FROM main.embedding_profile_state s WHERE s.singleton = 1 AND {still_registered};
UPDATE main.knowledge_nodes SET has_embedding = 1, embedding_model = :model WHERE id = :id AND EXISTS (
    SELECT 1 FROM main.embedding_profile_vectors v WHERE v.node_id = :id);

-- write insert_embedding when ?active_profile, embedding_profile_manifests.vector_count, embedding_profile_manifests.profile_id --
UPDATE main.embedding_profile_manifests SET vector_count = (
    SELECT count(*) FROM main.embedding_profile_vectors v WHERE v.profile_id = embedding_profile_manifests.profile_id)
WHERE profile_id = (SELECT active_profile_id FROM main.embedding_profile_state WHERE singleton = 1);

-- write insert_embedding_if_current when no ?active_profile --
INSERT INTO main.node_embeddings (node_id, embedding, dimensions, model, created_at)
SELECT n.id, :embedding, length(:embedding) / 4, :model, strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')
FROM main.knowledge_nodes n WHERE n.id = :id AND n.content = :content AND {still_registered}
ON CONFLICT (node_id) DO NOTHING;
UPDATE main.knowledge_nodes SET has_embedding = 1, embedding_model = :model
WHERE id = :id AND EXISTS (SELECT 1 FROM main.node_embeddings e WHERE e.node_id = :id);

-- write insert_embedding_if_current when ?active_profile --
INSERT INTO main.embedding_profile_vectors (profile_id, node_id, embedding, dimensions, model, created_at)
SELECT s.active_profile_id, n.id, :embedding, length(:embedding) / 4, :model, strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')
FROM main.knowledge_nodes n JOIN main.embedding_profile_state s ON s.singleton = 1
WHERE n.id = :id AND n.content = :content AND {still_registered}
ON CONFLICT (profile_id, node_id) DO NOTHING;
UPDATE main.knowledge_nodes SET has_embedding = 1, embedding_model = :model WHERE id = :id AND EXISTS (
    SELECT 1 FROM main.embedding_profile_vectors v WHERE v.node_id = :id);

-- write insert_embedding_if_current when ?active_profile, embedding_profile_manifests.vector_count, embedding_profile_manifests.profile_id --
UPDATE main.embedding_profile_manifests SET vector_count = (
    SELECT count(*) FROM main.embedding_profile_vectors v WHERE v.profile_id = embedding_profile_manifests.profile_id)
WHERE profile_id = (SELECT active_profile_id FROM main.embedding_profile_state WHERE singleton = 1);

-- write list_faulty_vectors when no ?active_profile --
-- A vector goes with the marks of its memory.
WITH faulty AS MATERIALIZED (SELECT e.node_id, vector_fault(e.embedding, :width) AS fault FROM main.node_embeddings e
    WHERE vector_fault(e.embedding, :width) <> '' AND EXISTS (SELECT 1 FROM main.knowledge_nodes m WHERE m.id = e.node_id))
SELECT 'vector_' || fault AS kind, 'node_embeddings' AS place, json_object('node_id', node_id) AS key, node_id AS id,
    'vector' AS action, NULL AS sets FROM faulty
UNION ALL SELECT 'vector_' || fault, 'knowledge_nodes', json_object('id', node_id), node_id, 'touch', NULL FROM faulty;

-- write list_faulty_vectors when ?active_profile --
WITH faulty AS MATERIALIZED (SELECT v.profile_id, v.node_id, vector_fault(v.embedding, :width) AS fault
    FROM main.embedding_profile_vectors v
    WHERE v.profile_id = (SELECT active_profile_id FROM main.embedding_profile_state WHERE singleton = 1)
        AND vector_fault(v.embedding, :width) <> ''
        AND EXISTS (SELECT 1 FROM main.knowledge_nodes m WHERE m.id = v.node_id))
SELECT 'vector_' || fault AS kind, 'embedding_profile_vectors' AS place,
    json_object('profile_id', profile_id, 'node_id', node_id) AS key, node_id AS id, 'vector' AS action, NULL AS sets FROM faulty
UNION ALL SELECT 'vector_' || fault, 'knowledge_nodes', json_object('id', node_id), node_id, 'touch', NULL FROM faulty;

-- write list_faulty_times --
-- The time of the last review is computed, and links are the server's.
SELECT 'time' AS kind, 'knowledge_nodes' AS place, json_object('id', id) AS key, id, 'set' AS action, CASE
    WHEN NOT unreadable_time(created_at) THEN json_object('updated_at', coalesce(created_at, :now))
    WHEN NOT unreadable_time(updated_at) THEN json_object('created_at', coalesce(updated_at, :now))
    ELSE json_object('created_at', :now, 'updated_at', :now) END AS sets
FROM main.knowledge_nodes WHERE unreadable_time(created_at) OR unreadable_time(updated_at)
UNION ALL SELECT 'time', 'knowledge_nodes', json_object('id', n.id), n.id, 'set',
    json_object('next_review', CASE WHEN CAST(n.reps AS INTEGER) > 0 THEN :now END)
FROM main.knowledge_nodes n WHERE unreadable_time(n.next_review)
UNION ALL SELECT 'time', 'review_events', json_object('id', id), memory_id, 'set',
    json_object('timestamp', coalesce(known, earlier, created, :now))
FROM (SELECT v.id, v.memory_id, unreadable_time(v.timestamp) AS is_bad, CASE WHEN json_valid(v.new_state)
        AND NOT unreadable_time(json_extract(v.new_state, '$.last_review'))
        THEN json_extract(v.new_state, '$.last_review') END AS known,
    max(iif(unreadable_time(v.timestamp), NULL, v.timestamp)) OVER (PARTITION BY v.memory_id ORDER BY v.id) AS earlier,
    (SELECT iif(unreadable_time(m.created_at), NULL, m.created_at) FROM main.knowledge_nodes m WHERE m.id = v.memory_id) AS created
    FROM main.review_events v WHERE v.memory_id IN (SELECT b.memory_id FROM main.review_events b WHERE unreadable_time(b.timestamp)))
WHERE is_bad
UNION ALL SELECT 'time', 'memory_connections', json_object('source_id', d.source_id, 'target_id', d.target_id),
    d.source_id, 'set', json_object('created_at', coalesce((SELECT max(m.created_at) FROM main.knowledge_nodes m
        WHERE m.id IN (d.source_id, d.target_id) AND NOT unreadable_time(m.created_at)), :now))
FROM main.memory_connections d WHERE unreadable_time(d.created_at);

-- write list_faulty_schedules when knowledge_nodes.retention_strength --
SELECT 'schedule' AS kind, 'knowledge_nodes' AS place, json_object('id', memory_id) AS key, memory_id AS id, 'set' AS action,
    json_object('stability', new_stability, 'difficulty', new_difficulty, 'retention_strength', new_retrievability,
        'reps', CAST(new_reps AS INTEGER), 'lapses', CAST(new_lapses AS INTEGER)) AS sets
FROM (SELECT s.*, clamped(s.stability, iif(s.reps > 0, 0.001, 0.0), :max_stability, 0.001) AS new_stability,
    clamped(s.difficulty, iif(s.reps > 0, 1.0, 0.0), 10.0, 5.0) AS new_difficulty,
    clamped(s.retrievability, 0.0, 1.0, 1.0) AS new_retrievability,
    clamped(s.reps, 0, 2147483647, 0) AS new_reps, clamped(s.lapses, 0, 2147483647, 0) AS new_lapses FROM scheduling s)
WHERE new_stability IS NOT stability OR new_difficulty IS NOT difficulty OR new_retrievability IS NOT retrievability
    OR new_reps IS NOT reps OR new_lapses IS NOT lapses ORDER BY memory_id;

-- write list_faulty_schedules when no knowledge_nodes.retention_strength --
SELECT 'schedule' AS kind, 'knowledge_nodes' AS place, json_object('id', memory_id) AS key, memory_id AS id, 'set' AS action,
    json_object('stability', new_stability, 'difficulty', new_difficulty, 'reps', CAST(new_reps AS INTEGER),
        'lapses', CAST(new_lapses AS INTEGER)) AS sets
FROM (SELECT s.*, clamped(s.stability, iif(s.reps > 0, 0.001, 0.0), :max_stability, 0.001) AS new_stability,
    clamped(s.difficulty, iif(s.reps > 0, 1.0, 0.0), 10.0, 5.0) AS new_difficulty,
    clamped(s.reps, 0, 2147483647, 0) AS new_reps, clamped(s.lapses, 0, 2147483647, 0) AS new_lapses FROM scheduling s)
WHERE new_stability IS NOT stability OR new_difficulty IS NOT difficulty OR new_reps IS NOT reps OR new_lapses IS NOT lapses
ORDER BY memory_id;

-- write clear_text_index --
-- The index of the server reads its texts from the table of the memories.
INSERT INTO main.knowledge_fts (knowledge_fts) VALUES ('rebuild');

-- write fold_memories --
-- The index is full already.
UPDATE main.console_adoption SET id = id WHERE :after IS NULL AND :last IS NULL;
