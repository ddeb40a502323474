-- Named queries of the store service; ../sqlite/queries.sql has the same names. A block is "-- name --", a comment and
-- the SQL. /*slot*/ takes fragments that the service chooses by name, /*= name */ includes another block. Aliases: m is
-- a memory, s its schedule.

-- create_bookkeeping --
-- Applied migrations with the checksums of their files; adopted marks a file that a Vestige server wrote.
CREATE TABLE IF NOT EXISTS vestige_migrations (
    version     integer PRIMARY KEY,
    name        text NOT NULL,
    sha256      text NOT NULL,
    applied_at  timestamptz NOT NULL,
    duration_ms double precision NOT NULL,
    adopted     boolean NOT NULL DEFAULT false
)

-- find_bookkeeping --
-- Check for the console's own schema.
SELECT count(*) AS n FROM pg_class WHERE relname = 'vestige_migrations' AND relkind = 'r' AND relnamespace = quote_ident(current_schema())::regnamespace

-- store_tables --
-- Names of the store's tables, without the bookkeeping.
'embedding_model', 'domains', 'users', 'groups', 'group_memberships', 'knowledge_nodes', 'node_embeddings', 'scheduling',
'edges', 'review_events', 'supersession_events', 'delegations', 'job_runs', 'job_findings', 'journal', 'review_marks', 'review_weights',
'spare_embeddings', 'spare_model', 'model_changes', 'sync_state', 'term_stats'

-- list_taken_names --
-- Tables of another program that have the console's names. One statement also looks for the console's own bookkeeping:
-- another console may create the schema between two statements.
SELECT relname AS name FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace AND relname IN (/*= store_tables */)
    AND NOT EXISTS (
        SELECT 1 FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace AND relname = 'vestige_migrations')
ORDER BY relname

-- list_applied --
-- Applied migrations, oldest first.
SELECT version, name, sha256, applied_at, duration_ms FROM vestige_migrations ORDER BY version

-- record_applied --
-- Record an applied migration.
INSERT INTO vestige_migrations (version, name, sha256, applied_at, duration_ms)
VALUES (%(version)s, %(name)s, %(sha256)s, %(applied_at)s, %(duration_ms)s)

-- forget_applied --
-- Remove the record of a migration that was rolled back.
DELETE FROM vestige_migrations WHERE version = %(version)s

-- lock_schema --
-- Serialize migrations of concurrent consoles; the advisory lock ends with the transaction.
SELECT pg_advisory_xact_lock(8317441095320001)

-- find_folding_batch --
-- The next memories whose words a migration may fold anew: the last id, how many, and how many are not of ASCII alone.
SELECT (array_agg(id::text ORDER BY id DESC))[1] AS last, count(*) AS n,
    count(*) FILTER (WHERE octet_length(text) <> char_length(text)) AS suspects
FROM (SELECT m.id, concat(m.content, ' ', m.node_type, ' ', m.tags::text) AS text FROM knowledge_nodes m
    WHERE m.id >= coalesce(%(after)s::uuid, '00000000-0000-0000-0000-000000000000')
        AND (%(after)s::uuid IS NULL OR m.id <> %(after)s::uuid) ORDER BY m.id LIMIT %(limit)s) p

-- fold_memories --
-- Fold the words of a batch anew where that changes them: a written column makes PostgreSQL generate its text index.
UPDATE knowledge_nodes m SET content = m.content
WHERE m.id >= coalesce(%(after)s::uuid, '00000000-0000-0000-0000-000000000000') AND m.id <= %(last)s::uuid
    AND m.search_vec IS DISTINCT FROM vestige_words(m.content, m.node_type, m.tags)

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
-- Columns of a memory with its schedule, for rows.memory. Not EXISTS: its hashed subplan would read all vectors for one
-- page.
m.id::text AS id, m.content, m.node_type, m.tags, m.domains, m.domain_scores, m.codebase, m.metadata, m.created_at, m.updated_at,
m.owner_user_id::text AS owner_user_id, m.visibility, m.shared_with_groups::text[] AS shared_with_groups, m.superseded_by::text AS superseded_by,
s.memory_id::text AS scheduled, s.stability, s.difficulty, s.retrievability, s.last_review, s.next_review, s.reps, s.lapses,
coalesce((SELECT true FROM node_embeddings e WHERE e.node_id = m.id), false) AS has_embedding,
(SELECT jsonb_build_array(k.suspended, k.buried_until, k.pinned, k.cleared_lapses) FROM review_marks k WHERE k.memory_id = m.id) AS marks

-- memory_head_columns --
-- The same columns for lists, with only the head of the content.
m.id::text AS id, left(m.content, %(head)s) AS content, m.node_type, m.tags, m.domains, m.domain_scores, m.codebase, m.metadata,
m.created_at, m.updated_at, m.owner_user_id::text AS owner_user_id, m.visibility, m.shared_with_groups::text[] AS shared_with_groups, m.superseded_by::text AS superseded_by,
s.memory_id::text AS scheduled, s.stability, s.difficulty, s.retrievability, s.last_review, s.next_review, s.reps, s.lapses,
coalesce((SELECT true FROM node_embeddings e WHERE e.node_id = m.id), false) AS has_embedding,
(SELECT jsonb_build_array(k.suspended, k.buried_until, k.pinned, k.cleared_lapses) FROM review_marks k WHERE k.memory_id = m.id) AS marks

-- get_memory --
-- Memory by id.
SELECT /*= memory_columns */ FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id WHERE m.id = %(id)s::uuid

-- lock_memory --
-- Lock a memory's row until the write commits. Rows read in the same statement may predate the lock: read them
-- afterwards.
SELECT id::text AS id FROM knowledge_nodes WHERE id = %(id)s::uuid FOR UPDATE

-- lock_memories --
-- Lock the rows of memories until the write commits, in the order of their ids; read them afterwards.
SELECT m.id::text AS id FROM knowledge_nodes m WHERE m.id = ANY (%(ids)s::uuid[]) ORDER BY m.id FOR UPDATE

-- get_memories --
-- Memories by ids.
SELECT /*= memory_columns */ FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE m.id = ANY (%(ids)s::uuid[])

-- find_by_prefix --
-- Ids with a prefix, three at most: two already make it ambiguous.
SELECT m.id::text AS id FROM knowledge_nodes m WHERE m.id >= %(low)s::uuid AND m.id <= %(high)s::uuid ORDER BY m.id LIMIT 3

-- list_existing --
-- Those of the ids that exist.
SELECT m.id::text AS id FROM knowledge_nodes m WHERE m.id = ANY (%(ids)s::uuid[])

-- insert_memory --
-- Insert a memory; its text index is a generated column.
INSERT INTO knowledge_nodes (id, content, node_type, tags, metadata, domains, domain_scores, codebase, owner_user_id,
    visibility, shared_with_groups, created_at, updated_at)
VALUES (%(id)s::uuid, %(content)s, %(node_type)s, %(tags)s, %(metadata)s, %(domains)s, %(domain_scores)s, %(codebase)s,
    %(owner_user_id)s::uuid, %(visibility)s, %(shared_with_groups)s::uuid[], %(created_at)s, %(updated_at)s)

-- update_memory --
-- Update the editable columns and the edit time.
UPDATE knowledge_nodes SET content = %(content)s, node_type = %(node_type)s, tags = %(tags)s, metadata = %(metadata)s,
    domains = %(domains)s, codebase = %(codebase)s, owner_user_id = %(owner_user_id)s::uuid, visibility = %(visibility)s,
    shared_with_groups = %(shared_with_groups)s::uuid[], updated_at = %(updated_at)s WHERE id = %(id)s::uuid

-- delete_memories --
-- Delete memories; vectors, schedules, edges, reviews and events cascade.
DELETE FROM knowledge_nodes WHERE id = ANY (%(ids)s::uuid[])

-- delete_embedding --
-- Delete the outdated vector of an edited memory.
DELETE FROM node_embeddings WHERE node_id = %(id)s::uuid

-- still_registered --
-- Condition: the vector's model is still the registered one.
EXISTS (SELECT 1 FROM embedding_model k WHERE k.name = %(model)s AND k.dimension = %(dimension)s)

-- insert_embedding --
-- Insert a vector if its model is still registered. OFFSET 0 delays the cast to the column's width until that is
-- checked.
INSERT INTO node_embeddings (node_id, embedding)
SELECT v.id, v.embedding FROM (SELECT %(id)s::uuid AS id, %(embedding)s::{vector} AS embedding OFFSET 0) v WHERE /*= still_registered */

-- get_embedding --
-- Vector of a memory, with its model.
SELECT e.embedding::vector AS embedding, k.name AS model, k.dimension FROM node_embeddings e LEFT JOIN embedding_model k ON true WHERE e.node_id = %(id)s::uuid

