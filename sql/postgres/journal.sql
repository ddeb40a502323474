-- Named queries of the journal; ../sqlite/journal.sql has the same names. j is an entry of the journal.

-- insert_journal --
-- Append to the journal.
INSERT INTO journal (at, actor, origin, verb, before, after) VALUES (%(at)s, %(actor)s, %(origin)s, %(verb)s, %(before)s, %(after)s) RETURNING id

-- journal_columns --
-- Columns of a journal entry with its snapshots.
j.id, j.at, j.actor, j.origin, j.verb, j.before, j.after, j.undone_by

-- get_journal --
-- Journal entry by id.
SELECT /*= journal_columns */ FROM journal j WHERE j.id = %(id)s

-- last_change --
-- Last change that can be undone, of the chosen entries.
SELECT /*= journal_columns */ FROM journal j
WHERE j.undone_by IS NULL AND j.verb NOT IN ('undo', 'redo', 'part') AND j.id < %(before_id)s /*entries*/ ORDER BY j.id DESC LIMIT 1

-- last_undo --
-- Last undo that can be redone, of the chosen entries.
SELECT /*= journal_columns */ FROM journal j
WHERE j.undone_by IS NULL AND j.verb = 'undo' AND j.id < %(before_id)s /*entries*/ ORDER BY j.id DESC LIMIT 1

-- last_new_change --
-- Number of the last of the chosen entries that is neither an undo nor a redo.
SELECT max(j.id) AS id FROM journal j WHERE j.verb NOT IN ('undo', 'redo', 'part') /*entries*/

-- find_review_entry --
-- Journal entry of a review.
SELECT /*= journal_columns */ FROM journal j
WHERE j.verb = 'review' AND j.undone_by IS NULL AND (j.after -> 0 ->> 'review')::bigint = %(review)s ORDER BY j.id DESC LIMIT 1

-- lock_journal --
-- Keep others from undoing or extending a journal entry until the transaction ends.
SELECT j.undone_by FROM journal j WHERE j.id = %(id)s FOR UPDATE

-- rewrite_journal --
-- Replace the snapshots after a change, of an import that goes on.
UPDATE journal SET after = %(after)s WHERE id = %(id)s

-- mark_undone --
-- Mark a journal entry as undone by another.
UPDATE journal SET undone_by = %(undone_by)s WHERE id = %(id)s AND undone_by IS NULL

-- mark_redone --
-- Remove the mark that another entry has undone a journal entry.
UPDATE journal SET undone_by = NULL WHERE id = %(id)s AND undone_by = %(undo)s

-- journal_line --
-- A journal entry without its snapshots: ids, first snapshot before and after without its large parts, and tags.
SELECT j.id, j.at, j.actor, j.origin, j.verb, j.undone_by,
    jsonb_path_query_array(CASE WHEN jsonb_array_length(j.after) > 0 THEN j.after ELSE j.before END, '$[*].id')
        || coalesce((SELECT jsonb_agg(e.value -> 'id' ORDER BY p.id) FROM /*= further_snapshots */), '[]') AS ids,
    jsonb_set((j.before -> 0) - '{embedding,model,scheduling,reviews,events,edges,losers,digest,rows}'::text[] #- '{memory,metadata}' #- '{memory,domain_scores}',
        '{memory,content}', to_jsonb(left(coalesce(j.before #>> '{0,memory,content}', ''), %(head)s::int)), false) AS before_first,
    jsonb_set((j.after -> 0) - '{embedding,model,scheduling,reviews,events,edges,losers,digest,rows}'::text[] #- '{memory,metadata}' #- '{memory,domain_scores}',
        '{memory,content}', to_jsonb(left(coalesce(j.after #>> '{0,memory,content}', ''), %(head)s::int)), false) AS after_first,
    CASE WHEN j.verb = 'tag' THEN jsonb_path_query_array(j.before, '$[*].memory.tags') END AS before_tags,
    CASE WHEN j.verb = 'tag' THEN jsonb_path_query_array(j.after, '$[*].memory.tags') END AS after_tags
FROM journal j

-- further_snapshots --
-- Snapshots in the parts of the entry of a long import.
journal p CROSS JOIN jsonb_array_elements(p.after) AS e (value)
        WHERE p.id IN (SELECT n.value::bigint FROM jsonb_path_query(j.after, '$[0].further[*]') AS n (value))

-- page_journal --
-- Journal entries before one, newest first.
/*= journal_line */
WHERE j.id < %(before_id)s AND j.verb <> 'part' /*entries*/ ORDER BY j.id DESC LIMIT %(limit)s

-- list_journal_lines --
-- Journal entries by id.
/*= journal_line */
WHERE j.id = ANY (%(ids)s::bigint[])

-- list_titles --
-- First characters of memories.
SELECT m.id::text AS id, left(m.content, %(head)s::int) AS content FROM knowledge_nodes m WHERE m.id = ANY (%(ids)s::uuid[])

-- entries_of_actor --
-- Entries of one user.
AND j.actor = %(actor)s

-- entries_of_origin --
-- Entries of one console or command.
AND j.origin = %(origin)s

-- entries_of_verb --
-- Entries of one verb.
AND j.verb = %(verb)s

-- entries_since --
-- Entries from a time on.
AND j.at >= %(since)s

-- entries_of_memory --
-- Entries that changed a memory, linked it, or made it replace another; by the beginning of its id.
AND EXISTS (SELECT 1 FROM (SELECT a.value FROM jsonb_array_elements(j.before || j.after) AS a (value)
        UNION ALL SELECT e.value FROM /*= further_snapshots */) AS e (value)
    WHERE %(memory)s::text IN (left(e.value ->> 'id', length(%(memory)s::text)),
        left(e.value #>> '{edge,target_id}', length(%(memory)s::text)), left(e.value ->> 'superseded_by', length(%(memory)s::text))))
