-- Named queries of the store service; ../postgres/queries.sql has the same names. A block is "-- name --", a comment
-- and the SQL. /*slot*/ takes fragments that the service chooses by name, /*= name */ includes another block. Aliases:
-- m is a memory, s its schedule.

-- create_bookkeeping --
-- Applied migrations with the checksums of their files; adopted marks a file that a Vestige server wrote.
CREATE TABLE IF NOT EXISTS vestige_migrations (
    version     INTEGER PRIMARY KEY,
    name        TEXT NOT NULL,
    sha256      TEXT NOT NULL,
    applied_at  TEXT NOT NULL,
    duration_ms REAL NOT NULL,
    adopted     INTEGER NOT NULL DEFAULT 0
)

-- find_bookkeeping --
-- Check for the console's own schema.
SELECT count(*) AS n FROM sqlite_master WHERE type = 'table' AND name = 'vestige_migrations'

-- list_taken_names --
-- Tables of another program that have the console's names. One statement also looks for the console's own bookkeeping:
-- another console may create the schema between two statements.
SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name IN (
    'embedding_model', 'domains', 'users', 'groups', 'group_memberships', 'knowledge_nodes', 'node_embeddings', 'scheduling',
    'edges', 'review_events', 'supersession_events', 'delegations', 'job_runs', 'job_findings', 'journal', 'review_marks', 'review_weights',
    'spare_embeddings', 'spare_model', 'model_changes', 'sync_state')
    AND NOT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'vestige_migrations')
ORDER BY name

-- list_applied --
-- Applied migrations, oldest first.
SELECT version, name, sha256, applied_at, duration_ms FROM vestige_migrations ORDER BY version

-- record_applied --
-- Record an applied migration.
INSERT INTO vestige_migrations (version, name, sha256, applied_at, duration_ms)
VALUES (:version, :name, :sha256, :applied_at, :duration_ms)

-- forget_applied --
-- Remove the record of a migration that was rolled back.
DELETE FROM vestige_migrations WHERE version = :version

-- lock_schema --
-- No-op: BEGIN IMMEDIATE already locks the file.
SELECT 1 AS locked

-- find_folding_batch --
-- The next memories that a migration folds into the text index: the last seq, and how many.
SELECT max(seq) AS last, count(*) AS n, count(*) AS suspects
FROM (SELECT m.seq FROM knowledge_nodes m WHERE m.seq > coalesce(:after, -9223372036854775807 - 1) ORDER BY m.seq LIMIT :limit)

-- fold_memories --
-- Put a batch into the new text index.
INSERT INTO knowledge_fts_folded (command, seq, content, node_type, tags)
SELECT NULL, m.seq, m.content, m.node_type, m.tags FROM knowledge_nodes m
WHERE m.seq > coalesce(:after, -9223372036854775807 - 1) AND m.seq <= :last

-- count_precious_init --
-- Rows that a rollback of the schema would delete, by kind; the local user does not count, nor what is computed.
SELECT (SELECT count(*) FROM knowledge_nodes) AS memories, (SELECT count(*) FROM review_events) AS reviews,
    (SELECT count(*) FROM edges) AS links, (SELECT count(*) FROM domains) AS domains,
    (SELECT count(*) FROM users WHERE id <> '00000000-0000-0000-0000-000000000001') AS users, (SELECT count(*) FROM groups) AS groups

-- count_precious_supersession --
-- Supersession events that a rollback would delete; run only if their migration is applied.
SELECT count(*) AS supersessions FROM supersession_events

-- count_precious_ledger --
-- Delegations that a rollback would delete, with their findings; run only if their migration is applied.
SELECT (SELECT count(*) FROM delegations) AS jobs, (SELECT count(*) FROM job_findings) AS findings

-- count_precious_journal --
-- Journal entries and marks that a rollback would delete; run only if their migration is applied.
SELECT (SELECT count(*) FROM journal) AS journal_entries,
    (SELECT count(*) FROM review_marks WHERE suspended OR buried_until IS NOT NULL) AS marks

-- count_precious_review_weights --
-- Applied weights that a rollback would forget; run only if their migration is applied.
SELECT count(*) AS applied_weights FROM review_weights WHERE applied_at IS NOT NULL

-- count_precious_pinned --
-- Pinned memories that a rollback would forget; run only if their migration is applied.
SELECT count(*) AS pins FROM review_marks WHERE pinned

-- count_precious_jobs --
-- Vectors of a second model, model changes and findings that a rollback would delete; run only if their migration is applied.
SELECT (SELECT count(*) FROM spare_embeddings) AS kept_vectors, (SELECT count(*) FROM model_changes) AS changes_of_model,
    (SELECT count(*) FROM job_findings WHERE outcome NOT IN ('repaired', 'failed', 'left_behind', 'zero_vector')) AS findings

-- count_precious_sync_state --
-- Copies whose sync state a rollback would delete; run only if their migration is applied.
SELECT count(DISTINCT chain) AS sync_states FROM sync_state

-- find_unfinished_copy --
-- Unfinished copy into this store: it builds the vector index at its end.
SELECT delegation_id FROM job_runs WHERE kind = 'copy' AND finished_at IS NULL LIMIT 1

-- memory_columns --
-- Columns of a memory with its schedule, for rows.memory.
m.id, m.content, m.node_type, m.tags, m.domains, m.domain_scores, m.codebase, m.metadata, m.created_at, m.updated_at,
m.owner_user_id, m.visibility, m.shared_with_groups, m.superseded_by,
s.memory_id AS scheduled, s.stability, s.difficulty, s.retrievability, s.last_review, s.next_review, s.reps, s.lapses,
coalesce((SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id), 0) AS has_embedding,
(SELECT json_array(k.suspended, k.buried_until, k.pinned, k.cleared_lapses) FROM review_marks k WHERE k.memory_id = m.id) AS marks

-- memory_head_columns --
-- The same columns for lists, with only the head of the content.
m.id, substr(m.content, 1, :head) AS content, m.node_type, m.tags, m.domains, m.domain_scores, m.codebase, m.metadata,
m.created_at, m.updated_at, m.owner_user_id, m.visibility, m.shared_with_groups, m.superseded_by,
s.memory_id AS scheduled, s.stability, s.difficulty, s.retrievability, s.last_review, s.next_review, s.reps, s.lapses,
coalesce((SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id), 0) AS has_embedding,
(SELECT json_array(k.suspended, k.buried_until, k.pinned, k.cleared_lapses) FROM review_marks k WHERE k.memory_id = m.id) AS marks

-- get_memory --
-- Memory by id.
SELECT /*= memory_columns */ FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id WHERE m.id = :id

-- lock_memory --
-- Check that a memory exists; BEGIN IMMEDIATE already locks the file.
SELECT id FROM knowledge_nodes WHERE id = :id

-- lock_memories --
-- Those of the memories that exist; BEGIN IMMEDIATE already locks the file.
SELECT m.id FROM knowledge_nodes m WHERE m.id IN (SELECT value FROM json_each(:ids))

-- get_memories --
-- Memories by ids.
SELECT /*= memory_columns */ FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE m.id IN (SELECT value FROM json_each(:ids))

-- find_by_prefix --
-- Ids with a prefix, three at most: two already make it ambiguous.
SELECT m.id FROM knowledge_nodes m WHERE m.id >= :low AND m.id < :high ORDER BY m.id LIMIT 3

