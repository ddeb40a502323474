-- Reading a Vestige file: detection of its schema version, and the views over its tables.
--
-- A piece is a heading "-- sort subject when needs --" and its SQL. Among pieces with one subject, the first applies
-- with needs that the file meets. Needs, separated by commas: "table", "table.column", "no ..." for either,
-- "?question" for a question below that the file answers with neither 0 nor NULL.
--   kind K              kind of file
--   line A..B text      Vestige schema versions with these tables, newest first
--   view T              whole SELECT for the console's table T
--   view T of X         table T from the file's table X, alias n, row by row; the SQL, if any, is its WHERE
--   view T instead      the same, also if the file has a complete table T
--   column T.C          one column of a "view T of X"; default: X's column of the same name, else the console's default
-- A table without a piece is the file's own of that name, padded with the console's defaults; or an empty one.
-- {others} is JSON of all columns of X except those in the piece "homes", each value written as the piece "value" says.

-- kind ours when vestige_migrations, no knowledge_nodes.last_accessed --

-- kind vestige when knowledge_nodes.id, knowledge_nodes.content, knowledge_nodes.node_type, knowledge_nodes.tags, knowledge_nodes.created_at, knowledge_nodes.updated_at, knowledge_nodes.last_accessed, knowledge_nodes.stability, knowledge_nodes.next_review, knowledge_fts --

-- question recorded when schema_version.version --
SELECT max(version) FROM main.schema_version

-- question last_change --
SELECT max(updated_at) FROM main.knowledge_nodes WHERE julianday(updated_at) IS NOT NULL

-- line 40..40 when walk_receipts --
-- line 35..39 when suppression_cascade_effects --
-- line 34..34 when suppression_operations --
-- line 33..33 when failure_feedback --
-- line 32..32 when vector_journal --
-- line 31..31 when code_memory_anchors --
-- line 28..30 when embedding_profiles, embedding_profile_vectors --
-- line 26..27 when receipt_envelopes.projection_json --
-- line 24..25 when receipt_envelopes --
-- line 23..23 when retrieval_replay_capsules --
-- line 21..22 when synaptic_tags --
-- line 18..20 when agent_traces --
-- line 17..17 when knowledge_nodes.source_system --
-- line 15..15 (phase 1) when users.handle, knowledge_nodes.codebase, embedding_model.name, no merge_plans, no composition_events --
-- line 14..14 (phase 1) when embedding_model.name, no merge_plans, no composition_events --
-- line 16..16 when knowledge_nodes.domains --
-- line 15..15 when composition_events --
-- line 14..14 when merge_plans --
-- line 11..13 when knowledge_nodes.suppression_count, no knowledge_edges --
-- line 10..10 when knowledge_nodes.suppression_count --
-- line 9..9 when knowledge_nodes.flashbulb --
-- line 8..8 when knowledge_nodes.waking_tag --
-- line 5..7 when knowledge_nodes.activation --
-- line 4..4 when knowledge_nodes.scope --
-- line 1..3 --

-- view knowledge_nodes of knowledge_nodes --

-- column knowledge_nodes.seq --
n.rowid

-- column knowledge_nodes.metadata when console_extra.node_id, console_extra.json --
json_patch(
    coalesce((SELECT json_extract(x.json, '$.metadata') FROM main.console_extra x
        WHERE x.node_id = n.id AND json_valid(x.json)), '{}'),
    json_object('vestige', {others}))

-- column knowledge_nodes.metadata --
json_object('vestige', {others})

-- column knowledge_nodes.domains when console_extra.json, no knowledge_nodes.domains --
coalesce((SELECT json_extract(x.json, '$.domains') FROM main.console_extra x
    WHERE x.node_id = n.id AND json_valid(x.json)), '[]')

-- column knowledge_nodes.domain_scores when console_extra.json, no knowledge_nodes.domain_scores --
coalesce((SELECT json_extract(x.json, '$.domain_scores') FROM main.console_extra x
    WHERE x.node_id = n.id AND json_valid(x.json)), '{}')

-- column knowledge_nodes.superseded_by when supersession_events.kind, no knowledge_nodes.superseded_by --
(SELECT e.winner_id FROM main.supersession_events e WHERE e.loser_id = n.id ORDER BY e.decided_at DESC, e.id DESC LIMIT 1)

-- homes --
-- Columns that have a counterpart in the console's tables. Retention levels and interval days have none.
id content node_type tags domains domain_scores codebase owner_user_id visibility shared_with_groups superseded_by
created_at updated_at stability difficulty reps lapses next_review protected

-- value --
-- JSON has neither blobs nor infinities.
CASE WHEN typeof({value}) = 'blob' THEN hex({value})
     WHEN typeof({value}) = 'real' AND abs({value}) = 9e999 THEN CAST({value} AS TEXT) ELSE {value} END

