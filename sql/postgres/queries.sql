-- Every question and every write of the store service, by name; the same names stand in ../sqlite/queries.sql.
-- A block is "-- name --", a line of why, and the SQL. /*slot*/ takes fragments that the service chooses by name,
-- /*= name */ another block. Rows are memories m and their schedule s throughout.

-- create_bookkeeping --
-- Which migrations were applied, and from which files; adopted marks a file that a Vestige server made.
CREATE TABLE IF NOT EXISTS vestige_migrations (
    version     integer PRIMARY KEY,
    name        text NOT NULL,
    sha256      text NOT NULL,
    applied_at  timestamptz NOT NULL,
    duration_ms double precision NOT NULL,
    adopted     boolean NOT NULL DEFAULT false
)

-- find_bookkeeping --
-- Is this store one of ours?
SELECT count(*) AS n FROM pg_class WHERE relname = 'vestige_migrations' AND relkind = 'r' AND relnamespace = current_schema()::regnamespace

-- list_taken_names --
-- Names of ours that somebody else's tables already bear.
SELECT relname AS name FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname IN (
    'embedding_model', 'domains', 'users', 'groups', 'group_memberships', 'knowledge_nodes', 'node_embeddings', 'scheduling',
    'edges', 'review_events', 'supersession_events', 'delegations', 'job_runs', 'job_findings', 'journal', 'review_marks',
    'spare_embeddings', 'spare_model', 'model_changes', 'sync_state', 'term_stats')
ORDER BY relname

-- list_applied --
-- The bookkeeping itself, oldest first.
SELECT version, name, sha256, applied_at, duration_ms FROM vestige_migrations ORDER BY version

-- record_applied --
-- One migration has been applied.
INSERT INTO vestige_migrations (version, name, sha256, applied_at, duration_ms)
VALUES (%(version)s, %(name)s, %(sha256)s, %(applied_at)s, %(duration_ms)s)

-- forget_applied --
-- One migration has been taken back.
DELETE FROM vestige_migrations WHERE version = %(version)s

-- lock_schema --
-- Two consoles that start together take turns; the lock goes with the transaction.
SELECT pg_advisory_xact_lock(8317441095320001)

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
-- A memory with its schedule, as rows.memory reads it. Not EXISTS: PostgreSQL would read all vectors once for one page.
m.id::text AS id, m.content, m.node_type, m.tags, m.domains, m.domain_scores, m.codebase, m.metadata, m.created_at, m.updated_at,
m.owner_user_id::text AS owner_user_id, m.visibility, m.shared_with_groups::text[] AS shared_with_groups, m.superseded_by::text AS superseded_by,
s.memory_id::text AS scheduled, s.stability, s.difficulty, s.retrievability, s.last_review, s.next_review, s.reps, s.lapses,
coalesce((SELECT true FROM node_embeddings e WHERE e.node_id = m.id), false) AS has_embedding

-- memory_head_columns --
-- The same with only the beginning of the content: what a list shows.
m.id::text AS id, left(m.content, %(head)s) AS content, m.node_type, m.tags, m.domains, m.domain_scores, m.codebase, m.metadata,
m.created_at, m.updated_at, m.owner_user_id::text AS owner_user_id, m.visibility, m.shared_with_groups::text[] AS shared_with_groups, m.superseded_by::text AS superseded_by,
s.memory_id::text AS scheduled, s.stability, s.difficulty, s.retrievability, s.last_review, s.next_review, s.reps, s.lapses,
coalesce((SELECT true FROM node_embeddings e WHERE e.node_id = m.id), false) AS has_embedding

-- get_memory --
-- One memory by its id.
SELECT /*= memory_columns */ FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id WHERE m.id = %(id)s::uuid

-- lock_memory --
-- Hold a memory until the write ends. What is read along with it may be older than what was waited for: read after it.
SELECT id::text AS id FROM knowledge_nodes WHERE id = %(id)s::uuid FOR UPDATE

-- get_memories --
-- Several memories by their ids.
SELECT /*= memory_columns */ FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE m.id = ANY (%(ids)s::uuid[])

-- find_by_prefix --
-- Up to three ids that begin alike: two are enough to call a prefix ambiguous.
SELECT m.id::text AS id FROM knowledge_nodes m WHERE m.id >= %(low)s::uuid AND m.id <= %(high)s::uuid ORDER BY m.id LIMIT 3

-- list_existing --
-- Which of these ids are there.
SELECT m.id::text AS id FROM knowledge_nodes m WHERE m.id = ANY (%(ids)s::uuid[])

-- list_stamps --
-- When each of these was last edited: by that the journal knows it again.
SELECT m.id::text AS id, m.updated_at FROM knowledge_nodes m WHERE m.id = ANY (%(ids)s::uuid[])

-- insert_memory --
-- A new memory; its words are a generated column.
INSERT INTO knowledge_nodes (id, content, node_type, tags, metadata, domains, domain_scores, codebase, owner_user_id,
    visibility, shared_with_groups, created_at, updated_at)
VALUES (%(id)s::uuid, %(content)s, %(node_type)s, %(tags)s, %(metadata)s, %(domains)s, %(domain_scores)s, %(codebase)s,
    %(owner_user_id)s::uuid, %(visibility)s, %(shared_with_groups)s::uuid[], %(created_at)s, %(updated_at)s)

-- update_memory --
-- All that a person can edit, with the time of the edit.
UPDATE knowledge_nodes SET content = %(content)s, node_type = %(node_type)s, tags = %(tags)s, metadata = %(metadata)s,
    domains = %(domains)s, codebase = %(codebase)s, visibility = %(visibility)s, updated_at = %(updated_at)s WHERE id = %(id)s::uuid

