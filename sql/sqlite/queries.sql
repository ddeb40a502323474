-- Every question and every write of the store service, by name; the same names stand in ../postgres/queries.sql.
-- A block is "-- name --", a line of why, and the SQL. /*slot*/ takes fragments that the service chooses by name,
-- /*= name */ another block. Rows are memories m and their schedule s throughout.

-- create_bookkeeping --
-- Which migrations were applied, and from which files; adopted marks a file that a Vestige server made.
CREATE TABLE IF NOT EXISTS vestige_migrations (
    version     INTEGER PRIMARY KEY,
    name        TEXT NOT NULL,
    sha256      TEXT NOT NULL,
    applied_at  TEXT NOT NULL,
    duration_ms REAL NOT NULL,
    adopted     INTEGER NOT NULL DEFAULT 0
)

-- find_bookkeeping --
-- Is this store one of ours?
SELECT count(*) AS n FROM sqlite_master WHERE type = 'table' AND name = 'vestige_migrations'

-- list_taken_names --
-- Names of ours that somebody else's tables already bear.
SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name IN (
    'embedding_model', 'domains', 'users', 'groups', 'group_memberships', 'knowledge_nodes', 'node_embeddings', 'scheduling',
    'edges', 'review_events', 'supersession_events', 'delegations', 'job_runs', 'job_findings', 'journal', 'review_marks',
    'spare_embeddings', 'spare_model', 'model_changes', 'sync_state')
ORDER BY name

-- list_applied --
-- The bookkeeping itself, oldest first.
SELECT version, name, sha256, applied_at, duration_ms FROM vestige_migrations ORDER BY version

-- record_applied --
-- One migration has been applied.
INSERT INTO vestige_migrations (version, name, sha256, applied_at, duration_ms)
VALUES (:version, :name, :sha256, :applied_at, :duration_ms)

-- forget_applied --
-- One migration has been taken back.
DELETE FROM vestige_migrations WHERE version = :version

-- lock_schema --
-- BEGIN IMMEDIATE already keeps a second console out.
SELECT 1 AS locked

-- count_precious --
-- What taking the schema back would delete: memories, reviews, events; the local user does not count.
SELECT (SELECT count(*) FROM knowledge_nodes) + (SELECT count(*) FROM review_events) AS n

-- count_precious_events --
-- Supersession events, asked only where their migration is applied.
SELECT count(*) AS n FROM supersession_events

-- count_precious_ledger --
-- Delegations, asked only where their migration is applied.
SELECT count(*) AS n FROM delegations

-- count_precious_journal --
-- Journal entries, asked only where their migration is applied.
SELECT count(*) AS n FROM journal

-- find_unfinished_copy --
-- A copy into this store that is still under way builds the vector index last.
SELECT delegation_id FROM job_runs WHERE kind = 'copy' AND finished_at IS NULL LIMIT 1

-- memory_columns --
-- A memory with its schedule, as rows.memory reads it.
m.id, m.content, m.node_type, m.tags, m.domains, m.domain_scores, m.codebase, m.metadata, m.created_at, m.updated_at,
m.owner_user_id, m.visibility, m.shared_with_groups, m.superseded_by,
s.memory_id AS scheduled, s.stability, s.difficulty, s.retrievability, s.last_review, s.next_review, s.reps, s.lapses,
coalesce((SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id), 0) AS has_embedding

-- memory_head_columns --
-- The same with only the beginning of the content: what a list shows.
m.id, substr(m.content, 1, :head) AS content, m.node_type, m.tags, m.domains, m.domain_scores, m.codebase, m.metadata,
m.created_at, m.updated_at, m.owner_user_id, m.visibility, m.shared_with_groups, m.superseded_by,
s.memory_id AS scheduled, s.stability, s.difficulty, s.retrievability, s.last_review, s.next_review, s.reps, s.lapses,
coalesce((SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id), 0) AS has_embedding

-- get_memory --
-- One memory by its id.
SELECT /*= memory_columns */ FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id WHERE m.id = :id

-- lock_memory --
-- Hold a memory until the write ends: BEGIN IMMEDIATE holds them all.
SELECT id FROM knowledge_nodes WHERE id = :id

-- get_memories --
-- Several memories by their ids.
SELECT /*= memory_columns */ FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE m.id IN (SELECT value FROM json_each(:ids))

-- find_by_prefix --
-- Up to three ids that begin alike: two are enough to call a prefix ambiguous.
SELECT m.id FROM knowledge_nodes m WHERE m.id >= :low AND m.id < :high ORDER BY m.id LIMIT 3

