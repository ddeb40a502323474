-- Named queries of the store at a past moment; ../postgres/history.sql has the same names. v is a supersession event.

-- filter_created_by --
-- Filter: created at or before the moment. Vestige also writes times with
-- a space, with a Z and with other fractions.
AND substr(replace(replace(m.created_at, ' ', 'T'), 'Z', '+'), 1, 26) <= substr(:as_of, 1, 26)

-- is_replaced_at --
-- Condition: the last decision on the memory up to the moment replaces it; ties go to the later row.
m.id IN (SELECT v.loser_id FROM supersession_events v WHERE v.winner_id IS NOT NULL
    AND substr(replace(replace(v.decided_at, ' ', 'T'), 'Z', '+'), 1, 26) <= substr(:as_of, 1, 26) AND NOT EXISTS (SELECT 1 FROM supersession_events w
        WHERE w.loser_id = v.loser_id AND substr(replace(replace(w.decided_at, ' ', 'T'), 'Z', '+'), 1, 26) <= substr(:as_of, 1, 26) AND (w.decided_at, w.id) > (v.decided_at, v.id)))

-- filter_active_at --
-- Filter: not replaced at the moment.
AND NOT /*= is_replaced_at */

-- filter_replaced_at --
-- Filter: replaced at the moment.
AND /*= is_replaced_at */

-- filter_created_before --
-- Filter: created at or before the earlier moment of two.
AND substr(replace(replace(m.created_at, ' ', 'T'), 'Z', '+'), 1, 26) <= substr(:earlier, 1, 26)

-- filter_created_since --
-- Filter: created after the earlier moment of two.
AND substr(replace(replace(m.created_at, ' ', 'T'), 'Z', '+'), 1, 26) > substr(:earlier, 1, 26)

-- is_replaced_before --
-- Condition: replaced at the earlier moment of two.
m.id IN (SELECT v.loser_id FROM supersession_events v WHERE v.winner_id IS NOT NULL
    AND substr(replace(replace(v.decided_at, ' ', 'T'), 'Z', '+'), 1, 26) <= substr(:earlier, 1, 26) AND NOT EXISTS (SELECT 1 FROM supersession_events w
        WHERE w.loser_id = v.loser_id AND substr(replace(replace(w.decided_at, ' ', 'T'), 'Z', '+'), 1, 26) <= substr(:earlier, 1, 26) AND (w.decided_at, w.id) > (v.decided_at, v.id)))

-- filter_active_before --
-- Filter: not replaced at the earlier moment of two.
AND NOT /*= is_replaced_before */

-- filter_replaced_before --
-- Filter: replaced at the earlier moment of two.
AND /*= is_replaced_before */

-- filter_min_retrievability_at --
-- Filter: recall of at least r at the moment, by the schedule of then: that before the first review after it.
AND (m.id IN (SELECT h.memory_id FROM scheduling h WHERE h.reps > 0 AND julianday(h.last_review) <= julianday(:as_of)
        AND julianday(:as_of) - julianday(h.last_review) <= min(max(h.stability, 0.001), 36500.0) * :horizon)
    OR m.id IN (SELECT v.memory_id FROM review_events v WHERE json_extract(CASE WHEN json_valid(v.prior_state) THEN v.prior_state ELSE '{}' END, '$.reps') > 0
        AND julianday(:as_of) - julianday(json_extract(CASE WHEN json_valid(v.prior_state) THEN v.prior_state ELSE '{}' END, '$.last_review')) <= min(max(json_extract(CASE WHEN json_valid(v.prior_state) THEN v.prior_state ELSE '{}' END, '$.stability'), 0.001), 36500.0) * :horizon
        AND v.timestamp > :as_of AND v.undoes IS NULL AND /*= not_undone */ AND NOT EXISTS (SELECT 1 FROM review_events w
        WHERE w.memory_id = v.memory_id AND w.undoes IS NULL AND w.timestamp > :as_of AND (w.timestamp, w.id) < (v.timestamp, v.id)
        AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = w.id AND NOT EXISTS (SELECT 1 FROM review_events r WHERE r.undoes = u.id)))))