-- list_embeddings_of --
-- Vectors of the memories, with their model.
SELECT e.node_id::text AS memory_id, e.embedding::vector AS embedding, k.name AS model, k.dimension
FROM node_embeddings e LEFT JOIN embedding_model k ON true WHERE e.node_id = ANY (%(ids)s::uuid[])

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
ORDER BY m.node_type COLLATE "C", m.created_at DESC, m.id DESC

-- elapsed --
-- Time since the last review in units of stability, negative: it rises with recall, and needs no power function.
least(extract(epoch FROM s.last_review - %(moment)s::timestamptz)::float8 / 86400.0, 0) / least(greatest(s.stability, 0.001), 36500.0)

-- order_recall --
-- Sort order: lowest recall first.
ORDER BY /*= elapsed */, m.id

-- sort_key_created --
-- Sort key of a row as stored, for the cursor of keyset pagination; a text, as it may be infinity.
m.created_at::text AS sort_key

-- sort_key_updated --
-- Sort key of a row as stored, for the cursor of keyset pagination.
m.updated_at::text AS sort_key

-- sort_key_due --
-- Sort key of a row as stored, for the cursor of keyset pagination.
s.next_review::text AS sort_key

-- sort_key_type --
-- Sort keys of a row as stored, for the cursor of keyset pagination.
m.node_type AS sort_key, m.created_at::text AS second_key

-- sort_key_recall --
-- Sort key of a row, for the cursor of keyset pagination; it holds for the moment of the cursor.
/*= elapsed */ AS sort_key

-- after_created --
-- Keyset pagination: rows after the cursor; the row value comparison uses the index.
AND (m.created_at, m.id) < (%(after_key)s::timestamptz, %(after_id)s::uuid)

-- after_updated --
-- Keyset pagination: rows after the cursor.
AND (m.updated_at, m.id) < (%(after_key)s::timestamptz, %(after_id)s::uuid)

-- after_due --
-- Keyset pagination: rows after the cursor.
AND (s.next_review, m.id) > (%(after_key)s::timestamptz, %(after_id)s::uuid)

-- after_oldest --
-- Keyset pagination: rows after the cursor.
AND (m.created_at, m.id) > (%(after_key)s::timestamptz, %(after_id)s::uuid)

-- after_type --
-- Keyset pagination: rows after the cursor.
AND (m.node_type COLLATE "C" > %(after_key)s::text OR (m.node_type = %(after_key)s::text
    AND (m.created_at, m.id) < (%(after_second)s::timestamptz, %(after_id)s::uuid)))

-- after_recall --
-- Keyset pagination: rows after the cursor.
AND (/*= elapsed */, m.id) > (%(after_key)s::float8, %(after_id)s::uuid)

-- only_due --
-- Rows with a due date, for a list sorted by it.
AND s.reps > 0 AND s.next_review IS NOT NULL

-- without_due --
-- Rows without a due date, which stand last in a list sorted by it.
AND ((s.reps > 0) IS NOT TRUE OR s.next_review IS NULL)

-- only_recalled --
-- Rows with a recall, for a list sorted by it.
AND s.reps > 0 AND isfinite(s.last_review)

-- without_recall --
-- Rows without a recall, which stand last in a list sorted by it.
AND ((s.reps > 0) IS NOT TRUE OR isfinite(s.last_review) IS NOT TRUE)

-- page_memories --
-- Page of a filtered list.
SELECT /*= memory_head_columns */, /*sort_key*/
FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE true /*filters*/ /*after*/ /*order*/ LIMIT %(limit)s

-- page_memories_at --
-- Page by offset, for a jump of the scroll bar, or in an order without an index; the pass over the list reads ids and
-- keys only, before whole rows are read.
SELECT /*= memory_head_columns */, /*sort_key*/
FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE m.id IN (SELECT m.id FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
    WHERE true /*filters*/ /*after*/ /*order*/ LIMIT %(limit)s OFFSET %(offset)s)
/*order*/

-- count_memories --
-- Number of memories that pass a filter.
SELECT count(*) AS n FROM knowledge_nodes m WHERE true /*filters*/

-- count_scheduled --
-- Number of memories that pass a filter which may concern the schedule, and stand after a cursor.
SELECT count(*) AS n FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id WHERE true /*filters*/ /*after*/

-- filter_domains --
-- Filter: in any of the domains.
AND m.domains && %(domains)s::text[]

-- filter_all_domains --
-- Filter: in all of the domains.
AND m.domains @> %(all_domains)s::text[]

-- filter_no_domains --
-- Filter: in none of the domains.
AND NOT m.domains && %(no_domains)s::text[]

-- filter_tags --
-- Filter: with any of the tags.
AND m.tags && %(tags)s::text[]

-- filter_all_tags --
-- Filter: with all of the tags.
AND m.tags @> %(all_tags)s::text[]

-- filter_no_tags --
-- Filter: with none of the tags.
AND NOT m.tags && %(no_tags)s::text[]

-- filter_node_types --
-- Filter: of any of the types.
AND m.node_type = ANY (%(node_types)s::text[])

-- filter_all_node_types --
-- Filter: of all of the types.
AND m.node_type = ALL (%(all_node_types)s::text[])

-- filter_no_node_types --
-- Filter: of none of the types.
AND m.node_type <> ALL (%(no_node_types)s::text[])

-- filter_codebases --
-- Filter: of any of the codebases.
AND m.codebase = ANY (%(codebases)s::text[])

-- filter_all_codebases --
-- Filter: of all of the codebases.
AND m.codebase = ALL (%(all_codebases)s::text[])

-- filter_no_codebases --
-- Filter: of none of the codebases.
AND (m.codebase IS NULL OR m.codebase <> ALL (%(no_codebases)s::text[]))

-- filter_visibilities --
-- Filter: of any of the visibilities.
AND m.visibility = ANY (%(visibilities)s::text[])

-- filter_all_visibilities --
-- Filter: of all of the visibilities.
AND m.visibility = ALL (%(all_visibilities)s::text[])

-- filter_no_visibilities --
-- Filter: of none of the visibilities.
AND m.visibility <> ALL (%(no_visibilities)s::text[])

-- filter_groups --
-- Filter: shared with any of the groups.
AND m.shared_with_groups && %(groups)s::uuid[]

-- filter_all_groups --
-- Filter: shared with all of the groups.
AND m.shared_with_groups @> %(all_groups)s::uuid[]

-- filter_no_groups --
-- Filter: shared with none of the groups.
AND NOT m.shared_with_groups && %(no_groups)s::uuid[]

-- filter_owner --
-- Filter: owner.
AND m.owner_user_id = %(owner)s::uuid

-- filter_no_owners --
-- Filter: of none of the owners.
AND m.owner_user_id <> ALL (%(no_owners)s::uuid[])

-- filter_since --
-- Filter: created at or after a time.
AND m.created_at >= %(since)s

-- filter_until --
-- Filter: created before a time.
AND m.created_at < %(until)s

-- filter_min_retrievability --
-- Filter: recall of at least r. R(t, S) >= r exactly if t <= S * horizon(r), which needs no power function.
AND EXISTS (SELECT 1 FROM scheduling h WHERE h.memory_id = m.id AND h.reps > 0 AND h.last_review IS NOT NULL
    AND extract(epoch FROM %(now)s::timestamptz - h.last_review) / 86400.0 <= least(greatest(h.stability, 0.001), 36500.0) * %(horizon)s)

-- filter_active --
-- Filter: active, not replaced by another memory.
AND m.superseded_by IS NULL

-- filter_replaced --
-- Filter: replaced by another memory.
AND m.superseded_by IS NOT NULL

-- is_due --
-- Condition: due before the end of today.
EXISTS (SELECT 1 FROM scheduling h WHERE h.memory_id = m.id AND h.reps > 0 AND h.next_review < %(due_before)s)

-- filter_due --
-- Filter: due by the end of today, neither suspended nor buried.
AND /*= is_due */ /*= not_resting */

-- filter_not_due --
-- Filter: not due by the end of today, or suspended, or buried.
AND (NOT /*= is_due */
    OR EXISTS (SELECT 1 FROM review_marks k WHERE k.memory_id = m.id AND (k.suspended OR k.buried_until > %(now)s)))

-- filter_new --
-- Filter: never reviewed.
AND NOT EXISTS (SELECT 1 FROM scheduling h WHERE h.memory_id = m.id AND h.reps > 0)

-- filter_not_new --
-- Filter: reviewed.
AND EXISTS (SELECT 1 FROM scheduling h WHERE h.memory_id = m.id AND h.reps > 0)

-- filter_suspended --
-- Filter: suspended.
AND EXISTS (SELECT 1 FROM review_marks k WHERE k.memory_id = m.id AND k.suspended)

-- filter_not_suspended --
-- Filter: not suspended.
AND NOT EXISTS (SELECT 1 FROM review_marks k WHERE k.memory_id = m.id AND k.suspended)