-- list_existing --
-- Those of the ids that exist.
SELECT m.id FROM knowledge_nodes m WHERE m.id IN (SELECT value FROM json_each(:ids))

-- insert_memory --
-- Insert a memory; a trigger maintains the text index.
INSERT INTO knowledge_nodes (id, content, node_type, tags, metadata, domains, domain_scores, codebase, owner_user_id,
    visibility, shared_with_groups, created_at, updated_at)
VALUES (:id, :content, :node_type, :tags, :metadata, :domains, :domain_scores, :codebase, :owner_user_id,
    :visibility, :shared_with_groups, :created_at, :updated_at)

-- update_memory --
-- Update the editable columns and the edit time.
UPDATE knowledge_nodes SET content = :content, node_type = :node_type, tags = :tags, metadata = :metadata,
    domains = :domains, codebase = :codebase, owner_user_id = :owner_user_id, visibility = :visibility,
    shared_with_groups = :shared_with_groups, updated_at = :updated_at WHERE id = :id

-- delete_memories --
-- Delete memories; vectors, schedules, edges, reviews and events cascade.
DELETE FROM knowledge_nodes WHERE id IN (SELECT value FROM json_each(:ids))

-- delete_embedding --
-- Delete the outdated vector of an edited memory.
DELETE FROM node_embeddings WHERE node_id = :id

-- still_registered --
-- Condition: the vector's model is still the registered one.
EXISTS (SELECT 1 FROM embedding_model k WHERE k.name = :model AND k.dimension = :dimension)

-- insert_embedding --
-- Insert a vector if its model is still registered; readers find it by its new seq.
INSERT INTO node_embeddings (node_id, embedding) SELECT :id, :embedding WHERE /*= still_registered */

-- get_embedding --
-- Vector of a memory, with its model.
SELECT e.embedding, k.name AS model, k.dimension FROM node_embeddings e LEFT JOIN embedding_model k ON true WHERE e.node_id = :id

-- list_embeddings_of --
-- Vectors of the memories, with their model.
SELECT e.node_id AS memory_id, e.embedding, k.name AS model, k.dimension
FROM node_embeddings e LEFT JOIN embedding_model k ON true WHERE e.node_id IN (SELECT value FROM json_each(:ids))

-- order_created --
-- Sort order: newest first.
ORDER BY m.created_at DESC, m.id DESC

-- order_updated --
-- Sort order: last edited first.
ORDER BY m.updated_at DESC, m.id DESC

-- order_due --
-- Sort order: next due first.
ORDER BY s.next_review, m.id

-- order_oldest --
-- Sort order: oldest first.
ORDER BY m.created_at, m.id

-- order_type --
-- Sort order: by type, newest first within each.
ORDER BY m.node_type, m.created_at DESC, m.id DESC

-- elapsed --
-- Time since the last review in units of stability, negative: it rises with recall, and needs no power function.
min(julianday(s.last_review) - julianday(:moment), 0) / min(max(s.stability, 0.001), 36500.0)

-- order_recall --
-- Sort order: lowest recall first.
ORDER BY /*= elapsed */, m.id

-- sort_key_created --
-- Sort key of a row as stored, for the cursor of keyset pagination.
m.created_at AS sort_key

-- sort_key_updated --
-- Sort key of a row as stored, for the cursor of keyset pagination.
m.updated_at AS sort_key

-- sort_key_due --
-- Sort key of a row as stored, for the cursor of keyset pagination.
s.next_review AS sort_key

-- sort_key_type --
-- Sort keys of a row as stored, for the cursor of keyset pagination.
m.node_type AS sort_key, m.created_at AS second_key

-- sort_key_recall --
-- Sort key of a row, for the cursor of keyset pagination; it holds for the moment of the cursor.
/*= elapsed */ AS sort_key

-- after_created --
-- Keyset pagination: rows after the cursor; the row value comparison uses the index.
AND (m.created_at, m.id) < (:after_key, :after_id)

-- after_updated --
-- Keyset pagination: rows after the cursor.
AND (m.updated_at, m.id) < (:after_key, :after_id)

-- after_due --
-- Keyset pagination: rows after the cursor.
AND (s.next_review, m.id) > (:after_key, :after_id)

-- after_oldest --
-- Keyset pagination: rows after the cursor.
AND (m.created_at, m.id) > (:after_key, :after_id)

-- after_type --
-- Keyset pagination: rows after the cursor.
AND (m.node_type > :after_key OR (m.node_type = :after_key
    AND (m.created_at, m.id) < (:after_second, :after_id)))

-- after_recall --
-- Keyset pagination: rows after the cursor.
AND (/*= elapsed */, m.id) > (:after_key, :after_id)

-- only_due --
-- Rows with a due date, for a list sorted by it.
AND s.reps > 0 AND s.next_review IS NOT NULL

-- without_due --
-- Rows without a due date, which stand last in a list sorted by it.
AND ((s.reps > 0) IS NOT TRUE OR s.next_review IS NULL)

-- only_recalled --
-- Rows with a recall, for a list sorted by it.
AND s.reps > 0 AND julianday(s.last_review) IS NOT NULL

-- without_recall --
-- Rows without a recall, which stand last in a list sorted by it.
AND ((s.reps > 0) IS NOT TRUE OR julianday(s.last_review) IS NULL)

-- page_memories --
-- Page of a filtered list.
SELECT /*= memory_head_columns */, /*sort_key*/
FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE true /*filters*/ /*after*/ /*order*/ LIMIT :limit

-- page_memories_at --
-- Page by offset, for a jump of the scroll bar, or in an order without an index; the pass over the list reads ids and
-- keys only, before whole rows are read.
SELECT /*= memory_head_columns */, /*sort_key*/
FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE m.id IN (SELECT m.id FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
    WHERE true /*filters*/ /*after*/ /*order*/ LIMIT :limit OFFSET :offset)
/*order*/

-- count_memories --
-- Number of memories that pass a filter.
SELECT count(*) AS n FROM knowledge_nodes m WHERE true /*filters*/

-- count_scheduled --
-- Number of memories that pass a filter which may concern the schedule, and stand after a cursor.
SELECT count(*) AS n FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id WHERE true /*filters*/ /*after*/

-- filter_domains --
-- Filter: in any of the domains.
AND EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid(m.domains) THEN m.domains ELSE '[]' END) j
    WHERE j.value IN (SELECT value FROM json_each(:domains)))

-- filter_all_domains --
-- Filter: in all of the domains.
AND NOT EXISTS (SELECT 1 FROM json_each(:all_domains) w WHERE NOT EXISTS (
    SELECT 1 FROM json_each(CASE WHEN json_valid(m.domains) THEN m.domains ELSE '[]' END) j WHERE j.value = w.value))

-- filter_no_domains --
-- Filter: in none of the domains.
AND NOT EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid(m.domains) THEN m.domains ELSE '[]' END) j
    WHERE j.value IN (SELECT value FROM json_each(:no_domains)))

-- filter_tags --
-- Filter: with any of the tags.
AND EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid(m.tags) THEN m.tags ELSE '[]' END) j
    WHERE j.value IN (SELECT value FROM json_each(:tags)))

-- filter_all_tags --
-- Filter: with all of the tags.
AND NOT EXISTS (SELECT 1 FROM json_each(:all_tags) w WHERE NOT EXISTS (
    SELECT 1 FROM json_each(CASE WHEN json_valid(m.tags) THEN m.tags ELSE '[]' END) j WHERE j.value = w.value))

