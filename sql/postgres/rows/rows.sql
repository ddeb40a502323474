-- Whole rows of a table, by key, as JSON. {table}, {columns}, {values}, {changes} and {key} are names of the schema; k is a
-- row of the table's type, made of a parameter.

-- table_columns --
-- Columns of a table: the place in its primary key, 0 for none; those that are computed are left out.
SELECT a.attname AS name, coalesce(array_position(i.indkey::int2[], a.attnum) + 1, 0) AS pk
FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = '{table}'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum

-- read_row --
-- One row.
SELECT jsonb_build_object({columns}) AS image FROM {table} t, jsonb_populate_record(NULL::{table}, %(row)s) k WHERE {key}
FOR UPDATE OF t

-- insert_row --
-- Put a row there.
INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {values} FROM jsonb_populate_record(NULL::{table}, %(row)s) k

-- update_row --
-- Change columns of a row.
UPDATE {table} t SET {changes} FROM jsonb_populate_record(NULL::{table}, %(row)s) k WHERE {key}

-- delete_row --
-- Delete a row.
DELETE FROM {table} t USING jsonb_populate_record(NULL::{table}, %(row)s) k WHERE {key}

-- count_rows --
-- Rows of a table.
SELECT count(*) AS n FROM {table}