-- delete_memories --
-- Memories go with vector, schedule, edges, reviews and events.
DELETE FROM knowledge_nodes WHERE id = ANY (%(ids)s::uuid[])

-- delete_embedding --
-- A vector that no longer fits its text.
DELETE FROM node_embeddings WHERE node_id = %(id)s::uuid

-- still_registered --
-- The store belongs to the model that a vector was made with.
EXISTS (SELECT 1 FROM embedding_model k WHERE k.name = %(model)s AND k.dimension = %(dimension)s)

-- insert_embedding --
-- A vector, where the store still belongs to its model. OFFSET 0 keeps a vector of another width from being fitted to the
-- column before that is known.
INSERT INTO node_embeddings (node_id, embedding)
SELECT v.id, v.embedding FROM (SELECT %(id)s::uuid AS id, %(embedding)s::{vector} AS embedding OFFSET 0) v WHERE /*= still_registered */

-- get_embedding --
-- One stored vector, and the model that it is of.
SELECT e.embedding::vector AS embedding, k.name AS model, k.dimension FROM node_embeddings e LEFT JOIN embedding_model k ON true WHERE e.node_id = %(id)s::uuid

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
AND (m.created_at, m.id) < (%(after_key)s::timestamptz, %(after_id)s::uuid)

-- after_updated --
-- Continue behind a cursor.
AND (m.updated_at, m.id) < (%(after_key)s::timestamptz, %(after_id)s::uuid)

-- after_due --
-- Continue behind a cursor.
AND (s.next_review, m.id) > (%(after_key)s::timestamptz, %(after_id)s::uuid)

-- only_due --
-- A list by due date holds what has one.
AND s.reps > 0 AND s.next_review IS NOT NULL

-- page_memories --
-- One page of a filtered list.
SELECT /*= memory_head_columns */, /*sort_key*/
FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE true /*filters*/ /*after*/ /*order*/ LIMIT %(limit)s

-- page_memories_at --
-- One page by position, for a jump of the scroll bar: ids are skipped first, rows are read after.
SELECT /*= memory_head_columns */, /*sort_key*/
FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE m.id IN (SELECT m.id FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
    WHERE true /*filters*/ /*order*/ LIMIT %(limit)s OFFSET %(offset)s)
/*order*/

-- list_ids --
-- The ids of a filtered list, for what is done to all of it.
SELECT m.id::text AS id FROM knowledge_nodes m WHERE true /*filters*/ ORDER BY m.created_at DESC, m.id DESC LIMIT %(limit)s

-- count_memories --
-- How many a filter leaves.
SELECT count(*) AS n FROM knowledge_nodes m WHERE true /*filters*/

-- count_scheduled --
-- How many of them a list by due date holds.
SELECT count(*) AS n FROM knowledge_nodes m JOIN scheduling s ON s.memory_id = m.id WHERE true /*filters*/

-- filter_domains --
-- In any of these domains.
AND m.domains && %(domains)s::text[]

-- filter_tags --
-- With any of these tags.
AND m.tags && %(tags)s::text[]

-- filter_node_types --
-- Of any of these types.
AND m.node_type = ANY (%(node_types)s::text[])

-- filter_codebase --
-- Of one codebase.
AND m.codebase = %(codebase)s

-- filter_owner --
-- Of one owner.
AND m.owner_user_id = %(owner)s::uuid

-- filter_since --
-- Made at or after.
AND m.created_at >= %(since)s

-- filter_until --
-- Made before.
AND m.created_at < %(until)s

-- filter_min_retrievability --
-- R(t, S) >= r exactly where t <= S * horizon(r): no power function is needed.
AND EXISTS (SELECT 1 FROM scheduling h WHERE h.memory_id = m.id AND h.reps > 0 AND h.last_review IS NOT NULL
    AND extract(epoch FROM %(now)s::timestamptz - h.last_review) / 86400.0 <= least(greatest(h.stability, 0.001), 36500.0) * %(horizon)s)

-- filter_active --
-- Not replaced by another memory.
AND m.superseded_by IS NULL

-- filter_without_embedding --
-- Without a vector.
AND NOT EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id)

-- filter_must --
-- Every +word and "phrase" of a search occurs.
AND m.search_vec @@ (SELECT string_agg('(' || q::text || ')', ' & ')::tsquery FROM (SELECT phraseto_tsquery('vestige', vestige_fold(w)) AS q FROM unnest(%(must)s::text[]) AS w) AS p WHERE numnode(q) > 0)

-- filter_must_not --
-- No -word of a search occurs.
AND NOT m.search_vec @@ (SELECT coalesce(string_agg('(' || q::text || ')', ' | ')::tsquery, ''::tsquery) FROM (SELECT phraseto_tsquery('vestige', vestige_fold(w)) AS q FROM unnest(%(must_not)s::text[]) AS w) AS p WHERE numnode(q) > 0)

-- filter_holds --
-- All of these characters occur: for scripts that put no spaces between words.
AND NOT EXISTS (SELECT 1 FROM unnest(%(holds)s::text[]) AS p WHERE position(p IN lower(m.content COLLATE "C")) = 0)

-- filter_lacks --
-- None of these characters occur.
AND NOT EXISTS (SELECT 1 FROM unnest(%(lacks)s::text[]) AS p WHERE position(p IN lower(m.content COLLATE "C")) > 0)

-- filter_id --
-- One memory.
AND m.id = %(only)s::uuid