-- list_existing --
-- Which of these ids are there.
SELECT m.id FROM knowledge_nodes m WHERE m.id IN (SELECT value FROM json_each(:ids))

-- list_stamps --
-- When each of these was last edited: by that the journal knows it again.
SELECT m.id, m.updated_at FROM knowledge_nodes m WHERE m.id IN (SELECT value FROM json_each(:ids))

-- insert_memory --
-- A new memory; its words reach the text index by trigger.
INSERT INTO knowledge_nodes (id, content, node_type, tags, metadata, domains, domain_scores, codebase, owner_user_id,
    visibility, shared_with_groups, created_at, updated_at)
VALUES (:id, :content, :node_type, :tags, :metadata, :domains, :domain_scores, :codebase, :owner_user_id,
    :visibility, :shared_with_groups, :created_at, :updated_at)

-- update_memory --
-- All that a person can edit, with the time of the edit.
UPDATE knowledge_nodes SET content = :content, node_type = :node_type, tags = :tags, metadata = :metadata,
    domains = :domains, codebase = :codebase, visibility = :visibility, updated_at = :updated_at WHERE id = :id

-- delete_memories --
-- Memories go with vector, schedule, edges, reviews and events.
DELETE FROM knowledge_nodes WHERE id IN (SELECT value FROM json_each(:ids))

-- delete_embedding --
-- A vector that no longer fits its text.
DELETE FROM node_embeddings WHERE node_id = :id

-- still_registered --
-- The store belongs to the model that a vector was made with.
EXISTS (SELECT 1 FROM embedding_model k WHERE k.name = :model AND k.dimension = :dimension)

-- insert_embedding --
-- A vector, where the store still belongs to its model; readers find it by its new seq.
INSERT INTO node_embeddings (node_id, embedding) SELECT :id, :embedding WHERE /*= still_registered */

-- get_embedding --
-- One stored vector, and the model that it is of.
SELECT e.embedding, k.name AS model, k.dimension FROM node_embeddings e LEFT JOIN embedding_model k ON true WHERE e.node_id = :id

-- order_created --
-- Newest first.
ORDER BY m.created_at DESC, m.id DESC

-- order_updated --
-- Last edited first.
ORDER BY m.updated_at DESC, m.id DESC

-- order_due --
-- Next due first.
ORDER BY s.next_review, m.id

-- sort_key_created --
-- The stored value that a cursor continues from, untouched.
m.created_at AS sort_key

-- sort_key_updated --
-- The stored value that a cursor continues from, untouched.
m.updated_at AS sort_key

-- sort_key_due --
-- The stored value that a cursor continues from, untouched.
s.next_review AS sort_key

-- after_created --
-- Continue behind a cursor; a row value keeps the index in use.
AND (m.created_at, m.id) < (:after_key, :after_id)

-- after_updated --
-- Continue behind a cursor.
AND (m.updated_at, m.id) < (:after_key, :after_id)

-- after_due --
-- Continue behind a cursor.
AND (s.next_review, m.id) > (:after_key, :after_id)

-- only_due --
-- A list by due date holds what has one.
AND s.reps > 0 AND s.next_review IS NOT NULL

-- page_memories --
-- One page of a filtered list.
SELECT /*= memory_head_columns */, /*sort_key*/
FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE true /*filters*/ /*after*/ /*order*/ LIMIT :limit

-- page_memories_at --
-- One page by position, for a jump of the scroll bar: ids are skipped first, rows are read after.
SELECT /*= memory_head_columns */, /*sort_key*/
FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE m.id IN (SELECT m.id FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
    WHERE true /*filters*/ /*order*/ LIMIT :limit OFFSET :offset)
/*order*/

-- list_ids --
-- The ids of a filtered list, for what is done to all of it.
SELECT m.id FROM knowledge_nodes m WHERE true /*filters*/ ORDER BY m.created_at DESC, m.id DESC LIMIT :limit

-- count_memories --
-- How many a filter leaves.
SELECT count(*) AS n FROM knowledge_nodes m WHERE true /*filters*/

-- count_scheduled --
-- How many of them a list by due date holds.
SELECT count(*) AS n FROM knowledge_nodes m JOIN scheduling s ON s.memory_id = m.id WHERE true /*filters*/

-- filter_domains --
-- In any of these domains.
AND EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid(m.domains) THEN m.domains ELSE '[]' END) j
    WHERE j.value IN (SELECT value FROM json_each(:domains)))

-- filter_tags --
-- With any of these tags.
AND EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid(m.tags) THEN m.tags ELSE '[]' END) j
    WHERE j.value IN (SELECT value FROM json_each(:tags)))