-- filter_no_tags --
-- Filter: with none of the tags.
AND NOT EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid(m.tags) THEN m.tags ELSE '[]' END) j
    WHERE j.value IN (SELECT value FROM json_each(:no_tags)))

-- filter_node_types --
-- Filter: of any of the types.
AND m.node_type IN (SELECT value FROM json_each(:node_types))

-- filter_all_node_types --
-- Filter: of all of the types.
AND NOT EXISTS (SELECT 1 FROM json_each(:all_node_types) w WHERE w.value <> m.node_type)

-- filter_no_node_types --
-- Filter: of none of the types.
AND m.node_type NOT IN (SELECT value FROM json_each(:no_node_types))

-- filter_codebases --
-- Filter: of any of the codebases.
AND m.codebase IN (SELECT value FROM json_each(:codebases))

-- filter_all_codebases --
-- Filter: of all of the codebases.
AND NOT EXISTS (SELECT 1 FROM json_each(:all_codebases) w WHERE w.value IS NOT m.codebase)

-- filter_no_codebases --
-- Filter: of none of the codebases.
AND (m.codebase IS NULL OR m.codebase NOT IN (SELECT value FROM json_each(:no_codebases)))

-- filter_visibilities --
-- Filter: of any of the visibilities.
AND m.visibility IN (SELECT value FROM json_each(:visibilities))

-- filter_all_visibilities --
-- Filter: of all of the visibilities.
AND NOT EXISTS (SELECT 1 FROM json_each(:all_visibilities) w WHERE w.value <> m.visibility)

-- filter_no_visibilities --
-- Filter: of none of the visibilities.
AND m.visibility NOT IN (SELECT value FROM json_each(:no_visibilities))

-- filter_groups --
-- Filter: shared with any of the groups.
AND EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid(m.shared_with_groups) THEN m.shared_with_groups ELSE '[]' END) j
    WHERE j.value IN (SELECT value FROM json_each(:groups)))

-- filter_all_groups --
-- Filter: shared with all of the groups.
AND NOT EXISTS (SELECT 1 FROM json_each(:all_groups) w WHERE NOT EXISTS (
    SELECT 1 FROM json_each(CASE WHEN json_valid(m.shared_with_groups) THEN m.shared_with_groups ELSE '[]' END) j WHERE j.value = w.value))

-- filter_no_groups --
-- Filter: shared with none of the groups.
AND NOT EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid(m.shared_with_groups) THEN m.shared_with_groups ELSE '[]' END) j
    WHERE j.value IN (SELECT value FROM json_each(:no_groups)))

-- filter_owner --
-- Filter: owner.
AND m.owner_user_id = :owner

-- filter_no_owners --
-- Filter: of none of the owners.
AND m.owner_user_id NOT IN (SELECT value FROM json_each(:no_owners))

-- filter_since --
-- Filter: created at or after a time; Vestige also writes times with a space.
AND replace(m.created_at, ' ', 'T') >= :since

-- filter_until --
-- Filter: created before a time.
AND replace(m.created_at, ' ', 'T') < :until

-- filter_min_retrievability --
-- Filter: recall of at least r. R(t, S) >= r exactly if t <= S * horizon(r), which needs no power function.
AND m.id IN (SELECT h.memory_id FROM scheduling h WHERE h.reps > 0 AND h.last_review IS NOT NULL
    AND julianday(:now) - julianday(h.last_review) <= min(max(h.stability, 0.001), 36500.0) * :horizon)

-- filter_active --
-- Filter: active, not replaced by another memory.
AND m.superseded_by IS NULL

-- filter_replaced --
-- Filter: replaced by another memory.
AND m.superseded_by IS NOT NULL

-- is_due --
-- Condition: due before the end of today. Vestige also writes times with a space and with other fractions; the bound is
-- a whole second.
m.id IN (SELECT h.memory_id FROM scheduling h WHERE h.reps > 0 AND h.next_review < :due_before
    AND replace(substr(h.next_review, 1, 19), ' ', 'T') < substr(:due_before, 1, 19))

-- filter_due --
-- Filter: due by the end of today, neither suspended nor buried.
AND /*= is_due */
    AND m.id NOT IN (SELECT k.memory_id FROM review_marks k WHERE k.suspended OR k.buried_until > :now)

-- filter_not_due --
-- Filter: not due by the end of today, or suspended, or buried.
AND (NOT /*= is_due */
    OR m.id IN (SELECT k.memory_id FROM review_marks k WHERE k.suspended OR k.buried_until > :now))

-- filter_new --
-- Filter: never reviewed.
AND m.id NOT IN (SELECT h.memory_id FROM scheduling h WHERE h.reps > 0)

-- filter_not_new --
-- Filter: reviewed.
AND m.id IN (SELECT h.memory_id FROM scheduling h WHERE h.reps > 0)

-- filter_suspended --
-- Filter: suspended.
AND m.id IN (SELECT k.memory_id FROM review_marks k WHERE k.suspended)

-- filter_not_suspended --
-- Filter: not suspended.
AND m.id NOT IN (SELECT k.memory_id FROM review_marks k WHERE k.suspended)

-- filter_buried --
-- Filter: buried now.
AND m.id IN (SELECT k.memory_id FROM review_marks k WHERE k.buried_until > :now)

-- filter_not_buried --
-- Filter: not buried now.
AND m.id NOT IN (SELECT k.memory_id FROM review_marks k WHERE k.buried_until > :now)

-- is_leech --
-- Condition: forgotten often enough to be a leech, since that mark was last cleared.
m.id IN (SELECT h.memory_id FROM scheduling h LEFT JOIN review_marks k ON k.memory_id = h.memory_id
    WHERE h.lapses >= :leech_lapses AND h.lapses - coalesce(k.cleared_lapses, 0) >= :leech_lapses)

-- filter_leech --
-- Filter: forgotten often enough to be a leech.
AND /*= is_leech */

-- filter_not_leech --
-- Filter: not a leech.
AND NOT /*= is_leech */

-- filter_pinned --
-- Filter: pinned.
AND m.id IN (SELECT k.memory_id FROM review_marks k WHERE k.pinned)

-- filter_not_pinned --
-- Filter: not pinned.
AND m.id NOT IN (SELECT k.memory_id FROM review_marks k WHERE k.pinned)

-- filter_without_embedding --
-- Filter: without a vector.
AND NOT EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id)

-- filter_with_embedding --
-- Filter: with a vector.
AND EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id)

-- filter_must --
-- Filter: matches every +word and "phrase" of the query.
AND m.seq IN (SELECT rowid FROM knowledge_fts WHERE knowledge_fts MATCH :must)

-- filter_must_not --
-- Filter: matches no -word of the query.
AND m.seq NOT IN (SELECT rowid FROM knowledge_fts WHERE knowledge_fts MATCH :must_not)

-- filter_holds --
-- Filter: contains all substrings, for scripts without spaces between words.
AND NOT EXISTS (SELECT 1 FROM json_each(:holds) p WHERE instr(lower(m.content), p.value) = 0)

-- filter_lacks --
-- Filter: contains none of the substrings.
AND NOT EXISTS (SELECT 1 FROM json_each(:lacks) p WHERE instr(lower(m.content), p.value) > 0)

-- filter_id --
-- Filter: one memory.
AND m.id = :only

