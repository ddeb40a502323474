-- Named queries of the store at a past moment; ../sqlite/history.sql has the same names. v is a supersession event.

-- filter_created_by --
-- Filter: created at or before the moment.
AND m.created_at <= %(as_of)s

-- is_replaced_at --
-- Condition: the last decision on the memory up to the moment replaces it; ties go to the later row.
EXISTS (SELECT 1 FROM supersession_events v WHERE v.loser_id = m.id AND v.winner_id IS NOT NULL
    AND v.decided_at <= %(as_of)s AND NOT EXISTS (SELECT 1 FROM supersession_events w
        WHERE w.loser_id = v.loser_id AND w.decided_at <= %(as_of)s AND (w.decided_at, w.id) > (v.decided_at, v.id)))

-- filter_active_at --
-- Filter: not replaced at the moment.
AND NOT /*= is_replaced_at */

-- filter_replaced_at --
-- Filter: replaced at the moment.
AND /*= is_replaced_at */

-- filter_created_before --
-- Filter: created at or before the earlier moment of two.
AND m.created_at <= %(earlier)s

-- filter_created_since --
-- Filter: created after the earlier moment of two.
AND m.created_at > %(earlier)s

-- is_replaced_before --
-- Condition: replaced at the earlier moment of two.
EXISTS (SELECT 1 FROM supersession_events v WHERE v.loser_id = m.id AND v.winner_id IS NOT NULL
    AND v.decided_at <= %(earlier)s AND NOT EXISTS (SELECT 1 FROM supersession_events w
        WHERE w.loser_id = v.loser_id AND w.decided_at <= %(earlier)s AND (w.decided_at, w.id) > (v.decided_at, v.id)))

-- filter_active_before --
-- Filter: not replaced at the earlier moment of two.
AND NOT /*= is_replaced_before */

-- filter_replaced_before --
-- Filter: replaced at the earlier moment of two.
AND /*= is_replaced_before */

-- filter_min_retrievability_at --
-- Filter: recall of at least r at the moment, by the schedule of then: that before the first review after it.
AND (EXISTS (SELECT 1 FROM scheduling h WHERE h.memory_id = m.id AND h.reps > 0 AND h.last_review <= %(as_of)s
        AND extract(epoch FROM %(as_of)s::timestamptz - h.last_review) / 86400.0 <= least(greatest(h.stability, 0.001), 36500.0) * %(horizon)s)
    OR EXISTS (SELECT 1 FROM review_events v WHERE v.memory_id = m.id AND (v.prior_state ->> 'reps')::float8 > 0
        AND extract(epoch FROM %(as_of)s::timestamptz - (v.prior_state ->> 'last_review')::timestamptz) / 86400.0
            <= least(greatest((v.prior_state ->> 'stability')::float8, 0.001), 36500.0) * %(horizon)s
        AND v.timestamp > %(as_of)s AND v.undoes IS NULL AND /*= not_undone */ AND NOT EXISTS (SELECT 1 FROM review_events w
        WHERE w.memory_id = v.memory_id AND w.undoes IS NULL AND w.timestamp > %(as_of)s AND (w.timestamp, w.id) < (v.timestamp, v.id)
        AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = w.id AND NOT EXISTS (SELECT 1 FROM review_events r WHERE r.undoes = u.id)))))

-- list_schedules_at --
-- Schedule of the memories before their first review after the moment; none of those not reviewed since.
SELECT v.memory_id::text AS memory_id, v.prior_state FROM review_events v WHERE v.memory_id = ANY (%(ids)s::uuid[]) AND v.timestamp > %(as_of)s AND v.undoes IS NULL AND /*= not_undone */ AND NOT EXISTS (SELECT 1 FROM review_events w
        WHERE w.memory_id = v.memory_id AND w.undoes IS NULL AND w.timestamp > %(as_of)s AND (w.timestamp, w.id) < (v.timestamp, v.id)
        AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = w.id AND NOT EXISTS (SELECT 1 FROM review_events r WHERE r.undoes = u.id)))

-- list_decisions_at --
-- Last decision on each of the memories up to the moment.
SELECT v.id, v.loser_id::text AS loser_id, v.winner_id::text AS winner_id, v.kind, v.decided_at FROM supersession_events v
WHERE v.loser_id = ANY (%(ids)s::uuid[]) AND v.decided_at <= %(as_of)s AND NOT EXISTS (SELECT 1 FROM supersession_events w
        WHERE w.loser_id = v.loser_id AND w.decided_at <= %(as_of)s AND (w.decided_at, w.id) > (v.decided_at, v.id))

-- list_losers_at --
-- Memories that the given ones replaced at the moment, as decisions.
SELECT v.id, v.loser_id::text AS loser_id, v.winner_id::text AS winner_id, v.kind, v.decided_at FROM supersession_events v
WHERE v.winner_id = ANY (%(ids)s::uuid[]) AND v.decided_at <= %(as_of)s AND NOT EXISTS (SELECT 1 FROM supersession_events w
        WHERE w.loser_id = v.loser_id AND w.decided_at <= %(as_of)s AND (w.decided_at, w.id) > (v.decided_at, v.id))