-- filter_node_types --
-- Of any of these types.
AND m.node_type IN (SELECT value FROM json_each(:node_types))

-- filter_codebase --
-- Of one codebase.
AND m.codebase = :codebase

-- filter_owner --
-- Of one owner.
AND m.owner_user_id = :owner

-- filter_since --
-- Made at or after; Vestige also writes times with a space.
AND replace(m.created_at, ' ', 'T') >= :since

-- filter_until --
-- Made before.
AND replace(m.created_at, ' ', 'T') < :until

-- filter_min_retrievability --
-- R(t, S) >= r exactly where t <= S * horizon(r): no power function is needed.
AND m.id IN (SELECT h.memory_id FROM scheduling h WHERE h.reps > 0 AND h.last_review IS NOT NULL
    AND julianday(:now) - julianday(h.last_review) <= min(max(h.stability, 0.001), 36500.0) * :horizon)

-- filter_active --
-- Not replaced by another memory.
AND m.superseded_by IS NULL

-- filter_without_embedding --
-- Without a vector.
AND NOT EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id)

-- filter_must --
-- Every +word and "phrase" of a search occurs.
AND m.seq IN (SELECT rowid FROM knowledge_fts WHERE knowledge_fts MATCH :must)

-- filter_must_not --
-- No -word of a search occurs.
AND m.seq NOT IN (SELECT rowid FROM knowledge_fts WHERE knowledge_fts MATCH :must_not)

-- filter_holds --
-- All of these characters occur: for scripts that put no spaces between words.
AND NOT EXISTS (SELECT 1 FROM json_each(:holds) p WHERE instr(lower(m.content), p.value) = 0)

-- filter_lacks --
-- None of these characters occur.
AND NOT EXISTS (SELECT 1 FROM json_each(:lacks) p WHERE instr(lower(m.content), p.value) > 0)

-- filter_id --
-- One memory.
AND m.id = :only

-- search_memories --
-- Both branches fused in one statement: what each gives a memory is a share of its best. A row without a rank was asked
-- for because the other branch found it. Meaning counts from a floor, a part of the farthest cosine; a memory without a
-- vector counts as the farthest.
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
-- As many as were asked for.
f.place <= :limit

-- chosen_one --
-- One memory, wherever it stands.
f.id = :only

-- branch_vector_given --
-- What the matrix in memory found, already filtered, and the cosines of what only words found: [seq, cosine] each.
vector_hits AS (SELECT id, row_number() OVER (ORDER BY s DESC, id) AS r, s FROM (
    SELECT m.id AS id, json_extract(h.value, '$[1]') AS s
    FROM json_each(:vector_hits) h CROSS JOIN knowledge_nodes m ON m.seq = json_extract(h.value, '$[0]')
    ORDER BY s DESC, m.id LIMIT :depth)
    UNION ALL SELECT m.id, NULL, json_extract(h.value, '$[1]')
    FROM json_each(:vector_also) h CROSS JOIN knowledge_nodes m ON m.seq = json_extract(h.value, '$[0]'))

-- branch_vector_none --
-- No search by meaning.
vector_hits AS (SELECT NULL AS id, NULL AS r, NULL AS s WHERE false)

-- branch_text --
-- What holds the words, ranked by BM25, already filtered, and what the words are worth in what only meaning found:
-- [seq, score] each.
text_hits AS (SELECT id, row_number() OVER (ORDER BY s DESC, id) AS r, s FROM (
    SELECT m.id AS id, json_extract(h.value, '$[1]') AS s
    FROM json_each(:text_hits) h CROSS JOIN knowledge_nodes m ON m.seq = json_extract(h.value, '$[0]')
    ORDER BY s DESC, m.id LIMIT :depth)
    UNION ALL SELECT m.id, NULL, json_extract(h.value, '$[1]')
    FROM json_each(:text_also) h CROSS JOIN knowledge_nodes m ON m.seq = json_extract(h.value, '$[0]'))

-- branch_text_newest --
-- A query that only says what must not occur lists the newest.
text_hits AS (SELECT id, row_number() OVER (ORDER BY created_at DESC, id DESC) AS r, 0.0 AS s FROM (
    SELECT m.id, m.created_at FROM knowledge_nodes m WHERE true /*filters*/ ORDER BY m.created_at DESC, m.id DESC LIMIT :depth))

