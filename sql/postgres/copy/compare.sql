-- Comparison in the target. Rows are identified by keys in wire form; their other values are sent as a SHA-256 of
-- record_send, and JSON and handles as themselves, because they have several equal spellings. The result is the ordinals
-- of missing and differing rows. Texts are UTF-8 bytes in both directions, and lists of texts are JSON: the server would
-- convert text to and from the session's encoding, and under a wrong one a comparison would miss the errors of a copy
-- under the same one.

-- differ --
-- Rows of a batch that are missing or differ.
SELECT u.ord::int AS ord, /*first_key t*/ IS NULL AS missing
FROM unnest(%(key)b::bytea[], %(digest)b::bytea[]/*sent_params*/) WITH ORDINALITY u(key, digest/*sent_names*/, ord)
LEFT JOIN /*table*/ t ON /*key_of_row u*/
WHERE /*first_key t*/ IS NULL OR sha256(record_send(ROW(/*digested t*/))) <> u.digest/*sent_differ u*/

-- show --
-- Values of differing rows.
SELECT u.ord::int AS ord, record_send(ROW(/*shown t*/)) AS row
FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord) JOIN /*table*/ t ON /*key_of_row u*/

-- keys --
-- Keys of a page of rows; keyset pagination.
SELECT /*key_sent t*/ AS key FROM /*table*/ t
WHERE %(after)s::bytea IS NULL OR /*key_row t*/ > /*after_row*/ ORDER BY /*key t*/ LIMIT %(limit)s

-- review_lines --
-- Reviews of the memories that are asked for, each with the one that it undoes, which may be of another memory.
numbered AS MATERIALIZED (SELECT v.id, v.undoes, /*stored v*/,
    (row_number() OVER (PARTITION BY /*line v*/ ORDER BY v.id) - 1)::int AS alike
    FROM review_events v
    WHERE v.memory_id IN (SELECT encode(substring(u.key for 16), 'hex')::uuid FROM asked u UNION ALL
        SELECT z.memory_id FROM asked u JOIN review_events y ON y.memory_id = encode(substring(u.key for 16), 'hex')::uuid
        JOIN review_events z ON z.id = y.undoes)),
lines AS MATERIALIZED (SELECT n.*, /*key_sent n*/ AS key, w.memory_id AS undone_memory_id, w.timestamp AS undone_timestamp,
    w.rating AS undone_rating, w.alike AS undone_alike
    FROM numbered n LEFT JOIN numbered w ON w.id = n.undoes)

-- supersession_lines --
-- Supersession events of the memories that are asked for.
lines AS MATERIALIZED (SELECT n.*, /*key_sent n*/ AS key FROM (SELECT v.id, /*stored v*/,
    (row_number() OVER (PARTITION BY /*line v*/ ORDER BY v.id) - 1)::int AS alike
    FROM supersession_events v
    WHERE v.loser_id IN (SELECT encode(substring(u.key for 16), 'hex')::uuid FROM asked u)) n)

-- differ_log --
-- Lines of a batch that are missing or differ.
WITH asked AS (SELECT * FROM unnest(%(key)b::bytea[], %(digest)b::bytea[]/*sent_params*/)
    WITH ORDINALITY u(key, digest/*sent_names*/, ord)),
/*lines*/
SELECT u.ord::int AS ord, t.id IS NULL AS missing FROM asked u LEFT JOIN lines t ON t.key = u.key
WHERE t.id IS NULL OR sha256(record_send(ROW(/*digested t*/))) <> u.digest/*sent_differ u*/

-- show_log --
-- Values of differing lines.
WITH asked AS (SELECT * FROM unnest(%(key)b::bytea[]) WITH ORDINALITY u(key, ord)),
/*lines*/
SELECT u.ord::int AS ord, record_send(ROW(/*shown t*/)) AS row FROM asked u JOIN lines t ON t.key = u.key

-- keys_log --
-- Keys of all lines of a page of memories: equal lines are numbered within a memory.
SELECT /*key_sent n*/ AS key
FROM (SELECT /*line v*/, (row_number() OVER (PARTITION BY /*line v*/ ORDER BY v.id) - 1)::int AS alike
    FROM /*table*/ v WHERE /*owner v*/ IN (SELECT DISTINCT /*owner w*/ FROM /*table*/ w
        WHERE %(after)s::bytea IS NULL OR /*owner w*/ > encode(substring(%(after)s::bytea for 16), 'hex')::uuid
        ORDER BY /*owner w*/ LIMIT %(limit)s)) n
ORDER BY key