-- list_schedules_at --
-- Schedule of the memories before their first review after the moment; none of those not reviewed since.
SELECT v.memory_id, v.prior_state FROM review_events v WHERE v.memory_id IN (SELECT value FROM json_each(:ids)) AND v.timestamp > :as_of AND v.undoes IS NULL AND /*= not_undone */ AND NOT EXISTS (SELECT 1 FROM review_events w
        WHERE w.memory_id = v.memory_id AND w.undoes IS NULL AND w.timestamp > :as_of AND (w.timestamp, w.id) < (v.timestamp, v.id)
        AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = w.id AND NOT EXISTS (SELECT 1 FROM review_events r WHERE r.undoes = u.id)))

-- list_decisions_at --
-- Last decision on each of the memories up to the moment.
SELECT v.id, v.loser_id, v.winner_id, v.kind, v.decided_at FROM supersession_events v
WHERE v.loser_id IN (SELECT value FROM json_each(:ids)) AND substr(replace(replace(v.decided_at, ' ', 'T'), 'Z', '+'), 1, 26) <= substr(:as_of, 1, 26) AND NOT EXISTS (SELECT 1 FROM supersession_events w
        WHERE w.loser_id = v.loser_id AND substr(replace(replace(w.decided_at, ' ', 'T'), 'Z', '+'), 1, 26) <= substr(:as_of, 1, 26) AND (w.decided_at, w.id) > (v.decided_at, v.id))

-- list_losers_at --
-- Memories that the given ones replaced at the moment, as decisions.
SELECT v.id, v.loser_id, v.winner_id, v.kind, v.decided_at FROM supersession_events v
WHERE v.winner_id IN (SELECT value FROM json_each(:ids)) AND substr(replace(replace(v.decided_at, ' ', 'T'), 'Z', '+'), 1, 26) <= substr(:as_of, 1, 26) AND NOT EXISTS (SELECT 1 FROM supersession_events w
        WHERE w.loser_id = v.loser_id AND substr(replace(replace(w.decided_at, ' ', 'T'), 'Z', '+'), 1, 26) <= substr(:as_of, 1, 26) AND (w.decided_at, w.id) > (v.decided_at, v.id))

-- find_decision_before --
-- Last decision before the moment.
SELECT v.id, v.loser_id, v.winner_id, v.kind, v.decided_at FROM supersession_events v
WHERE substr(replace(replace(v.decided_at, ' ', 'T'), 'Z', '+'), 1, 26) < substr(:as_of, 1, 26) ORDER BY v.decided_at DESC, v.id DESC LIMIT 1

-- find_decision_after --
-- First decision after the moment.
SELECT v.id, v.loser_id, v.winner_id, v.kind, v.decided_at FROM supersession_events v
WHERE substr(replace(replace(v.decided_at, ' ', 'T'), 'Z', '+'), 1, 26) > substr(:as_of, 1, 26) ORDER BY v.decided_at, v.id LIMIT 1

-- list_deletions --
-- Memories that entries of the journal between two moments deleted and nothing undid, newest first.
SELECT d.id AS entry, d.at, d.actor, json_extract(e.value, '$.id') AS id, json_extract(e.value, '$.memory.created_at') AS created_at,
    substr(json_extract(e.value, '$.memory.content'), 1, :head) AS content, json_extract(e.value, '$.memory.node_type') AS node_type,
    json_extract(e.value, '$.memory.tags') AS tags, json_extract(e.value, '$.memory.domains') AS domains,
    json_extract(e.value, '$.memory.codebase') AS codebase, json_extract(e.value, '$.memory.owner_user_id') AS owner_user_id,
    json_extract(e.value, '$.memory.visibility') AS visibility, json_extract(e.value, '$.memory.shared_with_groups') AS shared_with_groups
FROM journal j JOIN journal d ON d.verb = 'delete' AND d.undone_by IS NULL AND d.at > :earlier AND d.at <= :as_of
    AND (d.id = j.id OR (j.verb = 'part' AND j.id IN (SELECT value FROM json_each(d.before, '$[0].parts')))), json_each(j.before) e