-- branch_text_literal --
-- The characters as they stand, in the newest memories: as written first, then with A to Z in either case.
text_hits AS (SELECT id, row_number() OVER (ORDER BY s DESC, created_at DESC, id DESC) AS r, s FROM (
    SELECT id, created_at, CASE WHEN instr(content, :literal) > 0 THEN 1.0 ELSE 0.5 END AS s FROM (
        SELECT m.id, m.created_at, m.content FROM knowledge_nodes m WHERE true /*filters*/ ORDER BY m.created_at DESC, m.id DESC LIMIT :scanned)
    WHERE instr(lower(content), :folded) > 0 ORDER BY s DESC, created_at DESC, id DESC LIMIT :depth))

-- branch_text_pieces --
-- The more of these strings occur the better, in the newest memories: for scripts that put no spaces between words.
text_hits AS (SELECT id, row_number() OVER (ORDER BY s DESC, created_at DESC, id DESC) AS r, s FROM (
    SELECT id, created_at, (SELECT count(*) FROM json_each(:pieces) p WHERE instr(low, p.value) > 0) * 1.0 AS s FROM (
        SELECT m.id, m.created_at, lower(m.content) AS low FROM knowledge_nodes m WHERE true /*filters*/ ORDER BY m.created_at DESC, m.id DESC LIMIT :scanned)
    WHERE s > 0 ORDER BY s DESC, created_at DESC, id DESC LIMIT :depth))

-- branch_text_none --
-- No search by words.
text_hits AS (SELECT NULL AS id, NULL AS r, NULL AS s WHERE false)

-- count_matching --
-- How many memories hold a word or phrase.
SELECT count(*) AS n FROM knowledge_fts WHERE knowledge_fts MATCH :words

-- rank_matching --
-- Which memories match, best first; -1 for all of them. Sorted inside the text index, without a join for each match.
SELECT knowledge_fts.rowid AS seq, -rank AS s FROM knowledge_fts WHERE knowledge_fts MATCH :words ORDER BY rank LIMIT :limit

-- rank_matching_among --
-- The same for some memories only; the plus keeps SQLite from asking the text index for each of them.
SELECT knowledge_fts.rowid AS seq, -bm25(knowledge_fts) AS s FROM knowledge_fts
WHERE knowledge_fts MATCH :words AND +knowledge_fts.rowid IN (SELECT value FROM json_each(:among))

-- list_matching_seqs --
-- The memories that hold words, as one text.
SELECT group_concat(knowledge_fts.rowid) AS seqs FROM knowledge_fts WHERE knowledge_fts MATCH :words

-- list_passing_seqs --
-- The memories that a filter leaves, as one text.
SELECT group_concat(m.seq) AS seqs FROM knowledge_nodes m WHERE true /*filters*/

-- list_replaced_seqs --
-- The memories that others have replaced, as one text.
SELECT group_concat(m.seq) AS seqs FROM knowledge_nodes m WHERE m.superseded_by IS NOT NULL

-- still_the_same --
-- The vectors are still those of one model since one of its turns: a table that came back later has other seqs.
EXISTS (SELECT 1 FROM embedding_model k WHERE k.name IS :model AND k.dimension IS :dimension)
    AND (SELECT coalesce(max(id), 0) FROM model_changes) = :turn

-- list_embeddings_after --
-- Vectors written since a seq, each with the seq of its memory; none where they are of another model by now.
SELECT e.seq, (SELECT m.seq FROM knowledge_nodes m WHERE m.id = e.node_id) AS memory, e.embedding
FROM node_embeddings e WHERE e.seq > :seq AND /*= still_the_same */

-- list_embedding_seqs --
-- Which vectors are there, as one text, without reading them, and whether they are still of the same model.
SELECT (SELECT group_concat(e.seq) FROM node_embeddings e) AS seqs, /*= still_the_same */ AS same

-- measure_embeddings --
-- How many vectors there are, the last one written, and the model they are of, with the number of its turn.
SELECT count(*) AS n, coalesce(max(e.seq), 0) AS last, (SELECT k.name FROM embedding_model k) AS model,
    (SELECT k.dimension FROM embedding_model k) AS dimension, (SELECT coalesce(max(id), 0) FROM model_changes) AS turn
FROM node_embeddings e

-- facet_domains --
-- Domains in use, with counts.
SELECT j.value AS value, count(*) AS n FROM knowledge_nodes m, json_each(CASE WHEN json_valid(m.domains) THEN m.domains ELSE '[]' END) j
WHERE true /*filters*/ GROUP BY j.value ORDER BY n DESC, j.value LIMIT :limit

-- facet_tags --
-- Tags in use, with counts.
SELECT j.value AS value, count(*) AS n FROM knowledge_nodes m, json_each(CASE WHEN json_valid(m.tags) THEN m.tags ELSE '[]' END) j
WHERE true /*filters*/ GROUP BY j.value ORDER BY n DESC, j.value LIMIT :limit

