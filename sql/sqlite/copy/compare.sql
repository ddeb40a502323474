-- Reads of a comparison from a SQLite target: rows by key, with the columns of the source's reads, so that both are
-- converted before they are compared. :ids is a JSON list of ids; :keys is a list of lists, for composite keys with very
-- many rows under one first value.

-- list_odd_ids --
-- Ids of the store that are not canonical UUIDs.
SELECT id FROM knowledge_nodes WHERE /*= odd_id */ UNION ALL SELECT id FROM users WHERE /*= odd_id */
UNION ALL SELECT id FROM groups WHERE /*= odd_id */

-- rows --
-- Rows with these ids.
SELECT /*stored*/, /*key*/ FROM /*table*/ WHERE /*key*/ IN (SELECT value FROM json_each(:ids))

-- rows_composite --
-- Rows with these keys.
SELECT /*stored t*/, /*key t*/ FROM json_each(:keys) k JOIN /*table*/ t ON /*same_element*/

-- rows_memories --
-- Memories; schedules are compared separately.
SELECT /*stored m*/, /*null_schedule*/, m.seq
FROM knowledge_nodes m WHERE m.id IN (SELECT value FROM json_each(:ids))

-- rows_vectors --
-- Vectors; the times of their memories are not compared.
SELECT /*stored*/, NULL, NULL, node_id FROM node_embeddings WHERE node_id IN (SELECT value FROM json_each(:ids))

-- rows_reviews --
-- Reviews of these memories.
/*= review_columns */ WHERE v.memory_id IN (SELECT value FROM json_each(:ids))

-- rows_supersession --
-- Supersession events of these memories.
/*= supersession_columns */ WHERE v.loser_id IN (SELECT value FROM json_each(:ids))

-- ids --
-- Keys of a page of rows; keyset pagination.
SELECT /*key*/ FROM /*table*/ WHERE /*key_row*/ > /*page_row*/ ORDER BY /*key*/ LIMIT :limit

-- ids_log --
-- Page of distinct memory ids of the log; keyset pagination.
SELECT DISTINCT /*owner*/ FROM /*table*/ WHERE /*owner*/ > CAST(:after AS TEXT) ORDER BY /*owner*/ LIMIT :limit