-- filter_buried --
-- Filter: buried now.
AND EXISTS (SELECT 1 FROM review_marks k WHERE k.memory_id = m.id AND k.buried_until > %(now)s)

-- filter_not_buried --
-- Filter: not buried now.
AND NOT EXISTS (SELECT 1 FROM review_marks k WHERE k.memory_id = m.id AND k.buried_until > %(now)s)

-- is_leech --
-- Condition: forgotten often enough to be a leech, since that mark was last cleared.
EXISTS (SELECT 1 FROM scheduling h LEFT JOIN review_marks k ON k.memory_id = h.memory_id WHERE h.memory_id = m.id
    AND h.lapses >= %(leech_lapses)s AND h.lapses - coalesce(k.cleared_lapses, 0) >= %(leech_lapses)s)

-- filter_leech --
-- Filter: forgotten often enough to be a leech.
AND /*= is_leech */

-- filter_not_leech --
-- Filter: not a leech.
AND NOT /*= is_leech */

-- filter_pinned --
-- Filter: pinned.
AND EXISTS (SELECT 1 FROM review_marks k WHERE k.memory_id = m.id AND k.pinned)

-- filter_not_pinned --
-- Filter: not pinned.
AND NOT EXISTS (SELECT 1 FROM review_marks k WHERE k.memory_id = m.id AND k.pinned)

-- filter_without_embedding --
-- Filter: without a vector.
AND NOT EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id)

-- filter_with_embedding --
-- Filter: with a vector.
AND EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id)

-- filter_must --
-- Filter: matches every +word and "phrase" of the query.
AND m.search_vec @@ (SELECT string_agg('(' || q::text || ')', ' & ')::tsquery FROM (SELECT phraseto_tsquery('vestige', vestige_fold(w)) AS q FROM unnest(%(must)s::text[]) AS w) AS p WHERE numnode(q) > 0)

-- filter_must_not --
-- Filter: matches no -word of the query.
AND NOT m.search_vec @@ (SELECT coalesce(string_agg('(' || q::text || ')', ' | ')::tsquery, ''::tsquery) FROM (SELECT phraseto_tsquery('vestige', vestige_fold(w)) AS q FROM unnest(%(must_not)s::text[]) AS w) AS p WHERE numnode(q) > 0)

-- filter_holds --
-- Filter: contains all substrings, for scripts without spaces between words.
AND NOT EXISTS (SELECT 1 FROM unnest(%(holds)s::text[]) AS p WHERE position(p IN lower(m.content COLLATE "C")) = 0)

-- filter_lacks --
-- Filter: contains none of the substrings.
AND NOT EXISTS (SELECT 1 FROM unnest(%(lacks)s::text[]) AS p WHERE position(p IN lower(m.content COLLATE "C")) > 0)

-- filter_id --
-- Filter: one memory.
AND m.id = %(only)s::uuid

-- search_memories --
-- Hybrid search: both branches and their fusion in one statement. Each branch's score is normalised by its best hit;
-- hits of one branch are scored by the other, too. The floor of the cosines is a part of the lowest one, which a memory
-- without a vector gets. Returns model and width of the same snapshot, on a row of its own if there are no hits.
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
-- Top hits up to the limit.
f.place <= %(limit)s

-- chosen_one --
-- One memory at any rank.
f.id = %(only)s::uuid

-- score_text --
-- Text score of a memory that only the vector branch found.
(SELECT sum(w.idf * ts_rank(n.search_vec, w.q, 1)) FROM knowledge_nodes n, words w WHERE n.id = b.id AND n.search_vec @@ w.q)

-- score_vector --
-- Cosine of a memory that only the text branch found.
(SELECT nullif(1 - (e.embedding <=> %(embedding)s::{vector}), 'NaN') FROM node_embeddings e WHERE e.node_id = b.id)

-- score_none --
-- Score of an absent branch.
NULL::float8

-- branch_vector_index --
-- Vector branch by the HNSW index, which requires the vector as a parameter instead of a CTE column. The iterative scan
-- continues until enough rows pass the filters, in relaxed order: ranks are recomputed from the distances.
near AS MATERIALIZED (SELECT e.node_id AS id, e.embedding <=> %(embedding)s::{vector} AS d
    FROM node_embeddings e JOIN knowledge_nodes m ON m.id = e.node_id
    WHERE true /*filters*/ ORDER BY e.embedding <=> %(embedding)s::{vector} LIMIT %(depth)s),
vector_hits AS MATERIALIZED (SELECT id, row_number() OVER (ORDER BY d + 0, id) AS r, 1 - d AS s FROM near WHERE d < 'NaN')

-- branch_vector_either --
-- Vector branch with filters: exact over few passing rows, which beats a graph scan that discards most rows; else the
-- HNSW index. The statement decides at run time, and never executes the other half.
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
-- Vector branch without an index: exact cosines of all passing rows.
near AS MATERIALIZED (SELECT k.id, e.embedding <=> %(embedding)s::{vector} AS d
    FROM (SELECT m.id FROM knowledge_nodes m WHERE true /*filters*/ OFFSET 0) k JOIN node_embeddings e ON e.node_id = k.id
    ORDER BY (e.embedding <=> %(embedding)s::{vector}) + 0, k.id LIMIT %(depth)s),
vector_hits AS MATERIALIZED (SELECT id, row_number() OVER (ORDER BY d, id) AS r, 1 - d AS s FROM near WHERE d < 'NaN')

-- branch_vector_none --
-- Absent vector branch.
vector_hits AS (SELECT NULL::uuid AS id, NULL::bigint AS r, NULL::float8 AS s WHERE false)

-- weigh_words --
-- Each word or phrase as a tsquery, with the document frequency of its rarest lexeme from term_stats (1 if not
-- counted). Words without lexemes are omitted.
SELECT t.w AS word, p.q::text AS query, coalesce((SELECT k.documents FROM term_stats k WHERE k.lexeme = ''), 0) AS whole,
    coalesce((SELECT min(coalesce(k.documents, 1)) FROM unnest(tsvector_to_array(p.v)) AS l (lexeme) LEFT JOIN term_stats k ON k.lexeme = l.lexeme), 1) AS documents
FROM unnest(%(words)s::text[]) AS t (w), LATERAL (SELECT phraseto_tsquery('vestige', f) AS q, to_tsvector('vestige', f) AS v
    FROM (SELECT vestige_fold(t.w) AS f OFFSET 0) g OFFSET 0) p
WHERE numnode(p.q) > 0

-- weighed_words --
-- Query words with their idf weights.
words AS MATERIALIZED (SELECT q, idf FROM unnest(%(queries)s::tsquery[], %(weights)s::float8[]) AS w (q, idf))

-- branch_text --
-- Text branch: any of the words, ranked by the sum of idf x ts_rank, normalised by length. Candidates match the rarest
-- words; with common words every memory would be one.
/*= weighed_words */,
text_hits AS MATERIALIZED (SELECT id, row_number() OVER (ORDER BY s DESC, id) AS r, s FROM (
    SELECT m.id, (SELECT sum(w.idf * ts_rank(m.search_vec, w.q, 1)) FROM words w WHERE m.search_vec @@ w.q) AS s
    FROM knowledge_nodes m WHERE m.search_vec @@ %(rare)s::tsquery /*filters*/ ORDER BY s DESC, m.id LIMIT %(depth)s) x)

-- branch_text_common --
-- Text branch if even the rarest word is common: candidates are its newest matches.
/*= weighed_words */,
text_hits AS MATERIALIZED (SELECT id, row_number() OVER (ORDER BY s DESC, id) AS r, s FROM (
    SELECT m.id, (SELECT sum(w.idf * ts_rank(m.search_vec, w.q, 1)) FROM words w WHERE m.search_vec @@ w.q) AS s
    FROM (SELECT m.id, m.search_vec FROM knowledge_nodes m WHERE m.search_vec @@ %(rare)s::tsquery /*filters*/
        ORDER BY m.created_at DESC, m.id DESC LIMIT %(candidates)s) m ORDER BY s DESC, m.id LIMIT %(depth)s) x)

-- branch_text_newest --
-- Text branch of a query with -words only: the newest memories.
text_hits AS (SELECT id, row_number() OVER (ORDER BY created_at DESC, id DESC) AS r, 0.0::float8 AS s FROM (
    SELECT m.id, m.created_at FROM knowledge_nodes m WHERE true /*filters*/ ORDER BY m.created_at DESC, m.id DESC LIMIT %(depth)s) x)

-- branch_text_literal --
-- Text branch of a literal search over the newest memories: exact case first, then ASCII case-insensitive.
text_hits AS (SELECT id, row_number() OVER (ORDER BY s DESC, created_at DESC, id DESC) AS r, s FROM (
    SELECT id, created_at, CASE WHEN position(%(literal)s IN content) > 0 THEN 1.0::float8 ELSE 0.5 END AS s FROM (
        SELECT m.id, m.created_at, m.content FROM knowledge_nodes m WHERE true /*filters*/ ORDER BY m.created_at DESC, m.id DESC LIMIT %(scanned)s) n
    WHERE position(%(folded)s IN lower(content COLLATE "C")) > 0 ORDER BY s DESC, created_at DESC, id DESC LIMIT %(depth)s) x)