-- facet_node_types --
-- Types in use, with counts.
SELECT m.node_type AS value, count(*) AS n FROM knowledge_nodes m WHERE true /*filters*/
GROUP BY m.node_type ORDER BY n DESC, m.node_type LIMIT :limit

-- facet_codebases --
-- Codebases in use, with counts.
SELECT m.codebase AS value, count(*) AS n FROM knowledge_nodes m WHERE m.codebase IS NOT NULL /*filters*/
GROUP BY m.codebase ORDER BY n DESC, m.codebase LIMIT :limit

-- facet_owners --
-- Owners of memories, with counts and what they are called where anybody knows.
SELECT o.value, o.n, u.handle AS alias, u.display_name AS title
FROM (SELECT m.owner_user_id AS value, count(*) AS n FROM knowledge_nodes m WHERE true /*filters*/ GROUP BY m.owner_user_id
    ORDER BY n DESC, m.owner_user_id LIMIT :limit) o
LEFT JOIN users u ON u.id = o.value ORDER BY o.n DESC, o.value

-- facet_since --
-- How many were made at or after each of some moments.
WITH made AS MATERIALIZED (SELECT replace(m.created_at, ' ', 'T') AS at FROM knowledge_nodes m WHERE true /*filters*/)
SELECT d.key AS place, count(*) AS n FROM made CROSS JOIN json_each(:moments) d WHERE made.at >= d.value GROUP BY d.key

-- facet_until --
-- How many were made before each of some moments.
WITH made AS MATERIALIZED (SELECT replace(m.created_at, ' ', 'T') AS at FROM knowledge_nodes m WHERE true /*filters*/)
SELECT d.key AS place, count(*) AS n FROM made CROSS JOIN json_each(:moments) d WHERE made.at < d.value GROUP BY d.key

-- facet_recall --
-- How many are within each of some horizons, in stabilities since the last review.
WITH reviewed AS MATERIALIZED (
    SELECT julianday(:now) - julianday(g.last_review) AS days, min(max(g.stability, 0.001), 36500.0) AS stability
    FROM scheduling g JOIN knowledge_nodes m ON m.id = g.memory_id
    WHERE g.reps > 0 AND g.last_review IS NOT NULL /*filters*/)
SELECT d.key AS place, count(*) AS n FROM reviewed CROSS JOIN json_each(:horizons) d
WHERE reviewed.days <= reviewed.stability * d.value GROUP BY d.key

-- find_owner --
-- Whom a person means by an id, a handle or a name: the lowest place is the nearest.
SELECT u.id AS value, CASE WHEN u.id = :owner THEN 0 WHEN u.handle = :owner THEN 1 WHEN lower(u.handle) = lower(:owner) THEN 2 ELSE 3 END AS place
FROM users u WHERE u.id = :owner OR lower(u.handle) = lower(:owner) OR lower(u.display_name) = lower(:owner)
UNION SELECT :owner, 0 WHERE EXISTS (SELECT 1 FROM knowledge_nodes m WHERE m.owner_user_id = :owner)

-- growth --
-- How many memories each month brought.
SELECT substr(m.created_at, 1, 7) AS value, count(*) AS n FROM knowledge_nodes m GROUP BY substr(m.created_at, 1, 7) ORDER BY value

-- not_resting --
-- Neither suspended nor buried beyond the moment.
AND NOT EXISTS (SELECT 1 FROM review_marks k WHERE k.memory_id = m.id AND (k.suspended OR k.buried_until > :now))

-- list_due --
-- What is due before a moment, longest waiting first.
SELECT /*= memory_columns */, s.next_review AS sort_key FROM scheduling s JOIN knowledge_nodes m ON m.id = s.memory_id
WHERE s.reps > 0 AND s.next_review < :before /*= not_resting */ /*filters*/ /*after*/
ORDER BY s.next_review, m.id LIMIT :limit

-- list_due_times --
-- Due dates in a span, for counts: the span is wide, the caller parses and compares.
SELECT s.next_review FROM scheduling s JOIN knowledge_nodes m ON m.id = s.memory_id
WHERE s.reps > 0 AND s.next_review >= :earliest AND s.next_review < :before /*= not_resting */ /*filters*/

-- count_due_by_day --
-- How many fall due before each of the ends, and not before the end that precedes it.
SELECT d.key AS day, count(*) AS n FROM json_each(:ends) d
JOIN scheduling s ON s.next_review < d.value AND s.next_review >= CASE d.key WHEN 0 THEN '' ELSE json_extract(:ends, '$[' || (d.key - 1) || ']') END
JOIN knowledge_nodes m ON m.id = s.memory_id
WHERE s.reps > 0 /*= not_resting */ /*filters*/ GROUP BY d.key

