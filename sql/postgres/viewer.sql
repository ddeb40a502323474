-- Tables as one user may see them; ../sqlite/viewer.sql has the same names. Every query of a store that is viewed as a
-- user gets them as common table expressions under the names of the tables, so that it reads them instead.

-- visible --
-- Condition: the viewer may see memory m. Its owner sees it, members of a group that it is shared with, or everybody.
(m.owner_user_id = %(viewer)s::uuid OR m.visibility = 'public' OR (m.visibility = 'group'
    AND m.shared_with_groups && ARRAY(SELECT p.group_id FROM {schema}.group_memberships p WHERE p.user_id = %(viewer)s::uuid)))

-- viewed_knowledge_nodes --
-- Memories that the viewer may see. One that the viewer may not see replaces none of them.
SELECT m.id, m.content, m.node_type, m.tags, m.metadata, m.domains, m.domain_scores, m.codebase, m.owner_user_id, m.visibility,
    m.shared_with_groups, m.created_at, m.updated_at, m.search_vec,
    CASE WHEN m.superseded_by IS NOT NULL THEN (SELECT n.id FROM (SELECT m.superseded_by AS id) n WHERE NOT EXISTS (
        SELECT 1 FROM {schema}.knowledge_nodes m WHERE m.id = n.id AND NOT /*= visible */)) END AS superseded_by
FROM {schema}.knowledge_nodes m WHERE /*= visible */

-- viewed_node_embeddings --
-- Vectors of these memories.
SELECT t.* FROM {schema}.node_embeddings t WHERE EXISTS (SELECT 1 FROM {schema}.knowledge_nodes m WHERE m.id = t.node_id AND /*= visible */)

-- viewed_spare_embeddings --
-- Vectors of a second model of these memories.
SELECT t.* FROM {schema}.spare_embeddings t WHERE EXISTS (SELECT 1 FROM {schema}.knowledge_nodes m WHERE m.id = t.node_id AND /*= visible */)

-- viewed_scheduling --
-- Schedules of these memories.
SELECT t.* FROM {schema}.scheduling t WHERE EXISTS (SELECT 1 FROM {schema}.knowledge_nodes m WHERE m.id = t.memory_id AND /*= visible */)

-- viewed_review_events --
-- Reviews of these memories.
SELECT t.* FROM {schema}.review_events t WHERE EXISTS (SELECT 1 FROM {schema}.knowledge_nodes m WHERE m.id = t.memory_id AND /*= visible */)

-- viewed_review_marks --
-- Marks of these memories.
SELECT t.* FROM {schema}.review_marks t WHERE EXISTS (SELECT 1 FROM {schema}.knowledge_nodes m WHERE m.id = t.memory_id AND /*= visible */)

-- viewed_edges --
-- Links between two of these memories.
SELECT t.* FROM {schema}.edges t
WHERE EXISTS (SELECT 1 FROM {schema}.knowledge_nodes m WHERE m.id = t.source_id AND /*= visible */)
    AND EXISTS (SELECT 1 FROM {schema}.knowledge_nodes m WHERE m.id = t.target_id AND /*= visible */)

-- viewed_supersession_events --
-- Decisions on these memories, without those for a memory that the viewer may not see.
SELECT t.* FROM {schema}.supersession_events t
WHERE EXISTS (SELECT 1 FROM {schema}.knowledge_nodes m WHERE m.id = t.loser_id AND /*= visible */)
    AND NOT EXISTS (SELECT 1 FROM {schema}.knowledge_nodes m WHERE m.id = t.winner_id AND NOT /*= visible */)

-- viewed_journal --
-- Changes of which the viewer may see every memory: those changed, linked, or replacing one.
SELECT t.* FROM {schema}.journal t
WHERE jsonb_array_length(t.before) + jsonb_array_length(t.after) > 0 AND NOT EXISTS (
    SELECT 1 FROM (SELECT a.value FROM jsonb_array_elements(t.before || t.after) AS a (value)
        UNION ALL SELECT a.value FROM {schema}.journal p CROSS JOIN jsonb_array_elements(p.after) AS a (value)
        WHERE p.id IN (SELECT n.value::bigint FROM jsonb_path_query(t.after, '$[0].further[*]') AS n (value))) AS e (value)
    WHERE e.value ->> 'id' IS NULL OR EXISTS (
        SELECT 1 FROM unnest(ARRAY[e.value ->> 'id', e.value #>> '{edge,target_id}', e.value ->> 'superseded_by']) AS n (id)
        WHERE n.id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {schema}.knowledge_nodes m WHERE m.id::text = n.id AND /*= visible */)))

-- weigh_viewed_words --
-- Each word or phrase as a tsquery, with the number of the viewer's memories that hold its rarest lexeme (at least 1).
SELECT t.w AS word, p.q::text AS query, (SELECT count(*) FROM knowledge_nodes) AS whole,
    coalesce((SELECT min(greatest(1, (SELECT count(*) FROM knowledge_nodes n
        WHERE n.search_vec @@ ('''' || replace(replace(l.lexeme, '\', '\\'), '''', '''''') || '''')::tsquery)))
        FROM unnest(tsvector_to_array(p.v)) AS l (lexeme)), 1) AS documents
FROM unnest(%(words)s::text[]) AS t (w), LATERAL (SELECT phraseto_tsquery('vestige', f) AS q, to_tsvector('vestige', f) AS v
    FROM (SELECT vestige_fold(t.w) AS f OFFSET 0) g OFFSET 0) p
WHERE numnode(p.q) > 0

-- list_users --
-- Users, by handle.
SELECT u.id::text AS id, u.handle, u.display_name, u.created_at, u.metadata FROM users u ORDER BY lower(u.handle) COLLATE "C", u.handle COLLATE "C", u.id

-- list_groups --
-- Groups, by handle.
SELECT u.id::text AS id, u.handle, u.display_name, u.created_at, u.metadata FROM groups u ORDER BY lower(u.handle) COLLATE "C", u.handle COLLATE "C", u.id

-- list_memberships --
-- Memberships of users in groups.
SELECT p.user_id::text AS user_id, p.group_id::text AS group_id, p.role, p.joined_at FROM group_memberships p ORDER BY p.group_id, p.user_id

-- count_owned --
-- Number of memories of each owner, by visibility.
SELECT m.owner_user_id::text AS id, m.visibility, count(*) AS n FROM knowledge_nodes m GROUP BY m.owner_user_id, m.visibility

-- count_shared --
-- Number of memories that are shared with each group.
SELECT j.value::text AS id, count(*) AS n FROM knowledge_nodes m, unnest(m.shared_with_groups) AS j (value)
WHERE m.visibility = 'group' GROUP BY j.value