-- search_memories --
-- Both branches fused in one statement: what each gives a memory is a share of its best, and a branch that did not find
-- what the other found is asked for it. Meaning counts from a floor, a part of the farthest cosine; a memory without a
-- vector counts as the farthest. Model and width are those that the same vectors belong to, on a row of its own where
-- nothing was found.
WITH /*vector_branch*/, /*text_branch*/,
scale AS MATERIALIZED (SELECT (SELECT nullif(max(s), 0) FROM text_hits) AS words, (SELECT max(s) FROM vector_hits WHERE r <= %(counted)s) AS nearest,
    (SELECT min(s) FROM vector_hits WHERE r <= %(counted)s) AS farthest, (SELECT min(s) - (1 - %(floor)s::float8) * abs(min(s)) FROM vector_hits WHERE r <= %(counted)s) AS base),
met AS (SELECT id, t.r AS text_rank, t.s AS ts, v.r AS vector_rank, v.s AS vs FROM text_hits t FULL JOIN vector_hits v USING (id)),
judged AS MATERIALIZED (SELECT b.id, b.text_rank, b.vector_rank, coalesce(b.ts, /*text_score*/) AS text_score, coalesce(b.vs, /*vector_score*/) AS vector_score FROM met b),
shared AS (SELECT j.*, coalesce(j.text_score / c.words, 0) AS text_share,
    greatest((coalesce(j.vector_score, c.farthest) - c.base) / nullif(c.nearest - c.base, 0), 0) AS vector_share FROM judged j, scale c),
placed AS (SELECT f.*, row_number() OVER (ORDER BY f.score DESC, coalesce(f.text_rank, f.vector_rank), f.id) AS place
    FROM (SELECT h.*, %(text_weight)s::float8 * text_share + %(vector_weight)s::float8 * coalesce(vector_share, 0) AS score FROM shared h) f)
SELECT r.model, r.width, f.place, f.score, f.text_rank, f.text_score, f.text_share, f.vector_rank, f.vector_score, f.vector_share, /*= memory_columns */
FROM (SELECT (SELECT k.name FROM embedding_model k) AS model, (SELECT k.dimension FROM embedding_model k) AS width) r
LEFT JOIN (placed f JOIN knowledge_nodes m ON m.id = f.id LEFT JOIN scheduling s ON s.memory_id = m.id) ON /*chosen*/ ORDER BY f.place

-- chosen_best --
-- As many as were asked for.
f.place <= %(limit)s

-- chosen_one --
-- One memory, wherever it stands.
f.id = %(only)s::uuid

-- score_text --
-- What the words are worth in a memory that only meaning found.
(SELECT sum(w.idf * ts_rank(n.search_vec, w.q, 1)) FROM knowledge_nodes n, words w WHERE n.id = b.id AND n.search_vec @@ w.q)

-- score_vector --
-- The cosine of a memory that only words found.
(SELECT nullif(1 - (e.embedding <=> %(embedding)s::{vector}), 'NaN') FROM node_embeddings e WHERE e.node_id = b.id)

-- score_none --
-- Nothing to ask for.
NULL::float8

-- branch_vector_index --
-- By the HNSW index: the vector is a parameter, not a column of another CTE, or no index would be used. The scan goes on
-- until enough rows pass the filters; its order is relaxed, so ranks are made from the distances again.
near AS MATERIALIZED (SELECT e.node_id AS id, e.embedding <=> %(embedding)s::{vector} AS d
    FROM node_embeddings e JOIN knowledge_nodes m ON m.id = e.node_id
    WHERE true /*filters*/ ORDER BY e.embedding <=> %(embedding)s::{vector} LIMIT %(depth)s),
vector_hits AS MATERIALIZED (SELECT id, row_number() OVER (ORDER BY d + 0, id) AS r, 1 - d AS s FROM near WHERE d < 'NaN')

-- branch_vector_either --
-- With filters: where they leave few rows every one of them is measured, which is exact and faster than walking the
-- graph past the rest; else the index. Which of the two runs is known only inside: the other one is never begun.
allowed AS MATERIALIZED (SELECT m.id FROM knowledge_nodes m WHERE true /*filters*/ LIMIT %(few)s + 1),
scarce AS MATERIALIZED (SELECT count(*) <= %(few)s AS yes FROM allowed),
near AS MATERIALIZED (
    (SELECT k.id, e.embedding <=> %(embedding)s::{vector} AS d FROM allowed k JOIN node_embeddings e ON e.node_id = k.id
        WHERE (SELECT yes FROM scarce) ORDER BY (e.embedding <=> %(embedding)s::{vector}) + 0, k.id LIMIT %(depth)s)
    UNION ALL
    (SELECT e.node_id, e.embedding <=> %(embedding)s::{vector} FROM node_embeddings e JOIN knowledge_nodes m ON m.id = e.node_id
        WHERE NOT (SELECT yes FROM scarce) /*filters*/ ORDER BY e.embedding <=> %(embedding)s::{vector} LIMIT %(depth)s)),
vector_hits AS MATERIALIZED (SELECT id, row_number() OVER (ORDER BY d + 0, id) AS r, 1 - d AS s FROM near WHERE d < 'NaN')

-- branch_vector_exact --
-- Every row that passes is measured, however many.
near AS MATERIALIZED (SELECT k.id, e.embedding <=> %(embedding)s::{vector} AS d
    FROM (SELECT m.id FROM knowledge_nodes m WHERE true /*filters*/ OFFSET 0) k JOIN node_embeddings e ON e.node_id = k.id
    ORDER BY (e.embedding <=> %(embedding)s::{vector}) + 0, k.id LIMIT %(depth)s),