-- count_queue --
-- What waits, in one pass: due before each of three moments, never reviewed, and new ones already reviewed since one.
SELECT count(*) FILTER (WHERE s.reps > 0 AND s.next_review < :overdue) AS overdue,
    count(*) FILTER (WHERE s.reps > 0 AND s.next_review < :tonight) AS tonight,
    count(*) FILTER (WHERE s.reps > 0 AND s.next_review < :week) AS week,
    count(*) FILTER (WHERE s.memory_id IS NULL OR s.reps = 0) AS new,
    (SELECT count(*) FROM review_events v WHERE v.timestamp >= :midnight AND v.undoes IS NULL
        AND coalesce(json_extract(CASE WHEN json_valid(v.prior_state) THEN v.prior_state ELSE '{}' END, '$.reps'), 0) = 0
        AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = v.id)) AS first
FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE true /*= not_resting */ /*filters*/

-- list_new --
-- Never reviewed, oldest first.
SELECT /*= memory_columns */ FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE (s.memory_id IS NULL OR s.reps = 0) /*= not_resting */ /*filters*/
ORDER BY m.created_at, m.id LIMIT :limit

-- put_scheduling --
-- Write a schedule, whether there was one or not.
INSERT INTO scheduling (memory_id, stability, difficulty, retrievability, last_review, next_review, reps, lapses)
VALUES (:id, :stability, :difficulty, :retrievability, :last_review, :next_review, :reps, :lapses)
ON CONFLICT (memory_id) DO UPDATE SET stability = excluded.stability, difficulty = excluded.difficulty,
    retrievability = excluded.retrievability, last_review = excluded.last_review, next_review = excluded.next_review,
    reps = excluded.reps, lapses = excluded.lapses

-- delete_scheduling --
-- Back to never reviewed.
DELETE FROM scheduling WHERE memory_id = :id

-- insert_review --
-- One line of the review log.
INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state, undoes)
VALUES (:id, :at, :rating, :prior, :new, :undoes) RETURNING id

-- append_review --
-- The same where nobody needs its number.
INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state, undoes)
VALUES (:id, :at, :rating, :prior, :new, :undoes)

-- find_reviews --
-- Which of these [id, time, rating] are already in the log? A log has no ids of its own that travel.
SELECT a.key AS n, min(v.id) AS id FROM json_each(:asked) a JOIN review_events v
ON v.memory_id = json_extract(a.value, '$[0]') AND v.timestamp = json_extract(a.value, '$[1]') AND v.rating = json_extract(a.value, '$[2]')
GROUP BY a.key

-- list_reviews --
-- The reviews of one memory, oldest first.
SELECT v.id, v.memory_id, v.timestamp, v.rating, v.prior_state, v.new_state, v.undoes
FROM review_events v WHERE v.memory_id = :id ORDER BY v.id

-- count_reviews_of --
-- How many reviews these memories have, those that were taken back among them.
SELECT count(*) AS n FROM review_events v WHERE v.memory_id IN (SELECT value FROM json_each(:ids))

-- list_reviews_since --
-- The reviews of a sitting, oldest first.
SELECT v.id, v.memory_id, v.timestamp, v.rating, v.prior_state, v.new_state, v.undoes
FROM review_events v WHERE v.timestamp >= :since ORDER BY v.id

-- last_review --
-- The last review that still stands, of one memory or of all.
SELECT v.id, v.memory_id, v.timestamp, v.rating, v.prior_state, v.new_state, v.undoes FROM review_events v
WHERE (:id IS NULL OR v.memory_id = :id) AND v.undoes IS NULL
AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = v.id)
ORDER BY v.id DESC LIMIT 1

-- get_marks --
-- What the console notes about a memory's reviews.
SELECT k.suspended, k.buried_until FROM review_marks k WHERE k.memory_id = :id

-- put_marks --
-- Suspend, bury or resume.
INSERT INTO review_marks (memory_id, suspended, buried_until) VALUES (:id, :suspended, :buried_until)
ON CONFLICT (memory_id) DO UPDATE SET suspended = excluded.suspended, buried_until = excluded.buried_until

-- get_model --
-- The registered embedding model.
SELECT name, dimension, hash, created_at FROM embedding_model

-- put_model --
-- Register the embedding model.
INSERT INTO embedding_model (id, name, dimension, hash, created_at) VALUES (1, :name, :dimension, :hash, :created_at)

-- set_model_hash --
-- The same model in another build.
UPDATE embedding_model SET hash = :hash WHERE id = 1