-- find_decision_before --
-- Last decision before the moment.
SELECT v.id, v.loser_id::text AS loser_id, v.winner_id::text AS winner_id, v.kind, v.decided_at FROM supersession_events v
WHERE v.decided_at < %(as_of)s ORDER BY v.decided_at DESC, v.id DESC LIMIT 1

-- find_decision_after --
-- First decision after the moment.
SELECT v.id, v.loser_id::text AS loser_id, v.winner_id::text AS winner_id, v.kind, v.decided_at FROM supersession_events v
WHERE v.decided_at > %(as_of)s ORDER BY v.decided_at, v.id LIMIT 1

-- list_deletions --
-- Memories that entries of the journal between two moments deleted and nothing undid, newest first.
SELECT d.id AS entry, d.at, d.actor, e.value ->> 'id' AS id, e.value #>> '{memory,created_at}' AS created_at,
    left(e.value #>> '{memory,content}', %(head)s::int) AS content, e.value #>> '{memory,node_type}' AS node_type,
    e.value #> '{memory,tags}' AS tags, e.value #> '{memory,domains}' AS domains, e.value #>> '{memory,codebase}' AS codebase,
    e.value #>> '{memory,owner_user_id}' AS owner_user_id, e.value #>> '{memory,visibility}' AS visibility,
    e.value #> '{memory,shared_with_groups}' AS shared_with_groups
FROM journal j JOIN journal d ON d.verb = 'delete' AND d.undone_by IS NULL AND d.at > %(earlier)s AND d.at <= %(as_of)s
    AND (d.id = j.id OR (j.verb = 'part' AND d.before -> 0 -> 'parts' @> to_jsonb(j.id))), jsonb_array_elements(j.before) WITH ORDINALITY AS e (value, key)
WHERE j.verb IN ('delete', 'part') AND e.value #>> '{memory,content}' IS NOT NULL AND e.value -> 'parts' IS NULL ORDER BY d.id DESC, j.id, e.key LIMIT %(limit)s OFFSET %(offset)s

-- count_deletions --
-- Number of the memories that were deleted between two moments.
SELECT count(*) AS n
FROM journal j JOIN journal d ON d.verb = 'delete' AND d.undone_by IS NULL AND d.at > %(earlier)s AND d.at <= %(as_of)s
    AND (d.id = j.id OR (j.verb = 'part' AND d.before -> 0 -> 'parts' @> to_jsonb(j.id))), jsonb_array_elements(j.before) WITH ORDINALITY AS e (value, key)
WHERE j.verb IN ('delete', 'part') AND e.value #>> '{memory,content}' IS NOT NULL AND e.value -> 'parts' IS NULL

-- list_edits_since --
-- Memories whose text was another one at the moment, by edits and their undos, with the time of the last one.
SELECT e.value ->> 'id' AS id, max(CASE WHEN j.at > %(as_of)s THEN j.at ELSE u.at END) AS at
FROM journal j LEFT JOIN journal u ON u.id = j.undone_by, jsonb_array_elements(j.before) WITH ORDINALITY AS e (value, key)
WHERE j.verb = 'edit' AND (j.at > %(as_of)s OR u.at > %(as_of)s)
    AND (j.undone_by IS NULL) <> (j.at <= %(as_of)s AND (u.at IS NULL OR u.at > %(as_of)s))
    AND e.value ->> 'id' = ANY (%(ids)s::text[])
    AND e.value #>> '{memory,content}' <> (j.after -> (e.key::int - 1)) #>> '{memory,content}'
GROUP BY e.value ->> 'id'

-- elapsed_at --
-- Time from the last review before the moment to the moment, as elapsed has it, by the schedule of then; NULL without one.
(SELECT CASE WHEN a.days < 0 THEN a.days ELSE 0 * a.days END / least(greatest(CASE WHEN s.last_review <= %(as_of)s THEN s.stability ELSE
        (SELECT (v.prior_state ->> 'stability')::float8 FROM review_events v WHERE v.memory_id = m.id AND v.undoes IS NULL AND v.timestamp > %(as_of)s AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = v.id AND NOT EXISTS (SELECT 1 FROM review_events r WHERE r.undoes = u.id))
        ORDER BY v.timestamp, v.id LIMIT 1) END, 0.001), 36500.0)
    FROM (SELECT extract(epoch FROM (CASE WHEN s.reps > 0 AND isfinite(s.last_review) AND s.last_review <= %(as_of)s THEN s.last_review ELSE
        (SELECT CASE WHEN (v.prior_state ->> 'reps')::float8 > 0 THEN (v.prior_state ->> 'last_review')::timestamptz END
        FROM review_events v WHERE v.memory_id = m.id AND v.undoes IS NULL AND v.timestamp > %(as_of)s AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = v.id AND NOT EXISTS (SELECT 1 FROM review_events r WHERE r.undoes = u.id))
        ORDER BY v.timestamp, v.id LIMIT 1) END) - %(as_of)s::timestamptz)::float8 / 86400.0 AS days) a)