-- branch_text_literal_cased --
-- The same for letters beyond ASCII: exact case first, then any case.
text_hits AS (SELECT id, row_number() OVER (ORDER BY s DESC, created_at DESC, id DESC) AS r, s FROM (
    SELECT id, created_at, CASE WHEN position(%(literal)s IN content) > 0 THEN 1.0::float8 ELSE 0.5 END AS s FROM (
        SELECT m.id, m.created_at, m.content FROM knowledge_nodes m WHERE true /*filters*/ ORDER BY m.created_at DESC, m.id DESC LIMIT %(scanned)s) n
    WHERE octet_length(content) <> char_length(content) AND content COLLATE "C" ~ %(pattern)s ORDER BY s DESC, created_at DESC, id DESC LIMIT %(depth)s) x)

-- branch_text_pieces --
-- Text branch over the newest memories by the number of matching substrings, for scripts without spaces between words,
-- and of matching words of other scripts.
spaced AS MATERIALIZED (SELECT q FROM (SELECT phraseto_tsquery('vestige', vestige_fold(w)) AS q FROM unnest(%(spaced)s::text[]) AS w) p WHERE numnode(q) > 0),
text_hits AS (SELECT id, row_number() OVER (ORDER BY s DESC, created_at DESC, id DESC) AS r, s FROM (
    SELECT id, created_at, s FROM (SELECT id, created_at, ((SELECT count(*) FROM unnest(%(pieces)s::text[]) AS p WHERE position(p IN low) > 0)
        + (SELECT count(*) FROM spaced WHERE search_vec @@ q))::float8 AS s FROM (
        SELECT m.id, m.created_at, m.search_vec, lower(m.content COLLATE "C") AS low FROM knowledge_nodes m WHERE true /*filters*/ ORDER BY m.created_at DESC, m.id DESC LIMIT %(scanned)s) n) k
    WHERE s > 0 ORDER BY s DESC, created_at DESC, id DESC LIMIT %(depth)s) x)

-- branch_text_none --
-- Absent text branch.
text_hits AS (SELECT NULL::uuid AS id, NULL::bigint AS r, NULL::float8 AS s WHERE false)

-- count_terms --
-- Number of memories at the last count of words, and now.
SELECT coalesce((SELECT documents FROM term_stats WHERE lexeme = ''), -1) AS counted, (SELECT count(*) FROM knowledge_nodes) AS n

-- lock_terms --
-- Let one session count the words; the advisory lock ends with the transaction.
SELECT pg_try_advisory_xact_lock(8317441095320003) AS mine

-- clear_terms --
-- Clear the word counts before a recount.
DELETE FROM term_stats

-- fill_terms --
-- Document frequency of every lexeme, and the number of memories under the empty one.
INSERT INTO term_stats (lexeme, documents)
SELECT word, ndoc FROM ts_stat('SELECT search_vec FROM knowledge_nodes') WHERE word <> ''
UNION ALL SELECT '', count(*) FROM knowledge_nodes

-- analyze --
-- Update planner statistics: without them the planner chooses sequential scans.
ANALYZE knowledge_nodes, node_embeddings, scheduling

-- count_matching --
-- Document frequency of each word or phrase, in order.
SELECT (SELECT count(*) FROM knowledge_nodes m WHERE m.search_vec @@ phraseto_tsquery('vestige', vestige_fold(w))) AS n
FROM unnest(%(words)s::text[]) WITH ORDINALITY AS t (w, place) ORDER BY place

-- facet_domains --
-- Facet: domains with counts.
SELECT j.value AS value, count(*) AS n FROM knowledge_nodes m, unnest(m.domains) AS j (value)
WHERE true /*filters*/ GROUP BY j.value ORDER BY n DESC, j.value COLLATE "C" LIMIT %(limit)s

-- facet_tags --
-- Facet: tags with counts.
SELECT j.value AS value, count(*) AS n FROM knowledge_nodes m, unnest(m.tags) AS j (value)
WHERE true /*filters*/ GROUP BY j.value ORDER BY n DESC, j.value COLLATE "C" LIMIT %(limit)s

-- facet_node_types --
-- Facet: types with counts.
SELECT m.node_type AS value, count(*) AS n FROM knowledge_nodes m WHERE true /*filters*/
GROUP BY m.node_type ORDER BY n DESC, m.node_type COLLATE "C" LIMIT %(limit)s

-- facet_codebases --
-- Facet: codebases with counts.
SELECT m.codebase AS value, count(*) AS n FROM knowledge_nodes m WHERE m.codebase IS NOT NULL /*filters*/
GROUP BY m.codebase ORDER BY n DESC, m.codebase COLLATE "C" LIMIT %(limit)s

-- facet_owners --
-- Facet: owners with counts, and their names if known.
SELECT o.value::text AS value, o.n, u.handle AS alias, u.display_name AS title
FROM (SELECT m.owner_user_id AS value, count(*) AS n FROM knowledge_nodes m WHERE true /*filters*/ GROUP BY m.owner_user_id
    ORDER BY n DESC, m.owner_user_id LIMIT %(limit)s) o
LEFT JOIN users u ON u.id = o.value ORDER BY o.n DESC, o.value

-- facet_visibilities --
-- Facet: visibilities with counts.
SELECT m.visibility AS value, count(*) AS n FROM knowledge_nodes m WHERE true /*filters*/
GROUP BY m.visibility ORDER BY n DESC, m.visibility COLLATE "C" LIMIT %(limit)s

-- facet_groups --
-- Facet: groups with the counts of memories shared with them, and their names if known.
SELECT o.value::text AS value, o.n, g.handle AS alias, g.display_name AS title
FROM (SELECT j.value AS value, count(*) AS n FROM knowledge_nodes m, unnest(m.shared_with_groups) AS j (value)
    WHERE true /*filters*/ GROUP BY j.value ORDER BY n DESC, j.value LIMIT %(limit)s) o
LEFT JOIN groups g ON g.id = o.value ORDER BY o.n DESC, o.value

-- facet_since --
-- Facet: counts created at or after each of several times.
SELECT d.place - 1 AS place, count(*) AS n FROM unnest(%(moments)s::timestamptz[]) WITH ORDINALITY AS d (moment, place)
JOIN knowledge_nodes m ON m.created_at >= d.moment WHERE true /*filters*/ GROUP BY d.place

-- facet_until --
-- Facet: counts created before each of several times.
SELECT d.place - 1 AS place, count(*) AS n FROM unnest(%(moments)s::timestamptz[]) WITH ORDINALITY AS d (moment, place)
JOIN knowledge_nodes m ON m.created_at < d.moment WHERE true /*filters*/ GROUP BY d.place

-- facet_recall --
-- Facet: counts within each horizon, in units of stability since the last review.
SELECT d.place - 1 AS place, count(*) AS n FROM unnest(%(horizons)s::double precision[]) WITH ORDINALITY AS d (far, place)
JOIN scheduling g ON extract(epoch FROM %(now)s::timestamptz - g.last_review) / 86400.0 <= least(greatest(g.stability, 0.001), 36500.0) * d.far
JOIN knowledge_nodes m ON m.id = g.memory_id
WHERE g.reps > 0 AND g.last_review IS NOT NULL /*filters*/ GROUP BY d.place

-- find_owner --
-- Users by id, handle or display name; the lowest place is the best match.
SELECT u.id::text AS value, CASE WHEN u.id::text = lower(%(owner)s::text) THEN 0 WHEN u.handle = %(owner)s::text THEN 1
    WHEN lower(u.handle) = lower(%(owner)s::text) THEN 2 ELSE 3 END AS place
FROM users u WHERE u.id::text = lower(%(owner)s::text) OR lower(u.handle) = lower(%(owner)s::text) OR lower(u.display_name) = lower(%(owner)s::text)

-- server_progress --
-- Statement of a kind that runs now on a table of this schema, the largest first; NULL is not visible.
SELECT c.relname::text AS relation, p.phase, p.tuples_done, p.tuples_total, p.blocks_done, p.blocks_total FROM (
    SELECT 'index' AS kind, i.datid, i.relid, i.phase, i.tuples_done, i.tuples_total, i.blocks_done, i.blocks_total
    FROM pg_stat_progress_create_index i
    UNION ALL SELECT 'vacuum', v.datid, v.relid, v.phase, NULL, NULL, v.heap_blks_scanned, v.heap_blks_total
    FROM pg_stat_progress_vacuum v
    UNION ALL SELECT 'vacuum', a.datid, a.relid, 'analyzing: ' || a.phase, NULL, NULL, a.sample_blks_scanned, a.sample_blks_total
    FROM pg_stat_progress_analyze a) p