-- search_memories --
-- Hybrid search: fusion of both branches in one statement. Each branch's score is normalised by its best hit; rows
-- without a rank are hits of the other branch. The floor of the cosines is a part of the lowest one, which a memory
-- without a vector gets.
WITH /*vector_branch*/, /*text_branch*/,
scale AS MATERIALIZED (SELECT (SELECT nullif(max(s), 0) FROM text_hits WHERE r IS NOT NULL) AS words,
    (SELECT max(s) FROM vector_hits WHERE r <= :counted) AS nearest, (SELECT min(s) FROM vector_hits WHERE r <= :counted) AS farthest,
    (SELECT min(s) - (1 - :floor) * abs(min(s)) FROM vector_hits WHERE r <= :counted) AS base),
judged AS MATERIALIZED (SELECT id, max(tr) AS text_rank, max(ts) AS text_score, max(vr) AS vector_rank, max(vs) AS vector_score FROM (
    SELECT id, NULL AS tr, NULL AS ts, r AS vr, s AS vs FROM vector_hits UNION ALL SELECT id, r, s, NULL, NULL FROM text_hits)
    GROUP BY id HAVING max(tr) IS NOT NULL OR max(vr) IS NOT NULL),
shared AS (SELECT j.*, coalesce(j.text_score / c.words, 0) AS text_share,
    max((coalesce(j.vector_score, c.farthest) - c.base) / nullif(c.nearest - c.base, 0), 0) AS vector_share FROM judged j, scale c),
placed AS (SELECT f.*, row_number() OVER (ORDER BY f.score DESC, coalesce(f.text_rank, f.vector_rank), f.id) AS place
    FROM (SELECT h.*, :text_weight * text_share + :vector_weight * coalesce(vector_share, 0) AS score FROM shared h) f)
SELECT f.place, f.score, f.text_rank, f.text_score, f.text_share, f.vector_rank, f.vector_score, f.vector_share, /*= memory_columns */
FROM placed f JOIN knowledge_nodes m ON m.id = f.id LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE /*chosen*/ ORDER BY f.place

-- chosen_best --
-- Top hits up to the limit.
f.place <= :limit

-- chosen_one --
-- One memory at any rank.
f.id = :only

-- branch_vector_given --
-- Vector branch from the matrix in memory: filtered hits, and cosines of hits of the text branch only; [seq, cosine]
-- each.
vector_hits AS (SELECT id, row_number() OVER (ORDER BY s DESC, id) AS r, s FROM (
    SELECT m.id AS id, json_extract(h.value, '$[1]') AS s
    FROM json_each(:vector_hits) h CROSS JOIN knowledge_nodes m ON m.seq = json_extract(h.value, '$[0]')
    ORDER BY s DESC, m.id LIMIT :depth)
    UNION ALL SELECT m.id, NULL, json_extract(h.value, '$[1]')
    FROM json_each(:vector_also) h CROSS JOIN knowledge_nodes m ON m.seq = json_extract(h.value, '$[0]'))

-- branch_vector_none --
-- Absent vector branch.
vector_hits AS (SELECT NULL AS id, NULL AS r, NULL AS s WHERE false)

-- branch_text --
-- Text branch from BM25: filtered hits, and scores of hits of the vector branch only; [seq, score] each.
text_hits AS (SELECT id, row_number() OVER (ORDER BY s DESC, id) AS r, s FROM (
    SELECT m.id AS id, json_extract(h.value, '$[1]') AS s
    FROM json_each(:text_hits) h CROSS JOIN knowledge_nodes m ON m.seq = json_extract(h.value, '$[0]')
    ORDER BY s DESC, m.id LIMIT :depth)
    UNION ALL SELECT m.id, NULL, json_extract(h.value, '$[1]')
    FROM json_each(:text_also) h CROSS JOIN knowledge_nodes m ON m.seq = json_extract(h.value, '$[0]'))

-- branch_text_newest --
-- Text branch of a query with -words only: the newest memories.
text_hits AS (SELECT id, row_number() OVER (ORDER BY created_at DESC, id DESC) AS r, 0.0 AS s FROM (
    SELECT m.id, m.created_at FROM knowledge_nodes m WHERE true /*filters*/ ORDER BY m.created_at DESC, m.id DESC LIMIT :depth))

-- branch_text_literal --
-- Text branch of a literal search over the newest memories: exact case first, then ASCII case-insensitive.
text_hits AS (SELECT id, row_number() OVER (ORDER BY s DESC, created_at DESC, id DESC) AS r, s FROM (
    SELECT id, created_at, CASE WHEN instr(content, :literal) > 0 THEN 1.0 ELSE 0.5 END AS s FROM (
        SELECT m.id, m.created_at, m.content FROM knowledge_nodes m WHERE true /*filters*/ ORDER BY m.created_at DESC, m.id DESC LIMIT :scanned)
    WHERE instr(lower(content), :folded) > 0 ORDER BY s DESC, created_at DESC, id DESC LIMIT :depth))

-- branch_text_literal_cased --
-- The same for letters beyond ASCII: exact case first, then any case. matches() is the program's.
text_hits AS (SELECT id, row_number() OVER (ORDER BY s DESC, created_at DESC, id DESC) AS r, s FROM (
    SELECT id, created_at, CASE WHEN instr(content, :literal) > 0 THEN 1.0 ELSE 0.5 END AS s FROM (
        SELECT m.id, m.created_at, m.content FROM knowledge_nodes m WHERE true /*filters*/ ORDER BY m.created_at DESC, m.id DESC LIMIT :scanned)
    WHERE matches(:pattern, CAST(content AS BLOB), CAST('a' AS BLOB)) ORDER BY s DESC, created_at DESC, id DESC LIMIT :depth))

-- branch_text_pieces --
-- Text branch over the newest memories by the number of matching substrings, for scripts without spaces between words,
-- and of matching words of other scripts.
worded AS MATERIALIZED (SELECT knowledge_fts.rowid AS seq, count(*) AS n FROM json_each(:spaced) w CROSS JOIN knowledge_fts
    WHERE knowledge_fts MATCH w.value GROUP BY knowledge_fts.rowid),
text_hits AS (SELECT id, row_number() OVER (ORDER BY s DESC, created_at DESC, id DESC) AS r, s FROM (
    SELECT id, created_at, ((SELECT count(*) FROM json_each(:pieces) p WHERE instr(low, p.value) > 0)
        + coalesce((SELECT d.n FROM worded d WHERE d.seq = k.seq), 0)) * 1.0 AS s FROM (
        SELECT m.id, m.seq, m.created_at, lower(m.content) AS low FROM knowledge_nodes m WHERE true /*filters*/ ORDER BY m.created_at DESC, m.id DESC LIMIT :scanned) k
    WHERE s > 0 ORDER BY s DESC, created_at DESC, id DESC LIMIT :depth))

-- branch_text_none --
-- Absent text branch.
text_hits AS (SELECT NULL AS id, NULL AS r, NULL AS s WHERE false)

-- count_matching --
-- Document frequency of a word or phrase.
SELECT count(*) AS n FROM knowledge_fts WHERE knowledge_fts MATCH :words

-- rank_matching --
-- BM25 ranking of matches; limit -1 for all. FTS5 sorts them itself, without a join per match.
SELECT knowledge_fts.rowid AS seq, -rank AS s FROM knowledge_fts WHERE knowledge_fts MATCH :words ORDER BY rank LIMIT :limit