-- order_recall_at --
-- Sort order: lowest recall at the moment first.
ORDER BY /*= elapsed_at */, m.id

-- sort_key_recall_at --
-- Sort key of a row, for the cursor of keyset pagination.
/*= elapsed_at */ AS sort_key

-- after_recall_at --
-- Keyset pagination: rows after the cursor.
AND (/*= elapsed_at */, m.id) > (%(after_key)s::float8, %(after_id)s::uuid)

-- only_recalled_at --
-- Rows with a recall at the moment, for a list sorted by it.
AND /*= elapsed_at */ IS NOT NULL

-- without_recall_at --
-- Rows without a recall at the moment, which stand last in a list sorted by it.
AND /*= elapsed_at */ IS NULL

-- due_time_at --
-- Due date that a memory had at the moment, by the schedule of then; NULL without one.
(CASE WHEN s.reps > 0 THEN CASE WHEN (s.last_review > %(as_of)s) IS NOT TRUE THEN s.next_review ELSE
        (SELECT CASE WHEN (v.prior_state ->> 'reps')::float8 > 0 THEN (v.prior_state ->> 'next_review')::timestamptz END
        FROM review_events v WHERE v.memory_id = m.id AND v.undoes IS NULL AND v.timestamp > %(as_of)s AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = v.id AND NOT EXISTS (SELECT 1 FROM review_events r WHERE r.undoes = u.id))
        ORDER BY v.timestamp, v.id LIMIT 1) END END)

-- order_due_at --
-- Sort order: next due at the moment first.
ORDER BY /*= due_time_at */, m.id

-- sort_key_due_at --
-- Sort key of a row, for the cursor of keyset pagination.
/*= due_time_at */::text AS sort_key

-- after_due_at --
-- Keyset pagination: rows after the cursor.
AND (/*= due_time_at */, m.id) > (%(after_key)s::timestamptz, %(after_id)s::uuid)

-- only_due_at --
-- Rows with a due date at the moment, for a list sorted by it.
AND /*= due_time_at */ IS NOT NULL

-- without_due_at --
-- Rows without a due date at the moment, which stand last in a list sorted by it.
AND /*= due_time_at */ IS NULL

-- is_due_at --
-- Condition: due before the end of the day of the moment, by the schedule of then.
(EXISTS (SELECT 1 FROM scheduling h WHERE h.memory_id = m.id AND h.reps > 0 AND (h.last_review > %(as_of)s) IS NOT TRUE
        AND h.next_review < %(due_before)s)
    OR EXISTS (SELECT 1 FROM review_events v WHERE v.memory_id = m.id AND (v.prior_state ->> 'reps')::float8 > 0
        AND (v.prior_state ->> 'next_review')::timestamptz < %(due_before)s
        AND v.timestamp > %(as_of)s AND v.undoes IS NULL AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = v.id AND NOT EXISTS (SELECT 1 FROM review_events r WHERE r.undoes = u.id))
        AND NOT EXISTS (SELECT 1 FROM review_events w
        WHERE w.memory_id = v.memory_id AND w.undoes IS NULL AND w.timestamp > %(as_of)s AND (w.timestamp, w.id) < (v.timestamp, v.id)
        AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = w.id AND NOT EXISTS (SELECT 1 FROM review_events r WHERE r.undoes = u.id)))))

-- filter_due_at --
-- Filter: due by the end of the day of the moment, and by the marks of today neither suspended nor buried.
AND /*= is_due_at */
    AND NOT EXISTS (SELECT 1 FROM review_marks k WHERE k.memory_id = m.id AND (k.suspended OR k.buried_until > %(now)s))

-- filter_not_due_at --
-- Filter: not due by the end of the day of the moment, or by the marks of today suspended or buried.
AND (NOT /*= is_due_at */
    OR EXISTS (SELECT 1 FROM review_marks k WHERE k.memory_id = m.id AND (k.suspended OR k.buried_until > %(now)s)))

-- is_reviewed_at --
-- Condition: reviewed before the moment; a memory whose first review the log has after it is new.
(EXISTS (SELECT 1 FROM scheduling h WHERE h.memory_id = m.id AND h.reps > 0)
    AND NOT EXISTS (SELECT 1 FROM review_events v
        WHERE v.memory_id = m.id AND coalesce((v.prior_state ->> 'reps')::float8, 0) = 0
        AND v.timestamp > %(as_of)s AND v.undoes IS NULL AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = v.id AND NOT EXISTS (SELECT 1 FROM review_events r WHERE r.undoes = u.id))))

-- filter_new_at --
-- Filter: never reviewed before the moment.
AND NOT /*= is_reviewed_at */

-- filter_not_new_at --
-- Filter: reviewed before the moment.
AND /*= is_reviewed_at */