vector_hits AS MATERIALIZED (SELECT id, row_number() OVER (ORDER BY d, id) AS r, 1 - d AS s FROM near WHERE d < 'NaN')

-- branch_vector_none --
-- No search by meaning.
vector_hits AS (SELECT NULL::uuid AS id, NULL::bigint AS r, NULL::float8 AS s WHERE false)

-- weigh_words --
-- Each word or phrase as a query of the text index, and how many memories its rarest part occurs in, as last counted;
-- a word that was not counted counts one, and one of no letters is left out.
SELECT t.w AS word, p.q::text AS query, coalesce((SELECT k.documents FROM term_stats k WHERE k.lexeme = ''), 0) AS whole,
    coalesce((SELECT min(coalesce(k.documents, 1)) FROM unnest(tsvector_to_array(p.v)) AS l (lexeme) LEFT JOIN term_stats k ON k.lexeme = l.lexeme), 1) AS documents
FROM unnest(%(words)s::text[]) AS t (w), LATERAL (SELECT phraseto_tsquery('vestige', f) AS q, to_tsvector('vestige', f) AS v
    FROM (SELECT vestige_fold(t.w) AS f OFFSET 0) g OFFSET 0) p
WHERE numnode(p.q) > 0

-- weighed_words --
-- The words of a search with their weights.
words AS MATERIALIZED (SELECT q, idf FROM unnest(%(queries)s::tsquery[], %(weights)s::float8[]) AS w (q, idf))

-- branch_text --
-- Any of the words, ranked by the sum of idf x what the word is worth in the text, short texts first. Candidates are
-- the memories with the rarest words: a common word would make every memory one.
/*= weighed_words */,
text_hits AS MATERIALIZED (SELECT id, row_number() OVER (ORDER BY s DESC, id) AS r, s FROM (
    SELECT m.id, (SELECT sum(w.idf * ts_rank(m.search_vec, w.q, 1)) FROM words w WHERE m.search_vec @@ w.q) AS s
    FROM knowledge_nodes m WHERE m.search_vec @@ %(rare)s::tsquery /*filters*/ ORDER BY s DESC, m.id LIMIT %(depth)s) x)

-- branch_text_common --
-- The same where even the rarest word is in very many: the newest of them stand for all.
/*= weighed_words */,
text_hits AS MATERIALIZED (SELECT id, row_number() OVER (ORDER BY s DESC, id) AS r, s FROM (
    SELECT m.id, (SELECT sum(w.idf * ts_rank(m.search_vec, w.q, 1)) FROM words w WHERE m.search_vec @@ w.q) AS s
    FROM (SELECT m.id, m.search_vec FROM knowledge_nodes m WHERE m.search_vec @@ %(rare)s::tsquery /*filters*/
        ORDER BY m.created_at DESC, m.id DESC LIMIT %(candidates)s) m ORDER BY s DESC, m.id LIMIT %(depth)s) x)

-- branch_text_newest --
-- A query that only says what must not occur lists the newest.
text_hits AS (SELECT id, row_number() OVER (ORDER BY created_at DESC, id DESC) AS r, 0.0::float8 AS s FROM (
    SELECT m.id, m.created_at FROM knowledge_nodes m WHERE true /*filters*/ ORDER BY m.created_at DESC, m.id DESC LIMIT %(depth)s) x)

-- branch_text_literal --
-- The characters as they stand, in the newest memories: as written first, then with A to Z in either case.
text_hits AS (SELECT id, row_number() OVER (ORDER BY s DESC, created_at DESC, id DESC) AS r, s FROM (
    SELECT id, created_at, CASE WHEN position(%(literal)s IN content) > 0 THEN 1.0::float8 ELSE 0.5 END AS s FROM (
        SELECT m.id, m.created_at, m.content FROM knowledge_nodes m WHERE true /*filters*/ ORDER BY m.created_at DESC, m.id DESC LIMIT %(scanned)s) n
    WHERE position(%(folded)s IN lower(content COLLATE "C")) > 0 ORDER BY s DESC, created_at DESC, id DESC LIMIT %(depth)s) x)

-- branch_text_pieces --
-- The more of these strings occur the better, in the newest memories: for scripts that put no spaces between words.
text_hits AS (SELECT id, row_number() OVER (ORDER BY s DESC, created_at DESC, id DESC) AS r, s FROM (
    SELECT id, created_at, s FROM (SELECT id, created_at, (SELECT count(*) FROM unnest(%(pieces)s::text[]) AS p WHERE position(p IN low) > 0)::float8 AS s FROM (
        SELECT m.id, m.created_at, lower(m.content COLLATE "C") AS low FROM knowledge_nodes m WHERE true /*filters*/ ORDER BY m.created_at DESC, m.id DESC LIMIT %(scanned)s) n) k
    WHERE s > 0 ORDER BY s DESC, created_at DESC, id DESC LIMIT %(depth)s) x)

-- branch_text_none --
-- No search by words.
text_hits AS (SELECT NULL::uuid AS id, NULL::bigint AS r, NULL::float8 AS s WHERE false)

-- count_terms --
-- Of how many memories the words were counted, and how many there are.
SELECT coalesce((SELECT documents FROM term_stats WHERE lexeme = ''), -1) AS counted, (SELECT count(*) FROM knowledge_nodes) AS n

-- lock_terms --
-- One session counts; the others leave it to that one. The lock goes with the transaction.
SELECT pg_try_advisory_xact_lock(8317441095320003) AS mine

-- clear_terms --
-- Before the words are counted anew.
DELETE FROM term_stats

