-- The file of a backup of a server: the tables that are no tables of a copy. {table}, {columns} and {values} are made from
-- the columns of the server.

-- list_file_columns --
-- Columns of a table of the file; none where the file has no such table.
SELECT name FROM pragma_table_info(:table)

-- delete_rows --
-- Delete all rows of a table.
DELETE FROM {table}

-- insert_row --
-- Insert a row of one of these tables.
INSERT INTO {table} ({columns}) VALUES ({values})

-- read_file_rows --
-- Rows of a table, the latest first: an entry of the journal refers to later ones.
SELECT {columns} FROM {table} ORDER BY rowid DESC

-- read_numbers --
-- Numbers of the lines of a log.
SELECT t.id FROM {table} t ORDER BY t.id

-- begin_numbers --
-- Numbers that the lines of a log have, and those that they are to have.
CREATE TEMP TABLE IF NOT EXISTS numbers (old INTEGER PRIMARY KEY, new INTEGER NOT NULL)

-- add_number --
-- Add a number to that list.
INSERT INTO numbers (old, new) VALUES (?, ?)

-- end_numbers --
-- Empty that list.
DELETE FROM numbers

-- renumber_reviews --
-- Give the reviews other numbers; negative ones first, which no review has.
UPDATE review_events SET id = -(SELECT n.new FROM numbers n WHERE n.old = id),
    undoes = -(SELECT n.new FROM numbers n WHERE n.old = undoes)

-- settle_reviews --
-- The numbers that the reviews were given, without their sign.
UPDATE review_events SET id = -id, undoes = -undoes WHERE id < 0

-- renumber_supersession --
-- Give the decisions other numbers; negative ones first, which no decision has.
UPDATE supersession_events SET id = -(SELECT n.new FROM numbers n WHERE n.old = id)

-- settle_supersession --
-- The numbers that the decisions were given, without their sign.
UPDATE supersession_events SET id = -id WHERE id < 0

-- read_sequences --
-- Last number that the column id of each table was given.
SELECT name, seq AS last FROM sqlite_sequence

-- forget_sequence --
-- Forget the last number of a table.
DELETE FROM sqlite_sequence WHERE name = :name

-- put_sequence --
-- Set the last number of a table.
INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)
