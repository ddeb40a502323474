-- Named queries of the journal; ../postgres/journal.sql has the same names. j is an entry of the journal.

-- insert_journal --
-- Append to the journal.
INSERT INTO journal (at, actor, origin, verb, before, after) VALUES (:at, :actor, :origin, :verb, :before, :after) RETURNING id

-- journal_columns --
-- Columns of a journal entry with its snapshots.
j.id, j.at, j.actor, j.origin, j.verb, j.before, j.after, j.undone_by

-- get_journal --
-- Journal entry by id.
SELECT /*= journal_columns */ FROM journal j WHERE j.id = :id

-- last_change --
-- Last change that can be undone, of the chosen entries.
SELECT /*= journal_columns */ FROM journal j
WHERE j.undone_by IS NULL AND j.verb NOT IN ('undo', 'redo', 'part') AND j.id < :before_id /*entries*/ ORDER BY j.id DESC LIMIT 1

-- last_undo --
-- Last undo that can be redone, of the chosen entries.
SELECT /*= journal_columns */ FROM journal j
WHERE j.undone_by IS NULL AND j.verb = 'undo' AND j.id < :before_id /*entries*/ ORDER BY j.id DESC LIMIT 1

-- last_new_change --
-- Number of the last of the chosen entries that is neither an undo nor a redo.
SELECT max(j.id) AS id FROM journal j WHERE j.verb NOT IN ('undo', 'redo', 'part') /*entries*/

-- find_review_entry --
-- Journal entry of a review.
SELECT /*= journal_columns */ FROM journal j
WHERE j.verb = 'review' AND j.undone_by IS NULL AND json_extract(j.after, '$[0].review') = :review ORDER BY j.id DESC LIMIT 1

-- lock_journal --
-- Keep others from undoing or extending a journal entry until the transaction ends.
SELECT j.undone_by FROM journal j WHERE j.id = :id

-- rewrite_journal --
-- Replace the snapshots after a change, of an import that goes on.
UPDATE journal SET after = :after WHERE id = :id

-- mark_undone --
-- Mark a journal entry as undone by another.
UPDATE journal SET undone_by = :undone_by WHERE id = :id AND undone_by IS NULL

-- mark_redone --
-- Remove the mark that another entry has undone a journal entry.
UPDATE journal SET undone_by = NULL WHERE id = :id AND undone_by = :undo

-- journal_line --
-- A journal entry without its snapshots: ids, first snapshot before and after without its large parts, and tags.
SELECT j.id, j.at, j.actor, j.origin, j.verb, j.undone_by,
    (SELECT json_group_array(s.id) FROM (SELECT json_extract(a.value, '$.id') AS id
            FROM json_each(CASE WHEN json_array_length(j.after) > 0 THEN j.after ELSE j.before END) a
        UNION ALL SELECT json_extract(e.value, '$.id') FROM /*= further_snapshots */) s WHERE s.id IS NOT NULL) AS ids,
    json_replace(json_remove(json_extract(j.before, '$[0]'), '$.embedding', '$.model', '$.scheduling', '$.reviews', '$.events', '$.edges', '$.losers', '$.digest', '$.rows', '$.memory.metadata', '$.memory.domain_scores'),
        '$.memory.content', substr(json_extract(j.before, '$[0].memory.content'), 1, :head)) AS before_first,
    json_replace(json_remove(json_extract(j.after, '$[0]'), '$.embedding', '$.model', '$.scheduling', '$.reviews', '$.events', '$.edges', '$.losers', '$.digest', '$.rows', '$.memory.metadata', '$.memory.domain_scores'),
        '$.memory.content', substr(json_extract(j.after, '$[0].memory.content'), 1, :head)) AS after_first,
    CASE WHEN j.verb = 'tag' THEN (SELECT json_group_array(json_extract(e.value, '$.memory.tags'))
        FROM json_each(j.before) e) END AS before_tags,
    CASE WHEN j.verb = 'tag' THEN (SELECT json_group_array(json_extract(e.value, '$.memory.tags'))
        FROM json_each(j.after) e) END AS after_tags
FROM journal j

-- further_snapshots --
-- Snapshots in the parts of the entry of a long import.
journal p, json_each(p.after) e WHERE p.id IN (SELECT value FROM json_each(j.after, '$[0].further'))

-- page_journal --
-- Journal entries before one, newest first.
/*= journal_line */
WHERE j.id < :before_id AND j.verb <> 'part' /*entries*/ ORDER BY j.id DESC LIMIT :limit

-- list_journal_lines --
-- Journal entries by id.
/*= journal_line */
WHERE j.id IN (SELECT value FROM json_each(:ids))

-- list_titles --
-- First characters of memories.
SELECT m.id, substr(m.content, 1, :head) AS content FROM knowledge_nodes m
WHERE m.id IN (SELECT value FROM json_each(:ids))

-- entries_of_actor --
-- Entries of one user.
AND j.actor = :actor

-- entries_of_origin --
-- Entries of one console or command.
AND j.origin = :origin

-- entries_of_verb --
-- Entries of one verb.
AND j.verb = :verb

-- entries_since --
-- Entries from a time on.
AND j.at >= :since

-- entries_of_memory --
-- Entries that changed a memory, linked it, or made it replace another; by the beginning of its id.
AND EXISTS (SELECT 1 FROM (SELECT value FROM json_each(j.before) UNION ALL SELECT value FROM json_each(j.after)
        UNION ALL SELECT e.value FROM /*= further_snapshots */) e
    WHERE :memory IN (substr(json_extract(e.value, '$.id'), 1, length(:memory)),
        substr(json_extract(e.value, '$.edge.target_id'), 1, length(:memory)),
        substr(json_extract(e.value, '$.superseded_by'), 1, length(:memory))))