-- fill_terms --
-- Every word with the number of memories that hold it, and the number of memories.
INSERT INTO term_stats (lexeme, documents)
SELECT word, ndoc FROM ts_stat('SELECT search_vec FROM knowledge_nodes') WHERE word <> ''
UNION ALL SELECT '', count(*) FROM knowledge_nodes

-- analyze --
-- Figures for the planner: without them it reads whole tables.
ANALYZE knowledge_nodes, node_embeddings, scheduling

-- count_matching --
-- How many memories hold each word or phrase, in their order.
SELECT (SELECT count(*) FROM knowledge_nodes m WHERE m.search_vec @@ phraseto_tsquery('vestige', vestige_fold(w))) AS n
FROM unnest(%(words)s::text[]) WITH ORDINALITY AS t (w, place) ORDER BY place

-- facet_domains --
-- Domains in use, with counts.
SELECT j.value AS value, count(*) AS n FROM knowledge_nodes m, unnest(m.domains) AS j (value)
WHERE true /*filters*/ GROUP BY j.value ORDER BY n DESC, j.value COLLATE "C" LIMIT %(limit)s

-- facet_tags --
-- Tags in use, with counts.
SELECT j.value AS value, count(*) AS n FROM knowledge_nodes m, unnest(m.tags) AS j (value)
WHERE true /*filters*/ GROUP BY j.value ORDER BY n DESC, j.value COLLATE "C" LIMIT %(limit)s

-- facet_node_types --
-- Types in use, with counts.
SELECT m.node_type AS value, count(*) AS n FROM knowledge_nodes m WHERE true /*filters*/
GROUP BY m.node_type ORDER BY n DESC, m.node_type COLLATE "C" LIMIT %(limit)s

-- facet_codebases --
-- Codebases in use, with counts.
SELECT m.codebase AS value, count(*) AS n FROM knowledge_nodes m WHERE m.codebase IS NOT NULL /*filters*/
GROUP BY m.codebase ORDER BY n DESC, m.codebase COLLATE "C" LIMIT %(limit)s

-- facet_owners --
-- Owners of memories, with counts and what they are called where anybody knows.
SELECT o.value::text AS value, o.n, u.handle AS alias, u.display_name AS title
FROM (SELECT m.owner_user_id AS value, count(*) AS n FROM knowledge_nodes m WHERE true /*filters*/ GROUP BY m.owner_user_id
    ORDER BY n DESC, m.owner_user_id LIMIT %(limit)s) o
LEFT JOIN users u ON u.id = o.value ORDER BY o.n DESC, o.value

-- facet_since --
-- How many were made at or after each of some moments.
SELECT d.place - 1 AS place, count(*) AS n FROM unnest(%(moments)s::timestamptz[]) WITH ORDINALITY AS d (moment, place)
JOIN knowledge_nodes m ON m.created_at >= d.moment WHERE true /*filters*/ GROUP BY d.place

-- facet_until --
-- How many were made before each of some moments.
SELECT d.place - 1 AS place, count(*) AS n FROM unnest(%(moments)s::timestamptz[]) WITH ORDINALITY AS d (moment, place)
JOIN knowledge_nodes m ON m.created_at < d.moment WHERE true /*filters*/ GROUP BY d.place

-- facet_recall --
-- How many are within each of some horizons, in stabilities since the last review.
SELECT d.place - 1 AS place, count(*) AS n FROM unnest(%(horizons)s::double precision[]) WITH ORDINALITY AS d (far, place)
JOIN scheduling g ON extract(epoch FROM %(now)s::timestamptz - g.last_review) / 86400.0 <= least(greatest(g.stability, 0.001), 36500.0) * d.far
JOIN knowledge_nodes m ON m.id = g.memory_id
WHERE g.reps > 0 AND g.last_review IS NOT NULL /*filters*/ GROUP BY d.place

-- find_owner --
-- Whom a person means by an id, a handle or a name: the lowest place is the nearest.
SELECT u.id::text AS value, CASE WHEN u.id::text = lower(%(owner)s::text) THEN 0 WHEN u.handle = %(owner)s::text THEN 1
    WHEN lower(u.handle) = lower(%(owner)s::text) THEN 2 ELSE 3 END AS place
FROM users u WHERE u.id::text = lower(%(owner)s::text) OR lower(u.handle) = lower(%(owner)s::text) OR lower(u.display_name) = lower(%(owner)s::text)

-- growth --
-- How many memories each month brought.
SELECT to_char(m.created_at AT TIME ZONE 'UTC', 'YYYY-MM') AS value, count(*) AS n FROM knowledge_nodes m GROUP BY 1 ORDER BY 1

-- not_resting --
-- Neither suspended nor buried beyond the moment.
AND NOT EXISTS (SELECT 1 FROM review_marks k WHERE k.memory_id = m.id AND (k.suspended OR k.buried_until > %(now)s))

-- list_due --
-- What is due before a moment, longest waiting first.
SELECT /*= memory_columns */, s.next_review AS sort_key FROM scheduling s JOIN knowledge_nodes m ON m.id = s.memory_id
WHERE s.reps > 0 AND s.next_review < %(before)s /*= not_resting */ /*filters*/ /*after*/
ORDER BY s.next_review, m.id LIMIT %(limit)s

-- list_due_times --
-- Due dates in a span, for counts: the span is wide, the caller parses and compares.
SELECT s.next_review FROM scheduling s JOIN knowledge_nodes m ON m.id = s.memory_id
WHERE s.reps > 0 AND s.next_review >= %(earliest)s AND s.next_review < %(before)s /*= not_resting */ /*filters*/