-- question active_profile when embedding_profile_state.active_profile_id, embedding_profile_vectors.profile_id --
-- Check that the active profile has vectors; otherwise the older table of vectors is in use.
SELECT EXISTS (SELECT 1 FROM main.embedding_profile_vectors v
    WHERE v.profile_id = (SELECT active_profile_id FROM main.embedding_profile_state WHERE singleton = 1))

-- view node_embeddings instead of embedding_profile_vectors when ?active_profile --
n.profile_id = (SELECT active_profile_id FROM main.embedding_profile_state WHERE singleton = 1)

-- view node_embeddings of node_embeddings --

-- question profile_without_rowid when embedding_profile_vectors --
SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = 'embedding_profile_vectors'

-- column node_embeddings.seq when ?active_profile, ?profile_without_rowid --
coalesce((SELECT k.rowid FROM main.knowledge_nodes k WHERE k.id = n.node_id), 0)

-- column node_embeddings.seq --
n.rowid

-- question reviews_indexed when review_events.memory_id, review_events.timestamp --
SELECT count(*) FROM pragma_index_list('review_events', 'main') l
WHERE (SELECT name FROM pragma_index_info(l.name, 'main') WHERE seqno = 0) = 'memory_id'

-- view scheduling of knowledge_nodes --

-- column scheduling.memory_id --
n.id

-- column scheduling.stability --
coalesce(CAST(n.stability AS REAL), 0.0)

-- column scheduling.difficulty --
coalesce(CAST(n.difficulty AS REAL), 0.0)

-- column scheduling.retrievability when knowledge_nodes.retention_strength --
coalesce(CAST(n.retention_strength AS REAL), 1.0)