-- count_model_changes --
-- How often the store has come to belong to another model since a moment.
SELECT count(*) AS n FROM model_changes WHERE changed_at >= :since

-- sample_embeddings --
-- Memories with their vectors, spread evenly over all that have one and are not replaced, and the model of these vectors.
SELECT m.id, m.content, e.embedding, k.name AS model, k.dimension, k.hash
FROM (SELECT n.node_id, row_number() OVER (ORDER BY n.node_id) - 1 AS place, count(*) OVER () AS total
    FROM node_embeddings n JOIN knowledge_nodes h ON h.id = n.node_id WHERE h.superseded_by IS NULL) p
JOIN node_embeddings e ON e.node_id = p.node_id JOIN knowledge_nodes m ON m.id = p.node_id CROSS JOIN embedding_model k
WHERE (p.place + 1) * :sample / p.total > p.place * :sample / p.total ORDER BY p.place

-- stamp_width --
-- Vectors are blobs here; their width is checked by the service.
SELECT 1 AS stamped

-- count_vectors_by_width --
-- What vectors are really there.
SELECT length(e.embedding) / 4 AS width, count(*) AS n FROM node_embeddings e GROUP BY length(e.embedding) / 4 ORDER BY n DESC

-- list_embeddings_by_width --
-- Vectors of one width, to look for unusable ones.
SELECT e.seq, e.node_id, e.embedding FROM node_embeddings e WHERE e.seq > :seq AND length(e.embedding) = 4 * :width
ORDER BY e.seq LIMIT :limit

-- list_without_embedding --
-- Memories that lack a vector, in a fixed order.
SELECT m.id, m.content FROM knowledge_nodes m WHERE m.id > :after_id
AND NOT EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id) ORDER BY m.id LIMIT :limit

-- insert_embedding_if_current --
-- A vector made meanwhile, only where text and model are still those it was made of and nobody was faster.
INSERT INTO node_embeddings (node_id, embedding) SELECT m.id, :embedding FROM knowledge_nodes m
WHERE m.id = :id AND m.content = :content AND /*= still_registered */ ON CONFLICT (node_id) DO NOTHING

-- put_edge --
-- Link two memories, or change the weight of a link.
INSERT INTO edges (source_id, target_id, edge_type, weight, created_at) VALUES (:source_id, :target_id, :edge_type, :weight, :created_at)
ON CONFLICT (source_id, target_id, edge_type) DO UPDATE SET weight = excluded.weight

-- insert_edge_if_absent --
-- A link as it was elsewhere, only where there is none of that type.
INSERT INTO edges (source_id, target_id, edge_type, weight, created_at) VALUES (:source_id, :target_id, :edge_type, :weight, :created_at)
ON CONFLICT (source_id, target_id, edge_type) DO NOTHING

-- get_edge --
-- One link.
SELECT g.source_id, g.target_id, g.edge_type, g.weight, g.created_at FROM edges g
WHERE g.source_id = :source_id AND g.target_id = :target_id AND g.edge_type = :edge_type

-- list_edges --
-- The links of these memories, in both directions.
SELECT g.source_id, g.target_id, g.edge_type, g.weight, g.created_at FROM edges g
WHERE g.source_id IN (SELECT value FROM json_each(:ids))
UNION SELECT g.source_id, g.target_id, g.edge_type, g.weight, g.created_at FROM edges g
WHERE g.target_id IN (SELECT value FROM json_each(:ids))
ORDER BY 1, 2, 3

-- delete_edge --
-- Remove a link.
DELETE FROM edges WHERE source_id = :source_id AND target_id = :target_id AND edge_type = :edge_type

-- lock_supersession --
-- One decision at a time: a cycle is looked for and the event written under one lock.
SELECT 1 AS locked

-- insert_event --
-- One decision; the cache follows by trigger.
INSERT INTO supersession_events (loser_id, winner_id, kind, decided_at)
VALUES (:loser_id, :winner_id, :kind, :decided_at) RETURNING id

-- find_events --
-- Which of these [loser, time] are already in the log?
SELECT a.key AS n FROM json_each(:asked) a WHERE EXISTS (SELECT 1 FROM supersession_events v
    WHERE v.loser_id = json_extract(a.value, '$[0]') AND v.decided_at = json_extract(a.value, '$[1]'))

-- list_events --
-- The decisions in which a memory takes part, in their order.
SELECT v.id, v.loser_id, v.winner_id, v.kind, v.decided_at FROM supersession_events v
WHERE v.loser_id = :id OR v.winner_id = :id ORDER BY v.decided_at, v.id