-- count_due_by_day --
-- How many fall due before each of the ends, and not before the end that precedes it.
SELECT width_bucket(s.next_review, %(ends)s::timestamptz[]) AS day, count(*) AS n
FROM scheduling s JOIN knowledge_nodes m ON m.id = s.memory_id
WHERE s.reps > 0 AND s.next_review < (%(ends)s::timestamptz[])[array_length(%(ends)s::timestamptz[], 1)]
/*= not_resting */ /*filters*/ GROUP BY 1

-- count_queue --
-- What waits, in one pass: due before each of three moments, never reviewed, and new ones already reviewed since one.
SELECT count(*) FILTER (WHERE s.reps > 0 AND s.next_review < %(overdue)s) AS overdue,
    count(*) FILTER (WHERE s.reps > 0 AND s.next_review < %(tonight)s) AS tonight,
    count(*) FILTER (WHERE s.reps > 0 AND s.next_review < %(week)s) AS week,
    count(*) FILTER (WHERE s.memory_id IS NULL OR s.reps = 0) AS new,
    (SELECT count(*) FROM review_events v WHERE v.timestamp >= %(midnight)s AND v.undoes IS NULL
        AND coalesce((v.prior_state ->> 'reps')::integer, 0) = 0
        AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = v.id)) AS first
FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE true /*= not_resting */ /*filters*/

-- list_new --
-- Never reviewed, oldest first.
SELECT /*= memory_columns */ FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE (s.memory_id IS NULL OR s.reps = 0) /*= not_resting */ /*filters*/
ORDER BY m.created_at, m.id LIMIT %(limit)s

-- put_scheduling --
-- Write a schedule, whether there was one or not.
INSERT INTO scheduling (memory_id, stability, difficulty, retrievability, last_review, next_review, reps, lapses)
VALUES (%(id)s::uuid, %(stability)s, %(difficulty)s, %(retrievability)s, %(last_review)s, %(next_review)s, %(reps)s, %(lapses)s)
ON CONFLICT (memory_id) DO UPDATE SET stability = excluded.stability, difficulty = excluded.difficulty,
    retrievability = excluded.retrievability, last_review = excluded.last_review, next_review = excluded.next_review,
    reps = excluded.reps, lapses = excluded.lapses

-- delete_scheduling --
-- Back to never reviewed.
DELETE FROM scheduling WHERE memory_id = %(id)s::uuid

-- insert_review --
-- One line of the review log.
INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state, undoes)
VALUES (%(id)s::uuid, %(at)s, %(rating)s, %(prior)s, %(new)s, %(undoes)s) RETURNING id

-- append_review --
-- The same where nobody needs its number.
INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state, undoes)
VALUES (%(id)s::uuid, %(at)s, %(rating)s, %(prior)s, %(new)s, %(undoes)s)

-- find_reviews --
-- Which of these [id, time, rating] are already in the log? A log has no ids of its own that travel.
SELECT a.n - 1 AS n, min(v.id) AS id FROM jsonb_array_elements(%(asked)s::jsonb) WITH ORDINALITY AS a (key, n) JOIN review_events v
ON v.memory_id = (a.key ->> 0)::uuid AND v.timestamp = (a.key ->> 1)::timestamptz AND v.rating = (a.key ->> 2)::integer
GROUP BY a.n

-- list_reviews --
-- The reviews of one memory, oldest first.
SELECT v.id, v.memory_id::text AS memory_id, v.timestamp, v.rating, v.prior_state, v.new_state, v.undoes
FROM review_events v WHERE v.memory_id = %(id)s::uuid ORDER BY v.id

-- count_reviews_of --
-- How many reviews these memories have, those that were taken back among them.
SELECT count(*) AS n FROM review_events v WHERE v.memory_id = ANY (%(ids)s::uuid[])

-- list_reviews_since --
-- The reviews of a sitting, oldest first.
SELECT v.id, v.memory_id::text AS memory_id, v.timestamp, v.rating, v.prior_state, v.new_state, v.undoes
FROM review_events v WHERE v.timestamp >= %(since)s ORDER BY v.id

-- last_review --
-- The last review that still stands, of one memory or of all.
SELECT v.id, v.memory_id::text AS memory_id, v.timestamp, v.rating, v.prior_state, v.new_state, v.undoes FROM review_events v
WHERE (%(id)s::uuid IS NULL OR v.memory_id = %(id)s::uuid) AND v.undoes IS NULL
AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = v.id)
ORDER BY v.id DESC LIMIT 1

-- get_marks --
-- What the console notes about a memory's reviews.
SELECT k.suspended, k.buried_until FROM review_marks k WHERE k.memory_id = %(id)s::uuid

-- put_marks --
-- Suspend, bury or resume.
INSERT INTO review_marks (memory_id, suspended, buried_until) VALUES (%(id)s::uuid, %(suspended)s, %(buried_until)s)
ON CONFLICT (memory_id) DO UPDATE SET suspended = excluded.suspended, buried_until = excluded.buried_until

-- get_model --
-- The registered embedding model.
SELECT name, dimension, hash, created_at FROM embedding_model

-- put_model --
-- Register the embedding model.
INSERT INTO embedding_model (id, name, dimension, hash, created_at) VALUES (1, %(name)s, %(dimension)s, %(hash)s, %(created_at)s)

-- set_model_hash --
-- The same model in another build.
UPDATE embedding_model SET hash = %(hash)s WHERE id = 1

-- count_model_changes --
-- How often the store has come to belong to another model since a moment.
SELECT count(*) AS n FROM model_changes WHERE changed_at >= %(since)s