WHERE j.verb IN ('delete', 'part') AND json_extract(e.value, '$.memory.content') IS NOT NULL
    AND json_extract(e.value, '$.parts') IS NULL ORDER BY d.id DESC, j.id, e.key LIMIT :limit OFFSET :offset

-- count_deletions --
-- Number of the memories that were deleted between two moments.
SELECT count(*) AS n
FROM journal j JOIN journal d ON d.verb = 'delete' AND d.undone_by IS NULL AND d.at > :earlier AND d.at <= :as_of
    AND (d.id = j.id OR (j.verb = 'part' AND j.id IN (SELECT value FROM json_each(d.before, '$[0].parts')))), json_each(j.before) e
WHERE j.verb IN ('delete', 'part') AND json_extract(e.value, '$.memory.content') IS NOT NULL
    AND json_extract(e.value, '$.parts') IS NULL

-- list_edits_since --
-- Memories whose text was another one at the moment, by edits and their undos, with the time of the last one.
SELECT json_extract(e.value, '$.id') AS id, max(CASE WHEN j.at > :as_of THEN j.at ELSE u.at END) AS at
FROM journal j LEFT JOIN journal u ON u.id = j.undone_by, json_each(j.before) e
WHERE j.verb = 'edit' AND (j.at > :as_of OR u.at > :as_of)
    AND (j.undone_by IS NULL) <> (j.at <= :as_of AND (u.at IS NULL OR u.at > :as_of))
    AND json_extract(e.value, '$.id') IN (SELECT value FROM json_each(:ids))
    AND json_extract(e.value, '$.memory.content') <> json_extract(j.after, '$[' || e.key || '].memory.content')
GROUP BY json_extract(e.value, '$.id')

-- elapsed_at --
-- Time from the last review before the moment to the moment, as elapsed has it, by the schedule of then; NULL without one.
(min(julianday(CASE WHEN s.reps > 0 AND julianday(s.last_review) <= julianday(:as_of) THEN s.last_review ELSE
        (SELECT CASE WHEN json_extract(CASE WHEN json_valid(v.prior_state) THEN v.prior_state ELSE '{}' END, '$.reps') > 0 THEN json_extract(CASE WHEN json_valid(v.prior_state) THEN v.prior_state ELSE '{}' END, '$.last_review') END FROM review_events v WHERE v.memory_id = m.id AND v.undoes IS NULL AND v.timestamp > :as_of AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = v.id AND NOT EXISTS (SELECT 1 FROM review_events r WHERE r.undoes = u.id))
        ORDER BY v.timestamp, v.id LIMIT 1) END) - julianday(:as_of), 0)
    / min(max(CASE WHEN julianday(s.last_review) <= julianday(:as_of) THEN s.stability ELSE
        (SELECT json_extract(CASE WHEN json_valid(v.prior_state) THEN v.prior_state ELSE '{}' END, '$.stability') FROM review_events v WHERE v.memory_id = m.id AND v.undoes IS NULL AND v.timestamp > :as_of AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = v.id AND NOT EXISTS (SELECT 1 FROM review_events r WHERE r.undoes = u.id))
        ORDER BY v.timestamp, v.id LIMIT 1) END, 0.001), 36500.0))

-- order_recall_at --
-- Sort order: lowest recall at the moment first.
ORDER BY /*= elapsed_at */, m.id

-- sort_key_recall_at --
-- Sort key of a row, for the cursor of keyset pagination.
/*= elapsed_at */ AS sort_key

-- after_recall_at --
-- Keyset pagination: rows after the cursor.
AND (/*= elapsed_at */, m.id) > (:after_key, :after_id)

-- only_recalled_at --
-- Rows with a recall at the moment, for a list sorted by it.
AND /*= elapsed_at */ IS NOT NULL

-- without_recall_at --
-- Rows without a recall at the moment, which stand last in a list sorted by it.
AND /*= elapsed_at */ IS NULL