JOIN pg_class c ON c.oid = p.relid AND c.relnamespace = quote_ident(current_schema())::regnamespace
WHERE p.datid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    AND p.kind = %(kind)s
ORDER BY p.blocks_total DESC NULLS LAST

-- owner_names --
-- Handles of users and groups by their ids.
SELECT u.id::text AS value, u.handle AS name FROM users u WHERE u.id::text = ANY (%(ids)s::text[])
UNION ALL SELECT g.id::text, g.handle FROM groups g WHERE g.id::text = ANY (%(ids)s::text[])

-- growth --
-- Memories created per month.
SELECT to_char(m.created_at AT TIME ZONE 'UTC', 'YYYY-MM') AS value, count(*) AS n FROM knowledge_nodes m GROUP BY 1 ORDER BY 1

-- not_resting --
-- Filter: neither suspended nor buried now.
AND NOT EXISTS (SELECT 1 FROM review_marks k WHERE k.memory_id = m.id AND (k.suspended OR k.buried_until > %(now)s))

-- list_due --
-- Memories due before a time, most overdue first.
SELECT /*= memory_columns */, s.next_review::text AS sort_key FROM scheduling s JOIN knowledge_nodes m ON m.id = s.memory_id
WHERE s.reps > 0 AND s.next_review < %(before)s /*= not_resting */ /*filters*/ /*after*/
ORDER BY s.next_review, m.id LIMIT %(limit)s

-- list_due_times --
-- Due dates in a wide span, for counts; the caller parses and compares them exactly.
SELECT s.next_review FROM scheduling s JOIN knowledge_nodes m ON m.id = s.memory_id
WHERE s.reps > 0 AND s.next_review >= %(earliest)s AND s.next_review < %(before)s /*= not_resting */ /*filters*/

-- not_undone --
-- Condition: no undo of this review is in force; a redone review has an undo that another row undoes.
NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = v.id
            AND NOT EXISTS (SELECT 1 FROM review_events r WHERE r.undoes = u.id))

-- count_queue --
-- Counts of the review queue in one pass: due before each of three times, never reviewed, and first reviews since
-- midnight.
SELECT count(*) FILTER (WHERE s.reps > 0 AND s.next_review < %(overdue)s) AS overdue,
    count(*) FILTER (WHERE s.reps > 0 AND s.next_review < %(tonight)s) AS tonight,
    count(*) FILTER (WHERE s.reps > 0 AND s.next_review < %(week)s) AS week,
    count(*) FILTER (WHERE s.memory_id IS NULL OR s.reps = 0) AS new,
    (SELECT count(*) FROM review_events v WHERE v.timestamp >= %(midnight)s AND v.undoes IS NULL
        AND coalesce((v.prior_state ->> 'reps')::integer, 0) = 0
        AND /*= not_undone */) AS first
FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE true /*= not_resting */ /*filters*/

-- list_new --
-- Memories never reviewed, oldest first.
SELECT /*= memory_columns */ FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE (s.memory_id IS NULL OR s.reps = 0) /*= not_resting */ /*filters*/
ORDER BY m.created_at, m.id LIMIT %(limit)s

-- put_scheduling --
-- Upsert a schedule.
INSERT INTO scheduling (memory_id, stability, difficulty, retrievability, last_review, next_review, reps, lapses)
VALUES (%(id)s::uuid, %(stability)s, %(difficulty)s, %(retrievability)s, %(last_review)s, %(next_review)s, %(reps)s, %(lapses)s)
ON CONFLICT (memory_id) DO UPDATE SET stability = excluded.stability, difficulty = excluded.difficulty,
    retrievability = excluded.retrievability, last_review = excluded.last_review, next_review = excluded.next_review,
    reps = excluded.reps, lapses = excluded.lapses

-- delete_scheduling --
-- Reset a memory to never reviewed.
DELETE FROM scheduling WHERE memory_id = %(id)s::uuid

-- insert_review --
-- Append to the review log; returns the id.
INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state, undoes, weights_hash)
VALUES (%(id)s::uuid, %(at)s, %(rating)s, %(prior)s, %(new)s, %(undoes)s, %(weights_hash)s) RETURNING id

-- restore_review --
-- Insert a review of a deleted memory again, under the number that its journal entries have.
INSERT INTO review_events (id, memory_id, timestamp, rating, prior_state, new_state, undoes, weights_hash)
VALUES (%(number)s, %(id)s::uuid, %(at)s, %(rating)s, %(prior)s, %(new)s, %(undoes)s, %(weights_hash)s)

-- list_taken_reviews --
-- Those of the numbers that a review has.
SELECT v.id FROM review_events v WHERE v.id = ANY (%(numbers)s::bigint[])

-- append_review --
-- Append to the review log without returning the id.
INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state, undoes, weights_hash)
VALUES (%(id)s::uuid, %(at)s, %(rating)s, %(prior)s, %(new)s, %(undoes)s, %(weights_hash)s)

-- find_reviews --
-- Those of the [id, time, rating] that are in the log: log ids differ between stores.
SELECT a.n - 1 AS n, min(v.id) AS id FROM jsonb_array_elements(%(asked)s::jsonb) WITH ORDINALITY AS a (key, n) JOIN review_events v
ON v.memory_id = (a.key ->> 0)::uuid AND v.timestamp = (a.key ->> 1)::timestamptz AND v.rating = (a.key ->> 2)::integer
GROUP BY a.n

-- list_reviews --
-- Reviews of a memory, oldest first.
SELECT v.id, v.memory_id::text AS memory_id, v.timestamp, v.rating, v.prior_state, v.new_state, v.undoes, v.weights_hash
FROM review_events v WHERE v.memory_id = %(id)s::uuid ORDER BY v.id

-- list_reviews_of --
-- Reviews of the memories, oldest first.
SELECT v.id, v.memory_id::text AS memory_id, v.timestamp, v.rating, v.prior_state, v.new_state, v.undoes, v.weights_hash
FROM review_events v WHERE v.memory_id = ANY (%(ids)s::uuid[]) ORDER BY v.id

-- count_reviews_of --
-- Number of reviews of the memories, undone ones included.
SELECT count(*) AS n FROM review_events v WHERE v.memory_id = ANY (%(ids)s::uuid[])

-- list_reviews_since --
-- Reviews since a time (of a session), oldest first.
SELECT v.id, v.memory_id::text AS memory_id, v.timestamp, v.rating, v.prior_state, v.new_state, v.undoes, v.weights_hash
FROM review_events v WHERE v.timestamp >= %(since)s ORDER BY v.id

-- last_review --
-- Last review of a memory that was not undone.
SELECT v.id, v.memory_id::text AS memory_id, v.timestamp, v.rating, v.prior_state, v.new_state, v.undoes, v.weights_hash FROM review_events v
WHERE v.memory_id = %(id)s::uuid AND v.undoes IS NULL
AND /*= not_undone */
ORDER BY v.id DESC LIMIT 1

-- list_grades --
-- Grades in force since a time, with what statistics group them by, oldest first.
SELECT v.memory_id::text AS memory_id, v.timestamp, v.rating, coalesce((v.prior_state ->> 'reps')::integer, 0) AS prior_reps, m.node_type, m.tags, m.created_at
FROM review_events v JOIN knowledge_nodes m ON m.id = v.memory_id
WHERE v.timestamp >= %(since)s AND v.undoes IS NULL AND /*= not_undone */ /*filters*/ ORDER BY v.id

-- list_schedules --
-- Schedules of the memories that are reviewed and do not rest.
SELECT s.memory_id::text AS scheduled, s.stability, s.difficulty, s.retrievability, s.last_review, s.next_review, s.reps, s.lapses
FROM scheduling s JOIN knowledge_nodes m ON m.id = s.memory_id
WHERE s.reps > 0 AND s.next_review IS NOT NULL /*= not_resting */ /*filters*/

-- list_reviewed --
-- The next memories that have both a schedule and reviews, by id.
SELECT s.memory_id::text AS id FROM scheduling s JOIN knowledge_nodes m ON m.id = s.memory_id
WHERE s.reps > 0 AND EXISTS (SELECT 1 FROM review_events v WHERE v.memory_id = s.memory_id) /*after*/
ORDER BY s.memory_id LIMIT %(limit)s

-- after_reviewed --
-- Keyset pagination: memories after the cursor.
AND s.memory_id > %(after_id)s::uuid

-- lock_weights --
-- Serialize those who apply weights until the write commits.
SELECT pg_advisory_xact_lock(hashtextextended('vestige weights ' || current_schema(), 0))

-- weights_columns --
-- Columns of weights.
w.hash, w.algorithm, w.weights, w.created_at, w.applied_at