-- rank_matching_among --
-- BM25 scores of some memories only; the plus keeps SQLite from one text index query per rowid.
SELECT knowledge_fts.rowid AS seq, -bm25(knowledge_fts) AS s FROM knowledge_fts
WHERE knowledge_fts MATCH :words AND +knowledge_fts.rowid IN (SELECT value FROM json_each(:among))

-- list_matching_seqs --
-- Rowids of memories that match words, as one text.
SELECT group_concat(knowledge_fts.rowid) AS seqs FROM knowledge_fts WHERE knowledge_fts MATCH :words

-- list_passing_seqs --
-- Rowids of memories that pass a filter, as one text.
SELECT group_concat(m.seq) AS seqs FROM knowledge_nodes m WHERE true /*filters*/

-- list_replaced_seqs --
-- Rowids of replaced memories, as one text.
SELECT group_concat(m.seq) AS seqs FROM knowledge_nodes m WHERE m.superseded_by IS NOT NULL

-- still_the_same --
-- Condition: the vectors belong to the same model and model change; a table swapped back later has other seqs.
EXISTS (SELECT 1 FROM embedding_model k WHERE k.name IS :model AND k.dimension IS :dimension)
    AND (SELECT coalesce(max(id), 0) FROM model_changes) = :turn

-- list_embeddings_after --
-- Vectors after a seq, each with its memory's seq; none if the model has changed.
SELECT e.seq, (SELECT m.seq FROM knowledge_nodes m WHERE m.id = e.node_id) AS memory, e.embedding
FROM node_embeddings e WHERE e.seq > :seq AND /*= still_the_same */

-- list_embedding_seqs --
-- Seqs of all vectors as one text, without their blobs, and a flag for an unchanged model.
SELECT (SELECT group_concat(e.seq) FROM node_embeddings e) AS seqs, /*= still_the_same */ AS same

-- measure_embeddings --
-- Number of vectors, last seq, model, and the id of the last model change.
SELECT count(*) AS n, coalesce(max(e.seq), 0) AS last, (SELECT k.name FROM embedding_model k) AS model,
    (SELECT k.dimension FROM embedding_model k) AS dimension, (SELECT coalesce(max(id), 0) FROM model_changes) AS turn
FROM node_embeddings e

-- facet_domains --
-- Facet: domains with counts.
SELECT j.value AS value, count(*) AS n FROM knowledge_nodes m, json_each(CASE WHEN json_valid(m.domains) THEN m.domains ELSE '[]' END) j
WHERE true /*filters*/ GROUP BY j.value ORDER BY n DESC, j.value LIMIT :limit

-- facet_tags --
-- Facet: tags with counts.
SELECT j.value AS value, count(*) AS n FROM knowledge_nodes m, json_each(CASE WHEN json_valid(m.tags) THEN m.tags ELSE '[]' END) j
WHERE true /*filters*/ GROUP BY j.value ORDER BY n DESC, j.value LIMIT :limit

-- facet_node_types --
-- Facet: types with counts.
SELECT m.node_type AS value, count(*) AS n FROM knowledge_nodes m WHERE true /*filters*/
GROUP BY m.node_type ORDER BY n DESC, m.node_type LIMIT :limit

-- facet_codebases --
-- Facet: codebases with counts.
SELECT m.codebase AS value, count(*) AS n FROM knowledge_nodes m WHERE m.codebase IS NOT NULL /*filters*/
GROUP BY m.codebase ORDER BY n DESC, m.codebase LIMIT :limit

-- facet_owners --
-- Facet: owners with counts, and their names if known.
SELECT o.value, o.n, u.handle AS alias, u.display_name AS title
FROM (SELECT m.owner_user_id AS value, count(*) AS n FROM knowledge_nodes m WHERE true /*filters*/ GROUP BY m.owner_user_id
    ORDER BY n DESC, m.owner_user_id LIMIT :limit) o
LEFT JOIN users u ON u.id = o.value ORDER BY o.n DESC, o.value

-- facet_visibilities --
-- Facet: visibilities with counts.
SELECT m.visibility AS value, count(*) AS n FROM knowledge_nodes m WHERE true /*filters*/
GROUP BY m.visibility ORDER BY n DESC, m.visibility LIMIT :limit

-- facet_groups --
-- Facet: groups with the counts of memories shared with them, and their names if known.
SELECT o.value, o.n, g.handle AS alias, g.display_name AS title
FROM (SELECT j.value AS value, count(*) AS n
    FROM knowledge_nodes m, json_each(CASE WHEN json_valid(m.shared_with_groups) THEN m.shared_with_groups ELSE '[]' END) j
    WHERE true /*filters*/ GROUP BY j.value ORDER BY n DESC, j.value LIMIT :limit) o
LEFT JOIN groups g ON g.id = o.value ORDER BY o.n DESC, o.value

-- facet_since --
-- Facet: counts created at or after each of several times.
WITH made AS MATERIALIZED (SELECT replace(m.created_at, ' ', 'T') AS at FROM knowledge_nodes m WHERE true /*filters*/)
SELECT d.key AS place, count(*) AS n FROM made CROSS JOIN json_each(:moments) d WHERE made.at >= d.value GROUP BY d.key

-- facet_until --
-- Facet: counts created before each of several times.
WITH made AS MATERIALIZED (SELECT replace(m.created_at, ' ', 'T') AS at FROM knowledge_nodes m WHERE true /*filters*/)
SELECT d.key AS place, count(*) AS n FROM made CROSS JOIN json_each(:moments) d WHERE made.at < d.value GROUP BY d.key

-- facet_recall --
-- Facet: counts within each horizon, in units of stability since the last review.
WITH reviewed AS MATERIALIZED (
    SELECT julianday(:now) - julianday(g.last_review) AS days, min(max(g.stability, 0.001), 36500.0) AS stability
    FROM scheduling g JOIN knowledge_nodes m ON m.id = g.memory_id
    WHERE g.reps > 0 AND g.last_review IS NOT NULL /*filters*/)
SELECT d.key AS place, count(*) AS n FROM reviewed CROSS JOIN json_each(:horizons) d
WHERE reviewed.days <= reviewed.stability * d.value GROUP BY d.key

-- find_owner --
-- Users by id, handle or display name; the lowest place is the best match.
SELECT u.id AS value, CASE WHEN u.id = :owner THEN 0 WHEN u.handle = :owner THEN 1 WHEN lower(u.handle) = lower(:owner) THEN 2 ELSE 3 END AS place
FROM users u WHERE u.id = :owner OR lower(u.handle) = lower(:owner) OR lower(u.display_name) = lower(:owner)
UNION SELECT :owner, 0 WHERE EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.owner_user_id = :owner)

-- server_progress --
-- SQLite reports no progress of a statement.
SELECT '' AS relation, '' AS phase, 0 AS tuples_done, 0 AS tuples_total, 0 AS blocks_done, 0 AS blocks_total
WHERE :kind = ''

-- owner_names --
-- Handles of users and groups by their ids.
SELECT u.id AS value, u.handle AS name FROM users u WHERE u.id IN (SELECT value FROM json_each(:ids))
UNION ALL SELECT g.id, g.handle FROM groups g WHERE g.id IN (SELECT value FROM json_each(:ids))

-- growth --
-- Memories created per month.
SELECT substr(m.created_at, 1, 7) AS value, count(*) AS n FROM knowledge_nodes m GROUP BY substr(m.created_at, 1, 7) ORDER BY value