-- due_time_at --
-- Due date that a memory had at the moment, in one form, by the schedule of then; NULL without one.
substr(replace(replace(CASE WHEN s.reps > 0 THEN CASE WHEN (julianday(s.last_review) > julianday(:as_of)) IS NOT TRUE THEN s.next_review ELSE
        (SELECT CASE WHEN json_extract(CASE WHEN json_valid(v.prior_state) THEN v.prior_state ELSE '{}' END, '$.reps') > 0 THEN json_extract(CASE WHEN json_valid(v.prior_state) THEN v.prior_state ELSE '{}' END, '$.next_review') END FROM review_events v WHERE v.memory_id = m.id AND v.undoes IS NULL AND v.timestamp > :as_of AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = v.id AND NOT EXISTS (SELECT 1 FROM review_events r WHERE r.undoes = u.id))
        ORDER BY v.timestamp, v.id LIMIT 1) END END, ' ', 'T'), 'Z', '+'), 1, 26)

-- order_due_at --
-- Sort order: next due at the moment first.
ORDER BY /*= due_time_at */, m.id

-- sort_key_due_at --
-- Sort key of a row, for the cursor of keyset pagination.
/*= due_time_at */ AS sort_key

-- after_due_at --
-- Keyset pagination: rows after the cursor.
AND (/*= due_time_at */, m.id) > (:after_key, :after_id)

-- only_due_at --
-- Rows with a due date at the moment, for a list sorted by it.
AND /*= due_time_at */ IS NOT NULL

-- without_due_at --
-- Rows without a due date at the moment, which stand last in a list sorted by it.
AND /*= due_time_at */ IS NULL

-- is_due_at --
-- Condition: due before the end of the day of the moment, by the schedule of then.
(m.id IN (SELECT h.memory_id FROM scheduling h WHERE h.reps > 0 AND (julianday(h.last_review) > julianday(:as_of)) IS NOT TRUE
        AND replace(substr(h.next_review, 1, 19), ' ', 'T') < substr(:due_before, 1, 19))
    OR m.id IN (SELECT v.memory_id FROM review_events v WHERE json_extract(CASE WHEN json_valid(v.prior_state) THEN v.prior_state ELSE '{}' END, '$.reps') > 0
        AND substr(json_extract(CASE WHEN json_valid(v.prior_state) THEN v.prior_state ELSE '{}' END, '$.next_review'), 1, 19) < substr(:due_before, 1, 19)
        AND v.timestamp > :as_of AND v.undoes IS NULL AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = v.id AND NOT EXISTS (SELECT 1 FROM review_events r WHERE r.undoes = u.id))
        AND NOT EXISTS (SELECT 1 FROM review_events w
        WHERE w.memory_id = v.memory_id AND w.undoes IS NULL AND w.timestamp > :as_of AND (w.timestamp, w.id) < (v.timestamp, v.id)
        AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = w.id AND NOT EXISTS (SELECT 1 FROM review_events r WHERE r.undoes = u.id)))))

-- filter_due_at --
-- Filter: due by the end of the day of the moment, and by the marks of today neither suspended nor buried.
AND /*= is_due_at */
    AND m.id NOT IN (SELECT k.memory_id FROM review_marks k WHERE k.suspended OR k.buried_until > :now)

-- filter_not_due_at --
-- Filter: not due by the end of the day of the moment, or by the marks of today suspended or buried.
AND (NOT /*= is_due_at */
    OR m.id IN (SELECT k.memory_id FROM review_marks k WHERE k.suspended OR k.buried_until > :now))

-- is_reviewed_at --
-- Condition: reviewed before the moment; a memory whose first review the log has after it is new.
(m.id IN (SELECT h.memory_id FROM scheduling h WHERE h.reps > 0)
    AND m.id NOT IN (SELECT v.memory_id FROM review_events v
        WHERE coalesce(json_extract(CASE WHEN json_valid(v.prior_state) THEN v.prior_state ELSE '{}' END, '$.reps'), 0) = 0
        AND v.timestamp > :as_of AND v.undoes IS NULL AND NOT EXISTS (SELECT 1 FROM review_events u WHERE u.undoes = v.id AND NOT EXISTS (SELECT 1 FROM review_events r WHERE r.undoes = u.id))))

-- filter_new_at --
-- Filter: never reviewed before the moment.
AND NOT /*= is_reviewed_at */

-- filter_not_new_at --
-- Filter: reviewed before the moment.
AND /*= is_reviewed_at */