-- get_applied_weights --
-- The weights in force: those that were applied last.
SELECT /*= weights_columns */ FROM review_weights w WHERE w.applied_at IS NOT NULL ORDER BY w.applied_at DESC, w.hash LIMIT 1

-- get_weights --
-- Weights by their hash.
SELECT /*= weights_columns */ FROM review_weights w WHERE w.hash = %(hash)s

-- insert_weights_if_absent --
-- Keep weights that a review or a change names.
INSERT INTO review_weights (hash, algorithm, weights, created_at)
VALUES (%(hash)s, %(algorithm)s, %(weights)s, %(created_at)s) ON CONFLICT (hash) DO NOTHING

-- set_weights_applied --
-- Set the time at which weights were applied, NULL for never.
UPDATE review_weights SET applied_at = %(applied_at)s::timestamptz WHERE hash = %(hash)s

-- get_marks --
-- Marks of a memory.
SELECT k.suspended, k.buried_until, k.pinned, k.cleared_lapses FROM review_marks k WHERE k.memory_id = %(id)s::uuid

-- list_marks_of --
-- Marks of the memories that have any.
SELECT k.memory_id::text AS memory_id, k.suspended, k.buried_until, k.pinned, k.cleared_lapses FROM review_marks k WHERE k.memory_id = ANY (%(ids)s::uuid[])

-- put_marks --
-- Upsert the marks of a memory.
INSERT INTO review_marks (memory_id, suspended, buried_until, pinned, cleared_lapses)
VALUES (%(id)s::uuid, %(suspended)s, %(buried_until)s, %(pinned)s, %(cleared_lapses)s)
ON CONFLICT (memory_id) DO UPDATE SET suspended = excluded.suspended, buried_until = excluded.buried_until,
    pinned = excluded.pinned, cleared_lapses = excluded.cleared_lapses

-- list_marks --
-- Memories with marks.
SELECT k.memory_id::text AS memory_id, k.suspended, k.buried_until, k.pinned, k.cleared_lapses FROM review_marks k
WHERE k.suspended OR k.buried_until IS NOT NULL OR k.pinned OR k.cleared_lapses > 0 ORDER BY k.memory_id

-- insert_marks_if_absent --
-- Insert imported marks unless the memory has marks.
INSERT INTO review_marks (memory_id, suspended, buried_until, pinned, cleared_lapses)
VALUES (%(id)s::uuid, %(suspended)s, %(buried_until)s, %(pinned)s, %(cleared_lapses)s) ON CONFLICT (memory_id) DO NOTHING

-- get_model --
-- Registered embedding model.
SELECT name, dimension, hash, created_at, document_template, query_template FROM embedding_model

-- put_model --
-- Register the embedding model.
INSERT INTO embedding_model (id, name, dimension, hash, created_at, document_template, query_template)
VALUES (1, %(name)s, %(dimension)s, %(hash)s, %(created_at)s, %(document_template)s, %(query_template)s)

-- set_model_hash --
-- Update the hash after a change of the model's build.
UPDATE embedding_model SET hash = %(hash)s WHERE id = 1

-- count_model_changes --
-- Number of model changes since a time.
SELECT count(*) AS n FROM model_changes WHERE changed_at >= %(since)s

-- sample_embeddings --
-- Even sample of active memories with vectors, and the model of these vectors.
SELECT m.id::text AS id, m.content, e.embedding::vector AS embedding, k.name AS model, k.dimension, k.hash
FROM (SELECT n.node_id, row_number() OVER (ORDER BY n.node_id) - 1 AS place, count(*) OVER () AS total
    FROM node_embeddings n JOIN knowledge_nodes h ON h.id = n.node_id WHERE h.superseded_by IS NULL) p
JOIN node_embeddings e ON e.node_id = p.node_id JOIN knowledge_nodes m ON m.id = p.node_id CROSS JOIN embedding_model k
WHERE (p.place + 1) * %(sample)s::bigint / p.total > p.place * %(sample)s::bigint / p.total ORDER BY p.place

-- stamp_width --
-- Set the column's width while there are no vectors.
ALTER TABLE node_embeddings ALTER COLUMN embedding TYPE {vector}({width}), ALTER COLUMN embedding SET STORAGE PLAIN

-- count_vectors_by_width --
-- Number of stored vectors by width.
SELECT vector_dims(e.embedding) AS width, count(*) AS n FROM node_embeddings e GROUP BY 1 ORDER BY n DESC

-- list_embeddings_by_width --
-- Zero vectors of one width; the type itself rejects non-finite values.
SELECT 0 AS seq, e.node_id::text AS node_id, e.embedding::vector AS embedding FROM node_embeddings e WHERE vector_dims(e.embedding) = %(width)s
AND vector_norm(e.embedding::vector) = 0 AND %(seq)s = 0 LIMIT %(limit)s

-- list_without_embedding --
-- Memories without a vector, in id order.
SELECT m.id::text AS id, m.content FROM knowledge_nodes m WHERE m.id > %(after_id)s::uuid
AND NOT EXISTS (SELECT 1 FROM node_embeddings e WHERE e.node_id = m.id) ORDER BY m.id LIMIT %(limit)s

-- insert_embedding_if_current --
-- Optimistic locking: insert a vector only if text and model are unchanged and there is none yet.
INSERT INTO node_embeddings (node_id, embedding)
SELECT m.id, v.embedding FROM (SELECT %(embedding)s::{vector} AS embedding OFFSET 0) v, knowledge_nodes m
WHERE m.id = %(id)s::uuid AND m.content = %(content)s AND /*= still_registered */ ON CONFLICT (node_id) DO NOTHING

-- put_edge --
-- Upsert a link.
INSERT INTO edges (source_id, target_id, edge_type, weight, created_at)
VALUES (%(source_id)s::uuid, %(target_id)s::uuid, %(edge_type)s, %(weight)s, %(created_at)s)
ON CONFLICT (source_id, target_id, edge_type) DO UPDATE SET weight = excluded.weight

-- export_domains --
-- All domains, without their centroids.
SELECT d.id, d.label, d.top_terms, d.memory_count, d.created_at, d.metadata FROM domains d

-- find_users --
-- Those of the ids that are users.
SELECT u.id::text AS id FROM users u WHERE u.id = ANY(%(ids)s::uuid[])

-- find_groups --
-- Those of the ids that are groups.
SELECT g.id::text AS id FROM groups g WHERE g.id = ANY(%(ids)s::uuid[])

-- insert_user_if_absent --
-- Insert an imported user unless the id or the handle is taken.
INSERT INTO users (id, handle, display_name, created_at, metadata)
VALUES (%(id)s::uuid, %(handle)s, %(display_name)s, %(created_at)s, %(metadata)s) ON CONFLICT DO NOTHING

-- insert_group_if_absent --
-- Insert an imported group unless the id or the handle is taken.
INSERT INTO groups (id, handle, display_name, created_at, metadata)
VALUES (%(id)s::uuid, %(handle)s, %(display_name)s, %(created_at)s, %(metadata)s) ON CONFLICT DO NOTHING

-- insert_membership_if_absent --
-- Insert an imported membership unless the user is in the group.
INSERT INTO group_memberships (user_id, group_id, role, joined_at)
VALUES (%(user_id)s::uuid, %(group_id)s::uuid, %(role)s, %(joined_at)s) ON CONFLICT (user_id, group_id) DO NOTHING

-- insert_domain_if_absent --
-- Insert an imported domain unless it is there.
INSERT INTO domains (id, label, top_terms, memory_count, created_at, metadata)
VALUES (%(id)s, %(label)s, %(top_terms)s, %(memory_count)s, %(created_at)s, %(metadata)s) ON CONFLICT (id) DO NOTHING

-- insert_edge_if_absent --
-- Insert an imported link unless there is one of that type.
INSERT INTO edges (source_id, target_id, edge_type, weight, created_at)
VALUES (%(source_id)s::uuid, %(target_id)s::uuid, %(edge_type)s, %(weight)s, %(created_at)s)
ON CONFLICT (source_id, target_id, edge_type) DO NOTHING

-- get_edge --
-- Link by its key.
SELECT g.source_id::text AS source_id, g.target_id::text AS target_id, g.edge_type, g.weight, g.created_at FROM edges g
WHERE g.source_id = %(source_id)s::uuid AND g.target_id = %(target_id)s::uuid AND g.edge_type = %(edge_type)s

-- list_edges --
-- Links of the memories, in both directions.
SELECT g.source_id::text AS source_id, g.target_id::text AS target_id, g.edge_type, g.weight, g.created_at FROM edges g
WHERE g.source_id = ANY (%(ids)s::uuid[]) OR g.target_id = ANY (%(ids)s::uuid[])
ORDER BY g.source_id, g.target_id, g.edge_type COLLATE "C"

-- delete_edge --
-- Delete a link.
DELETE FROM edges WHERE source_id = %(source_id)s::uuid AND target_id = %(target_id)s::uuid AND edge_type = %(edge_type)s