-- not_resting --
-- Filter: neither suspended nor buried now.
AND NOT EXISTS (SELECT 1 FROM review_marks k WHERE k.memory_id = m.id AND (k.suspended OR k.buried_until > :now))

-- list_due --
-- Memories due before a time, most overdue first.
SELECT /*= memory_columns */, s.next_review AS sort_key FROM scheduling s JOIN knowledge_nodes m ON m.id = s.memory_id
WHERE s.reps > 0 AND s.next_review < :before /*= not_resting */ /*filters*/ /*after*/
ORDER BY s.next_review, m.id LIMIT :limit

-- list_due_times --
-- Due dates in a wide span, for counts; the caller parses and compares them exactly.
SELECT s.next_review FROM scheduling s JOIN knowledge_nodes m ON m.id = s.memory_id
WHERE s.reps > 0 AND s.next_review >= :earliest AND s.next_review < :before /*= not_resting */ /*filters*/

-- not_undone --
-- Condition: no undo of this review is in force; a redone review has an undo that another row undoes.
NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = v.id
            AND NOT EXISTS (SELECT 1 FROM review_events r WHERE r.undoes = u.id))

-- count_queue --
-- Counts of the review queue in one pass: due before each of three times, never reviewed, and first reviews since
-- midnight.
SELECT count(*) FILTER (WHERE s.reps > 0 AND s.next_review < :overdue) AS overdue,
    count(*) FILTER (WHERE s.reps > 0 AND s.next_review < :tonight) AS tonight,
    count(*) FILTER (WHERE s.reps > 0 AND s.next_review < :week) AS week,
    count(*) FILTER (WHERE s.memory_id IS NULL OR s.reps = 0) AS new,
    (SELECT count(*) FROM review_events v WHERE v.timestamp >= :midnight AND v.undoes IS NULL
        AND coalesce(json_extract(CASE WHEN json_valid(v.prior_state) THEN v.prior_state ELSE '{}' END, '$.reps'), 0) = 0
        AND /*= not_undone */) AS first
FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE true /*= not_resting */ /*filters*/

-- list_new --
-- Memories never reviewed, oldest first.
SELECT /*= memory_columns */ FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE (s.memory_id IS NULL OR s.reps = 0) /*= not_resting */ /*filters*/
ORDER BY m.created_at, m.id LIMIT :limit

-- put_scheduling --
-- Upsert a schedule.
INSERT INTO scheduling (memory_id, stability, difficulty, retrievability, last_review, next_review, reps, lapses)
VALUES (:id, :stability, :difficulty, :retrievability, :last_review, :next_review, :reps, :lapses)
ON CONFLICT (memory_id) DO UPDATE SET stability = excluded.stability, difficulty = excluded.difficulty,
    retrievability = excluded.retrievability, last_review = excluded.last_review, next_review = excluded.next_review,
    reps = excluded.reps, lapses = excluded.lapses

-- delete_scheduling --
-- Reset a memory to never reviewed.
DELETE FROM scheduling WHERE memory_id = :id

-- insert_review --
-- Append to the review log; returns the id.
INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state, undoes, weights_hash)
VALUES (:id, :at, :rating, :prior, :new, :undoes, :weights_hash) RETURNING id

-- restore_review --
-- Insert a review of a deleted memory again, under the number that its journal entries have.
INSERT INTO review_events (id, memory_id, timestamp, rating, prior_state, new_state, undoes, weights_hash)
VALUES (:number, :id, :at, :rating, :prior, :new, :undoes, :weights_hash)

-- list_taken_reviews --
-- Those of the numbers that a review has.
SELECT v.id FROM review_events v WHERE v.id IN (SELECT value FROM json_each(:numbers))

-- append_review --
-- Append to the review log without returning the id.
INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state, undoes, weights_hash)
VALUES (:id, :at, :rating, :prior, :new, :undoes, :weights_hash)

-- find_reviews --
-- Those of the [id, time, rating] that are in the log: log ids differ between stores.
SELECT a.key AS n, min(v.id) AS id FROM json_each(:asked) a JOIN review_events v
ON v.memory_id = json_extract(a.value, '$[0]') AND v.timestamp = json_extract(a.value, '$[1]') AND v.rating = json_extract(a.value, '$[2]')
GROUP BY a.key

-- list_reviews --
-- Reviews of a memory, oldest first.
SELECT v.id, v.memory_id, v.timestamp, v.rating, v.prior_state, v.new_state, v.undoes, v.weights_hash
FROM review_events v WHERE v.memory_id = :id ORDER BY v.id

-- list_reviews_of --
-- Reviews of the memories, oldest first.
SELECT v.id, v.memory_id, v.timestamp, v.rating, v.prior_state, v.new_state, v.undoes, v.weights_hash
FROM review_events v WHERE v.memory_id IN (SELECT value FROM json_each(:ids)) ORDER BY v.id

-- count_reviews_of --
-- Number of reviews of the memories, undone ones included.
SELECT count(*) AS n FROM review_events v WHERE v.memory_id IN (SELECT value FROM json_each(:ids))

-- list_reviews_since --
-- Reviews since a time (of a session), oldest first.
SELECT v.id, v.memory_id, v.timestamp, v.rating, v.prior_state, v.new_state, v.undoes, v.weights_hash
FROM review_events v WHERE v.timestamp >= :since ORDER BY v.id

-- last_review --
-- Last review of a memory that was not undone.
SELECT v.id, v.memory_id, v.timestamp, v.rating, v.prior_state, v.new_state, v.undoes, v.weights_hash FROM review_events v
WHERE v.memory_id = :id AND v.undoes IS NULL
AND /*= not_undone */
ORDER BY v.id DESC LIMIT 1

-- list_grades --
-- Grades in force since a time, with what statistics group them by, oldest first.
SELECT v.memory_id, v.timestamp, v.rating, coalesce(json_extract(CASE WHEN json_valid(v.prior_state) THEN v.prior_state ELSE '{}' END, '$.reps'), 0) AS prior_reps, m.node_type, m.tags, m.created_at
FROM review_events v JOIN knowledge_nodes m ON m.id = v.memory_id
WHERE v.timestamp >= :since AND v.undoes IS NULL AND /*= not_undone */ /*filters*/ ORDER BY v.id

-- list_schedules --
-- Schedules of the memories that are reviewed and do not rest.
SELECT s.memory_id AS scheduled, s.stability, s.difficulty, s.retrievability, s.last_review, s.next_review, s.reps, s.lapses
FROM scheduling s JOIN knowledge_nodes m ON m.id = s.memory_id
WHERE s.reps > 0 AND s.next_review IS NOT NULL /*= not_resting */ /*filters*/

-- list_reviewed --
-- The next memories that have both a schedule and reviews, by id.
SELECT s.memory_id AS id FROM scheduling s JOIN knowledge_nodes m ON m.id = s.memory_id
WHERE s.reps > 0 AND EXISTS (SELECT 1 FROM review_events v WHERE v.memory_id = s.memory_id) /*after*/
ORDER BY s.memory_id LIMIT :limit

-- after_reviewed --
-- Keyset pagination: memories after the cursor.
AND s.memory_id > :after_id

-- lock_weights --
-- No-op: BEGIN IMMEDIATE already locks the file.
SELECT 1 AS locked

