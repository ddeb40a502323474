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
-- Index the texts that there are. folded() is the program's.
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