-- lock_supersession --
-- Serialize supersessions: the check for cycles and the event share one lock.
SELECT pg_advisory_xact_lock(8317441095320002)

-- insert_event --
-- Append a supersession event; a trigger updates the cached winner.
INSERT INTO supersession_events (loser_id, winner_id, kind, decided_at)
VALUES (%(loser_id)s::uuid, %(winner_id)s::uuid, %(kind)s, %(decided_at)s) RETURNING id

-- append_event --
-- Append a supersession event of many; a trigger updates the cached winner.
INSERT INTO supersession_events (loser_id, winner_id, kind, decided_at)
VALUES (%(loser_id)s::uuid, %(winner_id)s::uuid, %(kind)s, %(decided_at)s)

-- find_events --
-- Those of the [loser, time, winner, kind] that are in the log.
SELECT a.n - 1 AS n FROM jsonb_array_elements(%(asked)s::jsonb) WITH ORDINALITY AS a (key, n) WHERE EXISTS (
    SELECT 1 FROM supersession_events v WHERE v.loser_id = (a.key ->> 0)::uuid AND v.decided_at = (a.key ->> 1)::timestamptz
        AND v.winner_id IS NOT DISTINCT FROM (a.key ->> 2)::uuid AND v.kind = a.key ->> 3)

-- list_events --
-- Supersession events of a memory as loser or winner, in order.
SELECT v.id, v.loser_id::text AS loser_id, v.winner_id::text AS winner_id, v.kind, v.decided_at FROM supersession_events v
WHERE v.loser_id = %(id)s::uuid OR v.winner_id = %(id)s::uuid ORDER BY v.decided_at, v.id

-- list_lost_events --
-- Supersession events of the memories as losers, in order.
SELECT v.id, v.loser_id::text AS loser_id, v.winner_id::text AS winner_id, v.kind, v.decided_at FROM supersession_events v
WHERE v.loser_id = ANY (%(ids)s::uuid[]) ORDER BY v.decided_at, v.id

-- get_winner --
-- Current winner over a memory.
SELECT m.superseded_by::text AS superseded_by FROM knowledge_nodes m WHERE m.id = %(id)s::uuid

-- list_losers --
-- Memories that the given ones replace.
SELECT /*= memory_columns */ FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id
WHERE m.superseded_by = ANY (%(ids)s::uuid[]) ORDER BY m.created_at, m.id

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
SELECT current_setting('server_version') AS version

-- path_schemas --
-- Schemas of the search path that exist, usable by the role or not; the server leaves out the others without a word.
SELECT n.oid, n.nspname, e.place FROM (
    SELECT (CASE WHEN p.m[1] IS NULL THEN lower(p.m[2]) WHEN p.m[1] = '$user' THEN current_user::text
        ELSE replace(p.m[1], '""', '"') END)::name AS name, p.place
    FROM regexp_matches(current_setting('search_path'), '"((?:[^"]|"")*)"|([^[:space:],"]+)', 'g') WITH ORDINALITY AS p (m, place)
) e JOIN pg_namespace n ON n.nspname = e.name

-- preflight --
-- Server version, availability of pgvector, names and privileges of the role. closed_schema is one that the role may not
-- use: the search path would have come to it first.
SELECT current_setting('server_version_num')::integer AS server_version_num, current_setting('server_version') AS server_version,
    (SELECT default_version FROM pg_available_extensions WHERE name = 'vector') AS available,
    v.extversion AS installed, v.schema AS vector_schema, v.usable AS may_use_vector,
    current_setting('default_transaction_read_only')::boolean AS read_only,
    (SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only') AS read_only_source,
    pg_is_in_recovery() AS standby, current_setting('session_replication_role') = 'replica' AS replica_session,
    quote_ident(current_user) AS role, quote_ident(current_database()) AS database,
    current_setting('search_path') AS search_path, quote_ident(current_schema()) AS schema,
    (SELECT quote_ident(c.nspname) FROM (/*= path_schemas */) c WHERE NOT has_schema_privilege(c.oid, 'USAGE')
        AND (current_schema() IS NULL OR (c.place < (SELECT min(u.place) FROM (/*= path_schemas */) u WHERE u.nspname = current_schema())
            AND EXISTS (SELECT FROM pg_class t WHERE t.relnamespace = c.oid AND t.relname = 'vestige_migrations')))
        ORDER BY EXISTS (SELECT FROM pg_class t WHERE t.relnamespace = c.oid AND t.relname = 'vestige_migrations') DESC, c.place
        LIMIT 1) AS closed_schema,
    EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = s.oid AND c.relrowsecurity AND row_security_active(c.oid)
        AND c.relname IN (/*= store_tables */)) AS row_security,
    CASE WHEN m.oid IS NULL OR j.oid IS NULL THEN ''
        WHEN NOT (has_any_column_privilege(m.oid, 'INSERT, UPDATE') OR has_table_privilege(m.oid, 'DELETE')) THEN 'changes'
        WHEN NOT has_any_column_privilege(j.oid, 'INSERT') THEN 'journal'
        WHEN NOT has_sequence_privilege(q.oid, 'USAGE, UPDATE') THEN 'journal sequence'
        ELSE '' END AS lacks,
    quote_ident(j.relname) AS journal, quote_ident(q.relname) AS journal_sequence
FROM (SELECT (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AS oid) s
LEFT JOIN pg_class m ON m.relnamespace = s.oid AND m.relname = 'knowledge_nodes'
LEFT JOIN pg_class j ON j.relnamespace = s.oid AND j.relname = 'journal'
LEFT JOIN pg_class q ON q.relkind = 'S' AND q.oid IN (SELECT d.objid FROM pg_depend d
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = j.oid AND d.deptype = 'a')
LEFT JOIN (SELECT x.extversion, quote_ident(n.nspname) AS schema, has_schema_privilege(n.oid, 'USAGE') AS usable
    FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace WHERE x.extname = 'vector') v ON true

-- list_row_security --
-- Tables with policies that apply to the role: hidden where a policy may hide rows, else one may refuse a change. A
-- policy with the bare condition true does neither. owned: the policies are forced upon the owner.
WITH applied AS (SELECT p.polrelid, p.polcmd, p.polpermissive, coalesce(pg_get_expr(p.polqual, p.polrelid), 'true') AS sees,
        coalesce(pg_get_expr(p.polwithcheck, p.polrelid), pg_get_expr(p.polqual, p.polrelid), 'true') AS takes
    FROM pg_policy p WHERE 0 = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) AS r (oid) WHERE pg_has_role(r.oid, 'USAGE')))
SELECT quote_ident(current_schema()) || '.' || quote_ident(c.relname) AS name, bool_or(k.command = 'r') AS hidden,
    pg_has_role(c.relowner, 'USAGE') AS owned
FROM pg_class c CROSS JOIN unnest('{r,a,w,d}'::"char"[]) AS k (command)
WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relname IN (/*= store_tables */) AND row_security_active(c.oid)
    AND NOT (EXISTS (SELECT FROM applied p WHERE p.polrelid = c.oid AND p.polcmd IN ('*', k.command)
            AND p.polpermissive AND p.sees = 'true' AND p.takes = 'true')
        AND NOT EXISTS (SELECT FROM applied p WHERE p.polrelid = c.oid AND p.polcmd IN ('*', k.command) AND NOT p.polpermissive))
GROUP BY c.relname, c.relowner ORDER BY c.relname

-- list_missing_rights --
-- Rights of the role in the schema and the database, in the first row; then of each table and sequence those that it
-- lacks of the given ones, with the owner.
SELECT '' AS name, '' AS kind, '' AS object, '' AS rights, quote_ident(current_user) AS role, '' AS owner, true AS owned,
    quote_ident(current_schema()) AS schema, quote_ident(current_database()) AS database,
    has_schema_privilege(current_schema(), 'CREATE') AS may_create, has_database_privilege(current_database(), 'TEMPORARY') AS may_stage,
    EXISTS (SELECT FROM pg_extension WHERE extname = 'vector') AS has_vector, 0 AS place
UNION ALL
SELECT t.relname::text, o.kind, quote_ident(current_schema()) || '.' || quote_ident(o.name), o.rights, '', quote_ident(pg_get_userbyid(t.relowner)),
    pg_has_role(t.relowner, 'USAGE'), '', '', true, true, true, 1
FROM pg_class t CROSS JOIN LATERAL (
    SELECT 'table' AS kind, t.relname AS name, coalesce(string_agg(p.name, ', ' ORDER BY p.place), '') AS rights
    FROM unnest(%(rights)s::text[]) WITH ORDINALITY AS p (name, place) WHERE NOT has_table_privilege(t.oid, p.name)
    UNION ALL
    SELECT 'sequence', q.relname, CASE WHEN has_sequence_privilege(q.oid, 'USAGE, UPDATE') THEN '' ELSE 'USAGE' END
    FROM pg_depend d JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid AND d.deptype = 'a'
    AND 'INSERT' = ANY (%(rights)s::text[])
) o
WHERE t.relnamespace = quote_ident(current_schema())::regnamespace AND t.relname IN ('vestige_migrations', /*= store_tables */)
ORDER BY place, name, kind DESC