-- sample_embeddings --
-- Memories with their vectors, spread evenly over all that have one and are not replaced, and the model of these vectors.
SELECT m.id::text AS id, m.content, e.embedding::vector AS embedding, k.name AS model, k.dimension, k.hash
FROM (SELECT n.node_id, row_number() OVER (ORDER BY n.node_id) - 1 AS place, count(*) OVER () AS total
    FROM node_embeddings n JOIN knowledge_nodes h ON h.id = n.node_id WHERE h.superseded_by IS NULL) p
JOIN node_embeddings e ON e.node_id = p.node_id JOIN knowledge_nodes m ON m.id = p.node_id CROSS JOIN embedding_model k
WHERE (p.place + 1) * %(sample)s::bigint / p.total > p.place * %(sample)s::bigint / p.total ORDER BY p.place

-- stamp_width --
-- The vectors get the model's width, before any is there.
ALTER TABLE node_embeddings ALTER COLUMN embedding TYPE {vector}({width}), ALTER COLUMN embedding SET STORAGE PLAIN

-- count_vectors_by_width --
-- What vectors are really there.
SELECT vector_dims(e.embedding) AS width, count(*) AS n FROM node_embeddings e GROUP BY 1 ORDER BY n DESC

-- list_embeddings_by_width --
-- Vectors of one width that have no direction; the type itself refuses those that are not finite.
SELECT 0 AS seq, e.node_id::text AS node_id, e.embedding::vector AS embedding FROM node_embeddings e WHERE vector_dims(e.embedding) = %(width)s
AND vector_norm(e.embedding::vector) = 0 AND %(seq)s = 0 LIMIT %(limit)s

-- list_without_embedding --
-- Memories that lack a vector, in a fixed order.
SELECT m.id::text AS id, m.content FROM knowledge_nodes m WHERE m.id > %(after_id)s::uuid
AND NOT EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id) ORDER BY m.id LIMIT %(limit)s

-- insert_embedding_if_current --
-- A vector made meanwhile, only where text and model are still those it was made of and nobody was faster.
INSERT INTO node_embeddings (node_id, embedding)
SELECT m.id, v.embedding FROM (SELECT %(embedding)s::{vector} AS embedding OFFSET 0) v, knowledge_nodes m
WHERE m.id = %(id)s::uuid AND m.content = %(content)s AND /*= still_registered */ ON CONFLICT (node_id) DO NOTHING

-- put_edge --
-- Link two memories, or change the weight of a link.
INSERT INTO edges (source_id, target_id, edge_type, weight, created_at)
VALUES (%(source_id)s::uuid, %(target_id)s::uuid, %(edge_type)s, %(weight)s, %(created_at)s)
ON CONFLICT (source_id, target_id, edge_type) DO UPDATE SET weight = excluded.weight

-- insert_edge_if_absent --
-- A link as it was elsewhere, only where there is none of that type.
INSERT INTO edges (source_id, target_id, edge_type, weight, created_at)
VALUES (%(source_id)s::uuid, %(target_id)s::uuid, %(edge_type)s, %(weight)s, %(created_at)s)
ON CONFLICT (source_id, target_id, edge_type) DO NOTHING

-- get_edge --
-- One link.
SELECT g.source_id::text AS source_id, g.target_id::text AS target_id, g.edge_type, g.weight, g.created_at FROM edges g
WHERE g.source_id = %(source_id)s::uuid AND g.target_id = %(target_id)s::uuid AND g.edge_type = %(edge_type)s

-- list_edges --
-- The links of these memories, in both directions.
SELECT g.source_id::text AS source_id, g.target_id::text AS target_id, g.edge_type, g.weight, g.created_at FROM edges g
WHERE g.source_id = ANY (%(ids)s::uuid[]) OR g.target_id = ANY (%(ids)s::uuid[])
ORDER BY g.source_id, g.target_id, g.edge_type COLLATE "C"

-- delete_edge --
-- Remove a link.
DELETE FROM edges WHERE source_id = %(source_id)s::uuid AND target_id = %(target_id)s::uuid AND edge_type = %(edge_type)s

-- lock_supersession --
-- One decision at a time: a cycle is looked for and the event written under one lock.
SELECT pg_advisory_xact_lock(8317441095320002)

-- insert_event --
-- One decision; the cache follows by trigger.
INSERT INTO supersession_events (loser_id, winner_id, kind, decided_at)
VALUES (%(loser_id)s::uuid, %(winner_id)s::uuid, %(kind)s, %(decided_at)s) RETURNING id

-- find_events --
-- Which of these [loser, time] are already in the log?
SELECT a.n - 1 AS n FROM jsonb_array_elements(%(asked)s::jsonb) WITH ORDINALITY AS a (key, n) WHERE EXISTS (
    SELECT 1 FROM supersession_events v WHERE v.loser_id = (a.key ->> 0)::uuid AND v.decided_at = (a.key ->> 1)::timestamptz)

-- list_events --
-- The decisions in which a memory takes part, in their order.
SELECT v.id, v.loser_id::text AS loser_id, v.winner_id::text AS winner_id, v.kind, v.decided_at FROM supersession_events v
WHERE v.loser_id = %(id)s::uuid OR v.winner_id = %(id)s::uuid ORDER BY v.decided_at, v.id

-- list_lost_events --
-- The decisions about these memories as losers, in their order.
SELECT v.id, v.loser_id::text AS loser_id, v.winner_id::text AS winner_id, v.kind, v.decided_at FROM supersession_events v
WHERE v.loser_id = ANY (%(ids)s::uuid[]) ORDER BY v.decided_at, v.id

-- get_winner --
-- What replaces a memory now.
SELECT m.superseded_by::text AS superseded_by FROM knowledge_nodes m WHERE m.id = %(id)s::uuid

