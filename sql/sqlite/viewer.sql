-- Tables as one user may see them; ../postgres/viewer.sql has the same names. Each connection of a store that is viewed
-- as a user has a temporary view of each table under the table's own name, so that every query reads it instead; the
-- temporary table viewer holds the user.

-- visible --
-- Condition: the viewer may see memory m. Its owner sees it, members of a group that it is shared with, or everybody.
(m.owner_user_id = (SELECT v.id FROM temp.viewer v) OR m.visibility = 'public' OR (m.visibility = 'group' AND EXISTS (
    SELECT 1 FROM json_each(CASE WHEN json_valid(m.shared_with_groups) THEN m.shared_with_groups ELSE '[]' END) g
    JOIN main.group_memberships p ON p.group_id = g.value WHERE p.user_id = (SELECT v.id FROM temp.viewer v))))

-- viewed_knowledge_nodes --
-- Memories that the viewer may see. One that the viewer may not see replaces none of them.
SELECT m.rowid AS rowid, m.seq, m.id, m.content, m.node_type, m.tags, m.metadata, m.domains, m.domain_scores, m.codebase,
    m.owner_user_id, m.visibility, m.shared_with_groups, m.created_at, m.updated_at,
    (SELECT n.id FROM (SELECT m.superseded_by AS id) n WHERE NOT EXISTS (
        SELECT 1 FROM main.knowledge_nodes m WHERE m.id = n.id AND NOT /*= visible */)) AS superseded_by
FROM main.knowledge_nodes m WHERE /*= visible */

-- viewed_node_embeddings --
-- Vectors of these memories.
SELECT t.rowid AS rowid, t.* FROM main.node_embeddings t WHERE EXISTS (SELECT 1 FROM main.knowledge_nodes m WHERE m.id = t.node_id AND /*= visible */)

-- viewed_spare_embeddings --
-- Vectors of a second model of these memories.
SELECT t.rowid AS rowid, t.* FROM main.spare_embeddings t WHERE EXISTS (SELECT 1 FROM main.knowledge_nodes m WHERE m.id = t.node_id AND /*= visible */)

-- viewed_scheduling --
-- Schedules of these memories.
SELECT t.rowid AS rowid, t.* FROM main.scheduling t WHERE EXISTS (SELECT 1 FROM main.knowledge_nodes m WHERE m.id = t.memory_id AND /*= visible */)

-- viewed_review_events --
-- Reviews of these memories.
SELECT t.rowid AS rowid, t.* FROM main.review_events t WHERE EXISTS (SELECT 1 FROM main.knowledge_nodes m WHERE m.id = t.memory_id AND /*= visible */)

-- viewed_review_marks --
-- Marks of these memories.
SELECT t.rowid AS rowid, t.* FROM main.review_marks t WHERE EXISTS (SELECT 1 FROM main.knowledge_nodes m WHERE m.id = t.memory_id AND /*= visible */)

-- viewed_edges --
-- Links between two of these memories.
SELECT t.rowid AS rowid, t.* FROM main.edges t
WHERE EXISTS (SELECT 1 FROM main.knowledge_nodes m WHERE m.id = t.source_id AND /*= visible */)
    AND EXISTS (SELECT 1 FROM main.knowledge_nodes m WHERE m.id = t.target_id AND /*= visible */)

-- viewed_supersession_events --
-- Decisions on these memories, without those for a memory that the viewer may not see.
SELECT t.rowid AS rowid, t.* FROM main.supersession_events t
WHERE EXISTS (SELECT 1 FROM main.knowledge_nodes m WHERE m.id = t.loser_id AND /*= visible */)
    AND NOT EXISTS (SELECT 1 FROM main.knowledge_nodes m WHERE m.id = t.winner_id AND NOT /*= visible */)

-- viewed_journal --
-- Changes of which the viewer may see every memory: those changed, linked, or replacing one.
SELECT t.rowid AS rowid, t.* FROM main.journal t
WHERE json_array_length(t.before) + json_array_length(t.after) > 0 AND NOT EXISTS (
    SELECT 1 FROM (SELECT value FROM json_each(t.before) UNION ALL SELECT value FROM json_each(t.after)
        UNION ALL SELECT a.value FROM main.journal p, json_each(p.after) a
        WHERE p.id IN (SELECT value FROM json_each(t.after, '$[0].further'))) e
    WHERE json_extract(e.value, '$.id') IS NULL OR EXISTS (
        SELECT 1 FROM json_each(json_array(json_extract(e.value, '$.id'), json_extract(e.value, '$.edge.target_id'),
            json_extract(e.value, '$.superseded_by'))) n
        WHERE n.value IS NOT NULL AND NOT EXISTS (SELECT 1 FROM main.knowledge_nodes m WHERE m.id = n.value AND /*= visible */)))

-- create_viewer --
-- The table of the viewer, on one connection.
CREATE TEMP TABLE viewer (id TEXT NOT NULL)

-- put_viewer --
-- Set the viewer of a connection.
INSERT INTO temp.viewer (id) VALUES (:id)

-- list_stored_embeddings_after --
-- Vectors after a seq as list_embeddings_after gives them, also those of memories that the viewer may not see.
SELECT e.seq, (SELECT m.seq FROM main.knowledge_nodes m WHERE m.id = e.node_id) AS memory, e.embedding
FROM main.node_embeddings e WHERE e.seq > :seq AND /*= still_the_same */

-- list_stored_embedding_seqs --
-- Seqs of all these vectors as one text, and a flag for an unchanged model.
SELECT (SELECT group_concat(e.seq) FROM main.node_embeddings e) AS seqs, /*= still_the_same */ AS same

-- measure_stored_embeddings --
-- Number of these vectors, last seq, model, and the id of the last model change.
SELECT count(*) AS n, coalesce(max(e.seq), 0) AS last, (SELECT k.name FROM embedding_model k) AS model,
    (SELECT k.dimension FROM embedding_model k) AS dimension, (SELECT coalesce(max(id), 0) FROM model_changes) AS turn
FROM main.node_embeddings e

-- list_text_lengths --
-- Memories in the text index with the number of tokens of each of its columns, as FTS5 writes numbers.
SELECT d.id, d.sz FROM knowledge_fts_docsize d

-- read_text_totals --
-- Number of memories in the text index and of their tokens, by column, as FTS5 writes numbers.
SELECT d.block FROM knowledge_fts_data d WHERE d.id = 1

-- list_users --
-- Users, by handle.
SELECT u.id, u.handle, u.display_name, u.created_at, u.metadata FROM users u ORDER BY lower(u.handle), u.handle, u.id

-- list_groups --
-- Groups, by handle.
SELECT u.id, u.handle, u.display_name, u.created_at, u.metadata FROM groups u ORDER BY lower(u.handle), u.handle, u.id

-- list_memberships --
-- Memberships of users in groups.
SELECT p.user_id, p.group_id, p.role, p.joined_at FROM group_memberships p ORDER BY p.group_id, p.user_id

-- count_owned --
-- Number of memories of each owner, by visibility.
SELECT m.owner_user_id AS id, m.visibility, count(*) AS n FROM knowledge_nodes m GROUP BY m.owner_user_id, m.visibility

-- count_shared --
-- Number of memories that are shared with each group.
SELECT j.value AS id, count(*) AS n
FROM knowledge_nodes m, json_each(CASE WHEN json_valid(m.shared_with_groups) THEN m.shared_with_groups ELSE '[]' END) j
WHERE m.visibility = 'group' GROUP BY j.value