-- weights_columns --
-- Columns of weights.
w.hash, w.algorithm, w.weights, w.created_at, w.applied_at

-- get_applied_weights --
-- The weights in force: those that were applied last.
SELECT /*= weights_columns */ FROM review_weights w WHERE w.applied_at IS NOT NULL ORDER BY w.applied_at DESC, w.hash LIMIT 1

-- get_weights --
-- Weights by their hash.
SELECT /*= weights_columns */ FROM review_weights w WHERE w.hash = :hash

-- insert_weights_if_absent --
-- Keep weights that a review or a change names.
INSERT INTO review_weights (hash, algorithm, weights, created_at)
VALUES (:hash, :algorithm, :weights, :created_at) ON CONFLICT (hash) DO NOTHING

-- set_weights_applied --
-- Set the time at which weights were applied, NULL for never.
UPDATE review_weights SET applied_at = :applied_at WHERE hash = :hash

-- get_marks --
-- Marks of a memory.
SELECT k.suspended, k.buried_until, k.pinned, k.cleared_lapses FROM review_marks k WHERE k.memory_id = :id

-- list_marks_of --
-- Marks of the memories that have any.
SELECT k.memory_id, k.suspended, k.buried_until, k.pinned, k.cleared_lapses FROM review_marks k WHERE k.memory_id IN (SELECT value FROM json_each(:ids))

-- put_marks --
-- Upsert the marks of a memory.
INSERT INTO review_marks (memory_id, suspended, buried_until, pinned, cleared_lapses)
VALUES (:id, :suspended, :buried_until, :pinned, :cleared_lapses)
ON CONFLICT (memory_id) DO UPDATE SET suspended = excluded.suspended, buried_until = excluded.buried_until,
    pinned = excluded.pinned, cleared_lapses = excluded.cleared_lapses

-- list_marks --
-- Memories with marks.
SELECT k.memory_id, k.suspended, k.buried_until, k.pinned, k.cleared_lapses FROM review_marks k
WHERE k.suspended OR k.buried_until IS NOT NULL OR k.pinned OR k.cleared_lapses > 0 ORDER BY k.memory_id

-- insert_marks_if_absent --
-- Insert imported marks unless the memory has marks.
INSERT INTO review_marks (memory_id, suspended, buried_until, pinned, cleared_lapses)
VALUES (:id, :suspended, :buried_until, :pinned, :cleared_lapses) ON CONFLICT (memory_id) DO NOTHING

-- get_model --
-- Registered embedding model.
SELECT name, dimension, hash, created_at, document_template, query_template FROM embedding_model

-- put_model --
-- Register the embedding model.
INSERT INTO embedding_model (id, name, dimension, hash, created_at, document_template, query_template)
VALUES (1, :name, :dimension, :hash, :created_at, :document_template, :query_template)

-- set_model_hash --
-- Update the hash after a change of the model's build.
UPDATE embedding_model SET hash = :hash WHERE id = 1

-- count_model_changes --
-- Number of model changes since a time.
SELECT count(*) AS n FROM model_changes WHERE changed_at >= :since

-- sample_embeddings --
-- Even sample of active memories with vectors, and the model of these vectors.
SELECT m.id, m.content, e.embedding, k.name AS model, k.dimension, k.hash
FROM (SELECT n.node_id, row_number() OVER (ORDER BY n.node_id) - 1 AS place, count(*) OVER () AS total
    FROM node_embeddings n JOIN knowledge_nodes h ON h.id = n.node_id WHERE h.superseded_by IS NULL) p
JOIN node_embeddings e ON e.node_id = p.node_id JOIN knowledge_nodes m ON m.id = p.node_id CROSS JOIN embedding_model k
WHERE (p.place + 1) * :sample / p.total > p.place * :sample / p.total ORDER BY p.place

-- stamp_width --
-- No-op: vectors are blobs, and the service checks their width.
SELECT 1 AS stamped

-- count_vectors_by_width --
-- Number of stored vectors by width.
SELECT length(e.embedding) / 4 AS width, count(*) AS n FROM node_embeddings e GROUP BY length(e.embedding) / 4 ORDER BY n DESC

-- list_embeddings_by_width --
-- Vectors of one width, to search for unusable ones.
SELECT e.seq, e.node_id, e.embedding FROM node_embeddings e WHERE e.seq > :seq AND length(e.embedding) = 4 * :width
ORDER BY e.seq LIMIT :limit

-- list_without_embedding --
-- Memories without a vector, in id order.
SELECT m.id, m.content FROM knowledge_nodes m WHERE m.id > :after_id
AND NOT EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id) ORDER BY m.id LIMIT :limit

-- insert_embedding_if_current --
-- Optimistic locking: insert a vector only if text and model are unchanged and there is none yet.
INSERT INTO node_embeddings (node_id, embedding) SELECT m.id, :embedding FROM knowledge_nodes m
WHERE m.id = :id AND m.content = :content AND /*= still_registered */ ON CONFLICT (node_id) DO NOTHING

-- put_edge --
-- Upsert a link.
INSERT INTO edges (source_id, target_id, edge_type, weight, created_at) VALUES (:source_id, :target_id, :edge_type, :weight, :created_at)
ON CONFLICT (source_id, target_id, edge_type) DO UPDATE SET weight = excluded.weight

-- export_domains --
-- All domains, without their centroids.
SELECT d.id, d.label, d.top_terms, d.memory_count, d.created_at, d.metadata FROM domains d

-- find_users --
-- Those of the ids that are users.
SELECT u.id FROM users u WHERE u.id IN (SELECT value FROM json_each(:ids))

-- find_groups --
-- Those of the ids that are groups.
SELECT g.id FROM groups g WHERE g.id IN (SELECT value FROM json_each(:ids))

-- insert_user_if_absent --
-- Insert an imported user unless the id or the handle is taken.
INSERT INTO users (id, handle, display_name, created_at, metadata)
VALUES (:id, :handle, :display_name, :created_at, :metadata) ON CONFLICT DO NOTHING

-- insert_group_if_absent --
-- Insert an imported group unless the id or the handle is taken.
INSERT INTO groups (id, handle, display_name, created_at, metadata)
VALUES (:id, :handle, :display_name, :created_at, :metadata) ON CONFLICT DO NOTHING

-- insert_membership_if_absent --
-- Insert an imported membership unless the user is in the group.
INSERT INTO group_memberships (user_id, group_id, role, joined_at)
VALUES (:user_id, :group_id, :role, :joined_at) ON CONFLICT (user_id, group_id) DO NOTHING

-- insert_domain_if_absent --
-- Insert an imported domain unless it is there.
INSERT INTO domains (id, label, top_terms, memory_count, created_at, metadata)
VALUES (:id, :label, :top_terms, :memory_count, :created_at, :metadata) ON CONFLICT (id) DO NOTHING

-- insert_edge_if_absent --
-- Insert an imported link unless there is one of that type.
INSERT INTO edges (source_id, target_id, edge_type, weight, created_at) VALUES (:source_id, :target_id, :edge_type, :weight, :created_at)
ON CONFLICT (source_id, target_id, edge_type) DO NOTHING

-- get_edge --
-- Link by its key.
SELECT g.source_id, g.target_id, g.edge_type, g.weight, g.created_at FROM edges g
WHERE g.source_id = :source_id AND g.target_id = :target_id AND g.edge_type = :edge_type

