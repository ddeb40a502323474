-- Whole rows of any table of the file, by key. {table}, {columns}, {values}, {changes} and {key} are names of the file and
-- their parameters.

-- table_columns --
-- Columns of a table: the place in its primary key, 0 for none; those that are computed are left out.
SELECT name, pk FROM pragma_table_xinfo({table}, 'main') WHERE hidden = 0 ORDER BY cid

-- read_row --
-- One row: the type and the value of each column.
SELECT {columns} FROM main.{table} WHERE {key}

-- insert_row --
-- Put a row there.
INSERT INTO main.{table} ({columns}) VALUES ({values})

-- update_row --
-- Change columns of a row.
UPDATE main.{table} SET {changes} WHERE {key}

-- delete_row --
-- Delete a row.
DELETE FROM main.{table} WHERE {key}

-- count_rows --
-- Rows of a table.
SELECT count(*) AS n FROM main.{table}

-- index_definition --
-- The statement that created the text index.
SELECT sql FROM main.sqlite_master WHERE name = 'knowledge_fts'

-- create_fresh_index --
-- A text index of the same kind, in memory, for this connection alone.
CREATE VIRTUAL TABLE temp.fresh_fts USING fts5({columns}, content=''{options})

-- fill_fresh_index --
-- Index the texts that there are.
INSERT INTO temp.fresh_fts (rowid, {columns}) SELECT rowid, {values} FROM main.knowledge_nodes

-- create_fresh_words --
-- Each word of the new index: word, row, column, position.
CREATE VIRTUAL TABLE temp.fresh_words USING fts5vocab('temp', 'fresh_fts', 'instance')

-- create_stored_words --
-- Each word of the index of the file.
CREATE VIRTUAL TABLE temp.stored_words USING fts5vocab('main', 'knowledge_fts', 'instance')

-- read_fresh_words --
-- In the order of the index: by word, row, and position.
SELECT term, doc, col, offset FROM temp.fresh_words

-- read_stored_words --
-- In the same order.
SELECT term, doc, col, offset FROM temp.stored_words

-- attach_store --
-- The file beside an empty database in memory, which only this connection has.
ATTACH DATABASE ? AS src

-- text_objects --
-- What folds and indexes the texts of a file: tables, views and triggers, in the order of their creation.
SELECT m.name, m.type, m.sql, coalesce(t.type, '') AS sort FROM src.sqlite_master m
LEFT JOIN pragma_table_list t ON t.schema = 'src' AND t.name = m.name
WHERE (m.name LIKE 'knowledge\_fts%' ESCAPE '\' OR (m.type = 'trigger' AND m.tbl_name LIKE 'knowledge\_fts%' ESCAPE '\'))
    AND m.sql IS NOT NULL AND coalesce(t.type, '') <> 'shadow' ORDER BY m.rowid

-- create_text_source --
-- The table that a view of the text index names.
CREATE TABLE main.knowledge_nodes (seq, content, node_type, tags)

-- copy_text_table --
-- The letters that are folded.
INSERT INTO main.{table} SELECT * FROM src.{table}

-- fill_folded_index --
-- Index the texts that there are, folded by the triggers of the file itself.
INSERT INTO main.knowledge_fts_folded (command, seq, content, node_type, tags)
SELECT NULL, seq, content, node_type, tags FROM src.knowledge_nodes

-- create_folded_words --
-- Each word of the new index.
CREATE VIRTUAL TABLE temp.fresh_words USING fts5vocab('main', 'knowledge_fts', 'instance')

-- create_attached_words --
-- Each word of the index of the file.
CREATE VIRTUAL TABLE temp.stored_words USING fts5vocab('src', 'knowledge_fts', 'instance')