-- column scheduling.last_review when ?reviews_indexed, review_events.undoes, knowledge_nodes.reps, knowledge_nodes.scheduled_days --
-- The later of the log's time and the one derived from the due date: a server may have written only one. An undone
-- review counts if the undo was reversed.
CASE WHEN CAST(n.reps AS INTEGER) > 0 THEN nullif(max(
    coalesce((SELECT max(v.timestamp) FROM main.review_events v WHERE v.memory_id = n.id AND v.undoes IS NULL
        AND NOT EXISTS (SELECT 1 FROM main.review_events u WHERE u.memory_id = n.id AND u.undoes = v.id
            AND NOT EXISTS (SELECT 1 FROM main.review_events r WHERE r.memory_id = n.id AND r.undoes = u.id))), ''),
    coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', n.next_review, '-' || n.scheduled_days || ' days'), '')), '') END

-- column scheduling.last_review when ?reviews_indexed, knowledge_nodes.reps, knowledge_nodes.scheduled_days --
CASE WHEN CAST(n.reps AS INTEGER) > 0 THEN nullif(max(
    coalesce((SELECT max(v.timestamp) FROM main.review_events v WHERE v.memory_id = n.id), ''),
    coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', n.next_review, '-' || n.scheduled_days || ' days'), '')), '') END

-- column scheduling.last_review when knowledge_nodes.reps, knowledge_nodes.scheduled_days --
-- Not last_accessed: every search that finds the memory updates it.
CASE WHEN CAST(n.reps AS INTEGER) > 0
     THEN strftime('%Y-%m-%dT%H:%M:%f000+00:00', n.next_review, '-' || n.scheduled_days || ' days') END

-- column scheduling.reps when knowledge_nodes.reps --
coalesce(CAST(n.reps AS INTEGER), 0)

-- column scheduling.lapses when knowledge_nodes.lapses --
coalesce(CAST(n.lapses AS INTEGER), 0)

-- view review_marks of knowledge_nodes when knowledge_nodes.protected, no review_marks --
n.protected <> 0

-- column review_marks.memory_id when knowledge_nodes.protected, no review_marks --
n.id

-- column review_marks.pinned when knowledge_nodes.protected, no review_marks --
1

-- view review_marks of knowledge_nodes instead when knowledge_nodes.protected, review_marks.cleared_lapses --
-- The server's pin is the pin.
n.protected <> 0 OR EXISTS (SELECT 1 FROM main.review_marks k WHERE k.memory_id = n.id)

-- column review_marks.memory_id when knowledge_nodes.protected, review_marks.cleared_lapses --
n.id

-- column review_marks.suspended when knowledge_nodes.protected, review_marks.cleared_lapses --
coalesce((SELECT k.suspended FROM main.review_marks k WHERE k.memory_id = n.id), 0)

-- column review_marks.buried_until when knowledge_nodes.protected, review_marks.cleared_lapses --
(SELECT k.buried_until FROM main.review_marks k WHERE k.memory_id = n.id)

-- column review_marks.pinned when knowledge_nodes.protected, review_marks.cleared_lapses --
n.protected <> 0

-- column review_marks.cleared_lapses when knowledge_nodes.protected, review_marks.cleared_lapses --
coalesce((SELECT k.cleared_lapses FROM main.review_marks k WHERE k.memory_id = n.id), 0)

-- view edges of memory_connections when memory_connections.source_id, memory_connections.target_id --

-- column edges.edge_type when memory_connections.link_type --
n.link_type

-- column edges.weight when memory_connections.strength --
coalesce(CAST(n.strength AS REAL), 1.0)

-- view supersession_events of knowledge_nodes when knowledge_nodes.superseded_by --
-- One event per memory with an existing winner; the file has no log.
n.superseded_by IS NOT NULL AND n.superseded_by <> n.id
AND EXISTS (SELECT 1 FROM main.knowledge_nodes w WHERE w.id = n.superseded_by)

-- column supersession_events.id --
n.rowid

-- column supersession_events.loser_id --
n.id

-- column supersession_events.winner_id --
n.superseded_by

-- column supersession_events.kind --
'imported'

-- column supersession_events.decided_at when knowledge_nodes.valid_until --
CASE WHEN julianday(n.valid_until) IS NULL THEN n.updated_at ELSE n.valid_until END

-- column supersession_events.decided_at --
n.updated_at

-- question no_model when embedding_model.name --
SELECT NOT EXISTS (SELECT 1 FROM main.embedding_model)

-- view embedding_model instead when ?active_profile, embedding_profiles.model_id, embedding_profiles.embedding_dimension, embedding_profiles.document_encoding_template, embedding_profiles.query_encoding_template --
-- The active profile is the vectors' model; the registry row may be of an earlier one. A template is JSON with a kind:
-- raw, prefix or template, the last with {input} for the text.
SELECT 1 AS id, p.model_id AS name, p.embedding_dimension AS dimension,
       coalesce(p.immutable_model_revision, '') AS hash, coalesce(s.activated_at, s.updated_at) AS created_at,
       CASE json_extract(iif(json_valid(p.document_encoding_template), p.document_encoding_template, '{}'), '$.kind')
           WHEN 'prefix' THEN json_extract(p.document_encoding_template, '$.prefix') || '{input}'
           WHEN 'template' THEN json_extract(p.document_encoding_template, '$.template') ELSE '{input}' END AS document_template,
       CASE json_extract(iif(json_valid(p.query_encoding_template), p.query_encoding_template, '{}'), '$.kind')
           WHEN 'prefix' THEN json_extract(p.query_encoding_template, '$.prefix') || '{input}'
           WHEN 'template' THEN json_extract(p.query_encoding_template, '$.template') ELSE '{input}' END AS query_template
FROM main.embedding_profile_state s JOIN main.embedding_profiles p ON p.profile_id = s.active_profile_id
WHERE s.singleton = 1

-- view embedding_model instead when ?active_profile, embedding_profiles.model_id, embedding_profiles.embedding_dimension --
SELECT 1 AS id, p.model_id AS name, p.embedding_dimension AS dimension,
       coalesce(p.immutable_model_revision, '') AS hash, coalesce(s.activated_at, s.updated_at) AS created_at,
       '{input}' AS document_template, '{input}' AS query_template
FROM main.embedding_profile_state s JOIN main.embedding_profiles p ON p.profile_id = s.active_profile_id
WHERE s.singleton = 1

-- view embedding_model instead when ?no_model, node_embeddings.model --
-- No model registered yet: use the model of most vectors.
SELECT id, name, dimension, hash, created_at, '{input}' AS document_template, '{input}' AS query_template
FROM main.embedding_model
UNION ALL
SELECT 1, g.model, g.width, '', g.newest, '{input}', '{input}' FROM (
    SELECT e.model, length(e.embedding) / 4 AS width, max(e.created_at) AS newest FROM main.node_embeddings e
    WHERE typeof(e.embedding) = 'blob' AND length(e.embedding) > 0 AND length(e.embedding) % 4 = 0
    GROUP BY e.model, width ORDER BY count(*) DESC, newest DESC LIMIT 1) g
WHERE NOT EXISTS (SELECT 1 FROM main.embedding_model)

-- view embedding_model when no embedding_model, node_embeddings.model --
SELECT 1 AS id, g.model AS name, g.width AS dimension, '' AS hash, g.newest AS created_at,
       '{input}' AS document_template, '{input}' AS query_template
FROM (
    SELECT e.model, length(e.embedding) / 4 AS width, max(e.created_at) AS newest FROM main.node_embeddings e
    WHERE typeof(e.embedding) = 'blob' AND length(e.embedding) > 0 AND length(e.embedding) % 4 = 0
    GROUP BY e.model, width ORDER BY count(*) DESC, newest DESC LIMIT 1) g

-- view groups when no groups --
SELECT NULL AS id, NULL AS handle, NULL AS display_name, NULL AS created_at, NULL AS metadata WHERE false

-- view group_memberships when no group_memberships --
SELECT NULL AS user_id, NULL AS group_id, NULL AS role, NULL AS joined_at WHERE false

-- view users when no users --
SELECT '00000000-0000-0000-0000-000000000001' AS id, 'local' AS handle, 'Local User' AS display_name,
       coalesce((SELECT min(created_at) FROM main.knowledge_nodes), '1970-01-01T00:00:00.000000+00:00') AS created_at,
       '{}' AS metadata