-- list_losers --
-- What a memory replaces now.
SELECT /*= memory_columns */ FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE m.superseded_by = ANY (%(ids)s::uuid[]) ORDER BY m.created_at, m.id

-- insert_journal --
-- One change by a person.
INSERT INTO journal (at, actor, verb, before, after) VALUES (%(at)s, %(actor)s, %(verb)s, %(before)s, %(after)s) RETURNING id

-- get_journal --
-- One entry of the journal.
SELECT id, at, actor, verb, before, after, undone_by FROM journal WHERE id = %(id)s

-- last_journal --
-- The last change that can be taken back.
SELECT id, at, actor, verb, before, after, undone_by FROM journal WHERE undone_by IS NULL AND verb <> 'undo' ORDER BY id DESC LIMIT 1

-- find_review_entry --
-- The journal entry that one review wrote.
SELECT id, at, actor, verb, before, after, undone_by FROM journal
WHERE verb = 'review' AND undone_by IS NULL AND (after -> 0 ->> 'review')::bigint = %(review)s ORDER BY id DESC LIMIT 1

-- list_journal --
-- The journal, newest first.
SELECT id, at, actor, verb, before, after, undone_by FROM journal WHERE id < %(before_id)s ORDER BY id DESC LIMIT %(limit)s

-- mark_undone --
-- An entry has been taken back by another.
UPDATE journal SET undone_by = %(undone_by)s WHERE id = %(id)s AND undone_by IS NULL

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
SELECT current_setting('server_version') AS version

-- preflight --
-- What the server is and whether it has what we need.
SELECT current_setting('server_version_num')::integer AS server_version_num, current_setting('server_version') AS server_version,
    (SELECT default_version FROM pg_available_extensions WHERE name = 'vector') AS available,
    (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS installed,
    has_database_privilege(current_database(), 'CREATE') AS may_create,
    current_setting('default_transaction_read_only')::boolean OR pg_is_in_recovery() AS read_only,
    has_schema_privilege(current_schema(), 'CREATE') AS may_migrate

-- find_index --
-- Is the vector index there, and whole?
SELECT i.indisvalid AS valid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relname = 'idx_node_embeddings_hnsw' AND c.relnamespace = current_schema()::regnamespace

-- describe_server --
-- What the store runs on, and where.
SELECT current_setting('server_version') AS version, host(inet_server_addr()) AS host, inet_server_port() AS port,
    current_database()::text AS database, current_user::text AS username, pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS recovering,
    (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS vector_version,
    (SELECT default_version FROM pg_available_extensions WHERE name = 'vector') AS available,
    (SELECT pg_encoding_to_char(d.encoding) FROM pg_database d WHERE d.datname = current_database()) AS encoding

-- list_sessions --
-- Who is connected to the database, ours first, then the latest; of others a role may see only that they are there.
SELECT a.pid, a.application_name AS application, coalesce(a.usename::text, '') AS username, a.state,
    coalesce(a.state_change, a.backend_start) AS since, a.pid = ANY (%(mine)s::integer[]) AS mine
FROM pg_stat_activity a WHERE a.datname = current_database() AND (a.backend_type = 'client backend' OR a.backend_type IS NULL)
ORDER BY mine DESC, since DESC NULLS LAST, a.pid LIMIT %(limit)s

-- list_sizes --
-- Bytes of each table, its indexes and what lies outside its rows, and how well it is kept; the biggest first.
SELECT c.relname::text AS name, pg_relation_size(c.oid) AS heap, pg_indexes_size(c.oid) AS indexes,
    pg_total_relation_size(c.oid) - pg_relation_size(c.oid) - pg_indexes_size(c.oid) AS outside,
    s.n_live_tup AS rows, s.n_dead_tup AS dead_rows,
    greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed_at, greatest(s.last_analyze, s.last_autoanalyze) AS analyzed_at
FROM pg_class c LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'm')
ORDER BY pg_total_relation_size(c.oid) DESC, c.relname

-- list_vacuumable --
-- The tables that this role may vacuum, the biggest first; the server would only warn that it skips others.
SELECT c.relname::text AS name FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'm')
    AND (pg_has_role(c.relowner, 'USAGE') OR pg_has_role((SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE'))
ORDER BY pg_total_relation_size(c.oid) DESC, c.relname

-- read_size --
-- Bytes on disk.
SELECT pg_database_size(current_database()) AS n

-- find_channel --
-- Where commits to this store are told of, and whether they can be heard there.
SELECT 'vestige_' || key AS channel, key, pg_backend_pid() AS process, pg_is_in_recovery() AS standby
FROM (SELECT hashtextextended('vestige ' || current_schema(), 0) AS key) AS store

-- hold_channel --
-- While this lock is held, commits to the store are told of.
SELECT pg_advisory_lock_shared(%(key)s::bigint)

-- find_horizon --
-- What began before this may have asked for listeners too early.
SELECT pg_current_xact_id()::text AS horizon

-- find_unheard --
-- Is a transaction in progress that may have begun before the horizon?
SELECT pg_snapshot_xmin(pg_current_snapshot()) < %(horizon)s::xid8 AS unheard

-- read_change_token --
-- Changes some time after a commit, as the server gathers its figures; on a standby with what it has replayed.
SELECT coalesce(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END::text, '') || coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint AS token FROM pg_stat_user_tables WHERE schemaname = current_schema()

-- vacuum --
-- Make the room of a table's dead rows usable again, and let the planner know what is there; reads and writes go on.
VACUUM (ANALYZE) {table}