-- list_databases --
-- Databases of a server that accept sessions.
SELECT datname::text AS name FROM pg_database WHERE datallowconn ORDER BY 1

-- list_all_tables --
-- Every table of a database with rows of its own, and a statement that counts them, but those of the server itself.
SELECT n.nspname || '.' || c.relname AS name,
    'SELECT count(*) FROM ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS statement
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1, 2

-- list_unrestorable --
-- Statements that let a dump of a schema without the migration folding be restored: its functions are bound by no name.
SELECT 'ALTER FUNCTION ' || p.oid::regprocedure || ' SET search_path = ' || quote_ident(n.nspname) || ', pg_catalog' AS statement
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.proname = 'vestige_words' AND p.proconfig IS NULL AND p.prosqlbody IS NULL

-- identify_store --
-- Identity of server, database and tables, the same on a primary and its standbys, and the newest migration.
SELECT CASE WHEN has_function_privilege('pg_control_system()', 'EXECUTE')
        THEN (SELECT system_identifier FROM pg_control_system()) END AS system,
    (SELECT oid FROM pg_database WHERE datname = current_database())::bigint AS database,
    to_regclass('knowledge_nodes')::oid::bigint AS tables, pg_is_in_recovery() AS standby,
    (SELECT max(version) FROM vestige_migrations) AS migrated_to

-- read_position --
-- Position in the write-ahead log behind all that is committed.
SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END)::text AS position

-- compare_position --
-- Whether a standby has replayed the write-ahead log up to a position, and the bytes that it lacks.
SELECT coalesce(pg_last_wal_replay_lsn() >= %(position)s::pg_lsn, false) AS replayed,
    pg_wal_lsn_diff(%(position)s::pg_lsn, pg_last_wal_replay_lsn()) AS behind

-- find_index --
-- Index of the vectors by cosine distance, if there is one: of any method and name, a valid one first, then our own.
SELECT c.relname::text AS name, a.amname::text AS method, i.indisvalid AS valid, c.relname = 'idx_node_embeddings_hnsw' AS own,
    substring(pg_get_indexdef(c.oid) FROM ' USING (.*)$') AS definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
JOIN pg_attribute t ON t.attrelid = i.indrelid AND t.attnum = i.indkey[0] AND t.attname = 'embedding'
WHERE i.indrelid = to_regclass('node_embeddings') AND EXISTS (
    SELECT FROM pg_opclass k JOIN pg_amop m ON m.amopfamily = k.opcfamily JOIN pg_operator o ON o.oid = m.amopopr
    WHERE k.oid = i.indclass[0] AND o.oprname = '<=>')
ORDER BY i.indisvalid DESC, own DESC, c.relname LIMIT 1

-- list_vector_faults --
-- Vectors that no search can compare: how many of each fault, and the first memory. The type allows no infinite ones.
SELECT fault, count(*) AS n, min(node_id::text) AS id FROM (
    SELECT node_id, CASE WHEN vector_dims(embedding) <> %(width)s THEN 'width'
        WHEN vector_norm(embedding::vector) = 0 THEN 'zero' ELSE '' END AS fault
    FROM node_embeddings
) f WHERE fault <> '' GROUP BY fault

-- list_row_faults --
-- Times beyond the years 1 to 9999, and JSON of another kind: how many memories of each fault, and the first one.
SELECT fault, count(*) AS n, min(id::text) AS id FROM (
    SELECT 'time' AS fault, id FROM knowledge_nodes WHERE created_at NOT BETWEEN '0001-01-02' AND '9999-12-30'
        OR updated_at NOT BETWEEN '0001-01-02' AND '9999-12-30'
    UNION SELECT 'time', memory_id FROM scheduling WHERE last_review NOT BETWEEN '0001-01-02' AND '9999-12-30'
        OR next_review NOT BETWEEN '0001-01-02' AND '9999-12-30'
    UNION SELECT 'time', memory_id FROM review_events WHERE timestamp NOT BETWEEN '0001-01-02' AND '9999-12-30'
    UNION SELECT 'time', source_id FROM edges WHERE created_at NOT BETWEEN '0001-01-02' AND '9999-12-30'
    UNION SELECT 'json', id FROM knowledge_nodes
    WHERE jsonb_typeof(metadata) <> 'object' OR jsonb_typeof(domain_scores) <> 'object'
) f GROUP BY fault

-- describe_server --
-- Server, connection and extension versions.
SELECT current_setting('server_version') AS version, host(inet_server_addr()) AS host, inet_server_port() AS port,
    current_database()::text AS database, current_user::text AS username, pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS recovering,
    (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS vector_version,
    (SELECT default_version FROM pg_available_extensions WHERE name = 'vector') AS available,
    (SELECT pg_encoding_to_char(d.encoding) FROM pg_database d WHERE d.datname = current_database()) AS encoding

-- list_sessions --
-- Sessions of the database, own ones first, then the most recent; details of other roles may be hidden.
SELECT a.pid, a.application_name AS application, coalesce(a.usename::text, '') AS username, a.state,
    coalesce(a.state_change, a.backend_start) AS since, a.pid = ANY (%(mine)s::integer[]) AS mine
FROM pg_stat_activity a WHERE a.datname = current_database() AND (a.backend_type = 'client backend' OR a.backend_type IS NULL)
ORDER BY mine DESC, since DESC NULLS LAST, a.pid LIMIT %(limit)s

-- list_blockers --
-- Sessions that hold the locks that these sessions wait for; 0 is a prepared transaction, details may be hidden.
SELECT w.pid AS waiting, b.pid, a.application_name AS application, coalesce(a.usename::text, '') AS username, a.state,
    coalesce(a.xact_start, a.backend_start) AS since, false AS mine
FROM (SELECT DISTINCT pid FROM unnest(%(waiting)s::integer[]) AS pid) w
CROSS JOIN LATERAL (SELECT DISTINCT pid FROM unnest(pg_blocking_pids(w.pid)) AS pid) b
LEFT JOIN pg_stat_activity a ON a.pid = b.pid
ORDER BY w.pid, since, b.pid

-- list_sizes --
-- Bytes of each table, its indexes and TOAST, with vacuum statistics; largest first.
SELECT c.relname::text AS name, pg_relation_size(c.oid) AS heap, pg_indexes_size(c.oid) AS indexes,
    pg_total_relation_size(c.oid) - pg_relation_size(c.oid) - pg_indexes_size(c.oid) AS outside,
    s.n_live_tup AS rows, s.n_dead_tup AS dead_rows,
    greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed_at, greatest(s.last_analyze, s.last_autoanalyze) AS analyzed_at
FROM pg_class c LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind IN ('r', 'm')
ORDER BY pg_total_relation_size(c.oid) DESC, c.relname

-- list_vacuumable --
-- Tables that this role may vacuum, largest first; the server skips others with a mere warning.
SELECT c.relname::text AS name FROM pg_class c
WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind IN ('r', 'm')
    AND (pg_has_role(c.relowner, 'USAGE') OR pg_has_role((SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE'))
ORDER BY pg_total_relation_size(c.oid) DESC, c.relname

-- read_size --
-- Size in bytes.
SELECT pg_database_size(current_database()) AS n

-- locate_store --
-- Location of a store: the run of its server, its database and its schema.
SELECT pg_postmaster_start_time()::text AS started, current_database()::text AS database, current_schema()::text AS schema

-- find_channel --
-- NOTIFY channel and lock key of this store; a standby cannot LISTEN.
SELECT 'vestige_' || key AS channel, key, pg_backend_pid() AS process, pg_is_in_recovery() AS standby
FROM (SELECT hashtextextended('vestige ' || current_schema(), 0) AS key) AS store

-- hold_channel --
-- Shared advisory lock of listeners: while it is held, commits send NOTIFY.
SELECT pg_advisory_lock_shared(%(key)s::bigint)

-- find_horizon --
-- Transaction id: writers that began before it may have checked for listeners too early.
SELECT pg_current_xact_id()::text AS horizon

-- find_unheard --
-- True while a transaction from before the horizon may be in progress.
SELECT pg_snapshot_xmin(pg_current_snapshot()) < %(horizon)s::xid8 AS unheard

-- read_change_token --
-- Change token from table statistics, which lag behind commits; on a standby with the replayed WAL position.
SELECT coalesce(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END::text, '') || coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint AS token FROM pg_stat_user_tables WHERE schemaname = current_schema()

-- vacuum --
-- Reclaim the dead rows of a table and update planner statistics, without blocking reads or writes.
VACUUM (ANALYZE) {table}