-- list_edges --
-- Links of the memories, in both directions.
SELECT g.source_id, g.target_id, g.edge_type, g.weight, g.created_at FROM edges g
WHERE g.source_id IN (SELECT value FROM json_each(:ids))
UNION SELECT g.source_id, g.target_id, g.edge_type, g.weight, g.created_at FROM edges g
WHERE g.target_id IN (SELECT value FROM json_each(:ids))
ORDER BY 1, 2, 3

-- delete_edge --
-- Delete a link.
DELETE FROM edges WHERE source_id = :source_id AND target_id = :target_id AND edge_type = :edge_type

-- lock_supersession --
-- No-op: BEGIN IMMEDIATE already serializes the check for cycles and the event.
SELECT 1 AS locked

-- insert_event --
-- Append a supersession event; a trigger updates the cached winner.
INSERT INTO supersession_events (loser_id, winner_id, kind, decided_at)
VALUES (:loser_id, :winner_id, :kind, :decided_at) RETURNING id

-- append_event --
-- Append a supersession event of many; a trigger updates the cached winner.
INSERT INTO supersession_events (loser_id, winner_id, kind, decided_at)
VALUES (:loser_id, :winner_id, :kind, :decided_at)

-- find_events --
-- Those of the [loser, time, winner, kind] that are in the log.
SELECT a.key AS n FROM json_each(:asked) a WHERE EXISTS (SELECT 1 FROM supersession_events v
    WHERE v.loser_id = json_extract(a.value, '$[0]') AND v.decided_at = json_extract(a.value, '$[1]')
    AND v.winner_id IS json_extract(a.value, '$[2]') AND v.kind = json_extract(a.value, '$[3]'))

-- list_events --
-- Supersession events of a memory as loser or winner, in order.
SELECT v.id, v.loser_id, v.winner_id, v.kind, v.decided_at FROM supersession_events v
WHERE v.loser_id = :id OR v.winner_id = :id ORDER BY v.decided_at, v.id

-- list_lost_events --
-- Supersession events of the memories as losers, in order.
SELECT v.id, v.loser_id, v.winner_id, v.kind, v.decided_at FROM supersession_events v
WHERE v.loser_id IN (SELECT value FROM json_each(:ids)) ORDER BY v.decided_at, v.id

-- get_winner --
-- Current winner over a memory.
SELECT m.superseded_by FROM knowledge_nodes m WHERE m.id = :id

-- list_losers --
-- Memories that the given ones replace.
SELECT /*= memory_columns */ FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE m.superseded_by IN (SELECT value FROM json_each(:ids)) ORDER BY m.created_at, m.id

-- get_stats --
-- Counts of the whole store.
SELECT (SELECT count(*) FROM knowledge_nodes) AS total_memories,
    (SELECT count(*) FROM node_embeddings) AS memories_with_embeddings,
    (SELECT count(*) FROM edges) AS total_edges,
    (SELECT count(*) FROM domains) AS total_domains,
    (SELECT count(*) FROM review_events) AS total_reviews,
    (SELECT count(*) FROM knowledge_nodes WHERE superseded_by IS NOT NULL) AS superseded

-- probe --
-- Check that the store answers.
SELECT sqlite_version() AS version

-- describe_server --
-- Library and file; ``measured``: dbstat can report the size of each table.
SELECT sqlite_version() AS version, (SELECT journal_mode FROM pragma_journal_mode) AS journal_mode,
    (SELECT encoding FROM pragma_encoding) AS encoding, (SELECT page_size FROM pragma_page_size) AS page_size,
    (SELECT page_count FROM pragma_page_count) AS pages, (SELECT freelist_count FROM pragma_freelist_count) AS free_pages,
    sqlite_compileoption_used('ENABLE_DBSTAT_VTAB') AS measured

-- list_sizes --
-- Bytes of each table and its indexes, largest first; FTS5 shadow tables count as one. Reads every page.
SELECT coalesce((SELECT max(v.name) FROM main.sqlite_master v
        WHERE v.sql LIKE 'CREATE VIRTUAL TABLE%' AND substr(s.name, 1, length(v.name) + 1) = v.name || '_'), m.tbl_name, s.name) AS name,
    sum(CASE WHEN m.type = 'index' THEN 0 ELSE s.pgsize END) AS heap,
    sum(CASE WHEN m.type = 'index' THEN s.pgsize ELSE 0 END) AS indexes,
    0 AS outside, NULL AS rows, NULL AS dead_rows, NULL AS vacuumed_at, NULL AS analyzed_at
FROM dbstat s LEFT JOIN main.sqlite_master m ON m.name = s.name
WHERE s.aggregate = TRUE GROUP BY 1 ORDER BY sum(s.pgsize) DESC, 1

-- read_size --
-- Size in bytes.
SELECT page_count * page_size AS n FROM pragma_page_count(), pragma_page_size()

-- read_change_token --
-- Change token: changes after commits of other connections.
PRAGMA data_version

-- list_vector_faults --
-- Vectors that no search can compare: how many of each fault, and the first memory. vector_fault() is the program's.
SELECT fault, count(*) AS n, min(node_id) AS id
FROM (SELECT node_id, vector_fault(embedding, :width) AS fault FROM node_embeddings) WHERE fault <> '' GROUP BY fault

-- list_row_faults --
-- Times and JSON that cannot be read: how many memories of each fault, and the first one. unreadable_time() is the
-- program's.
SELECT fault, count(*) AS n, min(id) AS id FROM (
    SELECT 'time' AS fault, id FROM knowledge_nodes WHERE unreadable_time(created_at) OR unreadable_time(updated_at)
    UNION SELECT 'time', memory_id FROM scheduling WHERE unreadable_time(last_review) OR unreadable_time(next_review)
    UNION SELECT 'time', memory_id FROM review_events WHERE unreadable_time(timestamp)
    UNION SELECT 'time', source_id FROM edges WHERE unreadable_time(created_at)
    UNION SELECT 'json', id FROM knowledge_nodes
    WHERE CASE WHEN json_valid(tags) THEN json_type(tags) <> 'array' ELSE tags IS NOT NULL END
        OR CASE WHEN json_valid(domains) THEN json_type(domains) <> 'array' ELSE domains IS NOT NULL END
        OR CASE WHEN json_valid(metadata) THEN json_type(metadata) <> 'object' ELSE metadata IS NOT NULL END
        OR CASE WHEN json_valid(domain_scores) THEN json_type(domain_scores) <> 'object' ELSE domain_scores IS NOT NULL END
) GROUP BY fault

-- read_signature --
-- Figures that a write changes: they tell the content that a connection has read from another one in the same file.
SELECT 'page_count' AS name, page_count AS n FROM pragma_page_count()
UNION ALL SELECT 'schema_version', schema_version FROM pragma_schema_version()
UNION ALL SELECT 'freelist_count', freelist_count FROM pragma_freelist_count()
UNION ALL SELECT name, seq FROM sqlite_sequence

-- optimize_text --
-- Merge the segments of the text index and drop deleted entries.
INSERT INTO knowledge_fts (knowledge_fts) VALUES ('optimize')

-- vacuum --
-- Release unused space: rewrites the whole file.
VACUUM

-- optimize --
-- Update planner statistics.
PRAGMA optimize = 0x10002

-- checkpoint --
-- Checkpoint and truncate the write-ahead log: only then the file shrinks on disk.
PRAGMA wal_checkpoint(TRUNCATE)