-- list_lost_events --
-- The decisions about these memories as losers, in their order.
SELECT v.id, v.loser_id, v.winner_id, v.kind, v.decided_at FROM supersession_events v
WHERE v.loser_id IN (SELECT value FROM json_each(:ids)) ORDER BY v.decided_at, v.id

-- get_winner --
-- What replaces a memory now.
SELECT m.superseded_by FROM knowledge_nodes m WHERE m.id = :id

-- list_losers --
-- What a memory replaces now.
SELECT /*= memory_columns */ FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE m.superseded_by IN (SELECT value FROM json_each(:ids)) ORDER BY m.created_at, m.id

-- insert_journal --
-- One change by a person.
INSERT INTO journal (at, actor, verb, before, after) VALUES (:at, :actor, :verb, :before, :after) RETURNING id

-- get_journal --
-- One entry of the journal.
SELECT id, at, actor, verb, before, after, undone_by FROM journal WHERE id = :id

-- last_journal --
-- The last change that can be taken back.
SELECT id, at, actor, verb, before, after, undone_by FROM journal WHERE undone_by IS NULL AND verb <> 'undo' ORDER BY id DESC LIMIT 1

-- find_review_entry --
-- The journal entry that one review wrote.
SELECT id, at, actor, verb, before, after, undone_by FROM journal
WHERE verb = 'review' AND undone_by IS NULL AND json_extract(after, '$[0].review') = :review ORDER BY id DESC LIMIT 1

-- list_journal --
-- The journal, newest first.
SELECT id, at, actor, verb, before, after, undone_by FROM journal WHERE id < :before_id ORDER BY id DESC LIMIT :limit

-- mark_undone --
-- An entry has been taken back by another.
UPDATE journal SET undone_by = :undone_by WHERE id = :id AND undone_by IS NULL

-- get_stats --
-- Figures of the whole store.
SELECT (SELECT count(*) FROM knowledge_nodes) AS total_memories,
    (SELECT count(*) FROM node_embeddings) AS memories_with_embeddings,
    (SELECT count(*) FROM edges) AS total_edges,
    (SELECT count(*) FROM domains) AS total_domains,
    (SELECT count(*) FROM review_events) AS total_reviews,
    (SELECT count(*) FROM knowledge_nodes WHERE superseded_by IS NOT NULL) AS superseded

-- probe --
-- Does the store answer?
SELECT sqlite_version() AS version

-- describe_server --
-- The library and the file; ``measured`` says whether the library can tell what each table takes.
SELECT sqlite_version() AS version, (SELECT journal_mode FROM pragma_journal_mode) AS journal_mode,
    (SELECT encoding FROM pragma_encoding) AS encoding, (SELECT page_size FROM pragma_page_size) AS page_size,
    (SELECT page_count FROM pragma_page_count) AS pages, (SELECT freelist_count FROM pragma_freelist_count) AS free_pages,
    sqlite_compileoption_used('ENABLE_DBSTAT_VTAB') AS measured

-- list_sizes --
-- Bytes of each table and its indexes, the biggest first; the tables behind a text index count as one. Reads every page.
SELECT coalesce((SELECT max(v.name) FROM main.sqlite_master v
        WHERE v.sql LIKE 'CREATE VIRTUAL TABLE%' AND substr(s.name, 1, length(v.name) + 1) = v.name || '_'), m.tbl_name, s.name) AS name,
    sum(CASE WHEN m.type = 'index' THEN 0 ELSE s.pgsize END) AS heap,
    sum(CASE WHEN m.type = 'index' THEN s.pgsize ELSE 0 END) AS indexes,
    0 AS outside, NULL AS rows, NULL AS dead_rows, NULL AS vacuumed_at, NULL AS analyzed_at
FROM dbstat s LEFT JOIN main.sqlite_master m ON m.name = s.name
WHERE s.aggregate = TRUE GROUP BY 1 ORDER BY sum(s.pgsize) DESC, 1

-- read_size --
-- Bytes on disk.
SELECT page_count * page_size AS n FROM pragma_page_count(), pragma_page_size()

-- read_change_token --
-- Changes when another connection has committed.
PRAGMA data_version

-- optimize_text --
-- Merge the parts of the text index into one, and let go of what was deleted.
INSERT INTO knowledge_fts (knowledge_fts) VALUES ('optimize')

-- vacuum --
-- Give unused space back: the whole file is written anew.
VACUUM

-- optimize --
-- Let the planner know what is there.
PRAGMA optimize = 0x10002

-- checkpoint --
-- Bring the write-ahead log into the file: only then it has really become smaller, and the log empty.
PRAGMA wal_checkpoint(TRUNCATE)
